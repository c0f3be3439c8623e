//! Reading whole rows: one subject over time, and the whole node at one instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tier::{Tier, TierUse};
use super::{Store, StoreError, codec};
use crate::sample::catalogue::Table;
use crate::sample::row::{Row, RowRef};
use crate::sample::{NodeSample, SubjectId};
use crate::units::UnixNanos;

/// One subject at one tick, or at the last tick of one bucket.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// How finely this part of the history is kept.
    pub tier: Tier,
    /// Wall clock of the tick.
    pub wall: UnixNanos,
    /// The subject's cells. Columns that were not asked for are absent.
    pub row: RowRef<'a>,
}

/// The whole node at one instant of the past, in the shape of a live sample.
#[derive(Debug, Clone)]
pub struct Moment {
    /// How finely this part of the history is kept.
    pub tier: Tier,
    /// The tick at the instant, or the newest before it. Its tallies and self statistics are empty.
    pub newest: Arc<NodeSample>,
    /// The tick (or bucket) before it: what a rate needs. `None` at the beginning of history.
    pub before: Option<Arc<NodeSample>>,
}

impl Store {
    /// Visits the rows of one subject between two wall-clock instants, both included, in the order in which they were
    /// read. `columns` are the columns that are decoded; `None` for all.
    ///
    /// # Errors
    /// [`StoreError::UnknownSubject`] when nothing of the subject is kept.
    pub fn rows(
        &self,
        subject: SubjectId,
        columns: Option<&[usize]>,
        start: UnixNanos,
        end: UnixNanos,
        mut visit: impl FnMut(Observed<'_>),
    ) -> Result<Vec<TierUse>, StoreError> {
        let table = self.table_of(subject)?;
        let mut uses = Vec::new();
        self.visit_blocks(start, end, |block| {
            let _ = codec::decode_subject(block, table, subject, |decoded| {
                if !(start..=end).contains(&decoded.wall) {
                    return;
                }
                TierUse::note(&mut uses, Tier::Tick, decoded.wall);
                let all = decoded.row();
                let mut some = Row::new(all.values.len());
                let row = match columns {
                    None => all,
                    Some(columns) => {
                        some.read_at = all.read_at;
                        columns.iter().for_each(|column| some.copy_cell(all, *column));
                        some.as_ref()
                    }
                };
                visit(Observed { tier: Tier::Tick, wall: decoded.wall, row });
            });
        });
        Ok(uses)
    }

    /// The node as it was at an instant: at the newest tick that is not later. `None` before the beginning of history.
    #[must_use]
    pub fn moment(&self, at: UnixNanos) -> Option<Moment> {
        let mut ticks: BTreeMap<UnixNanos, NodeSample> = BTreeMap::new();
        let latest = self.latest()?;
        let since = UnixNanos(at.0.saturating_sub(120_000_000_000));
        for known in self.remembered() {
            let subject = &known.subject;
            let _ = self.rows(subject.id, None, since, at, |observed| {
                let sample = ticks.entry(observed.wall).or_insert_with(|| {
                    let mut sample = NodeSample::new();
                    sample.wall = observed.wall;
                    sample.started_at = observed.row.read_at;
                    sample.machine = Arc::clone(&latest.machine);
                    sample
                });
                sample.started_at = sample.started_at.min(observed.row.read_at);
                sample.ended_at = sample.ended_at.max(observed.row.read_at);
                if let Some(subjects) = Arc::make_mut(&mut sample.roster).subjects_mut(subject.table) {
                    subjects.push(Arc::clone(subject));
                }
                if let Some(rows) = sample.rows_mut(subject.table) {
                    rows.push(observed.row);
                }
            });
        }
        let numbered = (1..).zip(ticks.into_values()).map(|(tick, mut sample)| {
            sample.tick = tick;
            Arc::new(sample)
        });
        let last: Vec<_> = numbered.collect();
        let newest = Arc::clone(last.last()?);
        let before = last.len().checked_sub(2).and_then(|index| last.get(index)).cloned();
        Some(Moment { tier: Tier::Tick, newest, before })
    }

    pub(super) fn table_of(&self, subject: SubjectId) -> Result<Table, StoreError> {
        let table = self.shared.ledger().subjects.get(&subject).map(|remembered| remembered.subject.table);
        table.ok_or(StoreError::UnknownSubject)
    }
}
