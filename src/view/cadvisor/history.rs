//! What a container used, tick by tick, from the ring.
//!
//! In: a container and which ticks are asked for. Out: [`Stats`], oldest first; what belongs to it (devices, interfaces, huge
//! pages) is put to the tick that it was read at. The number of ticks of one answer is bounded: many containers get fewer
//! each. Next: [`routes`](super::routes).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Refused;
use super::fill::{self, Pressures};
use super::model::{DiskIo, NetworkStats, Stats};
use super::request::{MOST_STATS, Window};
use super::tree::{Container, Tree};
use crate::sample::catalogue::{CgroupColumn, NodeColumn, Table};
use crate::sample::row::{Column, Row};
use crate::sample::{Subject, SubjectId};
use crate::units::UnixNanos;

/// Most ticks of all containers of one answer: some 15 MB of JSON.
const TICKS_OF_AN_ANSWER: usize = 6_000;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the history of several containers.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    tree: &'a Tree<'a>,
    window: Window,
    deadline: Instant,
}

/// One tick of one subject.
struct Tick {
    wall: UnixNanos,
    row: Row,
}

impl<'a> Reader<'a> {
    /// A reader for so many containers.
    pub fn new(tree: &'a Tree<'a>, window: Window, containers: usize) -> Self {
        let share = (TICKS_OF_AN_ANSWER / containers.max(1)).max(1);
        let window = Window { count: window.count.min(share), ..window };
        Self { tree, window, deadline: Instant::now() + PATIENCE }
    }

    /// Most ticks of one container.
    #[cfg(test)]
    pub const fn ticks_of_each(&self) -> usize {
        self.window.count
    }

    /// Wall clocks between which the ticks are looked for.
    fn span(&self) -> (UnixNanos, UnixNanos) {
        let sample = self.tree.sample;
        let end = self.window.end.unwrap_or(sample.wall);
        let interval = sample.self_stats.interval_nanos.max(1_000_000);
        let back = |ticks: usize| interval.saturating_mul(u64::try_from(ticks).unwrap_or(u64::MAX));
        let start = match self.window.start {
            Some(start) => start.0.max(end.0.saturating_sub(back(MOST_STATS))),
            // Twice as far as the ticks reach: some may have been missed.
            None => end.0.saturating_sub(back(self.window.count.saturating_mul(2).saturating_add(2))),
        };
        (UnixNanos(start), end)
    }

    /// The newest rows of a subject within the window, oldest first.
    fn rows(&self, subject: SubjectId, columns: Option<&[usize]>) -> VecDeque<Tick> {
        let (start, end) = self.span();
        let mut ticks: VecDeque<Tick> = VecDeque::new();
        // A subject that nothing is kept of has no ticks.
        let _ = self.tree.source.store.rows(subject, columns, start, end, |observed| {
            if self.window.count == 0 {
                return;
            }
            if ticks.len() == self.window.count {
                ticks.pop_front();
            }
            ticks.push_back(Tick { wall: observed.wall, row: Row::of(observed.row) });
        });
        ticks
    }

    /// The statistics of one container.
    pub fn stats(&self, container: &Container<'_>) -> Result<Vec<Stats>, Refused> {
        if Instant::now() > self.deadline {
            let seconds = PATIENCE.as_secs();
            let text = format!("this took longer than {seconds} s: ask for fewer containers or fewer stats");
            return Err(Refused::TooMuch(text));
        }
        let of_root = fill::is_root(container.subject);
        let rows = self.rows(container.subject.id, None);
        let mut stats: Vec<Stats> = Vec::with_capacity(rows.len());
        let mut places = BTreeMap::new();
        for Tick { wall, row } in &rows {
            places.insert(*wall, stats.len());
            stats.push(fill::stats(*wall, &row.as_ref(), of_root));
        }
        self.put_devices(container, &places, &mut stats);
        self.put_interfaces(container, &places, &mut stats);
        for subject in self.tree.owned(Table::Hugetlb, container) {
            self.each(subject, None, &places, &mut stats, |stats, row| {
                stats.hugetlb.insert(subject.name.to_string(), fill::hugetlb(&row.as_ref()));
            });
        }
        self.put_pressure(&rows, of_root, &places, &mut stats);
        if let Some(newest) =
            stats.last_mut().filter(|_| rows.back().is_some_and(|tick| tick.wall == self.tree.sample.wall))
        {
            newest.filesystem = self.tree.filesystems(container);
        }
        Ok(stats)
    }

    fn put_devices(&self, container: &Container<'_>, places: &BTreeMap<UnixNanos, usize>, stats: &mut [Stats]) {
        for subject in self.tree.owned(Table::Device, container) {
            self.each(subject, None, places, stats, |stats, row| {
                let (bytes, operations) = fill::device(subject, &row.as_ref());
                let diskio = stats.diskio.get_or_insert_with(DiskIo::default);
                diskio.io_service_bytes.push(bytes);
                diskio.io_serviced.push(operations);
            });
        }
    }

    fn put_interfaces(&self, container: &Container<'_>, places: &BTreeMap<UnixNanos, usize>, stats: &mut [Stats]) {
        for subject in self.tree.owned(Table::Interface, container) {
            self.each(subject, None, places, stats, |stats, row| {
                let interface = fill::interface(subject, &row.as_ref());
                let network = stats.network.get_or_insert_with(NetworkStats::default);
                if network.interfaces.is_empty() {
                    network.first = interface.clone();
                }
                network.interfaces.push(interface);
            });
        }
    }

    /// Pressure is the cgroup's own; the root's stands in the node's row.
    fn put_pressure(
        &self,
        rows: &VecDeque<Tick>,
        of_root: bool,
        places: &BTreeMap<UnixNanos, usize>,
        stats: &mut [Stats],
    ) {
        match self.tree.sample.roster.subjects(Table::Node).first().filter(|_| of_root) {
            Some(node) => {
                let columns: Vec<usize> =
                    (NodeColumn::CpuPressureSomeTotalUsec.index()..=NodeColumn::IoPressureFullAvg300.index()).collect();
                self.each(node, Some(&columns), places, stats, |stats, row| {
                    Pressures::of_node(&row.as_ref()).put(stats);
                });
            }
            None => {
                for (stats, Tick { row, .. }) in stats.iter_mut().zip(rows) {
                    if row.value(CgroupColumn::IoPressureSomeTotalUsec).is_some() {
                        stats.diskio.get_or_insert_with(DiskIo::default);
                    }
                    Pressures::of_cgroup(&row.as_ref()).put(stats);
                }
            }
        }
    }

    /// Calls `put` with each row of a subject and the statistics of the same tick.
    fn each(
        &self,
        subject: &Subject,
        columns: Option<&[usize]>,
        places: &BTreeMap<UnixNanos, usize>,
        stats: &mut [Stats],
        mut put: impl FnMut(&mut Stats, &Row),
    ) {
        for Tick { wall, row } in self.rows(subject.id, columns) {
            if let Some(stats) = places.get(&wall).and_then(|place| stats.get_mut(*place)) {
                put(stats, &row);
            }
        }
    }
}
