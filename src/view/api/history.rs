//! `GET /api/v1/containers/{id}/history` and `/api/v1/node/history`: one column over time.
//!
//! In: query parameters, and the ring's points of one column. Out: [`History`]. Without a step every point that is kept
//! comes out as it is. With one, time is cut into steps that begin at multiples of the step since 1970, each step is
//! folded into one point stamped with its beginning, and steps in which nothing was read are `null`, so that a gap stays
//! a gap. A rate adds up the increases between neighbouring points and leaves out pairs in which the counter went back.
//! Reading the ring is elsewhere: [`fold`] is pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::catalogue::{Kind, Metric, Table};
use crate::sample::row::Cell;
use crate::store::Point;
use crate::units::UnixNanos;
use crate::view::rates::elapsed_seconds;

use super::problem::{Problem, nearest};
use super::request::Query;
use super::scene::Now;
use super::time::{parse_duration, parse_instant, rfc3339, unix_seconds};

/// The most points that one answer holds; as many as Prometheus gives.
pub const MAX_POINTS: usize = 11_000;

/// What is shown without `start`.
const DEFAULT_RANGE_NANOS: u64 = 15 * 60 * 1_000_000_000;

/// How far before the start a rate looks for the point that its first increase begins at.
const RATE_LOOKBACK_NANOS: u64 = 60 * 1_000_000_000;

/// One column over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The container's ID, as in the container list; `node` for the node.
    pub id: String,
    /// Name of the metric, with its table's prefix unless it is the cgroup's or node's own.
    pub metric: String,
    /// The device, interface, page size, CPU or mount point it is of.
    pub of: Option<String>,
    /// Unit of the values; `… per second` for a rate.
    pub unit: String,
    /// `counter`, `gauge` or `limit`.
    pub kind: String,
    /// How the points of one step became one.
    #[serde(rename = "fn")]
    pub function: Function,
    /// Length of a step in seconds; null when every point is shown.
    pub step_seconds: Option<f64>,
    /// First instant that was asked for, RFC 3339.
    pub start: String,
    /// Last instant that was asked for, RFC 3339.
    pub end: String,
    /// `[unix seconds, value]`, oldest first. A value is a number, `"unlimited"`, or null where nothing was read.
    #[schema(value_type = Vec<Vec<Option<HistoryValue>>>, example = json!([[1772366400.0, 1048576], [1772366401.0, null]]))]
    pub points: Vec<(f64, Option<HistoryValue>)>,
}

/// A value in a history.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum HistoryValue {
    /// The kernel's integer.
    Integer(u64),
    /// A rate or an average.
    Number(f64),
    /// A limit that was not set.
    Word(HistoryWord),
}

/// The word that stands for a limit that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryWord {
    /// No limit is set.
    Unlimited,
}

impl HistoryValue {
    /// As a number, if it is one.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Number(value) => Some(value),
            Self::Word(_) => None,
        }
    }
}

/// How the points of one step become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// The last value of the step; for every kind of metric the default.
    Last,
    /// Increase per second; counters only.
    Rate,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The mean of the points.
    Avg,
}

/// What is asked of a column's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: UnixNanos,
    pub(super) end: UnixNanos,
    pub(super) step_nanos: Option<u64>,
    pub(super) function: Function,
}

/// The column that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) table: Table,
    pub(super) column: usize,
    pub(super) metric: &'static Metric,
    /// Name of the subject inside its table, when given.
    pub(super) of: Option<String>,
}

/// A table that belongs to another subject, its prefix, and the parameter that names its row.
type Part = (Table, &'static str);

/// Tables of a container beside its own.
pub(super) const CONTAINER_PARTS: &[Part] =
    &[(Table::Device, "device"), (Table::Interface, "interface"), (Table::Hugetlb, "hugetlb")];

/// Tables of the node beside its own.
pub(super) const NODE_PARTS: &[Part] = &[
    (Table::Cpu, "cpu"),
    (Table::Disk, "disk"),
    (Table::Interface, "interface"),
    (Table::Filesystem, "filesystem"),
    (Table::Agent, "agent"),
];

/// The prefix of a table's metrics in the API; empty for the tables that have one row per container or node.
pub(super) fn prefix(table: Table) -> &'static str {
    let parts = CONTAINER_PARTS.iter().chain(NODE_PARTS);
    parts.clone().find(|(part, _)| *part == table).map_or("", |(_, prefix)| prefix)
}

impl Wanted {
    pub(super) fn parse(query: &Query, own: Table, parts: &[Part]) -> Result<Self, Problem> {
        let mut known = vec!["metric", "start", "end", "step", "fn"];
        known.extend(parts.iter().map(|(_, name)| *name));
        query.only(&known)?;
        let name = query.get("metric").ok_or_else(|| {
            Problem::bad_parameter(
                "which metric? Add metric=NAME, such as metric=cpu_usage_usec or metric=cpu_user_ticks; GET \
                 /api/v1/metrics lists all"
                    .to_owned(),
            )
        })?;
        let (table, word, column_name) = match name.split_once('.') {
            None => (own, "", name),
            Some((word, column_name)) => {
                let part = parts.iter().find(|(_, part)| *part == word);
                let (table, word) = part.copied().ok_or_else(|| unknown_metric(name, own, parts))?;
                (table, word, column_name)
            }
        };
        let column = table.column(column_name).ok_or_else(|| unknown_metric(name, own, parts))?;
        let metric = table.metrics().get(column).ok_or_else(|| unknown_metric(name, own, parts))?;
        let of = if word.is_empty() { None } else { query.get(word).map(str::to_owned) };
        Ok(Self { table, column, metric, of })
    }

    pub(super) fn name(&self) -> String {
        match prefix(self.table) {
            "" => self.metric.name.to_owned(),
            word => format!("{word}.{}", self.metric.name),
        }
    }
}

fn unknown_metric(name: &str, own: Table, parts: &[Part]) -> Problem {
    let mut names: Vec<String> = own.metrics().iter().map(|metric| metric.name.to_owned()).collect();
    for (table, word) in parts {
        names.extend(table.metrics().iter().map(|metric| format!("{word}.{}", metric.name)));
    }
    let near = nearest(name, names.iter().map(String::as_str));
    let hint = near.map_or_else(String::new, |near| format!("; the nearest is '{near}'"));
    Problem::unknown_metric(format!("there is no metric '{name}' here{hint}. GET /api/v1/metrics lists all"))
}

impl Range {
    pub(super) fn parse(query: &Query, metric: &Metric, now: Now) -> Result<Self, Problem> {
        let instant = |name: &str| match query.get(name) {
            None => Ok(None),
            Some(text) => parse_instant(text, now.wall).map(Some).ok_or_else(|| {
                Problem::bad_parameter(format!(
                    "{name}={text} is no instant; write 2026-03-01T12:00:00Z, unix seconds, now, or -15m"
                ))
            }),
        };
        let end = instant("end")?.unwrap_or(now.wall);
        let start = instant("start")?.unwrap_or(UnixNanos(end.0.saturating_sub(DEFAULT_RANGE_NANOS)));
        if start > end {
            let detail = format!("start ({}) is after end ({}); swap them", rfc3339(start), rfc3339(end));
            return Err(Problem::bad_parameter(detail));
        }
        let step_nanos = match query.get("step") {
            None => None,
            Some(text) => Some(parse_duration(text).filter(|step| *step > 0).ok_or_else(|| {
                Problem::bad_parameter(format!("step={text} is no duration; write 500ms, 1s, 5m or 1h"))
            })?),
        };
        let range = Self { start, end, step_nanos, function: function(query, metric)? };
        range.check_points(step_nanos.map_or(0, |step| range.steps(step)))?;
        Ok(range)
    }

    /// The first instant whose points are needed.
    pub(super) fn read_from(&self) -> UnixNanos {
        let aligned = self.step_nanos.map_or(self.start.0, |step| self.start.0 / step * step);
        let lookback = if self.function == Function::Rate { RATE_LOOKBACK_NANOS } else { 0 };
        UnixNanos(aligned.saturating_sub(lookback))
    }

    fn steps(&self, step: u64) -> u64 {
        (self.end.0 / step - self.start.0 / step).saturating_add(1)
    }

    fn check_points(&self, points: u64) -> Result<(), Problem> {
        if points <= MAX_POINTS as u64 {
            return Ok(());
        }
        let seconds = (self.end.0 - self.start.0).div_ceil(MAX_POINTS as u64).div_ceil(1_000_000_000) + 1;
        Err(Problem::too_many_points(format!(
            "that would be {points} points and at most {MAX_POINTS} are sent; ask for a shorter time or a larger step, \
             for this time step={seconds}s"
        )))
    }
}

fn function(query: &Query, metric: &Metric) -> Result<Function, Problem> {
    const WORDS: [(&str, Function); 5] = [
        ("last", Function::Last),
        ("rate", Function::Rate),
        ("min", Function::Min),
        ("max", Function::Max),
        ("avg", Function::Avg),
    ];
    let word = query.get("fn").unwrap_or("last");
    let function = WORDS.iter().find(|(name, _)| *name == word).map(|(_, function)| *function);
    let function = function
        .ok_or_else(|| Problem::bad_parameter(format!("there is no fn={word}; write last, rate, min, max or avg")))?;
    if function == Function::Rate && metric.kind != Kind::Counter {
        return Err(Problem::bad_parameter(format!(
            "{} is a {}, and only a counter has a rate; use fn=avg, min or max",
            metric.name,
            metric.kind.as_str()
        )));
    }
    Ok(function)
}

/// Unit of the answer's values.
pub(super) fn unit(metric: &Metric, function: Function) -> String {
    match function {
        Function::Rate => format!("{} per second", metric.unit.as_str()),
        _ => metric.unit.as_str().to_owned(),
    }
}

/// Folds a column's points, oldest first, into those of the answer.
pub(super) fn fold(points: &[Point], range: &Range) -> Result<Vec<(f64, Option<HistoryValue>)>, Problem> {
    let Some(step) = range.step_nanos else {
        return every_point(points, range);
    };
    let first_step = range.start.0 / step;
    let inside = |point: &Point| point.wall.0 / step >= first_step && point.wall <= range.end;
    let mut answer: Vec<(f64, Option<HistoryValue>)> = Vec::new();
    let mut previous: Option<&Point> = None;
    let mut next_step = None;
    let mut rest = points;
    while let Some(head) = rest.first() {
        let number = head.wall.0 / step;
        let length = rest.iter().take_while(|point| point.wall.0 / step == number).count().max(1);
        let (chunk, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = tail;
        let chunk = match chunk.iter().position(|point| !inside(point)) {
            None => chunk,
            Some(outside) => chunk.get(..outside).unwrap_or_default(),
        };
        if chunk.is_empty() {
            // Before the start, where only a rate looks, or after the end.
            previous = Some(head).filter(|head| head.wall < range.start);
            continue;
        }
        for gap in next_step.unwrap_or(number)..number {
            answer.push((seconds_of(gap, step), None));
        }
        answer.push((seconds_of(number, step), value(range.function, previous, chunk)));
        next_step = Some(number + 1);
        previous = chunk.last();
    }
    Ok(answer)
}

fn seconds_of(number: u64, step: u64) -> f64 {
    unix_seconds(UnixNanos(number.saturating_mul(step)))
}

fn every_point(points: &[Point], range: &Range) -> Result<Vec<(f64, Option<HistoryValue>)>, Problem> {
    let inside = |point: &Point| range.start <= point.wall && point.wall <= range.end;
    range.check_points(points.iter().filter(|point| inside(point)).count() as u64)?;
    let mut previous = None;
    let mut answer = Vec::new();
    for point in points {
        if inside(point) {
            answer.push((unix_seconds(point.wall), value(range.function, previous, std::slice::from_ref(point))));
        }
        previous = Some(point);
    }
    Ok(answer)
}

/// One step's value. `previous` is the last point before the step: a rate's first increase begins there.
fn value(function: Function, previous: Option<&Point>, chunk: &[Point]) -> Option<HistoryValue> {
    if function == Function::Rate {
        return rate(previous, chunk).map(HistoryValue::Number);
    }
    if function == Function::Last {
        return chunk.iter().rev().find_map(|point| as_value(point.cell));
    }
    let numbers = chunk.iter().filter_map(|point| point.cell.value());
    let folded = match function {
        Function::Min => numbers.min().map(HistoryValue::Integer),
        Function::Max => numbers.max().map(HistoryValue::Integer),
        _ => {
            let (sum, count) = numbers.fold((0.0, 0.0), |(sum, count), number| (sum + number as f64, count + 1.0));
            (count > 0.0).then_some(HistoryValue::Number(sum / count))
        }
    };
    folded.or_else(|| chunk.iter().rev().find_map(|point| as_value(point.cell)))
}

fn as_value(cell: Cell) -> Option<HistoryValue> {
    match cell {
        Cell::Absent => None,
        Cell::Unlimited => Some(HistoryValue::Word(HistoryWord::Unlimited)),
        Cell::Value(value) => Some(HistoryValue::Integer(value)),
    }
}

/// The sum of the increases by the sum of the times; pairs with a reset or a gap in them count for neither.
fn rate(previous: Option<&Point>, chunk: &[Point]) -> Option<f64> {
    let (mut increase, mut elapsed) = (0.0, 0.0);
    let mut earlier = previous;
    for later in chunk {
        let pair = earlier.and_then(|earlier| {
            let seconds = elapsed_seconds(earlier.read_at, later.read_at)?;
            Some((later.cell.value()?.checked_sub(earlier.cell.value()?)?, seconds))
        });
        if let Some((more, seconds)) = pair {
            increase += more as f64;
            elapsed += seconds;
        }
        earlier = Some(later);
    }
    (elapsed > 0.0).then_some(increase / elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MonotonicNanos;
    use proptest::prelude::*;

    const T0: u64 = 1_772_366_400;
    const NOW: Now = Now { wall: UnixNanos((T0 + 1_000) * 1_000_000_000), monotonic: MonotonicNanos(0) };

    fn point(second: u64, cell: Cell) -> Point {
        let nanos = second * 1_000_000_000;
        Point { wall: UnixNanos(T0 * 1_000_000_000 + nanos), read_at: MonotonicNanos(nanos), cell }
    }

    fn counted(values: &[(u64, u64)]) -> Vec<Point> {
        values.iter().map(|(second, value)| point(*second, Cell::Value(*value))).collect()
    }

    fn asked(query: &str) -> Result<Range, Problem> {
        Range::parse(&Query::parse(Some(query)), metric("cpu_usage_usec"), NOW)
    }

    fn metric(name: &str) -> &'static Metric {
        let column = Table::Cgroup.column(name).unwrap();
        &Table::Cgroup.metrics()[column]
    }

    /// Folds and gives seconds since T0 with numbers.
    fn folded(points: &[Point], query: &str) -> Vec<(f64, Option<f64>)> {
        let range = asked(&format!("start={T0}&{query}")).unwrap();
        let answer = fold(points, &range).unwrap();
        answer.iter().map(|(at, value)| (at - T0 as f64, value.and_then(HistoryValue::number))).collect()
    }

    #[test]
    fn without_a_step_every_point_comes_out_as_it_is() {
        let points = [point(0, Cell::Value(5)), point(1, Cell::Absent), point(2, Cell::Unlimited)];
        let answer = fold(&points, &asked(&format!("start={T0}")).unwrap()).unwrap();
        let seconds = |second: u64| (T0 + second) as f64;
        let unlimited = HistoryValue::Word(HistoryWord::Unlimited);
        let expected =
            [(seconds(0), Some(HistoryValue::Integer(5))), (seconds(1), None), (seconds(2), Some(unlimited))];
        assert_eq!(answer, expected);
    }

    #[test]
    fn a_step_keeps_the_last_smallest_largest_or_mean_value() {
        let points = counted(&[(0, 4), (1, 8), (4, 3), (5, 1), (9, 2)]);
        assert_eq!(folded(&points, "step=5s&fn=last"), [(0.0, Some(3.0)), (5.0, Some(2.0))]);
        assert_eq!(folded(&points, "step=5s&fn=min"), [(0.0, Some(3.0)), (5.0, Some(1.0))]);
        assert_eq!(folded(&points, "step=5s&fn=max"), [(0.0, Some(8.0)), (5.0, Some(2.0))]);
        assert_eq!(folded(&points, "step=5s&fn=avg"), [(0.0, Some(5.0)), (5.0, Some(1.5))]);
    }

    #[test]
    fn steps_in_which_nothing_was_read_are_null() {
        let points = counted(&[(0, 4), (30, 8)]);
        assert_eq!(folded(&points, "step=10s"), [(0.0, Some(4.0)), (10.0, None), (20.0, None), (30.0, Some(8.0))]);
    }

    #[test]
    fn a_rate_leaves_out_the_pair_in_which_the_counter_went_back() {
        let points = counted(&[(0, 100), (1, 110), (2, 120), (3, 5), (4, 15)]);
        let rates = folded(&points, "fn=rate");
        let values: Vec<_> = rates.iter().map(|(_, rate)| *rate).collect();
        assert_eq!(values, [None, Some(10.0), Some(10.0), None, Some(10.0)]);
        assert_eq!(folded(&points, "fn=rate&step=5s"), [(0.0, Some(10.0))]);
    }

    #[test]
    fn the_first_rate_begins_at_the_last_point_before_the_start() {
        let mut points = counted(&[(0, 20), (1, 30)]);
        let mut before = point(0, Cell::Value(10));
        before.wall = UnixNanos(before.wall.0 - 1_000_000_000);
        for (second, point) in (1..).zip(&mut points) {
            point.read_at = MonotonicNanos(second * 1_000_000_000);
        }
        points.insert(0, before);
        assert_eq!(folded(&points, "fn=rate"), [(0.0, Some(10.0)), (1.0, Some(10.0))]);
        assert_eq!(folded(&points, "fn=rate&step=1s"), [(0.0, Some(10.0)), (1.0, Some(10.0))]);
        assert_eq!(folded(&points, "fn=last&step=1s"), [(0.0, Some(20.0)), (1.0, Some(30.0))]);
    }

    #[test]
    fn a_gauge_or_limit_has_no_rate() {
        let query = Query::parse(Some("fn=rate"));
        let problem = Range::parse(&query, metric("memory_current_bytes"), NOW).unwrap_err();
        assert!(problem.detail.contains("only a counter has a rate"), "{}", problem.detail);
    }

    #[test]
    fn more_points_than_an_answer_holds_are_refused_with_a_step_that_fits() {
        let problem = asked("start=-1d&step=1s").unwrap_err();
        assert_eq!(problem.status, 422);
        let step = problem.detail.rsplit("step=").next().unwrap();
        assert!(asked(&format!("start=-1d&step={step}")).is_ok(), "{}", problem.detail);
        let many = (0..=MAX_POINTS as u64).map(|second| (second, second)).collect::<Vec<_>>();
        let range = Range { end: UnixNanos(u64::MAX), ..asked(&format!("start={T0}")).unwrap() };
        assert_eq!(fold(&counted(&many), &range).unwrap_err().status, 422);
    }

    #[test]
    fn times_that_cannot_be_read_are_refused_with_an_example() {
        assert!(asked("start=yesterday").unwrap_err().detail.contains("-15m"));
        assert!(asked("step=5").unwrap_err().detail.contains("5m"));
        assert!(asked("step=0s").is_err());
        assert!(asked("start=now&end=-1h").unwrap_err().detail.contains("swap"));
        let fifteen_minutes = asked("").unwrap();
        assert_eq!(fifteen_minutes.end.0 - fifteen_minutes.start.0, DEFAULT_RANGE_NANOS);
    }

    proptest! {
        #[test]
        fn no_points_make_a_rate_negative_or_the_answer_unordered(
            values in proptest::collection::vec((0..400u64, any::<u64>()), 0..60),
            step in 1..50u64,
            start in 0..400u64,
        ) {
            let mut values = values;
            values.sort();
            let range = Range {
                start: UnixNanos((T0 + start) * 1_000_000_000),
                end: UnixNanos((T0 + 300) * 1_000_000_000),
                step_nanos: Some(step * 1_000_000_000),
                function: Function::Rate,
            };
            let answer = fold(&counted(&values), &range).unwrap();
            prop_assert!(answer.iter().filter_map(|(_, rate)| rate.and_then(HistoryValue::number)).all(|rate| rate >= 0.0));
            prop_assert!(answer.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
