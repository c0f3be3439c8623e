//! A push that arrived: believed, or refused with the reason that the agent and the operator can act on.
//!
//! In: an authenticated and authorized identity, the node in the path, the body. Out: samples in the store, and the answer
//! to the agent. A body is not read beyond 1 MiB, and no number in it is trusted to say how much memory to take.
//! It opens no connection. Next: [`crate::store::cluster`], and [`super::peers`] for what was accepted.
//!
//! | step | file |
//! |---|---|
//! | for which node an identity speaks | [`claim`] |
//! | how much one node may push | [`limit`] |
//! | why a push is refused, as the API server would say it | [`refusal`] |
//! | what is counted | [`metrics`] |
//! | whether there is enough to answer from | [`ready`] |

pub mod claim;
pub mod limit;
pub mod metrics;
pub mod ready;
pub mod refusal;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::directory::DirectoryState;
use super::wire::{MOST_BODY_BYTES, Push};
use crate::auth::Identity;
use crate::store::cluster::{ClusterStore, Pushed};
use crate::units::UnixNanos;
use limit::Limit;
use metrics::Metrics;
use refusal::Refusal;

/// An empty store with the default bounds.
#[cfg(test)]
pub(crate) fn empty_store() -> ClusterStore {
    ClusterStore::new(crate::store::cluster::ClusterOptions {
        history: std::time::Duration::from_secs(900),
        budget_bytes: 64 << 20,
        stale_after: std::time::Duration::from_secs(120),
    })
}

/// The answer to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveAnswer {
    /// Status code.
    pub status: u16,
    /// JSON: what was accepted, or a Kubernetes `Status`.
    pub body: String,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
}

/// The one way into the store, for pushes of agents and of other replicas. Clones share it.
#[derive(Clone)]
pub struct Intake {
    store: ClusterStore,
    metrics: Metrics,
}

impl Intake {
    /// Into this store.
    #[must_use]
    pub const fn new(store: ClusterStore, metrics: Metrics) -> Self {
        Self { store, metrics }
    }

    /// Takes in a push of `node`; `route` is `agent` or `peer`, and only counted.
    ///
    /// # Errors
    /// [`Refusal`], counted.
    pub fn take(&self, node: &str, body: &[u8], route: &'static str, now: UnixNanos) -> Result<Pushed, Refusal> {
        let started = Instant::now();
        let outcome = self.decide(node, body, now);
        let result = match &outcome {
            Ok(pushed) if pushed.accepted == 0 => "duplicate",
            Ok(_) => "accepted",
            Err(refusal) => refusal.reason(),
        };
        self.metrics.push(route, result, body.len(), started.elapsed());
        match &outcome {
            Ok(pushed) => {
                self.metrics.samples(pushed.accepted, pushed.duplicates);
                for (reason, many) in Refusal::of_entities(pushed) {
                    self.metrics.refused(reason, many);
                }
            }
            Err(refusal) => self.metrics.refused(refusal.reason(), u64::from(refusal.is_claim())),
        }
        outcome
    }

    fn decide(&self, node: &str, body: &[u8], now: UnixNanos) -> Result<Pushed, Refusal> {
        let push = Push::decode(body)?;
        if push.node != node {
            return Err(Refusal::OtherNode {
                claimed: node.to_owned(),
                named: push.node.to_owned(),
                place: "the push",
            });
        }
        Ok(self.store.push(node, &push, now)?)
    }
}

/// What is done with a push that was accepted: the node, the body, and when it was received.
pub type Accepted = Box<dyn Fn(&Arc<str>, &Bytes, UnixNanos) + Send + Sync>;

/// Receives pushes of agents.
pub struct Receiver {
    intake: Intake,
    directory: DirectoryState,
    limit: Limit,
    accounts: Vec<String>,
    accepted: Accepted,
}

impl Receiver {
    /// A receiver that believes the users `accounts` (all that RBAC lets through, if there are none), and tells `accepted`
    /// of each push that brought something new.
    #[must_use]
    pub fn new(intake: Intake, directory: DirectoryState, accounts: Vec<String>, accepted: Accepted) -> Self {
        Self { intake, directory, limit: Limit::default(), accounts, accepted }
    }

    /// The answer to a push to `nodes/{node_in_path}/samples` by an identity that may create these. `body` is the whole
    /// body, or what was read of it when it is longer than [`MOST_BODY_BYTES`].
    pub fn receive(&self, identity: &Identity, node_in_path: &str, body: &Bytes, now: UnixNanos) -> ReceiveAnswer {
        match self.decide(identity, node_in_path, body, now) {
            Ok(pushed) => ReceiveAnswer {
                status: 200,
                body: serde_json::json!({
                    "accepted": pushed.accepted,
                    "duplicates": pushed.duplicates,
                    "refused": pushed.refused.iter().sum::<u64>(),
                    "sequence": pushed.sequence,
                })
                .to_string(),
                retry_after: None,
            },
            Err(refusal) => refusal.answer(),
        }
    }

    fn decide(&self, identity: &Identity, node_in_path: &str, body: &Bytes, now: UnixNanos) -> Result<Pushed, Refusal> {
        let claimed = self.claim(identity, node_in_path, body, now).inspect_err(|refusal| {
            self.intake.metrics.push("agent", refusal.reason(), body.len(), std::time::Duration::ZERO);
            self.intake.metrics.refused(refusal.reason(), u64::from(refusal.is_claim()));
        })?;
        let pushed = self.intake.take(&claimed, body, "agent", now)?;
        if pushed.accepted > 0 {
            (self.accepted)(&claimed, body, now);
        }
        Ok(pushed)
    }

    /// Gives up what is kept for nodes that the API server does not know any more.
    pub fn forget_gone_nodes(&self) {
        self.limit.retain(|node| self.intake.store.node_record(node).is_some());
    }

    /// Everything that can be said without looking into the body.
    fn claim(
        &self,
        identity: &Identity,
        node_in_path: &str,
        body: &Bytes,
        now: UnixNanos,
    ) -> Result<Arc<str>, Refusal> {
        if !self.directory.listed().is_synced() {
            return Err(Refusal::NotSynced);
        }
        let node = claim::node_of(identity, &self.intake.store, &self.accounts)?;
        if *node.name != *node_in_path {
            return Err(Refusal::OtherNode {
                claimed: node.name.as_ref().to_owned(),
                named: node_in_path.to_owned(),
                place: "the path",
            });
        }
        if body.len() > MOST_BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        self.limit.take(&node.name, body.len(), now).map_err(|seconds| Refusal::TooMany { seconds })?;
        Ok(Arc::clone(&node.name))
    }
}
