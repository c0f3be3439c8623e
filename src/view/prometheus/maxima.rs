//! The highest value in one tick since the last scrape, so that a burst between two scrapes is seen.
//!
//! In: every tick's sample, and who scraped which tick. Out: per cgroup the maxima to show, and what else can only be told
//! by who saw every tick: [`distributions`](super::distributions), [`headroom`](super::headroom) and the sums of
//! [`rollups`](super::rollups). Each active scraper (peer
//! address and `User-Agent`, scraped within the last five minutes, at most eight) has its own window, which begins after
//! the tick that it was last shown. An exposition shows the highest value over all active windows: no scraper misses a
//! burst because another one came first, and what it sees may be older than its own last scrape. Fed outside the
//! sampling thread. Next: [`encoder`](super::encoder).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::distributions::Distributions;
use super::headroom::Growth;
use super::layout::shows_interface;
use super::rollups::{Rollups, Summed};
use crate::sample::catalogue::{CgroupColumn, DeviceColumn, InterfaceColumn, Table};
use crate::sample::derived::working_set_bytes;
use crate::sample::row::RowRef;
use crate::sample::{CgroupKind, NodeSample, SubjectId};
use crate::units::{MonotonicNanos, UnixNanos};

/// Most scrapers that have a window of their own. Further ones are shown the others' windows.
pub const MAX_SCRAPERS: usize = 8;
/// How long after its last scrape a scraper counts as active.
pub const ACTIVE_FOR: Duration = Duration::from_secs(300);
/// Longest part of a `User-Agent` that tells scrapers apart.
const MAX_AGENT_BYTES: usize = 128;

/// What a maximum is kept of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Peak {
    /// CPU time per time.
    CpuUsageCores,
    /// Throttled periods per period.
    CpuThrottledRatio,
    /// Share of the tick in which some task waited for a CPU.
    CpuWaitingRatio,
    /// Share of the tick in which some task waited for memory.
    MemoryWaitingRatio,
    /// Share of the tick in which some task waited for io.
    IoWaitingRatio,
    /// Working set.
    WorkingSetBytes,
    /// Received bytes per second over all interfaces.
    ReceiveBytesPerSecond,
    /// Sent bytes per second over all interfaces.
    TransmitBytesPerSecond,
    /// Bytes per second read from block devices.
    ReadBytesPerSecond,
    /// Bytes per second written to block devices.
    WriteBytesPerSecond,
}

const PEAKS: usize = 10;

/// One value per [`Peak`]; NaN is absent.
#[derive(Debug, Clone, Copy)]
pub struct Values([f64; PEAKS]);

impl Values {
    const NONE: Self = Self([f64::NAN; PEAKS]);

    /// The value, if there is one.
    #[must_use]
    pub fn get(&self, peak: Peak) -> Option<f64> {
        self.0.get(peak as usize).copied().filter(|value| !value.is_nan())
    }

    fn put(&mut self, peak: Peak, value: Option<f64>) {
        if let (Some(cell), Some(value)) = (self.0.get_mut(peak as usize), value) {
            *cell = value;
        }
    }

    fn add(&mut self, peak: Peak, value: Option<f64>) {
        let sum = value.map(|value| value + self.get(peak).unwrap_or(0.0));
        self.put(peak, sum);
    }
}

/// The highest value per [`Peak`], and when it was.
#[derive(Debug, Clone, Copy)]
pub struct Highest {
    values: Values,
    at: [UnixNanos; PEAKS],
}

impl Highest {
    const NONE: Self = Self { values: Values::NONE, at: [UnixNanos(0); PEAKS] };

    /// The value, if there is one, and the wall clock of its tick.
    #[must_use]
    pub fn get(&self, peak: Peak) -> Option<(f64, UnixNanos)> {
        Some((self.values.get(peak)?, self.at.get(peak as usize).copied()?))
    }

    /// Of equal values the earlier one stays.
    fn merge(&mut self, other: &Self) {
        let mine = self.values.0.iter_mut().zip(&mut self.at);
        for ((value, at), (theirs, their_at)) in mine.zip(other.values.0.iter().zip(&other.at)) {
            if *theirs > *value || (value.is_nan() && !theirs.is_nan()) {
                (*value, *at) = (*theirs, *their_at);
            }
        }
    }

    fn tick(values: &Values, at: UnixNanos) -> Self {
        Self { values: *values, at: [at; PEAKS] }
    }
}

/// Who scrapes: what tells one scraper's window from another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scraper {
    peer: std::net::IpAddr,
    agent: String,
}

impl Scraper {
    /// A scraper by its address and `User-Agent`.
    #[must_use]
    pub fn new(peer: std::net::IpAddr, agent: &str) -> Self {
        Self { peer, agent: super::labels::clip(agent, MAX_AGENT_BYTES).to_owned() }
    }
}

#[derive(Debug)]
struct Slot {
    scraper: Scraper,
    scraped_at: Instant,
}

/// The counters that rates are made of: up to seven of one row.
#[derive(Debug, Clone, Copy)]
struct Last {
    read_at: MonotonicNanos,
    tick: u64,
    values: [Option<u64>; 6],
}

impl Last {
    fn of(row: &RowRef<'_>, tick: u64, columns: [Option<usize>; 6]) -> Self {
        let values = columns.map(|column| column.and_then(|column| row.cell_at(column).value()));
        Self { read_at: row.read_at, tick, values }
    }

    /// The growth of one counter; `None` when it went back or was not there.
    fn growth(&self, before: &Self, index: usize) -> Option<f64> {
        self.grown(before, index).map(float)
    }

    fn grown(&self, before: &Self, index: usize) -> Option<u64> {
        let now = self.values.get(index).copied().flatten()?;
        let then = before.values.get(index).copied().flatten()?;
        now.checked_sub(then)
    }
}

#[derive(Debug)]
struct Tracked {
    last: Last,
    /// The two newest ticks' values, newest first: a scrape of the tick before may come after the next tick was seen.
    recent: [Recent; 2],
    windows: Vec<Highest>,
    /// Shared with those who show it; changed in place when nobody does.
    distributions: Arc<Distributions>,
    growth: Growth,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    tick: u64,
    wall: UnixNanos,
    values: Values,
}

impl Recent {
    const NONE: Self = Self { tick: 0, wall: UnixNanos(0), values: Values::NONE };

    fn highest(&self) -> Highest {
        Highest::tick(&self.values, self.wall)
    }
}

/// Keeps the windows.
#[derive(Debug, Default)]
pub struct Tracker {
    tick: u64,
    cgroups: HashMap<SubjectId, Tracked>,
    parts: HashMap<SubjectId, Last>,
    slots: Vec<Option<Slot>>,
    untracked: u64,
    rollups: Rollups,
}

/// What an exposition shows of everything that was seen before it.
#[derive(Debug, Clone, Default)]
pub struct Maxima {
    cgroups: HashMap<SubjectId, Followed>,
    /// Sums per namespace and workload.
    pub summed: Summed,
}

#[derive(Debug, Clone)]
struct Followed {
    highest: Highest,
    distributions: Arc<Distributions>,
    time_to_limit_seconds: Option<f64>,
}

impl Maxima {
    /// One cgroup's maximum.
    #[must_use]
    pub fn get(&self, id: SubjectId, peak: Peak) -> Option<f64> {
        self.when(id, peak).map(|(value, _)| value)
    }

    /// The same with the wall clock of its tick.
    #[must_use]
    pub fn when(&self, id: SubjectId, peak: Peak) -> Option<(f64, UnixNanos)> {
        self.cgroups.get(&id)?.highest.get(peak)
    }

    /// One cgroup's distributions.
    #[must_use]
    pub fn distributions(&self, id: SubjectId) -> Option<&Distributions> {
        self.cgroups.get(&id).map(|followed| &*followed.distributions)
    }

    /// How long one cgroup's memory takes to its limit, if it goes on growing as it did.
    #[must_use]
    pub fn time_to_limit_seconds(&self, id: SubjectId) -> Option<f64> {
        self.cgroups.get(&id)?.time_to_limit_seconds
    }
}

const CGROUP_COLUMNS: [Option<usize>; 6] = [
    Some(CgroupColumn::CpuUsageUsec as usize),
    Some(CgroupColumn::CpuNrPeriods as usize),
    Some(CgroupColumn::CpuNrThrottled as usize),
    Some(CgroupColumn::CpuPressureSomeTotalUsec as usize),
    Some(CgroupColumn::MemoryPressureSomeTotalUsec as usize),
    Some(CgroupColumn::IoPressureSomeTotalUsec as usize),
];

impl Tracker {
    /// Takes in a tick, unless it is known already. A cgroup that is not in it any more is forgotten.
    pub fn observe(&mut self, sample: &NodeSample) {
        if sample.tick <= self.tick {
            return;
        }
        self.tick = sample.tick;
        let root = self.observe_cgroups(sample);
        self.observe_parts(sample, root);
        for tracked in self.cgroups.values_mut() {
            let [recent, _] = &tracked.recent;
            let newest = recent.highest();
            for window in &mut tracked.windows {
                window.merge(&newest);
            }
            Arc::make_mut(&mut tracked.distributions).observe(&recent.values);
        }
        self.rollups.observe(sample);
    }

    fn observe_cgroups(&mut self, sample: &NodeSample) -> Option<SubjectId> {
        let (tick, slots, shortest) = (sample.tick, self.slots.len(), shortest_nanos(sample));
        let mut root = None;
        for (subject, row) in sample.iter(Table::Cgroup) {
            let kind = subject.workload.as_ref().map_or(CgroupKind::Other, |workload| workload.kind());
            match kind {
                CgroupKind::Root => root = Some(subject.id),
                CgroupKind::Container | CgroupKind::Sandbox | CgroupKind::Pod => {}
                _ => continue,
            }
            let now = Last::of(&row, tick, CGROUP_COLUMNS);
            let tracked = self.cgroups.entry(subject.id).or_insert_with(|| Tracked {
                last: now,
                recent: [Recent::NONE; 2],
                windows: vec![Highest::NONE; slots],
                distributions: Arc::new(Distributions::new(sample.wall)),
                growth: Growth::default(),
            });
            let nanos = now.read_at.since(tracked.last.read_at);
            let mut values = Values::NONE;
            let working_set = working_set_bytes(&row, kind == CgroupKind::Root);
            values.put(Peak::WorkingSetBytes, working_set.map(float));
            tracked.growth.observe(row.read_at, working_set, row.cell(CgroupColumn::MemoryMaxBytes));
            if nanos >= shortest {
                put_cgroup_rates(&mut values, &now, &tracked.last, float(nanos), sample.machine.cpu_cores);
                tracked.last = now;
            }
            // Read too soon after the last time: the counters stay as they are, the next tick's rate spans both.
            tracked.last.tick = tick;
            let [newest, _] = tracked.recent;
            tracked.recent = [Recent { tick, wall: sample.wall, values }, newest];
        }
        self.cgroups.retain(|_, tracked| tracked.last.tick == tick);
        root
    }

    fn observe_parts(&mut self, sample: &NodeSample, root: Option<SubjectId>) {
        const DEVICE: [usize; 2] = [DeviceColumn::Rbytes as usize, DeviceColumn::Wbytes as usize];
        const INTERFACE: [usize; 2] = [InterfaceColumn::RxBytes as usize, InterfaceColumn::TxBytes as usize];
        let shortest = shortest_nanos(sample);
        for (table, columns, peaks) in [
            (Table::Device, DEVICE, [Peak::ReadBytesPerSecond, Peak::WriteBytesPerSecond]),
            (Table::Interface, INTERFACE, [Peak::ReceiveBytesPerSecond, Peak::TransmitBytesPerSecond]),
        ] {
            for (subject, row) in sample.iter(table) {
                let Some(owner) = subject.owner.or(root) else { continue };
                let Some(tracked) = self.cgroups.get_mut(&owner) else { continue };
                let kind = match &subject.workload {
                    Some(workload) if Some(owner) != root => workload.kind(),
                    _ => CgroupKind::Root,
                };
                if table == Table::Interface && !shows_interface(kind, &subject.name) {
                    continue;
                }
                let [first, second] = columns;
                let now = Last::of(&row, sample.tick, [Some(first), Some(second), None, None, None, None]);
                let before = self.parts.entry(subject.id).or_insert(now);
                let nanos = now.read_at.since(before.read_at);
                if nanos >= shortest {
                    let [recent, _] = &mut tracked.recent;
                    for (index, peak) in peaks.into_iter().enumerate() {
                        recent.values.add(peak, now.growth(before, index).map(|bytes| bytes * 1e9 / float(nanos)));
                    }
                    if table == Table::Interface {
                        self.rollups.network(subject, [0, 1].map(|index| now.grown(before, index).unwrap_or(0)));
                    }
                    *before = now;
                }
                before.tick = sample.tick;
            }
        }
        self.parts.retain(|_, last| last.tick == sample.tick);
    }

    /// The maxima to show now: over all active windows and the newest tick.
    #[must_use]
    pub fn maxima(&self, now: Instant) -> Maxima {
        let active: Vec<bool> = self.slots.iter().map(|slot| is_active(slot.as_ref(), now)).collect();
        let over = |tracked: &Tracked| {
            let [recent, _] = &tracked.recent;
            let mut highest = recent.highest();
            for (window, active) in tracked.windows.iter().zip(&active) {
                if *active {
                    highest.merge(window);
                }
            }
            Followed {
                highest,
                distributions: Arc::clone(&tracked.distributions),
                time_to_limit_seconds: tracked.growth.time_to_limit_seconds(),
            }
        };
        let cgroups = self.cgroups.iter().map(|(id, tracked)| (*id, over(tracked))).collect();
        Maxima { cgroups, summed: self.rollups.summed() }
    }

    /// Notes that a scraper was shown the exposition of `tick`: its window begins anew after that tick.
    pub fn scraped(&mut self, scraper: &Scraper, tick: u64, now: Instant) {
        let Some(index) = self.slot_of(scraper, now) else {
            self.untracked += 1;
            return;
        };
        for tracked in self.cgroups.values_mut() {
            if tracked.windows.len() <= index {
                tracked.windows.resize(index + 1, Highest::NONE);
            }
            if let Some(window) = tracked.windows.get_mut(index) {
                *window = Highest::NONE;
                for recent in &tracked.recent {
                    if recent.tick > tick {
                        window.merge(&recent.highest());
                    }
                }
            }
        }
    }

    /// Scrapers that are active.
    #[must_use]
    pub fn active(&self, now: Instant) -> usize {
        self.slots.iter().filter(|slot| is_active(slot.as_ref(), now)).count()
    }

    /// Scrapes by scrapers that found no free window.
    #[must_use]
    pub fn untracked(&self) -> u64 {
        self.untracked
    }

    fn slot_of(&mut self, scraper: &Scraper, now: Instant) -> Option<usize> {
        let known = self.slots.iter().position(|slot| slot.as_ref().is_some_and(|slot| slot.scraper == *scraper));
        let index = match known.or_else(|| self.slots.iter().position(|slot| !is_active(slot.as_ref(), now))) {
            Some(index) => index,
            None if self.slots.len() < MAX_SCRAPERS => {
                self.slots.push(None);
                self.slots.len() - 1
            }
            None => return None,
        };
        *self.slots.get_mut(index)? = Some(Slot { scraper: scraper.clone(), scraped_at: now });
        Some(index)
    }
}

fn is_active(slot: Option<&Slot>, now: Instant) -> bool {
    slot.is_some_and(|slot| now.saturating_duration_since(slot.scraped_at) <= ACTIVE_FOR)
}

/// Rates over less than a quarter of a tick are noise: a cgroup is read at its birth and again at the next tick.
fn shortest_nanos(sample: &NodeSample) -> u64 {
    match sample.self_stats.interval_nanos {
        0 => 100_000_000,
        interval => interval / 4,
    }
    .max(1)
}

fn put_cgroup_rates(values: &mut Values, now: &Last, before: &Last, nanos: f64, cores: u64) {
    // More than all cores is a broken counter, not a rate; the margin is for the clock.
    let believable = |rate: &f64| cores == 0 || *rate <= float(cores) * 2.0;
    let per_time = |index| now.growth(before, index).map(|usec| usec * 1000.0 / nanos);
    values.put(Peak::CpuUsageCores, per_time(0).filter(believable));
    let throttled = match (now.growth(before, 2), now.growth(before, 1)) {
        (Some(throttled), Some(periods)) if periods > 0.0 => Some((throttled / periods).min(1.0)),
        (Some(_), Some(_)) => Some(0.0),
        _ => None,
    };
    values.put(Peak::CpuThrottledRatio, throttled);
    values.put(Peak::CpuWaitingRatio, per_time(3).map(|ratio| ratio.min(1.0)));
    values.put(Peak::MemoryWaitingRatio, per_time(4).map(|ratio| ratio.min(1.0)));
    values.put(Peak::IoWaitingRatio, per_time(5).map(|ratio| ratio.min(1.0)));
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn float(value: u64) -> f64 {
    value as f64
}
