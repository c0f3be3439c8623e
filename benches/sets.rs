//! What each set that is read off the tick costs, per container.
//!
//! Makes real containers' cgroups on this machine, each with one process in a network namespace of its own, reads one set
//! after the other and prints the CPU time of the reading thread per container and cycle. Needs root.
//!
//! `cargo bench --bench sets` · `RINGSIDE_BENCH_CGROUPS=100` · `RINGSIDE_BENCH_ROUNDS=50`

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run stops with the reason")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use ringside::discover::identity::identify;
use ringside::discover::{CgroupLayout, Discovery, V1Controller, Workload};
use ringside::kernel::perf;
use ringside::sample::details::{DetailOptions, DetailPaths, DetailReader};
use ringside::sample::{Hierarchies, MachineFacts, Sampler, SamplerOptions, SubjectIds};
use ringside::units::UnixNanos;

struct Containers {
    folders: Vec<PathBuf>,
    names: Vec<String>,
    processes: Vec<Child>,
}

impl Containers {
    fn make(roots: &[PathBuf], count: usize) -> Self {
        let parent = format!("ringside-bench-sets-{}", std::process::id());
        let mut made = Self { folders: Vec::new(), names: Vec::new(), processes: Vec::new() };
        for number in 0..count {
            let name = format!("{parent}/docker-{number:064x}.scope");
            let process =
                Command::new("unshare").args(["-n", "sleep", "100000"]).spawn().expect("unshare and sleep run");
            for root in roots {
                let folder = root.join(&name);
                std::fs::create_dir_all(&folder).expect("cgroups can be made: run as root");
                std::fs::write(folder.join("cgroup.procs"), process.id().to_string()).expect("processes move");
                made.folders.push(folder);
            }
            made.processes.push(process);
            made.names.push(name);
        }
        made.folders.extend(roots.iter().map(|root| root.join(&parent)));
        made
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ended = process.kill();
            let _status = process.wait();
        }
        for folder in &self.folders {
            for _ in 0..100 {
                if std::fs::remove_dir(folder).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn sets() -> Vec<(&'static str, DetailOptions)> {
    let none = DetailOptions::default;
    let events = ["instructions", "cycles", "context-switches", "page-faults", "task-clock"];
    vec![
        ("none", none()),
        ("process", DetailOptions { process: true, ..none() }),
        ("sched", DetailOptions { sched: true, ..none() }),
        ("cpuLoad", DetailOptions { cpu_load: true, ..none() }),
        ("tcp", DetailOptions { tcp: true, ..none() }),
        ("udp", DetailOptions { udp: true, ..none() }),
        ("advtcp", DetailOptions { advtcp: true, ..none() }),
        ("memory_numa", DetailOptions { memory_numa: true, ..none() }),
        ("cpuset", DetailOptions { cpuset: true, ..none() }),
        ("referenced_memory", DetailOptions { referenced_memory: true, ..none() }),
        ("perf_event", DetailOptions { perf_events: events.into_iter().filter_map(perf::event).collect(), ..none() }),
    ]
}

fn main() {
    let layout =
        CgroupLayout::detect(Path::new("/sys/fs/cgroup"), Path::new("/proc")).expect("this machine has cgroups");
    let hierarchies = ringside::agent::hierarchies(&layout);
    let Hierarchies { v2, cpu, cpuacct, memory, pids, .. } = &hierarchies;
    let mut roots: Vec<PathBuf> = [v2, cpu, cpuacct, memory, pids].into_iter().flatten().cloned().collect();
    roots.sort();
    roots.dedup();
    let (count, rounds) = (number("RINGSIDE_BENCH_CGROUPS", 100), number("RINGSIDE_BENCH_ROUNDS", 50));
    let containers = Containers::make(&roots, count);
    std::thread::sleep(Duration::from_secs(1));
    let options = SamplerOptions {
        interval: Duration::from_secs(1),
        procfs: "/proc".into(),
        sysfs: "/sys".into(),
        hierarchies: hierarchies.clone(),
        kept_files: 1_000,
        skip_idle: true,
        machine: Arc::new(MachineFacts::default()),
        ids: SubjectIds::default(),
        details: Arc::default(),
    };
    let mut sampler = Sampler::new(options).expect("the roots open");
    for name in &containers.names {
        let workload =
            Workload { identity: identify(name.as_bytes()), inode: 1, metadata: None, created_at: UnixNanos(0) };
        sampler.handle(Discovery::Born { path: name.as_bytes().into(), workload: Arc::new(workload) });
    }
    let sample = sampler.tick(0, 0);
    let paths = DetailPaths {
        procfs: "/proc".into(),
        sysfs: "/sys".into(),
        cpuset: layout.v1(V1Controller::Cpuset).map(Into::into),
        hierarchies,
        perf_event: None,
        perf_descriptors: 4_096,
    };
    println!("{count} containers of one process, {rounds} cycles; cgroup layout {}", layout.as_str());
    println!("| set | µs per container and cycle | left out |");
    println!("|---|---|---|");
    let mut floor = 0.0;
    for (name, options) in sets() {
        let mut reader = DetailReader::new(options, &paths).expect("procfs opens");
        // The first cycle opens counters and reads the topology.
        let first = reader.read(&sample, &mut || true).map_or(0, |sets| sets.reading.cpu_usec);
        let mut last = None;
        for _ in 0..rounds {
            last = reader.read(&sample, &mut || true);
        }
        let reading = last.map(|sets| Arc::clone(&sets.reading)).unwrap_or_default();
        let spent = u32::try_from(reading.cpu_usec.saturating_sub(first)).map_or(f64::NAN, f64::from);
        let each = spent / u32::try_from(count * rounds).map_or(f64::NAN, f64::from);
        let left_out: Vec<_> = reading.left_out.iter().filter(|(_, count)| **count > 0).collect();
        println!("| {name} | {:.2} | {left_out:?} |", each - floor);
        if name == "none" {
            floor = each;
        }
    }
}
