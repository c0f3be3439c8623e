//! `/proc/PID/cgroup`: which cgroup a process is in, for each hierarchy.
//!
//! In: lines like `4:memory:/docker/…` and `0::/system.slice`. Out: one [`PidCgroup`] per line. Source:
//! `Documentation/admin-guide/cgroup-v2.rst`, cgroups(7). A path may hold colons (`system.slice:cri-containerd:…`), so
//! only the first two part the line. Never reads, never allocates. Next: `discover/`.

use crate::kernel::parse::{Lines, complete_lines, decimal_u32, split_once};

/// One line of `/proc/PID/cgroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidCgroup<'a> {
    /// Number of the hierarchy; 0 is cgroup v2.
    pub hierarchy: u32,
    /// Controllers of a v1 hierarchy, by commas (`cpu,cpuacct`), or `name=systemd`; empty for v2.
    pub controllers: &'a [u8],
    /// Path below the hierarchy's root, as the reader's cgroup namespace sees it (it may begin with `/..`).
    pub path: &'a [u8],
    /// The cgroup was removed while the process (a zombie) is still in it: the kernel adds ` (deleted)`.
    pub deleted: bool,
}

/// Iterator over the lines of `/proc/PID/cgroup`; see [`parse_pid_cgroup`].
#[derive(Debug, Clone)]
pub struct PidCgroups<'a> {
    lines: Lines<'a>,
}

/// The hierarchies of `/proc/PID/cgroup`, in file order.
#[must_use]
pub const fn parse_pid_cgroup(bytes: &[u8]) -> PidCgroups<'_> {
    PidCgroups { lines: complete_lines(bytes) }
}

impl<'a> Iterator for PidCgroups<'a> {
    type Item = PidCgroup<'a>;

    fn next(&mut self) -> Option<PidCgroup<'a>> {
        self.lines.by_ref().find_map(hierarchy)
    }
}

/// One line; `None` when it has not three parts or no path.
fn hierarchy(line: &[u8]) -> Option<PidCgroup<'_>> {
    let (hierarchy, rest) = split_once(line, b':')?;
    let (controllers, path) = split_once(rest, b':')?;
    let hierarchy = decimal_u32(hierarchy)?;
    if !path.starts_with(b"/") {
        return None;
    }
    let alive = path.strip_suffix(b" (deleted)");
    Some(PidCgroup { hierarchy, controllers, path: alive.unwrap_or(path), deleted: alive.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
9:name=systemd:/
4:memory:/process_api/02ae400c4c02bde0955c60117a51d24b
1:cpu,cpuacct:/a
0::/
";

    #[test]
    fn each_hierarchy_has_controllers_and_a_path() {
        let lines: Vec<_> = parse_pid_cgroup(SAMPLE).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[0].hierarchy, lines[0].controllers), (9, &b"name=systemd"[..]));
        assert_eq!(lines[1].path, b"/process_api/02ae400c4c02bde0955c60117a51d24b");
        assert_eq!(lines[2].controllers, b"cpu,cpuacct");
        assert_eq!(lines[3], PidCgroup { hierarchy: 0, controllers: b"", path: b"/", deleted: false });
    }

    #[test]
    fn a_path_may_hold_colons_and_a_removed_cgroup_is_marked() {
        let lines: Vec<_> = parse_pid_cgroup(b"0::/kubepods/x:cri-containerd:y (deleted)\n0::/../../\xff\n").collect();
        assert_eq!((lines[0].path, lines[0].deleted), (&b"/kubepods/x:cri-containerd:y"[..], true));
        assert_eq!((lines[1].path, lines[1].deleted), (&b"/../../\xff"[..], false));
    }

    #[test]
    fn a_cut_file_gives_whole_paths_or_none() {
        let whole: Vec<_> = parse_pid_cgroup(SAMPLE).collect();
        for length in 0..SAMPLE.len() {
            let cut: Vec<_> = parse_pid_cgroup(&SAMPLE[..length]).collect();
            assert!(cut.len() < whole.len() && whole.starts_with(&cut), "cut at byte {length}: {cut:?}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| {
            testing::named(
                parse_pid_cgroup(bytes).map(|line| (format!("{:?}", line.path), Some(u64::from(line.hierarchy)))),
            )
        });
        for bad in [&b"x:memory:/a\n"[..], b"-1::/\n", b"4294967296::/\n", b"1:cpu\n", b"1:cpu:\n", b"1:cpu:relative\n"]
        {
            assert_eq!(parse_pid_cgroup(bad).count(), 0, "{bad:?}");
        }
    }
}
