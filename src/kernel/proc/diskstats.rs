//! `/proc/diskstats`: what each block device of the node did.
//!
//! In: lines of 14, 18 (Linux 4.18) or 20 (Linux 5.5) fields. Out: one [`Diskstat`] per line. Source:
//! `Documentation/admin-guide/iostats.rst`. Shorter lines (partitions before Linux 2.6.25) mean other things by
//! position and are skipped. Never reads, never allocates. Next: the disk rows of `sample/`.

use crate::kernel::parse::{Lines, complete_lines, decimal_u32, fields};
use crate::kernel::sys_dev_block::DeviceNumber;

/// One line of `/proc/diskstats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diskstat<'a> {
    /// Fields 1 and 2: the device's number.
    pub device: DeviceNumber,
    /// Field 3: the device's name, as in `/dev`.
    pub name: &'a [u8],
    /// Field 4: reads completed; counter.
    pub reads: Option<u64>,
    /// Field 5: reads merged with a neighbour; counter.
    pub reads_merged: Option<u64>,
    /// Field 6: sectors of 512 bytes read; counter.
    pub read_sectors: Option<u64>,
    /// Field 7: time of all reads added up; ms, counter.
    pub read_time_msec: Option<u64>,
    /// Field 8: writes completed; counter.
    pub writes: Option<u64>,
    /// Field 9: writes merged with a neighbour; counter.
    pub writes_merged: Option<u64>,
    /// Field 10: sectors of 512 bytes written; counter.
    pub written_sectors: Option<u64>,
    /// Field 11: time of all writes added up; ms, counter.
    pub write_time_msec: Option<u64>,
    /// Field 12: requests under way; gauge.
    pub in_flight: Option<u64>,
    /// Field 13: time with a request under way; ms, counter.
    pub io_time_msec: Option<u64>,
    /// Field 14: that time, times the requests under way; ms, counter.
    pub io_time_weighted_msec: Option<u64>,
    /// Field 15: discards completed; counter; Linux 4.18 and later.
    pub discards: Option<u64>,
    /// Field 16: discards merged; counter; Linux 4.18 and later.
    pub discards_merged: Option<u64>,
    /// Field 17: sectors of 512 bytes discarded; counter; Linux 4.18 and later.
    pub discarded_sectors: Option<u64>,
    /// Field 18: time of all discards added up; ms, counter; Linux 4.18 and later.
    pub discard_time_msec: Option<u64>,
    /// Field 19: flushes completed; counter; Linux 5.5 and later; 0 on partitions.
    pub flushes: Option<u64>,
    /// Field 20: time of all flushes added up; ms, counter; Linux 5.5 and later.
    pub flush_time_msec: Option<u64>,
}

/// Fields of the oldest format that is read: number, name and eleven columns.
const LEAST_FIELDS: usize = 14;

/// Iterator over the lines of `/proc/diskstats`; see [`parse_diskstats`].
#[derive(Debug, Clone)]
pub struct Diskstats<'a> {
    lines: Lines<'a>,
}

/// The devices of `/proc/diskstats`, in file order.
#[must_use]
pub const fn parse_diskstats(bytes: &[u8]) -> Diskstats<'_> {
    Diskstats { lines: complete_lines(bytes) }
}

impl<'a> Iterator for Diskstats<'a> {
    type Item = Diskstat<'a>;

    fn next(&mut self) -> Option<Diskstat<'a>> {
        self.lines.by_ref().find_map(device)
    }
}

/// One line; `None` when it has too few fields or no device.
fn device(line: &[u8]) -> Option<Diskstat<'_>> {
    let mut columns = fields(line);
    if columns.clone().count() < LEAST_FIELDS {
        return None;
    }
    let device = DeviceNumber { major: decimal_u32(columns.next()?)?, minor: decimal_u32(columns.next()?)? };
    Some(Diskstat {
        device,
        name: columns.next()?,
        reads: columns.decimal(),
        reads_merged: columns.decimal(),
        read_sectors: columns.decimal(),
        read_time_msec: columns.decimal(),
        writes: columns.decimal(),
        writes_merged: columns.decimal(),
        written_sectors: columns.decimal(),
        write_time_msec: columns.decimal(),
        in_flight: columns.decimal(),
        io_time_msec: columns.decimal(),
        io_time_weighted_msec: columns.decimal(),
        discards: columns.decimal(),
        discards_merged: columns.decimal(),
        discarded_sectors: columns.decimal(),
        discard_time_msec: columns.decimal(),
        flushes: columns.decimal(),
        flush_time_msec: columns.decimal(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
   7       0 loop0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17
 254       0 vda 205374 33621 16717154 282709 74985 116000 48579288 329228 18 37756 615354 21101 35 2015792 2669 11368 747
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_diskstats(bytes).flat_map(|line| {
            [
                ("reads", line.reads),
                ("reads_merged", line.reads_merged),
                ("read_sectors", line.read_sectors),
                ("read_time_msec", line.read_time_msec),
                ("writes", line.writes),
                ("writes_merged", line.writes_merged),
                ("written_sectors", line.written_sectors),
                ("write_time_msec", line.write_time_msec),
                ("in_flight", line.in_flight),
                ("io_time_msec", line.io_time_msec),
                ("io_time_weighted_msec", line.io_time_weighted_msec),
                ("discards", line.discards),
                ("discards_merged", line.discards_merged),
                ("discarded_sectors", line.discarded_sectors),
                ("discard_time_msec", line.discard_time_msec),
                ("flushes", line.flushes),
                ("flush_time_msec", line.flush_time_msec),
            ]
            .map(|(column, value)| (format!("{} {column}", line.device), value))
        }))
    }

    #[test]
    fn a_line_of_20_fields_has_discards_and_flushes() {
        let disks: Vec<_> = parse_diskstats(SAMPLE).collect();
        assert_eq!(disks.len(), 2);
        assert_eq!((disks[1].device, disks[1].name), (DeviceNumber { major: 254, minor: 0 }, &b"vda"[..]));
        assert_eq!(
            (disks[1].reads, disks[1].read_sectors, disks[1].written_sectors),
            (Some(205_374), Some(16_717_154), Some(48_579_288))
        );
        assert_eq!(
            (disks[1].in_flight, disks[1].io_time_msec, disks[1].io_time_weighted_msec),
            (Some(18), Some(37_756), Some(615_354))
        );
        assert_eq!(
            (disks[1].discard_time_msec, disks[1].flushes, disks[1].flush_time_msec),
            (Some(2669), Some(11_368), Some(747))
        );
    }

    #[test]
    fn older_kernels_lines_leave_the_new_columns_absent() {
        let text =
            b"8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 cciss/c0d0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n8 2 sda2 1 2 3 4\n";
        let disks: Vec<_> = parse_diskstats(text).collect();
        assert_eq!(disks.len(), 2);
        assert_eq!((disks[0].io_time_weighted_msec, disks[0].discards), (Some(11), None));
        assert_eq!((disks[1].discard_time_msec, disks[1].flushes), (Some(15), None));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 34, values);
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
