//! A real Prometheus that scrapes nothing and reads everything from the agent's ring, on real cgroups under load.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a panic is how a test fails, and steps and milliseconds are small"
)]

mod remote_client;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use remote_client::{EQUAL, MATCHES, Series, query, request, streamed, whole};
use ringside::view::api::percent_encode;
use support::agent::Agent;
use support::cgroups::Cgroups;
use support::process::run;
use support::prometheus::Prometheus;

const FLAGS: [&str; 6] = ["--docker-socket", "none", "--podman-socket", "none", "--cri-socket", "none"];

/// Seconds of one-second data that every question is asked over.
const SECONDS: i64 = 32;

/// A scope named as a container runtime names them, with an ID of its own.
fn scope(letter: char) -> String {
    format!("docker-{}.scope", letter.to_string().repeat(64))
}

/// Prometheus without anything of its own: whatever it answers came by remote read.
fn reading(agent: &Agent) -> Prometheus {
    let url = format!("http://{}/api/v1/read", agent.address);
    Prometheus::start_with(&[], &format!("remote_read:\n  - url: {url}\n    read_recent: true\n"))
}

/// Wall clock, in ms, of the newest tick that has a value of this cgroup.
fn newest(agent: &Agent, id: &str) -> i64 {
    raw(agent, id, "cpu_usage_usec").last().expect("a point").0
}

/// The raw points of one metric, as the history API gives them.
fn raw(agent: &Agent, id: &str, metric: &str) -> Vec<(i64, f64)> {
    let path = format!("/api/v1/containers/{}/history?metric={metric}&start=-10m", percent_encode(id));
    let response = agent.get(&path, &[]);
    if response.status == 404 {
        // Its first tick is still to come.
        return Vec::new();
    }
    let answer = response.json();
    let points = answer["points"].as_array().unwrap_or_else(|| panic!("{answer}"));
    points.iter().filter_map(|point| Some(((point[0].as_f64()? * 1000.0).round() as i64, point[1].as_f64()?))).collect()
}

/// What PromQL makes of the samples of `[at - range, at]`: `rate`, written from its documentation and source.
fn rate(samples: &[(i64, f64)], at: i64, range: i64) -> Option<f64> {
    let inside: Vec<_> = samples.iter().copied().filter(|(time, _)| (at - range..=at).contains(time)).collect();
    let (first, last) = (*inside.first()?, *inside.last()?);
    if inside.len() < 2 {
        return None;
    }
    let mut increase = last.1 - first.1;
    for pair in inside.windows(2) {
        if pair[1].1 < pair[0].1 {
            increase += pair[0].1;
        }
    }
    let seconds = |milliseconds: i64| milliseconds as f64 / 1000.0;
    let sampled = seconds(last.0 - first.0);
    let mean = sampled / (inside.len() - 1) as f64;
    let mut before = seconds(first.0 - (at - range));
    let behind = seconds(at - last.0);
    if increase > 0.0 && first.1 >= 0.0 {
        before = before.min(sampled * (first.1 / increase));
    }
    let extend = |gap: f64| if gap < mean * 1.1 { gap } else { mean / 2.0 };
    let factor = (sampled + extend(before) + extend(behind)) / sampled / seconds(range);
    Some(increase * factor)
}

fn max_over_time(samples: &[(i64, f64)], at: i64, range: i64) -> Option<f64> {
    let inside = samples.iter().filter(|(time, _)| (at - range..=at).contains(time));
    inside.map(|(_, value)| *value).reduce(f64::max)
}

/// `histogram_quantile` of cumulative buckets, ascending, the last one without an upper bound.
fn histogram_quantile(quantile: f64, buckets: &[(f64, f64)]) -> f64 {
    let total = buckets[buckets.len() - 1].1;
    let rank = quantile * total;
    let index = buckets[..buckets.len() - 1].iter().position(|(_, count)| *count >= rank);
    let Some(index) = index else { return buckets[buckets.len() - 2].0 };
    let (end, count) = buckets[index];
    if index == 0 {
        return end * (rank / count);
    }
    let (start, below) = buckets[index - 1];
    start + (end - start) * ((rank - below) / (count - below))
}

/// A range query with one-second steps that must give exactly one value per step, without gaps.
fn gapless(prometheus: &Prometheus, promql: &str, start: i64) -> Vec<(BTreeMap<String, String>, Vec<f64>)> {
    let time = |milliseconds: i64| format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    let (from, to) = (time(start), time(start + (SECONDS - 1) * 1000));
    let answer =
        prometheus.api(&format!("/api/v1/query_range?query={}&start={from}&end={to}&step=1", percent_encode(promql)));
    assert!(answer["warnings"].is_null(), "{answer}");
    let series = answer["data"]["result"].as_array().unwrap();
    let one = |one: &serde_json::Value| {
        let values: Vec<f64> =
            one["values"].as_array().unwrap().iter().map(|value| value[1].as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(values.len(), SECONDS as usize, "{promql} has gaps: {one}");
        assert!(values.iter().all(|value| value.is_finite()), "{promql}: {values:?}");
        (serde_json::from_value(one["metric"].clone()).unwrap(), values)
    };
    series.iter().map(one).collect()
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{what}: {found}, expected {expected}");
}

/// Every series of an answer to a hand-made request.
fn read(agent: &Agent, name: &str, more: &[(i32, &str, &str)], range: (i64, i64), shape: i32) -> Vec<Series> {
    let matchers: Vec<_> = [(EQUAL, "__name__", name)].into_iter().chain(more.iter().copied()).collect();
    let body = request(vec![query(range.0, range.1, &matchers)], &[shape]);
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];
    let response = agent.post("/api/v1/read", &headers, &body);
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    if shape == 1 {
        let proto = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
        assert_eq!(response.header("content-type"), Some(proto));
        return streamed(&response.body).into_iter().map(|(_, series)| series).collect();
    }
    assert_eq!(response.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(response.header("content-encoding"), Some("snappy"));
    whole(&response.body).remove(0)
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

/// Waits until the ring holds enough of a cgroup for every question, and gives the first instant to ask about: half a
/// second behind a tick, so that no sample lies at the edge of a window.
fn settled(agent: &Agent, id: &str, range_seconds: i64) -> i64 {
    let needed = SECONDS + range_seconds + 2;
    agent.process.wait_until("enough history", Duration::from_secs(180), || {
        let points = raw(agent, id, "cpu_usage_usec");
        let known = points.last().map_or(0, |last| last.0) - points.first().map_or(0, |first| first.0);
        if known >= needed * 1000 { Ok(()) } else { Err(format!("{known} ms")) }
    });
    newest(agent, id) - (SECONDS - 1) * 1000 - 500
}

#[test]
fn prometheus_answers_from_the_ring_what_the_raw_points_say() {
    let mut cgroups = Cgroups::make(".slice");
    let (busy, calm, brief) = (scope('a'), scope('b'), scope('c'));
    for name in [&busy, &calm, &brief] {
        cgroups.child(name);
    }
    let agent = Agent::start(FLAGS);
    cgroups.run_in(&busy, &mut sh("while :; do :; done"));
    cgroups.run_in(&calm, &mut sh("while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.3; done"));
    let mut ended = sh("i=0; while [ $i -lt 4000000 ]; do i=$((i+1)); done; exec sleep 100");
    let brief_pid = cgroups.run_in(&brief, &mut ended);
    let prometheus = reading(&agent);
    let id = |name: &str| format!("/{}/{name}", cgroups.name);
    let path = |name: &str| format!("id=\"{}\"", id(name));
    agent.process.wait_until("its usage", Duration::from_secs(60), || {
        if raw(&agent, &id(&brief), "cpu_usage_usec").len() >= 8 { Ok(()) } else { Err("few points".to_owned()) }
    });
    run("kill", &["-KILL", &brief_pid.to_string()]);

    let start = settled(&agent, &id(&busy), 10);
    cgroups.remove(&brief);
    let usage = |name: &str| -> Vec<(i64, f64)> {
        raw(&agent, &id(name), "cpu_usage_usec").into_iter().map(|(time, usec)| (time, usec / 1e6)).collect()
    };
    let step = |index: usize| start + index as i64 * 1000;

    // rate
    let points = usage(&busy);
    let rates = gapless(&prometheus, &format!("rate(container_cpu_usage_seconds_total{{{}}}[5s])", path(&busy)), start);
    assert_eq!(rates.len(), 1, "{rates:?}");
    for (index, found) in rates[0].1.iter().enumerate() {
        assert_close(*found, rate(&points, step(index), 5000).unwrap(), "rate");
    }
    assert!(rates[0].1.iter().any(|rate| *rate > 0.05), "a load worth measuring: {:?}", rates[0].1);

    // max_over_time
    let memory = raw(&agent, &id(&calm), "memory_current_bytes");
    let maxima =
        gapless(&prometheus, &format!("max_over_time(container_memory_usage_bytes{{{}}}[10s])", path(&calm)), start);
    assert_eq!(maxima.len(), 1, "{maxima:?}");
    for (index, found) in maxima[0].1.iter().enumerate() {
        assert_close(*found, max_over_time(&memory, step(index), 10_000).unwrap(), "max_over_time");
    }

    // topk over both, at one instant
    let at = step(20);
    let both = format!("id=~\"/{}/docker-.*\"", cgroups.name.replace('.', "\\\\."));
    let topk = format!("topk(1, rate(container_cpu_usage_seconds_total{{{both}}}[5s]))");
    let answer =
        prometheus.api(&format!("/api/v1/query?query={}&time={}.{:03}", percent_encode(&topk), at / 1000, at % 1000));
    let top = &answer["data"]["result"];
    let (busy_rate, calm_rate) = (rate(&points, at, 5000).unwrap(), rate(&usage(&calm), at, 5000).unwrap());
    let (first, expected) = if busy_rate > calm_rate { (&busy, busy_rate) } else { (&calm, calm_rate) };
    assert_eq!(top[0]["metric"]["id"], id(first), "{answer}");
    assert_close(top[0]["value"][1].as_str().unwrap().parse().unwrap(), expected, "topk");

    // One that is gone: its last value is the one the API remembers, and its series has ended.
    agent.process.wait_until("the end of the brief one", Duration::from_secs(30), || {
        let found = read(&agent, "container_cpu_usage_seconds_total", &[(EQUAL, "id", &id(&brief))], (0, i64::MAX), 1);
        let ended = found.first().is_some_and(|series| series.samples.len() > series.values().len());
        if ended { Ok(()) } else { Err(format!("{found:?}")) }
    });
    let gone = read(&agent, "container_cpu_usage_seconds_total", &[(EQUAL, "id", &id(&brief))], (0, i64::MAX), 1);
    assert_eq!(gone[0].values(), usage(&brief));
    let answer = prometheus.query(&format!("max_over_time(container_cpu_usage_seconds_total{{{}}}[5m])", path(&brief)));
    let highest = usage(&brief).into_iter().map(|(_, value)| value).fold(0.0, f64::max);
    assert_eq!(answer.len(), 1, "{answer:?}");
    assert_close(answer[0].1, highest, "of the one that is gone");
    let now = prometheus.query(&format!("container_cpu_usage_seconds_total{{{}}}", path(&brief)));
    assert!(now.is_empty(), "it has ended and is not shown as the present: {now:?}");

    // Both shapes of an answer say the same.
    let range = (start, start + SECONDS * 1000);
    for name in ["container_cpu_usage_seconds_total", "container_memory_rss", "node_cpu_seconds_total"] {
        let chunks = read(&agent, name, &[], range, 1);
        let samples = read(&agent, name, &[], range, 0);
        assert!(!chunks.is_empty(), "{name}");
        let bits = |series: &[Series]| -> Vec<_> { series.iter().map(Series::bits).collect() };
        assert_eq!(bits(&chunks), bits(&samples), "{name}");
    }
    let log = prometheus.process.log();
    let complaints: Vec<_> = log.lines().filter(|line| !line.contains("level=info")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_agents_histogram_of_ticks_is_answered_without_gaps() {
    let cgroups = Cgroups::make(".slice");
    cgroups.child("one");
    let agent = Agent::start(FLAGS);
    let prometheus = reading(&agent);
    let start = settled(&agent, &format!("/{}/one", cgroups.name), 20);
    let question = "histogram_quantile(0.99, rate(ringside_agent_tick_duration_seconds_bucket[20s]))";
    let answer = gapless(&prometheus, question, start);
    assert_eq!(answer.len(), 1, "{answer:?}");

    let path = "/api/v1/export?match[]=ringside_agent_tick_duration_seconds_bucket&start=-10m";
    let text = agent.get(path, &[]);
    let mut buckets: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for line in text.text().lines().filter(|line| !line.starts_with('#')) {
        let (head, rest) = line.split_once(' ').unwrap();
        let (value, time) = rest.split_once(' ').unwrap();
        let le = head.split('"').nth(1).unwrap().to_owned();
        let time = time.replace('.', "").parse().unwrap();
        buckets.entry(le).or_default().push((time, value.parse().unwrap()));
    }
    assert_eq!(buckets.len(), 11, "{:?}", buckets.keys());
    for (index, found) in answer[0].1.iter().enumerate() {
        let at = start + index as i64 * 1000;
        let bound = |le: &str| if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
        let mut rates: Vec<(f64, f64)> =
            buckets.iter().map(|(le, samples)| (bound(le), rate(samples, at, 20_000).unwrap())).collect();
        rates.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert_close(*found, histogram_quantile(0.99, &rates), "histogram_quantile");
    }
    assert!(answer[0].1.iter().all(|quantile| *quantile > 0.0), "{:?}", answer[0].1);
}

#[test]
fn an_export_becomes_blocks_with_the_same_samples() {
    let mut cgroups = Cgroups::make(".slice");
    let name = scope('d');
    cgroups.child(&name);
    let agent = Agent::start(FLAGS);
    cgroups.run_in(&name, &mut sh("while :; do :; done"));
    let id = format!("/{}/{name}", cgroups.name);
    agent.process.wait_until("some history", Duration::from_secs(60), || {
        if raw(&agent, &id, "cpu_usage_usec").len() >= 12 { Ok(()) } else { Err("few points".to_owned()) }
    });
    let end = newest(&agent, &id);
    let selector =
        percent_encode("{__name__=~\"container_cpu.*|container_memory.*|ringside_(node|agent)_.*|container_info\"}");
    let end_seconds = format!("{}.{:03}", end / 1000, end % 1000);
    let path = format!("/api/v1/export?match[]={selector}&start=0&end={end_seconds}&format=openmetrics");
    let response = agent.get(&path, &[]);
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    let folder = agent.folder().join("export");
    fs::create_dir(&folder).unwrap();
    let (file, data) = (folder.join("export.om"), folder.join("data"));
    fs::write(&file, &response.body).unwrap();
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    run("promtool", &["tsdb", "create-blocks-from", "openmetrics", file, data]);

    // It looks for the log of what is not in blocks yet.
    fs::create_dir(folder.join("data/wal")).unwrap();

    // {__name__="…", …} value time
    let mut dumped: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    for line in run("promtool", &["tsdb", "dump", data]).lines() {
        let (rest, time) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        dumped.entry(labels.to_owned()).or_default().push((time.parse().unwrap(), value.to_bits()));
    }
    let names = "container_cpu.*|container_memory.*|ringside_(node|agent)_.*|container_info";
    let body = request(vec![query(0, end, &[(MATCHES, "__name__", names)])], &[1]);
    let series: Vec<_> =
        streamed(&agent.post("/api/v1/read", &[], &body).body).into_iter().map(|(_, one)| one).collect();
    assert!(series.len() > 200, "{}", series.len());
    assert_eq!(dumped.len(), series.len());
    for one in series {
        let labels: Vec<_> = one.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let labels = format!("{{{}}}", labels.join(", "));
        let values: Vec<_> = one.values().into_iter().map(|(time, value)| (time, value.to_bits())).collect();
        let mut found = dumped.remove(&labels).unwrap_or_else(|| panic!("{labels} is missing in the blocks"));
        found.sort_unstable_by_key(|(time, _)| *time);
        assert_eq!(found, values, "{labels}");
    }
}

/// Peak resident memory of a process in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn what_breaks_a_limit_is_refused_and_takes_no_memory() {
    let agent = Agent::start(FLAGS);
    agent.scrape("/metrics");
    let post = |body: &[u8]| agent.post("/api/v1/read", &[], body);
    // Whatever the first request sets up is not what is measured.
    post(&request(vec![query(0, i64::MAX, &[(EQUAL, "__name__", "node_load1")])], &[1]));
    let before = peak_kib(agent.pid());

    let mut bomb = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    bomb.resize(47, 0);
    for _ in 0..50 {
        let refused = post(&bomb);
        assert_eq!(refused.status, 413);
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert!(refused.text().contains("4294967295 bytes when decompressed"), "{}", refused.text());
    }
    assert_eq!(post(&snap::raw::Encoder::new().compress_vec(&vec![7; 8 << 20]).unwrap()).status, 413);
    assert_eq!(post(&vec![0; 100 * 1024]).status, 413);
    assert_eq!(post(b"not snappy at all").status, 400);
    assert_eq!(post(b"").status, 400);
    // A message full of empty queries: two bytes each.
    let many = [0x0a, 0x00].repeat(60 * 1024);
    assert_eq!(post(&snap::raw::Encoder::new().compress_vec(&many).unwrap()).status, 422);
    let grown = "((((x{1000}){1000}){1000}){1000})";
    let refused = post(&request(vec![query(0, 1, &[(MATCHES, "id", grown)])], &[]));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("too large when compiled"), "{}", refused.text());
    assert_eq!(agent.get("/api/v1/export?match[]=%7B%7D", &[]).status, 400);
    let after = peak_kib(agent.pid());
    assert!(after <= before + 6 * 1024, "peak memory went from {before} to {after} KiB");

    let wrong_method = agent.get("/api/v1/read", &[]);
    assert_eq!((wrong_method.status, wrong_method.header("allow")), (405, Some("POST")));
    let wrong_method = agent.post("/api/v1/export?match[]=up", &[], b"x");
    assert_eq!((wrong_method.status, wrong_method.header("allow")), (405, Some("GET, HEAD")));
}
