//! Tables of the node: `/proc/stat meminfo vmstat loadavg uptime pressure/* diskstats` and mounted filesystems.
//!
//! Sources: `Documentation/filesystems/proc.rst`, `Documentation/admin-guide/iostats.rst`,
//! `Documentation/accounting/psi.rst`. `meminfo` values are turned from kB into bytes by the parser.

use super::table;

table! {
    /// Columns of the node's row.
    NodeColumn, NODE_METRICS;
    CpuUserTicks = "cpu_user_ticks", Ticks, Counter, "/proc/stat cpu user", "";
    CpuNiceTicks = "cpu_nice_ticks", Ticks, Counter, "/proc/stat cpu nice", "";
    CpuSystemTicks = "cpu_system_ticks", Ticks, Counter, "/proc/stat cpu system", "";
    CpuIdleTicks = "cpu_idle_ticks", Ticks, Counter, "/proc/stat cpu idle", "";
    CpuIowaitTicks = "cpu_iowait_ticks", Ticks, Counter, "/proc/stat cpu iowait", "";
    CpuIrqTicks = "cpu_irq_ticks", Ticks, Counter, "/proc/stat cpu irq", "";
    CpuSoftirqTicks = "cpu_softirq_ticks", Ticks, Counter, "/proc/stat cpu softirq", "";
    CpuStealTicks = "cpu_steal_ticks", Ticks, Counter, "/proc/stat cpu steal", "";
    CpuGuestTicks = "cpu_guest_ticks", Ticks, Counter, "/proc/stat cpu guest", "";
    CpuGuestNiceTicks = "cpu_guest_nice_ticks", Ticks, Counter, "/proc/stat cpu guest_nice", "";
    ContextSwitches = "context_switches", Count, Counter, "/proc/stat ctxt", "";
    Interrupts = "interrupts", Count, Counter, "/proc/stat intr", "";
    Softirqs = "softirqs", Count, Counter, "/proc/stat softirq", "";
    Forks = "forks", Count, Counter, "/proc/stat processes", "";
    ProcsRunning = "procs_running", Count, Gauge, "/proc/stat procs_running", "";
    ProcsBlocked = "procs_blocked", Count, Gauge, "/proc/stat procs_blocked", "";
    BootTimeUnixSeconds = "boot_time_unix_seconds", UnixSeconds, Gauge, "/proc/stat btime", "";
    Load1Hundredths = "load1_hundredths", Hundredths, Gauge, "/proc/loadavg 1 min", "";
    Load5Hundredths = "load5_hundredths", Hundredths, Gauge, "/proc/loadavg 5 min", "";
    Load15Hundredths = "load15_hundredths", Hundredths, Gauge, "/proc/loadavg 15 min", "";
    TasksRunnable = "tasks_runnable", Count, Gauge, "/proc/loadavg runnable", "";
    Tasks = "tasks", Count, Gauge, "/proc/loadavg total", "";
    UptimeMsec = "uptime_msec", Msec, Counter, "/proc/uptime", "";
    MeminfoMemTotal = "meminfo_mem_total_bytes", Bytes, Gauge, "/proc/meminfo MemTotal", "";
    MeminfoMemFree = "meminfo_mem_free_bytes", Bytes, Gauge, "/proc/meminfo MemFree", "";
    MeminfoMemAvailable = "meminfo_mem_available_bytes", Bytes, Gauge, "/proc/meminfo MemAvailable", "";
    MeminfoBuffers = "meminfo_buffers_bytes", Bytes, Gauge, "/proc/meminfo Buffers", "";
    MeminfoCached = "meminfo_cached_bytes", Bytes, Gauge, "/proc/meminfo Cached", "";
    MeminfoSwapCached = "meminfo_swap_cached_bytes", Bytes, Gauge, "/proc/meminfo SwapCached", "";
    MeminfoActive = "meminfo_active_bytes", Bytes, Gauge, "/proc/meminfo Active", "";
    MeminfoInactive = "meminfo_inactive_bytes", Bytes, Gauge, "/proc/meminfo Inactive", "";
    MeminfoActiveAnon = "meminfo_active_anon_bytes", Bytes, Gauge, "/proc/meminfo Active(anon)", "";
    MeminfoInactiveAnon = "meminfo_inactive_anon_bytes", Bytes, Gauge, "/proc/meminfo Inactive(anon)", "";
    MeminfoActiveFile = "meminfo_active_file_bytes", Bytes, Gauge, "/proc/meminfo Active(file)", "";
    MeminfoInactiveFile = "meminfo_inactive_file_bytes", Bytes, Gauge, "/proc/meminfo Inactive(file)", "";
    MeminfoUnevictable = "meminfo_unevictable_bytes", Bytes, Gauge, "/proc/meminfo Unevictable", "";
    MeminfoMlocked = "meminfo_mlocked_bytes", Bytes, Gauge, "/proc/meminfo Mlocked", "";
    MeminfoSwapTotal = "meminfo_swap_total_bytes", Bytes, Gauge, "/proc/meminfo SwapTotal", "";
    MeminfoSwapFree = "meminfo_swap_free_bytes", Bytes, Gauge, "/proc/meminfo SwapFree", "";
    MeminfoZswap = "meminfo_zswap_bytes", Bytes, Gauge, "/proc/meminfo Zswap", "";
    MeminfoZswapped = "meminfo_zswapped_bytes", Bytes, Gauge, "/proc/meminfo Zswapped", "";
    MeminfoDirty = "meminfo_dirty_bytes", Bytes, Gauge, "/proc/meminfo Dirty", "";
    MeminfoWriteback = "meminfo_writeback_bytes", Bytes, Gauge, "/proc/meminfo Writeback", "";
    MeminfoAnonPages = "meminfo_anon_pages_bytes", Bytes, Gauge, "/proc/meminfo AnonPages", "";
    MeminfoMapped = "meminfo_mapped_bytes", Bytes, Gauge, "/proc/meminfo Mapped", "";
    MeminfoShmem = "meminfo_shmem_bytes", Bytes, Gauge, "/proc/meminfo Shmem", "";
    MeminfoKreclaimable = "meminfo_kreclaimable_bytes", Bytes, Gauge, "/proc/meminfo KReclaimable", "";
    MeminfoSlab = "meminfo_slab_bytes", Bytes, Gauge, "/proc/meminfo Slab", "";
    MeminfoSreclaimable = "meminfo_sreclaimable_bytes", Bytes, Gauge, "/proc/meminfo SReclaimable", "";
    MeminfoSunreclaim = "meminfo_sunreclaim_bytes", Bytes, Gauge, "/proc/meminfo SUnreclaim", "";
    MeminfoKernelStack = "meminfo_kernel_stack_bytes", Bytes, Gauge, "/proc/meminfo KernelStack", "";
    MeminfoPageTables = "meminfo_page_tables_bytes", Bytes, Gauge, "/proc/meminfo PageTables", "";
    MeminfoSecPageTables = "meminfo_sec_page_tables_bytes", Bytes, Gauge, "/proc/meminfo SecPageTables", "";
    MeminfoNfsUnstable = "meminfo_nfs_unstable_bytes", Bytes, Gauge, "/proc/meminfo NFS_Unstable", "";
    MeminfoBounce = "meminfo_bounce_bytes", Bytes, Gauge, "/proc/meminfo Bounce", "";
    MeminfoWritebackTmp = "meminfo_writeback_tmp_bytes", Bytes, Gauge, "/proc/meminfo WritebackTmp", "";
    MeminfoCommitLimit = "meminfo_commit_limit_bytes", Bytes, Gauge, "/proc/meminfo CommitLimit", "";
    MeminfoCommittedAs = "meminfo_committed_as_bytes", Bytes, Gauge, "/proc/meminfo Committed_AS", "";
    MeminfoVmallocTotal = "meminfo_vmalloc_total_bytes", Bytes, Gauge, "/proc/meminfo VmallocTotal", "";
    MeminfoVmallocUsed = "meminfo_vmalloc_used_bytes", Bytes, Gauge, "/proc/meminfo VmallocUsed", "";
    MeminfoVmallocChunk = "meminfo_vmalloc_chunk_bytes", Bytes, Gauge, "/proc/meminfo VmallocChunk", "";
    MeminfoPercpu = "meminfo_percpu_bytes", Bytes, Gauge, "/proc/meminfo Percpu", "";
    MeminfoHardwareCorrupted = "meminfo_hardware_corrupted_bytes", Bytes, Gauge, "/proc/meminfo HardwareCorrupted", "";
    MeminfoAnonHugePages = "meminfo_anon_huge_pages_bytes", Bytes, Gauge, "/proc/meminfo AnonHugePages", "";
    MeminfoShmemHugePages = "meminfo_shmem_huge_pages_bytes", Bytes, Gauge, "/proc/meminfo ShmemHugePages", "";
    MeminfoShmemPmdMapped = "meminfo_shmem_pmd_mapped_bytes", Bytes, Gauge, "/proc/meminfo ShmemPmdMapped", "";
    MeminfoFileHugePages = "meminfo_file_huge_pages_bytes", Bytes, Gauge, "/proc/meminfo FileHugePages", "";
    MeminfoFilePmdMapped = "meminfo_file_pmd_mapped_bytes", Bytes, Gauge, "/proc/meminfo FilePmdMapped", "";
    MeminfoCmaTotal = "meminfo_cma_total_bytes", Bytes, Gauge, "/proc/meminfo CmaTotal", "";
    MeminfoCmaFree = "meminfo_cma_free_bytes", Bytes, Gauge, "/proc/meminfo CmaFree", "";
    MeminfoUnaccepted = "meminfo_unaccepted_bytes", Bytes, Gauge, "/proc/meminfo Unaccepted", "";
    MeminfoBalloon = "meminfo_balloon_bytes", Bytes, Gauge, "/proc/meminfo Balloon", "";
    MeminfoHugetlb = "meminfo_hugetlb_bytes", Bytes, Gauge, "/proc/meminfo Hugetlb", "";
    MeminfoDirectMap4k = "meminfo_direct_map4k_bytes", Bytes, Gauge, "/proc/meminfo DirectMap4k", "";
    MeminfoDirectMap2M = "meminfo_direct_map2_m_bytes", Bytes, Gauge, "/proc/meminfo DirectMap2M", "";
    MeminfoDirectMap1G = "meminfo_direct_map1_g_bytes", Bytes, Gauge, "/proc/meminfo DirectMap1G", "";
    MeminfoHugePagesTotal = "meminfo_huge_pages_total", Count, Gauge, "/proc/meminfo HugePages_Total", "";
    MeminfoHugePagesFree = "meminfo_huge_pages_free", Count, Gauge, "/proc/meminfo HugePages_Free", "";
    MeminfoHugePagesRsvd = "meminfo_huge_pages_rsvd", Count, Gauge, "/proc/meminfo HugePages_Rsvd", "";
    MeminfoHugePagesSurp = "meminfo_huge_pages_surp", Count, Gauge, "/proc/meminfo HugePages_Surp", "";
    MeminfoHugepagesize = "meminfo_hugepagesize_bytes", Bytes, Gauge, "/proc/meminfo Hugepagesize", "";
    VmstatPgpgin = "vmstat_pgpgin", Count, Counter, "/proc/vmstat pgpgin", "";
    VmstatPgpgout = "vmstat_pgpgout", Count, Counter, "/proc/vmstat pgpgout", "";
    VmstatPswpin = "vmstat_pswpin", Count, Counter, "/proc/vmstat pswpin", "";
    VmstatPswpout = "vmstat_pswpout", Count, Counter, "/proc/vmstat pswpout", "";
    VmstatPgfault = "vmstat_pgfault", Count, Counter, "/proc/vmstat pgfault", "";
    VmstatPgmajfault = "vmstat_pgmajfault", Count, Counter, "/proc/vmstat pgmajfault", "";
    VmstatPgscanKswapd = "vmstat_pgscan_kswapd", Count, Counter, "/proc/vmstat pgscan_kswapd", "";
    VmstatPgscanDirect = "vmstat_pgscan_direct", Count, Counter, "/proc/vmstat pgscan_direct", "";
    VmstatPgscanKhugepaged = "vmstat_pgscan_khugepaged", Count, Counter, "/proc/vmstat pgscan_khugepaged", "";
    VmstatPgstealKswapd = "vmstat_pgsteal_kswapd", Count, Counter, "/proc/vmstat pgsteal_kswapd", "";
    VmstatPgstealDirect = "vmstat_pgsteal_direct", Count, Counter, "/proc/vmstat pgsteal_direct", "";
    VmstatPgstealKhugepaged = "vmstat_pgsteal_khugepaged", Count, Counter, "/proc/vmstat pgsteal_khugepaged", "";
    VmstatPgallocNormal = "vmstat_pgalloc_normal", Count, Counter, "/proc/vmstat pgalloc_normal", "";
    VmstatPgfree = "vmstat_pgfree", Count, Counter, "/proc/vmstat pgfree", "";
    VmstatPgrefill = "vmstat_pgrefill", Count, Counter, "/proc/vmstat pgrefill", "";
    VmstatPgactivate = "vmstat_pgactivate", Count, Counter, "/proc/vmstat pgactivate", "";
    VmstatPgdeactivate = "vmstat_pgdeactivate", Count, Counter, "/proc/vmstat pgdeactivate", "";
    VmstatAllocstallNormal = "vmstat_allocstall_normal", Count, Counter, "/proc/vmstat allocstall_normal", "";
    VmstatAllocstallMovable = "vmstat_allocstall_movable", Count, Counter, "/proc/vmstat allocstall_movable", "";
    VmstatCompactStall = "vmstat_compact_stall", Count, Counter, "/proc/vmstat compact_stall", "";
    VmstatCompactFail = "vmstat_compact_fail", Count, Counter, "/proc/vmstat compact_fail", "";
    VmstatCompactSuccess = "vmstat_compact_success", Count, Counter, "/proc/vmstat compact_success", "";
    VmstatOomKill = "vmstat_oom_kill", Count, Counter, "/proc/vmstat oom_kill", "";
    VmstatWorkingsetRefaultAnon = "vmstat_workingset_refault_anon", Count, Counter, "/proc/vmstat workingset_refault_anon", "";
    VmstatWorkingsetRefaultFile = "vmstat_workingset_refault_file", Count, Counter, "/proc/vmstat workingset_refault_file", "";
    VmstatWorkingsetActivateFile = "vmstat_workingset_activate_file", Count, Counter, "/proc/vmstat workingset_activate_file", "";
    VmstatThpFaultAlloc = "vmstat_thp_fault_alloc", Count, Counter, "/proc/vmstat thp_fault_alloc", "";
    VmstatThpCollapseAlloc = "vmstat_thp_collapse_alloc", Count, Counter, "/proc/vmstat thp_collapse_alloc", "";
    VmstatThpSplitPage = "vmstat_thp_split_page", Count, Counter, "/proc/vmstat thp_split_page", "";
    VmstatNumaHit = "vmstat_numa_hit", Count, Counter, "/proc/vmstat numa_hit", "";
    VmstatNumaMiss = "vmstat_numa_miss", Count, Counter, "/proc/vmstat numa_miss", "";
    VmstatNumaForeign = "vmstat_numa_foreign", Count, Counter, "/proc/vmstat numa_foreign", "";
    CpuPressureSomeTotalUsec = "cpu_pressure_some_total_usec", Usec, Counter, "/proc/pressure/cpu some total", "";
    CpuPressureSomeAvg10 = "cpu_pressure_some_avg10_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/cpu some avg10", "";
    CpuPressureSomeAvg60 = "cpu_pressure_some_avg60_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/cpu some avg60", "";
    CpuPressureSomeAvg300 = "cpu_pressure_some_avg300_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/cpu some avg300", "";
    CpuPressureFullTotalUsec = "cpu_pressure_full_total_usec", Usec, Counter, "/proc/pressure/cpu full total", "";
    CpuPressureFullAvg10 = "cpu_pressure_full_avg10_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/cpu full avg10", "";
    CpuPressureFullAvg60 = "cpu_pressure_full_avg60_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/cpu full avg60", "";
    CpuPressureFullAvg300 = "cpu_pressure_full_avg300_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/cpu full avg300", "";
    MemoryPressureSomeTotalUsec = "memory_pressure_some_total_usec", Usec, Counter, "/proc/pressure/memory some total", "";
    MemoryPressureSomeAvg10 = "memory_pressure_some_avg10_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/memory some avg10", "";
    MemoryPressureSomeAvg60 = "memory_pressure_some_avg60_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/memory some avg60", "";
    MemoryPressureSomeAvg300 = "memory_pressure_some_avg300_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/memory some avg300", "";
    MemoryPressureFullTotalUsec = "memory_pressure_full_total_usec", Usec, Counter, "/proc/pressure/memory full total", "";
    MemoryPressureFullAvg10 = "memory_pressure_full_avg10_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/memory full avg10", "";
    MemoryPressureFullAvg60 = "memory_pressure_full_avg60_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/memory full avg60", "";
    MemoryPressureFullAvg300 = "memory_pressure_full_avg300_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/memory full avg300", "";
    IoPressureSomeTotalUsec = "io_pressure_some_total_usec", Usec, Counter, "/proc/pressure/io some total", "";
    IoPressureSomeAvg10 = "io_pressure_some_avg10_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/io some avg10", "";
    IoPressureSomeAvg60 = "io_pressure_some_avg60_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/io some avg60", "";
    IoPressureSomeAvg300 = "io_pressure_some_avg300_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/io some avg300", "";
    IoPressureFullTotalUsec = "io_pressure_full_total_usec", Usec, Counter, "/proc/pressure/io full total", "";
    IoPressureFullAvg10 = "io_pressure_full_avg10_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/io full avg10", "";
    IoPressureFullAvg60 = "io_pressure_full_avg60_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/io full avg60", "";
    IoPressureFullAvg300 = "io_pressure_full_avg300_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/io full avg300", "";
    IrqPressureFullTotalUsec = "irq_pressure_full_total_usec", Usec, Counter, "/proc/pressure/irq full total", "";
    IrqPressureFullAvg10 = "irq_pressure_full_avg10_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/irq full avg10", "";
    IrqPressureFullAvg60 = "irq_pressure_full_avg60_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/irq full avg60", "";
    IrqPressureFullAvg300 = "irq_pressure_full_avg300_percent_hundredths", PercentHundredths, Gauge, "/proc/pressure/irq full avg300", "";
}

table! {
    /// Columns of one CPU's row.
    CpuColumn, CPU_METRICS;
    User = "user_ticks", Ticks, Counter, "/proc/stat cpuN user", "";
    Nice = "nice_ticks", Ticks, Counter, "/proc/stat cpuN nice", "";
    System = "system_ticks", Ticks, Counter, "/proc/stat cpuN system", "";
    Idle = "idle_ticks", Ticks, Counter, "/proc/stat cpuN idle", "";
    Iowait = "iowait_ticks", Ticks, Counter, "/proc/stat cpuN iowait", "";
    Irq = "irq_ticks", Ticks, Counter, "/proc/stat cpuN irq", "";
    Softirq = "softirq_ticks", Ticks, Counter, "/proc/stat cpuN softirq", "";
    Steal = "steal_ticks", Ticks, Counter, "/proc/stat cpuN steal", "";
    Guest = "guest_ticks", Ticks, Counter, "/proc/stat cpuN guest", "";
    GuestNice = "guest_nice_ticks", Ticks, Counter, "/proc/stat cpuN guest_nice", "";
}

table! {
    /// Columns of one block device's row.
    DiskColumn, DISK_METRICS;
    Reads = "disk_reads", Count, Counter, "/proc/diskstats reads", "";
    ReadsMerged = "disk_reads_merged", Count, Counter, "/proc/diskstats reads_merged", "";
    ReadSectors = "disk_read_sectors", Sectors, Counter, "/proc/diskstats read_sectors", "";
    ReadTimeMsec = "disk_read_time_msec", Msec, Counter, "/proc/diskstats read_time_msec", "";
    Writes = "disk_writes", Count, Counter, "/proc/diskstats writes", "";
    WritesMerged = "disk_writes_merged", Count, Counter, "/proc/diskstats writes_merged", "";
    WrittenSectors = "disk_written_sectors", Sectors, Counter, "/proc/diskstats written_sectors", "";
    WriteTimeMsec = "disk_write_time_msec", Msec, Counter, "/proc/diskstats write_time_msec", "";
    InFlight = "disk_in_flight", Count, Gauge, "/proc/diskstats in_flight", "";
    IoTimeMsec = "disk_io_time_msec", Msec, Counter, "/proc/diskstats io_time_msec", "";
    IoTimeWeightedMsec = "disk_io_time_weighted_msec", Msec, Counter, "/proc/diskstats io_time_weighted_msec", "";
    Discards = "disk_discards", Count, Counter, "/proc/diskstats discards", "";
    DiscardsMerged = "disk_discards_merged", Count, Counter, "/proc/diskstats discards_merged", "";
    DiscardedSectors = "disk_discarded_sectors", Sectors, Counter, "/proc/diskstats discarded_sectors", "";
    DiscardTimeMsec = "disk_discard_time_msec", Msec, Counter, "/proc/diskstats discard_time_msec", "";
    Flushes = "disk_flushes", Count, Counter, "/proc/diskstats flushes", "";
    FlushTimeMsec = "disk_flush_time_msec", Msec, Counter, "/proc/diskstats flush_time_msec", "";
}

table! {
    /// Columns of one mounted filesystem's row.
    FilesystemColumn, FILESYSTEM_METRICS;
    Size = "filesystem_size_bytes", Bytes, Gauge, "statvfs f_blocks", "";
    Free = "filesystem_free_bytes", Bytes, Gauge, "statvfs f_bfree", "";
    Available = "filesystem_available_bytes", Bytes, Gauge, "statvfs f_bavail", "";
    Files = "filesystem_files", Count, Gauge, "statvfs f_files", "";
    FilesFree = "filesystem_files_free", Count, Gauge, "statvfs f_ffree", "";
    ReadOnly = "filesystem_read_only", Flag, Gauge, "statvfs f_flag ST_RDONLY", "";
    DeviceError = "filesystem_device_error", Flag, Gauge, "statvfs fails", "";
}
