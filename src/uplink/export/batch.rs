//! What is sent to a long-term store: series with their samples, as plain data.
//!
//! In: nothing. Out: the types that a [`Source`] fills and the formats read. It knows neither the ring nor a protocol.
//! Next: `remote_write.rs`, `otlp.rs`.

use std::sync::Arc;

/// The float that Prometheus takes for the end of a series. As a value it means nothing.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// The label that holds a metric's name.
pub const NAME: &str = "__name__";

/// One value at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// In the base unit of the family.
    pub value: f64,
}

impl Sample {
    /// Whether it marks the end of its series.
    #[must_use]
    pub const fn is_stale_marker(&self) -> bool {
        self.value.to_bits() == STALE
    }
}

/// Type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Constant 1; its labels are what it says.
    Info,
}

/// What all series of one name have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Name of its samples.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Counter, gauge or info.
    pub kind: Kind,
    /// Base unit, in Prometheus' word: `seconds`, `bytes`, `ratio`.
    pub unit: Option<&'static str>,
}

/// One series and what it was in a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it shares with the others of its name.
    pub meta: Arc<Meta>,
    /// Names and values, [`NAME`] among them, ascending by name.
    pub labels: Vec<(String, String)>,
    /// When its counter began to count, if that is known; milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// Strictly ascending in time, and never empty.
    pub samples: Vec<Sample>,
}

/// A stretch of time that is sent in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Milliseconds since 1970, not included.
    pub after_ms: i64,
    /// Milliseconds since 1970, included.
    pub until_ms: i64,
    /// Of all ticks of a step the last one is sent; 0 sends every tick.
    pub step_ms: i64,
}

/// How far the ring reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its oldest tick, in milliseconds since 1970.
    pub oldest_ms: i64,
    /// Its newest tick.
    pub newest_ms: i64,
}

/// Where samples come from: the ring, under the names of `/metrics`.
pub trait Source: Send + 'static {
    /// How far it reaches now; `None` before the first tick.
    fn extent(&self) -> Option<Extent>;
    /// Every series that has samples in a window. It may take a while.
    fn read(&mut self, window: Window) -> Vec<Series>;
}
