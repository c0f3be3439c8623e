//! What an answer to a push means.
//!
//! In: status code, headers and the first bytes of the body, which may be anybody's: the aggregator's, the API server's, a
//! proxy's. Out: [`Outcome`]. It decides nothing about when to push again. Next: [`super::task`].

use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::sample::push_stats::PushResult;
use crate::units::{UnixNanos, printable};

/// Most bytes of an answer that are read.
pub const MOST_ANSWER_BYTES: usize = 64 * 1024;

/// Most bytes of a stranger's text that are logged.
const MOST_TOLD_BYTES: usize = 300;

/// The field of the cause that says from when on a stand-alone push is wanted.
const SINCE: &str = "since_unix_nanos";

/// How a push ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver holds it now.
    Accepted,
    /// The receiver does not hold what it goes on from, and wants all from an instant on.
    StandAlone(Option<UnixNanos>),
    /// It was not taken in, or nobody said so.
    Failed(Failure),
}

/// A push that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it is counted as.
    pub result: PushResult,
    /// What was said, safe to log.
    pub told: String,
    /// How long the receiver asks to wait.
    pub retry_after: Option<Duration>,
    /// The receiver has surely not taken it in. Otherwise the same bytes are sent again, before anything else.
    pub surely_not_taken: bool,
}

impl Failure {
    /// A failure without an answer.
    #[must_use]
    pub fn silent(result: PushResult, told: String, surely_not_taken: bool) -> Self {
        Self { result, told, retry_after: None, surely_not_taken }
    }
}

/// The parts of a Kubernetes `Status` that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
    #[serde(rename = "retryAfterSeconds")]
    retry_after_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    field: String,
    message: String,
}

/// Reads an answer.
#[must_use]
pub fn interpret(code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
    if code.is_success() {
        return Outcome::Accepted;
    }
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    if code == StatusCode::CONFLICT {
        let cause = status.details.causes.iter().find(|cause| cause.field == SINCE);
        return Outcome::StandAlone(cause.and_then(|cause| cause.message.parse().ok()).map(UnixNanos));
    }
    let text = if status.message.is_empty() { printable(body) } else { printable(status.message.as_bytes()) };
    let told = format!("{} {}", code.as_u16(), clip(&text));
    let in_header = headers.get(hyper::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = in_header.or(status.details.retry_after_seconds).map(Duration::from_secs);
    let result = match code.as_u16() {
        401 => PushResult::Unauthorized,
        403 => PushResult::Forbidden,
        429 => PushResult::Busy,
        // An API that is not there yet comes with the aggregator: the same bytes are right then.
        404 | 408 | 500.. => PushResult::ServerError,
        _ => PushResult::Refused,
    };
    // A proxy answers with 5xx also when the receiver's own answer was lost.
    let surely_not_taken = result != PushResult::ServerError || code == StatusCode::NOT_FOUND;
    Outcome::Failed(Failure { result, told, retry_after, surely_not_taken })
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(MOST_TOLD_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: u16, headers: &[(&'static str, &'static str)], body: &str) -> Outcome {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        interpret(StatusCode::from_u16(code).unwrap(), &map, body.as_bytes())
    }

    fn failure(outcome: Outcome) -> Failure {
        match outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_conflict_says_from_when_on_and_without_a_cause_it_is_still_one() {
        let body = r#"{"kind":"Status","code":409,"reason":"Conflict","details":{"causes":[
            {"reason":"StandAlone","field":"since_unix_nanos","message":"1772366400000000000"}]}}"#;
        assert_eq!(read(409, &[], body), Outcome::StandAlone(Some(UnixNanos(1_772_366_400_000_000_000))));
        assert_eq!(read(409, &[], "{\"details\":{\"causes\":[{\"field\":\"x\"}]}}"), Outcome::StandAlone(None));
        assert_eq!(read(409, &[], "<html>"), Outcome::StandAlone(None));
    }

    #[test]
    fn how_long_to_wait_is_read_from_the_header_or_from_the_status() {
        let told = failure(read(429, &[("retry-after", "7")], "{}"));
        assert_eq!((told.result, told.retry_after), (PushResult::Busy, Some(Duration::from_secs(7))));
        let told = failure(read(503, &[], r#"{"message":"not yet","details":{"retryAfterSeconds":5}}"#));
        assert_eq!((told.result, told.retry_after), (PushResult::ServerError, Some(Duration::from_secs(5))));
        assert_eq!(told.told, "503 not yet");
        assert_eq!(failure(read(429, &[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")], "")).retry_after, None);
    }

    #[test]
    fn only_what_may_have_been_taken_in_is_sent_again_as_it_is() {
        for (code, taken) in [(400, true), (401, true), (403, true), (404, true), (413, true), (429, true)] {
            assert_eq!(failure(read(code, &[], "")).surely_not_taken, taken, "{code}");
        }
        for code in [408, 500, 502, 503, 504] {
            assert!(!failure(read(code, &[], "")).surely_not_taken, "{code}");
        }
    }

    #[test]
    fn a_strangers_text_cannot_break_a_line_of_the_log_and_is_short() {
        let body = format!("\u{1b}[31mno\nway {}", "x".repeat(5_000));
        let told = failure(read(502, &[], &body)).told;
        assert!(told.starts_with("502 \\x1b[31mno\\x0away xxx"), "{told}");
        assert!(told.len() < 320);
    }
}
