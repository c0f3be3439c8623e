//! `--history-backend`: histories and custom metrics from any engine that answers Prometheus' queries.
//!
//! In: a question, and pods' labels and workloads from the cluster's store, which the engine's series do not have. Out:
//! series and newest values, computed by the engine from the families that agents export. Pods that the API server has
//! forgotten count for their namespace and node, and for no workload or label. An answer is read up to 16 MiB.
//! Next: `super::promql`, which writes the query.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use super::promql::{self, By};
use super::source::{Answering, HistorySource, Newest, NewestQuestion, Object, SeriesQuestion, SourceError};
use crate::store::cluster::{ClusterStore, GroupBy, HistorySeries, PodRecord};
use crate::units::UnixNanos;
use crate::view::api::percent_encode;

/// The most bytes of an answer that are read.
const MOST_BYTES: usize = 16 << 20;
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why a URL cannot be a backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the history backend {url:?} cannot be used: {why}")]
pub struct BadBackend {
    /// What was given.
    pub url: String,
    /// What is wrong with it and how it is written.
    pub why: &'static str,
}

/// Another engine.
#[derive(Debug, Clone)]
pub struct Backend {
    base: String,
    client: Client<HttpConnector, Empty<Bytes>>,
    store: ClusterStore,
    now: fn() -> UnixNanos,
}

/// What names a group, as in [`HistorySeries`].
type GroupLabels = Vec<(Arc<str>, Arc<str>)>;

/// What an engine answers.
#[derive(Debug, Deserialize)]
struct Envelope {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    /// Of a range: unix seconds and the value as text.
    #[serde(default)]
    values: Vec<(f64, String)>,
    /// Of an instant.
    #[serde(default)]
    value: Option<(f64, String)>,
}

impl Series {
    fn label(&self, name: &str) -> &str {
        self.metric.get(name).map(String::as_str).unwrap_or_default()
    }
}

impl Backend {
    /// An engine at a URL below which `/api/v1/query` is.
    ///
    /// # Errors
    /// [`BadBackend`] when it is no URL of HTTP.
    pub fn new(url: &str, store: ClusterStore, now: fn() -> UnixNanos) -> Result<Self, BadBackend> {
        let bad = |why| BadBackend { url: url.to_owned(), why };
        let uri: Uri = url.parse().map_err(|_| bad("it is no URL; write http://HOST:PORT/PREFIX"))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("only http:// is spoken here; let a proxy in the cluster add TLS and credentials"));
        }
        if uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
            return Err(bad("write http://HOST:PORT/PREFIX, without a query"));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base: url.trim_end_matches('/').to_owned(), client, store, now })
    }

    async fn ask(&self, target: &str) -> Result<Vec<Series>, SourceError> {
        let late = |_| {
            SourceError::Late(format!("the history backend did not answer in {} s; ask for less", DEADLINE.as_secs()))
        };
        tokio::time::timeout(DEADLINE, self.asked(target)).await.map_err(late)?
    }

    async fn asked(&self, target: &str) -> Result<Vec<Series>, SourceError> {
        let unavailable = |why: String| SourceError::Unavailable(format!("the history backend {why}"));
        let uri: Uri = format!("{}{target}", self.base)
            .parse()
            .map_err(|_| SourceError::TooLarge("the query is too long for a URL; ask for fewer pods".to_owned()))?;
        let answer = self.client.get(uri).await.map_err(|error| unavailable(format!("cannot be reached: {error}")))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                SourceError::TooLarge(format!(
                    "the history backend's answer is larger than {} MiB; ask for less time, a longer step or one namespace",
                    MOST_BYTES >> 20
                ))
            } else {
                unavailable(format!("broke off: {error}"))
            }
        })?;
        let read: Envelope = serde_json::from_slice(&body.to_bytes())
            .map_err(|_| unavailable(format!("answered {status} with no Prometheus JSON; is its URL right?")))?;
        if read.status != "success" {
            return Err(unavailable(format!("answered {status}: {}", read.error)));
        }
        Ok(read.data.map(|data| data.result).unwrap_or_default())
    }

    async fn range(&self, query: &str, question: &SeriesQuestion) -> Result<Vec<Series>, SourceError> {
        let seconds = |at: UnixNanos| at.millis() as f64 / 1e3;
        let target = format!(
            "/api/v1/query_range?query={}&start={}&end={}&step={}",
            percent_encode(query),
            seconds(question.from),
            seconds(question.to),
            question.step.as_secs_f64(),
        );
        self.ask(&target).await
    }

    async fn series_of(&self, question: &SeriesQuestion) -> Result<Vec<HistorySeries>, SourceError> {
        // What only the API server knows is found out here: the engine answers by pod.
        let by_pod = matches!(question.by, GroupBy::Workload | GroupBy::Label(_)) || !question.labels.is_empty();
        let by = match &question.by {
            _ if by_pod && question.by != GroupBy::Container => By::Pod,
            GroupBy::Cluster => By::Cluster,
            GroupBy::Node => By::Node,
            GroupBy::Namespace => By::Namespace,
            GroupBy::Container => By::Container,
            GroupBy::Workload | GroupBy::Pod | GroupBy::Label(_) => By::Pod,
        };
        let query = promql::range(question, by).ok_or_else(|| not_exported(&question.metric.name))?;
        let found = self.range(&query, question).await?;
        let mut groups: BTreeMap<GroupLabels, BTreeMap<u64, f64>> = BTreeMap::new();
        for one in found {
            let pod = by_pod.then(|| self.store.pod_record(one.label("namespace"), one.label("pod"))).flatten();
            if by_pod && !pod.as_ref().is_some_and(|pod| question.labels.fits(&pod.labels)) {
                continue;
            }
            let points = groups.entry(group_of(&question.by, &one, pod.as_deref())).or_default();
            for (at, value) in &one.values {
                let Some((at, value)) = point(*at, value) else { continue };
                *points.entry(at.0).or_default() += value;
            }
        }
        let series = |(group, points): (_, BTreeMap<u64, f64>)| HistorySeries {
            group,
            points: points.into_iter().map(|(at, value)| (UnixNanos(at), value)).collect(),
        };
        Ok(groups.into_iter().map(series).filter(|series| !series.points.is_empty()).collect())
    }

    async fn newest_of(&self, question: &NewestQuestion) -> Result<Vec<Newest>, SourceError> {
        let query = promql::instant(question).ok_or_else(|| not_exported(&question.metric.name))?;
        let now = (self.now)();
        let target = format!("/api/v1/query?query={}&time={}", percent_encode(&query), now.millis() as f64 / 1e3);
        let window = promql::window_of(question.metric);
        let mut newest = Vec::new();
        for one in self.ask(&target).await? {
            let Some((at, value)) = one.value.as_ref().and_then(|(at, value)| point(*at, value)) else { continue };
            let (namespace, name) = match question.of {
                Object::Pod => (one.label("namespace"), one.label("pod")),
                Object::Node => ("", one.label(promql::NODE)),
            };
            let fits = question.labels.is_empty()
                || match question.of {
                    Object::Pod => {
                        self.store.pod_record(namespace, name).is_some_and(|pod| question.labels.fits(&pod.labels))
                    }
                    Object::Node => self.store.node_record(name).is_some_and(|node| question.labels.fits(&node.labels)),
                };
            if fits && !name.is_empty() {
                newest.push(Newest { namespace: namespace.into(), name: name.into(), at, window, value });
            }
        }
        newest.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        Ok(newest)
    }
}

impl HistorySource for Backend {
    fn series(&self, question: SeriesQuestion) -> Answering<'_, Vec<HistorySeries>> {
        Box::pin(async move { self.series_of(&question).await })
    }

    fn newest(&self, question: NewestQuestion) -> Answering<'_, Vec<Newest>> {
        Box::pin(async move { self.newest_of(&question).await })
    }
}

fn not_exported(name: &str) -> SourceError {
    SourceError::NotHere(format!("agents export no family from which a history backend could compute {name}"))
}

/// A point as engines write it; `None` when it is no finite number or of no time.
fn point(seconds: f64, value: &str) -> Option<(UnixNanos, f64)> {
    let value: f64 = value.parse().ok()?;
    if !value.is_finite() || !(0.0..1e11).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range, as was just tested")]
    let millis = (seconds * 1e3).round() as u64;
    Some((UnixNanos(millis.saturating_mul(1_000_000)), value))
}

/// The group of a series, in the words of the cluster's store.
fn group_of(by: &GroupBy, series: &Series, pod: Option<&PodRecord>) -> GroupLabels {
    let own = |name: &str, label: &str| -> (Arc<str>, Arc<str>) { (name.into(), series.label(label).into()) };
    match by {
        GroupBy::Cluster => Vec::new(),
        GroupBy::Node => {
            let node = pod.map_or_else(|| series.label(promql::NODE).into(), |pod| pod.node.clone());
            vec![("node".into(), node)]
        }
        GroupBy::Namespace => vec![own("namespace", "namespace")],
        GroupBy::Pod => vec![own("namespace", "namespace"), own("pod", "pod")],
        GroupBy::Container => vec![own("namespace", "namespace"), own("pod", "pod"), own("container", "container")],
        GroupBy::Workload => {
            let (kind, name) =
                pod.map(|pod| (pod.workload.kind.clone(), pod.workload.name.clone())).unwrap_or_default();
            vec![own("namespace", "namespace"), ("workload_kind".into(), kind), ("workload".into(), name)]
        }
        GroupBy::Label(key) => {
            let value = pod.and_then(|pod| pod.labels.iter().find(|(name, _)| name == key));
            vec![(key.clone(), value.map(|(_, value)| value.clone()).unwrap_or_default())]
        }
    }
}
