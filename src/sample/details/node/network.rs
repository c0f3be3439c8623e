//! Collectors of the node's network namespace: sockets, protocols, queues, connection tracking, neighbours.
//!
//! In: `/proc/1/net/*` and `/proc/sys/net/netfilter/*`. Out: their parts. Kernel documentation:
//! `Documentation/filesystems/proc.rst`, `Documentation/networking/snmp_counter.rst`,
//! `Documentation/networking/nf_conntrack-sysctl.rst`. Next: [`reader`](super::reader).

use std::collections::BTreeMap;

use super::source::{Missing, Source};
use super::{DetailRow, Found, Part};
use crate::kernel::proc::{
    parse_arp, parse_nf_conntrack, parse_snmp, parse_snmp6, parse_sockstat, parse_softnet_stat, parse_udp,
};

/// Pairs of `sockstat` and `sockstat6` with the key they are kept under.
const SOCKSTAT: [(&str, &str, &str); 19] = [
    ("sockets", "used", "sockets_used"),
    ("TCP", "inuse", "TCP_inuse"),
    ("TCP", "orphan", "TCP_orphan"),
    ("TCP", "tw", "TCP_tw"),
    ("TCP", "alloc", "TCP_alloc"),
    ("TCP", "mem", "TCP_mem"),
    ("UDP", "inuse", "UDP_inuse"),
    ("UDP", "mem", "UDP_mem"),
    ("UDPLITE", "inuse", "UDPLITE_inuse"),
    ("RAW", "inuse", "RAW_inuse"),
    ("FRAG", "inuse", "FRAG_inuse"),
    ("FRAG", "memory", "FRAG_memory"),
    ("TCP6", "inuse", "TCP6_inuse"),
    ("UDP6", "inuse", "UDP6_inuse"),
    ("UDPLITE6", "inuse", "UDPLITE6_inuse"),
    ("RAW6", "inuse", "RAW6_inuse"),
    ("FRAG6", "inuse", "FRAG6_inuse"),
    ("FRAG6", "memory", "FRAG6_memory"),
    ("SMC", "inuse", "SMC_inuse"),
];

pub(super) fn sockstat(source: &mut Source) -> Result<Found, Missing> {
    let mut row = DetailRow::default();
    for (number, file) in ["sockstat", "sockstat6"].into_iter().enumerate() {
        // A kernel without IPv6 has no second file.
        let Some(bytes) = source.net(file) else { if number == 0 { return Err(Missing) } else { continue } };
        for found in parse_sockstat(bytes) {
            let is = |(protocol, key, _): &&(&str, &str, &str)| {
                protocol.as_bytes() == found.protocol && key.as_bytes() == found.key
            };
            if let Some((_, _, key)) = SOCKSTAT.iter().find(is) {
                row.put(key, Some(found.value));
            }
        }
    }
    Ok(vec![(Part::Sockstat, vec![row])])
}

/// Columns of `netstat`, `snmp` and names of `snmp6` with the key they are kept under: node_exporter's default,
/// `^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|
/// Syncookies.*|TCPSynRetrans|TCPTimeouts)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|
/// Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$`.
const NETSTAT: [(&str, &str, &str); 40] = [
    ("Ip", "Forwarding", "Ip_Forwarding"),
    ("IpExt", "InOctets", "IpExt_InOctets"),
    ("IpExt", "OutOctets", "IpExt_OutOctets"),
    ("Ip6", "InOctets", "Ip6_InOctets"),
    ("Ip6", "OutOctets", "Ip6_OutOctets"),
    ("Icmp", "InMsgs", "Icmp_InMsgs"),
    ("Icmp", "InErrors", "Icmp_InErrors"),
    ("Icmp", "OutMsgs", "Icmp_OutMsgs"),
    ("Icmp6", "InMsgs", "Icmp6_InMsgs"),
    ("Icmp6", "InErrors", "Icmp6_InErrors"),
    ("Icmp6", "OutMsgs", "Icmp6_OutMsgs"),
    ("TcpExt", "ListenDrops", "TcpExt_ListenDrops"),
    ("TcpExt", "ListenOverflows", "TcpExt_ListenOverflows"),
    ("TcpExt", "SyncookiesFailed", "TcpExt_SyncookiesFailed"),
    ("TcpExt", "SyncookiesRecv", "TcpExt_SyncookiesRecv"),
    ("TcpExt", "SyncookiesSent", "TcpExt_SyncookiesSent"),
    ("TcpExt", "TCPSynRetrans", "TcpExt_TCPSynRetrans"),
    ("TcpExt", "TCPTimeouts", "TcpExt_TCPTimeouts"),
    ("Tcp", "ActiveOpens", "Tcp_ActiveOpens"),
    ("Tcp", "PassiveOpens", "Tcp_PassiveOpens"),
    ("Tcp", "CurrEstab", "Tcp_CurrEstab"),
    ("Tcp", "InSegs", "Tcp_InSegs"),
    ("Tcp", "InErrs", "Tcp_InErrs"),
    ("Tcp", "OutSegs", "Tcp_OutSegs"),
    ("Tcp", "OutRsts", "Tcp_OutRsts"),
    ("Tcp", "RetransSegs", "Tcp_RetransSegs"),
    ("Udp", "InDatagrams", "Udp_InDatagrams"),
    ("Udp", "InErrors", "Udp_InErrors"),
    ("Udp", "NoPorts", "Udp_NoPorts"),
    ("Udp", "OutDatagrams", "Udp_OutDatagrams"),
    ("Udp", "RcvbufErrors", "Udp_RcvbufErrors"),
    ("Udp", "SndbufErrors", "Udp_SndbufErrors"),
    ("UdpLite", "InErrors", "UdpLite_InErrors"),
    ("Udp6", "InDatagrams", "Udp6_InDatagrams"),
    ("Udp6", "InErrors", "Udp6_InErrors"),
    ("Udp6", "NoPorts", "Udp6_NoPorts"),
    ("Udp6", "OutDatagrams", "Udp6_OutDatagrams"),
    ("Udp6", "RcvbufErrors", "Udp6_RcvbufErrors"),
    ("Udp6", "SndbufErrors", "Udp6_SndbufErrors"),
    ("UdpLite6", "InErrors", "UdpLite6_InErrors"),
];

pub(super) fn netstat(source: &mut Source) -> Result<Found, Missing> {
    let mut row = DetailRow::default();
    for file in ["netstat", "snmp"] {
        for found in parse_snmp(source.net(file).ok_or(Missing)?) {
            let is = |(protocol, key, _): &&(&str, &str, &str)| {
                protocol.as_bytes() == found.protocol && key.as_bytes() == found.key
            };
            if let Some((_, _, key)) = NETSTAT.iter().find(is) {
                row.put(key, Some(found.value));
            }
        }
    }
    // A kernel without IPv6 has no such file.
    for (name, value) in source.net("snmp6").into_iter().flat_map(parse_snmp6) {
        let is = |(protocol, key, _): &&(&str, &str, &str)| {
            name.strip_prefix(protocol.as_bytes()).is_some_and(|rest| rest == key.as_bytes()) && protocol.ends_with('6')
        };
        if let Some((_, _, key)) = NETSTAT.iter().find(is) {
            row.put(key, Some(value));
        }
    }
    Ok(vec![(Part::Netstat, vec![row])])
}

pub(super) fn softnet(source: &mut Source) -> Result<Found, Missing> {
    let rows = parse_softnet_stat(source.net("softnet_stat").ok_or(Missing)?).map(|line| {
        let mut row = DetailRow::default().with("cpu", line.cpu.to_string());
        row.put("processed", line.processed);
        row.put("dropped", line.dropped);
        row.put("time_squeeze", line.time_squeeze);
        row
    });
    Ok(vec![(Part::Softnet, rows.collect())])
}

/// Columns of `stat/nf_conntrack` that are shown, summed over the CPUs.
const CONNTRACK: [&str; 8] =
    ["found", "invalid", "ignore", "insert", "insert_failed", "drop", "early_drop", "search_restart"];

pub(super) fn conntrack(source: &mut Source) -> Result<Found, Missing> {
    let sysctl = source.proc.join("sys/net/netfilter");
    let mut row = DetailRow::default();
    let mut count = None;
    if let Some(bytes) = source.net("stat/nf_conntrack") {
        // Each line has the number of the whole namespace; `sys/net` would have the one of the agent's own.
        count = parse_nf_conntrack(bytes, b"entries").next().flatten();
        for key in CONNTRACK {
            let mut columns = parse_nf_conntrack(bytes, key.as_bytes()).peekable();
            if columns.peek().is_some() {
                // The kernel's counters wrap at 32 bits, their sum does not.
                row.put(key, columns.sum::<Option<u64>>());
            }
        }
    }
    let own = || source.integer(&sysctl.join("nf_conntrack_count")).and_then(|count| u64::try_from(count).ok());
    row.put("count", Some(count.or_else(own).ok_or(Missing)?));
    row.put("max", source.integer(&sysctl.join("nf_conntrack_max")));
    Ok(vec![(Part::Conntrack, vec![row])])
}

pub(super) fn arp(source: &mut Source) -> Result<Found, Missing> {
    let mut devices: BTreeMap<String, u64> = BTreeMap::new();
    for device in parse_arp(source.net("arp").ok_or(Missing)?) {
        *devices.entry(String::from_utf8_lossy(device).into_owned()).or_default() += 1;
    }
    let row = |(device, entries): (String, u64)| {
        let mut row = DetailRow::default().with("device", device);
        row.put("entries", Some(entries));
        row
    };
    Ok(vec![(Part::Arp, devices.into_iter().map(row).collect())])
}

pub(super) fn udp_queues(source: &mut Source) -> Result<Found, Missing> {
    let mut rows = Vec::new();
    for (file, ip) in [("udp", "v4"), ("udp6", "v6")] {
        let Some(bytes) = source.net(file) else { continue };
        let (mut tx, mut rx) = (0u64, 0u64);
        for socket in parse_udp(bytes) {
            tx = tx.saturating_add(socket.tx_bytes);
            rx = rx.saturating_add(socket.rx_bytes);
        }
        for (queue, bytes) in [("tx", tx), ("rx", rx)] {
            let mut row = DetailRow::default().with("queue", queue).with("ip", ip);
            row.put("bytes", Some(bytes));
            rows.push(row);
        }
    }
    if rows.is_empty() { Err(Missing) } else { Ok(vec![(Part::UdpQueues, rows)]) }
}
