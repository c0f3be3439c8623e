//! How long a cgroup's memory takes to its limit if it goes on growing as it did in the last minute.
//!
//! In: the working set and the limit of each tick. Out: seconds: what is left below the limit, divided by the growth per
//! second since the oldest reading of the last 60 s, of which one in five seconds is kept. Nothing is told
//! where memory did not grow, where no limit is set, and before the oldest reading is ten seconds old. It
//! extrapolates; it does not know about reclaim. Fed outside the sampling thread. Next: [`maxima`](super::maxima).

use crate::sample::row::Cell;
use crate::units::MonotonicNanos;

const SECOND: u64 = 1_000_000_000;
/// How far back growth is looked for.
const WINDOW_NANOS: u64 = 60 * SECOND;
/// Time between readings that are kept.
const STEP_NANOS: u64 = 5 * SECOND;
/// Growth over less time is not believed.
const LEAST_NANOS: u64 = 10 * SECOND;
/// A window of steps, with both ends.
const MARKS: usize = 13;
/// From here on a v1 limit means "none".
const UNLIMITED_FROM: u64 = 1 << 62;

/// What is remembered of one cgroup.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    marks: [(MonotonicNanos, u64); MARKS],
    used: usize,
    newest: Option<(MonotonicNanos, u64)>,
    limit: Option<u64>,
}

impl Growth {
    /// Takes in a reading. Without a working set everything is forgotten.
    pub fn observe(&mut self, at: MonotonicNanos, working_set: Option<u64>, limit: Cell) {
        let Some(bytes) = working_set else {
            *self = Self::default();
            return;
        };
        self.limit = limit.value().filter(|limit| *limit < UNLIMITED_FROM);
        self.newest = Some((at, bytes));
        let last = self.used.checked_sub(1).and_then(|last| self.marks.get(last));
        if last.is_some_and(|(marked, _)| at.since(*marked) < STEP_NANOS) {
            return;
        }
        if self.used == MARKS {
            self.marks.rotate_left(1);
            self.used -= 1;
        }
        if let Some(mark) = self.marks.get_mut(self.used) {
            *mark = (at, bytes);
            self.used += 1;
        }
    }

    /// Seconds until the limit; 0 when it is reached.
    #[must_use]
    pub fn time_to_limit_seconds(&self) -> Option<f64> {
        let (now, bytes) = self.newest?;
        let marks = self.marks.iter().take(self.used);
        let (then, before) = marks.copied().find(|(at, _)| now.since(*at) <= WINDOW_NANOS)?;
        let nanos = now.since(then);
        let grown = bytes.checked_sub(before).filter(|grown| *grown > 0 && nanos >= LEAST_NANOS)?;
        let left = self.limit?.saturating_sub(bytes);
        Some(float(left) / float(grown) * float(nanos) / float(SECOND))
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 53 bits")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(readings: impl IntoIterator<Item = (u64, u64)>, limit: Cell) -> Option<f64> {
        let mut growth = Growth::default();
        for (second, bytes) in readings {
            growth.observe(MonotonicNanos(second * SECOND), Some(bytes), limit);
        }
        growth.time_to_limit_seconds()
    }

    #[test]
    fn what_is_left_is_divided_by_the_growth_of_the_last_minute() {
        let steady = (0..100).map(|second| (second, 1000 + second * 10));
        // At second 99 there are 1990 bytes; the oldest mark of the last minute is that of second 40.
        assert_eq!(after(steady, Cell::Value(2990)), Some(100.0));
        let late = (0..100).map(|second| (second, if second < 70 { 1000 } else { 1000 + (second - 70) * 59 }));
        // 29 * 59 bytes in 59 s.
        assert_eq!(after(late, Cell::Value(1000 + 29 * 59 + 290)), Some(10.0));
    }

    #[test]
    fn nothing_is_told_without_growth_without_a_limit_or_too_early() {
        let growing = |seconds: u64| (0..seconds).map(|second| (second, 1000 + second));
        assert_eq!(after(growing(10), Cell::Value(5000)), None, "nine seconds are too short");
        assert!(after(growing(11), Cell::Value(5000)).is_some());
        assert_eq!(after(growing(60), Cell::Unlimited), None);
        assert_eq!(after(growing(60), Cell::Absent), None);
        assert_eq!(after(growing(60), Cell::Value(u64::MAX / 2)), None, "a v1 limit that means none");
        assert_eq!(after((0..60).map(|second| (second, 5000 - second)), Cell::Value(9000)), None, "it shrinks");
        assert_eq!(after(growing(60), Cell::Value(500)), Some(0.0), "above a limit that was lowered");
    }

    #[test]
    fn growth_that_ended_more_than_a_minute_ago_is_forgotten() {
        let once = (0..200).map(|second| (second, if second < 100 { 1000 + second } else { 1100 }));
        assert_eq!(after(once, Cell::Value(9000)), None);
        let mut growth = Growth::default();
        growth.observe(MonotonicNanos(0), Some(1), Cell::Value(100));
        growth.observe(MonotonicNanos(20 * SECOND), Some(2), Cell::Value(100));
        growth.observe(MonotonicNanos(21 * SECOND), None, Cell::Value(100));
        assert_eq!(growth.time_to_limit_seconds(), None, "a reading that is missing ends what was known");
    }
}
