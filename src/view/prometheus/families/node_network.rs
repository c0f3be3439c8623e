//! The node's sockets, protocols, neighbours and interfaces under node_exporter's names: what is read off the tick.
//!
//! In: the parts of [`NodeDetail`](crate::sample::details::node::NodeDetail). Out: families, each in the set of its
//! collector. Counters of `netstat` keep the kernel's names, as node_exporter has them. History has none of them.

use super::super::family::{Family, counter, gauge, info};
use super::super::set::Set;
use super::node_value::{detail, push, push_info, push_pages, push_times};
use crate::sample::details::node::Part as P;

/// Collectors `sockstat`, `netstat`, `softnet`, `conntrack`, `arp`, `udp_queues`, `netclass`, and a column of `netdev`.
pub const FAMILIES: &[Family] = &[
    gauge(
        "node_sockstat_sockets_used",
        "Number of IPv4 sockets in use.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "sockets_used", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_TCP_inuse",
        "Number of TCP sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "TCP_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_TCP_orphan",
        "Number of TCP sockets in state orphan.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "TCP_orphan", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_TCP_tw",
        "Number of TCP sockets in state tw.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "TCP_tw", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_TCP_alloc",
        "Number of TCP sockets in state alloc.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "TCP_alloc", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_TCP_mem",
        "Number of TCP sockets in state mem.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "TCP_mem", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_TCP_mem_bytes",
        "Number of TCP sockets in state mem_bytes.",
        &[detail(|details, _, emit| push_pages(details, P::Sockstat, "TCP_mem", emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_UDP_inuse",
        "Number of UDP sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "UDP_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_UDP_mem",
        "Number of UDP sockets in state mem.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "UDP_mem", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_UDP_mem_bytes",
        "Number of UDP sockets in state mem_bytes.",
        &[detail(|details, _, emit| push_pages(details, P::Sockstat, "UDP_mem", emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_UDPLITE_inuse",
        "Number of UDPLITE sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "UDPLITE_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_RAW_inuse",
        "Number of RAW sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "RAW_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_FRAG_inuse",
        "Number of FRAG sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "FRAG_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_FRAG_memory",
        "Number of FRAG sockets in state memory.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "FRAG_memory", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_TCP6_inuse",
        "Number of TCP6 sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "TCP6_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_UDP6_inuse",
        "Number of UDP6 sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "UDP6_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_UDPLITE6_inuse",
        "Number of UDPLITE6 sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "UDPLITE6_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_RAW6_inuse",
        "Number of RAW6 sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "RAW6_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_FRAG6_inuse",
        "Number of FRAG6 sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "FRAG6_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_FRAG6_memory",
        "Number of FRAG6 sockets in state memory.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "FRAG6_memory", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_sockstat_SMC_inuse",
        "Number of SMC sockets in state inuse.",
        &[detail(|details, _, emit| push(details, P::Sockstat, "SMC_inuse", 0, emit))],
    )
    .of(Set::Node("sockstat")),
    gauge(
        "node_netstat_Ip_Forwarding",
        "Statistic IpForwarding.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Ip_Forwarding", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_IpExt_InOctets",
        "Statistic IpExtInOctets.",
        &[detail(|details, _, emit| push(details, P::Netstat, "IpExt_InOctets", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_IpExt_OutOctets",
        "Statistic IpExtOutOctets.",
        &[detail(|details, _, emit| push(details, P::Netstat, "IpExt_OutOctets", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Ip6_InOctets",
        "Statistic Ip6InOctets.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Ip6_InOctets", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Ip6_OutOctets",
        "Statistic Ip6OutOctets.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Ip6_OutOctets", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Icmp_InMsgs",
        "Statistic IcmpInMsgs.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Icmp_InMsgs", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Icmp_InErrors",
        "Statistic IcmpInErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Icmp_InErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Icmp_OutMsgs",
        "Statistic IcmpOutMsgs.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Icmp_OutMsgs", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Icmp6_InMsgs",
        "Statistic Icmp6InMsgs.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Icmp6_InMsgs", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Icmp6_InErrors",
        "Statistic Icmp6InErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Icmp6_InErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Icmp6_OutMsgs",
        "Statistic Icmp6OutMsgs.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Icmp6_OutMsgs", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_TcpExt_ListenDrops",
        "Statistic TcpExtListenDrops.",
        &[detail(|details, _, emit| push(details, P::Netstat, "TcpExt_ListenDrops", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_TcpExt_ListenOverflows",
        "Statistic TcpExtListenOverflows.",
        &[detail(|details, _, emit| push(details, P::Netstat, "TcpExt_ListenOverflows", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_TcpExt_SyncookiesFailed",
        "Statistic TcpExtSyncookiesFailed.",
        &[detail(|details, _, emit| push(details, P::Netstat, "TcpExt_SyncookiesFailed", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_TcpExt_SyncookiesRecv",
        "Statistic TcpExtSyncookiesRecv.",
        &[detail(|details, _, emit| push(details, P::Netstat, "TcpExt_SyncookiesRecv", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_TcpExt_SyncookiesSent",
        "Statistic TcpExtSyncookiesSent.",
        &[detail(|details, _, emit| push(details, P::Netstat, "TcpExt_SyncookiesSent", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_TcpExt_TCPSynRetrans",
        "Statistic TcpExtTCPSynRetrans.",
        &[detail(|details, _, emit| push(details, P::Netstat, "TcpExt_TCPSynRetrans", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_TcpExt_TCPTimeouts",
        "Statistic TcpExtTCPTimeouts.",
        &[detail(|details, _, emit| push(details, P::Netstat, "TcpExt_TCPTimeouts", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Tcp_ActiveOpens",
        "Statistic TcpActiveOpens.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Tcp_ActiveOpens", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Tcp_PassiveOpens",
        "Statistic TcpPassiveOpens.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Tcp_PassiveOpens", 0, emit))],
    )
    .of(Set::Node("netstat")),
    gauge(
        "node_netstat_Tcp_CurrEstab",
        "Statistic TcpCurrEstab.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Tcp_CurrEstab", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Tcp_InSegs",
        "Statistic TcpInSegs.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Tcp_InSegs", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Tcp_InErrs",
        "Statistic TcpInErrs.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Tcp_InErrs", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Tcp_OutSegs",
        "Statistic TcpOutSegs.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Tcp_OutSegs", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Tcp_OutRsts",
        "Statistic TcpOutRsts.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Tcp_OutRsts", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Tcp_RetransSegs",
        "Statistic TcpRetransSegs.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Tcp_RetransSegs", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp_InDatagrams",
        "Statistic UdpInDatagrams.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp_InDatagrams", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp_InErrors",
        "Statistic UdpInErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp_InErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp_NoPorts",
        "Statistic UdpNoPorts.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp_NoPorts", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp_OutDatagrams",
        "Statistic UdpOutDatagrams.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp_OutDatagrams", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp_RcvbufErrors",
        "Statistic UdpRcvbufErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp_RcvbufErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp_SndbufErrors",
        "Statistic UdpSndbufErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp_SndbufErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_UdpLite_InErrors",
        "Statistic UdpLiteInErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "UdpLite_InErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp6_InDatagrams",
        "Statistic Udp6InDatagrams.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp6_InDatagrams", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp6_InErrors",
        "Statistic Udp6InErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp6_InErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp6_NoPorts",
        "Statistic Udp6NoPorts.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp6_NoPorts", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp6_OutDatagrams",
        "Statistic Udp6OutDatagrams.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp6_OutDatagrams", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp6_RcvbufErrors",
        "Statistic Udp6RcvbufErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp6_RcvbufErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_Udp6_SndbufErrors",
        "Statistic Udp6SndbufErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "Udp6_SndbufErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_netstat_UdpLite6_InErrors",
        "Statistic UdpLite6InErrors.",
        &[detail(|details, _, emit| push(details, P::Netstat, "UdpLite6_InErrors", 0, emit))],
    )
    .of(Set::Node("netstat")),
    counter(
        "node_softnet_processed_total",
        "Number of processed packets.",
        &[detail(|details, _, emit| push(details, P::Softnet, "processed", 0, emit))],
    )
    .of(Set::Node("softnet")),
    counter(
        "node_softnet_dropped_total",
        "Number of dropped packets.",
        &[detail(|details, _, emit| push(details, P::Softnet, "dropped", 0, emit))],
    )
    .of(Set::Node("softnet")),
    counter(
        "node_softnet_times_squeezed_total",
        "Number of times processing packets ran out of quota.",
        &[detail(|details, _, emit| push(details, P::Softnet, "time_squeeze", 0, emit))],
    )
    .of(Set::Node("softnet")),
    gauge(
        "node_nf_conntrack_entries",
        "Number of currently allocated flow entries for connection tracking.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "count", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_nf_conntrack_entries_limit",
        "Maximum size of connection tracking table.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "max", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_nf_conntrack_stat_found",
        "Number of searched entries which were successful.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "found", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_nf_conntrack_stat_invalid",
        "Number of packets seen which can not be tracked.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "invalid", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_nf_conntrack_stat_ignore",
        "Number of packets seen which are already connected to a conntrack entry.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "ignore", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_nf_conntrack_stat_insert",
        "Number of entries inserted into the list.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "insert", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_nf_conntrack_stat_insert_failed",
        "Number of entries for which list insertion was attempted but failed.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "insert_failed", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_nf_conntrack_stat_drop",
        "Number of packets dropped due to conntrack failure.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "drop", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_nf_conntrack_stat_early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "early_drop", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_nf_conntrack_stat_search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
        &[detail(|details, _, emit| push(details, P::Conntrack, "search_restart", 0, emit))],
    )
    .of(Set::Node("conntrack")),
    gauge(
        "node_arp_entries",
        "ARP entries by device.",
        &[detail(|details, _, emit| push(details, P::Arp, "entries", 0, emit))],
    )
    .of(Set::Node("arp")),
    gauge(
        "node_udp_queues",
        "Number of allocated memory in the kernel for UDP datagrams in bytes.",
        &[detail(|details, _, emit| push(details, P::UdpQueues, "bytes", 0, emit))],
    )
    .of(Set::Node("udp_queues")),
    gauge(
        "node_network_address_assign_type",
        "Network device property: address_assign_type.",
        &[detail(|details, _, emit| push(details, P::Interface, "addr_assign_type", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_carrier",
        "Network device property: carrier.",
        &[detail(|details, _, emit| push(details, P::Interface, "carrier", 0, emit))],
    )
    .of(Set::Node("netclass")),
    counter(
        "node_network_carrier_changes_total",
        "Network device property: carrier_changes_total.",
        &[detail(|details, _, emit| push(details, P::Interface, "carrier_changes", 0, emit))],
    )
    .of(Set::Node("netclass")),
    counter(
        "node_network_carrier_down_changes_total",
        "Network device property: carrier_down_changes_total.",
        &[detail(|details, _, emit| push(details, P::Interface, "carrier_down_count", 0, emit))],
    )
    .of(Set::Node("netclass")),
    counter(
        "node_network_carrier_up_changes_total",
        "Network device property: carrier_up_changes_total.",
        &[detail(|details, _, emit| push(details, P::Interface, "carrier_up_count", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_device_id",
        "Network device property: device_id.",
        &[detail(|details, _, emit| push(details, P::Interface, "dev_id", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_dormant",
        "Network device property: dormant.",
        &[detail(|details, _, emit| push(details, P::Interface, "dormant", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_flags",
        "Network device property: flags.",
        &[detail(|details, _, emit| push(details, P::Interface, "flags", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_iface_id",
        "Network device property: iface_id.",
        &[detail(|details, _, emit| push(details, P::Interface, "ifindex", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_iface_link",
        "Network device property: iface_link.",
        &[detail(|details, _, emit| push(details, P::Interface, "iflink", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_iface_link_mode",
        "Network device property: iface_link_mode.",
        &[detail(|details, _, emit| push(details, P::Interface, "link_mode", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_mtu_bytes",
        "Network device property: mtu_bytes.",
        &[detail(|details, _, emit| push(details, P::Interface, "mtu", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_name_assign_type",
        "Network device property: name_assign_type.",
        &[detail(|details, _, emit| push(details, P::Interface, "name_assign_type", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_net_dev_group",
        "Network device property: net_dev_group.",
        &[detail(|details, _, emit| push(details, P::Interface, "netdev_group", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_protocol_type",
        "Network device property: protocol_type.",
        &[detail(|details, _, emit| push(details, P::Interface, "type", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_transmit_queue_length",
        "Network device property: transmit_queue_length.",
        &[detail(|details, _, emit| push(details, P::Interface, "tx_queue_len", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_up",
        "Value is 1 if operstate is 'up', 0 otherwise.",
        &[detail(|details, _, emit| push(details, P::Interface, "up", 0, emit))],
    )
    .of(Set::Node("netclass")),
    gauge(
        "node_network_speed_bytes",
        "Network device property: speed_bytes.",
        &[detail(|details, _, emit| push_times(details, P::Interface, "speed", 125_000, emit))],
    )
    .of(Set::Node("netclass")),
    info(
        "node_network_info",
        "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
        &[detail(|details, _, emit| push_info(details, P::InterfaceInfo, emit))],
    )
    .of(Set::Node("netclass")),
    counter(
        "node_network_receive_nohandler_total",
        "Network device statistic receive_nohandler.",
        &[detail(|details, _, emit| push(details, P::InterfaceStatistics, "rx_nohandler", 0, emit))],
    )
    .of(Set::Node("netdev")),
];
