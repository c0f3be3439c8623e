//! The cluster in the API server's words: `metrics.k8s.io`, `custom.metrics.k8s.io`, `history.ringside.dev`.
//!
//! In: the cluster's store and one request. Out: the answer. It authenticates nobody and opens no connection.

mod accept;
mod answer;
mod discovery;
mod item;
mod json;
mod openapi;
mod path;
mod protobuf;
mod selector;
mod series;
mod status;
mod text;
mod version;

pub use answer::{ApiAnswer, ApiBody, ApiRequest};
pub use path::attributes;
pub use selector::{FieldSelector, LabelSelector};
pub use series::SeriesMetric;
pub use status::{Cause, Details, Status};
