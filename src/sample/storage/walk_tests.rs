//! The walker against trees that are made for it.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use rustix::fs::CWD;

use super::*;

fn open(path: &Path) -> OwnedFd {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

fn walk(path: &Path, bounds: Bounds) -> Count {
    finish(Walk::new(open(path), Which::Everything, bounds).unwrap())
}

fn finish(mut walk: Walk) -> Count {
    while !walk.step() {}
    walk.count()
}

fn count(path: &Path) -> Count {
    walk(path, Bounds::default())
}

/// What `du` says, which is what people compare with.
fn du(path: &Path, more: &[&str]) -> u64 {
    let output = Command::new("du").args(["-s", "-x"]).args(more).arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_tree_takes_up_what_du_says() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("a/b/c")).unwrap();
    fs::write(root.path().join("a/one"), vec![1; 100_000]).unwrap();
    fs::write(root.path().join("a/b/c/two"), vec![2; 5]).unwrap();
    let count = count(root.path());
    assert_eq!(count.used_bytes, du(root.path(), &["--block-size=1"]));
    assert_eq!((count.inodes, count.entries, count.is_partial), (6, 5, false));
    assert_eq!(count.inodes, du(root.path(), &["--inodes"]));
}

#[test]
fn a_sparse_file_counts_its_blocks_and_not_its_size() {
    let root = tempfile::tempdir().unwrap();
    let empty = count(root.path()).used_bytes;
    let file = fs::File::create(root.path().join("sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_at(&[1; 4096], 1 << 30).unwrap();
    file.sync_all().unwrap();
    let used = count(root.path()).used_bytes.saturating_sub(empty);
    assert!((4096..1 << 20).contains(&used), "{used}");
}

#[test]
fn an_inode_with_several_names_counts_once() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    fs::write(root.path().join("first"), vec![1; 1 << 20]).unwrap();
    let once = count(root.path());
    fs::hard_link(root.path().join("first"), root.path().join("second")).unwrap();
    fs::hard_link(root.path().join("first"), root.path().join("folder/third")).unwrap();
    let thrice = count(root.path());
    assert_eq!((thrice.used_bytes, thrice.inodes), (once.used_bytes, once.inodes));
    assert_eq!(thrice.entries, once.entries + 2);
}

#[test]
fn beyond_the_bound_of_remembered_links_less_is_counted_and_told() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(root.path().join(name), vec![1; 8192]).unwrap();
        fs::hard_link(root.path().join(name), root.path().join(format!("{name}2"))).unwrap();
    }
    let bounded = walk(root.path(), Bounds { links: 2, ..Bounds::default() });
    assert_eq!((bounded.inodes, bounded.is_partial), (3, true));
    let all = count(root.path());
    assert_eq!((all.inodes, all.is_partial), (4, false));
    assert!(bounded.used_bytes < all.used_bytes);
}

#[test]
fn a_link_counts_itself_and_not_where_it_leads() {
    let root = tempfile::tempdir().unwrap();
    symlink("/", root.path().join("everything")).unwrap();
    symlink("..", root.path().join("up")).unwrap();
    symlink(".", root.path().join("self")).unwrap();
    let count = count(root.path());
    assert_eq!((count.inodes, count.entries), (4, 3));
    assert_eq!(count.used_bytes, du(root.path(), &["--block-size=1"]));
}

/// Undoes a mount when the test ends, however it ends.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> Mounted {
    assert!(Command::new("mount").args(arguments).arg(at).status().unwrap().success(), "mount {arguments:?}");
    Mounted(at.to_owned())
}

#[test]
fn what_is_mounted_inside_is_not_entered() {
    let root = tempfile::tempdir().unwrap();
    for name in ["tmpfs", "bind", "plain"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("plain/file"), vec![1; 50_000]).unwrap();
    let before = count(root.path());
    let _tmpfs = mount(&["-t", "tmpfs", "tmpfs"], &root.path().join("tmpfs"));
    fs::write(root.path().join("tmpfs/other"), vec![1; 50_000]).unwrap();
    // The same filesystem under another mount: `du -x` would go in and count everything twice.
    let _bind = mount(&["--bind", root.path().to_str().unwrap()], &root.path().join("bind"));
    let during = count(root.path());
    assert_eq!((before.inodes, during.inodes), (5, 3), "the folders under the mounts cannot be seen");
    assert!(during.used_bytes <= before.used_bytes);
    assert!(!during.is_partial);
}

#[test]
fn slices_of_any_length_give_the_same_sum() {
    let root = tempfile::tempdir().unwrap();
    for folder in 0..20 {
        let folder = root.path().join(format!("folder{folder}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..700 {
            fs::write(folder.join(format!("a-file-with-a-name-of-some-length-{file}")), "x").unwrap();
        }
    }
    let mut steps = 0;
    let mut walk = Walk::new(open(root.path()), Which::Everything, Bounds::default()).unwrap();
    while !walk.step() {
        steps += 1;
    }
    let sum = walk.count();
    assert_eq!(sum.inodes, 14_021);
    assert!(steps > 60, "one step is one buffer: {steps}");
    assert_eq!(sum.used_bytes, du(root.path(), &["--block-size=1"]));
}

#[test]
fn a_tree_that_is_removed_under_the_walk_ends_it() {
    let root = tempfile::tempdir().unwrap();
    for folder in 0..50 {
        let folder = root.path().join(format!("folder{folder}/deeper"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), vec![1; 5000]).unwrap();
    }
    let full = count(root.path());
    let mut walk = Walk::new(open(root.path()), Which::Everything, Bounds::default()).unwrap();
    for _ in 0..10 {
        assert!(!walk.step());
    }
    let so_far = walk.count();
    for folder in 0..50 {
        fs::remove_dir_all(root.path().join(format!("folder{folder}"))).unwrap();
    }
    let count = finish(walk);
    assert!(!count.is_partial, "what is gone is not missing");
    assert!(so_far.used_bytes <= count.used_bytes && count.used_bytes < full.used_bytes);
}

#[test]
fn a_folder_that_becomes_a_link_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("secret"), vec![1; 1 << 20]).unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    let mut walk = Walk::new(open(root.path()), Which::Everything, Bounds::default()).unwrap();
    assert!(!walk.step(), "the folder is seen, and not entered yet");
    fs::remove_dir(root.path().join("folder")).unwrap();
    symlink(elsewhere.path(), root.path().join("folder")).unwrap();
    let count = finish(walk);
    assert_eq!((count.inodes, count.is_partial), (2, false));
    assert!(count.used_bytes < 1 << 20);
}

#[test]
fn names_of_any_bytes_and_length_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let names: [&[u8]; 4] = [b"\xff\xfe", b"new\nline", b"...", &[b'x'; 255]];
    for name in names {
        let folder = root.path().join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "1").unwrap();
    }
    let count = count(root.path());
    assert_eq!((count.inodes, count.is_partial), (9, false));
}

#[test]
fn a_tree_that_is_too_deep_or_too_big_is_cut_off_and_told() {
    let root = tempfile::tempdir().unwrap();
    let mut folder = open(root.path());
    for _ in 0..300 {
        rustix::fs::mkdirat(&folder, "d", Mode::RWXU).unwrap();
        folder = openat(&folder, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let deep = count(root.path());
    assert_eq!((deep.inodes, deep.is_partial), (130, true), "the root, 128 levels, and the folder that is not entered");
    for name in 0..1000 {
        fs::write(root.path().join(name.to_string()), "").unwrap();
    }
    let big = walk(root.path(), Bounds { entries: 500, ..Bounds::default() });
    assert!(big.is_partial && (500..1000).contains(&big.entries), "{big:?}");
    // Too deep for `remove_dir_all` of some systems.
    assert!(Command::new("rm").arg("-rf").arg(root.path()).status().unwrap().success());
}

#[test]
fn a_log_counts_with_its_rotated_siblings_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let mut wanted = 0;
    for (name, bytes, is_ours) in [
        ("0.log", 9000, true),
        ("0.log.20261123-101500", 5000, true),
        ("0.log.20261123-101500.gz", 100, true),
        ("0.logs", 7000, false),
        ("10.log", 7000, false),
    ] {
        let path = root.path().join(name);
        fs::write(&path, vec![1; bytes]).unwrap();
        if is_ours {
            wanted += path.metadata().unwrap().blocks() * 512;
        }
    }
    fs::create_dir_all(root.path().join("0.log.d/inside")).unwrap();
    let walk = Walk::new(open(root.path()), Which::Named(b"0.log".to_vec()), Bounds::default()).unwrap();
    let count = finish(walk);
    assert_eq!((count.used_bytes, count.inodes, count.is_partial), (wanted, 3, false));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn it_never_says_more_than_du(
        files in prop::collection::vec((prop::collection::vec(0_u8..4, 0..5), 0_usize..40_000, 0_u8..4), 0..40),
        links in 1_usize..20,
        entries in 1_u64..60,
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut last = None;
        for (number, (folders, bytes, kind)) in files.iter().enumerate() {
            let folder = folders.iter().fold(root.path().to_owned(), |path, name| path.join(format!("d{name}")));
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join(format!("f{number}"));
            match (kind, &last) {
                (0, Some(target)) => fs::hard_link(target, &path).unwrap(),
                (1, Some(target)) => symlink(target, &path).unwrap(),
                (2, _) => fs::File::create(&path).unwrap().set_len(*bytes as u64).unwrap(),
                _ => fs::write(&path, vec![1; *bytes]).unwrap(),
            }
            if *kind != 1 {
                last = Some(path);
            }
        }
        let (bytes, inodes) = (du(root.path(), &["--block-size=1"]), du(root.path(), &["--inodes"]));
        let full = count(root.path());
        prop_assert_eq!((full.used_bytes, full.inodes, full.is_partial), (bytes, inodes, false));
        let bounded = walk(root.path(), Bounds { entries, links, depth: 2 });
        prop_assert!(bounded.used_bytes <= bytes && bounded.inodes <= inodes);
        prop_assert!(bounded.is_partial || bounded.used_bytes == bytes);
    }
}
