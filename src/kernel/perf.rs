//! Performance counters of a cgroup: perf_event_open(2) with `PERF_FLAG_PID_CGROUP`, one counter per event and CPU.
//!
//! In: a cgroup's folder and names of events as `perf list` has them. Out: sums over the CPUs, scaled where the kernel had
//! to share a counter. Source: perf_event_open(2), `tools/perf/Documentation`. It takes `CAP_PERFMON` or
//! `kernel.perf_event_paranoid` below 1. A counter is a descriptor for as long as it counts. Next: the performance reader of
//! `sample/details/`.

use std::fs::File;

use perf_event::events::{Hardware, Software};
use perf_event::{Builder, Counter};

use crate::units::ErrorClass;

/// An event that can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerfEvent {
    /// Its name in `perf list`, and the value of the label `event`.
    pub name: &'static str,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Hardware(Hardware),
    Software(Software),
}

const fn hardware(name: &'static str, event: Hardware) -> PerfEvent {
    PerfEvent { name, source: Source::Hardware(event) }
}

const fn software(name: &'static str, event: Software) -> PerfEvent {
    PerfEvent { name, source: Source::Software(event) }
}

/// Every event that can be asked for.
pub const EVENTS: &[PerfEvent] = &[
    hardware("instructions", Hardware::INSTRUCTIONS),
    hardware("cycles", Hardware::CPU_CYCLES),
    hardware("ref-cycles", Hardware::REF_CPU_CYCLES),
    hardware("cache-references", Hardware::CACHE_REFERENCES),
    hardware("cache-misses", Hardware::CACHE_MISSES),
    hardware("branches", Hardware::BRANCH_INSTRUCTIONS),
    hardware("branch-misses", Hardware::BRANCH_MISSES),
    hardware("bus-cycles", Hardware::BUS_CYCLES),
    hardware("stalled-cycles-frontend", Hardware::STALLED_CYCLES_FRONTEND),
    hardware("stalled-cycles-backend", Hardware::STALLED_CYCLES_BACKEND),
    software("task-clock", Software::TASK_CLOCK),
    software("cpu-clock", Software::CPU_CLOCK),
    software("context-switches", Software::CONTEXT_SWITCHES),
    software("cpu-migrations", Software::CPU_MIGRATIONS),
    software("page-faults", Software::PAGE_FAULTS),
    software("minor-faults", Software::PAGE_FAULTS_MIN),
    software("major-faults", Software::PAGE_FAULTS_MAJ),
    software("alignment-faults", Software::ALIGNMENT_FAULTS),
    software("emulation-faults", Software::EMULATION_FAULTS),
];

/// The event of this name.
#[must_use]
pub fn event(name: &str) -> Option<PerfEvent> {
    EVENTS.iter().find(|event| event.name == name).copied()
}

/// One event of one cgroup, on all CPUs.
#[derive(Debug)]
pub struct CgroupCounter {
    counters: Vec<Counter>,
}

/// What a counter says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    /// Events, scaled to the whole time; counter.
    pub value: u64,
    /// Share of the time in which it was counted, on the CPU where that was least; 1 without scaling.
    pub scaling_ratio: f64,
}

impl CgroupCounter {
    /// Begins to count `event` of the cgroup that `folder` is, on each of `cpus`.
    ///
    /// # Errors
    /// [`ErrorClass::Denied`] where it is not permitted, [`ErrorClass::Gone`] where this machine has no such event,
    /// [`ErrorClass::Exhausted`] without a free descriptor.
    pub fn open(folder: &File, event: PerfEvent, cpus: &[u32]) -> Result<Self, ErrorClass> {
        let open = |cpu: &u32| {
            let mut builder = match event.source {
                Source::Hardware(event) => Builder::new(event),
                Source::Software(event) => Builder::new(event),
            };
            let cpu = usize::try_from(*cpu).map_err(|_| ErrorClass::Other)?;
            builder.observe_cgroup(folder).one_cpu(cpu).include_kernel().include_hv().enabled(true);
            builder.build().map_err(|error| {
                error
                    .raw_os_error()
                    .map_or(ErrorClass::Other, |code| ErrorClass::of(rustix::io::Errno::from_raw_os_error(code)))
            })
        };
        Ok(Self { counters: cpus.iter().map(open).collect::<Result<_, _>>()? })
    }

    /// Descriptors that it holds.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.counters.len()
    }

    /// What has been counted so far. `None` when a counter cannot be read, or has never run although it was to.
    pub fn read(&mut self) -> Option<Counted> {
        let mut total = Counted { value: 0, scaling_ratio: 1.0 };
        for counter in &mut self.counters {
            let data = counter.read_full().ok()?;
            let (enabled, running) = (data.time_enabled()?.as_nanos(), data.time_running()?.as_nanos());
            let (value, ratio) = scaled(data.count(), enabled, running)?;
            total.value = total.value.saturating_add(value);
            total.scaling_ratio = total.scaling_ratio.min(ratio);
        }
        Some(total)
    }
}

/// A count scaled from the time in which it was counted to the time in which it was to be.
#[expect(clippy::cast_precision_loss, reason = "a ratio is rounded")]
fn scaled(count: u64, enabled_nanos: u128, running_nanos: u128) -> Option<(u64, f64)> {
    if running_nanos >= enabled_nanos {
        // Times of 0: nothing of the cgroup has run on this CPU yet.
        return Some((count, 1.0));
    }
    if running_nanos == 0 {
        return None;
    }
    let value = u128::from(count).checked_mul(enabled_nanos)?.checked_div(running_nanos)?;
    Some((u64::try_from(value).ok()?, running_nanos as f64 / enabled_nanos as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_counter_is_scaled_by_the_time_it_ran() {
        assert_eq!(scaled(10, 0, 0), Some((10, 1.0)));
        assert_eq!(scaled(10, 500, 500), Some((10, 1.0)));
        assert_eq!(scaled(10, 400, 100), Some((40, 0.25)));
        assert_eq!(scaled(10, 400, 0), None, "nothing is known of it");
        assert_eq!(scaled(u64::MAX, 400, 100), None);
    }

    #[test]
    fn names_are_those_of_perf_list_and_each_stands_once() {
        assert_eq!(event("instructions").map(|event| event.name), Some("instructions"));
        assert_eq!(event("Instructions"), None);
        let names: std::collections::BTreeSet<_> = EVENTS.iter().map(|event| event.name).collect();
        assert_eq!(names.len(), EVENTS.len());
    }
}
