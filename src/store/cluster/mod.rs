//! WHAT HAPPENED in the cluster: the aggregator's store.
//!
//! In: what the API server says of nodes and pods, and the frames that agents push. Out: the newest readings of every
//! node, pod and container, and their history. A byte budget bounds the history; the oldest goes first.
//! It opens no connection and decides nobody's identity. Next: `view::kube_api`.
//!
//! | step | file |
//! |---|---|
//! | what there is to push | [`metric`] |
//! | plain data | `record.rs`, `snapshot.rs` |
//! | a push's bytes, read in place | `protobuf.rs`, [`frame`], [`push`] |
//! | what the API server says | `directory.rs` |
//! | who a node speaks of, and the newest values | `entity.rs`, `cells.rs`, `chain.rs` |
//! | the samples before | `past.rs`, `batch.rs` |
//! | one node | `node.rs` |
//! | one node, for another replica | `export.rs` |
//! | all of them | `cluster_store.rs` |
//! | questions about the past | `history.rs` |

mod batch;
mod cells;
mod chain;
mod cluster_store;
mod directory;
mod entity;
mod export;
pub mod frame;
mod history;
pub mod metric;
mod node;
mod past;
mod protobuf;
pub mod push;
pub mod record;
pub mod snapshot;

pub use cluster_store::{ClusterOptions, ClusterStats, ClusterStore};
pub use entity::Refusal;
pub use history::{GroupBy, HistoryQuery, HistorySeries, MOST_POINTS};
pub use metric::{Metric, MetricInfo, MetricKind, MetricSet, MetricUnit};
pub use node::{MOST_AHEAD, PushRefused, Pushed};
pub use protobuf::Malformed;
pub use record::{LabelMap, NodeRecord, NodeUsage, PodRecord, PodUsage, Readings, WorkloadRef};
pub use snapshot::{Entity, EntityKey, Snapshot};
