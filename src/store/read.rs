//! Reading one subject over time: whole rows, or one column.
//!
//! In: a subject, columns, a range of the wall clock. Out: rows and points in the order in which they were read, from
//! whichever tier has them. Of a bucket it is the last reading. Next: `view/`.

use super::chunk::Stage;
use super::head::{Head, read_at};
use super::part::{Cells, Part, offset_usec};
use super::segment::Times;
use super::tier::{Tier, TierUse};
use super::walk::{Span, View, Visitor, walk};
use super::{Store, StoreError};
use crate::sample::SubjectId;
use crate::sample::row::{Cell, MAX_COLUMNS, Presence, RowRef};
use crate::units::{MonotonicNanos, UnixNanos};

/// One point of a column's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Wall clock of the tick.
    pub wall: UnixNanos,
    /// When the subject's files were read.
    pub read_at: MonotonicNanos,
    /// What was read.
    pub cell: Cell,
}

/// One subject at one tick, or at the last tick of one bucket.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// How finely this part of the history is kept.
    pub tier: Tier,
    /// Wall clock of the tick.
    pub wall: UnixNanos,
    /// The subject's cells. Columns that were not asked for are absent.
    pub row: RowRef<'a>,
}

impl Store {
    /// Visits the rows of one subject between two wall-clock instants, both included, in the order in which they were
    /// read. `columns` are the columns that are decoded; `None` for all.
    ///
    /// # Errors
    /// [`StoreError::UnknownSubject`] when nothing of the subject is kept.
    pub fn rows(
        &self,
        subject: SubjectId,
        columns: Option<&[usize]>,
        start: UnixNanos,
        end: UnixNanos,
        visit: impl FnMut(Observed<'_>),
    ) -> Result<Vec<TierUse>, StoreError> {
        let span = self.span(subject, start, end)?;
        let mut rows = Rows {
            span,
            columns,
            visit,
            uses: Vec::new(),
            times: Times::default(),
            offsets: Vec::new(),
            varying: Vec::new(),
            free: Vec::new(),
            stage: Stage::default(),
            walls: Vec::new(),
        };
        walk(&self.shared, &span, &mut rows);
        rows.finish();
        Ok(rows.uses)
    }

    /// The points of one column between two wall-clock instants, both included, oldest first.
    ///
    /// # Errors
    /// [`StoreError::UnknownSubject`] when nothing of the subject is kept.
    pub fn history(
        &self,
        subject: SubjectId,
        column: usize,
        start: UnixNanos,
        end: UnixNanos,
    ) -> Result<Vec<Point>, StoreError> {
        let span = self.span(subject, start, end)?;
        let points = Vec::with_capacity(super::walk::expected(&self.shared, &span));
        let mut column = Column { span, column, points, decoder: ColumnDecoder::default() };
        walk(&self.shared, &span, &mut column);
        Ok(column.points)
    }

    pub(super) fn span(&self, subject: SubjectId, start: UnixNanos, end: UnixNanos) -> Result<Span, StoreError> {
        let table = self.shared.ledger().table_of(subject).ok_or(StoreError::UnknownSubject)?;
        Ok(Span { subject, table, start, end })
    }
}

/// Decodes one column of a chunk with its instants. Its memory is reused.
#[derive(Debug, Default)]
pub(super) struct ColumnDecoder {
    pub times: Times,
    pub offsets: Vec<u64>,
    pub cells: Cells,
}

impl ColumnDecoder {
    /// Decodes times, offsets and one part. `None` when something is damaged.
    pub fn decode(&mut self, view: &View<'_>, part: Part<'_>) -> Option<()> {
        view.times(&mut self.times)?;
        view.chunk.offsets(&mut self.offsets)?;
        self.cells.decode(part, view.chunk.rows)
    }

    /// The rows that count: number, point, reading.
    pub fn rows<'a>(&'a self, view: &'a View<'_>) -> impl Iterator<Item = (usize, usize, Point)> + 'a {
        let whole = view.is_whole();
        let rows = view.chunk.map.points().zip(&self.offsets).enumerate();
        let counting = rows.filter(move |(_, (point, _))| whole || view.counts(&self.times, *point));
        counting.map(|(row, (point, offset))| {
            let read_at = self.times.read_at(point, offset_usec(*offset));
            (row, point, Point { wall: self.times.wall_of(point), read_at, cell: self.cells.cell(row) })
        })
    }
}

struct Column {
    span: Span,
    column: usize,
    points: Vec<Point>,
    decoder: ColumnDecoder,
}

impl Visitor for Column {
    fn chunk(&mut self, view: &View<'_>) {
        let Self { span, points, decoder, column } = self;
        let decoded = view.chunk.part(*column).and_then(|part| decoder.decode(view, part));
        if decoded.is_some() {
            points.extend(decoder.rows(view).map(|(_, _, point)| point).filter(|point| span.contains(point.wall)));
        }
    }

    fn head(&mut self, head: &Head, done: u64) {
        let Self { span, points, column, .. } = self;
        head.column(span.table, span.subject, *column, |info, read_at, cell| {
            if info.serial > done && span.contains(info.wall) {
                points.push(Point { wall: info.wall, read_at, cell });
            }
        });
    }
}

struct Rows<'c, V> {
    span: Span,
    columns: Option<&'c [usize]>,
    visit: V,
    uses: Vec<TierUse>,
    times: Times,
    offsets: Vec<u64>,
    /// Columns of the chunk that vary, decoded.
    varying: Vec<(usize, Cells)>,
    free: Vec<Cells>,
    /// Rows of the heads, visited when no lock is held.
    stage: Stage,
    walls: Vec<(UnixNanos, MonotonicNanos)>,
}

impl<V: FnMut(Observed<'_>)> Rows<'_, V> {
    fn finish(&mut self) {
        for (index, (wall, read_at)) in self.walls.iter().enumerate() {
            let Some((values, present, unlimited)) = self.stage.row(index) else { continue };
            let (mut some, mut limits) = (*present, *unlimited);
            if let Some(columns) = self.columns {
                let mut asked = Presence::NONE;
                columns.iter().for_each(|column| asked.put(*column, true));
                let keep =
                    |words: &mut Presence| words.0.iter_mut().zip(asked.0).for_each(|(word, mask)| *word &= mask);
                keep(&mut some);
                keep(&mut limits);
            }
            TierUse::note(&mut self.uses, Tier::Tick, *wall);
            let row = RowRef { values, present: &some, unlimited: &limits, read_at: *read_at };
            (self.visit)(Observed { tier: Tier::Tick, wall: *wall, row });
        }
    }

    fn decode(&mut self, view: &View<'_>) -> Option<()> {
        view.times(&mut self.times)?;
        view.chunk.offsets(&mut self.offsets)?;
        let mut values = [0u64; MAX_COLUMNS];
        let (mut present, mut unlimited) = (Presence::NONE, Presence::NONE);
        self.free.extend(self.varying.drain(..).map(|(_, cells)| cells));
        let (asked, varying, free) = (self.columns, &mut self.varying, &mut self.free);
        let mut whole = true;
        view.chunk.parts(|column, part| {
            if asked.is_some_and(|asked| !asked.contains(&column)) {
                return true;
            }
            match part {
                Part::Absent => {}
                Part::Unlimited => unlimited.put(column, true),
                Part::Constant(value) => {
                    present.put(column, true);
                    if let Some(cell) = values.get_mut(column) {
                        *cell = value;
                    }
                }
                other => {
                    let mut cells = free.pop().unwrap_or_default();
                    whole &= cells.decode(other, view.chunk.rows).is_some();
                    present.put(column, true);
                    varying.push((column, cells));
                }
            }
            whole
        })?;
        if !whole {
            return None;
        }
        let stride = view.chunk.table.metrics().len();
        let whole = view.is_whole();
        let (mut first_wall, mut last_wall) = (None, UnixNanos(0));
        for (row, (point, offset)) in view.chunk.map.points().zip(&self.offsets).enumerate() {
            let wall = self.times.wall_of(point);
            if !self.span.contains(wall) || !whole && !view.counts(&self.times, point) {
                continue;
            }
            for (column, cells) in &self.varying {
                let Some(value) = values.get_mut(*column) else { continue };
                if let Some(numbers) = cells.numbers() {
                    *value = numbers.get(row).copied().unwrap_or(0);
                } else {
                    let cell = cells.cell(row);
                    *value = cell.value().unwrap_or(0);
                    present.put(*column, cell.value().is_some());
                    unlimited.put(*column, cell == Cell::Unlimited);
                }
            }
            let read_at = self.times.read_at(point, offset_usec(*offset));
            first_wall = first_wall.or(Some(wall));
            last_wall = wall;
            let values = values.get(..stride).unwrap_or_default();
            let row = RowRef { values, present: &present, unlimited: &unlimited, read_at };
            (self.visit)(Observed { tier: view.info.tier, wall, row });
        }
        if let Some(first_wall) = first_wall {
            TierUse::note(&mut self.uses, view.info.tier, first_wall);
            TierUse::note(&mut self.uses, view.info.tier, last_wall);
        }
        Some(())
    }
}

impl<V: FnMut(Observed<'_>)> Visitor for Rows<'_, V> {
    fn chunk(&mut self, view: &View<'_>) {
        let _damaged = self.decode(view).is_none();
    }

    fn head(&mut self, head: &Head, done: u64) {
        let Self { span, stage, walls, .. } = self;
        if walls.is_empty() {
            stage.begin(span.table.metrics().len());
        }
        head.stage(span.table, span.subject, |number, offset_usec, row| {
            let Some(info) = head.frames.get(number) else { return };
            if info.serial > done && span.contains(info.wall) {
                stage.push(walls.len(), offset_usec, row);
                walls.push((info.wall, read_at(info, offset_usec)));
            }
        });
    }
}
