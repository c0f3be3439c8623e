//! `/proc/loadavg`: load and number of tasks.
//!
//! In: `1.14 0.87 0.65 5/109 5122`. Out: [`Loadavg`]. Source: `Documentation/filesystems/proc.rst`.
//! Never reads. Next: the node reader of `sample/`.

use crate::kernel::parse::{decimal, fields, hundredths, only_line, split_once};

/// The fields of `/proc/loadavg`; all are `None` when the line is torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loadavg {
    /// Field 1: load over 1 minute; hundredths, gauge.
    pub load1_hundredths: Option<u64>,
    /// Field 2: load over 5 minutes; hundredths, gauge.
    pub load5_hundredths: Option<u64>,
    /// Field 3: load over 15 minutes; hundredths, gauge.
    pub load15_hundredths: Option<u64>,
    /// Field 4 before the slash: tasks that can run now; gauge.
    pub runnable: Option<u64>,
    /// Field 4 after the slash: tasks (threads) in all; gauge.
    pub total: Option<u64>,
}

/// Parses `/proc/loadavg`.
#[must_use]
pub fn parse_loadavg(bytes: &[u8]) -> Loadavg {
    let Ok(line) = only_line(bytes) else { return Loadavg::default() };
    let mut fields = fields(line);
    let mut load = || fields.next().and_then(hundredths);
    let (load1_hundredths, load5_hundredths, load15_hundredths) = (load(), load(), load());
    let tasks = fields.next().and_then(|field| split_once(field, b'/'));
    Loadavg {
        load1_hundredths,
        load5_hundredths,
        load15_hundredths,
        runnable: tasks.and_then(|(runnable, _)| decimal(runnable)),
        total: tasks.and_then(|(_, total)| decimal(total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"1.14 0.87 12.65 5/109 5122\n";

    fn values(bytes: &[u8]) -> testing::Values {
        let load = parse_loadavg(bytes);
        testing::named([
            ("1", load.load1_hundredths),
            ("5", load.load5_hundredths),
            ("15", load.load15_hundredths),
            ("runnable", load.runnable),
            ("total", load.total),
        ])
    }

    #[test]
    fn load_is_in_hundredths_and_tasks_are_counted() {
        let load = parse_loadavg(SAMPLE);
        assert_eq!(
            (load.load1_hundredths, load.load5_hundredths, load.load15_hundredths),
            (Some(114), Some(87), Some(1265))
        );
        assert_eq!((load.runnable, load.total), (Some(5), Some(109)));
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
