//! What an event is.
//!
//! In: nothing. Out: [`Event`], plain data that is never changed after it was numbered. Numbers carry their unit in their
//! name; what is not known is left out. Next: [`log`](super::log).

use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::sample::{Metadata, Subject, TallyKey, Workload};
use crate::units::{UnixNanos, printable};
use crate::view::api::rfc3339;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A container's cgroup has appeared.
    Created,
    /// Its process runs.
    Started,
    /// It has ended.
    Exited,
    /// A new instance follows an ended one.
    Restarted,
    /// The kernel killed a process of it for want of memory.
    OomKilled,
    /// It began to be throttled by its CPU quota.
    ThrottlingBegan,
    /// It is no longer throttled by much.
    ThrottlingEnded,
    /// Its processes began to wait for a resource.
    PressureBegan,
    /// They no longer wait by much.
    PressureEnded,
    /// The agent began fewer ticks than were due.
    TicksMissed,
    /// The agent cannot write its history to disk.
    DiskFault,
    /// It can again.
    DiskRecovered,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Created,
        Self::Started,
        Self::Exited,
        Self::Restarted,
        Self::OomKilled,
        Self::ThrottlingBegan,
        Self::ThrottlingEnded,
        Self::PressureBegan,
        Self::PressureEnded,
        Self::TicksMissed,
        Self::DiskFault,
        Self::DiskRecovered,
    ];

    /// The word for it: the name of the server-sent event, and `event.action` in log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Exited => "exited",
            Self::Restarted => "restarted",
            Self::OomKilled => "oom_killed",
            Self::ThrottlingBegan => "throttling_began",
            Self::ThrottlingEnded => "throttling_ended",
            Self::PressureBegan => "pressure_began",
            Self::PressureEnded => "pressure_ended",
            Self::TicksMissed => "ticks_missed",
            Self::DiskFault => "disk_fault",
            Self::DiskRecovered => "disk_recovered",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// As things go.
    Info,
    /// Somebody may want to look.
    Warning,
    /// Something was lost.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// To whom it happened. Names are shown as somebody chose them, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Who {
    /// Kubernetes namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pod name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Pod UID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// Container name: inside its pod, or the runtime's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The runtime's id of this instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// Image as it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The runtime's word for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<&'static str>,
    /// Path of the cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
}

fn chosen(text: &str) -> Option<String> {
    if text.is_empty() { None } else { Some(text.chars().map(plain).collect()) }
}

/// A control character in a name would steer the terminal of whoever reads it.
fn plain(character: char) -> char {
    if character.is_control() { '\u{fffd}' } else { character }
}

impl Who {
    /// A cgroup, with all that is known about it.
    #[must_use]
    pub fn of(subject: &Subject) -> Self {
        let Some(workload) = subject.workload.as_deref() else {
            return Self { cgroup: chosen(&subject.name), ..Self::default() };
        };
        let Workload { identity, metadata, .. } = workload;
        let metadata = metadata.as_deref();
        let text = |pick: fn(&Metadata) -> Option<&String>| chosen(metadata.and_then(pick)?);
        let uid = identity.pod_uid.as_deref().or_else(|| metadata?.pod_uid.as_deref());
        let runtime = metadata.and_then(|metadata| metadata.runtime).or(identity.runtime);
        Self {
            namespace: text(|metadata| metadata.namespace.as_ref()),
            pod: text(|metadata| metadata.pod.as_ref()),
            pod_uid: uid.and_then(chosen),
            container: text(|metadata| metadata.container.as_ref().or(Some(&metadata.name))),
            container_id: identity.container_id.as_deref().and_then(chosen),
            image: text(|metadata| Some(&metadata.image)),
            runtime: runtime.map(|runtime| runtime.as_str()),
            cgroup: Some(printable(identity.path.as_bytes())),
        }
    }

    /// A container of which only the name is known.
    #[must_use]
    pub fn named(key: &TallyKey) -> Self {
        Self {
            namespace: chosen(&key.namespace),
            pod: chosen(&key.pod),
            container: chosen(&key.container),
            ..Self::default()
        }
    }

    /// What people call it.
    #[must_use]
    pub fn title(&self) -> String {
        match (&self.namespace, &self.pod, &self.container) {
            (Some(namespace), Some(pod), Some(container)) => format!("container {container} of {namespace}/{pod}"),
            (_, _, Some(container)) => format!("container {container}"),
            _ => self.cgroup.as_ref().map_or_else(|| "a container".to_owned(), |cgroup| format!("cgroup {cgroup}")),
        }
    }
}

/// A number of an event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Number {
    /// A count or bytes.
    Whole(u64),
    /// An exit code.
    Signed(i64),
    /// Seconds, cores or a share.
    Real(f64),
}

/// A number with its name, which tells the unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Name.
    pub name: &'static str,
    /// Value.
    pub number: Number,
}

impl Figure {
    /// A count or bytes.
    #[must_use]
    pub const fn whole(name: &'static str, value: u64) -> Self {
        Self { name, number: Number::Whole(value) }
    }

    /// Seconds, cores or a share, to four digits.
    #[must_use]
    pub fn real(name: &'static str, value: f64) -> Self {
        Self { name, number: Number::Real((value * 1e4).round() / 1e4) }
    }
}

/// What was read of a container's memory at one tick before it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct LastSecond {
    /// How long before the tick at which the kill was counted.
    pub seconds_before: f64,
    /// Memory in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Memory in use without the file pages that are the first to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<u64>,
    /// Anonymous memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anon_bytes: Option<u64>,
    /// Share of the time since the reading before for which a process waited for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_pressure_ratio: Option<f64>,
}

/// An event that has no number yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// When it happened, as closely as is known.
    pub time: UnixNanos,
    /// What.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// To whom; `None` for the agent and the node.
    pub who: Option<Arc<Who>>,
    /// A word for why or what: `OOMKilled`, `Error`, `memory`.
    pub reason: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// Numbers.
    pub figures: Vec<Figure>,
    /// Name and process ID of the process that was killed.
    pub victim: Option<(String, u32)>,
    /// What led to a kill, the oldest first.
    pub last_seconds: Vec<LastSecond>,
}

impl Draft {
    /// An event about `who`, without numbers.
    #[must_use]
    pub fn new(time: UnixNanos, kind: Kind, severity: Severity, who: Option<Arc<Who>>, message: String) -> Self {
        let (figures, last_seconds) = (Vec::new(), Vec::new());
        Self { time, kind, severity, who, reason: None, message, figures, victim: None, last_seconds }
    }

    /// A number of it.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<Number> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.number)
    }
}

/// An event with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Greater than that of every event before, also of those before the agent's last restart.
    pub id: u64,
    /// What happened.
    pub what: Draft,
}

struct Figures<'a>(&'a [Figure]);

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|figure| (figure.name, figure.number)))
    }
}

#[derive(Serialize)]
struct VictimShown<'a> {
    process: &'a str,
    pid: u32,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Draft { time, kind, severity, who, reason, message, figures, victim, last_seconds } = &self.what;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("time", &rfc3339(*time))?;
        map.serialize_entry("kind", kind.as_str())?;
        map.serialize_entry("severity", severity.as_str())?;
        map.serialize_entry("message", message)?;
        if let Some(reason) = reason {
            map.serialize_entry("reason", reason)?;
        }
        if let Some(who) = who {
            map.serialize_entry("who", who.as_ref())?;
        }
        if !figures.is_empty() {
            map.serialize_entry("figures", &Figures(figures))?;
        }
        if let Some((process, pid)) = victim {
            map.serialize_entry("victim", &VictimShown { process, pid: *pid })?;
        }
        if !last_seconds.is_empty() {
            map.serialize_entry("last_seconds", last_seconds)?;
        }
        map.end()
    }
}
