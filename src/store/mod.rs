//! WHAT HAPPENED: the ring.
//!
//! In: one [`NodeSample`] per tick, from the one [`StoreWriter`]. Out: the newest samples as
//! they are, and the history of any column of any subject, also of subjects that are gone, through any number of [`Store`]
//! handles. A hard byte budget bounds it; the oldest history becomes coarser and goes first. It never reads the kernel.
//! Next: `view/`, `uplink/`.
//!
//! | step | file |
//! |---|---|
//! | numbers as bytes and bits | `wire.rs` |
//! | one column for a run of ticks | `column.rs` |
//! | one subject's columns | `chunk.rs`, `part.rs` |
//! | the newest ticks, one after the other | `head.rs` |
//! | all subjects' chunks for a run of ticks | `segment.rs` |
//! | the tick hands over | `writer.rs` |
//! | a full head becomes a segment, old segments coarser ones | `seal.rs`, `coarsen.rs` |
//! | where segments live | `arena.rs` |
//! | who was seen | `ledger.rs`, `directory.rs` |
//! | the file, and what an earlier run left in it | `keeper.rs`, `open.rs`, `file/` |
//! | rows, columns and moments are read | `walk.rs`, `read.rs`, `moment.rs`, `fold.rs` |
//! | questions | [`query`] |

mod arena;
mod chunk;
pub mod cluster;
mod coarsen;
mod column;
mod directory;
mod file;
mod fold;
mod head;
mod keeper;
mod ledger;
mod moment;
mod open;
#[cfg(test)]
mod open_tests;
mod part;
pub mod query;
mod read;
mod seal;
mod segment;
#[cfg(test)]
mod tests;
mod tier;
mod walk;
mod wire;
mod writer;

pub use keeper::{Background, Persistence};
pub use ledger::Remembered;
pub use moment::Moment;
pub use open::{DataDir, Ring, RingOptions, open, open_read_only, ring_file_bytes};
pub use read::{Observed, Point};
pub use segment::BootId;
pub use tier::{Tier, TierUse};
pub use writer::StoreWriter;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwapOption;

use crate::sample::NodeSample;
use crate::units::UnixNanos;
use arena::{Arena, Arenas};
use head::{FrameInfo, Head};
use ledger::Ledger;
use seal::Sealer;

/// The smallest budget that [`ring()`] takes.
pub const LEAST_BUDGET_BYTES: usize = 1 << 20;

/// Ticks after which a head is sealed. A longer one compresses better, a shorter one is read faster.
const HEAD_TICKS: usize = 120;

/// Ticks after which a frame stands alone, so that a damaged record of the log costs no more than these.
const STANDALONE_TICKS: usize = 30;

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
    /// The ring file cannot be used; the text says what to do.
    #[error("{0}")]
    File(String),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on processes (ulimit -u, pids.max)")]
    Thread(String),
}

/// How the budget is divided. Of 16 parts the two heads have one each, the ticks ten, and the coarser tiers two each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    head_frames: usize,
    head_rows: usize,
    arenas: [usize; Tier::ALL.len()],
}

impl Shares {
    fn of(budget_bytes: usize) -> Self {
        let part = budget_bytes / 16 / arena::ALIGN * arena::ALIGN;
        // Three quarters of a head are frames, the rest is the index of their rows.
        Self {
            head_frames: part / 4 * 3,
            head_rows: part / 4 / size_of::<u32>(),
            arenas: [10 * part, 2 * part, 2 * part],
        }
    }

    fn head(self) -> Head {
        Head::with_capacity(self.head_frames, self.head_rows)
    }
}

/// How full one tier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierStats {
    /// Which.
    pub tier: Tier,
    /// Bytes in it.
    pub used_bytes: usize,
    /// Bytes that it may have.
    pub budget_bytes: usize,
    /// Ticks or buckets that can be read.
    pub points: u64,
    /// Cells kept in it.
    pub samples: u64,
    /// Wall clock of the oldest tick or bucket.
    pub oldest: Option<UnixNanos>,
    /// Wall clock of the newest one.
    pub newest: Option<UnixNanos>,
}

/// How full the ring is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Bytes that hold history now.
    pub used_bytes: usize,
    /// The budget.
    pub budget_bytes: usize,
    /// Ticks that can be read one by one.
    pub ticks: u64,
    /// Ticks that are not kept one by one any more, to stay within the budget.
    pub evicted_ticks: u64,
    /// Cells kept (columns present, over all rows and ticks or buckets that can be read).
    pub samples: u64,
    /// Rows that were not kept because one tick's rows are too many for the budget.
    pub shed_rows: u64,
    /// Subjects that are gone and were forgotten before their history aged out, because too many came and went.
    pub forgotten_subjects: u64,
    /// Wall clock of the oldest tick or bucket that can be read.
    pub oldest: Option<UnixNanos>,
    /// How it stands with the ring file; `None` without `--data-dir`.
    pub persistence: Option<Persistence>,
    /// The same by tier, from fine to coarse; the heads count for the first.
    pub tiers: Vec<TierStats>,
}

/// The heads: one that is written, and a full one that is being sealed.
#[derive(Debug)]
struct Heads {
    current: Arc<Head>,
    sealing: Option<Arc<Head>>,
    /// An empty one, for when the current one is full.
    spare: Option<Arc<Head>>,
}

impl Heads {
    /// Serial of the first tick that is in no segment.
    fn first_serial(&self) -> u64 {
        self.all().filter_map(|head| head.frames.first()).map(|info| info.serial).next().unwrap_or(u64::MAX)
    }
}

impl Heads {
    /// Both, the older one first.
    fn all(&self) -> impl Iterator<Item = &Head> {
        self.sealing.as_deref().into_iter().chain([&*self.current])
    }

    /// The one that is written. Only heads that are full are ever shared.
    fn current_mut(&mut self) -> Option<&mut Head> {
        Arc::get_mut(&mut self.current)
    }

    /// The newest tick.
    fn newest(&self) -> Option<&FrameInfo> {
        self.current.frames.last().or_else(|| self.sealing.as_deref()?.frames.last())
    }
}

#[derive(Debug)]
struct Shared {
    latest: ArcSwapOption<NodeSample>,
    previous: ArcSwapOption<NodeSample>,
    /// Locked before `arenas`, so that no tick is seen twice or not at all while a head becomes a segment.
    heads: Mutex<Heads>,
    arenas: RwLock<Arenas>,
    sealer: Mutex<Sealer>,
    ledger: RwLock<Ledger>,
    /// Rings when a head is full.
    full: Condvar,
    /// Rings at each tick, for the keeper.
    ticked: Condvar,
    /// The log is full before the head is: the head is to be sealed early.
    turn_early: AtomicBool,
    /// How it stands with the ring file; `None` without one.
    persistence: Mutex<Option<Persistence>>,
    ticks: tokio::sync::watch::Sender<u64>,
    budget_bytes: usize,
    shares: Shares,
}

// A panic of another thread leaves every one of these structures readable, so a poisoned lock is used as it is.
impl Shared {
    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arenas(&self) -> RwLockReadGuard<'_, Arenas> {
        self.arenas.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn arenas_mut(&self) -> RwLockWriteGuard<'_, Arenas> {
        self.arenas.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn sealer(&self) -> MutexGuard<'_, Sealer> {
        self.sealer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn persistence(&self) -> MutexGuard<'_, Option<Persistence>> {
        self.persistence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> Vec<Remembered> {
        let newest = self.heads().newest().map_or((0, UnixNanos(0)), |info| (info.serial, info.wall));
        self.ledger().remembered(newest)
    }

    fn ledger(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger_mut(&self) -> RwLockWriteGuard<'_, Ledger> {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals the head that waits for it, if one does.
    fn seal(&self) {
        let mut sealer = self.sealer();
        let Some(head) = self.heads().sealing.clone() else { return };
        let sealed = sealer.seal(&head);
        drop(head);
        if sealed.is_some() {
            self.make_room(&mut sealer, Tier::Tick);
        }
        let mut heads = self.heads();
        if let Some(info) = sealed {
            self.push(&sealer, info);
        }
        let mut full = heads.sealing.take();
        if let Some(head) = full.as_mut().and_then(Arc::get_mut) {
            head.clear();
            heads.spare = full;
        }
    }

    /// Makes coarser what has to go from `tier` for the segment that was made for it.
    fn make_room(&self, sealer: &mut Sealer, tier: Tier) {
        while !seal::has_room(&self.arenas(), tier, sealer.framed(tier).len()) {
            let Some(into) = seal::next(tier) else { return };
            let made = sealer.coarsen(&self.arenas(), tier);
            let Some(info) = made else { return };
            self.make_room(sealer, into);
            if !self.push(sealer, info) {
                return;
            }
        }
    }

    /// Puts the segment that was made last for its tier into its arena.
    fn push(&self, sealer: &Sealer, info: segment::SegmentInfo) -> bool {
        let mut evicted_ticks = 0;
        let (fits, oldest) = {
            let mut arenas = self.arenas_mut();
            let framed = sealer.framed(info.tier);
            let sequence = sealer.sequence_of(info.tier);
            let fits = arenas.of_mut(info.tier).push(framed, sequence, info, |old| {
                evicted_ticks += if info.tier == Tier::Tick { old.info.points as u64 } else { 0 };
            });
            (fits, arenas.oldest())
        };
        if !fits && info.tier == Tier::Tick {
            evicted_ticks += info.points as u64;
        }
        let mut ledger = self.ledger_mut();
        ledger.evicted_ticks += evicted_ticks;
        if let Some(oldest) = oldest {
            ledger.age_out(oldest);
        }
        fits
    }
}

/// A reader. Cheap to clone; it never makes the tick wait for longer than a copy of the newest ticks.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// Makes a ring in memory that uses at most `budget_bytes` for history. Heads are sealed by the writer itself.
///
/// # Errors
/// [`StoreError::BudgetTooSmall`].
pub fn ring(budget_bytes: usize) -> Result<(StoreWriter, Store), StoreError> {
    if budget_bytes < LEAST_BUDGET_BYTES {
        return Err(StoreError::BudgetTooSmall { given: budget_bytes, least: LEAST_BUDGET_BYTES });
    }
    Ok(open::in_memory(budget_bytes))
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
        self.shared.remembered()
    }

    /// How full the ring is.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let heads = self.shared.heads();
        let arenas = self.shared.arenas();
        let tier_stats = |tier| {
            let arena = arenas.of(tier);
            let mut stats = TierStats {
                tier,
                used_bytes: arena.used(),
                budget_bytes: arena.size(),
                points: 0,
                samples: 0,
                oldest: arena.extents().next().map(|oldest| oldest.info.earliest),
                newest: arena.extents().next_back().map(|newest| newest.info.latest),
            };
            for extent in arena.extents() {
                stats.points += extent.info.points as u64;
                stats.samples += extent.info.cells;
            }
            stats
        };
        let mut tiers = Tier::ALL.map(tier_stats);
        let [ticks, ..] = &mut tiers;
        ticks.budget_bytes = self.shared.budget_bytes - arenas.0.iter().skip(1).map(Arena::size).sum::<usize>();
        for head in heads.all() {
            ticks.used_bytes += head.used();
            ticks.points += head.frames.len() as u64;
            ticks.samples += head.cells;
            ticks.oldest = ticks.oldest.or(head.frames.first().map(|info| info.wall));
            ticks.newest = head.frames.last().map(|info| info.wall).or(ticks.newest);
        }
        drop((heads, arenas));
        let [ticks, ..] = tiers;
        let ledger = self.shared.ledger();
        StoreStats {
            used_bytes: tiers.iter().map(|tier| tier.used_bytes).sum(),
            budget_bytes: self.shared.budget_bytes,
            ticks: ticks.points,
            evicted_ticks: ledger.evicted_ticks,
            samples: tiers.iter().map(|tier| tier.samples).sum(),
            shed_rows: ledger.shed_rows,
            forgotten_subjects: ledger.forgotten_subjects,
            oldest: tiers.iter().rev().find_map(|tier| tier.oldest),
            persistence: self.shared.persistence().clone(),
            tiers: tiers.to_vec(),
        }
    }
}
