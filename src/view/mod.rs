//! SHOW: everything read-only.
//!
//! In: a [`Store`](crate::store::Store). Out: bytes for Prometheus, HTTP clients and the terminal.
//! It never reads the kernel: whatever it shows was read by a tick.

pub mod api;
pub mod cadvisor;
pub mod events;
pub mod kubelet;
pub mod query;
pub mod rates;
pub mod remote;
pub mod top;

mod answer;
pub mod http;
pub mod kube_api;
mod page;
pub mod prometheus;

pub use answer::Answer;
