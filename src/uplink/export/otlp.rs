//! OTLP: series as `ExportMetricsServiceRequest`s.
//!
//! In: [`Series`] and what is said of the node. Out: messages, bounded in points and bytes, as they are. Names stay those
//! of Prometheus, labels become attributes of the points, units are UCUM's. Counters are cumulative monotonic sums with the
//! instant at which they began, everything else is a gauge. It sends nothing. Next: `target.rs`.
//!
//! Field numbers are those of `opentelemetry/proto/metrics/v1/metrics.proto` and of the files it includes, version 1.

use bytes::Bytes;

use super::batch::{Kind, Meta, NAME, Series};
use super::proto::Proto;
use super::remote_write::{Body, Bounds};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: u64 = 2;

/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`: the series has ended.
const NO_RECORDED_VALUE: u64 = 1;

const NANOS_PER_MS: u64 = 1_000_000;

/// Makes messages of series; `resource` says what the node is.
#[must_use]
pub fn encode(series: &[Series], resource: &[(String, String)], bounds: Bounds) -> Vec<Body> {
    let mut bodies = Vec::new();
    let mut metrics = Proto::default();
    let mut points = Proto::default();
    let mut samples = 0;
    let mut rest = series.iter().peekable();
    while let Some(one) = rest.next() {
        push_points(&mut points, one);
        samples += one.samples.len();
        let next = rest.peek();
        let bytes = metrics.0.len() + points.0.len();
        let is_full = bytes >= bounds.bytes || next.is_some_and(|next| samples + next.samples.len() > bounds.samples);
        if is_full || next.is_none_or(|next| next.meta.name != one.meta.name) {
            push_metric(&mut metrics, &one.meta, &points.0);
            points.0.clear();
        }
        if is_full || next.is_none() {
            bodies.push(finish(std::mem::take(&mut metrics), resource, std::mem::take(&mut samples)));
        }
    }
    bodies
}

fn finish(metrics: Proto, resource: &[(String, String)], samples: usize) -> Body {
    let mut scope = Proto::default();
    scope.message(1, |scope| {
        scope.text(1, env!("CARGO_PKG_NAME"));
        scope.text(2, env!("CARGO_PKG_VERSION"));
    });
    scope.0.extend_from_slice(&metrics.0);
    let mut of_resource = Proto::default();
    of_resource.message(1, |written| {
        resource.iter().for_each(|(name, value)| attribute(written, 1, name, value));
    });
    of_resource.bytes(2, &scope.0);
    let mut request = Proto::default();
    request.bytes(1, &of_resource.0);
    Body { bytes: Bytes::from(request.0), samples: u64::try_from(samples).unwrap_or(u64::MAX) }
}

fn push_metric(metrics: &mut Proto, meta: &Meta, points: &[u8]) {
    let mut metric = Proto::default();
    metric.text(1, meta.name);
    metric.text(2, meta.help);
    metric.text(3, unit(meta));
    if meta.kind == Kind::Counter {
        let mut sum = Proto(points.to_vec());
        sum.integer(2, CUMULATIVE);
        sum.integer(3, 1);
        metric.bytes(7, &sum.0);
    } else {
        metric.bytes(5, points);
    }
    metrics.bytes(2, &metric.0);
}

fn push_points(points: &mut Proto, series: &Series) {
    let mut attributes = Proto::default();
    for (name, value) in series.labels.iter().filter(|(name, _)| name != NAME) {
        attribute(&mut attributes, 7, name, value);
    }
    let started = series.started_ms.filter(|_| series.meta.kind == Kind::Counter);
    for sample in &series.samples {
        points.message(1, |point| {
            // A counter that began after its sample would be refused: clocks are corrected.
            point.fixed(2, nanos(started.filter(|started| *started <= sample.timestamp_ms).unwrap_or(0)));
            point.fixed(3, nanos(sample.timestamp_ms));
            if sample.is_stale_marker() {
                point.integer(8, NO_RECORDED_VALUE);
            } else {
                point.member_double(4, sample.value);
            }
            point.0.extend_from_slice(&attributes.0);
        });
    }
}

fn attribute(written: &mut Proto, field: u32, name: &str, value: &str) {
    written.message(field, |pair| {
        pair.text(1, name);
        pair.message(2, |any| any.bytes(1, value.as_bytes()));
    });
}

fn unit(meta: &Meta) -> &'static str {
    match meta.unit {
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some("ratio") => "1",
        _ => "",
    }
}

fn nanos(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).saturating_mul(NANOS_PER_MS)
}
