//! `GET /api/v1/diff`: what changed between two moments.
//!
//! In: two [`Scene`]s. Out: a [`Diff`]: for the node and each container the numbers at both moments and the change, the
//! largest change first. Containers are matched by identity; one that was replaced by a newer one of the same name in
//! the same pod is one line. Next: `view/http`, `view/top`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::SubjectId;

use super::container::{Container, ContainerKind, Filter, wanted};
use super::node::{Disk, Node};
use super::parts::{Pressure, sum};
use super::problem::{Problem, nearest};
use super::scene::Scene;
use super::time::rfc3339;
use super::traffic::InterfaceTraffic;

/// Two moments and what changed between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Diff {
    /// Name of the node.
    pub node: String,
    /// What was compared with.
    pub from: DiffMoment,
    /// What was compared.
    pub to: DiffMoment,
    /// The node's own numbers.
    pub node_usage: UsageChange,
    /// The largest change first, in either direction; what is not known at one of the moments comes last.
    pub containers: Vec<ContainerChange>,
}

/// One of the two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffMoment {
    /// When its tick began, RFC 3339.
    pub read_at: String,
    /// The instant that was asked for, RFC 3339; null when it is the newest tick.
    pub at: Option<String>,
    /// How finely history is kept at this tick: `tick`, `10s` or `1m`.
    pub resolution: Option<String>,
}

/// What became of a container between the two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was there at both.
    Stayed,
    /// It was there at `to` only.
    Came,
    /// It was there at `from` only.
    Went,
    /// It went, and another one of the same name in the same pod came.
    Replaced,
}

/// One container, or another cgroup, at both moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContainerChange {
    /// For `/api/v1/containers/{id}`; of a replaced one the one at `to`.
    pub id: String,
    /// Of a replaced one the one at `from`.
    pub replaced_id: Option<String>,
    /// Name inside its pod, else the runtime's name, else the last part of the cgroup path.
    pub name: String,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Kubernetes pod.
    pub pod: Option<String>,
    /// What kind of cgroup it is.
    pub kind: ContainerKind,
    /// Path below the cgroup hierarchy's root.
    pub cgroup: String,
    /// What became of it.
    pub fate: Fate,
    /// Its numbers.
    pub usage: UsageChange,
}

/// One number at both moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// At `from`; null when it is not known or nobody was there.
    pub from: Option<f64>,
    /// At `to`.
    pub to: Option<f64>,
    /// `to` without `from`. A container that was not there used nothing; what is not known of one that was there makes
    /// this null.
    pub change: Option<f64>,
}

/// Numbers at both moments. Rates are over the interval before each moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageChange {
    /// CPU used, in cores.
    pub cpu_cores: Change,
    /// Share of the quota's periods in which it was throttled, 0 to 1; null for the node.
    pub throttled_ratio: Change,
    /// Working set; of the node the total without what is available.
    pub memory_bytes: Change,
    /// Bytes read from block devices per second; of the node from whole disks.
    pub read_bytes_per_second: Change,
    /// Bytes written to block devices per second.
    pub written_bytes_per_second: Change,
    /// Bytes received per second; of the node over the interfaces that lead out of it.
    pub rx_bytes_per_second: Change,
    /// Bytes sent per second.
    pub tx_bytes_per_second: Change,
    /// Percent of the last 10 s in which a task waited for a CPU.
    pub cpu_pressure_percent: Change,
    /// For memory.
    pub memory_pressure_percent: Change,
    /// For a block device.
    pub io_pressure_percent: Change,
    /// Processes and threads.
    pub pids: Change,
    /// Processes that the OOM killer killed since the cgroup was made; of the node since boot.
    pub oom_kills: Change,
}

impl UsageChange {
    /// Bytes read and written per second.
    #[must_use]
    pub fn io(&self) -> Change {
        self.read_bytes_per_second.plus(self.written_bytes_per_second)
    }

    /// Bytes received and sent per second.
    #[must_use]
    pub fn network(&self) -> Change {
        self.rx_bytes_per_second.plus(self.tx_bytes_per_second)
    }

    /// The pressure that changed most.
    #[must_use]
    pub fn pressure(&self) -> Change {
        let all = [self.cpu_pressure_percent, self.memory_pressure_percent, self.io_pressure_percent];
        all.into_iter().reduce(|most, one| if one.size() > most.size() { one } else { most }).unwrap_or_default()
    }
}

impl Change {
    /// Of one that was there at both moments.
    fn between(from: Option<f64>, to: Option<f64>) -> Self {
        Self { from, to, change: from.zip(to).map(|(from, to)| to - from) }
    }

    /// The sum of two numbers; an unknown one adds nothing to a known one.
    fn plus(self, other: Self) -> Self {
        let add = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        Self { from: add(self.from, other.from), to: add(self.to, other.to), change: add(self.change, other.change) }
    }

    /// How large the change is, in either direction.
    #[must_use]
    pub fn size(&self) -> Option<f64> {
        self.change.map(f64::abs)
    }
}

/// What the containers are sorted by.
#[derive(Debug, Clone, Copy)]
pub(super) enum DiffSort {
    By(fn(&UsageChange) -> Change),
    Name,
}

impl DiffSort {
    pub(super) const WORDS: [(&'static str, Self); 9] = [
        ("cpu", Self::By(|usage| usage.cpu_cores)),
        ("memory", Self::By(|usage| usage.memory_bytes)),
        ("io", Self::By(UsageChange::io)),
        ("net", Self::By(UsageChange::network)),
        ("throttled", Self::By(|usage| usage.throttled_ratio)),
        ("pressure", Self::By(UsageChange::pressure)),
        ("pids", Self::By(|usage| usage.pids)),
        ("oom_kills", Self::By(|usage| usage.oom_kills)),
        ("name", Self::Name),
    ];

    pub(super) fn parse(word: Option<&str>) -> Result<Self, Problem> {
        let word = word.unwrap_or("cpu");
        let known = Self::WORDS.into_iter().find(|(name, _)| *name == word);
        known.map(|(_, sort)| sort).ok_or_else(|| {
            let words = Self::WORDS.map(|(name, _)| name);
            let hint = nearest(word, words).map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            Problem::bad_parameter(format!("sort={word} is not known{hint} Known are: {}", words.join(", ")))
        })
    }

    fn order(self, a: &ContainerChange, b: &ContainerChange) -> Ordering {
        let by_name = (&a.namespace, &a.pod, &a.name, &a.id).cmp(&(&b.namespace, &b.pod, &b.name, &b.id));
        let Self::By(number) = self else { return by_name };
        match (number(&a.usage).size(), number(&b.usage).size()) {
            (Some(a), Some(b)) => b.total_cmp(&a).then(by_name),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => by_name,
        }
    }
}

/// The numbers of one moment, in the order of [`changes`].
type Numbers = [Option<f64>; NUMBERS];

const NUMBERS: usize = 12;

fn changes(of: impl FnMut(usize) -> Change) -> UsageChange {
    let [
        cpu_cores,
        throttled_ratio,
        memory_bytes,
        read_bytes_per_second,
        written_bytes_per_second,
        rx_bytes_per_second,
        tx_bytes_per_second,
        cpu_pressure_percent,
        memory_pressure_percent,
        io_pressure_percent,
        pids,
        oom_kills,
    ]: [Change; NUMBERS] = std::array::from_fn(of);
    UsageChange {
        cpu_cores,
        throttled_ratio,
        memory_bytes,
        read_bytes_per_second,
        written_bytes_per_second,
        rx_bytes_per_second,
        tx_bytes_per_second,
        cpu_pressure_percent,
        memory_pressure_percent,
        io_pressure_percent,
        pids,
        oom_kills,
    }
}

fn between(from: &Numbers, to: &Numbers) -> UsageChange {
    let at = |numbers: &Numbers, index: usize| numbers.get(index).copied().flatten();
    changes(|index| Change::between(at(from, index), at(to, index)))
}

/// Of one that came.
fn from_nothing(to: &Numbers) -> UsageChange {
    changes(|index| {
        let to = to.get(index).copied().flatten();
        Change { from: None, to, change: to }
    })
}

/// Of one that went.
fn to_nothing(from: &Numbers) -> UsageChange {
    changes(|index| {
        let from = from.get(index).copied().flatten();
        Change { from, to: None, change: from.map(|from| -from) }
    })
}

fn whole(number: Option<u64>) -> Option<f64> {
    number.map(|number| number as f64)
}

fn stalls(pressure: &Pressure) -> [Option<f64>; 3] {
    [&pressure.cpu, &pressure.memory, &pressure.io].map(|stall| stall.some.avg10_percent)
}

fn of_container(container: &Container) -> Numbers {
    let io = container.io.as_ref().map(|io| &io.total);
    let network = container.network.as_ref().map(|network| &network.total);
    let [cpu, memory, block] = stalls(&container.pressure);
    [
        container.cpu.usage_cores,
        container.cpu.throttled_ratio,
        whole(container.memory.working_set_bytes),
        io.and_then(|io| io.read_bytes_per_second),
        io.and_then(|io| io.written_bytes_per_second),
        network.and_then(|network| network.rx_bytes_per_second),
        network.and_then(|network| network.tx_bytes_per_second),
        cpu,
        memory,
        block,
        whole(container.pids.current),
        whole(container.memory.events.oom_kill),
    ]
}

fn of_node(node: &Node) -> Numbers {
    let disks = |rate: fn(&Disk) -> Option<f64>| sum(node.disks.iter().filter(|disk| disk.is_whole()).map(rate));
    let uplinks = |rate: fn(&InterfaceTraffic) -> Option<f64>| {
        sum(node.interfaces.iter().filter(|interface| interface.is_uplink()).map(rate))
    };
    let [cpu, memory, block] = stalls(&node.pressure);
    [
        node.cpu.usage_cores,
        None,
        whole(node.memory.used_bytes),
        disks(|disk| disk.counters.read_bytes_per_second),
        disks(|disk| disk.counters.written_bytes_per_second),
        uplinks(|interface| interface.counters.rx_bytes_per_second),
        uplinks(|interface| interface.counters.tx_bytes_per_second),
        cpu,
        memory,
        block,
        whole(node.processes.tasks),
        whole(node.memory.oom_kills),
    ]
}

/// What one moment gives.
#[derive(Debug)]
pub(super) struct Side {
    node: Node,
    moment: DiffMoment,
    containers: HashMap<SubjectId, Container>,
}

impl Side {
    pub(super) fn read(scene: &Scene<'_>, filter: &Filter) -> Self {
        let moment =
            DiffMoment { read_at: rfc3339(scene.sample().wall), at: scene.at(), resolution: scene.resolution() };
        let containers =
            wanted(scene, filter).map(|cgroup| (cgroup.subject.id, Container::read(scene, &cgroup))).collect();
        Self { node: super::node::read(scene, super::StoreState::default()), moment, containers }
    }
}

/// Compares two moments.
pub(super) fn diff(from: Side, mut to: Side, sort: DiffSort) -> Diff {
    let node_usage = between(&of_node(&from.node), &of_node(&to.node));
    let mut lines = Vec::new();
    let mut went = Vec::new();
    for (id, before) in from.containers {
        match to.containers.remove(&id) {
            Some(after) => {
                lines.push(line(&after, Fate::Stayed, between(&of_container(&before), &of_container(&after))))
            }
            None => went.push(before),
        }
    }
    // Those of one name in one pod, in the order in which they came: the last of them is the one that was replaced.
    went.sort_by(|a, b| a.created_at.cmp(&b.created_at));
    let mut by_name: BTreeMap<(String, String, String), Container> = BTreeMap::new();
    for before in went {
        let gone = match name_in_pod(&before) {
            Some(name) => by_name.insert(name, before),
            None => Some(before),
        };
        lines.extend(gone.map(|gone| line(&gone, Fate::Went, to_nothing(&of_container(&gone)))));
    }
    let mut came: Vec<_> = to.containers.into_values().collect();
    came.sort_by(|a, b| a.created_at.cmp(&b.created_at).reverse());
    for after in came {
        lines.push(match name_in_pod(&after).and_then(|name| by_name.remove(&name)) {
            Some(before) => {
                let usage = between(&of_container(&before), &of_container(&after));
                ContainerChange { replaced_id: Some(before.id), ..line(&after, Fate::Replaced, usage) }
            }
            None => line(&after, Fate::Came, from_nothing(&of_container(&after))),
        });
    }
    lines.extend(by_name.into_values().map(|gone| line(&gone, Fate::Went, to_nothing(&of_container(&gone)))));
    lines.sort_by(|a, b| sort.order(a, b));
    Diff { node: to.node.name, from: from.moment, to: to.moment, node_usage, containers: lines }
}

/// Namespace, pod and name of a container of a pod.
fn name_in_pod(container: &Container) -> Option<(String, String, String)> {
    if container.kind != ContainerKind::Container {
        return None;
    }
    Some((container.namespace.clone()?, container.pod.clone()?, container.name.clone()))
}

fn line(container: &Container, fate: Fate, usage: UsageChange) -> ContainerChange {
    ContainerChange {
        id: container.id.clone(),
        replaced_id: None,
        name: container.name.clone(),
        namespace: container.namespace.clone(),
        pod: container.pod.clone(),
        kind: container.kind,
        cgroup: container.cgroup.clone(),
        fate,
        usage,
    }
}
