//! `io.stat` of cgroup v2: bytes and operations per block device.
//!
//! In: lines like `254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7`. Out: one [`IoStatDevice`] per
//! line. Source: `Documentation/admin-guide/cgroup-v2.rst`, `block/blk-cgroup.c`. Some 5.x kernels leave out
//! the newline after a device without numbers (`8:16 8:0 rbytes=…`); the device next to the keys owns them.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Lines, complete_lines, decimal, fields, split_once};
use crate::kernel::sys_dev_block::DeviceNumber;

/// One device's line in `io.stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoStatDevice {
    /// `major:minor`.
    pub device: DeviceNumber,
    /// `rbytes`: bytes read; counter.
    pub rbytes: Option<u64>,
    /// `wbytes`: bytes written; counter.
    pub wbytes: Option<u64>,
    /// `rios`: read operations; counter.
    pub rios: Option<u64>,
    /// `wios`: write operations; counter.
    pub wios: Option<u64>,
    /// `dbytes`: bytes discarded; counter; not in older kernels.
    pub dbytes: Option<u64>,
    /// `dios`: discard operations; counter; not in older kernels.
    pub dios: Option<u64>,
    /// `cost.usage`: device time charged by iocost; µs, counter; only where iocost is on, as all below.
    pub cost_usage_usec: Option<u64>,
    /// `cost.wait`: time waited for budget; µs, counter; only with iocost's debug statistics, as all below.
    pub cost_wait_usec: Option<u64>,
    /// `cost.indebt`: time in debt; µs, counter.
    pub cost_indebt_usec: Option<u64>,
    /// `cost.indelay`: time delayed to pay debt; µs, counter.
    pub cost_indelay_usec: Option<u64>,
}

impl IoStatDevice {
    const fn new(device: DeviceNumber) -> Self {
        Self {
            device,
            rbytes: None,
            wbytes: None,
            rios: None,
            wios: None,
            dbytes: None,
            dios: None,
            cost_usage_usec: None,
            cost_wait_usec: None,
            cost_indebt_usec: None,
            cost_indelay_usec: None,
        }
    }

    /// The field of `key`.
    fn slot(&mut self, key: &[u8]) -> Option<&mut Option<u64>> {
        Some(match key {
            b"rbytes" => &mut self.rbytes,
            b"wbytes" => &mut self.wbytes,
            b"rios" => &mut self.rios,
            b"wios" => &mut self.wios,
            b"dbytes" => &mut self.dbytes,
            b"dios" => &mut self.dios,
            b"cost.usage" => &mut self.cost_usage_usec,
            b"cost.wait" => &mut self.cost_wait_usec,
            b"cost.indebt" => &mut self.cost_indebt_usec,
            b"cost.indelay" => &mut self.cost_indelay_usec,
            _ => return None,
        })
    }
}

/// Iterator over the devices of `io.stat`; see [`parse_io_stat`].
#[derive(Debug, Clone)]
pub struct IoStatDevices<'a> {
    lines: Lines<'a>,
}

/// The devices of `io.stat` that have keys, in file order. A device may come more than once.
#[must_use]
pub const fn parse_io_stat(bytes: &[u8]) -> IoStatDevices<'_> {
    IoStatDevices { lines: complete_lines(bytes) }
}

impl Iterator for IoStatDevices<'_> {
    type Item = IoStatDevice;

    fn next(&mut self) -> Option<IoStatDevice> {
        self.lines.by_ref().find_map(device)
    }
}

/// One line; `None` when it has no device or no key.
fn device(line: &[u8]) -> Option<IoStatDevice> {
    let mut owner = None;
    let mut has_keys = false;
    for field in fields(line) {
        let Some((key, value)) = split_once(field, b'=') else {
            // A number for a key that is not one leaves the keys behind it without an owner.
            owner = DeviceNumber::parse(field).map(IoStatDevice::new);
            has_keys = false;
            continue;
        };
        let Some(slot) = owner.as_mut()?.slot(key) else { continue };
        has_keys = true;
        *slot = slot.or(decimal(value));
    }
    owner.filter(|_| has_keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=4
8:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648 dios=3021 cost.vrate=100.00 cost.usage=11 cost.wait=22 cost.indebt=33 cost.indelay=44
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_io_stat(bytes).flat_map(|line| {
            [
                ("rbytes", line.rbytes),
                ("wbytes", line.wbytes),
                ("rios", line.rios),
                ("wios", line.wios),
                ("dbytes", line.dbytes),
                ("dios", line.dios),
                ("cost.usage", line.cost_usage_usec),
                ("cost.wait", line.cost_wait_usec),
                ("cost.indebt", line.cost_indebt_usec),
                ("cost.indelay", line.cost_indelay_usec),
            ]
            .map(|(key, value)| (format!("{} {key}", line.device), value))
        }))
    }

    #[test]
    fn each_device_has_its_keys_and_cost_only_where_it_is_printed() {
        let devices: Vec<_> = parse_io_stat(SAMPLE).collect();
        assert_eq!(devices.len(), 2);
        assert_eq!(devices[0].device, DeviceNumber { major: 8, minor: 16 });
        assert_eq!((devices[0].rbytes, devices[0].dios, devices[0].cost_usage_usec), (Some(1_459_200), Some(4), None));
        assert_eq!(
            (devices[1].wios, devices[1].cost_usage_usec, devices[1].cost_indelay_usec),
            (Some(1252), Some(11), Some(44))
        );
    }

    #[test]
    fn a_device_without_keys_is_skipped_even_when_its_newline_is_missing() {
        let devices: Vec<_> = parse_io_stat(b"7:0 \n8:16 8:0 rbytes=5\n9:0\n").collect();
        assert_eq!(devices.len(), 1);
        assert_eq!((devices[0].device, devices[0].rbytes), (DeviceNumber { major: 8, minor: 0 }, Some(5)));
    }

    #[test]
    fn a_repeated_device_is_given_twice_and_an_empty_file_has_none() {
        assert_eq!(
            parse_io_stat(b"8:0 rios=1\n8:0 rios=2\n").map(|line| line.rios).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
        assert_eq!(parse_io_stat(b"").count(), 0);
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 16, values);
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
