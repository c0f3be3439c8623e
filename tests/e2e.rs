//! End to end, against a real control plane.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use support::cluster::{Cluster, NODE, Parts};

#[test]
fn a_cluster() {
    let cluster = Cluster::start(Parts::Node);
    println!("{}", cluster.kubectl(&["get", "nodes,pods,sa", "-A", "-o", "wide"]));
    let _ = NODE;
    cluster.apply(r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: default }
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: lab.test/busybox:lab
        command: ["/bin/sh", "-c", "while :; do :; done"]
        resources: { requests: { cpu: 50m, memory: 16Mi }, limits: { cpu: 100m, memory: 32Mi } }
"#);
    let pods = cluster.wait_pods_ready("default", "app=web", 3);
    println!("{}", cluster.kubectl(&["get", "pods", "-A", "-o", "wide"]));
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    println!("{}", cluster.kubectl(&["exec", name, "--", "sh", "-c", "cat /proc/1/cgroup; cat /etc/resolv.conf; ls /var/run/secrets/kubernetes.io/serviceaccount; nc -w 2 $KUBERNETES_SERVICE_HOST 443 </dev/null && echo reached; env | grep KUBE"]));
    println!("{}", cluster.kubectl(&["logs", name]));
    println!("{}", cluster.kubectl(&["get", "cm", "-A"]));
    if std::env::var_os("WAIT").is_some() { println!("{}", cluster.kubeconfig().display()); std::thread::sleep(std::time::Duration::from_secs(600)); }
}
