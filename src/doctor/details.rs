//! Checks of what is read off the tick: sockets, performance events, cache monitoring.
//!
//! Sources: `/proc/sys/kernel/perf_event_paranoid` (perf_event_open(2)), `setns(2)`, `Documentation/arch/x86/resctrl.rst`.
//! All of it is off by default, so that nothing here is worse than well unless it was asked for.

use std::path::Path;

use super::permissions::Own;
use super::{Finding, State, read_text};
use crate::config::AgentConfig;

/// By which way sockets of containers are listed.
pub(super) fn sockets(own: &Own) -> Finding {
    const NAME: &str = "socket-lists";
    if own.has("SYS_ADMIN") && own.has("SYS_PTRACE") {
        return Finding::ok(NAME, "by netlink inside each network namespace, for the sets tcp and udp");
    }
    let mut finding =
        Finding::ok(NAME, "as text from /proc/PID/net, for the sets tcp and udp, which are off by default");
    finding.cost = Some("a network namespace of more than about 13,000 sockets is left out".to_owned());
    finding.cure = Some("only if that is wanted, add SYS_ADMIN and SYS_PTRACE to the agent's capabilities".to_owned());
    finding
}

/// Whether events of cgroups may be counted.
pub(super) fn perf_events(config: &AgentConfig, own: &Own) -> Finding {
    const NAME: &str = "perf-events";
    if config.perf_events.is_empty() {
        return Finding::ok(NAME, "not asked for");
    }
    let names: Vec<&str> = config.perf_events.iter().map(|event| event.name).collect();
    let paranoid = read_text(&config.procfs.join("sys/kernel/perf_event_paranoid")).unwrap_or_default();
    match paranoid.trim().parse::<i32>() {
        Ok(level) if level < 1 || own.has("PERFMON") || own.has("SYS_ADMIN") => {
            Finding::ok(NAME, format!("{} may be counted", names.join(", ")))
        }
        Ok(level) => {
            let seen = format!("kernel.perf_event_paranoid is {level}, and the capability PERFMON is not held");
            let cure = "add PERFMON to the agent's capabilities, or set kernel.perf_event_paranoid to 0";
            Finding::of(NAME, State::Limited, seen, "the events that were asked for are not counted", cure)
        }
        Err(_) => {
            let cost = "the events that were asked for are not counted";
            let cure = "boot a kernel with CONFIG_PERF_EVENTS, or leave --perf-events out";
            Finding::of(NAME, State::Missing, "this kernel has no performance events", cost, cure)
        }
    }
}

/// Whether there are monitoring groups to read.
pub(super) fn resctrl(sysfs: &Path) -> Finding {
    const NAME: &str = "resctrl";
    let root = sysfs.join("fs/resctrl");
    if root.join("mon_data").is_dir() {
        return Finding::ok(NAME, format!("{} is mounted; groups that exist are read, none is made", root.display()));
    }
    Finding::ok(NAME, "not mounted, or without monitoring: the set resctrl has nothing to show")
}
