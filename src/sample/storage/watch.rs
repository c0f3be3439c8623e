//! The thread `ringside-walk`: counts every tree in turn, slowly, and publishes what it knows.
//!
//! In: the newest sample (who is there), what the runtimes say about files. Out: [`Details::storage`]. A tree is counted at
//! most every `--storage-interval`, and one that is dear to count at most at a twentieth of the time: what nineteen
//! twentieths of the time are for is everybody else's disk. It follows [`Pace`], holds no lock while it reads, and ends at
//! the next pause after its handle is dropped. Next: [`details`](crate::sample::details).
//!
//! [`Details::storage`]: crate::sample::details::Details

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::ask::Asker;
use super::host::{Host, Mounts};
use super::pace::Pace;
use super::plan::{Known, Plan, PlannedTree, Planner, TreeKey};
use super::publish::{Counted, usages};
use super::walk::{Bounds, Walk, Which};
use super::{Backing, TreeUsage, UsageSource};
use crate::discover::ContainerFiles;
use crate::kernel::project_quota::{project_of, read_project_quota, set_idle_io_class};
use crate::sample::cgroup::Hierarchies;
use crate::sample::details::DetailsCell;
use crate::sample::{NodeSample, SubjectId};
use crate::units::UnixNanos;

/// How often it is looked who is there.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Shortest time between two publications, while there is news.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// The thread pauses at least this long between two slices.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// A tree is counted at most once in this many times of what counting it takes.
const COST_SHARE: u32 = 20;
/// A runtime's count is believed for this many intervals.
const BELIEVED_INTERVALS: u32 = 5;
/// Niceness of the thread: whoever else wants the CPU has it first.
const NICE: i32 = 15;

/// Where to look and how often.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Where procfs is mounted.
    pub procfs: PathBuf,
    /// Where the host's root folder is mounted.
    pub rootfs: PathBuf,
    /// The kubelet's folder, as a path of the host.
    pub kubelet_dir: PathBuf,
    /// The cgroup hierarchies.
    pub hierarchies: Hierarchies,
    /// Shortest time between two counts of a tree.
    pub interval: Duration,
    /// How far a walk goes.
    pub bounds: Bounds,
}

/// The running thread.
#[derive(Debug)]
pub struct StorageWatch {
    stop: Arc<AtomicBool>,
    thread: std::thread::Thread,
}

impl StorageWatch {
    /// Starts the thread. `newest` gives the newest sample, `files` what the runtimes say; both are asked every few seconds.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        options: StorageOptions,
        newest: impl Fn() -> Option<Arc<NodeSample>> + Send + 'static,
        files: impl Fn() -> HashMap<Arc<str>, ContainerFiles> + Send + 'static,
        details: Arc<DetailsCell>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let asker = Asker::start()?;
        let handle = std::thread::Builder::new().name("ringside-walk".into()).spawn(move || {
            // Where a sandbox forbids them the pace alone has to do.
            let _ = set_idle_io_class();
            let _ = rustix::process::nice(NICE);
            let mut pace = Pace::new(options.procfs.clone());
            let mut counter = Counter::new(options, asker);
            while !stopping.load(Ordering::Relaxed) {
                if counter.is_time_to_look()
                    && let Some(sample) = newest()
                {
                    counter.look(&sample, &files());
                }
                let idle = counter.work(&pace);
                if counter.has_news() {
                    let storage = Arc::new(counter.publish());
                    details.update(|details| details.storage = storage);
                }
                std::thread::park_timeout(pace.pause().max(idle).max(SHORTEST_PAUSE));
            }
        })?;
        Ok(Self { stop, thread: handle.thread().clone() })
    }
}

impl Drop for StorageWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

/// A tree between its counts.
#[derive(Debug)]
struct Tree {
    planned: PlannedTree,
    due: Instant,
    counted: Option<Counted>,
}

/// The tree that is being walked.
#[derive(Debug)]
struct Active {
    key: TreeKey,
    walk: Walk,
    backing: Option<Arc<Backing>>,
    /// Time spent in the walk, without the pauses.
    busy: Duration,
}

/// A project of one filesystem.
type Project = ((u32, u32), u32);

/// What the thread knows.
struct Counter {
    interval: Duration,
    bounds: Bounds,
    planner: Planner,
    mounts: Mounts,
    asker: Asker,
    plan: Plan,
    trees: BTreeMap<TreeKey, Tree>,
    sizes: BTreeMap<TreeKey, Counted>,
    /// The filesystems of layers that a runtime counted, with the folder that they were asked through.
    backings: BTreeMap<SubjectId, Arc<Backing>>,
    /// Which tree a project belongs to; `None` when several have it, so that its usage is nobody's.
    projects: BTreeMap<Project, Option<TreeKey>>,
    active: Option<Active>,
    look_at: Instant,
    publish_at: Instant,
    has_changed: bool,
}

impl Counter {
    fn new(options: StorageOptions, asker: Asker) -> Self {
        let StorageOptions { procfs, rootfs, kubelet_dir, hierarchies, interval, bounds } = options;
        let stale_after = interval.saturating_mul(BELIEVED_INTERVALS);
        let now = Instant::now();
        Self {
            interval,
            bounds,
            planner: Planner::new(Host::new(rootfs, procfs), kubelet_dir, hierarchies, stale_after),
            mounts: Mounts::default(),
            asker,
            plan: Plan::default(),
            trees: BTreeMap::new(),
            sizes: BTreeMap::new(),
            backings: BTreeMap::new(),
            projects: BTreeMap::new(),
            active: None,
            look_at: now,
            publish_at: now,
            has_changed: false,
        }
    }

    fn is_time_to_look(&self) -> bool {
        Instant::now() >= self.look_at
    }

    /// Looks who is there, and where their files are.
    fn look(&mut self, sample: &NodeSample, files: &HashMap<Arc<str>, ContainerFiles>) {
        let now = Instant::now();
        self.look_at = now + LOOK_EVERY.min(self.interval);
        self.mounts = self.planner.host.mounts();
        let wall = UnixNanos::now();
        let plan = self.planner.plan(&Known { sample, files, mounts: &self.mounts, now, wall });
        self.trees.retain(|key, tree| plan.trees.get(key) == Some(&tree.planned));
        for (key, planned) in &plan.trees {
            let tree = || Tree { planned: planned.clone(), due: now, counted: None };
            self.trees.entry(key.clone()).or_insert_with(tree);
        }
        let trees = &self.trees;
        self.active.take_if(|active| !trees.contains_key(&active.key));
        self.projects.retain(|_, key| key.as_ref().is_none_or(|key| trees.contains_key(key)));
        self.size_mounts(&plan);
        self.size_told(&plan);
        self.plan = plan;
        self.has_changed = true;
    }

    /// Asks for the sizes of volumes that are mounts.
    fn size_mounts(&mut self, plan: &Plan) {
        self.sizes.retain(|key, _| plan.mounts.contains_key(key));
        let host = &self.planner.host;
        for (key, mount) in &plan.mounts {
            let path = host.own_path(&mount.path);
            let size = if mount.facts.is_remote() {
                self.asker.ask(path.clone(), &mount.facts);
                self.asker.answer(&path)
            } else {
                let directory = host.open(&mount.path).ok();
                let size = directory.and_then(|directory| self.mounts.filesystem(directory.as_fd()));
                size.map(|(backing, usage)| (Arc::new(backing), usage))
            };
            if let Some((backing, usage)) = size {
                self.sizes.insert(key.clone(), (usage, Some(backing)));
            }
        }
        let paths: std::collections::HashSet<PathBuf> =
            plan.mounts.values().map(|mount| host.own_path(&mount.path)).collect();
        self.asker.retain(|path| paths.contains(path));
    }

    /// Finds the filesystems of the layers that a runtime counted; one question for all layers of one folder.
    fn size_told(&mut self, plan: &Plan) {
        let mut asked: HashMap<&Path, Option<Arc<Backing>>> = HashMap::new();
        self.backings.clear();
        for (id, layer) in &plan.told {
            let Some(path) = layer.mountpoint.as_deref() else { continue };
            let backing = asked.entry(path).or_insert_with(|| {
                let directory = self.planner.host.open(path).ok()?;
                self.mounts.filesystem(directory.as_fd()).map(|(backing, _)| Arc::new(backing))
            });
            if let Some(backing) = backing {
                self.backings.insert(*id, Arc::clone(backing));
            }
        }
    }

    /// Counts until the slice is over. Gives the time for which there is nothing to do.
    fn work(&mut self, pace: &Pace) -> Duration {
        loop {
            let now = Instant::now();
            if self.active.is_none() {
                let next = self.trees.iter().min_by_key(|(_, tree)| tree.due);
                match next {
                    Some((key, tree)) if tree.due <= now => {
                        let key = key.clone();
                        self.begin(key, now);
                    }
                    next => {
                        let due = next.map_or(self.look_at, |(_, tree)| tree.due.min(self.look_at));
                        let due = if self.has_changed { due.min(self.publish_at) } else { due };
                        return due.saturating_duration_since(now);
                    }
                }
            }
            if let Some(active) = &mut self.active {
                let is_done = active.walk.step();
                active.busy = active.busy.saturating_add(now.elapsed());
                if is_done {
                    self.finish();
                }
            }
            if pace.is_slice_over() {
                return Duration::ZERO;
            }
        }
    }

    /// Begins to count a tree; where its project's usage is known, that is all.
    fn begin(&mut self, key: TreeKey, now: Instant) {
        let Some(tree) = self.trees.get_mut(&key) else { return };
        tree.due = now + self.interval;
        let planned = tree.planned.clone();
        let root = match self.planner.host.open(&planned.path) {
            Ok(root) => root,
            Err(errno) => {
                // Not there (yet), or not for us: nothing is known.
                tree.counted = None;
                if !matches!(errno, Errno::NOENT | Errno::NOTDIR) {
                    tracing::debug!(path = %planned.path.display(), %errno, "storage cannot be counted");
                }
                self.has_changed = true;
                return;
            }
        };
        let backing = self.mounts.filesystem(root.as_fd()).map(|(backing, _)| Arc::new(backing));
        if planned.which == Which::Everything
            && let Some(usage) = self.quota(&key, &root)
        {
            self.counted(&key, (usage, backing));
            return;
        }
        if let Ok(walk) = Walk::new(root, planned.which, self.bounds) {
            self.active = Some(Active { key, walk, backing, busy: Duration::ZERO });
        }
    }

    /// The usage of a tree that has a project to itself.
    fn quota(&mut self, key: &TreeKey, root: &OwnedFd) -> Option<TreeUsage> {
        let project_id = project_of(root.as_fd())?;
        // A runtime sets it on the layer's folder or on the one around it; one that comes from further up is not ours alone.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let above = openat(root, "../..", flags, Mode::empty()).ok()?;
        if project_of(above.as_fd()) == Some(project_id) {
            return None;
        }
        let stat = rustix::fs::fstat(root).ok()?;
        let device = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
        let owner = self.projects.entry((device, project_id)).or_insert_with(|| Some(key.clone()));
        if owner.as_ref() != Some(key) {
            *owner = None;
            return None;
        }
        let node = self.planner.host.own_path(Path::new(&format!("/dev/block/{}:{}", device.0, device.1)));
        let quota = read_project_quota(root.as_fd(), Some(&node), project_id).ok()?;
        Some(TreeUsage {
            used_bytes: quota.used_bytes,
            inodes: quota.inodes,
            counted_at: UnixNanos::now(),
            source: UsageSource::Quota,
            is_partial: false,
        })
    }

    fn finish(&mut self) {
        let Some(Active { key, walk, backing, busy }) = self.active.take() else { return };
        let count = walk.count();
        let usage = TreeUsage {
            used_bytes: count.used_bytes,
            inodes: count.inodes,
            counted_at: UnixNanos::now(),
            source: UsageSource::Walk,
            is_partial: count.is_partial,
        };
        if let Some(tree) = self.trees.get_mut(&key) {
            tree.due = Instant::now() + self.interval.max(busy.saturating_mul(COST_SHARE));
        }
        self.counted(&key, (usage, backing));
    }

    fn counted(&mut self, key: &TreeKey, counted: Counted) {
        if let Some(tree) = self.trees.get_mut(key) {
            tree.counted = Some(counted);
            self.has_changed = true;
        }
    }

    fn has_news(&self) -> bool {
        self.has_changed && Instant::now() >= self.publish_at
    }

    fn publish(&mut self) -> BTreeMap<SubjectId, super::StorageUsage> {
        self.publish_at = Instant::now() + PUBLISH_EVERY;
        self.has_changed = false;
        let counted = |key: &TreeKey| match self.trees.get(key) {
            Some(tree) => tree.counted.clone(),
            None => self.sizes.get(key).cloned(),
        };
        usages(&self.plan, &counted, &|id| self.backings.get(&id).cloned())
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
