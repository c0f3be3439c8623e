//! How values that are read off the tick become series: their labels rendered, their units the base ones.
//!
//! In: a [`Part`] and a key of it. Out: label text and numbers, handed to the encoder. Next: the tables of
//! [`node_network`](super::node_network) and [`node_system`](super::node_system).

use super::super::family::{Series, Sight, Value};
use super::super::labels::push_label;
use super::super::layout::Rows;
use super::super::node_exporter::shows_disk;
use super::super::number::Number;
use crate::sample::SubjectId;
use crate::sample::catalogue::NodeColumn;
use crate::sample::details::Details;
use crate::sample::details::node::{DetailRow, DetailValue, Part};

/// Where series are handed to.
type Emit<'a> = dyn FnMut(&str, Number) + 'a;

/// One part in a million, in the 65536ths of it that adjtimex(2) counts in.
pub const PPM_65536THS: f64 = 1.0 / 65_536e6;

/// Series of the node that are read off the tick.
#[must_use]
pub const fn detail(function: fn(&Details, SubjectId, &mut dyn FnMut(&str, Number))) -> Series {
    Series::new(Rows::Node, Value::Detail(function))
}

fn each(details: &Details, part: Part, emit: &mut Emit<'_>, number: impl Fn(&DetailRow) -> Option<Number>) {
    let mut labels = String::new();
    for row in details.node.rows(part) {
        if let Some(number) = number(row) {
            labels.clear();
            for (name, value) in &row.labels {
                push_label(&mut labels, 0, name, value);
            }
            emit(&labels, number);
        }
    }
}

/// A value of each row, with the decimal places of its unit.
pub fn push(details: &Details, part: Part, key: &str, places: u8, emit: &mut Emit<'_>) {
    each(details, part, emit, |row| {
        Some(match row.value(key)? {
            DetailValue::Integer(units) => Number::Decimal { units, places },
            DetailValue::Float(value) => Number::Float(value / 10f64.powi(i32::from(places))),
        })
    });
}

/// A value of each row times a factor.
pub fn push_scaled(details: &Details, part: Part, key: &str, factor: f64, emit: &mut Emit<'_>) {
    each(details, part, emit, |row| Some(Number::Float(float(row.value(key)?) * factor)));
}

/// A ratio that is given as its distance from 1.
pub fn push_ppm_ratio(details: &Details, part: Part, key: &str, emit: &mut Emit<'_>) {
    each(details, part, emit, |row| Some(Number::Float(1.0 + float(row.value(key)?) * PPM_65536THS)));
}

/// Pages as bytes.
pub fn push_pages(details: &Details, part: Part, key: &str, emit: &mut Emit<'_>) {
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    each(details, part, emit, |row| match row.value(key)? {
        DetailValue::Integer(pages) => pages.checked_mul(page_bytes).map(Number::integer),
        DetailValue::Float(_) => None,
    });
}

/// 1 for each row: its labels are what it says.
pub fn push_info(details: &Details, part: Part, emit: &mut Emit<'_>) {
    each(details, part, emit, |_| Some(Number::integer(1)));
}

/// The same for the disks that are shown.
pub fn push_info_of_shown_disks(details: &Details, part: Part, emit: &mut Emit<'_>) {
    let shown = |row: &DetailRow| row.labels.iter().any(|(name, value)| *name == "device" && shows_disk(value));
    each(details, part, emit, |row| shown(row).then(|| Number::integer(1)));
}

/// Whether the tick has read the file that a column is of.
pub fn succeeded(sight: &Sight<'_>, column: NodeColumn) -> Option<Number> {
    Some(Number::integer(u64::from(sight.row.value(column).is_some())))
}

#[expect(clippy::cast_precision_loss, reason = "frequencies, speeds and corrections are far below 2^53")]
fn float(value: DetailValue) -> f64 {
    match value {
        DetailValue::Integer(value) => value as f64,
        DetailValue::Float(value) => value,
    }
}
