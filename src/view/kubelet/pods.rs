//! The newest tick, arranged as the kubelet tells it: the node, its services, its pods and their containers.
//!
//! In: a [`Pair`] of samples. Out: [`Seen`]. Who has ended is not in it, and neither is a pod or a container whose name no
//! runtime has told yet: the kubelet shows running containers by name. Next: [`resource`](super::resource),
//! [`summary`](super::summary).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::sample::catalogue::Table;
use crate::sample::derived::{network_preference, pod_uid};
use crate::sample::row::RowRef;
use crate::sample::{CgroupKind, NodeSample, Subject, SubjectId, Workload};
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::rates::{Pair, Reading};

/// One cgroup of the tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cgroup<'a> {
    pub subject: &'a Arc<Subject>,
    pub workload: &'a Workload,
    pub reading: Reading<'a>,
}

impl Cgroup<'_> {
    /// When its process was started: the runtime's word, else when it was made.
    pub fn started_at(&self) -> UnixNanos {
        let metadata = self.workload.metadata.as_deref();
        let told = metadata.and_then(|metadata| metadata.started_at.or(metadata.created_at));
        told.unwrap_or(self.workload.created_at)
    }
}

/// One pod.
#[derive(Debug)]
pub(super) struct PodSeen<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    /// The pod's cgroup.
    pub own: Option<Cgroup<'a>>,
    /// Its containers, by name.
    pub containers: Vec<(&'a str, Cgroup<'a>)>,
    /// When its sandbox was made.
    pub started_at: Option<UnixNanos>,
    /// Whether it is in the host's network namespace.
    pub host_network: bool,
    /// The cgroup that its network is counted at.
    pub network: Option<SubjectId>,
}

/// What one tick says.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub sample: &'a NodeSample,
    /// The root cgroup.
    pub root: Option<Cgroup<'a>>,
    /// The node's own row.
    pub node: Option<Reading<'a>>,
    /// By namespace and name.
    pub pods: Vec<PodSeen<'a>>,
    /// Services of the node that the kubelet knows by a name.
    pub services: BTreeMap<&'static str, Cgroup<'a>>,
    interfaces: HashMap<Option<SubjectId>, Vec<(&'a Arc<Subject>, Reading<'a>)>>,
}

#[derive(Default)]
struct Gathering<'a> {
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    own: Option<Cgroup<'a>>,
    containers: BTreeMap<&'a str, Cgroup<'a>>,
    started_at: Option<UnixNanos>,
    host_network: bool,
    network: Option<(u8, SubjectId)>,
}

/// The kubelet's word for a cgroup of the node's own.
fn service(path: &str) -> Option<&'static str> {
    match path.rsplit('/').next()? {
        "kubepods" | "kubepods.slice" | "kubelet-kubepods.slice" => Some("pods"),
        "kubelet.service" => Some("kubelet"),
        "containerd.service" | "crio.service" | "docker.service" => Some("runtime"),
        _ => None,
    }
}

impl<'a> Seen<'a> {
    /// Arranges the newest tick of `pair`. A cgroup that was not there at the earlier one has the reading of `recent`, a
    /// pair with the same newest tick.
    pub fn new(pair: &Pair<'a>, recent: &Pair<'a>) -> Self {
        let sample = pair.newest();
        let mut interfaces: HashMap<_, Vec<_>> = HashMap::new();
        for (subject, reading) in pair.iter(Table::Interface) {
            interfaces.entry(subject.owner).or_default().push((subject, reading));
        }
        let (mut root, mut services) = (None, BTreeMap::new());
        let mut pods: BTreeMap<&str, Gathering<'_>> = BTreeMap::new();
        let recent = recent.iter(Table::Cgroup).map(|(_, reading)| reading.before);
        for (row, ((subject, reading), recent)) in pair.iter(Table::Cgroup).zip(recent).enumerate() {
            let reading = Reading { before: reading.before.or(recent), ..reading };
            let Some(workload) = subject.workload.as_deref() else { continue };
            if sample.final_rows.binary_search(&row).is_ok() {
                continue;
            }
            let cgroup = Cgroup { subject, workload, reading };
            let kind = workload.kind();
            if kind == CgroupKind::Root {
                root = Some(cgroup);
            }
            let of_the_node = workload.identity.outer_container.is_none();
            if let Some(service) = service(&workload.identity.path).filter(|_| of_the_node && !is_of_pod(kind)) {
                services.entry(service).or_insert(cgroup);
            }
            if let Some(uid) = pod_uid(workload).filter(|_| is_of_pod(kind)) {
                let counted = interfaces.contains_key(&Some(subject.id));
                pods.entry(uid).or_default().add(cgroup, kind, counted);
            }
        }
        let mut pods: Vec<_> = pods.into_iter().filter_map(|(uid, pod)| pod.named(uid)).collect();
        pods.sort_by_key(|pod| (pod.namespace, pod.name, pod.uid));
        let node = pair.iter(Table::Node).next().map(|(_, reading)| reading);
        Self { sample, root, node, pods, services, interfaces }
    }

    /// The wall clock of a reading: the tick's, and how much earlier or later it was made.
    pub fn wall_of(&self, read_at: MonotonicNanos) -> UnixNanos {
        let sample = self.sample;
        let later = sample.wall.0.saturating_add(read_at.since(sample.started_at));
        UnixNanos(later.saturating_sub(sample.started_at.since(read_at)))
    }

    /// The interfaces of a cgroup's network namespace, or of the host's: those that lead out of it.
    pub fn interfaces(&self, owner: Option<SubjectId>) -> impl Iterator<Item = &(&'a Arc<Subject>, Reading<'a>)> {
        // As cAdvisor does: these are inside the machine.
        const INSIDE: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];
        let interfaces = self.interfaces.get(&owner).into_iter().flatten();
        interfaces.filter(|(subject, _)| !INSIDE.iter().any(|prefix| subject.name.starts_with(prefix)))
    }

    /// The filesystem that is mounted nearest above a path.
    pub fn filesystem_of(&self, path: &str) -> Option<RowRef<'a>> {
        let above = |mount: &str| {
            let rest = path.strip_prefix(mount.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mounts = self.sample.iter(Table::Filesystem).filter(|(mount, _)| above(&mount.name));
        mounts.max_by_key(|(mount, _)| mount.name.len()).map(|(_, row)| row)
    }
}

const fn is_of_pod(kind: CgroupKind) -> bool {
    matches!(kind, CgroupKind::Pod | CgroupKind::Sandbox | CgroupKind::Container)
}

impl<'a> Gathering<'a> {
    fn add(&mut self, cgroup: Cgroup<'a>, kind: CgroupKind, has_interfaces: bool) {
        let metadata = cgroup.workload.metadata.as_deref();
        self.namespace = self.namespace.or(metadata.and_then(|metadata| metadata.namespace.as_deref()));
        self.name = self.name.or(metadata.and_then(|metadata| metadata.pod.as_deref()));
        self.host_network |= metadata.is_some_and(|metadata| metadata.host_network);
        if has_interfaces {
            let candidate = (network_preference(kind), cgroup.subject.id);
            self.network = Some(self.network.map_or(candidate, |chosen| chosen.min(candidate)));
        }
        match (kind, metadata.and_then(|metadata| metadata.container.as_deref())) {
            (CgroupKind::Container, Some(name)) => {
                // While a container is replaced both may be there: the one that was started last is the one.
                let newest = self.containers.entry(name).or_insert(cgroup);
                if newest.started_at() < cgroup.started_at() {
                    *newest = cgroup;
                }
            }
            // A container that nobody has named yet says nothing about the pod.
            (CgroupKind::Container, None) => {}
            (kind, _) => {
                if kind == CgroupKind::Pod {
                    self.own = Some(cgroup);
                }
                let started_at = Some(cgroup.started_at()).filter(|at| at.0 > 0);
                self.started_at = match (self.started_at, started_at) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
        }
    }

    fn named(self, uid: &'a str) -> Option<PodSeen<'a>> {
        Some(PodSeen {
            namespace: self.namespace?,
            name: self.name?,
            uid,
            own: self.own,
            containers: self.containers.into_iter().collect(),
            started_at: self.started_at,
            host_network: self.host_network,
            network: self.network.map(|(_, id)| id),
        })
    }
}
