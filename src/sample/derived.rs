//! What follows from a sample's rows and names: working set, a cgroup's pod, which interfaces and disks count.
//!
//! In: rows and names as they were read. Out: numbers and answers that the views and the pushes share, so that `kubectl top`,
//! the exposition and the API cannot disagree. It reads nothing. Next: `view/`, `uplink/`.

use super::catalogue::CgroupColumn;
use super::row::RowRef;
use crate::discover::{CgroupKind, Workload};

/// Memory in use without the file pages that are the first to go.
#[must_use]
pub fn working_set_bytes(row: &RowRef<'_>, of_root: bool) -> Option<u64> {
    Some(usage_bytes(row, of_root)?.saturating_sub(row.value(CgroupColumn::MemoryStatInactiveFile)?))
}

/// Memory in use. The root cgroup of v2 has no `memory.current`: anonymous and file pages stand for it. They are less than
/// what any other cgroup uses, so that there a file that could not be read leaves nothing to show.
#[must_use]
pub fn usage_bytes(row: &RowRef<'_>, of_root: bool) -> Option<u64> {
    let pages = || row.value(CgroupColumn::MemoryStatAnon)?.checked_add(row.value(CgroupColumn::MemoryStatFile)?);
    row.value(CgroupColumn::MemoryCurrentBytes).or_else(|| if of_root { pages() } else { None })
}

/// The pod of this node that a cgroup belongs to: by its path, else by the runtime's word. What lies inside another
/// container belongs to none: its usage is that container's already, and whoever runs there chose its name.
#[must_use]
pub fn pod_uid(workload: &Workload) -> Option<&str> {
    if workload.identity.outer_container.is_some() {
        return None;
    }
    let told = || workload.metadata.as_deref()?.pod_uid.as_deref();
    workload.identity.pod_uid.as_deref().or_else(told)
}

/// Which of a pod's cgroups stands for its network: the lowest.
#[must_use]
pub const fn network_preference(kind: CgroupKind) -> u8 {
    match kind {
        CgroupKind::Pod => 0,
        CgroupKind::Sandbox => 1,
        CgroupKind::Container => 2,
        _ => 3,
    }
}

/// Whether an interface of the node leads out of the machine, by its name: a bridge or veth would count what its
/// containers send a second time.
#[must_use]
pub fn is_uplink(interface: &str) -> bool {
    const INSIDE: [&str; 11] =
        ["lo", "veth", "cali", "cni", "docker", "br-", "lxc", "flannel", "vxlan", "tunl", "cilium"];
    !INSIDE.iter().any(|prefix| interface.starts_with(prefix))
}

/// Whether a block device is a disk and neither a partition nor made of other devices, by its name: those would count
/// what their disk counts a second time.
#[must_use]
pub fn is_whole_disk(name: &str) -> bool {
    const MADE_OF_OTHERS: [&str; 5] = ["dm-", "md", "loop", "ram", "zram"];
    if MADE_OF_OTHERS.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    let ends_in_digit = name.ends_with(|last: char| last.is_ascii_digit());
    if name.starts_with("nvme") || name.starts_with("mmcblk") {
        return !(ends_in_digit && name.trim_end_matches(|last: char| last.is_ascii_digit()).ends_with('p'));
    }
    !ends_in_digit
}
