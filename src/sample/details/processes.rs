//! The set `process`: descriptors, sockets and the limit on open files of a cgroup's own processes.
//!
//! In: a cgroup. Out: [`ProcessStats`]. Counts are of the whole cgroup or absent: where one process may not be looked at, or
//! has more descriptors than are paid for, no sum is shown. Next: [`Sets`](super::Sets).

use super::target::{Files, Target};
use crate::kernel::KernelDir;
use crate::kernel::process::{Descriptors, Sockets, parse_max_open_files};
use crate::units::{ErrorClass, Limit};

const SET: &str = "process";

/// Most processes of one cgroup that are looked at.
const MOST_PROCESSES: usize = 4_096;
/// Most descriptors of one process whose links are read.
const MOST_LINKS: u64 = 2_048;
/// Most links of all processes in one cycle.
const MOST_LINKS_OF_CYCLE: u64 = 50_000;

/// What the processes of a cgroup have open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessStats {
    /// Open descriptors; gauge.
    pub file_descriptors: Option<u64>,
    /// Those of them that are sockets; gauge.
    pub sockets: Option<u64>,
    /// Soft limit on open files of its first process.
    pub max_open_files: Option<Limit>,
}

#[derive(Debug)]
pub(super) struct ProcessReader {
    descriptors: Descriptors,
    links_left: u64,
}

impl ProcessReader {
    pub fn new(proc: &KernelDir) -> Self {
        Self { descriptors: Descriptors::new(proc), links_left: 0 }
    }

    pub fn begin_cycle(&mut self) {
        self.links_left = MOST_LINKS_OF_CYCLE;
    }

    pub fn read(&mut self, target: &Target<'_>, processes: &[u32], files: &mut Files) -> ProcessStats {
        let mut stats = ProcessStats { file_descriptors: Some(0), sockets: Some(0), max_open_files: None };
        if processes.len() > MOST_PROCESSES {
            files.leave_out(SET, "too_many_processes");
            stats = ProcessStats::default();
        }
        for pid in processes {
            if let Some(sum) = stats.file_descriptors {
                stats.file_descriptors = match self.descriptors.count(&files.proc, *pid) {
                    Ok(count) => Some(sum.saturating_add(count)),
                    // It ended between the list and now.
                    Err(ErrorClass::Gone) => Some(sum),
                    Err(class) => {
                        files.leave_out_for(SET, class);
                        None
                    }
                };
            }
            if let Some(sum) = stats.sockets {
                stats.sockets = self.sockets(*pid, files).map(|count| sum.saturating_add(count));
            }
            if stats.file_descriptors.is_none() && stats.sockets.is_none() {
                break;
            }
        }
        let first = target.init().filter(|pid| processes.contains(pid)).or(processes.first().copied());
        let limits = first.and_then(|pid| files.of_process(pid, "limits").ok());
        stats.max_open_files = limits.and_then(parse_max_open_files);
        stats
    }

    fn sockets(&mut self, pid: u32, files: &mut Files) -> Option<u64> {
        match self.descriptors.sockets(&files.proc, pid, MOST_LINKS.min(self.links_left)) {
            Ok(Sockets::Count { sockets, links }) => {
                self.links_left = self.links_left.saturating_sub(links);
                Some(sockets)
            }
            Ok(Sockets::TooMany) => {
                files.leave_out(SET, "too_many_descriptors");
                None
            }
            Err(ErrorClass::Gone) => Some(0),
            Err(class) => {
                files.leave_out_for(SET, class);
                None
            }
        }
    }
}
