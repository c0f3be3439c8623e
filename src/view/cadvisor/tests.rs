//! What cAdvisor's clients get, from samples made by hand.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::history::Reader;
use super::model::{self, ContainerInfo};
use super::request::Window;
use super::tree::Tree;
use super::{Request, Source, answer};
use crate::sample::catalogue::CgroupColumn as C;
use crate::sample::processes::ProcessTable;
use crate::sample::{CgroupKind, Metadata, Runtime};
use crate::store::{Store, ring};
use crate::view::api::testing::{DB_ID, MIB, WEB_ID, sample, store, store_of, tick_of, usage, workload};

const WEB: &str = "kubepods.slice/kubepods-pod1.slice/cri-containerd-\
    aaaaaa1111111111111111111111111111111111111111111111111111111111.scope";

fn ask(store: &Store, path: &str, query: Option<&str>, body: &str) -> (u16, String) {
    let processes = ProcessTable::default();
    let source = Source { store, processes: &processes, events: &[] };
    let answer = answer(&source, &Request { path, query, body: body.as_bytes() });
    (answer.status, String::from_utf8(answer.body).unwrap())
}

fn get(store: &Store, path: &str, query: Option<&str>) -> Value {
    let (status, body) = ask(store, path, query, "");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Two ticks with a container of Docker's.
fn docker_store() -> Store {
    store_of([1, 2].map(|tick| {
        tick_of(tick, |b| {
            b.cgroup(workload("/", CgroupKind::Root, None, None), |_| {});
            let metadata = Metadata { name: "db".into(), runtime: Some(Runtime::Docker), ..Metadata::default() };
            let db = workload(&format!("/docker/{DB_ID}"), CgroupKind::Container, Some(DB_ID), Some(metadata));
            b.cgroup(db, usage(tick, 1_250, 1028 * MIB));
        })
    }))
}

#[test]
fn a_container_has_its_names_its_limits_and_the_rings_ticks() {
    let info = get(&store(), &format!("/api/v1.3/containers/{WEB}"), None);
    assert_eq!((&info["name"], &info["id"]), (&json!(format!("/{WEB}")), &json!(WEB_ID)));
    assert_eq!((&info["aliases"], &info["namespace"]), (&json!(["web", WEB_ID]), &json!("containerd")));
    assert_eq!(info["spec"]["memory"], json!({ "limit": 256 * MIB }));
    assert_eq!(info["spec"]["cpu"]["quota"], 100_000);
    assert_eq!(info["spec"]["start_time"], "2026-03-01T11:50:00.000000000Z");
    let stats = info["stats"].as_array().unwrap();
    let times: Vec<_> = stats.iter().map(|stats| stats["timestamp"].as_str().unwrap()).collect();
    assert_eq!(times, ["2026-03-01T12:00:00.000000000Z", "2026-03-01T12:00:01.000000000Z"]);
    assert_eq!(stats[1]["cpu"]["usage"]["total"], 10_500_000_000_u64);
    assert_eq!(stats[1]["cpu"]["cfs"]["throttled_periods"], 58);
    assert_eq!(stats[1]["memory"]["usage"], 204 * MIB);
    assert_eq!(stats[1]["memory"]["working_set"], 200 * MIB);
    assert_eq!(stats[1]["cpu"]["psi"]["some"]["total"], 200_000);
    let disk =
        json!({ "device": "/dev/sda", "major": 8, "minor": 0, "stats": { "Read": 12 * 4096, "Write": 24 * MIB } });
    assert_eq!(stats[1]["diskio"]["io_service_bytes"], json!([disk]));
    assert_eq!(stats[0]["diskio"]["io_service_bytes"][0]["stats"]["Read"], 11 * 4096);
}

#[test]
fn a_body_chooses_how_many_ticks_and_between_which_times() {
    let times = |body: &str| {
        let (status, body) = ask(&store(), &format!("/api/v1.0/containers/{WEB}"), None, body);
        assert_eq!(status, 200, "{body}");
        let info: Value = serde_json::from_str(&body).unwrap();
        let stats = info["stats"].as_array().cloned().unwrap_or_default();
        stats.iter().map(|stats| stats["timestamp"].as_str().unwrap()[17..19].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(times("{\"num_stats\":1}"), ["01"]);
    assert_eq!(times("{\"num_stats\":0}"), [""; 0]);
    assert_eq!(times("{\"num_stats\":9,\"end\":\"2026-03-01T12:00:00.5Z\"}"), ["00"]);
    assert_eq!(times("{\"num_stats\":9,\"start\":\"2026-03-01T12:00:00.5Z\"}"), ["01"]);
}

#[test]
fn the_root_lists_its_children_and_subcontainers_are_all_below() {
    let children = get(&store(), "/api/v1.0/containers", None)["subcontainers"].clone();
    assert_eq!(children, json!([{ "name": "/system.slice" }]));
    let names = |path: &str| {
        let list = get(&store(), path, None);
        list.as_array().unwrap().iter().map(|info| info["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let below = ["/system.slice", "/system.slice/docker-db.scope", "/system.slice/ssh.service"];
    assert_eq!(names("/api/v1.1/subcontainers/system.slice"), below);
    assert_eq!(
        names("/api/v1.2/subcontainers").len(),
        get(&store(), "/api/v2.0/spec", Some("recursive=true")).as_object().unwrap().len()
    );
}

#[test]
fn a_container_of_docker_is_found_by_name_by_id_and_by_the_beginning_of_its_id() {
    let store = docker_store();
    let path = format!("/docker/{DB_ID}");
    for name in ["", "/", "/db", &format!("/{DB_ID}"), "/aaaaab"] {
        let found = get(&store, &format!("/api/v1.2/docker{name}"), None);
        assert_eq!(found.as_object().unwrap().keys().collect::<Vec<_>>(), [&path], "{name}");
        assert_eq!(found[&path]["namespace"], "docker");
    }
    let (status, said) = ask(&store, "/api/v1.2/docker/web", None, "");
    let want =
        "failed to get Docker container \"web\" with error: unable to find container \"web\" in \"docker\" namespace\n";
    assert_eq!((status, said.as_str()), (404, want));
    let of_v2 = get(&store, "/api/v2.1/stats/db", Some("type=docker&count=1"));
    assert_eq!(of_v2[&path]["stats"].as_array().unwrap().len(), 1);
    assert_eq!(
        get(&store, "/api/v2.0/spec", Some("type=docker&recursive=true"))[&path]["aliases"],
        json!(["db", DB_ID])
    );
}

#[test]
fn version_two_tells_rates_between_ticks_and_the_root_is_the_machine() {
    let store = store();
    let info = &get(&store, &format!("/api/v2.1/stats/{WEB}"), None)[&format!("/{WEB}")];
    assert_eq!(info["stats"][0].get("cpu_inst"), None);
    assert_eq!(info["stats"][1]["cpu_inst"]["usage"]["total"], 500_000_000);
    let old = &get(&store, &format!("/api/v2.0/stats/{WEB}"), None)[&format!("/{WEB}")];
    assert_eq!((&old[1]["cpu_inst"]["usage"]["total"], &old[1]["has_cpu"]), (&json!(500_000_000), &json!(true)));
    assert_eq!(get(&store, "/api/v2.1/stats", None), json!({}));
    let machine = get(&store, "/api/v2.1/machinestats", None);
    assert_eq!(machine.as_array().unwrap().len(), 2);
    assert_eq!(machine[1]["filesystem"][0]["capacity"], json!(100_u64 << 30));
    assert_eq!(machine[1]["network"]["interfaces"][0]["name"], "eth0");
    let summary = &get(&store, &format!("/api/v2.0/summary/{WEB}"), None)[&format!("/{WEB}")];
    assert_eq!(summary["latest_usage"], json!({ "cpu": 500, "memory": 200 * MIB }));
    assert_eq!(summary["hour_usage"]["percent_complete"], 1);
}

#[test]
fn the_machine_is_what_the_agent_knows_of_it() {
    let machine = get(&store(), "/api/v1.0/machine", None);
    assert_eq!((&machine["num_cores"], &machine["memory_capacity"]), (&json!(4), &json!(8192 * MIB)));
    assert_eq!(machine["disk_map"]["8:0"]["name"], "sda");
    assert_eq!(machine["network_devices"][0]["name"], "eth0");
    assert_eq!(get(&store(), "/api/v2.0/attributes", None)["kernel_version"], "6.12.0");
    assert_eq!(get(&store(), "/api/v2.0/storage", Some("label=root"))[0]["mountpoint"], "/");
    assert_eq!(get(&store(), "/api/v2.0/storage", Some("label=other")), json!([]));
    let processes = get(&store(), "/api/v2.0/ps", None);
    let own = u64::from(std::process::id());
    assert!(processes.as_array().unwrap().iter().any(|process| process["pid"] == own));
}

#[test]
fn what_there_is_not_is_said_in_cadvisors_words() {
    let store = store();
    let said = |path: &str, query: Option<&str>| {
        let (status, text) = ask(&store, path, query, "");
        (status, text.trim_end().to_owned())
    };
    let is = |status: u16, text: &str| (status, text.to_owned());
    assert_eq!(said("/api/", None), is(400, "Supported API versions: v1.0,v1.1,v1.2,v1.3,v2.0,v2.1"));
    assert_eq!(said("/api/v1.0/", None), is(400, "Supported request types: \"containers,machine\""));
    assert_eq!(said("/api/v1.9/machine", None), is(404, "unsupported API version \"v1.9\""));
    assert_eq!(said("/api/v1.0/docker", None), is(404, "unknown request type \"docker\""));
    let unknown = "failed to get container \"/no\" with error: unknown container \"/no\"";
    assert_eq!(said("/api/v1.3/containers/no", None), is(404, unknown));
    assert_eq!(said("/api/v2.1/stats/no", None), is(404, "unknown container \"/no\""));
    assert_eq!(said("/api/v2.0/stats", Some("count=many")), is(400, "failed to parse 'count' option: \"many\""));
    let subcontainers = "invalid request for docker container \"/x\" with subcontainers";
    assert_eq!(said("/api/v2.0/stats/x", Some("type=docker&recursive=true")), is(400, subcontainers));
    let (_, empty) = ring(1 << 20).unwrap();
    assert_eq!(ask(&empty, "/api/v1.0/machine", None, "").0, 503);
}

#[test]
fn many_containers_get_fewer_ticks_each() {
    let (store, newest) = (store(), sample(2));
    let processes = ProcessTable::default();
    let source = Source { store: &store, processes: &processes, events: &[] };
    let tree = Tree::new(&source, &newest);
    let ticks = |containers: usize| {
        let reader = Reader::new(&tree, Window { count: 60, start: None, end: None }, containers);
        reader.ticks_of_each()
    };
    assert_eq!((ticks(1), ticks(100), ticks(600), ticks(100_000)), (60, 60, 10, 1));
}

fn keys(value: &Value) -> String {
    let keys: BTreeSet<_> = value.as_object().unwrap().keys().cloned().collect();
    keys.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_field_names_are_those_of_the_go_types() {
    let mut stats = model::Stats {
        timestamp: String::new(),
        cpu: Some(model::CpuStats::default()),
        diskio: Some(model::DiskIo::default()),
        memory: Some(model::MemoryStats::default()),
        network: Some(model::NetworkStats::default()),
        filesystem: vec![model::FsStats::default()],
        processes: Some(model::ProcessStats { threads_current: 1, threads_max: 1, ..Default::default() }),
        oom_events: 1,
        ..Default::default()
    };
    stats.hugetlb.insert("2MB".into(), model::Hugetlb { usage: 1, max_usage: 1, failcnt: 1 });
    let info = ContainerInfo {
        reference: model::Reference {
            id: "i".into(),
            name: "n".into(),
            aliases: vec!["a".into()],
            namespace: "d".into(),
        },
        subcontainers: vec![model::Reference { name: "s".into(), ..Default::default() }],
        spec: model::Spec { image: "i".into(), labels: [("a".into(), "b".into())].into(), ..Default::default() },
        stats: vec![stats],
    };
    let value = serde_json::to_value(&info).unwrap();
    assert_eq!(serde_json::from_value::<ContainerInfo>(value.clone()).unwrap(), info);
    assert_eq!(keys(&value), "aliases id name namespace spec stats subcontainers");
    assert_eq!(
        keys(&value["spec"]),
        "cpu creation_time has_cpu has_custom_metrics has_diskio has_filesystem has_hugetlb has_memory has_network \
         has_processes image labels memory processes start_time"
    );
    let stats = &value["stats"][0];
    assert_eq!(keys(stats), "cpu diskio filesystem hugetlb memory network oom_events processes task_stats timestamp");
    assert_eq!(keys(&stats["cpu"]), "cfs load_average load_d_average psi schedstat usage");
    assert_eq!(keys(&stats["cpu"]["cfs"]), "burst_time bursts_periods periods throttled_periods throttled_time");
    assert_eq!(
        keys(&stats["memory"]),
        "cache container_data events failcnt file_dirty file_writeback hierarchical_data kernel mapped_file max_usage \
         pgscan pgsteal psi rss swap total_active_file total_inactive_file usage working_set workingset_refault_anon \
         workingset_refault_file"
    );
    assert_eq!(
        keys(&stats["network"]),
        "name rx_bytes rx_dropped rx_errors rx_packets tx_bytes tx_dropped tx_errors tx_packets"
    );
    assert_eq!(
        keys(&stats["filesystem"][0]),
        "available base_usage capacity device has_inodes inodes inodes_free io_in_progress io_time read_time \
         reads_completed reads_merged sectors_read sectors_written type usage weighted_io_time write_time \
         writes_completed writes_merged"
    );
    assert_eq!(keys(&stats["processes"]), "fd_count process_count socket_count threads_current threads_max");
    assert_eq!(keys(&stats["task_stats"]), "nr_io_wait nr_running nr_sleeping nr_stopped nr_uninterruptible");
    assert_eq!(keys(&stats["hugetlb"]["2MB"]), "failcnt max_usage usage");
}

#[test]
fn a_limit_that_is_not_set_is_the_largest_integer_and_a_reset_gives_no_rate() {
    let store = store_of([1, 2].map(|tick| {
        tick_of(tick, |b| {
            b.cgroup(workload("/a", CgroupKind::Other, None, None), |row| {
                usage(1, 1, MIB)(row);
                row.put(C::CpuUsageUsec, Some(10 - tick));
            });
        })
    }));
    let info = &get(&store, "/api/v2.1/stats/a", None)["/a"];
    assert_eq!(info["spec"]["memory"]["limit"], u64::MAX);
    assert_eq!(info["stats"][1].get("cpu_inst"), None);
    assert_eq!(info["stats"][1]["cpu"]["usage"]["total"], 8_000);
}
