//! The real autoscaler, by what ringside tells it.
//!
//! In: a cluster in which ringside runs. Out: a step of `tests/e2e.rs`. Which load a pod has is set from outside, so that both
//! directions are seen.

use std::time::Duration;

use crate::support::cluster::Cluster;

/// For scaling: what the autoscaler waits, and pods that start.
const SCALED: Duration = Duration::from_secs(240);

/// `burst` computes while there is a file /tmp/busy; in `crowd` there are as many processes as somebody starts.
const WORKLOADS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: scaled }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: burst, namespace: scaled }
spec:
  selector: { matchLabels: { app: burst } }
  template:
    metadata: { labels: { app: burst } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: burst
        image: lab.test/busybox:lab
        command: ["/bin/sh", "-c", "while true; do if [ -e /tmp/busy ]; then i=0; while [ $i -lt 9999 ]; do i=$((i+1)); done; else sleep 0.2; fi; done"]
        resources: { requests: { cpu: 50m }, limits: { cpu: 150m, memory: 32Mi } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: crowd, namespace: scaled }
spec:
  selector: { matchLabels: { app: crowd } }
  template:
    metadata: { labels: { app: crowd } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: crowd
        image: lab.test/busybox:lab
        command: ["/bin/sh", "-c", "while true; do sleep 1; done"]
        resources: { limits: { cpu: 100m, memory: 32Mi } }
---
apiVersion: autoscaling/v2beta2
kind: HorizontalPodAutoscaler
metadata: { name: burst, namespace: scaled }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: burst }
  minReplicas: 1
  maxReplicas: 2
  metrics:
  - type: Resource
    resource: { name: cpu, target: { type: Utilization, averageUtilization: 80 } }
---
apiVersion: autoscaling/v2beta2
kind: HorizontalPodAutoscaler
metadata: { name: crowd, namespace: scaled }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: crowd }
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - type: Pods
    pods: { metric: { name: pids }, target: { type: AverageValue, averageValue: "5" } }
"#;

pub fn workloads_are_scaled_by_cpu_and_by_a_custom_metric(cluster: &Cluster) {
    cluster.apply(WORKLOADS);
    let first = |app: &str| {
        let pods = cluster.wait_pods_ready("scaled", &format!("app={app}"), 1);
        pods[0]["metadata"]["name"].as_str().unwrap().to_owned()
    };
    let (burst, crowd) = (first("burst"), first("crowd"));
    let in_pod = |pod: &str, command: &str| cluster.kubectl(&["exec", "-n", "scaled", pod, "--", "sh", "-c", command]);
    let wait_replicas = |deployment: &str, count: u64| {
        cluster.wait_until(&format!("{count} replicas of {deployment}"), SCALED, || {
            let spec = cluster.get_json(&["-n", "scaled", "deployment", deployment]);
            if spec["spec"]["replicas"] == count && spec["status"]["readyReplicas"] == count {
                Ok(())
            } else {
                Err(cluster.kubectl(&["describe", "hpa", "-n", "scaled", deployment]))
            }
        });
    };
    let show = || {
        shown!(
            "$ kubectl get hpa,deployments -n scaled\n{}",
            cluster.kubectl(&["get", "hpa,deployments", "-n", "scaled"])
        )
    };

    // The autoscaler has seen the low load, and leaves it at one.
    for hpa in ["burst", "crowd"] {
        cluster.wait_until(&format!("{hpa} with its metric"), SCALED, || {
            let status =
                cluster.get_json(&["-n", "scaled", "horizontalpodautoscalers.v2beta2.autoscaling", hpa])["status"]
                    .take();
            if status["currentMetrics"][0].is_object() { Ok(()) } else { Err(status.to_string()) }
        });
    }
    in_pod(&burst, "touch /tmp/busy");
    in_pod(&crowd, "for i in 1 2 3 4 5 6 7 8 9 10 11; do sleep 1000000 >/dev/null 2>&1 & done");
    // 150m are more than twice 80 % of 50m, and 12 or 13 processes are more than twice 5.
    wait_replicas("burst", 2);
    wait_replicas("crowd", 3);
    show();
    in_pod(&burst, "rm /tmp/busy");
    in_pod(&crowd, "killall sleep");
    wait_replicas("burst", 1);
    wait_replicas("crowd", 1);
    show();
    cluster.kubectl(&["delete", "namespace", "scaled", "--wait=false"]);
}
