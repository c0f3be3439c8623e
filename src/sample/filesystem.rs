//! Mounted filesystems, by statvfs, on a thread of their own: a dead NFS server may hang it, and no tick with it.
//!
//! In: `<procfs>/self/mountinfo`, statvfs of each mount point. Out: a list that the sampler takes over when it is new.
//! Kernel documentation: `Documentation/filesystems/proc.rst`, statvfs(3). Next: `sampler.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use procfs::FromRead;
use procfs::process::MountInfos;

use super::catalogue::{FILESYSTEM_METRICS, FilesystemColumn as F};
use super::row::Row;
use crate::kernel::statvfs::read_filesystem_stat;

/// How often the filesystems are asked.
const PERIOD: Duration = Duration::from_secs(10);

/// Most filesystems that are shown.
const FILESYSTEMS_CAP: usize = 512;

/// The kernel's own filesystems, and those that only mirror another one: the list that node_exporter leaves out too.
const HIDDEN_TYPES: [&str; 24] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// One mounted filesystem.
#[derive(Debug, Clone)]
pub(super) struct Mounted {
    /// Mount point.
    pub mount_point: Arc<str>,
    /// Device as the kernel names it (`/dev/vda1`, `tmpfs`).
    pub device: Arc<str>,
    /// Filesystem type.
    pub kind: Arc<str>,
    /// Device number.
    pub number: (u32, u32),
    pub row: Row,
}

/// The newest list, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Filesystems {
    pub mounted: ArcSwap<Vec<Mounted>>,
    /// Failed statvfs calls.
    pub errors: AtomicU64,
    stop: AtomicBool,
}

/// Starts the thread; it ends soon after the handle is dropped, unless a dead mount holds it.
#[derive(Debug)]
pub(super) struct FilesystemWatch {
    pub shared: Arc<Filesystems>,
}

impl FilesystemWatch {
    /// Watches the mounts that `procfs` lists. A thread that cannot be started leaves the list empty.
    pub fn start(procfs: PathBuf) -> std::io::Result<Self> {
        let shared = Arc::new(Filesystems::default());
        let watched = Arc::clone(&shared);
        std::thread::Builder::new().name("ringside-statvfs".into()).spawn(move || {
            while !watched.stop.load(Ordering::Relaxed) {
                refresh(&procfs, &watched);
                std::thread::park_timeout(PERIOD);
            }
        })?;
        Ok(Self { shared })
    }
}

impl Drop for FilesystemWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn refresh(procfs: &Path, shared: &Filesystems) {
    let mut mounted: Vec<Mounted> = Vec::new();
    for mount in uncovered(mounts(procfs)) {
        if HIDDEN_TYPES.contains(&mount.kind.as_ref()) {
            continue;
        }
        match stat(&mount) {
            Ok(Some(row)) => mounted.push(Mounted { row, ..mount }),
            Ok(None) => {}
            Err(()) => {
                shared.errors.fetch_add(1, Ordering::Relaxed);
                let mut row = mount.row.clone();
                row.put(F::DeviceError, Some(1));
                row.read_at = super::clock::monotonic();
                mounted.push(Mounted { row, ..mount });
            }
        }
        if mounted.len() == FILESYSTEMS_CAP {
            break;
        }
    }
    shared.mounted.store(Arc::new(mounted));
}

/// Of several mounts at one place the last: it covers the others, and statvfs tells of no other one.
fn uncovered(mut mounts: Vec<Mounted>) -> Vec<Mounted> {
    let mut seen = BTreeSet::new();
    mounts.reverse();
    mounts.retain(|mount| seen.insert(Arc::clone(&mount.mount_point)));
    mounts.reverse();
    mounts
}

fn mounts(procfs: &Path) -> Vec<Mounted> {
    let Ok(list) = MountInfos::from_file(procfs.join("self/mountinfo")) else { return Vec::new() };
    list.into_iter()
        .filter_map(|mount| {
            let (major, minor) = mount.majmin.split_once(':')?;
            Some(Mounted {
                mount_point: mount.mount_point.to_string_lossy().into(),
                device: mount.mount_source.as_deref().unwrap_or("none").into(),
                kind: mount.fs_type.as_str().into(),
                number: (major.parse().ok()?, minor.parse().ok()?),
                row: Row::new(FILESYSTEM_METRICS.len()),
            })
        })
        .collect()
}

/// `Ok(None)` for a filesystem without blocks.
fn stat(mount: &Mounted) -> Result<Option<Row>, ()> {
    let stat = read_filesystem_stat(Path::new(mount.mount_point.as_ref())).map_err(|_| ())?;
    if stat.size_bytes.is_none_or(|bytes| bytes == 0) {
        return Ok(None);
    }
    let mut row = mount.row.clone();
    row.put(F::Size, stat.size_bytes);
    row.put(F::Free, stat.free_bytes);
    row.put(F::Available, stat.available_bytes);
    // A filesystem that makes inodes as it needs them says 0: it has no number to show.
    row.put(F::Files, (stat.files > 0).then_some(stat.files));
    row.put(F::FilesFree, (stat.files > 0).then_some(stat.files_free));
    row.put(F::ReadOnly, Some(u64::from(stat.read_only)));
    row.put(F::DeviceError, Some(0));
    row.read_at = super::clock::monotonic();
    Ok(Some(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MonotonicNanos;

    #[test]
    fn the_root_filesystem_is_listed_with_the_size_that_df_shows() {
        let shared = Filesystems::default();
        refresh(Path::new("/proc"), &shared);
        let mounted = shared.mounted.load();
        let root = mounted.iter().find(|mount| mount.mount_point.as_ref() == "/").expect("a root filesystem");
        let df = std::process::Command::new("df").args(["-B1", "--output=size", "/"]).output().unwrap();
        let size: u64 = String::from_utf8(df.stdout).unwrap().lines().last().unwrap().trim().parse().unwrap();
        assert_eq!(root.row.value(F::Size), Some(size));
        assert!(root.row.read_at > MonotonicNanos(0));
    }

    #[test]
    fn of_two_mounts_at_one_place_the_upper_one_is_listed_and_a_bind_mount_of_a_device_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("self")).unwrap();
        let lines = "22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 0:40 / /tmp rw - tmpfs below rw\n\
                     24 22 0:41 / /tmp rw - tmpfs above rw\n25 22 254:0 /etc /etc rw - ext4 /dev/vda rw\n\
                     26 22 0:42 / /proc rw - proc proc rw\n27 22 0:43 / /gone/away rw - nfs far:/ rw\n";
        std::fs::write(folder.path().join("self/mountinfo"), lines).unwrap();
        let shared = Filesystems::default();
        refresh(folder.path(), &shared);
        let mounted = shared.mounted.load();
        let seen: Vec<_> = mounted
            .iter()
            .map(|mount| {
                (&*mount.mount_point, &*mount.device, mount.row.value(F::DeviceError), mount.row.value(F::ReadOnly))
            })
            .collect();
        let fine = (Some(0), Some(0));
        assert_eq!(
            seen,
            [
                ("/", "/dev/vda", fine.0, fine.1),
                ("/tmp", "above", fine.0, fine.1),
                ("/etc", "/dev/vda", fine.0, fine.1),
                ("/gone/away", "far:/", Some(1), None)
            ]
        );
        assert_eq!(shared.errors.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn no_mounts_file_means_no_filesystems() {
        let shared = Filesystems::default();
        refresh(Path::new("/nonexistent"), &shared);
        assert!(shared.mounted.load().is_empty());
    }
}
