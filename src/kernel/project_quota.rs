//! Project quota: what the filesystem itself counts for a directory tree, at the cost of two system calls.
//!
//! In: an open directory. Out: [`ProjectQuota`]: the tree's project and what is charged to it. Sources:
//! `FS_IOC_FSGETXATTR` (`include/uapi/linux/fs.h`), quotactl(2), `quotactl_fd` (Linux 5.14). ext4 and XFS have it, when
//! they are mounted with `prjquota`; asking for a project's usage takes CAP_SYS_ADMIN. It sets nothing.
//! This and [`set_idle_io_class`] are the only places with system calls that rustix does not have. Next: the storage
//! reader of `sample/`.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::io::Errno;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct FsXattr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
    pad: [u8; 8],
}

/// `struct if_dqblk`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct IfDqblk {
    bhardlimit: u64,
    bsoftlimit: u64,
    curspace: u64,
    ihardlimit: u64,
    isoftlimit: u64,
    curinodes: u64,
    btime: u64,
    itime: u64,
    valid: u32,
}

/// `_IOR('X', 31, struct fsxattr)`.
const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
/// New inodes below get the directory's project.
const FS_XFLAG_PROJINHERIT: u32 = 0x0000_0200;
/// `QCMD(Q_GETQUOTA, PRJQUOTA)`; the kernel answers it for XFS too.
const GET_PROJECT_QUOTA: u32 = 0x0080_0007 << 8 | 2;
/// The number of `quotactl_fd` on every architecture; not every libc knows it.
const QUOTACTL_FD: libc::c_long = 443;
/// `QIF_SPACE | QIF_INODES`: the fields that are used are filled in.
const QIF_USAGE: u32 = 2 | 8;

const _: () = assert!(size_of::<FsXattr>() == 28 && size_of::<IfDqblk>() == 72);

/// What a filesystem counts for a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectQuota {
    /// The project.
    pub project_id: u32,
    /// `dqb_curspace`: bytes charged to it; gauge.
    pub used_bytes: u64,
    /// `dqb_curinodes`: inodes charged to it; gauge.
    pub inodes: u64,
}

/// The project that everything made in a directory belongs to; `None` when there is none, or the filesystem knows none.
#[must_use]
pub fn project_of(directory: BorrowedFd<'_>) -> Option<u32> {
    let mut attributes = FsXattr::default();
    #[expect(
        unsafe_code,
        reason = "rustix has no FS_IOC_FSGETXATTR; the kernel fills exactly the struct that is given"
    )]
    // SAFETY: the descriptor is open for the call, and `attributes` has the size and layout that the request names.
    let result = unsafe {
        libc::syscall(libc::SYS_ioctl, directory.as_raw_fd(), FS_IOC_FSGETXATTR, std::ptr::from_mut(&mut attributes))
    };
    (result == 0).then(|| inherited_project(&attributes)).flatten()
}

fn inherited_project(attributes: &FsXattr) -> Option<u32> {
    let inherits = attributes.xflags & FS_XFLAG_PROJINHERIT != 0;
    (inherits && attributes.projid != 0).then_some(attributes.projid)
}

/// What is charged to a project of the filesystem that `directory` is on. `device` is its block device, for kernels that
/// cannot be asked through the directory.
///
/// # Errors
/// `SRCH` and `NODEV` where no quota is counted, `PERM` without CAP_SYS_ADMIN, `NOSYS` on filesystems without quota.
pub fn read_project_quota(
    directory: BorrowedFd<'_>,
    device: Option<&Path>,
    project_id: u32,
) -> Result<ProjectQuota, Errno> {
    let mut usage = IfDqblk::default();
    match by_directory(directory, project_id, &mut usage) {
        Err(Errno::NOSYS) => match device {
            Some(device) => by_device(device, project_id, &mut usage)?,
            None => return Err(Errno::NOSYS),
        },
        other => other?,
    }
    decode(project_id, &usage)
}

fn decode(project_id: u32, usage: &IfDqblk) -> Result<ProjectQuota, Errno> {
    if usage.valid & QIF_USAGE != QIF_USAGE {
        return Err(Errno::NODATA);
    }
    Ok(ProjectQuota { project_id, used_bytes: usage.curspace, inodes: usage.curinodes })
}

fn by_directory(directory: BorrowedFd<'_>, project_id: u32, usage: &mut IfDqblk) -> Result<(), Errno> {
    #[expect(unsafe_code, reason = "rustix has no quotactl_fd; the kernel fills exactly the struct that is given")]
    // SAFETY: the descriptor is open for the call, and `usage` is the struct that Q_GETQUOTA fills.
    let result = unsafe {
        libc::syscall(QUOTACTL_FD, directory.as_raw_fd(), GET_PROJECT_QUOTA, project_id, std::ptr::from_mut(usage))
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn by_device(device: &Path, project_id: u32, usage: &mut IfDqblk) -> Result<(), Errno> {
    use std::os::unix::ffi::OsStrExt as _;
    let device = std::ffi::CString::new(device.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    #[expect(unsafe_code, reason = "rustix has no quotactl; the kernel fills exactly the struct that is given")]
    // SAFETY: the path ends in 0 and lives for the call, and `usage` is the struct that Q_GETQUOTA fills.
    let result = unsafe {
        libc::syscall(libc::SYS_quotactl, GET_PROJECT_QUOTA, device.as_ptr(), project_id, std::ptr::from_mut(usage))
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Makes the calling thread's reading wait for everybody else's (ioprio_set(2), class idle). Schedulers without classes
/// ignore it.
///
/// # Errors
/// `PERM` or `NOSYS` where a sandbox forbids the call.
pub fn set_idle_io_class() -> Result<(), Errno> {
    /// `IOPRIO_WHO_PROCESS`, which with 0 means the calling thread.
    const WHO_PROCESS: libc::c_int = 1;
    /// `IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)`.
    const IDLE: libc::c_int = 3 << 13;
    #[expect(unsafe_code, reason = "rustix has no ioprio_set; the call takes three integers")]
    // SAFETY: no pointer is passed.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, IDLE) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_directory_without_the_inherit_flag_has_no_project_of_its_own() {
        let attributes = |xflags, projid| FsXattr { xflags, projid, ..FsXattr::default() };
        assert_eq!(inherited_project(&attributes(FS_XFLAG_PROJINHERIT, 1_048_577)), Some(1_048_577));
        assert_eq!(inherited_project(&attributes(FS_XFLAG_PROJINHERIT, 0)), None);
        assert_eq!(inherited_project(&attributes(0, 7)), None);
    }

    #[test]
    fn usage_that_the_filesystem_did_not_fill_in_is_not_believed() {
        let usage = IfDqblk { curspace: 10 << 20, curinodes: 3, valid: 0x3f, ..IfDqblk::default() };
        assert_eq!(decode(7, &usage), Ok(ProjectQuota { project_id: 7, used_bytes: 10 << 20, inodes: 3 }));
        assert_eq!(decode(7, &IfDqblk { valid: 1 | 4, ..usage }), Err(Errno::NODATA));
    }

    #[test]
    fn the_numbers_of_the_calls_are_those_of_the_kernels_headers() {
        // _IOR('X', 31, 28 bytes); QCMD(cmd, type) is cmd << 8 | type.
        assert_eq!(FS_IOC_FSGETXATTR, 2 << 30 | 28 << 16 | u32::from(b'X') << 8 | 31);
        assert_eq!(GET_PROJECT_QUOTA, 0x8000_0702);
    }

    #[test]
    fn a_filesystem_without_quota_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(folder.path()).unwrap();
        assert_eq!(project_of(directory.as_fd()), None);
        assert!(read_project_quota(directory.as_fd(), None, 12_345).is_err());
        assert_eq!(set_idle_io_class(), Ok(()));
    }
}
