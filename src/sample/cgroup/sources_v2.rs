//! The files of a cgroup v2 cgroup, and where their values go.
//!
//! In: a file's bytes. Out: cells of the cgroup's rows. Absent bytes make the file's columns absent.
//! Kernel documentation: `Documentation/admin-guide/cgroup-v2.rst`.

use super::table::{Cadence, Hierarchy, Source};
use super::{CgroupRows, Row};
use crate::kernel::cgroup::{
    MemoryEvents, Pressure, parse_cgroup_events, parse_cgroup_procs, parse_cgroup_stat, parse_cpu_max, parse_cpu_stat,
    parse_cpu_stat_local, parse_hugetlb_events, parse_io_stat, parse_limit, parse_memory_events, parse_memory_stat,
    parse_memory_swap_events, parse_pids_events, parse_pressure, parse_value,
};
use crate::sample::catalogue::{CgroupColumn as C, DeviceColumn as D, HugetlbColumn as H};
use crate::sample::self_stats::SourceFile as File;

type Apply = fn(Option<&[u8]>, u32, &mut CgroupRows);

fn v2(name: impl Into<Box<str>>, group: File, cadence: Cadence, apply: Apply) -> Source {
    Source { hierarchy: Hierarchy::V2, name: name.into(), group, cadence, part: 0, apply }
}

/// A file that holds one number.
macro_rules! value {
    ($column:expr) => {
        |bytes, _, rows| rows.row.put($column, bytes.and_then(|bytes| parse_value(bytes).ok()))
    };
}

/// A file that holds one number or `max`.
macro_rules! limit {
    ($column:expr) => {
        |bytes, _, rows| rows.row.put_limit($column, bytes.and_then(|bytes| parse_limit(bytes).ok()))
    };
}

/// Every file that is read of a v2 cgroup.
pub(super) fn sources(page_sizes: &[Box<str>], swap: bool) -> Vec<Source> {
    use Cadence::{Active, Rare, Slow, Tick};
    // Without swap on the node the file says 0 for good, and a descriptor and a read a tick are spared.
    let swap_current = if swap { Active } else { Rare };
    let mut sources = vec![
        v2("cpu.stat", File::CpuStat, Tick, cpu_stat),
        v2("memory.current", File::MemoryCurrent, Tick, value!(C::MemoryCurrentBytes)),
        v2("memory.stat", File::MemoryStat, Active, memory_stat),
        v2("memory.events", File::MemoryEvents, Active, memory_events),
        v2("pids.current", File::Pids, Active, pids_current),
        v2("cpu.stat.local", File::CpuStat, Rare, cpu_stat_local),
        v2("cpu.max", File::CpuLimits, Slow, cpu_max),
        v2("memory.max", File::MemoryLimits, Slow, limit!(C::MemoryMaxBytes)),
        v2("memory.high", File::MemoryLimits, Rare, limit!(C::MemoryHighBytes)),
        v2("memory.peak", File::MemoryCurrent, Slow, value!(C::MemoryPeakBytes)),
        v2("memory.swap.current", File::MemoryCurrent, swap_current, value!(C::MemorySwapCurrentBytes)),
        v2("memory.events.local", File::MemoryEvents, Rare, memory_events_local),
        v2("cgroup.procs", File::Cgroup, Slow, processes),
        v2("cpu.weight", File::CpuLimits, Rare, value!(C::CpuWeight)),
        v2("cpu.idle", File::CpuLimits, Rare, value!(C::CpuIdle)),
        v2("cpu.max.burst", File::CpuLimits, Rare, value!(C::CpuMaxBurstUsec)),
        v2("memory.min", File::MemoryLimits, Rare, limit!(C::MemoryMinBytes)),
        v2("memory.low", File::MemoryLimits, Rare, limit!(C::MemoryLowBytes)),
        v2("memory.oom.group", File::MemoryLimits, Rare, value!(C::MemoryOomGroup)),
        v2("memory.swap.max", File::MemoryLimits, Rare, limit!(C::MemorySwapMaxBytes)),
        v2("memory.swap.high", File::MemoryLimits, Rare, limit!(C::MemorySwapHighBytes)),
        v2("memory.swap.peak", File::MemoryCurrent, Rare, value!(C::MemorySwapPeakBytes)),
        v2("memory.swap.events", File::MemoryEvents, Rare, memory_swap_events),
        v2("memory.zswap.current", File::MemoryCurrent, Rare, value!(C::MemoryZswapCurrentBytes)),
        v2("memory.zswap.max", File::MemoryLimits, Rare, limit!(C::MemoryZswapMaxBytes)),
        v2("pids.max", File::Pids, Rare, limit!(C::PidsMax)),
        v2("pids.peak", File::Pids, Rare, value!(C::PidsPeak)),
        v2("pids.events", File::Pids, Rare, pids_events),
        v2("cgroup.stat", File::Cgroup, Rare, cgroup_stat),
    ];
    sources.extend(unified());
    for (part, size) in (0..).zip(page_sizes) {
        let files: [(&str, Apply); 4] = [
            ("current", |bytes, part, rows| hugetlb(bytes, part, rows, H::Current)),
            ("rsvd.current", |bytes, part, rows| hugetlb(bytes, part, rows, H::RsvdCurrent)),
            ("max", hugetlb_max),
            ("events", hugetlb_events),
        ];
        sources.extend(
            files.into_iter().map(|(file, apply)| Source {
                part,
                ..v2(format!("hugetlb.{size}.{file}"), File::Hugetlb, Rare, apply)
            }),
        );
    }
    // Last, so that a cgroup which vanishes while it is read leaves the devices' rows as they were.
    sources.push(v2("io.stat", File::IoStat, Active, io_stat));
    sources
}

/// The files that a hybrid machine's `unified` tree has too: they need no controller.
pub(super) fn unified() -> [Source; 5] {
    use Cadence::{Active, Rare};
    [
        v2("cpu.pressure", File::Pressure, Active, |bytes, _, rows| pressure(bytes, &mut rows.row, &CPU_PRESSURE)),
        v2("memory.pressure", File::Pressure, Active, |bytes, _, rows| {
            pressure(bytes, &mut rows.row, &MEMORY_PRESSURE)
        }),
        v2("io.pressure", File::Pressure, Active, |bytes, _, rows| pressure(bytes, &mut rows.row, &IO_PRESSURE)),
        v2("irq.pressure", File::Pressure, Rare, irq_pressure),
        v2("cgroup.events", File::Cgroup, Rare, cgroup_events),
    ]
}

/// `cpu.stat`; in the hybrid's tree it has the usage keys only.
pub(super) fn cpu_stat(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let stat = bytes.map(parse_cpu_stat).unwrap_or_default();
    let row = &mut rows.row;
    row.put(C::CpuUsageUsec, stat.usage_usec);
    row.put(C::CpuUserUsec, stat.user_usec);
    row.put(C::CpuSystemUsec, stat.system_usec);
    row.put(C::CpuNiceUsec, stat.nice_usec);
    row.put(C::CpuForceIdleUsec, stat.core_sched_force_idle_usec);
    row.put(C::CpuNrPeriods, stat.nr_periods);
    row.put(C::CpuNrThrottled, stat.nr_throttled);
    row.put(C::CpuThrottledUsec, stat.throttled_usec);
    row.put(C::CpuNrBursts, stat.nr_bursts);
    row.put(C::CpuBurstUsec, stat.burst_usec);
}

fn cpu_stat_local(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let stat = bytes.map(parse_cpu_stat_local).unwrap_or_default();
    rows.row.put(C::CpuLocalThrottledUsec, stat.throttled_usec);
}

fn cpu_max(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let max = bytes.and_then(|bytes| parse_cpu_max(bytes).ok());
    rows.row.put_limit(C::CpuQuotaUsec, max.map(|max| max.quota_usec));
    rows.row.put(C::CpuPeriodUsec, max.and_then(|max| max.period_usec));
}

fn memory_stat(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let stat = bytes.map(parse_memory_stat).unwrap_or_default();
    let row = &mut rows.row;
    row.put(C::MemoryStatAnon, stat.anon_bytes);
    row.put(C::MemoryStatFile, stat.file_bytes);
    row.put(C::MemoryStatKernel, stat.kernel_bytes);
    row.put(C::MemoryStatKernelStack, stat.kernel_stack_bytes);
    row.put(C::MemoryStatPagetables, stat.pagetables_bytes);
    row.put(C::MemoryStatSecPagetables, stat.sec_pagetables_bytes);
    row.put(C::MemoryStatPercpu, stat.percpu_bytes);
    row.put(C::MemoryStatSock, stat.sock_bytes);
    row.put(C::MemoryStatVmalloc, stat.vmalloc_bytes);
    row.put(C::MemoryStatShmem, stat.shmem_bytes);
    row.put(C::MemoryStatZswap, stat.zswap_bytes);
    row.put(C::MemoryStatZswapped, stat.zswapped_bytes);
    row.put(C::MemoryStatFileMapped, stat.file_mapped_bytes);
    row.put(C::MemoryStatFileDirty, stat.file_dirty_bytes);
    row.put(C::MemoryStatFileWriteback, stat.file_writeback_bytes);
    row.put(C::MemoryStatSwapcached, stat.swapcached_bytes);
    row.put(C::MemoryStatAnonThp, stat.anon_thp_bytes);
    row.put(C::MemoryStatFileThp, stat.file_thp_bytes);
    row.put(C::MemoryStatShmemThp, stat.shmem_thp_bytes);
    row.put(C::MemoryStatInactiveAnon, stat.inactive_anon_bytes);
    row.put(C::MemoryStatActiveAnon, stat.active_anon_bytes);
    row.put(C::MemoryStatInactiveFile, stat.inactive_file_bytes);
    row.put(C::MemoryStatActiveFile, stat.active_file_bytes);
    row.put(C::MemoryStatUnevictable, stat.unevictable_bytes);
    row.put(C::MemoryStatSlabReclaimable, stat.slab_reclaimable_bytes);
    row.put(C::MemoryStatSlabUnreclaimable, stat.slab_unreclaimable_bytes);
    row.put(C::MemoryStatSlab, stat.slab_bytes);
    row.put(C::MemoryStatHugetlb, stat.hugetlb_bytes);
    row.put(C::MemoryStatWorkingsetRefaultAnon, stat.workingset_refault_anon);
    row.put(C::MemoryStatWorkingsetRefaultFile, stat.workingset_refault_file);
    row.put(C::MemoryStatWorkingsetActivateAnon, stat.workingset_activate_anon);
    row.put(C::MemoryStatWorkingsetActivateFile, stat.workingset_activate_file);
    row.put(C::MemoryStatWorkingsetRestoreAnon, stat.workingset_restore_anon);
    row.put(C::MemoryStatWorkingsetRestoreFile, stat.workingset_restore_file);
    row.put(C::MemoryStatWorkingsetNodereclaim, stat.workingset_nodereclaim);
    row.put(C::MemoryStatPgdemoteKswapd, stat.pgdemote_kswapd);
    row.put(C::MemoryStatPgdemoteDirect, stat.pgdemote_direct);
    row.put(C::MemoryStatPgdemoteKhugepaged, stat.pgdemote_khugepaged);
    row.put(C::MemoryStatPgpromoteSuccess, stat.pgpromote_success);
    row.put(C::MemoryStatPgscan, stat.pgscan);
    row.put(C::MemoryStatPgsteal, stat.pgsteal);
    row.put(C::MemoryStatPgscanKswapd, stat.pgscan_kswapd);
    row.put(C::MemoryStatPgscanDirect, stat.pgscan_direct);
    row.put(C::MemoryStatPgscanKhugepaged, stat.pgscan_khugepaged);
    row.put(C::MemoryStatPgstealKswapd, stat.pgsteal_kswapd);
    row.put(C::MemoryStatPgstealDirect, stat.pgsteal_direct);
    row.put(C::MemoryStatPgstealKhugepaged, stat.pgsteal_khugepaged);
    row.put(C::MemoryStatPgfault, stat.pgfault);
    row.put(C::MemoryStatPgmajfault, stat.pgmajfault);
    row.put(C::MemoryStatPgrefill, stat.pgrefill);
    row.put(C::MemoryStatPgactivate, stat.pgactivate);
    row.put(C::MemoryStatPgdeactivate, stat.pgdeactivate);
    row.put(C::MemoryStatPglazyfree, stat.pglazyfree);
    row.put(C::MemoryStatPglazyfreed, stat.pglazyfreed);
    row.put(C::MemoryStatSwpinZero, stat.swpin_zero);
    row.put(C::MemoryStatSwpoutZero, stat.swpout_zero);
    row.put(C::MemoryStatZswpin, stat.zswpin);
    row.put(C::MemoryStatZswpout, stat.zswpout);
    row.put(C::MemoryStatZswpwb, stat.zswpwb);
    row.put(C::MemoryStatThpFaultAlloc, stat.thp_fault_alloc);
    row.put(C::MemoryStatThpCollapseAlloc, stat.thp_collapse_alloc);
    row.put(C::MemoryStatThpSwpout, stat.thp_swpout);
    row.put(C::MemoryStatThpSwpoutFallback, stat.thp_swpout_fallback);
    row.put(C::MemoryStatNumaPagesMigrated, stat.numa_pages_migrated);
    row.put(C::MemoryStatNumaPteUpdates, stat.numa_pte_updates);
    row.put(C::MemoryStatNumaHintFaults, stat.numa_hint_faults);
}

fn memory_events(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let events: MemoryEvents = bytes.map(parse_memory_events).unwrap_or_default();
    let row = &mut rows.row;
    row.put(C::MemoryEventsLow, events.low);
    row.put(C::MemoryEventsHigh, events.high);
    row.put(C::MemoryEventsMax, events.max);
    row.put(C::MemoryEventsOom, events.oom);
    row.put(C::MemoryEventsOomKill, events.oom_kill);
    row.put(C::MemoryEventsOomGroupKill, events.oom_group_kill);
    row.put(C::MemoryEventsSockThrottled, events.sock_throttled);
}

fn memory_events_local(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let events: MemoryEvents = bytes.map(parse_memory_events).unwrap_or_default();
    let row = &mut rows.row;
    row.put(C::MemoryEventsLocalLow, events.low);
    row.put(C::MemoryEventsLocalHigh, events.high);
    row.put(C::MemoryEventsLocalMax, events.max);
    row.put(C::MemoryEventsLocalOom, events.oom);
    row.put(C::MemoryEventsLocalOomKill, events.oom_kill);
    row.put(C::MemoryEventsLocalOomGroupKill, events.oom_group_kill);
    row.put(C::MemoryEventsLocalSockThrottled, events.sock_throttled);
}

fn memory_swap_events(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let events = bytes.map(parse_memory_swap_events).unwrap_or_default();
    rows.row.put(C::MemorySwapEventsHigh, events.high);
    rows.row.put(C::MemorySwapEventsMax, events.max);
    rows.row.put(C::MemorySwapEventsFail, events.fail);
}

/// `pids.current` counts threads: in the pids controller a thread is a task.
pub(super) fn pids_current(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let tasks = bytes.and_then(|bytes| parse_value(bytes).ok());
    rows.row.put(C::PidsCurrent, tasks);
    rows.row.put(C::Threads, tasks);
}

pub(super) fn pids_events(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    rows.row.put(C::PidsEventsMax, bytes.and_then(|bytes| parse_pids_events(bytes).max));
}

pub(super) fn processes(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    rows.row.put(C::Processes, bytes.and_then(|bytes| parse_cgroup_procs(bytes).count));
}

pub(super) fn cgroup_stat(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let stat = bytes.map(parse_cgroup_stat).unwrap_or_default();
    rows.row.put(C::CgroupNrDescendants, stat.nr_descendants);
    rows.row.put(C::CgroupNrDyingDescendants, stat.nr_dying_descendants);
}

fn cgroup_events(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let events = bytes.map(parse_cgroup_events).unwrap_or_default();
    rows.row.put(C::CgroupPopulated, events.populated);
    rows.row.put(C::CgroupFrozen, events.frozen);
}

fn io_stat(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    // A device that the file no longer lists (detached, or damaged lines) must not go on showing its last numbers.
    rows.devices.iter_mut().for_each(|part| part.row.clear());
    for line in parse_io_stat(bytes.unwrap_or_default()) {
        let Some(row) = rows.device((line.device.major, line.device.minor)) else { continue };
        row.put(D::Rbytes, line.rbytes);
        row.put(D::Wbytes, line.wbytes);
        row.put(D::Dbytes, line.dbytes);
        row.put(D::Rios, line.rios);
        row.put(D::Wios, line.wios);
        row.put(D::Dios, line.dios);
        row.put(D::CostUsage, line.cost_usage_usec);
        row.put(D::CostWait, line.cost_wait_usec);
        row.put(D::CostIndebt, line.cost_indebt_usec);
        row.put(D::CostIndelay, line.cost_indelay_usec);
    }
}

fn hugetlb(bytes: Option<&[u8]>, part: u32, rows: &mut CgroupRows, column: H) {
    if let Some(row) = rows.page_size(part) {
        row.put(column, bytes.and_then(|bytes| parse_value(bytes).ok()));
    }
}

fn hugetlb_max(bytes: Option<&[u8]>, part: u32, rows: &mut CgroupRows) {
    if let Some(row) = rows.page_size(part) {
        row.put_limit(H::Max, bytes.and_then(|bytes| parse_limit(bytes).ok()));
    }
}

fn hugetlb_events(bytes: Option<&[u8]>, part: u32, rows: &mut CgroupRows) {
    if let Some(row) = rows.page_size(part) {
        row.put(H::EventsMax, bytes.and_then(|bytes| parse_hugetlb_events(bytes).max));
    }
}

/// Columns of one resource's pressure: `some` total, avg10, avg60, avg300, then the same of `full`.
type PressureColumns = [C; 8];

const CPU_PRESSURE: PressureColumns = [
    C::CpuPressureSomeTotalUsec,
    C::CpuPressureSomeAvg10,
    C::CpuPressureSomeAvg60,
    C::CpuPressureSomeAvg300,
    C::CpuPressureFullTotalUsec,
    C::CpuPressureFullAvg10,
    C::CpuPressureFullAvg60,
    C::CpuPressureFullAvg300,
];
const MEMORY_PRESSURE: PressureColumns = [
    C::MemoryPressureSomeTotalUsec,
    C::MemoryPressureSomeAvg10,
    C::MemoryPressureSomeAvg60,
    C::MemoryPressureSomeAvg300,
    C::MemoryPressureFullTotalUsec,
    C::MemoryPressureFullAvg10,
    C::MemoryPressureFullAvg60,
    C::MemoryPressureFullAvg300,
];
const IO_PRESSURE: PressureColumns = [
    C::IoPressureSomeTotalUsec,
    C::IoPressureSomeAvg10,
    C::IoPressureSomeAvg60,
    C::IoPressureSomeAvg300,
    C::IoPressureFullTotalUsec,
    C::IoPressureFullAvg10,
    C::IoPressureFullAvg60,
    C::IoPressureFullAvg300,
];

fn pressure(bytes: Option<&[u8]>, row: &mut Row, columns: &PressureColumns) {
    let Pressure { some, full } = bytes.map(parse_pressure).unwrap_or_default();
    let [some_total, some_avg10, some_avg60, some_avg300, full_total, full_avg10, full_avg60, full_avg300] = *columns;
    row.put(some_total, some.total_usec);
    row.put(some_avg10, some.avg10_percent_hundredths);
    row.put(some_avg60, some.avg60_percent_hundredths);
    row.put(some_avg300, some.avg300_percent_hundredths);
    row.put(full_total, full.total_usec);
    row.put(full_avg10, full.avg10_percent_hundredths);
    row.put(full_avg60, full.avg60_percent_hundredths);
    row.put(full_avg300, full.avg300_percent_hundredths);
}

fn irq_pressure(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let full = bytes.map(parse_pressure).unwrap_or_default().full;
    let row = &mut rows.row;
    row.put(C::IrqPressureFullTotalUsec, full.total_usec);
    row.put(C::IrqPressureFullAvg10, full.avg10_percent_hundredths);
    row.put(C::IrqPressureFullAvg60, full.avg60_percent_hundredths);
    row.put(C::IrqPressureFullAvg300, full.avg300_percent_hundredths);
}
