//! One node at one instant, as it is pushed: who is there, and each one's values.
//!
//! In: filled by the agent from its ring, now or for a time that has passed. Out: plain data for the encoder of frames.
//! Next: [`super::frame`].

use std::sync::Arc;

use super::metric::Metric;
use crate::units::UnixNanos;

/// Who a set of values belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntityKey {
    /// The node that pushes.
    Node,
    /// A pod.
    Pod {
        /// `metadata.uid`.
        uid: Arc<str>,
        /// `metadata.namespace`.
        namespace: Arc<str>,
        /// `metadata.name`.
        name: Arc<str>,
    },
    /// A container of a pod.
    Container {
        /// `metadata.uid` of its pod.
        pod_uid: Arc<str>,
        /// Its name in the pod's specification.
        name: Arc<str>,
        /// The runtime's id of this run of it: after a restart it is another entity.
        id: Arc<str>,
    },
}

/// The values of one entity; absent is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Whose.
    pub key: EntityKey,
    /// When it began, as far as is known; its counters were 0 then. Zero for the node.
    pub started_at: UnixNanos,
    /// Indexed by [`Metric`].
    pub values: [Option<u64>; Metric::ALL.len()],
}

/// Everything that is pushed of one instant. A pod stands before its containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The wall clock of the tick.
    pub wall: UnixNanos,
    /// The node, its pods and their containers.
    pub entities: Vec<Entity>,
}
