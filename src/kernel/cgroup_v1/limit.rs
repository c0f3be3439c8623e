//! The limits of cgroup v1, which have no word for "none".
//!
//! In: `cpu.cfs_quota_us`, `memory.limit_in_bytes`, `memory.soft_limit_in_bytes`, `memory.memsw.limit_in_bytes`,
//! `hugetlb.SIZE.limit_in_bytes`. Out: [`Limit`], so that -1 and 2^63 travel no further.
//! Source: `Documentation/admin-guide/cgroup-v1/memory.rst`, `Documentation/scheduler/sched-bwc.rst`.
//! `pids.max` prints `max` as in v2 ([`parse_limit`](crate::kernel::cgroup::parse_limit)).
//! Never reads. Next: the cgroup reader of `sample/`.

use crate::kernel::cgroup::parse_value;
use crate::kernel::parse::{Malformed, decimal, only_line};
use crate::units::Limit;

/// From here on a limit in bytes means none. The kernel prints `PAGE_COUNTER_MAX` in whole pages, 9223372036854771712
/// with pages of 4 KiB and less with bigger ones, and hugetlb the same in whole huge pages; no machine has 4 EiB.
const UNLIMITED_FROM_BYTES: u64 = 1 << 62;

/// Parses a v1 limit in bytes.
///
/// # Errors
/// [`Malformed`] when the file is not exactly one number and a newline.
pub fn parse_limit_in_bytes(bytes: &[u8]) -> Result<Limit, Malformed> {
    let value = parse_value(bytes)?;
    Ok(if value >= UNLIMITED_FROM_BYTES { Limit::Unlimited } else { Limit::At(value) })
}

/// Parses `cpu.cfs_quota_us`: µs in each `cpu.cfs_period_us`, -1 for none.
///
/// # Errors
/// [`Malformed`] when the file is neither a number nor -1, with a newline.
pub fn parse_cfs_quota(bytes: &[u8]) -> Result<Limit, Malformed> {
    let line = only_line(bytes)?;
    if line == b"-1" { Ok(Limit::Unlimited) } else { decimal(line).map(Limit::At).ok_or(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    fn values(bytes: &[u8]) -> testing::Values {
        let at = |limit: Result<Limit, Malformed>| limit.ok().and_then(Limit::at);
        testing::named([("bytes", at(parse_limit_in_bytes(bytes))), ("quota", at(parse_cfs_quota(bytes)))])
    }

    #[test]
    fn a_number_near_2_63_is_unlimited_for_every_page_size() {
        for text in [
            "9223372036854771712\n",
            "9223372036854710272\n",
            "9223372036854775807\n",
            "9223372036852678656\n",
            "18446744073709551615\n",
        ] {
            assert_eq!(parse_limit_in_bytes(text.as_bytes()), Ok(Limit::Unlimited), "{text}");
        }
        assert_eq!(parse_limit_in_bytes(b"536870912\n"), Ok(Limit::At(536_870_912)));
        assert_eq!(parse_limit_in_bytes(b"-1\n"), Err(Malformed));
        assert_eq!(parse_limit_in_bytes(b"18446744073709551616\n"), Err(Malformed));
    }

    #[test]
    fn minus_one_is_no_quota_and_no_other_negative_is() {
        assert_eq!(parse_cfs_quota(b"-1\n"), Ok(Limit::Unlimited));
        assert_eq!(parse_cfs_quota(b"50000\n"), Ok(Limit::At(50_000)));
        assert_eq!(parse_cfs_quota(b"-2\n"), Err(Malformed));
        assert_eq!(parse_cfs_quota(b"-1"), Err(Malformed));
        assert_eq!(parse_cfs_quota(b"-\n"), Err(Malformed));
    }

    #[test]
    fn a_cut_or_damaged_file_gives_no_value() {
        testing::cut_anywhere_is_true_or_absent(b"536870912\n", 2, values);
        testing::bad_numbers_are_absent(b"536870912\n", values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(b"536870912\n", values);
    }
}
