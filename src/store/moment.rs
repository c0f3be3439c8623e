//! The whole node at one instant of the past, in the shape of a live sample.
//!
//! In: an instant. Out: a [`Moment`]: the newest tick that is not later, and the one before it, which a rate needs. Of a
//! coarser tier it is the end of a bucket. Next: `view/`.

use std::sync::Arc;

use super::arena::{Arenas, Extent};
use super::head::{Head, read_at};
use super::ledger::Ledger;
use super::part::{Cells, offset_usec};
use super::segment::Times;
use super::tier::Tier;
use super::{Heads, Store};
use crate::sample::catalogue::Table;
use crate::sample::row::{Column, Row};
use crate::sample::{NodeSample, Roster, Subject, SubjectId};
use crate::units::{MonotonicNanos, UnixNanos};

/// The whole node at one instant of the past, in the shape of a live sample.
#[derive(Debug, Clone)]
pub struct Moment {
    /// How finely this part of the history is kept.
    pub tier: Tier,
    /// The tick at the instant, or the newest before it. Its tallies and self statistics are empty.
    pub newest: Arc<NodeSample>,
    /// The tick (or bucket) before it: what a rate needs. `None` at the beginning of history.
    pub before: Option<Arc<NodeSample>>,
}

/// One tick or bucket somewhere in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    wall: UnixNanos,
    /// Serial of its (last) tick.
    serial: u64,
    tier: Tier,
}

impl Store {
    /// The node as it was at an instant: at the newest tick that is not later. `None` before the beginning of history.
    #[must_use]
    pub fn moment(&self, at: UnixNanos) -> Option<Moment> {
        let machine = self.latest().map(|latest| Arc::clone(&latest.machine)).unwrap_or_default();
        let (newest, before, copied, in_segments) = {
            let heads = self.shared.heads();
            let arenas = self.shared.arenas();
            let newest = newest_until(&heads, &arenas, at)?;
            let before = last_before(&heads, &arenas, newest.serial);
            let in_heads = |found: &Found| found.serial >= heads.first_serial();
            // The heads are copied, so that the tick waits for the copy and not for the decoding.
            let copied: Vec<Head> = match in_heads(&newest) {
                true => heads.all().cloned().collect(),
                false => Vec::new(),
            };
            drop(heads);
            let ledger = self.shared.ledger();
            let in_segments = [Some(newest), before].map(|found| from_arenas(&arenas, &ledger, found?));
            (newest, before, copied, in_segments)
        };
        let ledger = self.shared.ledger();
        let [newest_sample, before_sample] = in_segments;
        let whole = |sample: Option<NodeSample>, found: Option<Found>| {
            let in_heads = || copied.iter().find_map(|head| from_head(head, &ledger, found?.serial));
            let mut sample = sample.or_else(in_heads)?;
            sample.machine = Arc::clone(&machine);
            Some(Arc::new(sample))
        };
        let newest_sample = whole(newest_sample, Some(newest))?;
        let before = whole(before_sample, before).filter(|before| before.started_at < newest_sample.started_at);
        Some(Moment { tier: newest.tier, newest: newest_sample, before })
    }
}

/// Calls `visit` with each point of a segment that counts: not those that a finer tier has, whose first serial is `limit`.
fn points(arenas: &Arenas, extent: &Extent, limit: u64, times: &mut Times, mut visit: impl FnMut(usize, Found)) {
    let info = extent.info;
    if arenas.of(info.tier).open(extent).and_then(|segment| segment.times(times)).is_none() {
        return;
    }
    let mut first = info.first;
    for point in 0..info.points {
        let serial = times.serial.get(point).copied().unwrap_or(0);
        if first < limit {
            visit(point, Found { wall: times.wall_of(point), serial, tier: info.tier });
        }
        first = serial + 1;
    }
}

/// For each tier the serial from which on a finer one has the ticks.
fn limits(heads: &Heads, arenas: &Arenas) -> [u64; Tier::ALL.len()] {
    let oldest = |tier| arenas.of(tier).extents().next().map_or(u64::MAX, |oldest: &Extent| oldest.info.first);
    let ten_seconds = heads.first_serial().min(oldest(Tier::Tick));
    [u64::MAX, ten_seconds, ten_seconds.min(oldest(Tier::TenSeconds))]
}

/// The newest point whose wall clock is not later than `at`; of two at the same instant the one that was read later.
fn newest_until(heads: &Heads, arenas: &Arenas, at: UnixNanos) -> Option<Found> {
    let mut best: Option<Found> = None;
    let consider = |best: &mut Option<Found>, found: Found| {
        let key = |found: &Found| (found.wall, found.serial);
        if found.wall <= at && best.is_none_or(|best| key(&best) < key(&found)) {
            *best = Some(found);
        }
    };
    for info in heads.all().flat_map(|head| &head.frames) {
        consider(&mut best, Found { wall: info.wall, serial: info.serial, tier: Tier::Tick });
    }
    let mut times = Times::default();
    for (tier, limit) in Tier::ALL.into_iter().zip(limits(heads, arenas)) {
        for extent in arenas.of(tier).extents().rev() {
            let bound = extent.info.latest.min(at);
            if extent.info.earliest <= at && best.is_none_or(|best| best.wall <= bound) {
                points(arenas, extent, limit, &mut times, |_, found| consider(&mut best, found));
            }
        }
    }
    best
}

/// The newest point before a serial.
fn last_before(heads: &Heads, arenas: &Arenas, serial: u64) -> Option<Found> {
    let mut best: Option<Found> = None;
    let consider = |best: &mut Option<Found>, found: Found| {
        if found.serial < serial && best.is_none_or(|best| best.serial < found.serial) {
            *best = Some(found);
        }
    };
    for info in heads.all().flat_map(|head| &head.frames) {
        consider(&mut best, Found { wall: info.wall, serial: info.serial, tier: Tier::Tick });
    }
    let mut times = Times::default();
    for (tier, limit) in Tier::ALL.into_iter().zip(limits(heads, arenas)) {
        if let Some(extent) = arenas.of(tier).extents().rev().find(|extent| extent.info.first < serial) {
            points(arenas, extent, limit, &mut times, |_, found| consider(&mut best, found));
        }
    }
    best
}

/// A sample in the making: rows in any order, sorted by table and subject at the end.
#[derive(Default)]
struct Gathering {
    rows: Vec<(Table, Arc<Subject>, Row)>,
    ended_at: MonotonicNanos,
}

impl Gathering {
    fn add(&mut self, ledger: &Ledger, subject: SubjectId, row: Row) {
        if let Some(known) = ledger.subjects.get(&subject) {
            self.ended_at = self.ended_at.max(row.read_at);
            self.rows.push((known.subject.table, Arc::clone(&known.subject), row));
        }
    }

    fn finish(mut self, serial: u64, wall: UnixNanos, started_at: MonotonicNanos) -> NodeSample {
        self.rows.sort_by_key(|(table, subject, _)| (*table, subject.id));
        let mut sample = NodeSample::new();
        let mut roster = Roster::default();
        for (table, subject, row) in self.rows {
            if let (Some(subjects), Some(rows)) = (roster.subjects_mut(table), sample.rows_mut(table)) {
                subjects.push(subject);
                rows.push(row.as_ref());
            }
        }
        sample.tick = serial;
        sample.wall = wall;
        sample.started_at = started_at;
        sample.ended_at = self.ended_at.max(started_at);
        sample.roster = Arc::new(roster);
        sample
    }
}

fn from_arenas(arenas: &Arenas, ledger: &Ledger, found: Found) -> Option<NodeSample> {
    let arena = arenas.of(found.tier);
    let extent = arena.after(found.serial - 1).next().filter(|extent| extent.info.first <= found.serial)?;
    let segment = arena.open(extent)?;
    let (mut times, mut offsets, mut cells) = (Times::default(), Vec::new(), Cells::default());
    segment.times(&mut times)?;
    let point = times.serial.iter().position(|serial| *serial == found.serial)?;
    let mut gathering = Gathering::default();
    for place in (0..segment.len()).filter(|place| extent.damaged.binary_search(place).is_err()) {
        let Some((subject, bytes)) = segment.chunk_at(place) else { continue };
        let Some(chunk) = segment.open_chunk(bytes) else { continue };
        let Some(index) = chunk.map.points().position(|there| there == point) else { continue };
        let mut row = Row::new(chunk.table.metrics().len());
        let parts = chunk.parts(|column, part| {
            if cells.decode(part, chunk.rows).is_some() {
                row.put_cell(At(column), cells.cell(index));
            }
            true
        });
        if parts.is_some() && chunk.offsets(&mut offsets).is_some() {
            let offset = offsets.get(index).copied().unwrap_or(0);
            row.read_at = times.read_at(point, offset_usec(offset));
            gathering.add(ledger, subject, row);
        }
    }
    let started_at = MonotonicNanos(times.started_at.get(point).copied()?);
    Some(gathering.finish(found.serial, found.wall, started_at))
}

fn from_head(head: &Head, ledger: &Ledger, serial: u64) -> Option<NodeSample> {
    let number = head.frames.iter().position(|info| info.serial == serial)?;
    let info = head.frames.get(number)?;
    let mut subjects = Vec::new();
    head.subjects(&mut subjects);
    let mut gathering = Gathering::default();
    for (subject, table) in subjects {
        head.stage(table, subject, |frame, offset_usec, values| {
            if frame == number {
                let mut row = Row::of(values);
                row.read_at = read_at(info, offset_usec);
                gathering.add(ledger, subject, row);
            }
        });
    }
    Some(gathering.finish(serial, info.wall, info.started_at))
}

/// A column by its position.
#[derive(Debug, Clone, Copy)]
struct At(usize);

impl Column for At {
    fn index(self) -> usize {
        self.0
    }
}
