//! One other replica: a connection that is kept, over which pushes are sent on and a whole history is fetched.
//!
//! In: a [`Queue`]. Out: `POST` of batches, and again until they are taken; nodes of which the other end lacks what went
//! before are exported to it. Full-jitter backoff, a deadline on each step. Next: [`super::serve`] at the other end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rand::Rng;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::frame::{self, Forwarded, Frames};
use super::queue::{Queue, Waiting};
use super::serve::Taken;
use super::{INSTANCE, Shared};
use crate::units::UnixNanos;

/// How long pushes are gathered.
const GATHER: Duration = Duration::from_millis(100);

/// About so many bytes go in one request.
const BATCH_BYTES: usize = 2 << 20;

/// A connection and its handshake.
const CONNECT: Duration = Duration::from_secs(5);

/// An answer to a batch.
const ANSWER: Duration = Duration::from_secs(10);

/// A history may take so long between two pieces.
const PIECE: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const ANSWER_BYTES: usize = 4 << 20;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a link does at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkState {
    /// Not known yet.
    New = 0,
    /// The other end takes pushes.
    Up = 1,
    /// It does not answer, or not well.
    Down = 2,
    /// The other end is this very replica.
    Itself = 3,
}

/// Why the other end did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Not reachable, or not by TLS.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// What failed.
        reason: String,
    },
    /// The connection broke.
    #[error("connection to {address} broke: {source}")]
    Http {
        /// Where.
        address: SocketAddr,
        /// What failed.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("{address} did not answer in time")]
    Late {
        /// Where.
        address: SocketAddr,
    },
    /// Another status than 200.
    #[error("{address} answered {status}")]
    Status {
        /// Where.
        address: SocketAddr,
        /// What.
        status: StatusCode,
    },
    /// The answer is not to be read.
    #[error("{address} answered what cannot be read: {reason}")]
    Answer {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
}

/// How to reach the other replicas.
#[derive(Clone)]
pub struct Route {
    /// The name that their certificates are checked by.
    pub name: ServerName<'static>,
    /// TLS with the cluster's authority, and this replica's client certificate; replaced when they are renewed.
    pub tls: watch::Receiver<Arc<rustls::ClientConfig>>,
}

/// One other replica.
pub struct Link {
    /// Its address.
    pub address: SocketAddr,
    /// What it still has to be told.
    pub queue: Queue,
    state: AtomicU8,
    route: Route,
}

impl Link {
    /// A link that is not connected yet.
    #[must_use]
    pub fn new(address: SocketAddr, route: Route, queue_bytes: usize) -> Self {
        Self { address, queue: Queue::new(queue_bytes), state: AtomicU8::new(LinkState::New as u8), route }
    }

    /// What it does at this moment.
    #[must_use]
    pub fn state(&self) -> LinkState {
        match self.state.load(Ordering::Relaxed) {
            0 => LinkState::New,
            1 => LinkState::Up,
            2 => LinkState::Down,
            _ => LinkState::Itself,
        }
    }

    fn set(&self, state: LinkState) {
        let before = self.state.swap(state as u8, Ordering::Relaxed);
        if before != state as u8 {
            tracing::info!(peer = %self.address, ?state, "another replica");
        }
    }

    /// Sends on what is in the queue, for as long as it is polled.
    pub(super) async fn run(&self, shared: &Shared) {
        let mut wait = FIRST_WAIT;
        let mut sender = None;
        let mut batch: Vec<Waiting> = Vec::new();
        loop {
            if batch.is_empty() {
                self.queue.filled().await;
                sleep(GATHER).await;
                batch = self.queue.take(BATCH_BYTES);
            }
            match self.deliver(shared, &mut sender, &batch).await {
                Ok(taken) => {
                    self.set(LinkState::Up);
                    wait = FIRST_WAIT;
                    shared.metrics.peer_pushes("sent", batch.len() as u64);
                    batch.clear();
                    for node in taken.need {
                        self.export(shared, &node);
                    }
                }
                Err(LinkError::Status { status: StatusCode::MISDIRECTED_REQUEST, .. }) => {
                    // Only another process may answer here later, and that is another entry of the DNS by then.
                    self.set(LinkState::Itself);
                    drop(self.queue.take(usize::MAX));
                    return;
                }
                Err(error) => {
                    sender = None;
                    self.set(LinkState::Down);
                    tracing::debug!(%error, "pushes for another replica wait");
                    let most = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    let jittered = rand::rng().random_range(1..=most);
                    sleep(Duration::from_millis(jittered)).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Puts the whole history of a node into the queue.
    fn export(&self, shared: &Shared, node: &str) {
        for body in shared.store.export_node(node) {
            let received = UnixNanos::now();
            let dropped = self.queue.put(Waiting { node: node.into(), received, body: body.into() });
            shared.metrics.peer_pushes("exported", 1);
            shared.metrics.peer_pushes("dropped", dropped);
        }
    }

    async fn deliver(
        &self,
        shared: &Shared,
        sender: &mut Option<http1::SendRequest<Full<Bytes>>>,
        batch: &[Waiting],
    ) -> Result<Taken, LinkError> {
        let mut body = BytesMut::new();
        for push in batch {
            let forwarded = Forwarded {
                node: push.node.as_ref().to_owned(),
                received_unix_nanos: push.received.0,
                body: push.body.clone(),
            };
            frame::put(&mut body, &forwarded);
        }
        let response = self.ask(shared, sender, Method::POST, "/internal/v1/samples", body.freeze()).await?;
        let answer = timeout(ANSWER, Limited::new(response.into_body(), ANSWER_BYTES).collect()).await;
        let answer = answer.map_err(|_| LinkError::Late { address: self.address })?;
        let unreadable = |reason: String| LinkError::Answer { address: self.address, reason };
        let answer = answer.map_err(|error| unreadable(error.to_string()))?.to_bytes();
        serde_json::from_slice(&answer).map_err(|error| unreadable(error.to_string()))
    }

    /// Fetches everything that the other end holds; each push of it is given to `take`. Says how many there were.
    pub(super) async fn fetch(&self, shared: &Shared, mut take: impl FnMut(Forwarded)) -> Result<u64, LinkError> {
        let mut sender = None;
        let response = self.ask(shared, &mut sender, Method::GET, "/internal/v1/snapshot", Bytes::new()).await?;
        let mut body = response.into_body();
        let unreadable = |reason: String| LinkError::Answer { address: self.address, reason };
        let (mut frames, mut many) = (Frames::default(), 0);
        loop {
            let piece = timeout(PIECE, body.frame()).await.map_err(|_| LinkError::Late { address: self.address })?;
            let Some(piece) = piece else { break };
            let piece = piece.map_err(|source| LinkError::Http { address: self.address, source })?;
            frames.extend(piece.data_ref().map_or(&[][..], |data| data.as_ref()));
            while let Some(push) = frames.take().map_err(|error| unreadable(error.to_string()))? {
                many += 1;
                take(push);
            }
        }
        frames.finish().map_err(|error| unreadable(error.to_string()))?;
        Ok(many)
    }

    async fn ask(
        &self,
        shared: &Shared,
        sender: &mut Option<http1::SendRequest<Full<Bytes>>>,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, LinkError> {
        let address = self.address;
        let mut open = match sender.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => timeout(CONNECT, self.connect()).await.map_err(|_| LinkError::Late { address })??,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(INSTANCE, &shared.instance)
            .body(Full::new(body))
            .map_err(|error| LinkError::Connect { address, reason: error.to_string() })?;
        let answer = timeout(ANSWER, open.send_request(request)).await.map_err(|_| LinkError::Late { address })?;
        let response = answer.map_err(|source| LinkError::Http { address, source })?;
        if response.status() != StatusCode::OK {
            return Err(LinkError::Status { address, status: response.status() });
        }
        *sender = Some(open);
        Ok(response)
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>, LinkError> {
        let failed = |error: std::io::Error| LinkError::Connect { address: self.address, reason: error.to_string() };
        let stream = TcpStream::connect(self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let config = Arc::clone(&self.route.tls.borrow());
        let stream = TlsConnector::from(config).connect(self.route.name.clone(), stream).await.map_err(failed)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|source| LinkError::Http { address: self.address, source })?;
        // It ends by itself when the sender is dropped or the other end closes.
        tokio::spawn(connection);
        Ok(sender)
    }
}
