//! `NodeMetrics` and `PodMetrics` as JSON, written straight into a buffer: objects, lists, tables and metadata alone.
//!
//! In: one node or pod after the other. Out: bytes for whoever empties the buffer meanwhile. Nothing but the current
//! object is held, so a list of any length costs one buffer. A container without a rate yet is left out, its pod is not.
//! A list's metadata stands behind its items: only then it is known what the list holds. Next: [`super::list`].

use super::accept::Shape;
use super::item::{Item, Usage};
use super::text::{Times, byte_quantity, go_duration, nano_quantity, number, string};
use super::version::Version;
use crate::units::UnixNanos;

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Node,
    Pod,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Node => "NodeMetrics",
            Self::Pod => "PodMetrics",
        }
    }
}

/// What a table's rows carry of their objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum RowObject {
    None,
    #[default]
    Metadata,
    Whole,
}

/// Writes objects of one kind in one shape.
#[derive(Debug)]
pub(super) struct JsonWriter {
    kind: Kind,
    shape: Shape,
    row_object: RowObject,
    /// The time at which all objects are said to be made.
    now: String,
    times: Times,
    first: bool,
    /// What is written so far and not yet taken.
    pub(super) out: Vec<u8>,
}

const GROUP_VERSION: &str = "metrics.k8s.io/v1beta1";

impl JsonWriter {
    pub(super) fn new(kind: Kind, shape: Shape, row_object: RowObject, now: UnixNanos) -> Self {
        let now = super::text::time(now);
        Self { kind, shape, row_object, now, times: Times::default(), first: true, out: Vec::new() }
    }

    /// The beginning of a list.
    pub(super) fn begin(&mut self) {
        let (kind, version) = match self.shape {
            Shape::Whole => (format!("{}List", self.kind.word()), GROUP_VERSION.to_owned()),
            Shape::Partial(version) => ("PartialObjectMetadataList".to_owned(), format!("meta.k8s.io/{version}")),
            Shape::Table(version) => {
                self.table_head(version, true);
                return;
            }
        };
        self.out
            .extend_from_slice(format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"items\":[").as_bytes());
    }

    /// One object of the list.
    pub(super) fn push(&mut self, item: &Item<'_>) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        match self.shape {
            Shape::Whole => self.whole(item, None, false),
            Shape::Partial(version) => self.partial(item, None, version),
            Shape::Table(version) => self.row(item, None, version),
        }
    }

    /// The end of a list.
    pub(super) fn end(&mut self, version: Version) {
        self.out.extend_from_slice(b"],\"metadata\":{\"resourceVersion\":\"");
        number(&mut self.out, version.number());
        self.out.extend_from_slice(b"\"}}\n");
    }

    /// One object by itself, as a get or a watch shows it. Only the first table of a watch has its columns.
    pub(super) fn alone(&mut self, item: &Item<'_>, version: Version) {
        match self.shape {
            Shape::Whole => self.whole(item, Some(version), true),
            Shape::Partial(meta) => self.partial(item, Some(version), meta),
            Shape::Table(meta) => {
                let columns = std::mem::take(&mut self.first);
                self.table_head(meta, columns);
                self.row(item, Some(version), meta);
                self.out.extend_from_slice(b"],\"metadata\":{\"resourceVersion\":\"");
                number(&mut self.out, version.number());
                self.out.extend_from_slice(b"\"}}");
            }
        }
    }

    /// A watch's bookmark: an object with nothing but its version.
    pub(super) fn bookmark(&mut self, version: Version, initial_events_end: bool) {
        let (kind, api_version) = match self.shape {
            Shape::Whole => (self.kind.word(), GROUP_VERSION.to_owned()),
            Shape::Partial(version) => ("PartialObjectMetadata", format!("meta.k8s.io/{version}")),
            Shape::Table(version) => ("Table", format!("meta.k8s.io/{version}")),
        };
        let annotations =
            if initial_events_end { ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" } else { "" };
        let rest = match self.shape {
            Shape::Table(_) => ",\"rows\":[]",
            Shape::Whole if self.kind == Kind::Pod => ",\"timestamp\":null,\"window\":\"0s\",\"containers\":[]",
            Shape::Whole => ",\"timestamp\":null,\"window\":\"0s\",\"usage\":{}",
            Shape::Partial(_) => "",
        };
        let text = format!(
            "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\
             \"metadata\":{{\"resourceVersion\":\"{}\",\"creationTimestamp\":null{annotations}}}{rest}}}",
            version.number()
        );
        self.out.extend_from_slice(text.as_bytes());
    }

    fn whole(&mut self, item: &Item<'_>, version: Option<Version>, typed: bool) {
        self.out.push(b'{');
        if typed {
            for part in ["\"kind\":\"", self.kind.word(), "\",\"apiVersion\":\"", GROUP_VERSION, "\","] {
                self.out.extend_from_slice(part.as_bytes());
            }
        }
        self.metadata(item, version);
        self.out.extend_from_slice(b",\"timestamp\":\"");
        self.times.write(&mut self.out, item.timestamp);
        self.out.extend_from_slice(b"\",\"window\":\"");
        go_duration(&mut self.out, item.window);
        self.out.push(b'"');
        match self.kind {
            Kind::Node => {
                if let Some(usage) = item.usages.first() {
                    self.out.push(b',');
                    self.usage(usage);
                }
            }
            Kind::Pod => {
                self.out.extend_from_slice(b",\"containers\":[");
                for (place, usage) in item.usages.iter().enumerate() {
                    self.out.extend_from_slice(if place == 0 { b"{\"name\":" } else { b",{\"name\":" });
                    string(&mut self.out, usage.container);
                    self.out.push(b',');
                    self.usage(usage);
                    self.out.push(b'}');
                }
                self.out.push(b']');
            }
        }
        self.out.push(b'}');
    }

    fn partial(&mut self, item: &Item<'_>, version: Option<Version>, meta: &str) {
        for part in ["{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/", meta, "\","] {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.metadata(item, version);
        self.out.push(b'}');
    }

    fn metadata(&mut self, item: &Item<'_>, version: Option<Version>) {
        let out = &mut self.out;
        out.extend_from_slice(b"\"metadata\":{\"name\":");
        string(out, item.name);
        if !item.namespace.is_empty() {
            out.extend_from_slice(b",\"namespace\":");
            string(out, item.namespace);
        }
        if let Some(version) = version {
            out.extend_from_slice(b",\"resourceVersion\":\"");
            number(out, version.number());
            out.push(b'"');
        }
        out.extend_from_slice(b",\"creationTimestamp\":\"");
        out.extend_from_slice(self.now.as_bytes());
        out.push(b'"');
        if !item.labels.is_empty() {
            for (place, (key, value)) in item.labels.iter().enumerate() {
                out.extend_from_slice(if place == 0 { b",\"labels\":{" } else { b"," });
                string(out, key);
                out.push(b':');
                string(out, value);
            }
            out.push(b'}');
        }
        out.push(b'}');
    }

    fn usage(&mut self, usage: &Usage<'_>) {
        let out = &mut self.out;
        out.extend_from_slice(b"\"usage\":{\"cpu\":\"");
        nano_quantity(out, usage.cpu_nanocores);
        if let Some(bytes) = usage.ephemeral_storage_bytes {
            out.extend_from_slice(b"\",\"ephemeral-storage\":\"");
            byte_quantity(out, bytes);
        }
        out.extend_from_slice(b"\",\"memory\":\"");
        byte_quantity(out, usage.memory_bytes);
        for (name, bytes_per_second) in usage.flows.iter().flatten() {
            out.extend_from_slice(b"\",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            nano_quantity(out, bytes_per_second.saturating_mul(1_000_000_000));
        }
        if let Some(bytes) = usage.swap_bytes {
            out.extend_from_slice(b"\",\"swap\":\"");
            byte_quantity(out, bytes);
        }
        out.extend_from_slice(b"\"}");
    }

    fn table_head(&mut self, version: &str, columns: bool) {
        let head = format!("{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{version}\",\"columnDefinitions\":[");
        self.out.extend_from_slice(head.as_bytes());
        if columns {
            let mut column = |name: &str, format: &str, description: &str, first: bool| {
                let comma = if first { "" } else { "," };
                let text = format!(
                    "{comma}{{\"name\":\"{name}\",\"type\":\"string\",\"format\":\"{format}\",\
                     \"description\":\"{description}\",\"priority\":0}}"
                );
                self.out.extend_from_slice(text.as_bytes());
            };
            column("Name", "name", "Name of the resource", true);
            for name in ["cpu", "memory"] {
                column(name, "quantity", "", false);
            }
            column("Window", "duration", "", false);
        }
        self.out.extend_from_slice(b"],\"rows\":[");
    }

    fn row(&mut self, item: &Item<'_>, version: Option<Version>, meta: &'static str) {
        let sum =
            |value: fn(&Usage<'_>) -> u64| item.usages.iter().fold(0, |sum: u64, one| sum.saturating_add(value(one)));
        let (cpu_nanocores, memory_bytes) = (sum(|one| one.cpu_nanocores), sum(|one| one.memory_bytes));
        let out = &mut self.out;
        out.extend_from_slice(b"{\"cells\":[");
        string(out, item.name);
        out.extend_from_slice(b",\"");
        nano_quantity(out, cpu_nanocores);
        out.extend_from_slice(b"\",\"");
        byte_quantity(out, memory_bytes);
        out.extend_from_slice(b"\",\"");
        go_duration(out, item.window);
        out.extend_from_slice(b"\"]");
        match self.row_object {
            RowObject::None => {}
            RowObject::Metadata => {
                self.out.extend_from_slice(b",\"object\":");
                self.partial(item, version, meta);
            }
            RowObject::Whole => {
                self.out.extend_from_slice(b",\"object\":");
                self.whole(item, version, true);
            }
        }
        self.out.push(b'}');
    }
}
