//! One container: who it is, and its history as charts.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart as Plot, Dataset, GraphType, Paragraph, Wrap};

use crate::view::api::Container;

use super::super::format::{self, clean, or_absent, whole_bytes};
use super::super::line;
use super::super::model::{Chart, Detail, Model, Scale};
use super::theme::Theme;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, detail: &Detail, theme: &Theme) {
    let Some(container) = model.detailed() else {
        frame.render_widget(Paragraph::new(" it is gone; esc goes back").style(theme.dim()), area);
        return;
    };
    let facts = facts(container, theme);
    let height = u16::try_from(facts.len()).unwrap_or(u16::MAX);
    let [facts_area, charts_area] = Layout::vertical([Constraint::Max(height), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(facts), facts_area);
    let [top, bottom] = Layout::vertical([Constraint::Fill(1); 2]).areas(charts_area);
    let [first, second] = Layout::horizontal([Constraint::Fill(1); 2]).areas(top);
    let [third, fourth] = Layout::horizontal([Constraint::Fill(1); 2]).areas(bottom);
    if model.charts.is_empty() {
        frame.render_widget(Paragraph::new(" asking for its history …").style(theme.dim()), charts_area);
    }
    let end = if model.past.is_some() { "then" } else { "now" };
    for (chart, area) in model.charts.iter().zip([first, second, third, fourth]) {
        draw_chart(frame, area, chart, detail.minutes, end, theme);
    }
}

fn facts<'a>(container: &Container, theme: &Theme) -> Vec<Line<'a>> {
    let shown = line::Line::of_container(container);
    let text = |text: &Option<String>| or_absent(text.as_deref(), |text| clean(text).into_owned());
    let number = |number: Option<u64>| or_absent(number, |number| number.to_string());
    let limit = |limit: Option<String>, unlimited: Option<bool>| match (limit, unlimited) {
        (Some(limit), _) => limit,
        (None, Some(true)) => "unlimited".to_owned(),
        _ => format::ABSENT.to_owned(),
    };
    let named =
        |name: &'static str, text: String| Line::from(vec![Span::styled(name, theme.strong()), Span::raw(text)]);
    let memory = &container.memory;
    let bytes = |bytes: Option<u64>| or_absent(bytes, whole_bytes);
    let exits = container.exits.iter().map(|exit| format!("  {}× {} ({})", exit.count, clean(&exit.reason), exit.code));
    vec![
        Line::styled(format!(" {}", shown.label()), theme.strong()),
        named(" image   ", text(&container.image)),
        named(" id      ", format!("{} {}", text(&container.runtime), text(&container.container_id))),
        named(" cgroup  ", clean(&container.cgroup).into_owned()),
        named(
            " started ",
            format!(
                "{}  restarts {}  OOM kills {}{}",
                text(&container.started_at),
                number(container.restarts),
                number(container.oom_kills),
                exits.collect::<String>()
            ),
        ),
        named(
            " cpu     ",
            format!(
                "{} cores  quota {}  throttled {}  pids {}",
                or_absent(container.cpu.usage_cores, format::cores),
                limit(container.cpu.quota_cores.map(format::cores), container.cpu.unlimited),
                or_absent(container.cpu.throttled_ratio, format::percent),
                number(container.pids.current),
            ),
        ),
        named(
            " memory  ",
            format!(
                "working set {}  limit {}  peak {}  anon {}  file {}  shmem {}  swap {}",
                bytes(memory.working_set_bytes),
                limit(memory.limit_bytes.map(whole_bytes), memory.unlimited),
                bytes(memory.peak_bytes),
                bytes(memory.anon_bytes),
                bytes(memory.file_bytes),
                bytes(memory.shmem_bytes),
                bytes(memory.swap_bytes),
            ),
        ),
    ]
}

fn draw_chart(frame: &mut Frame<'_>, area: Rect, chart: &Chart, minutes: u64, end: &str, theme: &Theme) {
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let names: Vec<_> = match chart.series.as_slice() {
        [_] => Vec::new(),
        several => several
            .iter()
            .enumerate()
            .map(|(index, series)| Span::styled(format!("{} ", series.name), theme.series(index)))
            .collect(),
    };
    let mut title = vec![Span::styled(format!(" {} ", chart.title), theme.heading())];
    title.extend(names);
    let block = Block::bordered().title(Line::from(title)).border_style(theme.dim());
    if points().next().is_none() {
        let why = chart.missing.as_deref().unwrap_or("nothing was read in this time");
        let text = Paragraph::new(clean(why).into_owned()).style(theme.dim()).wrap(Wrap { trim: true });
        frame.render_widget(text.block(block), area);
        return;
    }
    let newest = points().fold(0.0_f64, |newest, (at, _)| newest.max(*at));
    let highest = points().fold(0.0_f64, |highest, (_, value)| highest.max(*value));
    let top = if highest > 0.0 { highest * 1.1 } else { 1.0 };
    let datasets = chart.series.iter().enumerate().map(|(index, series)| {
        Dataset::default()
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(theme.series(index))
            .data(&series.points)
    });
    let label = |value: f64| match chart.scale {
        Scale::Cores => format::cores(value),
        Scale::Bytes => format::bytes(value),
        Scale::Percent => format!("{}%", format::pressure(value)),
    };
    // An agent that was started a minute ago has one minute to show, and that may fill the chart.
    let oldest = points().fold(newest - 1.0, |oldest, (at, _)| oldest.min(*at));
    let first = oldest.max(newest - minutes as f64 * 60.0);
    let time = Axis::default().bounds([first, newest]).style(theme.dim());
    // In a low chart the labels of the time would take the line that the curve needs; the tabs' line says it, too.
    let time = match area.height {
        ..7 => time,
        _ => time.labels([format!("-{}", format::duration(newest - first)), end.to_owned()]),
    };
    let value = Axis::default().bounds([0.0, top]).labels([label(0.0), label(top)]).style(theme.dim());
    frame.render_widget(Plot::new(datasets.collect()).block(block).x_axis(time).y_axis(value), area);
}
