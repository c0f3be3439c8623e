//! What changed between two moments, as lines and columns.
//!
//! In: the API's [`Diff`]. Out: lines in order, and for `--once` a table. Names are made safe for the terminal here. The
//! same columns are drawn by `draw/diff`.

use std::cmp::Ordering;

use crate::view::api::{Change, Diff, Fate, UsageChange};

use super::TopArgs;
use super::format::{self, clean, or_absent};
use super::line::SortBy;
use super::once::{aligned, wide};

/// One number of a line.
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Sorting by this brings its changes to the top.
    pub(super) sort: Option<SortBy>,
    pub(super) pick: fn(&UsageChange) -> Change,
    pub(super) show: fn(f64) -> String,
}

/// Every number, the most asked-for first.
pub(super) const COLUMNS: [Column; 7] = [
    Column { title: "CPU", sort: Some(SortBy::Cpu), pick: |usage| usage.cpu_cores, show: format::cores },
    Column { title: "MEM", sort: Some(SortBy::Memory), pick: |usage| usage.memory_bytes, show: format::bytes },
    Column { title: "NET/s", sort: Some(SortBy::Net), pick: UsageChange::network, show: format::bytes },
    Column { title: "IO/s", sort: Some(SortBy::Io), pick: UsageChange::io, show: format::bytes },
    Column { title: "THR", sort: Some(SortBy::Throttled), pick: |usage| usage.throttled_ratio, show: format::percent },
    Column { title: "PSI", sort: Some(SortBy::Pressure), pick: UsageChange::pressure, show: format::pressure },
    Column { title: "PIDS", sort: None, pick: |usage| usage.pids, show: |pids| format!("{pids:.0}") },
];

/// A change with its sign; one that is too small to be seen is 0.
pub(super) fn signed(change: Option<f64>, show: fn(f64) -> String) -> String {
    or_absent(change, |change| {
        let size = show(change.abs());
        match size == show(0.0) {
            true => "0".to_owned(),
            false => format!("{}{size}", if change < 0.0 { '-' } else { '+' }),
        }
    })
}

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) id: &'a str,
    /// Namespace, pod and name; `[None, None, "(node)"]` for the node.
    pub(super) names: [Option<String>; 3],
    /// `None` for the node.
    pub(super) fate: Option<Fate>,
    pub(super) usage: &'a UsageChange,
}

impl Entry<'_> {
    /// `namespace/pod/name`, as far as it is known.
    pub(super) fn label(&self) -> String {
        self.names.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/")
    }

    fn size(&self, sort: SortBy) -> Option<f64> {
        let column = COLUMNS.iter().find(|column| column.sort == Some(sort))?;
        (column.pick)(self.usage).size()
    }
}

/// The node first, then the containers that match, the largest change first.
pub(super) fn arranged<'a>(diff: &'a Diff, filter: &str, sort: SortBy, reverse: bool) -> Vec<Entry<'a>> {
    let text = |text: Option<&str>| text.map(|text| clean(text).into_owned());
    let mut entries: Vec<Entry<'_>> = diff
        .containers
        .iter()
        .map(|change| Entry {
            id: &change.id,
            names: [text(change.namespace.as_deref()), text(change.pod.as_deref()), text(Some(&change.name))],
            fate: Some(change.fate),
            usage: &change.usage,
        })
        .filter(|entry| filter.is_empty() || entry.label().to_lowercase().contains(&filter.to_lowercase()))
        .collect();
    let turn = |ordering: Ordering| if reverse { ordering.reverse() } else { ordering };
    entries.sort_by(|a, b| {
        let by_name = a.names.cmp(&b.names).then_with(|| a.id.cmp(b.id));
        match (a.size(sort), b.size(sort)) {
            (Some(a), Some(b)) => turn(b.total_cmp(&a)).then(by_name),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) if sort == SortBy::Name => turn(by_name),
            (None, None) => by_name,
        }
    });
    let node = Entry { id: "", names: [None, None, Some("(node)".to_owned())], fate: None, usage: &diff.node_usage };
    std::iter::once(node).chain(entries).collect()
}

fn fate_word(fate: Option<Fate>) -> &'static str {
    match fate {
        Some(Fate::Came) => "came",
        Some(Fate::Went) => "went",
        Some(Fate::Replaced) => "replaced",
        Some(Fate::Stayed) => "stayed",
        None => format::ABSENT,
    }
}

/// The table of `--once`: three columns for each number, the last one the change.
pub(super) fn table(args: &TopArgs, diff: &Diff) -> String {
    let shown = COLUMNS.iter().filter(|column| wide(args) || matches!(column.title, "CPU" | "MEM"));
    let mut heading: Vec<String> = ["NAMESPACE", "POD", "NAME", "FATE"].map(str::to_owned).into();
    for column in shown.clone() {
        heading.extend([column.title.to_owned(), "THEN".to_owned(), "CHANGE".to_owned()]);
    }
    let mut rows = vec![heading];
    for entry in arranged(diff, &args.filter, args.sort, false) {
        let mut row: Vec<String> = entry.names.iter().map(|name| or_absent(name.clone(), |name| name)).collect();
        row.push(fate_word(entry.fate).to_owned());
        for column in shown.clone() {
            let Change { from, to, change } = (column.pick)(entry.usage);
            row.extend([or_absent(to, column.show), or_absent(from, column.show), signed(change, column.show)]);
        }
        rows.push(row);
    }
    let (to, from) = (clean(&diff.to.read_at), clean(&diff.from.read_at));
    format!("# {to}, compared with {from}\n{}", aligned(&rows))
}
