//! How fast the storage thread may go: two milliseconds of CPU time, then a pause that keeps it below one percent.
//!
//! In: the thread's CPU clock, `<procfs>/pressure/{io,cpu}`. Out: the end of a slice, and pauses. Sources:
//! clock_gettime(2) (`CLOCK_THREAD_CPUTIME_ID`), `Documentation/accounting/psi.rst`, ioprio_set(2). Where others wait for
//! the disk or for a CPU, the pauses grow; where the kernel tells no pressure, they do not. Next: `watch.rs`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::kernel::cgroup::parse_pressure;

/// CPU time of one slice.
const SLICE: Duration = Duration::from_millis(2);
/// The pause is this many times the CPU time that went before: one percent in all.
const REST: u32 = 99;
/// How often the pressure is looked at.
const PRESSURE_EVERY: Duration = Duration::from_secs(2);
/// Longest pause, whatever the pressure.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The pace of one thread. It counts all of the thread's CPU time, whatever it was used for.
#[derive(Debug)]
pub struct Pace {
    procfs: PathBuf,
    /// CPU time at the end of the last pause.
    began: Duration,
    pressure_at: Option<Instant>,
    factor: u32,
}

impl Pace {
    /// The pace of the calling thread.
    #[must_use]
    pub fn new(procfs: PathBuf) -> Self {
        Self { procfs, began: cpu_time(), pressure_at: None, factor: 1 }
    }

    /// True when it is time to pause.
    #[must_use]
    pub fn is_slice_over(&self) -> bool {
        cpu_time().saturating_sub(self.began) >= SLICE
    }

    /// How long to pause for what was used since the last pause; the next slice begins now.
    pub fn pause(&mut self) -> Duration {
        if self.pressure_at.is_none_or(|at| at.elapsed() >= PRESSURE_EVERY) {
            self.pressure_at = Some(Instant::now());
            self.factor = factor(self.pressure("io"), self.pressure("cpu"));
        }
        let now = cpu_time();
        let used = now.saturating_sub(self.began);
        self.began = now;
        pause_after(used, self.factor)
    }

    /// `avg10` of `some` in hundredths of a percent; 0 where the kernel does not tell.
    fn pressure(&self, what: &str) -> u64 {
        let Ok(bytes) = std::fs::read(self.procfs.join("pressure").join(what)) else { return 0 };
        some_avg10(&bytes)
    }
}

fn some_avg10(bytes: &[u8]) -> u64 {
    parse_pressure(bytes).some.avg10_percent_hundredths.unwrap_or(0)
}

/// How much longer the pauses are under pressure, by the hundredths of a percent of time for which somebody waited.
fn factor(io: u64, cpu: u64) -> u32 {
    let of = |some: u64, much: u64, very_much: u64| match some {
        some if some >= very_much => 10,
        some if some >= much => 3,
        _ => 1,
    };
    // Waiting for a CPU is common and cheap to share; waiting for a disk is what a walk makes worse.
    of(io, 1_000, 4_000).max(of(cpu, 4_000, 8_000))
}

fn pause_after(used: Duration, factor: u32) -> Duration {
    used.saturating_mul(REST.saturating_mul(factor)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_99_times_the_work_and_longer_under_pressure() {
        let used = Duration::from_millis(2);
        assert_eq!(pause_after(used, factor(0, 0)), Duration::from_millis(198));
        assert_eq!(factor(999, 3_999), 1);
        assert_eq!((factor(1_000, 0), factor(0, 4_000), factor(4_000, 0), factor(0, 8_000)), (3, 3, 10, 10));
        assert_eq!(pause_after(used, 10), Duration::from_millis(1980));
        assert_eq!(pause_after(Duration::from_secs(5), 10), LONGEST_PAUSE);
    }

    #[test]
    fn only_what_some_waited_for_counts_as_pressure() {
        let text =
            b"some avg10=12.34 avg60=50.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(some_avg10(text), 1234);
        assert_eq!(some_avg10(b"garbage"), 0);
    }

    #[test]
    fn a_slice_ends_by_cpu_time_and_a_pause_begins_the_next() {
        let mut pace = Pace::new(PathBuf::from("/nonexistent"));
        let mut spins = 0_u64;
        while !pace.is_slice_over() {
            spins = std::hint::black_box(spins + 1);
        }
        assert!(pace.pause() >= SLICE * REST);
        assert!(!pace.is_slice_over());
    }
}
