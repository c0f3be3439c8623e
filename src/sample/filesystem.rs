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
const FILESYSTEMS_CAP: usize = 256;

/// Kernel filesystems without a size worth showing, and those that mirror another mount.
const HIDDEN_TYPES: [&str; 28] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "fuse.lxcfs",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "erofs",
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
    let mut mounted = Vec::new();
    let mut seen = BTreeSet::new();
    for mount in mounts(procfs) {
        // One line per device: bind mounts of the same filesystem say the same.
        if HIDDEN_TYPES.contains(&mount.kind.as_ref()) || !seen.insert(mount.number) {
            continue;
        }
        match stat(&mount) {
            Ok(Some(row)) => mounted.push(Mounted { row, ..mount }),
            Ok(None) => {}
            Err(()) => {
                shared.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        if mounted.len() == FILESYSTEMS_CAP {
            break;
        }
    }
    shared.mounted.store(Arc::new(mounted));
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
    fn no_mounts_file_means_no_filesystems() {
        let shared = Filesystems::default();
        refresh(Path::new("/nonexistent"), &shared);
        assert!(shared.mounted.load().is_empty());
    }
}
