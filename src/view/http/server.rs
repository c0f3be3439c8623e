//! Accepting connections, within bounds, until told to stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;

use super::routes::Routes;
use super::{Context, HttpError, Limits};
use crate::auth::listen;

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

    /// What a second port serves, too.
    pub(super) fn shared(&self) -> (Arc<Routes>, Limits) {
        (Arc::clone(&self.routes), self.limits)
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
        let bounds = limits.bounds();
        let refuse = |stream: &TcpStream| refuse(stream, &routes);
        listen::accept(listener, bounds, shutdown, refuse, |stream, peer, stopped| {
            let (open, routes) = (Open::new(Arc::clone(&routes)), Arc::clone(&routes));
            async move {
                let _open = open;
                let answer = |request, busy| {
                    let routes = Arc::clone(&routes);
                    async move { routes.answer(request, peer.ip(), &busy).await }
                };
                listen::converse(stream, bounds, stopped, answer).await;
            }
        })
        .await;
        Ok(())
    }
}

/// Says why in one write that does not wait; whether it arrives is the client's matter.
fn refuse(stream: &TcpStream, routes: &Routes) {
    routes.counts().connections_refused.fetch_add(1, Ordering::Relaxed);
    let _ = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

/// Counts an open connection for as long as it lives.
pub(super) struct Open(Arc<Routes>);

impl Open {
    pub(super) fn new(routes: Arc<Routes>) -> Self {
        routes.counts().connections.fetch_add(1, Ordering::Relaxed);
        Self(routes)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counts().connections.fetch_sub(1, Ordering::Relaxed);
    }
}
