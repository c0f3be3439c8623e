//! A target: which bodies it takes, and what it says to them.
//!
//! In: [`Series`], then the bodies made of them. Out: [`Outcome`]s. It knows which version of remote write the other side
//! speaks. It decides nothing about when to send. Next: `task.rs`.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};

use super::answer::{Failure, Outcome};
use super::batch::Series;
use super::grpc::GrpcExport;
use super::http::{Address, Endpoint, Http};
use super::remote_write::{Body, Bounds, Version};
use super::{otlp, remote_write};
use crate::sample::export_stats::ExportResult;

/// One request of remote write: far below what receivers take, and large enough that names cost little.
const REMOTE_WRITE_BOUNDS: Bounds = Bounds { samples: 20_000, bytes: 4 << 20 };

/// A collector takes gRPC messages of 4 MiB at most, uncompressed.
const OTLP_BOUNDS: Bounds = Bounds { samples: 10_000, bytes: 2 << 20 };

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// What is spoken to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// Remote write; without a version, 2.0 until the other side does not understand it.
    RemoteWrite(Option<Version>),
    /// OTLP over HTTP, with what is said of the node.
    OtlpHttp(Vec<(String, String)>),
    /// OTLP over gRPC, with what is said of the node.
    OtlpGrpc(Vec<(String, String)>),
}

/// How series become bodies. It may be used where nobody waits.
#[derive(Debug, Clone)]
pub enum Format {
    /// Remote write in a version.
    RemoteWrite(Version),
    /// OTLP, compressed for HTTP.
    Otlp {
        /// What the node is.
        resource: Vec<(String, String)>,
        /// Whether messages are compressed.
        is_gzip: bool,
    },
}

impl Format {
    /// Makes bodies of series.
    #[must_use]
    pub fn encode(&self, series: &[Series]) -> Vec<Body> {
        match self {
            Self::RemoteWrite(version) => remote_write::encode(series, *version, REMOTE_WRITE_BOUNDS),
            Self::Otlp { resource, is_gzip: false } => otlp::encode(series, resource, OTLP_BOUNDS),
            Self::Otlp { resource, is_gzip: true } => {
                let bodies = otlp::encode(series, resource, OTLP_BOUNDS).into_iter();
                bodies.filter_map(|body| Some(Body { bytes: gzip(&body.bytes)?, ..body })).collect()
            }
        }
    }
}

/// Writing to memory does not fail.
fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

enum Way {
    RemoteWrite {
        http: Http,
        version: Version,
        /// No other version is tried.
        is_fixed: bool,
        /// A request of this version was taken.
        is_certain: bool,
        /// Version 1.0 is spoken because of a 400, which may have been about the samples.
        is_doubtful: bool,
    },
    OtlpHttp(Http, Format),
    OtlpGrpc(GrpcExport, Format),
}

/// One target.
pub struct Target(Way);

impl Target {
    /// A target that was not spoken to yet.
    #[must_use]
    pub fn new(protocol: Protocol, endpoint: Endpoint, address: Address) -> Self {
        Self(match protocol {
            Protocol::RemoteWrite(version) => Way::RemoteWrite {
                http: Http::new(endpoint, address),
                version: version.unwrap_or(Version::V2),
                is_fixed: version.is_some(),
                is_certain: false,
                is_doubtful: false,
            },
            Protocol::OtlpHttp(resource) => {
                Way::OtlpHttp(Http::new(endpoint, address), Format::Otlp { resource, is_gzip: true })
            }
            Protocol::OtlpGrpc(resource) => {
                Way::OtlpGrpc(GrpcExport::new(endpoint, address), Format::Otlp { resource, is_gzip: false })
            }
        })
    }

    /// The same with another patience.
    #[cfg(test)]
    pub fn with_timeout(self, whole: std::time::Duration) -> Self {
        Self(match self.0 {
            Way::RemoteWrite { http, version, is_fixed, is_certain, is_doubtful } => {
                Way::RemoteWrite { http: http.with_timeout(whole), version, is_fixed, is_certain, is_doubtful }
            }
            Way::OtlpHttp(http, format) => Way::OtlpHttp(http.with_timeout(whole), format),
            other @ Way::OtlpGrpc(..) => other,
        })
    }

    /// What it takes now.
    #[must_use]
    pub fn format(&self) -> Format {
        match &self.0 {
            Way::RemoteWrite { version, .. } => Format::RemoteWrite(*version),
            Way::OtlpHttp(_, format) | Way::OtlpGrpc(_, format) => format.clone(),
        }
    }

    /// The bodies of a window are done with. A 400 to 2.0 that was answered to 1.0 as well was about the samples and not
    /// about the version: 2.0 is tried again with the next window.
    pub fn end_window(&mut self) {
        if let Way::RemoteWrite { version, is_doubtful, is_certain: false, .. } = &mut self.0
            && std::mem::take(is_doubtful)
        {
            *version = Version::V2;
        }
    }

    /// Sends one body. After [`Outcome::Unsupported`] it takes another [`format`](Self::format), unless its version is
    /// fixed: then that is a refusal.
    pub async fn send(&mut self, body: &Body) -> Outcome {
        match &mut self.0 {
            Way::RemoteWrite { http, version, is_fixed, is_certain, is_doubtful } => {
                let headers =
                    [(CONTENT_TYPE, version.content_type()), (CONTENT_ENCODING, "snappy"), (VERSION, version.header())];
                let outcome = match http.post(body.bytes.clone(), &headers).await {
                    Ok(answer) => answer.remote_write(*version, body.samples, *is_certain),
                    Err(failure) => Outcome::Failed(failure),
                };
                match outcome {
                    Outcome::Unsupported { status, told } if *is_fixed || *version == Version::V1 => {
                        let hint = "the receiver does not speak this version of remote write";
                        // A success that says nothing of samples: nobody knows that they were read.
                        Outcome::Refused { status, told: format!("{told} ({hint})") }
                    }
                    Outcome::Unsupported { status, told } => {
                        *version = Version::V1;
                        *is_certain = false;
                        *is_doubtful = status == 400;
                        Outcome::Unsupported { status, told }
                    }
                    outcome => {
                        *is_certain |= matches!(outcome, Outcome::Accepted { .. });
                        outcome
                    }
                }
            }
            Way::OtlpHttp(http, _) => {
                let headers = [(CONTENT_TYPE, "application/x-protobuf"), (CONTENT_ENCODING, "gzip")];
                http.post(body.bytes.clone(), &headers).await.map_or_else(Outcome::Failed, |answer| answer.otlp())
            }
            Way::OtlpGrpc(grpc, _) => grpc.export(body.bytes.clone()).await,
        }
    }
}

/// What somebody can do about a failure that is tried again.
#[must_use]
pub const fn cure(failure: &Failure) -> &'static str {
    match failure.result {
        ExportResult::Busy => "the target asks to wait; it is sent again when it says",
        ExportResult::ServerError => "look at the target's log; what is measured meanwhile is sent later",
        ExportResult::Redirected => "redirects are not followed: give the URL that it leads to",
        ExportResult::Timeout | ExportResult::Unreachable => {
            "is the URL right, and is there a network policy in between? What is measured meanwhile is sent later"
        }
        ExportResult::Credentials => "mend the file; what is measured meanwhile is sent later",
        ExportResult::Accepted | ExportResult::Partial | ExportResult::Refused | ExportResult::Unsupported => "",
    }
}

/// What somebody can do about samples that were refused for good, by the status of the answer.
#[must_use]
pub const fn cure_refusal(status: u16) -> &'static str {
    match status {
        // The numbers below 100 are gRPC's.
        401 | 16 => "give a token, a password or a client certificate that the target knows",
        403 | 7 => "let these credentials write there",
        404 | 405 | 12 => "the URL needs the path that takes writes, such as /api/v1/write or /v1/metrics",
        413 => "raise the target's limit on the size of a request",
        400 | 422 | 3 => {
            "the target's own words say which samples it does not take; older ones than it has are refused unless it \
             allows them out of order"
        }
        _ => "the target's own words say why",
    }
}
