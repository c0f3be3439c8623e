//! Reading a ring file of this version: everything that its checksums vouch for, and counts of what they do not.
//!
//! In: a disk and the superblock. Out: [`Recovered`]. It never writes, never believes a length before its checksum, and
//! takes time proportional to the file's size whatever is in it. Next: `mod.rs`, `place.rs`.

use std::collections::BTreeMap;
use std::ops::Range;

use rustix::io::Result;

use super::disk::{Disk, read_extent};
use super::format::{
    DIRECTORY_HEADER, RECORD_HEADER, RECORD_STEP, STEP, SegmentHeader, SegmentStart, Superblock, directory_read,
    id_crc, record_bytes, record_read, record_was_begun, segment_read, segment_table,
};
use super::recovered::{Damaged, Log, Recovered, Segment};

/// How often on average a byte may be summed up. Pieces inside of damaged pieces are looked for, and bytes made on
/// purpose could nest them a million times.
const PATIENCE: usize = 4;
/// And so many bytes at least: a few torn pieces in a small arena are no mischief.
const LEAST_PATIENCE: usize = 1 << 20;

/// Reads everything.
pub(super) fn read_everything<D: Disk>(disk: &D, superblock: &Superblock) -> Result<Recovered> {
    let Superblock { file_id, geometry } = *superblock;
    let mut recovered = Recovered::nothing(geometry, file_id);
    let mut damaged =
        Damaged { truncated_bytes: geometry.file_bytes().saturating_sub(disk.length()?), ..Damaged::default() };
    let mut unreadable = 0;
    for slot in 0..2 {
        let mut bytes = read_extent(disk, geometry.directory_at(slot), geometry.directory_bytes, &mut unreadable)?;
        match directory_read(file_id, &bytes) {
            Some((sequence, length)) => {
                if recovered.directory_place.is_none_or(|(newest, _)| sequence > newest) {
                    bytes.drain(..DIRECTORY_HEADER);
                    bytes.truncate(length);
                    recovered.directory = Some(bytes);
                    recovered.directory_place = Some((sequence, slot));
                }
            }
            None => damaged.directories += u64::from(!is_blank(&bytes, DIRECTORY_HEADER)),
        }
    }
    for (slot, epoch) in recovered.log_epochs.iter_mut().enumerate() {
        let bytes = read_extent(disk, geometry.log_at(slot), geometry.log_bytes, &mut unreadable)?;
        let (log, lost) = scan_log(file_id, bytes);
        damaged.records += lost;
        *epoch = log.epoch;
        recovered.newest_epoch = recovered.newest_epoch.max(log.epoch);
        if !log.places.is_empty() {
            recovered.logs.push(log);
        }
    }
    recovered.logs.sort_by_key(|log| log.epoch);
    for (tier, (buffer, size)) in recovered.arenas.iter_mut().zip(geometry.arena_bytes).enumerate() {
        *buffer = read_extent(disk, geometry.arena_at(tier), size, &mut unreadable)?;
        let found = scan_arena(file_id, tier, buffer, &mut damaged);
        recovered.segments.extend(found);
    }
    recovered.segments.sort_by_key(|segment| segment.sequence);
    damaged.unreadable_bytes = unreadable;
    recovered.damaged = damaged;
    Ok(recovered)
}

fn is_blank(bytes: &[u8], header: usize) -> bool {
    bytes.iter().take(header).all(|byte| *byte == 0)
}

/// The records of the newest epoch in a log slot (0: none), and how many of them are damaged.
fn scan_log(file_id: u64, bytes: Vec<u8>) -> (Log, u64) {
    let id_crc = id_crc(file_id);
    let mut places: Vec<(u32, Range<usize>)> = Vec::new();
    let mut epoch = 0;
    // The index that the next record should have, counting records whose payload is damaged.
    let mut expected = 0;
    let mut lost = 0_u64;
    let mut patience = bytes.len().saturating_mul(PATIENCE).max(LEAST_PATIENCE);
    let mut at = 0;
    // Where the next record should begin, if nothing is damaged.
    let mut due = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= RECORD_HEADER) {
        let Some(header) = record_read(id_crc, rest) else {
            if at == due && epoch_was_begun(rest, epoch, expected) {
                lost += 1;
                // Later records tell how many are missing; until then, it is one.
                due = usize::MAX;
            }
            at += RECORD_STEP;
            continue;
        };
        let stale = header.epoch < epoch || (header.epoch == epoch && header.index < expected);
        if stale || header.epoch == 0 {
            at += RECORD_STEP;
            continue;
        }
        if header.epoch > epoch {
            // Older records before newer ones: the newer run's start never reached the medium.
            epoch = header.epoch;
            places.clear();
            expected = 0;
            lost = 0;
        } else if due == usize::MAX {
            lost = lost.saturating_sub(1);
        }
        lost += u64::from(header.index - expected);
        expected = header.index.saturating_add(1);
        let start = at + RECORD_HEADER;
        let payload = start..start.saturating_add(header.length);
        let intact = bytes.get(payload.clone()).is_some_and(|payload| crc32c::crc32c(payload) == header.payload_crc);
        patience = patience.saturating_sub(header.length);
        if intact {
            places.push((header.index, payload));
        } else {
            lost += 1;
        }
        due = at.saturating_add(record_bytes(header.length));
        // A damaged record may be an old one, and newer ones lie across it. Each must be seen, if only for its epoch:
        // else the next log could take the same one, and its records mix with those.
        at = if intact || patience == 0 { due } else { at + RECORD_STEP };
    }
    (Log { epoch, places, buffer: bytes }, lost)
}

/// Whether a record was begun where one is due: in a slot without any yet, that is any byte at all.
fn epoch_was_begun(bytes: &[u8], epoch: u64, expected: u32) -> bool {
    if epoch == 0 { !is_blank(bytes, RECORD_HEADER) } else { record_was_begun(bytes, epoch, expected) }
}

/// The segments of an arena that do not overlap, by offset; of two that do, the newer one.
fn scan_arena(file_id: u64, tier: usize, bytes: &[u8], damaged: &mut Damaged) -> Vec<Segment> {
    let mut found: Vec<Segment> = Vec::new();
    let mut patience = bytes.len().saturating_mul(PATIENCE).max(LEAST_PATIENCE);
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let header = match segment_read(file_id, rest) {
            SegmentStart::Valid(header) => header,
            SegmentStart::Damaged => {
                damaged.segments += 1;
                at += STEP;
                continue;
            }
            SegmentStart::Nothing => {
                at += STEP;
                continue;
            }
        };
        patience = patience.saturating_sub(header.total);
        let parts = read_parts(&header, rest, at);
        let intact = parts.as_ref().is_some_and(|parts| parts.iter().all(Option::is_some));
        match parts {
            Some(parts) if parts.first().is_some_and(Option::is_some) => found.push(Segment {
                tier,
                offset: u64::try_from(at).unwrap_or(u64::MAX),
                sequence: header.sequence,
                bytes: at..at.saturating_add(header.total),
                parts,
            }),
            _ => damaged.segments += 1,
        }
        // A damaged segment may be an old one, and a newer one lie across it.
        at = if intact || patience == 0 {
            at.saturating_add(header.total.max(STEP)).next_multiple_of(STEP)
        } else {
            at + STEP
        };
    }
    let segments = without_overlaps(found);
    let holes = segments.iter().flat_map(|segment| &segment.parts).filter(|part| part.is_none()).count();
    damaged.parts += u64::try_from(holes).unwrap_or(u64::MAX);
    segments
}

/// The parts of the segment at the start of `rest`, as ranges of the buffer in which it begins at `at`.
fn read_parts(header: &SegmentHeader, rest: &[u8], at: usize) -> Option<Vec<Option<Range<usize>>>> {
    let segment = rest.get(..header.total)?;
    let (mut start, entries) = segment_table(header, segment)?;
    let mut parts = Vec::with_capacity(header.count);
    for entry in entries {
        let end = start.saturating_add(entry.length);
        let right = segment.get(start..end).is_some_and(|part| crc32c::crc32c(part) == entry.crc);
        parts.push(right.then(|| at.saturating_add(start)..at.saturating_add(end)));
        start = end;
    }
    Some(parts)
}

fn without_overlaps(mut found: Vec<Segment>) -> Vec<Segment> {
    found.sort_by_key(|segment| std::cmp::Reverse(segment.sequence));
    let mut kept: BTreeMap<usize, Segment> = BTreeMap::new();
    for segment in found {
        let before = kept.range(..segment.bytes.end).next_back();
        if before.is_none_or(|(_, before)| before.bytes.end <= segment.bytes.start) {
            kept.insert(segment.bytes.start, segment);
        }
    }
    kept.into_values().collect()
}
