//! One log line: its fields, as JSON of the Elastic Common Schema 8 or as text.
//!
//! In: a `tracing` event. Out: text without a line break of its own; control characters are the writer's to escape. Fields
//! that ECS has no word for begin with `ringside.`, and `error` is `error.message`. A field `ecs` holds fields that have ECS
//! names already: a lifecycle event's. Next: `logging.rs` writes it.

use std::fmt::Debug;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

use crate::units::UnixNanos;
use crate::view::api::rfc3339;

/// The version of the Elastic Common Schema whose names are used.
const ECS_VERSION: &str = "8.11.0";

/// Who writes the lines.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The node's name.
    pub name: String,
    /// Which of the roles.
    pub service: &'static str,
}

/// A line before it has a form.
pub(super) struct Line {
    at: UnixNanos,
    level: Level,
    target: String,
    fields: Fields,
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
    ecs: Option<String>,
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // JSON readers take no integer of that length.
        let value = u64::try_from(value).map_or_else(|_| json!(value.to_string()), |value| json!(value));
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "ecs" {
            self.ecs = Some(value.to_owned());
        } else {
            self.put(field, json!(value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name.to_owned(), value)),
        }
    }
}

impl Line {
    /// Everything that an event says.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        Self { at: UnixNanos::now(), level: *metadata.level(), target: metadata.target().to_owned(), fields }
    }

    /// That lines of one place were left out.
    pub(super) fn lost(place: &Metadata<'_>, lost: u32) -> Self {
        let message = format!("{lost} more lines came from this place and were left out");
        let at = format!("{}:{}", place.file().unwrap_or(place.target()), place.line().unwrap_or(0));
        let fields = Fields { message, others: vec![("at".to_owned(), json!(at))], ecs: None };
        Self { at: UnixNanos::now(), level: Level::WARN, target: place.target().to_owned(), fields }
    }

    /// As one JSON object.
    pub(super) fn json(&self, host: &Host) -> String {
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
        put("@timestamp", json!(rfc3339(self.at)));
        put("log.level", json!(self.level.as_str().to_ascii_lowercase()));
        put("message", json!(self.fields.message));
        put("ecs.version", json!(ECS_VERSION));
        put("service.name", json!(host.service));
        put("service.version", json!(env!("CARGO_PKG_VERSION")));
        put("host.name", json!(host.name));
        put("process.pid", json!(std::process::id()));
        put("log.logger", json!(self.target));
        for (name, value) in &self.fields.others {
            match name.as_str() {
                "error" => put("error.message", value.clone()),
                name => put(&format!("ringside.{name}"), value.clone()),
            };
        }
        let ecs = self.fields.ecs.as_deref().and_then(|text| serde_json::from_str(text).ok());
        if let Some(Value::Object(ecs)) = ecs {
            line.insert("event.created".to_owned(), json!(rfc3339(self.at)));
            line.extend(ecs);
        }
        Value::Object(line).to_string()
    }

    /// As text for people.
    pub(super) fn text(&self) -> String {
        let Self { at, level, target, fields } = self;
        let mut line = format!("{} {level:>5} {target}: {}", rfc3339(*at), fields.message);
        for (name, value) in &fields.others {
            line.push_str(&format!(" {name}={value}"));
        }
        line
    }
}
