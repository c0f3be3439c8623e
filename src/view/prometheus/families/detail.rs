//! What cAdvisor does not tell: stall ratios, memory events, all of `memory.stat` that people ask about, limits,
//! the maxima between scrapes, and the counts that outlive containers.

use super::super::family::{Family, Series, Value, cgroup, counter, device, gauge, hugepage, peak, tally};
use super::super::layout::{Rows, Scope};
use super::super::maxima::Peak;
use super::super::set::Set;
use crate::sample::catalogue::{CgroupColumn as C, DeviceColumn as D, HugetlbColumn as H};

const fn workloads(column: C) -> Series {
    cgroup(column).only(Scope::WORKLOADS)
}

const fn containers(column: C) -> Series {
    cgroup(column).only(Scope::CONTAINERS)
}

/// New families of cgroups.
pub const FAMILIES: &[Family] = &[
    gauge(
        "ringside_container_pressure_cpu_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for a CPU.",
        &[
            workloads(C::CpuPressureSomeAvg10).with("window=\"10s\""),
            workloads(C::CpuPressureSomeAvg60).with("window=\"60s\""),
            workloads(C::CpuPressureSomeAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_pressure_cpu_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for a CPU.",
        &[
            workloads(C::CpuPressureFullAvg10).with("window=\"10s\""),
            workloads(C::CpuPressureFullAvg60).with("window=\"60s\""),
            workloads(C::CpuPressureFullAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_pressure_memory_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for memory.",
        &[
            workloads(C::MemoryPressureSomeAvg10).with("window=\"10s\""),
            workloads(C::MemoryPressureSomeAvg60).with("window=\"60s\""),
            workloads(C::MemoryPressureSomeAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_pressure_memory_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for memory.",
        &[
            workloads(C::MemoryPressureFullAvg10).with("window=\"10s\""),
            workloads(C::MemoryPressureFullAvg60).with("window=\"60s\""),
            workloads(C::MemoryPressureFullAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_pressure_io_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for io.",
        &[
            workloads(C::IoPressureSomeAvg10).with("window=\"10s\""),
            workloads(C::IoPressureSomeAvg60).with("window=\"60s\""),
            workloads(C::IoPressureSomeAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_pressure_io_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for io.",
        &[
            workloads(C::IoPressureFullAvg10).with("window=\"10s\""),
            workloads(C::IoPressureFullAvg60).with("window=\"60s\""),
            workloads(C::IoPressureFullAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_pressure_irq_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for interrupts.",
        &[
            workloads(C::IrqPressureFullAvg10).with("window=\"10s\""),
            workloads(C::IrqPressureFullAvg60).with("window=\"60s\""),
            workloads(C::IrqPressureFullAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_pressure_irq_stalled_seconds_total",
        "Time in which all tasks waited for interrupts.",
        &[workloads(C::IrqPressureFullTotalUsec)],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_memory_events_total",
        "memory.events: of the cgroup and all below it.",
        &[
            workloads(C::MemoryEventsLow).with("event=\"low\""),
            workloads(C::MemoryEventsHigh).with("event=\"high\""),
            workloads(C::MemoryEventsMax).with("event=\"max\""),
            workloads(C::MemoryEventsOom).with("event=\"oom\""),
            workloads(C::MemoryEventsOomKill).with("event=\"oom_kill\""),
            workloads(C::MemoryEventsOomGroupKill).with("event=\"oom_group_kill\""),
            workloads(C::MemoryEventsSockThrottled).with("event=\"sock_throttled\""),
        ],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_memory_events_local_total",
        "memory.events.local: of the cgroup alone.",
        &[
            containers(C::MemoryEventsLocalLow).with("event=\"low\""),
            containers(C::MemoryEventsLocalHigh).with("event=\"high\""),
            containers(C::MemoryEventsLocalMax).with("event=\"max\""),
            containers(C::MemoryEventsLocalOom).with("event=\"oom\""),
            containers(C::MemoryEventsLocalOomKill).with("event=\"oom_kill\""),
            containers(C::MemoryEventsLocalOomGroupKill).with("event=\"oom_group_kill\""),
            containers(C::MemoryEventsLocalSockThrottled).with("event=\"sock_throttled\""),
        ],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_memory_swap_events_total",
        "memory.swap.events.",
        &[
            containers(C::MemorySwapEventsHigh).with("event=\"high\""),
            containers(C::MemorySwapEventsMax).with("event=\"max\""),
            containers(C::MemorySwapEventsFail).with("event=\"fail\""),
        ],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_min_bytes",
        "memory.min: memory that is never reclaimed; absent when it has no bound.",
        &[containers(C::MemoryMinBytes)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_low_bytes",
        "memory.low: memory that is reclaimed last.",
        &[containers(C::MemoryLowBytes)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_high_bytes",
        "memory.high: the limit above which tasks are throttled; absent without one.",
        &[containers(C::MemoryHighBytes)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_swap_high_bytes",
        "memory.swap.high; absent without one.",
        &[containers(C::MemorySwapHighBytes)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_zswap_max_bytes",
        "memory.zswap.max; absent without one.",
        &[containers(C::MemoryZswapMaxBytes)],
    )
    .of(Set::Detail),
    gauge("ringside_container_memory_swap_peak_bytes", "Most swap ever in use.", &[containers(C::MemorySwapPeakBytes)])
        .of(Set::Detail),
    gauge(
        "ringside_container_memory_zswap_current_bytes",
        "Memory that holds compressed swap.",
        &[containers(C::MemoryZswapCurrentBytes)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_oom_group",
        "1 if the OOM killer ends the whole cgroup at once.",
        &[containers(C::MemoryOomGroup)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_peak_bytes",
        "Most memory ever in use, by the kernel.",
        &[workloads(C::MemoryPeakBytes)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_kernel_bytes",
        "Kernel memory (memory.stat kernel).",
        &[containers(C::MemoryStatKernel)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_kernel_stack_bytes",
        "Kernel stacks (memory.stat kernel_stack).",
        &[containers(C::MemoryStatKernelStack)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_pagetables_bytes",
        "Page tables (memory.stat pagetables).",
        &[containers(C::MemoryStatPagetables)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_secondary_pagetables_bytes",
        "Secondary page tables (memory.stat sec_pagetables).",
        &[containers(C::MemoryStatSecPagetables)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_percpu_bytes",
        "Per-CPU kernel memory (memory.stat percpu).",
        &[containers(C::MemoryStatPercpu)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_sock_bytes",
        "Network buffers (memory.stat sock).",
        &[containers(C::MemoryStatSock)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_vmalloc_bytes",
        "vmalloc areas (memory.stat vmalloc).",
        &[containers(C::MemoryStatVmalloc)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_shmem_bytes",
        "Shared memory and tmpfs (memory.stat shmem).",
        &[containers(C::MemoryStatShmem)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_zswap_bytes",
        "Compressed swap in memory (memory.stat zswap).",
        &[containers(C::MemoryStatZswap)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_zswapped_bytes",
        "Memory that was swapped into zswap (memory.stat zswapped).",
        &[containers(C::MemoryStatZswapped)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_swapcached_bytes",
        "Swap cache (memory.stat swapcached).",
        &[containers(C::MemoryStatSwapcached)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_anon_thp_bytes",
        "Anonymous huge pages (memory.stat anon_thp).",
        &[containers(C::MemoryStatAnonThp)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_file_thp_bytes",
        "File huge pages (memory.stat file_thp).",
        &[containers(C::MemoryStatFileThp)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_shmem_thp_bytes",
        "Shared huge pages (memory.stat shmem_thp).",
        &[containers(C::MemoryStatShmemThp)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_inactive_anon_bytes",
        "Anonymous memory on the inactive list (memory.stat inactive_anon).",
        &[containers(C::MemoryStatInactiveAnon)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_active_anon_bytes",
        "Anonymous memory on the active list (memory.stat active_anon).",
        &[containers(C::MemoryStatActiveAnon)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_unevictable_bytes",
        "Memory that cannot be reclaimed (memory.stat unevictable).",
        &[containers(C::MemoryStatUnevictable)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_slab_reclaimable_bytes",
        "Slab that can be reclaimed (memory.stat slab_reclaimable).",
        &[containers(C::MemoryStatSlabReclaimable)],
    )
    .of(Set::Detail),
    gauge(
        "ringside_container_memory_slab_unreclaimable_bytes",
        "Slab that cannot be reclaimed (memory.stat slab_unreclaimable).",
        &[containers(C::MemoryStatSlabUnreclaimable)],
    )
    .of(Set::Detail),
    gauge("ringside_container_memory_slab_bytes", "Slab (memory.stat slab).", &[containers(C::MemoryStatSlab)])
        .of(Set::Detail),
    counter(
        "ringside_container_memory_workingset_activate_total",
        "Refaulted pages that were activated at once.",
        &[
            containers(C::MemoryStatWorkingsetActivateFile).with("type=\"file\""),
            containers(C::MemoryStatWorkingsetActivateAnon).with("type=\"anon\""),
        ],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_memory_workingset_restore_total",
        "Refaulted pages that were active when they were evicted.",
        &[
            containers(C::MemoryStatWorkingsetRestoreFile).with("type=\"file\""),
            containers(C::MemoryStatWorkingsetRestoreAnon).with("type=\"anon\""),
        ],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_memory_direct_pgscan_total",
        "Pages that the tasks themselves had to scan to get memory.",
        &[containers(C::MemoryStatPgscanDirect)],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_memory_direct_pgsteal_total",
        "Pages that the tasks themselves had to reclaim to get memory.",
        &[containers(C::MemoryStatPgstealDirect)],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_memory_zswp_total",
        "Pages moved between memory, zswap and swap.",
        &[
            containers(C::MemoryStatZswpin).with("direction=\"in\""),
            containers(C::MemoryStatZswpout).with("direction=\"out\""),
            containers(C::MemoryStatZswpwb).with("direction=\"writeback\""),
        ],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_memory_thp_alloc_total",
        "Huge pages allocated.",
        &[
            containers(C::MemoryStatThpFaultAlloc).with("reason=\"fault\""),
            containers(C::MemoryStatThpCollapseAlloc).with("reason=\"collapse\""),
        ],
    )
    .of(Set::Detail),
    gauge("ringside_container_cpu_weight", "cpu.weight as the kernel has it.", &[cgroup(C::CpuWeight)]).of(Set::Detail),
    gauge("ringside_container_cpu_idle", "1 if the cgroup runs only when a CPU is idle.", &[containers(C::CpuIdle)])
        .of(Set::Detail),
    gauge(
        "ringside_container_cpu_max_burst_seconds",
        "CPU time that may be saved for a burst.",
        &[containers(C::CpuMaxBurstUsec)],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_cpu_local_throttled_seconds_total",
        "Time for which the cgroup was throttled by its own quota.",
        &[containers(C::CpuLocalThrottledUsec).with_quota()],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_cpu_nice_seconds_total",
        "CPU time used at a lowered priority.",
        &[containers(C::CpuNiceUsec)],
    )
    .of(Set::Detail),
    gauge("ringside_container_pids_peak", "Most tasks ever in the cgroup.", &[containers(C::PidsPeak)]).of(Set::Detail),
    counter(
        "ringside_container_pids_events_max_total",
        "Forks refused because of pids.max.",
        &[workloads(C::PidsEventsMax)],
    )
    .of(Set::Detail),
    gauge("ringside_container_cgroup_descendants", "Cgroups below this one.", &[workloads(C::CgroupNrDescendants)])
        .of(Set::Detail),
    gauge(
        "ringside_container_cgroup_dying_descendants",
        "Removed cgroups below this one that still hold memory.",
        &[workloads(C::CgroupNrDyingDescendants)],
    )
    .of(Set::Detail),
    gauge("ringside_container_cgroup_frozen", "1 if the cgroup is frozen.", &[containers(C::CgroupFrozen)])
        .of(Set::Detail),
    counter(
        "ringside_container_fs_discards_bytes_total",
        "Bytes discarded on a device.",
        &[device(D::Dbytes).only(Scope::WORKLOADS)],
    )
    .of(Set::Detail),
    counter(
        "ringside_container_fs_discards_total",
        "Discards completed on a device.",
        &[device(D::Dios).only(Scope::WORKLOADS)],
    )
    .of(Set::Detail),
    gauge("ringside_container_hugetlb_limit_bytes", "Limit of huge pages; absent without one.", &[hugepage(H::Max)])
        .of(Set::Detail),
];

/// The highest values in one tick since the last scrape.
pub const PEAKS: &[Family] = &[
    gauge(
        "ringside_container_cpu_usage_cores_max",
        "CPU use, the highest in one tick since the last scrape.",
        &[peak(Peak::CpuUsageCores)],
    )
    .of(Set::Peak),
    gauge(
        "ringside_container_cpu_throttled_ratio_max",
        "Share of throttled periods, the highest in one tick since the last scrape.",
        &[peak(Peak::CpuThrottledRatio)],
    )
    .of(Set::Peak),
    gauge(
        "ringside_container_pressure_cpu_waiting_ratio_max",
        "Share of time in which some task waited for a CPU, the highest in one tick since the last scrape.",
        &[peak(Peak::CpuWaitingRatio)],
    )
    .of(Set::Peak),
    gauge(
        "ringside_container_pressure_memory_waiting_ratio_max",
        "Share of time in which some task waited for memory, the highest in one tick since the last scrape.",
        &[peak(Peak::MemoryWaitingRatio)],
    )
    .of(Set::Peak),
    gauge(
        "ringside_container_pressure_io_waiting_ratio_max",
        "Share of time in which some task waited for io, the highest in one tick since the last scrape.",
        &[peak(Peak::IoWaitingRatio)],
    )
    .of(Set::Peak),
    gauge(
        "ringside_container_memory_working_set_bytes_max",
        "Working set, the highest in one tick since the last scrape.",
        &[peak(Peak::WorkingSetBytes)],
    )
    .of(Set::Peak),
    gauge(
        "ringside_container_network_receive_bytes_per_second_max",
        "Bytes received per second, the highest in one tick since the last scrape.",
        &[peak(Peak::ReceiveBytesPerSecond)],
    )
    .of(Set::Peak),
    gauge(
        "ringside_container_network_transmit_bytes_per_second_max",
        "Bytes sent per second, the highest in one tick since the last scrape.",
        &[peak(Peak::TransmitBytesPerSecond)],
    )
    .of(Set::Peak),
    gauge(
        "ringside_container_fs_reads_bytes_per_second_max",
        "Bytes read per second, the highest in one tick since the last scrape.",
        &[peak(Peak::ReadBytesPerSecond)],
    )
    .of(Set::Peak),
    gauge(
        "ringside_container_fs_writes_bytes_per_second_max",
        "Bytes written per second, the highest in one tick since the last scrape.",
        &[peak(Peak::WriteBytesPerSecond)],
    )
    .of(Set::Peak),
];

/// Counts of a workload over all its containers, ended and living.
pub const TALLIES: &[Family] = &[
    counter(
        "ringside_container_restarts_total",
        "Times that the container was started again.",
        &[tally(|tally| tally.restarts)],
    )
    .of(Set::Workload),
    counter(
        "ringside_container_oom_kills_total",
        "Processes killed by the OOM killer.",
        &[tally(|tally| tally.oom_kills)],
    )
    .of(Set::Workload),
    counter(
        "ringside_container_lifetime_cpu_usage_seconds_total",
        "CPU time used by all instances of the container.",
        &[Series::new(Rows::Tallies, Value::TallyCpu)],
    )
    .of(Set::Workload),
    counter(
        "ringside_container_exits_total",
        "Ends of the container by exit code and reason.",
        &[Series::new(Rows::Tallies, Value::TallyExits)],
    )
    .of(Set::Workload),
];
