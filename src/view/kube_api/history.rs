//! `history.ringside.dev`: time series of nodes, namespaces, workloads, pods, containers and the whole cluster.
//!
//! In: an address, and `metric`, `last` or `start` and `end`, `step`, `by`, `labelSelector`. Out: a `TimeSeriesList`, or one
//! `TimeSeries`. An answer has a bounded number of points, known before anything is read. `containers` are named
//! `POD:CONTAINER` and `workloads` `KIND:NAME`: neither a pod's nor a controller's name can hold a colon.
//! Next: [`super::source`].

use std::sync::Arc;
use std::time::Duration;

use super::Api;
use super::answer::ApiAnswer;
use super::discovery::HISTORY;
use super::path::Resource;
use super::selector::{FieldSelector, LabelSelector};
use super::series::SeriesMetric;
use super::source::SeriesQuestion;
use super::status::Status;
use super::text::{go_duration, string, time};
use crate::store::cluster::{GroupBy, HistorySeries};
use crate::units::UnixNanos;
use crate::view::api::{Query, parse_duration, parse_instant};

/// Points of one series at most.
const MOST_POINTS: u64 = 11_000;
/// Points of one answer at most: some 15 MB of JSON.
const MOST_POINTS_TOGETHER: usize = 600_000;
const DEFAULT_LAST: Duration = Duration::from_secs(15 * 60);
const DEFAULT_STEP: Duration = Duration::from_secs(15);

/// What is asked, and how it is told again in the answer.
struct Asked {
    question: SeriesQuestion,
    by: String,
    /// The one object that is wanted, by its name here.
    name: Option<String>,
}

pub(super) async fn answer(api: &Arc<Api>, found: &Resource, query: &Query) -> Result<ApiAnswer, Status> {
    let asked = Asked::parse(found, query, (api.now)())?;
    let mut series = api.history.series(asked.question.clone()).await?;
    if let Some(name) = &asked.name {
        series.retain(|one| object_name(&found.resource, &one.group).is_none_or(|own| own == *name));
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
    let resource = found.resource.clone();
    let written = tokio::task::spawn_blocking(move || write(&asked, &resource, &series)).await;
    let body = written.map_err(|_| Status::internal("the answer could not be written; the log says more"))?;
    Ok(ApiAnswer::json(200, body))
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
        Ok(Self { question, by, name: name.map(str::to_owned) })
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

fn label<'a>(group: &'a [(Arc<str>, Arc<str>)], key: &str) -> Option<&'a str> {
    group.iter().find(|(name, _)| &**name == key).map(|(_, value)| &**value)
}

/// What an object is called in its resource.
fn object_name(resource: &str, group: &[(Arc<str>, Arc<str>)]) -> Option<String> {
    let own = |key| label(group, key).map(str::to_owned);
    match resource {
        "clusters" => Some("cluster".to_owned()),
        "nodes" => own("node"),
        "namespaces" => own("namespace"),
        "pods" => own("pod"),
        "workloads" => Some(format!("{}:{}", label(group, "workload_kind")?.to_lowercase(), label(group, "workload")?)),
        "containers" => Some(format!("{}:{}", label(group, "pod")?, label(group, "container")?)),
        _ => None,
    }
}

/// What a group is called: its object's name, or the values that tell it from the others.
fn group_name(by: &GroupBy, group: &[(Arc<str>, Arc<str>)]) -> String {
    let resource = match by {
        GroupBy::Cluster => "clusters",
        GroupBy::Node => "nodes",
        GroupBy::Namespace => "namespaces",
        GroupBy::Workload => "workloads",
        GroupBy::Pod => "pods",
        GroupBy::Container => "containers",
        GroupBy::Label(key) => return label(group, key).unwrap_or_default().to_owned(),
    };
    object_name(resource, group).unwrap_or_default()
}

fn write(asked: &Asked, resource: &str, series: &[HistorySeries]) -> Vec<u8> {
    let mut out = Vec::new();
    let one = series.first().filter(|_| asked.name.is_some() && asked.is_one(resource) && series.len() == 1);
    if let Some(one) = one {
        write_series(&mut out, asked, one, true);
    } else {
        out.extend_from_slice(b"{\"kind\":\"TimeSeriesList\",\"apiVersion\":\"");
        out.extend_from_slice(HISTORY.group_version().as_bytes());
        out.extend_from_slice(b"\",\"metadata\":{},");
        write_common(&mut out, asked);
        out.extend_from_slice(b",\"items\":[");
        for (place, one) in series.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write_series(&mut out, asked, one, false);
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b'\n');
    out
}

impl Asked {
    /// Whether the answer is one object: nothing but its own grouping was asked for.
    fn is_one(&self, resource: &str) -> bool {
        resource.strip_suffix('s') == Some(&self.by)
    }
}

fn write_common(out: &mut Vec<u8>, asked: &Asked) {
    let question = &asked.question;
    let mut field = |name: &str, value: &str| {
        out.extend_from_slice(format!("\"{name}\":").as_bytes());
        string(out, value);
        out.push(b',');
    };
    field("metric", &question.metric.name);
    field("unit", question.metric.unit);
    field("by", &asked.by);
    field("start", &time(question.from));
    field("end", &time(question.to));
    out.extend_from_slice(b"\"step\":\"");
    go_duration(out, question.step);
    out.push(b'"');
}

fn write_series(out: &mut Vec<u8>, asked: &Asked, series: &HistorySeries, alone: bool) {
    out.push(b'{');
    if alone {
        out.extend_from_slice(b"\"kind\":\"TimeSeries\",\"apiVersion\":\"");
        out.extend_from_slice(HISTORY.group_version().as_bytes());
        out.extend_from_slice(b"\",");
    }
    out.extend_from_slice(b"\"metadata\":{\"name\":");
    string(out, &group_name(&asked.question.by, &series.group));
    let is_namespaced = matches!(asked.question.by, GroupBy::Workload | GroupBy::Pod | GroupBy::Container);
    if let Some(namespace) = label(&series.group, "namespace").filter(|_| is_namespaced) {
        out.extend_from_slice(b",\"namespace\":");
        string(out, namespace);
    }
    out.extend_from_slice(b"},");
    if alone {
        write_common(out, asked);
        out.push(b',');
    }
    out.extend_from_slice(b"\"group\":{");
    for (place, (key, value)) in series.group.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        string(out, key);
        out.push(b':');
        string(out, value);
    }
    out.extend_from_slice(b"},\"points\":[");
    let mut first = true;
    for (at, value) in series.points.iter().filter(|(_, value)| value.is_finite()) {
        out.extend_from_slice(if std::mem::take(&mut first) { b"[" } else { b",[" });
        out.extend_from_slice(unix_seconds(*at).as_bytes());
        out.push(b',');
        // JSON has no sign for what is not finite, and there is none left.
        out.extend_from_slice(zmij::Buffer::new().format_finite(*value).as_bytes());
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
}

/// Seconds since 1970, with milliseconds where there are any.
fn unix_seconds(at: UnixNanos) -> String {
    let (seconds, millis) = (at.millis() / 1_000, at.millis() % 1_000);
    if millis == 0 { seconds.to_string() } else { format!("{seconds}.{millis:03}") }
}
