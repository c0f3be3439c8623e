//! When a container of a version 1 hierarchy, which has no `cgroup.events`, has lost its last process.
//!
//! In: the first process in `cgroup.procs` of a container's cgroup. Out: the paths of cgroups that became empty.
//! A pidfd (pidfd_open(2)) of that process becomes readable when it exits; if others are left, one of them is next.
//! Process IDs are never kept: the pidfd is opened, then `cgroup.procs` is read again, and only if the process is
//! still there is the pidfd its own. It sends no signal. Next: `watch`.

use std::collections::HashMap;
use std::sync::Arc;

use rustix::event::epoll;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::tree::first_process;
use crate::units::MonotonicNanos;

/// Pauses before the next look at a cgroup that has no process yet. After the last one only full scans look.
const PAUSES_NANOS: [u64; 6] = [2_000_000, 10_000_000, 50_000_000, 200_000_000, 1_000_000_000, 4_000_000_000];

/// What one look at a cgroup said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Its first process is watched now.
    Watching,
    /// It has no process.
    Empty,
    /// It cannot be watched (gone, other PID namespace, at a limit).
    No,
}

/// The pidfds, and the cgroups that wait for their first process.
pub(super) struct PidWatch {
    by_token: HashMap<u64, (Arc<[u8]>, OwnedFd)>,
    by_path: HashMap<Arc<[u8]>, u64>,
    waiting: HashMap<Arc<[u8]>, (MonotonicNanos, usize)>,
    next_token: u64,
    max: usize,
}

impl PidWatch {
    /// `first_token`: epoll data from here on is ours.
    pub(super) fn new(first_token: u64, max: usize) -> Self {
        Self {
            by_token: HashMap::new(),
            by_path: HashMap::new(),
            waiting: HashMap::new(),
            next_token: first_token,
            max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_token.len()
    }

    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.by_path.contains_key(path) || self.waiting.contains_key(path)
    }

    /// Looks at an open cgroup directory and watches its first process.
    pub(super) fn look(&mut self, epoll: &OwnedFd, path: &Arc<[u8]>, directory: BorrowedFd<'_>) -> Look {
        if self.by_path.contains_key(path) {
            return Look::Watching;
        }
        if self.by_token.len() >= self.max {
            return Look::No;
        }
        for _ in 0..4 {
            let first = match first_process(directory) {
                Ok(Some(first)) => first,
                Ok(None) => return Look::Empty,
                Err(_) => return Look::No,
            };
            let Some(pid) = i32::try_from(first).ok().and_then(Pid::from_raw) else { return Look::No };
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(fd) if first_process(directory) == Ok(Some(first)) => {
                    self.waiting.remove(path);
                    let token = self.next_token;
                    self.next_token += 1;
                    if epoll::add(epoll, &fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN).is_err() {
                        return Look::No;
                    }
                    self.by_token.insert(token, (Arc::clone(path), fd));
                    self.by_path.insert(Arc::clone(path), token);
                    return Look::Watching;
                }
                Ok(_) | Err(Errno::SRCH) => {}
                Err(_) => return Look::No,
            }
        }
        Look::No
    }

    /// Puts a cgroup that has no process (yet) on the list of those to look at again.
    pub(super) fn wait(&mut self, path: &Arc<[u8]>, now: MonotonicNanos) {
        let pause = PAUSES_NANOS.first().copied().unwrap_or_default();
        self.waiting.entry(Arc::clone(path)).or_insert((MonotonicNanos(now.0.saturating_add(pause)), 1));
    }

    /// The cgroups whose pause is over, and when the next one's is.
    pub(super) fn due(&mut self, now: MonotonicNanos) -> (Vec<Arc<[u8]>>, Option<MonotonicNanos>) {
        let mut due = Vec::new();
        self.waiting.retain(|path, (at, tries)| {
            if *at > now {
                return true;
            }
            due.push(Arc::clone(path));
            let pause = PAUSES_NANOS.get(*tries).copied();
            *tries += 1;
            *at = MonotonicNanos(now.0.saturating_add(pause.unwrap_or_default()));
            pause.is_some()
        });
        (due, self.waiting.values().map(|(at, _)| *at).min())
    }

    /// A pidfd fired: the cgroup whose first process has exited.
    pub(super) fn fired(&mut self, epoll: &OwnedFd, token: u64) -> Option<Arc<[u8]>> {
        let (path, fd) = self.by_token.remove(&token)?;
        let _ = epoll::delete(epoll, fd.as_fd());
        self.by_path.remove(&path);
        Some(path)
    }

    /// The cgroup is gone.
    pub(super) fn remove(&mut self, epoll: &OwnedFd, path: &[u8]) {
        self.waiting.remove(path);
        if let Some(token) = self.by_path.remove(path)
            && let Some((_, fd)) = self.by_token.remove(&token)
        {
            let _ = epoll::delete(epoll, fd.as_fd());
        }
    }
}
