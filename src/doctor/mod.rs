//! `ringside doctor`: what this node lets the agent see, what is missing, what that costs, and its cure.
//!
//! In: the agent's own configuration, so that `doctor` in place of `agent` answers for exactly that agent. Out: one
//! [`Finding`] per check, as text or JSON. It changes nothing on the node, and waits at most 2 s for any socket.
//! It lies beside the six folders because it looks at what all of them need.

mod cgroups;
mod data_dir;
mod details;
mod host;
mod permissions;
mod render;
mod sockets;
mod storage;

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::config::{AgentConfig, AgentFlags, ConfigError};
use crate::sample::MachineFacts;

/// Flags of `ringside doctor`: those of the agent, and the form of the answer.
#[derive(Debug, Clone, clap::Args)]
pub struct DoctorArgs {
    /// Form of the answer.
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Output,
    /// The agent's flags.
    #[command(flatten)]
    pub agent: AgentFlags,
}

/// Form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All that the agent can use is there.
    Ok,
    /// There, with less than it could be.
    Limited,
    /// Not there; the agent runs without it.
    Missing,
    /// The agent could not run.
    Failed,
}

/// One check's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name of the check.
    pub name: &'static str,
    /// How it came out.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// What it costs the user; `None` when nothing.
    pub cost: Option<String>,
    /// What to do about it; `None` when nothing is to be done.
    pub cure: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, seen: impl Into<String>) -> Self {
        Self { name, state: State::Ok, seen: seen.into(), cost: None, cure: None }
    }

    /// A finding that is not all well says what it costs and what to do.
    fn of(name: &'static str, state: State, seen: impl Into<String>, cost: &str, cure: impl Into<String>) -> Self {
        Self { name, state, seen: seen.into(), cost: Some(cost.to_owned()), cure: Some(cure.into()) }
    }
}

/// Everything that was found on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Version of this binary.
    pub version: &'static str,
    /// Name of the node.
    pub node: String,
    /// False when a check failed.
    pub agent_can_run: bool,
    /// In a fixed order.
    pub findings: Vec<Finding>,
}

/// Why no report could be given.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The configuration was refused: mend it as it says.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The report could not be written: look at where standard output goes.
    #[error("cannot write the report: {0}; check where standard output goes")]
    Write(#[from] io::Error),
}

impl DoctorError {
    /// True when the user gave a wrong flag or configuration.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_))
    }
}

/// Examines the node and writes the report. `colour` is for terminals.
///
/// # Errors
/// [`DoctorError`].
pub fn run(args: &DoctorArgs, colour: bool, out: &mut dyn Write) -> Result<Report, DoctorError> {
    let report = examine(&AgentConfig::from_process(&args.agent)?);
    match args.output {
        Output::Text => render::text(&report, colour, out)?,
        Output::Json => render::json(&report, out)?,
    }
    out.flush()?;
    Ok(report)
}

/// Makes every check, in the order of the report.
#[must_use]
pub fn examine(config: &AgentConfig) -> Report {
    let procfs = config.procfs.as_path();
    let sysfs = config.sysfs.as_path();
    let tree = cgroups::Tree::read(&config.cgroupfs, &config.procfs, config.max_cgroups);
    let facts = MachineFacts::read(procfs, sysfs, config.node_name.as_deref(), tree.layout.word());
    let own = permissions::Own::read(procfs);

    let mut findings = vec![
        configuration(config),
        host::kernel(&facts, procfs),
        host::os(&facts, config),
        host::machine(&facts, sysfs),
        host::clock_ticks(&facts),
        host::pressure(procfs),
        host::lockdown(sysfs),
    ];
    findings.extend(cgroups::checks(&tree, &facts.kernel_version, &own));
    findings.extend([
        permissions::pid_namespace(procfs, &own),
        permissions::hidepid(procfs),
        permissions::identity(&own),
        permissions::capabilities(&own),
        permissions::kernel_log(Path::new("/dev/kmsg"), procfs),
        permissions::open_files(tree.count()),
        permissions::inotify_watches(procfs, tree.count()),
        permissions::inotify_instances(procfs),
        sockets::runtime("docker-socket", &config.docker_socket, &config.docker_paths(), sockets::Speaks::Http),
        sockets::runtime("podman-socket", &config.podman_socket, &config.podman_paths(), sockets::Speaks::Http),
        sockets::cri(&config.cri_sockets, &config.cri_paths()),
        sockets::listen(config.listen, config.insecure),
        data_dir::check(config),
        details::sockets(&own),
        details::perf_events(config, &own),
        details::resctrl(sysfs),
        storage::check(config, &own),
    ]);
    let agent_can_run = findings.iter().all(|finding| finding.state != State::Failed);
    Report { version: env!("CARGO_PKG_VERSION"), node: facts.node_name, agent_can_run, findings }
}

fn configuration(config: &AgentConfig) -> Finding {
    let seen = match &config.config_file {
        Some(path) => format!("flags, environment and {}", path.display()),
        None => "flags and environment".to_owned(),
    };
    if config.warnings.is_empty() {
        return Finding::ok("configuration", seen);
    }
    let cost = "a setting that was meant has no effect";
    Finding::of("configuration", State::Limited, config.warnings.join("; "), cost, "correct or remove the variable")
}

/// Reads a small file; lossy, because it is only looked at.
fn read_text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}
