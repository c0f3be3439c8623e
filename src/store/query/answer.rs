//! Questions about many subjects at once: select, fold each over time, then put together what belongs together.
//!
//! In: a [`Query`]. Out: an [`Answer`] of series. Subjects that are gone and still remembered take part. Two subjects with
//! the same labels (a container that was started again) are two series unless they are aggregated. The memory used is
//! bounded by [`Bounds`], whatever is asked for. It formats nothing. Next: `view/api`.

use std::collections::BTreeMap;

use super::QueryError;
use super::labels::{Labels, column_name, labels_of};
use super::matcher::Matcher;
use super::over_time::{OverTime, Span, TimedValue, Value};
use crate::sample::catalogue::{Kind, Table};
use crate::sample::{Subject, SubjectId};
use crate::store::{Remembered, Store, StoreError, TierUse};

/// How several series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// Their sum; of limits unlimited when one of them is.
    Sum,
    /// Their mean; of limits unlimited when one of them is.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// Which series become one: those that agree in these labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How.
    pub reduce: Reduce,
    /// The labels that the answer's series have; without any all become one.
    pub by: Vec<String>,
}

/// What an answer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Series in the answer.
    pub series: usize,
    /// Values of one series.
    pub points_each: usize,
    /// Values of all series together.
    pub points: usize,
}

/// A question.
#[derive(Debug, Clone)]
pub struct Query {
    /// The table.
    pub table: Table,
    /// The column in it.
    pub column: usize,
    /// Which of its subjects.
    pub matchers: Vec<Matcher>,
    /// When.
    pub span: Span,
    /// How a window's readings become one value.
    pub over_time: OverTime,
    /// How the series of several subjects become one; `None` leaves each as it is.
    pub group: Option<Group>,
    /// Only this many series: those with the largest mean.
    pub top: Option<usize>,
    /// What it may cost.
    pub bounds: Bounds,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The subject's labels, or those that were grouped by.
    pub labels: Labels,
    /// Whose readings are in it.
    pub subjects: Vec<SubjectId>,
    /// Oldest first, from the first to the last instant with a reading.
    pub points: Vec<TimedValue>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Sorted by namespace, pod, name and the other labels, then by subject; with `top` the largest first.
    pub series: Vec<Series>,
    /// Subjects that the matchers fit, also those without a reading in the span.
    pub matched: usize,
    /// Whether one of the cgroups in the answer lies inside another one, so that a sum counts it twice.
    pub nested: bool,
    /// What the answer was read from.
    pub tiers: Vec<TierUse>,
}

/// A subject with its labels.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Who, and until when it was seen.
    pub known: Remembered,
    /// Its labels.
    pub labels: Labels,
}

/// The subjects of a table that fit every matcher, ascending by id.
#[must_use]
pub fn select(remembered: &[Remembered], table: Table, matchers: &[Matcher]) -> Vec<Selected> {
    let owner_of = |subject: &Subject| {
        let index = remembered.binary_search_by_key(&subject.owner?, |known| known.subject.id).ok()?;
        remembered.get(index).map(|known| &*known.subject)
    };
    let of_table = remembered.iter().filter(|known| known.subject.table == table);
    let with_labels = of_table.map(|known| {
        let labels = labels_of(&known.subject, owner_of(&known.subject));
        Selected { known: known.clone(), labels }
    });
    let fits = |one: &Selected| {
        let value = |label: &str| one.labels.get(label).map_or("", String::as_str);
        matchers.iter().all(|matcher| matcher.fits(value(matcher.label())))
    };
    with_labels.filter(fits).collect()
}

impl Store {
    /// Answers a question about many subjects.
    ///
    /// # Errors
    /// [`QueryError`], whose message says how to ask instead.
    pub fn query(&self, query: &Query) -> Result<Answer, QueryError> {
        query.check()?;
        let selected = select(&self.remembered(), query.table, &query.matchers);
        let matched = selected.len();
        let start = query.span.start();
        // Who was last seen before the span has nothing to say about it.
        let selected: Vec<Selected> = selected.into_iter().filter(|one| one.known.last_wall >= start).collect();
        let nested = query.table == Table::Cgroup && any_nested(&selected);
        let mut tiers: Vec<TierUse> = Vec::new();
        let mut series = match &query.group {
            None => self.each(query, selected, &mut tiers)?,
            Some(group) => self.grouped(query, group, selected, &mut tiers)?,
        };
        series.retain(|one| !one.points.is_empty());
        series.sort_by(|a, b| order(a).cmp(&order(b)));
        if let Some(top) = query.top {
            // Nothing can be said about how large they are.
            series.retain(|one| one.points.iter().any(|(_, value)| value.is_some()));
            keep_largest(&mut series, top);
        }
        query.bounds.check_series(series.len())?;
        tiers.sort_by_key(|used| used.tier);
        Ok(Answer { series, matched, nested, tiers })
    }

    fn each(
        &self,
        query: &Query,
        selected: Vec<Selected>,
        tiers: &mut Vec<TierUse>,
    ) -> Result<Vec<Series>, QueryError> {
        let mut series = Vec::new();
        let mut points_left = query.bounds.points;
        for Selected { known, labels } in selected {
            let id = known.subject.id;
            let Some(points) = self.points_of(query, id, tiers)? else { continue };
            points_left =
                points_left.checked_sub(points.len()).ok_or(QueryError::TooManyPoints { most: query.bounds.points })?;
            series.push(Series { labels, subjects: vec![id], points });
            match query.top {
                None => query.bounds.check_series(series.len())?,
                Some(top) if series.len() > top.saturating_mul(2).max(LEAST_BEFORE_SORTING) => {
                    points_left += keep_largest(&mut series, top);
                }
                Some(_) => {}
            }
        }
        Ok(series)
    }

    fn grouped(
        &self,
        query: &Query,
        group: &Group,
        selected: Vec<Selected>,
        tiers: &mut Vec<TierUse>,
    ) -> Result<Vec<Series>, QueryError> {
        let Span::Windows(windows) = query.span else { return Err(QueryError::NoStep) };
        let mut groups: BTreeMap<Labels, (Vec<SubjectId>, Vec<Gathered>)> = BTreeMap::new();
        let most_groups = query.bounds.points / windows.count.max(1);
        for Selected { known, labels } in selected {
            let id = known.subject.id;
            let Some(points) = self.points_of(query, id, tiers)?.filter(|points| !points.is_empty()) else { continue };
            let key: Labels = labels.into_iter().filter(|(label, _)| group.by.contains(label)).collect();
            if groups.len() >= most_groups && !groups.contains_key(&key) {
                return Err(QueryError::TooManyPoints { most: query.bounds.points });
            }
            let (subjects, gathered) =
                groups.entry(key).or_insert_with(|| (Vec::new(), vec![Gathered::default(); windows.count]));
            subjects.push(id);
            for (wall, value) in points {
                let window = windows.index(wall).and_then(|index| gathered.get_mut(index));
                if let (Some(window), Some(value)) = (window, value) {
                    window.add(value);
                }
            }
        }
        let series = groups.into_iter().map(|(labels, (subjects, gathered))| {
            let values = gathered.iter().map(|window| window.reduced(group.reduce));
            let stamped = values.enumerate().map(|(index, value)| (windows.start_of(index), value));
            let mut points: Vec<TimedValue> = stamped.skip_while(|(_, value)| value.is_none()).collect();
            while points.last().is_some_and(|(_, value)| value.is_none()) {
                points.pop();
            }
            Series { labels, subjects, points }
        });
        Ok(series.collect())
    }

    /// One subject's values; `None` when it has just aged out of the ring.
    fn points_of(
        &self,
        query: &Query,
        subject: SubjectId,
        tiers: &mut Vec<TierUse>,
    ) -> Result<Option<Vec<TimedValue>>, QueryError> {
        let read = self.over_time(subject, query.column, query.span, query.over_time, query.bounds.points_each);
        let (points, used) = match read {
            Err(QueryError::Store(StoreError::UnknownSubject)) => return Ok(None),
            other => other?,
        };
        for one in used {
            TierUse::note(tiers, one.tier, one.start);
            TierUse::note(tiers, one.tier, one.end);
        }
        Ok(Some(points))
    }
}

impl Query {
    fn check(&self) -> Result<(), QueryError> {
        let metric = self.table.metrics().get(self.column).ok_or(QueryError::NoSuchColumn)?;
        if self.over_time.needs_counter() && metric.kind != Kind::Counter {
            let metric_name = column_name(self.table, self.column).unwrap_or_default();
            return Err(QueryError::NotACounter { metric: metric_name, kind: metric.kind.as_str() });
        }
        if let OverTime::Quantile(quantile) = self.over_time
            && !(0.0..=1.0).contains(&quantile)
        {
            return Err(QueryError::BadQuantile);
        }
        if self.span.known_points() > self.bounds.points_each {
            return Err(QueryError::TooManyPoints { most: self.bounds.points_each });
        }
        Ok(())
    }
}

impl Bounds {
    fn check_series(&self, series: usize) -> Result<(), QueryError> {
        if series > self.series { Err(QueryError::TooManySeries { most: self.series }) } else { Ok(()) }
    }
}

/// What the members of a group said in one window.
#[derive(Debug, Clone, Copy, Default)]
struct Gathered {
    numbers: u32,
    sum: f64,
    min: f64,
    max: f64,
    unlimited: bool,
}

impl Gathered {
    fn add(&mut self, value: Value) {
        let Some(number) = value.number() else {
            self.unlimited = true;
            return;
        };
        let first = self.numbers == 0;
        self.numbers = self.numbers.saturating_add(1);
        self.sum += number;
        self.min = if first { number } else { self.min.min(number) };
        self.max = if first { number } else { self.max.max(number) };
    }

    fn reduced(&self, reduce: Reduce) -> Option<Value> {
        let some = self.numbers > 0;
        match reduce {
            Reduce::Min if some => Some(Value::Number(self.min)),
            _ if self.unlimited => Some(Value::Unlimited),
            _ if !some => None,
            Reduce::Sum => Some(Value::Number(self.sum)),
            Reduce::Avg => Some(Value::Number(self.sum / f64::from(self.numbers))),
            Reduce::Min => Some(Value::Number(self.min)),
            Reduce::Max => Some(Value::Number(self.max)),
        }
    }
}

/// The order in which people look for a name; what has the same names follows in the order in which it came.
fn order(series: &Series) -> ([Option<&String>; 3], &Labels, &[SubjectId]) {
    let of = |label| series.labels.get(label);
    ([of("namespace"), of("pod"), of("name")], &series.labels, &series.subjects)
}

/// So that the largest are not looked for again at every subject.
const LEAST_BEFORE_SORTING: usize = 64;

/// Keeps the series with the largest means, the largest first. Gives the number of points that went.
fn keep_largest(series: &mut Vec<Series>, top: usize) -> usize {
    series.sort_by(|a, b| mean(&b.points).total_cmp(&mean(&a.points)));
    series.drain(top.min(series.len())..).map(|one| one.points.len()).sum()
}

/// What `top` sorts by: the mean of the numbers, more than any number where a limit is not set.
fn mean(points: &[TimedValue]) -> f64 {
    let values = points.iter().filter_map(|(_, value)| *value);
    let (sum, count) =
        values.fold((0.0, 0.0), |(sum, count), value| (sum + value.number().unwrap_or(f64::INFINITY), count + 1.0));
    if count > 0.0 { sum / count } else { f64::NEG_INFINITY }
}

/// Whether one of these cgroups lies inside another one.
fn any_nested(selected: &[Selected]) -> bool {
    let mut parts: Vec<Vec<&str>> = Vec::with_capacity(selected.len());
    for one in selected {
        parts.push(one.known.subject.name.split('/').filter(|part| !part.is_empty()).collect());
    }
    parts.sort_unstable();
    let inside = |(outer, inner): (&Vec<&str>, &Vec<&str>)| outer.len() < inner.len() && inner.starts_with(outer);
    parts.iter().zip(parts.iter().skip(1)).any(inside)
}
