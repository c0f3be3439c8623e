//! `cgroup.stat` of cgroup v2: cgroups below this one, living and dying.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `cgroup.stat` that do not depend on a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CgroupStat {
    /// `nr_descendants`: visible cgroups below; gauge.
    pub nr_descendants: Option<u64>,
    /// `nr_dying_descendants`: removed cgroups that still hold memory; gauge.
    pub nr_dying_descendants: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<CgroupStat>] = &[
    Key { name: b"nr_descendants", slot: |stat| &mut stat.nr_descendants },
    Key { name: b"nr_dying_descendants", slot: |stat| &mut stat.nr_dying_descendants },
];

/// Parses `cgroup.stat`.
#[must_use]
pub fn parse_cgroup_stat(bytes: &[u8]) -> CgroupStat {
    let mut stat = CgroupStat::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
nr_descendants 3
nr_subsys_perf_event 4
nr_subsys_hugetlb 1
nr_dying_descendants 2
nr_dying_subsys_perf_event 0
nr_dying_subsys_hugetlb 0
";

    #[test]
    fn counts_per_controller_are_not_taken_for_the_total() {
        let stat = parse_cgroup_stat(SAMPLE);
        assert_eq!((stat.nr_descendants, stat.nr_dying_descendants), (Some(3), Some(2)));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 2, |bytes| testing::keyed(KEYS, parse_cgroup_stat(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_cgroup_stat(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_cgroup_stat(bytes)));
    }
}
