//! What a recording keeps of a node: chosen cgroups with all they own, and chosen subjects of the node's own tables.
//!
//! In: `TABLE=NAME` words and samples. Out: samples with the chosen rows, whose roster changes only when a chosen
//! subject comes, goes or is described anew. A machine on which others work is recorded without their coming and going.

use std::collections::HashSet;
use std::sync::Arc;

use ringside::sample::catalogue::Table;
use ringside::sample::{MachineFacts, NodeSample, Roster, Subject, SubjectId};

/// One word: a table, and a name or the beginning of names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    table: Table,
    name: String,
    prefix: bool,
}

/// Chooses subjects, and carries the roster from sample to sample.
#[derive(Debug, Default)]
pub struct Keeper {
    patterns: Vec<Pattern>,
    seen: Option<Arc<Roster>>,
    /// By table, whether each row is kept.
    chosen: [Vec<bool>; Table::ALL.len()],
    roster: Arc<Roster>,
    machine: Arc<MachineFacts>,
}

impl Keeper {
    /// From words such as `cgroup=/docker/*` or `disk=vda`. A table that no word names is kept whole.
    ///
    /// # Errors
    /// A sentence about the word that is none.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for word in words {
            let parsed = word.split_once('=').and_then(|(table, name)| {
                let table = Table::ALL.into_iter().find(|known| format!("{known:?}").eq_ignore_ascii_case(table))?;
                let (name, prefix) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
                Some(Pattern { table, name: name.to_owned(), prefix })
            });
            patterns.push(parsed.ok_or_else(|| {
                format!("{word:?} is not TABLE=NAME or TABLE=BEGINNING*; tables are {:?}, in any case", Table::ALL)
            })?);
        }
        Ok(Self { patterns, ..Self::default() })
    }

    fn wants(&self, subject: &Subject, cgroups: &HashSet<SubjectId>) -> bool {
        if let Some(owner) = subject.owner {
            return cgroups.contains(&owner);
        }
        let mut named = false;
        for pattern in self.patterns.iter().filter(|pattern| pattern.table == subject.table) {
            named = true;
            let name = subject.name.as_ref();
            if if pattern.prefix { name.starts_with(&pattern.name) } else { name == pattern.name } {
                return true;
            }
        }
        !named
    }

    fn follow(&mut self, sample: &NodeSample) {
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &sample.roster)) {
            return;
        }
        self.seen = Some(Arc::clone(&sample.roster));
        let mut roster = Roster::default();
        roster.generation = self.roster.generation + 1;
        let mut cgroups = HashSet::new();
        // The table of cgroups is the first: who is owned is known when the others come.
        for table in Table::ALL {
            let subjects = sample.roster.subjects(table);
            let chosen: Vec<bool> = subjects.iter().map(|subject| self.wants(subject, &cgroups)).collect();
            let kept = subjects.iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|(subject, _)| subject);
            if table == Table::Cgroup {
                cgroups.extend(kept.clone().map(|subject| subject.id));
            }
            if let Some(room) = roster.subjects_mut(table) {
                room.extend(kept.cloned());
            }
            if let Some(room) = self.chosen.get_mut(table as usize) {
                *room = chosen;
            }
        }
        let same = |table| {
            let (before, after) = (self.roster.subjects(table), roster.subjects(table));
            before.len() == after.len() && before.iter().zip(after).all(|(before, after)| before == after)
        };
        if self.roster.generation == 0 || !Table::ALL.into_iter().all(same) {
            self.roster = Arc::new(roster);
        }
    }

    /// The chosen part of a sample.
    pub fn keep(&mut self, sample: &NodeSample) -> Arc<NodeSample> {
        self.follow(sample);
        if self.machine.cpu_cores == 0 {
            self.machine = Arc::new(super::anonymous(&sample.machine));
        }
        let mut kept = NodeSample::new();
        kept.tick = sample.tick;
        kept.started_at = sample.started_at;
        kept.ended_at = sample.ended_at;
        kept.wall = sample.wall;
        kept.roster = Arc::clone(&self.roster);
        kept.machine = Arc::clone(&self.machine);
        for (table, chosen) in Table::ALL.into_iter().zip(&self.chosen) {
            let (Some(from), Some(to)) = (sample.rows(table), kept.rows_mut(table)) else { continue };
            from.iter().zip(chosen).filter(|(_, chosen)| **chosen).for_each(|(row, _)| to.push(row));
        }
        // A kept row's new number is the number of kept rows before it.
        let cgroups = self.chosen.first().map_or(&[][..], Vec::as_slice);
        let renumbered = |row: &usize| {
            let chosen = *cgroups.get(*row)?;
            chosen.then(|| cgroups.iter().take(*row).filter(|chosen| **chosen).count())
        };
        kept.final_rows = sample.final_rows.iter().filter_map(renumbered).collect();
        Arc::new(kept)
    }
}
