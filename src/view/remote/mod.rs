//! History under the names of `/metrics`: Prometheus remote read and the export of series.
//!
//! In: the [`Store`] and a request. Out: series whose names, labels and numbers are those of `/metrics`, because the same
//! tables, label blocks and functions make them; only that a row comes out of the ring, not out of the newest tick. It
//! knows no HTTP, and runs beside the connections: the ring is read without making the tick wait.
//!
//! | step | file |
//! |---|---|
//! | which series fit | [`select`] |
//! | their samples | [`samples`] |
//! | remote read | `read.rs`, `messages.rs`, `chunk.rs` |
//! | OpenMetrics with timestamps | `export.rs` |
//! | what is new, for a push | [`tail`] |
//! | bounds and refusals | [`limits`] |
//!
//! A container's labels are those that are known of it now, over its whole history. What has ended is answered for as
//! long as the ring remembers it; with remote read its series get an end mark, as a scrape would have given them.
//!
#![doc = include_str!("families.md")]

pub mod chunk;
pub mod export;
pub mod limits;
pub mod messages;
pub mod read;
pub mod samples;
pub mod select;
pub mod tail;

pub use export::Export;
pub use limits::{Limits, RemoteError};
pub use read::Read;

use bytes::Bytes;

use super::api::{Now, Problem};
use super::prometheus::Shape;
use crate::store::Store;

/// Takes an answer piece by piece; it may wait for the client, and says when there is no point in going on.
pub type Pipe<'a> = dyn FnMut(Bytes) -> Result<(), RemoteError> + 'a;

/// What is asked, and within which bounds.
#[derive(Debug, Clone)]
pub struct Remote {
    /// The ring.
    pub store: Store,
    /// The labels: those that `/metrics` has without being asked.
    pub shape: Shape,
    /// Bounds on requests.
    pub limits: Limits,
}

/// Any series of `/metrics` over time, as OpenMetrics text with timestamps, for `promtool tsdb create-blocks-from openmetrics`.
///
/// # Errors
/// [`RemoteError`] when a parameter is missing, malformed or unknown, or breaks a limit.
#[utoipa::path(get, path = "/api/v1/export", tag = "history", params(
    ("match[]" = Vec<String>, Query, description = "Which series, as PromQL selects them; may be given several times",
        example = json!(["container_memory_rss{namespace=\"shop\",pod=~\"web-.*\"}"])),
    ("start" = Option<String>, Query, description = "RFC 3339, unix seconds, `now` or relative to now (`-15m`); \
        15 minutes before the end when not given", example = "-15m"),
    ("end" = Option<String>, Query, description = "As `start`; now when not given"),
    ("format" = Option<String>, Query, description = "`openmetrics`, the only one and the default"),
), responses(
    (status = 200, description = "The samples, family after family", body = String, content_type = "application/openmetrics-text"),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Too many series or samples", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many requests for history at once", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing was sampled yet, or it took too long", body = Problem, content_type = "application/problem+json"),
))]
pub fn export(query: Option<&str>, now: Now, limits: &Limits) -> Result<Export, RemoteError> {
    Export::parse(query, now, limits)
}

/// Prometheus remote read 1: a snappy-compressed `ReadRequest`; answers both response types.
///
/// # Errors
/// [`RemoteError`] when the body is malformed or breaks a limit.
#[utoipa::path(post, path = "/api/v1/read", tag = "history",
    request_body(content = Vec<u8>, description = "A ReadRequest as a snappy block", content_type = "application/x-protobuf"),
responses(
    (status = 200, description = "A ReadResponse as a snappy block, or a stream of ChunkedReadResponse", body = Vec<u8>, content_type = "application/x-protobuf"),
    (status = 400, description = "The message is malformed", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The message is too long, as it is or decompressed", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Too many queries, matchers, series or samples", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many requests for history at once", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing was sampled yet, or it took too long", body = Problem, content_type = "application/problem+json"),
))]
pub fn read(body: &[u8], limits: &Limits) -> Result<Read, RemoteError> {
    Read::parse(body, limits)
}

impl Remote {
    /// The history of `store` with the default limits.
    #[must_use]
    pub fn new(store: Store, shape: impl Into<Shape>) -> Self {
        Self { store, shape: shape.into(), limits: Limits::default() }
    }
}
