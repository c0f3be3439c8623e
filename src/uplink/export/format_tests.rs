//! The formats, decoded by others: remote write by a reader written for this test from the specification, OTLP by the
//! OpenTelemetry project's own types.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use prost::Message as _;

use super::batch::{Kind, Meta, NAME, STALE, Sample, Series};
use super::proto::Proto;
use super::remote_write::{Body, Bounds, Version, encode};
use super::{otlp, target};

pub const BOUNDS: Bounds = Bounds { samples: 1_000, bytes: 1 << 20 };

/// A field of a message: its number and what stands in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Field<'a> {
    Varint(u64),
    Fixed([u8; 8]),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a varint that ends");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}

/// The fields of a message, by the wire format alone.
pub fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => {
                let (value, rest) = bytes.split_at(8);
                bytes = rest;
                Field::Fixed(value.try_into().unwrap())
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).unwrap().to_owned()
}

fn sample(bytes: &[u8]) -> (i64, u64) {
    let mut sample = (0, 0);
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Fixed(value)) => sample.1 = u64::from_le_bytes(value),
            (2, Field::Varint(at)) => sample.0 = at.cast_signed(),
            other => panic!("a sample with {other:?}"),
        }
    }
    sample
}

/// A series as it was received: labels, samples (ms, bits of the value), created.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Received {
    pub labels: BTreeMap<String, String>,
    pub samples: Vec<(i64, u64)>,
    pub created_ms: i64,
    /// Type, help, unit.
    pub described: (u64, String, String),
}

/// A body of remote write 1.0 or 2.0 as a receiver reads it.
pub fn decode(body: &[u8], version: Version) -> Vec<Received> {
    let message = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    match version {
        Version::V1 => decode_v1(&message),
        Version::V2 => decode_v2(&message),
    }
}

fn decode_v1(message: &[u8]) -> Vec<Received> {
    let mut series = Vec::new();
    let mut described = BTreeMap::new();
    for (number, field) in fields(message) {
        match (number, field) {
            (1, Field::Bytes(one)) => {
                let mut received = Received::default();
                let mut names = Vec::new();
                for (number, field) in fields(one) {
                    match (number, field) {
                        (1, Field::Bytes(label)) => {
                            let mut parts = fields(label).into_iter().map(|(_, field)| match field {
                                Field::Bytes(bytes) => text(bytes),
                                other => panic!("a label with {other:?}"),
                            });
                            let (name, value) = (parts.next().unwrap(), parts.next().unwrap());
                            names.push(name.clone());
                            received.labels.insert(name, value);
                        }
                        (2, Field::Bytes(bytes)) => received.samples.push(sample(bytes)),
                        other => panic!("a series with {other:?}"),
                    }
                }
                assert!(names.is_sorted(), "{names:?}");
                series.push(received);
            }
            (3, Field::Bytes(meta)) => {
                let (mut name, mut of) = (String::new(), (0, String::new(), String::new()));
                for (number, field) in fields(meta) {
                    match (number, field) {
                        (1, Field::Varint(kind)) => of.0 = kind,
                        (2, Field::Bytes(bytes)) => name = text(bytes),
                        (4, Field::Bytes(bytes)) => of.1 = text(bytes),
                        (5, Field::Bytes(bytes)) => of.2 = text(bytes),
                        other => panic!("metadata with {other:?}"),
                    }
                }
                assert_eq!(described.insert(name, of), None, "a family is described once");
            }
            other => panic!("a request with {other:?}"),
        }
    }
    for one in &mut series {
        one.described = described[&one.labels[NAME]].clone();
    }
    series
}

fn decode_v2(message: &[u8]) -> Vec<Received> {
    let mut symbols = Vec::new();
    let mut series = Vec::new();
    for (number, field) in fields(message) {
        match (number, field) {
            (4, Field::Bytes(symbol)) => symbols.push(text(symbol)),
            (5, Field::Bytes(one)) => series.push(one),
            other => panic!("a request with {other:?}"),
        }
    }
    assert_eq!(symbols[0], "", "the table begins with the empty string");
    assert_eq!(
        symbols.iter().collect::<std::collections::HashSet<_>>().len(),
        symbols.len(),
        "each string stands once"
    );
    let symbol = |number: u64| symbols[usize::try_from(number).unwrap()].clone();
    let read = |one: &[u8]| {
        let mut received = Received::default();
        for (number, field) in fields(one) {
            match (number, field) {
                (1, Field::Bytes(mut refs)) => {
                    let mut numbers = Vec::new();
                    while !refs.is_empty() {
                        numbers.push(varint(&mut refs));
                    }
                    let pairs: Vec<_> = numbers.chunks(2).map(|pair| (symbol(pair[0]), symbol(pair[1]))).collect();
                    assert!(pairs.is_sorted(), "{pairs:?}");
                    received.labels = pairs.into_iter().collect();
                }
                (2, Field::Bytes(bytes)) => received.samples.push(sample(bytes)),
                (5, Field::Bytes(meta)) => {
                    for (number, field) in fields(meta) {
                        match (number, field) {
                            (1, Field::Varint(kind)) => received.described.0 = kind,
                            (3, Field::Varint(help)) => received.described.1 = symbol(help),
                            (4, Field::Varint(unit)) => received.described.2 = symbol(unit),
                            other => panic!("metadata with {other:?}"),
                        }
                    }
                }
                (6, Field::Varint(created)) => received.created_ms = created.cast_signed(),
                other => panic!("a series with {other:?}"),
            }
        }
        received
    };
    series.into_iter().map(read).collect()
}

pub const AT: i64 = 1_772_366_400_000;

pub fn series(name: &'static str, kind: Kind, pod: &str, values: &[f64]) -> Series {
    let unit = name.contains("bytes").then_some("bytes");
    let timestamps = (0..).map(|tick: i64| AT + tick * 1000);
    Series {
        meta: Arc::new(Meta { name, help: "What it says.", kind, unit }),
        labels: [(NAME, name), ("cpu", "total"), ("pod", pod)].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        started_ms: Some(AT - 60_000),
        samples: timestamps.zip(values).map(|(timestamp_ms, value)| Sample { timestamp_ms, value: *value }).collect(),
    }
}

fn two() -> Vec<Series> {
    vec![
        series("a_bytes", Kind::Gauge, "web-0", &[0.0, -0.0, 1.5]),
        series("a_total", Kind::Counter, "web-0", &[7.0, 8.0, f64::from_bits(STALE)]),
    ]
}

fn only(bodies: Vec<Body>) -> Body {
    assert_eq!(bodies.len(), 1);
    bodies.into_iter().next().unwrap()
}

#[test]
fn both_versions_of_remote_write_say_the_same_to_a_reader_of_the_specification() {
    for version in [Version::V1, Version::V2] {
        let sent = two();
        let body = only(encode(&sent, version, BOUNDS));
        assert_eq!(body.samples, 6);
        let received = decode(&body.bytes, version);
        assert_eq!(received.len(), 2);
        for (sent, received) in sent.iter().zip(&received) {
            let bits: Vec<_> =
                sent.samples.iter().map(|sample| (sample.timestamp_ms, sample.value.to_bits())).collect();
            assert_eq!(received.samples, bits, "to the last bit, the end mark and the sign of zero too");
            assert_eq!(received.labels["pod"], "web-0");
            assert_eq!(received.labels[NAME], sent.meta.name);
        }
        assert_eq!(received[0].described, (2, "What it says.".to_owned(), "bytes".to_owned()));
        assert_eq!(received[1].described, (1, "What it says.".to_owned(), String::new()));
        let created = if version == Version::V2 { [0, AT - 60_000] } else { [0, 0] };
        assert_eq!([received[0].created_ms, received[1].created_ms], created);
    }
}

#[test]
fn requests_are_bounded_and_no_series_is_divided() {
    let values = vec![1.0; 40];
    let pods: Vec<String> = (0..10).map(|number| format!("web-{number}")).collect();
    let many: Vec<Series> = pods.iter().map(|pod| series("a_total", Kind::Counter, pod, &values)).collect();
    for version in [Version::V1, Version::V2] {
        let bodies = encode(&many, version, Bounds { samples: 100, bytes: 1 << 20 });
        assert_eq!(bodies.iter().map(|body| body.samples).collect::<Vec<_>>(), [80; 5]);
        let received: Vec<_> = bodies.iter().flat_map(|body| decode(&body.bytes, version)).collect();
        assert_eq!(received.len(), 10);
        assert!(received.iter().all(|series| series.samples.len() == 40));
        let bodies = encode(&many, version, Bounds { samples: 100_000, bytes: 1 });
        assert_eq!(bodies.len(), 10, "a series at least");
        assert!(encode(&[], version, BOUNDS).is_empty());
    }
}

#[test]
fn a_message_of_any_length_has_its_length_before_it() {
    for length in [0usize, 1, 127, 128, 16_383, 16_384, 3_000_000] {
        let mut proto = Proto::default();
        proto.message(3, |inner| inner.0.extend(std::iter::repeat_n(7, length)));
        proto.integer(4, 1);
        let read = fields(&proto.0);
        assert_eq!(read[0], (3, Field::Bytes(&vec![7; length])));
        assert_eq!(read[1], (4, Field::Varint(1)));
    }
}

#[test]
fn otlp_is_read_by_opentelemetrys_own_types() {
    let resource = [("service.name".to_owned(), "ringside".to_owned())];
    let body = only(otlp::encode(&two(), &resource, BOUNDS));
    let request = ExportMetricsServiceRequest::decode(body.bytes).unwrap();
    let [of_resource] = request.resource_metrics.as_slice() else { panic!("{request:?}") };
    let attribute = &of_resource.resource.as_ref().unwrap().attributes[0];
    assert_eq!(attribute.key, "service.name");
    let value = attribute.value.as_ref().unwrap().value.as_ref().unwrap();
    assert_eq!(value, &AnyValue::StringValue("ringside".to_owned()));
    let [scope] = of_resource.scope_metrics.as_slice() else { panic!("{of_resource:?}") };
    assert_eq!(scope.scope.as_ref().unwrap().name, "ringside");
    let [gauge, sum] = scope.metrics.as_slice() else { panic!("{scope:?}") };
    assert_eq!(
        (gauge.name.as_str(), gauge.unit.as_str(), gauge.description.as_str()),
        ("a_bytes", "By", "What it says.")
    );
    let Some(Data::Gauge(gauge)) = &gauge.data else { panic!("{gauge:?}") };
    let values: Vec<_> = gauge.data_points.iter().map(|point| point.value.unwrap()).collect();
    assert_eq!(values, [0.0, -0.0, 1.5].map(Value::AsDouble));
    let Some(Data::Sum(sum)) = &sum.data else { panic!("{sum:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality, 2, "cumulative");
    let at = |tick: u64| (AT.unsigned_abs() + tick * 1000) * 1_000_000;
    let points: Vec<_> = sum.data_points.iter().map(|point| (point.time_unix_nano, point.value, point.flags)).collect();
    let expected = [(at(0), Some(Value::AsDouble(7.0)), 0), (at(1), Some(Value::AsDouble(8.0)), 0), (at(2), None, 1)];
    assert_eq!(points, expected, "the end mark is a point without a value");
    for point in &sum.data_points {
        assert_eq!(point.start_time_unix_nano, (AT - 60_000).unsigned_abs() * 1_000_000);
        let keys: Vec<_> = point.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(keys, ["cpu", "pod"], "the name stands at the metric");
    }
}

#[test]
fn otlp_is_bounded_too_and_series_of_one_name_share_a_metric() {
    let pods: Vec<String> = (0..10).map(|number| format!("web-{number}")).collect();
    let many: Vec<Series> = pods.iter().map(|pod| series("a_total", Kind::Counter, pod, &[1.0; 40])).collect();
    let bodies = otlp::encode(&many, &[], Bounds { samples: 100, bytes: 1 << 20 });
    assert_eq!(bodies.iter().map(|body| body.samples).collect::<Vec<_>>(), [80; 5]);
    for body in bodies {
        let request = ExportMetricsServiceRequest::decode(body.bytes).unwrap();
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        assert_eq!(metrics.len(), 1);
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert_eq!(sum.data_points.len(), 80);
    }
}

#[test]
fn over_http_otlp_is_a_gzip_member() {
    let format = target::Format::Otlp { resource: Vec::new(), is_gzip: true };
    let body = only(format.encode(&two()));
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body.bytes[..]), &mut text).unwrap();
    assert_eq!(ExportMetricsServiceRequest::decode(&text[..]).unwrap().resource_metrics.len(), 1);
}
