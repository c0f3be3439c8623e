//! The live view: owns the terminal, and the thread that asks the agent.
//!
//! In: keys, and answers from the thread. Out: frames. The terminal is given back on every way out: on return, on an
//! error, on a panic (before its message is printed) and on SIGTERM or SIGHUP. A hanging agent never holds up a key.

use std::io::{self, IsTerminal as _, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc as commands;

use crate::view::api::{ContainerList, Diff, Function, History, HistoryValue, Node, PodList, percent_encode};

use super::client::Agent;
use super::draw::{self, Theme};
use super::model::{Chart, Command, Data, Detail, Model, Rows, Scale, Series, Update};
use super::past::wall;
use super::{Question, SortBy, TopArgs, TopError, What, runtime};

/// How long the loop waits for a key before it looks for data: what a key press and a new tick wait at most.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// Points of a chart, at most: about the width of a wide terminal in braille dots.
const CHART_POINTS: u64 = 240;

/// Waits until there is something to read from the terminal, or for a while, and says how long the reader of events may
/// wait yet. `None` when the terminal has gone: reading from it would then find its end again and again, and never wait.
fn wait_for_key() -> Option<Duration> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        // The reader opens the terminal itself, and its waiting cannot be watched.
        return Some(KEY_WAIT);
    }
    let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
    let wait = Timespec::try_from(KEY_WAIT).ok();
    match poll(&mut watched, wait.as_ref()) {
        // A signal, such as the one of a changed window size, is looked at by the reader of events.
        Ok(0) | Err(_) => Some(Duration::ZERO),
        Ok(_) => {
            let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
            watched.iter().all(|fd| !fd.revents().intersects(gone)).then_some(Duration::ZERO)
        }
    }
}

/// Runs until a key or signal ends it.
pub(super) fn run(args: &TopArgs, agent: Agent, out: &mut dyn Write) -> Result<(), TopError> {
    let (send_update, updates) = mpsc::channel();
    let (send_command, receive_command) = commands::unbounded_channel();
    let runtime = runtime()?;
    let asking = Asking::new(args, agent, send_update);
    let thread = std::thread::Builder::new().name("ringside-top-ask".to_owned());
    thread.spawn(move || runtime.block_on(asking.run(receive_command))).map_err(TopError::Runtime)?;

    let mut model = Model::new(args);
    let theme = Theme::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    let mut screen = Screen::enter(out).map_err(TopError::Terminal)?;
    let mut changed = true;
    let mut framed = Instant::now();
    loop {
        if changed {
            screen.terminal.draw(|frame| draw::frame(frame, &model, &theme)).map_err(TopError::Terminal)?;
        }
        let Some(left) = wait_for_key() else { return Ok(()) };
        changed = event::poll(left).map_err(TopError::Terminal)?;
        let mut command = None;
        if changed && let Event::Key(key) = event::read().map_err(TopError::Terminal)? {
            command = if key.kind == KeyEventKind::Release { None } else { model.key(key) };
        }
        for update in updates.try_iter() {
            command = model.update(update).or(command);
            changed = true;
        }
        let since = framed.elapsed();
        if since >= args.interval {
            framed = Instant::now();
            // While the past is shown, the time since then goes on.
            changed |= model.past.is_some();
            command = model.frame(since.min(2 * args.interval)).or(command);
        }
        match command {
            Some(Command::Quit) => return Ok(()),
            // The thread only ends when this side does.
            Some(command) => _ = send_command.send(command),
            None => {}
        }
    }
}

/// The terminal in raw mode on its alternate screen; dropping it gives it back.
struct Screen<'a> {
    terminal: Terminal<CrosstermBackend<&'a mut dyn Write>>,
    held: Arc<AtomicBool>,
}

impl<'a> Screen<'a> {
    fn enter(mut out: &'a mut dyn Write) -> io::Result<Self> {
        let held = Arc::new(AtomicBool::new(true));
        let held_at_panic = Arc::clone(&held);
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if held_at_panic.swap(false, Ordering::SeqCst) {
                release(&mut io::stdout());
            }
            previous(info);
        }));
        enable_raw_mode()?;
        let terminal = hold(&mut out).and_then(|()| Terminal::new(CrosstermBackend::new(out)));
        let terminal = terminal.inspect_err(|_| release(&mut io::stdout()))?;
        Ok(Self { terminal, held })
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        if self.held.swap(false, Ordering::SeqCst) {
            release(self.terminal.backend_mut());
        }
    }
}

fn hold(out: &mut impl Write) -> io::Result<()> {
    execute!(out, EnterAlternateScreen, Hide)
}

/// Gives the terminal back. Nothing can be done about an error here.
fn release(out: &mut impl Write) {
    _ = disable_raw_mode();
    _ = execute!(out, LeaveAlternateScreen, Show);
}

/// The network's side.
struct Asking {
    agent: Agent,
    question: Question,
    /// The moment as the terminal's side asked for it; the question has it as the agent understood it.
    asked: Option<String>,
    interval: Duration,
    detail: Option<Detail>,
    /// The moment to compare with.
    mark: Option<String>,
    /// The agent's interval between ticks, once it is known.
    interval_seconds: Option<f64>,
    /// Whether the newest question has no answer yet. The past does not change: it is asked for once.
    due: bool,
    updates: mpsc::Sender<Update>,
}

impl Asking {
    fn new(args: &TopArgs, agent: Agent, updates: mpsc::Sender<Update>) -> Self {
        Self {
            agent,
            question: Question::of(args),
            asked: args.at.clone(),
            interval: args.interval,
            detail: None,
            mark: args.diff.clone(),
            interval_seconds: None,
            due: true,
            updates,
        }
    }

    async fn run(mut self, mut commands: commands::UnboundedReceiver<Command>) {
        let mut timer = tokio::time::interval(self.interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut terminated = signal(SignalKind::terminate()).ok();
        let mut hung_up = signal(SignalKind::hangup()).ok();
        loop {
            tokio::select! {
                _ = timer.tick() => {
                    if self.question.at.is_some() && !self.due {
                        continue;
                    }
                }
                () = received(&mut terminated) => return self.quit(),
                () = received(&mut hung_up) => return self.quit(),
                command = commands.recv() => {
                    // Of a key that is held down only the last step is asked for.
                    if command.is_none() {
                        return;
                    }
                    let mut next = command;
                    while let Some(command) = next {
                        if command == Command::Quit {
                            return;
                        }
                        self.take(command);
                        next = commands.try_recv().ok();
                    }
                }
            }
            let update = match self.data().await {
                Ok(data) => Update::Data(Box::new(data)),
                Err(error) if error.is_before_history() && self.asked.as_deref() != Some("oldest") => {
                    Update::BeforeHistory
                }
                Err(error @ TopError::NoPast { .. }) => {
                    (self.question.at, self.asked, self.mark) = (None, None, None);
                    Update::NoPast(error.to_string())
                }
                Err(error) => Update::Failed(error.to_string()),
            };
            self.due = matches!(update, Update::Failed(_));
            let failed = !matches!(update, Update::Data(_));
            if self.updates.send(update).is_err() {
                return;
            }
            if let Some(detail) = self.detail.clone().filter(|_| !failed) {
                let charts = self.charts(&detail).await;
                _ = self.updates.send(Update::Histories { id: detail.id, charts });
            }
        }
    }

    /// Nobody is there to be told when this fails.
    fn quit(&self) {
        _ = self.updates.send(Update::Quit);
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Show(what) => (self.question.what, self.detail) = (what, None),
            Command::All(all) => self.question.all = all,
            Command::Detail(detail) => self.detail = detail,
            Command::At(at) => (self.asked, self.question.at) = (Some(at.clone()), Some(at)),
            Command::Present => (self.asked, self.question.at) = (None, None),
            Command::Mark(mark) => (self.mark, self.detail) = (mark, None),
            Command::Quit => {}
        }
    }

    async fn data(&mut self) -> Result<Data, TopError> {
        let asked = self.asked.clone();
        if asked.is_some() && self.interval_seconds.is_none() {
            // Only the answer about now tells the interval.
            let live: Node = self.agent.get("/api/v1/node").await?;
            self.interval_seconds = live.ticks.map(|ticks| ticks.interval_seconds);
        }
        let node = self.agent.get::<Node>(&self.question.node()).await;
        let node = node.map_err(|error| self.agent.past_unknown(error, asked.is_some()))?;
        if asked.is_some() && node.resolution.is_none() {
            return Err(self.agent.no_past());
        }
        if let Some(ticks) = &node.ticks {
            self.interval_seconds = Some(ticks.interval_seconds);
        }
        if asked.is_some() {
            // Relative to now it would be another moment the next time.
            self.question.at = node.at.as_ref().map(|_| node.read_at.clone());
        }
        let path = self.question.target();
        let rows = match (&self.mark, self.question.what) {
            (Some(mark), _) => {
                let path = self.question.diff(mark, SortBy::Cpu);
                let diff = self.agent.get::<Diff>(&path).await;
                let diff = diff.map_err(|error| self.agent.past_unknown(error, true))?;
                self.mark = Some(diff.from.read_at.clone());
                Rows::Diff(Box::new(diff))
            }
            (None, What::Node) => Rows::None,
            (None, What::Pods) => Rows::Pods(self.agent.get::<PodList>(&path).await?.pods),
            (None, What::Containers) => Rows::Containers(self.agent.get::<ContainerList>(&path).await?.containers),
        };
        if let Some(detail) = &mut self.detail {
            detail.end = node.at.as_ref().and_then(|_| wall(&node)).map(|wall| wall.0 / 1_000_000_000 + 1);
        }
        Ok(Data { node, rows, asked, interval_seconds: self.interval_seconds })
    }

    async fn charts(&self, detail: &Detail) -> Vec<Chart> {
        /// One line of a chart: its name, the metric, how it is folded, and what divides its values.
        type Wanted = (&'static str, &'static str, Function, f64);
        // Microseconds per second are millionths of a core; of a second waited they are 1/10,000 of a percent.
        const CORES: f64 = 1e6;
        const PERCENT: f64 = 1e4;
        let wanted: [(&str, Scale, &[Wanted]); 4] = [
            ("CPU", Scale::Cores, &[("cores", "cpu_usage_usec", Function::Rate, CORES)]),
            (
                "Memory",
                Scale::Bytes,
                &[
                    ("usage", "memory_current_bytes", Function::Max, 1.0),
                    ("anon", "memory_stat_anon_bytes", Function::Max, 1.0),
                ],
            ),
            ("Throttled", Scale::Cores, &[("cores", "cpu_throttled_usec", Function::Rate, CORES)]),
            (
                "Pressure",
                Scale::Percent,
                &[
                    ("cpu", "cpu_pressure_some_total_usec", Function::Rate, PERCENT),
                    ("memory", "memory_pressure_some_total_usec", Function::Rate, PERCENT),
                    ("io", "io_pressure_some_total_usec", Function::Rate, PERCENT),
                ],
            ),
        ];
        let mut charts = Vec::new();
        for (title, scale, lines) in wanted {
            let mut chart = Chart { title, scale, series: Vec::new(), missing: None };
            for (name, metric, function, divisor) in lines {
                match self.history(detail, metric, *function).await {
                    Ok(history) => chart.series.push(Series { name, points: points(&history, *divisor) }),
                    Err(error) => chart.missing = Some(error.to_string()),
                }
            }
            charts.push(chart);
        }
        charts
    }

    async fn history(&self, detail: &Detail, metric: &str, function: Function) -> Result<History, TopError> {
        let step = (detail.minutes * 60).div_ceil(CHART_POINTS).max(1);
        let word = if function == Function::Rate { "rate" } else { "max" };
        // IDs from cgroup paths come percent-encoded already; a second time would change what they mean.
        let id = if detail.id.contains('%') { detail.id.clone() } else { percent_encode(&detail.id) };
        let range = match detail.end {
            None => format!("start=-{}m", detail.minutes),
            Some(end) => format!("start={}&end={end}", end.saturating_sub(detail.minutes * 60)),
        };
        self.agent.get(&format!("/api/v1/containers/{id}/history?metric={metric}&{range}&step={step}s&fn={word}")).await
    }
}

fn points(history: &History, divisor: f64) -> Vec<(f64, f64)> {
    let numbers = history.points.iter().map(|(at, value)| (*at, value.and_then(HistoryValue::number)));
    numbers.filter_map(|(at, value)| Some((at, value? / divisor))).collect()
}

/// Waits for a signal; for one that cannot be waited for, forever.
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::super::tests::{args, serve};
    use super::*;
    use crate::view::api::answer_at;
    use crate::view::api::testing::{NOW, store};

    #[test]
    fn an_answer_that_comes_at_the_second_try_is_still_the_one_that_was_asked_for() {
        let asked = AtomicU32::new(0);
        let address = serve(move |target| {
            let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            let mut answer = answer_at(&store(), path, query, NOW).unwrap();
            if path.ends_with("/containers") && asked.fetch_add(1, Ordering::SeqCst) == 0 {
                answer.status = 500;
            }
            answer
        });
        let args = args("--at oldest");
        let (updates, _receiver) = mpsc::channel();
        let mut asking = Asking::new(&args, Agent::new(&address.to_string()).unwrap(), updates);
        let runtime = runtime().unwrap();
        assert!(runtime.block_on(asking.data()).is_err());
        let data = runtime.block_on(asking.data()).unwrap();
        assert_eq!(data.asked.as_deref(), Some("oldest"));
        assert_eq!(data.node.read_at, "2026-03-01T12:00:00.000Z");
        assert_eq!(data.interval_seconds, Some(1.0));
        assert!(matches!(data.rows, Rows::Containers(containers) if containers.len() == 3));
    }
}
