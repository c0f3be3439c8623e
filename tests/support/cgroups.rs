//! Real cgroups below a parent of the test's own, in the hierarchies that the agent reads.
//!
//! In: names, hostile ones too. Out: a guard that ends the processes in them and removes them all, however deep. It
//! never touches what lies beside its parent.
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};

use super::process::require_root;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub struct Cgroups {
    /// The parent's name in every hierarchy.
    pub name: String,
    /// The parent in each hierarchy, the version 2 tree first.
    parents: Vec<PathBuf>,
    processes: Vec<Child>,
}

impl Cgroups {
    /// Makes a parent in every hierarchy. `suffix` ends its name (`.slice`).
    pub fn make(suffix: &str) -> Self {
        require_root("a test with cgroups");
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rs{}x{number}{suffix}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let roots: Vec<PathBuf> = if root.join("cgroup.controllers").exists() {
            vec![root.to_owned()]
        } else {
            let all = ["unified", "memory", "cpu", "cpuacct", "blkio", "pids"].map(|name| root.join(name));
            let mut roots: Vec<PathBuf> = Vec::new();
            for root in all.into_iter().filter(|root| root.is_dir()) {
                let root = fs::canonicalize(root).unwrap();
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
            roots
        };
        let parents: Vec<PathBuf> = roots.into_iter().map(|root| root.join(&name)).collect();
        let cgroups = Self { name, parents, processes: Vec::new() };
        for parent in &cgroups.parents {
            fs::create_dir(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
        }
        cgroups
    }

    /// Makes a child, with those above it, in every hierarchy.
    pub fn child(&self, below: impl AsRef<OsStr>) {
        for parent in &self.parents {
            let path = parent.join(below.as_ref());
            fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// Makes a child in the hierarchies whose folder has one of these names.
    pub fn child_in(&self, hierarchies: &[&str], below: &str) {
        for path in self.paths_in(hierarchies, below) {
            fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    fn paths_in(&self, hierarchies: &[&str], below: &str) -> Vec<PathBuf> {
        let of = |parent: &&PathBuf| {
            let root = parent.parent().unwrap().file_name().unwrap().to_str().unwrap();
            hierarchies.contains(&root)
        };
        let paths: Vec<PathBuf> = self.parents.iter().filter(of).map(|parent| parent.join(below)).collect();
        assert!(!paths.is_empty(), "none of {hierarchies:?} on this machine: {:?}", self.parents);
        paths
    }

    /// Removes a child everywhere; it must be empty.
    pub fn remove(&self, below: &str) {
        for parent in &self.parents {
            let _not_in_this_one = fs::remove_dir(parent.join(below));
        }
    }

    /// The parent in the version 2 tree.
    pub fn v2(&self) -> &Path {
        &self.parents[0]
    }

    /// Puts a process into a child wherever that child exists. Gives its process ID.
    pub fn run_in(&mut self, below: &str, command: &mut Command) -> u32 {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        self.processes.push(child);
        for path in self.parents.iter().map(|parent| parent.join(below)).filter(|path| path.is_dir()) {
            fs::write(path.join("cgroup.procs"), pid.to_string()).unwrap();
        }
        pid
    }

    /// Ends every process that was put into a child.
    pub fn end_processes(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ended_already = process.kill();
            let _status = process.wait();
        }
    }

    /// A chain of cgroups below the version 2 parent, one in the other, longer than any path may be.
    pub fn chain(&self, length: usize, name: &str) {
        let mut at = rustix::fs::openat(CWD, self.v2(), FOLDER, Mode::empty()).unwrap();
        for _ in 0..length {
            rustix::fs::mkdirat(&at, name, Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, name, FOLDER, Mode::empty()).unwrap();
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.end_processes();
        for parent in &self.parents {
            let (above, name) = (parent.parent().unwrap(), parent.file_name().unwrap());
            let removed = (0..200).any(|_| {
                let gone = remove(above, name);
                if !gone {
                    // A process that has ended stays in its cgroup for a moment.
                    std::thread::sleep(Duration::from_millis(20));
                }
                gone
            });
            if !removed && !std::thread::panicking() {
                panic!("{} cannot be removed", parent.display());
            }
        }
    }
}

/// Removes a folder and all below it, with two descriptors whatever the depth. `true` when it is gone.
fn remove(above: &Path, name: &OsStr) -> bool {
    let Ok(mut at) = rustix::fs::openat(CWD, above, FOLDER, Mode::empty()) else { return false };
    let mut names = vec![name.as_bytes().to_vec()];
    while let Some(name) = names.last() {
        let down: Option<(OwnedFd, Vec<u8>)> =
            rustix::fs::openat(&at, name.as_slice(), FOLDER, Mode::empty()).ok().and_then(|folder| {
                let child = first_child(&folder)?;
                Some((folder, child))
            });
        match down {
            Some((folder, child)) => {
                at = folder;
                names.push(child);
            }
            None => {
                let removed = rustix::fs::unlinkat(&at, name.as_slice(), AtFlags::REMOVEDIR);
                if removed.is_err_and(|errno| errno != rustix::io::Errno::NOENT) {
                    return false;
                }
                names.pop();
                let more = rustix::fs::openat(&at, "..", FOLDER, Mode::empty());
                if names.is_empty() {
                    return true;
                }
                let Ok(up) = more else { return false };
                at = up;
            }
        }
    }
    true
}

fn first_child(folder: impl AsFd) -> Option<Vec<u8>> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(folder.as_fd(), &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_bytes();
        if entry.file_type() == FileType::Directory && name != b"." && name != b".." {
            return Some(name.to_vec());
        }
    }
    None
}
