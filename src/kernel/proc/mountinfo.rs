//! `/proc/self/mountinfo`: what is mounted where, and above all the cgroup hierarchies.
//!
//! In: lines like `35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`.
//! Out: one [`Mount`] per line; [`cgroup_mounts`] keeps the cgroup ones, decoded. Source:
//! `Documentation/filesystems/proc.rst`. Blanks in names are written `\040`. Read at start and on a change of mounts,
//! never on the tick. Next: `discover/` and the filesystem rows of `sample/`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::kernel::parse::{Lines, complete_lines, fields};
use crate::kernel::sys_dev_block::DeviceNumber;

/// One mount; names are as the kernel escaped them, see [`unescape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Field 3: the filesystem's device; not a block device when major is 0.
    pub device: DeviceNumber,
    /// Field 4: which folder of the filesystem is mounted; `/` for all of it.
    pub root: &'a [u8],
    /// Field 5: where, seen from the process's root.
    pub mount_point: &'a [u8],
    /// Field 6: options of the mount, by commas.
    pub mount_options: &'a [u8],
    /// After the ` - `: the filesystem's type.
    pub fs_type: &'a [u8],
    /// The device, or any word.
    pub source: &'a [u8],
    /// Options of the filesystem, by commas; for cgroup v1 the controllers are among them.
    pub super_options: &'a [u8],
}

/// Iterator over mounts; see [`parse_mountinfo`].
#[derive(Debug, Clone)]
pub struct Mounts<'a> {
    lines: Lines<'a>,
}

/// The mounts, in file order (a later one may cover an earlier one).
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

/// One line; `None` when a field is missing.
fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = fields(line).skip(2);
    let device = DeviceNumber::parse(fields.next()?)?;
    let (root, mount_point, mount_options) = (fields.next()?, fields.next()?, fields.next()?);
    // Any number of optional fields, up to a single hyphen.
    fields.find(|field| *field == b"-")?;
    let (fs_type, source) = (fields.next()?, fields.next()?);
    Some(Mount {
        device,
        root,
        mount_point,
        mount_options,
        fs_type,
        source,
        super_options: fields.next().unwrap_or_default(),
    })
}

/// Undoes the kernel's `\040` (blank, tab, newline, backslash, `#`). Other backslashes stay.
#[must_use]
pub fn unescape(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return Cow::Borrowed(name);
    }
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'\\'
            && let Some((digits, after)) = tail.split_first_chunk::<3>()
            && let Some(byte) = octal(*digits)
        {
            plain.push(byte);
            rest = after;
        } else {
            plain.push(*first);
            rest = tail;
        }
    }
    Cow::Owned(plain)
}

/// Three octal digits as a byte.
fn octal(digits: [u8; 3]) -> Option<u8> {
    digits.into_iter().try_fold(0u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

/// A mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupMount {
    /// Whether it is `cgroup2`; else a v1 hierarchy.
    pub is_v2: bool,
    /// Which cgroup is mounted; `/` for the whole hierarchy, longer inside a container without a cgroup namespace.
    pub root: PathBuf,
    /// Where.
    pub mount_point: PathBuf,
    /// Options of the filesystem: the controllers (`cpu`, `cpuacct`) or `name=systemd` of v1, flags of v2, `rw`.
    pub options: Vec<String>,
}

impl CgroupMount {
    /// Whether `option` (a controller of v1, or a flag such as `memory_hugetlb_accounting`) is among the options.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|have| have == option)
    }
}

/// The cgroup mounts of `/proc/self/mountinfo`, in file order.
#[must_use]
pub fn cgroup_mounts(bytes: &[u8]) -> Vec<CgroupMount> {
    let path = |name: &[u8]| PathBuf::from(OsString::from_vec(unescape(name).into_owned()));
    let is_cgroup = |mount: &Mount<'_>| matches!(mount.fs_type, b"cgroup" | b"cgroup2");
    let mounts = parse_mountinfo(bytes).filter(is_cgroup).map(|mount| CgroupMount {
        is_v2: mount.fs_type == b"cgroup2",
        root: path(mount.root),
        mount_point: path(mount.mount_point),
        options: String::from_utf8_lossy(&unescape(mount.super_options)).split(',').map(String::from).collect(),
    });
    mounts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;
    use std::path::Path;

    const SAMPLE: &[u8] = b"\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 master:3 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 /docker/x /sys/fs/my\\040cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn the_cgroup_mounts_are_found_with_their_options() {
        let mounts = cgroup_mounts(SAMPLE);
        assert_eq!(mounts.len(), 3);
        assert_eq!(
            (mounts[0].is_v2, mounts[0].mount_point.as_path()),
            (false, Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert!(mounts[0].has("cpuacct") && mounts[0].has("cpu") && !mounts[0].has("memory"));
        assert!(mounts[1].has("name=systemd"));
        assert_eq!((mounts[2].is_v2, mounts[2].mount_point.as_path()), (true, Path::new("/sys/fs/my cgroup")));
        assert_eq!(mounts[2].root, Path::new("/docker/x"));
    }

    #[test]
    fn optional_fields_do_not_move_the_type() {
        let mounts: Vec<_> = parse_mountinfo(SAMPLE).collect();
        assert_eq!(mounts.len(), 5);
        assert_eq!(
            (mounts[0].fs_type, mounts[0].source, mounts[0].device.major),
            (&b"ext4"[..], &b"/dev/vda"[..], 254)
        );
        assert_eq!(mounts[2].fs_type, b"cgroup");
    }

    #[test]
    fn octal_escapes_are_undone_and_other_backslashes_stay() {
        for (escaped, plain) in [
            (&br"/a\040b"[..], &b"/a b"[..]),
            (br"\011\012\134\043", b"\t\n\\#"),
            (br"\04", br"\04"),
            (br"\x40\999\777\089", br"\x40\999\777\089"),
            (br"\", br"\"),
            (b"\xff\\040", b"\xff "),
        ] {
            assert_eq!(unescape(escaped), plain, "{escaped:?}");
        }
    }

    #[test]
    fn a_cut_file_gives_whole_mounts_or_none() {
        let whole: Vec<_> = parse_mountinfo(SAMPLE).collect();
        for length in 0..SAMPLE.len() {
            let cut: Vec<_> = parse_mountinfo(&SAMPLE[..length]).collect();
            assert!(cut.len() < whole.len() && whole.starts_with(&cut), "cut at byte {length}: {cut:?}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| {
            let _ = unescape(bytes);
            testing::named([("mounts", u64::try_from(cgroup_mounts(bytes).len()).ok())])
        });
    }
}
