//! Accepting connections, within bounds, until told to stop.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, server::conn::http1};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::guard::{Busy, Guard};
use super::routes::Routes;
use super::{Context, HttpError, Limits};

/// A bound socket, ready to serve.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    routes: Arc<Routes>,
    limits: Limits,
}

impl HttpServer {
    /// Listens on `address` (`--listen`) with the default limits.
    ///
    /// # Errors
    /// See [`HttpError`]: each says what to change.
    pub fn bind(address: SocketAddr, context: Context) -> Result<Self, HttpError> {
        Self::bind_with(address, context, Limits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// See [`HttpError`]: each says what to change.
    pub fn bind_with(address: SocketAddr, context: Context, limits: Limits) -> Result<Self, HttpError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => HttpError::InUse { address },
            io::ErrorKind::PermissionDenied => HttpError::Denied { address },
            io::ErrorKind::AddrNotAvailable => HttpError::NotHere { address },
            _ => HttpError::Listen { address, source },
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, routes: Arc::new(Routes::new(context, limits)), limits })
    }

    /// The address that is listened on: with port 0 the one that the system chose.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then lets open requests finish for a few seconds.
    ///
    /// # Errors
    /// [`HttpError::Listen`] when the socket cannot be used by the runtime.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), HttpError> {
        let Self { listener, routes, limits } = self;
        let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let listener =
            tokio::net::TcpListener::from_std(listener).map_err(|source| HttpError::Listen { address, source })?;
        let (stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) if open(&mut connections) < limits.connections => {
                        let connection = Connection { routes: Arc::clone(&routes), limits, peer };
                        connections.spawn(connection.run(stream, stopped.clone()));
                    }
                    Ok((stream, _)) => refuse(&stream, &routes),
                    // Out of descriptors, or the client is gone already. Neither is helped by asking at once.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
            }
        }
        drop(listener);
        stop.send_replace(true);
        let finish = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(limits.stop, finish).await;
        Ok(())
    }
}

/// Connections that are open now: those that have ended are taken out first.
fn open(connections: &mut JoinSet<()>) -> usize {
    while connections.try_join_next().is_some() {}
    connections.len()
}

/// Says why in one write that does not wait; whether it arrives is the client's matter.
fn refuse(stream: &TcpStream, routes: &Routes) {
    routes.counts().connections_refused.fetch_add(1, Ordering::Relaxed);
    let _ = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

struct Connection {
    routes: Arc<Routes>,
    limits: Limits,
    peer: SocketAddr,
}

/// Counts an open connection for as long as it lives.
struct Open(Arc<Routes>);

impl Open {
    fn new(routes: Arc<Routes>) -> Self {
        routes.counts().connections.fetch_add(1, Ordering::Relaxed);
        Self(routes)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counts().connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    async fn run(self, stream: TcpStream, mut stopped: watch::Receiver<bool>) {
        let _open = Open::new(Arc::clone(&self.routes));
        let _ = stream.set_nodelay(true);
        let busy = Busy::default();
        let guard = Guard::new(stream, busy.clone(), self.limits);
        let service = service_fn(|request: Request<Incoming>| {
            busy.begin();
            let (routes, peer, busy) = (Arc::clone(&self.routes), self.peer.ip(), busy.clone());
            async move { Ok::<_, Infallible>(routes.answer(request, peer, &busy).await) }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(self.limits.head_bytes.max(8192))
            .max_header_size(self.limits.head_bytes)
            .serve_connection(guard, service);
        let mut connection = pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}
