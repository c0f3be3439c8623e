//! Pushes to real long-term stores: Prometheus and VictoriaMetrics take remote write, are stopped for a minute and
//! started again, the agent is restarted, and no sample is missing afterwards.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::agent::Agent;
use support::cgroups::Cgroups;
use support::http;
use support::process::{Running, Spawn, free_port, wait_until};
use support::prometheus::percent_encode;

/// How long the store is away.
const AWAY: Duration = Duration::from_secs(60);

/// Counters that move, gauges, floats, infos; of cgroups, of the node.
const NAMES: [&str; 5] = [
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "container_info",
    "ringside_node_boot_time_seconds",
    "ringside_container_pressure_cpu_waiting_ratio",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prometheus,
    VictoriaMetrics,
}

/// A store whose data outlives its process.
struct Store {
    kind: Kind,
    address: SocketAddr,
    folder: PathBuf,
    process: Option<Running>,
}

impl Store {
    fn start(kind: Kind, folder: &Path) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut store = Self { kind, address, folder: folder.to_path_buf(), process: None };
        store.start_again();
        store
    }

    fn start_again(&mut self) {
        let (address, data) = (self.address, self.folder.join("data"));
        // Each run has a log, and a status when it has ended.
        let log_folder = tempfile::tempdir_in(&self.folder).unwrap().keep();
        let process = match self.kind {
            Kind::Prometheus => {
                let config = self.folder.join("prometheus.yml");
                std::fs::write(&config, "global: {}\n").unwrap();
                Spawn::new("prometheus", "prometheus")
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!("--storage.tsdb.path={}", data.display()))
                    .arg(format!("--web.listen-address={address}"))
                    .arg("--web.enable-remote-write-receiver")
            }
            Kind::VictoriaMetrics => Spawn::new("victoria-metrics", "victoria-metrics")
                .arg(format!("-storageDataPath={}", data.display()))
                .arg(format!("-httpListenAddr={address}"))
                .args(["-search.disableCache", "-search.latencyOffset=0s", "-memory.allowedBytes=64MB"])
                .arg("-search.maxSamplesPerQuery=100000000"),
        }
        .start(&log_folder);
        let path = if self.kind == Kind::Prometheus { "/-/ready" } else { "/health" };
        process.wait_until("200 from the store", Duration::from_secs(60), || match http::get(address, path, &[])? {
            response if response.status == 200 => Ok(()),
            response => Err(format!("status {}", response.status)),
        });
        self.process = Some(process);
    }

    fn stop(&mut self) {
        self.process.take().unwrap().stop();
    }

    /// Every raw sample of a metric, by label set: milliseconds and value.
    fn samples(&self, name: &str) -> BTreeMap<Labels, Vec<(i64, f64)>> {
        match self.kind {
            Kind::Prometheus => {
                let query = percent_encode(&format!("{name}[30m]"));
                let response = http::get(self.address, &format!("/api/v1/query?query={query}"), &[]).unwrap();
                let answer = response.json();
                let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
                let read = |one: &serde_json::Value| {
                    let samples = one["values"].as_array().unwrap().iter().map(|pair| {
                        let seconds = pair[0].as_f64().unwrap();
                        (milliseconds(seconds), pair[1].as_str().unwrap().parse().unwrap())
                    });
                    (labels(&one["metric"]), samples.collect())
                };
                series.iter().map(read).collect()
            }
            Kind::VictoriaMetrics => {
                assert_eq!(http::get(self.address, "/internal/force_flush", &[]).unwrap().status, 200);
                let path = format!("/api/v1/export?match[]={}", percent_encode(name));
                let response = http::get(self.address, &path, &[]).unwrap();
                let read = |line: &str| {
                    // An end mark is exported as a word that JSON does not know.
                    let one: serde_json::Value = serde_json::from_str(&line.replace("NaN", "null")).unwrap();
                    let times = one["timestamps"].as_array().unwrap().iter().map(|at| at.as_i64().unwrap());
                    let values = one["values"].as_array().unwrap().iter().map(|value| value.as_f64());
                    let samples = times.zip(values).filter_map(|(at, value)| Some((at, value?)));
                    (labels(&one["metric"]), samples.collect())
                };
                response.text().lines().map(read).collect()
            }
        }
    }

    /// The newest sample of a metric, in milliseconds.
    fn newest(&self, name: &str) -> i64 {
        let samples = self.samples(name);
        samples.values().filter_map(|samples| samples.last()).map(|(at, _)| *at).max().unwrap_or(0)
    }

    fn wait_for(&self, what: &str, at_ms: i64) {
        self.process.as_ref().unwrap().wait_until(what, Duration::from_secs(120), || match self.newest(NAMES[0]) {
            newest if newest >= at_ms => Ok(()),
            newest => Err(format!("the newest sample is {} ms older", at_ms - newest)),
        });
    }
}

type Labels = BTreeMap<String, String>;

fn labels(value: &serde_json::Value) -> Labels {
    serde_json::from_value(value.clone()).unwrap()
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century fit")]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Every sample of a metric that the agent's own history has, by label set.
fn history(agent: &Agent, name: &str) -> BTreeMap<Labels, Vec<(i64, f64)>> {
    let path = format!("/api/v1/export?match[]={name}&start=-30m");
    let response = agent.get(&path, &[]);
    assert_eq!(response.status, 200, "{}", response.text());
    let mut all: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
    for line in response.text().lines().filter(|line| !line.starts_with('#')) {
        let (head, rest) = match line.rsplit_once('}') {
            Some((head, rest)) => (head, rest),
            None => line.split_once(' ').unwrap(),
        };
        let mut rest = rest.split_whitespace();
        let (value, at) = (rest.next().unwrap().parse().unwrap(), rest.next().unwrap().parse().unwrap());
        let mut labels = Labels::from([("__name__".to_owned(), name.to_owned())]);
        let block = head.split_once('{').map_or("", |(_, block)| block);
        // No value in this test holds a quote.
        for pair in block.split("\",").filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once("=\"").unwrap();
            labels.insert(name.to_owned(), value.trim_end_matches('"').to_owned());
        }
        all.entry(labels).or_default().push((milliseconds(at), value));
    }
    all
}

/// Fails unless the store has every sample that the agent has between two instants, and no other.
fn assert_same(agent: &Agent, store: &Store, since_ms: i64, until_ms: i64) -> usize {
    let between = |samples: &[(i64, f64)]| -> Vec<(i64, f64)> {
        samples.iter().filter(|(at, _)| (since_ms..=until_ms).contains(at)).copied().collect()
    };
    let mut compared = 0;
    for name in NAMES {
        let mut pushed = store.samples(name);
        for (mut labels, read) in history(agent, name) {
            labels.insert("instance".to_owned(), "lab-node".to_owned());
            labels.insert("job".to_owned(), "ringside".to_owned());
            let read = between(&read);
            let written = between(&pushed.remove(&labels).unwrap_or_default());
            let missing: Vec<_> = read.iter().filter(|(at, _)| !written.iter().any(|(other, _)| at == other)).collect();
            assert!(missing.is_empty(), "{labels:?}: {} of {} are missing: {missing:?}", missing.len(), read.len());
            assert_eq!(read.len(), written.len(), "{labels:?}: there are more than were read");
            for ((at, value), (_, other)) in read.iter().zip(&written) {
                // VictoriaMetrics keeps decimal numbers of some fifteen digits.
                let most = if store.kind == Kind::Prometheus { 0.0 } else { value.abs() * 1e-12 };
                assert!((value - other).abs() <= most, "{labels:?} at {at}: {value} was read, {other} arrived");
            }
            compared += read.len();
        }
        let more: Vec<_> = pushed.iter().filter(|(_, samples)| !between(samples).is_empty()).collect();
        assert!(more.is_empty(), "the agent knows nothing of {more:?}");
    }
    compared
}

fn nothing_is_missing(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::start(kind, folder.path());
    let mut cgroups = Cgroups::make("push");
    cgroups.child("busy");
    cgroups.run_in("busy", Command::new("sh").args(["-c", "while :; do :; done"]));
    let data_dir = folder.path().join("ring");
    std::fs::create_dir(&data_dir).unwrap();
    let url = format!("http://{}/api/v1/write", store.address);
    let data = data_dir.display().to_string();
    let flags = [
        ["--remote-write-url", &url],
        ["--remote-write-interval", "2s"],
        ["--remote-write-step", "1s"],
        ["--data-dir", &data],
        ["--node-name", "lab-node"],
    ];
    let sockets = [["--docker-socket", "none"], ["--podman-socket", "none"], ["--cri-socket", "none"]];
    let flags: Vec<&str> = flags.as_flattened().iter().chain(sockets.as_flattened()).copied().collect();
    let mut agent = Agent::start(&flags);
    let since_ms = now_ms();
    store.wait_for("samples", since_ms + 2_000);

    store.stop();
    std::thread::sleep(AWAY);
    store.start_again();
    store.wait_for("what was measured meanwhile", now_ms());
    let compared = assert_same(&agent, &store, since_ms, now_ms() - 10_000);
    assert!(compared > 200, "{compared} samples");

    // A new run of the agent goes on, with a gap of its own absence and no other.
    agent.process.stop();
    drop(agent);
    let agent = Agent::start(&flags);
    let again_ms = now_ms();
    store.wait_for("samples of the new run", again_ms + 4_000);
    let until_ms = store.newest(NAMES[0]) - 1_000;
    let more = assert_same(&agent, &store, since_ms, until_ms);
    assert!(more > compared, "{more} samples");
    let scrape = agent.scrape("/metrics");
    let dropped = scrape.find("ringside_remote_write_samples_total", &[("result", "dropped")]);
    // What was on its way when the agent stopped may be refused as known already, by a store that wants order.
    assert_eq!(dropped.len(), 1);
    let lost = scrape.find("ringside_remote_write_lost_seconds_total", &[]);
    assert_eq!(lost[0].value, 0.0);
}

#[test]
fn prometheus_misses_nothing_after_a_minute_away_and_a_restart_of_the_agent() {
    nothing_is_missing(Kind::Prometheus);
}

#[test]
fn victoria_metrics_misses_nothing_after_a_minute_away_and_a_restart_of_the_agent() {
    nothing_is_missing(Kind::VictoriaMetrics);
}

#[test]
fn a_cgroup_that_ends_is_ended_in_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start(Kind::Prometheus, folder.path());
    let mut cgroups = Cgroups::make("push-end");
    cgroups.child("short");
    cgroups.run_in("short", Command::new("sleep").arg("1000"));
    let url = format!("http://{}/api/v1/write", store.address);
    let flags = ["--remote-write-url", &url, "--remote-write-interval", "1s", "--remote-write-step", "1s"];
    let allow =
        ["--remote-write-allow", "container_memory_*,{__name__=\"container_info\"}", "--remote-write-deny", "*_cache"];
    let agent = Agent::start(flags.iter().chain(&allow));
    let shown = |name: &str| -> usize {
        let query = percent_encode(&format!("count({name}{{id=~\".*push-end.*/short\"}})"));
        let answer = http::get(store.address, &format!("/api/v1/query?query={query}"), &[]).unwrap().json();
        let result = answer["data"]["result"].as_array().unwrap().clone();
        result.first().map_or(0, |one| one["value"][1].as_str().unwrap().parse().unwrap())
    };
    let wait = |what: &str, check: &dyn Fn() -> bool| {
        wait_until(what, Duration::from_secs(60), || if check() { Ok(()) } else { Err(agent.process.log_tail(20)) });
    };
    wait("the cgroup in Prometheus", &|| shown("container_memory_working_set_bytes") == 1);
    assert_eq!(shown("container_cpu_usage_seconds_total"), 0, "it is not on the list of what is allowed");
    assert_eq!(shown("container_memory_cache"), 0, "it is on the list of what is denied");
    cgroups.end_processes();
    cgroups.remove("short");
    // Without an end mark Prometheus would go on showing it for five minutes.
    wait("the end", &|| shown("container_memory_working_set_bytes") == 0);
}
