//! `memory.swap.events` of cgroup v2: swap limits that were hit.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `memory.swap.events`; the file is there only with swap accounting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemorySwapEvents {
    /// `high`: times swap was over `memory.swap.high`; counter; Linux 5.8 and later.
    pub high: Option<u64>,
    /// `max`: times swap was about to pass `memory.swap.max`; counter.
    pub max: Option<u64>,
    /// `fail`: times swap could not be had; counter.
    pub fail: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<MemorySwapEvents>] = &[
    Key { name: b"high", slot: |stat| &mut stat.high },
    Key { name: b"max", slot: |stat| &mut stat.max },
    Key { name: b"fail", slot: |stat| &mut stat.fail },
];

/// Parses `memory.swap.events`.
#[must_use]
pub fn parse_memory_swap_events(bytes: &[u8]) -> MemorySwapEvents {
    let mut stat = MemorySwapEvents::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
high 11
max 12
fail 13
";

    #[test]
    fn each_event_has_its_own_counter() {
        let events = parse_memory_swap_events(SAMPLE);
        assert_eq!((events.high, events.max, events.fail), (Some(11), Some(12), Some(13)));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 3, |bytes| {
            testing::keyed(KEYS, parse_memory_swap_events(bytes))
        });
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_memory_swap_events(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_memory_swap_events(bytes)));
    }
}
