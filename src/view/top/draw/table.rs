//! The table of containers or pods.
//!
//! In: the model's lines. Out: as many columns as the width holds, the most asked-for first; their order on the screen
//! stays the same. It scrolls by pages, so that a frame depends on nothing but the model.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::Text;
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::super::What;
use super::super::format::{self, or_absent};
use super::super::line::{Line, SortBy};
use super::super::model::Model;
use super::theme::{Level, Theme};

/// What a cell says, and how bad it is.
type Content = (String, Level);

/// One column.
struct Column {
    title: &'static str,
    width: u16,
    /// The lower, the longer it stays when the terminal gets narrow.
    rank: u8,
    /// Sorting by this marks its title.
    sort: Option<SortBy>,
    cell: fn(&Line, &Model) -> Content,
}

/// Least width of the name.
const NAME_WIDTH: u16 = 32;
const SPARK_WIDTH: usize = 15;
const BAR_WIDTH: usize = 8;

fn fine(text: String) -> Content {
    (text, Level::Fine)
}

fn share(ratio: Option<f64>) -> Content {
    (or_absent(ratio, format::percent), Level::of_ratio(ratio))
}

fn rate(bytes_per_second: Option<f64>) -> Content {
    fine(or_absent(bytes_per_second, format::bytes))
}

fn stall(percent: Option<f64>) -> Content {
    (or_absent(percent, format::pressure), Level::of_pressure(percent))
}

fn count(count: Option<u64>) -> Content {
    (or_absent(count, |count| count.to_string()), Level::of_count(count))
}

/// Every column after the name, in the order of the screen.
const COLUMNS: &[Column] = &[
    Column {
        title: "CPU",
        width: 5,
        rank: 0,
        sort: Some(SortBy::Cpu),
        cell: |line, _| fine(or_absent(line.cpu_cores, format::cores)),
    },
    Column { title: "CPU%", width: 5, rank: 1, sort: None, cell: |line, _| share(line.cpu_ratio()) },
    Column {
        title: "CPU TREND",
        width: 15,
        rank: 10,
        sort: None,
        cell: |line, model| fine(format::sparkline(&model.spark(&line.id), SPARK_WIDTH)),
    },
    Column {
        title: "THR",
        width: 4,
        rank: 4,
        sort: Some(SortBy::Throttled),
        cell: |line, _| (or_absent(line.throttled_ratio, format::percent), Level::of_throttling(line.throttled_ratio)),
    },
    Column {
        title: "MEM",
        width: 5,
        rank: 0,
        sort: Some(SortBy::Memory),
        cell: |line, _| fine(or_absent(line.memory_bytes, format::whole_bytes)),
    },
    Column {
        title: "LIMIT",
        width: 5,
        rank: 9,
        sort: None,
        cell: |line, _| fine(or_absent(line.memory_limit_bytes, format::whole_bytes)),
    },
    Column { title: "MEM%", width: 4, rank: 1, sort: None, cell: |line, _| share(line.memory_ratio()) },
    Column {
        title: "OF LIMIT",
        width: 8,
        rank: 11,
        sort: None,
        cell: |line, _| {
            let ratio = line.memory_ratio();
            (ratio.map_or_else(String::new, |ratio| format::bar(ratio, BAR_WIDTH)), Level::of_ratio(ratio))
        },
    },
    Column {
        title: "R/s",
        width: 5,
        rank: 5,
        sort: Some(SortBy::Io),
        cell: |line, _| rate(line.read_bytes_per_second),
    },
    Column {
        title: "W/s",
        width: 5,
        rank: 5,
        sort: Some(SortBy::Io),
        cell: |line, _| rate(line.written_bytes_per_second),
    },
    Column {
        title: "RX/s",
        width: 5,
        rank: 3,
        sort: Some(SortBy::Net),
        cell: |line, _| rate(line.rx_bytes_per_second),
    },
    Column {
        title: "TX/s",
        width: 5,
        rank: 3,
        sort: Some(SortBy::Net),
        cell: |line, _| rate(line.tx_bytes_per_second),
    },
    Column {
        title: "PC",
        width: 4,
        rank: 6,
        sort: Some(SortBy::Pressure),
        cell: |line, _| stall(line.pressure_percent[0]),
    },
    Column {
        title: "PM",
        width: 4,
        rank: 6,
        sort: Some(SortBy::Pressure),
        cell: |line, _| stall(line.pressure_percent[1]),
    },
    Column {
        title: "PI",
        width: 4,
        rank: 6,
        sort: Some(SortBy::Pressure),
        cell: |line, _| stall(line.pressure_percent[2]),
    },
    Column {
        title: "PIDS",
        width: 5,
        rank: 8,
        sort: None,
        cell: |line, _| fine(or_absent(line.pids, |pids| pids.to_string())),
    },
    Column { title: "RST", width: 4, rank: 7, sort: None, cell: |line, _| count(line.restarts) },
    Column { title: "OOM", width: 4, rank: 7, sort: None, cell: |line, _| count(line.oom_kills) },
];

/// The columns that fit, in the order of the screen. Columns of one rank come and go together.
fn fitting(width: u16) -> Vec<&'static Column> {
    let needed =
        |rank: u8| -> u16 { COLUMNS.iter().filter(|column| column.rank == rank).map(|column| column.width + 1).sum() };
    let mut ranks: Vec<u8> = COLUMNS.iter().map(|column| column.rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let mut left = width.saturating_sub(NAME_WIDTH);
    let mut shown = Vec::new();
    for rank in ranks {
        if let Some(rest) = left.checked_sub(needed(rank)) {
            left = rest;
            shown.push(rank);
        }
    }
    COLUMNS.iter().filter(|column| shown.contains(&column.rank)).collect()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let shown = model.shown();
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let cursor = model.cursor(&shown);
    let first = cursor / height * height;
    let columns = fitting(area.width);
    let used: u16 = columns.iter().map(|column| column.width + 1).sum();
    let name_width = usize::from(area.width.saturating_sub(used));
    let page = shown.iter().enumerate().skip(first).take(height);
    let rows = page.map(|(index, line)| {
        let style = match (index == cursor, line.alive) {
            (true, _) => theme.selected(),
            (false, true) => theme.plain(),
            (false, false) => theme.dim(),
        };
        row(line, model, &columns, name_width, theme).style(style)
    });
    let name = if model.what == What::Pods { "NAMESPACE/POD" } else { "NAMESPACE/POD/NAME" };
    let heading = columns.iter().map(|column| {
        let sorted = column.sort == Some(model.sort);
        let style = if sorted { theme.heading().patch(theme.selected()) } else { theme.heading() };
        right(column.title.to_owned(), style)
    });
    let heading = Row::new(std::iter::once(Cell::new(name).style(theme.heading())).chain(heading));
    let widths = std::iter::once(Constraint::Min(NAME_WIDTH.saturating_sub(1)))
        .chain(columns.iter().map(|column| Constraint::Length(column.width)));
    frame.render_widget(Table::new(rows, widths).header(heading).column_spacing(1), area);
    if shown.is_empty() {
        let below = Rect { y: area.y.saturating_add(1), height: area.height.saturating_sub(1), ..area };
        frame.render_widget(Paragraph::new(why_empty(model)).style(theme.dim()), below);
    }
}

fn why_empty(model: &Model) -> &'static str {
    let then = model.past.is_some();
    match (&model.node, model.lines.is_empty(), model.what) {
        (None, ..) => " waiting for the agent …",
        (_, false, _) => " nothing has this in its name; esc clears the filter",
        (_, true, What::Pods) if then => " there were no pods on this node",
        (_, true, _) if then => " there were no containers on this node; a shows every cgroup",
        (_, true, What::Pods) => " there are no pods on this node",
        (_, true, _) => " there are no containers on this node; a shows every cgroup",
    }
}

fn row<'a>(line: &Line, model: &Model, columns: &[&Column], name_width: usize, theme: &Theme) -> Row<'a> {
    let cells = columns.iter().map(|column| {
        let (text, level) = (column.cell)(line, model);
        let style = if column.title == "OF LIMIT" { theme.bar(level) } else { theme.at(level) };
        right(text, style)
    });
    Row::new(std::iter::once(Cell::new(format::elided(&line.label(), name_width).into_owned())).chain(cells))
}

fn right<'a>(text: String, style: Style) -> Cell<'a> {
    Cell::new(Text::from(text).alignment(Alignment::Right)).style(style)
}
