//! `/proc/PID/net/udp` and `udp6`: the sockets of a network namespace and what waits in their queues.
//!
//! In: a header line, then one line per socket. Out: the queues of each. Source: `net/ipv4/udp.c`,
//! `Documentation/networking/proc_net_tcp.rst`. The file is as long as there are sockets: never at the pace of the tick.
//! Never reads, never allocates. Next: the details of the node in `sample/`.

use crate::kernel::parse::{complete_lines, fields, hexadecimal, split_once};

/// One socket's queues; bytes, gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpQueues {
    /// What waits to be sent.
    pub tx_bytes: u64,
    /// What waits to be read.
    pub rx_bytes: u64,
}

/// The queues of each socket, in the file's order.
pub fn parse_udp(bytes: &[u8]) -> impl Iterator<Item = UdpQueues> {
    complete_lines(bytes).skip(1).filter_map(|line| {
        // Slot, local address, remote address, state, queues.
        let (tx, rx) = split_once(fields(line).nth(4)?, b':')?;
        Some(UdpQueues { tx_bytes: hexadecimal(tx)?, rx_bytes: hexadecimal(rx)? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            
13733: 0100007F:ED80 00000000:0000 07 00000000:00000500 00:00000000 00000000     0        0 3789347 2 0000000095cc471a 0       
";

    #[test]
    fn queues_are_hexadecimal_bytes() {
        assert_eq!(parse_udp(SAMPLE).collect::<Vec<_>>(), [UdpQueues { tx_bytes: 0, rx_bytes: 0x500 }]);
        assert_eq!(
            parse_udp(b"header\n 1: a b 07 0000000A:000000FF 0\n").next(),
            Some(UdpQueues { tx_bytes: 10, rx_bytes: 255 })
        );
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| {
            testing::named([("sockets", Some(parse_udp(bytes).count() as u64))])
        });
    }
}
