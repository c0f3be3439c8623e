//! The node's own files, read at every tick from kept descriptors.
//!
//! In: `<procfs>/stat meminfo vmstat loadavg uptime diskstats pressure/*`. Out: the node's row, one row per CPU and one
//! per disk. Kernel documentation: `Documentation/filesystems/proc.rst`, `Documentation/admin-guide/iostats.rst`,
//! `Documentation/accounting/psi.rst`. Next: `sampler.rs`.

use std::ffi::CStr;
use std::sync::Arc;

use super::Subject;
use super::catalogue::{CPU_METRICS, CpuColumn as P, DISK_METRICS, DiskColumn as K, NODE_METRICS, NodeColumn as N};
use super::row::Row;
use super::self_stats::{SelfStats, SourceFile};
use crate::kernel::cgroup::{Pressure, parse_pressure};
use crate::kernel::file::{KernelDir, KernelFile, ReadBuffer, Records};
use crate::kernel::proc::{
    CpuTimes, parse_diskstats, parse_loadavg, parse_meminfo, parse_stat, parse_uptime, parse_vmstat, per_cpu,
};
use crate::units::{ErrorClass, MonotonicNanos};

/// A row of a CPU or a disk.
#[derive(Debug)]
pub(super) struct NodePart {
    /// CPU number, or block device number.
    pub key: (u32, u32),
    pub name: Box<[u8]>,
    /// Given by the sampler at the end of the tick in which the part appeared.
    pub subject: Option<Arc<Subject>>,
    pub row: Row,
    seen: bool,
}

/// The rows of the node.
#[derive(Debug)]
pub(super) struct NodeRows {
    pub row: Row,
    pub cpus: Vec<NodePart>,
    pub disks: Vec<NodePart>,
    /// Parts came or went in the last read.
    pub changed: bool,
}

/// One file and where its values go.
struct NodeFile {
    name: &'static CStr,
    records: Records,
    apply: fn(Option<&[u8]>, &mut NodeRows),
    file: Option<KernelFile>,
    /// The last error was one that passes (out of descriptors, EIO): it is tried at the next tick.
    passing: bool,
}

/// Reads the node's files.
pub(super) struct NodeReader {
    proc: Arc<KernelDir>,
    files: [NodeFile; 10],
    pub rows: NodeRows,
}

impl std::fmt::Debug for NodeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeReader").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// A file that was missing is looked for again after this many ticks.
const LOOK_AGAIN_TICKS: u64 = 30;

impl NodeReader {
    pub fn new(proc: Arc<KernelDir>) -> Self {
        let file = |name, records, apply| NodeFile { name, records, apply, file: None, passing: false };
        Self {
            proc,
            files: [
                file(c"stat", Records::One, stat),
                file(c"meminfo", Records::One, meminfo),
                file(c"vmstat", Records::Many, vmstat),
                file(c"loadavg", Records::One, loadavg),
                file(c"uptime", Records::One, uptime),
                file(c"diskstats", Records::Many, diskstats),
                file(c"pressure/cpu", Records::One, |bytes, rows| pressure(bytes, &mut rows.row, &CPU_PRESSURE)),
                file(c"pressure/memory", Records::One, |bytes, rows| pressure(bytes, &mut rows.row, &MEMORY_PRESSURE)),
                file(c"pressure/io", Records::One, |bytes, rows| pressure(bytes, &mut rows.row, &IO_PRESSURE)),
                file(c"pressure/irq", Records::One, irq_pressure),
            ],
            rows: NodeRows { row: Row::new(NODE_METRICS.len()), cpus: Vec::new(), disks: Vec::new(), changed: true },
        }
    }

    /// Reads everything. A file that fails leaves its columns absent.
    pub fn read(&mut self, tick: u64, now: MonotonicNanos, buffer: &mut ReadBuffer, stats: &mut SelfStats) {
        self.rows.changed = false;
        for file in &mut self.files {
            if file.file.is_none() && (tick == 1 || file.passing || tick.is_multiple_of(LOOK_AGAIN_TICKS)) {
                file.passing = false;
                match self.proc.open_file_below(file.name, file.records) {
                    Ok(open) => file.file = Some(open),
                    Err(class) => file.failed(class, stats),
                }
            }
            let Some(open) = &file.file else { continue };
            match open.read_into(buffer) {
                Ok(bytes) => {
                    self.rows.row.take_written();
                    (file.apply)(Some(bytes), &mut self.rows);
                    let ends_with_a_line = bytes.last().is_none_or(|last| *last == b'\n');
                    // Disks have rows of their own, and a machine may have none.
                    let understood = self.rows.row.take_written() || file.name == c"diskstats";
                    if !ends_with_a_line || !understood {
                        stats.count_error(SourceFile::Node, ErrorClass::Malformed);
                    }
                }
                Err(class) => {
                    file.failed(class, stats);
                    (file.apply)(None, &mut self.rows);
                }
            }
        }
        self.rows.row.read_at = now;
        for part in self.rows.cpus.iter_mut().chain(&mut self.rows.disks) {
            part.row.read_at = now;
        }
    }
}

impl NodeFile {
    /// A file that this kernel does not have is normal (PSI off, no IRQ accounting) and not counted.
    fn failed(&mut self, class: ErrorClass, stats: &mut SelfStats) {
        if class != ErrorClass::Gone && class != ErrorClass::Unsupported {
            stats.count_error(SourceFile::Node, class);
        }
        self.file = None;
        self.passing = matches!(class, ErrorClass::Exhausted | ErrorClass::Malformed | ErrorClass::Other);
    }
}

fn part<'a>(
    parts: &'a mut Vec<NodePart>,
    position: usize,
    key: (u32, u32),
    name: &[u8],
    columns: usize,
    changed: &mut bool,
) -> Option<&'a mut Row> {
    let is = |part: &NodePart| part.key == key && *part.name == *name;
    let index = match parts.get(position) {
        Some(part) if is(part) => position,
        _ => parts.iter().position(is).unwrap_or_else(|| {
            *changed = true;
            parts.push(NodePart { key, name: name.into(), subject: None, row: Row::new(columns), seen: true });
            parts.len() - 1
        }),
    };
    parts.get_mut(index).map(|part| {
        part.seen = true;
        &mut part.row
    })
}

/// Forgets the parts that the file did not list this time.
fn sweep(parts: &mut Vec<NodePart>, changed: &mut bool) {
    let before = parts.len();
    parts.retain(|part| part.seen);
    *changed |= parts.len() != before;
    parts.iter_mut().for_each(|part| part.seen = false);
}

fn stat(bytes: Option<&[u8]>, rows: &mut NodeRows) {
    let stat = bytes.map(parse_stat).unwrap_or_default();
    let row = &mut rows.row;
    let total = stat.cpu;
    row.put(N::CpuUserTicks, total.user_ticks);
    row.put(N::CpuNiceTicks, total.nice_ticks);
    row.put(N::CpuSystemTicks, total.system_ticks);
    row.put(N::CpuIdleTicks, total.idle_ticks);
    row.put(N::CpuIowaitTicks, total.iowait_ticks);
    row.put(N::CpuIrqTicks, total.irq_ticks);
    row.put(N::CpuSoftirqTicks, total.softirq_ticks);
    row.put(N::CpuStealTicks, total.steal_ticks);
    row.put(N::CpuGuestTicks, total.guest_ticks);
    row.put(N::CpuGuestNiceTicks, total.guest_nice_ticks);
    row.put(N::ContextSwitches, stat.ctxt);
    row.put(N::Interrupts, stat.intr);
    row.put(N::Softirqs, stat.softirq);
    row.put(N::Forks, stat.processes);
    row.put(N::ProcsRunning, stat.procs_running);
    row.put(N::ProcsBlocked, stat.procs_blocked);
    row.put(N::BootTimeUnixSeconds, stat.btime_unix_seconds);
    for (position, (number, times)) in per_cpu(bytes.unwrap_or_default()).enumerate() {
        let mut digits = itoa::Buffer::new();
        let name = digits.format(number).as_bytes();
        if let Some(row) = part(&mut rows.cpus, position, (number, 0), name, CPU_METRICS.len(), &mut rows.changed) {
            cpu(row, &times);
        }
    }
    sweep(&mut rows.cpus, &mut rows.changed);
}

fn cpu(row: &mut Row, times: &CpuTimes) {
    row.put(P::User, times.user_ticks);
    row.put(P::Nice, times.nice_ticks);
    row.put(P::System, times.system_ticks);
    row.put(P::Idle, times.idle_ticks);
    row.put(P::Iowait, times.iowait_ticks);
    row.put(P::Irq, times.irq_ticks);
    row.put(P::Softirq, times.softirq_ticks);
    row.put(P::Steal, times.steal_ticks);
    row.put(P::Guest, times.guest_ticks);
    row.put(P::GuestNice, times.guest_nice_ticks);
}

fn meminfo(bytes: Option<&[u8]>, rows: &mut NodeRows) {
    let info = bytes.map(parse_meminfo).unwrap_or_default();
    let row = &mut rows.row;
    row.put(N::MeminfoMemTotal, info.mem_total_bytes);
    row.put(N::MeminfoMemFree, info.mem_free_bytes);
    row.put(N::MeminfoMemAvailable, info.mem_available_bytes);
    row.put(N::MeminfoBuffers, info.buffers_bytes);
    row.put(N::MeminfoCached, info.cached_bytes);
    row.put(N::MeminfoSwapCached, info.swap_cached_bytes);
    row.put(N::MeminfoActive, info.active_bytes);
    row.put(N::MeminfoInactive, info.inactive_bytes);
    row.put(N::MeminfoActiveAnon, info.active_anon_bytes);
    row.put(N::MeminfoInactiveAnon, info.inactive_anon_bytes);
    row.put(N::MeminfoActiveFile, info.active_file_bytes);
    row.put(N::MeminfoInactiveFile, info.inactive_file_bytes);
    row.put(N::MeminfoUnevictable, info.unevictable_bytes);
    row.put(N::MeminfoMlocked, info.mlocked_bytes);
    row.put(N::MeminfoSwapTotal, info.swap_total_bytes);
    row.put(N::MeminfoSwapFree, info.swap_free_bytes);
    row.put(N::MeminfoZswap, info.zswap_bytes);
    row.put(N::MeminfoZswapped, info.zswapped_bytes);
    row.put(N::MeminfoDirty, info.dirty_bytes);
    row.put(N::MeminfoWriteback, info.writeback_bytes);
    row.put(N::MeminfoAnonPages, info.anon_pages_bytes);
    row.put(N::MeminfoMapped, info.mapped_bytes);
    row.put(N::MeminfoShmem, info.shmem_bytes);
    row.put(N::MeminfoKreclaimable, info.kreclaimable_bytes);
    row.put(N::MeminfoSlab, info.slab_bytes);
    row.put(N::MeminfoSreclaimable, info.sreclaimable_bytes);
    row.put(N::MeminfoSunreclaim, info.sunreclaim_bytes);
    row.put(N::MeminfoKernelStack, info.kernel_stack_bytes);
    row.put(N::MeminfoPageTables, info.page_tables_bytes);
    row.put(N::MeminfoSecPageTables, info.sec_page_tables_bytes);
    row.put(N::MeminfoNfsUnstable, info.nfs_unstable_bytes);
    row.put(N::MeminfoBounce, info.bounce_bytes);
    row.put(N::MeminfoWritebackTmp, info.writeback_tmp_bytes);
    row.put(N::MeminfoCommitLimit, info.commit_limit_bytes);
    row.put(N::MeminfoCommittedAs, info.committed_as_bytes);
    row.put(N::MeminfoVmallocTotal, info.vmalloc_total_bytes);
    row.put(N::MeminfoVmallocUsed, info.vmalloc_used_bytes);
    row.put(N::MeminfoVmallocChunk, info.vmalloc_chunk_bytes);
    row.put(N::MeminfoPercpu, info.percpu_bytes);
    row.put(N::MeminfoHardwareCorrupted, info.hardware_corrupted_bytes);
    row.put(N::MeminfoAnonHugePages, info.anon_huge_pages_bytes);
    row.put(N::MeminfoShmemHugePages, info.shmem_huge_pages_bytes);
    row.put(N::MeminfoShmemPmdMapped, info.shmem_pmd_mapped_bytes);
    row.put(N::MeminfoFileHugePages, info.file_huge_pages_bytes);
    row.put(N::MeminfoFilePmdMapped, info.file_pmd_mapped_bytes);
    row.put(N::MeminfoCmaTotal, info.cma_total_bytes);
    row.put(N::MeminfoCmaFree, info.cma_free_bytes);
    row.put(N::MeminfoUnaccepted, info.unaccepted_bytes);
    row.put(N::MeminfoBalloon, info.balloon_bytes);
    row.put(N::MeminfoHugetlb, info.hugetlb_bytes);
    row.put(N::MeminfoDirectMap4k, info.direct_map4k_bytes);
    row.put(N::MeminfoDirectMap2M, info.direct_map2_m_bytes);
    row.put(N::MeminfoDirectMap1G, info.direct_map1_g_bytes);
    row.put(N::MeminfoHugePagesTotal, info.huge_pages_total);
    row.put(N::MeminfoHugePagesFree, info.huge_pages_free);
    row.put(N::MeminfoHugePagesRsvd, info.huge_pages_rsvd);
    row.put(N::MeminfoHugePagesSurp, info.huge_pages_surp);
    row.put(N::MeminfoHugepagesize, info.hugepagesize_bytes);
}

fn vmstat(bytes: Option<&[u8]>, rows: &mut NodeRows) {
    let stat = bytes.map(parse_vmstat).unwrap_or_default();
    let row = &mut rows.row;
    row.put(N::VmstatPgpgin, stat.pgpgin);
    row.put(N::VmstatPgpgout, stat.pgpgout);
    row.put(N::VmstatPswpin, stat.pswpin);
    row.put(N::VmstatPswpout, stat.pswpout);
    row.put(N::VmstatPgfault, stat.pgfault);
    row.put(N::VmstatPgmajfault, stat.pgmajfault);
    row.put(N::VmstatPgscanKswapd, stat.pgscan_kswapd);
    row.put(N::VmstatPgscanDirect, stat.pgscan_direct);
    row.put(N::VmstatPgscanKhugepaged, stat.pgscan_khugepaged);
    row.put(N::VmstatPgstealKswapd, stat.pgsteal_kswapd);
    row.put(N::VmstatPgstealDirect, stat.pgsteal_direct);
    row.put(N::VmstatPgstealKhugepaged, stat.pgsteal_khugepaged);
    row.put(N::VmstatPgallocNormal, stat.pgalloc_normal);
    row.put(N::VmstatPgfree, stat.pgfree);
    row.put(N::VmstatPgrefill, stat.pgrefill);
    row.put(N::VmstatPgactivate, stat.pgactivate);
    row.put(N::VmstatPgdeactivate, stat.pgdeactivate);
    row.put(N::VmstatAllocstallNormal, stat.allocstall_normal);
    row.put(N::VmstatAllocstallMovable, stat.allocstall_movable);
    row.put(N::VmstatCompactStall, stat.compact_stall);
    row.put(N::VmstatCompactFail, stat.compact_fail);
    row.put(N::VmstatCompactSuccess, stat.compact_success);
    row.put(N::VmstatOomKill, stat.oom_kill);
    row.put(N::VmstatWorkingsetRefaultAnon, stat.workingset_refault_anon);
    row.put(N::VmstatWorkingsetRefaultFile, stat.workingset_refault_file);
    row.put(N::VmstatWorkingsetActivateFile, stat.workingset_activate_file);
    row.put(N::VmstatThpFaultAlloc, stat.thp_fault_alloc);
    row.put(N::VmstatThpCollapseAlloc, stat.thp_collapse_alloc);
    row.put(N::VmstatThpSplitPage, stat.thp_split_page);
    row.put(N::VmstatNumaHit, stat.numa_hit);
    row.put(N::VmstatNumaMiss, stat.numa_miss);
    row.put(N::VmstatNumaForeign, stat.numa_foreign);
}

fn loadavg(bytes: Option<&[u8]>, rows: &mut NodeRows) {
    let load = bytes.map(parse_loadavg).unwrap_or_default();
    let row = &mut rows.row;
    row.put(N::Load1Hundredths, load.load1_hundredths);
    row.put(N::Load5Hundredths, load.load5_hundredths);
    row.put(N::Load15Hundredths, load.load15_hundredths);
    row.put(N::TasksRunnable, load.runnable);
    row.put(N::Tasks, load.total);
}

fn uptime(bytes: Option<&[u8]>, rows: &mut NodeRows) {
    rows.row.put(N::UptimeMsec, bytes.and_then(|bytes| parse_uptime(bytes).uptime_msec));
}

fn diskstats(bytes: Option<&[u8]>, rows: &mut NodeRows) {
    for (position, line) in parse_diskstats(bytes.unwrap_or_default()).enumerate() {
        let key = (line.device.major, line.device.minor);
        let Some(row) = part(&mut rows.disks, position, key, line.name, DISK_METRICS.len(), &mut rows.changed) else {
            continue;
        };
        row.put(K::Reads, line.reads);
        row.put(K::ReadsMerged, line.reads_merged);
        row.put(K::ReadSectors, line.read_sectors);
        row.put(K::ReadTimeMsec, line.read_time_msec);
        row.put(K::Writes, line.writes);
        row.put(K::WritesMerged, line.writes_merged);
        row.put(K::WrittenSectors, line.written_sectors);
        row.put(K::WriteTimeMsec, line.write_time_msec);
        row.put(K::InFlight, line.in_flight);
        row.put(K::IoTimeMsec, line.io_time_msec);
        row.put(K::IoTimeWeightedMsec, line.io_time_weighted_msec);
        row.put(K::Discards, line.discards);
        row.put(K::DiscardsMerged, line.discards_merged);
        row.put(K::DiscardedSectors, line.discarded_sectors);
        row.put(K::DiscardTimeMsec, line.discard_time_msec);
        row.put(K::Flushes, line.flushes);
        row.put(K::FlushTimeMsec, line.flush_time_msec);
    }
    sweep(&mut rows.disks, &mut rows.changed);
}

type PressureColumns = [N; 8];

const CPU_PRESSURE: PressureColumns = [
    N::CpuPressureSomeTotalUsec,
    N::CpuPressureSomeAvg10,
    N::CpuPressureSomeAvg60,
    N::CpuPressureSomeAvg300,
    N::CpuPressureFullTotalUsec,
    N::CpuPressureFullAvg10,
    N::CpuPressureFullAvg60,
    N::CpuPressureFullAvg300,
];
const MEMORY_PRESSURE: PressureColumns = [
    N::MemoryPressureSomeTotalUsec,
    N::MemoryPressureSomeAvg10,
    N::MemoryPressureSomeAvg60,
    N::MemoryPressureSomeAvg300,
    N::MemoryPressureFullTotalUsec,
    N::MemoryPressureFullAvg10,
    N::MemoryPressureFullAvg60,
    N::MemoryPressureFullAvg300,
];
const IO_PRESSURE: PressureColumns = [
    N::IoPressureSomeTotalUsec,
    N::IoPressureSomeAvg10,
    N::IoPressureSomeAvg60,
    N::IoPressureSomeAvg300,
    N::IoPressureFullTotalUsec,
    N::IoPressureFullAvg10,
    N::IoPressureFullAvg60,
    N::IoPressureFullAvg300,
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

fn irq_pressure(bytes: Option<&[u8]>, rows: &mut NodeRows) {
    let full = bytes.map(parse_pressure).unwrap_or_default().full;
    let row = &mut rows.row;
    row.put(N::IrqPressureFullTotalUsec, full.total_usec);
    row.put(N::IrqPressureFullAvg10, full.avg10_percent_hundredths);
    row.put(N::IrqPressureFullAvg60, full.avg60_percent_hundredths);
    row.put(N::IrqPressureFullAvg300, full.avg300_percent_hundredths);
}
