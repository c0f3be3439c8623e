//! The kernel's own numbers, read by the test itself.
//!
//! In: the text of a kernel file, or a cgroup of this machine. Out: numbers in the file's own unit. Nothing here is
//! shared with the agent's parsers, so the two can only agree by both being right.
use std::fs;
use std::path::PathBuf;

/// The number that a file holds.
pub fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or_else(|_| panic!("not a number: {text:?}"))
}

/// The value of a line `key value`.
pub fn keyed(text: &str, key: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    number(line.unwrap_or_else(|| panic!("no {key} in {text}")))
}

/// The value of `key=value` in the line that begins with `line` and a blank.
pub fn pair(text: &str, line: &str, key: &str) -> f64 {
    let words = text.lines().find_map(|all| all.strip_prefix(line)?.strip_prefix(' '));
    let words = words.unwrap_or_else(|| panic!("no line {line} in {text}"));
    let value = words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    number(value.unwrap_or_else(|| panic!("no {key} in {words}")))
}

/// Received and sent bytes of an interface in the text of a `net/dev`.
pub fn traffic(net_dev: &str, interface: &str) -> (f64, f64) {
    let line = net_dev.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
    let columns: Vec<_> = line.unwrap_or_else(|| panic!("no {interface} in {net_dev}")).split_whitespace().collect();
    (number(columns[0]), number(columns[8]))
}

/// Whether this machine has all controllers in one cgroup2 tree.
pub fn is_v2() -> bool {
    fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap()
}

/// A file of a cgroup of this machine: `v2` on a cgroup v2 machine, else `v1` (`memory/memory.stat`).
pub fn cgroup_file(cgroup: &str, v2: &str, v1: &str) -> String {
    let cgroup = cgroup.trim_start_matches('/');
    let path = if is_v2() {
        PathBuf::from(format!("/sys/fs/cgroup/{cgroup}/{v2}"))
    } else {
        let (controller, file) = v1.split_once('/').unwrap();
        PathBuf::from(format!("/sys/fs/cgroup/{controller}/{cgroup}/{file}"))
    };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// CPU time of a cgroup of this machine, in seconds.
pub fn cpu_seconds(cgroup: &str) -> f64 {
    let text = cgroup_file(cgroup, "cpu.stat", "cpuacct/cpuacct.usage");
    if is_v2() { keyed(&text, "usage_usec") / 1e6 } else { number(&text) / 1e9 }
}

/// The first process of a cgroup of this machine.
pub fn first_pid(cgroup: &str) -> u32 {
    let procs = cgroup_file(cgroup, "cgroup.procs", "memory/cgroup.procs");
    procs.lines().next().unwrap_or_else(|| panic!("{cgroup} is empty")).parse().unwrap()
}
