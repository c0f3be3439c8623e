//! `blkio.throttle.io_service_bytes_recursive`, `io_serviced_recursive` and their `blkio.bfq.` twins of cgroup v1.
//!
//! In: lines like `8:0 Read 123`, at the end `Total 123` over all devices. Out: one [`BlkioDevice`] per device, bytes
//! or operations as the file says. Source: `Documentation/admin-guide/cgroup-v1/blkio-controller.rst`.
//! Never reads, never allocates. Next: the device rows of `sample/`.

use crate::kernel::parse::{Lines, complete_lines, fields};
use crate::kernel::sys_dev_block::DeviceNumber;

/// One device's lines. In `…io_service_bytes…` bytes, in `…io_serviced…` operations; all are counters, and `None` when
/// the device has no such line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlkioDevice {
    /// `major:minor`.
    pub device: DeviceNumber,
    /// `Read`: bytes or operations; counter.
    pub read: Option<u64>,
    /// `Write`: bytes or operations; counter.
    pub write: Option<u64>,
    /// `Sync`: bytes or operations that someone waits for; counter.
    pub sync: Option<u64>,
    /// `Async`: the others; counter.
    pub r#async: Option<u64>,
    /// `Discard`: bytes or operations; counter; not in older kernels.
    pub discard: Option<u64>,
    /// `Total` of the device; counter.
    pub total: Option<u64>,
}

/// Iterator over the devices of a blkio file; see [`parse_blkio`].
#[derive(Debug, Clone)]
pub struct BlkioDevices<'a> {
    lines: Lines<'a>,
}

/// The devices of a blkio file, in file order: lines of one device that follow each other are one item.
#[must_use]
pub const fn parse_blkio(bytes: &[u8]) -> BlkioDevices<'_> {
    BlkioDevices { lines: complete_lines(bytes) }
}

impl Iterator for BlkioDevices<'_> {
    type Item = BlkioDevice;

    fn next(&mut self) -> Option<BlkioDevice> {
        let mut found: Option<BlkioDevice> = None;
        loop {
            let before = self.lines.clone();
            let Some(line) = self.lines.next() else { return found };
            let mut fields = fields(line);
            let Some(device) = fields.next().and_then(DeviceNumber::parse) else { continue };
            if found.is_some_and(|found| found.device != device) {
                self.lines = before;
                return found;
            }
            let into = found.get_or_insert(BlkioDevice {
                device,
                read: None,
                write: None,
                sync: None,
                r#async: None,
                discard: None,
                total: None,
            });
            let slot = match fields.next() {
                Some(b"Read") => &mut into.read,
                Some(b"Write") => &mut into.write,
                Some(b"Sync") => &mut into.sync,
                Some(b"Async") => &mut into.r#async,
                Some(b"Discard") => &mut into.discard,
                Some(b"Total") => &mut into.total,
                _ => continue,
            };
            *slot = slot.or(fields.decimal());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
8:16 Read 4096
8:16 Write 8192
8:16 Sync 12288
8:16 Async 1
8:16 Discard 2
8:16 Total 12290
8:0 Read 5
8:0 Write 6
8:0 Sync 7
8:0 Async 8
8:0 Discard 9
8:0 Total 20
Total 12310
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_blkio(bytes).flat_map(|line| {
            [
                ("read", line.read),
                ("write", line.write),
                ("sync", line.sync),
                ("async", line.r#async),
                ("discard", line.discard),
                ("total", line.total),
            ]
            .map(|(key, value)| (format!("{} {key}", line.device), value))
        }))
    }

    #[test]
    fn lines_are_gathered_by_device_and_the_sum_is_left_out() {
        let devices: Vec<_> = parse_blkio(SAMPLE).collect();
        assert_eq!(devices.len(), 2);
        assert_eq!(devices[0].device, DeviceNumber { major: 8, minor: 16 });
        assert_eq!((devices[0].read, devices[0].write, devices[0].total), (Some(4096), Some(8192), Some(12_290)));
        assert_eq!((devices[1].sync, devices[1].r#async, devices[1].discard), (Some(7), Some(8), Some(9)));
    }

    #[test]
    fn a_cgroup_that_did_no_io_has_no_device() {
        assert_eq!(parse_blkio(b"Total 0\n").count(), 0);
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 12, values);
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
