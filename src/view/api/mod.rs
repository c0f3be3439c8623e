//! The JSON API: `/api/v1/...` and its OpenAPI document.
//!
//! In: the [`Store`], a path and a query. Out: an [`Answer`], also for every error (RFC 9457). Nothing here knows HTTP:
//! `view/http` reads requests and writes answers. A property whose value is not known is null, never 0.
//!
//! `at=` shows any of the first three kinds as it was in the past (`past`).
//!
//! ```text
//! /api/v1/diff                       diff
//! /api/v1/ring                       past
//! /api/v1/node                       node       /api/v1/metrics      metrics
//! /api/v1/node/history               history    /openapi.json        openapi
//! /api/v1/containers                 container
//! /api/v1/containers/{id}            find → container
//! /api/v1/containers/{id}/history    find → history
//! /api/v1/history                    select → history
//! /api/v1/pods                       pod
//! ```

mod agent;
mod container;
mod diff;
mod find;
mod history;
mod metrics;
mod node;
mod openapi;
mod parts;
mod past;
mod pod;
mod problem;
mod request;
mod routes;
mod scene;
mod select;
pub(in crate::view) mod time;
mod traffic;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use agent::{PersistenceState, StoreState, Ticks, TierState};
pub use container::{Container, ContainerKind, ContainerList, Exit};
pub use diff::{Change, ContainerChange, Diff, DiffMoment, Fate, UsageChange};
pub use history::{Function, History, HistoryValue, HistoryWord, MAX_POINTS, TierSpan};
pub use metrics::{MetricInfo, MetricList};
pub use node::{CpuModes, Disk, Filesystem, Load, Machine, Node, NodeCpu, NodeMemory, OneCpu, Processes};
pub use parts::{Cpu, Memory, MemoryEvents, Pids, Pressure, Stall, StallLine};
pub use past::{HistoryExtent, TierExtent};
pub use pod::{Pod, PodContainer, PodList, PodSource};
pub use problem::Problem;
pub(in crate::view) use problem::nearest;
pub use request::{Query, percent_decode, percent_encode};
pub use scene::Now;
pub use select::{Aggregation, HistoryList, HistorySeries, MAX_POINTS_TOGETHER, MAX_SERIES};
pub use time::{parse_duration, parse_instant, rfc3339};
pub use traffic::{DeviceIo, InterfaceTraffic, Io, IoCounters, Network, NetworkCounters, NetworkScope};

use std::time::{SystemTime, UNIX_EPOCH};

use crate::store::Store;
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::Answer;

/// Answers a request for the API now; `None` when the path is not one of the API's.
#[must_use]
pub fn answer(store: &Store, path: &str, query: Option<&str>) -> Option<Answer> {
    answer_at(store, path, query, Now::read())
}

/// Answers a request as of a given instant. The answer depends on nothing else.
#[must_use]
pub fn answer_at(store: &Store, path: &str, query: Option<&str>, now: Now) -> Option<Answer> {
    routes::answer(store, path, query, now)
}

impl Now {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = UnixNanos(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX));
        let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(monotonic.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(monotonic.tv_nsec).unwrap_or(0);
        Self { wall, monotonic: MonotonicNanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)) }
    }
}
