//! Rates of counters between two samples.
//!
//! In: the newest [`NodeSample`] and the one before it. Out: for each subject a [`Reading`]: its row now, its row then,
//! and from both the increase per second of any counter column. Time is the difference of the two `read_at` instants
//! of that very subject, not the tick's interval. Absent stays absent: a counter that went back (a reset), a cell that
//! one of the rows does not have, a subject that is new, or two rows read at the same instant give `None`; a negative
//! or absurd rate never leaves here. Next: `view/api`, `view/prometheus`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sample::catalogue::Table;
use crate::sample::row::{Cell, Column, RowRef};
use crate::sample::{NodeSample, Subject, SubjectId};
use crate::units::MonotonicNanos;

/// Two readings that lie closer together than this (1 ms) give no rate: the clock's own jitter would be part of it.
const LEAST_ELAPSED_NANOS: u64 = 1_000_000;

const NANOS_PER_SECOND: f64 = 1e9;

/// Increase of a counter per second between two readings, in the counter's unit.
#[must_use]
pub fn per_second(earlier: (u64, MonotonicNanos), later: (u64, MonotonicNanos)) -> Option<f64> {
    let seconds = elapsed_seconds(earlier.1, later.1)?;
    Some(later.0.checked_sub(earlier.0)? as f64 / seconds)
}

/// Seconds from `earlier` to `later`; `None` when they are too close together or in the wrong order.
#[must_use]
pub fn elapsed_seconds(earlier: MonotonicNanos, later: MonotonicNanos) -> Option<f64> {
    let nanos = later.since(earlier);
    (nanos >= LEAST_ELAPSED_NANOS).then_some(nanos as f64 / NANOS_PER_SECOND)
}

/// One subject's row in the newest sample and, if it was there already, in the one before.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The newest row.
    pub row: RowRef<'a>,
    /// The same subject's row in the sample before.
    pub before: Option<RowRef<'a>>,
}

impl Reading<'_> {
    /// What the newest row says.
    #[must_use]
    pub fn cell(&self, column: impl Column) -> Cell {
        self.row.cell(column)
    }

    /// The newest row's number.
    #[must_use]
    pub fn value(&self, column: impl Column) -> Option<u64> {
        self.row.value(column)
    }

    /// How much a counter grew between the two rows; `None` after a reset.
    #[must_use]
    pub fn increase(&self, column: impl Column) -> Option<u64> {
        let index = column.index();
        let before = self.before?;
        elapsed_seconds(before.read_at, self.row.read_at)?;
        self.row.cell_at(index).value()?.checked_sub(before.cell_at(index).value()?)
    }

    /// How much a counter grew per second, in the column's unit; `None` after a reset.
    #[must_use]
    pub fn per_second(&self, column: impl Column) -> Option<f64> {
        let index = column.index();
        let before = self.before?;
        let earlier = (before.cell_at(index).value()?, before.read_at);
        per_second(earlier, (self.row.cell_at(index).value()?, self.row.read_at))
    }
}

/// The newest sample beside the one before it, with each subject's two rows matched by its [`SubjectId`].
#[derive(Debug)]
pub struct Pair<'a> {
    newest: &'a NodeSample,
    before: Option<&'a NodeSample>,
    /// Row numbers in `before`; empty while both samples share one roster, because then they are the same.
    rows_before: HashMap<(Table, SubjectId), usize>,
    same_roster: bool,
}

impl<'a> Pair<'a> {
    /// Matches two samples.
    #[must_use]
    pub fn new(newest: &'a NodeSample, before: Option<&'a NodeSample>) -> Self {
        let same_roster = before.is_some_and(|before| Arc::ptr_eq(&before.roster, &newest.roster));
        let mut rows_before = HashMap::new();
        if let (Some(before), false) = (before, same_roster) {
            for table in Table::ALL {
                let subjects = before.roster.subjects(table).iter().enumerate();
                rows_before.extend(subjects.map(|(row, subject)| ((table, subject.id), row)));
            }
        }
        Self { newest, before, rows_before, same_roster }
    }

    /// The newest sample.
    #[must_use]
    pub fn newest(&self) -> &'a NodeSample {
        self.newest
    }

    /// Every subject of a table with its reading, in the newest roster's order.
    pub fn iter(&self, table: Table) -> impl Iterator<Item = (&'a Arc<Subject>, Reading<'a>)> {
        self.newest.iter(table).enumerate().map(move |(index, (subject, row))| {
            let index_before = match self.same_roster {
                true => Some(index),
                false => self.rows_before.get(&(table, subject.id)).copied(),
            };
            let before = index_before.and_then(|index| self.before?.rows(table)?.get(index));
            (subject, Reading { row, before })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::catalogue::{CgroupColumn, InterfaceColumn};
    use crate::sample::row::Row;
    use crate::sample::{Roster, row::RowRef};

    fn at(seconds: u64) -> MonotonicNanos {
        MonotonicNanos(seconds * 1_000_000_000)
    }

    fn row(column: impl Column, value: Option<u64>, read_at: MonotonicNanos) -> Row {
        let mut row = Row::new(16);
        row.put(column, value);
        row.read_at = read_at;
        row
    }

    fn reading<'a>(before: &'a Row, now: &'a Row) -> Reading<'a> {
        Reading { row: now.as_ref(), before: Some(before.as_ref()) }
    }

    #[test]
    fn a_rate_divides_by_the_time_between_the_two_readings_of_that_subject() {
        let before = row(CgroupColumn::CpuUsageUsec, Some(1_000_000), at(10));
        let now = row(CgroupColumn::CpuUsageUsec, Some(4_000_000), at(12));
        assert_eq!(reading(&before, &now).per_second(CgroupColumn::CpuUsageUsec), Some(1_500_000.0));
        assert_eq!(reading(&before, &now).increase(CgroupColumn::CpuUsageUsec), Some(3_000_000));
    }

    #[test]
    fn a_counter_that_went_back_has_no_rate() {
        let before = row(InterfaceColumn::RxBytes, Some(u64::MAX), at(1));
        let now = row(InterfaceColumn::RxBytes, Some(3), at(2));
        assert_eq!(reading(&before, &now).per_second(InterfaceColumn::RxBytes), None);
        assert_eq!(reading(&before, &now).increase(InterfaceColumn::RxBytes), None);
    }

    #[test]
    fn a_missing_cell_or_a_clock_that_stands_still_has_no_rate() {
        let absent = row(InterfaceColumn::RxBytes, None, at(1));
        let now = row(InterfaceColumn::RxBytes, Some(3), at(2));
        let same_instant = row(InterfaceColumn::RxBytes, Some(1), at(2));
        assert_eq!(reading(&absent, &now).per_second(InterfaceColumn::RxBytes), None);
        assert_eq!(reading(&now, &absent).per_second(InterfaceColumn::RxBytes), None);
        assert_eq!(reading(&same_instant, &now).per_second(InterfaceColumn::RxBytes), None);
        assert_eq!(Reading { row: now.as_ref(), before: None }.per_second(InterfaceColumn::RxBytes), None);
    }

    fn sample(ids: &[u64], value: impl Fn(u64) -> u64, read_at: MonotonicNanos) -> NodeSample {
        let mut roster = Roster::default();
        let mut sample = NodeSample::new();
        for &id in ids {
            let subject = Subject {
                id: SubjectId(id),
                table: Table::Interface,
                owner: None,
                name: "eth0".into(),
                workload: None,
                device: None,
                filesystem: None,
            };
            roster.subjects_mut(Table::Interface).unwrap().push(Arc::new(subject));
            let row = row(InterfaceColumn::RxBytes, Some(value(id)), read_at);
            sample.rows_mut(Table::Interface).unwrap().push(RowRef { ..row.as_ref() });
        }
        sample.roster = Arc::new(roster);
        sample
    }

    #[test]
    fn subjects_are_matched_by_id_when_somebody_came_or_went() {
        let before = sample(&[1, 2], |id| id * 100, at(1));
        let newest = sample(&[3, 2], |id| id * 200, at(2));
        let pair = Pair::new(&newest, Some(&before));
        let rates: Vec<_> = pair
            .iter(Table::Interface)
            .map(|(subject, reading)| (subject.id.0, reading.per_second(InterfaceColumn::RxBytes)))
            .collect();
        assert_eq!(rates, [(3, None), (2, Some(200.0))]);
    }
}
