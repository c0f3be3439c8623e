//! What the storage walk costs: CPU and wall time per 1,000 entries, and its share of a CPU beside the pace it keeps.
//!
//! Makes a tree of small files (a thousand to a folder) in a temporary folder and walks it: first at once, a few times, then
//! by the agent's own thread, whose CPU time is read from `/proc/self/task/*/schedstat` while it counts. `du` on the same
//! tree stands beside. The tree is in the page cache: what a cold disk adds is the disk's.
//!
//! `cargo bench --bench storage` · `RINGSIDE_BENCH_ENTRIES=200000` · `TMPDIR` says which filesystem

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run stops with the reason")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringside::discover::{CgroupIdentity, CgroupKind, ContainerFiles, Metadata, Workload};
use ringside::sample::catalogue::Table;
use ringside::sample::details::DetailsCell;
use ringside::sample::storage::{Bounds, Count, StorageOptions, StorageWatch, Walk, Which};
use ringside::sample::{Hierarchies, NodeSample, Roster, Subject, SubjectId};
use ringside::units::UnixNanos;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::time::{ClockId, clock_gettime};

const FILES_PER_FOLDER: usize = 1000;
const ROUNDS: usize = 5;

fn main() {
    let entries =
        std::env::var("RINGSIDE_BENCH_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000_usize);
    let root = std::env::temp_dir().join(format!("ringside-bench-storage-{}", std::process::id()));
    let layer = root.join("layers/1/diff");
    make(&layer, entries);
    walks(&layer);
    du(&layer);
    paced(&root, &layer);
    std::fs::remove_dir_all(&root).expect("the tree can be removed");
}

fn make(layer: &Path, entries: usize) {
    let folders = entries.div_ceil(FILES_PER_FOLDER + 1);
    for folder in 0..folders {
        let folder = layer.join(format!("folder-{folder}"));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        for file in 0..FILES_PER_FOLDER {
            std::fs::write(folder.join(format!("file-{file}.dat")), "x").expect("a file can be made");
        }
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn walk(layer: &Path) -> Count {
    let root = openat(CWD, layer, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("the tree opens");
    let mut walk = Walk::new(root, Which::Everything, Bounds::default()).expect("the tree answers");
    while !walk.step() {}
    walk.count()
}

#[expect(clippy::cast_precision_loss, reason = "a quotient is printed")]
fn walks(layer: &Path) {
    walk(layer);
    println!("{:>8} {:>10} {:>14} {:>14}", "entries", "MiB", "CPU µs/1000", "wall µs/1000");
    for _ in 0..ROUNDS {
        let (cpu_before, began) = (cpu(), Instant::now());
        let count = walk(layer);
        let (cpu, wall) = (cpu().saturating_sub(cpu_before), began.elapsed());
        let per_thousand = |time: Duration| time.as_secs_f64() * 1e9 / count.entries as f64;
        let mib = count.used_bytes >> 20;
        println!("{:>8} {mib:>10} {:>14.0} {:>14.0}", count.entries, per_thousand(cpu), per_thousand(wall));
    }
}

fn du(layer: &Path) {
    let began = Instant::now();
    let output = Command::new("du").args(["-s", "--block-size=1"]).arg(layer).output().expect("du runs");
    println!(
        "du: {:.0} ms wall, {}",
        began.elapsed().as_secs_f64() * 1e3,
        String::from_utf8_lossy(&output.stdout).trim()
    );
}

/// The thread as the agent runs it.
fn paced(root: &Path, layer: &Path) {
    let details = Arc::new(DetailsCell::default());
    let sample = Arc::new(sample());
    let upper_dir = PathBuf::from("/").join(layer.strip_prefix(root).expect("the layer is in the root"));
    let files = move || {
        let files = ContainerFiles { upper_dir: Some(upper_dir.clone()), ..ContainerFiles::default() };
        HashMap::from([(Arc::from("bench"), files)])
    };
    let options = StorageOptions {
        procfs: PathBuf::from("/proc"),
        rootfs: root.to_owned(),
        kubelet_dir: PathBuf::from("/var/lib/kubelet"),
        hierarchies: Hierarchies::default(),
        interval: Duration::from_secs(60),
        bounds: Bounds::default(),
    };
    let began = Instant::now();
    let watch = StorageWatch::start(options, move || Some(Arc::clone(&sample)), files, Arc::clone(&details))
        .expect("the thread starts");
    let counted = || details.get().storage.values().find_map(|usage| usage.writable_layer);
    let usage = loop {
        if let Some(usage) = counted() {
            break usage;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (wall, used) = (began.elapsed(), thread_cpu().unwrap_or_default());
    println!(
        "ringside-walk: {} bytes in {} inodes, {:.1} s wall, {:.0} ms CPU: {:.2} % of a CPU",
        usage.used_bytes,
        usage.inodes,
        wall.as_secs_f64(),
        used.as_secs_f64() * 1e3,
        100.0 * used.as_secs_f64() / wall.as_secs_f64(),
    );
    drop(watch);
}

/// CPU time of the thread `ringside-walk` of this process.
fn thread_cpu() -> Option<Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let is_it = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "ringside-walk")
    };
    let task = tasks.flatten().find(is_it)?;
    let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

fn sample() -> NodeSample {
    let workload = Workload {
        identity: CgroupIdentity {
            path: "/docker/bench".into(),
            kind: CgroupKind::Container,
            runtime: None,
            container_id: Some("bench".into()),
            pod_uid: None,
            qos: None,
            outer_container: None,
        },
        inode: 1,
        metadata: Some(Arc::new(Metadata::default())),
        created_at: UnixNanos(1),
    };
    let subject = Subject {
        id: SubjectId(1),
        table: Table::Cgroup,
        owner: None,
        name: "/docker/bench".into(),
        workload: Some(Arc::new(workload)),
        device: None,
        filesystem: None,
    };
    let mut roster = Roster::default();
    if let Some(subjects) = roster.subjects_mut(Table::Cgroup) {
        subjects.push(Arc::new(subject));
    }
    let mut sample = NodeSample::new();
    sample.roster = Arc::new(roster);
    sample
}
