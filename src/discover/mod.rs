//! WHO exists now? Reads the cgroup tree and asks container runtimes.
//!
//! In: the cgroup directories, inotify, runtime sockets. Out: [`Discovery`] events for the sampler.
//! It never reads a counter, and nothing here is waited for by a tick. Next: `sample/`.

mod error;
pub mod identity;
pub mod layout;
mod workload;

pub use error::DiscoverError;
pub use layout::{CgroupLayout, LayoutKind, V1Controller};
pub use workload::{CgroupIdentity, CgroupKind, Discovery, ExitRecord, Metadata, QosClass, Runtime, Workload};
