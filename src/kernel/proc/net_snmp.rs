//! `/proc/PID/net/snmp` and `netstat`: the counters of IPv4, TCP and UDP of a network namespace.
//!
//! In: pairs of lines, names (`Tcp: ActiveOpens …`) above numbers (`Tcp: 244585 …`). Out: one [`Snmp`] per column. Source:
//! `net/ipv4/proc.c`, RFC 1213. Never reads, never allocates. Next: the details of the node in `sample/`.

use crate::kernel::parse::{complete_lines, decimal, fields, split_once};

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snmp<'a> {
    /// `Ip`, `Tcp`, `TcpExt`, ...
    pub protocol: &'a [u8],
    /// The column's name.
    pub key: &'a [u8],
    /// The number; a negative one (`MaxConn`) is left out.
    pub value: u64,
}

/// The columns of the file, in its order. Lines that are no pair are left out.
pub fn parse_snmp(bytes: &[u8]) -> impl Iterator<Item = Snmp<'_>> {
    let mut lines = complete_lines(bytes).filter_map(|line| split_once(line, b':'));
    let mut names = lines.next();
    std::iter::from_fn(move || {
        loop {
            let above = names.take()?;
            let below = lines.next()?;
            if above.0 == below.0 && fields(above.1).count() == fields(below.1).count() {
                names = lines.next();
                return Some((above.0, above.1, below.1));
            }
            names = Some(below);
        }
    })
    .flat_map(|(protocol, keys, values)| {
        fields(keys)
            .zip(fields(values))
            .filter_map(move |(key, value)| Some(Snmp { protocol, key, value: decimal(value)? }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits
Ip: 1 64 6586865 0 0 15 0 0 6586850 6506966 0 4589 0 0 0 0 0 0 0 6506981
Icmp: InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks OutAddrMaskReps
Icmp: 1704 0 0 331 0 0 0 0 1373 0 0 0 0 0 1756 0 0 0 364 0 0 0 0 19 1373 0 0 0 0
IcmpMsg: InType3 InType8 OutType0 OutType3 OutType8
IcmpMsg: 331 1373 1373 364 19
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 244892 223417 13935 46504 185 6588082 6650666 7974 3 58502 0
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 4798 56 0 4812 0 0 0 0 0
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
UdpLite: 0 0 0 0 0 0 0 0 0
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_snmp(bytes).map(|one| (format!("{:?} {:?}", one.protocol, one.key), Some(one.value))))
    }

    fn found(bytes: &[u8], protocol: &[u8], key: &[u8]) -> Option<u64> {
        parse_snmp(bytes).find(|one| one.protocol == protocol && one.key == key).map(|one| one.value)
    }

    #[test]
    fn a_number_belongs_to_the_name_above_it() {
        assert_eq!(found(SAMPLE, b"Ip", b"Forwarding"), Some(1));
        assert_eq!(found(SAMPLE, b"Tcp", b"MaxConn"), None, "-1");
        assert_eq!(found(SAMPLE, b"Tcp", b"OutRsts"), Some(58_502));
        assert_eq!(found(SAMPLE, b"UdpLite", b"InErrors"), Some(0));
    }

    #[test]
    fn a_line_without_its_partner_does_not_shift_the_others() {
        let bytes = b"A: x y\nB: u\nB: 5\nC: v w\nC: 6\nno colon\nD: t\nD: 7\n";
        let all: Vec<_> = parse_snmp(bytes).map(|one| (one.protocol, one.key, one.value)).collect();
        assert_eq!(all, [(&b"B"[..], &b"u"[..], 5), (b"D", b"t", 7)]);
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 80, values);
    }

    #[test]
    fn a_number_that_is_none_is_absent_and_harms_no_other() {
        let bytes = b"Udp: a b c d\nUdp: 1 -1 0x1f 18446744073709551615\n";
        let all: Vec<_> = parse_snmp(bytes).map(|one| (one.key, one.value)).collect();
        assert_eq!(all, [(&b"a"[..], 1), (b"d", u64::MAX)]);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
