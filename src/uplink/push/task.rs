//! The task that pushes: waits for its turn, asks the cursor what is new, sends it, and learns from the answer.
//!
//! In: a [`Cursor`], a [`Target`], a [`Pace`]. Out: bodies, and counts in [`PushStats`]. A failure is logged when it is new,
//! with what to do about it, and not again and again. What takes time runs where nobody waits for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::answer::{Failure, Outcome};
use super::cursor::Cursor;
use super::pace::{Pace, Then};
use super::target::Target;
use crate::sample::push_stats::{PushResult, PushStats};
use crate::units::UnixNanos;

/// The same failure is told again after so long.
const TOLD_FOR: Duration = Duration::from_secs(600);

/// The wall clock.
pub fn wall_clock() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Pushes until it is dropped.
pub async fn run<T: Target>(mut cursor: Cursor, mut target: T, mut pace: Pace, stats: Arc<PushStats>) {
    let begun = Instant::now();
    let mut due = pace.first();
    let mut log = Log::default();
    loop {
        tokio::time::sleep_until(begun + due).await;
        let prepared = tokio::task::spawn_blocking(move || {
            let body = cursor.next(wall_clock());
            (cursor, body)
        });
        let Ok((returned, body)) = prepared.await else {
            tracing::error!("the push has failed; please report the message above. Nothing is pushed any more");
            return;
        };
        cursor = returned;
        let sent = begun.elapsed();
        let Some((body, backlog)) = body else {
            due = pace.slot_after(sent);
            continue;
        };
        // What is on its way waits too.
        stats.set_backlog(backlog + 1);
        let then = match target.post(body).await {
            Outcome::Accepted => {
                let taken = cursor.accepted();
                stats.pushed(PushResult::Accepted);
                if let Some(taken) = taken {
                    stats.accepted(taken.samples, taken.bytes, taken.newest, wall_clock());
                    stats.set_backlog(taken.backlog);
                }
                log.success(target.route(), pace.failures());
                if taken.is_some_and(|taken| taken.backlog > 0) { Then::Continue } else { Then::Rest }
            }
            Outcome::StandAlone(since) => {
                stats.pushed(PushResult::StandAlone);
                tracing::debug!(?since, "the receiver asks for history");
                if cursor.stand_alone(since) { Then::Continue } else { Then::Retry(None) }
            }
            Outcome::Failed(failure) => {
                stats.pushed(failure.result);
                log.failure(target.route(), &failure);
                cursor.failed(&failure);
                Then::Retry(failure.retry_after)
            }
        };
        due = pace.next(sent, begun.elapsed(), then, rand::random());
    }
}

/// What was logged when, so that nothing is logged in a loop.
#[derive(Debug, Default)]
struct Log {
    told: Vec<(PushResult, Instant)>,
    is_failing: bool,
}

impl Log {
    fn success(&mut self, route: &str, failures: u32) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(route, failures, "pushes are taken again; the gap is filled from the ring");
        }
    }

    fn failure(&mut self, route: &str, failure: &Failure) {
        let now = Instant::now();
        self.told.retain(|(_, at)| now.duration_since(*at) < TOLD_FOR);
        if self.told.iter().any(|(result, _)| *result == failure.result) {
            return;
        }
        self.told.push((failure.result, now));
        self.is_failing = true;
        tracing::warn!(route, result = failure.result.as_str(), told = %failure.told, "a push failed: {}", cure(failure.result));
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
