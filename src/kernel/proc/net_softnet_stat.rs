//! `/proc/PID/net/softnet_stat`: packets that each CPU took from the network's queues.
//!
//! In: one line of hexadecimal columns for each CPU that is online. Out: one [`Softnet`] per line. Source:
//! `net/core/net-procfs.c`. Never reads, never allocates. Next: the details of the node in `sample/`.

use crate::kernel::parse::{complete_lines, fields, hexadecimal};

/// One CPU's line; counters of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softnet {
    /// Column 13: the CPU's number; Linux 5.14 and later. Before, lines have none: it is the line's.
    pub cpu: u64,
    /// Column 1: packets processed.
    pub processed: Option<u64>,
    /// Column 2: packets dropped because the queue was full.
    pub dropped: Option<u64>,
    /// Column 3: times that work was left over when the budget or the time was used up.
    pub time_squeeze: Option<u64>,
}

/// The CPUs of the file, in its order.
pub fn parse_softnet_stat(bytes: &[u8]) -> impl Iterator<Item = Softnet> {
    (0u64..).zip(complete_lines(bytes)).filter_map(|(number, line)| {
        let mut columns = fields(line);
        let mut next = || columns.next().map(hexadecimal);
        let (processed, dropped, time_squeeze) = (next()?, next()?, next()?);
        // Columns 4 to 12 are of no use or newer than most kernels.
        let cpu = match columns.nth(9) {
            Some(cpu) => hexadecimal(cpu)?,
            None => number,
        };
        Some(Softnet { cpu, processed, dropped, time_squeeze })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
0038f0f9 00000002 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
003a2d5d 00000000 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000000
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_softnet_stat(bytes).flat_map(|line| {
            [("processed", line.processed), ("dropped", line.dropped), ("time_squeeze", line.time_squeeze)]
                .map(|(column, value)| (format!("{} {column}", line.cpu), value))
        }))
    }

    #[test]
    fn columns_are_hexadecimal_and_the_cpu_is_told_or_counted() {
        let all: Vec<_> =
            parse_softnet_stat(SAMPLE).map(|line| (line.cpu, line.processed, line.time_squeeze)).collect();
        assert_eq!(all, [(0, Some(0x0038_f0f9), Some(1)), (1, Some(0x003a_2d5d), Some(3))]);
        let old: Vec<_> =
            parse_softnet_stat(b"0a 0 0\nff 1 x\n").map(|line| (line.cpu, line.processed, line.time_squeeze)).collect();
        assert_eq!(old, [(0, Some(10), Some(0)), (1, Some(255), None)]);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
