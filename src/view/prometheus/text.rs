//! Families as lines: Prometheus text 0.0.4 and 1.0.0, OpenMetrics 1.0.0.
//!
//! In: what the encoder hands over, family by family. Out: text into a [`Sink`]. The two versions of Prometheus' format
//! differ in the label names that they may hold, and those come rendered. No sample carries a timestamp: what is shown was
//! read in the newest tick. Next: [`encoder`](super::encoder).

use super::Format;
use super::blocks::Blocks;
use super::family::{Family, Series, Type};
use super::number::Number;
use super::sink::Sink;
use super::writer::{Observed, Place, Writer, is_dated};
use crate::units::UnixNanos;
use crate::view::api::time::rfc3339;

/// Writes text.
pub struct Text<'a> {
    sink: &'a mut Sink,
    format: Format,
    /// Tells since when counters count; `None` when nobody asked for that.
    births: Option<&'a Blocks>,
    family: &'static Family,
    dated: bool,
    begin: usize,
    empty: usize,
}

/// Stands for "none yet".
const NOTHING: &Family = &super::family::gauge("", "", &[]);

impl<'a> Text<'a> {
    /// Writes into `sink`; `births` adds OpenMetrics' `_created` lines.
    pub fn new(sink: &'a mut Sink, format: Format, births: Option<&'a Blocks>) -> Self {
        let births = births.filter(|_| format == Format::OpenMetrics);
        Self { sink, format, births, family: NOTHING, dated: false, begin: 0, empty: 0 }
    }

    fn created(&mut self, place: Place<'_>, labels: &str) {
        let (Some(births), Place::Entry { rows, index, .. }) = (self.births, place) else { return };
        let (Some(base), Some(born)) = (self.family.name.strip_suffix("_total"), births.born(rows, index)) else {
            return;
        };
        push_series(self.sink.buffer(), &[base, "_created"], place.block(), labels, 32);
        push_end(self.sink.buffer(), Number::Decimal { units: born.0, places: 9 });
    }
}

impl Writer for Text<'_> {
    fn begin(&mut self, family: &'static Family) {
        self.family = family;
        let out = self.sink.buffer();
        self.begin = out.len();
        push_header(out, family, self.format);
        self.empty = out.len();
    }

    fn begin_series(&mut self, series: &Series) {
        self.dated = self.births.is_some() && self.family.kind == Type::Counter && is_dated(series);
    }

    #[inline]
    fn sample(&mut self, place: Place<'_>, labels: &str, number: Number) {
        let out = self.sink.buffer();
        push_series(out, &[self.family.name], place.block(), labels, 32);
        push_end(out, number);
        if self.dated {
            self.created(place, labels);
        }
    }

    fn histogram(&mut self, place: Place<'_>, observed: &Observed<'_>) {
        let Observed { shape, distribution, since, highest } = *observed;
        let (out, name, block) = (self.sink.buffer(), self.family.name, place.block());
        let mut exemplar = highest.filter(|_| self.format == Format::OpenMetrics);
        let infinity = ("+Inf", distribution.count, f64::INFINITY);
        let bounds = shape
            .classic
            .iter()
            .map(|(le, exponent)| (*le, distribution.up_to(*exponent), f64::from(*exponent).exp2()));
        for (le, count, bound) in bounds.chain([infinity]) {
            push_series(out, &[name, "_bucket"], block, &["le=\"", le, "\""].concat(), 96);
            out.push(b' ');
            Number::integer(count).push_to(out);
            if let Some((value, at)) = exemplar.take_if(|(value, _)| *value <= bound) {
                push_exemplar(out, value, at);
            }
            out.push(b'\n');
        }
        push_series(out, &[name, "_sum"], block, "", 32);
        push_end(out, Number::Float(distribution.sum));
        push_series(out, &[name, "_count"], block, "", 32);
        push_end(out, Number::integer(distribution.count));
        if self.births.is_some() {
            push_series(out, &[name, "_created"], block, "", 32);
            push_end(out, Number::Decimal { units: since.0, places: 9 });
        }
    }

    fn end(&mut self) {
        let out = self.sink.buffer();
        if out.len() == self.empty {
            out.truncate(self.begin);
        }
        self.sink.drain();
    }
}

/// HELP, TYPE and UNIT. A counter's OpenMetrics family is named without `_total`; a cAdvisor counter whose name does not
/// end so keeps its name there as `unknown`, because a counter's sample could not be named like it.
pub(in crate::view) fn push_header(out: &mut Vec<u8>, family: &Family, format: Format) {
    let open = format == Format::OpenMetrics;
    let (name, kind) = match (open, family.kind) {
        (_, Type::Histogram) => (family.name, "histogram"),
        (false, Type::Counter) => (family.name, "counter"),
        (false, Type::Gauge | Type::Info) | (true, Type::Gauge) => (family.name, "gauge"),
        (true, Type::Counter) => match family.name.strip_suffix("_total") {
            Some(base) => (base, "counter"),
            None => (family.name, "unknown"),
        },
        (true, Type::Info) => (family.name.strip_suffix("_info").unwrap_or(family.name), "info"),
    };
    let mut line = |word: &[u8], rest: &[u8]| {
        for part in [b"# ", word, b" ", name.as_bytes(), b" ", rest, b"\n"] {
            out.extend_from_slice(part);
        }
    };
    line(b"HELP", escaped_help(family.help, open).as_bytes());
    line(b"TYPE", kind.as_bytes());
    if let (true, Some(unit)) = (open, family.unit()) {
        line(b"UNIT", unit.as_bytes());
    }
}

fn escaped_help(help: &str, open: bool) -> std::borrow::Cow<'_, str> {
    if !help.contains(['\\', '\n', '"']) {
        return help.into();
    }
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    if open { help.replace('"', "\\\"").into() } else { help.into() }
}

/// Name and labels. `more` bytes are going to follow.
#[inline]
fn push_series(out: &mut Vec<u8>, name: &[&str], block: &str, labels: &str, more: usize) {
    // One reservation for the line: the longest number has 26 bytes.
    out.reserve(name.iter().map(|part| part.len()).sum::<usize>() + block.len() + labels.len() + more);
    for part in name {
        out.extend_from_slice(part.as_bytes());
    }
    if !block.is_empty() || !labels.is_empty() {
        out.push(b'{');
        out.extend_from_slice(block.as_bytes());
        if !block.is_empty() && !labels.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(labels.as_bytes());
        out.push(b'}');
    }
}

#[inline]
fn push_end(out: &mut Vec<u8>, number: Number) {
    out.push(b' ');
    number.push_to(out);
    out.push(b'\n');
}

fn push_exemplar(out: &mut Vec<u8>, value: f64, at: UnixNanos) {
    for part in [" # {at=\"", &rfc3339(at), "\"} "] {
        out.extend_from_slice(part.as_bytes());
    }
    Number::Float(value).push_to(out);
    out.push(b' ');
    Number::Decimal { units: at.0, places: 9 }.push_to(out);
}
