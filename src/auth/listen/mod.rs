//! What every server here does with its connections, plain or TLS: accept within bounds, converse, stop.
//!
//! In: a listening socket and what makes answers. Out: connections that end when their client is slow, silent or one of
//! too many. It knows no path and no identity. Next: `https.rs`, and the plain server of the view.

mod guard;

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use guard::{Busy, Guard, Streaming};

/// Bounds on clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most connections at once.
    pub connections: usize,
    /// Most connections at once from one address.
    pub per_address: usize,
    /// A TLS handshake must be complete this long after connecting.
    pub handshake: Duration,
    /// A request's head must be complete this long after its first byte, and the first one this long after connecting.
    pub head: Duration,
    /// How long a connection may be kept open without a request.
    pub idle: Duration,
    /// How long a response may take from the moment at which the client does not take more.
    pub write: Duration,
    /// Longest head of a request.
    pub head_bytes: usize,
    /// How long open requests may go on after the server was told to stop.
    pub stop: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 1024,
            // One address may be a whole API server, or all pods of a node.
            per_address: 256,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(30),
            head_bytes: 16 * 1024,
            stop: Duration::from_secs(5),
        }
    }
}

/// Becomes true when the server stops.
pub type Stopped = watch::Receiver<bool>;

/// Open connections by address.
#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// One open connection of an address, for as long as it lives.
struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// A place for one more connection of `address`, unless it has `most` already.
    fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { addresses: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Accepts until `shutdown`, then lets open requests finish for a few seconds. `refuse` may say why to a connection that
/// is one too many; it must not wait.
pub async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
    refuse: impl Fn(&TcpStream),
    serve: impl Fn(TcpStream, SocketAddr, Stopped) -> F,
) {
    let (stop, stopped) = watch::channel(false);
    let addresses = Arc::new(Addresses::default());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let place = if open(&mut connections) < bounds.connections {
                        addresses.enter(peer.ip(), bounds.per_address)
                    } else {
                        None
                    };
                    let Some(place) = place else {
                        refuse(&stream);
                        continue;
                    };
                    let _ = stream.set_nodelay(true);
                    let served = serve(stream, peer, stopped.clone());
                    connections.spawn(async move {
                        let _place = place;
                        served.await;
                    });
                }
                // Out of descriptors, or the client is gone already. Neither is helped by asking at once.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(bounds.stop, finish).await;
}

/// Connections that are open now: those that have ended are taken out first.
fn open(connections: &mut JoinSet<()>) -> usize {
    while connections.try_join_next().is_some() {}
    connections.len()
}

/// Speaks HTTP/1.1 on a connection until its end, or until the server stops and the open request is answered.
pub async fn converse<S, F, B>(
    stream: S,
    bounds: Bounds,
    mut stopped: Stopped,
    answer: impl Fn(Request<Incoming>, Busy) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<B>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let busy = Busy::default();
    let guard = Guard::new(stream, busy.clone(), bounds);
    let service = service_fn(|request: Request<Incoming>| {
        busy.begin();
        let answered = answer(request, busy.clone());
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(bounds.head_bytes.max(8192))
        .max_header_size(bounds.head_bytes)
        .serve_connection(guard, service);
    // In one place of the heap: on its way into a future it would have a second one for as long as the connection lives.
    let mut connection = Box::pin(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
