//! What happened between two scrapes, as a real Prometheus that scrapes protobuf sees it; and every text format as readers
//! that share nothing with the writer read it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};

use support::agent::Agent;
use support::docker::{BUSYBOX, Dockerd};
use support::prometheus::{Job, Prometheus, assert_promtool_accepts, percent_encode};

const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

fn agent_beside(docker: &Dockerd, more: &[&str]) -> Agent {
    let socket = docker.socket().display().to_string();
    let flags = ["--docker-socket", &socket, "--podman-socket", "none", "--cri-socket", "none"];
    Agent::start(flags.iter().chain(more))
}

/// A container that burns a CPU for two seconds and then sleeps; 15 s of it must have passed for a scrape in between.
const BURST: [&str; 4] = [BUSYBOX, "sh", "-c", "sleep 12; timeout 2 sh -c 'while :; do :; done'; sleep 600"];

#[test]
fn a_burst_of_two_seconds_is_seen_by_who_scrapes_every_ten() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker, &[]);
    let targets = [agent.address.to_string()];
    let job = Job { name: "ringside", path: "/metrics", targets: &targets };
    let features = ["--enable-feature=native-histograms,exemplar-storage"];
    let prometheus = Prometheus::start_every("10s", &[job], "", &features);
    // On a busy machine the burst gets the CPU before others do.
    docker.run("bursty", &[&["--cpu-shares", "262144"][..], &BURST].concat());
    let series = "{name=\"bursty\"}";
    let peak = format!("max_over_time(ringside_container_cpu_usage_cores_max{series}[1m])");
    let peak = prometheus.query_until(&peak, |found| found.iter().any(|(_, value)| *value > 0.05));
    let (labels, peak) = &peak[0];
    assert_eq!(labels.get("name").map(String::as_str), Some("bursty"));

    let quantile = format!("histogram_quantile(0.99, increase(ringside_container_cpu_usage_cores{series}[1m]))");
    let seen = prometheus.query_until(&quantile, |found| found.iter().any(|(_, value)| *value > 0.05));
    let seen = seen[0].1;
    assert!((0.9..=1.1).contains(&(seen / peak)), "the quantile says {seen}, the highest value {peak}");
    let average = prometheus.query(&format!("rate(container_cpu_usage_seconds_total{series}[1m])"))[0].1;
    assert!(average < peak / 3.0, "the average of {average} hides what the others show: {peak}");

    // The pointer to the moment: an exemplar of the same value, with the tick's time as its label.
    let query = percent_encode(&format!("ringside_container_cpu_usage_cores{series}"));
    let exemplars = prometheus.api(&format!("/api/v1/query_exemplars?query={query}&start=0&end=9999999999"));
    let found: Vec<&serde_json::Value> =
        exemplars["data"].as_array().unwrap().iter().flat_map(|one| one["exemplars"].as_array().unwrap()).collect();
    let leads = |one: &&&serde_json::Value| {
        one["value"].as_str().unwrap().parse::<f64>().is_ok_and(|value| (value - peak).abs() < 1e-9)
    };
    let one = found.iter().find(leads).unwrap_or_else(|| panic!("{peak} is not among {found:?}"));
    let at = one["labels"]["at"].as_str().unwrap();
    assert!(at.len() == 24 && at.starts_with("20") && at.ends_with('Z'), "{at}");
    assert_eq!(prometheus.query("min_over_time(up[1m])")[0].1, 1.0);
}

/// A container that holds about a megabyte more every second.
const LEAK: &str = "x=; while :; do x=\"$x$(head -c 1000000 /dev/zero | tr '\\0' x)\"; sleep 1; done";

#[test]
fn a_container_that_leaks_towards_its_limit_says_how_long_it_has() {
    let docker = Dockerd::start();
    docker.import_busybox();
    docker.run("leaky", &["--memory", "512m", BUSYBOX, "sh", "-c", LEAK]);
    docker.run("boundless", &[BUSYBOX, "sh", "-c", LEAK]);
    let agent = agent_beside(&docker, &[]);
    let family = "ringside_container_memory_time_to_limit_seconds";
    let scrape = agent.scrape_until("growth of more than ten seconds", |scrape| {
        !scrape.find(family, &[("name", "leaky")]).is_empty()
    });
    let seconds = scrape.find(family, &[("name", "leaky")])[0].value;
    let used = scrape.find("container_memory_working_set_bytes", &[("name", "leaky")])[0].value;
    let left = f64::from(512 << 20) - used;
    // The shell grows by one to a few megabytes per second, on a slow machine by less.
    let rate = left / seconds;
    assert!((50e3..50e6).contains(&rate), "{seconds} s for {left} bytes are {rate} bytes/s");
    assert!(scrape.find(family, &[("name", "boundless")]).is_empty(), "without a limit there is no time to it");
}

/// Reads stdin with the parser of `python3-prometheus-client` and prints one line per sample.
const READER: &str = "
import sys
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as text
parse = openmetrics if sys.argv[1] == 'openmetrics' else text
for family in parse.text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        moment = sample.exemplar.labels.get('at', '') if sample.exemplar else ''
        print(family.type, sample.name, len(sample.labels), sample.value, moment)
";

fn read_by_python(format: &str, page: &str) -> Vec<String> {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", READER, format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cannot run python3");
    let (mut stdin, page) = (child.stdin.take().unwrap(), page.to_owned());
    let writer = std::thread::spawn(move || stdin.write_all(page.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "tests/lab/setup.sh installs the parser: {said}");
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn independent_readers_take_every_text_format_with_everything_in_it() {
    let docker = Dockerd::start();
    docker.import_busybox();
    docker.run("labelled", &["--label", "com.example/what=\"x\\y", "--memory", "64m", BUSYBOX, "sleep", "600"]);
    let agent = agent_beside(&docker, &["--label-names", "utf8"]);
    agent.scrape_until("its distributions", |scrape| {
        !scrape.find("ringside_container_cpu_usage_cores_max", &[("name", "labelled")]).is_empty()
    });
    let path = "/metrics?collect%5B%5D=default&collect%5B%5D=distribution&created=1";
    let get = |accept: &str| agent.get(path, &[("Accept", accept)]);

    let old = get("text/plain; version=0.0.4");
    assert_eq!(old.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_promtool_accepts(old.text());
    let by_text = read_by_python("text", old.text());
    assert!(by_text.iter().any(|line| line.starts_with("histogram ringside_container_cpu_usage_cores_bucket ")));
    assert!(old.text().contains(r#"container_label_com_example_what="\"x\\y""#));

    let open = get("application/openmetrics-text; version=1.0.0");
    let by_open = read_by_python("openmetrics", open.text());
    let bucket = |line: &&String| line.starts_with("histogram ringside_container_memory_working_set_bytes_bucket ");
    assert!(by_open.iter().filter(bucket).any(|line| line.ends_with('Z')), "an exemplar that the reader found");
    assert!(by_open.iter().any(|line| line.starts_with("counter container_cpu_usage_seconds_created ")));
    let named = |lines: &[String], name: &str| lines.iter().filter(|line| line.contains(name)).count();
    let name = " container_cpu_usage_seconds_total ";
    assert!(named(&by_open, name) > 0);
    assert_eq!(named(&by_open, name), named(&by_text, name));

    let utf8 = get("text/plain; version=1.0.0; escaping=allow-utf-8");
    assert_eq!(utf8.header("content-type"), Some("text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"));
    assert!(utf8.text().contains(r#""container_label_com.example/what"="\"x\\y""#));
    let dots = get("application/openmetrics-text; version=1.0.0; escaping=dots");
    assert!(dots.text().contains(r#",container__label__com_dot_example__what="\"x\\y""#));
    let protobuf = get(PROTOBUF);
    assert_eq!(
        protobuf.header("content-type"),
        Some("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
    );
}
