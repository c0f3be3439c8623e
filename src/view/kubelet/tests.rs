//! What a kubelet's clients get, from samples made by hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::stats::{
    ContainerStats, CpuStats, FsStats, InterfaceStats, IoStats, MemoryStats, NetworkStats, NodeStats, PodReference,
    PodStats, ProcessStats, PsiStats, PvcReference, RlimitStats, RuntimeStats, Summary, SwapStats, VolumeStats,
};
use super::{RESOURCE, SUMMARY, answer};
use crate::sample::catalogue::{CgroupColumn as C, InterfaceColumn as I, NodeColumn as N, Table};
use crate::sample::details::DetailsCell;
use crate::sample::processes::ProcessTable;
use crate::sample::storage::{Backing, StorageUsage, TreeUsage, VolumeUsage};
use crate::sample::{CgroupKind, NodeSample, SubjectId};
use crate::store::{Store, ring};
use crate::units::{Limit, UnixNanos};
use crate::view::api::testing::{
    Builder, MIB, POD_PATH, WALL, WEB_ID, pod_metadata, sample, store, store_of, tick_of, usage, workload,
};

fn get(store: &Store, path: &str, query: Option<&str>) -> (u16, String) {
    let answer = answer(store, &ProcessTable::default(), path, query).unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

fn page(store: &Store) -> String {
    let (status, page) = get(store, RESOURCE, None);
    assert_eq!(status, 200, "{page}");
    page
}

fn samples(page: &str) -> Vec<&str> {
    page.lines().filter(|line| !line.starts_with('#')).collect()
}

fn summary(store: &Store, query: Option<&str>) -> Value {
    let (status, body) = get(store, SUMMARY, query);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The root cgroup of a node whose CPU time is 100 s and 2 s more each tick.
fn root(tick: u64, b: &mut Builder) {
    b.cgroup(workload("/", CgroupKind::Root, None, None), |row| {
        row.put(C::CpuUsageUsec, Some(100_000_000 + tick * 2_000_000));
        row.put(C::MemoryStatAnon, Some(300 * MIB));
        row.put(C::MemoryStatFile, Some(200 * MIB));
        row.put(C::MemoryStatInactiveFile, Some(150 * MIB));
        row.put(C::MemoryStatPgfault, Some(7));
    });
}

#[test]
fn each_value_of_the_resource_page_has_the_millisecond_at_which_it_was_read() {
    let store = store();
    let want = [
        "container_cpu_usage_seconds_total{container=\"log\",namespace=\"shop\",pod=\"web-7d9\"} 10.012 1772366401010",
        "container_cpu_usage_seconds_total{container=\"web\",namespace=\"shop\",pod=\"web-7d9\"} 10.5 1772366401010",
        "container_memory_working_set_bytes{container=\"log\",namespace=\"shop\",pod=\"web-7d9\"} 31457280 1772366401010",
        "container_memory_working_set_bytes{container=\"web\",namespace=\"shop\",pod=\"web-7d9\"} 209715200 1772366401010",
        "container_start_time_seconds{container=\"log\",namespace=\"shop\",pod=\"web-7d9\"} 1772365800",
        "container_start_time_seconds{container=\"web\",namespace=\"shop\",pod=\"web-7d9\"} 1772365800",
        "node_swap_usage_bytes 134217728 1772366401010",
        "pod_cpu_usage_seconds_total{namespace=\"shop\",pod=\"web-7d9\"} 10.75 1772366401010",
        "pod_memory_working_set_bytes{namespace=\"shop\",pod=\"web-7d9\"} 310378496 1772366401010",
        // Nothing is known of this node's CPU.
        "resource_scrape_error 1",
    ];
    assert_eq!(samples(&page(&store)), want);
}

#[test]
fn the_node_is_its_root_cgroup_and_its_swap_is_in_meminfo() {
    let store = store_of([tick_of(1, |b| root(1, b))]);
    let want = [
        "node_cpu_usage_seconds_total 102 1772366400010",
        "node_memory_working_set_bytes 367001600 1772366400010",
        "resource_scrape_error 0",
    ];
    assert_eq!(samples(&page(&store)), want);
    let node = &summary(&store, None)["node"];
    assert_eq!(node["memory"]["availableBytes"], json!((8192 - 350) * MIB));
    assert_eq!((&node["memory"]["usageBytes"], &node["memory"]["pageFaults"]), (&json!(500 * MIB), &json!(7)));
}

#[test]
fn a_root_cgroup_that_could_not_be_read_once_does_not_change_the_count() {
    let with_ticks = |tick: u64, of_root: bool| {
        let mut sample = tick_of(tick, |b| {
            b.cgroup(workload("/", CgroupKind::Root, None, None), |row| {
                row.put(C::CpuUsageUsec, of_root.then_some(100_000_000));
            });
            b.row(Table::Node, None, "node", None, |row| row.put(N::CpuUserTicks, Some(500 * tick)));
        });
        Arc::make_mut(&mut sample.machine).ticks_per_second = 100;
        sample
    };
    let page_of = |of_root: [bool; 2]| page(&store_of([with_ticks(1, of_root[0]), with_ticks(2, of_root[1])]));
    assert!(page_of([true, true]).contains("node_cpu_usage_seconds_total 100 "));
    assert!(!page_of([true, false]).contains("node_cpu"));
    // A kernel whose root cgroup has no such file: the time of all CPUs.
    assert!(page_of([false, false]).contains("node_cpu_usage_seconds_total 10 "));
}

#[test]
fn who_has_ended_or_has_no_name_yet_is_left_out() {
    let with = |ended: bool, named: bool| {
        let mut sample = tick_of(1, |b| {
            let metadata = named.then(|| pod_metadata(Some("web")));
            let path = format!("{POD_PATH}/cri-containerd-{WEB_ID}.scope");
            b.cgroup(workload(&path, CgroupKind::Container, Some(WEB_ID), metadata), usage(1, 1, MIB * 8));
        });
        sample.final_rows = ended.then_some(0).into_iter().collect();
        page(&store_of([sample])).contains("container=\"web\"")
    };
    assert_eq!((with(false, true), with(true, true), with(false, false)), (true, false, false));
}

#[test]
fn of_two_containers_of_one_name_the_younger_is_shown() {
    let store = store_of([tick_of(1, |b| {
        for (id, started_at, millicores) in [("a", WALL - 5_000_000_000, 1), ("b", WALL, 2), ("c", WALL - 9, 3)] {
            let mut metadata = pod_metadata(Some("web"));
            metadata.started_at = Some(UnixNanos(started_at));
            let path = format!("{POD_PATH}/{id}");
            b.cgroup(workload(&path, CgroupKind::Container, Some(id), Some(metadata)), |row| {
                row.put(C::CpuUsageUsec, Some(millicores * 1_000_000));
            });
        }
    })]);
    let page = page(&store);
    let cpu: Vec<_> = samples(&page).into_iter().filter(|line| line.starts_with("container_cpu")).collect();
    let want =
        "container_cpu_usage_seconds_total{container=\"web\",namespace=\"shop\",pod=\"web-7d9\"} 2 1772366400010";
    assert_eq!(cpu, [want]);
}

#[test]
fn a_name_cannot_leave_its_quotes() {
    let store = store_of([tick_of(1, |b| {
        let metadata = pod_metadata(Some("x\"} 1\nfake 2\\"));
        b.cgroup(
            workload(&format!("{POD_PATH}/a"), CgroupKind::Container, Some("a"), Some(metadata)),
            usage(1, 1, MIB),
        );
    })]);
    let page = page(&store);
    assert!(page.contains("container=\"x\\\"} 1\\nfake 2\\\\\",namespace"), "{page}");
    assert!(!page.lines().any(|line| line.starts_with("fake")), "{page}");
}

#[test]
fn a_container_of_the_summary_has_its_limits_rates_and_pressure() {
    let summary = summary(&store(), None);
    let pod = &summary["pods"][0];
    assert_eq!(pod["podRef"], json!({ "name": "web-7d9", "namespace": "shop", "uid": "pod-uid-1" }));
    let time = "2026-03-01T12:00:01Z";
    let line = |total: u64, avg10: f64| json!({ "total": total, "avg10": avg10, "avg60": 0.0, "avg300": 0.0 });
    let want = json!({
        "name": "web",
        "startTime": "2026-03-01T11:50:00Z",
        "cpu": {
            "time": time, "usageNanoCores": 500_000_000, "usageCoreNanoSeconds": 10_500_000_000_u64,
            "psi": { "some": line(200_000, 12.34), "full": line(0, 0.0) },
        },
        "memory": {
            "time": time, "availableBytes": 56 * MIB, "usageBytes": 204 * MIB, "workingSetBytes": 200 * MIB,
        },
    });
    assert_eq!(pod["containers"][1], want);
    let interface = json!({ "name": "eth0", "rxBytes": 1_800_000, "txBytes": 360_000 });
    let mut network = interface.clone();
    network["time"] = json!(time);
    network["interfaces"] = json!([interface]);
    assert_eq!(pod["network"], network);
    assert_eq!(pod["cpu"]["usageNanoCores"], 750_000_000);
    assert_eq!(
        summary["node"]["swap"],
        json!({ "time": time, "swapAvailableBytes": 896 * MIB, "swapUsageBytes": 128 * MIB })
    );
    assert_eq!(summary["node"]["fs"]["usedBytes"], json!(60_u64 << 30));
    assert!(summary["node"]["rlimit"]["maxpid"].as_u64().unwrap() > 0);
}

#[test]
fn only_cpu_and_memory_leaves_out_the_rest() {
    let summary = summary(&store(), Some("only_cpu_and_memory=true"));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let set = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(keys(&summary["node"]), set(&["nodeName", "startTime", "swap"]));
    assert_eq!(keys(&summary["pods"][0]), set(&["podRef", "startTime", "containers", "cpu", "memory"]));
    assert_eq!(keys(&summary["pods"][0]["containers"][0]), set(&["name", "startTime", "cpu", "memory"]));
    let (status, body) = get(&store(), SUMMARY, Some("only_cpu_and_memory=perhaps"));
    assert!(status == 400 && body.contains("only_cpu_and_memory=true"), "{body}");
}

#[test]
fn usage_is_over_ten_seconds_and_not_over_the_last_one() {
    // Two seconds of CPU time in each second, and none in the last.
    let of = |tick: u64| {
        tick_of(tick, |b| {
            b.cgroup(workload("/", CgroupKind::Root, None, None), |row| {
                row.put(C::CpuUsageUsec, Some(tick.min(19) * 2_000_000));
            });
        })
    };
    let cores = |ticks: u64| {
        let store = store_of((1..=ticks).map(of));
        summary(&store, None)["node"]["cpu"]["usageNanoCores"].as_u64()
    };
    assert_eq!(cores(20), Some(1_800_000_000));
    // Younger than that: since the tick before.
    assert_eq!((cores(1), cores(5)), (None, Some(2_000_000_000)));
}

#[test]
fn of_a_container_that_is_younger_than_that_usage_is_since_the_tick_before() {
    // Both cgroups use one CPU; the second one came at tick 18.
    let of = |tick: u64| {
        tick_of(tick, |b| {
            for (name, first) in [("old", 1), ("new", 18)] {
                if tick < first {
                    b.skip();
                    continue;
                }
                let path = format!("{POD_PATH}/{name}");
                let metadata = Some(pod_metadata(Some(name)));
                b.cgroup(workload(&path, CgroupKind::Container, Some(name), metadata), |row| {
                    row.put(C::CpuUsageUsec, Some(tick * 1_000_000));
                });
            }
        })
    };
    let pod = &summary(&store_of((1..=20).map(of)), None)["pods"][0];
    let cores = |place: usize| pod["containers"][place]["cpu"]["usageNanoCores"].clone();
    assert_eq!((cores(0), cores(1)), (json!(1_000_000_000), json!(1_000_000_000)));
}

fn tree(used_bytes: u64, inodes: u64) -> TreeUsage {
    TreeUsage { used_bytes, inodes, counted_at: UnixNanos(WALL), ..TreeUsage::default() }
}

fn with_storage(mut sample: NodeSample) -> NodeSample {
    let id = |name: &str| {
        let subjects = sample.roster.subjects(Table::Cgroup).iter();
        subjects.filter(|subject| subject.name.ends_with(name)).map(|subject| subject.id).next().unwrap()
    };
    let backing = Arc::new(Backing {
        device: "/dev/sda1".into(),
        kind: "ext4".into(),
        capacity_bytes: 100,
        available_bytes: 40,
        inodes: 1000,
        inodes_free: 900,
    });
    let volume = |name: &str, plugin: &str, kind: &str, used_bytes| VolumeUsage {
        name: name.into(),
        plugin: plugin.into(),
        usage: tree(used_bytes, 1),
        backing: Arc::new(Backing { kind: kind.into(), ..Backing::clone(&backing) }),
        is_mount: kind == "tmpfs" || plugin.ends_with("csi"),
    };
    let web = StorageUsage {
        writable_layer: Some(tree(10, 3)),
        writable_layer_backing: Some(Arc::clone(&backing)),
        logs: Some(tree(20, 2)),
        logs_backing: Some(Arc::clone(&backing)),
        ..StorageUsage::default()
    };
    let pod = StorageUsage {
        volumes: vec![
            volume("cache", "kubernetes.io~empty-dir", "ext4", 5),
            volume("shm", "kubernetes.io~empty-dir", "tmpfs", 1000),
            volume("data", "kubernetes.io~csi", "xfs", 2000),
            volume("conf", "kubernetes.io~configmap", "ext4", 7),
        ],
        ..StorageUsage::default()
    };
    let storage: [(SubjectId, StorageUsage); 2] =
        [(id(&format!("cri-containerd-{WEB_ID}.scope")), web), (id("kubepods-pod1.slice"), pod)];
    let cell = DetailsCell::default();
    cell.update(|details| details.storage = Arc::new(storage.into()));
    sample.details = cell.get();
    sample
}

#[test]
fn ephemeral_storage_is_layers_logs_and_local_volumes_but_no_memory_and_no_claim() {
    let summary = summary(&store_of([with_storage(sample(1))]), None);
    let pod = &summary["pods"][0];
    let backing = json!({ "availableBytes": 40, "capacityBytes": 100, "inodes": 1000, "inodesFree": 900 });
    let with = |used: u64, inodes: u64| {
        let mut fs = backing.clone();
        fs["time"] = json!("2026-03-01T12:00:00Z");
        (fs["usedBytes"], fs["inodesUsed"]) = (json!(used), json!(inodes));
        fs
    };
    assert_eq!((&pod["containers"][1]["rootfs"], &pod["containers"][1]["logs"]), (&with(10, 3), &with(20, 2)));
    let names: Vec<_> =
        pod["volume"].as_array().unwrap().iter().map(|volume| volume["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cache", "shm", "data", "conf"]);
    assert_eq!(pod["volume"][2]["usedBytes"], 2000);
    let ephemeral = &pod["ephemeral-storage"];
    assert_eq!((&ephemeral["usedBytes"], &ephemeral["inodesUsed"]), (&json!(10 + 20 + 5 + 7), &json!(3 + 2 + 1 + 1)));
    // The filesystem is the node's.
    assert_eq!(ephemeral["capacityBytes"], json!(100_u64 << 30));
    assert_eq!(summary["node"]["runtime"]["containerFs"]["usedBytes"], 10);
    assert_eq!(summary["node"]["runtime"]["imageFs"]["availableBytes"], 40);
}

/// Every path of an object's keys, `[]` for lists.
fn paths(value: &Value, prefix: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = format!("{prefix}{key}");
                into.insert(path.clone());
                paths(value, &format!("{path}."), into);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| paths(value, &format!("{prefix}[]."), into)),
        _ => {}
    }
}

fn full_container() -> ContainerStats {
    let psi = || Some(PsiStats::default());
    let time = || Some(String::new());
    let fs = || FsStats {
        time: time(),
        available_bytes: Some(1),
        capacity_bytes: Some(1),
        used_bytes: Some(1),
        inodes_free: Some(1),
        inodes: Some(1),
        inodes_used: Some(1),
    };
    ContainerStats {
        name: "c".into(),
        start_time: time(),
        cpu: Some(CpuStats { time: time(), usage_nano_cores: Some(1), usage_core_nano_seconds: Some(1), psi: psi() }),
        memory: Some(MemoryStats {
            time: time(),
            available_bytes: Some(1),
            usage_bytes: Some(1),
            working_set_bytes: Some(1),
            rss_bytes: Some(1),
            page_faults: Some(1),
            major_page_faults: Some(1),
            psi: psi(),
        }),
        io: Some(IoStats { time: time(), psi: psi() }),
        rootfs: Some(fs()),
        logs: Some(fs()),
        user_defined_metrics: vec![json!(1)],
        swap: Some(SwapStats { time: time(), swap_available_bytes: Some(1), swap_usage_bytes: Some(1) }),
    }
}

/// The field names of `k8s.io/kubelet/pkg/apis/stats/v1alpha1`, as Kubernetes 1.36 has them.
const FIELDS: &str = "\
    name startTime cpu cpu.time cpu.usageNanoCores cpu.usageCoreNanoSeconds cpu.psi cpu.psi.full cpu.psi.full.total \
    cpu.psi.full.avg10 cpu.psi.full.avg60 cpu.psi.full.avg300 cpu.psi.some cpu.psi.some.total cpu.psi.some.avg10 \
    cpu.psi.some.avg60 cpu.psi.some.avg300 memory memory.time memory.availableBytes memory.usageBytes \
    memory.workingSetBytes memory.rssBytes memory.pageFaults memory.majorPageFaults memory.psi memory.psi.full \
    memory.psi.full.total memory.psi.full.avg10 memory.psi.full.avg60 memory.psi.full.avg300 memory.psi.some \
    memory.psi.some.total memory.psi.some.avg10 memory.psi.some.avg60 memory.psi.some.avg300 io io.time io.psi \
    io.psi.full io.psi.full.total io.psi.full.avg10 io.psi.full.avg60 io.psi.full.avg300 io.psi.some \
    io.psi.some.total io.psi.some.avg10 io.psi.some.avg60 io.psi.some.avg300 rootfs rootfs.time \
    rootfs.availableBytes rootfs.capacityBytes rootfs.usedBytes rootfs.inodesFree rootfs.inodes rootfs.inodesUsed \
    logs logs.time logs.availableBytes logs.capacityBytes logs.usedBytes logs.inodesFree logs.inodes \
    logs.inodesUsed userDefinedMetrics swap swap.time swap.swapAvailableBytes swap.swapUsageBytes";

#[test]
fn the_field_names_are_those_of_the_go_types() {
    let container = full_container();
    let mut found = BTreeSet::new();
    paths(&serde_json::to_value(&container).unwrap(), "", &mut found);
    let want: BTreeSet<String> = FIELDS.split_whitespace().map(str::to_owned).collect();
    assert_eq!(found, want);

    let time = || Some(String::new());
    let interface = InterfaceStats {
        name: "eth0".into(),
        rx_bytes: Some(1),
        rx_errors: Some(1),
        tx_bytes: Some(1),
        tx_errors: Some(1),
    };
    let network = NetworkStats { time: time(), default: interface.clone(), interfaces: vec![interface] };
    let fs = container.rootfs.clone();
    let volume = VolumeStats {
        fs: fs.clone().unwrap(),
        name: "v".into(),
        pvc_ref: Some(PvcReference { name: "n".into(), namespace: "ns".into() }),
    };
    let full = Summary {
        node: NodeStats {
            node_name: "n".into(),
            system_containers: vec![ContainerStats::default()],
            start_time: time(),
            cpu: Some(CpuStats::default()),
            memory: Some(MemoryStats::default()),
            io: Some(IoStats::default()),
            network: Some(network.clone()),
            fs: Some(FsStats::default()),
            runtime: Some(RuntimeStats { image_fs: fs.clone(), container_fs: Some(FsStats::default()) }),
            rlimit: Some(RlimitStats { time: time(), maxpid: Some(1), curproc: Some(1) }),
            swap: Some(SwapStats::default()),
        },
        pods: vec![PodStats {
            pod_ref: PodReference::default(),
            start_time: time(),
            containers: Vec::new(),
            cpu: Some(CpuStats::default()),
            memory: Some(MemoryStats::default()),
            io: Some(IoStats::default()),
            network: Some(network),
            volume: vec![volume],
            ephemeral_storage: fs,
            process_stats: Some(ProcessStats { process_count: Some(1) }),
            swap: Some(SwapStats::default()),
        }],
    };
    let value = serde_json::to_value(&full).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&value["node"]),
        "cpu fs io memory network nodeName rlimit runtime startTime swap systemContainers"
    );
    assert_eq!(keys(&value["node"]["rlimit"]), "curproc maxpid time");
    assert_eq!(keys(&value["node"]["runtime"]), "containerFs imageFs");
    assert_eq!(keys(&value["node"]["network"]), "interfaces name rxBytes rxErrors time txBytes txErrors");
    assert_eq!(
        keys(&value["pods"][0]),
        "containers cpu ephemeral-storage io memory network podRef process_stats startTime swap volume"
    );
    assert_eq!(keys(&value["pods"][0]["process_stats"]), "process_count");
    assert_eq!(
        keys(&value["pods"][0]["volume"][0]),
        "availableBytes capacityBytes inodes inodesFree inodesUsed name pvcRef time usedBytes"
    );
    assert_eq!(serde_json::from_value::<Summary>(value).unwrap(), full);
}

#[test]
fn what_is_unknown_is_left_out_and_a_pod_of_the_hosts_network_has_none() {
    let store = store_of([tick_of(1, |b| {
        b.row(Table::Interface, None, "eth0", None, |row| row.put(I::RxBytes, Some(5)));
        let mut metadata = pod_metadata(None);
        metadata.host_network = true;
        let pod = b.cgroup(workload(POD_PATH, CgroupKind::Pod, None, Some(metadata)), |row| {
            row.put_limit(C::MemoryMaxBytes, Some(Limit::Unlimited));
        });
        b.row(Table::Interface, Some(pod), "eth0", None, |row| row.put(I::RxBytes, Some(5)));
    })]);
    let summary = summary(&store, None);
    let pod = summary["pods"][0].as_object().unwrap();
    assert_eq!(pod.keys().collect::<Vec<_>>(), ["containers", "podRef", "startTime"]);
    assert_eq!(summary["node"]["network"]["interfaces"][0]["rxBytes"], 5);
}

#[test]
fn before_the_first_tick_the_answer_is_to_come_again() {
    let (_, store) = ring(1 << 20).unwrap();
    for path in [RESOURCE, SUMMARY, "/stats/summary/"] {
        assert_eq!(get(&store, path, None).0, 503, "{path}");
    }
    assert!(answer(&store, &ProcessTable::default(), "/stats", None).is_none());
}
