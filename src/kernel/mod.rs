//! WHAT BYTES does the kernel say? One kernel file's bytes → one struct in the kernel's own names and units.
//!
//! In: descriptors and bytes. Out: plain structs whose fields are the kernel's keys (`.` → `_`) with the unit in the
//! name. Reading ([`mod@file`]) and parsing are apart: a parser is a pure function over `&[u8]` that never panics, never
//! allocates on the tick, ignores unknown keys and says `None` for what is missing, negative, too big or torn.
//! Nothing here knows a container, a clock or a metric name. Next: `sample/` puts the structs into rows.
//!
//! | folder | files |
//! |---|---|
//! | [`cgroup`] | cgroup v2, and the v2 half of a hybrid machine |
//! | [`cgroup_v1`] | the controllers of cgroup v1 |
//! | [`proc`] | `/proc` |
//! | [`mod@adjtimex`] | how the clock is disciplined |
//! | [`sys`] | files of `/sys` with one value |
//! | [`sys_dev_block`], [`statvfs`], [`project_quota`] | names of block devices, sizes of filesystems, usage by project |
//! | [`process`], [`numa_stat`], [`sock_diag`], [`perf`] | what is read off the tick, because its cost has no bound |

pub mod file;
pub mod parse;

pub mod adjtimex;
pub mod cgroup;
pub mod cgroup_v1;
pub mod proc;
pub mod process;

pub mod numa_stat;
pub mod perf;
pub mod project_quota;
pub mod sock_diag;
pub mod statvfs;
pub mod sys;
pub mod sys_dev_block;

#[cfg(test)]
mod testing;

use std::path::PathBuf;

use crate::units::ErrorClass;

pub use file::{KernelDir, KernelFile, ReadBuffer, Records};
pub use parse::Malformed;

/// A kernel file that could not be opened or read.
///
/// The hot path uses [`ErrorClass`] alone, which is `Copy`; this one, with the path, is for opening roots and for
/// messages to people.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// It cannot be opened. The caller may forget it (`Gone`), ask seldom (`Unsupported`), name the missing
    /// permission (`Denied`) or try again with fewer descriptors (`Exhausted`).
    #[error("cannot open {path}: {class}", path = path.display())]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What that means.
        class: ErrorClass,
    },
    /// It was opened but reading failed. The caller treats it like [`KernelError::Open`].
    #[error("cannot read {path}: {class}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What that means.
        class: ErrorClass,
    },
}

impl KernelError {
    /// What the error means for the caller.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Open { class, .. } | Self::Read { class, .. } => *class,
        }
    }
}
