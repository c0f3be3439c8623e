//! `/proc/PID/net/stat/nf_conntrack`: what connection tracking did on each CPU.
//!
//! In: a line of names, then one line of hexadecimal numbers for each CPU. Out: the columns. Source:
//! `net/netfilter/nf_conntrack_standalone.c`. Never reads, never allocates. Next: the details of the node in `sample/`.

use crate::kernel::parse::{complete_lines, fields, hexadecimal};

/// The numbers of the column `name`, one per CPU; nothing where the kernel has no such column. A number that is none
/// is `None`.
pub fn parse_nf_conntrack<'a>(bytes: &'a [u8], name: &[u8]) -> impl Iterator<Item = Option<u64>> + use<'a> {
    let mut lines = complete_lines(bytes);
    let column = lines.next().and_then(|names| fields(names).position(|found| found == name));
    lines.filter_map(move |line| Some(fields(line).nth(column?).and_then(hexadecimal)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
000008c3  00000000 0000001b 00000000 000000da 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000  00000000 00000000 00000000 00000000
000008c3  00000000 00000014 00000000 0000012b 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000  00000000 00000000 00000000 00000000
";

    #[test]
    fn a_column_is_found_by_its_name_and_has_a_number_for_each_cpu() {
        let found = |name: &[u8]| parse_nf_conntrack(SAMPLE, name).collect::<Vec<_>>();
        assert_eq!(found(b"found"), [Some(0x1b), Some(0x14)]);
        assert_eq!(found(b"search_restart"), [Some(0), Some(0)]);
        assert_eq!(found(b"sought"), []);
        assert_eq!(parse_nf_conntrack(b"a b\n1\nff x\n", b"b").collect::<Vec<_>>(), [None, None]);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| {
            testing::named([("drops", parse_nf_conntrack(bytes, b"drop").flatten().next())])
        });
    }
}
