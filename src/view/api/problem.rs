//! Errors as RFC 9457 problem details.
//!
//! In: what went wrong. Out: `application/problem+json` whose `detail` says what to do next, and for a name that does
//! not exist names the nearest one that does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::view::Answer;

/// Why a request has no answer, and what to do about it (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable name of this kind of problem, a URN.
    #[serde(rename = "type")]
    #[schema(example = "urn:ringside:problem:unknown-metric")]
    pub kind: String,
    /// The same for people.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What went wrong in this request and what to do next.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
}

impl Problem {
    const BEFORE_HISTORY: &'static str = "before-history";

    pub(in crate::view) fn new(status: u16, kind: &str, title: &str, detail: String) -> Self {
        let kind = format!("urn:ringside:problem:{kind}");
        Self { kind, title: title.to_owned(), status, detail, instance: String::new() }
    }

    /// 400: a parameter is missing, malformed or unknown.
    #[must_use]
    pub fn bad_parameter(detail: String) -> Self {
        Self::new(400, "bad-parameter", "A parameter is missing or cannot be understood", detail)
    }

    /// 404: no endpoint at this path.
    #[must_use]
    pub fn unknown_path(detail: String) -> Self {
        Self::new(404, "unknown-path", "There is nothing at this path", detail)
    }

    /// 404: no container of this name.
    #[must_use]
    pub fn unknown_container(detail: String) -> Self {
        Self::new(404, "unknown-container", "There is no such container", detail)
    }

    /// 404: no metric of this name.
    #[must_use]
    pub fn unknown_metric(detail: String) -> Self {
        Self::new(404, "unknown-metric", "There is no such metric", detail)
    }

    /// 404: the subject is known, its history is not kept.
    #[must_use]
    pub fn no_history(detail: String) -> Self {
        Self::new(404, "no-history", "No history is kept", detail)
    }

    /// 404: history does not reach back so far, or nothing was read then.
    #[must_use]
    pub fn before_history(detail: String) -> Self {
        Self::new(404, Self::BEFORE_HISTORY, "Nothing is kept of this instant", detail)
    }

    /// Whether this is [`Problem::before_history`].
    #[must_use]
    pub fn is_before_history(&self) -> bool {
        self.kind.rsplit(':').next() == Some(Self::BEFORE_HISTORY)
    }

    /// 409: more than one container fits.
    #[must_use]
    pub fn ambiguous(detail: String) -> Self {
        Self::new(409, "ambiguous-container", "More than one container has this name", detail)
    }

    /// 422: the answer would be too long.
    #[must_use]
    pub fn too_many_points(detail: String) -> Self {
        Self::new(422, "too-many-points", "The answer would have too many points", detail)
    }

    /// 422: the answer would have too many series.
    #[must_use]
    pub fn too_many_series(detail: String) -> Self {
        Self::new(422, "too-many-series", "The answer would have too many series", detail)
    }

    /// 503: nothing was sampled yet.
    #[must_use]
    pub fn no_sample() -> Self {
        let detail = "the agent has not finished its first tick; try again in a second, and see /readyz";
        Self::new(503, "no-sample", "Nothing was sampled yet", detail.to_owned())
    }

    /// 500: an answer could not be written as JSON.
    #[must_use]
    pub fn not_serialisable(detail: String) -> Self {
        Self::new(500, "internal", "The answer could not be written", detail)
    }

    /// The answer to send, with the path it is about.
    #[must_use]
    pub fn into_answer(mut self, path: &str) -> Answer {
        path.clone_into(&mut self.instance);
        Answer {
            status: self.status,
            content_type: "application/problem+json",
            body: serde_json::to_vec(&self).unwrap_or_default(),
        }
    }
}

/// The candidate that resembles `wanted` most, if any does so enough to be worth a hint.
#[must_use]
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |candidate: &str| {
        let contains = wanted.len() >= 3 && candidate.contains(wanted);
        strsim::jaro_winkler(wanted, candidate).max(if contains { 0.9 } else { 0.0 })
    };
    let scored = candidates.into_iter().map(|candidate| (score(candidate), candidate));
    let (best, candidate) = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best >= 0.75).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_nonsense_has_none() {
        let names = ["cpu_usage_usec", "memory_current_bytes", "pids_current"];
        assert_eq!(nearest("cpu_usage_used", names), Some("cpu_usage_usec"));
        assert_eq!(nearest("current_bytes", names), Some("memory_current_bytes"));
        assert_eq!(nearest("zzzz", names), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn a_problem_is_sent_as_problem_json_and_read_back() {
        let answer = Problem::unknown_path("look at /openapi.json".to_owned()).into_answer("/api/v1/nod");
        assert_eq!((answer.status, answer.content_type), (404, "application/problem+json"));
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem.instance, "/api/v1/nod");
        assert_eq!(problem.kind, "urn:ringside:problem:unknown-path");
    }
}
