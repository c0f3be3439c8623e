//! Where a metric's numbers come from, for what is not a column of the catalogue, and which labels rows have.
//!
//! In: a family or a kind of rows. Out: words for the table in `docs/metrics.md`.

use ringside::sample::catalogue::Table;
use ringside::sample::sets::Set;
use ringside::view::prometheus::family::{Family, Value};
use ringside::view::prometheus::layout::Rows;

/// Families that are worked out: cgroup v2 or `/proc`, and cgroup v1.
const COMPUTED: &[(&str, &str, &str)] = &[
    ("cadvisor_version_info", "/proc/sys/kernel/osrelease, /etc/os-release", ""),
    ("container_blkio_device_usage_total", "io.stat rbytes, wbytes", "blkio.throttle.io_service_bytes"),
    ("container_creation_time_seconds", "the runtime; else the cgroup's directory", "the same"),
    ("container_fs_inodes_free", "statfs f_ffree", ""),
    ("container_fs_inodes_total", "statfs f_files", ""),
    ("container_fs_usage_bytes", "statfs f_blocks, f_bfree", ""),
    ("container_health_state", "the runtime's health check", "the same"),
    ("container_hugetlb_usage_bytes", "hugetlb.SIZE.rsvd.current; else .current", "hugetlb.SIZE.usage_in_bytes"),
    ("container_info", "the cgroup's path, the runtime, the API server", "the same"),
    ("container_last_seen", "wall clock of the tick", "the same"),
    ("container_memory_failcnt", "", "memory.failcnt"),
    ("container_memory_kernel_usage", "memory.stat kernel", "memory.kmem.usage_in_bytes"),
    ("container_memory_usage_bytes", "memory.current; of the root memory.stat anon, file", "memory.usage_in_bytes"),
    (
        "container_memory_working_set_bytes",
        "memory.current, memory.stat inactive_file",
        "memory.usage_in_bytes, memory.stat total_inactive_file",
    ),
    ("container_oom_events_total", "memory.events oom_kill, kept over restarts", "memory.oom_control oom_kill"),
    ("container_scrape_error", "constant", ""),
    ("container_spec_cpu_shares", "cpu.weight", "cpu.shares"),
    ("container_spec_memory_limit_bytes", "memory.max; of the root /proc/meminfo", "memory.limit_in_bytes"),
    ("container_spec_memory_reservation_limit_bytes", "memory.min", "memory.soft_limit_in_bytes"),
    ("container_spec_memory_swap_limit_bytes", "memory.swap.max", "memory.memsw.limit_in_bytes"),
    ("container_start_time_seconds", "the runtime; else the cgroup's directory", "the same"),
    ("container_threads", "pids.current; else the lines of cgroup.threads", "pids.current; else the lines of tasks"),
    ("machine_cpu_books", "/sys/devices/system/cpu/cpu*/topology", ""),
    ("machine_cpu_cores", "/sys/devices/system/cpu/online", ""),
    ("machine_cpu_drawers", "/sys/devices/system/cpu/cpu*/topology", ""),
    ("machine_cpu_physical_cores", "/sys/devices/system/cpu/cpu*/topology", ""),
    ("machine_cpu_sockets", "/sys/devices/system/cpu/cpu*/topology", ""),
    ("machine_dimm_capacity_bytes", "/sys/devices/system/edac/mc", ""),
    ("machine_dimm_count", "/sys/devices/system/edac/mc", ""),
    ("machine_memory_bytes", "/proc/meminfo MemTotal", ""),
    ("machine_nvm_avg_power_budget_watts", "constant", ""),
    ("machine_nvm_capacity", "constant", ""),
    ("machine_scrape_error", "constant", ""),
    ("machine_swap_bytes", "/proc/meminfo SwapTotal", ""),
    ("ringside_node_info", "/proc/sys/kernel/osrelease, /etc/os-release", ""),
];

/// What the rest of a set is read from.
const fn of_set(set: Set) -> &'static str {
    match set {
        Set::Sched => "/proc/TID/schedstat",
        Set::CpuLoad => "/proc/TID/stat",
        Set::Cpuset => "cpuset.memory_migrate (cgroup v1)",
        Set::MemoryNuma => "memory.numa_stat",
        Set::Disk => "the runtime's statistics, project quotas, or a walk of the folders",
        Set::Tcp | Set::Udp => "netlink sock_diag in each network namespace",
        Set::AdvTcp => "/proc/PID/net/netstat, /proc/PID/net/snmp",
        Set::Process => "/proc/PID/fd, /proc/PID/limits",
        Set::PerfEvent => "perf_event_open",
        Set::ReferencedMemory => "/proc/PID/smaps_rollup",
        Set::Resctrl => "/sys/fs/resctrl mon_data",
        Set::CpuTopology => "/sys/devices/system/cpu, /sys/devices/system/node",
        Set::Peak | Set::Distribution => "the ticks since the last scrape",
        Set::Workload => "the tally of a workload's containers",
        Set::Agent => "the agent itself",
        Set::Detail => "columns of the cgroup",
        Set::Node(_) => "as node_exporter's collector of this name",
        _ => "?",
    }
}

/// What a family is read from that no column tells: by its rows, else by its set.
fn worked_out(family: &Family) -> &'static str {
    let first = family.series.first();
    if first.is_some_and(|series| matches!(series.rows, Rows::Namespaces | Rows::Workloads)) {
        return "sums over the node's containers";
    }
    match first.and_then(|series| series.rows.table()) {
        Some(Table::Disk) => "/proc/diskstats",
        Some(Table::Filesystem) => "statfs",
        Some(Table::Interface) => "/proc/net/dev",
        _ => of_set(family.set),
    }
}

/// The kernel files of a family, on cgroup v2 (or of the node) and on cgroup v1.
pub fn sources(family: &Family) -> (String, String) {
    if let Some((_, v2, v1)) = COMPUTED.iter().find(|(name, ..)| *name == family.name) {
        return ((*v2).to_owned(), (*v1).to_owned());
    }
    let (mut v2, mut v1) = (Vec::new(), Vec::new());
    for series in family.series {
        let (Value::Column(column) | Value::LimitOrZero(column) | Value::WithQuota(column) | Value::Raw(column)) =
            series.value
        else {
            continue;
        };
        let Some(metric) = series.rows.table().and_then(|table| table.metrics().get(column)) else { continue };
        for (known, source) in [(&mut v2, metric.source), (&mut v1, metric.source_v1)] {
            if !source.is_empty() && !known.contains(&source) {
                known.push(source);
            }
        }
    }
    match (v2.is_empty(), v1.is_empty()) {
        (true, true) => (worked_out(family).to_owned(), String::new()),
        _ => (shortened(&v2), shortened(&v1)),
    }
}

/// `cpu.pressure some avg10, some avg60`: a file is named once.
fn shortened(sources: &[&str]) -> String {
    let mut text = String::new();
    let mut last_file = "";
    for source in sources {
        let file = source.split(' ').next().unwrap_or(source);
        let rest = source.strip_prefix(file).unwrap_or("").trim_start();
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(if file == last_file && !rest.is_empty() { rest } else { source });
        last_file = file;
    }
    text
}

/// The labels of a kind of rows, beside those of a family's own. `IDENTITY` are the labels that say whose row it is.
pub fn labels_of_rows(rows: Rows) -> &'static [&'static str] {
    match rows {
        Rows::Cgroups => &["IDENTITY"],
        Rows::Infos => &["IDENTITY", "kind", "runtime", "container_id", "pod_uid", "qos", "host_network"],
        Rows::Devices => &["IDENTITY", "device"],
        Rows::BlkioDevices => &["IDENTITY", "device", "major", "minor"],
        Rows::Hugepages => &["IDENTITY", "pagesize"],
        Rows::Interfaces => &["IDENTITY", "interface"],
        Rows::RootFilesystems | Rows::RootDisks | Rows::RootDisksWithoutCgroup => &["id", "device"],
        Rows::Node | Rows::Agent => &[],
        Rows::NodeCpus => &["cpu"],
        Rows::NodeDisks => &["device"],
        Rows::NodeInterfaces => &["interface"],
        Rows::NodeFilesystems => &["device", "fstype", "mountpoint"],
        Rows::Machine => &["machine_id", "system_uuid", "boot_id"],
        Rows::NodeInfo => &["node", "kernel_version", "os_version", "cgroup_layout"],
        Rows::Tallies => &["namespace", "pod", "container"],
        Rows::Namespaces => &["namespace"],
        Rows::Workloads => &["namespace", "owner_kind", "owner_name"],
        Rows::CadvisorVersion => &["kernelVersion", "osVersion", "cadvisorVersion"],
        #[allow(
            unreachable_patterns,
            reason = "a kind of rows that is new is told by the test, which names this place"
        )]
        _ => &["?"],
    }
}
