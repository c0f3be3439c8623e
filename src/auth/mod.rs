//! WHO asks, and may they: authentication and authorization of requests to the agent's secure port and to the aggregator.
//!
//! In: a connection's client certificate and a request's headers. Out: an [`Identity`], and whether the API server lets it
//! do what it asks for; or a [`Denied`] without one byte of what was asked for. It renders nothing. Next: the server.

pub mod listen;

use std::collections::BTreeMap;

/// Who asks, as Kubernetes tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// User name, such as `system:serviceaccount:ringside:ringside-agent`.
    pub user: String,
    /// User's UID, if told.
    pub uid: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Extras by key in lower case, such as `authentication.kubernetes.io/node-name`.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What is asked for, in the words of RBAC.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// Something of the API.
    Resource {
        /// `get`, `list`, `watch`, `create`, …
        verb: String,
        /// API group.
        group: String,
        /// Version in the group.
        version: String,
        /// Plural name.
        resource: String,
        /// Empty for none.
        subresource: String,
        /// Empty for none, or for all.
        namespace: String,
        /// Empty for none, or for all.
        name: String,
    },
    /// A path outside of the API.
    Path {
        /// Lower-case method.
        verb: String,
        /// The path.
        path: String,
    },
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// 401: nobody is known by what was presented.
    #[error("{0}")]
    Unauthenticated(String),
    /// 403: known, and not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// 503: the API server could not be asked.
    #[error("{0}")]
    Unavailable(String),
}
