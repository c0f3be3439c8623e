//! What the API server says about nodes and pods, and what was measured of them: the plain data of the cluster's store.
//!
//! In: filled by the watches and by the store. Out: the types that the APIs show. Next: [`super`].

use std::sync::Arc;
use std::time::Duration;

use super::metric::{Metric, MetricKind};
use crate::units::UnixNanos;

/// Labels of an object, ascending by key.
pub type LabelMap = Arc<[(Arc<str>, Arc<str>)]>;

/// What keeps a pod running: the controller at the top of its owner references.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadRef {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `Job`, `CronJob`, `ReplicaSet`, … or `Pod` for a pod without an owner.
    pub kind: Arc<str>,
    /// Its name in the pod's namespace.
    pub name: Arc<str>,
}

/// A node as the API server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.labels`.
    pub labels: LabelMap,
}

/// A pod as the API server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRecord {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `spec.nodeName`; empty while the pod is not placed.
    pub node: Arc<str>,
    /// `metadata.labels`.
    pub labels: LabelMap,
    /// Its workload.
    pub workload: WorkloadRef,
    /// `status.phase` is `Succeeded` or `Failed`.
    pub finished: bool,
}

/// The newest values of one container, pod or node, and the counters' values at the beginning of the window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readings {
    /// When the newest values were read.
    pub timestamp: UnixNanos,
    /// How long before it the earlier values were read; zero while there are none.
    pub window: Duration,
    values: Vec<(Metric, u64, Option<u64>)>,
}

impl Readings {
    /// Readings from (metric, newest value, value at the beginning of the window), in any order.
    #[must_use]
    pub fn new(timestamp: UnixNanos, window: Duration, mut values: Vec<(Metric, u64, Option<u64>)>) -> Self {
        values.sort_unstable_by_key(|(metric, ..)| *metric);
        Self { timestamp, window, values }
    }

    /// The newest value; `None` is absent.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<u64> {
        let place = self.values.binary_search_by_key(&metric, |(metric, ..)| *metric).ok()?;
        self.values.get(place).map(|(_, newest, _)| *newest)
    }

    /// How much a counter grew in the window; `None` for a gauge, without an earlier value, or after a reset.
    #[must_use]
    pub fn increase(&self, metric: Metric) -> Option<u64> {
        if metric.info().kind != MetricKind::Counter || self.window.is_zero() {
            return None;
        }
        let place = self.values.binary_search_by_key(&metric, |(metric, ..)| *metric).ok()?;
        let (_, newest, earlier) = self.values.get(place)?;
        newest.checked_sub((*earlier)?)
    }

    /// Growth per second of a counter in the window.
    #[must_use]
    pub fn per_second(&self, metric: Metric) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "2^53 units in one window are not reached")]
        self.increase(metric).map(|increase| increase as f64 / self.window.as_secs_f64())
    }

    /// CPU use over the window in thousand-millionths of a CPU, as `metrics.k8s.io` has it.
    #[must_use]
    pub fn cpu_nanocores(&self) -> Option<u64> {
        let increase = u128::from(self.increase(Metric::CpuUsageUsec)?);
        u64::try_from(increase * 1_000 * 1_000_000_000 / self.window.as_nanos()).ok()
    }

    /// All values: metric, newest, at the beginning of the window; ascending by metric.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, u64, Option<u64>)> + '_ {
        self.values.iter().copied()
    }
}

/// A node and what was measured of it.
#[derive(Debug, Clone)]
pub struct NodeUsage {
    /// Who.
    pub node: Arc<NodeRecord>,
    /// What.
    pub readings: Readings,
}

/// A pod and what was measured of it.
#[derive(Debug, Clone)]
pub struct PodUsage {
    /// Who.
    pub pod: Arc<PodRecord>,
    /// The pod's own: its cgroup and its network.
    pub readings: Readings,
    /// Its containers that run, ascending by name.
    pub containers: Vec<(Arc<str>, Readings)>,
}
