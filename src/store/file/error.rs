//! What can go wrong with the ring file, and what the caller may do about it.
//!
//! In: the errno of a system call, or a request that cannot be met. Out: one [`FileError`] with the path in it and one
//! [`Remedy`]. It never retries anything itself: only the caller knows when that makes sense. Next: who opened the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

/// What the caller may do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The state of the machine is in the way and may change: go on in memory and try the same again later.
    TryLater,
    /// Trying again is of no use before somebody has changed something: go on in memory, and say so.
    GiveUp,
    /// The caller asked for what cannot be: it is a mistake in the program.
    Mistake,
}

/// One folder's errors; every message says what to do next.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FileError {
    /// The geometry cannot be laid out.
    #[error("a ring file cannot be divided like this: {reason}")]
    Geometry {
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Somebody else writes to this folder.
    #[error(
        "{} is in use by another process (waited {} s): stop the other agent, or give this one a folder of its own",
        path.display(), waited.as_secs()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// How long the lock was waited for.
        waited: Duration,
    },
    /// The name is taken by something that is no regular file.
    #[error("{} is a symbolic link or no regular file, and is not followed: remove it or choose another folder", path.display())]
    NotARegularFile {
        /// The name.
        path: PathBuf,
    },
    /// A file of somebody else.
    #[error("{} is not a ring file and is left as it is: move it away or choose another folder", path.display())]
    NotARingFile {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to read (reading only).
    #[error("{} does not exist: name the folder that the agent keeps its ring in", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// Another version wrote it (reading only).
    #[error("{} has format version {version}: read it with the version of ringside that wrote it", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its format version.
        version: u32,
    },
    /// Its superblock is unreadable (reading only).
    #[error("the superblock of {} is damaged: nothing in it can be found; an agent that writes there begins anew", path.display())]
    Superblock {
        /// The file.
        path: PathBuf,
    },
    /// No room on the filesystem, in the quota, or under the limit of file sizes.
    #[error("{}: {operation}: no room ({errno}): free some space or make the ring smaller", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// The system call.
        operation: &'static str,
        /// What it said.
        errno: Errno,
    },
    /// The filesystem takes no writes.
    #[error("{}: {operation}: the filesystem is read-only: mount it writable or choose another folder", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// The system call.
        operation: &'static str,
    },
    /// The process may not.
    #[error("{}: {operation}: {errno}: let the agent's user own the folder, or choose another one", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
        /// The system call.
        operation: &'static str,
        /// What it said.
        errno: Errno,
    },
    /// Memory for the contents could not be had.
    #[error("{} needs {bytes} bytes of memory to be read and they cannot be had: raise the memory limit", path.display())]
    NoMemory {
        /// The file.
        path: PathBuf,
        /// How much was asked for.
        bytes: u64,
    },
    /// Anything else, above all EIO.
    #[error("{}: {operation}: {errno}: look at the kernel's log: the disk may be failing, or its filesystem not be fit for this", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system call.
        operation: &'static str,
        /// What it said.
        errno: Errno,
    },
    /// A write that would leave its slot or arena.
    #[error("{needed} bytes do not fit into the {room} bytes left in the {place}: begin a new one or write less")]
    PastTheEnd {
        /// Which part of the file.
        place: &'static str,
        /// How much was to be written.
        needed: u64,
        /// How much fits.
        room: u64,
    },
    /// An offset that no reader would find again.
    #[error("a segment cannot begin at {offset}: offsets are multiples of {align}")]
    Misaligned {
        /// The offset.
        offset: u64,
        /// What it must be a multiple of.
        align: u64,
    },
    /// Bytes that were not framed for this file.
    #[error("these bytes are no segment of this file: frame them with its framer first")]
    NotASegment,
    /// A record without a log.
    #[error("no log is open: begin one first")]
    NoLog,
    /// Epochs only grow.
    #[error("epoch {given} is not newer than {newest}: begin the log with a greater one")]
    OldEpoch {
        /// The epoch asked for.
        given: u64,
        /// The greatest one that the file has seen.
        newest: u64,
    },
}

impl FileError {
    /// Sorts an errno by what can be done about it.
    pub(super) fn of(path: &Path, operation: &'static str, errno: Errno) -> Self {
        let path = path.to_path_buf();
        match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::NoRoom { path, operation, errno },
            Errno::ROFS => Self::ReadOnly { path, operation },
            Errno::ACCESS | Errno::PERM => Self::Denied { path, operation, errno },
            _ => Self::Io { path, operation, errno },
        }
    }

    /// What the caller may do.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::NoRoom { .. } | Self::ReadOnly { .. } | Self::Locked { .. } | Self::NoMemory { .. } => {
                Remedy::TryLater
            }
            Self::NotARegularFile { .. }
            | Self::NotARingFile { .. }
            | Self::Absent { .. }
            | Self::OtherVersion { .. }
            | Self::Superblock { .. }
            | Self::Denied { .. }
            | Self::Io { .. } => Remedy::GiveUp,
            Self::Geometry { .. }
            | Self::PastTheEnd { .. }
            | Self::Misaligned { .. }
            | Self::NotASegment
            | Self::NoLog
            | Self::OldEpoch { .. } => Remedy::Mistake,
        }
    }
}
