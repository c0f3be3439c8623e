//! The same paths over TLS, for those who are known and may read this node's metrics.
//!
//! In: connections, and the plain server's routes. Out: the same answers, or a refusal without one byte of them. Who asks
//! and whether they may is decided in `auth`; here stands only what each path is called there, in the kubelet's words.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use http_body_util::Either;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use super::routes::Routes;
use super::server::{HttpServer, Open};
use super::{HttpError, Limits, stream};
use crate::auth::certificates::ServingCert;
use crate::auth::https::{self, Peer};
use crate::auth::listen::{Bounds, Busy};
use crate::auth::{Attributes, Authenticator, Authorizer, Denied};

/// Who is let in.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Says who asks.
    pub authenticator: Authenticator,
    /// Says whether they may.
    pub authorizer: Authorizer,
    /// Name of this node, which rights may be bound to.
    pub node: Arc<str>,
}

impl Gate {
    async fn pass(&self, request: &Request<Incoming>, peer: &Peer) -> Result<(), Denied> {
        let path = request.uri().path();
        // Whoever restarts an agent that does not live has no token, and learns nothing of what it measures.
        if matches!(path, "/livez" | "/readyz") {
            return Ok(());
        }
        let identity = self.authenticator.authenticate(peer, request.headers()).await?;
        self.authorizer.authorize(&identity, &attributes(request.method(), path, &self.node)).await
    }
}

/// What a request is called when rights are asked for: as at the kubelet's port, `nodes/stats` below `/stats` and
/// `nodes/metrics` for the rest, because all of it is measurements.
fn attributes(method: &Method, path: &str, node: &str) -> Attributes {
    let verb = match *method {
        Method::GET | Method::HEAD => "get",
        // These put their question into a body, and change nothing.
        Method::POST if path == super::routes::READ || super::compat::asks_by_post(path) => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "proxy",
    };
    let stats = path == "/stats" || path.starts_with("/stats/");
    Attributes::Resource {
        verb: verb.to_owned(),
        group: String::new(),
        version: "v1".to_owned(),
        resource: "nodes".to_owned(),
        subresource: if stats { "stats" } else { "metrics" }.to_owned(),
        namespace: String::new(),
        name: node.to_owned(),
    }
}

/// A bound socket, ready to serve over TLS.
#[derive(Debug)]
pub struct SecureServer {
    listener: TcpListener,
    address: SocketAddr,
    routes: Arc<Routes>,
    limits: Limits,
    certificate: ServingCert,
    gate: Arc<Gate>,
}

impl HttpServer {
    /// Listens on a second `address` (`--secure-listen`) for the same routes, over TLS and behind `gate`.
    ///
    /// # Errors
    /// [`HttpError::Secure`], which says what to change.
    pub fn beside(&self, address: SocketAddr, certificate: ServingCert, gate: Gate) -> Result<SecureServer, HttpError> {
        let failed = |source| HttpError::Secure { address, source };
        let listener = https::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (routes, limits) = self.shared();
        Ok(SecureServer { listener, address, routes, limits, certificate, gate: Arc::new(gate) })
    }
}

impl SecureServer {
    /// The address that is listened on: with port 0 the one that the system chose.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets open requests finish for a few seconds.
    ///
    /// # Errors
    /// [`HttpError::Secure`] when the socket or TLS cannot be used.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), HttpError> {
        let Self { listener, address, routes, limits, certificate, gate } = self;
        // Strangers reach this port: one address may not take all connections.
        let bounds = Bounds { per_address: limits.connections.div_ceil(4), ..limits.bounds() };
        let answer = move |request, peer, busy| answer(Arc::clone(&routes), Arc::clone(&gate), request, peer, busy);
        let served = https::serve_with(listener, certificate, bounds, shutdown, answer).await;
        served.map_err(|source| HttpError::Secure { address, source })
    }
}

async fn answer(
    routes: Arc<Routes>,
    gate: Arc<Gate>,
    request: Request<Incoming>,
    peer: Peer,
    busy: Busy,
) -> Response<Either<stream::Body, https::Body>> {
    let _open = Open::new(Arc::clone(&routes));
    match gate.pass(&request, &peer).await {
        Ok(()) => routes.answer(request, peer.address.ip(), &busy).await.map(Either::Left),
        Err(denied) => {
            let response = denied.response();
            routes.counts().response(response.status().as_u16());
            response.map(Either::Right)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_asked_for_in_the_kubelets_words() {
        let asked = |method, path| match attributes(&method, path, "n1") {
            Attributes::Resource { verb, resource, subresource, name, .. } => {
                format!("{verb} {resource}/{subresource} {name}")
            }
            Attributes::Path { .. } => String::new(),
        };
        assert_eq!(asked(Method::GET, "/metrics"), "get nodes/metrics n1");
        assert_eq!(asked(Method::HEAD, "/api/v1/node"), "get nodes/metrics n1");
        assert_eq!(asked(Method::GET, "/stats/summary"), "get nodes/stats n1");
        assert_eq!(asked(Method::GET, "/statsy"), "get nodes/metrics n1");
        assert_eq!(asked(Method::POST, "/api/v1/read"), "get nodes/metrics n1");
        assert_eq!(asked(Method::POST, "/api/v1.3/docker/x"), "get nodes/metrics n1");
        assert_eq!(asked(Method::POST, "/stats/summary"), "get nodes/stats n1");
        assert_eq!(asked(Method::POST, "/metrics/resource"), "create nodes/metrics n1");
        assert_eq!(asked(Method::GET, "/metrics/resource"), "get nodes/metrics n1");
        assert_eq!(asked(Method::POST, "/metrics"), "create nodes/metrics n1");
        assert_eq!(asked(Method::DELETE, "/"), "delete nodes/metrics n1");
    }
}
