//! WHO exists now? Reads the cgroup tree and asks container runtimes.
//!
//! In: the cgroup directories, inotify, runtime sockets. Out: [`Discovery`] events for the sampler.
//! It never reads a counter, and nothing here is waited for by a tick. Next: `sample/`.

mod workload;

pub use workload::{CgroupIdentity, CgroupKind, Discovery, ExitRecord, Metadata, QosClass, Runtime, Workload};
