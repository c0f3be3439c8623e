//! `/events`: what happened on this node, as it happens or as a list.
//!
//! In: a request. Out: a stream of server-sent events for a bounded number of clients, or one JSON document. It takes no
//! thread: a stream waits for the log, and for the client. What is sent is made in [`stream`](crate::view::events::stream).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http_body_util::{Either, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{self, HeaderName};
use hyper::{Method, Request};

use super::problem;
use super::routes::{Reply, Routes, values, whole};
use crate::auth::listen::Busy;
use crate::view::events::stream::{self, Wanted};

/// A body of events that come when they come.
pub type EventBody = StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>>;

impl Routes {
    pub(super) fn events(&self, request: &Request<Incoming>, query: Option<&str>, busy: &Busy) -> Reply {
        let last_event_id = HeaderName::from_static("last-event-id");
        let last = values(request.headers(), &last_event_id).next();
        let wanted = match Wanted::parse(query, last) {
            Ok(wanted) => wanted,
            Err(problem) => return problem.into_answer(request.uri().path()).into(),
        };
        let log = &self.context.events;
        if !wanted.follow {
            return stream::list(log, &wanted).into();
        }
        let reply = |body| {
            Reply { status: 200, content_type: stream::CONTENT_TYPE, body, headers: Vec::new() }
                // A proxy that collects an answer before it hands it on would hold back every event.
                .with(HeaderName::from_static("x-accel-buffering"), "no")
        };
        if request.method() == Method::HEAD {
            return reply(whole(Bytes::new()));
        }
        let Ok(place) = Arc::clone(log.clients()).try_acquire_owned() else {
            let refused = problem(
                503,
                "Service Unavailable",
                "Too many clients follow the events of this node; ask for a list with /events?follow=false.",
            );
            return Reply::from(refused).with(header::RETRY_AFTER, "5");
        };
        let pieces = stream::stream(log, wanted, (busy.stream(), place)).map_ok(Frame::data);
        reply(Either::Right(StreamBody::new(Box::pin(pieces))))
    }
}
