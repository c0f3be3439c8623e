//! Why a push is refused, and how that is said: a Kubernetes `Status`, as the API server itself would send it.
//!
//! In: what went wrong. Out: status code, reason, message, and what the agent is to do next. Next: the agent's push.

use serde_json::json;

use super::ReceiveAnswer;
use super::claim::ClaimRefused;
use crate::store::cluster::{PushRefused, Pushed, Refusal as EntityRefusal};
use crate::units::UnixNanos;
use crate::uplink::wire::{MOST_BODY_BYTES, PushError};

/// How long an agent waits for a replica that has not listed nodes and pods yet.
const NOT_SYNCED_SECONDS: u32 = 5;

/// The reason of the cause that tells an agent to stand alone; its field is [`SINCE`], its message the time.
pub const STAND_ALONE: &str = "StandAlone";

/// The field of that cause.
pub const SINCE: &str = "since_unix_nanos";

/// Why a push is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 503: nobody can be judged yet.
    #[error("this replica has not listed nodes and pods yet; push again in a few seconds")]
    NotSynced,
    /// 403: the identity speaks for no node.
    #[error(transparent)]
    Claim(#[from] ClaimRefused),
    /// 403: it speaks for another one.
    #[error("the token speaks for node {claimed}, and {place} names node {named}; a node pushes for itself only")]
    OtherNode {
        /// Of the token.
        claimed: String,
        /// Of the path or the push.
        named: String,
        /// `the path` or `the push`.
        place: &'static str,
    },
    /// 413.
    #[error("the push has more than {MOST_BODY_BYTES} bytes; send the samples in several pushes")]
    TooLarge,
    /// 429.
    #[error("the node pushes more than its share; push again in {seconds} s")]
    TooMany {
        /// When there is enough credit again.
        seconds: u32,
    },
    /// 400 or 422.
    #[error(transparent)]
    Push(#[from] PushError),
    /// 409, 400, …: the store's word.
    #[error(transparent)]
    Store(#[from] PushRefused),
}

impl Refusal {
    /// The word that refusals are counted by.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotSynced => "not_synced",
            Self::Claim(claim) => claim.reason(),
            Self::OtherNode { .. } => "other_node",
            Self::TooLarge => "too_large",
            Self::TooMany { .. } => "too_many",
            Self::Push(PushError::Version(_)) => "version",
            Self::Push(PushError::Malformed(_)) => "malformed",
            Self::Store(PushRefused::NeedAlone { .. }) => "need_alone",
            Self::Store(PushRefused::Malformed(_)) => "malformed",
            Self::Store(PushRefused::Future { .. }) => "future",
            Self::Store(PushRefused::UnknownNode) => "unknown_node",
        }
    }

    /// How many pods and containers of the newest sample are not believed, by the word that they are counted by.
    pub fn of_entities(pushed: &Pushed) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let word = |reason: &EntityRefusal| match reason {
            EntityRefusal::UnknownPod => "pod_unknown",
            EntityRefusal::OtherNode => "pod_of_other_node",
            EntityRefusal::WrongUid => "pod_wrong_uid",
            EntityRefusal::WrongName => "pod_wrong_name",
        };
        EntityRefusal::ALL.iter().map(word).zip(pushed.refused.iter().copied())
    }

    /// Somebody spoke for a node that is not his, or not there.
    #[must_use]
    pub const fn is_claim(&self) -> bool {
        matches!(self, Self::Claim(_) | Self::OtherNode { .. } | Self::Store(PushRefused::UnknownNode))
    }

    /// What went before is not held here: a push that stands alone would be accepted.
    #[must_use]
    pub const fn needs_more(&self) -> bool {
        self.since().is_some()
    }

    const fn since(&self) -> Option<UnixNanos> {
        match self {
            Self::Store(PushRefused::NeedAlone { since }) => Some(*since),
            _ => None,
        }
    }

    const fn code(&self) -> (u16, &'static str) {
        match self {
            Self::NotSynced => (503, "ServiceUnavailable"),
            Self::Claim(_) | Self::OtherNode { .. } => (403, "Forbidden"),
            Self::TooLarge => (413, "RequestEntityTooLarge"),
            Self::TooMany { .. } => (429, "TooManyRequests"),
            Self::Push(PushError::Version(_)) => (422, "Invalid"),
            Self::Push(PushError::Malformed(_)) => (400, "BadRequest"),
            Self::Store(PushRefused::NeedAlone { .. }) => (409, "Conflict"),
            Self::Store(PushRefused::UnknownNode) => (403, "Forbidden"),
            Self::Store(_) => (400, "BadRequest"),
        }
    }

    /// The answer to the agent.
    #[must_use]
    pub fn answer(&self) -> ReceiveAnswer {
        let (status, reason) = self.code();
        let retry_after = match self {
            Self::NotSynced => Some(NOT_SYNCED_SECONDS),
            Self::TooMany { seconds } => Some(*seconds),
            _ => None,
        };
        let mut details = json!({"group": "ingest.ringside.dev", "kind": "nodes"});
        if let (Some(seconds), Some(details)) = (retry_after, details.as_object_mut()) {
            details.insert("retryAfterSeconds".into(), json!(seconds));
        }
        if let (Some(since), Some(details)) = (self.since(), details.as_object_mut()) {
            let cause = json!({"reason": STAND_ALONE, "field": SINCE, "message": since.0.to_string()});
            details.insert("causes".into(), json!([cause]));
        }
        let body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.to_string(),
            "reason": reason,
            "details": details,
            "code": status,
        });
        ReceiveAnswer { status, body: body.to_string(), retry_after }
    }
}
