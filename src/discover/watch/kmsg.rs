//! Victims of the kernel's OOM killer, from the kernel log.
//!
//! In: records of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg) that are written after the start. Out:
//! [`Discovery::OomKilled`]. The line is that of `dump_oom_victim` in mm/oom_kill.c:
//! `oom-kill:constraint=…,nodemask=…,cpuset=…,mems_allowed=…,oom_memcg=/a,task_memcg=/a/b,task=NAME,pid=N,uid=N`, or
//! with `global_oom` in place of `oom_memcg=`. Whoever makes cgroups chooses parts of it, so a line that can be read in
//! two ways is refused. Records that user space wrote (their facility is not the kernel's) are ignored.
//! It never writes to the log. Next: `watch` polls it.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::discover::Discovery;
use crate::discover::identity::shown_path;

/// Most records that are read at once, so that a flood in the log cannot hold the thread.
const MAX_BATCH: usize = 256;

/// The open kernel log.
pub(super) struct Kmsg {
    fd: OwnedFd,
    buffer: Vec<u8>,
    /// OOM lines that could be read in two ways or not at all.
    pub refused: u64,
}

impl Kmsg {
    /// Opens the log behind its last record.
    pub(super) fn open(path: &std::path::Path) -> Result<Self, Errno> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        rustix::fs::seek(&fd, SeekFrom::End(0))?;
        // The largest record is 8 KiB (CONSOLE_EXT_LOG_MAX); a shorter buffer would be refused with EINVAL.
        Ok(Self { fd, buffer: vec![0; 8192], refused: 0 })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Reads the records that wait, up to a bound. False when the log cannot be read any more.
    pub(super) fn read(&mut self, out: &mut Vec<Discovery>) -> bool {
        for _ in 0..MAX_BATCH {
            match rustix::io::read(&self.fd, self.buffer.as_mut_slice()) {
                Ok(0) => return false,
                Ok(length) => match parse_record(self.buffer.get(..length).unwrap_or_default()) {
                    Some(Ok(victim)) => out.push(victim),
                    Some(Err(())) => self.refused = self.refused.saturating_add(1),
                    None => {}
                },
                // EPIPE: records were overwritten before we came; the next read goes on behind the gap.
                Err(Errno::PIPE | Errno::INTR | Errno::INVAL) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

/// Reads one record `PRIORITY,SEQUENCE,TIMESTAMP,FLAGS[,…];TEXT\n[ KEY=VALUE\n…]`. `None` when it is no OOM line,
/// `Err` when it is one that is ambiguous or damaged.
pub(super) fn parse_record(record: &[u8]) -> Option<Result<Discovery, ()>> {
    let at = record.iter().position(|byte| *byte == b';')?;
    let (head, text) = (record.get(..at)?, record.get(at + 1..)?);
    let priority = head.split(|byte| *byte == b',').next()?;
    let priority: u32 = std::str::from_utf8(priority).ok()?.parse().ok()?;
    if priority >> 3 != 0 {
        return None;
    }
    let line = text.split(|byte| *byte == b'\n').next()?;
    let line = line.strip_prefix(b"oom-kill:")?;
    Some(parse_oom_line(&unescape(line)).ok_or(()))
}

fn parse_oom_line(line: &[u8]) -> Option<Discovery> {
    let task_at = only(line, b",task_memcg=")?;
    let before = line.get(..task_at)?;
    let after = line.get(task_at + b",task_memcg=".len()..)?;
    let oom_memcg = match only(before, b",oom_memcg=") {
        Some(at) => before.get(at + b",oom_memcg=".len()..)?,
        None if before.ends_with(b",global_oom") => b"/",
        None => return None,
    };
    // The name of a process is at most 15 bytes, and may hold anything: read the numbers from the end.
    let uid_at = last(after, b",uid=")?;
    let numbers = after.get(..uid_at)?;
    let pid_at = last(numbers, b",pid=")?;
    let pid: u32 = std::str::from_utf8(numbers.get(pid_at + b",pid=".len()..)?).ok()?.parse().ok()?;
    let names = numbers.get(..pid_at)?;
    let task_at = only(names, b",task=")?;
    let task_memcg = names.get(..task_at)?;
    let process = names.get(task_at + b",task=".len()..)?;
    if !oom_memcg.starts_with(b"/") || !task_memcg.starts_with(b"/") {
        return None;
    }
    let process = shown_path(process);
    Some(Discovery::OomKilled {
        oom_memcg: shown_path(oom_memcg).to_string(),
        task_memcg: shown_path(task_memcg).to_string(),
        process: process.strip_prefix('/').unwrap_or(&process).to_owned(),
        pid,
    })
}

/// Where `needle` is, if it is there exactly once.
fn only(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let mut found = hay.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle).map(|(at, _)| at);
    let first = found.next()?;
    if found.next().is_some() { None } else { Some(first) }
}

fn last(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).rposition(|window| window == needle)
}

/// Takes back the log's own escapes: every byte that is not printable, and the backslash, is `\xNN` there.
fn unescape(line: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(line.len());
    let mut rest = line;
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'\\', b'x', high, low, ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(high).zip(digit(low)).map(|(high, low)| high * 16 + low)
            }
            _ => None,
        };
        match escaped {
            Some(byte) => {
                plain.push(byte);
                rest = rest.get(4..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim(record: &str) -> Option<Result<(String, String, String, u32), ()>> {
        Some(parse_record(record.as_bytes())?.map(|event| match event {
            Discovery::OomKilled { oom_memcg, task_memcg, process, pid } => (oom_memcg, task_memcg, process, pid),
            other => panic!("{other:?}"),
        }))
    }

    const HEAD: &str = "6,1201,99887766,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0";

    #[test]
    fn a_memory_cgroup_victim_is_read() {
        let record = format!("{HEAD},oom_memcg=/a,task_memcg=/a/b,task=stress,pid=123,uid=0\n SUBSYSTEM=memory\n");
        assert_eq!(victim(&record), Some(Ok(("/a".into(), "/a/b".into(), "stress".into(), 123))));
    }

    #[test]
    fn a_global_oom_has_the_root_as_its_limit() {
        let record = "6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
                      task_memcg=/user.slice,task=a,pid=7,uid=1000";
        assert_eq!(victim(record), Some(Ok(("/".into(), "/user.slice".into(), "a".into(), 7))));
    }

    #[test]
    fn the_logs_escapes_are_taken_back_so_that_paths_match_identities() {
        let record = format!("{HEAD},oom_memcg=/a\\x5cx2db,task_memcg=/a\\x5cx2db/\\x1b,task=s\\x09,pid=1,uid=0");
        assert_eq!(victim(&record), Some(Ok(("/a\\x2db".into(), "/a\\x2db/\\x1b".into(), "s\\x09".into(), 1))));
    }

    #[test]
    fn a_line_that_can_be_read_in_two_ways_is_refused() {
        for tail in [
            ",oom_memcg=/a,task_memcg=/a/x,task_memcg=/victim,task=s,pid=1,uid=0",
            ",oom_memcg=/v,oom_memcg=/a,task_memcg=/a,task=s,pid=1,uid=0",
            ",oom_memcg=/a,task_memcg=/a/b,task=x,task=y,pid=1,uid=0",
            ",oom_memcg=/a,task_memcg=/a/b,task=x,pid=one,uid=0",
            ",oom_memcg=/a",
        ] {
            assert_eq!(victim(&format!("{HEAD}{tail}")), Some(Err(())), "{tail}");
        }
    }

    #[test]
    fn a_process_name_cannot_change_the_number() {
        let record = format!("{HEAD},oom_memcg=/a,task_memcg=/a,task=x,pid=1,uid=0,pid=2,uid=0");
        assert_eq!(victim(&record), Some(Ok(("/a".into(), "/a".into(), "x,pid=1,uid=0".into(), 2))));
    }

    #[test]
    fn what_user_space_wrote_into_the_log_is_ignored() {
        let record = format!("{HEAD},oom_memcg=/a,task_memcg=/a/b,task=s,pid=1,uid=0").replacen('6', "14", 1);
        assert_eq!(victim(&record), None);
        assert_eq!(victim("6,1,2,-;usb 1-1: new device"), None);
        assert_eq!(victim("garbage"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse_record(&bytes);
            let mut line = HEAD.as_bytes().to_vec();
            line.extend_from_slice(&bytes);
            let _ = parse_record(&line);
        }
    }
}
