//! CPU, memory and processes: the parts that containers and pods share.
//!
//! In: one cgroup's [`Reading`]. Out: serde types in base units (seconds, bytes, cores, ratios). A property that the
//! kernel does not offer, and a rate that two samples do not give, is `null`, never 0. Next: `container`, `pod`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::catalogue::CgroupColumn as C;
use crate::sample::row::{Cell, Column};
use crate::view::rates::Reading;

pub(super) const USEC_PER_SECOND: f64 = 1e6;

/// CPU time of a container or pod. Rates are over the last interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cpu {
    /// CPU used, in cores: 1.5 is one and a half CPUs.
    pub usage_cores: Option<f64>,
    /// Of these in user mode.
    pub user_cores: Option<f64>,
    /// Of these in the kernel.
    pub system_cores: Option<f64>,
    /// CPU time since the cgroup was made, in seconds.
    pub usage_seconds_total: Option<f64>,
    /// Of these in user mode.
    pub user_seconds_total: Option<f64>,
    /// Of these in the kernel.
    pub system_seconds_total: Option<f64>,
    /// The quota in cores; null with `unlimited` true when none is set.
    pub quota_cores: Option<f64>,
    /// True when no quota is set, null when the kernel does not say.
    pub unlimited: Option<bool>,
    /// Share of the quota's periods in which it was throttled, 0 to 1; null when no period passed.
    pub throttled_ratio: Option<f64>,
    /// Time that its CPUs stood throttled, in seconds.
    pub throttled_seconds_total: Option<f64>,
    /// Periods of the quota that passed.
    pub periods_total: Option<u64>,
    /// Periods in which it was throttled.
    pub throttled_periods_total: Option<u64>,
    /// `cpu.weight` (cgroup v2).
    pub weight: Option<u64>,
    /// `cpu.shares` (cgroup v1).
    pub shares: Option<u64>,
}

impl Cpu {
    pub(super) fn read(reading: &Reading<'_>) -> Self {
        let seconds = |column: C| reading.value(column).map(|usec| usec as f64 / USEC_PER_SECOND);
        let cores = |column: C| reading.per_second(column).map(|usec| usec / USEC_PER_SECOND);
        let quota = reading.cell(C::CpuQuotaUsec);
        let period_usec = reading.value(C::CpuPeriodUsec).filter(|usec| *usec > 0);
        let periods = reading.increase(C::CpuNrPeriods).filter(|periods| *periods > 0);
        Self {
            usage_cores: cores(C::CpuUsageUsec),
            user_cores: cores(C::CpuUserUsec),
            system_cores: cores(C::CpuSystemUsec),
            usage_seconds_total: seconds(C::CpuUsageUsec),
            user_seconds_total: seconds(C::CpuUserUsec),
            system_seconds_total: seconds(C::CpuSystemUsec),
            quota_cores: quota.value().zip(period_usec).map(|(quota, period)| quota as f64 / period as f64),
            unlimited: is_unlimited(quota),
            throttled_ratio: reading
                .increase(C::CpuNrThrottled)
                .zip(periods)
                .map(|(throttled, periods)| (throttled as f64 / periods as f64).min(1.0)),
            throttled_seconds_total: seconds(C::CpuThrottledUsec),
            periods_total: reading.value(C::CpuNrPeriods),
            throttled_periods_total: reading.value(C::CpuNrThrottled),
            weight: reading.value(C::CpuWeight),
            shares: reading.value(C::CpuShares),
        }
    }

    /// What can be added of several containers; quotas, weights and ratios cannot.
    pub(super) fn sum<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let add = |pick: fn(&Self) -> Option<f64>| sum(parts.clone().map(pick));
        let add_counts = |pick: fn(&Self) -> Option<u64>| sum(parts.clone().map(pick));
        Self {
            usage_cores: add(|cpu| cpu.usage_cores),
            user_cores: add(|cpu| cpu.user_cores),
            system_cores: add(|cpu| cpu.system_cores),
            usage_seconds_total: add(|cpu| cpu.usage_seconds_total),
            user_seconds_total: add(|cpu| cpu.user_seconds_total),
            system_seconds_total: add(|cpu| cpu.system_seconds_total),
            throttled_seconds_total: add(|cpu| cpu.throttled_seconds_total),
            periods_total: add_counts(|cpu| cpu.periods_total),
            throttled_periods_total: add_counts(|cpu| cpu.throttled_periods_total),
            ..Self::default()
        }
    }
}

/// Memory of a container or pod, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    /// All memory charged to the cgroup, page cache included.
    pub usage_bytes: Option<u64>,
    /// Usage without inactive page cache: what the kubelet evicts by.
    pub working_set_bytes: Option<u64>,
    /// The hard limit; null with `unlimited` true when none is set.
    pub limit_bytes: Option<u64>,
    /// True when no hard limit is set, null when the kernel does not say.
    pub unlimited: Option<bool>,
    /// `memory.high`: above it the kernel reclaims and slows down.
    pub high_bytes: Option<u64>,
    /// The highest usage since the cgroup was made.
    pub peak_bytes: Option<u64>,
    /// Anonymous memory: heaps and stacks. It cannot be dropped, only swapped.
    pub anon_bytes: Option<u64>,
    /// Page cache, shared memory included.
    pub file_bytes: Option<u64>,
    /// Page cache that was not used for a while; the first to be dropped.
    pub inactive_file_bytes: Option<u64>,
    /// The kernel's own memory on behalf of the cgroup.
    pub kernel_bytes: Option<u64>,
    /// Shared memory and tmpfs. Counted in `file_bytes`, but cannot be dropped.
    pub shmem_bytes: Option<u64>,
    /// Swap used.
    pub swap_bytes: Option<u64>,
    /// The swap limit; null with `swap_unlimited` true when none is set.
    pub swap_limit_bytes: Option<u64>,
    /// True when no swap limit is set.
    pub swap_unlimited: Option<bool>,
    /// Major page faults per second: pages that had to come from a disk.
    pub major_faults_per_second: Option<f64>,
    /// How often limits were met.
    pub events: MemoryEvents,
}

/// Counts of `memory.events` since the cgroup was made; those of its descendants are included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryEvents {
    /// Reclaimed although below `memory.low`.
    pub low: Option<u64>,
    /// Slowed down above `memory.high`.
    pub high: Option<u64>,
    /// Usage was about to pass `memory.max`.
    pub max: Option<u64>,
    /// An allocation failed or the OOM killer was asked.
    pub oom: Option<u64>,
    /// Processes that the OOM killer killed.
    pub oom_kill: Option<u64>,
    /// Whole-cgroup kills (`memory.oom.group`).
    pub oom_group_kill: Option<u64>,
}

impl Memory {
    pub(super) fn read(reading: &Reading<'_>) -> Self {
        let usage = reading.value(C::MemoryCurrentBytes);
        let inactive_file = reading.value(C::MemoryStatInactiveFile);
        let limit = reading.cell(C::MemoryMaxBytes);
        let swap_limit = reading.cell(C::MemorySwapMaxBytes);
        Self {
            usage_bytes: usage,
            working_set_bytes: usage.zip(inactive_file).map(|(usage, inactive)| usage.saturating_sub(inactive)),
            limit_bytes: limit.value(),
            unlimited: is_unlimited(limit),
            high_bytes: reading.value(C::MemoryHighBytes),
            peak_bytes: reading.value(C::MemoryPeakBytes),
            anon_bytes: reading.value(C::MemoryStatAnon),
            file_bytes: reading.value(C::MemoryStatFile),
            inactive_file_bytes: inactive_file,
            kernel_bytes: reading.value(C::MemoryStatKernel),
            shmem_bytes: reading.value(C::MemoryStatShmem),
            swap_bytes: reading.value(C::MemorySwapCurrentBytes),
            swap_limit_bytes: swap_limit.value(),
            swap_unlimited: is_unlimited(swap_limit),
            major_faults_per_second: reading.per_second(C::MemoryStatPgmajfault),
            events: MemoryEvents {
                low: reading.value(C::MemoryEventsLow),
                high: reading.value(C::MemoryEventsHigh),
                max: reading.value(C::MemoryEventsMax),
                oom: reading.value(C::MemoryEventsOom),
                oom_kill: reading.value(C::MemoryEventsOomKill),
                oom_group_kill: reading.value(C::MemoryEventsOomGroupKill),
            },
        }
    }

    /// What can be added of several containers; limits and peaks cannot.
    pub(super) fn sum<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let add = |pick: fn(&Self) -> Option<u64>| sum(parts.clone().map(pick));
        Self {
            usage_bytes: add(|memory| memory.usage_bytes),
            working_set_bytes: add(|memory| memory.working_set_bytes),
            anon_bytes: add(|memory| memory.anon_bytes),
            file_bytes: add(|memory| memory.file_bytes),
            inactive_file_bytes: add(|memory| memory.inactive_file_bytes),
            kernel_bytes: add(|memory| memory.kernel_bytes),
            shmem_bytes: add(|memory| memory.shmem_bytes),
            swap_bytes: add(|memory| memory.swap_bytes),
            major_faults_per_second: sum(parts.clone().map(|memory| memory.major_faults_per_second)),
            events: MemoryEvents {
                low: add(|memory| memory.events.low),
                high: add(|memory| memory.events.high),
                max: add(|memory| memory.events.max),
                oom: add(|memory| memory.events.oom),
                oom_kill: add(|memory| memory.events.oom_kill),
                oom_group_kill: add(|memory| memory.events.oom_group_kill),
            },
            ..Self::default()
        }
    }
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pids {
    /// Processes and threads now (`pids.current`).
    pub current: Option<u64>,
    /// The most at once.
    pub peak: Option<u64>,
    /// The limit; null with `unlimited` true when none is set.
    pub limit: Option<u64>,
    /// True when no limit is set, null when the kernel does not say.
    pub unlimited: Option<bool>,
    /// Processes now.
    pub processes: Option<u64>,
    /// Threads now.
    pub threads: Option<u64>,
}

impl Pids {
    pub(super) fn read(reading: &Reading<'_>) -> Self {
        let limit = reading.cell(C::PidsMax);
        Self {
            current: reading.value(C::PidsCurrent),
            peak: reading.value(C::PidsPeak),
            limit: limit.value(),
            unlimited: is_unlimited(limit),
            processes: reading.value(C::Processes),
            threads: reading.value(C::Threads),
        }
    }

    pub(super) fn sum<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let add = |pick: fn(&Self) -> Option<u64>| sum(parts.clone().map(pick));
        Self {
            current: add(|pids| pids.current),
            processes: add(|pids| pids.processes),
            threads: add(|pids| pids.threads),
            ..Self::default()
        }
    }
}

/// Time that tasks waited for a resource (PSI).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pressure {
    /// Waiting for a CPU.
    pub cpu: Stall,
    /// Waiting for memory: reclaim, refaults, swap.
    pub memory: Stall,
    /// Waiting for a block device.
    pub io: Stall,
    /// Interrupts took the CPU; the kernel has `full` only.
    pub irq: Stall,
}

/// PSI of one resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stall {
    /// At least one task waited.
    pub some: StallLine,
    /// All tasks waited at once: nothing was done.
    pub full: StallLine,
}

/// One line of a pressure file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StallLine {
    /// The kernel's average over 10 seconds, in percent.
    pub avg10_percent: Option<f64>,
    /// Over 60 seconds.
    pub avg60_percent: Option<f64>,
    /// Over 300 seconds.
    pub avg300_percent: Option<f64>,
    /// Share of the last interval that was waited, 0 to 1.
    pub stalled_ratio: Option<f64>,
    /// Waited since the cgroup was made (node: since boot), in seconds.
    pub total_seconds: Option<f64>,
}

impl StallLine {
    /// Reads the line whose columns are these: avg10, avg60, avg300, total.
    pub(super) fn read(reading: &Reading<'_>, columns: [impl Column; 4]) -> Self {
        let [avg10, avg60, avg300, total] = columns;
        let percent = |column| reading.value(column).map(|hundredths| hundredths as f64 / 100.0);
        Self {
            avg10_percent: percent(avg10),
            avg60_percent: percent(avg60),
            avg300_percent: percent(avg300),
            stalled_ratio: reading.per_second(total).map(|usec| (usec / USEC_PER_SECOND).min(1.0)),
            total_seconds: reading.value(total).map(|usec| usec as f64 / USEC_PER_SECOND),
        }
    }
}

/// Reads all pressure columns of a table whose column names are those of the cgroup's.
macro_rules! pressure {
    ($reading:expr, $column:ident) => {{
        use $column as P;
        let line = |columns| StallLine::read($reading, columns);
        Pressure {
            cpu: Stall {
                some: line([
                    P::CpuPressureSomeAvg10,
                    P::CpuPressureSomeAvg60,
                    P::CpuPressureSomeAvg300,
                    P::CpuPressureSomeTotalUsec,
                ]),
                full: line([
                    P::CpuPressureFullAvg10,
                    P::CpuPressureFullAvg60,
                    P::CpuPressureFullAvg300,
                    P::CpuPressureFullTotalUsec,
                ]),
            },
            memory: Stall {
                some: line([
                    P::MemoryPressureSomeAvg10,
                    P::MemoryPressureSomeAvg60,
                    P::MemoryPressureSomeAvg300,
                    P::MemoryPressureSomeTotalUsec,
                ]),
                full: line([
                    P::MemoryPressureFullAvg10,
                    P::MemoryPressureFullAvg60,
                    P::MemoryPressureFullAvg300,
                    P::MemoryPressureFullTotalUsec,
                ]),
            },
            io: Stall {
                some: line([
                    P::IoPressureSomeAvg10,
                    P::IoPressureSomeAvg60,
                    P::IoPressureSomeAvg300,
                    P::IoPressureSomeTotalUsec,
                ]),
                full: line([
                    P::IoPressureFullAvg10,
                    P::IoPressureFullAvg60,
                    P::IoPressureFullAvg300,
                    P::IoPressureFullTotalUsec,
                ]),
            },
            irq: Stall {
                some: StallLine::default(),
                full: line([
                    P::IrqPressureFullAvg10,
                    P::IrqPressureFullAvg60,
                    P::IrqPressureFullAvg300,
                    P::IrqPressureFullTotalUsec,
                ]),
            },
        }
    }};
}

impl Pressure {
    /// A cgroup's pressure.
    pub(super) fn of_cgroup(reading: &Reading<'_>) -> Self {
        pressure!(reading, C)
    }

    /// The node's pressure.
    pub(super) fn of_node(reading: &Reading<'_>) -> Self {
        use crate::sample::catalogue::NodeColumn;
        pressure!(reading, NodeColumn)
    }
}

/// Whether a limit's cell says that there is none; `None` when it says nothing.
pub(super) fn is_unlimited(cell: Cell) -> Option<bool> {
    match cell {
        Cell::Absent => None,
        Cell::Unlimited => Some(true),
        Cell::Value(_) => Some(false),
    }
}

/// Adds what is there; `None` when nothing is.
pub(super) fn sum<T: std::ops::Add<Output = T>>(values: impl Iterator<Item = Option<T>>) -> Option<T> {
    values.flatten().reduce(|a, b| a + b)
}
