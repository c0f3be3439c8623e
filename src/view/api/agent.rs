//! How the agent itself is: its ticks and its ring, as part of the node's answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::NodeSample;
use crate::store::StoreStats;
use crate::units::UnixNanos;

use super::time::rfc3339;

/// How the agent's own reading goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ticks {
    /// Number of the newest tick.
    pub tick: u64,
    /// Interval between ticks, in seconds.
    pub interval_seconds: f64,
    /// How long the last tick's reading took.
    pub duration_seconds: f64,
    /// How late it began.
    pub delay_seconds: f64,
    /// From the first file to the last: how far apart its numbers can lie.
    pub skew_seconds: f64,
    /// Ticks that were due and not begun.
    pub missed: u64,
    /// CPU time of the reading thread since start.
    pub thread_cpu_seconds_total: f64,
    /// Cgroups read.
    pub cgroups: u64,
    /// Cgroups not read because the cap was reached.
    pub cgroups_shed: u64,
    /// Failed reads since start.
    pub read_errors_total: u64,
}

/// How full the ring is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreState {
    /// Bytes that hold history.
    pub used_bytes: u64,
    /// The budget.
    pub budget_bytes: u64,
    /// Ticks that can be read.
    pub ticks: u64,
    /// Ticks that were dropped to stay within the budget.
    pub evicted_ticks: u64,
    /// Values kept.
    pub samples: u64,
    /// The oldest instant that can be read, RFC 3339.
    pub oldest: Option<String>,
    /// The newest tick, RFC 3339.
    pub newest: Option<String>,
}

impl Ticks {
    pub(super) fn read(sample: &NodeSample) -> Self {
        let stats = &sample.self_stats;
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        Self {
            tick: sample.tick,
            interval_seconds: seconds(stats.interval_nanos),
            duration_seconds: seconds(stats.tick_duration_nanos),
            delay_seconds: seconds(stats.tick_delay_nanos),
            skew_seconds: seconds(sample.ended_at.since(sample.started_at)),
            missed: stats.missed_ticks,
            thread_cpu_seconds_total: seconds(stats.thread_cpu_nanos),
            cgroups: stats.cgroups,
            cgroups_shed: stats.cgroups_shed,
            read_errors_total: stats.read_errors.iter().flatten().sum(),
        }
    }
}

impl StoreState {
    pub(super) fn read(stats: &StoreStats, newest: Option<UnixNanos>) -> Self {
        let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        Self {
            used_bytes: bytes(stats.used_bytes),
            budget_bytes: bytes(stats.budget_bytes),
            ticks: stats.ticks,
            evicted_ticks: stats.evicted_ticks,
            samples: stats.samples,
            oldest: stats.oldest.map(rfc3339),
            newest: newest.map(rfc3339),
        }
    }
}
