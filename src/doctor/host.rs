//! Checks of the machine and its kernel: version, operating system, pressure, lockdown, clock.
//!
//! Sources: `/proc/sys/kernel/osrelease`, `/proc/stat`, `/proc/pressure` (`Documentation/accounting/psi.rst`),
//! `/sys/kernel/security/lockdown` (`kernel_lockdown(7)`).

use std::path::Path;

use rustix::io::Errno;

use super::{Finding, State, read_text};
use crate::config::AgentConfig;
use crate::sample::MachineFacts;

/// Major and minor number of a kernel release such as `6.1.0-13-amd64`.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn kernel(facts: &MachineFacts, procfs: &Path) -> Finding {
    const NAME: &str = "kernel";
    if let Err(error) = read_text(&procfs.join("stat")) {
        let seen = format!("{} cannot be read: {error}", procfs.join("stat").display());
        let cure = "give the mount of procfs by --procfs; in a container mount the host's /proc read-only";
        return Finding::of(NAME, State::Failed, seen, "no node metric can be read", cure);
    }
    let seen = format!("Linux {}", facts.kernel_version);
    match version(&facts.kernel_version) {
        Some(version) if version < (4, 15) => {
            let cost = "cgroup v2 has no CPU controller before Linux 4.15, and there is no pressure before 4.20";
            Finding::of(NAME, State::Limited, seen, cost, "run a newer kernel")
        }
        Some(version) if version < (4, 20) => {
            Finding::of(NAME, State::Limited, seen, "there is no pressure before Linux 4.20", "run a newer kernel")
        }
        _ => Finding::ok(NAME, seen),
    }
}

pub(super) fn os(facts: &MachineFacts, config: &AgentConfig) -> Finding {
    const NAME: &str = "os";
    if !facts.os_version.is_empty() {
        return Finding::ok(NAME, facts.os_version.clone());
    }
    let path = config.beside_procfs("etc/os-release");
    let cure = format!("mount the host's os-release at {}", path.display());
    let seen = format!("{} cannot be read", path.display());
    Finding::of(NAME, State::Limited, seen, "machine facts have no name of the operating system", cure)
}

pub(super) fn machine(facts: &MachineFacts, sysfs: &Path) -> Finding {
    const NAME: &str = "machine";
    let product = [sysinfo::Product::vendor_name().ok(), sysinfo::Product::name().ok()].into_iter().flatten();
    let what: Vec<String> = std::iter::once(sysinfo::System::cpu_arch()).chain(product).collect();
    let seen = format!(
        "{}: {} CPUs, {} cores, {} sockets; {} MiB memory, {} MiB swap",
        what.join(" "),
        facts.cpu_cores,
        facts.cpu_physical_cores,
        facts.cpu_sockets,
        facts.memory_bytes >> 20,
        facts.swap_bytes >> 20,
    );
    if facts.cpu_sockets > 0 {
        return Finding::ok(NAME, seen);
    }
    let cure =
        format!("give the mount of sysfs by --sysfs (now {}); in a container mount the host's /sys", sysfs.display());
    Finding::of(NAME, State::Limited, seen, "cores and sockets are not known, nor the machine's UUID", cure)
}

pub(super) fn clock_ticks(facts: &MachineFacts) -> Finding {
    const NAME: &str = "clock-ticks";
    let seen = format!("{} ticks per second, pages of {} bytes", facts.ticks_per_second, facts.page_bytes);
    if facts.ticks_per_second == 100 {
        return Finding::ok(NAME, seen);
    }
    let cost = "CPU times that the kernel tells in ticks (/proc/stat, cgroup v1 cpuacct.stat) are read as 1/100 s";
    Finding::of(NAME, State::Limited, seen, cost, "report this kernel: every current one has 100")
}

pub(super) fn pressure(procfs: &Path) -> Finding {
    const NAME: &str = "psi";
    const COST: &str = "no pressure metrics: stalls for lack of CPU, memory or disk stay unseen";
    let path = procfs.join("pressure/cpu");
    match read_text(&path) {
        Ok(text) if text.starts_with("some ") => Finding::ok(NAME, "pressure stall information is on"),
        Ok(_) => Finding::of(NAME, State::Limited, "the file has an unknown form", COST, "report this kernel"),
        Err(error) => {
            let (state, seen, cure) = from_errno(error.raw_os_error());
            Finding::of(NAME, state, format!("{}: {seen} ({error})", path.display()), COST, cure)
        }
    }
}

fn from_errno(errno: Option<i32>) -> (State, &'static str, &'static str) {
    match errno.map(Errno::from_raw_os_error) {
        Some(Errno::OPNOTSUPP) => (State::Missing, "built in, but switched off", "boot with psi=1"),
        Some(Errno::NOENT) => (
            State::Missing,
            "not built in",
            "boot a kernel of 4.20 or later with CONFIG_PSI, and psi=1 where it is off",
        ),
        Some(Errno::ACCESS | Errno::PERM) => (
            State::Limited,
            "not permitted",
            "let the agent's user read it; look at hidepid and at the security policy",
        ),
        _ => (State::Limited, "not readable", "see the system log for the reason"),
    }
}

pub(super) fn lockdown(sysfs: &Path) -> Finding {
    const NAME: &str = "lockdown";
    let path = sysfs.join("kernel/security/lockdown");
    let Ok(text) = read_text(&path) else {
        return Finding::ok(NAME, "not in use, or securityfs is not mounted");
    };
    let mode = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("unknown", |(mode, _)| mode);
    Finding::ok(NAME, format!("{mode}; nothing that the agent reads is locked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_two_numbers() {
        assert_eq!(version("6.1.0-13-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("5.19-rc1+"), Some((5, 19)));
        assert_eq!(version(""), None);
        assert_eq!(version("x.y"), None);
    }

    #[test]
    fn pressure_that_is_switched_off_is_told_from_pressure_that_is_not_built_in() {
        let off = from_errno(Some(Errno::OPNOTSUPP.raw_os_error()));
        assert_eq!((off.0, off.2), (State::Missing, "boot with psi=1"));
        let dir = tempfile::tempdir().unwrap();
        let absent = pressure(dir.path());
        assert_eq!(absent.state, State::Missing);
        assert!(absent.seen.contains("not built in") && absent.cure.unwrap().contains("CONFIG_PSI"));
        std::fs::create_dir(dir.path().join("pressure")).unwrap();
        std::fs::write(dir.path().join("pressure/cpu"), "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n").unwrap();
        assert_eq!(pressure(dir.path()).state, State::Ok);
    }

    #[test]
    fn without_procfs_the_agent_cannot_run() {
        let dir = tempfile::tempdir().unwrap();
        let finding = kernel(&MachineFacts::default(), dir.path());
        assert_eq!(finding.state, State::Failed);
        assert!(finding.cure.unwrap().contains("--procfs"));
    }

    #[test]
    fn old_kernels_cost_what_they_lack() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stat"), "cpu 1\n").unwrap();
        let state = |release: &str| {
            kernel(&MachineFacts { kernel_version: release.to_owned(), ..Default::default() }, dir.path()).state
        };
        assert_eq!(
            (state("4.14.0"), state("4.19.0"), state("6.1.0"), state("odd")),
            (State::Limited, State::Limited, State::Ok, State::Ok)
        );
    }

    #[test]
    fn the_lockdown_mode_stands_in_brackets() {
        let dir = tempfile::tempdir().unwrap();
        assert!(lockdown(dir.path()).seen.starts_with("not in use"));
        std::fs::create_dir_all(dir.path().join("kernel/security")).unwrap();
        std::fs::write(dir.path().join("kernel/security/lockdown"), "none [integrity] confidentiality\n").unwrap();
        assert!(lockdown(dir.path()).seen.starts_with("integrity;"));
    }
}
