//! What the agent's own reading costs and what went wrong in it. Part of every sample; the views export it.

use crate::units::ErrorClass;

/// Kernel files whose errors are counted apart. Small and fixed, so that counting allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SourceFile {
    /// cpu.stat, cpuacct.*
    CpuStat,
    /// cpu.max, cpu.weight, cpu.cfs_*, cpu.shares
    CpuLimits,
    /// memory.current, memory.usage_in_bytes, peak, swap
    MemoryCurrent,
    /// memory.stat
    MemoryStat,
    /// memory.events, memory.oom_control
    MemoryEvents,
    /// memory.max and its kin
    MemoryLimits,
    /// io.stat, blkio.*
    IoStat,
    /// *.pressure
    Pressure,
    /// pids.*
    Pids,
    /// hugetlb.*
    Hugetlb,
    /// cgroup.stat, cgroup.events, cgroup.procs
    Cgroup,
    /// /proc/PID/net/dev
    NetDev,
    /// /proc/stat, meminfo, vmstat, loadavg, uptime, diskstats, pressure
    Node,
    /// statvfs of mounts
    Filesystem,
}

impl SourceFile {
    /// Every group, in the order of the exposition.
    pub const ALL: [Self; 14] = [
        Self::CpuStat,
        Self::CpuLimits,
        Self::MemoryCurrent,
        Self::MemoryStat,
        Self::MemoryEvents,
        Self::MemoryLimits,
        Self::IoStat,
        Self::Pressure,
        Self::Pids,
        Self::Hugetlb,
        Self::Cgroup,
        Self::NetDev,
        Self::Node,
        Self::Filesystem,
    ];

    /// The word used as a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CpuStat => "cpu.stat",
            Self::CpuLimits => "cpu.max",
            Self::MemoryCurrent => "memory.current",
            Self::MemoryStat => "memory.stat",
            Self::MemoryEvents => "memory.events",
            Self::MemoryLimits => "memory.max",
            Self::IoStat => "io.stat",
            Self::Pressure => "pressure",
            Self::Pids => "pids.current",
            Self::Hugetlb => "hugetlb",
            Self::Cgroup => "cgroup",
            Self::NetDev => "net/dev",
            Self::Node => "node",
            Self::Filesystem => "statvfs",
        }
    }
}

/// Upper bounds of the tick duration histogram, in microseconds; the last bucket is open.
pub const TICK_BUCKETS_USEC: [u64; 10] =
    [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000];

/// Counts since the agent started, stamped into each sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelfStats {
    /// Ticks that were due and not begun, because an earlier one took too long or the process was stopped.
    pub missed_ticks: u64,
    /// How long the last tick's reading took, in nanoseconds.
    pub tick_duration_nanos: u64,
    /// How late the last tick began, in nanoseconds.
    pub tick_delay_nanos: u64,
    /// Ticks by duration, one count per bucket of [`TICK_BUCKETS_USEC`] and one for longer ones; not cumulative.
    pub tick_histogram: [u64; TICK_BUCKETS_USEC.len() + 1],
    /// Sum of all tick durations, in nanoseconds.
    pub tick_duration_sum_nanos: u64,
    /// CPU time of the sampling thread, in nanoseconds.
    pub thread_cpu_nanos: u64,
    /// Failed reads by file and class.
    pub read_errors: [[u64; ErrorClass::ALL.len()]; SourceFile::ALL.len()],
    /// Descriptors that are kept open for the tick.
    pub kept_files: u64,
    /// The most descriptors that may be kept.
    pub kept_files_limit: u64,
    /// Cgroups read now.
    pub cgroups: u64,
    /// Cgroups not read because there are too many, they lie too deep or their names are too long.
    pub cgroups_shed: u64,
    /// Discovery events handled.
    pub discoveries: u64,
    /// Interval between ticks, in nanoseconds.
    pub interval_nanos: u64,
}

impl SelfStats {
    /// Counts a failed read.
    pub fn count_error(&mut self, file: SourceFile, class: ErrorClass) {
        if let Some(count) = self.read_errors.get_mut(file as usize).and_then(|row| row.get_mut(class as usize)) {
            *count += 1;
        }
    }
}
