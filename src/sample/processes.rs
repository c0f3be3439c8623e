//! The node's processes, read when somebody asks: never on the tick.
//!
//! In: procfs (`Documentation/filesystems/proc.rst`: `PID/stat`, `PID/cgroup`, `PID/fd`) and the `etc/passwd` beside it.
//! Out: a [`Process`] for each process of a cgroup, bounded in number and in time. A process that ends meanwhile is left
//! out. It keeps nothing. Next: `view/cadvisor`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procfs::process::all_processes_with_root;

/// Most processes of one answer.
pub const PROCESSES_CAP: usize = 4096;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest `etc/passwd` that is looked into.
const PASSWD_BYTES: u64 = 1 << 20;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Owner of its folder in procfs: the name of `etc/passwd`, else the number.
    pub user: String,
    /// Its ID.
    pub pid: u32,
    /// Its parent's ID.
    pub parent_pid: u32,
    /// Clock ticks from boot to its start.
    pub start_ticks: u64,
    /// CPU time used, in clock ticks.
    pub cpu_ticks: u64,
    /// Resident memory in pages.
    pub rss_pages: u64,
    /// Address space in bytes.
    pub virtual_bytes: u64,
    /// State, as in `stat`: `R`, `S`, `D`, …
    pub state: char,
    /// The cgroup that it is in.
    pub cgroup: String,
    /// Name of its program (`comm`), without arguments: those may hold secrets.
    pub command: String,
    /// Open file descriptors; `None` where that needs a permission that the agent does not have.
    pub open_files: Option<u64>,
    /// The CPU that it ran on last.
    pub processor: Option<u32>,
}

/// Where the processes are read.
#[derive(Debug, Clone)]
pub struct ProcessTable {
    procfs: Arc<Path>,
}

impl Default for ProcessTable {
    fn default() -> Self {
        Self::new(Path::new("/proc"))
    }
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// procfs cannot be listed; give the right one with `--procfs`.
    #[error("the processes cannot be listed: {0}; see --procfs")]
    Procfs(#[from] procfs::ProcError),
    /// There are too many processes to look at in time; ask again when the machine is less busy.
    #[error("looking at all processes took longer than {} s; ask again when the machine is less busy", PATIENCE.as_secs())]
    Slow,
}

impl ProcessTable {
    /// Processes of this procfs.
    #[must_use]
    pub fn new(procfs: &Path) -> Self {
        Self { procfs: procfs.into() }
    }

    /// Most process IDs that the kernel gives out (`sys/kernel/pid_max`).
    #[must_use]
    pub fn pid_max(&self) -> Option<u64> {
        std::fs::read_to_string(self.procfs.join("sys/kernel/pid_max")).ok()?.trim().parse().ok()
    }

    /// The processes of one cgroup, or with `/` all. At most [`PROCESSES_CAP`], those with the lowest IDs.
    ///
    /// # Errors
    /// [`ProcessError`] when they cannot be read in time.
    pub fn list(&self, cgroup: &str) -> Result<Vec<Process>, ProcessError> {
        let users = self.users();
        let deadline = Instant::now() + PATIENCE;
        let mut list = Vec::new();
        // Whoever ends while it is looked at is gone, which is no error.
        for process in all_processes_with_root(&*self.procfs)?.flatten() {
            if Instant::now() > deadline {
                return Err(ProcessError::Slow);
            }
            let Some(own) = cgroup_of(&process) else { continue };
            if cgroup != "/" && own != cgroup {
                continue;
            }
            list.extend(read(&process, own, &users));
        }
        list.sort_by_key(|process| process.pid);
        list.truncate(PROCESSES_CAP);
        Ok(list)
    }

    fn users(&self) -> HashMap<u32, String> {
        let path = self.procfs.parent().unwrap_or(Path::new("/")).join("etc/passwd");
        let small = std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= PASSWD_BYTES);
        let text = if small { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let text = String::from_utf8_lossy(&text);
        let of_line = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
        };
        text.lines().filter_map(of_line).collect()
    }
}

/// The path in the unified hierarchy; with cgroup v1 the one of its `memory` or its first hierarchy.
fn cgroup_of(process: &procfs::process::Process) -> Option<String> {
    let cgroups = process.cgroups().ok()?.0;
    let unified = cgroups.iter().find(|cgroup| cgroup.hierarchy == 0 && cgroup.pathname != "/");
    let memory = || cgroups.iter().find(|cgroup| cgroup.controllers.iter().any(|name| name == "memory"));
    let found = unified.or_else(memory).or_else(|| cgroups.first())?;
    Some(found.pathname.clone())
}

fn read(process: &procfs::process::Process, cgroup: String, users: &HashMap<u32, String>) -> Option<Process> {
    let stat = process.stat().ok()?;
    let uid = process.uid().ok()?;
    Some(Process {
        user: users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
        pid: u32::try_from(stat.pid).ok()?,
        parent_pid: u32::try_from(stat.ppid).unwrap_or(0),
        start_ticks: stat.starttime,
        cpu_ticks: stat.utime.saturating_add(stat.stime),
        rss_pages: stat.rss,
        virtual_bytes: stat.vsize,
        state: stat.state,
        cgroup,
        command: crate::units::printable(stat.comm.as_bytes()),
        open_files: process.fd_count().ok().and_then(|count| u64::try_from(count).ok()),
        processor: stat.processor.and_then(|cpu| u32::try_from(cpu).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_the_list_of_its_cgroup_and_in_the_list_of_all() {
        let table = ProcessTable::default();
        let own_pid = std::process::id();
        let all = table.list("/").unwrap();
        let own = all.iter().find(|process| process.pid == own_pid).expect("this process is among all");
        assert!(own.open_files.is_some_and(|count| count >= 3) && own.rss_pages > 0, "{own:?}");
        assert_eq!(own.parent_pid, std::os::unix::process::parent_id());
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(own.command, comm.trim());
        let here = table.list(&own.cgroup).unwrap();
        assert!(here.iter().any(|process| process.pid == own_pid));
        assert!(here.iter().all(|process| process.cgroup == own.cgroup));
    }

    #[test]
    fn names_come_from_the_passwd_beside_procfs_and_a_folder_without_procfs_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::create_dir_all(dir.path().join("proc/sys/kernel")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nbroken\nweb:x:33:33::/:/bin/sh\n")
            .unwrap();
        std::fs::write(dir.path().join("proc/sys/kernel/pid_max"), "4194304\n").unwrap();
        let table = ProcessTable::new(&dir.path().join("proc"));
        assert_eq!(table.users(), [(0, "root".to_owned()), (33, "web".to_owned())].into());
        assert_eq!(table.pid_max(), Some(4_194_304));
        assert_eq!(table.list("/").unwrap(), []);
        let error = ProcessTable::new(&dir.path().join("none")).list("/").unwrap_err();
        assert!(error.to_string().contains("--procfs"), "{error}");
    }
}
