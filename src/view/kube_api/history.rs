//! `history.ringside.dev`: time series of nodes, namespaces, workloads, pods, containers and the whole cluster.
//!
//! In: an address, and `metric`, `last` or `start` and `end`, `step`, `by`, `labelSelector`. Out: a `TimeSeriesList`, or one
//! `TimeSeries`. An answer has a bounded number of points, known before anything is read. `containers` are named
//! `POD:CONTAINER` and `workloads` `KIND:NAME`: neither a pod's nor a controller's name can hold a colon.
//! Next: [`super::source`], [`super::series_text`].

use std::sync::Arc;
use std::time::Duration;

use super::Api;
use super::accept::{Form, Shape};
use super::answer::ApiAnswer;
use super::discovery::{self, HISTORY};
use super::path::Resource;
use super::selector::{FieldSelector, LabelSelector};
use super::series::SeriesMetric;
use super::series_text;
use super::source::SeriesQuestion;
use super::status::Status;
use crate::store::cluster::GroupBy;
use crate::units::UnixNanos;
use crate::view::api::{Query, parse_duration, parse_instant};

/// Points of one series at most.
const MOST_POINTS: u64 = 11_000;
/// Points of one answer at most: some 15 MB of JSON.
const MOST_POINTS_TOGETHER: usize = 600_000;
const DEFAULT_LAST: Duration = Duration::from_secs(15 * 60);
const DEFAULT_STEP: Duration = Duration::from_secs(15);

/// What is asked, and how it is told again in the answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: SeriesQuestion,
    /// What a series is of, as it is written in a request.
    pub(super) by: String,
    /// The one object that is wanted, by its name here.
    pub(super) name: Option<String>,
    /// Whether the answer is that object itself and no list: nothing but its own grouping was asked for.
    pub(super) is_get: bool,
}

pub(super) async fn answer(api: &Arc<Api>, found: &Resource, query: &Query, form: Form) -> Result<ApiAnswer, Status> {
    let asked = Asked::parse(found, query, (api.now)())?;
    let turn = api.whole.turn().await?;
    let mut series = api.history.series(asked.question.clone()).await?;
    if let Some(name) = &asked.name {
        series.retain(|one| series_text::object_name(&found.resource, &one.group).is_none_or(|own| own == *name));
    }
    let points: usize = series.iter().map(|one| one.points.len()).sum();
    if points > MOST_POINTS_TOGETHER {
        return Err(Status::bad_request(format!(
            "the answer would have {points} points in {} series, and {MOST_POINTS_TOGETHER} are the most; ask for less \
             time, a longer step, one namespace, or group them with by=",
            series.len()
        )));
    }
    if asked.name.is_some() && series.is_empty() {
        let name = asked.name.unwrap_or_default();
        let message = format!("there is no {} of {} {name:?} in this time", asked.question.metric.name, found.resource);
        return Err(Status::unknown(message).about(HISTORY.name, &found.resource, &name));
    }
    let kind = discovery::series_kind(&found.resource).unwrap_or_default();
    let written = tokio::task::spawn_blocking(move || match form.shape {
        Shape::Table(version) => series_text::table(&asked, version, &series),
        Shape::Whole | Shape::Partial(_) => series_text::json(&asked, kind, &series),
    });
    let written = written.await;
    drop(turn);
    let body = written.map_err(|_| Status::internal("the answer could not be written; the log says more"))?;
    api.whole.answer(form.content_type(), body.into())
}

impl Asked {
    fn parse(found: &Resource, query: &Query, now: UnixNanos) -> Result<Self, Status> {
        let unknown = || {
            Status::unknown(format!(
                "there is no history of {:?}; there is one of clusters, nodes, namespaces, workloads, pods and containers",
                found.resource
            ))
        };
        if !found.subresource.is_empty() {
            return Err(unknown());
        }
        let (default_by, is_namespaced) = match found.resource.as_str() {
            "clusters" => (GroupBy::Cluster, false),
            "nodes" => (GroupBy::Node, false),
            "namespaces" => (GroupBy::Namespace, false),
            "workloads" => (GroupBy::Workload, true),
            "pods" => (GroupBy::Pod, true),
            "containers" => (GroupBy::Container, true),
            _ => return Err(unknown()),
        };
        if is_namespaced && !found.name.is_empty() && found.namespace.is_empty() {
            return Err(unknown());
        }
        let by = query.get("by").map(group_by).transpose()?.unwrap_or_else(|| default_by.clone());
        let labels =
            LabelSelector::parse(query.get("labelSelector").unwrap_or_default()).map_err(Status::bad_request)?;
        let fields =
            FieldSelector::parse(query.get("fieldSelector").unwrap_or_default()).map_err(Status::bad_request)?;
        let metric = SeriesMetric::named(query.get("metric").unwrap_or("cpu_usage_cores"))?;
        if metric.is_of_nodes_only() && !matches!(by, GroupBy::Node | GroupBy::Cluster) {
            return Err(Status::bad_request(format!("only nodes have {}; ask for nodes, or by=node", metric.name)));
        }
        // Whole seconds read better, and nothing is measured between them.
        let now = UnixNanos(now.0 / 1_000_000_000 * 1_000_000_000);
        let (from, to) = span(query, now)?;
        let step = step(query, from, to)?;
        let name = Some(found.name.as_str()).filter(|name| !name.is_empty()).or_else(|| fields.only_name());
        let namespace = Some(found.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let mut question = SeriesQuestion {
            metric,
            by,
            namespace: namespace.or_else(|| fields.only_namespace()).map(str::to_owned),
            node: query.get("node").map(str::to_owned),
            pod: None,
            labels,
            from,
            to,
            step,
        };
        // Where the store can narrow by the name, it does; the rest is left out of its answer.
        match (found.resource.as_str(), name) {
            ("nodes", Some(name)) => question.node = Some(name.to_owned()),
            ("namespaces", Some(name)) => question.namespace = Some(name.to_owned()),
            ("pods", Some(name)) => question.pod = Some(name.to_owned()),
            ("containers", Some(name)) => {
                question.pod = name.split_once(':').map(|(pod, _)| pod.to_owned());
            }
            ("clusters", Some(name)) if name != "cluster" => {
                return Err(Status::not_found(HISTORY.name, "clusters", name));
            }
            _ => {}
        }
        let by = group_word(&question.by);
        let is_get = !found.name.is_empty() && found.resource.strip_suffix('s') == Some(&by);
        Ok(Self { question, by, name: name.map(str::to_owned), is_get })
    }
}

fn group_by(text: &str) -> Result<GroupBy, Status> {
    Ok(match text {
        "cluster" => GroupBy::Cluster,
        "node" => GroupBy::Node,
        "namespace" => GroupBy::Namespace,
        "workload" => GroupBy::Workload,
        "pod" => GroupBy::Pod,
        "container" => GroupBy::Container,
        other => match other.split_once('=') {
            Some(("label", key)) if !key.is_empty() => GroupBy::Label(Arc::from(key)),
            _ => {
                return Err(Status::bad_request(format!(
                    "by={other}: write cluster, node, namespace, workload, pod, container or label=KEY"
                )));
            }
        },
    })
}

fn group_word(by: &GroupBy) -> String {
    match by {
        GroupBy::Cluster => "cluster".to_owned(),
        GroupBy::Node => "node".to_owned(),
        GroupBy::Namespace => "namespace".to_owned(),
        GroupBy::Workload => "workload".to_owned(),
        GroupBy::Pod => "pod".to_owned(),
        GroupBy::Container => "container".to_owned(),
        GroupBy::Label(key) => format!("label={key}"),
    }
}

/// From when until when.
fn span(query: &Query, now: UnixNanos) -> Result<(UnixNanos, UnixNanos), Status> {
    let bad =
        |name: &str, text: &str, how: &str| Status::bad_request(format!("{name}={text} cannot be read; write {how}"));
    let instant = |name: &str, text: &str| {
        parse_instant(text, now).ok_or_else(|| {
            bad(name, text, "RFC 3339 (2026-03-01T12:00:00Z), unix seconds, or a time before now (-10m)")
        })
    };
    let to = match (query.get("end"), query.get("at")) {
        (Some(_), Some(_)) => return Err(Status::bad_request("end and at say the same; give one of them")),
        (Some(end), None) => instant("end", end)?,
        (None, Some(at)) if parse_duration(at).is_some() => instant("at", &format!("-{at}"))?,
        (None, Some(at)) => instant("at", at)?,
        (None, None) => now,
    };
    let from = match (query.get("start"), query.get("last")) {
        (Some(_), Some(_)) => return Err(Status::bad_request("start and last say the same; give one of them")),
        (Some(start), None) => instant("start", start)?,
        (None, last) => {
            let last = match last {
                Some(text) => {
                    parse_duration(text).ok_or_else(|| bad("last", text, "a number with a unit, such as 15m"))?
                }
                None => u64::try_from(DEFAULT_LAST.as_nanos()).unwrap_or(u64::MAX),
            };
            UnixNanos(to.0.saturating_sub(last))
        }
    };
    if from >= to {
        return Err(Status::bad_request("the time ends before it begins; start must be before end"));
    }
    Ok((from, to))
}

fn step(query: &Query, from: UnixNanos, to: UnixNanos) -> Result<Duration, Status> {
    let span = to.0.saturating_sub(from.0);
    let step = match query.get("step") {
        Some(text) => parse_duration(text).filter(|step| *step >= 1_000_000_000).ok_or_else(|| {
            Status::bad_request(format!(
                "step={text} cannot be read; write a number with a unit, such as 15s; 1s is the least"
            ))
        })?,
        // A step that nobody chose grows with the time.
        None => {
            let seconds = span.div_ceil(MOST_POINTS).div_ceil(1_000_000_000);
            Duration::from_secs(seconds).max(DEFAULT_STEP).as_secs() * 1_000_000_000
        }
    };
    if span / step > MOST_POINTS {
        let least = span.div_ceil(MOST_POINTS).div_ceil(1_000_000_000);
        return Err(Status::bad_request(format!(
            "a series would have {} points, and {MOST_POINTS} are the most; use step={least}s or more",
            span / step
        )));
    }
    Ok(Duration::from_nanos(step))
}
