//! More than was recorded: a trace that goes on after its end, and a node with more containers than were there.
//!
//! In: a trace's samples. Out: samples of the same shape, as many as are asked for. Nothing is made up but the seam: a
//! counter goes on from where it ended, by the step it first made; a gauge jumps from its last value to its first.

use std::collections::HashMap;
use std::sync::Arc;

use ringside::discover::CgroupKind;
use ringside::sample::catalogue::{Kind, Table};
use ringside::sample::row::Row;
use ringside::sample::{NodeSample, Roster, Subject, SubjectId};
use ringside::units::MonotonicNanos;

use super::At;

/// What one pass adds to a counter: from its first value to where the next pass begins.
#[derive(Debug, Clone, Copy)]
struct Gain {
    first: u64,
    second: Option<u64>,
    last: u64,
}

impl Gain {
    fn per_pass(self) -> u64 {
        let step = self.second.map_or(0, |second| second.saturating_sub(self.first));
        self.last.saturating_sub(self.first).saturating_add(step)
    }
}

/// A trace without end. The first pass is the trace itself.
pub struct Replay {
    samples: Vec<Arc<NodeSample>>,
    /// By subject and column; gauges have none.
    gains: HashMap<(SubjectId, usize), Gain>,
    pass_ticks: u64,
    pass_nanos: u64,
    next: usize,
    pass: u64,
    /// The rosters of this pass, by their generation in the trace.
    rosters: HashMap<u64, Arc<Roster>>,
}

impl Replay {
    /// From the first tick of a trace.
    pub fn new(samples: Vec<Arc<NodeSample>>) -> Self {
        let mut gains: HashMap<(SubjectId, usize), Gain> = HashMap::new();
        for sample in &samples {
            for (subject, row) in Table::ALL.into_iter().flat_map(|table| sample.iter(table)) {
                for (column, _) in counters(subject.table) {
                    let Some(value) = row.cell_at(column).value() else { continue };
                    let gain = gains.entry((subject.id, column));
                    gain.and_modify(|gain| {
                        gain.second.get_or_insert(value);
                        gain.last = value;
                    })
                    .or_insert(Gain { first: value, second: None, last: value });
                }
            }
        }
        let (mut pass_ticks, mut pass_nanos) = (0, 0);
        if let [first, .., last] = samples.as_slice() {
            pass_ticks = last.tick - first.tick + 1;
            let nanos = last.started_at.since(first.started_at);
            pass_nanos = nanos + nanos / (pass_ticks - 1).max(1);
        }
        Self { samples, gains, pass_ticks, pass_nanos, next: 0, pass: 0, rosters: HashMap::new() }
    }

    fn continued(&mut self, from: &NodeSample) -> NodeSample {
        let nanos = self.pass_nanos * self.pass;
        let mut sample = from.clone();
        sample.tick += self.pass_ticks * self.pass;
        sample.started_at.0 += nanos;
        sample.ended_at.0 += nanos;
        sample.wall.0 += nanos;
        sample.roster = self.roster(&from.roster);
        for table in Table::ALL {
            let Some(rows) = sample.rows_mut(table) else { continue };
            rows.clear();
            for (subject, row) in from.iter(table) {
                let mut changed = Row::of(row);
                for (column, _) in counters(table) {
                    let gain = self.gains.get(&(subject.id, column)).map_or(0, |gain| gain.per_pass());
                    if let Some(value) = row.cell_at(column).value() {
                        changed.put(At(column), Some(value.saturating_add(gain.saturating_mul(self.pass))));
                    }
                }
                changed.read_at = MonotonicNanos(row.read_at.0 + nanos);
                rows.push(changed.as_ref());
            }
        }
        sample
    }

    /// The roster in this pass: the same one as long as nobody comes or goes within the trace.
    fn roster(&mut self, from: &Arc<Roster>) -> Arc<Roster> {
        let ends = self.samples.first().zip(self.samples.last());
        if ends.is_none_or(|(first, last)| Arc::ptr_eq(&first.roster, &last.roster)) {
            return Arc::clone(from);
        }
        let most = self.samples.last().map_or(0, |last| last.roster.generation);
        let pass = self.pass;
        let made = self.rosters.entry(from.generation).or_insert_with(|| {
            let mut roster = Roster::clone(from);
            roster.generation += most * pass;
            Arc::new(roster)
        });
        Arc::clone(made)
    }
}

impl Iterator for Replay {
    type Item = Arc<NodeSample>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.samples.len() {
            self.next = 0;
            self.pass += 1;
            self.rosters.clear();
        }
        let from = Arc::clone(self.samples.get(self.next)?);
        self.next += 1;
        Some(if self.pass == 0 { from } else { Arc::new(self.continued(&from)) })
    }
}

fn counters(table: Table) -> impl Iterator<Item = (usize, Kind)> {
    let kinds = table.metrics().iter().map(|metric| metric.kind).enumerate();
    kinds.filter(|(_, kind)| *kind == Kind::Counter)
}

/// Ids of copies lie this far apart.
const COPY_IDS: u64 = 1 << 32;

/// Makes more containers of those that are there: copies with ids, paths and container IDs of their own.
#[derive(Default)]
pub struct Replicator {
    containers: usize,
    seen: Option<Arc<Roster>>,
    roster: Arc<Roster>,
    /// By table, the row that each row of the copy is taken from.
    sources: [Vec<usize>; Table::ALL.len()],
}

impl Replicator {
    /// A node with so many containers; all of the trace's if that is more.
    pub fn new(containers: usize) -> Self {
        Self { containers, ..Self::default() }
    }

    /// The sample with more containers.
    pub fn replicate(&mut self, sample: &NodeSample) -> Arc<NodeSample> {
        if !self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &sample.roster)) {
            self.seen = Some(Arc::clone(&sample.roster));
            self.plan(&sample.roster);
        }
        let mut made = NodeSample::new();
        made.tick = sample.tick;
        made.started_at = sample.started_at;
        made.ended_at = sample.ended_at;
        made.wall = sample.wall;
        made.machine = Arc::clone(&sample.machine);
        made.roster = Arc::clone(&self.roster);
        for (table, sources) in Table::ALL.into_iter().zip(&self.sources) {
            let (Some(from), Some(to)) = (sample.rows(table), made.rows_mut(table)) else { continue };
            sources.iter().filter_map(|source| from.get(*source)).for_each(|row| to.push(row));
        }
        Arc::new(made)
    }

    fn plan(&mut self, from: &Roster) {
        let is_container = |subject: &&Arc<Subject>| {
            subject.workload.as_ref().is_some_and(|workload| workload.identity.kind == CgroupKind::Container)
        };
        let cgroups = from.subjects(Table::Cgroup);
        let containers: Vec<SubjectId> = cgroups.iter().filter(is_container).map(|subject| subject.id).collect();
        let copies = (0..).map(|copy| containers.iter().map(move |container| (copy, *container)));
        let mut roster = Roster::default();
        roster.generation = from.generation;
        for (table, sources) in Table::ALL.into_iter().zip(&mut self.sources) {
            sources.clear();
            let subjects = from.subjects(table);
            let Some(room) = roster.subjects_mut(table) else { continue };
            for (row, subject) in subjects.iter().enumerate() {
                sources.push(row);
                room.push(Arc::clone(subject));
            }
            let more = self.containers.saturating_sub(containers.len());
            for (copy, container) in
                copies.clone().flatten().skip(containers.len()).take(if containers.is_empty() { 0 } else { more })
            {
                for (row, subject) in subjects.iter().enumerate() {
                    if subject.id == container || subject.owner == Some(container) {
                        sources.push(row);
                        room.push(Arc::new(copied(subject, copy)));
                    }
                }
            }
        }
        self.roster = Arc::new(roster);
    }
}

fn copied(subject: &Subject, copy: u64) -> Subject {
    let other = |id: SubjectId| SubjectId(id.0 + copy * COPY_IDS);
    // A container ID stays as long as it was: its first digits give way to the copy's number.
    let renamed = |id: &str| format!("{copy:08x}{}", id.get(8..).unwrap_or_default());
    let mut made = Subject { id: other(subject.id), owner: subject.owner.map(other), ..subject.clone() };
    if let Some(workload) = &mut made.workload {
        let workload = Arc::make_mut(workload);
        if let Some(id) = workload.identity.container_id.take() {
            let new = renamed(&id);
            workload.identity.path = workload.identity.path.replace(id.as_ref(), &new).into();
            workload.identity.container_id = Some(new.into());
        }
        if made.table == Table::Cgroup {
            made.name = Arc::clone(&workload.identity.path);
        }
    }
    made
}
