//! What the agent's own reading costs and what went wrong in it. Part of every sample; the views export it.

use super::catalogue::{AgentColumn as A, TICK_BUCKET_COLUMNS};
use super::row::Row;
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
    /// Writes the agent's row of this tick. It allocates nothing.
    pub fn put_into(&self, row: &mut Row, tick: u64) {
        let mut ticks = 0;
        for (column, count) in TICK_BUCKET_COLUMNS.into_iter().zip(self.tick_histogram) {
            ticks += count;
            row.put(column, Some(ticks));
        }
        for (column, value) in [
            (A::TickDurationSumNanos, self.tick_duration_sum_nanos),
            (A::TickDurationNanos, self.tick_duration_nanos),
            (A::TickDelayNanos, self.tick_delay_nanos),
            (A::Ticks, tick),
            (A::MissedTicks, self.missed_ticks),
            (A::SamplerCpuNanos, self.thread_cpu_nanos),
            (A::KeptFiles, self.kept_files),
            (A::KeptFilesLimit, self.kept_files_limit),
            (A::Cgroups, self.cgroups),
            (A::CgroupsShed, self.cgroups_shed),
            (A::Discoveries, self.discoveries),
        ] {
            row.put(column, Some(value));
        }
    }

    /// Counts a failed read.
    pub fn count_error(&mut self, file: SourceFile, class: ErrorClass) {
        if let Some(count) = self.read_errors.get_mut(file as usize).and_then(|row| row.get_mut(class as usize)) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::catalogue::AGENT_METRICS;

    #[test]
    fn the_buckets_of_the_row_are_cumulative_and_every_column_is_filled() {
        let stats = SelfStats { tick_histogram: [1, 0, 2, 0, 0, 0, 0, 0, 0, 3, 4], ..SelfStats::default() };
        let mut row = Row::new(AGENT_METRICS.len());
        stats.put_into(&mut row, 10);
        let buckets = TICK_BUCKET_COLUMNS.map(|column| row.value(column).unwrap());
        assert_eq!(buckets, [1, 1, 3, 3, 3, 3, 3, 3, 3, 6, 10]);
        assert_eq!(row.value(A::Ticks), Some(10));
        for (index, metric) in AGENT_METRICS.iter().enumerate() {
            assert!(row.as_ref().cell_at(index).value().is_some(), "{}", metric.name);
        }
    }
}
