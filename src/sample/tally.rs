//! Counts that outlive a container: OOM kills, restarts and exits per (namespace, pod, container).
//!
//! A container that is killed and started again is a new cgroup whose counters begin at 0. What users ask for is the
//! count of the workload, so the sum of the ended instances is carried here. Bounded: at the cap the entry that has
//! been without a living instance for longest goes first, and that it went is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What a tally is kept for. Outside Kubernetes `namespace` and `pod` are empty and `container` is the container's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TallyKey {
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// Pod name.
    pub pod: Arc<str>,
    /// Container name.
    pub container: Arc<str>,
}

/// The counts of one (namespace, pod, container) since the agent first saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Processes killed by the OOM killer, over all instances.
    pub oom_kills: u64,
    /// Times a new instance followed an ended one, or the runtime's own count if that is higher.
    pub restarts: u64,
    /// CPU time of all instances, ended and living, in microseconds.
    pub cpu_usage_usec: u64,
    /// Ends by (exit code, reason).
    pub exits: BTreeMap<(i32, Arc<str>), u64>,
}

/// All tallies at one tick.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tallies {
    /// By key.
    pub entries: BTreeMap<TallyKey, Tally>,
    /// Entries that were dropped at the cap.
    pub evicted: u64,
}
