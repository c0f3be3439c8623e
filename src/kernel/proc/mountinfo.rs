//! `/proc/PID/mountinfo`: what is mounted where, as one process sees it.
//!
//! In: the file's bytes. Out: one [`Mount`] per line. Source: `Documentation/filesystems/proc.rst` section 3.5. The kernel
//! writes blank, tab, newline, backslash, and in options the comma, as `\` and three octal digits; [`unescape`] undoes it.
//! Lines that do not have the format are left out. Never reads. Next: the storage reader of `sample/`.

use std::borrow::Cow;

use crate::kernel::parse::{Lines, complete_lines, decimal, decimal_u32, fields, split_once};

/// One line of `mountinfo`; names are escaped as the kernel wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Mount ID, the same as statx's `stx_mnt_id`.
    pub id: u64,
    /// Device number of the filesystem, as (major, minor).
    pub device: (u32, u32),
    /// Where it is mounted, as the process sees it.
    pub mount_point: &'a [u8],
    /// Type of filesystem.
    pub fs_type: &'a [u8],
    /// What is mounted: a device's path, a server, or any word.
    pub source: &'a [u8],
    /// Options of the filesystem, by commas.
    pub super_options: &'a [u8],
}

/// Iterator over the lines of `mountinfo`; see [`parse_mountinfo`].
#[derive(Debug, Clone)]
pub struct Mounts<'a> {
    lines: Lines<'a>,
}

/// The mounts, in file order: a later line at the same mount point covers an earlier one.
#[must_use]
pub const fn parse_mountinfo(bytes: &[u8]) -> Mounts<'_> {
    Mounts { lines: complete_lines(bytes) }
}

impl<'a> Iterator for Mounts<'a> {
    type Item = Mount<'a>;

    fn next(&mut self) -> Option<Mount<'a>> {
        self.lines.by_ref().find_map(mount)
    }
}

fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = fields(line);
    let id = decimal(fields.next()?)?;
    let _parent = fields.next()?;
    let (major, minor) = split_once(fields.next()?, b':')?;
    let _root = fields.next()?;
    let mount_point = fields.next()?;
    // Mount options and any number of optional fields, up to a lone hyphen.
    fields.find(|field| *field == b"-")?;
    let (fs_type, source) = (fields.next()?, fields.next()?);
    let super_options = fields.next().unwrap_or_default();
    let device = (decimal_u32(major)?, decimal_u32(minor)?);
    Some(Mount { id, device, mount_point, fs_type, source, super_options })
}

impl<'a> Mount<'a> {
    /// The value of an option such as `upperdir`, still escaped.
    #[must_use]
    pub fn super_option(&self, name: &str) -> Option<&'a [u8]> {
        let mut options = self.super_options.split(|byte| *byte == b',');
        options.find_map(|option| option.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

/// Undoes the kernel's escapes.
#[must_use]
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after.split_at_checked(3)) {
            (b'\\', Some((digits, after))) if octal(digits).is_some() => {
                plain.extend(octal(digits));
                rest = after;
            }
            _ => plain.push(*first),
        }
    }
    Cow::Owned(plain)
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three lines of a container of containerd; the second as the kernel escapes a name with a blank and a comma.
    const SAMPLE: &[u8] = b"\
1044 934 0:110 / / rw,relatime master:366 - overlay overlay rw,lowerdir=/var/lib/a/fs:/var/lib/b/fs,upperdir=/var/lib/containerd/snapshots/94/fs,workdir=/var/lib/containerd/snapshots/94/work
1050 1044 254:1 / /mnt/with\\040blank rw,noatime shared:1 master:2 - ext4 /dev/vda1 rw,errors=remount-ro,upperdir=/a\\054b
1051 1044 0:5 / /sys ro - sysfs sysfs ro
";

    #[test]
    fn a_containers_root_tells_its_upper_directory() {
        let mounts: Vec<_> = parse_mountinfo(SAMPLE).collect();
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[0].id, mounts[0].device, mounts[0].mount_point), (1044, (0, 110), &b"/"[..]));
        assert_eq!(mounts[0].super_option("upperdir"), Some(&b"/var/lib/containerd/snapshots/94/fs"[..]));
        assert_eq!((mounts[1].fs_type, mounts[1].source), (&b"ext4"[..], &b"/dev/vda1"[..]));
        assert_eq!(unescape(mounts[1].mount_point), &b"/mnt/with blank"[..]);
        assert_eq!(unescape(mounts[1].super_option("upperdir").unwrap()), &b"/a,b"[..]);
        assert_eq!(mounts[2].super_option("upperdir"), None);
    }

    #[test]
    fn lines_that_are_not_mounts_are_left_out() {
        assert_eq!(parse_mountinfo(b"").count(), 0);
        assert_eq!(parse_mountinfo(b"garbage\n1 2 3:4 / /x rw shared:1\n1 2 x:y / / rw - a b c\n").count(), 0);
        assert_eq!(unescape(b"\\999\\04"), &b"\\999\\04"[..]);
    }

    #[test]
    fn this_machines_own_file_is_understood() {
        let bytes = std::fs::read("/proc/self/mountinfo").unwrap();
        let root = parse_mountinfo(&bytes).filter(|mount| mount.mount_point == b"/").last().unwrap();
        assert!(!root.fs_type.is_empty());
        assert_eq!(parse_mountinfo(&bytes).count(), bytes.iter().filter(|byte| **byte == b'\n').count());
    }
}
