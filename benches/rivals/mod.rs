//! The same samples in other stores: what each needs for them, and what it costs to write and to read them.
//!
//! In: the samples of a trace. Out: [`Line`]s of a table. The rivals are favoured: they keep no absence, no limits that
//! are not set and no instants of reading, and general compressors are told all lengths. What each gives back is held
//! against what it was given before its line counts. Next: `benches/ring.rs` prints the lines.

pub mod general;
pub mod gorilla;
pub mod prometheus;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ringside::sample::catalogue::Table;
use ringside::sample::{NodeSample, SubjectId};

/// The numbers of one column of one subject, over all ticks that have one.
pub struct Series {
    pub subject: SubjectId,
    pub table: Table,
    pub column: usize,
    /// Position of the tick in the trace.
    pub ticks: Vec<usize>,
    /// Wall clock of the tick in nanoseconds.
    pub walls: Vec<u64>,
    pub values: Vec<u64>,
}

impl Series {
    pub fn varies(&self) -> bool {
        self.values.windows(2).any(|pair| pair.first() != pair.last())
    }
}

/// All series of a trace, a subject's columns side by side.
pub fn series(samples: &[Arc<NodeSample>]) -> Vec<Series> {
    let mut found: HashMap<(SubjectId, usize), Series> = HashMap::new();
    for (tick, sample) in samples.iter().enumerate() {
        for (subject, row) in Table::ALL.into_iter().flat_map(|table| sample.iter(table)) {
            for column in 0..row.values.len() {
                let Some(value) = row.cell_at(column).value() else { continue };
                let series = found.entry((subject.id, column)).or_insert_with(|| Series {
                    subject: subject.id,
                    table: subject.table,
                    column,
                    ticks: Vec::new(),
                    walls: Vec::new(),
                    values: Vec::new(),
                });
                series.ticks.push(tick);
                series.walls.push(sample.wall.0);
                series.values.push(value);
            }
        }
    }
    let mut all: Vec<Series> = found.into_values().collect();
    all.sort_by_key(|series| (series.table, series.subject, series.column));
    all
}

/// One line of the comparison.
pub struct Line {
    pub name: String,
    pub bytes: usize,
    pub samples: usize,
    /// CPU time over all samples, where it is known.
    pub encode: Option<Duration>,
    pub decode: Option<Duration>,
}

/// CPU time of this thread: a busy machine does not count.
pub fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// What a function gives, and the CPU time that it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = thread_cpu();
    let made = work();
    (made, thread_cpu().saturating_sub(begin))
}
