//! What is new in the ring, under the names of `/metrics`: what a push to a long-term store sends.
//!
//! In: a window of time and a step. Out: every series that has samples in it, with those of all ticks or the last of each
//! step, and the mark that ends a series whose subjects are gone. Each subject's rows are decoded once for all its series,
//! so that a window costs what its cells cost. It sends nothing. Next: `agent/export.rs`, which hands it to `uplink::export`.

use std::collections::BTreeMap;

use super::limits::{Limits, RemoteError};
use super::messages::{Label, Sample};
use super::samples::{Read, STALE, ascending, milliseconds, walls};
use super::select::{NAME, Selected, Selection, Source, fit, select};
use crate::sample::SubjectId;
use crate::sample::catalogue::{NodeColumn, Table};
use crate::sample::sets::Sets;
use crate::store::Store;
use crate::store::query::matcher::{Comparison, Matcher};
use crate::store::query::selector::Selector;
use crate::units::UnixNanos;
use crate::view::prometheus::Shape;
use crate::view::prometheus::family::Family;

/// More series than any node has: beyond it nothing is sent, because something is wrong.
const MOST_SERIES: usize = 1_000_000;

const NANOS_PER_MS: u64 = 1_000_000;

/// Which series are sent, and what they are called.
#[derive(Debug, Clone, Default)]
pub struct TailOptions {
    /// One of these must fit; none lets all pass.
    pub allow: Vec<Vec<Matcher>>,
    /// None of these may fit.
    pub deny: Vec<Vec<Matcher>>,
    /// Of the families, those whose set is on.
    pub sets: Sets,
    /// Labels that every series gets that has them not.
    pub labels: Vec<(String, String)>,
}

/// One series and what is new of it.
#[derive(Debug, Clone)]
pub struct TailSeries {
    /// Its family.
    pub family: &'static Family,
    /// Its labels, `__name__` among them, ascending by name.
    pub labels: Vec<Label>,
    /// When its subject began, if that is known; milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// Strictly ascending in time, and never empty.
    pub samples: Vec<Sample>,
}

/// Reads what is new.
#[derive(Debug, Clone)]
pub struct Tail {
    store: Store,
    shape: Shape,
    options: TailOptions,
}

impl Tail {
    /// Reads from a store.
    #[must_use]
    pub fn new(store: Store, shape: impl Into<Shape>, options: TailOptions) -> Self {
        Self { store, shape: shape.into(), options }
    }

    /// Wall clocks of the oldest and the newest tick, in milliseconds; `None` before the first tick of this run: who is
    /// alive is not known before.
    #[must_use]
    pub fn extent(&self) -> Option<(i64, i64)> {
        let newest = milliseconds(self.store.latest()?.wall);
        let oldest = self.store.stats().tiers.iter().filter_map(|tier| tier.oldest).map(milliseconds).min();
        Some((oldest.unwrap_or(newest).min(newest), newest))
    }

    /// The series that have samples after one instant and until another, in milliseconds; of all ticks of a step (0: each
    /// tick) the last.
    ///
    /// # Errors
    /// As [`select`].
    pub fn read(&self, after_ms: i64, until_ms: i64, step_ms: i64) -> Result<Vec<TailSeries>, RemoteError> {
        let range = after_ms.saturating_add(1)..=until_ms;
        let Some((start, end)) = walls(&range) else { return Ok(Vec::new()) };
        let limits = Limits { series: MOST_SERIES, ..Limits::default() };
        let interval_nanos = self.store.latest().map_or(0, |latest| latest.self_stats.interval_nanos);
        // The end mark of who ended just before is in the window.
        let since = UnixNanos(start.0.saturating_sub(2 * interval_nanos));
        let everything = [Vec::new()];
        let allow = if self.options.allow.is_empty() { &everything[..] } else { &self.options.allow };
        let mut selection = select(&self.store, &self.shape, allow, since, &limits)?;
        let mut selected = std::mem::take(&mut selection.series);
        selected.retain(|one| self.options.sets.has(one.family.set));
        selected.retain(|one| !self.options.deny.iter().any(|matchers| fit(matchers, &one.labels)));
        let reads = self.rows(&selection, &selected, start, end);
        let booted_ms = self.booted_ms();
        let interval_ms = i64::try_from(interval_nanos / NANOS_PER_MS).unwrap_or(i64::MAX).max(1);
        let mut series = Vec::with_capacity(selected.len());
        for (one, read) in selected.into_iter().zip(reads) {
            let mut samples = ascending(read);
            thin(&mut samples, step_ms);
            let last = samples.last().map(|last| last.timestamp);
            let ended = end_ms(&one, interval_ms).filter(|at| range.contains(at) && last.is_none_or(|last| last < *at));
            samples.extend(ended.map(|timestamp| Sample { value: f64::from_bits(STALE), timestamp }));
            if !samples.is_empty() {
                let started_ms = started_ms(&one).or(booted_ms);
                let labels = with_more(one.labels, &self.options.labels);
                series.push(TailSeries { family: one.family, labels, started_ms, samples });
            }
        }
        Ok(series)
    }

    /// What each series has between two instants, subject by subject.
    fn rows(&self, selection: &Selection, selected: &[Selected], start: UnixNanos, end: UnixNanos) -> Vec<Vec<Read>> {
        let mut by_subject: BTreeMap<SubjectId, Vec<(usize, &Source)>> = BTreeMap::new();
        for (index, one) in selected.iter().enumerate() {
            for source in &one.sources {
                by_subject.entry(source.subject.id).or_default().push((index, source));
            }
        }
        let mut reads: Vec<Vec<Read>> = vec![Vec::new(); selected.len()];
        for (subject, sources) in by_subject {
            let columns: Option<Vec<Vec<usize>>> = sources.iter().map(|(_, source)| source.reading.columns()).collect();
            let columns = columns.map(|columns| {
                let mut columns = columns.concat();
                columns.sort_unstable();
                columns.dedup();
                columns
            });
            // A subject that has aged out since it was listed has no samples any more.
            let _aged_out = self.store.rows(subject, columns.as_deref(), start, end, |observed| {
                for (index, source) in &sources {
                    let read = selection.sample(source, &observed);
                    if let Some((reads, read)) = reads.get_mut(*index).zip(read) {
                        reads.push(read);
                    }
                }
            });
        }
        reads
    }

    /// When the node was booted, which is when its counters began.
    fn booted_ms(&self) -> Option<i64> {
        let latest = self.store.latest()?;
        let seconds = latest.rows(Table::Node)?.get(0)?.value(NodeColumn::BootTimeUnixSeconds)?;
        i64::try_from(seconds).ok()?.checked_mul(1000)
    }
}

/// Of the samples of each step the last one is kept.
fn thin(samples: &mut Vec<Sample>, step_ms: i64) {
    if step_ms > 0 {
        samples.reverse();
        samples.dedup_by_key(|sample| sample.timestamp.div_euclid(step_ms));
        samples.reverse();
    }
}

/// Where the first scrape would have missed the series, if all its subjects are gone.
fn end_ms(series: &Selected, interval_ms: i64) -> Option<i64> {
    let gone: Option<Vec<UnixNanos>> = series.sources.iter().map(|source| source.gone).collect();
    Some(milliseconds(gone?.into_iter().max()?).saturating_add(interval_ms))
}

/// When the newest of its subjects began; `None` for the node's own.
fn started_ms(series: &Selected) -> Option<i64> {
    let workloads = series.sources.iter().filter_map(|source| source.subject.workload.as_ref());
    let began = workloads.map(|workload| {
        let told = workload.metadata.as_ref().and_then(|metadata| metadata.started_at.or(metadata.created_at));
        milliseconds(told.unwrap_or(workload.created_at))
    });
    began.max().filter(|began| *began > 0)
}

/// The labels with those that every series gets.
fn with_more(mut labels: Vec<Label>, more: &[(String, String)]) -> Vec<Label> {
    for (name, value) in more.iter().filter(|(_, value)| !value.is_empty()) {
        if let Err(place) = labels.binary_search_by(|label| label.name.as_str().cmp(name)) {
            labels.insert(place, Label { name: name.clone(), value: value.clone() });
        }
    }
    labels
}

/// Reads what an allow or deny list says: a metric's name in which `*` stands for anything, or a selector.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(text: &str) -> Result<Vec<Matcher>, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '*');
    if text.contains('*') && text.chars().all(is_name) {
        let matcher = Matcher::new(NAME.to_owned(), Comparison::Matches, text.replace('*', ".*"));
        return matcher.map(|matcher| vec![matcher]).map_err(|error| format!("{text:?}: {error}"));
    }
    let Selector { name, mut matchers } = Selector::parse(text).map_err(|error| {
        format!("{text:?}: {error}; write a name such as container_memory_*, or a selector such as {{pod=\"a\"}}")
    })?;
    matchers.extend(name.map(|name| Matcher::equal(NAME, &name)));
    if matchers.is_empty() {
        return Err(format!("{text:?} selects everything; leave it out"));
    }
    Ok(matchers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(timestamp: i64) -> Sample {
        Sample { timestamp, value: 1.0 }
    }

    #[test]
    fn of_each_step_the_last_sample_is_kept() {
        let mut samples: Vec<Sample> = [0, 1_000, 2_000, 14_900, 15_000, 31_000, 44_999].map(sample).into();
        thin(&mut samples, 15_000);
        assert_eq!(samples.iter().map(|sample| sample.timestamp).collect::<Vec<_>>(), [14_900, 15_000, 44_999]);
        let mut all: Vec<Sample> = [0, 1, 2].map(sample).into();
        thin(&mut all, 0);
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_series_own_label_is_kept_and_the_others_are_added_in_order() {
        let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
        let own = vec![label("__name__", "up"), label("job", "own")];
        let more = [("job", "more"), ("cluster", "c"), ("empty", "")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(with_more(own, &more), [label("__name__", "up"), label("cluster", "c"), label("job", "own")]);
    }

    #[test]
    fn a_pattern_is_a_name_with_stars_or_a_selector() {
        let fits = |text: &str, name: &str| {
            let matchers = pattern(text).unwrap();
            fit(&matchers, &[Label { name: NAME.to_owned(), value: name.to_owned() }])
        };
        assert!(fits("container_cpu_*", "container_cpu_usage_seconds_total"));
        assert!(!fits("container_cpu_*", "xcontainer_cpu_usage_seconds_total"));
        assert!(fits("*_total", "a_total") && !fits("a_total", "b_total"));
        assert!(fits("{__name__=~\"a|b\"}", "b"));
        assert!(pattern("{}").unwrap_err().contains("selects everything"));
        assert!(pattern("a b").unwrap_err().contains("is wrong at byte"));
    }
}
