//! Protobuf's wire format, read in place: numbers and fields of bytes that stay where they are.
//!
//! In: bytes that anybody may have sent. Out: fields, or what is wrong with them. It allocates nothing, whatever lengths
//! the bytes declare, and never panics. Next: [`super::frame`], [`super::push`].

pub(super) use crate::store::wire::{unzigzag, zigzag};

/// What is wrong with a push's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Takes one number from the front. It ends at the first byte without a high bit, bits beyond the 64th are dropped, and
/// behind the end there are zeros: so a list has as many numbers as it has such bytes.
#[inline]
pub(super) fn varint(bytes: &mut &[u8]) -> u64 {
    match bytes.split_first() {
        Some((byte, rest)) if *byte < 0x80 => {
            *bytes = rest;
            u64::from(*byte)
        }
        _ => long_varint(bytes),
    }
}

#[inline]
fn long_varint(bytes: &mut &[u8]) -> u64 {
    // Eight bytes at a time: where the number ends is the first byte without a high bit.
    if let Some(word) = bytes.first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let ends = !word & 0x8080_8080_8080_8080;
        if ends != 0 {
            let length = (ends.trailing_zeros() / 8 + 1) as usize;
            *bytes = bytes.get(length..).unwrap_or_default();
            let mut word = word & (ends ^ ends.wrapping_sub(1)) & 0x7f7f_7f7f_7f7f_7f7f;
            word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
            word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
            return (word & 0x0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4;
        }
    }
    slow_varint(bytes)
}

#[cold]
fn slow_varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0u64, 0u32);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if *byte < 0x80 {
            break;
        }
        shift = shift.saturating_add(7);
    }
    value
}

/// Appends a number as the least bytes that it needs.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, value: u64) {
    match u8::try_from(value) {
        Ok(byte) if byte < 0x80 => out.push(byte),
        _ => crate::store::wire::put_varint(out, value),
    }
}

/// What is behind the next `count` numbers.
#[inline]
pub(super) fn skip_varints(bytes: &[u8], count: u32) -> &[u8] {
    let mut left = count;
    let mut at = 0;
    for byte in bytes {
        if left == 0 {
            break;
        }
        at += 1;
        left -= u32::from(*byte < 0x80);
    }
    bytes.get(at..).unwrap_or_default()
}

/// One field's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// 32 bits, of which the protocol has none.
    Other,
}

/// The fields of a message: (number, content). After an error there is nothing more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut cursor = crate::store::wire::Cursor(self.0);
        let number = cursor.varint()?;
        self.0 = cursor.0;
        Some(number)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.number()?;
        let field = match key & 7 {
            0 => Field::Varint(self.number()?),
            1 => Field::Fixed64(u64::from_le_bytes(*self.take(8)?.first_chunk()?)),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Field::Other
            }
            _ => return None,
        };
        Some((key >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed("the body ends within a field, or is no protobuf at all")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_read_alike_at_the_end_and_before_it(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let (mut fast, mut slow) = (bytes.as_slice(), bytes.as_slice());
            while !slow.is_empty() {
                prop_assert_eq!(varint(&mut fast), slow_varint(&mut slow));
                prop_assert_eq!(fast, slow);
            }
            prop_assert_eq!(skip_varints(&bytes, 0), bytes.as_slice());
        }

        #[test]
        fn numbers_come_back_and_are_passed_over(numbers in proptest::collection::vec((any::<u64>(), 0u32..64), 0..20)) {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|(number, shift)| put_varint(&mut bytes, number >> shift));
            let mut rest = bytes.as_slice();
            for (place, (number, shift)) in (0u32..).zip(&numbers) {
                prop_assert_eq!(skip_varints(&bytes, place), rest);
                prop_assert_eq!(varint(&mut rest), number >> shift);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
