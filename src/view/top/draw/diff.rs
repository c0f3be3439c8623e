//! The table of what changed: for each number now, then and the change, as many numbers as the width holds.
//!
//! In: the model's changes. Out: cells. The number that is sorted by is always there.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::Text;
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use crate::view::api::{Change, Fate};

use super::super::diff::{COLUMNS, Column, Entry, signed};
use super::super::format::{self, or_absent};
use super::super::model::Model;
use super::theme::Theme;

/// Least width of the name with its sign.
const NAME_WIDTH: u16 = 30;
const CELL_WIDTH: u16 = 6;

/// The numbers that fit, in the order of the screen.
fn fitting(width: u16, model: &Model) -> Vec<&'static Column> {
    let fits = usize::from(width.saturating_sub(NAME_WIDTH) / (3 * (CELL_WIDTH + 1))).max(1);
    let sorted = |column: &&Column| column.sort == Some(model.sort);
    let mut shown: Vec<&Column> = COLUMNS.iter().filter(sorted).collect();
    shown.extend(COLUMNS.iter().filter(|column| !sorted(column)).take(fits.saturating_sub(shown.len())));
    COLUMNS.iter().filter(|column| shown.iter().any(|other| other.title == column.title)).collect()
}

/// What became of it, as a sign before its name.
fn sign(fate: Option<Fate>) -> char {
    match fate {
        Some(Fate::Came) => '+',
        Some(Fate::Went) => '-',
        Some(Fate::Replaced) => '~',
        Some(Fate::Stayed) | None => ' ',
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    if model.diff.is_none() {
        frame.render_widget(Paragraph::new(" comparing …").style(theme.dim()), area);
        return;
    }
    let entries = model.changes();
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let ids: Vec<&str> = entries.iter().map(|entry| entry.id).collect();
    let cursor = model.position(&ids);
    let first = cursor / height * height;
    let columns = fitting(area.width, model);
    let used = (CELL_WIDTH + 1).saturating_mul(3).saturating_mul(u16::try_from(columns.len()).unwrap_or(u16::MAX));
    let name_width = usize::from(area.width.saturating_sub(used));
    let page = entries.iter().enumerate().skip(first).take(height);
    let rows = page.map(|(index, entry)| {
        let style = match (index == cursor, entry.fate) {
            (true, _) => theme.selected(),
            (false, None) => theme.strong(),
            (false, Some(Fate::Went)) => theme.dim(),
            (false, _) => theme.plain(),
        };
        row(entry, &columns, name_width, theme).style(style)
    });
    let heading = columns.iter().flat_map(|column| {
        let sorted = column.sort == Some(model.sort);
        let style = if sorted { theme.heading().patch(theme.selected()) } else { theme.heading() };
        let of = |title: &str, style| right(title.to_owned(), style);
        [of(column.title, style), of("then", theme.heading()), of("change", theme.heading())]
    });
    let name = Cell::new("+ came  - went  ~ replaced").style(theme.heading());
    let widths = std::iter::once(Constraint::Min(NAME_WIDTH.saturating_sub(1)))
        .chain(columns.iter().flat_map(|_| [Constraint::Length(CELL_WIDTH); 3]));
    let table = Table::new(rows, widths).header(Row::new(std::iter::once(name).chain(heading))).column_spacing(1);
    frame.render_widget(table, area);
}

fn row<'a>(entry: &Entry<'_>, columns: &[&Column], name_width: usize, theme: &Theme) -> Row<'a> {
    let cells = columns.iter().flat_map(|column| {
        let Change { from, to, change } = (column.pick)(entry.usage);
        let text = signed(change, column.show);
        let style = match text.as_bytes().first() {
            Some(b'+') => theme.warn(),
            Some(b'-') if change.is_some() => theme.good(),
            _ => theme.plain(),
        };
        [
            right(or_absent(to, column.show), theme.plain()),
            right(or_absent(from, column.show), theme.dim()),
            right(text, style),
        ]
    });
    let label = format!("{} {}", sign(entry.fate), entry.label());
    Row::new(std::iter::once(Cell::new(format::elided(&label, name_width).into_owned())).chain(cells))
}

fn right<'a>(text: String, style: Style) -> Cell<'a> {
    Cell::new(Text::from(text).alignment(Alignment::Right)).style(style)
}
