//! What is said of the entries of a layout beside their text: labels as protobuf, and since when they count.
//!
//! In: a [`Layout`]. Out: for every entry its label pairs as the fields of a protobuf `Metric`, and when its cgroup was
//! made. Rendered once per roster, like the layout's text. It reads nothing. Next: [`protobuf`](super::protobuf),
//! [`text`](super::text).

use std::sync::Arc;

use super::layout::{Layout, Rows};
use super::protobuf::wire;
use crate::sample::{CgroupKind, Subject};
use crate::units::UnixNanos;

/// The pairs of all entries of a layout.
#[derive(Debug)]
pub struct Blocks {
    layout: Arc<Layout>,
    bytes: Vec<u8>,
    pairs: Vec<Vec<Pairs>>,
}

#[derive(Debug, Clone, Copy)]
struct Pairs {
    start: usize,
    end: usize,
    born: Option<UnixNanos>,
}

impl Blocks {
    /// Renders the labels of a layout.
    #[must_use]
    pub fn new(layout: &Arc<Layout>) -> Self {
        let (mut bytes, mut pairs) = (Vec::new(), Vec::with_capacity(Rows::ALL.len()));
        for rows in Rows::ALL {
            let entries = layout.entries(rows).iter().map(|entry| {
                let start = bytes.len();
                wire::push_pairs(&mut bytes, layout.block(entry));
                let subject = rows.table().and_then(|table| layout.subject(table, entry));
                Pairs { start, end: bytes.len(), born: subject.and_then(born) }
            });
            pairs.push(entries.collect());
        }
        Self { layout: Arc::clone(layout), bytes, pairs }
    }

    /// Whether these are still the blocks of that layout.
    #[must_use]
    pub fn fit(&self, layout: &Arc<Layout>) -> bool {
        Arc::ptr_eq(&self.layout, layout)
    }

    /// One entry's label pairs.
    #[must_use]
    #[inline]
    pub fn pairs(&self, rows: Rows, index: usize) -> &[u8] {
        let pairs = self.pairs.get(rows as usize).and_then(|pairs| pairs.get(index));
        pairs.and_then(|pairs| self.bytes.get(pairs.start..pairs.end)).unwrap_or(&[])
    }

    /// When the cgroup of an entry was made, where that is known.
    #[must_use]
    #[inline]
    pub fn born(&self, rows: Rows, index: usize) -> Option<UnixNanos> {
        self.pairs.get(rows as usize)?.get(index)?.born
    }
}

/// When a container or pod was started: the runtime's word, else the cgroup's age. Nobody else is asked for.
fn born(subject: &Subject) -> Option<UnixNanos> {
    let workload = subject.workload.as_ref()?;
    if !matches!(workload.kind(), CgroupKind::Container | CgroupKind::Sandbox | CgroupKind::Pod) {
        return None;
    }
    let metadata = workload.metadata.as_ref();
    let told = metadata.and_then(|metadata| metadata.started_at.or(metadata.created_at));
    Some(told.unwrap_or(workload.created_at)).filter(|at| at.0 > 0)
}
