//! What the aggregator counts about itself, for its `/metrics`.
//!
//! In: events of the receiver, the directory, the replicas and the APIs. Out: OpenMetrics text. It decides nothing.
//! Next: the aggregator's server.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

type By<const N: usize> = Family<[(&'static str, &'static str); N], Counter>;

/// Upper bounds of the time in which a push is taken in, in seconds.
const SECONDS: [f64; 8] = [0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1];

/// What the store and the directory hold at this moment; read at each scrape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Nodes whose newest sample is recent.
    pub fresh_nodes: u64,
    /// Nodes whose newest sample is too old to be served.
    pub stale_nodes: u64,
    /// Pods that the API server knows.
    pub pods: u64,
    /// Nodes that the API server knows.
    pub nodes: u64,
    /// Bytes of history.
    pub history_bytes: u64,
    /// Budget of the history.
    pub history_budget_bytes: u64,
    /// Objects that were listed and events of watches so far.
    pub directory_events: u64,
    /// Lists and watches that failed so far.
    pub directory_failures: u64,
    /// Replicas that pushes are sent on to.
    pub peers: u64,
    /// Nodes and pods have been listed.
    pub synced: bool,
    /// This replica is ready.
    pub ready: bool,
}

/// Counters of one aggregator. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    pushes: By<2>,
    samples: By<1>,
    push_bytes: Counter,
    push_seconds: Histogram,
    refused: By<1>,
    api_requests: By<3>,
    peer_pushes: By<1>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            pushes: By::default(),
            samples: By::default(),
            push_bytes: Counter::default(),
            push_seconds: Histogram::new(SECONDS),
            refused: By::default(),
            api_requests: By::default(),
            peer_pushes: By::default(),
        }
    }
}

impl Metrics {
    /// A push came by this route (`agent` or `peer`) and ended so.
    pub fn push(&self, route: &'static str, result: &'static str, bytes: usize, took: Duration) {
        self.pushes.get_or_create(&[("route", route), ("result", result)]).inc();
        self.push_bytes.inc_by(bytes as u64);
        self.push_seconds.observe(took.as_secs_f64());
    }

    /// Samples of a push were taken in.
    pub fn samples(&self, accepted: u64, duplicates: u64) {
        self.samples.get_or_create(&[("result", "accepted")]).inc_by(accepted);
        self.samples.get_or_create(&[("result", "duplicate")]).inc_by(duplicates);
    }

    /// So many pushes or entities of pushes were not believed, for this reason.
    pub fn refused(&self, reason: &'static str, many: u64) {
        if many > 0 {
            self.refused.get_or_create(&[("reason", reason)]).inc_by(many);
        }
    }

    /// How many were not believed for this reason so far.
    #[must_use]
    pub fn refused_so_far(&self, reason: &'static str) -> u64 {
        self.refused.get(&[("reason", reason)]).map_or(0, |counter| counter.get())
    }

    /// How many pushes of a route ended so.
    #[must_use]
    pub fn pushes_so_far(&self, route: &'static str, result: &'static str) -> u64 {
        self.pushes.get(&[("route", route), ("result", result)]).map_or(0, |counter| counter.get())
    }

    /// A request of the APIs was answered.
    pub fn api_request(&self, group: &'static str, verb: &'static str, code: u16) {
        self.api_requests.get_or_create(&[("group", group), ("verb", verb), ("code", class(code))]).inc();
    }

    /// So many pushes for other replicas were `sent`, `dropped`, …
    pub fn peer_pushes(&self, result: &'static str, many: u64) {
        if many > 0 {
            self.peer_pushes.get_or_create(&[("result", result)]).inc_by(many);
        }
    }

    /// How many pushes for other replicas ended so.
    #[must_use]
    pub fn peer_pushes_so_far(&self, result: &'static str) -> u64 {
        self.peer_pushes.get(&[("result", result)]).map_or(0, |counter| counter.get())
    }

    /// The text of `application/openmetrics-text; version=1.0.0`.
    ///
    /// # Errors
    /// Never in practice: writing to memory does not fail.
    pub fn encode(&self, holdings: Holdings) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("ringside_aggregator");
        registry.register("pushes", "Pushes by where they came from and how they ended", self.pushes.clone());
        registry.register(
            "pushed_samples",
            "Samples that were pushed, by whether they were held already",
            self.samples.clone(),
        );
        registry.register_with_unit(
            "push",
            "Size of pushes as they were received",
            Unit::Bytes,
            self.push_bytes.clone(),
        );
        registry.register_with_unit(
            "push_duration",
            "Time to take a push in",
            Unit::Seconds,
            self.push_seconds.clone(),
        );
        registry.register("refused", "Pushes, and entities in pushes, that were not believed", self.refused.clone());
        registry.register("api_requests", "Requests of the APIs", self.api_requests.clone());
        registry.register("peer_pushes", "Pushes for other replicas", self.peer_pushes.clone());
        let gauge = |value: u64| {
            let gauge = Gauge::<i64, AtomicI64>::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            gauge
        };
        let counter = |value: u64| {
            let counter = Counter::<u64, AtomicU64>::default();
            counter.inc_by(value);
            counter
        };
        let mut put = |name: &str, help: &str, value: u64| registry.register(name, help, gauge(value));
        put("fresh_nodes", "Nodes whose newest sample is recent", holdings.fresh_nodes);
        put("stale_nodes", "Nodes whose newest sample is too old to be served", holdings.stale_nodes);
        put("known_nodes", "Nodes that the API server knows", holdings.nodes);
        put("known_pods", "Pods that the API server knows", holdings.pods);
        put("history_size_bytes", "Memory of the history", holdings.history_bytes);
        put("history_budget_bytes", "The most memory that the history may take", holdings.history_budget_bytes);
        put("peers", "Replicas that pushes are sent on to", holdings.peers);
        put("directory_synced", "1 when nodes and pods have been listed", u64::from(holdings.synced));
        put("ready", "1 when this replica is ready", u64::from(holdings.ready));
        let mut count = |name: &str, help: &str, value: u64| registry.register(name, help, counter(value));
        count("directory_events", "Objects that were listed, and events of watches", holdings.directory_events);
        count("directory_failures", "Lists and watches that failed and were tried again", holdings.directory_failures);
        let mut out = String::with_capacity(8 * 1024);
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}

const fn class(code: u16) -> &'static str {
    match code {
        200 => "200",
        201 => "201",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        406 => "406",
        409 => "409",
        413 => "413",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_exposed_under_its_reason() {
        let metrics = Metrics::default();
        metrics.push("agent", "accepted", 1_500, Duration::from_micros(40));
        metrics.samples(2, 1);
        metrics.refused("unknown_pod", 3);
        metrics.refused("nothing", 0);
        metrics.api_request("metrics.k8s.io", "list", 200);
        metrics.peer_pushes("dropped", 2);
        let text = metrics
            .encode(Holdings { fresh_nodes: 4, ready: true, directory_failures: 7, ..Holdings::default() })
            .unwrap();
        for line in [
            "ringside_aggregator_pushes_total{route=\"agent\",result=\"accepted\"} 1",
            "ringside_aggregator_pushed_samples_total{result=\"duplicate\"} 1",
            "ringside_aggregator_push_bytes_total 1500",
            "ringside_aggregator_push_duration_seconds_bucket{le=\"0.0001\"} 1",
            "ringside_aggregator_refused_total{reason=\"unknown_pod\"} 3",
            "ringside_aggregator_api_requests_total{group=\"metrics.k8s.io\",verb=\"list\",code=\"200\"} 1",
            "ringside_aggregator_peer_pushes_total{result=\"dropped\"} 2",
            "ringside_aggregator_fresh_nodes 4",
            "ringside_aggregator_ready 1",
            "ringside_aggregator_directory_failures_total 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("nothing"));
        assert_eq!((metrics.refused_so_far("unknown_pod"), metrics.refused_so_far("nothing")), (3, 0));
    }
}
