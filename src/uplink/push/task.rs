//! The task that pushes: waits for its turn, asks the cursor what is new, sends it, and learns from the answer.
//!
//! In: a [`Cursor`], a [`Target`], a [`Pace`]. Out: bodies, and counts in [`PushStats`]. A failure is logged when it is new,
//! with what to do about it, and not again and again. What takes time runs where nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::answer::{Failure, Outcome};
use super::cursor::Cursor;
use super::pace::{Pace, Then};
use super::target::Target;
use crate::sample::push_stats::{PushResult, PushStats};
use crate::units::UnixNanos;

/// The same failure is told again after so long.
const TOLD_FOR: Duration = Duration::from_secs(600);

/// One agent's push between two bodies: everything but the waiting and the sending. Times are counted from any one instant.
#[derive(Debug)]
pub struct Pusher {
    cursor: Cursor,
    pace: Pace,
    stats: Arc<PushStats>,
    log: Log,
}

impl Pusher {
    /// A push that has not begun; `route` is only logged.
    #[must_use]
    pub fn new(cursor: Cursor, pace: Pace, stats: Arc<PushStats>, route: &'static str) -> Self {
        Self { cursor, pace, stats, log: Log { route, told: Vec::new(), is_failing: false } }
    }

    /// When the first body is due.
    #[must_use]
    pub const fn first(&self) -> Duration {
        self.pace.first()
    }

    /// The next body; it may take a while to make. `None` while there is nothing new.
    pub fn prepare(&mut self, wall: UnixNanos) -> Option<Bytes> {
        let (body, backlog) = self.cursor.next(wall)?;
        // What is on its way waits too.
        self.stats.set_backlog(backlog + 1);
        Some(body)
    }

    /// When to look again, after there was nothing new.
    #[must_use]
    pub fn look_again(&self, now: Duration) -> Duration {
        self.pace.slot_after(now)
    }

    /// The body that went at `sent` has ended so at `now`: when the next one goes. `random` is even in 0..1.
    pub fn learn(&mut self, outcome: Outcome, [sent, now]: [Duration; 2], wall: UnixNanos, random: f64) -> Duration {
        let then = match outcome {
            Outcome::Accepted => {
                let taken = self.cursor.accepted();
                self.stats.pushed(PushResult::Accepted);
                if let Some(taken) = taken {
                    self.stats.accepted(taken.samples, taken.bytes, taken.newest, wall);
                    self.stats.set_backlog(taken.backlog);
                }
                self.log.success(self.pace.failures());
                if taken.is_some_and(|taken| taken.backlog > 0) { Then::Continue } else { Then::Rest }
            }
            Outcome::StandAlone(since) => {
                self.stats.pushed(PushResult::StandAlone);
                tracing::debug!(?since, "the receiver asks for history");
                if self.cursor.stand_alone(since) { Then::Continue } else { Then::Retry(None) }
            }
            Outcome::Failed(failure) => {
                self.stats.pushed(failure.result);
                self.log.failure(&failure, now);
                self.cursor.failed(&failure);
                Then::Retry(failure.retry_after)
            }
        };
        self.pace.next(sent, now, then, random)
    }
}

/// Pushes until it is dropped.
pub async fn run<T: Target>(mut pusher: Pusher, mut target: T) {
    let begun = Instant::now();
    let mut due = pusher.first();
    loop {
        tokio::time::sleep_until(begun + due).await;
        let prepared = tokio::task::spawn_blocking(move || {
            let body = pusher.prepare(UnixNanos::now());
            (pusher, body)
        });
        let Ok((returned, body)) = prepared.await else {
            tracing::error!("the push has failed; please report the message above. Nothing is pushed any more");
            return;
        };
        pusher = returned;
        let sent = begun.elapsed();
        due = match body {
            None => pusher.look_again(sent),
            Some(body) => {
                let outcome = target.post(body).await;
                pusher.learn(outcome, [sent, begun.elapsed()], UnixNanos::now(), rand::random())
            }
        };
    }
}

/// What was logged when, so that nothing is logged in a loop.
#[derive(Debug)]
struct Log {
    route: &'static str,
    told: Vec<(PushResult, Duration)>,
    is_failing: bool,
}

impl Log {
    fn success(&mut self, failures: u32) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(route = self.route, failures, "pushes are taken again; the gap is filled from the ring");
        }
    }

    fn failure(&mut self, failure: &Failure, now: Duration) {
        self.told.retain(|(_, at)| now.saturating_sub(*at) < TOLD_FOR);
        if self.told.iter().any(|(result, _)| *result == failure.result) {
            return;
        }
        self.told.push((failure.result, now));
        self.is_failing = true;
        let (route, result) = (self.route, failure.result);
        tracing::warn!(route, result = result.as_str(), told = %failure.told, "a push failed: {}", cure(result));
    }
}

/// What somebody can do about it.
const fn cure(result: PushResult) -> &'static str {
    match result {
        PushResult::Unauthorized => {
            "the token is not known there; by the direct route it must have the aggregator's audience (--push-token-file), \
             otherwise look at the service account and --kubeconfig"
        }
        PushResult::Forbidden => {
            "allow the agent's service account to `create` `nodes/samples` of the API group ingest.ringside.dev, as the \
             ClusterRole of the manifest does, and let it push for its own node only (NODE_NAME)"
        }
        PushResult::Busy => "the aggregator has too much to do; pushed again when it says",
        PushResult::Refused => "the receiver does not understand it; agent and aggregator should have the same version",
        PushResult::ServerError => {
            "look at `kubectl get apiservice v1alpha1.ingest.ringside.dev` and the aggregator's log; what is measured \
             meanwhile is pushed later"
        }
        PushResult::Timeout | PushResult::Unreachable => {
            "is there a network policy in between? What is measured meanwhile is pushed later"
        }
        PushResult::Accepted | PushResult::StandAlone => "",
    }
}
