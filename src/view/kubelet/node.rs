//! The node's CPU and memory as the kubelet has them: the root cgroup's.
//!
//! In: [`Seen`]. Out: numbers and when they were read. Where the root cgroup has no such file (CPU of cgroup v2 before
//! Linux 5.8), the node's own files stand for it. Next: [`resource`](super::resource), [`summary`](super::summary).

use super::pods::Seen;
use crate::sample::catalogue::{CgroupColumn as C, NodeColumn as N};
use crate::sample::derived::{usage_bytes, working_set_bytes};
use crate::sample::row::{Column, RowRef};
use crate::units::MonotonicNanos;
use crate::view::rates::{Reading, per_second};

/// One count of CPU time, now and before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NodeCpu {
    pub usage_usec: u64,
    pub read_at: MonotonicNanos,
    /// Microseconds of CPU time per second.
    pub per_second: Option<f64>,
}

/// CPU time of the node. One count goes on for as long as there is one: two counts that begin at different values, one
/// after the other, would look like a reset or like a thousand CPUs.
pub(super) fn cpu(seen: &Seen<'_>) -> Option<NodeCpu> {
    if let Some(root) = seen.root.map(|root| root.reading) {
        let told = |row: &RowRef<'_>| row.value(C::CpuUsageUsec);
        if let Some(usage_usec) = told(&root.row) {
            let per_second = root.per_second(C::CpuUsageUsec);
            return Some(NodeCpu { usage_usec, read_at: root.row.read_at, per_second });
        }
        if root.before.as_ref().and_then(told).is_some() {
            return None;
        }
    }
    let Reading { row, before } = seen.node?;
    let ticks_per_second = seen.sample.machine.ticks_per_second;
    let usage_usec = busy_usec(&row, ticks_per_second)?;
    let earlier = before.and_then(|before| Some((busy_usec(&before, ticks_per_second)?, before.read_at)));
    let per_second = earlier.and_then(|earlier| per_second(earlier, (usage_usec, row.read_at)));
    Some(NodeCpu { usage_usec, read_at: row.read_at, per_second })
}

/// CPU time that was neither idle nor another machine's. User time holds the guests'.
fn busy_usec(row: &RowRef<'_>, ticks_per_second: u64) -> Option<u64> {
    let busy = [N::CpuUserTicks, N::CpuNiceTicks, N::CpuSystemTicks, N::CpuIrqTicks, N::CpuSoftirqTicks];
    let ticks = busy.into_iter().filter_map(|column| row.value(column)).reduce(u64::saturating_add)?;
    ticks.checked_mul(1_000_000)?.checked_div(ticks_per_second)
}

/// Memory in use.
pub(super) fn usage(seen: &Seen<'_>) -> Option<(u64, MonotonicNanos)> {
    let root = seen.root.map(|root| root.reading.row);
    let of_root = root.and_then(|row| Some((usage_bytes(&row, true)?, row.read_at)));
    of_root.or_else(|| meminfo(seen))
}

/// Memory in use without inactive file pages.
pub(super) fn working_set(seen: &Seen<'_>) -> Option<(u64, MonotonicNanos)> {
    let root = seen.root.map(|root| root.reading.row);
    let of_root = root.and_then(|row| Some((working_set_bytes(&row, true)?, row.read_at)));
    of_root.or_else(|| {
        let (usage, at) = meminfo(seen)?;
        Some((usage.saturating_sub(seen.node?.row.value(N::MeminfoInactiveFile)?), at))
    })
}

fn meminfo(seen: &Seen<'_>) -> Option<(u64, MonotonicNanos)> {
    let row = seen.node?.row;
    Some((difference(&row, N::MeminfoMemTotal, N::MeminfoMemFree)?, row.read_at))
}

/// Swap in use.
pub(super) fn swap(seen: &Seen<'_>) -> Option<(u64, MonotonicNanos)> {
    let row = seen.node?.row;
    Some((difference(&row, N::MeminfoSwapTotal, N::MeminfoSwapFree)?, row.read_at))
}

fn difference(row: &RowRef<'_>, whole: impl Column, part: impl Column) -> Option<u64> {
    row.value(whole)?.checked_sub(row.value(part)?)
}
