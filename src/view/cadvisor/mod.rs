//! cAdvisor's own HTTP API, for its UI and its clients: `/api/v1.0` … `/api/v2.1`.
//!
//! In: the [`Store`], a path, a query and a body. Out: an [`Answer`], in cAdvisor's JSON and with its words where something is
//! wrong. Statistics are the ring's ticks. It is for what exists already: whoever writes something new asks `/api/v1`, where
//! what is not known is not 0. It knows no HTTP, and reads the processes only when they are asked for. Next: `view/http`.
//!
//! | step | file |
//! |---|---|
//! | what is asked for | `request.rs` |
//! | which container is meant | `tree.rs` |
//! | rows as cAdvisor's types | `fill.rs`, `model.rs` |
//! | tick by tick | `history.rs` |
//! | version 2, and its summary | `v2.rs`, `derived.rs` |
//! | the machine, filesystems, processes | `machine.rs` |
//! | events | `events.rs` |
//! | path → answer | `routes.rs` |

mod derived;
pub mod events;
mod fill;
mod history;
mod machine;
pub mod model;
mod request;
mod routes;
#[cfg(test)]
mod tests;
mod tree;
pub mod v2;

pub use derived::{DerivedStats, Percentiles, Usage};
pub use events::{Event, What};
pub use machine::{Attributes, FsInfo, MachineInfo, ProcessInfo};

use crate::sample::processes::ProcessTable;
use crate::store::Store;
use crate::view::Answer;

/// What the answers are made from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The ring.
    pub store: &'a Store,
    /// The node's processes.
    pub processes: &'a ProcessTable,
    /// What happened to its containers.
    pub events: &'a [Event],
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// As it was sent.
    pub path: &'a str,
    /// As it was sent.
    pub query: Option<&'a str>,
    /// A `ContainerInfoRequest`, or nothing.
    pub body: &'a [u8],
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refused {
    /// There is no such version, kind or container.
    NotFound(String),
    /// The request cannot be understood, or asks for nothing: then the text lists what there is.
    Bad(String),
    /// It would cost too much.
    TooMuch(String),
    /// It is not done here.
    NotImplemented(String),
    /// It failed.
    Failed(String),
    /// Nothing was sampled yet.
    Early,
}

impl Refused {
    fn into_answer(self) -> Answer {
        let early = || "nothing was sampled yet: try again in a second".to_owned();
        let (status, text) = match self {
            Self::NotFound(text) => (404, text),
            Self::Bad(text) => (400, text),
            Self::TooMuch(text) => (422, text),
            Self::NotImplemented(text) => (501, text),
            Self::Failed(text) => (500, text),
            Self::Early => (503, early()),
        };
        Answer { status, content_type: "text/plain; charset=utf-8", body: format!("{text}\n").into_bytes() }
    }
}

/// Whether a path is one of cAdvisor's: `/api/`, or a version with a dot below it.
#[must_use]
pub fn is_ours(path: &str) -> bool {
    request::is_ours(path)
}

/// Answers a request for one of cAdvisor's paths.
#[must_use]
pub fn answer(source: &Source<'_>, request: &Request<'_>) -> Answer {
    match routes::answer(source, request) {
        Ok(body) => Answer { status: 200, content_type: "application/json", body },
        Err(refused) => refused.into_answer(),
    }
}
