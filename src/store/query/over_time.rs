//! One subject's column over time: each window's readings become one value.
//!
//! In: a subject, a column, a [`Span`], an [`OverTime`]. Out: instants with values, from the first to the last instant at
//! which the subject was read; a window in between in which it was not has no value, so that a gap stays a gap.
//! Nothing is looked at twice: whether the reading is a tick's or a bucket's is the ring's affair. Next:
//! [`answer`](super::answer).

use super::{Fold, LOOKBACK_NANOS, QueryError, Windows};
use crate::sample::SubjectId;
use crate::sample::row::Cell;
use crate::store::{Store, TierUse};
use crate::units::UnixNanos;

/// How the readings of one window become one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OverTime {
    /// The newest reading, as the kernel gave it.
    Last,
    /// Increase per second; pairs of readings between which the counter fell count for nothing.
    Rate,
    /// Increase, as exact as the kernel's integers.
    Increase,
    /// The smallest reading.
    Min,
    /// The largest reading.
    Max,
    /// The mean of the readings.
    Avg,
    /// The quantile (0 to 1) of the readings, between two of them by linear interpolation. Where history is kept in
    /// buckets it is of the buckets' last values, so that short peaks no longer count; `Max` keeps them.
    Quantile(f64),
}

impl OverTime {
    /// Whether only a counter has it.
    #[must_use]
    pub const fn needs_counter(self) -> bool {
        matches!(self, Self::Rate | Self::Increase)
    }
}

/// A value of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// The kernel's integer, or a sum of increases.
    Integer(u64),
    /// A rate, mean, quantile or an aggregate of several series.
    Number(f64),
    /// A limit that is not set.
    Unlimited,
}

impl Value {
    /// As a number, if it is one.
    #[must_use]
    pub const fn number(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Number(value) => Some(value),
            Self::Unlimited => None,
        }
    }

    fn of(cell: Cell) -> Option<Self> {
        match cell {
            Cell::Absent => None,
            Cell::Unlimited => Some(Self::Unlimited),
            Cell::Value(value) => Some(Self::Integer(value)),
        }
    }

    fn whole(value: u128) -> Self {
        u64::try_from(value).map_or(Self::Number(value as f64), Self::Integer)
    }
}

/// An instant and what was there; `None` where nothing was read or nothing can be said.
pub type TimedValue = (UnixNanos, Option<Value>);

/// Which instants an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// One value for each window, at the window's beginning.
    Windows(Windows),
    /// One value for each reading between two instants, both included.
    Readings {
        /// The first instant.
        start: UnixNanos,
        /// The last instant.
        end: UnixNanos,
    },
}

impl Span {
    /// The first instant.
    #[must_use]
    pub const fn start(&self) -> UnixNanos {
        match self {
            Self::Windows(windows) => windows.start,
            Self::Readings { start, .. } => *start,
        }
    }

    /// Values per series; 0 when only the ring knows.
    #[must_use]
    pub const fn known_points(&self) -> usize {
        match self {
            Self::Windows(windows) => windows.count,
            Self::Readings { .. } => 0,
        }
    }
}

impl Store {
    /// One column of one subject over time. At most `most_points` values; `windows.count` must be bounded by the caller.
    ///
    /// # Errors
    /// [`QueryError::TooManyPoints`]; [`QueryError::Store`] when nothing of the subject is kept.
    pub fn over_time(
        &self,
        subject: SubjectId,
        column: usize,
        span: Span,
        over_time: OverTime,
        most_points: usize,
    ) -> Result<(Vec<TimedValue>, Vec<TierUse>), QueryError> {
        if span.known_points() > most_points {
            return Err(QueryError::TooManyPoints { most: most_points });
        }
        let (points, mut tiers) = match (span, over_time) {
            (Span::Readings { start, end }, _) => {
                self.each_reading(subject, column, (start, end), over_time, most_points)?
            }
            (Span::Windows(windows), OverTime::Quantile(quantile)) => {
                self.quantiles(subject, column, windows, quantile)?
            }
            (Span::Windows(windows), _) => {
                // For these, most chunks need not be decoded; of what is no counter, the fold is the same either way.
                let summary_will_do = over_time.needs_counter() || over_time == OverTime::Last;
                let (folds, tiers) = if summary_will_do {
                    self.fold_increase(subject, column, windows)?
                } else {
                    self.fold(subject, column, windows)?
                };
                let read = |fold: &Fold| fold.last_wall != UnixNanos(0);
                let values = folds.iter().map(|fold| read(fold).then(|| value(fold, over_time)));
                (between_first_and_last(windows, values), tiers)
            }
        };
        // The reading before the first window is no part of the answer.
        tiers.retain_mut(|used| {
            used.start = used.start.max(span.start());
            used.end >= span.start()
        });
        Ok((points, tiers))
    }

    fn each_reading(
        &self,
        subject: SubjectId,
        column: usize,
        (start, end): (UnixNanos, UnixNanos),
        over_time: OverTime,
        most_points: usize,
    ) -> Result<(Vec<TimedValue>, Vec<TierUse>), QueryError> {
        let mut points = Vec::new();
        let mut before = None;
        let mut too_many = false;
        let lookback = if over_time.needs_counter() { LOOKBACK_NANOS } else { 0 };
        let from = UnixNanos(start.0.saturating_sub(lookback));
        let tiers = self.rows(subject, Some(&[column]), from, end, |observed| {
            let cell = observed.row.cell_at(column);
            if observed.wall >= start {
                too_many |= points.len() >= most_points;
                if !too_many {
                    let mut one = Fold::EMPTY;
                    one.add(observed.wall, cell, observed.row.read_at, before);
                    points.push((observed.wall, value(&one, over_time)));
                }
            }
            before = cell.value().map(|value| (observed.row.read_at, value));
        })?;
        if too_many { Err(QueryError::TooManyPoints { most: most_points }) } else { Ok((points, tiers)) }
    }

    fn quantiles(
        &self,
        subject: SubjectId,
        column: usize,
        windows: Windows,
        quantile: f64,
    ) -> Result<(Vec<TimedValue>, Vec<TierUse>), QueryError> {
        // The numbers of each window, and the newest cell. A wall clock that is set back brings a window twice.
        let mut readings: Vec<(Vec<u64>, Option<Cell>)> = vec![(Vec::new(), None); windows.count];
        let tiers = self.rows(subject, Some(&[column]), windows.start, windows.end(), |observed| {
            let window = windows.index(observed.wall).and_then(|index| readings.get_mut(index));
            if let Some((numbers, last)) = window {
                let cell = observed.row.cell_at(column);
                numbers.extend(cell.value());
                *last = Some(cell);
            }
        })?;
        let values = readings.into_iter().map(|(numbers, last)| {
            last.map(|last| quantile_of(numbers, quantile).map(Value::Number).or_else(|| Value::of(last)))
        });
        Ok((between_first_and_last(windows, values), tiers))
    }
}

/// The value of one window.
fn value(fold: &Fold, over_time: OverTime) -> Option<Value> {
    let some = fold.values > 0;
    let folded = match over_time {
        OverTime::Rate => return fold.rate().map(Value::Number),
        OverTime::Increase => return (fold.elapsed_nanos > 0).then(|| Value::whole(fold.increase)),
        OverTime::Last => None,
        OverTime::Min => some.then_some(Value::Integer(fold.min)),
        OverTime::Max => some.then_some(Value::Integer(fold.max)),
        // Of a single reading every quantile is that reading; windows of several go another way.
        OverTime::Avg | OverTime::Quantile(_) => fold.mean().map(Value::Number),
    };
    folded.or_else(|| Value::of(fold.last))
}

/// Stamps the windows, leaving out those before the first and after the last in which something was read (`Some`).
fn between_first_and_last(windows: Windows, values: impl Iterator<Item = Option<Option<Value>>>) -> Vec<TimedValue> {
    let mut points = Vec::new();
    let mut length = 0;
    for (index, value) in values.enumerate() {
        if value.is_some() || !points.is_empty() {
            points.push((windows.start_of(index), value.flatten()));
        }
        if value.is_some() {
            length = points.len();
        }
    }
    points.truncate(length);
    points
}

/// Linear between the two nearest ranks, as Prometheus' `quantile_over_time`.
fn quantile_of(mut numbers: Vec<u64>, quantile: f64) -> Option<f64> {
    numbers.sort_unstable();
    let last = numbers.len().checked_sub(1)?;
    let rank = quantile.clamp(0.0, 1.0) * last as f64;
    // The rank lies between 0 and the last index, so its neighbours are found by counting instead of by conversion.
    let below = (0..=last).take_while(|index| *index as f64 <= rank).last()?;
    let low = *numbers.get(below)? as f64;
    let high = numbers.get(below + 1).map_or(low, |high| *high as f64);
    Some(low + (high - low) * (rank - below as f64))
}
