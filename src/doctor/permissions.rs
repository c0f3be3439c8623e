//! Checks of what this process may do: user, capabilities, namespaces, kernel log, limits.
//!
//! Sources: `/proc/self/status` (`proc_pid_status(5)`), `/proc/self/ns/*`, `/proc/self/mountinfo`, `/dev/kmsg`,
//! `getrlimit(2)`, `/proc/sys/fs/inotify/*` (`inotify(7)`).

use std::fs;
use std::path::Path;

use procfs::FromRead;
use procfs::process::{MountInfos, Status};
use rustix::fs::{Mode, OFlags, inotify};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::{Finding, State, read_text};

/// Kernel files of one cgroup that a tick reads; what a full set of kept descriptors needs.
const FILES_PER_CGROUP: u64 = 9;

/// Descriptors for everything else: sockets, the log, the node's own files.
const OTHER_FILES: u64 = 128;

/// Capabilities worth naming, by their number in `linux/capability.h`.
const CAPABILITIES: [(u32, &str); 9] = [
    (1, "DAC_OVERRIDE"),
    (2, "DAC_READ_SEARCH"),
    (12, "NET_ADMIN"),
    (19, "SYS_PTRACE"),
    (21, "SYS_ADMIN"),
    (24, "SYS_RESOURCE"),
    (34, "SYSLOG"),
    (38, "PERFMON"),
    (39, "BPF"),
];

/// Who this process is, as far as procfs tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    euid: Option<u32>,
    capabilities: Option<u64>,
    seccomp: bool,
    /// True in the namespaces that the kernel booted with.
    initial_pid_namespace: Option<bool>,
    pub(super) initial_cgroup_namespace: Option<bool>,
}

impl Own {
    pub(super) fn read(procfs: &Path) -> Self {
        let status = Status::from_file(procfs.join("self/status")).ok();
        // These two numbers are fixed in the kernel (include/linux/proc_ns.h).
        let initial = |kind: &str, number: &str| {
            let target = fs::read_link(procfs.join("self/ns").join(kind)).ok()?;
            Some(target.to_string_lossy() == format!("{kind}:[{number}]"))
        };
        Self {
            euid: status.as_ref().map(|status| status.euid),
            capabilities: status.as_ref().map(|status| status.capeff),
            seccomp: status.as_ref().is_some_and(|status| status.seccomp.is_some_and(|mode| mode > 0)),
            initial_pid_namespace: initial("pid", "4026531836"),
            initial_cgroup_namespace: initial("cgroup", "4026531835"),
        }
    }

    /// Whether the usage of another user's project may be asked for (CAP_SYS_ADMIN).
    pub(super) fn may_read_quota(&self) -> bool {
        self.capabilities.is_some_and(|set| set >> 21 & 1 == 1)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let bit = CAPABILITIES.iter().find(|(_, known)| *known == name).map(|(bit, _)| *bit);
        match (self.capabilities, bit) {
            (Some(set), Some(bit)) => set >> bit & 1 == 1,
            _ => false,
        }
    }
}

/// The kernel's own thread 2 is seen only where the host's processes are.
pub(super) fn pid_namespace(procfs: &Path, own: &Own) -> Finding {
    const NAME: &str = "pid-namespace";
    let host = read_text(&procfs.join("2/comm")).is_ok_and(|name| name.trim_end() == "kthreadd");
    if host || own.initial_pid_namespace == Some(true) {
        return Finding::ok(NAME, "the host's: processes of all containers are seen");
    }
    let cost = "no network counters of containers, no process and thread counts by process";
    let cure =
        "set hostPID: true (Kubernetes) or --pid=host (Docker, Podman), or mount the host's /proc and give --procfs";
    Finding::of(NAME, State::Limited, "a container's own", cost, cure)
}

pub(super) fn hidepid(procfs: &Path) -> Finding {
    const NAME: &str = "hidepid";
    let mounts = MountInfos::from_file(procfs.join("self/mountinfo")).map(|mounts| mounts.0).unwrap_or_default();
    let own = mounts.iter().filter(|mount| mount.fs_type == "proc" && mount.mount_point == procfs);
    let hiding = own.filter_map(|mount| mount.super_options.get("hidepid").cloned().flatten()).next_back();
    match hiding.as_deref() {
        None | Some("0" | "off") => Finding::ok(NAME, "procfs shows the processes of all users"),
        Some(mode) => {
            let cost = "files of other users' processes are hidden: no network counters of their containers";
            let cure = "mount procfs with hidepid=0, or with gid= of a group that the agent is in";
            Finding::of(NAME, State::Limited, format!("hidepid={mode}"), cost, cure)
        }
    }
}

pub(super) fn identity(own: &Own) -> Finding {
    const NAME: &str = "user";
    let seccomp = if own.seccomp { "with a seccomp filter" } else { "without a seccomp filter" };
    match own.euid {
        Some(0) => Finding::ok(NAME, format!("root, {seccomp}; the default set of metrics does not need root")),
        Some(uid) => Finding::ok(NAME, format!("uid {uid}, {seccomp}")),
        None => {
            let seen = "self/status in procfs cannot be read";
            let cost = "this report cannot tell what the agent may do";
            Finding::of(NAME, State::Limited, seen, cost, "let the agent's user read procfs; see --procfs")
        }
    }
}

/// Nothing of the default set needs a capability: those that are absent are told as what they would add.
pub(super) fn capabilities(own: &Own) -> Finding {
    const NAME: &str = "capabilities";
    let held: Vec<&str> = CAPABILITIES.iter().filter(|(_, name)| own.has(name)).map(|(_, name)| *name).collect();
    let seen = if held.is_empty() { "none".to_owned() } else { held.join(" ") };
    let mut cost = Vec::new();
    let mut cure = Vec::new();
    for (name, adds) in [
        ("SYS_PTRACE", "io and open-file counts of single processes"),
        ("SYSLOG", "names of processes that the OOM killer ended, where dmesg is restricted"),
    ] {
        if !own.has(name) {
            cost.push(format!("without {name}: no {adds}"));
            cure.push(name);
        }
    }
    let mut finding = Finding::ok(NAME, format!("{seen} (the default set of metrics needs none)"));
    if !cure.is_empty() {
        finding.cost = Some(cost.join("; "));
        finding.cure =
            Some(format!("only if these are wanted, add {} to the agent's capabilities", cure.join(" and ")));
    }
    finding
}

pub(super) fn kernel_log(kmsg: &Path, procfs: &Path) -> Finding {
    const NAME: &str = "kmsg";
    const COST: &str = "the names of processes that the OOM killer ended are unknown; the counts are still right";
    let opened = rustix::fs::open(kmsg, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    let seen = |errno: Errno| format!("{}: {errno}", kmsg.display());
    match opened {
        Ok(_) => Finding::ok(NAME, format!("{} is readable", kmsg.display())),
        Err(errno @ Errno::NOENT) => {
            let cure = "mount the host's /dev/kmsg into the container";
            Finding::of(NAME, State::Missing, seen(errno), COST, cure)
        }
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
            let restricted = read_text(&procfs.join("sys/kernel/dmesg_restrict")).is_ok_and(|text| text.trim() == "1");
            let cure = if restricted { "add the capability SYSLOG" } else { "let the agent's user read the device" };
            Finding::of(NAME, State::Limited, seen(errno), COST, cure)
        }
        Err(errno) => Finding::of(NAME, State::Limited, seen(errno), COST, "see the system log for the reason"),
    }
}

pub(super) fn open_files(cgroups: usize) -> Finding {
    let limit = getrlimit(Resource::Nofile);
    open_files_against(limit.current, limit.maximum, cgroups)
}

/// `None` is no limit. The hard limit counts: the soft one may be raised to it without a privilege.
fn open_files_against(soft: Option<u64>, hard: Option<u64>, cgroups: usize) -> Finding {
    const NAME: &str = "open-files";
    let needed =
        u64::try_from(cgroups).unwrap_or(u64::MAX).saturating_mul(FILES_PER_CGROUP).saturating_add(OTHER_FILES);
    let word = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let seen = format!("soft limit {}, hard limit {}; {cgroups} cgroups want {needed}", word(soft), word(hard));
    if hard.is_none_or(|limit| limit >= needed) {
        return Finding::ok(NAME, seen);
    }
    let cost = "files beyond the limit are opened anew on every tick, which takes more than twice the time";
    let cure = format!("raise the limit to {needed}: LimitNOFILE= (systemd) or --ulimit nofile= (Docker, Podman)");
    Finding::of(NAME, State::Limited, seen, cost, cure)
}

fn sysctl(procfs: &Path, name: &str) -> Option<u64> {
    read_text(&procfs.join("sys").join(name)).ok()?.trim().parse().ok()
}

const INOTIFY_COST: &str = "new containers are seen by the periodic walk instead of at once";

pub(super) fn inotify_watches(procfs: &Path, cgroups: usize) -> Finding {
    const NAME: &str = "inotify-watches";
    let needed = u64::try_from(cgroups).unwrap_or(u64::MAX);
    let Some(limit) = sysctl(procfs, "fs/inotify/max_user_watches") else {
        let seen = "the limit cannot be read";
        return Finding::of(NAME, State::Limited, seen, INOTIFY_COST, "let the agent's user read /proc/sys/fs/inotify");
    };
    let seen = format!("{limit} watches per user; {cgroups} cgroups want one each");
    if limit > needed {
        return Finding::ok(NAME, seen);
    }
    let cure =
        format!("set the sysctl fs.inotify.max_user_watches to {} or more", needed.saturating_mul(2).max(65_536));
    Finding::of(NAME, State::Limited, seen, INOTIFY_COST, cure)
}

pub(super) fn inotify_instances(procfs: &Path) -> Finding {
    const NAME: &str = "inotify-instances";
    let limit = sysctl(procfs, "fs/inotify/max_user_instances").map_or("unknown".to_owned(), |limit| limit.to_string());
    match inotify::init(inotify::CreateFlags::CLOEXEC) {
        Ok(_) => Finding::ok(NAME, format!("{limit} per user, and one more can be had")),
        Err(errno) => {
            let seen = format!("{limit} per user, and none can be had: {errno}");
            let cure = "set the sysctl fs.inotify.max_user_instances higher, for example to 512";
            Finding::of(NAME, State::Limited, seen, INOTIFY_COST, cure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(capabilities: u64) -> Own {
        Own { euid: Some(65_534), capabilities: Some(capabilities), ..Own::default() }
    }

    #[test]
    fn effective_capabilities_are_decoded_by_bit() {
        let held = |set| capabilities(&own(set)).seen;
        assert!(held(0).starts_with("none (the default set"));
        assert!(held(1 << 19 | 1 << 34).starts_with("SYS_PTRACE SYSLOG ("));
        assert!(held(0x1ff_ffff_ffff).contains("DAC_OVERRIDE") && held(0x1ff_ffff_ffff).contains("BPF"));
    }

    #[test]
    fn lacking_capabilities_cost_only_the_extras_and_limit_nothing() {
        let finding = capabilities(&own(1 << 34));
        assert_eq!(finding.state, State::Ok);
        assert_eq!(finding.cost.unwrap(), "without SYS_PTRACE: no io and open-file counts of single processes");
        assert!(finding.cure.unwrap().ends_with("add SYS_PTRACE to the agent's capabilities"));
        assert_eq!(capabilities(&own(u64::MAX)).cost, None);
    }

    #[test]
    fn this_process_is_who_the_kernel_says() {
        let own = Own::read(Path::new("/proc"));
        assert_eq!(own.euid, Some(rustix::process::geteuid().as_raw()));
        assert!(own.initial_pid_namespace.is_some() && own.initial_cgroup_namespace.is_some());
        assert_eq!(Own::read(Path::new("/nonexistent")), Own::default());
        assert_eq!(identity(&Own::default()).state, State::Limited);
    }

    #[test]
    fn the_hosts_processes_are_known_by_kthreadd_or_by_the_first_namespace() {
        let dir = tempfile::tempdir().unwrap();
        let inside = Own { initial_pid_namespace: Some(false), ..Own::default() };
        let finding = pid_namespace(dir.path(), &inside);
        assert_eq!(finding.state, State::Limited);
        assert!(finding.cure.unwrap().contains("hostPID: true"));
        let outside = Own { initial_pid_namespace: Some(true), ..Own::default() };
        assert_eq!(pid_namespace(dir.path(), &outside).state, State::Ok);
        fs::create_dir(dir.path().join("2")).unwrap();
        fs::write(dir.path().join("2/comm"), "kthreadd\n").unwrap();
        assert_eq!(pid_namespace(dir.path(), &inside).state, State::Ok);
    }

    #[test]
    fn hidepid_is_read_from_the_options_of_the_given_mount() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("self")).unwrap();
        let mount = |options: &str| {
            let line = format!("22 1 0:21 / {} rw,relatime - proc proc {options}\n", dir.path().display());
            fs::write(dir.path().join("self/mountinfo"), line).unwrap();
            hidepid(dir.path())
        };
        assert_eq!(mount("rw").state, State::Ok);
        assert_eq!(mount("rw,hidepid=off").state, State::Ok);
        let hidden = mount("rw,gid=5,hidepid=invisible");
        assert_eq!((hidden.state, hidden.seen.as_str()), (State::Limited, "hidepid=invisible"));
    }

    #[test]
    fn a_kernel_log_that_is_not_there_is_told_from_one_that_may_not_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let absent = kernel_log(&dir.path().join("kmsg"), dir.path());
        assert_eq!(absent.state, State::Missing);
        assert!(absent.cure.unwrap().contains("mount the host's /dev/kmsg"));
        fs::write(dir.path().join("kmsg"), "").unwrap();
        assert_eq!(kernel_log(&dir.path().join("kmsg"), dir.path()).state, State::Ok);
    }

    #[test]
    fn the_hard_limit_of_open_files_counts_against_nine_files_per_cgroup() {
        assert_eq!(open_files_against(Some(1024), Some(1024), 99).state, State::Ok);
        let short = open_files_against(Some(1024), Some(1024), 100);
        assert_eq!(short.state, State::Limited);
        assert!(short.cure.unwrap().contains("raise the limit to 1028"));
        assert_eq!(open_files_against(Some(1024), None, usize::MAX).state, State::Ok);
        assert_eq!(open_files_against(Some(1024), Some(4096), 100).state, State::Ok);
    }

    #[test]
    fn fewer_watches_than_cgroups_are_too_few() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inotify_watches(dir.path(), 10).state, State::Limited);
        fs::create_dir_all(dir.path().join("sys/fs/inotify")).unwrap();
        fs::write(dir.path().join("sys/fs/inotify/max_user_watches"), "8192\n").unwrap();
        assert_eq!(inotify_watches(dir.path(), 10).state, State::Ok);
        let short = inotify_watches(dir.path(), 8192);
        assert!(short.cure.unwrap().contains("max_user_watches to 65536"));
    }
}
