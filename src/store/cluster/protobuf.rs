//! Protobuf's wire format, read in place: numbers and fields of bytes that stay where they are.
//!
//! In: bytes that anybody may have sent. Out: fields, or what is wrong with them. It allocates nothing, whatever lengths
//! the bytes declare, and never panics. Next: [`super::frame`], [`super::push`].

pub(super) use crate::store::wire::{put_varint, unzigzag, zigzag};

/// What is wrong with a push's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Takes one number from the front. It ends at the first byte without a high bit, bits beyond the 64th are dropped, and
/// behind the end there are zeros: so a list has as many numbers as it has such bytes.
#[inline]
pub(super) fn varint(bytes: &mut &[u8]) -> u64 {
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
