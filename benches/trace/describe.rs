//! Who is in a trace: machine, workloads, subjects and rosters as JSON.
//!
//! In: rosters. Out: a [`Header`] to serialize, and rosters again. Descriptions are shared: subjects name their workload
//! by position, rosters their subjects. A word that this version does not know makes the whole header damaged.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use ringside::discover::{CgroupIdentity, CgroupKind, Metadata, QosClass, Runtime, Workload};
use ringside::sample::catalogue::Table;
use ringside::sample::{MachineFacts, Roster, Subject, SubjectId};
use ringside::units::UnixNanos;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct Header {
    pub ticks: usize,
    kernel_version: String,
    cgroup_layout: String,
    cpu_cores: u64,
    memory_bytes: u64,
    swap_bytes: u64,
    ticks_per_second: u64,
    page_bytes: u64,
    tables: Vec<TableRecord>,
    workloads: Vec<WorkloadRecord>,
    subjects: Vec<SubjectRecord>,
    rosters: Vec<RosterRecord>,
}

#[derive(Serialize, Deserialize)]
struct TableRecord {
    table: String,
    columns: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct RosterRecord {
    generation: u64,
    subjects: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
struct SubjectRecord {
    id: u64,
    table: String,
    owner: Option<u64>,
    name: String,
    workload: Option<usize>,
    device: Option<(u32, u32)>,
    filesystem: Option<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct WorkloadRecord {
    path: String,
    kind: String,
    runtime: Option<String>,
    container_id: Option<String>,
    pod_uid: Option<String>,
    qos: Option<String>,
    outer_container: Option<String>,
    inode: u64,
    created_at: u64,
    metadata: Option<MetadataRecord>,
}

#[derive(Serialize, Deserialize)]
struct MetadataRecord {
    name: String,
    image: String,
    namespace: Option<String>,
    pod: Option<String>,
    pod_uid: Option<String>,
    container: Option<String>,
    sandbox: bool,
    labels: BTreeMap<String, String>,
    runtime: Option<String>,
    created_at: Option<u64>,
    started_at: Option<u64>,
    restart_count: Option<u32>,
    pid: Option<u32>,
    host_network: bool,
    healthy: Option<bool>,
}

const KINDS: [CgroupKind; 9] = [
    CgroupKind::Root,
    CgroupKind::Container,
    CgroupKind::Sandbox,
    CgroupKind::Pod,
    CgroupKind::Qos,
    CgroupKind::Service,
    CgroupKind::Slice,
    CgroupKind::Scope,
    CgroupKind::Other,
];
const RUNTIMES: [Runtime; 4] = [Runtime::Docker, Runtime::Containerd, Runtime::CriO, Runtime::Podman];
const QOS_CLASSES: [QosClass; 3] = [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort];

/// The word for a value: its name in the code.
fn word(value: impl Debug) -> String {
    format!("{value:?}")
}

/// The value whose word it is.
pub fn from_word<T: Debug + Copy>(all: &[T], given: &str) -> Option<T> {
    all.iter().find(|value| word(value) == given).copied()
}

/// `None` stays none, a word that is not known makes the whole thing `None`.
fn optional<T: Debug + Copy>(all: &[T], given: Option<&String>) -> Option<Option<T>> {
    given.map_or(Some(None), |given| from_word(all, given).map(Some))
}

fn text(value: Option<&Arc<str>>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn shared(value: Option<&String>) -> Option<Arc<str>> {
    value.map(|value| value.as_str().into())
}

impl Header {
    pub fn of(machine: &MachineFacts, rosters: &[Arc<Roster>], ticks: usize) -> Self {
        let tables = Table::ALL.map(|table| TableRecord {
            table: word(table),
            columns: table.metrics().iter().map(|metric| metric.name.to_owned()).collect(),
        });
        let mut header = Self {
            ticks,
            kernel_version: machine.kernel_version.clone(),
            cgroup_layout: machine.cgroup_layout.clone(),
            cpu_cores: machine.cpu_cores,
            memory_bytes: machine.memory_bytes,
            swap_bytes: machine.swap_bytes,
            ticks_per_second: machine.ticks_per_second,
            page_bytes: machine.page_bytes,
            tables: tables.into(),
            workloads: Vec::new(),
            subjects: Vec::new(),
            rosters: Vec::new(),
        };
        // What is the same object in memory is one description; the same description twice does no harm.
        let mut workloads: HashMap<*const Workload, usize> = HashMap::new();
        let mut subjects: HashMap<*const Subject, usize> = HashMap::new();
        for roster in rosters {
            let mut positions = Vec::new();
            for subject in super::subjects(roster) {
                let workload = subject.workload.as_ref().map(|workload| {
                    *workloads.entry(Arc::as_ptr(workload)).or_insert_with(|| {
                        header.workloads.push(WorkloadRecord::of(workload));
                        header.workloads.len() - 1
                    })
                });
                let position = subjects.entry(Arc::as_ptr(subject)).or_insert_with(|| {
                    header.subjects.push(SubjectRecord::of(subject, workload));
                    header.subjects.len() - 1
                });
                positions.push(*position);
            }
            header.rosters.push(RosterRecord { generation: roster.generation, subjects: positions });
        }
        header
    }

    pub fn machine(&self) -> MachineFacts {
        MachineFacts {
            node_name: "node".into(),
            kernel_version: self.kernel_version.clone(),
            cgroup_layout: self.cgroup_layout.clone(),
            cpu_cores: self.cpu_cores,
            memory_bytes: self.memory_bytes,
            swap_bytes: self.swap_bytes,
            ticks_per_second: self.ticks_per_second,
            page_bytes: self.page_bytes,
            ..MachineFacts::default()
        }
    }

    /// The names of a table's columns when the trace was written.
    pub fn columns(&self, table: Table) -> &[String] {
        let record = self.tables.iter().find(|record| record.table == word(table));
        record.map_or(&[], |record| record.columns.as_slice())
    }

    pub fn rosters(&self) -> Option<Vec<Arc<Roster>>> {
        let workloads: Option<Vec<Arc<Workload>>> =
            self.workloads.iter().map(|record| record.workload().map(Arc::new)).collect();
        let workloads = workloads?;
        let subjects: Option<Vec<Arc<Subject>>> =
            self.subjects.iter().map(|record| record.subject(&workloads).map(Arc::new)).collect();
        let subjects = subjects?;
        let mut rosters = Vec::new();
        for record in &self.rosters {
            let mut roster = Roster::default();
            roster.generation = record.generation;
            for position in &record.subjects {
                let subject = subjects.get(*position)?;
                roster.subjects_mut(subject.table)?.push(Arc::clone(subject));
            }
            rosters.push(Arc::new(roster));
        }
        Some(rosters)
    }
}

impl SubjectRecord {
    fn of(subject: &Subject, workload: Option<usize>) -> Self {
        Self {
            id: subject.id.0,
            table: word(subject.table),
            owner: subject.owner.map(|owner| owner.0),
            name: subject.name.to_string(),
            workload,
            device: subject.device,
            filesystem: subject.filesystem.as_ref().map(|(device, kind)| (device.to_string(), kind.to_string())),
        }
    }

    fn subject(&self, workloads: &[Arc<Workload>]) -> Option<Subject> {
        let workload = match self.workload {
            Some(position) => Some(Arc::clone(workloads.get(position)?)),
            None => None,
        };
        Some(Subject {
            id: SubjectId(self.id),
            table: from_word(&Table::ALL, &self.table)?,
            owner: self.owner.map(SubjectId),
            name: self.name.as_str().into(),
            workload,
            device: self.device,
            filesystem: self.filesystem.as_ref().map(|(device, kind)| (device.as_str().into(), kind.as_str().into())),
        })
    }
}

impl WorkloadRecord {
    fn of(workload: &Workload) -> Self {
        let identity = &workload.identity;
        Self {
            path: identity.path.to_string(),
            kind: word(identity.kind),
            runtime: identity.runtime.map(word),
            container_id: text(identity.container_id.as_ref()),
            pod_uid: text(identity.pod_uid.as_ref()),
            qos: identity.qos.map(word),
            outer_container: text(identity.outer_container.as_ref()),
            inode: workload.inode,
            created_at: workload.created_at.0,
            metadata: workload.metadata.as_deref().map(MetadataRecord::of),
        }
    }

    fn workload(&self) -> Option<Workload> {
        let metadata = match &self.metadata {
            Some(record) => Some(Arc::new(record.metadata()?)),
            None => None,
        };
        Some(Workload {
            identity: CgroupIdentity {
                path: self.path.as_str().into(),
                kind: from_word(&KINDS, &self.kind)?,
                runtime: optional(&RUNTIMES, self.runtime.as_ref())?,
                container_id: shared(self.container_id.as_ref()),
                pod_uid: shared(self.pod_uid.as_ref()),
                qos: optional(&QOS_CLASSES, self.qos.as_ref())?,
                outer_container: shared(self.outer_container.as_ref()),
            },
            inode: self.inode,
            metadata,
            created_at: UnixNanos(self.created_at),
        })
    }
}

impl MetadataRecord {
    fn of(metadata: &Metadata) -> Self {
        Self {
            name: metadata.name.clone(),
            image: metadata.image.clone(),
            namespace: metadata.namespace.clone(),
            pod: metadata.pod.clone(),
            pod_uid: metadata.pod_uid.clone(),
            container: metadata.container.clone(),
            sandbox: metadata.sandbox,
            labels: metadata.labels.clone(),
            runtime: metadata.runtime.map(word),
            created_at: metadata.created_at.map(|at| at.0),
            started_at: metadata.started_at.map(|at| at.0),
            restart_count: metadata.restart_count,
            pid: metadata.pid,
            host_network: metadata.host_network,
            healthy: metadata.healthy,
        }
    }

    fn metadata(&self) -> Option<Metadata> {
        Some(Metadata {
            name: self.name.clone(),
            image: self.image.clone(),
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            pod_uid: self.pod_uid.clone(),
            container: self.container.clone(),
            sandbox: self.sandbox,
            labels: self.labels.clone(),
            // What a trace holds was recorded without any.
            environment: BTreeMap::new(),
            runtime: optional(&RUNTIMES, self.runtime.as_ref())?,
            created_at: self.created_at.map(UnixNanos),
            started_at: self.started_at.map(UnixNanos),
            restart_count: self.restart_count,
            pid: self.pid,
            host_network: self.host_network,
            healthy: self.healthy,
            owner: None,
        })
    }
}
