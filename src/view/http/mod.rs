//! The HTTP server: HTTP/1.1, read-only, every limit by hand. The one POST asks a question, too: remote read.
//!
//! In: connections. Out: what the other views answer. A client can be slow, huge, silent or many: each has a bound, and
//! none of them is waited for by the tick. It renders nothing but the page of endpoints and problem documents.
//!
//! | step | file |
//! |---|---|
//! | accept, count, stop | `server.rs`; the loop and the deadlines of one connection are `auth/listen/` |
//! //! | path → answer | `routes.rs` |
//! | paths of the kubelet and of cAdvisor | `compat.rs` |
//! | the same over TLS, for those who may | `secure.rs` |
//! | answers that are made while they are sent | `stream.rs` |
//! | events as they happen | `events.rs` |
//! | `Accept`, `Accept-Encoding` | [`negotiate`] |
//! | errors as problem documents | `problem.rs` |

mod compat;
mod events;
pub mod negotiate;
mod problem;
mod routes;
mod secure;
mod server;
mod stream;

use std::net::SocketAddr;
use std::time::Duration;

pub use problem::problem;
pub use secure::{Gate, SecureServer};
pub use server::HttpServer;

use super::Answer;
use super::events::EventLog;
use super::prometheus::Exposition;
use super::remote::Remote;
use crate::auth::listen::Bounds;
use crate::sample::processes::ProcessTable;
use crate::store::Store;

/// Answers a request below `/api/` or for `/openapi.json`, given the path and the query as they were sent;
/// `None` is "no such path". It may take its time: it runs beside the connections.
pub type Api = fn(&Store, &str, Option<&str>) -> Option<Answer>;

/// What the server shows.
#[derive(Debug, Clone)]
pub struct Context {
    /// The ring.
    pub store: Store,
    /// `/metrics`.
    pub exposition: Exposition,
    /// `/api/...` and `/openapi.json`.
    pub api: Api,
    /// `/api/v1/read` and `/api/v1/export`.
    pub remote: Remote,
    /// The node's processes, for those answers of other agents' that list them.
    pub processes: ProcessTable,
    /// `/events`.
    pub events: EventLog,
}

/// Bounds on clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once; further ones are told 503 and closed.
    pub connections: usize,
    /// A request's head must be complete this long after its first byte, and the first one this long after connecting.
    pub head: Duration,
    /// How long a connection may be kept open without a request.
    pub idle: Duration,
    /// How long a response may take from the moment at which the client does not take more.
    pub write: Duration,
    /// Longest head of a request.
    pub head_bytes: usize,
    /// Longest body of a request, which only a remote read has.
    pub body_bytes: u64,
    /// How long open requests may go on after the server was told to stop.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(30),
            head_bytes: 16 * 1024,
            body_bytes: 64 * 1024,
            stop: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// The part that is about connections. Every client of the plain port may have them all: it is this machine's own.
    const fn bounds(&self) -> Bounds {
        let Self { connections, head, idle, write, head_bytes, stop, .. } = *self;
        Bounds { connections, per_address: connections, handshake: head, head, idle, write, head_bytes, stop }
    }
}

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Somebody listens there already. Stop it, or give another address.
    #[error(
        "cannot listen on {address}: the address is in use; stop the other process or give another one with --listen"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The port needs a privilege. Give a port from 1024 on.
    #[error("cannot listen on {address}: permission denied; give a port from 1024 on with --listen")]
    Denied {
        /// The address asked for.
        address: SocketAddr,
    },
    /// No interface of this machine has the address. Give one that it has, or `0.0.0.0`.
    #[error("cannot listen on {address}: this machine does not have the address; give another one with --listen")]
    NotHere {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else that keeps the socket from being set up.
    #[error("cannot listen on {address} (--listen): {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The secure port cannot be set up.
    #[error("cannot listen on {address} (--secure-listen): {source}; give another address or port")]
    Secure {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}
