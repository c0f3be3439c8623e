//! Values that are not one column as it stands.

use super::super::family::Sight;
use super::super::layout::Scope;
use super::super::number::Number;
use super::super::shares::shares_of;
use crate::sample::catalogue::{CgroupColumn, HugetlbColumn};
use crate::sample::derived::{usage_bytes, working_set_bytes};
use crate::sample::row::Cell;
use crate::sample::{Tallies, TallyKey};

/// From here on a v1 limit means "none".
const UNLIMITED_FROM: u64 = 1 << 62;

fn seconds(nanos: u64) -> Option<Number> {
    (nanos > 0).then(|| Number::integer(nanos / 1_000_000_000))
}

/// The tick in which the cgroup was last seen.
pub fn last_seen(sight: &Sight<'_>) -> Option<Number> {
    seconds(sight.wall.0)
}

/// The wall clock of the tick.
pub fn wall_clock(sight: &Sight<'_>) -> Option<Number> {
    (sight.wall.0 > 0).then_some(Number::Decimal { units: sight.wall.0, places: 9 })
}

/// When the container was created: the runtime's word, else the cgroup's age.
pub fn creation_time(sight: &Sight<'_>) -> Option<Number> {
    let workload = sight.subject.workload.as_ref()?;
    let told = workload.metadata.as_ref().and_then(|metadata| metadata.created_at);
    seconds(told.unwrap_or(workload.created_at).0)
}

/// When its process was started: the runtime's word, else when it was created.
pub fn start_time(sight: &Sight<'_>) -> Option<Number> {
    let workload = sight.subject.workload.as_ref()?;
    match workload.metadata.as_ref().and_then(|metadata| metadata.started_at) {
        Some(started) => seconds(started.0),
        None => creation_time(sight),
    }
}

/// The health check's word, where there is a check.
pub fn health(sight: &Sight<'_>, _: &Tallies) -> Option<Number> {
    let healthy = sight.subject.workload.as_ref()?.metadata.as_ref()?.healthy?;
    Some(Number::integer(u64::from(healthy)))
}

/// v1 shares as they are; v2 weight turned back.
pub fn cpu_shares(sight: &Sight<'_>) -> Option<Number> {
    let shares = match sight.row.value(CgroupColumn::CpuShares) {
        Some(shares) => shares,
        None => shares_of(sight.row.value(CgroupColumn::CpuWeight)?, sight.formula),
    };
    Some(Number::integer(shares))
}

fn limit(sight: &Sight<'_>, column: CgroupColumn) -> Option<Number> {
    match sight.row.cell(column) {
        Cell::Value(bytes) if bytes < UNLIMITED_FROM => Some(Number::integer(bytes)),
        Cell::Value(_) | Cell::Unlimited => Some(Number::integer(0)),
        Cell::Absent => None,
    }
}

/// The limit; for the root the machine's memory.
pub fn memory_limit(sight: &Sight<'_>) -> Option<Number> {
    match sight.machine.memory_bytes {
        bytes if sight.scope == Scope::ROOT && bytes > 0 => Some(Number::integer(bytes)),
        _ => limit(sight, CgroupColumn::MemoryMaxBytes),
    }
}

/// v2: the limit of swap; v1: of memory and swap together; for the root the machine's swap.
pub fn swap_limit(sight: &Sight<'_>) -> Option<Number> {
    let machine = sight.machine;
    if sight.scope == Scope::ROOT && machine.memory_bytes > 0 {
        return Some(Number::integer(machine.swap_bytes));
    }
    limit(sight, CgroupColumn::MemorySwapMaxBytes).or_else(|| limit(sight, CgroupColumn::MemoryMemswLimitBytes))
}

/// v2: the protected memory; v1: the soft limit.
pub fn reservation(sight: &Sight<'_>) -> Option<Number> {
    limit(sight, CgroupColumn::MemoryMinBytes).or_else(|| limit(sight, CgroupColumn::MemorySoftLimitBytes))
}

/// Memory in use.
pub fn memory_usage(sight: &Sight<'_>) -> Option<Number> {
    usage_bytes(&sight.row, sight.scope == Scope::ROOT).map(Number::integer)
}

/// Memory in use without inactive file pages.
pub fn working_set(sight: &Sight<'_>) -> Option<Number> {
    working_set_bytes(&sight.row, sight.scope == Scope::ROOT).map(Number::integer)
}

/// v1: kmem usage; v2: the kernel's part of memory.stat, which cAdvisor does not read.
pub fn kernel_usage(sight: &Sight<'_>) -> Option<Number> {
    let own = sight.row.value(CgroupColumn::MemoryKmemUsageBytes);
    own.or_else(|| sight.row.value(CgroupColumn::MemoryStatKernel)).map(Number::integer)
}

/// Tasks: `pids.current`, else counted.
pub fn threads(sight: &Sight<'_>) -> Option<Number> {
    let counted = sight.row.value(CgroupColumn::Threads);
    counted.or_else(|| sight.row.value(CgroupColumn::PidsCurrent)).map(Number::integer)
}

/// Reserved huge pages where the kernel counts them, else used ones.
pub fn hugetlb_usage(sight: &Sight<'_>) -> Option<Number> {
    let reserved = sight.row.value(HugetlbColumn::RsvdCurrent);
    reserved.or_else(|| sight.row.value(HugetlbColumn::Current)).map(Number::integer)
}

/// Processes killed by the OOM killer. A container's count is its workload's: it goes on over restarts. Of other
/// cgroups only their own processes count, so that a sum over the tree counts a kill once.
pub fn oom_kills(sight: &Sight<'_>, tallies: &Tallies) -> Option<Number> {
    let all = sight.row.value(CgroupColumn::MemoryEventsOomKill);
    let count = if sight.scope == Scope::CONTAINERS {
        let kept = tally_key(sight).and_then(|key| tallies.entries.get(&key)).map(|tally| tally.oom_kills);
        kept.or(all)
    } else {
        sight.row.value(CgroupColumn::MemoryEventsLocalOomKill).or(all)
    };
    count.map(Number::integer)
}

fn tally_key(sight: &Sight<'_>) -> Option<TallyKey> {
    let metadata = sight.subject.workload.as_ref()?.metadata.as_ref()?;
    let container = metadata.container.as_deref().unwrap_or(&metadata.name);
    Some(TallyKey {
        namespace: metadata.namespace.as_deref().unwrap_or("").into(),
        pod: metadata.pod.as_deref().unwrap_or("").into(),
        container: container.into(),
    })
}

/// `used = size − free`, root's reserve included, as cAdvisor counts.
pub fn filesystem_usage(sight: &Sight<'_>) -> Option<Number> {
    use crate::sample::catalogue::FilesystemColumn;
    let size = sight.row.value(FilesystemColumn::Size)?;
    Some(Number::integer(size.saturating_sub(sight.row.value(FilesystemColumn::Free)?)))
}

/// Inodes of a filesystem that counts them: btrfs says 0, which is not a number of inodes.
pub fn inodes(sight: &Sight<'_>) -> Option<Number> {
    use crate::sample::catalogue::FilesystemColumn;
    sight.row.value(FilesystemColumn::Files).filter(|files| *files > 0).map(Number::integer)
}

/// Free inodes, under the same condition.
pub fn inodes_free(sight: &Sight<'_>) -> Option<Number> {
    use crate::sample::catalogue::FilesystemColumn;
    inodes(sight)?;
    sight.row.value(FilesystemColumn::FilesFree).map(Number::integer)
}

/// Sectors of 512 bytes as bytes.
pub fn read_bytes(sight: &Sight<'_>) -> Option<Number> {
    use crate::sample::catalogue::DiskColumn;
    sight.row.value(DiskColumn::ReadSectors)?.checked_mul(512).map(Number::integer)
}

/// Sectors of 512 bytes as bytes.
pub fn written_bytes(sight: &Sight<'_>) -> Option<Number> {
    use crate::sample::catalogue::DiskColumn;
    sight.row.value(DiskColumn::WrittenSectors)?.checked_mul(512).map(Number::integer)
}

/// Discarded bytes of a v1 cgroup: its `blkio` files list all operations, v2's only reading and writing under this name.
pub fn discarded_v1(sight: &Sight<'_>) -> Option<Number> {
    use crate::sample::catalogue::DeviceColumn;
    sight.row.value(DeviceColumn::TotalBytes)?;
    sight.row.value(DeviceColumn::Dbytes).map(Number::integer)
}
