//! The set `perf_event`: hardware and software events of cgroups.
//!
//! In: names of events, and workloads' cgroups. Out: [`PerfCount`]s. Counters stay open from cycle to cycle and hold a
//! descriptor for each event and CPU, under a budget; whoever comes when it is used up is left out. Next:
//! [`Sets`](super::Sets).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use super::target::{Files, Target};
use crate::kernel::perf::{CgroupCounter, PerfEvent};
use crate::sample::SubjectId;
use crate::units::ErrorClass;

const SET: &str = "perf_event";

/// One event of one cgroup.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerfCount {
    /// The event's name.
    pub event: &'static str,
    /// Events, scaled; counter.
    pub value: u64,
    /// Share of the time in which it was counted.
    pub scaling_ratio: f64,
}

#[derive(Debug)]
pub(super) struct PerfReader {
    /// The hierarchy whose folders name cgroups to perf: version 1 `perf_event`, else version 2.
    root: Option<PathBuf>,
    /// Those that this machine can count.
    events: Vec<PerfEvent>,
    cpus: Vec<u32>,
    descriptors_left: usize,
    open: BTreeMap<SubjectId, Vec<(PerfEvent, CgroupCounter)>>,
    /// The kernel refuses; asked again in the next cycle.
    denied: bool,
}

impl PerfReader {
    pub fn new(root: Option<PathBuf>, events: Vec<PerfEvent>, cpus: Vec<u32>, descriptors: usize) -> Self {
        Self { root, events, cpus, descriptors_left: descriptors, open: BTreeMap::new(), denied: false }
    }

    /// Closes the counters of cgroups that are not there any more.
    pub fn keep(&mut self, here: impl Fn(SubjectId) -> bool) {
        self.denied = false;
        let gone = self.open.extract_if(.., |id, _| !here(*id));
        let freed = gone.flat_map(|(_, counters)| counters).map(|(_, counter)| counter.descriptors()).sum::<usize>();
        self.descriptors_left = self.descriptors_left.saturating_add(freed);
    }

    pub fn read(&mut self, target: &Target<'_>, files: &mut Files) -> Vec<PerfCount> {
        if !target.is_workload() || self.events.is_empty() {
            return Vec::new();
        }
        if !self.open.contains_key(&target.id()) {
            self.begin(target, files);
        }
        let counters = self.open.get_mut(&target.id()).into_iter().flatten();
        let counts = counters.filter_map(|(event, counter)| {
            let counted = counter.read()?;
            Some(PerfCount { event: event.name, value: counted.value, scaling_ratio: counted.scaling_ratio })
        });
        counts.collect()
    }

    fn begin(&mut self, target: &Target<'_>, files: &mut Files) {
        let Some(root) = &self.root else { return files.leave_out(SET, "unsupported") };
        if self.denied {
            return files.leave_out(SET, ErrorClass::Denied.as_str());
        }
        let wanted = self.events.len().saturating_mul(self.cpus.len());
        if wanted > self.descriptors_left {
            return files.leave_out(SET, "too_many_counters");
        }
        // Gone, or a cgroup of another hierarchy.
        let Ok(folder) = File::open(root.join(target.path)) else { return };
        let mut counters = Vec::with_capacity(self.events.len());
        let mut unknown = Vec::new();
        for event in &self.events {
            match CgroupCounter::open(&folder, *event, &self.cpus) {
                Ok(counter) => counters.push((*event, counter)),
                Err(class) => {
                    files.leave_out(SET, class.as_str());
                    match class {
                        ErrorClass::Denied => self.denied = true,
                        // The folder is there, so that it is the event that is not.
                        ErrorClass::Gone | ErrorClass::Unsupported => unknown.push(event.name),
                        _ => {}
                    }
                }
            }
        }
        self.events.retain(|event| !unknown.contains(&event.name));
        let taken = counters.iter().map(|(_, counter)| counter.descriptors()).sum();
        self.descriptors_left = self.descriptors_left.saturating_sub(taken);
        if !counters.is_empty() {
            self.open.insert(target.id(), counters);
        }
    }
}
