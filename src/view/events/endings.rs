//! Exits: a container that is gone, and what its runtime says of its end.
//!
//! In: containers that left the roster, and the tallies' counts of ends. Out: each end once, with its code and reason where
//! the runtime tells them within some seconds. A runtime may tell before the cgroup goes, after it, or never. Next:
//! [`detect`](super::detect).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::event::Who;
use crate::sample::{SubjectId, Tally, TallyKey};
use crate::units::{MonotonicNanos, UnixNanos};

/// How long an exit waits for the runtime's word.
const PATIENCE_NANOS: u64 = 12_000_000_000;

/// Ends that may wait at once. At the bound the oldest is told without a code.
const MOST_WAITING: usize = 1_024;

/// A container that is gone.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Who it was.
    pub who: Arc<Who>,
    /// Its subject.
    pub subject: SubjectId,
    /// What it is counted under; `None` when nobody has described it.
    pub key: Option<TallyKey>,
    /// The tick at which it was gone.
    pub wall: UnixNanos,
    /// The same, to measure patience with.
    pub at: MonotonicNanos,
    /// When its process was started, if that is known.
    pub started_at: Option<UnixNanos>,
    /// Processes that the kernel killed in it for want of memory.
    pub oom_kills: u64,
}

/// An end that can be told.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Who, and when.
    pub ending: Ending,
    /// Exit code and the runtime's word.
    pub exit: Option<(i32, Arc<str>)>,
}

/// What is known of the ends under one key.
#[derive(Debug, Default)]
struct Known {
    exits: BTreeMap<(i32, Arc<str>), u64>,
    /// Ends that the runtime told of and whose cgroup is still there.
    early: Vec<(i32, Arc<str>)>,
    /// Ends that were told without a code, for which the runtime's word came too late.
    told_without: u64,
}

/// Ends that wait for the runtime's word.
#[derive(Debug, Default)]
pub struct Endings {
    waiting: Vec<Ending>,
    known: HashMap<TallyKey, Known>,
}

impl Endings {
    /// Somebody is gone.
    pub fn gone(&mut self, ending: Ending) {
        self.waiting.push(ending);
    }

    /// Takes the newest counts of a key. The `first` ones are from before anybody looked.
    pub fn counted(&mut self, key: &TallyKey, tally: &Tally, first: bool) {
        let known = self.known.entry(key.clone()).or_default();
        for (exit, count) in &tally.exits {
            let before = known.exits.insert(exit.clone(), *count).unwrap_or(0);
            let more = if first { 0 } else { count.saturating_sub(before) };
            for _ in 0..more.min(16) {
                if known.told_without > 0 {
                    known.told_without -= 1;
                } else {
                    known.early.push(exit.clone());
                }
            }
        }
    }

    /// Forgets keys that are counted no more.
    pub fn retain(&mut self, kept: impl Fn(&TallyKey) -> bool) {
        self.known.retain(|key, _| kept(key));
    }

    /// What can be told now, in the order in which they ended.
    pub fn due(&mut self, now: MonotonicNanos) -> Vec<Ended> {
        let mut due = Vec::new();
        let too_many = self.waiting.len().saturating_sub(MOST_WAITING);
        let mut position = 0;
        self.waiting.retain(|ending| {
            position += 1;
            let known = ending.key.as_ref().and_then(|key| self.known.get_mut(key));
            let out_of_patience = now.since(ending.at) >= PATIENCE_NANOS || position <= too_many;
            let exit = match known {
                Some(known) if !known.early.is_empty() => Some(known.early.remove(0)),
                Some(known) if out_of_patience => {
                    known.told_without += 1;
                    None
                }
                Some(_) => return true,
                // No runtime knows it: nobody will tell.
                None => None,
            };
            due.push(Ended { ending: ending.clone(), exit });
            false
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn key() -> TallyKey {
        TallyKey { namespace: "shop".into(), pod: "web-1".into(), container: "web".into() }
    }

    fn tally(exits: &[((i32, &str), u64)]) -> Tally {
        let exits = exits.iter().map(|((code, reason), count)| ((*code, Arc::from(*reason)), *count)).collect();
        Tally { exits, ..Tally::default() }
    }

    fn ending(id: u64, key: Option<TallyKey>) -> Ending {
        Ending {
            who: Arc::default(),
            subject: SubjectId(id),
            key,
            wall: UnixNanos(0),
            at: MonotonicNanos(100 * SECOND),
            started_at: None,
            oom_kills: 0,
        }
    }

    fn told(due: Vec<Ended>) -> Vec<(u64, Option<i32>)> {
        due.into_iter().map(|ended| (ended.ending.subject.0, ended.exit.map(|(code, _)| code))).collect()
    }

    #[test]
    fn an_exit_waits_for_the_runtimes_word_and_is_told_once() {
        let mut endings = Endings::default();
        endings.counted(&key(), &tally(&[((1, "Error"), 5)]), true);
        endings.gone(ending(1, Some(key())));
        assert_eq!(told(endings.due(MonotonicNanos(101 * SECOND))), []);
        endings.counted(&key(), &tally(&[((1, "Error"), 5), ((137, "OOMKilled"), 1)]), false);
        assert_eq!(told(endings.due(MonotonicNanos(102 * SECOND))), [(1, Some(137))]);
        assert_eq!(told(endings.due(MonotonicNanos(200 * SECOND))), []);
    }

    #[test]
    fn a_word_that_came_before_the_cgroup_went_is_kept_for_it() {
        let mut endings = Endings::default();
        endings.counted(&key(), &tally(&[]), true);
        endings.counted(&key(), &tally(&[((3, "Error"), 1)]), false);
        assert_eq!(told(endings.due(MonotonicNanos(100 * SECOND))), []);
        endings.gone(ending(1, Some(key())));
        assert_eq!(told(endings.due(MonotonicNanos(100 * SECOND))), [(1, Some(3))]);
    }

    #[test]
    fn without_a_word_it_is_told_after_a_while_and_a_late_word_does_not_make_a_second_one() {
        let mut endings = Endings::default();
        endings.counted(&key(), &tally(&[]), true);
        endings.gone(ending(1, Some(key())));
        assert_eq!(told(endings.due(MonotonicNanos(112 * SECOND))), [(1, None)]);
        endings.counted(&key(), &tally(&[((3, "Error"), 1)]), false);
        endings.gone(ending(2, Some(key())));
        assert_eq!(told(endings.due(MonotonicNanos(103 * SECOND))), [], "the late word was the first one's");
        endings.counted(&key(), &tally(&[((3, "Error"), 2)]), false);
        assert_eq!(told(endings.due(MonotonicNanos(104 * SECOND))), [(2, Some(3))]);
    }

    #[test]
    fn a_container_that_no_runtime_knows_is_told_at_once() {
        let mut endings = Endings::default();
        endings.gone(ending(1, None));
        assert_eq!(told(endings.due(MonotonicNanos(100 * SECOND))), [(1, None)]);
    }
}
