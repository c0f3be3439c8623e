//! Folding one column of one subject into windows. A chunk that lies in one window is not decoded: its summary will do.
//!
//! In: a subject, a column, [`Windows`]. Out: a [`Fold`] per window. Next: [`query`](super::query).

use super::chunk::Buckets;
use super::head::Head;
use super::part::{Part, decode_buckets, decode_resets};
use super::query::{Fold, LOOKBACK_NANOS, Windows};
use super::read::ColumnDecoder;
use super::tier::{Tier, TierUse};
use super::walk::{Span, View, Visitor, walk};
use super::{Store, StoreError};
use crate::sample::SubjectId;
use crate::sample::catalogue::Kind;
use crate::sample::row::Cell;
use crate::units::{MonotonicNanos, UnixNanos};

impl Store {
    /// Folds one column of one subject, window by window.
    ///
    /// # Errors
    /// [`StoreError::UnknownSubject`] when nothing of the subject is kept.
    pub fn fold(
        &self,
        subject: SubjectId,
        column: usize,
        windows: Windows,
    ) -> Result<(Vec<Fold>, Vec<TierUse>), StoreError> {
        self.folded(subject, column, windows, false)
    }

    /// The same for who asks only for increases and last values of a counter: whole chunks are taken from their summary,
    /// without their smallest and largest value and their sum.
    ///
    /// # Errors
    /// [`StoreError::UnknownSubject`] when nothing of the subject is kept.
    pub fn fold_increase(
        &self,
        subject: SubjectId,
        column: usize,
        windows: Windows,
    ) -> Result<(Vec<Fold>, Vec<TierUse>), StoreError> {
        self.folded(subject, column, windows, true)
    }

    fn folded(
        &self,
        subject: SubjectId,
        column: usize,
        windows: Windows,
        increase_only: bool,
    ) -> Result<(Vec<Fold>, Vec<TierUse>), StoreError> {
        let start = UnixNanos(windows.start.0.saturating_sub(LOOKBACK_NANOS));
        let end = UnixNanos(windows.end().0.saturating_sub(1));
        let span = self.span(subject, start, end)?;
        let kind = span.table.metrics().get(column).map_or(Kind::Gauge, |metric| metric.kind);
        let mut folding = Folding {
            span,
            column,
            windows,
            counter: kind == Kind::Counter,
            increase_only,
            folds: vec![Fold::EMPTY; windows.count],
            before: None,
            uses: Vec::new(),
            decoder: ColumnDecoder::default(),
            weights: Vec::new(),
            buckets: Buckets::default(),
            increases: Vec::new(),
        };
        walk(&self.shared, &span, &mut folding);
        Ok((folding.folds, folding.uses))
    }
}

struct Folding {
    span: Span,
    column: usize,
    windows: Windows,
    counter: bool,
    increase_only: bool,
    folds: Vec<Fold>,
    /// The last reading with a number.
    before: Option<(MonotonicNanos, u64)>,
    uses: Vec<TierUse>,
    decoder: ColumnDecoder,
    weights: Vec<u64>,
    buckets: Buckets,
    increases: Vec<u64>,
}

/// The window that the last instant lay in: most neighbours lie in the same, and a division is dear.
#[derive(Debug, Default)]
struct Current {
    found: Option<(UnixNanos, UnixNanos, usize)>,
}

impl Current {
    fn index(&mut self, windows: &Windows, wall: UnixNanos) -> Option<usize> {
        if let Some((start, end, index)) = self.found
            && start <= wall
            && wall < end
        {
            return Some(index);
        }
        let index = windows.index(wall)?;
        self.found = Some((windows.start_of(index), windows.start_of(index + 1), index));
        Some(index)
    }
}

/// Adds what lies between two readings of a counter.
fn join(fold: &mut Fold, before: Option<(MonotonicNanos, u64)>, (read_at, value): (MonotonicNanos, u64)) {
    if let Some((then, old)) = before
        && read_at > then
        && let Some(more) = value.checked_sub(old)
    {
        fold.increase += u128::from(more);
        fold.elapsed_nanos += read_at.since(then);
    }
}

impl Folding {
    /// Takes a whole chunk from its summary. `None` when it has to be decoded.
    fn summarised(&mut self, view: &View<'_>, part: Part<'_>) -> Option<()> {
        let info = view.info;
        let window = self.windows.index(info.earliest)?;
        if info.tier != Tier::Tick || !view.is_whole() || self.windows.index(info.latest) != Some(window) {
            return None;
        }
        let rows = view.chunk.rows as u64;
        let (first, last, growth, summary) = match part {
            Part::Constant(value) => (value, value, 0, Some((value, value, u128::from(value) * u128::from(rows)))),
            Part::Counter { first, growth, .. } if self.increase_only => (first, first + growth, growth, None),
            Part::Gauge { summary, .. } if !self.counter => {
                let sum = u128::from(summary.least) * u128::from(rows) + u128::from(summary.above);
                (summary.first, summary.last, 0, Some((summary.least, summary.largest, sum)))
            }
            _ => return None,
        };
        // Who came or went within the segment has other ends than it.
        if view.chunk.rows != info.points {
            return None;
        }
        let [from, until] = info.ends;
        let first_read = from.read_at(view.chunk.first_offset_usec);
        let last_read = until.read_at(view.chunk.last_offset_usec);
        let wall = until.wall;
        let fold = self.folds.get_mut(window)?;
        TierUse::note(&mut self.uses, Tier::Tick, from.wall);
        TierUse::note(&mut self.uses, Tier::Tick, wall);
        if self.counter {
            join(fold, self.before, (first_read, first));
            fold.increase += u128::from(growth);
            fold.elapsed_nanos += last_read.since(first_read);
        }
        if let Some((least, largest, sum)) = summary {
            fold.min = fold.min.min(least);
            fold.max = fold.max.max(largest);
            fold.sum += sum;
            fold.values += rows;
        }
        fold.last = Cell::Value(last);
        fold.last_wall = wall;
        self.before = Some((last_read, last));
        Some(())
    }

    fn decoded(&mut self, view: &View<'_>, part: Part<'_>) -> Option<()> {
        self.decoder.decode(view, part)?;
        let rows = view.chunk.rows;
        view.chunk.weights(&mut self.weights)?;
        if let Part::Buckets(bytes) = part {
            decode_buckets(bytes, rows, &mut self.buckets)?;
        }
        let first = match part {
            Part::Resets(bytes) => Some(decode_resets(bytes, rows, &mut self.buckets.last, &mut self.increases)?),
            _ => None,
        };
        let Self { decoder, folds, windows, weights, buckets, increases, before, uses, counter, .. } = self;
        let mut window = Current::default();
        let (mut first_wall, mut last_wall) = (None, UnixNanos(0));
        for (row, _, point) in decoder.rows(view) {
            let fold = window.index(windows, point.wall).and_then(|index| folds.get_mut(index));
            let now = point.cell.value().map(|value| (point.read_at, value));
            let Some(fold) = fold else {
                *before = now;
                continue;
            };
            first_wall = first_wall.or(Some(point.wall));
            last_wall = point.wall;
            fold.last = point.cell;
            fold.last_wall = point.wall;
            let Some((read_at, value)) = now else {
                *before = None;
                continue;
            };
            let at = |list: &Vec<u64>| list.get(row).copied().unwrap_or(0);
            if *counter {
                match first {
                    None => join(fold, *before, (read_at, value)),
                    Some(first) => {
                        let joined = before.filter(|_| row == 0).and_then(|(_, old)| first.checked_sub(old));
                        fold.increase += u128::from(at(increases)) + u128::from(joined.unwrap_or(0));
                        fold.elapsed_nanos += before.map_or(0, |(then, _)| read_at.since(then));
                    }
                }
            }
            let weight = at(weights);
            let (low, high, sum) = match part {
                Part::Buckets(_) => {
                    let low = at(&buckets.least);
                    let sum = u128::from(low) * u128::from(weight) + u128::from(at(&buckets.above));
                    (low, at(&buckets.largest), sum)
                }
                _ => (value, value, u128::from(value) * u128::from(weight)),
            };
            fold.min = fold.min.min(low);
            fold.max = fold.max.max(high);
            fold.sum += sum;
            fold.values += weight;
            *before = now;
        }
        if let Some(first_wall) = first_wall {
            TierUse::note(uses, view.info.tier, first_wall);
            TierUse::note(uses, view.info.tier, last_wall);
        }
        Some(())
    }
}

impl Visitor for Folding {
    fn chunk(&mut self, view: &View<'_>) {
        let Some(part) = view.chunk.part(self.column) else { return };
        if self.summarised(view, part).is_none() {
            let _damaged = self.decoded(view, part).is_none();
        }
    }

    fn head(&mut self, head: &Head, done: u64) {
        let Self { span, column, windows, folds, before, uses, counter, .. } = self;
        head.column(span.table, span.subject, *column, |info, read_at, cell| {
            if info.serial <= done || !span.contains(info.wall) {
                return;
            }
            let now = cell.value().map(|value| (read_at, value));
            if let Some(fold) = windows.index(info.wall).and_then(|index| folds.get_mut(index)) {
                TierUse::note(uses, Tier::Tick, info.wall);
                fold.add(info.wall, cell, read_at, before.filter(|_| *counter));
            }
            *before = now;
        });
    }
}
