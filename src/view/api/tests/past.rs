//! `at=`, the diff of two moments, and how far back one can go, on a node of twenty ticks.
//!
//! `busy` uses one core until tick 10 and a tenth afterwards; `short` is there until tick 8, `late` from tick 12 on;
//! `web` of pod `shop/web-7d9` is another container from tick 15 on.

use super::*;
use crate::sample::CgroupKind;
use crate::sample::catalogue::{CgroupColumn as C, NodeColumn as N, Table};
use crate::sample::{Metadata, NodeSample};
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::api::testing::{Builder, WALL, pod_metadata, tick_of, usage, workload};

const LAST: u64 = 20;
const SECOND: u64 = 1_000_000_000;

fn named(name: &str, id: &str) -> crate::sample::Workload {
    let told = Metadata { name: name.into(), restart_count: Some(3), healthy: Some(true), ..Metadata::default() };
    let path = format!("/docker/{id}");
    workload(&path, CgroupKind::Container, Some(id), Some(told))
}

fn of_pod(id: &str) -> crate::sample::Workload {
    workload(&format!("{POD_PATH}/{id}"), CgroupKind::Container, Some(id), Some(pod_metadata(Some("web"))))
}

fn fill(b: &mut Builder, tick: u64) {
    let used = tick.min(10) * 1_000_000 + tick.saturating_sub(10) * 100_000;
    b.cgroup(named("busy", "b0b0b0b0"), |row| {
        usage(tick, 0, 100 * MIB * tick)(row);
        row.put(C::CpuUsageUsec, Some(used));
        row.put(C::MemoryEventsOomKill, Some(tick / 10));
    });
    if tick <= 8 {
        _ = b.cgroup(named("short", "50505050"), usage(tick, 500, 10 * MIB))
    } else {
        b.skip()
    }
    if tick >= 12 {
        _ = b.cgroup(named("late", "1a1a1a1a"), usage(tick, 250, 20 * MIB))
    } else {
        b.skip()
    }
    if tick < 15 {
        _ = b.cgroup(of_pod("01d01d01"), usage(tick, 100, 30 * MIB))
    } else {
        b.skip()
    }
    if tick >= 15 {
        _ = b.cgroup(of_pod("2e2e2e2e"), usage(tick, 300, 50 * MIB))
    } else {
        b.skip()
    }
    b.row(Table::Node, None, "node", None, |row| {
        row.put(N::MeminfoMemTotal, Some(1_000 * MIB));
        row.put(N::MeminfoMemAvailable, Some((900 - tick) * MIB));
    });
}

fn twenty() -> Store {
    store_of((1..=LAST).map(|tick| tick_of(tick, |b| fill(b, tick))))
}

/// 50 ms after the last tick.
fn now() -> Now {
    let since = (LAST - 1) * SECOND + 50_000_000;
    Now { wall: UnixNanos(WALL + since), monotonic: MonotonicNanos(100 * SECOND + since) }
}

fn ask(target: &str) -> Answer {
    thread_local! { static STORE: Store = twenty(); }
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    STORE.with(|store| answer_at(store, path, query, now()).unwrap())
}

fn seen<T: DeserializeOwned>(target: &str) -> T {
    let answer = ask(target);
    assert_eq!(answer.status, 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

fn refused(target: &str) -> Problem {
    let answer = ask(target);
    assert_ne!(answer.status, 200, "{target}");
    serde_json::from_slice(&answer.body).unwrap()
}

fn names(list: &ContainerList) -> Vec<&str> {
    list.containers.iter().map(|container| container.name.as_str()).collect()
}

#[test]
fn a_list_of_the_past_holds_who_was_there_with_the_rates_of_then() {
    let then: ContainerList = seen("/api/v1/containers?at=2026-03-01T12:00:05Z");
    assert_eq!(names(&then), ["busy", "short", "web"]);
    assert_eq!(then.read_at, "2026-03-01T12:00:05.000Z");
    assert_eq!(then.containers[0].cpu.usage_cores, Some(1.0));
    assert_eq!(then.containers[0].memory.usage_bytes, Some(600 * MIB));
    let live: ContainerList = seen("/api/v1/containers");
    assert_eq!(names(&live), ["busy", "late", "web"]);
    assert_eq!(live.containers[0].cpu.usage_cores, Some(0.1));
}

#[test]
fn an_instant_between_two_ticks_shows_the_earlier_one_and_every_form_of_it_is_read() {
    for at in ["2026-03-01T12:00:05.900Z", "1772366405.999", "-14s", "2026-03-01T13:00:05%2B01:00"] {
        let then: PodList = seen(&format!("/api/v1/pods?at={at}"));
        assert_eq!(then.read_at, "2026-03-01T12:00:05.000Z", "{at}");
        assert_eq!(then.resolution.as_deref(), Some("tick"));
    }
}

#[test]
fn the_instant_that_an_answer_tells_finds_the_same_tick_again() {
    // The ring's own ticks never begin at a whole millisecond.
    let odd = |tick| {
        let mut sample = tick_of(tick, |b| fill(b, tick));
        sample.wall = UnixNanos(sample.wall.0 + 123_456_789);
        sample
    };
    let store = store_of((1..=5).map(odd));
    let at = |at: &str| -> Node {
        let answer = answer_at(&store, "/api/v1/node", Some(&format!("at={at}")), now()).unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    };
    let read_at = at("1772366402.5").read_at;
    assert_eq!(read_at, "2026-03-01T12:00:02.123Z");
    assert_eq!(at(&read_at).read_at, read_at);
}

#[test]
fn ages_are_those_of_then() {
    let then: Node = seen("/api/v1/node?at=2026-03-01T12:00:05.5Z");
    assert!((then.age_seconds - 0.49).abs() < 0.02, "{}", then.age_seconds);
    assert_eq!(then.at.as_deref(), Some("2026-03-01T12:00:05.500Z"));
    assert_eq!(then.memory.used_bytes, Some(106 * MIB));
    let web: Container = seen("/api/v1/containers/busy?at=2026-03-01T12:00:05.5Z");
    assert!(web.age_seconds.is_some_and(|age| (0.0..0.6).contains(&age)), "{:?}", web.age_seconds);
    assert_eq!(web.resolution.as_deref(), Some("tick"));
}

#[test]
fn what_the_ring_does_not_keep_is_null_in_the_past() {
    let then: Node = seen("/api/v1/node?at=-5s");
    assert_eq!(then.ticks, None);
    assert_eq!(then.machine.cpu_cores, 4);
    assert_eq!(then.store.newest.as_deref(), Some("2026-03-01T12:00:19.000Z"));
    let live: Container = seen("/api/v1/containers/busy");
    assert_eq!((live.restarts, live.oom_kills, live.healthy), (Some(3), Some(2), Some(true)));
    let then: Container = seen("/api/v1/containers/busy?at=-5s");
    assert_eq!((then.restarts, then.oom_kills, then.healthy), (None, None, None));
    assert_eq!(then.memory.events.oom_kill, Some(1));
}

#[test]
fn now_and_the_future_are_live() {
    for at in ["now", "2031-01-01T00:00:00Z", "2026-03-01T12:00:19.000Z"] {
        let node: Node = seen(&format!("/api/v1/node?at={at}"));
        assert_eq!((node.at, node.ticks.map(|ticks| ticks.tick)), (None, Some(LAST)), "{at}");
        assert_eq!(node.resolution.as_deref(), Some("tick"));
    }
}

#[test]
fn before_the_beginning_the_problem_says_when_history_begins_and_oldest_is_the_first_tick() {
    for path in ["node?", "pods?", "containers?", "containers/busy?", "diff?from=-1s&to=now&"] {
        let path = path.replace("from=-1s&to=now&", "to=now&from=2020-01-01T00:00:00Z&");
        let problem =
            refused(&format!("/api/v1/{path}at=2020-01-01T00:00:00Z").replace("&at=2020-01-01T00:00:00Z", ""));
        assert_eq!((problem.status, problem.is_before_history()), (404, true), "{path}: {problem:?}");
        assert!(problem.detail.contains("2026-03-01T12:00:00.000Z"), "{}", problem.detail);
    }
    let first: ContainerList = seen("/api/v1/containers?at=oldest");
    assert_eq!(first.read_at, "2026-03-01T12:00:00.000Z");
    assert_eq!(first.containers[0].cpu.usage_cores, None);
    assert_eq!(first.containers[0].cpu.usage_seconds_total, Some(1.0));
}

#[test]
fn an_instant_that_cannot_be_read_is_refused_with_the_nearest_that_can() {
    assert!(refused("/api/v1/node?at=10m").detail.contains("did you mean '-10m'?"));
    assert!(refused("/api/v1/containers?at=yesterday").detail.contains("RFC 3339"));
    assert_eq!(refused("/api/v1/pods?at=-").status, 400);
}

#[test]
fn gone_at_a_moment_are_those_that_had_ended_by_then() {
    let gone = |at: &str| -> Vec<(String, bool)> {
        let list: ContainerList = seen(&format!("/api/v1/containers?gone&at={at}"));
        list.containers.into_iter().map(|container| (container.name, container.alive)).collect()
    };
    let is = |name: &str, alive| (name.to_owned(), alive);
    assert_eq!(gone("2026-03-01T12:00:05Z"), [is("busy", true), is("short", true), is("web", true)]);
    assert_eq!(gone("2026-03-01T12:00:09Z"), [is("busy", true), is("short", false), is("web", true)]);
}

#[test]
fn one_container_is_shown_as_it_was_also_when_it_is_gone_now_and_not_before_it_came() {
    let short: Container = seen("/api/v1/containers/short?at=2026-03-01T12:00:03Z");
    assert_eq!((short.alive, short.cpu.usage_cores), (true, Some(0.5)));
    let ended: Container = seen("/api/v1/containers/short?at=2026-03-01T12:00:12Z");
    assert_eq!((ended.alive, ended.cpu.usage_cores), (false, None));
    let late = refused("/api/v1/containers/late?at=2026-03-01T12:00:03Z");
    assert_eq!(late.status, 404);
    assert!(late.detail.contains("was not there at 2026-03-01T12:00:03"), "{}", late.detail);
    let then: Container = seen("/api/v1/containers/web?at=2026-03-01T12:00:03Z");
    assert_eq!(then.container_id.as_deref(), Some("01d01d01"));
}

fn diff(query: &str) -> Diff {
    seen(&format!("/api/v1/diff?{query}"))
}

fn fates(diff: &Diff) -> Vec<(&str, Fate)> {
    diff.containers.iter().map(|change| (change.name.as_str(), change.fate)).collect()
}

const BETWEEN: &str = "from=2026-03-01T12:00:05Z&to=2026-03-01T12:00:18Z";

#[test]
fn a_diff_tells_who_came_went_stayed_and_was_replaced_with_the_largest_change_of_cpu_first() {
    let diff = diff(BETWEEN);
    assert_eq!(diff.from.read_at, "2026-03-01T12:00:05.000Z");
    assert_eq!(diff.to.read_at, "2026-03-01T12:00:18.000Z");
    let expected = [("busy", Fate::Stayed), ("short", Fate::Went), ("late", Fate::Came), ("web", Fate::Replaced)];
    assert_eq!(fates(&diff), expected);
    let cpu: Vec<_> = diff.containers.iter().map(|change| change.usage.cpu_cores).collect();
    let rounded = |change: &Change| change.change.map(|cores| (cores * 1e3).round());
    assert_eq!(cpu.iter().map(rounded).collect::<Vec<_>>(), [Some(-900.0), Some(-500.0), Some(250.0), Some(200.0)]);
    assert_eq!((cpu[1].from, cpu[1].to), (Some(0.5), None));
    assert_eq!((cpu[2].from, cpu[2].to), (None, Some(0.25)));
    let web = &diff.containers[3];
    assert_eq!((web.id.as_str(), web.replaced_id.as_deref()), ("2e2e2e2e", Some("01d01d01")));
    assert_eq!(web.usage.memory_bytes.change, Some(20.0 * MIB as f64));
    assert_eq!(diff.containers[0].usage.oom_kills.change, Some(1.0));
    assert_eq!(diff.node_usage.memory_bytes.change, Some(13.0 * MIB as f64));
}

#[test]
fn a_diff_is_sorted_and_filtered_as_asked_and_the_unknown_is_null() {
    assert_eq!(fates(&diff(&format!("{BETWEEN}&sort=name"))).last().unwrap().0, "web");
    let by_memory = diff(&format!("{BETWEEN}&sort=memory"));
    assert_eq!(fates(&by_memory).iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["busy", "web", "late", "short"]);
    assert_eq!(fates(&diff(&format!("{BETWEEN}&namespace=shop"))), [("web", Fate::Replaced)]);
    // At the first tick no rate is known; that is not 0.
    let first = diff("from=oldest&to=-5s&name=busy");
    let cpu = first.containers[0].usage.cpu_cores;
    assert_eq!((cpu.from, cpu.change), (None, None));
    assert_eq!(cpu.to, Some(0.1));
}

#[test]
fn a_diff_back_in_time_is_the_same_one_turned_around() {
    let back = diff("to=2026-03-01T12:00:05Z&from=2026-03-01T12:00:18Z");
    assert_eq!(fates(&back)[1], ("short", Fate::Came));
    assert_eq!(back.containers[1].usage.cpu_cores.change, Some(0.5));
}

#[test]
fn a_diff_without_a_beginning_or_with_a_wrong_sort_says_what_to_write() {
    assert!(refused("/api/v1/diff").detail.contains("from=-20m"));
    assert!(refused("/api/v1/diff?from=-5s&sort=memry").detail.contains("did you mean 'memory'?"));
    assert!(refused("/api/v1/diff?from=-5s&till=now").detail.contains("Known are"));
}

#[test]
fn how_far_back_one_can_go_is_told_with_its_tiers() {
    let extent: HistoryExtent = seen("/api/v1/ring");
    assert_eq!(extent.oldest.as_deref(), Some("2026-03-01T12:00:00.000Z"));
    assert_eq!(extent.newest.as_deref(), Some("2026-03-01T12:00:19.000Z"));
    let tier = &extent.tiers[0];
    assert_eq!((tier.resolution.as_str(), tier.bucket_seconds), ("tick", None));
    assert_eq!((tier.oldest.as_str(), tier.newest.as_str()), ("2026-03-01T12:00:00.000Z", "2026-03-01T12:00:19.000Z"));
    let empty = answer_at(&store_of([] as [NodeSample; 0]), "/api/v1/ring", None, now()).unwrap();
    let empty: HistoryExtent = serde_json::from_slice(&empty.body).unwrap();
    assert_eq!(empty, HistoryExtent::default());
}

#[test]
fn traffic_is_counted_at_disks_and_uplinks_only() {
    let node: Node = get("/api/v1/node");
    for (name, whole) in
        [("sda", true), ("sda1", false), ("nvme0n1", true), ("nvme0n1p2", false), ("dm-0", false), ("vda", true)]
    {
        assert_eq!(Disk { device: name.into(), ..node.disks[0].clone() }.is_whole(), whole, "{name}");
    }
    for (name, uplink) in [("eth0", true), ("enp3s0", true), ("lo", false), ("veth12ab", false)] {
        assert_eq!(InterfaceTraffic { interface: name.into(), ..node.interfaces[0].clone() }.is_uplink(), uplink);
    }
}
