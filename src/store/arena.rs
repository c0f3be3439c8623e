//! The ring's memory: one arena per tier, filled segment by segment; the oldest segments make room for new ones.
//!
//! In: framed segments. Out: the same bytes, oldest first. An arena is allocated once and never grows, so the budget is
//! exact. Segments begin at multiples of 64 bytes and never wrap around the end: the ring file has the same layout, so a
//! segment lies at the same place in both. Next: `mod.rs`.

use std::collections::VecDeque;

use super::file::Framer;
use super::segment::{Segment, SegmentInfo, Times};
use super::tier::Tier;

/// Segments begin at multiples of this.
pub(super) const ALIGN: usize = 64;

/// Most segments that an arena keeps, however small they are.
const MOST_SEGMENTS: usize = 8192;

/// Where one segment lies.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    pub start: usize,
    pub length: usize,
    /// Grows over all segments of the ring.
    pub sequence: u64,
    pub info: SegmentInfo,
    /// Places of chunks whose bytes were found damaged when the file was read. Ascending.
    pub damaged: Vec<usize>,
    /// Whether the ring file holds it.
    pub written: bool,
}

impl Extent {
    fn end(&self) -> usize {
        (self.start + self.length).next_multiple_of(ALIGN)
    }
}

/// Segments of one tier in a circular buffer.
#[derive(Debug)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    /// Oldest first.
    extents: VecDeque<Extent>,
    /// Where the next segment goes.
    next: usize,
}

impl Arena {
    /// An arena of `size` bytes. Memory is touched only as segments arrive.
    pub fn new(size: usize) -> Self {
        Self { bytes: vec![0; size], extents: VecDeque::with_capacity(64), next: 0 }
    }

    /// An arena with what a file held: its bytes, and the segments found in them, oldest first.
    pub fn restore(bytes: Vec<u8>, mut extents: VecDeque<Extent>) -> Self {
        let next = extents.back().map_or(0, Extent::end);
        let mut times = Times::default();
        for extent in &mut extents {
            let framed = bytes.get(extent.start..extent.start + extent.length).unwrap_or_default();
            if Segment::open(framed).and_then(|segment| segment.times(&mut times)).is_some() {
                extent.info.ends = times.ends();
            }
        }
        Self { bytes, extents, next }
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Serial of the last tick that has to go for a segment of `length` bytes.
    pub fn doomed(&self, length: usize) -> Option<u64> {
        let place = self.place(length)?;
        let doomed = self.extents.iter().take_while(|extent| place.dooms(extent));
        let full = self.extents.front().filter(|_| self.extents.len() >= MOST_SEGMENTS);
        doomed.chain(full).map(|extent| extent.info.last).max()
    }

    fn place(&self, length: usize) -> Option<Place> {
        if length == 0 || length > self.bytes.len() {
            return None;
        }
        let wraps = self.next + length > self.bytes.len();
        Some(Place { from: self.next, wraps, end: if wraps { length } else { self.next + length } })
    }

    /// Copies a segment in, and tells what had to go for it. One larger than the arena is refused (`false`).
    pub fn push(&mut self, segment: &[u8], sequence: u64, info: SegmentInfo, mut evicted: impl FnMut(Extent)) -> bool {
        let Some(place) = self.place(segment.len()) else { return false };
        while let Some(oldest) = self.extents.front()
            && (place.dooms(oldest) || self.extents.len() >= MOST_SEGMENTS)
        {
            self.extents.pop_front().into_iter().for_each(&mut evicted);
        }
        let start = place.end - segment.len();
        if let Some(target) = self.bytes.get_mut(start..place.end) {
            target.copy_from_slice(segment);
            let (length, damaged) = (segment.len(), Vec::new());
            let extent = Extent { start, length, sequence, info, damaged, written: false };
            self.next = extent.end();
            self.extents.push_back(extent);
        }
        true
    }

    /// What it holds, oldest first.
    pub fn extents(&self) -> impl DoubleEndedIterator<Item = &Extent> {
        self.extents.iter()
    }

    /// Notes that the ring file holds a segment.
    pub fn written(&mut self, sequence: u64) {
        self.extents.iter_mut().filter(|extent| extent.sequence == sequence).for_each(|extent| extent.written = true);
    }

    /// Makes all segments those of another file, to be written to it.
    pub fn rewrite(&mut self, framer: Framer) {
        for extent in &mut self.extents {
            extent.written = false;
            if let Some(bytes) = self.bytes.get_mut(extent.start..extent.start + extent.length) {
                framer.adopt(bytes);
            }
        }
    }

    /// The extents with a tick after `serial`.
    pub fn after(&self, serial: u64) -> impl Iterator<Item = &Extent> {
        let from = self.extents.partition_point(|extent| extent.info.last <= serial);
        self.extents.range(from..)
    }

    /// The framed bytes of an extent.
    pub fn bytes(&self, extent: &Extent) -> &[u8] {
        self.bytes.get(extent.start..extent.start + extent.length).unwrap_or_default()
    }

    /// An extent, opened for reading.
    pub fn open(&self, extent: &Extent) -> Option<Segment<'_>> {
        Segment::open(self.bytes(extent))
    }

    /// Bytes in segments.
    pub fn used(&self) -> usize {
        self.extents.iter().map(|extent| extent.length).sum()
    }
}

/// Where a new segment goes.
#[derive(Debug, Clone, Copy)]
struct Place {
    from: usize,
    wraps: bool,
    end: usize,
}

impl Place {
    /// Whether a segment lies in its way. Those between the writing place and the end go too when it wraps around.
    fn dooms(self, extent: &Extent) -> bool {
        if self.wraps {
            extent.start >= self.from || extent.start < self.end
        } else {
            extent.start < self.end && extent.end() > self.from && extent.start >= self.from
        }
    }
}

/// The arenas of all tiers.
#[derive(Debug)]
pub(super) struct Arenas(pub [Arena; Tier::ALL.len()]);

impl Arenas {
    pub fn of(&self, tier: Tier) -> &Arena {
        let [tick, ten_seconds, minute] = &self.0;
        match tier {
            Tier::Tick => tick,
            Tier::TenSeconds => ten_seconds,
            Tier::Minute => minute,
        }
    }

    pub fn of_mut(&mut self, tier: Tier) -> &mut Arena {
        let [tick, ten_seconds, minute] = &mut self.0;
        match tier {
            Tier::Tick => tick,
            Tier::TenSeconds => ten_seconds,
            Tier::Minute => minute,
        }
    }

    /// Serial of the first tick that is kept in any tier.
    pub fn oldest(&self) -> Option<u64> {
        self.0.iter().filter_map(|arena| arena.extents.front()).map(|extent| extent.info.first).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::segment::BootId;
    use crate::units::UnixNanos;

    fn info(serial: u64) -> SegmentInfo {
        SegmentInfo {
            tier: Tier::Tick,
            boot: BootId::default(),
            first: serial,
            last: serial,
            earliest: UnixNanos(0),
            latest: UnixNanos(0),
            cells: 0,
            points: 1,
            ends: Default::default(),
        }
    }

    #[test]
    fn the_oldest_segments_make_room_and_what_stays_is_unharmed() {
        let mut arena = Arena::new(1000);
        let mut gone = Vec::new();
        let length = |serial: u64| 10 + usize::try_from(serial % 7).unwrap() * 35;
        for serial in 1..=200u64 {
            let segment = vec![u8::try_from(serial).unwrap(); length(serial)];
            let doomed = arena.doomed(segment.len());
            let before = gone.len();
            assert!(arena.push(&segment, serial, info(serial), |old| gone.push(old.info.first)));
            assert_eq!(doomed, gone[before..].last().copied(), "what is doomed goes, and nothing else");
            for kept in arena.extents() {
                assert_eq!(kept.start % ALIGN, 0);
                let serial = kept.info.first;
                assert_eq!(arena.bytes(kept), vec![u8::try_from(serial).unwrap(); length(serial)]);
            }
        }
        assert!(gone.is_sorted());
        assert_eq!(gone.len() + arena.extents().count(), 200);
        assert!(arena.extents().next_back().is_some_and(|newest| newest.info.first == 200));
        assert!(arena.used() > 500, "it stays well filled: {}", arena.used());
    }

    #[test]
    fn a_segment_larger_than_the_arena_is_refused_and_evicts_nothing() {
        let mut arena = Arena::new(10);
        assert!(arena.push(&[1; 10], 1, info(1), |_| {}));
        assert!(!arena.push(&[2; 11], 2, info(2), |_| panic!("nothing should go")));
        assert_eq!(arena.used(), 10);
    }
}
