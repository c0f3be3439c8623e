//! cAdvisor's events, from the agent's.
//!
//! In: plain [`Event`]s, and a query. Out: those that are asked for, as cAdvisor writes them. As there, a parameter that
//! cannot be understood counts as not given. It keeps no events. Next: `routes`.

use serde::{Deserialize, Serialize};

use super::Refused;
use super::fill::time;
use crate::units::UnixNanos;
use crate::view::api::{Query, parse_instant};
use crate::view::events::EventLog;
use crate::view::events::event::{Draft, Kind, Number};

/// Most events of an answer that says no number.
const MOST_EVENTS: usize = 10;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A cgroup's memory limit was hit.
    Oom,
    /// A process was killed for it.
    OomKill {
        /// Its ID.
        pid: u32,
        /// Its name.
        process_name: String,
        /// The kernel's word for what was short: `CONSTRAINT_MEMCG`.
        constraint: String,
    },
    /// A container came.
    Creation,
    /// A container went.
    Deletion {
        /// Exit status of its first process, where it is known.
        exit_code: Option<i32>,
    },
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Path of the container's cgroup.
    pub container: String,
    /// When.
    pub at: UnixNanos,
    /// What.
    pub what: What,
}

/// The agent's events that cAdvisor has too, the oldest first.
#[must_use]
pub fn of_log(log: &EventLog) -> Vec<Event> {
    log.all().iter().flat_map(|event| of_draft(&event.what)).collect()
}

/// An OOM kill is two events there: the limit that was hit, and the process that was killed for it.
fn of_draft(draft: &Draft) -> Vec<Event> {
    let Some(container) = draft.who.as_ref().and_then(|who| who.cgroup.clone()) else { return Vec::new() };
    let event = |what| Event { container: container.clone(), at: draft.time, what };
    match draft.kind {
        Kind::Created => vec![event(What::Creation)],
        Kind::Exited => {
            let exit_code = match draft.figure("exit_code") {
                Some(Number::Signed(code)) => i32::try_from(code).ok(),
                _ => None,
            };
            vec![event(What::Deletion { exit_code })]
        }
        Kind::OomKilled => {
            let (process_name, pid) = draft.victim.clone().unwrap_or_default();
            let constraint = "CONSTRAINT_MEMCG".to_owned();
            vec![event(What::Oom), event(What::OomKill { pid, process_name, constraint })]
        }
        _ => Vec::new(),
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    container_name: String,
    timestamp: String,
    event_type: String,
    event_data: Data,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Data {
    #[serde(skip_serializing_if = "Option::is_none")]
    oom: Option<OomData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_deletion: Option<DeletionData>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OomData {
    pid: u32,
    process_name: String,
    constraint: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DeletionData {
    exit_code: i32,
}

impl What {
    const fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Oom => ("oom", "oom_events"),
            Self::OomKill { .. } => ("oomKill", "oom_kill_events"),
            Self::Creation => ("containerCreation", "creation_events"),
            Self::Deletion { .. } => ("containerDeletion", "deletion_events"),
        }
    }
}

fn flag(query: &Query, name: &str) -> bool {
    query.get(name).is_some_and(|word| matches!(word, "1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// The events of a container that a query asks for, oldest first, as JSON.
///
/// # Errors
/// [`Refused`] when they are asked for as a stream, or cannot be written.
pub(super) fn events(all: &[Event], container: &str, query: &Query) -> Result<Vec<u8>, Refused> {
    if flag(query, "stream") {
        return Err(Refused::NotImplemented("events are not streamed here: leave out stream".to_owned()));
    }
    let most = query.get("max_events").and_then(|text| text.parse::<i64>().ok());
    let most = match most {
        // As in cAdvisor, a negative number is no bound.
        Some(most) => usize::try_from(most).unwrap_or(usize::MAX),
        None => MOST_EVENTS,
    };
    let instant = |name| query.get(name).and_then(|text| parse_instant(text, UnixNanos(0)));
    let (start, end) = (instant("start_time"), instant("end_time"));
    let below = flag(query, "subcontainers");
    let is_of = |event: &&Event| {
        let rest = event.container.strip_prefix(container.trim_end_matches('/'));
        event.container == container || (below && rest.is_some_and(|rest| rest.starts_with('/')))
    };
    let is_asked = |event: &&Event| flag(query, "all_events") || flag(query, event.what.kind().1);
    let is_in = |event: &&Event| start.is_none_or(|start| start <= event.at) && end.is_none_or(|end| event.at <= end);
    let mut chosen: Vec<&Event> = all.iter().filter(is_of).filter(is_asked).filter(is_in).collect();
    chosen.sort_by_key(|event| event.at);
    let newest = chosen.get(chosen.len().saturating_sub(most)..).unwrap_or_default();
    let written: Vec<_> = newest.iter().map(|event| write(event)).collect();
    serde_json::to_vec(&written).map_err(|error| Refused::Failed(error.to_string()))
}

fn write(event: &Event) -> Written {
    let event_data = match &event.what {
        What::OomKill { pid, process_name, constraint } => Data {
            oom: Some(OomData { pid: *pid, process_name: process_name.clone(), constraint: constraint.clone() }),
            ..Data::default()
        },
        What::Deletion { exit_code } => {
            Data { container_deletion: exit_code.map(|exit_code| DeletionData { exit_code }), ..Data::default() }
        }
        What::Oom | What::Creation => Data::default(),
    };
    Written {
        container_name: event.container.clone(),
        timestamp: time(event.at),
        event_type: event.what.kind().0.to_owned(),
        event_data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oom_kill_of_ours_is_two_events_of_cadvisors_and_throttling_none() {
        use crate::view::events::event::{Figure, Severity, Who};
        let who = Some(std::sync::Arc::new(Who { cgroup: Some("/docker/a".into()), ..Who::default() }));
        let draft = |kind| Draft::new(UnixNanos(7), kind, Severity::Info, who.clone(), String::new());
        let killed = Draft { victim: Some(("java".into(), 42)), ..draft(Kind::OomKilled) };
        let kill = What::OomKill { pid: 42, process_name: "java".into(), constraint: "CONSTRAINT_MEMCG".into() };
        let whats = |draft: &Draft| of_draft(draft).into_iter().map(|event| event.what).collect::<Vec<_>>();
        assert_eq!(whats(&killed), [What::Oom, kill]);
        let exit_code = Figure { name: "exit_code", number: Number::Signed(137) };
        let ended = Draft { figures: vec![exit_code], ..draft(Kind::Exited) };
        assert_eq!(whats(&ended), [What::Deletion { exit_code: Some(137) }]);
        assert_eq!(whats(&draft(Kind::Exited)), [What::Deletion { exit_code: None }]);
        assert_eq!(whats(&draft(Kind::ThrottlingBegan)), []);
        let created = of_draft(&draft(Kind::Created));
        assert_eq!(created, [Event { container: "/docker/a".into(), at: UnixNanos(7), what: What::Creation }]);
    }

    fn asked(container: &str, query: &str) -> serde_json::Value {
        let at = |seconds: u64| UnixNanos(seconds * 1_000_000_000);
        let kill = What::OomKill { pid: 7, process_name: "java".into(), constraint: "CONSTRAINT_MEMCG".into() };
        let all = [
            Event { container: "/a/b".into(), at: at(2), what: What::Deletion { exit_code: Some(137) } },
            Event { container: "/a/b".into(), at: at(1), what: kill },
            Event { container: "/a".into(), at: at(3), what: What::Creation },
            Event { container: "/ab".into(), at: at(4), what: What::Oom },
        ];
        let body = events(&all, container, &Query::parse(Some(query))).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn events_are_chosen_by_container_kind_time_and_number() {
        let kinds = |container, query| {
            let list = asked(container, query);
            let kinds = list.as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap().to_owned());
            kinds.collect::<Vec<_>>()
        };
        assert_eq!(kinds("/a", "all_events=true"), ["containerCreation"]);
        let below = ["oomKill", "containerDeletion", "containerCreation"];
        assert_eq!(kinds("/a", "all_events=true&subcontainers=true"), below);
        assert_eq!(kinds("/", "all_events=1&subcontainers=true&max_events=2"), ["containerCreation", "oom"]);
        assert_eq!(kinds("/a/b", "oom_kill_events=true"), ["oomKill"]);
        assert_eq!(kinds("/a/b", ""), [""; 0]);
        let times = "all_events=true&start_time=1970-01-01T00:00:02Z&end_time=1970-01-01T00:00:03Z";
        assert_eq!(kinds("/a/b", times), ["containerDeletion"]);
    }

    #[test]
    fn an_event_has_cadvisors_fields() {
        let want = serde_json::json!([
            { "container_name": "/a/b", "timestamp": "1970-01-01T00:00:01.000000000Z", "event_type": "oomKill",
              "event_data": { "oom": { "pid": 7, "process_name": "java", "constraint": "CONSTRAINT_MEMCG" } } },
            { "container_name": "/a/b", "timestamp": "1970-01-01T00:00:02.000000000Z", "event_type": "containerDeletion",
              "event_data": { "container_deletion": { "exit_code": 137 } } },
        ]);
        assert_eq!(asked("/a/b", "all_events=true"), want);
    }

    #[test]
    fn a_stream_is_refused_with_what_to_do() {
        let refused = events(&[], "/", &Query::parse(Some("stream=true"))).unwrap_err();
        assert!(matches!(refused, Refused::NotImplemented(text) if text.contains("leave out stream")));
    }
}
