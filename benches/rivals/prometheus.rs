//! Prometheus' own database: the same samples written by `promtool tsdb create-blocks-from openmetrics`.
//!
//! In: series. Out: a line for the chunks alone (samples and their times in milliseconds) and one for whole blocks (with
//! the index of names), or a sentence why there is none. Floats: integers beyond 2^53 lose their last digits. Its cost in
//! CPU is that of reading text and is not told.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Line, Series};

/// Both lines.
///
/// # Errors
/// A sentence: promtool is not installed, or what it said.
pub fn measure(all: &[Series]) -> Result<Vec<Line>, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}; make room in TMPDIR"))?;
    let text = folder.path().join("samples.om");
    write(all, &text).map_err(|error| format!("cannot write {}: {error}; make room in TMPDIR", text.display()))?;
    let out = folder.path().join("blocks");
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([&text, &out])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("promtool is not installed ({error}): tests/lab/setup.sh installs it"))?;
    if !made.status.success() {
        return Err(format!("promtool: {}", String::from_utf8_lossy(&made.stderr).trim()));
    }
    let (mut chunks, mut blocks, mut samples) = (0, 0, 0);
    for block in fs::read_dir(&out).into_iter().flatten().flatten() {
        chunks += size(&block.path().join("chunks"));
        blocks += size(&block.path());
        let meta = fs::read(block.path().join("meta.json")).unwrap_or_default();
        let meta: serde_json::Value = serde_json::from_slice(&meta).unwrap_or_default();
        let counted = meta.pointer("/stats/numSamples").and_then(serde_json::Value::as_u64).unwrap_or(0);
        samples += usize::try_from(counted).unwrap_or(0);
    }
    let given: usize = all.iter().map(|series| series.values.len()).sum();
    if samples != given {
        return Err(format!("promtool kept {samples} of {given} samples: the comparison would not be fair"));
    }
    let line = |name: &str, bytes| Line { name: name.to_owned(), bytes, samples, encode: None, decode: None };
    Ok(vec![line("Prometheus TSDB, chunks", chunks), line("Prometheus TSDB, whole blocks", blocks)])
}

/// All samples of a metric stand together, as OpenMetrics wants it.
fn write(all: &[Series], text: &Path) -> std::io::Result<()> {
    let mut order: Vec<&Series> = all.iter().collect();
    order.sort_by_key(|series| (series.table, series.column, series.subject));
    let mut out = BufWriter::new(File::create(text)?);
    for series in order {
        let name = series.table.metrics().get(series.column).map_or("unknown", |metric| metric.name);
        let table = format!("{:?}", series.table).to_lowercase();
        for (wall, value) in series.walls.iter().zip(&series.values) {
            let (seconds, millis) = (wall / 1_000_000_000, wall / 1_000_000 % 1_000);
            writeln!(out, "{table}_{name}{{subject=\"{}\"}} {value} {seconds}.{millis:03}", series.subject.0)?;
        }
    }
    writeln!(out, "# EOF")?;
    out.flush()
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> usize {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() { size(&entry.path()) } else { usize::try_from(meta.len()).unwrap_or(0) };
    }
    bytes
}
