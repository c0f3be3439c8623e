//! How collectors get at files: by paths below three roots, into one buffer that has a cap.
//!
//! In: paths. Out: bytes, text, numbers, names of folders. A file that is not there is normal: a collector whose only
//! file is missing says so by [`Missing`]. Next: the collectors beside this file.

use std::path::{Path, PathBuf};

use crate::kernel::file::{ReadBuffer, Records, read_path_once};
use crate::kernel::sys::parse_integer;

/// The collector's source is not on this node, or may not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing;

/// Most entries of one folder that are looked at.
const FOLDER_CAP: usize = 4096;

/// The roots, and a buffer.
#[derive(Debug)]
pub(super) struct Source {
    /// Where `/proc` is.
    pub proc: PathBuf,
    /// Where `/sys` is.
    pub sys: PathBuf,
    /// What lies beside that `/proc`: the node's own `/etc` and `/run`.
    pub root: PathBuf,
    /// The folder of `/proc` whose `net` is the node's: process 1's, or the agent's own where it hides others.
    pub process: &'static str,
    buffer: ReadBuffer,
}

impl Source {
    pub fn new(proc: PathBuf, sys: PathBuf) -> Self {
        let root = proc.parent().unwrap_or(Path::new("/")).to_owned();
        let process = if proc.join("1/net/dev").exists() { "1" } else { "self" };
        Self { proc, sys, root, process, buffer: ReadBuffer::default() }
    }

    /// A file's bytes; `None` when it cannot be read.
    pub fn bytes(&mut self, path: &Path) -> Option<&[u8]> {
        read_path_once(path, Records::Many, &mut self.buffer).ok()
    }

    /// A file below `/proc`.
    pub fn proc(&mut self, below: &str) -> Option<&[u8]> {
        let path = self.proc.join(below);
        self.bytes(&path)
    }

    /// A file of the node's network namespace.
    pub fn net(&mut self, name: &str) -> Option<&[u8]> {
        let path = self.proc.join(self.process).join("net").join(name);
        self.bytes(&path)
    }

    /// The integer in a file of one value.
    pub fn integer(&mut self, path: &Path) -> Option<i64> {
        parse_integer(self.bytes(path)?)
    }

    /// A file's text without white space at its ends; what is not UTF-8 is replaced.
    pub fn text(&mut self, path: &Path) -> Option<String> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned())
    }

    /// The names in a folder that begin with `prefix`, ascending, as far as they are UTF-8.
    pub fn names(&self, folder: &Path, prefix: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let name = |entry: std::fs::DirEntry| entry.file_name().into_string().ok();
        let mut names: Vec<String> =
            entries.flatten().filter_map(name).filter(|name| name.starts_with(prefix)).take(FOLDER_CAP).collect();
        names.sort_unstable();
        names
    }

    /// The names that are `prefix` and a number, with the number, ascending by it.
    pub fn numbered(&self, folder: &Path, prefix: &str) -> Vec<(u32, String)> {
        let number = |name: String| Some((name.strip_prefix(prefix)?.parse().ok()?, name));
        let mut found: Vec<(u32, String)> = self.names(folder, prefix).into_iter().filter_map(number).collect();
        found.sort_unstable();
        found
    }
}
