//! Table of network interfaces: `/proc/PID/net/dev`, once per network namespace.

use super::table;

table! {
    /// Columns of one interface of one network namespace.
    InterfaceColumn, INTERFACE_METRICS;
    RxBytes = "rx_bytes", Bytes, Counter, "net/dev receive bytes", "";
    RxPackets = "rx_packets", Count, Counter, "net/dev receive packets", "";
    RxErrs = "rx_errs", Count, Counter, "net/dev receive errs", "";
    RxDrop = "rx_drop", Count, Counter, "net/dev receive drop", "";
    RxFifo = "rx_fifo", Count, Counter, "net/dev receive fifo", "";
    RxFrame = "rx_frame", Count, Counter, "net/dev receive frame", "";
    RxCompressed = "rx_compressed", Count, Counter, "net/dev receive compressed", "";
    RxMulticast = "rx_multicast", Count, Counter, "net/dev receive multicast", "";
    TxBytes = "tx_bytes", Bytes, Counter, "net/dev transmit bytes", "";
    TxPackets = "tx_packets", Count, Counter, "net/dev transmit packets", "";
    TxErrs = "tx_errs", Count, Counter, "net/dev transmit errs", "";
    TxDrop = "tx_drop", Count, Counter, "net/dev transmit drop", "";
    TxFifo = "tx_fifo", Count, Counter, "net/dev transmit fifo", "";
    TxColls = "tx_colls", Count, Counter, "net/dev transmit colls", "";
    TxCarrier = "tx_carrier", Count, Counter, "net/dev transmit carrier", "";
    TxCompressed = "tx_compressed", Count, Counter, "net/dev transmit compressed", "";
}
