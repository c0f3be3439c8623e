//! Captured trees with damage made by code: cut at every byte, wrong numbers, garbage, and things that are no files.
//!
//! What must hold whatever the bytes: no panic, no wait, the other containers and files as before, and for every
//! number either the true one or none.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringside::discover::identity::identify;
use ringside::discover::{CgroupLayout, Discovery, Workload};
use ringside::sample::catalogue::Table;
use ringside::sample::row::Cell;
use ringside::sample::{MachineFacts, NodeSample, Sampler, SamplerOptions, SourceFile, SubjectIds};
use ringside::units::{ErrorClass, UnixNanos};
use support::exposition::Scrape;
use support::process::{run, wait_until};
use support::tree::{TREES, Tree};

/// The inode that the cgroups are said to have; the sampler compares it and never looks for itself.
const INODE: u64 = 1;

/// The files of a container that the agent reads, by their names on v2 and as `controller/file` on v1.
const FILES: [(&str, &str); 34] = [
    ("cpu.stat", "cpu/cpu.stat"),
    ("cpu.max", "cpu/cpu.cfs_quota_us"),
    ("cpu.weight", "cpu/cpu.shares"),
    ("cpu.idle", "cpu/cpu.cfs_period_us"),
    ("cpu.max.burst", "cpu/cpu.cfs_burst_us"),
    ("memory.current", "memory/memory.usage_in_bytes"),
    ("memory.peak", "memory/memory.max_usage_in_bytes"),
    ("memory.stat", "memory/memory.stat"),
    ("memory.events", "memory/memory.oom_control"),
    ("memory.events.local", "memory/memory.failcnt"),
    ("memory.max", "memory/memory.limit_in_bytes"),
    ("memory.high", "memory/memory.soft_limit_in_bytes"),
    ("memory.low", "memory/memory.memsw.limit_in_bytes"),
    ("memory.min", "memory/memory.memsw.usage_in_bytes"),
    ("memory.swap.current", "memory/memory.kmem.usage_in_bytes"),
    ("memory.swap.max", "cpuacct/cpuacct.stat"),
    ("memory.swap.high", "cpuacct/cpuacct.usage"),
    ("memory.swap.events", "blkio/blkio.throttle.io_serviced_recursive"),
    ("memory.oom.group", "blkio/blkio.throttle.io_service_bytes_recursive"),
    ("pids.current", "pids/pids.current"),
    ("pids.max", "pids/pids.max"),
    ("pids.peak", "pids/pids.peak"),
    ("pids.events", "pids/pids.events"),
    ("io.stat", "unified/cpu.stat"),
    ("cpu.pressure", "unified/cpu.pressure"),
    ("memory.pressure", "unified/memory.pressure"),
    ("io.pressure", "unified/io.pressure"),
    ("irq.pressure", "unified/irq.pressure"),
    ("cgroup.events", "unified/cgroup.events"),
    ("cgroup.stat", "unified/cgroup.stat"),
    ("hugetlb.2MB.current", "hugetlb/hugetlb.2MB.usage_in_bytes"),
    ("hugetlb.2MB.max", "hugetlb/hugetlb.2MB.limit_in_bytes"),
    ("hugetlb.2MB.events", "hugetlb/hugetlb.2MB.failcnt"),
    ("hugetlb.2MB.rsvd.current", "hugetlb/hugetlb.2MB.rsvd.usage_in_bytes"),
];

/// Every cell of a sample, by table, subject and column.
type Cells = BTreeMap<(usize, String, usize), Cell>;

/// The agent's reading of one tree, tick by tick.
struct Lab {
    tree: Tree,
    sampler: Sampler,
}

impl Lab {
    /// `tree` with its containers, or the node's files alone.
    fn new(tree: Tree, with_containers: bool) -> Self {
        let layout = CgroupLayout::detect(&tree.cgroupfs(), &tree.path().join("proc")).unwrap();
        let options = SamplerOptions {
            interval: Duration::from_secs(1),
            procfs: tree.path().join("proc"),
            sysfs: tree.path().join("sys"),
            hierarchies: ringside::agent::hierarchies(&layout),
            kept_files: 1000,
            skip_idle: false,
            machine: Arc::new(MachineFacts::default()),
            ids: SubjectIds::default(),
            details: std::sync::Arc::default(),
        };
        let mut sampler = Sampler::new(options).unwrap();
        for cgroup in tree.containers.iter().filter(|_| with_containers) {
            let identity = identify(cgroup.as_bytes());
            let workload = Workload { identity, inode: INODE, metadata: None, created_at: UnixNanos(0) };
            sampler.handle(Discovery::Born { path: cgroup.as_bytes().into(), workload: Arc::new(workload) });
        }
        Self { tree, sampler }
    }

    fn tick(&mut self) -> Arc<NodeSample> {
        self.sampler.tick(0, 0)
    }

    /// Reads every file of a container, also those that are read seldom, then ticks.
    fn read_all(&mut self, cgroup: &str) -> Arc<NodeSample> {
        self.sampler.handle(Discovery::Emptied { path: cgroup.as_bytes().into(), inode: INODE });
        self.tick()
    }

    /// The container that uses a disk: it has a row of every kind.
    fn disk_user(&self) -> String {
        let uses = |cgroup: &&String| {
            let file = self.tree.file(cgroup, "io.stat", "blkio/blkio.throttle.io_service_bytes_recursive");
            fs::read_to_string(file).unwrap().contains("254:0 ")
        };
        self.tree.containers.iter().find(uses).unwrap().clone()
    }
}

fn cells(sample: &NodeSample) -> Cells {
    let mut cells = Cells::new();
    // What the agent says of itself is in no file: it is another number at every tick.
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Agent) {
        for (subject, row) in sample.iter(table) {
            let owner = subject.workload.as_ref().map_or("", |workload| &*workload.identity.path);
            let name = format!("{owner} {}", subject.name);
            for column in 0..table.metrics().len() {
                if row.cell_at(column) != Cell::Absent {
                    cells.insert((table as usize, name.clone(), column), row.cell_at(column));
                }
            }
        }
    }
    cells
}

/// Nothing is there that was not true before the damage; what belongs to nobody in `damaged` is all still there.
fn assert_true_or_absent(truth: &Cells, seen: &Cells, damaged: impl Fn(&str) -> bool, what: &dyn Fn() -> String) {
    for (key, cell) in seen {
        assert_eq!(truth.get(key), Some(cell), "{}: a wrong value at {key:?}", what());
    }
    for key in truth.keys().filter(|(_, name, _)| !damaged(name)) {
        assert!(seen.contains_key(key), "{}: {key:?}, which is not in the file, is gone", what());
    }
}

/// Damaged versions of a file, with a word for each.
fn damages(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut damages: Vec<(String, Vec<u8>)> =
        (0..bytes.len()).map(|end| (format!("cut to {end} bytes"), bytes[..end].to_vec())).collect();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        // Digits behind a letter belong to a name.
        let in_name = at > 0 && bytes[at - 1].is_ascii_alphabetic();
        if digits > 0 && !in_name {
            for wrong in ["-1", "18446744073709551616", "1e3", "0x1f", "", "nan", "\u{661}"] {
                let damaged = [&bytes[..at], wrong.as_bytes(), &bytes[at + digits..]].concat();
                damages.push((format!("{wrong:?} at byte {at}"), damaged));
            }
        }
        at += digits.max(1);
    }
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for missing in 0..lines.len() {
        let others = lines.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, line)| *line);
        damages.push((format!("without line {missing}"), others.collect::<Vec<_>>().concat()));
    }
    for garbage in [&b"\n"[..], b"\xff\xfe\x00\xff\n", b"no such file\n", b"=\n:\n \n", &[0; 4096]] {
        damages.push((format!("garbage {:?}", garbage.escape_ascii().to_string()), garbage.to_vec()));
    }
    damages.push(("a line of a megabyte".to_owned(), [&vec![b'7'; 1_000_000][..], b"\n"].concat()));
    damages.push(("more than the buffer may hold".to_owned(), b"a 1\n".repeat(300_000)));
    damages
}

/// −1 in a quota's file is a true one: "no quota".
fn has_meaning(file: &Path, damage: &str) -> bool {
    file.ends_with("cpu.cfs_quota_us") && damage.starts_with("\"-1\"")
}

fn damage_the_files_of_a_container(tree: &'static str) {
    let mut lab = Lab::new(Tree::copy(tree), true);
    let victim = lab.disk_user();
    let truth = cells(&lab.tick());
    let mut files = 0;
    for (v2, v1) in FILES {
        let file = lab.tree.file(&victim, v2, v1);
        let Ok(bytes) = fs::read(&file) else { continue };
        files += 1;
        for (damage, damaged) in damages(&bytes) {
            if has_meaning(&file, &damage) {
                continue;
            }
            fs::write(&file, &damaged).unwrap();
            let sample = lab.read_all(&victim);
            let what = || format!("{}: {damage}", file.display());
            assert_true_or_absent(&truth, &cells(&sample), |name| name.contains(&victim), &what);
        }
        let crlf: Vec<u8> = bytes
            .iter()
            .flat_map(|byte| if *byte == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(byte) })
            .copied()
            .collect();
        for (whole, what) in [(crlf, "with CRLF"), (bytes, "whole again")] {
            fs::write(&file, whole).unwrap();
            assert_eq!(cells(&lab.read_all(&victim)), truth, "{} {what}", file.display());
        }
    }
    assert!(files >= 20, "{tree}: only {files} files were found");
}

#[test]
fn a_damaged_file_of_a_v2_container_gives_the_truth_or_nothing() {
    damage_the_files_of_a_container("v2");
}

#[test]
fn a_damaged_file_of_a_v1_container_gives_the_truth_or_nothing() {
    damage_the_files_of_a_container("v1");
}

#[test]
fn a_damaged_file_of_a_hybrid_machines_container_gives_the_truth_or_nothing() {
    damage_the_files_of_a_container("hybrid");
}

#[test]
fn a_damaged_file_of_the_node_gives_the_truth_or_nothing() {
    let mut lab = Lab::new(Tree::copy("v2"), false);
    let truth = cells(&lab.tick());
    for name in ["stat", "meminfo", "vmstat", "loadavg", "uptime", "diskstats", "pressure/io", "1/net/dev"] {
        let file = lab.tree.path().join("proc").join(name);
        let bytes = fs::read(&file).unwrap();
        for (damage, damaged) in damages(&bytes) {
            // Columns are told apart by their number alone: where one is left out, nobody can see which.
            if damage.starts_with("\"\"") {
                continue;
            }
            fs::write(&file, &damaged).unwrap();
            let sample = lab.tick();
            let what = || format!("{}: {damage}", file.display());
            assert_true_or_absent(&truth, &cells(&sample), |_| true, &what);
        }
        fs::write(&file, &bytes).unwrap();
        // A file that failed is opened again, at once or when it is next looked for.
        let healed = (0..31).any(|_| cells(&lab.tick()) == truth);
        assert!(healed, "{name} stays damaged");
    }
}

fn errors(sample: &NodeSample, file: SourceFile, class: ErrorClass) -> u64 {
    sample.self_stats.read_errors[file as usize][class as usize]
}

#[test]
fn bytes_that_are_not_the_files_are_counted_by_file_as_malformed() {
    for tree in TREES {
        let mut lab = Lab::new(Tree::copy(tree), true);
        let victim = lab.disk_user();
        lab.tick();
        for (v2, v1, group) in [
            ("cpu.stat", "cpu/cpu.stat", SourceFile::CpuStat),
            ("memory.current", "memory/memory.usage_in_bytes", SourceFile::MemoryCurrent),
            ("memory.stat", "memory/memory.stat", SourceFile::MemoryStat),
            ("memory.events", "memory/memory.oom_control", SourceFile::MemoryEvents),
            ("memory.max", "memory/memory.limit_in_bytes", SourceFile::MemoryLimits),
            ("pids.current", "pids/pids.current", SourceFile::Pids),
            ("hugetlb.2MB.current", "hugetlb/hugetlb.2MB.usage_in_bytes", SourceFile::Hugetlb),
        ] {
            if tree == "hybrid" && group == SourceFile::Hugetlb {
                continue; // That machine has no such controller.
            }
            let file = lab.tree.file(&victim, v2, v1);
            let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            for damaged in [&b""[..], b"\xff\xff\n", &bytes[..bytes.len() - 1]] {
                let before = errors(&lab.tick(), group, ErrorClass::Malformed);
                fs::write(&file, damaged).unwrap();
                let after = errors(&lab.read_all(&victim), group, ErrorClass::Malformed);
                assert!(after > before, "{tree} {} with {:?}", file.display(), damaged.escape_ascii().to_string());
                fs::write(&file, &bytes).unwrap();
            }
        }
        let stat = lab.tree.path().join("proc/stat");
        fs::write(stat, "cpu").unwrap();
        assert!(errors(&lab.tick(), SourceFile::Node, ErrorClass::Malformed) > 0, "{tree}: proc/stat");
    }
}

/// Something that is not a file, in the place of one.
type Impostor = (&'static str, fn(&Path, &Path));

const IMPOSTORS: [Impostor; 4] = [
    ("a FIFO", |file, _| {
        run("mkfifo", &[file.to_str().unwrap()]);
    }),
    ("a folder", |file, _| fs::create_dir(file).unwrap()),
    ("a link to another container's file", |file, other| symlink(other, file).unwrap()),
    ("a socket", |file, _| drop(std::os::unix::net::UnixListener::bind(file).unwrap())),
];

#[test]
fn what_is_no_file_is_neither_waited_for_nor_followed() {
    for (what, put) in IMPOSTORS {
        for name in TREES {
            let tree = Tree::copy(name);
            let truth = cells(&Lab::new(Tree::copy(name), true).tick());
            let victim = tree.containers[0].clone();
            let file = |cgroup: &str| -> PathBuf { tree.file(cgroup, "memory.stat", "memory/memory.stat") };
            fs::remove_file(file(&victim)).unwrap();
            // A socket's address may be 107 bytes long, so that it is made elsewhere and moved.
            let made = tree.path().join("made");
            put(&made, &file(&tree.containers[1]));
            fs::rename(&made, file(&victim)).unwrap();
            let mut lab = Lab::new(tree, true);
            lab.tick();
            let sample = lab.tick();
            let shown = |name: &str| name.contains(&victim);
            assert_true_or_absent(&truth, &cells(&sample), shown, &|| format!("{name}: {what}"));
            let rss = ringside::sample::catalogue::CgroupColumn::MemoryStatAnon;
            let rows = sample.iter(Table::Cgroup);
            let with_rss = rows.filter(|(_, row)| row.cell(rss) != Cell::Absent).count();
            assert_eq!(with_rss, 2, "{name}: {what} has no anonymous memory");
            assert!(errors(&sample, SourceFile::MemoryStat, ErrorClass::Other) > 0, "{name}: {what} is counted");
        }
    }
}

#[test]
fn the_page_of_a_damaged_tree_has_no_number_that_is_made_from_an_absent_one() {
    let tree = Tree::copy("v2");
    let [first, second, third] = [0, 1, 2].map(|index| tree.containers[index].clone());
    let file = |cgroup: &str, name: &str| tree.file(cgroup, name, "");
    fs::write(file(&first, "memory.stat"), "inactive_file -5\nanon 7").unwrap();
    fs::write(file(&second, "cpu.stat"), [0xff; 300]).unwrap();
    fs::write(file(&second, "memory.max"), "-1\n").unwrap();
    fs::remove_file(file(&third, "memory.current")).unwrap();
    fs::create_dir(file(&third, "memory.current")).unwrap();
    fs::write(tree.path().join("proc/meminfo"), "MemTotal: -1 kB\n").unwrap();
    let agent = tree.agent();
    let scrape = wait_until("three ticks", Duration::from_secs(20), || {
        let scrape = agent.scrape("/metrics");
        if scrape.value("ringside_agent_ticks_total", &[]) >= 3.0 { Ok(scrape) } else { Err(String::new()) }
    });
    let ids = [first, second, third].map(|cgroup| format!("/{cgroup}"));
    let has = |family: &str| -> Vec<bool> { ids.iter().map(|id| scrape.has(family, &[("id", id)])).collect() };
    assert_eq!(has("container_memory_usage_bytes"), [true, true, false]);
    assert_eq!(has("container_memory_working_set_bytes"), [false, true, false], "it is made of both files");
    assert_eq!(has("container_memory_rss"), [false, true, true]);
    assert_eq!(has("container_cpu_usage_seconds_total"), [true, false, true]);
    assert_eq!(has("ringside_container_cpu_usage_cores_max"), [true, false, true]);
    assert_eq!(has("container_spec_memory_limit_bytes"), [true, false, true]);
    assert!(!scrape.has("node_memory_MemTotal_bytes", &[]));
    assert!(scrape.has("node_load1", &[]));
    for (group, class) in [("memory.stat", "malformed"), ("cpu.stat", "malformed"), ("memory.max", "malformed")] {
        assert!(scrape.has("ringside_agent_read_errors_total", &[("file", group), ("class", class)]), "{group}");
    }
    assert!(
        scrape.has("ringside_agent_read_errors_total", &[("file", "memory.current"), ("class", "other")]),
        "a folder is no file"
    );
    assert_finite(&scrape);
    for path in ["/api/v1/node", "/api/v1/containers", "/api/v1/pods"] {
        assert_eq!(agent.get(path, &[]).status, 200, "{path}");
    }
    assert_eq!(agent.process.log().lines().count(), 1, "one line at the start: {}", agent.process.log());
}

/// Absent is absent: nothing negative, nothing near 2^64, no NaN.
fn assert_finite(scrape: &Scrape) {
    for sample in &scrape.samples {
        assert!((0.0..1.8e19).contains(&sample.value) || sample.labels.contains_key("le"), "{sample:?}");
    }
}
