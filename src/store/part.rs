//! Chunks, read: a column without the others, an increase or a mean without decoding, or all cells.
//!
//! In: the bytes of a [chunk](super::chunk), which has the layout. Out: its [`Part`]s and [`Cells`]. Damaged bytes give
//! `None` and never a panic. Next: [`walk`](super::walk).

use super::chunk::{
    Buckets, KIND_ABSENT, KIND_UNLIMITED, KIND_VALUE, TAG_BUCKETS, TAG_CONSTANT, TAG_COUNTER, TAG_GAUGE, TAG_MIXED,
    TAG_PLAIN, TAG_RESETS, TAG_UNLIMITED,
};
use super::column::{self, Base};
use super::wire::{Cursor, unzigzag};
use crate::sample::catalogue::Table;
use crate::sample::row::Cell;

/// Reads a list as long as `values`. `None` when it is damaged.
pub(super) fn take_list(cursor: &mut Cursor<'_>, values: &mut [u64]) -> Option<()> {
    List::open(cursor)?.fill(values)
}

/// Which points of the segment have a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowMap<'a> {
    /// All.
    Every(usize),
    /// Runs without and with rows in turn, as varints.
    Runs(&'a [u8]),
}

impl RowMap<'_> {
    /// The points that have a row, ascending.
    pub fn points(self) -> impl Iterator<Item = usize> {
        let (mut cursor, mut next, mut left) = match self {
            Self::Every(points) => (Cursor(&[]), 0, points),
            Self::Runs(bytes) => (Cursor(bytes), 0, 0),
        };
        std::iter::from_fn(move || {
            while left == 0 {
                next += cursor.size()?;
                left = cursor.size()?;
            }
            left -= 1;
            next += 1;
            Some(next - 1)
        })
    }
}

/// What a chunk says about one column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    /// No cell.
    Absent,
    /// The same value all through.
    Constant(u64),
    /// A limit that is not set all through.
    Unlimited,
    /// A counter that does not fall: first value, growth, and all values.
    Counter { first: u64, growth: u64, values: &'a [u8] },
    /// A gauge or limit.
    Gauge { summary: Summary, values: &'a [u8] },
    /// Values.
    Plain(&'a [u8]),
    /// Cells of several kinds.
    Mixed(&'a [u8]),
    /// Buckets of a counter that fell.
    Resets(&'a [u8]),
    /// Buckets of a gauge.
    Buckets(&'a [u8]),
}

/// A gauge's values in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    pub first: u64,
    pub last: u64,
    pub least: u64,
    pub largest: u64,
    /// Sum of the distances from the least.
    pub above: u64,
}

/// A chunk, opened for reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub table: Table,
    pub rows: usize,
    pub map: RowMap<'a>,
    pub first_offset_usec: i64,
    pub last_offset_usec: i64,
    offsets: List<'a>,
    weights: List<'a>,
    listed: &'a [u8],
    zero: &'a [u8],
    parts: Cursor<'a>,
}

#[derive(Debug, Clone, Copy)]
enum List<'a> {
    Same(u64),
    Coded(&'a [u8]),
}

impl<'a> List<'a> {
    fn open(cursor: &mut Cursor<'a>) -> Option<Self> {
        match cursor.size()? {
            0 => cursor.varint().map(Self::Same),
            length => cursor.take(length).map(Self::Coded),
        }
    }

    fn fill(self, values: &mut [u64]) -> Option<()> {
        match self {
            Self::Same(value) => {
                values.fill(value);
                Some(())
            }
            Self::Coded(bytes) => column::decode(bytes, values),
        }
    }
}

impl<'a> Chunk<'a> {
    /// Opens a chunk of a segment with `points` points, which are buckets if `buckets`. `None` when it is damaged.
    pub fn open(bytes: &'a [u8], points: usize, buckets: bool) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let table = *Table::ALL.get(usize::from(cursor.byte()?))?;
        let (map, rows) = if cursor.byte()? == 1 {
            (RowMap::Every(points), points)
        } else {
            let runs = cursor.size()?;
            let begin = cursor.0;
            let (mut rows, mut end) = (0usize, 0usize);
            for run in 0..runs {
                let length = cursor.size()?;
                end = end.checked_add(length)?;
                rows += if run % 2 == 1 { length } else { 0 };
            }
            if end > points {
                return None;
            }
            (RowMap::Runs(begin.get(..begin.len() - cursor.0.len())?), rows)
        };
        let (first_offset_usec, last_offset_usec) = (cursor.signed()?, cursor.signed()?);
        let offsets = List::open(&mut cursor)?;
        let weights = if buckets { List::open(&mut cursor)? } else { List::Same(1) };
        let bytes = table.metrics().len().div_ceil(8);
        let (listed, zero) = (cursor.take(bytes)?, cursor.take(bytes)?);
        (rows > 0).then_some(Self {
            table,
            rows,
            map,
            first_offset_usec,
            last_offset_usec,
            offsets,
            weights,
            listed,
            zero,
            parts: cursor,
        })
    }

    /// Offsets of the readings from their ticks in zigzag µs, one per row.
    pub fn offsets(&self, out: &mut Vec<u64>) -> Option<()> {
        out.clear();
        out.resize(self.rows, 0);
        self.offsets.fill(out)
    }

    /// Number of readings in each row's bucket.
    pub fn weights(&self, out: &mut Vec<u64>) -> Option<()> {
        out.clear();
        out.resize(self.rows, 0);
        self.weights.fill(out)
    }

    /// Calls `visit` with each listed column, ascending, until it says `false`. `None` when the chunk is damaged.
    pub fn parts(&self, mut visit: impl FnMut(usize, Part<'a>) -> bool) -> Option<()> {
        let mut cursor = self.parts;
        for (group, (listed, zero)) in self.listed.iter().zip(self.zero).enumerate() {
            let mut left = *listed;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                let part = if zero >> bit & 1 == 1 { Part::Constant(0) } else { open_part(&mut cursor)? };
                if !visit(group * 8 + bit as usize, part) {
                    return Some(());
                }
            }
        }
        Some(())
    }

    /// What it says about one column.
    pub fn part(&self, column: usize) -> Option<Part<'a>> {
        if self.listed.get(column / 8)? >> (column % 8) & 1 == 0 {
            return Some(Part::Absent);
        }
        let mut found = Part::Absent;
        self.parts(|index, part| {
            found = part;
            index < column
        })?;
        Some(found)
    }
}

fn open_part<'a>(cursor: &mut Cursor<'a>) -> Option<Part<'a>> {
    let sized = |cursor: &mut Cursor<'a>| {
        let length = cursor.size()?;
        cursor.take(length)
    };
    match cursor.byte()? {
        TAG_CONSTANT => cursor.varint().map(Part::Constant),
        TAG_UNLIMITED => Some(Part::Unlimited),
        TAG_COUNTER => {
            let growth = cursor.varint()?;
            let values = sized(cursor)?;
            let Base::First(first) = column::base(values)? else { return None };
            Some(Part::Counter { first, growth, values })
        }
        TAG_GAUGE => {
            let shift = u32::from(cursor.byte()?);
            let mut next = || cursor.varint()?.checked_shl(shift);
            let (first, last, largest, above) = (next()?, next()?, next()?, next()?);
            let values = sized(cursor)?;
            let least = match column::base(values)? {
                Base::Least(least) => least,
                Base::First(value) => value.checked_sub(first)?,
            };
            let at = |distance: u64| least.checked_add(distance);
            let summary = Summary { first: at(first)?, last: at(last)?, least, largest: at(largest)?, above };
            Some(Part::Gauge { summary, values })
        }
        TAG_PLAIN => sized(cursor).map(Part::Plain),
        TAG_MIXED => sized(cursor).map(Part::Mixed),
        TAG_RESETS => sized(cursor).map(Part::Resets),
        TAG_BUCKETS => sized(cursor).map(Part::Buckets),
        _ => None,
    }
}

/// A column, decoded: a cell per row.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub values: Vec<u64>,
    /// Kinds per row; empty when all are as `kind`.
    kinds: Vec<u8>,
    kind: u8,
    numbers: Vec<u64>,
}

impl Cells {
    /// Decodes a part with `rows` rows; of buckets the last values. `None` when it is damaged.
    pub fn decode(&mut self, part: Part<'_>, rows: usize) -> Option<()> {
        self.values.clear();
        self.values.resize(rows, 0);
        self.kinds.clear();
        self.kind = KIND_VALUE;
        match part {
            Part::Absent => self.kind = KIND_ABSENT,
            Part::Unlimited => self.kind = KIND_UNLIMITED,
            Part::Constant(value) => self.values.fill(value),
            Part::Counter { values, .. } | Part::Gauge { values, .. } | Part::Plain(values) => {
                column::decode(values, &mut self.values)?;
            }
            Part::Buckets(bytes) => List::open(&mut Cursor(bytes))?.fill(&mut self.values)?,
            Part::Resets(bytes) => {
                let mut cursor = Cursor(bytes);
                cursor.varint()?;
                List::open(&mut cursor)?.fill(&mut self.values)?;
            }
            Part::Mixed(bytes) => {
                let mut cursor = Cursor(bytes);
                for _ in 0..cursor.size()? {
                    let kind = cursor.byte()?;
                    let end = self.kinds.len().checked_add(cursor.size()?).filter(|end| *end <= rows)?;
                    self.kinds.resize(end, kind);
                }
                let numbers = self.kinds.iter().filter(|kind| **kind == KIND_VALUE).count();
                self.numbers.clear();
                self.numbers.resize(numbers, 0);
                List::open(&mut cursor)?.fill(&mut self.numbers)?;
                let places = self.values.iter_mut().zip(&self.kinds).filter(|(_, kind)| **kind == KIND_VALUE);
                places.zip(&self.numbers).for_each(|((value, _), number)| *value = *number);
                if self.kinds.len() != rows {
                    return None;
                }
            }
        }
        Some(())
    }

    /// The cell of a row.
    #[inline]
    pub fn cell(&self, row: usize) -> Cell {
        match self.kinds.get(row).copied().unwrap_or(self.kind) {
            KIND_VALUE => self.values.get(row).map_or(Cell::Absent, |value| Cell::Value(*value)),
            KIND_UNLIMITED => Cell::Unlimited,
            _ => Cell::Absent,
        }
    }

    /// All cells, when all are numbers.
    #[inline]
    pub fn numbers(&self) -> Option<&[u64]> {
        self.all_numbers().then_some(self.values.as_slice())
    }

    /// Whether all cells are numbers.
    pub fn all_numbers(&self) -> bool {
        self.kinds.is_empty() && self.kind == KIND_VALUE
    }
}

/// A gauge's buckets, decoded.
pub(super) fn decode_buckets(bytes: &[u8], rows: usize, buckets: &mut Buckets) -> Option<()> {
    let mut cursor = Cursor(bytes);
    let Buckets { last, least, largest, above } = buckets;
    for list in [&mut *last, &mut *least, &mut *largest, &mut *above] {
        list.clear();
        list.resize(rows, 0);
        List::open(&mut cursor)?.fill(list)?;
    }
    least.iter_mut().zip(&*last).for_each(|(least, last)| *least = last.wrapping_sub(*least));
    largest.iter_mut().zip(&*least).for_each(|(largest, least)| *largest = least.wrapping_add(*largest));
    Some(())
}

/// The first value and the increases of a counter's buckets in which it fell.
pub(super) fn decode_resets(bytes: &[u8], rows: usize, last: &mut Vec<u64>, increases: &mut Vec<u64>) -> Option<u64> {
    let mut cursor = Cursor(bytes);
    let first = cursor.varint()?;
    for list in [last, increases] {
        list.clear();
        list.resize(rows, 0);
        List::open(&mut cursor)?.fill(list)?;
    }
    Some(first)
}

/// An offset in µs as it was before [`zigzag`].
#[inline]
pub(super) fn offset_usec(coded: u64) -> i64 {
    unzigzag(coded)
}
