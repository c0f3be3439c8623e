//! The aggregator's wiring: configuration → directory, store, receiver, replicas, APIs, server.
//!
//! In: an [`AggregatorConfig`]. Out: an aggregator that runs until it is told to stop. Nothing is decided here but who is
//! connected to whom; each part's own module says what it does, and `handler.rs` the way of one request.

mod handler;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use rustls::pki_types::ServerName;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::auth::api_server::{self, ApiServerError};
use crate::auth::certificates::{CertificateError, ClusterCa, ClusterCaOptions, ServingCert};
use crate::auth::listen::Bounds;
use crate::auth::requestheader::ApiServerTrust;
use crate::auth::{Authenticator, Authorizer, https};
use crate::config::AggregatorConfig;
use crate::store::cluster::{ClusterOptions, ClusterStore};
use crate::units::UnixNanos;
use crate::uplink::directory::{Directory, DirectoryState};
use crate::uplink::peers::link::Route;
use crate::uplink::peers::{Fill, Peers, PeersOptions};
use crate::uplink::receive::metrics::{Holdings, Metrics};
use crate::uplink::receive::ready::{Others, Readiness};
use crate::uplink::receive::{Intake, Receiver};
use crate::view::kube_api::backend::{Backend, BadBackend};
use crate::view::kube_api::source::StoreSource;
use crate::view::kube_api::{HistorySource, KubeApi, Options};
use handler::Answers;

/// Objects of the API that the aggregator keeps its certificate authority in.
const AUTHORITY: &str = "ringside-aggregator-ca";

/// What the API server reaches the aggregator by; each has the authority's certificate written into it.
const API_SERVICES: [&str; 4] = [
    "v1beta1.metrics.k8s.io",
    "v1beta2.custom.metrics.k8s.io",
    "v1alpha1.history.ringside.dev",
    "v1alpha1.ingest.ringside.dev",
];

/// Connections: one of each agent on the direct route, and those of the API servers.
const CONNECTIONS: usize = 16_384;

/// An API server sends the pushes of all its agents from one address.
const CONNECTIONS_PER_ADDRESS: usize = 2_048;

/// Lists are written, and histories walked, on threads that may take long.
const BLOCKING_THREADS: usize = 16;

/// Pushes that wait for a replica that does not answer: a minute of 5,000 nodes at 1.5 KB each 15 s.
const QUEUE_BYTES: usize = 32 << 20;

/// Bodies of pushes that are on their way: 24 of the largest, thousands of common ones.
const BODIES_BYTES: usize = 24 << 20;

/// After being told to stop it says that it is not ready, and goes on answering until everybody has seen that.
const DRAIN: Duration = Duration::from_secs(6);

/// How often what is gone is forgotten.
const TIDY: Duration = Duration::from_secs(60);

/// How long it waits before it asks the API server again for what it cannot start without.
const TRY_AGAIN: Duration = Duration::from_secs(3);

/// Why the aggregator could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AggregatorError {
    /// A thread or the runtime could not be started.
    #[error("cannot start a thread: {0}; raise the limit on processes (ulimit -u, pids.max)")]
    Thread(std::io::Error),
    /// How the API server is reached cannot be told.
    #[error(transparent)]
    ApiServer(#[from] ApiServerError),
    /// It runs in no cluster.
    #[error("there is no API server to stand behind: run in a pod with a service account, or give --kubeconfig")]
    NoApiServer,
    /// A given certificate is not usable.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The address could not be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --secure-listen")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The history backend's URL.
    #[error(transparent)]
    Backend(#[from] BadBackend),
    /// The server failed.
    #[error("the server failed: {0}")]
    Serve(std::io::Error),
}

/// Everything that answers. Clones share it.
#[derive(Clone)]
struct Parts {
    store: ClusterStore,
    metrics: Metrics,
    directory: DirectoryState,
    receiver: Arc<Receiver>,
    peers: Arc<Peers>,
    readiness: Arc<Readiness>,
    api: KubeApi,
}

impl Parts {
    fn holdings(&self) -> Holdings {
        let stats = self.store.stats();
        let (fresh_nodes, stale_nodes) = self.store.freshness(UnixNanos::now());
        Holdings {
            fresh_nodes,
            stale_nodes,
            pods: stats.known_pods as u64,
            nodes: stats.known_nodes as u64,
            history_bytes: stats.history_bytes as u64,
            history_budget_bytes: stats.history_budget_bytes as u64,
            directory_events: self.directory.events(),
            directory_failures: self.directory.failures(),
            peers: self.peers.count() as u64,
            synced: self.directory.listed().is_synced(),
            ready: ready(&self.readiness, &self.peers).is_ok(),
        }
    }
}

fn ready(readiness: &Readiness, peers: &Peers) -> Result<(), String> {
    let others = match peers.filled() {
        Fill::Pending => Others::Asked,
        Fill::Alone => Others::None,
        Fill::Filled => Others::Told,
        Fill::GaveUp => Others::Silent,
    };
    readiness.check(others, UnixNanos::now())
}

/// Runs the aggregator until SIGTERM or SIGINT.
///
/// # Errors
/// [`AggregatorError`] when a part cannot start.
pub fn run(config: &AggregatorConfig) -> Result<(), AggregatorError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(AggregatorError::Thread)?;
    let ran = runtime.block_on(async {
        tokio::select! {
            ran = start(config) => ran,
            // Before it serves, nothing has to be brought to an end.
            () = told_to_stop() => Ok(None),
        }
    });
    let served = match ran {
        Ok(Some(running)) => runtime.block_on(running.serve()),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    tracing::info!("ringside aggregator stops");
    runtime.shutdown_background();
    served
}

/// An aggregator that is about to serve.
struct Running {
    listener: std::net::TcpListener,
    serving: ServingCert,
    answers: Arc<Answers>,
}

async fn start(config: &AggregatorConfig) -> Result<Option<Running>, AggregatorError> {
    let address = config.secure_listen;
    let listener = https::bind(address).map_err(|source| AggregatorError::Listen { address, source })?;
    let client = api_server::client(config.kubeconfig.as_deref()).await?.ok_or(AggregatorError::NoApiServer)?;
    let store = ClusterStore::new(ClusterOptions {
        history: config.history,
        budget_bytes: config.history_bytes,
        stale_after: config.stale_after,
    });
    let history: Arc<dyn HistorySource> = match &config.history_backend {
        Some(url) => Arc::new(Backend::new(url, store.clone(), UnixNanos::now)?),
        None => Arc::new(StoreSource::new(store.clone(), UnixNanos::now)),
    };
    let (metrics, directory, readiness) =
        (Metrics::default(), DirectoryState::default(), Arc::new(Readiness::default()));
    tokio::spawn(Directory::new(store.clone(), directory.clone()).follow(client.clone()));
    let (synced, seen) = (directory.clone(), Arc::clone(&readiness));
    tokio::spawn(async move {
        synced.synced().await;
        seen.synced(UnixNanos::now());
        tracing::info!("nodes and pods are listed: pushes are judged from now on");
    });

    let (serving, authority) = certificates(config, &client).await?;
    let intake = Intake::new(store.clone(), metrics.clone());
    let peers = Peers::new(
        store.clone(),
        intake.clone(),
        metrics.clone(),
        directory.clone(),
        PeersOptions {
            host_port: config.peers.as_ref().map(|peers| format!("{}:{}", bracketed(&peers.host), peers.port)),
            own: config.pod_ip.into_iter().collect(),
            route: authority.as_ref().and_then(|authority| route(config, authority)),
            queue_bytes: QUEUE_BYTES,
        },
    );
    let (forwarding, pushed) = (Arc::clone(&peers), Arc::clone(&readiness));
    let accepted = Box::new(move |node: &Arc<str>, body: &bytes::Bytes, now| {
        pushed.pushed(now);
        forwarding.forward(node, body, now);
    });
    let receiver = Arc::new(Receiver::new(intake, directory.clone(), config.agent_accounts.clone(), accepted));
    let (checked, others, listed) = (Arc::clone(&readiness), Arc::clone(&peers), directory.clone());
    let api = KubeApi::new(Options {
        store: store.clone(),
        extra_resources: config.extra_resources,
        history,
        readiness: Arc::new(move || {
            let is_listed = listed.listed().is_synced();
            let listed = if is_listed { Ok(()) } else { Err("nodes and pods have not been listed yet".to_owned()) };
            vec![("directory", listed), ("data", ready(&checked, &others))]
        }),
        now: UnixNanos::now,
    });
    let trust = ApiServerTrust::follow(client.clone()).await;
    let authenticator = Authenticator::new()
        .with_front_proxy(trust)
        .with_token_reviews(client.clone(), std::slice::from_ref(&config.audience));
    let authorizer = Authorizer::by_api_server(client);
    let parts = Parts { store, metrics, directory, receiver, peers, readiness, api };
    tokio::spawn(look_after(parts.clone(), authority.clone()));
    let bodies = https::BodyBudget::new(BODIES_BYTES);
    let answers = Arc::new(Answers { parts, authenticator, authorizer, authority, bodies });
    tracing::info!(%address, namespace = config.namespace, service = config.service, "ringside aggregator is up");
    Ok(Some(Running { listener, serving, answers }))
}

impl Running {
    async fn serve(self) -> Result<(), AggregatorError> {
        let bounds = Bounds { connections: CONNECTIONS, per_address: CONNECTIONS_PER_ADDRESS, ..Bounds::default() };
        let (readiness, peers) = (Arc::clone(&self.answers.parts.readiness), Arc::clone(&self.answers.parts.peers));
        let running = Arc::clone(&peers);
        let replicas = tokio::spawn(async move { running.run().await });
        let shutdown = async move {
            told_to_stop().await;
            readiness.stop();
            tracing::info!("told to stop: not ready any more, and still answering for {} s", DRAIN.as_secs());
            tokio::select! {
                () = sleep(DRAIN) => {}
                () = told_to_stop() => {}
            }
        };
        let served = https::serve(self.listener, self.serving, bounds, self.answers, shutdown).await;
        peers.stop();
        replicas.abort();
        served.map_err(AggregatorError::Serve)
    }
}

/// SIGTERM or SIGINT.
async fn told_to_stop() {
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
    }
}

/// What is served with, and the authority by which replicas know one another.
async fn certificates(
    config: &AggregatorConfig,
    client: &Client,
) -> Result<(ServingCert, Option<ClusterCa>), AggregatorError> {
    if let Some((chain, key)) = &config.tls_files {
        if config.peers.is_some() {
            tracing::warn!(
                "with --tls-cert-file replicas have no certificates of their own to know one another by: --peers has no \
                 effect, and each replica holds what is pushed to itself"
            );
        }
        return Ok((ServingCert::from_files(chain.clone(), key.clone())?, None));
    }
    let (service, namespace) = (&config.service, &config.namespace);
    // The API server reaches the Service of pushes by its own name.
    let mut names = vec![format!("{service}-ingest.{namespace}.svc"), "localhost".to_owned()];
    names.extend(config.peers.as_ref().map(|peers| peers.host.clone()));
    names.extend(config.pod_ip.map(|address| address.to_string()));
    let options = ClusterCaOptions {
        namespace: namespace.clone(),
        service: service.clone(),
        secret: AUTHORITY.to_owned(),
        config_map: AUTHORITY.to_owned(),
        api_services: API_SERVICES.map(str::to_owned).to_vec(),
        names,
    };
    loop {
        match ClusterCa::open(client.clone(), options.clone()).await {
            Ok(authority) => return Ok((authority.serving(), Some(authority))),
            // In a cluster that starts, the API server may come later than its pods.
            Err(error @ CertificateError::Api { .. }) => tracing::warn!("{error}; it is tried again soon"),
            Err(error) => return Err(error.into()),
        }
        sleep(TRY_AGAIN).await;
    }
}

/// How this replica reaches the others; renewed with the certificates.
fn route(config: &AggregatorConfig, authority: &ClusterCa) -> Option<Route> {
    let name = ServerName::try_from(config.peers.as_ref()?.host.clone()).ok()?;
    let current = authority.peer_client_config().inspect_err(cannot_connect).ok()?;
    let (renewed, tls) = watch::channel(Arc::new(current));
    let (authority, mut changed) = (authority.clone(), authority.changed());
    tokio::spawn(async move {
        while changed.changed().await.is_ok() {
            if let Ok(current) = authority.peer_client_config().inspect_err(cannot_connect) {
                renewed.send_replace(Arc::new(current));
            }
        }
    });
    Some(Route { name, tls })
}

fn cannot_connect(error: &rustls::Error) {
    tracing::warn!(%error, "cannot set up TLS to other replicas");
}

fn bracketed(host: &str) -> String {
    if host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) { format!("[{host}]") } else { host.to_owned() }
}

/// Renews certificates and forgets what is gone, for as long as it is polled.
async fn look_after(parts: Parts, authority: Option<ClusterCa>) {
    let tidy = async {
        loop {
            sleep(TIDY).await;
            parts.receiver.forget_gone_nodes();
        }
    };
    let renew = async {
        match &authority {
            Some(authority) => authority.keep().await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(tidy, renew);
}
