//! The format of the ring file, as `docs/ring-format.md` describes it: where everything lies, and the headers.
//!
//! In: numbers, or bytes of unknown worth. Out: bytes, or headers whose checksum was right. All integers are little
//! endian, all checksums CRC32C. Pure: no file, no clock. It never believes a length before its checksum. Next: `scan.rs`.

use super::error::FileError;

/// The version that this code writes. It is raised when the meaning of any byte in the file changes. That includes the
/// catalogue: tables and columns are known in the file by their place in it, so that adding, removing, moving or renaming
/// one, or giving it another unit or kind, is another format. A test holds the catalogue against this number.
pub(super) const VERSION: u32 = 2;
/// Arenas, one per tier.
pub const TIERS: usize = 3;
/// Every section of the file and every segment begins at a multiple of this.
pub const ALIGN: u64 = 64;
/// The same, for steps through a buffer.
pub(super) const STEP: usize = 64;
/// Log records begin at multiples of this.
pub(super) const RECORD_STEP: usize = 8;
/// The superblock's block.
pub(super) const SUPERBLOCK_BYTES: u64 = 4096;
/// Header of a directory slot.
pub(super) const DIRECTORY_HEADER: usize = 32;
/// Header of a log record.
pub(super) const RECORD_HEADER: usize = 24;
/// Header of a segment, without its table of parts.
pub(super) const SEGMENT_HEADER: usize = 40;
/// One line of the table of parts.
const PART_ENTRY: usize = 8;
/// Files larger than this are not made, so that sums of sizes cannot overflow.
const MOST_FILE_BYTES: u64 = 1 << 40;

// FF and FE occur in no UTF-8 text, so that no label, name or path can contain a magic number.
const SUPERBLOCK_MAGIC: [u8; 8] = *b"\xFFring\xFEf\x1A";
const DIRECTORY_MAGIC: [u8; 8] = *b"\xFFring\xFEd\x1A";
const SEGMENT_MAGIC: [u8; 8] = *b"\xFFring\xFEs\x1A";

/// Bits in which a magic number may differ and still be taken for a damaged one rather than for other bytes.
const MAGIC_BITS: u32 = 4;

/// How the file is divided. All sizes are multiples of [`ALIGN`]; multiples of 4096 keep writes within their blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Size of each of the two directory slots.
    pub directory_bytes: u64,
    /// Size of each of the two log slots.
    pub log_bytes: u64,
    /// Size of each tier's arena.
    pub arena_bytes: [u64; TIERS],
}

impl Geometry {
    /// Says whether a file can be divided like this.
    ///
    /// # Errors
    ///
    /// [`FileError::Geometry`] with the rule that is broken.
    pub fn check(&self) -> Result<(), FileError> {
        let sizes = self.sizes();
        if sizes.contains(&0) {
            return Err(FileError::Geometry { reason: "every part needs at least 64 bytes" });
        }
        if sizes.iter().any(|size| size % ALIGN != 0) {
            return Err(FileError::Geometry { reason: "sizes are multiples of 64" });
        }
        if sizes.iter().any(|size| *size > MOST_FILE_BYTES) || self.file_bytes() > MOST_FILE_BYTES {
            return Err(FileError::Geometry { reason: "a ring file has at most 1 TiB" });
        }
        Ok(())
    }

    const fn sizes(&self) -> [u64; 2 + TIERS] {
        let [fine, middle, coarse] = self.arena_bytes;
        [self.directory_bytes, self.log_bytes, fine, middle, coarse]
    }

    /// Size of the whole file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.arena_at(TIERS)
    }

    pub(super) fn directory_at(&self, slot: usize) -> u64 {
        SUPERBLOCK_BYTES.saturating_add(times(slot, self.directory_bytes))
    }

    pub(super) fn log_at(&self, slot: usize) -> u64 {
        self.directory_at(2).saturating_add(times(slot, self.log_bytes))
    }

    pub(super) fn arena_at(&self, tier: usize) -> u64 {
        let before = self.arena_bytes.iter().take(tier).fold(0_u64, |sum, size| sum.saturating_add(*size));
        self.log_at(2).saturating_add(before)
    }
}

fn times(count: usize, size: u64) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(size)
}

/// The file's first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Drawn when the file is made; every checksum below depends on it, so that no other file's blocks are believed.
    pub file_id: u64,
    /// How the file is divided.
    pub geometry: Geometry,
}

/// What the first block of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// A ring file of this version.
    Ours(Superblock),
    /// A ring file of another version. Only magic, version and their checksum mean the same in all versions.
    OtherVersion(u32),
    /// A ring file, or room for one, whose superblock is torn or damaged.
    Damaged,
    /// No ring file.
    Foreign,
}

impl Superblock {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(SUPERBLOCK_BYTES).unwrap_or(0));
        bytes.extend_from_slice(&SUPERBLOCK_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.extend_from_slice(&self.file_id.to_le_bytes());
        for size in self.geometry.sizes() {
            bytes.extend_from_slice(&size.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.resize(bytes.capacity(), 0);
        bytes
    }

    /// Reads the first block, or as much of it as there is.
    pub(super) fn read(bytes: &[u8]) -> Head {
        let magic = bytes.get(..8).unwrap_or(bytes);
        // Zeros instead of a magic number: the first block never reached the medium.
        if magic.iter().all(|byte| *byte == 0) {
            return Head::Damaged;
        }
        if !SUPERBLOCK_MAGIC.starts_with(magic) {
            return Head::Foreign;
        }
        Self::read_versioned(bytes).unwrap_or(Head::Damaged)
    }

    fn read_versioned(bytes: &[u8]) -> Option<Head> {
        if u32_at(bytes, 12)? != crc32c::crc32c(bytes.get(..12)?) {
            return None;
        }
        let version = u32_at(bytes, 8)?;
        if version != VERSION {
            return Some(Head::OtherVersion(version));
        }
        if u32_at(bytes, 64)? != crc32c::crc32c(bytes.get(..64)?) {
            return None;
        }
        let geometry = Geometry {
            directory_bytes: u64_at(bytes, 24)?,
            log_bytes: u64_at(bytes, 32)?,
            arena_bytes: [u64_at(bytes, 40)?, u64_at(bytes, 48)?, u64_at(bytes, 56)?],
        };
        geometry.check().ok()?;
        Some(Head::Ours(Self { file_id: u64_at(bytes, 16)?, geometry }))
    }
}

/// Header of a directory slot: magic 8, file id 8, sequence 8, length 4, CRC32C 4 over all before it and the payload.
pub(super) fn directory_frame(file_id: u64, sequence: u64, payload: &[u8], into: &mut Vec<u8>) -> Option<()> {
    into.clear();
    into.extend_from_slice(&DIRECTORY_MAGIC);
    into.extend_from_slice(&file_id.to_le_bytes());
    into.extend_from_slice(&sequence.to_le_bytes());
    into.extend_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(into), payload);
    into.extend_from_slice(&crc.to_le_bytes());
    into.extend_from_slice(payload);
    Some(())
}

/// Sequence and payload length of a valid directory slot.
pub(super) fn directory_read(file_id: u64, slot: &[u8]) -> Option<(u64, usize)> {
    if slot.get(..8)? != DIRECTORY_MAGIC || u64_at(slot, 8)? != file_id {
        return None;
    }
    let length = usize::try_from(u32_at(slot, 24)?).ok()?;
    let payload = slot.get(DIRECTORY_HEADER..DIRECTORY_HEADER.checked_add(length)?)?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(slot.get(..28)?), payload);
    (crc == u32_at(slot, 28)?).then_some((u64_at(slot, 16)?, length))
}

/// Header of a log record: length 4, CRC32C of the payload 4, epoch 8, index 4, CRC32C 4 over the file id and all before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub length: usize,
    pub payload_crc: u32,
    pub epoch: u64,
    pub index: u32,
}

/// Bytes that a record takes in its slot.
pub(super) const fn record_bytes(payload: usize) -> usize {
    payload.saturating_add(RECORD_HEADER).next_multiple_of(RECORD_STEP)
}

pub(super) fn record_frame(file_id: u64, epoch: u64, index: u32, payload: &[u8], into: &mut Vec<u8>) -> Option<()> {
    into.clear();
    into.extend_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
    into.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    into.extend_from_slice(&epoch.to_le_bytes());
    into.extend_from_slice(&index.to_le_bytes());
    let crc = crc32c::crc32c_append(id_crc(file_id), into);
    into.extend_from_slice(&crc.to_le_bytes());
    into.extend_from_slice(payload);
    into.resize(record_bytes(payload.len()), 0);
    Some(())
}

/// The checksum's state after the file id: computed once for a whole scan.
pub(super) fn id_crc(file_id: u64) -> u32 {
    crc32c::crc32c(&file_id.to_le_bytes())
}

/// The record header at the start of `bytes`, if its checksum is right and its payload ends within `bytes`.
pub(super) fn record_read(id_crc: u32, bytes: &[u8]) -> Option<RecordHeader> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    // The cheap test goes first: a scan through stale bytes asks it at every step.
    if length.checked_add(RECORD_HEADER)? > bytes.len() {
        return None;
    }
    if crc32c::crc32c_append(id_crc, bytes.get(..20)?) != u32_at(bytes, 20)? {
        return None;
    }
    Some(RecordHeader { length, payload_crc: u32_at(bytes, 4)?, epoch: u64_at(bytes, 8)?, index: u32_at(bytes, 16)? })
}

/// Whether bytes that are no valid header once were the one of record `index` of `epoch`, as far as one can tell.
pub(super) fn record_was_begun(bytes: &[u8], epoch: u64, index: u32) -> bool {
    u64_at(bytes, 8) == Some(epoch) || u32_at(bytes, 16) == Some(index)
}

/// Turns parts into segments for one file. A copy may live in another thread. The default one is for a ring without a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Framer {
    pub(super) file_id: u64,
}

impl Framer {
    /// Replaces the contents of `into` with a segment of these parts. Part 0 is the preamble: without it, the others
    /// are not given back.
    ///
    /// Header: magic 8, file id 8, sequence 8, total length 4, count of parts 4, CRC32C of the table 4, CRC32C of all
    /// before it 4; then the table, per part its length 4 and CRC32C 4; then the parts, one after the other.
    ///
    /// # Errors
    ///
    /// [`FileError::PastTheEnd`] when there is no part, or they have 4 GiB or more.
    pub fn frame(&self, sequence: u64, parts: &[&[u8]], into: &mut Vec<u8>) -> Result<(), FileError> {
        let body =
            parts.iter().fold(SEGMENT_HEADER, |sum, part| sum.saturating_add(PART_ENTRY).saturating_add(part.len()));
        let (Ok(total), Ok(count)) = (u32::try_from(body), u32::try_from(parts.len())) else {
            let needed = u64::try_from(body).unwrap_or(u64::MAX);
            return Err(FileError::PastTheEnd { place: "segment", needed, room: u64::from(u32::MAX) });
        };
        if parts.is_empty() {
            return Err(FileError::NotASegment);
        }
        into.clear();
        into.extend_from_slice(&SEGMENT_MAGIC);
        into.extend_from_slice(&self.file_id.to_le_bytes());
        into.extend_from_slice(&sequence.to_le_bytes());
        into.extend_from_slice(&total.to_le_bytes());
        into.extend_from_slice(&count.to_le_bytes());
        let mut table_crc = 0;
        for part in parts {
            table_crc = crc32c::crc32c_append(table_crc, &part_entry(part));
        }
        into.extend_from_slice(&table_crc.to_le_bytes());
        into.extend_from_slice(&crc32c::crc32c(into).to_le_bytes());
        for part in parts {
            into.extend_from_slice(&part_entry(part));
        }
        for part in parts {
            into.extend_from_slice(part);
        }
        Ok(())
    }
}

impl Framer {
    /// Makes a framed segment one of this framer's file.
    pub fn adopt(&self, segment: &mut [u8]) {
        if let Some(id) = segment.get_mut(8..16) {
            id.copy_from_slice(&self.file_id.to_le_bytes());
        }
        let crc = segment.get(..36).map(crc32c::crc32c);
        if let (Some(crc), Some(place)) = (crc, segment.get_mut(36..40)) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
    }
}

fn part_entry(part: &[u8]) -> [u8; PART_ENTRY] {
    let mut entry = [0; PART_ENTRY];
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    entry[..4].copy_from_slice(&length.to_le_bytes());
    entry[4..].copy_from_slice(&crc32c::crc32c(part).to_le_bytes());
    entry
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub sequence: u64,
    pub total: usize,
    pub count: usize,
    table_crc: u32,
}

/// What may begin at a multiple of [`ALIGN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentStart {
    /// A valid header.
    Valid(SegmentHeader),
    /// What once was a header.
    Damaged,
    /// Other bytes.
    Nothing,
}

pub(super) fn segment_read(file_id: u64, bytes: &[u8]) -> SegmentStart {
    let Some(magic) = u64_at(bytes, 0) else { return SegmentStart::Nothing };
    let off = (magic ^ u64::from_le_bytes(SEGMENT_MAGIC)).count_ones();
    if off > MAGIC_BITS {
        return SegmentStart::Nothing;
    }
    match segment_header(file_id, bytes) {
        Some(header) if off == 0 => SegmentStart::Valid(header),
        _ => SegmentStart::Damaged,
    }
}

fn segment_header(file_id: u64, bytes: &[u8]) -> Option<SegmentHeader> {
    let right = u64_at(bytes, 8)? == file_id && crc32c::crc32c(bytes.get(..36)?) == u32_at(bytes, 36)?;
    let header = SegmentHeader {
        sequence: u64_at(bytes, 16)?,
        total: usize::try_from(u32_at(bytes, 24)?).ok()?,
        count: usize::try_from(u32_at(bytes, 28)?).ok()?,
        table_crc: u32_at(bytes, 32)?,
    };
    (right && header.total <= bytes.len()).then_some(header)
}

/// One line of a segment's table of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartEntry {
    pub length: usize,
    pub crc: u32,
}

/// Where the parts begin, and the table, if its checksum is right and it fills the segment exactly.
pub(super) fn segment_table<'a>(
    header: &SegmentHeader,
    segment: &'a [u8],
) -> Option<(usize, impl Iterator<Item = PartEntry> + use<'a>)> {
    let body = header.count.checked_mul(PART_ENTRY)?.checked_add(SEGMENT_HEADER)?;
    let table = segment.get(SEGMENT_HEADER..body)?;
    if header.count == 0 || crc32c::crc32c(table) != header.table_crc {
        return None;
    }
    let entries = table.chunks_exact(PART_ENTRY).filter_map(|entry| {
        Some(PartEntry { length: usize::try_from(u32_at(entry, 0)?).ok()?, crc: u32_at(entry, 4)? })
    });
    let parts = entries.clone().try_fold(body, |sum, entry| sum.checked_add(entry.length))?;
    (parts == header.total).then_some((body, entries))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|eight| u64::from_le_bytes(*eight))
}
