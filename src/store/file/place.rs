//! The ring file in its folder: made, found, locked, set aside, taken back, rebuilt with another geometry.
//!
//! In: a folder and a geometry. Out: the one writer and what the file held, or an error that says what to do. It never
//! follows a link in place of the file, never overwrites a file that is not a ring file, and keeps at most one file of
//! another version and one damaged one. Next: the store's start, which logs what was damaged or set aside.

use std::fs::DirBuilder;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::disk::{Disk, FolderFd, OsDisk, read_extent};
use super::error::FileError;
use super::format::{Geometry, Head, SUPERBLOCK_BYTES, Superblock, VERSION};
use super::recovered::{Aside, Recovered};
use super::{RingFile, scan};

const RING: &str = "ring";
/// A file that is being built; whoever holds the lock may remove one that was left behind.
const NEW: &str = "ring.new";
const DAMAGED_ASIDE: &str = "ring-damaged.aside";

/// A lock is asked for again after this long.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How the file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// How long to wait for another writer to end. A rolling update starts the new agent while the old one still stops.
    pub wait: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { wait: Duration::from_secs(10) }
    }
}

/// Opens the ring file of a folder for writing, and reads all that it holds. Folder and file are made if they are not
/// there; a file of another geometry is rebuilt with this one.
///
/// # Errors
///
/// See [`FileError`]. A file that could not be opened is left as it is.
pub fn open(dir: &Path, geometry: Geometry, options: OpenOptions) -> Result<(RingFile, Recovered), FileError> {
    geometry.check()?;
    let folder = Folder::make_and_lock(dir, options.wait)?;
    folder.remove(NEW)?;
    let mut aside = Vec::new();
    let mut taken_back = false;
    let mut unreadable = 0;
    let found = loop {
        let Some(file) = folder.open_ring(OFlags::RDWR)? else {
            if !folder.rename(&own_aside(), RING)? {
                break None;
            }
            taken_back = true;
            continue;
        };
        // Every round but the last takes the name `ring` from one file, and none gives it back, so that this ends.
        match folder.head(&file)? {
            Head::Ours(superblock) => break Some((file, superblock)),
            Head::Foreign => return Err(FileError::NotARingFile { path: folder.path(RING) }),
            Head::OtherVersion(version) => {
                aside.push(folder.set_aside(&aside_of(version), Some(version))?);
                folder.forget_versions_but(version)?;
            }
            Head::Damaged => {
                unreadable += 1;
                if folder.is_blank(&file)? {
                    folder.remove(RING)?;
                } else {
                    aside.push(folder.set_aside(DAMAGED_ASIDE, None)?);
                }
            }
        }
    };
    let (file, mut recovered) = match found {
        None => folder.begin(geometry)?,
        Some((file, superblock)) if superblock.geometry == geometry => folder.go_on(file, &superblock)?,
        Some((file, superblock)) => folder.rebuild(file, &superblock, geometry)?,
    };
    recovered.aside = aside;
    recovered.taken_back = taken_back;
    recovered.damaged.superblocks += unreadable;
    Ok((file, recovered))
}

/// Reads the ring file of a folder without a lock and without writing. If an agent writes meanwhile, what it is just
/// writing is read as damaged.
///
/// # Errors
///
/// See [`FileError`].
pub fn open_read_only(dir: &Path) -> Result<Recovered, FileError> {
    let folder = Folder::open(dir)?;
    let path = folder.path(RING);
    let Some(file) = folder.open_ring(OFlags::RDONLY)? else { return Err(FileError::Absent { path }) };
    let superblock = match folder.head(&file)? {
        Head::Ours(superblock) => superblock,
        Head::OtherVersion(version) => return Err(FileError::OtherVersion { path, version }),
        Head::Damaged => return Err(FileError::Superblock { path }),
        Head::Foreign => return Err(FileError::NotARingFile { path }),
    };
    folder.read(&file, &superblock)
}

fn aside_of(version: u32) -> String {
    format!("ring-v{version}.aside")
}

fn own_aside() -> String {
    aside_of(VERSION)
}

/// The folder, open; locked if it is to be written to.
struct Folder {
    dir: PathBuf,
    fd: FolderFd,
}

impl Folder {
    fn open(dir: &Path) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, dir, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { dir: dir.to_path_buf(), fd: FolderFd(fd) }),
            Err(Errno::NOENT) => Err(FileError::Absent { path: dir.to_path_buf() }),
            Err(errno) => Err(FileError::of(dir, "open", errno)),
        }
    }

    /// The folder is locked, and not the file: the file may be renamed and rebuilt while somebody waits.
    fn make_and_lock(dir: &Path, wait: Duration) -> Result<Self, FileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            FileError::of(dir, "mkdir", errno)
        })?;
        let folder = Self::open(dir)?;
        let begun = Instant::now();
        loop {
            match rustix::fs::flock(&folder.fd.0, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(folder),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    let left = wait.saturating_sub(begun.elapsed());
                    if left.is_zero() {
                        return Err(FileError::Locked { path: dir.to_path_buf(), waited: wait });
                    }
                    std::thread::sleep(left.min(LOCK_PAUSE));
                }
                Err(errno) => return Err(FileError::of(dir, "flock", errno)),
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn error(&self, name: &str, operation: &'static str) -> impl FnOnce(Errno) -> FileError {
        let path = self.path(name);
        move |errno| FileError::of(&path, operation, errno)
    }

    /// Opens `ring`, if there is one.
    fn open_ring(&self, access: OFlags) -> Result<Option<OsDisk>, FileError> {
        // NONBLOCK: a pipe by this name must not hold up the start.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let irregular = || FileError::NotARegularFile { path: self.path(RING) };
        let file = match rustix::fs::openat(&self.fd.0, RING, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(irregular()),
            Err(errno) => return Err(self.error(RING, "open")(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(self.error(RING, "fstat"))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            Ok(Some(OsDisk { file, _lock: None }))
        } else {
            Err(irregular())
        }
    }

    fn head(&self, disk: &OsDisk) -> Result<Head, FileError> {
        let head = read_extent(disk, 0, SUPERBLOCK_BYTES, &mut 0).map_err(self.error(RING, "pread"))?;
        Ok(Superblock::read(&head))
    }

    /// Whether there is nothing in the file that would be worth keeping.
    fn is_blank(&self, disk: &OsDisk) -> Result<bool, FileError> {
        const PIECE: u64 = 1 << 20;
        let mut offset = 0;
        loop {
            let mut lost = 0;
            let piece = read_extent(disk, offset, PIECE, &mut lost).map_err(self.error(RING, "pread"))?;
            if piece.is_empty() {
                return Ok(true);
            }
            if lost > 0 || piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            offset += super::length(&piece);
        }
    }

    fn read(&self, disk: &OsDisk, superblock: &Superblock) -> Result<Recovered, FileError> {
        scan::read_everything(disk, superblock).map_err(|errno| match errno {
            Errno::NOMEM => FileError::NoMemory { path: self.path(RING), bytes: superblock.geometry.file_bytes() },
            errno => self.error(RING, "pread")(errno),
        })
    }

    /// A file of this geometry.
    fn go_on(self, disk: OsDisk, superblock: &Superblock) -> Result<(RingFile, Recovered), FileError> {
        let recovered = self.read(&disk, superblock)?;
        let size = superblock.geometry.file_bytes();
        if disk.length().map_err(self.error(RING, "fstat"))? < size {
            self.allocate(&disk.file, RING, size)?;
        }
        let path = self.path(RING);
        let disk = OsDisk { file: disk.file, _lock: Some(self.fd) };
        Ok((RingFile::new(disk, path, superblock.geometry, &recovered), recovered))
    }

    /// A folder without a ring file. The new one gets its name when it is whole.
    fn begin(self, geometry: Geometry) -> Result<(RingFile, Recovered), FileError> {
        let file_id = RandomState::new().build_hasher().finish();
        let (mut file, recovered) = self.begin_new(geometry, file_id)?;
        self.put_in_place(&mut file)?;
        file.disk._lock = Some(self.fd);
        Ok((file, recovered))
    }

    /// A file of another geometry: all of it is read, a new file is filled with it, and takes its name.
    fn rebuild(
        self,
        old: OsDisk,
        superblock: &Superblock,
        geometry: Geometry,
    ) -> Result<(RingFile, Recovered), FileError> {
        let mut recovered = self.read(&old, superblock)?;
        let begun = match self.begin_new(geometry, superblock.file_id) {
            Err(FileError::NoRoom { .. }) if self.has_room_instead(&old.file, geometry) => {
                // No room for both. What the old one held is in memory and goes into the new one at once.
                self.remove(RING)?;
                drop(old);
                self.begin_new(geometry, superblock.file_id)
            }
            begun => begun,
        };
        let (mut file, _) = begun?;
        let filled = file.carry_over(&mut recovered).and_then(|()| self.put_in_place(&mut file));
        if let Err(error) = filled {
            self.remove(NEW)?;
            return Err(error);
        }
        file.disk._lock = Some(self.fd);
        Ok((file, recovered))
    }

    /// Whether a file of this geometry would fit if the old one were gone.
    fn has_room_instead(&self, old: &OwnedFd, geometry: Geometry) -> bool {
        let (Ok(filesystem), Ok(stat)) = (rustix::fs::fstatvfs(&self.fd.0), rustix::fs::fstat(old)) else {
            return false;
        };
        let freed = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        filesystem.f_bavail.saturating_mul(filesystem.f_frsize).saturating_add(freed) >= geometry.file_bytes()
    }

    fn begin_new(&self, geometry: Geometry, file_id: u64) -> Result<(RingFile, Recovered), FileError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.fd.0, NEW, flags, mode).map_err(self.error(NEW, "open"))?;
        let begun = self
            .allocate(&file, NEW, geometry.file_bytes())
            .and_then(|()| RingFile::begin(OsDisk { file, _lock: None }, self.path(RING), geometry, file_id));
        if begun.is_err() {
            self.remove(NEW)?;
        }
        begun
    }

    fn allocate(&self, file: &OwnedFd, name: &str, size: u64) -> Result<(), FileError> {
        loop {
            return match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
                Err(Errno::INTR) => continue,
                // A filesystem that cannot reserve may run out of room later; every write says so when it does.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => rustix::fs::ftruncate(file, size),
                result => result,
            }
            .map_err(self.error(name, "fallocate"));
        }
    }

    fn put_in_place(&self, file: &mut RingFile) -> Result<(), FileError> {
        file.sync()?;
        self.rename(NEW, RING)?;
        Ok(())
    }

    /// Renames over whatever has the new name; `false` if there is nothing by the old one.
    fn rename(&self, from: &str, to: &str) -> Result<bool, FileError> {
        match rustix::fs::renameat(&self.fd.0, from, &self.fd.0, to) {
            Ok(()) => self.sync_folder().map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error(from, "rename")(errno)),
        }
    }

    fn set_aside(&self, name: &str, version: Option<u32>) -> Result<Aside, FileError> {
        self.rename(RING, name)?;
        Ok(Aside { path: self.path(name), version })
    }

    /// Removes what other versions left, but for one version and this one's own: two versions may alternate and both keep
    /// their history, and however many there were, at most one file of another version lies here.
    fn forget_versions_but(&self, kept: u32) -> Result<(), FileError> {
        let entries = Dir::read_from(&self.fd.0).map_err(self.error("", "getdents"))?;
        for entry in entries {
            let entry = entry.map_err(self.error("", "getdents"))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let version = name.strip_prefix("ring-v").and_then(|rest| rest.strip_suffix(".aside"));
            let version = version.and_then(|version| version.parse::<u32>().ok());
            if version.is_some_and(|version| version != kept && version != VERSION && name == aside_of(version)) {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), FileError> {
        match rustix::fs::unlinkat(&self.fd.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.error(name, "unlink")(errno)),
        }
    }

    fn sync_folder(&self) -> Result<(), FileError> {
        match rustix::fs::fsync(&self.fd.0) {
            // Some filesystems know no barrier for folders; their renames are as safe as they can be.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(self.error("", "fsync")(errno)),
        }
    }
}
