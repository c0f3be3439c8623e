//! A small synthetic node for the tests of this folder and of `view/top`: two ticks, one second apart.

use std::sync::Arc;

use crate::sample::catalogue::{
    CgroupColumn as C, CpuColumn, DeviceColumn as D, DiskColumn, FilesystemColumn as F, InterfaceColumn as I,
    NodeColumn as N, Table,
};
use crate::sample::row::{Column, Row};
pub(crate) use crate::sample::testing::Builder;
use crate::sample::{
    CgroupIdentity, CgroupKind, MachineFacts, Metadata, NodeSample, QosClass, Runtime, Tallies, Tally, TallyKey,
    Workload,
};
use crate::store::{Store, ring};
use crate::units::{Limit, MonotonicNanos, UnixNanos};

use super::Now;

pub(crate) const MIB: u64 = 1 << 20;

/// 2026-03-01T12:00:00Z, the wall clock of the first tick.
pub(crate) const WALL: u64 = 1_772_366_400_000_000_000;

/// 40 ms after the second tick's files were read.
pub(crate) const NOW: Now = Now { wall: UnixNanos(WALL + 1_050_000_000), monotonic: MonotonicNanos(101_050_000_000) };

pub(crate) const WEB_ID: &str = "aaaaaa1111111111111111111111111111111111111111111111111111111111";
pub(crate) const LOG_ID: &str = "bbbbbb2222222222222222222222222222222222222222222222222222222222";
pub(crate) const DB_ID: &str = "aaaaab3333333333333333333333333333333333333333333333333333333333";
pub(crate) const POD_PATH: &str = "/kubepods.slice/kubepods-pod1.slice";

fn read_at(tick: u64) -> MonotonicNanos {
    MonotonicNanos((99 + tick) * 1_000_000_000 + 10_000_000)
}

/// A tick's sample, with nobody in it yet.
fn builder(tick: u64) -> Builder {
    let mut sample = NodeSample::new();
    sample.tick = tick;
    sample.wall = UnixNanos(WALL + (tick - 1) * 1_000_000_000);
    sample.started_at = MonotonicNanos((99 + tick) * 1_000_000_000);
    sample.ended_at = MonotonicNanos(sample.started_at.0 + 12_300_000);
    sample.self_stats.interval_nanos = 1_000_000_000;
    sample.self_stats.tick_duration_nanos = 12_300_000;
    sample.self_stats.cgroups = 7;
    sample.machine = Arc::new(MachineFacts {
        node_name: "node-1".into(),
        cpu_cores: 4,
        memory_bytes: 8192 * MIB,
        kernel_version: "6.12.0".into(),
        os_version: "Debian GNU/Linux 13".into(),
        cgroup_layout: "v2".into(),
        ..MachineFacts::default()
    });
    Builder::of(sample, read_at(tick))
}

pub(crate) fn workload(path: &str, kind: CgroupKind, id: Option<&str>, metadata: Option<Metadata>) -> Workload {
    let in_pod = path.starts_with(POD_PATH);
    Workload {
        identity: CgroupIdentity {
            path: path.into(),
            kind,
            runtime: id.map(|_| Runtime::Containerd),
            container_id: id.map(Into::into),
            outer_container: None,
            pod_uid: in_pod.then(|| "pod-uid-1".into()),
            qos: in_pod.then_some(QosClass::Burstable),
        },
        inode: 1,
        metadata: metadata.map(Arc::new),
        created_at: UnixNanos(WALL - 3_600_000_000_000),
    }
}

pub(crate) fn pod_metadata(container: Option<&str>) -> Metadata {
    Metadata {
        name: container.unwrap_or("pause").to_owned(),
        image: "registry.example/web:1".to_owned(),
        namespace: Some("shop".to_owned()),
        pod: Some("web-7d9".to_owned()),
        pod_uid: Some("pod-uid-1".to_owned()),
        container: container.map(str::to_owned),
        sandbox: container.is_none(),
        started_at: Some(UnixNanos(WALL - 600_000_000_000)),
        ..Metadata::default()
    }
}

/// Fills a cgroup's row: CPU counted from 10 s, memory with 4 MiB of inactive page cache.
pub(crate) fn usage(tick: u64, millicores: u64, memory_bytes: u64) -> impl Fn(&mut Row) {
    move |row| {
        let usec = Some(10_000_000 + (tick - 1) * millicores * 1_000);
        row.put(C::CpuUsageUsec, usec);
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

/// One tick of the node: pod `shop/web-7d9` with `web`, `log` and its pause container, a Docker-like `db` without a
/// pod, a service and a slice.
pub(crate) fn sample(tick: u64) -> NodeSample {
    let mut b = builder(tick);
    b.cgroup(workload("/", CgroupKind::Root, None, None), |_| {});
    let pod = b.cgroup(workload(POD_PATH, CgroupKind::Pod, None, Some(pod_metadata(None))), |row| {
        usage(tick, 750, 300 * MIB)(row);
        row.put_limit(C::MemoryMaxBytes, Some(Limit::At(512 * MIB)));
    });
    let path = |id: &str| format!("{POD_PATH}/cri-containerd-{id}.scope");
    let web = workload(&path(WEB_ID), CgroupKind::Container, Some(WEB_ID), Some(pod_metadata(Some("web"))));
    let web = b.cgroup(web, |row| {
        usage(tick, 500, 204 * MIB)(row);
        row.put_limit(C::CpuQuotaUsec, Some(Limit::At(100_000)));
        row.put(C::CpuPeriodUsec, Some(100_000));
        row.put(C::CpuNrPeriods, Some(100 + tick * 10));
        row.put(C::CpuNrThrottled, Some(50 + tick * 4));
        row.put_limit(C::MemoryMaxBytes, Some(Limit::At(256 * MIB)));
        row.put(C::CpuPressureSomeAvg10, Some(1_234));
        row.put(C::CpuPressureSomeTotalUsec, Some(tick * 100_000));
        row.put(C::MemoryEventsOomKill, Some(1));
    });
    let log = workload(&path(LOG_ID), CgroupKind::Container, Some(LOG_ID), Some(pod_metadata(Some("log"))));
    b.cgroup(log, usage(tick, 12, 34 * MIB));
    let pause = workload(&path("pause"), CgroupKind::Container, Some("cccccc4444"), Some(pod_metadata(None)));
    b.cgroup(pause, usage(tick, 0, 5 * MIB));
    let told = Metadata { name: "db".into(), image: "postgres:17".into(), ..Metadata::default() };
    let db = workload("/system.slice/docker-db.scope", CgroupKind::Container, Some(DB_ID), Some(told));
    let db = b.cgroup(db, usage(tick, 1_250, 1028 * MIB));
    b.cgroup(workload("/system.slice/ssh.service", CgroupKind::Service, None, None), usage(tick, 1, 6 * MIB));
    b.cgroup(workload("/system.slice", CgroupKind::Slice, None, None), |_| {});
    for (owner, name) in [(web, "sda"), (db, "sda"), (db, "nvme0n1")] {
        b.row(Table::Device, Some(owner), name, None, |row| {
            counters(row, tick, &[(D::Rbytes, 4_096), (D::Wbytes, 2 * MIB), (D::Rios, 1), (D::Wios, 2)]);
        });
    }
    for (owner, name) in [(None, "lo"), (None, "eth0"), (Some(pod), "lo"), (Some(pod), "eth0"), (Some(db), "eth0")] {
        // As the sampler does it, an interface carries its owner's workload.
        let of_pod = || workload(POD_PATH, CgroupKind::Pod, None, Some(pod_metadata(None)));
        b.row(Table::Interface, owner, name, (owner == Some(pod)).then(of_pod), |row| {
            counters(row, tick, &[(I::RxBytes, 150_000), (I::TxBytes, 30_000), (I::RxPackets, 100)]);
        });
    }
    node_rows(&mut b, tick);
    let mut sample = b.finish();
    sample.tallies = Arc::new(tallies());
    sample
}

fn node_rows(b: &mut Builder, tick: u64) {
    b.row(Table::Node, None, "node", None, |row| {
        counters(row, tick, &[(N::CpuUserTicks, 100), (N::CpuSystemTicks, 60), (N::CpuIdleTicks, 230)]);
        counters(row, tick, &[(N::CpuIowaitTicks, 10), (N::Forks, 7), (N::ContextSwitches, 900)]);
        row.put(N::Load1Hundredths, Some(152));
        row.put(N::Load5Hundredths, Some(98));
        row.put(N::Load15Hundredths, Some(67));
        row.put(N::UptimeMsec, Some(1_047_600_000));
        row.put(N::BootTimeUnixSeconds, Some(1_771_318_800));
        row.put(N::MeminfoMemTotal, Some(8192 * MIB));
        row.put(N::MeminfoMemAvailable, Some(5120 * MIB));
        row.put(N::MeminfoSwapTotal, Some(1024 * MIB));
        row.put(N::MeminfoSwapFree, Some(896 * MIB));
        row.put(N::CpuPressureSomeAvg10, Some(312));
        row.put(N::MemoryPressureSomeAvg10, Some(0));
        row.put(N::IoPressureSomeAvg10, Some(1_450));
    });
    for cpu in 0..4 {
        b.row(Table::Cpu, None, &format!("cpu{cpu}"), None, |row| {
            counters(row, tick, &[(CpuColumn::User, 10 + 20 * cpu), (CpuColumn::Idle, 90 - 20 * cpu)]);
        });
    }
    b.row(Table::Disk, None, "sda", None, |row| {
        counters(row, tick, &[(DiskColumn::ReadSectors, 8), (DiskColumn::WrittenSectors, 8_192)]);
        counters(row, tick, &[(DiskColumn::IoTimeMsec, 420)]);
    });
    b.row(Table::Filesystem, None, "/", None, |row| {
        row.put(F::Size, Some(100 << 30));
        row.put(F::Free, Some(40 << 30));
        row.put(F::Available, Some(35 << 30));
    });
}

fn tallies() -> Tallies {
    let mut tallies = Tallies::default();
    let key = TallyKey { namespace: "shop".into(), pod: "web-7d9".into(), container: "web".into() };
    let exits = [((137, "OOMKilled".into()), 2)].into();
    tallies.entries.insert(key, Tally { oom_kills: 2, restarts: 2, exits, ..Tally::default() });
    tallies
}

/// One tick of a node of the test's own making.
pub(crate) fn tick_of(tick: u64, fill: impl FnOnce(&mut Builder)) -> NodeSample {
    let mut builder = builder(tick);
    fill(&mut builder);
    builder.finish()
}

/// A ring that holds these samples.
pub(crate) fn store_of(samples: impl IntoIterator<Item = NodeSample>) -> Store {
    let (mut writer, store) = ring(8 << 20).unwrap();
    for sample in samples {
        writer.append(Arc::new(sample));
    }
    store
}

/// A ring with both ticks.
pub(crate) fn store() -> Store {
    store_of([sample(1), sample(2)])
}
