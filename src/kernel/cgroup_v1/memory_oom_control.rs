//! `memory.oom_control` of cgroup v1: the state of its OOM killer.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v1/memory.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `memory.oom_control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryOomControl {
    /// `oom_kill_disable`: 1 when the OOM killer is off here, else 0; gauge.
    pub oom_kill_disable: Option<u64>,
    /// `under_oom`: 1 while tasks wait for memory, else 0; gauge.
    pub under_oom: Option<u64>,
    /// `oom_kill`: processes killed; counter; Linux 4.13 and later.
    pub oom_kill: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<MemoryOomControl>] = &[
    Key { name: b"oom_kill_disable", slot: |stat| &mut stat.oom_kill_disable },
    Key { name: b"under_oom", slot: |stat| &mut stat.under_oom },
    Key { name: b"oom_kill", slot: |stat| &mut stat.oom_kill },
];

/// Parses `memory.oom_control`.
#[must_use]
pub fn parse_memory_oom_control(bytes: &[u8]) -> MemoryOomControl {
    let mut stat = MemoryOomControl::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
oom_kill_disable 0
under_oom 1
oom_kill 5
";

    #[test]
    fn state_and_kills_are_read() {
        let control = parse_memory_oom_control(SAMPLE);
        assert_eq!((control.oom_kill_disable, control.under_oom, control.oom_kill), (Some(0), Some(1), Some(5)));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 3, |bytes| {
            testing::keyed(KEYS, parse_memory_oom_control(bytes))
        });
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_memory_oom_control(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_memory_oom_control(bytes)));
    }
}
