//! Who is read: the living cgroups with their open files, their parts, their network namespaces, and the roster.
//!
//! In: discovery's events, one at a time, from the sampler. Out: rows and subjects, filled into a sample. A cgroup that
//! has ended is in one more sample, with its last row, and then leaves the roster. Next: `sampler.rs` drives it.

mod networks;
mod roster;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::catalogue::{CgroupColumn, Table};
use super::cgroup::{CgroupReader, ReadContext};
use super::filesystem::{Filesystems, Mounted};
use super::network::{Namespace, NamespaceId};
use super::subject_ids::SubjectIds;
use super::tally::{Instance, TallyKeeper, TallyKey, Victim};
use super::{Roster, Subject, SubjectId};
use crate::discover::{CgroupKind, ExitRecord, Metadata, Workload};
use crate::kernel::file::KernelDir;
use crate::units::MonotonicNanos;

/// Most descriptions that are kept for containers whose cgroup has not been seen (yet, or any more).
const DESCRIPTIONS_CAP: usize = 8192;

/// One living cgroup.
#[derive(Debug)]
pub(super) struct Member {
    pub subject: Arc<Subject>,
    /// Below the hierarchy root, without a leading slash.
    pub path: Box<[u8]>,
    pub reader: CgroupReader,
    /// It is gone; its last row is still to be shown.
    pub ended: bool,
    inode: u64,
    born_tick: u64,
    tally: Option<TallyKey>,
    /// OOM kills that the kernel log told of.
    logged_oom_kills: u64,
    /// OOM kills that its tally knows of.
    tallied_oom_kills: u64,
    namespace: Option<NamespaceId>,
}

impl Member {
    fn workload(&self) -> Option<&Arc<Workload>> {
        self.subject.workload.as_ref()
    }

    fn container_id(&self) -> Option<&Arc<str>> {
        self.workload()?.identity.container_id.as_ref()
    }

    fn instance(&self) -> Instance {
        let row = &self.reader.rows.row;
        Instance {
            oom_kills: row.value(CgroupColumn::MemoryEventsOomKill).unwrap_or(0).max(self.logged_oom_kills),
            cpu_usage_usec: row.value(CgroupColumn::CpuUsageUsec).unwrap_or(0),
        }
    }
}

/// All members and what is known beside them.
#[derive(Debug)]
pub(super) struct Members {
    /// `<sysfs>/dev/block`, whose links name the devices.
    device_links: Option<KernelDir>,
    page_sizes: Vec<Box<str>>,
    slots: Vec<Option<Member>>,
    free: Vec<usize>,
    by_path: HashMap<Box<[u8]>, usize>,
    by_container: HashMap<Arc<str>, Vec<usize>>,
    /// The pod's own cgroup, by pod UID.
    by_pod: HashMap<Arc<str>, usize>,
    /// Descriptions by container ID; those of sandboxes also describe the pod's cgroup.
    descriptions: HashMap<Arc<str>, Arc<Metadata>>,
    descriptions_order: VecDeque<Arc<str>>,
    /// Last counts of containers that ended before anybody described them.
    undescribed: HashMap<Arc<str>, Instance>,
    undescribed_order: VecDeque<Arc<str>>,
    tallies: TallyKeeper,
    namespaces: Vec<Namespace>,
    host_namespace: Option<NamespaceId>,
    device_names: BTreeMap<(u32, u32), Arc<str>>,
    filesystems: Arc<Vec<Mounted>>,
    filesystem_subjects: Vec<Arc<Subject>>,
    node_subject: Arc<Subject>,
    agent_subject: Arc<Subject>,
    roster: Arc<Roster>,
    changed: bool,
    ids: SubjectIds,
    living: usize,
}

impl Members {
    pub fn new(sysfs: &Path, page_sizes: Vec<Box<str>>, mut ids: SubjectIds) -> Self {
        let node_subject = subject(&mut ids, Table::Node, "node".into());
        let agent_subject = subject(&mut ids, Table::Agent, "agent".into());
        Self {
            device_links: KernelDir::open_root(&sysfs.join("dev/block")).ok(),
            page_sizes,
            slots: Vec::new(),
            free: Vec::new(),
            by_path: HashMap::new(),
            by_container: HashMap::new(),
            by_pod: HashMap::new(),
            descriptions: HashMap::new(),
            descriptions_order: VecDeque::new(),
            undescribed: HashMap::new(),
            undescribed_order: VecDeque::new(),
            tallies: TallyKeeper::default(),
            namespaces: Vec::new(),
            host_namespace: None,
            device_names: BTreeMap::new(),
            filesystems: Arc::default(),
            filesystem_subjects: Vec::new(),
            node_subject: Arc::new(node_subject),
            agent_subject: Arc::new(agent_subject),
            roster: Arc::default(),
            changed: true,
            ids,
            living: 0,
        }
    }

    /// Cgroups that are read.
    pub fn living(&self) -> usize {
        self.living
    }

    /// The members that are read at each tick.
    pub fn living_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.slots.iter_mut().flatten().filter(|member| !member.ended)
    }

    /// A cgroup has appeared.
    pub fn born(&mut self, path: Box<[u8]>, workload: Arc<Workload>, context: &mut ReadContext<'_>) {
        if let Some(member) = self.by_path.get(&path).and_then(|slot| self.slots.get_mut(*slot)?.as_mut()) {
            if member.inode == workload.inode && !member.ended {
                return;
            }
            // The name is used again: this is another cgroup, and the old one's history is not its own.
            member.ended = true;
            self.close_ended(context);
        }
        let container_id = workload.identity.container_id.clone();
        let described = container_id.as_ref().and_then(|id| self.descriptions.get(id));
        let described = described.or_else(|| self.sandbox_of(&workload)).cloned();
        let workload = match described {
            Some(metadata) => Arc::new(Workload { metadata: Some(metadata), ..(*workload).clone() }),
            None => workload,
        };
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let container = matches!(workload.identity.kind, CgroupKind::Container | CgroupKind::Sandbox | CgroupKind::Pod);
        let mut reader = CgroupReader::new(context.table, container, context.tick, slot as u64);
        if reader.open(&path, context).is_err() {
            // Gone before it could be opened: there is nothing to show.
            reader.close(context.budget);
            if slot < self.slots.len() {
                self.free.push(slot);
            }
            return;
        }
        let name = Arc::clone(&workload.identity.path);
        let id = self.ids.next(Table::Cgroup, None, &name, workload.inode);
        let known = Some(Arc::clone(&workload));
        let member = Member {
            subject: Arc::new(Subject { workload: known, ..plain_subject(id, Table::Cgroup, name) }),
            reader,
            ended: false,
            inode: workload.inode,
            born_tick: context.tick,
            tally: None,
            logged_oom_kills: 0,
            tallied_oom_kills: 0,
            namespace: None,
            path: path.clone(),
        };
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        if let Some(empty) = self.slots.get_mut(slot) {
            *empty = Some(member);
        }
        self.by_path.insert(path, slot);
        if let Some(id) = container_id {
            let slots = self.by_container.entry(id).or_default();
            // The container itself comes before what it nests.
            slots.insert(if workload.identity.outer_container.is_none() { 0 } else { slots.len() }, slot);
        }
        if let (CgroupKind::Pod, Some(uid), None) =
            (workload.identity.kind, &workload.identity.pod_uid, &workload.identity.outer_container)
        {
            self.by_pod.insert(Arc::clone(uid), slot);
        }
        self.living += 1;
        self.changed = true;
        self.tally(slot);
    }

    /// For a pod's cgroup: what its sandbox was described as.
    fn sandbox_of(&self, workload: &Workload) -> Option<&Arc<Metadata>> {
        let uid = workload.identity.pod_uid.as_deref()?;
        let is_sandbox = |metadata: &&Arc<Metadata>| metadata.sandbox && metadata.pod_uid.as_deref() == Some(uid);
        // A pod's name inside a container is that container's word, not the runtime's.
        let own = workload.identity.kind == CgroupKind::Pod && workload.identity.outer_container.is_none();
        own.then(|| self.descriptions.values().find(is_sandbox)).flatten()
    }

    /// The last process of a cgroup has exited: its counters are read once more, all of them.
    pub fn emptied(&mut self, path: &[u8], inode: u64, now: MonotonicNanos, context: &mut ReadContext<'_>) {
        if let Some(member) = self.member_mut(path, inode)
            && member.reader.read_all(&member.path, now, context).is_err()
        {
            member.ended = true;
            self.close_ended(context);
        }
    }

    /// The directory is gone.
    pub fn removed(&mut self, path: &[u8], inode: u64, context: &mut ReadContext<'_>) {
        if let Some(member) = self.member_mut(path, inode) {
            member.ended = true;
            self.close_ended(context);
        }
    }

    fn member_mut(&mut self, path: &[u8], inode: u64) -> Option<&mut Member> {
        let slot = *self.by_path.get(path)?;
        self.slots.get_mut(slot)?.as_mut().filter(|member| member.inode == inode && !member.ended)
    }

    /// Closes the files of those that have ended and takes their last counts over.
    pub fn close_ended(&mut self, context: &mut ReadContext<'_>) {
        for slot in 0..self.slots.len() {
            let Some(Some(member)) = self.slots.get_mut(slot) else { continue };
            if !member.ended || self.by_path.get(&member.path) != Some(&slot) {
                continue;
            }
            member.reader.close(context.budget);
            let last = member.instance();
            let (tally, container_id) = (member.tally.take(), member.container_id().cloned());
            let pod = member.workload().and_then(|workload| workload.identity.pod_uid.clone());
            self.by_path.remove(&member.path);
            self.living -= 1;
            if let Some(id) = container_id {
                match tally {
                    Some(key) => self.tallies.ended(&key, &id, last),
                    None => remember(&mut self.undescribed, &mut self.undescribed_order, &id, last),
                }
                if let Some(slots) = self.by_container.get_mut(&id) {
                    slots.retain(|other| *other != slot);
                    if slots.is_empty() {
                        self.by_container.remove(&id);
                    }
                }
            }
            if let Some(uid) = pod
                && self.by_pod.get(&uid) == Some(&slot)
            {
                self.by_pod.remove(&uid);
            }
        }
    }

    /// A runtime has described a container.
    pub fn described(&mut self, container_id: &Arc<str>, metadata: &Arc<Metadata>) {
        remember(&mut self.descriptions, &mut self.descriptions_order, container_id, Arc::clone(metadata));
        let mut slots = self.by_container.get(container_id).cloned().unwrap_or_default();
        if metadata.sandbox
            && let Some(pod) = metadata.pod_uid.as_deref().and_then(|uid| self.by_pod.get(uid))
        {
            slots.push(*pod);
        }
        for slot in &slots {
            if let Some(Some(member)) = self.slots.get_mut(*slot)
                && let Some(workload) = member.workload()
            {
                let workload = Workload { metadata: Some(Arc::clone(metadata)), ..(**workload).clone() };
                member.subject = Arc::new(Subject { workload: Some(Arc::new(workload)), ..(*member.subject).clone() });
                member.reader.rows.forget_subjects();
                self.changed = true;
            }
            self.tally(*slot);
        }
        if let (true, Some(key)) = (slots.is_empty(), TallyKey::of(metadata))
            && let Some(last) = self.undescribed.remove(container_id)
        {
            // It lived and died before the runtime was asked: it is counted all the same.
            self.tallies.described(&key, container_id, SubjectId(0), metadata);
            self.tallies.ended(&key, container_id, last);
        }
    }

    /// Gives a described container its place in the tallies.
    fn tally(&mut self, slot: usize) {
        let Some(Some(member)) = self.slots.get_mut(slot) else { return };
        let Some(workload) = member.subject.workload.as_ref() else { return };
        let (Some(metadata), Some(id)) = (&workload.metadata, &workload.identity.container_id) else { return };
        // A cgroup below the container's own (a nested scope, systemd in a container) counts within it.
        if self.by_container.get(id).and_then(|slots| slots.first()) != Some(&slot) {
            return;
        }
        let Some(key) = TallyKey::of(metadata) else { return };
        self.tallies.described(&key, id, member.subject.id, metadata);
        member.tally = Some(key);
        member.tallied_oom_kills = 0;
    }

    /// A runtime has reported an end.
    pub fn exited(&mut self, container_id: &Arc<str>, exit: &ExitRecord) {
        self.tallies.exited(container_id, exit);
    }

    /// The kernel log has named a victim in this cgroup.
    pub fn oom_killed(&mut self, task_memcg: &str, victim: Victim) {
        let path = task_memcg.trim_start_matches('/').as_bytes();
        if let Some(Some(member)) = self.by_path.get(path).and_then(|slot| self.slots.get_mut(*slot)) {
            member.logged_oom_kills += 1;
            if let Some(key) = &member.tally {
                self.tallies.victim(key, victim);
            }
        }
    }

    /// Takes over the newest list of filesystems, if there is a newer one.
    pub fn follow_filesystems(&mut self, watch: &Filesystems) {
        let newest = watch.mounted.load();
        if Arc::ptr_eq(&newest, &self.filesystems) {
            return;
        }
        let same = newest.len() == self.filesystems.len()
            && newest.iter().zip(self.filesystems.iter()).all(|(new, old)| new.mount_point == old.mount_point);
        if !same {
            self.filesystem_subjects = newest
                .iter()
                .map(|mounted| {
                    let plain = subject(&mut self.ids, Table::Filesystem, Arc::clone(&mounted.mount_point));
                    Arc::new(Subject {
                        device: Some(mounted.number),
                        filesystem: Some((Arc::clone(&mounted.device), Arc::clone(&mounted.kind))),
                        ..plain
                    })
                })
                .collect();
            self.changed = true;
        }
        self.filesystems = Arc::clone(&newest);
    }

    fn let_go(&mut self) {
        for (slot, member) in self.slots.iter_mut().enumerate() {
            if member.as_ref().is_some_and(|member| member.ended) {
                *member = None;
                self.free.push(slot);
            }
        }
        self.changed = true;
    }
}

/// A subject that belongs to nobody.
fn subject(ids: &mut SubjectIds, table: Table, name: Arc<str>) -> Subject {
    let id = ids.next(table, None, &name, 0);
    plain_subject(id, table, name)
}

fn plain_subject(id: SubjectId, table: Table, name: Arc<str>) -> Subject {
    Subject { id, table, owner: None, name, workload: None, device: None, filesystem: None }
}

/// Notes a value under `id`; beyond the cap the oldest goes.
fn remember<V>(values: &mut HashMap<Arc<str>, V>, order: &mut VecDeque<Arc<str>>, id: &Arc<str>, value: V) {
    if values.insert(Arc::clone(id), value).is_none() {
        order.push_back(Arc::clone(id));
    }
    while order.len() > DESCRIPTIONS_CAP {
        if let Some(old) = order.pop_front() {
            values.remove(&old);
        }
    }
}
