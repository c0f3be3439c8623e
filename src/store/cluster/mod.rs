//! WHAT HAPPENED in the cluster: the aggregator's store.
//!
//! In: what the API server says of nodes and pods, and the frames that agents push. Out: the newest readings of every
//! node, pod and container, and their history. A byte budget bounds the history; the oldest goes first.
//! It opens no connection and decides nobody's identity. Next: `view::kube_api`.
//!
//! | step | file |
//! |---|---|
//! | what there is to push | [`metric`] |
//! | one push's changes as bytes, and back | `frame.rs` |
//! | plain data | `record.rs`, `snapshot.rs` |

pub mod metric;
pub mod record;
pub mod snapshot;

pub use metric::{Metric, MetricInfo, MetricKind, MetricUnit};
pub use record::{LabelMap, NodeRecord, NodeUsage, PodRecord, PodUsage, Readings, WorkloadRef};
pub use snapshot::{Entity, EntityKey, Snapshot};
