//! The state of the live view. Pure: data and keys go in, state comes out; no clock, no terminal, no network.

use std::collections::{HashMap, VecDeque};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::view::api::{Container, Diff, Node, Pod};

use super::diff;
use super::line::{Line, SortBy, arranged};
use super::past::{Arrival, Past};
use super::{TopArgs, What};

/// Points of a line's own CPU history: a minute at one per second.
pub(super) const SPARK_POINTS: usize = 60;

/// Points that one cell of a sparkline stands for.
const SPARK_POINTS_PER_CELL: u64 = 4;

/// Lines that PgUp and PgDn move.
const PAGE: usize = 10;

/// The times that a detail view can show, in minutes.
pub(super) const RANGES_MINUTES: [u64; 5] = [5, 15, 60, 180, 720];

/// What the thread that asks the agent has to tell.
#[derive(Debug)]
pub(super) enum Update {
    /// A new answer.
    Data(Box<Data>),
    /// Histories of the container whose details are shown.
    Histories {
        /// Which container.
        id: String,
        /// Its charts, in order.
        charts: Vec<Chart>,
    },
    /// History begins later than what was asked for.
    BeforeHistory,
    /// The agent cannot show the past, and why.
    NoPast(String),
    /// The agent did not answer.
    Failed(String),
    /// The process was asked to end.
    Quit,
}

/// One answer.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) node: Node,
    pub(super) rows: Rows,
    /// The moment that it was asked for; `None` for now.
    pub(super) asked: Option<String>,
    /// The agent's interval between ticks.
    pub(super) interval_seconds: Option<f64>,
}

/// The rows of the table that is shown.
#[derive(Debug, Default)]
pub(super) enum Rows {
    #[default]
    None,
    Pods(Vec<Pod>),
    Containers(Vec<Container>),
    Diff(Box<Diff>),
}

/// One chart of the detail view.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
    pub(super) series: Vec<Series>,
    /// Why there is nothing to draw.
    pub(super) missing: Option<String>,
}

/// How a chart's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Cores,
    Bytes,
    Percent,
}

/// One line of a chart: unix seconds and values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// What the terminal's side asks of the network's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Ask for this from now on, beginning now.
    Show(What),
    /// Ask for every cgroup, or for containers only, beginning now.
    All(bool),
    /// Ask for the histories of this container as well; `None` stops it.
    Detail(Option<Detail>),
    /// Show the node as it was at this moment, beginning now.
    At(String),
    /// Show the newest tick from now on, beginning now.
    Present,
    /// Compare with this moment, beginning now; `None` stops it.
    Mark(Option<String>),
    /// End.
    Quit,
}

/// Which container's histories are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detail {
    pub(super) id: String,
    pub(super) minutes: u64,
    /// Where its charts end, in unix seconds; `None` for now. The network's side knows it.
    pub(super) end: Option<u64>,
}

/// Everything that a frame is drawn from.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) what: What,
    pub(super) sort: SortBy,
    pub(super) reverse: bool,
    pub(super) filter: String,
    /// True when every cgroup is shown.
    pub(super) all: bool,
    /// True while the filter is being typed.
    pub(super) editing: bool,
    pub(super) paused: bool,
    /// Set while the past is shown.
    pub(super) past: Option<Past>,
    /// The moment that others are compared with.
    pub(super) mark: Option<String>,
    pub(super) diff: Option<Diff>,
    /// Something to say until the next key.
    pub(super) notice: Option<String>,
    /// The agent's interval between ticks.
    pub(super) interval_nanos: u64,
    pub(super) help: bool,
    pub(super) node: Option<Node>,
    pub(super) lines: Vec<Line>,
    pub(super) containers: Vec<Container>,
    /// CPU of each line over the last minute, oldest first.
    pub(super) sparks: HashMap<String, VecDeque<Option<f64>>>,
    /// Why the data below is old.
    pub(super) error: Option<String>,
    pub(super) detail: Option<Detail>,
    pub(super) charts: Vec<Chart>,
    /// The line that was chosen; it stays chosen when the order changes.
    chosen: Option<String>,
    /// Where it was, for when it goes away.
    chosen_index: usize,
    /// The newest tick that a sparkline has a point of, by its time.
    spark_tick: String,
    /// How many ticks the sparklines have seen.
    spark_count: u64,
}

impl Model {
    pub(super) fn new(args: &TopArgs) -> Self {
        Self {
            what: args.what,
            sort: args.sort,
            reverse: false,
            filter: args.filter.clone(),
            all: args.all,
            editing: false,
            paused: false,
            past: args.at.as_deref().map(Past::written),
            mark: args.diff.clone(),
            diff: None,
            notice: None,
            interval_nanos: 1_000_000_000,
            help: false,
            node: None,
            lines: Vec::new(),
            containers: Vec::new(),
            sparks: HashMap::new(),
            error: None,
            detail: None,
            charts: Vec::new(),
            chosen: None,
            chosen_index: 0,
            spark_tick: String::new(),
            spark_count: 0,
        }
    }

    /// The lines that are shown, in order.
    pub(super) fn shown(&self) -> Vec<&Line> {
        arranged(&self.lines, &self.filter, self.sort, self.reverse)
    }

    /// Which of the shown lines is chosen.
    pub(super) fn cursor(&self, shown: &[&Line]) -> usize {
        self.position(&shown.iter().map(|line| line.id.as_str()).collect::<Vec<_>>())
    }

    /// Which of these is chosen.
    pub(super) fn position(&self, ids: &[&str]) -> usize {
        let chosen = self.chosen.as_deref().and_then(|chosen| ids.iter().position(|id| *id == chosen));
        chosen.unwrap_or(self.chosen_index).min(ids.len().saturating_sub(1))
    }

    /// What changed, in order.
    pub(super) fn changes(&self) -> Vec<diff::Entry<'_>> {
        self.diff.as_ref().map_or_else(Vec::new, |diff| diff::arranged(diff, &self.filter, self.sort, self.reverse))
    }

    /// What can be chosen, in order.
    fn ids(&self) -> Vec<&str> {
        match self.mark {
            Some(_) => self.changes().into_iter().map(|entry| entry.id).collect(),
            None => self.shown().into_iter().map(|line| line.id.as_str()).collect(),
        }
    }

    /// A line's CPU over the last minute, the highest of each few ticks, oldest first. The cells begin at the same
    /// points in every frame, so that the picture moves and does not flicker.
    pub(super) fn spark(&self, id: &str) -> Vec<Option<f64>> {
        let Some(points) = self.sparks.get(id) else { return Vec::new() };
        let mut cells: VecDeque<(u64, Option<f64>)> = VecDeque::new();
        for (back, point) in (0..).zip(points.iter().rev()) {
            let cell = self.spark_count.saturating_sub(back) / SPARK_POINTS_PER_CELL;
            match cells.front_mut() {
                Some((same, highest)) if *same == cell => {
                    *highest = highest.iter().chain(point).copied().reduce(f64::max)
                }
                _ => cells.push_front((cell, *point)),
            }
        }
        cells.into_iter().map(|(_, highest)| highest).collect()
    }

    /// The container whose details are shown, if the newest answer has it.
    pub(super) fn detailed(&self) -> Option<&Container> {
        let detail = self.detail.as_ref()?;
        self.containers.iter().find(|container| container.id == detail.id)
    }

    /// Takes in what the network's side has to tell. Returns a command when there is something to do.
    pub(super) fn update(&mut self, update: Update) -> Option<Command> {
        match update {
            Update::Quit => return Some(Command::Quit),
            Update::Failed(error) => self.error = Some(error),
            Update::BeforeHistory => return self.before_history(),
            Update::NoPast(why) => return self.no_past(why),
            Update::Data(_) | Update::Histories { .. } if self.paused => {}
            Update::Data(data) => return self.data(*data),
            Update::Histories { id, charts } => {
                if self.detail.as_ref().is_some_and(|detail| detail.id == id) {
                    self.charts = charts;
                }
            }
        }
        None
    }

    fn data(&mut self, data: Data) -> Option<Command> {
        self.error = None;
        if let Some(seconds) = data.interval_seconds {
            self.learn_interval(seconds);
        }
        let was_past = self.past.is_some();
        match self.arrive(&data.node, data.asked.as_deref()) {
            Arrival::Stale => return None,
            Arrival::Live => return Some(Command::Present),
            Arrival::Show => {}
        }
        let tick = data.node.read_at.clone();
        // A picture of the last minute is one of consecutive ticks.
        if was_past || self.node.as_ref().is_some_and(|node| node.at.is_some()) {
            self.sparks.clear();
        }
        let before = std::mem::take(&mut self.lines);
        match data.rows {
            Rows::Pods(pods) if self.what == What::Pods => self.lines = pods.iter().map(Line::of_pod).collect(),
            Rows::Containers(containers) if self.what == What::Containers => {
                self.lines = containers.iter().map(Line::of_container).collect();
                self.containers = containers;
            }
            Rows::Diff(diff) if self.mark.is_some() => {
                self.diff = Some(*diff);
                self.lines.clone_from(&before);
            }
            // An answer to what was shown before.
            _ => self.lines.clone_from(&before),
        }
        let before: HashMap<&str, &Line> = before.iter().map(|line| (line.id.as_str(), line)).collect();
        for line in &mut self.lines {
            match before.get(line.id.as_str()) {
                // In the past another tick may be any other tick.
                Some(before) if tick != self.spark_tick && !was_past => line.hold_network(before),
                Some(_) if tick != self.spark_tick => {}
                Some(before) => {
                    // The same tick again.
                    line.rx_bytes_per_second = before.rx_bytes_per_second;
                    line.tx_bytes_per_second = before.tx_bytes_per_second;
                    line.network_age_ticks = before.network_age_ticks;
                }
                None => {}
            }
        }
        self.node = Some(data.node);
        // Asked more often than the agent ticks, the same tick comes twice.
        if tick != self.spark_tick {
            self.spark_tick = tick;
            self.spark_count += 1;
            self.remember_cpu();
        }
        None
    }

    fn remember_cpu(&mut self) {
        let lines = &self.lines;
        self.sparks.retain(|id, _| lines.iter().any(|line| line.id == *id));
        for line in lines {
            let spark = self.sparks.entry(line.id.clone()).or_default();
            if spark.len() >= SPARK_POINTS {
                spark.pop_front();
            }
            spark.push_back(line.cpu_cores);
        }
    }

    /// Takes in a key. Returns a command when there is something to do.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Command> {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Command::Quit);
        }
        if self.editing {
            self.key_in_filter(key.code);
            return None;
        }
        if self.help {
            self.help = false;
            return None;
        }
        self.notice = None;
        if let Some(command) = self.time_key(key) {
            return command;
        }
        match key.code {
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Tab => return Some(self.show(next(self.what))),
            KeyCode::BackTab => return Some(self.show(next(next(self.what)))),
            code if self.detail.is_some() => return self.key_in_detail(code),
            KeyCode::Char('q') => return Some(Command::Quit),
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('/') => self.editing = true,
            KeyCode::Char('s' | '>') => self.sort = self.sort.step(true),
            KeyCode::Char('<') => self.sort = self.sort.step(false),
            KeyCode::Char('a') if self.what == What::Containers => {
                self.all = !self.all;
                return Some(Command::All(self.all));
            }
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Down | KeyCode::Char('j') => self.choose(|index| index.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.choose(|index| index.saturating_sub(1)),
            KeyCode::PageDown => self.choose(|index| index.saturating_add(PAGE)),
            KeyCode::PageUp => self.choose(|index| index.saturating_sub(PAGE)),
            KeyCode::Char('g') => self.choose(|_| 0),
            KeyCode::Char('G') => self.choose(|_| usize::MAX),
            KeyCode::Enter => return self.enter(),
            _ => {}
        }
        None
    }

    fn key_in_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.editing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.editing = false;
            }
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Char(character) => self.filter.push(character),
            _ => {}
        }
    }

    fn key_in_detail(&mut self, code: KeyCode) -> Option<Command> {
        match code {
            KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Char('q') => {
                self.detail = None;
                self.charts.clear();
                Some(Command::Detail(None))
            }
            KeyCode::Char('+' | '=') => {
                self.change_range(|current| RANGES_MINUTES.into_iter().find(|minutes| *minutes > current))
            }
            KeyCode::Char('-') => {
                self.change_range(|current| RANGES_MINUTES.into_iter().rev().find(|minutes| *minutes < current))
            }
            _ => None,
        }
    }

    fn change_range(&mut self, other: impl FnOnce(u64) -> Option<u64>) -> Option<Command> {
        let detail = self.detail.as_mut()?;
        detail.minutes = other(detail.minutes)?;
        Some(Command::Detail(Some(detail.clone())))
    }

    /// A container's details; from a pod to its containers.
    fn enter(&mut self) -> Option<Command> {
        if self.mark.is_some() {
            return None;
        }
        let shown = self.shown();
        let line = (*shown.get(self.cursor(&shown))?).clone();
        match self.what {
            What::Node => None,
            What::Pods => {
                self.filter = format!("{}/", line.label());
                Some(self.show(What::Containers))
            }
            What::Containers => {
                self.chosen = Some(line.id.clone());
                let detail = Detail { id: line.id, minutes: 15, end: None };
                self.detail = Some(detail.clone());
                self.charts.clear();
                Some(Command::Detail(Some(detail)))
            }
        }
    }

    fn show(&mut self, what: What) -> Command {
        self.what = what;
        self.detail = None;
        self.charts.clear();
        self.lines.clear();
        self.containers.clear();
        self.chosen = None;
        self.chosen_index = 0;
        Command::Show(what)
    }

    fn choose(&mut self, step: impl FnOnce(usize) -> usize) {
        let ids = self.ids();
        let index = step(self.position(&ids)).min(ids.len().saturating_sub(1));
        let chosen = ids.get(index).map(|id| (*id).to_owned());
        self.chosen_index = index;
        self.chosen = chosen;
    }
}

fn next(what: What) -> What {
    match what {
        What::Node => What::Pods,
        What::Pods => What::Containers,
        What::Containers => What::Node,
    }
}
