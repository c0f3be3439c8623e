//! Sizes of a mounted filesystem.
//!
//! In: a path. Out: [`FilesystemStat`]. Source: statvfs(3). May block for as long as the filesystem likes (a dead NFS
//! server: forever), so it is called from a thread of its own and never from the tick. Next: the filesystem rows of `sample/`.

use std::path::Path;

use super::KernelError;
use crate::units::ErrorClass;

/// What statvfs says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilesystemStat {
    /// `f_blocks`; bytes, gauge. `None` when the product does not fit, as in all sizes here.
    pub size_bytes: Option<u64>,
    /// `f_bfree`, what root may use; bytes, gauge.
    pub free_bytes: Option<u64>,
    /// `f_bavail`, what anyone may use; bytes, gauge.
    pub available_bytes: Option<u64>,
    /// `f_files`: inodes; gauge. 0 on filesystems that have no fixed number, such as btrfs.
    pub files: u64,
    /// `f_ffree`: free inodes; gauge.
    pub files_free: u64,
    /// `f_flag` has `ST_RDONLY`.
    pub read_only: bool,
}

/// Asks the kernel for the filesystem that `path` lies on.
///
/// # Errors
/// [`KernelError::Read`] with statvfs's error: `Gone`, `Denied` on a path that may not be searched, …
pub fn read_filesystem_stat(path: &Path) -> Result<FilesystemStat, KernelError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| KernelError::Read { path: path.to_owned(), class: ErrorClass::of(errno) })?;
    // f_frsize is the unit of the counts; filesystems that leave it 0 mean f_bsize.
    let unit = if stat.f_frsize == 0 { stat.f_bsize } else { stat.f_frsize };
    Ok(FilesystemStat {
        size_bytes: stat.f_blocks.checked_mul(unit),
        free_bytes: stat.f_bfree.checked_mul(unit),
        available_bytes: stat.f_bavail.checked_mul(unit),
        files: stat.f_files,
        files_free: stat.f_ffree,
        read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_filesystem_has_room_within_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let stat = read_filesystem_stat(folder.path()).unwrap();
        assert!(stat.size_bytes.unwrap() > 0);
        assert!(stat.free_bytes <= stat.size_bytes && stat.available_bytes <= stat.free_bytes);
        assert!(stat.files_free <= stat.files && !stat.read_only);
    }

    #[test]
    fn a_missing_path_is_gone() {
        let error = read_filesystem_stat(Path::new("/nonexistent/ringside")).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Gone);
        assert_eq!(error.to_string(), "cannot read /nonexistent/ringside: gone");
    }
}
