//! The bytes below the ring file: positioned reads and writes and one barrier.
//!
//! In: offsets and bytes. Out: errnos, classified by the caller. Two implementors: [`OsDisk`], the kernel's file, and the
//! tests' disk, which loses power. It never maps memory (a truncated or failing file would kill the process by a signal
//! instead of an error) and never moves a file offset. Next: `scan.rs`, `mod.rs`.

use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, Result};

/// Unreadable places are skipped in steps of this size, the block of common disks.
const BLOCK_BYTES: usize = 4096;

/// What the ring file asks of a disk. Reads and writes may be short or interrupted; [`write_all`] and [`read_extent`] go on.
pub trait Disk {
    /// Appends what follows `offset` to `into`, at most its spare capacity; 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// The system call's.
    fn read_at(&self, into: &mut Vec<u8>, offset: u64) -> Result<usize>;

    /// Writes at `offset`, maybe not all.
    ///
    /// # Errors
    ///
    /// The system call's.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<usize>;

    /// Returns when all that was written is on the medium.
    ///
    /// # Errors
    ///
    /// The system call's.
    fn sync(&mut self) -> Result<()>;

    /// Length of the file.
    ///
    /// # Errors
    ///
    /// The system call's.
    fn length(&self) -> Result<u64>;
}

/// The ring's folder, open and maybe locked.
#[derive(Debug)]
pub struct FolderFd(pub(super) OwnedFd);

impl Drop for FolderFd {
    fn drop(&mut self) {
        // Closing would do, were it not for children: between fork and exec they hold a copy, and with it the lock.
        let _ = rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock);
    }
}

/// A file of the kernel, and the lock that makes this process its only writer.
#[derive(Debug)]
pub struct OsDisk {
    /// The ring file.
    pub(super) file: OwnedFd,
    /// The locked folder; `None` for reading only. Held, never used: closing it lets go of the lock.
    pub(super) _lock: Option<FolderFd>,
}

impl Disk for OsDisk {
    fn read_at(&self, into: &mut Vec<u8>, offset: u64) -> Result<usize> {
        if into.len() == into.capacity() {
            return Ok(0);
        }
        rustix::io::pread(&self.file, spare_capacity(into), offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<usize> {
        rustix::io::pwrite(&self.file, bytes, offset)
    }

    fn sync(&mut self) -> Result<()> {
        rustix::fs::fdatasync(&self.file)
    }

    fn length(&self) -> Result<u64> {
        let length = rustix::fs::fstat(&self.file)?.st_size;
        Ok(u64::try_from(length).unwrap_or(0))
    }
}

/// Writes all of `bytes`, however small the pieces that the disk takes.
///
/// # Errors
///
/// The first error other than an interruption; a part may have been written.
pub(super) fn write_all<D: Disk>(disk: &mut D, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        match disk.write_at(bytes, offset) {
            // The kernel does not do that for a file; to try forever would hang whoever waits.
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                offset += u64::try_from(written).unwrap_or(u64::MAX);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads the `wanted` bytes at `offset`, fewer when the file ends before. Blocks that the medium cannot read become zeros,
/// which are damage like any other to who scans them, and their bytes are added to `unreadable`.
///
/// Never reserves more than the file has. ENOMEM when even that cannot be had.
///
/// # Errors
///
/// ENOMEM, and the disk's errors other than an interruption and EIO.
pub(super) fn read_extent<D: Disk>(disk: &D, offset: u64, wanted: u64, unreadable: &mut u64) -> Result<Vec<u8>> {
    let there = disk.length()?.saturating_sub(offset).min(wanted);
    let there = usize::try_from(there).map_err(|_too_large| Errno::NOMEM)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(there).map_err(|_refused| Errno::NOMEM)?;
    while bytes.len() < there {
        let at = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        match disk.read_at(&mut bytes, at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::IO) => {
                // One bad block must not cost the others: they are asked for one by one.
                let left = there - bytes.len();
                let mut block = Vec::with_capacity(BLOCK_BYTES.min(left));
                let got = disk.read_at(&mut block, at);
                block.truncate(left);
                match got {
                    Ok(0) => break,
                    Err(Errno::IO) => {
                        let lost = BLOCK_BYTES.min(left);
                        *unreadable += u64::try_from(lost).unwrap_or(u64::MAX);
                        bytes.resize(bytes.len() + lost, 0);
                    }
                    Ok(_) => bytes.extend_from_slice(&block),
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    bytes.truncate(there);
    Ok(bytes)
}
