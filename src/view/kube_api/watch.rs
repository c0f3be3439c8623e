//! `metrics.k8s.io`: watches of nodes and pods.
//!
//! In: what is asked, the store and its news. Out: events as they come, in chunks, at most once a second: what changed twice
//! meanwhile is told once, so a slow reader costs what one round costs. A watch remembers what it told, and nothing else is
//! kept: one that goes on from a version of another set of objects ends with 410, and its client lists again.
//! Next: [`super::json`], [`super::protobuf`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::channel;
use tokio::time::{Instant, sleep_until};

use super::Api;
use super::accept::Encoding;
use super::answer::{ApiAnswer, ApiBody};
use super::item::Item;
use super::json::JsonWriter;
use super::list::{CHUNK_BYTES, CHUNKS, Chunks, Question};
use super::protobuf::{ProtobufWriter, status_object, watch_event};
use super::status::Status;
use super::version::{ObjectSet, Version};
use crate::units::UnixNanos;
use crate::view::api::Query;

/// The shortest time between two rounds.
const PAUSE: Duration = Duration::from_secs(1);
/// Without news, objects still grow stale.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a bookmark is sent to who wants them.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts, unless it is told, and at most.
const LASTS: Duration = Duration::from_secs(30 * 60);
const LASTS_AT_MOST: Duration = Duration::from_secs(60 * 60);

/// How a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With all objects as new ones.
    Anew,
    /// With all objects as new ones, and a bookmark that says that these were all.
    AnewWithEnd,
    /// Where a list or an earlier watch has ended.
    From(Version),
}

/// What a query says of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wishes {
    start: Start,
    lasts: Duration,
    bookmarks: bool,
}

impl Wishes {
    fn parse(query: &Query) -> Result<Self, Status> {
        let flag = |name: &str| matches!(query.get(name), Some("true" | "1"));
        let start = match query.get("resourceVersion") {
            _ if flag("sendInitialEvents") => Start::AnewWithEnd,
            None | Some("0") => Start::Anew,
            Some(text) => Start::From(Version::parse(text).ok_or_else(|| {
                Status::bad_request(format!("resourceVersion={text} is none of this server; take it from a list"))
            })?),
        };
        let seconds = query.get("timeoutSeconds").map(|text| {
            text.parse().map_err(|_| Status::bad_request(format!("timeoutSeconds={text} is no number of seconds")))
        });
        let lasts = seconds.transpose()?.map_or(LASTS, Duration::from_secs).min(LASTS_AT_MOST);
        Ok(Self { start, lasts, bookmarks: flag("allowWatchBookmarks") || start == Start::AnewWithEnd })
    }
}

/// What was told of one object.
#[derive(Debug)]
struct Told {
    timestamp: UnixNanos,
    round: u64,
}

/// One watch between two rounds.
struct Watch {
    api: Arc<Api>,
    question: Question,
    chunks: Chunks,
    /// By namespace and name.
    told: HashMap<(Arc<str>, Arc<str>), Told>,
    set: ObjectSet,
    round: u64,
    writer: Writer,
    out: Vec<u8>,
    is_read: bool,
    /// One of a bounded number.
    _place: OwnedSemaphorePermit,
}

/// Begins a watch.
pub(super) fn watch(api: &Arc<Api>, question: Question, query: &Query) -> Result<ApiAnswer, Status> {
    let wishes = Wishes::parse(query)?;
    let place = api.watches.clone().try_acquire_owned().map_err(|_| {
        Status::too_many_requests("there are as many watches as this server has room for; try again", 30)
    })?;
    let content_type = question.form.watch_content_type();
    let (sender, receiver) = channel(CHUNKS);
    let now = (api.now)();
    let watch = Watch {
        api: api.clone(),
        chunks: Chunks::new(sender.clone()),
        told: HashMap::new(),
        set: ObjectSet::default(),
        round: 0,
        writer: Writer::new(&question, now),
        out: Vec::new(),
        is_read: true,
        question,
        _place: place,
    };
    tokio::spawn(run(watch, sender, wishes));
    Ok(ApiAnswer::of(200, content_type, ApiBody::Chunks(receiver)))
}

async fn run(mut watch: Watch, reader: tokio::sync::mpsc::Sender<bytes::Bytes>, wishes: Wishes) {
    let ends_at = Instant::now() + wishes.lasts;
    let mut news = watch.api.store.changed();
    let mut bookmark_at = Instant::now() + BOOKMARK_EVERY;
    let mut first = true;
    loop {
        news.mark_unchanged();
        let bookmark = wishes.bookmarks && Instant::now() >= bookmark_at;
        if bookmark {
            bookmark_at = Instant::now() + BOOKMARK_EVERY;
        }
        let round = tokio::task::spawn_blocking(move || {
            watch.is_read &= if first { watch.begin(wishes.start) } else { watch.go_on(bookmark) };
            watch
        });
        // A round that panicked ends its watch; the client begins another one.
        let Ok(after) = round.await else { return };
        watch = after;
        first = false;
        if !watch.is_read {
            return;
        }
        let pause = sleep_until((Instant::now() + PAUSE).min(ends_at));
        tokio::select! {
            () = reader.closed() => return,
            () = pause => {}
        }
        tokio::select! {
            () = reader.closed() => return,
            () = sleep_until((Instant::now() + LONGEST_PAUSE).min(ends_at)) => {}
            changed = news.changed() => if changed.is_err() { return },
        }
        if Instant::now() >= ends_at {
            return;
        }
    }
}

impl Watch {
    /// The first round; false when the watch is over.
    fn begin(&mut self, start: Start) -> bool {
        let now = (self.api.now)();
        if let Start::From(version) = start {
            let mut set = ObjectSet::default();
            self.question.clone().walk(&self.api.clone(), now, &mut |item, (namespace, name)| {
                set.toggle(item.namespace, item.name);
                // Told with an unknown time: the round shows all of them once as changed.
                let told = Told { timestamp: UnixNanos(0), round: 0 };
                self.told.insert((namespace.clone(), name.clone()), told);
                true
            });
            self.set = set;
            if !version.is_of(set) {
                let status = Status::expired(format!(
                    "too old resource version: {}: there are other objects by now; list again",
                    version.number()
                ));
                self.writer.error(&mut self.out, &status);
                self.flush();
                return false;
            }
        }
        self.events(now);
        if start == Start::AnewWithEnd {
            self.writer.bookmark(&mut self.out, Version::new(now, self.set), true);
        }
        self.flush()
    }

    /// Another round; false when nobody reads any more.
    fn go_on(&mut self, bookmark: bool) -> bool {
        let now = (self.api.now)();
        self.events(now);
        if bookmark {
            self.writer.bookmark(&mut self.out, Version::new(now, self.set), false);
        }
        self.flush()
    }

    /// Tells what is new, changed and gone since the last round.
    fn events(&mut self, now: UnixNanos) {
        self.round += 1;
        let (api, question) = (self.api.clone(), self.question.clone());
        question.walk(&api, now, &mut |item, (namespace, name)| {
            let event = match self.told.get_mut(&(namespace.clone(), name.clone())) {
                Some(told) => {
                    told.round = self.round;
                    if told.timestamp == item.timestamp {
                        return self.is_read;
                    }
                    told.timestamp = item.timestamp;
                    "MODIFIED"
                }
                None => {
                    let told = Told { timestamp: item.timestamp, round: self.round };
                    self.told.insert((namespace.clone(), name.clone()), told);
                    self.set.toggle(namespace, name);
                    "ADDED"
                }
            };
            self.writer.event(&mut self.out, event, item, Version::new(now, self.set));
            if self.out.len() >= CHUNK_BYTES {
                self.flush();
            }
            self.is_read
        });
        if !self.is_read {
            return;
        }
        let gone: Vec<_> = self.told.extract_if(|_, told| told.round != self.round).collect();
        for ((namespace, name), told) in gone {
            self.set.toggle(&namespace, &name);
            let window = Duration::ZERO;
            let (labels, usages) = (&[][..], Vec::new());
            let item = Item { namespace: &namespace, name: &name, labels, timestamp: told.timestamp, window, usages };
            self.writer.event(&mut self.out, "DELETED", &item, Version::new(now, self.set));
        }
    }

    fn flush(&mut self) -> bool {
        self.is_read = self.is_read && (self.out.is_empty() || self.chunks.send(std::mem::take(&mut self.out)));
        self.is_read
    }
}

/// Writes events in the form that was agreed on.
enum Writer {
    Json(JsonWriter),
    Protobuf(ProtobufWriter),
}

impl Writer {
    fn new(question: &Question, now: UnixNanos) -> Self {
        match question.form.encoding {
            Encoding::Json | Encoding::Yaml => Self::Json(question.json_writer(now)),
            Encoding::Protobuf => Self::Protobuf(ProtobufWriter::new(question.kind, now)),
        }
    }

    fn event(&mut self, out: &mut Vec<u8>, kind: &str, item: &Item<'_>, version: Version) {
        match self {
            Self::Json(writer) => line(writer, out, kind, |writer| writer.alone(item, version)),
            Self::Protobuf(writer) => watch_event(out, kind, writer.alone(item, version)),
        }
    }

    fn bookmark(&mut self, out: &mut Vec<u8>, version: Version, initial_events_end: bool) {
        match self {
            Self::Json(writer) => {
                line(writer, out, "BOOKMARK", |writer| writer.bookmark(version, initial_events_end));
            }
            Self::Protobuf(writer) => watch_event(out, "BOOKMARK", writer.bookmark(version, initial_events_end)),
        }
    }

    fn error(&mut self, out: &mut Vec<u8>, status: &Status) {
        match self {
            Self::Json(writer) => line(writer, out, "ERROR", |writer| writer.out.extend(status.json())),
            Self::Protobuf(_) => watch_event(out, "ERROR", status_object(status)),
        }
    }
}

fn line(writer: &mut JsonWriter, out: &mut Vec<u8>, kind: &str, object: impl FnOnce(&mut JsonWriter)) {
    std::mem::swap(&mut writer.out, out);
    writer.out.extend_from_slice(b"{\"type\":\"");
    writer.out.extend_from_slice(kind.as_bytes());
    writer.out.extend_from_slice(b"\",\"object\":");
    object(writer);
    writer.out.extend_from_slice(b"}\n");
    std::mem::swap(&mut writer.out, out);
}
