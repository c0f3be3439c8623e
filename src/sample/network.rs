//! Network counters, once per network namespace: of each pod, and of the node.
//!
//! In: `<procfs>/PID/net/dev` of one process of each namespace. Out: one row per interface. The file's inode number is the
//! namespace's identity: it needs no permission. It is given to another one when the namespace has ended, as the process
//! ID is, so that the process's folder is held open, which holds no namespace. A descriptor of `net/dev` is never kept: it
//! would hold a dead pod's namespace, and its veth, alive.
//! Kernel documentation: `Documentation/filesystems/proc.rst` (net/dev). Next: `sampler.rs`.

use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;

use super::catalogue::{INTERFACE_METRICS, InterfaceColumn as I};
use super::cgroup::FileBudget;
use super::row::Row;
use super::self_stats::{SelfStats, SourceFile};
use super::{Subject, SubjectId};
use crate::kernel::file::{KernelDir, KernelFile, ReadBuffer, Records};
use crate::kernel::parse::decimal_u32;
use crate::kernel::proc::{Interface as Line, parse_net_dev, parse_pid_cgroup, parse_pid_stat};
use crate::units::{ErrorClass, MonotonicNanos};

/// Most interfaces that are shown of one namespace; a node with more shows its first ones.
const INTERFACES_CAP: usize = 512;

/// A network namespace, named by the inode number of its `net/dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NamespaceId(pub u64);

/// One interface.
#[derive(Debug)]
pub(super) struct Interface {
    name: Box<[u8]>,
    /// Given by the sampler at the end of the tick in which the interface appeared.
    pub subject: Option<Arc<Subject>>,
    pub row: Row,
    seen: bool,
}

impl Interface {
    /// The name as it is shown.
    pub fn name(&self) -> Arc<str> {
        crate::units::printable(&self.name).into()
    }
}

/// One network namespace.
#[derive(Debug)]
pub(super) struct Namespace {
    pub id: NamespaceId,
    /// The cgroup that it is shown under: the pod's, or the only container's. `None` for the node's own.
    pub owner: Option<SubjectId>,
    /// A process in it.
    process: Process,
    pub interfaces: Vec<Interface>,
}

/// What a namespace's read needs and no namespace owns.
#[derive(Debug)]
pub(super) struct NetContext<'a> {
    pub proc: &'a KernelDir,
    pub buffer: &'a mut ReadBuffer,
    pub path: &'a mut Vec<u8>,
    pub stats: &'a mut SelfStats,
    pub budget: &'a mut FileBudget,
}

/// A process, held so that its number cannot come to mean another one: by a descriptor of its folder, which holds
/// neither the process nor its namespaces, or without a free descriptor by the time of its start.
///
/// The namespace's number alone is no guard: the kernel gives the number of one that ended to the next.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    folder: Option<KernelDir>,
    started_ticks: Option<u64>,
}

impl Process {
    /// `None` when there is no such process.
    pub fn open(pid: u32, context: &NetContext<'_>) -> Option<Self> {
        let mut digits = itoa::Buffer::new();
        let folder = context.proc.open_below(Path::new(digits.format(pid))).ok()?;
        Some(Self { pid, folder: Some(folder), started_ticks: None })
    }

    /// Which namespace it is in; `None` when it has ended.
    pub fn namespace(&self, context: &mut NetContext<'_>) -> Option<NamespaceId> {
        self.net_dev(context).ok()?.inode().ok().map(NamespaceId)
    }

    /// Keeps it for as long as its namespace is read, by a descriptor if the budget has one.
    fn keep(mut self, context: &mut NetContext<'_>) -> Self {
        if !context.budget.take(true) {
            self.started_ticks = self.open_file(c"stat", context).ok().and_then(|file| started(&file, context.buffer));
            self.folder = None;
        }
        self
    }

    /// Closes what is open and gives it back to the budget.
    fn close(&mut self, budget: &mut FileBudget) {
        if self.folder.take().is_some() {
            budget.used = budget.used.saturating_sub(1);
        }
        self.started_ticks = None;
    }

    fn open_file(&self, name: &CStr, context: &mut NetContext<'_>) -> Result<KernelFile, ErrorClass> {
        match &self.folder {
            Some(folder) => folder.open_file_below(name, Records::Many),
            None => open_of_process(self.pid, name, context),
        }
    }

    fn net_dev(&self, context: &mut NetContext<'_>) -> Result<KernelFile, ErrorClass> {
        let file = self.open_file(c"net/dev", context)?;
        if self.folder.is_none() {
            // Asked after opening: had the number changed hands before, the start would be another one now.
            let stat = self.open_file(c"stat", context)?;
            let same = self.started_ticks.is_some() && started(&stat, context.buffer) == self.started_ticks;
            return if same { Ok(file) } else { Err(ErrorClass::Gone) };
        }
        Ok(file)
    }
}

/// When a process was started, of its `stat`.
fn started(stat: &KernelFile, buffer: &mut ReadBuffer) -> Option<u64> {
    parse_pid_stat(stat.read_into(buffer).ok()?).ok()?.starttime_ticks
}

/// This process's ID as the given procfs counts, which may be another PID namespace's: its `self` link.
pub(super) fn own_pid(context: &NetContext<'_>) -> Option<u32> {
    let link = rustix::fs::readlinkat(context.proc, c"self", Vec::new()).ok()?;
    decimal_u32(link.to_bytes())
}

/// Whether a process runs in the container with this ID, by the paths in its `cgroup` file.
pub(super) fn runs_in(pid: u32, container_id: &str, context: &mut NetContext<'_>) -> bool {
    let Ok(file) = open_of_process(pid, c"cgroup", context) else { return false };
    let Ok(bytes) = file.read_into(context.buffer) else { return false };
    parse_pid_cgroup(bytes).any(|line| {
        !line.deleted && line.path.windows(container_id.len().max(1)).any(|part| part == container_id.as_bytes())
    })
}

fn open_of_process(pid: u32, name: &CStr, context: &mut NetContext<'_>) -> Result<KernelFile, ErrorClass> {
    let mut digits = itoa::Buffer::new();
    context.path.clear();
    context.path.extend_from_slice(digits.format(pid).as_bytes());
    context.path.push(b'/');
    context.path.extend_from_slice(name.to_bytes_with_nul());
    let path = CStr::from_bytes_with_nul(context.path).map_err(|_| ErrorClass::Other)?;
    context.proc.open_file_below(path, Records::Many)
}

impl Namespace {
    /// The namespace that `process` is in.
    pub fn new(id: NamespaceId, owner: Option<SubjectId>, process: Process, context: &mut NetContext<'_>) -> Self {
        Self { id, owner, process: process.keep(context), interfaces: Vec::new() }
    }

    /// Before it is dropped: gives its descriptor back to the budget.
    pub fn close(&mut self, budget: &mut FileBudget) {
        self.process.close(budget);
    }

    /// Reads the counters. `false` when the process is gone or in another namespace now: the caller finds another one.
    /// `appeared` or vanished interfaces are told by the second part.
    pub fn read(&mut self, now: MonotonicNanos, context: &mut NetContext<'_>) -> Read {
        let file = match self.process.net_dev(context) {
            Ok(file) => file,
            Err(class) => return lost(class, context.stats),
        };
        if file.inode() != Ok(self.id.0) {
            return Read::Lost;
        }
        let bytes = match file.read_into(context.buffer) {
            Ok(bytes) => bytes,
            Err(class) => return lost(class, context.stats),
        };
        self.interfaces.iter_mut().for_each(|interface| interface.seen = false);
        let mut changed = false;
        for (position, line) in parse_net_dev(bytes).enumerate().take(INTERFACES_CAP) {
            changed |= self.put(position, &line, now);
        }
        let before = self.interfaces.len();
        self.interfaces.retain(|interface| interface.seen);
        Read::Done { changed: changed || self.interfaces.len() != before }
    }

    /// Writes one line's counters; `true` when the interface is new. Interfaces keep their order from tick to tick, so
    /// the one at the same position is tried first.
    fn put(&mut self, position: usize, line: &Line<'_>, now: MonotonicNanos) -> bool {
        let named = |interface: &Interface| *interface.name == *line.name;
        let found = match self.interfaces.get(position) {
            Some(interface) if named(interface) => Some(position),
            _ => self.interfaces.iter().position(named),
        };
        let index = found.unwrap_or(self.interfaces.len());
        if found.is_none() {
            self.interfaces.push(Interface {
                name: line.name.into(),
                subject: None,
                row: Row::new(INTERFACE_METRICS.len()),
                seen: true,
            });
        }
        let Some(interface) = self.interfaces.get_mut(index) else { return false };
        interface.seen = true;
        let row = &mut interface.row;
        row.read_at = now;
        row.put(I::RxBytes, line.rx_bytes);
        row.put(I::RxPackets, line.rx_packets);
        row.put(I::RxErrs, line.rx_errs);
        row.put(I::RxDrop, line.rx_drop);
        row.put(I::RxFifo, line.rx_fifo);
        row.put(I::RxFrame, line.rx_frame);
        row.put(I::RxCompressed, line.rx_compressed);
        row.put(I::RxMulticast, line.rx_multicast);
        row.put(I::TxBytes, line.tx_bytes);
        row.put(I::TxPackets, line.tx_packets);
        row.put(I::TxErrs, line.tx_errs);
        row.put(I::TxDrop, line.tx_drop);
        row.put(I::TxFifo, line.tx_fifo);
        row.put(I::TxColls, line.tx_colls);
        row.put(I::TxCarrier, line.tx_carrier);
        row.put(I::TxCompressed, line.tx_compressed);
        found.is_none()
    }
}

/// What became of reading a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// The counters are fresh; `changed` when interfaces came or went.
    Done {
        /// The list of interfaces is another one than before.
        changed: bool,
    },
    /// The process has ended or moved.
    Lost,
    /// It could not be read this time; the old counters stand.
    Failed,
}

fn lost(class: ErrorClass, stats: &mut SelfStats) -> Read {
    if class == ErrorClass::Gone {
        return Read::Lost;
    }
    stats.count_error(SourceFile::NetDev, class);
    Read::Failed
}
