//! A captured tree, copied to where a test may change it, with what a captured tree lacks put back.
//!
//! In: the name of a tree below `tests/fixtures/`. Out: a folder of its own with `cgroupfs/`, `proc/` and `sys/`, gone
//! when the guard is dropped. `sys/dev/block`, a text file in the captured tree, becomes the folder of links that the
//! kernel has, and `sys/kernel/mm/hugepages` names the page size whose files were captured.
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::agent::Agent;
use super::process::run;

/// Every captured tree.
pub const TREES: [&str; 3] = ["v2", "v1", "hybrid"];

pub struct Tree {
    pub name: &'static str,
    folder: tempfile::TempDir,
    /// Names of block devices by `major:minor`.
    pub devices: BTreeMap<String, String>,
    /// The paths of its three containers below a hierarchy's root, in the order of their names.
    pub containers: Vec<String>,
}

impl Tree {
    pub fn copy(name: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("rs-tree-").tempdir().unwrap();
        let captured = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        run("cp", &["-a", &format!("{}/.", captured.display()), folder.path().to_str().unwrap()]);
        let block = folder.path().join("sys/dev/block");
        let list = read(&block);
        fs::remove_file(&block).unwrap();
        fs::create_dir(&block).unwrap();
        let mut devices = BTreeMap::new();
        for line in list.lines() {
            let (number, device) = line.split_once(' ').unwrap();
            symlink(format!("../../devices/virtual/block/{device}"), block.join(number)).unwrap();
            devices.insert(number.to_owned(), device.to_owned());
        }
        fs::create_dir_all(folder.path().join("sys/kernel/mm/hugepages/hugepages-2048kB")).unwrap();
        let mut tree = Self { name, folder, devices, containers: Vec::new() };
        tree.containers = tree.find_containers();
        assert_eq!(tree.containers.len(), 3, "{name}: {:?}", tree.containers);
        tree
    }

    fn find_containers(&self) -> Vec<String> {
        let root = if self.name == "v2" { self.cgroupfs() } else { self.cgroupfs().join("memory") };
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let below = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            folders.extend(below.filter(|path| path.is_dir()));
            let name = folder.file_name().unwrap().to_str().unwrap();
            if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                found.push(folder.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
        found.sort();
        found
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn cgroupfs(&self) -> PathBuf {
        self.path().join("cgroupfs")
    }

    /// A file of a cgroup. `v1` is `controller/file`; on v2 the file of `v2` is meant.
    pub fn file(&self, cgroup: &str, v2: &str, v1: &str) -> PathBuf {
        if self.name == "v2" {
            return self.cgroupfs().join(cgroup).join(v2);
        }
        let (controller, file) = v1.split_once('/').unwrap();
        self.cgroupfs().join(controller).join(cgroup).join(file)
    }

    /// The flags that make an agent read this tree and nothing else.
    pub fn flags(&self) -> Vec<String> {
        let at = |folder: &str| self.path().join(folder).display().to_string();
        let mut flags = Vec::new();
        for (flag, value) in [
            ("--cgroupfs", at("cgroupfs")),
            ("--procfs", at("proc")),
            ("--sysfs", at("sys")),
            ("--node-name", "fixture".to_owned()),
            ("--docker-socket", "none".to_owned()),
            ("--podman-socket", "none".to_owned()),
            ("--cri-socket", "none".to_owned()),
        ] {
            flags.extend([flag.to_owned(), value]);
        }
        flags
    }

    pub fn agent(&self) -> Agent {
        Agent::start(self.flags())
    }
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
