//! What the encoder asks of a format: a family's head, its series, its end.
//!
//! In: one family after the other, each series with where its labels stand. Out: calls that [`text`](super::text) and
//! [`protobuf`](super::protobuf) turn into bytes. The encoder is compiled once for each of the two, so that a line of text
//! costs no indirection. It formats nothing itself. Next: [`encoder`](super::encoder).

use super::distributions::{Distribution, Shape};
use super::family::{Family, Series, Value};
use super::layout::{Entry, Layout, Rows};
use super::number::Number;
use crate::units::UnixNanos;

/// Where the labels of a series are.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// Rendered when the roster changed.
    Entry {
        /// Where it was rendered.
        layout: &'a Layout,
        /// The kind of rows.
        rows: Rows,
        /// Place among the entries of that kind.
        index: usize,
        /// The entry.
        entry: &'a Entry,
    },
    /// Rendered just now.
    Block(&'a str),
}

impl<'a> Place<'a> {
    /// The labels as text.
    #[must_use]
    #[inline]
    pub fn block(&self) -> &'a str {
        match self {
            Self::Entry { layout, entry, .. } => layout.block(entry),
            Self::Block(block) => block,
        }
    }
}

/// A histogram as it is to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// Its buckets.
    pub shape: &'static Shape,
    /// Its counts.
    pub distribution: &'a Distribution,
    /// When observing began.
    pub since: UnixNanos,
    /// The highest value since the last scrape and when it was: what a reader wants to be led to.
    pub highest: Option<(f64, UnixNanos)>,
}

/// A format in which families are written.
pub trait Writer {
    /// A family begins.
    fn begin(&mut self, family: &'static Family);
    /// Series of one definition follow.
    fn begin_series(&mut self, series: &Series);
    /// One series; `labels` are rendered and follow those of the place.
    fn sample(&mut self, place: Place<'_>, labels: &str, number: Number);
    /// One histogram.
    fn histogram(&mut self, place: Place<'_>, observed: &Observed<'_>);
    /// The family is complete. One without series leaves no trace.
    fn end(&mut self);
}

/// Whether a series counts since its cgroup was made: it is read from the kernel as it stands, and counted by the cgroup
/// itself. Interfaces belong to a network namespace that may be older; tallies outlive cgroups.
#[must_use]
pub fn is_dated(series: &Series) -> bool {
    let of_cgroup = matches!(series.rows, Rows::Cgroups | Rows::Devices | Rows::BlkioDevices | Rows::Hugepages);
    of_cgroup && matches!(series.value, Value::Column(_) | Value::Raw(_) | Value::WithQuota(_) | Value::Computed(_))
}
