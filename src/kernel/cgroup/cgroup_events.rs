//! `cgroup.events` of cgroup v2: whether anything lives in it.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/` and the births and deaths of `discover/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `cgroup.events`; the file is absent in the root cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CgroupEvents {
    /// `populated`: 1 while it or a cgroup below has a process, else 0; gauge.
    pub populated: Option<u64>,
    /// `frozen`: 1 while frozen, else 0; gauge; Linux 5.2 and later.
    pub frozen: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<CgroupEvents>] = &[
    Key { name: b"populated", slot: |stat| &mut stat.populated },
    Key { name: b"frozen", slot: |stat| &mut stat.frozen },
];

/// Parses `cgroup.events`.
#[must_use]
pub fn parse_cgroup_events(bytes: &[u8]) -> CgroupEvents {
    let mut stat = CgroupEvents::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
populated 1
frozen 0
";

    #[test]
    fn both_flags_are_read() {
        let events = parse_cgroup_events(SAMPLE);
        assert_eq!((events.populated, events.frozen), (Some(1), Some(0)));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 2, |bytes| testing::keyed(KEYS, parse_cgroup_events(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_cgroup_events(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_cgroup_events(bytes)));
    }
}
