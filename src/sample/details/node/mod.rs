//! What the node says beyond the tick's files: sockets, neighbours, interfaces' properties, hardware, software.
//!
//! In: files of the given procfs and sysfs, and of the root beside that procfs. Out: a [`NodeDetail`]: for each [`Part`]
//! rows of labels and values with the kernel's words and units. A collector fills one or several parts; who they are,
//! and how often each is run, stands in `COLLECTORS`. Their names are node_exporter's, so that they can be turned on
//! and off by the names that users know. It never touches the tick. Next: the families in `view/`.

mod clock;
mod hardware;
mod interfaces;
mod network;
mod reader;
mod software;
mod source;

use std::sync::Arc;
use std::time::Duration;

use Part as P;
pub use reader::{NodeDetails, NodeRoots};
use source::{Missing, Source};

/// One group of rows with the same labels and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// `net/sockstat` and `sockstat6`: `TCP_inuse`, `sockets_used`, …; `TCP_mem` is in pages.
    Sockstat,
    /// `net/netstat`, `snmp` and `snmp6`: `Tcp_ActiveOpens`, …
    Netstat,
    /// `net/softnet_stat`, by `cpu`: `processed`, `dropped`, `time_squeeze`.
    Softnet,
    /// `schedstat`, by `cpu`: `running_nanos`, `waiting_nanos`, `timeslices`.
    Schedstat,
    /// `sys/fs/file-nr`: `allocated`, `maximum`.
    Filefd,
    /// `sys/net/netfilter` and `net/stat/nf_conntrack`: `count`, `max`, `found`, …
    Conntrack,
    /// `sys/kernel/random`: `entropy_avail`, `poolsize`, in bits.
    Entropy,
    /// `net/arp`, by `device`: `entries`.
    Arp,
    /// `net/udp` and `udp6`, by `queue` and `ip`: `bytes`.
    UdpQueues,
    /// `/sys/class/net`, by `device`: the names of its files.
    Interface,
    /// The words of `/sys/class/net`, as labels.
    InterfaceInfo,
    /// `/sys/class/net/*/statistics`, by `device`: `rx_nohandler`.
    InterfaceStatistics,
    /// The clock sources that there are, by `device` and `clocksource`.
    ClocksourceAvailable,
    /// Those in use.
    ClocksourceCurrent,
    /// `/etc/localtime`, by `time_zone`: `offset_seconds`.
    TimeZone,
    /// adjtimex(2), in seconds and ratios.
    Timex,
    /// uname(2), as labels.
    Uname,
    /// `os-release`, as labels.
    Os,
    /// Its version, by `id`, `id_like` and `name`: `version`.
    OsVersion,
    /// `/sys/class/dmi/id`, as labels.
    Dmi,
    /// udev's words about block devices, as labels.
    DiskInfo,
    /// Those about device mapper's volumes.
    DeviceMapper,
    /// Those about filesystems on block devices.
    DiskFilesystem,
    /// `cpufreq`, by `cpu`: the names of its files, in kHz.
    CpuFrequency,
    /// `thermal_throttle`, by `package` and `core`: `core_throttle_count`.
    CoreThrottle,
    /// By `package`: `package_throttle_count`.
    PackageThrottle,
    /// `/sys/class/thermal/thermal_zone*`, by `zone` and `type`: `temp`, in millidegrees.
    ThermalZone,
    /// `/sys/class/thermal/cooling_device*`, by `name` and `type`: `cur_state`, `max_state`.
    CoolingDevice,
    /// `edac/mc`, by `controller`: `ce_count`, `ue_count`.
    MemoryController,
    /// `edac/mc/*/csrow*`, by `controller` and `csrow`: the same.
    MemoryRow,
    /// `/sys/fs/selinux`: `enabled`, `current_mode`, `config_mode`.
    Selinux,
    /// The collectors themselves, by `collector`: `success`, `duration_nanos`, `runs`.
    Collectors,
}

/// How many parts there are.
const PARTS: usize = Part::Collectors as usize + 1;

/// A value in the kernel's own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DetailValue {
    /// As the kernel has it.
    Integer(u64),
    /// Negative, or a fraction.
    Float(f64),
}

impl From<u64> for DetailValue {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<i64> for DetailValue {
    #[expect(clippy::cast_precision_loss, reason = "negative readings are small: speeds, temperatures, offsets")]
    fn from(value: i64) -> Self {
        u64::try_from(value).map_or(Self::Float(value as f64), Self::Integer)
    }
}

/// One row of a part: whose it is, and what is known of it. What is not known is not there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DetailRow {
    /// Names and values, in the order in which they are shown.
    pub labels: Vec<(&'static str, String)>,
    /// Keys and values.
    pub values: Vec<(&'static str, DetailValue)>,
}

impl DetailRow {
    /// A value by its key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<DetailValue> {
        self.values.iter().find(|(found, _)| *found == key).map(|(_, value)| *value)
    }

    fn with(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }

    fn put(&mut self, key: &'static str, value: Option<impl Into<DetailValue>>) {
        self.values.extend(value.map(|value| (key, value.into())));
    }
}

/// Every part as it was last read.
#[derive(Debug, Clone, Default)]
pub struct NodeDetail {
    parts: [Arc<Vec<DetailRow>>; PARTS],
}

impl NodeDetail {
    /// The rows of a part; none while it has not been read, or where the node has nothing of the kind.
    #[must_use]
    pub fn rows(&self, part: Part) -> &[DetailRow] {
        self.parts.get(part as usize).map_or(&[], |rows| rows.as_slice())
    }

    fn set(&mut self, part: Part, rows: Vec<DetailRow>) {
        if let Some(slot) = self.parts.get_mut(part as usize) {
            *slot = Arc::new(rows);
        }
    }
}

/// Which thread runs a collector, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Every second: cheap files whose counters are wanted beside the tick's.
    Second,
    /// Every ten seconds, and never more than a two-hundredth of a CPU.
    TenSeconds,
    /// Every minute: what does not change by itself.
    Minute,
}

impl Pace {
    const fn period(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::TenSeconds => Duration::from_secs(10),
            Self::Minute => Duration::from_mins(1),
        }
    }
}

/// What a collector has found.
type Found = Vec<(Part, Vec<DetailRow>)>;

/// A reader of a few files.
struct Collector {
    /// node_exporter's name of it.
    name: &'static str,
    pace: Pace,
    /// What it fills; emptied when its source is missing.
    parts: &'static [Part],
    read: fn(&mut Source) -> Result<Found, Missing>,
}

/// Every collector. The rest of node_exporter's are the tick's: cpu, diskstats, filesystem, loadavg, meminfo, netdev,
/// pressure, stat, vmstat; of diskstats, netdev and cpu only what the tick does not read is here.
const COLLECTORS: &[Collector] = &[
    Collector { name: "sockstat", pace: Pace::Second, parts: &[P::Sockstat], read: network::sockstat },
    Collector { name: "netstat", pace: Pace::Second, parts: &[P::Netstat], read: network::netstat },
    Collector { name: "softnet", pace: Pace::Second, parts: &[P::Softnet], read: network::softnet },
    Collector { name: "conntrack", pace: Pace::Second, parts: &[P::Conntrack], read: network::conntrack },
    Collector { name: "schedstat", pace: Pace::Second, parts: &[P::Schedstat], read: software::schedstat },
    Collector { name: "filefd", pace: Pace::Second, parts: &[P::Filefd], read: software::filefd },
    Collector { name: "entropy", pace: Pace::Second, parts: &[P::Entropy], read: software::entropy },
    Collector { name: "timex", pace: Pace::Second, parts: &[P::Timex], read: clock::timex },
    Collector { name: "arp", pace: Pace::TenSeconds, parts: &[P::Arp], read: network::arp },
    Collector { name: "udp_queues", pace: Pace::TenSeconds, parts: &[P::UdpQueues], read: network::udp_queues },
    Collector {
        name: "netclass",
        pace: Pace::TenSeconds,
        parts: &[P::Interface, P::InterfaceInfo],
        read: interfaces::netclass,
    },
    Collector { name: "netdev", pace: Pace::TenSeconds, parts: &[P::InterfaceStatistics], read: interfaces::netdev },
    Collector {
        name: "cpu",
        pace: Pace::TenSeconds,
        parts: &[P::CoreThrottle, P::PackageThrottle],
        read: hardware::cpu,
    },
    Collector { name: "cpufreq", pace: Pace::TenSeconds, parts: &[P::CpuFrequency], read: hardware::cpufreq },
    Collector {
        name: "thermal_zone",
        pace: Pace::TenSeconds,
        parts: &[P::ThermalZone, P::CoolingDevice],
        read: hardware::thermal_zone,
    },
    Collector {
        name: "edac",
        pace: Pace::TenSeconds,
        parts: &[P::MemoryController, P::MemoryRow],
        read: hardware::edac,
    },
    Collector {
        name: "diskstats",
        pace: Pace::Minute,
        parts: &[P::DiskInfo, P::DeviceMapper, P::DiskFilesystem],
        read: hardware::diskstats,
    },
    Collector { name: "dmi", pace: Pace::Minute, parts: &[P::Dmi], read: hardware::dmi },
    Collector { name: "os", pace: Pace::Minute, parts: &[P::Os, P::OsVersion], read: software::os },
    Collector { name: "selinux", pace: Pace::Minute, parts: &[P::Selinux], read: software::selinux },
    Collector {
        name: "time",
        pace: Pace::Minute,
        parts: &[P::ClocksourceAvailable, P::ClocksourceCurrent, P::TimeZone],
        read: clock::time,
    },
    Collector { name: "uname", pace: Pace::Minute, parts: &[P::Uname], read: software::uname },
];
