//! A run of samples of one node, packed: for each metric the entities that changed, and for each of these its differences.
//!
//! In: samples as [`super::past`] keeps them while they are few. Out: a block of bytes, from which one metric is read
//! without the others. A series that does not change costs one bit; one that does costs per sample a bit or two that say
//! how long the difference is, held against the one before, and its bits. It keeps no values: those are found from the
//! newest ones.
//! Next: [`super::history`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::metric::{Metric, MetricKind};
use super::past::{Frame, SAMPLES_OF_A_BATCH, each_delta};
use super::protobuf::{put_varint, unzigzag, varint, zigzag};
use crate::store::wire::{BitReader, BitWriter, width};
use crate::units::UnixNanos;

const METRICS: usize = Metric::ALL.len();

const PAGE: i64 = 4096;

/// So many ones say that the length stands behind them.
const ESCAPE: u32 = 20;
/// Bits of a length.
const LENGTH_BITS: u32 = 7;

/// The differences of one series in a batch.
pub(super) type Run = [i64; SAMPLES_OF_A_BATCH];

/// Memory of the packer between two batches.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// One more than a series' place in `runs`, by metric and index; 0 for none.
    place: Vec<u32>,
    runs: Vec<Run>,
    sections: Vec<u8>,
    out: Vec<u8>,
    /// For whoever writes the samples.
    pub sample: Vec<u8>,
}

/// More than this is given back after it was needed.
const SCRATCH_BYTES: usize = 2 << 20;

impl Scratch {
    /// Whether it has grown so large that it is not to be kept.
    fn is_large(&self) -> bool {
        self.runs.capacity() * size_of::<Run>() + self.place.capacity() * 4 + self.sample.capacity() > SCRATCH_BYTES
    }
}

/// Packers' memory that nobody uses now.
#[derive(Debug, Default)]
pub(super) struct Scratches(Mutex<Vec<Scratch>>);

impl Scratches {
    pub fn with(&self, use_it: impl FnOnce(&mut Scratch)) {
        let mut scratch = self.list().pop().unwrap_or_default();
        use_it(&mut scratch);
        if !scratch.is_large() {
            self.list().push(scratch);
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Packed samples.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Box<[u8]>,
    pub last_sequence: u64,
    pub oldest: UnixNanos,
    pub newest: UnixNanos,
}

impl Batch {
    /// Packs at most [`SAMPLES_OF_A_BATCH`] samples, oldest first, of entities whose indices are below `indices`.
    pub fn pack(frames: &[Frame], indices: usize, scratch: &mut Scratch) -> Self {
        let Scratch { place, runs, sections, out, .. } = scratch;
        runs.clear();
        sections.clear();
        out.clear();
        place.clear();
        place.resize(indices * METRICS, 0);
        for (number, frame) in frames.iter().take(SAMPLES_OF_A_BATCH).enumerate() {
            each_delta(&frame.bytes, |index, metric, delta| {
                let Some(place) = place.get_mut(metric * indices + index as usize) else { return };
                if *place == 0 {
                    runs.push([0; SAMPLES_OF_A_BATCH]);
                    *place = u32::try_from(runs.len()).unwrap_or(0);
                }
                let run = (*place as usize).checked_sub(1).and_then(|place| runs.get_mut(place));
                if let Some(of) = run.and_then(|run| run.get_mut(number)) {
                    *of = delta;
                }
            });
        }
        let mut mask = 0u64;
        let mut lengths = [0usize; METRICS];
        for ((metric, places), length) in place.chunks_exact(indices.max(1)).enumerate().zip(&mut lengths) {
            if places.iter().all(|place| *place == 0) {
                continue;
            }
            let start = sections.len();
            let mut coder = Coder::of(metric);
            let mut bits = BitWriter::new(sections);
            for place in places {
                let run = (*place as usize).checked_sub(1).and_then(|place| runs.get(place));
                bits.put(u64::from(run.is_some()), 1);
                if let Some(run) = run {
                    coder.put(&mut bits, run.get(..frames.len()).unwrap_or(run));
                }
            }
            bits.finish();
            *length = sections.len() - start;
            mask |= 1 << metric;
        }
        put_varint(out, indices as u64);
        put_varint(out, frames.len() as u64);
        let (mut sequence, mut wall) = (0, 0);
        for frame in frames {
            put_varint(out, frame.sequence.wrapping_sub(sequence));
            put_varint(out, frame.wall.0.wrapping_sub(wall));
            (sequence, wall) = (frame.sequence, frame.wall.0);
        }
        put_varint(out, mask);
        lengths.iter().filter(|length| **length > 0).for_each(|length| put_varint(out, *length as u64));
        out.extend_from_slice(sections);
        Self {
            bytes: out.as_slice().into(),
            last_sequence: sequence,
            oldest: frames.first().map_or(UnixNanos(0), |frame| frame.wall),
            newest: UnixNanos(wall),
        }
    }

    /// Its samples' sequences and times, oldest first, and the differences of one metric by index.
    pub fn read(&self, metric: usize, heads: &mut Vec<(u64, UnixNanos)>, mut each: impl FnMut(usize, &Run)) {
        let mut bytes = &*self.bytes;
        let indices = usize::try_from(varint(&mut bytes)).unwrap_or(0);
        let count = usize::try_from(varint(&mut bytes)).unwrap_or(0);
        let (mut sequence, mut wall) = (0u64, 0u64);
        heads.clear();
        for _ in 0..count {
            sequence = sequence.wrapping_add(varint(&mut bytes));
            wall = wall.wrapping_add(varint(&mut bytes));
            heads.push((sequence, UnixNanos(wall)));
        }
        let mask = varint(&mut bytes);
        if mask >> metric & 1 == 0 {
            return;
        }
        let mut start = 0usize;
        for of in super::frame::bits(mask) {
            let length = usize::try_from(varint(&mut bytes)).unwrap_or(0);
            start += if of < metric { length } else { 0 };
        }
        let mut coder = Coder::of(metric);
        let mut bits = BitReader::new(bytes.get(start..).unwrap_or_default());
        for index in 0..indices {
            if bits.take(1) == 1 {
                let mut run = [0; SAMPLES_OF_A_BATCH];
                coder.take(&mut bits, run.get_mut(..count).unwrap_or_default());
                each(index, &run);
            }
        }
    }

    /// Bytes that it keeps, also where it stands itself.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

/// Codes the series of one metric, one after the other.
///
/// A series begins with one bit that says whether its differences are whole pages. Of each difference one bit says
/// whether it is as the one before: zero, or not. If it is not zero, ones and a zero say how much longer or shorter it is
/// than the one before that was not zero, and its bits follow without the highest.
struct Coder {
    /// Counters grow: their differences need no sign.
    counter: bool,
    /// Bits of the last difference that was not zero.
    length: u32,
}

impl Coder {
    fn of(metric: usize) -> Self {
        let counter = Metric::ALL.get(metric).is_some_and(|metric| metric.info().kind == MetricKind::Counter);
        Self { counter, length: 16 }
    }

    fn put(&mut self, bits: &mut BitWriter<'_>, run: &[i64]) {
        let low = run.iter().fold(0, |low, delta| low | delta & (PAGE - 1));
        let shift = if low == 0 { PAGE.trailing_zeros() } else { 0 };
        bits.put(u64::from(low == 0), 1);
        let mut was_zero = true;
        for delta in run {
            let is_zero = *delta == 0;
            bits.put(u64::from(is_zero != was_zero), 1);
            was_zero = is_zero;
            if is_zero {
                continue;
            }
            let delta = delta >> shift;
            let number = if self.counter { delta.cast_unsigned() } else { zigzag(delta) };
            let length = width(number);
            let apart = zigzag(i64::from(length) - i64::from(self.length));
            match u32::try_from(apart) {
                Ok(apart) if apart < ESCAPE => bits.put((1 << apart) - 1, apart + 1),
                _ => {
                    bits.put((1 << ESCAPE) - 1, ESCAPE);
                    bits.put(u64::from(length), LENGTH_BITS);
                }
            }
            bits.put(number ^ 1 << (length - 1), length - 1);
            self.length = length;
        }
    }

    fn take(&mut self, bits: &mut BitReader<'_>, run: &mut [i64]) {
        let shift = if bits.take(1) == 1 { PAGE.trailing_zeros() } else { 0 };
        let mut was_zero = true;
        for delta in run {
            was_zero ^= bits.take(1) == 1;
            if was_zero {
                continue;
            }
            let apart = bits.peek().trailing_ones().min(ESCAPE);
            if apart == ESCAPE {
                bits.skip(ESCAPE);
                self.length = u32::try_from(bits.take(LENGTH_BITS)).unwrap_or(1);
            } else {
                bits.skip(apart + 1);
                let length = i64::from(self.length) + unzigzag(u64::from(apart));
                self.length = u32::try_from(length).unwrap_or(1);
            }
            self.length = self.length.clamp(1, u64::BITS);
            let number = bits.take(self.length - 1) | 1 << (self.length - 1);
            let plain = if self.counter { number.cast_signed() } else { unzigzag(number) };
            *delta = plain << shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deltas() -> impl Strategy<Value = Run> {
        let delta = prop_oneof![
            3 => Just(0i64), 2 => -100i64..100, 2 => 1_000_000i64..1_100_000,
            2 => (-50i64..50).prop_map(|pages| pages * PAGE), 1 => any::<i64>(),
        ];
        proptest::collection::vec(delta, SAMPLES_OF_A_BATCH).prop_map(|run| run.try_into().unwrap())
    }

    proptest! {
        #[test]
        fn differences_come_back_as_they_were_put(
            runs in proptest::collection::vec(deltas(), 0..20), metric in 0..METRICS, count in 1..=SAMPLES_OF_A_BATCH,
        ) {
            let mut bytes = Vec::new();
            let mut bits = BitWriter::new(&mut bytes);
            let mut coder = Coder::of(metric);
            runs.iter().for_each(|run| coder.put(&mut bits, &run[..count]));
            bits.finish();
            let mut bits = BitReader::new(&bytes);
            let mut coder = Coder::of(metric);
            for run in runs {
                let mut taken = vec![0; count];
                coder.take(&mut bits, &mut taken);
                prop_assert_eq!(&taken, &run[..count]);
            }
            prop_assert!(!bits.overrun());
        }

        #[test]
        fn any_bits_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut bits = BitReader::new(&bytes);
            let mut coder = Coder::of(0);
            (0..9).for_each(|_| coder.take(&mut bits, &mut [0; SAMPLES_OF_A_BATCH]));
        }
    }
}
