//! Reading kernel files: short reads, caps, links, and what a removed cgroup's descriptor says.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn folder() -> (tempfile::TempDir, KernelDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = KernelDir::open_root(folder.path()).unwrap();
    (folder, dir)
}

#[test]
fn a_kept_file_is_read_from_its_start_each_time() {
    let (folder, dir) = folder();
    fs::write(folder.path().join("cpu.stat"), "usage_usec 1\n").unwrap();
    let file = dir.open_file("cpu.stat").unwrap();
    let mut buffer = ReadBuffer::default();
    assert_eq!(file.read_into(&mut buffer), Ok(&b"usage_usec 1\n"[..]));
    fs::write(folder.path().join("cpu.stat"), "usage_usec 22\n").unwrap();
    assert_eq!(file.read_into(&mut buffer), Ok(&b"usage_usec 22\n"[..]));
    fs::write(folder.path().join("cpu.stat"), "").unwrap();
    assert_eq!(file.read_into(&mut buffer), Ok(&b""[..]));
}

#[test]
fn the_buffer_grows_to_its_cap_and_a_longer_file_is_malformed() {
    let (folder, dir) = folder();
    let long = "0123456789abcde\n".repeat(5000);
    fs::write(folder.path().join("memory.stat"), &long).unwrap();
    let mut buffer = ReadBuffer::default();
    assert_eq!(dir.read_once("memory.stat", &mut buffer), Ok(long.as_bytes()));
    let held = buffer.held_bytes();
    assert_eq!(dir.read_once("memory.stat", &mut buffer), Ok(long.as_bytes()));
    assert_eq!(buffer.held_bytes(), held);
    let mut small = ReadBuffer::new(long.len() - 1);
    assert_eq!(dir.read_once("memory.stat", &mut small), Err(ErrorClass::Malformed));
    assert!(small.held_bytes() < long.len());
    assert_eq!(dir.read_once("memory.stat", &mut ReadBuffer::new(0)), Err(ErrorClass::Malformed));
}

#[test]
fn a_file_of_many_records_is_read_past_its_short_reads() {
    // The kernel hands out 4 KiB of /proc/kallsyms at a time, whatever the buffer; the file has megabytes.
    let mut buffer = ReadBuffer::new(64 << 20);
    if let Ok(bytes) = read_path_once(Path::new("/proc/kallsyms"), Records::Many, &mut buffer) {
        assert!(bytes.len() > 1 << 20 && bytes.ends_with(b"\n"));
    }
}

#[test]
fn the_lists_of_pids_have_many_records_and_other_cgroup_files_one() {
    assert_eq!(Records::of_cgroup_file("cgroup.procs"), Records::Many);
    assert_eq!(Records::of_cgroup_file("cgroup.threads"), Records::Many);
    assert_eq!(Records::of_cgroup_file("tasks"), Records::Many);
    assert_eq!(Records::of_cgroup_file("memory.stat"), Records::One);
}

#[test]
fn real_files_are_read_whole_in_both_ways() {
    let mut buffer = ReadBuffer::default();
    for path in ["/proc/stat", "/proc/meminfo", "/proc/vmstat", "/proc/self/mountinfo"] {
        let whole = read_path_once(Path::new(path), Records::Many, &mut buffer).unwrap();
        assert!(whole.ends_with(b"\n") && whole.len() > 100, "{path}");
    }
    let stat = KernelFile::open(Path::new("/proc/stat"), Records::One).unwrap();
    let text = String::from_utf8(stat.read_into(&mut buffer).unwrap().to_vec()).unwrap();
    assert!(text.starts_with("cpu ") && text.contains("\nprocs_blocked ") && text.contains("\nsoftirq "));
}

#[test]
fn a_missing_file_is_gone_and_says_its_path() {
    let (_folder, dir) = folder();
    assert_eq!(dir.open_file("cpu.stat").unwrap_err(), ErrorClass::Gone);
    let error = KernelFile::open(Path::new("/proc/none"), Records::One).unwrap_err();
    assert_eq!((error.class(), error.to_string().as_str()), (ErrorClass::Gone, "cannot open /proc/none: gone"));
}

#[test]
fn a_removed_folder_stays_removed_when_its_name_comes_back() {
    let (folder, dir) = folder();
    fs::create_dir(folder.path().join("pod")).unwrap();
    let pod = dir.open_below(Path::new("pod")).unwrap();
    fs::remove_dir(folder.path().join("pod")).unwrap();
    fs::create_dir(folder.path().join("pod")).unwrap();
    fs::write(folder.path().join("pod/cpu.stat"), "usage_usec 1\n").unwrap();
    assert_eq!(pod.open_file("cpu.stat").unwrap_err(), ErrorClass::Gone);
}

#[test]
fn neither_links_nor_dots_lead_out_of_a_folder() {
    let (folder, dir) = folder();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    fs::write(folder.path().join("a/b/cpu.stat"), "usage_usec 1\n").unwrap();
    symlink("a", folder.path().join("link")).unwrap();
    symlink("b/cpu.stat", folder.path().join("a/linked.stat")).unwrap();
    for open in [KernelDir::open_below, KernelDir::open_each_part] {
        let read = |below: &str| {
            open(&dir, Path::new(below)).map(|found| found.read_once("cpu.stat", &mut ReadBuffer::default()).is_ok())
        };
        assert_eq!(read("a/b"), Ok(true));
        assert_eq!(read("./a/b"), Ok(true));
        for bad in ["link/b", "link", "../x", "/proc", "a/../../x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("a/none"), Err(ErrorClass::Gone));
    }
    let a = dir.open_below(Path::new("a")).unwrap();
    for name in ["", ".", "..", "b/cpu.stat", "/proc/stat", "linked.stat"] {
        assert!(a.open_file(name).is_err(), "{name}");
    }
}
