//! Where histories and custom metrics come from: the cluster's own store, or another engine.
//!
//! In: a question that was understood. Out: series or newest values in base units, or why there are none. The store is
//! asked on a thread that may take long. Next: `super::custom`, `super::history`; the other engine is [`super::backend`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::selector::LabelSelector;
use super::series::SeriesMetric;
use super::status::Status;
use crate::store::cluster::{
    ClusterStore, GroupBy, HistoryQuery, HistorySeries, Metric, MetricKind, MetricSet, NodeUsage, PodRecord, PodUsage,
    Readings,
};
use crate::units::UnixNanos;

/// Time series of one metric.
#[derive(Debug, Clone)]
pub struct SeriesQuestion {
    /// Which metric.
    pub metric: &'static SeriesMetric,
    /// What a series is of.
    pub by: GroupBy,
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only this node.
    pub node: Option<String>,
    /// Only the pod of this name.
    pub pod: Option<String>,
    /// Only pods whose labels fit.
    pub labels: LabelSelector,
    /// From when.
    pub from: UnixNanos,
    /// Until when.
    pub to: UnixNanos,
    /// Distance of the points.
    pub step: Duration,
}

/// What a newest value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// A pod.
    Pod,
    /// A node.
    Node,
}

/// The newest values of one metric.
#[derive(Debug, Clone)]
pub struct NewestQuestion {
    /// Which metric.
    pub metric: &'static SeriesMetric,
    /// Of what.
    pub of: Object,
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only this one.
    pub name: Option<String>,
    /// Only objects whose labels fit.
    pub labels: LabelSelector,
}

/// One newest value.
#[derive(Debug, Clone, PartialEq)]
pub struct Newest {
    /// Empty for a node.
    pub namespace: Arc<str>,
    /// Whose.
    pub name: Arc<str>,
    /// When it was read.
    pub at: UnixNanos,
    /// Over which time before it was measured; zero for a gauge.
    pub window: Duration,
    /// The value in the metric's unit.
    pub value: f64,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It cannot be reached, or failed; try again.
    #[error("{0}")]
    Unavailable(String),
    /// It did not answer in time; ask for less.
    #[error("{0}")]
    Late(String),
    /// The answer is larger than is read; ask for less.
    #[error("{0}")]
    TooLarge(String),
    /// It has nothing of this kind; ask for another metric.
    #[error("{0}")]
    NotHere(String),
}

impl From<SourceError> for Status {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Unavailable(why) => Self::unavailable(why),
            SourceError::Late(why) => Self::timeout(why),
            SourceError::TooLarge(why) => Self::bad_request(why),
            SourceError::NotHere(why) => Self::unknown(why),
        }
    }
}

/// An answer that may take a while.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Whoever knows the past.
pub trait HistorySource: Send + Sync {
    /// Time series, in the metric's unit.
    fn series(&self, question: SeriesQuestion) -> Answering<'_, Vec<HistorySeries>>;
    /// Newest values, ascending by namespace and name.
    fn newest(&self, question: NewestQuestion) -> Answering<'_, Vec<Newest>>;
}

/// The cluster's own store.
#[derive(Debug, Clone)]
pub struct StoreSource {
    store: ClusterStore,
    now: fn() -> UnixNanos,
}

impl StoreSource {
    /// The store, and the wall clock by which values are too old.
    #[must_use]
    pub fn new(store: ClusterStore, now: fn() -> UnixNanos) -> Self {
        Self { store, now }
    }
}

impl HistorySource for StoreSource {
    fn series(&self, question: SeriesQuestion) -> Answering<'_, Vec<HistorySeries>> {
        let store = self.store.clone();
        Box::pin(on_a_thread(move || series(&store, &question)))
    }

    fn newest(&self, question: NewestQuestion) -> Answering<'_, Vec<Newest>> {
        let (store, now) = (self.store.clone(), (self.now)());
        Box::pin(on_a_thread(move || newest(&store, &question, now)))
    }
}

async fn on_a_thread<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Result<T, SourceError> {
    let asked = tokio::task::spawn_blocking(ask).await;
    asked.map_err(|_| SourceError::Unavailable("the store failed while it was asked; its log says more".to_owned()))
}

fn series(store: &ClusterStore, question: &SeriesQuestion) -> Vec<HistorySeries> {
    let chosen = |pod: &PodRecord| {
        question.labels.fits(&pod.labels) && question.pod.as_deref().is_none_or(|name| name == &*pod.name)
    };
    let is_narrowed = !question.labels.is_empty() || question.pod.is_some();
    let mut found = store.history(&HistoryQuery {
        metric: question.metric.metric,
        by: question.by.clone(),
        namespace: question.namespace.as_deref(),
        node: question.node.as_deref(),
        name: None,
        // Without a condition on pods, nodes answer for themselves.
        pods: is_narrowed.then_some(&chosen),
        from: question.from,
        to: question.to,
        step: question.step,
    });
    for one in &mut found {
        one.points.iter_mut().for_each(|(_, value)| *value *= question.metric.factor);
    }
    found
}

fn newest(store: &ClusterStore, question: &NewestQuestion, now: UnixNanos) -> Vec<Newest> {
    let metric = question.metric;
    match question.of {
        Object::Node => {
            let nodes = match &question.name {
                Some(name) => store.node(name, now).into_iter().collect(),
                None => store.nodes(now),
            };
            let of_node = |node: &NodeUsage| {
                let value = value_of(&node.readings, metric)?;
                let window = window_of(&node.readings, metric);
                let (namespace, name) = (Arc::from(""), node.node.name.clone());
                Some(Newest { namespace, name, at: node.readings.timestamp, window, value })
            };
            nodes.iter().filter(|node| question.labels.fits(&node.node.labels)).filter_map(of_node).collect()
        }
        Object::Pod => {
            let mut found = Vec::new();
            let mut add = |pod: PodUsage| found.extend(newest_of_pod(&pod, metric));
            match (&question.namespace, &question.name) {
                (Some(namespace), Some(name)) => {
                    let pod = store.pod(namespace, name, now);
                    pod.filter(|pod| question.labels.fits(&pod.pod.labels)).into_iter().for_each(&mut add);
                }
                (namespace, name) => store.each_pod_of(
                    namespace.as_deref(),
                    now,
                    MetricSet::of(&[metric.metric]),
                    &|pod| name.as_deref().is_none_or(|name| name == &*pod.name) && question.labels.fits(&pod.labels),
                    &mut add,
                ),
            }
            found
        }
    }
}

/// A pod's own value, or the sum of its containers'.
fn newest_of_pod(pod: &PodUsage, metric: &SeriesMetric) -> Option<Newest> {
    let (namespace, name) = (pod.pod.namespace.clone(), pod.pod.name.clone());
    if metric.is_of_pods()
        && let Some(value) = value_of(&pod.readings, metric)
    {
        let window = window_of(&pod.readings, metric);
        return Some(Newest { namespace, name, at: pod.readings.timestamp, window, value });
    }
    let mut sum: Option<f64> = None;
    let mut earliest: Option<&Readings> = None;
    for (_, readings) in &pod.containers {
        let Some(value) = value_of(readings, metric) else {
            if metric.is_limit() {
                return None;
            }
            continue;
        };
        sum = Some(sum.unwrap_or_default() + value);
        if earliest.is_none_or(|earliest| readings.timestamp < earliest.timestamp) {
            earliest = Some(readings);
        }
    }
    let earliest = earliest?;
    Some(Newest { namespace, name, at: earliest.timestamp, window: window_of(earliest, metric), value: sum? })
}

fn value_of(readings: &Readings, metric: &SeriesMetric) -> Option<f64> {
    let value = if is_counter(metric.metric) {
        readings.per_second(metric.metric)?
    } else {
        #[expect(clippy::cast_precision_loss, reason = "above 2^53 a float is near enough")]
        let value = readings.get(metric.metric)? as f64;
        value
    };
    Some(value * metric.factor)
}

fn window_of(readings: &Readings, metric: &SeriesMetric) -> Duration {
    if is_counter(metric.metric) { readings.window } else { Duration::ZERO }
}

fn is_counter(metric: Metric) -> bool {
    metric.info().kind == MetricKind::Counter
}
