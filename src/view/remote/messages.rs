//! The messages of Prometheus remote read 1, by hand from `prompb/remote.proto` and `prompb/types.proto`.
//!
//! In: the numbers of the fields. Out: types that `prost` reads and writes. Fields that are not looked at are left out:
//! unknown ones are skipped. Next: `read.rs`.

use prost::{Enumeration, Message};

/// What a client asks.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRequest {
    /// The queries; each is answered by itself.
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
    /// What the client takes, most wanted first; none means [`ResponseType::Samples`].
    #[prost(enumeration = "ResponseType", repeated, tag = "2")]
    pub accepted_response_types: Vec<i32>,
}

/// One query. Its hints (field 4) are not looked at.
#[derive(Clone, PartialEq, Message)]
pub struct Query {
    /// First instant, in milliseconds since 1970, included.
    #[prost(int64, tag = "1")]
    pub start_timestamp_ms: i64,
    /// Last instant, included.
    #[prost(int64, tag = "2")]
    pub end_timestamp_ms: i64,
    /// All must fit.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
}

/// A condition on a label.
#[derive(Clone, PartialEq, Message)]
pub struct LabelMatcher {
    /// How it is compared.
    #[prost(enumeration = "MatcherType", tag = "1")]
    pub comparison: i32,
    /// The label.
    #[prost(string, tag = "2")]
    pub name: String,
    /// What it is compared with.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum MatcherType {
    /// `=`
    Equal = 0,
    /// `!=`
    NotEqual = 1,
    /// `=~`
    Matches = 2,
    /// `!~`
    MatchesNot = 3,
}

/// Shape of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ResponseType {
    /// One compressed [`ReadResponse`].
    Samples = 0,
    /// A stream of framed [`ChunkedReadResponse`]s.
    StreamedXorChunks = 1,
}

/// An answer in one piece.
#[derive(Clone, PartialEq, Message)]
pub struct ReadResponse {
    /// One for each query.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// The series of one query.
#[derive(Clone, PartialEq, Message)]
pub struct QueryResult {
    /// Ascending by labels.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// One series.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Ascending by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Ascending by time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// A label. Ordered as Prometheus orders them: by name, then by value, byte by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// One value at one instant.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// One frame of a streamed answer.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkedReadResponse {
    /// The series of this frame: here always one.
    #[prost(message, repeated, tag = "1")]
    pub chunked_series: Vec<ChunkedSeries>,
    /// Which query it answers, from 0.
    #[prost(int64, tag = "2")]
    pub query_index: i64,
}

/// One series in chunks.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkedSeries {
    /// Ascending by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Ascending by time; they do not overlap.
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<Chunk>,
}

/// Up to 120 samples, packed.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Chunk {
    /// Instant of the first sample.
    #[prost(int64, tag = "1")]
    pub min_time_ms: i64,
    /// Instant of the last one.
    #[prost(int64, tag = "2")]
    pub max_time_ms: i64,
    /// How it is packed.
    #[prost(enumeration = "ChunkEncoding", tag = "3")]
    pub encoding: i32,
    /// The packed samples.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}

/// How a chunk is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ChunkEncoding {
    /// Not told.
    Unknown = 0,
    /// See [`chunk`](super::chunk).
    Xor = 1,
}
