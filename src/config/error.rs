//! What can be wrong with a configuration, and where it was written.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line, by this flag.
    Flag(&'static str),
    /// In this environment variable.
    Environment(String),
    /// In a file.
    File {
        /// Its path.
        path: PathBuf,
        /// Line of the key, from 1; `None` when the parser does not tell.
        line: Option<u64>,
        /// The key as the file spells it.
        key: String,
    },
    /// Nowhere: the default of this flag.
    Default(&'static str),
}

impl Origin {
    /// More binding sources have a higher rank.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 3,
            Self::Environment(_) => 2,
            Self::File { .. } => 1,
            Self::Default(_) => 0,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "--{key}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File { path, line, key } => write!(f, "{}: key {key:?}", Place { path, line: *line }),
            Self::Default(key) => write!(f, "default of --{key}"),
        }
    }
}

/// `FILE:LINE`, or `FILE` without a line.
struct Place<'a> {
    path: &'a PathBuf,
    line: Option<u64>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

/// Why a configuration was refused. Every message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be read: correct the path or its permissions.
    #[error("cannot read the configuration file {}: {source}; check the path given by --config or RINGSIDE_CONFIG", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file's name does not say its format: rename it.
    #[error("{}: the name does not tell the format; end it in .yaml, .yml, .json or .toml", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file is not valid YAML, JSON or TOML: mend the place.
    #[error("{}: {message}; mend this place, or check the file with a YAML or TOML linter", Place { path, line: *line })]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: Option<u64>,
        /// The parser's message.
        message: String,
    },
    /// The file has a key that is no setting: use the nearest one that is.
    #[error("{}: unknown key {key:?}; {advice}", Place { path, line: *line })]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: Option<u64>,
        /// The key as written.
        key: String,
        /// Names the nearest known key, or all.
        advice: String,
    },
    /// The file sets one key twice: remove one.
    #[error("{}: key {key:?} is set twice; remove one of the two", Place { path, line: *line })]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// Line of the second, from 1.
        line: Option<u64>,
        /// The key.
        key: String,
    },
    /// A value does not fit its setting; the reason says what does.
    #[error("{origin}: {value:?} {reason}")]
    Value {
        /// Where it was written.
        origin: Box<Origin>,
        /// As it was written.
        value: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// Both kinds of address were given in one source: give one.
    #[error("{first} and {second} are both given; give only one of them")]
    TwoAddresses {
        /// Where the loopback address was written.
        first: Box<Origin>,
        /// Where the other was written.
        second: Box<Origin>,
    },
    /// One of a pair was given: give the other one, too.
    #[error("{given} is given without --{missing}; give both, or neither")]
    Half {
        /// Where the one was written.
        given: Box<Origin>,
        /// The setting that is missing.
        missing: &'static str,
    },
}

/// The candidate most like `word`, if any is alike enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.5;
    candidates
        .map(|candidate| (strsim::normalized_damerau_levenshtein(word, candidate), candidate))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
