//! A page of OpenMetrics text as protobuf: the agent's own metrics, which `prometheus-client` writes as text only.
//!
//! In: text that `prometheus-client` wrote. Out: the same families as delimited protobuf. It reads counters, gauges, infos
//! and classic histograms; a line that it does not understand is left out. Next: [`agent`](super::super::agent).

use std::collections::BTreeMap;

use super::wire::{push_double, push_message, push_number, push_pairs};
use super::{Kind, push_delimited, push_head, push_metric};

#[derive(Default)]
struct Classic {
    count: u64,
    sum: f64,
    buckets: Vec<(f64, u64)>,
}

#[derive(Default)]
struct Page<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    metrics: Vec<u8>,
    histograms: BTreeMap<String, Classic>,
}

/// Appends the families of a page.
pub fn push_page(out: &mut Vec<u8>, openmetrics: &str) {
    let mut page = Page::default();
    for line in openmetrics.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            page.flush(out);
            page = Page { name, help, ..Page::default() };
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            if name != page.name {
                page.flush(out);
                page = Page { name, ..Page::default() };
            }
            page.kind = kind;
        } else if !line.starts_with('#') {
            page.sample(line);
        }
    }
    page.flush(out);
}

impl Page<'_> {
    fn kind(&self) -> Kind {
        match self.kind {
            "counter" => Kind::Counter,
            "gauge" | "info" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            _ => Kind::Untyped,
        }
    }

    fn sample(&mut self, line: &str) -> Option<()> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, block) = match series.split_once('{') {
            Some((name, block)) => (name, block.strip_suffix('}')?),
            None => (series, ""),
        };
        if self.kind() == Kind::Histogram {
            return self.part(name.strip_prefix(self.name)?, block, value);
        }
        let (mut pairs, kind) = (Vec::with_capacity(block.len() + 8), self.kind());
        push_pairs(&mut pairs, block);
        push_metric(&mut self.metrics, kind, [&pairs, &[]], value.parse().ok()?, None);
        Some(())
    }

    fn part(&mut self, part: &str, block: &str, value: &str) -> Option<()> {
        let (labels, bound) = match block.rfind("le=\"").and_then(|at| block.split_at_checked(at)) {
            Some((labels, bound)) => (labels.trim_end_matches(','), bound),
            None => (block, ""),
        };
        let classic = self.histograms.entry(labels.to_owned()).or_default();
        match part {
            "_count" => classic.count = value.parse().ok()?,
            "_sum" => classic.sum = value.parse().ok()?,
            "_bucket" => {
                let bound = bound.strip_prefix("le=\"")?.strip_suffix('"')?.parse().ok()?;
                classic.buckets.push((bound, value.parse().ok()?));
            }
            _ => {}
        }
        Some(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        for (labels, classic) in &self.histograms {
            push_message(&mut self.metrics, 4, |metric| {
                push_pairs(metric, labels);
                push_message(metric, Kind::Histogram.field(), |out| {
                    push_number(out, 1, classic.count);
                    push_double(out, 2, classic.sum);
                    for (bound, count) in &classic.buckets {
                        push_message(out, 3, |out| {
                            push_number(out, 1, *count);
                            push_double(out, 2, *bound);
                        });
                    }
                });
            });
        }
        if self.metrics.is_empty() {
            return;
        }
        let suffix = match self.kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let help = self.help.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\");
        let mut family = Vec::with_capacity(self.metrics.len() + help.len() + 64);
        push_head(&mut family, &[self.name, suffix].concat(), &help, self.kind(), None);
        family.append(&mut self.metrics);
        push_delimited(out, &family);
    }
}
