//! `cgroup.procs`, `cgroup.threads` and v1 `tasks`: the processes or threads of a cgroup, one number per line.
//!
//! In: the file's bytes. Out: how many, the first pid, or an iterator. Source:
//! `Documentation/admin-guide/cgroup-v2.rst`. A process outside the reader's pid namespace is printed as 0: it counts
//! but has no pid. The file of a big cgroup comes in several reads (see [`Records`](crate::kernel::Records)).
//! Never reads, never allocates. Next: the cgroup reader of `sample/` and `discover/`.

use crate::kernel::parse::{Lines, complete_lines, decimal_u32};

/// What `cgroup.procs` says in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CgroupProcs {
    /// Lines of the file: processes (or threads) in this cgroup itself; gauge. `None` when the file is torn or a line
    /// is not a number, because then the count would be wrong.
    pub count: Option<u64>,
    /// The first pid that this pid namespace can see; `None` when there is none.
    pub first_pid: Option<u32>,
}

/// Counts the lines of `cgroup.procs` and finds the first pid.
#[must_use]
pub fn parse_cgroup_procs(bytes: &[u8]) -> CgroupProcs {
    let mut procs = CgroupProcs { count: Some(0), first_pid: None };
    let mut lines = complete_lines(bytes);
    for line in lines.by_ref() {
        let pid = decimal_u32(line);
        procs.count = pid.and(procs.count).map(|count| count.saturating_add(1));
        procs.first_pid = procs.first_pid.or(pid.filter(|pid| *pid != 0));
    }
    if lines.is_torn() {
        procs.count = None;
    }
    procs
}

/// Iterator over pids; see [`pids`].
#[derive(Debug, Clone)]
pub struct Pids<'a> {
    lines: Lines<'a>,
}

/// The pids of `cgroup.procs` that this pid namespace can see.
#[must_use]
pub const fn pids(bytes: &[u8]) -> Pids<'_> {
    Pids { lines: complete_lines(bytes) }
}

impl Iterator for Pids<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.lines.by_ref().find_map(|line| decimal_u32(line).filter(|pid| *pid != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    #[test]
    fn lines_are_counted_and_the_first_visible_pid_is_found() {
        assert_eq!(parse_cgroup_procs(b"0\n812\n4194304\n"), CgroupProcs { count: Some(3), first_pid: Some(812) });
        assert_eq!(parse_cgroup_procs(b""), CgroupProcs { count: Some(0), first_pid: None });
        assert_eq!(pids(b"0\n812\nx\n4194304\n12").collect::<Vec<_>>(), [812, 4_194_304]);
    }

    #[test]
    fn a_torn_or_bad_line_makes_the_count_unknown() {
        assert_eq!(parse_cgroup_procs(b"812\n81"), CgroupProcs { count: None, first_pid: Some(812) });
        assert_eq!(parse_cgroup_procs(b"-1\n812\n"), CgroupProcs { count: None, first_pid: Some(812) });
        assert_eq!(parse_cgroup_procs(b"81").first_pid, None);
    }

    #[test]
    fn a_cut_file_gives_true_pids_or_none() {
        let values = |bytes: &[u8]| testing::named(pids(bytes).map(|pid| (pid.to_string(), Some(u64::from(pid)))));
        testing::cut_anywhere_is_true_or_absent(b"1\n812\n81234\n4194304\n", 4, values);
        testing::bad_numbers_are_absent(b"1\n812\n81234\n4194304\n", values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(b"1\n812\n81234\n", |bytes| {
            let procs = parse_cgroup_procs(bytes);
            testing::named([("count", procs.count), ("first", pids(bytes).next().map(u64::from))])
        });
    }
}
