//! Reading the hierarchies: all of them in a full scan, or the part that an event named.
//!
//! In: directories. Out: appearances and losses for the registry, watches for inotify. Every new directory is watched
//! before it is read. A scan that could not see everything takes nothing for gone. Next: [`super::registry`].

use std::sync::Arc;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::inotify::{Inotify, Kind};
use super::registry::{Appeared, MAX_TREES, Sighting};
use super::tree::{Entry, MAX_DEPTH, MAX_NAME_BYTES, Tree, open_child, read_populated};
use super::{INOTIFY, Watcher, now, wall_clock};
use crate::discover::Discovery;
use crate::discover::identity::{Nesting, is_kubernetes_root};
use crate::units::{ErrorClass, UnixNanos};

/// What one scan left out.
#[derive(Default)]
pub(super) struct Tally {
    pub too_deep: u64,
    pub name_too_long: u64,
    pub over_cap: u64,
    pub directories: usize,
    /// Something was not seen though it may be there: nothing may be taken for gone.
    pub is_incomplete: bool,
}

impl Tally {
    fn left_out(&self) -> u64 {
        self.too_deep + self.name_too_long + self.over_cap
    }
}

impl Watcher {
    /// Something happened to a directory: its present state counts, whatever the event said.
    pub(super) fn look_again(&mut self, tree: usize, parent: &[u8], name: &[u8]) {
        let mut path = join(parent, name);
        let depth = path.iter().filter(|byte| **byte == b'/').count() + 1;
        if depth > MAX_DEPTH || name.len() > MAX_NAME_BYTES {
            return;
        }
        let Some(at) = self.trees.get(tree) else { return };
        match at.open_directory(&path).and_then(|directory| Ok((at.entry(directory.as_fd())?, directory))) {
            Ok((entry, directory)) => {
                self.tally.directories = 0;
                self.explore(tree, &mut path, depth, &directory, entry);
            }
            Err(errno) if ErrorClass::of(errno) == ErrorClass::Gone => {
                self.registry.vanish(tree, &path, &mut self.out);
                self.take_back_watches();
            }
            Err(_) => {}
        }
    }

    pub(super) fn full_scan(&mut self) {
        let started = now();
        self.renew_inotify();
        self.scan += 1;
        self.tally = Tally::default();
        let is_node = self.trees.iter().any(has_kubernetes_root);
        self.registry.nesting = if is_node { Nesting::Refused } else { Nesting::Believed };
        let mut left_out = 0;
        for tree in 0..self.trees.len() {
            let Some(at) = self.trees.get(tree) else { continue };
            let before = self.tally.left_out();
            match at.open_directory(b"").and_then(|root| Ok((at.entry(root.as_fd())?, root))) {
                Ok((entry, root)) => self.explore(tree, &mut Vec::new(), 0, &root, entry),
                Err(errno) => self.tally.is_incomplete |= ErrorClass::of(errno) != ErrorClass::Gone,
            }
            // The same cgroup is left out of each hierarchy: it counts once.
            left_out = left_out.max(self.tally.left_out() - before);
        }
        if std::mem::replace(&mut self.status.left_out, left_out) != left_out {
            self.out.push(Discovery::LeftOut { cgroups: left_out });
        }
        if !self.tally.is_incomplete {
            for tree in 0..self.trees.len() {
                self.registry.sweep(tree, self.scan, &mut self.out);
            }
        }
        self.take_back_watches();
        self.look_at_unwatched();
        self.status.scans += 1;
        self.status.scans_truncated += u64::from(self.tally.directories > self.max_directories());
        self.status.shed_too_deep = self.tally.too_deep;
        self.status.shed_name_too_long = self.tally.name_too_long;
        self.status.shed_over_cap = self.tally.over_cap;
        self.status.last_scan_usec = now().since(started) / 1000;
        self.status.longest_scan_usec = self.status.longest_scan_usec.max(self.status.last_scan_usec);
    }

    fn max_directories(&self) -> usize {
        self.options.max_cgroups.saturating_mul(4).saturating_mul(MAX_TREES)
    }

    /// Reports a directory and everything below it. It is watched before its children are read.
    fn explore(&mut self, tree: usize, path: &mut Vec<u8>, depth: usize, directory: &OwnedFd, entry: Entry) {
        if !self.appear(tree, path, entry, Some(directory.as_fd())) {
            self.tally.over_cap += 1;
        }
        let mut children: Vec<(Vec<u8>, Entry)> = Vec::new();
        let room = self.max_directories().saturating_sub(self.tally.directories);
        let mut is_cut = false;
        let mut too_long = 0;
        let Some(at) = self.trees.get(tree) else { return };
        let listed = at.children(directory.as_fd(), |name, entry| {
            if name.len() > MAX_NAME_BYTES {
                too_long += 1;
            } else if children.len() >= room {
                is_cut = true;
            } else {
                children.push((name.to_vec(), entry));
            }
        });
        self.tally.name_too_long += too_long;
        self.tally.is_incomplete |= is_cut || listed.is_err_and(|errno| ErrorClass::of(errno) != ErrorClass::Gone);
        self.tally.directories = self.tally.directories.saturating_add(children.len() + usize::from(is_cut));
        if depth >= MAX_DEPTH {
            self.tally.too_deep += u64::try_from(children.len()).unwrap_or(u64::MAX);
            return;
        }
        let length = path.len();
        for (name, entry) in children {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.explore_child(tree, path, depth + 1, directory.as_fd(), &name, entry);
            path.truncate(length);
        }
    }

    fn explore_child(
        &mut self,
        tree: usize,
        path: &mut Vec<u8>,
        depth: usize,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: Entry,
    ) {
        // The common case of a scan: known, without children, watched. Nothing needs to be opened.
        if entry.is_leaf && self.is_settled(tree, path, entry.inode) {
            self.appear(tree, path, entry, None);
            return;
        }
        match open_child(parent, name) {
            Ok(directory) => {
                let entry = self.trees.get(tree).and_then(|at| at.entry(directory.as_fd()).ok()).unwrap_or(entry);
                self.explore(tree, path, depth, &directory, entry);
            }
            Err(errno) => match ErrorClass::of(errno) {
                ErrorClass::Gone => {}
                // Seen but closed to us: it is shown, what lies below it is not.
                ErrorClass::Denied => {
                    self.appear(tree, path, entry, None);
                }
                _ => {
                    self.appear(tree, path, entry, None);
                    self.tally.is_incomplete = true;
                }
            },
        }
    }

    /// True when a cgroup is known with this inode and needs no further watch.
    fn is_settled(&self, tree: usize, path: &[u8], inode: u64) -> bool {
        let is_known = self.registry.get(path).is_some_and(|known| known.inodes.get(tree) == Some(&Some(inode)));
        is_known
            && self
                .inotify
                .as_ref()
                .is_none_or(|inotify| inotify.refused.is_some() || inotify.has(tree, Kind::Directory, &Arc::from(path)))
    }

    /// Tells the registry, and sets the watches of what is new. False when it was left out.
    fn appear(&mut self, tree: usize, path: &[u8], entry: Entry, directory: Option<BorrowedFd<'_>>) -> bool {
        let created_at = UnixNanos(entry.modified_at.0.min(wall_clock().0));
        let sighting = Sighting { tree, inode: entry.inode, created_at, scan: self.scan, now: now() };
        let appeared = self.registry.appear(path, sighting, &mut self.out);
        self.take_back_watches();
        if appeared == Appeared::Shed {
            return false;
        }
        let Some(directory) = directory else { return true };
        let has_events = !path.is_empty() && self.trees.get(tree).is_some_and(|at| at.has_events);
        let key: Arc<[u8]> = Arc::from(path);
        if let Some(inotify) = &mut self.inotify {
            inotify.add(tree, Kind::Directory, &key, directory);
            if has_events {
                inotify.add(tree, Kind::Events, &key, directory);
            }
        }
        if has_events && let Ok(Some(populated)) = read_populated(directory) {
            self.registry.set_populated(path, populated, &mut self.out);
        }
        true
    }

    fn take_back_watches(&mut self) {
        for (tree, path) in self.registry.take_gone() {
            if let Some(inotify) = &mut self.inotify {
                inotify.remove(tree, &path);
            }
            if self.registry.get(&path).is_none() {
                self.pids.remove(&self.epoll, &path);
            }
        }
    }

    /// Makes inotify, if it is not there; lets it try again, if it was refused.
    fn renew_inotify(&mut self) {
        match &mut self.inotify {
            Some(inotify) => inotify.try_again(),
            None => match Inotify::new(self.options.max_watches) {
                Ok(inotify) => {
                    match epoll::add(&self.epoll, inotify.fd(), EventData::new_u64(INOTIFY), EventFlags::IN) {
                        Ok(()) => self.inotify = Some(inotify),
                        Err(errno) => self.status.inotify_refused = Some(errno.to_string()),
                    }
                }
                Err(errno) => self.status.inotify_refused = Some(format!("no inotify instance: {errno}")),
            },
        }
    }
}

/// True when a kubelet runs on this machine itself: a Kubernetes root right below the hierarchy's root.
fn has_kubernetes_root(tree: &Tree) -> bool {
    let mut found = false;
    let root = tree.open_directory(b"");
    let _ = root.and_then(|root| tree.children(root.as_fd(), |name, _| found |= is_kubernetes_root(name)));
    found
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + name.len() + 1);
    path.extend_from_slice(parent);
    if !parent.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
