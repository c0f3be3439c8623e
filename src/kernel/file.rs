//! Opening and reading kernel files.
//!
//! In: a path (for roots) or a folder's descriptor and one name. Out: the file's bytes, in a buffer that the caller
//! owns and keeps, so that a read allocates nothing once the buffer has grown.
//! Source: `Documentation/filesystems/seq_file.rst`, `fs/seq_file.c`, `fs/kernfs/file.c`; openat2(2).
//! Never parses, never follows a link below a root, never holds a lock. Next: the readers of `sample/`, with the
//! parsers of this folder.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::KernelError;
use crate::units::ErrorClass;

/// How the kernel makes a file's text, which decides when a short read is the end.
///
/// A `seq_file` gives one read whole records up to the size of its page. A file that is *one* record (all cgroup files
/// but the lists of pids, `/proc/stat`, `meminfo`, pressure) gets a bigger page until the record fits, so a read that
/// leaves room in our buffer has everything. A file of *many* records returns what fits 4 KiB although more follows:
/// `cgroup.procs` of 1,500 processes (9,000 bytes) comes in reads of 4092, 4092, 816 and 0 bytes whatever the buffer,
/// and `/proc/diskstats`, `vmstat`, `mountinfo` do the same. Only 0 ends those. The read that returns 0 costs 0.2 µs,
/// which is a third of a hot `memory.current`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records {
    /// The file is one record: a short read that ends in a newline is the end.
    One,
    /// The file has a record per line, or it is not known: read until 0.
    Many,
}

impl Records {
    /// How the cgroup file `name` is made.
    #[must_use]
    pub fn of_cgroup_file(name: &str) -> Self {
        match name {
            "cgroup.procs" | "cgroup.threads" | "tasks" => Self::Many,
            _ => Self::One,
        }
    }
}

/// A buffer for the bytes of one file at a time; it grows to a cap and never shrinks.
#[derive(Debug)]
pub struct ReadBuffer {
    bytes: Vec<u8>,
    most_bytes: usize,
}

impl ReadBuffer {
    /// What a buffer starts with: room for every file of a container.
    const FIRST_BYTES: usize = 16 << 10;

    /// The cap of [`ReadBuffer::default`].
    pub const DEFAULT_MOST_BYTES: usize = 1 << 20;

    /// A buffer that refuses files of `most_bytes` or more.
    #[must_use]
    pub fn new(most_bytes: usize) -> Self {
        Self { bytes: vec![0; Self::FIRST_BYTES.min(most_bytes)], most_bytes }
    }

    /// Doubles the room, up to the cap.
    fn grow(&mut self) -> Result<(), ErrorClass> {
        let wanted = self.bytes.len().saturating_mul(2).clamp(1, self.most_bytes.max(1));
        if wanted <= self.bytes.len() {
            return Err(ErrorClass::Malformed);
        }
        // Exact, so that the cap is the cap of what is held.
        self.bytes.reserve_exact(wanted.saturating_sub(self.bytes.len()));
        self.bytes.resize(wanted, 0);
        Ok(())
    }

    /// The bytes that are held, for the budget of the agent's memory.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self::new(Self::DEFAULT_MOST_BYTES)
    }
}

/// Reads all of `fd` from its start.
fn read_all<'b>(fd: BorrowedFd<'_>, records: Records, buffer: &'b mut ReadBuffer) -> Result<&'b [u8], ErrorClass> {
    let mut length = 0usize;
    loop {
        if length == buffer.bytes.len() {
            buffer.grow()?;
        }
        let Some(free) = buffer.bytes.get_mut(length..) else { return Err(ErrorClass::Other) };
        let room = free.len();
        let offset = u64::try_from(length).map_err(|_| ErrorClass::Other)?;
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut *free, offset)).map_err(ErrorClass::of)?;
        if count == 0 {
            break;
        }
        length = length.saturating_add(count);
        let ends = records == Records::One && count < room;
        if ends && buffer.bytes.get(..length).is_some_and(|bytes| bytes.ends_with(b"\n")) {
            break;
        }
    }
    buffer.bytes.get(..length).ok_or(ErrorClass::Other)
}

/// A kernel file that stays open, so that reading it again is one system call.
///
/// It costs up to 5.4 KB of kernel memory: for hot files, under a budget. Never for `/proc/PID/net/dev`, where it
/// would hold the network namespace alive. Reading one whose cgroup was removed gives [`ErrorClass::Gone`].
#[derive(Debug)]
pub struct KernelFile {
    fd: OwnedFd,
    records: Records,
}

/// Flags of every file that is opened: never a terminal, never blocking in open, never a link as last part.
const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Flags of every folder: a handle for `openat` alone, which needs no permission to list.
const DIR_FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl KernelFile {
    /// Opens a file of `/proc` or `/sys` by its path.
    ///
    /// # Errors
    /// [`KernelError::Open`] with the class of the error.
    pub fn open(path: &Path, records: Records) -> Result<Self, KernelError> {
        let fd = rustix::fs::openat(CWD, path, FILE_FLAGS, Mode::empty())
            .map_err(|errno| KernelError::Open { path: path.to_owned(), class: ErrorClass::of(errno) })?;
        Ok(Self { fd, records })
    }

    /// The inode's number. For `/proc/PID/net/*` it names the network namespace, and takes no permission to ask.
    ///
    /// # Errors
    /// The class of the error.
    pub fn inode(&self) -> Result<u64, ErrorClass> {
        rustix::fs::fstat(&self.fd).map(|stat| stat.st_ino).map_err(ErrorClass::of)
    }

    /// Reads the file from its start into `buffer`.
    ///
    /// # Errors
    /// The class of the error; [`ErrorClass::Malformed`] when the file does not fit the buffer's cap.
    pub fn read_into<'b>(&self, buffer: &'b mut ReadBuffer) -> Result<&'b [u8], ErrorClass> {
        read_all(self.fd.as_fd(), self.records, buffer)
    }
}

/// A folder of cgroupfs, procfs or sysfs: a descriptor that names this folder and no later one of the same name.
#[derive(Debug)]
pub struct KernelDir {
    fd: OwnedFd,
}

impl KernelDir {
    /// Opens the root of a hierarchy, or any folder that is trusted as a root. Links in `path` are followed.
    ///
    /// # Errors
    /// [`KernelError::Open`] with the class of the error.
    pub fn open_root(path: &Path) -> Result<Self, KernelError> {
        let fd = rustix::fs::openat(CWD, path, DIR_FLAGS, Mode::empty())
            .map_err(|errno| KernelError::Open { path: path.to_owned(), class: ErrorClass::of(errno) })?;
        Ok(Self { fd })
    }

    /// Opens the folder at `below`, a relative path that may not leave this folder nor pass a link.
    ///
    /// # Errors
    /// The class of the error: [`ErrorClass::Gone`] when it has been removed, [`ErrorClass::Other`] for a path that
    /// leaves the folder or passes a link.
    pub fn open_below(&self, below: &Path) -> Result<Self, ErrorClass> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.fd, below, DIR_FLAGS, Mode::empty(), resolve) {
            Ok(fd) => Ok(Self { fd }),
            // Linux before 5.6, or a seccomp profile that does not know the call and answers EPERM.
            Err(Errno::NOSYS | Errno::PERM) => self.open_each_part(below),
            Err(errno) => Err(ErrorClass::of(errno)),
        }
    }

    /// [`KernelDir::open_below`] without `openat2`: part by part, none of them a link.
    fn open_each_part(&self, below: &Path) -> Result<Self, ErrorClass> {
        let mut opened: Option<OwnedFd> = None;
        for part in below.components() {
            let name = match part {
                Component::Normal(name) => name,
                Component::CurDir => continue,
                Component::Prefix(_) | Component::RootDir | Component::ParentDir => return Err(ErrorClass::Other),
            };
            let at = opened.as_ref().unwrap_or(&self.fd).as_fd();
            let fd =
                rustix::fs::openat(at, name, DIR_FLAGS | OFlags::NOFOLLOW, Mode::empty()).map_err(ErrorClass::of)?;
            opened = Some(fd);
        }
        match opened {
            Some(fd) => Ok(Self { fd }),
            None => self.fd.try_clone().map(|fd| Self { fd }).map_err(|_| ErrorClass::Exhausted),
        }
    }

    /// Opens the file `name` in this folder, to be kept.
    ///
    /// # Errors
    /// The class of the error: [`ErrorClass::Gone`] when this kernel or this cgroup has no such file, or the cgroup is
    /// gone; [`ErrorClass::Other`] when `name` is not a single name.
    pub fn open_file(&self, name: &str) -> Result<KernelFile, ErrorClass> {
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            return Err(ErrorClass::Other);
        }
        let fd = rustix::fs::openat(&self.fd, name, FILE_FLAGS, Mode::empty()).map_err(ErrorClass::of)?;
        Ok(KernelFile { fd, records: Records::of_cgroup_file(name) })
    }

    /// Opens the file at `below`, a relative path that may not leave this folder nor pass a link. One system call and no
    /// allocation: for the tick.
    ///
    /// # Errors
    /// As [`KernelDir::open_below`].
    pub fn open_file_below(&self, below: &CStr, records: Records) -> Result<KernelFile, ErrorClass> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.fd, below, FILE_FLAGS, Mode::empty(), resolve) {
            Ok(fd) => Ok(KernelFile { fd, records }),
            Err(Errno::NOSYS | Errno::PERM) => {
                let path = Path::new(OsStr::from_bytes(below.to_bytes()));
                let name = path.file_name().and_then(OsStr::to_str).ok_or(ErrorClass::Other)?;
                let file = self.open_each_part(path.parent().unwrap_or(Path::new("")))?.open_file(name)?;
                Ok(KernelFile { records, ..file })
            }
            Err(errno) => Err(ErrorClass::of(errno)),
        }
    }

    /// Opens, reads and closes the file `name` in this folder: for files that are not hot.
    ///
    /// # Errors
    /// As [`KernelDir::open_file`] and [`KernelFile::read_into`].
    pub fn read_once<'b>(&self, name: &str, buffer: &'b mut ReadBuffer) -> Result<&'b [u8], ErrorClass> {
        let file = self.open_file(name)?;
        read_all(file.fd.as_fd(), file.records, buffer)
    }
}

impl AsFd for KernelDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens, reads and closes a file of `/proc` or `/sys` by its path.
///
/// # Errors
/// [`KernelError::Open`] or [`KernelError::Read`] with the class of the error.
pub fn read_path_once<'b>(path: &Path, records: Records, buffer: &'b mut ReadBuffer) -> Result<&'b [u8], KernelError> {
    let file = KernelFile::open(path, records)?;
    read_all(file.fd.as_fd(), records, buffer).map_err(|class| KernelError::Read { path: path.to_owned(), class })
}

#[cfg(test)]
mod tests;
