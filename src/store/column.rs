//! One column for a run of ticks: a list of integers as few bytes.
//!
//! In: integers. Out: bytes, and back. The coder looks at the integers and takes what is smallest: the values above
//! their least one, their differences, or the differences of those; divided by their common divisor (memory counts in
//! pages); as distances from a reference, Rice coded; with the unchanged ones left out by a mask or by gaps when most
//! are. Pure functions. Next: [`chunk`](super::chunk).
//!
//! Layout: `shape: u8` (bits 0–1 order, 2–3 which are coded, 4 a divisor follows, 5 64-bit words follow, 6 the stream is of
//! fixed width), `low: u8` (the Rice parameter or the width),
//! `base: varint`, `divisor: varint` if there is one, for order 2 the first difference (zigzag), `reference: varint`
//! (zigzag), then the mask or the gaps (`count: varint`, then a varint each), then the bit stream. All arithmetic wraps,
//! so that any integers come back.

use super::wire::{BitReader, BitWriter, Cursor, put_varint, unzigzag, width, zigzag};

/// Which of the residuals are coded.
const CODED_ALL: u8 = 0;
const CODED_MASK: u8 = 1;
const CODED_GAPS: u8 = 2;
const HAS_DIVISOR: u8 = 1 << 4;
const WORDS: u8 = 1 << 5;
const FIXED: u8 = 1 << 6;

/// A quotient of this many ones is an escape: the number follows with its width.
const ESCAPE: u32 = 16;
const WIDTH_BITS: u32 = 6;
/// With more low bits a code would not fit one look at the stream.
const MOST_LOW_BITS: u32 = 40;

/// Memory of the coder between two columns.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Differences, divided.
    deltas: Vec<i64>,
    /// Residuals of the candidate that is looked at.
    residuals: Vec<i64>,
    sorted: Vec<i64>,
}

/// What a candidate would cost, roughly, and how it is made.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    bits: u64,
    order: u8,
    coded: u8,
    reference: i64,
}

/// What the base of an encoded column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The first value.
    First(u64),
    /// The least value.
    Least(u64),
}

/// The base of an encoded column, without decoding it.
pub(super) fn base(bytes: &[u8]) -> Option<Base> {
    let mut cursor = Cursor(bytes);
    let shape = cursor.byte()?;
    if shape & WORDS != 0 {
        return cursor.u64().map(Base::First);
    }
    cursor.byte()?;
    let base = cursor.varint()?;
    Some(if shape & 3 == 0 { Base::Least(base) } else { Base::First(base) })
}

/// What is wanted of an encoded column besides being short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// Nothing.
    Short,
    /// The base is the first value.
    Ordered,
    /// The stream has a fixed width: it is decoded fastest.
    Fast,
}

/// Appends `values` to `out`. Their number is not written.
pub(super) fn encode(values: &[u64], aim: Aim, scratch: &mut Scratch, out: &mut Vec<u8>) {
    let Some((first, rest)) = values.split_first() else { return };
    let Scratch { deltas, residuals, sorted } = scratch;
    deltas.clear();
    deltas.extend(rest.iter().zip(values).map(|(new, old)| new.wrapping_sub(*old).cast_signed()));
    let divisor = common_divisor(deltas);
    divide(deltas, divisor);
    let changes = deltas.iter().filter(|delta| **delta != 0).count();

    let mut best = Candidate { bits: u64::MAX, order: 1, coded: CODED_ALL, reference: 0 };
    let mut consider = |candidate: Candidate| {
        if candidate.bits < best.bits {
            best = candidate;
        }
    };
    let total = deltas.len();
    let few = changes * 8 <= total;
    if few || changes * 4 <= total * 3 {
        residuals.clear();
        residuals.extend(deltas.iter().filter(|delta| **delta != 0));
        let reference = median(residuals, sorted);
        let (coded, places) = if few { (CODED_GAPS, changes * 8 + 8) } else { (CODED_MASK, total) };
        consider(Candidate { bits: cost(residuals, reference) + places as u64, order: 1, coded, reference });
    }
    if !few {
        let reference = median(deltas, sorted);
        consider(Candidate { bits: cost(deltas, reference), order: 1, coded: CODED_ALL, reference });
        let least = values.iter().min().copied().unwrap_or(0);
        let range = values.iter().max().copied().unwrap_or(0) - least;
        // Only then are the differences those of the plain numbers, and their divisor divides the distances too.
        if aim != Aim::Ordered && range <= i64::MAX.cast_unsigned() {
            above(values, least, divisor, residuals);
            let reference = median(residuals, sorted);
            consider(Candidate { bits: cost(residuals, reference), order: 0, coded: CODED_ALL, reference });
        }
        second_order(deltas, residuals);
        consider(Candidate { bits: cost(residuals, 0) + 16, order: 2, coded: CODED_ALL, reference: 0 });
    }

    // The residuals of the chosen one again: cheaper than to keep all candidates'.
    let base = match best.order {
        0 => {
            let least = values.iter().min().copied().unwrap_or(0);
            above(values, least, divisor, residuals);
            least
        }
        1 => {
            residuals.clear();
            let coded = deltas.iter().filter(|delta| best.coded == CODED_ALL || **delta != 0);
            residuals.extend(coded);
            *first
        }
        _ => {
            second_order(deltas, residuals);
            *first
        }
    };
    for residual in residuals.iter_mut() {
        *residual = zigzag(residual.wrapping_sub(best.reference)).cast_signed();
    }
    let (mut low, mut bits) = best_rice(residuals);
    let widest = residuals.iter().fold(0, |any, residual| any | *residual);
    let fixed_width = width(widest.cast_unsigned());
    let fixed_bits = u64::from(fixed_width) * residuals.len() as u64;
    let fixed = fixed_bits <= bits || aim == Aim::Fast;
    if fixed {
        (low, bits) = (fixed_width, fixed_bits);
    }
    if bits >= residuals.len() as u64 * 60 && values.len() > 1 {
        out.push(WORDS);
        values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        return;
    }
    let with_divisor = if divisor > 1 { HAS_DIVISOR } else { 0 };
    out.push(best.order | best.coded << 2 | with_divisor | if fixed { FIXED } else { 0 });
    out.push(low.to_le_bytes()[0]);
    put_varint(out, base);
    if divisor > 1 {
        put_varint(out, divisor);
    }
    if best.order == 2 {
        put_varint(out, zigzag(deltas.first().copied().unwrap_or(0)));
    }
    put_varint(out, zigzag(best.reference));
    put_places(best.coded, deltas, changes, out);
    let mut writer = BitWriter::new(out);
    if fixed {
        residuals.iter().for_each(|residual| writer.put(residual.cast_unsigned(), low));
    } else {
        residuals.iter().for_each(|residual| put_rice(&mut writer, residual.cast_unsigned(), low));
    }
    writer.finish();
}

/// The largest number that divides all differences; 1 when there is none.
fn common_divisor(deltas: &[i64]) -> u64 {
    let any = deltas.iter().fold(0, |any, delta| any | *delta);
    if any == 0 {
        return 1;
    }
    let twos = any.trailing_zeros();
    let mut odd = 0u64;
    for delta in deltas.iter().filter(|delta| **delta != 0) {
        odd = gcd(odd, delta.unsigned_abs() >> twos);
        if odd == 1 {
            break;
        }
    }
    let divisor = odd.max(1) << twos;
    // The difference `i64::MIN` has no positive counterpart to divide by.
    if divisor > i64::MAX.cast_unsigned() { 1 } else { divisor }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn divide(deltas: &mut [i64], divisor: u64) {
    if divisor == 1 {
        return;
    }
    let signed = divisor.cast_signed();
    if divisor.is_power_of_two() {
        let shift = divisor.trailing_zeros();
        deltas.iter_mut().for_each(|delta| *delta >>= shift);
    } else {
        deltas.iter_mut().for_each(|delta| *delta = delta.checked_div(signed).unwrap_or(0));
    }
}

/// The values above the least one, divided. A distance of 2^63 and more comes out negative, and back by wrapping.
fn above(values: &[u64], least: u64, divisor: u64, out: &mut Vec<i64>) {
    out.clear();
    if divisor.is_power_of_two() {
        let shift = divisor.trailing_zeros();
        out.extend(values.iter().map(|value| (value.wrapping_sub(least) >> shift).cast_signed()));
    } else {
        let scaled = |value: &u64| value.wrapping_sub(least).checked_div(divisor).unwrap_or(0).cast_signed();
        out.extend(values.iter().map(scaled));
    }
}

fn second_order(deltas: &[i64], out: &mut Vec<i64>) {
    out.clear();
    out.extend(deltas.iter().skip(1).zip(deltas).map(|(new, old)| new.wrapping_sub(*old)));
}

fn median(values: &[i64], sorted: &mut Vec<i64>) -> i64 {
    if values.is_empty() {
        return 0;
    }
    sorted.clear();
    // Every other one: the reference may be a little off.
    sorted.extend(values.iter().step_by(1 + values.len() / 64));
    let middle = sorted.len() / 2;
    *sorted.select_nth_unstable(middle).1
}

/// Roughly the bits that the residuals take about a reference.
fn cost(residuals: &[i64], reference: i64) -> u64 {
    let widths: u64 = residuals.iter().map(|residual| u64::from(width(zigzag(residual.wrapping_sub(reference))))).sum();
    widths + residuals.len() as u64 + residuals.len() as u64 / 2 + 8 * u64::from(width(zigzag(reference)).div_ceil(7))
}

/// The number of low bits that makes the zigzag residuals shortest, and how long they are.
fn best_rice(residuals: &[i64]) -> (u32, u64) {
    let mut counts = [0u32; 65];
    for residual in residuals {
        if let Some(count) = counts.get_mut(width(residual.cast_unsigned()) as usize) {
            *count += 1;
        }
    }
    let half = u32::try_from(residuals.len() / 2).unwrap_or(u32::MAX);
    let mut seen = 0;
    let middle = counts.iter().position(|count| {
        seen += count;
        seen > half
    });
    let middle = u32::try_from(middle.unwrap_or(0)).unwrap_or(0);
    let mut best = (0, u64::MAX);
    for rice in middle.saturating_sub(2)..=(middle + 1).min(MOST_LOW_BITS) {
        let bits = residuals.iter().map(|residual| u64::from(rice_bits(residual.cast_unsigned(), rice))).sum();
        if bits < best.1 {
            best = (rice, bits);
        }
    }
    best
}

#[inline]
fn rice_bits(value: u64, rice: u32) -> u32 {
    let quotient = value >> rice;
    if quotient < u64::from(ESCAPE) {
        // At most 15, so the low byte is all of it.
        u32::from(quotient.to_le_bytes()[0]) + 1 + rice
    } else {
        ESCAPE + WIDTH_BITS + width(value)
    }
}

#[inline]
fn put_rice(writer: &mut BitWriter<'_>, value: u64, rice: u32) {
    let quotient = value >> rice;
    if quotient < u64::from(ESCAPE) {
        let low = value & ((1 << rice) - 1);
        let ones = u32::from(quotient.to_le_bytes()[0]);
        writer.put(((1u64 << ones) - 1) | low << (ones + 1), ones + 1 + rice);
    } else {
        let bits = width(value);
        writer.put(((1 << ESCAPE) - 1) | u64::from(bits - 1) << ESCAPE, ESCAPE + WIDTH_BITS);
        writer.put(value, bits);
    }
}

#[inline]
fn take_rice(reader: &mut BitReader<'_>, rice: u32) -> u64 {
    let word = reader.peek();
    let ones = word.trailing_ones();
    if ones < ESCAPE {
        reader.skip(ones + 1 + rice);
        return u64::from(ones) << rice | (word >> (ones + 1)) & ((1 << rice) - 1);
    }
    reader.skip(ESCAPE);
    let bits = reader.take(WIDTH_BITS) + 1;
    reader.take(u32::from(bits.to_le_bytes()[0]))
}

fn put_places(coded: u8, deltas: &[i64], changes: usize, out: &mut Vec<u8>) {
    match coded {
        CODED_MASK => {
            let bits = |group: &[i64]| group.iter().rev().fold(0u8, |mask, delta| mask << 1 | u8::from(*delta != 0));
            out.extend(deltas.chunks(8).map(bits));
        }
        CODED_GAPS => {
            put_varint(out, changes as u64);
            let mut before = 0;
            for (place, _) in (1u64..).zip(deltas).filter(|(_, delta)| **delta != 0) {
                put_varint(out, place - before);
                before = place;
            }
        }
        _ => {}
    }
}

/// Fills `values` with what was encoded; their number is given by the slice. `None` when the bytes are damaged.
pub(super) fn decode(bytes: &[u8], values: &mut [u64]) -> Option<()> {
    if values.is_empty() {
        return Some(());
    }
    let mut cursor = Cursor(bytes);
    let shape = cursor.byte()?;
    if shape & WORDS != 0 {
        for value in values {
            *value = cursor.u64()?;
        }
        return Some(());
    }
    let low = u32::from(cursor.byte()?);
    let base = cursor.varint()?;
    let divisor = if shape & HAS_DIVISOR != 0 { cursor.varint()? } else { 1 };
    let first_delta = if shape & 3 == 2 { cursor.signed()? } else { 0 };
    let reference = cursor.signed()?;
    let steps = Steps { order: shape & 3, coded: shape >> 2 & 3, base, divisor, first_delta, reference };
    match shape & FIXED != 0 {
        true if low <= u64::BITS => steps.run(cursor, values, |reader| reader.take(low)),
        false if low <= MOST_LOW_BITS => steps.run(cursor, values, |reader| take_rice(reader, low)),
        _ => None,
    }
}

/// How residuals become values again.
struct Steps {
    order: u8,
    coded: u8,
    base: u64,
    divisor: u64,
    first_delta: i64,
    reference: i64,
}

impl Steps {
    #[inline]
    fn run(&self, mut cursor: Cursor<'_>, values: &mut [u64], take: impl Fn(&mut BitReader<'_>) -> u64) -> Option<()> {
        let (divisor, reference) = (self.divisor, self.reference);
        let residual = |reader: &mut BitReader<'_>| reference.wrapping_add(unzigzag(take(reader)));
        let step = |scaled: i64| scaled.cast_unsigned().wrapping_mul(divisor);
        let mut last = self.base;
        let mut reader = BitReader::new(cursor.0);
        match (self.order, self.coded) {
            (0, CODED_ALL) => {
                for value in values {
                    *value = self.base.wrapping_add(step(residual(&mut reader)));
                }
            }
            (1, CODED_ALL) => {
                let (first, rest) = values.split_first_mut()?;
                *first = last;
                for value in rest {
                    last = last.wrapping_add(step(residual(&mut reader)));
                    *value = last;
                }
            }
            (1, CODED_MASK) => {
                let (first, rest) = values.split_first_mut()?;
                let mask = cursor.take(rest.len().div_ceil(8))?;
                reader = BitReader::new(cursor.0);
                *first = last;
                for (group, mask) in rest.chunks_mut(8).zip(mask) {
                    for (place, value) in group.iter_mut().enumerate() {
                        if mask >> place & 1 == 1 {
                            last = last.wrapping_add(step(residual(&mut reader)));
                        }
                        *value = last;
                    }
                }
            }
            (1, CODED_GAPS) => {
                let changes = cursor.size()?;
                let mut gaps = cursor;
                for _ in 0..changes {
                    cursor.varint()?;
                }
                reader = BitReader::new(cursor.0);
                let mut rest = values;
                for _ in 0..changes {
                    let (same, later) = rest.split_at_mut_checked(gaps.size()?)?;
                    same.fill(last);
                    rest = later;
                    last = last.wrapping_add(step(residual(&mut reader)));
                }
                rest.fill(last);
            }
            (2, CODED_ALL) => {
                let (first, rest) = values.split_first_mut()?;
                *first = last;
                let mut delta = self.first_delta;
                for (place, value) in rest.iter_mut().enumerate() {
                    if place > 0 {
                        delta = delta.wrapping_add(residual(&mut reader));
                    }
                    last = last.wrapping_add(step(delta));
                    *value = last;
                }
            }
            _ => return None,
        }
        (!reader.overrun()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(values: &[u64]) -> usize {
        let mut bytes = Vec::new();
        encode(values, Aim::Short, &mut Scratch::default(), &mut bytes);
        let mut back = vec![7; values.len()];
        decode(&bytes, &mut back).unwrap();
        assert_eq!(back, values);
        let length = bytes.len();
        bytes.clear();
        encode(values, Aim::Fast, &mut Scratch::default(), &mut bytes);
        decode(&bytes, &mut back).unwrap();
        assert_eq!(back, values);
        bytes.clear();
        encode(values, Aim::Ordered, &mut Scratch::default(), &mut bytes);
        decode(&bytes, &mut back).unwrap();
        assert_eq!(back, values);
        assert_eq!(base(&bytes), values.first().map(|first| Base::First(*first)));
        length
    }

    #[test]
    fn a_counter_of_pages_takes_less_than_a_byte_each() {
        let values: Vec<u64> = (0..120u64).map(|tick| 7_340_032 + (tick * 31 % 7) * 4096).collect();
        assert!(there_and_back(&values) <= 75);
    }

    #[test]
    fn a_steady_counter_costs_its_header() {
        let values: Vec<u64> = (0..120u64).map(|tick| 1_000_000 + tick * 250_000).collect();
        assert!(there_and_back(&values) <= 25);
    }

    #[test]
    fn a_column_that_moved_twice_costs_its_two_moves() {
        let mut values = vec![81u64; 120];
        values[40..].fill(82);
        values[99..].fill(90);
        assert!(there_and_back(&values) <= 9);
    }

    #[test]
    fn one_outlier_does_not_spoil_the_others() {
        let mut values: Vec<u64> = (0..120u64).map(|tick| tick * 1000 + tick * 7 % 5).collect();
        let without = there_and_back(&values);
        values[60..].iter_mut().for_each(|value| *value += 1 << 50);
        assert!(there_and_back(&values) <= without + 16);
    }

    #[test]
    fn the_largest_distances_come_back() {
        there_and_back(&[0, u64::MAX, 0, u64::MAX, 1 << 63, 0]);
        there_and_back(&[1 << 63, 0, 1 << 63, 0]);
        there_and_back(&[u64::MAX; 3]);
        there_and_back(&[5]);
        there_and_back(&[]);
    }

    fn shapes() -> impl Strategy<Value = Vec<u64>> {
        let any_values = proptest::collection::vec(any::<u64>(), 1..130);
        let small_steps = (any::<u64>(), 1u64..100_000, proptest::collection::vec(-40i64..40, 1..130)).prop_map(
            |(start, factor, steps)| {
                let add = |value: &mut u64, step: i64| {
                    *value = value.wrapping_add(step.cast_unsigned().wrapping_mul(factor));
                    Some(*value)
                };
                steps.into_iter().scan(start, add).collect()
            },
        );
        let rare =
            (any::<u64>(), proptest::collection::vec((0u8..20, any::<u32>()), 1..130)).prop_map(|(start, steps)| {
                let add = |value: &mut u64, (chance, step): (u8, u32)| {
                    *value = value.wrapping_add(if chance == 0 { u64::from(step) } else { 0 });
                    Some(*value)
                };
                steps.into_iter().scan(start, add).collect()
            });
        prop_oneof![any_values, small_steps, rare]
    }

    proptest! {
        #[test]
        fn any_integers_come_back(values in shapes()) {
            let bytes = there_and_back(&values);
            prop_assert!(bytes <= 9 * values.len() + 40);
        }

        #[test]
        fn damaged_bytes_never_panic(values in shapes(), at in any::<usize>(), flip in 1u8..=255, cut in any::<usize>()) {
            let mut bytes = Vec::new();
            encode(&values, Aim::Short, &mut Scratch::default(), &mut bytes);
            let length = bytes.len();
            bytes[at % length] ^= flip;
            let mut back = vec![0; values.len()];
            let _ = decode(&bytes, &mut back);
            let _ = decode(&bytes[..cut % length], &mut back);
        }
    }
}
