//! Disks that are full, read-only, failing or slow: errors that say what may be done, and success when it was done.

use rustix::io::Errno;

use super::disk::{Event, Mood};
use super::*;
use crate::store::file::{FileError, Remedy};

#[test]
fn writes_that_are_interrupted_and_short_are_continued() {
    let mut file = begin(SMALL);
    file.disk.mood = Mood::Halting;
    file.write_directory(&[1; 90]).unwrap();
    file.begin_log(1).unwrap();
    file.append_log(&[2; 200]).unwrap();
    let bytes = segment(1, &[b"preamble", &[3; 300]]);
    file.write_segment(0, 64, &bytes).unwrap();
    let (_, recovered) = reopen(file);
    assert_eq!(recovered.directory, Some(vec![1; 90]));
    assert_eq!(records(&recovered), [(1, 0, vec![2; 200])]);
    assert_eq!(recovered.bytes(&recovered.segments[0]), bytes);
}

#[test]
fn every_write_that_failed_may_be_repeated_later() {
    for (errno, remedy) in [
        (Errno::NOSPC, Remedy::TryLater),
        (Errno::DQUOT, Remedy::TryLater),
        (Errno::FBIG, Remedy::TryLater),
        (Errno::ROFS, Remedy::TryLater),
        (Errno::IO, Remedy::GiveUp),
        (Errno::PERM, Remedy::GiveUp),
    ] {
        // Before the first byte, and in the middle of things.
        for taken in [0, 5, 30] {
            let mut file = begin(SMALL);
            file.write_directory(b"old").unwrap();
            file.begin_log(1).unwrap();
            file.append_log(b"first").unwrap();
            file.sync().unwrap();
            let bytes = segment(1, &[b"preamble", b"body"]);
            for write in [
                |file: &mut RingFile<MemoryDisk>, _: &[u8]| file.append_log(b"second, longer than thirty bytes"),
                |file: &mut RingFile<MemoryDisk>, _: &[u8]| file.write_directory(b"new"),
                |file: &mut RingFile<MemoryDisk>, bytes: &[u8]| file.write_segment(2, 0, bytes),
            ] {
                let failures = file.stats().failures;
                file.disk.mood = Mood::Failing(taken, errno);
                let error = write(&mut file, &bytes).unwrap_err();
                assert_eq!(error.remedy(), remedy, "{error}");
                assert_eq!(file.stats().failures, failures + 1);
                let meanwhile = read(&file.disk).unwrap();
                assert!(meanwhile.directory.is_some());
                assert_eq!(records(&meanwhile)[0], (1, 0, b"first".to_vec()));
                file.disk.mood = Mood::Well;
                write(&mut file, &bytes).unwrap();
            }
            let (_, recovered) = reopen(file);
            assert_eq!(recovered.directory.as_deref(), Some(b"new".as_slice()));
            assert_eq!(records(&recovered).len(), 2);
            assert_eq!(segments(&recovered).len(), 1);
            assert!(!recovered.damaged.any(), "{:?}", recovered.damaged);
        }
    }
}

#[test]
fn a_failed_barrier_is_told_and_asked_for_again() {
    let mut file = begin(SMALL);
    file.write_directory(b"one").unwrap();
    file.disk.mood = Mood::Failing(usize::MAX, Errno::NOSPC);
    assert_eq!(file.write_directory(b"two").unwrap_err().remedy(), Remedy::TryLater);
    assert!(matches!(file.sync(), Err(FileError::NoRoom { operation: "fdatasync", .. })));
    file.disk.mood = Mood::Well;
    file.write_directory(b"two").unwrap();
    let (_, recovered) = reopen(file);
    assert_eq!(recovered.directory.as_deref(), Some(b"two".as_slice()));
}

#[test]
fn an_older_log_is_not_overwritten_before_the_segment_that_replaces_it_is_safe() {
    let mut file = begin(SMALL);
    file.begin_log(1).unwrap();
    file.append_log(b"to be sealed").unwrap();
    file.begin_log(2).unwrap();
    file.write_segment(0, 0, &segment(1, &[b"sealed"])).unwrap();
    file.disk.events.clear();
    file.begin_log(3).unwrap();
    file.append_log(b"over the first log").unwrap();
    assert_eq!(file.disk.events[0], Event::Sync);
    assert_eq!(file.disk.events.len(), 2);
    // Nothing new to make safe: no second barrier.
    file.begin_log(4).unwrap();
    assert_eq!(file.disk.events.len(), 2);
}

#[test]
fn after_a_restart_nothing_found_is_taken_for_safe() {
    let mut file = begin(SMALL);
    file.write_directory(b"one").unwrap();
    let (mut file, _) = reopen(file);
    file.disk.events.clear();
    file.write_directory(b"two").unwrap();
    assert_eq!(file.disk.events[0], Event::Sync);
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_everything_as_it_was() {
    let mut file = some_of_everything();
    let before = file.disk.bytes.clone();
    let room = |result: Result<(), FileError>| match result.unwrap_err() {
        FileError::PastTheEnd { place, needed, room } => (place, needed, room),
        other => unreachable!("{other}"),
    };
    assert_eq!(room(file.write_directory(&[0; 97])), ("directory", 129, 128));
    // 144 bytes of the log are in use: 40 + 48 + 56.
    assert_eq!(room(file.append_log(&[0; 361])), ("log", 392, 368));
    let bytes = segment(9, &[b"preamble"]);
    assert_eq!(room(file.write_segment(1, 512, &bytes)), ("arena", 56, 0));
    assert_eq!(room(file.write_segment(1, 1 << 40, &bytes)), ("arena", 56, 0));
    assert_eq!(room(file.write_segment(3, 0, &bytes)), ("arena", 56, 0));
    assert_eq!(file.write_segment(0, 32, &bytes), Err(FileError::Misaligned { offset: 32, align: 64 }));
    assert_eq!(file.write_segment(0, 0, &bytes[..50]), Err(FileError::NotASegment));
    assert_eq!(file.write_segment(0, 0, b"no header at all"), Err(FileError::NotASegment));
    assert_eq!(file.begin_log(8), Err(FileError::OldEpoch { given: 8, newest: 8 }));
    assert_eq!(file.disk.bytes, before);
    file.append_log(&[0; 344]).unwrap();
    file.write_directory(&[0; 96]).unwrap();
    file.write_segment(1, 448, &bytes).unwrap();
}

#[test]
fn a_record_needs_an_open_log_also_after_a_restart() {
    let (mut file, _) = reopen(some_of_everything());
    assert_eq!(file.append_log(b"x"), Err(FileError::NoLog));
    file.begin_log(9).unwrap();
    file.append_log(b"x").unwrap();
}

#[test]
fn the_stats_count_what_was_written() {
    let mut file = begin(SMALL);
    assert_eq!(file.stats().file_bytes, 4096 + 2 * 128 + 2 * 512 + 2048);
    file.begin_log(1).unwrap();
    file.append_log(&[0; 9]).unwrap();
    file.write_directory(&[0; 10]).unwrap();
    file.sync().unwrap();
    let stats = file.stats();
    assert_eq!((stats.writes, stats.written_bytes, stats.syncs, stats.failures), (2, 40 + 42, 1, 0));
    assert_eq!((stats.log_used_bytes, stats.log_bytes), (40, 512));
}
