//! Whether a replica has enough to answer from: `/readyz`.
//!
//! In: what was listed, how far this replica filled itself, when the first push came. Out: yes, or the reason why not.
//! Discovery answers whatever is said here. Next: the aggregator's server.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::units::UnixNanos;

/// Agents push this often unless told otherwise: after so long each of them has pushed once.
const ONE_INTERVAL: Duration = Duration::from_secs(15);

/// After so long without any push there is nobody who pushes, or nobody who can before this replica is ready: where the
/// Service leads to ready replicas only, waiting on would be waiting for ever.
const NOBODY_PUSHES: Duration = Duration::from_secs(20);

/// What is known of the other replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They are being asked.
    Asked,
    /// There are none.
    None,
    /// This replica holds what one of them holds.
    Told,
    /// There are some, and they could not tell.
    Silent,
}

/// When what happened. Times are the wall clock's; 0 is never.
#[derive(Debug, Default)]
pub struct Readiness {
    synced_at: AtomicU64,
    first_push_at: AtomicU64,
    stopping: AtomicBool,
}

impl Readiness {
    /// Nodes and pods have been listed.
    pub fn synced(&self, now: UnixNanos) {
        let _ = self.synced_at.compare_exchange(0, now.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A push was accepted.
    pub fn pushed(&self, now: UnixNanos) {
        if self.first_push_at.load(Ordering::Relaxed) == 0 {
            let _ = self.first_push_at.compare_exchange(0, now.0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The process was told to stop: no new requests, please.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Ready, or why not.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn check(&self, others: Others, now: UnixNanos) -> Result<(), String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("this replica stops".to_owned());
        }
        let since = |at: &AtomicU64| match at.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Duration::from_nanos(now.0.saturating_sub(at))),
        };
        let Some(synced) = since(&self.synced_at) else {
            return Err("nodes and pods have not been listed yet; see directory_failures_total in /metrics".to_owned());
        };
        let pushed = since(&self.first_push_at);
        let enough = match others {
            Others::Told => true,
            Others::Asked => return Err("another replica is being asked for what it holds".to_owned()),
            Others::None => pushed.is_some(),
            Others::Silent => pushed.is_some_and(|pushed| pushed >= ONE_INTERVAL),
        };
        if enough || (pushed.is_none() && synced >= NOBODY_PUSHES) {
            return Ok(());
        }
        Err(match pushed {
            None => "no agent has pushed yet".to_owned(),
            Some(_) => "agents have not pushed for a whole interval yet".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> UnixNanos {
        UnixNanos(1_790_000_000_000_000_000 + seconds * 1_000_000_000)
    }

    fn why(readiness: &Readiness, others: Others, seconds: u64) -> String {
        readiness.check(others, at(seconds)).err().unwrap_or_default()
    }

    #[test]
    fn a_replica_is_ready_only_with_data() {
        let readiness = Readiness::default();
        assert!(why(&readiness, Others::Told, 0).starts_with("nodes and pods have not been listed"));
        readiness.synced(at(1));
        assert_eq!(why(&readiness, Others::None, 2), "no agent has pushed yet");
        assert_eq!(why(&readiness, Others::Asked, 2), "another replica is being asked for what it holds");
        assert_eq!(readiness.check(Others::Told, at(2)), Ok(()));
        readiness.pushed(at(3));
        assert_eq!(readiness.check(Others::None, at(3)), Ok(()));
        assert_eq!(why(&readiness, Others::Silent, 3), "agents have not pushed for a whole interval yet");
        readiness.pushed(at(17));
        assert_eq!(readiness.check(Others::Silent, at(18)), Ok(()));
    }

    #[test]
    fn a_cluster_without_agents_has_a_ready_replica_nevertheless() {
        let readiness = Readiness::default();
        readiness.synced(at(0));
        assert_eq!(why(&readiness, Others::None, 19), "no agent has pushed yet");
        assert_eq!(readiness.check(Others::None, at(20)), Ok(()));
    }

    #[test]
    fn a_replica_that_stops_says_so_first() {
        let readiness = Readiness::default();
        readiness.synced(at(0));
        readiness.stop();
        assert_eq!(why(&readiness, Others::Told, 1), "this replica stops");
    }
}
