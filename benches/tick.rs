//! What a tick costs beside the floor: the same files of the same cgroups, read by bare `pread` in the same run.
//!
//! Makes real cgroups on this machine, each with one process, in every hierarchy that is mounted, and removes them again.
//! Floor and tick take turns, so that a noisy machine disturbs both alike; the figure to look at is their ratio. `hot`
//! rounds follow each other at once, `cold` ones come once a second, as the agent's do. Needs root.
//!
//! `cargo bench --bench tick` · `RINGSIDE_BENCH_CGROUPS=100,500,1000` · `RINGSIDE_BENCH_COLD_ROUNDS=20`

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run stops with the reason")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringside::discover::identity::identify;
use ringside::discover::{CgroupLayout, Discovery, Workload};
use ringside::sample::{Hierarchies, MachineFacts, NodeSample, Sampler, SamplerOptions, SubjectIds};
use ringside::store;
use ringside::units::UnixNanos;

/// Real cgroups, one per number, removed on drop.
struct Cgroups {
    directories: Vec<PathBuf>,
    names: Vec<String>,
    processes: Vec<Child>,
    parents: Vec<PathBuf>,
}

impl Cgroups {
    fn make(roots: &[PathBuf], count: usize) -> Self {
        let parent = format!("ringside-bench-{}", std::process::id());
        let parents: Vec<PathBuf> = roots.iter().map(|root| root.join(&parent)).collect();
        let mut made = Self { directories: Vec::new(), names: Vec::new(), processes: Vec::new(), parents };
        for parent in &made.parents {
            std::fs::create_dir_all(parent).expect("cgroups can be made: run as root");
            // v2: children get the controllers that the parent has.
            let _ = std::fs::write(parent.join("cgroup.subtree_control"), "+cpu +memory +io +pids");
        }
        for number in 0..count {
            let name = format!("{parent}/docker-{number:064x}.scope");
            let process = Command::new("sleep").arg("100000").spawn().expect("sleep runs");
            for root in roots {
                let directory = root.join(&name);
                std::fs::create_dir(&directory).expect("cgroups can be made: run as root");
                std::fs::write(directory.join("cgroup.procs"), process.id().to_string()).expect("processes move");
                made.directories.push(directory);
            }
            made.processes.push(process);
            made.names.push(name);
        }
        made
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        for directory in self.directories.iter().chain(&self.parents) {
            for _ in 0..100 {
                if std::fs::remove_dir(directory).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// The bare floor: every kept file of every cgroup, one `pread` each and one for its end, into one buffer.
struct Floor {
    files: Vec<File>,
    buffer: Vec<u8>,
}

impl Floor {
    fn open(sampler: &Sampler, names: &[String]) -> Self {
        let mut files = Vec::new();
        for name in names {
            for (root, file) in sampler.kept_sources() {
                files.extend(File::open(root.join(name).join(file)));
            }
        }
        Self { files, buffer: vec![0; 1 << 16] }
    }

    fn read(&mut self) -> usize {
        self.files.iter().map(|file| file.read_at(&mut self.buffer, 0).unwrap_or(0)).sum()
    }
}

struct Measured {
    floor: Vec<Duration>,
    tick: Vec<Duration>,
    append: Vec<Duration>,
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64) * 1e6
}

fn rounds(
    count: usize,
    pause: Duration,
    floor: &mut Floor,
    sampler: &mut Sampler,
    mut keep: impl FnMut(Arc<NodeSample>),
) -> Measured {
    let mut measured = Measured { floor: Vec::new(), tick: Vec::new(), append: Vec::new() };
    for round in 0..count {
        for floor_turn in [round % 2 == 0, round % 2 == 1] {
            std::thread::sleep(pause);
            let begin = Instant::now();
            if floor_turn {
                std::hint::black_box(floor.read());
                measured.floor.push(begin.elapsed());
            } else {
                let sample = sampler.tick(0, 0);
                measured.tick.push(begin.elapsed());
                let begin = Instant::now();
                keep(sample);
                measured.append.push(begin.elapsed());
            }
        }
    }
    measured
}

fn measure(count: usize, cold_rounds: usize, hierarchies: &Hierarchies) {
    let roots = [
        &hierarchies.v2,
        &hierarchies.cpu,
        &hierarchies.cpuacct,
        &hierarchies.memory,
        &hierarchies.blkio,
        &hierarchies.pids,
    ];
    let mut roots: Vec<PathBuf> = roots.into_iter().flatten().cloned().collect();
    roots.sort();
    roots.dedup();
    let cgroups = Cgroups::make(&roots, count);
    let options = |skip_idle| SamplerOptions {
        interval: Duration::from_secs(1),
        procfs: "/proc".into(),
        sysfs: "/sys".into(),
        hierarchies: hierarchies.clone(),
        kept_files: 18_000,
        skip_idle,
        machine: Arc::new(MachineFacts::default()),
        ids: SubjectIds::default(),
        details: std::sync::Arc::default(),
    };
    for (what, skip_idle) in [("every file every tick", false), ("idle cgroups skipped", true)] {
        let mut sampler = Sampler::new(options(skip_idle)).expect("the roots open");
        for name in &cgroups.names {
            let identity = identify(name.as_bytes());
            let inode = inode(&roots, name);
            let workload = Workload { identity, inode, metadata: None, created_at: UnixNanos(0) };
            sampler.handle(Discovery::Born { path: name.as_bytes().into(), workload: Arc::new(workload) });
        }
        let (mut writer, _store) = store::ring(64 << 20).expect("the budget is large enough");
        for _ in 0..65 {
            writer.append(sampler.tick(0, 0));
        }
        let mut floor = Floor::open(&sampler, &cgroups.names);
        for (heat, count_rounds, pause) in
            [("hot", 100, Duration::ZERO), ("cold 1 Hz", cold_rounds, Duration::from_millis(500))]
        {
            let mut measured = rounds(count_rounds, pause, &mut floor, &mut sampler, |sample| writer.append(sample));
            let (floor_us, tick_us) = (median(&mut measured.floor), median(&mut measured.tick));
            println!(
                "| {count:5} | {what:21} | {heat:9} | {:5} | {floor_us:9.0} | {tick_us:9.0} | {:5.2} | {:6.1} | {:5.2} |",
                floor.files.len() / count,
                tick_us / floor_us,
                tick_us / count as f64,
                median(&mut measured.append) / count as f64,
            );
        }
    }
}

fn inode(roots: &[PathBuf], name: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    roots.first().and_then(|root| std::fs::metadata(root.join(name)).ok()).map_or(0, |metadata| metadata.ino())
}

fn main() {
    let layout =
        CgroupLayout::detect(Path::new("/sys/fs/cgroup"), Path::new("/proc")).expect("this machine has cgroups");
    let hierarchies = ringside::agent::hierarchies(&layout);
    let counts = std::env::var("RINGSIDE_BENCH_CGROUPS").unwrap_or_else(|_| "100,500,1000".into());
    let cold_rounds = std::env::var("RINGSIDE_BENCH_COLD_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    println!("cgroup layout: {}", layout.as_str());
    println!("| cgroups | what | rounds | files each | floor µs | tick µs | ratio | tick µs each | append µs each |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for count in counts.split(',').filter_map(|count| count.trim().parse().ok()) {
        measure(count, cold_rounds, &hierarchies);
    }
}
