//! What node_exporter leaves out by default, so that a sum over its names says here what it says there.
//!
//! In: the name of a disk or mount. Out: whether it is shown under `node_disk_*` or `node_filesystem_*`. These are the
//! defaults of node_exporter 1.5 as functions: `--collector.diskstats.device-exclude` and
//! `--collector.filesystem.mount-points-exclude`. The excluded types of filesystems are not read at all. Next:
//! [`layout`](super::layout).

/// Not `^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`: no memory disks, loops and floppies, and no partitions,
/// whose counters are in their disk's already.
#[must_use]
pub fn shows_disk(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return true;
    }
    let letter = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_lowercase()))
    };
    let excluded = matches!(stem, "ram" | "loop" | "fd")
        || ["hd", "sd", "vd", "xvd"].into_iter().any(letter)
        || is_nvme_part(stem);
    !excluded
}

/// `nvme\d+n\d+p`.
fn is_nvme_part(stem: &str) -> bool {
    let Some((controller, namespace)) =
        stem.strip_prefix("nvme").and_then(|rest| rest.strip_suffix('p')).and_then(|rest| rest.split_once('n'))
    else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(controller) && digits(namespace)
}

/// Not `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`.
#[must_use]
pub fn shows_mount(mount_point: &str) -> bool {
    let at_or_below =
        |folder: &str| mount_point.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let below = |folder: &str| mount_point.strip_prefix(folder).is_some_and(|rest| !rest.is_empty());
    let excluded = ["/dev", "/proc", "/sys"].into_iter().any(at_or_below)
        || ["/run/credentials/", "/var/lib/docker/", "/var/lib/containers/storage/"].into_iter().any(below);
    !excluded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn partitions_loops_and_memory_disks_are_left_out_and_whole_disks_are_not() {
        for shown in ["sda", "vda", "nvme0n1", "zram0", "dm-0", "md127", "sr0", "mmcblk0p1", "sdaa1", "xvda", "p1", ""]
        {
            assert!(shows_disk(shown), "{shown}");
        }
        for hidden in ["sda1", "vdb12", "xvda1", "hda3", "nvme0n1p1", "loop7", "ram0", "fd0"] {
            assert!(!shows_disk(hidden), "{hidden}");
        }
    }

    #[test]
    fn mounts_of_the_kernel_and_of_runtimes_are_left_out() {
        for shown in ["/", "/device", "/run", "/run/netns", "/var/lib/docker", "/var/lib/kubelet/pods/x", "/home/dev"] {
            assert!(shows_mount(shown), "{shown}");
        }
        for hidden in
            ["/dev", "/dev/shm", "/proc", "/sys/fs/cgroup", "/run/credentials/a", "/var/lib/docker/overlay2/x"]
        {
            assert!(!shows_mount(hidden), "{hidden}");
        }
    }

    proptest! {
        #[test]
        fn both_are_what_the_regular_expressions_say(
            disk in "(ram|loop|fd|hd|sd|vd|xvd|nvme|dm-|a)?[a-c0-2np]{0,4}",
            mount in "/(dev|proc|run/credentials|sys|var/lib/docker|var/lib/containers/storage|a)(/|x|/x)?"
        ) {
            let disks = regex::Regex::new(r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$").unwrap();
            let mounts = regex::Regex::new(
                r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
            ).unwrap();
            prop_assert_eq!(shows_disk(&disk), !disks.is_match(&disk), "{}", disk);
            prop_assert_eq!(shows_mount(&mount), !mounts.is_match(&mount), "{}", mount);
        }
    }
}
