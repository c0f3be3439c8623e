//! A sample as it is shown, and how to find a series in it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ringside::sample::NodeSample;
use ringside::view::prometheus::layout::Layout;
use ringside::view::prometheus::maxima::Maxima;
use ringside::view::prometheus::sink::Sink;
use ringside::view::prometheus::{Compression, Format, Labels, encoder};

use crate::strict_parser::Parsed;

/// The text of a sample.
pub fn text_with(sample: &NodeSample, labels: Labels, format: Format, maxima: &Maxima) -> String {
    let layout = Layout::new(Arc::clone(&sample.roster), Arc::clone(&sample.machine), labels);
    let mut sink = Sink::new(Compression::Identity, Vec::new()).unwrap();
    encoder::encode(sample, &layout, maxima, format, &mut sink);
    let mut text = String::from_utf8(sink.finish().unwrap().0).unwrap();
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The value of the only series of `name` that has all these labels.
pub fn one<'a>(parsed: &'a Parsed, name: &str, wanted: &[(&str, &str)]) -> Option<&'a str> {
    let wanted = set(wanted);
    let mut found = parsed.series.iter().filter(|((series, labels), _)| {
        series == name && wanted.iter().all(|(label, value)| labels.get(label) == Some(value))
    });
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} {wanted:?} more than once");
    value
}
