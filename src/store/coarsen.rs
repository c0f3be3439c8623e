//! Coarser history: ticks become buckets of ten seconds, and those buckets of a minute.
//!
//! In: the oldest segments of a tier. Out: one segment of the next tier with the same subjects. A counter's bucket is its
//! last value, from which the increase follows exactly; where the counter fell inside the run, the increases stand beside.
//! A gauge's bucket is its last, least and largest value and the sum. Next: [`segment`](super::segment).

use super::chunk::{
    Bitmaps, Buckets, put_buckets, put_constant, put_list, put_mixed, put_offsets, put_resets, put_row_map,
    put_unlimited, put_values,
};
use super::column::Scratch;
use super::part::{Cells, Chunk, Part, decode_buckets, decode_resets, offset_usec};
use super::segment::{Segment, SegmentBuilder, Times};
use super::tier::Tier;
use crate::sample::SubjectId;
use crate::sample::catalogue::Kind;
use crate::sample::row::Cell;
use crate::units::MonotonicNanos;

/// One segment that goes into the run.
struct Source<'a> {
    segment: Segment<'a>,
    damaged: &'a [usize],
    times: Times,
    /// The bucket of each point.
    buckets: Vec<usize>,
}

/// One subject's chunk in one source.
struct Piece<'a> {
    chunk: Chunk<'a>,
    parts: Vec<(usize, Part<'a>)>,
    /// The subject's own bucket of each row.
    buckets: Vec<usize>,
    weights: Vec<u64>,
}

/// One column's buckets while they are gathered.
#[derive(Debug, Default)]
struct Gathered {
    buckets: Buckets,
    increases: Vec<u64>,
    /// Sum and number of a gauge's readings.
    sums: Vec<(u128, u64)>,
    kinds: Vec<Cell>,
    values: Vec<u64>,
    kind_bytes: Vec<u8>,
    cells: Cells,
    wide: Buckets,
    resets: Vec<u64>,
}

/// Makes coarser segments. Its memory is reused.
#[derive(Debug, Default)]
pub(super) struct Coarsener {
    gathered: Gathered,
    scratch: Scratch,
    offsets: Vec<u64>,
}

impl Coarsener {
    /// Fills `builder` with the buckets of `tier` of these segments, oldest first, and gives the number of cells. Damaged
    /// chunks are left out.
    pub fn run<'a>(
        &mut self,
        segments: impl Iterator<Item = (Segment<'a>, &'a [usize])>,
        tier: Tier,
        builder: &mut SegmentBuilder,
    ) -> u64 {
        builder.clear();
        let bucket_nanos = tier.bucket_nanos().unwrap_or(1);
        let mut sources = Vec::new();
        let mut current = None;
        for (segment, damaged) in segments {
            let mut source = Source { segment, damaged, times: Times::default(), buckets: Vec::new() };
            if segment.times(&mut source.times).is_none() {
                continue;
            }
            for point in 0..segment.info.points {
                let wall = source.times.wall_of(point);
                let started_at = MonotonicNanos(source.times.started_at.get(point).copied().unwrap_or(0));
                let serial = source.times.serial.get(point).copied().unwrap_or(0);
                let bucket = wall.0 / bucket_nanos;
                if current == Some(bucket) {
                    builder.times.move_last(serial, wall, started_at);
                } else {
                    current = Some(bucket);
                    builder.times.push(serial, wall, started_at);
                }
                source.buckets.push(builder.times.wall.len() - 1);
            }
            sources.push(source);
        }
        let mut ids: Vec<SubjectId> = sources
            .iter()
            .flat_map(|source| (0..source.segment.len()).filter_map(|place| source.segment.chunk_at(place)))
            .map(|(id, _)| id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut cells = 0;
        for id in ids {
            cells += self.subject(&sources, id, builder).unwrap_or(0);
        }
        cells
    }

    fn subject(&mut self, sources: &[Source<'_>], id: SubjectId, builder: &mut SegmentBuilder) -> Option<u64> {
        let Self { gathered, scratch, offsets } = self;
        let mut points: Vec<usize> = Vec::new();
        let mut weights: Vec<u64> = Vec::new();
        let mut last_offsets: Vec<u64> = Vec::new();
        let mut pieces = Vec::new();
        for source in sources {
            let Some(place) = source.segment.place_of(id) else { continue };
            if source.damaged.binary_search(&place).is_ok() {
                continue;
            }
            let opened = source.segment.chunk_at(place).and_then(|(_, bytes)| source.segment.open_chunk(bytes));
            let Some(chunk) = opened else { continue };
            let mut piece = Piece { chunk, parts: Vec::new(), buckets: Vec::new(), weights: Vec::new() };
            if chunk.offsets(offsets).is_none() || chunk.weights(&mut piece.weights).is_none() {
                continue;
            }
            let parts = chunk.parts(|column, part| {
                piece.parts.push((column, part));
                true
            });
            if parts.is_none() {
                continue;
            }
            for ((point, offset), weight) in chunk.map.points().zip(offsets.iter()).zip(&piece.weights) {
                let bucket = *source.buckets.get(point)?;
                if points.last() != Some(&bucket) {
                    points.push(bucket);
                    weights.push(0);
                    last_offsets.push(0);
                }
                piece.buckets.push(points.len() - 1);
                *weights.last_mut()? += weight;
                // Against the bucket's last tick, which may be a later one than the row's.
                let read_at = source.times.read_at(point, offset_usec(*offset)).0;
                let started_at = *builder.times.started_at.get(bucket)?;
                *last_offsets.last_mut()? = super::wire::zigzag(read_at.wrapping_sub(started_at).cast_signed() / 1_000);
            }
            pieces.push(piece);
        }
        let table = pieces.first()?.chunk.table;
        pieces.retain(|piece| piece.chunk.table == table);
        let rows = points.len();
        let out = &mut builder.chunks;
        out.push(table as u8);
        put_row_map(&points, builder.times.wall.len(), out);
        put_offsets(&last_offsets, scratch, out);
        put_list(&weights, scratch, out);
        let mut bits = Bitmaps::reserve(table.metrics().len(), out);
        let mut listed = 0;
        for (column, metric) in table.metrics().iter().enumerate() {
            let found =
                |piece: &Piece<'_>| piece.parts.binary_search_by_key(&column, |(column, _)| *column).ok().is_some();
            if !pieces.iter().any(found) {
                continue;
            }
            listed += 1;
            bits.list(column, out);
            // Who came during the run had a first reading that no earlier bucket tells.
            let born = points.first() != Some(&0);
            let zero = gathered.column(&pieces, column, (metric.kind, born), &weights, scratch, out);
            if zero? {
                bits.zero(column, out);
            }
        }
        builder.end_chunk(id);
        Some(listed * rows as u64)
    }
}

impl Gathered {
    /// Writes one column's part, or says that it is 0 all through (`true`).
    fn column(
        &mut self,
        pieces: &[Piece<'_>],
        column: usize,
        (kind, born): (Kind, bool),
        weights: &[u64],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let rows = weights.len();
        for list in [&mut self.buckets.last, &mut self.buckets.largest, &mut self.buckets.above, &mut self.increases] {
            list.clear();
            list.resize(rows, 0);
        }
        self.buckets.least.clear();
        self.buckets.least.resize(rows, u64::MAX);
        self.sums.clear();
        self.sums.resize(rows, (0, 0));
        self.kinds.clear();
        self.kinds.resize(rows, Cell::Absent);
        let (mut first, mut before, mut fell, mut mixed) = (None, None, false, false);
        let grew = |first: Option<u64>, last: u64| born && first != Some(last);
        for piece in pieces {
            let part = piece.parts.binary_search_by_key(&column, |(column, _)| *column);
            let part = part.ok().and_then(|place| piece.parts.get(place)).map_or(Part::Absent, |(_, part)| *part);
            let length = piece.chunk.rows;
            self.cells.decode(part, length)?;
            mixed |= !self.cells.all_numbers();
            let wide = matches!(part, Part::Buckets(_));
            if let Part::Buckets(bytes) = part {
                decode_buckets(bytes, length, &mut self.wide)?;
            }
            let reset_first = match part {
                Part::Resets(bytes) => Some(decode_resets(bytes, length, &mut self.wide.last, &mut self.resets)?),
                _ => None,
            };
            fell |= reset_first.is_some();
            for (row, bucket) in piece.buckets.iter().copied().enumerate() {
                let cell = self.cells.cell(row);
                *self.kinds.get_mut(bucket)? = cell;
                let Some(value) = cell.value() else {
                    before = None;
                    continue;
                };
                let at = |list: &Vec<u64>| list.get(row).copied().unwrap_or(0);
                *self.buckets.last.get_mut(bucket)? = value;
                if kind == Kind::Counter {
                    let joined = before.and_then(|before| link(reset_first, row, value).checked_sub(before));
                    let step = match reset_first {
                        // Inside its run the increases are known; the first one is joined to what came before.
                        Some(_) => at(&self.resets).saturating_add(joined.filter(|_| row == 0).unwrap_or(0)),
                        None => {
                            fell |= before.is_some() && joined.is_none();
                            joined.unwrap_or(0)
                        }
                    };
                    let increase = self.increases.get_mut(bucket)?;
                    *increase = increase.saturating_add(step);
                    first = first.or(Some(link(reset_first, row, value)));
                } else {
                    let weight = piece.weights.get(row).copied().unwrap_or(1);
                    let (low, high, above) = match wide {
                        true => (at(&self.wide.least), at(&self.wide.largest), at(&self.wide.above)),
                        false => (value, value, 0),
                    };
                    let (least, largest) = (self.buckets.least.get_mut(bucket)?, self.buckets.largest.get_mut(bucket)?);
                    *least = low.min(*least);
                    *largest = high.max(*largest);
                    let (sum, count) = self.sums.get_mut(bucket)?;
                    *sum += u128::from(above) + u128::from(low) * u128::from(weight);
                    *count += weight;
                }
                before = Some(value);
            }
        }
        for (bucket, ((sum, count), weight)) in self.sums.iter().zip(weights).enumerate() {
            let least = *self.buckets.least.get(bucket)?;
            let above = sum.saturating_sub(u128::from(least) * u128::from(*count));
            // Readers divide by the bucket's readings. Where the column was absent at some of them, the sum is stretched,
            // so that the mean is that of the readings that there were.
            let above = (above * u128::from(*weight)).checked_div(u128::from(*count)).unwrap_or(0);
            *self.buckets.above.get_mut(bucket)? = u64::try_from(above).unwrap_or(u64::MAX);
        }
        fell |= kind == Kind::Counter && grew(first, self.buckets.last.first().copied().unwrap_or(0));
        self.write(kind, first.unwrap_or(0), (fell, mixed), scratch, out)
    }

    fn write(
        &mut self,
        kind: Kind,
        first: u64,
        (fell, mixed): (bool, bool),
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let Self { buckets, increases, kinds, values, kind_bytes, .. } = self;
        if mixed && kinds.iter().any(|cell| cell.value().is_none()) {
            if kinds.iter().all(|cell| *cell == Cell::Unlimited) {
                put_unlimited(out);
                return Some(false);
            }
            values.clear();
            values.extend(kinds.iter().filter_map(|cell| cell.value()));
            kind_bytes.clear();
            kind_bytes.extend(kinds.iter().map(|cell| super::chunk::kind_byte(*cell)));
            put_mixed(kind_bytes, values, scratch, out);
            return Some(false);
        }
        if kind == Kind::Counter && fell {
            put_resets(first, &buckets.last, increases, scratch, out);
            return Some(false);
        }
        let flat = kind == Kind::Counter || (buckets.least == buckets.last && buckets.largest == buckets.last);
        if !flat {
            put_buckets(buckets, scratch, out);
            return Some(false);
        }
        let last = &buckets.last;
        let value = *last.first()?;
        if last.iter().any(|other| *other != value) {
            put_values(last, kind, scratch, out);
        } else if value == 0 {
            return Some(true);
        } else {
            put_constant(value, out);
        }
        Some(false)
    }
}

/// What a row's increase begins at, seen from the row before it: in a run with falls the run's first value.
fn link(reset_first: Option<u64>, row: usize, value: u64) -> u64 {
    reset_first.filter(|_| row == 0).unwrap_or(value)
}
