//! `NodeMetrics` and `PodMetrics` as Kubernetes' protobuf, by hand from the numbers of `generated.proto`.
//!
//! In: one node or pod after the other. Out: `k8s\0` and an `Unknown` around the message. The envelope tells its length
//! first, so a list is complete before its first byte is sent; it is a third as long as the JSON. Next: [`super::list`].

use prost::Message;

use super::item::{Item, Usage};
use super::json::Kind;
use super::status::Status;
use super::text::{byte_quantity, nano_quantity};
use super::version::Version;
use crate::units::UnixNanos;

const MAGIC: &[u8; 4] = b"k8s\0";

#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
    #[prost(string, tag = "3")]
    content_encoding: String,
    #[prost(string, tag = "4")]
    content_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListMeta {
    #[prost(string, tag = "2")]
    resource_version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct GoDuration {
    #[prost(int64, tag = "1")]
    nanos: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Quantity {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, tag = "6")]
    resource_version: String,
    #[prost(message, optional, tag = "8")]
    creation_timestamp: Option<Time>,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: std::collections::BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeMetrics {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    timestamp: Option<Time>,
    #[prost(message, optional, tag = "3")]
    window: Option<GoDuration>,
    #[prost(btree_map = "string, message", tag = "4")]
    usage: std::collections::BTreeMap<String, Quantity>,
}

#[derive(Clone, PartialEq, Message)]
struct PodMetrics {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    timestamp: Option<Time>,
    #[prost(message, optional, tag = "3")]
    window: Option<GoDuration>,
    #[prost(message, repeated, tag = "4")]
    containers: Vec<ContainerMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetrics {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(btree_map = "string, message", tag = "2")]
    usage: std::collections::BTreeMap<String, Quantity>,
}

/// A list's metadata and its objects, which are encoded one by one.
#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ListMeta>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    items: Vec<Vec<u8>>,
}

/// `WatchEvent`, framed by its length in four bytes.
#[derive(Clone, PartialEq, Message)]
struct WatchEvent {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(message, optional, tag = "2")]
    object: Option<RawExtension>,
}

#[derive(Clone, PartialEq, Message)]
struct RawExtension {
    #[prost(bytes = "vec", tag = "1")]
    raw: Vec<u8>,
}

/// Writes objects of one kind.
#[derive(Debug)]
pub(super) struct ProtobufWriter {
    kind: Kind,
    now: UnixNanos,
    list: List,
}

impl ProtobufWriter {
    pub(super) fn new(kind: Kind, now: UnixNanos) -> Self {
        Self { kind, now, list: List::default() }
    }

    /// One object of the list.
    pub(super) fn push(&mut self, item: &Item<'_>) {
        let message = self.message(item, None);
        self.list.items.push(message);
    }

    /// The whole list.
    pub(super) fn end(&mut self, version: Version) -> Vec<u8> {
        let mut list = std::mem::take(&mut self.list);
        list.metadata = Some(ListMeta { resource_version: version.number().to_string() });
        enveloped(&format!("{}List", self.kind.word()), list.encode_to_vec())
    }

    /// One object by itself.
    pub(super) fn alone(&self, item: &Item<'_>, version: Version) -> Vec<u8> {
        enveloped(self.kind.word(), self.message(item, Some(version)))
    }

    /// A watch's bookmark.
    pub(super) fn bookmark(&self, version: Version, initial_events_end: bool) -> Vec<u8> {
        let mut metadata = ObjectMeta { resource_version: version.number().to_string(), ..ObjectMeta::default() };
        if initial_events_end {
            metadata.annotations.insert("k8s.io/initial-events-end".to_owned(), "true".to_owned());
        }
        // Both kinds have their metadata in the same field.
        let message = NodeMetrics { metadata: Some(metadata), ..NodeMetrics::default() };
        enveloped(self.kind.word(), message.encode_to_vec())
    }

    fn message(&self, item: &Item<'_>, version: Option<Version>) -> Vec<u8> {
        let metadata = Some(ObjectMeta {
            name: item.name.to_owned(),
            namespace: item.namespace.to_owned(),
            resource_version: version.map(|version| version.number().to_string()).unwrap_or_default(),
            creation_timestamp: Some(whole_seconds(self.now)),
            labels: item.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            ..ObjectMeta::default()
        });
        let timestamp = Some(whole_seconds(item.timestamp));
        let window = Some(GoDuration { nanos: i64::try_from(item.window.as_nanos()).unwrap_or(i64::MAX) });
        match self.kind {
            Kind::Node => {
                let usage = item.usages.first().map(quantities).unwrap_or_default();
                NodeMetrics { metadata, timestamp, window, usage }.encode_to_vec()
            }
            Kind::Pod => {
                let container =
                    |usage: &Usage<'_>| ContainerMetrics { name: usage.container.to_owned(), usage: quantities(usage) };
                let containers = item.usages.iter().map(container).collect();
                PodMetrics { metadata, timestamp, window, containers }.encode_to_vec()
            }
        }
    }
}

/// `metav1.Time` has whole seconds in every encoding.
fn whole_seconds(at: UnixNanos) -> Time {
    Time { seconds: i64::try_from(at.0 / 1_000_000_000).unwrap_or(i64::MAX), nanos: 0 }
}

fn quantities(usage: &Usage<'_>) -> std::collections::BTreeMap<String, Quantity> {
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut text = Vec::new();
        write(&mut text);
        Quantity { text: String::from_utf8(text).unwrap_or_default() }
    };
    let bytes = |bytes: u64| written(&|out| byte_quantity(out, bytes));
    let mut found = std::collections::BTreeMap::from([
        ("cpu".to_owned(), written(&|out| nano_quantity(out, usage.cpu_nanocores))),
        ("memory".to_owned(), bytes(usage.memory_bytes)),
    ]);
    found.extend(usage.ephemeral_storage_bytes.map(|size| ("ephemeral-storage".to_owned(), bytes(size))));
    found.extend(usage.swap_bytes.map(|size| ("swap".to_owned(), bytes(size))));
    for (name, per_second) in usage.flows.iter().flatten() {
        let quantity = written(&|out| nano_quantity(out, per_second.saturating_mul(1_000_000_000)));
        found.insert((*name).to_owned(), quantity);
    }
    found
}

fn enveloped(kind: &str, raw: Vec<u8>) -> Vec<u8> {
    enveloped_as("metrics.k8s.io/v1beta1", kind, raw)
}

fn enveloped_as(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
    let type_meta = Some(TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() });
    let unknown = Unknown { type_meta, raw, ..Unknown::default() };
    let mut out = Vec::with_capacity(MAGIC.len() + unknown.encoded_len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&unknown.encode_to_vec());
    out
}

/// A watch's event around an enveloped object, with its length before it.
pub(super) fn watch_event(out: &mut Vec<u8>, kind: &str, object: Vec<u8>) {
    let event = WatchEvent { kind: kind.to_owned(), object: Some(RawExtension { raw: object }) }.encode_to_vec();
    out.extend_from_slice(&u32::try_from(event.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&event);
}

/// `Status`, which an event of a watch may hold.
#[derive(Clone, PartialEq, Message)]
struct StatusMessage {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ListMeta>,
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, tag = "3")]
    message: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(int32, tag = "6")]
    code: i32,
}

/// A failure, enveloped as an object.
pub(super) fn status_object(status: &Status) -> Vec<u8> {
    let message = StatusMessage {
        metadata: Some(ListMeta::default()),
        status: "Failure".to_owned(),
        message: status.message.clone(),
        reason: status.reason.to_owned(),
        code: i32::from(status.code),
    };
    enveloped_as("v1", "Status", message.encode_to_vec())
}
