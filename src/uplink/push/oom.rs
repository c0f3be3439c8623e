//! OOM kills in pods, as the ring saw them.
//!
//! In: the ring. Out: each [`Kill`] once, with what is known about it: whom, the limit, the last minute of memory. Because the
//! ring has them, kills while no API server was there, or while the agent was being restarted, are found too. It tells
//! nobody. Next: [`super::events`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::sample::catalogue::{CgroupColumn as C, Table};
use crate::sample::derived::pod_uid;
use crate::sample::row::Column as _;
use crate::sample::{CgroupKind, NodeSample, Subject, Tallies, TallyKey, Victim, Workload};
use crate::store::{Point, Remembered, Store};
use crate::units::{UnixNanos, printable};

const SECOND: u64 = 1_000_000_000;

/// How far back kills are looked for at the start: less than the hour for which an API server keeps events, so that what an
/// earlier run has told is still there and is not told anew.
const BACK_AT_START: u64 = 50 * 60 * SECOND;

/// How far back afterwards.
const BACK: u64 = 10 * 60 * SECOND;

/// Kills of one container that follow one another faster than this are told together.
const APART: u64 = 30 * SECOND;

/// A container whose first reading is so young was seen from its birth: what it counts then happened now.
const NEWBORN: u64 = 15 * SECOND;

/// How much memory is told of before a kill.
const TRACE: u64 = 60 * SECOND;

/// Containers that are remembered before those that are gone are forgotten.
const MOST_CONTAINERS: usize = 8192;

/// Processes of one container that were killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// Name of the container.
    pub container: String,
    /// The runtime's id of this run of the container.
    pub container_id: Arc<str>,
    /// How many the container counts by now.
    pub count: u64,
    /// The tick in which that was seen.
    pub at: UnixNanos,
    /// What there is to say.
    pub message: String,
}

/// How far one container has been told of.
#[derive(Debug, Clone, Copy)]
struct Told {
    count: u64,
    at: UnixNanos,
}

/// Finds kills.
#[derive(Debug, Default)]
pub struct OomWatch {
    begun: bool,
    tallies: Arc<Tallies>,
    counts: HashMap<TallyKey, u64>,
    victims: HashMap<TallyKey, Arc<Victim>>,
    containers: HashMap<Arc<str>, Told>,
    /// Those who have more to tell than was told lately.
    waiting: HashSet<TallyKey>,
}

impl OomWatch {
    /// Whether there may be something new. Costs nothing.
    #[must_use]
    pub fn may_have_news(&self, latest: &NodeSample) -> bool {
        !self.begun || !self.waiting.is_empty() || !Arc::ptr_eq(&self.tallies, &latest.tallies)
    }

    /// What was not told yet. Takes a while, and longer the first time.
    pub fn look(&mut self, store: &Store) -> Vec<Kill> {
        let Some(latest) = store.latest() else { return Vec::new() };
        let begins = !std::mem::replace(&mut self.begun, true);
        let mut grown = std::mem::take(&mut self.waiting);
        let mut told_by_runtime = HashSet::new();
        for (key, tally) in &latest.tallies.entries {
            let before = self.counts.insert(key.clone(), tally.oom_kills);
            if tally.oom_kills > before.unwrap_or(0) {
                grown.insert(key.clone());
                if before.is_some() {
                    told_by_runtime.insert(key.clone());
                }
            }
        }
        self.counts.retain(|key, _| latest.tallies.entries.contains_key(key));
        self.victims.retain(|key, _| latest.tallies.entries.contains_key(key));
        self.tallies = Arc::clone(&latest.tallies);
        if !begins && grown.is_empty() {
            return Vec::new();
        }
        let from = UnixNanos(latest.wall.0.saturating_sub(if begins { BACK_AT_START } else { BACK }));
        let known = store.remembered();
        let containers: Vec<Container<'_>> = known.iter().filter_map(|known| Container::of(known, from)).collect();
        if self.containers.len() > MOST_CONTAINERS {
            let there: HashSet<&Arc<str>> = containers.iter().map(|container| container.id).collect();
            self.containers.retain(|id, _| there.contains(id));
        }
        let mut kills = Vec::new();
        for container in containers.iter().filter(|container| begins || grown.contains(&container.key)) {
            let found = self.of_container(store, container, from, &latest);
            if !found.is_empty() || self.waiting.contains(&container.key) {
                told_by_runtime.remove(&container.key);
            }
            kills.extend(found);
        }
        // The cgroup was gone before its last count could be read; the runtime or the kernel log knew.
        for key in told_by_runtime {
            let of_key = containers.iter().filter(|container| container.key == key);
            let Some(newest) = of_key.max_by_key(|container| (container.known.last_wall, !container.known.alive))
            else {
                continue;
            };
            let told = self.containers.get(newest.id).map_or(0, |told| told.count);
            let (count, at) = (told + 1, newest.known.last_wall);
            self.containers.insert(Arc::clone(newest.id), Told { count, at });
            kills.push(self.kill(store, newest, count, 1, at, &latest));
        }
        kills.sort_by_key(|kill| kill.at);
        kills
    }

    /// What one container's own count says.
    fn of_container(
        &mut self,
        store: &Store,
        container: &Container<'_>,
        from: UnixNanos,
        latest: &NodeSample,
    ) -> Vec<Kill> {
        let column = C::MemoryEventsOomKill.index();
        let points = store.history(container.subject.id, column, from, latest.wall).unwrap_or_default();
        let values = || points.iter().filter_map(|point| Some((point.wall, point.cell.value()?)));
        let Some((first_at, first)) = values().next() else { return Vec::new() };
        let seen_from_birth = container.began().is_some_and(|began| first_at.0.saturating_sub(began.0) < NEWBORN);
        let unknown = Told { count: if seen_from_birth { 0 } else { first }, at: UnixNanos(0) };
        let mut told = self.containers.get(container.id).copied().unwrap_or(unknown);
        let mut kills = Vec::new();
        for (at, count) in values() {
            // What follows fast is told later with what follows it, unless nothing can follow any more.
            let too_soon = told.at.0 > 0 && at.0.saturating_sub(told.at.0) < APART && container.known.alive;
            if count <= told.count || too_soon {
                continue;
            }
            kills.push(self.kill(store, container, count, count - told.count, at, latest));
            told = Told { count, at };
        }
        if values().next_back().is_some_and(|(_, newest)| newest > told.count) && container.known.alive {
            self.waiting.insert(container.key.clone());
        }
        self.containers.insert(Arc::clone(container.id), told);
        kills
    }

    fn kill(
        &mut self,
        store: &Store,
        container: &Container<'_>,
        count: u64,
        killed: u64,
        at: UnixNanos,
        latest: &NodeSample,
    ) -> Kill {
        let named = latest.tallies.entries.get(&container.key).and_then(|tally| tally.last_victim.clone());
        let before = named.as_ref().and_then(|named| self.victims.insert(container.key.clone(), Arc::clone(named)));
        let victim = named.filter(|named| before.as_ref() != Some(named));
        let whom = match (&victim, killed) {
            (Some(victim), 1) => {
                format!("process {} (PID {} on the node)", printable(victim.process.as_bytes()), victim.pid)
            }
            (Some(victim), many) => {
                let name = printable(victim.process.as_bytes());
                format!("{many} processes, the last one {name} (PID {} on the node),", victim.pid)
            }
            (None, 1) => "a process".to_owned(),
            (None, many) => format!("{many} processes"),
        };
        let own = Figures::read(store, container.subject, at);
        let pod = || container.pod_cgroup(store).and_then(|pod| Figures::read(store, &pod, at).limit);
        let limit = match (own.limit, own.limit.map_or_else(pod, |_| None)) {
            (Some(bytes), _) => format!("Its memory limit is {}.", size(bytes)),
            (None, Some(bytes)) => format!("It has no memory limit of its own, its pod has {}.", size(bytes)),
            (None, None) => "Neither it nor its pod has a memory limit: the node was short of memory.".to_owned(),
        };
        let mut message = format!("OOM: the kernel killed {whom} in container {}. {limit}", container.key.container);
        if let Some(trace) = own.trace(at) {
            message.push_str(&trace);
        }
        Kill {
            namespace: container.key.namespace.to_string(),
            pod: container.key.pod.to_string(),
            pod_uid: container.pod_uid.to_owned(),
            container: container.key.container.to_string(),
            container_id: Arc::clone(container.id),
            count,
            at,
            message,
        }
    }
}

/// A container of a pod.
struct Container<'a> {
    known: &'a Remembered,
    subject: &'a Subject,
    workload: &'a Workload,
    key: TallyKey,
    id: &'a Arc<str>,
    pod_uid: &'a str,
}

impl<'a> Container<'a> {
    fn of(known: &'a Remembered, from: UnixNanos) -> Option<Self> {
        let subject = known.subject.as_ref();
        let workload = subject.workload.as_deref().filter(|_| subject.table == Table::Cgroup)?;
        let metadata = workload.metadata.as_deref()?;
        let there = known.alive || known.last_wall >= from;
        let is_one = there && workload.kind() == CgroupKind::Container && metadata.container.is_some();
        let named = metadata.namespace.is_some() && metadata.pod.is_some();
        let (id, pod_uid) = (workload.identity.container_id.as_ref()?, pod_uid(workload)?);
        let key = TallyKey::of(metadata).filter(|_| is_one && named)?;
        Some(Self { known, subject, workload, key, id, pod_uid })
    }

    fn began(&self) -> Option<UnixNanos> {
        super::snapshot::began(self.workload)
    }

    fn pod_cgroup(&self, store: &Store) -> Option<Arc<Subject>> {
        let of_pod = |known: &Remembered| {
            let workload = known.subject.workload.as_deref().filter(|_| known.subject.table == Table::Cgroup);
            workload.is_some_and(|one| one.kind() == CgroupKind::Pod && pod_uid(one) == Some(self.pod_uid))
        };
        store.remembered().into_iter().rev().find(of_pod).map(|known| known.subject)
    }
}

/// What the ring has of a cgroup's memory up to an instant.
struct Figures {
    limit: Option<u64>,
    peak: Option<u64>,
    memory: Vec<(UnixNanos, u64)>,
}

impl Figures {
    fn read(store: &Store, subject: &Subject, at: UnixNanos) -> Self {
        // A tick more: the reading in which the kill is counted comes after it.
        let from = UnixNanos(at.0.saturating_sub(TRACE + 2 * SECOND));
        let points = |column: C| store.history(subject.id, column.index(), from, at).unwrap_or_default();
        let last = |points: &[Point]| points.last().and_then(|point| point.cell.value());
        let value = |point: &Point| Some((point.wall, point.cell.value()?));
        Self {
            limit: last(&points(C::MemoryMaxBytes)),
            peak: last(&points(C::MemoryPeakBytes)),
            memory: points(C::MemoryCurrentBytes).iter().filter_map(value).collect(),
        }
    }

    /// The last minute in a few words. What was read last before the kill counts as the end: afterwards it is free.
    fn trace(&self, at: UnixNanos) -> Option<String> {
        let (end_at, end) = self.memory.iter().rev().find(|(wall, _)| *wall < at).or_else(|| self.memory.last())?;
        let mut words = Vec::new();
        for ago in [60, 30, 10] {
            let wanted = end_at.0.saturating_sub(ago * SECOND);
            let near = self.memory.iter().find(|(wall, _)| wall.0 + SECOND / 2 >= wanted && wall < end_at);
            let Some((wall, bytes)) = near else { continue };
            if wall.0.abs_diff(wanted) <= 3 * SECOND {
                words.push(format!("{ago} s before {}", size(*bytes)));
            }
        }
        words.push(format!("at the end {}", size(*end)));
        // The kernel's own mark is read seldom, and what grew between two readings is in neither.
        let highest = self.memory.iter().map(|(_, bytes)| *bytes).chain(self.peak).max().unwrap_or(*end);
        Some(format!(" Memory: {}; its highest reading was {}.", words.join(", "), size(highest)))
    }
}

/// Bytes as `127.9 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            // Cut, not rounded: what is a little below the limit does not read as the limit.
            let tenths = bytes % unit * 10 / unit;
            return if tenths == 0 {
                format!("{} {name}", bytes / unit)
            } else {
                format!("{}.{tenths} {name}", bytes / unit)
            };
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_short_and_never_reads_as_more_than_it_is() {
        assert_eq!(size(128 << 20), "128 MiB");
        assert_eq!(size((128 << 20) - 1), "127.9 MiB");
        assert_eq!(size(3 << 29), "1.5 GiB");
        assert_eq!(size(512), "512 bytes");
    }
}
