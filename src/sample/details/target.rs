//! What the readers of sets have in common: whose turn it is, the files of its cgroup and processes, and what was left out.
//!
//! In: a cgroup of the newest roster. Out: its processes and threads, the bytes of one file at a time. Nothing is kept open.
//! Next: the readers beside it.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::path::Path;

use crate::kernel::cgroup::pids;
use crate::kernel::{KernelDir, ReadBuffer, Records};
use crate::sample::{CgroupKind, Subject, SubjectId};
use crate::units::ErrorClass;

/// Most bytes of one file: 2 MiB are 250,000 threads, or 13,000 sockets as text.
const FILE_BYTES: usize = 2 << 20;

/// What was left out, by set and reason; counts since the agent started.
pub type LeftOut = BTreeMap<(&'static str, &'static str), u64>;

/// One cgroup whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub subject: &'a Subject,
    /// Path below the hierarchy's root, without the leading slash; empty for the root.
    pub path: &'a str,
    pub kind: CgroupKind,
    /// Whether there are no cgroups below it; `None` when that is not known.
    pub leaf: Option<bool>,
}

impl<'a> Target<'a> {
    pub fn of(subject: &'a Subject, leaf: Option<bool>) -> Self {
        let kind = subject.workload.as_ref().map_or(CgroupKind::Other, |workload| workload.kind());
        Self { subject, path: subject.name.trim_start_matches('/'), kind, leaf }
    }

    pub fn id(&self) -> SubjectId {
        self.subject.id
    }

    /// Its init process as the runtime named it.
    pub fn init(&self) -> Option<u32> {
        self.subject.workload.as_ref()?.metadata.as_ref()?.pid
    }

    /// Root, pods and containers: whom the dear sets are for.
    pub fn is_workload(&self) -> bool {
        matches!(self.kind, CgroupKind::Root | CgroupKind::Pod | CgroupKind::Container)
    }
}

/// Reads files for all sets.
#[derive(Debug)]
pub(super) struct Files {
    pub proc: KernelDir,
    /// The hierarchies in which a cgroup's processes are looked for, the surest first.
    roots: Vec<KernelDir>,
    pub buffer: ReadBuffer,
    path: String,
    pub left_out: LeftOut,
}

impl Files {
    pub fn new(proc: KernelDir, roots: Vec<KernelDir>) -> Self {
        let buffer = ReadBuffer::new(FILE_BYTES);
        Self { proc, roots, buffer, path: String::new(), left_out: LeftOut::new() }
    }

    /// Counts something that is not shown.
    pub fn leave_out(&mut self, set: &'static str, reason: &'static str) {
        let count = self.left_out.entry((set, reason)).or_default();
        *count = count.saturating_add(1);
    }

    /// The same for an error; what has ended is no loss.
    pub fn leave_out_for(&mut self, set: &'static str, class: ErrorClass) {
        if class != ErrorClass::Gone {
            self.leave_out(set, class.as_str());
        }
    }

    /// The processes of a cgroup itself.
    pub fn processes(&mut self, target: &Target<'_>) -> Result<Vec<u32>, ErrorClass> {
        self.list(target, &["cgroup.procs"])
    }

    /// The threads of a cgroup itself.
    pub fn threads(&mut self, target: &Target<'_>) -> Result<Vec<u32>, ErrorClass> {
        self.list(target, &["cgroup.threads", "tasks"])
    }

    fn list(&mut self, target: &Target<'_>, names: &[&str]) -> Result<Vec<u32>, ErrorClass> {
        let mut error = ErrorClass::Gone;
        for root in &self.roots {
            for name in names {
                self.path.clear();
                if !target.path.is_empty() {
                    let _infallible = write!(self.path, "{}/", target.path);
                }
                let _infallible = write!(self.path, "{name}\0");
                match read_below(root, &self.path, &mut self.buffer) {
                    Ok(bytes) => return Ok(pids(bytes).collect()),
                    Err(ErrorClass::Gone) => {}
                    Err(class) => error = class,
                }
            }
        }
        Err(error)
    }

    /// A file of a process or thread.
    pub fn of_process(&mut self, pid: u32, name: &str) -> Result<&[u8], ErrorClass> {
        self.path.clear();
        let _infallible = write!(self.path, "{pid}/{name}\0");
        read_below(&self.proc, &self.path, &mut self.buffer)
    }

    /// A file of a cgroup in the hierarchy at `root`.
    pub fn of_cgroup(&mut self, root: &KernelDir, target: &Target<'_>, name: &str) -> Result<&[u8], ErrorClass> {
        self.path.clear();
        if !target.path.is_empty() {
            let _infallible = write!(self.path, "{}/", target.path);
        }
        let _infallible = write!(self.path, "{name}\0");
        read_below(root, &self.path, &mut self.buffer)
    }
}

fn read_below<'b>(root: &KernelDir, path: &str, buffer: &'b mut ReadBuffer) -> Result<&'b [u8], ErrorClass> {
    let path = CStr::from_bytes_with_nul(path.as_bytes()).map_err(|_| ErrorClass::Gone)?;
    root.open_file_below(path, Records::Many)?.read_into(buffer)
}

/// A process's folder, which cannot come to mean another process.
pub(super) fn process_folder(proc: &KernelDir, pid: u32) -> Result<KernelDir, ErrorClass> {
    proc.open_below(Path::new(itoa::Buffer::new().format(pid)))
}
