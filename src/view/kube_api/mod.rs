//! The cluster in the API server's words: `metrics.k8s.io`, `custom.metrics.k8s.io`, `history.ringside.dev`.
//!
//! In: the cluster's store and one request. Out: the answer. It authenticates nobody and opens no connection.
