//! What led to a kill: a container's memory in the ten seconds before it, from the ring.
//!
//! In: the ring, a cgroup, an instant. Out: one [`LastSecond`] per tick, the oldest first, and what stands beside them: limit
//! and peak. A column that the ring does not have is left out. Next: [`detect`](super::detect).

use super::event::{Figure, LastSecond};
use crate::sample::SubjectId;
use crate::sample::catalogue::CgroupColumn as C;
use crate::sample::row::{Cell, Column as _};
use crate::store::{Point, Store};
use crate::units::UnixNanos;

const SECOND: u64 = 1_000_000_000;

/// How far back.
const BACK: u64 = 10 * SECOND;

/// Most ticks that are attached: at a short interval every second or tenth one.
const MOST: usize = 12;

/// The last seconds of a cgroup's memory up to `until`.
#[must_use]
pub fn last_seconds(store: &Store, subject: SubjectId, until: UnixNanos) -> Vec<LastSecond> {
    let from = UnixNanos(until.0.saturating_sub(BACK + SECOND / 2));
    let column = |column: C| store.history(subject, column.index(), from, until).unwrap_or_default();
    let usage = column(C::MemoryCurrentBytes);
    let (inactive, anon) = (column(C::MemoryStatInactiveFile), column(C::MemoryStatAnon));
    let stalled = column(C::MemoryPressureSomeTotalUsec);
    let apart = usage.len().div_ceil(MOST).max(1);
    // Counted from the newest, which is the one that matters most.
    let wanted = usage.iter().rev().step_by(apart).collect::<Vec<_>>();
    wanted
        .into_iter()
        .rev()
        .map(|point| {
            let memory_bytes = point.cell.value();
            let inactive = at(&inactive, point.wall);
            LastSecond {
                seconds_before: seconds(until.0.saturating_sub(point.wall.0)),
                memory_bytes,
                working_set_bytes: memory_bytes.zip(inactive).map(|(usage, inactive)| usage.saturating_sub(inactive)),
                anon_bytes: at(&anon, point.wall),
                memory_pressure_ratio: stall(&stalled, point.wall),
            }
        })
        .collect()
}

/// The limit and the largest reading, as numbers of an event.
#[must_use]
pub fn figures(store: &Store, subject: SubjectId, until: UnixNanos) -> Vec<Figure> {
    let from = UnixNanos(until.0.saturating_sub(6 * BACK));
    let newest = |column: C| {
        let points = store.history(subject, column.index(), from, until).unwrap_or_default();
        points.iter().rev().map(|point| point.cell).find(|cell| *cell != Cell::Absent).and_then(Cell::value)
    };
    let limit = newest(C::MemoryMaxBytes).map(|bytes| Figure::whole("memory_limit_bytes", bytes));
    let peak = newest(C::MemoryPeakBytes).map(|bytes| Figure::whole("memory_peak_bytes", bytes));
    limit.into_iter().chain(peak).collect()
}

/// The value of another column at a tick of this one: a dear file may not be read at every tick, then the one before counts.
fn at(points: &[Point], wall: UnixNanos) -> Option<u64> {
    let before = points.partition_point(|point| point.wall <= wall);
    points.get(..before)?.iter().rev().find_map(|point| point.cell.value())
}

/// The share of the time between a tick and the one before it for which some process waited.
#[expect(clippy::cast_precision_loss, reason = "microseconds of some seconds")]
fn stall(points: &[Point], wall: UnixNanos) -> Option<f64> {
    let index = points.iter().position(|point| point.wall == wall)?;
    let (before, now) = (points.get(index.checked_sub(1)?)?, points.get(index)?);
    let usec = now.cell.value()?.checked_sub(before.cell.value()?)?;
    let nanos = now.wall.0.checked_sub(before.wall.0).filter(|nanos| *nanos > 0)?;
    Some(round((usec as f64 * 1e3 / nanos as f64).min(1.0)))
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of some seconds")]
fn seconds(nanos: u64) -> f64 {
    round(nanos as f64 / 1e9)
}

fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
