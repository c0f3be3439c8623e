//! What is read and shown, chosen by name: cAdvisor's sets, node_exporter's collectors, and our own.
//!
//! In: a list as a user writes it (`default,+tcp,-pressure`). Out: [`Sets`], which every part asks whether a [`Set`] is
//! on: the readers of what is read off the tick before they start, the exposition for each family. An unknown name is an
//! error that says which known one is nearest. Nothing is read here. Next: [`details`](super::details), `view/prometheus`.

use std::fmt;

use Set::{
    AdvTcp, Agent, Always, Cpu, CpuLoad, CpuTopology, Cpuset, Detail, Disk, DiskIo, Distribution, Hugetlb, Memory,
    MemoryNuma, Network, Node, OomEvent, Peak, PerCpu, PerfEvent, Pressure, Process, ReferencedMemory, Resctrl, Sched,
    Tcp, Udp, Workload,
};

/// A set of families that is turned on and off as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    /// Identity, limits, times: there unless it is taken out by name (`-always`), as cAdvisor has it.
    Always,
    /// cAdvisor's `cpu`.
    Cpu,
    /// cAdvisor's `percpu`: CPU time by CPU, where the kernel counts it so.
    PerCpu,
    /// cAdvisor's `sched`.
    Sched,
    /// cAdvisor's `cpuLoad`.
    CpuLoad,
    /// cAdvisor's `memory`.
    Memory,
    /// cAdvisor's `cpuset`.
    Cpuset,
    /// cAdvisor's `memory_numa`.
    MemoryNuma,
    /// cAdvisor's `hugetlb`.
    Hugetlb,
    /// cAdvisor's `disk`: filesystem usage.
    Disk,
    /// cAdvisor's `diskIO`.
    DiskIo,
    /// cAdvisor's `network`.
    Network,
    /// cAdvisor's `tcp`.
    Tcp,
    /// cAdvisor's `udp`.
    Udp,
    /// cAdvisor's `advtcp`.
    AdvTcp,
    /// cAdvisor's `process`.
    Process,
    /// cAdvisor's `perf_event`.
    PerfEvent,
    /// cAdvisor's `referenced_memory`.
    ReferencedMemory,
    /// cAdvisor's `resctrl`.
    Resctrl,
    /// cAdvisor's `cpu_topology`.
    CpuTopology,
    /// cAdvisor's `oom_event`.
    OomEvent,
    /// cAdvisor's `pressure`.
    Pressure,
    /// A collector of node_exporter, by its name there.
    Node(&'static str),
    /// What cAdvisor does not have of cgroups: `detail`.
    Detail,
    /// The highest values since the last scrape: `peak`.
    Peak,
    /// The distribution of what happened between two scrapes: `distribution`.
    Distribution,
    /// Counts that outlive containers, by container, workload and namespace: `workload`.
    Workload,
    /// The agent about itself: `agent`.
    Agent,
}

/// A set, what it is called, and when it is on without being named.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// The set.
    pub set: Set,
    /// Its name in `--metrics` and `?collect[]=`. Two sets may share one, and are then chosen together.
    pub name: &'static str,
    /// Whether `default` has it.
    pub default: bool,
    /// Whether cAdvisor has it on when nothing is said: what `default` has with `--compat=cadvisor`.
    pub cadvisor: bool,
    /// What it is about.
    pub about: &'static str,
}

const fn of(set: Set, name: &'static str, default: bool, cadvisor: bool, about: &'static str) -> Named {
    Named { set, name, default, cadvisor, about }
}

/// A collector of node_exporter.
const fn node(name: &'static str, default: bool, about: &'static str) -> Named {
    of(Node(name), name, default, false, about)
}

/// All sets, in the order in which they are listed to users.
pub const NAMED: &[Named] = &[
    of(Always, "always", true, true, "identity, limits, times, the machine"),
    of(Cpu, "cpu", true, true, "CPU time and throttling"),
    of(PerCpu, "percpu", false, true, "CPU time by CPU (cgroup v1)"),
    of(Sched, "sched", false, false, "time on run queues"),
    of(CpuLoad, "cpuLoad", false, true, "load averages and task states"),
    of(Memory, "memory", true, true, "memory in use, faults, reclaim"),
    of(Cpuset, "cpuset", false, false, "memory migration"),
    of(MemoryNuma, "memory_numa", false, false, "pages by NUMA node"),
    of(Hugetlb, "hugetlb", true, false, "huge pages"),
    of(Disk, "disk", true, true, "filesystem usage"),
    of(DiskIo, "diskIO", true, true, "block devices"),
    of(Network, "network", true, true, "interfaces"),
    of(Tcp, "tcp", false, false, "TCP sockets by state"),
    of(Udp, "udp", false, false, "UDP sockets and their queues"),
    of(AdvTcp, "advtcp", false, false, "the kernel's TCP counters"),
    of(Process, "process", true, false, "processes, threads, descriptors"),
    of(PerfEvent, "perf_event", true, true, "performance events, of which none is counted that is not named"),
    of(ReferencedMemory, "referenced_memory", false, false, "memory touched of late"),
    of(Resctrl, "resctrl", false, false, "memory bandwidth and last-level cache"),
    of(CpuTopology, "cpu_topology", false, false, "caches, threads and NUMA nodes of the machine"),
    of(OomEvent, "oom_event", true, true, "OOM kills"),
    of(Pressure, "pressure", true, true, "stall times of cgroups"),
    of(Detail, "detail", true, false, "what cAdvisor does not have of cgroups"),
    of(Peak, "peak", true, false, "the highest values since the last scrape"),
    of(Distribution, "distribution", true, false, "distributions of what happened since the last scrape"),
    of(Workload, "workload", true, false, "counts that outlive containers"),
    of(Agent, "agent", true, false, "the agent about itself"),
    node("arp", true, "neighbour tables"),
    node("buddyinfo", false, "free memory by block size"),
    node("conntrack", true, "connection tracking"),
    node("cpu", true, "CPU time by CPU and mode"),
    node("cpufreq", true, "CPU frequencies"),
    node("diskstats", true, "disks"),
    node("dmi", true, "the machine's maker and model"),
    node("edac", true, "memory errors"),
    node("entropy", true, "the random number generator"),
    node("filefd", true, "open files"),
    node("filesystem", true, "mounts"),
    node("hwmon", true, "temperatures, fans, voltages"),
    node("interrupts", false, "interrupts by line"),
    node("loadavg", true, "load averages"),
    node("mdadm", true, "software RAID"),
    node("meminfo", true, "memory"),
    node("meminfo_numa", false, "memory by NUMA node"),
    node("netclass", true, "interfaces' state"),
    node("netdev", true, "interfaces' traffic"),
    node("netstat", true, "the kernel's network counters"),
    node("nvme", true, "NVMe devices"),
    node("os", true, "the operating system's release"),
    node("powersupplyclass", true, "power supplies"),
    node("pressure", true, "stall times of the node"),
    node("processes", false, "processes by state"),
    node("rapl", true, "energy used"),
    node("schedstat", true, "time on run queues by CPU"),
    node("scrape", true, "which collectors worked"),
    node("selinux", true, "SELinux"),
    node("sockstat", true, "sockets"),
    node("softirqs", false, "soft interrupts by kind"),
    node("softnet", true, "network receive queues"),
    node("stat", true, "interrupts, context switches, forks, boot time"),
    node("tcpstat", false, "TCP sockets by state"),
    node("thermal_zone", true, "temperatures"),
    node("time", true, "the clock"),
    node("timex", true, "the clock's synchronisation"),
    node("udp_queues", true, "UDP queues"),
    node("uname", true, "the kernel's version"),
    node("vmstat", true, "paging"),
];

/// Each has one bit.
const _: () = assert!(NAMED.len() <= 128);

impl Set {
    /// The names of all sets, each once.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let named_before = |at: usize, name| NAMED.iter().take(at).any(|named| named.name == name);
        NAMED.iter().enumerate().filter(move |(at, named)| !named_before(*at, named.name)).map(|(_, named)| named.name)
    }

    /// The sets of a name; capitals do not matter.
    ///
    /// # Errors
    /// [`UnknownSet`] with the nearest name.
    pub fn parse(word: &str) -> Result<Sets, UnknownSet> {
        let sets = Sets::of(|named| named.name.eq_ignore_ascii_case(word));
        if sets == Sets::NONE { Err(UnknownSet::new(word)) } else { Ok(sets) }
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Node(name) => name,
            other => NAMED.iter().find(|named| named.set == other).map_or("", |named| named.name),
        }
    }

    /// Its place in [`NAMED`]; `None` for a collector that is not there.
    #[must_use]
    pub fn index(self) -> Option<usize> {
        NAMED.iter().position(|named| named.set == self)
    }
}

/// Which sets are on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sets(u128);

impl Sets {
    /// None at all.
    pub const NONE: Self = Self(0);

    fn of(wanted: impl Fn(&Named) -> bool) -> Self {
        let bit = |(index, named): (usize, &Named)| if wanted(named) { 1u128 << index } else { 0 };
        Self(NAMED.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit))
    }

    /// All sets.
    #[must_use]
    pub fn all() -> Self {
        Self::of(|_| true)
    }

    /// What cAdvisor shows when nothing is said.
    #[must_use]
    pub fn cadvisor() -> Self {
        Self::of(|named| named.cadvisor)
    }

    /// Whether a set is on.
    #[must_use]
    pub fn has(self, set: Set) -> bool {
        set.index().is_some_and(|index| self.0 >> index & 1 == 1)
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, less: Self) -> Self {
        Self(self.0 & !less.0)
    }

    /// Reads a list: names separated by commas, worked through from left to right. `name` and `+name` turn a set on,
    /// `-name` turns it off; `default`, `all` and `none` begin anew with what they say. A list that begins with a sign
    /// begins with `default`, any other with `none`. `none` leaves the set `always`; `-always` takes it out.
    ///
    /// # Errors
    /// [`UnknownSet`] for the first name that is none.
    pub fn parse(list: &str, default: Self) -> Result<Self, UnknownSet> {
        let always = Self::of(|named| named.set == Always);
        let mut sets = if list.trim_start().starts_with(['+', '-']) { default } else { always };
        for item in list.split(',').map(str::trim) {
            match item {
                "default" => sets = default,
                "all" => sets = Self::all(),
                "none" => sets = always,
                _ => match item.strip_prefix('-') {
                    Some(name) => sets = sets.without(Set::parse(name)?),
                    None => sets = sets.with(Set::parse(item.strip_prefix('+').unwrap_or(item))?),
                },
            }
        }
        Ok(sets)
    }
}

/// What is on when nothing is said.
impl Default for Sets {
    fn default() -> Self {
        Self::of(|named| named.default)
    }
}

impl fmt::Display for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |name: &&str| NAMED.iter().any(|named| named.name == *name && self.has(named.set));
        f.write_str(&Set::names().filter(on).collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sets({self})")
    }
}

/// A name of no set. Write the nearest one, or one of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSet {
    word: String,
    nearest: Option<&'static str>,
}

/// How alike two names must be for one to be proposed for the other: a letter or two of a short one.
const ALIKE: f64 = 0.75;
/// The longest word that is compared and repeated.
const MAX_WORD_BYTES: usize = 64;

impl UnknownSet {
    fn new(word: &str) -> Self {
        let word = word.get(..word.floor_char_boundary(MAX_WORD_BYTES)).unwrap_or(word).to_owned();
        let lower = word.to_lowercase();
        let likeness = |name: &'static str| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name);
        let nearest = Set::names().map(likeness).max_by(|one, other| one.0.total_cmp(&other.0));
        Self { word, nearest: nearest.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, name)| name) }
    }
}

impl std::error::Error for UnknownSet {}

impl fmt::Display for UnknownSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no set {:?}; ", self.word)?;
        match self.nearest {
            Some(name) => write!(f, "did you mean {name}?"),
            None => write!(f, "use {}", Set::names().collect::<Vec<_>>().join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(list: &str) -> Sets {
        Sets::parse(list, Sets::default()).unwrap()
    }

    #[test]
    fn a_plain_list_replaces_the_default_and_signs_change_it() {
        assert_eq!(parsed("cpu,memory").to_string(), "always,cpu,memory");
        assert_eq!(parsed("default"), Sets::default());
        assert_eq!(parsed("all"), Sets::all());
        assert_eq!(parsed("none").to_string(), "always");
        assert_eq!(parsed("none,-always"), Sets::NONE);
        let changed = parsed("default,+tcp, -pressure");
        assert!(changed.has(Set::Tcp) && !changed.has(Set::Pressure) && !changed.has(Set::Node("pressure")));
        assert_eq!(changed, parsed("+tcp,-pressure"));
        assert_eq!(parsed("all,-tcp,tcp"), Sets::all(), "the last word counts");
    }

    #[test]
    fn a_name_that_two_have_chooses_both() {
        let cpu = Set::parse("cpu").unwrap();
        assert!(cpu.has(Set::Cpu) && cpu.has(Set::Node("cpu")) && !cpu.has(Set::PerCpu));
        assert_eq!(Set::parse("DISKIO"), Set::parse("diskIO"));
        assert_eq!(Set::names().filter(|name| *name == "cpu").count(), 1);
    }

    #[test]
    fn the_default_has_what_costs_nothing_more_and_cadvisors_is_cadvisors() {
        let (ours, theirs) = (Sets::default(), Sets::cadvisor());
        assert!([Set::Cpu, Set::Process, Set::Detail, Set::Node("meminfo")].iter().all(|set| ours.has(*set)));
        assert!([Set::Tcp, Set::ReferencedMemory, Set::Sched].iter().all(|set| !ours.has(*set)));
        assert_eq!(
            theirs.to_string(),
            "always,cpu,percpu,cpuLoad,memory,disk,diskIO,network,perf_event,oom_event,pressure"
        );
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_one() {
        let said = |list: &str| Sets::parse(list, Sets::default()).unwrap_err().to_string();
        assert_eq!(said("cpu,memry"), "there is no set \"memry\"; did you mean memory?");
        assert_eq!(said("default,-presure"), "there is no set \"presure\"; did you mean pressure?");
        assert_eq!(said("diskio_"), "there is no set \"diskio_\"; did you mean diskIO?");
        assert!(said("qqq").starts_with("there is no set \"qqq\"; use always, cpu, percpu, sched, "));
        assert!(said("").contains("use always"));
        assert!(said(&"x".repeat(1 << 20)).len() < 1_000);
    }

    #[test]
    fn every_set_has_a_bit_of_its_own() {
        for (index, named) in NAMED.iter().enumerate() {
            assert_eq!(named.set.index(), Some(index), "{}", named.name);
            assert_eq!(named.set.name(), named.name);
        }
    }
}
