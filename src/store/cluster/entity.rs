//! Whom a node's agent speaks of: its entities, by index.
//!
//! In: births and deaths, and what the API server says of pods. Out: who stands at an index, and whether it is believed:
//! a pod counts only while the API server places a pod of that name and UID on the node that pushes it. What is not
//! believed is kept and not shown, until the API server says so too. It keeps no values. Next: [`super::chain`].

use std::sync::Arc;

use super::push::Born;
use super::record::PodRecord;
use crate::units::UnixNanos;

/// No slot.
pub(super) const NONE: u16 = u16::MAX;

/// Why an entity that was pushed is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Refusal {
    /// The API server knows no such pod (yet, or any more).
    UnknownPod,
    /// The pod is placed on another node, or on none.
    OtherNode,
    /// There is a pod of this name, with another UID.
    WrongUid,
    /// There is a pod of this UID, with another name or in another namespace.
    WrongName,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::UnknownPod, Self::OtherNode, Self::WrongUid, Self::WrongName];

    /// The word used as a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPod => "unknown_pod",
            Self::OtherNode => "other_node",
            Self::WrongUid => "wrong_uid",
            Self::WrongName => "wrong_name",
        }
    }
}

/// Who a pod says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
}

impl Claim {
    pub fn of(born: &Born<'_>) -> Self {
        Self { namespace: born.namespace.into(), name: born.name.into(), uid: born.uid.into() }
    }

    pub fn of_record(pod: &PodRecord) -> Self {
        Self { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() }
    }
}

/// How a pod of a push stands to what the API server says.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// It is the pod of this record.
    Believed(Arc<PodRecord>),
    /// It was, and the API server has removed it since: its history stays.
    Removed(Arc<PodRecord>),
    /// It is not.
    Refused(Box<Claim>, Refusal),
}

impl Standing {
    pub fn uid(&self) -> &Arc<str> {
        match self {
            Self::Believed(pod) | Self::Removed(pod) => &pod.uid,
            Self::Refused(claim, _) => &claim.uid,
        }
    }

    pub fn claim(&self) -> Claim {
        match self {
            Self::Believed(pod) | Self::Removed(pod) => Claim::of_record(pod),
            Self::Refused(claim, _) => Claim::clone(claim),
        }
    }

    /// The pod that its history belongs to.
    pub fn record(&self) -> Option<&Arc<PodRecord>> {
        match self {
            Self::Believed(pod) | Self::Removed(pod) => Some(pod),
            Self::Refused(..) => None,
        }
    }

    /// What it becomes when `verdict` is found out about it.
    pub fn judged(&self, verdict: Result<Arc<PodRecord>, Refusal>) -> Self {
        match (verdict, self) {
            (Ok(pod), _) => Self::Believed(pod),
            (Err(Refusal::UnknownPod | Refusal::WrongUid), Self::Believed(pod) | Self::Removed(pod)) => {
                Self::Removed(pod.clone())
            }
            (Err(refusal), _) => Self::Refused(Box::new(self.claim()), refusal),
        }
    }
}

/// What stands at an index.
#[derive(Debug, Clone)]
pub(super) enum Who {
    Node,
    Pod(Standing),
    /// Its name, and the slot of its pod.
    Container(Arc<str>, u16),
}

/// Kinds, as places of tables.
pub(super) const NODE: usize = 0;
pub(super) const POD: usize = 1;
pub(super) const CONTAINER: usize = 2;

impl Who {
    pub const fn kind(&self) -> usize {
        match self {
            Self::Node => NODE,
            Self::Pod(_) => POD,
            Self::Container(..) => CONTAINER,
        }
    }
}

/// One entity.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub who: Who,
    /// When it began; zero when that is not known.
    pub started: UnixNanos,
    /// Low half of the sequence of the sample that it was born in.
    pub born: u32,
    /// Low half of the sequence of the newest sample that changed it, its mask there, and where its differences begin.
    pub changed: u32,
    pub mask: u64,
    pub offset: u32,
    /// Its row in the table of its kind.
    pub row: u16,
    /// A pod's first container, a container's next one of the same pod.
    pub first: u16,
    pub next: u16,
}

/// The half of a sequence by which a slot tells the newest sample from all others.
pub(super) const fn low_half(sequence: u64) -> u32 {
    let [a, b, c, d, ..] = sequence.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// All of a node's entities.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(Vec<Option<Slot>>);

impl Slots {
    pub fn get(&self, index: u16) -> Option<&Slot> {
        self.0.get(usize::from(index))?.as_ref()
    }

    pub fn get_mut(&mut self, index: u16) -> Option<&mut Slot> {
        self.0.get_mut(usize::from(index))?.as_mut()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u16, &Slot)> {
        (0u16..).zip(&self.0).filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }

    /// Puts an entity at a free index; a container becomes one of its pod's.
    pub fn put(&mut self, index: u16, mut slot: Slot) {
        if let Who::Container(_, pod) = slot.who
            && let Some(pod) = self.get_mut(pod)
        {
            slot.next = std::mem::replace(&mut pod.first, index);
        }
        let place = usize::from(index);
        if place >= self.0.len() {
            self.0.reserve_exact(place + 1 - self.0.len());
            self.0.resize_with(place + 1, || None);
        }
        if let Some(place) = self.0.get_mut(place) {
            *place = Some(slot);
        }
    }

    /// Takes an entity away, out of its pod's list too.
    pub fn take(&mut self, index: u16) -> Option<Slot> {
        let slot = self.0.get_mut(usize::from(index))?.take()?;
        if let Who::Container(_, pod) = slot.who {
            let mut at = self.get(pod).map_or(NONE, |pod| pod.first);
            if at == index {
                if let Some(pod) = self.get_mut(pod) {
                    pod.first = slot.next;
                }
            } else {
                while let Some(sibling) = self.get_mut(at) {
                    if sibling.next == index {
                        sibling.next = slot.next;
                        break;
                    }
                    at = sibling.next;
                }
            }
        }
        Some(slot)
    }

    /// The containers of the pod at `index`, newest first.
    pub fn containers(&self, index: u16) -> impl Iterator<Item = (u16, &Slot)> {
        let mut at = self.get(index).map_or(NONE, |pod| pod.first);
        std::iter::from_fn(move || {
            let slot = self.get(at)?;
            let index = std::mem::replace(&mut at, slot.next);
            Some((index, slot))
        })
    }

    /// The slot of the pod with this UID.
    pub fn pod_of_uid(&self, uid: &str) -> Option<u16> {
        self.iter()
            .find(|(_, slot)| matches!(&slot.who, Who::Pod(standing) if **standing.uid() == *uid))
            .map(|(i, _)| i)
    }

    /// The slot that is believed to be this pod; it may stand where it stood before.
    pub fn believed(&self, pod: &PodRecord, before: u16) -> Option<(u16, &Slot)> {
        let is_it = |slot: &Slot| matches!(&slot.who, Who::Pod(Standing::Believed(own)) if own.uid == pod.uid);
        let same = self.get(before).filter(|slot| is_it(slot));
        same.map(|slot| (before, slot)).or_else(|| self.iter().find(|(_, slot)| is_it(slot)))
    }

    /// Bytes that it keeps on the heap, without strings.
    pub fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Option<Slot>>()
    }
}
