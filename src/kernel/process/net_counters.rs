//! `/proc/PID/net/netstat` and `/proc/PID/net/snmp`: the protocol counters of a network namespace.
//!
//! In: pairs of lines, names and then values, each after its protocol (`TcpExt:`). Out: pairs of a name and a number.
//! Source: `Documentation/networking/snmp_counter.rst`. Names come and go with kernels, so that a value is found by its
//! name and never by its place. Never reads. Next: the counter reader of `sample/details/`.

use crate::kernel::parse::{Fields, complete_lines, decimal, fields};

/// Iterator over names and values; see [`net_counters`].
#[derive(Debug, Clone)]
pub struct Counters<'a> {
    names: Fields<'a>,
    values: Fields<'a>,
}

/// The counters of `protocol` (with its colon: `Tcp:`), in file order. A value that is no number (`MaxConn` is -1 where
/// there is no limit) has none. Nothing when a line is missing, torn, or the two do not have as many fields.
#[must_use]
pub fn net_counters<'a>(bytes: &'a [u8], protocol: &[u8]) -> Counters<'a> {
    let mut lines = complete_lines(bytes).filter_map(|line| {
        let mut columns = fields(line);
        (columns.next() == Some(protocol)).then_some(columns)
    });
    match (lines.next(), lines.next()) {
        (Some(names), Some(values)) if names.clone().count() == values.clone().count() => Counters { names, values },
        _ => Counters { names: fields(b""), values: fields(b"") },
    }
}

impl<'a> Iterator for Counters<'a> {
    type Item = (&'a [u8], Option<u64>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.names.next()?, decimal(self.values.next()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens
Tcp: 1 200 120000 -1 42
TcpExt: SyncookiesSent
TcpExt: 7
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(net_counters(bytes, b"Tcp:").map(|(name, value)| (String::from_utf8_lossy(name), value)))
    }

    #[test]
    fn each_protocol_has_its_own_pair_of_lines() {
        let tcp: Vec<_> = net_counters(SAMPLE, b"Tcp:").collect();
        assert_eq!(tcp.len(), 5);
        assert_eq!(tcp[0], (&b"RtoAlgorithm"[..], Some(1)));
        assert_eq!(tcp[3], (&b"MaxConn"[..], None));
        assert_eq!(tcp[4], (&b"ActiveOpens"[..], Some(42)));
        assert_eq!(net_counters(SAMPLE, b"TcpExt:").collect::<Vec<_>>(), [(&b"SyncookiesSent"[..], Some(7))]);
        assert_eq!(net_counters(SAMPLE, b"Udp:").count(), 0);
        assert_eq!(net_counters(b"Tcp: A B\nTcp: 1\n", b"Tcp:").count(), 0, "a torn pair");
    }

    #[test]
    fn a_cut_file_and_any_bytes_are_survived() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 4, values);
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
