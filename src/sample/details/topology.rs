//! The set `cpu_topology`, and the machine's memory modules: what is where in the machine.
//!
//! In: sysfs. Out: [`Topology`]. Sources: `Documentation/admin-guide/cputopology.rst`,
//! `Documentation/ABI/testing/sysfs-devices-system-cpu`, `-node`, `Documentation/driver-api/edac.rst`. A machine without
//! NUMA is one node, 0. What is not told is absent. Next: [`Sets`](super::Sets).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::kernel::parse::{decimal, fields};
use crate::sample::machine::parse_cpu_list;

/// Most folders of one kind that are looked into: far more CPUs than Linux can have.
const MOST: usize = 16_384;

/// Where a cache is: node, core (`None` for one that a whole node shares), type, level.
pub type CachePlace = (u32, Option<u32>, String, u32);

/// What is where. Every map is by its labels, so that no two entries have the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Capacity of caches in bytes.
    pub caches: BTreeMap<CachePlace, u64>,
    /// Threads of the core that a thread is on, by node, core and thread.
    pub thread_siblings: BTreeMap<(u32, u32, u32), u64>,
    /// Memory of each node in bytes.
    pub node_memory_bytes: BTreeMap<u32, u64>,
    /// Huge pages of each node, by node and page size in KiB.
    pub node_hugepages: BTreeMap<(u32, u64), u64>,
    /// Distance from a node to another.
    pub node_distance: BTreeMap<(u32, u32), u64>,
    /// Memory modules by type: how many, and their bytes.
    pub dimms: BTreeMap<String, (u64, u64)>,
    /// Books of CPUs (s390).
    pub books: Option<u64>,
    /// Drawers of books (s390).
    pub drawers: Option<u64>,
}

impl Topology {
    /// Reads what is where. `all` is for the set `cpu_topology`; without it only modules, books and drawers are read.
    #[must_use]
    pub fn read(sysfs: &Path, all: bool) -> Self {
        let cpus = sysfs.join("devices/system/cpu");
        let online = parse_cpu_list(&text(&cpus.join("online")));
        let mut topology = Self {
            dimms: dimms(&sysfs.join("devices/system/edac/mc")),
            books: distinct(&cpus, &online, "book_id"),
            drawers: distinct(&cpus, &online, "drawer_id"),
            ..Self::default()
        };
        if all {
            topology.read_nodes(&sysfs.join("devices/system/node"), &cpus, &online);
        }
        topology
    }

    fn read_nodes(&mut self, folder: &Path, cpus: &Path, online: &BTreeSet<u32>) {
        let nodes: BTreeMap<u32, PathBuf> = numbered(folder, "node").collect();
        let mut by_node: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for (node, path) in &nodes {
            by_node.insert(*node, parse_cpu_list(&text(&path.join("cpulist"))));
            if let Some(kib) = node_memory_kib(&text(&path.join("meminfo"))) {
                self.node_memory_bytes.insert(*node, kib.saturating_mul(1024));
            }
            for (target, distance) in nodes.keys().zip(fields(text(&path.join("distance")).as_bytes())) {
                if let Some(distance) = decimal(distance) {
                    self.node_distance.insert((*node, *target), distance);
                }
            }
            for (size_kib, pages) in hugepages(&path.join("hugepages")) {
                self.node_hugepages.insert((*node, size_kib), pages);
            }
        }
        if nodes.is_empty() {
            by_node.insert(0, online.clone());
        }
        for (node, members) in &by_node {
            let members: BTreeSet<u32> = members.intersection(online).copied().collect();
            for cpu in &members {
                self.read_cpu(*node, &members, *cpu, &cpus.join(format!("cpu{cpu}")));
            }
        }
    }

    fn read_cpu(&mut self, node: u32, members: &BTreeSet<u32>, cpu: u32, folder: &Path) {
        let topology = folder.join("topology");
        let Some(core) = number(&topology.join("core_id")).and_then(|core| u32::try_from(core).ok()) else { return };
        let siblings = parse_cpu_list(&text(&topology.join("thread_siblings_list")));
        if !siblings.is_empty() {
            self.thread_siblings.insert((node, core, cpu), u64::try_from(siblings.len()).unwrap_or(u64::MAX));
        }
        for (_, cache) in numbered(&folder.join("cache"), "index") {
            let shared = parse_cpu_list(&text(&cache.join("shared_cpu_list")));
            let level = number(&cache.join("level")).and_then(|level| u32::try_from(level).ok());
            let (Some(level), Some(bytes)) = (level, cache_bytes(&text(&cache.join("size")))) else { continue };
            // A cache that serves more than this core, and all of the node, is the node's.
            let of_node = shared.len() > siblings.len().max(1) && members.is_subset(&shared);
            let core = if of_node { None } else { Some(core) };
            self.caches.entry((node, core, text(&cache.join("type")), level)).or_insert(bytes);
        }
    }
}

/// How many values a file of all CPUs has; `None` when no CPU has it.
fn distinct(cpus: &Path, online: &BTreeSet<u32>, name: &str) -> Option<u64> {
    let values: BTreeSet<u64> =
        online.iter().filter_map(|cpu| number(&cpus.join(format!("cpu{cpu}/topology/{name}")))).collect();
    if values.is_empty() { None } else { u64::try_from(values.len()).ok() }
}

fn dimms(controllers: &Path) -> BTreeMap<String, (u64, u64)> {
    let mut dimms = BTreeMap::new();
    for (_, controller) in numbered(controllers, "mc") {
        for (_, dimm) in numbered(&controller, "dimm") {
            let kind = text(&dimm.join("dimm_mem_type"));
            let Some(mebibytes) = number(&dimm.join("size")) else { continue };
            let (count, bytes): &mut (u64, u64) = dimms.entry(kind).or_default();
            *count = count.saturating_add(1);
            *bytes = bytes.saturating_add(mebibytes.saturating_mul(1 << 20));
        }
    }
    dimms
}

fn node_memory_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.contains(" MemTotal:"))?;
    decimal(line.split_once(':')?.1.split_whitespace().next()?.as_bytes())
}

/// Size in KiB and number of pages, of each folder `hugepages-2048kB`.
fn hugepages(folder: &Path) -> Vec<(u64, u64)> {
    let size = |name: &str| decimal(name.strip_prefix("hugepages-")?.strip_suffix("kB")?.as_bytes());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST);
    let pages = entries
        .filter_map(|entry| Some((size(entry.file_name().to_str()?)?, number(&entry.path().join("nr_hugepages"))?)));
    pages.collect()
}

/// `48K`, `2048K`, `260M` or plain bytes.
fn cache_bytes(size: &str) -> Option<u64> {
    let (digits, unit) = match size.as_bytes().split_last()? {
        (b'K', digits) => (digits, 1 << 10),
        (b'M', digits) => (digits, 1 << 20),
        (b'G', digits) => (digits, 1 << 30),
        _ => (size.as_bytes(), 1),
    };
    decimal(digits)?.checked_mul(unit)
}

/// The folders `prefixN` below `folder`, by their numbers.
fn numbered(folder: &Path, prefix: &str) -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST);
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?, entry.path())))
        .collect();
    found.sort();
    found.into_iter()
}

fn number(path: &Path) -> Option<u64> {
    decimal(text(path).as_bytes())
}

fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    /// Two nodes of one core of two threads each; a cache of level 3 for each node.
    #[test]
    fn caches_belong_to_cores_or_to_whole_nodes() {
        let sysfs = tempfile::tempdir().unwrap();
        put(
            &sysfs.path().join("devices/system"),
            &[
                ("cpu/online", "0-3\n"),
                ("node/node0/cpulist", "0-1\n"),
                ("node/node0/meminfo", "Node 0 MemTotal:       24684092 kB\nNode 0 MemFree: 1 kB\n"),
                ("node/node0/distance", "10 21\n"),
                ("node/node0/hugepages/hugepages-2048kB/nr_hugepages", "5\n"),
                ("node/node1/cpulist", "2-3\n"),
                ("node/node1/distance", "21 10\n"),
                ("edac/mc/mc0/dimm0/dimm_mem_type", "Registered-DDR4\n"),
                ("edac/mc/mc0/dimm0/size", "32768\n"),
                ("edac/mc/mc0/dimm1/dimm_mem_type", "Registered-DDR4\n"),
                ("edac/mc/mc0/dimm1/size", "32768\n"),
            ],
        );
        for cpu in 0..4 {
            let pair = if cpu < 2 { "0-1" } else { "2-3" };
            put(
                &sysfs.path().join(format!("devices/system/cpu/cpu{cpu}")),
                &[
                    ("topology/core_id", "0\n"),
                    ("topology/book_id", "0\n"),
                    ("topology/thread_siblings_list", pair),
                    ("cache/index0/level", "1"),
                    ("cache/index0/type", "Data"),
                    ("cache/index0/size", "48K"),
                    ("cache/index0/shared_cpu_list", pair),
                    ("cache/index3/level", "3"),
                    ("cache/index3/type", "Unified"),
                    ("cache/index3/size", "260M"),
                    ("cache/index3/shared_cpu_list", "0-3"),
                ],
            );
        }
        let topology = Topology::read(sysfs.path(), true);
        let place = |node, core, kind: &str, level| (node, core, kind.to_owned(), level);
        let caches: Vec<_> = topology.caches.into_iter().collect();
        assert_eq!(
            caches,
            [
                (place(0, None, "Unified", 3), 260 << 20),
                (place(0, Some(0), "Data", 1), 48 << 10),
                (place(1, None, "Unified", 3), 260 << 20),
                (place(1, Some(0), "Data", 1), 48 << 10),
            ]
        );
        assert_eq!(topology.thread_siblings, [((0, 0, 0), 2), ((0, 0, 1), 2), ((1, 0, 2), 2), ((1, 0, 3), 2)].into());
        assert_eq!(topology.node_memory_bytes, [(0, 24_684_092 << 10)].into());
        assert_eq!(topology.node_hugepages, [((0, 2048), 5)].into());
        assert_eq!(topology.node_distance, [((0, 0), 10), ((0, 1), 21), ((1, 0), 21), ((1, 1), 10)].into());
        assert_eq!(topology.dimms, [("Registered-DDR4".to_owned(), (2, 64 << 30))].into());
        assert_eq!((topology.books, topology.drawers), (Some(1), None));
        assert!(Topology::read(sysfs.path(), false).caches.is_empty());
    }

    #[test]
    fn a_machine_that_tells_nothing_has_nothing() {
        let sysfs = tempfile::tempdir().unwrap();
        assert_eq!(Topology::read(sysfs.path(), true), Topology::default());
        assert_eq!(cache_bytes("12x"), None);
        assert_eq!(cache_bytes("99999999999999999999K"), None);
    }
}
