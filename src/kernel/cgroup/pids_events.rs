//! `pids.events` (and `pids.events.local`) of cgroup v2 and v1: forks refused by the limit.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `pids.events`; the file is absent in the root cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PidsEvents {
    /// `max`: times a fork hit `pids.max`; counter.
    pub max: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<PidsEvents>] = &[Key { name: b"max", slot: |stat| &mut stat.max }];

/// Parses `pids.events` or `pids.events.local`.
#[must_use]
pub fn parse_pids_events(bytes: &[u8]) -> PidsEvents {
    let mut stat = PidsEvents::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
max 17
";

    #[test]
    fn refused_forks_are_counted() {
        assert_eq!(parse_pids_events(SAMPLE).max, Some(17));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 1, |bytes| testing::keyed(KEYS, parse_pids_events(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_pids_events(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_pids_events(bytes)));
    }
}
