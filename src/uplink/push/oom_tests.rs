//! OOM kills: which are told, once, in which words; and events at an API server that is not always willing.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::events::{event, run};
use super::oom::{Kill, OomWatch};
use super::testing::*;
use crate::sample::catalogue::CgroupColumn as C;
use crate::sample::push_stats::{EventResult, PushStats};
use crate::sample::{CgroupKind, Metadata, NodeSample, Tallies, Tally, TallyKey, Victim};
use crate::store::{Store, StoreWriter, ring};
use crate::units::{Limit, UnixNanos};

const OTHER_ID: &str = "ffffff6666666666666666666666666666666666666666666666666666666666";

/// What the container and the runtime say in one tick.
#[derive(Debug, Clone, Default)]
struct Now {
    kills: u64,
    memory_bytes: u64,
    no_limit: bool,
    ended: bool,
    /// The tally's count where it is another one than the container's.
    tally: Option<u64>,
    victim: Option<Victim>,
    /// Seconds before tick 0 at which the container was started.
    age: u64,
}

fn tick(tick: u64, now: &Now) -> NodeSample {
    let mut b = builder(tick);
    let pod = workload("/kubepods.slice/kubepods-pod1.slice", CgroupKind::Pod, None, Some(pod_metadata(None)));
    b.cgroup(pod, |row| row.put_limit(C::MemoryMaxBytes, Some(Limit::At(512 * MIB))));
    if !now.ended {
        let started_at = Some(UnixNanos(WALL - now.age * SECOND));
        let mut web = container("web", WEB_ID);
        web.metadata = Some(Arc::new(Metadata { started_at, created_at: None, ..pod_metadata(Some("web")) }));
        web.created_at = UnixNanos(0);
        b.cgroup(web, |row| {
            row.put(C::MemoryCurrentBytes, Some(now.memory_bytes));
            row.put(C::MemoryPeakBytes, Some(128 * MIB));
            let limit = if now.no_limit { Limit::Unlimited } else { Limit::At(128 * MIB) };
            row.put_limit(C::MemoryMaxBytes, Some(limit));
            row.put(C::MemoryEventsOomKill, Some(now.kills));
        });
    }
    let key = TallyKey { namespace: "shop".into(), pod: "web-0".into(), container: "web".into() };
    let oom_kills = now.tally.unwrap_or(now.kills);
    let tally = Tally { oom_kills, last_victim: now.victim.clone().map(Arc::new), ..Tally::default() };
    b.sample.tallies = Arc::new(Tallies { entries: [(key, tally)].into(), evicted: 0 });
    b.finish()
}

struct World {
    writer: StoreWriter,
    store: Store,
    watch: OomWatch,
}

impl World {
    fn new() -> Self {
        let (writer, store) = ring(8 << 20).unwrap();
        Self { writer, store, watch: OomWatch::default() }
    }

    /// Runs ticks, looking after each as the task does.
    fn run(&mut self, ticks: std::ops::Range<u64>, now: impl Fn(u64) -> Now) -> Vec<Kill> {
        let mut kills = Vec::new();
        for number in ticks {
            self.writer.append(Arc::new(tick(number, &now(number))));
            if self.watch.may_have_news(&self.store.latest().unwrap()) {
                kills.extend(self.watch.look(&self.store));
            }
        }
        kills
    }
}

fn grows(tick: u64) -> u64 {
    // 1 MiB a second up to a little below the limit.
    (40 * MIB + tick * MIB).min(128 * MIB - 4096)
}

#[test]
fn a_kill_is_told_once_with_whom_the_limit_and_the_last_minute() {
    let mut world = World::new();
    let victim = Victim { process: "java\n".into(), pid: 812 };
    let kills = world.run(0..120, |tick| match tick {
        0..100 => Now { memory_bytes: grows(tick), age: 300, ..Now::default() },
        _ => Now { kills: 1, memory_bytes: 3 * MIB, victim: Some(victim.clone()), age: 300, ..Now::default() },
    });
    let [kill] = &kills[..] else { panic!("{kills:?}") };
    assert_eq!(
        kill.message,
        "OOM: the kernel killed process java\\x0a (PID 812 on the node) in container web. Its memory limit is 128 MiB. \
         Memory: 60 s before 79 MiB, 30 s before 109 MiB, 10 s before 127.9 MiB, at the end 127.9 MiB; its highest reading was 128 MiB."
    );
    assert_eq!((kill.count, kill.at, &*kill.container_id), (1, wall(100), WEB_ID));
    assert_eq!((&*kill.namespace, &*kill.pod, &*kill.pod_uid), ("shop", "web-0", POD_UID));
}

#[test]
fn without_the_kernel_log_a_process_is_a_process_and_the_pods_limit_is_named_where_it_is_the_one() {
    let mut world = World::new();
    let now = |kills| Now { kills, memory_bytes: 5 * MIB, no_limit: true, age: 300, ..Now::default() };
    let kills = world.run(0..40, |tick| now(if tick < 20 { 0 } else { 3 }));
    let [kill] = &kills[..] else { panic!("{kills:?}") };
    let begins = "OOM: the kernel killed 3 processes in container web. It has no memory limit of its own, its pod has 512 MiB. Memory: ";
    assert!(kill.message.starts_with(begins), "{}", kill.message);
    assert!(!kill.message.contains("60 s before"), "there were no 60 s: {}", kill.message);
}

#[test]
fn kills_that_follow_fast_are_told_together_half_a_minute_later() {
    let mut world = World::new();
    let kills = world.run(0..100, |tick| Now { kills: tick.clamp(20, 25) - 20, age: 300, ..Now::default() });
    let told: Vec<_> = kills.iter().map(|kill| (kill.at, kill.count)).collect();
    assert_eq!(told, [(wall(21), 1), (wall(51), 5)]);
    assert!(kills[1].message.contains("killed 4 processes"), "{}", kills[1].message);
}

#[test]
fn what_was_killed_before_the_agent_came_is_no_news_and_what_a_newborn_lost_is() {
    let mut world = World::new();
    assert_eq!(world.run(0..30, |_| Now { kills: 2, age: 3_600, ..Now::default() }), []);
    let mut world = World::new();
    // The agent runs; a container comes, and its first reading already counts a kill.
    let told = world.run(0..20, |tick| match tick {
        0..10 => Now { ended: true, ..Now::default() },
        _ => Now { kills: 1, age: 0, ..Now::default() },
    });
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn kills_while_the_agent_was_being_restarted_are_found_in_the_ring() {
    let mut world = World::new();
    world.run(0..100, |tick| Now { kills: u64::from(tick >= 50), age: 300, ..Now::default() });
    world.watch = OomWatch::default();
    let kills = world.run(100..101, |_| Now { kills: 1, age: 300, ..Now::default() });
    assert_eq!(kills.iter().map(|kill| (kill.at, kill.count)).collect::<Vec<_>>(), [(wall(50), 1)]);
    // The same name as before the restart: the API server has it already.
    assert_eq!(world.run(101..140, |_| Now { kills: 1, age: 300, ..Now::default() }), []);
}

#[test]
fn a_kill_that_only_the_runtime_saw_is_told_on_the_container_that_ended() {
    let mut world = World::new();
    let kills = world.run(0..60, |tick| match tick {
        0..30 => Now { memory_bytes: grows(tick + 60), age: 300, ..Now::default() },
        30..33 => Now { ended: true, ..Now::default() },
        _ => Now { ended: true, tally: Some(1), ..Now::default() },
    });
    let [kill] = &kills[..] else { panic!("{kills:?}") };
    assert_eq!((&*kill.container_id, kill.count), (WEB_ID, 1));
    assert!(kill.message.contains("at the end 127.9 MiB"), "{}", kill.message);
}

fn a_kill() -> Kill {
    Kill {
        namespace: "shop".into(),
        pod: "web-0".into(),
        pod_uid: POD_UID.into(),
        container: "web".into(),
        container_id: WEB_ID.into(),
        count: 1,
        at: wall(7),
        message: "OOM".into(),
    }
}

#[test]
fn an_event_is_one_of_the_oldest_kind_on_the_pod_and_its_name_is_the_kills_own() {
    let made = serde_json::to_value(event(&a_kill(), NODE)).unwrap();
    assert_eq!((&made["apiVersion"], &made["kind"]), (&"v1".into(), &"Event".into()));
    assert_eq!(made["involvedObject"]["fieldPath"], "spec.containers{web}");
    assert_eq!(made["involvedObject"]["uid"], POD_UID);
    assert_eq!(made["lastTimestamp"], "2026-03-01T12:00:07Z");
    assert_eq!((&made["type"], &made["reason"]), (&"Warning".into(), &"ContainerOOMKilled".into()));
    assert!(made.get("eventTime").is_none(), "with it an old API server would ask for more");
    let name = |kill: &Kill| event(kill, NODE).metadata.name.unwrap();
    let first = name(&a_kill());
    assert!(first.starts_with("web-0.") && first.len() == 6 + 16, "{first}");
    assert_eq!(first, name(&Kill { message: "other words".into(), at: wall(9), ..a_kill() }));
    assert_ne!(first, name(&Kill { count: 2, ..a_kill() }));
    assert_ne!(first, name(&Kill { container_id: OTHER_ID.into(), ..a_kill() }));
    let long = name(&Kill { pod: format!("{}-{}", "x".repeat(229), "y".repeat(23)), ..a_kill() });
    assert!(long.len() <= 253 && long.contains("x."), "{long}");
    let message = event(&Kill { message: "\u{e9}".repeat(2_000), ..a_kill() }, NODE).message.unwrap();
    assert_eq!(message.len(), 1022, "no more than every API server takes, and no half letter");
}

type Posts = Arc<Mutex<Vec<(String, String)>>>;

/// An API server that answers its first posts so, and all further ones with 201.
async fn api_server(first: &'static [u16]) -> (kube::Client, Posts) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let posts = Posts::default();
    let seen = Arc::clone(&posts);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let posted: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    let mut seen = seen.lock().unwrap();
                    let code = first.get(seen.len()).copied().unwrap_or(201);
                    seen.push((path, posted["metadata"]["name"].as_str().unwrap().to_owned()));
                    let status = format!(
                        r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","message":"m","reason":"R","code":{code}}}"#
                    );
                    let answer = if code == 201 { body } else { Bytes::from(status) };
                    let header = ("content-type", "application/json");
                    let made =
                        Response::builder().status(code).header(header.0, header.1).body(Full::<Bytes>::from(answer));
                    Ok::<_, Infallible>(made.unwrap())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
    config.default_retry = false;
    (kube::Client::try_from(config).unwrap(), posts)
}

/// Lets an agent see one kill, and waits until the API server was asked so often.
async fn told(first: &'static [u16], posts_wanted: usize) -> (Vec<(String, String)>, Vec<(EventResult, u64)>) {
    let (client, posts) = api_server(first).await;
    let (mut writer, store) = ring(8 << 20).unwrap();
    let stats = Arc::new(PushStats::default());
    let task = tokio::spawn(run(store, client, NODE.into(), Arc::clone(&stats)));
    let mut number = 0;
    while posts.lock().unwrap().len() < posts_wanted
        || stats.events().map(|(_, count)| count).sum::<u64>() < posts_wanted as u64
    {
        let now = Now { kills: u64::from(number > 5), age: 300, memory_bytes: MIB, ..Now::default() };
        writer.append(Arc::new(tick(number, &now)));
        number += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    task.abort();
    let posts = posts.lock().unwrap().clone();
    (posts, stats.events().filter(|(_, count)| *count > 0).collect())
}

#[tokio::test]
async fn an_event_is_written_into_the_pods_namespace() {
    let (posts, counts) = told(&[], 1).await;
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].0, "/api/v1/namespaces/shop/events");
    assert_eq!(counts, [(EventResult::Written, 1)]);
}

#[tokio::test]
async fn an_event_that_is_there_already_is_written() {
    let (_, counts) = told(&[409], 1).await;
    assert_eq!(counts, [(EventResult::Written, 1)]);
}

#[tokio::test]
async fn an_event_that_could_not_be_written_is_tried_again_under_the_same_name() {
    let (posts, counts) = told(&[503], 2).await;
    assert_eq!(posts[0], posts[1]);
    assert_eq!(counts, [(EventResult::Written, 1), (EventResult::Failed, 1)]);
}
