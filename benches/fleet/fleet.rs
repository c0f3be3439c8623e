//! A made-up fleet: names as the API server would have them, and numbers that move as real ones do.
//!
//! In: how many nodes, pods of a node and containers of a pod. Out: objects for the API server, and each node's snapshots.
//! A third of the containers works: CPU, memory, io and network move at every push. The others stand still, but for one in
//! ten pushes. Recorded nodes have the same share of constant series.

use std::sync::Arc;

use ringside::store::cluster::{Entity, EntityKey, Metric, Snapshot};
use ringside::units::UnixNanos;
use serde_json::{Value, json};

/// How large.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    pub nodes: usize,
    pub pods: usize,
    pub containers: usize,
}

/// Pods of one workload.
const REPLICAS: usize = 10;

impl Fleet {
    pub fn node_name(&self, node: usize) -> String {
        format!("node-{node:05}.example.internal")
    }

    fn pod_name(&self, pod: usize) -> String {
        format!("workload-{:05}-6d4cf56db6-{pod:07}", pod / REPLICAS)
    }

    fn pod_uid(&self, pod: usize) -> String {
        format!("{pod:08x}-7c1d-4b7e-9a55-0123456789ab")
    }

    fn namespace(&self, pod: usize) -> String {
        format!("team-{:03}", pod / REPLICAS % 100)
    }

    pub fn workloads(&self) -> usize {
        (self.nodes * self.pods).div_ceil(REPLICAS)
    }

    pub fn path_of_pod(&self, pod: usize) -> String {
        format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods/{}", self.namespace(pod), self.pod_name(pod))
    }

    pub fn node(&self, node: usize) -> Value {
        json!({"metadata": {
            "name": self.node_name(node), "uid": format!("node-{node:08x}"), "resourceVersion": "1",
            "labels": {"kubernetes.io/hostname": self.node_name(node), "topology.kubernetes.io/zone": format!("zone-{}", node % 3)},
        }})
    }

    pub fn pod(&self, pod: usize) -> Value {
        let workload = pod / REPLICAS;
        json!({
            "metadata": {
                "name": self.pod_name(pod), "namespace": self.namespace(pod), "uid": self.pod_uid(pod), "resourceVersion": "1",
                "labels": {"app": format!("workload-{workload:05}"), "pod-template-hash": "6d4cf56db6", "track": "stable"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                    "name": format!("workload-{workload:05}-6d4cf56db6"), "uid": format!("rs-{workload:08x}")}],
            },
            "spec": {"nodeName": self.node_name(pod / self.pods),
                "containers": (0..self.containers).map(|c| json!({"name": format!("container-{c}")})).collect::<Vec<_>>()},
            "status": {"phase": "Running"},
        })
    }

    pub fn replica_set(&self, workload: usize) -> Value {
        let name = format!("workload-{workload:05}");
        json!({"metadata": {
            "name": format!("{name}-6d4cf56db6"), "namespace": self.namespace(workload * REPLICAS),
            "uid": format!("rs-{workload:08x}"), "resourceVersion": "1",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "controller": true, "name": name, "uid": format!("d-{workload:08x}")}],
        }})
    }

    /// A node's snapshot before anything has moved.
    pub fn first(&self, node: usize, wall: UnixNanos) -> Snapshot {
        let mut entities = vec![entity(EntityKey::Node, node as u64)];
        for pod in node * self.pods..(node + 1) * self.pods {
            let uid: Arc<str> = self.pod_uid(pod).into();
            let key = EntityKey::Pod {
                uid: Arc::clone(&uid),
                namespace: self.namespace(pod).into(),
                name: self.pod_name(pod).into(),
            };
            entities.push(entity(key, pod as u64));
            for container in 0..self.containers {
                let key = EntityKey::Container {
                    pod_uid: Arc::clone(&uid),
                    name: format!("container-{container}").into(),
                    id: format!("{pod:056x}{container:08x}").into(),
                };
                entities.push(entity(key, (pod * 7 + container) as u64));
            }
        }
        Snapshot { wall, entities }
    }
}

/// Columns that a working entity moves at every push; each with the size of its steps.
const MOVING: [(Metric, u64); 10] = [
    (Metric::CpuUsageUsec, 1_500_000),
    (Metric::MemoryWorkingSetBytes, 1 << 20),
    (Metric::MemoryCurrentBytes, 1 << 20),
    (Metric::MemoryAnonBytes, 1 << 19),
    (Metric::IoWriteBytes, 1 << 18),
    (Metric::IoWrites, 40),
    (Metric::CpuPressureSomeUsec, 20_000),
    (Metric::NetworkReceiveBytes, 1 << 20),
    (Metric::NetworkTransmitBytes, 1 << 19),
    (Metric::NetworkReceivePackets, 900),
];

fn entity(key: EntityKey, seed: u64) -> Entity {
    let is_container = matches!(key, EntityKey::Container { .. });
    let mut values = [None; Metric::ALL.len()];
    for metric in Metric::ALL {
        let network = (Metric::NetworkReceiveBytes..=Metric::NetworkTransmitDropped).contains(metric);
        if *metric < Metric::CpuCapacityMillicores && !(network && is_container) {
            values[*metric as usize] = Some((random(seed, *metric as u64) & 0xff_ffff) * 4096);
        }
    }
    Entity { key, started_at: UnixNanos(1), values }
}

/// One interval later.
pub fn advance(snapshot: &mut Snapshot, step: u64, interval_nanos: u64) {
    snapshot.wall.0 += interval_nanos;
    for (at, entity) in snapshot.entities.iter_mut().enumerate() {
        let seed = at as u64;
        let works = seed % 3 == 0 || random(seed, step) % 10 == 0;
        if !works {
            continue;
        }
        for (metric, size) in MOVING {
            if let Some(value) = entity.values[metric as usize].as_mut() {
                let draw = random(seed.wrapping_mul(64) + metric as u64, step);
                let is_counter = metric.info().kind == ringside::store::cluster::MetricKind::Counter;
                let change = draw % size;
                *value = if is_counter || draw >> 40 & 1 == 0 {
                    *value + change / if is_counter { 1 } else { 4096 } * if is_counter { 1 } else { 4096 }
                } else {
                    value.saturating_sub(change / 4096 * 4096)
                };
            }
        }
    }
}

/// A number that looks like chance and is the same each time (splitmix64).
pub fn random(seed: u64, step: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
