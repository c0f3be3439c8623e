//! Counts that outlive a container: OOM kills, restarts and exits per (namespace, pod, container).
//!
//! A container that is killed and started again is a new cgroup whose counters begin at 0. What users ask for is the
//! count of the workload, so what ended instances counted is carried here. Bounded: at the cap the entry that has been
//! without a living instance for longest goes first, and that it went is counted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::SubjectId;
use crate::discover::{ExitRecord, Metadata};

/// What a tally is kept for. Outside Kubernetes `namespace` and `pod` are empty and `container` is the container's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TallyKey {
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// Pod name.
    pub pod: Arc<str>,
    /// Container name.
    pub container: Arc<str>,
}

impl TallyKey {
    /// The key of a container; `None` for a pod's sandbox, whose counts nobody asks for.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Option<Self> {
        if metadata.sandbox {
            return None;
        }
        let text = |part: &Option<String>| Arc::from(part.as_deref().unwrap_or_default());
        let container = metadata.container.as_ref().unwrap_or(&metadata.name);
        Some(Self {
            namespace: text(&metadata.namespace),
            pod: text(&metadata.pod),
            container: Arc::from(container.as_str()),
        })
    }
}

/// The counts of one (namespace, pod, container) since the agent first saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Processes killed by the OOM killer, over all instances, the living ones included.
    pub oom_kills: u64,
    /// Times a new instance followed an ended one, or the runtime's own count if that is higher.
    pub restarts: u64,
    /// CPU time of the instances that have ended, in microseconds. The living ones' is in their rows.
    pub ended_cpu_usage_usec: u64,
    /// The cgroups of the living instances.
    pub living: Vec<SubjectId>,
    /// Ends by (exit code, reason).
    pub exits: BTreeMap<(i32, Arc<str>), u64>,
    /// Whom the OOM killer killed last, where the kernel log may be read.
    pub last_victim: Option<Arc<Victim>>,
}

/// A process that the OOM killer killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// Its name; somebody chose it.
    pub process: String,
    /// Its process ID in the initial namespace.
    pub pid: u32,
}

/// All tallies at one tick.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tallies {
    /// By key.
    pub entries: BTreeMap<TallyKey, Tally>,
    /// Entries that were dropped at the cap.
    pub evicted: u64,
}

/// Most keys that are kept.
const TALLY_CAP: usize = 8192;

/// Most ended containers whose exit may still be reported by a runtime.
const ENDED_CAP: usize = 4096;

/// Most kinds of exit that one tally tells apart; more are counted as the kind `(-1, "Other")`.
const EXIT_KINDS_CAP: usize = 16;

/// What one instance has counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Instance {
    /// OOM kills by its own cgroup, or by the kernel log where that is higher.
    pub oom_kills: u64,
    /// CPU time in microseconds.
    pub cpu_usage_usec: u64,
}

#[derive(Debug, Default)]
struct Entry {
    ended: Instance,
    /// Cgroup and OOM kills of the living instances, by container ID.
    living: BTreeMap<Arc<str>, (SubjectId, u64)>,
    instances: u64,
    runtime_restarts: u64,
    exits: BTreeMap<(i32, Arc<str>), u64>,
    last_victim: Option<Arc<Victim>>,
    /// When its last instance ended, as a count of ended instances over all keys.
    ended_at: u64,
}

/// Keeps the tallies. Every change makes a new [`Tallies`]; without a change the old one is shared on.
#[derive(Debug, Default)]
pub(super) struct TallyKeeper {
    entries: BTreeMap<TallyKey, Entry>,
    /// Ended containers that a runtime may still report on: key and OOM kills that were seen.
    ended: HashMap<Arc<str>, (TallyKey, u64)>,
    ended_order: VecDeque<Arc<str>>,
    exits_seen: HashMap<Arc<str>, ExitRecord>,
    exits_order: VecDeque<Arc<str>>,
    ended_count: u64,
    evicted: u64,
    published: Arc<Tallies>,
    changed: bool,
}

impl TallyKeeper {
    /// A container with this key is alive. Told again when the runtime's description changes.
    pub fn described(&mut self, key: &TallyKey, container_id: &Arc<str>, cgroup: SubjectId, metadata: &Metadata) {
        if !self.entries.contains_key(key) {
            self.make_room();
        }
        let entry = self.entries.entry(key.clone()).or_default();
        if !entry.living.contains_key(container_id) {
            entry.living.insert(Arc::clone(container_id), (cgroup, 0));
            entry.instances += 1;
        }
        let restarts = metadata.restart_count.map_or(0, u64::from);
        entry.runtime_restarts = entry.runtime_restarts.max(restarts);
        self.changed = true;
    }

    /// An instance's OOM kills so far. Costs a look-up only when the count moved; the caller compares.
    pub fn oom_kills(&mut self, key: &TallyKey, container_id: &Arc<str>, oom_kills: u64) {
        if let Some((_, seen)) = self.entries.get_mut(key).and_then(|entry| entry.living.get_mut(container_id))
            && oom_kills > *seen
        {
            *seen = oom_kills;
            self.changed = true;
        }
    }

    /// The kernel log has named whom it killed.
    pub fn victim(&mut self, key: &TallyKey, victim: Victim) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.last_victim = Some(Arc::new(victim));
            self.changed = true;
        }
    }

    /// An instance has ended, with its last counts.
    pub fn ended(&mut self, key: &TallyKey, container_id: &Arc<str>, last: Instance) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Some((_, seen)) = entry.living.remove(container_id) else { return };
        let oom_kills = last.oom_kills.max(seen);
        entry.ended.oom_kills += oom_kills;
        entry.ended.cpu_usage_usec += last.cpu_usage_usec;
        self.ended_count += 1;
        entry.ended_at = self.ended_count;
        self.ended.insert(Arc::clone(container_id), (key.clone(), oom_kills));
        remember(&mut self.ended_order, container_id, ENDED_CAP, |old| {
            self.ended.remove(old);
        });
        self.changed = true;
        if let Some(exit) = self.exits_seen.remove(container_id) {
            self.count_exit(key, container_id, &exit);
        }
    }

    /// A runtime told how a container ended: before, or after, its cgroup was seen to go.
    pub fn exited(&mut self, container_id: &Arc<str>, exit: &ExitRecord) {
        if let Some((key, _)) = self.ended.get(container_id) {
            let key = key.clone();
            self.count_exit(&key, container_id, exit);
        } else {
            self.exits_seen.insert(Arc::clone(container_id), exit.clone());
            remember(&mut self.exits_order, container_id, ENDED_CAP, |old| {
                self.exits_seen.remove(old);
            });
        }
    }

    fn count_exit(&mut self, key: &TallyKey, container_id: &Arc<str>, exit: &ExitRecord) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        // A second report of the same end finds no ended container any more.
        let Some((_, oom_kills)) = self.ended.remove(container_id) else { return };
        if exit.reason == "OOMKilled" && oom_kills == 0 {
            // The cgroup was gone before its last count could be read; the runtime's word stands in for it.
            entry.ended.oom_kills += 1;
        }
        let mut kind = (exit.code, Arc::from(exit.reason.as_str()));
        if entry.exits.len() >= EXIT_KINDS_CAP && !entry.exits.contains_key(&kind) {
            kind = (-1, Arc::from("Other"));
        }
        *entry.exits.entry(kind).or_default() += 1;
        self.changed = true;
    }

    fn make_room(&mut self) {
        if self.entries.len() < TALLY_CAP {
            return;
        }
        let without = self.entries.iter().filter(|(_, entry)| entry.living.is_empty());
        let oldest = without.min_by_key(|(_, entry)| entry.ended_at).or_else(|| self.entries.iter().next());
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
            self.evicted += 1;
        }
    }

    /// The tallies as they are now.
    pub fn publish(&mut self) -> &Arc<Tallies> {
        if std::mem::take(&mut self.changed) {
            let tally = |entry: &Entry| Tally {
                oom_kills: entry.ended.oom_kills + entry.living.values().map(|(_, kills)| kills).sum::<u64>(),
                living: entry.living.values().map(|(cgroup, _)| *cgroup).collect(),
                restarts: entry.instances.saturating_sub(1).max(entry.runtime_restarts),
                ended_cpu_usage_usec: entry.ended.cpu_usage_usec,
                exits: entry.exits.clone(),
                last_victim: entry.last_victim.clone(),
            };
            let entries = self.entries.iter().map(|(key, entry)| (key.clone(), tally(entry))).collect();
            self.published = Arc::new(Tallies { entries, evicted: self.evicted });
        }
        &self.published
    }
}

/// Notes `id` as the newest of at most `cap`; the oldest beyond it is handed to `forget`.
fn remember(order: &mut VecDeque<Arc<str>>, id: &Arc<str>, cap: usize, mut forget: impl FnMut(&Arc<str>)) {
    order.push_back(Arc::clone(id));
    while order.len() > cap {
        if let Some(old) = order.pop_front() {
            forget(&old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> (TallyKey, Metadata) {
        let metadata = Metadata {
            name: "k8s_web".into(),
            namespace: Some("shop".into()),
            pod: Some("web-0".into()),
            container: Some("web".into()),
            ..Metadata::default()
        };
        (TallyKey::of(&metadata).unwrap(), metadata)
    }

    fn exit(code: i32, reason: &str) -> ExitRecord {
        ExitRecord { code, reason: reason.into(), finished_at: None }
    }

    fn last(oom_kills: u64, cpu_usage_usec: u64) -> Instance {
        Instance { oom_kills, cpu_usage_usec }
    }

    #[test]
    fn oom_kills_are_carried_over_a_restart() {
        let mut keeper = TallyKeeper::default();
        let (key, metadata) = web();
        let (first, second): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        keeper.described(&key, &first, SubjectId(1), &metadata);
        keeper.oom_kills(&key, &first, 1);
        keeper.ended(&key, &first, last(1, 500));
        keeper.described(&key, &second, SubjectId(1), &metadata);
        keeper.oom_kills(&key, &second, 2);
        let tally = &keeper.publish().entries[&key];
        assert_eq!((tally.oom_kills, tally.restarts, tally.ended_cpu_usage_usec), (3, 1, 500));
    }

    #[test]
    fn a_kill_that_only_the_runtime_saw_is_counted_once() {
        let mut keeper = TallyKeeper::default();
        let (key, metadata) = web();
        let id: Arc<str> = "a".into();
        keeper.described(&key, &id, SubjectId(1), &metadata);
        keeper.ended(&key, &id, last(0, 0));
        keeper.exited(&id, &exit(137, "OOMKilled"));
        keeper.exited(&id, &exit(137, "OOMKilled"));
        let tally = &keeper.publish().entries[&key];
        assert_eq!(tally.oom_kills, 1);
        assert_eq!(tally.exits, BTreeMap::from([((137, Arc::from("OOMKilled")), 1)]));
    }

    #[test]
    fn an_exit_told_before_the_cgroup_goes_is_counted_when_it_goes() {
        let mut keeper = TallyKeeper::default();
        let (key, metadata) = web();
        let id: Arc<str> = "a".into();
        keeper.described(&key, &id, SubjectId(1), &metadata);
        keeper.exited(&id, &exit(3, "Error"));
        assert!(keeper.publish().entries[&key].exits.is_empty());
        keeper.ended(&key, &id, last(0, 7));
        assert_eq!(keeper.publish().entries[&key].exits, BTreeMap::from([((3, Arc::from("Error")), 1)]));
    }

    #[test]
    fn whom_the_kernel_log_named_last_is_told() {
        let mut keeper = TallyKeeper::default();
        let (key, metadata) = web();
        keeper.victim(&key, Victim { process: "early".into(), pid: 1 });
        keeper.described(&key, &"a".into(), SubjectId(1), &metadata);
        assert_eq!(keeper.publish().entries[&key].last_victim, None, "nobody is counted under this key yet");
        keeper.victim(&key, Victim { process: "java".into(), pid: 812 });
        let told = keeper.publish().entries[&key].last_victim.clone();
        assert_eq!(told.as_deref(), Some(&Victim { process: "java".into(), pid: 812 }));
    }

    #[test]
    fn the_runtimes_restart_count_wins_when_it_is_higher() {
        let mut keeper = TallyKeeper::default();
        let (key, metadata) = web();
        keeper.described(&key, &"a".into(), SubjectId(1), &Metadata { restart_count: Some(7), ..metadata });
        assert_eq!(keeper.publish().entries[&key].restarts, 7);
    }

    #[test]
    fn without_a_change_the_same_tallies_are_shared() {
        let mut keeper = TallyKeeper::default();
        let (key, metadata) = web();
        keeper.described(&key, &"a".into(), SubjectId(1), &metadata);
        let one = Arc::clone(keeper.publish());
        assert!(Arc::ptr_eq(&one, keeper.publish()));
    }

    #[test]
    fn at_the_cap_the_longest_ended_goes_and_is_counted() {
        let mut keeper = TallyKeeper::default();
        for index in 0..=TALLY_CAP {
            let metadata = Metadata { name: format!("c{index}"), ..Metadata::default() };
            let (key, id): (_, Arc<str>) = (TallyKey::of(&metadata).unwrap(), format!("{index}").into());
            keeper.described(&key, &id, SubjectId(1), &metadata);
            keeper.ended(&key, &id, last(0, 0));
        }
        let first = TallyKey::of(&Metadata { name: "c0".into(), ..Metadata::default() }).unwrap();
        let tallies = keeper.publish();
        assert_eq!((tallies.entries.len(), tallies.evicted), (TALLY_CAP, 1));
        assert!(!tallies.entries.contains_key(&first));
    }
}
