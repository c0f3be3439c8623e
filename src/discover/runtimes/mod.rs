//! What container runtimes say about containers, over their sockets, and the API server about this node's pods.
//!
//! In: sockets of Docker, Podman, containerd, CRI-O. Out: [`Discovery::Described`] when something changed and
//! [`Discovery::Exited`] once per run of a container. Everything is a task on the runtime that was handed in; a socket
//! that is absent, hangs, sends garbage or comes back concerns nobody but its own task: every call has a deadline, every
//! answer a greatest size, every retry a random pause.
//! It never starts, stops or changes a container. The only numbers it asks for are those of writable layers, which no
//! kernel file has. Next: `sample/`.

mod book;
mod cri;
mod docker;
mod environment;
mod pods;
mod time;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) use book::Book;
pub(super) use cri::StatsSource;
pub use pods::PodNames;
pub(super) use pods::PodSource;

use super::sink::{EventSink, Stopped};
use super::{Discovery, ExitRecord, Metadata};
use crate::units::UnixNanos;

/// Longest time one call may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// Most bytes of one answer; a runtime that says more is not listened to.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Pause between looks at a socket that is not there.
const ABSENT_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause before another try with a runtime that fails. Short: the socket is on this machine, and names must be
/// back a few seconds after a runtime is.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The protocol that a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// Docker Engine's HTTP API (Docker, Podman).
    Docker,
    /// The Kubernetes container runtime interface, version 1 (containerd, CRI-O, cri-dockerd).
    Cri,
}

/// A runtime's socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuntimeSocket {
    /// Where it is.
    pub path: PathBuf,
    /// What it speaks.
    pub kind: SocketKind,
}

/// How a runtime's socket is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeState {
    /// There is no socket.
    Absent,
    /// It answers.
    Connected,
    /// It does not answer, or not as it should; the reason is for people.
    Failing(String),
}

/// One runtime for `doctor` and the agent's own metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// The runtime's own name once it told it (`docker`, `podman`, `containerd`, `cri-o`), before that the protocol's.
    pub name: String,
    /// Its socket.
    pub socket: PathBuf,
    /// Whether it answers.
    pub state: RuntimeState,
    /// The last time it answered as it should.
    pub last_success: Option<UnixNanos>,
    /// Containers and sandboxes known from it now (gauge).
    pub containers: usize,
    /// Whether it tells what happens by itself; otherwise it is asked every two seconds.
    pub has_events: bool,
}

/// Why a connection ended.
#[derive(Debug)]
enum Failure {
    /// Discovery is over.
    Stopped,
    /// The socket does not exist.
    Absent,
    /// Anything else, for people.
    Failed(String),
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Failure {
    fn failed(reason: impl std::fmt::Display) -> Self {
        let mut text = reason.to_string();
        book::clip(&mut text, 200);
        Self::Failed(text)
    }

    /// A connect that failed.
    fn connect(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Absent,
            _ => Self::failed(format_args!("connect: {error}")),
        }
    }
}

/// One socket's task: who it is and where its news go.
pub(super) struct Source {
    pub index: usize,
    pub socket: RuntimeSocket,
    pub sink: EventSink,
    pub book: Arc<Mutex<Book>>,
    pub status: Arc<Mutex<RuntimeStatus>>,
    /// Counts births and ends of containers, seen by the watcher.
    pub nudge: tokio::sync::watch::Receiver<u64>,
    pub reconcile: Duration,
    /// Containers that ended before this are old news.
    pub started_at: UnixNanos,
    /// How the names of environment variables begin that are kept.
    pub environment: Arc<[String]>,
}

impl Source {
    /// Status of a socket that was not tried yet.
    pub(super) fn first_status(socket: &RuntimeSocket) -> RuntimeStatus {
        let name = match socket.kind {
            SocketKind::Docker => "docker",
            SocketKind::Cri => "cri",
        };
        RuntimeStatus {
            name: name.to_owned(),
            socket: socket.path.clone(),
            state: RuntimeState::Absent,
            last_success: None,
            containers: 0,
            has_events: false,
        }
    }

    /// Serves the socket until discovery stops.
    pub(super) async fn run(mut self) {
        let mut failures = 0_u32;
        while !self.sink.is_stopped() {
            let began = tokio::time::Instant::now();
            let outcome = match self.socket.kind {
                SocketKind::Docker => docker::serve(&mut self).await,
                SocketKind::Cri => cri::serve(&mut self).await,
            };
            if began.elapsed() > Duration::from_secs(10) {
                failures = 0;
            }
            match outcome {
                Failure::Stopped => return,
                Failure::Absent => {
                    failures = 0;
                    self.set_state(RuntimeState::Absent);
                    tokio::time::sleep(ABSENT_PAUSE).await;
                }
                Failure::Failed(reason) => {
                    tracing::debug!(socket = %self.socket.path.display(), %reason, "container runtime failed");
                    self.set_state(RuntimeState::Failing(reason));
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(pause(failures)).await;
                }
            }
        }
    }

    fn with_status(&self, change: impl FnOnce(&mut RuntimeStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn with_book<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        change(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_state(&self, state: RuntimeState) {
        self.with_status(|status| {
            status.state = state;
            status.has_events = false;
        });
    }

    /// The runtime answered a whole round as it should.
    fn succeeded(&self, has_events: bool) {
        let containers = self.with_book(|book| book.count(self.index));
        self.with_status(|status| {
            status.state = RuntimeState::Connected;
            status.last_success = Some(UnixNanos::now());
            status.containers = containers;
            status.has_events = has_events;
        });
    }

    /// Docker knows more about a container of cri-dockerd than CRI does, so its word counts.
    fn rank(&self) -> u8 {
        match self.socket.kind {
            SocketKind::Docker => 0,
            SocketKind::Cri => 1,
        }
    }

    async fn describe(&self, id: &str, metadata: Metadata) -> Result<(), Stopped> {
        let news = self.with_book(|book| book.describe(id, self.index, self.rank(), metadata));
        self.send(news).await
    }

    async fn exit(&self, id: &str, exit: ExitRecord) -> Result<(), Stopped> {
        let news = self.with_book(|book| book.exit(id, exit));
        self.send(news).await
    }

    async fn send(&self, news: Option<Discovery>) -> Result<(), Stopped> {
        match news {
            Some(news) => self.sink.send_async(news).await,
            None if self.sink.is_stopped() => Err(Stopped),
            None => Ok(()),
        }
    }
}

/// The pause before try number `failures + 1`: anything up to a bound that doubles (full jitter).
fn pause(failures: u32) -> Duration {
    let bound = Duration::from_millis(250).saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX).max(1);
    // At least a little, so that a runtime that closes every connection is not asked without end.
    Duration::from_millis(50 + random() % millis)
}

/// A number nobody can foresee; the standard library's hasher is seeded by the system.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
#[path = "loopback_tests.rs"]
mod tests;
