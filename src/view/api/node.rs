//! `GET /api/v1/node`: the machine, what it uses, and how the agent itself is.
//!
//! In: a [`Scene`] and how full the ring is. Out: [`Node`]. CPU ticks are shared out as the kernel counted them, guest
//! time taken out of user and nice, where the kernel counts it a second time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::MachineFacts;
use crate::sample::catalogue::{CpuColumn, DiskColumn, FilesystemColumn as F, NodeColumn as N, Table};
use crate::sample::row::Column;
use crate::units::UnixNanos;
use crate::view::rates::Reading;

use super::agent::{StoreState, Ticks};
use super::parts::Pressure;
use super::scene::Scene;
use super::time::rfc3339;
use super::traffic::{DeviceIo, InterfaceTraffic, IoCounters};

/// The node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Name of the node.
    pub name: String,
    /// When the tick that is shown began, RFC 3339: the newest, or with `at` the newest that is not later.
    pub read_at: String,
    /// The instant that `at` asked for, RFC 3339; null when the newest tick is shown.
    pub at: Option<String>,
    /// How finely history is kept at this tick: `tick`, `10s` or `1m`.
    pub resolution: Option<String>,
    /// How long before the instant that is shown the tick began, in seconds.
    pub age_seconds: f64,
    /// What this machine is.
    pub machine: Machine,
    /// Seconds since boot.
    pub uptime_seconds: Option<f64>,
    /// When it was booted, RFC 3339.
    pub booted_at: Option<String>,
    /// Load averages.
    pub load: Load,
    /// CPU.
    pub cpu: NodeCpu,
    /// Memory and swap.
    pub memory: NodeMemory,
    /// Processes.
    pub processes: Processes,
    /// Pressure (PSI).
    pub pressure: Pressure,
    /// Block devices.
    pub disks: Vec<Disk>,
    /// Network interfaces of the host.
    pub interfaces: Vec<InterfaceTraffic>,
    /// Mounted filesystems.
    pub filesystems: Vec<Filesystem>,
    /// How the agent's own reading goes; null in the past, because the ring does not keep it.
    pub ticks: Option<Ticks>,
    /// How full the ring is and how far back it reaches: now, whichever instant is shown.
    pub store: StoreState,
}

/// Facts that do not change while the machine runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    /// Logical CPUs.
    pub cpu_cores: u64,
    /// Physical cores.
    pub cpu_physical_cores: u64,
    /// Sockets.
    pub cpu_sockets: u64,
    /// Physical memory.
    pub memory_bytes: u64,
    /// Swap.
    pub swap_bytes: u64,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// The firmware's UUID of the machine.
    pub system_uuid: Option<String>,
    /// Changes with every boot.
    pub boot_id: Option<String>,
    /// Kernel release.
    pub kernel_version: Option<String>,
    /// Operating system.
    pub os_version: Option<String>,
    /// `v2`, `v1` or `hybrid`.
    pub cgroup_layout: Option<String>,
}

/// Tasks that run or wait, averaged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Load {
    /// Over one minute.
    pub one: Option<f64>,
    /// Over five minutes.
    pub five: Option<f64>,
    /// Over fifteen minutes.
    pub fifteen: Option<f64>,
}

/// CPU of the node over the last interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeCpu {
    /// CPUs in use: 1.5 is one and a half. Neither idle time nor waiting for a disk counts.
    pub usage_cores: Option<f64>,
    /// The same as a share of all CPUs, 0 to 1.
    pub usage_ratio: Option<f64>,
    /// Where the time went.
    pub modes: CpuModes,
    /// Usage of each CPU.
    pub cpus: Vec<OneCpu>,
}

/// Shares of the CPU time, 0 to 1; they add up to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CpuModes {
    /// Programs.
    pub user_ratio: Option<f64>,
    /// Programs of low priority.
    pub nice_ratio: Option<f64>,
    /// The kernel.
    pub system_ratio: Option<f64>,
    /// Nothing to do.
    pub idle_ratio: Option<f64>,
    /// Nothing to do, while a task waited for a disk.
    pub iowait_ratio: Option<f64>,
    /// Interrupts.
    pub irq_ratio: Option<f64>,
    /// Deferred interrupt work.
    pub softirq_ratio: Option<f64>,
    /// Taken by the hypervisor for others.
    pub steal_ratio: Option<f64>,
    /// Virtual machines that run here.
    pub guest_ratio: Option<f64>,
}

/// One CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OneCpu {
    /// The kernel's name: `cpu0`.
    pub cpu: String,
    /// Share of its time that was used, 0 to 1.
    pub usage_ratio: Option<f64>,
}

/// Memory of the node, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeMemory {
    /// All of it.
    pub total_bytes: Option<u64>,
    /// What new programs could get without swapping (the kernel's estimate).
    pub available_bytes: Option<u64>,
    /// Total without available.
    pub used_bytes: Option<u64>,
    /// `used_bytes` as a share of the total, 0 to 1.
    pub used_ratio: Option<f64>,
    /// Used for nothing at all.
    pub free_bytes: Option<u64>,
    /// Page cache, tmpfs included.
    pub cached_bytes: Option<u64>,
    /// Buffers of block devices.
    pub buffers_bytes: Option<u64>,
    /// Anonymous memory.
    pub anon_bytes: Option<u64>,
    /// Shared memory and tmpfs.
    pub shmem_bytes: Option<u64>,
    /// The kernel's object caches.
    pub slab_bytes: Option<u64>,
    /// Waiting to be written to a disk.
    pub dirty_bytes: Option<u64>,
    /// Swap.
    pub swap_total_bytes: Option<u64>,
    /// Of it used.
    pub swap_used_bytes: Option<u64>,
    /// Processes killed by the OOM killer since boot.
    pub oom_kills: Option<u64>,
}

/// Processes of the node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Processes {
    /// Running or ready to run.
    pub running: Option<u64>,
    /// Waiting for a device.
    pub blocked: Option<u64>,
    /// Tasks, threads included.
    pub tasks: Option<u64>,
    /// New processes and threads per second.
    pub forks_per_second: Option<f64>,
    /// Context switches per second.
    pub context_switches_per_second: Option<f64>,
}

/// One block device of the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// The kernel's name.
    pub device: String,
    /// `major:minor`.
    pub number: Option<String>,
    /// Counters and rates.
    pub counters: IoCounters,
    /// Share of the last interval in which it had something to do, 0 to 1.
    pub busy_ratio: Option<f64>,
    /// Operations under way.
    pub in_flight: Option<u64>,
}

impl Disk {
    /// Whether it is a disk and neither a partition nor made of other devices, by its name: those would count what
    /// their disk counts a second time.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        crate::sample::derived::is_whole_disk(&self.device)
    }
}

/// One mounted filesystem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Filesystem {
    /// Where it is mounted.
    pub mount_point: String,
    /// What is mounted.
    pub device: Option<String>,
    /// Its type.
    pub filesystem_type: Option<String>,
    /// Its size.
    pub size_bytes: Option<u64>,
    /// What programs without privileges may still write.
    pub available_bytes: Option<u64>,
    /// Size without free.
    pub used_bytes: Option<u64>,
    /// Inodes.
    pub files: Option<u64>,
    /// Of them free.
    pub files_free: Option<u64>,
    /// Whether it is mounted read-only.
    pub read_only: Option<bool>,
}

/// The node at the tick.
pub(super) fn read(scene: &Scene<'_>, store: StoreState) -> Node {
    let sample = scene.sample();
    let common = Node {
        name: sample.machine.node_name.clone(),
        read_at: rfc3339(sample.wall),
        at: scene.at(),
        resolution: scene.resolution(),
        age_seconds: scene.age_seconds(sample.started_at),
        machine: machine(&sample.machine),
        disks: scene
            .pair
            .iter(Table::Disk)
            .map(|(subject, reading)| disk(DeviceIo::new(subject, IoCounters::of_disk(&reading)), &reading))
            .collect(),
        interfaces: scene
            .pair
            .iter(Table::Interface)
            .filter(|(subject, _)| subject.owner.is_none())
            .map(|(subject, reading)| InterfaceTraffic::read(subject, &reading))
            .collect(),
        filesystems: filesystems(scene),
        ticks: (!scene.is_past()).then(|| Ticks::read(sample)),
        store,
        ..Node::default()
    };
    match scene.pair.iter(Table::Node).next() {
        None => common,
        Some((_, reading)) => with_numbers(common, scene, &reading),
    }
}

fn with_numbers(node: Node, scene: &Scene<'_>, reading: &Reading<'_>) -> Node {
    let hundredths = |column: N| reading.value(column).map(|hundredths| hundredths as f64 / 100.0);
    let booted = reading.value(N::BootTimeUnixSeconds).and_then(|seconds| seconds.checked_mul(1_000_000_000));
    Node {
        uptime_seconds: reading.value(N::UptimeMsec).map(|msec| msec as f64 / 1e3),
        booted_at: booted.map(|nanos| rfc3339(UnixNanos(nanos))),
        load: Load {
            one: hundredths(N::Load1Hundredths),
            five: hundredths(N::Load5Hundredths),
            fifteen: hundredths(N::Load15Hundredths),
        },
        cpu: cpu(scene, reading),
        memory: memory(reading),
        processes: Processes {
            running: reading.value(N::ProcsRunning),
            blocked: reading.value(N::ProcsBlocked),
            tasks: reading.value(N::Tasks),
            forks_per_second: reading.per_second(N::Forks),
            context_switches_per_second: reading.per_second(N::ContextSwitches),
        },
        pressure: Pressure::of_node(reading),
        ..node
    }
}

fn machine(facts: &MachineFacts) -> Machine {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    Machine {
        cpu_cores: facts.cpu_cores,
        cpu_physical_cores: facts.cpu_physical_cores,
        cpu_sockets: facts.cpu_sockets,
        memory_bytes: facts.memory_bytes,
        swap_bytes: facts.swap_bytes,
        machine_id: text(&facts.machine_id),
        system_uuid: text(&facts.system_uuid),
        boot_id: text(&facts.boot_id),
        kernel_version: text(&facts.kernel_version),
        os_version: text(&facts.os_version),
        cgroup_layout: text(&facts.cgroup_layout),
    }
}

/// How many ticks each mode got between two samples: user, nice, system, idle, iowait, irq, softirq, steal, guest.
///
/// The kernel lets idle and iowait go back by a tick or two when a CPU goes offline or its accounting is corrected;
/// such a mode counts as nothing for that interval, as `top` and `mpstat` do it.
fn mode_ticks<C: Column>(reading: &Reading<'_>, columns: [C; 10]) -> Option<[f64; 9]> {
    reading.before?;
    let increase = |column: C| reading.increase(column).map_or(0.0, |ticks| ticks as f64);
    let [user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice] = columns.map(increase);
    let modes = [
        (user - guest).max(0.0),
        (nice - guest_nice).max(0.0),
        system,
        idle,
        iowait,
        irq,
        softirq,
        steal,
        guest + guest_nice,
    ];
    (modes.iter().sum::<f64>() > 0.0).then_some(modes)
}

/// The share of neither idle nor iowait.
fn used_ratio(modes: &[f64; 9]) -> f64 {
    let [_, _, _, idle, iowait, ..] = modes;
    let all: f64 = modes.iter().sum();
    1.0 - (idle + iowait) / all
}

fn cpu(scene: &Scene<'_>, reading: &Reading<'_>) -> NodeCpu {
    let columns = [
        N::CpuUserTicks,
        N::CpuNiceTicks,
        N::CpuSystemTicks,
        N::CpuIdleTicks,
        N::CpuIowaitTicks,
        N::CpuIrqTicks,
        N::CpuSoftirqTicks,
        N::CpuStealTicks,
        N::CpuGuestTicks,
        N::CpuGuestNiceTicks,
    ];
    use CpuColumn as P;
    let per_cpu =
        [P::User, P::Nice, P::System, P::Idle, P::Iowait, P::Irq, P::Softirq, P::Steal, P::Guest, P::GuestNice];
    let cpus: Vec<_> = scene
        .pair
        .iter(Table::Cpu)
        .map(|(subject, reading)| OneCpu {
            cpu: subject.name.to_string(),
            usage_ratio: mode_ticks(&reading, per_cpu).as_ref().map(used_ratio),
        })
        .collect();
    let ticks = mode_ticks(reading, columns);
    let usage_ratio = ticks.as_ref().map(used_ratio);
    let cores = scene.sample().machine.cpu_cores;
    let shares = ticks.map(|ticks| {
        let all: f64 = ticks.iter().sum();
        ticks.map(|mode| mode / all)
    });
    let known = |column: N, share: f64| reading.value(column).map(|_| share);
    let [user, nice, system, idle, iowait, irq, softirq, steal, guest] = match shares {
        None => [None; 9],
        Some([user, nice, system, idle, iowait, irq, softirq, steal, guest]) => [
            known(N::CpuUserTicks, user),
            known(N::CpuNiceTicks, nice),
            known(N::CpuSystemTicks, system),
            known(N::CpuIdleTicks, idle),
            known(N::CpuIowaitTicks, iowait),
            known(N::CpuIrqTicks, irq),
            known(N::CpuSoftirqTicks, softirq),
            known(N::CpuStealTicks, steal),
            known(N::CpuGuestTicks, guest),
        ],
    };
    NodeCpu {
        usage_cores: usage_ratio.filter(|_| cores > 0).map(|ratio| ratio * cores as f64),
        usage_ratio,
        modes: CpuModes {
            user_ratio: user,
            nice_ratio: nice,
            system_ratio: system,
            idle_ratio: idle,
            iowait_ratio: iowait,
            irq_ratio: irq,
            softirq_ratio: softirq,
            steal_ratio: steal,
            guest_ratio: guest,
        },
        cpus,
    }
}

fn memory(reading: &Reading<'_>) -> NodeMemory {
    let total = reading.value(N::MeminfoMemTotal);
    let available = reading.value(N::MeminfoMemAvailable);
    let used = total.zip(available).and_then(|(total, available)| total.checked_sub(available));
    let swap_total = reading.value(N::MeminfoSwapTotal);
    let swap_free = reading.value(N::MeminfoSwapFree);
    NodeMemory {
        total_bytes: total,
        available_bytes: available,
        used_bytes: used,
        used_ratio: used.zip(total.filter(|total| *total > 0)).map(|(used, total)| used as f64 / total as f64),
        free_bytes: reading.value(N::MeminfoMemFree),
        cached_bytes: reading.value(N::MeminfoCached),
        buffers_bytes: reading.value(N::MeminfoBuffers),
        anon_bytes: reading.value(N::MeminfoAnonPages),
        shmem_bytes: reading.value(N::MeminfoShmem),
        slab_bytes: reading.value(N::MeminfoSlab),
        dirty_bytes: reading.value(N::MeminfoDirty),
        swap_total_bytes: swap_total,
        swap_used_bytes: swap_total.zip(swap_free).and_then(|(total, free)| total.checked_sub(free)),
        oom_kills: reading.value(N::VmstatOomKill),
    }
}

fn disk(device: DeviceIo, reading: &Reading<'_>) -> Disk {
    Disk {
        device: device.device,
        number: device.number,
        counters: device.counters,
        busy_ratio: reading.per_second(DiskColumn::IoTimeMsec).map(|msec| (msec / 1e3).min(1.0)),
        in_flight: reading.value(DiskColumn::InFlight),
    }
}

fn filesystems(scene: &Scene<'_>) -> Vec<Filesystem> {
    let read = |(subject, reading): (&std::sync::Arc<crate::sample::Subject>, Reading<'_>)| {
        let size = reading.value(F::Size);
        Filesystem {
            mount_point: subject.name.to_string(),
            device: subject.filesystem.as_ref().map(|(device, _)| device.to_string()),
            filesystem_type: subject.filesystem.as_ref().map(|(_, kind)| kind.to_string()),
            size_bytes: size,
            available_bytes: reading.value(F::Available),
            used_bytes: size.zip(reading.value(F::Free)).and_then(|(size, free)| size.checked_sub(free)),
            files: reading.value(F::Files),
            files_free: reading.value(F::FilesFree),
            read_only: reading.value(F::ReadOnly).map(|flag| flag == 1),
        }
    };
    // A filesystem that is mounted at several places has one size.
    let mut seen = std::collections::BTreeSet::new();
    let first = |(subject, _): &(&std::sync::Arc<crate::sample::Subject>, Reading<'_>)| {
        subject.device.is_none_or(|device| seen.insert(device))
    };
    scene.pair.iter(Table::Filesystem).filter(first).map(read).collect()
}
