//! Who is shown, and under which labels: rendered once per roster, copied into every series afterwards.
//!
//! In: a [`Roster`] and the [`MachineFacts`]. Out: for every kind of [`Rows`] the subjects that it shows, each with its
//! row number and its label block (`id="/",device="/dev/sda"`, without braces). No two subjects of one kind of rows
//! have the same block, so no family can show a series twice. Next: [`encoder`](super::encoder).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::foreign::{kubelet_shows, push_cadvisor_identity, push_kubelet_identity};
use super::labels::{MAX_ID_BYTES, clip, push_container_labels, push_label, push_label_clipped};
use super::node_exporter;
use super::{Labels, Shape};
use crate::sample::catalogue::Table;
use crate::sample::{CgroupKind, MachineFacts, QosClass, Roster, Subject, SubjectId, Workload};

/// Which subjects a series is shown for, and with which labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rows {
    /// Every cgroup: its identity.
    Cgroups,
    /// Containers, sandboxes and pods: the long identity of the join family.
    Infos,
    /// Block devices of a cgroup: its identity and `device`.
    Devices,
    /// The same with `major` and `minor`.
    BlkioDevices,
    /// Huge page sizes of a cgroup: its identity and `pagesize`.
    Hugepages,
    /// Interfaces of the node, of pods and of containers: the owner's identity and `interface`.
    Interfaces,
    /// Mounted filesystems as the root cgroup's: `id="/"` and `device`.
    RootFilesystems,
    /// The node's disks as the root cgroup's: `id="/"` and `device`.
    RootDisks,
    /// Those of them for which the root cgroup itself has no counters.
    RootDisksWithoutCgroup,
    /// The node: no labels.
    Node,
    /// Its CPUs: `cpu`.
    NodeCpus,
    /// Those of its disks that node_exporter shows: `device`.
    NodeDisks,
    /// Its own interfaces: `device`.
    NodeInterfaces,
    /// Those of its mounts that node_exporter shows: `device`, `fstype`, `mountpoint`.
    NodeFilesystems,
    /// The machine: `machine_id`, `system_uuid`, `boot_id`. No table.
    Machine,
    /// The node's software: kernel, operating system, cgroup layout. No table.
    NodeInfo,
    /// (namespace, pod, container) of each tally. No table; the encoder renders them, for they are in no roster.
    Tallies,
    /// The agent: no labels. Over history only: on the page it is written otherwise.
    Agent,
    /// The versions, as cAdvisor names their labels. No table.
    CadvisorVersion,
    /// `namespace` of each sum. No table, as tallies.
    Namespaces,
    /// `namespace`, `owner_kind` and `owner_name` of each sum. No table, as tallies.
    Workloads,
}

const KINDS: usize = Rows::Workloads as usize + 1;

impl Rows {
    /// Every kind, at the place of its discriminant.
    pub const ALL: [Self; KINDS] = [
        Self::Cgroups,
        Self::Infos,
        Self::Devices,
        Self::BlkioDevices,
        Self::Hugepages,
        Self::Interfaces,
        Self::RootFilesystems,
        Self::RootDisks,
        Self::RootDisksWithoutCgroup,
        Self::Node,
        Self::NodeCpus,
        Self::NodeDisks,
        Self::NodeInterfaces,
        Self::NodeFilesystems,
        Self::Machine,
        Self::NodeInfo,
        Self::Tallies,
        Self::Agent,
        Self::CadvisorVersion,
        Self::Namespaces,
        Self::Workloads,
    ];
}

impl Rows {
    /// The table whose rows hold the values.
    #[must_use]
    pub const fn table(self) -> Option<Table> {
        match self {
            Self::Cgroups | Self::Infos => Some(Table::Cgroup),
            Self::Devices | Self::BlkioDevices => Some(Table::Device),
            Self::Hugepages => Some(Table::Hugetlb),
            Self::Interfaces | Self::NodeInterfaces => Some(Table::Interface),
            Self::RootFilesystems | Self::NodeFilesystems => Some(Table::Filesystem),
            Self::RootDisks | Self::RootDisksWithoutCgroup | Self::NodeDisks => Some(Table::Disk),
            Self::Node => Some(Table::Node),
            Self::NodeCpus => Some(Table::Cpu),
            Self::Agent => Some(Table::Agent),
            Self::Machine
            | Self::NodeInfo
            | Self::CadvisorVersion
            | Self::Tallies
            | Self::Namespaces
            | Self::Workloads => None,
        }
    }
}

/// Kinds of cgroups as bits, to limit a family to some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope(u8);

impl Scope {
    /// The root of the hierarchy, and everything that is not a cgroup's.
    pub const ROOT: Self = Self(1);
    /// Containers that are not a pod's sandbox.
    pub const CONTAINERS: Self = Self(2);
    /// Root, pods and containers: what people size and alert on.
    pub const WORKLOADS: Self = Self(1 | 2 | 4);
    /// Everything, systemd's slices and services too.
    pub const ALL: Self = Self(0xff);

    const fn of(kind: CgroupKind) -> Self {
        match kind {
            CgroupKind::Root => Self::ROOT,
            CgroupKind::Container => Self::CONTAINERS,
            CgroupKind::Pod => Self(4),
            CgroupKind::Sandbox => Self(8),
            _ => Self(16),
        }
    }

    /// Whether the two have a kind in common.
    #[must_use]
    #[inline]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One subject that is shown.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    start: usize,
    end: usize,
    /// Row number in the table.
    pub row: usize,
    /// What kind of cgroup it belongs to.
    pub scope: Scope,
}

/// Everything that can be said before the values are known.
#[derive(Debug)]
pub struct Layout {
    roster: Arc<Roster>,
    machine: Arc<MachineFacts>,
    shape: Shape,
    text: String,
    entries: [Vec<Entry>; KINDS],
    /// Row of the cgroup that holds all pods, where there is one: its weight tells the kubelet's formula.
    pub kubepods_row: Option<usize>,
}

impl Layout {
    /// Renders the label blocks of a roster.
    #[must_use]
    pub fn new(roster: Arc<Roster>, machine: Arc<MachineFacts>, shape: impl Into<Shape>) -> Self {
        let mut layout = Self::with_twins(roster, machine, shape);
        layout.drop_twins();
        layout
    }

    /// The same for a roster of all that history knows: there several subjects may have one block, such as the
    /// instances of a container that was restarted. Their order says whom [`Layout::new`] would show.
    #[must_use]
    pub fn with_twins(roster: Arc<Roster>, machine: Arc<MachineFacts>, shape: impl Into<Shape>) -> Self {
        let mut layout = Self {
            roster: Arc::clone(&roster),
            machine: Arc::clone(&machine),
            shape: shape.into(),
            text: String::new(),
            entries: Default::default(),
            kubepods_row: None,
        };
        let owners = layout.add_cgroups(&roster);
        layout.add_owned(&roster, &owners);
        layout.add_node(&roster);
        layout.add_machine(&machine);
        layout
    }

    /// Whether this layout is still the one of that roster and machine.
    #[must_use]
    pub fn fits(&self, roster: &Arc<Roster>, machine: &Arc<MachineFacts>, shape: &Shape) -> bool {
        Arc::ptr_eq(&self.roster, roster)
            && (Arc::ptr_eq(&self.machine, machine) || self.machine == *machine)
            && self.shape == *shape
    }

    /// The subjects that are shown, in row order.
    #[must_use]
    pub fn entries(&self, rows: Rows) -> &[Entry] {
        self.entries.get(rows as usize).map_or(&[], Vec::as_slice)
    }

    /// A subject's label block.
    #[must_use]
    #[inline]
    pub fn block(&self, entry: &Entry) -> &str {
        self.text.get(entry.start..entry.end).unwrap_or("")
    }

    /// The subject behind an entry of a table.
    #[must_use]
    #[inline]
    pub fn subject(&self, table: Table, entry: &Entry) -> Option<&Subject> {
        self.roster.subjects(table).get(entry.row).map(AsRef::as_ref)
    }

    fn add(&mut self, rows: Rows, row: usize, scope: Scope, render: impl FnOnce(&mut String, usize)) -> (usize, usize) {
        let start = self.text.len();
        render(&mut self.text, start);
        let end = self.text.len();
        if let Some(entries) = self.entries.get_mut(rows as usize) {
            entries.push(Entry { start, end, row, scope });
        }
        (start, end)
    }

    /// Adds an entry whose block begins with another one's text.
    fn add_below(
        &mut self,
        rows: Rows,
        row: usize,
        owner: &Owner,
        render: impl FnOnce(&mut String, usize),
    ) -> (usize, usize) {
        let prefix = self.text.get(owner.start..owner.end).unwrap_or("").to_owned();
        self.add(rows, row, owner.scope, |text, start| {
            text.push_str(&prefix);
            render(text, start);
        })
    }

    fn add_cgroups(&mut self, roster: &Roster) -> HashMap<SubjectId, Owner> {
        let mut owners = HashMap::new();
        let shape = self.shape.clone();
        let labels = shape.labels;
        for (row, subject) in roster.subjects(Table::Cgroup).iter().enumerate() {
            let kind = kind_of(subject);
            let scope = Scope::of(kind);
            if kind == CgroupKind::Qos && is_kubepods(&subject.name) {
                self.kubepods_row = Some(row);
            }
            if labels == Labels::Kubelet && !kubelet_shows(subject, kind) {
                continue;
            }
            let (start, end) = self.add(Rows::Cgroups, row, scope, |text, start| match labels {
                Labels::Full => push_identity(text, start, subject, kind, Depth::Full, &shape),
                Labels::Slim => push_identity(text, start, subject, kind, Depth::Slim, &shape),
                Labels::Kubelet => push_kubelet_identity(text, start, subject, kind),
                Labels::Cadvisor => push_cadvisor_identity(text, start, subject, kind, &shape),
            });
            owners.insert(subject.id, Owner { start, end, scope, kind });
            if matches!(kind, CgroupKind::Container | CgroupKind::Sandbox | CgroupKind::Pod) {
                self.add(Rows::Infos, row, scope, |text, start| {
                    push_identity(text, start, subject, kind, Depth::Info, &shape);
                });
            }
        }
        owners
    }

    fn root_owner(&mut self) -> Owner {
        let start = self.text.len();
        push_label(&mut self.text, start, "id", "/");
        Owner { start, end: self.text.len(), scope: Scope::ROOT, kind: CgroupKind::Root }
    }

    fn add_owned(&mut self, roster: &Roster, owners: &HashMap<SubjectId, Owner>) {
        let root = self.root_owner();
        let owner_of = |subject: &Subject| match subject.owner {
            Some(id) => owners.get(&id).copied(),
            None => Some(root),
        };
        for (row, subject) in roster.subjects(Table::Device).iter().enumerate() {
            let Some(owner) = owner_of(subject) else { continue };
            let device = device_path(&subject.name);
            self.add_below(Rows::Devices, row, &owner, |text, start| push_label(text, start, "device", &device));
            self.add_below(Rows::BlkioDevices, row, &owner, |text, start| {
                push_label(text, start, "device", &device);
                if let Some((major, minor)) = subject.device {
                    push_label(text, start, "major", itoa::Buffer::new().format(major));
                    push_label(text, start, "minor", itoa::Buffer::new().format(minor));
                }
            });
        }
        for (row, subject) in roster.subjects(Table::Hugetlb).iter().enumerate() {
            let Some(owner) = owner_of(subject) else { continue };
            self.add_below(Rows::Hugepages, row, &owner, |text, start| {
                push_label(text, start, "pagesize", &subject.name);
            });
        }
        for (row, subject) in roster.subjects(Table::Interface).iter().enumerate() {
            let Some(owner) = owner_of(subject) else { continue };
            let of_node = owner.kind == CgroupKind::Root;
            if of_node {
                self.add(Rows::NodeInterfaces, row, Scope::ROOT, |text, start| {
                    push_label(text, start, "device", &subject.name);
                });
            }
            if shows_interface(owner.kind, &subject.name) {
                self.add_below(Rows::Interfaces, row, &owner, |text, start| {
                    push_label(text, start, "interface", &subject.name);
                });
            }
        }
        self.add_disks(roster, owners, &root);
        for (row, subject) in roster.subjects(Table::Filesystem).iter().enumerate() {
            let device = filesystem_device(subject);
            self.add_below(Rows::RootFilesystems, row, &root, |text, start| {
                push_label(text, start, "device", &device);
            });
        }
    }

    fn add_disks(&mut self, roster: &Roster, owners: &HashMap<SubjectId, Owner>, root: &Owner) {
        let of_root = |subject: &&Arc<Subject>| {
            subject.owner.is_none_or(|id| owners.get(&id).is_some_and(|owner| owner.kind == CgroupKind::Root))
        };
        let counted: HashSet<String> =
            roster.subjects(Table::Device).iter().filter(of_root).map(|subject| device_path(&subject.name)).collect();
        for (row, subject) in roster.subjects(Table::Disk).iter().enumerate() {
            let device = device_path(&subject.name);
            self.add_below(Rows::RootDisks, row, root, |text, start| push_label(text, start, "device", &device));
            if !counted.contains(&device) {
                self.add_below(Rows::RootDisksWithoutCgroup, row, root, |text, start| {
                    push_label(text, start, "device", &device);
                });
            }
        }
    }

    fn add_node(&mut self, roster: &Roster) {
        for row in 0..roster.subjects(Table::Node).len() {
            self.add(Rows::Node, row, Scope::ROOT, |_, _| ());
        }
        for row in 0..roster.subjects(Table::Agent).len() {
            self.add(Rows::Agent, row, Scope::ROOT, |_, _| ());
        }
        for (row, subject) in roster.subjects(Table::Cpu).iter().enumerate() {
            let name = subject.name.strip_prefix("cpu").unwrap_or(&subject.name);
            self.add(Rows::NodeCpus, row, Scope::ROOT, |text, start| push_label(text, start, "cpu", name));
        }
        for (row, subject) in roster.subjects(Table::Disk).iter().enumerate() {
            if !node_exporter::shows_disk(&subject.name) {
                continue;
            }
            self.add(Rows::NodeDisks, row, Scope::ROOT, |text, start| push_label(text, start, "device", &subject.name));
        }
        for (row, subject) in roster.subjects(Table::Filesystem).iter().enumerate() {
            if !node_exporter::shows_mount(&subject.name) {
                continue;
            }
            self.add(Rows::NodeFilesystems, row, Scope::ROOT, |text, start| {
                if let Some((device, kind)) = &subject.filesystem {
                    push_label(text, start, "device", device);
                    push_label(text, start, "fstype", kind);
                }
                push_label(text, start, "mountpoint", &subject.name);
            });
        }
    }

    fn add_machine(&mut self, machine: &MachineFacts) {
        self.add(Rows::Machine, 0, Scope::ROOT, |text, start| {
            push_label(text, start, "machine_id", &machine.machine_id);
            push_label(text, start, "system_uuid", &machine.system_uuid);
            push_label(text, start, "boot_id", &machine.boot_id);
        });
        self.add(Rows::NodeInfo, 0, Scope::ROOT, |text, start| {
            push_label(text, start, "node", &machine.node_name);
            push_label(text, start, "kernel_version", &machine.kernel_version);
            push_label(text, start, "os_version", &machine.os_version);
            push_label(text, start, "cgroup_layout", &machine.cgroup_layout);
        });
        self.add(Rows::CadvisorVersion, 0, Scope::ROOT, |text, start| {
            push_label(text, start, "kernelVersion", &machine.kernel_version);
            push_label(text, start, "osVersion", &machine.os_version);
            push_label(text, start, "cadvisorVersion", concat!("ringside-", env!("CARGO_PKG_VERSION")));
        });
    }

    /// Of subjects with the same block (a reused name while its predecessor is still listed, a device mounted twice)
    /// one is shown: for cgroups the newest, for the rest the first.
    fn drop_twins(&mut self) {
        let text = &self.text;
        for (kind, entries) in self.entries.iter_mut().enumerate() {
            let mut seen: HashSet<&str> = HashSet::with_capacity(entries.len());
            let mut first = |entry: &Entry| seen.insert(text.get(entry.start..entry.end).unwrap_or(""));
            if kind == Rows::RootFilesystems as usize {
                entries.retain(|entry| first(entry));
            } else {
                entries.reverse();
                entries.retain(|entry| first(entry));
                entries.reverse();
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    start: usize,
    end: usize,
    scope: Scope,
    kind: CgroupKind,
}

/// How much of an identity a block tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Slim,
    Full,
    Info,
}

fn kind_of(subject: &Subject) -> CgroupKind {
    if &*subject.name == "/" {
        return CgroupKind::Root;
    }
    subject.workload.as_ref().map_or(CgroupKind::Other, |workload| workload.kind())
}

/// A pod's cgroup has its sandbox's metadata: of that only what is the pod's own is shown, because its `name` and
/// `image` would make every pod count twice in a sum over `image!=""`.
fn push_identity(text: &mut String, start: usize, subject: &Subject, kind: CgroupKind, depth: Depth, shape: &Shape) {
    push_id(text, start, subject);
    let Some(workload) = &subject.workload else { return };
    let metadata = workload.metadata.as_deref();
    let own = metadata.filter(|_| kind != CgroupKind::Pod);
    if let Some(own) = own {
        push_label(text, start, "name", &own.name);
        if depth != Depth::Slim {
            push_label(text, start, "image", &own.image);
        }
    }
    if let Some(metadata) = metadata {
        push_label(text, start, "namespace", metadata.namespace.as_deref().unwrap_or(""));
        push_label(text, start, "pod", metadata.pod.as_deref().unwrap_or(""));
    }
    if let Some(own) = own {
        push_label(text, start, "container", own.container.as_deref().unwrap_or(""));
    }
    if depth == Depth::Info {
        push_long_identity(text, start, workload, kind);
    }
    if let Some(own) = own.filter(|_| depth != Depth::Slim) {
        push_container_labels(text, start, own, shape);
    }
}

fn push_long_identity(text: &mut String, start: usize, workload: &Workload, kind: CgroupKind) {
    let identity = &workload.identity;
    let metadata = workload.metadata.as_deref();
    let kind = match kind {
        CgroupKind::Pod => "pod",
        CgroupKind::Sandbox => "sandbox",
        _ => "container",
    };
    push_label(text, start, "kind", kind);
    let runtime = metadata.and_then(|metadata| metadata.runtime).or(identity.runtime);
    push_label(text, start, "runtime", runtime.map_or("", |runtime| runtime.as_str()));
    push_label(text, start, "container_id", identity.container_id.as_deref().unwrap_or(""));
    let told = metadata.and_then(|metadata| metadata.pod_uid.as_deref());
    push_label(text, start, "pod_uid", identity.pod_uid.as_deref().or(told).unwrap_or(""));
    let qos = match identity.qos {
        Some(QosClass::Guaranteed) => "guaranteed",
        Some(QosClass::Burstable) => "burstable",
        Some(QosClass::BestEffort) => "besteffort",
        None => "",
    };
    push_label(text, start, "qos", qos);
    if metadata.is_some_and(|metadata| metadata.host_network) {
        push_label(text, start, "host_network", "true");
    }
}

/// An `id` that had to be cut ends in `~` and the directory's inode, so that it stays the only one.
pub(super) fn push_id(text: &mut String, start: usize, subject: &Subject) {
    if subject.name.len() <= MAX_ID_BYTES {
        push_label_clipped(text, start, "id", &subject.name, MAX_ID_BYTES);
        return;
    }
    let inode = subject.workload.as_ref().map_or(subject.id.0, |workload| workload.inode);
    let cut = format!("{}~{inode}", clip(&subject.name, MAX_ID_BYTES - 24));
    push_label_clipped(text, start, "id", &cut, MAX_ID_BYTES);
}

fn is_kubepods(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or("");
    matches!(name, "kubepods" | "kubepods.slice") || name.ends_with("-kubepods.slice")
}

/// `sda` is `/dev/sda`; a number that no name was found for (`254:3`) and a path stay as they are.
fn device_path(name: &str) -> String {
    if name.is_empty() || name.starts_with('/') || name.contains(':') {
        name.to_owned()
    } else {
        // The kernel writes `!` for the `/` in a device's name (`cciss!c0d0`).
        format!("/dev/{}", name.replace('!', "/"))
    }
}

/// cAdvisor's names: a tmpfs is named by where it is mounted, an overlay by its device number, the rest by the source.
fn filesystem_device(subject: &Subject) -> String {
    match &subject.filesystem {
        Some((_, kind)) if &**kind == "tmpfs" => subject.name.to_string(),
        Some((device, kind)) if &**kind == "overlay" => match subject.device {
            Some((major, minor)) => format!("{device}_{major}-{minor}"),
            None => device.to_string(),
        },
        Some((device, _)) => device.to_string(),
        None => subject.name.to_string(),
    }
}

/// cAdvisor ignores `lo veth docker nerdctl` everywhere. On the node the host's ends of pod networks go as well:
/// they are the pods' own traffic a second time, under names that come and go with every pod.
pub(super) fn shows_interface(owner: CgroupKind, name: &str) -> bool {
    const EVERYWHERE: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];
    const ON_THE_NODE: [&str; 4] = ["cali", "cni", "lxc", "flannel"];
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match owner {
        CgroupKind::Root => !begins(&EVERYWHERE) && !begins(&ON_THE_NODE),
        CgroupKind::Pod | CgroupKind::Sandbox | CgroupKind::Container => !begins(&EVERYWHERE),
        _ => false,
    }
}
