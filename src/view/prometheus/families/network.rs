//! cAdvisor's set `network`.

use super::super::family::{Family, counter, interface};
use crate::sample::catalogue::InterfaceColumn as I;

/// Interfaces, once per network namespace.
pub const FAMILIES: &[Family] = &[
    counter("container_network_receive_bytes_total", "Bytes received.", &[interface(I::RxBytes)]),
    counter("container_network_receive_packets_total", "Packets received.", &[interface(I::RxPackets)]),
    counter("container_network_receive_errors_total", "Errors while receiving.", &[interface(I::RxErrs)]),
    counter(
        "container_network_receive_packets_dropped_total",
        "Packets dropped while receiving.",
        &[interface(I::RxDrop)],
    ),
    counter("container_network_transmit_bytes_total", "Bytes sent.", &[interface(I::TxBytes)]),
    counter("container_network_transmit_packets_total", "Packets sent.", &[interface(I::TxPackets)]),
    counter("container_network_transmit_errors_total", "Errors while sending.", &[interface(I::TxErrs)]),
    counter(
        "container_network_transmit_packets_dropped_total",
        "Packets dropped while sending.",
        &[interface(I::TxDrop)],
    ),
];
