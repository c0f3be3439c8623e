//! The wiring of the push to long-term stores: configuration → what is read from the ring, and where it goes.
//!
//! In: an [`AgentConfig`]. Out: pushes that run, and what they count. It joins the two ends that may not know each other:
//! the view that reads the ring under the names of `/metrics`, and the uplink that sends. Next: `uplink::export`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::AgentError;
use crate::config::{AgentConfig, ExportConfig, OtlpConfig, OtlpProtocol, RemoteWriteConfig, RemoteWriteVersion};
use crate::sample::export_stats::ExportStats;
use crate::store::Store;
use crate::uplink::export::{
    self, Address, Endpoint, ExportOptions, Exporting, Extent, Kind, Meta, Protocol, Sample, Series, Source, Version,
    Window,
};
use crate::view::prometheus::Shape;
use crate::view::prometheus::family::{Family, Type};
use crate::view::remote::tail::{Tail, TailOptions, TailSeries, pattern};

/// The ring as a source of pushes.
pub struct TailSource {
    tail: Tail,
    metas: HashMap<&'static str, Arc<Meta>>,
}

impl TailSource {
    /// A source that reads by `tail`.
    #[must_use]
    pub fn new(tail: Tail) -> Self {
        Self { tail, metas: HashMap::new() }
    }

    fn series(&mut self, read: TailSeries) -> Series {
        let TailSeries { family, labels, started_ms, samples } = read;
        let meta = self.metas.entry(family.name).or_insert_with(|| Arc::new(meta(family)));
        let sample = |sample: crate::view::remote::messages::Sample| Sample {
            timestamp_ms: sample.timestamp,
            value: sample.value,
        };
        Series {
            meta: Arc::clone(meta),
            labels: labels.into_iter().map(|label| (label.name, label.value)).collect(),
            started_ms,
            samples: samples.into_iter().map(sample).collect(),
        }
    }
}

fn meta(family: &Family) -> Meta {
    let kind = match family.kind {
        Type::Counter => Kind::Counter,
        // History answers no histogram.
        Type::Gauge | Type::Histogram => Kind::Gauge,
        Type::Info => Kind::Info,
    };
    Meta { name: family.name, help: family.help, kind, unit: family.unit() }
}

impl Source for TailSource {
    fn extent(&self) -> Option<Extent> {
        self.tail.extent().map(|(oldest_ms, newest_ms)| Extent { oldest_ms, newest_ms })
    }

    fn read(&mut self, window: Window) -> Vec<Series> {
        match self.tail.read(window.after_ms, window.until_ms, window.step_ms) {
            Ok(read) => read.into_iter().map(|one| self.series(one)).collect(),
            Err(error) => {
                tracing::error!(%error, "the ring could not be read for a push; this stretch of time is not sent");
                Vec::new()
            }
        }
    }
}

/// Pushes that run; they end when this is dropped.
#[must_use]
pub struct Exports {
    _running: Vec<Exporting>,
    /// What each of them counts.
    pub stats: Vec<Arc<ExportStats>>,
}

/// Starts the pushes that are wanted.
///
/// # Errors
/// [`AgentError::Export`], which says what to mend.
pub fn start(
    config: &AgentConfig,
    node: &str,
    shape: &Shape,
    store: &Store,
    runtime: &Handle,
) -> Result<Exports, AgentError> {
    let (mut running, mut stats) = (Vec::new(), Vec::new());
    for plan in [
        config.remote_write.as_ref().map(|target| remote_write(target, node)),
        config.otlp.as_ref().map(|target| otlp(target, node)),
    ]
    .into_iter()
    .flatten()
    {
        let Plan { flag, prefix, endpoint, protocol, export, more_labels } = plan;
        let wrong = |what: &str, why: String| AgentError::Export(format!("--{flag}-{what} {why}"));
        let patterns = |what: &str, texts: &[String]| {
            texts.iter().map(|text| pattern(text)).collect::<Result<Vec<_>, _>>().map_err(|why| wrong(what, why))
        };
        let options = TailOptions {
            allow: patterns("allow", &export.allow)?,
            deny: patterns("deny", &export.deny)?,
            sets: config.metrics,
            labels: more_labels,
        };
        let target = Address::parse(&export.url).map_err(|why| wrong("url", why))?.place();
        let counted = Arc::new(ExportStats::new(prefix, target.clone()));
        let source = TailSource::new(Tail::new(store.clone(), shape.clone(), options));
        let options = ExportOptions {
            node: node.to_owned(),
            endpoint,
            protocol,
            interval: export.interval,
            step: export.step,
            tick: config.interval,
            cursor_file: config.data_dir.as_deref().map(|dir| dir.join(format!("{flag}.cursor"))),
        };
        running.push(export::start(options, source, Arc::clone(&counted), runtime).map_err(|why| wrong("url", why))?);
        stats.push(counted);
        let (interval_s, step_ms) = (export.interval.as_secs(), export.step.as_millis());
        tracing::info!(target_host = %target, interval_s, step_ms, "pushes samples by --{flag}-url");
    }
    Ok(Exports { _running: running, stats })
}

/// One target, whatever is spoken to it.
struct Plan<'a> {
    flag: &'static str,
    prefix: &'static str,
    endpoint: Endpoint,
    protocol: Protocol,
    export: &'a ExportConfig,
    more_labels: Vec<(String, String)>,
}

fn remote_write<'a>(target: &'a RemoteWriteConfig, node: &str) -> Plan<'a> {
    let version = match target.version {
        RemoteWriteVersion::Auto => None,
        RemoteWriteVersion::One => Some(Version::V1),
        RemoteWriteVersion::Two => Some(Version::V2),
    };
    let own = || pairs(&[("instance", node), ("job", "ringside")]);
    Plan {
        flag: "remote-write",
        prefix: "ringside_remote_write",
        endpoint: endpoint(&target.export, None),
        protocol: Protocol::RemoteWrite(version),
        export: &target.export,
        more_labels: target.export.labels.clone().unwrap_or_else(own),
    }
}

fn otlp<'a>(target: &'a OtlpConfig, node: &str) -> Plan<'a> {
    let mut resource = pairs(&[
        ("service.name", "ringside"),
        ("service.instance.id", node),
        ("host.name", node),
        ("k8s.node.name", node),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    for (name, value) in target.export.labels.iter().flatten() {
        resource.retain(|(known, _)| known != name);
        resource.push((name.clone(), value.clone()));
    }
    Plan {
        flag: "otlp",
        prefix: "ringside_otlp",
        endpoint: endpoint(&target.export, target.headers_file.clone()),
        protocol: match target.protocol {
            OtlpProtocol::Http => Protocol::OtlpHttp(resource),
            OtlpProtocol::Grpc => Protocol::OtlpGrpc(resource),
        },
        export: &target.export,
        more_labels: Vec::new(),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn endpoint(export: &ExportConfig, headers_file: Option<PathBuf>) -> Endpoint {
    Endpoint {
        url: export.url.clone(),
        token_file: export.token_file.clone(),
        basic_auth_file: export.basic_auth_file.clone(),
        headers_file,
        ca_file: export.ca_file.clone(),
        client_files: export.client_files.clone(),
    }
}
