//! A request and an answer, without a connection.
//!
//! In: filled by the HTTPS server and by the APIs. Out: [`ApiRequest`] and [`ApiAnswer`], and its form for hyper. A long
//! answer comes as chunks through a short channel: a slow reader holds up its own answer and nobody else's.
//! Next: [`super`].

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc::Receiver;

/// What JSON is called.
pub(super) const JSON: &str = "application/json";

/// What is asked, as it stands in the request's head.
#[derive(Debug, Clone, Default)]
pub struct ApiRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, still percent-encoded.
    pub path: String,
    /// What follows the `?`, still percent-encoded.
    pub query: Option<String>,
    /// The `Accept` header; several are joined with commas.
    pub accept: Option<String>,
}

impl ApiRequest {
    /// A GET of a path with its query.
    #[must_use]
    pub fn get(target: &str) -> Self {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Self { method: "GET".to_owned(), path: path.to_owned(), query: query.map(str::to_owned), accept: None }
    }

    /// The same, with this `Accept` header.
    #[must_use]
    pub fn accepting(mut self, accept: &str) -> Self {
        self.accept = Some(accept.to_owned());
        self
    }

    /// The head of a request that hyper has read.
    #[must_use]
    pub fn of<B>(request: &hyper::Request<B>) -> Self {
        let accepts = request.headers().get_all(hyper::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let accept = accepts.collect::<Vec<_>>().join(",");
        Self {
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            accept: Some(accept).filter(|accept| !accept.is_empty()),
        }
    }
}

/// What is answered.
#[derive(Debug)]
pub struct ApiAnswer {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: Cow<'static, str>,
    /// When to try again, for 429 and 503.
    pub retry_after_seconds: Option<u32>,
    /// The body.
    pub body: ApiBody,
}

/// A body: at once, or as it is made.
#[derive(Debug)]
pub enum ApiBody {
    /// All of it.
    Bytes(Bytes),
    /// Chunks; the body ends when the sender is gone.
    Chunks(Receiver<Bytes>),
}

impl ApiAnswer {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::of(status, JSON, ApiBody::Bytes(body.into()))
    }

    /// Plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::of(status, "text/plain; charset=utf-8", ApiBody::Bytes(body.into()))
    }

    pub(super) fn of(status: u16, content_type: impl Into<Cow<'static, str>>, body: ApiBody) -> Self {
        Self { status, content_type: content_type.into(), retry_after_seconds: None, body }
    }

    /// The answer as hyper sends it.
    #[must_use]
    pub fn into_http(self) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let body = match self.body {
            ApiBody::Bytes(bytes) => Full::new(bytes).boxed_unsync(),
            ApiBody::Chunks(chunks) => Chunks(chunks).boxed_unsync(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Ok(content_type) = HeaderValue::from_str(&self.content_type) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// The whole body, however it comes.
    pub async fn bytes(self) -> Bytes {
        match self.body {
            ApiBody::Bytes(bytes) => bytes,
            ApiBody::Chunks(mut chunks) => {
                let mut all = Vec::new();
                while let Some(chunk) = chunks.recv().await {
                    all.extend_from_slice(&chunk);
                }
                all.into()
            }
        }
    }
}

/// A channel as a body.
struct Chunks(Receiver<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chunks_arrive_in_order_and_the_body_ends_with_the_sender() {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        for chunk in ["a", "b", "c"] {
            sender.try_send(Bytes::from(chunk)).unwrap();
        }
        drop(sender);
        let response = ApiAnswer::of(200, JSON, ApiBody::Chunks(receiver)).into_http();
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "abc");
    }
}
