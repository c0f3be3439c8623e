//! Starts discovery, says how it is doing, stops it.
//!
//! In: [`DiscoverOptions`], a [`CgroupLayout`], the sampler's channel, a tokio runtime. Out: a [`Discoverer`]: one thread
//! for cgroups and the kernel log, one task per runtime socket. Dropping it ends them all. Next: `main` owns it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::runtimes::{Book, PodNames, PodSource, RuntimeSocket, RuntimeStatus, SocketKind, Source, StatsSource};
use super::sink::EventSink;
use super::watch::{self, WatchHandle, WatchOptions, WatchStatus};
use super::{CgroupLayout, DiscoverError, Discovery, KnownFiles};
use crate::units::UnixNanos;

/// What discovery may do, and how much of it.
#[derive(Debug, Clone)]
pub struct DiscoverOptions {
    /// Pause between full scans of the cgroup tree; while inotify is refused it is at most a second.
    pub rescan: Duration,
    /// Most cgroups; beyond, systemd units go before containers and pods.
    pub max_cgroups: usize,
    /// Most inotify watches: two for a version 2 cgroup, one per version 1 hierarchy. Each costs about a kilobyte of
    /// kernel memory.
    pub max_watches: usize,
    /// Most pidfds (version 1 hierarchies only: one per container).
    pub max_pid_watches: usize,
    /// Most containers and sandboxes whose descriptions are kept.
    pub max_described: usize,
    /// The kernel log, for OOM kills; `None` to leave it alone.
    pub kmsg: Option<PathBuf>,
    /// Sockets to ask; empty for none.
    pub sockets: Vec<RuntimeSocket>,
    /// The API server to ask for names; `None` to ask none.
    pub pods: Option<PodNames>,
    /// How the names of environment variables begin that are kept of each container; empty to keep none.
    pub environment: Vec<String>,
    /// Pause between two counts of a container's writable layer by its CRI runtime; `None` to ask for none.
    pub layer_stats: Option<Duration>,
    /// Pause between comparisons with a runtime's own list, where it also streams events.
    pub reconcile: Duration,
}

impl Default for DiscoverOptions {
    fn default() -> Self {
        Self {
            rescan: Duration::from_secs(10),
            max_cgroups: 20_000,
            max_watches: 60_000,
            max_pid_watches: 512,
            max_described: 10_000,
            kmsg: Some(PathBuf::from("/dev/kmsg")),
            sockets: Self::default_sockets(Path::new("/")),
            pods: None,
            environment: Vec::new(),
            layer_stats: None,
            reconcile: Duration::from_secs(30),
        }
    }
}

impl DiscoverOptions {
    /// Where runtimes keep their sockets by default, below a root such as `/` or `/host`: those of the system, and the
    /// rootless ones of users that have one now.
    #[must_use]
    pub fn default_sockets(root: &Path) -> Vec<RuntimeSocket> {
        let cri = [
            "run/containerd/containerd.sock",
            "run/crio/crio.sock",
            "run/k3s/containerd/containerd.sock",
            "run/cri-dockerd.sock",
        ];
        let docker = ["var/run/docker.sock", "run/podman/podman.sock"];
        let socket = |kind| move |path: &str| RuntimeSocket { path: root.join(path), kind };
        let mut sockets: Vec<RuntimeSocket> = cri.into_iter().map(socket(SocketKind::Cri)).collect();
        sockets.extend(docker.into_iter().map(socket(SocketKind::Docker)));
        let users = std::fs::read_dir(root.join("run/user")).into_iter().flatten().flatten();
        for user in users.take(16) {
            for name in ["docker.sock", "podman/podman.sock"] {
                let path = user.path().join(name);
                if path.exists() {
                    sockets.push(RuntimeSocket { path, kind: SocketKind::Docker });
                }
            }
        }
        sockets
    }
}

/// How discovery is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoverStatus {
    /// The cgroup tree.
    pub watch: WatchStatus,
    /// One entry per socket, in the order of the options.
    pub runtimes: Vec<RuntimeStatus>,
    /// Containers whose description was refused because there are too many (counter).
    pub descriptions_refused: u64,
    /// Descriptions that lost their labels because there is too much text (counter).
    pub labels_dropped: u64,
}

/// Running discovery. Dropping it stops everything and waits for the watcher's thread.
pub struct Discoverer {
    sink: EventSink,
    watch: WatchHandle,
    book: Arc<Mutex<Book>>,
    statuses: Vec<Arc<Mutex<RuntimeStatus>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Starts discovery. Every cgroup that exists is reported first, root first.
///
/// `events` must be read: when it is full, discovery waits (it loses nothing), and while it waits it sees nothing new.
///
/// # Errors
/// When a hierarchy's root cannot be opened or the watcher cannot be made. Runtimes that fail are no error.
pub fn start(
    options: DiscoverOptions,
    layout: &CgroupLayout,
    events: SyncSender<Discovery>,
    runtime: &tokio::runtime::Handle,
) -> Result<Discoverer, DiscoverError> {
    let sink = EventSink::new(events);
    let book = Arc::new(Mutex::new(Book::new(options.max_described)));
    let (nudge, nudged) = tokio::sync::watch::channel(0_u64);
    let watch = watch::start(
        layout,
        WatchOptions {
            rescan: options.rescan,
            max_cgroups: options.max_cgroups,
            max_watches: options.max_watches,
            max_pid_watches: options.max_pid_watches,
            kmsg: options.kmsg,
        },
        sink.clone(),
        move || nudge.send_modify(|births| *births = births.wrapping_add(1)),
    )?;
    let started_at = UnixNanos::now();
    let environment: Arc<[String]> = options.environment.into();
    let mut statuses = Vec::new();
    let mut tasks = Vec::new();
    if let Some(names) = options.pods {
        let index = options.sockets.len();
        let source = PodSource { names, index, sink: sink.clone(), book: Arc::clone(&book), started_at };
        tasks.push(runtime.spawn(source.run()));
    }
    for (index, socket) in options.sockets.into_iter().enumerate() {
        if let Some(every) = options.layer_stats.filter(|_| socket.kind == SocketKind::Cri) {
            let (path, sink, book) = (socket.path.clone(), sink.clone(), Arc::clone(&book));
            tasks.push(runtime.spawn(StatsSource { index, path, sink, book, every }.run()));
        }
        let status = Arc::new(Mutex::new(Source::first_status(&socket)));
        statuses.push(Arc::clone(&status));
        let source = Source {
            index,
            socket,
            sink: sink.clone(),
            book: Arc::clone(&book),
            status,
            nudge: nudged.clone(),
            reconcile: options.reconcile,
            started_at,
            environment: Arc::clone(&environment),
        };
        tasks.push(runtime.spawn(source.run()));
    }
    Ok(Discoverer { sink, watch, book, statuses, tasks })
}

impl Discoverer {
    /// What the runtimes say about containers' files.
    #[must_use]
    pub fn files(&self) -> KnownFiles {
        KnownFiles(Arc::clone(&self.book))
    }

    /// How discovery is doing now. Takes short locks only; never waits for a runtime.
    #[must_use]
    pub fn status(&self) -> DiscoverStatus {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (descriptions_refused, labels_dropped) = (book.refused, book.labels_dropped);
        drop(book);
        let status = |status: &Arc<Mutex<RuntimeStatus>>| status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        DiscoverStatus {
            watch: self.watch.status(),
            runtimes: self.statuses.iter().map(status).collect(),
            descriptions_refused,
            labels_dropped,
        }
    }
}

impl Drop for Discoverer {
    fn drop(&mut self) {
        self.sink.stop();
        for task in &self.tasks {
            task.abort();
        }
        self.watch.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_on_this_machine_and_ends_when_dropped() {
        let layout = CgroupLayout::detect(Path::new("/sys/fs/cgroup"), Path::new("/proc")).unwrap();
        let (sender, events) = std::sync::mpsc::sync_channel(100_000);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sockets = vec![RuntimeSocket { path: PathBuf::from("/nonexistent/docker.sock"), kind: SocketKind::Docker }];
        let options = DiscoverOptions { sockets, ..DiscoverOptions::default() };
        let discoverer = start(options, &layout, sender, runtime.handle()).unwrap();
        let first = events.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(matches!(first, Discovery::Born { path, .. } if path.is_empty()), "the root comes first");
        let status = discoverer.status();
        assert_eq!(status.runtimes.len(), 1);
        assert_eq!(status.runtimes[0].state, super::super::RuntimeState::Absent);
        drop(discoverer);
        // The senders are gone: the channel ends.
        while events.recv_timeout(Duration::from_secs(20)).is_ok() {}
        assert_eq!(events.try_recv().unwrap_err(), std::sync::mpsc::TryRecvError::Disconnected);
    }

    #[test]
    fn default_sockets_lie_below_the_root_that_is_given() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("run/user/1000/podman")).unwrap();
        std::fs::write(directory.path().join("run/user/1000/podman/podman.sock"), "").unwrap();
        let sockets = DiscoverOptions::default_sockets(directory.path());
        assert_eq!(sockets.len(), 7);
        assert!(sockets.iter().all(|socket| socket.path.starts_with(directory.path())));
    }
}
