//! Walking through history: one subject's chunks and frames, oldest first, each tick once, from the finest tier that has it.
//!
//! In: a subject and a range of the wall clock. Out: calls of a [`Visitor`]. Locks are held only to find and copy the next
//! chunk, and for the few frames of the current head. Next: `read.rs`, `fold.rs`.

use super::Shared;
use super::arena::{Arenas, Extent};
use super::head::Head;
use super::part::Chunk;
use super::segment::{SegmentInfo, Times};
use super::tier::Tier;
use crate::sample::SubjectId;
use crate::sample::catalogue::Table;
use crate::units::UnixNanos;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub subject: SubjectId,
    pub table: Table,
    pub start: UnixNanos,
    pub end: UnixNanos,
}

impl Span {
    fn overlaps(&self, info: &SegmentInfo) -> bool {
        info.earliest <= self.end && info.latest >= self.start
    }

    pub fn contains(&self, wall: UnixNanos) -> bool {
        self.start <= wall && wall <= self.end
    }
}

/// A subject's chunk in one segment.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub info: &'a SegmentInfo,
    pub chunk: Chunk<'a>,
    times: &'a [u8],
    /// Points up to this serial have been seen.
    done: u64,
    /// From this serial on a finer tier has them.
    limit: u64,
}

impl View<'_> {
    /// Whether all its points count.
    pub fn is_whole(&self) -> bool {
        self.done < self.info.first && self.info.last < self.limit
    }

    pub fn times(&self, times: &mut Times) -> Option<()> {
        times.decode(self.info, self.times)
    }

    /// Whether a point counts.
    pub fn counts(&self, times: &Times, point: usize) -> bool {
        let last = times.serial.get(point).copied().unwrap_or(0);
        last > self.done && first_serial(self.info, times, point) < self.limit
    }
}

/// Serial of the first tick of a point.
fn first_serial(info: &SegmentInfo, times: &Times, point: usize) -> u64 {
    let before = point.checked_sub(1).and_then(|before| times.serial.get(before));
    before.map_or(info.first, |last| last + 1)
}

/// Who is told.
pub(super) trait Visitor {
    /// A chunk.
    fn chunk(&mut self, view: &View<'_>);
    /// The frames of a head with a serial after `done`. A lock may be held: nothing but this process's own code runs here.
    fn head(&mut self, head: &Head, done: u64);
}

/// About how many points a walk will find, so that room can be made at once.
pub(super) fn expected(shared: &Shared, span: &Span) -> usize {
    let heads = shared.heads();
    let arenas = shared.arenas();
    let extents = Tier::ALL.into_iter().flat_map(|tier| arenas.of(tier).extents());
    let segments: usize =
        extents.map(|extent| &extent.info).filter(|info| span.overlaps(info)).map(|info| info.points).sum();
    segments + heads.sealing.as_ref().map_or(0, |head| head.frames.len()) + heads.current.frames.len()
}

/// Walks.
pub(super) fn walk(shared: &Shared, span: &Span, visitor: &mut impl Visitor) {
    let (mut chunk_bytes, mut times_bytes) = (Vec::new(), Vec::new());
    let mut times = Times::default();
    let mut done = 0;
    loop {
        // Asked again for each segment: meanwhile some may have been sealed, made coarser or evicted. The heads' lock is
        // taken first, as when a head becomes a segment, so that none slips between the two.
        let heads = shared.heads();
        let arenas = shared.arenas();
        let Some((extent, limit)) = next(&arenas, span, done, heads.first_serial()) else {
            drop(arenas);
            // A head that becomes a segment now has to wait: its frames are seen here.
            for head in heads.all() {
                visitor.head(head, done);
            }
            return;
        };
        drop(heads);
        let info = extent.info;
        let seen = done;
        let opened = arenas.of(info.tier).open(extent);
        let found = opened.and_then(|segment| {
            let place = segment.place_of(span.subject)?;
            if extent.damaged.binary_search(&place).is_ok() {
                return None;
            }
            let (_, bytes) = segment.chunk_at(place)?;
            chunk_bytes.clear();
            chunk_bytes.extend_from_slice(bytes);
            times_bytes.clear();
            times_bytes.extend_from_slice(segment.times_bytes());
            Some(())
        });
        done = info.last.min(limit.saturating_sub(1)).max(seen + 1);
        if info.last >= limit
            && let Some(segment) = opened
            && segment.times(&mut times).is_some()
        {
            // The bucket that the finer tier begins in is the last one that counts.
            let points = (0..info.points).take_while(|point| first_serial(&info, &times, *point) < limit);
            done = points.last().and_then(|point| times.serial.get(point)).map_or(done, |last| done.max(*last));
        }
        drop(arenas);
        if found.is_some()
            && let Some(chunk) = Chunk::open(&chunk_bytes, info.points, info.tier != Tier::Tick)
            && chunk.table == span.table
        {
            visitor.chunk(&View { info: &info, chunk, times: &times_bytes, done: seen, limit });
        }
    }
}

/// The segment with the next tick after `done`, from the finest tier that has it, and the serial from which on a finer
/// tier goes on.
fn next<'a>(arenas: &'a Arenas, span: &Span, done: u64, heads_first: u64) -> Option<(&'a Extent, u64)> {
    let mut limit = u64::MAX;
    let mut best: Option<(u64, &Extent, u64)> = None;
    for tier in Tier::ALL {
        let arena = arenas.of(tier);
        let tier_limit = if tier == Tier::Tick { u64::MAX } else { limit.min(heads_first) };
        let found = arena.after(done).find(|extent| span.overlaps(&extent.info));
        if let Some(extent) = found {
            let first = extent.info.first.max(done + 1);
            if first < tier_limit && best.is_none_or(|(serial, ..)| first < serial) {
                best = Some((first, extent, tier_limit));
            }
        }
        limit = limit.min(arena.extents().next().map_or(u64::MAX, |oldest| oldest.info.first));
    }
    best.map(|(_, extent, limit)| (extent, limit))
}
