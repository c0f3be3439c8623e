//! Going through the past: which moment is shown, steps, playing, and the moment that is compared with.
//!
//! In: keys, answers and frames. Out: which moment to ask for next. Pure, as `model`, whose state it is a part of. Every
//! instant is one of the agent's clock, told by its answers: this machine's clock may be another.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::units::UnixNanos;
use crate::view::api::{Node, parse_instant};

use super::model::{Command, Model};

/// How many seconds of the past pass in one second of playing.
const SPEEDS: [u32; 5] = [1, 2, 5, 10, 60];

const SECOND: u64 = 1_000_000_000;

/// Which moment is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Aim {
    /// As it was written on the command line.
    Written(String),
    /// The beginning of history.
    Oldest,
    /// An instant, in the middle between a tick and the next: a tick may come a little early or late.
    Between(u64),
}

impl Aim {
    fn text(&self) -> String {
        match self {
            Self::Written(text) => text.clone(),
            Self::Oldest => "oldest".to_owned(),
            Self::Between(nanos) => {
                format!("{}.{:03}", nanos / SECOND, nanos % SECOND / 1_000_000)
            }
        }
    }
}

/// Where in the past the view is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Past {
    aim: Aim,
    /// Whether the newest question was answered.
    answered: bool,
    pub(super) playing: bool,
    speed: usize,
    /// How long the moment has been shown.
    shown_for: Duration,
}

impl Past {
    /// At a moment that was written on the command line.
    pub(super) fn written(text: &str) -> Self {
        Self::at(Aim::Written(text.to_owned()))
    }

    fn at(aim: Aim) -> Self {
        Self { aim, answered: false, playing: false, speed: 0, shown_for: Duration::ZERO }
    }

    /// Whether another moment was asked for than the one that is shown.
    pub(super) fn awaits(&self) -> bool {
        !self.answered
    }

    /// Seconds of the past per second.
    pub(super) fn speed(&self) -> u32 {
        SPEEDS.get(self.speed).copied().unwrap_or(1)
    }
}

/// The wall clock of the tick that a node's answer shows.
pub(super) fn wall(node: &Node) -> Option<UnixNanos> {
    instant(&node.read_at)
}

/// How far apart the ticks or buckets lie where the answer comes from.
fn step_nanos(node: &Node, interval_nanos: u64) -> u64 {
    match node.resolution.as_deref() {
        Some("10s") => 10 * SECOND,
        Some("1m") => 60 * SECOND,
        _ => interval_nanos,
    }
}

fn instant(text: &str) -> Option<UnixNanos> {
    parse_instant(text, UnixNanos(0))
}

/// What an answer about a moment means for the view.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is to be shown.
    Show,
    /// It answers a question of before.
    Stale,
    /// The newest tick was reached: the view is live again.
    Live,
}

impl Model {
    /// How long ago the moment was that is shown.
    pub(super) fn ago_seconds(&self) -> Option<f64> {
        let node = self.node.as_ref()?;
        let newest = instant(node.store.newest.as_deref()?)?;
        let since = Duration::from_nanos(newest.0.saturating_sub(wall(node)?.0));
        Some((since + self.past.as_ref()?.shown_for).as_secs_f64())
    }

    /// How far one step goes: a tick, or a bucket where the history is coarser.
    fn step_nanos(&self) -> u64 {
        self.node.as_ref().map_or(self.interval_nanos, |node| step_nanos(node, self.interval_nanos))
    }

    /// The agent's interval between ticks, which answers about the past do not tell.
    pub(super) fn learn_interval(&mut self, seconds: f64) {
        let nanos = Duration::try_from_secs_f64(seconds).ok().and_then(|length| u64::try_from(length.as_nanos()).ok());
        self.interval_nanos = nanos.filter(|nanos| *nanos > 0).unwrap_or(SECOND);
    }

    /// Takes in which tick an answer shows. `asked` is the moment that it was asked for.
    pub(super) fn arrive(&mut self, node: &Node, asked: Option<&str>) -> Arrival {
        let half = step_nanos(node, self.interval_nanos) / 2;
        let (Some(past), Some(asked)) = (&mut self.past, asked) else {
            return if self.past.is_some() || asked.is_some() { Arrival::Stale } else { Arrival::Show };
        };
        past.shown_for = Duration::ZERO;
        let newest_question = past.aim.text() == asked;
        past.answered |= newest_question;
        if node.at.is_none() {
            if !newest_question {
                return Arrival::Stale;
            }
            self.past = None;
            self.notice = Some("this is the end of history: live again".to_owned());
            return Arrival::Live;
        }
        if let Some(wall) = wall(node).filter(|_| newest_question && !past.playing) {
            past.aim = Aim::Between(wall.0.saturating_add(half));
        }
        Arrival::Show
    }

    /// The agent says that history begins later than what was asked for.
    pub(super) fn before_history(&mut self) -> Option<Command> {
        let past = self.past.as_ref()?;
        if past.aim == Aim::Oldest {
            return None;
        }
        let command = self.aim(Aim::Oldest);
        self.notice = Some("history begins here".to_owned());
        command
    }

    /// The agent cannot show the past: back to the present.
    pub(super) fn no_past(&mut self, why: String) -> Option<Command> {
        self.past = None;
        self.mark = None;
        self.diff = None;
        self.notice = Some(why);
        Some(Command::Present)
    }

    /// One frame has passed.
    pub(super) fn frame(&mut self, length: Duration) -> Option<Command> {
        let past = self.past.as_mut()?;
        past.shown_for += length;
        let Aim::Between(nanos) = past.aim else { return None };
        if !past.playing || !past.answered {
            return None;
        }
        let played = u64::try_from((length * past.speed()).as_nanos()).unwrap_or(0);
        past.aim = Aim::Between(nanos.saturating_add(played));
        past.answered = false;
        Some(Command::At(past.aim.text()))
    }

    /// Keys that have to do with time; `None` for every other one.
    pub(super) fn time_key(&mut self, key: KeyEvent) -> Option<Option<Command>> {
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        let in_past = self.past.is_some();
        let minute = 60 * SECOND;
        Some(match key.code {
            KeyCode::Left if shift => self.step(false, minute),
            KeyCode::Right if shift => self.step(true, minute),
            KeyCode::Char('{' | 'H') => self.step(false, minute),
            KeyCode::Char('}' | 'L') => self.step(true, minute),
            KeyCode::Left | KeyCode::Char('[' | 'h') => self.step_one(false),
            KeyCode::Right | KeyCode::Char(']' | 'l') => self.step_one(true),
            KeyCode::Home | KeyCode::Char('0') => self.aim(Aim::Oldest),
            KeyCode::End | KeyCode::Char('n') => self.present(),
            KeyCode::Char(' ' | 'p') if in_past => {
                self.play();
                None
            }
            KeyCode::Char('+' | '=') if in_past && self.detail.is_none() => {
                self.change_speed(|speed| speed.saturating_add(1));
                None
            }
            KeyCode::Char('-') if in_past && self.detail.is_none() => {
                self.change_speed(|speed| speed.saturating_sub(1));
                None
            }
            KeyCode::Char('m') => self.mark(),
            KeyCode::Char('d') if self.mark.is_some() => self.unmark(),
            KeyCode::Char('d') => self.mark(),
            KeyCode::Esc if self.mark.is_some() && self.detail.is_none() => self.unmark(),
            _ => return None,
        })
    }

    fn aim(&mut self, aim: Aim) -> Option<Command> {
        let text = aim.text();
        let past = self.past.get_or_insert_with(|| Past::at(aim.clone()));
        past.aim = aim;
        past.answered = false;
        self.paused = false;
        self.notice = None;
        Some(Command::At(text))
    }

    fn step_one(&mut self, forward: bool) -> Option<Command> {
        if let Some(past) = &mut self.past {
            past.playing = false;
        }
        self.step(forward, self.step_nanos())
    }

    fn step(&mut self, forward: bool, nanos: u64) -> Option<Command> {
        let shown = self.node.as_ref().and_then(wall)?;
        let from = match &self.past {
            Some(Past { aim: Aim::Between(nanos), .. }) => *nanos,
            // Not answered yet.
            Some(_) => return None,
            None if forward => {
                self.notice = Some("this is live: there is nothing later; ← goes to the past".to_owned());
                return None;
            }
            None => shown.0.saturating_add(self.step_nanos() / 2),
        };
        if forward {
            return self.aim(Aim::Between(from.saturating_add(nanos)));
        }
        let oldest = self.node.as_ref().and_then(|node| instant(node.store.oldest.as_deref()?)).unwrap_or_default();
        let to = from.saturating_sub(nanos);
        if to >= oldest.0 {
            return self.aim(Aim::Between(to));
        }
        let command = if shown > oldest || self.past.is_none() { self.aim(Aim::Oldest) } else { None };
        self.notice = Some("history begins here".to_owned());
        command
    }

    fn present(&mut self) -> Option<Command> {
        self.past.take().map(|_| Command::Present)
    }

    fn play(&mut self) {
        let half = self.step_nanos() / 2;
        let shown = self.node.as_ref().and_then(wall);
        let Some(past) = &mut self.past else { return };
        past.playing = !past.playing;
        // It stops at the tick that is shown.
        if let Some(shown) = shown.filter(|_| past.answered && !past.playing) {
            past.aim = Aim::Between(shown.0.saturating_add(half));
        }
    }

    fn change_speed(&mut self, other: impl FnOnce(usize) -> usize) {
        if let Some(past) = &mut self.past {
            past.speed = other(past.speed).min(SPEEDS.len() - 1);
        }
    }

    /// Marks the moment that is shown, to compare others with.
    fn mark(&mut self) -> Option<Command> {
        let node = self.node.as_ref()?;
        // An agent that tells no resolution does not know the past.
        if node.resolution.is_none() {
            self.notice = Some("this agent is too old to compare moments; update it".to_owned());
            return None;
        }
        let mark = node.read_at.clone();
        self.diff = None;
        self.detail = None;
        self.mark = Some(mark.clone());
        self.notice = Some("marked: other moments are compared with this one; d ends it".to_owned());
        Some(Command::Mark(Some(mark)))
    }

    fn unmark(&mut self) -> Option<Command> {
        self.mark = None;
        self.diff = None;
        Some(Command::Mark(None))
    }
}
