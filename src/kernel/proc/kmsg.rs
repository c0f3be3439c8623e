//! `/dev/kmsg`: the kernel's words about OOM kills.
//!
//! In: one record as one read gives it (`6,1234,5678,-;text\n`). Out: [`KmsgRecord`]; and [`OomKill`] from its text.
//! Source: `Documentation/ABI/testing/dev-kmsg`, `mm/oom_kill.c` (`dump_oom_summary`), `mm/memcontrol.c`.
//! Cgroup paths and task names are chosen by others and may hold commas and `=`: each is cut at the place that its
//! longest possible neighbour allows. Never reads. Next: the OOM events of `sample/`.

use crate::kernel::parse::{decimal, decimal_u32, split_once};

/// One record of `/dev/kmsg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KmsgRecord<'a> {
    /// Number of the record; a step of more than one means that records were lost.
    pub sequence: u64,
    /// When it was printed, on the monotonic clock; µs after boot.
    pub monotonic_usec: u64,
    /// The text, without the newline and the `KEY=value` lines after it. The kernel wrote bytes that are not printable
    /// as `\xNN`.
    pub text: &'a [u8],
}

/// Parses one record.
#[must_use]
pub fn parse_kmsg_record(bytes: &[u8]) -> Option<KmsgRecord<'_>> {
    let (prefix, text) = split_once(bytes, b';')?;
    // The text must end in its newline: a record that did not fit the buffer is not one.
    let (text, _) = split_once(text, b'\n')?;
    let mut prefix = prefix.split(|byte| *byte == b',');
    // The first number is facility and level together.
    decimal(prefix.next()?)?;
    let sequence = decimal(prefix.next()?)?;
    let monotonic_usec = decimal(prefix.next()?)?;
    Some(KmsgRecord { sequence, monotonic_usec, text })
}

/// One OOM kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OomKill<'a> {
    /// `constraint`: `CONSTRAINT_MEMCG` when a cgroup's limit was hit, `CONSTRAINT_NONE` when the node was out of memory.
    /// `None` before Linux 5.0.
    pub constraint: Option<&'a [u8]>,
    /// `oom_memcg`: the cgroup whose limit was hit; `None` when it was the node.
    pub oom_memcg: Option<&'a [u8]>,
    /// `task_memcg`: the cgroup of the killed task. This is the container that lost a process.
    pub task_memcg: &'a [u8],
    /// `task`: the killed task's name, as the kernel escaped it. `None` before Linux 5.0.
    pub task: Option<&'a [u8]>,
    /// `pid`: in the root pid namespace. `None` before Linux 5.0.
    pub pid: Option<u32>,
    /// `uid`: the task's user. `None` before Linux 5.0.
    pub uid: Option<u32>,
}

/// A task's name has at most 15 bytes, each of which the kernel may print as four (`\x0a`).
const LONGEST_TASK: usize = 15 * 4;

/// The OOM kill that a record's text tells of; `None` when it tells of something else or is cut short.
#[must_use]
pub fn parse_oom_kill(text: &[u8]) -> Option<OomKill<'_>> {
    match text.strip_prefix(b"oom-kill:constraint=") {
        Some(tail) => summary(tail),
        None => legacy(text),
    }
}

/// `CONSTRAINT_MEMCG,nodemask=(null),cpuset=C,mems_allowed=0,oom_memcg=/A,task_memcg=/A/B,task=T,pid=1,uid=2`, or
/// `global_oom` in the place of `oom_memcg=/A`. Linux 5.0 and later.
fn summary(tail: &[u8]) -> Option<OomKill<'_>> {
    let (constraint, _) = split_once(tail, b',')?;
    // From the end: the numbers hold no comma, so the last `,uid=` and the `,pid=` before it are the kernel's own.
    let (tail, uid) = rsplit_at(tail, b",uid=")?;
    let (tail, pid) = rsplit_at(tail, b",pid=")?;
    // The name may hold `,task=` itself: the kernel's own is the first within reach of the longest name.
    let reach = tail.len().saturating_sub(LONGEST_TASK + b",task=".len());
    let (before, near) = tail.split_at_checked(reach)?;
    let at = find(near, b",task=")?;
    let task = near.get(at..)?.strip_prefix(b",task=")?;
    let cgroups = tail.get(..before.len().checked_add(at)?)?;
    // From the start: the kernel's own words come before any path.
    let at = find(cgroups, b",task_memcg=")?;
    let task_memcg = cgroups.get(at..)?.strip_prefix(b",task_memcg=")?;
    let cgroups = cgroups.get(..at)?;
    let oom_memcg = find(cgroups, b",oom_memcg=").and_then(|at| cgroups.get(at..)?.strip_prefix(b",oom_memcg="));
    let pid = Some(decimal_u32(pid)?);
    let uid = Some(decimal_u32(uid)?);
    Some(OomKill { constraint: Some(constraint), oom_memcg, task_memcg, task: Some(task), pid, uid })
}

/// `Task in /A/B killed as a result of limit of /A`. Before Linux 5.0.
fn legacy(text: &[u8]) -> Option<OomKill<'_>> {
    const KILLED: &[u8] = b" killed as a result of limit of ";
    let text = text.strip_prefix(b"Task in ")?;
    let at = find(text, KILLED)?;
    let task_memcg = text.get(..at)?;
    let oom_memcg = text.get(at..)?.strip_prefix(KILLED)?.trim_ascii_end();
    let are_paths = task_memcg.starts_with(b"/") && oom_memcg.starts_with(b"/");
    are_paths.then_some(OomKill {
        constraint: None,
        oom_memcg: Some(oom_memcg),
        task_memcg,
        task: None,
        pid: None,
        uid: None,
    })
}

/// Where `needle` first stands in `hay`.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

/// `hay` before and after the last `needle`.
fn rsplit_at<'a>(hay: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = hay.windows(needle.len()).rposition(|window| window == needle)?;
    Some((hay.get(..at)?, hay.get(at..)?.strip_prefix(needle)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const MEMCG: &[u8] = b"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c1,mems_allowed=0-1,3,oom_memcg=/kubepods/pod1,task_memcg=/kubepods/pod1/c1,task=stress,pid=4045,uid=1000";
    const GLOBAL: &[u8] = b"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/docker/abc,task=java,pid=7,uid=0";

    #[test]
    fn a_record_has_a_number_a_time_and_a_text() {
        let record = parse_kmsg_record(b"6,1234,5678901,-;oom-kill:x\n SUBSYSTEM=mm\n").unwrap();
        assert_eq!((record.sequence, record.monotonic_usec, record.text), (1234, 5_678_901, &b"oom-kill:x"[..]));
        assert_eq!(parse_kmsg_record(b"4,1,2,c,future;a;b\n").unwrap().text, b"a;b");
        for bad in [&b""[..], b"6,1,2,-;torn", b"6,1;x\n", b"6,-1,2,-;x\n", b"x,1,2,-;x\n", b"no record\n"] {
            assert_eq!(parse_kmsg_record(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_cgroups_oom_names_both_cgroups_and_the_task() {
        let kill = parse_oom_kill(MEMCG).unwrap();
        assert_eq!(kill.constraint, Some(&b"CONSTRAINT_MEMCG"[..]));
        assert_eq!((kill.oom_memcg, kill.task_memcg), (Some(&b"/kubepods/pod1"[..]), &b"/kubepods/pod1/c1"[..]));
        assert_eq!((kill.task, kill.pid, kill.uid), (Some(&b"stress"[..]), Some(4045), Some(1000)));
    }

    #[test]
    fn the_nodes_oom_has_no_limiting_cgroup() {
        let kill = parse_oom_kill(GLOBAL).unwrap();
        assert_eq!((kill.oom_memcg, kill.task_memcg, kill.pid), (None, &b"/docker/abc"[..], Some(7)));
    }

    #[test]
    fn an_old_kernels_line_names_both_cgroups() {
        let kill = parse_oom_kill(b"Task in /docker/abc killed as a result of limit of /docker").unwrap();
        assert_eq!((kill.task_memcg, kill.oom_memcg, kill.pid), (&b"/docker/abc"[..], Some(&b"/docker"[..]), None));
        assert_eq!(parse_oom_kill(b"Task in nowhere killed as a result of limit of /docker"), None);
    }

    #[test]
    fn a_task_cannot_blame_another_cgroup_by_its_name() {
        for name in ["a,task=b", "x,pid=1,uid=0", ",task_memcg=/v", ",oom_memcg=/v", "\\x0a\\x2c,task=x", ""] {
            let text = String::from_utf8_lossy(MEMCG).replace("task=stress", &format!("task={name}"));
            let kill = parse_oom_kill(text.as_bytes()).unwrap();
            assert_eq!(
                (kill.task_memcg, kill.pid, kill.uid),
                (&b"/kubepods/pod1/c1"[..], Some(4045), Some(1000)),
                "{name:?}"
            );
            assert_eq!(kill.task, Some(name.as_bytes()));
        }
    }

    #[test]
    fn a_line_cut_anywhere_is_no_other_kill() {
        let whole = parse_oom_kill(MEMCG).unwrap();
        for length in 0..MEMCG.len() {
            if let Some(cut) = parse_oom_kill(&MEMCG[..length]) {
                assert_eq!(OomKill { uid: None, ..cut }, OomKill { uid: None, ..whole }, "cut at byte {length}");
            }
        }
        let mut record = b"6,1,2,-;".to_vec();
        record.extend_from_slice(MEMCG);
        record.push(b'\n');
        for length in 0..record.len() {
            assert_eq!(parse_kmsg_record(&record[..length]), None, "cut at byte {length}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        for sample in [MEMCG, GLOBAL, b"6,1,2,-;Task in /a killed as a result of limit of /b\n"] {
            testing::any_bytes_are_survived(sample, |bytes| {
                let text = parse_kmsg_record(bytes).map_or(bytes, |record| record.text);
                testing::named([("pid", parse_oom_kill(text).and_then(|kill| kill.pid).map(u64::from))])
            });
        }
    }
}
