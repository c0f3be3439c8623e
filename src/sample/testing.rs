//! Makes samples by hand, for the tests of what reads them.
//!
//! In: an empty sample with its times, then subject after subject. Out: a [`NodeSample`] like the sampler's. It reads no
//! kernel file. Next: tests of `view/` and `uplink/`.

use std::sync::Arc;

use super::catalogue::Table;
use super::row::Row;
use super::{NodeSample, Roster, Subject, SubjectId, Workload};
use crate::units::MonotonicNanos;

/// A sample in the making. The ids follow the order of the calls, so that all ticks agree.
pub(crate) struct Builder {
    /// What is there already.
    pub sample: NodeSample,
    read_at: MonotonicNanos,
    roster: Roster,
    next_id: u64,
}

impl Builder {
    /// Goes on from `sample`, whose rows are read at `read_at`.
    pub fn of(sample: NodeSample, read_at: MonotonicNanos) -> Self {
        Self { sample, read_at, roster: Roster::default(), next_id: 1 }
    }

    /// Adds a row; `fill` writes its cells.
    pub fn row(
        &mut self,
        table: Table,
        owner: Option<SubjectId>,
        name: &str,
        workload: Option<Workload>,
        fill: impl FnOnce(&mut Row),
    ) -> SubjectId {
        let id = SubjectId(self.next_id);
        self.next_id += 1;
        let subject = Subject {
            id,
            table,
            owner,
            name: name.into(),
            workload: workload.map(Arc::new),
            device: matches!(table, Table::Device | Table::Disk).then_some((8, 0)),
            filesystem: (table == Table::Filesystem).then(|| ("/dev/sda1".into(), "ext4".into())),
        };
        self.roster.subjects_mut(table).unwrap().push(Arc::new(subject));
        let mut row = Row::new(table.metrics().len());
        row.read_at = self.read_at;
        fill(&mut row);
        self.sample.rows_mut(table).unwrap().push(row.as_ref());
        id
    }

    /// Adds a cgroup under its workload's path.
    pub fn cgroup(&mut self, workload: Workload, fill: impl FnOnce(&mut Row)) -> SubjectId {
        let path = Arc::clone(&workload.identity.path);
        self.row(Table::Cgroup, None, &path, Some(workload), fill)
    }

    /// Leaves out the subject that has the next id in other ticks.
    pub fn skip(&mut self) {
        self.next_id += 1;
    }

    /// The sample. Somebody may come or go at any tick, so each has a roster of its own generation.
    pub fn finish(mut self) -> NodeSample {
        self.roster.generation = self.sample.tick;
        self.sample.roster = Arc::new(self.roster);
        self.sample
    }
}
