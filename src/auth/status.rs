//! Refusals in Kubernetes' words.
//!
//! In: why a request is refused. Out: a response with a `Status` object, and nothing of what was asked for.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::Denied;
use super::https::{Body, BodyError};

/// A response that is all there.
#[must_use]
pub fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The text of a `Status` object that tells of a failure.
#[must_use]
pub fn failure(code: u16, reason: &str, message: &str) -> Vec<u8> {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    let mut text = status.to_string().into_bytes();
    text.push(b'\n');
    text
}

fn refuse(status: StatusCode, reason: &str, message: &str) -> Response<Body> {
    whole(status, "application/json", failure(status.as_u16(), reason, message))
}

impl Denied {
    /// The refusal as a response.
    #[must_use]
    pub fn response(&self) -> Response<Body> {
        let (status, reason) = match self {
            Self::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        };
        let mut response = refuse(status, reason, &self.to_string());
        let headers = response.headers_mut();
        match self {
            Self::Unauthenticated(_) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Forbidden(_) => {}
        }
        response
    }
}

impl BodyError {
    /// The refusal as a response.
    #[must_use]
    pub fn response(&self) -> Response<Body> {
        let (status, reason) = match self {
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "Timeout"),
            Self::Broken(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        };
        let mut response = refuse(status, reason, &self.to_string());
        if matches!(self, Self::Busy) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
