//! The client's side of Prometheus remote read, written apart from the agent's: what both sides share is the messages'
//! field numbers only.
//!
//! In: queries. Out: the bytes of a request; and from an answer's bytes its series, frames checked by their checksums,
//! chunks unpacked bit by bit.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;

use prost::Message as _;
use ringside::view::remote::messages::{ChunkedReadResponse, Label, LabelMatcher, Query, ReadRequest, ReadResponse};

pub const EQUAL: i32 = 0;
pub const NOT_EQUAL: i32 = 1;
pub const MATCHES: i32 = 2;
pub const MATCHES_NOT: i32 = 3;

/// The float by which Prometheus marks the end of a series.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    /// As they came: with the mark of the series' end, if there is one.
    pub samples: Vec<(i64, f64)>,
}

impl Series {
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// Without the mark of its end.
    pub fn values(&self) -> Vec<(i64, f64)> {
        self.samples.iter().copied().filter(|(_, value)| value.to_bits() != STALE).collect()
    }

    /// The same with floats as bits, so that marks are equal to each other.
    pub fn bits(&self) -> (BTreeMap<String, String>, Vec<(i64, u64)>) {
        (self.labels.clone(), self.samples.iter().map(|(time, value)| (*time, value.to_bits())).collect())
    }
}

pub fn query(start: i64, end: i64, matchers: &[(i32, &str, &str)]) -> Query {
    let matcher = |(comparison, name, value): &(i32, &str, &str)| LabelMatcher {
        comparison: *comparison,
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    Query { start_timestamp_ms: start, end_timestamp_ms: end, matchers: matchers.iter().map(matcher).collect() }
}

/// A request as it is posted.
pub fn request(queries: Vec<Query>, accepted: &[i32]) -> Vec<u8> {
    let request = ReadRequest { queries, accepted_response_types: accepted.to_vec() };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
}

fn series(labels: Vec<Label>, samples: Vec<(i64, f64)>) -> Series {
    assert!(labels.windows(2).all(|pair| pair[0].name < pair[1].name), "labels ascend by name: {labels:?}");
    let times = samples.windows(2).all(|pair| pair[0].0 < pair[1].0);
    assert!(times, "timestamps ascend strictly: {samples:?}");
    Series { labels: labels.into_iter().map(|label| (label.name, label.value)).collect(), samples }
}

/// The series of each query of an answer in one piece.
pub fn whole(body: &[u8]) -> Vec<Vec<Series>> {
    let message = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let response = ReadResponse::decode(message.as_slice()).unwrap();
    let result = |result: ringside::view::remote::messages::QueryResult| {
        let pairs = |samples: &[ringside::view::remote::messages::Sample]| {
            samples.iter().map(|sample| (sample.timestamp, sample.value)).collect()
        };
        result.timeseries.into_iter().map(|one| series(one.labels, pairs(&one.samples))).collect()
    };
    response.results.into_iter().map(result).collect()
}

/// Query index and series of each frame of a streamed answer.
pub fn streamed(mut body: &[u8]) -> Vec<(i64, Series)> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = body[0];
            body = &body[1..];
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let (head, rest) = body.split_at(4);
        let (message, rest) = rest.split_at(length);
        assert_eq!(u32::from_be_bytes(head.try_into().unwrap()), castagnoli(message), "checksum of a frame");
        body = rest;
        let message = ChunkedReadResponse::decode(message).unwrap();
        for one in message.chunked_series {
            let mut samples = Vec::new();
            for chunk in one.chunks {
                assert_eq!(chunk.encoding, 1, "XOR");
                let unpacked = unpack(&chunk.data);
                assert!(unpacked.len() <= 120, "{} samples in a chunk", unpacked.len());
                assert_eq!(unpacked.first().map(|first| first.0), Some(chunk.min_time_ms));
                assert_eq!(unpacked.last().map(|last| last.0), Some(chunk.max_time_ms));
                samples.extend(unpacked);
            }
            found.push((message.query_index, series(one.labels, samples)));
        }
    }
    let labels = |series: &Series| -> Vec<(String, String)> { series.labels.clone().into_iter().collect() };
    let in_order = |pair: &[(i64, Series)]| pair[0].0 < pair[1].0 || labels(&pair[0].1) < labels(&pair[1].1);
    assert!(found.windows(2).all(in_order), "frames ascend by query and labels");
    found
}

/// CRC-32C, bit by bit.
fn castagnoli(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |bits, _| {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            self.at += 1;
            bits << 1 | u64::from(bit)
        })
    }

    fn uvarint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(8);
            value |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
}

/// The samples of an XOR chunk.
fn unpack(data: &[u8]) -> Vec<(i64, f64)> {
    let count = u16::from_be_bytes([data[0], data[1]]);
    let mut bits = Bits { bytes: &data[2..], at: 0 };
    let (mut time, mut delta, mut value) = (0i64, 0i64, 0u64);
    let (mut leading, mut length) = (0, 0);
    (0..count)
        .map(|index| {
            if index == 0 {
                let zigzag = bits.uvarint();
                time = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
                value = bits.take(64);
                return (time, f64::from_bits(value));
            }
            if index == 1 {
                delta = bits.uvarint().cast_signed();
            } else {
                let width = match () {
                    () if bits.take(1) == 0 => 0,
                    () if bits.take(1) == 0 => 14,
                    () if bits.take(1) == 0 => 17,
                    () if bits.take(1) == 0 => 20,
                    () => 64,
                };
                let mut change = bits.take(width).cast_signed();
                if (1..64).contains(&width) && change > 1 << (width - 1) {
                    change -= 1 << width;
                }
                delta += change;
            }
            time += delta;
            if bits.take(1) == 1 {
                if bits.take(1) == 1 {
                    leading = u32::try_from(bits.take(5)).unwrap();
                    length = u32::try_from(bits.take(6)).unwrap();
                    if length == 0 {
                        length = 64;
                    }
                }
                value ^= bits.take(length) << (64 - leading - length);
            }
            (time, f64::from_bits(value))
        })
        .collect()
}
