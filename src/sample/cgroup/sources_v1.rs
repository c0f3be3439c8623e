//! The files of a cgroup v1 cgroup, and of its twin in a hybrid machine's `unified` tree.
//!
//! In: a file's bytes. Out: cells of the cgroup's rows, under the same columns as cgroup v2's where they mean the same.
//! On a hybrid machine the unified tree's `cpu.stat` serves for CPU use: microseconds instead of the 10 ms steps of
//! `cpuacct.stat`, and one file instead of two. Kernel documentation: `Documentation/admin-guide/cgroup-v1/`.

use super::CgroupRows;
use super::sources_v2::{cpu_stat, pids_current, pids_events, processes, unified};
use super::table::{Cadence, Hierarchy, Source};
use crate::kernel::cgroup::{parse_limit, parse_value};
use crate::kernel::cgroup_v1::{
    BlkioDevice, parse_blkio, parse_cfs_quota, parse_cpu_stat as parse_cpu_stat_v1,
    parse_cpu_stat_local as parse_cpu_stat_local_v1, parse_cpuacct_stat, parse_cpuacct_usage, parse_limit_in_bytes,
    parse_memory_oom_control, parse_memory_stat as parse_memory_stat_v1,
};
use crate::sample::catalogue::{CgroupColumn as C, DeviceColumn as D, HugetlbColumn as H};
use crate::sample::self_stats::SourceFile as File;

type Apply = fn(Option<&[u8]>, u32, &mut CgroupRows);

/// `cpuacct.stat` counts in ticks of 1/100 s on every architecture that is supported.
const USEC_PER_TICK: u64 = 10_000;

/// A file that holds one number.
macro_rules! value {
    ($column:expr) => {
        |bytes, _, rows| rows.row.put($column, bytes.and_then(|bytes| parse_value(bytes).ok()))
    };
}

/// A file that holds bytes, or a number near 2^63 for "no limit".
macro_rules! limit_in_bytes {
    ($column:expr) => {
        |bytes, _, rows| rows.row.put_limit($column, bytes.and_then(|bytes| parse_limit_in_bytes(bytes).ok()))
    };
}

/// Every file that is read of a v1 cgroup; with the unified tree's on a hybrid machine.
pub(super) fn sources(page_sizes: &[Box<str>], hybrid: bool) -> Vec<Source> {
    use Cadence::{Active, Rare, Slow, Tick};
    use Hierarchy::{Blkio, Cpu, Cpuacct, Hugetlb, Memory, Pids, V2};
    let source = |hierarchy, name: &str, group, cadence, apply: Apply| Source {
        hierarchy,
        name: name.into(),
        group,
        cadence,
        part: 0,
        apply,
    };
    let mut sources = if hybrid {
        vec![source(V2, "cpu.stat", File::CpuStat, Tick, cpu_stat)]
    } else {
        vec![
            source(Cpuacct, "cpuacct.usage", File::CpuStat, Tick, cpuacct_usage),
            source(Cpuacct, "cpuacct.stat", File::CpuStat, Active, cpuacct_stat),
        ]
    };
    sources.extend([
        source(Memory, "memory.usage_in_bytes", File::MemoryCurrent, Tick, value!(C::MemoryCurrentBytes)),
        source(Memory, "memory.stat", File::MemoryStat, Active, memory_stat),
        source(Memory, "memory.oom_control", File::MemoryEvents, Active, oom_control),
        source(Cpu, "cpu.stat", File::CpuStat, Active, cpu_stat_v1),
        source(Pids, "pids.current", File::Pids, Active, pids_current),
        source(Cpu, "cpu.stat.local", File::CpuStat, Rare, cpu_stat_local),
        source(Cpu, "cpu.cfs_quota_us", File::CpuLimits, Slow, cfs_quota),
        source(Cpu, "cpu.cfs_period_us", File::CpuLimits, Rare, value!(C::CpuPeriodUsec)),
        source(Memory, "memory.limit_in_bytes", File::MemoryLimits, Slow, limit_in_bytes!(C::MemoryMaxBytes)),
        source(Memory, "memory.max_usage_in_bytes", File::MemoryCurrent, Rare, value!(C::MemoryPeakBytes)),
        source(Memory, "memory.failcnt", File::MemoryEvents, Rare, value!(C::MemoryFailcnt)),
        source(Memory, "memory.kmem.usage_in_bytes", File::MemoryCurrent, Rare, value!(C::MemoryKmemUsageBytes)),
        source(Memory, "cgroup.procs", File::Cgroup, Slow, processes),
        source(Cpu, "cpu.shares", File::CpuLimits, Rare, value!(C::CpuShares)),
        source(Cpu, "cpu.idle", File::CpuLimits, Rare, value!(C::CpuIdle)),
        source(Cpu, "cpu.cfs_burst_us", File::CpuLimits, Rare, value!(C::CpuMaxBurstUsec)),
        source(
            Memory,
            "memory.soft_limit_in_bytes",
            File::MemoryLimits,
            Rare,
            limit_in_bytes!(C::MemorySoftLimitBytes),
        ),
        source(
            Memory,
            "memory.memsw.limit_in_bytes",
            File::MemoryLimits,
            Rare,
            limit_in_bytes!(C::MemoryMemswLimitBytes),
        ),
        source(Memory, "memory.memsw.usage_in_bytes", File::MemoryCurrent, Rare, value!(C::MemoryMemswUsageBytes)),
        source(Pids, "pids.max", File::Pids, Rare, pids_max),
        source(Pids, "pids.peak", File::Pids, Rare, value!(C::PidsPeak)),
        source(Pids, "pids.events", File::Pids, Rare, pids_events),
    ]);
    sources.extend(unified());
    sources.push(source(V2, "cgroup.stat", File::Cgroup, Rare, super::sources_v2::cgroup_stat));
    for (part, size) in (0..).zip(page_sizes) {
        let files: [(&str, Apply); 5] = [
            ("usage_in_bytes", |bytes, part, rows| hugetlb(bytes, part, rows, H::Current)),
            ("rsvd.usage_in_bytes", |bytes, part, rows| hugetlb(bytes, part, rows, H::RsvdCurrent)),
            ("max_usage_in_bytes", |bytes, part, rows| hugetlb(bytes, part, rows, H::Peak)),
            ("failcnt", |bytes, part, rows| hugetlb(bytes, part, rows, H::EventsMax)),
            ("limit_in_bytes", hugetlb_limit),
        ];
        sources.extend(files.into_iter().map(|(file, apply)| Source {
            part,
            ..source(Hugetlb, &format!("hugetlb.{size}.{file}"), File::Hugetlb, Rare, apply)
        }));
    }
    // Last, so that a cgroup which vanishes while it is read leaves the devices' rows as they were.
    sources.push(source(Blkio, "blkio.throttle.io_service_bytes_recursive", File::IoStat, Active, io_service_bytes));
    sources.push(source(Blkio, "blkio.throttle.io_serviced_recursive", File::IoStat, Active, io_serviced));
    sources
}

fn cpuacct_usage(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let usage_nsec = bytes.and_then(|bytes| parse_cpuacct_usage(bytes).ok());
    rows.row.put(C::CpuUsageUsec, usage_nsec.map(|nsec| nsec / 1_000));
}

fn cpuacct_stat(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let stat = bytes.map(parse_cpuacct_stat).unwrap_or_default();
    let usec = |ticks: Option<u64>| ticks.and_then(|ticks| ticks.checked_mul(USEC_PER_TICK));
    rows.row.put(C::CpuUserUsec, usec(stat.user_ticks));
    rows.row.put(C::CpuSystemUsec, usec(stat.system_ticks));
}

fn cpu_stat_v1(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let stat = bytes.map(parse_cpu_stat_v1).unwrap_or_default();
    let row = &mut rows.row;
    row.put(C::CpuNrPeriods, stat.nr_periods);
    row.put(C::CpuNrThrottled, stat.nr_throttled);
    row.put(C::CpuThrottledUsec, stat.throttled_time_nsec.map(|nsec| nsec / 1_000));
    row.put(C::CpuNrBursts, stat.nr_bursts);
    row.put(C::CpuBurstUsec, stat.burst_time_nsec.map(|nsec| nsec / 1_000));
}

fn cpu_stat_local(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let throttled_nsec = bytes.and_then(|bytes| parse_cpu_stat_local_v1(bytes).throttled_time_nsec);
    rows.row.put(C::CpuLocalThrottledUsec, throttled_nsec.map(|nsec| nsec / 1_000));
}

fn cfs_quota(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    rows.row.put_limit(C::CpuQuotaUsec, bytes.and_then(|bytes| parse_cfs_quota(bytes).ok()));
}

fn pids_max(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    rows.row.put_limit(C::PidsMax, bytes.and_then(|bytes| parse_limit(bytes).ok()));
}

fn oom_control(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let control = bytes.map(parse_memory_oom_control).unwrap_or_default();
    let row = &mut rows.row;
    row.put(C::MemoryEventsOomKill, control.oom_kill);
    row.put(C::MemoryUnderOom, control.under_oom);
    row.put(C::MemoryOomKillDisable, control.oom_kill_disable);
}

fn memory_stat(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let stat = bytes.map(parse_memory_stat_v1).unwrap_or_default();
    let row = &mut rows.row;
    row.put(C::MemoryStatFile, stat.total_cache_bytes);
    row.put(C::MemoryStatAnon, stat.total_rss_bytes);
    row.put(C::MemoryStatAnonThp, stat.total_rss_huge_bytes);
    row.put(C::MemoryStatShmem, stat.total_shmem_bytes);
    row.put(C::MemoryStatFileMapped, stat.total_mapped_file_bytes);
    row.put(C::MemoryStatFileDirty, stat.total_dirty_bytes);
    row.put(C::MemoryStatFileWriteback, stat.total_writeback_bytes);
    row.put(C::MemoryStatSwapcached, stat.total_swapcached_bytes);
    row.put(C::MemorySwapCurrentBytes, stat.total_swap_bytes);
    row.put(C::MemoryStatInactiveAnon, stat.total_inactive_anon_bytes);
    row.put(C::MemoryStatActiveAnon, stat.total_active_anon_bytes);
    row.put(C::MemoryStatInactiveFile, stat.total_inactive_file_bytes);
    row.put(C::MemoryStatActiveFile, stat.total_active_file_bytes);
    row.put(C::MemoryStatUnevictable, stat.total_unevictable_bytes);
    row.put(C::MemoryStatPgfault, stat.total_pgfault);
    row.put(C::MemoryStatPgmajfault, stat.total_pgmajfault);
    row.put(C::MemoryStatPgpgin, stat.total_pgpgin);
    row.put(C::MemoryStatPgpgout, stat.total_pgpgout);
    row.put(C::MemoryStatWorkingsetRefaultAnon, stat.total_workingset_refault_anon);
    row.put(C::MemoryStatWorkingsetRefaultFile, stat.total_workingset_refault_file);
}

fn io_service_bytes(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    let columns = [D::Rbytes, D::Wbytes, D::Dbytes, D::SyncBytes, D::AsyncBytes, D::TotalBytes];
    blkio(bytes, rows, columns);
}

fn io_serviced(bytes: Option<&[u8]>, _: u32, rows: &mut CgroupRows) {
    blkio(bytes, rows, [D::Rios, D::Wios, D::Dios, D::SyncIos, D::AsyncIos, D::TotalIos]);
}

/// Columns in the order Read, Write, Discard, Sync, Async, Total.
fn blkio(bytes: Option<&[u8]>, rows: &mut CgroupRows, columns: [D; 6]) {
    // A device that the file no longer lists (detached, or damaged lines) must not go on showing its last numbers.
    for part in &mut rows.devices {
        columns.iter().for_each(|column| part.row.put(*column, None));
    }
    for line in parse_blkio(bytes.unwrap_or_default()) {
        let BlkioDevice { device, read, write, discard, sync, r#async, total } = line;
        let Some(row) = rows.device((device.major, device.minor)) else { continue };
        for (column, value) in columns.into_iter().zip([read, write, discard, sync, r#async, total]) {
            row.put(column, value);
        }
    }
}

fn hugetlb(bytes: Option<&[u8]>, part: u32, rows: &mut CgroupRows, column: H) {
    if let Some(row) = rows.page_size(part) {
        row.put(column, bytes.and_then(|bytes| parse_value(bytes).ok()));
    }
}

fn hugetlb_limit(bytes: Option<&[u8]>, part: u32, rows: &mut CgroupRows) {
    if let Some(row) = rows.page_size(part) {
        row.put_limit(H::Max, bytes.and_then(|bytes| parse_limit_in_bytes(bytes).ok()));
    }
}
