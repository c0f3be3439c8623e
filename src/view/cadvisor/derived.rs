//! Version 2's `summary`: how much was used over the last minute, hour and day, as percentiles.
//!
//! In: the history of a container's CPU time and memory. Out: [`DerivedStats`] by cAdvisor's rules: seconds make a minute,
//! and the 90th percentiles of minutes make an hour and a day. CPU is in thousandths of one CPU, memory is the working set.

use serde::{Deserialize, Serialize};

use super::fill::{is_root, time};
use super::tree::{Container, Tree};
use crate::sample::catalogue::CgroupColumn as C;
use crate::sample::derived::working_set_bytes;
use crate::sample::row::Column;
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::rates::per_second;

const MINUTE_NANOS: u64 = 60_000_000_000;

/// What is told of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedStats {
    /// Of the newest tick.
    pub timestamp: String,
    /// Now.
    pub latest_usage: Instant,
    /// Of the last minute.
    pub minute_usage: Usage,
    /// Of the last hour.
    pub hour_usage: Usage,
    /// Of the last day.
    pub day_usage: Usage,
}

/// Usage now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instant {
    /// In thousandths of one CPU.
    pub cpu: u64,
    /// In bytes.
    pub memory: u64,
}

/// Usage over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How much of that time is known, in percent.
    pub percent_complete: u64,
    /// In thousandths of one CPU.
    pub cpu: Percentiles,
    /// In bytes.
    pub memory: Percentiles,
}

/// How values are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Whether anything is known.
    pub present: bool,
    /// Mean.
    pub mean: u64,
    /// Standard deviation.
    pub std: u64,
    /// Largest.
    pub max: u64,
    /// Median.
    pub fifty: u64,
    /// 90th percentile.
    pub ninety: u64,
    /// 95th percentile.
    pub ninetyfive: u64,
    /// Number of values.
    pub count: u64,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the values are not negative")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// How values are spread, of which each stands for a mean and a largest one.
fn spread(values: &mut [u64], mean: f64, max: u64) -> Percentiles {
    if values.is_empty() {
        return Percentiles::default();
    }
    values.sort_unstable();
    let count = values.len() as f64;
    let nearest = |share: f64| {
        let rank = whole((share * count).ceil()).max(1);
        let place = usize::try_from(rank - 1).unwrap_or(usize::MAX).min(values.len() - 1);
        values.get(place).copied().unwrap_or(0)
    };
    let squares: f64 = values.iter().map(|value| (*value as f64 - mean).powi(2)).sum();
    Percentiles {
        present: true,
        mean: whole(mean),
        std: if count > 1.0 { whole((squares / (count - 1.0)).sqrt()) } else { 0 },
        max,
        fifty: nearest(0.5),
        ninety: nearest(0.9),
        ninetyfive: nearest(0.95),
        count: u64::try_from(values.len()).unwrap_or(u64::MAX),
    }
}

fn of_values(mut values: Vec<u64>) -> Percentiles {
    let mean = values.iter().map(|value| *value as f64).sum::<f64>() / values.len().max(1) as f64;
    let max = values.iter().copied().max().unwrap_or(0);
    spread(&mut values, mean, max)
}

/// Minutes together: of each its 90th percentile counts.
fn of_minutes(minutes: &[Percentiles]) -> Percentiles {
    let present: Vec<_> = minutes.iter().filter(|minute| minute.present).collect();
    let mean = present.iter().map(|minute| minute.mean as f64).sum::<f64>() / present.len().max(1) as f64;
    let max = present.iter().map(|minute| minute.max).max().unwrap_or(0);
    let mut values: Vec<u64> = present.iter().map(|minute| minute.ninety).collect();
    spread(&mut values, mean, max)
}

/// One minute in the making.
#[derive(Default)]
struct Minute {
    cpu: Vec<u64>,
    memory: Vec<u64>,
}

impl Minute {
    fn usage(self) -> Usage {
        Usage { percent_complete: 100, cpu: of_values(self.cpu), memory: of_values(self.memory) }
    }
}

fn together(minutes: &[Usage], of: u64) -> Usage {
    let known = u64::try_from(minutes.len()).unwrap_or(u64::MAX);
    Usage {
        percent_complete: (known.saturating_mul(100) / of).min(100),
        cpu: of_minutes(&minutes.iter().map(|minute| minute.cpu).collect::<Vec<_>>()),
        memory: of_minutes(&minutes.iter().map(|minute| minute.memory).collect::<Vec<_>>()),
    }
}

/// The summary of one container.
pub(super) fn summary(tree: &Tree<'_>, container: &Container<'_>) -> DerivedStats {
    let end = tree.sample.wall;
    let of_root = is_root(container.subject);
    let columns =
        [C::CpuUsageUsec, C::MemoryCurrentBytes, C::MemoryStatAnon, C::MemoryStatFile, C::MemoryStatInactiveFile];
    let columns = columns.map(Column::index);
    let start = UnixNanos(end.0.saturating_sub(24 * 60 * MINUTE_NANOS));
    let mut before: Option<(u64, MonotonicNanos)> = None;
    let (mut first, mut minute_number) = (end, None);
    let (mut minute, mut minutes) = (Minute::default(), Vec::new());
    let mut latest = Instant::default();
    // Nothing kept means nothing known.
    let _ = tree.source.store.rows(container.subject.id, Some(&columns), start, end, |observed| {
        let number = end.0.saturating_sub(observed.wall.0) / MINUTE_NANOS;
        if minute_number.is_some_and(|current| current != number) {
            minutes.push(std::mem::take(&mut minute).usage());
        }
        minute_number = Some(number);
        first = first.min(observed.wall);
        if let Some(usec) = observed.row.value(C::CpuUsageUsec) {
            let now = (usec, observed.row.read_at);
            if let Some(rate) = before.and_then(|before| per_second(before, now)) {
                latest.cpu = whole(rate / 1e3);
                minute.cpu.push(latest.cpu);
            }
            before = Some(now);
        }
        if let Some(bytes) = working_set_bytes(&observed.row, of_root) {
            latest.memory = bytes;
            minute.memory.push(bytes);
        }
    });
    minutes.push(minute.usage());
    let last = |count: usize| minutes.get(minutes.len().saturating_sub(count)..).unwrap_or_default();
    let known_nanos = end.0.saturating_sub(first.0).min(MINUTE_NANOS);
    let newest = last(1).first().copied().unwrap_or_default();
    DerivedStats {
        timestamp: time(end),
        latest_usage: latest,
        minute_usage: Usage { percent_complete: known_nanos.saturating_mul(100) / MINUTE_NANOS, ..newest },
        hour_usage: together(last(60), 60),
        day_usage: together(last(24 * 60), 24 * 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_values_and_minutes_count_by_their_ninetieth() {
        let minute = of_values((1..=100).collect());
        assert_eq!((minute.fifty, minute.ninety, minute.ninetyfive, minute.max), (50, 90, 95, 100));
        assert_eq!((minute.mean, minute.std, minute.count, minute.present), (51, 29, 100, true));
        let hour = of_minutes(&[minute, of_values(vec![7]), Percentiles::default()]);
        assert_eq!((hour.fifty, hour.ninety, hour.max, hour.mean, hour.count), (7, 90, 100, 29, 2));
        assert_eq!(of_values(Vec::new()), Percentiles::default());
    }
}
