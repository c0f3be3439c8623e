//! The report as text for people and as JSON for machines.

use std::io::{self, Write};

use super::{Report, State};

pub(super) fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    out.write_all(b"\n")
}

pub(super) fn text(report: &Report, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let node = plain(&report.node);
    writeln!(out, "ringside {} on {node}: what this node lets the agent see\n", report.version)?;
    let width = report.findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for finding in &report.findings {
        writeln!(out, "{} {:width$}  {}", mark(finding.state, colour), finding.name, plain(&finding.seen))?;
        if let Some(cost) = &finding.cost {
            writeln!(out, "  {:width$}  costs: {}", "", plain(cost))?;
        }
        if let Some(cure) = &finding.cure {
            writeln!(out, "  {:width$}  cure:  {}", "", plain(cure))?;
        }
    }
    let count = |state| report.findings.iter().filter(|finding| finding.state == state).count();
    let (ok, limited) = (count(State::Ok), count(State::Limited));
    let (missing, failed) = (count(State::Missing), count(State::Failed));
    writeln!(out, "\n{ok} ok, {limited} limited, {missing} missing, {failed} failed")?;
    if !report.agent_can_run {
        writeln!(out, "The agent cannot run here before what failed is cured.")?;
    }
    Ok(())
}

fn mark(state: State, colour: bool) -> String {
    let (sign, sgr) = match state {
        State::Ok => ("✓", 32),
        State::Limited => ("!", 33),
        State::Missing => ("-", 33),
        State::Failed => ("✗", 31),
    };
    if colour { format!("\u{1b}[{sgr}m{sign}\u{1b}[0m") } else { sign.to_owned() }
}

/// A path or a peer's words must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;

    fn report() -> Report {
        Report {
            version: "1.2.3",
            node: "n\u{1b}[2J".to_owned(),
            agent_can_run: false,
            findings: vec![
                Finding::ok("kernel", "Linux 6.1"),
                Finding::of("listen", State::Failed, "taken", "it cannot serve", "give another"),
            ],
        }
    }

    fn rendered(colour: bool) -> String {
        let mut out = Vec::new();
        text(&report(), colour, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_tells_what_was_seen_what_it_costs_and_its_cure() {
        assert_eq!(
            rendered(false),
            "ringside 1.2.3 on n\u{fffd}[2J: what this node lets the agent see\n\n\
             ✓ kernel  Linux 6.1\n\
             ✗ listen  taken\n          costs: it cannot serve\n          cure:  give another\n\n\
             1 ok, 0 limited, 0 missing, 1 failed\n\
             The agent cannot run here before what failed is cured.\n"
        );
    }

    #[test]
    fn only_the_marks_are_coloured() {
        assert!(rendered(true).contains("\u{1b}[32m✓\u{1b}[0m kernel"));
        assert!(!rendered(false).contains('\u{1b}'));
    }

    #[test]
    fn json_has_every_field_of_every_finding() {
        let mut out = Vec::new();
        json(&report(), &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["agent_can_run"], false);
        assert_eq!(
            value["findings"][1],
            serde_json::json!({"name": "listen", "state": "failed", "seen": "taken", "cost": "it cannot serve", "cure": "give another"})
        );
        assert_eq!(value["findings"][0]["cure"], serde_json::Value::Null);
    }
}
