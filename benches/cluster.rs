//! The cluster's store under load: the cost of a push, resident memory by size of the cluster, and the scenarios of
//! metrics-server's own storage benchmark.
//!
//! In: made-up nodes whose pods work as stated at [`Fleet`]. Out: tables. Times are CPU time of this thread. Only public
//! interfaces are used: bodies come from the agent's encoder and go into the store as the receiver puts them there.
//!
//! ```text
//! cargo bench --bench cluster                         everything
//! cargo bench --bench cluster -- --only pushes        one of the parts pushes, memory, reads, scenarios
//! ```

#![expect(clippy::print_stdout, reason = "the tables are the result")]

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use ringside::store::cluster::push::Push;
use ringside::store::cluster::{
    ClusterOptions, ClusterStore, Entity, EntityKey, GroupBy, HistoryQuery, Metric, MetricKind, MetricSet, NodeRecord,
    PodRecord, Snapshot, WorkloadRef,
};
use ringside::units::UnixNanos;
use ringside::uplink::wire::Encoder;

const START: u64 = 1_800_000_000 * SECOND;
const SECOND: u64 = 1_000_000_000;
const INTERVAL: u64 = 15 * SECOND;
/// 15 minutes.
const SAMPLES: u64 = 61;
const BUDGET: usize = 200 << 20;

/// What `metrics.k8s.io` shows.
const RESOURCES: MetricSet = MetricSet::of(&[Metric::CpuUsageUsec, Metric::MemoryWorkingSetBytes]);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => {
            pushes()?;
            memory()?;
            reads()?;
            scenarios()
        }
        ["--only", "pushes"] => pushes(),
        ["--only", "memory"] => memory(),
        ["--only", "reads"] => reads(),
        ["--only", "scenarios"] => scenarios(),
        ["--hold", nodes, budget] => hold(nodes.parse()?, budget.parse()?),
        other => anyhow::bail!("{other:?}: give --only pushes, memory, reads or scenarios"),
    }
}

/// How often a metric changes from one sample to the next in a container that works; four of five do. CPU time grows by
/// a share of its container's own pace (1 to 500 millicores), memory moves by up to 256 pages, the rest by a few.
const PACE: [(Metric, f64); 21] = [
    (Metric::CpuUsageUsec, 1.0),
    (Metric::MemoryWorkingSetBytes, 1.0),
    (Metric::MemoryCurrentBytes, 1.0),
    (Metric::MemoryAnonBytes, 0.9),
    (Metric::MemoryFileBytes, 0.3),
    (Metric::MemoryKernelBytes, 0.5),
    (Metric::MemoryMajorFaults, 0.05),
    (Metric::EphemeralStorageBytes, 0.3),
    (Metric::IoReadBytes, 0.1),
    (Metric::IoReads, 0.1),
    (Metric::IoWriteBytes, 0.5),
    (Metric::IoWrites, 0.5),
    (Metric::CpuPressureSomeUsec, 0.8),
    (Metric::CpuPressureFullUsec, 0.5),
    (Metric::MemoryPressureSomeUsec, 0.05),
    (Metric::IoPressureSomeUsec, 0.3),
    (Metric::IoPressureFullUsec, 0.3),
    (Metric::CpuThrottledUsec, 0.2),
    (Metric::CpuPeriods, 0.2),
    (Metric::CpuThrottledPeriods, 0.2),
    (Metric::Pids, 0.3),
];

/// What a pod has besides: it changes in nine of ten samples.
const NETWORK: [Metric; 4] = [
    Metric::NetworkReceiveBytes,
    Metric::NetworkTransmitBytes,
    Metric::NetworkReceivePackets,
    Metric::NetworkTransmitPackets,
];

/// What a container and a pod have and what seldom moves.
const STILL: [Metric; 9] = [
    Metric::MemoryShmemBytes,
    Metric::MemoryMaxBytes,
    Metric::MemorySwapBytes,
    Metric::CpuLimitMillicores,
    Metric::MemoryPressureFullUsec,
    Metric::MemoryEventsHigh,
    Metric::MemoryEventsMax,
    Metric::MemoryEventsOomKill,
    Metric::Restarts,
];

/// The metrics of one kind of made-up entity.
#[derive(Clone, Copy, PartialEq)]
enum Detail {
    /// All that an agent pushes.
    All,
    /// What metrics-server keeps; both change in every sample.
    Resources,
}

/// One made-up node.
struct Fleet {
    rng: SmallRng,
    detail: Detail,
    snapshot: Snapshot,
    /// Millicores by entity; 0 rests.
    pace: Vec<u64>,
    pods: Vec<PodRecord>,
}

impl Fleet {
    fn new(node: usize, pods: usize, containers: usize, detail: Detail, names: &Names) -> Self {
        let mut rng = SmallRng::seed_from_u64(node as u64);
        let mut fleet = Self {
            detail,
            snapshot: Snapshot { wall: UnixNanos(START), entities: Vec::new() },
            pace: Vec::new(),
            pods: Vec::new(),
            rng: SmallRng::seed_from_u64(node as u64),
        };
        fleet.add(EntityKey::Node, 4000);
        for pod in 0..pods {
            let number = node * pods + pod;
            let record = names.record(number, node);
            let key = EntityKey::Pod {
                uid: record.uid.clone(),
                namespace: record.namespace.clone(),
                name: record.name.clone(),
            };
            let pace = if rng.random_ratio(4, 5) { 1 << rng.random_range(0..9) } else { 0 };
            fleet.add(key, pace * containers as u64);
            for container in 0..containers {
                let key = EntityKey::Container {
                    pod_uid: record.uid.clone(),
                    name: format!("container-{container}").into(),
                    id: format!("{number:060x}{container:04}").into(),
                };
                fleet.add(key, pace);
            }
            fleet.pods.push(record);
        }
        fleet
    }

    fn add(&mut self, key: EntityKey, pace: u64) {
        let mut values = [None; Metric::ALL.len()];
        let mut have = |metrics: &[Metric]| {
            for metric in metrics {
                if let Some(value) = values.get_mut(*metric as usize) {
                    *value = Some(self.rng.random_range(0..1 << 33) / 4096 * 4096);
                }
            }
        };
        have(&[Metric::CpuUsageUsec, Metric::MemoryWorkingSetBytes]);
        if self.detail == Detail::All {
            PACE.iter().for_each(|(metric, _)| have(&[*metric]));
            if !matches!(key, EntityKey::Container { .. }) {
                have(&NETWORK);
            }
            for metric in STILL {
                if let Some(value) = values.get_mut(metric as usize) {
                    *value = Some(if metric == Metric::MemoryMaxBytes { 1 << 30 } else { 0 });
                }
            }
        }
        self.snapshot.entities.push(Entity { key, started_at: UnixNanos(START - 3600 * SECOND), values });
        self.pace.push(pace);
    }

    fn step(&mut self) {
        self.snapshot.wall.0 += INTERVAL;
        let rng = &mut self.rng;
        let all = self.detail == Detail::All;
        for (entity, pace) in self.snapshot.entities.iter_mut().zip(&self.pace) {
            let network = NETWORK.iter().map(|metric| (*metric, 0.9));
            for (metric, chance) in PACE.iter().copied().chain(network) {
                let Some(Some(value)) = entity.values.get_mut(metric as usize) else { continue };
                let moves = if all { *pace > 0 && rng.random_bool(chance) } else { true };
                if !moves {
                    continue;
                }
                *value = match metric {
                    Metric::CpuUsageUsec => *value + pace * 15_000 * rng.random_range(70..130) / 100 + 1,
                    Metric::NetworkReceiveBytes | Metric::NetworkTransmitBytes => {
                        *value + pace * rng.random_range(0..2000)
                    }
                    Metric::IoReadBytes | Metric::IoWriteBytes => *value + 4096 * rng.random_range(1..64),
                    metric if metric.info().name.ends_with("_bytes") => {
                        (*value + 256 * 4096).saturating_sub(4096 * rng.random_range(0..512))
                    }
                    metric if metric.info().name.ends_with("_usec") => *value + rng.random_range(0..pace * 200 + 100),
                    metric if metric.info().kind == MetricKind::Counter => *value + rng.random_range(1..100),
                    _ => rng.random_range(1..20),
                };
            }
        }
    }

    fn series(&self) -> usize {
        self.snapshot.entities.iter().map(|entity| entity.values.iter().flatten().count()).sum()
    }
}

/// Names of made-up objects, in the shape and length of real ones.
struct Names {
    deployments: usize,
    namespaces: usize,
}

impl Names {
    fn node(number: usize) -> String {
        format!("node-{number:05}.pool-default.example")
    }

    fn record(&self, pod: usize, node: usize) -> PodRecord {
        let deployment = pod % self.deployments;
        let text = |text: String| Arc::<str>::from(text);
        PodRecord {
            namespace: text(format!("namespace-{:03}", deployment % self.namespaces)),
            name: text(format!("deployment-{deployment:05}-7c9d8f{:04x}-{pod:06x}", deployment % 65_536)),
            uid: text(format!("{pod:08x}-4f1c-4b7e-9a55-{node:012x}")),
            node: text(Self::node(node)),
            labels: [
                ("app.kubernetes.io/instance", format!("deployment-{deployment:05}")),
                ("app.kubernetes.io/name", format!("deployment-{deployment:05}")),
                ("pod-template-hash", format!("7c9d8f{:04x}", deployment % 65_536)),
                ("track", "stable".to_owned()),
            ]
            .map(|(key, value)| (text(key.to_owned()), text(value)))
            .into_iter()
            .collect(),
            workload: WorkloadRef { kind: "Deployment".into(), name: text(format!("deployment-{deployment:05}")) },
            finished: false,
        }
    }
}

fn node_record(number: usize) -> NodeRecord {
    let name: Arc<str> = Names::node(number).into();
    NodeRecord { uid: format!("{number:08x}-0000-4000-8000-000000000000").into(), labels: Arc::new([]), name }
}

fn new_store(budget_bytes: usize) -> ClusterStore {
    let (history, stale_after) = (Duration::from_secs(900), Duration::from_secs(120));
    ClusterStore::new(ClusterOptions { history, budget_bytes, stale_after })
}

fn take(store: &ClusterStore, body: &[u8], now: UnixNanos) -> anyhow::Result<()> {
    let push = Push::decode(body)?;
    let pushed = store.push(push.node, &push, now)?;
    ensure!(pushed.accepted > 0 && pushed.refused == [0; 4], "a push was not taken: {pushed:?}");
    Ok(())
}

fn cpu_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// CPU time of `work` on this thread, in nanoseconds.
fn timed<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let start = cpu_nanos();
    let result = work();
    (cpu_nanos() - start, result)
}

#[expect(clippy::cast_precision_loss, reason = "tables have four digits")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

/// A store with so many nodes, their bodies after the first push, and series that changed, of all.
struct Prepared {
    store: ClusterStore,
    /// By sample and node.
    bodies: Vec<Vec<Vec<u8>>>,
    changed: u64,
    series: u64,
}

fn prepare(shape: (usize, usize, usize), names: &Names, detail: Detail, samples: u64) -> anyhow::Result<Prepared> {
    let (nodes, pods, containers) = shape;
    let store = new_store(BUDGET);
    let mut all: Vec<(Fleet, Encoder)> = Vec::new();
    for node in 0..nodes {
        store.put_node(&node_record(node));
        let fleet = Fleet::new(node, pods, containers, detail, names);
        fleet.pods.iter().for_each(|pod| store.put_pod(pod));
        all.push((fleet, Encoder::new(Names::node(node), node as u64)));
    }
    store.set_synced();
    let mut bodies = Vec::new();
    let (mut changed, mut series) = (0, 0);
    for sample in 0..=samples {
        let mut round = Vec::new();
        for (fleet, encoder) in &mut all {
            let before: Vec<_> = fleet.snapshot.entities.iter().map(|entity| entity.values).collect();
            if sample > 0 {
                fleet.step();
                series += fleet.series() as u64;
                let after = fleet.snapshot.entities.iter().flat_map(|entity| entity.values);
                changed += before.iter().flatten().zip(after).filter(|(a, b)| **a != *b).count() as u64;
            }
            let body = encoder.push(std::slice::from_ref(&fleet.snapshot), false);
            match sample {
                0 => take(&store, &body, fleet.snapshot.wall)?,
                _ => round.push(body),
            }
        }
        if sample > 0 {
            bodies.push(round);
        }
    }
    Ok(Prepared { store, bodies, changed, series })
}

fn walls() -> impl Iterator<Item = UnixNanos> {
    (1..).map(|sample| UnixNanos(START + sample * INTERVAL))
}

fn pushes() -> anyhow::Result<()> {
    println!("pushes: 100 nodes, 30 pods of 2 containers each; one core; decoded, checked, stored and packed");
    println!("{:>28} {:>10} {:>12} {:>12} {:>12}", "", "bytes", "changed", "us/push", "pushes/s");
    for (title, detail) in [("all metrics", Detail::All), ("CPU and working set only", Detail::Resources)] {
        let names = Names { deployments: 100, namespaces: 10 };
        let made = prepare((100, 30, 2), &names, detail, 160)?;
        let count: u64 = made.bodies.iter().map(|round| round.len() as u64).sum();
        let bytes: u64 = made.bodies.iter().flatten().map(|body| body.len() as u64).sum();
        let (nanos, result) = timed(|| {
            made.bodies
                .iter()
                .zip(walls())
                .try_for_each(|(round, now)| round.iter().try_for_each(|body| take(&made.store, body, now)))
        });
        result?;
        println!(
            "{title:>28} {:>10.0} {:>11.1}% {:>12.2} {:>12.0}",
            ratio(bytes, count),
            100.0 * ratio(made.changed, made.series),
            ratio(nanos, count) / 1e3,
            1e9 / ratio(nanos, count),
        );
    }
    Ok(())
}

fn resident_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024)
}

/// The store alone in a process: bodies come from the parent.
fn hold(nodes: usize, budget: usize) -> anyhow::Result<()> {
    let empty = resident_bytes()?;
    let names = Names { deployments: 2000, namespaces: 100 };
    let store = new_store(budget);
    for node in 0..nodes {
        store.put_node(&node_record(node));
        (0..30).for_each(|pod| store.put_pod(&names.record(node * 30 + pod, node)));
    }
    store.set_synced();
    let records = resident_bytes()?;
    let mut input = std::io::stdin().lock();
    let (mut head, mut body) = ([0; 12], Vec::new());
    while input.read_exact(&mut head).is_ok() {
        let (wall, length) = head.split_at(8);
        let now = UnixNanos(u64::from_le_bytes(wall.try_into()?));
        body.resize(u32::from_le_bytes(length.try_into()?) as usize, 0);
        input.read_exact(&mut body)?;
        take(&store, &body, now)?;
    }
    let stats = store.stats();
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "{nodes:>6} {:>9} {:>8} {:>9} {:>9} {:>11} {:>8} {:>9} {:>10}",
        stats.entities,
        mib(empty),
        mib(records),
        mib(stats.newest_bytes as u64),
        mib(stats.history_bytes as u64),
        (stats.samples / nodes as u64).saturating_sub(1) * INTERVAL / SECOND,
        stats.shed_batches,
        mib(resident_bytes()?),
    );
    Ok(())
}

fn memory() -> anyhow::Result<()> {
    println!(
        "memory, MiB: 30 pods of 2 containers a node, {SAMPLES} samples 15 s apart, pushed in turn; span: mean of nodes"
    );
    println!(
        "{:>6} {:>9} {:>8} {:>9} {:>9} {:>11} {:>8} {:>9} {:>10}",
        "nodes", "entities", "empty", "records", "newest", "history", "span, s", "shed", "resident"
    );
    for (nodes, budget) in [(500, BUDGET), (1000, BUDGET), (2000, BUDGET), (5000, BUDGET), (5000, 4 * BUDGET)] {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--hold", &nodes.to_string(), &budget.to_string()])
            .stdin(Stdio::piped())
            .spawn()?;
        let mut output = std::io::BufWriter::new(child.stdin.take().context("no pipe")?);
        let names = Names { deployments: 2000, namespaces: 100 };
        let mut fleets: Vec<(Fleet, Encoder)> = (0..nodes)
            .map(|node| (Fleet::new(node, 30, 2, Detail::All, &names), Encoder::new(Names::node(node), node as u64)))
            .collect();
        for _ in 0..SAMPLES {
            for (fleet, encoder) in &mut fleets {
                fleet.step();
                let body = encoder.push(std::slice::from_ref(&fleet.snapshot), false);
                output.write_all(&fleet.snapshot.wall.0.to_le_bytes())?;
                output.write_all(&u32::try_from(body.len())?.to_le_bytes())?;
                output.write_all(&body)?;
            }
        }
        output.into_inner()?;
        ensure!(child.wait()?.success(), "the process with {nodes} nodes failed");
    }
    Ok(())
}

fn reads() -> anyhow::Result<()> {
    println!("reads: 1,000 nodes, 30 pods of 2 containers each, 24 samples");
    let names = Names { deployments: 500, namespaces: 20 };
    let made = prepare((1000, 30, 2), &names, Detail::All, 24)?;
    let mut now = UnixNanos(START);
    for (round, wall) in made.bodies.iter().zip(walls()) {
        round.iter().try_for_each(|body| take(&made.store, body, wall))?;
        now = wall;
    }
    let store = &made.store;
    let line = |title: &str, nanos: u64, things: u64| {
        println!(
            "{title:>44} {:>12.3} ms {:>10} {:>10.0} ns each",
            ratio(nanos, 1_000_000),
            things,
            ratio(nanos, things)
        );
    };
    for (title, wanted) in [("list, CPU and working set", RESOURCES), ("list, all metrics", MetricSet::ALL)] {
        let mut pods = 0;
        let (nanos, ()) = timed(|| store.each_pod_of(None, now, wanted, &|_| true, &mut |_| pods += 1));
        line(title, nanos, pods);
    }
    let records: Vec<PodRecord> = (0..30_000).step_by(7).map(|pod| names.record(pod, pod / 30)).collect();
    let (nanos, found) = timed(|| {
        records.iter().filter(|pod| store.pod_with(&pod.namespace, &pod.name, now, RESOURCES).is_some()).count()
    });
    line("one pod, CPU and working set", nanos, found as u64);
    let (nanos, nodes) = timed(|| store.nodes(now).len());
    line("nodes, all metrics", nanos, nodes as u64);
    for by in [GroupBy::Cluster, GroupBy::Namespace, GroupBy::Workload, GroupBy::Pod, GroupBy::Label("track".into())] {
        let query = HistoryQuery {
            metric: Metric::CpuUsageUsec,
            by: by.clone(),
            namespace: None,
            node: None,
            name: None,
            pods: None,
            from: UnixNanos(now.0 - 20 * INTERVAL),
            to: now,
            step: Duration::from_nanos(INTERVAL),
        };
        let (nanos, series) = timed(|| store.history(&query).len());
        line(&format!("history of CPU, 21 points, by {by:?}"), nanos, series as u64);
    }
    Ok(())
}

/// Name, nodes, pods per node, deployments, namespaces, containers per pod.
const SCENARIOS: [(&str, usize, usize, usize, usize, usize); 11] = [
    ("Normal 1000", 1000, 30, 100, 10, 2),
    ("Normal 100", 100, 70, 100, 10, 2),
    ("Normal 10", 10, 70, 100, 10, 2),
    ("Big Namespace 1000", 1000, 30, 100, 1, 2),
    ("Big Namespace 100", 100, 70, 100, 1, 2),
    ("Big Namespace 10", 10, 70, 100, 1, 2),
    ("Big Deployment 1000", 1000, 30, 1, 1, 2),
    ("Big Deployment 100", 100, 70, 1, 1, 2),
    ("Big Deployment 10", 10, 70, 1, 1, 2),
    ("Dense Container 100", 100, 30, 100, 10, 10),
    ("Dense Container 10", 10, 30, 100, 10, 10),
];

fn scenarios() -> anyhow::Result<()> {
    println!("metrics-server's storage scenarios: two metrics, all of which change; write = every node pushes once");
    println!("{:>22} {:>12} {:>20} {:>16}", "", "write, us", "all containers, us", "all nodes, us");
    for (name, nodes, pods, deployments, namespaces, containers) in SCENARIOS {
        let names = Names { deployments, namespaces };
        let made = prepare((nodes, pods, containers), &names, Detail::Resources, 32)?;
        let (write, result) = timed(|| {
            made.bodies
                .iter()
                .zip(walls())
                .try_for_each(|(round, now)| round.iter().try_for_each(|body| take(&made.store, body, now)))
        });
        result?;
        let now = UnixNanos(START + 32 * INTERVAL);
        let records: Vec<PodRecord> = (0..nodes * pods).map(|pod| names.record(pod, pod / pods)).collect();
        let (read, found) = timed(|| {
            records
                .iter()
                .filter_map(|pod| made.store.pod_with(&pod.namespace, &pod.name, now, RESOURCES))
                .map(|usage| usage.containers.len())
                .sum::<usize>()
        });
        ensure!(found == nodes * pods * containers, "{name}: {found} containers were found");
        let (nodes_read, found) = timed(|| made.store.nodes(now).len());
        ensure!(found == nodes, "{name}: {found} nodes were found");
        println!(
            "{name:>22} {:>12.1} {:>20.1} {:>16.1}",
            ratio(write, 32) / 1e3,
            ratio(read, 1) / 1e3,
            ratio(nodes_read, 1) / 1e3
        );
    }
    Ok(())
}
