//! Which series fit: matchers against the label sets of everybody whom history knows.
//!
//! In: the ring's subjects, alive or gone, and matchers. Out: a [`Selection`]: every series that fits, with the labels
//! that `/metrics` shows and the subjects that its samples come from, ordered by labels. Subjects with one label set (the
//! instances of a container that was restarted) are one series. No value is read here. Next: [`samples`](super::samples).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::limits::{Limits, RemoteError};
use super::messages::Label;
use crate::sample::catalogue::Table;
use crate::sample::{MachineFacts, Roster, Subject, SubjectId};
use crate::store::query::matcher::Matcher;
use crate::store::{Remembered, Store};
use crate::units::UnixNanos;
use crate::view::prometheus::families;
use crate::view::prometheus::family::{Family, Series};
use crate::view::prometheus::labels::pairs;
use crate::view::prometheus::layout::{Entry, Layout, Rows, Scope};
use crate::view::prometheus::reading::Reading;
use crate::view::prometheus::shares::Formula;
use crate::view::prometheus::{Shape, encoder};

/// The label that holds a metric's name.
pub const NAME: &str = "__name__";

/// One subject's part of a series.
#[derive(Debug, Clone)]
pub struct Source {
    /// Whose rows.
    pub subject: Arc<Subject>,
    /// What kind of cgroup it is.
    pub scope: Scope,
    /// What is read from a row.
    pub reading: Reading,
    /// Wall clock of its last row, if it had ended when the request came.
    pub gone: Option<UnixNanos>,
}

/// One series.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Its family.
    pub family: &'static Family,
    /// Its labels, `__name__` among them, ascending by name.
    pub labels: Vec<Label>,
    /// Where its samples come from. Of two with a sample at the same instant, the later one in this list wins.
    pub sources: Vec<Source>,
}

/// Everything that fits.
#[derive(Debug)]
pub struct Selection {
    /// Ascending by labels.
    pub series: Vec<Selected>,
    /// The machine, for values that depend on it.
    pub machine: Arc<MachineFacts>,
    /// How CPU shares became weights, by the newest tick.
    pub formula: Formula,
    /// The time between ticks.
    pub interval_nanos: u64,
}

/// The families that history can answer: those with a series that a row is enough for.
pub fn answered() -> impl Iterator<Item = &'static Family> {
    families::all()
        .chain(families::agent::FAMILIES)
        .filter(|family| family.series.iter().any(|series| reading(series).is_some()))
}

fn reading(series: &Series) -> Option<Reading> {
    Reading::of(series.value, table(series.rows)?)
}

/// The table whose rows a series is read from. What is said of the machine stands where there is a row of the node.
const fn table(rows: Rows) -> Option<Table> {
    match rows {
        Rows::Machine | Rows::NodeInfo => Some(Table::Node),
        rows => rows.table(),
    }
}

/// Finds the series that fit all matchers of one of `selectors`. Subjects that ended before `since` are left out.
///
/// # Errors
/// [`RemoteError::NothingYet`] before the first tick, [`RemoteError::TooManySeries`].
pub fn select(
    store: &Store,
    shape: &Shape,
    selectors: &[Vec<Matcher>],
    since: UnixNanos,
    limits: &Limits,
) -> Result<Selection, RemoteError> {
    let newest = store.latest().ok_or(RemoteError::NothingYet)?;
    let named = |family: &&Family| selectors.iter().any(|matchers| fit_name(matchers, family.name));
    let families: Vec<_> = answered().filter(named).collect();
    let tables: BTreeSet<Table> = families.iter().flat_map(|family| family.series).flat_map(tables_of).collect();
    // Who is alive is asked whatever the clock says: it may have been set back.
    let remembered = store.remembered();
    let wanted =
        |known: &&Remembered| tables.contains(&known.subject.table) && (known.alive || known.last_wall >= since);
    let (mut roster, mut gone) = (Roster::default(), BTreeMap::new());
    for known in remembered.iter().filter(wanted) {
        if let Some(subjects) = roster.subjects_mut(known.subject.table) {
            subjects.push(Arc::clone(&known.subject));
        }
        if !known.alive {
            gone.insert(known.subject.id, known.last_wall);
        }
    }
    let roster = Arc::new(roster);
    let layout = Layout::with_twins(Arc::clone(&roster), Arc::clone(&newest.machine), shape.clone());
    let mut series = Vec::new();
    for family in families {
        for one in family.series {
            let (Some(table), Some(reading)) = (table(one.rows), reading(one)) else { continue };
            for entry in layout.entries(one.rows).iter().filter(|entry| one.scope.meets(entry.scope)) {
                let labels = label_set(family, layout.block(entry), one.labels);
                if !selectors.iter().any(|matchers| fit(matchers, &labels)) {
                    continue;
                }
                let row =
                    if one.rows.table().is_some() { entry.row } else { roster.subjects(table).len().saturating_sub(1) };
                let Some(source) = source(&roster, (table, row), entry, reading, &gone) else { continue };
                if series.len() >= limits.series {
                    return Err(RemoteError::TooManySeries { most: limits.series });
                }
                series.push(Selected { family, labels, sources: vec![source] });
            }
        }
    }
    Ok(Selection {
        series: joined(series),
        formula: encoder::formula(
            &newest,
            &Layout::new(Arc::clone(&newest.roster), Arc::clone(&newest.machine), shape.clone()),
        ),
        machine: Arc::clone(&newest.machine),
        interval_nanos: newest.self_stats.interval_nanos,
    })
}

/// The tables whose subjects decide which series of a family there are, and under which labels.
fn tables_of(series: &Series) -> Vec<Table> {
    let mut tables = vec![Table::Cgroup];
    tables.extend(table(series.rows).filter(|_| reading(series).is_some()));
    if series.rows == Rows::RootDisksWithoutCgroup {
        tables.push(Table::Device);
    }
    tables
}

fn source(
    roster: &Roster,
    (table, row): (Table, usize),
    entry: &Entry,
    reading: Reading,
    gone: &BTreeMap<SubjectId, UnixNanos>,
) -> Option<Source> {
    let subject = Arc::clone(roster.subjects(table).get(row)?);
    let gone = gone.get(&subject.id).copied();
    Some(Source { subject, scope: entry.scope, reading, gone })
}

/// Makes one series of those with the same labels. Of subjects that are there at the same time `/metrics` shows the last
/// one, but of mounts the first.
fn joined(mut series: Vec<Selected>) -> Vec<Selected> {
    series.sort_by(|one, other| one.labels.cmp(&other.labels));
    let mut joined: Vec<Selected> = Vec::with_capacity(series.len());
    for one in series {
        match joined.last_mut() {
            Some(last) if last.labels == one.labels => last.sources.extend(one.sources),
            _ => joined.push(one),
        }
    }
    for one in &mut joined {
        if one.sources.first().is_some_and(|source| source.subject.table == Table::Filesystem) {
            one.sources.reverse();
        }
    }
    joined
}

fn label_set(family: &Family, block: &str, more: &str) -> Vec<Label> {
    let name = [(NAME, family.name.into())];
    let all = name.into_iter().chain(pairs(block)).chain(pairs(more));
    let mut labels: Vec<_> =
        all.map(|(name, value)| Label { name: name.to_owned(), value: value.into_owned() }).collect();
    labels.sort();
    labels
}

fn fit_name(matchers: &[Matcher], name: &str) -> bool {
    matchers.iter().filter(|matcher| matcher.label() == NAME).all(|matcher| matcher.fits(name))
}

/// Whether a label set fits all matchers; a label that is absent is the empty one.
pub fn fit(matchers: &[Matcher], labels: &[Label]) -> bool {
    matchers.iter().all(|matcher| {
        let label = labels.iter().find(|label| label.name == matcher.label());
        matcher.fits(label.map_or("", |label| &label.value))
    })
}
