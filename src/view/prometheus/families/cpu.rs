//! cAdvisor's sets `cpu` and `pressure`.

use super::super::family::{Family, cgroup, counter};
use super::super::set::Set;
use crate::sample::catalogue::CgroupColumn as C;

/// CPU time, throttling and stall time.
pub const FAMILIES: &[Family] = &[
    counter("container_cpu_usage_seconds_total", "CPU time used.", &[cgroup(C::CpuUsageUsec).with("cpu=\"total\"")])
        .of(Set::Cpu),
    counter("container_cpu_user_seconds_total", "CPU time used in user mode.", &[cgroup(C::CpuUserUsec)]).of(Set::Cpu),
    counter("container_cpu_system_seconds_total", "CPU time used in the kernel.", &[cgroup(C::CpuSystemUsec)])
        .of(Set::Cpu),
    counter(
        "container_cpu_cfs_periods_total",
        "Enforcement periods that have passed.",
        &[cgroup(C::CpuNrPeriods).with_quota()],
    )
    .of(Set::Cpu),
    counter(
        "container_cpu_cfs_throttled_periods_total",
        "Periods in which the cgroup was throttled.",
        &[cgroup(C::CpuNrThrottled).with_quota()],
    )
    .of(Set::Cpu),
    counter(
        "container_cpu_cfs_throttled_seconds_total",
        "Time for which the cgroup was throttled.",
        &[cgroup(C::CpuThrottledUsec).with_quota()],
    )
    .of(Set::Cpu),
    counter(
        "container_cpu_cfs_burst_periods_total",
        "Periods in which a burst was used.",
        &[cgroup(C::CpuNrBursts).with_quota()],
    )
    .of(Set::Cpu),
    counter(
        "container_cpu_cfs_burst_seconds_total",
        "CPU time used above the quota in bursts.",
        &[cgroup(C::CpuBurstUsec).with_quota()],
    )
    .of(Set::Cpu),
    counter(
        "container_pressure_cpu_waiting_seconds_total",
        "Time in which some task waited for a CPU.",
        &[cgroup(C::CpuPressureSomeTotalUsec)],
    )
    .of(Set::Pressure),
    counter(
        "container_pressure_cpu_stalled_seconds_total",
        "Time in which all tasks waited for a CPU.",
        &[cgroup(C::CpuPressureFullTotalUsec)],
    )
    .of(Set::Pressure),
    counter(
        "container_pressure_memory_waiting_seconds_total",
        "Time in which some task waited for memory.",
        &[cgroup(C::MemoryPressureSomeTotalUsec)],
    )
    .of(Set::Pressure),
    counter(
        "container_pressure_memory_stalled_seconds_total",
        "Time in which all tasks waited for memory.",
        &[cgroup(C::MemoryPressureFullTotalUsec)],
    )
    .of(Set::Pressure),
    counter(
        "container_pressure_io_waiting_seconds_total",
        "Time in which some task waited for io.",
        &[cgroup(C::IoPressureSomeTotalUsec)],
    )
    .of(Set::Pressure),
    counter(
        "container_pressure_io_stalled_seconds_total",
        "Time in which all tasks waited for io.",
        &[cgroup(C::IoPressureFullTotalUsec)],
    )
    .of(Set::Pressure),
];
