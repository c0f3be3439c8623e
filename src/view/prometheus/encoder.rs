//! One sample in any of the formats, family by family.
//!
//! In: a [`NodeSample`], its [`Layout`] and what was followed since the last scrape. Out: bytes into a [`Sink`] that may
//! compress on the way, so that the whole text never stands in memory beside its compressed form. The walk over the table
//! of families is the same for all formats; a [`Writer`] makes lines or messages of it. It reads nothing. Next:
//! [`exposition`](super::exposition).

use std::collections::HashSet;

use super::blocks::Blocks;
use super::family::{DetailReader, Family, Series, Sight, Type, Value};
use super::layout::{Entry, Layout, Rows};
use super::maxima::Maxima;
use super::number::Number;
use super::pick::Pick;
use super::plan::Plan;
use super::protobuf::Protobuf;
use super::reading::Reading;
use super::rollups::Sums;
use super::shares::Formula;
use super::sink::Sink;
use super::text::Text;
pub(in crate::view) use super::text::push_header;
use super::writer::{Observed, Picked, Place, Writer};
use super::{Format, families, labels};
use crate::sample::catalogue::{CgroupColumn, Table};
use crate::sample::row::{RowRef, RowSet};
use crate::sample::{NodeSample, SubjectId, Tally};

/// How a sample is to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The format.
    pub format: Format,
    /// Shows distributions in text formats, and classic buckets beside native ones in protobuf.
    pub classic: bool,
    /// Adds `_created` lines to OpenMetrics: they double the series of counters.
    pub created: bool,
    /// Which families; without one, all of them.
    pub plan: Option<&'a Plan>,
    /// Which series of those families; without one, all of them.
    pub pick: Option<&'a Pick>,
    /// The layout's labels as protobuf, and since when its entries count. Needed for protobuf and for `created`.
    pub blocks: Option<&'a Blocks>,
}

/// Writes all families of a sample, without the end mark, in a text format without extras.
pub fn encode(sample: &NodeSample, layout: &Layout, maxima: &Maxima, format: Format, sink: &mut Sink) {
    encode_with(sample, layout, maxima, &Options { format, ..Options::default() }, sink);
}

/// Writes all families of a sample, without the end mark.
pub fn encode_with(sample: &NodeSample, layout: &Layout, maxima: &Maxima, options: &Options<'_>, sink: &mut Sink) {
    let view = View { sample, layout, maxima, formula: formula(sample, layout), tallies: tally_blocks(sample) };
    match (options.format, options.blocks) {
        (Format::Protobuf, Some(blocks)) => {
            view.write_picked(Protobuf::new(sink, blocks, options.classic), options, true);
        }
        // Without blocks there is no protobuf: an empty body is a valid one.
        (Format::Protobuf, None) => {}
        (format, blocks) => {
            let text = Text::new(sink, format, blocks.filter(|_| options.created));
            view.write_picked(text, options, options.classic);
        }
    }
}

/// How CPU shares became weights on this node, by its newest sample.
pub(in crate::view) fn formula(sample: &NodeSample, layout: &Layout) -> Formula {
    let weight =
        layout.kubepods_row.and_then(|row| sample.rows(Table::Cgroup)?.get(row)?.value(CgroupColumn::CpuWeight));
    Formula::of_node(weight, sample.machine.cpu_cores)
}

struct View<'a> {
    sample: &'a NodeSample,
    layout: &'a Layout,
    maxima: &'a Maxima,
    formula: Formula,
    tallies: Vec<(String, &'a Tally)>,
}

impl View<'_> {
    /// Writes what is asked for. A page that is asked for whole is written without looking at any series.
    fn write_picked(&self, mut out: impl Writer, options: &Options<'_>, distributions: bool) {
        match options.pick.filter(|pick| pick.chooses_series()) {
            Some(pick) => self.write(&mut Picked::new(pick, out), options, distributions),
            None => self.write(&mut out, options, distributions),
        }
    }

    fn write(&self, out: &mut impl Writer, options: &Options<'_>, distributions: bool) {
        match options.plan {
            Some(plan) => self.write_families(plan.families.iter().copied(), out, distributions),
            None => self.write_families(families::all(), out, distributions),
        }
    }

    fn write_families(
        &self,
        families: impl Iterator<Item = &'static Family>,
        out: &mut impl Writer,
        distributions: bool,
    ) {
        for family in families {
            if family.kind == Type::Histogram && !distributions {
                continue;
            }
            out.begin(family);
            for series in family.series {
                out.begin_series(series);
                self.push_series(out, series);
            }
            out.end();
        }
    }

    fn push_series(&self, out: &mut impl Writer, series: &Series) {
        match series.value {
            Value::Tally(function, places) => {
                for (block, tally) in &self.tallies {
                    let number = Number::Decimal { units: function(tally), places };
                    out.sample(Place::Block(block), series.labels, number);
                }
            }
            Value::TallyExits => self.push_exits(out),
            Value::TallyCpu => {
                for (block, tally) in &self.tallies {
                    let units = tally.ended_cpu_usage_usec.saturating_add(self.living_cpu_usec(tally));
                    out.sample(Place::Block(block), series.labels, Number::Decimal { units, places: 6 });
                }
            }
            Value::Sum(function, places) => self.push_sums(out, series, function, places),
            Value::Machine(function) => {
                if let Some(value) = function(&self.sample.machine) {
                    for (place, _) in self.places(series.rows).take(1) {
                        out.sample(place, series.labels, Number::integer(value));
                    }
                }
            }
            Value::Detail(function) => self.push_details(out, series, function),
            Value::MachineDetail(function) => {
                for (place, _) in self.places(series.rows).take(1) {
                    let mut emit =
                        |labels: &str, number: Number| out.sample(place, &joined(series.labels, labels), number);
                    function(&self.sample.details, &mut emit);
                }
            }
            Value::One => {
                for (place, _) in self.places(series.rows) {
                    out.sample(place, series.labels, Number::integer(1));
                }
            }
            _ => self.push_rows(out, series),
        }
    }

    fn places(&self, rows: Rows) -> impl Iterator<Item = (Place<'_>, &Entry)> {
        let layout = self.layout;
        let entries = layout.entries(rows).iter().enumerate();
        entries.map(move |(index, entry)| (Place::Entry { layout, rows, index, entry }, entry))
    }

    fn push_sums(&self, out: &mut impl Writer, series: &Series, function: fn(&Sums) -> u64, places: u8) {
        let mut block = String::with_capacity(96);
        for (name, namespace) in &*self.maxima.summed {
            let number = |sums: &Sums| Number::Decimal { units: function(sums), places };
            block.clear();
            labels::push_label(&mut block, 0, "namespace", name);
            if series.rows == Rows::Namespaces {
                out.sample(Place::Block(&block), series.labels, number(&namespace.sums));
                continue;
            }
            let prefix = block.len();
            for (owner, sums) in &namespace.owners {
                block.truncate(prefix);
                labels::push_label(&mut block, 0, "owner_kind", &owner.kind);
                labels::push_label(&mut block, 0, "owner_name", &owner.name);
                out.sample(Place::Block(&block), series.labels, number(sums));
            }
        }
    }

    fn living_cpu_usec(&self, tally: &Tally) -> u64 {
        let row = |id: &SubjectId| self.sample.row(Table::Cgroup, *id)?.value(CgroupColumn::CpuUsageUsec);
        tally.living.iter().filter_map(row).sum()
    }

    fn push_details(&self, out: &mut impl Writer, series: &Series, function: DetailReader) {
        let Some(table) = series.rows.table() else { return };
        for (place, entry) in self.places(series.rows).filter(|(_, entry)| series.scope.meets(entry.scope)) {
            let Some(subject) = self.layout.subject(table, entry) else { continue };
            let mut emit = |labels: &str, number: Number| out.sample(place, &joined(series.labels, labels), number);
            function(&self.sample.details, subject.id, &mut emit);
        }
    }

    fn push_rows(&self, out: &mut impl Writer, series: &Series) {
        let Some(table) = series.rows.table() else { return };
        let Some(rows) = self.sample.rows(table) else { return };
        match series.value {
            Value::Peak(peak) => self.each(rows, series, out, |entry, _| {
                let id = self.layout.subject(table, entry)?.id;
                self.maxima.get(id, peak).map(Number::Float)
            }),
            Value::TimeToLimit => self.each(rows, series, out, |entry, _| {
                let id = self.layout.subject(table, entry)?.id;
                self.maxima.time_to_limit_seconds(id).map(Number::Float)
            }),
            Value::Distribution(peak) => {
                for (place, entry) in self.places(series.rows).filter(|(_, entry)| series.scope.meets(entry.scope)) {
                    let Some(id) = self.layout.subject(table, entry).map(|subject| subject.id) else { continue };
                    let Some(all) = self.maxima.distributions(id) else { continue };
                    let Some((shape, distribution)) = all.get(peak) else { continue };
                    let highest = self.maxima.when(id, peak);
                    out.histogram(place, &Observed { shape, distribution, since: all.since(), highest });
                }
            }
            Value::Present(function) => self
                .each(rows, series, out, |entry, row| function(&self.sight(table, entry, row)?, &self.sample.tallies)),
            value => {
                let Some(reading) = Reading::of(value, table) else { return };
                self.each(rows, series, out, |entry, row| reading.read(row, || self.sight(table, entry, row)));
            }
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
        out: &mut impl Writer,
        value: impl Fn(&Entry, &RowRef<'_>) -> Option<Number>,
    ) {
        for (place, entry) in self.places(series.rows) {
            if !series.scope.meets(entry.scope) {
                continue;
            }
            let Some(row) = rows.get(entry.row) else { continue };
            if let Some(number) = value(entry, &row) {
                out.sample(place, series.labels, number);
            }
        }
    }

    fn push_exits(&self, out: &mut impl Writer) {
        for (block, tally) in &self.tallies {
            let mut seen = HashSet::new();
            for ((code, reason), count) in &tally.exits {
                let mut labels = String::new();
                labels::push_label(&mut labels, 0, "code", itoa::Buffer::new().format(*code));
                labels::push_label(&mut labels, 0, "reason", reason);
                if seen.insert(labels.clone()) {
                    out.sample(Place::Block(block), &labels, Number::integer(*count));
                }
            }
        }
    }
}

/// Two rendered blocks as one.
fn joined<'a>(block: &'a str, labels: &'a str) -> std::borrow::Cow<'a, str> {
    match (block.is_empty(), labels.is_empty()) {
        (_, true) => block.into(),
        (true, false) => labels.into(),
        (false, false) => format!("{block},{labels}").into(),
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
