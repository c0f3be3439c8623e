//! The tick: who is there, read everything, hand on one [`NodeSample`].
//!
//! In: [`Discovery`] events and the kernel's files. Out: a [`NodeSample`] per tick, given to a function that keeps it.
//! It owns its thread and waits for nobody: events are taken between ticks, a file that fails is one container's file.
//! In steady state a tick allocates nothing: rows are refilled in place, and samples come from a pool. Next: `store/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::catalogue::{AGENT_METRICS, CGROUP_METRICS};
use super::cgroup::{FileBudget, Gone, Hierarchies, ReadContext, SourceTable};
use super::clock::{self, Schedule};
use super::details::DetailsCell;
use super::filesystem::FilesystemWatch;
use super::members::Members;
use super::network::NetContext;
use super::node::NodeReader;
use super::row::Row;
use super::self_stats::{SelfStats, TICK_BUCKETS_USEC};
use super::subject_ids::SubjectIds;
use super::{MachineFacts, NodeSample, Victim};
use crate::discover::Discovery;
use crate::kernel::cgroup::HugePageSize;
use crate::kernel::file::{KernelDir, ReadBuffer};
use crate::units::ErrorClass;

/// Samples that may be in readers' hands before a tick has to allocate a new one: the store keeps two.
const POOL: usize = 6;

/// The first tick begins when discovery has had nothing to tell for this long, or at the latest after the time below.
const FIRST_EVENTS_PAUSE: Duration = Duration::from_millis(30);
const FIRST_TICK_WITHIN_NANOS: u64 = 300_000_000;

/// Events that are handled in one go before the clock is looked at again.
const EVENTS_AT_ONCE: usize = 64;

/// What the sampler needs to know.
#[derive(Debug, Clone)]
pub struct SamplerOptions {
    /// Time between ticks.
    pub interval: Duration,
    /// Where `/proc` is.
    pub procfs: PathBuf,
    /// Where `/sys` is.
    pub sysfs: PathBuf,
    /// Where the cgroup hierarchies are.
    pub hierarchies: Hierarchies,
    /// Most descriptors that may be kept open.
    pub kept_files: u64,
    /// Whether a cgroup that stood still is spared the dear files for up to five ticks. Off: every file at every tick.
    pub skip_idle: bool,
    /// What this machine is.
    pub machine: Arc<MachineFacts>,
    /// Where the numbers of subjects go on.
    pub ids: SubjectIds,
    /// What is read off the tick.
    pub details: Arc<DetailsCell>,
}

/// Why the sampler could not start.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A root directory could not be opened; give the right one with `--procfs`, `--sysfs` or `--cgroupfs`.
    #[error("cannot open {path}: {class}; check --procfs, --sysfs and --cgroupfs, and run `ringside doctor`")]
    Root {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        class: ErrorClass,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on processes (ulimit -u, pids.max)")]
    Thread(#[from] std::io::Error),
}

/// Everything one tick needs. Made once; [`Sampler::tick`] is the hot path.
#[derive(Debug)]
pub struct Sampler {
    table: SourceTable,
    proc: Arc<KernelDir>,
    node: NodeReader,
    filesystems: FilesystemWatch,
    members: Members,
    machine: Arc<MachineFacts>,
    details: Arc<DetailsCell>,
    interval_nanos: u64,
    skip_idle: bool,
    buffer: ReadBuffer,
    path: Vec<u8>,
    before: Row,
    budget: FileBudget,
    stats: SelfStats,
    agent: Row,
    pool: Vec<Arc<NodeSample>>,
    tick: u64,
}

impl Sampler {
    /// Opens the roots. Cgroups come later, by [`Sampler::handle`].
    ///
    /// # Errors
    /// [`SampleError`] when a root is not there or a thread cannot be started.
    pub fn new(options: SamplerOptions) -> Result<Self, SampleError> {
        let root = |(path, class)| SampleError::Root { path, class };
        let proc =
            KernelDir::open_root(&options.procfs).map_err(|error| root((options.procfs.clone(), error.class())))?;
        let page_sizes = page_sizes(&options.sysfs);
        let table =
            SourceTable::new(&options.hierarchies, &page_sizes, options.machine.swap_bytes > 0).map_err(root)?;
        let proc = Arc::new(proc);
        Ok(Self {
            table,
            node: NodeReader::new(Arc::clone(&proc)),
            proc,
            filesystems: FilesystemWatch::start(options.procfs)?,
            members: Members::new(&options.sysfs, page_sizes, options.ids),
            skip_idle: options.skip_idle,
            machine: options.machine,
            details: options.details,
            interval_nanos: u64::try_from(options.interval.as_nanos()).unwrap_or(u64::MAX),
            buffer: ReadBuffer::default(),
            path: Vec::with_capacity(4096),
            before: Row::new(CGROUP_METRICS.len()),
            budget: FileBudget { limit: options.kept_files, used: 0 },
            stats: SelfStats::default(),
            agent: Row::new(AGENT_METRICS.len()),
            pool: (0..POOL).map(|_| Arc::new(NodeSample::new())).collect(),
            tick: 0,
        })
    }

    /// The files whose descriptors are kept: hierarchy root and file name. What a measurement of the floor reads.
    pub fn kept_sources(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.table.kept()
    }

    /// Takes what discovery found out. A new cgroup's files are opened at once, an emptied one's are read a last time.
    pub fn handle(&mut self, event: Discovery) {
        self.stats.discoveries += 1;
        let mut context = ReadContext {
            table: &self.table,
            buffer: &mut self.buffer,
            path: &mut self.path,
            before: &mut self.before,
            stats: &mut self.stats,
            budget: &mut self.budget,
            skip_idle: self.skip_idle,
            tick: self.tick + 1,
        };
        match event {
            Discovery::Born { path, workload } => self.members.born(path, workload, &mut context),
            Discovery::Emptied { path, inode } => self.members.emptied(&path, inode, clock::monotonic(), &mut context),
            Discovery::Removed { path, inode } => self.members.removed(&path, inode, &mut context),
            Discovery::Described { container_id, metadata } => self.members.described(&container_id, &metadata),
            Discovery::Exited { container_id, exit } => self.members.exited(&container_id, &exit),
            Discovery::LeftOut { cgroups } => context.stats.cgroups_shed = cgroups,
            Discovery::OomKilled { task_memcg, process, pid, .. } => {
                self.members.oom_killed(&task_memcg, Victim { process, pid });
            }
        }
    }

    /// Reads everything that is due and gives the sample. `delay_nanos` is how late the tick began, `missed` how many
    /// due ticks were passed over before it.
    pub fn tick(&mut self, delay_nanos: u64, missed: u64) -> Arc<NodeSample> {
        self.tick += 1;
        let started_at = clock::monotonic();
        let wall = clock::wall();
        self.read_cgroups();
        self.read_networks();
        let now = clock::monotonic();
        self.node.read(self.tick, now, &mut self.buffer, &mut self.stats);
        self.members.follow_filesystems(&self.filesystems.shared);
        self.members.settle(&mut self.node.rows, self.tick);

        let mut pooled = self.take_pooled();
        let ended_at = clock::monotonic();
        self.note_cost(ended_at.since(started_at), delay_nanos, missed);
        self.stats.put_into(&mut self.agent, self.tick);
        self.agent.read_at = ended_at;
        // The pool's member is not shared: `take_pooled` made sure.
        if let Some(sample) = Arc::get_mut(&mut pooled) {
            sample.tick = self.tick;
            sample.started_at = started_at;
            sample.ended_at = ended_at;
            sample.wall = wall;
            sample.machine = Arc::clone(&self.machine);
            sample.details = self.details.get();
            sample.self_stats = self.stats.clone();
            self.members.fill(sample, &self.node.rows, &self.agent);
        }
        self.pool.push(Arc::clone(&pooled));
        pooled
    }

    fn read_cgroups(&mut self) {
        let mut context = ReadContext {
            table: &self.table,
            buffer: &mut self.buffer,
            path: &mut self.path,
            before: &mut self.before,
            stats: &mut self.stats,
            budget: &mut self.budget,
            skip_idle: self.skip_idle,
            tick: self.tick,
        };
        for cgroup in self.members.living_mut() {
            if cgroup.reader.tick(&cgroup.path, clock::monotonic(), &mut context) == Err(Gone) {
                cgroup.ended = true;
            }
        }
        self.members.close_ended(&mut context);
    }

    fn read_networks(&mut self) {
        let mut context = NetContext {
            proc: &self.proc,
            buffer: &mut self.buffer,
            path: &mut self.path,
            stats: &mut self.stats,
            budget: &mut self.budget,
        };
        self.members.read_networks(self.tick, &mut context);
        self.members.find_namespaces(self.tick, &self.table, &mut context);
    }

    /// A sample that nobody else holds. When readers hold all of them, a new one is made and an old one left to them.
    fn take_pooled(&mut self) -> Arc<NodeSample> {
        let free = self.pool.iter_mut().position(|pooled| Arc::get_mut(pooled).is_some());
        match free {
            Some(index) => self.pool.remove(index),
            None => {
                if self.pool.len() >= POOL {
                    self.pool.remove(0);
                }
                Arc::new(NodeSample::new())
            }
        }
    }

    fn note_cost(&mut self, duration_nanos: u64, delay_nanos: u64, missed: u64) {
        let stats = &mut self.stats;
        stats.missed_ticks += missed;
        stats.tick_duration_nanos = duration_nanos;
        stats.tick_delay_nanos = delay_nanos;
        stats.tick_duration_sum_nanos += duration_nanos;
        let bucket = TICK_BUCKETS_USEC.iter().position(|bound| duration_nanos <= bound * 1_000);
        if let Some(count) = stats.tick_histogram.get_mut(bucket.unwrap_or(TICK_BUCKETS_USEC.len())) {
            *count += 1;
        }
        stats.thread_cpu_nanos = clock::thread_cpu();
        stats.kept_files = self.budget.used;
        stats.kept_files_limit = self.budget.limit;
        stats.cgroups = self.members.living() as u64;
        stats.interval_nanos = self.interval_nanos;
    }

    /// Ticks at a fixed phase until `stop` is set, and hands each sample to `keep`. The first tick comes
    /// within a third of a second.
    pub fn run(mut self, events: &Receiver<Discovery>, stop: &AtomicBool, mut keep: impl FnMut(Arc<NodeSample>)) {
        // What exists already belongs to the first tick: it waits until discovery has told of everything once.
        let latest = clock::monotonic().0 + FIRST_TICK_WITHIN_NANOS;
        while clock::monotonic().0 < latest
            && let Ok(event) = events.recv_timeout(FIRST_EVENTS_PAUSE)
        {
            self.handle(event);
        }
        let mut schedule = Schedule::new(clock::monotonic(), self.interval_nanos);
        while !stop.load(Ordering::Relaxed) {
            self.wait(events, schedule.due());
            let now = clock::monotonic();
            let delay = now.since(schedule.due());
            let missed = schedule.begin(now);
            keep(self.tick(delay, missed));
        }
    }

    /// Handles events until the tick is due. A storm of them cannot delay it by more than one handful.
    fn wait(&mut self, events: &Receiver<Discovery>, due: crate::units::MonotonicNanos) {
        loop {
            let left = due.since(clock::monotonic());
            if left == 0 {
                return;
            }
            match events.recv_timeout(Duration::from_nanos(left)) {
                Ok(event) => {
                    self.handle(event);
                    for event in events.try_iter().take(EVENTS_AT_ONCE) {
                        self.handle(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    // Discovery has ended; what is known goes on being read.
                    std::thread::sleep(Duration::from_nanos(left));
                    return;
                }
            }
        }
    }
}

/// Huge page sizes of this machine as cgroup file names spell them: `2MB`, `1GB`.
fn page_sizes(sysfs: &Path) -> Vec<Box<str>> {
    let Ok(entries) = std::fs::read_dir(sysfs.join("kernel/mm/hugepages")) else { return Vec::new() };
    let size = |entry: std::fs::DirEntry| HugePageSize::from_sysfs_folder(entry.file_name().as_encoded_bytes());
    let mut sizes: Vec<HugePageSize> = entries.flatten().filter_map(size).collect();
    sizes.sort_unstable();
    sizes.into_iter().map(|size| size.to_string().into()).collect()
}
