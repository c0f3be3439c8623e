//! `hugetlb.SIZE.events` (and `.events.local`) of cgroup v2: huge pages refused by the limit.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `hugetlb.SIZE.events`; the file is absent in the root cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HugetlbEvents {
    /// `max`: allocations that failed at the limit; counter.
    pub max: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<HugetlbEvents>] = &[Key { name: b"max", slot: |stat| &mut stat.max }];

/// Parses `hugetlb.SIZE.events`.
#[must_use]
pub fn parse_hugetlb_events(bytes: &[u8]) -> HugetlbEvents {
    let mut stat = HugetlbEvents::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
max 19
";

    #[test]
    fn failed_allocations_are_counted() {
        assert_eq!(parse_hugetlb_events(SAMPLE).max, Some(19));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 1, |bytes| testing::keyed(KEYS, parse_hugetlb_events(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_hugetlb_events(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_hugetlb_events(bytes)));
    }
}
