//! Facts about the machine that do not change while it runs. Read once at start, off the tick.
//!
//! In: the given procfs and sysfs, and the `etc` and `usr/lib` beside that procfs. Out: [`MachineFacts`]. Sources:
//! `/proc/meminfo`, `/proc/sys/kernel/*`, `/sys/devices/system/cpu` (`Documentation/admin-guide/cputopology.rst`),
//! `os-release(5)`, `machine-id(5)`. What cannot be read stays empty or 0: none of it is worth not starting for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use procfs::{FromRead, Meminfo};

use super::os_release::parse_os_release;

/// What this machine is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineFacts {
    /// Name of the node: `NODE_NAME`, else the host name.
    pub node_name: String,
    /// Logical CPUs that are online.
    pub cpu_cores: u64,
    /// Physical cores.
    pub cpu_physical_cores: u64,
    /// Sockets.
    pub cpu_sockets: u64,
    /// Physical memory in bytes (`MemTotal`).
    pub memory_bytes: u64,
    /// Swap in bytes (`SwapTotal`).
    pub swap_bytes: u64,
    /// `/etc/machine-id`; empty when there is none.
    pub machine_id: String,
    /// `/sys/class/dmi/id/product_uuid`; empty when not readable.
    pub system_uuid: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Kernel release (`uname -r`).
    pub kernel_version: String,
    /// Operating system's name and version (`PRETTY_NAME`).
    pub os_version: String,
    /// `v2`, `v1` or `hybrid`.
    pub cgroup_layout: String,
    /// Clock ticks per second of `/proc/stat`.
    pub ticks_per_second: u64,
    /// Page size in bytes.
    pub page_bytes: u64,
}

impl MachineFacts {
    /// Reads them. `procfs` and `sysfs` are where the two are mounted; `node_name` is the configured name, if any;
    /// `layout` is the cgroup layout's word.
    ///
    /// Files of the root filesystem are looked for beside `procfs`: for `/host/proc` in `/host/etc`, and never in the
    /// agent's own container, whose operating system is not the node's.
    #[must_use]
    pub fn read(procfs: &Path, sysfs: &Path, node_name: Option<&str>, layout: &str) -> Self {
        let root = procfs.parent().unwrap_or(Path::new("/"));
        let memory = Meminfo::from_file(procfs.join("meminfo")).ok();
        let topology = Topology::read(&sysfs.join("devices/system/cpu"));
        Self {
            node_name: node_name.map_or_else(|| first_line(&procfs.join("sys/kernel/hostname")), str::to_owned),
            cpu_cores: if topology.online > 0 { topology.online } else { processors(&procfs.join("cpuinfo")) },
            cpu_physical_cores: topology.cores,
            cpu_sockets: topology.sockets,
            memory_bytes: memory.as_ref().map_or(0, |memory| memory.mem_total),
            swap_bytes: memory.as_ref().map_or(0, |memory| memory.swap_total),
            machine_id: first_of(&[&root.join("etc/machine-id"), &root.join("var/lib/dbus/machine-id")]),
            system_uuid: first_line(&sysfs.join("class/dmi/id/product_uuid")),
            boot_id: first_line(&procfs.join("sys/kernel/random/boot_id")),
            kernel_version: first_line(&procfs.join("sys/kernel/osrelease")),
            os_version: pretty_name(&[&root.join("etc/os-release"), &root.join("usr/lib/os-release")]),
            cgroup_layout: layout.to_owned(),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
            page_bytes: u64::try_from(rustix::param::page_size()).unwrap_or(0),
        }
    }
}

/// How many CPUs are online, and on how many cores and sockets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Topology {
    online: u64,
    cores: u64,
    sockets: u64,
}

impl Topology {
    /// Cores are distinct (package, core) pairs, because core numbers begin anew in each package. A machine that tells
    /// no topology has neither cores nor sockets here, rather than as many as CPUs.
    fn read(cpus: &Path) -> Self {
        let online = parse_cpu_list(&first_line(&cpus.join("online")));
        let mut cores = BTreeSet::new();
        let mut sockets = BTreeSet::new();
        for cpu in &online {
            let topology = cpus.join(format!("cpu{cpu}/topology"));
            let package = first_line(&topology.join("physical_package_id"));
            let core = first_line(&topology.join("core_id"));
            if !package.is_empty() {
                sockets.insert(package.clone());
                if !core.is_empty() {
                    cores.insert((package, core));
                }
            }
        }
        Self { online: count(online.len()), cores: count(cores.len()), sockets: count(sockets.len()) }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Parses a kernel CPU list such as `0-3,8,10-11`. Parts that are none are left out, and so are ranges of absurd length.
pub(super) fn parse_cpu_list(list: &str) -> BTreeSet<u32> {
    const MOST: u32 = 1 << 16;
    let mut cpus = BTreeSet::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend((first..=last.min(MOST)).take_while(|cpu| *cpu < MOST));
        }
    }
    cpus
}

/// Counts the `processor` lines of cpuinfo: the fallback where sysfs is not mounted.
fn processors(cpuinfo: &Path) -> u64 {
    let text = fs::read_to_string(cpuinfo).unwrap_or_default();
    let is_processor = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.trim_end() == "processor");
    count(text.lines().filter(is_processor).count())
}

fn first_line(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().trim().to_owned()
}

fn first_of(paths: &[&Path]) -> String {
    paths.iter().map(|path| first_line(path)).find(|line| !line.is_empty()).unwrap_or_default()
}

fn pretty_name(paths: &[&Path]) -> String {
    let read = paths.iter().filter_map(|path| fs::read_to_string(path).ok());
    read.filter_map(|text| parse_os_release(&text).remove("PRETTY_NAME")).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn cpu(root: &Path, number: u32, package: u32, core: u32) {
        let topology = format!("sys/devices/system/cpu/cpu{number}/topology");
        write(root, &format!("{topology}/physical_package_id"), &format!("{package}\n"));
        write(root, &format!("{topology}/core_id"), &format!("{core}\n"));
    }

    fn read(root: &Path, node_name: Option<&str>) -> MachineFacts {
        MachineFacts::read(&root.join("proc"), &root.join("sys"), node_name, "v2")
    }

    #[test]
    fn two_sockets_with_hyperthreads_have_distinct_pairs_of_package_and_core() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "sys/devices/system/cpu/online", "0-6\n");
        for (number, package, core) in [(0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1), (4, 0, 0), (5, 0, 1), (6, 1, 0)] {
            cpu(dir.path(), number, package, core);
        }
        // Offline: its topology is stale and does not count.
        cpu(dir.path(), 7, 2, 9);
        let facts = read(dir.path(), None);
        assert_eq!((facts.cpu_cores, facts.cpu_physical_cores, facts.cpu_sockets), (7, 4, 2));
    }

    #[test]
    fn facts_come_from_the_given_roots_and_from_beside_procfs() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "proc/meminfo",
            "MemTotal:       2048 kB\nMemFree: 1 kB\nBuffers: 1 kB\nCached: 1 kB\nSwapCached: 0 kB\nActive: 1 kB\nInactive: 1 kB\nSwapTotal:      1024 kB\nSwapFree: 1 kB\nDirty: 0 kB\nWriteback: 0 kB\nMapped: 1 kB\nSlab: 1 kB\nCommitted_AS: 1 kB\nVmallocTotal: 1 kB\nVmallocUsed: 1 kB\nVmallocChunk: 0 kB\n",
        );
        write(dir.path(), "proc/sys/kernel/hostname", "box\n");
        write(dir.path(), "proc/sys/kernel/osrelease", "6.1.0-13-cloud-amd64\n");
        write(dir.path(), "proc/sys/kernel/random/boot_id", "b00t\n");
        write(dir.path(), "sys/class/dmi/id/product_uuid", "UU-ID\n");
        write(dir.path(), "etc/machine-id", "\n");
        write(dir.path(), "var/lib/dbus/machine-id", "abc\n");
        write(dir.path(), "usr/lib/os-release", "NAME=X\nPRETTY_NAME=\"Some \\\"OS\\\" 12\"\n");
        let facts = read(dir.path(), None);
        assert_eq!((facts.memory_bytes, facts.swap_bytes), (2048 << 10, 1024 << 10));
        assert_eq!((facts.node_name.as_str(), facts.kernel_version.as_str()), ("box", "6.1.0-13-cloud-amd64"));
        assert_eq!((facts.boot_id.as_str(), facts.system_uuid.as_str()), ("b00t", "UU-ID"));
        assert_eq!((facts.machine_id.as_str(), facts.os_version.as_str()), ("abc", "Some \"OS\" 12"));
        assert_eq!(facts.cgroup_layout, "v2");
        assert_eq!(read(dir.path(), Some("n1")).node_name, "n1");
        write(dir.path(), "etc/os-release", "PRETTY_NAME='Nearer 1'\n");
        assert_eq!(read(dir.path(), None).os_version, "Nearer 1");
    }

    #[test]
    fn what_cannot_be_read_stays_empty() {
        let dir = tempfile::tempdir().unwrap();
        let known = MachineFacts {
            cgroup_layout: "v2".to_owned(),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
            page_bytes: rustix::param::page_size() as u64,
            ..MachineFacts::default()
        };
        assert_eq!(read(dir.path(), None), known);
        for file in ["proc/meminfo", "proc/cpuinfo", "etc/os-release", "sys/devices/system/cpu/online"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"\xff\xfe\0garbage: -\n=\n").unwrap();
        }
        assert_eq!(read(dir.path(), None), known);
    }

    #[test]
    fn without_sysfs_cpuinfo_tells_the_number_of_cpus() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "proc/cpuinfo", "processor\t: 0\nmodel name\t: processor : x\n\nprocessor\t: 1\n");
        let facts = read(dir.path(), None);
        assert_eq!((facts.cpu_cores, facts.cpu_physical_cores, facts.cpu_sockets), (2, 0, 0));
    }

    #[test]
    fn this_machine_has_the_memory_that_sysinfo_sees() {
        let facts = MachineFacts::read(Path::new("/proc"), Path::new("/sys"), None, "");
        let mut system = sysinfo::System::new().unwrap();
        system.refresh_memory();
        assert_eq!((facts.memory_bytes, facts.swap_bytes), (system.total_memory(), system.total_swap()));
        assert_eq!(Some(facts.kernel_version), sysinfo::System::kernel_version().ok());
        assert_eq!(Some(facts.node_name), sysinfo::System::host_name().ok());
    }

    #[test]
    fn cpu_lists_are_ranges_and_numbers() {
        assert_eq!(parse_cpu_list("0-2,5,7-8\n").into_iter().collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
        assert!(parse_cpu_list("").is_empty());
        assert!(parse_cpu_list("x,-,3-1,-1").is_empty());
        assert!(parse_cpu_list("0-4294967295").len() <= 1 << 16);
    }
}
