//! What cAdvisor does not tell: stall ratios, memory events, all of `memory.stat` that people ask about, limits,
//! the maxima between scrapes, and the counts that outlive containers.

use super::super::family::{Family, Series, Value, cgroup, counter, device, gauge, hugepage, peak, tally};
use super::super::layout::{Rows, Scope};
use super::super::maxima::Peak;
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
    ),
    gauge(
        "ringside_container_pressure_cpu_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for a CPU.",
        &[
            workloads(C::CpuPressureFullAvg10).with("window=\"10s\""),
            workloads(C::CpuPressureFullAvg60).with("window=\"60s\""),
            workloads(C::CpuPressureFullAvg300).with("window=\"300s\""),
        ],
    ),
    gauge(
        "ringside_container_pressure_memory_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for memory.",
        &[
            workloads(C::MemoryPressureSomeAvg10).with("window=\"10s\""),
            workloads(C::MemoryPressureSomeAvg60).with("window=\"60s\""),
            workloads(C::MemoryPressureSomeAvg300).with("window=\"300s\""),
        ],
    ),
    gauge(
        "ringside_container_pressure_memory_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for memory.",
        &[
            workloads(C::MemoryPressureFullAvg10).with("window=\"10s\""),
            workloads(C::MemoryPressureFullAvg60).with("window=\"60s\""),
            workloads(C::MemoryPressureFullAvg300).with("window=\"300s\""),
        ],
    ),
    gauge(
        "ringside_container_pressure_io_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for io.",
        &[
            workloads(C::IoPressureSomeAvg10).with("window=\"10s\""),
            workloads(C::IoPressureSomeAvg60).with("window=\"60s\""),
            workloads(C::IoPressureSomeAvg300).with("window=\"300s\""),
        ],
    ),
    gauge(
        "ringside_container_pressure_io_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for io.",
        &[
            workloads(C::IoPressureFullAvg10).with("window=\"10s\""),
            workloads(C::IoPressureFullAvg60).with("window=\"60s\""),
            workloads(C::IoPressureFullAvg300).with("window=\"300s\""),
        ],
    ),
    gauge(
        "ringside_container_pressure_irq_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for interrupts.",
        &[
            workloads(C::IrqPressureFullAvg10).with("window=\"10s\""),
            workloads(C::IrqPressureFullAvg60).with("window=\"60s\""),
            workloads(C::IrqPressureFullAvg300).with("window=\"300s\""),
        ],
    ),
    counter(
        "ringside_container_pressure_irq_stalled_seconds_total",
        "Time in which all tasks waited for interrupts.",
        &[workloads(C::IrqPressureFullTotalUsec)],
    ),
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
    ),
    counter(
        "ringside_container_memory_events_local_total",
        "memory.events.local: of the cgroup alone.",
        &[
            workloads(C::MemoryEventsLocalLow).with("event=\"low\""),
            workloads(C::MemoryEventsLocalHigh).with("event=\"high\""),
            workloads(C::MemoryEventsLocalMax).with("event=\"max\""),
            workloads(C::MemoryEventsLocalOom).with("event=\"oom\""),
            workloads(C::MemoryEventsLocalOomKill).with("event=\"oom_kill\""),
            workloads(C::MemoryEventsLocalOomGroupKill).with("event=\"oom_group_kill\""),
            workloads(C::MemoryEventsLocalSockThrottled).with("event=\"sock_throttled\""),
        ],
    ),
    counter(
        "ringside_container_memory_swap_events_total",
        "memory.swap.events.",
        &[
            containers(C::MemorySwapEventsHigh).with("event=\"high\""),
            containers(C::MemorySwapEventsMax).with("event=\"max\""),
            containers(C::MemorySwapEventsFail).with("event=\"fail\""),
        ],
    ),
    gauge(
        "ringside_container_memory_min_bytes",
        "memory.min: memory that is never reclaimed; absent when it has no bound.",
        &[containers(C::MemoryMinBytes)],
    ),
    gauge(
        "ringside_container_memory_low_bytes",
        "memory.low: memory that is reclaimed last.",
        &[containers(C::MemoryLowBytes)],
    ),
    gauge(
        "ringside_container_memory_high_bytes",
        "memory.high: the limit above which tasks are throttled; absent without one.",
        &[containers(C::MemoryHighBytes)],
    ),
    gauge(
        "ringside_container_memory_swap_high_bytes",
        "memory.swap.high; absent without one.",
        &[containers(C::MemorySwapHighBytes)],
    ),
    gauge(
        "ringside_container_memory_zswap_max_bytes",
        "memory.zswap.max; absent without one.",
        &[containers(C::MemoryZswapMaxBytes)],
    ),
    gauge("ringside_container_memory_swap_peak_bytes", "Most swap ever in use.", &[containers(C::MemorySwapPeakBytes)]),
    gauge(
        "ringside_container_memory_zswap_current_bytes",
        "Memory that holds compressed swap.",
        &[containers(C::MemoryZswapCurrentBytes)],
    ),
    gauge(
        "ringside_container_memory_oom_group",
        "1 if the OOM killer ends the whole cgroup at once.",
        &[containers(C::MemoryOomGroup)],
    ),
    gauge(
        "ringside_container_memory_peak_bytes",
        "Most memory ever in use, by the kernel.",
        &[workloads(C::MemoryPeakBytes)],
    ),
    gauge(
        "ringside_container_memory_kernel_bytes",
        "Kernel memory (memory.stat kernel).",
        &[containers(C::MemoryStatKernel)],
    ),
    gauge(
        "ringside_container_memory_kernel_stack_bytes",
        "Kernel stacks (memory.stat kernel_stack).",
        &[containers(C::MemoryStatKernelStack)],
    ),
    gauge(
        "ringside_container_memory_pagetables_bytes",
        "Page tables (memory.stat pagetables).",
        &[containers(C::MemoryStatPagetables)],
    ),
    gauge(
        "ringside_container_memory_secondary_pagetables_bytes",
        "Secondary page tables (memory.stat sec_pagetables).",
        &[containers(C::MemoryStatSecPagetables)],
    ),
    gauge(
        "ringside_container_memory_percpu_bytes",
        "Per-CPU kernel memory (memory.stat percpu).",
        &[containers(C::MemoryStatPercpu)],
    ),
    gauge(
        "ringside_container_memory_sock_bytes",
        "Network buffers (memory.stat sock).",
        &[containers(C::MemoryStatSock)],
    ),
    gauge(
        "ringside_container_memory_vmalloc_bytes",
        "vmalloc areas (memory.stat vmalloc).",
        &[containers(C::MemoryStatVmalloc)],
    ),
    gauge(
        "ringside_container_memory_shmem_bytes",
        "Shared memory and tmpfs (memory.stat shmem).",
        &[containers(C::MemoryStatShmem)],
    ),
    gauge(
        "ringside_container_memory_zswap_bytes",
        "Compressed swap in memory (memory.stat zswap).",
        &[containers(C::MemoryStatZswap)],
    ),
    gauge(
        "ringside_container_memory_zswapped_bytes",
        "Memory that was swapped into zswap (memory.stat zswapped).",
        &[containers(C::MemoryStatZswapped)],
    ),
    gauge(
        "ringside_container_memory_swapcached_bytes",
        "Swap cache (memory.stat swapcached).",
        &[containers(C::MemoryStatSwapcached)],
    ),
    gauge(
        "ringside_container_memory_anon_thp_bytes",
        "Anonymous huge pages (memory.stat anon_thp).",
        &[containers(C::MemoryStatAnonThp)],
    ),
    gauge(
        "ringside_container_memory_file_thp_bytes",
        "File huge pages (memory.stat file_thp).",
        &[containers(C::MemoryStatFileThp)],
    ),
    gauge(
        "ringside_container_memory_shmem_thp_bytes",
        "Shared huge pages (memory.stat shmem_thp).",
        &[containers(C::MemoryStatShmemThp)],
    ),
    gauge(
        "ringside_container_memory_inactive_anon_bytes",
        "Anonymous memory on the inactive list (memory.stat inactive_anon).",
        &[containers(C::MemoryStatInactiveAnon)],
    ),
    gauge(
        "ringside_container_memory_active_anon_bytes",
        "Anonymous memory on the active list (memory.stat active_anon).",
        &[containers(C::MemoryStatActiveAnon)],
    ),
    gauge(
        "ringside_container_memory_unevictable_bytes",
        "Memory that cannot be reclaimed (memory.stat unevictable).",
        &[containers(C::MemoryStatUnevictable)],
    ),
    gauge(
        "ringside_container_memory_slab_reclaimable_bytes",
        "Slab that can be reclaimed (memory.stat slab_reclaimable).",
        &[containers(C::MemoryStatSlabReclaimable)],
    ),
    gauge(
        "ringside_container_memory_slab_unreclaimable_bytes",
        "Slab that cannot be reclaimed (memory.stat slab_unreclaimable).",
        &[containers(C::MemoryStatSlabUnreclaimable)],
    ),
    gauge("ringside_container_memory_slab_bytes", "Slab (memory.stat slab).", &[containers(C::MemoryStatSlab)]),
    counter(
        "ringside_container_memory_workingset_activate_total",
        "Refaulted pages that were activated at once.",
        &[
            containers(C::MemoryStatWorkingsetActivateFile).with("type=\"file\""),
            containers(C::MemoryStatWorkingsetActivateAnon).with("type=\"anon\""),
        ],
    ),
    counter(
        "ringside_container_memory_workingset_restore_total",
        "Refaulted pages that were active when they were evicted.",
        &[
            containers(C::MemoryStatWorkingsetRestoreFile).with("type=\"file\""),
            containers(C::MemoryStatWorkingsetRestoreAnon).with("type=\"anon\""),
        ],
    ),
    counter(
        "ringside_container_memory_direct_pgscan_total",
        "Pages that the tasks themselves had to scan to get memory.",
        &[containers(C::MemoryStatPgscanDirect)],
    ),
    counter(
        "ringside_container_memory_direct_pgsteal_total",
        "Pages that the tasks themselves had to reclaim to get memory.",
        &[containers(C::MemoryStatPgstealDirect)],
    ),
    counter(
        "ringside_container_memory_zswp_total",
        "Pages moved between memory, zswap and swap.",
        &[
            containers(C::MemoryStatZswpin).with("direction=\"in\""),
            containers(C::MemoryStatZswpout).with("direction=\"out\""),
            containers(C::MemoryStatZswpwb).with("direction=\"writeback\""),
        ],
    ),
    counter(
        "ringside_container_memory_thp_alloc_total",
        "Huge pages allocated.",
        &[
            containers(C::MemoryStatThpFaultAlloc).with("reason=\"fault\""),
            containers(C::MemoryStatThpCollapseAlloc).with("reason=\"collapse\""),
        ],
    ),
    gauge("ringside_container_cpu_weight", "cpu.weight as the kernel has it.", &[cgroup(C::CpuWeight)]),
    gauge("ringside_container_cpu_idle", "1 if the cgroup runs only when a CPU is idle.", &[containers(C::CpuIdle)]),
    gauge(
        "ringside_container_cpu_max_burst_seconds",
        "CPU time that may be saved for a burst.",
        &[containers(C::CpuMaxBurstUsec)],
    ),
    counter(
        "ringside_container_cpu_local_throttled_seconds_total",
        "Time for which the cgroup was throttled by its own quota.",
        &[containers(C::CpuLocalThrottledUsec).with_quota()],
    ),
    counter(
        "ringside_container_cpu_nice_seconds_total",
        "CPU time used at a lowered priority.",
        &[containers(C::CpuNiceUsec)],
    ),
    gauge("ringside_container_pids_peak", "Most tasks ever in the cgroup.", &[containers(C::PidsPeak)]),
    counter(
        "ringside_container_pids_events_max_total",
        "Forks refused because of pids.max.",
        &[workloads(C::PidsEventsMax)],
    ),
    gauge("ringside_container_cgroup_descendants", "Cgroups below this one.", &[workloads(C::CgroupNrDescendants)]),
    gauge(
        "ringside_container_cgroup_dying_descendants",
        "Removed cgroups below this one that still hold memory.",
        &[workloads(C::CgroupNrDyingDescendants)],
    ),
    gauge("ringside_container_cgroup_frozen", "1 if the cgroup is frozen.", &[containers(C::CgroupFrozen)]),
    counter(
        "ringside_container_fs_discards_bytes_total",
        "Bytes discarded on a device.",
        &[device(D::Dbytes).only(Scope::WORKLOADS)],
    ),
    counter(
        "ringside_container_fs_discards_total",
        "Discards completed on a device.",
        &[device(D::Dios).only(Scope::WORKLOADS)],
    ),
    gauge("ringside_container_hugetlb_limit_bytes", "Limit of huge pages; absent without one.", &[hugepage(H::Max)]),
];

/// The highest values in one tick since the last scrape.
pub const PEAKS: &[Family] = &[
    gauge(
        "ringside_container_cpu_usage_cores_max",
        "CPU use, the highest in one tick since the last scrape.",
        &[peak(Peak::CpuUsageCores)],
    ),
    gauge(
        "ringside_container_cpu_throttled_ratio_max",
        "Share of throttled periods, the highest in one tick since the last scrape.",
        &[peak(Peak::CpuThrottledRatio)],
    ),
    gauge(
        "ringside_container_pressure_cpu_waiting_ratio_max",
        "Share of time in which some task waited for a CPU, the highest in one tick since the last scrape.",
        &[peak(Peak::CpuWaitingRatio)],
    ),
    gauge(
        "ringside_container_pressure_memory_waiting_ratio_max",
        "Share of time in which some task waited for memory, the highest in one tick since the last scrape.",
        &[peak(Peak::MemoryWaitingRatio)],
    ),
    gauge(
        "ringside_container_pressure_io_waiting_ratio_max",
        "Share of time in which some task waited for io, the highest in one tick since the last scrape.",
        &[peak(Peak::IoWaitingRatio)],
    ),
    gauge(
        "ringside_container_memory_working_set_bytes_max",
        "Working set, the highest in one tick since the last scrape.",
        &[peak(Peak::WorkingSetBytes)],
    ),
    gauge(
        "ringside_container_network_receive_bytes_per_second_max",
        "Bytes received per second, the highest in one tick since the last scrape.",
        &[peak(Peak::ReceiveBytesPerSecond)],
    ),
    gauge(
        "ringside_container_network_transmit_bytes_per_second_max",
        "Bytes sent per second, the highest in one tick since the last scrape.",
        &[peak(Peak::TransmitBytesPerSecond)],
    ),
    gauge(
        "ringside_container_fs_reads_bytes_per_second_max",
        "Bytes read per second, the highest in one tick since the last scrape.",
        &[peak(Peak::ReadBytesPerSecond)],
    ),
    gauge(
        "ringside_container_fs_writes_bytes_per_second_max",
        "Bytes written per second, the highest in one tick since the last scrape.",
        &[peak(Peak::WriteBytesPerSecond)],
    ),
];

/// Counts of a workload over all its containers, ended and living.
pub const TALLIES: &[Family] = &[
    counter(
        "ringside_container_restarts_total",
        "Times that the container was started again.",
        &[tally(|tally| tally.restarts)],
    ),
    counter(
        "ringside_container_oom_kills_total",
        "Processes killed by the OOM killer.",
        &[tally(|tally| tally.oom_kills)],
    ),
    counter(
        "ringside_container_lifetime_cpu_usage_seconds_total",
        "CPU time used by all instances of the container.",
        &[Series::new(Rows::Tallies, Value::TallyCpu)],
    ),
    counter(
        "ringside_container_exits_total",
        "Ends of the container by exit code and reason.",
        &[Series::new(Rows::Tallies, Value::TallyExits)],
    ),
];
