//! A chain's samples before the newest one, as differences.
//!
//! In: each sample's differences while they are applied, and entities that go. Out: the same differences, newest sample
//! first, so that values are found by walking back from the newest ones. What is never asked for is not kept: a pod's CPU,
//! memory and io are the sums of its containers'. Complete runs of samples are packed by [`super::batch`].
//! Next: [`super::history`].

use std::sync::Arc;

use super::cells::Table;
use super::entity::{POD, Slot, Standing, Who};
use super::metric::{Metric, MetricSet};
use super::protobuf::{put_varint, zigzag};
use super::record::PodRecord;
use crate::units::UnixNanos;

/// What of a pod is its own in the history, and not its containers' sum.
pub(super) const OWN_OF_PODS: MetricSet = MetricSet::of(&[
    Metric::EphemeralStorageBytes,
    Metric::NetworkReceiveBytes,
    Metric::NetworkTransmitBytes,
    Metric::NetworkReceivePackets,
    Metric::NetworkTransmitPackets,
    Metric::NetworkReceiveDropped,
    Metric::NetworkTransmitDropped,
    Metric::CpuPressureSomeUsec,
    Metric::CpuPressureFullUsec,
    Metric::MemoryPressureSomeUsec,
    Metric::MemoryPressureFullUsec,
    Metric::IoPressureSomeUsec,
    Metric::IoPressureFullUsec,
]);

/// Memory changes by pages; that is told by one bit.
pub(super) const PAGE: i64 = 4096;
/// A difference that has no room for that bit follows this mark.
pub(super) const WIDE: u64 = u64::MAX;

/// When one sample was read, and where its differences end.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHead {
    pub sequence: u64,
    pub wall: UnixNanos,
    pub end: usize,
}

/// Whose history a set of cells belongs to, when it is gone.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    Node,
    Pod(Arc<PodRecord>),
    Container(Arc<str>, Arc<PodRecord>),
    /// It was never believed.
    Nobody,
}

/// An entity that is gone, with its last cells.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    pub index: u16,
    /// Sequence of the first sample without it.
    pub sequence: u64,
    /// Sequence of the first sample with it.
    pub born: u64,
    pub started: UnixNanos,
    pub whose: Whose,
    /// A bit per metric, and the cells of the bits that are set.
    pub mask: u64,
    pub cells: Box<[u64]>,
}

/// The samples of a chain.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Those that are not packed yet, oldest first.
    pub frames: Vec<FrameHead>,
    pub bytes: Vec<u8>,
    /// Entities that are gone, in the order in which they went.
    pub gone: Vec<Gone>,
    next: u32,
    deltas: Vec<u8>,
}

/// Writes one entity's differences of one sample.
pub(super) struct EntityWriter<'a> {
    past: &'a mut Past,
    index: u32,
    kept: u64,
    mask: u64,
}

impl Past {
    pub fn begin(&mut self, sequence: u64, wall: UnixNanos) {
        self.next = 0;
        self.frames.push(FrameHead { sequence, wall, end: self.bytes.len() });
    }

    /// When its oldest sample was read.
    pub fn oldest(&self) -> Option<UnixNanos> {
        self.frames.first().map(|frame| frame.wall)
    }

    pub fn entity(&mut self, index: u32, kind: usize) -> EntityWriter<'_> {
        self.deltas.clear();
        let kept = if kind == POD { OWN_OF_PODS } else { MetricSet::ALL };
        EntityWriter { past: self, index, kept: kept.bits(), mask: 0 }
    }

    pub fn end(&mut self) {
        let end = self.bytes.len();
        if let Some(frame) = self.frames.last_mut() {
            frame.end = end;
        }
    }

    /// Keeps the last cells of one that goes.
    pub fn gone(&mut self, index: u16, sequence: u64, slot: &Slot, standing: Option<&Standing>, table: &Table) {
        let record = standing.and_then(Standing::record).cloned();
        let whose = match (&slot.who, record) {
            (Who::Node, _) => Whose::Node,
            (Who::Pod(_), Some(pod)) => Whose::Pod(pod),
            (Who::Container(name, _), Some(pod)) => Whose::Container(name.clone(), pod),
            (_, None) => Whose::Nobody,
        };
        let cells = (0..Metric::ALL.len()).map(|metric| table.get(slot.row, metric));
        let mask = cells.clone().rev().fold(0, |mask, cell| mask << 1 | u64::from(cell != 0));
        let cells = cells.filter(|cell| *cell != 0).collect();
        self.gone.push(Gone { index, sequence, born: slot.born, started: slot.started, whose, mask, cells });
    }
}

impl EntityWriter<'_> {
    #[inline]
    pub fn delta(&mut self, metric: usize, delta: i64) {
        if self.kept >> metric & 1 == 0 {
            return;
        }
        self.mask |= 1 << metric;
        let plain = zigzag(delta);
        if delta % PAGE == 0 {
            put_varint(&mut self.past.deltas, zigzag(delta / PAGE) << 1 | 1);
        } else if plain <= u64::MAX >> 1 {
            put_varint(&mut self.past.deltas, plain << 1);
        } else {
            put_varint(&mut self.past.deltas, WIDE);
            put_varint(&mut self.past.deltas, plain);
        }
    }

    pub fn finish(self) {
        let past = self.past;
        if self.mask != 0 {
            put_varint(&mut past.bytes, u64::from(self.index.saturating_sub(past.next)));
            put_varint(&mut past.bytes, self.mask);
            past.bytes.extend_from_slice(&past.deltas);
            past.next = self.index.saturating_add(1);
        }
    }
}
