//! The ring file in a real folder: made, locked, refused, set aside, taken back, rebuilt, and on full disks.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::store::file::{OpenOptions, Remedy, open, open_read_only};

const NO_WAIT: OpenOptions = OpenOptions { wait: Duration::ZERO };

const PAGES: Geometry = Geometry { directory_bytes: 4096, log_bytes: 8192, arena_bytes: [32768, 16384, 8192] };

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Opens, writes one record into a log of its own, and closes.
fn leave(dir: &Path, record: &[u8]) -> Recovered {
    let (mut file, recovered) = open(dir, PAGES, NO_WAIT).unwrap();
    file.begin_log(recovered.newest_epoch + 1).unwrap();
    file.append_log(record).unwrap();
    recovered
}

fn left(recovered: &Recovered) -> Vec<String> {
    records(recovered).into_iter().map(|record| String::from_utf8(record.2).unwrap()).collect()
}

#[test]
fn a_missing_folder_is_made_for_its_owner_alone_and_the_file_has_its_room() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("var/lib/ring");
    assert!(left(&leave(&dir, b"first")).is_empty());
    assert_eq!(names(&dir), ["ring"]);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let file = fs::metadata(dir.join("ring")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert_eq!(file.len(), PAGES.file_bytes());
    assert!(file.blocks() * 512 >= PAGES.file_bytes(), "{} blocks", file.blocks());
    assert_eq!(left(&leave(&dir, b"second")), ["first"]);
    let recovered = open_read_only(&dir).unwrap();
    assert_eq!(left(&recovered), ["first", "second"]);
    assert!(!recovered.damaged.any());
}

#[test]
fn a_second_writer_is_told_and_may_write_when_the_first_is_gone() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    let (first, _) = open(dir, PAGES, NO_WAIT).unwrap();
    let waited = Duration::from_millis(1);
    let error = open(dir, PAGES, OpenOptions { wait: waited }).unwrap_err();
    assert_eq!(error, FileError::Locked { path: dir.to_path_buf(), waited });
    assert_eq!(error.remedy(), Remedy::TryLater);
    // Reading needs no lock.
    open_read_only(dir).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| open(dir, PAGES, OpenOptions { wait: Duration::from_secs(600) }));
        drop(first);
        second.join().unwrap().unwrap();
    });
}

#[test]
fn the_lock_is_held_by_the_writer_of_a_rebuilt_file_too() {
    let temporary = tempfile::tempdir().unwrap();
    leave(temporary.path(), b"x");
    let larger = Geometry { log_bytes: 16384, ..PAGES };
    let (rebuilt, _) = open(temporary.path(), larger, NO_WAIT).unwrap();
    assert!(matches!(open(temporary.path(), larger, NO_WAIT), Err(FileError::Locked { .. })));
    drop(rebuilt);
    let (again, _) = open(temporary.path(), larger, NO_WAIT).unwrap();
    assert!(matches!(open(temporary.path(), larger, NO_WAIT), Err(FileError::Locked { .. })));
    drop(again);
}

#[test]
fn links_pipes_and_folders_by_its_name_are_refused_and_left_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    let ring = dir.join("ring");
    let refused = || {
        let expected = FileError::NotARegularFile { path: ring.clone() };
        assert_eq!(open(dir, PAGES, NO_WAIT).unwrap_err(), expected);
        assert_eq!(open_read_only(dir).unwrap_err(), expected);
    };
    let target = dir.join("target");
    fs::write(&target, b"").unwrap();
    symlink(&target, &ring).unwrap();
    refused();
    assert_eq!(fs::read(&target).unwrap(), b"");
    fs::remove_file(&ring).unwrap();
    symlink("nowhere", &ring).unwrap();
    refused();
    fs::remove_file(&ring).unwrap();
    fs::create_dir(&ring).unwrap();
    refused();
    fs::remove_dir(&ring).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &ring, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    refused();
}

#[test]
fn another_programs_file_is_refused_and_never_touched() {
    let temporary = tempfile::tempdir().unwrap();
    let ring = temporary.path().join("ring");
    for text in [b"my only copy of something".as_slice(), b"x", b"\xFFring\xFEg\x1A"] {
        fs::write(&ring, text).unwrap();
        let error = open(temporary.path(), PAGES, NO_WAIT).unwrap_err();
        assert_eq!(error, FileError::NotARingFile { path: ring.clone() });
        assert!(error.to_string().contains("move it away"), "{error}");
        assert_eq!(fs::read(&ring).unwrap(), text);
        assert_eq!(names(temporary.path()), ["ring"]);
    }
}

#[test]
fn a_blank_file_is_begun_anew_and_counted() {
    let temporary = tempfile::tempdir().unwrap();
    for length in [0, 1, 4096, 3_000_000] {
        fs::write(temporary.path().join("ring"), vec![0; length]).unwrap();
        let recovered = leave(temporary.path(), b"x");
        assert_eq!((recovered.damaged.superblocks, recovered.aside.len()), (1, 0), "{length} zeros");
        assert_eq!(names(temporary.path()), ["ring"]);
    }
}

#[test]
fn a_file_with_a_damaged_superblock_is_set_aside_and_only_the_last_such_file_is_kept() {
    let temporary = tempfile::tempdir().unwrap();
    let ring = temporary.path().join("ring");
    for round in [b"one", b"two"] {
        leave(temporary.path(), round);
        let mut bytes = fs::read(&ring).unwrap();
        bytes[30] ^= 1;
        fs::write(&ring, &bytes).unwrap();
        assert_eq!(open_read_only(temporary.path()).unwrap_err(), FileError::Superblock { path: ring.clone() });
        let recovered = open(temporary.path(), PAGES, NO_WAIT).unwrap().1;
        assert!(left(&recovered).is_empty());
        assert_eq!(recovered.damaged.superblocks, 1);
        let aside = temporary.path().join("ring-damaged.aside");
        assert_eq!(recovered.aside, [crate::store::file::recovered::Aside { path: aside.clone(), version: None }]);
        assert_eq!(fs::read(aside).unwrap(), bytes);
        assert_eq!(names(temporary.path()), ["ring", "ring-damaged.aside"]);
    }
}

#[test]
fn another_versions_file_is_set_aside_and_ours_is_taken_back_after_it() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    leave(dir, b"ours");
    // What another version does: it sets ours aside and begins its own.
    fs::rename(dir.join("ring"), dir.join("ring-v2.aside")).unwrap();
    fs::write(dir.join("ring"), other_version(3)).unwrap();
    assert_eq!(open_read_only(dir).unwrap_err(), FileError::OtherVersion { path: dir.join("ring"), version: 3 });
    let recovered = leave(dir, b"ours again");
    assert_eq!(left(&recovered), ["ours"]);
    assert!(recovered.taken_back);
    assert_eq!(recovered.aside[0].version, Some(3));
    assert_eq!(names(dir), ["ring", "ring-v3.aside"]);
    // And once more, the other way round.
    fs::rename(dir.join("ring"), dir.join("ring-v2.aside")).unwrap();
    fs::rename(dir.join("ring-v3.aside"), dir.join("ring")).unwrap();
    assert_eq!(left(&leave(dir, b"x")), ["ours", "ours again"]);
    assert_eq!(fs::read(dir.join("ring-v3.aside")).unwrap(), other_version(3));
}

#[test]
fn however_many_versions_there_were_one_file_of_another_version_is_kept() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("ring-vX.aside"), b"not ours").unwrap();
    for version in [1, 3, 4, u32::MAX] {
        fs::write(temporary.path().join("ring"), other_version(version)).unwrap();
        let recovered = open(temporary.path(), PAGES, NO_WAIT).unwrap().1;
        assert!(!recovered.taken_back);
        fs::remove_file(temporary.path().join("ring")).unwrap();
        assert_eq!(names(temporary.path()), [format!("ring-v{version}.aside"), "ring-vX.aside".to_string()]);
    }
}

#[test]
fn a_file_that_was_cut_is_given_its_size_back() {
    let temporary = tempfile::tempdir().unwrap();
    leave(temporary.path(), b"kept");
    let ring = temporary.path().join("ring");
    let cut = PAGES.arena_at(0) + 100;
    fs::OpenOptions::new().write(true).open(&ring).unwrap().set_len(cut).unwrap();
    let (mut file, recovered) = open(temporary.path(), PAGES, NO_WAIT).unwrap();
    assert_eq!(left(&recovered), ["kept"]);
    assert_eq!(recovered.damaged.truncated_bytes, PAGES.file_bytes() - cut);
    assert_eq!(fs::metadata(&ring).unwrap().len(), PAGES.file_bytes());
    let mut bytes = Vec::new();
    file.framer().frame(1, &[&[9; 4000]], &mut bytes).unwrap();
    file.write_segment(2, 4096, &bytes).unwrap();
    assert_eq!(open_read_only(temporary.path()).unwrap().segments.len(), 1);
}

/// A file with a directory, two logs, and four segments in each tier that fill half of it.
fn fill(dir: &Path) -> Recovered {
    let (mut file, _) = open(dir, PAGES, NO_WAIT).unwrap();
    file.write_directory(&[1; 3000]).unwrap();
    for epoch in [1, 2] {
        file.begin_log(epoch).unwrap();
        for index in 0..6_u8 {
            file.append_log(&[index; 1000]).unwrap();
        }
    }
    let mut bytes = Vec::new();
    for sequence in 0..12_u64 {
        let tier = (sequence % 3) as usize;
        let eighth = PAGES.arena_bytes[tier] / 8;
        let body = vec![sequence as u8; eighth as usize - 100];
        file.framer().frame(sequence + 1, &[b"preamble", &body], &mut bytes).unwrap();
        file.write_segment(tier, 2 * eighth * (sequence / 3), &bytes).unwrap();
    }
    open_read_only(dir).unwrap()
}

/// What a reader is given, without the places in the file.
type Contents = (Option<Vec<u8>>, Vec<Record>, Vec<Vec<u8>>);

fn contents(recovered: &Recovered) -> Contents {
    let segments = recovered.segments.iter().map(|segment| recovered.bytes(segment).to_vec()).collect();
    (recovered.directory.clone(), records(recovered), segments)
}

#[test]
fn a_larger_file_is_built_from_a_smaller_one_and_holds_all_of_it() {
    let temporary = tempfile::tempdir().unwrap();
    let before = fill(temporary.path());
    assert_eq!(before.segments.len(), 12);
    fs::write(temporary.path().join("ring.new"), b"left behind by a crash").unwrap();
    let larger = Geometry { directory_bytes: 8192, log_bytes: 16384, arena_bytes: [65536, 16384, 32768] };
    let (mut file, recovered) = open(temporary.path(), larger, NO_WAIT).unwrap();
    assert_eq!(names(temporary.path()), ["ring"]);
    assert_eq!(contents(&recovered), contents(&before));
    let (reread, places) = (open_read_only(temporary.path()).unwrap(), segments(&recovered));
    assert_eq!((reread.geometry, contents(&reread)), (larger, contents(&before)));
    assert_eq!(segments(&reread), places);
    assert!(!reread.damaged.any(), "{:?}", reread.damaged);
    // It can be gone on with.
    file.begin_log(3).unwrap();
    file.append_log(b"after").unwrap();
    file.write_directory(b"after").unwrap();
    let reread = open_read_only(temporary.path()).unwrap();
    assert_eq!(reread.logs.iter().map(|log| log.epoch).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(reread.directory.as_deref(), Some(b"after".as_slice()));
}

#[test]
fn a_smaller_file_keeps_the_newest_of_each_tier_and_the_start_of_each_log() {
    let temporary = tempfile::tempdir().unwrap();
    let before = fill(temporary.path());
    let smaller = Geometry { directory_bytes: 1024, log_bytes: 4096, arena_bytes: [8192, 4096, 64] };
    let (_, recovered) = open(temporary.path(), smaller, NO_WAIT).unwrap();
    let kept: Vec<(usize, u64, u64)> =
        recovered.segments.iter().map(|segment| (segment.tier, segment.offset, segment.sequence)).collect();
    assert_eq!(kept, [(0, 0, 7), (1, 0, 8), (0, 4096, 10), (1, 2048, 11)]);
    // In memory there is still more than fits into the file.
    assert_eq!(recovered.directory, before.directory);
    assert_eq!(records(&recovered).len(), 12);
    let reread = open_read_only(temporary.path()).unwrap();
    assert_eq!(segments(&reread), segments(&recovered));
    assert_eq!(reread.directory, None);
    assert_eq!(records(&reread).iter().map(|record| record.1).collect::<Vec<_>>(), [0, 1, 2, 3, 0, 1, 2, 3]);
    assert!(!reread.damaged.any(), "{:?}", reread.damaged);
}

#[test]
fn what_is_older_than_a_segment_that_no_longer_fits_is_left_out_too() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut file, _) = open(temporary.path(), PAGES, NO_WAIT).unwrap();
    let mut bytes = Vec::new();
    for (sequence, length, offset) in [(1, 100, 0), (2, 5000, 4096), (3, 100, 16384)] {
        file.framer().frame(sequence, &[&vec![7; length]], &mut bytes).unwrap();
        file.write_segment(0, offset, &bytes).unwrap();
    }
    drop(file);
    let smaller = Geometry { arena_bytes: [4096, 64, 64], ..PAGES };
    let (_, recovered) = open(temporary.path(), smaller, NO_WAIT).unwrap();
    // The first would fit, and leave a hole in the history.
    assert_eq!(recovered.segments.iter().map(|segment| segment.sequence).collect::<Vec<_>>(), [3]);
}

/// A filesystem of one MiB; needs root, as in the project's machine for tests.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let disk = rustix::process::geteuid().is_root().then_some(Self(dir))?;
        disk.mounted(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).then_some(disk)
    }

    fn mounted(&self, arguments: &[&str]) -> bool {
        Command::new("mount").args(arguments).arg(self.0.path()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_full_or_read_only_disk_nothing_is_lost_and_later_it_works() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("not tried: no filesystem can be mounted here");
        return;
    };
    let dir = disk.0.path().join("data");
    let larger = Geometry { arena_bytes: [2 << 20, 64, 64], ..PAGES };
    // No room for a first file: no trace is left.
    let error = open(&dir, larger, NO_WAIT).unwrap_err();
    assert!(matches!(error, FileError::NoRoom { operation: "fallocate", .. }), "{error}");
    assert_eq!(error.remedy(), Remedy::TryLater);
    assert_eq!(names(&dir), [""; 0]);
    // No room for a larger one: the old one stays.
    let before = fill(&dir);
    let error = open(&dir, larger, NO_WAIT).unwrap_err();
    assert_eq!(error.remedy(), Remedy::TryLater);
    assert_eq!(names(&dir), ["ring"]);
    assert_eq!(contents(&open_read_only(&dir).unwrap()), contents(&before));
    // Room for either, not for both: what the old one held is in the new one.
    let most = Geometry { arena_bytes: [900 << 10, 8192, 8192], ..PAGES };
    let fits = Geometry { arena_bytes: [500 << 10, 16384, 8192], ..PAGES };
    assert_eq!(contents(&open(&dir, fits, NO_WAIT).unwrap().1), contents(&before));
    let (file, recovered) = open(&dir, most, NO_WAIT).unwrap();
    assert_eq!(file.geometry(), most);
    assert_eq!(recovered.segments.len(), 12);
    drop(file);
    assert_eq!(contents(&open_read_only(&dir).unwrap()), contents(&recovered));
    // Read-only: reading goes on; writing is told what is wrong, and works again later.
    assert!(disk.mounted(&["-o", "remount,ro"]));
    let error = open(&dir, most, NO_WAIT).unwrap_err();
    assert!(matches!(error, FileError::ReadOnly { .. }), "{error}");
    assert_eq!(error.remedy(), Remedy::TryLater);
    assert_eq!(contents(&open_read_only(&dir).unwrap()), contents(&recovered));
    assert!(disk.mounted(&["-o", "remount,rw"]));
    assert_eq!(contents(&open(&dir, most, NO_WAIT).unwrap().1), contents(&recovered));
}

#[test]
fn reading_a_folder_without_a_ring_says_so_and_makes_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let absent = temporary.path().join("absent");
    assert_eq!(open_read_only(&absent).unwrap_err(), FileError::Absent { path: absent.clone() });
    assert_eq!(
        open_read_only(temporary.path()).unwrap_err(),
        FileError::Absent { path: temporary.path().join("ring") }
    );
    assert_eq!(names(temporary.path()), [""; 0]);
}
