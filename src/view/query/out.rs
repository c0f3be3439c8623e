//! Where the answer goes, and the line that tells how far it is.
//!
//! In: bytes. Out: standard output, or a file that is made when the first bytes come, so that a question without an answer
//! destroys nothing. The progress line stands on standard error, only on a terminal, only when it takes longer, and is gone
//! at the end.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::view::top::format;

/// The destination.
pub(super) struct Out<'a> {
    path: Option<PathBuf>,
    file: Option<BufWriter<File>>,
    stdout: &'a mut dyn Write,
}

impl<'a> Out<'a> {
    pub(super) fn new(path: Option<&Path>, stdout: &'a mut dyn Write) -> Self {
        Self { path: path.map(Path::to_owned), file: None, stdout }
    }
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(path) = &self.path else { return self.stdout.write_all(bytes).map(|()| bytes.len()) };
        let file = match &mut self.file {
            Some(file) => file,
            missing => {
                let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                missing.insert(BufWriter::new(File::create(path).map_err(named)?))
            }
        };
        file.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.flush(),
            None => self.stdout.flush(),
        }
    }
}

/// A question that is answered sooner shows no progress.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the line is written anew.
const REDRAW: Duration = Duration::from_millis(100);

/// The progress line.
#[derive(Debug)]
pub(super) struct Progress {
    wanted: bool,
    shown: bool,
    bytes: u64,
    next: Instant,
}

impl Progress {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, shown: false, bytes: 0, next: Instant::now() + PATIENCE }
    }

    /// This many bytes more have come.
    pub(super) fn bytes(&mut self, more: usize) {
        self.bytes = self.bytes.saturating_add(more as u64);
        let bytes = self.bytes;
        self.line(|| format!("{} received", format::whole_bytes(bytes)));
    }

    /// This share of the time that was asked for has come.
    pub(super) fn part(&mut self, ratio: f64) {
        self.line(|| format!("[{}] {}", format::bar(ratio, 30), format::percent(ratio)));
    }

    fn line(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.wanted && now >= self.next {
            self.next = now + REDRAW;
            self.shown = true;
            // Nobody is helped by an error about the progress line.
            let _ = write!(io::stderr(), "\r\x1b[K{}", text());
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
