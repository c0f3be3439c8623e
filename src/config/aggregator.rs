//! The aggregator's configuration: flags and `RINGSIDE_*` variables become one checked [`AggregatorConfig`].
//!
//! In: [`AggregatorFlags`] from the command line; clap takes the variables where a flag is missing. Out: an
//! [`AggregatorConfig`], or a message that says what to do next. It opens nothing. Next: `aggregator.rs`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::value::{self, LogFormat, LogLevel};

/// `HOST:PORT` of a headless Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// DNS name, or an address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Flags of `ringside aggregator`.
#[derive(Debug, Clone, Args)]
pub struct AggregatorFlags {
    /// Serve HTTPS on this address
    #[arg(long, env = "RINGSIDE_SECURE_LISTEN", value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443", value_parser = value::address)]
    pub secure_listen: SocketAddr,
    /// Reach the API server as this file says; without it, as pods do
    #[arg(long, env = "RINGSIDE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the aggregator: of its Secret, its ConfigMap and its Service
    #[arg(long, env = "RINGSIDE_NAMESPACE", value_name = "NAME", default_value = "ringside", value_parser = dns_name)]
    pub namespace: String,
    /// Service that the API server reaches the aggregator by; the serving certificate is made for it
    #[arg(long, env = "RINGSIDE_SERVICE", value_name = "NAME", default_value = "ringside-aggregator", value_parser = dns_name)]
    pub service: String,
    /// Headless Service of all replicas; without it, this is the only one
    #[arg(long, env = "RINGSIDE_PEERS", value_name = "HOST:PORT", value_parser = host_port)]
    pub peers: Option<HostPort>,
    /// Address of this pod, which the serving certificate is made for too
    #[arg(long, env = "POD_IP", value_name = "ADDRESS")]
    pub pod_ip: Option<IpAddr>,
    /// How far back the history goes, 1m to 24h
    #[arg(long, env = "RINGSIDE_HISTORY", value_name = "DURATION", default_value = "15m", value_parser = history)]
    pub history: Duration,
    /// Most memory for the history
    #[arg(long, env = "RINGSIDE_HISTORY_BYTES", value_name = "SIZE", default_value = "200MiB", value_parser = value::bytes)]
    pub history_bytes: usize,
    /// Age at which values are not served any more, 15s to 1h
    #[arg(long, env = "RINGSIDE_STALE_AFTER", value_name = "DURATION", default_value = "2m", value_parser = stale_after)]
    pub stale_after: Duration,
    /// Also serve swap, ephemeral storage, network and io in metrics.k8s.io
    #[arg(long, env = "RINGSIDE_EXTRA_RESOURCES")]
    pub extra_resources: bool,
    /// Answer history and custom metrics from this Prometheus-compatible endpoint
    #[arg(long, env = "RINGSIDE_HISTORY_BACKEND", value_name = "URL")]
    pub history_backend: Option<String>,
    /// Audience of the tokens with which agents come straight to the aggregator
    #[arg(long, env = "RINGSIDE_AUDIENCE", value_name = "NAME", default_value = "ringside-aggregator")]
    pub audience: String,
    /// Users that agents run as, separated by commas; `any` leaves that to RBAC alone [default:
    /// system:serviceaccount:NAMESPACE:ringside-agent]
    #[arg(long, env = "RINGSIDE_AGENT_ACCOUNT", value_name = "USER", value_delimiter = ',')]
    pub agent_account: Vec<String>,
    /// Serve with this certificate; without it, with one of the aggregator's own authority
    #[arg(long, env = "RINGSIDE_TLS_CERT_FILE", value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of --tls-cert-file
    #[arg(long, env = "RINGSIDE_TLS_PRIVATE_KEY_FILE", value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Form of the log lines on standard error: json or text
    #[arg(long, env = "RINGSIDE_LOG_FORMAT", value_name = "json|text", default_value = "json", value_parser = value::word::<LogFormat>)]
    pub log_format: LogFormat,
    /// Least severe level to log: error, warn, info, debug or trace
    #[arg(long, env = "RINGSIDE_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = value::word::<LogLevel>)]
    pub log_level: LogLevel,
}

/// Everything the aggregator was told, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregatorConfig {
    /// Address to serve HTTPS on.
    pub secure_listen: SocketAddr,
    /// How the API server is reached; `None`: as pods do.
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the aggregator.
    pub namespace: String,
    /// Its Service.
    pub service: String,
    /// Headless Service of all replicas.
    pub peers: Option<HostPort>,
    /// Address of this pod.
    pub pod_ip: Option<IpAddr>,
    /// How far back the history goes.
    pub history: Duration,
    /// Most memory for the history.
    pub history_bytes: usize,
    /// Age at which values are not served any more.
    pub stale_after: Duration,
    /// Also serve swap, ephemeral storage, network and io in `metrics.k8s.io`.
    pub extra_resources: bool,
    /// Prometheus-compatible endpoint that answers history and custom metrics.
    pub history_backend: Option<String>,
    /// Audience of the tokens of the direct route.
    pub audience: String,
    /// Users that agents run as; none: whoever RBAC lets push.
    pub agent_accounts: Vec<String>,
    /// Given certificate and key.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// Form of the log lines.
    pub log_format: LogFormat,
    /// Least severe level that is logged.
    pub log_level: LogLevel,
}

impl From<AggregatorFlags> for AggregatorConfig {
    fn from(flags: AggregatorFlags) -> Self {
        let agent_accounts = match flags.agent_account.as_slice() {
            [] => vec![format!("system:serviceaccount:{}:ringside-agent", flags.namespace)],
            [any] if any == "any" => Vec::new(),
            given => given.to_vec(),
        };
        Self {
            secure_listen: flags.secure_listen,
            kubeconfig: flags.kubeconfig,
            namespace: flags.namespace,
            service: flags.service,
            peers: flags.peers,
            pod_ip: flags.pod_ip,
            history: flags.history,
            history_bytes: flags.history_bytes,
            stale_after: flags.stale_after,
            extra_resources: flags.extra_resources,
            history_backend: flags.history_backend,
            audience: flags.audience,
            agent_accounts,
            tls_files: flags.tls_cert_file.zip(flags.tls_private_key_file),
            log_format: flags.log_format,
            log_level: flags.log_level,
        }
    }
}

fn host_port(text: &str) -> Result<HostPort, String> {
    const ADVICE: &str = "is not HOST:PORT; write for example ringside-aggregator-peers.ringside.svc:8443";
    let (host, port) = text.rsplit_once(':').ok_or(ADVICE)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or(ADVICE)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || host.contains(['/', ' ']) {
        return Err(ADVICE.to_owned());
    }
    Ok(HostPort { host: host.to_owned(), port })
}

/// A name of the API: it becomes part of DNS names and of paths.
fn dns_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 63 || !text.chars().all(good) || text.starts_with('-') || text.ends_with('-') {
        return Err("is not a name of the API; write 1 to 63 of a-z, 0-9 and -, as in ringside".to_owned());
    }
    Ok(text.to_owned())
}

fn history(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_secs(60), Duration::from_secs(24 * 60 * 60), "from 1m to 24h, for example 15m")
}

fn stale_after(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_secs(15), Duration::from_secs(60 * 60), "from 15s to 1h, for example 2m")
}

fn within(text: &str, least: Duration, most: Duration, range: &str) -> Result<Duration, String> {
    let value = value::duration(text)?;
    if value < least || value > most {
        return Err(format!("is out of range; give a time {range}"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        flags: AggregatorFlags,
    }

    fn parsed(arguments: &[&str]) -> Result<AggregatorConfig, String> {
        let arguments = std::iter::once(&"aggregator").chain(arguments);
        Cli::try_parse_from(arguments).map(|cli| cli.flags.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_it_runs_in_its_pod() {
        let config = parsed(&[]).unwrap();
        assert_eq!(config.secure_listen, "0.0.0.0:8443".parse().unwrap());
        assert_eq!((&*config.namespace, &*config.service), ("ringside", "ringside-aggregator"));
        assert_eq!((config.history, config.history_bytes), (Duration::from_secs(900), 200 << 20));
        assert_eq!(config.stale_after, Duration::from_secs(120));
        assert_eq!(config.agent_accounts, ["system:serviceaccount:ringside:ringside-agent"]);
        assert_eq!((config.peers, config.tls_files, config.history_backend), (None, None, None));
    }

    #[test]
    fn agents_accounts_follow_the_namespace_or_what_is_given() {
        let accounts = |arguments: &[&str]| parsed(arguments).unwrap().agent_accounts;
        assert_eq!(accounts(&["--namespace", "monitoring"]), ["system:serviceaccount:monitoring:ringside-agent"]);
        assert_eq!(accounts(&["--agent-account", "a,b"]), ["a", "b"]);
        assert_eq!(accounts(&["--agent-account", "any"]), [""; 0]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        for (arguments, advice) in [
            (&["--peers", "nowhere"][..], "HOST:PORT"),
            (&["--peers", "host:0"], "HOST:PORT"),
            (&["--history", "48h"], "from 1m to 24h"),
            (&["--history", "30s"], "from 1m to 24h"),
            (&["--stale-after", "2"], "write for example 2s"),
            (&["--history-bytes", "lots"], "is not a size"),
            (&["--namespace", "A_b"], "is not a name of the API"),
            (&["--log-level", "loud"], "error, warn, info"),
            (&["--tls-cert-file", "x"], "--tls-private-key-file"),
        ] {
            let said = parsed(arguments).unwrap_err();
            assert!(said.contains(advice), "{arguments:?}: {said}");
        }
        let peers = parsed(&["--peers", "[::1]:8443"]).unwrap().peers;
        assert_eq!(peers, Some(HostPort { host: "::1".into(), port: 8443 }));
    }
}
