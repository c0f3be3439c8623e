//! The newest cells of all entities of one kind on one node.
//!
//! In: cells by row and metric. Out: the same. Each metric has as many bytes in every row as its largest cell needs, so
//! that the many that are zero or small cost little: a cluster has millions of cells. Next: [`super::chain`].

use super::metric::Metric;

const METRICS: usize = Metric::ALL.len();

/// A cell is read with one load of eight bytes, also the last one.
const PADDING: usize = 7;

/// Rows of cells.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    widths: Widths,
    rows: usize,
    free: Vec<u16>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Widths {
    width: [u8; METRICS],
    start: [u16; METRICS],
    stride: usize,
}

impl Default for Widths {
    fn default() -> Self {
        Self { width: [0; METRICS], start: [0; METRICS], stride: 0 }
    }
}

impl Widths {
    fn widened(&self, metric: usize, width: u8) -> Self {
        let mut widths = self.clone();
        if let Some(old) = widths.width.get_mut(metric) {
            *old = width;
        }
        widths.stride = 0;
        for (start, width) in widths.start.iter_mut().zip(widths.width) {
            *start = u16::try_from(widths.stride).unwrap_or(u16::MAX);
            widths.stride += usize::from(width);
        }
        widths
    }

    #[inline]
    fn of(&self, metric: usize) -> (usize, usize) {
        let width = self.width.get(metric).copied().unwrap_or(0);
        (usize::from(self.start.get(metric).copied().unwrap_or(0)), usize::from(width))
    }
}

/// Bytes that a number needs.
#[inline]
fn width_of(cell: u64) -> u8 {
    8u8.saturating_sub(u8::try_from(cell.leading_zeros() / 8).unwrap_or(8))
}

impl Table {
    /// A row of absent cells.
    pub fn add_row(&mut self) -> u16 {
        if let Some(row) = self.free.pop() {
            return row;
        }
        let row = u16::try_from(self.rows).unwrap_or(u16::MAX);
        self.rows += 1;
        self.resize();
        row
    }

    /// Makes a row absent; it is given away again.
    pub fn free_row(&mut self, row: u16) {
        let start = usize::from(row) * self.widths.stride;
        if let Some(bytes) = self.bytes.get_mut(start..start + self.widths.stride) {
            bytes.fill(0);
            self.free.push(row);
        }
    }

    fn resize(&mut self) {
        let length = self.rows * self.widths.stride + PADDING;
        self.bytes.resize(length, 0);
    }

    /// One cell.
    #[inline]
    pub fn get(&self, row: u16, metric: usize) -> u64 {
        let (start, width) = self.widths.of(metric);
        let at = usize::from(row) * self.widths.stride + start;
        match self.bytes.get(at..).and_then(|bytes| bytes.first_chunk::<8>()) {
            Some(bytes) if width > 0 => u64::from_le_bytes(*bytes) & u64::MAX >> (64 - 8 * width),
            _ => 0,
        }
    }

    /// Changes one cell.
    #[cfg(test)]
    pub fn set(&mut self, row: u16, metric: usize, cell: u64) {
        let before = self.get(row, metric);
        self.add(row, metric, cell.wrapping_sub(before).cast_signed());
    }

    /// Adds a difference to one cell.
    #[inline]
    pub fn add(&mut self, row: u16, metric: usize, delta: i64) {
        if !self.add_in_place(row, metric, delta) {
            let cell = self.get(row, metric).wrapping_add_signed(delta);
            self.widen(metric, width_of(cell));
            self.add_in_place(row, metric, delta);
        }
    }

    /// `false` when the sum needs more bytes than there are.
    #[inline]
    fn add_in_place(&mut self, row: u16, metric: usize, delta: i64) -> bool {
        let (start, width) = self.widths.of(metric);
        let at = usize::from(row) * self.widths.stride + start;
        let place = self.bytes.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut::<8>());
        let Some(place) = place.filter(|_| width > 0) else { return delta == 0 };
        // The bytes behind the cell are others' and go back as they were.
        let own = u64::MAX >> (64 - 8 * width);
        let word = u64::from_le_bytes(*place);
        let cell = (word & own).wrapping_add_signed(delta);
        *place = (word & !own | cell & own).to_le_bytes();
        if cell & !own == 0 {
            return true;
        }
        *place = word.to_le_bytes();
        false
    }

    #[cold]
    fn widen(&mut self, metric: usize, width: u8) {
        let wide = self.widths.widened(metric, width);
        let mut bytes = vec![0; self.rows * wide.stride + PADDING];
        let (first, width) = wide.of(metric);
        let narrow = self.widths.of(metric).1;
        for row in 0..self.rows {
            let old = self.bytes.get(row * self.widths.stride..(row + 1) * self.widths.stride).unwrap_or_default();
            let (old_before, old_from) = old.split_at_checked(first).unwrap_or_default();
            let (old_cell, old_behind) = old_from.split_at_checked(narrow).unwrap_or_default();
            let new = bytes.get_mut(row * wide.stride..(row + 1) * wide.stride).unwrap_or_default();
            for (start, part) in [(0, old_before), (first, old_cell), (first + width, old_behind)] {
                if let Some(place) = new.get_mut(start..start + part.len()) {
                    place.copy_from_slice(part);
                }
            }
        }
        self.widths = wide;
        self.bytes = bytes;
    }

    /// A bit for each metric that any row has.
    pub fn present(&self) -> u64 {
        self.widths.width.iter().rev().fold(0, |bits, width| bits << 1 | u64::from(*width > 0))
    }

    /// Bytes that it keeps on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.free.capacity() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn cells_are_what_was_set_whatever_grew_beside_them(
            steps in proptest::collection::vec((0u16..6, 0..METRICS, any::<u64>(), 0u32..64, 0..20), 0..200)
        ) {
            let mut table = Table::default();
            let mut model: HashMap<(u16, usize), u64> = HashMap::new();
            for _ in 0..6 {
                table.add_row();
            }
            for (row, metric, cell, shift, freed) in steps {
                if freed == 0 {
                    table.free_row(row);
                    prop_assert_eq!(table.add_row(), row);
                    model.retain(|(of, _), _| *of != row);
                }
                table.set(row, metric, cell >> shift);
                model.insert((row, metric), cell >> shift);
                for row in 0..6 {
                    for metric in 0..METRICS {
                        prop_assert_eq!(table.get(row, metric), model.get(&(row, metric)).copied().unwrap_or(0));
                    }
                }
            }
        }
    }
}
