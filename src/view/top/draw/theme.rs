//! Colours, and what stands for them under `NO_COLOR`: bold, dim, reversed and underlined.

use ratatui::style::{Color, Modifier, Style};

/// How far a value is from its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Fine,
    Warn,
    Alarm,
}

impl Level {
    /// By two thresholds; what is not known is fine.
    pub(super) fn of(value: Option<f64>, warn: f64, alarm: f64) -> Self {
        match value {
            Some(value) if value >= alarm => Self::Alarm,
            Some(value) if value >= warn => Self::Warn,
            _ => Self::Fine,
        }
    }

    /// Of a share of a limit.
    pub(super) fn of_ratio(ratio: Option<f64>) -> Self {
        Self::of(ratio, 0.7, 0.9)
    }

    /// Of a share of throttled periods.
    pub(super) fn of_throttling(ratio: Option<f64>) -> Self {
        Self::of(ratio, 0.05, 0.25)
    }

    /// Of a percentage of a pressure file.
    pub(super) fn of_pressure(percent: Option<f64>) -> Self {
        Self::of(percent, 5.0, 20.0)
    }

    /// Of a count that should stay 0.
    pub(super) fn of_count(count: Option<u64>) -> Self {
        if count.is_some_and(|count| count > 0) { Self::Warn } else { Self::Fine }
    }
}

/// The styles of a frame.
#[derive(Debug, Clone, Copy)]
pub(in crate::view::top) struct Theme {
    coloured: bool,
}

impl Theme {
    pub(in crate::view::top) fn new(coloured: bool) -> Self {
        Self { coloured }
    }

    fn colour(self, colour: Color, otherwise: Modifier) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new().add_modifier(otherwise) }
    }

    pub(super) fn plain(self) -> Style {
        Style::new()
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(self) -> Style {
        self.colour(Color::DarkGray, Modifier::DIM)
    }

    pub(super) fn title(self) -> Style {
        self.colour(Color::Cyan, Modifier::BOLD).add_modifier(Modifier::REVERSED)
    }

    /// The bar of the past; nobody shall take it for now.
    pub(super) fn past(self) -> Style {
        self.colour(Color::Yellow, Modifier::BOLD).add_modifier(Modifier::REVERSED)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn heading(self) -> Style {
        self.colour(Color::Cyan, Modifier::BOLD)
    }

    pub(super) fn warn(self) -> Style {
        self.colour(Color::Yellow, Modifier::BOLD)
    }

    pub(super) fn alarm(self) -> Style {
        self.colour(Color::Red, Modifier::BOLD | Modifier::UNDERLINED)
    }

    /// A bar that is not full.
    pub(super) fn good(self) -> Style {
        self.colour(Color::Green, Modifier::empty())
    }

    /// Laid over everything while the agent is away.
    pub(super) fn stale(self) -> Style {
        self.colour(Color::DarkGray, Modifier::DIM)
    }

    /// The style of a number at this level.
    pub(super) fn at(self, level: Level) -> Style {
        match level {
            Level::Fine => self.plain(),
            Level::Warn => self.warn(),
            Level::Alarm => self.alarm(),
        }
    }

    /// The style of a bar at this level.
    pub(super) fn bar(self, level: Level) -> Style {
        match level {
            Level::Fine => self.good(),
            other => self.at(other),
        }
    }

    /// The style of the n-th line of a chart.
    pub(super) fn series(self, index: usize) -> Style {
        let colours = [Color::Green, Color::Yellow, Color::Magenta];
        match colours.get(index) {
            Some(colour) => self.colour(*colour, Modifier::empty()),
            None => self.plain(),
        }
    }
}
