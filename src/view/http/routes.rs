//! Path → answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::stream::{self, Body};
use super::{Context, Limits, compat, negotiate, problem};
use crate::auth::listen::Busy;
use crate::view::prometheus::agent::Counts;
use crate::view::prometheus::set::Set;
use crate::view::prometheus::{Ask, Compression, ExpositionError, Labels, Pick, Scraper};
use crate::view::remote::{self, Pipe, RemoteError};
use crate::view::{Answer, api, page};

/// Most API requests that are worked on at once: they read history and must not fill the blocking threads.
const API_AT_ONCE: usize = 4;

/// Prometheus remote read.
pub(super) const READ: &str = "/api/v1/read";
const EXPORT: &str = "/api/v1/export";

/// The routes and what they show.
#[derive(Debug)]
pub struct Routes {
    pub(super) context: Context,
    pub(super) limits: Limits,
    pub(super) api: Arc<Semaphore>,
    /// Requests for cAdvisor's API, whose answers are the largest.
    pub(super) cadvisor: Arc<Semaphore>,
    /// Requests for history that are answered, and those that wait for it.
    answering: Arc<Semaphore>,
    waiting: Semaphore,
}

/// What a route gives: its answer's parts, before the headers that every response has.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Body,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        let Answer { status, content_type, body } = answer;
        Self { status, content_type, body: whole(body), headers: Vec::new() }
    }
}

pub(super) fn whole(body: impl Into<Bytes>) -> Body {
    Either::Left(Either::Left(Full::new(body.into())))
}

impl Reply {
    fn text(body: &'static str) -> Self {
        Self {
            status: 200,
            content_type: "text/plain; charset=utf-8",
            body: whole(Bytes::from_static(body.as_bytes())),
            headers: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}

impl Routes {
    /// Routes to what `context` holds.
    #[must_use]
    pub fn new(context: Context, limits: Limits) -> Self {
        let bounds = context.remote.limits;
        Self {
            context,
            limits,
            api: Arc::new(Semaphore::new(API_AT_ONCE)),
            cadvisor: Arc::new(Semaphore::new(1)),
            answering: Arc::new(Semaphore::new(bounds.at_once)),
            waiting: Semaphore::new(bounds.waiting),
        }
    }

    /// What the server counts about itself.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        self.context.exposition.counts()
    }

    /// Answers a request. Only a remote read's body is read.
    pub async fn answer(&self, request: Request<Incoming>, peer: IpAddr, busy: &Busy) -> Response<Body> {
        let reply = self.reply(request, peer, busy).await;
        self.counts().response(reply.status);
        let length = reply.body.size_hint().exact();
        let mut response = Response::new(reply.body);
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(reply.headers);
        response
    }

    async fn reply(&self, request: Request<Incoming>, peer: IpAddr, busy: &Busy) -> Reply {
        if request.uri().path() == READ {
            return self.read(request, busy).await;
        }
        if compat::is_ours(request.uri().path()) {
            return self.compat(request).await;
        }
        let request = &request;
        let (method, path, query) = (request.method(), request.uri().path(), request.uri().query());
        if !matches!(*method, Method::GET | Method::HEAD) {
            let refused = problem(405, "Method Not Allowed", "Everything here is read with GET or HEAD.");
            return Reply::from(refused).with(header::ALLOW, "GET, HEAD");
        }
        if declared_length(request.headers()).is_some_and(|length| length > self.limits.body_bytes) {
            return problem(413, "Content Too Large", "Requests need no body.").into();
        }
        match path {
            "/" => Reply {
                status: 200,
                content_type: "text/html; charset=utf-8",
                body: whole(page::page(self.context.store.latest().as_deref())),
                headers: Vec::new(),
            }
            .with(
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ),
            "/metrics" => self.metrics(request, query, peer, None).await,
            "/metrics/cadvisor" => self.metrics(request, query, peer, Some(Labels::Kubelet)).await,
            "/events" => self.events(request, query, busy),
            "/livez" => match self.context.exposition.ready() {
                Err(error @ ExpositionError::Stale { .. }) => unavailable(&error),
                _ => Reply::text("ok\n"),
            },
            "/readyz" => match self.context.exposition.ready() {
                Ok(_) => Reply::text("ok\n"),
                Err(error) => unavailable(&error),
            },
            EXPORT => self.export(query, busy).await,
            "/openapi.json" => self.api(path, query).await,
            _ if path.starts_with("/api/") => self.api(path, query).await,
            _ => not_found(),
        }
    }

    async fn metrics(
        &self,
        request: &Request<Incoming>,
        query: Option<&str>,
        peer: IpAddr,
        of_path: Option<Labels>,
    ) -> Reply {
        let headers = request.headers();
        let labels = match of_path.map(Ok).or_else(|| labels_of(query)) {
            None => self.context.exposition.labels(),
            Some(Ok(labels)) => labels,
            Some(Err(error)) => return problem(400, "Bad Request", &format!("{error}.")).into(),
        };
        let pick = match Pick::parse(query) {
            Ok(pick) => pick,
            Err(error) => return problem(400, "Bad Request", &error.to_string()).into(),
        };
        let negotiate::Accepted { format, escaping } = negotiate::accepted(values(headers, &header::ACCEPT));
        let ask = Ask {
            labels,
            format,
            compression: negotiate::compression(values(headers, &header::ACCEPT_ENCODING)),
            naming: self.context.exposition.naming(format, escaping),
            classic: pick.names(Set::Distribution),
            pick,
            created: is_set(query, "created"),
        };
        // HEAD looks without taking: it does not begin a new window of maxima.
        let agent = values(headers, &header::USER_AGENT).next().unwrap_or("");
        let scraper = (request.method() == Method::GET).then(|| Scraper::new(peer, agent));
        match self.context.exposition.show(&ask, scraper.as_ref()).await {
            Ok(shown) => {
                let reply = Reply {
                    status: 200,
                    content_type: format.escaped_content_type(escaping),
                    body: whole(shown.body),
                    headers: Vec::new(),
                }
                .with(header::VARY, "Accept, Accept-Encoding");
                match ask.compression {
                    Compression::Identity => reply,
                    other => reply.with(header::CONTENT_ENCODING, other.as_str()),
                }
            }
            Err(ExpositionError::Failed(why)) => problem(500, "Internal Server Error", &why).into(),
            Err(error) => unavailable(&error),
        }
    }

    async fn api(&self, path: &str, query: Option<&str>) -> Reply {
        let Ok(permit) = Arc::clone(&self.api).acquire_owned().await else { return not_found() };
        let (context, path, query) = (self.context.clone(), path.to_owned(), query.map(str::to_owned));
        let work = tokio::task::spawn_blocking(move || {
            let answer = (context.api)(&context.store, &path, query.as_deref());
            drop(permit);
            answer
        });
        match work.await {
            Ok(Some(answer)) => answer.into(),
            Ok(None) => not_found(),
            Err(_) => problem(500, "Internal Server Error", "The request could not be worked on.").into(),
        }
    }
}

impl Routes {
    /// Prometheus remote read: the one request with a body.
    async fn read(&self, request: Request<Incoming>, busy: &Busy) -> Reply {
        if request.method() != Method::POST {
            let refused = problem(405, "Method Not Allowed", "Remote read is a POST: see remote_read of Prometheus.");
            return Reply::from(refused).with(header::ALLOW, "POST");
        }
        let most = self.limits.body_bytes;
        let too_long = || {
            let detail = format!("A remote read has at most {most} bytes: ask with fewer or shorter matchers.");
            Reply::from(problem(413, "Content Too Large", &detail))
        };
        if declared_length(request.headers()).is_some_and(|length| length > most) {
            return too_long();
        }
        let body = Limited::new(request.into_body(), usize::try_from(most).unwrap_or(usize::MAX)).collect();
        let body = match tokio::time::timeout(self.limits.head, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return too_long(),
            Ok(Err(_)) => return problem(400, "Bad Request", "The body ended early.").into(),
            Err(_) => return problem(408, "Request Timeout", "The body did not come in time.").into(),
        };
        let read = match remote::read(&body, &self.context.remote.limits) {
            Ok(read) => read,
            Err(error) => return refused(error, READ),
        };
        let (content_type, encoding) = (read.content_type(), read.content_encoding());
        let (remote, deadline) = (self.context.remote.clone(), self.deadline());
        let reply =
            self.history(READ, content_type, busy, move |pipe| read.write(&remote, deadline, pipe), deadline).await;
        match encoding {
            Some(encoding) if reply.status == 200 => reply.with(header::CONTENT_ENCODING, encoding),
            _ => reply,
        }
    }

    async fn export(&self, query: Option<&str>, busy: &Busy) -> Reply {
        let export = match remote::export(query, api::Now::read(), &self.context.remote.limits) {
            Ok(export) => export,
            Err(error) => return refused(error, EXPORT),
        };
        let (remote, deadline) = (self.context.remote.clone(), self.deadline());
        let work = move |pipe: &mut Pipe<'_>| export.write(&remote, deadline, pipe);
        self.history(EXPORT, remote::Export::CONTENT_TYPE, busy, work, deadline).await
    }

    /// When an answer that begins to wait for its turn now has to be complete.
    fn deadline(&self) -> Instant {
        let limits = self.context.remote.limits;
        Instant::now() + limits.wait + limits.time
    }

    /// Waits for a turn, and streams what `work` makes.
    async fn history(
        &self,
        path: &str,
        content_type: &'static str,
        busy: &Busy,
        work: impl FnOnce(&mut Pipe<'_>) -> Result<(), RemoteError> + Send + 'static,
        deadline: Instant,
    ) -> Reply {
        let limits = self.context.remote.limits;
        let turn = match self.waiting.try_acquire() {
            Ok(_waiting) => tokio::time::timeout(limits.wait, Arc::clone(&self.answering).acquire_owned()).await,
            Err(_) => return refused(RemoteError::Busy, path),
        };
        let Ok(Ok(turn)) = turn else { return refused(RemoteError::Busy, path) };
        let work = move |pipe: &mut Pipe<'_>| {
            let _turn = turn;
            work(pipe)
        };
        match stream::start(work, deadline, RemoteError::Late(limits.time), busy.stream()).await {
            Ok(body) => Reply { status: 200, content_type, body, headers: Vec::new() },
            Err(error) => refused(error, path),
        }
    }
}

/// A refusal as a problem document; with the hint to come again where that helps.
fn refused(error: RemoteError, path: &str) -> Reply {
    let reply = Reply::from(error.into_answer(path));
    match reply.status {
        429 | 503 => reply.with(header::RETRY_AFTER, "5"),
        _ => reply,
    }
}

fn not_found() -> Reply {
    problem(404, "Not Found", "There is no such path; / lists what there is.").into()
}

fn unavailable(error: &ExpositionError) -> Reply {
    Reply::from(problem(503, "Service Unavailable", &format!("{error}."))).with(header::RETRY_AFTER, "1")
}

pub(super) fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    values(headers, &header::CONTENT_LENGTH).next()?.parse().ok()
}

fn labels_of(query: Option<&str>) -> Option<Result<Labels, crate::view::prometheus::UnknownLabels>> {
    let word = query?.split('&').find_map(|pair| pair.strip_prefix("labels="))?;
    Some(word.parse())
}

/// Whether a parameter is there as `1` or `true`, or without a value.
fn is_set(query: Option<&str>, name: &str) -> bool {
    query.into_iter().flat_map(|query| query.split('&')).any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, "1"));
        key == name && matches!(value, "1" | "true")
    })
}
