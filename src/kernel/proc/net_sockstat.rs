//! `/proc/PID/net/sockstat` and `sockstat6`: how many sockets a network namespace has, by protocol.
//!
//! In: lines such as `TCP: inuse 4 orphan 0`. Out: one [`Sockstat`] per pair. Source: `net/ipv4/proc.c`, `net/ipv6/proc.c`.
//! Never reads, never allocates. Next: the details of the node in `sample/`.

use crate::kernel::parse::{complete_lines, decimal, fields, split_once};

/// One number of one protocol; a gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sockstat<'a> {
    /// `sockets`, `TCP`, `UDP6`, ...
    pub protocol: &'a [u8],
    /// `used`, `inuse`, `mem` (pages), `memory` (bytes), ...
    pub key: &'a [u8],
    /// The number; a negative one, which the kernel may print for a moment, is left out.
    pub value: u64,
}

/// The pairs of the file, in its order.
pub fn parse_sockstat(bytes: &[u8]) -> impl Iterator<Item = Sockstat<'_>> {
    complete_lines(bytes).filter_map(|line| split_once(line, b':')).flat_map(|(protocol, pairs)| {
        let mut pairs = fields(pairs);
        std::iter::from_fn(move || Some((pairs.next()?, pairs.next()?)))
            .filter_map(move |(key, value)| Some(Sockstat { protocol, key, value: decimal(value)? }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
sockets: used 269
TCP: inuse 197 orphan 0 tw 22 alloc 198 mem 150
UDP: inuse 1 mem 0
UDPLITE: inuse 0
RAW: inuse 0
FRAG: inuse 0 memory 0
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_sockstat(bytes).map(|one| (format!("{:?} {:?}", one.protocol, one.key), Some(one.value))))
    }

    #[test]
    fn a_line_has_its_protocols_pairs() {
        let all: Vec<_> =
            parse_sockstat(b"sockets: used 27\nFRAG6: inuse 1 memory 2\nRAW: inuse -3\nUDP: inuse\n").collect();
        let one = |protocol, key, value| Sockstat { protocol, key, value };
        assert_eq!(all, [one(b"sockets", b"used", 27), one(b"FRAG6", b"inuse", 1), one(b"FRAG6", b"memory", 2)]);
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 12, values);
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
