//! `/proc/PID/fd`: how many descriptors a process has open, and how many of them are sockets.
//!
//! In: the folder of `/proc`, and a process. Out: counts. Source: `Documentation/filesystems/proc.rst`. Since Linux 6.2 the
//! folder's own size is the number of descriptors, which costs one system call and takes no permission; before, and for
//! sockets, the folder is listed, which takes `CAP_SYS_PTRACE` for processes of other users. Which of them are sockets
//! costs a `readlink` each, so that the caller says how many it pays for. Next: the process reader of `sample/details/`.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir};

use crate::kernel::KernelDir;
use crate::units::ErrorClass;

/// Bytes of entries that are taken from the kernel at once.
const LIST_BYTES: usize = 16 << 10;

/// Counts the descriptors of processes.
#[derive(Debug)]
pub struct Descriptors {
    /// Whether this kernel tells the count as the folder's size.
    size_is_count: bool,
    entries: Box<[MaybeUninit<u8>]>,
}

/// Sockets among the descriptors of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sockets {
    /// So many.
    Count {
        /// Sockets.
        sockets: u64,
        /// Links that were read to know it.
        links: u64,
    },
    /// There are more descriptors than would be paid for.
    TooMany,
}

impl Descriptors {
    /// Looks once, at this process's own folder, how this kernel tells the count.
    #[must_use]
    pub fn new(proc: &KernelDir) -> Self {
        // This process has the descriptor of `proc` open, so that a size of 0 is no count.
        let own = rustix::fs::statat(proc, c"self/fd", AtFlags::empty());
        Self {
            size_is_count: own.is_ok_and(|stat| stat.st_size > 0),
            entries: vec![MaybeUninit::uninit(); LIST_BYTES].into(),
        }
    }

    /// Open descriptors of a process.
    ///
    /// # Errors
    /// [`ErrorClass::Gone`] when it has ended, [`ErrorClass::Denied`] when it is another user's and this kernel wants the
    /// folder listed.
    pub fn count(&mut self, proc: &KernelDir, pid: u32) -> Result<u64, ErrorClass> {
        let path = folder(pid);
        if self.size_is_count {
            let stat = rustix::fs::statat(proc, Path::new(&path), AtFlags::empty()).map_err(ErrorClass::of)?;
            return u64::try_from(stat.st_size).map_err(|_| ErrorClass::Malformed);
        }
        self.each(proc, &path, |_, _| true)
    }

    /// Sockets among the descriptors of a process, when it has no more than `most`.
    ///
    /// # Errors
    /// As [`Descriptors::count`], and [`ErrorClass::Denied`] on every kernel for another user's process.
    pub fn sockets(&mut self, proc: &KernelDir, pid: u32, most: u64) -> Result<Sockets, ErrorClass> {
        let (mut sockets, mut links, mut denied) = (0u64, 0u64, false);
        let mut target = [MaybeUninit::<u8>::uninit(); 16];
        self.each(proc, &folder(pid), |folder, name| {
            if links >= most {
                links = links.saturating_add(1);
                return false;
            }
            links = links.saturating_add(1);
            // A longer link is cut to the buffer, which is as long as is asked for.
            match rustix::fs::readlinkat_raw(folder, name, &mut target) {
                Ok((link, _)) => sockets = sockets.saturating_add(u64::from(link.starts_with(b"socket:["))),
                Err(errno) => denied |= ErrorClass::of(errno) == ErrorClass::Denied,
            }
            !denied
        })?;
        if denied {
            return Err(ErrorClass::Denied);
        }
        Ok(if links > most { Sockets::TooMany } else { Sockets::Count { sockets, links } })
    }

    /// Gives each descriptor's name to `see` until it says `false`. Gives how many there were.
    fn each(
        &mut self,
        proc: &KernelDir,
        path: &str,
        mut see: impl FnMut(std::os::fd::BorrowedFd<'_>, &CStr) -> bool,
    ) -> Result<u64, ErrorClass> {
        use std::os::fd::AsFd as _;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = rustix::fs::openat(proc, Path::new(path), flags, Mode::empty()).map_err(ErrorClass::of)?;
        let mut count = 0u64;
        let mut entries = RawDir::new(&folder, &mut self.entries);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(ErrorClass::of)?;
            let name = entry.file_name();
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            count = count.saturating_add(1);
            if !see(folder.as_fd(), name) {
                break;
            }
        }
        Ok(count)
    }
}

fn folder(pid: u32) -> String {
    format!("{pid}/fd")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::UdpSocket;
    use std::process::{Command, Stdio};

    use super::*;

    fn proc() -> KernelDir {
        KernelDir::open_root(Path::new("/proc")).unwrap()
    }

    /// What the folder shows to whoever lists it: descriptors, and those of them that are sockets.
    fn listed(pid: u32) -> (u64, u64) {
        let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let links: Vec<_> = links.map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap()).collect();
        let sockets = links.iter().filter(|link| link.to_string_lossy().starts_with("socket:[")).count();
        (links.len() as u64, sockets as u64)
    }

    #[test]
    fn both_ways_of_counting_agree_and_sockets_are_told_from_files() {
        let socket: std::os::fd::OwnedFd = UdpSocket::bind("127.0.0.1:0").unwrap().into();
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::from(File::open("/dev/null").unwrap()))
            .stdout(Stdio::from(socket))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        // Until it sleeps, the loader opens and closes files of its own.
        let asleep = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit(')').next().is_some_and(|columns| columns.starts_with(" S"))
        };
        while !asleep() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let proc = proc();
        let mut descriptors = Descriptors::new(&proc);
        let (all, sockets) = listed(pid);
        let by_list =
            Descriptors { size_is_count: false, entries: vec![MaybeUninit::uninit(); 64].into() }.count(&proc, pid);
        let by_size = descriptors.count(&proc, pid);
        let counted = descriptors.sockets(&proc, pid, all);
        let too_many = descriptors.sockets(&proc, pid, all - 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(all >= 3 && sockets >= 1);
        assert_eq!((by_list, by_size), (Ok(all), Ok(all)));
        assert_eq!(counted, Ok(Sockets::Count { sockets, links: all }));
        assert_eq!(too_many, Ok(Sockets::TooMany));
        assert_eq!(descriptors.count(&proc, pid), Err(ErrorClass::Gone));
    }
}
