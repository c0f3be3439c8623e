//! `GET /api/v1/history`: one column of many subjects over time, each by itself or aggregated.
//!
//! In: a selector and query parameters. Out: [`HistoryList`]. What is slow or large is refused before it is read, with the
//! way to ask instead; a selector that fits nothing is an empty answer with a note on what there is. Selecting, folding
//! and aggregating are the store's affair; here are words and limits. Next: `view/http`, `view/query`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::catalogue::{Metric, Table};
use crate::store::Store;
use crate::store::query::QueryError;
use crate::store::query::answer::{self, Bounds, Group, Reduce, Selected};
use crate::store::query::labels::{column_name, column_names, column_of};
use crate::store::query::matcher::Matcher;
use crate::store::query::selector::{Selector, SelectorError};

use super::history::{Function, HistoryValue, MAX_POINTS, Range, TierSpan, stamped, unit};
use super::problem::{Problem, nearest};
use super::request::Query;
use super::scene::Now;
use super::time::rfc3339;

/// The most series of one answer.
pub const MAX_SERIES: usize = 1_000;

/// The most points of all series of one answer together: about 10 MB of JSON.
pub const MAX_POINTS_TOGETHER: usize = 250_000;

/// The most values of a label that a note names.
const NAMED_VALUES: usize = 8;

const PARAMETERS: [&str; 9] = ["select", "start", "end", "step", "fn", "q", "by", "agg", "top"];

/// One column of many subjects over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryList {
    /// Name of the metric, with its table's prefix where it needs one.
    pub metric: String,
    /// Unit of the values; `… per second` for a rate.
    pub unit: String,
    /// `counter`, `gauge` or `limit`.
    pub kind: String,
    /// How the readings of one step became one point.
    #[serde(rename = "fn")]
    pub function: Function,
    /// Which quantile, with `fn: quantile`.
    pub q: Option<f64>,
    /// Length of a step in seconds; null when every reading is shown.
    pub step_seconds: Option<f64>,
    /// How several series became one; null when each stands by itself.
    pub agg: Option<Aggregation>,
    /// The labels that the series were aggregated by.
    pub by: Vec<String>,
    /// First instant that was asked for, RFC 3339.
    pub start: String,
    /// Last instant that was asked for, RFC 3339.
    pub end: String,
    /// First instant of which anything is kept, RFC 3339.
    pub oldest: Option<String>,
    /// How finely the history is kept that this was read from.
    pub tiers: Vec<TierSpan>,
    /// How many subjects the selector fits, also those of which nothing was read in this time.
    pub matched: u64,
    /// What the reader should know: why nothing was found, or what is counted twice.
    pub notes: Vec<String>,
    /// Sorted by namespace, pod, name and the other labels; with `top` the largest first.
    pub series: Vec<HistorySeries>,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistorySeries {
    /// The subject's labels, or those that were aggregated by.
    pub labels: BTreeMap<String, String>,
    /// Numbers of the subjects whose readings are in it. They tell a container from the one after it of the same name,
    /// and mean nothing to another agent or after a restart of this one.
    pub subjects: Vec<u64>,
    /// `[unix seconds, value]`, oldest first, from the first to the last reading. A value is a number, `"unlimited"`, or
    /// null where nothing was read.
    #[schema(value_type = Vec<Vec<Option<HistoryValue>>>, example = json!([[1772366400.0, 1048576], [1772366401.0, null]]))]
    pub points: Vec<(f64, Option<HistoryValue>)>,
}

/// How several series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl Aggregation {
    /// Every aggregation with its word.
    pub const NAMED: [(&'static str, Self); 4] =
        [("sum", Self::Sum), ("avg", Self::Avg), ("min", Self::Min), ("max", Self::Max)];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMED.iter().find(|(_, agg)| *agg == self).map_or("sum", |(word, _)| *word)
    }

    fn reduce(self) -> Reduce {
        match self {
            Self::Sum => Reduce::Sum,
            Self::Avg => Reduce::Avg,
            Self::Min => Reduce::Min,
            Self::Max => Reduce::Max,
        }
    }
}

/// Answers the request.
pub(super) fn list(store: &Store, query: &Query, now: Now) -> Result<HistoryList, Problem> {
    query.only(&PARAMETERS)?;
    let text = query.get("select").ok_or_else(|| {
        Problem::bad_parameter(
            "what is to be shown? Add select=NAME{label=\"value\"}, such as select=cpu_usage_usec{namespace=\"shop\"}"
                .to_owned(),
        )
    })?;
    let selector = Selector::parse(text).map_err(|error| bad_selector(text, &error))?;
    let (table, column, metric) = metric_of(&selector)?;
    let range = Range::parse(query, metric, now)?;
    let group = group(query)?;
    let question = answer::Query {
        table,
        column,
        matchers: selector.matchers,
        span: range.span(),
        over_time: range.over_time(),
        group: group.as_ref().map(|(agg, by)| Group { reduce: agg.reduce(), by: by.clone() }),
        top: top(query)?,
        bounds: Bounds { series: MAX_SERIES, points_each: MAX_POINTS, points: MAX_POINTS_TOGETHER },
    };
    let answered = store.query(&question).map_err(|error| refused(&error))?;
    let mut notes = Vec::new();
    if answered.matched == 0 {
        notes.push(why_nothing(store, &question));
    } else if answered.series.is_empty() {
        notes.push(format!("{} fit, and nothing of them was read in this time", answered.matched));
    }
    let adds_up = group.as_ref().is_some_and(|(agg, _)| matches!(agg, Aggregation::Sum | Aggregation::Avg));
    if answered.nested && adds_up {
        notes.push(
            "some of these cgroups lie inside others of them, so what they use is counted twice; add kind=\"container\""
                .to_owned(),
        );
    }
    let (agg, by) = group.map_or((None, Vec::new()), |(agg, by)| (Some(agg), by));
    Ok(HistoryList {
        metric: column_name(table, column).unwrap_or_default(),
        unit: unit(metric, range.function),
        kind: metric.kind.as_str().to_owned(),
        function: range.function,
        q: range.q,
        step_seconds: range.step_nanos.map(|nanos| nanos as f64 / 1e9),
        agg,
        by,
        start: rfc3339(range.start),
        end: rfc3339(range.end),
        oldest: store.stats().oldest.map(rfc3339),
        tiers: TierSpan::all(&answered.tiers),
        matched: answered.matched as u64,
        notes,
        series: answered
            .series
            .into_iter()
            .map(|one| HistorySeries {
                labels: one.labels,
                subjects: one.subjects.iter().map(|id| id.0).collect(),
                points: stamped(&one.points),
            })
            .collect(),
    })
}

fn bad_selector(text: &str, error: &SelectorError) -> Problem {
    let rest: String = text.get(error.at..).unwrap_or_default().chars().take(20).collect();
    let place = if rest.is_empty() { "its end".to_owned() } else { format!("byte {} ('{rest}')", error.at) };
    Problem::bad_parameter(format!("the selector is wrong at {place}: {}", error.why))
}

fn metric_of(selector: &Selector) -> Result<(Table, usize, &'static Metric), Problem> {
    let name = selector.name.as_deref().ok_or_else(|| {
        Problem::bad_parameter(
            "which metric? Write its name before the braces, as in cpu_usage_usec{…}; GET /api/v1/metrics lists all"
                .to_owned(),
        )
    })?;
    let found = column_of(name).and_then(|(table, column)| Some((table, column, table.metrics().get(column)?)));
    found.ok_or_else(|| {
        let names = column_names();
        let near = nearest(name, names.iter().map(String::as_str));
        let hint = near.map_or_else(String::new, |near| format!("; the nearest is '{near}'"));
        Problem::unknown_metric(format!("there is no metric '{name}'{hint}. GET /api/v1/metrics lists all"))
    })
}

fn group(query: &Query) -> Result<Option<(Aggregation, Vec<String>)>, Problem> {
    let by = query.get("by").unwrap_or_default().split(',').map(str::trim).filter(|label| !label.is_empty());
    let by: Vec<String> = by.map(str::to_owned).collect();
    let agg = match query.get("agg") {
        None if by.is_empty() => return Ok(None),
        None => Aggregation::Sum,
        Some(word) => {
            let known = Aggregation::NAMED.iter().find(|(name, _)| *name == word);
            known
                .map(|(_, agg)| *agg)
                .ok_or_else(|| Problem::bad_parameter(format!("there is no agg={word}; write sum, avg, min or max")))?
        }
    };
    if query.get("step").is_none() {
        return Err(refused(&QueryError::NoStep));
    }
    Ok(Some((agg, by)))
}

fn top(query: &Query) -> Result<Option<usize>, Problem> {
    let Some(text) = query.get("top") else { return Ok(None) };
    let top = text.parse().ok().filter(|top| *top > 0);
    let top = top.ok_or_else(|| Problem::bad_parameter(format!("top={text} is no number of series; write top=5")))?;
    Ok(Some(top))
}

/// What the store's refusal is in the API.
pub(super) fn refused(error: &QueryError) -> Problem {
    match error {
        QueryError::TooManyPoints { .. } => Problem::too_many_points(error.to_string()),
        QueryError::TooManySeries { .. } => Problem::too_many_series(error.to_string()),
        QueryError::Store(_) => Problem::no_history(error.to_string()),
        _ => Problem::bad_parameter(error.to_string()),
    }
}

/// Why nothing fits: the first matcher that nothing fits by itself, and what there is instead.
fn why_nothing(store: &Store, question: &answer::Query) -> String {
    let remembered = store.remembered();
    let all = answer::select(&remembered, question.table, &[]);
    if all.is_empty() {
        return "nothing that has this metric was ever seen on this node".to_owned();
    }
    let alone = |matcher: &&Matcher| !all.iter().any(|one| matcher.fits(value_of(one, matcher.label())));
    let Some(matcher) = question.matchers.iter().find(alone) else {
        return "each condition fits something, and nothing fits all of them; leave one out".to_owned();
    };
    let label = matcher.label();
    let values: BTreeSet<&str> = all.iter().map(|one| value_of(one, label)).filter(|value| !value.is_empty()).collect();
    if values.is_empty() {
        let known: BTreeSet<&str> = all.iter().flat_map(|one| one.labels.keys()).map(String::as_str).collect();
        let near = nearest(label, known.iter().copied());
        let hint = near.map_or_else(String::new, |near| format!("; the nearest is '{near}'"));
        return format!("nothing has a label '{label}'{hint}. There is: {}", some_of(&known));
    }
    let near = nearest(matcher.value(), values.iter().copied()).filter(|near| *near != matcher.value());
    let hint = near.map_or_else(String::new, |near| format!("; the nearest is '{near}'"));
    let condition = format!("{label}{}{:?}", matcher.operator(), matcher.value());
    format!("nothing fits {condition}{hint}. There is: {}", some_of(&values))
}

fn value_of<'a>(one: &'a Selected, label: &str) -> &'a str {
    one.labels.get(label).map_or("", String::as_str)
}

fn some_of(words: &BTreeSet<&str>) -> String {
    let named = words.iter().take(NAMED_VALUES).copied().collect::<Vec<_>>().join(", ");
    match words.len().checked_sub(NAMED_VALUES) {
        Some(more) if more > 0 => format!("{named} and {more} more"),
        _ => named,
    }
}
