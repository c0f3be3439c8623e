//! A chain's samples before the newest one, as differences.
//!
//! In: each sample's differences while they are applied, and entities that go. Out: the same differences, newest sample
//! first, so that values are found by walking back from the newest ones. What is never asked for is not kept: a pod's CPU,
//! memory and io are the sums of its containers'. Complete runs of samples are packed by [`super::batch`].
//! Next: [`super::history`].

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch::{Batch, Scratch};
use super::cells::Table;
use super::entity::{POD, Slot, Standing, Who};
use super::frame;
use super::metric::{Metric, MetricSet};
use super::protobuf::{put_varint, skip_varints, unzigzag, varint, zigzag};
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
const PAGE: i64 = 4096;

/// Samples that are packed together: those that wait take more bytes, and a batch is forgotten as a whole.
pub(super) const SAMPLES_OF_A_BATCH: usize = 10;

/// One sample that waits to be packed.
#[derive(Debug)]
pub(super) struct Frame {
    pub sequence: u64,
    pub wall: UnixNanos,
    pub bytes: Box<[u8]>,
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
    pub started: UnixNanos,
    pub whose: Whose,
    /// A bit per metric, and the cells of the bits that are set.
    pub mask: u64,
    pub cells: Box<[u64]>,
}

/// The samples of a chain.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Packed ones, oldest first.
    pub batches: VecDeque<Batch>,
    /// Those that are not packed yet, oldest first.
    pub frames: Vec<Frame>,
    /// The differences that are being told.
    bytes: Vec<u8>,
    /// Entities that are gone, in the order in which they went.
    pub gone: VecDeque<Gone>,
    next: u32,
    /// Indices of those that wait are below it.
    indices: u32,
}

impl Past {
    /// Lends the memory that a sample is written in.
    pub fn swap_buffer(&mut self, buffer: &mut Vec<u8>) {
        std::mem::swap(&mut self.bytes, buffer);
    }

    /// When its oldest sample was read.
    pub fn oldest(&self) -> Option<UnixNanos> {
        let packed = self.batches.front().map(|batch| batch.oldest);
        packed.or(self.frames.first().map(|frame| frame.wall))
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.frames.len() + self.batches.len() * SAMPLES_OF_A_BATCH
    }

    /// Packs the samples that wait, when they are enough.
    pub fn pack_if_full(&mut self, scratch: &mut Scratch) {
        if self.frames.len() >= SAMPLES_OF_A_BATCH {
            let indices = std::mem::take(&mut self.indices) as usize;
            self.batches.push_back(Batch::pack(&self.frames, indices, scratch));
            self.frames.clear();
        }
    }

    /// Forgets what is older than `oldest`, except of the newest samples, which are not packed yet.
    pub fn forget_before(&mut self, oldest: UnixNanos) {
        while self.batches.front().is_some_and(|batch| batch.newest < oldest) {
            self.forget_batch();
        }
    }

    /// Forgets the oldest packed samples; `false` when there are none.
    pub fn forget_batch(&mut self) -> bool {
        let Some(batch) = self.batches.pop_front() else { return false };
        while self.gone.front().is_some_and(|gone| gone.sequence <= batch.last_sequence) {
            self.gone.pop_front();
        }
        true
    }

    /// Bytes that it keeps on the heap.
    pub fn heap_bytes(&self) -> usize {
        let packed: usize = self.batches.iter().map(Batch::heap_bytes).sum();
        let gone: usize = self.gone.iter().map(|gone| size_of::<Gone>() + gone.cells.len() * 8).sum();
        let waiting: usize = self.frames.iter().map(|frame| frame.bytes.len()).sum();
        packed + gone + waiting + self.frames.capacity() * size_of::<Frame>()
    }

    /// Begins with an entity; the differences of the metrics that it answers are to be told, ascending.
    pub fn entity(&mut self, index: u32, kind: usize, mask: u64) -> u64 {
        let kept = mask & if kind == POD { OWN_OF_PODS } else { MetricSet::ALL }.bits();
        if kept != 0 {
            put_varint(&mut self.bytes, u64::from(index.saturating_sub(self.next)));
            put_varint(&mut self.bytes, kept);
            self.next = index.saturating_add(1);
            self.indices = self.indices.max(self.next);
        }
        kept
    }

    /// The next difference of the entity.
    #[inline]
    pub fn delta(&mut self, delta: i64) {
        if delta & (PAGE - 1) == 0 {
            put_tagged(&mut self.bytes, zigzag(delta / PAGE), 1);
        } else {
            put_tagged(&mut self.bytes, zigzag(delta), 0);
        }
    }

    /// All differences of a sample were told.
    pub fn end(&mut self, sequence: u64, wall: UnixNanos) {
        self.frames.push(Frame { sequence, wall, bytes: self.bytes.as_slice().into() });
        self.bytes.clear();
        self.next = 0;
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
        self.gone.push_back(Gone { index, sequence, started: slot.started, whose, mask, cells });
    }
}

/// Appends a number and one bit beside it, so that both end with the one byte that has no high bit.
fn put_tagged(out: &mut Vec<u8>, plain: u64, tag: u8) {
    let [low, ..] = ((plain & 0x3f) << 1 | u64::from(tag)).to_le_bytes();
    let rest = plain >> 6;
    if rest == 0 {
        out.push(low);
    } else {
        out.push(low | 0x80);
        put_varint(out, rest);
    }
}

#[inline]
fn take_tagged(bytes: &mut &[u8]) -> i64 {
    let Some((low, rest)) = bytes.split_first() else { return 0 };
    *bytes = rest;
    let mut plain = u64::from(low >> 1 & 0x3f);
    if *low >= 0x80 {
        plain |= varint(bytes) << 6;
    }
    let delta = unzigzag(plain);
    if low & 1 == 1 { delta.wrapping_mul(PAGE) } else { delta }
}

/// Every difference of one unpacked sample: (index, metric, difference).
pub(super) fn each_delta(mut bytes: &[u8], mut each: impl FnMut(u32, usize, i64)) {
    let mut next = 0u32;
    while !bytes.is_empty() {
        let index = next.saturating_add(u32::try_from(varint(&mut bytes)).unwrap_or(u32::MAX));
        let mask = varint(&mut bytes);
        for metric in frame::bits(mask) {
            each(index, metric, take_tagged(&mut bytes));
        }
        next = index.saturating_add(1);
    }
}

/// The differences of one metric of one unpacked sample: (index, difference).
pub(super) fn each_delta_of(mut bytes: &[u8], metric: usize, mut each: impl FnMut(u32, i64)) {
    let mut next = 0u32;
    while !bytes.is_empty() {
        let index = next.saturating_add(u32::try_from(varint(&mut bytes)).unwrap_or(u32::MAX));
        let mask = varint(&mut bytes);
        if mask >> metric & 1 == 1 {
            bytes = skip_varints(bytes, (mask & ((1 << metric) - 1)).count_ones());
            each(index, take_tagged(&mut bytes));
            bytes = skip_varints(bytes, (mask >> metric >> 1).count_ones());
        } else {
            bytes = skip_varints(bytes, mask.count_ones());
        }
        next = index.saturating_add(1);
    }
}
