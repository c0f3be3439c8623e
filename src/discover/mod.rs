//! WHO exists now? Reads the cgroup tree and asks container runtimes.
//!
//! In: the cgroup directories, inotify, the kernel log, runtime sockets. Out: [`Discovery`] events for the sampler, by one
//! bounded channel, and a [`DiscoverStatus`] for `doctor` and the agent's own metrics.
//! Paths come first and names when they come: the order of `Born` and `Described` is open. It never reads a counter, and
//! nothing here is waited for by a tick. Next: `sample/`.

mod error;
mod files;
pub mod identity;
pub mod layout;
mod runtimes;
mod sink;
mod start;
mod watch;
mod workload;

pub use error::DiscoverError;
pub use files::{ContainerFiles, KnownFiles, LayerUsage};
pub use layout::{CgroupLayout, LayoutKind, V1Controller};
pub use runtimes::{PodNames, RuntimeSocket, RuntimeState, RuntimeStatus, SocketKind};
pub use start::{DiscoverOptions, DiscoverStatus, Discoverer, start};
pub use watch::WatchStatus;
pub use workload::{CgroupIdentity, CgroupKind, Discovery, ExitRecord, Metadata, Owner, QosClass, Runtime, Workload};
