//! Block devices: `major:minor` and the name that `/sys/dev/block/major:minor` points to.
//!
//! In: `8:0`; the text of the link. Out: [`DeviceNumber`], the name as `/proc/diskstats` prints it.
//! Source: `Documentation/ABI/testing/sysfs-dev`. Reading the link is one call for a new device, never on the tick.
//! Next: the device rows of `sample/`.

use std::fmt;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::KernelError;
use super::parse::{decimal_u32, split_once};
use crate::units::ErrorClass;

/// A block device's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices or partitions.
    pub minor: u32,
}

impl DeviceNumber {
    /// Parses `8:0`.
    #[must_use]
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (major, minor) = split_once(text, b':')?;
        Some(Self { major: decimal_u32(major)?, minor: decimal_u32(minor)? })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The device's name in the text of its link: `../../devices/virtual/block/loop0` is `loop0`.
///
/// sysfs writes the `/` of names such as `cciss/c0d0` as `!`; it is turned back, so that the name is the one of
/// `/proc/diskstats` and `/dev`. Bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn device_name_of_link(link: &[u8]) -> Option<String> {
    let name = link.rsplit(|byte| *byte == b'/').next()?;
    let is_name = !name.is_empty() && name != b"." && name != b"..";
    is_name.then(|| String::from_utf8_lossy(name).replace('!', "/"))
}

/// Reads the name of `device` below `sys_dev_block`, a descriptor of `/sys/dev/block`.
///
/// # Errors
/// [`KernelError::Read`]: `Gone` when there is no such device.
pub fn read_device_name(sys_dev_block: impl AsFd, device: DeviceNumber) -> Result<String, KernelError> {
    let number = device.to_string();
    let failed = |class| KernelError::Read { path: PathBuf::from(&number), class };
    let link =
        rustix::fs::readlinkat(sys_dev_block, &number, Vec::new()).map_err(|errno| failed(ErrorClass::of(errno)))?;
    device_name_of_link(link.to_bytes()).ok_or_else(|| failed(ErrorClass::Malformed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    #[test]
    fn a_device_number_is_two_numbers_and_a_colon() {
        assert_eq!(DeviceNumber::parse(b"254:17"), Some(DeviceNumber { major: 254, minor: 17 }));
        for bad in [&b"8"[..], b"8:", b":0", b"8:0:1", b"-8:0", b"4294967296:0", b""] {
            assert_eq!(DeviceNumber::parse(bad), None, "{bad:?}");
        }
        assert_eq!(DeviceNumber { major: 8, minor: 1 }.to_string(), "8:1");
    }

    #[test]
    fn the_name_is_the_links_last_part() {
        let name = |link: &[u8]| device_name_of_link(link);
        assert_eq!(name(b"../../devices/pci0000:00/0000:00:02.0/virtio1/block/vda").as_deref(), Some("vda"));
        assert_eq!(name(b"../../devices/virtual/block/loop0").as_deref(), Some("loop0"));
        assert_eq!(name(b"../block/cciss!c0d0/cciss!c0d0p1").as_deref(), Some("cciss/c0d0p1"));
        assert_eq!(name(b"../block/"), None);
        assert_eq!(name(b".."), None);
        assert_eq!(name(b""), None);
        assert_eq!(name(b"block/a\xffb").as_deref(), Some("a\u{fffd}b"));
    }

    #[test]
    fn the_link_of_a_device_is_read_and_a_missing_one_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("../../devices/virtual/block/loop0", folder.path().join("7:0")).unwrap();
        let fd = std::fs::File::open(folder.path()).unwrap();
        assert_eq!(read_device_name(&fd, DeviceNumber { major: 7, minor: 0 }).unwrap(), "loop0");
        let missing = read_device_name(&fd, DeviceNumber { major: 7, minor: 1 }).unwrap_err();
        assert_eq!(missing.class(), ErrorClass::Gone);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(b"8:0", |bytes| {
            let _ = device_name_of_link(bytes);
            testing::named([("major", DeviceNumber::parse(bytes).map(|device| u64::from(device.major)))])
        });
    }
}
