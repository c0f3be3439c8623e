//! What a ring file held when it was opened.
//!
//! In: the buffers that `scan.rs` read, and where in them things lie. Out: borrowed bytes, each checked against its
//! checksum; an arena's buffer can be taken whole as the ring in memory. It never copies a part. Next: who opened the file.

use std::ops::Range;
use std::path::PathBuf;

use super::format::{Framer, Geometry, TIERS};

/// All that was read from a ring file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// How the file that was read is divided. After a change of geometry this is still the old division, and each
    /// segment's `offset` its new place.
    pub geometry: Geometry,
    /// Frames segments for this file.
    pub framer: Framer,
    /// The newest valid directory.
    pub directory: Option<Vec<u8>>,
    /// The logs that hold at least one record, oldest epoch first.
    pub logs: Vec<Log>,
    /// The segments, lowest sequence first. Those of one tier do not overlap.
    pub segments: Vec<Segment>,
    /// Each tier's arena as it was read; the segments' ranges are ranges of these.
    pub arenas: [Vec<u8>; TIERS],
    /// What was lost or disbelieved.
    pub damaged: Damaged,
    /// A file that was set aside and a new one begun.
    pub aside: Vec<Aside>,
    /// Whether this version's own file, set aside by another version, was taken back.
    pub taken_back: bool,
    /// The greatest epoch of any valid record; a new log needs a greater one.
    pub newest_epoch: u64,
    /// Where the directory is: the sequence of the newest valid one and its slot.
    pub(super) directory_place: Option<(u64, usize)>,
    /// The epoch of each log slot, 0 where there is none.
    pub(super) log_epochs: [u64; 2],
}

/// The records of one open head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Which run of records.
    pub epoch: u64,
    /// Where in the buffer the records' payloads lie, by growing index.
    pub(super) places: Vec<(u32, Range<usize>)>,
    pub(super) buffer: Vec<u8>,
}

impl Log {
    /// Index and payload of each record that is left, in the order in which they were written. An index that is missing
    /// is a damaged record.
    pub fn records(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.places.iter().map(|(index, place)| (*index, self.buffer.get(place.clone()).unwrap_or_default()))
    }
}

/// One segment of an arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Which arena.
    pub tier: usize,
    /// Where in the arena of the file that is now written.
    pub offset: u64,
    /// Grows over all segments of the file.
    pub sequence: u64,
    /// All its bytes, header included, as a range of `Recovered::arenas`: what a framer made, save for damage.
    pub bytes: Range<usize>,
    /// Its parts as ranges of the same buffer; `None` where a part is damaged. Part 0 is never damaged.
    pub parts: Vec<Option<Range<usize>>>,
}

/// Counts by kind of what was lost or disbelieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damaged {
    /// Files whose superblock was unreadable and that were begun anew.
    pub superblocks: u64,
    /// Directory slots that were written once and are invalid.
    pub directories: u64,
    /// Log records that are missing or invalid.
    pub records: u64,
    /// Segments whose header, table or preamble is invalid.
    pub segments: u64,
    /// Parts of segments that are otherwise readable.
    pub parts: u64,
    /// Bytes by which the file was too short.
    pub truncated_bytes: u64,
    /// Bytes that the medium could not read.
    pub unreadable_bytes: u64,
}

impl Damaged {
    /// Whether anything was damaged.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// A file that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Where it is now.
    pub path: PathBuf,
    /// Its format version; `None` if its superblock was damaged.
    pub version: Option<u32>,
}

impl Recovered {
    /// Of a file that holds nothing yet.
    pub(super) fn nothing(geometry: Geometry, file_id: u64) -> Self {
        Self {
            geometry,
            framer: Framer { file_id },
            directory: None,
            logs: Vec::new(),
            segments: Vec::new(),
            arenas: [const { Vec::new() }; TIERS],
            damaged: Damaged::default(),
            aside: Vec::new(),
            taken_back: false,
            newest_epoch: 0,
            directory_place: None,
            log_epochs: [0; 2],
        }
    }

    /// The greatest sequence of any segment.
    #[must_use]
    pub fn newest_sequence(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.sequence)
    }

    /// All bytes of a segment, as they were framed.
    #[must_use]
    pub fn bytes(&self, segment: &Segment) -> &[u8] {
        self.arena(segment.tier).get(segment.bytes.clone()).unwrap_or_default()
    }

    /// One part of a segment; `None` if there is none of this number, or it is damaged.
    #[cfg(test)]
    #[must_use]
    pub fn part(&self, segment: &Segment, number: usize) -> Option<&[u8]> {
        let place = segment.parts.get(number)?.clone()?;
        self.arena(segment.tier).get(place)
    }

    fn arena(&self, tier: usize) -> &[u8] {
        self.arenas.get(tier).map(Vec::as_slice).unwrap_or_default()
    }
}
