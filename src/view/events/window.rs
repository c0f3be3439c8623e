//! Throttling and pressure: whether a share over the last ten seconds is above what people should know of.
//!
//! In: a cgroup's counters, tick by tick. Out: where each share begins to be too high and where it is low again. It begins
//! above a threshold and ends below half of it, so that a share that wavers is one event and not many. A window that is not
//! full yet tells nothing. Next: [`detect`](super::detect).

use std::collections::VecDeque;

use crate::sample::catalogue::{CgroupColumn as C, NodeColumn as N};
use crate::sample::row::RowRef;
use crate::units::{MonotonicNanos, UnixNanos};

const SECOND: u64 = 1_000_000_000;

/// How long a window is.
pub const WINDOW_NANOS: u64 = 10 * SECOND;

/// Readings that follow one another faster than this add nothing to a window of ten seconds.
const APART_NANOS: u64 = 9 * SECOND / 10;

/// Fewer periods than this in a window are too few for a share: the container hardly ran.
const LEAST_PERIODS: u64 = 20;

/// A share that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Periods of the CPU quota in which it was throttled.
    Throttled,
    /// Time in which a process waited for memory.
    Memory,
    /// Time in which a process waited for io.
    Io,
    /// Time in which a process waited for a CPU.
    Cpu,
}

impl Share {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Throttled, Self::Memory, Self::Io, Self::Cpu];

    /// Above this it begins; it ends below half of it.
    #[must_use]
    pub const fn threshold_ratio(self) -> f64 {
        match self {
            Self::Throttled => 0.25,
            Self::Memory => 0.10,
            Self::Io => 0.30,
            Self::Cpu => 0.50,
        }
    }

    /// The resource's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "cpu_quota",
            Self::Memory => "memory",
            Self::Io => "io",
            Self::Cpu => "cpu",
        }
    }
}

/// The counters that shares are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// When they were read.
    pub at: MonotonicNanos,
    /// Periods and throttled periods.
    pub periods: Option<(u64, u64)>,
    /// Microseconds for which some process waited: memory, io, cpu.
    pub stalled_usec: [Option<u64>; 3],
}

impl Reading {
    /// Of a cgroup's row.
    #[must_use]
    pub fn of(row: &RowRef<'_>) -> Self {
        Self {
            at: row.read_at,
            periods: row.value(C::CpuNrPeriods).zip(row.value(C::CpuNrThrottled)),
            stalled_usec: [C::MemoryPressureSomeTotalUsec, C::IoPressureSomeTotalUsec, C::CpuPressureSomeTotalUsec]
                .map(|column| row.value(column)),
        }
    }

    /// Of the node's row.
    #[must_use]
    pub fn of_node(row: &RowRef<'_>) -> Self {
        Self {
            at: row.read_at,
            periods: None,
            stalled_usec: [N::MemoryPressureSomeTotalUsec, N::IoPressureSomeTotalUsec, N::CpuPressureSomeTotalUsec]
                .map(|column| row.value(column)),
        }
    }

    fn is_empty(&self) -> bool {
        self.periods.is_none() && self.stalled_usec.iter().all(Option::is_none)
    }

    /// A share between an earlier reading and this one.
    #[expect(clippy::cast_precision_loss, reason = "counts over ten seconds")]
    fn share(&self, earlier: &Self, share: Share) -> Option<f64> {
        let [memory, io, cpu] = self.stalled_usec;
        let [memory_before, io_before, cpu_before] = earlier.stalled_usec;
        let stalled = |now: Option<u64>, before: Option<u64>| {
            let usec = now?.checked_sub(before?)?;
            // A stall that ends is counted whole: rounding may show a little more than the time itself.
            Some((usec as f64 * 1e3 / self.at.since(earlier.at) as f64).min(1.0))
        };
        match share {
            Share::Throttled => {
                let ((periods, throttled), (before, throttled_before)) = (self.periods?, earlier.periods?);
                let periods = periods.checked_sub(before).filter(|periods| *periods >= LEAST_PERIODS)?;
                Some((throttled.checked_sub(throttled_before)? as f64 / periods as f64).min(1.0))
            }
            Share::Memory => stalled(memory, memory_before),
            Share::Io => stalled(io, io_before),
            Share::Cpu => stalled(cpu, cpu_before),
        }
    }
}

/// Something that began or ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Edge {
    /// It is above its threshold now.
    Began {
        /// Which.
        share: Share,
        /// How much it is.
        ratio: f64,
    },
    /// It is low again.
    Ended {
        /// Which.
        share: Share,
        /// The most that it was.
        highest_ratio: f64,
        /// When it began.
        since: UnixNanos,
        /// How long it lasted.
        lasted_nanos: u64,
    },
}

/// A share that is too high.
#[derive(Debug, Clone, Copy)]
struct High {
    began: MonotonicNanos,
    since: UnixNanos,
    highest_ratio: f64,
}

/// The last ten seconds of one cgroup.
#[derive(Debug, Default)]
pub struct Window {
    readings: VecDeque<Reading>,
    high: [Option<High>; Share::ALL.len()],
}

impl Window {
    /// Takes the next reading and gives what began or ended with it.
    pub fn push(&mut self, reading: Reading, wall: UnixNanos) -> Vec<Edge> {
        if reading.is_empty() {
            return Vec::new();
        }
        if let Some(newest) = self.readings.back() {
            if fell(newest, &reading) {
                // Another cgroup under the same subject, or a counter that was reset: nothing before it counts.
                self.readings.clear();
            } else if reading.at.since(newest.at) < APART_NANOS {
                return Vec::new();
            }
        }
        self.readings.push_back(reading);
        while self.readings.get(1).is_some_and(|second| reading.at.since(second.at) >= WINDOW_NANOS) {
            self.readings.pop_front();
        }
        let Some(oldest) = self.readings.front().filter(|oldest| reading.at.since(oldest.at) >= WINDOW_NANOS) else {
            return Vec::new();
        };
        let mut edges = Vec::new();
        for (share, high) in Share::ALL.into_iter().zip(&mut self.high) {
            // Too few periods are a container that does not run, and so is not throttled.
            let ratio = reading.share(oldest, share).unwrap_or(0.0);
            match high {
                None if ratio > share.threshold_ratio() => {
                    *high = Some(High { began: reading.at, since: wall, highest_ratio: ratio });
                    edges.push(Edge::Began { share, ratio });
                }
                Some(was) if ratio < share.threshold_ratio() / 2.0 => {
                    let (highest_ratio, since) = (was.highest_ratio, was.since);
                    edges.push(Edge::Ended { share, highest_ratio, since, lasted_nanos: reading.at.since(was.began) });
                    *high = None;
                }
                Some(was) => was.highest_ratio = was.highest_ratio.max(ratio),
                None => {}
            }
        }
        edges
    }
}

fn fell(before: &Reading, now: &Reading) -> bool {
    let periods = now.periods.zip(before.periods).is_some_and(|(now, before)| now.0 < before.0 || now.1 < before.1);
    let pairs = now.stalled_usec.iter().zip(before.stalled_usec);
    periods || pairs.filter_map(|(now, before)| Some((*now)? < before?)).any(|fell| fell)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes a reading per second; each gives (periods, throttled) and stalled milliseconds of memory of that second.
    fn run(seconds: impl IntoIterator<Item = (u64, u64, u64)>) -> Vec<(u64, Edge)> {
        let (mut window, mut total, mut edges) = (Window::default(), (0, 0, 0), Vec::new());
        for (second, (periods, throttled, stalled_millis)) in (1..).zip(seconds) {
            total = (total.0 + periods, total.1 + throttled, total.2 + stalled_millis * 1_000);
            let reading = Reading {
                at: MonotonicNanos(second * SECOND),
                periods: Some((total.0, total.1)),
                stalled_usec: [Some(total.2), None, None],
            };
            edges.extend(window.push(reading, UnixNanos(second)).into_iter().map(|edge| (second, edge)));
        }
        edges
    }

    #[test]
    fn throttling_begins_above_a_quarter_of_the_periods_of_ten_seconds_and_ends_below_an_eighth() {
        let busy = std::iter::repeat_n((10, 3, 0), 20);
        let wavering = std::iter::repeat_n((10, 2, 0), 20);
        let calm = std::iter::repeat_n((10, 0, 0), 20);
        let edges = run(busy.chain(wavering).chain(calm));
        let [
            (began, Edge::Began { share: Share::Throttled, ratio }),
            (ended, Edge::Ended { highest_ratio, since, .. }),
        ] = edges[..]
        else {
            panic!("{edges:?}")
        };
        assert_eq!((began, ended, since), (11, 44, UnixNanos(11)));
        assert!((ratio - 0.3).abs() < 1e-9 && (highest_ratio - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_window_that_is_not_full_and_too_few_periods_tell_nothing() {
        assert_eq!(run(std::iter::repeat_n((10, 10, 1_000), 10)), []);
        assert_eq!(run(std::iter::repeat_n((1, 1, 0), 60)), []);
    }

    #[test]
    fn memory_pressure_is_told_from_a_tenth_of_the_time_on() {
        assert_eq!(run(std::iter::repeat_n((0, 0, 100), 60)), [], "exactly the threshold is not above it");
        let edges = run(std::iter::repeat_n((0, 0, 150), 60));
        let [(11, Edge::Began { share: Share::Memory, ratio })] = edges[..] else { panic!("{edges:?}") };
        assert!((ratio - 0.15).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn a_counter_that_falls_begins_a_new_window() {
        let mut window = Window::default();
        let at = |second: u64, stalled| Reading {
            at: MonotonicNanos(second * SECOND),
            periods: None,
            stalled_usec: [Some(stalled), None, None],
        };
        for second in 1..=10 {
            assert_eq!(window.push(at(second, 0), UnixNanos(0)), []);
        }
        assert_eq!(window.push(at(11, 900_000), UnixNanos(0)), []);
        assert_eq!(window.push(at(12, 100), UnixNanos(0)), []);
        assert_eq!(window.push(at(13, 9_000_000), UnixNanos(0)), [], "the window has one second only");
    }
}
