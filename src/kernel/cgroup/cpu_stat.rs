//! `cpu.stat` of cgroup v2: CPU time and what the quota cost.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `cpu.stat`. The three usage keys are there without the cpu controller too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuStat {
    /// `usage_usec`: CPU time used; usec, counter.
    pub usage_usec: Option<u64>,
    /// `user_usec`: of it in user mode; usec, counter.
    pub user_usec: Option<u64>,
    /// `system_usec`: of it in the kernel; usec, counter.
    pub system_usec: Option<u64>,
    /// `nice_usec`: user time of niced tasks; usec, counter; not in older kernels.
    pub nice_usec: Option<u64>,
    /// `core_sched.force_idle_usec`: time siblings were forced idle by core scheduling; usec, counter; only with `CONFIG_SCHED_CORE`.
    pub core_sched_force_idle_usec: Option<u64>,
    /// `nr_periods`: quota periods that ran; counter; only with the cpu controller, as all below.
    pub nr_periods: Option<u64>,
    /// `nr_throttled`: periods that hit the quota; counter.
    pub nr_throttled: Option<u64>,
    /// `throttled_usec`: time that this cgroup's own quota held it back; usec, counter.
    pub throttled_usec: Option<u64>,
    /// `nr_bursts`: periods that used burst; counter; not in older kernels.
    pub nr_bursts: Option<u64>,
    /// `burst_usec`: time above the quota in bursts; usec, counter; not in older kernels.
    pub burst_usec: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<CpuStat>] = &[
    Key { name: b"usage_usec", slot: |stat| &mut stat.usage_usec },
    Key { name: b"user_usec", slot: |stat| &mut stat.user_usec },
    Key { name: b"system_usec", slot: |stat| &mut stat.system_usec },
    Key { name: b"nice_usec", slot: |stat| &mut stat.nice_usec },
    Key { name: b"core_sched.force_idle_usec", slot: |stat| &mut stat.core_sched_force_idle_usec },
    Key { name: b"nr_periods", slot: |stat| &mut stat.nr_periods },
    Key { name: b"nr_throttled", slot: |stat| &mut stat.nr_throttled },
    Key { name: b"throttled_usec", slot: |stat| &mut stat.throttled_usec },
    Key { name: b"nr_bursts", slot: |stat| &mut stat.nr_bursts },
    Key { name: b"burst_usec", slot: |stat| &mut stat.burst_usec },
];

/// Parses `cpu.stat`.
#[must_use]
pub fn parse_cpu_stat(bytes: &[u8]) -> CpuStat {
    let mut stat = CpuStat::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const ROOT: &[u8] = b"\
usage_usec 934658084
user_usec 705039216
system_usec 229618868
nice_usec 0
";

    /// The keys of a cgroup with the cpu controller and core scheduling, in the kernel's order.
    const SAMPLE: &[u8] = b"\
usage_usec 4981120
user_usec 3135256
system_usec 1845864
nice_usec 12
core_sched.force_idle_usec 5
nr_periods 100
nr_throttled 7
throttled_usec 345678
nr_bursts 2
burst_usec 91
";

    #[test]
    fn a_cgroup_without_the_controller_has_times_and_no_quota() {
        let stat = parse_cpu_stat(ROOT);
        assert_eq!(stat.usage_usec, Some(934_658_084));
        assert_eq!(stat.system_usec, Some(229_618_868));
        assert_eq!(stat.nice_usec, Some(0));
        assert_eq!((stat.nr_periods, stat.throttled_usec), (None, None));
    }

    #[test]
    fn the_controller_adds_quota_and_burst() {
        let stat = parse_cpu_stat(SAMPLE);
        assert_eq!(stat.core_sched_force_idle_usec, Some(5));
        assert_eq!((stat.nr_periods, stat.nr_throttled, stat.throttled_usec), (Some(100), Some(7), Some(345_678)));
        assert_eq!((stat.nr_bursts, stat.burst_usec), (Some(2), Some(91)));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 10, |bytes| testing::keyed(KEYS, parse_cpu_stat(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_cpu_stat(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_cpu_stat(bytes)));
    }
}
