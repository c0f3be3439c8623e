//! The paths of the kubelet and of cAdvisor.
//!
//! In: a request, with its body where cAdvisor puts the question there. Out: what [`kubelet`] and [`cadvisor`] answer. They
//! may take their time: each has a bound of how many are worked on at once, beside the connections. A body is read to its
//! bound and no further.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};

use super::problem;
use super::routes::{Reply, Routes, declared_length};
use crate::view::{cadvisor, kubelet};

/// Whether a path is answered here.
pub(super) fn is_ours(path: &str) -> bool {
    is_the_kubelets(path) || cadvisor::is_ours(path)
}

/// Whether a POST to this path asks a question and changes nothing, as at the kubelet and at cAdvisor.
pub(super) fn asks_by_post(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == kubelet::SUMMARY || cadvisor::is_ours(path)
}

fn is_the_kubelets(path: &str) -> bool {
    matches!(path.strip_suffix('/').unwrap_or(path), kubelet::RESOURCE | kubelet::SUMMARY)
}

impl Routes {
    /// Answers one of the paths of [`is_ours`].
    pub(super) async fn compat(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().map(str::to_owned);
        let allowed = if asks_by_post(&path) { "GET, HEAD, POST" } else { "GET, HEAD" };
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::POST if asks_by_post(&path) => {}
            _ => {
                let refused = problem(405, "Method Not Allowed", &format!("Use one of {allowed} here."));
                let mut reply = Reply::from(refused);
                reply.headers.push((header::ALLOW, HeaderValue::from_static(allowed)));
                return reply;
            }
        }
        let body = match self.question(request).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let turns = if is_the_kubelets(&path) { &self.api } else { &self.cadvisor };
        let Ok(turn) = Arc::clone(turns).acquire_owned().await else {
            return problem(503, "Service Unavailable", "The server is stopping.").into();
        };
        let context = self.context.clone();
        let work = tokio::task::spawn_blocking(move || {
            let answer = match kubelet::answer(&context.store, &context.processes, &path, query.as_deref()) {
                Some(answer) => answer,
                None => {
                    let events = cadvisor::events::of_log(&context.events);
                    let (store, processes) = (&context.store, &context.processes);
                    let source = cadvisor::Source { store, processes, events: &events };
                    cadvisor::answer(&source, &cadvisor::Request { path: &path, query: query.as_deref(), body: &body })
                }
            };
            drop(turn);
            answer
        });
        match work.await {
            Ok(answer) => answer.into(),
            Err(_) => problem(500, "Internal Server Error", "The request could not be worked on.").into(),
        }
    }

    /// The body of a request whose body may be a question.
    async fn question(&self, request: Request<Incoming>) -> Result<Bytes, Reply> {
        let most = self.limits.body_bytes;
        let too_long = || Reply::from(problem(413, "Content Too Large", &format!("A body has at most {most} bytes.")));
        if declared_length(request.headers()).is_some_and(|length| length > most) {
            return Err(too_long());
        }
        let body = Limited::new(request.into_body(), usize::try_from(most).unwrap_or(usize::MAX)).collect();
        match tokio::time::timeout(self.limits.head, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
            Ok(Err(_)) => Err(problem(400, "Bad Request", "The body ended early.").into()),
            Err(_) => Err(problem(408, "Request Timeout", "The body did not come in time.").into()),
        }
    }
}
