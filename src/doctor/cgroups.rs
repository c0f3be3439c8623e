//! Checks of the cgroup hierarchies: layout, controllers, delegation, and the files that came with newer kernels.
//!
//! Sources: `Documentation/admin-guide/cgroup-v2.rst`, `Documentation/admin-guide/cgroup-v1/*.rst`. A file's presence in
//! a cgroup below the root is the test of a feature: a version number says nothing of what a distribution switched off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::permissions::Own;
use super::{Finding, State, host, read_text};
use crate::discover::CgroupLayout;

/// Deeper cgroups are not looked at; the agent's own walk has a depth limit too.
const DEEPEST: usize = 16;

/// How many cgroups are searched for an example of a file.
const EXAMPLES: usize = 200;

/// The hierarchies that the agent would read, as it finds them itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Root of the v2 hierarchy.
    unified: Option<PathBuf>,
    /// Roots of the v1 hierarchies by controller.
    v1: BTreeMap<String, PathBuf>,
    /// What about them keeps the agent from seeing the whole node.
    notes: Vec<String>,
}

impl Layout {
    fn read(cgroupfs: &Path, procfs: &Path) -> Self {
        // Without any hierarchy the finding says so; the error's text is the agent's.
        let Ok(found) = CgroupLayout::detect(cgroupfs, procfs) else { return Self::default() };
        let v1 = found.v1.into_iter().map(|(controller, root)| (controller.as_str().to_owned(), root)).collect();
        Self { unified: found.v2_root, v1, notes: found.notes }
    }

    /// `v2`, `hybrid`, `v1`, or `none`.
    pub(super) fn word(&self) -> &'static str {
        match (&self.unified, self.v1.is_empty()) {
            (Some(_), true) => "v2",
            (Some(_), false) => "hybrid",
            (None, false) => "v1",
            (None, true) => "none",
        }
    }

    /// The hierarchy in which containers are looked for.
    fn main(&self) -> Option<&Path> {
        let v1 = || self.v1.get("memory").or_else(|| self.v1.get("cpuacct")).or_else(|| self.v1.values().next());
        if self.v1.is_empty() { self.unified.as_deref() } else { v1().map(PathBuf::as_path) }
    }
}

/// The cgroups that were found.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) layout: Layout,
    cgroupfs: PathBuf,
    /// Every cgroup below the root of the main hierarchy, parents first.
    below: Vec<PathBuf>,
    /// True when there are more than may be read.
    cut: bool,
}

impl Tree {
    pub(super) fn read(cgroupfs: &Path, procfs: &Path, most: usize) -> Self {
        let layout = Layout::read(cgroupfs, procfs);
        let mut below: Vec<PathBuf> = Vec::new();
        let mut cut = false;
        let mut level: Vec<PathBuf> = layout.main().map(Path::to_owned).into_iter().collect();
        for _ in 0..DEEPEST {
            level = level.iter().flat_map(|path| directories(path)).collect();
            cut |= level.len() > most.saturating_sub(below.len());
            level.truncate(most.saturating_sub(below.len()));
            below.extend(level.iter().cloned());
        }
        Self { layout, cgroupfs: cgroupfs.to_owned(), below, cut }
    }

    /// Cgroups, the root included.
    pub(super) fn count(&self) -> usize {
        self.below.len() + usize::from(self.layout.main().is_some())
    }

    /// The first cgroup below the root that has this file.
    fn example(&self, file: &str) -> Option<PathBuf> {
        self.below.iter().take(EXAMPLES).map(|path| path.join(file)).find(|path| path.exists())
    }

    /// Controllers of the v2 root, or those mounted as v1.
    fn controllers(&self) -> BTreeSet<String> {
        let unified = self.layout.unified.as_ref().map(|root| words(&root.join("cgroup.controllers")));
        self.layout.v1.keys().cloned().chain(unified.unwrap_or_default()).collect()
    }

    fn is_v2(&self) -> bool {
        self.layout.word() == "v2"
    }
}

/// Directories in a directory, by name; symbolic links are not followed.
fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn words(path: &Path) -> BTreeSet<String> {
    read_text(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

pub(super) fn checks(tree: &Tree, release: &str, own: &Own) -> Vec<Finding> {
    let mut layout = layout(tree);
    for note in &tree.layout.notes {
        layout.seen.push_str("; ");
        layout.seen.push_str(note);
    }
    if layout.state == State::Failed {
        return vec![layout];
    }
    vec![
        layout,
        namespace(tree, own),
        count(tree),
        controllers(tree),
        delegation(tree),
        memory_accounting(tree),
        swap_accounting(tree),
        io_controller(tree),
        memory_peak(tree, release),
        cpu_burst(tree, release),
        cgroup_pressure(tree),
    ]
}

fn layout(tree: &Tree) -> Finding {
    const NAME: &str = "cgroup-layout";
    let at = tree.cgroupfs.display();
    let v2 = "boot with systemd.unified_cgroup_hierarchy=1, or with cgroup_no_v1=all where systemd is not used";
    match tree.layout.word() {
        "v2" => Finding::ok(NAME, format!("v2 at {at}")),
        "hybrid" => {
            let cost = "limits and memory come from v1: no memory.events, no memory.min, low and high";
            Finding::of(NAME, State::Limited, format!("hybrid at {at}"), cost, v2)
        }
        "v1" => {
            let cost = "no pressure per container, no memory.events, no memory.min, low and high";
            Finding::of(NAME, State::Limited, format!("v1 at {at}"), cost, v2)
        }
        _ => {
            let seen = format!("no cgroup hierarchy at {at}");
            let cure = "give the mount by --cgroupfs; in a container mount the host's /sys/fs/cgroup read-only";
            Finding::of(NAME, State::Failed, seen, "no container can be read", cure)
        }
    }
}

/// `cgroup.events` (v2) is in every cgroup but the root, and `release_agent` (v1) only in the root.
fn namespace(tree: &Tree, own: &Own) -> Finding {
    const NAME: &str = "cgroup-namespace";
    let whole = match (&tree.layout.unified, tree.layout.v1.values().next()) {
        (Some(root), _) => !root.join("cgroup.events").exists(),
        (None, Some(root)) => root.join("release_agent").exists(),
        (None, None) => true,
    };
    let whose = if own.initial_cgroup_namespace == Some(true) { "the host's" } else { "a container's own" };
    if whole {
        return Finding::ok(NAME, format!("{whose}; the whole tree is mounted"));
    }
    let cost = "only this container's subtree is seen: all other containers are missing";
    let cure = "mount the host's /sys/fs/cgroup read-only (hostPath), or start with --cgroupns=host (Docker, Podman)";
    Finding::of(NAME, State::Limited, format!("{whose}; a subtree is mounted"), cost, cure)
}

fn count(tree: &Tree) -> Finding {
    const NAME: &str = "cgroups";
    let seen = format!("{} cgroups", tree.count());
    if tree.cut {
        let seen = format!("more than {seen}");
        let cost = "cgroups beyond --max-cgroups are not read; that they are left out is counted";
        return Finding::of(NAME, State::Limited, seen, cost, "raise --max-cgroups");
    }
    Finding::ok(NAME, seen)
}

fn controllers(tree: &Tree) -> Finding {
    const NAME: &str = "cgroup-controllers";
    let present = tree.controllers();
    let wanted: &[&str] = if tree.is_v2() { &["cpu", "pids"] } else { &["cpu", "cpuacct", "pids"] };
    let absent: Vec<&str> = wanted.iter().copied().filter(|name| !present.contains(*name)).collect();
    let seen = present.iter().cloned().collect::<Vec<_>>().join(" ");
    if absent.is_empty() {
        return Finding::ok(NAME, seen);
    }
    let cost = "without cpu no limits and throttling, without cpuacct no CPU time, without pids no process counts";
    let cure = format!("remove cgroup_disable={} from the boot options, or boot a kernel with it", absent.join(","));
    Finding::of(NAME, State::Missing, format!("{seen}; absent: {}", absent.join(" ")), cost, cure)
}

/// A controller counts for a cgroup only when its parent's `cgroup.subtree_control` names it.
fn delegation(tree: &Tree) -> Finding {
    const NAME: &str = "cgroup-delegation";
    let Some(root) = tree.layout.unified.as_ref().filter(|_| tree.is_v2()) else {
        return Finding::ok(NAME, "v1 hierarchies have every controller in every cgroup");
    };
    let available = words(&root.join("cgroup.controllers"));
    let wanted: Vec<&str> =
        ["cpu", "memory", "io", "pids"].into_iter().filter(|controller| available.contains(*controller)).collect();
    let mut gaps = Vec::new();
    let parents = std::iter::once(root).chain(&tree.below).filter(|path| !directories(path).is_empty());
    for parent in parents {
        let given = words(&parent.join("cgroup.subtree_control"));
        let absent: Vec<&str> = wanted.iter().copied().filter(|controller| !given.contains(*controller)).collect();
        // What a parent was not given itself is the parent's gap, told there.
        let had = if parent == root { available.clone() } else { words(&parent.join("cgroup.controllers")) };
        let absent: Vec<&str> = absent.into_iter().filter(|controller| had.contains(*controller)).collect();
        if !absent.is_empty() {
            let below = parent.strip_prefix(root).unwrap_or(parent);
            gaps.push(format!("/{} ({})", below.display(), absent.join(" ")));
        }
    }
    if gaps.is_empty() {
        return Finding::ok(NAME, format!("{} reach every cgroup", wanted.join(" ")));
    }
    let rest = gaps.len().saturating_sub(5);
    let mut seen = format!("not handed on below {}", gaps.iter().take(5).cloned().collect::<Vec<_>>().join(", "));
    if rest > 0 {
        seen.push_str(&format!(" and {rest} more"));
    }
    let cost = "cgroups below these lack the files of the controllers in brackets; CPU time is there all the same";
    let cure = "for systemd units set DefaultCPUAccounting=, DefaultIOAccounting= and DefaultMemoryAccounting=yes in \
                system.conf; otherwise write +CONTROLLER into cgroup.subtree_control";
    Finding::of(NAME, State::Limited, seen, cost, cure)
}

fn memory_accounting(tree: &Tree) -> Finding {
    const NAME: &str = "memory-accounting";
    if tree.controllers().contains("memory") {
        return Finding::ok(NAME, "the memory controller is on");
    }
    let cost = "no memory metrics of containers, no OOM counts";
    let cure = "boot with cgroup_enable=memory, and without cgroup_disable=memory";
    Finding::of(NAME, State::Missing, "the memory controller is off", cost, cure)
}

/// Judges a feature by a file that it brings.
fn by_file(tree: &Tree, name: &'static str, files: &[&str], cost: &str, cure: &str) -> Finding {
    if let Some(path) = files.iter().find_map(|file| tree.example(file)) {
        return Finding::ok(name, format!("for example {}", path.display()));
    }
    let files = files.join(" or ");
    if tree.below.is_empty() {
        let cure = "ask again when a container runs";
        return Finding::of(name, State::Limited, format!("no cgroup to look for {files} in"), "not known yet", cure);
    }
    Finding::of(name, State::Missing, format!("no cgroup has {files}"), cost, cure)
}

fn swap_accounting(tree: &Tree) -> Finding {
    let files: &[&str] = if tree.is_v2() { &["memory.swap.current"] } else { &["memory.memsw.usage_in_bytes"] };
    let cure = "boot with swapaccount=1 and a kernel with swap support";
    by_file(tree, "swap-accounting", files, "no swap metrics of containers", cure)
}

fn io_controller(tree: &Tree) -> Finding {
    let files: &[&str] = if tree.is_v2() {
        &["io.stat"]
    } else {
        &["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"]
    };
    let cost = "no disk reads and writes of containers";
    if tree.is_v2() {
        let cure = "hand io on: systemd's DefaultIOAccounting=yes, or +io in cgroup.subtree_control";
        return by_file(tree, "io-controller", files, cost, cure);
    }
    let blkio = tree.layout.v1.get("blkio");
    let found = blkio.is_some_and(|root| files.iter().any(|file| root.join(file).exists()));
    if found {
        return Finding::ok("io-controller", "the blkio hierarchy is mounted");
    }
    Finding::of("io-controller", State::Missing, "no blkio hierarchy", cost, "mount the blkio hierarchy")
}

fn memory_peak(tree: &Tree, release: &str) -> Finding {
    let files: &[&str] = if tree.is_v2() { &["memory.peak"] } else { &["memory.max_usage_in_bytes"] };
    let cure = match host::version(release) {
        Some(version) if version < (5, 19) => "run Linux 5.19 or later",
        _ => "let the memory controller reach the containers; see memory-accounting and cgroup-delegation",
    };
    by_file(tree, "memory-peak", files, "the highest memory use is known only from the ring's samples", cure)
}

fn cpu_burst(tree: &Tree, release: &str) -> Finding {
    const NAME: &str = "cpu-burst";
    let root = if tree.is_v2() { None } else { tree.layout.v1.get("cpu") };
    let example = match root {
        Some(root) => directories(root).into_iter().map(|path| path.join("cpu.stat")).find(|path| path.exists()),
        None => tree
            .below
            .iter()
            .take(EXAMPLES)
            .find(|path| path.join("cpu.max").exists())
            .map(|path| path.join("cpu.stat")),
    };
    let Some(path) = example else {
        let cure = "ask again when a container runs, or see cgroup-delegation";
        return Finding::of(NAME, State::Limited, "no cgroup with a CPU limit to look at", "not known yet", cure);
    };
    let text = read_text(&path).unwrap_or_default();
    if text.lines().any(|line| line.starts_with("nr_bursts ")) {
        return Finding::ok(NAME, format!("for example {}", path.display()));
    }
    let cure = match host::version(release) {
        Some(version) if version < (5, 14) => "run Linux 5.14 or later",
        _ => "boot a kernel with CONFIG_CFS_BANDWIDTH",
    };
    let cost = "how often a container ran beyond its CPU quota is unknown";
    Finding::of(NAME, State::Missing, format!("no nr_bursts in {}", path.display()), cost, cure)
}

fn cgroup_pressure(tree: &Tree) -> Finding {
    const NAME: &str = "cgroup-psi";
    let mut below = tree.layout.unified.iter().flat_map(|root| directories(root)).chain(tree.below.iter().cloned());
    let example = below.by_ref().take(EXAMPLES).map(|path| path.join("cpu.pressure")).find(|path| path.exists());
    match example.as_deref().map(|path| (path, read_text(path))) {
        Some((path, Ok(_))) => Finding::ok(NAME, format!("for example {}", path.display())),
        Some((path, Err(error))) => {
            let cure = "boot with psi=1, and without cgroup_disable=pressure";
            let cost = "no pressure metrics of containers";
            Finding::of(NAME, State::Missing, format!("{}: {error}", path.display()), cost, cure)
        }
        None => {
            let cure = "see psi and cgroup-layout; it needs a v2 hierarchy with a cgroup below its root";
            let cost = "no pressure metrics of containers";
            Finding::of(NAME, State::Missing, "no cgroup has cpu.pressure", cost, cure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of files; a path that ends in `/` is a directory.
    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let tree = Tree::read(dir.path(), Path::new("/nonexistent"), 100);
        (dir, tree)
    }

    const V2: [(&str, &str); 8] = [
        ("cgroup.controllers", "cpuset cpu io memory pids\n"),
        ("cgroup.subtree_control", "cpu io memory pids\n"),
        ("a.slice/cgroup.controllers", "cpu io memory pids\n"),
        ("a.slice/cgroup.subtree_control", ""),
        ("a.slice/cpu.max", "max 100000\n"),
        ("a.slice/cpu.stat", "usage_usec 1\nnr_bursts 0\n"),
        ("a.slice/cpu.pressure", "some avg10=0\n"),
        ("a.slice/memory.peak", "1\n"),
    ];

    fn finding(tree: &Tree, name: &str) -> Finding {
        checks(tree, "6.1.0", &Own::default()).into_iter().find(|finding| finding.name == name).unwrap()
    }

    #[test]
    fn a_full_v2_tree_is_well() {
        let (_dir, tree) = tree(&V2);
        assert_eq!((tree.layout.word(), tree.count()), ("v2", 2));
        for name in ["cgroup-layout", "cgroup-controllers", "cgroup-delegation", "memory-accounting", "memory-peak"] {
            assert_eq!(finding(&tree, name).state, State::Ok, "{name}");
        }
        for name in ["cpu-burst", "cgroup-psi", "cgroup-namespace"] {
            assert_eq!(finding(&tree, name).state, State::Ok, "{name}");
        }
        let swap = finding(&tree, "swap-accounting");
        assert_eq!((swap.state, swap.seen.as_str()), (State::Missing, "no cgroup has memory.swap.current"));
    }

    #[test]
    fn a_controller_that_stops_half_way_is_told_with_its_place() {
        let mut files = V2.to_vec();
        files.retain(|(path, _)| *path != "a.slice/cgroup.subtree_control");
        files.push(("a.slice/cgroup.subtree_control", "memory pids\n"));
        files.push(("a.slice/b.scope/cgroup.controllers", "memory pids\n"));
        files.push(("a.slice/b.scope/c/cgroup.procs", "\n"));
        files.push(("a.slice/b.scope/cgroup.subtree_control", "memory\n"));
        let (_dir, tree) = tree(&files);
        let delegation = finding(&tree, "cgroup-delegation");
        assert_eq!(delegation.state, State::Limited);
        assert_eq!(delegation.seen, "not handed on below /a.slice (cpu io), /a.slice/b.scope (pids)");
    }

    #[test]
    fn a_mounted_subtree_is_told_from_the_whole_tree() {
        let mut files = V2.to_vec();
        files.push(("cgroup.events", "populated 1\n"));
        let (_dir, tree) = tree(&files);
        let namespace = finding(&tree, "cgroup-namespace");
        assert_eq!(namespace.state, State::Limited);
        assert!(namespace.cure.unwrap().contains("--cgroupns=host"));
    }

    #[test]
    fn hybrid_and_v1_are_told_by_what_lies_below_the_root() {
        let v1 = [
            ("memory/cgroup.procs", ""),
            ("memory/release_agent", ""),
            ("memory/memory.usage_in_bytes", "1\n"),
            ("cpu,cpuacct/cpu.shares", "1024\n"),
            ("cpu,cpuacct/cpuacct.usage", "1\n"),
            ("memory/docker/x/memory.usage_in_bytes", "1\n"),
            ("cpu,cpuacct/cgroup.procs", ""),
            ("systemd/cgroup.procs", ""),
        ];
        let (_dir, tree_v1) = tree(&v1);
        assert_eq!((tree_v1.layout.word(), tree_v1.count()), ("v1", 3));
        assert_eq!(finding(&tree_v1, "memory-accounting").state, State::Ok);
        assert_eq!(finding(&tree_v1, "io-controller").state, State::Missing);
        let controllers = finding(&tree_v1, "cgroup-controllers");
        assert_eq!(controllers.seen, "cpu cpuacct memory; absent: pids");
        let (_dir, hybrid) = tree(&[v1.as_slice(), &[("unified/cgroup.controllers", "hugetlb\n")]].concat());
        assert_eq!(hybrid.layout.word(), "hybrid");
        assert_eq!(finding(&hybrid, "cgroup-layout").state, State::Limited);
    }

    #[test]
    fn without_any_hierarchy_the_agent_cannot_run() {
        let (_dir, tree) = tree(&[("README", "")]);
        let findings = checks(&tree, "6.1.0", &Own::default());
        assert_eq!((findings.len(), findings[0].state), (1, State::Failed));
        assert!(findings[0].cure.as_ref().unwrap().contains("--cgroupfs"));
    }

    #[test]
    fn a_memory_controller_that_is_off_names_its_boot_option() {
        let (_dir, tree) = tree(&[("cgroup.controllers", "cpu io pids\n"), ("a/cpu.stat", "usage_usec 1\n")]);
        let memory = finding(&tree, "memory-accounting");
        assert_eq!(memory.state, State::Missing);
        assert!(memory.cure.unwrap().contains("cgroup_enable=memory"));
    }

    #[test]
    fn what_an_old_kernel_lacks_is_cured_by_its_version() {
        let (_dir, tree) =
            tree(&[("cgroup.controllers", "memory\n"), ("a/cpu.max", ""), ("a/cpu.stat", "usage_usec 1\n")]);
        let cure = |release: &str, name: &str| {
            let found = checks(&tree, release, &Own::default()).into_iter().find(|finding| finding.name == name);
            found.unwrap().cure.unwrap()
        };
        assert_eq!(cure("5.10.0", "memory-peak"), "run Linux 5.19 or later");
        assert_eq!(cure("5.10.0", "cpu-burst"), "run Linux 5.14 or later");
        assert!(cure("6.1.0", "cpu-burst").contains("CONFIG_CFS_BANDWIDTH"));
    }

    #[test]
    fn more_cgroups_than_allowed_are_told_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpu\n").unwrap();
        for number in 0..5 {
            fs::create_dir(dir.path().join(format!("c{number}"))).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        assert_eq!(
            (
                Tree::read(dir.path(), Path::new("/nonexistent"), 5).count(),
                Tree::read(dir.path(), Path::new("/nonexistent"), 5).cut
            ),
            (6, false)
        );
        let cut = Tree::read(dir.path(), Path::new("/nonexistent"), 4);
        assert_eq!((cut.count(), cut.cut), (5, true));
        assert_eq!(finding(&cut, "cgroups").state, State::Limited);
    }
}
