//! The machine in cAdvisor's types: `MachineInfo`, `Attributes`, `FsInfo`, `ProcessInfo`.
//!
//! In: the newest [`NodeSample`], and processes. Out: what the agent knows of the machine. Hardware that it does not read
//! (caches, topology, clock rate, sizes of disks) is empty or 0, as on a machine where cAdvisor cannot read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fill::time;
use super::tree::Tree;
use crate::sample::NodeSample;
use crate::sample::catalogue::{FilesystemColumn as F, NodeColumn as N, Table};
use crate::sample::processes::Process;

/// Version of the agent, where cAdvisor tells its own.
pub(super) const VERSION: &str = concat!("ringside ", env!("CARGO_PKG_VERSION"));

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineInfo {
    /// When this was read.
    pub timestamp: String,
    /// Not read: empty.
    pub vendor_id: String,
    /// Logical CPUs.
    pub num_cores: u64,
    /// Physical cores.
    pub num_physical_cores: u64,
    /// Sockets.
    pub num_sockets: u64,
    /// Not read: 0.
    pub cpu_frequency_khz: u64,
    /// Memory in bytes.
    pub memory_capacity: u64,
    /// Swap in bytes.
    pub swap_capacity: u64,
    /// Not read: empty.
    pub memory_by_type: BTreeMap<String, u64>,
    /// Not read: 0.
    pub nvm: Nvm,
    /// The default size of huge pages.
    pub hugepages: Vec<HugePages>,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The firmware's UUID.
    pub system_uuid: String,
    /// Changes with every boot.
    pub boot_id: String,
    /// Mounted filesystems.
    pub filesystems: Vec<Filesystem>,
    /// Disks by `major:minor`.
    pub disk_map: BTreeMap<String, Disk>,
    /// The host's interfaces.
    pub network_devices: Vec<NetworkDevice>,
    /// Not read: empty.
    pub topology: Vec<()>,
    /// Not asked for.
    pub cloud_provider: String,
    /// Not asked for.
    pub instance_type: String,
    /// Not asked for.
    pub instance_id: String,
}

/// Memory that keeps its content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nvm {
    /// Not read: 0.
    pub memory_mode_capacity: u64,
    /// Not read: 0. The blank in the name is cAdvisor's.
    #[serde(rename = "app direct_mode_capacity")]
    pub app_direct_mode_capacity: u64,
    /// Not read: 0.
    pub avg_power_budget: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugePages {
    /// In KiB.
    pub page_size: u64,
    /// How many there are.
    pub num_pages: u64,
}

/// A filesystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Its device.
    pub device: String,
    /// Size in bytes.
    pub capacity: u64,
    /// `vfs`, as cAdvisor calls all that count blocks.
    #[serde(rename = "type")]
    pub kind: String,
    /// Inodes.
    pub inodes: u64,
    /// Whether they are counted.
    pub has_inodes: bool,
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The kernel's name.
    pub name: String,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Not read: 0.
    pub size: u64,
    /// Not read: empty.
    pub scheduler: String,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDevice {
    /// Its name.
    pub name: String,
    /// Not read: empty.
    pub mac_address: String,
    /// Not read: 0.
    pub speed: i64,
    /// Not read: 0.
    pub mtu: i64,
}

/// What version 2 tells of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Kernel release.
    pub kernel_version: String,
    /// Operating system.
    pub container_os_version: String,
    /// Not asked for: empty.
    pub docker_version: String,
    /// Not asked for: empty.
    pub docker_api_version: String,
    /// The agent's version.
    pub cadvisor_version: String,
    /// Logical CPUs.
    pub num_cores: u64,
    /// Not read: 0.
    pub cpu_frequency_khz: u64,
    /// Memory in bytes.
    pub memory_capacity: u64,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The firmware's UUID.
    pub system_uuid: String,
    /// The default size of huge pages.
    pub hugepages: Vec<HugePages>,
    /// Mounted filesystems.
    pub filesystems: Vec<Filesystem>,
    /// Disks by `major:minor`.
    pub disk_map: BTreeMap<String, Disk>,
    /// The host's interfaces.
    pub network_devices: Vec<NetworkDevice>,
    /// Not read: empty.
    pub topology: Vec<()>,
    /// Not asked for.
    pub cloud_provider: String,
    /// Not asked for.
    pub instance_type: String,
}

/// A filesystem and how full it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsInfo {
    /// When it was read.
    pub timestamp: String,
    /// Its device.
    pub device: String,
    /// Where it is mounted.
    pub mountpoint: String,
    /// Size in bytes.
    pub capacity: u64,
    /// Free for unprivileged users.
    pub available: u64,
    /// In use.
    pub usage: u64,
    /// `root` for the one that is mounted at `/`.
    pub labels: Vec<String>,
    /// Inodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
    /// Free inodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_free: Option<u64>,
}

/// One process, as `ps` shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its owner.
    pub user: String,
    /// Its ID.
    pub pid: u32,
    /// Its parent's ID.
    pub parent_pid: u32,
    /// When it was started, RFC 3339; `ps` writes `15:04` or `Jan02`.
    pub start_time: String,
    /// CPU time over its life, in percent of one CPU.
    pub percent_cpu: f64,
    /// Resident memory in percent of the machine's.
    pub percent_mem: f64,
    /// Resident memory in bytes.
    pub rss: u64,
    /// Address space in bytes.
    pub virtual_size: u64,
    /// State: one letter.
    pub status: String,
    /// CPU time used: `HH:MM:SS`.
    pub running_time: String,
    /// Its cgroup.
    pub cgroup_path: String,
    /// Name of its program.
    pub cmd: String,
    /// Open file descriptors; 0 where they cannot be counted.
    pub fd_count: u64,
    /// The CPU that it ran on last.
    pub psr: u32,
}

/// The machine.
pub(super) fn machine_info(tree: &Tree<'_>) -> MachineInfo {
    let sample = tree.sample;
    let machine = &sample.machine;
    let unknown = "Unknown".to_owned();
    MachineInfo {
        timestamp: time(sample.wall),
        num_cores: machine.cpu_cores,
        num_physical_cores: machine.cpu_physical_cores,
        num_sockets: machine.cpu_sockets,
        memory_capacity: machine.memory_bytes,
        swap_capacity: machine.swap_bytes,
        hugepages: huge_pages(sample),
        machine_id: machine.machine_id.clone(),
        system_uuid: machine.system_uuid.clone(),
        boot_id: machine.boot_id.clone(),
        filesystems: sample
            .iter(Table::Filesystem)
            .map(|(subject, row)| {
                let inodes = row.value(F::Files).filter(|files| *files > 0);
                Filesystem {
                    device: subject.filesystem.as_ref().map(|(device, _)| device.to_string()).unwrap_or_default(),
                    capacity: row.value(F::Size).unwrap_or(0),
                    kind: "vfs".to_owned(),
                    inodes: inodes.unwrap_or(0),
                    has_inodes: inodes.is_some(),
                }
            })
            .collect(),
        disk_map: disks(sample),
        network_devices: network_devices(sample),
        cloud_provider: unknown.clone(),
        instance_type: unknown,
        instance_id: "None".to_owned(),
        ..MachineInfo::default()
    }
}

fn huge_pages(sample: &NodeSample) -> Vec<HugePages> {
    let pages = sample.iter(Table::Node).next().and_then(|(_, row)| {
        let page_size = row.value(N::MeminfoHugepagesize)? / 1024;
        Some(HugePages { page_size, num_pages: row.value(N::MeminfoHugePagesTotal)? })
    });
    pages.into_iter().collect()
}

fn disks(sample: &NodeSample) -> BTreeMap<String, Disk> {
    let whole = sample.roster.subjects(Table::Disk).iter();
    let disk = |subject: &std::sync::Arc<crate::sample::Subject>| {
        let (major, minor) = subject.device?;
        let name = subject.name.to_string();
        Some((format!("{major}:{minor}"), Disk { name, major, minor, ..Disk::default() }))
    };
    whole.filter(|subject| crate::sample::derived::is_whole_disk(&subject.name)).filter_map(disk).collect()
}

fn network_devices(sample: &NodeSample) -> Vec<NetworkDevice> {
    let own = sample.roster.subjects(Table::Interface).iter().filter(|subject| subject.owner.is_none());
    let outside = own.filter(|subject| crate::sample::derived::is_uplink(&subject.name));
    outside.map(|subject| NetworkDevice { name: subject.name.to_string(), ..NetworkDevice::default() }).collect()
}

/// What version 2 tells of the machine.
pub(super) fn attributes(tree: &Tree<'_>) -> Attributes {
    let info = machine_info(tree);
    Attributes {
        kernel_version: tree.sample.machine.kernel_version.clone(),
        container_os_version: tree.sample.machine.os_version.clone(),
        cadvisor_version: VERSION.to_owned(),
        num_cores: info.num_cores,
        memory_capacity: info.memory_capacity,
        machine_id: info.machine_id,
        system_uuid: info.system_uuid,
        hugepages: info.hugepages,
        filesystems: info.filesystems,
        disk_map: info.disk_map,
        network_devices: info.network_devices,
        cloud_provider: info.cloud_provider,
        instance_type: info.instance_type,
        ..Attributes::default()
    }
}

/// The filesystems and how full they are.
pub(super) fn storage(tree: &Tree<'_>) -> Vec<FsInfo> {
    let each = tree.sample.iter(Table::Filesystem).map(|(subject, row)| {
        let value = |column| row.value(column).unwrap_or(0);
        let inodes = row.value(F::Files).filter(|files| *files > 0);
        let is_root = &*subject.name == "/";
        FsInfo {
            timestamp: time(tree.sample.wall),
            device: subject.filesystem.as_ref().map(|(device, _)| device.to_string()).unwrap_or_default(),
            mountpoint: subject.name.to_string(),
            capacity: value(F::Size),
            available: value(F::Available),
            usage: value(F::Size).saturating_sub(value(F::Free)),
            labels: is_root.then(|| "root".to_owned()).into_iter().collect(),
            inodes,
            inodes_free: inodes.and(row.value(F::FilesFree)),
        }
    });
    each.collect()
}

/// Processes as `ps` shows them.
pub(super) fn processes(tree: &Tree<'_>, processes: Vec<Process>) -> Vec<ProcessInfo> {
    let sample = tree.sample;
    let machine = &sample.machine;
    let node = sample.iter(Table::Node).next().map(|(_, row)| row);
    let uptime_seconds = node.and_then(|row| row.value(N::UptimeMsec)).unwrap_or(0) as f64 / 1e3;
    let booted_seconds = sample.wall.0 as f64 / 1e9 - uptime_seconds;
    let ticks = machine.ticks_per_second.max(1) as f64;
    let each = processes.into_iter().map(|process| {
        let used_seconds = process.cpu_ticks as f64 / ticks;
        let lived_seconds = uptime_seconds - process.start_ticks as f64 / ticks;
        let rss = process.rss_pages.saturating_mul(machine.page_bytes);
        let tenths = |percent: f64| if percent.is_finite() { (percent * 10.0).round() / 10.0 } else { 0.0 };
        ProcessInfo {
            user: process.user,
            pid: process.pid,
            parent_pid: process.parent_pid,
            start_time: start_time(booted_seconds + process.start_ticks as f64 / ticks),
            percent_cpu: if lived_seconds > 0.0 { tenths(100.0 * used_seconds / lived_seconds) } else { 0.0 },
            percent_mem: tenths(100.0 * rss as f64 / machine.memory_bytes.max(1) as f64),
            rss,
            virtual_size: process.virtual_bytes,
            status: process.state.to_string(),
            running_time: running_time(process.cpu_ticks / machine.ticks_per_second.max(1)),
            cgroup_path: process.cgroup,
            cmd: process.command,
            fd_count: process.open_files.unwrap_or(0),
            psr: process.processor.unwrap_or(0),
        }
    });
    each.collect()
}

fn start_time(unix_seconds: f64) -> String {
    let since = std::time::Duration::try_from_secs_f64(unix_seconds).unwrap_or_default();
    let nanos = u64::try_from(since.as_nanos()).unwrap_or(0);
    crate::view::api::rfc3339(crate::units::UnixNanos(nanos))
}

fn running_time(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
