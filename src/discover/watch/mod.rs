//! The watcher: one thread that knows every cgroup, told by inotify and made sure by scans.
//!
//! In: the hierarchies of [`CgroupLayout`], inotify, pidfds, `/dev/kmsg`. Out: [`Discovery`] events in order, root first;
//! a nudge to the runtimes' tasks when a container is born or ends.
//! A new directory is watched *before* it is read, so that nothing made in it meanwhile is missed; a full scan every
//! `rescan` (every second while inotify is refused) finds what events did not tell. Only differences are sent.
//! Limits: depth 16, names of 512 bytes, a total of cgroups, four times that in directories per scan; what is left out
//! is counted in [`WatchStatus`]. It never reads a counter and never waits for the network. Next: `sample/`.

mod inotify;
mod kmsg;
mod pidwatch;
mod registry;
mod scan;
mod tree;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::error::DiscoverError;
use super::layout::{CgroupLayout, V1Controller};
use super::sink::EventSink;
use super::{CgroupKind, Discovery};
use crate::units::{MonotonicNanos, UnixNanos};
use inotify::{Inotify, Kind, Seen};
use kmsg::Kmsg;
use pidwatch::{Look, PidWatch};
use registry::{MAX_TREES, Registry};
use scan::Tally;
use tree::{Tree, read_populated};

const STOP: u64 = 0;
const INOTIFY: u64 = 1;
const KMSG: u64 = 2;
const FIRST_PID_TOKEN: u64 = 3;
/// Pause between scans while inotify does not tell everything.
const RESCAN_BLIND: Duration = Duration::from_secs(1);

/// What the watcher needs to know.
#[derive(Debug, Clone)]
pub(super) struct WatchOptions {
    pub rescan: Duration,
    pub max_cgroups: usize,
    pub max_watches: usize,
    pub max_pid_watches: usize,
    pub kmsg: Option<PathBuf>,
}

/// What the watcher sees and what it had to leave out. Gauges are of the last full scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchStatus {
    /// Cgroups that are known now (gauge).
    pub cgroups: usize,
    /// inotify watches that are set now (gauge).
    pub inotify_watches: usize,
    /// Why inotify does not tell everything, so that a scan runs every second; `None` when it does.
    pub inotify_refused: Option<String>,
    /// How often inotify's queue overflowed (counter).
    pub inotify_overflows: u64,
    /// Processes that are watched by pidfd (gauge; version 1 hierarchies only).
    pub pid_watches: usize,
    /// Directories below the deepest level that is looked at (gauge).
    pub shed_too_deep: u64,
    /// Directories whose name is too long (gauge).
    pub shed_name_too_long: u64,
    /// Cgroups left out because there are too many (gauge).
    pub shed_over_cap: u64,
    /// The three together, in the hierarchy that has most of them: what is told to the sampler (gauge).
    pub left_out: u64,
    /// Cgroups thrown out to make room for containers and pods (counter).
    pub evicted: u64,
    /// Full scans that were cut short because there are too many directories (counter).
    pub scans_truncated: u64,
    /// Full scans (counter).
    pub scans: u64,
    /// Duration of the last full scan.
    pub last_scan_usec: u64,
    /// Duration of the longest full scan.
    pub longest_scan_usec: u64,
    /// Why `/dev/kmsg` is not read; `None` when it is (or was not asked for).
    pub kmsg_refused: Option<String>,
    /// OOM lines in the log that were ambiguous or damaged (counter).
    pub kmsg_lines_refused: u64,
}

/// The running watcher. Dropping it does not stop it; [`WatchHandle::stop`] does.
pub(super) struct WatchHandle {
    stop: Arc<OwnedFd>,
    thread: Option<std::thread::JoinHandle<()>>,
    status: Arc<Mutex<WatchStatus>>,
}

impl WatchHandle {
    pub(super) fn status(&self) -> WatchStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn stop(&mut self) {
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the watcher's thread. `nudge` is called when containers were born or ended.
pub(super) fn start(
    layout: &CgroupLayout,
    options: WatchOptions,
    sink: EventSink,
    nudge: impl Fn() + Send + 'static,
) -> Result<WatchHandle, DiscoverError> {
    let trees = open_trees(layout)?;
    let watcher_error = |errno: Errno| DiscoverError::Watcher(errno.into());
    let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(watcher_error)?);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(watcher_error)?;
    epoll::add(&epoll, &*stop, EventData::new_u64(STOP), EventFlags::IN).map_err(watcher_error)?;
    let status = Arc::new(Mutex::new(WatchStatus::default()));
    let mut watcher = Watcher {
        registry: Registry::new(trees.len(), options.max_cgroups),
        pids: PidWatch::new(FIRST_PID_TOKEN, options.max_pid_watches),
        trees,
        epoll,
        inotify: None,
        kmsg: None,
        scan: 0,
        tally: Tally::default(),
        status: WatchStatus::default(),
        shared: Arc::clone(&status),
        out: Vec::new(),
        sink,
        nudge: Box::new(nudge),
        options,
    };
    let thread = std::thread::Builder::new()
        .name("cgroup-watch".to_owned())
        .spawn(move || watcher.run())
        .map_err(DiscoverError::Watcher)?;
    Ok(WatchHandle { stop, thread: Some(thread), status })
}

/// The hierarchies to watch: the version 2 tree, then version 1 memory and cpuacct (or cpu), each once.
fn open_trees(layout: &CgroupLayout) -> Result<Vec<Tree>, DiscoverError> {
    let cpu = layout.v1(V1Controller::Cpuacct).or_else(|| layout.v1(V1Controller::Cpu));
    let mut roots = vec![(layout.v2_root.as_deref(), true), (layout.v1(V1Controller::Memory), false), (cpu, false)];
    if roots.iter().all(|(root, _)| root.is_none()) {
        roots.push((layout.v1.values().next().map(PathBuf::as_path), false));
    }
    let mut trees: Vec<Tree> = Vec::new();
    for (root, has_events) in roots {
        let Some(root) = root else { continue };
        let tree = Tree::open(root, has_events)
            .map_err(|errno| DiscoverError::OpenRoot { path: root.to_path_buf(), source: errno.into() })?;
        if trees.len() < MAX_TREES && trees.iter().all(|other| other.id != tree.id) {
            trees.push(tree);
        }
    }
    Ok(trees)
}

struct Watcher {
    trees: Vec<Tree>,
    registry: Registry,
    inotify: Option<Inotify>,
    pids: PidWatch,
    kmsg: Option<Kmsg>,
    epoll: OwnedFd,
    scan: u64,
    tally: Tally,
    status: WatchStatus,
    shared: Arc<Mutex<WatchStatus>>,
    out: Vec<Discovery>,
    sink: EventSink,
    nudge: Box<dyn Fn() + Send>,
    options: WatchOptions,
}

impl Watcher {
    fn run(&mut self) {
        self.open_kmsg();
        self.full_scan();
        let mut scanned_at = now();
        let mut seen = Vec::new();
        loop {
            let next_birth = self.registry.births(now(), &mut self.out);
            if self.flush().is_err() {
                return;
            }
            let (due, next_look) = self.pids.due(now());
            for path in due {
                self.look_at_processes(&path);
            }
            self.publish();
            let pause = if self.status.inotify_refused.is_some() { RESCAN_BLIND } else { self.options.rescan };
            let next_scan = MonotonicNanos(scanned_at.0.saturating_add(nanos(pause.min(self.options.rescan))));
            let wake = [Some(next_scan), next_birth, next_look].into_iter().flatten().min().unwrap_or(next_scan);
            let mut is_scan_due = false;
            match self.wait(wake) {
                Wake::Stop => return,
                Wake::Ready { inotify, kmsg, pids } => {
                    for token in pids {
                        if let Some(path) = self.pids.fired(&self.epoll, token) {
                            self.look_at_processes(&path);
                        }
                    }
                    if inotify && let Some(inotify) = &mut self.inotify {
                        // More than one batch stays readable and is read in the next round.
                        inotify.read(&mut seen);
                        is_scan_due = self.handle(&mut seen);
                    }
                    if kmsg {
                        self.read_kmsg();
                    }
                }
            }
            if is_scan_due || now() >= next_scan {
                self.full_scan();
                scanned_at = now();
            }
        }
    }

    fn wait(&self, until: MonotonicNanos) -> Wake {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        let left = until.since(now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(left % 1_000_000_000).unwrap_or(0),
        };
        let mut ready = (false, false, Vec::new());
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
        for event in &events {
            match event.data.u64() {
                STOP => return Wake::Stop,
                INOTIFY => ready.0 = true,
                KMSG => ready.1 = true,
                token => ready.2.push(token),
            }
        }
        Wake::Ready { inotify: ready.0, kmsg: ready.1, pids: ready.2 }
    }

    /// Acts on inotify's events. True when a full scan is due because some were lost.
    fn handle(&mut self, seen: &mut Vec<Seen>) -> bool {
        let mut is_scan_due = false;
        for event in seen.drain(..) {
            match event {
                Seen::Overflow => {
                    self.status.inotify_overflows = self.status.inotify_overflows.saturating_add(1);
                    is_scan_due = true;
                }
                Seen::Made { tree, parent, name } | Seen::Lost { tree, parent, name } => {
                    self.look_again(tree, &parent, &name);
                }
                Seen::Changed { tree, path } => self.read_events(tree, &path),
            }
        }
        is_scan_due
    }

    fn read_events(&mut self, tree: usize, path: &[u8]) {
        let Some(at) = self.trees.get(tree) else { return };
        // Gone meanwhile: the removal is an event of its own.
        if let Ok(Some(populated)) = at.open_directory(path).and_then(|directory| read_populated(directory.as_fd())) {
            self.registry.set_populated(path, populated, &mut self.out);
        }
    }

    /// Containers that no `cgroup.events` watch tells about: watch their first process, or read the state now.
    fn look_at_unwatched(&mut self) {
        let mut by_process = Vec::new();
        let mut by_file = Vec::new();
        for (path, known) in self.registry.iter().filter(|(_, known)| known.is_container) {
            let in_v2 =
                self.trees.iter().zip(known.inodes).position(|(tree, inode)| tree.has_events && inode.is_some());
            match in_v2 {
                None if !self.pids.has(path) => by_process.push(Arc::clone(path)),
                Some(tree) if !self.inotify.as_ref().is_some_and(|all| all.has(tree, Kind::Events, path)) => {
                    by_file.push((tree, Arc::clone(path)));
                }
                _ => {}
            }
        }
        for path in by_process {
            self.look_at_processes(&path);
        }
        for (tree, path) in by_file {
            self.read_events(tree, &path);
        }
    }

    /// Watches the first process of a container, or reports that there is none (any more).
    fn look_at_processes(&mut self, path: &Arc<[u8]>) {
        let Some(known) = self.registry.get(path) else { return self.pids.remove(&self.epoll, path) };
        let Some(tree) = known.inodes.iter().position(Option::is_some) else { return };
        let Some(at) = self.trees.get(tree) else { return };
        if at.has_events {
            return self.pids.remove(&self.epoll, path);
        }
        let Ok(directory) = at.open_directory(path) else { return };
        match self.pids.look(&self.epoll, path, directory.as_fd()) {
            Look::Watching => {
                if let Some(known) = self.registry.get_mut(path) {
                    known.populated = true;
                }
            }
            Look::Empty => {
                self.registry.set_populated(path, false, &mut self.out);
                self.pids.wait(path, now());
            }
            Look::No => {}
        }
    }

    /// Sends what was collected.
    fn flush(&mut self) -> Result<(), super::sink::Stopped> {
        let mut has_container = false;
        for event in std::mem::take(&mut self.out) {
            if let Discovery::Born { path, workload } = &event
                && workload.identity.kind == CgroupKind::Container
            {
                has_container = true;
                let is_in_v2 = self.registry.get(path).is_some_and(|known| {
                    self.trees.iter().zip(known.inodes).any(|(tree, inode)| tree.has_events && inode.is_some())
                });
                if !is_in_v2 {
                    self.pids.wait(&Arc::from(&**path), now());
                }
            }
            // An end is news for a runtime that tells nothing by itself, as a birth is.
            if let Discovery::Emptied { path, .. } = &event {
                has_container |= self.registry.get(path).is_some_and(|known| known.is_container);
            }
            self.sink.send(event)?;
        }
        if has_container {
            (self.nudge)();
        }
        Ok(())
    }

    fn open_kmsg(&mut self) {
        let Some(path) = &self.options.kmsg else { return };
        let opened = Kmsg::open(path).and_then(|kmsg| {
            epoll::add(&self.epoll, kmsg.fd(), EventData::new_u64(KMSG), EventFlags::IN)?;
            Ok(kmsg)
        });
        match opened {
            Ok(kmsg) => self.kmsg = Some(kmsg),
            Err(errno) => self.status.kmsg_refused = Some(format!("{}: {errno}", path.display())),
        }
    }

    fn read_kmsg(&mut self) {
        let Some(kmsg) = &mut self.kmsg else { return };
        let is_open = kmsg.read(&mut self.out);
        self.status.kmsg_lines_refused = kmsg.refused;
        if !is_open {
            let _ = epoll::delete(&self.epoll, kmsg.fd());
            self.kmsg = None;
            self.status.kmsg_refused = Some("the kernel log ended".to_owned());
        }
    }

    fn publish(&mut self) {
        self.status.cgroups = self.registry.len();
        self.status.evicted = self.registry.evicted;
        self.status.pid_watches = self.pids.len();
        if let Some(inotify) = &self.inotify {
            self.status.inotify_watches = inotify.len();
            self.status.inotify_refused.clone_from(&inotify.refused);
        }
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&self.status);
    }
}

enum Wake {
    Stop,
    Ready { inotify: bool, kmsg: bool, pids: Vec<u64> },
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn clock(id: ClockId) -> u64 {
    let time = clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

fn now() -> MonotonicNanos {
    MonotonicNanos(clock(ClockId::Monotonic))
}

fn wall_clock() -> UnixNanos {
    UnixNanos(clock(ClockId::Realtime))
}

#[cfg(test)]
mod tests;
