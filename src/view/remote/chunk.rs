//! Prometheus' XOR chunks: timestamps and floats, packed as in Facebook's Gorilla.
//!
//! In: at most [`MAX_SAMPLES`] samples in ascending time. Out: the bytes that Prometheus' `chunkenc.XORChunk` makes of
//! them. Pure. Next: `read.rs`.
//!
//! ```text
//! u16 big endian   how many samples
//! first sample     time as signed varint, value as 64 bits
//! second           time since the first as unsigned varint, value
//! others           change of that difference: 0 | 10 + 14 bits | 110 + 17 | 1110 + 20 | 1111 + 64, value
//! value            XOR with the one before: 0 (same) | 10 + bits in the last window | 11 + 5 bits leading zeros
//!                  + 6 bits length + bits
//! ```

use super::messages::Sample;

/// Most samples of one chunk: what Prometheus itself puts into one.
pub const MAX_SAMPLES: usize = 120;

/// A string of bits, filled from the highest bit of each byte on.
#[derive(Debug)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are still free.
    free: u32,
}

impl Bits {
    /// Appends the lowest `count` bits of `value`, the highest of them first.
    fn push(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = left.min(self.free);
            let part = (value >> (left - now)) & ((1 << now) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::try_from(part << (self.free - now)).unwrap_or(0);
            }
            self.free -= now;
            left -= now;
        }
    }

    fn push_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.push(value, 8);
    }
}

/// Packs the first [`MAX_SAMPLES`] of `samples`.
#[must_use]
pub fn encode(samples: &[Sample]) -> Vec<u8> {
    let samples = samples.get(..MAX_SAMPLES).unwrap_or(samples);
    let count = u16::try_from(samples.len()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(2 + samples.len() * 4);
    bytes.extend_from_slice(&count.to_be_bytes());
    let mut bits = Bits { bytes, free: 0 };
    let mut last = Sample::default();
    let mut last_delta = 0i64;
    let mut window = None;
    for (index, sample) in samples.iter().enumerate() {
        // Wrapping, as Go's integers do: whatever the times are, a reader that wraps gets them back.
        let delta = sample.timestamp.wrapping_sub(last.timestamp);
        match index {
            0 => {
                bits.push_uvarint((sample.timestamp << 1 ^ sample.timestamp >> 63).cast_unsigned());
                bits.push(sample.value.to_bits(), 64);
            }
            1 => {
                bits.push_uvarint(delta.cast_unsigned());
                push_value(&mut bits, sample.value, last.value, &mut window);
            }
            _ => {
                push_change(&mut bits, delta.wrapping_sub(last_delta));
                push_value(&mut bits, sample.value, last.value, &mut window);
            }
        }
        last = *sample;
        last_delta = delta;
    }
    bits.bytes
}

fn push_change(bits: &mut Bits, change: i64) {
    let fits = |count: u32| (-((1i64 << (count - 1)) - 1)..=1i64 << (count - 1)).contains(&change);
    let (prefix, prefix_bits, count) = match change {
        0 => (0, 1, 0),
        _ if fits(14) => (0b10, 2, 14),
        _ if fits(17) => (0b110, 3, 17),
        _ if fits(20) => (0b1110, 4, 20),
        _ => (0b1111, 4, 64),
    };
    bits.push(prefix, prefix_bits);
    bits.push(change.cast_unsigned(), count);
}

/// The bits of a XOR that may differ: zeros before and behind them.
#[derive(Debug, Clone, Copy)]
struct Window {
    leading: u32,
    trailing: u32,
}

fn push_value(bits: &mut Bits, value: f64, last: f64, window: &mut Option<Window>) {
    let change = value.to_bits() ^ last.to_bits();
    if change == 0 {
        bits.push(0, 1);
        return;
    }
    bits.push(1, 1);
    // Five bits are there for the leading zeros.
    let (leading, trailing) = (change.leading_zeros().min(31), change.trailing_zeros());
    if let Some(kept) = window
        && leading >= kept.leading
        && trailing >= kept.trailing
    {
        bits.push(0, 1);
        bits.push(change >> kept.trailing, 64 - kept.leading - kept.trailing);
        return;
    }
    *window = Some(Window { leading, trailing });
    let length = 64 - leading - trailing;
    bits.push(1, 1);
    bits.push(u64::from(leading), 5);
    // Six bits cannot say 64: they say 0, which no change has.
    bits.push(u64::from(length), 6);
    bits.push(change >> trailing, length);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Reader<'a> {
        bytes: &'a [u8],
        at: usize,
    }

    impl Reader<'_> {
        fn bit(&mut self) -> u64 {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            self.at += 1;
            u64::from(bit)
        }

        fn bits(&mut self, count: u32) -> u64 {
            (0..count).fold(0, |bits, _| bits << 1 | self.bit())
        }

        fn uvarint(&mut self) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = self.bits(8);
                value |= (byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
    }

    /// Written from the format's description, apart from the encoder.
    pub(crate) fn decode(bytes: &[u8]) -> Vec<Sample> {
        let count = u16::from_be_bytes([bytes[0], bytes[1]]);
        let mut reader = Reader { bytes: &bytes[2..], at: 0 };
        let (mut time, mut delta, mut value) = (0i64, 0i64, 0u64);
        let (mut leading, mut length) = (0, 0);
        let mut samples = Vec::new();
        for index in 0..count {
            match index {
                0 => {
                    let zigzag = reader.uvarint();
                    time = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
                    value = reader.bits(64);
                }
                _ => {
                    if index == 1 {
                        delta = reader.uvarint().cast_signed();
                    } else {
                        let mut ones = 0;
                        while ones < 4 && reader.bit() == 1 {
                            ones += 1;
                        }
                        let width = [0, 14, 17, 20, 64][ones];
                        let mut change = reader.bits(width).cast_signed();
                        if width > 0 && width < 64 && change > 1 << (width - 1) {
                            change -= 1 << width;
                        }
                        delta = delta.wrapping_add(change);
                    }
                    time = time.wrapping_add(delta);
                    if reader.bit() == 1 {
                        if reader.bit() == 1 {
                            leading = u32::try_from(reader.bits(5)).unwrap();
                            length = match u32::try_from(reader.bits(6)).unwrap() {
                                0 => 64,
                                length => length,
                            };
                        }
                        value ^= reader.bits(length) << (64 - leading - length);
                    }
                }
            }
            samples.push(Sample { timestamp: time, value: f64::from_bits(value) });
        }
        assert!(reader.bytes.len() * 8 - reader.at < 8, "bytes behind the last sample");
        samples
    }

    fn samples(pairs: &[(i64, f64)]) -> Vec<Sample> {
        pairs.iter().map(|(timestamp, value)| Sample { timestamp: *timestamp, value: *value }).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Both out of the chunk file that `promtool tsdb create-blocks-from openmetrics` (Prometheus 2.42) wrote.
    #[test]
    fn the_bytes_are_those_that_prometheus_writes() {
        let rough = samples(&[
            (1_700_000_000_000, 1.0),
            (1_700_000_001_000, 1.0),
            (1_700_000_002_000, 1.5),
            (1_700_000_003_001, -2.25),
            (1_700_000_013_001, 1e300),
            (1_700_000_113_001, 1e300),
            (1_700_003_713_001, 0.0),
            (1_700_003_714_001, 123_456.789),
        ]);
        let written =
            "0008 80a0abfef962 3ff0000000000000 e807 3603 8001c07fffdc2327c1f5f1af21e44003acfc2bf20f0000000000
            3567e09f8df90f22001d67fffffffffffc91568c3fc0fe240c9fbe76c9";
        let expected = bytes(written);
        assert_eq!(encode(&rough), expected);
        let smooth = samples(&[
            (1_700_000_000_000, 10.0),
            (1_700_000_001_000, 10.001),
            (1_700_000_002_003, 10.002),
            (1_700_000_003_001, 10.004),
            (1_700_000_004_000, 10.004),
        ]);
        let written = "0005 80a0abfef962 4024000000000000 e807f144189374bc6c001f7a30a6d67712effefb538536b3b897800100";
        assert_eq!(encode(&smooth), bytes(written));
        // The file has a checksum behind each chunk: the one that a frame of a streamed answer has as well.
        assert_eq!(crc32c::crc32c(&[&[1], expected.as_slice()].concat()), 0xc5cf_17d6);
    }

    #[test]
    fn a_chunk_takes_no_more_than_its_samples() {
        let many: Vec<_> = (0..200).map(|n| Sample { timestamp: n, value: 1.0 }).collect();
        assert_eq!(decode(&encode(&many)).len(), MAX_SAMPLES);
        assert_eq!(encode(&[]), [0, 0]);
    }

    fn times() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![
            Just(1000i64),
            990..1010i64,
            -8192..8193i64,
            -65_537..65_538i64,
            -524_289..524_290i64,
            any::<i64>()
        ];
        (any::<i64>(), prop::collection::vec(step, 0..120)).prop_map(|(first, steps)| {
            let mut times = vec![first];
            times.extend(steps.into_iter().scan((first, 1000), |(time, delta), step| {
                *delta = i64::wrapping_add(*delta, step);
                *time = i64::wrapping_add(*time, *delta);
                Some(*time)
            }));
            times.truncate(MAX_SAMPLES);
            times
        })
    }

    proptest! {
        #[test]
        fn any_times_and_values_come_back_bit_by_bit(
            times in times(),
            values in prop::collection::vec(prop_oneof![any::<u64>().prop_map(f64::from_bits), (0..50u32).prop_map(f64::from)], MAX_SAMPLES)
        ) {
            let samples: Vec<_> =
                times.iter().zip(values).map(|(timestamp, value)| Sample { timestamp: *timestamp, value }).collect();
            let read = decode(&encode(&samples));
            prop_assert_eq!(read.len(), samples.len());
            for (read, written) in read.iter().zip(&samples) {
                prop_assert_eq!(read.timestamp, written.timestamp);
                prop_assert_eq!(read.value.to_bits(), written.value.to_bits());
            }
        }
    }
}
