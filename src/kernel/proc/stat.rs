//! `/proc/stat`: CPU time of the node and of each CPU, switches, interrupts, forks.
//!
//! In: the file's bytes. Out: [`Stat`] for the node; [`per_cpu`] walks the `cpuN` lines. Source:
//! `Documentation/filesystems/proc.rst`. Of the long `intr` and `softirq` lines only the first number, the sum, is read.
//! Never reads, never allocates. Next: the node reader of `sample/`.

use crate::kernel::parse::{Lines, complete_lines, decimal, decimal_u32, fields, split_once};

/// The node's part of `/proc/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// `cpu`: all CPUs together.
    pub cpu: CpuTimes,
    /// `intr`, first number: interrupts served; counter.
    pub intr: Option<u64>,
    /// `ctxt`: context switches; counter.
    pub ctxt: Option<u64>,
    /// `btime`: when the node booted; seconds since 1970, gauge (it moves when the clock is set).
    pub btime_unix_seconds: Option<u64>,
    /// `processes`: forks; counter.
    pub processes: Option<u64>,
    /// `procs_running`: threads that can run; gauge.
    pub procs_running: Option<u64>,
    /// `procs_blocked`: threads that wait for I/O; gauge.
    pub procs_blocked: Option<u64>,
    /// `softirq`, first number: soft interrupts served; counter.
    pub softirq: Option<u64>,
}

/// The columns of a `cpu` line; clock ticks (1/`USER_HZ` s), counters. Columns that an old kernel lacks are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTimes {
    /// Column 1: user mode, guests included; ticks, counter.
    pub user_ticks: Option<u64>,
    /// Column 2: niced user mode; ticks, counter.
    pub nice_ticks: Option<u64>,
    /// Column 3: kernel mode; ticks, counter.
    pub system_ticks: Option<u64>,
    /// Column 4: idle; ticks, counter (may step back when a CPU goes offline).
    pub idle_ticks: Option<u64>,
    /// Column 5: idle with I/O outstanding; ticks, counter (may step back).
    pub iowait_ticks: Option<u64>,
    /// Column 6: interrupts; ticks, counter.
    pub irq_ticks: Option<u64>,
    /// Column 7: soft interrupts; ticks, counter.
    pub softirq_ticks: Option<u64>,
    /// Column 8: taken by the hypervisor; ticks, counter.
    pub steal_ticks: Option<u64>,
    /// Column 9: guests, also within `user`; ticks, counter; Linux 2.6.24 and later.
    pub guest_ticks: Option<u64>,
    /// Column 10: niced guests, also within `nice`; ticks, counter; Linux 2.6.33 and later.
    pub guest_nice_ticks: Option<u64>,
}

impl CpuTimes {
    fn parse(columns: &[u8]) -> Self {
        let mut columns = fields(columns);
        Self {
            user_ticks: columns.decimal(),
            nice_ticks: columns.decimal(),
            system_ticks: columns.decimal(),
            idle_ticks: columns.decimal(),
            iowait_ticks: columns.decimal(),
            irq_ticks: columns.decimal(),
            softirq_ticks: columns.decimal(),
            steal_ticks: columns.decimal(),
            guest_ticks: columns.decimal(),
            guest_nice_ticks: columns.decimal(),
        }
    }
}

/// Parses the node's part of `/proc/stat`.
#[must_use]
pub fn parse_stat(bytes: &[u8]) -> Stat {
    let mut stat = Stat::default();
    for line in complete_lines(bytes) {
        let Some((key, tail)) = split_once(line, b' ') else { continue };
        let slot = match key {
            b"cpu" => {
                stat.cpu = CpuTimes::parse(tail);
                continue;
            }
            b"intr" => &mut stat.intr,
            b"ctxt" => &mut stat.ctxt,
            b"btime" => &mut stat.btime_unix_seconds,
            b"processes" => &mut stat.processes,
            b"procs_running" => &mut stat.procs_running,
            b"procs_blocked" => &mut stat.procs_blocked,
            b"softirq" => &mut stat.softirq,
            _ => continue,
        };
        *slot = slot.or(fields(tail).next().and_then(decimal));
    }
    stat
}

/// Iterator over the CPUs of `/proc/stat`; see [`per_cpu`].
#[derive(Debug, Clone)]
pub struct Cpus<'a> {
    lines: Lines<'a>,
}

/// The online CPUs of `/proc/stat` with their numbers, in file order. Offline CPUs have no line.
#[must_use]
pub const fn per_cpu(bytes: &[u8]) -> Cpus<'_> {
    Cpus { lines: complete_lines(bytes) }
}

impl Iterator for Cpus<'_> {
    type Item = (u32, CpuTimes);

    fn next(&mut self) -> Option<(u32, CpuTimes)> {
        loop {
            // The cpu lines come first: the walk ends before the long intr line.
            let line = self.lines.next()?.strip_prefix(b"cpu")?;
            if let Some((number, columns)) = split_once(line, b' ')
                && let Some(number) = decimal_u32(number)
            {
                return Some((number, CpuTimes::parse(columns)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
cpu  70504 1 22676 229670 2499 2 286 54 3 4
cpu0 33960 5 7813 120100 930 6 37 27 7 8
cpu1 36543 9 14862 109569 1568 10 248 28 11 12
intr 1143101 0 0 0 0 1 1 15 0 327 354
ctxt 2071481
btime 1795392462
processes 37584
procs_running 4
procs_blocked 1
softirq 545202 0 62955 666 24433 169254 0 1464 111486 0 174944
";

    fn values(bytes: &[u8]) -> testing::Values {
        let stat = parse_stat(bytes);
        let mut values = testing::named([
            ("intr", stat.intr),
            ("ctxt", stat.ctxt),
            ("btime", stat.btime_unix_seconds),
            ("processes", stat.processes),
            ("procs_running", stat.procs_running),
            ("procs_blocked", stat.procs_blocked),
            ("softirq", stat.softirq),
        ]);
        let cpus = per_cpu(bytes).map(|(number, times)| (number.to_string(), times));
        for (name, times) in cpus.chain([(String::from("all"), stat.cpu)]) {
            values.extend(testing::named(
                [
                    ("user", times.user_ticks),
                    ("nice", times.nice_ticks),
                    ("system", times.system_ticks),
                    ("idle", times.idle_ticks),
                    ("iowait", times.iowait_ticks),
                    ("irq", times.irq_ticks),
                    ("softirq", times.softirq_ticks),
                    ("steal", times.steal_ticks),
                    ("guest", times.guest_ticks),
                    ("guest_nice", times.guest_nice_ticks),
                ]
                .map(|(column, value)| (format!("{name} {column}"), value)),
            ));
        }
        values
    }

    #[test]
    fn node_and_cpus_have_their_own_columns() {
        let stat = parse_stat(SAMPLE);
        assert_eq!((stat.cpu.user_ticks, stat.cpu.guest_nice_ticks), (Some(70_504), Some(4)));
        assert_eq!((stat.intr, stat.softirq, stat.ctxt), (Some(1_143_101), Some(545_202), Some(2_071_481)));
        assert_eq!((stat.btime_unix_seconds, stat.processes), (Some(1_795_392_462), Some(37_584)));
        assert_eq!((stat.procs_running, stat.procs_blocked), (Some(4), Some(1)));
        let cpus: Vec<_> = per_cpu(SAMPLE).collect();
        assert_eq!(cpus.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((cpus[1].1.idle_ticks, cpus[1].1.steal_ticks), (Some(109_569), Some(28)));
    }

    #[test]
    fn an_old_kernels_short_line_leaves_the_rest_absent() {
        let stat = parse_stat(b"cpu  1 2 3 4\n");
        assert_eq!((stat.cpu.idle_ticks, stat.cpu.iowait_ticks, stat.ctxt), (Some(4), None, None));
    }

    #[test]
    fn an_offline_cpu_leaves_a_gap_in_the_numbers() {
        assert_eq!(
            per_cpu(b"cpu  9\ncpu0 1\ncpu3 2\nintr 5\ncpu4 1\n").map(|(number, _)| number).collect::<Vec<_>>(),
            [0, 3]
        );
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 37, values);
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
