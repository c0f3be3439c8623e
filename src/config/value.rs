//! Parsers of single values. Pure: text → value, or the rest of a sentence that begins with the text.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::kernel::perf::{self, PerfEvent};
use crate::sample::sets::Sets;
use crate::view::prometheus::LabelKeys;

/// Which labels the expositions carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelSet {
    /// Names, image and cgroup path on every series.
    Full,
    /// Only what identifies; the rest is on one info metric to join with.
    Slim,
}

/// Whose shape `/metrics` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compat {
    /// Its own.
    Off,
    /// cAdvisor's.
    Cadvisor,
}

/// How a runtime's label keys become names of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelNames {
    /// As cAdvisor does: what the format did not always allow becomes `_`.
    Sanitised,
    /// As they are, for clients that ask for it; escaped for the rest.
    Utf8,
}

/// By which way the agent pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushRoute {
    /// Through the API server, where there is one to be found.
    Auto,
    /// Through the API server.
    ApiServer,
    /// Straight to the aggregator's Service.
    Direct,
    /// Not at all.
    Off,
}

/// Whether the API server is asked for names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodNamesChoice {
    /// Where there is one to be found.
    Auto,
    /// Always.
    ApiServer,
    /// Never.
    Off,
}

/// Whether files of containers and pods are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageChoice {
    /// What can be read.
    Auto,
    /// The same, with a warning where nothing can be read.
    On,
    /// Nothing.
    Off,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// Least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What is degraded.
    Warn,
    /// What changed.
    Info,
    /// What was decided.
    Debug,
    /// What was done.
    Trace,
}

/// How many kernel files may be kept open between ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptFiles {
    /// As many as the open-file limit and the memory of this machine allow.
    Auto,
    /// At most so many; 0 opens every file anew on every tick.
    AtMost(usize),
}

/// Where a runtime's socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketChoice {
    /// At the well-known places, as soon as one exists.
    Auto,
    /// Not to be asked.
    Off,
    /// At this path.
    At(PathBuf),
}

/// A closed list of words.
pub(super) trait Words: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl Words for LabelSet {
    const WORDS: &'static [(&'static str, Self)] = &[("full", Self::Full), ("slim", Self::Slim)];
}

impl Words for Compat {
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::Off), ("cadvisor", Self::Cadvisor)];
}

impl Words for LabelNames {
    const WORDS: &'static [(&'static str, Self)] = &[("sanitised", Self::Sanitised), ("utf8", Self::Utf8)];
}

impl Words for PushRoute {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("api-server", Self::ApiServer), ("direct", Self::Direct), ("none", Self::Off)];
}

impl Words for PodNamesChoice {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("api-server", Self::ApiServer), ("none", Self::Off)];
}

impl Words for StorageChoice {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("on", Self::On), ("off", Self::Off)];
}

impl Words for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("json", Self::Json), ("text", Self::Text)];
}

impl Words for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

pub(super) fn word<T: Words>(text: &str) -> Result<T, String> {
    T::WORDS.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = T::WORDS.iter().map(|(name, _)| *name).collect();
        format!("is not one of the known words; use {}", names.join(", "))
    })
}

/// A list of sets; in cAdvisor's shape `default` is its default.
pub(super) fn sets(list: &str, compat: Compat) -> Result<Sets, String> {
    let default = match compat {
        Compat::Off => Sets::default(),
        Compat::Cadvisor => Sets::cadvisor(),
    };
    Sets::parse(list, default).map_err(|error| format!("is not a list of sets: {error}"))
}

/// The most patterns or prefixes of one list, and the longest of them in bytes.
const MOST_PATTERNS: usize = 64;
const MOST_PATTERN_BYTES: usize = 256;

fn patterns(list: &str) -> Result<Vec<String>, String> {
    let patterns: Vec<String> = list.split(',').map(str::trim).map(str::to_owned).collect();
    if patterns.iter().any(String::is_empty) {
        return Err("has an empty entry; separate entries by one comma".to_owned());
    }
    if patterns.len() > MOST_PATTERNS || patterns.iter().any(|pattern| pattern.len() > MOST_PATTERN_BYTES) {
        return Err(format!("is too long; write at most {MOST_PATTERNS} entries of {MOST_PATTERN_BYTES} bytes"));
    }
    Ok(patterns)
}

pub(super) fn label_keys(list: &str) -> Result<LabelKeys, String> {
    match list {
        "all" => Ok(LabelKeys::All),
        "none" => Ok(LabelKeys::Off),
        _ => {
            let patterns = patterns(list)?;
            match patterns.iter().find(|pattern| matches!(pattern.as_str(), "all" | "none")) {
                Some(word) => Err(format!("has `{word}` among keys; `all` and `none` stand alone")),
                None => Ok(LabelKeys::Only(patterns)),
            }
        }
    }
}

/// Nothing is no prefix: to read every variable of every container must be asked for letter by letter.
pub(super) fn prefixes(list: &str) -> Result<Vec<String>, String> {
    if list.is_empty() { Ok(Vec::new()) } else { patterns(list) }
}

/// Splits `1.5GiB` into nano-units of the number (1_500_000_000) and the suffix; `None` unless it begins with a number.
fn number_and_suffix(text: &str) -> Option<(u128, &str)> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || whole.len() > 20 || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nano: u128 = format!("{fraction:0<9}").parse().ok()?;
    let whole: u128 = whole.parse().ok()?;
    Some((whole * 1_000_000_000 + nano, suffix.trim()))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const ADVICE: &str = "is not a duration; write a number and a unit, for example 500ms, 1s or 1m";
    let (nano_units, suffix) = number_and_suffix(text).ok_or(ADVICE)?;
    let nanos = match suffix {
        "ms" => nano_units / 1000,
        "s" => nano_units,
        "m" | "min" => nano_units * 60,
        "h" => nano_units * 3600,
        "" if nano_units == 0 => 0,
        "" => return Err(format!("has no unit; write for example {text}s or {text}ms")),
        _ => return Err(ADVICE.to_owned()),
    };
    // Months are as good as any too-long duration: the range check that follows refuses both.
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// A tick must leave time to read a full node, and a rate over more than a minute hides what the tool is for.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let value = duration(text)?;
    if value < Duration::from_millis(100) || value > Duration::from_secs(60) {
        return Err("is out of range; give an interval from 100ms to 60s, for example 1s".to_owned());
    }
    Ok(value)
}

/// The API server's share of one push is a millisecond and more; an autoscaler looks every fifteen seconds.
pub(super) fn push_interval(text: &str) -> Result<Duration, String> {
    let value = duration(text)?;
    if value < Duration::from_secs(1) || value > Duration::from_secs(60) {
        return Err("is out of range; give a push interval from 1s to 60s, for example 15s".to_owned());
    }
    Ok(value)
}

/// What is read off the tick is dear; what is older than minutes says nothing of now.
pub(super) fn detail_interval(text: &str) -> Result<Duration, String> {
    let value = duration(text)?;
    if value < Duration::from_secs(1) || value > Duration::from_secs(600) {
        return Err("is out of range; give an interval from 1s to 10m, for example 15s".to_owned());
    }
    Ok(value)
}

/// Counting files is work for a disk: never more often than once a second.
pub(super) fn storage_interval(text: &str) -> Result<Duration, String> {
    let value = duration(text)?;
    if value < Duration::from_secs(1) || value > Duration::from_secs(3600) {
        return Err("is out of range; give an interval from 1s to 1h, for example 1m".to_owned());
    }
    Ok(value)
}

/// Names of performance events by commas; each counts once.
pub(super) fn perf_events(text: &str) -> Result<Vec<PerfEvent>, String> {
    let mut events: Vec<PerfEvent> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let Some(event) = perf::event(name) else {
            let known: Vec<&str> = perf::EVENTS.iter().map(|event| event.name).collect();
            return Err(format!("names no event {name:?}; use of {}", known.join(", ")));
        };
        if !events.contains(&event) {
            events.push(event);
        }
    }
    Ok(events)
}

/// A plain number.
pub(super) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "is not a number; give a number from 0 up".to_owned())
}

/// An address to push to.
pub(super) fn https_url(text: &str) -> Result<String, String> {
    let parsed: Result<hyper::Uri, _> = text.parse();
    match parsed {
        Ok(uri) if uri.scheme_str() == Some("https") && uri.host().is_some() => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        Ok(_) | Err(_) => {
            Err("is not an https URL; write for example https://ringside-aggregator.ringside.svc:443".to_owned())
        }
    }
}

pub(super) fn bytes(text: &str) -> Result<usize, String> {
    const ADVICE: &str = "is not a size; write a number of bytes, or one with a unit, for example 32MiB or 100MB";
    let (nano_units, suffix) = number_and_suffix(text).ok_or(ADVICE)?;
    let factor: u128 = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        // In Kubernetes `M` is mega and `m` is a thousandth; elsewhere `m` is often mebi.
        "m" if suffix == "M" => 1_000_000,
        "m" => return Err("is ambiguous; write MiB, MB, Mi or M".to_owned()),
        _ => return Err(ADVICE.to_owned()),
    };
    match usize::try_from(nano_units * factor / 1_000_000_000) {
        Ok(0) => Err("is nothing; give at least a few MiB, for example 32MiB".to_owned()),
        Ok(value) => Ok(value),
        Err(_) => Err("is more than this machine can address; give less, for example 32MiB".to_owned()),
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let spelt = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    spelt.parse().map_err(|_| match text.strip_prefix(':') {
        Some(port) => format!(
            "has no address; write 127.0.0.1:{port} for this machine only, \
             or use --insecure-listen 0.0.0.0:{port} for every interface"
        ),
        None => "is not ADDRESS:PORT; write for example 127.0.0.1:9750 or [::1]:9750".to_owned(),
    })
}

/// Counters of every workload are told to whoever asks, so the way out of the machine has a name that warns.
pub(super) fn loopback_address(text: &str) -> Result<SocketAddr, String> {
    let value = address(text)?;
    if value.ip().to_canonical().is_loopback() {
        return Ok(value);
    }
    Err(format!(
        "is reachable from other machines, and plain HTTP has neither encryption nor a check of who asks; \
         use --insecure-listen {text} if that is meant, or a loopback address such as 127.0.0.1:{}",
        value.port()
    ))
}

pub(super) fn root(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("is not a directory; give the path of the mount".to_owned());
    }
    Ok(PathBuf::from(text))
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    if !text.starts_with('/') {
        return Err("is not a full path; give one that begins with /".to_owned());
    }
    Ok(PathBuf::from(text))
}

pub(super) fn folder(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err(
            "is not a folder; give the path of one that survives a restart, such as /var/lib/ringside".to_owned()
        );
    }
    Ok(PathBuf::from(text))
}

pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.ends_with('/') {
        return Err("is not a file; give the path of one".to_owned());
    }
    Ok(PathBuf::from(text))
}

pub(super) fn socket(text: &str) -> Result<SocketChoice, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    match path {
        "auto" => Ok(SocketChoice::Auto),
        "none" => Ok(SocketChoice::Off),
        _ if path.starts_with('/') => Ok(SocketChoice::At(PathBuf::from(path))),
        _ => Err("is not a socket's path; give an absolute path, unix://PATH, auto or none".to_owned()),
    }
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("would read nothing; give a number from 1 up, for example 20000".to_owned()),
        Ok(value) => Ok(value),
        Err(_) => Err("is not a whole number; give a number from 1 up, for example 20000".to_owned()),
    }
}

pub(super) fn kept_files(text: &str) -> Result<KeptFiles, String> {
    if text == "auto" {
        return Ok(KeptFiles::Auto);
    }
    text.parse().map(KeptFiles::AtMost).map_err(|_| "is not a whole number; give a number or auto".to_owned())
}

/// The name becomes a label and a path segment of the API.
pub(super) fn node_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 253 || text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/') {
        return Err("cannot name a node; give 1 to 253 characters without spaces, slashes or control bytes".to_owned());
    }
    Ok(text.to_owned())
}
