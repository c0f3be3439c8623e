//! WHO exists now? Reads the cgroup tree and asks container runtimes.
//!
//! In: the cgroup directories, inotify, runtime sockets. Out: [`Discovery`] events for the sampler.
//! It never reads a counter, and nothing here is waited for by a tick. Next: `sample/`.

mod error;
pub mod identity;
mod inotify;
mod kmsg;
pub mod layout;
mod pidwatch;
mod registry;
mod sink;
mod tree;
mod watch;
mod workload;

pub use error::DiscoverError;
pub use layout::{CgroupLayout, LayoutKind, V1Controller};
pub use watch::WatchStatus;
pub use workload::{CgroupIdentity, CgroupKind, Discovery, ExitRecord, Metadata, QosClass, Runtime, Workload};
