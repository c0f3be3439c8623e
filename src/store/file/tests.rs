//! The ring file held against damage, crashes, power loss, full disks and other files.
//!
//! In: small files, on a disk in memory that remembers every write, and on the real one. Out: what a reader gives back,
//! always compared with what was written.

#![expect(clippy::cast_possible_truncation, reason = "test values are small")]

mod damage;
mod disk;
mod folder;
mod full;
mod model;

use std::path::PathBuf;

use super::format::{Head, Superblock, VERSION};
use super::{Disk, FileError, Framer, Geometry, Recovered, RingFile, scan};
use crate::sample::catalogue::Table;
use disk::MemoryDisk;

/// Small, so that every byte can be damaged.
const SMALL: Geometry = Geometry { directory_bytes: 128, log_bytes: 512, arena_bytes: [1024, 512, 512] };

const FILE_ID: u64 = 0x0123_4567_89AB_CDEF;

/// An empty file in memory.
fn begin(geometry: Geometry) -> RingFile<MemoryDisk> {
    let disk = MemoryDisk::zeros(geometry.file_bytes());
    RingFile::begin(disk, PathBuf::from("ring"), geometry, FILE_ID).unwrap().0
}

/// What a reader finds on a disk; `None` if the superblock is not believed.
fn read<D: Disk>(disk: &D) -> Option<Recovered> {
    let mut head = Vec::with_capacity(4096);
    disk.read_at(&mut head, 0).unwrap();
    match Superblock::read(&head) {
        Head::Ours(superblock) => Some(scan::read_everything(disk, &superblock).unwrap()),
        _ => None,
    }
}

/// The file as another process would find it.
fn reopen(file: RingFile<MemoryDisk>) -> (RingFile<MemoryDisk>, Recovered) {
    let geometry = file.geometry();
    let recovered = read(&file.disk).unwrap();
    (RingFile::new(file.disk, PathBuf::from("ring"), geometry, &recovered), recovered)
}

fn segment(sequence: u64, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Framer { file_id: FILE_ID }.frame(sequence, parts, &mut bytes).unwrap();
    bytes
}

/// Epoch, index, payload.
type Record = (u64, u32, Vec<u8>);

/// All records.
fn records(recovered: &Recovered) -> Vec<Record> {
    let all =
        recovered.logs.iter().flat_map(|log| log.records().map(|(index, bytes)| (log.epoch, index, bytes.to_vec())));
    all.collect()
}

/// Tier, offset, sequence, parts.
type Found = (usize, u64, u64, Vec<Option<Vec<u8>>>);

fn segments(recovered: &Recovered) -> Vec<Found> {
    let all = recovered.segments.iter().map(|segment| {
        let parts = (0..segment.parts.len()).map(|number| recovered.part(segment, number).map(<[u8]>::to_vec));
        (segment.tier, segment.offset, segment.sequence, parts.collect())
    });
    all.collect()
}

/// A file with some of everything: two directories, two logs, segments in each arena.
fn some_of_everything() -> RingFile<MemoryDisk> {
    let mut file = begin(SMALL);
    file.write_directory(b"the first directory").unwrap();
    file.write_directory(b"the second one").unwrap();
    file.begin_log(7).unwrap();
    for record in ["a", "bb bb bb bb", "", "dddd dddd dddd dddd dddd dddd"] {
        file.append_log(record.as_bytes()).unwrap();
    }
    file.begin_log(8).unwrap();
    for record in ["second log", "its second record", "its third and last record"] {
        file.append_log(record.as_bytes()).unwrap();
    }
    file.write_segment(0, 0, &segment(1, &[b"preamble one", b"cpu cpu cpu", b"memory"])).unwrap();
    file.write_segment(0, 128, &segment(2, &[b"preamble two", b"cpu", b"memory memory memory", b""])).unwrap();
    file.write_segment(0, 512, &segment(4, &[&[3; 100], &[4; 200]])).unwrap();
    file.write_segment(1, 64, &segment(3, &[b"middle", b"coarser"])).unwrap();
    file.write_segment(2, 384, &segment(5, &[b"coarse"])).unwrap();
    file.sync().unwrap();
    file
}

#[test]
fn everything_written_is_given_back_exactly() {
    let (_, recovered) = reopen(some_of_everything());
    assert_eq!(recovered.directory.as_deref(), Some(b"the second one".as_slice()));
    let want: [(u64, u32, &str); 7] = [
        (7, 0, "a"),
        (7, 1, "bb bb bb bb"),
        (7, 2, ""),
        (7, 3, "dddd dddd dddd dddd dddd dddd"),
        (8, 0, "second log"),
        (8, 1, "its second record"),
        (8, 2, "its third and last record"),
    ];
    assert_eq!(records(&recovered), want.map(|(epoch, index, text)| (epoch, index, text.as_bytes().to_vec())));
    let part = |bytes: &[u8]| Some(bytes.to_vec());
    assert_eq!(
        segments(&recovered),
        [
            (0, 0, 1, vec![part(b"preamble one"), part(b"cpu cpu cpu"), part(b"memory")]),
            (0, 128, 2, vec![part(b"preamble two"), part(b"cpu"), part(b"memory memory memory"), part(b"")]),
            (1, 64, 3, vec![part(b"middle"), part(b"coarser")]),
            (0, 512, 4, vec![part(&[3; 100]), part(&[4; 200])]),
            (2, 384, 5, vec![part(b"coarse")]),
        ]
    );
    assert_eq!(recovered.bytes(&recovered.segments[0]), segment(1, &[b"preamble one", b"cpu cpu cpu", b"memory"]));
    assert!(!recovered.damaged.any(), "{:?}", recovered.damaged);
    assert_eq!((recovered.newest_epoch, recovered.newest_sequence()), (8, 5));
}

#[test]
fn a_new_file_holds_nothing_and_nothing_is_damaged() {
    let (_, recovered) = reopen(begin(SMALL));
    assert_eq!(recovered.directory, None);
    assert_eq!((records(&recovered), segments(&recovered)), (vec![], vec![]));
    assert!(!recovered.damaged.any(), "{:?}", recovered.damaged);
}

#[test]
fn a_log_begun_anew_hides_the_stale_records_after_its_own() {
    let mut file = begin(SMALL);
    for epoch in 1..=3 {
        file.begin_log(epoch).unwrap();
        // Each later log is shorter, so that intact records of epoch 1 follow those of epoch 3.
        for index in 0..(8 - 2 * epoch) {
            file.append_log(format!("epoch {epoch} record {index}").as_bytes()).unwrap();
        }
    }
    let (mut file, recovered) = reopen(file);
    let epochs: Vec<(u64, usize)> = recovered.logs.iter().map(|log| (log.epoch, log.records().count())).collect();
    assert_eq!(epochs, [(2, 4), (3, 2)]);
    assert!(!recovered.damaged.any(), "{:?}", recovered.damaged);
    // After a restart the older of the two is overwritten.
    file.begin_log(4).unwrap();
    file.append_log(b"x").unwrap();
    let (_, recovered) = reopen(file);
    assert_eq!(recovered.logs.iter().map(|log| log.epoch).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_log_that_was_begun_and_never_written_costs_the_older_log_nothing() {
    let mut file = begin(SMALL);
    for epoch in [1, 2] {
        file.begin_log(epoch).unwrap();
        file.append_log(b"kept").unwrap();
    }
    file.begin_log(3).unwrap();
    let (_, recovered) = reopen(file);
    assert_eq!(records(&recovered), [(1, 0, b"kept".to_vec()), (2, 0, b"kept".to_vec())]);
}

#[test]
fn the_directory_alternates_between_its_slots_across_restarts() {
    let mut file = begin(SMALL);
    for round in 0..5_u8 {
        file.write_directory(&[round; 40]).unwrap();
        let (again, recovered) = reopen(file);
        assert_eq!(recovered.directory, Some(vec![round; 40]));
        assert_eq!(recovered.directory_place, Some((u64::from(round) + 1, usize::from(round % 2))));
        file = again;
    }
}

#[test]
fn a_segment_written_across_older_ones_replaces_them_and_spares_the_others() {
    let mut file = begin(SMALL);
    for (sequence, offset) in [(1, 0), (2, 256), (3, 512), (4, 768)] {
        file.write_segment(0, offset, &segment(sequence, &[b"p", &[sequence as u8; 180]])).unwrap();
    }
    file.write_segment(0, 128, &segment(5, &[b"p", &[5; 180]])).unwrap();
    let (_, recovered) = reopen(file);
    let found: Vec<(u64, u64)> = segments(&recovered).iter().map(|found| (found.1, found.2)).collect();
    assert_eq!(found, [(512, 3), (768, 4), (128, 5)]);
}

#[test]
fn a_geometry_that_cannot_be_laid_out_is_refused() {
    SMALL.check().unwrap();
    for (geometry, reason) in [
        (Geometry { log_bytes: 0, ..SMALL }, "every part needs at least 64 bytes"),
        (Geometry { arena_bytes: [64, 64, 65], ..SMALL }, "sizes are multiples of 64"),
        (Geometry { directory_bytes: 1 << 63, ..SMALL }, "a ring file has at most 1 TiB"),
        (Geometry { arena_bytes: [1 << 39; 3], ..SMALL }, "a ring file has at most 1 TiB"),
    ] {
        assert_eq!(geometry.check(), Err(FileError::Geometry { reason }));
    }
}

#[test]
fn only_a_superblock_with_its_checksums_is_believed() {
    let superblock = Superblock { file_id: FILE_ID, geometry: SMALL };
    let bytes = superblock.to_bytes();
    assert_eq!(bytes.len(), 4096);
    assert_eq!(Superblock::read(&bytes), Head::Ours(superblock));
    assert_eq!(Superblock::read(b""), Head::Damaged);
    assert_eq!(Superblock::read(&bytes[..5]), Head::Damaged);
    assert_eq!(Superblock::read(&[0; 4096]), Head::Damaged);
    assert_eq!(Superblock::read(b"ring of history\n"), Head::Foreign);
    assert_eq!(Superblock::read(b"x"), Head::Foreign);
    assert_eq!(Superblock::read(&other_version(77)), Head::OtherVersion(77));
    // Right checksums over sizes that cannot be: somebody made it so.
    let made = Superblock { geometry: Geometry { log_bytes: 1 << 60, ..SMALL }, ..superblock };
    assert_eq!(Superblock::read(&made.to_bytes()), Head::Damaged);
}

/// The first block of a file of another version, which may look like anything after its first 16 bytes.
fn other_version(version: u32) -> Vec<u8> {
    let mut bytes = vec![0xAB; 4096];
    bytes[..8].copy_from_slice(b"\xFFring\xFEf\x1A");
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_file_that_declares_more_than_it_has_costs_only_what_it_has() {
    let superblock = Superblock { file_id: FILE_ID, geometry: Geometry { arena_bytes: [1 << 38; 3], ..SMALL } };
    let recovered = read(&MemoryDisk::of(superblock.to_bytes())).unwrap();
    assert_eq!(recovered.arenas.iter().map(Vec::capacity).sum::<usize>(), 0);
    assert_eq!(recovered.damaged.truncated_bytes, superblock.geometry.file_bytes() - 4096);
}

/// Columns are known by their place alone, so an older file would be read wrong after any change to them.
#[test]
fn the_catalogue_of_this_format_version() {
    let lines = |table: Table| {
        table.metrics().iter().map(move |m| format!("{table:?}.{} {} {}\n", m.name, m.unit.as_str(), m.kind.as_str()))
    };
    let catalogue: String = Table::ALL.into_iter().flat_map(lines).collect();
    assert_eq!(
        (VERSION, crc32c::crc32c(catalogue.as_bytes())),
        (2, 0xA67F_4858),
        "the catalogue has changed: raise VERSION in format.rs and in docs/ring-format.md, then write both numbers here"
    );
}
