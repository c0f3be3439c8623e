//! The lab itself works: real runtimes and real cgroup layouts do what the other tests rely on.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use support::containerd::{ContainerSpec, Containerd, PodSpec};
use support::docker::{BUSYBOX, Dockerd};
use support::exposition::Scrape;
use support::guest::{CgroupLayout, Guest};
use support::http;
use support::process::{Spawn, lab_folder, remove_folder_script, wait_until};
use support::prometheus::{Job, Prometheus, promtool_check_metrics};

/// The hierarchies of this machine that a container is in: the v1 controllers that are mounted and the cgroup2 tree.
fn hierarchies() -> Vec<std::path::PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    ["memory", "unified"].iter().map(|name| root.join(name)).filter(|path| path.exists()).collect()
}

#[test]
fn a_docker_container_has_a_cgroup_in_every_hierarchy() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let id = docker.run("lab-one", &["--memory", "64m", BUSYBOX, "sleep", "1000"]);

    assert!(!hierarchies().is_empty());
    let pid = docker.pid("lab-one").to_string();
    for hierarchy in hierarchies() {
        let procs = fs::read_to_string(hierarchy.join("docker").join(&id).join("cgroup.procs")).unwrap();
        assert_eq!(procs.trim(), pid, "{}", hierarchy.display());
    }
    let stats = docker.stats("lab-one");
    assert_eq!(stats["Name"], "lab-one");
    assert!(stats["MemUsage"].as_str().unwrap().ends_with("/ 64MiB"), "{stats}");

    docker.rm("lab-one");
    for hierarchy in hierarchies() {
        assert!(!hierarchy.join("docker").join(&id).exists(), "{}", hierarchy.display());
    }
}

#[test]
fn two_docker_containers_reach_each_other_over_the_bridge() {
    let docker = Dockerd::start();
    docker.import_busybox();
    docker.run(
        "server",
        &[BUSYBOX, "sh", "-c", "mkdir /www; echo from-the-other-side >/www/page; exec httpd -f -p 80 -h /www"],
    );
    let address = docker.inspect("server")["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
    let request = format!("printf 'GET /page HTTP/1.0\\r\\n\\r\\n' | nc {address} 80");
    let answer = wait_until("a page from the other container", Duration::from_secs(30), || {
        let output = docker.try_cli(&["run", "--rm", BUSYBOX, "sh", "-c", &request]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    });
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\r\n\r\nfrom-the-other-side\n"), "{answer}");
}

#[test]
fn a_pod_made_over_cri_has_the_kubelet_s_cgroups_and_an_address() {
    let containerd = Containerd::start();
    let pod = containerd.run_pod(PodSpec::new("web-0", "shop", "7b0e5e1a-55aa-4d0e-9f58-000000000001"));
    let container = containerd.run_container(&pod, &ContainerSpec::new("web", &["/bin/sleep", "1000"]));

    let status = containerd.container_status(&container);
    assert_eq!(status.state, i32::from(support::cri::ContainerState::Running));
    assert_eq!(status.labels["io.kubernetes.pod.namespace"], "shop");
    assert!(containerd.pod_ip(&pod).starts_with("10.89."));
    for hierarchy in hierarchies() {
        for cgroup in [pod.cgroup(), pod.container_cgroup(&container)] {
            let procs =
                fs::read_to_string(hierarchy.join(cgroup.trim_start_matches('/')).join("cgroup.procs")).unwrap();
            assert_eq!(procs.lines().count(), 1, "{}: {procs}", hierarchy.display());
        }
    }

    containerd.stop_container(&container);
    containerd.remove_container(&container);
    containerd.stop_pod(&pod);
    containerd.remove_pod(&pod);
    for hierarchy in hierarchies() {
        assert!(!hierarchy.join(pod.spec.cgroup_parent.trim_start_matches('/')).exists());
    }
}

#[test]
fn a_pod_in_the_host_network_shares_the_host_s_network_namespace() {
    let containerd = Containerd::start();
    let mut spec = PodSpec::new("node-agent", "kube-system", "7b0e5e1a-55aa-4d0e-9f58-000000000002");
    spec.host_network = true;
    let pod = containerd.run_pod(spec);
    let container = containerd.run_container(&pod, &ContainerSpec::new("agent", &["/bin/sleep", "1000"]));
    let hierarchy = hierarchies().remove(0);
    let procs = hierarchy.join(pod.container_cgroup(&container).trim_start_matches('/')).join("cgroup.procs");
    let pid = fs::read_to_string(procs).unwrap();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_eq!(namespace(pid.trim()), namespace("self"));
}

/// Fills a file in memory until the limit is met; `tail` keeps all it read while it sees no line feed.
const EAT_MEMORY: [&str; 3] = ["sh", "-c", "tail /dev/zero; exec sleep 1000"];

#[test]
fn a_v2_guest_counts_the_memory_and_the_oom_kills_of_a_container() {
    let guest = Guest::start(CgroupLayout::V2);
    guest.run_container("calm", "/kubepods/calm", &["sleep", "100000"], json!({}));
    let current: u64 = guest.read("/sys/fs/cgroup/kubepods/calm/memory.current").trim().parse().unwrap();
    assert!(current > 0);
    assert_eq!(guest.read("/sys/fs/cgroup/kubepods/calm/cgroup.procs").trim(), guest.container_pid("calm").to_string());

    let limit = json!({ "linux": { "resources": { "memory": { "limit": 16 << 20 } } } });
    guest.run_container("greedy", "/kubepods/greedy", &EAT_MEMORY, limit);
    let oom_kills = |name: &str| {
        let events = guest.read(&format!("/sys/fs/cgroup/kubepods/{name}/memory.events"));
        events.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().to_owned()
    };
    wait_until("an OOM kill", Duration::from_secs(120), || match oom_kills("greedy").as_str() {
        "1" => Ok(()),
        other => Err(format!("oom_kill {other}")),
    });
    assert_eq!(oom_kills("calm"), "0");
    assert!(guest.exec("test -e /sys/fs/cgroup/memory").status != 0, "no v1 controller is mounted");
}

#[test]
fn a_v1_guest_counts_the_memory_and_the_oom_kills_of_a_container() {
    let guest = Guest::start(CgroupLayout::V1);
    guest.run_container("calm", "/kubepods/calm", &["sleep", "100000"], json!({}));
    let usage: u64 = guest.read("/sys/fs/cgroup/memory/kubepods/calm/memory.usage_in_bytes").trim().parse().unwrap();
    assert!(usage > 0);

    let limit = json!({ "linux": { "resources": { "memory": { "limit": 16 << 20 } } } });
    guest.run_container("greedy", "/kubepods/greedy", &EAT_MEMORY, limit);
    wait_until("an OOM kill", Duration::from_secs(120), || {
        let control = guest.read("/sys/fs/cgroup/memory/kubepods/greedy/memory.oom_control");
        if control.lines().any(|line| line == "oom_kill 1") { Ok(()) } else { Err(control) }
    });
    assert!(guest.exec("test -e /sys/fs/cgroup/cgroup.controllers").status != 0, "cgroup2 is not mounted");
}

#[test]
fn a_hybrid_guest_has_v1_controllers_and_a_cgroup2_tree_without_any() {
    let guest = Guest::start(CgroupLayout::Hybrid);
    guest.run_container("calm", "/kubepods/calm", &["sleep", "100000"], json!({}));
    let pid = guest.container_pid("calm").to_string();
    for hierarchy in ["memory", "cpu,cpuacct", "unified"] {
        let procs = guest.read(&format!("/sys/fs/cgroup/{hierarchy}/kubepods/calm/cgroup.procs"));
        assert_eq!(procs.trim(), pid, "{hierarchy}");
    }
    assert_eq!(guest.read("/sys/fs/cgroup/unified/cgroup.controllers").trim(), "");
}

#[test]
fn prometheus_scrapes_a_target_and_answers_promql() {
    let first = Prometheus::start(&[]);
    let job = Job { name: "self", path: "/metrics", targets: &[first.address.to_string()] };
    let second = Prometheus::start(&[job]);
    let up = second.query_until("up", |series| series.iter().any(|(_, value)| *value == 1.0));
    assert_eq!(up.len(), 1);
    assert_eq!(up[0].0["instance"], first.address.to_string());

    let page = http::get(first.address, "/metrics", &[]).unwrap();
    let scrape = Scrape::parse(page.text());
    assert_eq!(scrape.value("prometheus_ready", &[]), 1.0);
    assert_eq!(scrape.types["prometheus_ready"], "gauge");
    promtool_check_metrics("# HELP a_total A.\n# TYPE a_total counter\na_total 1\n").unwrap();
    promtool_check_metrics("a{ 1\n").unwrap_err();
}

#[test]
fn the_parser_of_metrics_takes_escapes_and_refuses_what_the_format_does_not_know() {
    let scrape = Scrape::parse("a{x=\"q\\\"b\\\\s\\nl}\",y=\"\"} 1.5 1700000000000\nb +Inf\n# EOF\n");
    assert_eq!(scrape.value("a", &[("x", "q\"b\\s\nl}")]), 1.5);
    assert!(scrape.value("b", &[]).is_infinite() && scrape.eof);
    for wrong in [
        "a 1",
        "a  1\n",
        "a\n",
        "1a 1\n",
        "a{x=\"\\t\"} 1\n",
        "a{x=\"1\"y=\"2\"} 1\n",
        "a{x=\"1\",x=\"2\"} 1\n",
        "a inf\n",
        "a 1\na 2\n",
        "# EOF\na 1\n",
        "# TYPE a counter\n# TYPE a counter\n",
        "# TYPE a number\n",
        "a 1 2 3\n",
        "a{x=\"1} 1\n",
    ] {
        assert!(Scrape::try_parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_child_that_ignores_the_polite_signal_is_ended_and_its_folder_removed() {
    let folder = lab_folder("child");
    let script = "trap '' TERM; echo up; while :; do sleep 1; done";
    let child =
        Spawn::new("stubborn", "sh").args(["-c", script]).after_end(remove_folder_script(&folder)).start(&folder);
    child.wait_until("its first line", Duration::from_secs(30), || {
        if child.log().contains("up") { Ok(()) } else { Err(child.log()) }
    });
    let process = Path::new("/proc").join(child.pid().to_string());
    assert!(process.exists());
    drop(child);
    assert!(!process.exists() && !folder.exists());
}
