//! CSV by RFC 4180: one row for each instant and series.
//!
//! In: pieces of an answer. Out: rows, as they come. The columns are the same for every answer about the same table, so
//! that a program may rely on them: the labels that were aggregated by, or else who it is. The runtime's own labels are
//! in the JSON only. Values are in the API's unit; what was not read is an empty field, a limit that is not set `unlimited`.

use std::io::Write;

use csv::{Terminator, Writer, WriterBuilder};

use crate::units::UnixNanos;
use crate::view::api::{HistoryList, HistoryValue, rfc3339};

use super::AskError;

/// Who it is.
const WHO: [&str; 9] = ["namespace", "pod", "name", "kind", "id", "container_id", "image", "runtime", "qos"];

/// Writes rows; the header before the first of them.
pub(super) struct Rows<W: Write> {
    writer: Writer<W>,
    columns: Option<Vec<String>>,
}

impl<W: Write> Rows<W> {
    pub(super) fn new(out: W) -> Self {
        Self { writer: WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out), columns: None }
    }

    /// Whether there was anything to write.
    pub(super) fn written(&self) -> bool {
        self.columns.is_some()
    }

    pub(super) fn write(&mut self, list: &HistoryList) -> Result<(), AskError> {
        if list.series.is_empty() {
            return Ok(());
        }
        let columns = match self.columns.take() {
            Some(columns) => columns,
            None => {
                let columns = columns(list);
                let plain = columns.iter().map(String::as_str);
                let subject = list.agg.is_none().then_some("subject");
                let header = ["time", "metric"].into_iter().chain(plain).chain(subject).chain(["value"]);
                self.writer.write_record(header).map_err(failed)?;
                columns
            }
        };
        let written = self.rows(list, &columns);
        self.columns = Some(columns);
        written
    }

    fn rows(&mut self, list: &HistoryList, columns: &[String]) -> Result<(), AskError> {
        for series in &list.series {
            let label = |column: &String| series.labels.get(column).map_or("", String::as_str);
            let labels: Vec<&str> = columns.iter().map(label).collect();
            let subject = list.agg.is_none().then(|| series.subjects.first().map_or(String::new(), u64::to_string));
            for (at, value) in &series.points {
                let time = instant(*at);
                let value = value.map_or_else(String::new, written);
                let row = [time.as_str(), list.metric.as_str()].into_iter().chain(labels.iter().copied());
                self.writer.write_record(row.chain(subject.as_deref()).chain([value.as_str()])).map_err(failed)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), AskError> {
        self.writer.flush().map_err(AskError::Output)
    }
}

fn columns(list: &HistoryList) -> Vec<String> {
    if list.agg.is_some() {
        return list.by.clone();
    }
    let parts: &[&str] = match list.metric.split_once('.').map(|(word, _)| word) {
        Some("device" | "disk") => &["device"],
        Some("interface") => &["interface"],
        Some("hugetlb") => &["pagesize"],
        Some("cpu") => &["cpu"],
        Some("filesystem") => &["mountpoint", "device", "fstype"],
        _ => &[],
    };
    WHO.iter().chain(parts).map(|column| (*column).to_owned()).collect()
}

fn written(value: HistoryValue) -> String {
    match value {
        HistoryValue::Integer(value) => value.to_string(),
        HistoryValue::Number(value) => value.to_string(),
        HistoryValue::Word(_) => "unlimited".to_owned(),
    }
}

/// Unix seconds as RFC 3339.
pub(super) fn instant(seconds: f64) -> String {
    let whole = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    // The API writes milliseconds, which a float does not hold exactly.
    let nanos = whole.as_nanos().saturating_add(500_000);
    rfc3339(UnixNanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

fn failed(error: csv::Error) -> AskError {
    AskError::Output(error.into())
}
