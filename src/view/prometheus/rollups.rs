//! Sums over the containers of this node: per namespace, and per workload where the API server told the owner.
//!
//! In: every tick's sample. Out: counters that never go back when containers end, because what a container counted is
//! added as it grows, and gauges of those who live. Counters begin at 0 with the agent, so that its restart is not
//! taken for growth: of a container that is older than the agent only what it counts from then on is added. An owner is
//! never guessed from a pod's name. At most [`MAX_GROUPS`] groups; what would make another one is counted as left out.
//! Fed outside the sampling thread. Next: [`encoder`](super::encoder).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::sample::catalogue::{CgroupColumn, Table};
use crate::sample::derived::working_set_bytes;
use crate::sample::{CgroupKind, Metadata, NodeSample, Owner, Subject, SubjectId, Tally, TallyKey};
use crate::units::UnixNanos;

/// Most namespaces and workloads together.
pub const MAX_GROUPS: usize = 4096;

/// The sums of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// CPU time in microseconds (counter).
    pub cpu_usage_usec: u64,
    /// Containers started again (counter).
    pub restarts: u64,
    /// Processes killed by the OOM killer (counter).
    pub oom_kills: u64,
    /// Bytes received by pods with a network of their own, from the second tick that saw their interface (counter).
    pub receive_bytes: u64,
    /// Bytes sent by them (counter).
    pub transmit_bytes: u64,
    /// Working sets of the containers that live (gauge).
    pub working_set_bytes: u64,
    /// Containers that live (gauge).
    pub containers: u64,
}

/// The sums of one namespace.
#[derive(Debug, Clone, Default)]
pub struct Namespace {
    /// Over everything in it.
    pub sums: Sums,
    /// Over the pods of each owner that is known.
    pub owners: BTreeMap<Arc<Owner>, Sums>,
}

/// All sums at one tick, by namespace. Cheap to clone.
pub type Summed = Arc<BTreeMap<Arc<str>, Namespace>>;

/// What one tally had counted when it was last seen.
#[derive(Debug)]
struct Counted {
    /// CPU time, restarts, OOM kills.
    values: [u64; 3],
    tick: u64,
}

#[derive(Debug)]
struct PodOwner {
    owner: Arc<Owner>,
    tick: u64,
}

/// Keeps the sums.
#[derive(Debug, Default)]
pub struct Rollups {
    began: Option<UnixNanos>,
    groups: Summed,
    count: usize,
    left_out: u64,
    counted: HashMap<TallyKey, Counted>,
    /// Who owns a pod, by namespace and name: its tallies outlive its containers.
    owners: HashMap<Arc<str>, HashMap<Arc<str>, PodOwner>>,
    /// CPU time of the containers of this tick, and whether they are younger than this agent.
    living: HashMap<SubjectId, (u64, bool)>,
}

/// Where what is Kubernetes' stands: the namespace.
fn namespace_of(metadata: &Metadata) -> Option<&str> {
    metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty())
}

impl Rollups {
    /// The sums as they are now.
    #[must_use]
    pub fn summed(&self) -> Summed {
        Arc::clone(&self.groups)
    }

    /// How often something was left out because there are too many groups.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Adds what an interface of a pod has received and sent since the last tick.
    pub fn network(&mut self, subject: &Subject, [received, sent]: [u64; 2]) {
        let Some(metadata) = subject.workload.as_ref().and_then(|workload| workload.metadata.as_deref()) else {
            return;
        };
        if metadata.host_network || (received == 0 && sent == 0) {
            return;
        }
        let Some(namespace) = namespace_of(metadata) else { return };
        self.add(namespace, metadata.owner.as_ref(), |sums| {
            sums.receive_bytes = sums.receive_bytes.saturating_add(received);
            sums.transmit_bytes = sums.transmit_bytes.saturating_add(sent);
        });
    }

    /// Takes in a tick.
    pub fn observe(&mut self, sample: &NodeSample) {
        let began = *self.began.get_or_insert(sample.wall);
        for namespace in Arc::make_mut(&mut self.groups).values_mut() {
            for sums in namespace.owners.values_mut().chain([&mut namespace.sums]) {
                (sums.working_set_bytes, sums.containers) = (0, 0);
            }
        }
        self.living.clear();
        for (subject, row) in sample.iter(Table::Cgroup) {
            let Some(workload) = &subject.workload else { continue };
            let Some(metadata) = workload.metadata.as_deref() else { continue };
            let Some(namespace) = namespace_of(metadata).filter(|_| workload.kind() == CgroupKind::Container) else {
                continue;
            };
            let born = metadata.started_at.unwrap_or(workload.created_at);
            self.living.insert(subject.id, (row.value(CgroupColumn::CpuUsageUsec).unwrap_or(0), born >= began));
            if let (Some(owner), Some(pod)) = (&metadata.owner, metadata.pod.as_deref()) {
                self.owned(namespace, pod, owner, sample.tick);
            }
            let bytes = working_set_bytes(&row, false).unwrap_or(0);
            self.add(namespace, metadata.owner.as_ref(), |sums| {
                sums.working_set_bytes = sums.working_set_bytes.saturating_add(bytes);
                sums.containers += 1;
            });
        }
        for (key, tally) in sample.tallies.entries.iter().filter(|(key, _)| !key.namespace.is_empty()) {
            self.take(key, tally, sample.tick);
        }
        self.forget(sample.tick);
    }

    /// Adds what a tally has grown by. One that falls (a row that could not be read) adds nothing until it is back.
    fn take(&mut self, key: &TallyKey, tally: &Tally, tick: u64) {
        let living = || tally.living.iter().filter_map(|id| self.living.get(id));
        let usec = tally.ended_cpu_usage_usec.saturating_add(living().map(|(usec, _)| usec).sum());
        let now = [usec, tally.restarts, tally.oom_kills];
        let counted = match self.counted.get_mut(key) {
            Some(counted) => counted,
            None => {
                // Whom this agent did not see begin counts from now on, restarts in any case.
                let values = if living().all(|(_, young)| *young) { [0, tally.restarts, 0] } else { now };
                self.counted.entry(key.clone()).or_insert(Counted { values, tick })
            }
        };
        let mut grown = [0; 3];
        for (grown, (now, before)) in grown.iter_mut().zip(now.iter().zip(&mut counted.values)) {
            *grown = now.saturating_sub(*before);
            *before = (*before).max(*now);
        }
        counted.tick = tick;
        let known = self.owners.get_mut(&key.namespace).and_then(|pods| pods.get_mut(&key.pod));
        let owner = known.map(|known| {
            known.tick = tick;
            Arc::clone(&known.owner)
        });
        let [usec, restarts, kills] = grown;
        self.add(&key.namespace, owner.as_ref(), |sums| {
            sums.cpu_usage_usec = sums.cpu_usage_usec.saturating_add(usec);
            sums.restarts = sums.restarts.saturating_add(restarts);
            sums.oom_kills = sums.oom_kills.saturating_add(kills);
        });
    }

    fn owned(&mut self, namespace: &str, pod: &str, owner: &Arc<Owner>, tick: u64) {
        let pods = match self.owners.get_mut(namespace) {
            Some(pods) => pods,
            None => self.owners.entry(namespace.into()).or_default(),
        };
        match pods.get_mut(pod) {
            Some(known) if known.owner == *owner => known.tick = tick,
            _ => {
                pods.insert(pod.into(), PodOwner { owner: Arc::clone(owner), tick });
            }
        }
    }

    /// Changes the sums of a namespace and, if it is known, of the owner.
    fn add(&mut self, namespace: &str, owner: Option<&Arc<Owner>>, change: impl Fn(&mut Sums)) {
        let groups = Arc::make_mut(&mut self.groups);
        if !groups.contains_key(namespace) {
            if self.count >= MAX_GROUPS {
                self.left_out += 1;
                return;
            }
            self.count += 1;
            groups.insert(namespace.into(), Namespace::default());
        }
        let Some(group) = groups.get_mut(namespace) else { return };
        change(&mut group.sums);
        let Some(owner) = owner else { return };
        match group.owners.get_mut(owner) {
            Some(sums) => change(sums),
            None if self.count < MAX_GROUPS => {
                self.count += 1;
                change(group.owners.entry(Arc::clone(owner)).or_default());
            }
            None => self.left_out += 1,
        }
    }

    /// Lets go of tallies and pods that are told of no longer, and of the groups that nobody is in any more.
    fn forget(&mut self, tick: u64) {
        let before = self.counted.len();
        self.counted.retain(|_, counted| counted.tick == tick);
        for pods in self.owners.values_mut() {
            pods.retain(|_, pod| pod.tick == tick);
        }
        self.owners.retain(|_, pods| !pods.is_empty());
        if before == self.counted.len() {
            return;
        }
        let namespaces: std::collections::HashSet<&str> = self.counted.keys().map(|key| &*key.namespace).collect();
        let owned = |namespace: &str, owner: &Arc<Owner>| {
            self.owners.get(namespace).is_some_and(|pods| pods.values().any(|pod| pod.owner == *owner))
        };
        let groups = Arc::make_mut(&mut self.groups);
        groups.retain(|name, group| group.sums.containers > 0 || namespaces.contains(&**name));
        for (name, group) in groups.iter_mut() {
            group.owners.retain(|owner, sums| sums.containers > 0 || owned(name, owner));
        }
        self.count = groups.len() + groups.values().map(|group| group.owners.len()).sum::<usize>();
    }
}
