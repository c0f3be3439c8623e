//! `cpuacct.stat` of cgroup v1: user and kernel time in clock ticks.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v1/cpuacct.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `cpuacct.stat`. A tick is 1/`USER_HZ` s, 10 ms; a hybrid machine has finer numbers in the unified `cpu.stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuacctStat {
    /// `user`: time in user mode; ticks, counter.
    pub user_ticks: Option<u64>,
    /// `system`: time in the kernel; ticks, counter.
    pub system_ticks: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<CpuacctStat>] = &[
    Key { name: b"user", slot: |stat| &mut stat.user_ticks },
    Key { name: b"system", slot: |stat| &mut stat.system_ticks },
];

/// Parses `cpuacct.stat`.
#[must_use]
pub fn parse_cpuacct_stat(bytes: &[u8]) -> CpuacctStat {
    let mut stat = CpuacctStat::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
user 71915
system 23421
";

    #[test]
    fn times_are_ticks() {
        let stat = parse_cpuacct_stat(SAMPLE);
        assert_eq!((stat.user_ticks, stat.system_ticks), (Some(71_915), Some(23_421)));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 2, |bytes| testing::keyed(KEYS, parse_cpuacct_stat(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_cpuacct_stat(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_cpuacct_stat(bytes)));
    }
}
