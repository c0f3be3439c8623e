//! The head: the newest ticks, as frames in which each row is the difference from the same subject's row before.
//!
//! In: a [`NodeSample`] per tick. Out: frames of bytes, appended, and rows decoded from them. A frame is also the record
//! of the log in the ring file, so that a killed agent loses no more than the tick in flight. Two thirds of all columns do
//! not change from one second to the next, so a row is a bitmap of the changed columns and a varint for each; a full head
//! becomes a [segment](super::segment), which is smaller still. No clock, no lock, no file. Next: [`seal`](super::seal).
//!
//! Frame: `flags: u8` (1: it stands alone, all differences are from zero), `serial: varint`, `wall: u64`, `started_at: u64`;
//! then for each table the number of rows and the rows. Row: `varint header`: 0 nothing changed, 1 nothing was kept at
//! this tick, n + 2 a body of n bytes follows. Body: `read_at` offset in µs against the row before (zigzag varint),
//! `presence: u8` and, if it is 1, six `u64`; then the changed columns: a varint with a bit per group of eight columns, a
//! byte per marked group with a bit per column, and per marked column the zigzag difference as a varint.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::wire::{Cursor, VARINT_BYTES, put_varint, unzigzag, zigzag};
use crate::sample::catalogue::Table;
use crate::sample::row::{Cell, MAX_COLUMNS, Presence, RowRef};
use crate::sample::{NodeSample, Roster, SubjectId};
use crate::units::{MonotonicNanos, UnixNanos};

/// Headers of rows without a body.
const ROW_SAME: u64 = 0;
const ROW_MISSING: u64 = 1;
const ROW_BODY: u64 = 2;

/// Frames that a head has room for without growing: more than are in one when it is sealed.
const MOST_FRAMES: usize = 256;

/// Most bytes of a row's parts besides its columns.
const ROW_FIXED_BYTES: usize = 2 * VARINT_BYTES + 50 + VARINT_BYTES + MAX_COLUMNS / 8;

/// The last row of one subject, as both ends of the codec remember it.
#[derive(Debug, Clone)]
struct RowState {
    values: Box<[u64]>,
    present: Presence,
    unlimited: Presence,
    /// Microseconds from the tick's start; negative for a row that was held from an earlier tick.
    offset_usec: i64,
}

impl RowState {
    fn new(stride: usize) -> Self {
        let values = vec![0; stride].into_boxed_slice();
        Self { values, present: Presence::NONE, unlimited: Presence::NONE, offset_usec: 0 }
    }

    fn reset(&mut self) {
        self.values.fill(0);
        self.present = Presence::NONE;
        self.unlimited = Presence::NONE;
        self.offset_usec = 0;
    }

    fn row(&self, read_at: MonotonicNanos) -> RowRef<'_> {
        RowRef { values: &self.values, present: &self.present, unlimited: &self.unlimited, read_at }
    }
}

/// One encoded tick, before it is appended. Reused.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub bytes: Vec<u8>,
    /// Where each row begins in `bytes`.
    rows: Vec<u32>,
    standalone: bool,
    /// Cells with a number or an unset limit.
    cells: u64,
    /// Rows left out because the head was full.
    pub shed_rows: u64,
}

impl Frame {
    /// An empty frame with room for as much as a head has. Memory is touched only as it is filled.
    pub fn with_capacity(bytes: usize, rows: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), rows: Vec::with_capacity(rows), ..Self::default() }
    }
}

/// Turns samples into frames. It keeps each living subject's last row.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Last rows per table, in the roster's order.
    states: [Vec<(SubjectId, RowState)>; Table::ALL.len()],
    generation: Option<u64>,
    standalone: bool,
    body: Vec<u8>,
}

impl Encoder {
    pub fn new() -> Self {
        let body = Vec::with_capacity(16 * MAX_COLUMNS);
        Self { states: Default::default(), generation: None, standalone: true, body }
    }

    /// Makes the next frame one that stands alone.
    pub fn restart(&mut self) {
        self.standalone = true;
        for (_, state) in self.states.iter_mut().flatten() {
            state.reset();
        }
    }

    /// Encodes a tick into `frame`. Rows that would make it longer than `limit` bytes, or more than `most_rows`, are left
    /// out, from the first that does.
    pub fn encode(&mut self, sample: &NodeSample, serial: u64, limit: usize, most_rows: usize, frame: &mut Frame) {
        let Frame { bytes, rows: starts, .. } = frame;
        bytes.clear();
        starts.clear();
        let standalone = std::mem::take(&mut self.standalone);
        bytes.push(u8::from(standalone));
        put_varint(bytes, serial);
        bytes.extend_from_slice(&sample.wall.0.to_le_bytes());
        bytes.extend_from_slice(&sample.started_at.0.to_le_bytes());
        if self.generation != Some(sample.roster.generation) {
            self.follow_roster(&sample.roster);
        }
        let (mut cells, mut shed_rows) = (0, 0);
        for (table, states) in Table::ALL.into_iter().zip(&mut self.states) {
            let mut rows = sample.rows(table).into_iter().flat_map(|rows| rows.iter()).fuse();
            put_varint(bytes, states.len() as u64);
            for (_, state) in states {
                let row = rows.next();
                if starts.len() >= most_rows {
                    // Without a place in the index it begins anew when it has one again.
                    shed_rows += u64::from(row.is_some());
                    state.reset();
                    put_varint(bytes, ROW_MISSING);
                    continue;
                }
                starts.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                let Some(row) = row else {
                    put_varint(bytes, ROW_MISSING);
                    continue;
                };
                if bytes.len() + ROW_FIXED_BYTES + VARINT_BYTES * row.values.len() > limit {
                    // Its state stays as it was, so that the next difference still fits the last row kept.
                    put_varint(bytes, ROW_MISSING);
                    shed_rows += 1;
                    continue;
                }
                cells += u64::from(ones(row.present) + ones(row.unlimited));
                encode_row(state, row, sample.started_at, &mut self.body, bytes);
            }
        }
        frame.standalone = standalone;
        frame.cells = cells;
        frame.shed_rows = shed_rows;
    }

    fn follow_roster(&mut self, roster: &Roster) {
        for (table, states) in Table::ALL.into_iter().zip(&mut self.states) {
            let subjects = roster.subjects(table);
            let same = states.len() == subjects.len() && states.iter().zip(subjects).all(|((id, _), s)| *id == s.id);
            if !same {
                let mut kept: HashMap<SubjectId, RowState> = states.drain(..).collect();
                let stride = table.metrics().len();
                states.extend(
                    subjects
                        .iter()
                        .map(|subject| (subject.id, kept.remove(&subject.id).unwrap_or_else(|| RowState::new(stride)))),
                );
            }
        }
        self.generation = Some(roster.generation);
    }
}

fn ones(presence: &Presence) -> u32 {
    presence.0.iter().map(|word| word.count_ones()).sum()
}

fn encode_row(
    state: &mut RowState,
    row: RowRef<'_>,
    started_at: MonotonicNanos,
    body: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    let offset_usec = row.read_at.0.wrapping_sub(started_at.0).cast_signed() / 1_000;
    // Which groups of eight columns hold a change. The compiler turns the comparison into vector instructions.
    let mut groups = 0u64;
    for (index, (new, old)) in row.values.chunks(8).zip(state.values.chunks(8)).enumerate() {
        groups |= u64::from(new != old) << index;
    }
    let presence_changed = state.present != *row.present || state.unlimited != *row.unlimited;
    if groups == 0 && !presence_changed && offset_usec == state.offset_usec {
        put_varint(out, ROW_SAME);
        return;
    }
    body.clear();
    put_varint(body, zigzag(offset_usec.wrapping_sub(state.offset_usec)));
    state.offset_usec = offset_usec;
    body.push(u8::from(presence_changed));
    if presence_changed {
        for word in row.present.0.iter().chain(&row.unlimited.0) {
            body.extend_from_slice(&word.to_le_bytes());
        }
        state.present = *row.present;
        state.unlimited = *row.unlimited;
    }
    put_varint(body, groups);
    let marked = |index: usize| groups >> index & 1 == 1;
    for (index, (new, old)) in row.values.chunks(8).zip(state.values.chunks(8)).enumerate() {
        if marked(index) {
            let mask = new.iter().zip(old).rev().fold(0u8, |mask, (new, old)| mask << 1 | u8::from(new != old));
            body.push(mask);
        }
    }
    for (index, (new, old)) in row.values.chunks(8).zip(state.values.chunks_mut(8)).enumerate() {
        if marked(index) {
            for (new, old) in new.iter().zip(old) {
                if new != old {
                    put_varint(body, zigzag(new.wrapping_sub(*old).cast_signed()));
                    *old = *new;
                }
            }
        }
    }
    put_varint(out, body.len() as u64 + ROW_BODY);
    out.extend_from_slice(body);
}

fn decode_row(state: &mut RowState, body: &[u8]) -> Option<()> {
    let mut cursor = Cursor(body);
    state.offset_usec = state.offset_usec.wrapping_add(cursor.signed()?);
    if cursor.byte()? == 1 {
        for word in state.present.0.iter_mut().chain(&mut state.unlimited.0) {
            *word = cursor.u64()?;
        }
    }
    let (masks, _) = masks(&mut cursor)?;
    for (columns, mask) in state.values.chunks_mut(8).zip(masks) {
        let mut left = mask;
        while left != 0 {
            let delta = unzigzag(cursor.varint()?);
            if let Some(value) = columns.get_mut(left.trailing_zeros() as usize) {
                *value = value.wrapping_add_signed(delta);
            }
            left &= left - 1;
        }
    }
    Some(())
}

/// The masks of the changed columns, and the number of groups that have one.
fn masks(cursor: &mut Cursor<'_>) -> Option<([u8; MAX_COLUMNS / 8], u32)> {
    let groups = cursor.varint()?;
    let mut masks = [0u8; MAX_COLUMNS / 8];
    let mut marked = 0;
    for (index, mask) in masks.iter_mut().enumerate() {
        if groups >> index & 1 == 1 {
            *mask = cursor.byte()?;
            marked += 1;
        }
    }
    (marked == groups.count_ones()).then_some((masks, marked))
}

/// What a record of the log is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// A frame that builds on the one before.
    Difference,
    /// A frame that builds on nothing.
    StandsAlone,
    /// A roster: who the rows of the following frames belong to.
    Roster,
}

impl FrameKind {
    /// The first byte of a roster.
    pub const ROSTER: u8 = 2;

    pub fn of(record: &[u8]) -> Option<Self> {
        match record.first()? {
            0 => Some(Self::Difference),
            1 => Some(Self::StandsAlone),
            &Self::ROSTER => Some(Self::Roster),
            _ => None,
        }
    }
}

/// Where one frame lies and when its tick was.
#[derive(Debug, Clone)]
pub(super) struct FrameInfo {
    pub serial: u64,
    pub wall: UnixNanos,
    pub started_at: MonotonicNanos,
    pub standalone: bool,
    pub bytes: Range<usize>,
    rows: Range<usize>,
    /// Index of its roster.
    roster: usize,
}

/// The newest ticks.
#[derive(Debug, Default, Clone)]
pub(super) struct Head {
    pub bytes: Vec<u8>,
    rows: Vec<u32>,
    pub frames: Vec<FrameInfo>,
    pub rosters: Vec<Arc<Roster>>,
    pub cells: u64,
    /// Which head of this ring it is, from 1.
    pub epoch: u64,
}

impl Head {
    /// An empty head with room for `bytes` of frames and `rows` rows. Memory is touched only as frames arrive.
    pub fn with_capacity(bytes: usize, rows: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            rows: Vec::with_capacity(rows),
            frames: Vec::with_capacity(MOST_FRAMES),
            rosters: Vec::with_capacity(MOST_FRAMES),
            ..Self::default()
        }
    }

    /// Forgets all frames, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
        self.frames.clear();
        self.rosters.clear();
        self.cells = 0;
    }

    /// Bytes of the frames and their index.
    pub fn used(&self) -> usize {
        self.bytes.len() + self.rows.len() * size_of::<u32>()
    }

    /// Room for another frame: bytes and rows.
    pub fn room(&self) -> (usize, usize) {
        (self.bytes.capacity() - self.bytes.len(), self.rows.capacity() - self.rows.len())
    }

    /// Appends a frame that fits.
    pub fn push(&mut self, frame: &Frame, serial: u64, sample: &NodeSample) {
        let same = self.rosters.last().is_some_and(|last| Arc::ptr_eq(last, &sample.roster));
        if !same {
            self.rosters.push(Arc::clone(&sample.roster));
        }
        let bytes = self.bytes.len()..self.bytes.len() + frame.bytes.len();
        let rows = self.rows.len()..self.rows.len() + frame.rows.len();
        self.bytes.extend_from_slice(&frame.bytes);
        self.rows.extend_from_slice(&frame.rows);
        self.cells += frame.cells;
        self.frames.push(FrameInfo {
            serial,
            wall: sample.wall,
            started_at: sample.started_at,
            standalone: frame.standalone,
            bytes,
            rows,
            roster: self.rosters.len().saturating_sub(1),
        });
    }

    /// The roster of a frame.
    pub fn roster_of(&self, info: &FrameInfo) -> Option<&Arc<Roster>> {
        self.rosters.get(info.roster)
    }

    /// Its newest frame, with the roster of it.
    pub fn newest(&self) -> Option<(&FrameInfo, &Arc<Roster>)> {
        let info = self.frames.last()?;
        Some((info, self.roster_of(info)?))
    }

    /// Forgets the frames from a serial on.
    pub fn truncate(&mut self, serial: u64) {
        let kept = self.frames.partition_point(|info| info.serial < serial);
        if let Some(first) = self.frames.get(kept) {
            self.bytes.truncate(first.bytes.start);
            self.rows.truncate(first.rows.start);
            self.frames.truncate(kept);
        }
    }

    /// Makes its epoch greater than one that was used before.
    pub fn epoch_after(&mut self, used: u64) {
        self.epoch = self.epoch.max(used + 1);
    }

    /// Whether a frame of a log is one that a segment has already.
    pub fn is_known(record: &[u8], before: u64) -> bool {
        let serial = record.get(1..).and_then(|rest| Cursor(rest).varint());
        serial.is_some_and(|serial| serial <= before)
    }

    /// Appends a frame as it was read from a log, when it is whole, `roster` is its roster, and its serial comes after
    /// `before`.
    pub fn restore(&mut self, bytes: &[u8], roster: &Arc<Roster>, before: u64) -> Option<()> {
        let mut cursor = Cursor(bytes);
        let standalone = match FrameKind::of(&[cursor.byte()?])? {
            FrameKind::Difference => false,
            FrameKind::StandsAlone => true,
            FrameKind::Roster => return None,
        };
        let serial = cursor.varint().filter(|serial| *serial > before)?;
        let wall = UnixNanos(cursor.u64()?);
        let started_at = MonotonicNanos(cursor.u64()?);
        let first_row = self.rows.len();
        let mut whole = || {
            for table in Table::ALL {
                let rows = cursor.size()?;
                if rows != roster.subjects(table).len() {
                    return None;
                }
                for _ in 0..rows {
                    self.rows.push(u32::try_from(bytes.len() - cursor.0.len()).ok()?);
                    let header = cursor.varint()?;
                    cursor.take(usize::try_from(header.saturating_sub(ROW_BODY)).ok()?)?;
                }
            }
            cursor.0.is_empty().then_some(())
        };
        if whole().is_none() {
            self.rows.truncate(first_row);
            return None;
        }
        if !self.rosters.last().is_some_and(|last| Arc::ptr_eq(last, roster)) {
            self.rosters.push(Arc::clone(roster));
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.frames.push(FrameInfo {
            serial,
            wall,
            started_at,
            standalone,
            bytes: start..self.bytes.len(),
            rows: first_row..self.rows.len(),
            roster: self.rosters.len().saturating_sub(1),
        });
        Some(())
    }

    /// Every subject with a place in one of its frames: id and table, ascending by id.
    pub fn subjects(&self, out: &mut Vec<(SubjectId, Table)>) {
        out.clear();
        for roster in &self.rosters {
            out.extend(
                Table::ALL
                    .into_iter()
                    .flat_map(|table| roster.subjects(table).iter().map(move |subject| (subject.id, table))),
            );
        }
        out.sort_unstable();
        out.dedup();
    }

    /// The bytes of a subject's row in each frame, with the frame's number.
    fn bodies(&self, table: Table, subject: SubjectId) -> impl Iterator<Item = (usize, &FrameInfo, u64, &[u8])> {
        // Where its row stands among all tables' rows, for the roster that was looked at last.
        let mut place: (Option<usize>, Option<usize>) = (None, None);
        self.frames.iter().enumerate().filter_map(move |(number, info)| {
            if place.0 != Some(info.roster) {
                place = (
                    Some(info.roster),
                    self.rosters.get(info.roster).and_then(|roster| place_of(roster, table, subject)),
                );
            }
            let row = *self.rows.get(info.rows.clone())?.get(place.1?)?;
            let mut cursor = Cursor(self.bytes.get(info.bytes.clone())?.get(usize::try_from(row).ok()?..)?);
            let header = cursor.varint()?;
            let body = cursor.take(usize::try_from(header.saturating_sub(ROW_BODY)).ok()?)?;
            Some((number, info, header, body))
        })
    }

    /// Visits all rows of one subject: number of the frame, offset of the reading, row. `false` when some could not be
    /// decoded.
    pub fn stage(&self, table: Table, subject: SubjectId, mut visit: impl FnMut(usize, i64, RowRef<'_>)) -> bool {
        let mut state = RowState::new(table.metrics().len());
        let mut standing = Standing::default();
        let mut whole = true;
        for (number, info, header, body) in self.bodies(table, subject) {
            if standing.restarts(number, self) {
                state.reset();
            }
            if header == ROW_MISSING {
                continue;
            }
            if header >= ROW_BODY && decode_row(&mut state, body).is_none() {
                whole = false;
                break;
            }
            let read_at = read_at(info, state.offset_usec);
            visit(number, state.offset_usec, state.row(read_at));
        }
        whole
    }

    /// Visits one column of one subject: the frame, when it was read, and the cell.
    pub fn column(
        &self,
        table: Table,
        subject: SubjectId,
        column: usize,
        mut visit: impl FnMut(&FrameInfo, MonotonicNanos, Cell),
    ) {
        let (mut value, mut present, mut unlimited, mut offset) = (0u64, false, false, 0i64);
        let mut standing = Standing::default();
        for (number, info, header, body) in self.bodies(table, subject) {
            if standing.restarts(number, self) {
                (value, present, unlimited, offset) = (0, false, false, 0);
            }
            if header == ROW_MISSING {
                continue;
            }
            if header >= ROW_BODY {
                let mut cursor = Cursor(body);
                let mut read = || {
                    offset = offset.wrapping_add(cursor.signed()?);
                    if cursor.byte()? == 1 {
                        let mut words = [0u64; 6];
                        for word in &mut words {
                            *word = cursor.u64()?;
                        }
                        let [a, b, c, d, e, f] = words;
                        (present, unlimited) = (Presence([a, b, c]).has(column), Presence([d, e, f]).has(column));
                    }
                    let (masks, _) = masks(&mut cursor)?;
                    let group = *masks.get(column / 8)?;
                    if group >> (column % 8) & 1 == 0 {
                        return Some(());
                    }
                    let before: u32 = masks.iter().take(column / 8).map(|mask| mask.count_ones()).sum();
                    let skipped = before + (group & ((1 << (column % 8)) - 1)).count_ones();
                    for _ in 0..skipped {
                        cursor.varint()?;
                    }
                    value = value.wrapping_add_signed(cursor.signed()?);
                    Some(())
                };
                if read().is_none() {
                    return;
                }
            }
            let cell = match (present, unlimited) {
                (true, _) => Cell::Value(value),
                (false, true) => Cell::Unlimited,
                (false, false) => Cell::Absent,
            };
            visit(info, read_at(info, offset), cell);
        }
    }
}

/// Where a subject's row stands among the rows of all tables.
fn place_of(roster: &Roster, table: Table, subject: SubjectId) -> Option<usize> {
    let before: usize =
        Table::ALL.into_iter().take_while(|other| *other != table).map(|t| roster.subjects(t).len()).sum();
    Some(before + roster.subjects(table).iter().position(|known| known.id == subject)?)
}

/// When a row was read.
pub(super) fn read_at(info: &FrameInfo, offset_usec: i64) -> MonotonicNanos {
    MonotonicNanos(info.started_at.0.saturating_add_signed(offset_usec.saturating_mul(1_000)))
}

/// Tells when a subject's differences begin from zero again: at a frame that stands alone, and after frames in which it
/// had no place.
#[derive(Debug, Default)]
struct Standing {
    next: usize,
}

impl Standing {
    fn restarts(&mut self, number: usize, head: &Head) -> bool {
        let away = self.next != number;
        self.next = number + 1;
        away || head.frames.get(number).is_some_and(|info| info.standalone)
    }
}
