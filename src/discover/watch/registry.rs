//! The cgroups that are known, and what changed about them.
//!
//! In: what the watcher saw in each hierarchy (a directory with an inode, or its absence). Out: [`Discovery`] events in
//! the order root first at birth and children first at death, each exactly once.
//! One path in several hierarchies is one cgroup. The inode that stands for it is that of the first hierarchy in the
//! list (`unified`, then `memory`, then `cpuacct`) that had the directory at birth; the cgroup lives until every
//! hierarchy has lost it, or until the directory that its inode stands for was replaced.
//! This is plain data: it makes no system call. Next: `watch` feeds it, `sample/` reads its events.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::discover::identity::{Nesting, identify_on};
use crate::discover::{CgroupKind, Discovery, Workload};
use crate::units::{MonotonicNanos, UnixNanos};

/// Most hierarchies that are watched at once.
pub(super) const MAX_TREES: usize = 3;
/// How long a birth waits for the same directory in the other hierarchies. Runtimes make them one after another within
/// a millisecond or two; a sampler that came earlier would not find all files.
const SETTLE_NANOS: u64 = 20_000_000;

/// A cgroup.
pub(super) struct Known {
    /// Inode per hierarchy.
    pub inodes: [Option<u64>; MAX_TREES],
    /// The hierarchy whose inode was reported.
    primary: Option<usize>,
    /// The inode that was reported.
    reported: u64,
    /// Until when the birth waits; `None` when it was reported.
    unborn_until: Option<MonotonicNanos>,
    created_at: UnixNanos,
    workload: Option<Arc<Workload>>,
    /// Rule for shedding: greater goes first.
    rank: u8,
    /// The last scan that saw it, per hierarchy.
    seen: [u64; MAX_TREES],
    /// Last known state of `cgroup.events`.
    pub populated: bool,
    /// True for containers, which get the dearer kinds of watching.
    pub is_container: bool,
}

/// A directory that was seen in a hierarchy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    /// Position of the hierarchy in the watcher's list.
    pub tree: usize,
    /// Inode of the directory.
    pub inode: u64,
    /// When it was made, as far as is known.
    pub created_at: UnixNanos,
    /// Number of the scan that is under way or was the last.
    pub scan: u64,
    /// The instant it was seen.
    pub now: MonotonicNanos,
}

/// What [`Registry::appear`] did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Appeared {
    /// Known already with this inode.
    Known,
    /// New in this hierarchy (or replaced there): watch it.
    New,
    /// Left out: the registry is full of cgroups that matter as much or more.
    Shed,
}

/// All known cgroups.
pub(super) struct Registry {
    known: BTreeMap<Arc<[u8]>, Known>,
    /// Cgroups that may be shed, by rank; those of rank 0 are not here.
    sheddable: BTreeSet<(u8, Arc<[u8]>)>,
    unborn: BTreeSet<Arc<[u8]>>,
    trees: usize,
    capacity: usize,
    /// Whether containers may be nodes.
    pub nesting: Nesting,
    /// Cgroups that were removed or replaced since the last call of [`Registry::take_gone`], for their watches.
    gone: Vec<(usize, Arc<[u8]>)>,
    /// Cgroups thrown out for others since the start.
    pub evicted: u64,
}

impl Registry {
    pub(super) fn new(trees: usize, capacity: usize) -> Self {
        Self {
            known: BTreeMap::new(),
            sheddable: BTreeSet::new(),
            unborn: BTreeSet::new(),
            trees: trees.min(MAX_TREES),
            capacity: capacity.max(1),
            nesting: Nesting::Believed,
            gone: Vec::new(),
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&Known> {
        self.known.get(path)
    }

    pub(super) fn get_mut(&mut self, path: &[u8]) -> Option<&mut Known> {
        self.known.get_mut(path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<[u8]>, &Known)> {
        self.known.iter()
    }

    /// A directory was seen.
    pub(super) fn appear(&mut self, path: &[u8], sighting: Sighting, out: &mut Vec<Discovery>) -> Appeared {
        let Sighting { tree, inode, created_at, scan, .. } = sighting;
        if let Some(known) = self.known.get_mut(path) {
            let (Some(slot), Some(seen)) = (known.inodes.get_mut(tree), known.seen.get_mut(tree)) else {
                return Appeared::Shed;
            };
            *seen = scan;
            match *slot {
                Some(old) if old == inode => return Appeared::Known,
                None => {
                    *slot = Some(inode);
                    known.created_at = UnixNanos(known.created_at.0.min(created_at.0));
                    return Appeared::New;
                }
                Some(_) if known.primary.is_some_and(|primary| primary != tree) => {
                    *slot = Some(inode);
                    if let Some((key, _)) = self.known.get_key_value(path) {
                        self.gone.push((tree, Arc::clone(key)));
                    }
                    return Appeared::New;
                }
                // The directory that stands for the cgroup was replaced: everything below went with it.
                Some(_) => self.vanish(tree, path, out),
            }
            // The other hierarchies' directories belonged to the old cgroup or will be seen again by the next scan.
            self.forget(path, out);
        }
        self.insert(path, sighting, out)
    }

    fn insert(&mut self, path: &[u8], sighting: Sighting, out: &mut Vec<Discovery>) -> Appeared {
        let Sighting { tree, inode, created_at, scan, now } = sighting;
        let identity = identify_on(path, self.nesting);
        let is_inside = identity.outer_container.is_some();
        let rank = match identity.kind {
            CgroupKind::Root => 0,
            CgroupKind::Container | CgroupKind::Sandbox | CgroupKind::Pod | CgroupKind::Qos => 0,
            _ if is_inside => 3,
            CgroupKind::Other => 1,
            CgroupKind::Service | CgroupKind::Slice | CgroupKind::Scope => 2,
        };
        if self.known.len() >= self.capacity && !self.evict_for(rank, out) {
            return Appeared::Shed;
        }
        let key: Arc<[u8]> = Arc::from(path);
        let mut inodes = [None; MAX_TREES];
        let mut seen = [0; MAX_TREES];
        if let (Some(slot), Some(last)) = (inodes.get_mut(tree), seen.get_mut(tree)) {
            *slot = Some(inode);
            *last = scan;
        }
        if rank > 0 {
            self.sheddable.insert((rank, Arc::clone(&key)));
        }
        self.unborn.insert(Arc::clone(&key));
        let known = Known {
            inodes,
            primary: None,
            reported: inode,
            unborn_until: Some(MonotonicNanos(now.0.saturating_add(SETTLE_NANOS))),
            created_at,
            is_container: identity.kind == CgroupKind::Container,
            workload: Some(Arc::new(Workload { identity, inode, metadata: None, created_at })),
            rank,
            seen,
            populated: false,
        };
        self.known.insert(key, known);
        Appeared::New
    }

    /// Makes room for a cgroup of `rank`: throws out a childless one of the worst rank. False when there is none worse.
    fn evict_for(&mut self, rank: u8, out: &mut Vec<Discovery>) -> bool {
        let victim = self
            .sheddable
            .iter()
            .rev()
            .take_while(|(worse, _)| *worse > rank)
            .take(64)
            .find(|(_, path)| self.descendants(path).next().is_none())
            .map(|(_, path)| Arc::clone(path));
        let Some(victim) = victim else { return false };
        self.forget(&victim, out);
        self.evicted = self.evicted.saturating_add(1);
        true
    }

    /// A directory is no longer in hierarchy `tree`, and neither is anything below it.
    pub(super) fn vanish(&mut self, tree: usize, path: &[u8], out: &mut Vec<Discovery>) {
        let below: Vec<Arc<[u8]>> = self.descendants(path).map(Arc::clone).collect();
        for descendant in below.iter().rev() {
            self.lose(tree, descendant, out);
        }
        if let Some((key, _)) = self.known.get_key_value(path) {
            let key = Arc::clone(key);
            self.lose(tree, &key, out);
        }
    }

    /// Drops every cgroup that scan number `scan` of hierarchy `tree` did not see.
    pub(super) fn sweep(&mut self, tree: usize, scan: u64, out: &mut Vec<Discovery>) {
        let missed: Vec<Arc<[u8]>> = self
            .known
            .iter()
            .filter(|(_, known)| {
                known.inodes.get(tree).is_some_and(Option::is_some)
                    && known.seen.get(tree).is_some_and(|seen| *seen < scan)
            })
            .map(|(path, _)| Arc::clone(path))
            .collect();
        for path in missed.iter().rev() {
            self.lose(tree, path, out);
        }
    }

    fn lose(&mut self, tree: usize, path: &Arc<[u8]>, out: &mut Vec<Discovery>) {
        let Some(known) = self.known.get_mut(path) else { return };
        let Some(slot) = known.inodes.get_mut(tree) else { return };
        if slot.take().is_none() {
            return;
        }
        self.gone.push((tree, Arc::clone(path)));
        if known.inodes.iter().all(Option::is_none) {
            self.forget(path, out);
        }
    }

    /// Removes a cgroup altogether. A birth that was still waiting is reported first: it did live.
    fn forget(&mut self, path: &[u8], out: &mut Vec<Discovery>) {
        self.give_birth(path, out);
        let Some((key, known)) = self.known.remove_entry(path) else { return };
        self.sheddable.remove(&(known.rank, Arc::clone(&key)));
        self.unborn.remove(&key);
        for (tree, inode) in known.inodes.iter().enumerate() {
            if inode.is_some() {
                self.gone.push((tree, Arc::clone(&key)));
            }
        }
        out.push(Discovery::Removed { path: Box::from(&*key), inode: known.reported });
    }

    /// Reports the births that need not wait any longer, parents first. Returns when the next one is due.
    pub(super) fn births(&mut self, now: MonotonicNanos, out: &mut Vec<Discovery>) -> Option<MonotonicNanos> {
        let mut next: Option<MonotonicNanos> = None;
        let mut due = Vec::new();
        for path in &self.unborn {
            let Some(known) = self.known.get(path) else { continue };
            let is_everywhere = known.inodes.iter().take(self.trees).all(Option::is_some);
            match known.unborn_until {
                Some(until) if until > now && !is_everywhere => {
                    next = Some(next.map_or(until, |next| next.min(until)));
                }
                _ => due.push(Arc::clone(path)),
            }
        }
        // Root first: by depth, then by name.
        due.sort_by_key(|path| (depth_of(path), Arc::clone(path)));
        for path in due {
            for (at, byte) in path.iter().enumerate() {
                if *byte == b'/' {
                    self.give_birth(path.get(..at).unwrap_or_default(), out);
                }
            }
            self.give_birth(&path, out);
        }
        next
    }

    fn give_birth(&mut self, path: &[u8], out: &mut Vec<Discovery>) {
        let Some(known) = self.known.get_mut(path) else { return };
        if known.unborn_until.take().is_none() {
            return;
        }
        known.primary = known.inodes.iter().position(Option::is_some);
        if let Some(inode) = known.primary.and_then(|primary| known.inodes.get(primary).copied().flatten()) {
            known.reported = inode;
        }
        if let Some(workload) = known.workload.take() {
            let mut workload = Arc::unwrap_or_clone(workload);
            workload.inode = known.reported;
            workload.created_at = known.created_at;
            out.push(Discovery::Born { path: Box::from(path), workload: Arc::new(workload) });
        }
        self.unborn.remove(path);
    }

    /// Notes a state of `cgroup.events`; reports the change from populated to empty.
    pub(super) fn set_populated(&mut self, path: &[u8], populated: bool, out: &mut Vec<Discovery>) {
        let Some(known) = self.known.get_mut(path) else { return };
        let was = std::mem::replace(&mut known.populated, populated);
        if was && !populated {
            self.empty(path, out);
        }
    }

    /// Reports that a cgroup has no process any more.
    pub(super) fn empty(&mut self, path: &[u8], out: &mut Vec<Discovery>) {
        self.give_birth(path, out);
        if let Some(known) = self.known.get(path) {
            out.push(Discovery::Emptied { path: Box::from(path), inode: known.reported });
        }
    }

    /// What was lost per hierarchy since the last call, so that its watches can be taken back.
    pub(super) fn take_gone(&mut self) -> Vec<(usize, Arc<[u8]>)> {
        std::mem::take(&mut self.gone)
    }

    fn descendants<'a>(&'a self, path: &[u8]) -> impl Iterator<Item = &'a Arc<[u8]>> + use<'a> {
        let mut prefix = path.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let is_root = prefix.is_empty();
        let start: Bound<&[u8]> = if is_root { Bound::Excluded(b"") } else { Bound::Included(&prefix) };
        let range = self.known.range::<[u8], _>((start, Bound::Unbounded));
        let prefix: Box<[u8]> = prefix.into();
        range.map(|(path, _)| path).take_while(move |path| path.starts_with(&prefix))
    }
}

fn depth_of(path: &[u8]) -> usize {
    if path.is_empty() { 0 } else { 1 + path.iter().filter(|byte| **byte == b'/').count() }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
