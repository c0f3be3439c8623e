//! WHAT HAPPENED: the ring.
//!
//! In: one [`NodeSample`] per tick, from the one [`StoreWriter`]. Out: the newest samples as they are, and the history
//! of any column of any subject, also of subjects that are gone, through any number of [`Store`] handles.
//! A hard byte budget bounds it; the oldest history goes first. It never reads the kernel. Next: `view/`, `uplink/`.

mod codec;
mod file;
pub mod query;
mod read;
mod ring;
#[cfg(test)]
mod tests;
mod tier;

pub use read::{Moment, Observed};
pub use tier::{Tier, TierUse};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwapOption;

use crate::sample::catalogue::Table;
use crate::sample::row::Cell;
use crate::sample::{NodeSample, Subject, SubjectId};
use crate::units::{MonotonicNanos, UnixNanos};
use codec::Encoder;
use ring::{Arena, BlockInfo};

/// The smallest budget that [`ring`] takes.
pub const LEAST_BUDGET_BYTES: usize = 1 << 20;

/// Ticks after which a block is sealed. A longer block spares frames that stand alone, a shorter one decodes faster.
const BLOCK_TICKS: u64 = 120;

/// Bytes of budget per subject that is gone and still remembered; bounds the table of names under churn.
const BUDGET_BYTES_PER_GONE_SUBJECT: usize = 4096;

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
    /// Rows that were not kept because one tick's rows are too many for the budget.
    pub shed_rows: u64,
    /// Subjects that are gone and were forgotten before their history aged out, because too many came and went.
    pub forgotten_subjects: u64,
    /// Wall clock of the oldest tick that can be read.
    pub oldest: Option<UnixNanos>,
}

/// The block that is being written.
#[derive(Debug)]
struct Open {
    bytes: Vec<u8>,
    info: BlockInfo,
}

/// Who has been seen, and what was counted along the way.
#[derive(Debug, Default)]
struct Ledger {
    /// Alive or gone, by id. Ids grow, so the first gone one is among the oldest.
    subjects: BTreeMap<SubjectId, Remembered>,
    evicted_ticks: u64,
    shed_rows: u64,
    forgotten_subjects: u64,
}

#[derive(Debug)]
struct Shared {
    latest: ArcSwapOption<NodeSample>,
    previous: ArcSwapOption<NodeSample>,
    sealed: RwLock<Arena>,
    open: Mutex<Open>,
    ledger: RwLock<Ledger>,
    ticks: tokio::sync::watch::Sender<u64>,
    budget_bytes: usize,
    block_bytes: usize,
}

// A panic of another thread leaves every one of these structures readable, so a poisoned lock is used as it is.
impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sealed(&self) -> RwLockReadGuard<'_, Arena> {
        self.sealed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger_mut(&self) -> RwLockWriteGuard<'_, Ledger> {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The only writer. Not `Clone`: whoever holds it is the tick.
#[derive(Debug)]
pub struct StoreWriter {
    shared: Arc<Shared>,
    encoder: Encoder,
    generation: Option<u64>,
}

/// A reader. Cheap to clone; it never makes the writer wait for longer than a copy of one block.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// Makes a ring that uses at most `budget_bytes` for history.
///
/// # Errors
/// [`StoreError::BudgetTooSmall`].
pub fn ring(budget_bytes: usize) -> Result<(StoreWriter, Store), StoreError> {
    if budget_bytes < LEAST_BUDGET_BYTES {
        return Err(StoreError::BudgetTooSmall { given: budget_bytes, least: LEAST_BUDGET_BYTES });
    }
    let block_bytes = budget_bytes / 8;
    let shared = Arc::new(Shared {
        latest: ArcSwapOption::empty(),
        previous: ArcSwapOption::empty(),
        sealed: RwLock::new(Arena::new(budget_bytes - block_bytes)),
        open: Mutex::new(Open { bytes: Vec::with_capacity(block_bytes), info: BlockInfo::default() }),
        ledger: RwLock::default(),
        ticks: tokio::sync::watch::Sender::new(0),
        budget_bytes,
        block_bytes,
    });
    let store = Store { shared: Arc::clone(&shared) };
    Ok((StoreWriter { shared, encoder: Encoder::new(), generation: None }, store))
}

impl StoreWriter {
    /// Appends one tick and publishes it.
    pub fn append(&mut self, sample: Arc<NodeSample>) {
        self.keep(&sample);
        if self.generation != Some(sample.roster.generation) {
            self.generation = Some(sample.roster.generation);
            self.follow_roster(&sample);
        }
        let tick = sample.tick;
        // The older one first: a reader that sees the pair half-way finds the same sample twice, never a gap.
        self.shared.previous.store(self.shared.latest.load_full());
        self.shared.latest.store(Some(sample));
        self.shared.ticks.send_replace(tick);
    }

    fn keep(&mut self, sample: &NodeSample) {
        let shared = Arc::clone(&self.shared);
        let mut open = shared.open();
        if open.info.ticks >= BLOCK_TICKS {
            self.seal(&mut open);
        }
        let begin = open.bytes.len();
        let mut encoded = self.encoder.encode(sample, shared.block_bytes, &mut open.bytes);
        if encoded.shed_rows > 0 && begin > 0 {
            // The tick does not fit behind the others: it begins a block of its own.
            open.bytes.truncate(begin);
            self.seal(&mut open);
            encoded = self.encoder.encode(sample, shared.block_bytes, &mut open.bytes);
        }
        let info = &mut open.info;
        if info.ticks == 0 {
            *info = BlockInfo { first_tick: sample.tick, earliest: sample.wall, latest: sample.wall, ..*info };
        }
        info.last_tick = sample.tick;
        info.ticks += 1;
        info.cells += encoded.cells;
        info.earliest = info.earliest.min(sample.wall);
        info.latest = info.latest.max(sample.wall);
        drop(open);
        if encoded.shed_rows > 0 {
            shared.ledger_mut().shed_rows += encoded.shed_rows;
        }
    }

    fn seal(&mut self, open: &mut Open) {
        let mut oldest_kept = None;
        let mut evicted_ticks = 0;
        {
            let mut sealed = self.shared.sealed.write().unwrap_or_else(PoisonError::into_inner);
            let fits = sealed.push(&open.bytes, open.info, |old| {
                evicted_ticks += old.ticks;
                oldest_kept = Some(old.last_tick + 1);
            });
            if !fits {
                evicted_ticks += open.info.ticks;
            }
        }
        open.bytes.clear();
        open.info = BlockInfo::default();
        self.encoder.restart();
        if evicted_ticks > 0 {
            let mut ledger = self.shared.ledger_mut();
            ledger.evicted_ticks += evicted_ticks;
            if let Some(oldest) = oldest_kept {
                ledger.subjects.retain(|_, remembered| remembered.last_tick >= oldest);
            }
        }
    }

    /// Notes who is new, and until when those who left were seen.
    fn follow_roster(&self, sample: &NodeSample) {
        let mut ledger = self.shared.ledger_mut();
        let previous = self.shared.latest.load();
        let (seen_tick, seen_wall) = previous.as_ref().map_or((0, UnixNanos(0)), |last| (last.tick, last.wall));
        for remembered in ledger.subjects.values_mut().filter(|remembered| remembered.last_tick == u64::MAX) {
            remembered.last_tick = seen_tick;
            remembered.last_wall = seen_wall;
        }
        for subject in Table::ALL.into_iter().flat_map(|table| sample.roster.subjects(table)) {
            // `u64::MAX` stands for "still in the roster"; readers see the newest tick instead.
            let alive = Remembered { subject: Arc::clone(subject), last_tick: u64::MAX, last_wall: sample.wall };
            ledger.subjects.insert(subject.id, alive);
        }
        let cap = self.shared.budget_bytes / BUDGET_BYTES_PER_GONE_SUBJECT;
        let gone = ledger.subjects.iter().filter(|(_, remembered)| remembered.last_tick != u64::MAX);
        let mut gone: Vec<(u64, SubjectId)> = gone.map(|(id, remembered)| (remembered.last_tick, *id)).collect();
        if gone.len() > cap {
            gone.sort_unstable();
            gone.truncate(gone.len() - cap);
            ledger.forgotten_subjects += gone.len() as u64;
            for (_, id) in gone {
                ledger.subjects.remove(&id);
            }
        }
    }
}

impl Store {
    /// The newest sample.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<NodeSample>> {
        self.shared.latest.load_full()
    }

    /// The newest sample and the one before it: what a rate needs.
    #[must_use]
    pub fn latest_pair(&self) -> Option<(Arc<NodeSample>, Option<Arc<NodeSample>>)> {
        // `previous` is written first, so reading it last gives the one before `latest` or `latest` itself; the second
        // case lasts for an instant, and then the pair is read again.
        loop {
            let latest = self.shared.latest.load_full()?;
            let previous = self.shared.previous.load_full();
            if previous.as_ref().is_none_or(|previous| previous.tick < latest.tick) {
                return Some((latest, previous));
            }
            std::thread::yield_now();
        }
    }

    /// Tells the number of each new tick; waiting on it costs the writer nothing.
    #[must_use]
    pub fn ticks(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.ticks.subscribe()
    }

    /// Every subject with at least one row in the ring, ascending by id.
    #[must_use]
    pub fn remembered(&self) -> Vec<Remembered> {
        let latest = self.latest();
        let ledger = self.shared.ledger();
        let mut remembered: Vec<Remembered> = ledger.subjects.values().cloned().collect();
        drop(ledger);
        for one in remembered.iter_mut().filter(|one| one.last_tick == u64::MAX) {
            if let Some(latest) = &latest {
                one.last_tick = latest.tick;
                one.last_wall = latest.wall;
            }
        }
        remembered
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
        let table = self.shared.ledger().subjects.get(&subject).map(|remembered| remembered.subject.table);
        let table = table.ok_or(StoreError::UnknownSubject)?;
        let mut points = Vec::new();
        self.visit_blocks(start, end, |block| {
            let decoded = codec::decode_subject(block, table, subject, |row| {
                if (start..=end).contains(&row.wall) {
                    points.push(Point { wall: row.wall, read_at: row.read_at, cell: row.cell(column) });
                }
            });
            debug_assert!(decoded.is_some(), "a block written by this process decodes");
        });
        Ok(points)
    }

    /// Calls `visit` with a copy of each block that overlaps the range, oldest first, holding no lock meanwhile.
    fn visit_blocks(&self, start: UnixNanos, end: UnixNanos, mut visit: impl FnMut(&[u8])) {
        let overlaps = |info: &BlockInfo| info.earliest <= end && info.latest >= start;
        let mut copy = Vec::new();
        let mut done = 0;
        loop {
            copy.clear();
            // Asked again for each block: while the last one was decoded, blocks may have been sealed or evicted. The
            // open block's lock is taken first, as the writer does when it seals, so that no block slips between the two.
            let open = self.shared.open();
            let sealed = self.shared.sealed();
            let next = sealed.blocks().find(|info| info.first_tick > done && overlaps(info));
            let Some(info) = next else {
                if open.info.ticks > 0 && overlaps(&open.info) {
                    copy.extend_from_slice(&open.bytes);
                }
                break;
            };
            drop(open);
            sealed.copy(info.first_tick, &mut copy);
            drop(sealed);
            done = info.last_tick;
            visit(&copy);
        }
        if !copy.is_empty() {
            visit(&copy);
        }
    }

    /// How full the ring is.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let (open_bytes, open) = {
            let open = self.shared.open();
            (open.bytes.len(), open.info)
        };
        let sealed = self.shared.sealed();
        let mut stats = StoreStats {
            used_bytes: sealed.used() + open_bytes,
            budget_bytes: self.shared.budget_bytes,
            ticks: open.ticks,
            samples: open.cells,
            oldest: (open.ticks > 0).then_some(open.earliest),
            ..StoreStats::default()
        };
        for block in sealed.blocks() {
            stats.ticks += block.ticks;
            stats.samples += block.cells;
        }
        stats.oldest = sealed.blocks().next().map(|block| block.earliest).or(stats.oldest);
        drop(sealed);
        let ledger = self.shared.ledger();
        stats.evicted_ticks = ledger.evicted_ticks;
        stats.shed_rows = ledger.shed_rows;
        stats.forgotten_subjects = ledger.forgotten_subjects;
        stats
    }
}
