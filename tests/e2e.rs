//! End to end: the manifests, the agents and the aggregator against a real Kubernetes control plane and real pods.
//!
//! In: what `tests/lab/setup.sh` and `tests/lab/control_plane.sh` install. Out: one test that walks through the steps with
//! one cluster, since a cluster takes 15 s to start. A step is a function that gets the cluster; it leaves behind what
//! a later step may stand upon, and its name is in the output when it fails. Steps about the cluster itself are here; those
//! about ringside in `e2e/`: `ringside_in_cluster` brings it up (with a push each 2 s), `answers`, `scaling`, `failures`. What
//! kubectl says of the real containers is printed.
//!
//! What the guard offers (`support::cluster::Cluster`; its header tells how the network is laid out):
//! - `apply(yaml)`, `kubectl(&[..])`, `try_kubectl`, `get_json`, `get_raw`, `try_post`: as the administrator;
//!   `try_kubectl_with(kubeconfig, ..)` with `kubeconfig_with_token(token)`: as somebody else.
//! - `token_for(namespace, account, pod, audiences)`: a token as the kubelet projects it into that pod. `add_node_object`
//!   and a Pod with `spec.nodeName` make other nodes and pods that no kubelet runs.
//! - `wait_pods_ready(namespace, selector, count)`, `wait_until`, `wait_api_service_available`.
//! - `stop_api_server()`, `start_api_server()`: an outage; pods run on, and data and certificates stay.
//! - `import_ringside(name)`: an image of the binary under test, under the name that a manifest gives it.
//! - `containerd().import_image(name, folder, entrypoint)`: an image from a folder, since no registry is asked. Pods may
//!   name `support::containerd::BUSYBOX` without it. `docker::busybox_rootfs` and `guest::copy_libraries` fill a folder.
//! - `service_on_host` and `host_address()`: a program on the host behind a Service, for the API server and for pods.
//! - `front_proxy_client(name)`, `client_certificate(user, group)`, `server_certificate(names)`: certificates of the right
//!   authority, for spoofing with the wrong name. `StandIn` shows what an aggregated API server really gets.
//!
//! What it lacks: DNS names of single pods, NetworkPolicies (accepted, not enforced), and tokens in pods that are bound to
//! the pod unless the manifest asks for a projected one (Kubernetes 1.20 mounts a Secret's by default).
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic is how a test fails")]

/// Prints past the test harness, which keeps what passing tests print to itself: what kubectl says of real containers is to
/// be seen in every run.
macro_rules! shown {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _a_closed_pipe_is_no_failure = writeln!(std::io::stderr(), $($what)*);
    }};
}

mod support;

#[path = "e2e/answers.rs"]
mod answers;
#[path = "e2e/failures.rs"]
mod failures;
#[path = "e2e/ringside_in_cluster.rs"]
mod ringside_in_cluster;
#[path = "e2e/scaling.rs"]
mod scaling;

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use support::cluster::stand_in::{Answer, Seen, StandIn};
use support::cluster::{Cluster, NODE, Parts};
use support::exposition::Scrape;
use support::http;

/// What it shows, and the function.
type Step = (&'static str, fn(&Cluster));

#[test]
fn a_cluster_lives_with_ringside() {
    let cluster = Cluster::start(Parts::Node);
    let steps: [Step; 16] = [
        ("the node is Ready", the_node_is_ready),
        ("the pods of a Deployment run in cgroups of their own", the_pods_of_a_deployment_run),
        ("a Service is reached by its name", a_service_is_reached_by_its_name),
        ("an agent in a pod sees the other pods", an_agent_in_a_pod_sees_the_other_pods),
        ("a token bound to a pod names the pod", a_token_bound_to_a_pod_names_the_pod),
        ("a push reaches an aggregated API with the pod's identity", a_push_arrives_with_the_pods_identity),
        ("the autoscaler asks both metrics APIs", the_autoscaler_asks_both_metrics_apis),
        ("the manifests bring ringside up", ringside_in_cluster::the_manifests_bring_ringside_up),
        ("kubectl top shows what containers do", answers::kubectl_top_shows_what_containers_do),
        ("the metrics API answers as JSON and as a table", answers::the_metrics_api_answers_as_json_and_as_a_table),
        ("no account and no node speaks for another", answers::no_account_and_no_node_speaks_for_another),
        ("workloads are scaled up and down", scaling::workloads_are_scaled_by_cpu_and_by_a_custom_metric),
        ("a new aggregator knows what was before it", failures::a_new_aggregator_knows_what_was_before_it),
        (
            "an outage of the API server leaves no gap and ends no pod",
            failures::an_outage_of_the_api_server_leaves_no_gap,
        ),
        ("an OOM kill is told once", failures::an_oom_kill_is_told_once_with_the_limit_and_the_last_values),
        ("the cluster by workload, namespace and label", answers::the_cluster_is_shown_by_workload_namespace_and_label),
    ];
    let begin = std::time::Instant::now();
    for (name, step) in steps {
        shown!("e2e: {:3.0} s: {name}", begin.elapsed().as_secs_f64());
        step(&cluster);
    }
    shown!("e2e: {:3.0} s: all steps are done", begin.elapsed().as_secs_f64());
    shown!("{}", cluster.kubectl(&["get", "nodes,pods", "-o", "wide"]));
}

fn the_node_is_ready(cluster: &Cluster) {
    let nodes = cluster.get_json(&["nodes"]);
    assert_eq!(nodes["items"].as_array().unwrap().len(), 1);
    let node = &nodes["items"][0];
    assert_eq!(node["metadata"]["name"], NODE);
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v1.20.2");
    assert!(node["status"]["nodeInfo"]["containerRuntimeVersion"].as_str().unwrap().starts_with("containerd://"));
    assert_eq!(node["status"]["addresses"][0]["address"], cluster.host_address());
}

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: lab.test/busybox:lab
        command: ["/bin/sh", "-c", "while true; do true; done"]
        resources: { requests: { cpu: 50m, memory: 16Mi }, limits: { cpu: 100m, memory: 32Mi } }
"#;

fn the_pods_of_a_deployment_run(cluster: &Cluster) {
    cluster.apply(WEB);
    let pods = cluster.wait_pods_ready("default", "app=web", 2);
    for pod in &pods {
        let cgroup = container_cgroup(pod);
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory"];
        assert!(roots.iter().any(|root| Path::new(root).join(&cgroup).is_dir()), "no cgroup {cgroup}");
    }
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let reach = "nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null && echo reached";
    assert_eq!(cluster.kubectl(&["exec", name, "--", "sh", "-c", reach]).trim(), "reached");
}

const SERVICES: &str = r#"
apiVersion: v1
kind: Service
metadata: { name: greets }
spec: { selector: { app: greets }, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: greets-headless }
spec: { selector: { app: greets }, clusterIP: None, ports: [{ port: 8080 }] }
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: greets }
spec:
  selector: { matchLabels: { app: greets } }
  template:
    metadata: { labels: { app: greets } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: greets
        image: lab.test/busybox:lab
        command: ["/bin/sh", "-c", "mkdir /www; echo hello >/www/page; exec httpd -f -p 8080 -h /www"]
"#;

fn a_service_is_reached_by_its_name(cluster: &Cluster) {
    cluster.apply(SERVICES);
    let pods = cluster.wait_pods_ready("default", "app=greets", 1);
    let ip = pods[0]["status"]["podIP"].as_str().unwrap();
    let (pod, _) = pod_of_web(cluster);
    // busybox, being static, asks the DNS by nslookup only.
    let address_of = |name: &str| {
        cluster.wait_until(&format!("an address of {name}"), Duration::from_secs(180), || {
            let said = cluster.try_kubectl(&["exec", &pod, "--", "nslookup", "-type=a", name]);
            let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
            let answers = said.split_once("Name:").map(|(_, answers)| answers.to_owned()).ok_or(said)?;
            Ok(answers.split("Address:").nth(1).unwrap_or_default().trim().to_owned())
        })
    };
    let service_ip = cluster.get_json(&["service", "greets"])["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert_eq!(address_of("greets.default.svc.cluster.local"), service_ip);
    assert_eq!(address_of("greets-headless.default.svc.cluster.local"), ip);

    let get = format!("printf 'GET /page HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {service_ip} 80 | tail -n 1");
    let from_a_pod = || {
        let output = cluster.try_kubectl(&["exec", &pod, "--", "sh", "-c", &get]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.trim() == "hello" { Ok(()) } else { Err(format!("{output:?}")) }
    };
    cluster.wait_until("the page through the Service", Duration::from_secs(180), from_a_pod);
}

/// As unprivileged as a node agent can be: no root, no capabilities, nothing writable.
const AGENT: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: agent }
spec:
  selector: { matchLabels: { app: agent } }
  template:
    metadata: { labels: { app: agent } }
    spec:
      hostPID: true
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 5
      securityContext: { runAsNonRoot: true, runAsUser: 65534, runAsGroup: 65534 }
      containers:
      - name: agent
        image: lab.test/ringside:e2e
        args: [agent, --insecure-listen, "0.0.0.0:9750", --procfs, /host/proc, --cgroupfs, /host/cgroup]
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: { drop: [ALL] }
        readinessProbe: { httpGet: { path: /readyz, port: 9750 }, periodSeconds: 1 }
        volumeMounts:
        - { name: proc, mountPath: /host/proc, readOnly: true }
        - { name: cgroup, mountPath: /host/cgroup, readOnly: true }
      volumes:
      - { name: proc, hostPath: { path: /proc } }
      - { name: cgroup, hostPath: { path: /sys/fs/cgroup } }
"#;

fn an_agent_in_a_pod_sees_the_other_pods(cluster: &Cluster) {
    cluster.import_ringside("lab.test/ringside:e2e");
    cluster.apply(AGENT);
    let agents = cluster.wait_pods_ready("default", "app=agent", 1);
    let address = format!("{}:9750", agents[0]["status"]["podIP"].as_str().unwrap()).parse().unwrap();
    let pod = cluster.get_json(&["pods", "-l", "app=web"])["items"][0].take();
    let id = format!("/{}", container_cgroup(&pod));
    let id = [("id", id.as_str())];
    let scrape = cluster.wait_until("a scrape with the pod's container", Duration::from_secs(180), || {
        let response = http::get(address, "/metrics", &[])?;
        let scrape = Scrape::parse(response.text());
        if scrape.has("container_cpu_usage_seconds_total", &id) { Ok(scrape) } else { Err(response.text().to_owned()) }
    });
    assert_eq!(scrape.value("container_spec_memory_limit_bytes", &id), f64::from(32 << 20));
    assert_eq!(scrape.value("container_spec_cpu_quota", &id), 10_000.0);
    assert!(scrape.value("container_cpu_usage_seconds_total", &id) > 0.0);
    assert!(scrape.value("container_memory_working_set_bytes", &id) > 0.0);
    let info = &scrape.find("container_info", &id)[0].labels;
    assert_eq!(info["pod_uid"], pod["metadata"]["uid"].as_str().unwrap());
    assert_eq!(info["qos"], "burstable");
}

/// The cgroup of a pod's only container, relative to a hierarchy's root.
fn container_cgroup(pod: &serde_json::Value) -> String {
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let container = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
    let container = container.strip_prefix("containerd://").unwrap();
    format!("kubelet/kubepods/burstable/pod{uid}/{container}")
}

fn pod_of_web(cluster: &Cluster) -> (String, String) {
    let pod = cluster.get_json(&["pods", "-l", "app=web"])["items"][0]["metadata"].take();
    (pod["name"].as_str().unwrap().to_owned(), pod["uid"].as_str().unwrap().to_owned())
}

fn a_token_bound_to_a_pod_names_the_pod(cluster: &Cluster) {
    let (pod, uid) = pod_of_web(cluster);
    let token = cluster.token_for("default", "default", Some(&pod), &["ringside"]);
    let review = |spec: serde_json::Value| {
        let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec });
        let output = cluster.try_post("/apis/authentication.k8s.io/v1/tokenreviews", &review);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["status"].take()
    };

    let status = review(json!({ "token": token, "audiences": ["ringside"] }));
    assert_eq!(status["authenticated"], true, "{status}");
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:default");
    let extra = json!({
        "authentication.kubernetes.io/pod-name": [pod],
        "authentication.kubernetes.io/pod-uid": [uid],
    });
    assert_eq!(status["user"]["extra"], extra);
    assert_eq!(status["audiences"], json!(["ringside"]));

    // A token for the aggregator is of no use at the API server, and the other way round.
    assert_ne!(review(json!({ "token": token }))["authenticated"], true);
    let as_agent = cluster.kubeconfig_with_token(&token);
    let output = cluster.try_kubectl_with(&as_agent, &["get", "pods"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("You must be logged in to the server"), "{output:?}");
}

const INGEST: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: may-push }
rules: [{ apiGroups: [ingest.ringside.dev], resources: [nodes/samples], verbs: [create] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: may-push }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: may-push }
subjects: [{ kind: ServiceAccount, namespace: default, name: agent }]
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: agent }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: stranger }
---
apiVersion: v1
kind: Pod
metadata: { name: pushes, namespace: default, labels: { app: pushes } }
spec:
  serviceAccountName: agent
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  containers:
  - name: sleeps
    image: lab.test/busybox:lab
    volumeMounts: [{ name: api, mountPath: /var/run/secrets/kubernetes.io/serviceaccount }]
  volumes:
  - name: api
    projected:
      sources:
      - serviceAccountToken: { path: token, expirationSeconds: 3600 }
      - configMap: { name: kube-root-ca.crt, items: [{ key: ca.crt, path: ca.crt }] }
"#;

fn a_push_arrives_with_the_pods_identity(cluster: &Cluster) {
    cluster.apply(INGEST);
    let pod = cluster.wait_pods_ready("default", "app=pushes", 1).remove(0);
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let stand_in = StandIn::start(cluster, "ingest", discovery_and_created);
    cluster.add_api_service("ingest.ringside.dev", "v1alpha1", "ingest");
    let body = cluster.folder().join("push");
    std::fs::write(&body, "{\"a\":\"push\"}").unwrap();
    let path = format!("/apis/ingest.ringside.dev/v1alpha1/nodes/{NODE}/samples");
    let push = |token: &str, path: &str| {
        let kubeconfig = cluster.kubeconfig_with_token(token);
        cluster.try_kubectl_with(&kubeconfig, &["create", "--raw", path, "-f", body.to_str().unwrap()])
    };
    // As the kubelet put it there.
    let token =
        cluster.kubectl(&["exec", "pushes", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token"]);

    let output = push(&token, &path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = stand_in.wait_for(cluster, "the push", |seen| seen.method == "POST");
    assert_eq!(seen.path, path);
    assert_eq!(seen.body, std::fs::read(&body).unwrap());
    assert_eq!(seen.header("x-remote-user"), ["system:serviceaccount:default:agent"]);
    assert_eq!(
        seen.header("x-remote-group"),
        ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    );
    assert_eq!(seen.header("x-remote-extra-authentication.kubernetes.io%2fpod-name"), ["pushes"]);
    assert_eq!(seen.header("x-remote-extra-authentication.kubernetes.io%2fpod-uid"), [uid]);
    assert_eq!(seen.header("authorization"), [""; 0], "the API server must keep the token to itself");

    // The wrong account and the wrong resource do not get as far as the aggregated API.
    let before = stand_in.seen().iter().filter(|seen| seen.method == "POST").count();
    let other = format!("/apis/ingest.ringside.dev/v1alpha1/nodes/{NODE}/status");
    let stranger = cluster.token_for("default", "stranger", None, &[]);
    for output in [push(&stranger, &path), push(&token, &other)] {
        assert!(String::from_utf8_lossy(&output.stderr).contains("Forbidden"), "{output:?}");
    }
    assert_eq!(stand_in.seen().iter().filter(|seen| seen.method == "POST").count(), before);
    cluster.kubectl(&["delete", "apiservice", "v1alpha1.ingest.ringside.dev"]);
}

fn discovery_and_created(seen: &Seen) -> Answer {
    if seen.method == "POST" {
        return (201, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }));
    }
    (200, json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "", "resources": [] }))
}

const AUTOSCALER: &str = r#"
apiVersion: autoscaling/v2beta2
kind: HorizontalPodAutoscaler
metadata: { name: web }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: web }
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - type: Resource
    resource: { name: cpu, target: { type: Utilization, averageUtilization: 50 } }
  - type: Pods
    pods: { metric: { name: cpu_pressure }, target: { type: AverageValue, averageValue: "1" } }
"#;

fn the_autoscaler_asks_both_metrics_apis(cluster: &Cluster) {
    let stand_in = StandIn::start(cluster, "metrics", discovery_and_created);
    cluster.add_api_service("metrics.k8s.io", "v1beta1", "metrics");
    cluster.add_api_service("custom.metrics.k8s.io", "v1beta2", "metrics");
    cluster.apply(AUTOSCALER);
    for start in [
        "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=app%3Dweb",
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/cpu_pressure?labelSelector=app%3Dweb",
    ] {
        let seen = stand_in.wait_for(cluster, start, |seen| seen.path.replace("%2A", "*").starts_with(start));
        assert_eq!(seen.header("x-remote-user"), ["system:serviceaccount:kube-system:horizontal-pod-autoscaler"]);
        assert_eq!(seen.header("accept"), ["application/vnd.kubernetes.protobuf, */*"]);
    }
    cluster.kubectl(&["delete", "hpa", "web"]);
    cluster.kubectl(&["delete", "apiservice", "v1beta1.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"]);
}
