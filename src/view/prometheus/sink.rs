//! Where encoded text goes: memory as it is, or a compressor.
//!
//! In: text, a piece at a time. Out: the body. Compression runs while the text is made, in pieces of 64 KiB.

use std::io::{self, Write};

use super::Compression;

const PIECE_BYTES: usize = 64 * 1024;

enum Target {
    Memory,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

/// A body in the making.
pub struct Sink {
    buffer: Vec<u8>,
    target: Target,
    text_bytes: usize,
    failed: Option<io::Error>,
}

impl Sink {
    /// An empty body in `room`, whose capacity should be what the last one took.
    ///
    /// # Errors
    /// When the compressor cannot be set up.
    pub fn new(compression: Compression, mut room: Vec<u8>) -> io::Result<Self> {
        room.clear();
        let (buffer, target) = match compression {
            Compression::Identity => (room, Target::Memory),
            Compression::Gzip => {
                let encoder = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
                (Vec::with_capacity(2 * PIECE_BYTES), Target::Gzip(encoder))
            }
            Compression::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(room, 1)?;
                (Vec::with_capacity(2 * PIECE_BYTES), Target::Zstd(encoder))
            }
        };
        Ok(Self { buffer, target, text_bytes: 0, failed: None })
    }

    /// Where text is appended.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Hands a large enough piece on. To be called between families.
    pub fn drain(&mut self) {
        if self.buffer.len() >= PIECE_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let written = match &mut self.target {
            Target::Memory => return,
            Target::Gzip(encoder) => encoder.write_all(&self.buffer),
            Target::Zstd(encoder) => encoder.write_all(&self.buffer),
        };
        self.text_bytes += self.buffer.len();
        self.buffer.clear();
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    /// The finished body and the length of its text.
    ///
    /// # Errors
    /// When the compressor failed.
    pub fn finish(mut self) -> io::Result<(Vec<u8>, usize)> {
        self.flush();
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.target {
            Target::Memory => {
                let text = self.buffer.len();
                Ok((self.buffer, text))
            }
            Target::Gzip(encoder) => Ok((encoder.finish()?, self.text_bytes)),
            Target::Zstd(encoder) => Ok((encoder.finish()?, self.text_bytes)),
        }
    }
}
