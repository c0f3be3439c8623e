//! Bounds on what one client may ask of history, and how a request that breaks one is refused.
//!
//! In: nothing. Out: [`Limits`] and [`RemoteError`], which says what to do next and becomes a problem document. A limit
//! that is broken only after the answer has begun cuts the answer off: a client sees a broken answer, never a short one.

use std::time::Duration;

use crate::store::query::matcher::MatcherError;
use crate::view::Answer;
use crate::view::api::Problem;

/// Bounds on one request and on all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest message after decompression, by its own declaration.
    pub message_bytes: usize,
    /// Most queries of one remote read, and most selectors of one export.
    pub queries: usize,
    /// Most matchers of one query.
    pub matchers: usize,
    /// Most regular expressions of one request.
    pub regexes: usize,
    /// Most series that a request may select.
    pub series: usize,
    /// Most samples of one answer.
    pub samples: usize,
    /// Most bytes of an answer that is not streamed.
    pub answer_bytes: usize,
    /// How long an answer may take, the client's reading included.
    pub time: Duration,
    /// Most answers that are worked on at once.
    pub at_once: usize,
    /// Most requests that wait for one of those to end, and how long.
    pub waiting: usize,
    /// How long a request waits at most.
    pub wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 128 * 1024,
            queries: 16,
            matchers: 32,
            regexes: 16,
            series: 10_000,
            samples: 10_000_000,
            answer_bytes: 4 << 20,
            time: Duration::from_secs(30),
            at_once: 2,
            waiting: 32,
            wait: Duration::from_secs(10),
        }
    }
}

/// Why there is no answer, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The message is not what the protocol says.
    #[error("{0}; see the Prometheus remote read API, version 1")]
    Malformed(String),
    /// A parameter cannot be understood.
    #[error("{0}")]
    BadParameter(String),
    /// A matcher cannot be used.
    #[error(transparent)]
    Matcher(#[from] MatcherError),
    /// The message would be too long.
    #[error(
        "the request has {bytes} bytes when decompressed; at most {most} are taken: ask with fewer or shorter matchers"
    )]
    TooLong {
        /// What it says of itself.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Too many of something.
    #[error("the request has {what}: at most {most} are taken; ask in several requests")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// The selectors fit too much.
    #[error("more than {most} series fit; select fewer of them by a further matcher, such as namespace=\"...\"")]
    TooManySeries {
        /// The limit.
        most: usize,
    },
    /// The answer would be too long.
    #[error("the answer would have more than {most} {what}; ask for a shorter time or fewer series{hint}")]
    TooMuch {
        /// The limit.
        most: usize,
        /// Of what.
        what: &'static str,
        /// What else helps.
        hint: &'static str,
    },
    /// It took longer than it may.
    #[error("the answer took longer than {} s; ask for a shorter time or fewer series", .0.as_secs())]
    Late(Duration),
    /// Too many are worked on and waiting.
    #[error("too many requests for history are being answered; try again in a few seconds")]
    Busy,
    /// Nothing was sampled yet.
    #[error("the agent has not finished its first tick; try again in a second, and see /readyz")]
    NothingYet,
    /// The client does not take the answer any more.
    #[error("the client has gone")]
    Gone,
    /// The answer could not be made.
    #[error("the answer could not be made: {0}")]
    Failed(String),
}

impl RemoteError {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::BadParameter(_) | Self::Matcher(_) => 400,
            Self::TooLong { .. } => 413,
            Self::TooMany { .. } | Self::TooManySeries { .. } | Self::TooMuch { .. } => 422,
            Self::Busy => 429,
            Self::Late(_) | Self::NothingYet | Self::Gone => 503,
            Self::Failed(_) => 500,
        }
    }

    /// The problem document for the path that was asked.
    #[must_use]
    pub fn into_answer(self, path: &str) -> Answer {
        let (kind, title) = match self {
            Self::Malformed(_) => ("malformed-message", "The request cannot be understood"),
            Self::BadParameter(_) => ("bad-parameter", "A parameter is missing or cannot be understood"),
            Self::Matcher(_) => ("bad-matcher", "A matcher cannot be used"),
            Self::TooLong { .. } => ("too-long", "The request is too long"),
            Self::TooMany { .. } => ("too-many", "The request asks too many things"),
            Self::TooManySeries { .. } => ("too-many-series", "Too many series fit"),
            Self::TooMuch { .. } => ("too-many-points", "The answer would have too many points"),
            Self::Late(_) => ("late", "The answer took too long"),
            Self::Busy => ("busy", "Too many requests are being answered"),
            Self::NothingYet => ("no-sample", "Nothing was sampled yet"),
            Self::Gone => ("gone", "The client has gone"),
            Self::Failed(_) => ("internal", "The answer could not be made"),
        };
        Problem::new(self.status(), kind, title, self.to_string()).into_answer(path)
    }
}
