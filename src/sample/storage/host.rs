//! The host's files as the agent can see them: paths below `--rootfs`, and what is mounted where.
//!
//! In: a root folder and paths of the host. Out: open directories, [`Backing`]s, mounts. Sources: openat2(2)
//! (`RESOLVE_IN_ROOT`), statvfs(3), `<procfs>/self/mountinfo`, `<procfs>/1/mountinfo`. A link of the host is followed as the
//! host would follow it, and never leads out of the root. Next: `plan.rs`, `watch.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatVfs, StatxFlags, openat, openat2, statx};
use rustix::io::Errno;

use super::{Backing, TreeUsage, UsageSource};
use crate::kernel::proc::mountinfo::{Mount, parse_mountinfo, unescape};
use crate::units::{ErrorClass, UnixNanos};

/// Most bytes of a mount table that are read.
const MAX_MOUNTINFO_BYTES: u64 = 16 << 20;

/// What a directory that storage is counted in is to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Path on the host.
    pub path: PathBuf,
    /// What kind of files lie there.
    pub what: &'static str,
    /// Why it cannot be read, if it cannot.
    pub error: Option<ErrorClass>,
}

/// Looks whether the usual places can be read, for `doctor`.
#[must_use]
pub fn access(rootfs: &Path, kubelet_dir: &Path) -> Vec<Access> {
    let host = Host::new(rootfs.to_owned(), PathBuf::from("/proc"));
    let places: [(&Path, &'static str); 6] = [
        (Path::new("/var/lib/docker"), "layers and logs of Docker"),
        (Path::new("/var/lib/containerd"), "layers of containerd"),
        (Path::new("/var/lib/containers/storage"), "layers of CRI-O and Podman"),
        (Path::new("/var/log/pods"), "logs of pods"),
        (Path::new("/var/log/containers"), "logs of containers"),
        (kubelet_dir, "volumes of pods"),
    ];
    let look = |(path, what): (&Path, &'static str)| {
        let error = host.open(path).err().map(ErrorClass::of);
        Access { path: path.to_owned(), what, error }
    };
    places.into_iter().map(look).collect()
}

/// The host's root folder.
#[derive(Debug, Clone)]
pub struct Host {
    rootfs: PathBuf,
    procfs: PathBuf,
}

impl Host {
    pub fn new(rootfs: PathBuf, procfs: PathBuf) -> Self {
        Self { rootfs, procfs }
    }

    /// Where procfs is mounted.
    pub fn procfs(&self) -> &Path {
        &self.procfs
    }

    /// The path under which the agent itself finds an absolute path of the host.
    pub fn own_path(&self, path: &Path) -> PathBuf {
        self.rootfs.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Opens a directory of the host.
    pub fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if self.rootfs == Path::new("/") {
            return openat(CWD, path, flags, Mode::empty());
        }
        let root = openat(CWD, &self.rootfs, flags, Mode::empty())?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match openat2(&root, path, flags, Mode::empty(), resolve) {
            // Linux before 5.6, or a sandbox that does not know the call: links of the host lead astray there.
            Err(Errno::NOSYS | Errno::PERM) => openat(CWD, self.own_path(path), flags, Mode::empty()),
            other => other,
        }
    }

    /// Where an open directory of the host really is, without links: a path of the host.
    pub fn real_path(&self, directory: BorrowedFd<'_>) -> Option<PathBuf> {
        let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let target = rustix::fs::readlink(link, Vec::new()).ok()?;
        let own = PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()));
        let rest = own.strip_prefix(&self.rootfs).ok()?;
        Some(Path::new("/").join(rest))
    }

    /// Reads the mount table of a process; empty where it cannot be read.
    pub fn mountinfo(&self, process: &str) -> Vec<u8> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        let Ok(file) = std::fs::File::open(self.procfs.join(process).join("mountinfo")) else { return bytes };
        // What was read before an error is whole lines, and better than nothing.
        let _ = file.take(MAX_MOUNTINFO_BYTES).read_to_end(&mut bytes);
        bytes
    }

    /// The mounts that the agent sees, and those of the host.
    pub fn mounts(&self) -> Mounts {
        let mut mounts = Mounts::default();
        for mount in parse_mountinfo(&self.mountinfo("self")) {
            let known = MountFacts { source: shown(mount.source), kind: shown(mount.fs_type) };
            let known = Arc::new(known);
            mounts.by_id.insert(mount.id, Arc::clone(&known));
            mounts.by_path.insert(point(&mount), known);
        }
        mounts.of_host = parse_mountinfo(&self.mountinfo("1")).map(|mount| point(&mount)).collect();
        mounts
    }
}

fn point(mount: &Mount<'_>) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&unescape(mount.mount_point)))
}

fn shown(escaped: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(&unescape(escaped)).into()
}

/// What a mount table says of one mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFacts {
    pub source: Arc<str>,
    pub kind: Arc<str>,
}

impl MountFacts {
    /// Whether a server answers for it, or a program: it may hang for ever.
    pub fn is_remote(&self) -> bool {
        const REMOTE: [&str; 10] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "glusterfs", "lustre", "afs", "gpfs"];
        REMOTE.contains(&&*self.kind) || self.kind.starts_with("fuse")
    }
}

/// What is mounted.
#[derive(Debug, Clone, Default)]
pub struct Mounts {
    by_id: BTreeMap<u64, Arc<MountFacts>>,
    by_path: BTreeMap<PathBuf, Arc<MountFacts>>,
    of_host: BTreeSet<PathBuf>,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtPath {
    /// No mount begins there.
    Plain,
    /// A mount begins there.
    Mount(Arc<MountFacts>),
    /// The host has a mount there that the agent cannot see.
    Unseen,
}

impl Mounts {
    /// What is mounted at a path of the host.
    pub fn at(&self, host: &Host, path: &Path) -> AtPath {
        match self.by_path.get(&host.own_path(path)) {
            Some(mount) => AtPath::Mount(Arc::clone(mount)),
            None if self.of_host.contains(path) => AtPath::Unseen,
            None => AtPath::Plain,
        }
    }

    /// The filesystem that an open directory is on, and what is used of it as a whole.
    pub fn filesystem(&self, directory: BorrowedFd<'_>) -> Option<(Backing, TreeUsage)> {
        let stat = statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE | StatxFlags::MNT_ID).ok()?;
        let has_mount = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        let facts = has_mount.then(|| self.by_id.get(&stat.stx_mnt_id)).flatten();
        Some(filesystem(&rustix::fs::fstatvfs(directory).ok()?, facts))
    }
}

/// What statvfs and a mount table say together.
pub fn filesystem(size: &StatVfs, facts: Option<&Arc<MountFacts>>) -> (Backing, TreeUsage) {
    // f_frsize is the unit of the counts; filesystems that leave it 0 mean f_bsize.
    let unit = if size.f_frsize == 0 { size.f_bsize } else { size.f_frsize };
    let word = |of: fn(&MountFacts) -> &Arc<str>| facts.map_or_else(|| Arc::from(""), |facts| Arc::clone(of(facts)));
    let backing = Backing {
        device: word(|facts| &facts.source),
        kind: word(|facts| &facts.kind),
        capacity_bytes: size.f_blocks.saturating_mul(unit),
        available_bytes: size.f_bavail.saturating_mul(unit),
        inodes: size.f_files,
        inodes_free: size.f_ffree,
    };
    let usage = TreeUsage {
        used_bytes: size.f_blocks.saturating_sub(size.f_bfree).saturating_mul(unit),
        inodes: size.f_files.saturating_sub(size.f_ffree),
        counted_at: UnixNanos::now(),
        source: UsageSource::Statvfs,
        is_partial: false,
    };
    (backing, usage)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn host(root: &Path) -> Host {
        Host::new(root.to_owned(), PathBuf::from("/proc"))
    }

    #[test]
    fn a_link_of_the_host_is_followed_as_the_host_would() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("data/docker")).unwrap();
        fs::create_dir_all(root.path().join("var/lib")).unwrap();
        symlink("/data/docker", root.path().join("var/lib/docker")).unwrap();
        symlink("../../../../../..", root.path().join("var/lib/up")).unwrap();
        let host = host(root.path());
        let docker = host.open(Path::new("/var/lib/docker")).unwrap();
        assert_eq!(host.real_path(docker.as_fd()), Some(PathBuf::from("/data/docker")));
        let up = host.open(Path::new("/var/lib/up")).unwrap();
        assert_eq!(host.real_path(up.as_fd()), Some(PathBuf::from("/")), "nothing leads out of the root");
        assert_eq!(host.open(Path::new("/etc")).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn the_filesystem_of_a_directory_has_its_device_and_size() {
        let host = Host::new(PathBuf::from("/"), PathBuf::from("/proc"));
        let directory = host.open(Path::new("/proc")).unwrap();
        let (backing, _) = host.mounts().filesystem(directory.as_fd()).unwrap();
        assert_eq!((&*backing.kind, backing.capacity_bytes), ("proc", 0));
        let folder = tempfile::tempdir().unwrap();
        let (backing, usage) = host.mounts().filesystem(host.open(folder.path()).unwrap().as_fd()).unwrap();
        let df = std::process::Command::new("df").args(["-B1", "--output=size"]).arg(folder.path()).output().unwrap();
        let size: u64 = String::from_utf8(df.stdout).unwrap().lines().last().unwrap().trim().parse().unwrap();
        assert_eq!(backing.capacity_bytes, size);
        assert!(usage.used_bytes > 0 && usage.used_bytes < size);
        assert!(!backing.kind.is_empty());
    }

    #[test]
    fn a_mount_of_the_host_that_the_agent_cannot_see_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let procfs = tempfile::tempdir().unwrap();
        let line = |point: &str, kind: &str| format!("9 1 0:7 / {point} rw - {kind} server:/x rw\n");
        for (process, text) in [
            ("self", line(&format!("{}/vol/seen", root.path().display()), "nfs4")),
            ("1", line("/vol/seen", "nfs4") + &line("/vol/unseen", "ext4")),
        ] {
            fs::create_dir(procfs.path().join(process)).unwrap();
            fs::write(procfs.path().join(process).join("mountinfo"), text).unwrap();
        }
        let host = Host::new(root.path().to_owned(), procfs.path().to_owned());
        let mounts = host.mounts();
        let AtPath::Mount(facts) = mounts.at(&host, Path::new("/vol/seen")) else { panic!("a mount") };
        assert!(facts.is_remote());
        assert_eq!(mounts.at(&host, Path::new("/vol/unseen")), AtPath::Unseen);
        assert_eq!(mounts.at(&host, Path::new("/vol/none")), AtPath::Plain);
    }

    #[test]
    fn what_cannot_be_read_is_told_for_each_place() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("var/log/pods")).unwrap();
        let places = access(root.path(), Path::new("/var/lib/kubelet"));
        let readable: Vec<_> = places.iter().filter(|place| place.error.is_none()).collect();
        assert_eq!(readable.len(), 1);
        assert_eq!(readable[0].path, Path::new("/var/log/pods"));
        assert_eq!(places.last().unwrap().error, Some(ErrorClass::Gone));
    }
}
