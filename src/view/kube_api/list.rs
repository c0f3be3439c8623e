//! `metrics.k8s.io`: gets and lists of nodes and pods.
//!
//! In: what is asked, and the store. Out: one object, or a list that is written in chunks on a thread of its own: a list of
//! any length costs some chunks of memory, and a reader that is slow holds up nobody else. As metrics-server does, `limit`
//! is accepted and a list is always whole. Next: [`super::json`], [`super::protobuf`].

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, channel};

use super::Api;
use super::accept::{Encoding, Form};
use super::answer::{ApiAnswer, ApiBody};
use super::item::Item;
use super::json::{JsonWriter, Kind, RowObject};
use super::protobuf::ProtobufWriter;
use super::selector::{FieldSelector, LabelSelector};
use super::status::Status;
use super::version::{ObjectSet, Version};
use super::whole::TURN;
use crate::store::cluster::{Metric, MetricSet};
use crate::units::UnixNanos;
use crate::view::api::Query;

/// How much is written before it is handed on.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
/// How many chunks wait for a slow reader.
pub(super) const CHUNKS: usize = 4;
/// How long a chunk waits for its reader.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What metrics-server's objects show.
const BASIC: MetricSet = MetricSet::of(&[Metric::CpuUsageUsec, Metric::MemoryWorkingSetBytes]);
/// What is shown with extra resources.
const EXTRA: MetricSet = MetricSet::of(&[
    Metric::CpuUsageUsec,
    Metric::MemoryWorkingSetBytes,
    Metric::EphemeralStorageBytes,
    Metric::MemorySwapBytes,
    Metric::IoReadBytes,
    Metric::IoWriteBytes,
    Metric::NetworkReceiveBytes,
    Metric::NetworkTransmitBytes,
]);

/// Which objects, and how they are written.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    pub(super) labels: LabelSelector,
    pub(super) fields: FieldSelector,
    pub(super) form: Form,
    pub(super) row_object: RowObject,
}

impl Question {
    /// Reads the parameters.
    pub(super) fn parse(kind: Kind, namespace: &str, form: Form, query: &Query) -> Result<Self, Status> {
        let labels =
            LabelSelector::parse(query.get("labelSelector").unwrap_or_default()).map_err(Status::bad_request)?;
        let fields =
            FieldSelector::parse(query.get("fieldSelector").unwrap_or_default()).map_err(Status::bad_request)?;
        let row_object = match query.get("includeObject") {
            None | Some("Metadata") => RowObject::Metadata,
            Some("None") => RowObject::None,
            Some("Object") => RowObject::Whole,
            Some(other) => {
                return Err(Status::bad_request(format!("includeObject={other}: write None, Metadata or Object")));
            }
        };
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        let namespace = namespace.or_else(|| fields.only_namespace()).map(str::to_owned);
        Ok(Self { kind, namespace, labels, fields, form, row_object })
    }

    /// Shows every object that fits, ascending by name, until `each` says that it is enough. `each` has the object's
    /// namespace and name beside it.
    pub(super) fn walk(
        &self,
        api: &Api,
        now: UnixNanos,
        each: &mut dyn FnMut(&Item<'_>, (&Arc<str>, &Arc<str>)) -> bool,
    ) {
        let extra = api.extra_resources;
        match self.kind {
            Kind::Node => {
                let nowhere: Arc<str> = Arc::from("");
                for node in &api.store.nodes(now) {
                    let fits = self.labels.fits(&node.node.labels) && self.fields.fits("", &node.node.name);
                    let Some(item) = Item::of_node(node, extra).filter(|_| fits) else { continue };
                    if !each(&item, (&nowhere, &node.node.name)) {
                        return;
                    }
                }
            }
            Kind::Pod => {
                // The store's walk cannot be ended; pods that are not chosen cost it next to nothing.
                let goes_on = Cell::new(true);
                let wanted = if extra { EXTRA } else { BASIC };
                api.store.each_pod_of(
                    self.namespace.as_deref(),
                    now,
                    wanted,
                    &|pod| {
                        goes_on.get() && self.labels.fits(&pod.labels) && self.fields.fits(&pod.namespace, &pod.name)
                    },
                    &mut |pod| {
                        if goes_on.get()
                            && let Some(item) = Item::of_pod(&pod, extra)
                        {
                            goes_on.set(each(&item, (&pod.pod.namespace, &pod.pod.name)));
                        }
                    },
                );
            }
        }
    }

    pub(super) fn json_writer(&self, now: UnixNanos) -> JsonWriter {
        JsonWriter::new(self.kind, self.form.shape, self.row_object, now)
    }
}

/// A chunked body's sending end, on a thread that may wait.
#[derive(Debug)]
pub(super) struct Chunks {
    sender: Sender<Bytes>,
    runtime: Handle,
}

impl Chunks {
    pub(super) fn new(sender: Sender<Bytes>) -> Self {
        Self { sender, runtime: Handle::current() }
    }

    /// Hands a chunk on; false when nobody reads any more, or not fast enough.
    pub(super) fn send(&self, chunk: impl Into<Bytes>) -> bool {
        match self.sender.try_send(chunk.into()) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(chunk)) => self.runtime.block_on(self.sender.send_timeout(chunk, PATIENCE)).is_ok(),
        }
    }
}

/// A list.
pub(super) async fn list(api: &Arc<Api>, question: Question) -> Result<ApiAnswer, Status> {
    let content_type = question.form.content_type();
    let now = (api.now)();
    if question.form.encoding == Encoding::Protobuf {
        let turn = api.whole.turn().await?;
        let asked = api.clone();
        let written = tokio::task::spawn_blocking(move || protobuf(&asked, &question, now)).await;
        drop(turn);
        let body = written.map_err(|_| Status::internal("the list could not be written; the log says more"))?;
        return api.whole.answer(content_type, body.into());
    }
    let turn = tokio::time::timeout(TURN, api.lists.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        return Err(Status::too_many_requests("too many lists are being written; try again", 5));
    };
    let (sender, receiver) = channel(CHUNKS);
    let chunks = Chunks::new(sender);
    let api = api.clone();
    // Nobody waits for its end: the answer ends when the sender is dropped.
    drop(tokio::task::spawn_blocking(move || {
        write_json(&api, &question, now, &chunks);
        drop(turn);
    }));
    Ok(ApiAnswer::of(200, content_type, ApiBody::Chunks(receiver)))
}

fn write_json(api: &Api, question: &Question, now: UnixNanos, chunks: &Chunks) {
    let mut writer = question.json_writer(now);
    let mut set = ObjectSet::default();
    let mut is_read = true;
    writer.out.reserve(CHUNK_BYTES + CHUNK_BYTES / 8);
    writer.begin();
    question.walk(api, now, &mut |item, _| {
        set.toggle(item.namespace, item.name);
        writer.push(item);
        if writer.out.len() >= CHUNK_BYTES {
            let next = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
            is_read = chunks.send(std::mem::replace(&mut writer.out, next));
        }
        is_read
    });
    if is_read {
        writer.end(Version::new(now, set));
        chunks.send(writer.out);
    }
}

fn protobuf(api: &Api, question: &Question, now: UnixNanos) -> Vec<u8> {
    let mut writer = ProtobufWriter::new(question.kind, now);
    let mut set = ObjectSet::default();
    question.walk(api, now, &mut |item, _| {
        set.toggle(item.namespace, item.name);
        writer.push(item);
        true
    });
    writer.end(Version::new(now, set))
}

/// One object.
pub(super) fn get(api: &Api, question: &Question, name: &str) -> Result<ApiAnswer, Status> {
    let now = (api.now)();
    let namespace = question.namespace.as_deref().unwrap_or_default();
    let (node, pod);
    let found = match question.kind {
        Kind::Node => {
            node = api.store.node(name, now);
            node.as_ref().and_then(|node| Item::of_node(node, api.extra_resources))
        }
        Kind::Pod => {
            pod = api.store.pod(namespace, name, now);
            pod.as_ref().and_then(|pod| Item::of_pod(pod, api.extra_resources))
        }
    };
    let Some(item) = found else {
        let (resource, full_name) = match question.kind {
            Kind::Node => ("nodemetrics", name.to_owned()),
            Kind::Pod => ("podmetrics", format!("{namespace}/{name}")),
        };
        return Err(Status::not_found("metrics.k8s.io", resource, &full_name));
    };
    let mut set = ObjectSet::default();
    set.toggle(item.namespace, item.name);
    let version = Version::new(now, set);
    let body = match question.form.encoding {
        Encoding::Protobuf => ProtobufWriter::new(question.kind, now).alone(&item, version),
        Encoding::Json | Encoding::Yaml => {
            let mut writer = question.json_writer(now);
            writer.alone(&item, version);
            writer.out.push(b'\n');
            writer.out
        }
    };
    Ok(ApiAnswer::of(200, question.form.content_type(), ApiBody::Bytes(body.into())))
}
