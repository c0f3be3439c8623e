//! The agent's wiring: configuration → discovery, sampler, ring, server, in the order in which data flows.
//!
//! In: an [`AgentConfig`]. Out: an agent that runs until it is told to stop. Nothing is decided here but who is
//! connected to whom; each part's own module says what it does.

mod cluster;
mod details;
mod secure;
mod storage;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::auth::api_server::{self, ApiServerError};
use crate::config::{AgentConfig, Compat, KeptFiles, LabelNames, LabelSet, StorageChoice};
use crate::discover::{self, CgroupLayout, DiscoverError, DiscoverOptions, RuntimeSocket, SocketKind, V1Controller};
use crate::sample::details::DetailsCell;
use crate::sample::details::node::{NodeDetails, NodeRoots};
use crate::sample::push_stats::PushStats;
use crate::sample::{Hierarchies, MachineFacts, SampleError, Sampler, SamplerOptions};
use crate::store::{self, BootId, DataDir, Ring, RingOptions, StoreError};
use crate::uplink::push::PushError;
use crate::view::api;
use crate::view::http::{Context, HttpError, HttpServer};
use crate::view::prometheus::{Exposition, Labels, Shape};
use crate::view::remote::Remote;

/// Discovery events that may wait for the sampler; beyond it discovery waits.
const EVENTS_CAP: usize = 16_384;

/// Threads for answers that take their time: four for the API and expositions, and those that remote reads may hold.
const BLOCKING_THREADS: usize = 6;

/// Descriptors that are not for kept kernel files: connections, sockets of runtimes, the agent's own.
const RESERVED_FILES: u64 = 512;

/// Processes that may be watched by a descriptor each, and the share of all descriptors that they may take.
const PID_WATCHES: u64 = 512;
const PID_WATCHES_SHARE: u64 = 4;

/// Kept kernel files without a word from the user: 5.4 KB of kernel memory each, 22 MB in all.
const KEPT_FILES_AUTO: u64 = 4_096;

/// How long after a failure of the disk the ring file is tried again.
const DISK_RETRY: Duration = Duration::from_secs(10);

/// Why the agent could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No cgroups, or they cannot be read; the text says what to do.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// A kernel root could not be opened.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The ring's budget is unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address could not be listened on.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The API server that was named cannot be used.
    #[error(transparent)]
    ApiServer(#[from] ApiServerError),
    /// The secure port would let nobody in, or its files are not usable.
    #[error("{0}")]
    Secure(String),
    /// The runtime or a thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on processes (ulimit -u, pids.max)")]
    Thread(#[from] std::io::Error),
    /// The API server is needed and not known, or there is nowhere to push to; the text says what to do.
    #[error("{0}")]
    Cluster(String),
    /// The push cannot start.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The sampling thread ended by a panic; its message stands on standard error. The agent stops rather than serve
    /// numbers that stand still.
    #[error("the sampling thread has failed; please report the message above")]
    Sampler,
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// [`AgentError`] when a part cannot start, or the sampling thread fails.
pub fn run(config: &AgentConfig) -> Result<(), AgentError> {
    let layout = CgroupLayout::detect(&config.cgroupfs, &config.procfs)?;
    for note in &layout.notes {
        tracing::warn!(cgroupfs = %config.cgroupfs.display(), "{note}");
    }
    let node_name = config.node_name.as_deref();
    let machine = Arc::new(MachineFacts::read(&config.procfs, &config.sysfs, node_name, layout.as_str()));
    let ring = store::open(&RingOptions {
        budget_bytes: config.ring_bytes,
        boot: BootId::parse(&machine.boot_id),
        data_dir: config.data_dir.clone().map(|path| DataDir { path, retry: DISK_RETRY }),
    })?;
    for note in &ring.notes {
        tracing::info!("{note}");
    }
    let Ring { mut writer, store, ids, background, .. } = ring;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let pushed = store.clone();
    let shape = shape(config);
    let exposition = Exposition::with_sets(store.clone(), shape.clone(), config.metrics);
    if config.label_names == LabelNames::Utf8 {
        exposition.use_utf8_names();
    }
    let server = {
        let _entered = runtime.enter();
        let remote = Remote::new(store.clone(), shape);
        let context = Context { store: store.clone(), exposition: exposition.clone(), api: api::answer, remote };
        HttpServer::bind(config.listen, context)?
    };
    let api_server = runtime.block_on(api_server::client(config.kubeconfig.as_deref()))?;
    let secure = {
        let _entered = runtime.enter();
        secure::open(config, api_server.as_ref(), &machine.node_name, &server)?
    };

    let files = FileShares::new(config.kept_files);
    let cell = Arc::new(DetailsCell::default());
    let roots = NodeRoots { procfs: config.procfs.clone(), sysfs: config.sysfs.clone() };
    let node_details = NodeDetails::start(&roots, &cell)?;
    let (found, events) = mpsc::sync_channel(EVENTS_CAP);
    let sampler = Sampler::new(SamplerOptions {
        interval: config.interval,
        procfs: config.procfs.clone(),
        sysfs: config.sysfs.clone(),
        hierarchies: hierarchies(&layout),
        kept_files: files.kept,
        skip_idle: true,
        machine: Arc::clone(&machine),
        ids,
        details: Arc::clone(&cell),
    })?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let (ended, sampler_ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::Builder::new().name("ringside-tick".into()).spawn(move || {
        // Dropped when the thread ends, however it ends.
        let _ended = ended;
        sampler.run(&events, &stopping, |sample| writer.append(sample));
    })?;
    let (read, told_of) = (details::options(config, |set| config.metrics.has(set)), store.clone());
    let reading = details::start(config, &layout, read, move || told_of.latest(), Arc::clone(&cell))?;
    let mut options = discover_options(config, &files);
    options.layer_stats = (config.storage != StorageChoice::Off).then_some(config.storage_interval);
    options.pods = cluster::pod_names(config, api_server.as_ref(), &machine.node_name)?;
    let discoverer = discover::start(options, &layout, found, runtime.handle())?;
    let storage = storage::start(config, &layout, &store, &discoverer, &cell)?;
    tracing::info!(
        address = %config.listen, layout = layout.as_str(), node = %machine.node_name,
        interval_ms = config.interval.as_millis(), ring_bytes = config.ring_bytes,
        "ringside agent is up: metrics at http://{}/metrics, live view with `ringside top`", config.listen,
    );

    let push_stats = Arc::new(PushStats::default());
    let node = &machine.node_name;
    let told = Arc::clone(&push_stats);
    let pushing = cluster::start_push(config, api_server.as_ref(), node, pushed, push_stats, runtime.handle())?;
    if pushing.is_some() {
        exposition.tell_of_push(told);
    }

    let failed = AtomicBool::new(false);
    let served = runtime.block_on(async {
        let (stop_following, follow_until) = tokio::sync::oneshot::channel::<()>();
        let follower = tokio::spawn(exposition.follow(async {
            let _ = follow_until.await;
        }));
        let (stop_secure, secure_until) = tokio::sync::oneshot::channel::<()>();
        let secure = secure.map(|secure| {
            tokio::spawn(secure.serve(async {
                let _ = secure_until.await;
            }))
        });
        let served = server.serve(shutdown(sampler_ended, &failed)).await;
        drop((stop_following, stop_secure));
        let _ = follower.await;
        if let Some(secure) = secure {
            let _ = secure.await;
        }
        served
    });
    drop((pushing, storage, discoverer, node_details, reading));
    stop.store(true, Ordering::Relaxed);
    tracing::info!("ringside agent stops");
    // The last ticks are written before the process ends.
    drop(background);
    runtime.shutdown_background();
    served?;
    if failed.into_inner() { Err(AgentError::Sampler) } else { Ok(()) }
}

/// Ends on SIGTERM, on SIGINT, or when the sampling thread has ended before it was told to: then `failed` is set.
async fn shutdown(sampler_ended: tokio::sync::oneshot::Receiver<()>, failed: &AtomicBool) {
    let caught = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            // Without a handler the signal ends the process as it always did.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = caught(SignalKind::terminate()) => {}
        () = caught(SignalKind::interrupt()) => {}
        _ = sampler_ended => failed.store(true, Ordering::Relaxed),
    }
}

fn shape(config: &AgentConfig) -> Shape {
    let labels = match (config.compat, config.labels) {
        (Compat::Cadvisor, _) => Labels::Cadvisor,
        (Compat::Off, LabelSet::Full) => Labels::Full,
        (Compat::Off, LabelSet::Slim) => Labels::Slim,
    };
    Shape { labels, keys: Arc::new(config.container_labels.clone()), ..Shape::default() }
}

fn discover_options(config: &AgentConfig, files: &FileShares) -> DiscoverOptions {
    let socket = |kind| move |path: PathBuf| RuntimeSocket { path, kind };
    let cri = config.cri_paths().into_iter().map(socket(SocketKind::Cri));
    let docker = config.docker_paths().into_iter().chain(config.podman_paths()).map(socket(SocketKind::Docker));
    DiscoverOptions {
        max_cgroups: config.max_cgroups,
        max_pid_watches: files.pid_watches,
        sockets: cri.chain(docker).collect(),
        environment: config.container_env.clone(),
        ..DiscoverOptions::default()
    }
}

/// How many descriptors each part of the agent may hold, so that none starves another.
struct FileShares {
    kept: u64,
    pid_watches: usize,
}

impl FileShares {
    /// Raises the soft limit on open files to the hard one, and divides it.
    fn new(wanted: KeptFiles) -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
        Self::of(if raised { maximum } else { current }.unwrap_or(u64::MAX), wanted)
    }

    fn of(limit: u64, wanted: KeptFiles) -> Self {
        let pid_watches = PID_WATCHES.min(limit / PID_WATCHES_SHARE);
        let most = limit.saturating_sub(RESERVED_FILES).saturating_sub(pid_watches);
        let kept = match wanted {
            KeptFiles::Auto => KEPT_FILES_AUTO.min(most),
            KeptFiles::AtMost(files) => most.min(files as u64),
        };
        Self { kept, pid_watches: usize::try_from(pid_watches).unwrap_or(usize::MAX) }
    }
}

/// Where the sampler finds the hierarchies that discovery found.
#[must_use]
pub fn hierarchies(layout: &CgroupLayout) -> Hierarchies {
    let v1 = |controller| layout.v1(controller).map(PathBuf::from);
    Hierarchies {
        v2: layout.v2_root.clone(),
        unified_only: !layout.v1.is_empty(),
        cpu: v1(V1Controller::Cpu),
        cpuacct: v1(V1Controller::Cpuacct),
        memory: v1(V1Controller::Memory),
        blkio: v1(V1Controller::Blkio),
        pids: v1(V1Controller::Pids),
        hugetlb: v1(V1Controller::Hugetlb),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_on_descriptors_leaves_most_of_them_to_the_server() {
        let shares = |limit| {
            let FileShares { kept, pid_watches } = FileShares::of(limit, KeptFiles::Auto);
            (kept, pid_watches)
        };
        assert_eq!(shares(128), (0, 32));
        assert_eq!(shares(1024), (256, 256));
        assert_eq!(shares(20_000), (KEPT_FILES_AUTO, 512));
        assert_eq!(FileShares::of(20_000, KeptFiles::AtMost(7)).kept, 7);
    }
}
