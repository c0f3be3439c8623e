//! Why `ringside query` has no answer, and whose fault that is.

use std::io;

use crate::store::query::selector::SelectorError;
use crate::view::top::TopError;
use crate::view::top::format::clean;

/// Why there is no answer. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The selector cannot be read; correct it where the mark stands.
    #[error("{}", pointed(.text, .error))]
    Selector {
        /// The selector.
        text: String,
        /// What is wrong with it.
        error: SelectorError,
    },
    /// A time cannot be read.
    #[error("{flag} {text} is no instant; write 2026-03-01T12:00:00Z, unix seconds, now, or -2h")]
    Time {
        /// The flag.
        flag: &'static str,
        /// What was written.
        text: String,
    },
    /// The time ends before it begins.
    #[error("--start {start} is after --end {end}; swap them")]
    Backwards {
        /// The beginning, RFC 3339.
        start: String,
        /// The end, RFC 3339.
        end: String,
    },
    /// OpenMetrics holds readings as they are.
    #[error("--format openmetrics writes every reading as it is; leave out {flag}, or choose another --format")]
    PlainReadingsOnly {
        /// The flag that does not go with it.
        flag: &'static str,
    },
    /// Nothing fits the selector, or nothing was read in this time.
    #[error("{}", found_nothing(.metric, (.start, .end), .oldest.as_deref(), .notes))]
    Nothing {
        /// The metric.
        metric: String,
        /// First instant.
        start: String,
        /// Last instant.
        end: String,
        /// Where history begins.
        oldest: Option<String>,
        /// What the API says about it.
        notes: Vec<String>,
    },
    /// The API refused; its words say what to do.
    #[error("{detail}")]
    Refused {
        /// Which kind of problem, by its URN.
        kind: String,
        /// The API's words.
        detail: String,
    },
    /// The agent cannot be asked.
    #[error(transparent)]
    Agent(TopError),
    /// The ring file cannot be read.
    #[error("the ring file in {dir} cannot be read: {why}")]
    NoStore {
        /// The folder.
        dir: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The answer is not what this version expects.
    #[error("the answer cannot be read or written as JSON ({0}); are the agent and this program of the same version?")]
    Json(#[source] serde_json::Error),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
}

impl From<TopError> for AskError {
    fn from(error: TopError) -> Self {
        match error {
            TopError::Refused { kind, detail, .. } if !kind.is_empty() => Self::Refused { kind, detail },
            other => Self::Agent(other),
        }
    }
}

impl AskError {
    /// Whether the command line was wrong, and not the world.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Selector { .. } | Self::Time { .. } | Self::Backwards { .. } | Self::PlainReadingsOnly { .. } => true,
            Self::Refused { kind, .. } => ["bad-parameter", "unknown-metric"].iter().any(|word| kind.ends_with(word)),
            Self::Agent(error) => matches!(error, TopError::BadServer { .. }),
            _ => false,
        }
    }

    /// Whether less has to be asked for at once.
    pub(super) fn is_too_much(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind.ends_with("too-many-points"))
    }
}

/// The selector with a mark under the byte.
fn pointed(text: &str, error: &SelectorError) -> String {
    let (before, after) = text.split_at_checked(error.at).unwrap_or((text, ""));
    let shown = clean(before);
    let width = ratatui::text::Span::raw(&*shown).width();
    format!("the selector cannot be read: {}\n  {shown}{}\n  {}^", error.why, clean(after), " ".repeat(width))
}

fn found_nothing(metric: &str, (start, end): (&str, &str), oldest: Option<&str>, notes: &[String]) -> String {
    let mut text = format!("nothing was found of {metric} from {start} to {end}");
    for note in notes {
        text.push_str("; ");
        text.push_str(&clean(note));
    }
    match oldest {
        Some(oldest) if oldest > end => text.push_str(&format!("; history begins at {oldest}")),
        None => text.push_str("; no history is kept yet"),
        Some(_) => {}
    }
    text
}
