//! One tick, the newest or one of the past, arranged for answering: what belongs to which cgroup.
//!
//! In: a [`Pair`] of samples and the instant that is asked about. Out: [`Scene`], from which containers, pods and the node
//! are read off. It borrows the samples and keeps nothing between requests. Next: `container`, `pod`, `node`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sample::catalogue::Table;
use crate::sample::derived::network_preference;
pub(super) use crate::sample::derived::pod_uid;
use crate::sample::{Metadata, NodeSample, Subject, SubjectId, Tally, TallyKey, Workload};
use crate::store::{Moment, Tier};
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::rates::{Pair, Reading};

use super::time::rfc3339;
use super::traffic::{DeviceIo, InterfaceTraffic, Io, IoCounters, Network, NetworkScope};

/// The instant at which a request is answered, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall clock: what relative times (`-15m`) are relative to.
    pub wall: UnixNanos,
    /// Monotonic clock: what ages are measured with.
    pub monotonic: MonotonicNanos,
}

/// One tick with its devices, interfaces and pods sorted by owner.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) pair: &'a Pair<'a>,
    pub(super) now: Now,
    /// In the past, how finely that part of the history is kept.
    past: Option<Tier>,
    devices: HashMap<SubjectId, Vec<DeviceIo>>,
    interfaces: HashMap<SubjectId, Vec<InterfaceTraffic>>,
    /// By pod UID the one cgroup of the pod that its network is counted at.
    network_of_pod: HashMap<&'a str, SubjectId>,
}

/// One cgroup of the tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cgroup<'a> {
    pub(super) subject: &'a Arc<Subject>,
    pub(super) workload: &'a Workload,
    pub(super) reading: Reading<'a>,
    /// False when this row is its last one.
    pub(super) alive: bool,
}

impl<'a> Scene<'a> {
    pub(super) fn new(pair: &'a Pair<'a>, now: Now) -> Self {
        let mut devices: HashMap<_, Vec<_>> = HashMap::new();
        for (subject, reading) in pair.iter(Table::Device) {
            if let Some(owner) = subject.owner {
                devices.entry(owner).or_default().push(DeviceIo::new(subject, IoCounters::of_device(&reading)));
            }
        }
        let mut interfaces: HashMap<_, Vec<_>> = HashMap::new();
        for (subject, reading) in pair.iter(Table::Interface) {
            if let Some(owner) = subject.owner {
                interfaces.entry(owner).or_default().push(InterfaceTraffic::read(subject, &reading));
            }
        }
        let mut network_of_pod: HashMap<&str, (u8, SubjectId)> = HashMap::new();
        for subject in pair.newest().roster.subjects(Table::Cgroup) {
            let Some(workload) = subject.workload.as_deref() else { continue };
            let Some(uid) = pod_uid(workload).filter(|_| interfaces.contains_key(&subject.id)) else { continue };
            let candidate = (network_preference(workload.kind()), subject.id);
            let chosen = network_of_pod.entry(uid).or_insert(candidate);
            *chosen = candidate.min(*chosen);
        }
        let network_of_pod = network_of_pod.into_iter().map(|(uid, (_, id))| (uid, id)).collect();
        Self { pair, now, past: None, devices, interfaces, network_of_pod }
    }

    /// A moment of the past, as it was seen at `at`: ages are measured from there, and what the ring does not keep is
    /// not known.
    pub(super) fn past(pair: &'a Pair<'a>, moment: &Moment, at: UnixNanos) -> Self {
        let newest = pair.newest();
        let since = at.0.saturating_sub(newest.wall.0);
        let monotonic = MonotonicNanos(newest.started_at.0.saturating_add(since));
        Self { past: Some(moment.tier), ..Self::new(pair, Now { wall: at, monotonic }) }
    }

    pub(super) fn is_past(&self) -> bool {
        self.past.is_some()
    }

    /// The instant that was asked for, RFC 3339; `None` when the newest tick is shown.
    pub(super) fn at(&self) -> Option<String> {
        self.past.map(|_| rfc3339(self.now.wall))
    }

    /// How finely the history is kept at this tick; the newest is always kept as it is.
    pub(super) fn resolution(&self) -> Option<String> {
        Some(self.past.unwrap_or(Tier::Tick).as_str().to_owned())
    }

    pub(super) fn sample(&self) -> &'a NodeSample {
        self.pair.newest()
    }

    /// Cgroups with their workloads and readings.
    pub(super) fn cgroups(&self) -> impl Iterator<Item = Cgroup<'a>> {
        let ended = &self.sample().final_rows;
        self.pair.iter(Table::Cgroup).enumerate().filter_map(|(row, (subject, reading))| {
            let workload = subject.workload.as_deref()?;
            Some(Cgroup { subject, workload, reading, alive: ended.binary_search(&row).is_err() })
        })
    }

    pub(super) fn io(&self, id: SubjectId) -> Option<Io> {
        Some(Io::of(self.devices.get(&id)?.clone()))
    }

    /// A cgroup's network: its own, else its pod's. `None` when nothing is known about it.
    pub(super) fn network(&self, id: SubjectId, workload: &Workload) -> Option<Network> {
        if metadata(workload).is_some_and(|metadata| metadata.host_network) {
            return Some(Network::of(NetworkScope::Host, Vec::new()));
        }
        let pod = pod_uid(workload);
        let (scope, owner) = match pod.and_then(|uid| self.network_of_pod.get(uid)) {
            Some(owner) => (NetworkScope::Pod, *owner),
            None => (NetworkScope::Own, id),
        };
        Some(Network::of(scope, self.interfaces.get(&owner)?.clone()))
    }

    /// The wall clock of a reading: the tick's, plus how much later in the tick it was read.
    pub(super) fn wall_of(&self, read_at: MonotonicNanos) -> UnixNanos {
        let sample = self.sample();
        UnixNanos(sample.wall.0.saturating_add(read_at.since(sample.started_at)))
    }

    pub(super) fn age_seconds(&self, read_at: MonotonicNanos) -> f64 {
        self.now.monotonic.since(read_at) as f64 / 1e9
    }

    /// Counts that outlive containers; the ring does not keep them, so nothing is known of them in the past.
    pub(super) fn tally(&self, workload: &Workload) -> Option<&'a Tally> {
        if self.is_past() {
            return None;
        }
        self.sample().tallies.entries.get(&TallyKey::of(metadata(workload)?)?)
    }
}

/// How often the runtime says that a container was started again. It says so about now only.
pub(super) fn told_restarts(scene: &Scene<'_>, workload: &Workload) -> Option<u64> {
    metadata(workload)?.restart_count.filter(|_| !scene.is_past()).map(u64::from)
}

pub(super) fn metadata(workload: &Workload) -> Option<&Metadata> {
    workload.metadata.as_deref()
}
