//! `POST /api/v1/read`: Prometheus remote read, version 1.
//!
//! In: the body of a request, a snappy block around a [`messages::ReadRequest`](super::messages::ReadRequest). Out: one
//! compressed message, or a stream of frames with one series each, so that an answer of any length takes the memory of
//! one series. What a client declares is held against the limits before anything is allocated by it.
//!
//! ```text
//! frame    length as unsigned varint · CRC-32C of the message, big endian · ChunkedReadResponse
//! ```

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::chunk;
use super::limits::{Limits, RemoteError};
use super::messages::{
    Chunk, ChunkEncoding, ChunkedReadResponse, ChunkedSeries, LabelMatcher, MatcherType, QueryResult, ReadRequest,
    ReadResponse, ResponseType, Sample, TimeSeries,
};
use super::samples::{RangeMs, walls};
use super::select::{Selection, select};
use super::{Pipe, Remote};
use crate::store::query::matcher::{Comparison, Matcher};
use crate::units::UnixNanos;

/// Bytes of a sample in a [`ReadResponse`].
const SAMPLE_BYTES: usize = 18;

/// A request that was understood.
#[derive(Debug)]
pub struct Read {
    queries: Vec<(RangeMs, Vec<Matcher>)>,
    shape: ResponseType,
}

impl Read {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`RemoteError`] when it is malformed or breaks a limit.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, RemoteError> {
        let not_snappy = |error| RemoteError::Malformed(format!("the body is no snappy block: {error}"));
        let declared = snap::raw::decompress_len(body).map_err(not_snappy)?;
        if declared > limits.message_bytes {
            return Err(RemoteError::TooLong { bytes: declared, most: limits.message_bytes });
        }
        let message = snap::raw::Decoder::new().decompress_vec(body).map_err(not_snappy)?;
        let request = ReadRequest::decode(message.as_slice())
            .map_err(|error| RemoteError::Malformed(format!("the body is no ReadRequest: {error}")))?;
        let shape = shape(&request.accepted_response_types)?;
        if request.queries.len() > limits.queries {
            return Err(RemoteError::TooMany { what: "too many queries", most: limits.queries });
        }
        let mut queries = Vec::with_capacity(request.queries.len());
        let mut regexes = 0;
        for query in request.queries {
            if query.matchers.len() > limits.matchers {
                return Err(RemoteError::TooMany { what: "too many matchers in a query", most: limits.matchers });
            }
            let mut matchers = Vec::with_capacity(query.matchers.len());
            for written in query.matchers {
                let matcher = matcher(written)?;
                regexes += usize::from(matcher.is_regex());
                if regexes > limits.regexes {
                    return Err(RemoteError::TooMany { what: "too many regular expressions", most: limits.regexes });
                }
                matchers.push(matcher);
            }
            queries.push((query.start_timestamp_ms..=query.end_timestamp_ms, matchers));
        }
        Ok(Self { queries, shape })
    }

    /// Media type of the answer.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self.shape {
            ResponseType::Samples => "application/x-protobuf",
            ResponseType::StreamedXorChunks => "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
        }
    }

    /// `Content-Encoding` of the answer.
    #[must_use]
    pub const fn content_encoding(&self) -> Option<&'static str> {
        match self.shape {
            ResponseType::Samples => Some("snappy"),
            ResponseType::StreamedXorChunks => None,
        }
    }

    /// Writes the answer.
    ///
    /// # Errors
    /// [`RemoteError`] when it breaks a limit or the client has gone.
    pub fn write(self, remote: &Remote, deadline: Instant, pipe: &mut Pipe<'_>) -> Result<(), RemoteError> {
        let mut work = Work { remote, deadline, samples_left: remote.limits.samples };
        match self.shape {
            ResponseType::Samples => pipe(work.whole(&self.queries)?),
            ResponseType::StreamedXorChunks => (0..).zip(&self.queries).try_for_each(|(index, (range, matchers))| {
                work.each(range, matchers, |labels, samples| pipe(frame(index, labels, &samples)?))
            }),
        }
    }
}

fn shape(accepted: &[i32]) -> Result<ResponseType, RemoteError> {
    if accepted.is_empty() {
        return Ok(ResponseType::Samples);
    }
    let known = accepted.iter().find_map(|accepted| ResponseType::try_from(*accepted).ok());
    known.ok_or_else(|| {
        RemoteError::Malformed("none of the accepted response types is SAMPLES (0) or STREAMED_XOR_CHUNKS (1)".into())
    })
}

fn matcher(written: LabelMatcher) -> Result<Matcher, RemoteError> {
    let comparison = match MatcherType::try_from(written.comparison) {
        Ok(MatcherType::Equal) => Comparison::Equal,
        Ok(MatcherType::NotEqual) => Comparison::NotEqual,
        Ok(MatcherType::Matches) => Comparison::Matches,
        Ok(MatcherType::MatchesNot) => Comparison::MatchesNot,
        Err(_) => {
            return Err(RemoteError::Malformed(format!("{} is no type of a matcher", written.comparison)));
        }
    };
    Ok(Matcher::new(written.name, comparison, written.value)?)
}

/// What is left of the limits while an answer is made.
struct Work<'a> {
    remote: &'a Remote,
    deadline: Instant,
    samples_left: usize,
}

impl Work<'_> {
    /// Gives every series of a query that has samples to `take`.
    fn each(
        &mut self,
        range: &RangeMs,
        matchers: &Vec<Matcher>,
        mut take: impl FnMut(Vec<super::messages::Label>, Vec<Sample>) -> Result<(), RemoteError>,
    ) -> Result<(), RemoteError> {
        let Remote { store, shape, limits } = self.remote;
        let since = walls(range).map_or(UnixNanos(u64::MAX), |(since, _)| since);
        let mut selection = select(store, shape, std::slice::from_ref(matchers), since, limits)?;
        for mut series in std::mem::take(&mut selection.series) {
            let samples = self.samples(&selection, &series, range)?;
            if !samples.is_empty() {
                take(std::mem::take(&mut series.labels), samples)?;
            }
        }
        Ok(())
    }

    fn samples(
        &mut self,
        selection: &Selection,
        series: &super::select::Selected,
        range: &RangeMs,
    ) -> Result<Vec<Sample>, RemoteError> {
        let limits = &self.remote.limits;
        if Instant::now() > self.deadline {
            return Err(RemoteError::Late(limits.time));
        }
        let mut samples = selection.samples(&self.remote.store, series, range);
        samples.extend(selection.end_mark(series, &samples, range));
        let left = self.samples_left.checked_sub(samples.len());
        self.samples_left = left.ok_or(RemoteError::TooMuch { most: limits.samples, what: "samples", hint: "" })?;
        Ok(samples)
    }

    /// The answer in one piece, which is bounded more closely: it stands in memory as a whole.
    fn whole(&mut self, queries: &[(RangeMs, Vec<Matcher>)]) -> Result<Bytes, RemoteError> {
        let most = self.remote.limits.answer_bytes;
        let hint = ", or accept STREAMED_XOR_CHUNKS";
        let mut bytes = 0usize;
        let mut response = ReadResponse::default();
        for (range, matchers) in queries {
            let mut result = QueryResult::default();
            self.each(range, matchers, |labels, samples| {
                let of_labels: usize = labels.iter().map(|label| label.name.len() + label.value.len() + 8).sum();
                bytes += of_labels + samples.len() * SAMPLE_BYTES;
                result.timeseries.push(TimeSeries { labels, samples });
                if bytes > most { Err(RemoteError::TooMuch { most, what: "bytes", hint }) } else { Ok(()) }
            })?;
            response.results.push(result);
        }
        let compressed = snap::raw::Encoder::new().compress_vec(&response.encode_to_vec());
        compressed.map(Bytes::from).map_err(|error| RemoteError::Failed(error.to_string()))
    }
}

/// One series as a frame.
fn frame(query_index: i64, labels: Vec<super::messages::Label>, samples: &[Sample]) -> Result<Bytes, RemoteError> {
    let chunk = |samples: &[Sample]| Chunk {
        min_time_ms: samples.first().map_or(0, |first| first.timestamp),
        max_time_ms: samples.last().map_or(0, |last| last.timestamp),
        encoding: ChunkEncoding::Xor.into(),
        data: chunk::encode(samples),
    };
    let chunks = samples.chunks(chunk::MAX_SAMPLES).map(chunk).collect();
    let message = ChunkedReadResponse { chunked_series: vec![ChunkedSeries { labels, chunks }], query_index };
    let message = message.encode_to_vec();
    let mut frame = BytesMut::with_capacity(message.len() + 16);
    prost::encode_length_delimiter(message.len(), &mut frame)
        .map_err(|error| RemoteError::Failed(error.to_string()))?;
    frame.put_u32(crc32c::crc32c(&message));
    frame.put_slice(&message);
    Ok(frame.freeze())
}
