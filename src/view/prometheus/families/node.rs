//! The machine under cAdvisor's names, and the node under node_exporter's: what every tick reads.
//!
//! In: the tables of the node, its CPUs, disks, interfaces and mounts. Out: families with node_exporter's names, labels and
//! types, each in the [`Set`] of the collector that has it there; what node_exporter lacks has the prefix
//! `ringside_node_`. History answers them all. Next: [`node_detail`](super::node_detail) has what is read off the tick.

use super::super::family::{
    Family, Series, Value, counter, gauge, info, machine, node, node_cpu, node_disk, node_filesystem, node_interface,
};
use super::super::layout::Rows;
use super::super::set::Set;
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

/// The node under node_exporter's names.
pub const FAMILIES: &[Family] = &[
    counter(
        "node_cpu_seconds_total",
        "Seconds the CPUs spent in each mode.",
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
    )
    .of(Set::Node("cpu")),
    counter(
        "node_cpu_guest_seconds_total",
        "Seconds the CPUs spent in guests (VMs) for each mode.",
        &[node_cpu(P::Guest).with("mode=\"user\""), node_cpu(P::GuestNice).with("mode=\"nice\"")],
    )
    .of(Set::Node("cpu")),
    counter("node_context_switches_total", "Total number of context switches.", &[node(N::ContextSwitches)])
        .of(Set::Node("stat")),
    counter("node_intr_total", "Total number of interrupts serviced.", &[node(N::Interrupts)]).of(Set::Node("stat")),
    counter("node_forks_total", "Total number of forks.", &[node(N::Forks)]).of(Set::Node("stat")),
    gauge("node_procs_running", "Number of processes in runnable state.", &[node(N::ProcsRunning)])
        .of(Set::Node("stat")),
    gauge("node_procs_blocked", "Number of processes blocked waiting for I/O to complete.", &[node(N::ProcsBlocked)])
        .of(Set::Node("stat")),
    gauge("node_boot_time_seconds", "Node boot time, in unixtime.", &[node(N::BootTimeUnixSeconds)])
        .of(Set::Node("stat")),
    gauge("node_load1", "1m load average.", &[node(N::Load1Hundredths)]).of(Set::Node("loadavg")),
    gauge("node_load5", "5m load average.", &[node(N::Load5Hundredths)]).of(Set::Node("loadavg")),
    gauge("node_load15", "15m load average.", &[node(N::Load15Hundredths)]).of(Set::Node("loadavg")),
    gauge(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        &[Series::new(Rows::Node, Value::Computed(computed::wall_clock))],
    )
    .of(Set::Node("time")),
    counter(
        "node_pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
        &[node(N::CpuPressureSomeTotalUsec)],
    )
    .of(Set::Node("pressure")),
    counter(
        "node_pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
        &[node(N::MemoryPressureSomeTotalUsec)],
    )
    .of(Set::Node("pressure")),
    counter(
        "node_pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
        &[node(N::MemoryPressureFullTotalUsec)],
    )
    .of(Set::Node("pressure")),
    counter(
        "node_pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
        &[node(N::IoPressureSomeTotalUsec)],
    )
    .of(Set::Node("pressure")),
    counter(
        "node_pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
        &[node(N::IoPressureFullTotalUsec)],
    )
    .of(Set::Node("pressure")),
    counter(
        "node_pressure_irq_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IRQ congestion",
        &[node(N::IrqPressureFullTotalUsec)],
    )
    .of(Set::Node("pressure")),
    counter(
        "node_disk_reads_completed_total",
        "The total number of reads completed successfully.",
        &[node_disk(K::Reads)],
    )
    .of(Set::Node("diskstats")),
    counter("node_disk_reads_merged_total", "The total number of reads merged.", &[node_disk(K::ReadsMerged)])
        .of(Set::Node("diskstats")),
    counter(
        "node_disk_read_bytes_total",
        "The total number of bytes read successfully.",
        &[Series::new(Rows::NodeDisks, Value::Computed(computed::read_bytes))],
    )
    .of(Set::Node("diskstats")),
    counter(
        "node_disk_read_time_seconds_total",
        "The total number of seconds spent by all reads.",
        &[node_disk(K::ReadTimeMsec)],
    )
    .of(Set::Node("diskstats")),
    counter(
        "node_disk_writes_completed_total",
        "The total number of writes completed successfully.",
        &[node_disk(K::Writes)],
    )
    .of(Set::Node("diskstats")),
    counter("node_disk_writes_merged_total", "The number of writes merged.", &[node_disk(K::WritesMerged)])
        .of(Set::Node("diskstats")),
    counter(
        "node_disk_written_bytes_total",
        "The total number of bytes written successfully.",
        &[Series::new(Rows::NodeDisks, Value::Computed(computed::written_bytes))],
    )
    .of(Set::Node("diskstats")),
    counter(
        "node_disk_write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        &[node_disk(K::WriteTimeMsec)],
    )
    .of(Set::Node("diskstats")),
    gauge("node_disk_io_now", "The number of I/Os currently in progress.", &[node_disk(K::InFlight)])
        .of(Set::Node("diskstats")),
    counter("node_disk_io_time_seconds_total", "Total seconds spent doing I/Os.", &[node_disk(K::IoTimeMsec)])
        .of(Set::Node("diskstats")),
    counter(
        "node_disk_io_time_weighted_seconds_total",
        "The weighted # of seconds spent doing I/Os.",
        &[node_disk(K::IoTimeWeightedMsec)],
    )
    .of(Set::Node("diskstats")),
    counter(
        "node_disk_discards_completed_total",
        "The total number of discards completed successfully.",
        &[node_disk(K::Discards)],
    )
    .of(Set::Node("diskstats")),
    counter("node_disk_discards_merged_total", "The total number of discards merged.", &[node_disk(K::DiscardsMerged)])
        .of(Set::Node("diskstats")),
    counter(
        "node_disk_discarded_sectors_total",
        "The total number of sectors discarded successfully.",
        &[node_disk(K::DiscardedSectors)],
    )
    .of(Set::Node("diskstats")),
    counter(
        "node_disk_discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        &[node_disk(K::DiscardTimeMsec)],
    )
    .of(Set::Node("diskstats")),
    counter(
        "node_disk_flush_requests_total",
        "The total number of flush requests completed successfully",
        &[node_disk(K::Flushes)],
    )
    .of(Set::Node("diskstats")),
    counter(
        "node_disk_flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        &[node_disk(K::FlushTimeMsec)],
    )
    .of(Set::Node("diskstats")),
    counter(
        "node_network_receive_bytes_total",
        "Network device statistic receive_bytes.",
        &[node_interface(I::RxBytes)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_receive_packets_total",
        "Network device statistic receive_packets.",
        &[node_interface(I::RxPackets)],
    )
    .of(Set::Node("netdev")),
    counter("node_network_receive_errs_total", "Network device statistic receive_errs.", &[node_interface(I::RxErrs)])
        .of(Set::Node("netdev")),
    counter("node_network_receive_drop_total", "Network device statistic receive_drop.", &[node_interface(I::RxDrop)])
        .of(Set::Node("netdev")),
    counter("node_network_receive_fifo_total", "Network device statistic receive_fifo.", &[node_interface(I::RxFifo)])
        .of(Set::Node("netdev")),
    counter(
        "node_network_receive_frame_total",
        "Network device statistic receive_frame.",
        &[node_interface(I::RxFrame)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_receive_compressed_total",
        "Network device statistic receive_compressed.",
        &[node_interface(I::RxCompressed)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_receive_multicast_total",
        "Network device statistic receive_multicast.",
        &[node_interface(I::RxMulticast)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_transmit_bytes_total",
        "Network device statistic transmit_bytes.",
        &[node_interface(I::TxBytes)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_transmit_packets_total",
        "Network device statistic transmit_packets.",
        &[node_interface(I::TxPackets)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_transmit_errs_total",
        "Network device statistic transmit_errs.",
        &[node_interface(I::TxErrs)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_transmit_drop_total",
        "Network device statistic transmit_drop.",
        &[node_interface(I::TxDrop)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_transmit_fifo_total",
        "Network device statistic transmit_fifo.",
        &[node_interface(I::TxFifo)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_transmit_colls_total",
        "Network device statistic transmit_colls.",
        &[node_interface(I::TxColls)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_transmit_carrier_total",
        "Network device statistic transmit_carrier.",
        &[node_interface(I::TxCarrier)],
    )
    .of(Set::Node("netdev")),
    counter(
        "node_network_transmit_compressed_total",
        "Network device statistic transmit_compressed.",
        &[node_interface(I::TxCompressed)],
    )
    .of(Set::Node("netdev")),
    gauge("node_filesystem_size_bytes", "Filesystem size in bytes.", &[node_filesystem(F::Size)])
        .of(Set::Node("filesystem")),
    gauge("node_filesystem_free_bytes", "Filesystem free space in bytes.", &[node_filesystem(F::Free)])
        .of(Set::Node("filesystem")),
    gauge(
        "node_filesystem_avail_bytes",
        "Filesystem space available to non-root users in bytes.",
        &[node_filesystem(F::Available)],
    )
    .of(Set::Node("filesystem")),
    gauge("node_filesystem_files", "Filesystem total file nodes.", &[node_filesystem(F::Files)])
        .of(Set::Node("filesystem")),
    gauge("node_filesystem_files_free", "Filesystem total free file nodes.", &[node_filesystem(F::FilesFree)])
        .of(Set::Node("filesystem")),
    gauge("node_filesystem_readonly", "Filesystem read-only status.", &[node_filesystem(F::ReadOnly)])
        .of(Set::Node("filesystem")),
    gauge(
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
        &[node_filesystem(F::DeviceError)],
    )
    .of(Set::Node("filesystem")),
];

/// What node_exporter does not have.
pub const OWN: &[Family] = &[
    gauge("ringside_node_tasks", "Tasks on the node.", &[node(N::Tasks)]).of(Set::Node("loadavg")),
    counter(
        "ringside_node_memory_pgscan_total",
        "Pages scanned by reclaim.",
        &[node(N::VmstatPgscanKswapd).with("by=\"kswapd\""), node(N::VmstatPgscanDirect).with("by=\"direct\"")],
    )
    .of(Set::Node("vmstat")),
    gauge(
        "ringside_node_pressure_cpu_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for a CPU.",
        &[
            node(N::CpuPressureSomeAvg10).with("window=\"10s\""),
            node(N::CpuPressureSomeAvg60).with("window=\"60s\""),
            node(N::CpuPressureSomeAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Node("pressure")),
    counter(
        "ringside_node_pressure_cpu_stalled_seconds_total",
        "Time in which all tasks waited for a CPU.",
        &[node(N::CpuPressureFullTotalUsec)],
    )
    .of(Set::Node("pressure")),
    gauge(
        "ringside_node_pressure_cpu_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for a CPU.",
        &[
            node(N::CpuPressureFullAvg10).with("window=\"10s\""),
            node(N::CpuPressureFullAvg60).with("window=\"60s\""),
            node(N::CpuPressureFullAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Node("pressure")),
    gauge(
        "ringside_node_pressure_memory_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for memory.",
        &[
            node(N::MemoryPressureSomeAvg10).with("window=\"10s\""),
            node(N::MemoryPressureSomeAvg60).with("window=\"60s\""),
            node(N::MemoryPressureSomeAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Node("pressure")),
    gauge(
        "ringside_node_pressure_memory_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for memory.",
        &[
            node(N::MemoryPressureFullAvg10).with("window=\"10s\""),
            node(N::MemoryPressureFullAvg60).with("window=\"60s\""),
            node(N::MemoryPressureFullAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Node("pressure")),
    gauge(
        "ringside_node_pressure_io_waiting_ratio",
        "Share of the last 10, 60 and 300 s in which some task waited for io.",
        &[
            node(N::IoPressureSomeAvg10).with("window=\"10s\""),
            node(N::IoPressureSomeAvg60).with("window=\"60s\""),
            node(N::IoPressureSomeAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Node("pressure")),
    gauge(
        "ringside_node_pressure_io_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for io.",
        &[
            node(N::IoPressureFullAvg10).with("window=\"10s\""),
            node(N::IoPressureFullAvg60).with("window=\"60s\""),
            node(N::IoPressureFullAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Node("pressure")),
    gauge(
        "ringside_node_pressure_irq_stalled_ratio",
        "Share of the last 10, 60 and 300 s in which all tasks waited for interrupts.",
        &[
            node(N::IrqPressureFullAvg10).with("window=\"10s\""),
            node(N::IrqPressureFullAvg60).with("window=\"60s\""),
            node(N::IrqPressureFullAvg300).with("window=\"300s\""),
        ],
    )
    .of(Set::Node("pressure")),
];
