//! Events as server-sent events, and as a list.
//!
//! In: the log, and a request's query and `Last-Event-ID`. Out: the bytes of `text/event-stream` piece by piece as the reader
//! takes them, or one JSON document. A reader has a place in the log and no queue: one that is too slow finds its place gone,
//! is told so and cut. A comment every fifteen seconds keeps the connection from looking dead. Next: `view/http/`.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;

use super::event::{Event, Kind};
use super::log::{Batch, EventLog};
use crate::view::Answer;
use crate::view::api::{Problem, Query, nearest};

/// A comment is sent after so long without an event.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a client that was cut off should wait before it comes again.
const RETRY_MILLIS: u64 = 3_000;

/// Most events and bytes of one piece, and of a list.
const PIECE_EVENTS: usize = 256;
const PIECE_BYTES: usize = 64 << 10;
const LIST_BYTES: usize = 2 << 20;
const LIST_EVENTS: usize = 1_000;

/// Media type of the stream.
pub const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    kinds: Vec<Kind>,
    namespaces: Vec<String>,
    pods: Vec<String>,
    containers: Vec<String>,
    /// After which event; `None` is from now on.
    since: Option<u64>,
    /// Whether more is waited for.
    pub follow: bool,
    limit: usize,
}

impl Wanted {
    /// Reads the query, and the header that a browser sends when it comes again.
    ///
    /// # Errors
    /// A [`Problem`] that says which parameter is wrong.
    pub fn parse(query: Option<&str>, last_event_id: Option<&str>) -> Result<Self, Problem> {
        const KNOWN: [&str; 7] = ["kind", "namespace", "pod", "container", "since", "follow", "limit"];
        let names = query.unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
        if let Some(unknown) = names.filter(|name| !name.is_empty()).find(|name| !KNOWN.contains(name)) {
            let near = nearest(unknown, KNOWN).map_or_else(|| KNOWN.join(", "), str::to_owned);
            return Err(Problem::bad_parameter(format!("there is no parameter {unknown:?}; did you mean {near}?")));
        }
        let query = Query::parse(query);
        let words = |name: &'static str| -> Vec<String> {
            query
                .all(name)
                .flat_map(|value| value.split(','))
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let mut kinds = Vec::new();
        for word in words("kind") {
            let Some(kind) = Kind::parse(&word) else {
                let known = Kind::ALL.map(Kind::as_str).join(", ");
                return Err(Problem::bad_parameter(format!("kind={word} is not known; use {known}")));
            };
            kinds.push(kind);
        }
        let id = |name: &str, text: &str| {
            text.trim().parse::<u64>().map_err(|_| {
                Problem::bad_parameter(format!("{name} is not the id of an event; give the number that came with one"))
            })
        };
        let since = match (query.get("since"), last_event_id.filter(|id| !id.trim().is_empty())) {
            // What a client got last beats where it once began.
            (_, Some(text)) => Some(id("Last-Event-ID", text)?),
            (Some(text), None) => Some(id("since", text)?),
            (None, None) => None,
        };
        let limit = match query.get("limit") {
            None => LIST_EVENTS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=10_000).contains(limit))
                .ok_or_else(|| Problem::bad_parameter(format!("limit={text} is not a number from 1 to 10000")))?,
        };
        let follow = query.all("follow").next().is_none() || query.flag("follow")?;
        let (namespaces, pods, containers) = (words("namespace"), words("pod"), words("container"));
        Ok(Self { kinds, namespaces, pods, containers, since, follow, limit })
    }

    /// Whether an event is asked for. A container is named by its name, or by the beginning of its id.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let who = event.what.who.as_deref();
        let is = |wanted: &[String], name: Option<&str>| {
            wanted.is_empty() || name.is_some_and(|name| wanted.iter().any(|word| word == name))
        };
        let id = who.and_then(|who| who.container_id.as_deref());
        let by_id = |word: &String| word.len() >= 6 && id.is_some_and(|id| id.starts_with(word.as_str()));
        (self.kinds.is_empty() || self.kinds.contains(&event.what.kind))
            && is(&self.namespaces, who.and_then(|who| who.namespace.as_deref()))
            && is(&self.pods, who.and_then(|who| who.pod.as_deref()))
            && (is(&self.containers, who.and_then(|who| who.container.as_deref())) || self.containers.iter().any(by_id))
    }
}

/// The list that `follow=false` asks for.
#[must_use]
pub fn list(log: &EventLog, wanted: &Wanted) -> Answer {
    let batch = match wanted.since {
        Some(id) => log.after(id, wanted.limit, LIST_BYTES, |event| wanted.wants(event)),
        None => log.newest(wanted.limit, LIST_BYTES, |event| wanted.wants(event)),
    };
    let Batch { events, last_id, gap, more } = batch;
    let mut body = format!("{{\"last_id\":{last_id},\"gap\":{gap},\"more\":{more},\"events\":[");
    for (index, kept) in events.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(&kept.json);
    }
    body.push_str("]}\n");
    Answer { status: 200, content_type: "application/json", body: body.into_bytes() }
}

/// One reader's place.
struct Reader<G> {
    log: EventLog,
    wanted: Wanted,
    last_id: u64,
    told: watch::Receiver<u64>,
    begins: bool,
    ended: bool,
    /// Kept for as long as the reader is there.
    _guard: G,
}

/// The stream. `guard` is dropped when it ends.
pub fn stream<G: Send + 'static>(
    log: &EventLog,
    wanted: Wanted,
    guard: G,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<G> {
    let told = log.subscribe();
    let last_id = wanted.since.unwrap_or_else(|| log.newest_id());
    let reader = Reader { log: log.clone(), wanted, last_id, told, begins: true, ended: false, _guard: guard };
    futures_util::stream::unfold(reader, |mut reader| async move {
        if reader.ended {
            return None;
        }
        let piece = reader.next().await;
        Some((Ok(Bytes::from(piece)), reader))
    })
}

impl<G> Reader<G> {
    /// The next piece; there always is one, after fifteen seconds at the latest.
    async fn next(&mut self) -> String {
        let mut piece = String::new();
        if self.begins {
            piece.push_str(&format!("retry: {RETRY_MILLIS}\n\n"));
        }
        loop {
            // Marked as seen before looking, so that what comes while looking wakes the next wait.
            let over = *self.told.borrow_and_update() == u64::MAX;
            let batch = self.log.after(self.last_id, PIECE_EVENTS, PIECE_BYTES, |event| self.wanted.wants(event));
            let began = std::mem::take(&mut self.begins);
            if batch.gap && !began {
                self.ended = true;
                piece.push_str(&told(
                    "cut",
                    None,
                    "This reader is too slow: events were dropped before it took them. Come again with Last-Event-ID.",
                ));
                return piece;
            }
            if batch.gap {
                let resumes_at = batch.events.first().map(|kept| kept.event.id - 1);
                piece.push_str(&told(
                    "gap",
                    resumes_at,
                    "Events after this Last-Event-ID are gone: too many came since, or the agent was started anew.",
                ));
            }
            self.last_id = batch.last_id;
            for kept in &batch.events {
                let (id, kind) = (kept.event.id, kept.event.what.kind.as_str());
                piece.push_str(&format!("id: {id}\nevent: {kind}\ndata: {}\n\n", kept.json));
            }
            if over && !batch.more {
                self.ended = true;
                piece.push_str(&told("end", None, "The agent stops."));
            }
            if !piece.is_empty() {
                return piece;
            }
            match tokio::time::timeout(HEARTBEAT, self.told.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => self.ended = true,
                Err(_) => return ": heartbeat\n\n".to_owned(),
            }
            if self.ended {
                return told("end", None, "The agent stops.");
            }
        }
    }
}

/// An event about the stream itself.
fn told(event: &str, id: Option<u64>, reason: &str) -> String {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("{id}event: {event}\ndata: {}\n\n", serde_json::json!({ "reason": reason }))
}
