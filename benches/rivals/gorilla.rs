//! Gorilla: the compression of Facebook's in-memory database (Pelkonen et al., VLDB 2015, section 4.1).
//!
//! In: points of a time in whole seconds and a float. Out: bits, one block per series as in the paper's two hours: times
//! as differences of differences, values as the XOR with the one before. Integers beyond 2^53 lose their last digits.

use super::{Line, Series, timed};

/// Bits, the first one highest; 64 at a time.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    word: u64,
    used: u32,
}

impl Bits {
    /// Appends the lowest `count` bits.
    fn push(&mut self, value: u64, count: u32) {
        if count == 0 {
            return;
        }
        let value = value & (u64::MAX >> (64 - count));
        let room = 64 - self.used;
        if count < room {
            self.word |= value << (room - count);
            self.used += count;
            return;
        }
        let left = count - room;
        self.bytes.extend_from_slice(&(self.word | value >> left).to_be_bytes());
        self.word = if left == 0 { 0 } else { value << (64 - left) };
        self.used = left;
    }

    fn finish(mut self) -> Vec<u8> {
        let last = self.word.to_be_bytes();
        let bytes = (0..self.used).step_by(8).zip(last).map(|(_, byte)| byte);
        self.bytes.extend(bytes);
        self.bytes
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    fn pull(&mut self, count: u32) -> Option<u64> {
        if count == 0 {
            return Some(0);
        }
        let (byte, skip) = (self.at / 8, u32::try_from(self.at % 8).ok()?);
        self.at += usize::try_from(count).ok()?;
        if self.at > self.bytes.len() * 8 {
            return None;
        }
        let rest = self.bytes.get(byte..)?;
        let word = match rest.first_chunk() {
            Some(whole) => u64::from_be_bytes(*whole),
            // The last bytes are fewer than eight.
            None => rest.iter().zip(0..).fold(0, |word, (byte, at)| word | u64::from(*byte) << (56 - 8 * at)),
        };
        let value = word << skip >> (64 - count);
        let beyond = (skip + count).saturating_sub(64);
        if beyond == 0 {
            return Some(value);
        }
        let next = *rest.get(8)?;
        Some(value | u64::from(next) >> (8 - beyond))
    }

    /// How many of at most `most` bits are 1 before the first 0.
    fn ones(&mut self, most: u32) -> Option<u32> {
        for ones in 0..most {
            if self.pull(1)? == 0 {
                return Some(ones);
            }
        }
        Some(most)
    }
}

/// By the number of leading ones: bits of the difference of differences, and the least one.
const TIMES: [(u32, i64); 5] = [(0, 0), (7, -63), (9, -255), (12, -2047), (32, -(1 << 31))];

fn encode(points: impl Iterator<Item = (i64, f64)>) -> Bits {
    let mut bits = Bits::default();
    let (mut time, mut delta, mut last) = (0, 0, 0_u64);
    // The window of meaningful bits: leading zeros and length.
    let mut window: Option<(u32, u32)> = None;
    for (number, (now, value)) in points.enumerate() {
        let value = value.to_bits();
        if number == 0 {
            bits.push(now.cast_unsigned(), 64);
            bits.push(value, 64);
        } else {
            let twice = now - time - delta;
            delta = now - time;
            let fits = |(size, least): &(u32, i64)| (*least..*least + (1_i64 << size)).contains(&twice);
            let class = TIMES.iter().position(fits).unwrap_or(TIMES.len() - 1);
            let ones = u32::try_from(class).unwrap_or(4);
            // "0", "10", "110", "1110", "1111"
            bits.push(if ones == 4 { 0b1111 } else { (1 << (ones + 1)) - 2 }, (ones + 1).min(4));
            let (size, least) = TIMES.get(class).copied().unwrap_or((32, 0));
            bits.push((twice - least).cast_unsigned(), size);
            put_value(&mut bits, value ^ last, &mut window);
        }
        (time, last) = (now, value);
    }
    bits
}

fn put_value(bits: &mut Bits, xor: u64, window: &mut Option<(u32, u32)>) {
    if xor == 0 {
        bits.push(0, 1);
        return;
    }
    let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
    match *window {
        Some((lead, length)) if leading >= lead && trailing >= 64 - lead - length => {
            bits.push(0b10, 2);
            bits.push(xor >> (64 - lead - length), length);
        }
        _ => {
            let length = 64 - leading - trailing;
            bits.push(0b11, 2);
            bits.push(u64::from(leading), 5);
            // Six bits: a length of 64 is written as 0.
            bits.push(u64::from(length % 64), 6);
            bits.push(xor >> trailing, length);
            *window = Some((leading, length));
        }
    }
}

fn decode(bytes: &[u8], count: usize, mut each: impl FnMut(i64, f64)) -> Option<()> {
    let mut reader = BitReader { bytes, at: 0 };
    let mut time = reader.pull(64)?.cast_signed();
    let mut value = reader.pull(64)?;
    let (mut delta, mut lead, mut length) = (0, 0, 0);
    each(time, f64::from_bits(value));
    for _ in 1..count {
        let (size, least) = *TIMES.get(usize::try_from(reader.ones(4)?).ok()?)?;
        delta += reader.pull(size)?.cast_signed() + least;
        time += delta;
        match reader.ones(2)? {
            0 => {}
            fresh => {
                if fresh == 2 {
                    lead = u32::try_from(reader.pull(5)?).ok()?;
                    length = u32::try_from(reader.pull(6)?).ok()?;
                    length = if length == 0 { 64 } else { length };
                }
                value ^= reader.pull(length)? << (64 - lead - length);
            }
        }
        each(time, f64::from_bits(value));
    }
    Some(())
}

/// All series of a trace. `None` when something was not given back as it was.
pub fn measure(all: &[Series]) -> Option<Line> {
    let points = |series: &Series| -> Vec<(i64, f64)> {
        let times = series.walls.iter().map(|wall| (wall / 1_000_000_000).cast_signed());
        times.zip(series.values.iter().map(|value| *value as f64)).collect()
    };
    let given: Vec<Vec<(i64, f64)>> = all.iter().map(points).collect();
    let (blocks, encoded) =
        timed(|| given.iter().map(|points| encode(points.iter().copied()).finish()).collect::<Vec<_>>());
    let mut sum = 0.0;
    let (complete, decoded) = timed(|| {
        let decode =
            |(block, points): (&Vec<u8>, &Vec<(i64, f64)>)| decode(block, points.len(), |_, value| sum += value);
        blocks.iter().zip(&given).map(decode).collect::<Option<()>>()
    });
    complete?;
    std::hint::black_box(sum);
    for (block, points) in blocks.iter().zip(&given) {
        let mut expected = points.iter();
        let mut same = true;
        decode(block, points.len(), |time, value| {
            same &= expected.next().is_some_and(|point| (point.0, point.1.to_bits()) == (time, value.to_bits()));
        })?;
        if !same {
            return None;
        }
    }
    Some(Line {
        name: "Gorilla (times in seconds)".to_owned(),
        bytes: blocks.iter().map(Vec::len).sum(),
        samples: all.iter().map(|series| series.values.len()).sum(),
        encode: Some(encoded),
        decode: Some(decoded),
    })
}
