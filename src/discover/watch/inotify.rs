//! One inotify instance and the book of its watches.
//!
//! In: descriptors of cgroup directories. Out: [`Seen`] events that name the hierarchy and the path (inotify(7)).
//! What kernfs does was tried on Linux 6.18, on version 1 and version 2 trees: `mkdir`, `rmdir` and (version 1 only)
//! `rename` send `IN_CREATE`, `IN_DELETE` and `IN_MOVED_*` to the parent's watch; a change of `cgroup.events` sends
//! `IN_MODIFY`; a removed directory sends *neither* `IN_DELETE_SELF` *nor* `IN_IGNORED` to its own watch, so that a
//! watch pins its inode until it is taken back. [`Inotify::remove`] does that.
//! A watch is set by `/proc/self/fd/N`, so no path is followed twice or is too long. Next: `watch`.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::tree::open_file_path;

/// Most events that one call of [`Inotify::read`] returns, so that in a storm the first births do not wait for the last.
const MAX_BATCH: usize = 256;

/// What a watch is set on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A cgroup's directory.
    Directory,
    /// Its `cgroup.events`.
    Events,
}

/// One event, with its watch resolved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A directory `name` was made in (or moved into) `parent`.
    Made { tree: usize, parent: Arc<[u8]>, name: Vec<u8> },
    /// A directory `name` was removed from (or moved out of) `parent`.
    Lost { tree: usize, parent: Arc<[u8]>, name: Vec<u8> },
    /// `cgroup.events` of `path` changed.
    Changed { tree: usize, path: Arc<[u8]> },
    /// The queue overflowed: events are missing.
    Overflow,
}

type Key = (usize, Kind, Arc<[u8]>);

/// The instance.
pub(super) struct Inotify {
    fd: OwnedFd,
    by_watch: HashMap<i32, Key>,
    by_key: HashMap<Key, i32>,
    max_watches: usize,
    /// Why no further watch can be set, if so; cleared by [`Inotify::try_again`].
    pub refused: Option<String>,
}

impl Inotify {
    pub(super) fn new(max_watches: usize) -> Result<Self, Errno> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { fd, by_watch: HashMap::new(), by_key: HashMap::new(), max_watches, refused: None })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// How many watches are set.
    pub(super) fn len(&self) -> usize {
        self.by_watch.len()
    }

    /// Lets the next [`Inotify::add`] try although an earlier one was refused.
    pub(super) fn try_again(&mut self) {
        self.refused = None;
    }

    pub(super) fn has(&self, tree: usize, kind: Kind, path: &Arc<[u8]>) -> bool {
        self.by_key.contains_key(&(tree, kind, Arc::clone(path)))
    }

    /// Watches an open cgroup directory, or its `cgroup.events`. A refusal is remembered and not an error: scanning
    /// goes on. True when the watch is set.
    pub(super) fn add(&mut self, tree: usize, kind: Kind, path: &Arc<[u8]>, directory: BorrowedFd<'_>) -> bool {
        let key = (tree, kind, Arc::clone(path));
        if self.by_key.contains_key(&key) {
            return true;
        }
        if self.refused.is_some() {
            return false;
        }
        if self.by_watch.len() >= self.max_watches {
            self.refused = Some(format!("the agent's own limit of {} watches", self.max_watches));
            return false;
        }
        match self.set(kind, directory) {
            Ok(watch) => {
                if let Some(old) = self.by_watch.insert(watch, key.clone()) {
                    self.by_key.remove(&old);
                }
                self.by_key.insert(key, watch);
                true
            }
            Err(Errno::NOSPC) => {
                self.refused = Some("fs.inotify.max_user_watches is used up".to_owned());
                false
            }
            Err(error @ (Errno::NOMEM | Errno::MFILE | Errno::NFILE)) => {
                self.refused = Some(error.to_string());
                false
            }
            Err(_) => false,
        }
    }

    fn set(&self, kind: Kind, directory: BorrowedFd<'_>) -> Result<i32, Errno> {
        let by_descriptor = |fd: i32, flags| inotify::add_watch(&self.fd, format!("/proc/self/fd/{fd}"), flags);
        match kind {
            Kind::Directory => by_descriptor(
                directory.as_raw_fd(),
                WatchFlags::CREATE
                    | WatchFlags::DELETE
                    | WatchFlags::MOVED_FROM
                    | WatchFlags::MOVED_TO
                    | WatchFlags::ONLYDIR,
            ),
            Kind::Events => {
                let file = open_file_path(directory, c"cgroup.events")?;
                by_descriptor(file.as_raw_fd(), WatchFlags::MODIFY)
            }
        }
    }

    /// Takes back the watches of a cgroup that left a hierarchy.
    pub(super) fn remove(&mut self, tree: usize, path: &Arc<[u8]>) {
        for kind in [Kind::Directory, Kind::Events] {
            if let Some(watch) = self.by_key.remove(&(tree, kind, Arc::clone(path))) {
                self.by_watch.remove(&watch);
                // EINVAL: the kernel took it back itself (other file systems than kernfs do).
                let _ = inotify::remove_watch(&self.fd, watch);
            }
        }
    }

    /// Reads the events that wait, up to a bound; true when there may be more.
    pub(super) fn read(&mut self, seen: &mut Vec<Seen>) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 16384];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        let mut overflow = false;
        let mut taken = 0;
        // What was read from the kernel is lost with the reader, so its buffer is always emptied.
        while taken < MAX_BATCH || !reader.is_buffer_empty() {
            taken += 1;
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => return false,
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                if !std::mem::replace(&mut overflow, true) {
                    seen.push(Seen::Overflow);
                }
                continue;
            }
            let Some((tree, kind, path)) = self.by_watch.get(&event.wd()) else { continue };
            match (kind, event.file_name()) {
                (Kind::Events, _) if flags.contains(ReadFlags::MODIFY) => {
                    seen.push(Seen::Changed { tree: *tree, path: Arc::clone(path) });
                }
                (Kind::Directory, Some(name)) if flags.contains(ReadFlags::ISDIR) => {
                    let (tree, parent, name) = (*tree, Arc::clone(path), name.to_bytes().to_vec());
                    if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                        seen.push(Seen::Made { tree, parent, name });
                    } else if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
                        seen.push(Seen::Lost { tree, parent, name });
                    }
                }
                _ => {}
            }
        }
        true
    }
}
