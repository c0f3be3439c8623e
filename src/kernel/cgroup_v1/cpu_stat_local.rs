//! `cpu.stat.local` of the v1 cpu controller: throttling of this cgroup itself.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `kernel/sched/core.c`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of v1 `cpu.stat.local`; Linux 6.6 and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuStatLocal {
    /// `throttled_time`: time that its tasks were held back, by its own quota or an ancestor's; nanoseconds, counter.
    pub throttled_time_nsec: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<CpuStatLocal>] =
    &[Key { name: b"throttled_time", slot: |stat| &mut stat.throttled_time_nsec }];

/// Parses v1 `cpu.stat.local`.
#[must_use]
pub fn parse_cpu_stat_local(bytes: &[u8]) -> CpuStatLocal {
    let mut stat = CpuStatLocal::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
throttled_time 987654321
";

    #[test]
    fn local_throttling_is_in_nanoseconds() {
        assert_eq!(parse_cpu_stat_local(SAMPLE).throttled_time_nsec, Some(987_654_321));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 1, |bytes| testing::keyed(KEYS, parse_cpu_stat_local(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_cpu_stat_local(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_cpu_stat_local(bytes)));
    }
}
