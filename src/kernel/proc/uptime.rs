//! `/proc/uptime`: how long the node is up.
//!
//! In: `1640.14 2296.70`. Out: milliseconds (the kernel prints hundredths of a second). Source:
//! `Documentation/filesystems/proc.rst`. Never reads. Next: the node reader of `sample/`.

use crate::kernel::parse::{fields, hundredths, only_line};

/// The fields of `/proc/uptime`; both are `None` when the line is torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uptime {
    /// Field 1: time since boot, sleep included; ms, counter.
    pub uptime_msec: Option<u64>,
    /// Field 2: idle time of all CPUs added up; ms, counter.
    pub idle_msec: Option<u64>,
}

/// Parses `/proc/uptime`.
#[must_use]
pub fn parse_uptime(bytes: &[u8]) -> Uptime {
    let Ok(line) = only_line(bytes) else { return Uptime::default() };
    let mut fields = fields(line);
    let mut msec = || hundredths(fields.next()?)?.checked_mul(10);
    Uptime { uptime_msec: msec(), idle_msec: msec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"1640.14 2296.70\n";

    fn values(bytes: &[u8]) -> testing::Values {
        let uptime = parse_uptime(bytes);
        testing::named([("uptime", uptime.uptime_msec), ("idle", uptime.idle_msec)])
    }

    #[test]
    fn hundredths_of_a_second_become_milliseconds() {
        assert_eq!(parse_uptime(SAMPLE), Uptime { uptime_msec: Some(1_640_140), idle_msec: Some(2_296_700) });
    }

    #[test]
    fn a_cut_or_damaged_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 2, values);
        testing::bad_numbers_are_absent(SAMPLE, values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
