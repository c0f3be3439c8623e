//! Check of `--data-dir`: is the folder there, may the agent write to it, is there room, does somebody else hold it?
//!
//! In: the folder, the ring's budget, where the agent listens. Out: one [`Finding`]. It makes nothing and writes nothing; the
//! folder's lock is tried shared and given back at once. Who holds it is told by `/proc/locks` (`proc_locks(5)`).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Finding, State, read_text, sockets};
use crate::config::AgentConfig;
use crate::store;

const NAME: &str = "data-dir";

const IN_MEMORY: &str = "history is kept in memory only until then, and is lost when the agent ends";
const CANNOT_START: &str = "the agent does not start";

/// Filesystems that do not last, by their magic numbers in `linux/magic.h`, and with what they go.
const FLEETING: [(u64, &str, &str); 2] = [
    (0x0102_1994, "tmpfs", "this filesystem is in memory: history is lost when the machine restarts"),
    (0x794c_7630, "overlay", "if this is a container's own filesystem, history is lost with the container"),
];

pub(super) fn check(config: &AgentConfig) -> Finding {
    let Some(dir) = &config.data_dir else {
        let cure = "give a folder that survives a restart by --data-dir, such as /var/lib/ringside";
        let cost = "history is kept in memory only, and is lost when the agent ends";
        return Finding::of(NAME, State::Missing, "no --data-dir is given", cost, cure);
    };
    folder(dir, config.ring_bytes, config.listen, &config.procfs)
}

fn folder(dir: &Path, ring_bytes: usize, listen: SocketAddr, procfs: &Path) -> Finding {
    let shown = dir.display();
    let folder = match open(dir) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return to_be_made(dir, ring_bytes),
        Err(Errno::NOTDIR) => return failed(format!("{shown} is not a folder"), "give the path of a folder"),
        Err(errno) => return denied(dir, errno),
    };
    if let Err(errno) = writable(dir) {
        return denied(dir, errno);
    }
    let ring = rustix::fs::statat(&folder, "ring", AtFlags::SYMLINK_NOFOLLOW).ok();
    if ring.as_ref().is_some_and(|ring| FileType::from_raw_mode(ring.st_mode) != FileType::RegularFile) {
        let seen = format!("{shown}/ring is no regular file");
        return failed(seen, "remove it, or give another folder by --data-dir");
    }
    if rustix::fs::flock(&folder, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK) {
        let holder = rustix::fs::fstat(&folder).ok().and_then(|stat| holder(&stat, procfs));
        let holder = holder.unwrap_or_else(|| "another process".to_owned());
        return if sockets::agent_answers(listen) {
            Finding::ok(NAME, format!("{shown} is in use by {holder}, and an agent answers at {listen}"))
        } else {
            let seen = format!("{shown} is in use by {holder}");
            failed(seen, "stop the other agent, or give this one a folder of its own by --data-dir")
        };
    }
    room(dir, dir, ring.as_ref(), ring_bytes)
}

/// The agent makes the folder, and those above it, if it may.
fn to_be_made(dir: &Path, ring_bytes: usize) -> Finding {
    let Some(above) = dir.ancestors().skip(1).map(or_here).find(|above| above.exists()) else {
        return denied(dir, Errno::NOENT);
    };
    match writable(&above) {
        Ok(()) => room(dir, &above, None, ring_bytes),
        Err(errno) => denied(dir, errno),
    }
}

/// What is above a relative path of one word is the folder that the process is in.
fn or_here(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_path_buf() }
}

/// Whether the filesystem has room for the file, and lasts. `existing` is the folder, or the nearest one above it.
fn room(dir: &Path, existing: &Path, ring: Option<&Stat>, ring_bytes: usize) -> Finding {
    let shown = dir.display();
    let whole = store::ring_file_bytes(ring_bytes);
    // A file of another size is built anew beside the old one.
    let same = ring.filter(|ring| u64::try_from(ring.st_size) == Ok(whole));
    let held = same.and_then(|ring| u64::try_from(ring.st_blocks).ok()).map_or(0, |blocks| blocks.saturating_mul(512));
    let needed = whole.saturating_sub(held);
    let free = rustix::fs::statvfs(existing).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize)).ok();
    if let Some(free) = free.filter(|free| *free < needed) {
        let seen = format!("{shown}: the ring file needs {} more, and {} are free", mib(needed), mib(free));
        let cure = format!("free {} or make the ring smaller by --ring-bytes", mib(needed - free));
        return Finding::of(NAME, State::Limited, seen, IN_MEMORY, cure);
    }
    let what = match ring {
        Some(_) if same.is_some() => format!("holds a ring file of {}", mib(whole)),
        Some(_) => format!("holds a ring file that becomes one of {}", mib(whole)),
        None if dir == existing => format!("is writable and has room for a ring file of {}", mib(whole)),
        None => format!("does not exist; the agent makes it, and there is room for a ring file of {}", mib(whole)),
    };
    let seen = format!("{shown} {what}");
    let kind = rustix::fs::statfs(existing).ok().and_then(|stat| u64::try_from(stat.f_type).ok());
    match FLEETING.iter().find(|(magic, ..)| kind == Some(*magic)) {
        Some((_, name, cost)) => {
            let cure = "give a folder on a disk by --data-dir; in a container mount one of the host's";
            Finding::of(NAME, State::Limited, format!("{seen}; it lies on {name}"), cost, cure)
        }
        None => Finding::ok(NAME, seen),
    }
}

fn open(dir: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn writable(dir: &Path) -> Result<(), Errno> {
    rustix::fs::accessat(CWD, dir, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
}

fn denied(dir: &Path, errno: Errno) -> Finding {
    let seen = format!("{}: {}", dir.display(), std::io::Error::from(errno));
    if std::io::Error::from(errno).kind() == ErrorKind::ReadOnlyFilesystem {
        let cure = "mount it writable, or give another folder by --data-dir";
        return Finding::of(NAME, State::Limited, seen, IN_MEMORY, cure);
    }
    let uid = rustix::process::geteuid().as_raw();
    failed(seen, &format!("make the folder and let user {uid} own it: install -d -m 700 -o {uid} {}", dir.display()))
}

fn failed(seen: String, cure: &str) -> Finding {
    Finding::of(NAME, State::Failed, seen, CANNOT_START, cure)
}

/// Who holds the folder's lock, if procfs tells.
fn holder(folder: &Stat, procfs: &Path) -> Option<String> {
    let (major, minor) = (rustix::fs::major(folder.st_dev), rustix::fs::minor(folder.st_dev));
    let file = format!("{major:02x}:{minor:02x}:{}", folder.st_ino);
    let locks = read_text(&procfs.join("locks")).ok()?;
    let process: u32 = locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, process, of) = (words.next()?, words.nth(2)?, words.next()?);
        // 0 stands for a process of another namespace.
        (kind == "FLOCK" && of == file).then(|| process.parse().ok()).flatten().filter(|process| *process > 0)
    })?;
    let name = read_text(&procfs.join(process.to_string()).join("comm")).unwrap_or_default();
    Some(match name.trim() {
        "" => format!("process {process}"),
        name => format!("process {process} ({name})"),
    })
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: usize = 1 << 20;

    fn look(dir: &Path) -> Finding {
        folder(dir, BUDGET, SocketAddr::from(([127, 0, 0, 1], 1)), Path::new("/proc"))
    }

    #[test]
    fn a_folder_that_is_not_there_is_looked_at_and_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        let finding = look(&deep);
        assert!(finding.seen.contains("does not exist; the agent makes it"), "{finding:?}");
        assert!(finding.state < State::Missing && !dir.path().join("a").exists(), "{finding:?}");
    }

    #[test]
    fn a_folder_that_somebody_holds_is_told_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let held = open(dir.path()).unwrap();
        rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
        let finding = look(dir.path());
        assert_eq!(finding.state, State::Failed, "{finding:?}");
        assert!(finding.seen.contains("is in use by ") && finding.cure.is_some(), "{finding:?}");
        drop(held);
        assert_ne!(look(dir.path()).state, State::Failed);
        // The look itself left no lock behind.
        let again = open(dir.path()).unwrap();
        assert_eq!(rustix::fs::flock(&again, FlockOperation::NonBlockingLockExclusive), Ok(()));
    }

    #[test]
    fn what_is_in_the_way_is_a_failure_and_what_is_too_large_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(look(&file).seen.ends_with("is not a folder"), "{:?}", look(&file));
        std::fs::create_dir(dir.path().join("ring")).unwrap();
        assert_eq!(look(dir.path()).state, State::Failed);
        std::fs::remove_dir(dir.path().join("ring")).unwrap();
        let huge = folder(dir.path(), 1 << 55, SocketAddr::from(([127, 0, 0, 1], 1)), Path::new("/proc"));
        assert_eq!(huge.state, State::Limited, "{huge:?}");
        assert!(huge.cure.is_some_and(|cure| cure.contains("--ring-bytes")));
    }
}
