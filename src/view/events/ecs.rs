//! An event in the words of the Elastic Common Schema 8.
//!
//! In: an [`Event`]. Out: a JSON object whose keys are ECS' field names with dots, Kubernetes' as Metricbeat has them. What
//! ECS has no word for begins with `ringside.`. The fields that every line has (`@timestamp`, `log.level`, `message`,
//! `service.*`, `host.name`) are the logger's. Next: `lines.rs`.

use serde_json::{Map, Value, json};

use super::event::{Draft, Event, Kind, Number};
use crate::view::api::rfc3339;

/// `event.dataset` of lifecycle events.
pub const DATASET: &str = "ringside.events";

/// `event.category`, `event.type`.
const fn classes(kind: Kind) -> (&'static str, &'static [&'static str]) {
    match kind {
        Kind::Created => ("process", &["creation"]),
        Kind::Started => ("process", &["start"]),
        Kind::Exited => ("process", &["end"]),
        Kind::Restarted => ("process", &["start", "change"]),
        Kind::OomKilled => ("process", &["end", "error"]),
        Kind::ThrottlingBegan | Kind::ThrottlingEnded | Kind::PressureBegan | Kind::PressureEnded => {
            ("host", &["info", "change"])
        }
        Kind::TicksMissed | Kind::DiskFault => ("host", &["error"]),
        Kind::DiskRecovered => ("host", &["info"]),
    }
}

fn outcome(draft: &Draft) -> &'static str {
    match draft.kind {
        Kind::Created | Kind::Started | Kind::DiskRecovered => "success",
        Kind::OomKilled | Kind::DiskFault => "failure",
        Kind::Exited => match draft.figure("exit_code") {
            Some(Number::Signed(0)) => "success",
            Some(_) => "failure",
            None => "unknown",
        },
        _ => "unknown",
    }
}

/// The fields that this event adds to a line.
#[must_use]
pub fn fields(event: &Event) -> Value {
    let Draft { time, kind, severity, who, reason, message, figures, victim, last_seconds } = &event.what;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            fields.insert(name.to_owned(), value);
        }
    };
    let (category, types) = classes(*kind);
    put("event.kind", json!("event"));
    put("event.category", json!([category]));
    put("event.type", json!(types));
    put("event.action", json!(kind.as_str()));
    put("event.outcome", json!(outcome(&event.what)));
    put("event.dataset", json!(DATASET));
    put("event.module", json!("ringside"));
    put("event.sequence", json!(event.id));
    // When it happened, and not when the line was written.
    put("@timestamp", json!(rfc3339(*time)));
    put("event.reason", json!(reason));
    put("ringside.severity", json!(severity.as_str()));
    if let Some(who) = who {
        put("container.id", json!(who.container_id));
        put("container.name", json!(who.container));
        put("container.image.name", json!(who.image));
        put("container.runtime", json!(who.runtime));
        put("ringside.cgroup", json!(who.cgroup));
        if let Some(pod) = &who.pod {
            put("orchestrator.type", json!("kubernetes"));
            put("orchestrator.namespace", json!(who.namespace));
            put("orchestrator.resource.type", json!("pod"));
            put("orchestrator.resource.name", json!(pod));
            put("kubernetes.namespace", json!(who.namespace));
            put("kubernetes.pod.name", json!(pod));
            put("kubernetes.pod.uid", json!(who.pod_uid));
            put("kubernetes.container.name", json!(who.container));
        }
    }
    for figure in figures {
        match figure.name {
            "exit_code" => put("process.exit_code", json!(figure.number)),
            name => put(&format!("ringside.{name}"), json!(figure.number)),
        }
    }
    if let Some((process, pid)) = victim {
        put("process.name", json!(process));
        put("process.pid", json!(pid));
    }
    if !last_seconds.is_empty() {
        put("ringside.last_seconds", json!(last_seconds));
    }
    if outcome(&event.what) == "failure" {
        put("error.message", json!(message));
    }
    Value::Object(fields)
}
