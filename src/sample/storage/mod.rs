//! Filesystem usage of containers and pods: writable layer, logs, volumes.
//!
//! In: who is there, and what the runtimes say about files. Out: a [`StorageUsage`] for each container and pod, counted by
//! a thread of its own (`ringside-walk`) that stays below one percent of a CPU. Three sources, in this order: the runtime's
//! own count, the filesystem's project quota, a walk. It is off the tick. Next: [`details`](super::details).

mod ask;
mod host;
mod pace;
mod plan;
mod publish;
mod walk;
mod watch;

use std::sync::Arc;

pub use host::{Access, access};
pub use walk::{Bounds, Count, Walk, Which};
pub use watch::{StorageOptions, StorageWatch};

use crate::units::UnixNanos;

/// Who counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsageSource {
    /// The container runtime, asked over CRI.
    Cri,
    /// The filesystem's project quota.
    Quota,
    /// The filesystem as a whole (statvfs): the tree is a mount of its own.
    Statvfs,
    /// The storage thread, inode by inode.
    #[default]
    Walk,
}

impl UsageSource {
    /// The word used as a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cri => "cri",
            Self::Quota => "quota",
            Self::Statvfs => "statvfs",
            Self::Walk => "walk",
        }
    }
}

/// What a directory tree takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeUsage {
    /// Allocated bytes (`st_blocks × 512`), each inode counted once.
    pub used_bytes: u64,
    /// Inodes.
    pub inodes: u64,
    /// When it was counted.
    pub counted_at: UnixNanos,
    /// Who counted.
    pub source: UsageSource,
    /// True when there is more than this: the tree is too big, too deep, or not readable everywhere.
    pub is_partial: bool,
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
    /// The name of the volume's directory: of an emptyDir the name in the pod's specification, of a claim the persistent
    /// volume's.
    pub name: Arc<str>,
    /// Kubernetes' plugin directory name: `kubernetes.io~empty-dir`.
    pub plugin: Arc<str>,
    /// What it takes up.
    pub usage: TreeUsage,
    /// What it is on.
    pub backing: Arc<Backing>,
    /// True when it is a mount of its own: a claim, or an emptyDir in memory.
    pub is_mount: bool,
}

impl VolumeUsage {
    /// Whether it counts as the pod's ephemeral storage: emptyDirs that are not in memory, configuration and clones, as the
    /// kubelet has it.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        const LOCAL: [&str; 3] = ["kubernetes.io~empty-dir", "kubernetes.io~configmap", "kubernetes.io~git-repo"];
        !self.is_mount && LOCAL.contains(&&*self.plugin)
    }
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
    /// A pod's writable layers, logs and ephemeral volumes together; as old as its oldest part. Absent until every part
    /// has been counted.
    pub ephemeral_storage: Option<TreeUsage>,
}
