//! The cgroup files that hold one number or `max`.
//!
//! In: the bytes of `memory.current`, `memory.peak`, `memory.max`, `pids.current`, `cpu.weight`, `cpu.idle`,
//! `cpu.max.burst`, `hugetlb.SIZE.current` and their like. Out: the number in the file's own unit (bytes, µs, count),
//! or a [`Limit`]. Source: `Documentation/admin-guide/cgroup-v2.rst`. A file without its newline is refused:
//! `123456` cut to `123` must not become a value. Never reads. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Malformed, decimal, only_line};
use crate::units::Limit;

/// Parses a file of one number.
///
/// # Errors
/// [`Malformed`] when the file is not exactly one number and a newline.
#[inline]
pub fn parse_value(bytes: &[u8]) -> Result<u64, Malformed> {
    decimal(only_line(bytes)?).ok_or(Malformed)
}

/// Parses a file of one number or `max`.
///
/// # Errors
/// [`Malformed`] when the file is neither of them with a newline.
#[inline]
pub fn parse_limit(bytes: &[u8]) -> Result<Limit, Malformed> {
    limit(only_line(bytes)?)
}

/// `max` or a number.
#[inline]
pub(crate) fn limit(text: &[u8]) -> Result<Limit, Malformed> {
    if text == b"max" { Ok(Limit::Unlimited) } else { decimal(text).map(Limit::At).ok_or(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    #[test]
    fn a_value_is_one_number_and_a_newline() {
        assert_eq!(parse_value(b"5242880\n"), Ok(5_242_880));
        assert_eq!(parse_value(b"18446744073709551615\r\n"), Ok(u64::MAX));
        for bad in
            [&b""[..], b"\n", b"123", b"-1\n", b"max\n", b"18446744073709551616\n", b"1\n2\n", b"1 2\n", b"\xff\n"]
        {
            assert_eq!(parse_value(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn max_is_unlimited_and_never_a_number() {
        assert_eq!(parse_limit(b"max\n"), Ok(Limit::Unlimited));
        assert_eq!(parse_limit(b"0\n"), Ok(Limit::At(0)));
        for bad in [&b"max"[..], b"ma\n", b"-1\n", b"maximum\n", b"\n"] {
            assert_eq!(parse_limit(bad), Err(Malformed), "{bad:?}");
        }
    }

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named([("value", parse_value(bytes).ok()), ("limit", parse_limit(bytes).ok().and_then(Limit::at))])
    }

    #[test]
    fn a_cut_file_gives_no_value() {
        testing::cut_anywhere_is_true_or_absent(b"123456\n", 2, values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(b"123456\n", values);
        testing::bad_numbers_are_absent(b"123456\n", values);
    }
}
