//! How the agent itself is: its ticks, its ring and the ring's file, as part of the node's answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::NodeSample;
use crate::store::{Persistence, StoreStats, TierStats};
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
    /// Ticks that can be read one by one.
    pub ticks: u64,
    /// Ticks that are not kept one by one any more, to stay within the budget.
    pub evicted_ticks: u64,
    /// Values kept.
    pub samples: u64,
    /// The oldest instant that can be read, RFC 3339.
    pub oldest: Option<String>,
    /// The newest tick, RFC 3339.
    pub newest: Option<String>,
    /// The same by tier, from fine to coarse.
    #[serde(default)]
    pub tiers: Vec<TierState>,
    /// How it stands with the ring file; null without `--data-dir`.
    #[serde(default)]
    pub persistence: Option<PersistenceState>,
}

/// How full one tier of the ring is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TierState {
    /// `tick`, `10s` or `1m`.
    pub resolution: String,
    /// Bytes that hold its history.
    pub used_bytes: u64,
    /// Its part of the budget.
    pub budget_bytes: u64,
    /// Ticks or buckets that can be read.
    pub points: u64,
    /// Values kept.
    pub samples: u64,
    /// Its oldest tick or bucket, RFC 3339; null while it is empty.
    pub oldest: Option<String>,
}

/// How it stands with the ring file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersistenceState {
    /// Whether history is being written to the file. If not, it is kept in memory, and the file is tried again.
    pub active: bool,
    /// Why not, and what to do about it; null while all is well.
    pub failure: Option<String>,
    /// Times that writing had to be given up, since start.
    pub failures_total: u64,
    /// Size of the file; 0 before it was opened.
    pub file_bytes: u64,
    /// Bytes written since start.
    pub written_bytes_total: u64,
    /// Barriers (fdatasync) since start: a power loss costs at most what was written after the last one.
    pub syncs_total: u64,
    /// Pieces of the file that were damaged when it was opened, and were left out.
    pub damaged_total: u64,
}

impl From<&TierStats> for TierState {
    fn from(stats: &TierStats) -> Self {
        Self {
            resolution: stats.tier.as_str().to_owned(),
            used_bytes: whole(stats.used_bytes),
            budget_bytes: whole(stats.budget_bytes),
            points: stats.points,
            samples: stats.samples,
            oldest: stats.oldest.map(rfc3339),
        }
    }
}

impl From<&Persistence> for PersistenceState {
    fn from(persistence: &Persistence) -> Self {
        Self {
            active: persistence.active,
            failure: persistence.failure.clone(),
            failures_total: persistence.failures,
            file_bytes: persistence.file_bytes,
            written_bytes_total: persistence.written_bytes,
            syncs_total: persistence.syncs,
            damaged_total: persistence.damaged,
        }
    }
}

fn whole(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
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
        Self {
            used_bytes: whole(stats.used_bytes),
            budget_bytes: whole(stats.budget_bytes),
            ticks: stats.ticks,
            evicted_ticks: stats.evicted_ticks,
            samples: stats.samples,
            oldest: stats.oldest.map(rfc3339),
            newest: newest.map(rfc3339),
            tiers: stats.tiers.iter().map(TierState::from).collect(),
            persistence: stats.persistence.as_ref().map(PersistenceState::from),
        }
    }
}
