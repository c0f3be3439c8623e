//! Long runs of made-up samples, through the encoder and the store, against a list of the samples themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::wire::{Encoder, Push};
use super::wire_tests::{SECOND, START, at, node_record, pod_record, values};
use crate::store::cluster::{
    ClusterOptions, ClusterStore, Entity, EntityKey, GroupBy, HistoryQuery, Metric, MetricKind, Snapshot,
};
use crate::units::UnixNanos;

use Metric::{
    CpuUsageUsec as CPU, MemoryWorkingSetBytes as SET, NetworkReceiveBytes as RX, Pids as PIDS, Restarts as RESTARTS,
};

const PODS: [&str; 4] = ["web-1", "web-2", "db-1", "db-2"];

/// A node whose pods and containers come, work, rest, start again and go.
struct World {
    rng: SmallRng,
    seconds: u64,
    entities: Vec<Entity>,
    containers: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let node = Entity { key: EntityKey::Node, started_at: UnixNanos(0), values: values(&[(CPU, 1), (SET, 1)]) };
        Self { rng: SmallRng::seed_from_u64(seed), seconds: 0, entities: vec![node], containers: 0 }
    }

    fn has(&self, key: &EntityKey) -> bool {
        self.entities.iter().any(|entity| entity.key == *key)
    }

    fn step(&mut self) -> Snapshot {
        let (before, entities) = (self.seconds, self.entities.len());
        self.seconds += self.rng.random_range(1..40);
        let this = &mut self.rng;
        for entity in &mut self.entities {
            for (metric, value) in Metric::ALL.iter().zip(&mut entity.values) {
                let Some(number) = value else { continue };
                match (metric.info().kind, this.random_range(0..10)) {
                    (MetricKind::Counter, 0) => *number = this.random_range(0..50),
                    (MetricKind::Counter, 1..5) => *number += this.random_range(0..1_000_000),
                    (MetricKind::Gauge, 0..4) => *number = 4096 * this.random_range(0..1 << 20),
                    (_, 9) if this.random_ratio(1, 4) => *value = None,
                    _ => {}
                }
            }
        }
        if this.random_ratio(1, 8) && self.entities.len() > 1 {
            let key = self.entities.remove(this.random_range(1..self.entities.len())).key;
            if let EntityKey::Pod { uid, .. } = key {
                self.entities
                    .retain(|entity| !matches!(&entity.key, EntityKey::Container { pod_uid, .. } if *pod_uid == uid));
            }
        }
        // Who goes does not come back in the same sample: that would be the same pod.
        let went = self.entities.len() < entities;
        let pod = PODS[self.rng.random_range(0..PODS.len())];
        let uid: Arc<str> = format!("uid-{pod}").into();
        let started_at = UnixNanos(at(before).0 + self.rng.random_range(0..2) * SECOND / 2);
        let pod_key = EntityKey::Pod { uid: uid.clone(), namespace: "default".into(), name: pod.into() };
        if !went && self.rng.random_ratio(1, 2) && !self.has(&pod_key) {
            let values = values(&[(RX, self.rng.random_range(0..1 << 40)), (SET, 7), (CPU, 5)]);
            self.entities.push(Entity { key: pod_key, started_at, values });
        } else if self.rng.random_ratio(1, 2) && self.has(&pod_key) {
            self.containers += 1;
            let name = ["app", "side"][self.rng.random_range(0..2)].into();
            let key = EntityKey::Container { pod_uid: uid, name, id: self.containers.to_string().into() };
            let values = values(&[(CPU, self.rng.random_range(0..1 << 40)), (SET, 4096), (PIDS, 3), (RESTARTS, 0)]);
            self.entities.push(Entity { key, started_at, values });
        }
        Snapshot { wall: at(self.seconds), entities: self.entities.clone() }
    }
}

/// Samples of one chain, and from when on a later one counts.
type Chains = Vec<(Vec<Snapshot>, u64)>;

fn belongs(by: &GroupBy, metric: Metric, key: &EntityKey) -> Option<Vec<String>> {
    let of_pod = |pod: &str, container: Option<&str>| {
        Some(match by {
            GroupBy::Cluster | GroupBy::Node => return None,
            GroupBy::Namespace => vec!["default".to_owned()],
            GroupBy::Workload => {
                vec!["default".to_owned(), "Deployment".to_owned(), pod.split('-').next()?.to_owned()]
            }
            GroupBy::Pod => vec!["default".to_owned(), pod.to_owned()],
            GroupBy::Container => vec!["default".to_owned(), pod.to_owned(), container?.to_owned()],
            GroupBy::Label(label) if &**label == "app" => vec![pod.split('-').next()?.to_owned()],
            GroupBy::Label(_) => vec![String::new()],
        })
    };
    match key {
        EntityKey::Node if *by == GroupBy::Cluster => Some(vec![]),
        EntityKey::Node if *by == GroupBy::Node => Some(vec!["a".to_owned()]),
        EntityKey::Node => None,
        EntityKey::Pod { name, .. } if metric == RX => of_pod(name, None).filter(|_| *by != GroupBy::Container),
        EntityKey::Pod { .. } => None,
        EntityKey::Container { pod_uid, name, .. } if metric != RX => {
            of_pod(pod_uid.strip_prefix("uid-").unwrap(), Some(name))
        }
        EntityKey::Container { .. } => None,
    }
}

type Points = BTreeMap<Vec<String>, BTreeMap<u64, f64>>;

/// What the answer has to be, from the samples as they are.
fn expected(chains: &Chains, by: &GroupBy, metric: Metric, from: u64, step: u64, count: u64, holds: u64) -> Points {
    let mut points = Points::new();
    let mut observed: BTreeMap<u64, f64> = BTreeMap::new();
    for (samples, until) in chains {
        for (number, sample) in samples.iter().enumerate() {
            let wall = sample.wall.0;
            for k in 0..count {
                let t = from + k * step;
                if metric.info().kind == MetricKind::Gauge {
                    let next = samples.get(number + 1).map_or(u64::MAX, |next| next.wall.0);
                    if t < wall || t >= next.min(*until).min(wall + holds) {
                        continue;
                    }
                    for entity in &sample.entities {
                        if let (Some(group), Some(value)) =
                            (belongs(by, metric, &entity.key), entity.values[metric as usize])
                        {
                            *points.entry(group).or_default().entry(t).or_default() += value as f64;
                        }
                    }
                    continue;
                }
                let Some(before) = number.checked_sub(1).map(|before| &samples[before]) else { continue };
                let part = t.min(wall).saturating_sub((t - step).max(before.wall.0));
                if wall > *until || part == 0 {
                    continue;
                }
                *observed.entry(t).or_default() += part as f64;
                for entity in &sample.entities {
                    let Some(group) = belongs(by, metric, &entity.key) else { continue };
                    let Some(value) = entity.values[metric as usize] else { continue };
                    let old = before.entities.iter().find(|old| old.key == entity.key);
                    let old = old.and_then(|old| old.values[metric as usize]);
                    let started = entity.started_at;
                    let old = old.or((before.wall <= started && started < sample.wall).then_some(0));
                    let Some(growth) = old.and_then(|old| value.checked_sub(old)) else { continue };
                    let share = growth as f64 * part as f64 / (wall - before.wall.0) as f64;
                    *points.entry(group).or_default().entry(t).or_default() += share;
                }
            }
        }
    }
    if metric.info().kind == MetricKind::Counter {
        for series in points.values_mut() {
            series.iter_mut().for_each(|(t, growth)| *growth = *growth * 1e9 / observed[t]);
        }
    }
    points
}

fn known() -> ClusterStore {
    let store = ClusterStore::new(ClusterOptions {
        history: Duration::from_secs(100_000),
        budget_bytes: 64 << 20,
        stale_after: Duration::from_secs(35),
    });
    store.put_node(&node_record("a"));
    PODS.iter().for_each(|pod| store.put_pod(&pod_record(pod, "a")));
    store.set_synced();
    store
}

fn check_newest(store: &ClusterStore, newest: &Snapshot) {
    for entity in &newest.entities {
        let EntityKey::Pod { name, uid, .. } = &entity.key else { continue };
        let usage = store.pod("default", name, newest.wall);
        let of = |other: &&Entity| matches!(&other.key, EntityKey::Container { pod_uid, .. } if pod_uid == uid);
        let Some(usage) = usage else {
            assert_eq!(newest.entities.iter().filter(of).count(), 0);
            continue;
        };
        for metric in Metric::ALL {
            assert_eq!(usage.readings.get(*metric), entity.values[*metric as usize]);
        }
        for container in newest.entities.iter().filter(of) {
            let EntityKey::Container { name, .. } = &container.key else { continue };
            let (_, shown) = usage.containers.iter().find(|(shown, _)| shown == name).unwrap();
            let same =
                |other: &Entity| Metric::ALL.iter().all(|metric| shown.get(*metric) == other.values[*metric as usize]);
            // Of two runs of one container either may be the younger one.
            let namesakes = |other: &&Entity| {
                matches!(&other.key, EntityKey::Container { name: of, .. } if of == name) && of(other)
            };
            assert!(newest.entities.iter().filter(namesakes).any(same), "{name}");
        }
    }
}

/// Pushes what a world does, some of it again, some of it alone; gives the chains that the store has to hold.
fn play(seed: u64, store: &ClusterStore) -> Chains {
    let mut world = World::new(seed);
    let mut encoder = Encoder::new("a", 1);
    let mut chains: Chains = vec![(Vec::new(), u64::MAX)];
    let mut waiting = Vec::new();
    for _ in 0..world.rng.random_range(1..120) {
        waiting.push(world.step());
        if world.rng.random_ratio(1, 3) {
            continue;
        }
        let alone = world.rng.random_ratio(1, 15);
        if alone && !chains.last().unwrap().0.is_empty() {
            if world.rng.random_ratio(1, 3) {
                encoder = Encoder::new("a", world.rng.random());
            }
            let held = &chains.last().unwrap().0;
            let again = world.rng.random_range(0..4).min(held.len());
            waiting.splice(0..0, held[held.len() - again..].iter().cloned());
            let from = waiting[0].wall.0;
            chains.iter_mut().for_each(|(_, until)| *until = from.min(*until));
            // Of whom nothing counts any more, the store keeps nothing.
            chains.retain(|(samples, until)| samples.first().is_some_and(|first| first.wall.0 < *until));
            chains.push((Vec::new(), u64::MAX));
        }
        for body in encoder.pushes(&waiting, alone, world.rng.random_range(500..5000)) {
            let push = Push::decode(&body).unwrap();
            let pushed = store.push("a", &push, at(world.seconds)).unwrap();
            assert_eq!((pushed.accepted, pushed.duplicates), (push.samples.len() as u64, 0));
            assert_eq!(pushed.sequence, push.sequence());
            if world.rng.random_ratio(1, 5) {
                let pushed = store.push("a", &push, at(world.seconds)).unwrap();
                assert_eq!((pushed.accepted, pushed.duplicates), (0, push.samples.len() as u64));
            }
        }
        check_newest(store, waiting.last().unwrap());
        chains.last_mut().unwrap().0.append(&mut waiting);
        // The oldest of too many ended chains is forgotten.
        while chains.len() > 9 {
            chains.remove(0);
        }
    }
    chains
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn history_is_what_a_list_of_all_samples_says(seed in any::<u64>(), start in 0u64..600, step in 1u64..70) {
        let store = known();
        let mut chains = play(seed, &store);
        chains.retain(|(samples, until)| samples.first().is_some_and(|first| first.wall.0 < *until));
        let groups = [
            GroupBy::Cluster, GroupBy::Node, GroupBy::Namespace, GroupBy::Workload, GroupBy::Pod, GroupBy::Container,
            GroupBy::Label("app".into()), GroupBy::Label("none".into()),
        ];
        let (from, step) = (START + start * SECOND, step * SECOND);
        for by in groups {
            for metric in [CPU, SET, RX, PIDS, RESTARTS] {
                let query = HistoryQuery {
                    metric, by: by.clone(), namespace: None, node: None, name: None, pods: None,
                    from: UnixNanos(from), to: UnixNanos(from + 40 * step), step: Duration::from_nanos(step),
                };
                let wanted = expected(&chains, &by, metric, from, step, 41, 35 * SECOND);
                let answer = store.history(&query);
                let names: Vec<Vec<String>> = answer.iter()
                    .map(|series| series.group.iter().map(|(_, value)| value.to_string()).collect()).collect();
                prop_assert_eq!(&names, &wanted.keys().cloned().collect::<Vec<_>>(), "{:?} {:?}", by, metric);
                for (series, points) in answer.iter().zip(wanted.values()) {
                    let times: Vec<u64> = series.points.iter().map(|(time, _)| time.0).collect();
                    prop_assert_eq!(&times, &points.keys().copied().collect::<Vec<_>>(), "{:?} {:?}", by, metric);
                    for ((_, value), wanted) in series.points.iter().zip(points.values()) {
                        prop_assert!((value - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{:?} {:?} {} {}", by, metric, value, wanted);
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_taken_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(push) = Push::decode(&bytes) {
            let _ = known().push("a", &push, at(0));
        }
    }

    #[test]
    fn a_damaged_push_leaves_the_store_as_it_was_or_is_a_push(
        seed in any::<u64>(), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let store = known();
        let mut world = World::new(seed);
        let mut encoder = Encoder::new("a", 1);
        let first: Vec<Snapshot> = (0..10).map(|_| world.step()).collect();
        let body = encoder.push(&first, true);
        prop_assert!(store.push("a", &Push::decode(&body).unwrap(), at(world.seconds)).is_ok());
        let newest = first.last().unwrap();
        let mut body = encoder.push(&[world.step()], false);
        let place = place.index(body.len());
        if cut { body.truncate(place) } else { body[place] ^= byte | 1 };
        match Push::decode(&body) {
            Ok(push) => if store.push("a", &push, at(world.seconds)).is_err() {
                check_newest(&store, newest);
            },
            Err(_) => check_newest(&store, newest),
        }
    }
}
