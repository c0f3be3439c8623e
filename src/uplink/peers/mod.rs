//! Two or more replicas behind one Service: each push that one of them accepts is told to all others.
//!
//! In: accepted pushes; the addresses of a headless Service. Out: the same pushes at every other replica, and at start all
//! that another replica holds. A replica that does not answer costs a bounded queue, of which the oldest goes first. It
//! judges no agent: that was done by who accepted the push. Next: [`super::receive`] of the other replicas.
//!
//! | step | file |
//! |---|---|
//! | what waits for one replica | [`queue`] |
//! | how pushes travel | [`frame`] |
//! | the end that sends and fetches | [`link`] |
//! | the end that takes | [`serve`] |

pub mod frame;
pub mod link;
pub mod queue;
pub mod serve;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::body::Body;
use hyper::{Request, Response};
use rand::Rng;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::directory::DirectoryState;
use super::receive::Intake;
use super::receive::metrics::Metrics;
use crate::auth::https;
use crate::store::cluster::ClusterStore;
use crate::units::UnixNanos;
use link::{Link, LinkState, Route};
use queue::Waiting;
use serve::Taken;

/// The header by which a replica finds that it talks to itself.
const INSTANCE: &str = "ringside-instance";

/// How often the addresses are looked up.
const LOOK_UP: Duration = Duration::from_secs(5);

/// So many times in a row an address must be missing before its link is given up: a replica that restarts keeps its queue.
const MISSING: u8 = 3;

/// So many rounds a new replica tries to fill itself; then agents fill it.
const FILL_ROUNDS: u8 = 3;

/// How the replicas find and believe one another.
pub struct PeersOptions {
    /// `HOST:PORT` of the headless Service; `None`: this is the only replica.
    pub host_port: Option<String>,
    /// Addresses of this replica, as far as they are known; it finds the others by itself.
    pub own: Vec<IpAddr>,
    /// TLS between replicas; `None`: this is the only replica.
    pub route: Option<Route>,
    /// Memory of the queue of each peer.
    pub queue_bytes: usize,
}

/// What links and the serving end share.
pub(crate) struct Shared {
    store: ClusterStore,
    intake: Intake,
    metrics: Metrics,
    directory: DirectoryState,
    /// Random: no two replicas, and no two runs of one, have the same.
    instance: String,
}

impl Shared {
    fn takes_pushes(&self) -> bool {
        self.directory.listed().is_synced()
    }
}

/// How far this replica has filled itself from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Other replicas have not been looked for yet, or one of them is being asked.
    Pending,
    /// There was none to ask, or none that holds anything.
    Alone,
    /// Everything that another replica holds is held here.
    Filled,
    /// There are others, and none of them could tell.
    GaveUp,
}

/// The other replicas.
pub struct Peers {
    shared: Arc<Shared>,
    options: PeersOptions,
    links: ArcSwap<Vec<Arc<Link>>>,
    fill: ArcSwap<Fill>,
    stopping: AtomicBool,
}

struct Known {
    link: Arc<Link>,
    task: AbortHandle,
    missing: u8,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peers {
    /// Knows nobody yet.
    #[must_use]
    pub fn new(
        store: ClusterStore,
        intake: Intake,
        metrics: Metrics,
        directory: DirectoryState,
        options: PeersOptions,
    ) -> Arc<Self> {
        let instance = format!("{:032x}", rand::rng().random::<u128>());
        Arc::new(Self {
            shared: Arc::new(Shared { store, intake, metrics, directory, instance }),
            options,
            links: ArcSwap::from_pointee(Vec::new()),
            fill: ArcSwap::from_pointee(Fill::Pending),
            stopping: AtomicBool::new(false),
        })
    }

    /// Tells all others of a push that was accepted here. It waits for nobody.
    pub fn forward(&self, node: &Arc<str>, body: &Bytes, received: UnixNanos) {
        for link in self.links.load().iter().filter(|link| link.state() != LinkState::Itself) {
            let dropped = link.queue.put(Waiting { node: Arc::clone(node), received, body: body.clone() });
            self.shared.metrics.peer_pushes("dropped", dropped);
        }
    }

    /// How many other replicas there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.links.load().iter().filter(|link| link.state() != LinkState::Itself).count()
    }

    /// How far this replica has filled itself.
    #[must_use]
    pub fn filled(&self) -> Fill {
        **self.fill.load()
    }

    /// Answers a request below `/internal/v1/`; `is_peer` says that its client certificate is a replica's.
    pub async fn answer<B>(&self, request: Request<B>, is_peer: bool) -> Response<https::Body>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        serve::answer(&self.shared, request, is_peer).await
    }

    /// Looks for replicas and keeps links to them, for as long as it is polled; fills this replica first.
    pub async fn run(&self) {
        let (Some(host_port), Some(route)) = (&self.options.host_port, &self.options.route) else {
            self.fill.store(Arc::new(Fill::Alone));
            return;
        };
        let mut known: HashMap<SocketAddr, Known> = HashMap::new();
        let mut round = 0;
        while !self.stopping.load(Ordering::Relaxed) {
            match tokio::net::lookup_host(host_port.as_str()).await {
                Ok(found) => self.meet(&mut known, found.collect(), route),
                // A headless Service without any address is not in the DNS at all.
                Err(error) => tracing::debug!(%error, "cannot look up {host_port}"),
            }
            if self.filled() == Fill::Pending {
                round += 1;
                self.try_to_fill(round).await;
            }
            sleep(LOOK_UP).await;
        }
    }

    fn meet(&self, known: &mut HashMap<SocketAddr, Known>, found: Vec<SocketAddr>, route: &Route) {
        for address in &found {
            if self.options.own.contains(&address.ip()) || known.contains_key(address) {
                continue;
            }
            let link = Arc::new(Link::new(*address, route.clone(), self.options.queue_bytes));
            let (shared, running) = (Arc::clone(&self.shared), Arc::clone(&link));
            let task = tokio::spawn(async move { running.run(&shared).await }).abort_handle();
            known.insert(*address, Known { link, task, missing: 0 });
        }
        known.retain(|address, known| {
            known.missing = if found.contains(address) { 0 } else { known.missing + 1 };
            known.missing < MISSING
        });
        self.links.store(Arc::new(known.values().map(|known| Arc::clone(&known.link)).collect()));
    }

    /// Fetches all that one of the others holds.
    async fn try_to_fill(&self, round: u8) {
        // Pods that are not known yet would be refused.
        self.shared.directory.synced().await;
        let links = self.links.load_full();
        let mut others = 0;
        for link in links.iter() {
            let mut taken = Taken::default();
            let fetched = link.fetch(&self.shared, |push| serve::take_one(&self.shared, push, &mut taken)).await;
            match fetched {
                // It has just started, too: there is nothing to be had from it, and nothing to wait for.
                Ok(0) => {}
                Ok(pushes) => {
                    tracing::info!(peer = %link.address, pushes, accepted = taken.accepted, "filled from another replica");
                    self.fill.store(Arc::new(Fill::Filled));
                    return;
                }
                Err(link::LinkError::Status { status: hyper::StatusCode::MISDIRECTED_REQUEST, .. }) => {}
                Err(error) => {
                    others += 1;
                    tracing::warn!(%error, "another replica did not tell what it holds");
                }
            }
        }
        if others == 0 {
            self.fill.store(Arc::new(Fill::Alone));
        } else if round >= FILL_ROUNDS {
            self.fill.store(Arc::new(Fill::GaveUp));
        }
    }

    /// No more look-ups.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}
