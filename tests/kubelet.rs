//! What clients of a kubelet and of cAdvisor get from the agent, beside a real containerd and a real Docker Engine.
//!
//! metrics-server itself is not here: `MetricsServer` asks as it asks and reads by its rules, which are written down in
//! its `pkg/scraper/client/resource`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod fake_api_server;
mod support;
mod tls_client;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fake_api_server::FakeApiServer;
use serde_json::Value;
use support::agent::Agent;
use support::containerd::{ContainerSpec, Containerd, PodSpec};
use support::docker::{self, Dockerd};
use support::exposition::Scrape;
use support::kernel::{cgroup_file, cpu_seconds, first_pid, is_v2, keyed, number};
use support::process::{free_port, wait_until};
use support::prometheus::assert_promtool_accepts;

const SOON: Duration = Duration::from_secs(30);

/// Uses CPU time in short bursts, without end.
const BUSY: &str = "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.2; done";

/// What metrics-server keeps of one node or container.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct MetricsPoint {
    timestamp_ms: i64,
    start_time_seconds: f64,
    cpu_nanos: u64,
    memory_bytes: u64,
}

#[derive(Debug, Default)]
struct MetricsBatch {
    node: Option<MetricsPoint>,
    pods: Pods,
}

/// Asks as metrics-server asks: its token over TLS, no `Accept`.
struct MetricsServer {
    node: SocketAddr,
    path: &'static str,
}

impl MetricsServer {
    fn text(&self) -> String {
        let headers = [("Authorization", "Bearer metrics-server"), ("User-Agent", "metrics-server/v0.8.0")];
        let answer = tls_client::get(self.node, self.path, None, &headers);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    fn scrape(&self) -> MetricsBatch {
        decode(&self.text(), 1)
    }
}

/// The value of a label by metrics-server's rule: what stands between `name="` and the next quote.
fn label(series: &str, name: &str) -> String {
    let (_, rest) = series.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {series}"));
    rest.split('"').next().unwrap().to_owned()
}

type Pods = BTreeMap<(String, String), BTreeMap<String, MetricsPoint>>;

fn container<'a>(pods: &'a mut Pods, series: &str) -> &'a mut MetricsPoint {
    let pod = (label(series, "namespace"), label(series, "pod"));
    pods.entry(pod).or_default().entry(label(series, "container")).or_default()
}

/// metrics-server's rules: a series counts by its name; without a timestamp it is of the request's time; a node without
/// CPU or memory is none, and a pod is dropped for one container without them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as metrics-server turns floats to integers"
)]
fn decode(text: &str, request_time_ms: i64) -> MetricsBatch {
    let mut node = MetricsPoint::default();
    let mut pods = Pods::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, rest) = match line.rfind('}') {
            Some(end) => line.split_at(end + 1),
            None => line.split_at(line.find(' ').unwrap()),
        };
        let mut words = rest.split_whitespace();
        let value: f64 = words.next().unwrap().parse().unwrap();
        let timestamp_ms = words.next().map_or(request_time_ms, |word| word.parse().unwrap());
        assert_eq!(words.next(), None, "{line}");
        let name = series.split('{').next().unwrap();
        match name {
            "node_cpu_usage_seconds_total" => {
                (node.cpu_nanos, node.timestamp_ms) = ((value * 1e9) as u64, timestamp_ms)
            }
            "node_memory_working_set_bytes" => (node.memory_bytes, node.timestamp_ms) = (value as u64, timestamp_ms),
            "container_cpu_usage_seconds_total" => {
                let point = container(&mut pods, series);
                (point.cpu_nanos, point.timestamp_ms) = ((value * 1e9) as u64, timestamp_ms);
            }
            "container_memory_working_set_bytes" => {
                let point = container(&mut pods, series);
                (point.memory_bytes, point.timestamp_ms) = (value as u64, timestamp_ms);
            }
            "container_start_time_seconds" => container(&mut pods, series).start_time_seconds = value,
            _ => {}
        }
    }
    let complete = |point: &MetricsPoint| point.cpu_nanos > 0 && point.memory_bytes > 0;
    pods.retain(|_, containers| containers.values().all(complete));
    MetricsBatch { node: Some(node).filter(|node| complete(node) && node.timestamp_ms > 0), pods }
}

fn unix_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A pod with a UID of its own: the cgroups of tests that run at the same time are on the same machine.
fn pod_spec(number: u32) -> PodSpec {
    PodSpec::new("web-0", "shop", &format!("6c0e5e1a-55aa-4d0e-{number:04x}-{:012x}", std::process::id()))
}

/// Memory in use without inactive file pages, of a cgroup whose processes stand still.
fn working_set(cgroup: &str) -> f64 {
    let usage = number(&cgroup_file(cgroup, "memory.current", "memory/memory.usage_in_bytes"));
    let inactive = if is_v2() { "inactive_file" } else { "total_inactive_file" };
    usage - keyed(&cgroup_file(cgroup, "memory.stat", "memory/memory.stat"), inactive)
}

#[test]
fn metrics_server_gets_true_usage_of_real_pods_with_its_token() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let api = runtime.block_on(FakeApiServer::start());
    api.know("metrics-server", "system:serviceaccount:kube-system:metrics-server", &["https://kubernetes.default.svc"]);
    api.know("stranger", "stranger", &["https://kubernetes.default.svc"]);
    api.allow("system:serviceaccount:kube-system:metrics-server get nodes/metrics");
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, api.kubeconfig()).unwrap();
    let containerd = Containerd::start();
    let pod = containerd.run_pod(pod_spec(1));
    let busy = containerd.run_container(&pod, &ContainerSpec::new("busy", &["/bin/sh", "-c", BUSY]));
    let idle = containerd.run_container(&pod, &ContainerSpec::new("idle", &["/bin/sleep", "1000"]));
    let (busy, idle) = (pod.container_cgroup(&busy), pod.container_cgroup(&idle));

    let secure = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (socket, secure_text) = (containerd.socket().display().to_string(), secure.to_string());
    let agent = Agent::start([
        "--cri-socket",
        &socket,
        "--docker-socket",
        "none",
        "--podman-socket",
        "none",
        "--node-name",
        "n1",
        // The stand-in for the API server takes no pushes.
        "--push",
        "none",
        "--pod-names",
        "none",
        "--secure-listen",
        &secure_text,
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
    ]);
    let server = MetricsServer { node: secure, path: "/metrics/resource" };
    let key = ("shop".to_owned(), "web-0".to_owned());
    wait_until("both containers", SOON, || match server.scrape().pods.get(&key) {
        Some(containers) if containers.len() == 2 => Ok(()),
        other => Err(format!("{other:?}")),
    });

    // A reading that is younger than this instant lies between the kernel's own counter before and after.
    let bracketed = || {
        let (now, lower) = (unix_ms(), cpu_seconds(&busy));
        let batch = wait_until("a younger reading", SOON, || {
            let batch = server.scrape();
            let point = batch.pods[&key]["busy"];
            if point.timestamp_ms > now { Ok(batch) } else { Err(format!("{point:?} is not younger than {now}")) }
        });
        let (point, upper) = (batch.pods[&key]["busy"], cpu_seconds(&busy));
        let used = point.cpu_nanos as f64 / 1e9;
        assert!(lower - 1e-6 <= used && used <= upper, "{lower} <= {used} <= {upper}");
        assert!(point.timestamp_ms <= unix_ms() && point.start_time_seconds * 1e3 < point.timestamp_ms as f64);
        (batch, point)
    };
    let (_, earlier) = bracketed();
    let (batch, later) = bracketed();
    assert!(later.timestamp_ms > earlier.timestamp_ms && later.cpu_nanos > earlier.cpu_nanos, "{earlier:?} {later:?}");
    assert_eq!(later.start_time_seconds.to_bits(), earlier.start_time_seconds.to_bits());
    let node = batch.node.expect("the node");
    assert!(node.cpu_nanos > later.cpu_nanos && node.memory_bytes > later.memory_bytes);

    // The sidecar stands still, so that its memory can be compared to the byte, on every page.
    let expected = working_set(&idle);
    wait_until("the idle container's memory", SOON, || {
        let seen = server.scrape().pods[&key]["idle"].memory_bytes as f64;
        if seen == working_set(&idle) { Ok(()) } else { Err(format!("{seen} is not {expected}")) }
    });
    let text = server.text();
    assert_eq!(Scrape::parse(&text).value("resource_scrape_error", &[]), 0.0);
    assert_promtool_accepts(&text);
    let metrics = agent.scrape("/metrics");
    let page = Scrape::parse(&text);
    let summary = agent.get("/stats/summary", &[]).json();
    let of_pod = [("namespace", "shop"), ("pod", "web-0"), ("container", "idle")];
    let in_summary = |container: &str| {
        let pods = summary["pods"].as_array().unwrap();
        let of = pods.iter().find(|of| of["podRef"]["uid"] == pod.spec.uid.as_str()).expect("the pod");
        of["containers"].as_array().unwrap().iter().find(|of| of["name"] == container).cloned().expect("the container")
    };
    let info = agent.get(&format!("/api/v1.3/containers{idle}"), &[]).json();
    let last = info["stats"].as_array().unwrap().last().unwrap().clone();
    let seen = [
        page.value("container_memory_working_set_bytes", &of_pod),
        in_summary("idle")["memory"]["workingSetBytes"].as_f64().unwrap(),
        last["memory"]["working_set"].as_f64().unwrap(),
    ];
    assert_eq!(seen, [metrics.value("container_memory_working_set_bytes", &of_pod); 3]);
    let used = metrics.value("container_cpu_usage_seconds_total", &[&of_pod[..], &[("cpu", "total")]].concat());
    assert_eq!(page.value("container_cpu_usage_seconds_total", &of_pod).to_bits(), used.to_bits());
    assert_eq!(last["cpu"]["usage"]["total"].as_f64().unwrap(), (used * 1e9).round());
    assert_eq!(in_summary("idle")["cpu"]["usageCoreNanoSeconds"].as_f64().unwrap(), (used * 1e9).round());

    // Who has no right learns nothing.
    for (token, status) in [("stranger", 403), ("guess", 401)] {
        for path in ["/metrics/resource", "/stats/summary", "/api/v1.3/containers", "/api/v2.0/ps"] {
            let answer = tls_client::get(secure, path, None, &[("Authorization", &format!("Bearer {token}"))]);
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert!(!answer.body.contains("web-0"), "{answer:?}");
        }
    }
    // The summary is another right, as at the kubelet's port.
    let metrics_server = [("Authorization", "Bearer metrics-server")];
    assert_eq!(tls_client::get(secure, "/stats/summary", None, &metrics_server).status, 403);
}

#[test]
fn the_summary_has_the_pod_as_the_kubelet_tells_it() {
    let containerd = Containerd::start();
    let pod = containerd.run_pod(pod_spec(2));
    let busy = containerd.run_container(&pod, &ContainerSpec::new("busy", &["/bin/sh", "-c", BUSY]));
    containerd.run_container(&pod, &ContainerSpec::new("idle", &["/bin/sleep", "1000"]));
    let busy = pod.container_cgroup(&busy);
    let socket = containerd.socket().display().to_string();
    let agent = Agent::start(["--cri-socket", &socket, "--docker-socket", "none", "--podman-socket", "none"]);
    let told = wait_until("the pod with rates and processes", SOON, || {
        let summary = agent.get("/stats/summary", &[]).json();
        let pods = summary["pods"].as_array().unwrap().clone();
        let pod = pods.into_iter().find(|of| of["podRef"]["uid"] == pod.spec.uid.as_str()).ok_or("no pod")?;
        let whole = pod["containers"].as_array().unwrap().len() == 2
            && pod["cpu"]["usageNanoCores"].as_u64().is_some_and(|used| used > 0)
            && pod["process_stats"]["process_count"].as_u64().is_some_and(|count| count >= 2)
            && pod["network"]["name"] == "eth0";
        if whole { Ok(pod) } else { Err(pod.to_string()) }
    });
    assert_eq!((&told["podRef"]["name"], &told["podRef"]["namespace"]), (&Value::from("web-0"), &Value::from("shop")));
    let names: Vec<_> = told["containers"].as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["busy", "idle"]);
    let started = told["containers"][0]["startTime"].as_str().unwrap();
    assert!(started.len() == "2026-03-01T12:00:00Z".len() && started.ends_with('Z'), "{started}");
    // The busy one's counter lies between what the kernel says before and after.
    let lower = cpu_seconds(&busy);
    agent.scrape_later_tick();
    let summary = agent.get("/stats/summary?only_cpu_and_memory=true", &[]).json();
    let upper = cpu_seconds(&busy);
    let pods = summary["pods"].as_array().unwrap();
    let of = pods.iter().find(|of| of["podRef"]["uid"] == pod.spec.uid.as_str()).unwrap();
    let used = of["containers"][0]["cpu"]["usageCoreNanoSeconds"].as_f64().unwrap() / 1e9;
    assert!(lower - 1e-6 <= used && used <= upper, "{lower} <= {used} <= {upper}");
    assert!(of.get("network").is_none() && summary["node"].get("fs").is_none());
    // A kubelet takes the question by POST, too.
    let posted = agent.post("/stats/summary", &[("Content-Type", "application/json")], b"{}");
    assert_eq!(posted.status, 200);
}

#[test]
fn cadvisors_clients_find_a_docker_container_its_history_and_its_processes() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let socket = docker.socket().display().to_string();
    let agent = Agent::start(["--docker-socket", &socket, "--podman-socket", "none", "--cri-socket", "none"]);
    let id = docker.run("burner", &["--memory", "64m", docker::BUSYBOX, "sh", "-c", BUSY]);
    let found = wait_until("the container with three ticks", SOON, || {
        let all = agent.get("/api/v1.2/docker/burner", &[]);
        if all.status != 200 {
            return Err(all.text().to_owned());
        }
        let all = all.json();
        let info = all.as_object().unwrap().values().next().cloned().ok_or("nobody")?;
        if info["stats"].as_array().is_some_and(|stats| stats.len() >= 3) { Ok(info) } else { Err(all.to_string()) }
    });
    assert_eq!((&found["id"], &found["namespace"]), (&Value::from(id.as_str()), &Value::from("docker")));
    assert!(found["aliases"].as_array().unwrap().contains(&Value::from("burner")));
    assert_eq!(found["spec"]["memory"]["limit"], 64 << 20);
    assert_eq!(found["spec"]["image"], docker::BUSYBOX);
    let cgroup = found["name"].as_str().unwrap().to_owned();
    let totals: Vec<_> = found["stats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stats| stats["cpu"]["usage"]["total"].as_u64().unwrap())
        .collect();
    assert!(totals.windows(2).all(|pair| pair[0] <= pair[1]) && totals.first() < totals.last(), "{totals:?}");

    let posted = agent.post(&format!("/api/v1.3/containers{cgroup}"), &[], b"{\"num_stats\": 2}");
    assert_eq!(posted.json()["stats"].as_array().unwrap().len(), 2);
    let lower = cpu_seconds(&cgroup);
    agent.scrape_later_tick();
    let stats = agent.get("/api/v2.1/stats/burner?type=docker&count=2", &[]).json();
    let upper = cpu_seconds(&cgroup);
    let newest = &stats[&cgroup]["stats"][1];
    let used = newest["cpu"]["usage"]["total"].as_f64().unwrap() / 1e9;
    assert!(lower - 1e-6 <= used && used <= upper, "{lower} <= {used} <= {upper}");
    assert!(newest["cpu_inst"]["usage"]["total"].as_u64().is_some_and(|rate| rate > 0), "{newest}");

    let pid = u64::from(docker.pid("burner"));
    assert_eq!(pid, u64::from(first_pid(&cgroup)));
    let processes = agent.get("/api/v2.0/ps/burner?type=docker", &[]).json();
    let shell = processes.as_array().unwrap().iter().find(|process| process["pid"] == pid).expect("its first process");
    assert_eq!((&shell["cmd"], &shell["user"]), (&Value::from("sh"), &Value::from("root")));
    assert!(shell["rss"].as_u64().unwrap() > 0);

    // What is refused says why, and the server goes on.
    let none = agent.get("/api/v1.2/docker/nobody", &[]);
    assert!(none.status == 404 && none.text().contains("unable to find container \"nobody\""), "{}", none.text());
    assert_eq!(agent.post("/api/v1.0/containers", &[], b"{\"num_stats\": -7}").status, 400);
    assert_eq!(agent.post("/api/v1.0/containers", &[], &[b' '; 70_000]).status, 413);
    assert_eq!(agent.post("/metrics/resource", &[], b"").status, 405);
    assert_eq!(
        agent.get("/api/v1.0/machine", &[]).json()["num_cores"],
        agent.get("/api/v1/node", &[]).json()["machine"]["cpu_cores"]
    );
}
