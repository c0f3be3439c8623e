//! A segment: all subjects' chunks for a run of ticks or buckets, the unit in which history is kept, evicted and written.
//!
//! In: times, and chunks one after the other. Out: bytes in the frame that the ring file checks, and back. Part 0 is the
//! preamble, each further part a chunk. The times of the ticks stand once, for the whole node. Next: [`arena`](super::arena).
//!
//! Preamble: `tier: u8`, `boot: 16 bytes`, `first: u64` and `last: u64` serial, `earliest: u64` and `latest: u64` wall clock,
//! `cells: u64`, `points: u32`, `chunks: u32`, `times: u32` (bytes of what follows); then the lists `started_at` of the
//! ticks, wall clock minus `started_at`, and for buckets the serials of their last ticks; then for each chunk, ascending,
//! its subject's id (`u64`), and for each the end of its bytes (`u32`, from the end of the preamble).

use super::chunk::{put_list, put_list_for};
use super::column::{Aim, Scratch};
use super::file::Framer;
use super::part::Chunk;
use super::tier::Tier;
use super::wire::Cursor;
use crate::sample::SubjectId;
use crate::units::{MonotonicNanos, UnixNanos};

/// Bytes of a segment's frame before its table of parts, and of each line of that table.
const FRAME_HEADER: usize = 40;
const FRAME_ENTRY: usize = 8;
const PREAMBLE_FIXED: usize = 1 + 16 + 5 * 8 + 3 * 4;

/// Which boot of the machine the monotonic clock belongs to: the kernel's `boot_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// Parses `/proc/sys/kernel/random/boot_id`; what is no UUID is a boot of its own kind, all zeros.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let digits = text.trim().bytes().filter(|byte| *byte != b'-');
        let mut bytes = [0; 16];
        let mut count = 0;
        for (place, digit) in digits.enumerate() {
            let Some(value) = char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()) else {
                return Self::default();
            };
            if let Some(byte) = bytes.get_mut(place / 2) {
                *byte = *byte << 4 | value;
            }
            count += 1;
        }
        if count == 32 { Self(bytes) } else { Self::default() }
    }
}

/// What is known of a segment without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    pub tier: Tier,
    pub boot: BootId,
    /// Serial of the first tick in it.
    pub first: u64,
    /// Serial of the last tick in it.
    pub last: u64,
    pub earliest: UnixNanos,
    pub latest: UnixNanos,
    pub cells: u64,
    pub points: usize,
    /// When the first and the last tick were; zeros until the times were looked at.
    pub ends: [TickTime; 2],
}

/// When a tick was, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TickTime {
    pub wall: UnixNanos,
    pub started_at: MonotonicNanos,
}

impl TickTime {
    /// When a row was read.
    pub fn read_at(self, offset_usec: i64) -> MonotonicNanos {
        MonotonicNanos(self.started_at.0.saturating_add_signed(offset_usec.saturating_mul(1_000)))
    }
}

/// The instants of a segment's points.
#[derive(Debug, Default, Clone)]
pub(super) struct Times {
    pub started_at: Vec<u64>,
    pub wall: Vec<u64>,
    /// Serial of the tick, or of a bucket's last tick.
    pub serial: Vec<u64>,
}

impl Times {
    pub fn clear(&mut self) {
        self.started_at.clear();
        self.wall.clear();
        self.serial.clear();
    }

    pub fn push(&mut self, serial: u64, wall: UnixNanos, started_at: MonotonicNanos) {
        self.serial.push(serial);
        self.wall.push(wall.0);
        self.started_at.push(started_at.0);
    }

    /// Makes the newest point that of a later tick.
    pub fn move_last(&mut self, serial: u64, wall: UnixNanos, started_at: MonotonicNanos) {
        let lists = [(&mut self.serial, serial), (&mut self.wall, wall.0), (&mut self.started_at, started_at.0)];
        for (list, value) in lists {
            if let Some(last) = list.last_mut() {
                *last = value;
            }
        }
    }

    /// Decodes the times of a segment. `None` when they are damaged.
    pub fn decode(&mut self, info: &SegmentInfo, bytes: &[u8]) -> Option<()> {
        let mut cursor = Cursor(bytes);
        for list in [&mut self.started_at, &mut self.wall] {
            read_list(&mut cursor, info.points, list)?;
        }
        self.wall.iter_mut().zip(&self.started_at).for_each(|(wall, started)| *wall = wall.wrapping_add(*started));
        if info.tier == Tier::Tick {
            self.serial.clear();
            self.serial.extend((info.first..).take(info.points));
            Some(())
        } else {
            read_list(&mut cursor, info.points, &mut self.serial)
        }
    }

    /// When the first and the last tick were.
    pub fn ends(&self) -> [TickTime; 2] {
        let at = |point: usize| TickTime {
            wall: self.wall_of(point),
            started_at: MonotonicNanos(self.started_at.get(point).copied().unwrap_or(0)),
        };
        [at(0), at(self.wall.len().saturating_sub(1))]
    }

    /// Wall clock of a point.
    pub fn wall_of(&self, point: usize) -> UnixNanos {
        UnixNanos(self.wall.get(point).copied().unwrap_or(0))
    }

    /// When a row was read.
    pub fn read_at(&self, point: usize, offset_usec: i64) -> MonotonicNanos {
        let started_at = self.started_at.get(point).copied().unwrap_or(0);
        MonotonicNanos(started_at.saturating_add_signed(offset_usec.saturating_mul(1_000)))
    }
}

/// Collects chunks.
#[derive(Debug, Default)]
pub(super) struct SegmentBuilder {
    pub times: Times,
    pub chunks: Vec<u8>,
    ids: Vec<u64>,
    ends: Vec<u32>,
    preamble: Vec<u8>,
    list: Vec<u64>,
    scratch: Scratch,
}

impl SegmentBuilder {
    pub fn clear(&mut self) {
        self.times.clear();
        self.chunks.clear();
        self.ids.clear();
        self.ends.clear();
    }

    /// Notes that the bytes appended to `chunks` since the last call are this subject's chunk. Ids ascend.
    pub fn end_chunk(&mut self, subject: SubjectId) {
        let end = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        if self.ends.last().copied().unwrap_or(0) < end {
            self.ids.push(subject.0);
            self.ends.push(end);
        }
    }

    /// Frames the segment into `out`. `first` is the serial of its first tick.
    pub fn finish(
        &mut self,
        (tier, boot, first, cells): (Tier, BootId, u64, u64),
        (framer, sequence): (Framer, u64),
        out: &mut Vec<u8>,
    ) -> Option<SegmentInfo> {
        let Self { times, chunks, ids, ends, preamble, list, scratch } = self;
        let points = times.wall.len();
        let info = SegmentInfo {
            tier,
            boot,
            first,
            last: *times.serial.last()?,
            earliest: UnixNanos(*times.wall.iter().min()?),
            latest: UnixNanos(*times.wall.iter().max()?),
            cells,
            points,
            ends: times.ends(),
        };
        preamble.clear();
        preamble.push(tier as u8);
        preamble.extend_from_slice(&boot.0);
        for word in [info.first, info.last, info.earliest.0, info.latest.0, cells] {
            preamble.extend_from_slice(&word.to_le_bytes());
        }
        preamble.extend_from_slice(&u32::try_from(points).ok()?.to_le_bytes());
        preamble.extend_from_slice(&u32::try_from(ids.len()).ok()?.to_le_bytes());
        preamble.extend_from_slice(&[0; 4]);
        put_list_for(&times.started_at, Aim::Fast, scratch, preamble);
        list.clear();
        list.extend(times.wall.iter().zip(&times.started_at).map(|(wall, started)| wall.wrapping_sub(*started)));
        put_list_for(list, Aim::Fast, scratch, preamble);
        if tier != Tier::Tick {
            put_list(&times.serial, scratch, preamble);
        }
        let times_bytes = u32::try_from(preamble.len() - PREAMBLE_FIXED).ok()?;
        preamble.get_mut(PREAMBLE_FIXED - 4..PREAMBLE_FIXED)?.copy_from_slice(&times_bytes.to_le_bytes());
        ids.iter().for_each(|id| preamble.extend_from_slice(&id.to_le_bytes()));
        ends.iter().for_each(|end| preamble.extend_from_slice(&end.to_le_bytes()));
        let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + ids.len());
        parts.push(preamble);
        let mut begin = 0;
        for end in ends.iter() {
            let end = usize::try_from(*end).ok()?;
            parts.push(chunks.get(begin..end)?);
            begin = end;
        }
        framer.frame(sequence, &parts, out).ok()?;
        Some(info)
    }
}

/// A segment, opened for reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub info: SegmentInfo,
    times: &'a [u8],
    ids: &'a [[u8; 8]],
    ends: &'a [[u8; 4]],
    chunks: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Opens a framed segment. `None` when it is none.
    pub fn open(framed: &'a [u8]) -> Option<Self> {
        let parts = usize::try_from(Cursor(framed.get(28..)?).u32()?).ok()?;
        let body = framed.get(FRAME_HEADER.checked_add(parts.checked_mul(FRAME_ENTRY)?)?..)?;
        let mut cursor = Cursor(body);
        let tier = *Tier::ALL.get(usize::from(cursor.byte()?))?;
        let boot = BootId(*cursor.take(16)?.first_chunk()?);
        let (first, last) = (cursor.u64()?, cursor.u64()?);
        let (earliest, latest) = (UnixNanos(cursor.u64()?), UnixNanos(cursor.u64()?));
        let cells = cursor.u64()?;
        let mut size = || cursor.u32().and_then(|size| usize::try_from(size).ok());
        let (points, count, times) = (size()?, size()?, size()?);
        let times = cursor.take(times)?;
        let (ids, _) = cursor.take(count.checked_mul(8)?)?.as_chunks::<8>();
        let (ends, _) = cursor.take(count.checked_mul(4)?)?.as_chunks::<4>();
        let info = SegmentInfo { tier, boot, first, last, earliest, latest, cells, points, ends: Default::default() };
        (count + 1 == parts).then_some(Self { info, times, ids, ends, chunks: cursor.0 })
    }

    /// The instants of its points, still encoded.
    pub fn times_bytes(&self) -> &'a [u8] {
        self.times
    }

    /// The instants of its points. `None` when they are damaged.
    pub fn times(&self, times: &mut Times) -> Option<()> {
        times.decode(&self.info, self.times)
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Subject and bytes of a chunk.
    pub fn chunk_at(&self, place: usize) -> Option<(SubjectId, &'a [u8])> {
        let end = |place: usize| usize::try_from(u32::from_le_bytes(*self.ends.get(place)?)).ok();
        let begin = if place == 0 { 0 } else { end(place - 1)? };
        Some((SubjectId(u64::from_le_bytes(*self.ids.get(place)?)), self.chunks.get(begin..end(place)?)?))
    }

    /// The place of a subject's chunk.
    pub fn place_of(&self, subject: SubjectId) -> Option<usize> {
        self.ids.binary_search_by_key(&subject.0, |id| u64::from_le_bytes(*id)).ok()
    }

    /// Opens the bytes of one of its chunks.
    pub fn open_chunk(&self, bytes: &'a [u8]) -> Option<Chunk<'a>> {
        Chunk::open(bytes, self.info.points, self.info.tier != Tier::Tick)
    }
}

fn read_list(cursor: &mut Cursor<'_>, count: usize, list: &mut Vec<u64>) -> Option<()> {
    // A damaged count must not be believed: as many values as that take at least some bytes of preamble.
    if count > 1 << 20 {
        return None;
    }
    list.clear();
    list.resize(count, 0);
    super::part::take_list(cursor, list)
}
