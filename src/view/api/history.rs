//! `GET /api/v1/containers/{id}/history` and `/api/v1/node/history`: one column over time.
//!
//! In: query parameters. Out: [`History`]. Without a step every reading that is kept comes out as it is. With one, time is
//! cut into windows that begin at multiples of the step since 1970, each window becomes one point stamped with its
//! beginning, and windows in which nothing was read are `null`, so that a gap stays a gap. A window is always answered
//! whole, so that the same window has the same value whichever range it is part of. Reading and folding the ring is the
//! store's affair. Next: [`select`](super::select) for many subjects at once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::catalogue::{Kind, Metric, Table};
use crate::store::TierUse;
use crate::store::query::Windows;
use crate::store::query::over_time::{OverTime, Span, TimedValue, Value};
use crate::units::UnixNanos;

use super::problem::{Problem, nearest};
use super::request::Query;
use super::scene::Now;
use super::time::{parse_duration, parse_instant, rfc3339, unix_seconds};

/// The most points that one answer holds; as many as Prometheus gives.
pub const MAX_POINTS: usize = 11_000;

/// What is shown without `start`.
const DEFAULT_RANGE_NANOS: u64 = 15 * 60 * 1_000_000_000;

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
    /// Which quantile, with `fn: quantile`.
    pub q: Option<f64>,
    /// Length of a step in seconds; null when every point is shown.
    pub step_seconds: Option<f64>,
    /// First instant that was asked for, RFC 3339.
    pub start: String,
    /// Last instant that was asked for, RFC 3339.
    pub end: String,
    /// How finely the history is kept that this was read from.
    pub tiers: Vec<TierSpan>,
    /// `[unix seconds, value]`, oldest first. A value is a number, `"unlimited"`, or null where nothing was read.
    #[schema(value_type = Vec<Vec<Option<HistoryValue>>>, example = json!([[1772366400.0, 1048576], [1772366401.0, null]]))]
    pub points: Vec<(f64, Option<HistoryValue>)>,
}

/// A part of the history that was read, and how finely it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TierSpan {
    /// `tick` where every tick is kept, else the length of a bucket: `10s` or `1m`.
    #[schema(example = "tick")]
    pub resolution: String,
    /// The first instant that was read, RFC 3339.
    pub start: String,
    /// The last instant that was read, RFC 3339.
    pub end: String,
}

impl TierSpan {
    pub(super) fn all(uses: &[TierUse]) -> Vec<Self> {
        let span = |used: &TierUse| Self {
            resolution: used.tier.as_str().to_owned(),
            start: rfc3339(used.start),
            end: rfc3339(used.end),
        };
        uses.iter().map(span).collect()
    }
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

impl From<Value> for HistoryValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Integer(value) => Self::Integer(value),
            Value::Number(value) => Self::Number(value),
            Value::Unlimited => Self::Word(HistoryWord::Unlimited),
        }
    }
}

/// Points as the API writes them.
pub(super) fn stamped(points: &[TimedValue]) -> Vec<(f64, Option<HistoryValue>)> {
    points.iter().map(|(wall, value)| (unix_seconds(*wall), value.map(HistoryValue::from))).collect()
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
    /// Increase; counters only.
    Increase,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The mean of the points.
    Avg,
    /// The quantile `q` of the points; where history is kept in buckets, of their last values.
    Quantile,
}

impl Function {
    /// Every function with its word.
    pub const NAMED: [(&'static str, Self); 7] = [
        ("last", Self::Last),
        ("rate", Self::Rate),
        ("increase", Self::Increase),
        ("min", Self::Min),
        ("max", Self::Max),
        ("avg", Self::Avg),
        ("quantile", Self::Quantile),
    ];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMED.iter().find(|(_, function)| *function == self).map_or("last", |(word, _)| *word)
    }
}

/// What is asked of a column's history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) start: UnixNanos,
    pub(super) end: UnixNanos,
    pub(super) step_nanos: Option<u64>,
    pub(super) function: Function,
    /// The quantile, where one is asked for.
    pub(super) q: Option<f64>,
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
        let mut known = vec!["metric", "start", "end", "step", "fn", "q"];
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
        let (function, q) = function(query, metric)?;
        let range = Self { start, end, step_nanos, function, q };
        range.check_points(step_nanos.map_or(0, |step| range.steps(step)))?;
        Ok(range)
    }

    /// Which instants are asked for: whole windows, or every reading.
    pub(super) fn span(&self) -> Span {
        match self.step_nanos {
            None => Span::Readings { start: self.start, end: self.end },
            Some(step_nanos) => Span::Windows(Windows {
                start: UnixNanos(self.start.0 / step_nanos * step_nanos),
                step_nanos,
                count: usize::try_from(self.steps(step_nanos)).unwrap_or(usize::MAX),
            }),
        }
    }

    pub(super) fn over_time(&self) -> OverTime {
        match self.function {
            Function::Last => OverTime::Last,
            Function::Rate => OverTime::Rate,
            Function::Increase => OverTime::Increase,
            Function::Min => OverTime::Min,
            Function::Max => OverTime::Max,
            Function::Avg => OverTime::Avg,
            Function::Quantile => OverTime::Quantile(self.q.unwrap_or(0.5)),
        }
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

fn function(query: &Query, metric: &Metric) -> Result<(Function, Option<f64>), Problem> {
    let word = query.get("fn").unwrap_or("last");
    let function = Function::NAMED.iter().find(|(name, _)| *name == word).map(|(_, function)| *function);
    let function = function.ok_or_else(|| {
        let words: Vec<_> = Function::NAMED.iter().map(|(name, _)| *name).collect();
        Problem::bad_parameter(format!("there is no fn={word}; write one of {}", words.join(", ")))
    })?;
    if matches!(function, Function::Rate | Function::Increase) && metric.kind != Kind::Counter {
        return Err(Problem::bad_parameter(format!(
            "{} is a {}, and only a counter has a {word}; use fn=avg, min or max",
            metric.name,
            metric.kind.as_str()
        )));
    }
    let q = match (function, query.get("q")) {
        (Function::Quantile, Some(text)) => {
            let q = text.parse().ok().filter(|q| (0.0..=1.0).contains(q));
            Some(q.ok_or_else(|| {
                Problem::bad_parameter(format!("q={text} is no quantile; write a number from 0 to 1, such as q=0.99"))
            })?)
        }
        (Function::Quantile, None) => {
            return Err(Problem::bad_parameter("which quantile? Add q=0.99 for the 99th percentile".to_owned()));
        }
        (_, Some(_)) => return Err(Problem::bad_parameter("q belongs to fn=quantile; add it".to_owned())),
        (_, None) => None,
    };
    Ok((function, q))
}

/// Unit of the answer's values.
pub(super) fn unit(metric: &Metric, function: Function) -> String {
    match function {
        Function::Rate => format!("{} per second", metric.unit.as_str()),
        _ => metric.unit.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MonotonicNanos;

    const T0: u64 = 1_772_366_400;
    const NOW: Now = Now { wall: UnixNanos((T0 + 1_000) * 1_000_000_000), monotonic: MonotonicNanos(0) };

    fn asked_of(name: &str, query: &str) -> Result<Range, Problem> {
        let column = Table::Cgroup.column(name).unwrap();
        Range::parse(&Query::parse(Some(query)), &Table::Cgroup.metrics()[column], NOW)
    }

    fn asked(query: &str) -> Result<Range, Problem> {
        asked_of("cpu_usage_usec", query)
    }

    #[test]
    fn windows_begin_at_multiples_of_the_step_and_hold_both_ends() {
        let span = asked(&format!("start={}&end={}&step=5s", T0 + 3, T0 + 10)).unwrap().span();
        let start = UnixNanos(T0 * 1_000_000_000);
        assert_eq!(span, Span::Windows(Windows { start, step_nanos: 5_000_000_000, count: 3 }));
        let span = asked(&format!("start={}&end={}", T0 + 3, T0 + 10)).unwrap().span();
        let second = |second: u64| UnixNanos((T0 + second) * 1_000_000_000);
        assert_eq!(span, Span::Readings { start: second(3), end: second(10) });
    }

    #[test]
    fn a_gauge_or_limit_has_no_rate() {
        for function in ["rate", "increase"] {
            let problem = asked_of("memory_current_bytes", &format!("fn={function}")).unwrap_err();
            assert!(problem.detail.contains(&format!("only a counter has a {function}")), "{}", problem.detail);
        }
    }

    #[test]
    fn a_quantile_is_asked_for_with_its_number_and_only_then() {
        assert_eq!(asked("fn=quantile&q=0.99").unwrap().over_time(), OverTime::Quantile(0.99));
        for (query, hint) in [("fn=quantile", "Add q="), ("fn=quantile&q=99", "from 0 to 1"), ("q=0.5", "fn=quantile")]
        {
            let problem = asked(query).unwrap_err();
            assert!(problem.status == 400 && problem.detail.contains(hint), "{query}: {}", problem.detail);
        }
        assert!(asked("fn=quantile&q=NaN").is_err());
    }

    #[test]
    fn more_points_than_an_answer_holds_are_refused_with_a_step_that_fits() {
        let problem = asked("start=-1d&step=1s").unwrap_err();
        assert_eq!(problem.status, 422);
        let step = problem.detail.rsplit("step=").next().unwrap();
        assert!(asked(&format!("start=-1d&step={step}")).is_ok(), "{}", problem.detail);
        assert_eq!(asked("start=0&step=1ns").unwrap_err().status, 422);
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

    #[test]
    fn every_function_is_written_as_it_is_read() {
        for (word, function) in Function::NAMED {
            assert_eq!(serde_json::to_value(function).unwrap(), word);
            assert_eq!(function.as_str(), word);
        }
    }
}
