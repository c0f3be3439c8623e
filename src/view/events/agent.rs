//! What happens to the agent itself: ticks that were missed, a disk that fails.
//!
//! In: the counts of each sample, and the state of the ring file. Out: events without a container. Next:
//! [`detect`](super::detect).

use super::event::{Draft, Figure, Kind, Severity};
use crate::sample::NodeSample;
use crate::store::Persistence;
use crate::units::MonotonicNanos;

/// Missed ticks are told at most this often; those between are told together.
const APART_NANOS: u64 = 10_000_000_000;

/// What was told of last.
#[derive(Debug, Default)]
pub struct AgentWatch {
    told_missed: u64,
    told_at: Option<MonotonicNanos>,
    told_failures: u64,
    failing: bool,
    begun: bool,
}

impl AgentWatch {
    /// Compares with what was told.
    pub fn look(&mut self, sample: &NodeSample, persistence: Option<&Persistence>) -> Vec<Draft> {
        let mut drafts = Vec::new();
        self.ticks(sample, &mut drafts);
        if let Some(state) = persistence {
            self.disk(sample, state, &mut drafts);
        }
        self.begun = true;
        drafts
    }

    #[expect(clippy::cast_precision_loss, reason = "an interval of at most a minute")]
    fn ticks(&mut self, sample: &NodeSample, drafts: &mut Vec<Draft>) {
        let stats = &sample.self_stats;
        let missed = stats.missed_ticks.saturating_sub(self.told_missed);
        let soon = self.told_at.is_some_and(|at| sample.started_at.since(at) < APART_NANOS);
        if missed == 0 || soon {
            return;
        }
        (self.told_missed, self.told_at) = (stats.missed_ticks, Some(sample.started_at));
        let message = format!("The agent missed {missed} ticks: it was not run in time, or a tick took too long.");
        let mut draft = Draft::new(sample.wall, Kind::TicksMissed, Severity::Warning, None, message);
        draft.figures = vec![
            Figure::whole("missed_ticks", missed),
            Figure::real("interval_seconds", stats.interval_nanos as f64 / 1e9),
            Figure::real("tick_delay_seconds", stats.tick_delay_nanos as f64 / 1e9),
            Figure::real("tick_duration_seconds", stats.tick_duration_nanos as f64 / 1e9),
        ];
        drafts.push(draft);
    }

    fn disk(&mut self, sample: &NodeSample, state: &Persistence, drafts: &mut Vec<Draft>) {
        let failing = state.failure.is_some();
        let anew = state.failures > self.told_failures;
        self.told_failures = state.failures;
        if failing && (!self.failing || (anew && !self.begun)) {
            let why = state.failure.clone().unwrap_or_default();
            let message = format!("History is not written to disk and goes on in memory: {why}");
            let mut draft = Draft::new(sample.wall, Kind::DiskFault, Severity::Error, None, message);
            draft.figures = vec![Figure::whole("failures", state.failures)];
            drafts.push(draft);
        } else if !failing && self.failing {
            let message = "History is written to disk again.".to_owned();
            drafts.push(Draft::new(sample.wall, Kind::DiskRecovered, Severity::Info, None, message));
        }
        self.failing = failing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, missed: u64) -> NodeSample {
        let mut sample = NodeSample::new();
        sample.started_at = MonotonicNanos(second * 1_000_000_000);
        sample.self_stats.missed_ticks = missed;
        sample
    }

    fn kinds(drafts: &[Draft]) -> Vec<Kind> {
        drafts.iter().map(|draft| draft.kind).collect()
    }

    #[test]
    fn missed_ticks_of_ten_seconds_are_told_together() {
        let mut watch = AgentWatch::default();
        assert!(watch.look(&sample(1, 0), None).is_empty());
        let told = watch.look(&sample(2, 3), None);
        assert_eq!(told[0].figure("missed_ticks"), Some(super::super::event::Number::Whole(3)));
        assert!(watch.look(&sample(5, 4), None).is_empty());
        let told = watch.look(&sample(12, 6), None);
        assert_eq!(told[0].figure("missed_ticks"), Some(super::super::event::Number::Whole(3)));
    }

    #[test]
    fn a_disk_that_fails_is_told_once_and_when_it_works_again() {
        let mut watch = AgentWatch::default();
        let state = |failures, failure: Option<&str>| Persistence {
            failures,
            failure: failure.map(str::to_owned),
            ..Persistence::default()
        };
        assert!(watch.look(&sample(1, 0), Some(&state(0, None))).is_empty());
        let told = watch.look(&sample(2, 0), Some(&state(1, Some("no space left"))));
        assert_eq!(kinds(&told), [Kind::DiskFault]);
        assert!(told[0].message.ends_with("no space left"), "{}", told[0].message);
        assert!(watch.look(&sample(3, 0), Some(&state(2, Some("no space left")))).is_empty());
        assert_eq!(kinds(&watch.look(&sample(4, 0), Some(&state(2, None)))), [Kind::DiskRecovered]);
    }
}
