//! A real Prometheus scrapes the agent, beside Docker containers under load: formats, rates, joins, staleness.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::time::{Duration, Instant};

use support::agent::Agent;
use support::docker::{BUSYBOX, Dockerd};
use support::exposition::Scrape;
use support::kernel::cpu_seconds;
use support::process::wait_until;
use support::prometheus::{Job, Prometheus, assert_promtool_accepts};

const BURN: [&str; 4] = [BUSYBOX, "sh", "-c", "while :; do :; done"];

fn agent_beside(docker: &Dockerd, more: &[&str]) -> Agent {
    let socket = docker.socket().display().to_string();
    let flags = ["--docker-socket", &socket, "--podman-socket", "none", "--cri-socket", "none"];
    Agent::start(flags.iter().chain(more))
}

fn scraped_by_prometheus(agent: &Agent) -> Prometheus {
    let targets = [agent.address.to_string()];
    let prometheus = Prometheus::start(&[Job { name: "ringside", path: "/metrics", targets: &targets }]);
    prometheus.query_until("up{job=\"ringside\"}", |series| series.iter().any(|(_, value)| *value == 1.0));
    prometheus
}

#[test]
fn promtool_finds_nothing_but_what_cadvisors_own_names_bring_with_them() {
    let docker = Dockerd::start();
    docker.import_busybox();
    for labels in ["full", "slim"] {
        let agent = agent_beside(&docker, &["--labels", labels]);
        let name = format!("burner-{labels}");
        docker.run(&name, &[&["--cpus", "0.2", "--memory", "64m"][..], &BURN].concat());
        let scrape = agent.scrape_until("its name and its throttling", |scrape| {
            scrape
                .find("container_cpu_cfs_throttled_periods_total", &[("name", &name)])
                .iter()
                .any(|sample| sample.value > 0.0)
        });
        assert!(scrape.samples.len() > 500, "a page worth checking: {} samples", scrape.samples.len());
        let text = agent.get("/metrics", &[("Accept", "text/plain; version=0.0.4")]);
        assert_promtool_accepts(text.text());
    }
}

#[test]
fn a_rate_in_prometheus_is_what_the_kernel_says_the_container_used() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker, &[]);
    let id = docker.run("half", &[&["--cpus", "0.5"][..], &BURN].concat());
    let prometheus = scraped_by_prometheus(&agent);

    let rate = "rate(container_cpu_usage_seconds_total{name=\"half\",cpu=\"total\"}[10s])";
    prometheus.query_until(&format!("count_over_time(({rate})[8s:1s])"), |series| {
        series.iter().any(|(_, value)| *value >= 8.0)
    });
    let cgroup = format!("/docker/{id}");
    let (began, before) = (Instant::now(), cpu_seconds(&cgroup));
    std::thread::sleep(Duration::from_secs(10));
    let used = (cpu_seconds(&cgroup) - before) / began.elapsed().as_secs_f64();
    let answer = prometheus.query(rate);
    assert_eq!(answer.len(), 1, "{answer:?}");
    // A busy machine may give it less than its half, and the rate must say so; the quota never gives it more.
    let rate = answer[0].1;
    assert!((used * 0.8..=used * 1.2).contains(&rate), "the kernel says {used} CPUs, Prometheus {rate}");
    assert!(rate <= 0.6, "half a CPU is {rate}");
    assert_eq!(prometheus.query("min_over_time(up[10s])")[0].1, 1.0);

    // Prometheus asks for OpenMetrics and gets it, compressed: there a counter's family has no `_total`.
    let metadata = prometheus.api("/api/v1/metadata?metric=container_cpu_usage_seconds");
    assert_eq!(metadata["data"]["container_cpu_usage_seconds"][0]["type"], "counter", "{metadata}");
    let scrapes = [("format", "openmetrics"), ("compression", "gzip")];
    assert!(agent.scrape("/metrics").value("ringside_agent_scrapes_total", &scrapes) >= 10.0);

    // Nothing of what it was shown was refused: no sample twice, out of order or malformed.
    let log = prometheus.process.log();
    let complaints: Vec<_> = log.lines().filter(|line| !line.contains("level=info")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn a_burst_between_two_scrapes_is_shown_by_the_maximum() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker, &[]);
    let targets = [agent.address.to_string()];
    // The last job goes on where the list of its targets ends.
    let seldom = "    scrape_interval: 15s\n";
    let prometheus = Prometheus::start_with(&[Job { name: "seldom", path: "/metrics", targets: &targets }], seldom);
    prometheus.query_until("up", |series| series.iter().any(|(_, value)| *value == 1.0));
    let burst = "sleep 2; end=$(( $(date +%s) + 2 )); while [ $(date +%s) -lt $end ]; do :; done; exec sleep 1000";
    let id = docker.run("burst", &[BUSYBOX, "sh", "-c", burst]);
    let maximum = "max_over_time(ringside_container_cpu_usage_cores_max{name=\"burst\"}[1m])";
    let shown = prometheus.query_until(maximum, |series| series.iter().any(|(_, value)| *value > 0.1))[0].1;

    // The ring knows every tick: the maximum is the highest of their rates, and no scrape was near it.
    let history = agent.get(&format!("/api/v1/containers/{id}/history?metric=cpu_usage_usec&fn=rate"), &[]).json();
    let rates = history["points"].as_array().unwrap().iter().filter_map(|point| point[1].as_f64());
    let highest = rates.fold(0.0, f64::max) / 1e6;
    assert!((shown - highest).abs() < 1e-6, "shown {shown}, in the ring {highest}");
    let usage = "container_cpu_usage_seconds_total{name=\"burst\"}";
    let two = prometheus
        .query_until(&format!("count_over_time({usage}[1m])"), |series| series.iter().any(|(_, value)| *value >= 2.0));
    assert_eq!(two.len(), 1);
    let mean = prometheus.query(&format!("rate({usage}[1m])"))[0].1;
    assert!(shown > 2.0 * mean, "the burst is {shown} CPUs, its mean between scrapes {mean}");
}

/// Longer than a scrape interval, much shorter than the five minutes for which a series without a mark of its end lives.
const SOON_STALE: Duration = Duration::from_secs(30);

#[test]
fn the_series_of_a_removed_container_end_at_once() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker, &[]);
    docker.run("brief", &BURN);
    docker.run("staying", &[BUSYBOX, "sleep", "1000"]);
    let prometheus = scraped_by_prometheus(&agent);
    let usage = "container_memory_usage_bytes{name=~\"brief|staying\"}";
    prometheus.query_until(usage, |series| series.len() == 2);
    docker.rm("brief");
    wait_until("the end of the series", SOON_STALE, || match prometheus.query(usage).as_slice() {
        [(labels, _)] if labels["name"] == "staying" => Ok(()),
        other => {
            let of_agent = agent.scrape("/metrics");
            let of_agent = of_agent.find("container_memory_usage_bytes", &[("name", "staying")]).len();
            Err(format!("{other:?}; up: {:?}; the agent shows {of_agent} of the staying one", prometheus.query("up")))
        }
    });
    // What outlives it on purpose is its tally.
    let exits = prometheus.query("ringside_container_exits_total{container=\"brief\"}");
    assert_eq!(exits.len(), 1, "{exits:?}");
}

#[test]
fn slim_series_join_their_image_from_container_info() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker, &["--labels", "slim"]);
    let id = docker.run("burner", &[&["--label", "tier=web"][..], &BURN].concat());
    let prometheus = scraped_by_prometheus(&agent);
    let plain = prometheus.query_until("container_memory_usage_bytes{name=\"burner\"}", |series| series.len() == 1);
    assert!(!plain[0].0.contains_key("image"), "slim is slim: {:?}", plain[0].0);
    let join = "sum by (id, image, container_label_tier) (rate(container_cpu_usage_seconds_total{name=\"burner\"}[5s]) \
                * on(id) group_left(image, container_label_tier) container_info)";
    let joined = prometheus.query_until(join, |series| series.len() == 1 && series[0].1 > 0.0);
    let labels = &joined[0].0;
    assert_eq!(labels["id"], format!("/docker/{id}"));
    assert_eq!((labels["image"].as_str(), labels["container_label_tier"].as_str()), (BUSYBOX, "web"));
    // Every container's series finds exactly one partner, or the join is an error.
    let all = "count(container_memory_usage_bytes{name!=\"\"} * on(id) group_left(image) container_info)";
    let with_name = prometheus.query("count(container_memory_usage_bytes{name!=\"\"})");
    assert_eq!(prometheus.query(all)[0].1, with_name[0].1);
}

#[test]
fn both_formats_tell_the_same_numbers() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker, &[]);
    docker.run("staying", &[BUSYBOX, "sleep", "1000"]);
    agent.scrape_until("its name", |scrape| scrape.has("container_memory_usage_bytes", &[("name", "staying")]));
    let open = [("Accept", "application/openmetrics-text; version=1.0.0")];
    // Both of the same tick, if the second comes soon enough after the first.
    wait_until("two pages of one tick", SOON_STALE, || {
        let text = Scrape::parse(agent.get("/metrics", &[]).text());
        let open = Scrape::parse(agent.get("/metrics", &open).text());
        assert!(open.eof && !text.eof);
        let tick = |scrape: &Scrape| scrape.value("ringside_agent_ticks_total", &[]);
        if tick(&text) != tick(&open) {
            return Err("a tick lay between them".to_owned());
        }
        let kernel = |scrape: Scrape| -> Vec<_> {
            let of_kernel =
                |name: &str| ["container_", "node_", "ringside_node_"].iter().any(|own| name.starts_with(own));
            scrape.samples.into_iter().filter(|sample| of_kernel(&sample.name)).collect()
        };
        assert_eq!(kernel(text), kernel(open));
        Ok(())
    });
}
