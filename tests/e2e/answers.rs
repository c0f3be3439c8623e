//! What the APIs answer of real containers, and whom they refuse.
//!
//! In: a cluster in which ringside runs. Out: steps of `tests/e2e.rs`. The workloads of the namespace `shop` stay for the
//! steps after these.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ringside::store::cluster::{Entity, EntityKey, Metric, Snapshot};
use ringside::units::UnixNanos;
use ringside::uplink::wire::Encoder;
use serde_json::Value;

use crate::ringside_in_cluster::{AGGREGATORS, PATIENCE, history, push_path};
use crate::support::cluster::{Cluster, NODE};
use crate::support::process::try_run;

/// A version that computes, and a canary that holds 24 MiB and does nothing: what `dd` writes nobody reads.
const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: cart, namespace: shop }
spec:
  selector: { matchLabels: { app: cart, track: stable } }
  template:
    metadata: { labels: { app: cart, track: stable } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: computes
        image: lab.test/busybox:lab
        command: ["/bin/sh", "-c", "while true; do true; done"]
        resources: { limits: { cpu: 200m, memory: 32Mi } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: cart-canary, namespace: shop }
spec:
  selector: { matchLabels: { app: cart, track: canary } }
  template:
    metadata: { labels: { app: cart, track: canary } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: holds
        image: lab.test/busybox:lab
        command: ["/bin/sh", "-c", "dd if=/dev/zero bs=24M count=1 | sleep 1000000"]
        resources: { limits: { cpu: 200m, memory: 64Mi } }
      - name: idles
        image: lab.test/busybox:lab
        command: ["/bin/sleep", "1000000"]
        resources: { limits: { cpu: 200m, memory: 32Mi } }
"#;

/// `123m` → 123, `45Mi` → 45.
fn number(cell: &str, unit: &str) -> u64 {
    let digits = cell.strip_suffix(unit).unwrap_or_else(|| panic!("{cell} is not in {unit}"));
    digits.parse().unwrap_or_else(|_| panic!("{cell} is no number"))
}

/// What `kubectl top pods --containers` says of each container: name, millicores, MiB.
fn top_containers(cluster: &Cluster, args: &[&str], count: usize) -> Vec<(String, u64, u64)> {
    let rows = cluster.wait_until(&format!("{count} containers in kubectl top"), PATIENCE, || {
        let output = cluster.try_kubectl(&[&["top", "pods", "--containers", "--no-headers"], args].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.lines().count() == count { Ok(said) } else { Err(format!("{output:?}")) }
    });
    let row = |row: &str| {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let [_pod, container, cpu, memory] = cells.as_slice() else { panic!("{row}") };
        ((*container).to_owned(), number(cpu, "m"), number(memory, "Mi"))
    };
    rows.lines().map(row).collect()
}

pub fn kubectl_top_shows_what_containers_do(cluster: &Cluster) {
    cluster.apply(SHOP);
    cluster.wait_pods_ready("shop", "app=cart", 2);
    for (name, cpu, memory) in top_containers(cluster, &["-l", "app=web"], 2) {
        // The limit is 100m and 32 MiB; the loop takes all the CPU that it gets.
        assert!(name == "web" && (10..=115).contains(&cpu) && memory <= 32, "{name} {cpu}m {memory}Mi");
    }
    let all = cluster.wait_until("a busy container and one that holds 24 MiB", PATIENCE, || {
        let found = top_containers(cluster, &["-n", "shop"], 3);
        let is = |name: &str, right: &dyn Fn(u64, u64) -> bool| {
            found.iter().any(|(container, cpu, memory)| container == name && right(*cpu, *memory))
        };
        let busy = is("computes", &|cpu, memory| (30..=230).contains(&cpu) && memory <= 16);
        let holding = is("holds", &|cpu, memory| cpu <= 20 && (24..=32).contains(&memory));
        let idle = is("idles", &|cpu, memory| cpu <= 5 && memory <= 8);
        if busy && holding && idle { Ok(found) } else { Err(format!("{found:?}")) }
    });
    assert_eq!(all.len(), 3);

    let nodes = cluster.kubectl(&["top", "node", "--no-headers"]);
    let cells: Vec<&str> = nodes.split_whitespace().collect();
    assert_eq!(cells[0], NODE);
    let cores = std::thread::available_parallelism().unwrap().get() as u64;
    assert!((100..=1000 * cores + 50).contains(&number(cells[1], "m")), "{nodes}");
    assert!(number(cells[3], "Mi") >= 100, "{nodes}");

    for args in [
        &["top", "node"][..],
        &["top", "pod", "--containers", "-l", "app=web"],
        &["top", "pod", "--containers", "-A"],
        &["top", "pod", "-n", "shop", "--sort-by=memory"],
    ] {
        shown!("$ kubectl {}\n{}", args.join(" "), cluster.kubectl(args));
    }
}

pub fn the_metrics_api_answers_as_json_and_as_a_table(cluster: &Cluster) {
    let path = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?labelSelector=track%3Dcanary";
    let raw = cluster.get_raw(path).unwrap();
    shown!("$ kubectl get --raw '{path}'\n{raw}");
    let list: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(list["kind"], "PodMetricsList");
    let pods = list["items"].as_array().unwrap();
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["metadata"]["labels"]["track"], "canary");
    let names: Vec<&str> =
        pods[0]["containers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["holds", "idles"]);
    // Of a push each 2 s, not of a minute.
    let window = pods[0]["window"].as_str().unwrap();
    let seconds: f64 =
        window.strip_suffix('s').and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{window}"));
    assert!(seconds > 0.5 && seconds < 30.0, "{window}");

    let table = cluster.kubectl(&["get", "pods.metrics.k8s.io", "-A"]);
    shown!("$ kubectl get pods.metrics.k8s.io -A\n{table}");
    assert!(table.starts_with("NAMESPACE"), "{table}");
    assert_eq!(table.lines().filter(|row| row.starts_with("shop ")).count(), 2, "{table}");
    let nodes = cluster.kubectl(&["get", "nodes.metrics.k8s.io"]);
    shown!("$ kubectl get nodes.metrics.k8s.io\n{nodes}");
    assert!(nodes.lines().any(|row| row.starts_with(NODE)), "{nodes}");

    let path =
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/memory_anon_bytes?labelSelector=track%3Dcanary";
    let raw = cluster.get_raw(path).unwrap();
    shown!("$ kubectl get --raw '{path}'\n{raw}");
    let list: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(list["kind"], "MetricValueList");
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["describedObject"]["kind"], "Pod");
    assert_eq!(list["items"][0]["metric"]["name"], "memory_anon_bytes");
}

const IMPOSTOR: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: agent-of-elsewhere, namespace: ringside }
spec:
  nodeName: elsewhere
  serviceAccountName: ringside-agent
  automountServiceAccountToken: false
  containers: [{ name: agent, image: "lab.test/busybox:lab" }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: reads-metrics }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ringside-scraper }
subjects: [{ kind: ServiceAccount, namespace: ringside, name: default }]
"#;

const TEBIBYTE: u64 = 1 << 40;

/// A push that says that a node, and a pod with its container, use a tebibyte of memory.
fn lie(node: &str, pod: Option<&Value>) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let wall = UnixNanos(u64::try_from(now).unwrap());
    let mut values = [None; Metric::ALL.len()];
    values[Metric::CpuUsageUsec as usize] = Some(1);
    values[Metric::MemoryWorkingSetBytes as usize] = Some(TEBIBYTE);
    let mut keys = vec![EntityKey::Node];
    if let Some(pod) = pod {
        let text = |value: &Value| -> Arc<str> { value.as_str().unwrap().into() };
        let (metadata, status) = (&pod["metadata"], &pod["status"]["containerStatuses"][0]);
        let uid = text(&metadata["uid"]);
        let id = status["containerID"].as_str().unwrap().strip_prefix("containerd://").unwrap().into();
        let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
        keys.push(EntityKey::Pod { uid: Arc::clone(&uid), namespace, name });
        keys.push(EntityKey::Container { pod_uid: uid, name: text(&status["name"]), id });
    }
    let entities = keys.into_iter().map(|key| Entity { key, started_at: UnixNanos(0), values }).collect();
    Encoder::new(node, 7).push(&[Snapshot { wall, entities }], true)
}

pub fn no_account_and_no_node_speaks_for_another(cluster: &Cluster) {
    cluster.add_node_object("elsewhere");
    cluster.apply(IMPOSTOR);
    let body = cluster.folder().join("lie");
    let push_with = |token: &str, node: &str, pod: Option<&Value>| {
        std::fs::write(&body, lie(node, pod)).unwrap();
        let kubeconfig = cluster.kubeconfig_with_token(token);
        let args = ["create", "--raw", &push_path(node), "-f", body.to_str().unwrap()];
        let output = cluster.try_kubectl_with(&kubeconfig, &args);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        shown!("push for {node}: {}", said.trim());
        (output.status.success(), said)
    };
    let push = |token: &str, node: &str| push_with(token, node, None);
    let refused = |reason: &str| refused_pushes(cluster, reason);

    // The API server's own word, by RBAC.
    let stranger = cluster.token_for("default", "stranger", None, &[]);
    let (taken, said) = push(&stranger, NODE);
    assert!(
        !taken && said.contains("Forbidden") && said.contains("cannot create resource \"nodes/samples\""),
        "{said}"
    );

    // The right account, from a pod on another node. The aggregator knows of the pod a little later than the API server.
    let token = cluster.token_for("ringside", "ringside-agent", Some("agent-of-elsewhere"), &[]);
    cluster.wait_until("an agent that is known as one of another node", PATIENCE, || {
        let (taken, said) = push(&token, NODE);
        assert!(!taken, "{said}");
        if said.contains("the token speaks for node elsewhere") { Ok(()) } else { Err(said) }
    });
    assert!(refused("other_node") >= 1.0);
    // It may speak for its own node, but not of a pod that runs on another one.
    let victim = cluster.wait_pods_ready("default", "app=web", 2).remove(0);
    cluster.wait_until("a push for its own node", PATIENCE, || {
        let (taken, said) = push_with(&token, "elsewhere", Some(&victim));
        if taken { Ok(()) } else { Err(said) }
    });
    assert!(refused("pod_of_other_node") >= 1.0);
    // The right account with a token that is bound to no pod.
    let unbound = cluster.token_for("ringside", "ringside-agent", None, &[]);
    let (taken, said) = push(&unbound, NODE);
    assert!(!taken && said.contains("bound to no pod"), "{said}");

    // Of the node and of the pod that were lied about nothing was believed, then or later.
    for series in [
        format!("nodes/{NODE}?metric=memory_working_set_bytes&last=30s&step=1s"),
        format!(
            "namespaces/default/pods/{}?metric=memory_working_set_bytes&last=30s&step=1s",
            victim["metadata"]["name"].as_str().unwrap()
        ),
    ] {
        let told = history(cluster, &series);
        let points = told["points"].as_array().unwrap();
        assert!(!points.is_empty(), "{told}");
        assert!(points.iter().all(|point| point[1].as_f64().unwrap() < TEBIBYTE as f64 / 2.0), "{told}");
    }
    for (name, _, memory) in top_containers(cluster, &["-l", "app=web"], 2) {
        assert!(memory <= 32, "{name} {memory}Mi");
    }

    cluster.kubectl(&["delete", "-n", "ringside", "pod", "agent-of-elsewhere", "--force", "--grace-period=0"]);
    cluster.kubectl(&["delete", "node", "elsewhere"]);
}

/// How many pushes all replicas together did not believe for this reason.
fn refused_pushes(cluster: &Cluster, reason: &str) -> f64 {
    let authority = cluster.folder().join("aggregator-ca.crt");
    let map = cluster.get_json(&["-n", "ringside", "configmap", "ringside-aggregator-ca"]);
    std::fs::write(&authority, map["data"]["ca.crt"].as_str().unwrap()).unwrap();
    let token = cluster.token_for("ringside", "default", None, &["ringside-aggregator"]);
    let mut sum = 0.0;
    for pod in cluster.wait_pods_ready("ringside", AGGREGATORS, 2) {
        let url = format!("https://{}:8443/metrics", pod["status"]["podIP"].as_str().unwrap());
        let authorization = format!("Authorization: Bearer {token}");
        let args = ["-sS", "--fail-with-body", "--cacert", authority.to_str().unwrap(), "-H", &authorization, &url];
        let output = try_run("curl", &args);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        let start = format!("ringside_aggregator_refused_total{{reason=\"{reason}\"}} ");
        sum += text.lines().filter_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok()).sum::<f64>();
    }
    sum
}

pub fn the_cluster_is_shown_by_workload_namespace_and_label(cluster: &Cluster) {
    let top = |args: &[&str]| {
        let kubeconfig = cluster.kubeconfig();
        let common = ["top", "--kubeconfig", kubeconfig.to_str().unwrap(), "--last", "30s"];
        let output = try_run(env!("CARGO_BIN_EXE_ringside"), &[&common[..], args].concat());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        shown!("$ ringside top {}\n{text}", args.join(" "));
        text
    };
    let row = |text: &str, start: &[&str]| -> Vec<String> {
        let mut rows = text.lines().map(|row| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        rows.find(|cells| cells.starts_with(&start.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>()))
            .unwrap_or_else(|| panic!("no row {start:?} in {text}"))
    };
    let by_workload = top(&["--by", "workload"]);
    let busy = row(&by_workload, &["shop", "deployment:cart"]);
    assert!((30..=230).contains(&number(&busy[2], "m")), "{busy:?}");
    row(&by_workload, &["ringside", "daemonset:ringside-agent"]);
    let by_label = top(&["--by", "label=track", "-n", "shop"]);
    let stable = row(&by_label, &["stable"]);
    let canary = row(&by_label, &["canary"]);
    assert!((30..=230).contains(&number(&stable[1], "m")), "{stable:?}");
    assert!(number(&canary[1], "m") <= 25, "{canary:?}");
    top(&["--by", "node"]);

    // As the plugin that kubectl finds by its name, and for a time that is over.
    let folder = cluster.folder().join("plugins");
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ringside"), folder.join("kubectl-ringside")).unwrap();
    let path = format!("PATH={}:{}", folder.display(), std::env::var("PATH").unwrap());
    let kubeconfig = format!("KUBECONFIG={}", cluster.kubeconfig().display());
    let words = ["kubectl", "ringside", "top", "-n", "shop", "-l", "app=cart", "--at", "10s", "--last", "20s"];
    let output = try_run("env", &[&[path.as_str(), &kubeconfig][..], &words].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    shown!("$ {}\n{text}", words.join(" "));
    row(&text, &["shop", "deployment:cart-canary"]);

    let anon = history(cluster, "namespaces?metric=memory_anon_bytes&last=10s&step=2s");
    let items = anon["items"].as_array().unwrap();
    let of = |namespace: &str| {
        let series = items.iter().find(|one| one["metadata"]["name"] == namespace).unwrap();
        series["points"].as_array().unwrap().last().unwrap()[1].as_f64().unwrap()
    };
    shown!("anonymous memory: shop {} B, ringside {} B, default {} B", of("shop"), of("ringside"), of("default"));
    let mebibytes = of("shop") / f64::from(1 << 20);
    assert!((24.0..40.0).contains(&mebibytes), "{mebibytes} MiB");
    assert!(of("ringside") > 0.0 && of("default") > 0.0);
}
