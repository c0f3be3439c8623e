//! Pressure stall information: `{cpu,memory,io,irq}.pressure` of a cgroup and `/proc/pressure/*` of the node.
//!
//! In: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and `full …`. Out: [`Pressure`].
//! Source: `Documentation/accounting/psi.rst`. `irq` has only `full`; `cpu` has no `full` before Linux 5.13; with
//! `psi=0` the read itself fails. Never reads. Next: the cgroup and node readers of `sample/`.

use crate::kernel::parse::{complete_lines, decimal, fields, hundredths, split_once};

/// One pressure file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// `some`: at least one task was stalled. All `None` in `irq`.
    pub some: PressureLine,
    /// `full`: all tasks that could run were stalled at once. All `None` where the kernel has no such line.
    pub full: PressureLine,
}

/// The values of one line of a pressure file; each is `None` when the line or the key is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PressureLine {
    /// `avg10`: share of the last 10 s; hundredths of a percent (`1.23` is 123), gauge.
    pub avg10_percent_hundredths: Option<u64>,
    /// `avg60`: share of the last 60 s; hundredths of a percent, gauge.
    pub avg60_percent_hundredths: Option<u64>,
    /// `avg300`: share of the last 300 s; hundredths of a percent, gauge.
    pub avg300_percent_hundredths: Option<u64>,
    /// `total`: time stalled since the cgroup or the node began; µs, counter.
    pub total_usec: Option<u64>,
}

/// Parses a pressure file.
#[must_use]
pub fn parse_pressure(bytes: &[u8]) -> Pressure {
    let mut pressure = Pressure::default();
    for line in complete_lines(bytes) {
        let mut fields = fields(line);
        let into = match fields.next() {
            Some(b"some") => &mut pressure.some,
            Some(b"full") => &mut pressure.full,
            _ => continue,
        };
        for (key, value) in fields.filter_map(|field| split_once(field, b'=')) {
            let (slot, value) = match key {
                b"avg10" => (&mut into.avg10_percent_hundredths, hundredths(value)),
                b"avg60" => (&mut into.avg60_percent_hundredths, hundredths(value)),
                b"avg300" => (&mut into.avg300_percent_hundredths, hundredths(value)),
                b"total" => (&mut into.total_usec, decimal(value)),
                _ => continue,
            };
            *slot = slot.or(value);
        }
    }
    pressure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    /// `/proc/pressure/io` of a busy machine.
    const SAMPLE: &[u8] = b"\
some avg10=9.45 avg60=2.42 avg300=1.46 total=18199552
full avg10=3.61 avg60=1.15 avg300=1.08 total=15439796
";

    fn values(bytes: &[u8]) -> testing::Values {
        let pressure = parse_pressure(bytes);
        let line = |name: &'static str, line: PressureLine| {
            [
                (format!("{name} avg10"), line.avg10_percent_hundredths),
                (format!("{name} avg60"), line.avg60_percent_hundredths),
                (format!("{name} avg300"), line.avg300_percent_hundredths),
                (format!("{name} total"), line.total_usec),
            ]
        };
        testing::named(line("some", pressure.some).into_iter().chain(line("full", pressure.full)))
    }

    #[test]
    fn some_and_full_have_averages_in_hundredths_of_a_percent() {
        let pressure = parse_pressure(SAMPLE);
        assert_eq!(pressure.some.avg10_percent_hundredths, Some(945));
        assert_eq!(pressure.some.avg300_percent_hundredths, Some(146));
        assert_eq!(pressure.some.total_usec, Some(18_199_552));
        assert_eq!(pressure.full.avg60_percent_hundredths, Some(115));
        assert_eq!(pressure.full.total_usec, Some(15_439_796));
    }

    #[test]
    fn irq_has_only_full_and_an_old_cpu_file_only_some() {
        let irq = parse_pressure(b"full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
        assert_eq!((irq.some, irq.full.total_usec), (PressureLine::default(), Some(7)));
        let cpu = parse_pressure(b"some avg10=0.00 avg60=0.00 avg300=0.00 total=8\n");
        assert_eq!((cpu.some.total_usec, cpu.full), (Some(8), PressureLine::default()));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 8, values);
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
