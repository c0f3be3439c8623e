//! The settings of the push to long-term stores: one struct for each target, made of its flags.
//!
//! In: the settings that begin with `remote-write-` and `otlp-`. Out: [`RemoteWriteConfig`] and [`OtlpConfig`], or `None`
//! where no URL is given. It opens no file: secrets are read when they are used. Next: `agent/export.rs`.

use std::path::PathBuf;
use std::time::Duration;

use super::value::{self, Words};
use super::{ConfigError, Given, Layers};

/// Which version of remote write is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteWriteVersion {
    /// 2.0 until the receiver does not understand it.
    Auto,
    /// 1.0.
    One,
    /// 2.0.
    Two,
}

impl Words for RemoteWriteVersion {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("1", Self::One), ("2", Self::Two)];
}

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP.
    Http,
    /// gRPC.
    Grpc,
}

impl Words for OtlpProtocol {
    const WORDS: &'static [(&'static str, Self)] = &[("http", Self::Http), ("grpc", Self::Grpc)];
}

/// What all targets have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportConfig {
    /// Where it is.
    pub url: String,
    /// Time between requests.
    pub interval: Duration,
    /// Time between samples of a series.
    pub step: Duration,
    /// Bearer token.
    pub token_file: Option<PathBuf>,
    /// `user:password`.
    pub basic_auth_file: Option<PathBuf>,
    /// Certificates that are trusted.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key that are shown.
    pub client_files: Option<(PathBuf, PathBuf)>,
    /// Labels that every series gets; `None` leaves it to the default.
    pub labels: Option<Vec<(String, String)>>,
    /// Only these, if there are any: names with `*`, or selectors.
    pub allow: Vec<String>,
    /// Not these.
    pub deny: Vec<String>,
}

/// Push by remote write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteWriteConfig {
    /// What all targets have.
    pub export: ExportConfig,
    /// Which version.
    pub version: RemoteWriteVersion,
}

/// Push by OTLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// What all targets have.
    pub export: ExportConfig,
    /// HTTP or gRPC.
    pub protocol: OtlpProtocol,
    /// More headers.
    pub headers_file: Option<PathBuf>,
}

/// The keys of one target.
struct Keys {
    url: &'static str,
    interval: &'static str,
    step: &'static str,
    token_file: &'static str,
    basic_auth_file: &'static str,
    ca_file: &'static str,
    cert_file: &'static str,
    key_file: &'static str,
    labels: &'static str,
    allow: &'static str,
    deny: &'static str,
}

const REMOTE_WRITE: Keys = Keys {
    url: "remote-write-url",
    interval: "remote-write-interval",
    step: "remote-write-step",
    token_file: "remote-write-token-file",
    basic_auth_file: "remote-write-basic-auth-file",
    ca_file: "remote-write-ca-file",
    cert_file: "remote-write-cert-file",
    key_file: "remote-write-key-file",
    labels: "remote-write-labels",
    allow: "remote-write-allow",
    deny: "remote-write-deny",
};

const OTLP: Keys = Keys {
    url: "otlp-url",
    interval: "otlp-interval",
    step: "otlp-step",
    token_file: "otlp-token-file",
    basic_auth_file: "otlp-basic-auth-file",
    ca_file: "otlp-ca-file",
    cert_file: "otlp-cert-file",
    key_file: "otlp-key-file",
    labels: "otlp-labels",
    allow: "otlp-allow",
    deny: "otlp-deny",
};

impl Layers<'_> {
    pub(super) fn remote_write(&self) -> Result<Option<RemoteWriteConfig>, ConfigError> {
        let version = self.parsed("remote-write-version", value::word)?;
        Ok(self.export(&REMOTE_WRITE)?.map(|export| RemoteWriteConfig { export, version }))
    }

    pub(super) fn otlp(&self) -> Result<Option<OtlpConfig>, ConfigError> {
        let protocol = self.parsed("otlp-protocol", value::word)?;
        let headers_file = self.path("otlp-headers-file")?;
        Ok(self.export(&OTLP)?.map(|export| OtlpConfig { export, protocol, headers_file }))
    }

    fn export(&self, keys: &Keys) -> Result<Option<ExportConfig>, ConfigError> {
        if self.one(keys.url).is_none() {
            return Ok(None);
        }
        let half = |given: Given, missing| Err(ConfigError::Half { given: Box::new(given.origin), missing });
        let client_files = match (self.one(keys.cert_file), self.one(keys.key_file)) {
            (Some(given), None) => return half(given, keys.key_file),
            (None, Some(given)) => return half(given, keys.cert_file),
            _ => self.path(keys.cert_file)?.zip(self.path(keys.key_file)?),
        };
        let optional_list = |key| self.one(key).map(|_| self.parsed(key, |text| Ok(list(text)))).transpose();
        Ok(Some(ExportConfig {
            url: self.parsed(keys.url, url)?,
            interval: self.parsed(keys.interval, interval)?,
            step: self.parsed(keys.step, interval)?,
            token_file: self.path(keys.token_file)?,
            basic_auth_file: self.path(keys.basic_auth_file)?,
            ca_file: self.path(keys.ca_file)?,
            client_files,
            labels: self.one(keys.labels).map(|_| self.parsed(keys.labels, labels)).transpose()?,
            allow: optional_list(keys.allow)?.unwrap_or_default(),
            deny: optional_list(keys.deny)?.unwrap_or_default(),
        }))
    }
}

fn url(text: &str) -> Result<String, String> {
    const ADVICE: &str = "is not the URL of a receiver; write for example http://prometheus:9090/api/v1/write";
    let uri: hyper::Uri = text.parse().map_err(|_| ADVICE)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(ADVICE.to_owned());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("has a user and a password in it, which would be logged; put them into a file and give that as \
                    the basic-auth-file"
            .to_owned());
    }
    Ok(text.to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    let value = value::duration(text)?;
    if value < Duration::from_secs(1) || value > Duration::from_secs(3600) {
        return Err("is out of range; give 1s to 1h, for example 15s".to_owned());
    }
    Ok(value)
}

/// Divides at commas that stand outside braces and quotes.
fn list(text: &str) -> Vec<String> {
    let (mut depth, mut is_quoted, mut is_escaped) = (0u32, false, false);
    let parts = text.split(|character: char| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '{' if !is_quoted => depth = depth.saturating_add(1),
            '}' if !is_quoted => depth = depth.saturating_sub(1),
            ',' => return !is_quoted && depth == 0,
            _ => {}
        }
        false
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn labels(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        // OTLP's attributes have dots in their names.
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let is_sound = !name.is_empty() && name.chars().all(is_name) && !name.starts_with(|c: char| c.is_ascii_digit());
        (is_sound && !name.starts_with("__")).then(|| (name.to_owned(), value.to_owned()))
    };
    let pairs: Option<Vec<_>> = list(text).iter().map(|part| pair(part)).collect();
    pairs.ok_or_else(|| "is not a list of labels; write for example cluster=prod,region=eu".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{AgentConfig, AgentFlags, Environment};
    use super::*;

    fn config(given: &[(&'static str, &str)]) -> Result<AgentConfig, String> {
        AgentConfig::resolve(&AgentFlags::of(given), &Environment::new()).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_url_nothing_is_pushed() {
        let config = config(&[]).unwrap();
        assert_eq!((config.remote_write, config.otlp), (None, None));
    }

    #[test]
    fn a_url_alone_is_enough() {
        let config =
            config(&[("remote-write-url", "http://a:9090/api/v1/write"), ("otlp-url", "https://b/v1/metrics")]);
        let config = config.unwrap();
        let written = config.remote_write.unwrap();
        assert_eq!(written.version, RemoteWriteVersion::Auto);
        assert_eq!((written.export.interval, written.export.step), (Duration::from_secs(15), Duration::from_secs(15)));
        assert_eq!(written.export.url, "http://a:9090/api/v1/write");
        assert_eq!(config.otlp.unwrap().protocol, OtlpProtocol::Http);
    }

    #[test]
    fn lists_are_divided_outside_of_selectors() {
        let text = r#"container_cpu_*, {pod=~"a,b",c="}"} ,up{x="\",\""},,"#;
        assert_eq!(list(text), ["container_cpu_*", r#"{pod=~"a,b",c="}"}"#, r#"up{x="\",\""}"#]);
    }

    #[test]
    fn labels_are_names_and_values() {
        assert_eq!(
            labels("a=b, cluster.name=\"x=y\"").unwrap(),
            [("a".to_owned(), "b".to_owned()), ("cluster.name".to_owned(), "x=y".to_owned())]
        );
        for wrong in ["a", "=b", "1a=b", "__name__=x", "a-b=c"] {
            assert!(labels(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_flag() {
        let wrong = |key, text: &str| config(&[("remote-write-url", "http://a/w"), (key, text)]).unwrap_err();
        assert!(wrong("remote-write-step", "0s").starts_with("--remote-write-step: \"0s\" is out of range"));
        assert!(wrong("remote-write-cert-file", "/c").contains("remote-write-key-file"));
        let url = config(&[("remote-write-url", "ftp://a")]).unwrap_err();
        assert!(url.contains("is not the URL of a receiver"), "{url}");
        let url = config(&[("otlp-url", "http://u:p@a/")]).unwrap_err();
        assert!(url.contains("put them into a file"), "{url}");
    }
}
