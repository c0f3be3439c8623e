//! Facts about the watcher, on plain directories and on this machine's own cgroups.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use super::*;

struct Lab {
    handle: WatchHandle,
    events: Receiver<Discovery>,
    sink: EventSink,
}

impl Lab {
    fn start(layout: &CgroupLayout, rescan: Duration, max_cgroups: usize, max_watches: usize) -> Self {
        let (sender, events) = sync_channel(100_000);
        let sink = EventSink::new(sender);
        // More than there are containers on any machine that runs the tests: the live tree is shared with them.
        let options = WatchOptions { rescan, max_cgroups, max_watches, max_pid_watches: 4096, kmsg: None };
        let handle = start(layout, options, sink.clone(), || ()).unwrap();
        Self { handle, events, sink }
    }

    /// Waits for an event that the test names, and says how long it took.
    fn wait(&self, what: &str, mut is_it: impl FnMut(&Discovery) -> bool) -> Duration {
        let started = Instant::now();
        loop {
            let left = Duration::from_secs(20).saturating_sub(started.elapsed());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("no event: {what}"));
            if is_it(&event) {
                return started.elapsed();
            }
        }
    }

    fn born(&self, wanted: &str) -> (u64, Duration) {
        let mut found = 0;
        let took = self.wait(&format!("birth of {wanted}"), |event| match event {
            Discovery::Born { path, workload } if &**path == wanted.as_bytes() => {
                found = workload.inode;
                true
            }
            _ => false,
        });
        (found, took)
    }

    fn emptied(&self, wanted: &str) -> Duration {
        self.wait(
            &format!("end of the last process of {wanted}"),
            |event| matches!(event, Discovery::Emptied { path, .. } if &**path == wanted.as_bytes()),
        )
    }

    fn removed(&self, wanted: &str, inode: u64) -> Duration {
        self.wait(
            &format!("removal of {wanted}"),
            |event| matches!(event, Discovery::Removed { path, inode: gone } if &**path == wanted.as_bytes() && *gone == inode),
        )
    }

    fn status_when(&self, is_it: impl Fn(&WatchStatus) -> bool) -> WatchStatus {
        for _ in 0..400 {
            let status = self.handle.status();
            if is_it(&status) {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("status stays {:?}", self.handle.status());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.sink.stop();
        self.handle.stop();
    }
}

const LONG: Duration = Duration::from_secs(3600);

fn v2_layout(root: &Path) -> CgroupLayout {
    CgroupLayout { v2_root: Some(root.to_path_buf()), ..CgroupLayout::default() }
}

fn v1_layout(root: &Path) -> CgroupLayout {
    let v1 = [(V1Controller::Memory, root.to_path_buf())].into();
    CgroupLayout { v1, ..CgroupLayout::default() }
}

#[test]
fn existing_cgroups_come_first_and_root_first() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("a/b")).unwrap();
    let lab = Lab::start(&v2_layout(directory.path()), LONG, 100, 100);
    let mut paths = Vec::new();
    for _ in 0..3 {
        match lab.events.recv_timeout(Duration::from_secs(5)).unwrap() {
            Discovery::Born { path, .. } => paths.push(path.to_vec()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(paths, [b"".to_vec(), b"a".to_vec(), b"a/b".to_vec()]);
}

#[test]
fn without_watches_the_scan_finds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let lab = Lab::start(&v2_layout(directory.path()), Duration::from_millis(50), 100, 0);
    lab.born("");
    std::fs::create_dir(directory.path().join("a")).unwrap();
    let (inode, _) = lab.born("a");
    std::fs::remove_dir(directory.path().join("a")).unwrap();
    lab.removed("a", inode);
    assert!(lab.handle.status().inotify_refused.unwrap().contains("0 watches"));
}

#[test]
fn depth_and_names_and_numbers_are_capped_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let deep: std::path::PathBuf = (0..100).map(|_| "d").collect();
    std::fs::create_dir_all(directory.path().join(deep)).unwrap();
    for number in 0..50 {
        std::fs::create_dir(directory.path().join(format!("{number}.service"))).unwrap();
    }
    let lab = Lab::start(&v2_layout(directory.path()), LONG, 30, 100);
    let status = lab.status_when(|status| status.scans == 1);
    assert_eq!(status.shed_too_deep, 1);
    assert_eq!(status.cgroups, 30);
    assert_eq!(status.shed_over_cap + status.evicted, 1 + 16 + 50 - 30);
}

/// A cgroup of a test, removed in the end with everything in it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(root: &str, name: &str) -> Option<Self> {
        let path = Path::new(root).join(format!("ringside-test-{}-{name}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                println!("skipped: {}: {error}", path.display());
                None
            }
        }
    }

    fn name(&self) -> String {
        self.0.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn run_in(&self, child: &str, seconds: &str) -> std::process::Child {
        let sleeper = std::process::Command::new("sleep").arg(seconds).spawn().unwrap();
        std::fs::write(self.0.join(child).join("cgroup.procs"), sleeper.id().to_string()).unwrap();
        sleeper
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fn clear(path: &Path) {
            for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    clear(&entry.path());
                }
            }
            for _ in 0..200 {
                match std::fs::remove_dir(path) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    _ => return,
                }
            }
        }
        clear(&self.0);
    }
}

const V2: &str = "/sys/fs/cgroup/unified";
const V1: &str = "/sys/fs/cgroup/memory";

fn live_v2_root() -> PathBuf {
    let layout = CgroupLayout::detect(Path::new("/sys/fs/cgroup"), Path::new("/proc"));
    layout.ok().and_then(|layout| layout.v2_root).unwrap_or_else(|| PathBuf::from(V2))
}

#[test]
fn on_a_live_version_2_tree_birth_end_and_removal_are_told() {
    let root = live_v2_root();
    let Some(parent) = Cgroup::new(root.to_str().unwrap(), "v2") else { return };
    let lab = Lab::start(&v2_layout(&root), LONG, 20_000, 20_000);
    lab.born(&parent.name());
    let child = format!("{}/x", parent.name());
    std::fs::create_dir(parent.0.join("x")).unwrap();
    let (inode, birth) = lab.born(&child);
    let mut sleeper = parent.run_in("x", "0.2");
    let end = lab.emptied(&child);
    sleeper.wait().unwrap();
    std::fs::remove_dir(parent.0.join("x")).unwrap();
    let removal = lab.removed(&child, inode);
    println!("v2: birth after {birth:?}, end after {end:?} (process of 0.2 s), removal after {removal:?}");
    std::fs::create_dir(parent.0.join("x")).unwrap();
    let (again, _) = lab.born(&child);
    assert_ne!(inode, again, "a reused name has another inode");
}

#[test]
fn on_a_live_version_1_tree_the_end_is_told_by_the_process() {
    let Some(parent) = Cgroup::new(V1, "v1") else { return };
    let lab = Lab::start(&v1_layout(Path::new(V1)), LONG, 20_000, 20_000);
    lab.born(&parent.name());
    let id = "c0ffee00".repeat(8);
    let child = format!("{}/{id}", parent.name());
    std::fs::create_dir(parent.0.join(&id)).unwrap();
    let (inode, birth) = lab.born(&child);
    let mut first = parent.run_in(&id, "0.2");
    let mut second = parent.run_in(&id, "0.5");
    let started = Instant::now();
    lab.emptied(&child);
    assert!(started.elapsed() > Duration::from_millis(300), "not before the second process has ended");
    first.wait().unwrap();
    second.wait().unwrap();
    std::fs::remove_dir(parent.0.join(&id)).unwrap();
    let removal = lab.removed(&child, inode);
    println!("v1: birth after {birth:?}, removal after {removal:?}");
}

#[test]
fn a_cgroup_in_both_trees_is_one_workload_with_the_unified_inode() {
    use std::os::unix::fs::MetadataExt as _;
    let Some(one) = Cgroup::new(V1, "both") else { return };
    let Some(two) = Cgroup::new(V2, "both") else { return };
    let layout = CgroupLayout { v2_root: Some(PathBuf::from(V2)), ..v1_layout(Path::new(V1)) };
    let lab = Lab::start(&layout, LONG, 20_000, 20_000);
    let (inode, _) = lab.born(&one.name());
    assert_eq!(inode, std::fs::metadata(&two.0).unwrap().ino());
    for root in [&one.0, &two.0] {
        std::fs::create_dir(root.join("x")).unwrap();
    }
    let (inode, birth) = lab.born(&format!("{}/x", one.name()));
    println!("hybrid: birth after {birth:?}");
    assert_eq!(inode, std::fs::metadata(two.0.join("x")).unwrap().ino());
}

#[test]
fn births_while_the_parent_is_still_being_read_are_not_missed() {
    let root = live_v2_root();
    let Some(parent) = Cgroup::new(root.to_str().unwrap(), "race") else { return };
    let lab = Lab::start(&v2_layout(&root), LONG, 20_000, 20_000);
    lab.born(&parent.name());
    let mut latencies = Vec::new();
    for round in 0..100 {
        let path = format!("p{round}/q/r");
        std::fs::create_dir_all(parent.0.join(&path)).unwrap();
        latencies.push(lab.born(&format!("{}/{path}", parent.name())).1);
    }
    latencies.sort();
    println!("birth of a grandchild: median {:?}, worst {:?}", latencies[50], latencies[99]);
}

#[test]
fn removed_directories_leave_no_watch_behind() {
    let root = live_v2_root();
    let Some(parent) = Cgroup::new(root.to_str().unwrap(), "leak") else { return };
    let lab = Lab::start(&v2_layout(&parent.0), LONG, 20_000, 20_000);
    let before = lab.status_when(|status| status.scans == 1).inotify_watches;
    for round in 0..300 {
        std::fs::create_dir(parent.0.join(format!("{round}"))).unwrap();
    }
    lab.status_when(|status| status.inotify_watches == before + 600);
    for round in 0..300 {
        std::fs::remove_dir(parent.0.join(format!("{round}"))).unwrap();
    }
    let status = lab.status_when(|status| status.inotify_watches == before);
    assert_eq!(status.cgroups, 1);
}

#[test]
fn a_consumer_that_has_gone_or_stands_still_does_not_keep_the_watcher_from_stopping() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..20 {
        std::fs::create_dir(directory.path().join(format!("{number}"))).unwrap();
    }
    let (sender, events) = sync_channel(1);
    let sink = EventSink::new(sender);
    let options = WatchOptions { rescan: LONG, max_cgroups: 100, max_watches: 100, max_pid_watches: 0, kmsg: None };
    let mut handle = start(&v2_layout(directory.path()), options, sink.clone(), || ()).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let started = Instant::now();
    sink.stop();
    handle.stop();
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(events);
}
