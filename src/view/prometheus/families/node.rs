//! The machine under cAdvisor's names, and the node's own counters.

use super::super::family::{
    Family, Series, Value, counter, gauge, info, machine, node, node_cpu, node_disk, node_filesystem, node_interface,
};
use super::super::layout::Rows;
use super::computed;
use crate::sample::catalogue::{
    CpuColumn as P, DiskColumn as K, FilesystemColumn as F, InterfaceColumn as I, NodeColumn as N,
};

const fn positive(value: u64) -> Option<u64> {
    if value > 0 { Some(value) } else { None }
}

/// cAdvisor's `machine_*` that the kernel tells without asking the hardware.
pub const MACHINE: &[Family] = &[
    gauge("machine_cpu_cores", "Logical CPUs that are online.", &[machine(|facts| positive(facts.cpu_cores))]),
    gauge("machine_cpu_physical_cores", "Physical cores.", &[machine(|facts| positive(facts.cpu_physical_cores))]),
    gauge("machine_cpu_sockets", "Processor sockets.", &[machine(|facts| positive(facts.cpu_sockets))]),
    gauge("machine_memory_bytes", "Memory installed.", &[machine(|facts| positive(facts.memory_bytes))]),
    gauge(
        "machine_swap_bytes",
        "Swap set up.",
        &[machine(|facts| positive(facts.memory_bytes).and(Some(facts.swap_bytes)))],
    ),
    info("ringside_node_info", "The software that the node runs.", &[Series::new(Rows::NodeInfo, Value::One)]),
];

/// The node.
pub const FAMILIES: &[Family] = &[
    counter(
        "ringside_node_cpu_seconds_total",
        "CPU time by CPU and mode; a guest's time is part of user.",
        &[
            node_cpu(P::User).with("mode=\"user\""),
            node_cpu(P::Nice).with("mode=\"nice\""),
            node_cpu(P::System).with("mode=\"system\""),
            node_cpu(P::Idle).with("mode=\"idle\""),
            node_cpu(P::Iowait).with("mode=\"iowait\""),
            node_cpu(P::Irq).with("mode=\"irq\""),
            node_cpu(P::Softirq).with("mode=\"softirq\""),
            node_cpu(P::Steal).with("mode=\"steal\""),
        ],
    ),
    counter("ringside_node_context_switches_total", "Context switches.", &[node(N::ContextSwitches)]),
    counter("ringside_node_interrupts_total", "Interrupts.", &[node(N::Interrupts)]),
    counter("ringside_node_forks_total", "Processes and threads created.", &[node(N::Forks)]),
    gauge("ringside_node_procs_running", "Tasks that run or wait for a CPU.", &[node(N::ProcsRunning)]),
    gauge("ringside_node_procs_blocked", "Tasks that wait for io.", &[node(N::ProcsBlocked)]),
    gauge("ringside_node_boot_time_seconds", "When the node was booted.", &[node(N::BootTimeUnixSeconds)]),
    gauge("ringside_node_load1", "Load average over one minute.", &[node(N::Load1Hundredths)]),
    gauge("ringside_node_load5", "Load average over five minutes.", &[node(N::Load5Hundredths)]),
    gauge("ringside_node_load15", "Load average over fifteen minutes.", &[node(N::Load15Hundredths)]),
    gauge("ringside_node_tasks", "Tasks on the node.", &[node(N::Tasks)]),
    gauge("ringside_node_memory_total_bytes", "/proc/meminfo, total.", &[node(N::MeminfoMemTotal)]),
    gauge("ringside_node_memory_free_bytes", "/proc/meminfo, free.", &[node(N::MeminfoMemFree)]),
    gauge("ringside_node_memory_available_bytes", "/proc/meminfo, available.", &[node(N::MeminfoMemAvailable)]),
    gauge("ringside_node_memory_buffers_bytes", "/proc/meminfo, buffers.", &[node(N::MeminfoBuffers)]),
    gauge("ringside_node_memory_cached_bytes", "/proc/meminfo, cached.", &[node(N::MeminfoCached)]),
    gauge("ringside_node_memory_dirty_bytes", "/proc/meminfo, dirty.", &[node(N::MeminfoDirty)]),
    gauge("ringside_node_memory_writeback_bytes", "/proc/meminfo, writeback.", &[node(N::MeminfoWriteback)]),
    gauge("ringside_node_memory_anon_pages_bytes", "/proc/meminfo, anon pages.", &[node(N::MeminfoAnonPages)]),
    gauge("ringside_node_memory_shmem_bytes", "/proc/meminfo, shmem.", &[node(N::MeminfoShmem)]),
    gauge("ringside_node_memory_slab_bytes", "/proc/meminfo, slab.", &[node(N::MeminfoSlab)]),
    gauge(
        "ringside_node_memory_slab_reclaimable_bytes",
        "/proc/meminfo, slab reclaimable.",
        &[node(N::MeminfoSreclaimable)],
    ),
    gauge(
        "ringside_node_memory_slab_unreclaimable_bytes",
        "/proc/meminfo, slab unreclaimable.",
        &[node(N::MeminfoSunreclaim)],
    ),
    gauge("ringside_node_memory_kernel_stack_bytes", "/proc/meminfo, kernel stack.", &[node(N::MeminfoKernelStack)]),
    gauge("ringside_node_memory_page_tables_bytes", "/proc/meminfo, page tables.", &[node(N::MeminfoPageTables)]),
    gauge("ringside_node_memory_percpu_bytes", "/proc/meminfo, percpu.", &[node(N::MeminfoPercpu)]),
    gauge("ringside_node_memory_swap_total_bytes", "/proc/meminfo, swap total.", &[node(N::MeminfoSwapTotal)]),
    gauge("ringside_node_memory_swap_free_bytes", "/proc/meminfo, swap free.", &[node(N::MeminfoSwapFree)]),
    gauge("ringside_node_memory_swap_cached_bytes", "/proc/meminfo, swap cached.", &[node(N::MeminfoSwapCached)]),
    gauge("ringside_node_memory_committed_bytes", "/proc/meminfo, committed.", &[node(N::MeminfoCommittedAs)]),
    counter("ringside_node_oom_kills_total", "Processes killed by the OOM killer.", &[node(N::VmstatOomKill)]),
    counter(
        "ringside_node_memory_failures_total",
        "Page faults.",
        &[
            node(N::VmstatPgfault).with("failure_type=\"pgfault\""),
            node(N::VmstatPgmajfault).with("failure_type=\"pgmajfault\""),
        ],
    ),
    counter(
        "ringside_node_memory_swapped_pages_total",
        "Pages swapped.",
        &[node(N::VmstatPswpin).with("direction=\"in\""), node(N::VmstatPswpout).with("direction=\"out\"")],
    ),
    counter(
        "ringside_node_memory_pgscan_total",
        "Pages scanned by reclaim.",
        &[node(N::VmstatPgscanKswapd).with("by=\"kswapd\""), node(N::VmstatPgscanDirect).with("by=\"direct\"")],
    ),
    counter(
        "ringside_node_pressure_cpu_waiting_seconds_total",
        "Time in which some task waited for a CPU.",
        &[node(N::CpuPressureSomeTotalUsec)],
    ),
    gauge(
        "ringside_node_pressure_cpu_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for a CPU.",
        &[
            node(N::CpuPressureSomeAvg10).with("window=\"10s\""),
            node(N::CpuPressureSomeAvg60).with("window=\"60s\""),
            node(N::CpuPressureSomeAvg300).with("window=\"300s\""),
        ],
    ),
    counter(
        "ringside_node_pressure_cpu_stalled_seconds_total",
        "Time in which all tasks waited for a CPU.",
        &[node(N::CpuPressureFullTotalUsec)],
    ),
    gauge(
        "ringside_node_pressure_cpu_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for a CPU.",
        &[
            node(N::CpuPressureFullAvg10).with("window=\"10s\""),
            node(N::CpuPressureFullAvg60).with("window=\"60s\""),
            node(N::CpuPressureFullAvg300).with("window=\"300s\""),
        ],
    ),
    counter(
        "ringside_node_pressure_memory_waiting_seconds_total",
        "Time in which some task waited for memory.",
        &[node(N::MemoryPressureSomeTotalUsec)],
    ),
    gauge(
        "ringside_node_pressure_memory_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for memory.",
        &[
            node(N::MemoryPressureSomeAvg10).with("window=\"10s\""),
            node(N::MemoryPressureSomeAvg60).with("window=\"60s\""),
            node(N::MemoryPressureSomeAvg300).with("window=\"300s\""),
        ],
    ),
    counter(
        "ringside_node_pressure_memory_stalled_seconds_total",
        "Time in which all tasks waited for memory.",
        &[node(N::MemoryPressureFullTotalUsec)],
    ),
    gauge(
        "ringside_node_pressure_memory_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for memory.",
        &[
            node(N::MemoryPressureFullAvg10).with("window=\"10s\""),
            node(N::MemoryPressureFullAvg60).with("window=\"60s\""),
            node(N::MemoryPressureFullAvg300).with("window=\"300s\""),
        ],
    ),
    counter(
        "ringside_node_pressure_io_waiting_seconds_total",
        "Time in which some task waited for io.",
        &[node(N::IoPressureSomeTotalUsec)],
    ),
    gauge(
        "ringside_node_pressure_io_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for io.",
        &[
            node(N::IoPressureSomeAvg10).with("window=\"10s\""),
            node(N::IoPressureSomeAvg60).with("window=\"60s\""),
            node(N::IoPressureSomeAvg300).with("window=\"300s\""),
        ],
    ),
    counter(
        "ringside_node_pressure_io_stalled_seconds_total",
        "Time in which all tasks waited for io.",
        &[node(N::IoPressureFullTotalUsec)],
    ),
    gauge(
        "ringside_node_pressure_io_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for io.",
        &[
            node(N::IoPressureFullAvg10).with("window=\"10s\""),
            node(N::IoPressureFullAvg60).with("window=\"60s\""),
            node(N::IoPressureFullAvg300).with("window=\"300s\""),
        ],
    ),
    counter(
        "ringside_node_pressure_irq_stalled_seconds_total",
        "Time in which all tasks waited for interrupts.",
        &[node(N::IrqPressureFullTotalUsec)],
    ),
    gauge(
        "ringside_node_pressure_irq_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for interrupts.",
        &[
            node(N::IrqPressureFullAvg10).with("window=\"10s\""),
            node(N::IrqPressureFullAvg60).with("window=\"60s\""),
            node(N::IrqPressureFullAvg300).with("window=\"300s\""),
        ],
    ),
    counter("ringside_node_disk_reads_total", "Reads completed.", &[node_disk(K::Reads)]),
    counter("ringside_node_disk_writes_total", "Writes completed.", &[node_disk(K::Writes)]),
    counter("ringside_node_disk_read_seconds_total", "Time spent reading.", &[node_disk(K::ReadTimeMsec)]),
    counter("ringside_node_disk_write_seconds_total", "Time spent writing.", &[node_disk(K::WriteTimeMsec)]),
    gauge("ringside_node_disk_io_current", "Requests in flight.", &[node_disk(K::InFlight)]),
    counter(
        "ringside_node_disk_io_time_seconds_total",
        "Time in which requests were in flight.",
        &[node_disk(K::IoTimeMsec)],
    ),
    counter(
        "ringside_node_disk_io_time_weighted_seconds_total",
        "Time in which requests were in flight, times their number.",
        &[node_disk(K::IoTimeWeightedMsec)],
    ),
    counter("ringside_node_disk_discards_total", "Discards completed.", &[node_disk(K::Discards)]),
    counter("ringside_node_disk_flushes_total", "Flushes completed.", &[node_disk(K::Flushes)]),
    counter("ringside_node_disk_flush_seconds_total", "Time spent flushing.", &[node_disk(K::FlushTimeMsec)]),
    counter(
        "ringside_node_disk_reads_bytes_total",
        "Bytes read.",
        &[Series::new(Rows::NodeDisks, Value::Computed(computed::read_bytes))],
    ),
    counter(
        "ringside_node_disk_writes_bytes_total",
        "Bytes written.",
        &[Series::new(Rows::NodeDisks, Value::Computed(computed::written_bytes))],
    ),
    counter("ringside_node_network_receive_bytes_total", "Bytes received.", &[node_interface(I::RxBytes)]),
    counter("ringside_node_network_receive_packets_total", "Packets received.", &[node_interface(I::RxPackets)]),
    counter("ringside_node_network_receive_errors_total", "Errors.", &[node_interface(I::RxErrs)]),
    counter("ringside_node_network_receive_packets_dropped_total", "Packets dropped.", &[node_interface(I::RxDrop)]),
    counter("ringside_node_network_transmit_bytes_total", "Bytes sent.", &[node_interface(I::TxBytes)]),
    counter("ringside_node_network_transmit_packets_total", "Packets sent.", &[node_interface(I::TxPackets)]),
    counter("ringside_node_network_transmit_errors_total", "Errors.", &[node_interface(I::TxErrs)]),
    counter("ringside_node_network_transmit_packets_dropped_total", "Packets dropped.", &[node_interface(I::TxDrop)]),
    gauge("ringside_node_filesystem_size_bytes", "Size of a filesystem.", &[node_filesystem(F::Size)]),
    gauge("ringside_node_filesystem_free_bytes", "Free bytes, root's reserve included.", &[node_filesystem(F::Free)]),
    gauge(
        "ringside_node_filesystem_available_bytes",
        "Bytes that users may still write.",
        &[node_filesystem(F::Available)],
    ),
    gauge("ringside_node_filesystem_files", "Inodes.", &[node_filesystem(F::Files)]),
    gauge("ringside_node_filesystem_files_free", "Free inodes.", &[node_filesystem(F::FilesFree)]),
    gauge("ringside_node_filesystem_read_only", "1 if mounted read-only.", &[node_filesystem(F::ReadOnly)]),
];
