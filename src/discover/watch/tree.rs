//! Directories of one cgroup hierarchy, opened by descriptor and never by a long path.
//!
//! In: a hierarchy's root. Out: descriptors and [`Entry`]s (name, inode, times) of cgroup directories, and the state in
//! `cgroup.events` (cgroup-v2.rst). Every step is one `openat` with `O_NOFOLLOW | O_DIRECTORY`, so that no link is ever
//! followed, no path is too long, and a directory that vanishes is an ordinary answer.
//! It never reads a counter and never writes. Next: `watch`.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;

use crate::units::UnixNanos;

/// Longest directory name that is looked at. Longer ones are counted and left out.
pub(super) const MAX_NAME_BYTES: usize = 512;
/// Deepest level below the root that is looked at.
pub(super) const MAX_DEPTH: usize = 16;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// One hierarchy.
pub(super) struct Tree {
    /// Its root directory.
    root: OwnedFd,
    /// True where every cgroup but the root has `cgroup.events` (version 2).
    pub has_events: bool,
    /// True on a real cgroup file system, where a directory's link count tells whether it has children.
    is_kernfs: bool,
    /// Device and inode of the root: two controllers in one hierarchy are one tree.
    pub id: (u64, u64),
}

/// A directory as `stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Inode: the cgroup's ID.
    pub inode: u64,
    /// Modification time; for a cgroup about the time of its creation.
    pub modified_at: UnixNanos,
    /// True when it surely has no directory in it.
    pub is_leaf: bool,
}

impl Tree {
    /// Opens a hierarchy's root.
    pub(super) fn open(path: &Path, has_events: bool) -> Result<Self, Errno> {
        // The root itself may be a link (`/sys/fs/cgroup/cpu` → `cpu,cpuacct`), so it alone is followed.
        let root = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::fstat(&root)?;
        let magic = rustix::fs::fstatfs(&root).ok().and_then(|stat| u64::try_from(stat.f_type).ok());
        let is_kernfs = matches!(magic, Some(0x6367_7270 | 0x0027_e0eb));
        Ok(Self { root, has_events, is_kernfs, id: (stat.st_dev, stat.st_ino) })
    }

    /// Opens a cgroup's directory by its path below the root, one component at a time.
    pub(super) fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut directory: Option<OwnedFd> = None;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let at = directory.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            directory = Some(open_child(at, name)?);
        }
        match directory {
            Some(directory) => Ok(directory),
            None => rustix::fs::openat(&self.root, c".", DIRECTORY, Mode::empty()),
        }
    }

    /// What `stat` says about an open directory.
    pub(super) fn entry(&self, directory: BorrowedFd<'_>) -> Result<Entry, Errno> {
        Ok(self.entry_of(&rustix::fs::fstat(directory)?))
    }

    /// Calls `each` with every directory in `directory`. Entries that vanish meanwhile are left out; an error while
    /// reading ends the list.
    pub(super) fn children(&self, directory: BorrowedFd<'_>, mut each: impl FnMut(&[u8], Entry)) -> Result<(), Errno> {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(entry.file_type(), FileType::Directory | FileType::Unknown) || is_dots(name) {
                continue;
            }
            if let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            {
                each(name.to_bytes(), self.entry_of(&stat));
            }
        }
        Ok(())
    }

    fn entry_of(&self, stat: &Stat) -> Entry {
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        let nanos = seconds.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec);
        Entry {
            inode: stat.st_ino,
            modified_at: UnixNanos(nanos),
            // Other file systems may keep 1 or 2 for every directory.
            is_leaf: self.is_kernfs && stat.st_nlink == 2,
        }
    }
}

/// Opens one directory in another.
pub(super) fn open_child(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    if name.len() > MAX_NAME_BYTES || name.contains(&b'/') {
        return Err(Errno::NAMETOOLONG);
    }
    rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())
}

/// `populated` of an open cgroup's `cgroup.events`; `None` when the file says nothing of the kind.
pub(super) fn read_populated(directory: BorrowedFd<'_>) -> Result<Option<bool>, Errno> {
    let mut buffer = [0; 512];
    let text = read_small(directory, c"cgroup.events", &mut buffer)?;
    Ok(text.split(|byte| *byte == b'\n').find_map(|line| match line {
        b"populated 1" => Some(true),
        b"populated 0" => Some(false),
        _ => None,
    }))
}

/// The first process in an open cgroup's `cgroup.procs`, as this PID namespace counts; `None` when it is empty.
/// Processes of other PID namespaces are printed as 0 and do not count as known, only as present.
pub(super) fn first_process(directory: BorrowedFd<'_>) -> Result<Option<u32>, Errno> {
    let mut buffer = [0; 64];
    let text = read_small(directory, c"cgroup.procs", &mut buffer)?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(std::str::from_utf8(line).ok().and_then(|line| line.parse().ok()))
}

/// Opens a regular file in a directory for nothing but being named (`O_PATH`).
pub(super) fn open_file_path(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn read_small<'b>(directory: BorrowedFd<'_>, name: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let length = rustix::io::read(&file, &mut *buffer)?;
    Ok(buffer.get(..length).unwrap_or_default())
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed_and_not_listed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("/", directory.path().join("a/link")).unwrap();
        std::fs::write(directory.path().join("a/cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        let tree = Tree::open(directory.path(), true).unwrap();
        let a = tree.open_directory(b"a").unwrap();
        let mut names = Vec::new();
        tree.children(a.as_fd(), |name, _| names.push(name.to_vec())).unwrap();
        assert_eq!(names, [b"b".to_vec()]);
        assert!(tree.open_directory(b"a/link").is_err());
        assert_eq!(read_populated(a.as_fd()), Ok(Some(true)));
        assert_eq!(first_process(a.as_fd()), Err(Errno::NOENT));
    }

    #[test]
    fn a_path_longer_than_the_kernel_takes_is_opened_by_its_components() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path(), false).unwrap();
        let name = "n".repeat(250);
        let mut path = String::new();
        for _ in 0..20 {
            let parent = tree.open_directory(path.as_bytes()).unwrap();
            rustix::fs::mkdirat(&parent, name.as_str(), Mode::RWXU).unwrap();
            path.push_str(&name);
            path.push('/');
        }
        assert!(path.len() > 4096);
        let directory = tree.open_directory(path.as_bytes()).unwrap();
        assert!(tree.entry(directory.as_fd()).is_ok());
    }
}
