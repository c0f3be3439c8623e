//! `/metrics`: every sample as Prometheus text 0.0.4 or 1.0.0, OpenMetrics 1.0.0, or delimited protobuf.
//!
//! In: the newest [`NodeSample`](crate::sample::NodeSample). Out: bytes, made once per tick and shared by all scrapers.
//!
//! | step | file |
//! |---|---|
//! | what is exported, under which name, from which column | [`families`], in [`set`]s |
//! | which of them a page shows, and of those which series | [`plan`], [`pick`] |
//! | who it is exported for, under which labels | [`layout`], [`labels`], [`escaping`], [`shape`], `foreign.rs` |
//! | one value of one row | [`reading`] |
//! | the digits | [`number`], [`shares`] |
//! | what happened since the last scrape | [`maxima`], [`distributions`], [`headroom`] |
//! | sums over namespaces and workloads | [`rollups`] |
//! | the walk over all families | [`encoder`] |
//! | the bytes | [`writer`], [`text`], [`protobuf`], [`blocks`], [`sink`] |
//! | the agent's own metrics | [`agent`] |
//! | one body per tick | [`exposition`] |

pub mod agent;
pub mod blocks;
pub mod distributions;
pub mod encoder;
pub mod escaping;
pub mod exports;
pub mod exposition;
pub mod families;
pub mod family;
mod foreign;
pub mod headroom;
pub mod labels;
pub mod layout;
pub mod maxima;
pub mod node_exporter;
pub mod number;
pub mod pick;
pub mod plan;
pub mod protobuf;
pub mod reading;
pub mod rollups;
pub mod set;
pub mod shape;
pub mod shares;
pub mod sink;
pub mod text;
pub mod writer;

use self::escaping::Escaping;
pub use exposition::{Ask, Exposition, ExpositionError, Shown};
pub use maxima::Scraper;
pub use pick::Pick;
pub use shape::{LabelKeys, Shape};

/// Which labels every series of a container carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Labels {
    /// The identity in Kubernetes' words, the image and every label of the runtime.
    #[default]
    Full,
    /// The identity alone; the rest stands in `container_info`, to be joined by `id`.
    Slim,
    /// The kubelet's six: `id`, `name`, `image`, `pod`, `namespace`, `container`. Chosen by the path, not by a word.
    Kubelet,
    /// cAdvisor's own, without a kubelet: `id`, `name`, `image` and every label of the runtime. Chosen by `--compat`.
    Cadvisor,
}

impl Labels {
    /// The word of the flag and of the query parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Slim => "slim",
            Self::Kubelet => "kubelet",
            Self::Cadvisor => "cadvisor",
        }
    }
}

impl std::str::FromStr for Labels {
    type Err = UnknownLabels;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "full" => Ok(Self::Full),
            "slim" => Ok(Self::Slim),
            _ => Err(UnknownLabels),
        }
    }
}

/// A word that names no set of labels. Give `full` or `slim`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("labels must be `full` or `slim`")]
pub struct UnknownLabels;

/// Text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    #[default]
    Text,
    /// Prometheus text format 1.0.0: label names of any characters.
    Text1,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// `io.prometheus.client.MetricFamily`, delimited: native histograms.
    Protobuf,
}

impl Format {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Text, Self::Text1, Self::OpenMetrics, Self::Protobuf];

    /// The media type of a body.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        self.escaped_content_type(None)
    }

    /// The same for a client that asked for a scheme of escaping: it is told that it got it.
    #[must_use]
    pub const fn escaped_content_type(self, escaping: Option<Escaping>) -> &'static str {
        macro_rules! with {
            ($type:literal) => {
                match escaping {
                    None => $type,
                    Some(Escaping::AllowUtf8) => concat!($type, "; escaping=allow-utf-8"),
                    Some(Escaping::Underscores) => concat!($type, "; escaping=underscores"),
                    Some(Escaping::Dots) => concat!($type, "; escaping=dots"),
                    Some(Escaping::Values) => concat!($type, "; escaping=values"),
                }
            };
        }
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text1 => with!("text/plain; version=1.0.0; charset=utf-8"),
            Self::OpenMetrics => with!("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            Self::Protobuf => {
                with!("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
            }
        }
    }

    /// The word used as a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Text1 => "text1",
            Self::OpenMetrics => "openmetrics",
            Self::Protobuf => "protobuf",
        }
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    Identity,
    /// gzip, fastest level.
    Gzip,
    /// Zstandard, level 1.
    Zstd,
}

impl Compression {
    /// The word of `Content-Encoding` and of a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}
