//! Protobuf as it is written here: fields one after the other into one buffer.
//!
//! In: numbers of fields and values. Out: bytes. The messages hold the same strings thousands of times, so that they
//! are written from borrowed data and never built as owned trees. It reads nothing. Next: `remote_write.rs`, `otlp.rs`.

use prost::encoding::{WireType, encode_key, encode_varint};

/// A message that grows.
#[derive(Debug, Default)]
pub struct Proto(pub Vec<u8>);

impl Proto {
    /// An integer; 0 is left out, as proto3 does.
    pub fn integer(&mut self, field: u32, value: u64) {
        if value != 0 {
            encode_key(field, WireType::Varint, &mut self.0);
            encode_varint(value, &mut self.0);
        }
    }

    /// An `int64`; 0 is left out.
    pub fn signed(&mut self, field: u32, value: i64) {
        self.integer(field, value.cast_unsigned());
    }

    /// A `double`; +0 is left out, -0 is not.
    pub fn double(&mut self, field: u32, value: f64) {
        if value.to_bits() != 0 {
            self.member_double(field, value);
        }
    }

    /// A `double` of a `oneof`, which is written even if it is 0.
    pub fn member_double(&mut self, field: u32, value: f64) {
        encode_key(field, WireType::SixtyFourBit, &mut self.0);
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// A `fixed64`; 0 is left out.
    pub fn fixed(&mut self, field: u32, value: u64) {
        if value != 0 {
            encode_key(field, WireType::SixtyFourBit, &mut self.0);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A string, bytes or a message that was written before; it is written even if it is empty.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        encode_varint(u64::try_from(value.len()).unwrap_or(u64::MAX), &mut self.0);
        self.0.extend_from_slice(value);
    }

    /// A string; the empty one is left out.
    pub fn text(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    /// A message whose fields `write` writes.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        let start = self.0.len();
        // One byte is enough for the length of most: samples and labels.
        self.0.push(0);
        write(self);
        let length = self.0.len() - start - 1;
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => {
                if let Some(place) = self.0.get_mut(start) {
                    *place = short;
                }
            }
            _ => {
                let mut header = Vec::with_capacity(10);
                encode_varint(u64::try_from(length).unwrap_or(u64::MAX), &mut header);
                self.0.splice(start..=start, header);
            }
        }
    }
}
