//! One sample as Prometheus text 0.0.4 or OpenMetrics 1.0.
//!
//! In: a [`NodeSample`], its [`Layout`] and the maxima. Out: bytes, family by family, into a [`Sink`] that may compress
//! on the way, so that the whole text never stands in memory beside its compressed form. Each line is a name, a label
//! block that was rendered when the roster changed, and digits. No sample carries a timestamp: what is shown was read
//! in the newest tick. It reads nothing. Next: [`exposition`](super::exposition).

use std::collections::HashSet;

use super::family::{DetailReader, Family, Series, Sight, Type, Value};
use super::layout::{Entry, Layout, Rows};
use super::maxima::Maxima;
use super::number::Number;
use super::reading::Reading;
use super::shares::Formula;
use super::sink::Sink;
use super::{Format, families, labels};
use crate::sample::catalogue::{CgroupColumn, Table};
use crate::sample::row::{RowRef, RowSet};
use crate::sample::{NodeSample, SubjectId, Tally};

/// Writes all families of a sample, without the end mark.
pub fn encode(sample: &NodeSample, layout: &Layout, maxima: &Maxima, format: Format, sink: &mut Sink) {
    let view = View { sample, layout, maxima, formula: formula(sample, layout), tallies: tally_blocks(sample) };
    for family in families::all() {
        let out = sink.buffer();
        let begin = out.len();
        push_header(out, family, format);
        let empty = out.len();
        for series in family.series {
            view.push_series(out, family.name, series);
        }
        if out.len() == empty {
            out.truncate(begin);
        }
        sink.drain();
    }
}

/// How CPU shares became weights on this node, by its newest sample.
pub(in crate::view) fn formula(sample: &NodeSample, layout: &Layout) -> Formula {
    let weight =
        layout.kubepods_row.and_then(|row| sample.rows(Table::Cgroup)?.get(row)?.value(CgroupColumn::CpuWeight));
    Formula::of_node(weight, sample.machine.cpu_cores)
}

/// HELP, TYPE and UNIT. A counter's OpenMetrics family is named without `_total`; a cAdvisor counter whose name does not
/// end so keeps its name there as `unknown`, because a counter's sample could not be named like it.
pub(in crate::view) fn push_header(out: &mut Vec<u8>, family: &Family, format: Format) {
    let (name, kind) = match (format, family.kind) {
        (Format::Text, Type::Counter) => (family.name, "counter"),
        (Format::Text, Type::Gauge | Type::Info) | (Format::OpenMetrics, Type::Gauge) => (family.name, "gauge"),
        (Format::OpenMetrics, Type::Counter) => match family.name.strip_suffix("_total") {
            Some(base) => (base, "counter"),
            None => (family.name, "unknown"),
        },
        (Format::OpenMetrics, Type::Info) => (family.name.strip_suffix("_info").unwrap_or(family.name), "info"),
    };
    let mut line = |word: &[u8], rest: &[u8]| {
        for part in [b"# ", word, b" ", name.as_bytes(), b" ", rest, b"\n"] {
            out.extend_from_slice(part);
        }
    };
    line(b"HELP", escaped_help(family.help, format).as_bytes());
    line(b"TYPE", kind.as_bytes());
    if let (Format::OpenMetrics, Some(unit)) = (format, family.unit()) {
        line(b"UNIT", unit.as_bytes());
    }
}

fn escaped_help(help: &str, format: Format) -> std::borrow::Cow<'_, str> {
    if !help.contains(['\\', '\n', '"']) {
        return help.into();
    }
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    match format {
        Format::Text => help.into(),
        Format::OpenMetrics => help.replace('"', "\\\"").into(),
    }
}

struct View<'a> {
    sample: &'a NodeSample,
    layout: &'a Layout,
    maxima: &'a Maxima,
    formula: Formula,
    tallies: Vec<(String, &'a Tally)>,
}

impl View<'_> {
    fn push_series(&self, out: &mut Vec<u8>, name: &str, series: &Series) {
        match series.value {
            Value::Tally(function, places) => {
                for (block, tally) in &self.tallies {
                    push_line(out, name, block, series.labels, Number::Decimal { units: function(tally), places });
                }
            }
            Value::TallyExits => self.push_exits(out, name),
            Value::TallyCpu => {
                for (block, tally) in &self.tallies {
                    let units = tally.ended_cpu_usage_usec.saturating_add(self.living_cpu_usec(tally));
                    push_line(out, name, block, series.labels, Number::Decimal { units, places: 6 });
                }
            }
            Value::Machine(function) => {
                if let (Some(entry), Some(value)) =
                    (self.layout.entries(series.rows).first(), function(&self.sample.machine))
                {
                    push_line(out, name, self.layout.block(entry), series.labels, Number::integer(value));
                }
            }
            Value::One => {
                for entry in self.layout.entries(series.rows) {
                    push_line(out, name, self.layout.block(entry), series.labels, Number::integer(1));
                }
            }
            Value::Detail(function) => self.push_details(out, name, series, function),
            _ => self.push_rows(out, name, series),
        }
    }

    fn living_cpu_usec(&self, tally: &Tally) -> u64 {
        let row = |id: &SubjectId| self.sample.row(Table::Cgroup, *id)?.value(CgroupColumn::CpuUsageUsec);
        tally.living.iter().filter_map(row).sum()
    }

    fn push_rows(&self, out: &mut Vec<u8>, name: &str, series: &Series) {
        let Some(table) = series.rows.table() else { return };
        let Some(rows) = self.sample.rows(table) else { return };
        match series.value {
            Value::Peak(peak) => self.each(rows, series, out, name, |entry, _| {
                let id = self.layout.subject(table, entry)?.id;
                self.maxima.get(id, peak).map(Number::Float)
            }),
            Value::Present(function) => self.each(rows, series, out, name, |entry, row| {
                function(&self.sight(table, entry, row)?, &self.sample.tallies)
            }),
            value => {
                let Some(reading) = Reading::of(value, table) else { return };
                self.each(rows, series, out, name, |entry, row| reading.read(row, || self.sight(table, entry, row)));
            }
        }
    }

    fn push_details(&self, out: &mut Vec<u8>, name: &str, series: &Series, function: DetailReader) {
        let Some(table) = series.rows.table() else { return };
        for entry in self.layout.entries(series.rows).iter().filter(|entry| series.scope.meets(entry.scope)) {
            let Some(subject) = self.layout.subject(table, entry) else { continue };
            let block = self.layout.block(entry);
            function(&self.sample.details, subject.id, &mut |labels, number| {
                push_line(out, name, block, labels, number);
            });
        }
    }

    fn sight<'b>(&'b self, table: Table, entry: &Entry, row: &RowRef<'b>) -> Option<Sight<'b>> {
        let subject = self.layout.subject(table, entry)?;
        let (wall, machine) = (self.sample.wall, &*self.sample.machine);
        Some(Sight { wall, machine, subject, row: *row, scope: entry.scope, formula: self.formula })
    }

    #[inline]
    fn each(
        &self,
        rows: &RowSet,
        series: &Series,
        out: &mut Vec<u8>,
        name: &str,
        value: impl Fn(&Entry, &RowRef<'_>) -> Option<Number>,
    ) {
        for entry in self.layout.entries(series.rows) {
            if !series.scope.meets(entry.scope) {
                continue;
            }
            let Some(row) = rows.get(entry.row) else { continue };
            if let Some(number) = value(entry, &row) {
                push_line(out, name, self.layout.block(entry), series.labels, number);
            }
        }
    }

    fn push_exits(&self, out: &mut Vec<u8>, name: &str) {
        for (block, tally) in &self.tallies {
            let mut seen = HashSet::new();
            for ((code, reason), count) in &tally.exits {
                let mut labels = String::new();
                labels::push_label(&mut labels, 0, "code", itoa::Buffer::new().format(*code));
                labels::push_label(&mut labels, 0, "reason", reason);
                if seen.insert(labels.clone()) {
                    push_line(out, name, block, &labels, Number::integer(*count));
                }
            }
        }
    }
}

/// Tallies are few and belong to no roster: their labels are rendered anew. Of two that are cut to the same labels the
/// first is shown.
fn tally_blocks(sample: &NodeSample) -> Vec<(String, &Tally)> {
    let mut seen = HashSet::new();
    let render = |(key, tally): (&crate::sample::TallyKey, _)| {
        let mut block = String::with_capacity(96);
        labels::push_label(&mut block, 0, "namespace", &key.namespace);
        labels::push_label(&mut block, 0, "pod", &key.pod);
        labels::push_label(&mut block, 0, "container", &key.container);
        (block, tally)
    };
    sample.tallies.entries.iter().map(render).filter(|(block, _)| seen.insert(block.clone())).collect()
}

#[inline]
fn push_line(out: &mut Vec<u8>, name: &str, block: &str, labels: &str, number: Number) {
    // One reservation for the line: the longest number has 26 bytes.
    out.reserve(name.len() + block.len() + labels.len() + 32);
    out.extend_from_slice(name.as_bytes());
    if !block.is_empty() || !labels.is_empty() {
        out.push(b'{');
        out.extend_from_slice(block.as_bytes());
        if !block.is_empty() && !labels.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(labels.as_bytes());
        out.push(b'}');
    }
    out.push(b' ');
    number.push_to(out);
    out.push(b'\n');
}

/// The kind of rows of all families is known to the layout; kept here so that a new kind cannot be forgotten.
const _: () = assert!(Rows::Agent as usize == 17);
