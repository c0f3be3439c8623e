//! The watcher: one thread that knows every cgroup, told by inotify and made sure by scans.
//!
//! In: the hierarchies of [`CgroupLayout`], inotify, pidfds, `/dev/kmsg`. Out: [`Discovery`] events in order, root first;
//! a nudge to the runtimes' tasks when a container is born.
//! A new directory is watched *before* it is read, so that nothing made in it meanwhile is missed; a full scan every
//! `rescan` (every second while inotify is refused) finds what events did not tell. Only differences are sent.
//! Limits: depth 16, names of 512 bytes, a total of cgroups, four times that in directories per scan; what is left out
//! is counted in [`WatchStatus`]. It never reads a counter and never waits for the network. Next: `sample/`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::error::DiscoverError;
use super::identity::{Nesting, is_kubernetes_root};
use super::inotify::{Inotify, Kind, Seen};
use super::kmsg::Kmsg;
use super::layout::{CgroupLayout, V1Controller};
use super::pidwatch::{Look, PidWatch};
use super::registry::{Appeared, MAX_TREES, Registry, Sighting};
use super::sink::EventSink;
use super::tree::{Entry, MAX_DEPTH, MAX_NAME_BYTES, Tree, open_child, read_populated};
use super::{CgroupKind, Discovery};
use crate::units::{ErrorClass, MonotonicNanos, UnixNanos};

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

/// Starts the watcher's thread. `nudge` is called when a container was born.
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

/// What one scan left out.
#[derive(Default)]
struct Tally {
    too_deep: u64,
    name_too_long: u64,
    over_cap: u64,
    directories: usize,
    /// Something was not seen though it may be there: nothing may be taken for gone.
    is_incomplete: bool,
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

    /// Something happened to a directory: its present state counts, whatever the event said.
    fn look_again(&mut self, tree: usize, parent: &[u8], name: &[u8]) {
        let mut path = join(parent, name);
        let depth = path.iter().filter(|byte| **byte == b'/').count() + 1;
        if depth > MAX_DEPTH || name.len() > MAX_NAME_BYTES {
            return;
        }
        let Some(at) = self.trees.get(tree) else { return };
        match at.open_directory(&path).and_then(|directory| Ok((at.entry(directory.as_fd())?, directory))) {
            Ok((entry, directory)) => {
                self.tally.directories = 0;
                self.explore(tree, &mut path, depth, &directory, entry);
            }
            Err(errno) if ErrorClass::of(errno) == ErrorClass::Gone => {
                self.registry.vanish(tree, &path, &mut self.out);
                self.take_back_watches();
            }
            Err(_) => {}
        }
    }

    fn full_scan(&mut self) {
        let started = now();
        self.renew_inotify();
        self.scan += 1;
        self.tally = Tally::default();
        let is_node = self.trees.iter().any(has_kubernetes_root);
        self.registry.nesting = if is_node { Nesting::Refused } else { Nesting::Believed };
        for tree in 0..self.trees.len() {
            let Some(at) = self.trees.get(tree) else { continue };
            match at.open_directory(b"").and_then(|root| Ok((at.entry(root.as_fd())?, root))) {
                Ok((entry, root)) => self.explore(tree, &mut Vec::new(), 0, &root, entry),
                Err(errno) => self.tally.is_incomplete |= ErrorClass::of(errno) != ErrorClass::Gone,
            }
        }
        if !self.tally.is_incomplete {
            for tree in 0..self.trees.len() {
                self.registry.sweep(tree, self.scan, &mut self.out);
            }
        }
        self.take_back_watches();
        self.look_at_unwatched();
        self.status.scans += 1;
        self.status.scans_truncated += u64::from(self.tally.directories > self.max_directories());
        self.status.shed_too_deep = self.tally.too_deep;
        self.status.shed_name_too_long = self.tally.name_too_long;
        self.status.shed_over_cap = self.tally.over_cap;
        self.status.last_scan_usec = now().since(started) / 1000;
        self.status.longest_scan_usec = self.status.longest_scan_usec.max(self.status.last_scan_usec);
    }

    fn max_directories(&self) -> usize {
        self.options.max_cgroups.saturating_mul(4).saturating_mul(MAX_TREES)
    }

    /// Reports a directory and everything below it. It is watched before its children are read.
    fn explore(&mut self, tree: usize, path: &mut Vec<u8>, depth: usize, directory: &OwnedFd, entry: Entry) {
        if !self.appear(tree, path, entry, Some(directory.as_fd())) {
            self.tally.over_cap += 1;
        }
        let mut children: Vec<(Vec<u8>, Entry)> = Vec::new();
        let room = self.max_directories().saturating_sub(self.tally.directories);
        let mut is_cut = false;
        let mut too_long = 0;
        let Some(at) = self.trees.get(tree) else { return };
        let listed = at.children(directory.as_fd(), |name, entry| {
            if name.len() > MAX_NAME_BYTES {
                too_long += 1;
            } else if children.len() >= room {
                is_cut = true;
            } else {
                children.push((name.to_vec(), entry));
            }
        });
        self.tally.name_too_long += too_long;
        self.tally.is_incomplete |= is_cut || listed.is_err_and(|errno| ErrorClass::of(errno) != ErrorClass::Gone);
        self.tally.directories = self.tally.directories.saturating_add(children.len() + usize::from(is_cut));
        if depth >= MAX_DEPTH {
            self.tally.too_deep += u64::try_from(children.len()).unwrap_or(u64::MAX);
            return;
        }
        let length = path.len();
        for (name, entry) in children {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.explore_child(tree, path, depth + 1, directory.as_fd(), &name, entry);
            path.truncate(length);
        }
    }

    fn explore_child(
        &mut self,
        tree: usize,
        path: &mut Vec<u8>,
        depth: usize,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: Entry,
    ) {
        // The common case of a scan: known, without children, watched. Nothing needs to be opened.
        if entry.is_leaf && self.is_settled(tree, path, entry.inode) {
            self.appear(tree, path, entry, None);
            return;
        }
        match open_child(parent, name) {
            Ok(directory) => {
                let entry = self.trees.get(tree).and_then(|at| at.entry(directory.as_fd()).ok()).unwrap_or(entry);
                self.explore(tree, path, depth, &directory, entry);
            }
            Err(errno) => match ErrorClass::of(errno) {
                ErrorClass::Gone => {}
                // Seen but closed to us: it is shown, what lies below it is not.
                ErrorClass::Denied => {
                    self.appear(tree, path, entry, None);
                }
                _ => {
                    self.appear(tree, path, entry, None);
                    self.tally.is_incomplete = true;
                }
            },
        }
    }

    /// True when a cgroup is known with this inode and needs no further watch.
    fn is_settled(&self, tree: usize, path: &[u8], inode: u64) -> bool {
        let is_known = self.registry.get(path).is_some_and(|known| known.inodes.get(tree) == Some(&Some(inode)));
        is_known
            && self
                .inotify
                .as_ref()
                .is_none_or(|inotify| inotify.refused.is_some() || inotify.has(tree, Kind::Directory, &Arc::from(path)))
    }

    /// Tells the registry, and sets the watches of what is new. False when it was left out.
    fn appear(&mut self, tree: usize, path: &[u8], entry: Entry, directory: Option<BorrowedFd<'_>>) -> bool {
        let created_at = UnixNanos(entry.modified_at.0.min(wall_clock().0));
        let sighting = Sighting { tree, inode: entry.inode, created_at, scan: self.scan, now: now() };
        let appeared = self.registry.appear(path, sighting, &mut self.out);
        self.take_back_watches();
        if appeared == Appeared::Shed {
            return false;
        }
        let Some(directory) = directory else { return true };
        let has_events = !path.is_empty() && self.trees.get(tree).is_some_and(|at| at.has_events);
        let key: Arc<[u8]> = Arc::from(path);
        if let Some(inotify) = &mut self.inotify {
            inotify.add(tree, Kind::Directory, &key, directory);
            if has_events {
                inotify.add(tree, Kind::Events, &key, directory);
            }
        }
        if has_events && let Ok(Some(populated)) = read_populated(directory) {
            self.registry.set_populated(path, populated, &mut self.out);
        }
        true
    }

    fn take_back_watches(&mut self) {
        for (tree, path) in self.registry.take_gone() {
            if let Some(inotify) = &mut self.inotify {
                inotify.remove(tree, &path);
            }
            if self.registry.get(&path).is_none() {
                self.pids.remove(&self.epoll, &path);
            }
        }
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
            self.sink.send(event)?;
        }
        if has_container {
            (self.nudge)();
        }
        Ok(())
    }

    /// Makes inotify, if it is not there; lets it try again, if it was refused.
    fn renew_inotify(&mut self) {
        match &mut self.inotify {
            Some(inotify) => inotify.try_again(),
            None => match Inotify::new(self.options.max_watches) {
                Ok(inotify) => {
                    match epoll::add(&self.epoll, inotify.fd(), EventData::new_u64(INOTIFY), EventFlags::IN) {
                        Ok(()) => self.inotify = Some(inotify),
                        Err(errno) => self.status.inotify_refused = Some(errno.to_string()),
                    }
                }
                Err(errno) => self.status.inotify_refused = Some(format!("no inotify instance: {errno}")),
            },
        }
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

/// True when a kubelet runs on this machine itself: a Kubernetes root right below the hierarchy's root.
fn has_kubernetes_root(tree: &Tree) -> bool {
    let mut found = false;
    let root = tree.open_directory(b"");
    let _ = root.and_then(|root| tree.children(root.as_fd(), |name, _| found |= is_kubernetes_root(name)));
    found
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + name.len() + 1);
    path.extend_from_slice(parent);
    if !parent.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
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
#[path = "watch_tests.rs"]
mod tests;
