//! Questions about many subjects, against what a plain list says.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::answer::{Answer, Bounds, Group, Query, Reduce, Series};
use super::labels::{column_name, column_of, labels_of};
use super::over_time::{OverTime, Span, Value};
use super::selector::Selector;
use super::*;
use crate::sample::catalogue::{CgroupColumn, Table};
use crate::sample::row::{Column, Row};
use crate::sample::{CgroupIdentity, CgroupKind, Metadata, NodeSample, Roster, Runtime, Subject, SubjectId, Workload};
use crate::store::{LEAST_BUDGET_BYTES, Store, TierUse, ring};
use crate::units::Limit;

const SECOND: u64 = 1_000_000_000;
const T0: u64 = 1_772_366_400 * SECOND;
const GENEROUS: Bounds = Bounds { series: 100, points_each: 10_000, points: 100_000 };

fn at(second: u64) -> UnixNanos {
    UnixNanos(T0 + second * SECOND)
}

fn windows(start: u64, step: u64, count: usize) -> Span {
    Span::Windows(Windows { start: at(start), step_nanos: step * SECOND, count })
}

/// What one subject says at one second: absent, unlimited or a number.
type Said = (u64, u64, Cell);

fn container(id: u64, name: &str, namespace: &str) -> Arc<Subject> {
    let path: Arc<str> = format!("/pods/{name}-{id}").into();
    let metadata = Metadata {
        name: name.to_owned(),
        namespace: Some(namespace.to_owned()),
        labels: BTreeMap::from([("app.kubernetes.io/name".to_owned(), "shop".to_owned())]),
        ..Metadata::default()
    };
    let identity = CgroupIdentity {
        path: Arc::clone(&path),
        kind: CgroupKind::Container,
        runtime: Some(Runtime::Docker),
        container_id: Some("c0ffee".into()),
        pod_uid: None,
        qos: None,
        outer_container: None,
    };
    let workload = Workload { identity, inode: id, metadata: Some(Arc::new(metadata)), created_at: UnixNanos(0) };
    Arc::new(Subject {
        id: SubjectId(id),
        table: Table::Cgroup,
        owner: None,
        name: path,
        workload: Some(Arc::new(workload)),
        device: None,
        filesystem: None,
    })
}

/// A ring in which each subject has a row at each second at which it said something. All columns of interest say it.
fn store_of(subjects: &[Arc<Subject>], said: &[Said]) -> Store {
    let (mut writer, store) = ring(LEAST_BUDGET_BYTES).unwrap();
    let mut by_second: BTreeMap<u64, Vec<(u64, Cell)>> = BTreeMap::new();
    for (second, id, cell) in said {
        by_second.entry(*second).or_default().push((*id, *cell));
    }
    for (tick, (second, cells)) in (1..).zip(by_second) {
        let mut sample = NodeSample::new();
        sample.tick = tick;
        sample.wall = at(second);
        sample.started_at = MonotonicNanos((second + 1_000) * SECOND);
        let mut roster = Roster::default();
        roster.generation = tick;
        for subject in subjects {
            let Some((_, cell)) = cells.iter().find(|(id, _)| *id == subject.id.0) else { continue };
            roster.subjects_mut(Table::Cgroup).unwrap().push(Arc::clone(subject));
            let mut row = Row::new(Table::Cgroup.metrics().len());
            row.read_at = sample.started_at;
            match cell {
                Cell::Absent => {}
                Cell::Unlimited => row.put_limit(CgroupColumn::MemoryMaxBytes, Some(Limit::Unlimited)),
                Cell::Value(value) => {
                    row.put(CgroupColumn::CpuUsageUsec, Some(*value));
                    row.put(CgroupColumn::MemoryCurrentBytes, Some(*value));
                    row.put_limit(CgroupColumn::MemoryMaxBytes, Some(Limit::At(*value)));
                }
            }
            sample.rows_mut(Table::Cgroup).unwrap().push(row.as_ref());
        }
        sample.roster = Arc::new(roster);
        writer.append(Arc::new(sample));
    }
    store
}

fn query(selector: &str, span: Span, over_time: OverTime) -> Query {
    let selector = Selector::parse(selector).unwrap();
    let (table, column) = column_of(selector.name.as_deref().unwrap()).unwrap();
    Query { table, column, matchers: selector.matchers, span, over_time, group: None, top: None, bounds: GENEROUS }
}

fn counted(id: u64, values: &[(u64, u64)]) -> Vec<Said> {
    values.iter().map(|(second, value)| (*second, id, Cell::Value(*value))).collect()
}

/// Points as seconds since T0 and numbers.
fn numbers(series: &Series) -> Vec<(u64, Option<f64>)> {
    let second = |wall: &UnixNanos| (wall.0 - T0) / SECOND;
    series.points.iter().map(|(wall, value)| (second(wall), value.and_then(Value::number))).collect()
}

fn one(values: &[(u64, u64)], span: Span, over_time: OverTime) -> Vec<(u64, Option<f64>)> {
    let store = store_of(&[container(1, "web", "shop")], &counted(1, values));
    let answer = store.query(&query("cpu_usage_usec", span, over_time)).unwrap();
    assert_eq!(answer.series.len(), 1);
    numbers(&answer.series[0])
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.series.iter().map(|series| series.labels["name"].as_str()).collect()
}

const EVERY: Span = Span::Readings { start: UnixNanos(T0), end: UnixNanos(u64::MAX) };

// --- one subject over time ---

#[test]
fn a_window_keeps_the_last_smallest_largest_or_mean_value() {
    let values = [(0, 4), (1, 8), (4, 3), (5, 1), (9, 2)];
    for (over_time, first, second) in [
        (OverTime::Last, 3.0, 2.0),
        (OverTime::Min, 3.0, 1.0),
        (OverTime::Max, 8.0, 2.0),
        (OverTime::Avg, 5.0, 1.5),
        (OverTime::Quantile(0.5), 4.0, 1.5),
        (OverTime::Quantile(1.0), 8.0, 2.0),
        (OverTime::Quantile(0.0), 3.0, 1.0),
        (OverTime::Quantile(0.25), 3.5, 1.25),
    ] {
        assert_eq!(one(&values, windows(0, 5, 2), over_time), [(0, Some(first)), (5, Some(second))], "{over_time:?}");
    }
}

#[test]
fn windows_in_which_nothing_was_read_are_null_between_readings_and_left_out_around_them() {
    let gap = [(10, Some(4.0)), (20, None), (30, None), (40, Some(8.0))];
    for over_time in [OverTime::Last, OverTime::Quantile(0.9)] {
        assert_eq!(one(&[(10, 4), (40, 8)], windows(0, 10, 9), over_time), gap, "{over_time:?}");
    }
}

#[test]
fn without_windows_every_reading_comes_out_as_it_is() {
    let said = [(0, 1, Cell::Value(5)), (1, 1, Cell::Absent), (2, 1, Cell::Unlimited)];
    let store = store_of(&[container(1, "web", "shop")], &said);
    let answer = store.query(&query("memory_max_bytes", EVERY, OverTime::Last)).unwrap();
    let expected = [(at(0), Some(Value::Integer(5))), (at(1), None), (at(2), Some(Value::Unlimited))];
    assert_eq!(answer.series[0].points, expected);
}

#[test]
fn a_rate_leaves_out_the_pair_in_which_the_counter_went_back() {
    let values = [(0, 100), (1, 110), (2, 120), (3, 5), (4, 15)];
    let rates: Vec<_> = one(&values, EVERY, OverTime::Rate).into_iter().map(|(_, rate)| rate).collect();
    assert_eq!(rates, [None, Some(10.0), Some(10.0), None, Some(10.0)]);
    assert_eq!(one(&values, windows(0, 5, 1), OverTime::Rate), [(0, Some(10.0))]);
    assert_eq!(one(&values, windows(0, 5, 1), OverTime::Increase), [(0, Some(30.0))]);
}

#[test]
fn the_first_rate_begins_at_the_last_reading_before_the_start() {
    let values = [(9, 10), (10, 20), (11, 35)];
    let rates = [(10, Some(10.0)), (11, Some(15.0))];
    assert_eq!(one(&values, windows(10, 1, 2), OverTime::Rate), rates);
    assert_eq!(one(&values, Span::Readings { start: at(10), end: at(60) }, OverTime::Rate), rates);
    assert_eq!(one(&values, windows(10, 1, 2), OverTime::Last), [(10, Some(20.0)), (11, Some(35.0))]);
}

#[test]
fn a_counter_in_sealed_chunks_gives_the_same_as_reading_by_reading() {
    let value = |second: u64| if second < 300 { 7 * second } else { 3 * (second - 300) };
    // Three chunks: one inside the first window, one across both, one with the reset; and the newest readings behind them.
    let values: Vec<(u64, u64)> = (0..400).map(|second| (second, value(second))).collect();
    for (over_time, first, second) in [
        (OverTime::Increase, 199.0 * 7.0, 100.0 * 7.0 + 99.0 * 3.0),
        (OverTime::Rate, 7.0, (100.0 * 7.0 + 99.0 * 3.0) / 199.0),
        (OverTime::Last, 199.0 * 7.0, 99.0 * 3.0),
        (OverTime::Min, 0.0, 0.0),
        (OverTime::Max, 199.0 * 7.0, 299.0 * 7.0),
    ] {
        let expected = [(0, Some(first)), (200, Some(second))];
        assert_eq!(one(&values, windows(0, 200, 2), over_time), expected, "{over_time:?}");
    }
}

#[test]
fn an_increase_is_as_exact_as_the_kernels_integers() {
    let store = store_of(&[container(1, "web", "shop")], &counted(1, &[(0, 1), (1, (1 << 60) + 2)]));
    let answer = store.query(&query("cpu_usage_usec", windows(1, 1, 1), OverTime::Increase)).unwrap();
    assert_eq!(answer.series[0].points, [(at(1), Some(Value::Integer((1 << 60) + 1)))]);
}

#[test]
fn the_reading_before_the_first_window_is_not_told_as_part_of_the_answer() {
    let store = store_of(&[container(1, "web", "shop")], &counted(1, &[(0, 1), (30, 2), (31, 3)]));
    let answer = store.query(&query("cpu_usage_usec", windows(30, 10, 1), OverTime::Rate)).unwrap();
    assert_eq!(answer.tiers, [TierUse { tier: crate::store::Tier::Tick, start: at(30), end: at(31) }]);
}

// --- many subjects ---

#[test]
fn a_subject_has_the_labels_that_people_know_it_by_and_nothing_that_is_not_known() {
    let labels = labels_of(&container(7, "web", "shop"), None);
    let expected = [
        ("container_id", "c0ffee"),
        ("id", "/pods/web-7"),
        ("kind", "container"),
        ("label_app_kubernetes_io_name", "shop"),
        ("name", "web"),
        ("namespace", "shop"),
        ("runtime", "docker"),
    ];
    let shown: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_device_is_known_by_its_owners_labels_too() {
    let owner = container(7, "web", "shop");
    let device =
        Subject { table: Table::Device, owner: Some(owner.id), name: "sda".into(), workload: None, ..(*owner).clone() };
    let labels = labels_of(&device, Some(&owner));
    assert_eq!(
        (labels["device"].as_str(), labels["name"].as_str(), labels["id"].as_str()),
        ("sda", "web", "/pods/web-7")
    );
}

#[test]
fn a_container_that_is_gone_is_still_answered() {
    let subjects = [container(1, "old", "shop"), container(2, "new", "shop")];
    let said = [counted(1, &[(0, 5), (1, 6)]), counted(2, &[(2, 7), (3, 8)])].concat();
    let store = store_of(&subjects, &said);
    let answer = store.query(&query("cpu_usage_usec", EVERY, OverTime::Last)).unwrap();
    assert_eq!(names(&answer), ["new", "old"]);
    assert_eq!(numbers(&answer.series[1]), [(0, Some(5.0)), (1, Some(6.0))]);
    let later = store.query(&query("cpu_usage_usec", windows(2, 1, 2), OverTime::Last)).unwrap();
    assert_eq!((names(&later), later.matched), (vec!["new"], 2));
}

#[test]
fn a_container_that_was_started_again_is_two_series_unless_they_are_aggregated() {
    let again = container(1, "web", "shop");
    let second = Subject { id: SubjectId(2), ..(*again).clone() };
    let said = [counted(1, &[(0, 10), (1, 20)]), counted(2, &[(2, 1), (3, 4)])].concat();
    let store = store_of(&[again, Arc::new(second)], &said);
    let mut asked = query("cpu_usage_usec", windows(0, 1, 4), OverTime::Increase);
    let answer = store.query(&asked).unwrap();
    assert_eq!(answer.series[0].labels, answer.series[1].labels);
    assert_eq!(
        answer.series.iter().map(|one| one.subjects.as_slice()).collect::<Vec<_>>(),
        [[SubjectId(1)], [SubjectId(2)]]
    );
    asked.group = Some(Group { reduce: Reduce::Sum, by: vec!["name".to_owned()] });
    let answer = store.query(&asked).unwrap();
    assert_eq!(answer.series.len(), 1);
    // A new counter begins at its own first reading: nothing is taken for an increase between the two.
    assert_eq!(numbers(&answer.series[0]), [(1, Some(10.0)), (2, None), (3, Some(3.0))]);
}

#[test]
fn cgroups_inside_one_another_are_told() {
    let outer = container(1, "a", "shop");
    let named = |id: u64, path: &str| Arc::new(Subject { id: SubjectId(id), name: path.into(), ..(*outer).clone() });
    let nested = |paths: [&str; 2]| {
        let subjects = [named(1, paths[0]), named(2, paths[1])];
        let store = store_of(&subjects, &[counted(1, &[(0, 1)]), counted(2, &[(0, 1)])].concat());
        store.query(&query("cpu_usage_usec", EVERY, OverTime::Last)).unwrap().nested
    };
    assert!(nested(["/a", "/a/b"]) && nested(["/a/b/c", "/a"]) && nested(["/", "/a"]));
    assert!(!nested(["/a", "/ab"]) && !nested(["/a/b", "/a/c"]) && !nested(["/a", "/a"]));
}

#[test]
fn the_top_are_the_series_with_the_largest_mean() {
    let subjects: Vec<_> = (1..=200).map(|id| container(id, &format!("c{id:03}"), "shop")).collect();
    let said: Vec<_> = (1..=200).flat_map(|id| counted(id, &[(0, id * 7 % 200), (1, id * 7 % 200)])).collect();
    let mut asked = query("cpu_usage_usec", windows(0, 1, 2), OverTime::Last);
    asked.top = Some(3);
    asked.bounds.series = 3;
    let store = store_of(&subjects, &said);
    // 7 × 57 = 399, 7 × 114 = 798, 7 × 171 = 1197: the remainders 199, 198, 197.
    assert_eq!(names(&store.query(&asked).unwrap()), ["c057", "c114", "c171"]);
}

#[test]
fn who_gives_no_value_is_not_among_the_largest() {
    let said = [counted(1, &[(0, 5), (1, 6)]), counted(2, &[(1, 9)])].concat();
    let store = store_of(&[container(1, "web", "shop"), container(2, "new", "shop")], &said);
    let mut asked = query("cpu_usage_usec", windows(0, 1, 2), OverTime::Rate);
    assert_eq!(names(&store.query(&asked).unwrap()), ["new", "web"]);
    asked.top = Some(5);
    assert_eq!(names(&store.query(&asked).unwrap()), ["web"]);
}

#[test]
fn what_would_be_too_much_is_refused_before_it_is_gathered() {
    let subjects: Vec<_> = (1..=5).map(|id| container(id, &format!("c{id}"), "shop")).collect();
    let said: Vec<_> = (1..=5).flat_map(|id| counted(id, &[(0, id), (1, id), (2, id)])).collect();
    let store = store_of(&subjects, &said);
    let refused = |span: Span, bounds: Bounds| {
        store.query(&Query { bounds, ..query("cpu_usage_usec", span, OverTime::Last) }).unwrap_err()
    };
    assert_eq!(refused(EVERY, Bounds { series: 4, ..GENEROUS }), QueryError::TooManySeries { most: 4 });
    assert_eq!(refused(EVERY, Bounds { points_each: 2, ..GENEROUS }), QueryError::TooManyPoints { most: 2 });
    assert_eq!(refused(EVERY, Bounds { points: 14, ..GENEROUS }), QueryError::TooManyPoints { most: 14 });
    let huge = windows(0, 1, usize::MAX);
    assert_eq!(refused(huge, GENEROUS), QueryError::TooManyPoints { most: GENEROUS.points_each });
    let mut grouped = query("cpu_usage_usec", windows(0, 1, 3), OverTime::Last);
    grouped.group = Some(Group { reduce: Reduce::Sum, by: vec!["name".to_owned()] });
    grouped.bounds.points = 14;
    assert_eq!(store.query(&grouped), Err(QueryError::TooManyPoints { most: 14 }));
    grouped.bounds.points = 15;
    assert_eq!(store.query(&grouped).unwrap().series.len(), 5);
}

#[test]
fn a_question_that_has_no_meaning_is_refused() {
    let store = store_of(&[], &[]);
    let gauge = store.query(&query("memory_current_bytes", EVERY, OverTime::Increase)).unwrap_err();
    assert!(gauge.to_string().starts_with("memory_current_bytes is a gauge"), "{gauge}");
    let quantile = query("cpu_usage_usec", EVERY, OverTime::Quantile(f64::NAN));
    assert_eq!(store.query(&quantile), Err(QueryError::BadQuantile));
    let mut grouped = query("cpu_usage_usec", EVERY, OverTime::Last);
    grouped.group = Some(Group { reduce: Reduce::Sum, by: Vec::new() });
    assert_eq!(store.query(&grouped), Err(QueryError::NoStep));
}

#[test]
fn every_column_is_found_by_the_name_it_is_shown_with() {
    for table in Table::ALL {
        for column in 0..table.metrics().len() {
            let name = column_name(table, column).unwrap();
            assert_eq!(column_of(&name), Some((table, column)), "{name}");
        }
    }
    assert_eq!(column_of("cgroup.cpu_usage_usec"), Some((Table::Cgroup, CgroupColumn::CpuUsageUsec.index())));
    assert_eq!(column_of("nothing.cpu_usage_usec"), None);
}

// --- against a plain list ---

/// What the answer should be, from the list itself: by name the value of each window, in the plainest way.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is a small index")]
fn plain(said: &BTreeMap<(u64, u64), u64>, id: u64, over_time: OverTime, span: &Windows) -> Vec<Option<f64>> {
    let readings: Vec<(u64, u64)> =
        said.iter().filter(|((of, _), _)| *of == id).map(|((_, second), value)| (*second, *value)).collect();
    let in_window = |index: usize| -> Vec<usize> {
        let inside = |second: u64| (span.start_of(index)..span.start_of(index + 1)).contains(&at(second));
        (0..readings.len()).filter(|i| inside(readings[*i].0)).collect()
    };
    let of_window = |index: usize| -> Option<f64> {
        let values: Vec<f64> = in_window(index).into_iter().map(|i| readings[i].1 as f64).collect();
        let pairs = in_window(index).into_iter().filter(|i| *i > 0).map(|i| (readings[i - 1], readings[i]));
        let pairs: Vec<_> = pairs.filter(|((_, old), (_, new))| new >= old).collect();
        let increase: f64 = pairs.iter().map(|((_, old), (_, new))| (new - old) as f64).sum();
        let seconds: f64 = pairs.iter().map(|((then, _), (now, _))| (now - then) as f64).sum();
        match over_time {
            OverTime::Last => values.last().copied(),
            OverTime::Min => values.iter().copied().reduce(f64::min),
            OverTime::Max => values.iter().copied().reduce(f64::max),
            OverTime::Avg => (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64),
            OverTime::Increase => (seconds > 0.0).then_some(increase),
            OverTime::Rate => (seconds > 0.0).then(|| increase / seconds),
            OverTime::Quantile(quantile) => {
                let mut sorted = values;
                sorted.sort_by(f64::total_cmp);
                let last = sorted.len().checked_sub(1)?;
                let rank = quantile * last as f64;
                let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
                Some(below + (above - below) * rank.fract())
            }
        }
    };
    (0..span.count).map(of_window).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_answer_is_what_a_plain_list_says(
        said in proptest::collection::btree_map((1..5u64, 0..100u64), 0..1_000u64, 0..120),
        (start, step, count) in (0..60u64, 1..20u64, 1..20usize),
        over_time in prop_oneof![
            Just(OverTime::Last), Just(OverTime::Min), Just(OverTime::Max), Just(OverTime::Avg), Just(OverTime::Rate),
            Just(OverTime::Increase), (0.0..=1.0).prop_map(OverTime::Quantile),
        ],
        reduce in prop_oneof![Just(None), Just(Some(Reduce::Sum)), Just(Some(Reduce::Avg)), Just(Some(Reduce::Min)), Just(Some(Reduce::Max))],
    ) {
        // Two names, each of two subjects: the odd and the even numbers.
        let subjects: Vec<_> = (1..5).map(|id| container(id, if id % 2 == 1 { "odd" } else { "even" }, "shop")).collect();
        let list: Vec<Said> = said.iter().map(|((id, second), value)| (*second, *id, Cell::Value(*value))).collect();
        let store = store_of(&subjects, &list);
        let span = Windows { start: at(start), step_nanos: step * SECOND, count };
        let mut asked = query("cpu_usage_usec", Span::Windows(span), over_time);
        asked.group = reduce.map(|reduce| Group { reduce, by: vec!["name".to_owned()] });
        let answer = store.query(&asked).unwrap();
        let members: Vec<Vec<u64>> = if reduce.is_some() { vec![vec![1, 3], vec![2, 4]] } else { vec![vec![1], vec![2], vec![3], vec![4]] };
        for members in members {
            let each: Vec<_> = members.iter().map(|id| plain(&said, *id, over_time, &span)).collect();
            let found = answer.series.iter().find(|one| one.subjects.iter().any(|id| members.contains(&id.0)));
            for index in 0..count {
                let values: Vec<f64> = each.iter().filter_map(|values| values[index]).collect();
                let expected = match reduce {
                    _ if values.is_empty() => None,
                    None | Some(Reduce::Sum) => Some(values.iter().sum::<f64>()),
                    Some(Reduce::Avg) => Some(values.iter().sum::<f64>() / values.len() as f64),
                    Some(Reduce::Min) => values.into_iter().reduce(f64::min),
                    Some(Reduce::Max) => values.into_iter().reduce(f64::max),
                };
                let point = found.and_then(|one| one.points.iter().find(|(wall, _)| *wall == span.start_of(index)));
                let got = point.and_then(|(_, value)| value.and_then(Value::number));
                let same = match (expected, got) {
                    (Some(expected), Some(got)) => (expected - got).abs() <= 1e-9 * expected.abs().max(1.0),
                    (expected, got) => expected == got,
                };
                prop_assert!(same, "{members:?} window {index}: expected {expected:?}, got {got:?}");
            }
        }
        for one in &answer.series {
            let outer = [one.points.first(), one.points.last()];
            prop_assert!(outer.iter().all(Option::is_some), "no series without points");
            prop_assert!(one.points.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
