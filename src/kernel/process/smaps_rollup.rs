//! `/proc/PID/smaps_rollup`: the memory of one process that was touched since its marks were last cleared.
//!
//! In: the file's lines. Out: bytes. Source: `Documentation/ABI/testing/procfs-smaps_rollup`. Reading it makes the kernel
//! walk the process's page tables. Never reads. Next: the referenced-memory reader of `sample/details/`.

use crate::kernel::parse::{complete_lines, decimal, fields};

/// `Referenced:` in bytes; `None` when it is not there or not in kB.
#[must_use]
pub fn parse_referenced(bytes: &[u8]) -> Option<u64> {
    let value = complete_lines(bytes).find_map(|line| line.strip_prefix(b"Referenced:"))?;
    let mut columns = fields(value);
    let kib = decimal(columns.next()?)?;
    (columns.next() == Some(b"kB")).then(|| kib.checked_mul(1024))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
55d4c9c3c000-7ffd5c1f1000 ---p 00000000 00:00 0                          [rollup]
Rss:                1812 kB
Pss:                 216 kB
Private_Dirty:       108 kB
Referenced:         1700 kB
Anonymous:           108 kB
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named([("referenced", parse_referenced(bytes))])
    }

    #[test]
    fn kilobytes_become_bytes() {
        assert_eq!(parse_referenced(SAMPLE), Some(1_740_800));
        assert_eq!(parse_referenced(b"Referenced: 5 MB\n"), None);
        assert_eq!(parse_referenced(b"Referenced: 18446744073709551615 kB\n"), None);
    }

    #[test]
    fn a_cut_file_and_any_bytes_are_survived() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 1, values);
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
