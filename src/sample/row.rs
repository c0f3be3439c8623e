//! Rows and row sets: the shape in which a sample's integers travel from the tick to the ring and the views.
//!
//! A row belongs to one subject (a cgroup, a device of a cgroup, an interface, …) and has one cell per column of its
//! table in the [`catalogue`](super::catalogue). Shape of a [`RowSet`]: `rows × stride` values, row-major.

use crate::units::{Limit, MonotonicNanos};

/// Most columns that a table may have; [`Presence`] holds one bit for each.
pub const MAX_COLUMNS: usize = 192;

/// One bit per column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Presence(pub [u64; 3]);

impl Presence {
    /// No column.
    pub const NONE: Self = Self([0; 3]);

    /// Whether `column`'s bit is set.
    #[must_use]
    #[inline]
    pub fn has(&self, column: usize) -> bool {
        self.0.get(column / 64).is_some_and(|word| word >> (column % 64) & 1 == 1)
    }

    /// Sets or clears `column`'s bit.
    #[inline]
    pub fn put(&mut self, column: usize, on: bool) {
        if let Some(word) = self.0.get_mut(column / 64) {
            let bit = 1u64 << (column % 64);
            if on {
                *word |= bit;
            } else {
                *word &= !bit;
            }
        }
    }
}

/// What one cell says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// The kernel did not offer it.
    Absent,
    /// A limit that is not set.
    Unlimited,
    /// The kernel's integer, in the column's unit.
    Value(u64),
}

impl Cell {
    /// The number, if there is one.
    #[must_use]
    pub const fn value(self) -> Option<u64> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Unlimited => None,
        }
    }
}

/// A table's column: an enum whose discriminant is the position in the row.
pub trait Column: Copy {
    /// Position in the row.
    fn index(self) -> usize;
}

/// One subject's cells, owned; what a reader fills in and keeps between ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    values: Box<[u64]>,
    present: Presence,
    unlimited: Presence,
    /// Whether a value or a limit was written since [`Row::take_written`].
    written: bool,
    /// When the subject's files were read.
    pub read_at: MonotonicNanos,
}

impl Row {
    /// An empty row for a table of `columns` columns.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self {
            values: vec![0; columns].into_boxed_slice(),
            present: Presence::NONE,
            unlimited: Presence::NONE,
            written: false,
            read_at: MonotonicNanos(0),
        }
    }

    /// Becomes a copy of `other`, a row of the same table, without allocating.
    pub fn copy_from(&mut self, other: &Self) {
        for (to, from) in self.values.iter_mut().zip(&other.values) {
            *to = *from;
        }
        self.present = other.present;
        self.unlimited = other.unlimited;
        self.read_at = other.read_at;
    }

    /// Makes every cell absent.
    pub fn clear(&mut self) {
        self.values.fill(0);
        self.present = Presence::NONE;
        self.unlimited = Presence::NONE;
    }

    /// Writes a cell; `None` makes it absent.
    #[inline]
    pub fn put(&mut self, column: impl Column, value: Option<u64>) {
        let index = column.index();
        if let Some(cell) = self.values.get_mut(index) {
            *cell = value.unwrap_or(0);
            self.present.put(index, value.is_some());
            self.unlimited.put(index, false);
            self.written |= value.is_some();
        }
    }

    /// Writes a limit; unlimited is kept apart from absent.
    #[inline]
    pub fn put_limit(&mut self, column: impl Column, limit: Option<Limit>) {
        let index = column.index();
        self.put(column, limit.and_then(Limit::at));
        self.unlimited.put(index, limit == Some(Limit::Unlimited));
        self.written |= limit.is_some();
    }

    /// A copy of a borrowed row.
    #[must_use]
    pub fn of(row: RowRef<'_>) -> Self {
        let RowRef { values, present, unlimited, read_at } = row;
        Self { values: values.into(), present: *present, unlimited: *unlimited, written: false, read_at }
    }

    /// Writes a cell of any kind.
    pub fn put_cell(&mut self, column: impl Column, cell: Cell) {
        self.put(column, cell.value());
        self.unlimited.put(column.index(), cell == Cell::Unlimited);
    }

    /// Whether anything but absence was written since the last call: a file that gave nothing was not understood.
    pub fn take_written(&mut self) -> bool {
        std::mem::take(&mut self.written)
    }

    /// Reads a cell.
    #[must_use]
    pub fn cell(&self, column: impl Column) -> Cell {
        self.as_ref().cell(column)
    }

    /// Reads a cell's number.
    #[must_use]
    pub fn value(&self, column: impl Column) -> Option<u64> {
        self.cell(column).value()
    }

    /// A borrowed view.
    #[must_use]
    pub fn as_ref(&self) -> RowRef<'_> {
        RowRef { values: &self.values, present: &self.present, unlimited: &self.unlimited, read_at: self.read_at }
    }
}

/// One subject's cells, borrowed from a [`Row`], a [`RowSet`] or the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// Column values; meaningless where not `present`.
    pub values: &'a [u64],
    /// Which columns hold a number.
    pub present: &'a Presence,
    /// Which columns are a limit that is not set.
    pub unlimited: &'a Presence,
    /// When the subject's files were read.
    pub read_at: MonotonicNanos,
}

impl RowRef<'_> {
    /// Reads a cell.
    #[must_use]
    #[inline]
    pub fn cell(&self, column: impl Column) -> Cell {
        self.cell_at(column.index())
    }

    /// Reads a cell by position.
    #[must_use]
    #[inline]
    pub fn cell_at(&self, index: usize) -> Cell {
        match self.values.get(index) {
            Some(value) if self.present.has(index) => Cell::Value(*value),
            _ if self.unlimited.has(index) => Cell::Unlimited,
            _ => Cell::Absent,
        }
    }

    /// Reads a cell's number.
    #[must_use]
    #[inline]
    pub fn value(&self, column: impl Column) -> Option<u64> {
        self.cell(column).value()
    }
}

/// All rows of one table at one tick. Refilled in place every tick; it grows only when there are more subjects.
#[derive(Debug, Clone, Default)]
pub struct RowSet {
    stride: usize,
    values: Vec<u64>,
    present: Vec<Presence>,
    unlimited: Vec<Presence>,
    read_at: Vec<MonotonicNanos>,
}

impl RowSet {
    /// An empty set for a table of `stride` columns.
    #[must_use]
    pub fn new(stride: usize) -> Self {
        Self { stride, ..Self::default() }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Columns per row.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.values.clear();
        self.present.clear();
        self.unlimited.clear();
        self.read_at.clear();
    }

    /// Appends a copy of `row`. Rows of another stride are padded with absent cells or cut.
    pub fn push(&mut self, row: RowRef<'_>) {
        let wanted = self.values.len() + self.stride;
        self.values.extend(row.values.iter().take(self.stride));
        self.values.resize(wanted, 0);
        self.present.push(*row.present);
        self.unlimited.push(*row.unlimited);
        self.read_at.push(row.read_at);
    }

    /// The row at `index`.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<RowRef<'_>> {
        let start = index.checked_mul(self.stride)?;
        Some(RowRef {
            values: self.values.get(start..start.checked_add(self.stride)?)?,
            present: self.present.get(index)?,
            unlimited: self.unlimited.get(index)?,
            read_at: *self.read_at.get(index)?,
        })
    }

    /// All rows, in the roster's order.
    pub fn iter(&self) -> impl Iterator<Item = RowRef<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct At(usize);
    impl Column for At {
        fn index(self) -> usize {
            self.0
        }
    }

    #[test]
    fn absent_unlimited_and_zero_are_three_different_cells() {
        let mut row = Row::new(4);
        row.put(At(0), Some(0));
        row.put_limit(At(1), Some(Limit::Unlimited));
        row.put_limit(At(2), Some(Limit::At(7)));
        assert_eq!(row.cell(At(0)), Cell::Value(0));
        assert_eq!(row.cell(At(1)), Cell::Unlimited);
        assert_eq!(row.cell(At(2)), Cell::Value(7));
        assert_eq!(row.cell(At(3)), Cell::Absent);
        assert_eq!(row.cell(At(99)), Cell::Absent);
    }

    #[test]
    fn a_limit_that_is_lifted_and_set_again_leaves_no_trace() {
        let mut row = Row::new(1);
        row.put_limit(At(0), Some(Limit::Unlimited));
        row.put_limit(At(0), Some(Limit::At(5)));
        assert_eq!(row.cell(At(0)), Cell::Value(5));
        row.put(At(0), None);
        assert_eq!(row.cell(At(0)), Cell::Absent);
    }

    #[test]
    fn a_row_set_gives_back_what_was_pushed() {
        let mut set = RowSet::new(3);
        let mut row = Row::new(3);
        row.put(At(2), Some(9));
        row.read_at = MonotonicNanos(17);
        set.push(row.as_ref());
        row.put(At(2), Some(10));
        set.push(row.as_ref());
        assert_eq!(set.len(), 2);
        assert_eq!(set.get(0).and_then(|r| r.value(At(2))), Some(9));
        assert_eq!(set.get(1).and_then(|r| r.value(At(2))), Some(10));
        assert_eq!(set.get(0).map(|r| r.read_at), Some(MonotonicNanos(17)));
        assert!(set.get(2).is_none());
    }
}
