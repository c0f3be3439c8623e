//! How pushes travel between replicas: one after the other, each with its length in front.
//!
//! In: pushes that a replica accepted, or exported from its store. Out: bytes, and pushes again. Both ends are replicas of
//! one aggregator with one certificate authority; lengths are bounded nevertheless. Next: [`super::link`], [`super::serve`].

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use prost::encoding::decode_varint;

/// The longest push that is taken over: the agents' cap of 1 MiB, and room for an export of a crowded node.
pub const LONGEST: usize = 8 << 20;

/// One push on its way to another replica.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Forwarded {
    /// The node that it is of.
    #[prost(string, tag = "1")]
    pub node: String,
    /// Wall clock of the replica that received it.
    #[prost(fixed64, tag = "2")]
    pub received_unix_nanos: u64,
    /// The body as the agent sent it, or a stand-alone push from the store.
    #[prost(bytes = "bytes", tag = "3")]
    pub body: Bytes,
}

/// What does not look like pushes between replicas.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than anything that is sent.
    #[error("a push of {0} bytes between replicas is longer than {LONGEST}; are both of the same version?")]
    TooLong(u64),
    /// Not decodable.
    #[error("a push between replicas cannot be read: {0}; are both of the same version?")]
    Malformed(String),
    /// The stream ended within a push.
    #[error("the stream of pushes ended within one")]
    Truncated,
}

/// Appends one push.
pub fn put(out: &mut BytesMut, push: &Forwarded) {
    out.reserve(push.encoded_len() + 10);
    // A BytesMut grows: encoding into it cannot fail for want of room.
    let _ = push.encode_length_delimited(out);
}

/// Pushes from bytes that arrive piece by piece.
#[derive(Debug, Default)]
pub struct Frames {
    held: BytesMut,
}

impl Frames {
    /// More bytes have arrived.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole push; `None` until more bytes arrive.
    ///
    /// # Errors
    /// [`FrameError`]; nothing that follows can be read.
    pub fn take(&mut self) -> Result<Option<Forwarded>, FrameError> {
        let mut head: &[u8] = self.held.as_ref();
        let before = head.len();
        let length = match decode_varint(&mut head) {
            Ok(length) => length,
            Err(_) if before < 10 => return Ok(None),
            Err(error) => return Err(FrameError::Malformed(error.to_string())),
        };
        let whole =
            usize::try_from(length).ok().filter(|whole| *whole <= LONGEST).ok_or(FrameError::TooLong(length))?;
        if head.len() < whole {
            return Ok(None);
        }
        self.held.advance(before - head.len());
        let frame = self.held.split_to(whole).freeze();
        Forwarded::decode(frame).map(Some).map_err(|error| FrameError::Malformed(error.to_string()))
    }

    /// Nothing is left over.
    ///
    /// # Errors
    /// [`FrameError::Truncated`].
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.held.is_empty() { Ok(()) } else { Err(FrameError::Truncated) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(node: &str, bytes: usize) -> Forwarded {
        Forwarded { node: node.into(), received_unix_nanos: 7, body: vec![1; bytes].into() }
    }

    #[test]
    fn pushes_that_arrive_byte_by_byte_are_whole_again() {
        let sent = [push("a", 0), push("b", 300), push("", 1)];
        let mut wire = BytesMut::new();
        for push in &sent {
            put(&mut wire, push);
        }
        let (mut frames, mut got) = (Frames::default(), Vec::new());
        for byte in &wire {
            frames.extend(&[*byte]);
            got.extend(frames.take().unwrap());
        }
        assert_eq!(got, sent);
        assert_eq!(frames.finish(), Ok(()));
    }

    #[test]
    fn a_declared_length_takes_no_memory_and_garbage_is_told() {
        let mut frames = Frames::default();
        frames.extend(&[0xff, 0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(frames.take(), Err(FrameError::TooLong(34_359_738_367)));
        let mut frames = Frames::default();
        frames.extend(&[0xff; 16]);
        assert!(matches!(frames.take(), Err(FrameError::Malformed(_))));
        let mut frames = Frames::default();
        frames.extend(&[2, 0xff, 0xff]);
        assert!(matches!(frames.take(), Err(FrameError::Malformed(_))));
        let mut frames = Frames::default();
        frames.extend(&[20, 1]);
        assert_eq!(frames.take(), Ok(None));
        assert_eq!(frames.finish(), Err(FrameError::Truncated));
    }
}
