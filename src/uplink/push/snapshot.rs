//! One sample as it is pushed: the node, its pods and their containers, each with its values.
//!
//! In: a [`NodeSample`], of now or of the past. Out: a [`Snapshot`]. Containers that belong to no pod are not in it (the
//! node's own values hold them), and neither is a pod whose name no runtime has told yet. A metric that this node does not
//! have is absent. Next: `uplink::wire`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::sample::catalogue::{
    CgroupColumn as C, DeviceColumn as D, DiskColumn, FilesystemColumn as F, InterfaceColumn as I, NodeColumn as N,
    Table,
};
use crate::sample::derived::{is_uplink, is_whole_disk, network_preference, pod_uid, usage_bytes, working_set_bytes};
use crate::sample::row::{Column, RowRef};
use crate::sample::{CgroupKind, Metadata, NodeSample, Subject, SubjectId, TallyKey, Workload};
use crate::store::cluster::{Entity, EntityKey, Metric as M, Snapshot};
use crate::units::UnixNanos;

/// Bytes of a sector of `/proc/diskstats`, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;

/// Where the kubelet keeps the pods' local storage.
const EPHEMERAL_STORAGE: &str = "/var/lib/kubelet";

/// Values of a cgroup that are one column as it stands.
const CGROUP: [(M, C); 19] = [
    (M::CpuUsageUsec, C::CpuUsageUsec),
    (M::MemoryAnonBytes, C::MemoryStatAnon),
    (M::MemoryFileBytes, C::MemoryStatFile),
    (M::MemoryShmemBytes, C::MemoryStatShmem),
    (M::MemoryMaxBytes, C::MemoryMaxBytes),
    (M::MemorySwapBytes, C::MemorySwapCurrentBytes),
    (M::MemoryMajorFaults, C::MemoryStatPgmajfault),
    (M::CpuThrottledUsec, C::CpuThrottledUsec),
    (M::CpuPeriods, C::CpuNrPeriods),
    (M::CpuThrottledPeriods, C::CpuNrThrottled),
    (M::CpuPressureSomeUsec, C::CpuPressureSomeTotalUsec),
    (M::CpuPressureFullUsec, C::CpuPressureFullTotalUsec),
    (M::MemoryPressureSomeUsec, C::MemoryPressureSomeTotalUsec),
    (M::MemoryPressureFullUsec, C::MemoryPressureFullTotalUsec),
    (M::IoPressureSomeUsec, C::IoPressureSomeTotalUsec),
    (M::IoPressureFullUsec, C::IoPressureFullTotalUsec),
    (M::MemoryEventsHigh, C::MemoryEventsHigh),
    (M::MemoryEventsMax, C::MemoryEventsMax),
    (M::MemoryEventsOomKill, C::MemoryEventsOomKill),
];

/// The rest of what is read of a cgroup.
const CGROUP_MORE: [C; 8] = [
    C::MemoryCurrentBytes,
    C::MemoryStatInactiveFile,
    C::MemoryStatKernel,
    C::MemoryKmemUsageBytes,
    C::Threads,
    C::PidsCurrent,
    C::CpuQuotaUsec,
    C::CpuPeriodUsec,
];

/// Traffic.
const NETWORK: [(M, I); 6] = [
    (M::NetworkReceiveBytes, I::RxBytes),
    (M::NetworkTransmitBytes, I::TxBytes),
    (M::NetworkReceivePackets, I::RxPackets),
    (M::NetworkTransmitPackets, I::TxPackets),
    (M::NetworkReceiveDropped, I::RxDrop),
    (M::NetworkTransmitDropped, I::TxDrop),
];

/// Values of the node that are one column as it stands.
const NODE: [(M, N); 12] = [
    (M::MemoryAnonBytes, N::MeminfoAnonPages),
    (M::MemoryShmemBytes, N::MeminfoShmem),
    (M::MemoryMajorFaults, N::VmstatPgmajfault),
    (M::MemoryEventsOomKill, N::VmstatOomKill),
    (M::CpuPressureSomeUsec, N::CpuPressureSomeTotalUsec),
    (M::CpuPressureFullUsec, N::CpuPressureFullTotalUsec),
    (M::MemoryPressureSomeUsec, N::MemoryPressureSomeTotalUsec),
    (M::MemoryPressureFullUsec, N::MemoryPressureFullTotalUsec),
    (M::IoPressureSomeUsec, N::IoPressureSomeTotalUsec),
    (M::IoPressureFullUsec, N::IoPressureFullTotalUsec),
    (M::Pids, N::Tasks),
    (M::SwapCapacityBytes, N::MeminfoSwapTotal),
];

/// The rest of what is read of the node.
const NODE_MORE: [N; 14] = [
    N::MeminfoMemTotal,
    N::MeminfoMemFree,
    N::MeminfoInactiveFile,
    N::MeminfoSwapFree,
    N::MeminfoCached,
    N::MeminfoBuffers,
    N::MeminfoSlab,
    N::MeminfoKernelStack,
    N::MeminfoPageTables,
    N::CpuUserTicks,
    N::CpuNiceTicks,
    N::CpuSystemTicks,
    N::CpuIrqTicks,
    N::CpuSoftirqTicks,
];

/// The columns of a table that a snapshot is made of.
#[must_use]
pub fn columns(table: Table) -> Vec<usize> {
    match table {
        Table::Cgroup => {
            CGROUP.iter().map(|(_, column)| column.index()).chain(CGROUP_MORE.map(Column::index)).collect()
        }
        Table::Device => [D::Rbytes, D::Wbytes, D::Rios, D::Wios].map(Column::index).into(),
        Table::Interface => NETWORK.map(|(_, column)| column.index()).into(),
        Table::Node => NODE.iter().map(|(_, column)| column.index()).chain(NODE_MORE.map(Column::index)).collect(),
        Table::Disk => {
            use DiskColumn as K;
            [K::ReadSectors, K::WrittenSectors, K::Reads, K::Writes].map(Column::index).into()
        }
        Table::Filesystem => [F::Size, F::Free].map(Column::index).into(),
        Table::Hugetlb | Table::Cpu | Table::Agent => Vec::new(),
    }
}

/// Which count of the node's CPU time is pushed. It is chosen once: two counts that begin at different values, one after
/// the other, would look like a reset or like a thousand CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCpuSource {
    /// `cpu.stat` or `cpuacct.usage` of the root cgroup, as the kubelet has it.
    RootCgroup,
    /// `/proc/stat`, for kernels whose root cgroup has no `cpu.stat` (cgroup v2 before Linux 5.8).
    ProcStat,
}

impl NodeCpuSource {
    /// The source that a node has.
    #[must_use]
    pub fn of(sample: &NodeSample) -> Self {
        match root_row(sample).and_then(|row| row.value(C::CpuUsageUsec)) {
            Some(_) => Self::RootCgroup,
            None => Self::ProcStat,
        }
    }
}

/// The values of one entity in the making.
struct Values([Option<u64>; M::ALL.len()]);

impl Values {
    const fn new() -> Self {
        Self([None; M::ALL.len()])
    }

    fn put(&mut self, metric: M, value: Option<u64>) {
        if let Some(cell) = self.0.get_mut(usize::from(metric as u8)) {
            *cell = value;
        }
    }

    fn add(&mut self, metric: M, value: Option<u64>) {
        if let Some(cell) = self.0.get_mut(usize::from(metric as u8)) {
            *cell = cell.map_or(value, |sum| Some(sum.saturating_add(value.unwrap_or(0))));
        }
    }
}

/// One pod's cgroups.
#[derive(Default)]
struct Pod<'a> {
    own: Option<(&'a Subject, RowRef<'a>)>,
    /// Who told its name, and when it began.
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    started_at: Option<UnixNanos>,
    host_network: bool,
    /// The cgroup that its network is counted at.
    network: Option<(u8, SubjectId)>,
    containers: Vec<(&'a Subject, &'a Workload, RowRef<'a>)>,
}

/// What is pushed of one sample. Restarts are counted by the runtime or by the sample's tallies; a sample of the past has
/// no tallies.
#[must_use]
pub fn snapshot(sample: &NodeSample, node_cpu: NodeCpuSource) -> Snapshot {
    let owned = Owned::new(sample);
    let mut entities = vec![node(sample, node_cpu)];
    for (uid, pod) in pods(sample, &owned) {
        let (Some(namespace), Some(name)) = (pod.namespace, pod.name) else { continue };
        entities.push(pod_entity(sample, uid, namespace, name, &pod, &owned));
        let containers = pod.containers.iter();
        entities
            .extend(containers.map(|(subject, workload, row)| container(sample, uid, subject, workload, row, &owned)));
    }
    Snapshot { wall: sample.wall, entities }
}

/// What belongs to which cgroup.
struct Owned<'a> {
    devices: HashMap<SubjectId, Vec<RowRef<'a>>>,
    interfaces: HashMap<SubjectId, Vec<RowRef<'a>>>,
}

impl<'a> Owned<'a> {
    fn new(sample: &'a NodeSample) -> Self {
        let mut devices: HashMap<_, Vec<_>> = HashMap::new();
        for (subject, row) in sample.iter(Table::Device) {
            if let Some(owner) = subject.owner {
                devices.entry(owner).or_default().push(row);
            }
        }
        let mut interfaces: HashMap<_, Vec<_>> = HashMap::new();
        for (subject, row) in sample.iter(Table::Interface).filter(|(subject, _)| &*subject.name != "lo") {
            if let Some(owner) = subject.owner {
                interfaces.entry(owner).or_default().push(row);
            }
        }
        Self { devices, interfaces }
    }

    fn put_io(&self, id: SubjectId, values: &mut Values) {
        for row in self.devices.get(&id).into_iter().flatten() {
            values.add(M::IoReadBytes, row.value(D::Rbytes));
            values.add(M::IoWriteBytes, row.value(D::Wbytes));
            values.add(M::IoReads, row.value(D::Rios));
            values.add(M::IoWrites, row.value(D::Wios));
        }
    }
}

fn pods<'a>(sample: &'a NodeSample, owned: &Owned<'a>) -> BTreeMap<&'a str, Pod<'a>> {
    let mut pods: BTreeMap<&str, Pod<'_>> = BTreeMap::new();
    for (subject, row) in sample.iter(Table::Cgroup) {
        let Some(workload) = subject.workload.as_deref() else { continue };
        let kind = workload.kind();
        if !matches!(kind, CgroupKind::Pod | CgroupKind::Sandbox | CgroupKind::Container) {
            continue;
        }
        let Some(uid) = pod_uid(workload) else { continue };
        let pod = pods.entry(uid).or_default();
        let metadata = workload.metadata.as_deref();
        pod.namespace = pod.namespace.or(metadata.and_then(|metadata| metadata.namespace.as_deref()));
        pod.name = pod.name.or(metadata.and_then(|metadata| metadata.pod.as_deref()));
        pod.host_network |= metadata.is_some_and(|metadata| metadata.host_network);
        if owned.interfaces.contains_key(&subject.id) {
            let candidate = (network_preference(kind), subject.id);
            pod.network = Some(pod.network.map_or(candidate, |chosen| chosen.min(candidate)));
        }
        let started_at = began(workload);
        match kind {
            CgroupKind::Pod => pod.own = Some((subject, row)),
            CgroupKind::Container if metadata.is_some_and(|metadata| metadata.container.is_some()) => {
                pod.containers.push((subject, workload, row));
                // A container is younger than its pod: it says nothing about when the pod began.
                continue;
            }
            _ => {}
        }
        pod.started_at = match (pod.started_at, started_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    pods
}

/// When a cgroup's counters were 0, or earlier. The directory may look younger than it is, so what the runtime says counts
/// where it is earlier; of a cgroup that no runtime has told of nothing is known.
#[must_use]
pub fn began(workload: &Workload) -> Option<UnixNanos> {
    let metadata = workload.metadata.as_deref()?;
    let told = metadata.started_at.or(metadata.created_at)?;
    Some(if workload.created_at.0 > 0 { told.min(workload.created_at) } else { told })
}

fn pod_entity(sample: &NodeSample, uid: &str, namespace: &str, name: &str, pod: &Pod<'_>, owned: &Owned<'_>) -> Entity {
    let mut values = Values::new();
    if let Some((subject, row)) = pod.own {
        put_cgroup(&mut values, &row);
        owned.put_io(subject.id, &mut values);
        // Counted off the tick, so that the ring does not have it: the past is pushed without.
        let storage = sample.details.storage.get(&subject.id).and_then(|usage| usage.ephemeral_storage);
        values.put(M::EphemeralStorageBytes, storage.map(|usage| usage.used_bytes));
    }
    let own_network = pod.network.filter(|_| !pod.host_network).and_then(|(_, id)| owned.interfaces.get(&id));
    for row in own_network.into_iter().flatten() {
        add_network(&mut values, row);
    }
    let key = EntityKey::Pod { uid: uid.into(), namespace: namespace.into(), name: name.into() };
    Entity { key, started_at: pod.started_at.unwrap_or_default(), values: values.0 }
}

fn container(
    sample: &NodeSample,
    uid: &str,
    subject: &Subject,
    workload: &Workload,
    row: &RowRef<'_>,
    owned: &Owned<'_>,
) -> Entity {
    let mut values = Values::new();
    put_cgroup(&mut values, row);
    owned.put_io(subject.id, &mut values);
    let metadata = workload.metadata.as_deref();
    values.put(M::Restarts, metadata.and_then(|metadata| restarts(sample, metadata)));
    let name: Arc<str> = metadata.and_then(|metadata| metadata.container.as_deref()).unwrap_or_default().into();
    // A runtime that puts no id into the path still has one directory per run.
    let id = workload.identity.container_id.clone().unwrap_or_else(|| format!("inode-{}", workload.inode).into());
    let key = EntityKey::Container { pod_uid: uid.into(), name, id };
    Entity { key, started_at: began(workload).unwrap_or_default(), values: values.0 }
}

fn restarts(sample: &NodeSample, metadata: &Metadata) -> Option<u64> {
    let kept = TallyKey::of(metadata).and_then(|key| sample.tallies.entries.get(&key)).map(|tally| tally.restarts);
    kept.max(metadata.restart_count.map(u64::from))
}

/// What every cgroup may have.
fn put_cgroup(values: &mut Values, row: &RowRef<'_>) {
    for (metric, column) in CGROUP {
        values.put(metric, row.value(column));
    }
    values.put(M::MemoryCurrentBytes, usage_bytes(row, false));
    values.put(M::MemoryWorkingSetBytes, working_set_bytes(row, false));
    values.put(M::MemoryKernelBytes, row.value(C::MemoryStatKernel).or_else(|| row.value(C::MemoryKmemUsageBytes)));
    values.put(M::Pids, row.value(C::Threads).or_else(|| row.value(C::PidsCurrent)));
    let quota = row.value(C::CpuQuotaUsec).zip(row.value(C::CpuPeriodUsec));
    values.put(M::CpuLimitMillicores, quota.and_then(|(quota, period)| quota.checked_mul(1000)?.checked_div(period)));
}

fn add_network(values: &mut Values, row: &RowRef<'_>) {
    for (metric, column) in NETWORK {
        values.add(metric, row.value(column));
    }
}

fn root_row(sample: &NodeSample) -> Option<RowRef<'_>> {
    sample.iter(Table::Cgroup).find(|(subject, _)| &*subject.name == "/").map(|(_, row)| row)
}

fn node(sample: &NodeSample, cpu: NodeCpuSource) -> Entity {
    let mut values = Values::new();
    let root = root_row(sample);
    let facts = sample.iter(Table::Node).next().map(|(_, row)| row);
    if let Some(row) = &facts {
        put_node(&mut values, row);
    }
    // The working set as the kubelet and metrics-server have it is the root cgroup's.
    let usage = root.as_ref().and_then(|row| usage_bytes(row, true));
    let working_set = root.as_ref().and_then(|row| working_set_bytes(row, true));
    let meminfo = facts.as_ref().and_then(|row| difference(row, N::MeminfoMemTotal, N::MeminfoMemFree));
    let inactive = facts.as_ref().and_then(|row| row.value(N::MeminfoInactiveFile));
    values.put(M::MemoryCurrentBytes, usage.or(meminfo));
    let without_inactive = || Some(meminfo?.saturating_sub(inactive?));
    values.put(M::MemoryWorkingSetBytes, working_set.or_else(without_inactive));
    values.put(
        M::CpuUsageUsec,
        match cpu {
            NodeCpuSource::RootCgroup => root.as_ref().and_then(|row| row.value(C::CpuUsageUsec)),
            NodeCpuSource::ProcStat => facts.as_ref().and_then(|row| busy_usec(row, sample.machine.ticks_per_second)),
        },
    );
    let machine = &sample.machine;
    values.put(M::CpuCapacityMillicores, Some(machine.cpu_cores.saturating_mul(1000)).filter(|cpus| *cpus > 0));
    values.put(M::MemoryCapacityBytes, Some(machine.memory_bytes).filter(|bytes| *bytes > 0));
    for (_, row) in sample.iter(Table::Disk).filter(|(disk, _)| is_whole_disk(&disk.name)) {
        let bytes = |column| row.value(column).map(|sectors: u64| sectors.saturating_mul(SECTOR_BYTES));
        values.add(M::IoReadBytes, bytes(DiskColumn::ReadSectors));
        values.add(M::IoWriteBytes, bytes(DiskColumn::WrittenSectors));
        values.add(M::IoReads, row.value(DiskColumn::Reads));
        values.add(M::IoWrites, row.value(DiskColumn::Writes));
    }
    let own = |subject: &Subject| subject.owner.is_none() && is_uplink(&subject.name);
    for (_, row) in sample.iter(Table::Interface).filter(|(interface, _)| own(interface)) {
        add_network(&mut values, &row);
    }
    if let Some(row) = ephemeral_storage(sample) {
        values.put(M::EphemeralStorageBytes, difference(&row, F::Size, F::Free));
        values.put(M::EphemeralStorageCapacityBytes, row.value(F::Size));
    }
    Entity { key: EntityKey::Node, started_at: UnixNanos(0), values: values.0 }
}

fn put_node(values: &mut Values, row: &RowRef<'_>) {
    for (metric, column) in NODE {
        values.put(metric, row.value(column));
    }
    values.put(M::MemorySwapBytes, difference(row, N::MeminfoSwapTotal, N::MeminfoSwapFree));
    for column in [N::MeminfoCached, N::MeminfoBuffers] {
        values.add(M::MemoryFileBytes, row.value(column));
    }
    for column in [N::MeminfoSlab, N::MeminfoKernelStack, N::MeminfoPageTables] {
        values.add(M::MemoryKernelBytes, row.value(column));
    }
}

/// CPU time that was neither idle nor another machine's. User time holds the guests'.
fn busy_usec(row: &RowRef<'_>, ticks_per_second: u64) -> Option<u64> {
    let busy = [N::CpuUserTicks, N::CpuNiceTicks, N::CpuSystemTicks, N::CpuIrqTicks, N::CpuSoftirqTicks];
    let ticks = busy.into_iter().filter_map(|column| row.value(column)).reduce(u64::saturating_add)?;
    ticks.checked_mul(1_000_000)?.checked_div(ticks_per_second)
}

fn difference(row: &RowRef<'_>, whole: impl Column, part: impl Column) -> Option<u64> {
    row.value(whole)?.checked_sub(row.value(part)?)
}

/// The filesystem that holds the pods' local storage: the one mounted nearest above it.
fn ephemeral_storage(sample: &NodeSample) -> Option<RowRef<'_>> {
    let above = |mount: &str| {
        let rest = EPHEMERAL_STORAGE.strip_prefix(mount.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mounts = sample.iter(Table::Filesystem).filter(|(mount, _)| above(&mount.name));
    mounts.max_by_key(|(mount, _)| mount.name.len()).map(|(_, row)| row)
}
