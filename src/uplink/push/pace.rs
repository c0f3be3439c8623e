//! When the next body goes out.
//!
//! In: how the last one ended, and a random number. Out: an instant. It reads no clock and sends nothing. Next: [`super::task`].
//!
//! Each node has its own place in the interval (a hash of its name), and pushes there. Beside that one push an agent may send
//! one more body per interval: to try again, to stand alone when it is asked to, to fill a gap. So whatever happens to the
//! aggregator, and to however many agents at once, no interval sees more than two bodies of one agent, and all agents
//! together send at most twice their steady rate. A first retry comes within a second, because most failures are one
//! replica that went; further ones have up to twice the time of the one before, at most four intervals, chosen evenly from
//! zero (full jitter), so that agents that failed together do not come back together: after a long outage they come at half
//! the steady rate.

use std::time::Duration;

/// How long the first retry may wait.
const BASE: Duration = Duration::from_secs(1);

/// The longest wait for a retry, in intervals.
const CAP_INTERVALS: u32 = 4;

/// Two bodies of one agent are at least so far apart, if half an interval is not shorter.
const APART: Duration = Duration::from_secs(1);

/// The longest that an answer can make an agent wait, whatever it says.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// What follows a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// All is told: the next one goes at this node's place in the next interval.
    Rest,
    /// There is more to send.
    Continue,
    /// It failed; the receiver may have said how long to wait.
    Retry(Option<Duration>),
}

/// Paces one agent. Times are counted from any one instant.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    place: Duration,
    failures: u32,
    /// When the last body and the one before it were sent.
    sent: [Option<Duration>; 2],
}

impl Pace {
    /// A pace for a node.
    #[must_use]
    pub fn new(node: &str, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(100));
        // FNV-1a: the same on every machine and in every version.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        // The high bits are mixed best.
        let share = (u128::from(hash) * u128::from(nanos)) >> 64;
        let place = Duration::from_nanos(u64::try_from(share).unwrap_or(0));
        Self { interval, place, failures: 0, sent: [None; 2] }
    }

    /// When the first body goes out.
    #[must_use]
    pub const fn first(&self) -> Duration {
        self.place
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// A body that was sent at `sent` ended so at `now`: when the next one goes out. `random` is even in 0..1.
    pub fn next(&mut self, sent: Duration, now: Duration, then: Then, random: f64) -> Duration {
        let [_, last] = self.sent;
        self.sent = [last, Some(sent)];
        let wanted = match then {
            Then::Rest => {
                self.failures = 0;
                self.slot_after(now)
            }
            Then::Continue => {
                self.failures = 0;
                now + APART.min(self.interval / 2)
            }
            Then::Retry(wait) => {
                let doubled = BASE.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
                self.failures = self.failures.saturating_add(1);
                let most = doubled.min(self.interval * CAP_INTERVALS);
                now + wait.unwrap_or_default().min(LONGEST_RETRY_AFTER) + most.mul_f64(random.clamp(0.0, 1.0))
            }
        };
        // The third body within an interval waits until the first one is an interval ago: all agents together are then as
        // evenly spread as they were.
        last.map_or(wanted, |earlier| wanted.max(earlier + self.interval))
    }

    /// When this node's place in the interval comes next; one that is almost now is left out.
    #[must_use]
    pub fn slot_after(&self, now: Duration) -> Duration {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let from = nanos((now + self.interval / 2).saturating_sub(self.place));
        let slots = from.div_ceil(nanos(self.interval).max(1));
        self.place + Duration::from_nanos(nanos(self.interval).saturating_mul(slots))
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use rand::rngs::SmallRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);
    const CLIENTS: usize = 5_000;
    const STEADY_PER_INTERVAL: usize = CLIENTS;

    /// What a simulated agent has yet to send.
    #[derive(Clone, Copy)]
    struct Client {
        /// Whether it was asked to stand alone.
        asked: bool,
        /// When it told all last.
        told: Duration,
        /// Bodies of a gap that are left.
        left: u32,
    }

    /// Runs 5,000 agents; the receiver is away between the two instants, and if `forgets` knows nothing afterwards. A gap
    /// of an hour takes `bodies_per_hour`. Returns the bodies in each second, and when the last agent had told all.
    fn fleet(away: [u64; 2], until: u64, forgets: bool, bodies_per_hour: u32) -> (Vec<usize>, Duration) {
        let mut random = SmallRng::seed_from_u64(7);
        let [away_from, away_until] = away.map(Duration::from_secs);
        let mut paces: Vec<Pace> = (0..CLIENTS).map(|n| Pace::new(&format!("node-{n}.example"), INTERVAL)).collect();
        let mut clients = vec![Client { asked: false, told: Duration::ZERO, left: 0 }; CLIENTS];
        let mut healed = vec![Duration::ZERO; CLIENTS];
        let mut queue: BinaryHeap<Reverse<(Duration, usize)>> =
            paces.iter().enumerate().map(|(n, pace)| Reverse((pace.first(), n))).collect();
        let mut seconds = vec![0; usize::try_from(until).unwrap()];
        while let Some(Reverse((at, n))) = queue.pop() {
            let Some(second) = seconds.get_mut(usize::try_from(at.as_secs()).unwrap()) else { break };
            *second += 1;
            let client = &mut clients[n];
            let then = if at >= away_from && at < away_until {
                Then::Retry(None)
            } else if at >= away_until && forgets && !client.asked {
                // 409: it is asked to stand alone, with the whole history.
                client.asked = true;
                client.left = (bodies_per_hour / 4).max(1);
                Then::Continue
            } else {
                if client.left == 0 {
                    let gap = (at - client.told).as_secs() * u64::from(bodies_per_hour);
                    client.left = u32::try_from(gap.div_ceil(3_600)).unwrap().max(1);
                }
                client.left -= 1;
                client.told = at;
                match client.left {
                    0 => {
                        if at >= away_until && healed[n].is_zero() {
                            healed[n] = at;
                        }
                        Then::Rest
                    }
                    _ => Then::Continue,
                }
            };
            let took = Duration::from_millis(20);
            queue.push(Reverse((paces[n].next(at, at + took, then, random.random()), n)));
        }
        (seconds, healed.into_iter().max().unwrap())
    }

    fn most_per_interval(seconds: &[usize]) -> usize {
        seconds.windows(15).map(|window| window.iter().sum()).max().unwrap()
    }

    #[test]
    fn five_thousand_agents_in_peace_push_once_per_interval_each_and_evenly() {
        let (seconds, _) = fleet([0, 0], 300, false, 3);
        assert!(seconds.windows(15).all(|window| window.iter().sum::<usize>() == STEADY_PER_INTERVAL));
        assert!(*seconds.iter().max().unwrap() < 333 * 5 / 4, "{:?}", seconds.iter().max());
    }

    #[test]
    fn five_thousand_agents_that_come_back_at_once_do_not_exceed_twice_the_steady_rate() {
        for (name, away, forgets, bodies_per_hour) in [
            ("an hour without an API server", [300, 3_900], false, 3),
            ("twenty minutes, of large nodes", [300, 1_500], false, 60),
            ("twenty minutes, and the aggregators are new", [300, 1_500], true, 3),
            ("a minute", [300, 360], false, 3),
            ("a restart of the aggregators", [300, 310], true, 3),
            ("a restart within an interval and a half", [300, 322], true, 20),
            ("aggregators that only forget", [300, 300], true, 3),
        ] {
            let until = away[1] + 300;
            let (seconds, healed) = fleet(away, until, forgets, bodies_per_hour);
            let most = most_per_interval(&seconds);
            assert!(most <= 2 * STEADY_PER_INTERVAL, "{name}: {most} in one interval");
            let peak = seconds.iter().max().unwrap();
            let healed = healed - Duration::from_secs(away[1]);
            // Single seconds are as uneven as the hash: also in peace one has 384 bodies instead of 333.
            assert!(*peak <= 900, "{name}: {peak} in one second");
            assert!(
                healed.as_secs() < 4 * 15 + u64::from(bodies_per_hour) * 15,
                "{name}: the last was well after {healed:?}"
            );
        }
    }

    #[test]
    fn after_a_long_outage_agents_come_back_at_no_more_than_the_steady_rate() {
        let (seconds, _) = fleet([300, 1_500], 1_500, false, 3);
        let last_minutes = &seconds[1_000..];
        assert!(most_per_interval(last_minutes) <= STEADY_PER_INTERVAL, "{}", most_per_interval(last_minutes));
    }

    #[test]
    fn a_first_retry_comes_within_a_second_and_the_third_body_of_an_interval_waits() {
        let mut pace = Pace::new("a", INTERVAL);
        let at = |seconds: u64| Duration::from_secs(seconds);
        assert_eq!(pace.next(at(100), at(100), Then::Retry(None), 0.5), Duration::from_millis(100_500));
        let third = pace.next(Duration::from_millis(100_500), at(101), Then::Retry(None), 0.5);
        assert_eq!(third, at(115), "an interval after the first");
        // Later the wait is what counts: eight failures, but at most four intervals.
        let mut now = third;
        for _ in 0..6 {
            now = pace.next(now, now, Then::Retry(None), 1.0);
        }
        assert_eq!(pace.next(now, now, Then::Retry(None), 1.0) - now, at(60));
        assert_eq!(pace.failures(), 9);
    }

    #[test]
    fn what_the_receiver_asks_for_is_waited_and_jitter_comes_on_top_but_nobody_waits_for_days() {
        let mut pace = Pace::new("a", INTERVAL);
        let at = |seconds: u64| Duration::from_secs(seconds);
        assert_eq!(pace.next(at(0), at(0), Then::Retry(Some(at(40))), 0.5), Duration::from_millis(40_500));
        assert_eq!(pace.next(at(50), at(50), Then::Retry(Some(at(1 << 40))), 0.0), at(350));
    }

    #[test]
    fn a_node_keeps_its_place_in_the_interval_after_a_retry() {
        let mut pace = Pace::new("node-7", INTERVAL);
        let place = pace.first();
        assert!(place < INTERVAL);
        let failed = place + INTERVAL;
        let retry = pace.next(failed, failed, Then::Retry(None), 1.0);
        assert_eq!(pace.next(retry, retry, Then::Rest, 0.0), place + INTERVAL * 2);
        // A place that comes in a moment is left out: what is new by then is not worth a push.
        assert_eq!(pace.slot_after(place + INTERVAL * 2 - Duration::from_secs(2)), place + INTERVAL * 3);
    }
}
