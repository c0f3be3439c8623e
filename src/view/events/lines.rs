//! Events as log lines: one line each, and not more than a log can take.
//!
//! In: events. Out: `tracing` events of the target [`TARGET`], whose field `ecs` is the event in the words of the Elastic
//! Common Schema; a log of text shows the sentence only. Each kind has a bucket of its own, so that a storm of one kind does
//! not drown another; how many were left out is told. Next: `logging.rs`.

use std::collections::HashMap;

use super::ecs;
use super::event::{Event, Kind, Severity};
use crate::units::MonotonicNanos;

/// Where these lines come from: they have their own bound and are spared the one on places in the code.
pub const TARGET: &str = "ringside::events";

/// Lines of one kind that may come at once, and how many more each second.
const BURST: u64 = 50;
const PER_SECOND: u64 = 5;

/// How often suppressed lines are told of.
const TELL_EVERY_NANOS: u64 = 10_000_000_000;

const SECOND: u64 = 1_000_000_000;

#[derive(Debug)]
struct Bucket {
    /// What is left, in lines times a second's nanoseconds.
    left: u64,
    filled_at: MonotonicNanos,
    suppressed: u64,
    told_at: MonotonicNanos,
}

/// Writes the lines.
#[derive(Debug, Default)]
pub struct Lines {
    buckets: HashMap<Kind, Bucket>,
}

impl Lines {
    /// Writes an event's line, unless there were too many of its kind.
    pub fn write(&mut self, event: &Event, now: MonotonicNanos) {
        if !self.admit(event.what.kind, now) {
            return;
        }
        let ecs = ecs::fields(event).to_string();
        let message = event.what.message.as_str();
        match event.what.severity {
            Severity::Info => tracing::info!(target: TARGET, ecs = ecs.as_str(), "{message}"),
            Severity::Warning => tracing::warn!(target: TARGET, ecs = ecs.as_str(), "{message}"),
            Severity::Error => tracing::error!(target: TARGET, ecs = ecs.as_str(), "{message}"),
        }
    }

    fn admit(&mut self, kind: Kind, now: MonotonicNanos) -> bool {
        let full = BURST * SECOND;
        let bucket =
            self.buckets.entry(kind).or_insert(Bucket { left: full, filled_at: now, suppressed: 0, told_at: now });
        let gained = now.since(bucket.filled_at).saturating_mul(PER_SECOND);
        bucket.left = bucket.left.saturating_add(gained).min(full);
        bucket.filled_at = now;
        if let Some(left) = bucket.left.checked_sub(SECOND) {
            bucket.left = left;
            return true;
        }
        bucket.suppressed += 1;
        false
    }

    /// Tells how many lines were left out, now and then.
    pub fn tell_suppressed(&mut self, now: MonotonicNanos) {
        for (kind, suppressed) in self.suppressed(now) {
            tracing::warn!(
                kind = kind.as_str(),
                suppressed,
                "events of one kind came too fast to log each; /events has them"
            );
        }
    }

    fn suppressed(&mut self, now: MonotonicNanos) -> Vec<(Kind, u64)> {
        let mut told = Vec::new();
        for (kind, bucket) in &mut self.buckets {
            if bucket.suppressed > 0 && now.since(bucket.told_at) >= TELL_EVERY_NANOS {
                told.push((*kind, std::mem::take(&mut bucket.suppressed)));
                bucket.told_at = now;
            }
        }
        told.sort_unstable();
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_one_kind_is_cut_told_of_and_leaves_other_kinds_alone() {
        let mut lines = Lines::default();
        let at = |second: u64| MonotonicNanos(second * SECOND);
        let passed = (0..1_000).filter(|_| lines.admit(Kind::Created, at(100))).count();
        assert_eq!(passed, 50);
        assert!(lines.admit(Kind::OomKilled, at(100)));
        assert_eq!(lines.suppressed(at(105)), []);
        assert_eq!(lines.suppressed(at(110)), [(Kind::Created, 950)]);
        assert_eq!(lines.suppressed(at(200)), []);
        let passed = (0..100).filter(|_| lines.admit(Kind::Created, at(102))).count();
        assert_eq!(passed, 10, "two seconds give ten lines");
    }
}
