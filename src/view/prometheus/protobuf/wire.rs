//! Protobuf's wire format, as much of it as `io.prometheus.client` needs.
//!
//! In: numbers and text. Out: tags, varints and lengths, appended to a buffer. It knows no message but the label pair.
//! Next: [`protobuf`](super).

use super::super::labels::quoted_pairs;

/// A field whose value is a varint.
pub const VARINT: u64 = 0;
/// A field of eight bytes.
pub const FIXED64: u64 = 1;
/// A field with a length in front.
pub const LENGTH: u64 = 2;

/// Appends a varint.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is written")]
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The bytes that a varint takes.
#[inline]
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    // A varint holds seven bits per byte.
    ((70 - (value | 1).leading_zeros()) / 7) as usize
}

/// A length as a varint's value.
#[inline]
#[must_use]
pub fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Appends a field's tag.
#[inline]
pub fn push_tag(out: &mut Vec<u8>, field: u64, kind: u64) {
    push_varint(out, (field << 3) | kind);
}

/// Appends an unsigned number.
pub fn push_number(out: &mut Vec<u8>, field: u64, value: u64) {
    push_tag(out, field, VARINT);
    push_varint(out, value);
}

/// Appends a signed number in zigzag.
pub fn push_signed(out: &mut Vec<u8>, field: u64, value: i64) {
    push_number(out, field, zigzag(value));
}

/// A signed number with its sign in the lowest bit.
#[must_use]
#[expect(clippy::cast_sign_loss, reason = "zigzag is defined on the bits")]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends a float.
#[inline]
pub fn push_double(out: &mut Vec<u8>, field: u64, value: f64) {
    push_tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends bytes with their length.
pub fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_tag(out, field, LENGTH);
    push_varint(out, length(bytes.len()));
    out.extend_from_slice(bytes);
}

/// Appends a message that `write` makes.
pub fn push_message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::with_capacity(64);
    write(&mut message);
    push_bytes(out, field, &message);
}

/// Appends a label pair as a `label` field of a `Metric` or an `Exemplar`: both have the number 1.
pub fn push_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    let field = |text: &str| 1 + varint_len(length(text.len())) + text.len();
    push_tag(out, 1, LENGTH);
    push_varint(out, length(field(name) + field(value)));
    push_bytes(out, 1, name.as_bytes());
    push_bytes(out, 2, value.as_bytes());
}

/// Appends all pairs of a rendered block.
pub fn push_pairs(out: &mut Vec<u8>, block: &str) {
    for (name, value) in quoted_pairs(block) {
        push_pair(out, &name, &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_takes_as_many_bytes_as_are_foretold() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                push_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                assert_eq!(prost::encoding::decode_varint(&mut out.as_slice()).unwrap(), value);
            }
        }
    }

    #[test]
    fn zigzag_keeps_small_numbers_small() {
        assert_eq!([0, -1, 1, -2, i64::MIN].map(zigzag), [0, 1, 2, 3, u64::MAX]);
    }
}
