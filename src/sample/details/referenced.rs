//! The set `referenced_memory`: memory that was touched since the marks were last cleared.
//!
//! In: a cgroup's own processes. Out: bytes. The kernel walks each process's page tables for it, under that process's own
//! lock, so that it is for those who ask only. Marks are cleared only when that is asked for as well: it makes the processes
//! fault again. Next: [`Sets`](super::Sets).

use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::target::{Files, Target};
use crate::kernel::process::parse_referenced;
use crate::units::ErrorClass;

const SET: &str = "referenced_memory";

/// Most processes of one cgroup whose page tables are walked.
const MOST_PROCESSES: usize = 256;

/// Σ `Referenced` over the processes; `None` when one may not be looked at, or there are too many.
pub(super) fn read(target: &Target<'_>, processes: &[u32], clear: bool, files: &mut Files) -> Option<u64> {
    // Kernel threads, of which the root has many, have no memory of their own.
    if !target.is_workload() || target.path.is_empty() {
        return None;
    }
    if processes.len() > MOST_PROCESSES {
        files.leave_out(SET, "too_many_processes");
        return None;
    }
    let mut sum = 0u64;
    for pid in processes {
        match files.of_process(*pid, "smaps_rollup") {
            // One that is about to end has no memory any more.
            Ok(bytes) => sum = sum.saturating_add(parse_referenced(bytes).unwrap_or(0)),
            Err(ErrorClass::Gone) => continue,
            Err(class) => {
                files.leave_out_for(SET, class);
                return None;
            }
        }
        if clear && let Err(class) = clear_marks(*pid, files) {
            files.leave_out_for(SET, class);
        }
    }
    Some(sum)
}

/// Writes 1 into `clear_refs`: every page of the process counts as not touched.
fn clear_marks(pid: u32, files: &Files) -> Result<(), ErrorClass> {
    let path = format!("{pid}/clear_refs");
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(&files.proc, Path::new(&path), flags, Mode::empty()).map_err(ErrorClass::of)?;
    rustix::io::write(&file, b"1").map(|_| ()).map_err(ErrorClass::of)
}
