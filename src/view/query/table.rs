//! The table: one line for each series.
//!
//! In: an answer. Out: text. Of the labels only those are columns that tell the series apart; what all share stands above.
//! Few points are shown themselves, many as least, mean, largest, last and a line of how they went. Times are UTC. Names
//! come from containers, so control characters in them are made visible.

use std::collections::BTreeSet;

use ratatui::text::Span;

use crate::units::UnixNanos;
use crate::view::api::{HistoryList, HistorySeries, HistoryValue, parse_instant};
use crate::view::top::format;

use super::csv::instant;
use super::quantity::Quantity;

/// Up to this many instants, the values themselves are the columns.
const FEW: usize = 6;

/// Labels in the order in which they are tried to tell series apart.
const PREFERRED: [&str; 18] = [
    "namespace",
    "pod",
    "name",
    "device",
    "interface",
    "pagesize",
    "cpu",
    "mountpoint",
    "fstype",
    "kind",
    "container",
    "image",
    "runtime",
    "qos",
    "id",
    "container_id",
    "pod_uid",
    "outer_container",
];

/// Labels that are worth a line when all series share them.
const SHARED: [&str; 9] = ["namespace", "pod", "name", "kind", "device", "interface", "cpu", "mountpoint", "runtime"];

/// The longest label that is shown whole.
const WIDEST: usize = 40;

/// What the table may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether blocks and other characters beyond ASCII are shown.
    pub(super) unicode: bool,
    /// Characters in a line.
    pub(super) width: usize,
}

impl Look {
    /// For files, pipes and what is not known.
    pub(super) const PLAIN: Self = Self { unicode: false, width: 120 };

    pub(super) fn of_terminal() -> Self {
        let width = ratatui::crossterm::terminal::size().map_or(80, |(width, _)| usize::from(width));
        Self { unicode: true, width }
    }
}

/// Writes the table.
pub(super) fn table(list: &HistoryList, look: Look) -> String {
    let quantity = Quantity::of(list);
    let labels = told_apart_by(list);
    let times: BTreeSet<u64> = all_points(list).map(|(at, _)| millis(*at)).collect();
    let numbered = labels.is_empty() && list.series.len() > 1;
    let mut heading: Vec<String> = labels.iter().map(|label| format::clean(label).to_uppercase()).collect();
    heading.extend(numbered.then(|| "SUBJECT".to_owned()));
    let name_columns = heading.len();
    if times.len() <= FEW {
        heading.extend(times.iter().map(|at| clock_of(*at)));
    } else {
        heading.extend(["MIN", "MEAN", "MAX", "LAST"].map(str::to_owned));
    }
    let mut rows = vec![heading];
    for series in &list.series {
        let label = |name: &String| {
            let value = series.labels.get(name).map_or(format::ABSENT, String::as_str);
            format::elided(&format::clean(value), WIDEST).replace('…', if look.unicode { "…" } else { "~" })
        };
        let mut row: Vec<String> = labels.iter().map(label).collect();
        row.extend(numbered.then(|| series.subjects.iter().map(u64::to_string).collect::<Vec<_>>().join(",")));
        if times.len() <= FEW {
            row.extend(times.iter().map(|at| {
                let point = series.points.iter().find(|(when, _)| millis(*when) == *at);
                shown(point.and_then(|(_, value)| *value), &quantity)
            }));
        } else {
            row.extend(summary(series, &quantity));
        }
        rows.push(row);
    }
    let mut lines = aligned(&rows, name_columns);
    if times.len() > FEW {
        let used = lines.iter().map(|line| width(line)).max().unwrap_or(0);
        let room = look.width.saturating_sub(used + 2).clamp(8, 60);
        let mut parts = lines.iter_mut();
        if let Some(first) = parts.next() {
            first.push_str("  TREND");
        }
        let span = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
        for (line, series) in parts.zip(&list.series) {
            line.push_str("  ");
            line.push_str(&trend(series, span, room.min(times.len()), look.unicode));
        }
    }
    let mut text = head(list, &quantity);
    for line in lines {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for note in &list.notes {
        text.push_str(&format!("note: {}\n", format::clean(note)));
    }
    text
}

/// What the table is of.
fn head(list: &HistoryList, quantity: &Quantity) -> String {
    let mut text = format::clean(&list.metric).into_owned();
    let function = match list.q {
        Some(q) => format!("{} {q}", list.function.as_str()),
        None => list.function.as_str().to_owned(),
    };
    text.push_str(&format!(", {function}"));
    if let Some(step) = list.step_seconds {
        text.push_str(&format!(" of each {}", format::duration(step)));
    }
    text.push_str(&format!(", in {}", quantity.word));
    if let Some(agg) = list.agg {
        let by = if list.by.is_empty() { "of all".to_owned() } else { format!("by {}", list.by.join(", ")) };
        text.push_str(&format!("; {} {}", agg.as_str(), format::clean(&by)));
    }
    let instant_of = |text: &str| parse_instant(text, UnixNanos(0)).unwrap_or_default();
    let (start, end) = (instant_of(&list.start), instant_of(&list.end));
    let length = |nanos: u64| format::duration(nanos as f64 / 1e9);
    let range = length(end.0.saturating_sub(start.0));
    text.push_str(&format!("\n{} to {} ({range})\n", format::clean(&list.start), format::clean(&list.end)));
    for tier in &list.tiers {
        let kept = match tier.resolution.as_str() {
            "tick" => "every tick".to_owned(),
            bucket => format!("buckets of {}", format::clean(bucket)),
        };
        text.push_str(&format!("read from {kept}: {} to {}\n", format::clean(&tier.start), format::clean(&tier.end)));
    }
    if let Some(oldest) = &list.oldest {
        let late = instant_of(oldest).0.saturating_sub(start.0);
        // A step begins before the tick that is in it.
        if late > 2_000_000_000 {
            text.push_str(&format!(
                "history begins at {}, {} after the beginning of this time\n",
                format::clean(oldest),
                length(late)
            ));
        }
    }
    let shared = shared(list);
    if !shared.is_empty() {
        text.push_str(&format!("all: {shared}\n"));
    }
    text.push('\n');
    text
}

fn value_of<'a>(series: &'a HistorySeries, label: &str) -> Option<&'a str> {
    series.labels.get(label).map(String::as_str)
}

fn shared(list: &HistoryList) -> String {
    let Some(first) = list.series.first() else { return String::new() };
    let apart = told_apart_by(list);
    let same = |label: &&str| {
        let value = value_of(first, label);
        value.is_some()
            && !apart.iter().any(|column| column == label)
            && list.series.iter().all(|series| value_of(series, label) == value)
    };
    let shown = SHARED
        .into_iter()
        .filter(same)
        .filter_map(|label| Some(format!("{label}={}", format::clean(value_of(first, label)?))));
    shown.collect::<Vec<_>>().join(" ")
}

/// The labels that are columns: those aggregated by, or as many as it takes to tell the series apart.
fn told_apart_by(list: &HistoryList) -> Vec<String> {
    if list.agg.is_some() {
        return list.by.clone();
    }
    let distinct = |labels: &[&str]| -> usize {
        let keys =
            list.series.iter().map(|series| labels.iter().map(|label| value_of(series, label)).collect::<Vec<_>>());
        keys.collect::<BTreeSet<_>>().len()
    };
    let own = list.series.iter().flat_map(|series| series.labels.keys()).map(String::as_str).collect::<BTreeSet<_>>();
    let others = own.into_iter().filter(|label| !PREFERRED.contains(label));
    let mut chosen: Vec<&str> = Vec::new();
    for label in PREFERRED.into_iter().chain(others) {
        // A label that differs, unless those before it say the same already.
        let names = ["namespace", "pod", "name"].contains(&label);
        if distinct(&[label]) < 2 || (!names && distinct(&chosen) == list.series.len()) {
            continue;
        }
        let mut with = chosen.clone();
        with.push(label);
        if names || distinct(&with) > distinct(&chosen) {
            chosen = with;
        }
    }
    chosen.into_iter().map(str::to_owned).collect()
}

fn all_points(list: &HistoryList) -> impl Iterator<Item = &(f64, Option<HistoryValue>)> {
    list.series.iter().flat_map(|series| &series.points)
}

fn millis(seconds: f64) -> u64 {
    let time = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from((time.as_nanos() + 500_000) / 1_000_000).unwrap_or(u64::MAX)
}

/// The time of day, with milliseconds only where there are some.
fn clock_of(millis: u64) -> String {
    let text = instant(millis as f64 / 1e3);
    let clock = text.get(11..).unwrap_or(&text).trim_end_matches('Z');
    clock.strip_suffix(".000").unwrap_or(clock).to_owned()
}

fn shown(value: Option<HistoryValue>, quantity: &Quantity) -> String {
    match value {
        None => format::ABSENT.to_owned(),
        Some(value) => value.number().map_or_else(|| "unlimited".to_owned(), |number| quantity.show(number)),
    }
}

fn summary(series: &HistorySeries, quantity: &Quantity) -> [String; 4] {
    let numbers: Vec<f64> =
        series.points.iter().filter_map(|(_, value)| value.and_then(HistoryValue::number)).collect();
    let last = series.points.iter().rev().find_map(|(_, value)| *value);
    let show = |value: Option<f64>| format::or_absent(value, |value| quantity.show(value));
    let mean = (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64);
    [
        show(numbers.iter().copied().reduce(f64::min)),
        show(mean),
        show(numbers.iter().copied().reduce(f64::max)),
        shown(last, quantity),
    ]
}

/// How the values went over the time that all series share: the mean of each part, against the largest.
fn trend(series: &HistorySeries, (first, last): (u64, u64), width: usize, unicode: bool) -> String {
    let mut parts = vec![(0.0, 0.0); width.max(1)];
    let length = last.saturating_sub(first).saturating_add(1).max(1);
    for (at, value) in &series.points {
        let Some(number) = value.and_then(HistoryValue::number) else { continue };
        let into = millis(*at).saturating_sub(first).saturating_mul(width as u64) / length;
        if let Some((sum, count)) = usize::try_from(into).ok().and_then(|index| parts.get_mut(index)) {
            *sum += number;
            *count += 1.0;
        }
    }
    let means: Vec<Option<f64>> = parts.into_iter().map(|(sum, count)| (count > 0.0).then(|| sum / count)).collect();
    let blocks = format::sparkline(&means, width);
    if unicode { blocks } else { blocks.chars().map(plain).collect() }
}

/// A block in ASCII.
fn plain(block: char) -> char {
    const PAIRS: [(char, char); 8] =
        [('▁', '_'), ('▂', '.'), ('▃', '-'), ('▄', '~'), ('▅', '='), ('▆', '+'), ('▇', '*'), ('█', '#')];
    PAIRS.iter().find(|(from, _)| *from == block).map_or(' ', |(_, to)| *to)
}

fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Names to the left, numbers to the right of their columns.
fn aligned(rows: &[Vec<String>], name_columns: usize) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(index, (cell, widest))| {
            let blanks = " ".repeat(widest.saturating_sub(width(cell)));
            if index < name_columns { format!("{cell}{blanks}") } else { format!("{blanks}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}
