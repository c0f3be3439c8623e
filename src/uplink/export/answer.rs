//! What an answer to a request means.
//!
//! In: status, headers and the first bytes of a body, which may be anybody's: the target's, a proxy's, a stranger's. Out:
//! an [`Outcome`]. It decides nothing about when to send again. Next: `task.rs`.

use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use prost::Message;

use super::remote_write::Version;
use crate::sample::export_stats::ExportResult;
use crate::units::printable;

/// Most bytes of an answer that are read.
pub const MOST_ANSWER_BYTES: usize = 64 * 1024;

/// Most bytes of a stranger's text that are logged.
const MOST_TOLD_BYTES: usize = 300;

/// Samples that a receiver of remote write 2.0 has written.
const WRITTEN: &str = "x-prometheus-remote-write-samples-written";

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target has taken all but `rejected` samples, and will not take those.
    Accepted {
        /// Samples that were not taken.
        rejected: u64,
        /// What was said about them.
        told: String,
    },
    /// The target will not take it, however often it is sent.
    Refused {
        /// Status of the answer.
        status: u16,
        /// What was said, safe to log.
        told: String,
    },
    /// The target does not speak this version of the protocol.
    Unsupported {
        /// Status of the answer.
        status: u16,
        /// What was said, safe to log.
        told: String,
    },
    /// It was not taken in, or nobody said so: it is sent again.
    Failed(Failure),
}

/// A request that failed for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it is counted as.
    pub result: ExportResult,
    /// Status of the answer, 0 without one.
    pub status: u16,
    /// What was said, safe to log.
    pub told: String,
    /// How long the target asks to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without an answer.
    #[must_use]
    pub const fn silent(result: ExportResult, told: String) -> Self {
        Self { result, status: 0, told, retry_after: None }
    }
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, bounded.
    pub body: Vec<u8>,
}

impl Answer {
    fn told(&self) -> String {
        told(self.status.as_u16(), &String::from_utf8_lossy(&self.body))
    }

    fn failure(&self, result: ExportResult) -> Outcome {
        let after = self.headers.get(hyper::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Outcome::Failed(Failure { result, status: self.status.as_u16(), told: self.told(), retry_after })
    }

    fn refused(&self) -> Outcome {
        Outcome::Refused { status: self.status.as_u16(), told: self.told() }
    }

    fn unsupported(&self) -> Outcome {
        Outcome::Unsupported { status: self.status.as_u16(), told: self.told() }
    }

    /// What it means to a sender of remote write. `is_certain` is set once the target has taken a request of this version.
    #[must_use]
    pub fn remote_write(&self, version: Version, samples: u64, is_certain: bool) -> Outcome {
        match self.status.as_u16() {
            200..=299 => match (version, self.written()) {
                (Version::V1, _) => Outcome::Accepted { rejected: 0, told: String::new() },
                (Version::V2, Some(written)) => {
                    Outcome::Accepted { rejected: samples.saturating_sub(written), told: self.told() }
                }
                // A receiver of 1.0 that looks at no header finds nothing in the message and says that all is well.
                (Version::V2, None) => self.unsupported(),
            },
            415 => self.unsupported(),
            400 if version == Version::V2 && !is_certain => self.unsupported(),
            code => self.not_accepted(code, code >= 500),
        }
    }

    /// What it means to a sender of OTLP over HTTP.
    #[must_use]
    pub fn otlp(&self) -> Outcome {
        match self.status.as_u16() {
            200..=299 => partial(&self.body),
            code => self.not_accepted(code, matches!(code, 502..=504)),
        }
    }

    fn not_accepted(&self, code: u16, is_transient: bool) -> Outcome {
        match code {
            429 => self.failure(ExportResult::Busy),
            300..=399 => self.failure(ExportResult::Redirected),
            503 if self.headers.contains_key(hyper::header::RETRY_AFTER) => self.failure(ExportResult::Busy),
            _ if is_transient => self.failure(ExportResult::ServerError),
            400.. => self.refused(),
            _ => self.failure(ExportResult::ServerError),
        }
    }

    fn written(&self) -> Option<u64> {
        self.headers.get(WRITTEN)?.to_str().ok()?.trim().parse().ok()
    }
}

/// `ExportMetricsServiceResponse` of OTLP.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_data_points: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// Reads the message of a success. A body that is none of OTLP's says nothing against it.
#[must_use]
pub fn partial(body: &[u8]) -> Outcome {
    let partial = ExportResponse::decode(body).ok().and_then(|response| response.partial_success).unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_data_points).unwrap_or(0);
    Outcome::Accepted { rejected, told: clip(&printable(partial.error_message.as_bytes())).to_owned() }
}

/// A code and a stranger's words, on one line and not long.
#[must_use]
pub fn told(code: u16, words: &str) -> String {
    let first = words.trim().get(..words.trim().floor_char_boundary(MOST_TOLD_BYTES)).unwrap_or_default();
    let text = printable(first.as_bytes());
    format!("{code} {}", clip(&text)).trim_end().to_owned()
}

fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_TOLD_BYTES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: map, body: body.as_bytes().to_vec() }
    }

    fn failure(outcome: Outcome) -> Failure {
        match outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn version_2_is_accepted_only_by_who_says_how_much_was_written() {
        let written = |value| answer(204, &[(WRITTEN, value)], "");
        let taken = |outcome| match outcome {
            Outcome::Accepted { rejected, .. } => rejected,
            other => panic!("{other:?}"),
        };
        assert_eq!(taken(written("10").remote_write(Version::V2, 10, true)), 0);
        assert_eq!(taken(written("7").remote_write(Version::V2, 10, true)), 3);
        let silent = answer(204, &[], "").remote_write(Version::V2, 10, true);
        assert!(matches!(silent, Outcome::Unsupported { status: 204, .. }), "{silent:?}");
        assert_eq!(taken(answer(204, &[], "").remote_write(Version::V1, 10, true)), 0);
    }

    #[test]
    fn a_400_speaks_about_the_version_until_one_request_was_taken_and_about_the_samples_afterwards() {
        let bad = answer(400, &[], "out of order sample");
        assert!(matches!(bad.remote_write(Version::V2, 1, false), Outcome::Unsupported { .. }));
        assert!(matches!(bad.remote_write(Version::V2, 1, true), Outcome::Refused { status: 400, .. }));
        assert!(matches!(bad.remote_write(Version::V1, 1, false), Outcome::Refused { status: 400, .. }));
        let unsupported = answer(415, &[], "").remote_write(Version::V2, 1, true);
        assert!(matches!(unsupported, Outcome::Unsupported { status: 415, .. }));
    }

    #[test]
    fn what_may_succeed_later_is_told_from_what_never_will() {
        let result = |code| match answer(code, &[], "").remote_write(Version::V1, 1, true) {
            Outcome::Failed(failure) => Some(failure.result),
            Outcome::Refused { .. } => None,
            other => panic!("{other:?}"),
        };
        for code in [400, 401, 403, 404, 405, 413, 422] {
            assert_eq!(result(code), None, "{code}");
        }
        assert_eq!(result(429), Some(ExportResult::Busy));
        assert_eq!(result(302), Some(ExportResult::Redirected));
        for code in [500, 501, 502, 503, 504, 599] {
            assert_eq!(result(code), Some(ExportResult::ServerError), "{code}");
        }
    }

    #[test]
    fn otlp_names_the_codes_that_are_tried_again() {
        let retried = |code| matches!(answer(code, &[], "").otlp(), Outcome::Failed(_));
        for code in [429, 502, 503, 504] {
            assert!(retried(code), "{code}");
        }
        for code in [400, 401, 404, 413, 500, 501] {
            assert!(!retried(code), "{code}");
        }
    }

    #[test]
    fn how_long_to_wait_is_read_where_it_is_a_number() {
        let busy = failure(answer(429, &[("retry-after", " 7 ")], "slow down").remote_write(Version::V1, 1, true));
        assert_eq!((busy.retry_after, busy.told.as_str()), (Some(Duration::from_secs(7)), "429 slow down"));
        let busy = failure(answer(503, &[("retry-after", "5")], "").remote_write(Version::V1, 1, true));
        assert_eq!((busy.result, busy.retry_after), (ExportResult::Busy, Some(Duration::from_secs(5))));
        let dated = [("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")];
        assert_eq!(failure(answer(429, &dated, "").remote_write(Version::V1, 1, true)).retry_after, None);
    }

    #[test]
    fn a_strangers_text_cannot_break_a_line_of_the_log_and_is_short() {
        let body = format!("\u{1b}[31mno\nway {}", "é".repeat(5_000));
        let told = failure(answer(502, &[], &body).remote_write(Version::V1, 1, true)).told;
        assert!(told.starts_with("502 \\x1b[31mno\\x0away é"), "{told}");
        assert!(told.len() < 320);
    }

    #[test]
    fn a_partial_success_of_otlp_says_how_much_was_rejected() {
        let partial_success = PartialSuccess { rejected_data_points: 4, error_message: "too\nold".into() };
        let body = ExportResponse { partial_success: Some(partial_success) }.encode_to_vec();
        assert_eq!(partial(&body), Outcome::Accepted { rejected: 4, told: "too\\x0aold".into() });
        assert_eq!(partial(b""), Outcome::Accepted { rejected: 0, told: String::new() });
        assert_eq!(partial(b"<html>"), Outcome::Accepted { rejected: 0, told: String::new() });
    }
}
