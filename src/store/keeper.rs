//! The keeper: the threads beside the tick, which seal full heads and write everything to the ring file.
//!
//! In: what the tick appended, what was sealed. Out: the same in the file: each tick's frame at once, each segment when it is
//! sealed, the directory when it changed, and a barrier every ten seconds. A disk may be slow, full or gone: the tick does
//! not notice, memory goes on, and the file is tried again. Next: [`file`](super::file).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use super::directory::DirectoryBuilder;
use super::file::{self, Damaged, FileError, FileStats, Geometry, OpenOptions, RingFile};
use super::head::FrameKind;
use super::ledger::Remembered;
use super::open::DataDir;
use super::segment::BootId;
use super::tier::Tier;
use crate::sample::catalogue::Table;
use crate::sample::{Roster, Subject, SubjectId};
use crate::units::UnixNanos;

/// A power loss costs at most what was written since the last barrier. The promise is three times this.
const BARRIER: Duration = Duration::from_secs(10);

/// The directory is written at most this often; names that are newer stand in the log.
const DIRECTORY: Duration = Duration::from_secs(5);

/// How long an agent that ends waits for its last ticks to be written.
const FAREWELL: Duration = Duration::from_secs(5);

/// How it stands with the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Persistence {
    /// Whether ticks are being written.
    pub active: bool,
    /// Why not, and what to do about it.
    pub failure: Option<String>,
    /// Times that writing had to be given up.
    pub failures: u64,
    /// Bytes written since the agent started.
    pub written_bytes: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Barriers (fdatasync) since the agent started.
    pub syncs: u64,
    /// Pieces of the file that were found damaged when it was opened, and left out.
    pub damaged: u64,
}

impl Persistence {
    pub(super) fn starting(damaged: Damaged, failure: Option<String>) -> Self {
        let Damaged { superblocks, directories, records, segments, parts, .. } = damaged;
        let failures = u64::from(failure.is_some());
        Self { failure, failures, damaged: superblocks + directories + records + segments + parts, ..Self::default() }
    }
}

/// The threads. Dropping it writes what is left and ends them.
#[derive(Debug)]
pub struct Background {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
    threads: usize,
}

impl Background {
    pub(super) fn start(shared: Arc<Shared>, keeper: Option<Keeper>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (done, ended) = channel();
        let mut threads = 1;
        let (sealing, stopping, told) = (Arc::clone(&shared), Arc::clone(&stop), done.clone());
        std::thread::Builder::new().name("ringside-seal".into()).spawn(move || {
            seal_until(&sealing, &stopping);
            let _ = told.send(());
        })?;
        if let Some(mut keeper) = keeper {
            threads += 1;
            let stopping = Arc::clone(&stop);
            std::thread::Builder::new().name("ringside-keep".into()).spawn(move || {
                keeper.run(&stopping);
                let _ = done.send(());
            })?;
        }
        Ok(Self { shared, stop, ended, threads })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        {
            // With the lock, so that nobody is between looking at `stop` and falling asleep.
            let _heads = self.shared.heads();
            self.shared.full.notify_all();
            self.shared.ticked.notify_all();
        }
        let until = Instant::now() + FAREWELL;
        for _ in 0..self.threads {
            let left = until.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left).is_err() {
                tracing::warn!("the disk does not answer: the last ticks may not be in the ring file");
                return;
            }
        }
    }
}

fn seal_until(shared: &Shared, stop: &AtomicBool) {
    loop {
        {
            let mut heads = shared.heads();
            while heads.sealing.is_none() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                heads = shared.full.wait(heads).unwrap_or_else(PoisonError::into_inner);
            }
        }
        shared.seal();
    }
}

/// Writes to the file.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    dir: DataDir,
    geometry: Geometry,
    file: Option<RingFile>,
    boot: BootId,
    /// The head whose frames are logged, and how many of them are.
    epoch: u64,
    logged: usize,
    log_full: bool,
    roster: Option<Arc<Roster>>,
    /// What directory and log say about each subject.
    described: HashMap<SubjectId, Arc<Subject>>,
    directory: Option<(u64, Instant)>,
    synced: Instant,
    dirty: bool,
    failed: Option<Instant>,
    /// Of the files before this one.
    before: FileStats,
}

/// One frame on its way into the log.
struct Record {
    epoch: u64,
    /// Serial and wall clock of its tick.
    tick: (u64, UnixNanos),
    roster: Arc<Roster>,
    frame: Vec<u8>,
}

impl Keeper {
    pub fn new(shared: Arc<Shared>, dir: DataDir, geometry: Geometry, file: Option<RingFile>, boot: BootId) -> Self {
        let failed = file.is_none().then(Instant::now);
        Self {
            shared,
            dir,
            geometry,
            file,
            boot,
            epoch: 0,
            logged: 0,
            log_full: false,
            roster: None,
            described: HashMap::new(),
            directory: None,
            synced: Instant::now(),
            dirty: false,
            failed,
            before: FileStats::default(),
        }
    }

    fn run(&mut self, stop: &AtomicBool) {
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            self.turn(stopping);
            if stopping {
                return;
            }
            let heads = self.shared.heads();
            if !stop.load(Ordering::Relaxed) && !self.behind(&heads) {
                let _heads = self.shared.ticked.wait_timeout(heads, Duration::from_secs(1));
            }
        }
    }

    /// Whether a frame waits that is not in the log yet.
    fn behind(&self, heads: &super::Heads) -> bool {
        self.file.is_some()
            && !(self.log_full && heads.current.epoch == self.epoch)
            && (heads.current.epoch, heads.current.frames.len()) != (self.epoch, self.logged)
            && !heads.current.frames.is_empty()
    }

    pub(super) fn turn(&mut self, last: bool) {
        if self.file.is_none() && self.failed.is_some_and(|at| at.elapsed() >= self.dir.retry) {
            self.reopen();
        }
        let Some(mut file) = self.file.take() else { return };
        match self.write(&mut file, last) {
            Ok(()) => {
                self.report(&file, None);
                self.file = Some(file);
            }
            Err(error) => {
                tracing::warn!("history is kept in memory only for now: {error}");
                self.failed = Some(Instant::now());
                self.report(&file, Some(error.to_string()));
                self.before = self.total(&file);
            }
        }
    }

    /// As after an error of the disk.
    #[cfg(test)]
    pub(super) fn give_up(&mut self) {
        self.file = None;
        self.failed = Some(Instant::now());
    }

    fn reopen(&mut self) {
        let opened = file::open(&self.dir.path, self.geometry, OpenOptions { wait: Duration::ZERO });
        let (file, found) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.failed = Some(Instant::now());
                let mut persistence = self.shared.persistence();
                if let Some(persistence) = persistence.as_mut() {
                    persistence.failure = Some(error.to_string());
                }
                return;
            }
        };
        // Everything is written anew: nobody knows what of the earlier writes has arrived.
        let framer = file.framer();
        {
            let mut sealer = self.shared.sealer();
            sealer.framer = framer;
            sealer.sequence = sealer.sequence.max(found.newest_sequence());
            if let Some(current) = self.shared.heads().current_mut() {
                current.epoch_after(found.newest_epoch);
            }
            let mut arenas = self.shared.arenas_mut();
            Tier::ALL.into_iter().for_each(|tier| arenas.of_mut(tier).rewrite(framer));
        }
        tracing::info!("history is kept in the ring file again");
        // A head that is being sealed may have an epoch of which the file has a log already. It is in a segment soon.
        (self.epoch, self.logged, self.log_full, self.roster) = (found.newest_epoch, 0, true, None);
        self.described.clear();
        self.directory = None;
        self.failed = None;
        self.file = Some(file);
    }

    fn write(&mut self, file: &mut RingFile, last: bool) -> Result<(), FileError> {
        let records = self.unlogged();
        self.write_segments(file)?;
        for record in &records {
            self.log(file, record)?;
        }
        let changes = self.shared.ledger().changes;
        let due = self.directory.is_none_or(|(written, at)| written != changes && (last || at.elapsed() >= DIRECTORY));
        if due {
            self.write_directory(file)?;
            self.directory = Some((changes, Instant::now()));
        }
        if self.dirty && (last || self.synced.elapsed() >= BARRIER) {
            file.sync()?;
            self.dirty = false;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// The frames that are in no log yet: the rest of a head that is being sealed, and the current one's.
    fn unlogged(&mut self) -> Vec<Record> {
        let heads = self.shared.heads();
        let mut records = Vec::new();
        for head in heads.all() {
            let from = if head.epoch == self.epoch { self.logged } else { 0 };
            if head.epoch < self.epoch || head.epoch == self.epoch && self.log_full {
                continue;
            }
            for info in head.frames.iter().skip(from) {
                let frame = head.bytes.get(info.bytes.clone()).unwrap_or_default().to_vec();
                let Some(roster) = head.roster_of(info) else { continue };
                let tick = (info.serial, info.wall);
                records.push(Record { epoch: head.epoch, tick, roster: Arc::clone(roster), frame });
            }
        }
        records
    }

    fn log(&mut self, file: &mut RingFile, record: &Record) -> Result<(), FileError> {
        if record.epoch != self.epoch {
            // The log that is overwritten may be the only one to tell some names.
            let changes = self.shared.ledger().changes;
            if self.directory.is_none_or(|(written, _)| written != changes) {
                self.write_directory(file)?;
                self.directory = Some((changes, Instant::now()));
            }
            file.begin_log(record.epoch)?;
            (self.epoch, self.logged, self.log_full, self.roster) = (record.epoch, 0, false, None);
        }
        self.logged += 1;
        if self.log_full {
            return Ok(());
        }
        self.dirty = true;
        let same = self.roster.as_ref().is_some_and(|roster| Arc::ptr_eq(roster, &record.roster));
        let stands_alone = FrameKind::of(&record.frame) == Some(FrameKind::StandsAlone);
        let mut appended = Ok(());
        if !same || stands_alone {
            appended = self.roster_record(record).map_or(Ok(()), |bytes| file.append_log(&bytes));
            self.roster = Some(Arc::clone(&record.roster));
        }
        match appended.and_then(|()| file.append_log(&record.frame)) {
            Err(FileError::PastTheEnd { .. }) => {
                // Many names came at once. The head is sealed early, and the next one has a log of its own.
                self.log_full = true;
                self.shared.turn_early.store(true, Ordering::Relaxed);
                Ok(())
            }
            other => other,
        }
    }

    /// The rows of a roster, and who those are that nothing in the file tells of yet.
    fn roster_record(&mut self, record: &Record) -> Option<Vec<u8>> {
        let mut builder = DirectoryBuilder::default();
        builder.rows(&record.roster);
        builder.message.boot = self.boot.0.to_vec();
        let (last_tick, last_wall) = record.tick;
        for subject in Table::ALL.into_iter().flat_map(|table| record.roster.subjects(table)) {
            if !self.described.get(&subject.id).is_some_and(|told| Arc::ptr_eq(told, subject)) {
                // By the tick's own roster: the ledger may be a tick ahead by now.
                builder.add(&Remembered { subject: Arc::clone(subject), alive: true, last_tick, last_wall });
                self.described.insert(subject.id, Arc::clone(subject));
            }
        }
        let mut record = vec![FrameKind::ROSTER];
        record.extend(builder.finish()?);
        Some(record)
    }

    /// Writes what was sealed. Coarser segments come first, and a barrier after them: what they replace is overwritten next.
    fn write_segments(&mut self, file: &mut RingFile) -> Result<(), FileError> {
        let mut bytes = Vec::new();
        let mut coarser = false;
        for tier in Tier::ALL.into_iter().rev() {
            loop {
                let next = {
                    let arenas = self.shared.arenas();
                    let arena = arenas.of(tier);
                    arena.extents().find(|extent| !extent.written).map(|extent| {
                        bytes.clear();
                        bytes.extend_from_slice(arena.bytes(extent));
                        (extent.start, extent.sequence)
                    })
                };
                let Some((start, sequence)) = next else { break };
                if std::mem::take(&mut coarser) && tier == Tier::Tick {
                    file.sync()?;
                }
                file.write_segment(tier as usize, u64::try_from(start).unwrap_or(u64::MAX), &bytes)?;
                coarser |= tier != Tier::Tick;
                self.dirty = true;
                self.shared.arenas_mut().of_mut(tier).written(sequence);
            }
        }
        Ok(())
    }

    fn write_directory(&mut self, file: &mut RingFile) -> Result<(), FileError> {
        let mut known = self.shared.remembered();
        loop {
            let mut builder = DirectoryBuilder::default();
            builder.message.boot = self.boot.0.to_vec();
            known.iter().for_each(|known| builder.add(known));
            let Some(bytes) = builder.finish() else { return Ok(()) };
            match file.write_directory(&bytes) {
                Err(FileError::PastTheEnd { .. }) if known.len() > 1 => {
                    // Names that do not fit are left out, of those that have been gone for longest.
                    known.sort_by_key(|known| (known.alive, known.last_tick));
                    known.drain(..known.len().div_ceil(4));
                }
                Err(FileError::PastTheEnd { .. }) => return Ok(()),
                other => {
                    other?;
                    break;
                }
            }
        }
        self.dirty = true;
        self.described = known.into_iter().map(|known| (known.subject.id, known.subject)).collect();
        Ok(())
    }

    fn total(&self, file: &RingFile) -> FileStats {
        let stats = file.stats();
        FileStats {
            written_bytes: self.before.written_bytes + stats.written_bytes,
            syncs: self.before.syncs + stats.syncs,
            ..stats
        }
    }

    fn report(&self, file: &RingFile, failure: Option<String>) {
        let stats = self.total(file);
        if let Some(persistence) = self.shared.persistence().as_mut() {
            persistence.active = failure.is_none();
            persistence.failures += u64::from(failure.is_some());
            persistence.failure = failure;
            persistence.written_bytes = stats.written_bytes;
            persistence.file_bytes = stats.file_bytes;
            persistence.syncs = stats.syncs;
        }
    }
}
