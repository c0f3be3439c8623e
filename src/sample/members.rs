//! Who is read: the living cgroups with their open files, their parts, their network namespaces, and the roster.
//!
//! In: discovery's events, one at a time, from the sampler. Out: rows and subjects, filled into a sample. A cgroup that
//! has ended is in one more sample, with its last row, and then leaves the roster. Next: `sampler.rs` drives it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::catalogue::{CgroupColumn, Table};
use super::cgroup::{CgroupReader, CgroupRows, Part, ReadContext, SourceTable};
use super::filesystem::{Filesystems, Mounted};
use super::network::{Namespace, NamespaceId, NetContext, Read, namespace_of};
use super::node::NodeRows;
use super::row::Row;
use super::tally::{Instance, TallyKeeper, TallyKey};
use super::{NodeSample, Roster, Subject, SubjectId};
use crate::discover::{CgroupKind, ExitRecord, Metadata, Workload};
use crate::kernel::file::CgroupDir;
use crate::kernel::sys_dev_block::{DeviceNumber, read_device_name};
use crate::units::MonotonicNanos;

/// Most descriptions that are kept for containers whose cgroup has not been seen (yet, or any more).
const DESCRIPTIONS_CAP: usize = 8192;

/// A namespace none of whose cgroups moved is read after this many ticks all the same.
const NETWORK_EVERY_TICKS: u64 = 5;

/// A container without a known namespace is asked for one this often.
const NAMESPACE_EVERY_TICKS: u64 = 10;

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
    device_links: Option<CgroupDir>,
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
    roster: Arc<Roster>,
    changed: bool,
    next_id: u64,
    living: usize,
}

impl Members {
    pub fn new(sysfs: &Path, page_sizes: Vec<Box<str>>) -> Self {
        let mut ids = 0;
        let node_subject = subject(&mut ids, Table::Node, "node".into());
        Self {
            device_links: CgroupDir::open_root(&sysfs.join("dev/block")).ok(),
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
            roster: Arc::default(),
            changed: true,
            next_id: ids,
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
        let cgroup = subject(&mut self.next_id, Table::Cgroup, name);
        let member = Member {
            subject: Arc::new(Subject { workload: Some(Arc::clone(&workload)), ..cgroup }),
            reader,
            ended: false,
            inode: workload.inode,
            born_tick: context.tick,
            tally: None,
            logged_oom_kills: 0,
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
            self.by_container.entry(id).or_default().push(slot);
        }
        if let (CgroupKind::Pod, Some(uid)) = (workload.identity.kind, &workload.identity.pod_uid) {
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
        (workload.identity.kind == CgroupKind::Pod).then(|| self.descriptions.values().find(is_sandbox)).flatten()
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
    }

    /// A runtime has reported an end.
    pub fn exited(&mut self, container_id: &Arc<str>, exit: &ExitRecord) {
        self.tallies.exited(container_id, exit);
    }

    /// The kernel log has named a victim in this cgroup.
    pub fn oom_killed(&mut self, task_memcg: &str) {
        let path = task_memcg.trim_start_matches('/').as_bytes();
        if let Some(Some(member)) = self.by_path.get(path).and_then(|slot| self.slots.get_mut(*slot)) {
            member.logged_oom_kills += 1;
        }
    }

    /// Reads the networks whose cgroups moved, and the node's.
    pub fn read_networks(&mut self, tick: u64, context: &mut NetContext<'_>) {
        let mut lost = None;
        for (index, namespace) in self.namespaces.iter_mut().enumerate() {
            let due = (tick + index as u64).is_multiple_of(NETWORK_EVERY_TICKS) || namespace.owner.is_none();
            let moved = |member: &Member| member.namespace == Some(namespace.id) && member.reader.moving();
            if !due && !self.slots.iter().flatten().any(moved) {
                continue;
            }
            match namespace.read(super::clock::monotonic(), context) {
                Read::Done { changed } => self.changed |= changed,
                Read::Failed => {}
                Read::Lost => lost = Some(namespace.id),
            }
        }
        if let Some(id) = lost {
            self.namespaces.retain(|namespace| namespace.id != id);
            for member in self.slots.iter_mut().flatten().filter(|member| member.namespace == Some(id)) {
                // Another process of the same namespace is looked for at this tick.
                member.namespace = None;
                member.born_tick = tick;
            }
            self.changed = true;
        }
    }

    /// Finds the namespace of containers that have none yet, and of the node.
    pub fn find_namespaces(&mut self, tick: u64, table: &SourceTable, context: &mut NetContext<'_>) {
        if self.host_namespace.is_none() && (tick == 1 || tick.is_multiple_of(NAMESPACE_EVERY_TICKS)) {
            // Process 1 of the host's /proc; where it hides others, the agent itself.
            let found = [1, std::process::id()].into_iter().find_map(|pid| Some((pid, namespace_of(pid, context)?)));
            if let Some((pid, id)) = found {
                self.host_namespace = Some(id);
                self.add_namespace(id, None, pid, context);
            }
        }
        for slot in 0..self.slots.len() {
            let Some(Some(member)) = self.slots.get(slot) else { continue };
            let kind = member.workload().map(|workload| workload.identity.kind);
            let age = tick.saturating_sub(member.born_tick);
            // A new container has no process for a moment; an old one may get another namespace's first process.
            let due = age < 3 || (tick + slot as u64).is_multiple_of(NAMESPACE_EVERY_TICKS);
            if member.namespace.is_some() || member.ended || kind != Some(CgroupKind::Container) || !due {
                continue;
            }
            let Some(pid) = first_pid(member, table, context) else { continue };
            let Some(id) = namespace_of(pid, context) else { continue };
            let owner = self.owner_of_network(slot);
            if let Some(Some(member)) = self.slots.get_mut(slot) {
                member.namespace = Some(id);
            }
            if !self.namespaces.iter().any(|namespace| namespace.id == id) {
                self.add_namespace(id, owner, pid, context);
            }
        }
        if tick.is_multiple_of(NAMESPACE_EVERY_TICKS) {
            let slots = &self.slots;
            let used = |namespace: &Namespace| {
                namespace.owner.is_none()
                    || slots.iter().flatten().any(|member| member.namespace == Some(namespace.id) && !member.ended)
            };
            let before = self.namespaces.len();
            self.namespaces.retain(used);
            self.changed |= self.namespaces.len() != before;
        }
    }

    fn add_namespace(&mut self, id: NamespaceId, owner: Option<SubjectId>, pid: u32, context: &mut NetContext<'_>) {
        let mut namespace = Namespace::new(id, owner, pid);
        namespace.read(super::clock::monotonic(), context);
        self.namespaces.push(namespace);
        self.changed = true;
    }

    /// A pod's network is shown under the pod's cgroup, a plain container's under its own.
    fn owner_of_network(&self, slot: usize) -> Option<SubjectId> {
        let member = self.slots.get(slot)?.as_ref()?;
        let uid = member.workload().and_then(|workload| workload.identity.pod_uid.as_ref());
        let pod = uid.and_then(|uid| self.slots.get(*self.by_pod.get(uid)?)?.as_ref());
        Some(pod.unwrap_or(member).subject.id)
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
                    let plain = subject(&mut self.next_id, Table::Filesystem, Arc::clone(&mounted.mount_point));
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

    /// Carries OOM kills into the tallies, names new parts and, if somebody came or went, makes a new roster.
    pub fn settle(&mut self, node: &mut NodeRows, tick: u64) {
        for member in self.slots.iter_mut().flatten() {
            let rows = &member.reader.rows;
            self.changed |= rows.devices.iter().chain(&rows.hugetlb).any(|part| part.subject.is_none());
            if let (Some(key), Some(id)) = (&member.tally, member.container_id()) {
                self.tallies.oom_kills(key, id, member.instance().oom_kills);
            }
        }
        self.changed |= node.changed || tick == 1;
        if std::mem::take(&mut self.changed) {
            self.make_roster(node);
        }
    }

    fn make_roster(&mut self, node: &mut NodeRows) {
        let mut roster = Roster::default();
        roster.generation = self.roster.generation + 1;
        let mut add = |table, subject: &Arc<Subject>| {
            if let Some(subjects) = roster.subjects_mut(table) {
                subjects.push(Arc::clone(subject));
            }
        };
        add(Table::Node, &self.node_subject);
        for member in self.slots.iter_mut().flatten() {
            add(Table::Cgroup, &member.subject);
            let (owner, rows) = (&member.subject, &mut member.reader.rows);
            for part in &mut rows.devices {
                let key = part.key;
                let name = || device_name(key, self.device_links.as_ref(), &mut self.device_names);
                add(Table::Device, name_part(part, Table::Device, owner, name, &mut self.next_id));
            }
            for part in &mut rows.hugetlb {
                let size = usize::try_from(part.key.0).ok().and_then(|index| self.page_sizes.get(index));
                let name = || size.map_or_else(|| Arc::from(""), |size| Arc::from(size.as_ref()));
                add(Table::Hugetlb, name_part(part, Table::Hugetlb, owner, name, &mut self.next_id));
            }
        }
        for namespace in &mut self.namespaces {
            let owner = namespace.owner.and_then(|id| self.slots.iter().flatten().find(|m| m.subject.id == id));
            let workload = owner.and_then(|owner| owner.subject.workload.as_ref());
            for interface in &mut namespace.interfaces {
                let described_as = |known: &Arc<Subject>| match (&known.workload, workload) {
                    (Some(then), Some(now)) => Arc::ptr_eq(then, now),
                    (then, now) => then.is_none() && now.is_none(),
                };
                if !interface.subject.as_ref().is_some_and(described_as) {
                    let id = interface.subject.as_ref().map_or_else(|| next_id(&mut self.next_id), |known| known.id);
                    let (table, owner, workload) = (Table::Interface, namespace.owner, workload.cloned());
                    let name = interface.name();
                    let made = Subject { id, table, owner, name, workload, device: None, filesystem: None };
                    interface.subject = Some(Arc::new(made));
                }
                interface.subject.iter().for_each(|subject| add(Table::Interface, subject));
            }
        }
        for (table, parts) in [(Table::Cpu, &mut node.cpus), (Table::Disk, &mut node.disks)] {
            for part in parts {
                let made = part.subject.take().unwrap_or_else(|| {
                    let name = crate::units::printable(&part.name);
                    let device = (table == Table::Disk).then_some(part.key);
                    Arc::new(Subject { device, ..subject(&mut self.next_id, table, name.into()) })
                });
                add(table, part.subject.insert(made));
            }
        }
        for filesystem in &self.filesystem_subjects {
            add(Table::Filesystem, filesystem);
        }
        self.roster = Arc::new(roster);
    }

    /// Writes all rows into the sample, in the roster's order, and lets go of those that have ended.
    pub fn fill(&mut self, sample: &mut NodeSample, node: &NodeRows) {
        sample.roster = Arc::clone(&self.roster);
        sample.tallies = Arc::clone(self.tallies.publish());
        sample.final_rows.clear();
        for table in Table::ALL {
            if let Some(rows) = sample.rows_mut(table) {
                rows.clear();
            }
        }
        let mut push = |table, row: &Row| {
            if let Some(rows) = sample.rows_mut(table) {
                rows.push(row.as_ref());
            }
        };
        push(Table::Node, &node.row);
        let mut ended = 0;
        for member in self.slots.iter().flatten() {
            let CgroupRows { row, devices, hugetlb, .. } = &member.reader.rows;
            push(Table::Cgroup, row);
            devices.iter().for_each(|part| push(Table::Device, &part.row));
            hugetlb.iter().for_each(|part| push(Table::Hugetlb, &part.row));
            ended += usize::from(member.ended);
        }
        for interface in self.namespaces.iter().flat_map(|namespace| &namespace.interfaces) {
            push(Table::Interface, &interface.row);
        }
        node.cpus.iter().for_each(|part| push(Table::Cpu, &part.row));
        node.disks.iter().for_each(|part| push(Table::Disk, &part.row));
        self.filesystems.iter().for_each(|mounted| push(Table::Filesystem, &mounted.row));
        if ended > 0 {
            let positions = self.slots.iter().flatten().enumerate().filter(|(_, member)| member.ended);
            sample.final_rows.extend(positions.map(|(position, _)| position));
            self.let_go();
        }
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

/// A process of the member's cgroup: the runtime's word, else the first that the cgroup lists.
fn first_pid(member: &Member, table: &SourceTable, context: &mut NetContext<'_>) -> Option<u32> {
    let told = member.workload().and_then(|workload| workload.metadata.as_ref()?.pid);
    // The runtime's process ID may be of another PID namespace or used again: the cgroup's own list is asked first.
    table.first_pid(&member.path, context.path, context.buffer).or(told)
}

fn next_id(ids: &mut u64) -> SubjectId {
    *ids += 1;
    SubjectId(*ids)
}

fn subject(ids: &mut u64, table: Table, name: Arc<str>) -> Subject {
    Subject { id: next_id(ids), table, owner: None, name, workload: None, device: None, filesystem: None }
}

/// Gives a part its subject; it keeps its id when only its owner's description changed.
fn name_part<'a>(
    part: &'a mut Part,
    table: Table,
    owner: &Arc<Subject>,
    name: impl FnOnce() -> Arc<str>,
    ids: &mut u64,
) -> &'a Arc<Subject> {
    let Part { key, id, subject, .. } = part;
    subject.get_or_insert_with(|| {
        let id = *id.get_or_insert_with(|| next_id(ids));
        Arc::new(Subject {
            id,
            table,
            owner: Some(owner.id),
            name: name(),
            workload: owner.workload.clone(),
            device: (table == Table::Device).then_some(*key),
            filesystem: None,
        })
    })
}

fn device_name(key: (u32, u32), links: Option<&CgroupDir>, names: &mut BTreeMap<(u32, u32), Arc<str>>) -> Arc<str> {
    let name = names.entry(key).or_insert_with(|| {
        let device = DeviceNumber { major: key.0, minor: key.1 };
        let name = links.and_then(|links| read_device_name(links, device).ok());
        name.unwrap_or_else(|| device.to_string()).into()
    });
    Arc::clone(name)
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
