//! Follows the ticks and tells what happened.
//!
//! In: the ring's ticks. Out: events in the log, and log lines if they are wanted. It looks at each tick beside the sampler, on a
//! thread where it may take its time; a look that takes longer than a tick skips one. Next: [`log`](super::log).

use super::detect::Detector;
use super::lines::Lines;
use super::log::EventLog;
use crate::store::Store;

/// Follows the ticks until `shutdown`. With `log_lines` each event is a log line as well.
pub async fn follow(store: Store, log: EventLog, log_lines: bool, shutdown: impl Future<Output = ()>) {
    let mut ticks = store.ticks();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut state = Some((Detector::default(), Lines::default()));
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            changed = ticks.changed() => if changed.is_err() { return },
        }
        let Some((mut detector, mut lines)) = state.take() else { return };
        let (store, log) = (store.clone(), log.clone());
        let look = tokio::task::spawn_blocking(move || {
            if let Some(sample) = store.latest() {
                for draft in detector.look(&store, &sample) {
                    let event = log.push(draft);
                    if log_lines {
                        lines.write(&event, sample.started_at);
                    }
                }
                lines.tell_suppressed(sample.started_at);
            }
            (detector, lines)
        });
        match look.await {
            Ok(kept) => state = Some(kept),
            Err(error) => {
                tracing::error!(%error, "events are told no more: looking at a tick failed");
                return;
            }
        }
    }
}
