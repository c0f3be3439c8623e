//! A run of samples of one node, packed: for each metric the entities that changed, and for each of these its differences.
//!
//! In: samples as [`super::past`] keeps them while they are few. Out: a block of bytes, from which one metric is read
//! without the others. A series that does not change costs nothing; one that does costs a head of a few bytes, and as
//! many bits per difference as their spread needs. It keeps no values: those are found from the newest ones.
//! Next: [`super::history`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::metric::Metric;
use super::past::{FrameHead, SAMPLES_OF_A_BATCH, each_delta};
use super::protobuf::{put_varint, unzigzag, varint, zigzag};
use crate::store::wire::{BitReader, BitWriter, width};
use crate::units::UnixNanos;

const METRICS: usize = Metric::ALL.len();

/// The bit of a head that says that all differences are whole pages.
const PAGES: u8 = 0x80;
const PAGE: i64 = 4096;

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
}

/// More than this is given back after it was needed.
const SCRATCH_BYTES: usize = 2 << 20;

impl Scratch {
    /// Whether it has grown so large that it is not to be kept.
    fn is_large(&self) -> bool {
        self.runs.capacity() * size_of::<Run>() + self.place.capacity() * 4 > SCRATCH_BYTES
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
    pub fn pack(frames: &[FrameHead], bytes: &[u8], indices: usize, scratch: &mut Scratch) -> Self {
        let Scratch { place, runs, sections, out } = scratch;
        runs.clear();
        sections.clear();
        out.clear();
        place.clear();
        place.resize(indices * METRICS, 0);
        let mut start = 0;
        for (number, frame) in frames.iter().take(SAMPLES_OF_A_BATCH).enumerate() {
            let sample = bytes.get(start..frame.end).unwrap_or_default();
            start = frame.end;
            each_delta(sample, |index, metric, delta| {
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
            let start = sections.len();
            let mut next = 0;
            for (index, place) in places.iter().enumerate().filter(|(_, place)| **place != 0) {
                let Some(run) = (*place as usize).checked_sub(1).and_then(|place| runs.get(place)) else { continue };
                put_varint(sections, (index - next) as u64);
                put_run(sections, run);
                next = index + 1;
            }
            *length = sections.len() - start;
            mask |= u64::from(*length > 0) << metric;
        }
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

    /// Reads the samples' sequences and times into `heads`, oldest first, and gives the bytes behind them.
    fn heads_into(&self, heads: &mut Vec<(u64, UnixNanos)>) -> &[u8] {
        let mut bytes = &*self.bytes;
        let count = varint(&mut bytes);
        let (mut sequence, mut wall) = (0u64, 0u64);
        heads.clear();
        for _ in 0..count {
            sequence = sequence.wrapping_add(varint(&mut bytes));
            wall = wall.wrapping_add(varint(&mut bytes));
            heads.push((sequence, UnixNanos(wall)));
        }
        bytes
    }

    /// Its samples' sequences and times, oldest first, and the differences of one metric by index.
    pub fn read(&self, metric: usize, heads: &mut Vec<(u64, UnixNanos)>, mut each: impl FnMut(usize, &Run)) {
        let mut bytes = self.heads_into(heads);
        let mask = varint(&mut bytes);
        let (mut start, mut length) = (0usize, 0usize);
        for of in super::frame::bits(mask) {
            let section = usize::try_from(varint(&mut bytes)).unwrap_or(0);
            match of.cmp(&metric) {
                std::cmp::Ordering::Less => start = start.saturating_add(section),
                std::cmp::Ordering::Equal => length = section,
                std::cmp::Ordering::Greater => {}
            }
        }
        let mut section = bytes.get(start..start.saturating_add(length)).unwrap_or_default();
        let mut next = 0usize;
        while !section.is_empty() {
            let index = next.saturating_add(usize::try_from(varint(&mut section)).unwrap_or(usize::MAX));
            each(index, &take_run(&mut section));
            next = index.saturating_add(1);
        }
    }

    /// Bytes that it keeps, also where it stands itself.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

/// Which are zero; the bits per difference, and whether they are pages; the least one; the distances from it.
fn put_run(out: &mut Vec<u8>, run: &Run) {
    let (mut zeros, mut low) = (0u64, 0i64);
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    for (number, delta) in run.iter().enumerate() {
        if *delta == 0 {
            zeros |= 1 << number;
        } else {
            low |= *delta & (PAGE - 1);
            least = least.min(*delta);
            most = most.max(*delta);
        }
    }
    // Pages are shifted, not divided: what is taken off is zero.
    let (shift, head) = if low == 0 { (PAGE.trailing_zeros(), PAGES) } else { (0, 0) };
    if least > most {
        (least, most) = (0, 0);
    }
    let least = least >> shift;
    let bits = width((most >> shift).wrapping_sub(least).cast_unsigned());
    put_varint(out, zeros);
    out.push(u8::try_from(bits).unwrap_or(64) | head);
    put_varint(out, zigzag(least));
    if bits > 0 {
        let mut writer = BitWriter::new(out);
        for delta in run.iter().filter(|delta| **delta != 0) {
            writer.put((delta >> shift).wrapping_sub(least).cast_unsigned(), bits);
        }
        writer.finish();
    }
}

fn take_run(bytes: &mut &[u8]) -> Run {
    let mut run = [0; SAMPLES_OF_A_BATCH];
    let zeros = varint(bytes);
    let Some((head, rest)) = bytes.split_first() else { return run };
    *bytes = rest;
    let least = unzigzag(varint(bytes));
    let bits = u32::from(head & !PAGES).min(64);
    let unit = if head & PAGES != 0 { PAGE } else { 1 };
    let mut reader = BitReader::new(bytes);
    let mut taken = 0usize;
    for (number, delta) in run.iter_mut().enumerate() {
        if zeros >> number & 1 == 0 {
            *delta = least.wrapping_add(reader.take(bits).cast_signed()).wrapping_mul(unit);
            taken += bits as usize;
        }
    }
    *bytes = bytes.get(taken.div_ceil(8)..).unwrap_or_default();
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn differences_come_back_as_they_were_put(
            deltas in proptest::collection::vec(
                prop_oneof![Just(0i64), -100i64..100, (-50i64..50).prop_map(|pages| pages * PAGE), any::<i64>()],
                SAMPLES_OF_A_BATCH,
            ),
            few in proptest::collection::vec(prop_oneof![4 => Just(0i64), 1 => -100i64..100], SAMPLES_OF_A_BATCH),
        ) {
            let runs: [Run; 2] = [deltas.try_into().unwrap(), few.try_into().unwrap()];
            let mut bytes = Vec::new();
            runs.iter().for_each(|run| put_run(&mut bytes, run));
            let mut rest = bytes.as_slice();
            for run in runs {
                prop_assert_eq!(take_run(&mut rest), run);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
