//! The ring against a plain list: whatever was appended and not evicted is read back, exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::sample::Roster;
use crate::sample::row::{Column, Row};
use crate::units::Limit;

#[derive(Clone, Copy)]
struct At(usize);
impl Column for At {
    fn index(self) -> usize {
        self.0
    }
}

fn subject(id: u64, table: Table) -> Arc<Subject> {
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

fn roster(generation: u64, ids: &[(u64, Table)]) -> Arc<Roster> {
    let mut roster = Roster::default();
    roster.generation = generation;
    for (id, table) in ids {
        roster.subjects_mut(*table).unwrap().push(subject(*id, *table));
    }
    Arc::new(roster)
}

fn sample(tick: u64, roster: &Arc<Roster>, mut fill: impl FnMut(&Subject, &mut Row)) -> Arc<NodeSample> {
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

fn all(store: &Store, id: u64, column: usize) -> Vec<Point> {
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
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    let ids: Vec<(u64, Table)> = (1..=40).map(|id| (id, Table::Cgroup)).collect();
    let who = roster(1, &ids);
    let mut state = 1u64;
    for tick in 1..=1500 {
        writer.append(sample(tick, &who, |_, row| {
            for column in 0..60 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                row.put(At(column), Some(state >> 33));
            }
        }));
        let stats = store.stats();
        assert!(stats.used_bytes <= stats.budget_bytes, "{stats:?}");
        assert_eq!(stats.ticks + stats.evicted_ticks, tick);
    }
    let stats = store.stats();
    assert!(stats.evicted_ticks > 0, "{stats:?}");
    let walls: Vec<UnixNanos> = all(&store, 1, 0).into_iter().map(|point| point.wall).collect();
    assert_eq!(walls.len() as u64, stats.ticks);
    assert_eq!(walls.first().copied(), stats.oldest);
    assert!(walls.is_sorted());
    assert_eq!(walls.last().copied(), store.latest().map(|sample| sample.wall));
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
