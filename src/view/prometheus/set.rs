//! The sets that families are chosen by: cAdvisor's, node_exporter's collectors, and our own.
//!
//! In: nothing. Out: one [`Set`] for each family, with the names that users know it by. Next: [`family`](super::family).

/// A set of families that is turned on and off as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    /// Identity, limits, times: always there, as cAdvisor has it.
    Always,
    /// cAdvisor's `cpu`.
    Cpu,
    /// cAdvisor's `percpu`: CPU time by CPU, where the kernel counts it so.
    PerCpu,
    /// cAdvisor's `sched`.
    Sched,
    /// cAdvisor's `cpuLoad`.
    CpuLoad,
    /// cAdvisor's `memory`.
    Memory,
    /// cAdvisor's `cpuset`.
    Cpuset,
    /// cAdvisor's `memory_numa`.
    MemoryNuma,
    /// cAdvisor's `hugetlb`.
    Hugetlb,
    /// cAdvisor's `disk`: filesystem usage.
    Disk,
    /// cAdvisor's `diskIO`.
    DiskIo,
    /// cAdvisor's `network`.
    Network,
    /// cAdvisor's `tcp`.
    Tcp,
    /// cAdvisor's `udp`.
    Udp,
    /// cAdvisor's `advtcp`.
    AdvTcp,
    /// cAdvisor's `process`.
    Process,
    /// cAdvisor's `perf_event`.
    PerfEvent,
    /// cAdvisor's `referenced_memory`.
    ReferencedMemory,
    /// cAdvisor's `resctrl`.
    Resctrl,
    /// cAdvisor's `cpu_topology`.
    CpuTopology,
    /// cAdvisor's `oom_event`.
    OomEvent,
    /// cAdvisor's `pressure`.
    Pressure,
    /// A collector of node_exporter, by its name there.
    Node(&'static str),
    /// What cAdvisor does not have of cgroups: `detail`.
    Detail,
    /// The highest values since the last scrape: `peak`.
    Peak,
    /// The distribution of what happened between two scrapes: `distribution`.
    Distribution,
    /// Counts that outlive containers, by container, workload and namespace: `workload`.
    Workload,
    /// The agent about itself: `agent`.
    Agent,
}
