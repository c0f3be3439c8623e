//! Stub, until the branch of the store is merged.
#![allow(missing_docs)]
use super::cluster_store::ClusterStore;
use super::metric::Metric;
use super::record::PodRecord;
use crate::units::UnixNanos;
use std::sync::Arc;
use std::time::Duration;
/// What a series stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// Everything.
    Cluster,
    /// Each node.
    Node,
    /// Each namespace.
    Namespace,
    /// Each workload: kind and name in a namespace.
    Workload,
    /// Each pod.
    Pod,
    /// Each container of each pod, by name: a restarted one goes on.
    Container,
    /// Each value of this label of pods; a pod without it counts for the empty value.
    Label(Arc<str>),
}

/// A question.
#[derive(Clone)]
pub struct HistoryQuery<'a> {
    /// What.
    pub metric: Metric,
    /// For whom each.
    pub by: GroupBy,
    /// Pods of this namespace only.
    pub namespace: Option<&'a str>,
    /// This node, or pods on it, only.
    pub node: Option<&'a str>,
    /// Only the group of this name: of the node, namespace, workload, pod (with all its containers) or label value.
    pub name: Option<&'a str>,
    /// Only pods for which this holds. Without it and without a namespace, nodes and the cluster are what the nodes
    /// themselves read, which is more than the sum of their pods.
    pub pods: Option<&'a dyn Fn(&PodRecord) -> bool>,
    /// The first point.
    pub from: UnixNanos,
    /// No point is behind it.
    pub to: UnixNanos,
    /// From point to point; zero is one point at `from`.
    pub step: Duration,
}

/// An answer's series.
#[derive(Debug, Clone, PartialEq)]
pub struct HistorySeries {
    /// Labels that name the group: `node`; `namespace`; `workload_kind`, `workload`; `pod`; `container`; or the label.
    pub group: Vec<(Arc<str>, Arc<str>)>,
    /// Points, ascending; there is none where nothing is known.
    pub points: Vec<(UnixNanos, f64)>,
}

impl ClusterStore {
    pub fn history(&self, _query: &HistoryQuery<'_>) -> Vec<HistorySeries> {
        Vec::new()
    }
}
