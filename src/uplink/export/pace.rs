//! When the next request goes out.
//!
//! In: how the last one ended, how much time it told of, and a random number. Out: an instant. It reads no clock and sends
//! nothing. Next: `task.rs`.
//!
//! Each node has its own place in the interval (a hash of its name), and sends there. After an outage what has piled up
//! goes oldest first, at most ten times as fast as it came in: an hour is told in six minutes, and a target that has just
//! come back is not run over by its nodes. What is new waits behind it, because a long-term store wants the samples of a
//! series in order. A request that failed goes again after a random part of 1 s, 2 s, 4 s … 60 s (full jitter), or after
//! what the target asks for, five minutes at most.

use std::time::Duration;

/// How many times the usual rate is sent while there is a backlog.
const CATCH_UP: u32 = 10;

/// How long the first retry may wait.
const BASE: Duration = Duration::from_secs(1);

/// How long any retry may wait.
const CAP: Duration = Duration::from_secs(60);

/// The least time between a failure and the next try.
const LEAST: Duration = Duration::from_millis(50);

/// The longest that an answer can make an agent wait, whatever it says.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Paces one target. Times are counted from any one instant.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    place: Duration,
    failures: u32,
}

impl Pace {
    /// A pace for a node.
    #[must_use]
    pub fn new(node: &str, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(100));
        // FNV-1a: the same on every machine and in every version.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        // The high bits are mixed best.
        let share = (u128::from(hash) * u128::from(nanos(interval))) >> 64;
        let place = Duration::from_nanos(u64::try_from(share).unwrap_or(0));
        Self { interval, place, failures: 0 }
    }

    /// Time between requests.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// All is told: this node's next place. One that is almost now is left out.
    #[must_use]
    pub fn rest(&self, now: Duration) -> Duration {
        let from = nanos((now + self.interval / 4).saturating_sub(self.place));
        let slots = from.div_ceil(nanos(self.interval).max(1));
        self.place + self.interval.saturating_mul(u32::try_from(slots).unwrap_or(u32::MAX))
    }

    /// There is more: after a request that told of `span` and was begun at `begun`.
    #[must_use]
    pub fn go_on(&self, begun: Duration, now: Duration, span: Duration) -> Duration {
        now.max(begun + (span / CATCH_UP).min(self.interval))
    }

    /// A request was taken.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A request failed: how long to wait. `random` is even in 0..1.
    pub fn retry(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let doubled = BASE.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let jitter = doubled.min(CAP).mul_f64(random.clamp(0.0, 1.0));
        asked.unwrap_or(LEAST).min(LONGEST_RETRY_AFTER) + jitter
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    #[test]
    fn each_node_has_its_own_place_in_the_interval() {
        let (one, other) = (Pace::new("node-1", INTERVAL), Pace::new("node-2", INTERVAL));
        assert_ne!(one.place, other.place);
        for now in [0, 7, 100, 1_000_003].map(Duration::from_secs) {
            let next = one.rest(now);
            assert!(next > now && next <= now + INTERVAL + INTERVAL / 4, "{next:?} after {now:?}");
            assert_eq!(nanos(next - one.place) % nanos(INTERVAL), 0);
        }
    }

    #[test]
    fn a_backlog_is_sent_at_ten_times_the_usual_rate() {
        let pace = Pace::new("n", INTERVAL);
        let at = |ms| Duration::from_millis(ms);
        assert_eq!(pace.go_on(at(1_000), at(1_100), at(20_000)), at(3_000));
        assert_eq!(pace.go_on(at(1_000), at(9_000), at(20_000)), at(9_000), "a slow target is not waited for twice");
        assert_eq!(pace.go_on(at(0), at(0), at(3_600_000)), INTERVAL);
    }

    #[test]
    fn retries_come_later_and_later_up_to_a_minute_and_at_random() {
        let mut pace = Pace::new("n", INTERVAL);
        let waits: Vec<_> = (0..9).map(|_| (pace.retry(None, 1.0) - LEAST).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pace.retry(None, 0.0), LEAST);
        (0..100).for_each(|_| assert!(pace.retry(None, 1.0) > CAP));
        assert_eq!(pace.retry(None, 0.5), LEAST + CAP / 2, "the doubling does not overflow");
        pace.succeeded();
        assert_eq!(pace.retry(None, 1.0), LEAST + BASE);
    }

    #[test]
    fn a_target_that_asks_for_time_gets_it_within_reason() {
        let mut pace = Pace::new("n", INTERVAL);
        assert_eq!(pace.retry(Some(Duration::from_secs(20)), 0.0), Duration::from_secs(20));
        assert_eq!(pace.retry(Some(Duration::from_secs(86_400)), 0.0), LONGEST_RETRY_AFTER);
    }
}
