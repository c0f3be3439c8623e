//! One cgroup's reading: which files, how often, and what becomes of an error.
//!
//! In: a [`SourceTable`] (the files of this kernel's cgroup layout, each with its cadence and the function that puts its
//! values into a row) and the hierarchy roots. Out: [`CgroupRows`]. Nothing is allocated unless a device appears for the
//! first time. Next: `sampler.rs` copies the rows into the tick's sample.

mod sources_v1;
mod sources_v2;
mod table;

pub use table::Hierarchies;
pub(super) use table::{Cadence, Source, SourceTable};

use std::sync::Arc;

use super::catalogue::{CgroupColumn, DEVICE_METRICS, HUGETLB_METRICS};
use super::row::Row;
use super::self_stats::{SelfStats, SourceFile};
use super::{Subject, SubjectId};
use crate::kernel::file::{KernelFile, ReadBuffer};
use crate::sample::catalogue::CGROUP_METRICS;
use crate::units::{ErrorClass, MonotonicNanos};

/// A cgroup that stood still is read in full after this many ticks all the same.
const FULL_EVERY_TICKS: u64 = 5;
/// Limits that people change at run time are read this often.
const SLOW_EVERY_TICKS: u64 = 10;
/// What hardly ever changes is read, and what was missing is looked for again, this often.
const RARE_EVERY_TICKS: u64 = 60;
/// A new cgroup's directories appear one hierarchy after the other; missing files are looked for at each of its first ticks.
const YOUNG_TICKS: u64 = 5;

/// Most devices that are shown of one cgroup; one with more shows the first ones.
const DEVICES_CAP: usize = 256;

/// The cgroup is gone (ENODEV from a kept descriptor, ENOENT from its first file).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// A row that belongs to a device or a page size of a cgroup.
#[derive(Debug)]
pub(super) struct Part {
    /// Block device number, or (index of the page size, 0).
    pub key: (u32, u32),
    /// Given at the end of the tick in which the part appeared.
    pub id: Option<SubjectId>,
    /// Made with the roster; taken away when the owner is described anew.
    pub subject: Option<Arc<Subject>>,
    pub row: Row,
}

/// Everything that is known about one cgroup: its row and the rows of its parts.
#[derive(Debug)]
pub(super) struct CgroupRows {
    pub row: Row,
    pub devices: Vec<Part>,
    pub hugetlb: Vec<Part>,
}

impl CgroupRows {
    fn new() -> Self {
        Self { row: Row::new(CGROUP_METRICS.len()), devices: Vec::new(), hugetlb: Vec::new() }
    }

    /// The row of a block device, made when it is new; `None` beyond the cap.
    pub fn device(&mut self, key: (u32, u32)) -> Option<&mut Row> {
        let full = self.devices.len() >= DEVICES_CAP && self.devices.iter().all(|part| part.key != key);
        if full { None } else { part(&mut self.devices, key, DEVICE_METRICS.len()) }
    }

    /// Puts a file's values into the rows. `false` when the bytes are not such a file's: cut off, or without any number
    /// that is known. What they did say is kept, the rest is absent.
    fn take_in(&mut self, source: &Source, bytes: &[u8]) -> bool {
        self.row.take_written();
        (source.apply)(Some(bytes), source.part, self);
        let ends_with_a_line = bytes.last().is_none_or(|last| *last == b'\n');
        ends_with_a_line
            && match source.group {
                // Without devices the kernel prints nothing, or totals only.
                SourceFile::IoStat => true,
                SourceFile::Hugetlb => self.hugetlb.iter_mut().fold(false, |any, part| any | part.row.take_written()),
                _ => self.row.take_written(),
            }
    }

    /// The owner was described anew: the parts' subjects are made again with the next roster, under the same ids.
    pub fn forget_subjects(&mut self) {
        self.devices.iter_mut().chain(&mut self.hugetlb).for_each(|part| part.subject = None);
    }

    /// The row of a huge page size, made when it is new.
    pub fn page_size(&mut self, index: u32) -> Option<&mut Row> {
        part(&mut self.hugetlb, (index, 0), HUGETLB_METRICS.len())
    }
}

fn part(parts: &mut Vec<Part>, key: (u32, u32), columns: usize) -> Option<&mut Row> {
    let index = parts.iter().position(|part| part.key == key).unwrap_or_else(|| {
        parts.push(Part { key, id: None, subject: None, row: Row::new(columns) });
        parts.len() - 1
    });
    parts.get_mut(index).map(|part| &mut part.row)
}

/// How one source of one cgroup is read.
#[derive(Debug)]
enum Handle {
    /// Not opened yet.
    Closed,
    /// Open for as long as the cgroup lives.
    Kept(KernelFile),
    /// Opened for each read: a slow source, or the budget of descriptors is used up.
    Once,
    /// Not there, or not permitted, or not supported.
    Missing,
}

/// Descriptors that may be kept open, and how many are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileBudget {
    pub limit: u64,
    pub used: u64,
}

impl FileBudget {
    /// Cgroups that are not containers may use half of the budget, so that slices never crowd containers out.
    pub(super) fn take(&mut self, container: bool) -> bool {
        let free = self.used < if container { self.limit } else { self.limit / 2 };
        self.used += u64::from(free);
        free
    }
}

/// What every read needs and no cgroup owns.
#[derive(Debug)]
pub(super) struct ReadContext<'a> {
    pub table: &'a SourceTable,
    pub buffer: &'a mut ReadBuffer,
    pub path: &'a mut Vec<u8>,
    /// The row before a read; put back when the cgroup vanishes half-way, so that a row's values belong together.
    pub before: &'a mut Row,
    pub stats: &'a mut SelfStats,
    pub budget: &'a mut FileBudget,
    /// Whether a cgroup that stood still is spared the dear files.
    pub skip_idle: bool,
    /// Number of this tick.
    pub tick: u64,
}

/// One cgroup's open files and what was last read from them.
#[derive(Debug)]
pub(super) struct CgroupReader {
    handles: Box<[Handle]>,
    pub rows: CgroupRows,
    container: bool,
    born_tick: u64,
    /// Spreads the slow reads of many cgroups over the ticks.
    phase: u64,
    /// Position of the source whose absence means that the cgroup is gone.
    anchor: Option<usize>,
    /// CPU use, memory and stall totals at the last full read: when none moved, nobody ran.
    stood: [Option<u64>; 5],
    moving: bool,
}

impl CgroupReader {
    pub fn new(table: &SourceTable, container: bool, born_tick: u64, phase: u64) -> Self {
        Self {
            handles: table.sources.iter().map(|_| Handle::Closed).collect(),
            rows: CgroupRows::new(),
            container,
            born_tick,
            phase,
            anchor: None,
            stood: [None; 5],
            moving: true,
        }
    }

    /// Opens the files that are kept, so that a cgroup which ends before the next tick can still be read.
    pub fn open(&mut self, path: &[u8], context: &mut ReadContext<'_>) -> Result<(), Gone> {
        for index in 0..self.handles.len() {
            let kept = context.table.sources.get(index).is_some_and(|source| source.cadence.kept());
            if kept {
                self.open_source(index, path, context)?;
            }
        }
        if self.anchor.is_some() { Ok(()) } else { Err(Gone) }
    }

    /// Reads what is due at this tick.
    pub fn tick(&mut self, path: &[u8], now: MonotonicNanos, context: &mut ReadContext<'_>) -> Result<(), Gone> {
        let due = |every: u64| (context.tick + self.phase).is_multiple_of(every);
        let first = context.tick == self.born_tick;
        let (full, slow, rare) = (
            !context.skip_idle || first || due(FULL_EVERY_TICKS),
            first || due(SLOW_EVERY_TICKS),
            first || due(RARE_EVERY_TICKS),
        );
        self.read(path, now, context, |cadence, moved| match cadence {
            Cadence::Tick => true,
            Cadence::Active => full || moved,
            Cadence::Slow => slow,
            Cadence::Rare => rare,
        })
    }

    /// Reads everything: the last time for a cgroup whose processes have exited.
    pub fn read_all(&mut self, path: &[u8], now: MonotonicNanos, context: &mut ReadContext<'_>) -> Result<(), Gone> {
        self.read(path, now, context, |_, _| true)
    }

    /// Closes everything and gives the descriptors back to the budget.
    pub fn close(&mut self, budget: &mut FileBudget) {
        for handle in &mut self.handles {
            if matches!(std::mem::replace(handle, Handle::Missing), Handle::Kept(_)) {
                budget.used = budget.used.saturating_sub(1);
            }
        }
    }

    fn read(
        &mut self,
        path: &[u8],
        now: MonotonicNanos,
        context: &mut ReadContext<'_>,
        wanted: impl Fn(Cadence, bool) -> bool,
    ) -> Result<(), Gone> {
        context.before.copy_from(&self.rows.row);
        let table = context.table;
        let mut moved = false;
        for (index, source) in table.sources.iter().enumerate() {
            if !wanted(source.cadence, moved) {
                continue;
            }
            if let Err(gone) = self.read_source(index, source, path, context) {
                self.rows.row.copy_from(context.before);
                return Err(gone);
            }
            if source.cadence == Cadence::Tick {
                // The sources of every tick stand first in the table, so this is known before the others are asked.
                moved = self.moving || self.standing().iter().zip(&self.stood).take(2).any(|(now, then)| now != then);
            }
        }
        let standing = self.standing();
        self.moving = standing != self.stood;
        self.stood = standing;
        self.rows.row.read_at = now;
        for part in self.rows.devices.iter_mut().chain(&mut self.rows.hugetlb) {
            part.row.read_at = now;
        }
        Ok(())
    }

    fn standing(&self) -> [Option<u64>; 5] {
        [
            CgroupColumn::CpuUsageUsec,
            CgroupColumn::MemoryCurrentBytes,
            CgroupColumn::CpuPressureSomeTotalUsec,
            CgroupColumn::MemoryPressureSomeTotalUsec,
            CgroupColumn::IoPressureSomeTotalUsec,
        ]
        .map(|column| self.rows.row.value(column))
    }

    fn read_source(
        &mut self,
        index: usize,
        source: &Source,
        path: &[u8],
        context: &mut ReadContext<'_>,
    ) -> Result<(), Gone> {
        let Some(handle) = self.handles.get(index) else { return Ok(()) };
        let young = context.tick < self.born_tick + YOUNG_TICKS;
        let look_again = young || (context.tick + self.phase).is_multiple_of(RARE_EVERY_TICKS);
        match handle {
            Handle::Missing if !look_again => return Ok(()),
            Handle::Missing | Handle::Closed => {
                self.open_source(index, path, context)?;
            }
            Handle::Kept(_) | Handle::Once => {}
        }
        let result = match self.handles.get(index) {
            Some(Handle::Kept(file)) => file.read_into(context.buffer),
            Some(Handle::Once) => context.table.open(source, path, context.path).and_then(|file| {
                // Read at once: the descriptor is closed before the next source is looked at.
                file.read_into(context.buffer)
            }),
            _ => return Ok(()),
        };
        match result {
            Ok(bytes) => {
                if !self.rows.take_in(source, bytes) {
                    context.stats.count_error(source.group, ErrorClass::Malformed);
                }
            }
            Err(class) => self.failed(index, source, class, path, context)?,
        }
        Ok(())
    }

    /// What becomes of a source that could not be read. Only the anchor's absence means that the cgroup is gone: a
    /// controller that is switched off takes its files away from a cgroup that lives on.
    fn failed(
        &mut self,
        index: usize,
        source: &Source,
        class: ErrorClass,
        path: &[u8],
        context: &mut ReadContext<'_>,
    ) -> Result<(), Gone> {
        if class == ErrorClass::Gone {
            let anchor = self.anchor.and_then(|anchor| context.table.sources.get(anchor));
            let lives = self.anchor != Some(index)
                && anchor.is_some_and(|anchor| context.table.open(anchor, path, context.path).is_ok());
            if !lives {
                return Err(Gone);
            }
        } else {
            context.stats.count_error(source.group, class);
        }
        match class {
            ErrorClass::Malformed | ErrorClass::Exhausted => {}
            // Something that passes (EIO): the file is opened anew when it is next due.
            ErrorClass::Other => self.drop_handle(index, Handle::Closed, context.budget),
            ErrorClass::Gone | ErrorClass::Unsupported | ErrorClass::Denied => {
                self.drop_handle(index, Handle::Missing, context.budget);
            }
        }
        (source.apply)(None, source.part, &mut self.rows);
        Ok(())
    }

    fn drop_handle(&mut self, index: usize, instead: Handle, budget: &mut FileBudget) {
        if let Some(handle) = self.handles.get_mut(index)
            && matches!(std::mem::replace(handle, instead), Handle::Kept(_))
        {
            budget.used = budget.used.saturating_sub(1);
        }
    }

    fn open_source(&mut self, index: usize, path: &[u8], context: &mut ReadContext<'_>) -> Result<(), Gone> {
        let (Some(source), Some(handle)) = (context.table.sources.get(index), self.handles.get_mut(index)) else {
            return Ok(());
        };
        *handle = match context.table.open(source, path, context.path) {
            Ok(file) if source.cadence.kept() && context.budget.take(self.container) => Handle::Kept(file),
            Ok(_) => Handle::Once,
            Err(ErrorClass::Gone) if self.anchor == Some(index) => return Err(Gone),
            Err(ErrorClass::Exhausted) => {
                context.stats.count_error(source.group, ErrorClass::Exhausted);
                Handle::Once
            }
            Err(class) => {
                // A file that is not there is normal: another layout, or a controller that is not enabled.
                if class != ErrorClass::Gone {
                    context.stats.count_error(source.group, class);
                }
                Handle::Missing
            }
        };
        if self.anchor.is_none() && matches!(handle, Handle::Kept(_) | Handle::Once) {
            self.anchor = Some(index);
        }
        Ok(())
    }
}
