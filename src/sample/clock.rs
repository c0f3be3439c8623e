//! The sampler's clocks: ticks at a fixed phase of `CLOCK_MONOTONIC`, and the wall clock, which is only shown.
//!
//! In: nothing but the kernel's clocks. Out: instants. A wall clock that jumps moves no tick. Next: `sampler.rs`.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::units::{MonotonicNanos, UnixNanos};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A kernel time as nanoseconds; 0 for a time before the clock's zero.
pub(super) fn nanos(time: Timespec) -> MonotonicNanos {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    MonotonicNanos(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(rest))
}

/// Now, on the clock of ticks and rates.
pub(super) fn monotonic() -> MonotonicNanos {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// Now, on the clock on the wall.
pub(super) fn wall() -> UnixNanos {
    UnixNanos(nanos(clock_gettime(ClockId::Realtime)).0)
}

/// CPU time of the calling thread.
pub(super) fn thread_cpu() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime)).0
}

/// The instants at which ticks are due: `origin + n × interval`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    interval: u64,
    next: MonotonicNanos,
}

impl Schedule {
    /// The first tick is due at `origin`.
    pub fn new(origin: MonotonicNanos, interval_nanos: u64) -> Self {
        Self { interval: interval_nanos.max(1), next: origin }
    }

    /// When the next tick is due.
    pub fn due(&self) -> MonotonicNanos {
        self.next
    }

    /// Called as the due tick begins at `now`: sets the next instant on the same grid and gives the number of instants
    /// that have been passed without a tick. After a long pause there is one gap and no burst.
    pub fn begin(&mut self, now: MonotonicNanos) -> u64 {
        let passed = now.since(self.next) / self.interval;
        let steps = passed.saturating_add(1);
        self.next = MonotonicNanos(self.next.0.saturating_add(self.interval.saturating_mul(steps)));
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stay_on_the_grid_however_late_one_begins() {
        let mut schedule = Schedule::new(MonotonicNanos(1000), 100);
        assert_eq!(schedule.begin(MonotonicNanos(1003)), 0);
        assert_eq!(schedule.due(), MonotonicNanos(1100));
        assert_eq!(schedule.begin(MonotonicNanos(1199)), 0);
        assert_eq!(schedule.due(), MonotonicNanos(1200));
    }

    #[test]
    fn a_long_pause_is_one_gap_and_no_burst() {
        let mut schedule = Schedule::new(MonotonicNanos(1000), 100);
        assert_eq!(schedule.begin(MonotonicNanos(1350)), 3);
        assert_eq!(schedule.due(), MonotonicNanos(1400));
        assert_eq!(schedule.begin(MonotonicNanos(1400)), 0);
    }

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let first = monotonic();
        assert!(monotonic() >= first);
        assert!(wall().0 > 1_600_000_000 * NANOS_PER_SECOND);
    }
}
