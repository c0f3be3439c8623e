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

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::sample::export_stats::ExportResult;

    #[derive(Debug)]
    struct One(ExportStats);

    impl Collector for One {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            super::encode(&mut encoder, &self.0, UnixNanos(100_000_000_000))
        }
    }

    #[test]
    fn what_becomes_of_a_push_is_told_with_its_target() {
        let stats = ExportStats::new("ringside_otlp", "here:4318".to_owned());
        stats.requested(ExportResult::Accepted, 200);
        stats.requested(ExportResult::Busy, 429);
        stats.sent(70, 900, UnixNanos(99_500_000_000));
        stats.failed(8);
        stats.dropped(9);
        stats.lost(1_500);
        stats.set_cursor(UnixNanos(88_000_000_000));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(One(stats)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode_registry(&mut text, &registry).unwrap();
        for line in [
            "ringside_otlp_requests_total{target=\"here:4318\",result=\"accepted\"} 1",
            "ringside_otlp_requests_total{target=\"here:4318\",result=\"busy\"} 1",
            "ringside_otlp_samples_total{target=\"here:4318\",result=\"sent\"} 70",
            "ringside_otlp_samples_total{target=\"here:4318\",result=\"failed\"} 8",
            "ringside_otlp_samples_total{target=\"here:4318\",result=\"dropped\"} 9",
            "ringside_otlp_bytes_total{target=\"here:4318\"} 900",
            "ringside_otlp_lost_seconds_total{target=\"here:4318\"} 1.5",
            "ringside_otlp_cursor_lag_seconds{target=\"here:4318\"} 12.0",
            "ringside_otlp_last_success_timestamp_seconds{target=\"here:4318\"} 99.5",
            "ringside_otlp_last_status{target=\"here:4318\"} 429",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains("redirected"), "what never happened is left out");
    }
}
