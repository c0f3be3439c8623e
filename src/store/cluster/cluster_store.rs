//! The cluster's store: every node's pushes, held against what the API server says.
//!
//! In: records of nodes and pods from the watches, pushes from the receiver. Out: the newest readings, the history, and
//! counts of what was taken and refused. It opens no connection, and asks nobody who pushes. A node's lock is never waited
//! for while the directory's is held. Next: `uplink::receive`, `view::kube_api`.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::batch::Scratches;
use super::chain::Resolve;
use super::directory::{Directory, KnownPod};
use super::entity::{Claim, NODE, Refusal, Slot, Standing, Who};
use super::metric::MetricSet;
use super::node::{NodeCell, NodeState, PushRefused, Pushed, nanos};
use super::push::{Born, Push};
use super::record::{NodeRecord, NodeUsage, PodRecord, PodUsage};
use crate::units::UnixNanos;

/// How many pods are looked up at a time while all are listed: the directory is not locked for longer.
const PODS_AT_A_TIME: usize = 256;

/// Nanoseconds from one look through all nodes to the next.
const SWEEP_NANOS: u64 = 30_000_000_000;

/// What the store is told at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterOptions {
    /// How far back the history goes.
    pub history: Duration,
    /// Bytes that the history may have.
    pub budget_bytes: usize,
    /// Age at which a node's newest values are not shown any more.
    pub stale_after: Duration,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub options: ClusterOptions,
    directory: RwLock<Directory>,
    nodes: RwLock<HashMap<Arc<str>, Arc<NodeCell>>>,
    pub counts: Counts,
    scratches: Scratches,
    /// All nodes' history.
    pub history_bytes: AtomicUsize,
    node_count: AtomicUsize,
    /// When everything was looked through the last time.
    swept_at: AtomicU64,
    changed: watch::Sender<u64>,
}

/// What happened since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub pushes: AtomicU64,
    pub samples: AtomicU64,
    pub duplicates: AtomicU64,
    pub need_alone: AtomicU64,
    pub malformed: AtomicU64,
    pub future: AtomicU64,
    pub unknown_node: AtomicU64,
    pub shed_batches: AtomicU64,
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClusterStore {
    pub(super) shared: Arc<Shared>,
}

/// Looks up for one node what its births need.
struct Resolver<'a> {
    store: &'a ClusterStore,
    node: &'a str,
}

impl Resolve for Resolver<'_> {
    fn pod(&self, born: &Born<'_>) -> Standing {
        match self.store.directory().judge_born(self.node, born) {
            Ok(pod) => Standing::Believed(pod),
            Err(refusal) => Standing::Refused(Box::new(Claim::of(born)), refusal),
        }
    }

    fn name(&self, name: &str) -> Arc<str> {
        self.store.directory_mut().interner.text(name)
    }
}

impl ClusterStore {
    /// An empty store.
    #[must_use]
    pub fn new(options: ClusterOptions) -> Self {
        let shared = Shared {
            options,
            directory: RwLock::default(),
            nodes: RwLock::default(),
            counts: Counts::default(),
            scratches: Scratches::default(),
            history_bytes: AtomicUsize::new(0),
            node_count: AtomicUsize::new(0),
            swept_at: AtomicU64::new(0),
            changed: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    // A panic of another thread leaves both readable, so a poisoned lock is used as it is.
    fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.shared.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.shared.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cell(&self, node: &str) -> Option<Arc<NodeCell>> {
        self.shared.nodes.read().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    fn cell_or_new(&self, node: &str) -> Arc<NodeCell> {
        if let Some(cell) = self.cell(node) {
            return cell;
        }
        let name = self.directory_mut().interner.text(node);
        let mut nodes = self.shared.nodes.write().unwrap_or_else(PoisonError::into_inner);
        let cell = nodes.entry(name.clone()).or_insert_with(|| Arc::new(NodeCell::new(name))).clone();
        self.shared.node_count.store(nodes.len(), Ordering::Relaxed);
        cell
    }

    /// Locks a node's state, if need be a new one's. One that was forgotten meanwhile is looked up again.
    fn with_state<T>(&self, node: &str, use_it: impl Fn(&mut NodeState) -> T) -> T {
        loop {
            let cell = self.cell_or_new(node);
            let mut state = cell.state();
            if !state.forgotten {
                return use_it(&mut state);
            }
        }
    }

    /// Every node of which something is held, in no order.
    pub(super) fn cells(&self) -> Vec<Arc<NodeCell>> {
        self.shared.nodes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A node that the API server knows, new or changed.
    pub fn put_node(&self, record: &NodeRecord) {
        let record = self.directory_mut().put_node(record);
        self.with_state(&record.name, |state| {
            state.record = Some(record.clone());
            state.removed = false;
        });
    }

    /// A node that the API server does not know any more. Its history stays.
    pub fn remove_node(&self, name: &str) {
        self.directory_mut().remove_node(name);
        if let Some(cell) = self.cell(name) {
            cell.state().removed = true;
        }
    }

    /// A pod that the API server knows, new or changed. What was pushed of it before is shown from now on.
    pub fn put_pod(&self, record: &PodRecord) {
        let before = self.directory_mut().put_pod(record);
        self.judge_again(&record.node, &record.uid);
        if let Some(before) = before.filter(|before| before.node != record.node) {
            self.judge_again(&before.node, &before.uid);
        }
    }

    /// A pod that the API server does not know any more. Its history stays.
    pub fn remove_pod(&self, uid: &str) {
        let removed = self.directory_mut().remove_pod(uid);
        if let Some(pod) = removed {
            self.judge_again(&pod.node, uid);
        }
    }

    /// The API server's list is complete: what is not in it is not there any more.
    pub fn retain(&self, nodes: &HashSet<Arc<str>>, pod_uids: &HashSet<Arc<str>>) {
        let (old_nodes, old_pods) = {
            let directory = self.directory();
            (directory.nodes_without(nodes), directory.pods_without(pod_uids))
        };
        old_nodes.iter().for_each(|name| self.remove_node(name));
        old_pods.iter().for_each(|uid| self.remove_pod(uid));
    }

    /// From now on a node that was not put is unknown, and its pushes are refused.
    pub fn set_synced(&self) {
        self.directory_mut().synced = true;
        self.forget_cells(|state| state.record.is_none());
    }

    /// Forgets nodes. One that pushes at the same time begins anew.
    fn forget_cells(&self, which: impl Fn(&NodeState) -> bool) {
        for cell in self.cells() {
            let mut state = cell.state();
            if which(&state) {
                self.shared.history_bytes.fetch_sub(state.counted_bytes, Ordering::Relaxed);
                *state = NodeState { forgotten: true, ..NodeState::default() };
                drop(state);
                let mut nodes = self.shared.nodes.write().unwrap_or_else(PoisonError::into_inner);
                nodes.remove(&cell.name);
                self.shared.node_count.store(nodes.len(), Ordering::Relaxed);
            }
        }
    }

    /// Whether [`ClusterStore::set_synced`] was called.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.directory().synced
    }

    fn judge_again(&self, node: &str, uid: &str) {
        let Some(cell) = self.cell(node) else { return };
        cell.state().judge_again(uid, |standing| {
            let claim = standing.claim();
            standing.judged(self.directory().judge(node, &claim.namespace, &claim.name, &claim.uid))
        });
    }

    /// The pod of a UID, as the API server knows it.
    #[must_use]
    pub fn pod_of_uid(&self, uid: &str) -> Option<Arc<PodRecord>> {
        self.directory().pod_of_uid(uid).cloned()
    }

    /// The pod of a name, as the API server knows it.
    #[must_use]
    pub fn pod_record(&self, namespace: &str, name: &str) -> Option<Arc<PodRecord>> {
        self.directory().pod(namespace, name).map(|known| known.record.clone())
    }

    /// The node of a name, as the API server knows it.
    #[must_use]
    pub fn node_record(&self, name: &str) -> Option<Arc<NodeRecord>> {
        self.directory().node(name).cloned()
    }

    /// How many nodes and pods the API server knows.
    #[must_use]
    pub fn record_counts(&self) -> (usize, usize) {
        let directory = self.directory();
        (directory.node_count(), directory.pod_count())
    }

    /// Takes what `node` pushed. That the sender may speak for `node` was found out before.
    ///
    /// # Errors
    /// [`PushRefused`]; nothing was stored then.
    pub fn push(&self, node: &str, push: &Push<'_>, now: UnixNanos) -> Result<Pushed, PushRefused> {
        let result = self.push_uncounted(node, push, now);
        let counts = &self.shared.counts;
        let count = |counter: &AtomicU64, by: u64| _ = counter.fetch_add(by, Ordering::Relaxed);
        match &result {
            Ok(pushed) => {
                count(&counts.pushes, 1);
                count(&counts.samples, pushed.accepted);
                count(&counts.duplicates, pushed.duplicates);
                if pushed.accepted > 0 {
                    self.shared.changed.send_modify(|version| *version += 1);
                }
            }
            Err(PushRefused::NeedAlone { .. }) => count(&counts.need_alone, 1),
            Err(PushRefused::Malformed(_)) => count(&counts.malformed, 1),
            Err(PushRefused::Future { .. }) => count(&counts.future, 1),
            Err(PushRefused::UnknownNode) => count(&counts.unknown_node, 1),
        }
        result
    }

    fn push_uncounted(&self, node: &str, push: &Push<'_>, now: UnixNanos) -> Result<Pushed, PushRefused> {
        let known = {
            let directory = self.directory();
            !directory.synced || directory.node(node).is_some()
        };
        if !known {
            return Err(PushRefused::UnknownNode);
        }
        self.sweep_if_due(now);
        let Shared { options, scratches, .. } = &*self.shared;
        let resolver = Resolver { store: self, node };
        self.with_state(node, |state| {
            let result = state.push(push, now, options.history, scratches, &resolver);
            self.keep_to_budget(state, now);
            result
        })
    }

    /// Forgets what is too old of a node, and what is too much: whoever has more than an equal share of a full budget
    /// gives up its own oldest samples, so that no node lives at the cost of the others.
    fn keep_to_budget(&self, state: &mut NodeState, now: UnixNanos) {
        let Shared { options, history_bytes, node_count, .. } = &*self.shared;
        state.forget_before(UnixNanos(now.0.saturating_sub(nanos(options.history))));
        let share = options.budget_bytes / node_count.load(Ordering::Relaxed).max(1);
        loop {
            let bytes = state.history_bytes();
            let others = history_bytes.fetch_sub(state.counted_bytes, Ordering::Relaxed) - state.counted_bytes;
            history_bytes.fetch_add(bytes, Ordering::Relaxed);
            state.counted_bytes = bytes;
            if bytes <= share || others + bytes <= options.budget_bytes || !state.forget_oldest() {
                return;
            }
            self.shared.counts.shed_batches.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks through all nodes twice a minute: those that push no more have a history too, which ages.
    fn sweep_if_due(&self, now: UnixNanos) {
        let swept_at = self.shared.swept_at.load(Ordering::Relaxed);
        let due = now.0 >= swept_at.saturating_add(SWEEP_NANOS) || now.0 < swept_at;
        let swap = || self.shared.swept_at.compare_exchange(swept_at, now.0, Ordering::Relaxed, Ordering::Relaxed);
        if due && swap().is_ok() {
            for cell in self.cells() {
                let mut state = cell.state();
                if !state.forgotten {
                    self.keep_to_budget(&mut state, now);
                }
            }
            self.forget_cells(|state| state.removed && state.is_empty());
        }
    }

    /// Tells that something was pushed; the number is how often that was.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    fn node_usage(&self, state: &NodeState, now: UnixNanos, wanted: MetricSet) -> Option<NodeUsage> {
        let node = state.record.clone().filter(|_| !state.removed)?;
        if !state.is_fresh(now, self.shared.options.stale_after) {
            return None;
        }
        let (_, slot) = state.chain.slots.iter().find(|(_, slot)| slot.who.kind() == NODE)?;
        Some(NodeUsage { node, readings: state.chain.readings(slot, wanted) })
    }

    /// The newest of a node.
    #[must_use]
    pub fn node(&self, name: &str, now: UnixNanos) -> Option<NodeUsage> {
        self.node_usage(&self.cell(name)?.state(), now, MetricSet::ALL)
    }

    /// The newest of all nodes, ascending by name.
    #[must_use]
    pub fn nodes(&self, now: UnixNanos) -> Vec<NodeUsage> {
        let mut cells = self.cells();
        cells.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        cells.iter().filter_map(|cell| self.node_usage(&cell.state(), now, MetricSet::ALL)).collect()
    }

    fn pod_usage(&self, known: &KnownPod, now: UnixNanos, wanted: MetricSet) -> Option<PodUsage> {
        let pod = &known.record;
        if pod.finished {
            return None;
        }
        let cell = self.cell(&pod.node)?;
        let state = cell.state();
        if state.removed || !state.is_fresh(now, self.shared.options.stale_after) {
            return None;
        }
        let slots = &state.chain.slots;
        let (index, slot) = slots.believed(pod, known.slot.load(Ordering::Relaxed))?;
        known.slot.store(index, Ordering::Relaxed);
        let mut containers: Vec<(Arc<str>, &Slot)> = slots
            .containers(index)
            .filter_map(|(_, slot)| match &slot.who {
                Who::Container(name, _) => Some((name.clone(), slot)),
                Who::Node | Who::Pod(_) => None,
            })
            .collect();
        // Of two runs of one container that overlap for a sample, the younger one is the container.
        containers.sort_unstable_by(|(a, older), (b, younger)| {
            a.cmp(b).then_with(|| (younger.started, younger.born).cmp(&(older.started, older.born)))
        });
        containers.dedup_by(|(name, _), (kept, _)| name == kept);
        let readings = |slot| state.chain.readings(slot, wanted);
        let containers: Vec<_> = containers.into_iter().map(|(name, slot)| (name, readings(slot))).collect();
        (!containers.is_empty()).then(|| PodUsage { pod: pod.clone(), readings: readings(slot), containers })
    }

    /// The newest of a pod. A pod none of whose containers runs is not shown.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str, now: UnixNanos) -> Option<PodUsage> {
        self.pod_with(namespace, name, now, MetricSet::ALL)
    }

    /// As [`ClusterStore::pod`], with the `wanted` metrics only, which is cheaper. The pod's own readings have no values
    /// when none of them is a pod's own (network, pressure, ephemeral storage).
    #[must_use]
    pub fn pod_with(&self, namespace: &str, name: &str, now: UnixNanos, wanted: MetricSet) -> Option<PodUsage> {
        let pod = self.directory().pod(namespace, name).cloned()?;
        self.pod_usage(&pod, now, wanted)
    }

    /// The newest of all pods, or of those of a namespace, one after the other, ascending by (namespace, name).
    pub fn each_pod(&self, namespace: Option<&str>, now: UnixNanos, each: &mut dyn FnMut(PodUsage)) {
        self.each_pod_of(namespace, now, MetricSet::ALL, &|_| true, each);
    }

    /// As [`ClusterStore::each_pod`], with the `wanted` metrics of the `chosen` pods only, as in [`ClusterStore::pod_with`].
    pub fn each_pod_of(
        &self,
        namespace: Option<&str>,
        now: UnixNanos,
        wanted: MetricSet,
        chosen: &dyn Fn(&PodRecord) -> bool,
        each: &mut dyn FnMut(PodUsage),
    ) {
        let mut last: Option<Arc<KnownPod>> = None;
        loop {
            let after = last.as_ref().map(|pod| (&pod.record.namespace, &pod.record.name));
            let pods = self.directory().pods_after(namespace, after, PODS_AT_A_TIME);
            for pod in pods.iter().filter(|pod| chosen(&pod.record)) {
                if let Some(usage) = self.pod_usage(pod, now, wanted) {
                    each(usage);
                }
            }
            last = pods.last().cloned();
            if last.is_none() {
                return;
            }
        }
    }

    /// How full it is, and what happened since the start.
    #[must_use]
    pub fn stats(&self) -> ClusterStats {
        let mut stats = ClusterStats { history_budget_bytes: self.shared.options.budget_bytes, ..Default::default() };
        (stats.known_nodes, stats.known_pods) = self.record_counts();
        for cell in self.cells() {
            let state = cell.state();
            stats.nodes += u64::from(state.chain.sequence != 0);
            stats.entities += state.chain.slots.iter().count() as u64;
            stats.newest_bytes += state.chain.newest_bytes();
            stats.samples += state.samples();
            stats.oldest = [stats.oldest, state.oldest()].into_iter().flatten().min();
            stats.newest = stats.newest.max((state.chain.sequence != 0).then_some(state.chain.wall));
            stats.refused.iter_mut().zip(state.refused).for_each(|(sum, refused)| *sum += refused);
        }
        let counts = &self.shared.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.history_bytes = self.shared.history_bytes.load(Ordering::Relaxed);
        stats.pushes = read(&counts.pushes);
        stats.accepted_samples = read(&counts.samples);
        stats.duplicate_samples = read(&counts.duplicates);
        stats.shed_batches = read(&counts.shed_batches);
        stats.refused_pushes = [
            ("need_alone", read(&counts.need_alone)),
            ("malformed", read(&counts.malformed)),
            ("future", read(&counts.future)),
            ("unknown_node", read(&counts.unknown_node)),
        ];
        stats
    }
}

/// How full the store is, and what happened since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterStats {
    /// Nodes and pods that the API server knows.
    pub known_nodes: usize,
    /// Pods that the API server knows.
    pub known_pods: usize,
    /// Nodes that have pushed.
    pub nodes: u64,
    /// Nodes, pods and containers with newest values.
    pub entities: u64,
    /// Bytes of the newest values.
    pub newest_bytes: usize,
    /// Samples that can be asked for.
    pub samples: u64,
    /// Bytes of the history.
    pub history_bytes: usize,
    /// Bytes that it may have.
    pub history_budget_bytes: usize,
    /// When the oldest sample that can be asked for was read.
    pub oldest: Option<UnixNanos>,
    /// When the newest one was.
    pub newest: Option<UnixNanos>,
    /// Pods and containers that are not believed now, by [`Refusal`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Pushes that were taken.
    pub pushes: u64,
    /// Samples that were taken.
    pub accepted_samples: u64,
    /// Samples that were here already.
    pub duplicate_samples: u64,
    /// Runs of samples that were forgotten before their time, to stay within the budget.
    pub shed_batches: u64,
    /// Pushes that were refused, by reason.
    pub refused_pushes: [(&'static str, u64); 4],
}
