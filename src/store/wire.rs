//! Numbers as bytes and bits: what every part of the ring's format is written in.
//!
//! In: integers. Out: bytes appended to a vector, and back. Variable-length integers have seven bits per byte, the lowest
//! first; signed ones are zigzag. Bit streams are filled from the lowest bit of each byte. Reading never panics: it gives
//! `None` at the end of the bytes. Next: [`column`](super::column).

/// Most bytes of a varint.
pub(super) const VARINT_BYTES: usize = 10;

/// Maps small magnitudes to small numbers: 0, -1, 1, -2, …
#[inline]
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[inline]
pub(super) const fn unzigzag(coded: u64) -> i64 {
    (coded >> 1).cast_signed() ^ -((coded & 1).cast_signed())
}

/// Number of bits that `value` needs; 0 for 0.
#[inline]
pub(super) const fn width(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Reads from the front of a slice; every method is `None` at the end of the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    #[inline]
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline]
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    #[inline]
    pub fn signed(&mut self) -> Option<i64> {
        self.varint().map(unzigzag)
    }

    /// A varint that counts something in memory.
    #[inline]
    pub fn size(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    #[inline]
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Appends bits to bytes.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    used: u32,
}

impl<'a> BitWriter<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, held: 0, used: 0 }
    }

    /// Appends the low `bits` (0 to 64) of `value`, whose higher bits are zero.
    #[inline]
    pub fn put(&mut self, value: u64, bits: u32) {
        self.held |= value << self.used;
        let total = self.used + bits;
        if total < u64::BITS {
            self.used = total;
            return;
        }
        self.out.extend_from_slice(&self.held.to_le_bytes());
        self.held = value.checked_shr(u64::BITS - self.used).unwrap_or(0);
        self.used = total - u64::BITS;
    }

    /// Fills the last byte with zeros.
    pub fn finish(self) {
        let bytes = usize::try_from(self.used.div_ceil(8)).unwrap_or(0);
        self.out.extend(self.held.to_le_bytes().iter().take(bytes));
    }
}

/// Reads bits; behind the end there are zeros.
#[derive(Debug, Clone, Copy)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    bit: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, bit: 0 }
    }

    /// The next bits, the next one lowest; at least 57 of them are real.
    #[inline]
    pub fn peek(&self) -> u64 {
        let rest = self.bytes.get(self.bit >> 3..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => short_word(rest),
        };
        word >> (self.bit & 7)
    }

    #[inline]
    pub fn skip(&mut self, bits: u32) {
        self.bit += bits as usize;
    }

    /// The next `bits` (0 to 64).
    #[inline]
    pub fn take(&mut self, bits: u32) -> u64 {
        if bits > 56 {
            let low = self.take(32);
            return low | self.take(bits - 32) << 32;
        }
        let value = self.peek() & ((1u64 << bits) - 1);
        self.skip(bits);
        value
    }

    /// Whether more was taken than there was.
    pub fn overrun(&self) -> bool {
        self.bit > self.bytes.len() * 8
    }
}

#[cold]
fn short_word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back_as_they_were_put(fields in proptest::collection::vec((any::<u64>(), 0u32..=64), 0..80)) {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            let cut = |value: u64, bits: u32| if bits == 64 { value } else { value & ((1 << bits) - 1) };
            fields.iter().for_each(|(value, bits)| writer.put(cut(*value, *bits), *bits));
            writer.finish();
            prop_assert_eq!(bytes.len(), fields.iter().map(|(_, bits)| *bits as usize).sum::<usize>().div_ceil(8));
            let mut reader = BitReader::new(&bytes);
            for (value, bits) in fields {
                prop_assert_eq!(reader.take(bits), cut(value, bits));
            }
            prop_assert!(!reader.overrun());
            reader.skip(8);
            prop_assert!(reader.overrun());
        }

        #[test]
        fn varints_come_back_and_a_cut_one_is_refused(value in any::<u64>(), signed in any::<i64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            put_varint(&mut bytes, zigzag(signed));
            let mut cursor = Cursor(&bytes);
            prop_assert_eq!((cursor.varint(), cursor.signed(), cursor.byte()), (Some(value), Some(signed), None));
            bytes.truncate(bytes.len() - 1);
            let mut cursor = Cursor(&bytes);
            prop_assert_eq!((cursor.varint(), cursor.signed()), (Some(value), None));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..30), bits in 0u32..=64) {
            let mut cursor = Cursor(&bytes);
            while cursor.varint().is_some() {}
            let mut reader = BitReader::new(&bytes);
            (0..10).for_each(|_| { reader.take(bits); });
        }
    }
}
