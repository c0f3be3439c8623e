//! The types of cAdvisor's API v1: containers, their specifications and statistics.
//!
//! In: what `fill` writes. Out: JSON with cAdvisor's field names and units. As in Go, a number that was not
//! read is 0, unless its field may be left out: a client of this API expects every field. Times are RFC 3339.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Go's zero time.
pub(super) const NO_TIME: &str = "0001-01-01T00:00:00Z";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Who a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The runtime's ID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Path of the cgroup.
    pub name: String,
    /// The runtime's name and ID.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// `docker`, `containerd`, `crio` or `podman`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// A container with its statistics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerInfo {
    /// Who it is.
    #[serde(flatten)]
    pub reference: Reference,
    /// The cgroups right below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subcontainers: Vec<Reference>,
    /// What it may use.
    pub spec: Spec,
    /// What it used, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stats: Vec<Stats>,
}

/// What a container is and may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// When it was created.
    pub creation_time: String,
    /// When its process was started.
    pub start_time: String,
    /// The runtime's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether CPU is counted.
    pub has_cpu: bool,
    /// Limits of CPU.
    pub cpu: CpuSpec,
    /// Whether memory is counted.
    pub has_memory: bool,
    /// Limits of memory.
    pub memory: MemorySpec,
    /// Whether huge pages are counted.
    pub has_hugetlb: bool,
    /// Whether it has a network namespace of its own.
    pub has_network: bool,
    /// Whether processes are counted.
    pub has_processes: bool,
    /// Limits of processes.
    pub processes: ProcessSpec,
    /// Whether its filesystem usage is known.
    pub has_filesystem: bool,
    /// Whether its io is counted.
    pub has_diskio: bool,
    /// Always false.
    pub has_custom_metrics: bool,
    /// Image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
}

/// Limits of CPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSpec {
    /// Shares; with cgroup v2 worked out from the weight.
    pub limit: u64,
    /// Always 0, as in cAdvisor.
    pub max_limit: u64,
    /// Quota in microseconds per period.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quota: u64,
    /// Period in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub period: u64,
}

/// Limits of memory in bytes; the largest integer means none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySpec {
    /// `memory.max`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub limit: u64,
    /// `memory.min` (v1: soft limit).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reservation: u64,
    /// `memory.swap.max` (v1: memory and swap together).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub swap_limit: u64,
}

/// Limits of processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// `pids.max`; the largest integer means none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// One tick of a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// When it was read.
    pub timestamp: String,
    /// CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// Block devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diskio: Option<DiskIo>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    /// Huge pages by size.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkStats>,
    /// Filesystems: at the newest tick only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filesystem: Vec<FsStats>,
    /// Always 0, as in cAdvisor without its load reader.
    pub task_stats: TaskStats,
    /// Processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<ProcessStats>,
    /// OOM kills.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub oom_events: u64,
}

/// CPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuStats {
    /// CPU time.
    pub usage: CpuUsage,
    /// Throttling.
    pub cfs: Cfs,
    /// Always 0, as in cAdvisor without the set `sched`.
    pub schedstat: Schedstat,
    /// Always 0, as in cAdvisor without its load reader.
    pub load_average: i32,
    /// Always 0, as in cAdvisor without its load reader.
    pub load_d_average: i32,
    /// `cpu.pressure`.
    pub psi: Psi,
}

/// CPU time in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuUsage {
    /// All of it.
    pub total: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
}

/// Throttling; times in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cfs {
    /// Periods that have passed.
    pub periods: u64,
    /// Those in which it was throttled.
    pub throttled_periods: u64,
    /// How long.
    pub throttled_time: u64,
    /// Periods in which a burst was used.
    pub bursts_periods: u64,
    /// CPU time used in bursts.
    pub burst_time: u64,
}

/// The scheduler's own counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedstat {
    /// Time on a CPU.
    pub run_time: u64,
    /// Time waiting for one.
    pub runqueue_time: u64,
    /// Time slices.
    pub run_periods: u64,
}

/// A pressure file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Psi {
    /// All tasks waited.
    pub full: PsiLine,
    /// Some task waited.
    pub some: PsiLine,
}

/// One line of it: microseconds, and percent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PsiLine {
    /// Microseconds.
    pub total: u64,
    /// Over 10 s.
    pub avg10: f64,
    /// Over 60 s.
    pub avg60: f64,
    /// Over 300 s.
    pub avg300: f64,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DiskIo {
    /// Bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes: Vec<PerDisk>,
    /// Operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_serviced: Vec<PerDisk>,
    /// `io.pressure`.
    pub psi: Psi,
}

/// One device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerDisk {
    /// `/dev/NAME`.
    pub device: String,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// By operation: `Read`, `Write`, with cgroup v1 more.
    pub stats: BTreeMap<Cow<'static, str>, u64>,
}

/// Memory, in bytes where it is not a count.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// In use.
    pub usage: u64,
    /// Most ever in use.
    pub max_usage: u64,
    /// File pages.
    pub cache: u64,
    /// Anonymous pages.
    pub rss: u64,
    /// Swap.
    pub swap: u64,
    /// Mapped file pages.
    pub mapped_file: u64,
    /// Usage without inactive file pages.
    pub working_set: u64,
    /// Active file pages.
    pub total_active_file: u64,
    /// Inactive file pages.
    pub total_inactive_file: u64,
    /// Dirty file pages.
    pub file_dirty: u64,
    /// File pages that are being written.
    pub file_writeback: u64,
    /// Pages scanned.
    pub pgscan: u64,
    /// Pages reclaimed.
    pub pgsteal: u64,
    /// File pages that came back.
    pub workingset_refault_file: u64,
    /// Anonymous pages that came back.
    pub workingset_refault_anon: u64,
    /// Times that the limit was hit (v1).
    pub failcnt: u64,
    /// Kernel memory.
    pub kernel: u64,
    /// Page faults.
    pub container_data: Faults,
    /// The same.
    pub hierarchical_data: Faults,
    /// `memory.pressure`.
    pub psi: Psi,
    /// `memory.events`.
    pub events: MemoryEvents,
}

/// Page faults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// All.
    pub pgfault: u64,
    /// With io.
    pub pgmajfault: u64,
}

/// Events of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEvents {
    /// Above `memory.high`.
    pub high: u64,
    /// At `memory.max`.
    pub max: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hugetlb {
    /// In use.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// Most ever in use (v1).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_usage: u64,
    /// Times that the limit was hit.
    pub failcnt: u64,
}

/// Network: the first interface, and all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStats {
    /// The first one.
    #[serde(flatten)]
    pub first: Interface,
    /// All.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
}

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Errors while receiving.
    pub rx_errors: u64,
    /// Dropped while receiving.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Errors while sending.
    pub tx_errors: u64,
    /// Dropped while sending.
    pub tx_dropped: u64,
}

/// A filesystem; of a container what it takes up there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsStats {
    /// Its device.
    pub device: String,
    /// Its type, as cAdvisor has them: `vfs` for all that count blocks.
    #[serde(rename = "type")]
    pub kind: String,
    /// Size in bytes.
    pub capacity: u64,
    /// Bytes in use.
    pub usage: u64,
    /// Of a container: its writable layer alone.
    pub base_usage: u64,
    /// Bytes free for unprivileged users.
    pub available: u64,
    /// Whether inodes are counted.
    pub has_inodes: bool,
    /// Inodes; of a container those of its writable layer.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
    /// Reads completed.
    pub reads_completed: u64,
    /// Reads merged.
    pub reads_merged: u64,
    /// Sectors read.
    pub sectors_read: u64,
    /// Milliseconds of reading.
    pub read_time: u64,
    /// Writes completed.
    pub writes_completed: u64,
    /// Writes merged.
    pub writes_merged: u64,
    /// Sectors written.
    pub sectors_written: u64,
    /// Milliseconds of writing.
    pub write_time: u64,
    /// Requests in flight.
    pub io_in_progress: u64,
    /// Milliseconds with requests in flight.
    pub io_time: u64,
    /// The same times their number.
    pub weighted_io_time: u64,
}

/// Tasks by state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStats {
    /// Sleeping.
    pub nr_sleeping: u64,
    /// Running.
    pub nr_running: u64,
    /// Stopped.
    pub nr_stopped: u64,
    /// Not to be interrupted.
    pub nr_uninterruptible: u64,
    /// Waiting for io.
    pub nr_io_wait: u64,
}

/// Processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStats {
    /// Lines of `cgroup.procs`.
    pub process_count: u64,
    /// Not read here: 0.
    pub fd_count: u64,
    /// Not read here: 0.
    pub socket_count: u64,
    /// Tasks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub threads_current: u64,
    /// Most tasks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub threads_max: u64,
}
