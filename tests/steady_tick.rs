//! A steady tick allocates nothing: counted by the allocator, on real cgroups of this machine, the ring included.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]
#![expect(unsafe_code, reason = "a global allocator can only be written so; it counts and passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use ringside::discover::identity::identify;
use ringside::discover::{CgroupLayout, Discovery, Workload};
use ringside::sample::catalogue::{CgroupColumn, Table};
use ringside::sample::{MachineFacts, NodeSample, Sampler, SamplerOptions, SubjectIds};
use ringside::store::{self, BootId, DataDir, Ring, RingOptions};
use ringside::units::UnixNanos;

thread_local! {
    static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
}

struct Counting;

fn count() {
    COUNTED.with(|counted| counted.set(counted.get().map(|number| number + 1)));
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counter is a thread-local `Cell` without a
// destructor and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    COUNTED.set(Some(0));
    work();
    COUNTED.replace(None).unwrap()
}

/// As many samples take turns in the sampler.
const POOLED_SAMPLES: usize = 6;

/// Real cgroups, each with a process that keeps its counters moving; removed on drop.
struct Busy {
    directories: Vec<PathBuf>,
    processes: Vec<Child>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        for directory in &self.directories {
            // A child of the killed shell may live for a moment longer.
            for _ in 0..200 {
                if std::fs::remove_dir(directory).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
}

#[test]
fn a_steady_tick_and_its_place_in_the_ring_allocate_nothing() {
    let layout = CgroupLayout::detect(Path::new("/sys/fs/cgroup"), Path::new("/proc")).unwrap();
    let hierarchies = ringside::agent::hierarchies(&layout);
    let roots = [&hierarchies.v2, &hierarchies.cpu, &hierarchies.cpuacct, &hierarchies.memory, &hierarchies.blkio];
    let mut roots: Vec<PathBuf> = roots.into_iter().chain([&hierarchies.pids]).flatten().cloned().collect();
    roots.sort();
    roots.dedup();
    let mut busy = Busy { directories: Vec::new(), processes: Vec::new() };
    let names: Vec<String> = (0..3).map(|n| format!("ringside-steady-{}-{n}", std::process::id())).collect();
    for name in &names {
        // It works and rests, so that CPU use, pressure and memory differ from tick to tick.
        let script = "while :; do head -c 100000 /dev/zero | md5sum > /dev/null; sleep 0.01; done";
        let process = Command::new("sh").args(["-c", script]).spawn().unwrap();
        for root in &roots {
            let directory = root.join(name);
            std::fs::create_dir(&directory).expect("cgroups can be made: run as root");
            std::fs::write(directory.join("cgroup.procs"), process.id().to_string()).unwrap();
            busy.directories.push(directory);
        }
        busy.processes.push(process);
    }

    let mut sampler = Sampler::new(SamplerOptions {
        interval: Duration::from_millis(20),
        procfs: "/proc".into(),
        sysfs: "/sys".into(),
        hierarchies,
        kept_files: 1000,
        skip_idle: true,
        machine: Arc::new(MachineFacts::default()),
        ids: SubjectIds::default(),
        details: std::sync::Arc::default(),
    })
    .unwrap();
    for name in names.iter().map(String::as_str).chain([""]) {
        let identity = identify(name.as_bytes());
        let workload = Workload { identity, inode: 1, metadata: None, created_at: UnixNanos(0) };
        sampler.handle(Discovery::Born { path: name.as_bytes().into(), workload: Arc::new(workload) });
    }
    // As in the agent: sealing and the file have threads of their own.
    let folder = tempfile::tempdir().unwrap();
    let data_dir = DataDir { path: folder.path().to_path_buf(), retry: Duration::from_secs(10) };
    let options = RingOptions { budget_bytes: 8 << 20, boot: BootId::default(), data_dir: Some(data_dir) };
    let Ring { mut writer, store, background, .. } = store::open(&options).unwrap();
    // Past the sixtieth tick every file, also the rarely read ones, has been read, and every buffer has its size.
    for _ in 0..70 {
        writer.append(sampler.tick(0, 0));
        std::thread::sleep(Duration::from_millis(10));
    }
    let before = store.latest().unwrap();
    let (mut counted, mut unchanged, mut generation) = (Vec::with_capacity(200), 0, before.roster.generation);
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(5));
        let number = allocations(|| writer.append(sampler.tick(0, 0)));
        let newest = store.latest().unwrap().roster.generation;
        unchanged = if newest == generation { unchanged + 1 } else { 0 };
        generation = newest;
        // An interface that comes to this machine changes the roster, and the pooled samples grow by its row one after
        // the other: such ticks are not steady ones.
        if unchanged >= POOLED_SAMPLES {
            counted.push(number);
        }
    }
    assert!(counted.len() > 100, "only {} ticks were steady", counted.len());
    assert_eq!(counted.iter().sum::<u64>(), 0, "allocations by tick: {counted:?}");
    drop(background);
    let persistence = store.stats().persistence.unwrap();
    assert!(persistence.active && persistence.written_bytes > 0, "all of it was written too: {persistence:?}");
    let after = store.latest().unwrap();
    let usage = |sample: &NodeSample| -> Vec<u64> {
        let rows = sample.rows(Table::Cgroup).unwrap();
        rows.iter().filter_map(|row| row.value(CgroupColumn::CpuUsageUsec)).collect()
    };
    assert_eq!(usage(&after).len(), 4);
    assert!(usage(&before).iter().zip(usage(&after)).take(3).all(|(then, now)| now > *then), "the cgroups are busy");
}
