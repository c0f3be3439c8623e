//! The ledger: who was seen, until when, and what was counted along the way.
//!
//! In: the roster of each tick that has a new one. Out: every subject with history, alive or gone. The number of those
//! that are gone is bounded: names take memory too. Next: `mod.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sample::catalogue::Table;
use crate::sample::{NodeSample, Subject, SubjectId};
use crate::units::UnixNanos;

/// Bytes of budget per subject that is gone and still remembered; bounds the table of names under churn.
const BUDGET_BYTES_PER_GONE_SUBJECT: usize = 4096;

/// A subject that the ring remembers, alive or not.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Who.
    pub subject: Arc<Subject>,
    /// Whether it is in the newest roster.
    pub alive: bool,
    /// Number of its newest tick, counted over the whole ring.
    pub last_tick: u64,
    /// Wall clock of its newest row.
    pub last_wall: UnixNanos,
}

/// Who has been seen.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Alive or gone, by id. Ids grow, so the first gone one is among the oldest.
    pub subjects: BTreeMap<SubjectId, Remembered>,
    pub evicted_ticks: u64,
    pub shed_rows: u64,
    pub forgotten_subjects: u64,
    /// Counts the changes, so that the ring file is told.
    pub changes: u64,
}

impl Ledger {
    pub fn table_of(&self, subject: SubjectId) -> Option<Table> {
        self.subjects.get(&subject).map(|remembered| remembered.subject.table)
    }

    /// Every subject, ascending by id. Those that are alive were seen at the newest tick.
    pub fn remembered(&self, (tick, wall): (u64, UnixNanos)) -> Vec<Remembered> {
        let seen = self.subjects.values().cloned();
        // Before the first tick of a run the newest one is none, and what an earlier run has seen of them counts.
        let is_newer = |known: &Remembered| known.alive && known.last_tick < tick;
        seen.map(
            |known| if is_newer(&known) { Remembered { last_tick: tick, last_wall: wall, ..known } } else { known },
        )
        .collect()
    }

    /// Notes who is new, and that those who left were seen at the tick before.
    pub fn follow_roster(&mut self, sample: &NodeSample, (tick, wall): (u64, UnixNanos), budget_bytes: usize) {
        self.changes += 1;
        for known in self.subjects.values_mut().filter(|known| known.alive) {
            (known.alive, known.last_tick, known.last_wall) = (false, tick, wall);
        }
        for subject in Table::ALL.into_iter().flat_map(|table| sample.roster.subjects(table)) {
            let subject = Arc::clone(subject);
            let id = subject.id;
            // Who comes back from an earlier run keeps what he was seen at, until a tick of this one is kept.
            let earlier = self.subjects.get(&id).filter(|known| known.last_tick > tick);
            let (last_tick, last_wall) =
                earlier.map_or((tick, sample.wall), |known| (known.last_tick, known.last_wall));
            self.subjects.insert(id, Remembered { subject, alive: true, last_tick, last_wall });
        }
        let cap = budget_bytes / BUDGET_BYTES_PER_GONE_SUBJECT;
        let gone = self.subjects.iter().filter(|(_, known)| !known.alive);
        let mut gone: Vec<(u64, SubjectId)> = gone.map(|(id, known)| (known.last_tick, *id)).collect();
        if gone.len() > cap {
            gone.sort_unstable();
            gone.truncate(gone.len() - cap);
            self.forgotten_subjects += gone.len() as u64;
            for (_, id) in gone {
                self.subjects.remove(&id);
            }
        }
    }

    /// Forgets who has no history after the oldest tick that is kept.
    pub fn age_out(&mut self, oldest: u64) {
        let before = self.subjects.len();
        self.subjects.retain(|_, known| known.alive || known.last_tick >= oldest);
        self.changes += u64::from(self.subjects.len() != before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Roster;

    #[test]
    fn who_comes_back_from_an_earlier_run_keeps_its_history_until_a_tick_of_this_one_is_kept() {
        let id = SubjectId(4);
        let name = "web".into();
        let subject = Arc::new(Subject {
            id,
            table: Table::Cgroup,
            owner: None,
            name,
            workload: None,
            device: None,
            filesystem: None,
        });
        let mut ledger = Ledger::default();
        let earlier = UnixNanos(500);
        let known = Remembered { subject: Arc::clone(&subject), alive: false, last_tick: 500, last_wall: earlier };
        ledger.subjects.insert(id, known);
        let mut sample = NodeSample::new();
        let mut roster = Roster::default();
        roster.subjects_mut(Table::Cgroup).unwrap().push(subject);
        sample.roster = Arc::new(roster);
        ledger.follow_roster(&sample, (0, UnixNanos(0)), 1 << 20);
        let seen = |ledger: &Ledger, newest| {
            ledger.remembered(newest).iter().map(|one| (one.last_tick, one.last_wall)).collect::<Vec<_>>()
        };
        assert_eq!(seen(&ledger, (0, UnixNanos(0))), [(500, earlier)], "the agent may be killed before its first tick");
        assert_eq!(seen(&ledger, (501, UnixNanos(600))), [(501, UnixNanos(600))]);
        ledger.age_out(400);
        assert_eq!(ledger.subjects.len(), 1);
    }
}
