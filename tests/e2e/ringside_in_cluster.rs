//! ringside as its manifests bring it up, and what several steps need of it.
//!
//! In: a cluster with a node. Out: agents and aggregators that run, and questions to them.

use std::time::Duration;

use serde_json::Value;

use crate::support::cluster::{Cluster, NODE};

pub const AGENTS: &str = "app.kubernetes.io/name=ringside,app.kubernetes.io/component=agent";
pub const AGGREGATORS: &str = "app.kubernetes.io/name=ringside,app.kubernetes.io/component=aggregator";

/// For what takes a push interval or two, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(150);

pub fn push_path(node: &str) -> String {
    format!("/apis/ingest.ringside.dev/v1alpha1/nodes/{node}/samples")
}

/// An answer of the history API, or why there is none: a replica that is new may have nothing to tell yet.
pub fn try_history(cluster: &Cluster, rest: &str) -> Result<Value, String> {
    let raw = cluster.get_raw(&format!("/apis/history.ringside.dev/v1alpha1/{rest}"))?;
    serde_json::from_str(&raw).map_err(|error| format!("{error}: {raw}"))
}

/// An answer of the history API that has to be there.
pub fn history(cluster: &Cluster, rest: &str) -> Value {
    try_history(cluster, rest).unwrap_or_else(|told| cluster.fail(&told))
}

/// Time in seconds and cores of the node, at each push since `last`.
pub fn node_course(cluster: &Cluster, last: &str) -> Result<Vec<(f64, f64)>, String> {
    let series = try_history(cluster, &format!("nodes/{NODE}?metric=cpu_usage_cores&last={last}&step=2s"))?;
    let points = series["points"].as_array().ok_or_else(|| series.to_string())?;
    Ok(points.iter().map(|point| (point[0].as_f64().unwrap(), point[1].as_f64().unwrap())).collect())
}

pub fn the_manifests_bring_ringside_up(cluster: &Cluster) {
    cluster.import_ringside("docker.io/library/ringside:0.1.0");
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/daemonset.yaml")).unwrap();
    // As docs/deploy.md says for API servers before 1.21.
    let manifest = manifest.replace("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n");
    // What takes minutes with a push each 15 s takes seconds.
    assert!(manifest.contains("--push-interval=15s"), "the manifests name the push interval no more");
    cluster.apply(&manifest.replace("--push-interval=15s", "--push-interval=2s"));
    cluster.wait_pods_ready("ringside", AGENTS, 1);
    cluster.wait_pods_ready("ringside", AGGREGATORS, 2);
    for (group, version) in [
        ("ingest.ringside.dev", "v1alpha1"),
        ("metrics.k8s.io", "v1beta1"),
        ("custom.metrics.k8s.io", "v1beta2"),
        ("history.ringside.dev", "v1alpha1"),
    ] {
        cluster.wait_api_service_available(group, version);
    }
}
