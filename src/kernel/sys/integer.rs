//! A file of `/sys` with one integer: `1500`, `-1`, `0x1003`.
//!
//! In: the file's bytes. Out: the number. Source: `Documentation/ABI/testing/sysfs-class-net`, `-thermal`, `-cpufreq`.
//! Never reads, never allocates. Next: the details of the node in `sample/`.

use crate::kernel::parse::{decimal, hexadecimal, only_line};

/// The number; `None` when the file is torn, has another form or does not fit.
#[must_use]
pub fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let line = only_line(bytes).ok()?.trim_ascii();
    if let Some(digits) = line.strip_prefix(b"0x") {
        return i64::try_from(hexadecimal(digits)?).ok();
    }
    match line.strip_prefix(b"-") {
        Some(digits) => 0i64.checked_sub_unsigned(decimal(digits)?),
        None => i64::try_from(decimal(line)?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    #[test]
    fn an_integer_may_be_negative_or_hexadecimal_and_needs_its_newline() {
        for (text, value) in [
            ("1400\n", Some(1400)),
            ("-1\n", Some(-1)),
            ("0x1003\n", Some(0x1003)),
            ("9223372036854775807\n", Some(i64::MAX)),
            ("-9223372036854775808\n", Some(i64::MIN)),
            ("9223372036854775808\n", None),
            ("-9223372036854775809\n", None),
            ("0xffffffffffffffff\n", None),
            ("14", None),
            ("--1\n", None),
            ("0x\n", None),
            ("unknown\n", None),
            ("1\n2\n", None),
            ("", None),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(b"1400\n", |bytes| {
            testing::named([("value", parse_integer(bytes).and_then(|value| u64::try_from(value).ok()))])
        });
    }
}
