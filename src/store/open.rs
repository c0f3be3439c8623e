//! Opening the ring: empty in memory, or with what the file of an earlier run holds.
//!
//! In: a budget and, with `--data-dir`, a folder. Out: the writer, a store that already tells what happened before, and the
//! subjects' ids of the earlier run, so that a container that still lives goes on where it was. What is damaged is left
//! out and counted; what cannot be opened now is tried again by the [keeper](super::keeper). Next: `mod.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::arena::{Arena, Arenas, Extent};
use super::directory;
use super::file::{self, Damaged, FileError, Geometry, OpenOptions, Recovered, Remedy, RingFile};
use super::head::{FrameKind, Head};
use super::keeper::{Background, Keeper, Persistence};
use super::ledger::{Ledger, Remembered};
use super::seal::Sealer;
use super::segment::{BootId, Segment};
use super::tier::Tier;
use super::writer::StoreWriter;
use super::{Heads, LEAST_BUDGET_BYTES, Shared, Shares, Store, StoreError};
use crate::sample::catalogue::Table;
use crate::sample::{Roster, Subject, SubjectId, SubjectIds};
use crate::units::UnixNanos;

/// How long to wait for another agent that still holds the file: a rolling update starts the new one first.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Where the ring file lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    /// The folder.
    pub path: PathBuf,
    /// How long after a failure the file is tried again.
    pub retry: Duration,
}

/// What a ring is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingOptions {
    /// Bytes of history in memory, and in the file.
    pub budget_bytes: usize,
    /// Which boot of the machine this is.
    pub boot: BootId,
    /// Where to keep it over restarts; `None` for memory only.
    pub data_dir: Option<DataDir>,
}

/// An open ring with its threads.
#[derive(Debug)]
pub struct Ring {
    /// For the tick.
    pub writer: StoreWriter,
    /// For everybody else.
    pub store: Store,
    /// Numbers of the subjects that are still there from an earlier run.
    pub ids: SubjectIds,
    /// What there is to tell about the file: for the log, once.
    pub notes: Vec<String>,
    /// Seals and writes until it is dropped.
    pub background: Background,
}

/// Opens a ring.
///
/// # Errors
/// [`StoreError::BudgetTooSmall`], and [`StoreError::File`] when the folder cannot be used before somebody changes
/// something. A disk that is full, read-only or failing is no error: history is kept in memory, and the disk tried again.
pub fn open(options: &RingOptions) -> Result<Ring, StoreError> {
    if options.budget_bytes < LEAST_BUDGET_BYTES {
        return Err(StoreError::BudgetTooSmall { given: options.budget_bytes, least: LEAST_BUDGET_BYTES });
    }
    let shares = Shares::of(options.budget_bytes);
    let geometry = geometry(shares);
    let mut notes = Vec::new();
    let mut file = None;
    let mut recovered = None;
    let mut failure = None;
    if let Some(dir) = &options.data_dir {
        match file::open(&dir.path, geometry, OpenOptions { wait: LOCK_WAIT }) {
            Ok((opened, found)) => {
                notes.extend(notes_of(&found));
                (file, recovered) = (Some(opened), Some(found));
            }
            Err(error) if keeps_trying(&error) => {
                notes.push(format!("history is kept in memory only for now: {error}"));
                // What is there can be read all the same, when it can.
                recovered = file::open_read_only(&dir.path).ok();
                failure = Some(error.to_string());
            }
            Err(error) => return Err(StoreError::File(error.to_string())),
        }
    }
    let loaded = load(recovered, shares, options.boot, file.as_ref());
    let ids = loaded.ids(options.boot);
    let damaged = loaded.damaged;
    let (shared, serial) = loaded.into_shared(options.budget_bytes, shares, options.boot);
    let persistence = options.data_dir.as_ref().map(|_| Persistence::starting(damaged, failure));
    *shared.persistence() = persistence;
    if serial > 0 {
        let store = Store { shared: Arc::clone(&shared) };
        let stats = store.stats();
        let buckets: u64 = stats.tiers.iter().skip(1).map(|tier| tier.points).sum();
        let ticks = stats.ticks;
        notes
            .push(format!("{ticks} ticks of earlier runs can be read one by one, and {buckets} buckets of older ones"));
    }
    let keeper =
        options.data_dir.clone().map(|dir| Keeper::new(Arc::clone(&shared), dir, geometry, file, options.boot));
    let background =
        Background::start(Arc::clone(&shared), keeper).map_err(|error| StoreError::Thread(error.to_string()))?;
    let writer = StoreWriter::in_background(Arc::clone(&shared), serial);
    Ok(Ring { writer, store: Store { shared }, ids, notes, background })
}

/// Size of the ring file of a budget.
#[must_use]
pub fn ring_file_bytes(budget_bytes: usize) -> u64 {
    geometry(Shares::of(budget_bytes)).file_bytes()
}

/// Reads the ring file of an agent that does not run, without changing it.
///
/// # Errors
/// [`StoreError::File`] when there is none or it cannot be read.
pub fn open_read_only(dir: &Path) -> Result<Store, StoreError> {
    let recovered = file::open_read_only(dir).map_err(|error| StoreError::File(error.to_string()))?;
    let sizes = recovered.geometry.arena_bytes.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    let budget_bytes = sizes.iter().sum::<usize>() / 14 * 16;
    let shares = Shares { arenas: sizes, ..Shares::of(budget_bytes) };
    let loaded = load(Some(recovered), shares, BootId::default(), None);
    let (shared, _) = loaded.into_shared(budget_bytes, shares, BootId::default());
    let store = Store { shared };
    // The newest tick stands for "now": every view works as if the agent had stopped the clock there.
    if let Some(moment) = store.moment(UnixNanos(u64::MAX)) {
        store.shared.previous.store(moment.before);
        store.shared.latest.store(Some(moment.newest));
    }
    Ok(store)
}

/// Whether the ring goes on without the file and tries again.
pub(super) fn keeps_trying(error: &FileError) -> bool {
    error.remedy() == Remedy::TryLater && !matches!(error, FileError::Locked { .. })
        || matches!(error, FileError::Io { .. })
}

pub(super) fn geometry(shares: Shares) -> Geometry {
    let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let head = size(shares.head_frames);
    Geometry {
        directory_bytes: (head / 2).next_multiple_of(4096).max(64 << 10),
        // The frames, what each record adds to them, and rosters.
        log_bytes: (head + head / 4).next_multiple_of(4096) + (64 << 10),
        arena_bytes: shares.arenas.map(size),
    }
}

fn notes_of(found: &Recovered) -> Vec<String> {
    let mut notes = Vec::new();
    for aside in &found.aside {
        let what =
            aside.version.map_or_else(|| "is damaged".to_owned(), |version| format!("has format version {version}"));
        notes.push(format!("the ring file {what}: it is kept as {} and a new one begun", aside.path.display()));
    }
    if found.taken_back {
        notes.push("the ring file that another version had set aside is taken back".to_owned());
    }
    if found.damaged.any() {
        let Damaged { superblocks, directories, records, segments, parts, truncated_bytes, unreadable_bytes } =
            found.damaged;
        notes.push(format!(
            "parts of the ring file are damaged and left out: {segments} segments, {parts} chunks, {records} log records, \
             {directories} directories, {superblocks} superblocks, {truncated_bytes} bytes cut off, {unreadable_bytes} unreadable"
        ));
    }
    notes
}

/// What a file gave.
#[derive(Debug)]
struct Loaded {
    arenas: Arenas,
    ledger: Ledger,
    sealer: Sealer,
    serial: u64,
    epoch: u64,
    greatest_id: u64,
    /// Boot of the newest tick.
    boot: BootId,
    damaged: Damaged,
}

fn load(recovered: Option<Recovered>, shares: Shares, boot: BootId, file: Option<&RingFile>) -> Loaded {
    let mut loaded = Loaded {
        arenas: Arenas(shares.arenas.map(Arena::new)),
        ledger: Ledger::default(),
        sealer: Sealer::default(),
        serial: 0,
        epoch: 1,
        greatest_id: 0,
        boot,
        damaged: Damaged::default(),
    };
    let Some(mut recovered) = recovered else { return loaded };
    loaded.damaged = recovered.damaged;
    loaded.epoch = recovered.newest_epoch + 1;
    loaded.sealer.sequence = recovered.newest_sequence();
    loaded.sealer.framer = file.map_or(recovered.framer, RingFile::framer);
    if let Some(mut message) = recovered.directory.as_deref().and_then(directory::decode) {
        loaded.greatest_id = message.greatest_id;
        loaded.boot = boot_of(&message.boot);
        for known in directory::subjects(&mut message) {
            loaded.ledger.subjects.insert(known.subject.id, known);
        }
    }
    loaded.take_arenas(&mut recovered, shares);
    loaded.take_logs(&recovered);
    loaded.name_the_nameless();
    loaded
}

fn boot_of(bytes: &[u8]) -> BootId {
    bytes.first_chunk().map_or(BootId::default(), |bytes| BootId(*bytes))
}

impl Loaded {
    fn take_arenas(&mut self, recovered: &mut Recovered, shares: Shares) {
        let mut found: [VecDeque<Extent>; Tier::ALL.len()] = Default::default();
        for segment in &recovered.segments {
            let opened =
                Segment::open(recovered.bytes(segment)).filter(|opened| opened.info.tier as usize == segment.tier);
            let (Some(opened), Some(extents)) = (opened, found.get_mut(segment.tier)) else {
                self.damaged.segments += 1;
                continue;
            };
            let info = opened.info;
            let damaged = segment.parts.iter().skip(1).enumerate().filter(|(_, part)| part.is_none());
            extents.push_back(Extent {
                start: usize::try_from(segment.offset).unwrap_or(usize::MAX),
                length: segment.bytes.len(),
                sequence: segment.sequence,
                info,
                damaged: damaged.map(|(place, _)| place).collect(),
                written: true,
            });
            self.serial = self.serial.max(info.last);
            self.boot = if info.last >= self.serial { info.boot } else { self.boot };
        }
        for (tier, extents) in Tier::ALL.into_iter().zip(found) {
            let size = shares.arenas.get(tier as usize).copied().unwrap_or(0);
            let buffer = recovered.arenas.get_mut(tier as usize).map(std::mem::take).unwrap_or_default();
            let in_place = |extent: &Extent| {
                recovered
                    .segments
                    .iter()
                    .any(|segment| segment.sequence == extent.sequence && segment.bytes.start == extent.start)
            };
            let bytes = if buffer.len() == size && extents.iter().all(in_place) {
                buffer
            } else {
                // Divided anew, or cut off: each segment goes to its own place.
                let mut bytes = vec![0; size];
                for segment in recovered.segments.iter().filter(|segment| segment.tier == tier as usize) {
                    let start = usize::try_from(segment.offset).unwrap_or(usize::MAX);
                    let from = buffer.get(segment.bytes.clone());
                    let into = bytes.get_mut(start..start.saturating_add(segment.bytes.len()));
                    if let (Some(from), Some(into)) = (from, into) {
                        into.copy_from_slice(from);
                    }
                }
                bytes
            };
            *self.arenas.of_mut(tier) = Arena::restore(bytes, extents);
        }
    }

    /// Makes segments of the heads that were open when the agent ended, and follows who was there in them.
    fn take_logs(&mut self, recovered: &Recovered) {
        // The newest tick that the directory knows of, and the newest one in a segment.
        let told = self.ledger.subjects.values().map(|known| known.last_tick).max().unwrap_or(0);
        let sealed = self.serial;
        let mut heads: Vec<(Head, BootId)> = recovered.logs.iter().map(|log| self.replay(log, 0)).collect();
        for (head, _) in &heads {
            self.follow(head);
        }
        let newest = heads.iter().rev().find_map(|(head, boot)| {
            let (info, roster) = head.newest()?;
            Some((info.serial, Arc::clone(roster), *boot))
        });
        for (head, log) in heads.iter_mut().zip(&recovered.logs) {
            if head.0.frames.first().is_some_and(|info| info.serial <= sealed) {
                // What is in a segment already is not taken again.
                *head = self.replay(log, sealed);
            }
        }
        if let Some((newest, roster, boot)) = newest
            && newest >= told.max(sealed)
        {
            self.boot = boot;
            let living = ids_of(&roster);
            for known in self.ledger.subjects.values_mut() {
                known.alive = living.binary_search(&known.subject.id).is_ok();
            }
        }
        // A head that was logged anew, because the disk had failed, is in both logs; the newer one has more of it.
        let mut next = u64::MAX;
        for (head, _) in heads.iter_mut().rev() {
            head.truncate(next);
            next = head.frames.first().map_or(next, |info| info.serial);
        }
        for (head, boot) in &heads {
            let Some((newest, _)) = head.newest() else { continue };
            self.serial = newest.serial;
            self.sealer.boot = *boot;
            if let Some(info) = self.sealer.seal(head) {
                self.sealer.make_room(&mut self.arenas, Tier::Tick);
                let framed = self.sealer.framed(Tier::Tick);
                let sequence = self.sealer.sequence_of(Tier::Tick);
                self.arenas.of_mut(Tier::Tick).push(framed, sequence, info, |_| {});
            }
        }
        let newest = self.serial;
        for known in self.ledger.subjects.values_mut().filter(|known| known.alive) {
            known.last_tick = newest.max(known.last_tick);
        }
        if let Some(oldest) = self.arenas.oldest() {
            self.ledger.age_out(oldest);
        }
    }

    /// The frames of a log whose serials come after `before`, and the boot at which it was written.
    fn replay(&mut self, log: &file::Log, before: u64) -> (Head, BootId) {
        let mut head = Head::default();
        let mut boot = self.boot;
        let mut roster: Option<Arc<Roster>> = None;
        let (mut expected, mut alone) = (0, true);
        for (index, record) in log.records() {
            // After a gap the differences build on something that is not there.
            alone |= index != expected;
            expected = index + 1;
            match FrameKind::of(record) {
                Some(FrameKind::Roster) => match record.get(1..).and_then(directory::decode) {
                    Some(message) => {
                        boot = boot_of(&message.boot);
                        roster = Some(self.take_roster(message));
                    }
                    None => self.damaged.records += 1,
                },
                Some(FrameKind::Difference) if alone => {}
                Some(_) => {
                    let Some(roster) = &roster else { continue };
                    alone = false;
                    let before = head.frames.last().map_or(before, |info| info.serial);
                    if head.restore(record, roster, before).is_none() {
                        self.damaged.records += u64::from(!Head::is_known(record, before));
                        alone = true;
                    }
                }
                None => self.damaged.records += 1,
            }
        }
        (head, boot)
    }

    /// Notes until when each subject of a head was there.
    fn follow(&mut self, head: &Head) {
        let after = head.frames.iter().skip(1).map(Some).chain([None]);
        for (info, after) in head.frames.iter().zip(after) {
            let Some(roster) = head.roster_of(info) else { continue };
            let same = |other: &Arc<Roster>| Arc::ptr_eq(other, roster);
            if after.and_then(|after| head.roster_of(after)).is_some_and(same) {
                continue;
            }
            for id in ids_of(roster) {
                if let Some(known) = self.ledger.subjects.get_mut(&id).filter(|known| known.last_tick <= info.serial) {
                    (known.last_tick, known.last_wall) = (info.serial, info.wall);
                }
            }
        }
    }

    fn take_roster(&mut self, mut message: directory::DirectoryMessage) -> Arc<Roster> {
        self.greatest_id = self.greatest_id.max(message.greatest_id);
        for told in directory::subjects(&mut message) {
            // The directory may have been written later, and know better.
            let known = self.ledger.subjects.get(&told.subject.id);
            if known.is_none_or(|known| known.last_tick <= told.last_tick) {
                self.ledger.subjects.insert(told.subject.id, told);
            }
        }
        let mut roster = Roster::default();
        for (table, rows) in Table::ALL.into_iter().zip(&message.rows) {
            for id in rows.ids.iter().copied().map(SubjectId) {
                let known = self.ledger.subjects.entry(id).or_insert_with(|| nameless(id, table));
                if let Some(subjects) = roster.subjects_mut(table) {
                    subjects.push(Arc::clone(&known.subject));
                }
            }
        }
        Arc::new(roster)
    }

    /// Numbers without a name, because the directory was damaged, are shown by their id.
    fn name_the_nameless(&mut self) {
        let mut tables: BTreeMap<SubjectId, (Table, u64, UnixNanos)> = BTreeMap::new();
        for tier in Tier::ALL {
            let arena = self.arenas.of(tier);
            for extent in arena.extents() {
                let Some(segment) = arena.open(extent) else { continue };
                for (id, bytes) in (0..segment.len()).filter_map(|place| segment.chunk_at(place)) {
                    let table = bytes.first().and_then(|table| Table::ALL.get(usize::from(*table)));
                    if let (Some(table), false) = (table, self.ledger.subjects.contains_key(&id)) {
                        let info = extent.info;
                        let seen = tables.entry(id).or_insert((*table, info.last, info.latest));
                        *seen = (*table, seen.1.max(info.last), seen.2.max(info.latest));
                    }
                }
            }
        }
        for (id, (table, last_tick, last_wall)) in tables {
            self.greatest_id = self.greatest_id.max(id.0);
            self.ledger.subjects.insert(id, Remembered { last_tick, last_wall, ..nameless(id, table) });
        }
        let greatest = self.ledger.subjects.keys().next_back().map_or(0, |id| id.0);
        self.greatest_id = self.greatest_id.max(greatest);
    }

    /// Ids for this run: those of the subjects seen at this boot go on. Of those that the newest tick does not know some may
    /// live: an agent that was killed soon after its start had not found them yet. Who is really gone does not come back,
    /// since a cgroup's inode is not used again before the machine starts anew.
    fn ids(&self, boot: BootId) -> SubjectIds {
        let goes_on = boot != BootId::default() && boot == self.boot;
        let extents = Tier::ALL.into_iter().flat_map(|tier| self.arenas.of(tier).extents());
        let of_boot = extents.filter(|extent| extent.info.boot == boot).map(|extent| extent.info.first).min();
        let seen = |known: &&Remembered| goes_on && of_boot.is_some_and(|first| known.last_tick >= first);
        let here = self.ledger.subjects.values().filter(seen);
        SubjectIds::after(self.greatest_id, here.map(|known| Arc::clone(&known.subject)))
    }

    fn into_shared(mut self, budget_bytes: usize, shares: Shares, boot: BootId) -> (Arc<Shared>, u64) {
        self.sealer.boot = boot;
        self.ledger.subjects.values_mut().for_each(|known| known.alive = false);
        let mut current = shares.head();
        current.epoch = self.epoch;
        let heads = Heads { current: Arc::new(current), sealing: None, spare: Some(Arc::new(shares.head())) };
        let shared = Shared {
            latest: ArcSwapOption::empty(),
            previous: ArcSwapOption::empty(),
            heads: Mutex::new(heads),
            arenas: RwLock::new(self.arenas),
            sealer: Mutex::new(self.sealer),
            ledger: RwLock::new(self.ledger),
            full: Condvar::new(),
            ticked: Condvar::new(),
            turn_early: AtomicBool::new(false),
            persistence: Mutex::new(None),
            ticks: tokio::sync::watch::Sender::new(0),
            budget_bytes,
            shares,
        };
        (Arc::new(shared), self.serial)
    }
}

fn ids_of(roster: &Roster) -> Vec<SubjectId> {
    let subjects = Table::ALL.into_iter().flat_map(|table| roster.subjects(table));
    let mut ids: Vec<SubjectId> = subjects.map(|subject| subject.id).collect();
    ids.sort_unstable();
    ids
}

fn nameless(id: SubjectId, table: Table) -> Remembered {
    let name = format!("unknown-{}", id.0).into();
    let subject = Subject { id, table, owner: None, name, workload: None, device: None, filesystem: None };
    Remembered { subject: Arc::new(subject), alive: false, last_tick: 0, last_wall: UnixNanos(0) }
}

/// An empty ring in memory, whose writer seals by itself.
pub(super) fn in_memory(budget_bytes: usize) -> (StoreWriter, Store) {
    let shares = Shares::of(budget_bytes);
    let (shared, _) = load(None, shares, BootId::default(), None).into_shared(budget_bytes, shares, BootId::default());
    (StoreWriter::new(Arc::clone(&shared)), Store { shared })
}
