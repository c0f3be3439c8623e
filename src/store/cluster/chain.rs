//! One node's samples that follow one another: who is there, the newest values, and how they came about.
//!
//! In: samples that were checked, in order. Out: the newest readings of any entity, with the counters' values at the
//! beginning of the window: they are found by undoing the newest sample's differences, so nothing is kept twice.
//! A stand-alone push begins another chain. It believes nothing by itself. Next: [`super::node`].

use std::sync::Arc;
use std::time::Duration;

use super::cells::Table;
use super::entity::{NONE, POD, Refusal, Slot, Slots, Standing, Who, low_half};
use super::frame::{self, Changes};
use super::metric::{Metric, MetricKind, MetricSet};
use super::past::{OWN_OF_PODS, Past};
use super::protobuf::Malformed;
use super::push::{Born, BornKind, MOST_ENTITIES, Push, Sample};
use super::record::Readings;
use crate::units::UnixNanos;

/// Looks up how a pod stands, and keeps a container's name once for all that have it.
pub(super) trait Resolve {
    fn pod(&self, born: &Born<'_>) -> Standing;
    fn name(&self, name: &str) -> Arc<str>;
}

/// A run's samples since its newest stand-alone push.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub slots: Slots,
    /// By kind.
    pub tables: [Table; 3],
    /// Sequence and time of the newest sample, and the time of the one before it.
    pub sequence: u64,
    pub wall: UnixNanos,
    pub earlier: Option<UnixNanos>,
    /// The newest sample's differences, as they came.
    pub deltas: Vec<u8>,
    /// The samples before it.
    pub past: Past,
}

/// What stands at each index while a push is checked: free, or a kind, and a container's pod.
struct Trial {
    kind: [u8; MOST_ENTITIES as usize],
    pod: [u16; MOST_ENTITIES as usize],
}

const FREE: u8 = 0;
/// The pod of those that have none.
const NO_POD: u16 = NONE;

impl Trial {
    fn of(slots: &Slots) -> Self {
        let mut trial = Self { kind: [FREE; MOST_ENTITIES as usize], pod: [NO_POD; MOST_ENTITIES as usize] };
        for (index, slot) in slots.iter() {
            let (kind, pod) = match slot.who {
                Who::Node => (BornKind::Node, NO_POD),
                Who::Pod(_) => (BornKind::Pod, NO_POD),
                Who::Container(_, pod) => (BornKind::Container, pod),
            };
            trial.put(u32::from(index), kind, pod);
        }
        trial
    }

    fn put(&mut self, index: u32, kind: BornKind, pod: u16) {
        if let (Some(place), Some(of)) = (self.kind.get_mut(index as usize), self.pod.get_mut(index as usize)) {
            *place = kind as u8 + 1;
            *of = pod;
        }
    }

    fn kind(&self, index: u32) -> u8 {
        self.kind.get(index as usize).copied().unwrap_or(FREE)
    }

    fn sample(&mut self, sample: &Sample<'_>) -> Result<(), Malformed> {
        let mut any_gone = false;
        for index in sample.gone() {
            if let Some(place) = usize::try_from(index).ok().and_then(|index| self.kind.get_mut(index)) {
                *place = FREE;
                any_gone = true;
            }
        }
        if any_gone {
            for index in 0..MOST_ENTITIES as usize {
                let pod = self.pod.get(index).copied().unwrap_or(NO_POD);
                if pod != NO_POD
                    && self.kind(u32::from(pod)) == FREE
                    && let Some(place) = self.kind.get_mut(index)
                {
                    *place = FREE;
                }
            }
        }
        for born in sample.born() {
            if self.kind(born.index) != FREE {
                return Err(Malformed("an entity is born at an index that is taken"));
            }
            let mut pod = NO_POD;
            if born.kind == BornKind::Container {
                if self.kind(born.pod_index) != BornKind::Pod as u8 + 1 {
                    return Err(Malformed("a container is born before its pod"));
                }
                pod = u16::try_from(born.pod_index).unwrap_or(NO_POD);
            }
            self.put(born.index, born.kind, pod);
        }
        sample.changes.check(|index| self.kind(index) != FREE)
    }
}

impl Chain {
    /// Whether all of `samples` fit behind what is here; nothing is changed.
    pub fn check(&self, samples: &[Sample<'_>]) -> Result<(), Malformed> {
        if samples.iter().any(|sample| sample.born().next().is_some() || sample.gone().next().is_some()) {
            let mut trial = Trial::of(&self.slots);
            return samples.iter().try_for_each(|sample| trial.sample(sample));
        }
        let live = |index| u16::try_from(index).is_ok_and(|index| self.slots.get(index).is_some());
        samples.iter().try_for_each(|sample| sample.changes.check(live))
    }

    /// Whether a stand-alone push is sound by itself.
    pub fn check_alone(push: &Push<'_>) -> Result<(), Malformed> {
        Self::default().check(&push.samples)
    }

    /// Applies a sample that was checked.
    pub fn apply(&mut self, sample: &Sample<'_>, resolve: &impl Resolve) {
        for index in sample.gone() {
            if let Ok(index) = u16::try_from(index) {
                self.remove(index, sample.sequence);
            }
        }
        for born in sample.born() {
            self.add(&born, sample.sequence, resolve);
        }
        self.earlier = (self.sequence != 0).then_some(self.wall);
        self.sequence = sample.sequence;
        self.wall = sample.wall;
        self.deltas.clear();
        self.deltas.reserve_exact(sample.changes.delta_bytes().len());
        self.deltas.extend_from_slice(sample.changes.delta_bytes());
        let mut walk = sample.changes.walk();
        while let Some((index, mask)) = walk.entity() {
            let Some(slot) = u16::try_from(index).ok().and_then(|index| self.slots.get_mut(index)) else {
                walk.skip(mask.count_ones());
                continue;
            };
            let kind = slot.who.kind();
            slot.changed = low_half(sample.sequence);
            slot.mask = mask;
            slot.offset = u32::try_from(walk.offset()).unwrap_or(u32::MAX);
            let Some(table) = self.tables.get_mut(kind) else { continue };
            let kept = self.past.entity(index, kind, mask);
            for metric in frame::bits(mask & MetricSet::ALL.bits()) {
                let delta = walk.delta();
                table.add(slot.row, metric, delta);
                if kept >> metric & 1 == 1 {
                    self.past.delta(delta);
                }
            }
            // Metrics that are not known here have the highest numbers.
            walk.skip((mask & !MetricSet::ALL.bits()).count_ones());
        }
        self.past.end(sample.sequence, sample.wall);
    }

    fn add(&mut self, born: &Born<'_>, sequence: u64, resolve: &impl Resolve) {
        let Ok(index) = u16::try_from(born.index) else { return };
        let who = match born.kind {
            BornKind::Node => Who::Node,
            BornKind::Pod => Who::Pod(resolve.pod(born)),
            BornKind::Container => {
                Who::Container(resolve.name(born.name), u16::try_from(born.pod_index).unwrap_or(NONE))
            }
        };
        let Some(table) = self.tables.get_mut(who.kind()) else { return };
        let row = table.add_row();
        let slot = Slot {
            who,
            started: born.started,
            born: low_half(sequence),
            changed: low_half(sequence),
            mask: 0,
            offset: 0,
            row,
            first: NONE,
            next: NONE,
        };
        self.slots.put(index, slot);
    }

    fn remove(&mut self, index: u16, sequence: u64) {
        let mut first = self.slots.get(index).map_or(NONE, |slot| slot.first);
        while let Some(next) = self.slots.get(first).map(|slot| slot.next) {
            self.remove_one(first, sequence);
            first = next;
        }
        self.remove_one(index, sequence);
    }

    fn remove_one(&mut self, index: u16, sequence: u64) {
        let Some(slot) = self.slots.get(index) else { return };
        let Some(table) = self.tables.get(slot.who.kind()) else { return };
        let standing = match &slot.who {
            Who::Node => None,
            Who::Pod(standing) => Some(standing),
            Who::Container(_, pod) => match self.slots.get(*pod) {
                Some(Slot { who: Who::Pod(standing), .. }) => Some(standing),
                _ => None,
            },
        };
        self.past.gone(index, sequence, slot, standing, table);
        let Some(slot) = self.slots.take(index) else { return };
        if let Some(table) = self.tables.get_mut(slot.who.kind()) {
            table.free_row(slot.row);
        }
    }

    /// The newest values of the entity in `slot` and those at the beginning of its window.
    pub fn readings(&self, slot: &Slot, wanted: MetricSet) -> Readings {
        let born_now = slot.born == low_half(self.sequence);
        let started_within = self.earlier.is_some_and(|earlier| earlier <= slot.started) && slot.started < self.wall;
        let window = match self.earlier {
            Some(_) if born_now && started_within => nanos_between(slot.started, self.wall),
            Some(earlier) if !born_now => nanos_between(earlier, self.wall),
            _ => Duration::ZERO,
        };
        let Some(table) = self.tables.get(slot.who.kind()) else { return Readings::default() };
        let changed_now = if slot.changed == low_half(self.sequence) { slot.mask } else { 0 };
        let mut deltas = Changes::of_deltas(&self.deltas).deltas_from(slot.offset as usize);
        let mut undone = 0u64;
        // Without metrics that are a pod's own its containers say it all, and its row need not be looked at.
        let none = slot.who.kind() == POD && wanted.bits() & OWN_OF_PODS.bits() == 0;
        let shown = if none { 0 } else { wanted.bits() & table.present() };
        let mut values = Vec::with_capacity(shown.count_ones() as usize);
        for number in frame::bits(shown) {
            let Some(metric) = Metric::ALL.get(number) else { continue };
            let newest = table.get(slot.row, number);
            let mut earlier = newest;
            if changed_now >> number & 1 == 1 {
                // Differences stand one after the other: those of metrics between are passed over.
                deltas.skip((changed_now & !undone & ((1 << number) - 1)).count_ones());
                earlier = newest.wrapping_add_signed(deltas.take().wrapping_neg());
                undone = u64::MAX >> (63 - number);
            }
            let Some(value) = frame::value(newest) else { continue };
            let earlier = match metric.info().kind {
                _ if window.is_zero() => None,
                MetricKind::Counter if born_now => Some(0),
                _ if born_now => None,
                _ => frame::value(earlier),
            };
            values.push((*metric, value, earlier));
        }
        Readings::new(self.wall, window, values)
    }

    /// Bytes on the heap that it keeps for the newest values.
    pub fn newest_bytes(&self) -> usize {
        let tables: usize = self.tables.iter().map(Table::heap_bytes).sum();
        tables + self.slots.heap_bytes() + self.deltas.capacity()
    }

    /// How many pods and containers are not believed, by reason.
    pub fn refused(&self) -> [u64; Refusal::ALL.len()] {
        let mut refused = [0; Refusal::ALL.len()];
        for (index, slot) in self.slots.iter() {
            if let Who::Pod(Standing::Refused(_, reason)) = &slot.who
                && let Some(count) = refused.get_mut(*reason as usize)
            {
                *count += 1 + self.slots.containers(index).count() as u64;
            }
        }
        refused
    }
}

fn nanos_between(earlier: UnixNanos, later: UnixNanos) -> Duration {
    Duration::from_nanos(later.0.saturating_sub(earlier.0))
}
