//! WHO asks, and may they: authentication and authorization of requests to the agent's secure port and to the aggregator.
//!
//! In: a connection's client certificate and a request's headers. Out: an [`Identity`], and whether the API server lets it
//! do what it asks for; or a [`Denied`] without one byte of what was asked for. It renders nothing. Next: the server.
//!
//! | step | file |
//! |---|---|
//! | accept, deadlines, stop: plain and TLS | [`listen`] |
//! | TLS, requests, bodies | [`https`], [`tls`] |
//! | own certificates | [`certificates`] |
//! | who: all ways in order | `authenticator.rs` |
//! | … by the API server's front proxy | [`requestheader`] |
//! | … by a client certificate | [`chain`] |
//! | … by a token of a file, by TokenReview | [`static_tokens`], [`tokens`] |
//! | may they | `access.rs` |
//! | ask once, remember, bound | [`flights`] |
//! | refusals | [`status`] |

mod access;
pub mod api_server;
mod authenticator;
pub mod certificates;
pub mod chain;
pub mod flights;
pub mod https;
pub mod listen;
pub mod requestheader;
pub mod static_tokens;
pub mod status;
mod task;
pub mod tls;
pub mod tokens;

use std::collections::BTreeMap;
use std::time::Duration;

pub use access::Authorizer;
pub use authenticator::Authenticator;
use task::Task;

/// How often files that may change are looked at.
pub const LOOK: Duration = Duration::from_secs(10);

/// The group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";

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

impl Identity {
    /// With the group of everybody who is known, as the API server adds it.
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        if !self.groups.iter().any(|group| group == AUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

impl Attributes {
    /// What is to be done.
    #[must_use]
    pub fn verb(&self) -> &str {
        match self {
            Self::Resource { verb, .. } | Self::Path { verb, .. } => verb,
        }
    }

    /// The refusal, in the API server's words.
    #[must_use]
    pub fn forbidden_to(&self, user: &str, reason: &str) -> Denied {
        let mut text = match self {
            Self::Resource { verb, group, resource, subresource, namespace, name, .. } => {
                let whole = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
                let named = if name.is_empty() { resource.clone() } else { format!("{resource} {name:?}") };
                let place = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {namespace:?}")
                };
                format!(
                    "{named} is forbidden: User {user:?} cannot {verb} resource {whole:?} in API group {group:?} {place}"
                )
            }
            Self::Path { verb, path } => format!("forbidden: User {user:?} cannot {verb} path {path:?}"),
        };
        if !reason.is_empty() {
            text.push_str(": ");
            text.push_str(reason);
        }
        Denied::Forbidden(text)
    }
}
