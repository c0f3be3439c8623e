//! The list of files that are read of each cgroup, and where the hierarchies are.
//!
//! In: the roots of the hierarchies that this machine has. Out: a [`SourceTable`], made once at start. A file that is
//! read is one line in `sources_v2.rs` or `sources_v1.rs`; there is no other registration.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use super::{CgroupRows, sources_v1, sources_v2};
use crate::kernel::cgroup::pids;
use crate::kernel::file::{KernelDir, KernelFile, ReadBuffer, Records};
use crate::sample::self_stats::SourceFile;
use crate::units::ErrorClass;

/// How often a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sample) enum Cadence {
    /// At every tick: what tells whether the cgroup did anything.
    Tick,
    /// At every tick at which it did something, and at every fifth.
    Active,
    /// At every tenth tick.
    Slow,
    /// At every sixtieth tick.
    Rare,
}

impl Cadence {
    /// Whether the descriptor is worth keeping: a kept one costs 5.4 KB of kernel memory and saves about 6 µs a read.
    pub const fn kept(self) -> bool {
        matches!(self, Self::Tick | Self::Active)
    }
}

/// A cgroup hierarchy: the v2 tree (alone, or the `unified` one of a hybrid machine) or a v1 controller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::sample) enum Hierarchy {
    V2,
    Cpu,
    Cpuacct,
    Memory,
    Blkio,
    Pids,
    Hugetlb,
}

const HIERARCHIES: usize = 7;

/// Where the hierarchies' roots are. `None` where this machine has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// The cgroup v2 tree.
    pub v2: Option<PathBuf>,
    /// True when `v2` is the hybrid's `unified` tree, whose files have no controllers.
    pub unified_only: bool,
    /// v1 `cpu`.
    pub cpu: Option<PathBuf>,
    /// v1 `cpuacct`.
    pub cpuacct: Option<PathBuf>,
    /// v1 `memory`.
    pub memory: Option<PathBuf>,
    /// v1 `blkio`.
    pub blkio: Option<PathBuf>,
    /// v1 `pids`.
    pub pids: Option<PathBuf>,
    /// v1 `hugetlb`.
    pub hugetlb: Option<PathBuf>,
}

/// One file of a cgroup.
#[derive(Debug)]
pub(in crate::sample) struct Source {
    pub hierarchy: Hierarchy,
    pub name: Box<str>,
    /// Under which its errors are counted.
    pub group: SourceFile,
    pub cadence: Cadence,
    /// Handed to `apply`: the page size's position for `hugetlb.*`, else 0.
    pub part: u32,
    /// Puts the file's values into the rows; `None` makes its columns absent.
    pub apply: fn(Option<&[u8]>, u32, &mut CgroupRows),
}

/// The files of this machine's layout, those of every tick first, and the open roots.
#[derive(Debug)]
pub(in crate::sample) struct SourceTable {
    pub sources: Vec<Source>,
    roots: [Option<KernelDir>; HIERARCHIES],
    paths: [Option<PathBuf>; HIERARCHIES],
}

impl SourceTable {
    /// Opens the roots and lists the sources. `page_sizes` are the huge page sizes in cgroup spelling (`2MB`); `swap` is
    /// whether the node has any.
    pub fn new(hierarchies: &Hierarchies, page_sizes: &[Box<str>], swap: bool) -> Result<Self, (PathBuf, ErrorClass)> {
        let Hierarchies { v2, unified_only: _, cpu, cpuacct, memory, blkio, pids, hugetlb } = hierarchies.clone();
        let paths = [v2, cpu, cpuacct, memory, blkio, pids, hugetlb];
        let mut roots = [const { None }; HIERARCHIES];
        for (root, path) in roots.iter_mut().zip(&paths) {
            *root = path.as_ref().map(|path| open_root(path)).transpose()?;
        }
        let mut sources = if hierarchies.v2.is_some() && !hierarchies.unified_only {
            sources_v2::sources(page_sizes, swap)
        } else {
            sources_v1::sources(page_sizes, hierarchies.v2.is_some())
        };
        sources.retain(|source| roots.get(source.hierarchy as usize).is_some_and(Option::is_some));
        // Stable: the order within a cadence is the files' own. What depends on "did it move" must come after.
        sources.sort_by_key(|source| source.cadence != Cadence::Tick);
        Ok(Self { sources, roots, paths })
    }

    /// Opens a source's file of the cgroup at `cgroup` (relative to the root, no leading slash). `scratch` holds the path.
    pub fn open(&self, source: &Source, cgroup: &[u8], scratch: &mut Vec<u8>) -> Result<KernelFile, ErrorClass> {
        let root = self.roots.get(source.hierarchy as usize).and_then(Option::as_ref).ok_or(ErrorClass::Gone)?;
        scratch.clear();
        scratch.extend_from_slice(cgroup);
        if !cgroup.is_empty() {
            scratch.push(b'/');
        }
        scratch.extend_from_slice(source.name.as_bytes());
        scratch.push(0);
        let path = CStr::from_bytes_with_nul(scratch).map_err(|_| ErrorClass::Other)?;
        root.open_file_below(path, Records::of_cgroup_file(&source.name))
    }
}

impl SourceTable {
    /// The sources whose descriptors are kept: hierarchy root and file name.
    pub fn kept(&self) -> impl Iterator<Item = (&Path, &str)> {
        let kept = self.sources.iter().filter(|source| source.cadence.kept());
        kept.filter_map(|source| Some((self.paths.get(source.hierarchy as usize)?.as_deref()?, source.name.as_ref())))
    }

    /// The first process that a cgroup lists and this process can see.
    pub fn first_pid(&self, cgroup: &[u8], scratch: &mut Vec<u8>, buffer: &mut ReadBuffer) -> Option<u32> {
        let procs = self.sources.iter().find(|source| source.name.as_ref() == "cgroup.procs")?;
        let file = self.open(procs, cgroup, scratch).ok()?;
        // 0 stands for a process of another PID namespace.
        pids(file.read_into(buffer).ok()?).find(|pid| *pid != 0)
    }
}

fn open_root(path: &Path) -> Result<KernelDir, (PathBuf, ErrorClass)> {
    KernelDir::open_root(path).map_err(|error| (path.to_owned(), error.class()))
}
