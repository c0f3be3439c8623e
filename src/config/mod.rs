//! The agent's configuration: flags, environment and file become one checked [`AgentConfig`].
//!
//! In: [`AgentFlags`] from the command line, the process environment, and a YAML, JSON or TOML file. Out: an
//! [`AgentConfig`] whose every value has been checked, or a [`ConfigError`] that says what to do next.
//! A flag beats `RINGSIDE_<FLAG>`, which beats the file, which beats the default. The table [`SETTINGS`] is the one
//! list of all settings. It opens no socket and reads no kernel file. Next: `agent.rs`, `doctor/`.

pub mod aggregator;
mod error;
mod file;
mod settings;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use aggregator::{AggregatorConfig, AggregatorFlags};
pub use error::{ConfigError, Origin};
pub use settings::{AgentFlags, SETTINGS, Setting};
pub use value::{
    Compat, KeptFiles, LabelNames, LabelSet, LogFormat, LogLevel, PodNamesChoice, PushRoute, SocketChoice,
    StorageChoice,
};

use crate::sample::sets::Sets;
use crate::view::prometheus::LabelKeys;

use crate::kernel::perf::PerfEvent;

/// The variables of the process environment that matter here, by name.
pub type Environment = BTreeMap<String, String>;

/// Everything the agent was told, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Address to serve on. Loopback, unless [`insecure`](Self::insecure) says that more was asked for by name.
    pub listen: SocketAddr,
    /// True when the address came from `--insecure-listen`: plain HTTP may leave this machine.
    pub insecure: bool,
    /// Address to serve on over TLS as well.
    pub secure_listen: Option<SocketAddr>,
    /// Certificate and private key of the secure port; `None` has a self-signed one made.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// Authorities whose client certificates are believed.
    pub client_ca_file: Option<PathBuf>,
    /// Bearer tokens that are believed without asking the API server.
    pub static_token_file: Option<PathBuf>,
    /// How to reach the API server; `None` leaves it to the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// Time between two ticks, 100 ms to 60 s.
    pub interval: Duration,
    /// Budget of the ring in bytes.
    pub ring_bytes: usize,
    /// Folder of the ring file; `None` keeps history in memory only.
    pub data_dir: Option<PathBuf>,
    /// Where procfs is mounted.
    pub procfs: PathBuf,
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Where the cgroup hierarchies are mounted.
    pub cgroupfs: PathBuf,
    /// Whether files of containers and pods are counted.
    pub storage: StorageChoice,
    /// Shortest time between two counts of the same files, 1 s to 1 h.
    pub storage_interval: Duration,
    /// Where the host's root folder is mounted.
    pub rootfs: PathBuf,
    /// The kubelet's folder, as a path of the host.
    pub kubelet_dir: PathBuf,
    /// Which labels the expositions carry.
    pub labels: LabelSet,
    /// What is read and shown.
    pub metrics: Sets,
    /// Whose shape `/metrics` has.
    pub compat: Compat,
    /// Which of the runtimes' labels are shown.
    pub container_labels: LabelKeys,
    /// How the names of environment variables begin that are read and shown.
    pub container_env: Vec<String>,
    /// How a runtime's label keys become names of labels.
    pub label_names: LabelNames,
    /// Docker's socket.
    pub docker_socket: SocketChoice,
    /// Podman's socket.
    pub podman_socket: SocketChoice,
    /// Sockets that speak CRI: containerd, CRI-O. More than one is allowed.
    pub cri_sockets: Vec<SocketChoice>,
    /// The most cgroups that are read.
    pub max_cgroups: usize,
    /// How many kernel files may be kept open between ticks.
    pub kept_files: KeptFiles,
    /// Time between two readings of what is read off the tick.
    pub detail_interval: Duration,
    /// Performance events that are counted of containers.
    pub perf_events: Vec<PerfEvent>,
    /// After how many readings of referenced memory the marks are cleared; 0 for never.
    pub referenced_reset: u64,
    /// Whether the API server is asked for names.
    pub pod_names: PodNamesChoice,
    /// By which way it pushes.
    pub push: PushRoute,
    /// Time between two pushes.
    pub push_interval: Duration,
    /// Where the direct route leads.
    pub push_url: String,
    /// Bearer token of the direct route.
    pub push_token_file: PathBuf,
    /// Certificates that the direct route trusts.
    pub push_ca_file: PathBuf,
    /// Form of the log lines.
    pub log_format: LogFormat,
    /// Least severe level that is logged.
    pub log_level: LogLevel,
    /// Name of this node; `None` leaves it to the host name.
    pub node_name: Option<String>,
    /// The file that was read, if any.
    pub config_file: Option<PathBuf>,
    /// What looked like a mistake without being an error; to be logged once at start.
    pub warnings: Vec<String>,
}

impl AgentConfig {
    /// Merges flags with this process's environment and the configuration file that they name.
    ///
    /// # Errors
    /// Any [`ConfigError`]; all of them are the user's to mend, and say how.
    pub fn from_process(flags: &AgentFlags) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with("RINGSIDE_") || name == "NODE_NAME")
            .collect();
        Self::resolve(flags, &environment)
    }

    /// Merges flags with a given environment; the configuration file is read when one of the two names it.
    ///
    /// # Errors
    /// As [`from_process`](Self::from_process).
    pub fn resolve(flags: &AgentFlags, environment: &Environment) -> Result<Self, ConfigError> {
        let mut layers = Layers::new(flags, environment);
        let config_file = layers.one("config").map(|given| PathBuf::from(given.text));
        if let Some(path) = &config_file {
            layers.file = file::read(path)?;
        }
        let mut config = layers.build()?;
        config.config_file = config_file;
        config.warnings = unknown_variables(environment);
        Ok(config)
    }
}

/// A value as it was written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    text: String,
    origin: Origin,
}

/// All sources, most binding first when asked through [`Layers::all`].
struct Layers<'a> {
    flags: &'a AgentFlags,
    environment: &'a Environment,
    file: BTreeMap<&'static str, Vec<Given>>,
}

impl<'a> Layers<'a> {
    fn new(flags: &'a AgentFlags, environment: &'a Environment) -> Self {
        Self { flags, environment, file: BTreeMap::new() }
    }

    /// The values of the most binding source that has any. The environment separates several by commas; an empty
    /// variable counts as unset, because that is what templates leave behind.
    fn all(&self, key: &'static str) -> Vec<Given> {
        let flags = self.flags.values(key);
        if !flags.is_empty() {
            let origin = Origin::Flag(key);
            return flags.iter().map(|text| Given { text: text.clone(), origin: origin.clone() }).collect();
        }
        let mut names = vec![settings::variable(key)];
        if key == "node-name" {
            names.push("NODE_NAME".to_owned());
        }
        for name in names {
            let Some(text) = self.environment.get(&name).filter(|text| !text.is_empty()) else { continue };
            let origin = Origin::Environment(name);
            let parts: Vec<&str> = if settings::repeatable(key) { text.split(',').collect() } else { vec![text] };
            return parts.into_iter().map(|t| Given { text: t.trim().to_owned(), origin: origin.clone() }).collect();
        }
        if let Some(given) = self.file.get(key) {
            return given.clone();
        }
        let defaults = SETTINGS.iter().filter(|setting| setting.key == key).filter_map(|setting| setting.default);
        defaults.map(|text| Given { text: text.to_owned(), origin: Origin::Default(key) }).collect()
    }

    fn one(&self, key: &'static str) -> Option<Given> {
        self.all(key).pop()
    }

    /// Parses the value of `key`; a setting without a value and without a default does not get here.
    fn parsed<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        let given = self.one(key).unwrap_or(Given { text: String::new(), origin: Origin::Default(key) });
        parse(&given.text).map_err(|reason| ConfigError::Value {
            origin: Box::new(given.origin),
            value: given.text,
            reason,
        })
    }

    /// Parses all values of `key` as one list separated by commas.
    fn joined<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        let given = self.all(key);
        let text = given.iter().map(|one| one.text.as_str()).collect::<Vec<_>>().join(",");
        let origin = given.into_iter().next().map_or(Origin::Default(key), |one| one.origin);
        parse(&text).map_err(|reason| ConfigError::Value { origin: Box::new(origin), value: text, reason })
    }

    fn build(&self) -> Result<AgentConfig, ConfigError> {
        let (listen, insecure) = self.listen()?;
        let compat = self.parsed("compat", value::word)?;
        Ok(AgentConfig {
            listen,
            insecure,
            secure_listen: self
                .one("secure-listen")
                .map(|_| self.parsed("secure-listen", value::address))
                .transpose()?,
            tls_files: self.tls_files()?,
            client_ca_file: self.path("client-ca-file")?,
            static_token_file: self.path("static-token-file")?,
            kubeconfig: self.path("kubeconfig")?,
            interval: self.parsed("interval", value::interval)?,
            ring_bytes: self.parsed("ring-bytes", value::bytes)?,
            data_dir: self.one("data-dir").map(|_| self.parsed("data-dir", value::folder)).transpose()?,
            procfs: self.parsed("procfs", value::root)?,
            sysfs: self.parsed("sysfs", value::root)?,
            cgroupfs: self.parsed("cgroupfs", value::root)?,
            storage: self.parsed("storage", value::word)?,
            storage_interval: self.parsed("storage-interval", value::storage_interval)?,
            rootfs: self.parsed("rootfs", value::absolute)?,
            kubelet_dir: self.parsed("kubelet-dir", value::absolute)?,
            labels: self.parsed("labels", value::word)?,
            metrics: self.joined("metrics", |list| value::sets(list, compat))?,
            compat,
            container_labels: self.joined("container-labels", value::label_keys)?,
            container_env: self.joined("container-env", value::prefixes)?,
            label_names: self.parsed("label-names", value::word)?,
            docker_socket: self.parsed("docker-socket", value::socket)?,
            podman_socket: self.parsed("podman-socket", value::socket)?,
            cri_sockets: self.cri_sockets()?,
            max_cgroups: self.parsed("max-cgroups", value::at_least_one)?,
            kept_files: self.parsed("kept-files", value::kept_files)?,
            detail_interval: self.parsed("detail-interval", value::detail_interval)?,
            perf_events: self
                .one("perf-events")
                .map(|_| self.parsed("perf-events", value::perf_events))
                .transpose()?
                .unwrap_or_default(),
            referenced_reset: self.parsed("referenced-reset", value::count)?,
            pod_names: self.parsed("pod-names", value::word)?,
            push: self.parsed("push", value::word)?,
            push_interval: self.parsed("push-interval", value::push_interval)?,
            push_url: self.parsed("push-url", value::https_url)?,
            push_token_file: self.parsed("push-token-file", value::file)?,
            push_ca_file: self.parsed("push-ca-file", value::file)?,
            log_format: self.parsed("log-format", value::word)?,
            log_level: self.parsed("log-level", value::word)?,
            node_name: self.one("node-name").map(|_| self.parsed("node-name", value::node_name)).transpose()?,
            config_file: None,
            warnings: Vec::new(),
        })
    }

    /// `--listen` and `--insecure-listen` are one choice: the more binding source wins, and both in one is an error.
    fn listen(&self) -> Result<(SocketAddr, bool), ConfigError> {
        let plain = self.one("listen");
        let Some(insecure) = self.one("insecure-listen") else {
            return Ok((self.parsed("listen", value::loopback_address)?, false));
        };
        match plain {
            Some(plain) if plain.origin.rank() > insecure.origin.rank() => {
                Ok((self.parsed("listen", value::loopback_address)?, false))
            }
            Some(plain) if plain.origin.rank() == insecure.origin.rank() => {
                Err(ConfigError::TwoAddresses { first: Box::new(plain.origin), second: Box::new(insecure.origin) })
            }
            _ => Ok((self.parsed("insecure-listen", value::address)?, true)),
        }
    }

    fn path(&self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        self.one(key).map(|_| self.parsed(key, value::file)).transpose()
    }

    fn tls_files(&self) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
        let half = |given: Given, missing| Err(ConfigError::Half { given: Box::new(given.origin), missing });
        match (self.one("tls-cert-file"), self.one("tls-private-key-file")) {
            (None, None) => Ok(None),
            (Some(given), None) => half(given, "tls-private-key-file"),
            (None, Some(given)) => half(given, "tls-cert-file"),
            (Some(_), Some(_)) => Ok(self.path("tls-cert-file")?.zip(self.path("tls-private-key-file")?)),
        }
    }

    fn cri_sockets(&self) -> Result<Vec<SocketChoice>, ConfigError> {
        let given = self.all("cri-socket");
        let alone = given.len() == 1;
        given
            .into_iter()
            .map(|one| {
                let wrong = |reason| ConfigError::Value {
                    origin: Box::new(one.origin.clone()),
                    value: one.text.clone(),
                    reason,
                };
                match value::socket(&one.text).map_err(wrong)? {
                    choice @ SocketChoice::At(_) => Ok(choice),
                    choice if alone => Ok(choice),
                    _ => Err(wrong("`auto` and `none` stand alone; give either one of them or paths".to_owned())),
                }
            })
            .collect()
    }
}

/// Misspelt variables are told, not refused: Kubernetes sets `RINGSIDE_PORT`, `RINGSIDE_SERVICE_HOST` and their kin by
/// itself wherever a Service is named `ringside`.
fn unknown_variables(environment: &Environment) -> Vec<String> {
    let known: Vec<String> = SETTINGS.iter().map(|setting| settings::variable(setting.key)).collect();
    environment
        .keys()
        .filter(|name| name.starts_with("RINGSIDE_") && !known.contains(name))
        .filter(|name| !name.contains("_SERVICE_") && !name.contains("_PORT"))
        .map(|name| match error::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("environment variable {name} is not known and has no effect; did you mean {near}?"),
            None => format!("environment variable {name} is not known and has no effect; see ringside agent --help"),
        })
        .collect()
}

/// The paths to try for a runtime's socket: what was given, or the well-known places.
///
/// With [`SocketChoice::Auto`] a runtime that starts later is found later, so all places are returned, existing or not.
#[must_use]
pub fn socket_paths(choice: &SocketChoice, well_known: &[&str]) -> Vec<PathBuf> {
    match choice {
        SocketChoice::Auto => well_known.iter().map(PathBuf::from).collect(),
        SocketChoice::Off => Vec::new(),
        SocketChoice::At(path) => vec![path.clone()],
    }
}

impl AgentConfig {
    /// Where Docker's socket may be.
    #[must_use]
    pub fn docker_paths(&self) -> Vec<PathBuf> {
        socket_paths(&self.docker_socket, &["/run/docker.sock"])
    }

    /// Where Podman's socket may be: the system's, and the one of the user that the agent runs as.
    #[must_use]
    pub fn podman_paths(&self) -> Vec<PathBuf> {
        let own = format!("/run/user/{}/podman/podman.sock", rustix::process::getuid().as_raw());
        socket_paths(&self.podman_socket, &["/run/podman/podman.sock", &own])
    }

    /// Where sockets that speak CRI may be.
    #[must_use]
    pub fn cri_paths(&self) -> Vec<PathBuf> {
        const WELL_KNOWN: [&str; 4] = [
            "/run/containerd/containerd.sock",
            "/run/k3s/containerd/containerd.sock",
            "/run/crio/crio.sock",
            "/run/cri-dockerd.sock",
        ];
        self.cri_sockets.iter().flat_map(|choice| socket_paths(choice, &WELL_KNOWN)).collect()
    }

    /// Path of a file of the root filesystem that the given procfs belongs to: `/etc/os-release` for `/proc`,
    /// `/host/etc/os-release` for `/host/proc`.
    #[must_use]
    pub fn beside_procfs(&self, file: &str) -> PathBuf {
        self.procfs.parent().unwrap_or(Path::new("/")).join(file)
    }
}
