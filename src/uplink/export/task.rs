//! The task that sends to one target: waits for its turn, reads a window, sends it, and learns from the answers.
//!
//! In: a [`Source`], a [`Cursor`], a [`Target`], a [`Pace`]. Out: requests, and counts in [`ExportStats`]. What failed is
//! logged when it is new, with what to do about it, and not again and again. Reading and encoding run where nobody waits
//! for them; whatever the target does, the tick goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Outcome;
use super::batch::Source;
use super::cursor::{Cursor, Plan};
use super::pace::Pace;
use super::remote_write::Body;
use super::target::{Format, Target, cure, cure_refusal};
use crate::sample::export_stats::{ExportResult, ExportStats};
use crate::units::UnixNanos;

/// The same trouble is told again after so long.
const TOLD_FOR: Duration = Duration::from_secs(600);

/// Everything but the target.
pub struct Exporter<S> {
    /// Where samples come from.
    pub source: S,
    /// How far the target has come.
    pub cursor: Cursor,
    /// When.
    pub pace: Pace,
    /// What is counted.
    pub stats: Arc<ExportStats>,
}

/// A window that is ready to be sent.
struct Prepared {
    plan: Plan,
    bodies: Vec<Body>,
    series: usize,
}

impl<S: Source> Exporter<S> {
    /// The next window; it may take a while to make. `None` while there is nothing new.
    fn prepare(&mut self, format: &Format, now: UnixNanos) -> Option<Prepared> {
        let plan = self.cursor.plan(self.source.extent()?, milliseconds(now))?;
        let series = self.source.read(plan.window);
        Some(Prepared { plan, bodies: format.encode(&series), series: series.len() })
    }

    /// How much time is ready to be sent.
    fn behind(&self, now: UnixNanos) -> Duration {
        let behind_ms = self.source.extent().map_or(0, |extent| self.cursor.behind_ms(extent, milliseconds(now)));
        Duration::from_millis(behind_ms)
    }
}

fn milliseconds(wall: UnixNanos) -> i64 {
    i64::try_from(wall.millis()).unwrap_or(i64::MAX)
}

/// Sends until it is dropped.
pub async fn run<S: Source>(mut exporter: Exporter<S>, mut target: Target) {
    let begun = Instant::now();
    let mut log = Log { target: exporter.stats.target.clone(), told: Vec::new(), is_failing: false };
    let mut due = exporter.pace.rest(Duration::ZERO);
    loop {
        tokio::time::sleep_until(begun + due).await;
        let started = begun.elapsed();
        let format = target.format();
        let prepared = tokio::task::spawn_blocking(move || {
            let prepared = exporter.prepare(&format, UnixNanos::now());
            (exporter, prepared)
        });
        let Ok((returned, prepared)) = prepared.await else {
            tracing::error!("a push has failed; please report the message above. Nothing is sent any more");
            return;
        };
        exporter = returned;
        let Some(prepared) = prepared else {
            due = exporter.pace.rest(begun.elapsed());
            continue;
        };
        if prepared.plan.lost_ms > 0 {
            let lost_ms = prepared.plan.lost_ms.unsigned_abs();
            exporter.stats.lost(lost_ms);
            let hint = "give more memory by --ring-bytes to bridge longer outages";
            tracing::warn!(target_host = %log.target, lost_ms, "history was let go before it could be sent; {hint}");
        }
        let all_sent = send_all(&mut exporter, &mut target, &prepared.bodies, &mut log, begun).await;
        let now = begun.elapsed();
        if !all_sent {
            // The same window again, in the format that the target speaks.
            due = now;
            continue;
        }
        target.end_window();
        exporter.cursor.done(prepared.series);
        let done = u64::try_from(exporter.cursor.done_ms()).unwrap_or(0);
        exporter.stats.set_cursor(UnixNanos(done.saturating_mul(1_000_000)));
        let window = prepared.plan.window;
        let span = Duration::from_millis(window.until_ms.abs_diff(window.after_ms));
        // What has come in since the window was planned waits for the next place.
        due = if exporter.behind(UnixNanos::now()) >= exporter.pace.interval() {
            exporter.pace.go_on(started, now, span)
        } else {
            exporter.pace.rest(now)
        };
    }
}

/// Sends the bodies of a window one after the other, each until it is taken or refused for good. False when the target
/// wants them in another format.
async fn send_all<S>(
    exporter: &mut Exporter<S>,
    target: &mut Target,
    bodies: &[Body],
    log: &mut Log,
    begun: Instant,
) -> bool {
    let stats = Arc::clone(&exporter.stats);
    for body in bodies {
        loop {
            let length = u64::try_from(body.bytes.len()).unwrap_or(u64::MAX);
            match target.send(body).await {
                Outcome::Accepted { rejected, told } => {
                    let result = if rejected == 0 { ExportResult::Accepted } else { ExportResult::Partial };
                    stats.requested(result, 200);
                    stats.sent(body.samples.saturating_sub(rejected), length, UnixNanos::now());
                    stats.dropped(rejected);
                    log.success(exporter.pace.failures());
                    if rejected > 0 || !told.is_empty() {
                        log.partial(rejected, &told, begun.elapsed());
                    }
                    exporter.pace.succeeded();
                    break;
                }
                Outcome::Refused { status, told } => {
                    stats.requested(ExportResult::Refused, status);
                    stats.dropped(body.samples);
                    log.refusal(status, &told, body.samples, begun.elapsed());
                    exporter.pace.succeeded();
                    break;
                }
                Outcome::Unsupported { status, told } => {
                    stats.requested(ExportResult::Unsupported, status);
                    tracing::info!(target_host = %log.target, told, "the target does not speak remote write 2.0; it is sent 1.0");
                    return false;
                }
                Outcome::Failed(failure) => {
                    stats.requested(failure.result, failure.status);
                    stats.failed(body.samples);
                    log.trouble((failure.result, failure.status), begun.elapsed(), || {
                        let result = failure.result.as_str();
                        format!("a push failed ({result}): {}; {}", failure.told, cure(&failure))
                    });
                    tokio::time::sleep(exporter.pace.retry(failure.retry_after, rand::random())).await;
                }
            }
        }
    }
    true
}

/// What was logged when, so that nothing is logged in a loop.
struct Log {
    target: String,
    told: Vec<((ExportResult, u16), Duration)>,
    is_failing: bool,
}

impl Log {
    fn success(&mut self, failures: u32) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(
                target_host = %self.target, failures, "the target takes samples again; the gap is filled from the ring"
            );
        }
    }

    fn refusal(&mut self, status: u16, told: &str, samples: u64, now: Duration) {
        self.once((ExportResult::Refused, status), now, || {
            format!(
                "the target refused {samples} samples for good, and they are dropped: {told}; {}",
                cure_refusal(status)
            )
        });
    }

    fn partial(&mut self, rejected: u64, told: &str, now: Duration) {
        self.once((ExportResult::Partial, 200), now, || {
            format!("the target took a request but for {rejected} samples: {told}; {}", cure_refusal(400))
        });
    }

    fn trouble(&mut self, kind: (ExportResult, u16), now: Duration, text: impl FnOnce() -> String) {
        self.is_failing |= self.once(kind, now, text);
    }

    fn once(&mut self, kind: (ExportResult, u16), now: Duration, text: impl FnOnce() -> String) -> bool {
        self.told.retain(|(_, at)| now.saturating_sub(*at) < TOLD_FOR);
        let is_new = !self.told.iter().any(|(known, _)| *known == kind);
        if is_new {
            self.told.push((kind, now));
            tracing::warn!(target_host = %self.target, "{}", text());
        }
        is_new
    }
}
