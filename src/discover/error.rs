//! What can go wrong in discovery, and what the caller may do about it.
//!
//! In: failed system calls. Out: [`DiscoverError`]. Runtime sockets that fail are no error here: they are a state in
//! [`super::DiscoverStatus`]. Next: `main`, which prints it, and `ringside doctor`.

use std::path::PathBuf;

/// A failure that keeps discovery from starting. Nothing that happens later is one.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// No cgroup hierarchy was found. The caller may go on with machine metrics only.
    #[error(
        "no cgroup hierarchy below {}: mount one (mount -t cgroup2 none {}), or in a container mount the host's \
         /sys/fs/cgroup read-only and name it with --cgroupfs",
        root.display(), root.display()
    )]
    NoCgroups {
        /// The directory that was looked at.
        root: PathBuf,
    },
    /// A hierarchy's root could not be opened. The caller may name another one.
    #[error("cannot open {}: {source}", path.display())]
    OpenRoot {
        /// The hierarchy's root.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The watcher's thread, epoll or eventfd could not be made: the process is at a limit. The caller may free
    /// descriptors and try again.
    #[error("cannot start the cgroup watcher: {0}")]
    Watcher(#[source] std::io::Error),
}
