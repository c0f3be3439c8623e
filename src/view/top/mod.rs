//! `ringside top`: the node, its pods and its containers in a terminal.
//!
//! In: the JSON API of a running agent, and keys. Out: a live view, or with `--once` a table as `kubectl top` prints it.
//! `model` and `past` are pure (data and keys go in, state comes out), `draw` turns the state into a frame, `live` owns the
//! terminal and the thread that asks the agent. It reads nothing of the kernel and works for remote agents alike.

pub(in crate::view) mod client;
mod cluster;
mod diff;
mod draw;
pub(in crate::view) mod format;
mod line;
mod live;
mod model;
mod once;
mod past;

#[cfg(test)]
mod past_tests;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};

pub use cluster::ClusterArgs;
pub use line::SortBy;

use crate::units::UnixNanos;
use crate::view::api::{parse_duration, parse_instant, percent_encode};

/// Where an agent listens when nothing else is said.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:9750";

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The node itself.
    Node,
    /// Kubernetes pods.
    Pods,
    /// Containers.
    Containers,
}

/// How it is printed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// As `kubectl top` prints it.
    Table,
    /// With throttling, block devices, network, pressure, processes and restarts.
    Wide,
    /// The agent's answer as it is; `--sort` and `--filter` do not change it.
    Json,
}

/// Arguments of `ringside top`.
#[derive(Debug, Clone, Args)]
pub struct TopArgs {
    /// What to show
    #[arg(value_enum, default_value_t = What::Containers)]
    pub what: What,
    /// URL of the agent
    #[arg(long, default_value = DEFAULT_SERVER, env = "RINGSIDE_SERVER", value_name = "URL")]
    pub server: String,
    /// Print once and end, instead of showing live
    #[arg(long)]
    pub once: bool,
    /// How to print; implies --once
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<Output>,
    /// What to sort by
    #[arg(long, value_enum, default_value_t = SortBy::Cpu)]
    pub sort: SortBy,
    /// Show only names (namespace/pod/container) that contain this text
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub filter: String,
    /// Show only this Kubernetes namespace
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Show every cgroup: also pods, services and slices
    #[arg(short, long)]
    pub all: bool,
    /// Show the past: so long ago (10m), at an instant (2026-03-01T12:00:00Z, unix seconds) or at the `oldest`
    #[arg(long, value_parser = moment, allow_hyphen_values = true, value_name = "TIME")]
    pub at: Option<String>,
    /// Show what changed since this moment, written as for --at; until --at, or until now without it
    #[arg(long, value_parser = moment, allow_hyphen_values = true, value_name = "TIME")]
    pub diff: Option<String>,
    /// How often to ask the agent, and how often there is a new frame when the past is played
    #[arg(long, default_value = "1s", value_parser = interval, value_name = "DURATION")]
    pub interval: Duration,
    /// The cluster instead of one agent's node
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// The words of a command line as kubectl's plugin takes them: with `top` the cluster is meant, by workload unless something
/// else is said. The words and not what was made of them, because other flags ask for `--by`.
#[must_use]
pub fn for_kubectl(mut words: Vec<OsString>) -> Vec<OsString> {
    let is_by = |word: &OsString| word == "--by" || word.as_encoded_bytes().starts_with(b"--by=");
    if words.get(1).is_some_and(|word| word == "top") && !words.iter().any(is_by) {
        words.splice(2..2, ["--by", "workload"].map(OsString::from));
    }
    words
}

fn interval(text: &str) -> Result<Duration, String> {
    let nanos = parse_duration(text).ok_or("write a number with a unit, such as 500ms, 1s or 1m")?;
    if nanos < 100_000_000 {
        return Err("100ms is the least".to_owned());
    }
    Ok(Duration::from_nanos(nanos))
}

/// A moment as the API takes it. A time without a sign is one before now; the future holds nothing to show.
fn moment(text: &str) -> Result<String, String> {
    if parse_duration(text).is_some() {
        return Ok(format!("-{text}"));
    }
    // Only its form matters here: relative times are relative to the agent's clock.
    if matches!(text, "oldest" | "now") || parse_instant(text, UnixNanos(0)).is_some() {
        return Ok(text.to_owned());
    }
    Err("write how long ago (10m), RFC 3339 (2026-03-01T12:00:00Z), unix seconds or 'oldest'".to_owned())
}

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// `--server` cannot be used; correct it.
    #[error("--server {server} cannot be used: {why}")]
    BadServer {
        /// What was given.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers; start an agent or name another.
    #[error(
        "no agent answers at {server} ({cause}); start one on this machine with `ringside agent`, or name one with \
         --server URL"
    )]
    NoAgent {
        /// Where it was looked for.
        server: String,
        /// What the connection said.
        cause: String,
    },
    /// The agent answered with an error, which says what to do.
    #[error("{url} answered {status}: {detail}")]
    Refused {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// Which kind of problem it is, by its URN; empty when it was no ringside agent that answered.
        kind: String,
        /// The agent's own words.
        detail: String,
    },
    /// The answer is not what this version expects; use the agent's version of `ringside`.
    #[error("the answer of {url} cannot be read; are the agent and this program of the same version? ({source})")]
    Unreadable {
        /// What was asked for.
        url: String,
        /// Where it does not fit.
        source: serde_json::Error,
    },
    /// The agent knows nothing of `at`; update it.
    #[error("the agent at {server} is too old to show the past; update it, or leave out --at and --diff")]
    NoPast {
        /// Where it is.
        server: String,
    },
    /// The API server does not answer what was asked; the message is its own, with what to do.
    #[error("{0}")]
    Cluster(String),
    /// The terminal cannot be used; `--once` needs none.
    #[error("the terminal cannot be used ({0}); --once prints a table instead")]
    Terminal(#[source] io::Error),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
    /// The runtime or its thread cannot be made.
    #[error("this process cannot start its network thread: {0}")]
    Runtime(#[source] io::Error),
}

impl TopError {
    /// Whether the agent says that history begins later than what was asked for.
    #[must_use]
    pub fn is_before_history(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind.ends_with(":before-history"))
    }
}

/// Shows what the arguments ask for. Without a terminal it prints once.
///
/// # Errors
/// [`TopError`], whose message says what to do.
pub fn run(args: &TopArgs, out: &mut dyn Write) -> Result<(), TopError> {
    if let Some(by) = &args.cluster.by {
        return cluster::run(args, by, out);
    }
    let agent = client::Agent::new(&args.server)?;
    if args.once || args.output.is_some() || !io::stdout().is_terminal() {
        once::run(args, &agent, out)
    } else {
        live::run(args, agent, out)
    }
}

/// A small runtime for the requests.
pub(in crate::view) fn runtime() -> Result<tokio::runtime::Runtime, TopError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TopError::Runtime)
}

/// What is asked of the agent.
#[derive(Debug, Clone)]
struct Question {
    what: What,
    namespace: Option<String>,
    all: bool,
    /// The moment, as the API takes it; now without it.
    at: Option<String>,
}

impl Question {
    fn of(args: &TopArgs) -> Self {
        Self { what: args.what, namespace: args.namespace.clone(), all: args.all, at: args.at.clone() }
    }

    /// The path of the node.
    fn node(&self) -> String {
        with_query("/api/v1/node", [parameter("at", self.at.as_deref())])
    }

    /// The path of what is shown.
    fn target(&self) -> String {
        let namespace = parameter("namespace", self.namespace.as_deref());
        let at = parameter("at", self.at.as_deref());
        match self.what {
            What::Node => self.node(),
            What::Pods => with_query("/api/v1/pods", [namespace, at]),
            What::Containers => with_query("/api/v1/containers", [namespace, self.every_cgroup(), at]),
        }
    }

    /// The path of what changed since `from`.
    fn diff(&self, from: &str, sort: SortBy) -> String {
        let parameters = [
            parameter("from", Some(from)),
            parameter("to", self.at.as_deref()),
            parameter("namespace", self.namespace.as_deref()),
            self.every_cgroup(),
            parameter("sort", Some(sort.word())),
        ];
        with_query("/api/v1/diff", parameters)
    }

    fn every_cgroup(&self) -> Option<String> {
        self.all.then(|| "all=true".to_owned())
    }
}

fn parameter(name: &str, value: Option<&str>) -> Option<String> {
    value.map(|value| format!("{name}={}", percent_encode(value)))
}

fn with_query<const N: usize>(path: &str, parameters: [Option<String>; N]) -> String {
    let query: Vec<_> = parameters.into_iter().flatten().collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}
