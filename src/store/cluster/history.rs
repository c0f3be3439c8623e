//! Questions about the past: one metric, for groups of pods, over a span of time.
//!
//! In: a [`HistoryQuery`]. Out: one series per group. A node's samples are walked from the newest one back, and what each
//! entity did between two of them goes to its group. It changes nothing, and locks one node at a time.
//! Next: `view::kube_api`.
//!
//! What a point is: of a gauge the sum of the values that were read last at that time; of a counter the growth per second
//! in the step that ends there, over the part of the step that was observed. A counter that falls has grown by nothing in
//! that interval, a container that began within it by all it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::chain::Chain;
use super::cluster_store::ClusterStore;
use super::entity::{Slots, Who};
use super::metric::{Metric, MetricKind};
use super::node::{NodeState, nanos};
use super::past::{Gone, OWN_OF_PODS, SAMPLES_OF_A_BATCH, Whose, each_delta_of};
use super::record::PodRecord;
use crate::units::UnixNanos;

/// Most points of a series; of a longer span the newest ones are given.
pub const MOST_POINTS: usize = 11_000;

/// What a series stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// Everything.
    Cluster,
    /// Each node.
    Node,
    /// Each namespace.
    Namespace,
    /// Each workload: kind and name in a namespace.
    Workload,
    /// Each pod.
    Pod,
    /// Each container of each pod, by name: a restarted one goes on.
    Container,
    /// Each value of this label of pods; a pod without it counts for the empty value.
    Label(Arc<str>),
}

/// A question.
#[derive(Clone)]
pub struct HistoryQuery<'a> {
    /// What.
    pub metric: Metric,
    /// For whom each.
    pub by: GroupBy,
    /// Pods of this namespace only.
    pub namespace: Option<&'a str>,
    /// This node, or pods on it, only.
    pub node: Option<&'a str>,
    /// Only the group of this name: of the node, namespace, workload, pod (with all its containers) or label value.
    pub name: Option<&'a str>,
    /// Only pods for which this holds. Without it and without a namespace, nodes and the cluster are what the nodes
    /// themselves read, which is more than the sum of their pods.
    pub pods: Option<&'a dyn Fn(&PodRecord) -> bool>,
    /// The first point.
    pub from: UnixNanos,
    /// No point is behind it.
    pub to: UnixNanos,
    /// From point to point; zero is one point at `from`.
    pub step: Duration,
}

/// An answer's series.
#[derive(Debug, Clone, PartialEq)]
pub struct HistorySeries {
    /// Labels that name the group: `node`; `namespace`; `workload_kind`, `workload`; `pod`; `container`; or the label.
    pub group: Vec<(Arc<str>, Arc<str>)>,
    /// Points, ascending; there is none where nothing is known.
    pub points: Vec<(UnixNanos, f64)>,
}

type GroupKey = Vec<Arc<str>>;

/// Points at `from`, `from + step`, …
#[derive(Debug, Clone, Copy)]
struct Grid {
    from: u64,
    step: u64,
    count: usize,
}

impl Grid {
    fn of(query: &HistoryQuery<'_>) -> Self {
        let span = query.to.0.saturating_sub(query.from.0);
        let step = nanos(query.step);
        let steps = span.checked_div(step).unwrap_or(0);
        let most = MOST_POINTS as u64 - 1;
        let skipped = steps.saturating_sub(most);
        let count = if query.to < query.from { 0 } else { usize::try_from(steps.min(most)).unwrap_or(0) + 1 };
        let from = query.from.0.saturating_add(skipped.saturating_mul(step));
        Self { from, step: step.max(1), count }
    }

    fn at(self, number: usize) -> u64 {
        self.from.saturating_add(self.step.saturating_mul(number as u64))
    }

    /// Number of the first point at or behind an instant.
    fn first_from(self, instant: u64) -> usize {
        let number = instant.saturating_sub(self.from).div_ceil(self.step);
        usize::try_from(number).unwrap_or(usize::MAX).min(self.count)
    }

    /// Points in [from, until).
    fn within(self, from: u64, until: u64) -> std::ops::Range<usize> {
        self.first_from(from)..self.first_from(until)
    }

    /// The steps that (from, until] has a part in, by the number of their last point, and how much of it, in nanoseconds.
    fn parts(self, from: u64, until: u64) -> impl Iterator<Item = (usize, f64)> {
        // A step ends at its point: the last one that matters is the one that ends at `until` or behind it.
        let first = self.first_from(from.saturating_add(1));
        let last = self.first_from(until).min(self.count.saturating_sub(1));
        (first..last.saturating_add(1)).filter_map(move |number| {
            let end = self.at(number);
            let start = end.saturating_sub(self.step).max(from);
            let part = end.min(until).checked_sub(start).filter(|part| *part > 0)?;
            (number < self.count).then(|| (number, float(part)))
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "sums and rates are shown with 15 digits at most")]
fn float(number: u64) -> f64 {
    number as f64
}

/// What belongs to nobody who is asked for.
const NOBODY: u32 = u32::MAX;

/// One node's part of the answer.
struct Local<'q, 'a> {
    query: &'q HistoryQuery<'a>,
    grid: Grid,
    node: Arc<str>,
    groups: HashMap<GroupKey, u32>,
    /// By group and point; not a number where nothing is known.
    points: Vec<f64>,
    /// Of counters: how much of each step was observed.
    observed: Vec<f64>,
}

impl Local<'_, '_> {
    fn group(&mut self, key: GroupKey) -> u32 {
        let next = u32::try_from(self.groups.len()).unwrap_or(NOBODY);
        let (points, count) = (&mut self.points, self.grid.count);
        *self.groups.entry(key).or_insert_with(|| {
            points.resize(points.len() + count, f64::NAN);
            next
        })
    }

    /// Whether nodes answer for themselves.
    fn nodes_themselves(&self) -> bool {
        matches!(self.query.by, GroupBy::Cluster | GroupBy::Node)
            && self.query.namespace.is_none()
            && self.query.pods.is_none()
    }

    fn of_node(&mut self) -> u32 {
        match self.query.by {
            GroupBy::Cluster if self.nodes_themselves() => self.group(Vec::new()),
            GroupBy::Node if self.nodes_themselves() => self.group(vec![self.node.clone()]),
            _ => NOBODY,
        }
    }

    fn of_pod(&mut self, pod: &PodRecord) -> u32 {
        let own = OWN_OF_PODS.has(self.query.metric) && self.query.by != GroupBy::Container;
        if own { self.of_pods(pod, None) } else { NOBODY }
    }

    fn of_container(&mut self, name: &Arc<str>, pod: &PodRecord) -> u32 {
        let summed = !OWN_OF_PODS.has(self.query.metric) || self.query.by == GroupBy::Container;
        if summed { self.of_pods(pod, Some(name)) } else { NOBODY }
    }

    fn of_pods(&mut self, pod: &PodRecord, container: Option<&Arc<str>>) -> u32 {
        let query = self.query;
        let chosen = query.namespace.is_none_or(|namespace| namespace == &*pod.namespace)
            && query.pods.is_none_or(|pods| pods(pod));
        if !chosen || self.nodes_themselves() {
            return NOBODY;
        }
        let namespace = || pod.namespace.clone();
        let (name, key) = match &query.by {
            GroupBy::Cluster => return self.group(Vec::new()),
            GroupBy::Node => (self.node.clone(), vec![self.node.clone()]),
            GroupBy::Namespace => (namespace(), vec![namespace()]),
            GroupBy::Workload => {
                (pod.workload.name.clone(), vec![namespace(), pod.workload.kind.clone(), pod.workload.name.clone()])
            }
            GroupBy::Pod => (pod.name.clone(), vec![namespace(), pod.name.clone()]),
            GroupBy::Container => {
                (pod.name.clone(), vec![namespace(), pod.name.clone(), container.cloned().unwrap_or_default()])
            }
            GroupBy::Label(label) => {
                let value = pod.labels.iter().find(|(key, _)| key == label).map(|(_, value)| value.clone());
                let value = value.unwrap_or_default();
                (value.clone(), vec![value])
            }
        };
        if query.name.is_some_and(|wanted| wanted != &*name) { NOBODY } else { self.group(key) }
    }

    fn of_gone(&mut self, gone: &Gone) -> u32 {
        match &gone.whose {
            Whose::Node => self.of_node(),
            Whose::Pod(pod) => self.of_pod(pod),
            Whose::Container(name, pod) => self.of_container(name, pod),
            Whose::Nobody => NOBODY,
        }
    }

    fn of_slot(&mut self, who: &Who, slots: &Slots) -> u32 {
        match who {
            Who::Node => self.of_node(),
            Who::Pod(standing) => standing.record().map_or(NOBODY, |pod| self.of_pod(pod)),
            Who::Container(name, pod) => match slots.get(*pod).map(|slot| &slot.who) {
                Some(Who::Pod(standing)) => standing.record().map_or(NOBODY, |pod| self.of_container(name, pod)),
                _ => NOBODY,
            },
        }
    }

    fn add(&mut self, group: u32, point: usize, amount: f64) {
        if let Some(sum) = self.points.get_mut(group as usize * self.grid.count + point) {
            *sum = if sum.is_nan() { amount } else { *sum + amount };
        }
    }
}

/// One entity on the way back.
#[derive(Debug, Clone, Copy)]
struct Walked {
    group: u32,
    cell: u64,
    delta: i64,
    started: u64,
}

/// A chain on the way back.
struct WalkBack<'w, 'q, 'a> {
    local: &'w mut Local<'q, 'a>,
    entities: Vec<Walked>,
    gone: std::iter::Rev<std::collections::vec_deque::Iter<'w, Gone>>,
    next_gone: Option<&'w Gone>,
    counter: bool,
    metric: usize,
    /// Nothing at or behind it counts: a later chain does.
    until: u64,
    /// For so long a gauge's value stands when no sample follows.
    holds: u64,
    /// Time of the sample behind the one that is looked at.
    later: Option<u64>,
}

impl<'w, 'q, 'a> WalkBack<'w, 'q, 'a> {
    fn of(chain: &'w Chain, until: UnixNanos, holds: u64, local: &'w mut Local<'q, 'a>) -> Self {
        let metric = local.query.metric as usize;
        let counter = local.query.metric.info().kind == MetricKind::Counter;
        let absent = Walked { group: NOBODY, cell: 0, delta: 0, started: 0 };
        let mut entities = vec![absent; chain.slots.len()];
        for (index, slot) in chain.slots.iter() {
            let group = local.of_slot(&slot.who, &chain.slots);
            let table = chain.tables.get(slot.who.kind());
            let cell = table.map_or(0, |table| table.get(slot.row, metric));
            if let Some(entity) = entities.get_mut(usize::from(index)) {
                *entity = Walked { group, cell, delta: 0, started: slot.started.0 };
            }
        }
        let mut gone = chain.past.gone.iter().rev();
        let next_gone = gone.next();
        Self { local, entities, gone, next_gone, counter, metric, until: until.0, holds, later: None }
    }

    fn delta(&mut self, index: usize, delta: i64) {
        if let Some(entity) = self.entities.get_mut(index) {
            entity.delta = delta;
        }
    }

    /// Goes back over one sample, whose differences were told; `earlier` is the time of the one before it.
    fn sample(&mut self, sequence: u64, wall: u64, earlier: Option<u64>) {
        if self.counter {
            self.growth(wall, earlier);
        } else {
            self.values(wall);
        }
        for entity in &mut self.entities {
            entity.cell = entity.cell.wrapping_add_signed(entity.delta.wrapping_neg());
            entity.delta = 0;
        }
        while let Some(gone) = self.next_gone.filter(|gone| gone.sequence >= sequence) {
            self.next_gone = self.gone.next();
            let group = self.local.of_gone(gone);
            let has = gone.mask >> self.metric & 1 == 1;
            let place = (gone.mask & ((1 << self.metric) - 1)).count_ones() as usize;
            let cell = gone.cells.get(place).copied().filter(|_| has).unwrap_or(0);
            if let Some(entity) = self.entities.get_mut(usize::from(gone.index)) {
                *entity = Walked { group, cell, delta: 0, started: gone.started.0 };
            }
        }
        self.later = Some(wall);
    }

    fn growth(&mut self, wall: u64, earlier: Option<u64>) {
        let Some(earlier) = earlier.filter(|earlier| wall <= self.until && *earlier < wall) else { return };
        let interval = float(wall - earlier);
        let grid = self.local.grid;
        for (point, part) in grid.parts(earlier, wall) {
            if let Some(observed) = self.local.observed.get_mut(point) {
                *observed += part;
            }
            for entity in &self.entities {
                if entity.group == NOBODY || entity.cell == 0 {
                    continue;
                }
                let before = entity.cell.wrapping_add_signed(entity.delta.wrapping_neg());
                let before = match before {
                    // Absent before; a counter is 0 when it begins.
                    0 if earlier <= entity.started && entity.started < wall => 1,
                    0 => continue,
                    before => before,
                };
                let Some(growth) = entity.cell.checked_sub(before) else { continue };
                self.local.add(entity.group, point, float(growth) * part / interval);
            }
        }
    }

    fn values(&mut self, wall: u64) {
        let until = self.later.unwrap_or(u64::MAX).min(self.until).min(wall.saturating_add(self.holds));
        for point in self.local.grid.within(wall, until) {
            for entity in &self.entities {
                if entity.group != NOBODY && entity.cell != 0 {
                    self.local.add(entity.group, point, float(entity.cell - 1));
                }
            }
        }
    }
}

fn walk_back(chain: &Chain, until: UnixNanos, holds: u64, local: &mut Local<'_, '_>) {
    let mut back = WalkBack::of(chain, until, holds, local);
    let past = &chain.past;
    let metric = back.metric;
    let oldest = back.local.grid.from.saturating_sub(back.local.grid.step.max(holds));
    for (number, frame) in past.frames.iter().enumerate().rev() {
        let before = number.checked_sub(1).and_then(|before| past.frames.get(before));
        let earlier = before.map(|before| before.wall).or(past.batches.back().map(|batch| batch.newest));
        each_delta_of(&frame.bytes, metric, |index, delta| back.delta(index as usize, delta));
        back.sample(frame.sequence, frame.wall.0, earlier.map(|earlier| earlier.0));
    }
    let mut heads = Vec::with_capacity(SAMPLES_OF_A_BATCH);
    let mut runs = Vec::new();
    for (number, batch) in past.batches.iter().enumerate().rev() {
        if batch.newest.0 < oldest {
            return;
        }
        runs.clear();
        batch.read(metric, &mut heads, |index, run| runs.push((index, *run)));
        let before = number.checked_sub(1).and_then(|before| past.batches.get(before)).map(|batch| batch.newest.0);
        for (place, (sequence, wall)) in heads.iter().enumerate().rev() {
            for (index, run) in &runs {
                back.delta(*index, run.get(place).copied().unwrap_or(0));
            }
            let earlier = place.checked_sub(1).and_then(|place| heads.get(place)).map(|(_, wall)| wall.0);
            back.sample(*sequence, wall.0, earlier.or(before));
        }
    }
}

impl ClusterStore {
    /// Answers a question, ascending by group.
    #[must_use]
    pub fn history(&self, query: &HistoryQuery<'_>) -> Vec<HistorySeries> {
        let grid = Grid::of(query);
        let holds = nanos(self.shared.options.stale_after);
        let mut groups: BTreeMap<GroupKey, Vec<f64>> = BTreeMap::new();
        for cell in self.cells() {
            if query.node.is_some_and(|node| node != &*cell.name) || grid.count == 0 {
                continue;
            }
            if query.by == GroupBy::Node && query.name.is_some_and(|name| name != &*cell.name) {
                continue;
            }
            let mut local = Local {
                query,
                grid,
                node: cell.name.clone(),
                groups: HashMap::new(),
                points: Vec::new(),
                observed: vec![0.0; grid.count],
            };
            node_history(&cell.state(), holds, &mut local);
            merge(local, &mut groups);
        }
        let all = groups.into_iter().map(|(key, points)| series(query, grid, key, &points));
        all.filter(|series| !series.points.is_empty()).collect()
    }
}

fn node_history(state: &NodeState, holds: u64, local: &mut Local<'_, '_>) {
    if state.record.is_none() {
        return;
    }
    walk_back(&state.chain, UnixNanos(u64::MAX), holds, local);
    for frozen in state.frozen.iter().rev() {
        walk_back(&frozen.chain, frozen.until, holds, local);
    }
}

fn merge(local: Local<'_, '_>, groups: &mut BTreeMap<GroupKey, Vec<f64>>) {
    let count = local.grid.count;
    let counter = local.query.metric.info().kind == MetricKind::Counter;
    for (key, group) in local.groups {
        let start = group as usize * count;
        let points = local.points.get(start..start + count).unwrap_or_default();
        let sums = groups.entry(key).or_insert_with(|| vec![f64::NAN; count]);
        for ((sum, point), observed) in sums.iter_mut().zip(points).zip(&local.observed) {
            let amount = if counter { point * 1e9 / observed } else { *point };
            if !amount.is_nan() {
                *sum = if sum.is_nan() { amount } else { *sum + amount };
            }
        }
    }
}

fn series(query: &HistoryQuery<'_>, grid: Grid, key: GroupKey, points: &[f64]) -> HistorySeries {
    let names: Vec<Arc<str>> = match &query.by {
        GroupBy::Cluster => Vec::new(),
        GroupBy::Node => vec!["node".into()],
        GroupBy::Namespace => vec!["namespace".into()],
        GroupBy::Workload => vec!["namespace".into(), "workload_kind".into(), "workload".into()],
        GroupBy::Pod => vec!["namespace".into(), "pod".into()],
        GroupBy::Container => vec!["namespace".into(), "pod".into(), "container".into()],
        GroupBy::Label(label) => vec![label.clone()],
    };
    let known = points.iter().enumerate().filter(|(_, point)| !point.is_nan());
    let points = known.map(|(number, point)| (UnixNanos(grid.at(number)), *point)).collect();
    HistorySeries { group: names.into_iter().zip(key).collect(), points }
}
