//! cAdvisor's set `network`.

use super::super::family::{Family, counter, interface};
use super::super::set::Set;
use crate::sample::catalogue::InterfaceColumn as I;

/// Interfaces, once per network namespace.
pub const FAMILIES: &[Family] = &[
    counter("container_network_receive_bytes_total", "Bytes received.", &[interface(I::RxBytes)]).of(Set::Network),
    counter("container_network_receive_packets_total", "Packets received.", &[interface(I::RxPackets)])
        .of(Set::Network),
    counter("container_network_receive_errors_total", "Errors while receiving.", &[interface(I::RxErrs)])
        .of(Set::Network),
    counter(
        "container_network_receive_packets_dropped_total",
        "Packets dropped while receiving.",
        &[interface(I::RxDrop)],
    )
    .of(Set::Network),
    counter("container_network_transmit_bytes_total", "Bytes sent.", &[interface(I::TxBytes)]).of(Set::Network),
    counter("container_network_transmit_packets_total", "Packets sent.", &[interface(I::TxPackets)]).of(Set::Network),
    counter("container_network_transmit_errors_total", "Errors while sending.", &[interface(I::TxErrs)])
        .of(Set::Network),
    counter(
        "container_network_transmit_packets_dropped_total",
        "Packets dropped while sending.",
        &[interface(I::TxDrop)],
    )
    .of(Set::Network),
];
