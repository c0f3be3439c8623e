//! Pushes from the encoder into the cluster's store, and back out: what was told is what is shown.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::wire::*;
use crate::store::cluster::{
    ClusterOptions, ClusterStore, Entity, EntityKey, GroupBy, HistoryQuery, Metric, NodeRecord, PodRecord, PushRefused,
    Refusal, Snapshot, WorkloadRef,
};
use crate::units::UnixNanos;

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const START: u64 = 1_700_000_000 * SECOND;

/// So many seconds after the start.
pub(super) fn at(seconds: u64) -> UnixNanos {
    UnixNanos(START + seconds * SECOND)
}

pub(super) fn values(pairs: &[(Metric, u64)]) -> [Option<u64>; Metric::ALL.len()] {
    let mut values = [None; Metric::ALL.len()];
    for (metric, value) in pairs {
        values[*metric as usize] = Some(*value);
    }
    values
}

pub(super) fn node_entity(pairs: &[(Metric, u64)]) -> Entity {
    Entity { key: EntityKey::Node, started_at: UnixNanos(0), values: values(pairs) }
}

pub(super) fn pod_entity(name: &str, pairs: &[(Metric, u64)]) -> Entity {
    let key = EntityKey::Pod { uid: format!("uid-{name}").into(), namespace: "default".into(), name: name.into() };
    Entity { key, started_at: at(0), values: values(pairs) }
}

pub(super) fn container_entity(pod: &str, name: &str, started: u64, pairs: &[(Metric, u64)]) -> Entity {
    let id = format!("{pod}-{name}-{started}").into();
    let key = EntityKey::Container { pod_uid: format!("uid-{pod}").into(), name: name.into(), id };
    Entity { key, started_at: at(started), values: values(pairs) }
}

pub(super) fn snapshot(seconds: u64, entities: Vec<Entity>) -> Snapshot {
    Snapshot { wall: at(seconds), entities }
}

pub(super) fn node_record(name: &str) -> NodeRecord {
    NodeRecord { name: name.into(), uid: format!("node-uid-{name}").into(), labels: Arc::new([]) }
}

pub(super) fn pod_record(name: &str, node: &str) -> PodRecord {
    PodRecord {
        namespace: "default".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
        node: node.into(),
        labels: Arc::new([("app".into(), name.split('-').next().unwrap_or_default().into())]),
        workload: WorkloadRef { kind: "Deployment".into(), name: name.split('-').next().unwrap_or_default().into() },
        finished: false,
    }
}

pub(super) fn store() -> ClusterStore {
    ClusterStore::new(ClusterOptions {
        history: Duration::from_secs(900),
        budget_bytes: 16 << 20,
        stale_after: Duration::from_secs(120),
    })
}

pub(super) fn push(store: &ClusterStore, body: &[u8], now: u64) -> Result<(u64, u64), PushRefused> {
    let push = Push::decode(body).unwrap();
    store.push(push.node, &push, at(now)).map(|pushed| (pushed.accepted, pushed.duplicates))
}

use Metric::{CpuUsageUsec as CPU, MemoryWorkingSetBytes as SET};

/// Node `a` with pod `web-1` and its container `app`.
fn usual(seconds: u64, cpu: u64, set: u64) -> Snapshot {
    snapshot(
        seconds,
        vec![
            node_entity(&[(CPU, 10 * cpu), (SET, 1 << 33)]),
            pod_entity("web-1", &[(CPU, cpu + 1), (SET, set + 4096)]),
            container_entity("web-1", "app", 0, &[(CPU, cpu), (SET, set)]),
        ],
    )
}

fn known_store() -> ClusterStore {
    let store = store();
    store.put_node(&node_record("a"));
    store.put_pod(&pod_record("web-1", "a"));
    store.set_synced();
    store
}

#[test]
fn the_newest_values_and_the_growth_since_the_sample_before_are_shown() {
    let store = known_store();
    let mut encoder = Encoder::new("a", 7);
    let body = encoder.push(&[usual(0, 1_000_000, 8192), usual(10, 6_000_000, 4096)], true);
    assert_eq!(push(&store, &body, 10), Ok((2, 0)));
    let usage = store.pod("default", "web-1", at(11)).unwrap();
    let (name, app) = &usage.containers[0];
    assert_eq!((&**name, app.timestamp, app.window), ("app", at(10), Duration::from_secs(10)));
    assert_eq!(
        (app.get(CPU), app.increase(CPU), app.cpu_nanocores()),
        (Some(6_000_000), Some(5_000_000), Some(500_000_000))
    );
    assert_eq!((app.get(SET), app.increase(SET), app.get(Metric::Pids)), (Some(4096), None, None));
    assert_eq!(usage.readings.get(SET), Some(8192));
    assert_eq!(store.node("a", at(11)).unwrap().readings.increase(CPU), Some(50_000_000));

    // What does not change is not sent, and its growth is nought.
    let body = encoder.push(&[usual(25, 6_000_000, 4096)], false);
    assert!(body.len() < 60, "{}", body.len());
    assert_eq!(push(&store, &body, 25), Ok((1, 0)));
    let usage = store.pod("default", "web-1", at(25)).unwrap();
    assert_eq!((usage.containers[0].1.increase(CPU), usage.containers[0].1.window), (Some(0), Duration::from_secs(15)));
}

#[test]
fn a_push_that_comes_twice_is_taken_once_and_one_that_does_not_follow_not_at_all() {
    let store = known_store();
    let mut encoder = Encoder::new("a", 7);
    let first = encoder.push(&[usual(0, 1_000, 8192)], false);
    let second = encoder.push(&[usual(15, 2_000, 8192)], false);
    let third = encoder.push(&[usual(30, 3_000, 8192)], false);
    assert_eq!(push(&store, &second, 30), Err(PushRefused::NeedAlone { since: UnixNanos(at(30).0 - 900 * SECOND) }));
    assert_eq!(push(&store, &first, 30), Ok((1, 0)));
    assert_eq!(push(&store, &third, 30), Err(PushRefused::NeedAlone { since: at(0) }));
    assert_eq!(push(&store, &second, 30), Ok((1, 0)));
    assert_eq!(push(&store, &second, 30), Ok((0, 1)));
    assert_eq!(push(&store, &first, 30), Ok((0, 1)));
    assert_eq!(push(&store, &third, 30), Ok((1, 0)));
    let usage = store.pod("default", "web-1", at(30)).unwrap();
    assert_eq!(usage.containers[0].1.increase(CPU), Some(1_000));
}

#[test]
fn a_new_container_has_its_start_as_the_earlier_point() {
    let store = known_store();
    let mut encoder = Encoder::new("a", 7);
    let _ = push(&store, &encoder.push(&[usual(0, 1_000, 8192)], true), 0);
    let mut next = usual(15, 2_000, 8192);
    next.entities.push(container_entity("web-1", "side", 5, &[(CPU, 7_000_000)]));
    next.entities.push(container_entity("web-1", "old", 0, &[(CPU, 7_000_000)]));
    next.entities[4].started_at = UnixNanos(at(0).0 - SECOND);
    assert_eq!(push(&store, &encoder.push(&[next], false), 15), Ok((1, 0)));
    let usage = store.pod("default", "web-1", at(15)).unwrap();
    let names: Vec<&str> = usage.containers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["app", "old", "side"]);
    let (old, side) = (&usage.containers[1].1, &usage.containers[2].1);
    assert_eq!((side.window, side.cpu_nanocores()), (Duration::from_secs(10), Some(700_000_000)));
    assert_eq!((old.window, old.cpu_nanocores(), old.get(CPU)), (Duration::ZERO, None, Some(7_000_000)));
}

#[test]
fn a_counter_that_falls_has_no_growth() {
    let store = known_store();
    let mut encoder = Encoder::new("a", 7);
    let body = encoder.push(&[usual(0, 9_000, 8192), usual(15, 10, 8192)], true);
    assert_eq!(push(&store, &body, 15), Ok((2, 0)));
    let app = &store.pod("default", "web-1", at(15)).unwrap().containers[0].1;
    assert_eq!((app.get(CPU), app.increase(CPU), app.cpu_nanocores()), (Some(10), None, None));
}

#[test]
fn pods_are_shown_when_the_api_server_places_them_there_and_not_before() {
    let store = store();
    store.put_node(&node_record("a"));
    store.put_node(&node_record("b"));
    store.set_synced();
    let mut encoder = Encoder::new("a", 7);
    let pushed = |body: &[u8]| {
        let push = Push::decode(body).unwrap();
        store.push(push.node, &push, at(15)).unwrap().refused
    };
    let first = encoder.push(&[usual(0, 1_000, 8192)], true);
    // The pod and its container.
    assert_eq!(pushed(&first), [2, 0, 0, 0]);
    assert!(store.pod("default", "web-1", at(15)).is_none());
    store.put_pod(&pod_record("web-1", "b"));
    assert!(store.pod("default", "web-1", at(15)).is_none());
    let mut other = pod_record("web-1", "a");
    other.name = "web-2".into();
    store.put_pod(&other);
    assert_eq!(store.stats().refused[Refusal::WrongName as usize], 2);
    other.uid = "another".into();
    other.name = "web-1".into();
    store.remove_pod("uid-web-1");
    store.put_pod(&other);
    assert!(store.pod("default", "web-1", at(15)).is_none());
    assert_eq!(pushed(&encoder.push(&[usual(10, 2_000, 8192)], true))[Refusal::WrongUid as usize], 2);
    store.remove_pod("another");
    store.put_pod(&pod_record("web-1", "a"));
    assert_eq!(store.stats().refused, [0; 4]);
    assert_eq!(store.pod("default", "web-1", at(15)).unwrap().containers.len(), 1);
    // Finished, removed, stale: not shown.
    assert!(store.pod("default", "web-1", at(131)).is_none());
    store.put_pod(&PodRecord { finished: true, ..pod_record("web-1", "a") });
    assert!(store.pod("default", "web-1", at(15)).is_none());
    store.put_pod(&pod_record("web-1", "a"));
    assert!(store.pod("default", "web-1", at(15)).is_some());
    store.retain(&HashSet::from(["a".into()]), &HashSet::new());
    assert!(store.pod("default", "web-1", at(15)).is_none());
    assert!(store.node("a", at(15)).is_some());
    assert!(store.node_record("b").is_none());
    let stranger = Encoder::new("b", 1).push(&[usual(0, 1, 1)], true);
    assert_eq!(push(&store, &stranger, 0), Err(PushRefused::UnknownNode));
}

#[test]
fn samples_from_the_future_are_refused() {
    let store = known_store();
    let body = Encoder::new("a", 7).push(&[usual(121, 1, 1)], true);
    assert_eq!(push(&store, &body, 0), Err(PushRefused::Future { ahead: Duration::from_secs(121) }));
    assert_eq!(push(&store, &body, 1), Ok((1, 0)));
}

#[test]
fn pods_are_listed_by_namespace_and_name() {
    let store = store();
    let mut entities = vec![node_entity(&[])];
    for number in 0..600 {
        let name = format!("p-{number:03}");
        store.put_pod(&pod_record(&name, "a"));
        entities.push(pod_entity(&name, &[(CPU, number)]));
        entities.push(container_entity(&name, "app", 0, &[(CPU, number), (SET, number)]));
    }
    store.put_pod(&PodRecord { namespace: "other".into(), ..pod_record("p-x", "a") });
    assert_eq!(push(&store, &Encoder::new("a", 1).push(&[snapshot(0, entities)], true), 0), Ok((1, 0)));
    let mut listed = Vec::new();
    store.each_pod(None, at(0), &mut |usage| listed.push((usage.pod.name.to_string(), usage.readings.get(CPU))));
    assert_eq!(listed.len(), 600);
    assert!((0..600).zip(&listed).all(|(number, pod)| *pod == (format!("p-{number:03}"), Some(number))));
    let mut none = 0;
    store.each_pod(Some("other"), at(0), &mut |_| none += 1);
    assert_eq!(none, 0);
}

#[test]
fn a_body_that_is_cut_into_several_pushes_says_the_same() {
    let whole: Vec<Snapshot> = (0..40).map(|n| usual(n, 1_000 * n, 4096 * n)).collect();
    let bodies = Encoder::new("a", 1).pushes(&whole, true, 1_000);
    assert!(bodies.len() > 2 && bodies.iter().all(|body| body.len() <= 1_000), "{}", bodies.len());
    let store = known_store();
    let taken: u64 = bodies.iter().map(|body| push(&store, body, 40).unwrap().0).sum();
    assert_eq!(taken, 40);
    assert_eq!(store.pod("default", "web-1", at(40)).unwrap().containers[0].1.get(CPU), Some(39_000));
}

#[test]
fn another_version_is_told_which_one_is_known() {
    use prost::Message as _;
    let message = PushMessage { version: 2, ..PushMessage::default() };
    let error = Push::decode(&message.encode_to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "version 2 of the push protocol is not known here; send version 1");
}

#[test]
fn of_two_runs_the_one_that_was_sent_last_counts_and_history_before_it_stays() {
    let store = known_store();
    let mut old = Encoder::new("a", 1);
    let mut new = Encoder::new("a", 2);
    let late = old.push(&[usual(0, 1_000, 4096), usual(15, 2_000, 4096)], true);
    assert_eq!(push(&store, &late, 15), Ok((2, 0)));
    let next = old.push(&[usual(30, 3_000, 4096)], false);
    assert_eq!(push(&store, &new.push(&[usual(30, 1, 8192), usual(45, 2, 8192)], true), 45), Ok((2, 0)));
    assert_eq!(push(&store, &next, 45), Err(PushRefused::NeedAlone { since: at(45) }));
    assert_eq!(push(&store, &late, 45), Ok((0, 2)));
    let query = HistoryQuery {
        metric: SET,
        by: GroupBy::Pod,
        namespace: Some("default"),
        node: None,
        name: Some("web-1"),
        pods: Some(&|pod| pod.labels.iter().any(|(_, value)| &**value == "web")),
        from: at(0),
        to: at(45),
        step: Duration::from_secs(15),
    };
    let [series] = &store.history(&query)[..] else { panic!("not one series") };
    let points: Vec<f64> = series.points.iter().map(|(_, value)| *value).collect();
    assert_eq!(points, [4096.0, 4096.0, 8192.0, 8192.0]);
    assert!(store.history(&HistoryQuery { name: Some("web-2"), ..query.clone() }).is_empty());
    assert!(store.history(&HistoryQuery { namespace: Some("other"), ..query.clone() }).is_empty());
    assert!(store.history(&HistoryQuery { node: Some("b"), ..query }).is_empty());
}

#[test]
fn a_full_budget_is_kept_and_costs_the_one_that_has_more_than_its_share() {
    let options = ClusterOptions {
        history: Duration::from_secs(900),
        budget_bytes: 100_000,
        stale_after: Duration::from_secs(120),
    };
    let store = ClusterStore::new(options);
    let mut encoders = ["a", "b"].map(|node| {
        store.put_node(&node_record(node));
        Encoder::new(node, 1)
    });
    // Node `a` has 200 values that all move; node `b` a single one.
    let busy = |seconds: u64| {
        let entities = (0..100u64).flat_map(|pod| {
            let name = format!("p-{pod}");
            let cpu = seconds * seconds * (pod + 1) * 7919 % 1_000_003;
            [pod_entity(&name, &[]), container_entity(&name, "app", 0, &[(CPU, cpu), (SET, cpu * 31)])]
        });
        snapshot(seconds, entities.collect())
    };
    for seconds in 0..800 {
        let bodies =
            [encoders[0].push(&[busy(seconds)], false), encoders[1].push(&[usual(seconds, seconds, 1)], false)];
        for body in bodies {
            assert_eq!(push(&store, &body, seconds), Ok((1, 0)));
        }
        let stats = store.stats();
        assert!(stats.history_bytes <= options.budget_bytes, "{} at {seconds} s", stats.history_bytes);
    }
    let stats = store.stats();
    assert!(stats.shed_batches > 0);
    // All of `b` is there.
    assert_eq!(stats.oldest, Some(at(0)));
    assert_eq!(stats.newest, Some(at(799)));
    // What is too old goes, and with it what a removed node leaves.
    store.remove_node("b");
    let body = encoders[0].push(&[busy(2000)], false);
    assert_eq!(push(&store, &body, 2000), Err(PushRefused::NeedAlone { since: at(1100) }));
    assert_eq!((store.stats().nodes, store.stats().history_bytes, store.stats().oldest), (0, 0, None));
}

#[test]
fn a_body_of_many_empty_messages_costs_no_more_than_itself() {
    use prost::Message as _;
    let sample = SampleMessage { sequence: 1, born: vec![BornMessage::default(); 300_000], ..Default::default() };
    let message = PushMessage { version: 1, node: "a".into(), samples: vec![sample], ..Default::default() };
    let body = message.encode_to_vec();
    assert!(body.len() < MOST_BODY_BYTES);
    let store = known_store();
    let refused = push(&store, &body, 0).unwrap_err();
    assert_eq!(refused.to_string(), "the push cannot be read: an entity is born at an index that is taken");
    let many = PushMessage { samples: vec![SampleMessage::default(); 2_000], ..message };
    assert!(Push::decode(&many.encode_to_vec()).is_err());
}

#[test]
fn before_everything_is_known_all_is_kept_and_nothing_shown() {
    let store = store();
    let body = Encoder::new("a", 7).push(&[usual(0, 1, 1), usual(15, 2, 2)], true);
    assert_eq!(push(&store, &body, 15), Ok((2, 0)));
    assert!(store.node("a", at(15)).is_none() && store.pod("default", "web-1", at(15)).is_none());
    store.put_pod(&pod_record("web-1", "a"));
    store.put_node(&node_record("a"));
    assert!(store.node("a", at(15)).is_some() && store.pod("default", "web-1", at(15)).is_some());
    let body = Encoder::new("b", 7).push(&[usual(0, 1, 1)], true);
    assert_eq!(push(&store, &body, 15), Ok((1, 0)));
    store.set_synced();
    assert_eq!((store.stats().nodes, push(&store, &body, 15)), (1, Err(PushRefused::UnknownNode)));
}

/// The seeds of the fuzz target: `cargo test --lib write_seeds -- --ignored`.
#[test]
#[ignore = "rewrites fuzz/seeds/push; to be run when the protocol changes"]
fn write_seeds_for_the_fuzzer() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/push");
    std::fs::create_dir_all(&folder).unwrap();
    let seed = |name: &str, first: &[u8], second: &[u8]| {
        let length = u16::try_from(first.len()).unwrap().to_le_bytes();
        std::fs::write(folder.join(name), [&length, first, second].concat()).unwrap();
    };
    let mut encoder = Encoder::new("a", 7);
    let alone = encoder.push(&(0..20).map(|n| usual(n, n * 1_000, n * 4096)).collect::<Vec<_>>(), true);
    let mut next = usual(30, 5, 1 << 40);
    next.entities.pop();
    next.entities.push(container_entity("web-1", "new", 25, &[(CPU, 3)]));
    let next = encoder.push(&[next], false);
    seed("alone", &alone, &[]);
    seed("alone-next", &alone, &next);
    seed("twice", &alone, &alone);
    seed("other-run", &alone, &Encoder::new("a", 8).push(&[usual(10, 1, 1), usual(40, 2, 2)], true));
}
