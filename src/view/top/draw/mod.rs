//! From state to frame.
//!
//! In: a [`Model`]. Out: cells of a terminal of any size. Layout from the top: the node's bar, the tabs, what the tab
//! shows, one line of keys or the error. While the agent is away the last data stays, greyed.

mod detail;
mod diff;
mod node;
mod table;
mod theme;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use crate::view::api::Node;

use super::What;
use super::format::{clean, duration, or_absent};
use super::model::Model;
use super::past::Past;

pub(super) use theme::Theme;

const KEYS: &str = " q quit  ↑↓ move  ⏎ details  s sort  / filter  ⇥ tab  ← past  m compare  ? help";
const KEYS_IN_PAST: &str = " ←→ step  { } minute  space play  + - speed  0 oldest  n live  m compare  ? help";
const KEYS_IN_DIFF: &str = " d end  ←→ step  { } minute  m mark anew  s sort  r reverse  / filter  ? help";
const KEYS_IN_DETAIL: &str = " esc back  + longer  - shorter  ← → step through time  ? help";

const HELP: &str = " ↑ ↓ j k  PgUp PgDn  g G   choose a line
 enter                     details of a container; containers of a pod
 tab, shift-tab            containers, node, pods
 s  >  <                   sort by the next or previous column
 r                         reverse the order
 /                         filter by name; enter keeps it, esc clears it
 a                         every cgroup, or containers only
 p, space                  pause; in the past play and stop
 + -                       longer or shorter history; speed of playing
 ← → h l [ ]               into the past and back, tick by tick
 { } H L, shift-← shift-→  the same, minute by minute
 0, home    n, end         the oldest moment; live again
 m, d                      compare with this moment; d ends it
 q, esc, ctrl-c            leave

 CPU is in cores, CPU% of the quota, MEM the working set, MEM% of the
 limit; without a quota or limit there is no percentage. THR is the share
 of periods in which it was throttled. R W RX TX are bytes per second; the
 containers of one pod share one network. PC PM PI: percent of the last
 10 s in which a task waited for CPU, memory, io. -  is not known.";

/// Draws everything.
pub(super) fn frame(frame: &mut Frame<'_>, model: &Model, theme: &Theme) {
    let [title, bars, tabs, body, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title_line(model, theme), title);
    node::bars(frame, bars, model, theme);
    frame.render_widget(tab_line(model, theme), tabs);
    match (model.what, &model.detail) {
        _ if model.mark.is_some() => diff::draw(frame, body, model, theme),
        (What::Containers, Some(detail)) => detail::draw(frame, body, model, detail, theme),
        (What::Node, _) => node::draw(frame, body, model, theme),
        _ => table::draw(frame, body, model, theme),
    }
    if model.error.is_some() {
        let area = Rect { height: frame.area().height.saturating_sub(1), ..frame.area() };
        frame.buffer_mut().set_style(area, theme.stale());
    }
    frame.render_widget(footer_line(model, theme), footer);
    if model.help {
        help(frame, theme);
    }
}

fn title_line<'a>(model: &Model, theme: &Theme) -> Line<'a> {
    let Some(node) = &model.node else {
        return Line::from(vec![Span::styled(" ringside ", theme.title()), Span::raw(" waiting for the agent …")]);
    };
    if let Some(past) = &model.past {
        return past_line(model, node, past, theme);
    }
    let ticks = node.ticks.clone().unwrap_or_default();
    let late = ticks.missed > 0;
    let mut spans = vec![
        Span::styled(" ringside ", theme.title()),
        Span::styled(format!(" {}", clean(&node.name)), theme.strong()),
        Span::raw(format!("  up {}", or_absent(node.uptime_seconds, duration))),
        Span::raw(format!(
            "  tick {} every {} in {}",
            ticks.tick,
            duration(ticks.interval_seconds),
            duration(ticks.duration_seconds)
        )),
        Span::styled(format!("  missed {}", ticks.missed), if late { theme.warn() } else { theme.plain() }),
    ];
    if let Some(kernel) = &node.machine.kernel_version {
        spans.push(Span::styled(format!("  Linux {}", clean(kernel)), theme.dim()));
    }
    Line::from(spans)
}

/// The bar of the past: which moment is shown, and whether it goes on.
fn past_line<'a>(model: &Model, node: &Node, past: &Past, theme: &Theme) -> Line<'a> {
    let mut spans = vec![Span::styled(" ringside ", theme.title())];
    if node.at.is_none() {
        // The first answer about the past has not come yet.
        spans.push(Span::styled(" going to the past …", theme.warn()));
        return Line::from(spans);
    }
    let ago = or_absent(model.ago_seconds(), duration);
    let resolution = or_absent(node.resolution.as_deref(), |word| clean(word).into_owned());
    let text = format!(" PAST {} ({ago} ago, {resolution} resolution) ", whole_seconds(&node.read_at));
    spans.push(Span::styled(text, theme.past()));
    spans.push(match past.playing {
        true => Span::styled(format!(" ▶ {}x", past.speed()), theme.strong()),
        false if past.speed() > 1 => Span::raw(format!(" stopped, {}x", past.speed())),
        false => Span::raw(" stopped"),
    });
    // While it is played there is hardly a time without a question.
    if past.awaits() && !past.playing {
        spans.push(Span::styled(" …", theme.warn()));
    }
    spans.push(Span::styled(format!("  {}", clean(&node.name)), theme.strong()));
    spans.push(Span::raw(format!("  up {}", or_absent(node.uptime_seconds, duration))));
    Line::from(spans)
}

/// An instant of the API without its milliseconds.
fn whole_seconds(instant: &str) -> String {
    match instant.split_once('.') {
        Some((seconds, _)) => format!("{}Z", clean(seconds)),
        None => clean(instant).into_owned(),
    }
}

fn tab_line<'a>(model: &Model, theme: &Theme) -> Line<'a> {
    let tab = |what: What, word: &str| {
        let style = if model.what == what { theme.selected() } else { theme.plain() };
        Span::styled(format!(" {word} "), style)
    };
    let mut spans = vec![tab(What::Containers, "containers"), tab(What::Node, "node"), tab(What::Pods, "pods")];
    if model.mark.is_some() {
        let from = model.diff.as_ref().map_or("…", |diff| diff.from.read_at.as_str());
        let arrow = if model.reverse { "▲" } else { "▼" };
        spans.push(Span::styled(format!("  since {}", whole_seconds(from)), theme.strong()));
        spans.push(Span::raw(format!("  by change of {}{arrow}", model.sort.word())));
    } else if model.what != What::Node && model.detail.is_none() {
        let shown = model.shown().len();
        let all = model.lines.len();
        let count = if shown == all { format!("  {all}") } else { format!("  {shown} of {all}") };
        let arrow = if model.reverse { "▲" } else { "▼" };
        spans.push(Span::raw(format!("{count}  by {}{arrow}", model.sort.word())));
    }
    if let Some(detail) = &model.detail {
        spans.push(Span::raw(format!(
            "  the last {}{}",
            duration(detail.minutes as f64 * 60.0),
            if model.past.is_some() { " before it" } else { "" }
        )));
    }
    if model.editing || !model.filter.is_empty() {
        spans.push(Span::styled(format!("  /{}", clean(&model.filter)), theme.strong()));
    }
    if model.editing {
        spans.push(Span::styled("_", theme.strong().add_modifier(Modifier::SLOW_BLINK)));
    }
    if model.all && model.what == What::Containers {
        spans.push(Span::raw("  all cgroups"));
    }
    if model.paused {
        spans.push(Span::styled("  PAUSED", theme.warn()));
    }
    Line::from(spans)
}

fn footer_line<'a>(model: &Model, theme: &Theme) -> Line<'a> {
    match &model.error {
        Some(error) => Line::styled(format!(" {} (trying again)", clean(error)), theme.alarm()),
        None if model.notice.is_some() && !model.editing => {
            Line::styled(format!(" {}", model.notice.as_deref().map(clean).unwrap_or_default()), theme.warn())
        }
        None if model.editing => Line::styled(" type a part of a name; enter keeps it, esc clears it", theme.dim()),
        None if model.detail.is_some() => Line::styled(KEYS_IN_DETAIL, theme.dim()),
        None if model.mark.is_some() => Line::styled(KEYS_IN_DIFF, theme.dim()),
        None if model.past.is_some() => Line::styled(KEYS_IN_PAST, theme.dim()),
        None => Line::styled(KEYS, theme.dim()),
    }
}

fn help(frame: &mut Frame<'_>, theme: &Theme) {
    let area = frame.area();
    let height = u16::try_from(HELP.lines().count() + 2).unwrap_or(u16::MAX).min(area.height);
    let area = area.centered(Constraint::Max(76), Constraint::Length(height));
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" keys ").border_style(theme.dim());
    frame.render_widget(Paragraph::new(HELP).block(block), area);
}
