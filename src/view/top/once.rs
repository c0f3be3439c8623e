//! `--once`: a table as `kubectl top` prints it, or the agent's JSON.
//!
//! In: one answer of the agent. Out: text. The percentages are of the container's or pod's own limit, and `-` without
//! one; of the node they are of the machine.

use std::io::{self, ErrorKind, Write};

use serde::de::DeserializeOwned;

use crate::view::api::{ContainerList, Diff, Node, PodList};

use super::client::Agent;
use super::diff;
use super::format::{self, or_absent};
use super::line::{Line, arranged};
use super::{Output, Question, TopArgs, TopError, What, runtime};

/// Asks once and prints.
pub(super) fn run(args: &TopArgs, agent: &Agent, out: &mut dyn Write) -> Result<(), TopError> {
    let runtime = runtime()?;
    let question = Question::of(args);
    let path = match &args.diff {
        Some(from) => question.diff(from, args.sort),
        None => question.target(),
    };
    let past = args.at.is_some() || args.diff.is_some();
    let text = runtime.block_on(async {
        let text = agent.text(&path).await.map_err(|error| agent.past_unknown(error, past))?;
        Ok::<_, TopError>(text)
    })?;
    let read = Read { agent, path: &path, text: &text, past };
    let text = match (args.output, &args.diff, args.what) {
        (Some(Output::Json), Some(_), _) => {
            read.json::<Diff>()?;
            json(&text)
        }
        (Some(Output::Json), None, _) => {
            read.shown(&read.json::<serde_json::Value>()?)?;
            json(&text)
        }
        (_, Some(_), _) => diff::table(args, &read.json()?),
        (_, None, What::Node) => {
            let node: Node = read.json()?;
            let note = read.note(&node.read_at, node.resolution.as_deref())?;
            note + &node_table(&node, wide(args))
        }
        (_, None, What::Pods) => {
            let list: PodList = read.json()?;
            let lines: Vec<_> = list.pods.iter().map(Line::of_pod).collect();
            read.note(&list.read_at, list.resolution.as_deref())? + &table(args, &lines)
        }
        (_, None, What::Containers) => {
            let list: ContainerList = read.json()?;
            let lines: Vec<_> = list.containers.iter().map(Line::of_container).collect();
            read.note(&list.read_at, list.resolution.as_deref())? + &table(args, &lines)
        }
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `ringside top --once | head` has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error: io::Error| TopError::Output(error)),
    }
}

fn json(text: &str) -> String {
    format!("{}\n", format::clean_json(text.trim_end()))
}

/// An answer that is being read.
struct Read<'a> {
    agent: &'a Agent,
    path: &'a str,
    text: &'a str,
    /// Whether it was asked about the past.
    past: bool,
}

impl Read<'_> {
    fn json<T: DeserializeOwned>(&self) -> Result<T, TopError> {
        self.agent.read(self.path, self.text)
    }

    /// An agent that knows the past tells the resolution; an older one may answer about now.
    fn shown(&self, answer: &serde_json::Value) -> Result<(), TopError> {
        let told = answer.get("resolution").is_some_and(|resolution| !resolution.is_null());
        if self.past && !told { Err(self.agent.no_past()) } else { Ok(()) }
    }

    /// Which moment the table below shows, when it is one of the past.
    fn note(&self, read_at: &str, resolution: Option<&str>) -> Result<String, TopError> {
        match (self.past, resolution) {
            (false, _) => Ok(String::new()),
            (true, None) => Err(self.agent.no_past()),
            (true, Some(resolution)) => {
                Ok(format!("# {}, {} resolution\n", format::clean(read_at), format::clean(resolution)))
            }
        }
    }
}

pub(super) fn wide(args: &TopArgs) -> bool {
    args.output == Some(Output::Wide)
}

pub(super) fn table(args: &TopArgs, lines: &[Line]) -> String {
    let mut rows = vec![heading(args)];
    for line in arranged(lines, &args.filter, args.sort, false) {
        rows.push(row(args, line));
    }
    aligned(&rows)
}

fn heading(args: &TopArgs) -> Vec<String> {
    let mut heading = match args.what {
        What::Pods => vec!["NAMESPACE", "NAME"],
        _ => vec!["NAMESPACE", "POD", "NAME"],
    };
    heading.extend(["CPU(cores)", "CPU%", "MEMORY(bytes)", "MEMORY%"]);
    if wide(args) {
        heading.extend(["THROTTLED%", "READ/s", "WRITE/s", "RX/s", "TX/s"]);
        heading.extend(["PSI(cpu,mem,io)", "PIDS", "RESTARTS", "OOMKILLS"]);
    }
    heading.into_iter().map(str::to_owned).collect()
}

fn row(args: &TopArgs, line: &Line) -> Vec<String> {
    let text = |text: &Option<String>| or_absent(text.clone(), |text| text);
    let mut row = vec![text(&line.namespace), text(&line.pod)];
    if args.what == What::Containers {
        row.push(text(&line.name));
    }
    row.extend([
        or_absent(line.cpu_cores, format::millicores),
        or_absent(line.cpu_ratio(), format::percent),
        or_absent(line.memory_bytes, format::mebibytes),
        or_absent(line.memory_ratio(), format::percent),
    ]);
    if wide(args) {
        row.extend([
            or_absent(line.throttled_ratio, format::percent),
            or_absent(line.read_bytes_per_second, format::bytes),
            or_absent(line.written_bytes_per_second, format::bytes),
            or_absent(line.rx_bytes_per_second, format::bytes),
            or_absent(line.tx_bytes_per_second, format::bytes),
            line.pressure_percent.map(|percent| or_absent(percent, format::pressure)).join(","),
            or_absent(line.pids, |pids| pids.to_string()),
            or_absent(line.restarts, |restarts| restarts.to_string()),
            or_absent(line.oom_kills, |kills| kills.to_string()),
        ]);
    }
    row
}

pub(super) fn node_table(node: &Node, wide: bool) -> String {
    let mut heading = vec!["NAME", "CPU(cores)", "CPU%", "MEMORY(bytes)", "MEMORY%"];
    let mut row = vec![
        format::clean(&node.name).into_owned(),
        or_absent(node.cpu.usage_cores, format::millicores),
        or_absent(node.cpu.usage_ratio, format::percent),
        or_absent(node.memory.used_bytes, format::mebibytes),
        or_absent(node.memory.used_ratio, format::percent),
    ];
    if wide {
        heading.extend(["LOAD1", "SWAP", "PSI(cpu,mem,io)", "UPTIME"]);
        let pressure = [&node.pressure.cpu, &node.pressure.memory, &node.pressure.io];
        row.extend([
            or_absent(node.load.one, |load| format!("{load:.2}")),
            or_absent(node.memory.swap_used_bytes, format::mebibytes),
            pressure.map(|stall| or_absent(stall.some.avg10_percent, format::pressure)).join(","),
            or_absent(node.uptime_seconds, format::duration),
        ]);
    }
    aligned(&[heading.into_iter().map(str::to_owned).collect(), row])
}

/// Columns with three blanks between them, as `kubectl` does it.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    let width = |text: &str| ratatui::text::Span::raw(text).width();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (widest, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', widest + 3 - width(cell).min(*widest)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
