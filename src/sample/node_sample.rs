//! One tick's result: plain data, the same for the ring, the views and the pushes.
//!
//! In: filled by the sampler. Out: [`NodeSample`]: for each table its rows, in the order of the [`Roster`]'s subjects.
//! It is never changed after it is published.

use std::sync::Arc;

use super::catalogue::Table;
use super::details::Details;
use super::machine::MachineFacts;
use super::row::{RowRef, RowSet};
use super::self_stats::SelfStats;
use super::tally::Tallies;
use crate::discover::Workload;
use crate::units::{MonotonicNanos, UnixNanos};

/// Identifies a subject for as long as the agent runs; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub u64);

/// What one row belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its identity in the ring.
    pub id: SubjectId,
    /// Which table its rows stand in.
    pub table: Table,
    /// The cgroup it is part of; `None` for cgroups themselves and for the node's own subjects.
    pub owner: Option<SubjectId>,
    /// Device, interface, page size, CPU or mount point; for a cgroup its path.
    pub name: Arc<str>,
    /// Who the cgroup is: for cgroups and everything they own.
    pub workload: Option<Arc<Workload>>,
    /// Block device number of a device or disk, as (major, minor).
    pub device: Option<(u32, u32)>,
    /// A filesystem's device and type.
    pub filesystem: Option<(Arc<str>, Arc<str>)>,
}

/// Who is in a sample: one list of subjects per table. Shared by all samples until somebody comes or goes.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    subjects: [Vec<Arc<Subject>>; Table::ALL.len()],
    /// Counts the changes, so that a reader can keep what it derived from a roster.
    pub generation: u64,
}

impl Roster {
    /// The subjects of a table, in row order.
    #[must_use]
    pub fn subjects(&self, table: Table) -> &[Arc<Subject>] {
        self.subjects.get(table as usize).map_or(&[], Vec::as_slice)
    }

    /// The subjects of a table, to fill in.
    pub fn subjects_mut(&mut self, table: Table) -> Option<&mut Vec<Arc<Subject>>> {
        self.subjects.get_mut(table as usize)
    }
}

/// Everything that was read at one tick.
#[derive(Debug, Clone, Default)]
pub struct NodeSample {
    /// Number of this tick since the agent started, from 1.
    pub tick: u64,
    /// When reading began.
    pub started_at: MonotonicNanos,
    /// When reading ended; the difference is the skew inside this sample.
    pub ended_at: MonotonicNanos,
    /// Wall clock at the beginning, stamped once.
    pub wall: UnixNanos,
    /// Who the rows belong to.
    pub roster: Arc<Roster>,
    rows: [RowSet; Table::ALL.len()],
    /// Cgroup rows that were read for the last time (their last process has exited), by row number, ascending.
    pub final_rows: Vec<usize>,
    /// Counts that outlive containers: OOM kills, restarts, exits.
    pub tallies: Arc<Tallies>,
    /// The machine it was read on.
    pub machine: Arc<MachineFacts>,
    /// What was read off the tick, as it was known when the tick ended.
    pub details: Arc<Details>,
    /// What this agent's own reading costs.
    pub self_stats: SelfStats,
}

impl NodeSample {
    /// An empty sample with the tables' strides.
    #[must_use]
    pub fn new() -> Self {
        Self { rows: Table::ALL.map(|table| RowSet::new(table.metrics().len())), ..Self::default() }
    }

    /// The rows of a table, in the roster's order.
    #[must_use]
    pub fn rows(&self, table: Table) -> Option<&RowSet> {
        self.rows.get(table as usize)
    }

    /// The rows of a table, to fill in.
    pub fn rows_mut(&mut self, table: Table) -> Option<&mut RowSet> {
        self.rows.get_mut(table as usize)
    }

    /// Subjects and rows of a table side by side.
    pub fn iter(&self, table: Table) -> impl Iterator<Item = (&Arc<Subject>, RowRef<'_>)> {
        self.roster.subjects(table).iter().zip(self.rows(table).into_iter().flat_map(RowSet::iter))
    }

    /// The row of one subject.
    #[must_use]
    pub fn row(&self, table: Table, id: SubjectId) -> Option<RowRef<'_>> {
        let index = self.roster.subjects(table).iter().position(|subject| subject.id == id)?;
        self.rows(table)?.get(index)
    }
}
