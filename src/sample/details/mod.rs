//! What is read off the tick: the dear files, at a slow cadence, by threads of their own.
//!
//! In: the newest sample, for who is there. Out: one part per set of metrics, each replaced whole by the thread that reads
//! it; a tick takes along what is there, so that a scrape shows one [`Details`] with one sample. It keeps no history, and a
//! thread that hangs leaves its part as old as it is. Next: [`NodeSample::details`](super::NodeSample::details).

pub mod node;
mod numa;
mod perf;
mod processes;
mod reader;
mod referenced;
mod resctrl;
mod sets;
mod sockets;
mod target;
mod tasks;
mod topology;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use self::node::NodeDetail;
use super::SubjectId;
use super::storage::StorageUsage;

pub use numa::{NumaKind, NumaPages};
pub use perf::PerfCount;
pub use processes::ProcessStats;
pub use reader::{DetailPaths, DetailReader, DetailThread, start};
pub use resctrl::CacheUse;
pub use sets::{DetailOptions, DetailReading, Sets};
pub use sockets::{SocketStates, TCP_COUNTERS, TCP_STATES, TcpCounters, TcpStates, UdpSums};
pub use target::LeftOut;
pub use tasks::{Scheduling, TaskStates};
pub use topology::{CachePlace, Topology};

/// Everything that is known off the tick. A part that is empty is not read, or has not been yet.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Filesystem usage of containers and pods, by their cgroups.
    pub storage: Arc<BTreeMap<SubjectId, StorageUsage>>,
    /// What the node says beyond the tick's files.
    pub node: Arc<NodeDetail>,
    /// cAdvisor's sets that are off by default: processes, tasks, sockets, NUMA, performance counters.
    pub sets: Sets,
}

/// Where the parts are put and taken. One per agent.
#[derive(Debug, Default)]
pub struct DetailsCell {
    newest: Mutex<Arc<Details>>,
}

impl DetailsCell {
    /// Replaces parts.
    pub fn update(&self, change: impl FnOnce(&mut Details)) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut details = Details::clone(&newest);
        change(&mut details);
        *newest = Arc::new(details);
    }

    /// What is known now.
    #[must_use]
    pub fn get(&self) -> Arc<Details> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_replaced_and_who_took_the_old_one_keeps_it() {
        let cell = DetailsCell::default();
        let before = cell.get();
        cell.update(|details| details.storage = Arc::new([(SubjectId(7), StorageUsage::default())].into()));
        assert!(before.storage.is_empty());
        assert!(cell.get().storage.contains_key(&SubjectId(7)));
    }
}
