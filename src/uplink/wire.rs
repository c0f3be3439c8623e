//! Snapshots of a node as the bodies of pushes.
//!
//! In: [`Snapshot`]s, oldest first. Out: one `Push` message, or several that follow one another when one would be too
//! large. The encoder remembers who has which index and what was told last, so that only changes are sent; a stand-alone
//! push begins anew. It sends nothing. Bodies are read by [`Push::decode`]; `docs/push-protocol.md` has the format.
//! Next: `uplink::push`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use prost::Message as _;

use crate::store::cluster::frame::{Cells, ChangesWriter, cell};
pub use crate::store::cluster::push::{MOST_ENTITIES, MOST_SAMPLES, PROTOCOL_VERSION, Push, PushError};
use crate::store::cluster::{Entity, EntityKey, Metric, Snapshot};
use crate::units::UnixNanos;

/// The most that a body may have.
pub const MOST_BODY_BYTES: usize = 1 << 20;

/// What a push has besides its samples is shorter than this.
const ENVELOPE_BYTES: usize = 512;

/// The head of a push, before its samples.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PushMessage {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(string, tag = "2")]
    pub node: String,
    #[prost(fixed64, tag = "3")]
    pub run: u64,
    #[prost(uint64, tag = "4")]
    pub base: u64,
    #[prost(message, repeated, tag = "5")]
    pub samples: Vec<SampleMessage>,
    #[prost(sfixed64, tag = "6")]
    pub sent_unix_nanos: i64,
}

/// One sample.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SampleMessage {
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    #[prost(sfixed64, tag = "2")]
    pub unix_nanos: i64,
    #[prost(message, repeated, tag = "3")]
    pub born: Vec<BornMessage>,
    #[prost(uint32, repeated, tag = "4")]
    pub gone: Vec<u32>,
    /// A `Changes` message.
    #[prost(bytes = "vec", tag = "5")]
    pub changes: Vec<u8>,
}

/// An entity that is new.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BornMessage {
    #[prost(uint32, tag = "1")]
    pub index: u32,
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(string, tag = "5")]
    pub uid: String,
    #[prost(string, tag = "6")]
    pub container_id: String,
    #[prost(sfixed64, tag = "7")]
    pub started_unix_nanos: i64,
    #[prost(uint32, tag = "8")]
    pub pod_index: u32,
}

/// An entity that has an index.
#[derive(Debug, Clone)]
struct Tracked {
    key: EntityKey,
    told: Cells,
}

/// Makes pushes of one agent's run.
#[derive(Debug, Clone)]
pub struct Encoder {
    node: String,
    run: u64,
    sequence: u64,
    sent: UnixNanos,
    tracked: Vec<Option<Tracked>>,
    index_of: HashMap<EntityKey, u32>,
    pod_index_of: HashMap<Arc<str>, u32>,
    free: Vec<u32>,
    left_out: u64,
    writer: ChangesWriter,
}

impl Encoder {
    /// An encoder of `node` for a run with a number that no other run has.
    #[must_use]
    pub fn new(node: impl Into<String>, run: u64) -> Self {
        Self {
            node: node.into(),
            run,
            sequence: 0,
            sent: UnixNanos(0),
            tracked: Vec::new(),
            index_of: HashMap::new(),
            pod_index_of: HashMap::new(),
            free: Vec::new(),
            left_out: 0,
            writer: ChangesWriter::default(),
        }
    }

    /// Number of the newest sample that was encoded, which the next push goes on from; 0 before the first. No number is
    /// given twice, also not when the same instant is encoded again.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The run's number.
    #[must_use]
    pub const fn run(&self) -> u64 {
        self.run
    }

    /// Entities that were left out of samples, because their node has too many or their pod was not in the snapshot.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What the next pushes say about when they were sent; without it they say the time of their newest sample.
    pub fn set_sent(&mut self, sent: UnixNanos) {
        self.sent = sent;
    }

    /// One push of all `snapshots`, oldest first, whatever its size. It goes on from the push before, unless it is to
    /// stand `alone`; the first one stands alone anyway.
    #[must_use]
    pub fn push(&mut self, snapshots: &[Snapshot], alone: bool) -> Vec<u8> {
        self.pushes(snapshots, alone, usize::MAX).pop().unwrap_or_default()
    }

    /// As few pushes as there can be of all `snapshots` with at most `most_bytes` each, in the order in which they must
    /// arrive. A single sample that is larger is a push nevertheless. No snapshots make no push.
    #[must_use]
    pub fn pushes(&mut self, snapshots: &[Snapshot], alone: bool, most_bytes: usize) -> Vec<Vec<u8>> {
        if alone {
            self.begin_anew();
        }
        let newest = snapshots.last().map_or(UnixNanos(0), |snapshot| snapshot.wall);
        let sent = if self.sent.0 == 0 { newest } else { self.sent };
        let mut bodies = Vec::new();
        let mut message = self.head(if alone { 0 } else { self.sequence }, sent);
        let mut length = ENVELOPE_BYTES;
        for snapshot in snapshots {
            let base = self.sequence;
            let sample = self.sample(snapshot);
            let sample_bytes = sample.encoded_len() + 6;
            let full = message.samples.len() == MOST_SAMPLES || length.saturating_add(sample_bytes) > most_bytes;
            if full && !message.samples.is_empty() {
                bodies.push(message.encode_to_vec());
                message = self.head(base, sent);
                length = ENVELOPE_BYTES;
            }
            length = length.saturating_add(sample_bytes);
            message.samples.push(sample);
        }
        if !message.samples.is_empty() {
            bodies.push(message.encode_to_vec());
        }
        bodies
    }

    fn head(&self, base: u64, sent: UnixNanos) -> PushMessage {
        PushMessage {
            version: PROTOCOL_VERSION,
            node: self.node.clone(),
            run: self.run,
            base,
            samples: Vec::new(),
            sent_unix_nanos: signed(sent),
        }
    }

    fn begin_anew(&mut self) {
        self.tracked.clear();
        self.index_of.clear();
        self.pod_index_of.clear();
        self.free.clear();
    }

    fn sample(&mut self, snapshot: &Snapshot) -> SampleMessage {
        self.sequence += 1;
        let mut born = Vec::new();
        let mut now: HashMap<u32, &Entity> = HashMap::with_capacity(snapshot.entities.len());
        let here: HashSet<&EntityKey> = snapshot.entities.iter().map(|entity| &entity.key).collect();
        let gone = self.forget(|key| !here.contains(key));
        for entity in &snapshot.entities {
            match self.index(entity, &mut born) {
                Some(index) => _ = now.insert(index, entity),
                None => self.left_out += 1,
            }
        }
        for (index, tracked) in (0u32..).zip(&mut self.tracked) {
            let (Some(tracked), Some(entity)) = (tracked, now.get(&index)) else { continue };
            let cells = entity.values.map(cell);
            self.writer.entity(index, &tracked.told, &cells);
            tracked.told = cells;
        }
        SampleMessage {
            sequence: self.sequence,
            unix_nanos: signed(snapshot.wall),
            born,
            gone,
            changes: self.writer.finish(),
        }
    }

    /// Takes the indices of those for whom `is_gone` holds, ascending. A pod takes its containers with it.
    fn forget(&mut self, is_gone: impl Fn(&EntityKey) -> bool) -> Vec<u32> {
        let mut gone = Vec::new();
        let pods = &self.pod_index_of;
        let pod_is_gone = |uid: &Arc<str>| match pods.get(uid).and_then(|pod| self.tracked.get(*pod as usize)) {
            Some(Some(pod)) => is_gone(&pod.key),
            _ => true,
        };
        for (index, tracked) in (0u32..).zip(&self.tracked) {
            let Some(tracked) = tracked else { continue };
            let without_pod = matches!(&tracked.key, EntityKey::Container { pod_uid, .. } if pod_is_gone(pod_uid));
            if without_pod || is_gone(&tracked.key) {
                gone.push(index);
            }
        }
        for index in &gone {
            let Some(tracked) = self.tracked.get_mut(*index as usize).and_then(Option::take) else { continue };
            self.index_of.remove(&tracked.key);
            if let EntityKey::Pod { uid, .. } = &tracked.key {
                self.pod_index_of.remove(uid);
            }
            self.free.push(*index);
        }
        gone
    }

    /// The entity's index, if need be a new one.
    fn index(&mut self, entity: &Entity, born: &mut Vec<BornMessage>) -> Option<u32> {
        if let Some(index) = self.index_of.get(&entity.key) {
            return Some(*index);
        }
        let mut message = BornMessage { started_unix_nanos: signed(entity.started_at), ..BornMessage::default() };
        match &entity.key {
            EntityKey::Node => message.kind = 0,
            EntityKey::Pod { uid, namespace, name } => {
                if self.pod_index_of.contains_key(uid) {
                    return None;
                }
                message.kind = 1;
                message.uid = uid.to_string();
                message.namespace = namespace.to_string();
                message.name = name.to_string();
            }
            EntityKey::Container { pod_uid, name, id } => {
                message.kind = 2;
                message.pod_index = *self.pod_index_of.get(pod_uid)?;
                message.name = name.to_string();
                message.container_id = id.to_string();
            }
        }
        let next = u32::try_from(self.tracked.len()).ok().filter(|next| *next < MOST_ENTITIES);
        let index = self.free.pop().or(next)?;
        message.index = index;
        let tracked = Tracked { key: entity.key.clone(), told: [0; Metric::ALL.len()] };
        match self.tracked.get_mut(index as usize) {
            Some(place) => *place = Some(tracked),
            None => self.tracked.push(Some(tracked)),
        }
        if let EntityKey::Pod { uid, .. } = &entity.key {
            self.pod_index_of.insert(uid.clone(), index);
        }
        self.index_of.insert(entity.key.clone(), index);
        born.push(message);
        Some(index)
    }
}

fn signed(instant: UnixNanos) -> i64 {
    i64::try_from(instant.0).unwrap_or(i64::MAX)
}
