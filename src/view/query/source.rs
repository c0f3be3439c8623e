//! Who answers: a running agent over HTTP, or the ring of one that has stopped, in this process.
//!
//! In: paths of the API. Out: its answers. Both ways run through the same API, so that a question means the same.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::store::Store;
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::Answer;
use crate::view::api::{HistoryList, Node, Now, Problem, answer_at, parse_instant, percent_encode};
use crate::view::prometheus::Labels;
use crate::view::remote::{self, Limits, Remote, RemoteError};
use crate::view::top::client::Agent;
use crate::view::top::format::clean;
use crate::view::top::{TopError, runtime};

use super::pieces::Question;
use super::{AskError, QueryArgs};

/// How long one piece of an answer may take: it is read from compressed history.
const DEADLINE: Duration = Duration::from_secs(60);

/// Nobody waits on the other end of a ring in this process.
const A_DAY: Duration = Duration::from_secs(86_400);

const EXPORT: &str = "/api/v1/export";

/// Somebody who answers.
pub(super) enum Source {
    /// A running agent.
    Agent(Box<Agent>, Runtime),
    /// A ring in this process.
    Ring(Store),
}

/// What times are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// The newest tick, on the answering side's clock: its history ends there, whatever the time is here.
    pub(super) newest: UnixNanos,
    /// Time between two ticks; 0 when it is not known.
    pub(super) interval_nanos: u64,
}

impl Source {
    pub(super) fn of(args: &QueryArgs) -> Result<Self, AskError> {
        match &args.data_dir {
            Some(dir) => open_store(dir).map(Self::Ring),
            None => Ok(Self::Agent(Box::new(Agent::new(&args.server)?), runtime()?)),
        }
    }

    /// Asks what the newest tick is.
    pub(super) fn clock(&self) -> Result<Clock, AskError> {
        if let Self::Ring(store) = self {
            // Of a ring that was read from a file there may be no newest sample, only what is remembered.
            let newest = store.remembered().iter().map(|known| known.last_wall).max();
            return Ok(Clock { newest: newest.unwrap_or(Now::read().wall), interval_nanos: 0 });
        }
        let node: Node = serde_json::from_str(&self.text("/api/v1/node")?).map_err(AskError::Json)?;
        let newest = parse_instant(&node.read_at, Now::read().wall).unwrap_or(Now::read().wall);
        // Written to the millisecond: the tick itself lies a little later.
        let newest = UnixNanos(newest.0.saturating_add(999_999));
        let seconds = node.ticks.map_or(0.0, |ticks| ticks.interval_seconds);
        let interval = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Ok(Clock { newest, interval_nanos: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX) })
    }

    /// One answer about history.
    pub(super) fn history(&self, target: &str) -> Result<HistoryList, AskError> {
        serde_json::from_str(&self.text(target)?).map_err(AskError::Json)
    }

    /// Every reading under Prometheus' names, piece by piece.
    pub(super) fn export(
        &self,
        question: &Question,
        piece: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), AskError> {
        let asked = format!(
            "match%5B%5D={}&start={}&end={}&format=openmetrics",
            percent_encode(&question.selector),
            seconds(question.start),
            seconds(question.end)
        );
        match self {
            Self::Agent(agent, runtime) => {
                let target = format!("{EXPORT}?{asked}");
                let streamed = runtime.block_on(agent.stream(&target, DEADLINE, piece));
                streamed.map_err(|error| match error {
                    TopError::Output(error) => AskError::Output(error),
                    other => other.into(),
                })
            }
            Self::Ring(store) => exported(store, &asked, piece),
        }
    }

    fn text(&self, target: &str) -> Result<String, AskError> {
        match self {
            Self::Agent(agent, runtime) => Ok(runtime.block_on(agent.text_within(target, DEADLINE))?),
            Self::Ring(store) => answered(store, target),
        }
    }
}

/// The API in this process.
fn answered(store: &Store, target: &str) -> Result<String, AskError> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let now = Now { wall: Now::read().wall, monotonic: MonotonicNanos(0) };
    let answer = answer_at(store, path, query, now).ok_or_else(|| AskError::Refused {
        kind: String::new(),
        detail: format!("{path} cannot be answered without a running agent; start one, or choose another --format"),
    })?;
    if answer.status < 300 { Ok(String::from_utf8_lossy(&answer.body).into_owned()) } else { Err(refused(&answer)) }
}

/// The export in this process. Bounds on what one client may ask are not for who has the ring to himself.
fn exported(store: &Store, query: &str, mut piece: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), AskError> {
    let limits = Limits { series: usize::MAX, samples: usize::MAX, ..Limits::default() };
    let remote = Remote { limits, ..Remote::new(store.clone(), Labels::Full) };
    let now = Now { wall: Now::read().wall, monotonic: MonotonicNanos(0) };
    let mut unwritten = None;
    let mut pipe = |bytes: Bytes| {
        piece(&bytes).map_err(|error| {
            unwritten = Some(error);
            RemoteError::Gone
        })
    };
    let written = remote::export(Some(query), now, &remote.limits)
        .and_then(|export| export.write(&remote, Instant::now() + A_DAY, &mut pipe));
    match (written, unwritten) {
        (_, Some(error)) => Err(AskError::Output(error)),
        (written, None) => written.map_err(|error| refused(&error.into_answer(EXPORT))),
    }
}

fn refused(answer: &Answer) -> AskError {
    match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(problem) => AskError::Refused { kind: problem.kind, detail: clean(&problem.detail).into_owned() },
        Err(error) => AskError::Json(error),
    }
}

/// Opens the ring of an agent that does not run, to read it.
fn open_store(dir: &Path) -> Result<Store, AskError> {
    crate::store::open_read_only(dir)
        .map_err(|error| AskError::NoStore { dir: dir.display().to_string(), why: error.to_string() })
}

/// An instant as the API reads it, exact to the nanosecond.
pub(super) fn seconds(instant: UnixNanos) -> String {
    format!("{}.{:09}", instant.0 / 1_000_000_000, instant.0 % 1_000_000_000)
}
