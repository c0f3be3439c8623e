//! `memory.events` and `memory.events.local` of cgroup v2: limits that were hit.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `memory.events` (with all cgroups below) or `memory.events.local` (this one alone; Linux 5.2 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryEvents {
    /// `low`: times memory under `memory.low` was reclaimed; counter.
    pub low: Option<u64>,
    /// `high`: times throttled at `memory.high`; counter.
    pub high: Option<u64>,
    /// `max`: times `memory.max` was about to be passed; counter.
    pub max: Option<u64>,
    /// `oom`: times an allocation was about to fail at the limit; counter.
    pub oom: Option<u64>,
    /// `oom_kill`: processes killed by any OOM killer; counter; Linux 4.13 and later.
    pub oom_kill: Option<u64>,
    /// `oom_group_kill`: whole-group OOM kills; counter; Linux 5.17 and later.
    pub oom_group_kill: Option<u64>,
    /// `sock_throttled`: times sockets were throttled; counter; not in older kernels.
    pub sock_throttled: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<MemoryEvents>] = &[
    Key { name: b"low", slot: |stat| &mut stat.low },
    Key { name: b"high", slot: |stat| &mut stat.high },
    Key { name: b"max", slot: |stat| &mut stat.max },
    Key { name: b"oom", slot: |stat| &mut stat.oom },
    Key { name: b"oom_kill", slot: |stat| &mut stat.oom_kill },
    Key { name: b"oom_group_kill", slot: |stat| &mut stat.oom_group_kill },
    Key { name: b"sock_throttled", slot: |stat| &mut stat.sock_throttled },
];

/// Parses `memory.events` or `memory.events.local`.
#[must_use]
pub fn parse_memory_events(bytes: &[u8]) -> MemoryEvents {
    let mut stat = MemoryEvents::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
low 1
high 20
max 148
oom 3
oom_kill 2
oom_group_kill 4
sock_throttled 5
";

    #[test]
    fn oom_kill_and_oom_are_different_events() {
        let events = parse_memory_events(SAMPLE);
        assert_eq!((events.max, events.oom, events.oom_kill), (Some(148), Some(3), Some(2)));
        assert_eq!((events.oom_group_kill, events.sock_throttled), (Some(4), Some(5)));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 7, |bytes| testing::keyed(KEYS, parse_memory_events(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_memory_events(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_memory_events(bytes)));
    }
}
