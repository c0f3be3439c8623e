//! How much one node may push: a bucket of credit per node, with room for filling a gap.
//!
//! In: a node's name and the size of its push. Out: yes, or in how many seconds. One node cannot take the others' share.
//! Next: [`super`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::units::UnixNanos;

/// Credits that flow in per second: the shortest interval is 1 s, and a gap is filled beside the newest values.
const PER_SECOND: u64 = 3;

/// The most that a bucket holds: a stand-alone push of the whole history, and a minute of others.
const MOST: u64 = 180;

/// A push costs one credit for itself and one for so many bytes.
const BYTES: usize = 16 * 1024;

const MILLI: u64 = 1_000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// One node's credit in thousandths.
struct Bucket {
    milli: u64,
    at: UnixNanos,
}

/// The buckets of all nodes that pushed; nodes are known to the API server, so there are not more of them than it has.
#[derive(Default)]
pub struct Limit {
    buckets: Mutex<HashMap<Arc<str>, Bucket>>,
}

impl Limit {
    /// Takes the price of a push of so many bytes.
    ///
    /// # Errors
    /// The seconds after which there is enough.
    pub fn take(&self, node: &Arc<str>, bytes: usize, now: UnixNanos) -> Result<(), u32> {
        let price = (1 + (bytes / BYTES) as u64).min(MOST) * MILLI;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(Arc::clone(node)).or_insert(Bucket { milli: MOST * MILLI, at: now });
        // A clock that was set back gives nothing and takes nothing; parts of a millisecond are not lost.
        let passed_millis = now.0.saturating_sub(bucket.at.0) / NANOS_PER_MILLI;
        bucket.milli = bucket.milli.saturating_add(passed_millis.saturating_mul(PER_SECOND)).min(MOST * MILLI);
        bucket.at = if now < bucket.at { now } else { UnixNanos(bucket.at.0 + passed_millis * NANOS_PER_MILLI) };
        match bucket.milli.checked_sub(price) {
            Some(left) => {
                bucket.milli = left;
                Ok(())
            }
            None => Err(u32::try_from((price - bucket.milli).div_ceil(PER_SECOND * MILLI)).unwrap_or(u32::MAX)),
        }
    }

    /// Forgets nodes that are gone.
    pub fn retain(&self, mut is_there: impl FnMut(&str) -> bool) {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).retain(|node, _| is_there(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_node_that_floods_is_told_when_to_come_again_and_others_are_not_touched() {
        let (limit, a, b): (_, Arc<str>, Arc<str>) = (Limit::default(), "a".into(), "b".into());
        let at = |seconds: u64| UnixNanos(1_000_000 * SECOND + seconds * SECOND);
        for _ in 0..MOST {
            assert_eq!(limit.take(&a, 100, at(0)), Ok(()));
        }
        assert_eq!(limit.take(&a, 100, at(0)), Err(1));
        assert_eq!(limit.take(&a, 1 << 20, at(0)), Err(22), "1 MiB costs 65");
        assert_eq!(limit.take(&b, 1 << 20, at(0)), Ok(()));
        assert_eq!(limit.take(&a, 100, at(1)), Ok(()));
        assert_eq!(limit.take(&a, 1 << 20, at(22)), Ok(()));
    }

    #[test]
    fn a_push_each_second_is_never_refused_and_a_clock_that_is_set_back_does_no_harm() {
        let (limit, a): (_, Arc<str>) = (Limit::default(), "a".into());
        for second in 0..1_000 {
            assert_eq!(limit.take(&a, 3_000, UnixNanos(second * SECOND)), Ok(()));
        }
        assert_eq!(limit.take(&a, 3_000, UnixNanos(5)), Ok(()));
        limit.retain(|_| false);
        assert!(limit.buckets.lock().unwrap().is_empty());
    }
}
