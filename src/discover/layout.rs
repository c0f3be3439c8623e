//! Where the cgroup hierarchies are: version 1, version 2, or both at once (hybrid).
//!
//! In: the `--cgroupfs` directory and the mount table of `--procfs` (`/proc/PID/mountinfo`, see proc(5)).
//! Out: [`CgroupLayout`], the roots for `sample/` and for the watcher, with notes for `ringside doctor`.
//! A hierarchy is known by what its root directory holds (cgroup-v1/, cgroup-v2.rst), so that a captured tree and a
//! real mount run the same code; the mount table serves only to find hierarchies that are mounted elsewhere.
//! It never writes, never mounts, and reads no counter. Next: `watch`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use procfs::process::MountInfo;

use super::error::DiscoverError;

/// `f_type` of cgroup v2 (linux/magic.h).
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
/// `f_type` of a cgroup v1 hierarchy.
const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;

/// A version 1 controller that the agent reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum V1Controller {
    /// `cpu`: shares, quota, throttling.
    Cpu,
    /// `cpuacct`: time used.
    Cpuacct,
    /// `memory`.
    Memory,
    /// `blkio`.
    Blkio,
    /// `pids`.
    Pids,
    /// `hugetlb`.
    Hugetlb,
    /// `cpuset`.
    Cpuset,
}

impl V1Controller {
    /// Every controller, in the order of the enum.
    pub const ALL: [Self; 7] =
        [Self::Cpu, Self::Cpuacct, Self::Memory, Self::Blkio, Self::Pids, Self::Hugetlb, Self::Cpuset];

    /// The kernel's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Memory => "memory",
            Self::Blkio => "blkio",
            Self::Pids => "pids",
            Self::Hugetlb => "hugetlb",
            Self::Cpuset => "cpuset",
        }
    }

    /// A file that the root of this controller's hierarchy holds on every kernel, or a child of the root does.
    const fn marker(self) -> &'static str {
        match self {
            Self::Cpu => "cpu.shares",
            Self::Cpuacct => "cpuacct.usage",
            Self::Memory => "memory.usage_in_bytes",
            Self::Blkio => "blkio.throttle.io_service_bytes",
            Self::Pids => "pids.current",
            Self::Hugetlb => "hugetlb.2MB.usage_in_bytes",
            Self::Cpuset => "cpuset.cpus",
        }
    }
}

/// Which versions of cgroups a machine uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayoutKind {
    /// Version 2 only.
    V2,
    /// Version 1 only.
    V1,
    /// Version 1 controllers beside a version 2 tree.
    Hybrid,
    /// No hierarchy.
    None,
}

impl LayoutKind {
    /// The word for labels and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
            Self::Hybrid => "hybrid",
            Self::None => "none",
        }
    }
}

/// The cgroup hierarchies of this machine, as directories that this process can open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CgroupLayout {
    /// Root of the version 2 tree: the only tree, or the `unified` one of a hybrid machine.
    pub v2_root: Option<PathBuf>,
    /// Root per version 1 controller; co-mounted controllers share one directory.
    pub v1: BTreeMap<V1Controller, PathBuf>,
    /// What `doctor` should tell people about this view, one sentence each.
    pub notes: Vec<String>,
}

impl CgroupLayout {
    /// Finds the hierarchies below `cgroupfs`, or failing that those in the mount table of `procfs`.
    ///
    /// # Errors
    /// [`DiscoverError::NoCgroups`] when there are none in either place; its text says what to do.
    pub fn detect(cgroupfs: &Path, procfs: &Path) -> Result<Self, DiscoverError> {
        let mounts = read_mounts(procfs);
        let mut layout = Self::probe(cgroupfs);
        if layout.kind() == LayoutKind::None {
            layout = Self::from_mounts(&mounts);
            if layout.kind() != LayoutKind::None {
                layout
                    .notes
                    .push(format!("no cgroup hierarchy below {}; using those of the mount table", cgroupfs.display()));
            }
        }
        if layout.kind() == LayoutKind::None {
            return Err(DiscoverError::NoCgroups { root: cgroupfs.to_path_buf() });
        }
        layout.note_partial_view(procfs);
        Ok(layout)
    }

    /// Which versions were found.
    #[must_use]
    pub fn kind(&self) -> LayoutKind {
        match (self.v2_root.is_some(), self.v1.is_empty()) {
            (true, true) => LayoutKind::V2,
            (true, false) => LayoutKind::Hybrid,
            (false, false) => LayoutKind::V1,
            (false, true) => LayoutKind::None,
        }
    }

    /// The word for labels and people: `v2`, `v1`, `hybrid` or `none`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// The root of one version 1 controller.
    #[must_use]
    pub fn v1(&self, controller: V1Controller) -> Option<&Path> {
        self.v1.get(&controller).map(PathBuf::as_path)
    }

    /// Looks at the directory itself and at what lies right below it.
    fn probe(cgroupfs: &Path) -> Self {
        if is_v2_root(cgroupfs) {
            return Self { v2_root: Some(cgroupfs.to_path_buf()), ..Self::default() };
        }
        let mut layout = Self::default();
        let mut names: Vec<PathBuf> = std::fs::read_dir(cgroupfs)
            .map(|entries| entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
            .unwrap_or_default();
        names.sort();
        for directory in names {
            if is_v2_root(&directory) {
                layout.v2_root.get_or_insert(directory);
                continue;
            }
            layout.add_v1(&directory);
        }
        layout
    }

    /// Takes the roots from a mount table: for hierarchies that are mounted in an unusual place.
    fn from_mounts(mounts: &[MountInfo]) -> Self {
        let mut layout = Self::default();
        for mount in mounts {
            match mount.fs_type.as_str() {
                "cgroup2" if is_v2_root(&mount.mount_point) => {
                    layout.v2_root.get_or_insert_with(|| mount.mount_point.clone());
                }
                "cgroup" => layout.add_v1(&mount.mount_point),
                _ => {}
            }
        }
        layout
    }

    /// Adds every controller that this directory is the root of. A directory named for the controller wins over
    /// another one with the same files, so that `cpu` is preferred to a link such as `cpu,cpuacct`.
    fn add_v1(&mut self, directory: &Path) {
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_mount = file_system_type(directory) == Some(CGROUP_SUPER_MAGIC);
        for controller in V1Controller::ALL {
            let named = name.split(',').any(|part| part == controller.as_str());
            let marked = directory.join(controller.marker()).exists();
            let exact = name == controller.as_str();
            // The name alone is enough on a real mount (the root of `hugetlb` has no marker where only 1 GiB pages
            // exist); in a plain directory tree it or a cgroup in it must hold a file of the controller (the root of
            // `pids` has none).
            if marked || (named && (is_mount || has_file_of(directory, controller))) {
                let taken = self.v1.contains_key(&controller);
                if !taken || exact {
                    self.v1.insert(controller, directory.to_path_buf());
                }
            }
        }
    }

    /// Says when the hierarchy's root that we see is not the machine's.
    fn note_partial_view(&mut self, procfs: &Path) {
        // `cgroup.type` and `cgroup.events` exist in every version 2 cgroup but the root; `release_agent` exists only
        // in the root of a version 1 hierarchy.
        let v2_below = self.v2_root.as_ref().is_some_and(|root| root.join("cgroup.type").exists());
        let v1_below = self
            .v1
            .values()
            .any(|root| file_system_type(root) == Some(CGROUP_SUPER_MAGIC) && !root.join("release_agent").exists());
        if v2_below || v1_below {
            self.notes.push(
                "the mounted cgroup root is not the machine's root (a cgroup namespace): containers outside of it are \
                 not seen; mount the host's /sys/fs/cgroup and name it with --cgroupfs"
                    .to_owned(),
            );
        }
        let init_is_outside = std::fs::read_to_string(procfs.join("1/cgroup")).is_ok_and(|text| {
            text.lines().any(|line| line.splitn(3, ':').nth(2).is_some_and(|p| p.starts_with("/..")))
        });
        if init_is_outside {
            self.notes.push(
                "process 1 lies outside of this process's cgroup namespace: paths in /proc/PID/cgroup are relative to \
                 this container"
                    .to_owned(),
            );
        }
    }
}

/// True for the root of a version 2 tree: by the kernel's magic number, or in a captured tree by its one sure file.
fn is_v2_root(directory: &Path) -> bool {
    file_system_type(directory) == Some(CGROUP2_SUPER_MAGIC) || directory.join("cgroup.controllers").is_file()
}

/// `f_type` of the file system that a path lies on.
fn file_system_type(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statfs(path).ok()?;
    u64::try_from(stat.f_type).ok()
}

/// True when the directory, or one right below it, holds a file named `<controller>.…`.
fn has_file_of(directory: &Path, controller: V1Controller) -> bool {
    let prefix = format!("{}.", controller.as_str());
    let list = |directory: &Path| std::fs::read_dir(directory).into_iter().flatten().flatten();
    let holds = |directory: &Path| {
        list(directory).any(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
    };
    holds(directory) || list(directory).any(|entry| holds(&entry.path()))
}

/// The mount table of this process, whose paths it can open, then that of process 1, for a procfs without `self`.
/// Lines that do not parse are left out, and so (by the caller) is what cannot be opened.
fn read_mounts(procfs: &Path) -> Vec<MountInfo> {
    let mut mounts = Vec::new();
    for process in ["self", "1"] {
        let Ok(bytes) = std::fs::read(procfs.join(process).join("mountinfo")) else { continue };
        mounts.extend(String::from_utf8_lossy(&bytes).lines().filter_map(|line| MountInfo::from_line(line).ok()));
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let path = directory.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        directory
    }

    fn detect(directory: &tempfile::TempDir) -> Result<CgroupLayout, DiscoverError> {
        CgroupLayout::detect(directory.path(), Path::new("/nonexistent"))
    }

    #[test]
    fn a_root_with_cgroup_controllers_is_version_2() {
        let directory = tree(&["cgroup.controllers", "cpu.stat", "memory/cgroup.procs"]);
        let layout = detect(&directory).unwrap();
        assert_eq!((layout.kind(), layout.as_str()), (LayoutKind::V2, "v2"));
        assert_eq!(layout.v2_root.as_deref(), Some(directory.path()));
    }

    #[test]
    fn controller_directories_are_version_1() {
        let directory = tree(&["memory/memory.usage_in_bytes", "cpu/cpu.shares", "cpuacct/cpuacct.usage"]);
        let layout = detect(&directory).unwrap();
        assert_eq!(layout.kind(), LayoutKind::V1);
        assert_eq!(layout.v1(V1Controller::Cpuacct), Some(directory.path().join("cpuacct").as_path()));
        assert_eq!(layout.v1(V1Controller::Pids), None);
    }

    #[test]
    fn a_controller_whose_root_has_no_files_is_known_by_its_children() {
        let directory = tree(&["pids/cgroup.procs", "pids/docker/pids.current", "memory/memory.usage_in_bytes"]);
        let layout = detect(&directory).unwrap();
        assert_eq!(layout.v1(V1Controller::Pids), Some(directory.path().join("pids").as_path()));
    }

    #[test]
    fn a_unified_tree_beside_controllers_is_hybrid() {
        let directory = tree(&["memory/memory.usage_in_bytes", "unified/cgroup.controllers"]);
        let layout = detect(&directory).unwrap();
        assert_eq!(layout.kind(), LayoutKind::Hybrid);
        assert_eq!(layout.v2_root, Some(directory.path().join("unified")));
    }

    #[test]
    fn co_mounted_controllers_are_found_without_their_links_and_with_them() {
        let directory = tree(&["cpu,cpuacct/cpu.shares", "cpu,cpuacct/cpuacct.usage"]);
        let layout = detect(&directory).unwrap();
        assert_eq!(layout.v1(V1Controller::Cpu), Some(directory.path().join("cpu,cpuacct").as_path()));
        assert_eq!(layout.v1(V1Controller::Cpuacct), Some(directory.path().join("cpu,cpuacct").as_path()));
        std::os::unix::fs::symlink("cpu,cpuacct", directory.path().join("cpu")).unwrap();
        let layout = detect(&directory).unwrap();
        assert_eq!(layout.v1(V1Controller::Cpu), Some(directory.path().join("cpu").as_path()));
    }

    #[test]
    fn no_hierarchy_is_an_error_that_names_the_cure() {
        let directory = tree(&["readme"]);
        let text = detect(&directory).unwrap_err().to_string();
        assert!(text.contains("--cgroupfs"), "{text}");
        assert!(text.contains(&directory.path().display().to_string()), "{text}");
    }

    #[test]
    fn a_version_2_root_inside_a_cgroup_namespace_is_noted() {
        let directory = tree(&["cgroup.controllers", "cgroup.type"]);
        assert_eq!(detect(&directory).unwrap().notes.len(), 1);
    }

    #[test]
    fn this_machine_has_cgroups() {
        let layout = CgroupLayout::detect(Path::new("/sys/fs/cgroup"), Path::new("/proc")).unwrap();
        assert_ne!(layout.kind(), LayoutKind::None);
    }

    #[test]
    fn the_mount_table_finds_hierarchies_that_are_mounted_elsewhere() {
        let directory = tree(&["mem/memory.usage_in_bytes", "two/cgroup.controllers", "proc/1/mountinfo"]);
        let at = directory.path().display();
        let table = format!(
            "31 23 0:28 / {at}/mem rw - cgroup cgroup rw,memory\nnonsense\n41 31 0:38 / {at}/two rw - cgroup2 cgroup2 rw\n"
        );
        std::fs::write(directory.path().join("proc/1/mountinfo"), table).unwrap();
        let layout = CgroupLayout::detect(Path::new("/nonexistent"), &directory.path().join("proc")).unwrap();
        assert_eq!(layout.v2_root, Some(directory.path().join("two")));
        assert_eq!(layout.v1(V1Controller::Memory), Some(directory.path().join("mem").as_path()));
        assert_eq!(layout.notes.len(), 1);
    }
}
