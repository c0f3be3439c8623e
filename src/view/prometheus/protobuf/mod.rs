//! Families as delimited protobuf: `io.prometheus.client.MetricFamily`, each behind its length.
//!
//! In: what the encoder hands over, family by family. Out: messages into a [`Sink`]. Label pairs come rendered from
//! [`Blocks`]. Histograms are native (sparse buckets); the classic ones are added for who asks. Counters and histograms
//! say since when they count. The moment of the highest value since the last scrape is an exemplar in a classic bucket,
//! the `+Inf` one if there are no others: that is where every reader of native histograms looks too. Field numbers are
//! those of `metrics.proto` in prometheus/client_model. Next: [`encoder`](super::encoder).

pub mod page;
pub mod wire;

use self::wire::{
    LENGTH, length, push_bytes, push_double, push_message, push_number, push_pair, push_pairs, push_signed, push_tag,
    push_varint, varint_len, zigzag,
};
use super::blocks::Blocks;
use super::distributions::SCHEMA;
use super::family::{Family, Series, Type};
use super::number::Number;
use super::sink::Sink;
use super::writer::{Observed, Place, Writer, is_dated};
use crate::units::UnixNanos;
use crate::view::api::time::rfc3339;

/// `MetricType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Counter = 0,
    Gauge = 1,
    Untyped = 3,
    Histogram = 4,
}

impl Kind {
    /// The field of a `Metric` that holds a value of this kind.
    const fn field(self) -> u64 {
        match self {
            Self::Gauge => 2,
            Self::Counter => 3,
            Self::Untyped => 5,
            Self::Histogram => 7,
        }
    }
}

/// Writes protobuf.
pub struct Protobuf<'a> {
    sink: &'a mut Sink,
    blocks: &'a Blocks,
    classic: bool,
    kind: Kind,
    dated: bool,
    /// The family in the making: its length stands in front and is known at its end.
    family: Vec<u8>,
    empty: usize,
    /// Pairs of the labels that a series definition adds, and of a place that was rendered just now.
    more: Vec<u8>,
    place: Vec<u8>,
}

/// Seconds and nanoseconds.
const fn parts(at: UnixNanos) -> (u64, u64) {
    (at.0 / 1_000_000_000, at.0 % 1_000_000_000)
}

/// The bytes of a timestamp, without its tag and length.
const fn time_len(at: UnixNanos) -> usize {
    let (seconds, nanos) = parts(at);
    2 + varint_len(seconds) + varint_len(nanos)
}

/// A timestamp as a field of a message; all such fields have numbers below 16, so that a tag takes one byte.
pub(super) fn push_time(out: &mut Vec<u8>, field: u64, at: UnixNanos) {
    let (seconds, nanos) = parts(at);
    push_tag(out, field, LENGTH);
    push_varint(out, length(time_len(at)));
    push_number(out, 1, seconds);
    push_number(out, 2, nanos);
}

/// Name, help, type and unit.
pub(super) fn push_head(out: &mut Vec<u8>, name: &str, help: &str, kind: Kind, unit: Option<&str>) {
    push_bytes(out, 1, name.as_bytes());
    push_bytes(out, 2, help.as_bytes());
    push_number(out, 3, u64::from(kind as u8));
    if let Some(unit) = unit {
        push_bytes(out, 5, unit.as_bytes());
    }
}

/// One metric with a plain value, as a field of a family.
#[inline]
pub(super) fn push_metric(out: &mut Vec<u8>, kind: Kind, pairs: [&[u8]; 2], value: f64, born: Option<UnixNanos>) {
    const VALUE_BYTES: usize = 9;
    let [place, more] = pairs;
    let value_bytes = VALUE_BYTES + born.map_or(0, |born| 2 + time_len(born));
    let metric = place.len() + more.len() + 1 + varint_len(length(value_bytes)) + value_bytes;
    out.reserve(metric + 8);
    push_tag(out, 4, LENGTH);
    push_varint(out, length(metric));
    out.extend_from_slice(place);
    out.extend_from_slice(more);
    push_tag(out, kind.field(), LENGTH);
    push_varint(out, length(value_bytes));
    push_double(out, 1, value);
    if let Some(born) = born {
        push_time(out, 3, born);
    }
}

impl<'a> Protobuf<'a> {
    /// Writes into `sink`; `classic` adds classic buckets to native ones.
    pub fn new(sink: &'a mut Sink, blocks: &'a Blocks, classic: bool) -> Self {
        let (kind, family, more, place) = (Kind::Gauge, Vec::new(), Vec::new(), Vec::new());
        Self { sink, blocks, classic, kind, dated: false, family, empty: 0, more, place }
    }
}

impl Writer for Protobuf<'_> {
    fn begin(&mut self, family: &'static Family) {
        self.kind = match family.kind {
            Type::Counter => Kind::Counter,
            Type::Gauge | Type::Info => Kind::Gauge,
            Type::Histogram => Kind::Histogram,
        };
        self.family.clear();
        push_head(&mut self.family, family.name, family.help, self.kind, family.unit());
        self.empty = self.family.len();
    }

    fn begin_series(&mut self, series: &Series) {
        self.dated = self.kind == Kind::Counter && is_dated(series);
        self.more.clear();
        push_pairs(&mut self.more, series.labels);
    }

    #[inline]
    fn sample(&mut self, place: Place<'_>, labels: &str, number: Number) {
        let value = number.to_f64();
        match place {
            Place::Entry { rows, index, .. } => {
                let born = if self.dated { self.blocks.born(rows, index) } else { None };
                let pairs = [self.blocks.pairs(rows, index), &self.more];
                push_metric(&mut self.family, self.kind, pairs, value, born);
            }
            Place::Block(block) => {
                self.place.clear();
                push_pairs(&mut self.place, block);
                // A series of its own labels says so here; those of its definition are the same text.
                push_pairs(&mut self.place, labels);
                push_metric(&mut self.family, self.kind, [&self.place, &[]], value, None);
            }
        }
    }

    fn histogram(&mut self, place: Place<'_>, observed: &Observed<'_>) {
        let Self { family, place: scratch, blocks, classic, .. } = self;
        let pairs = match place {
            Place::Entry { rows, index, .. } => blocks.pairs(rows, index),
            Place::Block(block) => {
                scratch.clear();
                push_pairs(scratch, block);
                scratch
            }
        };
        push_message(family, 4, |metric| {
            metric.extend_from_slice(pairs);
            push_message(metric, Kind::Histogram.field(), |out| push_histogram(out, observed, *classic));
        });
    }

    fn end(&mut self) {
        if self.family.len() > self.empty {
            push_delimited(self.sink.buffer(), &self.family);
        }
        self.sink.drain();
    }
}

/// A message behind its length.
pub(super) fn push_delimited(out: &mut Vec<u8>, message: &[u8]) {
    push_varint(out, length(message.len()));
    out.extend_from_slice(message);
}

fn push_histogram(out: &mut Vec<u8>, observed: &Observed<'_>, classic: bool) {
    let Observed { shape, distribution, since, highest } = *observed;
    push_number(out, 1, distribution.count);
    push_double(out, 2, distribution.sum);
    let mut exemplar = highest;
    let bounds = shape.classic.iter().filter(|_| classic);
    let bounds = bounds.map(|(_, exponent)| (distribution.up_to(*exponent), f64::from(*exponent).exp2()));
    for (count, bound) in bounds.chain([(distribution.count, f64::INFINITY)]) {
        let here = exemplar.take_if(|(value, _)| *value <= bound);
        if classic || here.is_some() {
            push_bucket(out, count, bound, here);
        }
    }
    push_signed(out, 5, SCHEMA.into());
    push_double(out, 6, shape.zero_threshold());
    push_number(out, 7, distribution.zeros.into());
    let mut deltas = Vec::with_capacity(distribution.buckets.len() * 2);
    let (mut before, mut next) = (0i64, 0i32);
    for (first, counts) in distribution.runs() {
        push_message(out, 12, |out| {
            // From the end of the last run; the first one from 0.
            push_signed(out, 1, (first - next).into());
            push_number(out, 2, length(counts.len()));
        });
        next = first + i32::try_from(counts.len()).unwrap_or(i32::MAX);
        for count in counts {
            let count = i64::from(*count);
            push_varint(&mut deltas, zigzag(count - before));
            before = count;
        }
    }
    push_bytes(out, 13, &deltas);
    push_time(out, 15, since);
}

fn push_bucket(out: &mut Vec<u8>, count: u64, bound: f64, exemplar: Option<(f64, UnixNanos)>) {
    push_message(out, 3, |out| {
        push_number(out, 1, count);
        push_double(out, 2, bound);
        if let Some((value, at)) = exemplar {
            push_message(out, 3, |out| {
                push_pair(out, "at", &rfc3339(at));
                push_double(out, 2, value);
                push_time(out, 3, at);
            });
        }
    });
}
