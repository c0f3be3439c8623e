//! Path → answer.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::{Context, Limits, negotiate, problem};
use crate::view::prometheus::agent::Counts;
use crate::view::prometheus::{Ask, Compression, ExpositionError, Labels, Scraper};
use crate::view::{Answer, page};

/// Most API requests that are worked on at once: they read history and must not fill the blocking threads.
const API_AT_ONCE: usize = 4;

/// The routes and what they show.
#[derive(Debug)]
pub struct Routes {
    context: Context,
    limits: Limits,
    api: Arc<Semaphore>,
}

/// What a route gives: its answer's parts, before the headers that every response has.
struct Reply {
    status: u16,
    content_type: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        let Answer { status, content_type, body } = answer;
        Self { status, content_type, body: body.into(), headers: Vec::new() }
    }
}

impl Reply {
    fn text(body: &'static str) -> Self {
        Self {
            status: 200,
            content_type: "text/plain; charset=utf-8",
            body: Bytes::from_static(body.as_bytes()),
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}

impl Routes {
    /// Routes to what `context` holds.
    #[must_use]
    pub fn new(context: Context, limits: Limits) -> Self {
        Self { context, limits, api: Arc::new(Semaphore::new(API_AT_ONCE)) }
    }

    /// What the server counts about itself.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        self.context.exposition.counts()
    }

    /// Answers a request. Its body is never read.
    pub async fn answer(&self, request: &Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let reply = self.reply(request, peer).await;
        self.counts().response(reply.status);
        let mut response = Response::new(Full::new(reply.body.clone()));
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(reply.headers);
        response
    }

    async fn reply(&self, request: &Request<Incoming>, peer: IpAddr) -> Reply {
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
                body: page::page(self.context.store.latest().as_deref()).into(),
                headers: Vec::new(),
            }
            .with(
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ),
            "/metrics" => self.metrics(request, query, peer).await,
            "/livez" => match self.context.exposition.ready() {
                Err(error @ ExpositionError::Stale { .. }) => unavailable(&error),
                _ => Reply::text("ok\n"),
            },
            "/readyz" => match self.context.exposition.ready() {
                Ok(_) => Reply::text("ok\n"),
                Err(error) => unavailable(&error),
            },
            "/openapi.json" => self.api(path, query).await,
            _ if path.starts_with("/api/") => self.api(path, query).await,
            _ => not_found(),
        }
    }

    async fn metrics(&self, request: &Request<Incoming>, query: Option<&str>, peer: IpAddr) -> Reply {
        let headers = request.headers();
        let labels = match labels_of(query) {
            None => self.context.exposition.labels(),
            Some(Ok(labels)) => labels,
            Some(Err(error)) => return problem(400, "Bad Request", &format!("{error}.")).into(),
        };
        let ask = Ask {
            labels,
            format: negotiate::format(values(headers, &header::ACCEPT)),
            compression: negotiate::compression(values(headers, &header::ACCEPT_ENCODING)),
        };
        // HEAD looks without taking: it does not begin a new window of maxima.
        let agent = values(headers, &header::USER_AGENT).next().unwrap_or("");
        let scraper = (request.method() == Method::GET).then(|| Scraper::new(peer, agent));
        match self.context.exposition.show(ask, scraper.as_ref()).await {
            Ok(shown) => {
                let reply = Reply {
                    status: 200,
                    content_type: ask.format.content_type(),
                    body: shown.body,
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

fn not_found() -> Reply {
    problem(404, "Not Found", "There is no such path; / lists what there is.").into()
}

fn unavailable(error: &ExpositionError) -> Reply {
    Reply::from(problem(503, "Service Unavailable", &format!("{error}."))).with(header::RETRY_AFTER, "1")
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    values(headers, &header::CONTENT_LENGTH).next()?.parse().ok()
}

fn labels_of(query: Option<&str>) -> Option<Result<Labels, crate::view::prometheus::UnknownLabels>> {
    let word = query?.split('&').find_map(|pair| pair.strip_prefix("labels="))?;
    Some(word.parse())
}
