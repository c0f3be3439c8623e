//! `/proc/TID/schedstat`: how long one task ran and waited for a CPU.
//!
//! In: `194523 23481 17`. Out: [`Schedstat`]. Source: `Documentation/scheduler/sched-stats.rst`. It is the task's own: that
//! of a process's first task says nothing of the others. Never reads. Next: the task reader of `sample/details/`.

use crate::kernel::parse::{Malformed, fields, only_line};

/// One task's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedstat {
    /// Time on a CPU; nanoseconds, counter.
    pub run_nanos: u64,
    /// Time runnable and not on a CPU; nanoseconds, counter.
    pub wait_nanos: u64,
    /// Times it was put on a CPU; counter.
    pub periods: u64,
}

/// Parses `/proc/TID/schedstat`.
///
/// # Errors
/// [`Malformed`] unless there are three numbers in one line.
pub fn parse_schedstat(bytes: &[u8]) -> Result<Schedstat, Malformed> {
    let mut columns = fields(only_line(bytes)?);
    let mut next = || columns.decimal().ok_or(Malformed);
    let stat = Schedstat { run_nanos: next()?, wait_nanos: next()?, periods: next()? };
    if columns.next().is_some() { Err(Malformed) } else { Ok(stat) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"1287450721 98123400 5127\n";

    fn values(bytes: &[u8]) -> testing::Values {
        let Ok(stat) = parse_schedstat(bytes) else { return testing::Values::new() };
        testing::named([
            ("run", Some(stat.run_nanos)),
            ("wait", Some(stat.wait_nanos)),
            ("periods", Some(stat.periods)),
        ])
    }

    #[test]
    fn the_three_columns_are_run_wait_and_periods() {
        let stat = Schedstat { run_nanos: 1_287_450_721, wait_nanos: 98_123_400, periods: 5_127 };
        assert_eq!(parse_schedstat(SAMPLE), Ok(stat));
        for bad in [&b""[..], b"1 2\n", b"1 2 3 4\n", b"1 2 3", b"1 2 -3\n"] {
            assert_eq!(parse_schedstat(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_cut_or_damaged_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 3, values);
        testing::bad_numbers_are_absent(SAMPLE, values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
