//! Recorded samples: real nodes at one tick a second, kept in files that a benchmark replays.
//!
//! In: the samples of a recording, or the bytes of a file. Out: the bytes of a file, or the same samples: ticks, clocks,
//! rosters, and every cell of every row. It keeps no tallies and no self statistics, of the machine only what is not a
//! name, and it never reads a clock or a kernel file. Next: `columns.rs` codes numbers, `describe.rs` names.
//!
//! # The format
//!
//! `RSTRACE1`, then one zstd frame of:
//!
//! 1. the length of the header (varint) and the header, JSON: the machine, the columns' names by table, the workloads,
//!    the subjects, and each roster as its generation and the positions of its subjects, in row order;
//! 2. one column per tick property, one after the other: tick, `started_at`, `ended_at` less `started_at`, `wall`, the
//!    position of the roster, the number of final rows, and after them all final rows;
//! 3. for each series (a subject's id, in the order of first appearance over rosters and tables) the rows of all ticks
//!    whose roster has it: first `read_at`, as the difference to its owner's or else to `started_at`; then, for each
//!    column of its table, the cells: runs of absent, present or unlimited, then the values.
//!
//! A column of values is its first value, the greatest common divisor of all steps (0 when nothing moves), and the steps
//! divided by it. All integers are varints, steps zigzag. Columns are found by name, so that a file stays readable when
//! the catalogue gets a new column.

#![allow(dead_code, reason = "the recorder writes, the benchmark reads, the test does both")]

pub mod columns;
mod describe;
pub mod keep;
pub mod replay;

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::sync::Arc;

use ringside::sample::catalogue::Table;
use ringside::sample::row::{Column, Row, RowRef};
use ringside::sample::{MachineFacts, NodeSample, Roster, Subject, SubjectId};
use ringside::units::{Limit, MonotonicNanos, UnixNanos};

use columns::{Reader, State};
use describe::Header;

const MAGIC: &[u8; 8] = b"RSTRACE1";

/// Most bytes that a file may unfold to, and most rows: far above any real recording.
const MOST_BYTES: u64 = 256 << 20;
const MOST_ROWS: usize = 1 << 20;

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// There is nothing to write.
    #[error("no samples: record for longer, or keep more cgroups")]
    Empty,
    /// It is not a file of this format, or of another version.
    #[error("not a trace (it does not begin with RSTRACE1): record it again with benches/record.sh")]
    NotATrace,
    /// It is cut off or overwritten.
    #[error("the trace is damaged at its {0}: take it from git again, or record it with benches/record.sh")]
    Damaged(&'static str),
    /// Compression failed, or the frame is damaged.
    #[error("the trace's zstd frame: {0}; take it from git again, or record it with benches/record.sh")]
    Frame(#[from] std::io::Error),
    /// The header is not what this version writes.
    #[error("the trace's header: {0}; record it again with benches/record.sh")]
    Header(#[from] serde_json::Error),
}

/// A column by position.
#[derive(Clone, Copy)]
pub struct At(pub usize);

impl Column for At {
    fn index(self) -> usize {
        self.0
    }
}

/// The series of a recording, in the order in which the file has them: id, table, owner.
fn series<'a>(rosters: impl Iterator<Item = &'a Roster>) -> Vec<(SubjectId, Table, Option<SubjectId>)> {
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    for roster in rosters {
        for subject in Table::ALL.into_iter().flat_map(|table| roster.subjects(table)) {
            if seen.insert(subject.id) {
                order.push((subject.id, subject.table, subject.owner));
            }
        }
    }
    order
}

/// Writes samples down. `level` is zstd's.
///
/// # Errors
/// [`TraceError::Empty`] without samples; [`TraceError::Frame`] when zstd fails.
pub fn write(samples: &[Arc<NodeSample>], level: i32) -> Result<Vec<u8>, TraceError> {
    let first = samples.first().ok_or(TraceError::Empty)?;
    let mut rosters: Vec<Arc<Roster>> = Vec::new();
    let mut roster_of_tick = Vec::new();
    for sample in samples {
        if !rosters.last().is_some_and(|last| Arc::ptr_eq(last, &sample.roster)) {
            rosters.push(Arc::clone(&sample.roster));
        }
        roster_of_tick.push(columns::wide(rosters.len() - 1));
    }
    let header = serde_json::to_vec(&Header::of(&first.machine, &rosters, samples.len()))?;
    let mut body = Vec::new();
    columns::put(&mut body, columns::wide(header.len()));
    body.extend_from_slice(&header);

    columns::put_values(&mut body, samples.iter().map(|sample| sample.tick));
    columns::put_values(&mut body, samples.iter().map(|sample| sample.started_at.0));
    columns::put_values(&mut body, samples.iter().map(|sample| sample.ended_at.since(sample.started_at)));
    columns::put_values(&mut body, samples.iter().map(|sample| sample.wall.0));
    columns::put_values(&mut body, roster_of_tick.into_iter());
    columns::put_values(&mut body, samples.iter().map(|sample| columns::wide(sample.final_rows.len())));
    columns::put_values(&mut body, samples.iter().flat_map(|sample| &sample.final_rows).map(|row| columns::wide(*row)));

    let mut rows: HashMap<SubjectId, Vec<(usize, RowRef<'_>)>> = HashMap::new();
    for (tick, sample) in samples.iter().enumerate() {
        for (subject, row) in Table::ALL.into_iter().flat_map(|table| sample.iter(table)) {
            rows.entry(subject.id).or_default().push((tick, row));
        }
    }
    let started: Vec<u64> = samples.iter().map(|sample| sample.started_at.0).collect();
    let mut read_at = HashMap::new();
    for (id, table, owner) in series(rosters.iter().map(Arc::as_ref)) {
        let rows = rows.remove(&id).unwrap_or_default();
        let offsets = rows.iter().map(|(tick, row)| {
            read_at.insert((id, *tick), row.read_at.0);
            row.read_at.0.wrapping_sub(base(&read_at, &started, owner, *tick))
        });
        columns::put_plain(&mut body, offsets);
        for column in 0..table.metrics().len() {
            columns::put_cells(&mut body, rows.iter().map(|(_, row)| row.cell_at(column)));
        }
    }

    let mut file = MAGIC.to_vec();
    file.extend_from_slice(&zstd::encode_all(body.as_slice(), level)?);
    Ok(file)
}

/// What `read_at` is the difference to.
fn base(read_at: &HashMap<(SubjectId, usize), u64>, started: &[u64], owner: Option<SubjectId>, tick: usize) -> u64 {
    let owners = owner.and_then(|owner| read_at.get(&(owner, tick)));
    owners.or_else(|| started.get(tick)).copied().unwrap_or(0)
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// [`TraceError`], saying what to do.
pub fn read(file: &[u8]) -> Result<Vec<Arc<NodeSample>>, TraceError> {
    let frame = file.strip_prefix(MAGIC).ok_or(TraceError::NotATrace)?;
    let mut body = Vec::new();
    zstd::Decoder::new(frame)?.take(MOST_BYTES).read_to_end(&mut body)?;
    let mut reader = Reader::new(&body);
    let header = reader.number().and_then(|length| reader.bytes(length)).ok_or(TraceError::Damaged("header"))?;
    let header: Header = serde_json::from_slice(header)?;
    let rosters = header.rosters().ok_or(TraceError::Damaged("rosters"))?;
    let machine = Arc::new(header.machine());

    let ticks = header.ticks;
    let mut column = || reader.values(ticks).ok_or(TraceError::Damaged("ticks"));
    let (tick, started, took, wall, roster, finals) =
        (column()?, column()?, column()?, column()?, column()?, column()?);
    let all_finals = finals.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let all_finals = usize::try_from(all_finals).map_err(|_| TraceError::Damaged("final rows"))?;
    let mut final_rows = reader.values(all_finals).ok_or(TraceError::Damaged("final rows"))?.into_iter();
    let roster_of_tick = |position: &u64| usize::try_from(*position).ok().and_then(|position| rosters.get(position));
    let rosters_by_tick: Option<Vec<&Arc<Roster>>> = roster.iter().map(roster_of_tick).collect();
    let rosters_by_tick = rosters_by_tick.ok_or(TraceError::Damaged("rosters"))?;

    let mut ticks_of: HashMap<SubjectId, Vec<usize>> = HashMap::new();
    let mut rows = 0;
    for (tick, roster) in rosters_by_tick.iter().enumerate() {
        for subject in Table::ALL.into_iter().flat_map(|table| roster.subjects(table)) {
            ticks_of.entry(subject.id).or_default().push(tick);
            rows += 1;
            if rows > MOST_ROWS {
                return Err(TraceError::Damaged("number of rows"));
            }
        }
    }
    let mut read_at = HashMap::new();
    let mut decoded: HashMap<SubjectId, std::vec::IntoIter<Row>> = HashMap::new();
    for (id, table, owner) in series(rosters.iter().map(Arc::as_ref)) {
        let ticks = ticks_of.remove(&id).unwrap_or_default();
        let rows = read_series(&mut reader, &header, table, ticks.len()).ok_or(TraceError::Damaged("cells"))?;
        let rows: Vec<Row> = (ticks.iter().zip(rows))
            .map(|(tick, mut row)| {
                row.read_at.0 = row.read_at.0.wrapping_add(base(&read_at, &started, owner, *tick));
                read_at.insert((id, *tick), row.read_at.0);
                row
            })
            .collect();
        decoded.insert(id, rows.into_iter());
    }

    let mut samples = Vec::new();
    let clocks = tick.iter().zip(&started).zip(&took).zip(&wall);
    for ((((tick, started), took), wall), (roster, finals)) in clocks.zip(rosters_by_tick.into_iter().zip(&finals)) {
        let mut sample = NodeSample::new();
        sample.tick = *tick;
        sample.started_at = MonotonicNanos(*started);
        sample.ended_at = MonotonicNanos(started.wrapping_add(*took));
        sample.wall = UnixNanos(*wall);
        sample.roster = Arc::clone(roster);
        sample.machine = Arc::clone(&machine);
        for _ in 0..*finals {
            let row = final_rows.next().and_then(|row| usize::try_from(row).ok());
            sample.final_rows.push(row.ok_or(TraceError::Damaged("final rows"))?);
        }
        for table in Table::ALL {
            let Some(rows) = sample.rows_mut(table) else { continue };
            for subject in roster.subjects(table) {
                let row = decoded.get_mut(&subject.id).and_then(Iterator::next);
                rows.push(row.ok_or(TraceError::Damaged("rows"))?.as_ref());
            }
        }
        samples.push(Arc::new(sample));
    }
    Ok(samples)
}

/// The rows of one series; their `read_at` is still a difference.
fn read_series(reader: &mut Reader<'_>, header: &Header, table: Table, count: usize) -> Option<Vec<Row>> {
    let mut rows = vec![Row::new(table.metrics().len()); count];
    for row in &mut rows {
        row.read_at.0 = reader.step()?;
    }
    for name in header.columns(table) {
        let (states, values) = reader.cells(count)?;
        let Some(column) = table.column(name).map(At) else { continue };
        let mut values = values.into_iter();
        for (row, state) in rows.iter_mut().zip(states) {
            match state {
                State::Absent => row.put(column, None),
                State::Value => row.put(column, Some(values.next()?)),
                State::Unlimited => row.put_limit(column, Some(Limit::Unlimited)),
            }
        }
    }
    Some(rows)
}

/// The subjects of a roster, in row order, table by table.
pub fn subjects(roster: &Roster) -> impl Iterator<Item = &Arc<Subject>> {
    Table::ALL.into_iter().flat_map(|table| roster.subjects(table))
}

/// What a trace keeps of a machine: nothing that names it.
pub fn anonymous(machine: &MachineFacts) -> MachineFacts {
    // What follows the number is the builder's word.
    let version = machine.kernel_version.split(['-', '+']).next();
    MachineFacts {
        kernel_version: version.unwrap_or_default().into(),
        node_name: "node".into(),
        machine_id: String::new(),
        system_uuid: String::new(),
        boot_id: String::new(),
        ..machine.clone()
    }
}
