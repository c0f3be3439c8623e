//! The directory: who the numbers in the ring belong to, as bytes for the ring file.
//!
//! In: the ledger. Out: a protobuf message, compressed with zstd, and back. The same message, with the subjects in row
//! order, stands in the log wherever the roster changes. Unknown fields are skipped, so that a field may be added.
//! `docs/ring-format.md` has the message's definition. Next: [`keeper`](super::keeper).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use prost::Message;

use super::ledger::Remembered;
use crate::sample::catalogue::Table;
use crate::sample::{CgroupIdentity, CgroupKind, Metadata, QosClass, Roster, Runtime, Subject, SubjectId, Workload};
use crate::units::UnixNanos;

/// A fast level: names compress well at any.
const ZSTD_LEVEL: i32 = 1;

/// What is unpacked at most. A directory slot is a few MiB, and names repeat themselves.
const MOST_BYTES: usize = 256 << 20;

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
const QOS: [QosClass; 3] = [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort];

/// Everything that is known about the subjects of the ring.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DirectoryMessage {
    #[prost(message, repeated, tag = "1")]
    pub subjects: Vec<SubjectMessage>,
    #[prost(message, repeated, tag = "2")]
    pub workloads: Vec<WorkloadMessage>,
    /// The greatest subject id that was ever given.
    #[prost(uint64, tag = "3")]
    pub greatest_id: u64,
    /// Boot of the machine at which this was written.
    #[prost(bytes = "vec", tag = "4")]
    pub boot: Vec<u8>,
    /// In a log: the ids of all rows in their order, by table.
    #[prost(message, repeated, tag = "5")]
    pub rows: Vec<RowsMessage>,
}

/// The ids of one table's rows.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RowsMessage {
    #[prost(uint64, repeated, tag = "1")]
    pub ids: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SubjectMessage {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint32, tag = "2")]
    pub table: u32,
    #[prost(uint64, optional, tag = "3")]
    pub owner: Option<u64>,
    #[prost(string, tag = "4")]
    pub name: String,
    /// Place in the list of workloads, from 1.
    #[prost(uint32, tag = "5")]
    pub workload: u32,
    #[prost(uint32, optional, tag = "6")]
    pub major: Option<u32>,
    #[prost(uint32, tag = "7")]
    pub minor: u32,
    #[prost(string, optional, tag = "8")]
    pub filesystem_device: Option<String>,
    #[prost(string, tag = "9")]
    pub filesystem_type: String,
    #[prost(bool, tag = "10")]
    pub alive: bool,
    #[prost(uint64, tag = "11")]
    pub last_tick: u64,
    #[prost(fixed64, tag = "12")]
    pub last_wall: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WorkloadMessage {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// Place in the list of runtimes, from 1; as all enumerations here.
    #[prost(uint32, tag = "3")]
    pub runtime: u32,
    #[prost(string, optional, tag = "4")]
    pub container_id: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub pod_uid: Option<String>,
    #[prost(uint32, tag = "6")]
    pub qos: u32,
    #[prost(string, optional, tag = "7")]
    pub outer_container: Option<String>,
    #[prost(uint64, tag = "8")]
    pub inode: u64,
    #[prost(fixed64, tag = "9")]
    pub created_at: u64,
    #[prost(message, optional, tag = "10")]
    pub metadata: Option<MetadataMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetadataMessage {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub image: String,
    #[prost(string, optional, tag = "3")]
    pub namespace: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub pod: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub pod_uid: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub container: Option<String>,
    #[prost(bool, tag = "7")]
    pub sandbox: bool,
    #[prost(btree_map = "string, string", tag = "8")]
    pub labels: BTreeMap<String, String>,
    #[prost(uint32, tag = "9")]
    pub runtime: u32,
    #[prost(fixed64, optional, tag = "10")]
    pub created_at: Option<u64>,
    #[prost(fixed64, optional, tag = "11")]
    pub started_at: Option<u64>,
    #[prost(uint32, optional, tag = "12")]
    pub restart_count: Option<u32>,
    #[prost(uint32, optional, tag = "13")]
    pub pid: Option<u32>,
    #[prost(bool, tag = "14")]
    pub host_network: bool,
    #[prost(bool, optional, tag = "15")]
    pub healthy: Option<bool>,
}

fn place_of<T: PartialEq>(list: &[T], value: Option<&T>) -> u32 {
    let place = value.and_then(|value| list.iter().position(|one| one == value));
    place.and_then(|place| u32::try_from(place + 1).ok()).unwrap_or(0)
}

fn at_place<T: Copy>(list: &[T], place: u32) -> Option<T> {
    list.get(usize::try_from(place).ok()?.checked_sub(1)?).copied()
}

fn text(shared: Option<&Arc<str>>) -> Option<String> {
    shared.map(|text| text.to_string())
}

fn shared(text: Option<String>) -> Option<Arc<str>> {
    text.map(Arc::from)
}

fn of_workload(workload: &Workload) -> WorkloadMessage {
    let CgroupIdentity { path, kind, runtime, container_id, pod_uid, qos, outer_container } = &workload.identity;
    WorkloadMessage {
        path: path.to_string(),
        kind: place_of(&KINDS, Some(kind)),
        runtime: place_of(&RUNTIMES, runtime.as_ref()),
        container_id: text(container_id.as_ref()),
        pod_uid: text(pod_uid.as_ref()),
        qos: place_of(&QOS, qos.as_ref()),
        outer_container: text(outer_container.as_ref()),
        inode: workload.inode,
        created_at: workload.created_at.0,
        metadata: workload.metadata.as_deref().map(of_metadata),
    }
}

fn of_metadata(metadata: &Metadata) -> MetadataMessage {
    let metadata = metadata.clone();
    MetadataMessage {
        name: metadata.name,
        image: metadata.image,
        namespace: metadata.namespace,
        pod: metadata.pod,
        pod_uid: metadata.pod_uid,
        container: metadata.container,
        sandbox: metadata.sandbox,
        labels: metadata.labels,
        runtime: place_of(&RUNTIMES, metadata.runtime.as_ref()),
        created_at: metadata.created_at.map(|at| at.0),
        started_at: metadata.started_at.map(|at| at.0),
        restart_count: metadata.restart_count,
        pid: metadata.pid,
        host_network: metadata.host_network,
        healthy: metadata.healthy,
    }
}

fn to_workload(message: WorkloadMessage) -> Workload {
    let metadata = message.metadata.map(|message| {
        Arc::new(Metadata {
            name: message.name,
            image: message.image,
            namespace: message.namespace,
            pod: message.pod,
            pod_uid: message.pod_uid,
            container: message.container,
            sandbox: message.sandbox,
            labels: message.labels,
            runtime: at_place(&RUNTIMES, message.runtime),
            created_at: message.created_at.map(UnixNanos),
            started_at: message.started_at.map(UnixNanos),
            restart_count: message.restart_count,
            pid: message.pid,
            host_network: message.host_network,
            healthy: message.healthy,
            // Told anew by the API server, and of no use for the past.
            owner: None,
        })
    });
    Workload {
        identity: CgroupIdentity {
            path: message.path.into(),
            kind: at_place(&KINDS, message.kind).unwrap_or(CgroupKind::Other),
            runtime: at_place(&RUNTIMES, message.runtime),
            container_id: shared(message.container_id),
            pod_uid: shared(message.pod_uid),
            qos: at_place(&QOS, message.qos),
            outer_container: shared(message.outer_container),
        },
        inode: message.inode,
        metadata,
        created_at: UnixNanos(message.created_at),
    }
}

/// Adds subjects to a message; what several share is there once.
#[derive(Default)]
pub(super) struct DirectoryBuilder {
    pub message: DirectoryMessage,
    known: HashMap<*const Workload, u32>,
}

impl DirectoryBuilder {
    pub fn add(&mut self, known: &Remembered) {
        let subject = &known.subject;
        let workload = subject.workload.as_ref().map_or(0, |workload| {
            *self.known.entry(Arc::as_ptr(workload)).or_insert_with(|| {
                self.message.workloads.push(of_workload(workload));
                u32::try_from(self.message.workloads.len()).unwrap_or(0)
            })
        });
        self.message.greatest_id = self.message.greatest_id.max(subject.id.0);
        self.message.subjects.push(SubjectMessage {
            id: subject.id.0,
            table: subject.table as u32,
            owner: subject.owner.map(|owner| owner.0),
            name: subject.name.to_string(),
            workload,
            major: subject.device.map(|(major, _)| major),
            minor: subject.device.map_or(0, |(_, minor)| minor),
            filesystem_device: subject.filesystem.as_ref().map(|(device, _)| device.to_string()),
            filesystem_type: subject.filesystem.as_ref().map_or_else(String::new, |(_, kind)| kind.to_string()),
            alive: known.alive,
            last_tick: known.last_tick,
            last_wall: known.last_wall.0,
        });
    }

    /// Notes the rows of a roster.
    pub fn rows(&mut self, roster: &Roster) {
        let ids = |table| roster.subjects(table).iter().map(|subject| subject.id.0).collect();
        self.message.rows = Table::ALL.into_iter().map(|table| RowsMessage { ids: ids(table) }).collect();
    }

    /// The message, compressed. `None` when there is no memory for it.
    pub fn finish(self) -> Option<Vec<u8>> {
        zstd::bulk::compress(&self.message.encode_to_vec(), ZSTD_LEVEL).ok()
    }
}

/// Unpacks a message. `None` when it is damaged.
pub(super) fn decode(bytes: &[u8]) -> Option<DirectoryMessage> {
    let bound = zstd::bulk::Decompressor::upper_bound(bytes)?;
    let plain = zstd::bulk::decompress(bytes, bound.min(MOST_BYTES)).ok()?;
    DirectoryMessage::decode(plain.as_slice()).ok()
}

/// The subjects of a message. Those of tables that this version does not know are left out.
pub(super) fn subjects(message: &mut DirectoryMessage) -> Vec<Remembered> {
    let workloads: Vec<Arc<Workload>> =
        std::mem::take(&mut message.workloads).into_iter().map(to_workload).map(Arc::new).collect();
    let to_subject = |message: SubjectMessage| {
        let place = usize::try_from(message.workload).ok()?.checked_sub(1);
        let filesystem = message.filesystem_device.map(|device| (device.into(), message.filesystem_type.into()));
        let subject = Subject {
            id: SubjectId(message.id),
            table: *Table::ALL.get(usize::try_from(message.table).ok()?)?,
            owner: message.owner.map(SubjectId),
            name: message.name.into(),
            workload: place.and_then(|place| workloads.get(place)).cloned(),
            device: message.major.map(|major| (major, message.minor)),
            filesystem,
        };
        Some(Remembered {
            subject: Arc::new(subject),
            alive: message.alive,
            last_tick: message.last_tick,
            last_wall: UnixNanos(message.last_wall),
        })
    };
    std::mem::take(&mut message.subjects).into_iter().filter_map(to_subject).collect()
}
