//! `/proc/PID/net/arp`: the neighbours that a network namespace knows by IPv4.
//!
//! In: a header line, then one line per entry whose last word is its device. Out: the devices. Source: `net/ipv4/arp.c`.
//! Never reads, never allocates. Next: the details of the node in `sample/`.

use crate::kernel::parse::{complete_lines, fields};

/// The device of each entry, in the file's order; not always UTF-8.
pub fn parse_arp(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    complete_lines(bytes).skip(1).filter_map(|line| {
        // Address, type, flags, hardware address, mask, device.
        let mut words = fields(line);
        let device = words.nth(5)?;
        words.next().is_none().then_some(device)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
IP address       HW type     Flags       HW address            Mask     Device
10.89.1.2        0x1         0x2         12:a1:63:92:c5:60     *        rs1
192.0.2.1        0x1         0x2         02:fc:00:00:00:05     *        eth0
10.89.1.4        0x1         0x2         36:e4:1b:bb:e9:f1     *        rs1
";

    #[test]
    fn an_entry_has_its_device_at_the_end() {
        assert_eq!(parse_arp(SAMPLE).collect::<Vec<_>>(), [&b"rs1"[..], b"eth0", b"rs1"]);
        assert_eq!(parse_arp(&SAMPLE[..SAMPLE.len() - 1]).count(), 2, "a torn line");
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| {
            testing::named([("entries", Some(parse_arp(bytes).count() as u64))])
        });
    }
}
