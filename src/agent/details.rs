//! Which sets are read off the tick, and where from: the agent's part of `ringside-detail`.
//!
//! In: the configuration, the hierarchies that discovery found, and which sets are shown. Out: the running thread, or
//! nothing where no set is on.

use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

use super::AgentError;
use crate::config::AgentConfig;
use crate::discover::{CgroupLayout, V1Controller};
use crate::sample::NodeSample;
use crate::sample::details::{self, DetailOptions, DetailPaths, DetailThread, DetailsCell};
use crate::view::prometheus::set::Set;

/// Performance counters may hold one descriptor of so many that this process may have, and at most the number below.
const PERF_SHARE: u64 = 8;
const PERF_DESCRIPTORS: u64 = 4_096;

/// Which readers the sets that are shown need. `perf_event` is on when events are named, and off when it is turned off.
pub(super) fn options(config: &AgentConfig, shown: impl Fn(Set) -> bool) -> DetailOptions {
    DetailOptions {
        process: shown(Set::Process),
        sched: shown(Set::Sched),
        cpu_load: shown(Set::CpuLoad),
        tcp: shown(Set::Tcp),
        udp: shown(Set::Udp),
        advtcp: shown(Set::AdvTcp),
        memory_numa: shown(Set::MemoryNuma),
        cpuset: shown(Set::Cpuset),
        cpu_topology: shown(Set::CpuTopology),
        resctrl: shown(Set::Resctrl),
        perf_events: if shown(Set::PerfEvent) { config.perf_events.clone() } else { Vec::new() },
        referenced_memory: shown(Set::ReferencedMemory),
        referenced_reset: config.referenced_reset,
    }
}

/// Starts the thread if a set is on.
pub(super) fn start(
    config: &AgentConfig,
    layout: &CgroupLayout,
    options: DetailOptions,
    newest: impl Fn() -> Option<Arc<NodeSample>> + Send + 'static,
    cell: Arc<DetailsCell>,
) -> Result<Option<DetailThread>, AgentError> {
    if !options.any() {
        return Ok(None);
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let perf_event = config.cgroupfs.join("perf_event");
    let paths = DetailPaths {
        procfs: config.procfs.clone(),
        sysfs: config.sysfs.clone(),
        hierarchies: super::hierarchies(layout),
        cpuset: layout.v1(V1Controller::Cpuset).map(Into::into),
        // It has no files of its own by which discovery could know it, only those of every v1 hierarchy.
        perf_event: perf_event.join("tasks").exists().then_some(perf_event),
        perf_descriptors: usize::try_from((limit / PERF_SHARE).min(PERF_DESCRIPTORS)).unwrap_or(0),
    };
    Ok(Some(details::start(options, &paths, config.detail_interval, newest, cell)?))
}
