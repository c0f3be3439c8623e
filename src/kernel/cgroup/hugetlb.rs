//! Huge page sizes in the names of files: `hugetlb.2MB.current`, `hugepages-2048kB`.
//!
//! In: a file or folder name. Out: [`HugePageSize`], which prints as the kernel and cAdvisor label it (`64KB`, `2MB`,
//! `1GB`). The values in the files are read by [`parse_value`](super::parse_value) (bytes) and
//! [`parse_limit`](super::parse_limit). Source: `Documentation/admin-guide/cgroup-v2.rst`, `mm/hugetlb_cgroup.c`.
//! Never reads. Next: the cgroup reader of `sample/`.

use std::fmt;

use crate::kernel::parse::{decimal, split_once};

/// A huge page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HugePageSize {
    /// The size in bytes.
    pub bytes: u64,
}

/// The kernel's units, biggest first.
const UNITS: [(&str, u64); 3] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)];

impl HugePageSize {
    /// The size that a label (`2MB`) says; `None` when it is not a label of the kernel.
    #[must_use]
    pub fn from_label(label: &[u8]) -> Option<Self> {
        let (unit, bytes) = UNITS.into_iter().find(|(unit, _)| label.ends_with(unit.as_bytes()))?;
        let bytes = decimal(label.strip_suffix(unit.as_bytes())?)?.checked_mul(bytes)?;
        (bytes > 0).then_some(Self { bytes })
    }

    /// The size that a folder of `/sys/kernel/mm/hugepages` (`hugepages-2048kB`) says.
    #[must_use]
    pub fn from_sysfs_folder(name: &[u8]) -> Option<Self> {
        let kibibytes = decimal(name.strip_prefix(b"hugepages-")?.strip_suffix(b"kB")?)?;
        let bytes = kibibytes.checked_mul(1 << 10)?;
        (bytes > 0).then_some(Self { bytes })
    }
}

impl fmt::Display for HugePageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.into_iter().find(|(_, bytes)| self.bytes >= *bytes);
        let (unit, bytes) = unit.unwrap_or(("KB", 1 << 10));
        write!(f, "{}{unit}", self.bytes / bytes)
    }
}

/// The page size in a cgroup file's name, v1 or v2: `hugetlb.2MB.current`, `hugetlb.1GB.rsvd.usage_in_bytes`.
#[must_use]
pub fn hugetlb_page_size(file_name: &[u8]) -> Option<HugePageSize> {
    let (label, _) = split_once(file_name.strip_prefix(b"hugetlb.")?, b'.')?;
    HugePageSize::from_label(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    #[test]
    fn the_label_is_the_kernels() {
        for (name, label) in [
            (&b"hugetlb.2MB.current"[..], "2MB"),
            (b"hugetlb.1GB.rsvd.max", "1GB"),
            (b"hugetlb.64KB.limit_in_bytes", "64KB"),
            (b"hugetlb.16GB.events", "16GB"),
        ] {
            assert_eq!(hugetlb_page_size(name).map(|size| size.to_string()).as_deref(), Some(label));
        }
        assert_eq!(
            HugePageSize::from_sysfs_folder(b"hugepages-1048576kB").map(|size| size.to_string()).as_deref(),
            Some("1GB")
        );
        assert_eq!(HugePageSize::from_sysfs_folder(b"hugepages-2048kB"), Some(HugePageSize { bytes: 2 << 20 }));
    }

    #[test]
    fn other_names_have_no_size() {
        for name in [
            &b"hugetlb.current"[..],
            b"hugetlb.MB.current",
            b"hugetlb.-2MB.max",
            b"hugetlb.0MB.max",
            b"hugetlb.2MB",
            b"memory.max",
            b"hugetlb.99999999999999999999GB.max",
            b"hugetlb.18446744073709551615GB.max",
        ] {
            assert_eq!(hugetlb_page_size(name), None, "{name:?}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(b"hugetlb.2MB.current", |bytes| {
            testing::named([
                ("file", hugetlb_page_size(bytes).map(|size| size.bytes)),
                ("folder", HugePageSize::from_sysfs_folder(bytes).map(|size| size.bytes)),
            ])
        });
    }
}
