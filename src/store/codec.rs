//! Frames: one tick's rows as bytes, each row as its difference from the same subject's row one tick before.
//!
//! In: a [`NodeSample`]. Out: bytes appended to a block, and back. A block begins with a frame that stands alone (all
//! differences are from zero) and lists its subjects; later frames list them only when somebody came or went.
//! Two thirds of all columns do not change from one second to the next, so a row is a bitmap of the changed columns and
//! a variable-length integer for each. Pure functions over bytes: no clock, no lock, no kernel. Next: `ring.rs`.
//!
//! Frame: `tick: varint, wall: u64, started_at: u64, roster: u8`, then, if `roster` is 1, for each table the number of
//! subjects and their ids (varints, each the difference from the one before, zigzag); then for each table and subject a
//! row. Row: `varint header`: 0 nothing changed, 1 nothing was kept at this tick, n + 2 a body of n bytes follows.
//! Body: `read_at` offset in µs against the row before (zigzag varint), `presence: u8` and, if it is 1, six `u64`;
//! then the changed columns: a varint with a bit per group of eight columns, a byte per marked group with a bit per
//! column, and per marked column the zigzag difference as a varint.

use std::collections::HashMap;

use crate::sample::catalogue::Table;
use crate::sample::row::{Cell, MAX_COLUMNS, Presence, RowRef};
use crate::sample::{NodeSample, SubjectId};
use crate::units::{MonotonicNanos, UnixNanos};

/// Headers of rows without a body.
const ROW_SAME: u64 = 0;
const ROW_MISSING: u64 = 1;
const ROW_BODY: u64 = 2;

/// Most bytes of a varint, and of a row's parts besides its columns.
const VARINT_BYTES: usize = 10;
const ROW_FIXED_BYTES: usize = 2 * VARINT_BYTES + 50 + VARINT_BYTES + MAX_COLUMNS / 8;

/// The last row of one subject, as both ends of the codec remember it.
#[derive(Debug, Clone)]
struct RowState {
    values: Box<[u64]>,
    present: Presence,
    unlimited: Presence,
    /// Microseconds from the tick's start; negative for a row that was held from an earlier tick.
    read_at_offset_usec: i64,
}

impl RowState {
    fn new(stride: usize) -> Self {
        Self {
            values: vec![0; stride].into_boxed_slice(),
            present: Presence::NONE,
            unlimited: Presence::NONE,
            read_at_offset_usec: 0,
        }
    }

    fn reset(&mut self) {
        self.values.fill(0);
        self.present = Presence::NONE;
        self.unlimited = Presence::NONE;
        self.read_at_offset_usec = 0;
    }
}

const fn zigzag(delta: i64) -> u64 {
    ((delta << 1) ^ (delta >> 63)).cast_unsigned()
}

const fn unzigzag(coded: u64) -> i64 {
    (coded >> 1).cast_signed() ^ -((coded & 1).cast_signed())
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Reads from the front of a slice; every method is `None` at the end of the bytes.
#[derive(Debug, Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

/// What encoding one frame did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Encoded {
    /// Cells with a number or an unset limit.
    pub cells: u64,
    /// Rows left out because the block was full.
    pub shed_rows: u64,
}

/// Turns samples into frames. It keeps each living subject's last row.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Last rows per table, in the roster's order.
    states: [Vec<(SubjectId, RowState)>; Table::ALL.len()],
    generation: Option<u64>,
    body: Vec<u8>,
}

impl Encoder {
    pub fn new() -> Self {
        Self { states: Default::default(), generation: None, body: Vec::with_capacity(16 * MAX_COLUMNS) }
    }

    /// Makes the next frame one that stands alone.
    pub fn restart(&mut self) {
        self.generation = None;
        for (_, state) in self.states.iter_mut().flatten() {
            state.reset();
        }
    }

    /// Appends one frame. Rows that would make `out` longer than `limit` bytes are left out, from the first that does.
    pub fn encode(&mut self, sample: &NodeSample, limit: usize, out: &mut Vec<u8>) -> Encoded {
        let mut encoded = Encoded::default();
        put_varint(out, sample.tick);
        out.extend_from_slice(&sample.wall.0.to_le_bytes());
        out.extend_from_slice(&sample.started_at.0.to_le_bytes());
        let roster_changed = self.generation != Some(sample.roster.generation);
        out.push(u8::from(roster_changed));
        if roster_changed {
            self.follow_roster(sample, out);
        }
        for (table, states) in Table::ALL.into_iter().zip(&mut self.states) {
            let rows = sample.rows(table).into_iter().flat_map(|rows| rows.iter());
            let mut rows = rows.fuse();
            for (_, state) in states {
                let Some(row) = rows.next() else {
                    put_varint(out, ROW_MISSING);
                    continue;
                };
                if out.len() + ROW_FIXED_BYTES + VARINT_BYTES * row.values.len() > limit {
                    // Its state stays as it was, so that the next difference still fits the last row kept.
                    put_varint(out, ROW_MISSING);
                    encoded.shed_rows += 1;
                    continue;
                }
                encoded.cells += u64::from(ones(row.present) + ones(row.unlimited));
                encode_row(state, row, sample.started_at, &mut self.body, out);
            }
        }
        encoded
    }

    fn follow_roster(&mut self, sample: &NodeSample, out: &mut Vec<u8>) {
        for (table, states) in Table::ALL.into_iter().zip(&mut self.states) {
            let subjects = sample.roster.subjects(table);
            put_varint(out, subjects.len() as u64);
            let mut before = 0i64;
            for subject in subjects {
                let id = subject.id.0.cast_signed();
                put_varint(out, zigzag(id.wrapping_sub(before)));
                before = id;
            }
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
        self.generation = Some(sample.roster.generation);
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
    if groups == 0 && !presence_changed && offset_usec == state.read_at_offset_usec {
        put_varint(out, ROW_SAME);
        return;
    }
    body.clear();
    put_varint(body, zigzag(offset_usec.wrapping_sub(state.read_at_offset_usec)));
    state.read_at_offset_usec = offset_usec;
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
    let offset = unzigzag(cursor.varint()?);
    state.read_at_offset_usec = state.read_at_offset_usec.wrapping_add(offset);
    if cursor.byte()? == 1 {
        for word in state.present.0.iter_mut().chain(&mut state.unlimited.0) {
            *word = cursor.u64()?;
        }
    }
    let groups = cursor.varint()?;
    let (mut masks, mut marked) = ([0u8; MAX_COLUMNS / 8], 0u32);
    for (index, mask) in masks.iter_mut().enumerate() {
        if groups >> index & 1 == 1 {
            *mask = cursor.byte()?;
            marked += 1;
        }
    }
    if marked != groups.count_ones() {
        return None;
    }
    for (columns, mask) in state.values.chunks_mut(8).zip(masks) {
        for (index, value) in columns.iter_mut().enumerate() {
            if mask >> index & 1 == 1 {
                *value = value.wrapping_add_signed(unzigzag(cursor.varint()?));
            }
        }
    }
    Some(())
}

/// One subject's row at one tick, as the ring gives it back.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecodedRow<'a> {
    pub wall: UnixNanos,
    pub read_at: MonotonicNanos,
    state: &'a RowState,
}

impl DecodedRow<'_> {
    /// The cell of a column.
    pub fn cell(&self, column: usize) -> Cell {
        self.row().cell_at(column)
    }

    /// All its cells.
    pub fn row(&self) -> RowRef<'_> {
        let (present, unlimited) = (&self.state.present, &self.state.unlimited);
        RowRef { values: &self.state.values, present, unlimited, read_at: self.read_at }
    }
}

/// Calls `visit` for each row of one subject in a block, oldest first. `None` when the bytes are damaged; what was
/// visited before the damage is right.
pub(super) fn decode_subject(
    block: &[u8],
    table: Table,
    subject: SubjectId,
    mut visit: impl FnMut(DecodedRow<'_>),
) -> Option<()> {
    let mut cursor = Cursor(block);
    let mut state = RowState::new(table.metrics().len());
    let mut counts = [0u64; Table::ALL.len()];
    let mut position: Option<u64> = None;
    while !cursor.0.is_empty() {
        let _tick = cursor.varint()?;
        let wall = UnixNanos(cursor.u64()?);
        let started_at = cursor.u64()?;
        if cursor.byte()? == 1 {
            position = None;
            for (listed, count) in Table::ALL.into_iter().zip(&mut counts) {
                *count = cursor.varint()?;
                let mut id = 0i64;
                for index in 0..*count {
                    id = id.wrapping_add(unzigzag(cursor.varint()?));
                    if listed == table && id.cast_unsigned() == subject.0 {
                        position = Some(index);
                    }
                }
            }
            if position.is_none() {
                state.reset();
            }
        }
        for (listed, count) in Table::ALL.into_iter().zip(counts) {
            for index in 0..count {
                let header = cursor.varint()?;
                let body = cursor.take(header.saturating_sub(ROW_BODY))?;
                if listed != table || position != Some(index) || header == ROW_MISSING {
                    continue;
                }
                if header >= ROW_BODY {
                    decode_row(&mut state, body)?;
                }
                let offset = state.read_at_offset_usec.checked_mul(1_000)?;
                let read_at = MonotonicNanos(started_at.checked_add_signed(offset)?);
                visit(DecodedRow { wall, read_at, state: &state });
            }
        }
    }
    Some(())
}
