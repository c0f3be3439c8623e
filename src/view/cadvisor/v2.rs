//! cAdvisor's API v2: the shapes of v1 told anew.
//!
//! In: [`Spec`] and [`Stats`] of version 1. Out: the types of `info/v2`, with CPU rates between neighbouring ticks. A counter
//! that fell gives no rate. Next: `routes`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::{
    CpuStats, DiskIo, FsStats, Hugetlb, Interface, MemoryStats, ProcessStats, Reference, Spec, Stats, TaskStats,
};
use crate::units::UnixNanos;
use crate::view::api::parse_instant;

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerInfo {
    /// What it may use.
    pub spec: SpecV2,
    /// What it used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stats: Vec<StatsV2>,
}

/// The specification with what version 1 has beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpecV2 {
    /// The runtime's name and ID.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The runtime.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// As in version 1.
    #[serde(flatten)]
    pub spec: Spec,
}

impl SpecV2 {
    /// Puts the two together. Quota and period are not in version 2, as in cAdvisor.
    #[must_use]
    pub fn new(reference: Reference, mut spec: Spec) -> Self {
        (spec.cpu.quota, spec.cpu.period) = (0, 0);
        Self { aliases: reference.aliases, namespace: reference.namespace, spec }
    }
}

/// One tick of a container, version 2.1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StatsV2 {
    /// When it was read.
    pub timestamp: String,
    /// As in version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// CPU in use since the tick before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_inst: Option<CpuInst>,
    /// As in version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diskio: Option<DiskIo>,
    /// As in version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    /// As in version 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// All interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkV2>,
    /// As in version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<ProcessStats>,
    /// What it takes up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FilesystemV2>,
}

/// CPU in use, in billionths of one CPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuInst {
    /// By mode.
    pub usage: CpuInstUsage,
}

/// CPU in use by mode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuInstUsage {
    /// All of it.
    pub total: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
}

/// Network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkV2 {
    /// All interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
}

/// What a container takes up. The last name is spelt as cAdvisor spells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemV2 {
    /// Writable layer and logs, in bytes.
    #[serde(rename = "totalUsageBytes")]
    pub total_usage_bytes: u64,
    /// Writable layer, in bytes.
    #[serde(rename = "baseUsageBytes")]
    pub base_usage_bytes: u64,
    /// Inodes of the writable layer.
    #[serde(rename = "containter_inode_usage")]
    pub inode_usage: u64,
}

/// One tick of a container, version 2.0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeprecatedStats {
    /// When it was read.
    pub timestamp: String,
    /// Whether CPU is counted.
    pub has_cpu: bool,
    /// CPU.
    pub cpu: CpuStats,
    /// CPU in use since the tick before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_inst: Option<CpuInst>,
    /// Whether io is counted.
    pub has_diskio: bool,
    /// Io.
    pub diskio: DiskIo,
    /// Whether memory is counted.
    pub has_memory: bool,
    /// Memory.
    pub memory: MemoryStats,
    /// Whether huge pages are counted.
    pub has_hugetlb: bool,
    /// Huge pages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Whether network is counted.
    pub has_network: bool,
    /// Network.
    pub network: NetworkV2,
    /// Whether processes are counted.
    pub has_processes: bool,
    /// Processes.
    pub processes: ProcessStats,
    /// Whether filesystem usage is known.
    pub has_filesystem: bool,
    /// Filesystems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filesystem: Vec<FsStats>,
    /// Always false.
    pub has_load: bool,
    /// Always 0.
    pub load_stats: TaskStats,
    /// Always false.
    pub has_custom_metrics: bool,
}

/// One tick of the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineStats {
    /// When it was read.
    pub timestamp: String,
    /// The root cgroup's CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// CPU in use since the tick before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_inst: Option<CpuInst>,
    /// The root cgroup's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    /// The host's interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkV2>,
    /// Mounted filesystems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filesystem: Vec<MachineFs>,
}

/// A mounted filesystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineFs {
    /// Its device.
    pub device: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Size.
    pub capacity: u64,
    /// In use.
    pub usage: u64,
    /// Free for unprivileged users.
    pub available: u64,
    /// Free inodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_free: Option<u64>,
    /// Counts of its disk. The name is the one that cAdvisor's answer has.
    pub inline: DiskStats,
}

/// Counts of a disk; durations in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStats {
    /// Reads completed.
    pub reads_completed: u64,
    /// Reads merged.
    pub reads_merged: u64,
    /// Sectors read.
    pub sectors_read: u64,
    /// Time of reading.
    pub read_duration: u64,
    /// Writes completed.
    pub writes_completed: u64,
    /// Writes merged.
    pub writes_merged: u64,
    /// Sectors written.
    pub sectors_written: u64,
    /// Time of writing.
    pub write_duration: u64,
    /// Requests in flight.
    pub io_in_progress: u64,
    /// Time with requests in flight.
    pub io_duration: u64,
    /// The same times their number.
    pub weighted_io_duration: u64,
}

/// CPU in use between two ticks; `None` for the first one and after a reset.
fn cpu_inst(before: Option<&Stats>, now: &Stats) -> Option<CpuInst> {
    let wall = |stats: &Stats| parse_instant(&stats.timestamp, UnixNanos(0));
    let before = before?;
    let nanos = wall(now)?.0.checked_sub(wall(before)?.0).filter(|nanos| *nanos > 0)?;
    let (earlier, later) = (&before.cpu.as_ref()?.usage, &now.cpu.as_ref()?.usage);
    let rate = |earlier: u64, later: u64| {
        let increase = u128::from(later.checked_sub(earlier)?);
        u64::try_from(increase.checked_mul(1_000_000_000)? / u128::from(nanos)).ok()
    };
    Some(CpuInst {
        usage: CpuInstUsage {
            total: rate(earlier.total, later.total)?,
            user: rate(earlier.user, later.user)?,
            system: rate(earlier.system, later.system)?,
        },
    })
}

/// Each tick with the CPU in use since the one before.
fn with_rates(stats: Vec<Stats>) -> impl Iterator<Item = (Stats, Option<CpuInst>)> {
    let rates: Vec<_> =
        std::iter::once(None).chain(stats.windows(2).map(|pair| cpu_inst(pair.first(), pair.last()?))).collect();
    stats.into_iter().zip(rates)
}

fn network(stats: &mut Stats) -> Option<NetworkV2> {
    stats.network.take().map(|network| NetworkV2 { interfaces: network.interfaces })
}

/// Ticks as version 2.1 has them.
pub(super) fn stats(stats: Vec<Stats>) -> Vec<StatsV2> {
    let each = with_rates(stats).map(|(mut stats, cpu_inst)| StatsV2 {
        network: network(&mut stats),
        filesystem: stats.filesystem.first().map(|fs| FilesystemV2 {
            total_usage_bytes: fs.usage,
            base_usage_bytes: fs.base_usage,
            inode_usage: fs.inodes,
        }),
        timestamp: stats.timestamp,
        cpu: stats.cpu,
        cpu_inst,
        diskio: stats.diskio,
        memory: stats.memory,
        hugetlb: stats.hugetlb,
        processes: stats.processes,
    });
    each.collect()
}

/// Ticks as version 2.0 has them.
pub(super) fn deprecated(spec: &Spec, stats: Vec<Stats>) -> Vec<DeprecatedStats> {
    let each = with_rates(stats).map(|(mut stats, cpu_inst)| DeprecatedStats {
        network: network(&mut stats).unwrap_or_default(),
        timestamp: stats.timestamp,
        has_cpu: spec.has_cpu,
        cpu: stats.cpu.unwrap_or_default(),
        cpu_inst,
        has_diskio: spec.has_diskio,
        diskio: stats.diskio.unwrap_or_default(),
        has_memory: spec.has_memory,
        memory: stats.memory.unwrap_or_default(),
        has_hugetlb: spec.has_hugetlb,
        hugetlb: stats.hugetlb,
        has_network: spec.has_network,
        has_processes: spec.has_processes,
        processes: stats.processes.unwrap_or_default(),
        has_filesystem: spec.has_filesystem,
        filesystem: stats.filesystem,
        ..DeprecatedStats::default()
    });
    each.collect()
}

/// The root's ticks as the machine's.
pub(super) fn machine(stats: Vec<Stats>) -> Vec<MachineStats> {
    let each = with_rates(stats).map(|(mut stats, cpu_inst)| MachineStats {
        network: network(&mut stats),
        timestamp: stats.timestamp,
        cpu: stats.cpu,
        cpu_inst,
        memory: stats.memory,
        filesystem: stats.filesystem.into_iter().map(machine_fs).collect(),
    });
    each.collect()
}

fn machine_fs(fs: FsStats) -> MachineFs {
    let nanos = |msec: u64| msec.saturating_mul(1_000_000);
    MachineFs {
        device: fs.device,
        kind: fs.kind,
        capacity: fs.capacity,
        usage: fs.usage,
        available: fs.available,
        inodes_free: fs.has_inodes.then_some(fs.inodes_free),
        inline: DiskStats {
            reads_completed: fs.reads_completed,
            reads_merged: fs.reads_merged,
            sectors_read: fs.sectors_read,
            read_duration: nanos(fs.read_time),
            writes_completed: fs.writes_completed,
            writes_merged: fs.writes_merged,
            sectors_written: fs.sectors_written,
            write_duration: nanos(fs.write_time),
            io_in_progress: fs.io_in_progress,
            io_duration: nanos(fs.io_time),
            weighted_io_duration: nanos(fs.weighted_io_time),
        },
    }
}
