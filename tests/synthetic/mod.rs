//! Made-up samples with realistic sizes: for tests and benchmarks of what is shown, never of what is read.

#![allow(dead_code, reason = "each test and benchmark uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ringside::discover::{CgroupIdentity, CgroupKind, Metadata, QosClass, Runtime, Workload};
use ringside::sample::catalogue::{Kind, Table, Unit};
use ringside::sample::row::{Column, Row};
use ringside::sample::{MachineFacts, NodeSample, Roster, Subject, SubjectId, Tally, TallyKey};
use ringside::units::{Limit, MonotonicNanos, UnixNanos};

/// A column by position.
#[derive(Clone, Copy)]
pub struct At(pub usize);

impl Column for At {
    fn index(self) -> usize {
        self.0
    }
}

/// 2026-01-02 03:04:05 UTC.
pub const WALL_SECONDS: u64 = 1_767_323_045;

/// A sample in the making.
pub struct Maker {
    pub sample: NodeSample,
    roster: Roster,
    next: u64,
}

impl Maker {
    pub fn new(tick: u64) -> Self {
        let mut sample = NodeSample::new();
        sample.tick = tick;
        sample.started_at = MonotonicNanos(tick * 1_000_000_000);
        sample.ended_at = MonotonicNanos(tick * 1_000_000_000 + 4_000_000);
        sample.wall = UnixNanos((WALL_SECONDS + tick) * 1_000_000_000);
        sample.machine = Arc::new(machine());
        sample.self_stats.interval_nanos = 1_000_000_000;
        sample.self_stats.cgroups = 7;
        let mut roster = Roster::default();
        roster.generation = 1;
        Self { sample, roster, next: 1 }
    }

    /// Adds a subject and its row.
    pub fn add(&mut self, table: Table, name: &str, change: impl FnOnce(&mut Subject, &mut Row)) -> SubjectId {
        let id = SubjectId(self.next);
        self.next += 1;
        let mut subject =
            Subject { id, table, owner: None, name: name.into(), workload: None, device: None, filesystem: None };
        let mut row = Row::new(table.metrics().len());
        row.read_at = self.sample.started_at;
        change(&mut subject, &mut row);
        if let Some(rows) = self.sample.rows_mut(table) {
            rows.push(row.as_ref());
        }
        if let Some(subjects) = self.roster.subjects_mut(table) {
            subjects.push(Arc::new(subject));
        }
        id
    }

    /// Adds a cgroup whose every v2 column has a value.
    pub fn cgroup(&mut self, workload: Workload) -> SubjectId {
        let (tick, seed) = (self.sample.tick, self.next);
        let path = Arc::clone(&workload.identity.path);
        self.add(Table::Cgroup, &path, |subject, row| {
            subject.workload = Some(Arc::new(workload));
            fill(row, Table::Cgroup, seed, tick);
        })
    }

    /// Adds something that a cgroup owns.
    pub fn owned(&mut self, table: Table, owner: SubjectId, workload: &Workload, name: &str) -> SubjectId {
        let (tick, seed) = (self.sample.tick, self.next);
        self.add(table, name, |subject, row| {
            subject.owner = Some(owner);
            subject.workload = Some(Arc::new(workload.clone()));
            subject.device = (table == Table::Device).then_some((259, 0));
            fill(row, table, seed, tick);
        })
    }

    pub fn finish(mut self) -> NodeSample {
        self.sample.roster = Arc::new(self.roster);
        self.sample
    }

    /// A kubelet's tree of `pods` pods with two containers each, the node's own subjects and some services.
    pub fn node(&mut self, pods: u64, services: u64) {
        let root = workload("/", CgroupKind::Root);
        let id = self.cgroup(root.clone());
        self.owned(Table::Device, id, &root, "nvme0n1");
        self.cgroup(workload("/kubepods.slice", CgroupKind::Qos));
        for number in 0..services {
            self.cgroup(workload(&format!("/system.slice/unit-{number}.service"), CgroupKind::Service));
        }
        for number in 0..pods {
            self.pod(number);
        }
        self.own_subjects();
    }

    fn pod(&mut self, number: u64) {
        let sandbox = pod_container(number, 0);
        let pod_path = sandbox.identity.path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        let mut pod = workload(&pod_path, CgroupKind::Pod);
        pod.identity.pod_uid.clone_from(&sandbox.identity.pod_uid);
        pod.identity.qos = Some(QosClass::Burstable);
        pod.metadata.clone_from(&sandbox.metadata);
        self.cgroup(pod);
        let id = self.cgroup(sandbox.clone());
        self.owned(Table::Interface, id, &sandbox, "eth0");
        for index in 1..=2 {
            let container = pod_container(number, index);
            let id = self.cgroup(container.clone());
            self.owned(Table::Device, id, &container, "nvme0n1");
            self.owned(Table::Hugetlb, id, &container, "2Mi");
            if let Some(metadata) = &container.metadata {
                let key = TallyKey {
                    namespace: metadata.namespace.as_deref().unwrap_or("").into(),
                    pod: metadata.pod.as_deref().unwrap_or("").into(),
                    container: metadata.container.as_deref().unwrap_or("").into(),
                };
                let tally = Tally {
                    oom_kills: 3,
                    restarts: 2,
                    ended_cpu_usage_usec: 98_765_432,
                    living: Vec::new(),
                    last_victim: None,
                    exits: BTreeMap::from([((137, Arc::from("OOMKilled")), 2)]),
                };
                let tallies = Arc::make_mut(&mut self.sample.tallies);
                tallies.entries.insert(key, tally);
            }
        }
    }

    /// Adds a tally of nobody who lives.
    pub fn tally(&mut self) {
        let key = TallyKey { namespace: "shop".into(), pod: "web-0".into(), container: "web".into() };
        let tally = Tally { restarts: 2, ..Tally::default() };
        Arc::make_mut(&mut self.sample.tallies).entries.insert(key, tally);
    }

    fn own_subjects(&mut self) {
        let tick = self.sample.tick;
        self.add(Table::Node, "node", |_, row| fill(row, Table::Node, 77, tick));
        for cpu in 0..4 {
            self.add(Table::Cpu, &format!("cpu{cpu}"), |_, row| fill(row, Table::Cpu, cpu, tick));
        }
        for (minor, disk) in [(0, "nvme0n1"), (1, "nvme0n1p1")] {
            self.add(Table::Disk, disk, |subject, row| {
                subject.device = Some((259, minor));
                fill(row, Table::Disk, 9, tick);
            });
        }
        for interface in ["lo", "eth0", "cali1234567890a", "veth12ab34c"] {
            self.add(Table::Interface, interface, |_, row| fill(row, Table::Interface, 11, tick));
        }
        for (mount, device, kind) in [("/", "/dev/nvme0n1p1", "ext4"), ("/run", "tmpfs", "tmpfs")] {
            self.add(Table::Filesystem, mount, |subject, row| {
                subject.filesystem = Some((device.into(), kind.into()));
                fill(row, Table::Filesystem, 13, tick);
                row.put(At(0), Some(1_000_000_000));
                row.put(At(1), Some(400_000_000));
            });
        }
    }
}

/// Fills every column that cgroup v2 or /proc offers: counters grow with the tick, bytes are pages.
pub fn fill(row: &mut Row, table: Table, seed: u64, tick: u64) {
    for (index, metric) in table.metrics().iter().enumerate() {
        let column = u64::try_from(index).unwrap_or(0);
        let noise = (seed * 7919 + column * 104_729) % 99_991;
        let value = match (metric.kind, metric.unit) {
            _ if metric.source.is_empty() => None,
            (Kind::Counter, Unit::Usec) => Some(noise * 1_234_567 + tick * 250_000),
            (Kind::Counter, _) => Some(noise * 31 + tick * 10),
            (_, Unit::Bytes) => Some(noise * 4096),
            (_, Unit::PercentHundredths) => Some(noise % 10_000),
            (_, Unit::Flag) => Some(noise % 2),
            (_, Unit::UnixSeconds) => Some(WALL_SECONDS - 86_400),
            _ => Some(noise % 500 + 1),
        };
        match metric.kind {
            Kind::Limit if !noise.is_multiple_of(3) => row.put_limit(At(index), Some(Limit::Unlimited)),
            Kind::Limit => row.put_limit(At(index), value.map(Limit::At)),
            _ => row.put(At(index), value),
        }
    }
}

pub fn machine() -> MachineFacts {
    MachineFacts {
        node_name: "node-1".into(),
        cpu_cores: 4,
        cpu_physical_cores: 2,
        cpu_sockets: 1,
        memory_bytes: 16 << 30,
        swap_bytes: 0,
        machine_id: "0123456789abcdef0123456789abcdef".into(),
        system_uuid: "00000000-1111-2222-3333-444444444444".into(),
        boot_id: "55555555-6666-7777-8888-999999999999".into(),
        kernel_version: "6.12.0".into(),
        os_version: "Some Linux 13 (\"quoted\")".into(),
        cgroup_layout: "v2".into(),
        ticks_per_second: 100,
        page_bytes: 4096,
    }
}

pub fn workload(path: &str, kind: CgroupKind) -> Workload {
    Workload {
        identity: CgroupIdentity {
            outer_container: None,
            path: path.into(),
            kind,
            runtime: None,
            container_id: None,
            pod_uid: None,
            qos: None,
        },
        inode: 4711,
        metadata: None,
        created_at: UnixNanos((WALL_SECONDS - 3600) * 1_000_000_000),
    }
}

/// Container `index` of a pod as containerd describes it; 0 is the sandbox.
pub fn pod_container(pod: u64, index: u64) -> Workload {
    let uid = format!("{pod:08x}-aaaa-bbbb-cccc-dddddddddddd");
    let id = format!("{:064x}", u128::from(pod) << 64 | u128::from(index) << 8 | 0xff);
    let path = format!(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-{id}.scope",
        uid.replace('-', "_")
    );
    let name = format!("checkout-service-7d9c5b6f4-{pod:05x}");
    let container =
        ["sandbox", "server", "istio-proxy"].get(usize::try_from(index).unwrap_or(0)).map(|n| (*n).to_owned());
    let mut labels = BTreeMap::from([
        ("io.cri-containerd.kind".to_owned(), if index == 0 { "sandbox" } else { "container" }.to_owned()),
        ("io.kubernetes.pod.name".to_owned(), name.clone()),
        ("io.kubernetes.pod.namespace".to_owned(), "shop-production".to_owned()),
        ("io.kubernetes.pod.uid".to_owned(), uid.clone()),
    ]);
    if index == 0 {
        labels.insert("app".to_owned(), "checkout-service".to_owned());
        labels.insert("pod-template-hash".to_owned(), "7d9c5b6f4".to_owned());
    } else if let Some(container) = &container {
        labels.insert("io.kubernetes.container.name".to_owned(), container.clone());
    }
    let mut workload = workload(&path, CgroupKind::Container);
    workload.identity.runtime = Some(Runtime::Containerd);
    workload.identity.container_id = Some(id.as_str().into());
    workload.identity.pod_uid = Some(uid.as_str().into());
    workload.identity.qos = Some(QosClass::Burstable);
    workload.metadata = Some(Arc::new(Metadata {
        name: id,
        image: "registry.example.com/shop/checkout-service:v2.14.3".into(),
        namespace: Some("shop-production".into()),
        pod: Some(name),
        pod_uid: Some(uid),
        container: container.filter(|_| index > 0),
        sandbox: index == 0,
        labels,
        runtime: Some(Runtime::Containerd),
        created_at: Some(UnixNanos((WALL_SECONDS - 1800) * 1_000_000_000)),
        started_at: Some(UnixNanos((WALL_SECONDS - 1799) * 1_000_000_000)),
        ..Metadata::default()
    }));
    workload
}

/// A node with this many containers, two to a pod, and forty services.
pub fn node(containers: u64, tick: u64) -> NodeSample {
    let mut maker = Maker::new(tick);
    maker.node(containers / 2, 40);
    maker.finish()
}
