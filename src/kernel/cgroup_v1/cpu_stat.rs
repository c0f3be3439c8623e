//! `cpu.stat` of the v1 cpu controller: what the quota cost.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/scheduler/sched-bwc.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of v1 `cpu.stat`. CPU time is in `cpuacct.usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuStat {
    /// `nr_periods`: quota periods that ran; counter.
    pub nr_periods: Option<u64>,
    /// `nr_throttled`: periods that hit the quota; counter.
    pub nr_throttled: Option<u64>,
    /// `throttled_time`: time throttled; nanoseconds (v2 has microseconds), counter.
    pub throttled_time_nsec: Option<u64>,
    /// `nr_bursts`: periods that used burst; counter; not in older kernels.
    pub nr_bursts: Option<u64>,
    /// `burst_time`: time above the quota in bursts; nanoseconds, counter; not in older kernels.
    pub burst_time_nsec: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<CpuStat>] = &[
    Key { name: b"nr_periods", slot: |stat| &mut stat.nr_periods },
    Key { name: b"nr_throttled", slot: |stat| &mut stat.nr_throttled },
    Key { name: b"throttled_time", slot: |stat| &mut stat.throttled_time_nsec },
    Key { name: b"nr_bursts", slot: |stat| &mut stat.nr_bursts },
    Key { name: b"burst_time", slot: |stat| &mut stat.burst_time_nsec },
];

/// Parses v1 `cpu.stat`.
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

    const SAMPLE: &[u8] = b"\
nr_periods 10
nr_throttled 3
throttled_time 123456789
nr_bursts 4
burst_time 5000
";

    #[test]
    fn v1_times_are_nanoseconds() {
        let stat = parse_cpu_stat(SAMPLE);
        assert_eq!((stat.nr_periods, stat.nr_throttled), (Some(10), Some(3)));
        assert_eq!((stat.throttled_time_nsec, stat.burst_time_nsec), (Some(123_456_789), Some(5000)));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 5, |bytes| testing::keyed(KEYS, parse_cpu_stat(bytes)));
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
