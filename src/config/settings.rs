//! The one list of the agent's settings, and the command-line flags made from it.
//!
//! A new setting is one row here, one field of [`AgentConfig`](super::AgentConfig) and one line in its `build`.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// One setting: `--key`, `RINGSIDE_KEY`, and `key` in the configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Name of the flag without dashes, and of the key in the file.
    pub key: &'static str,
    /// What the help calls the value.
    pub value_name: &'static str,
    /// Used when no source has a value.
    pub default: Option<&'static str>,
    /// Help text.
    pub help: &'static str,
}

const fn setting(
    key: &'static str,
    value_name: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Setting {
    Setting { key, value_name, default, help }
}

/// Every setting of the agent, in the order of `--help`.
pub const SETTINGS: &[Setting] = &[
    setting("config", "FILE", None, "Read settings from this file: YAML (.yaml, .yml, .json) or TOML (.toml)"),
    setting("listen", "ADDRESS:PORT", Some("127.0.0.1:9750"), "Serve plain HTTP on this loopback address"),
    setting(
        "insecure-listen",
        "ADDRESS:PORT",
        None,
        "Serve plain HTTP, readable by anyone who can reach it, on this address instead of --listen",
    ),
    setting(
        "secure-listen",
        "ADDRESS:PORT",
        None,
        "Serve the same over TLS on this address as well, to those who are known and may read nodes/metrics",
    ),
    setting(
        "tls-cert-file",
        "FILE",
        None,
        "Certificate (PEM) of --secure-listen, read again when it changes; without it, a self-signed one",
    ),
    setting("tls-private-key-file", "FILE", None, "Private key (PEM) of --tls-cert-file"),
    setting("client-ca-file", "FILE", None, "Believe client certificates that these authorities (PEM) signed"),
    setting(
        "static-token-file",
        "FILE",
        None,
        "Believe the bearer tokens of this file: token,user,uid,\"group1,group2\" per line",
    ),
    setting(
        "kubeconfig",
        "FILE",
        None,
        "Reach the API server by this file; without it, by the pod's service account, if there is one",
    ),
    setting("interval", "DURATION", Some("1s"), "Time between two ticks, 100ms to 60s"),
    setting("ring-bytes", "SIZE", Some("32MiB"), "Memory for history (64MiB, 100MB, or a number of bytes)"),
    setting(
        "data-dir",
        "DIR",
        None,
        "Keep history over restarts in a file of this folder, a little larger than --ring-bytes; without it, in memory only",
    ),
    setting("procfs", "DIR", Some("/proc"), "Where procfs is mounted"),
    setting("sysfs", "DIR", Some("/sys"), "Where sysfs is mounted"),
    setting("cgroupfs", "DIR", Some("/sys/fs/cgroup"), "Where the cgroup hierarchies are mounted"),
    setting(
        "storage",
        "auto|on|off",
        Some("auto"),
        "Count what containers and pods keep on disk; auto counts what it can read, on warns of what it cannot",
    ),
    setting(
        "storage-interval",
        "DURATION",
        Some("1m"),
        "Count each container's and pod's files at most this often, 1s to 1h; dear ones are counted less often",
    ),
    setting("rootfs", "DIR", Some("/"), "Where the host's root folder is mounted, for --storage"),
    setting("kubelet-dir", "DIR", Some("/var/lib/kubelet"), "The kubelet's folder, as a path of the host"),
    setting("labels", "full|slim", Some("full"), "Labels of every series; slim leaves names to one info metric"),
    setting(
        "metrics",
        "LIST",
        Some("default"),
        "Sets of metrics: default, all, none, or names with + and - (default,+tcp,-pressure); a plain list replaces the default",
    ),
    setting(
        "compat",
        "none|cadvisor",
        Some("none"),
        "Show /metrics in exactly cAdvisor's shape: its families, labels and constant series, and nothing else",
    ),
    setting(
        "container-labels",
        "LIST|all|none",
        Some("all"),
        "Labels of the runtime to show, by key, where * stands for any text (app.kubernetes.io/*,team)",
    ),
    setting(
        "container-env",
        "LIST",
        None,
        "Show environment variables of containers whose names begin so (APP_,VERSION); without it, none is read",
    ),
    setting(
        "label-names",
        "sanitised|utf8",
        Some("sanitised"),
        "Names made of a runtime's label keys; utf8 keeps them as they are for clients that ask for that",
    ),
    setting("docker-socket", "PATH|auto|none", Some("auto"), "Ask Docker for names here"),
    setting("podman-socket", "PATH|auto|none", Some("auto"), "Ask Podman for names here"),
    setting("cri-socket", "PATH|auto|none", Some("auto"), "Ask containerd or CRI-O for names here; repeatable"),
    setting("max-cgroups", "N", Some("20000"), "Read at most this many cgroups, and count those left out"),
    setting("kept-files", "N|auto", Some("auto"), "Keep at most this many kernel files open between ticks"),
    setting(
        "detail-interval",
        "DURATION",
        Some("15s"),
        "Time between two readings of what is dear, such as open files and sockets, 1s to 10m",
    ),
    setting(
        "perf-events",
        "NAMES",
        None,
        "Count these performance events of containers (instructions,cycles,cache-misses,context-switches); none without it",
    ),
    setting(
        "referenced-reset",
        "N",
        Some("0"),
        "Clear the marks of touched memory after every N readings of referenced memory; 0 never does",
    ),
    setting("pod-names", "auto|api-server|none", Some("auto"), "Ask the API server for the names of this node's pods"),
    setting(
        "push",
        "auto|api-server|direct|none",
        Some("auto"),
        "Push to the aggregator, by the API server or directly",
    ),
    setting("push-interval", "DURATION", Some("15s"), "Time between two pushes, 1s to 60s"),
    setting(
        "push-url",
        "URL",
        Some("https://ringside-aggregator.ringside.svc:443"),
        "Where --push=direct finds the aggregator",
    ),
    setting(
        "push-token-file",
        "FILE",
        Some("/var/run/secrets/ringside/push/token"),
        "Bearer token for --push=direct, made for the audience ringside-aggregator; read again when it changes",
    ),
    setting(
        "push-ca-file",
        "FILE",
        Some("/var/run/secrets/ringside/ca/ca.crt"),
        "Certificates that --push=direct trusts; read again when they change",
    ),
    setting("node-name", "NAME", None, "Name of this node; also from NODE_NAME, else the host name"),
    setting("log-format", "json|text", Some("json"), "Form of the log lines on standard error"),
    setting("log-level", "LEVEL", Some("info"), "Least severe level to log: error, warn, info, debug or trace"),
];

/// The environment variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("RINGSIDE_{}", key.replace('-', "_").to_ascii_uppercase())
}

/// True for a setting that may be given more than once.
pub(super) fn repeatable(key: &str) -> bool {
    matches!(key, "cri-socket" | "metrics" | "container-labels" | "container-env")
}

/// What the command line said, as written and not checked yet. For `clap`: flatten it into a subcommand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentFlags {
    given: BTreeMap<&'static str, Vec<String>>,
}

impl AgentFlags {
    /// Flags as if given on the command line, for callers without one.
    #[must_use]
    pub fn of(given: &[(&'static str, &str)]) -> Self {
        let mut flags = Self::default();
        for (key, value) in given {
            flags.given.entry(key).or_default().push((*value).to_owned());
        }
        flags
    }

    pub(super) fn values(&self, key: &str) -> &[String] {
        self.given.get(key).map_or(&[], Vec::as_slice)
    }
}

impl clap::Args for AgentFlags {
    fn augment_args(command: Command) -> Command {
        let args = SETTINGS.iter().map(|setting| {
            let help = match setting.default {
                Some(default) => format!("{} [default: {default}]", setting.help),
                None => setting.help.to_owned(),
            };
            let action = if repeatable(setting.key) { ArgAction::Append } else { ArgAction::Set };
            Arg::new(setting.key).long(setting.key).value_name(setting.value_name).help(help).action(action)
        });
        command.args(args).after_help(
            "Every flag can also be set as RINGSIDE_<FLAG> (--ring-bytes: RINGSIDE_RING_BYTES) or in --config.",
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for AgentFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        for setting in SETTINGS {
            if let Some(values) = matches.get_many::<String>(setting.key) {
                flags.given.insert(setting.key, values.cloned().collect());
            }
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.given.extend(Self::from_arg_matches(matches)?.given);
        Ok(())
    }
}
