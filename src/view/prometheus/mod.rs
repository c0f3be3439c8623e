//! `/metrics`: every sample as Prometheus text 0.0.4 or OpenMetrics 1.0.
//!
//! In: the newest [`NodeSample`](crate::sample::NodeSample). Out: bytes, made once per tick and shared by all scrapers.
//!
//! | step | file |
//! |---|---|
//! | what is exported, under which name, from which column | [`families`], in [`set`]s |
//! | who it is exported for, under which labels | [`layout`], [`labels`] |
//! | one value of one row | [`reading`] |
//! | the digits | [`number`], [`shares`] |
//! | the highest value since the last scrape | [`maxima`] |
//! | the text | [`encoder`], [`sink`] |
//! | the agent's own metrics | [`agent`] |
//! | one body per tick | [`exposition`] |

pub mod agent;
pub mod encoder;
pub mod exposition;
pub mod families;
pub mod family;
pub mod labels;
pub mod layout;
pub mod maxima;
pub mod node_exporter;
pub mod number;
pub mod reading;
pub mod set;
pub mod shares;
pub mod sink;

pub use exposition::{Ask, Exposition, ExpositionError, Shown};
pub use maxima::Scraper;

/// Which labels every series of a container carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Labels {
    /// cAdvisor's: the identity, the image and every label of the runtime.
    #[default]
    Full,
    /// The identity alone; the rest stands in `container_info`, to be joined by `id`.
    Slim,
}

impl Labels {
    /// The word of the flag and of the query parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Slim => "slim",
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
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The media type of a body.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The word used as a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::OpenMetrics => "openmetrics",
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
