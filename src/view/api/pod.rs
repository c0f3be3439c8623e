//! `GET /api/v1/pods`: what each pod of this node uses.
//!
//! In: a [`Scene`]. Out: [`Pod`]s. A pod's own cgroup counts for it where there is one, because it also holds the
//! pause container and the pod's limit; else its containers are added up. The network is counted once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::CgroupKind;
use crate::store::query::labels::{name_of, qos_word};

use super::container::id_of;
use super::parts::{Cpu, Memory, Pids, Pressure, sum};
use super::problem::Problem;
use super::request::Query;
use super::scene::{Cgroup, Scene, metadata, pod_uid, told_restarts};
use super::time::rfc3339;
use super::traffic::{Io, IoCounters, Network};

/// The pods of this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PodList {
    /// Name of the node.
    pub node: String,
    /// When the tick that is shown began, RFC 3339: the newest, or with `at` the newest that is not later.
    pub read_at: String,
    /// The instant that `at` asked for, RFC 3339; null when the newest tick is shown.
    pub at: Option<String>,
    /// How finely history is kept at this tick: `tick`, `10s` or `1m`.
    pub resolution: Option<String>,
    /// Sorted by namespace and name.
    pub pods: Vec<Pod>,
}

/// Where a pod's numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PodSource {
    /// The pod's own cgroup.
    Cgroup,
    /// The sum of its containers.
    Sum,
}

/// One pod. What is not known is null, never 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pod {
    /// Pod UID.
    pub uid: String,
    /// Kubernetes namespace; null until a runtime tells it.
    pub namespace: Option<String>,
    /// Pod name; null until a runtime tells it.
    pub name: Option<String>,
    /// `Guaranteed`, `Burstable` or `BestEffort`.
    pub qos: Option<String>,
    /// True when it shares the host's network.
    pub host_network: Option<bool>,
    /// When its sandbox was created, RFC 3339.
    pub created_at: Option<String>,
    /// Where the numbers below come from.
    pub source: PodSource,
    /// Its cgroup path, where it has a cgroup of its own.
    pub cgroup: Option<String>,
    /// Restarts of all its containers; null in the past, because the ring does not keep them.
    pub restarts: Option<u64>,
    /// Processes that the OOM killer killed in its containers; null in the past.
    pub oom_kills: Option<u64>,
    /// CPU.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Block devices; null when it never used one.
    pub io: Option<Io>,
    /// Network, counted once for the pod; null when nothing is known about it.
    pub network: Option<Network>,
    /// Pressure (PSI) of the pod's own cgroup; null when it has none.
    pub pressure: Option<Pressure>,
    /// Processes and threads.
    pub pids: Pids,
    /// Its containers, without the pause container.
    pub containers: Vec<PodContainer>,
}

/// One container of a pod, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PodContainer {
    /// For `/api/v1/containers/{id}`.
    pub id: String,
    /// Name inside the pod.
    pub name: String,
    /// CPU used, in cores.
    pub cpu_usage_cores: Option<f64>,
    /// Usage without inactive page cache.
    pub memory_working_set_bytes: Option<u64>,
    /// How often it was started again; null in the past.
    pub restarts: Option<u64>,
    /// Processes that the OOM killer killed; null in the past.
    pub oom_kills: Option<u64>,
}

/// The cgroups of one pod.
#[derive(Debug, Default)]
struct Members<'a> {
    own: Option<Cgroup<'a>>,
    sandbox: Option<Cgroup<'a>>,
    containers: Vec<Cgroup<'a>>,
}

/// All pods, or those of `namespace=` and `name=`.
pub(super) fn list(scene: &Scene<'_>, query: &Query) -> Result<PodList, Problem> {
    query.only(&["namespace", "name", "at"])?;
    let mut members: BTreeMap<&str, Members<'_>> = BTreeMap::new();
    for cgroup in scene.cgroups() {
        let Some(uid) = pod_uid(cgroup.workload) else { continue };
        match cgroup.workload.kind() {
            CgroupKind::Pod => members.entry(uid).or_default().own = Some(cgroup),
            CgroupKind::Sandbox => members.entry(uid).or_default().sandbox = Some(cgroup),
            CgroupKind::Container => members.entry(uid).or_default().containers.push(cgroup),
            _ => {}
        }
    }
    let mut pods: Vec<Pod> = members.iter().map(|(uid, members)| read(scene, uid, members)).collect();
    let wanted = |name: &str, known: &Option<String>| query.get(name).is_none_or(|text| known.as_deref() == Some(text));
    pods.retain(|pod| wanted("namespace", &pod.namespace) && wanted("name", &pod.name));
    pods.sort_by(|a, b| (&a.namespace, &a.name, &a.uid).cmp(&(&b.namespace, &b.name, &b.uid)));
    let sample = scene.sample();
    Ok(PodList {
        node: sample.machine.node_name.clone(),
        read_at: rfc3339(sample.wall),
        at: scene.at(),
        resolution: scene.resolution(),
        pods,
    })
}

fn read(scene: &Scene<'_>, uid: &str, members: &Members<'_>) -> Pod {
    let all = || members.own.iter().chain(&members.sandbox).chain(&members.containers);
    let told = || all().filter_map(|cgroup| metadata(cgroup.workload));
    let short: Vec<_> = members.containers.iter().map(|cgroup| PodContainer::read(scene, cgroup)).collect();
    Pod {
        uid: uid.to_owned(),
        namespace: told().find_map(|metadata| metadata.namespace.clone()),
        name: told().find_map(|metadata| metadata.pod.clone()),
        qos: all().find_map(|cgroup| cgroup.workload.identity.qos).map(qos_word).map(str::to_owned),
        host_network: told().map(|metadata| metadata.host_network).reduce(|a, b| a || b),
        created_at: told().find_map(|metadata| metadata.created_at).map(rfc3339),
        source: if members.own.is_some() { PodSource::Cgroup } else { PodSource::Sum },
        cgroup: members.own.map(|own| own.subject.name.to_string()),
        restarts: sum(short.iter().map(|container| container.restarts)),
        oom_kills: sum(short.iter().map(|container| container.oom_kills)),
        network: all().find_map(|cgroup| scene.network(cgroup.subject.id, cgroup.workload)),
        pressure: members.own.map(|own| Pressure::of_cgroup(&own.reading)),
        containers: short,
        ..usage(scene, members)
    }
}

/// The numbers: the pod's own, else the sum of all its containers, the pause container included.
fn usage(scene: &Scene<'_>, members: &Members<'_>) -> Pod {
    let parts: Vec<_> = members.sandbox.iter().chain(&members.containers).collect();
    let (cpu, memory, pids, io) = match members.own {
        Some(own) => {
            let reading = &own.reading;
            (Cpu::read(reading), Memory::read(reading), Pids::read(reading), scene.io(own.subject.id))
        }
        None => {
            let cpus: Vec<_> = parts.iter().map(|part| Cpu::read(&part.reading)).collect();
            let memories: Vec<_> = parts.iter().map(|part| Memory::read(&part.reading)).collect();
            let pids: Vec<_> = parts.iter().map(|part| Pids::read(&part.reading)).collect();
            (Cpu::sum(cpus.iter()), Memory::sum(memories.iter()), Pids::sum(pids.iter()), None)
        }
    };
    Pod {
        uid: String::new(),
        namespace: None,
        name: None,
        qos: None,
        host_network: None,
        created_at: None,
        source: PodSource::Sum,
        cgroup: None,
        restarts: None,
        oom_kills: None,
        cpu,
        memory,
        io: io.or_else(|| summed_io(scene, &parts)),
        network: None,
        pressure: None,
        pids,
        containers: Vec::new(),
    }
}

/// The io of several cgroups, device by device.
fn summed_io(scene: &Scene<'_>, parts: &[&Cgroup<'_>]) -> Option<Io> {
    let mut devices: BTreeMap<String, Vec<super::traffic::DeviceIo>> = BTreeMap::new();
    for device in parts.iter().filter_map(|part| scene.io(part.subject.id)).flat_map(|io| io.devices) {
        devices.entry(device.device.clone()).or_default().push(device);
    }
    let devices: Vec<_> = devices
        .into_values()
        .filter_map(|same| {
            let counters = IoCounters::sum(same.iter().map(|device| &device.counters));
            Some(super::traffic::DeviceIo { counters, ..same.into_iter().next()? })
        })
        .collect();
    (!devices.is_empty()).then(|| Io::of(devices))
}

impl PodContainer {
    fn read(scene: &Scene<'_>, cgroup: &Cgroup<'_>) -> Self {
        let tally = scene.tally(cgroup.workload);
        let memory = Memory::read(&cgroup.reading);
        Self {
            id: id_of(cgroup.subject, cgroup.workload),
            name: name_of(cgroup.workload).to_owned(),
            cpu_usage_cores: Cpu::read(&cgroup.reading).usage_cores,
            memory_working_set_bytes: memory.working_set_bytes,
            restarts: tally.map(|tally| tally.restarts).or_else(|| told_restarts(scene, cgroup.workload)),
            oom_kills: tally
                .map(|tally| tally.oom_kills)
                .or_else(|| memory.events.oom_kill.filter(|_| !scene.is_past())),
        }
    }
}
