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

    const SAMPLE: &[u8] = b"";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_schedstat(bytes).flat_map(|line| {
            [("running", line.running_nanos), ("waiting", line.waiting_nanos), ("timeslices", line.timeslices)]
                .map(|(column, value)| (format!("{} {column}", line.cpu), value))
        }))
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
