//! `ringside query`: history from the command line, as a table, JSON, CSV or OpenMetrics.
//!
//! In: a selector, a time, and an agent's API or the ring file of one that has stopped. Out: text to standard output or a
//! file. `source` is who answers, `pieces` asks for long times piece by piece, `table` and `csv` write. It reads nothing
//! of the kernel; what is right and wrong about a question is the API's affair, and its words are shown.

mod csv;
mod error;
mod out;
mod pieces;
mod quantity;
mod source;
mod table;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

pub use error::AskError;

use crate::store::query::selector::Selector;
use crate::view::api::{Aggregation, Function, HistoryList, parse_duration};
use crate::view::top::DEFAULT_SERVER;

use out::{Out, Progress};
use pieces::{Pieces, Question};
use source::Source;

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line for each series: least, mean, largest and last value, and how it went.
    Table,
    /// The answer of the API.
    Json,
    /// One row for each instant and series, RFC 4180. Without --step, --fn and aggregation every reading that is kept.
    Csv,
    /// Every reading under the names that Prometheus knows, to be read by other programs.
    Openmetrics,
}

const EXAMPLES: &str = "\
Examples:
  CPU use of each container in the last 15 minutes
      ringside query 'cpu_usage_usec{kind=\"container\"}' --fn rate
  Memory of the five largest pods of a namespace in the last two hours
      ringside query 'memory_current_bytes{kind=\"pod\",namespace=\"shop\"}' --last 2h --fn max --top 5
  CPU use of each namespace, in steps of a minute
      ringside query 'cpu_usage_usec{kind=\"container\"}' --last 6h --step 1m --fn rate --by namespace
  What a container that is gone did before it died, every second, for a spreadsheet
      ringside query 'memory_current_bytes{name=\"web\"}' --last 1h --format csv --output web.csv
  Samples for Prometheus' promtool; here the names are Prometheus'
      ringside query 'container_cpu_usage_seconds_total{pod=~\"web-.*\"}' --format openmetrics
  From the ring file of an agent that has crashed
      ringside query 'memory_current_bytes{kind=\"container\"}' --data-dir /var/lib/ringside

Metrics: GET /api/v1/metrics of the agent lists them with their units. A table's word stands before the metrics of
parts: device., interface., hugetlb., cpu., disk., filesystem.; node. before those of the node where a cgroup has them too.
Labels: id (cgroup path), kind, name, namespace, pod, pod_uid, container, container_id, outer_container, image, runtime,
qos, device, interface, pagesize, cpu, mountpoint, fstype, and the runtime's own as label_…
Conditions: = != =~ !~, where a regular expression must fit the whole value.
Exit codes: 0 answered, 1 nothing found or no answer, 2 the command line is wrong.";

/// Arguments of `ringside query`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct QueryArgs {
    /// What to show: NAME{label="value",other=~"regex"}
    #[arg(value_name = "SELECTOR")]
    pub selector: String,
    /// How far back
    #[arg(long, default_value = "15m", value_parser = duration, value_name = "DURATION", conflicts_with = "start")]
    pub last: u64,
    /// First instant: 2026-03-01T12:00:00Z, unix seconds, or -2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub start: Option<String>,
    /// Last instant, as --start; now when not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub end: Option<String>,
    /// One value for each step; chosen by the length of time when not given
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub step: Option<u64>,
    /// How the readings of one step become one value
    #[arg(long = "fn", value_parser = PossibleValuesParser::new(Function::NAMED.map(|(word, _)| word)), value_name = "FUNCTION")]
    pub function: Option<String>,
    /// Which quantile, for --fn quantile
    #[arg(long, default_value_t = 0.99, value_name = "0..1")]
    pub q: f64,
    /// Labels, separated by commas: what agrees in them becomes one series
    #[arg(long, value_delimiter = ',', value_name = "LABELS")]
    pub by: Vec<String>,
    /// How several series become one; sum when only --by is given
    #[arg(long, value_parser = PossibleValuesParser::new(Aggregation::NAMED.map(|(word, _)| word)), value_name = "HOW")]
    pub agg: Option<String>,
    /// Only this many series: those with the largest mean
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub top: Option<u32>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// URL of the agent
    #[arg(long, default_value = DEFAULT_SERVER, env = "RINGSIDE_SERVER", value_name = "URL")]
    pub server: String,
    /// Read the ring file of an agent that does not run, instead of asking one
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

fn duration(text: &str) -> Result<u64, String> {
    let nanos = parse_duration(text).filter(|nanos| *nanos > 0);
    nanos.ok_or_else(|| "write a number with a unit, such as 500ms, 10s, 15m or 2h".to_owned())
}

impl QueryArgs {
    /// Whether one value for each step is wanted, given or chosen.
    fn wants_steps(&self) -> bool {
        let folded = self.function.is_some() || self.agg.is_some() || !self.by.is_empty() || self.top.is_some();
        self.step.is_some() || folded || self.format == Format::Table
    }

    /// What an export of plain readings cannot have.
    fn check_export(&self) -> Result<(), AskError> {
        let given = [
            ("--step", self.step.is_some()),
            ("--fn", self.function.is_some()),
            ("--by", !self.by.is_empty()),
            ("--agg", self.agg.is_some()),
            ("--top", self.top.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(AskError::PlainReadingsOnly { flag }),
            None => Ok(()),
        }
    }
}

/// Answers what the arguments ask for.
///
/// # Errors
/// [`AskError`], whose message says what to do.
pub fn run(args: &QueryArgs, stdout: &mut dyn Write) -> Result<(), AskError> {
    // Looked at here, so that a slip of the pen is pointed at also without an agent.
    Selector::parse(&args.selector).map_err(|error| AskError::Selector { text: args.selector.clone(), error })?;
    let terminal = args.output.is_none() && std::io::stdout().is_terminal();
    let look = if terminal { table::Look::of_terminal() } else { table::Look::PLAIN };
    let mut out = Out::new(args.output.as_deref(), stdout);
    let mut progress = Progress::new(std::io::stderr().is_terminal() && !(terminal && args.format != Format::Table));
    answer(args, &Source::of(args)?, look, &mut out, &mut progress)?;
    drop(progress);
    out.flush().map_err(AskError::Output)
}

fn answer(
    args: &QueryArgs,
    source: &Source,
    look: table::Look,
    out: &mut Out<'_>,
    progress: &mut Progress,
) -> Result<(), AskError> {
    if args.format == Format::Openmetrics {
        args.check_export()?;
    }
    let question = Question::of(args, &source.clock()?)?;
    match args.format {
        Format::Openmetrics => source.export(&question, |bytes| {
            progress.bytes(bytes.len());
            out.write_all(bytes)
        }),
        Format::Csv if args.top.is_none() => {
            let mut writer = csv::Rows::new(out);
            let mut pieces = Pieces::new(source, question);
            while let Some(list) = pieces.next()? {
                writer.write(&list)?;
                progress.part(pieces.done());
            }
            match pieces.into_summary() {
                Some(told) if !writer.written() => Err(nothing(&told)),
                _ => writer.finish(),
            }
        }
        _ => {
            let list = pieces::all(source, question, progress)?;
            progress.clear();
            if args.format == Format::Json {
                let json = serde_json::to_string(&list).map_err(AskError::Json)?;
                let json = crate::view::top::format::clean_json(&json);
                return writeln!(out, "{json}").map_err(AskError::Output);
            }
            if list.series.is_empty() {
                return Err(nothing(&list));
            }
            if args.format == Format::Csv {
                let mut writer = csv::Rows::new(out);
                writer.write(&list)?;
                return writer.finish();
            }
            out.write_all(table::table(&list, look).as_bytes()).map_err(AskError::Output)
        }
    }
}

fn nothing(list: &HistoryList) -> AskError {
    AskError::Nothing {
        metric: list.metric.clone(),
        start: list.start.clone(),
        end: list.end.clone(),
        oldest: list.oldest.clone(),
        notes: list.notes.clone(),
    }
}
