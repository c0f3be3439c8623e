//! `GET /api/v1/containers` and `/api/v1/containers/{id}`: every cgroup that somebody asked for, with all it uses.
//!
//! In: a [`Scene`], and for those that are gone what the ring remembers. Out: [`Container`]s. A cgroup without metadata
//! is still shown, by its path. Next: `view/http`, `view/top`.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::catalogue::Table;
use crate::sample::{CgroupKind, Subject, SubjectId, Workload};
use crate::store::query::labels::{name_of, qos_word};
use crate::store::{Remembered, Store};
use crate::units::UnixNanos;

use super::parts::{Cpu, Memory, Pids, Pressure};
use super::problem::Problem;
use super::request::{Query, percent_encode};
use super::scene::{Cgroup, Scene, metadata, pod_uid, told_restarts};
use super::time::rfc3339;
use super::traffic::{Io, Network};

/// What kind of cgroup it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContainerKind {
    /// The root of the hierarchy: the node.
    Root,
    /// A container of any runtime.
    Container,
    /// A pod's pause container.
    Sandbox,
    /// A pod's cgroup.
    Pod,
    /// A Kubernetes quality-of-service parent.
    Qos,
    /// A systemd service.
    Service,
    /// A systemd slice.
    Slice,
    /// A systemd scope that is no container.
    Scope,
    /// Anything else.
    Other,
}

impl ContainerKind {
    const NAMED: [(&'static str, Self); 9] = [
        ("container", Self::Container),
        ("sandbox", Self::Sandbox),
        ("pod", Self::Pod),
        ("qos", Self::Qos),
        ("service", Self::Service),
        ("slice", Self::Slice),
        ("scope", Self::Scope),
        ("root", Self::Root),
        ("other", Self::Other),
    ];

    fn of(kind: CgroupKind) -> Self {
        match kind {
            CgroupKind::Root => Self::Root,
            CgroupKind::Container => Self::Container,
            CgroupKind::Sandbox => Self::Sandbox,
            CgroupKind::Pod => Self::Pod,
            CgroupKind::Qos => Self::Qos,
            CgroupKind::Service => Self::Service,
            CgroupKind::Slice => Self::Slice,
            CgroupKind::Scope => Self::Scope,
            CgroupKind::Other => Self::Other,
        }
    }
}

/// The containers of this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContainerList {
    /// Name of the node.
    pub node: String,
    /// When the tick that is shown began, RFC 3339: the newest, or with `at` the newest that is not later.
    pub read_at: String,
    /// The instant that `at` asked for, RFC 3339; null when the newest tick is shown.
    pub at: Option<String>,
    /// How finely history is kept at this tick: `tick`, `10s` or `1m`.
    pub resolution: Option<String>,
    /// Sorted by namespace, pod, name.
    pub containers: Vec<Container>,
}

/// One container, or another cgroup. What is not known is null, never 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Container {
    /// What to put into a path: the container ID, else the cgroup path percent-encoded.
    pub id: String,
    /// Name inside its pod, else the runtime's name, else the last part of the cgroup path.
    pub name: String,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Kubernetes pod.
    pub pod: Option<String>,
    /// Pod UID.
    pub pod_uid: Option<String>,
    /// `Guaranteed`, `Burstable` or `BestEffort`.
    pub qos: Option<String>,
    /// What kind of cgroup it is.
    pub kind: ContainerKind,
    /// `docker`, `containerd`, `cri-o` or `podman`.
    pub runtime: Option<String>,
    /// Full container ID.
    pub container_id: Option<String>,
    /// ID of the container inside which it runs, whose usage includes this one's.
    pub outer_container: Option<String>,
    /// The name that the runtime keeps; for CRI the container ID.
    pub runtime_name: Option<String>,
    /// Path below the cgroup hierarchy's root.
    pub cgroup: String,
    /// Image as it was asked for.
    pub image: Option<String>,
    /// Labels that the runtime keeps.
    pub labels: BTreeMap<String, String>,
    /// Process ID of its init in the agent's PID namespace.
    pub pid: Option<u32>,
    /// True when it shares the host's network.
    pub host_network: Option<bool>,
    /// Result of the runtime's health check, if it has one.
    pub healthy: Option<bool>,
    /// When the container was created (without metadata: its cgroup), RFC 3339.
    pub created_at: Option<String>,
    /// When its process was started, RFC 3339.
    pub started_at: Option<String>,
    /// False when its last process has ended.
    pub alive: bool,
    /// When its files were read, RFC 3339; for those that are gone, the last time.
    pub read_at: String,
    /// How long before the instant that is shown that was, in seconds; null for those that are gone.
    pub age_seconds: Option<f64>,
    /// How often it was started again; null in the past, because the ring does not keep it.
    pub restarts: Option<u64>,
    /// Processes that the OOM killer killed, in this container and in those before it of the same name; null in the
    /// past, where `memory.events` still tells this container's own.
    pub oom_kills: Option<u64>,
    /// How the ones before it ended; empty in the past.
    pub exits: Vec<Exit>,
    /// CPU.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Block devices; null when it never used one.
    pub io: Option<Io>,
    /// Network; null when nothing is known about it.
    pub network: Option<Network>,
    /// Pressure (PSI).
    pub pressure: Pressure,
    /// Processes and threads.
    pub pids: Pids,
    /// The instant that `at` asked for, RFC 3339. Only in the answer about one container of the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How finely history is kept at this tick: `tick`, `10s` or `1m`. Only in the answer about one container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
}

/// How often a container ended in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exit {
    /// Exit status: 128 + signal when killed.
    pub code: i32,
    /// The runtime's word: `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// How often.
    pub count: u64,
}

impl Container {
    pub(super) fn read(scene: &Scene<'_>, cgroup: &Cgroup<'_>) -> Self {
        let Cgroup { subject, workload, reading, alive } = cgroup;
        let tally = scene.tally(workload);
        let memory = Memory::read(reading);
        let exits = tally.into_iter().flat_map(|tally| &tally.exits);
        Self {
            alive: *alive,
            read_at: rfc3339(scene.wall_of(reading.row.read_at)),
            age_seconds: Some(scene.age_seconds(reading.row.read_at)),
            restarts: tally.map(|tally| tally.restarts).or_else(|| told_restarts(scene, workload)),
            oom_kills: tally
                .map(|tally| tally.oom_kills)
                .or_else(|| memory.events.oom_kill.filter(|_| !scene.is_past())),
            healthy: metadata(workload).and_then(|metadata| metadata.healthy).filter(|_| !scene.is_past()),
            exits: exits
                .map(|((code, reason), count)| Exit { code: *code, reason: reason.to_string(), count: *count })
                .collect(),
            cpu: Cpu::read(reading),
            memory,
            io: scene.io(subject.id),
            network: scene.network(subject.id, workload),
            pressure: Pressure::of_cgroup(reading),
            pids: Pids::read(reading),
            ..Self::who(subject, workload, scene.sample().wall)
        }
    }

    /// Its identity only, for one that is gone.
    fn who(subject: &Subject, workload: &Workload, last_wall: UnixNanos) -> Self {
        let identity = &workload.identity;
        let told = metadata(workload);
        let runtime = told.and_then(|metadata| metadata.runtime).or(identity.runtime);
        let created_at = told.and_then(|metadata| metadata.created_at).unwrap_or(workload.created_at);
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        Self {
            id: id_of(subject, workload),
            name: name_of(workload).to_owned(),
            namespace: told.and_then(|metadata| metadata.namespace.clone()),
            pod: told.and_then(|metadata| metadata.pod.clone()),
            pod_uid: pod_uid(workload).map(str::to_owned),
            qos: identity.qos.map(qos_word).map(str::to_owned),
            kind: ContainerKind::of(workload.kind()),
            runtime: runtime.map(|runtime| runtime.as_str().to_owned()),
            container_id: identity.container_id.as_deref().map(str::to_owned),
            outer_container: identity.outer_container.as_deref().map(str::to_owned),
            runtime_name: told.and_then(|metadata| text(&metadata.name)),
            cgroup: identity.path.to_string(),
            image: told.and_then(|metadata| text(&metadata.image)),
            labels: told.map(|metadata| metadata.labels.clone()).unwrap_or_default(),
            pid: told.and_then(|metadata| metadata.pid),
            host_network: told.map(|metadata| metadata.host_network),
            healthy: told.and_then(|metadata| metadata.healthy),
            created_at: (created_at.0 > 0).then(|| rfc3339(created_at)),
            started_at: told.and_then(|metadata| metadata.started_at).map(rfc3339),
            alive: false,
            read_at: rfc3339(last_wall),
            age_seconds: None,
            restarts: None,
            oom_kills: None,
            exits: Vec::new(),
            cpu: Cpu::default(),
            memory: Memory::default(),
            io: None,
            network: None,
            pressure: Pressure::default(),
            pids: Pids::default(),
            at: None,
            resolution: None,
        }
    }
}

/// What to put into a path.
pub(super) fn id_of(subject: &Subject, workload: &Workload) -> String {
    match &workload.identity.container_id {
        Some(id) => id.to_string(),
        None => percent_encode(&subject.name),
    }
}

/// Which containers a request wants to see.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Filter {
    kinds: Option<Vec<ContainerKind>>,
    namespace: Option<String>,
    pod: Option<String>,
    name: Option<String>,
    gone: bool,
}

impl Filter {
    pub(super) const PARAMETERS: [&'static str; 6] = ["all", "kind", "namespace", "pod", "name", "gone"];

    /// Reads the filter; `beside` names the endpoint's other parameters.
    pub(super) fn parse(query: &Query, beside: &[&str]) -> Result<Self, Problem> {
        query.only(&[&Self::PARAMETERS, beside].concat())?;
        let kinds = match (query.get("kind"), query.flag("all")?) {
            (Some(words), _) => Some(words.split(',').map(kind_of_word).collect::<Result<_, _>>()?),
            (None, true) => None,
            (None, false) => Some(vec![ContainerKind::Container]),
        };
        let text = |name| query.get(name).map(str::to_owned);
        Ok(Self {
            kinds,
            namespace: text("namespace"),
            pod: text("pod"),
            name: text("name"),
            gone: query.flag("gone")?,
        })
    }

    fn wants(&self, workload: &Workload) -> bool {
        let told = metadata(workload);
        let is = |wanted: &Option<String>, known: Option<&str>| match wanted {
            None => true,
            Some(wanted) => known == Some(wanted),
        };
        let kind = ContainerKind::of(workload.kind());
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
            && is(&self.namespace, told.and_then(|metadata| metadata.namespace.as_deref()))
            && is(&self.pod, told.and_then(|metadata| metadata.pod.as_deref()))
            && (is(&self.name, Some(name_of(workload))) || is(&self.name, told.map(|metadata| metadata.name.as_str())))
    }
}

fn kind_of_word(word: &str) -> Result<ContainerKind, Problem> {
    let known = ContainerKind::NAMED.iter().find(|(name, _)| *name == word.trim());
    known.map(|(_, kind)| *kind).ok_or_else(|| {
        let words: Vec<_> = ContainerKind::NAMED.iter().map(|(name, _)| *name).collect();
        Problem::bad_parameter(format!("there is no kind '{word}'; write one or more of {}", words.join(",")))
    })
}

/// All containers that pass the filter.
pub(super) fn list(scene: &Scene<'_>, store: &Store, filter: &Filter) -> ContainerList {
    let sample = scene.sample();
    let mut containers: Vec<Container> = wanted(scene, filter).map(|cgroup| Container::read(scene, &cgroup)).collect();
    if filter.gone {
        let living: HashSet<SubjectId> =
            sample.roster.subjects(Table::Cgroup).iter().map(|subject| subject.id).collect();
        let remembered = store.remembered();
        // Who came later than the moment that is shown is not gone at it.
        let by_then = remembered.iter().filter(|known| !scene.is_past() || known.last_wall < sample.wall);
        containers.extend(gone(by_then, &living, filter));
    }
    containers.sort_by(|a, b| (&a.namespace, &a.pod, &a.name, &a.id).cmp(&(&b.namespace, &b.pod, &b.name, &b.id)));
    ContainerList {
        node: sample.machine.node_name.clone(),
        read_at: rfc3339(sample.wall),
        at: scene.at(),
        resolution: scene.resolution(),
        containers,
    }
}

/// The cgroups that pass the filter.
pub(super) fn wanted<'a>(scene: &Scene<'a>, filter: &Filter) -> impl Iterator<Item = Cgroup<'a>> {
    scene.cgroups().filter(|cgroup| filter.wants(cgroup.workload))
}

/// One container by its subject; only what is remembered of it when it is gone.
pub(super) fn one(scene: &Scene<'_>, store: &Store, subject: &Subject) -> Result<Container, Problem> {
    if let Some(cgroup) = scene.cgroups().find(|cgroup| cgroup.subject.id == subject.id) {
        let (at, resolution) = (scene.at(), scene.resolution());
        return Ok(Container { at, resolution, ..Container::read(scene, &cgroup) });
    }
    let remembered = store.remembered();
    let known = remembered.iter().find(|known| known.subject.id == subject.id);
    if let (Some(at), Some(known)) = (scene.at(), known)
        && known.last_wall >= scene.sample().wall
    {
        return Err(Problem::unknown_container(format!(
            "it was not there at {at}; it was last read at {}. Ask for its history to see since when",
            rfc3339(known.last_wall)
        )));
    }
    known
        .and_then(|known| Some(Container::who(&known.subject, known.subject.workload.as_deref()?, known.last_wall)))
        .ok_or_else(|| Problem::unknown_container("it has just aged out of the ring; list the containers again".into()))
}

/// Those that the ring remembers and that are not in the tick.
fn gone<'a>(
    remembered: impl Iterator<Item = &'a Remembered>,
    living: &HashSet<SubjectId>,
    filter: &Filter,
) -> Vec<Container> {
    let cgroups = remembered.filter(|known| known.subject.table == Table::Cgroup);
    let gone = cgroups.filter(|known| !living.contains(&known.subject.id));
    gone.filter_map(|known| {
        let workload = known.subject.workload.as_deref().filter(|workload| filter.wants(workload))?;
        Some(Container::who(&known.subject, workload, known.last_wall))
    })
    .collect()
}
