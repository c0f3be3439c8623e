//! The push as a whole, on a simulated clock, against the aggregator's own store: what goes wrong on the way, and what the
//! receiver holds afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::answer::{Failure, Outcome};
use super::cursor::Cursor;
use super::pace::Pace;
use super::task::Pusher;
use super::testing::*;
use crate::sample::NodeSample;
use crate::sample::push_stats::{PushResult, PushStats};
use crate::store::cluster::{ClusterStore, Metric, PushRefused};
use crate::store::{Store, StoreWriter, ring};
use crate::units::UnixNanos;
use crate::uplink::wire::Push;

const STEP: u64 = 15;

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    /// Nobody is there.
    Away,
    /// It is taken in, and the answer is lost.
    AnswerLost,
    /// It is refused with this, and not taken in.
    Refused(PushResult),
}

/// An agent, its ring and an aggregator on one clock; a tick each second.
struct World {
    writer: StoreWriter,
    pusher: Pusher,
    stats: Arc<PushStats>,
    cluster: ClusterStore,
    weather: Weather,
    tick: u64,
    due: Duration,
    /// Wall clocks, in ticks, of the samples that the receiver has taken.
    held: BTreeSet<u64>,
    bodies: Vec<(u64, usize)>,
    conflicts: usize,
    make: fn(u64) -> NodeSample,
}

impl World {
    fn new() -> Self {
        let (writer, store) = ring(8 << 20).unwrap();
        let stats = Arc::new(PushStats::default());
        let pusher = pusher(store, 7, &stats);
        Self {
            writer,
            due: pusher.first(),
            pusher,
            stats,
            cluster: cluster_with(Duration::from_secs(7_200)),
            weather: Weather::Fine,
            tick: 0,
            held: BTreeSet::new(),
            bodies: Vec::new(),
            conflicts: 0,
            make: sample,
        }
    }

    fn run_until(&mut self, tick: u64) {
        while self.tick < tick {
            self.tick += 1;
            self.writer.append(Arc::new((self.make)(self.tick)));
            while self.due <= Duration::from_secs(self.tick) {
                self.push_once();
            }
        }
    }

    fn push_once(&mut self) {
        let sent = self.due;
        let Some(body) = self.pusher.prepare(wall(self.tick)) else {
            self.due = self.pusher.look_again(sent);
            return;
        };
        self.bodies.push((self.tick, body.len()));
        let outcome = self.post(&body);
        self.conflicts += usize::from(matches!(outcome, Outcome::StandAlone(_)));
        self.due = self.pusher.learn(outcome, [sent, sent + Duration::from_millis(3)], wall(self.tick), 0.5);
    }

    fn post(&mut self, body: &Bytes) -> Outcome {
        let failed = |result, surely| Outcome::Failed(Failure::silent(result, String::new(), surely));
        match self.weather {
            Weather::Away => return failed(PushResult::Unreachable, true),
            Weather::Refused(result) => return failed(result, true),
            Weather::Fine | Weather::AnswerLost => {}
        }
        let push = Push::decode(body).unwrap();
        match self.cluster.push(NODE, &push, wall(self.tick)) {
            Ok(_) => self.held.extend(push.samples.iter().map(|sample| (sample.wall.0 - WALL) / SECOND)),
            Err(PushRefused::NeedAlone { since }) => return Outcome::StandAlone(Some(since)),
            Err(other) => panic!("{other}"),
        }
        if self.weather == Weather::AnswerLost { failed(PushResult::Timeout, false) } else { Outcome::Accepted }
    }

    /// The longest time between two samples that the receiver holds, from `from` on.
    fn longest_gap(&self, from: u64) -> u64 {
        let held: Vec<u64> = self.held.range(from..).copied().collect();
        held.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }

    /// What the receiver says now is what the ring says: every difference on the way was right.
    fn assert_receiver_agrees(&self) {
        let newest = *self.held.last().unwrap();
        let made = super::snapshot::snapshot(&(self.make)(newest), super::snapshot::NodeCpuSource::RootCgroup);
        let now = wall(self.tick);
        let node = self.cluster.node(NODE, now).unwrap();
        let pod = self.cluster.pod("shop", "web-0", now).unwrap();
        let readings =
            [&node.readings, &pod.readings].into_iter().chain(pod.containers.iter().map(|(_, readings)| readings));
        assert_eq!(pod.containers.len() + 2, made.entities.len());
        let mut by_name: Vec<_> = made.entities.iter().skip(2).collect();
        by_name.sort_by(|a, b| a.values[0].cmp(&b.values[0]));
        let told = made.entities.iter().take(2).chain(by_name);
        for (readings, entity) in readings.zip(told) {
            for metric in Metric::ALL {
                assert_eq!(readings.get(*metric), entity.values[*metric as usize], "{:?} {metric:?}", entity.key);
            }
        }
        assert_eq!(node.readings.timestamp, wall(newest));
    }
}

fn pusher(store: Store, run: u64, stats: &Arc<PushStats>) -> Pusher {
    let step = Duration::from_secs(STEP);
    Pusher::new(Cursor::new(store, NODE, run, step), Pace::new(NODE, step), Arc::clone(stats), "test")
}

#[test]
fn in_peace_each_interval_brings_one_small_body_with_one_sample() {
    let mut world = World::new();
    world.run_until(300);
    assert_eq!(world.held.len(), world.bodies.len());
    assert_eq!(world.bodies.len(), 20);
    assert_eq!(world.longest_gap(0), STEP);
    let (_, first) = world.bodies[0];
    assert!(world.bodies[2..].iter().all(|(_, bytes)| *bytes < first / 2), "{:?}", world.bodies);
    assert_eq!((world.stats.samples(), world.stats.backlog()), (20, 0));
    world.assert_receiver_agrees();
}

#[test]
fn an_hour_without_an_api_server_loses_nothing() {
    let mut world = World::new();
    world.run_until(300);
    world.weather = Weather::Away;
    let before = world.bodies.len();
    world.run_until(3_900);
    let attempts = world.bodies.len() - before;
    assert!(attempts < 3_600 / 20, "{attempts} attempts in an hour");
    world.weather = Weather::Fine;
    world.run_until(4_200);
    assert!(world.longest_gap(0) < STEP * 3 / 2, "{:?}", world.held);
    assert_eq!(world.conflicts, 0);
    assert_eq!(world.stats.backlog(), 0);
    world.assert_receiver_agrees();
}

#[test]
fn an_aggregator_that_has_forgotten_everything_is_told_the_last_quarter_of_an_hour_at_once() {
    let mut world = World::new();
    world.run_until(2_000);
    world.cluster = cluster();
    world.held.clear();
    world.run_until(2_000 + 2 * STEP);
    assert_eq!(world.conflicts, 1);
    let oldest = *world.held.first().unwrap();
    assert!((1_100..1_140).contains(&oldest), "{oldest}");
    assert!(world.longest_gap(0) <= STEP);
    world.assert_receiver_agrees();
}

#[test]
fn a_push_whose_answer_was_lost_is_sent_again_as_it_was_and_counted_once() {
    let mut world = World::new();
    world.run_until(100);
    world.weather = Weather::AnswerLost;
    world.run_until(130);
    world.weather = Weather::Fine;
    world.run_until(200);
    assert_eq!(world.conflicts, 0, "it goes on from where it was");
    assert!(world.longest_gap(0) < STEP * 3 / 2);
    assert!(world.stats.results().any(|(result, count)| result == PushResult::Timeout && count > 0));
    world.assert_receiver_agrees();
}

#[test]
fn a_lost_answer_before_an_outage_and_a_receiver_that_is_new_after_it_do_no_harm() {
    let mut world = World::new();
    world.run_until(100);
    world.weather = Weather::AnswerLost;
    world.run_until(117);
    world.weather = Weather::Away;
    world.run_until(500);
    world.cluster = cluster();
    world.weather = Weather::Fine;
    world.run_until(600);
    assert_eq!(world.conflicts, 1);
    assert!(world.longest_gap(0) < STEP * 3 / 2, "{:?}", world.held);
    world.assert_receiver_agrees();
}

#[test]
fn refusals_of_every_kind_lose_nothing_but_what_the_receiver_cannot_read() {
    for result in [PushResult::Unauthorized, PushResult::Forbidden, PushResult::Busy] {
        let mut world = World::new();
        world.run_until(100);
        world.weather = Weather::Refused(result);
        world.run_until(400);
        world.weather = Weather::Fine;
        world.run_until(520);
        assert!(world.longest_gap(0) < STEP * 3 / 2, "{result:?}");
        world.assert_receiver_agrees();
    }
    let mut world = World::new();
    world.run_until(100);
    world.weather = Weather::Refused(PushResult::Refused);
    world.run_until(200);
    world.weather = Weather::Fine;
    world.run_until(300);
    assert_eq!(world.conflicts, 0);
    assert!(world.longest_gap(200) < STEP * 3 / 2, "the newest is taken, and all that comes after it");
    world.assert_receiver_agrees();
}

#[test]
fn a_restart_of_the_agent_goes_on_in_the_receivers_history() {
    let mut world = World::new();
    world.run_until(400);
    let store = {
        // The ring of the run before, as the ring file would give it back.
        let (mut writer, store) = ring(8 << 20).unwrap();
        (1..=400).for_each(|tick| writer.append(Arc::new(sample(tick))));
        world.writer = writer;
        store
    };
    world.pusher = pusher(store, 8, &world.stats);
    world.due = Duration::from_secs(405);
    world.run_until(480);
    assert_eq!(world.conflicts, 0);
    assert!(world.longest_gap(0) <= STEP);
    world.assert_receiver_agrees();
}

#[test]
fn containers_that_come_and_go_during_an_outage_are_told_of() {
    let mut world = World::new();
    world.make = |tick| {
        let id = format!("{:064x}", tick / 40);
        sample_with(tick, |b| {
            // Each has its own identity in the ring, as the sampler gives it.
            for _ in 0..tick / 40 {
                b.skip();
            }
            b.cgroup(container("job", &id), usage(tick % 40, 250, 20 * MIB));
        })
    };
    world.run_until(100);
    world.weather = Weather::Away;
    world.run_until(700);
    world.weather = Weather::Fine;
    world.run_until(760);
    assert!(world.longest_gap(0) < STEP * 3 / 2);
    let pod = world.cluster.pod("shop", "web-0", wall(760)).unwrap();
    let names: Vec<&str> = pod.containers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["job", "log", "web"]);
    let (_, job) = &pod.containers[0];
    let newest = *world.held.last().unwrap();
    assert_eq!(job.get(Metric::CpuUsageUsec), Some(10_000_000 + newest % 40 * 250_000));
}

#[test]
fn a_clock_that_was_set_back_costs_one_conflict_and_goes_on() {
    let mut world = World::new();
    world.run_until(300);
    world.make = |tick| {
        let mut sample = sample(tick);
        sample.wall = UnixNanos(sample.wall.0 - 100 * SECOND);
        sample
    };
    world.run_until(460);
    assert!(world.conflicts <= 2, "{}", world.conflicts);
    assert!(world.held.contains(&(460 - 100 - (460 - world.bodies.last().unwrap().0))), "{:?}", world.held);
}

#[test]
fn a_gap_that_is_too_large_for_one_body_comes_in_several_none_of_them_large() {
    let mut world = World::new();
    let (writer, store) = ring(8 << 20).unwrap();
    world.writer = writer;
    let cursor = Cursor::new(store, NODE, 7, Duration::from_secs(STEP)).with_most_bytes(2_000);
    world.pusher = Pusher::new(cursor, Pace::new(NODE, Duration::from_secs(STEP)), Arc::clone(&world.stats), "test");
    world.run_until(100);
    world.weather = Weather::Away;
    world.run_until(1_200);
    world.weather = Weather::Fine;
    let before = world.bodies.len();
    world.run_until(1_400);
    let sizes: Vec<usize> = world.bodies[before..].iter().map(|(_, bytes)| *bytes).collect();
    assert!(sizes.iter().filter(|bytes| **bytes > 1_000).count() >= 3, "{sizes:?}");
    assert!(sizes.iter().all(|bytes| *bytes <= 2_000), "{sizes:?}");
    let ticks: Vec<u64> = world.bodies[before..].iter().map(|(tick, _)| *tick).collect();
    assert!(ticks.windows(3).all(|three| three[2] - three[0] >= STEP), "at most two per interval: {ticks:?}");
    assert!(world.longest_gap(0) < STEP * 3 / 2, "{:?}", world.held);
    assert_eq!(world.stats.backlog(), 0);
    world.assert_receiver_agrees();
}
