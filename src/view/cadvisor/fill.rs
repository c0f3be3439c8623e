//! Rows as cAdvisor's types.
//!
//! In: rows of the catalogue's tables. Out: [`Stats`] and [`Spec`] in cAdvisor's units: nanoseconds and bytes. A cell that is
//! absent is 0, as a file that cAdvisor could not read. Next: [`history`](super::history), [`tree`](super::tree).

use std::collections::BTreeMap;

use super::model::{
    Cfs, CpuSpec, CpuStats, CpuUsage, Faults, FsStats, Hugetlb, Interface, MemoryEvents, MemorySpec, MemoryStats,
    PerDisk, ProcessSpec, ProcessStats, Psi, PsiLine, Reference, Spec, Stats,
};
use crate::sample::catalogue::{
    CgroupColumn as C, DeviceColumn as D, DiskColumn as K, FilesystemColumn as F, HugetlbColumn as H,
    InterfaceColumn as I, NodeColumn as N,
};
use crate::sample::derived::{usage_bytes, working_set_bytes};
use crate::sample::row::{Cell, Column, RowRef};
use crate::sample::storage::StorageUsage;
use crate::sample::{MachineFacts, Metadata, Runtime, Subject, Workload};
use crate::units::UnixNanos;
use crate::view::api::rfc3339;
use crate::view::prometheus::shares::{Formula, shares_of};

/// An instant as Go writes it.
pub(super) fn time(at: UnixNanos) -> String {
    let text = rfc3339(at);
    let seconds = text.split('.').next().unwrap_or(&text);
    format!("{seconds}.{:09}Z", at.0 % 1_000_000_000)
}

fn time_or_none(at: Option<UnixNanos>) -> String {
    at.filter(|at| at.0 > 0).map_or_else(|| super::model::NO_TIME.to_owned(), time)
}

/// cAdvisor's word for a runtime.
const fn namespace(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::CriO => "crio",
        other => other.as_str(),
    }
}

/// The runtime of a container by its metadata, else by its path; `None` for other cgroups.
pub(super) fn runtime_of(workload: &Workload) -> Option<Runtime> {
    workload.identity.container_id.as_ref()?;
    let told = workload.metadata.as_deref().and_then(|metadata| metadata.runtime);
    told.or(workload.identity.runtime)
}

/// Who a cgroup is.
pub(super) fn reference(subject: &Subject) -> Reference {
    let name = subject.name.to_string();
    let Some(workload) = subject.workload.as_deref() else { return Reference { name, ..Reference::default() } };
    let Some(runtime) = runtime_of(workload) else { return Reference { name, ..Reference::default() } };
    let id = workload.identity.container_id.as_deref().unwrap_or_default().to_owned();
    let told = workload.metadata.as_deref().map(|metadata| metadata.name.clone());
    let mut aliases: Vec<String> = told.into_iter().filter(|name| !name.is_empty()).collect();
    if !aliases.contains(&id) {
        aliases.push(id.clone());
    }
    Reference { id, name, aliases, namespace: namespace(runtime).to_owned() }
}

/// A limit as cAdvisor reads it: the word `max` is the largest integer.
fn limit(row: &RowRef<'_>, column: C) -> Option<u64> {
    match row.cell(column) {
        Cell::Value(value) => Some(value),
        Cell::Unlimited => Some(u64::MAX),
        Cell::Absent => None,
    }
}

/// What a cgroup is and may use. `formula` turns its weight back into shares.
pub(super) fn spec(subject: &Subject, row: &RowRef<'_>, machine: &MachineFacts, formula: Formula) -> Spec {
    let workload = subject.workload.as_deref();
    let metadata: Option<&Metadata> = workload.and_then(|workload| workload.metadata.as_deref());
    let of_root = is_root(subject);
    let shares = row.value(C::CpuShares).or_else(|| Some(shares_of(row.value(C::CpuWeight)?, formula)));
    let created_at = metadata.and_then(|metadata| metadata.created_at).or(workload.map(|workload| workload.created_at));
    let memory_limit = if of_root { Some(machine.memory_bytes) } else { limit(row, C::MemoryMaxBytes) };
    let swap_limit = if of_root { Some(machine.swap_bytes) } else { limit(row, C::MemorySwapMaxBytes) };
    Spec {
        creation_time: time_or_none(created_at),
        start_time: time_or_none(metadata.and_then(|metadata| metadata.started_at)),
        labels: metadata.map(|metadata| metadata.labels.clone()).unwrap_or_default(),
        has_cpu: row.value(C::CpuUsageUsec).is_some(),
        cpu: CpuSpec {
            limit: shares.unwrap_or(0),
            max_limit: 0,
            quota: row.value(C::CpuQuotaUsec).unwrap_or(0),
            period: row.value(C::CpuPeriodUsec).unwrap_or(0),
        },
        has_memory: usage_bytes(row, of_root).is_some(),
        memory: MemorySpec {
            limit: memory_limit.unwrap_or(0),
            reservation: limit(row, C::MemoryMinBytes).or_else(|| limit(row, C::MemorySoftLimitBytes)).unwrap_or(0),
            swap_limit: swap_limit.or_else(|| limit(row, C::MemoryMemswLimitBytes)).unwrap_or(0),
        },
        has_processes: row.value(C::Processes).is_some(),
        processes: ProcessSpec { limit: limit(row, C::PidsMax).unwrap_or(0) },
        has_custom_metrics: false,
        image: metadata.map(|metadata| metadata.image.clone()).unwrap_or_default(),
        ..Spec::default()
    }
}

/// Whether a cgroup is the root of the hierarchy.
pub(super) fn is_root(subject: &Subject) -> bool {
    &*subject.name == "/"
}

fn line(row: &RowRef<'_>, [total, avg10, avg60, avg300]: [impl Column; 4]) -> PsiLine {
    let percent = |column| row.value(column).map_or(0.0, |hundredths| hundredths as f64 / 100.0);
    PsiLine {
        total: row.value(total).unwrap_or(0),
        avg10: percent(avg10),
        avg60: percent(avg60),
        avg300: percent(avg300),
    }
}

/// The three pressure files of a row, in a table that names their columns as the cgroup's does.
macro_rules! pressures {
    ($row:expr, $table:ident) => {{
        use $table as T;
        let psi = |some, full| Psi { full: line($row, full), some: line($row, some) };
        Pressures {
            cpu: psi(
                [
                    T::CpuPressureSomeTotalUsec,
                    T::CpuPressureSomeAvg10,
                    T::CpuPressureSomeAvg60,
                    T::CpuPressureSomeAvg300,
                ],
                [
                    T::CpuPressureFullTotalUsec,
                    T::CpuPressureFullAvg10,
                    T::CpuPressureFullAvg60,
                    T::CpuPressureFullAvg300,
                ],
            ),
            memory: psi(
                [
                    T::MemoryPressureSomeTotalUsec,
                    T::MemoryPressureSomeAvg10,
                    T::MemoryPressureSomeAvg60,
                    T::MemoryPressureSomeAvg300,
                ],
                [
                    T::MemoryPressureFullTotalUsec,
                    T::MemoryPressureFullAvg10,
                    T::MemoryPressureFullAvg60,
                    T::MemoryPressureFullAvg300,
                ],
            ),
            io: psi(
                [T::IoPressureSomeTotalUsec, T::IoPressureSomeAvg10, T::IoPressureSomeAvg60, T::IoPressureSomeAvg300],
                [T::IoPressureFullTotalUsec, T::IoPressureFullAvg10, T::IoPressureFullAvg60, T::IoPressureFullAvg300],
            ),
        }
    }};
}

/// Pressure on CPU, memory and io.
#[derive(Debug, Clone, Default)]
pub(super) struct Pressures {
    cpu: Psi,
    memory: Psi,
    io: Psi,
}

impl Pressures {
    /// Of a cgroup's row.
    pub fn of_cgroup(row: &RowRef<'_>) -> Self {
        pressures!(row, C)
    }

    /// Of the node's row, which is the root's.
    pub fn of_node(row: &RowRef<'_>) -> Self {
        pressures!(row, N)
    }

    /// Writes them where cAdvisor has them.
    pub fn put(self, stats: &mut Stats) {
        if let Some(cpu) = &mut stats.cpu {
            cpu.psi = self.cpu;
        }
        if let Some(memory) = &mut stats.memory {
            memory.psi = self.memory;
        }
        if let Some(diskio) = &mut stats.diskio {
            diskio.psi = self.io;
        }
    }
}

/// What a cgroup's row says of one tick, without pressure.
pub(super) fn stats(wall: UnixNanos, row: &RowRef<'_>, of_root: bool) -> Stats {
    let value = |column| row.value(column).unwrap_or(0);
    Stats {
        timestamp: time(wall),
        cpu: row.value(C::CpuUsageUsec).map(|usec| cpu(row, usec)),
        memory: usage_bytes(row, of_root).map(|usage| memory(row, usage, of_root)),
        processes: row.value(C::Processes).map(|processes| ProcessStats {
            process_count: processes,
            fd_count: 0,
            socket_count: 0,
            threads_current: row.value(C::Threads).unwrap_or_else(|| value(C::PidsCurrent)),
            threads_max: value(C::PidsMax),
        }),
        oom_events: value(C::MemoryEventsOomKill),
        ..Stats::default()
    }
}

fn nanos(usec: u64) -> u64 {
    usec.saturating_mul(1_000)
}

fn cpu(row: &RowRef<'_>, total_usec: u64) -> CpuStats {
    let value = |column| row.value(column).unwrap_or(0);
    CpuStats {
        usage: CpuUsage {
            total: nanos(total_usec),
            user: nanos(value(C::CpuUserUsec)),
            system: nanos(value(C::CpuSystemUsec)),
        },
        cfs: Cfs {
            periods: value(C::CpuNrPeriods),
            throttled_periods: value(C::CpuNrThrottled),
            throttled_time: nanos(value(C::CpuThrottledUsec)),
            bursts_periods: value(C::CpuNrBursts),
            burst_time: nanos(value(C::CpuBurstUsec)),
        },
        ..CpuStats::default()
    }
}

fn memory(row: &RowRef<'_>, usage: u64, of_root: bool) -> MemoryStats {
    let value = |column| row.value(column).unwrap_or(0);
    let faults = Faults { pgfault: value(C::MemoryStatPgfault), pgmajfault: value(C::MemoryStatPgmajfault) };
    MemoryStats {
        usage,
        max_usage: value(C::MemoryPeakBytes),
        cache: value(C::MemoryStatFile),
        rss: value(C::MemoryStatAnon),
        swap: value(C::MemorySwapCurrentBytes),
        mapped_file: value(C::MemoryStatFileMapped),
        working_set: working_set_bytes(row, of_root).unwrap_or(usage),
        total_active_file: value(C::MemoryStatActiveFile),
        total_inactive_file: value(C::MemoryStatInactiveFile),
        file_dirty: value(C::MemoryStatFileDirty),
        file_writeback: value(C::MemoryStatFileWriteback),
        pgscan: value(C::MemoryStatPgscan),
        pgsteal: value(C::MemoryStatPgsteal),
        workingset_refault_file: value(C::MemoryStatWorkingsetRefaultFile),
        workingset_refault_anon: value(C::MemoryStatWorkingsetRefaultAnon),
        failcnt: value(C::MemoryFailcnt),
        kernel: row.value(C::MemoryKmemUsageBytes).unwrap_or_else(|| value(C::MemoryStatKernel)),
        container_data: faults.clone(),
        hierarchical_data: faults,
        events: MemoryEvents { high: value(C::MemoryEventsHigh), max: value(C::MemoryEventsMax) },
        ..MemoryStats::default()
    }
}

/// The operations of one device, by bytes and by number. cgroup v1 counts by more words than v2.
pub(super) fn device(subject: &Subject, row: &RowRef<'_>) -> (PerDisk, PerDisk) {
    let (major, minor) = subject.device.unwrap_or_default();
    let disk = |columns: &[(&'static str, D)]| {
        let told = columns.iter().filter_map(|(word, column)| Some((*word, row.value(*column)?)));
        let is_v1 = row.value(D::TotalBytes).is_some();
        // Of discarded bytes cAdvisor knows nothing with cgroup v2.
        let kept = told.filter(|(word, _)| is_v1 || matches!(*word, "Read" | "Write"));
        let stats: BTreeMap<_, _> = kept.map(|(word, count)| (word.into(), count)).collect();
        PerDisk { device: format!("/dev/{}", subject.name), major, minor, stats }
    };
    let bytes = [
        ("Read", D::Rbytes),
        ("Write", D::Wbytes),
        ("Discard", D::Dbytes),
        ("Sync", D::SyncBytes),
        ("Async", D::AsyncBytes),
        ("Total", D::TotalBytes),
    ];
    let operations = [
        ("Read", D::Rios),
        ("Write", D::Wios),
        ("Discard", D::Dios),
        ("Sync", D::SyncIos),
        ("Async", D::AsyncIos),
        ("Total", D::TotalIos),
    ];
    (disk(&bytes), disk(&operations))
}

/// One interface.
pub(super) fn interface(subject: &Subject, row: &RowRef<'_>) -> Interface {
    let value = |column| row.value(column).unwrap_or(0);
    Interface {
        name: subject.name.to_string(),
        rx_bytes: value(I::RxBytes),
        rx_packets: value(I::RxPackets),
        rx_errors: value(I::RxErrs),
        rx_dropped: value(I::RxDrop),
        tx_bytes: value(I::TxBytes),
        tx_packets: value(I::TxPackets),
        tx_errors: value(I::TxErrs),
        tx_dropped: value(I::TxDrop),
    }
}

/// Huge pages of one size.
pub(super) fn hugetlb(row: &RowRef<'_>) -> Hugetlb {
    Hugetlb {
        usage: row.value(H::RsvdCurrent).or_else(|| row.value(H::Current)).unwrap_or(0),
        max_usage: row.value(H::Peak).unwrap_or(0),
        failcnt: row.value(H::EventsMax).unwrap_or(0),
    }
}

/// A mounted filesystem, with its block device's counts where the device is known by the same name.
pub(super) fn filesystem(subject: &Subject, row: &RowRef<'_>, disk: Option<&RowRef<'_>>) -> FsStats {
    let value = |column| row.value(column).unwrap_or(0);
    let of_disk = |column| disk.and_then(|disk| disk.value(column)).unwrap_or(0);
    let (device, _) = subject.filesystem.clone().unwrap_or_else(|| ("".into(), "".into()));
    let inodes = row.value(F::Files).filter(|files| *files > 0);
    FsStats {
        device: device.to_string(),
        kind: "vfs".to_owned(),
        capacity: value(F::Size),
        usage: value(F::Size).saturating_sub(value(F::Free)),
        base_usage: 0,
        available: value(F::Available),
        has_inodes: inodes.is_some(),
        inodes: inodes.unwrap_or(0),
        inodes_free: inodes.map_or(0, |_| value(F::FilesFree)),
        reads_completed: of_disk(K::Reads),
        reads_merged: of_disk(K::ReadsMerged),
        sectors_read: of_disk(K::ReadSectors),
        read_time: of_disk(K::ReadTimeMsec),
        writes_completed: of_disk(K::Writes),
        writes_merged: of_disk(K::WritesMerged),
        sectors_written: of_disk(K::WrittenSectors),
        write_time: of_disk(K::WriteTimeMsec),
        io_in_progress: of_disk(K::InFlight),
        io_time: of_disk(K::IoTimeMsec),
        weighted_io_time: of_disk(K::IoTimeWeightedMsec),
    }
}

/// What a container takes up: its writable layer, and with its logs.
pub(super) fn container_filesystem(usage: &StorageUsage) -> Option<FsStats> {
    let layer = usage.writable_layer.as_ref()?;
    let backing = usage.writable_layer_backing.clone().unwrap_or_default();
    Some(FsStats {
        device: backing.device.to_string(),
        kind: "vfs".to_owned(),
        capacity: backing.capacity_bytes,
        usage: layer.used_bytes.saturating_add(usage.logs.map_or(0, |logs| logs.used_bytes)),
        base_usage: layer.used_bytes,
        available: backing.available_bytes,
        has_inodes: true,
        inodes: layer.inodes,
        inodes_free: backing.inodes_free,
        ..FsStats::default()
    })
}
