//! Questions about one column over time, answered window by window.
//!
//! In: a subject, a column, windows of the wall clock. Out: a [`Fold`] per window: everything that an aggregation over
//! time needs, taken from whichever tier holds that part of the history. Typed questions about many subjects stand beside
//! it: [`selector`] and [`matcher`] say which, [`labels`] names them, [`over_time`] makes values of one subject's windows,
//! [`answer`] puts many together.

pub mod answer;
pub mod labels;
pub mod matcher;
pub mod over_time;
pub mod selector;
#[cfg(test)]
mod tests;

use super::StoreError;
use crate::sample::row::Cell;
use crate::units::{MonotonicNanos, UnixNanos};

/// Why a question has no answer; each says how to ask instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A rate or increase of something that is no counter; ask for its mean.
    #[error("{metric} is a {kind}, and only a counter has a rate or an increase; use avg, min or max")]
    NotACounter {
        /// The metric.
        metric: String,
        /// What it is instead.
        kind: &'static str,
    },
    /// A quantile outside of 0 to 1.
    #[error("a quantile lies between 0 and 1; write q=0.99 for the 99th percentile")]
    BadQuantile,
    /// Several series can only become one in windows.
    #[error("series can be put together only in steps, because they were not read at the same instants; give a step")]
    NoStep,
    /// More values than the answer may hold; ask for a shorter time or a larger step.
    #[error("the answer would have more than {most} points; ask for a shorter time, a larger step or fewer series")]
    TooManyPoints {
        /// How many it may hold.
        most: usize,
    },
    /// More series than the answer may hold; narrow the selector.
    #[error(
        "the answer would have more than {most} series; narrow the selector, aggregate by a label, or take the top"
    )]
    TooManySeries {
        /// How many it may hold.
        most: usize,
    },
    /// The column is none of its table.
    #[error("the table has no such column; list the metrics again")]
    NoSuchColumn,
    /// The ring cannot tell.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far before the first window the reading is looked for that its first increase begins at.
pub(super) const LOOKBACK_NANOS: u64 = 120_000_000_000;

/// Equal windows of the wall clock, each from its beginning (included) to its end (not included).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Beginning of the first.
    pub start: UnixNanos,
    /// Length of each.
    pub step_nanos: u64,
    /// How many.
    pub count: usize,
}

impl Windows {
    /// The window that an instant lies in.
    #[must_use]
    pub fn index(&self, wall: UnixNanos) -> Option<usize> {
        let since = wall.0.checked_sub(self.start.0)?;
        let index = usize::try_from(since.checked_div(self.step_nanos)?).ok()?;
        (index < self.count).then_some(index)
    }

    /// Beginning of a window.
    #[must_use]
    pub fn start_of(&self, index: usize) -> UnixNanos {
        UnixNanos(self.start.0.saturating_add(self.step_nanos.saturating_mul(index as u64)))
    }

    /// End of the last.
    #[must_use]
    pub fn end(&self) -> UnixNanos {
        self.start_of(self.count)
    }
}

/// What one column of one subject did in one window.
///
/// An increase belongs to the window of its later reading, and the first one begins at the last reading before the
/// window, wherever that was. A pair of readings between which the counter fell is a reset: it adds neither to
/// `increase` nor to `elapsed_nanos`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fold {
    /// Readings with a number.
    pub values: u64,
    /// Smallest number; meaningless without `values`.
    pub min: u64,
    /// Largest number; meaningless without `values`.
    pub max: u64,
    /// Sum of the numbers.
    pub sum: u128,
    /// The newest reading's cell; `Absent` where nothing was read.
    pub last: Cell,
    /// Wall clock of the newest reading.
    pub last_wall: UnixNanos,
    /// Sum of the increases from reading to reading.
    pub increase: u128,
    /// Time over which `increase` was added up.
    pub elapsed_nanos: u64,
}

impl Fold {
    /// A window in which nothing was read.
    pub const EMPTY: Self = Self {
        values: 0,
        min: u64::MAX,
        max: 0,
        sum: 0,
        last: Cell::Absent,
        last_wall: UnixNanos(0),
        increase: 0,
        elapsed_nanos: 0,
    };

    /// Adds one reading. `before` is the reading before it, when it had a number.
    pub fn add(&mut self, wall: UnixNanos, cell: Cell, read_at: MonotonicNanos, before: Option<(MonotonicNanos, u64)>) {
        self.last = cell;
        self.last_wall = wall;
        let Some(value) = cell.value() else { return };
        self.values += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += u128::from(value);
        if let Some((then, old)) = before
            && read_at > then
            && let Some(more) = value.checked_sub(old)
        {
            self.increase += u128::from(more);
            self.elapsed_nanos += read_at.since(then);
        }
    }

    /// Mean of the numbers.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.values > 0).then(|| self.sum as f64 / self.values as f64)
    }

    /// Increase per second.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.elapsed_nanos > 0).then(|| self.increase as f64 / (self.elapsed_nanos as f64 / 1e9))
    }
}
