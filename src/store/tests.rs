//! The ring against a plain list: whatever was appended and not evicted is read back, exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::query::{Fold, Windows};
use super::*;
use crate::sample::catalogue::{Kind, Table};
use crate::sample::row::{Cell, Column, Row};
use crate::sample::{Roster, Subject, SubjectId};
use crate::units::{Limit, MonotonicNanos};

#[derive(Clone, Copy)]
pub(super) struct At(pub usize);
impl Column for At {
    fn index(self) -> usize {
        self.0
    }
}

pub(super) fn subject(id: u64, table: Table) -> Arc<Subject> {
    Arc::new(Subject {
        id: SubjectId(id),
        table,
        owner: None,
        name: format!("subject-{id}").into(),
        workload: None,
        device: None,
        filesystem: None,
    })
}

pub(super) fn roster(generation: u64, ids: &[(u64, Table)]) -> Arc<Roster> {
    let mut roster = Roster::default();
    roster.generation = generation;
    for (id, table) in ids {
        roster.subjects_mut(*table).unwrap().push(subject(*id, *table));
    }
    Arc::new(roster)
}

pub(super) fn sample(tick: u64, roster: &Arc<Roster>, mut fill: impl FnMut(&Subject, &mut Row)) -> Arc<NodeSample> {
    let mut sample = NodeSample::new();
    sample.tick = tick;
    sample.started_at = MonotonicNanos(tick * 1_000_000_000);
    sample.wall = UnixNanos(1_700_000_000_000_000_000 + tick * 1_000_000_000);
    sample.roster = Arc::clone(roster);
    for table in Table::ALL {
        for subject in roster.subjects(table) {
            let mut row = Row::new(table.metrics().len());
            row.read_at = MonotonicNanos(sample.started_at.0 + subject.id.0 * 7_000);
            fill(subject, &mut row);
            sample.rows_mut(table).unwrap().push(row.as_ref());
        }
    }
    Arc::new(sample)
}

/// A budget in which a few hundred ticks fill all tiers.
const SMALL: usize = 256 << 10;

fn tick_of(wall: UnixNanos) -> u64 {
    (wall.0 - 1_700_000_000_000_000_000) / 1_000_000_000
}

pub(super) fn all(store: &Store, id: u64, column: usize) -> Vec<Point> {
    store.history(SubjectId(id), column, UnixNanos(0), UnixNanos(u64::MAX)).unwrap()
}

#[test]
fn a_budget_below_the_least_is_refused_with_both_numbers() {
    let error = ring(1000).unwrap_err();
    assert_eq!(error, StoreError::BudgetTooSmall { given: 1000, least: LEAST_BUDGET_BYTES });
    assert!(error.to_string().contains("--ring-bytes"), "{error}");
}

#[test]
fn a_subject_that_was_never_seen_is_an_error_and_not_an_empty_history() {
    let (_writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    assert_eq!(store.history(SubjectId(1), 0, UnixNanos(0), UnixNanos(u64::MAX)), Err(StoreError::UnknownSubject));
}

#[test]
fn absent_unlimited_and_every_extreme_value_come_back_as_they_were() {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    let who = roster(1, &[(1, Table::Cgroup)]);
    let script = [Cell::Value(0), Cell::Absent, Cell::Value(u64::MAX), Cell::Value(1), Cell::Unlimited, Cell::Value(5)];
    for (tick, cell) in (1..).zip(script) {
        writer.append(sample(tick, &who, |_, row| match cell {
            Cell::Absent => row.put(At(150), None),
            Cell::Unlimited => row.put_limit(At(150), Some(Limit::Unlimited)),
            Cell::Value(value) => row.put(At(150), Some(value)),
        }));
    }
    let cells: Vec<Cell> = all(&store, 1, 150).into_iter().map(|point| point.cell).collect();
    assert_eq!(cells, script);
}

#[test]
fn a_subject_that_is_gone_keeps_its_history_and_a_later_one_does_not_inherit_it() {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    let first = roster(1, &[(1, Table::Cgroup), (2, Table::Cgroup)]);
    let second = roster(2, &[(2, Table::Cgroup), (3, Table::Cgroup)]);
    for tick in 1..=3 {
        writer.append(sample(tick, &first, |subject, row| row.put(At(0), Some(subject.id.0 * 100 + tick))));
    }
    for tick in 4..=6 {
        writer.append(sample(tick, &second, |subject, row| row.put(At(0), Some(subject.id.0 * 100 + tick))));
    }
    let numbers = |id| all(&store, id, 0).into_iter().filter_map(|point| point.cell.value()).collect::<Vec<_>>();
    assert_eq!(numbers(1), [101, 102, 103]);
    assert_eq!(numbers(2), [201, 202, 203, 204, 205, 206]);
    assert_eq!(numbers(3), [304, 305, 306]);
    let last: BTreeMap<u64, u64> = store.remembered().iter().map(|r| (r.subject.id.0, r.last_tick)).collect();
    assert_eq!(last, BTreeMap::from([(1, 3), (2, 6), (3, 6)]));
}

#[test]
fn a_row_that_was_held_from_an_earlier_tick_keeps_the_instant_of_its_reading() {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    let who = roster(1, &[(1, Table::Interface)]);
    let read_at = [1_000_500_000, 1_000_500_000, 3_000_250_000, 3_000_250_000];
    for (tick, read_at) in (1..).zip(read_at) {
        writer.append(sample(tick, &who, |_, row| row.read_at = MonotonicNanos(read_at)));
    }
    let found: Vec<u64> = all(&store, 1, 0).into_iter().map(|point| point.read_at.0).collect();
    assert_eq!(found, read_at);
}

#[test]
fn the_range_is_inclusive_at_both_ends() {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    let who = roster(1, &[(1, Table::Node)]);
    let samples: Vec<_> = (1..=300).map(|tick| sample(tick, &who, |_, row| row.put(At(3), Some(tick)))).collect();
    for sample in &samples {
        writer.append(Arc::clone(sample));
    }
    let found = store.history(SubjectId(1), 3, samples[118].wall, samples[130].wall).unwrap();
    assert_eq!(found.iter().filter_map(|p| p.cell.value()).collect::<Vec<_>>(), (119..=131).collect::<Vec<_>>());
}

#[test]
fn a_wall_clock_that_jumps_back_loses_no_tick() {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    let who = roster(1, &[(1, Table::Node)]);
    for tick in 1..=400u64 {
        let mut one = Arc::unwrap_or_clone(sample(tick, &who, |_, row| row.put(At(0), Some(tick))));
        if tick > 200 {
            one.wall = UnixNanos(one.wall.0 - 3_600_000_000_000);
        }
        writer.append(Arc::new(one));
    }
    let found: Vec<u64> = all(&store, 1, 0).into_iter().filter_map(|point| point.cell.value()).collect();
    assert_eq!(found, (1..=400).collect::<Vec<_>>());
}

#[test]
fn the_budget_holds_and_the_oldest_ticks_go_first() {
    let (mut writer, store) = open::in_memory(SMALL);
    let ids: Vec<(u64, Table)> = (1..=5).map(|id| (id, Table::Cgroup)).collect();
    let who = roster(1, &ids);
    let mut state = 1u64;
    let mut written = BTreeMap::new();
    for tick in 1..=1500 {
        writer.append(sample(tick, &who, |subject, row| {
            for column in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                row.put(At(column), Some(state >> 33));
                if subject.id.0 == 1 && column == 0 {
                    written.insert(tick, state >> 33);
                }
            }
        }));
        let stats = store.stats();
        assert!(stats.used_bytes <= stats.budget_bytes, "{stats:?}");
        assert_eq!(stats.ticks + stats.evicted_ticks, tick);
    }
    let stats = store.stats();
    assert!(stats.evicted_ticks > 0, "{stats:?}");
    let points = all(&store, 1, 0);
    let ticks: Vec<u64> = points.iter().map(|point| tick_of(point.wall)).collect();
    let fine = usize::try_from(stats.ticks).unwrap();
    let (older, newest) = ticks.split_at(ticks.len() - fine);
    assert_eq!(newest, (1501 - stats.ticks..=1500).collect::<Vec<_>>(), "the newest are all there");
    assert!(!older.is_empty());
    assert!(ticks.windows(2).all(|pair| (1..=60).contains(&(pair[1] - pair[0]))), "{older:?} then {newest:?}");
    assert_eq!(Some(tick_of(stats.oldest.unwrap())), ticks.first().copied());
    for point in &points {
        assert_eq!(point.cell, Cell::Value(written[&tick_of(point.wall)]));
    }
}

#[test]
fn a_tick_too_large_for_the_budget_sheds_its_last_rows_and_says_how_many() {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    let ids: Vec<(u64, Table)> = (1..=400).map(|id| (id, Table::Cgroup)).collect();
    let who = roster(1, &ids);
    for tick in 1..=3 {
        writer.append(sample(tick, &who, |subject, row| {
            for column in 0..100 {
                row.put(At(column), Some((subject.id.0 * tick) << 40));
            }
        }));
    }
    assert!(store.stats().shed_rows > 0);
    assert_eq!(all(&store, 1, 5).iter().filter_map(|p| p.cell.value()).next_back(), Some(3 << 40));
    assert!(all(&store, 400, 5).is_empty(), "a shed row is a gap, never a wrong value");
}

#[test]
fn a_reader_sees_the_newest_pair() {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    assert!(store.latest_pair().is_none());
    let who = roster(1, &[(1, Table::Node)]);
    writer.append(sample(1, &who, |_, _| {}));
    assert!(store.latest_pair().is_some_and(|(newest, before)| newest.tick == 1 && before.is_none()));
    writer.append(sample(2, &who, |_, _| {}));
    writer.append(sample(3, &who, |_, _| {}));
    let (newest, before) = store.latest_pair().unwrap();
    assert_eq!((newest.tick, before.map(|sample| sample.tick)), (3, Some(2)));
    assert_eq!(*store.ticks().borrow(), 3);
}

#[test]
fn readers_beside_a_writer_see_every_tick_in_order_and_only_right_values() {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    let who = roster(1, &[(1, Table::Cgroup), (2, Table::Device)]);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let store = store.clone();
                scope.spawn(move || {
                    let mut rounds = 0;
                    while store.latest().is_none_or(|newest| newest.tick < 2000) {
                        let Ok(points) = store.history(SubjectId(1), 0, UnixNanos(0), UnixNanos(u64::MAX)) else {
                            continue;
                        };
                        let ticks: Vec<u64> = points.iter().filter_map(|point| point.cell.value()).collect();
                        assert!(ticks.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap or a repetition");
                        rounds += 1;
                    }
                    rounds
                })
            })
            .collect();
        for tick in 1..=2000 {
            writer.append(sample(tick, &who, |_, row| row.put(At(0), Some(tick))));
            if tick % 64 == 0 {
                std::thread::yield_now();
            }
        }
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}

/// What may happen at one tick of the model.
#[derive(Debug, Clone)]
enum Step {
    Tick(Vec<(u64, usize, Option<u64>)>),
    Born(u64, usize),
    Gone(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0..6u64, 0..20usize, proptest::option::of(prop_oneof![0..300u64, any::<u64>()]));
    let step = prop_oneof![
        8 => proptest::collection::vec(write, 0..12).prop_map(Step::Tick),
        1 => (0..6u64, 0..Table::ALL.len()).prop_map(|(slot, table)| Step::Born(slot, table)),
        1 => (0..6u64).prop_map(Step::Gone),
    ];
    proptest::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_was_appended_is_read_back(steps in steps()) {
        let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
        let mut model: BTreeMap<(u64, usize), Vec<(u64, Cell)>> = BTreeMap::new();
        let mut living: BTreeMap<u64, (u64, Table)> = BTreeMap::new();
        let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
        let (mut next_id, mut generation, mut tick) = (1, 0, 0);
        for step in steps {
            match step {
                Step::Born(slot, table) => {
                    let table = Table::ALL[table];
                    living.insert(slot, (next_id, table));
                    rows.insert(next_id, Row::new(table.metrics().len()));
                    next_id += 1;
                    generation += 1;
                }
                Step::Gone(slot) => {
                    living.remove(&slot);
                    generation += 1;
                }
                Step::Tick(writes) => {
                    tick += 1;
                    for (slot, column, value) in writes {
                        if let Some(row) = living.get(&slot).and_then(|(id, _)| rows.get_mut(id)) {
                            row.put(At(column), value);
                        }
                    }
                    let ids: Vec<(u64, Table)> = living.values().copied().collect();
                    let who = roster(generation, &ids);
                    let one = sample(tick, &who, |subject, row| {
                        let read_at = row.read_at;
                        *row = rows[&subject.id.0].clone();
                        row.read_at = read_at;
                    });
                    for (id, table) in ids {
                        for column in 0..20.min(table.metrics().len()) {
                            model.entry((id, column)).or_default().push((one.wall.0, rows[&id].cell(At(column))));
                        }
                    }
                    writer.append(one);
                }
            }
        }
        prop_assert_eq!(store.stats().evicted_ticks, 0);
        for ((id, column), expected) in model {
            let found: Vec<(u64, Cell)> = all(&store, id, column).into_iter().map(|p| (p.wall.0, p.cell)).collect();
            prop_assert_eq!(found, expected, "subject {} column {}", id, column);
        }
    }
}

/// A counter and a gauge that jitter, and a gauge that rests: what every tier must agree about.
fn drift(tick: u64, id: u64) -> (u64, u64) {
    let noise = (tick * 7919 + id * 104_729) % 1009;
    (tick * 1000 + noise, 50_000_000 + noise * 4096)
}

#[test]
fn every_tier_tells_the_same_increases_and_the_exact_least_largest_and_mean() {
    let (mut writer, store) = open::in_memory(SMALL);
    let (counter, gauge) = (0, Table::Cgroup.column("memory_current_bytes").unwrap());
    assert_eq!(Table::Cgroup.metrics()[counter].kind, Kind::Counter);
    let ids: Vec<(u64, Table)> = (1..=5).map(|id| (id, Table::Cgroup)).collect();
    let who = roster(1, &ids);
    let last = 12_000u64;
    let noise = |tick: u64, column: u64| (tick * 2_654_435_761 + column * 40_503) % 1_000_003;
    for tick in 1..=last {
        writer.append(sample(tick, &who, |subject, row| {
            let (count, size) = drift(tick, subject.id.0);
            row.put(At(counter), Some(count));
            row.put(At(gauge), Some(size));
            (60..64).for_each(|column| row.put(At(column), Some(noise(tick, column as u64))));
        }));
    }
    let stats = store.stats();
    assert!(stats.tiers.iter().all(|tier| tier.points > 20), "all tiers are in use: {stats:?}");
    let first = tick_of(stats.oldest.unwrap()).next_multiple_of(60) + 60;
    let wall = |tick: u64| UnixNanos(1_700_000_000_000_000_000 + tick * 1_000_000_000);
    // 1,700,000,000 is a multiple of 20, not of 60.
    let begin = first + (60 - (1_700_000_000 + first) % 60) % 60;
    let count = usize::try_from((last - begin) / 60).unwrap();
    let windows = Windows { start: wall(begin), step_nanos: 60_000_000_000, count };
    for id in [1, 3, 5] {
        let (folds, uses) = store.fold(SubjectId(id), counter, windows).unwrap();
        let (quick, _) = store.fold_increase(SubjectId(id), counter, windows).unwrap();
        let used: Vec<Tier> = uses.iter().map(|used| used.tier).collect();
        assert_eq!(used, [Tier::Minute, Tier::TenSeconds, Tier::Tick]);
        for (number, (fold, quick)) in (0u64..).zip(folds.iter().zip(&quick)) {
            let (from, until) = (begin + number * 60, begin + number * 60 + 59);
            let exact = drift(until, id).0 - drift(from - 1, id).0;
            assert_eq!((fold.increase, fold.elapsed_nanos), (u128::from(exact), 60_000_000_000), "{id} at {number}");
            assert_eq!(
                (quick.increase, quick.elapsed_nanos, quick.last),
                (fold.increase, fold.elapsed_nanos, fold.last)
            );
            assert_eq!((fold.last, fold.last_wall), (Cell::Value(drift(until, id).0), wall(until)));
        }
        let (folds, _) = store.fold(SubjectId(id), gauge, windows).unwrap();
        for (number, fold) in (0u64..).zip(&folds) {
            let sizes: Vec<u64> = (0..60).map(|second| drift(begin + number * 60 + second, id).1).collect();
            let sum: u64 = sizes.iter().sum();
            assert_eq!(
                (fold.values, Some(&fold.min), Some(&fold.max), fold.sum),
                (60, sizes.iter().min(), sizes.iter().max(), u128::from(sum)),
                "{id} at {number}"
            );
        }
    }
}

#[test]
fn a_counter_that_falls_keeps_its_exact_increases_when_it_becomes_coarser() {
    let (mut writer, store) = open::in_memory(SMALL);
    let ids: Vec<(u64, Table)> = (1..=5).map(|id| (id, Table::Cgroup)).collect();
    let who = roster(1, &ids);
    let value = |tick: u64| tick % 137 * 10;
    let last = 4_000;
    for tick in 1..=last {
        writer.append(sample(tick, &who, |subject, row| {
            row.put(At(0), Some(value(tick)));
            (60..80)
                .for_each(|column| row.put(At(column), Some((tick * 48_271 * subject.id.0 * column as u64) % 65_537)));
        }));
    }
    let stats = store.stats();
    let oldest = tick_of(stats.oldest.unwrap());
    let begin = (oldest + 200) / 100 * 100;
    let count = usize::try_from((last - begin) / 100).unwrap();
    let start = UnixNanos(1_700_000_000_000_000_000 + begin * 1_000_000_000);
    let (folds, uses) = store.fold(SubjectId(5), 0, Windows { start, step_nanos: 100_000_000_000, count }).unwrap();
    assert!(uses.len() >= 2, "{uses:?}");
    // Windows of ten seconds' multiples are exact; those whose edge lies inside a minute's bucket are left out.
    let exact_from = stats.tiers[1].oldest.map_or(0, tick_of) + 100;
    let mut checked = 0;
    for (number, fold) in (0u64..).zip(&folds) {
        let from = begin + number * 100;
        if from < exact_from {
            continue;
        }
        let steps = (from..from + 100).map(|tick| value(tick).saturating_sub(value(tick - 1)));
        assert_eq!(fold.increase, u128::from(steps.sum::<u64>()), "window {number} from {from}");
        checked += 1;
    }
    assert!(checked > 5);
}

#[test]
fn a_moment_of_the_past_is_the_node_as_it_was() {
    let (mut writer, store) = open::in_memory(SMALL);
    let ids: Vec<(u64, Table)> = (1..=5).map(|id| (id, Table::Cgroup)).chain([(99, Table::Node)]).collect();
    let who = roster(1, &ids);
    for tick in 1..=3000u64 {
        writer.append(sample(tick, &who, |subject, row| {
            let columns = 0..if subject.table == Table::Node { 10 } else { 15 };
            columns
                .for_each(|column| row.put(At(column), Some((tick * 48_271 * subject.id.0 + column as u64) % 65_537)));
        }));
    }
    let wall = |tick: u64| UnixNanos(1_700_000_000_000_000_000 + tick * 1_000_000_000);
    let tiers = store.stats().tiers;
    let [from_tick, from_ten_seconds, oldest] = [0, 1, 2].map(|tier: usize| tick_of(tiers[tier].oldest.unwrap()));
    assert!(store.moment(wall(oldest - 1)).is_none(), "before the beginning of history there is nothing");
    let mut tiers = Vec::new();
    for at in [oldest, oldest + 65, from_ten_seconds + 25, from_tick, from_tick + 130, 2990, 2999, 3000, 9999] {
        let moment = store.moment(wall(at)).unwrap();
        let tick = tick_of(moment.newest.wall);
        let coarseness = moment.tier.bucket_nanos().unwrap_or(1_000_000_000) / 1_000_000_000;
        assert!(tick <= at && tick + coarseness > at.min(3000), "{at} is answered by {tick} of {:?}", moment.tier);
        tiers.push(moment.tier);
        let steps = moment.before.iter().map(|before| (Arc::clone(before), tick_of(before.wall)));
        for (sample, tick) in steps.chain([(Arc::clone(&moment.newest), tick)]) {
            assert_eq!(sample.roster.subjects(Table::Cgroup).len(), 5);
            for (subject, row) in sample.iter(Table::Cgroup).chain(sample.iter(Table::Node)) {
                assert_eq!(row.cell(At(3)), Cell::Value((tick * 48_271 * subject.id.0 + 3) % 65_537));
                assert_eq!(row.read_at, MonotonicNanos(tick * 1_000_000_000 + subject.id.0 * 7_000));
            }
        }
    }
    tiers.dedup();
    assert_eq!(tiers, [Tier::Minute, Tier::TenSeconds, Tier::Tick]);
}

#[test]
fn a_fold_of_nothing_is_empty() {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    writer.append(sample(1, &roster(1, &[(1, Table::Node)]), |_, _| {}));
    let windows = Windows { start: UnixNanos(0), step_nanos: 1, count: 3 };
    assert_eq!(store.fold(SubjectId(1), 0, windows).unwrap(), (vec![Fold::EMPTY; 3], Vec::new()));
}

#[test]
fn the_mean_of_a_gauge_that_was_absent_for_a_while_is_that_of_its_readings() {
    let (mut writer, store) = open::in_memory(SMALL);
    let gauge = Table::Cgroup.column("memory_current_bytes").unwrap();
    let who = roster(1, &(1..=5).map(|id| (id, Table::Cgroup)).collect::<Vec<_>>());
    let value = |tick: u64| tick % 10 * 4096 + 40_960_000;
    for tick in 1..=6000u64 {
        writer.append(sample(tick, &who, |subject, row| {
            // Never absent at the end of a bucket of ten seconds, nor where a run of segments ends.
            row.put(At(gauge), (!matches!(tick % 10, 5 | 6)).then(|| value(tick)));
            (60..80)
                .for_each(|column| row.put(At(column), Some((tick * 48_271 * subject.id.0 * column as u64) % 65_537)));
        }));
    }
    let stats = store.stats();
    let [from, until] = [1, 0].map(|tier: usize| tick_of(stats.tiers[tier].oldest.unwrap()));
    let begin = (from + 10) / 10 * 10;
    let count = usize::try_from((until - begin) / 10 - 1).unwrap();
    let start = UnixNanos(1_700_000_000_000_000_000 + begin * 1_000_000_000);
    let (folds, uses) = store.fold(SubjectId(2), gauge, Windows { start, step_nanos: 10_000_000_000, count }).unwrap();
    assert!(count > 5 && uses.iter().any(|used| used.tier == Tier::TenSeconds), "{count} {uses:?}");
    // A segment in which some bucket ends without a value keeps only the last values of the column.
    let summed: Vec<_> = folds.iter().filter(|fold| fold.values == 10 && fold.min < fold.max).collect();
    assert!(summed.len() > 3, "{folds:?}");
    for fold in summed {
        assert_eq!((fold.min, fold.max), (value(0), value(9)));
        // Exact but for a bucket that two runs share: there it is the mean of two means.
        let mean = fold.mean().unwrap() - 40_960_000.0;
        assert!((mean - 4.25 * 4096.0).abs() < 1000.0, "{mean}");
    }
}
