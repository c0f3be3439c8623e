//! Log lines on standard error: one JSON object of the Elastic Common Schema per line, or text for people.
//!
//! In: `tracing` events. Out: lines without control bytes, whatever a cgroup or container is called, and not more than
//! a few per second from one place in the code; lifecycle events have a bound of their own, where they are made. It writes
//! nowhere else and keeps nothing. What a line looks like is in [`line`]. Next: nothing.

mod line;

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

use crate::config::{AgentConfig, LogFormat, LogLevel};
use line::{Host, Line};

/// Lines per second from one place in the code; the rest is counted and told later.
const LINES_PER_SECOND: u32 = 10;

/// Lifecycle events: their bound is kept where they are made, for each kind.
const EVENTS: &str = crate::view::events::lines::TARGET;

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The process logs already: start it once.
    #[error("logging was started twice in one process")]
    AlreadyStarted(#[from] SetGlobalDefaultError),
}

/// Starts logging to standard error, and logs what the configuration warns of.
///
/// # Errors
/// [`LoggingError::AlreadyStarted`].
pub fn start(config: &AgentConfig) -> Result<(), LoggingError> {
    let host = Host { name: config.node_name.clone().unwrap_or_else(host_name), service: "ringside-agent" };
    start_with(config.log_format, config.log_level, host)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok(())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Starts the aggregator's logging to standard error in this form, from this level on.
///
/// # Errors
/// [`LoggingError::AlreadyStarted`].
pub fn start_as(format: LogFormat, level: LogLevel) -> Result<(), LoggingError> {
    start_with(format, level, Host { name: host_name(), service: "ringside-aggregator" })
}

fn start_with(format: LogFormat, level: LogLevel, host: Host) -> Result<(), LoggingError> {
    Ok(tracing::subscriber::set_global_default(subscriber(format, level, host, io::stderr))?)
}

fn subscriber<W, S>(format: LogFormat, level: LogLevel, host: Host, sink: S) -> impl Subscriber + Send + Sync
where
    W: Write + 'static,
    S: Fn() -> W + Send + Sync + Clone + 'static,
{
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // The libraries' own debugging is nobody's answer to a question about this agent.
    let wanted = Targets::new()
        .with_target("ringside", level)
        // It calls each request that fails an error. Whoever asked says so in his own words, and knows whether it is one.
        .with_target("kube_client::client::builder", if level >= LevelFilter::DEBUG { level } else { LevelFilter::OFF })
        .with_default(level.min(LevelFilter::WARN));
    let lines = Arc::new(Lines { format, host, sink });
    let throttle = Throttle::new(LINES_PER_SECOND, Reporter(Arc::clone(&lines)));
    Registry::default().with(Written(lines).with_filter(throttle).with_filter(wanted))
}

/// Where lines go, and in which form.
struct Lines<S> {
    format: LogFormat,
    host: Host,
    sink: S,
}

impl<W: Write, S: Fn() -> W> Lines<S> {
    fn write(&self, line: &Line) {
        let text = match self.format {
            LogFormat::Json => line.json(&self.host),
            LogFormat::Text => line.text(),
        };
        // A log that cannot be written cannot be logged about.
        let _ = (self.sink)().write_all(escaped(&text).as_bytes());
    }
}

/// Writes each event as one line, with one write.
struct Written<S>(Arc<Lines<S>>);

impl<W, S> Layer<Registry> for Written<S>
where
    W: Write + 'static,
    S: Fn() -> W + Send + Sync + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, Registry>) {
        self.0.write(&Line::of(event));
    }
}

/// One line that ends in a newline and has no other control character: an escape sequence or a line break in a name
/// must neither steer a terminal nor begin a line of its own.
fn escaped(line: &str) -> String {
    let body = line.strip_suffix('\n').unwrap_or(line);
    let mut safe = String::with_capacity(body.len() + 1);
    for c in body.chars() {
        if c.is_control() {
            // Also valid within a JSON string.
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe.push('\n');
    safe
}

/// Tells how many lines a throttled place has lost.
struct Reporter<S>(Arc<Lines<S>>);

trait Report: Send + Sync + 'static {
    fn report(&self, place: &Metadata<'_>, lost: u32);
}

impl<W: Write, S: Fn() -> W + Send + Sync + 'static> Report for Reporter<S> {
    fn report(&self, place: &Metadata<'_>, lost: u32) {
        self.0.write(&Line::lost(place, lost));
    }
}

/// Lets through a number of lines per second and place.
struct Throttle {
    per_second: u32,
    places: Mutex<HashMap<tracing::callsite::Identifier, Window>>,
    report: Arc<dyn Report>,
}

/// One second of one place.
struct Window {
    began: Instant,
    passed: u32,
    lost: u32,
}

impl Throttle {
    fn new(per_second: u32, report: impl Report) -> Self {
        Self { per_second, places: Mutex::new(HashMap::new()), report: Arc::new(report) }
    }

    /// Whether a line may pass now, and how many of the last second were lost if this begins a new one.
    fn admit(&self, place: tracing::callsite::Identifier, now: Instant) -> (bool, u32) {
        let Ok(mut places) = self.places.lock() else { return (true, 0) };
        let window = places.entry(place).or_insert(Window { began: now, passed: 0, lost: 0 });
        let mut lost = 0;
        if now.duration_since(window.began).as_secs() >= 1 {
            lost = window.lost;
            *window = Window { began: now, passed: 0, lost: 0 };
        }
        if window.passed < self.per_second {
            window.passed += 1;
            return (true, lost);
        }
        window.lost += 1;
        (false, lost)
    }
}

impl<S: Subscriber> Filter<S> for Throttle {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        if event.metadata().target() == EVENTS {
            return true;
        }
        let (pass, lost) = self.admit(event.metadata().callsite(), Instant::now());
        if lost > 0 {
            self.report.report(event.metadata(), lost);
        }
        pass
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn host() -> Host {
        Host { name: "node-1".into(), service: "ringside-agent" }
    }

    fn logged(format: LogFormat, level: LogLevel, emit: impl FnOnce()) -> String {
        let sink = Sink::default();
        let to = sink.clone();
        tracing::subscriber::with_default(subscriber(format, level, host(), move || to.clone()), emit);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: &str = "a\u{1b}[31m\r\nb\"\\\u{9b}2J\t\u{7f}\0c";

    #[test]
    fn every_line_of_a_hostile_name_is_one_json_object_without_control_bytes() {
        let text = logged(LogFormat::Json, LogLevel::Info, || {
            tracing::info!(cgroup = HOSTILE, "{HOSTILE}");
            tracing::warn!(error = ?HOSTILE, "second");
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        let first: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(first["ringside.cgroup"], HOSTILE);
        assert_eq!(first["log.level"], "info");
        assert_eq!(serde_json::from_str::<serde_json::Value>(lines[1]).unwrap()["message"], "second");
    }

    #[test]
    fn a_text_line_stays_one_line_without_control_bytes() {
        let text = logged(LogFormat::Text, LogLevel::Info, || tracing::info!(cgroup = HOSTILE, "{HOSTILE}"));
        assert_eq!(text.lines().count(), 1);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }

    #[test]
    fn less_severe_lines_and_the_debugging_of_libraries_are_left_out() {
        let text = logged(LogFormat::Text, LogLevel::Debug, || {
            tracing::debug!("ours");
            tracing::trace!("too fine");
            tracing::debug!(target: "hyper::proto", "theirs");
            tracing::warn!(target: "hyper::proto", "their warning");
        });
        assert!(text.contains("ours") && text.contains("their warning"), "{text}");
        assert!(!text.contains("too fine") && !text.contains("theirs"), "{text}");
    }

    #[test]
    fn requests_that_fail_are_told_by_who_asked_unless_one_debugs() {
        let fails = || tracing::error!(target: "kube_client::client::builder", "failed with status 503");
        assert_eq!(logged(LogFormat::Text, LogLevel::Info, fails), "");
        assert!(logged(LogFormat::Text, LogLevel::Debug, fails).contains("503"));
    }

    #[test]
    fn a_storm_from_one_place_is_cut_and_other_places_are_not() {
        let text = logged(LogFormat::Text, LogLevel::Info, || {
            for number in 0..1000 {
                tracing::info!(number, "storm");
            }
            tracing::info!("calm");
        });
        let storm = text.lines().filter(|line| line.contains("storm")).count();
        assert!((10..=20).contains(&storm), "{storm} lines");
        assert!(text.contains("calm"));
    }

    #[test]
    fn the_first_line_of_the_next_second_tells_how_many_were_lost() {
        struct Silent;
        impl Report for Silent {
            fn report(&self, _: &Metadata<'_>, _: u32) {}
        }
        let throttle = Throttle::new(2, Silent);
        let place = tracing::callsite!(name: "place", kind: tracing::metadata::Kind::EVENT, fields: x);
        let place = tracing::Callsite::metadata(place).callsite();
        let start = Instant::now();
        let admitted: Vec<_> = (0..5).map(|_| throttle.admit(place.clone(), start)).collect();
        assert_eq!(admitted, [(true, 0), (true, 0), (false, 0), (false, 0), (false, 0)]);
        assert_eq!(throttle.admit(place.clone(), start + Duration::from_secs(1)), (true, 3));
        assert_eq!(throttle.admit(place, start + Duration::from_secs(2)), (true, 0));
    }

    #[test]
    fn the_report_of_lost_lines_is_a_json_line_too() {
        let sink = Sink::default();
        let to = sink.clone();
        let reporter = Reporter(Arc::new(Lines { format: LogFormat::Json, host: host(), sink: move || to.clone() }));
        let place = tracing::callsite!(name: "place", kind: tracing::metadata::Kind::EVENT, fields: x);
        reporter.report(tracing::Callsite::metadata(place), 3);
        let line: serde_json::Value = serde_json::from_slice(&sink.0.lock().unwrap()).unwrap();
        assert_eq!(line["message"], "3 more lines came from this place and were left out");
    }

    /// What every line of JSON has, as the Elastic Common Schema asks for it.
    fn assert_ecs(line: &str) -> serde_json::Value {
        let fields: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for name in
            ["@timestamp", "log.level", "message", "ecs.version", "service.name", "service.version", "host.name"]
        {
            assert!(fields[name].is_string(), "{name} in {line}");
        }
        assert!(fields["process.pid"].is_u64(), "{line}");
        for name in ["event.category", "event.type"] {
            assert!(fields.get(name).is_none_or(serde_json::Value::is_array), "{name} in {line}");
        }
        let timestamp = fields["@timestamp"].as_str().unwrap();
        assert!(crate::view::api::parse_instant(timestamp, crate::units::UnixNanos(0)).is_some(), "{timestamp}");
        let prefixes = ["ringside.", "error.", "event.", "container.", "orchestrator.", "kubernetes.", "process."];
        let common = ["@timestamp", "message", "log.", "ecs.", "service.", "host."];
        for name in fields.as_object().unwrap().keys() {
            assert!(prefixes.iter().chain(&common).any(|prefix| name.starts_with(prefix)), "{name} in {line}");
        }
        fields
    }

    #[test]
    fn the_agents_own_lines_have_the_names_of_ecs() {
        let text = logged(LogFormat::Json, LogLevel::Info, || {
            tracing::warn!(error = %"no space", address = %"127.0.0.1:1", count = 7_u64, on = true, "failed");
        });
        let line = assert_ecs(text.trim_end());
        assert_eq!((&line["log.level"], &line["message"]), (&"warn".into(), &"failed".into()));
        assert_eq!((&line["error.message"], &line["host.name"]), (&"no space".into(), &"node-1".into()));
        assert_eq!((&line["ringside.address"], &line["ringside.count"]), (&"127.0.0.1:1".into(), &7.into()));
        assert_eq!((&line["ringside.on"], &line["log.logger"]), (&true.into(), &"ringside::logging::tests".into()));
    }

    #[test]
    fn a_lifecycle_event_of_a_container_with_hostile_names_is_one_line_of_ecs() {
        use crate::sample::TallyKey;
        use crate::units::UnixNanos;
        use crate::view::events::{Draft, Event as Happened, Figure, Kind, Severity, Who, ecs};
        let key = TallyKey { namespace: HOSTILE.into(), pod: HOSTILE.into(), container: HOSTILE.into() };
        let who = Arc::new(Who { container_id: Some("ab12".into()), ..Who::named(&key) });
        let mut what = Draft::new(UnixNanos(0), Kind::OomKilled, Severity::Error, Some(who), HOSTILE.to_owned());
        what.victim = Some((HOSTILE.to_owned(), 42));
        what.figures = vec![Figure::whole("memory_limit_bytes", 64)];
        let event = Happened { id: 17, what };
        let emit = || {
            let fields = ecs::fields(&event).to_string();
            tracing::error!(target: "ringside::events", ecs = fields.as_str(), "{}", event.what.message);
        };
        let text = logged(LogFormat::Json, LogLevel::Info, emit);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        let line = assert_ecs(text.trim_end());
        for (name, value) in [("event.kind", "event"), ("event.action", "oom_killed"), ("event.outcome", "failure")] {
            assert_eq!(line[name], value, "{name}");
        }
        assert_eq!((&line["event.sequence"], &line["process.pid"]), (&17.into(), &42.into()));
        assert_eq!((&line["ringside.memory_limit_bytes"], &line["container.id"]), (&64.into(), &"ab12".into()));
        assert_eq!(line["orchestrator.namespace"], line["kubernetes.namespace"]);
        assert_eq!(line["event.category"], serde_json::json!(["process"]));

        let text = logged(LogFormat::Text, LogLevel::Info, emit);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains("ecs=") && !text.contains("event.kind"), "{text}");
    }

    #[test]
    fn lifecycle_events_are_not_cut_by_the_bound_on_places() {
        let text = logged(LogFormat::Text, LogLevel::Info, || {
            for _ in 0..100 {
                tracing::info!(target: "ringside::events", "event");
            }
        });
        assert_eq!(text.lines().count(), 100);
    }
}
