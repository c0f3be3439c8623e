//! What a kubelet answers: `/metrics/resource` and `/stats/summary`.
//!
//! In: the [`Store`] and a query. Out: an [`Answer`]. Rates are over the last ten seconds, as the kubelet's are, so that who
//! asks every ten seconds misses nothing. It knows no HTTP and reads nothing but the ring, and
//! the kernel's largest process ID. Next: `view/http`.
//!
//! | step | file |
//! |---|---|
//! | who is there | `pods.rs` |
//! | the node as a whole | `node.rs` |
//! | text for metrics-server | `resource.rs` |
//! | the kubelet's types | `stats.rs` |
//! | filling them in | `summary.rs` |

mod node;
mod pods;
mod resource;
pub mod stats;
mod summary;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::sample::NodeSample;
use crate::sample::processes::ProcessTable;
use crate::store::Store;
use crate::units::UnixNanos;
use crate::view::Answer;
use crate::view::api::{Problem, Query};
use crate::view::rates::Pair;
use pods::Seen;
use summary::Extent;

/// The path of the text for metrics-server.
pub const RESOURCE: &str = "/metrics/resource";

/// The path of the summary.
pub const SUMMARY: &str = "/stats/summary";

/// How far apart the two readings of a rate are: what the kubelet's own are, about.
const WINDOW_NANOS: u64 = 10_000_000_000;

/// Two readings that are further apart than this are of two runs of the agent, or of a clock that was set.
const MOST_APART_NANOS: u64 = 6 * WINDOW_NANOS;

/// Answers `/metrics/resource` and `/stats/summary`; `None` for another path.
#[must_use]
pub fn answer(store: &Store, processes: &ProcessTable, path: &str, query: Option<&str>) -> Option<Answer> {
    let answered = match path.strip_suffix('/').unwrap_or(path) {
        RESOURCE => resource_page(store),
        SUMMARY => summary_page(store, processes, query),
        _ => return None,
    };
    Some(answered.unwrap_or_else(|problem| problem.into_answer(path)))
}

fn resource_page(store: &Store) -> Result<Answer, Problem> {
    let (newest, before) = store.latest_pair().ok_or_else(Problem::no_sample)?;
    let pair = Pair::new(&newest, before.as_deref());
    let body = resource::page(&Seen::new(&pair, &pair));
    Ok(Answer { status: 200, content_type: resource::CONTENT_TYPE, body })
}

fn summary_page(store: &Store, processes: &ProcessTable, query: Option<&str>) -> Result<Answer, Problem> {
    let extent = match Query::parse(query).flag("only_cpu_and_memory")? {
        true => Extent::CpuAndMemory,
        false => Extent::Whole,
    };
    let (newest, before) = store.latest_pair().ok_or_else(Problem::no_sample)?;
    let earlier = window_before(store, &newest);
    let recent = Pair::new(&newest, before.as_deref());
    let pair = Pair::new(&newest, earlier.as_deref().or(before.as_deref()));
    let mut summary = summary::summary(&Seen::new(&pair, &recent), extent);
    if let Some(rlimit) = &mut summary.node.rlimit {
        rlimit.maxpid = processes.pid_max();
    }
    let body = serde_json::to_vec(&summary).map_err(|error| Problem::not_serialisable(error.to_string()))?;
    Ok(Answer { status: 200, content_type: "application/json", body })
}

/// The tick of ten seconds before the newest one; `None` while there is none of this run.
fn window_before(store: &Store, newest: &NodeSample) -> Option<Arc<NodeSample>> {
    let earlier = store.moment(UnixNanos(newest.wall.0.saturating_sub(WINDOW_NANOS)))?.newest;
    let apart = newest.started_at.since(earlier.started_at);
    (apart > 0 && apart <= MOST_APART_NANOS).then_some(earlier)
}
