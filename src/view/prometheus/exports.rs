//! The metrics of a push to a long-term store: how much went, how far behind it is, what the target said last.
//!
//! In: [`ExportStats`]. Out: families whose names begin with the target's prefix, with its host and port as a label.
//! Next: [`agent`](super::agent), among whose metrics they stand.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::sample::export_stats::ExportStats;
use crate::units::UnixNanos;

/// Writes the families of one target; `newest` is the wall clock of the newest tick.
///
/// # Errors
/// Never in practice: writing to memory does not fail.
pub fn encode(encoder: &mut DescriptorEncoder<'_>, stats: &ExportStats, newest: UnixNanos) -> fmt::Result {
    let target = ("target", stats.target.as_str());
    let name = |rest: &str| format!("{}_{rest}", stats.prefix);
    let counter = MetricType::Counter;

    let help = "Requests by how they ended.";
    let mut results = stats.results().filter(|(_, count)| *count > 0).peekable();
    if results.peek().is_some() {
        let called = name("requests");
        let mut family = encoder.encode_descriptor(&called, help, None, counter)?;
        for (result, count) in results {
            let labels = [target, ("result", result.as_str())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    let help = "Samples: sent and taken, failed and tried again, dropped because the target refuses them for good.";
    let called = name("samples");
    let mut family = encoder.encode_descriptor(&called, help, None, counter)?;
    for (result, count) in stats.samples() {
        family.encode_family(&[target, ("result", result)])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    let help = "Bytes of the bodies that the target has taken.";
    let called = name("bytes");
    let mut family = encoder.encode_descriptor(&called, help, None, counter)?;
    family.encode_family(&[target])?.encode_counter::<NoLabelSet, _, u64>(&stats.bytes(), None)?;
    let help = "Time whose samples the ring had to let go before they could be sent.";
    let called = name("lost_seconds");
    let mut family = encoder.encode_descriptor(&called, help, None, counter)?;
    family.encode_family(&[target])?.encode_counter::<NoLabelSet, _, u64>(&seconds(stats.lost_msec(), 1e3), None)?;

    let mut gauge = |rest: &str, help: &str, value: &dyn Gauge| {
        let called = name(rest);
        let mut family = encoder.encode_descriptor(&called, help, None, MetricType::Gauge)?;
        value.write(family.encode_family(&[target])?)
    };
    if let Some(cursor) = stats.cursor() {
        let help = "How far the instant up to which the target has everything lies behind the newest tick.";
        gauge("cursor_lag_seconds", help, &seconds(newest.0.saturating_sub(cursor.0), 1e9))?;
    }
    if let Some(at) = stats.last_success() {
        gauge("last_success_timestamp_seconds", "When a request was taken last.", &seconds(at.0, 1e9))?;
    }
    let help = "Status of the newest answer: HTTP's, or gRPC's below 100; 0 when there was none.";
    gauge("last_status", help, &i64::try_from(stats.last_status()).unwrap_or(i64::MAX))
}

trait Gauge {
    fn write(&self, encoder: prometheus_client::encoding::MetricEncoder<'_>) -> fmt::Result;
}

impl<T: EncodeGaugeValue> Gauge for T {
    fn write(&self, mut encoder: prometheus_client::encoding::MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(self)
    }
}

#[expect(clippy::cast_precision_loss, reason = "times need no more than 53 bits")]
fn seconds(units: u64, per_second: f64) -> f64 {
    units as f64 / per_second
}
