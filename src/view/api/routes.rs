//! Which path is answered by what, and how each is documented.
//!
//! In: store, path, query, instant. Out: an [`Answer`]. The attributes on the handlers are what `/openapi.json` says;
//! a test holds the two lists together.

use std::sync::Arc;

use serde::Serialize;

use crate::sample::catalogue::Table;
use crate::sample::{NodeSample, Subject, SubjectId};
use crate::store::query::QueryError;
use crate::store::{Store, StoreError};
use crate::view::Answer;

use super::agent::StoreState;
use super::container::{self, Container, ContainerList, Filter};
use super::diff::{self, Diff, DiffSort, Side};
use super::find::find;
use super::history::{self, CONTAINER_PARTS, History, MAX_POINTS, NODE_PARTS, Range, TierSpan, Wanted};
use super::metrics::{self, MetricList};
use super::node::{self, Node};
use super::openapi;
use super::past::{self, HistoryExtent, Seen};
use super::pod::{self, PodList};
use super::problem::{Problem, nearest};
use super::request::{Query, percent_decode};
use super::scene::{Now, Scene, pod_uid};
use super::select::{self, HistoryList};
use super::time::rfc3339;

const PREFIX: &str = "/api/v1/";

/// Paths below the prefix that `view/remote` answers.
const NOT_OURS: [&str; 2] = ["export", "read"];

/// Everything a handler may look at.
#[derive(Debug, Clone, Copy)]
struct Request<'a> {
    store: &'a Store,
    query: &'a Query,
    now: Now,
}

/// Answers a request; `None` when the path is not one of the API's.
pub(super) fn answer(store: &Store, path: &str, query: Option<&str>, now: Now) -> Option<Answer> {
    if path == "/openapi.json" {
        return Some(json(&openapi::document()).unwrap_or_else(|problem| problem.into_answer(path)));
    }
    let rest = path.strip_prefix(PREFIX)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if NOT_OURS.contains(&rest) {
        return None;
    }
    let query = &Query::parse(query);
    let request = Request { store, query, now };
    let answered = match rest {
        "diff" => get_diff(request),
        "node" => get_node(request),
        "node/history" => get_node_history(request),
        "containers" => get_containers(request),
        "history" => get_history(request),
        "pods" => get_pods(request),
        "metrics" => get_metrics(request),
        "ring" => get_ring(request),
        _ => match rest.strip_prefix("containers/").map(|rest| (rest, rest.strip_suffix("/history"))) {
            Some((_, Some(id))) => get_container_history(request, &percent_decode(id)),
            Some((id, None)) => get_container(request, &percent_decode(id)),
            None => Err(unknown_path(path)),
        },
    };
    Some(answered.unwrap_or_else(|problem| problem.into_answer(path)))
}

fn unknown_path(path: &str) -> Problem {
    let known = openapi::paths();
    let near = nearest(path, known.iter().map(String::as_str));
    let hint = near.map_or_else(String::new, |near| format!("; the nearest is {near}"));
    Problem::unknown_path(format!("nothing is served at {path}{hint}. /openapi.json lists every path"))
}

fn json(value: &impl Serialize) -> Result<Answer, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::not_serialisable(error.to_string()))?;
    Ok(Answer { status: 200, content_type: "application/json", body })
}

impl Request<'_> {
    fn with_scene<T>(&self, read: impl FnOnce(&Scene<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        Seen::ask(self.store, self.query, "at", self.now)?.with_scene(self.now, read)
    }

    fn find(&self, id: &str) -> Result<Arc<Subject>, Problem> {
        let newest = self.store.latest().ok_or_else(Problem::no_sample)?;
        find(id, &newest, &self.store.remembered())
    }

    /// The history of one column. `owner` is the container, or `None` for the node's own.
    fn history(&self, id: String, subject: SubjectId, wanted: &Wanted, of: Option<String>) -> Result<Answer, Problem> {
        let range = Range::parse(self.query, wanted.metric, self.now)?;
        let read = self.store.over_time(subject, wanted.column, range.span(), range.over_time(), MAX_POINTS);
        let (points, tiers) = read.map_err(|error| match error {
            QueryError::Store(StoreError::UnknownSubject) => Problem::no_history(format!(
                "{error}; what is kept begins at {}",
                self.store.stats().oldest.map_or_else(|| "the next tick".to_owned(), rfc3339)
            )),
            other => select::refused(&other),
        })?;
        json(&History {
            id,
            metric: wanted.name(),
            of,
            unit: history::unit(wanted.metric, range.function),
            kind: wanted.metric.kind.as_str().to_owned(),
            function: range.function,
            q: range.q,
            step_seconds: range.step_nanos.map(|nanos| nanos as f64 / 1e9),
            start: rfc3339(range.start),
            end: rfc3339(range.end),
            tiers: TierSpan::all(&tiers),
            points: history::stamped(&points),
        })
    }

    /// The cgroup at which a container's network is counted: the container, or another one of its pod.
    fn network_owner(&self, cgroup: &Subject, newest: &NodeSample) -> SubjectId {
        let remembered = self.store.remembered();
        let living = newest.roster.subjects(Table::Interface).iter();
        let interfaces = living.chain(remembered.iter().rev().map(|known| &known.subject));
        let interfaces = interfaces.filter(|subject| subject.table == Table::Interface);
        let uid = cgroup.workload.as_deref().and_then(pod_uid);
        let of_pod = |subject: &&Arc<Subject>| uid.is_some() && subject.workload.as_deref().and_then(pod_uid) == uid;
        let own = interfaces.clone().find(|subject| subject.owner == Some(cgroup.id));
        let found = own.or_else(|| interfaces.clone().find(of_pod));
        found.and_then(|interface| interface.owner).unwrap_or(cgroup.id)
    }

    /// The row of a table that a container or the node has several of: the one named, or the only one.
    fn part(&self, owner: Option<SubjectId>, wanted: &Wanted, newest: &NodeSample) -> Result<Arc<Subject>, Problem> {
        let remembered = self.store.remembered();
        let living = newest.roster.subjects(wanted.table).iter();
        let mut parts: Vec<_> = living.filter(|subject| subject.owner == owner).collect();
        let gone = remembered.iter().rev().map(|known| &known.subject);
        let known: Vec<_> = parts.iter().map(|subject| Arc::clone(&subject.name)).collect();
        parts.extend(gone.filter(|subject| {
            subject.table == wanted.table && subject.owner == owner && !known.contains(&subject.name)
        }));
        let names = || parts.iter().map(|subject| &*subject.name).collect::<Vec<_>>().join(", ");
        let parameter = history::prefix(wanted.table);
        match (&wanted.of, parts.as_slice()) {
            (_, []) => Err(Problem::no_history(format!("it has no {parameter}"))),
            (None, [only]) => Ok(Arc::clone(only)),
            (None, _) => {
                Err(Problem::bad_parameter(format!("which {parameter}? Add {parameter}= one of: {}", names())))
            }
            (Some(name), several) => {
                let named = several.iter().find(|subject| *subject.name == **name);
                named.map(|subject| Arc::clone(subject)).ok_or_else(|| {
                    Problem::bad_parameter(format!("there is no {parameter} '{name}'; there is: {}", names()))
                })
            }
        }
    }
}

/// The machine, what it uses and how the agent is, now or in the past.
#[utoipa::path(get, path = "/api/v1/node", tag = "node", params(
    ("at" = Option<String>, Query, description = "As it was at this instant: RFC 3339, unix seconds, relative to now \
        (`-10m`) or `oldest`; now when not given or not before the newest tick", example = "-1s"),
), responses(
    (status = 200, description = "The node at the newest tick, or at the newest that is not later than `at`", body = Node),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "History does not reach back so far; the detail says where it begins", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing was sampled yet", body = Problem, content_type = "application/problem+json"),
))]
fn get_node(request: Request<'_>) -> Result<Answer, Problem> {
    request.query.only(&["at"])?;
    let newest = request.store.latest().map(|newest| newest.wall);
    let state = StoreState::read(&request.store.stats(), newest);
    json(&request.with_scene(|scene| Ok(node::read(scene, state)))?)
}

/// Every container of the node; with `all` every cgroup.
#[utoipa::path(get, path = "/api/v1/containers", tag = "containers", params(
    ("all" = Option<bool>, Query, description = "Also pods, sandboxes, services, slices and all other cgroups"),
    ("kind" = Option<String>, Query, description = "Only these kinds, separated by commas: `container,sandbox`", example = "container"),
    ("namespace" = Option<String>, Query, description = "Only this Kubernetes namespace"),
    ("pod" = Option<String>, Query, description = "Only this pod"),
    ("name" = Option<String>, Query, description = "Only this name: the container's in its pod, or the runtime's"),
    ("gone" = Option<bool>, Query, description = "Also those that have ended and whose history is still kept"),
    ("at" = Option<String>, Query, description = "As they were at this instant; as for the node", example = "-1s"),
), responses(
    (status = 200, description = "The containers at the newest tick, or at the newest that is not later than `at`", body = ContainerList),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "History does not reach back so far", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing was sampled yet", body = Problem, content_type = "application/problem+json"),
))]
fn get_containers(request: Request<'_>) -> Result<Answer, Problem> {
    let filter = Filter::parse(request.query, &["at"])?;
    let list = request.with_scene(|scene| Ok::<ContainerList, _>(container::list(scene, request.store, &filter)))?;
    json(&list)
}

/// One container.
#[utoipa::path(get, path = "/api/v1/containers/{id}", tag = "containers", params(
    ("id" = String, Path, description = "Container ID or a unique beginning of 6 or more characters, name, \
        namespace/pod/container, or cgroup path; slashes as `%2F`", example = "%2Fsystem.slice%2Fssh.service"),
    ("at" = Option<String>, Query, description = "As it was at this instant; as for the node", example = "-1s"),
), responses(
    (status = 200, description = "The container at the tick, or what is remembered of it when it had ended", body = Container),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none, or was none then, or history does not reach back so far", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "There are several", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing was sampled yet", body = Problem, content_type = "application/problem+json"),
))]
fn get_container(request: Request<'_>, id: &str) -> Result<Answer, Problem> {
    request.query.only(&["at"])?;
    let seen = Seen::ask(request.store, request.query, "at", request.now)?;
    let subject = find(id, seen.newest(), &request.store.remembered())?;
    json(&seen.with_scene(request.now, |scene| container::one(scene, request.store, &subject))?)
}

/// One metric of one container over time, also after it has ended.
#[utoipa::path(get, path = "/api/v1/containers/{id}/history", tag = "history", params(
    ("id" = String, Path, description = "As for the container", example = "my-namespace%2Fmy-pod%2Fmy-container"),
    ("metric" = String, Query, description = "A name of `/api/v1/metrics`: `cpu_usage_usec`, `device.io_r_bytes`, \
        `interface.rx_bytes`, `hugetlb.hugetlb_current_bytes`", example = "memory_current_bytes"),
    ("device" = Option<String>, Query, description = "Which block device, for `device.…`; not needed when it has one"),
    ("interface" = Option<String>, Query, description = "Which network interface, for `interface.…`"),
    ("hugetlb" = Option<String>, Query, description = "Which huge page size, for `hugetlb.…`"),
    ("start" = Option<String>, Query, description = "RFC 3339, unix seconds, `now` or relative to now (`-15m`); \
        15 minutes before the end when not given", example = "-15m"),
    ("end" = Option<String>, Query, description = "As `start`; now when not given"),
    ("step" = Option<String>, Query, description = "`500ms`, `1s`, `5m`: one point for each step, null where nothing \
        was read; every point when not given", example = "1s"),
    ("fn" = Option<String>, Query, description = "`last` (the raw value, the default), `rate` (per second) or \
        `increase` of a counter, `min`, `max`, `avg` or `quantile`", example = "last"),
    ("q" = Option<f64>, Query, description = "Which quantile, for `fn=quantile`: 0.99; where history is kept in \
        buckets, of their last values"),
), responses(
    (status = 200, description = "The points, at most 11,000", body = History),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such container or metric, or no history is kept", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Several containers fit", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Too many points: use a larger step", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing was sampled yet", body = Problem, content_type = "application/problem+json"),
))]
fn get_container_history(request: Request<'_>, id: &str) -> Result<Answer, Problem> {
    let wanted = Wanted::parse(request.query, Table::Cgroup, CONTAINER_PARTS)?;
    let cgroup = request.find(id)?;
    let shown_id = cgroup.workload.as_deref().map_or_else(String::new, |workload| container::id_of(&cgroup, workload));
    if wanted.table == Table::Cgroup {
        return request.history(shown_id, cgroup.id, &wanted, None);
    }
    let newest = request.store.latest().ok_or_else(Problem::no_sample)?;
    let owner = match wanted.table {
        Table::Interface => request.network_owner(&cgroup, &newest),
        _ => cgroup.id,
    };
    let part = request.part(Some(owner), &wanted, &newest)?;
    request.history(shown_id, part.id, &wanted, Some(part.name.to_string()))
}

/// One metric of the node over time.
#[utoipa::path(get, path = "/api/v1/node/history", tag = "history", params(
    ("metric" = String, Query, description = "A name of `/api/v1/metrics`: `cpu_user_ticks`, `disk.disk_reads`, \
        `interface.rx_bytes`, `filesystem.filesystem_free_bytes`", example = "meminfo_mem_available_bytes"),
    ("cpu" = Option<String>, Query, description = "Which CPU, for `cpu.…`", example = "cpu0"),
    ("disk" = Option<String>, Query, description = "Which block device, for `disk.…`"),
    ("interface" = Option<String>, Query, description = "Which network interface, for `interface.…`"),
    ("filesystem" = Option<String>, Query, description = "Which mount point, for `filesystem.…`", example = "/"),
    ("start" = Option<String>, Query, description = "As for a container's history", example = "-15m"),
    ("end" = Option<String>, Query, description = "As `start`; now when not given"),
    ("step" = Option<String>, Query, description = "As for a container's history", example = "10s"),
    ("fn" = Option<String>, Query, description = "As for a container's history", example = "avg"),
    ("q" = Option<f64>, Query, description = "As for a container's history"),
), responses(
    (status = 200, description = "The points, at most 11,000", body = History),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such metric, or no history is kept", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Too many points: use a larger step", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing was sampled yet", body = Problem, content_type = "application/problem+json"),
))]
fn get_node_history(request: Request<'_>) -> Result<Answer, Problem> {
    let wanted = Wanted::parse(request.query, Table::Node, NODE_PARTS)?;
    let newest = request.store.latest().ok_or_else(Problem::no_sample)?;
    let part = request.part(None, &wanted, &newest)?;
    let of = (wanted.table != Table::Node).then(|| part.name.to_string());
    request.history("node".to_owned(), part.id, &wanted, of)
}

/// One metric of everything that a selector fits, over time, also of what has ended.
#[utoipa::path(get, path = "/api/v1/history", tag = "history", params(
    ("select" = String, Query, description = "A name of `/api/v1/metrics` and conditions on labels: \
        `cpu_usage_usec{namespace=\"shop\",pod=~\"web-.*\"}`. A name that a cgroup and the node both have is the cgroup's; \
        `node.` before it means the node's. Labels: `id` (cgroup path), `kind`, `name`, `namespace`, `pod`, `pod_uid`, \
        `container`, `container_id`, `outer_container`, `image`, `runtime`, `qos`, `device`, `interface`, `pagesize`, \
        `cpu`, `mountpoint`, `fstype`, and the runtime's own as `label_…`",
        example = "cpu_usage_usec{kind=\"container\"}"),
    ("start" = Option<String>, Query, description = "As for a container's history", example = "-15m"),
    ("end" = Option<String>, Query, description = "As `start`; now when not given"),
    ("step" = Option<String>, Query, description = "As for a container's history; needed with `by` and `agg`", example = "10s"),
    ("fn" = Option<String>, Query, description = "As for a container's history", example = "rate"),
    ("q" = Option<f64>, Query, description = "As for a container's history"),
    ("by" = Option<String>, Query, description = "Labels, separated by commas: what agrees in them becomes one series"),
    ("agg" = Option<String>, Query, description = "`sum` (with `by` the default), `avg`, `min` or `max` of what becomes \
        one series; without `by` of everything"),
    ("top" = Option<u64>, Query, description = "Only this many series: those with the largest mean, the largest first"),
), responses(
    (status = 200, description = "At most 1,000 series of 11,000 points and 250,000 points together", body = HistoryList),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such metric", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Too many points or series: ask for less", body = Problem, content_type = "application/problem+json"),
))]
fn get_history(request: Request<'_>) -> Result<Answer, Problem> {
    json(&select::list(request.store, request.query, request.now)?)
}

/// What each pod uses.
#[utoipa::path(get, path = "/api/v1/pods", tag = "pods", params(
    ("namespace" = Option<String>, Query, description = "Only this Kubernetes namespace"),
    ("name" = Option<String>, Query, description = "Only the pod of this name"),
    ("at" = Option<String>, Query, description = "As they were at this instant; as for the node", example = "-1s"),
), responses(
    (status = 200, description = "The pods at the newest tick, or at the newest that is not later than `at`", body = PodList),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "History does not reach back so far", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing was sampled yet", body = Problem, content_type = "application/problem+json"),
))]
fn get_pods(request: Request<'_>) -> Result<Answer, Problem> {
    let list: PodList = request.with_scene(|scene| pod::list(scene, request.query))?;
    json(&list)
}

/// What changed between two moments: the node and each container at both, with the change.
#[utoipa::path(get, path = "/api/v1/diff", tag = "history", params(
    ("from" = String, Query, description = "What is compared with: RFC 3339, unix seconds, relative to now (`-20m`) or \
        `oldest`", example = "oldest"),
    ("to" = Option<String>, Query, description = "What is compared; now when not given. It may lie before `from`", example = "now"),
    ("sort" = Option<String>, Query, description = "The number whose change comes first: `cpu` (the default), \
        `memory`, `io`, `net`, `throttled`, `pressure`, `pids`, `oom_kills`; or `name`", example = "memory"),
    ("all" = Option<bool>, Query, description = "Every cgroup; as for the containers"),
    ("kind" = Option<String>, Query, description = "Only these kinds; as for the containers", example = "container"),
    ("namespace" = Option<String>, Query, description = "Only this Kubernetes namespace"),
    ("pod" = Option<String>, Query, description = "Only this pod"),
    ("name" = Option<String>, Query, description = "Only this name"),
), responses(
    (status = 200, description = "Both moments, each at the newest tick that is not later", body = Diff),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "History does not reach back so far", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing was sampled yet", body = Problem, content_type = "application/problem+json"),
))]
fn get_diff(request: Request<'_>) -> Result<Answer, Problem> {
    let Request { store, query, now } = request;
    let filter = Filter::parse(query, &["from", "to", "sort"])?;
    if query.get("from").is_none() || query.flag("gone").unwrap_or(true) {
        let why = "say from when with from=-20m, and with to=-10m until when if that is not now; gone is always shown";
        return Err(Problem::bad_parameter(why.to_owned()));
    }
    let sort = DiffSort::parse(query.get("sort"))?;
    let side = |parameter| {
        let seen = Seen::ask(store, query, parameter, now)?;
        Ok(seen.with_scene(now, |scene| Side::read(scene, &filter)))
    };
    json(&diff::diff(side("from")?, side("to")?, sort))
}

/// How far back one can go, and how finely.
#[utoipa::path(get, path = "/api/v1/ring", tag = "history", responses(
    (status = 200, description = "The oldest and newest instant that `at` may ask for", body = HistoryExtent),
))]
fn get_ring(request: Request<'_>) -> Result<Answer, Problem> {
    request.query.only(&[])?;
    json(&past::extent(request.store))
}

/// Every metric whose history is kept.
#[utoipa::path(get, path = "/api/v1/metrics", tag = "history", responses(
    (status = 200, description = "The catalogue", body = MetricList),
))]
fn get_metrics(request: Request<'_>) -> Result<Answer, Problem> {
    request.query.only(&[])?;
    json(&metrics::list())
}
