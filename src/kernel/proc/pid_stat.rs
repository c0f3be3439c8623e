//! `/proc/PID/stat`: state, parent, CPU time and start of one process.
//!
//! In: `5153 (cat) R 5148 …`. Out: [`PidStat`]. Source: `Documentation/filesystems/proc.rst`. The name in parentheses
//! may hold anything, `) ` and newlines included, so the columns start after the file's *last* `)`.
//! Never reads. Next: `discover/` (a pid with another start is another process) and the process rows of `sample/`.

use crate::kernel::parse::{Malformed, fields, split_once};

/// The fields of `/proc/PID/stat` that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidStat {
    /// Field 3: `R`, `S`, `D`, `Z`, …
    pub state: u8,
    /// Field 4: the parent's pid; 0 for none. `None` when not a number.
    pub ppid: Option<u64>,
    /// Field 14: time in user mode; ticks, counter.
    pub utime_ticks: Option<u64>,
    /// Field 15: time in the kernel; ticks, counter.
    pub stime_ticks: Option<u64>,
    /// Field 20: threads; gauge.
    pub num_threads: Option<u64>,
    /// Field 22: when the process began, after boot; ticks. With the pid it names a process for good.
    pub starttime_ticks: Option<u64>,
}

/// Parses `/proc/PID/stat`.
///
/// # Errors
/// [`Malformed`] when the file is torn, or has no name in parentheses or no state.
pub fn parse_pid_stat(bytes: &[u8]) -> Result<PidStat, Malformed> {
    let text = bytes.strip_suffix(b"\n").ok_or(Malformed)?;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let (_, from_name) = split_once(text, b'(').ok_or(Malformed)?;
    let name_end = from_name.iter().rposition(|byte| *byte == b')').ok_or(Malformed)?;
    let columns = from_name.get(name_end..).and_then(|tail| tail.strip_prefix(b")")).ok_or(Malformed)?;
    let mut columns = fields(columns);
    let [state] = columns.next().ok_or(Malformed)? else { return Err(Malformed) };
    let ppid = columns.decimal();
    // Fields 5 to 13: pgrp session tty_nr tpgid flags minflt cminflt majflt cmajflt.
    let mut columns = columns.skip(9);
    let mut next = || crate::kernel::parse::decimal(columns.next()?);
    let (utime_ticks, stime_ticks) = (next(), next());
    // Fields 16 to 19: cutime cstime priority nice. They may be negative, and are not wanted.
    let [_, _, _, _, num_threads, _, starttime_ticks] = std::array::from_fn(|_| next());
    Ok(PidStat { state: *state, ppid, utime_ticks, stime_ticks, num_threads, starttime_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"5153 (cat) R 5148 5148 27133 0 -1 4194304 99 0 0 0 31 32 0 0 20 0 17 0 164023 3133440 416 18446744073709551615 94586004144128 94586004164009 140721100523424 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 94586004180016 94586004181632 94586550546432 140721100524258 140721100524278 140721100524278 140721100525547 0\n";

    fn values(bytes: &[u8]) -> testing::Values {
        let Ok(stat) = parse_pid_stat(bytes) else { return testing::Values::new() };
        testing::named([
            ("ppid", stat.ppid),
            ("utime", stat.utime_ticks),
            ("stime", stat.stime_ticks),
            ("threads", stat.num_threads),
            ("start", stat.starttime_ticks),
        ])
    }

    #[test]
    fn fields_are_counted_from_the_name() {
        let stat = parse_pid_stat(SAMPLE).unwrap();
        assert_eq!((stat.state, stat.ppid), (b'R', Some(5148)));
        assert_eq!((stat.utime_ticks, stat.stime_ticks), (Some(31), Some(32)));
        assert_eq!((stat.num_threads, stat.starttime_ticks), (Some(17), Some(164_023)));
    }

    #[test]
    fn a_name_of_parentheses_blanks_and_newlines_moves_no_field() {
        for name in ["a) R 1 2 3 4", "(((", ")", ") Z 1 (x) ", "a\nb", ""] {
            let text = String::from_utf8_lossy(SAMPLE).replace("(cat)", &format!("({name})"));
            assert_eq!(parse_pid_stat(text.as_bytes()), parse_pid_stat(SAMPLE), "{name:?}");
        }
        let mut text = b"5153 (\xff\xfe)".to_vec();
        text.extend_from_slice(&SAMPLE[10..]);
        assert_eq!(parse_pid_stat(&text), parse_pid_stat(SAMPLE));
    }

    #[test]
    fn a_file_without_a_name_or_a_state_is_malformed() {
        for bad in [
            &b""[..],
            b"\n",
            b"5153 cat R 1\n",
            b"5153 (cat\n",
            b"5153 (cat)\n",
            b"5153 (cat) RR 1\n",
            b"5153 (cat) R 1",
        ] {
            assert_eq!(parse_pid_stat(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_cut_or_damaged_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 5, values);
        testing::bad_numbers_are_absent(SAMPLE, values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
