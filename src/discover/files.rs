//! Where a container's files are, and what its runtime counted of them: told beside the descriptions, because numbers
//! change all the time and a description must not.
//!
//! In: the runtimes' tasks. Out: [`ContainerFiles`] by container, copied out by whoever counts storage. It is off the
//! tick: nobody waits for it. Next: `sample/storage`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::runtimes::Book;
use crate::units::UnixNanos;

/// What a runtime counted of a container's writable layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerUsage {
    /// CRI `used_bytes`; gauge.
    pub used_bytes: u64,
    /// CRI `inodes_used`; gauge; absent where the runtime does not count them.
    pub inodes: Option<u64>,
    /// CRI `fs_id.mountpoint`: a folder of the filesystem that it is on, as the host sees it.
    pub mountpoint: Option<PathBuf>,
    /// When the runtime counted.
    pub counted_at: UnixNanos,
}

/// What a runtime says about a container's files. Paths are the host's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerFiles {
    /// The writable layer (Docker `GraphDriver.Data.UpperDir`).
    pub upper_dir: Option<PathBuf>,
    /// The log file that is written now.
    pub log_path: Option<PathBuf>,
    /// True when the runtime is asked for counts of the writable layer, so that it is worth waiting for them.
    pub is_counted: bool,
    /// Its newest count.
    pub writable_layer: Option<LayerUsage>,
}

/// What the runtimes say about files, by full container ID. Cheap to clone.
#[derive(Clone)]
pub struct KnownFiles(pub(super) Arc<Mutex<Book>>);

impl KnownFiles {
    /// A copy of everything that is known now. Takes a short lock, and never waits for a runtime.
    #[must_use]
    pub fn all(&self) -> HashMap<Arc<str>, ContainerFiles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).files()
    }
}
