//! A chunk: the columns of one subject for a run of ticks or buckets.
//!
//! In: a [`Stage`], filled row by row. Out: bytes, and back column by column: a reader that wants one column skips the
//! others, and one that wants an increase, a minimum or a mean takes it from the summary without decoding. Pure functions.
//! Next: [`segment`](super::segment).
//!
//! Layout: `table: u8`, the [row map](RowMap), the offsets of the readings from their ticks in µs (a [list](put_list) of
//! zigzag integers, with the first and the last one in front of it), for buckets the list of readings in each, `listed` and `zero` (a bit
//! per column: it has cells; it is 0 all through), then a [part](Part) for each column that is listed and not zero.

use super::column::{self, Aim, Scratch};
use super::wire::{VARINT_BYTES, put_varint, zigzag};
use crate::sample::catalogue::{Kind, Table};
use crate::sample::row::{Cell, Presence, RowRef};

/// A value that never changes.
pub(super) const TAG_CONSTANT: u8 = 0;
/// A limit that is never set.
pub(super) const TAG_UNLIMITED: u8 = 1;
/// A counter that never falls: its growth, then its values.
pub(super) const TAG_COUNTER: u8 = 2;
/// A gauge or limit: its summary, then its values.
pub(super) const TAG_GAUGE: u8 = 3;
/// Values without a summary.
pub(super) const TAG_PLAIN: u8 = 4;
/// Cells of different kinds: runs of kinds, then the values.
pub(super) const TAG_MIXED: u8 = 5;
/// A counter's buckets, in which it fell somewhere: the first value, the last ones, the increases.
pub(super) const TAG_RESETS: u8 = 6;
/// A gauge's buckets: last, least, largest values and the sums.
pub(super) const TAG_BUCKETS: u8 = 7;

pub(super) const KIND_ABSENT: u8 = 0;
pub(super) const KIND_UNLIMITED: u8 = 1;
pub(super) const KIND_VALUE: u8 = 2;

/// Rows of one subject, waiting to become a chunk. Reused from subject to subject.
#[derive(Debug, Default)]
pub(super) struct Stage {
    stride: usize,
    values: Vec<u64>,
    present: Vec<Presence>,
    unlimited: Vec<Presence>,
    /// Readings' offsets from their ticks, zigzag µs.
    offsets: Vec<u64>,
    /// At which point of the segment each row stands, ascending.
    points: Vec<usize>,
    /// Columns whose value or kind changed.
    changed: Presence,
    mixed: Presence,
    column: Vec<u64>,
    kinds: Vec<u8>,
    scratch: Scratch,
}

impl Stage {
    /// Begins a subject of a table with `stride` columns.
    pub fn begin(&mut self, stride: usize) {
        self.stride = stride;
        self.values.clear();
        self.present.clear();
        self.unlimited.clear();
        self.offsets.clear();
        self.points.clear();
        self.changed = Presence::NONE;
        self.mixed = Presence::NONE;
    }

    /// Adds a row that stands at `point`.
    pub fn push(&mut self, point: usize, offset_usec: i64, row: RowRef<'_>) {
        if let (Some(present), Some(unlimited)) = (self.present.last(), self.unlimited.last()) {
            let old = self.values.get(self.values.len().saturating_sub(self.stride)..).unwrap_or_default();
            note_changes(&mut self.changed, old, row.values);
            let words = self.mixed.0.iter_mut().zip(present.0.iter().zip(row.present.0));
            words.for_each(|(mixed, (old, new))| *mixed |= old ^ new);
            let words = self.mixed.0.iter_mut().zip(unlimited.0.iter().zip(row.unlimited.0));
            words.for_each(|(mixed, (old, new))| *mixed |= old ^ new);
        }
        self.values.extend(row.values.iter().take(self.stride));
        self.values.resize((self.present.len() + 1) * self.stride, 0);
        self.present.push(*row.present);
        self.unlimited.push(*row.unlimited);
        self.offsets.push(zigzag(offset_usec));
        self.points.push(point);
    }

    /// Values, present and unlimited columns of a row.
    pub fn row(&self, index: usize) -> Option<(&[u64], &Presence, &Presence)> {
        let values = self.values.get(index * self.stride..(index + 1) * self.stride)?;
        Some((values, self.present.get(index)?, self.unlimited.get(index)?))
    }

    /// Number of cells with a number or an unset limit.
    pub fn cells(&self) -> u64 {
        let words = self.present.iter().chain(&self.unlimited).flat_map(|presence| presence.0);
        words.map(|word| u64::from(word.count_ones())).sum()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.points.len()
    }

    /// Appends the chunk to `out`; the segment has `points` points.
    pub fn finish(&mut self, table: Table, points: usize, out: &mut Vec<u8>) {
        let Self { stride, values, present, unlimited, column, kinds, scratch, .. } = self;
        let (Some(present_at_first), Some(unlimited_at_first)) = (present.first(), unlimited.first()) else { return };
        out.push(table as u8);
        put_row_map(&self.points, points, out);
        put_offsets(&self.offsets, scratch, out);
        let mut bits = Bitmaps::reserve(*stride, out);
        for index in 0..*stride {
            if self.mixed.has(index) {
                bits.list(index, out);
                kinds.clear();
                kinds.extend(present.iter().zip(unlimited.iter()).map(|(present, unlimited)| {
                    match (present.has(index), unlimited.has(index)) {
                        (true, _) => KIND_VALUE,
                        (false, true) => KIND_UNLIMITED,
                        (false, false) => KIND_ABSENT,
                    }
                }));
                let cells = values.iter().skip(index).step_by(*stride).zip(kinds.iter());
                column.clear();
                column.extend(cells.filter(|(_, kind)| **kind == KIND_VALUE).map(|(value, _)| *value));
                put_mixed(kinds, column, scratch, out);
            } else if unlimited_at_first.has(index) {
                bits.list(index, out);
                put_unlimited(out);
            } else if present_at_first.has(index) {
                bits.list(index, out);
                if self.changed.has(index) {
                    column.clear();
                    column.extend(values.iter().skip(index).step_by(*stride));
                    let kind = table.metrics().get(index).map_or(Kind::Gauge, |metric| metric.kind);
                    put_values(column, kind, scratch, out);
                } else {
                    match values.get(index).copied().unwrap_or(0) {
                        0 => bits.zero(index, out),
                        value => put_constant(value, out),
                    }
                }
            }
        }
    }
}

/// Marks the columns that differ. Most groups of eight do not, and comparing those is one vector instruction.
fn note_changes(changed: &mut Presence, old: &[u64], new: &[u64]) {
    for (group, (old, new)) in old.chunks(8).zip(new.chunks(8)).enumerate() {
        if old != new {
            let mask = new.iter().zip(old).rev().fold(0u64, |mask, (new, old)| mask << 1 | u64::from(new != old));
            if let Some(word) = changed.0.get_mut(group / 8) {
                *word |= mask << (group % 8 * 8);
            }
        }
    }
}

/// The two bitmaps, whose bits are set while the parts are written behind them.
pub(super) struct Bitmaps {
    at: usize,
    bytes: usize,
}

impl Bitmaps {
    pub fn reserve(stride: usize, out: &mut Vec<u8>) -> Self {
        let (at, bytes) = (out.len(), stride.div_ceil(8));
        out.resize(at + 2 * bytes, 0);
        Self { at, bytes }
    }

    pub fn list(&self, column: usize, out: &mut [u8]) {
        if let Some(byte) = out.get_mut(self.at + column / 8) {
            *byte |= 1 << (column % 8);
        }
    }

    pub fn zero(&mut self, column: usize, out: &mut [u8]) {
        if let Some(byte) = out.get_mut(self.at + self.bytes + column / 8) {
            *byte |= 1 << (column % 8);
        }
    }
}

/// Which points have a row: a byte 1 when all have, else 0, the number of runs, and their lengths, the first one without.
pub(super) fn put_row_map(rows: &[usize], points: usize, out: &mut Vec<u8>) {
    if rows.len() == points {
        out.push(1);
        return;
    }
    out.push(0);
    let mut runs: Vec<u64> = vec![0];
    let (mut next, mut inside) = (0, false);
    for row in rows {
        if *row != next || !inside {
            if inside {
                runs.push(0);
            }
            if let Some(gap) = runs.last_mut() {
                *gap = (*row - next) as u64;
            }
            runs.push(0);
            inside = true;
        }
        if let Some(length) = runs.last_mut() {
            *length += 1;
        }
        next = row + 1;
    }
    put_varint(out, runs.len() as u64);
    runs.iter().for_each(|run| put_varint(out, *run));
}

/// The first and the last offset, then all of them.
pub(super) fn put_offsets(offsets: &[u64], scratch: &mut Scratch, out: &mut Vec<u8>) {
    put_varint(out, offsets.first().copied().unwrap_or(0));
    put_varint(out, offsets.last().copied().unwrap_or(0));
    put_list_for(offsets, Aim::Fast, scratch, out);
}

/// A list of integers: 0 and the value when all are equal, else the length of its column's bytes, and those.
pub(super) fn put_list(values: &[u64], scratch: &mut Scratch, out: &mut Vec<u8>) {
    put_list_for(values, Aim::Short, scratch, out);
}

/// The same with an aim.
pub(super) fn put_list_for(values: &[u64], aim: Aim, scratch: &mut Scratch, out: &mut Vec<u8>) {
    let first = values.first().copied().unwrap_or(0);
    if values.iter().all(|value| *value == first) {
        put_varint(out, 0);
        put_varint(out, first);
    } else {
        put_sized(out, |out| column::encode(values, aim, scratch, out));
    }
}

/// Writes the length of what `write` appends in front of it.
fn put_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => {
            if let Some(byte) = out.get_mut(at) {
                *byte = short;
            }
        }
        _ => {
            // The length takes more than one byte: what was written moves up.
            let mut more = [0; VARINT_BYTES];
            let mut left = length as u64;
            let mut bytes = 0;
            for byte in &mut more {
                *byte = left.to_le_bytes()[0] & 0x7f | if left >= 0x80 { 0x80 } else { 0 };
                left >>= 7;
                bytes += 1;
                if left == 0 {
                    break;
                }
            }
            out.splice(at..=at, more.into_iter().take(bytes));
        }
    }
}

/// The same value all through.
pub(super) fn put_constant(value: u64, out: &mut Vec<u8>) {
    out.push(TAG_CONSTANT);
    put_varint(out, value);
}

/// A limit that is not set all through.
pub(super) fn put_unlimited(out: &mut Vec<u8>) {
    out.push(TAG_UNLIMITED);
}

/// The byte of a cell's kind in [`put_mixed`].
pub(super) fn kind_byte(cell: Cell) -> u8 {
    match cell {
        Cell::Absent => KIND_ABSENT,
        Cell::Unlimited => KIND_UNLIMITED,
        Cell::Value(_) => KIND_VALUE,
    }
}

/// Values of which not all are equal.
pub(super) fn put_values(values: &[u64], kind: Kind, scratch: &mut Scratch, out: &mut Vec<u8>) {
    let first = values.first().copied().unwrap_or(0);
    let last = values.last().copied().unwrap_or(0);
    if kind == Kind::Counter {
        if values.is_sorted() {
            out.push(TAG_COUNTER);
            put_varint(out, last - first);
        } else {
            out.push(TAG_PLAIN);
        }
        put_sized(out, |out| column::encode(values, Aim::Ordered, scratch, out));
        return;
    }
    let least = values.iter().min().copied().unwrap_or(0);
    let largest = values.iter().max().copied().unwrap_or(0);
    let sum: u128 = values.iter().map(|value| u128::from(value - least)).sum();
    let Ok(sum) = u64::try_from(sum) else {
        out.push(TAG_PLAIN);
        put_sized(out, |out| column::encode(values, Aim::Short, scratch, out));
        return;
    };
    let any = values.iter().fold(0, |any, value| any | (value - least));
    let shift = any.trailing_zeros() & 63;
    out.push(TAG_GAUGE);
    out.push(shift.to_le_bytes()[0]);
    for part in [first - least, last - least, largest - least, sum] {
        put_varint(out, part >> shift);
    }
    put_sized(out, |out| column::encode(values, Aim::Short, scratch, out));
}

/// Cells of different kinds; `values` has those that are numbers.
pub(super) fn put_mixed(kinds: &[u8], values: &[u64], scratch: &mut Scratch, out: &mut Vec<u8>) {
    out.push(TAG_MIXED);
    put_sized(out, |out| {
        let runs = kinds.chunk_by(|a, b| a == b);
        put_varint(out, runs.clone().count() as u64);
        for run in runs {
            out.push(run.first().copied().unwrap_or(KIND_ABSENT));
            put_varint(out, run.len() as u64);
        }
        put_list(values, scratch, out);
    });
}

/// A gauge's buckets.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    pub last: Vec<u64>,
    pub least: Vec<u64>,
    pub largest: Vec<u64>,
    /// Sum of the numbers above the least one of their bucket.
    pub above: Vec<u64>,
}

/// Buckets of a gauge of which not all values are equal.
pub(super) fn put_buckets(buckets: &mut Buckets, scratch: &mut Scratch, out: &mut Vec<u8>) {
    out.push(TAG_BUCKETS);
    put_sized(out, |out| {
        let Buckets { last, least, largest, above } = buckets;
        // As distances: they are small, and often all zero.
        largest.iter_mut().zip(&*least).for_each(|(largest, least)| *largest -= least);
        put_list(last, scratch, out);
        least.iter_mut().zip(&*last).for_each(|(least, last)| *least = last - *least);
        put_list(least, scratch, out);
        put_list(largest, scratch, out);
        put_list(above, scratch, out);
    });
}

/// Buckets of a counter that fell.
pub(super) fn put_resets(first: u64, last: &[u64], increases: &[u64], scratch: &mut Scratch, out: &mut Vec<u8>) {
    out.push(TAG_RESETS);
    put_sized(out, |out| {
        put_varint(out, first);
        put_list(last, scratch, out);
        put_list(increases, scratch, out);
    });
}
