//! The command line: flags → configuration → role → exit code.
//!
//! Exit codes: 0 when all went well, 1 when something failed, 2 when the command line or the configuration was wrong.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ringside::config::{AgentConfig, AgentFlags, AggregatorConfig, AggregatorFlags, ConfigError};
use ringside::doctor::{self, DoctorArgs};
use ringside::logging;
use ringside::view::query::{AskError, QueryArgs};
use ringside::view::top::{TopArgs, for_kubectl};

/// The static binary is built with musl, whose own allocator has one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Every container's counters, every second, with hours of memory.
#[derive(Debug, Parser)]
#[command(name = "ringside", version, arg_required_else_help = true, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Run the node agent
    Agent(AgentFlags),
    /// Run the cluster's aggregator behind the API server
    Aggregator(Box<AggregatorFlags>),
    /// Show pods and containers live, or once as a table
    Top(TopArgs),
    /// Show history as a table, JSON, CSV or OpenMetrics
    Query(QueryArgs),
    /// Tell what this node lets the agent see, and cure what is missing
    Doctor(DoctorArgs),
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(words()) {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version come this way too, and go to standard output.
            let _ = told.print();
            return if told.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    run(cli.role).unwrap_or_else(|error| explain(&error))
}

/// What was written on the command line. kubectl finds its plugins by their names, and means the cluster.
fn words() -> Vec<OsString> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let name = words.first().map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| name == "kubectl-ringside") { for_kubectl(words) } else { words }
}

fn run(role: Role) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    match role {
        Role::Agent(flags) => ringside::agent::run(&started(&flags)?).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Role::Aggregator(flags) => {
            let config = AggregatorConfig::from(*flags);
            logging::start_as(config.log_format, config.log_level)?;
            ringside::aggregator::run(&config).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Role::Top(args) => ringside::view::top::run(&args, &mut out).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Role::Query(args) => {
            ringside::view::query::run(&args, &mut out).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Role::Doctor(args) => {
            let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let report = doctor::run(&args, colour, &mut out)?;
            Ok(if report.agent_can_run { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        }
    }
}

/// Reads the configuration and starts logging by it.
fn started(flags: &AgentFlags) -> anyhow::Result<AgentConfig> {
    let config = AgentConfig::from_process(flags)?;
    logging::start(&config)?;
    Ok(config)
}

/// Tells the error on standard error and finds its exit code. A reader that has gone away (`| head`) is no failure.
fn explain(error: &anyhow::Error) -> ExitCode {
    let is_broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    // `{error:#}` would tell the cause twice: our messages name it already.
    let _ = writeln!(std::io::stderr(), "error: {error}");
    let usage = error.chain().any(|cause| cause.is::<ConfigError>());
    let usage = usage || error.downcast_ref::<doctor::DoctorError>().is_some_and(doctor::DoctorError::is_usage);
    let usage = usage || error.downcast_ref::<AskError>().is_some_and(AskError::is_usage);
    ExitCode::from(if usage { USAGE } else { FAILED })
}
