//! Block devices and network interfaces: totals and rates.
//!
//! In: [`Reading`]s of the device, disk and interface tables. Out: serde types with counters and their rates per
//! second, one by one and summed. Next: `container`, `pod`, `node`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::Subject;
use crate::sample::catalogue::{DeviceColumn as D, DiskColumn, InterfaceColumn as I};
use crate::view::rates::Reading;

use super::parts::sum;

/// Bytes of a sector in `/proc/diskstats`, whatever the device's own sector size.
const SECTOR_BYTES: u64 = 512;

/// Reads and writes of block devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IoCounters {
    /// Bytes read.
    pub read_bytes_total: Option<u64>,
    /// Bytes written.
    pub written_bytes_total: Option<u64>,
    /// Read operations.
    pub reads_total: Option<u64>,
    /// Write operations.
    pub writes_total: Option<u64>,
    /// Bytes read per second over the last interval.
    pub read_bytes_per_second: Option<f64>,
    /// Bytes written per second.
    pub written_bytes_per_second: Option<f64>,
    /// Read operations per second.
    pub reads_per_second: Option<f64>,
    /// Write operations per second.
    pub writes_per_second: Option<f64>,
}

impl IoCounters {
    pub(super) fn of_device(reading: &Reading<'_>) -> Self {
        Self {
            read_bytes_total: reading.value(D::Rbytes),
            written_bytes_total: reading.value(D::Wbytes),
            reads_total: reading.value(D::Rios),
            writes_total: reading.value(D::Wios),
            read_bytes_per_second: reading.per_second(D::Rbytes),
            written_bytes_per_second: reading.per_second(D::Wbytes),
            reads_per_second: reading.per_second(D::Rios),
            writes_per_second: reading.per_second(D::Wios),
        }
    }

    pub(super) fn of_disk(reading: &Reading<'_>) -> Self {
        let bytes = |column| reading.value(column).map(|sectors: u64| sectors.saturating_mul(SECTOR_BYTES));
        let rate = |column| reading.per_second(column).map(|sectors| sectors * SECTOR_BYTES as f64);
        Self {
            read_bytes_total: bytes(DiskColumn::ReadSectors),
            written_bytes_total: bytes(DiskColumn::WrittenSectors),
            reads_total: reading.value(DiskColumn::Reads),
            writes_total: reading.value(DiskColumn::Writes),
            read_bytes_per_second: rate(DiskColumn::ReadSectors),
            written_bytes_per_second: rate(DiskColumn::WrittenSectors),
            reads_per_second: reading.per_second(DiskColumn::Reads),
            writes_per_second: reading.per_second(DiskColumn::Writes),
        }
    }

    pub(super) fn sum<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let counts = |pick: fn(&Self) -> Option<u64>| sum(parts.clone().map(pick));
        let rates = |pick: fn(&Self) -> Option<f64>| sum(parts.clone().map(pick));
        Self {
            read_bytes_total: counts(|io| io.read_bytes_total),
            written_bytes_total: counts(|io| io.written_bytes_total),
            reads_total: counts(|io| io.reads_total),
            writes_total: counts(|io| io.writes_total),
            read_bytes_per_second: rates(|io| io.read_bytes_per_second),
            written_bytes_per_second: rates(|io| io.written_bytes_per_second),
            reads_per_second: rates(|io| io.reads_per_second),
            writes_per_second: rates(|io| io.writes_per_second),
        }
    }
}

/// A container's or pod's block device traffic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Io {
    /// Sum over its devices.
    pub total: IoCounters,
    /// Device by device.
    pub devices: Vec<DeviceIo>,
}

/// Traffic with one block device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceIo {
    /// The kernel's name of the device, or `major:minor` when it has none.
    pub device: String,
    /// `major:minor`.
    pub number: Option<String>,
    /// Counters and rates.
    pub counters: IoCounters,
}

impl DeviceIo {
    pub(super) fn new(subject: &Subject, counters: IoCounters) -> Self {
        let number = subject.device.map(|(major, minor)| format!("{major}:{minor}"));
        Self { device: subject.name.to_string(), number, counters }
    }
}

impl Io {
    pub(super) fn of(devices: Vec<DeviceIo>) -> Self {
        Self { total: IoCounters::sum(devices.iter().map(|device| &device.counters)), devices }
    }
}

/// Traffic of network interfaces.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkCounters {
    /// Bytes received.
    pub rx_bytes_total: Option<u64>,
    /// Bytes sent.
    pub tx_bytes_total: Option<u64>,
    /// Packets received.
    pub rx_packets_total: Option<u64>,
    /// Packets sent.
    pub tx_packets_total: Option<u64>,
    /// Received packets with errors.
    pub rx_errors_total: Option<u64>,
    /// Packets that could not be sent.
    pub tx_errors_total: Option<u64>,
    /// Received packets that were dropped.
    pub rx_dropped_total: Option<u64>,
    /// Packets that were dropped instead of sent.
    pub tx_dropped_total: Option<u64>,
    /// Bytes received per second over the last interval.
    pub rx_bytes_per_second: Option<f64>,
    /// Bytes sent per second.
    pub tx_bytes_per_second: Option<f64>,
    /// Packets received per second.
    pub rx_packets_per_second: Option<f64>,
    /// Packets sent per second.
    pub tx_packets_per_second: Option<f64>,
}

impl NetworkCounters {
    pub(super) fn read(reading: &Reading<'_>) -> Self {
        Self {
            rx_bytes_total: reading.value(I::RxBytes),
            tx_bytes_total: reading.value(I::TxBytes),
            rx_packets_total: reading.value(I::RxPackets),
            tx_packets_total: reading.value(I::TxPackets),
            rx_errors_total: reading.value(I::RxErrs),
            tx_errors_total: reading.value(I::TxErrs),
            rx_dropped_total: reading.value(I::RxDrop),
            tx_dropped_total: reading.value(I::TxDrop),
            rx_bytes_per_second: reading.per_second(I::RxBytes),
            tx_bytes_per_second: reading.per_second(I::TxBytes),
            rx_packets_per_second: reading.per_second(I::RxPackets),
            tx_packets_per_second: reading.per_second(I::TxPackets),
        }
    }

    pub(super) fn sum<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let counts = |pick: fn(&Self) -> Option<u64>| sum(parts.clone().map(pick));
        let rates = |pick: fn(&Self) -> Option<f64>| sum(parts.clone().map(pick));
        Self {
            rx_bytes_total: counts(|net| net.rx_bytes_total),
            tx_bytes_total: counts(|net| net.tx_bytes_total),
            rx_packets_total: counts(|net| net.rx_packets_total),
            tx_packets_total: counts(|net| net.tx_packets_total),
            rx_errors_total: counts(|net| net.rx_errors_total),
            tx_errors_total: counts(|net| net.tx_errors_total),
            rx_dropped_total: counts(|net| net.rx_dropped_total),
            tx_dropped_total: counts(|net| net.tx_dropped_total),
            rx_bytes_per_second: rates(|net| net.rx_bytes_per_second),
            tx_bytes_per_second: rates(|net| net.tx_bytes_per_second),
            rx_packets_per_second: rates(|net| net.rx_packets_per_second),
            tx_packets_per_second: rates(|net| net.tx_packets_per_second),
        }
    }
}

/// Whose network a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkScope {
    /// Its own: the counters are this container's.
    Own,
    /// Its pod's: every container of the pod shows the same counters, so do not add them up.
    Pod,
    /// The host's: see the node's interfaces; there are no counters here.
    Host,
}

/// A container's or pod's network traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Whose network it is.
    pub scope: NetworkScope,
    /// Sum over its interfaces without the loopback.
    pub total: NetworkCounters,
    /// Interface by interface.
    pub interfaces: Vec<InterfaceTraffic>,
}

/// Traffic of one interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceTraffic {
    /// Name inside its network namespace.
    pub interface: String,
    /// Counters and rates.
    pub counters: NetworkCounters,
}

impl InterfaceTraffic {
    /// Whether it leads out of the machine, by its name: a bridge or veth would count what its containers send a
    /// second time.
    #[must_use]
    pub fn is_uplink(&self) -> bool {
        crate::sample::derived::is_uplink(&self.interface)
    }

    pub(super) fn read(subject: &Subject, reading: &Reading<'_>) -> Self {
        Self { interface: subject.name.to_string(), counters: NetworkCounters::read(reading) }
    }
}

impl Network {
    pub(super) fn of(scope: NetworkScope, interfaces: Vec<InterfaceTraffic>) -> Self {
        let counted = interfaces.iter().filter(|traffic| traffic.interface != "lo");
        Self { scope, total: NetworkCounters::sum(counted.map(|traffic| &traffic.counters)), interfaces }
    }
}
