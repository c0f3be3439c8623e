//! A disk in memory that remembers each write and barrier, fails on demand, and can be brought back to any instant, also
//! as a power loss would leave it.

use rustix::io::{Errno, Result};

use crate::store::file::Disk;

/// What happened to the disk, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Write(u64, Vec<u8>),
    Sync,
}

/// What the next writes and barriers answer, before the disk does what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mood {
    #[default]
    Well,
    /// Every second write is interrupted, the others take at most 7 bytes.
    Halting,
    /// Each write takes at most so many bytes, and after that says this.
    Failing(usize, Errno),
}

#[derive(Debug, Clone, Default)]
pub(super) struct MemoryDisk {
    pub bytes: Vec<u8>,
    pub events: Vec<Event>,
    pub mood: Mood,
    pub unreadable: Vec<u64>,
    calls: u64,
}

impl MemoryDisk {
    pub(super) fn zeros(length: u64) -> Self {
        Self::of(vec![0; length as usize])
    }

    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

impl Disk for MemoryDisk {
    fn read_at(&self, into: &mut Vec<u8>, offset: u64) -> Result<usize> {
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        let mut read = rest.get(..(into.capacity() - into.len()).min(rest.len())).unwrap();
        if let Some(bad) = self.unreadable.iter().find(|bad| (offset..offset + read.len() as u64).contains(bad)) {
            // A read that reaches a bad block ends before it; one that begins in it fails.
            let good = (bad / 4096 * 4096).saturating_sub(offset) as usize;
            if good == 0 {
                return Err(Errno::IO);
            }
            read = &read[..good];
        }
        into.extend_from_slice(read);
        Ok(read.len())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<usize> {
        self.calls += 1;
        let takes = match &mut self.mood {
            Mood::Well => bytes.len(),
            Mood::Halting if self.calls.is_multiple_of(2) => return Err(Errno::INTR),
            Mood::Halting => bytes.len().min(7),
            Mood::Failing(0, errno) => return Err(*errno),
            Mood::Failing(left, _) => {
                let takes = bytes.len().min(*left);
                *left -= takes;
                takes
            }
        };
        let start = offset as usize;
        self.bytes[start..start + takes].copy_from_slice(&bytes[..takes]);
        self.events.push(Event::Write(offset, bytes[..takes].to_vec()));
        Ok(takes)
    }

    fn sync(&mut self) -> Result<()> {
        if let Mood::Failing(_, errno) = self.mood {
            return Err(errno);
        }
        self.events.push(Event::Sync);
        Ok(())
    }

    fn length(&self) -> Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}
