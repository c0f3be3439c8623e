//! THE RING FILE: a crash-safe file of fixed size, independent of what the bytes in it mean.
//!
//! In: from the store's one writer, records of the open head, directories, and segments at offsets of its choice; at the
//! start, a folder. Out: all of that again after a crash, each piece exactly as it was written or counted as damaged.
//! The format is `docs/ring-format.md`. It never maps memory, never grows the file, and never overwrites a file that is
//! not its own. Next: the store, which knows what the bytes mean.

mod disk;
mod error;
mod format;
mod place;
mod recovered;
mod scan;
#[cfg(test)]
mod tests;

pub use disk::{Disk, OsDisk};
pub use error::{FileError, Remedy};
pub use format::{ALIGN, Framer, Geometry, TIERS};
pub use place::{OpenOptions, open, open_read_only};
pub use recovered::{Damaged, Log, Recovered};

use std::path::PathBuf;

use rustix::io::Errno;

use disk::write_all;
use format::{SegmentStart, Superblock, directory_frame, record_frame, segment_read};

/// What was written since the file was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileStats {
    /// Size of the file.
    pub file_bytes: u64,
    /// Bytes written, headers included.
    pub written_bytes: u64,
    /// Writes that succeeded.
    pub writes: u64,
    /// Writes and barriers that failed.
    pub failures: u64,
    /// Barriers that succeeded.
    pub syncs: u64,
    /// Bytes used in the open log.
    pub log_used_bytes: u64,
    /// Size of a log slot.
    pub log_bytes: u64,
}

/// The log that is being written.
#[derive(Debug, Clone, Copy)]
struct OpenLog {
    slot: usize,
    epoch: u64,
    used: u64,
    next_index: u32,
}

/// The one writer of a ring file.
#[derive(Debug)]
pub struct RingFile<D = OsDisk> {
    disk: D,
    path: PathBuf,
    geometry: Geometry,
    framer: Framer,
    /// The sequence and slot of the newest directory.
    directory: Option<(u64, usize)>,
    /// The newest directory may not be on the medium yet: the other slot must not be touched before it is.
    directory_unsynced: bool,
    segments_unsynced: bool,
    log_epochs: [u64; 2],
    newest_epoch: u64,
    log: Option<OpenLog>,
    scratch: Vec<u8>,
    stats: FileStats,
}

impl<D: Disk> RingFile<D> {
    /// Goes on writing where `recovered` says that the file ends.
    fn new(disk: D, path: PathBuf, geometry: Geometry, recovered: &Recovered) -> Self {
        let stats =
            FileStats { file_bytes: geometry.file_bytes(), log_bytes: geometry.log_bytes, ..FileStats::default() };
        Self {
            disk,
            path,
            geometry,
            framer: recovered.framer,
            directory: recovered.directory_place,
            // Found valid, but maybe in the page cache only, if the agent was killed and the machine went on.
            directory_unsynced: recovered.directory_place.is_some(),
            segments_unsynced: !recovered.segments.is_empty(),
            log_epochs: recovered.log_epochs,
            newest_epoch: recovered.newest_epoch,
            log: None,
            scratch: Vec::new(),
            stats,
        }
    }

    /// Makes an empty ring file on a disk of the right size that holds only zeros.
    fn begin(mut disk: D, path: PathBuf, geometry: Geometry, file_id: u64) -> Result<(Self, Recovered), FileError> {
        write_all(&mut disk, &Superblock { file_id, geometry }.to_bytes(), 0)
            .map_err(|errno| FileError::of(&path, "pwrite", errno))?;
        let recovered = Recovered::nothing(geometry, file_id);
        let file = Self::new(disk, path, geometry, &recovered);
        Ok((file, recovered))
    }

    /// How the file is divided.
    #[cfg(test)]
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Frames segments for this file; a copy may live in another thread.
    pub const fn framer(&self) -> Framer {
        self.framer
    }

    /// What was written since the file was opened.
    pub fn stats(&self) -> FileStats {
        FileStats { log_used_bytes: self.log.map_or(0, |log| log.used), ..self.stats }
    }

    /// Begins a log, in the slot of the older of the two. What the older log held must be in a segment by now, or is
    /// given up: its slot is overwritten with the next record. If that segment may not be on the medium yet, this waits
    /// until it is.
    ///
    /// # Errors
    ///
    /// [`FileError::OldEpoch`] unless `epoch` is greater than any before; the barrier's errors, after which the older
    /// log is still there and the call may be repeated.
    pub fn begin_log(&mut self, epoch: u64) -> Result<(), FileError> {
        if epoch <= self.newest_epoch {
            return Err(FileError::OldEpoch { given: epoch, newest: self.newest_epoch });
        }
        if self.segments_unsynced {
            self.sync()?;
        }
        let [first, second] = self.log_epochs;
        let slot = usize::from(first > second);
        if let Some(held) = self.log_epochs.get_mut(slot) {
            *held = epoch;
        }
        self.newest_epoch = epoch;
        self.log = Some(OpenLog { slot, epoch, used: 0, next_index: 0 });
        Ok(())
    }

    /// Appends a record to the open log. It survives a kill from here on, and a power loss from the next [`Self::sync`] on.
    ///
    /// # Errors
    ///
    /// [`FileError::NoLog`]; [`FileError::PastTheEnd`] when the slot is full: begin another log; the write's errors,
    /// after which the same record may be appended again.
    pub fn append_log(&mut self, payload: &[u8]) -> Result<(), FileError> {
        let mut log = self.log.ok_or(FileError::NoLog)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let framed = record_frame(self.framer.file_id, log.epoch, log.next_index, payload, &mut scratch);
        let room = self.geometry.log_bytes.saturating_sub(log.used);
        let result = fits(framed, &scratch, room, "log").and_then(|length| {
            let offset = self.geometry.log_at(log.slot).saturating_add(log.used);
            self.write(&scratch, offset)?;
            log.used = log.used.saturating_add(length);
            log.next_index = log.next_index.saturating_add(1);
            self.log = Some(log);
            Ok(())
        });
        self.scratch = scratch;
        result
    }

    /// Writes a directory over the older of the two. If the newer one may not be on the medium yet, this waits until it
    /// is, so that one of them outlives a power loss at any instant.
    ///
    /// # Errors
    ///
    /// [`FileError::PastTheEnd`]; the write's and the barrier's errors, after which the newer directory is still there
    /// and the call may be repeated.
    pub fn write_directory(&mut self, payload: &[u8]) -> Result<(), FileError> {
        let (sequence, slot) =
            self.directory.map_or((1, 0), |(newest, slot)| (newest.saturating_add(1), 1 - slot.min(1)));
        let mut scratch = std::mem::take(&mut self.scratch);
        let framed = directory_frame(self.framer.file_id, sequence, payload, &mut scratch);
        let result = fits(framed, &scratch, self.geometry.directory_bytes, "directory").and_then(|_| {
            if self.directory_unsynced {
                self.sync()?;
            }
            self.write(&scratch, self.geometry.directory_at(slot))?;
            self.directory = Some((sequence, slot));
            self.directory_unsynced = true;
            Ok(())
        });
        self.scratch = scratch;
        result
    }

    /// Writes a framed segment to `offset` of a tier's arena, over whatever is there.
    ///
    /// # Errors
    ///
    /// [`FileError::Misaligned`], [`FileError::PastTheEnd`], [`FileError::NotASegment`]; the write's errors, after which
    /// what was there is lost and the call may be repeated.
    pub fn write_segment(&mut self, tier: usize, offset: u64, segment: &[u8]) -> Result<(), FileError> {
        if !offset.is_multiple_of(ALIGN) {
            return Err(FileError::Misaligned { offset, align: ALIGN });
        }
        let arena = self.geometry.arena_bytes.get(tier).copied().unwrap_or(0);
        fits(Some(()), segment, arena.saturating_sub(offset), "arena")?;
        match segment_read(self.framer.file_id, segment) {
            SegmentStart::Valid(header) if header.total == segment.len() => {}
            _ => return Err(FileError::NotASegment),
        }
        // Set first: a write that fails half-way has overwritten something too.
        self.segments_unsynced = true;
        self.write(segment, self.geometry.arena_at(tier).saturating_add(offset))
    }

    /// Returns when all that was written outlives a power loss.
    ///
    /// # Errors
    ///
    /// The barrier's. After [`FileError::Io`] the kernel may have dropped what it could not write, and a later barrier
    /// would not tell: open the file anew and write again what matters.
    pub fn sync(&mut self) -> Result<(), FileError> {
        loop {
            match self.disk.sync() {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    self.stats.failures += 1;
                    return Err(FileError::of(&self.path, "fdatasync", errno));
                }
            }
        }
        self.stats.syncs += 1;
        self.directory_unsynced = false;
        self.segments_unsynced = false;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        if let Err(errno) = write_all(&mut self.disk, bytes, offset) {
            self.stats.failures += 1;
            return Err(FileError::of(&self.path, "pwrite", errno));
        }
        self.stats.writes += 1;
        self.stats.written_bytes += length(bytes);
        Ok(())
    }

    /// Writes what was recovered from a file of another geometry into this empty one: the directory and the logs if they
    /// fit, and of each tier's segments the newest that fit, in their order. Segments that do not fit are forgotten;
    /// the others are given their new offsets.
    fn carry_over(&mut self, recovered: &mut Recovered) -> Result<(), FileError> {
        recovered.directory_place = None;
        recovered.log_epochs = [0; 2];
        if let Some(directory) = &recovered.directory {
            unless_too_large(self.write_directory(directory))?;
        }
        for log in &recovered.logs {
            self.begin_log(log.epoch)?;
            for (index, record) in log.records() {
                if let Some(open) = &mut self.log {
                    open.next_index = index;
                }
                // A log with a hole would look damaged: it is the end that is left out.
                if !unless_too_large(self.append_log(record))? {
                    break;
                }
            }
        }
        // What the caller appends goes into a log of its own.
        self.log = None;
        let mut room = self.geometry.arena_bytes;
        let mut segments = std::mem::take(&mut recovered.segments);
        segments.reverse();
        segments.retain(|segment| {
            let Some(room) = room.get_mut(segment.tier) else { return false };
            let needed = length(recovered.bytes(segment)).next_multiple_of(ALIGN);
            let fits = needed <= *room;
            // History has no holes: once one is too old to be kept, so are all before it.
            *room = if fits { *room - needed } else { 0 };
            fits
        });
        segments.reverse();
        let mut next = [0_u64; TIERS];
        for segment in &mut segments {
            let Some(next) = next.get_mut(segment.tier) else { continue };
            segment.offset = *next;
            let bytes = recovered.bytes(segment);
            *next += length(bytes).next_multiple_of(ALIGN);
            self.write_segment(segment.tier, segment.offset, bytes)?;
        }
        recovered.segments = segments;
        self.sync()
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The length of what was framed, if it could be framed and fits.
fn fits(framed: Option<()>, bytes: &[u8], room: u64, place: &'static str) -> Result<u64, FileError> {
    let needed = if framed.is_some() { length(bytes) } else { u64::MAX };
    if needed > room { Err(FileError::PastTheEnd { place, needed, room }) } else { Ok(needed) }
}

/// Whether it fitted.
fn unless_too_large(result: Result<(), FileError>) -> Result<bool, FileError> {
    match result {
        Err(FileError::PastTheEnd { .. }) => Ok(false),
        other => other.map(|()| true),
    }
}
