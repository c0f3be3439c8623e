//! A node made by hand, tick after tick: which events come of it, and how they reach a reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;

use super::stream::{self, Wanted};
use super::*;
use crate::sample::catalogue::CgroupColumn as C;
use crate::sample::row::Row;
use crate::sample::testing::Builder;
use crate::sample::{CgroupKind, Metadata, NodeSample, Tallies, Tally, TallyKey, Victim};
use crate::store::{Store, StoreWriter, ring};
use crate::units::{Limit, MonotonicNanos, UnixNanos};
use crate::view::api::testing::{WALL, WEB_ID, pod_metadata, workload};

const SECOND: u64 = 1_000_000_000;
const WEB: &str = "/kubepods.slice/kubepods-pod1.slice/cri-web.scope";
const MIB: u64 = 1 << 20;

/// What the container is at one tick.
#[derive(Clone, Default)]
struct Web {
    described: Option<Metadata>,
    memory_bytes: u64,
    stalled_usec: u64,
    periods: u64,
    throttled: u64,
}

struct Node {
    writer: StoreWriter,
    store: Store,
    detector: Detector,
    tick: u64,
    tallies: Tallies,
}

impl Node {
    fn new() -> Self {
        let (writer, store) = ring(1 << 22).unwrap();
        Self { writer, store, detector: Detector::default(), tick: 0, tallies: Tallies::default() }
    }

    /// One second on, with this container or without one.
    fn tick(&mut self, web: Option<&Web>) -> Vec<Draft> {
        self.tick += 1;
        let mut sample = NodeSample::new();
        sample.tick = self.tick;
        sample.wall = UnixNanos(WALL + self.tick * SECOND);
        sample.started_at = MonotonicNanos((1_000 + self.tick) * SECOND);
        sample.ended_at = sample.started_at;
        sample.tallies = Arc::new(self.tallies.clone());
        let mut builder = Builder::of(sample, MonotonicNanos((1_000 + self.tick) * SECOND));
        if let Some(web) = web {
            let one = workload(WEB, CgroupKind::Container, Some(WEB_ID), web.described.clone());
            builder.cgroup(one, |row: &mut Row| {
                row.put(C::MemoryCurrentBytes, Some(web.memory_bytes));
                row.put(C::MemoryStatInactiveFile, Some(MIB));
                row.put(C::MemoryStatAnon, Some(web.memory_bytes / 2));
                row.put_limit(C::MemoryMaxBytes, Some(Limit::At(64 * MIB)));
                row.put(C::MemoryPressureSomeTotalUsec, Some(web.stalled_usec));
                row.put(C::CpuNrPeriods, Some(web.periods));
                row.put(C::CpuNrThrottled, Some(web.throttled));
                row.put_limit(C::CpuQuotaUsec, Some(Limit::At(25_000)));
                row.put(C::CpuPeriodUsec, Some(100_000));
                row.put(C::PidsCurrent, Some(1));
            });
        }
        self.writer.append(Arc::new(builder.finish()));
        let sample = self.store.latest().unwrap();
        self.detector.look(&self.store, &sample)
    }

    fn tally(&mut self) -> &mut Tally {
        let key = TallyKey::of(&pod_metadata(Some("web"))).unwrap();
        self.tallies.entries.entry(key).or_default()
    }
}

fn kinds(drafts: &[Draft]) -> Vec<Kind> {
    drafts.iter().map(|draft| draft.kind).collect()
}

fn described() -> Web {
    Web { described: Some(pod_metadata(Some("web"))), ..Web::default() }
}

#[test]
fn what_is_there_at_the_first_tick_is_no_news() {
    let mut node = Node::new();
    node.tally().oom_kills = 3;
    node.tally().restarts = 2;
    node.tally().exits = BTreeMap::from([((1, "Error".into()), 2)]);
    assert_eq!(node.tick(Some(&described())), []);
    assert_eq!(node.tick(Some(&described())), []);
}

#[test]
fn a_container_is_told_of_when_it_has_a_name() {
    let mut node = Node::new();
    node.tick(None);
    assert_eq!(node.tick(Some(&Web::default())), []);
    let drafts = node.tick(Some(&described()));
    assert_eq!(kinds(&drafts), [Kind::Created, Kind::Started]);
    let who = drafts[0].who.as_deref().unwrap();
    assert_eq!((who.namespace.as_deref(), who.pod.as_deref()), (Some("shop"), Some("web-7d9")));
    assert_eq!((who.container.as_deref(), who.container_id.as_deref()), (Some("web"), Some(WEB_ID)));
    assert_eq!(drafts[0].message, "Created container web of shop/web-7d9.");
    assert_eq!(node.tick(Some(&described())), []);
}

#[test]
fn a_container_without_a_name_is_told_of_after_some_seconds_by_its_cgroup() {
    let mut node = Node::new();
    node.tick(None);
    let told: Vec<Vec<Kind>> = (0..8).map(|_| kinds(&node.tick(Some(&Web::default())))).collect();
    let mut expected = vec![Vec::new(); 8];
    expected[6] = vec![Kind::Created, Kind::Started];
    assert_eq!(told, expected);
}

#[test]
fn a_container_that_lived_for_less_than_a_name_takes_is_told_of_all_the_same() {
    let mut node = Node::new();
    node.tick(None);
    node.tick(Some(&Web::default()));
    assert_eq!(kinds(&node.tick(None)), [Kind::Created, Kind::Started, Kind::Exited]);
}

#[test]
fn an_exit_has_the_code_and_the_reason_that_the_runtime_tells_later() {
    let mut node = Node::new();
    node.tally();
    node.tick(Some(&described()));
    assert_eq!(node.tick(None), []);
    node.tally().exits = BTreeMap::from([((3, "Error".into()), 1)]);
    let drafts = node.tick(None);
    assert_eq!(kinds(&drafts), [Kind::Exited]);
    assert_eq!(drafts[0].figure("exit_code"), Some(Number::Signed(3)));
    assert_eq!((drafts[0].reason.as_deref(), drafts[0].severity), (Some("Error"), Severity::Warning));
    assert_eq!(drafts[0].time, UnixNanos(WALL + 2 * SECOND), "the tick at which it was gone");
}

#[test]
fn a_restart_is_told_with_the_count() {
    let mut node = Node::new();
    node.tally();
    node.tick(Some(&described()));
    node.tally().restarts = 1;
    let drafts = node.tick(Some(&described()));
    assert_eq!(kinds(&drafts), [Kind::Restarted]);
    assert_eq!(drafts[0].figure("restarts"), Some(Number::Whole(1)));
}

#[test]
fn a_kill_has_its_victim_and_the_last_ten_seconds_attached() {
    let mut node = Node::new();
    let id = {
        node.tally();
        node.tick(Some(&described()));
        node.store.latest().unwrap().roster.subjects(crate::sample::catalogue::Table::Cgroup)[0].id
    };
    node.tally().living = vec![id];
    for second in 0..15_u64 {
        let web = Web { memory_bytes: (10 + second) * MIB, stalled_usec: second * 250_000, ..described() };
        assert_eq!(kinds(&node.tick(Some(&web))), pressure_at(second));
    }
    node.tally().oom_kills = 1;
    node.tally().last_victim = Some(Arc::new(Victim { process: "java\u{1b}".into(), pid: 812 }));
    let web = Web { memory_bytes: 2 * MIB, stalled_usec: 15 * 250_000, ..described() };
    let drafts = node.tick(Some(&web));
    let [kill] = &drafts[..] else { panic!("{drafts:?}") };
    assert_eq!((kill.kind, kill.severity), (Kind::OomKilled, Severity::Error));
    assert_eq!(kill.victim, Some(("java\\x1b".to_owned(), 812)));
    assert_eq!(kill.figure("memory_limit_bytes"), Some(Number::Whole(64 * MIB)));
    let seconds: Vec<f64> = kill.last_seconds.iter().map(|one| one.seconds_before).collect();
    assert_eq!(seconds, [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
    let before = kill.last_seconds[9];
    assert_eq!((before.memory_bytes, before.working_set_bytes), (Some(24 * MIB), Some(23 * MIB)));
    assert_eq!((before.anon_bytes, before.memory_pressure_ratio), (Some(12 * MIB), Some(0.25)));
}

/// A quarter of the time waiting for memory is pressure as soon as ten seconds are full.
fn pressure_at(second: u64) -> Vec<Kind> {
    if second == 9 { vec![Kind::PressureBegan] } else { vec![] }
}

#[test]
fn throttling_says_whom_how_much_and_the_limit() {
    let mut node = Node::new();
    let mut told = Vec::new();
    for second in 0..40_u64 {
        let throttled = if second < 20 { second * 9 } else { 180 };
        told.extend(node.tick(Some(&Web { periods: second * 10, throttled, ..described() })));
    }
    assert_eq!(kinds(&told), [Kind::ThrottlingBegan, Kind::ThrottlingEnded]);
    assert_eq!(told[0].figure("ratio"), Some(Number::Real(0.9)));
    assert_eq!(told[0].figure("cpu_limit_cores"), Some(Number::Real(0.25)));
    assert_eq!(told[1].figure("highest_ratio"), Some(Number::Real(0.9)));
    assert!(told[0].message.ends_with("throttled by its CPU quota in 90 % of the periods."), "{}", told[0].message);
}

fn push(log: &EventLog, kind: Kind, pod: &str) -> u64 {
    let who = Who { namespace: Some("shop".into()), pod: Some(pod.to_owned()), ..Who::default() };
    log.push(Draft::new(UnixNanos(WALL), kind, Severity::Info, Some(Arc::new(who)), "m".to_owned())).id
}

/// Runs a future to its end.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn wanted(query: &str, last: Option<&str>) -> Wanted {
    Wanted::parse(Some(query), last).unwrap()
}

#[test]
fn a_stream_goes_on_after_the_last_event_id_and_gives_what_comes_next() {
    run(async {
        let log = EventLog::bounded(100, 1 << 20, UnixNanos(1_000_000));
        let first = push(&log, Kind::Created, "web");
        push(&log, Kind::Started, "web");
        let mut stream = Box::pin(stream::stream(&log, wanted("kind=started,exited", Some("1000")), ()));
        let piece = stream.next().await.unwrap().unwrap();
        let text = std::str::from_utf8(&piece).unwrap();
        assert!(text.starts_with("retry: 3000\n\nid: 1001\nevent: started\ndata: {\"id\":1001,"), "{text}");
        assert_eq!(first, 1_000);
        push(&log, Kind::Restarted, "web");
        push(&log, Kind::Exited, "web");
        let piece = stream.next().await.unwrap().unwrap();
        let text = std::str::from_utf8(&piece).unwrap();
        assert!(text.starts_with("id: 1003\nevent: exited\n") && text.ends_with("\n\n"), "{text}");
        log.close();
        let piece = stream.next().await.unwrap().unwrap();
        assert_eq!(&piece[..], b"event: end\ndata: {\"reason\":\"The agent stops.\"}\n\n");
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn a_place_that_is_gone_is_told_at_the_beginning_and_ends_a_slow_reader_later() {
    run(async {
        let log = EventLog::bounded(3, 1 << 20, UnixNanos(1_000_000));
        for _ in 0..5 {
            push(&log, Kind::Created, "web");
        }
        let mut stream = Box::pin(stream::stream(&log, wanted("", Some("1000")), ()));
        let piece = stream.next().await.unwrap().unwrap();
        let text = String::from_utf8(piece.to_vec()).unwrap();
        assert!(text.contains("id: 1001\nevent: gap\n") && text.contains("id: 1002\nevent: created\n"), "{text}");
        for _ in 0..5 {
            push(&log, Kind::Created, "web");
        }
        let piece = stream.next().await.unwrap().unwrap();
        let text = String::from_utf8(piece.to_vec()).unwrap();
        assert!(text.starts_with("event: cut\ndata: {\"reason\":\"This reader is too slow"), "{text}");
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn a_list_has_what_is_asked_for_and_tells_where_to_go_on() {
    let log = EventLog::bounded(100, 1 << 20, UnixNanos(1_000_000));
    push(&log, Kind::Created, "web");
    push(&log, Kind::Created, "db");
    push(&log, Kind::Exited, "web");
    let list = |query: &str| -> (Vec<u64>, bool) {
        let answer = stream::list(&log, &wanted(query, None));
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let ids = body["events"].as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()).collect();
        (ids, body["more"].as_bool().unwrap())
    };
    assert_eq!(list("follow=false"), (vec![1_000, 1_001, 1_002], false));
    assert_eq!(list("follow=false&pod=web"), (vec![1_000, 1_002], false));
    assert_eq!(list("follow=false&pod=web&kind=exited&namespace=shop"), (vec![1_002], false));
    assert_eq!(list("follow=false&limit=1"), (vec![1_002], true));
    assert_eq!(list("follow=false&since=1000&limit=1"), (vec![1_001], true));
}

#[test]
fn a_parameter_that_is_wrong_is_told_with_what_is_right() {
    let said = |query: &str, last| Wanted::parse(Some(query), last).unwrap_err().detail;
    assert!(said("kind=oom", None).contains("use created, started"), "{}", said("kind=oom", None));
    assert!(said("kid=exited", None).contains("did you mean kind?"), "{}", said("kid=exited", None));
    assert!(said("since=x", None).starts_with("since is not the id of an event"));
    assert!(said("", Some("abc")).starts_with("Last-Event-ID is not the id"));
    assert!(said("limit=0", None).contains("1 to 10000"));
    assert_eq!(wanted("since=5", Some("7")), wanted("since=7", None), "what came last beats where it began");
}
