//! Bytes that changed or went missing: whatever happens to them, a reader gives back what was written, or less.

use super::*;
use crate::store::file::recovered::Damaged;

/// What an intact reader finds, to hold a damaged one against.
struct Truth {
    directories: Vec<Vec<u8>>,
    records: Vec<Record>,
    segments: Vec<Found>,
}

impl Truth {
    fn of(disk: &MemoryDisk) -> Self {
        let recovered = read(disk).unwrap();
        let directories = vec![b"the first directory".to_vec(), b"the second one".to_vec()];
        assert_eq!(recovered.directory.as_ref(), directories.last());
        Self { directories, records: records(&recovered), segments: segments(&recovered) }
    }

    /// Everything found is true. Returns how many things are missing.
    fn check(&self, recovered: &Recovered) -> usize {
        let mut missing = 0;
        match &recovered.directory {
            Some(directory) => {
                let which = self.directories.iter().rposition(|written| written == directory);
                missing += self.directories.len() - 1 - which.unwrap();
            }
            None => missing += self.directories.len(),
        }
        let found = records(recovered);
        for record in &found {
            assert!(self.records.contains(record), "{record:?}");
        }
        missing += self.records.len() - found.len();
        let found = segments(recovered);
        for (tier, offset, sequence, parts) in &found {
            let written = self.segments.iter().find(|written| written.2 == *sequence).unwrap();
            assert_eq!((tier, offset, parts.len()), (&written.0, &written.1, written.3.len()));
            for (part, written) in parts.iter().zip(&written.3) {
                assert!(part.is_none() || part == written, "segment {sequence}: {part:?}");
            }
            missing += parts.iter().filter(|part| part.is_none()).count();
        }
        missing + self.segments.len() - found.len()
    }
}

/// splitmix64: the same damage in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

#[test]
fn a_flip_of_any_one_bit_loses_one_thing_at_most_and_counts_it() {
    let mut disk = some_of_everything().disk;
    let truth = Truth::of(&disk);
    let mut refused = 0;
    for bit in 0..disk.bytes.len() * 8 {
        disk.bytes[bit / 8] ^= 1 << (bit % 8);
        match read(&disk) {
            Some(recovered) => {
                let missing = truth.check(&recovered);
                // A segment's header or preamble is the whole segment.
                assert!(missing <= 1, "bit {bit}: {missing} things are missing");
                // The older directory is not missed; that it is damaged is worth a word all the same.
                assert!(missing == 0 || recovered.damaged.any(), "bit {bit}: lost without a word");
            }
            None => {
                assert!(bit < 68 * 8, "bit {bit} of the file makes it unreadable");
                refused += 1;
            }
        }
        disk.bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(refused, 68 * 8, "every bit of the superblock is vouched for");
}

#[test]
fn a_hundred_thousand_random_flips_never_make_a_wrong_byte() {
    let intact = some_of_everything().disk;
    let truth = Truth::of(&intact);
    let mut dice = Dice(1);
    let mut missing = 0;
    for _ in 0..100_000 {
        let mut disk = MemoryDisk::of(intact.bytes.clone());
        // The superblock has a test of its own.
        for _ in 0..=dice.roll(8) {
            let bit = 4096 * 8 + dice.roll((intact.bytes.len() - 4096) * 8);
            disk.bytes[bit / 8] ^= 1 << (bit % 8);
        }
        missing += truth.check(&read(&disk).unwrap());
    }
    // Most flips hit something: a reader that gives nothing back, or does not look, would fail here.
    assert!((100_000..600_000).contains(&missing), "{missing}");
}

#[test]
fn random_bytes_written_over_the_file_never_make_a_wrong_byte() {
    let intact = some_of_everything().disk;
    let truth = Truth::of(&intact);
    let mut dice = Dice(2);
    for _ in 0..5_000 {
        let mut disk = MemoryDisk::of(intact.bytes.clone());
        let start = 4096 + dice.roll(intact.bytes.len() - 4096);
        let end = (start + dice.roll(1200)).min(intact.bytes.len());
        let kind = dice.roll(3);
        for at in start..end {
            disk.bytes[at] = match kind {
                0 => 0,
                1 => 0xFF,
                _ => dice.roll(256) as u8,
            };
        }
        truth.check(&read(&disk).unwrap());
    }
}

#[test]
fn blocks_of_the_file_copied_elsewhere_never_make_a_wrong_byte() {
    let intact = some_of_everything().disk;
    let truth = Truth::of(&intact);
    let mut dice = Dice(3);
    for _ in 0..5_000 {
        let mut disk = MemoryDisk::of(intact.bytes.clone());
        let length = 8 * (1 + dice.roll(64));
        let blocks = (intact.bytes.len() - 4096 - length) / 8;
        let (from, to) = (4096 + 8 * dice.roll(blocks), 4096 + 8 * dice.roll(blocks));
        disk.bytes.copy_within(from..from + length, to);
        let recovered = read(&disk).unwrap();
        for record in records(&recovered) {
            assert!(truth.records.contains(&record), "{record:?}");
        }
        for found in segments(&recovered) {
            let written = truth.segments.iter().find(|written| written.2 == found.2).unwrap();
            for (part, written) in found.3.iter().zip(&written.3) {
                assert!(part.is_none() || part == written, "{found:?}");
            }
        }
    }
}

#[test]
fn a_file_cut_at_any_byte_gives_what_lies_before_the_cut() {
    let intact = some_of_everything().disk;
    let truth = Truth::of(&intact);
    let mut most_missing = 0;
    for length in (0..intact.bytes.len()).rev() {
        let disk = MemoryDisk::of(intact.bytes[..length].to_vec());
        match read(&disk) {
            Some(recovered) => {
                assert!(length >= 68);
                let missing = truth.check(&recovered);
                assert!(missing >= most_missing, "cut at {length}: more is there than in a longer file");
                most_missing = missing;
                assert_eq!(recovered.damaged.truncated_bytes, (intact.bytes.len() - length) as u64);
            }
            None => assert!(length < 68, "cut at {length}"),
        }
    }
    assert_eq!(most_missing, 2 + 7 + 5, "the superblock alone is an empty file");
}

/// Three records of 64 bytes each in a log, and where the second one's header begins.
fn three_records() -> (RingFile<MemoryDisk>, usize) {
    let mut file = begin(SMALL);
    file.begin_log(5).unwrap();
    for index in 1..=3_u8 {
        file.append_log(&[index; 40]).unwrap();
    }
    (file, SMALL.log_at(0) as usize + 64)
}

/// The indices that are left, and how many are counted as damaged, after `change` has been applied to the second record.
fn left_after(change: impl FnOnce(&mut [u8])) -> (Vec<u32>, u64) {
    let (mut file, second) = three_records();
    change(&mut file.disk.bytes[second..]);
    let (_, recovered) = reopen(file);
    for (_, index, payload) in records(&recovered) {
        assert_eq!(payload, [index as u8 + 1; 40]);
    }
    let expected = Damaged { records: recovered.damaged.records, ..Damaged::default() };
    assert_eq!(recovered.damaged, expected);
    (records(&recovered).iter().map(|record| record.1).collect(), recovered.damaged.records)
}

#[test]
fn a_last_record_cut_short_costs_only_itself() {
    for kept in 0..64 {
        let left = left_after(|bytes| {
            bytes[kept..].fill(0);
        });
        // Without the epoch, the header's start cannot be told from stale bytes.
        assert_eq!(left, (vec![0], u64::from(kept > 8)), "{kept} bytes of the record were written");
    }
}

#[test]
fn a_header_of_zeros_in_the_middle_costs_only_its_record() {
    assert_eq!(left_after(|bytes| bytes[..24].fill(0)), (vec![0, 2], 1));
}

#[test]
fn a_record_out_of_its_order_is_not_believed() {
    // The third record's copy where the second was: whole and valid, but one is missing before it.
    assert_eq!(left_after(|bytes| bytes.copy_within(64..128, 0)), (vec![0, 2], 1));
    // The first one's copy: read already.
    let (mut file, second) = three_records();
    file.disk.bytes.copy_within(second - 64..second, second);
    let (_, recovered) = reopen(file);
    assert_eq!(records(&recovered).iter().map(|record| record.1).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(recovered.damaged.records, 1);
}

#[test]
fn an_unknown_epoch_in_a_header_costs_only_its_record() {
    assert_eq!(left_after(|bytes| bytes[8..16].fill(123)), (vec![0, 2], 1));
}

#[test]
fn a_wrong_checksum_costs_only_its_record() {
    assert_eq!(left_after(|bytes| bytes[4] ^= 1), (vec![0, 2], 1));
    assert_eq!(left_after(|bytes| bytes[20] ^= 1), (vec![0, 2], 1));
}

#[test]
fn a_wrong_length_costs_only_its_record() {
    for length in [0, 1, 39, 41, 104, 1 << 20, u32::MAX] {
        assert_eq!(left_after(|bytes| bytes[..4].copy_from_slice(&length.to_le_bytes())), (vec![0, 2], 1), "{length}");
    }
}

#[test]
fn changed_contents_cost_only_their_record() {
    assert_eq!(left_after(|bytes| bytes[30..34].copy_from_slice(b"beef")), (vec![0, 2], 1));
}

#[test]
fn garbage_after_the_last_record_is_not_believed() {
    let (mut file, second) = three_records();
    let mut dice = Dice(4);
    for byte in &mut file.disk.bytes[second + 128..SMALL.log_at(1) as usize] {
        *byte = dice.roll(256) as u8;
    }
    let (_, recovered) = reopen(file);
    assert_eq!(records(&recovered).len(), 3);
    assert_eq!(recovered.damaged.records, 0);
}

#[test]
fn records_that_lie_across_a_stale_one_are_seen_so_that_no_epoch_is_given_twice() {
    let mut file = begin(SMALL);
    file.begin_log(1).unwrap();
    file.append_log(&[1; 300]).unwrap();
    file.begin_log(2).unwrap();
    file.append_log(b"other slot").unwrap();
    let stale = file.disk.bytes.clone();
    file.begin_log(3).unwrap();
    file.append_log(&[3; 40]).unwrap();
    file.append_log(&[4; 40]).unwrap();
    // Power was lost: the second record reached the medium, the first did not.
    let first = SMALL.log_at(0) as usize..SMALL.log_at(0) as usize + 64;
    file.disk.bytes[first.clone()].copy_from_slice(&stale[first]);
    let (mut file, recovered) = reopen(file);
    assert_eq!(records(&recovered), [(2, 0, b"other slot".to_vec()), (3, 1, vec![4; 40])]);
    assert_eq!((recovered.newest_epoch, recovered.damaged.records), (3, 1));
    // So the next log is not taken for the start of that one.
    assert_eq!(file.begin_log(3), Err(FileError::OldEpoch { given: 3, newest: 3 }));
}

#[test]
fn bytes_made_to_be_slow_are_read_in_time_proportional_to_their_number() {
    // A header at every step, each right, each with a part or payload that reaches to the end and is damaged: to sum up
    // all of them would take hours.
    let geometry = Geometry { log_bytes: 8 << 20, arena_bytes: [64 << 20, 64, 64], ..SMALL };
    let mut file = begin(geometry);
    let (log, arena) = (geometry.log_at(0) as usize, geometry.arena_at(0) as usize);
    let mut header = Vec::new();
    for at in (0..(8 << 20) - 24).step_by(24) {
        let id = crc32c::crc32c(&FILE_ID.to_le_bytes());
        header.clear();
        header.extend_from_slice(&((8 << 20) - 24 - at as u32).to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&1_u64.to_le_bytes());
        header.extend_from_slice(&((at / 24) as u32).to_le_bytes());
        header.extend_from_slice(&crc32c::crc32c_append(id, &header).to_le_bytes());
        file.disk.bytes[log + at..log + at + 24].copy_from_slice(&header);
    }
    for at in (0..(64 << 20) - 64).step_by(64) {
        let mut bytes = segment(1, &[b""]);
        let length = (64_u32 << 20) - at as u32;
        bytes[24..28].copy_from_slice(&length.to_le_bytes());
        bytes[40..44].copy_from_slice(&(length - 48).to_le_bytes());
        let table = crc32c::crc32c(&bytes[40..48]);
        bytes[32..36].copy_from_slice(&table.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..36]);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
        file.disk.bytes[arena + at..arena + at + 48].copy_from_slice(&bytes);
    }
    let recovered = read(&file.disk).unwrap();
    assert_eq!((records(&recovered), segments(&recovered)), (vec![], vec![]));
    assert!(recovered.damaged.records > 0 && recovered.damaged.segments > 0);
}

#[test]
fn after_damage_a_new_log_is_written_and_both_are_read() {
    let (mut file, second) = three_records();
    file.disk.bytes[second] ^= 1;
    let (mut file, _) = reopen(file);
    file.begin_log(6).unwrap();
    for index in 4..=8_u8 {
        file.append_log(&[index; 40]).unwrap();
    }
    let (_, recovered) = reopen(file);
    let found: Vec<(u64, u8)> = records(&recovered).iter().map(|record| (record.0, record.2[0])).collect();
    assert_eq!(found, [(5, 1), (5, 3), (6, 4), (6, 5), (6, 6), (6, 7), (6, 8)]);
}

#[test]
fn a_damaged_part_leaves_the_other_parts_and_a_damaged_preamble_none() {
    let mut file = begin(SMALL);
    file.write_segment(0, 64, &segment(1, &[&[1; 10], &[2; 20], &[3; 30]])).unwrap();
    let body = SMALL.arena_at(0) as usize + 64 + 40 + 3 * 8;
    let intact = file.disk.bytes.clone();
    file.disk.bytes[body + 15] ^= 1;
    let recovered = read(&file.disk).unwrap();
    assert_eq!(segments(&recovered), [(0, 64, 1, vec![Some(vec![1; 10]), None, Some(vec![3; 30])])]);
    assert_eq!((recovered.damaged.parts, recovered.damaged.segments), (1, 0));
    file.disk.bytes = intact;
    file.disk.bytes[body] ^= 1;
    let recovered = read(&file.disk).unwrap();
    assert_eq!(segments(&recovered), []);
    assert_eq!((recovered.damaged.parts, recovered.damaged.segments), (0, 1));
}

#[test]
fn a_block_that_the_medium_cannot_read_costs_only_what_lies_in_it() {
    let geometry = Geometry { directory_bytes: 4096, log_bytes: 4096, arena_bytes: [16384, 4096, 4096] };
    let mut file = begin(geometry);
    for (sequence, offset) in [(1, 0), (2, 4096), (3, 8192), (4, 12288)] {
        file.write_segment(0, offset, &segment(sequence, &[b"p", &[7; 1000]])).unwrap();
    }
    file.disk.unreadable = vec![geometry.arena_at(0) + 4096];
    let recovered = read(&file.disk).unwrap();
    assert_eq!(segments(&recovered).iter().map(|found| found.2).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(recovered.damaged.unreadable_bytes, 4096);
}

#[test]
fn another_files_segments_and_records_are_not_believed() {
    let mut file = some_of_everything();
    let superblock = Superblock { file_id: FILE_ID + 1, geometry: SMALL };
    file.disk.bytes[..4096].copy_from_slice(&superblock.to_bytes());
    let recovered = read(&file.disk).unwrap();
    assert_eq!(recovered.directory, None);
    assert_eq!((records(&recovered), segments(&recovered)), (vec![], vec![]));
}
