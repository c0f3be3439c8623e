//! The sets `sched` and `cpuLoad`: times and states of a cgroup's own tasks.
//!
//! In: a cgroup's threads. Out: [`Scheduling`] and [`TaskStates`]. A task that has ended takes its times along, so that its
//! last known ones are kept in the cgroup's sum; what it did after the last reading, and tasks that lived between two
//! readings, are not in it. Next: [`Sets`](super::Sets).

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::target::{Files, Target};
use crate::kernel::proc::parse_pid_stat;
use crate::kernel::process::{Schedstat, parse_schedstat};
use crate::sample::SubjectId;
use crate::units::ErrorClass;

/// Most tasks of one cgroup that are looked at.
const MOST_TASKS: usize = 8_192;

/// The load average forgets by this time.
const LOAD_SECONDS: f64 = 10.0;

/// Times of all tasks that a cgroup has, and of those that it was seen to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Time on a CPU; nanoseconds, counter.
    pub run_nanos: u64,
    /// Time runnable and waiting for a CPU; nanoseconds, counter.
    pub wait_nanos: u64,
    /// Times a task was put on a CPU; counter.
    pub periods: u64,
}

impl Scheduling {
    fn add(&mut self, stat: &Schedstat) {
        self.run_nanos = self.run_nanos.saturating_add(stat.run_nanos);
        self.wait_nanos = self.wait_nanos.saturating_add(stat.wait_nanos);
        self.periods = self.periods.saturating_add(stat.periods);
    }
}

/// How many tasks are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TaskStates {
    /// `R`.
    pub running: u64,
    /// `S`, and kernel threads that are idle (`I`).
    pub sleeping: u64,
    /// `T` and `t`: stopped by a signal or a debugger.
    pub stopped: u64,
    /// `D`.
    pub uninterruptible: u64,
    /// Running tasks, averaged over the readings with a memory of ten seconds.
    pub load: f64,
    /// Uninterruptible tasks, averaged so.
    pub uninterruptible_load: f64,
}

#[derive(Debug, Default)]
struct Known {
    living: HashMap<u32, Schedstat>,
    ended: Scheduling,
}

#[derive(Debug, Clone, Copy)]
struct Load {
    at: Instant,
    running: f64,
    uninterruptible: f64,
}

#[derive(Debug, Default)]
pub(super) struct TaskReader {
    known: BTreeMap<SubjectId, Known>,
    loads: BTreeMap<SubjectId, Load>,
}

impl TaskReader {
    /// Forgets the cgroups that are not there any more.
    pub fn keep(&mut self, here: impl Fn(SubjectId) -> bool) {
        self.known.retain(|id, _| here(*id));
        self.loads.retain(|id, _| here(*id));
    }

    /// Times; `None` when there are too many tasks, or their files cannot be read.
    pub fn scheduling(&mut self, target: &Target<'_>, threads: &[u32], files: &mut Files) -> Option<Scheduling> {
        const SET: &str = "sched";
        if threads.len() > MOST_TASKS {
            files.leave_out(SET, "too_many_tasks");
            return None;
        }
        let mut living = HashMap::with_capacity(threads.len());
        for thread in threads {
            match files.of_process(*thread, "schedstat").and_then(|bytes| Ok(parse_schedstat(bytes)?)) {
                Ok(stat) => drop(living.insert(*thread, stat)),
                Err(ErrorClass::Gone) => {}
                Err(class) => {
                    files.leave_out_for(SET, class);
                    return None;
                }
            }
        }
        Some(self.known.entry(target.id()).or_default().take(living))
    }

    /// States; `None` as above.
    pub fn states(
        &mut self,
        target: &Target<'_>,
        threads: &[u32],
        files: &mut Files,
        now: Instant,
    ) -> Option<TaskStates> {
        const SET: &str = "cpuLoad";
        if threads.len() > MOST_TASKS {
            files.leave_out(SET, "too_many_tasks");
            return None;
        }
        let mut states = TaskStates::default();
        for thread in threads {
            let stat = match files.of_process(*thread, "stat").and_then(|bytes| Ok(parse_pid_stat(bytes)?)) {
                Ok(stat) => stat,
                Err(ErrorClass::Gone) => continue,
                Err(class) => {
                    files.leave_out_for(SET, class);
                    return None;
                }
            };
            let count = match stat.state {
                b'R' => &mut states.running,
                b'S' | b'I' => &mut states.sleeping,
                b'T' | b't' => &mut states.stopped,
                b'D' => &mut states.uninterruptible,
                // What has ended (`Z`, `X`) is in no state that is asked for.
                _ => continue,
            };
            *count = count.saturating_add(1);
        }
        let load = average(self.loads.get(&target.id()), &states, now);
        self.loads.insert(target.id(), load);
        Some(TaskStates { load: load.running, uninterruptible_load: load.uninterruptible, ..states })
    }
}

impl Known {
    /// The new sum. A task that is gone, or whose times fell (another task has its number now), is added to the ended.
    fn take(&mut self, living: HashMap<u32, Schedstat>) -> Scheduling {
        for (thread, last) in &self.living {
            if living.get(thread).is_none_or(|now| now.run_nanos < last.run_nanos || now.periods < last.periods) {
                self.ended.add(last);
            }
        }
        self.living = living;
        let mut sum = self.ended;
        self.living.values().for_each(|stat| sum.add(stat));
        sum
    }
}

/// The exponential average; the first reading is taken as it is.
#[expect(clippy::cast_precision_loss, reason = "a count of tasks is far below 2^53")]
fn average(before: Option<&Load>, states: &TaskStates, now: Instant) -> Load {
    let (running, uninterruptible) = (states.running as f64, states.uninterruptible as f64);
    let Some(before) = before else { return Load { at: now, running, uninterruptible } };
    let kept = (-now.saturating_duration_since(before.at).as_secs_f64() / LOAD_SECONDS).exp();
    let mix = |old: f64, new: f64| old * kept + new * (1.0 - kept);
    Load {
        at: now,
        running: mix(before.running, running),
        uninterruptible: mix(before.uninterruptible, uninterruptible),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stat(run_nanos: u64, periods: u64) -> Schedstat {
        Schedstat { run_nanos, wait_nanos: run_nanos / 2, periods }
    }

    #[test]
    fn the_times_of_a_task_that_ended_stay_in_the_sum() {
        let mut known = Known::default();
        let sum = known.take([(1, stat(100, 3)), (2, stat(10, 1))].into());
        assert_eq!(sum, Scheduling { run_nanos: 110, wait_nanos: 55, periods: 4 });
        let sum = known.take([(1, stat(120, 4))].into());
        assert_eq!(sum, Scheduling { run_nanos: 130, wait_nanos: 65, periods: 5 });
        assert_eq!(known.take(HashMap::new()).run_nanos, 130);
        assert_eq!(known.take(HashMap::new()).run_nanos, 130, "it is added once");
    }

    #[test]
    fn a_number_that_was_given_to_another_task_does_not_take_times_away() {
        let mut known = Known::default();
        known.take([(7, stat(1_000, 50))].into());
        assert_eq!(known.take([(7, stat(20, 1))].into()).run_nanos, 1_020);
    }

    #[test]
    fn the_load_forgets_by_ten_seconds() {
        let at = Instant::now();
        let busy = TaskStates { running: 4, ..TaskStates::default() };
        let first = average(None, &busy, at);
        assert!((first.running - 4.0).abs() < 1e-9);
        let later = average(Some(&first), &TaskStates::default(), at + Duration::from_secs(10));
        assert!((later.running - 4.0 * (-1.0f64).exp()).abs() < 1e-9);
    }
}
