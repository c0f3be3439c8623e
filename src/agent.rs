//! The agent's wiring: configuration → discovery, sampler, ring, server, in the order in which data flows.
//!
//! In: an [`AgentConfig`]. Out: an agent that runs until it is told to stop. Nothing is decided here but who is
//! connected to whom; each part's own module says what it does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use crate::config::AgentConfig;
use crate::discover::{self, CgroupLayout, DiscoverError, V1Controller};
use crate::sample::{Hierarchies, MachineFacts, SampleError, Sampler, SamplerOptions};
use crate::store::{self, StoreError};

/// Discovery events that may wait for the sampler; beyond it discovery waits.
const EVENTS_CAP: usize = 16_384;

/// Why the agent could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No cgroups, or they cannot be read; the text says what to do.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// A kernel root could not be opened.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The ring's budget is unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtime or a thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on processes (ulimit -u, pids.max)")]
    Thread(#[from] std::io::Error),
}

/// Where the sampler finds the hierarchies that discovery found.
#[must_use]
pub fn hierarchies(layout: &CgroupLayout) -> Hierarchies {
    let v1 = |controller| layout.v1(controller).map(PathBuf::from);
    Hierarchies {
        v2: layout.v2_root.clone(),
        unified_only: !layout.v1.is_empty(),
        cpu: v1(V1Controller::Cpu),
        cpuacct: v1(V1Controller::Cpuacct),
        memory: v1(V1Controller::Memory),
        blkio: v1(V1Controller::Blkio),
        pids: v1(V1Controller::Pids),
        hugetlb: v1(V1Controller::Hugetlb),
    }
}
