//! History and what is gone, read from the ring.

use super::*;
use crate::view::api::testing::WALL;

fn history(target: &str) -> Vec<(f64, Option<f64>)> {
    let history: History = get(target);
    let first = (WALL / 1_000_000_000) as f64;
    history.points.into_iter().map(|(at, value)| (at - first, value.and_then(HistoryValue::number))).collect()
}

#[test]
fn a_containers_history_is_read_from_the_ring_as_values_and_as_rates() {
    let values = history("/api/v1/containers/web/history?metric=cpu_usage_usec");
    assert_eq!(values, [(0.0, Some(10_000_000.0)), (1.0, Some(10_500_000.0))]);
    let rates = history("/api/v1/containers/web/history?metric=cpu_usage_usec&fn=rate&step=1s");
    assert_eq!(rates, [(0.0, None), (1.0, Some(500_000.0))]);
    let limit: History = get("/api/v1/containers/log/history?metric=memory_max_bytes");
    assert_eq!(limit.points[0].1, Some(HistoryValue::Word(HistoryWord::Unlimited)));
    assert_eq!((limit.kind.as_str(), limit.unit.as_str()), ("limit", "bytes"));
}

#[test]
fn parts_have_a_history_by_name_and_the_network_of_a_pod_is_found_from_its_containers() {
    let device = history("/api/v1/containers/db/history?metric=device.io_w_bytes&device=sda&fn=rate");
    assert_eq!(device[1].1, Some(2.0 * MIB as f64));
    let interface = history("/api/v1/containers/web/history?metric=interface.rx_bytes&interface=eth0&fn=rate");
    assert_eq!(interface[1].1, Some(150_000.0));
    let node = history("/api/v1/node/history?metric=disk.disk_io_time_msec&fn=rate");
    assert_eq!(node[1].1, Some(420.0));
    assert_eq!(history("/api/v1/node/history?metric=tasks"), [(0.0, None), (1.0, None)]);
}

#[test]
fn a_container_that_is_gone_is_listed_on_request_and_keeps_its_history() {
    let mut third = sample(3);
    let mut roster = (*third.roster).clone();
    roster.generation += 1;
    let cgroups = crate::sample::catalogue::Table::Cgroup;
    roster.subjects_mut(cgroups).unwrap().retain(|subject| !subject.name.contains(WEB_ID));
    third.rows_mut(cgroups).unwrap().clear();
    let row = crate::sample::row::Row::new(cgroups.metrics().len());
    for _ in roster.subjects(cgroups) {
        third.rows_mut(cgroups).unwrap().push(row.as_ref());
    }
    third.roster = std::sync::Arc::new(roster);
    let store = store_of([sample(1), sample(2), third]);
    let names = |target: &str| -> Vec<(String, bool)> {
        let list: ContainerList = serde_json::from_slice(&get_answer(&store, target).body).unwrap();
        list.containers.into_iter().map(|container| (container.name, container.alive)).collect()
    };
    assert_eq!(names("/api/v1/containers?pod=web-7d9"), [("log".to_owned(), true)]);
    let with_gone = names("/api/v1/containers?pod=web-7d9&gone=true");
    assert_eq!(with_gone, [("log".to_owned(), true), ("web".to_owned(), false)]);
    let answer = get_answer(&store, "/api/v1/containers/web/history?metric=memory_current_bytes");
    let kept: History = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(kept.points.len(), 2);
    let gone: Container = serde_json::from_slice(&get_answer(&store, "/api/v1/containers/web").body).unwrap();
    assert_eq!((gone.alive, gone.age_seconds, gone.cpu.usage_seconds_total), (false, None, None));
    assert_eq!(gone.read_at, "2026-03-01T12:00:01.000Z");
}

#[test]
fn what_runs_inside_another_container_belongs_to_no_pod_of_this_node() {
    let nested = |tick| {
        let mut one = sample(tick);
        let mut roster = (*one.roster).clone();
        let subjects = roster.subjects_mut(crate::sample::catalogue::Table::Cgroup).unwrap();
        let mut log = (*subjects[3]).clone();
        let mut workload = (**log.workload.as_ref().unwrap()).clone();
        workload.identity.outer_container = Some(DB_ID.into());
        log.workload = Some(std::sync::Arc::new(workload));
        subjects[3] = std::sync::Arc::new(log);
        one.roster = std::sync::Arc::new(roster);
        one
    };
    let store = store_of([nested(1), nested(2)]);
    let pods: PodList = serde_json::from_slice(&get_answer(&store, "/api/v1/pods").body).unwrap();
    assert_eq!(pods.pods[0].containers.len(), 1);
    let log = get_answer(&store, &format!("/api/v1/containers/{LOG_ID}"));
    let log: Container = serde_json::from_slice(&log.body).unwrap();
    assert_eq!(log.outer_container.as_deref(), Some(DB_ID));
}
