//! The node: its bar above every tab, and its own tab.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use crate::view::api::{CpuModes, Node, NodeMemory, StallLine};

use super::super::format::{self, bar, bytes, clean, or_absent, percent, whole_bytes};
use super::super::model::Model;
use super::theme::{Level, Theme};

/// Three lines: CPU, memory, and load with pressure and traffic.
pub(super) fn bars(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let Some(node) = &model.node else { return };
    let width = usize::from(area.width / 4).clamp(8, 40);
    let cpu = &node.cpu;
    let cpu_text = format!(
        " {:>4} {} of {} cores",
        or_absent(cpu.usage_ratio, percent),
        or_absent(cpu.usage_cores, format::cores),
        node.machine.cpu_cores
    );
    let memory = &node.memory;
    let memory_text = format!(
        " {:>4} {} of {}  swap {} of {}",
        or_absent(memory.used_ratio, percent),
        or_absent(memory.used_bytes, whole_bytes),
        or_absent(memory.total_bytes, whole_bytes),
        or_absent(memory.swap_used_bytes, whole_bytes),
        or_absent(memory.swap_total_bytes, whole_bytes),
    );
    let mut of_modes = vec![Span::raw("  ")];
    of_modes.extend(modes(&cpu.modes, 3).into_iter().map(|text| Span::styled(text, theme.dim())));
    let lines = vec![
        gauge(" CPU ", cpu.usage_ratio, width, cpu_text, theme, of_modes),
        gauge(" MEM ", memory.used_ratio, width, memory_text, theme, Vec::new()),
        traffic(node, area.width, theme),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn gauge<'a>(
    name: &'static str,
    ratio: Option<f64>,
    width: usize,
    text: String,
    theme: &Theme,
    more: Vec<Span<'a>>,
) -> Line<'a> {
    let style = theme.bar(Level::of_ratio(ratio));
    let mut spans = vec![
        Span::styled(name, theme.strong()),
        Span::styled(bar(ratio.unwrap_or(0.0), width), style),
        Span::raw(text),
    ];
    spans.extend(more);
    Line::from(spans)
}

fn traffic<'a>(node: &Node, width: u16, theme: &Theme) -> Line<'a> {
    let all = [node.load.one, node.load.five, node.load.fifteen];
    let load = if width < 100 { all.get(..1).unwrap_or_default() } else { &all };
    let load = load.iter().map(|load| or_absent(*load, |load| format!("{load:.2}"))).collect::<Vec<_>>().join(" ");
    let mut spans =
        vec![Span::styled(" load ", theme.strong()), Span::raw(load), Span::styled("  psi", theme.strong())];
    let pressures = [("cpu", &node.pressure.cpu), ("mem", &node.pressure.memory), ("io", &node.pressure.io)];
    for (name, stall) in pressures {
        let percent = stall.some.avg10_percent;
        spans.push(Span::raw(format!(" {name} ")));
        spans.push(Span::styled(or_absent(percent, format::pressure), theme.at(Level::of_pressure(percent))));
    }
    // A bridge or veth would count what its containers send a second time.
    let real = node.interfaces.iter().filter(|traffic| traffic.is_uplink());
    let add = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    let rx = real.clone().map(|traffic| traffic.counters.rx_bytes_per_second).fold(None, add);
    let tx = real.map(|traffic| traffic.counters.tx_bytes_per_second).fold(None, add);
    // A partition is counted at its disk, too.
    let disks = || node.disks.iter().filter(|disk| disk.is_whole());
    let read = disks().map(|disk| disk.counters.read_bytes_per_second).fold(None, add);
    let written = disks().map(|disk| disk.counters.written_bytes_per_second).fold(None, add);
    for (name, a, b) in [("  net", ("↓", rx), ("↑", tx)), ("  disk", ("r", read), ("w", written))] {
        spans.push(Span::styled(name, theme.strong()));
        for (word, rate) in [a, b] {
            spans.push(Span::raw(format!(" {word}{}", or_absent(rate, bytes))));
        }
    }
    Line::from(spans)
}

/// The modes of the CPU, the `most` largest or all.
fn modes(modes: &CpuModes, most: usize) -> Vec<String> {
    let mut named = vec![
        ("user", modes.user_ratio),
        ("system", modes.system_ratio),
        ("iowait", modes.iowait_ratio),
        ("softirq", modes.softirq_ratio),
        ("irq", modes.irq_ratio),
        ("steal", modes.steal_ratio),
        ("nice", modes.nice_ratio),
        ("guest", modes.guest_ratio),
    ];
    named.truncate(most);
    named.into_iter().map(|(name, ratio)| format!("{name} {}  ", or_absent(ratio, percent))).collect()
}

/// The node's own tab.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: &Theme) {
    let Some(node) = &model.node else { return };
    let cpus = cpus(node, usize::from(area.width), theme);
    let cpu_height = u16::try_from(cpus.len()).unwrap_or(u16::MAX);
    let [cpu_area, facts_area, tables] =
        Layout::vertical([Constraint::Max(cpu_height), Constraint::Length(7), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(cpus), cpu_area);
    frame.render_widget(Paragraph::new(facts(node, theme)), facts_area);
    let sizes = [node.filesystems.len(), node.disks.len(), node.interfaces.len()];
    let [filesystems, disks, interfaces] =
        Layout::vertical(sizes.map(|rows| Constraint::Max(u16::try_from(rows + 1).unwrap_or(u16::MAX)))).areas(tables);
    frame.render_widget(filesystem_table(node, theme), filesystems);
    frame.render_widget(disk_table(node, theme), disks);
    frame.render_widget(interface_table(node, theme), interfaces);
}

/// One small bar per CPU, as many in a line as there is room for.
fn cpus<'a>(node: &Node, width: usize, theme: &Theme) -> Vec<Line<'a>> {
    const CELL: usize = 20;
    let in_line = (width / CELL).max(1);
    let lines = node.cpu.cpus.chunks(in_line).map(|chunk| {
        let spans = chunk.iter().flat_map(|cpu| {
            let ratio = cpu.usage_ratio;
            let name = clean(&cpu.cpu).into_owned();
            [
                Span::raw(format!(" {name:>6} ")),
                Span::styled(bar(ratio.unwrap_or(0.0), 6), theme.bar(Level::of_ratio(ratio))),
                Span::raw(format!("{:>5} ", or_absent(ratio, percent))),
            ]
        });
        Line::from_iter(spans)
    });
    lines.collect()
}

fn facts<'a>(node: &Node, theme: &Theme) -> Vec<Line<'a>> {
    let NodeMemory {
        available_bytes, free_bytes, cached_bytes, anon_bytes, shmem_bytes, slab_bytes, dirty_bytes, ..
    } = &node.memory;
    let amounts = |named: &[(&str, &Option<u64>)]| -> String {
        named.iter().map(|(name, amount)| format!("{name} {}  ", or_absent(**amount, whole_bytes))).collect()
    };
    let text = |text: &Option<String>| or_absent(text.as_deref(), |text| clean(text).into_owned());
    let number = |number: Option<u64>| or_absent(number, |number| number.to_string());
    let stall = |name: &str, line: &StallLine| {
        let averages = [line.avg10_percent, line.avg60_percent, line.avg300_percent];
        format!("{name} {}  ", averages.map(|average| or_absent(average, format::pressure)).join(" "))
    };
    let pressure = &node.pressure;
    let store = &node.store;
    let reading = node.ticks.as_ref().map_or_else(String::new, |ticks| {
        let (cgroups, shed, errors) = (ticks.cgroups, ticks.cgroups_shed, ticks.read_errors_total);
        format!("{cgroups} cgroups ({shed} shed)  {errors} read errors  ")
    });
    let named =
        |name: &'static str, text: String| Line::from(vec![Span::styled(name, theme.strong()), Span::raw(text)]);
    vec![
        named(" cpu     ", modes(&node.cpu.modes, usize::MAX).concat()),
        named(
            " memory  ",
            amounts(&[
                ("available", available_bytes),
                ("free", free_bytes),
                ("cached", cached_bytes),
                ("anon", anon_bytes),
            ]) + &amounts(&[("shmem", shmem_bytes), ("slab", slab_bytes), ("dirty", dirty_bytes)]),
        ),
        named(
            " waiting ",
            stall("cpu", &pressure.cpu.some)
                + &stall("memory", &pressure.memory.some)
                + &stall("io", &pressure.io.some)
                + "(% of 10 s, 1 min, 5 min)",
        ),
        named(
            " tasks   ",
            format!(
                "{} running  {} blocked  {} in all  {} forks/s  OOM kills {}",
                number(node.processes.running),
                number(node.processes.blocked),
                number(node.processes.tasks),
                or_absent(node.processes.forks_per_second, |forks| format!("{forks:.0}")),
                number(node.memory.oom_kills),
            ),
        ),
        named(" machine ", format!("{}  cgroup {}", text(&node.machine.os_version), text(&node.machine.cgroup_layout))),
        named(
            " agent   ",
            format!(
                "{reading}ring {} of {}, {} ticks",
                whole_bytes(store.used_bytes),
                whole_bytes(store.budget_bytes),
                store.ticks,
            ),
        ),
        Line::default(),
    ]
}

fn table<'a, const N: usize>(titles: [&'static str; N], rows: Vec<[String; N]>, theme: &Theme) -> Table<'a> {
    let widths = std::iter::once(Constraint::Length(24)).chain((1..N).map(|_| Constraint::Length(9)));
    let rows = rows.into_iter().map(|cells| Row::new(cells.map(Cell::new)));
    Table::new(rows, widths).header(Row::new(titles).style(theme.heading())).column_spacing(1)
}

fn filesystem_table<'a>(node: &Node, theme: &Theme) -> Table<'a> {
    let rows = node.filesystems.iter().map(|filesystem| {
        let total = filesystem.size_bytes.filter(|size| *size > 0);
        let ratio = filesystem.used_bytes.zip(total).map(|(used, size)| used as f64 / size as f64);
        [
            format!(" {}", clean(&filesystem.mount_point)),
            or_absent(filesystem.size_bytes, whole_bytes),
            or_absent(filesystem.available_bytes, whole_bytes),
            or_absent(ratio, percent),
            or_absent(filesystem.filesystem_type.as_deref(), |kind| clean(kind).into_owned()),
        ]
    });
    table([" FILESYSTEM", "SIZE", "AVAIL", "USED%", "TYPE"], rows.collect(), theme)
}

fn disk_table<'a>(node: &Node, theme: &Theme) -> Table<'a> {
    let rows = node.disks.iter().map(|disk| {
        [
            format!(" {}", clean(&disk.device)),
            or_absent(disk.counters.read_bytes_per_second, bytes),
            or_absent(disk.counters.written_bytes_per_second, bytes),
            or_absent(disk.busy_ratio, percent),
            or_absent(disk.in_flight, |operations| operations.to_string()),
        ]
    });
    table([" DISK", "R/s", "W/s", "BUSY", "IN FLIGHT"], rows.collect(), theme)
}

fn interface_table<'a>(node: &Node, theme: &Theme) -> Table<'a> {
    let rows = node.interfaces.iter().map(|traffic| {
        let counters = &traffic.counters;
        let number = |number: Option<u64>| or_absent(number, |number| number.to_string());
        [
            format!(" {}", clean(&traffic.interface)),
            or_absent(counters.rx_bytes_per_second, bytes),
            or_absent(counters.tx_bytes_per_second, bytes),
            number(counters.rx_errors_total.zip(counters.tx_errors_total).map(|(rx, tx)| rx.saturating_add(tx))),
            number(counters.rx_dropped_total.zip(counters.tx_dropped_total).map(|(rx, tx)| rx.saturating_add(tx))),
        ]
    });
    table([" INTERFACE", "RX/s", "TX/s", "ERRORS", "DROPPED"], rows.collect(), theme)
}
