//! Who a cgroup belongs to: the plain data that discovery hands on.
//!
//! In: nothing. Out: [`CgroupIdentity`] (read from the path, never changes) and [`Metadata`] (told by a runtime,
//! may come late or never). A cgroup without metadata is still shown, by its path. Next: `sample/`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::units::UnixNanos;

/// What kind of cgroup a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CgroupKind {
    /// The root of the hierarchy (`/`): the node.
    Root,
    /// A container of any runtime.
    Container,
    /// The pause container that holds a pod's namespaces.
    Sandbox,
    /// A Kubernetes pod's cgroup (parent of its containers).
    Pod,
    /// A Kubernetes quality-of-service parent (`kubepods`, `burstable`, `besteffort`).
    Qos,
    /// A systemd service unit.
    Service,
    /// A systemd slice.
    Slice,
    /// A systemd scope that is not a container.
    Scope,
    /// Anything else.
    Other,
}

/// The container runtime that made a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Docker Engine.
    Docker,
    /// containerd (by CRI, nerdctl or ctr).
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
}

impl Runtime {
    /// The word used in labels and in container references (`docker://…`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
        }
    }
}

/// A pod's quality-of-service class, from its cgroup parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QosClass {
    /// Requests equal limits.
    Guaranteed,
    /// Some requests.
    Burstable,
    /// No requests.
    BestEffort,
}

/// What the cgroup path alone says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupIdentity {
    /// Path below the hierarchy root, beginning with `/`; bytes that are not UTF-8 are shown as `\xNN`.
    pub path: Arc<str>,
    /// Kind by path; the runtime's word later tells [`CgroupKind::Sandbox`] from [`CgroupKind::Container`].
    pub kind: CgroupKind,
    /// Runtime, where the path's shape names it.
    pub runtime: Option<Runtime>,
    /// Full container ID as the runtime gave it.
    pub container_id: Option<Arc<str>>,
    /// Pod UID with dashes (static pods: their 32 hexadecimal digits).
    pub pod_uid: Option<Arc<str>>,
    /// Quality-of-service class for pods and their containers.
    pub qos: Option<QosClass>,
    /// ID of the container inside which this cgroup lies (crun's leaf, an init system, a node in a container), if
    /// any. Its usage is already part of that container's, and whoever runs there chose its name.
    pub outer_container: Option<Arc<str>>,
}

/// What a container runtime says about one container, or a CRI runtime about one pod (its sandbox).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The name that cAdvisor shows as `name`: Docker's and Podman's container name; for CRI the container ID.
    pub name: String,
    /// Image as it was asked for.
    pub image: String,
    /// Kubernetes namespace of the pod.
    pub namespace: Option<String>,
    /// Kubernetes pod name.
    pub pod: Option<String>,
    /// Pod UID as the runtime knows it.
    pub pod_uid: Option<String>,
    /// Container name inside the pod; for a sandbox `None`.
    pub container: Option<String>,
    /// True for the pod's pause container.
    pub sandbox: bool,
    /// All labels that the runtime keeps (capped in count and size at the reader).
    pub labels: BTreeMap<String, String>,
    /// The runtime that said so.
    pub runtime: Option<Runtime>,
    /// When the container was created.
    pub created_at: Option<UnixNanos>,
    /// When its process was started.
    pub started_at: Option<UnixNanos>,
    /// How often the orchestrator restarted it (CRI `attempt`, Docker `RestartCount`).
    pub restart_count: Option<u32>,
    /// Process ID of the container's init in the agent's PID namespace.
    pub pid: Option<u32>,
    /// True when the pod or container shares the host's network namespace.
    pub host_network: bool,
    /// Docker health: `Some(true)` healthy, `Some(false)` starting or unhealthy, `None` without a check.
    pub healthy: Option<bool>,
    /// Who owns the pod, where the API server tells; never guessed from its name.
    pub owner: Option<Arc<Owner>>,
}

/// A pod's owner: its `ownerReferences` entry that is the controller. A ReplicaSet that a Deployment made, which its name
/// and the pod's label `pod-template-hash` say together, stands as that Deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// `Deployment`, `StatefulSet`, `Job`, …
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitRecord {
    /// Exit status of its init process (128 + signal when killed).
    pub code: i32,
    /// The runtime's word: `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// When it ended, if the runtime says.
    pub finished_at: Option<UnixNanos>,
}

/// One cgroup with all that is known about it now. Immutable: new knowledge is a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// From the path.
    pub identity: CgroupIdentity,
    /// Inode of the cgroup directory: tells a reused name from the same cgroup.
    pub inode: u64,
    /// From the runtime; for a pod's cgroup its sandbox's metadata.
    pub metadata: Option<Arc<Metadata>>,
    /// When the cgroup appeared, as far as its directory tells.
    pub created_at: UnixNanos,
}

impl Workload {
    /// Kind, with the runtime's knowledge of sandboxes applied.
    #[must_use]
    pub fn kind(&self) -> CgroupKind {
        match &self.metadata {
            Some(metadata) if metadata.sandbox && self.identity.kind == CgroupKind::Container => CgroupKind::Sandbox,
            _ => self.identity.kind,
        }
    }
}

/// What discovery tells the sampler, in the order in which it was seen.
#[derive(Debug, Clone)]
pub enum Discovery {
    /// A cgroup exists. Sent once per (path, inode); the sampler opens its files and reads it at once.
    Born {
        /// Path below the hierarchy root as bytes, without the leading `/`; empty for the root.
        path: Box<[u8]>,
        /// Who it is so far.
        workload: Arc<Workload>,
    },
    /// The last process of this cgroup has exited (`cgroup.events` says `populated 0`, or its init's pidfd fired):
    /// read its counters once more now, before the directory goes.
    Emptied {
        /// As in [`Discovery::Born`].
        path: Box<[u8]>,
        /// Inode of the directory it was true for.
        inode: u64,
    },
    /// The directory is gone.
    Removed {
        /// As in [`Discovery::Born`].
        path: Box<[u8]>,
        /// Inode of the directory that went.
        inode: u64,
    },
    /// A runtime described a container; `pod_uid` in it also describes the pod's cgroup when `sandbox` is set.
    Described {
        /// Full container ID.
        container_id: Arc<str>,
        /// What the runtime says.
        metadata: Arc<Metadata>,
    },
    /// A runtime reported the end of a container.
    Exited {
        /// Full container ID.
        container_id: Arc<str>,
        /// How it ended.
        exit: ExitRecord,
    },
    /// How many cgroups are left out now, because there are too many, they lie too deep or their names are too long.
    /// Sent when the number changes.
    LeftOut {
        /// Directories, in the hierarchy that has most of them.
        cgroups: u64,
    },
    /// The kernel log named a victim of the OOM killer (`/dev/kmsg`).
    OomKilled {
        /// Path of the cgroup whose limit was hit, with the leading `/`.
        oom_memcg: String,
        /// Path of the victim's cgroup, with the leading `/`.
        task_memcg: String,
        /// Name of the killed process.
        process: String,
        /// Its process ID in the initial namespace.
        pid: u32,
    },
}
