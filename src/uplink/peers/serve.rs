//! The end of a link that takes: pushes that another replica accepted, and its question for everything that is held here.
//!
//! In: a request, and whether a replica's certificate came with it. Out: samples in the store, or every node's history as stand-alone pushes. Nothing that arrives here is sent on: each replica
//! tells all others itself. Next: [`crate::store::cluster`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::frame::{self, Forwarded, Frames};
use super::{INSTANCE, Shared};
use crate::auth::{https, status};
use crate::units::UnixNanos;

/// A batch has 2 MiB, or is one export.
const LONGEST_BATCH: usize = 2 * frame::LONGEST;

/// A batch is sent at once.
const BATCH_TIME: Duration = Duration::from_secs(10);

/// The answer to a batch.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Pushes that were taken in.
    pub accepted: u64,
    /// Nodes of which what went before is not held here: their history is to be sent.
    pub need: Vec<String>,
}

/// Answers a request below `/internal/v1/`; `is_peer` says that its client certificate is a replica's.
pub(super) async fn answer<B>(shared: &Arc<Shared>, request: Request<B>, is_peer: bool) -> Response<https::Body>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    if !is_peer {
        return plain(StatusCode::FORBIDDEN, "only replicas of this aggregator may ask here");
    }
    if request.headers().get(INSTANCE).is_some_and(|instance| instance.as_bytes() == shared.instance.as_bytes()) {
        return plain(StatusCode::MISDIRECTED_REQUEST, "this is the replica that asks");
    }
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/internal/v1/samples") => {
            if !shared.takes_pushes() {
                return plain(StatusCode::SERVICE_UNAVAILABLE, "nodes and pods have not been listed yet");
            }
            match https::read_body(request, LONGEST_BATCH, BATCH_TIME).await {
                Ok(body) => take(shared, &body),
                Err(error) => error.response(),
            }
        }
        (&Method::GET, "/internal/v1/snapshot") => everything(shared),
        _ => plain(StatusCode::NOT_FOUND, "replicas know POST /internal/v1/samples and GET /internal/v1/snapshot"),
    }
}

fn take(shared: &Shared, body: &[u8]) -> Response<https::Body> {
    let (mut frames, mut taken) = (Frames::default(), Taken::default());
    frames.extend(body);
    loop {
        match frames.take() {
            Ok(Some(push)) => take_one(shared, push, &mut taken),
            Ok(None) => break,
            Err(error) => return plain(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }
    if let Err(error) = frames.finish() {
        return plain(StatusCode::BAD_REQUEST, &error.to_string());
    }
    status::whole(StatusCode::OK, "application/json", serde_json::to_vec(&taken).unwrap_or_default())
}

/// Takes one push in; a node of which more is needed is noted.
pub(super) fn take_one(shared: &Shared, push: Forwarded, taken: &mut Taken) {
    let outcome = shared.intake.take(&push.node, &push.body, "peer", UnixNanos::now());
    match outcome {
        Ok(_) => taken.accepted += 1,
        Err(refused) if refused.needs_more() && !taken.need.contains(&push.node) => taken.need.push(push.node),
        Err(_) => {}
    }
}

/// Every node's history, one node at a time: what is in memory at once is one node's.
fn everything(shared: &Arc<Shared>) -> Response<https::Body> {
    let nodes = shared.store.node_names();
    let shared = Arc::clone(shared);
    let pieces = nodes.into_iter().filter_map(move |node| {
        let mut piece = BytesMut::new();
        for body in shared.store.export_node(&node) {
            let forwarded = Forwarded {
                node: node.as_ref().to_owned(),
                received_unix_nanos: UnixNanos::now().0,
                body: body.into(),
            };
            frame::put(&mut piece, &forwarded);
        }
        (!piece.is_empty()).then(|| Ok::<_, Infallible>(Frame::data(piece.freeze())))
    });
    // Others are answered between two nodes.
    let pieces = futures_util::stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    });
    Response::new(StreamBody::new(pieces).boxed_unsync())
}

fn plain(code: StatusCode, text: &str) -> Response<https::Body> {
    status::whole(code, "text/plain; charset=utf-8", format!("{text}\n"))
}
