//! Prometheus remote write: series as bodies of requests, in version 1.0 and 2.0.
//!
//! In: [`Series`]. Out: snappy blocks of `prometheus.WriteRequest` or `io.prometheus.write.v2.Request`, bounded in samples
//! and bytes. All samples of a series in a window stand in one request, in order, so that no order between requests
//! matters. It sends nothing. Next: `http.rs`.
//!
//! Field numbers are those of `prompb/types.proto`, `prompb/remote.proto` and `prompb/io/prometheus/write/v2/types.proto`.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::batch::{Kind, Series};
use super::proto::Proto;

/// Which message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// `Content-Type` of a request.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// `X-Prometheus-Remote-Write-Version` of a request.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// How large one request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Samples; one series' samples of one window are never divided.
    pub samples: usize,
    /// Bytes before compression, about.
    pub bytes: usize,
}

/// One request that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// As it goes over the wire.
    pub bytes: Bytes,
    /// Samples in it, end marks included.
    pub samples: u64,
}

/// Makes requests of series.
#[must_use]
pub fn encode(series: &[Series], version: Version, bounds: Bounds) -> Vec<Body> {
    let mut bodies = Vec::new();
    let mut request = Request::new(version);
    for one in series {
        let is_full = request.samples + one.samples.len() > bounds.samples || request.size() >= bounds.bytes;
        if is_full && request.samples > 0 {
            bodies.extend(std::mem::replace(&mut request, Request::new(version)).finish());
        }
        request.push(one);
    }
    if request.samples > 0 {
        bodies.extend(request.finish());
    }
    bodies
}

struct Request<'a> {
    version: Version,
    samples: usize,
    series: Proto,
    symbols: Proto,
    refs: HashMap<&'a str, u64>,
    described: HashSet<&'static str>,
    /// Reused for the packed references of one series.
    scratch: Vec<u8>,
}

impl<'a> Request<'a> {
    fn new(version: Version) -> Self {
        let mut request = Self {
            version,
            samples: 0,
            series: Proto::default(),
            symbols: Proto::default(),
            refs: HashMap::new(),
            described: HashSet::new(),
            scratch: Vec::new(),
        };
        if version == Version::V2 {
            request.symbol("");
        }
        request
    }

    fn size(&self) -> usize {
        self.series.0.len() + self.symbols.0.len()
    }

    /// The number of a string in the table of version 2.0.
    fn symbol(&mut self, text: &'a str) -> u64 {
        let next = u64::try_from(self.refs.len()).unwrap_or(u64::MAX);
        let symbols = &mut self.symbols;
        *self.refs.entry(text).or_insert_with(|| {
            symbols.bytes(4, text.as_bytes());
            next
        })
    }

    fn push(&mut self, series: &'a Series) {
        self.samples += series.samples.len();
        match self.version {
            Version::V1 => self.push_v1(series),
            Version::V2 => self.push_v2(series),
        }
    }

    fn push_v1(&mut self, series: &'a Series) {
        let meta = &series.meta;
        if self.described.insert(meta.name) {
            self.symbols.message(3, |described| {
                described.integer(1, type_number(meta.kind));
                described.text(2, meta.name);
                described.text(4, meta.help);
                described.text(5, meta.unit.unwrap_or_default());
            });
        }
        self.series.message(1, |written| {
            for (name, value) in &series.labels {
                written.message(1, |label| {
                    label.text(1, name);
                    label.text(2, value);
                });
            }
            samples(written, series);
        });
    }

    fn push_v2(&mut self, series: &'a Series) {
        let mut refs = std::mem::take(&mut self.scratch);
        refs.clear();
        for (name, value) in &series.labels {
            prost::encoding::encode_varint(self.symbol(name), &mut refs);
            prost::encoding::encode_varint(self.symbol(value), &mut refs);
        }
        let meta = &series.meta;
        let (help, unit) = (self.symbol(meta.help), self.symbol(meta.unit.unwrap_or_default()));
        self.series.message(5, |written| {
            written.bytes(1, &refs);
            samples(written, series);
            written.message(5, |described| {
                described.integer(1, type_number(meta.kind));
                described.integer(3, help);
                described.integer(4, unit);
            });
            written.signed(6, series.started_ms.filter(|_| meta.kind == Kind::Counter).unwrap_or_default());
        });
        self.scratch = refs;
    }

    /// `None` if the block cannot be made, which takes more than 4 GiB.
    fn finish(self) -> Option<Body> {
        let mut message = match self.version {
            // Series stand before what describes them, because their field comes first.
            Version::V1 => [self.series.0, self.symbols.0],
            Version::V2 => [self.symbols.0, self.series.0],
        }
        .into_iter();
        let mut whole = message.next().unwrap_or_default();
        message.for_each(|part| whole.extend_from_slice(&part));
        let block = snap::raw::Encoder::new().compress_vec(&whole).ok()?;
        Some(Body { bytes: block.into(), samples: u64::try_from(self.samples).unwrap_or(u64::MAX) })
    }
}

fn samples(written: &mut Proto, series: &Series) {
    for sample in &series.samples {
        written.message(2, |message| {
            message.double(1, sample.value);
            message.signed(2, sample.timestamp_ms);
        });
    }
}

const fn type_number(kind: Kind) -> u64 {
    match kind {
        Kind::Counter => 1,
        Kind::Gauge => 2,
        Kind::Info => 6,
    }
}
