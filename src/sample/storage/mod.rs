//! Filesystem usage of containers and pods: writable layer, logs, volumes.
//!
//! In: who is there. Out: a [`StorageUsage`] for each container and pod. Next: [`details`](super::details).

mod pace;
mod walk;

use std::sync::Arc;

use crate::units::UnixNanos;

/// What a directory tree takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeUsage {
    /// Allocated bytes (`st_blocks × 512`), each inode counted once.
    pub used_bytes: u64,
    /// Inodes.
    pub inodes: u64,
    /// When it was counted.
    pub counted_at: UnixNanos,
}

/// The filesystem that a tree is on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backing {
    /// Device, as `/dev/vda1`; empty where none is known.
    pub device: Arc<str>,
    /// Filesystem type, as in mountinfo.
    pub kind: Arc<str>,
    /// Size.
    pub capacity_bytes: u64,
    /// Free for unprivileged users.
    pub available_bytes: u64,
    /// Inodes it can hold; 0 where the filesystem does not say.
    pub inodes: u64,
    /// Inodes free.
    pub inodes_free: u64,
}

/// A volume of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUsage {
    /// The volume's name in the pod's specification.
    pub name: Arc<str>,
    /// Kubernetes' plugin directory name: `kubernetes.io~empty-dir`.
    pub plugin: Arc<str>,
    /// What it takes up.
    pub usage: TreeUsage,
    /// What it is on.
    pub backing: Arc<Backing>,
}

/// What one container or pod keeps on filesystems. Absent parts were not counted, or do not exist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageUsage {
    /// A container's writable layer.
    pub writable_layer: Option<TreeUsage>,
    /// What the writable layer is on.
    pub writable_layer_backing: Option<Arc<Backing>>,
    /// A container's logs, rotated ones included.
    pub logs: Option<TreeUsage>,
    /// What the logs are on.
    pub logs_backing: Option<Arc<Backing>>,
    /// A pod's volumes; of a container always empty.
    pub volumes: Vec<VolumeUsage>,
}
