//! A small synthetic node for the tests of this folder: one pod with two containers, and what a node has.

use std::sync::Arc;
use std::time::Duration;

use crate::sample::catalogue::{
    CgroupColumn as C, DeviceColumn as D, DiskColumn as K, FilesystemColumn as F, InterfaceColumn as I,
    NodeColumn as N, Table,
};
use crate::sample::row::{Column, Row};
pub(crate) use crate::sample::testing::Builder;
use crate::sample::{
    CgroupIdentity, CgroupKind, MachineFacts, Metadata, NodeSample, QosClass, Runtime, Tallies, Tally, TallyKey,
    Workload,
};
use crate::store::cluster::{ClusterOptions, ClusterStore, NodeRecord, PodRecord, WorkloadRef};
use crate::units::{Limit, MonotonicNanos, UnixNanos};

pub const SECOND: u64 = 1_000_000_000;
pub const MIB: u64 = 1 << 20;
/// 2026-03-01T12:00:00Z, the wall clock of tick 0.
pub const WALL: u64 = 1_772_366_400 * SECOND;
pub const NODE: &str = "node-1";
pub const POD_UID: &str = "5d1c1a3e-0000-4000-8000-000000000001";
pub const WEB_ID: &str = "aaaaaa1111111111111111111111111111111111111111111111111111111111";
pub const LOG_ID: &str = "bbbbbb2222222222222222222222222222222222222222222222222222222222";
const POD_PATH: &str = "/kubepods.slice/kubepods-pod1.slice";

/// The wall clock of a tick.
pub fn wall(tick: u64) -> UnixNanos {
    UnixNanos(WALL + tick * SECOND)
}

/// A tick's sample, with nobody in it yet.
pub fn builder(tick: u64) -> Builder {
    let mut sample = NodeSample::new();
    sample.tick = tick;
    sample.wall = wall(tick);
    sample.started_at = MonotonicNanos((100 + tick) * SECOND);
    sample.ended_at = MonotonicNanos(sample.started_at.0 + 10_000_000);
    sample.machine = Arc::new(MachineFacts {
        node_name: NODE.into(),
        cpu_cores: 4,
        memory_bytes: 8192 * MIB,
        ticks_per_second: 100,
        ..MachineFacts::default()
    });
    let read_at = sample.started_at;
    Builder::of(sample, read_at)
}

pub fn workload(path: &str, kind: CgroupKind, id: Option<&str>, metadata: Option<Metadata>) -> Workload {
    let in_pod = path.starts_with(POD_PATH);
    Workload {
        identity: CgroupIdentity {
            path: path.into(),
            kind,
            runtime: id.map(|_| Runtime::Containerd),
            container_id: id.map(Into::into),
            outer_container: None,
            pod_uid: in_pod.then(|| POD_UID.into()),
            qos: in_pod.then_some(QosClass::Burstable),
        },
        inode: 1,
        metadata: metadata.map(Arc::new),
        created_at: UnixNanos(WALL - 3_600 * SECOND),
    }
}

pub fn pod_metadata(container: Option<&str>) -> Metadata {
    Metadata {
        name: container.unwrap_or("pause").to_owned(),
        namespace: Some("shop".to_owned()),
        pod: Some("web-0".to_owned()),
        pod_uid: Some(POD_UID.to_owned()),
        container: container.map(str::to_owned),
        sandbox: container.is_none(),
        created_at: Some(UnixNanos(WALL - 601 * SECOND)),
        started_at: Some(UnixNanos(WALL - 600 * SECOND)),
        restart_count: container.map(|_| 1),
        ..Metadata::default()
    }
}

/// A container of the pod.
pub fn container(name: &str, id: &str) -> Workload {
    workload(
        &format!("{POD_PATH}/cri-containerd-{id}.scope"),
        CgroupKind::Container,
        Some(id),
        Some(pod_metadata(Some(name))),
    )
}

/// CPU that grows by `millicores`, memory with 4 MiB of inactive page cache.
pub fn usage(tick: u64, millicores: u64, memory_bytes: u64) -> impl Fn(&mut Row) {
    move |row| {
        row.put(C::CpuUsageUsec, Some(10_000_000 + tick * millicores * 1_000));
        row.put_limit(C::CpuQuotaUsec, Some(Limit::Unlimited));
        row.put(C::MemoryCurrentBytes, Some(memory_bytes));
        row.put(C::MemoryStatInactiveFile, Some(4 * MIB));
        row.put_limit(C::MemoryMaxBytes, Some(Limit::Unlimited));
        row.put(C::PidsCurrent, Some(3));
    }
}

fn counters(row: &mut Row, tick: u64, columns: &[(impl Column, u64)]) {
    for (column, per_tick) in columns {
        row.put(*column, Some(per_tick * (tick + 10)));
    }
}

/// One tick: pod `shop/web-0` with `web`, `log` and its pause container; a container of no pod; a service.
pub fn sample(tick: u64) -> NodeSample {
    sample_with(tick, |_| ())
}

/// The same with something more; its subjects come last.
pub fn sample_with(tick: u64, more: impl FnOnce(&mut Builder)) -> NodeSample {
    let mut b = builder(tick);
    b.cgroup(workload("/", CgroupKind::Root, None, None), |row| {
        row.put(C::CpuUsageUsec, Some(1_000_000_000 + tick * 2_000_000));
        row.put(C::MemoryStatAnon, Some(900 * MIB));
        row.put(C::MemoryStatFile, Some(600 * MIB));
        row.put(C::MemoryStatInactiveFile, Some(200 * MIB));
    });
    let pod = b.cgroup(workload(POD_PATH, CgroupKind::Pod, None, Some(pod_metadata(None))), |row| {
        usage(tick, 512, 300 * MIB)(row);
        row.put(C::CpuPressureSomeTotalUsec, Some(tick * 50_000));
    });
    let web = b.cgroup(container("web", WEB_ID), |row| {
        usage(tick, 500, 204 * MIB)(row);
        row.put_limit(C::CpuQuotaUsec, Some(Limit::At(150_000)));
        row.put(C::CpuPeriodUsec, Some(100_000));
        row.put_limit(C::MemoryMaxBytes, Some(Limit::At(256 * MIB)));
        row.put(C::MemoryEventsOomKill, Some(0));
    });
    b.cgroup(container("log", LOG_ID), usage(tick, 12, 34 * MIB));
    let pause = format!("{POD_PATH}/cri-containerd-cccccc.scope");
    b.cgroup(workload(&pause, CgroupKind::Container, Some("cccccc"), Some(pod_metadata(None))), usage(tick, 0, MIB));
    let told = Metadata { name: "db".into(), started_at: Some(UnixNanos(WALL)), ..Metadata::default() };
    b.cgroup(
        workload("/system.slice/docker-db.scope", CgroupKind::Container, Some("dddddd"), Some(told)),
        usage(tick, 1, MIB),
    );
    b.cgroup(workload("/system.slice/ssh.service", CgroupKind::Service, None, None), usage(tick, 1, MIB));
    for name in ["sda", "sdb"] {
        b.row(Table::Device, Some(web), name, None, |row| {
            counters(row, tick, &[(D::Rbytes, 4_096), (D::Wbytes, 8_192), (D::Rios, 1), (D::Wios, 2)]);
        });
    }
    for (owner, name) in [(None, "lo"), (None, "eth0"), (None, "veth1"), (Some(pod), "lo"), (Some(pod), "eth0")] {
        b.row(Table::Interface, owner, name, None, |row| {
            counters(row, tick, &[(I::RxBytes, 150_000), (I::TxBytes, 30_000), (I::RxPackets, 100)]);
        });
    }
    b.row(Table::Node, None, "node", None, |row| {
        counters(row, tick, &[(N::CpuUserTicks, 100), (N::CpuSystemTicks, 60), (N::CpuIdleTicks, 230)]);
        row.put(N::UptimeMsec, Some(1_000_000 + tick * 1_000));
        row.put(N::MeminfoMemTotal, Some(8192 * MIB));
        row.put(N::MeminfoMemFree, Some(5120 * MIB));
        row.put(N::MeminfoSwapTotal, Some(1024 * MIB));
        row.put(N::MeminfoSwapFree, Some(896 * MIB));
        row.put(N::MeminfoCached, Some(500 * MIB));
        row.put(N::MeminfoBuffers, Some(100 * MIB));
        row.put(N::MemoryPressureSomeTotalUsec, Some(tick * 10));
    });
    for disk in ["sda", "sda1", "dm-0"] {
        b.row(Table::Disk, None, disk, None, |row| {
            counters(row, tick, &[(K::ReadSectors, 8), (K::WrittenSectors, 16), (K::Reads, 1), (K::Writes, 1)]);
        });
    }
    for (mount, gib) in [("/", 100), ("/var", 40), ("/var/lib/kubelet/pods/x/volumes/y", 1)] {
        b.row(Table::Filesystem, None, mount, None, |row| {
            row.put(F::Size, Some(gib << 30));
            row.put(F::Free, Some((gib << 30) / 2));
        });
    }
    let key = TallyKey { namespace: "shop".into(), pod: "web-0".into(), container: "web".into() };
    let tally = Tally { restarts: 2, ..Tally::default() };
    b.sample.tallies = Arc::new(Tallies { entries: [(key, tally)].into(), evicted: 0 });
    more(&mut b);
    b.finish()
}

/// A cluster's store with the default history that knows the node and the pod.
pub fn cluster() -> ClusterStore {
    cluster_with(Duration::from_secs(900))
}

/// The same with a history of so long.
pub fn cluster_with(history: Duration) -> ClusterStore {
    let store =
        ClusterStore::new(ClusterOptions { history, budget_bytes: 16 << 20, stale_after: Duration::from_secs(120) });
    store.put_node(&NodeRecord { name: NODE.into(), uid: "node-uid".into(), labels: Arc::new([]) });
    store.put_pod(&PodRecord {
        namespace: "shop".into(),
        name: "web-0".into(),
        uid: POD_UID.into(),
        node: NODE.into(),
        labels: Arc::new([]),
        workload: WorkloadRef { kind: "StatefulSet".into(), name: "web".into() },
        finished: false,
    });
    store.set_synced();
    store
}
