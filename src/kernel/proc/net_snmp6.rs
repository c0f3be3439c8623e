//! `/proc/PID/net/snmp6`: the counters of IPv6, ICMPv6 and UDP over IPv6 of a network namespace.
//!
//! In: lines of a name and a number. Out: the pairs. Source: `net/ipv6/proc.c`. Never reads, never allocates. Next: the
//! details of the node in `sample/`.

use crate::kernel::parse::{complete_lines, decimal, fields};

/// The names (`Ip6InOctets`) and numbers of the file, in its order.
pub fn parse_snmp6(bytes: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    complete_lines(bytes).filter_map(|line| {
        let mut words = fields(line);
        let (name, value) = (words.next()?, decimal(words.next()?)?);
        words.next().is_none().then_some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
Ip6InReceives                   	10722
Ip6InHdrErrors                  	0
Ip6InTooBigErrors               	0
Ip6InNoRoutes                   	0
Ip6InAddrErrors                 	0
Ip6InUnknownProtos              	0
Ip6InTruncatedPkts              	0
Ip6InDiscards                   	0
Ip6InDelivers                   	7794
Ip6OutForwDatagrams             	0
Ip6OutRequests                  	15934
Ip6OutDiscards                  	57
Ip6OutNoRoutes                  	0
Ip6ReasmTimeout                 	0
Ip6ReasmReqds                   	0
Ip6ReasmOKs                     	0
Ip6ReasmFails                   	0
Ip6FragOKs                      	0
Ip6FragFails                    	0
Ip6FragCreates                  	0
Ip6InMcastPkts                  	2928
Ip6OutMcastPkts                 	8136
Ip6InOctets                     	2160774
Ip6OutOctets                    	2601486
Ip6InMcastOctets                	194808
Ip6OutMcastOctets               	635200
Ip6InBcastOctets                	0
Ip6OutBcastOctets               	0
Ip6InNoECTPkts                  	10722
Ip6InECT1Pkts                   	0
Ip6InECT0Pkts                   	0
Ip6InCEPkts                     	0
Ip6OutTransmits                 	15934
Icmp6InMsgs                     	4
Icmp6InErrors                   	2
Icmp6OutMsgs                    	8074
Icmp6OutErrors                  	0
Icmp6InCsumErrors               	0
Icmp6OutRateLimitHost           	0
Icmp6InDestUnreachs             	4
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_snmp6(bytes).map(|(name, value)| (format!("{name:?}"), Some(value))))
    }

    #[test]
    fn a_line_is_a_name_and_a_number() {
        let all: Vec<_> = parse_snmp6(b"Ip6InOctets   \t2158662\nIcmp6InErrors\nUdp6NoPorts 1 2\n").collect();
        assert_eq!(all, [(&b"Ip6InOctets"[..], 2_158_662)]);
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 38, values);
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
