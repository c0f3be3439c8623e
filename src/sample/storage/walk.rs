//! Counts what a directory tree takes up, a few milliseconds at a time.
//!
//! In: an open directory. Out: a [`Count`], after as many [`Walk::step`]s as it takes; one step is one getdents64 and a
//! statx for each of its entries. Sources: getdents64(2), statx(2), openat(2).
//! Every name is looked up relative to its open folder and never as a path, so that nobody can move the walk elsewhere.
//! It follows no link and enters no other filesystem and no other mount. What it holds is bounded whatever the tree is
//! like: a folder and one buffer of names per level, and the inodes that have several names. It never writes, and counts
//! less rather than more: what vanishes while it looks, and what lies beyond a bound, is not counted. Next: `pace.rs`.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Statx, StatxFlags, openat, statx};
use rustix::io::Errno;

/// Room for the entries of one step: some 250 short names, or 30 of the longest.
const BUFFER_BYTES: usize = 8 << 10;
/// A sector as `st_blocks` means it.
const BLOCK_BYTES: u64 = 512;

/// How far a walk may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most entries that are looked at.
    pub entries: u64,
    /// Deepest level below the root that is entered; an open folder each.
    pub depth: usize,
    /// Most inodes with several names that are remembered; those beyond are not counted.
    pub links: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries: 5_000_000, depth: 128, links: 100_000 }
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Allocated bytes, each inode once.
    pub used_bytes: u64,
    /// Inodes, the root among them.
    pub inodes: u64,
    /// Entries that were looked at.
    pub entries: u64,
    /// True when a bound was met, or a folder could not be read: there is more than this.
    pub is_partial: bool,
}

/// Which entries of the root count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The root itself and everything below.
    Everything,
    /// Only the files in the root that have this name, or this name, a dot and more: a log and its rotated siblings.
    /// The root itself does not count.
    Named(Vec<u8>),
}

/// Where a mount is: entering another one is never right, also when it is of the same filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    device: (u32, u32),
    mount: Option<u64>,
}

impl Place {
    fn of(stat: &Statx) -> Self {
        let has_mount = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Self { device: (stat.stx_dev_major, stat.stx_dev_minor), mount: has_mount.then_some(stat.stx_mnt_id) }
    }
}

/// An open folder on the way down.
#[derive(Debug)]
struct Level {
    folder: OwnedFd,
    /// Names of folders that are still to be entered, each ended by 0.
    folders: Vec<u8>,
    /// getdents64 said that there is no more.
    is_read: bool,
}

/// A walk that can be left and gone on with at any step.
#[derive(Debug)]
pub struct Walk {
    place: Place,
    which: Which,
    bounds: Bounds,
    levels: Vec<Level>,
    /// Inodes with several names that were counted.
    links: HashSet<u64>,
    buffer: Vec<u8>,
    /// The kernel does not let us leave access times alone; not asked for again.
    atime_refused: bool,
    count: Count,
}

impl Walk {
    /// Begins at an open directory.
    ///
    /// # Errors
    /// statx's error, of a filesystem that does not answer.
    pub fn new(root: OwnedFd, which: Which, bounds: Bounds) -> Result<Self, Errno> {
        let stat = stat_of(root.as_fd())?;
        let mut count = Count::default();
        if which == Which::Everything {
            count.used_bytes = stat.stx_blocks.saturating_mul(BLOCK_BYTES);
            count.inodes = 1;
        }
        let levels = vec![Level { folder: root, folders: Vec::new(), is_read: false }];
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        let links = HashSet::new();
        Ok(Self { place: Place::of(&stat), which, bounds, levels, links, buffer, atime_refused: false, count })
    }

    /// The count so far.
    #[must_use]
    pub const fn count(&self) -> Count {
        self.count
    }

    /// Goes on for one buffer of entries; `true` when the tree is done.
    pub fn step(&mut self) -> bool {
        let Some(level) = self.levels.last_mut() else { return true };
        if let Some(name) = pop_name(&mut level.folders) {
            self.enter(&name);
        } else if level.is_read {
            self.levels.pop();
        } else {
            self.read();
        }
        if self.count.entries >= self.bounds.entries {
            self.count.is_partial = true;
            self.levels.clear();
        }
        self.levels.is_empty()
    }

    fn enter(&mut self, name: &CStr) {
        let Some(parent) = self.levels.last() else { return };
        let opened = open_folder(parent.folder.as_fd(), name, &mut self.atime_refused);
        match opened {
            // Somebody may have mounted or moved something there since it was seen.
            Ok(folder) => {
                if stat_of(folder.as_fd()).is_ok_and(|stat| Place::of(&stat) == self.place) {
                    self.levels.push(Level { folder, folders: Vec::new(), is_read: false });
                }
            }
            // It was removed, or another kind of file took its name.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(_) => self.count.is_partial = true,
        }
    }

    fn read(&mut self) {
        let may_descend = self.levels.len() <= self.bounds.depth;
        let is_root = self.levels.len() == 1;
        let Some(level) = self.levels.last_mut() else { return };
        self.buffer.clear();
        let mut entries = 0_u64;
        let mut folder = RawDir::new(&level.folder, self.buffer.spare_capacity_mut());
        // The buffer is emptied before it would be filled again, so that a step has an end.
        loop {
            let entry = match folder.next() {
                Some(Ok(entry)) => entry,
                Some(Err(Errno::NOENT)) | None => {
                    level.is_read = true;
                    break;
                }
                Some(Err(_)) => {
                    level.is_read = true;
                    self.count.is_partial = true;
                    break;
                }
            };
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                entries = entries.saturating_add(1);
                if is_root && !is_wanted(&self.which, name.to_bytes()) {
                    // Its siblings are other logs.
                } else if let Ok(stat) = stat_at(level.folder.as_fd(), name)
                    && Place::of(&stat) == self.place
                {
                    let is_folder = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::Directory;
                    let enters = is_folder && self.which == Which::Everything;
                    if enters && may_descend {
                        level.folders.extend_from_slice(name.to_bytes_with_nul());
                    } else if enters {
                        self.count.is_partial = true;
                    }
                    if enters || !is_folder {
                        take(&mut self.count, &mut self.links, self.bounds.links, &stat, is_folder);
                    }
                }
            }
            if folder.is_buffer_empty() {
                break;
            }
        }
        self.count.entries = self.count.entries.saturating_add(entries);
    }
}

/// Adds an inode, once.
fn take(count: &mut Count, links: &mut HashSet<u64>, most: usize, stat: &Statx, is_folder: bool) {
    if stat.stx_nlink > 1 && !is_folder {
        if links.len() >= most && !links.contains(&stat.stx_ino) {
            count.is_partial = true;
            return;
        }
        if !links.insert(stat.stx_ino) {
            return;
        }
    }
    count.used_bytes = count.used_bytes.saturating_add(stat.stx_blocks.saturating_mul(BLOCK_BYTES));
    count.inodes = count.inodes.saturating_add(1);
}

fn is_wanted(which: &Which, name: &[u8]) -> bool {
    match which {
        Which::Everything => true,
        Which::Named(wanted) => {
            name.strip_prefix(wanted.as_slice()).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'.'))
        }
    }
}

/// Takes the last name off a list of names that end in 0.
fn pop_name(names: &mut Vec<u8>) -> Option<std::ffi::CString> {
    let end = names.len().checked_sub(1)?;
    let start = names.get(..end)?.iter().rposition(|byte| *byte == 0).map_or(0, |zero| zero.saturating_add(1));
    let name = names.split_off(start);
    std::ffi::CString::from_vec_with_nul(name).ok()
}

const WANTED: StatxFlags = StatxFlags::TYPE
    .union(StatxFlags::NLINK)
    .union(StatxFlags::INO)
    .union(StatxFlags::BLOCKS)
    .union(StatxFlags::MNT_ID);

fn stat_at(folder: BorrowedFd<'_>, name: &CStr) -> Result<Statx, Errno> {
    statx(folder, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC, WANTED)
}

fn stat_of(folder: BorrowedFd<'_>) -> Result<Statx, Errno> {
    statx(folder, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, WANTED)
}

/// Opens a folder for reading its names; without touching its access time where that is allowed.
fn open_folder(parent: BorrowedFd<'_>, name: &CStr, atime_refused: &mut bool) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !*atime_refused {
        match openat(parent, name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => *atime_refused = true,
            other => return other,
        }
    }
    openat(parent, name, flags, Mode::empty())
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
