//! `/proc/PID/net/dev`: traffic of each interface of one network namespace.
//!
//! In: two header lines, then `eth0: ` and 16 columns. Out: one [`Interface`] per line. Source:
//! `Documentation/filesystems/proc.rst`, `net/core/net-procfs.c`. Old kernels glue name and number (`eth0:1234`), and a
//! name may hold any byte but blanks and `/`, so the name ends at the last colon. Never reads (and a descriptor on this
//! file must never be kept: it would hold the namespace alive), never allocates. Next: the network reader of `sample/`.

use crate::kernel::parse::{Lines, complete_lines, fields, rsplit_once};

/// One line of `net/dev`; all columns are counters since the interface began, `None` when the column is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface<'a> {
    /// The interface's name; not always UTF-8.
    pub name: &'a [u8],
    /// Column 1: bytes received; counter.
    pub rx_bytes: Option<u64>,
    /// Column 2: packets received; counter.
    pub rx_packets: Option<u64>,
    /// Column 3: receive errors; counter.
    pub rx_errs: Option<u64>,
    /// Column 4: packets dropped received; counter.
    pub rx_drop: Option<u64>,
    /// Column 5: FIFO overruns received; counter.
    pub rx_fifo: Option<u64>,
    /// Column 6: framing receive errors; counter.
    pub rx_frame: Option<u64>,
    /// Column 7: compressed packets received; counter.
    pub rx_compressed: Option<u64>,
    /// Column 8: multicast frames received; counter.
    pub rx_multicast: Option<u64>,
    /// Column 9: bytes sent; counter.
    pub tx_bytes: Option<u64>,
    /// Column 10: packets sent; counter.
    pub tx_packets: Option<u64>,
    /// Column 11: send errors; counter.
    pub tx_errs: Option<u64>,
    /// Column 12: packets dropped sent; counter.
    pub tx_drop: Option<u64>,
    /// Column 13: FIFO overruns sent; counter.
    pub tx_fifo: Option<u64>,
    /// Column 14: collisions sent; counter.
    pub tx_colls: Option<u64>,
    /// Column 15: carrier losses sent; counter.
    pub tx_carrier: Option<u64>,
    /// Column 16: compressed packets sent; counter.
    pub tx_compressed: Option<u64>,
}

/// Iterator over the interfaces of `net/dev`; see [`parse_net_dev`].
#[derive(Debug, Clone)]
pub struct Interfaces<'a> {
    lines: Lines<'a>,
}

/// The interfaces of `net/dev`, in file order.
#[must_use]
pub const fn parse_net_dev(bytes: &[u8]) -> Interfaces<'_> {
    Interfaces { lines: complete_lines(bytes) }
}

impl<'a> Iterator for Interfaces<'a> {
    type Item = Interface<'a>;

    fn next(&mut self) -> Option<Interface<'a>> {
        self.lines.by_ref().find_map(interface)
    }
}

/// One line; `None` for the two header lines, which have no colon.
fn interface(line: &[u8]) -> Option<Interface<'_>> {
    let (name, columns) = rsplit_once(line, b':')?;
    let mut columns = fields(columns);
    Some(Interface {
        name: name.trim_ascii_start(),
        rx_bytes: columns.decimal(),
        rx_packets: columns.decimal(),
        rx_errs: columns.decimal(),
        rx_drop: columns.decimal(),
        rx_fifo: columns.decimal(),
        rx_frame: columns.decimal(),
        rx_compressed: columns.decimal(),
        rx_multicast: columns.decimal(),
        tx_bytes: columns.decimal(),
        tx_packets: columns.decimal(),
        tx_errs: columns.decimal(),
        tx_drop: columns.decimal(),
        tx_fifo: columns.decimal(),
        tx_colls: columns.decimal(),
        tx_carrier: columns.decimal(),
        tx_compressed: columns.decimal(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:   50211     585    0    0    0     0          0         0    50211     585    0    0    0     0       0          0
  eth0: 522237751   27805    1    2    3     4          5         6  1595181   16350    7    8    9     10       11          12
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_net_dev(bytes).flat_map(|line| {
            [
                ("rx_bytes", line.rx_bytes),
                ("rx_packets", line.rx_packets),
                ("rx_errs", line.rx_errs),
                ("rx_drop", line.rx_drop),
                ("rx_fifo", line.rx_fifo),
                ("rx_frame", line.rx_frame),
                ("rx_compressed", line.rx_compressed),
                ("rx_multicast", line.rx_multicast),
                ("tx_bytes", line.tx_bytes),
                ("tx_packets", line.tx_packets),
                ("tx_errs", line.tx_errs),
                ("tx_drop", line.tx_drop),
                ("tx_fifo", line.tx_fifo),
                ("tx_colls", line.tx_colls),
                ("tx_carrier", line.tx_carrier),
                ("tx_compressed", line.tx_compressed),
            ]
            .map(|(column, value)| (format!("{:?} {column}", line.name), value))
        }))
    }

    #[test]
    fn received_and_sent_columns_are_not_mixed_up() {
        let interfaces: Vec<_> = parse_net_dev(SAMPLE).collect();
        assert_eq!(interfaces.len(), 2);
        let eth0 = interfaces[1];
        assert_eq!((eth0.name, eth0.rx_bytes, eth0.rx_packets), (&b"eth0"[..], Some(522_237_751), Some(27_805)));
        assert_eq!(
            (eth0.rx_errs, eth0.rx_drop, eth0.rx_fifo, eth0.rx_frame, eth0.rx_compressed, eth0.rx_multicast),
            (Some(1), Some(2), Some(3), Some(4), Some(5), Some(6))
        );
        assert_eq!((eth0.tx_bytes, eth0.tx_packets, eth0.tx_errs), (Some(1_595_181), Some(16_350), Some(7)));
        assert_eq!(
            (eth0.tx_drop, eth0.tx_fifo, eth0.tx_colls, eth0.tx_carrier, eth0.tx_compressed),
            (Some(8), Some(9), Some(10), Some(11), Some(12))
        );
    }

    #[test]
    fn a_name_may_be_glued_to_its_number_hold_colons_or_be_no_utf8() {
        let found: Vec<_> = parse_net_dev(b"eth0:1234 5\n a:b:7\n \xff\xfe: 8\nno colon\n")
            .map(|line| (line.name, line.rx_bytes))
            .collect();
        assert_eq!(found, [(&b"eth0"[..], Some(1234)), (b"a:b", Some(7)), (b"\xff\xfe", Some(8))]);
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 32, values);
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
