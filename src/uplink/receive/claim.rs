//! For which node may this identity speak: one, and the one that its token was made on.
//!
//! In: an authenticated [`Identity`] and what the API server said of nodes and pods. Out: the node's name, or why there
//! is none. Whether the identity may push at all is RBAC's word (`create` on `nodes/samples`); nothing that stands in the
//! push is asked here. Next: [`super`].
//!
//! A service account's token that is bound to a pod carries the pod's node since Kubernetes 1.29; before, it carries the
//! pod's name and UID, and the API server's record of that pod has the node. Users cannot write these extras: the API
//! server takes them from the signed token, and impersonation of extras is a permission of its own.

use std::sync::Arc;

use crate::auth::Identity;
use crate::store::cluster::{ClusterStore, NodeRecord};

const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_UID: &str = "authentication.kubernetes.io/node-uid";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Why an identity speaks for no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// Not one of the accounts that agents run as.
    #[error("{user} is not an account that agents run as; the aggregator's --agent-account names them")]
    Account {
        /// Who.
        user: String,
    },
    /// Neither a node nor a pod in the token.
    #[error(
        "the token of {user} is bound to no pod, so it speaks for no node; push with the projected token of the agent's \
         own pod"
    )]
    NoNode {
        /// Who.
        user: String,
    },
    /// A pod that the API server does not know, or not by this name in the account's namespace.
    #[error("the token is bound to pod {namespace}/{pod} with UID {uid}, which does not exist (any more)")]
    UnknownPod {
        /// Namespace of the account.
        namespace: String,
        /// Name in the token.
        pod: String,
        /// UID in the token.
        uid: String,
    },
    /// A node that the API server does not know, or not by this UID: deleted, or another one of the same name.
    #[error("the token is bound to node {node}, which does not exist (any more)")]
    UnknownNode {
        /// Name in the token, or in the record of its pod.
        node: String,
    },
}

impl ClaimRefused {
    /// The word that refusals are counted by.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Account { .. } => "account",
            Self::NoNode { .. } => "no_node_in_token",
            Self::UnknownPod { .. } => "unknown_pod_in_token",
            Self::UnknownNode { .. } => "unknown_node",
        }
    }
}

/// The node that this identity speaks for. `accounts` are the users that agents run as; empty leaves that to RBAC alone.
///
/// # Errors
/// [`ClaimRefused`].
pub fn node_of(
    identity: &Identity,
    store: &ClusterStore,
    accounts: &[String],
) -> Result<Arc<NodeRecord>, ClaimRefused> {
    let user = || identity.user.clone();
    // Extras of other users than service accounts are written by whoever runs the authenticator in front.
    let Some(namespace) = namespace_of(&identity.user) else {
        return Err(ClaimRefused::NoNode { user: user() });
    };
    if !accounts.is_empty() && !accounts.contains(&identity.user) {
        return Err(ClaimRefused::Account { user: user() });
    }
    let node = match (extra(identity, NODE_NAME), extra(identity, POD_UID)) {
        (Some(node), _) => node.to_owned(),
        (None, Some(uid)) => {
            let name = extra(identity, POD_NAME).unwrap_or_default();
            let unknown = || ClaimRefused::UnknownPod {
                namespace: namespace.to_owned(),
                pod: name.to_owned(),
                uid: uid.to_owned(),
            };
            let pod = store.pod_of_uid(uid).ok_or_else(unknown)?;
            if *pod.namespace != *namespace || *pod.name != *name || pod.node.is_empty() {
                return Err(unknown());
            }
            pod.node.as_ref().to_owned()
        }
        (None, None) => return Err(ClaimRefused::NoNode { user: user() }),
    };
    let same_node = |record: &Arc<NodeRecord>| extra(identity, NODE_UID).is_none_or(|uid| *record.uid == *uid);
    store.node_record(&node).filter(same_node).ok_or(ClaimRefused::UnknownNode { node })
}

/// Namespace of a service account.
fn namespace_of(user: &str) -> Option<&str> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':').map(|(namespace, _)| namespace)
}

/// The one value of an extra; several are nobody's word.
fn extra<'a>(identity: &'a Identity, key: &str) -> Option<&'a str> {
    match identity.extra.get(key)?.as_slice() {
        [one] if !one.is_empty() => Some(one),
        _ => None,
    }
}
