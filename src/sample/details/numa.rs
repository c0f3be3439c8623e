//! The sets `memory_numa` and `cpuset`: memory by NUMA node, and whether it moves when the nodes change.
//!
//! In: a cgroup. Out: [`NumaPages`], and 0 or 1. Version 1 counts a cgroup itself and its subtree, version 2 the subtree
//! only: there a cgroup's own are known when nothing is below it. Next: [`Sets`](super::Sets).

use super::target::{Files, Target};
use crate::kernel::KernelDir;
use crate::kernel::cgroup::parse_value;
use crate::kernel::numa_stat::{NumaLine, parse_numa_stat};

/// Most NUMA nodes that are shown.
const MOST_NODES: u32 = 1_024;

/// Kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NumaKind {
    /// Page cache.
    File,
    /// Anonymous memory.
    Anon,
    /// What cannot be reclaimed.
    Unevictable,
}

impl NumaKind {
    /// The kernel's and cAdvisor's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Anon => "anon",
            Self::Unevictable => "unevictable",
        }
    }

    const fn of(key: &[u8]) -> Option<Self> {
        match key {
            b"file" => Some(Self::File),
            b"anon" => Some(Self::Anon),
            b"unevictable" => Some(Self::Unevictable),
            _ => None,
        }
    }
}

/// Pages of one kind on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumaPages {
    /// Which memory.
    pub kind: NumaKind,
    /// True for the subtree, false for the cgroup itself.
    pub hierarchy: bool,
    /// NUMA node.
    pub node: u32,
    /// Pages; gauge.
    pub pages: u64,
}

#[derive(Debug)]
pub(super) struct NumaReader {
    memory_v1: Option<KernelDir>,
    memory_v2: Option<KernelDir>,
    cpuset_v1: Option<KernelDir>,
    page_bytes: u64,
}

impl NumaReader {
    pub fn new(
        memory_v1: Option<KernelDir>,
        memory_v2: Option<KernelDir>,
        cpuset_v1: Option<KernelDir>,
        page_bytes: u64,
    ) -> Self {
        Self { memory_v1, memory_v2, cpuset_v1, page_bytes }
    }

    /// Pages by kind and node; empty where the kernel does not tell.
    pub fn pages(&self, target: &Target<'_>, files: &mut Files) -> Vec<NumaPages> {
        const FILE: &str = "memory.numa_stat";
        let (root, v1) = match (&self.memory_v1, &self.memory_v2) {
            (Some(root), _) => (root, true),
            (None, Some(root)) => (root, false),
            (None, None) => return Vec::new(),
        };
        match files.of_cgroup(root, target, FILE) {
            Ok(bytes) if v1 => pages_v1(bytes),
            Ok(bytes) => pages_v2(bytes, self.page_bytes, target.leaf == Some(true)),
            Err(class) => {
                files.leave_out_for("memory_numa", class);
                Vec::new()
            }
        }
    }

    /// `cpuset.memory_migrate`, which version 2 does not have: there memory always moves.
    pub fn memory_migrate(&self, target: &Target<'_>, files: &mut Files) -> Option<u64> {
        let bytes = files.of_cgroup(self.cpuset_v1.as_ref()?, target, "cpuset.memory_migrate").ok()?;
        parse_value(bytes).ok()
    }
}

fn pages_v1(bytes: &[u8]) -> Vec<NumaPages> {
    let mut pages = Vec::new();
    for line in parse_numa_stat(bytes) {
        let below = line.key.strip_prefix(b"hierarchical_");
        if let Some(kind) = NumaKind::of(below.unwrap_or(line.key)) {
            add(&mut pages, &line, kind, below.is_some(), 1);
        }
    }
    pages
}

fn pages_v2(bytes: &[u8], page_bytes: u64, leaf: bool) -> Vec<NumaPages> {
    let mut pages = Vec::new();
    for line in parse_numa_stat(bytes) {
        if let Some(kind) = NumaKind::of(line.key) {
            add(&mut pages, &line, kind, true, page_bytes);
            if leaf {
                add(&mut pages, &line, kind, false, page_bytes);
            }
        }
    }
    pages
}

fn add(pages: &mut Vec<NumaPages>, line: &NumaLine<'_>, kind: NumaKind, hierarchy: bool, unit: u64) {
    for (node, value) in line.nodes().filter(|(node, _)| *node < MOST_NODES) {
        let one = NumaPages { kind, hierarchy, node, pages: value.checked_div(unit).unwrap_or(0) };
        // A file that says the same twice makes no second series.
        if !pages.iter().any(|known| (known.kind, known.hierarchy, known.node) == (kind, hierarchy, node)) {
            pages.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"anon N0=1486848 N1=4096\nfile N0=0 N1=0\nunevictable N0=12288 N1=0\nslab N0=1 N1=1\n";
    const V1: &[u8] = b"total=363 N0=362 N1=1\nanon=360 N0=359 N1=1\nhierarchical_anon=363 N0=362 N1=1\n";

    fn page(kind: NumaKind, hierarchy: bool, node: u32, pages: u64) -> NumaPages {
        NumaPages { kind, hierarchy, node, pages }
    }

    #[test]
    fn version_2_tells_bytes_of_the_subtree() {
        let inner = pages_v2(V2, 4096, false);
        assert_eq!(inner.len(), 6);
        assert!(inner.contains(&page(NumaKind::Anon, true, 0, 363)));
        assert!(inner.contains(&page(NumaKind::Unevictable, true, 0, 3)));
        let leaf = pages_v2(V2, 4096, true);
        assert_eq!(leaf.len(), 12, "the subtree of a leaf is itself");
        assert!(leaf.contains(&page(NumaKind::Anon, false, 1, 1)));
    }

    #[test]
    fn version_1_tells_pages_of_both() {
        let expected = [
            page(NumaKind::Anon, false, 0, 359),
            page(NumaKind::Anon, false, 1, 1),
            page(NumaKind::Anon, true, 0, 362),
            page(NumaKind::Anon, true, 1, 1),
        ];
        assert_eq!(pages_v1(V1), expected);
        assert_eq!(pages_v1(b"anon=1 N0=1 N0=2\n").len(), 1);
    }
}
