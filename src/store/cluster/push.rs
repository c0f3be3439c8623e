//! A push's body, read in place.
//!
//! In: bytes that anybody may have sent. Out: [`Push`], whose samples and births are looked up in the bytes when they are
//! asked for: a body costs no more memory than itself. Declared counts are capped. It knows no node and believes nothing.
//! Next: `super::node`.

use super::frame::Changes;
use super::protobuf::{Field, Fields, Malformed, varint};
use crate::units::UnixNanos;

/// The version of the protocol that is spoken here.
pub const PROTOCOL_VERSION: u32 = 1;

/// Most entities of one node; indices are below it.
pub const MOST_ENTITIES: u32 = 4096;

/// Most samples of one push: 15 minutes and more at one a second.
pub const MOST_SAMPLES: usize = 1024;

/// Longest name of a node, namespace, pod or container, and longest uid.
pub const LONGEST_NAME_BYTES: usize = 253;

/// Why a body is no push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// 422: another version.
    #[error("version {0} of the push protocol is not known here; send version {PROTOCOL_VERSION}")]
    Version(u64),
    /// 400: not to be read.
    #[error("the push cannot be read: {0}")]
    Malformed(#[from] Malformed),
}

/// A push, read as far as its samples' heads.
#[derive(Debug, Clone)]
pub struct Push<'a> {
    /// Name of the node that it says it is from.
    pub node: &'a str,
    /// A number that the agent chose when it started.
    pub run: u64,
    /// Sequence of the sample that the first one goes on from; 0 when the push stands alone.
    pub base: u64,
    sent: UnixNanos,
    /// The samples, oldest first; sequences and times ascend.
    pub samples: Vec<Sample<'a>>,
}

/// One sample of a push.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Number of the sample in its run.
    pub sequence: u64,
    /// When it was read, by the node's clock.
    pub wall: UnixNanos,
    /// What changed.
    pub changes: Changes<'a>,
    message: &'a [u8],
}

/// What an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BornKind {
    /// The node.
    Node,
    /// A pod.
    Pod,
    /// A container of the pod whose index is told.
    Container,
}

/// An entity that is there from this sample on.
#[derive(Debug, Clone, Copy)]
pub struct Born<'a> {
    /// Its index until it is gone.
    pub index: u32,
    /// What it is.
    pub kind: BornKind,
    /// Namespace of a pod.
    pub namespace: &'a str,
    /// Name of a pod or a container.
    pub name: &'a str,
    /// UID of a pod.
    pub uid: &'a str,
    /// The runtime's id of a container.
    pub container_id: &'a str,
    /// When it began; zero when that is not known.
    pub started: UnixNanos,
    /// Index of a container's pod.
    pub pod_index: u32,
}

impl<'a> Push<'a> {
    /// Reads a body. Afterwards every sample is well formed by itself; whether it fits what went before is seen when it
    /// is pushed into the store.
    ///
    /// # Errors
    /// [`PushError`].
    pub fn decode(body: &'a [u8]) -> Result<Self, PushError> {
        let version = Self::version(body)?;
        if version != u64::from(PROTOCOL_VERSION) {
            return Err(PushError::Version(version));
        }
        let mut push = Self { node: "", run: 0, base: 0, sent: UnixNanos(0), samples: Vec::new() };
        for field in Fields(body) {
            match field? {
                (2, Field::Bytes(bytes)) => push.node = name(bytes)?,
                (3, Field::Fixed64(run)) => push.run = run,
                (4, Field::Varint(base)) => push.base = base,
                (5, Field::Bytes(message)) => {
                    if push.samples.len() == MOST_SAMPLES {
                        return Err(Malformed("more than 1,024 samples; send them in several pushes").into());
                    }
                    let sample = Sample::parse(message)?;
                    let follows = push.samples.last().map_or(push.base, |last| last.sequence) < sample.sequence;
                    let later = push.samples.last().is_none_or(|last| last.wall < sample.wall);
                    if !follows || !later {
                        return Err(Malformed("sequences and times of the samples do not ascend").into());
                    }
                    push.samples.push(sample);
                }
                (6, Field::Fixed64(nanos)) => push.sent = instant(nanos)?,
                (2..=6, _) => return Err(Malformed("a field of Push has another type than the protocol's").into()),
                _ => {}
            }
        }
        if push.node.is_empty() {
            return Err(Malformed("the push names no node").into());
        }
        if push.samples.is_empty() {
            return Err(Malformed("the push has no sample").into());
        }
        Ok(push)
    }

    /// The version stands first in what we write, but may stand anywhere.
    fn version(body: &[u8]) -> Result<u64, Malformed> {
        for field in Fields(body) {
            if let (1, Field::Varint(version)) = field? {
                return Ok(version);
            }
        }
        Ok(0)
    }

    /// When it was sent, by the sender's clock; its newest sample's time when it does not say.
    #[must_use]
    pub fn sent(&self) -> UnixNanos {
        if self.sent.0 == 0 { self.newest() } else { self.sent }
    }

    /// The newest sample's time.
    #[must_use]
    pub fn newest(&self) -> UnixNanos {
        self.samples.last().map_or(UnixNanos(0), |sample| sample.wall)
    }

    /// Sequence of the last sample.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.samples.last().map_or(0, |sample| sample.sequence)
    }
}

impl<'a> Sample<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut sample = Self { sequence: 0, wall: UnixNanos(0), changes: Changes::default(), message };
        for field in Fields(message) {
            match field? {
                (1, Field::Varint(sequence)) => sample.sequence = sequence,
                (2, Field::Fixed64(nanos)) => sample.wall = instant(nanos)?,
                (3, Field::Bytes(born)) => _ = Born::parse(born)?,
                (4, Field::Bytes(_) | Field::Varint(_)) => {}
                (5, Field::Bytes(changes)) => sample.changes = Changes::parse(changes)?,
                (1..=5, _) => return Err(Malformed("a field of Sample has another type than the protocol's")),
                _ => {}
            }
        }
        Ok(sample)
    }

    /// Those who are there from this sample on.
    pub fn born(&self) -> impl Iterator<Item = Born<'a>> + use<'a> {
        Fields(self.message).filter_map(|field| match field {
            Ok((3, Field::Bytes(born))) => Born::parse(born).ok(),
            _ => None,
        })
    }

    /// Indices of those who are not there any more.
    pub fn gone(&self) -> impl Iterator<Item = u64> + use<'a> {
        Fields(self.message).flat_map(|field| {
            let (one, mut list) = match field {
                Ok((4, Field::Varint(index))) => (Some(index), [].as_slice()),
                Ok((4, Field::Bytes(list))) => (None, list),
                _ => (None, [].as_slice()),
            };
            one.into_iter().chain(std::iter::from_fn(move || (!list.is_empty()).then(|| varint(&mut list))))
        })
    }
}

impl<'a> Born<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut born = Self {
            index: 0,
            kind: BornKind::Node,
            namespace: "",
            name: "",
            uid: "",
            container_id: "",
            started: UnixNanos(0),
            pod_index: 0,
        };
        for field in Fields(message) {
            match field? {
                (1, Field::Varint(index)) => born.index = index_of(index)?,
                (2, Field::Varint(kind)) => {
                    born.kind = match kind {
                        0 => BornKind::Node,
                        1 => BornKind::Pod,
                        2 => BornKind::Container,
                        _ => return Err(Malformed("an entity is neither node, pod nor container")),
                    }
                }
                (3, Field::Bytes(bytes)) => born.namespace = name(bytes)?,
                (4, Field::Bytes(bytes)) => born.name = name(bytes)?,
                (5, Field::Bytes(bytes)) => born.uid = name(bytes)?,
                (6, Field::Bytes(bytes)) => born.container_id = name(bytes)?,
                (7, Field::Fixed64(nanos)) => born.started = instant(nanos)?,
                (8, Field::Varint(index)) => born.pod_index = index_of(index)?,
                (1..=8, _) => return Err(Malformed("a field of Born has another type than the protocol's")),
                _ => {}
            }
        }
        match born.kind {
            BornKind::Pod if born.uid.is_empty() || born.name.is_empty() || born.namespace.is_empty() => {
                Err(Malformed("a pod without namespace, name or uid"))
            }
            BornKind::Container if born.name.is_empty() => Err(Malformed("a container without a name")),
            _ => Ok(born),
        }
    }
}

fn index_of(index: u64) -> Result<u32, Malformed> {
    u32::try_from(index)
        .ok()
        .filter(|index| *index < MOST_ENTITIES)
        .ok_or(Malformed("an index of 4,096 or more: a node has at most that many entities"))
}

fn name(bytes: &[u8]) -> Result<&str, Malformed> {
    if bytes.len() > LONGEST_NAME_BYTES {
        return Err(Malformed("a name of more than 253 bytes"));
    }
    std::str::from_utf8(bytes).map_err(|_| Malformed("a name that is not UTF-8"))
}

/// Signed in the protocol, as is the custom for times; none lies before 1970.
fn instant(nanos: u64) -> Result<UnixNanos, Malformed> {
    if nanos > i64::MAX.cast_unsigned() {
        return Err(Malformed("a time before 1970"));
    }
    Ok(UnixNanos(nanos))
}
