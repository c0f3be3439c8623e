//! The node's memory under node_exporter's names: `/proc/meminfo` whole, and of `/proc/vmstat` what it takes by default.
//!
//! In: the node's row. Out: families. The kernel's keys stand in the names as the kernel writes them. What is new in a
//! kernel is not shown before it has a column.

use super::super::family::{Family, counter, gauge, node};
use super::super::set::Set;
use crate::sample::catalogue::NodeColumn as N;

/// Collectors `meminfo` and `vmstat`.
pub const FAMILIES: &[Family] = &[
    gauge("node_memory_MemTotal_bytes", "Memory information field MemTotal_bytes.", &[node(N::MeminfoMemTotal)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_MemFree_bytes", "Memory information field MemFree_bytes.", &[node(N::MeminfoMemFree)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_MemAvailable_bytes",
        "Memory information field MemAvailable_bytes.",
        &[node(N::MeminfoMemAvailable)],
    )
    .of(Set::Node("meminfo")),
    gauge("node_memory_Buffers_bytes", "Memory information field Buffers_bytes.", &[node(N::MeminfoBuffers)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Cached_bytes", "Memory information field Cached_bytes.", &[node(N::MeminfoCached)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_SwapCached_bytes", "Memory information field SwapCached_bytes.", &[node(N::MeminfoSwapCached)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Active_bytes", "Memory information field Active_bytes.", &[node(N::MeminfoActive)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Inactive_bytes", "Memory information field Inactive_bytes.", &[node(N::MeminfoInactive)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_Active_anon_bytes",
        "Memory information field Active_anon_bytes.",
        &[node(N::MeminfoActiveAnon)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_Inactive_anon_bytes",
        "Memory information field Inactive_anon_bytes.",
        &[node(N::MeminfoInactiveAnon)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_Active_file_bytes",
        "Memory information field Active_file_bytes.",
        &[node(N::MeminfoActiveFile)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_Inactive_file_bytes",
        "Memory information field Inactive_file_bytes.",
        &[node(N::MeminfoInactiveFile)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_Unevictable_bytes",
        "Memory information field Unevictable_bytes.",
        &[node(N::MeminfoUnevictable)],
    )
    .of(Set::Node("meminfo")),
    gauge("node_memory_Mlocked_bytes", "Memory information field Mlocked_bytes.", &[node(N::MeminfoMlocked)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_SwapTotal_bytes", "Memory information field SwapTotal_bytes.", &[node(N::MeminfoSwapTotal)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_SwapFree_bytes", "Memory information field SwapFree_bytes.", &[node(N::MeminfoSwapFree)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Zswap_bytes", "Memory information field Zswap_bytes.", &[node(N::MeminfoZswap)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Zswapped_bytes", "Memory information field Zswapped_bytes.", &[node(N::MeminfoZswapped)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Dirty_bytes", "Memory information field Dirty_bytes.", &[node(N::MeminfoDirty)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Writeback_bytes", "Memory information field Writeback_bytes.", &[node(N::MeminfoWriteback)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_AnonPages_bytes", "Memory information field AnonPages_bytes.", &[node(N::MeminfoAnonPages)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Mapped_bytes", "Memory information field Mapped_bytes.", &[node(N::MeminfoMapped)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Shmem_bytes", "Memory information field Shmem_bytes.", &[node(N::MeminfoShmem)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_KReclaimable_bytes",
        "Memory information field KReclaimable_bytes.",
        &[node(N::MeminfoKreclaimable)],
    )
    .of(Set::Node("meminfo")),
    gauge("node_memory_Slab_bytes", "Memory information field Slab_bytes.", &[node(N::MeminfoSlab)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_SReclaimable_bytes",
        "Memory information field SReclaimable_bytes.",
        &[node(N::MeminfoSreclaimable)],
    )
    .of(Set::Node("meminfo")),
    gauge("node_memory_SUnreclaim_bytes", "Memory information field SUnreclaim_bytes.", &[node(N::MeminfoSunreclaim)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_KernelStack_bytes",
        "Memory information field KernelStack_bytes.",
        &[node(N::MeminfoKernelStack)],
    )
    .of(Set::Node("meminfo")),
    gauge("node_memory_PageTables_bytes", "Memory information field PageTables_bytes.", &[node(N::MeminfoPageTables)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_SecPageTables_bytes",
        "Memory information field SecPageTables_bytes.",
        &[node(N::MeminfoSecPageTables)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_NFS_Unstable_bytes",
        "Memory information field NFS_Unstable_bytes.",
        &[node(N::MeminfoNfsUnstable)],
    )
    .of(Set::Node("meminfo")),
    gauge("node_memory_Bounce_bytes", "Memory information field Bounce_bytes.", &[node(N::MeminfoBounce)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_WritebackTmp_bytes",
        "Memory information field WritebackTmp_bytes.",
        &[node(N::MeminfoWritebackTmp)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_CommitLimit_bytes",
        "Memory information field CommitLimit_bytes.",
        &[node(N::MeminfoCommitLimit)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_Committed_AS_bytes",
        "Memory information field Committed_AS_bytes.",
        &[node(N::MeminfoCommittedAs)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_VmallocTotal_bytes",
        "Memory information field VmallocTotal_bytes.",
        &[node(N::MeminfoVmallocTotal)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_VmallocUsed_bytes",
        "Memory information field VmallocUsed_bytes.",
        &[node(N::MeminfoVmallocUsed)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_VmallocChunk_bytes",
        "Memory information field VmallocChunk_bytes.",
        &[node(N::MeminfoVmallocChunk)],
    )
    .of(Set::Node("meminfo")),
    gauge("node_memory_Percpu_bytes", "Memory information field Percpu_bytes.", &[node(N::MeminfoPercpu)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_HardwareCorrupted_bytes",
        "Memory information field HardwareCorrupted_bytes.",
        &[node(N::MeminfoHardwareCorrupted)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_AnonHugePages_bytes",
        "Memory information field AnonHugePages_bytes.",
        &[node(N::MeminfoAnonHugePages)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_ShmemHugePages_bytes",
        "Memory information field ShmemHugePages_bytes.",
        &[node(N::MeminfoShmemHugePages)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_ShmemPmdMapped_bytes",
        "Memory information field ShmemPmdMapped_bytes.",
        &[node(N::MeminfoShmemPmdMapped)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_FileHugePages_bytes",
        "Memory information field FileHugePages_bytes.",
        &[node(N::MeminfoFileHugePages)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_FilePmdMapped_bytes",
        "Memory information field FilePmdMapped_bytes.",
        &[node(N::MeminfoFilePmdMapped)],
    )
    .of(Set::Node("meminfo")),
    gauge("node_memory_CmaTotal_bytes", "Memory information field CmaTotal_bytes.", &[node(N::MeminfoCmaTotal)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_CmaFree_bytes", "Memory information field CmaFree_bytes.", &[node(N::MeminfoCmaFree)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Unaccepted_bytes", "Memory information field Unaccepted_bytes.", &[node(N::MeminfoUnaccepted)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Balloon_bytes", "Memory information field Balloon_bytes.", &[node(N::MeminfoBalloon)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_Hugetlb_bytes", "Memory information field Hugetlb_bytes.", &[node(N::MeminfoHugetlb)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_DirectMap4k_bytes",
        "Memory information field DirectMap4k_bytes.",
        &[node(N::MeminfoDirectMap4k)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_DirectMap2M_bytes",
        "Memory information field DirectMap2M_bytes.",
        &[node(N::MeminfoDirectMap2M)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_DirectMap1G_bytes",
        "Memory information field DirectMap1G_bytes.",
        &[node(N::MeminfoDirectMap1G)],
    )
    .of(Set::Node("meminfo")),
    gauge(
        "node_memory_HugePages_Total",
        "Memory information field HugePages_Total.",
        &[node(N::MeminfoHugePagesTotal)],
    )
    .of(Set::Node("meminfo")),
    gauge("node_memory_HugePages_Free", "Memory information field HugePages_Free.", &[node(N::MeminfoHugePagesFree)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_HugePages_Rsvd", "Memory information field HugePages_Rsvd.", &[node(N::MeminfoHugePagesRsvd)])
        .of(Set::Node("meminfo")),
    gauge("node_memory_HugePages_Surp", "Memory information field HugePages_Surp.", &[node(N::MeminfoHugePagesSurp)])
        .of(Set::Node("meminfo")),
    gauge(
        "node_memory_Hugepagesize_bytes",
        "Memory information field Hugepagesize_bytes.",
        &[node(N::MeminfoHugepagesize)],
    )
    .of(Set::Node("meminfo")),
    counter("node_vmstat_oom_kill", "/proc/vmstat information field oom_kill.", &[node(N::VmstatOomKill)])
        .of(Set::Node("vmstat")),
    counter("node_vmstat_pgfault", "/proc/vmstat information field pgfault.", &[node(N::VmstatPgfault)])
        .of(Set::Node("vmstat")),
    counter("node_vmstat_pgmajfault", "/proc/vmstat information field pgmajfault.", &[node(N::VmstatPgmajfault)])
        .of(Set::Node("vmstat")),
    counter("node_vmstat_pgpgin", "/proc/vmstat information field pgpgin.", &[node(N::VmstatPgpgin)])
        .of(Set::Node("vmstat")),
    counter("node_vmstat_pgpgout", "/proc/vmstat information field pgpgout.", &[node(N::VmstatPgpgout)])
        .of(Set::Node("vmstat")),
    counter("node_vmstat_pswpin", "/proc/vmstat information field pswpin.", &[node(N::VmstatPswpin)])
        .of(Set::Node("vmstat")),
    counter("node_vmstat_pswpout", "/proc/vmstat information field pswpout.", &[node(N::VmstatPswpout)])
        .of(Set::Node("vmstat")),
];
