//! The API from path to bytes, on the synthetic node of `testing`.

mod document;
mod history;
mod past;
mod select;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::testing::{DB_ID, LOG_ID, MIB, NOW, POD_PATH, WEB_ID, sample, store, store_of};
use super::*;
use crate::view::Answer;

fn get_answer(store: &Store, target: &str) -> Answer {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    answer_at(store, path, query, NOW).unwrap()
}

fn get<T: DeserializeOwned>(target: &str) -> T {
    let answer = get_answer(&store(), target);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.content_type, "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

fn problem(target: &str) -> Problem {
    let answer = get_answer(&store(), target);
    assert_eq!(answer.content_type, "application/problem+json");
    let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem.status, answer.status);
    problem
}

fn container(target: &str) -> Container {
    get(&format!("/api/v1/containers/{target}"))
}

#[test]
fn the_list_holds_containers_only_and_sandboxes_services_and_pods_on_request() {
    let names = |target: &str| -> Vec<String> {
        get::<ContainerList>(target).containers.into_iter().map(|container| container.name).collect()
    };
    assert_eq!(names("/api/v1/containers"), ["db", "log", "web"]);
    assert_eq!(names("/api/v1/containers?kind=service,sandbox").len(), 2);
    assert_eq!(names("/api/v1/containers?all").len(), 8);
    assert_eq!(names("/api/v1/containers?namespace=shop&name=web"), ["web"]);
    assert_eq!(names("/api/v1/containers?pod=other"), [""; 0]);
}

#[test]
fn cpu_is_shown_in_cores_over_the_last_interval_and_in_seconds() {
    let web = container(WEB_ID);
    assert_eq!(web.cpu.usage_cores, Some(0.5));
    assert_eq!(web.cpu.usage_seconds_total, Some(10.5));
    assert_eq!(web.cpu.quota_cores, Some(1.0));
    assert_eq!(web.cpu.unlimited, Some(false));
    assert_eq!(web.cpu.throttled_ratio, Some(0.4));
    assert_eq!(web.pressure.cpu.some.avg10_percent, Some(12.34));
    assert_eq!(web.pressure.cpu.some.stalled_ratio, Some(0.1));
}

#[test]
fn a_limit_that_is_not_set_is_null_beside_unlimited_and_an_absent_one_null_beside_null() {
    let web = container(WEB_ID);
    assert_eq!((web.memory.limit_bytes, web.memory.unlimited), (Some(256 * MIB), Some(false)));
    let log = container(LOG_ID);
    assert_eq!((log.memory.limit_bytes, log.memory.unlimited), (None, Some(true)));
    assert_eq!((log.memory.swap_limit_bytes, log.memory.swap_unlimited), (None, None));
    assert_eq!(log.memory.peak_bytes, None);
    assert_eq!(log.cpu.throttled_ratio, None);
}

#[test]
fn the_working_set_is_usage_without_inactive_page_cache() {
    let web = container(WEB_ID);
    assert_eq!(web.memory.usage_bytes, Some(204 * MIB));
    assert_eq!(web.memory.working_set_bytes, Some(200 * MIB));
}

#[test]
fn block_devices_are_summed_and_shown_one_by_one() {
    let io = container(DB_ID).io.unwrap();
    assert_eq!(io.total.written_bytes_per_second, Some(4.0 * MIB as f64));
    assert_eq!(io.total.read_bytes_total, Some(2 * 12 * 4096));
    let devices: Vec<_> = io.devices.iter().map(|device| device.device.as_str()).collect();
    assert_eq!(devices, ["sda", "nvme0n1"]);
    assert!(container(LOG_ID).io.is_none());
}

#[test]
fn a_pods_network_is_shown_at_each_container_as_the_pods_and_without_the_loopback() {
    let network = container(WEB_ID).network.unwrap();
    assert_eq!(network.scope, NetworkScope::Pod);
    assert_eq!(network.total.rx_bytes_per_second, Some(150_000.0));
    assert_eq!(network.interfaces.len(), 2);
    assert_eq!(container(DB_ID).network.unwrap().scope, NetworkScope::Own);
}

#[test]
fn restarts_and_oom_kills_count_the_ones_before_it_too() {
    let web = container(WEB_ID);
    assert_eq!((web.restarts, web.oom_kills), (Some(2), Some(2)));
    assert_eq!(web.exits, [Exit { code: 137, reason: "OOMKilled".into(), count: 2 }]);
    assert_eq!((container(LOG_ID).restarts, container(LOG_ID).oom_kills), (None, None));
}

#[test]
fn a_reading_carries_its_own_instant_and_age() {
    let web = container(WEB_ID);
    assert_eq!(web.read_at, "2026-03-01T12:00:01.010Z");
    assert_eq!(web.age_seconds, Some(0.04));
    assert_eq!(web.started_at.as_deref(), Some("2026-03-01T11:50:00.000Z"));
}

#[test]
fn a_container_is_found_by_id_prefix_name_and_path() {
    for id in [DB_ID, "aaaaab", "db", "%2Fsystem.slice%2Fdocker-db.scope", "/system.slice/docker-db.scope"] {
        assert_eq!(container(id).id, DB_ID, "{id}");
    }
    assert_eq!(container("shop%2Fweb-7d9%2Fweb").id, WEB_ID);
    assert_eq!(container("%2Fsystem.slice%2Fssh.service").id, "%2Fsystem.slice%2Fssh.service");
    assert_eq!(container("%2F").kind, ContainerKind::Root);
}

#[test]
fn a_prefix_that_is_too_short_and_a_name_that_is_misspelt_are_told_apart_from_nothing() {
    let short = problem("/api/v1/containers/aaaa");
    assert_eq!(short.kind, "urn:ringside:problem:unknown-container");
    let misspelt = problem("/api/v1/containers/shop%2Fweb-7d8%2Fweb");
    assert_eq!(misspelt.status, 404);
    assert!(misspelt.detail.contains("the nearest is 'shop/web-7d9/web'"), "{}", misspelt.detail);
    assert_eq!(misspelt.instance, "/api/v1/containers/shop%2Fweb-7d8%2Fweb");
}

#[test]
fn a_name_that_fits_two_living_containers_is_refused_with_their_names() {
    let two = |tick| {
        let mut one = sample(tick);
        let mut roster = (*one.roster).clone();
        let subjects = roster.subjects_mut(crate::sample::catalogue::Table::Cgroup).unwrap();
        let mut log = (*subjects[3]).clone();
        log.workload = subjects[2].workload.clone();
        subjects[3] = std::sync::Arc::new(log);
        one.roster = std::sync::Arc::new(roster);
        one
    };
    let answer = get_answer(&store_of([two(1), two(2)]), "/api/v1/containers/web");
    assert_eq!(answer.status, 409);
    assert!(String::from_utf8(answer.body).unwrap().contains("shop/web-7d9/web"));
}

#[test]
fn a_pod_counts_by_its_own_cgroup_and_its_network_once() {
    let pods = get::<PodList>("/api/v1/pods").pods;
    assert_eq!(pods.len(), 1);
    let pod = &pods[0];
    assert_eq!((pod.namespace.as_deref(), pod.name.as_deref()), (Some("shop"), Some("web-7d9")));
    assert_eq!(pod.source, PodSource::Cgroup);
    assert_eq!(pod.cgroup.as_deref(), Some(POD_PATH));
    assert_eq!(pod.cpu.usage_cores, Some(0.75));
    assert_eq!(pod.memory.limit_bytes, Some(512 * MIB));
    assert_eq!(pod.network.as_ref().unwrap().total.tx_bytes_per_second, Some(30_000.0));
    let names: Vec<_> = pod.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["web", "log"]);
}

#[test]
fn a_pod_without_a_cgroup_of_its_own_is_the_sum_of_its_containers() {
    let without_pod = |tick| {
        let mut one = sample(tick);
        let mut roster = (*one.roster).clone();
        let subjects = roster.subjects_mut(crate::sample::catalogue::Table::Cgroup).unwrap();
        let mut pod = (*subjects[1]).clone();
        pod.workload = None;
        subjects[1] = std::sync::Arc::new(pod);
        one.roster = std::sync::Arc::new(roster);
        one
    };
    let answer = get_answer(&store_of([without_pod(1), without_pod(2)]), "/api/v1/pods");
    let pods: PodList = serde_json::from_slice(&answer.body).unwrap();
    let pod = &pods.pods[0];
    assert_eq!(pod.source, PodSource::Sum);
    assert_eq!(pod.cpu.usage_cores, Some(0.512));
    assert_eq!(pod.memory.usage_bytes, Some((204 + 34 + 5) * MIB));
    assert_eq!(pod.io.as_ref().unwrap().devices.len(), 1);
    assert!(pod.pressure.is_none());
}

#[test]
fn the_nodes_cpu_time_is_shared_out_by_mode_and_memory_used_is_total_without_available() {
    let node: Node = get("/api/v1/node");
    assert_eq!(node.name, "node-1");
    assert_eq!(node.cpu.usage_ratio, Some(0.4));
    assert_eq!(node.cpu.usage_cores, Some(1.6));
    assert_eq!(node.cpu.modes.iowait_ratio, Some(0.025));
    assert_eq!(node.cpu.cpus.len(), 4);
    assert_eq!(node.memory.used_bytes, Some(3072 * MIB));
    assert_eq!(node.memory.used_ratio, Some(0.375));
    assert_eq!(node.memory.swap_used_bytes, Some(128 * MIB));
    assert_eq!(node.load.one, Some(1.52));
    assert_eq!(node.disks[0].counters.written_bytes_per_second, Some(4.0 * MIB as f64));
    assert_eq!(node.disks[0].busy_ratio, Some(0.42));
    assert_eq!(node.interfaces.len(), 2);
    assert_eq!(node.filesystems[0].used_bytes, Some(60 << 30));
    assert_eq!(node.ticks.map(|ticks| ticks.tick), Some(2));
    assert_eq!(node.booted_at.as_deref(), Some("2026-02-17T09:00:00.000Z"));
}

#[test]
fn the_first_tick_has_totals_and_no_rates() {
    let store = store_of([sample(1)]);
    let answer = get_answer(&store, "/api/v1/containers");
    let list: ContainerList = serde_json::from_slice(&answer.body).unwrap();
    assert!(list.containers.iter().all(|container| container.cpu.usage_cores.is_none()));
    assert!(list.containers.iter().all(|container| container.cpu.usage_seconds_total.is_some()));
}

#[test]
fn before_the_first_tick_the_answer_says_to_wait() {
    for path in ["/api/v1/node", "/api/v1/containers", "/api/v1/pods", "/api/v1/containers/web"] {
        let answer = get_answer(&store_of([]), path);
        assert_eq!(answer.status, 503, "{path}");
    }
    assert_eq!(get_answer(&store_of([]), "/api/v1/metrics").status, 200);
}

#[test]
fn a_container_in_its_last_row_is_no_longer_alive() {
    let mut last = sample(2);
    last.final_rows = vec![2];
    let answer = get_answer(&store_of([sample(1), last]), "/api/v1/containers?name=web");
    let list: ContainerList = serde_json::from_slice(&answer.body).unwrap();
    assert!(!list.containers[0].alive);
    assert!(container(LOG_ID).alive);
}

#[test]
fn paths_of_others_are_left_to_them() {
    let ours = |path: &str| answer_at(&store(), path, None, NOW);
    for path in ["/", "/metrics", "/api", "/api/v2/node", "/api/v1/read", "/openapi", ""] {
        assert_eq!(ours(path), None, "{path}");
    }
    assert_eq!(problem("/api/v1/node/histroy").status, 404);
    assert!(problem("/api/v1/nodes").detail.contains("/api/v1/node"));
    assert!(problem("/api/v1/").detail.contains("/openapi.json"));
}

#[test]
fn a_wrong_parameter_is_refused_and_says_what_is_right() {
    assert!(problem("/api/v1/containers?namspace=a").detail.contains("did you mean 'namespace'?"));
    assert!(problem("/api/v1/containers?kind=containers").detail.contains("container,sandbox"));
    assert!(problem("/api/v1/containers?all=maybe").detail.contains("all=true"));
    assert!(problem("/api/v1/metrics?x=1").detail.contains("has none"));
}

#[test]
fn a_history_of_an_unknown_metric_names_the_nearest() {
    let wrong = problem("/api/v1/containers/web/history?metric=cpu_usage_seconds");
    assert_eq!((wrong.status, wrong.kind.as_str()), (404, "urn:ringside:problem:unknown-metric"));
    assert!(wrong.detail.contains("the nearest is 'cpu_usage_usec'"), "{}", wrong.detail);
    let prefixed = problem("/api/v1/containers/web/history?metric=interface.rx_byte");
    assert!(prefixed.detail.contains("'interface.rx_bytes'"), "{}", prefixed.detail);
    assert!(problem("/api/v1/containers/web/history").detail.contains("/api/v1/metrics"));
}

#[test]
fn a_history_of_one_of_several_devices_asks_which() {
    let which = problem("/api/v1/containers/db/history?metric=device.io_r_bytes");
    assert_eq!(which.detail, "which device? Add device= one of: sda, nvme0n1");
    let wrong = problem("/api/v1/containers/db/history?metric=device.io_r_bytes&device=sdb");
    assert_eq!(wrong.detail, "there is no device 'sdb'; there is: sda, nvme0n1");
    assert_eq!(problem("/api/v1/containers/log/history?metric=device.io_r_bytes").status, 404);
}

#[test]
fn every_metric_of_the_catalogue_is_listed_under_the_name_that_history_takes() {
    let list: MetricList = get("/api/v1/metrics");
    let names: BTreeSet<_> = list.metrics.iter().map(|metric| (&metric.table, &metric.metric)).collect();
    assert_eq!(names.len(), list.metrics.len());
    let device = list.metrics.iter().find(|metric| metric.metric == "device.io_r_bytes").unwrap();
    assert_eq!((device.parameter.as_deref(), device.unit.as_str()), (Some("device"), "bytes"));
}

proptest! {
    #[test]
    fn no_path_and_query_make_the_api_panic(
        path in "(/api/v1/(containers|node|pods|metrics|diff|history)?/?)?[%/a-fA-F0-9.é\\PC]{0,30}(/history)?",
        query in "((metric|start|end|step|fn|kind|device|all|at|from|to|sort)=(device\\.|cpu_usage_usec|oldest|-|1|[0-9]{0,22}[smhd]?|\\PC{0,8})&?){0,5}",
    ) {
        thread_local! { static STORE: Store = store(); }
        STORE.with(|store| {
            if let Some(answer) = answer_at(store, &path, Some(&query), NOW) {
                assert!(serde_json::from_slice::<Value>(&answer.body).is_ok());
            }
        });
    }
}
