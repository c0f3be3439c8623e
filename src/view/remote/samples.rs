//! A series' samples: rows out of the ring, read as `/metrics` reads them.
//!
//! In: a [`Selected`] series and a range of time. Out: its samples, strictly ascending in time. A sample's timestamp is
//! the wall clock of its tick, cut to milliseconds: the one instant that all series of a tick share, as those of one
//! scrape do, so that sums and joins over series line up. It is also the one that the history API gives. How much later
//! in the tick a row was read is left out: a few milliseconds, much the same at every tick. Next: `read`, `export`.

use std::ops::RangeInclusive;

use super::messages::Sample;
use super::select::{Selected, Selection, Source};
use crate::store::{Observed, Store};
use crate::units::UnixNanos;
use crate::view::prometheus::family::Sight;

/// The float that Prometheus takes for the end of a series. As a value it means nothing.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

const NANOS_PER_MS: u64 = 1_000_000;

/// Milliseconds since 1970, both ends included.
pub type RangeMs = RangeInclusive<i64>;

/// The instants of a range; `None` when it is empty or ends before 1970.
#[must_use]
pub fn walls(range: &RangeMs) -> Option<(UnixNanos, UnixNanos)> {
    let end = u64::try_from(*range.end()).ok()?;
    let start = u64::try_from(*range.start()).unwrap_or(0);
    // The last millisecond is in it to its end, because timestamps are cut.
    let end = end.saturating_mul(NANOS_PER_MS).saturating_add(NANOS_PER_MS - 1);
    (!range.is_empty()).then_some((UnixNanos(start.saturating_mul(NANOS_PER_MS)), UnixNanos(end)))
}

/// Milliseconds of an instant.
#[must_use]
pub fn milliseconds(wall: UnixNanos) -> i64 {
    i64::try_from(wall.millis()).unwrap_or(i64::MAX)
}

/// A sample and when it was read.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// The sample.
    pub sample: Sample,
    /// Monotonic nanoseconds.
    pub read_at: u64,
}

/// The samples of a series, ascending. The clock may have been set back, and two instances of a container may share a
/// tick. Of two samples with one timestamp the one that was read later is the truth, and of those of one instant the last
/// source's.
#[must_use]
pub fn ascending(mut read: Vec<Read>) -> Vec<Sample> {
    let follows = |pair: &[Read]| matches!(pair, [one, next] if one.sample.timestamp < next.sample.timestamp);
    if !read.windows(2).all(follows) {
        read.sort_by_key(|read| (read.sample.timestamp, read.read_at));
    }
    let mut samples: Vec<Sample> = Vec::with_capacity(read.len() + 1);
    for Read { sample, .. } in read {
        match samples.last_mut() {
            Some(last) if last.timestamp == sample.timestamp => *last = sample,
            _ => samples.push(sample),
        }
    }
    samples
}

impl Selection {
    /// The samples of one of the series.
    #[must_use]
    pub fn samples(&self, store: &Store, series: &Selected, range: &RangeMs) -> Vec<Sample> {
        let Some((start, end)) = walls(range) else { return Vec::new() };
        let mut read = Vec::new();
        for source in &series.sources {
            self.read_source(store, source, start, end, &mut read);
        }
        ascending(read)
    }

    /// The mark that ends a series whose subjects are all gone: without it PromQL would go on showing its last value for
    /// minutes. It stands where the first scrape would have missed the series, if that is in the range.
    #[must_use]
    pub fn end_mark(&self, series: &Selected, samples: &[Sample], range: &RangeMs) -> Option<Sample> {
        let last = samples.last().filter(|_| series.sources.iter().all(|source| source.gone.is_some()))?;
        let interval = i64::try_from(self.interval_nanos / NANOS_PER_MS).unwrap_or(i64::MAX).max(1);
        let timestamp = last.timestamp.saturating_add(interval);
        range.contains(&timestamp).then_some(Sample { value: f64::from_bits(STALE), timestamp })
    }

    fn read_source(&self, store: &Store, source: &Source, start: UnixNanos, end: UnixNanos, read: &mut Vec<Read>) {
        let columns = source.reading.columns();
        // A subject that has aged out since it was listed has no samples any more.
        let _aged_out = store.rows(source.subject.id, columns.as_deref(), start, end, |observed| {
            read.extend(self.sample(source, &observed));
        });
    }

    /// What one row says of one of its series.
    #[must_use]
    pub fn sample(&self, source: &Source, observed: &Observed<'_>) -> Option<Read> {
        let sight = || {
            Some(Sight {
                wall: observed.wall,
                machine: &self.machine,
                subject: &source.subject,
                row: observed.row,
                scope: source.scope,
                formula: self.formula,
            })
        };
        let number = source.reading.read(&observed.row, sight)?;
        let sample = Sample { timestamp: milliseconds(observed.wall), value: number.to_f64() };
        Some(Read { sample, read_at: observed.row.read_at.0 })
    }
}
