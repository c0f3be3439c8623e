//! `/stats/summary`: one tick in the kubelet's types.
//!
//! In: [`Seen`], and what is known of filesystem usage. Out: [`Summary`]. What was not read is left out; the kubelet shows
//! 0 for some of it. Next: HTTP.

use super::node;
use super::pods::{Cgroup, PodSeen, Seen};
use super::stats::{
    ContainerStats, CpuStats, FsStats, InterfaceStats, IoStats, MemoryStats, NetworkStats, NodeStats, PodReference,
    PodStats, ProcessStats, PsiData, PsiStats, RlimitStats, RuntimeStats, Summary, SwapStats, VolumeStats,
};
use crate::sample::SubjectId;
use crate::sample::catalogue::{CgroupColumn as C, FilesystemColumn as F, InterfaceColumn as I, NodeColumn as N};
use crate::sample::derived::{usage_bytes, working_set_bytes};
use crate::sample::row::{Cell, Column, RowRef};
use crate::sample::storage::{Backing, StorageUsage, TreeUsage, VolumeUsage};
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::api::rfc3339;

/// Where the kubelet keeps its pods, whose filesystem is the node's.
const KUBELET_ROOT: &str = "/var/lib/kubelet";

/// The interface that the kubelet shows as the one of a namespace.
const DEFAULT_INTERFACE: &str = "eth0";

/// From here on a limit of cgroup v1 means "none".
const UNLIMITED_FROM: u64 = 1 << 62;

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything.
    Whole,
    /// `?only_cpu_and_memory=true`: no network, filesystems, processes or io.
    CpuAndMemory,
}

/// Fills in the whole answer.
pub(super) fn summary(seen: &Seen<'_>, extent: Extent) -> Summary {
    let whole = extent == Extent::Whole;
    let node_fs = seen.filesystem_of(KUBELET_ROOT).map(|row| filesystem(seen, &row));
    let pods: Vec<_> = seen.pods.iter().map(|pod| pod_stats(seen, pod, node_fs.as_ref(), whole)).collect();
    let mut node = NodeStats {
        node_name: seen.sample.machine.node_name.clone(),
        system_containers: seen.services.iter().map(|(name, cgroup)| service(seen, name, cgroup)).collect(),
        start_time: seen
            .node
            .and_then(|node| node.row.value(N::BootTimeUnixSeconds))
            .and_then(|seconds| seconds.checked_mul(1_000_000_000))
            .and_then(|nanos| time(UnixNanos(nanos))),
        cpu: node_cpu(seen),
        memory: node_memory(seen),
        swap: node_swap(seen),
        ..NodeStats::default()
    };
    if whole {
        node.io = node_io(seen);
        node.network = network(seen, None);
        node.runtime = runtime(seen, &pods);
        node.fs = node_fs;
        node.rlimit = seen.node.map(|node| RlimitStats {
            time: time(seen.wall_of(node.row.read_at)),
            maxpid: None,
            curproc: node.row.value(N::Tasks),
        });
    }
    Summary { node, pods }
}

/// `metav1.Time`: RFC 3339 in whole seconds.
fn time(at: UnixNanos) -> Option<String> {
    let text = rfc3339(at);
    (at.0 > 0).then(|| format!("{}Z", text.split('.').next().unwrap_or(&text)))
}

fn at(seen: &Seen<'_>, read_at: MonotonicNanos) -> Option<String> {
    time(seen.wall_of(read_at))
}

/// A rate in microseconds per second as billionths of one CPU.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of CPU time is not negative")]
fn nano_cores(usec_per_second: Option<f64>) -> Option<u64> {
    usec_per_second.map(|usec| (usec * 1_000.0).round() as u64)
}

/// The four columns of one line of a pressure file, and whether the kernel has it.
fn psi_line(row: &RowRef<'_>, [total, avg10, avg60, avg300]: [impl Column; 4]) -> Option<PsiData> {
    let percent = |column| row.value(column).map_or(0.0, |hundredths| hundredths as f64 / 100.0);
    Some(PsiData { total: row.value(total)?, avg10: percent(avg10), avg60: percent(avg60), avg300: percent(avg300) })
}

/// The columns of one pressure file in a table that names them as the cgroup's does.
macro_rules! psi {
    ($row:expr, $table:ident, $some_total:ident $some10:ident $some60:ident $some300:ident,
     $full_total:ident $full10:ident $full60:ident $full300:ident) => {{
        let columns = [$table::$some_total, $table::$some10, $table::$some60, $table::$some300];
        let some = psi_line($row, columns);
        let columns = [$table::$full_total, $table::$full10, $table::$full60, $table::$full300];
        // The kernel has no `full` line for the node's CPU before Linux 5.13.
        some.map(|some| PsiStats { some, full: psi_line($row, columns).unwrap_or_default() })
    }};
}

/// The three pressure files of a row.
macro_rules! psi_of {
    (cpu $row:expr, $table:ident) => {
        psi!($row, $table, CpuPressureSomeTotalUsec CpuPressureSomeAvg10 CpuPressureSomeAvg60 CpuPressureSomeAvg300,
             CpuPressureFullTotalUsec CpuPressureFullAvg10 CpuPressureFullAvg60 CpuPressureFullAvg300)
    };
    (memory $row:expr, $table:ident) => {
        psi!($row, $table,
             MemoryPressureSomeTotalUsec MemoryPressureSomeAvg10 MemoryPressureSomeAvg60 MemoryPressureSomeAvg300,
             MemoryPressureFullTotalUsec MemoryPressureFullAvg10 MemoryPressureFullAvg60 MemoryPressureFullAvg300)
    };
    (io $row:expr, $table:ident) => {
        psi!($row, $table, IoPressureSomeTotalUsec IoPressureSomeAvg10 IoPressureSomeAvg60 IoPressureSomeAvg300,
             IoPressureFullTotalUsec IoPressureFullAvg10 IoPressureFullAvg60 IoPressureFullAvg300)
    };
}

fn cpu(seen: &Seen<'_>, cgroup: &Cgroup<'_>) -> Option<CpuStats> {
    let reading = &cgroup.reading;
    Some(CpuStats {
        time: at(seen, reading.row.read_at),
        usage_nano_cores: nano_cores(reading.per_second(C::CpuUsageUsec)),
        usage_core_nano_seconds: Some(reading.value(C::CpuUsageUsec)?.saturating_mul(1_000)),
        psi: psi_of!(cpu & reading.row, C),
    })
}

fn limit(row: &RowRef<'_>, column: C) -> Option<u64> {
    match row.cell(column) {
        Cell::Value(bytes) if bytes < UNLIMITED_FROM => Some(bytes),
        _ => None,
    }
}

fn memory(seen: &Seen<'_>, cgroup: &Cgroup<'_>) -> Option<MemoryStats> {
    let row = &cgroup.reading.row;
    let working_set = working_set_bytes(row, false);
    let available = || Some(limit(row, C::MemoryMaxBytes)?.saturating_sub(working_set?));
    Some(MemoryStats {
        time: at(seen, row.read_at),
        available_bytes: available(),
        usage_bytes: Some(usage_bytes(row, false)?),
        working_set_bytes: working_set,
        rss_bytes: row.value(C::MemoryStatAnon),
        page_faults: row.value(C::MemoryStatPgfault),
        major_page_faults: row.value(C::MemoryStatPgmajfault),
        psi: psi_of!(memory row, C),
    })
}

fn io(seen: &Seen<'_>, cgroup: &Cgroup<'_>) -> Option<IoStats> {
    let row = &cgroup.reading.row;
    Some(IoStats { time: at(seen, row.read_at), psi: Some(psi_of!(io row, C)?) })
}

fn swap(seen: &Seen<'_>, cgroup: &Cgroup<'_>) -> Option<SwapStats> {
    let row = &cgroup.reading.row;
    let used = row.value(C::MemorySwapCurrentBytes)?;
    Some(SwapStats {
        time: at(seen, row.read_at),
        swap_available_bytes: limit(row, C::MemorySwapMaxBytes).map(|limit| limit.saturating_sub(used)),
        swap_usage_bytes: Some(used),
    })
}

fn node_cpu(seen: &Seen<'_>) -> Option<CpuStats> {
    let cpu = node::cpu(seen)?;
    Some(CpuStats {
        time: at(seen, cpu.read_at),
        usage_nano_cores: nano_cores(cpu.per_second),
        usage_core_nano_seconds: Some(cpu.usage_usec.saturating_mul(1_000)),
        psi: seen.node.and_then(|node| psi_of!(cpu & node.row, N)),
    })
}

fn node_memory(seen: &Seen<'_>) -> Option<MemoryStats> {
    let (usage, read_at) = node::usage(seen)?;
    let working_set = node::working_set(seen).map(|(bytes, _)| bytes);
    let root = seen.root.map(|root| root.reading.row);
    let of_root = |column| root.as_ref().and_then(|row| row.value(column));
    let of_node = |column| seen.node.and_then(|node| node.row.value(column));
    let machine_bytes = Some(seen.sample.machine.memory_bytes).filter(|bytes| *bytes > 0);
    Some(MemoryStats {
        time: at(seen, read_at),
        available_bytes: machine_bytes.zip(working_set).map(|(all, used)| all.saturating_sub(used)),
        usage_bytes: Some(usage),
        working_set_bytes: working_set,
        rss_bytes: of_root(C::MemoryStatAnon).or_else(|| of_node(N::MeminfoAnonPages)),
        page_faults: of_root(C::MemoryStatPgfault).or_else(|| of_node(N::VmstatPgfault)),
        major_page_faults: of_root(C::MemoryStatPgmajfault).or_else(|| of_node(N::VmstatPgmajfault)),
        psi: seen.node.and_then(|node| psi_of!(memory & node.row, N)),
    })
}

fn node_io(seen: &Seen<'_>) -> Option<IoStats> {
    let row = seen.node?.row;
    Some(IoStats { time: at(seen, row.read_at), psi: Some(psi_of!(io & row, N)?) })
}

fn node_swap(seen: &Seen<'_>) -> Option<SwapStats> {
    let (used, read_at) = node::swap(seen)?;
    let free = seen.node.and_then(|node| node.row.value(N::MeminfoSwapFree));
    Some(SwapStats { time: at(seen, read_at), swap_available_bytes: free, swap_usage_bytes: Some(used) })
}

fn network(seen: &Seen<'_>, owner: Option<SubjectId>) -> Option<NetworkStats> {
    let mut stats = NetworkStats::default();
    for (subject, reading) in seen.interfaces(owner) {
        let interface = InterfaceStats {
            name: subject.name.to_string(),
            rx_bytes: reading.value(I::RxBytes),
            rx_errors: reading.value(I::RxErrs),
            tx_bytes: reading.value(I::TxBytes),
            tx_errors: reading.value(I::TxErrs),
        };
        stats.time = at(seen, reading.row.read_at);
        if &*subject.name == DEFAULT_INTERFACE {
            stats.default = interface.clone();
        }
        stats.interfaces.push(interface);
    }
    (!stats.interfaces.is_empty()).then_some(stats)
}

/// A whole filesystem, of its row.
fn filesystem(seen: &Seen<'_>, row: &RowRef<'_>) -> FsStats {
    let (size, files) = (row.value(F::Size), row.value(F::Files).filter(|files| *files > 0));
    let free_files = files.and(row.value(F::FilesFree));
    FsStats {
        time: at(seen, row.read_at),
        available_bytes: row.value(F::Available),
        capacity_bytes: size,
        used_bytes: size.zip(row.value(F::Free)).map(|(size, free)| size.saturating_sub(free)),
        inodes_free: free_files,
        inodes: files,
        inodes_used: files.zip(free_files).map(|(files, free)| files.saturating_sub(free)),
    }
}

/// What a directory tree takes up, and the filesystem that it is on.
fn tree(usage: &TreeUsage, backing: Option<&Backing>) -> FsStats {
    let inodes = backing.map(|backing| (backing.inodes, backing.inodes_free)).filter(|(inodes, _)| *inodes > 0);
    FsStats {
        time: time(usage.counted_at),
        available_bytes: backing.map(|backing| backing.available_bytes),
        capacity_bytes: backing.map(|backing| backing.capacity_bytes),
        used_bytes: Some(usage.used_bytes),
        inodes_free: inodes.map(|(_, free)| free),
        inodes: inodes.map(|(all, _)| all),
        inodes_used: Some(usage.inodes),
    }
}

fn storage_of<'a>(seen: &Seen<'a>, cgroup: &Cgroup<'_>) -> Option<&'a StorageUsage> {
    seen.sample.details.storage.get(&cgroup.subject.id)
}

/// The filesystems of images and writable layers: those that the containers' writable layers are on.
fn runtime(seen: &Seen<'_>, pods: &[PodStats]) -> Option<RuntimeStats> {
    let mut usages = seen.sample.details.storage.values();
    let backing =
        usages.find_map(|usage| usage.writable_layer_backing.as_deref().zip(usage.writable_layer.as_ref()))?;
    let whole = FsStats { used_bytes: None, inodes_used: None, ..tree(backing.1, Some(backing.0)) };
    let layers = || pods.iter().flat_map(|pod| &pod.containers).filter_map(|container| container.rootfs.as_ref());
    let sum = |part: fn(&FsStats) -> Option<u64>| layers().filter_map(part).reduce(u64::saturating_add);
    let container_fs = FsStats {
        used_bytes: sum(|layer| layer.used_bytes),
        inodes_used: sum(|layer| layer.inodes_used),
        ..whole.clone()
    };
    Some(RuntimeStats { image_fs: Some(whole), container_fs: Some(container_fs) })
}

fn service(seen: &Seen<'_>, name: &str, cgroup: &Cgroup<'_>) -> ContainerStats {
    ContainerStats {
        name: name.to_owned(),
        start_time: time(cgroup.started_at()),
        cpu: cpu(seen, cgroup),
        memory: memory(seen, cgroup),
        swap: swap(seen, cgroup),
        ..ContainerStats::default()
    }
}

fn container_stats(seen: &Seen<'_>, name: &str, cgroup: &Cgroup<'_>, whole: bool) -> ContainerStats {
    let mut stats = service(seen, name, cgroup);
    if whole {
        stats.io = io(seen, cgroup);
        if let Some(usage) = storage_of(seen, cgroup) {
            stats.rootfs =
                usage.writable_layer.as_ref().map(|layer| tree(layer, usage.writable_layer_backing.as_deref()));
            stats.logs = usage.logs.as_ref().map(|logs| tree(logs, usage.logs_backing.as_deref()));
        }
    }
    stats
}

fn pod_stats(seen: &Seen<'_>, pod: &PodSeen<'_>, node_fs: Option<&FsStats>, whole: bool) -> PodStats {
    let own = pod.own.as_ref();
    let containers = pod.containers.iter().map(|(name, cgroup)| container_stats(seen, name, cgroup, whole)).collect();
    let mut stats = PodStats {
        pod_ref: PodReference {
            name: pod.name.to_owned(),
            namespace: pod.namespace.to_owned(),
            uid: pod.uid.to_owned(),
        },
        start_time: pod.started_at.and_then(time),
        containers,
        cpu: own.and_then(|own| cpu(seen, own)),
        memory: own.and_then(|own| memory(seen, own)),
        swap: own.and_then(|own| swap(seen, own)),
        ..PodStats::default()
    };
    if whole {
        stats.io = own.and_then(|own| io(seen, own));
        stats.network = pod.network.filter(|_| !pod.host_network).and_then(|owner| network(seen, Some(owner)));
        let processes = pod.containers.iter().filter_map(|(_, cgroup)| cgroup.reading.value(C::Processes));
        stats.process_stats =
            processes.reduce(u64::saturating_add).map(|count| ProcessStats { process_count: Some(count) });
        let volumes = own.and_then(|own| storage_of(seen, own)).map_or(&[][..], |usage| &usage.volumes);
        stats.volume = volumes.iter().map(volume).collect();
        stats.ephemeral_storage = ephemeral(&stats, volumes, node_fs);
    }
    stats
}

fn volume(volume: &VolumeUsage) -> VolumeStats {
    VolumeStats { fs: tree(&volume.usage, Some(&volume.backing)), name: volume.name.to_string(), pvc_ref: None }
}

/// Volumes that count against a pod's ephemeral storage: those that lie on the node's own filesystem.
fn is_ephemeral(volume: &VolumeUsage) -> bool {
    match &*volume.plugin {
        "kubernetes.io~empty-dir" => &*volume.backing.kind != "tmpfs",
        "kubernetes.io~configmap" | "kubernetes.io~downward-api" | "kubernetes.io~git-repo" => true,
        _ => false,
    }
}

/// Writable layers, logs and local volumes together; `None` when none of them was counted.
fn ephemeral(pod: &PodStats, volumes: &[VolumeUsage], node_fs: Option<&FsStats>) -> Option<FsStats> {
    let of_containers = pod.containers.iter().flat_map(|container| [&container.rootfs, &container.logs]).flatten();
    let of_containers = of_containers.map(|fs| (fs.used_bytes, fs.inodes_used, fs.time.clone()));
    let of_volumes = volumes.iter().filter(|volume| is_ephemeral(volume)).map(|volume| &volume.usage);
    let of_volumes = of_volumes.map(|usage| (Some(usage.used_bytes), Some(usage.inodes), time(usage.counted_at)));
    let mut parts = of_containers.chain(of_volumes).peekable();
    parts.peek()?;
    let mut stats = FsStats { used_bytes: None, inodes_used: None, ..node_fs.cloned().unwrap_or_default() };
    for (used_bytes, inodes, counted_at) in parts {
        let add = |sum: Option<u64>, part: Option<u64>| match (sum, part) {
            (Some(sum), Some(part)) => Some(sum.saturating_add(part)),
            (sum, part) => sum.or(part),
        };
        stats.used_bytes = add(stats.used_bytes, used_bytes);
        stats.inodes_used = add(stats.inodes_used, inodes);
        // RFC 3339 in UTC and of one length sorts as it reads.
        stats.time = stats.time.max(counted_at);
    }
    Some(stats)
}
