//! What the sets that are read off the tick say, and which of them are on.
//!
//! In: nothing. Out: plain data, one part per set. A cgroup that is in no map of a set has no series of it. Next:
//! [`Details`](super::Details).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::numa::NumaPages;
use super::perf::PerfCount;
use super::processes::ProcessStats;
use super::resctrl::CacheUse;
use super::sockets::{SocketStates, TcpCounters};
use super::target::LeftOut;
use super::tasks::{Scheduling, TaskStates};
use super::topology::Topology;
use crate::kernel::perf::PerfEvent;
use crate::sample::SubjectId;

/// Which sets are read. cAdvisor's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetailOptions {
    /// `process`: descriptors, sockets, limit on open files.
    pub process: bool,
    /// `sched`: times of tasks.
    pub sched: bool,
    /// `cpuLoad`: states of tasks, load averages.
    pub cpu_load: bool,
    /// `tcp`: sockets by state.
    pub tcp: bool,
    /// `udp`: sockets and their queues.
    pub udp: bool,
    /// `advtcp`: the kernel's TCP counters.
    pub advtcp: bool,
    /// `memory_numa`: memory by NUMA node.
    pub memory_numa: bool,
    /// `cpuset`: whether memory moves with the nodes.
    pub cpuset: bool,
    /// `cpu_topology`: caches, cores, nodes.
    pub cpu_topology: bool,
    /// `resctrl`: cache occupancy and memory bandwidth of groups that exist.
    pub resctrl: bool,
    /// `perf_event`: these events; none turns the set off.
    pub perf_events: Vec<PerfEvent>,
    /// `referenced_memory`: memory that was touched.
    pub referenced_memory: bool,
    /// The marks of touched memory are cleared after every so many readings; 0 never does.
    pub referenced_reset: u64,
}

impl DetailOptions {
    /// Whether the agent needs the thread that reads them.
    #[must_use]
    pub fn any(&self) -> bool {
        let none = Self { referenced_reset: self.referenced_reset, ..Self::default() };
        *self != none
    }

    /// cAdvisor's names of those that are on.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.process, "process"),
            (self.sched, "sched"),
            (self.cpu_load, "cpuLoad"),
            (self.tcp, "tcp"),
            (self.udp, "udp"),
            (self.advtcp, "advtcp"),
            (self.memory_numa, "memory_numa"),
            (self.cpuset, "cpuset"),
            (self.cpu_topology, "cpu_topology"),
            (self.resctrl, "resctrl"),
            (!self.perf_events.is_empty(), "perf_event"),
            (self.referenced_memory, "referenced_memory"),
        ];
        all.into_iter().filter(|(on, _)| *on).map(|(_, name)| name)
    }
}

/// What was read in the last cycle.
#[derive(Debug, Clone, Default)]
pub struct Sets {
    /// `process`.
    pub processes: Arc<BTreeMap<SubjectId, ProcessStats>>,
    /// `sched`.
    pub scheduling: Arc<BTreeMap<SubjectId, Scheduling>>,
    /// `cpuLoad`.
    pub tasks: Arc<BTreeMap<SubjectId, TaskStates>>,
    /// `tcp` and `udp`, under the cgroups that network namespaces are shown under.
    pub sockets: Arc<BTreeMap<SubjectId, SocketStates>>,
    /// `advtcp`, under the same.
    pub tcp_counters: Arc<BTreeMap<SubjectId, TcpCounters>>,
    /// `memory_numa`.
    pub numa: Arc<BTreeMap<SubjectId, Vec<NumaPages>>>,
    /// `cpuset`: v1's `cpuset.memory_migrate`.
    pub memory_migrate: Arc<BTreeMap<SubjectId, u64>>,
    /// `cpu_topology`, and memory modules.
    pub topology: Arc<Topology>,
    /// `resctrl`.
    pub cache_use: Arc<BTreeMap<SubjectId, Vec<CacheUse>>>,
    /// `perf_event`.
    pub perf: Arc<BTreeMap<SubjectId, Vec<PerfCount>>>,
    /// `referenced_memory`, in bytes.
    pub referenced_bytes: Arc<BTreeMap<SubjectId, u64>>,
    /// What the reading costs, and what it left out.
    pub reading: Arc<DetailReading>,
}

/// What the reading off the tick costs, and what it left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetailReading {
    /// Cycles that have been read to their end; counter.
    pub cycles: u64,
    /// How long the last one took, its pauses included; microseconds.
    pub last_cycle_usec: u64,
    /// CPU time of the reading thread; microseconds, counter.
    pub cpu_usec: u64,
    /// What was not shown, by set and reason; counters.
    pub left_out: LeftOut,
}
