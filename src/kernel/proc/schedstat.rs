//! `/proc/schedstat`: how long tasks ran and waited on each CPU.
//!
//! In: lines of `cpuN` and nine numbers, among others. Out: one [`CpuSchedstat`] per CPU. Source:
//! `Documentation/scheduler/sched-stats.rst`, version 15 and later. Never reads, never allocates. Next: the details of the
//! node in `sample/`.

use crate::kernel::parse::{complete_lines, decimal_u32, fields};

/// One CPU's line; counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuSchedstat {
    /// Which CPU.
    pub cpu: u32,
    /// Field 7: time that tasks ran; ns.
    pub running_nanos: Option<u64>,
    /// Field 8: time that tasks waited to run; ns.
    pub waiting_nanos: Option<u64>,
    /// Field 9: time slices.
    pub timeslices: Option<u64>,
}

/// The CPUs of the file, in its order.
pub fn parse_schedstat(bytes: &[u8]) -> impl Iterator<Item = CpuSchedstat> {
    complete_lines(bytes).filter_map(|line| {
        let mut columns = fields(line.strip_prefix(b"cpu")?);
        let cpu = decimal_u32(columns.next()?)?;
        let mut columns = columns.skip(6);
        let mut next = || columns.next().map(crate::kernel::parse::decimal);
        let (running_nanos, waiting_nanos, timeslices) = (next()?, next()?, next()?);
        Some(CpuSchedstat { cpu, running_nanos, waiting_nanos, timeslices })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
version 15
timestamp 4294893572
cpu0 0 0 0 0 0 0 3484704168 638793721 674
domain0 3 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
cpu1 0 0 0 0 0 0 2870830693 309279487 681
domain0 3 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_schedstat(bytes).flat_map(|line| {
            [("running", line.running_nanos), ("waiting", line.waiting_nanos), ("timeslices", line.timeslices)]
                .map(|(column, value)| (format!("{} {column}", line.cpu), value))
        }))
    }

    #[test]
    fn the_last_three_numbers_of_a_cpus_line_are_taken() {
        let all: Vec<_> = parse_schedstat(SAMPLE).collect();
        let cpu = |cpu, running, waiting, slices| CpuSchedstat {
            cpu,
            running_nanos: Some(running),
            waiting_nanos: Some(waiting),
            timeslices: Some(slices),
        };
        assert_eq!(all, [cpu(0, 3_484_704_168, 638_793_721, 674), cpu(1, 2_870_830_693, 309_279_487, 681)]);
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 6, values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
