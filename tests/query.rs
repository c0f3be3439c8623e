//! `ringside query` as a user runs it: the binary, a running agent, real cgroups.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails by panicking")]

mod support;

use std::process::{Command, Output};
use std::time::Duration;

use support::agent::{Agent, BINARY};
use support::cgroups::Cgroups;
use support::process::run;

fn query(server: &str, arguments: &[&str]) -> Output {
    Command::new(BINARY).arg("query").args(arguments).args(["--server", server]).output().unwrap()
}

/// Standard output of a query that must succeed.
fn answered(agent: &Agent, arguments: &[&str]) -> String {
    let output = query(&format!("http://{}", agent.address), arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(agent: &Agent, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&answered(agent, &[arguments, &["--format", "json"]].concat())).unwrap()
}

/// The kernel's own count of a cgroup's CPU time, in microseconds, from the file that the agent prefers too: the hierarchies
/// of versions 1 and 2 count apart, from the moment at which a process came into each.
fn usage_usec(folders: &[String]) -> u64 {
    let read = |file: &str| {
        folders.iter().filter_map(|folder| std::fs::read_to_string(format!("{folder}/{file}")).ok()).collect::<Vec<_>>()
    };
    let stat = read("cpu.stat").iter().find_map(|text| {
        let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        Some(usage.parse().unwrap())
    });
    stat.unwrap_or_else(|| read("cpuacct.usage").first().unwrap().trim().parse::<u64>().unwrap() / 1_000)
}

/// Waits for `ticks` more ticks.
fn wait_ticks(agent: &Agent, ticks: u64) {
    let tick = || agent.get("/api/v1/node", &[]).json()["ticks"]["tick"].as_u64().unwrap();
    let then = tick() + ticks;
    agent.process.wait_until("more ticks", Duration::from_secs(60), || {
        let now = tick();
        if now >= then { Ok(()) } else { Err(format!("tick {now} of {then}")) }
    });
}

/// A busy cgroup below a parent of the test's own, and an agent that has seen it for a few ticks.
fn busy() -> (Cgroups, Agent, String) {
    let mut cgroups = Cgroups::make("");
    cgroups.child("busy");
    let agent = Agent::start(["--interval", "200ms"]);
    wait_ticks(&agent, 2);
    cgroups.run_in("busy", Command::new("sh").args(["-c", "while :; do :; done"]));
    let selector = format!("cpu_usage_usec{{id=\"/{}/busy\"}}", cgroups.name);
    (cgroups, agent, selector)
}

#[test]
fn the_increase_of_a_busy_cgroup_is_the_kernels_and_it_is_still_answered_when_it_is_gone() {
    let (mut cgroups, agent, selector) = busy();
    wait_ticks(&agent, 10);
    cgroups.end_processes();
    let points = |list: &serde_json::Value| list["series"][0]["points"].as_array().unwrap().clone();
    let number = |point: &serde_json::Value| point[1].as_f64();
    // The kernel charges a process that has ended to the last microsecond a moment later, under load a long one.
    let (folders, mut raw, mut first, mut last) = (cgroups.folders("busy"), Vec::new(), 0.0, 0.0);
    agent.process.wait_until("the kernel's last word", Duration::from_secs(60), || {
        raw = points(&json(&agent, &[&selector, "--last", "5m"]));
        first = raw.iter().find_map(number).unwrap();
        last = raw.iter().rev().find_map(number).unwrap();
        let kernel = u32::try_from(usage_usec(&folders)).map(f64::from).unwrap();
        if (last - kernel).abs() < 1.0 { Ok(()) } else { Err(format!("{last}, and the kernel's count is {kernel}")) }
    });
    assert!(last > 100_000.0, "the cgroup was hardly busy: {last} usec");
    let increases = json(&agent, &[&selector, "--last", "5m", "--step", "1s", "--fn", "increase"]);
    let increase: f64 = points(&increases).iter().filter_map(number).sum();
    assert!((increase - (last - first)).abs() < 1.0, "{increase} against {last} - {first}");
    let rates = json(&agent, &[&selector, "--last", "5m", "--step", "1s", "--fn", "rate"]);
    let seconds = |point: &serde_json::Value| point[0].as_f64().unwrap();
    let busiest = points(&rates).iter().filter_map(number).fold(0.0, f64::max);
    assert!(busiest > 0.0 && busiest < 1_100_000.0, "one process used {busiest} usec per second");
    assert!(raw.is_sorted_by(|a, b| seconds(a) <= seconds(b)));

    cgroups.remove("busy");
    wait_ticks(&agent, 4);
    let gone = json(&agent, &[&selector, "--last", "5m", "--step", "1s", "--fn", "increase"]);
    let still: f64 = points(&gone).iter().filter_map(number).sum();
    assert!((still - increase).abs() < 1.0, "{still} and before it went {increase}");
    let table = answered(&agent, &[&selector, "--last", "5m", "--fn", "rate"]);
    assert!(table.contains("in cores") && table.contains("read from every tick") && table.is_ascii(), "{table}");
    assert!(table.contains("history begins at"), "{table}");
}

#[test]
fn csv_is_read_by_a_csv_reader_and_holds_every_reading() {
    let (cgroups, agent, selector) = busy();
    wait_ticks(&agent, 6);
    let file = agent.folder().join("out.csv");
    let path = file.to_str().unwrap();
    let said = answered(&agent, &[&selector, "--format", "csv", "--output", path]);
    assert_eq!(said, "");
    let mut reader = csv::Reader::from_path(&file).unwrap();
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert!(rows.len() >= 6, "{} rows", rows.len());
    let id = format!("/{}/busy", cgroups.name);
    assert!(rows.iter().all(|row| row[column("id")] == id));
    let values: Vec<u64> = rows.iter().filter_map(|row| row[column("value")].parse().ok()).collect();
    assert!(values.len() >= 6 && values.is_sorted(), "{values:?}");
    assert!(rows.is_sorted_by(|a, b| a[0] < b[0]));
}

/// Standard output of a query to the folder of a stopped agent, which must succeed.
fn read_offline(folder: &str, arguments: &[&str]) -> String {
    let output = Command::new(BINARY).arg("query").args(arguments).args(["--data-dir", folder]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_folder_of_a_stopped_agent_answers_like_the_agent_also_about_a_cgroup_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let mut cgroups = Cgroups::make("");
    cgroups.child("busy");
    let mut agent = Agent::start(["--interval", "200ms", "--data-dir", folder]);
    cgroups.run_in("busy", Command::new("sh").args(["-c", "while :; do :; done"]));
    wait_ticks(&agent, 8);
    cgroups.end_processes();
    cgroups.remove("busy");
    wait_ticks(&agent, 4);
    let id = format!("/{}/busy", cgroups.name);
    let selector = format!("cpu_usage_usec{{id=\"{id}\"}}");
    let asked = [selector.as_str(), "--last", "10m"];
    let raw = |list: &serde_json::Value| list["series"][0]["points"].as_array().unwrap().clone();
    let live = raw(&json(&agent, &asked));
    let name = format!("container_cpu_usage_seconds_total{{id=\"{id}\"}}");
    let export = [name.as_str(), "--last", "10m", "--format", "openmetrics"];
    let live_export = answered(&agent, &export);
    let metrics = agent.get("/metrics", &[]);
    assert!(metrics.text().contains("\nringside_ring_file_active 1\n"), "{}", metrics.text());
    let store = agent.get("/api/v1/node", &[]).json()["store"].clone();
    assert_eq!((&store["persistence"]["active"], &store["tiers"][0]["resolution"]), (&true.into(), &"tick".into()));
    assert_eq!(agent.process.stop(), 0, "{}", agent.process.log());

    let offline =
        raw(&serde_json::from_str(&read_offline(folder, &[&asked[..], &["--format", "json"]].concat())).unwrap());
    assert!(live.len() >= 8, "{live:?}");
    assert_eq!(offline, live);
    let table = read_offline(folder, &[&asked[..], &["--fn", "rate", "--step", "1s"]].concat());
    assert!(table.contains("in cores") && table.contains("read from every tick"), "{table}");
    let csv = read_offline(folder, &[&asked[..], &["--format", "csv"]].concat());
    let rows = csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).count();
    assert_eq!(rows, live.len());
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let offline_export = read_offline(folder, &export);
    assert!(samples(&live_export).len() >= 8 && offline_export.ends_with("# EOF\n"), "{offline_export}");
    assert_eq!(samples(&offline_export), samples(&live_export));

    let output = Command::new(BINARY).args(["query", &selector, "--data-dir", "/nowhere/at/all"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/nowhere/at/all does not exist"), "{said}");
}

#[test]
fn a_file_of_openmetrics_is_loaded_by_promtool() {
    let (cgroups, agent, _) = busy();
    wait_ticks(&agent, 6);
    let file = agent.folder().join("out.om");
    let data = agent.folder().join("data");
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    let name = format!("container_cpu_usage_seconds_total{{id=\"/{}/busy\"}}", cgroups.name);
    assert_eq!(answered(&agent, &[&name, "--format", "openmetrics", "--output", file]), "");
    let text = std::fs::read_to_string(file).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(samples >= 6, "{text}");
    run("promtool", &["tsdb", "create-blocks-from", "openmetrics", file, data]);
    // It looks for the log of what is not in blocks yet.
    std::fs::create_dir(format!("{data}/wal")).unwrap();
    let dumped = run("promtool", &["tsdb", "dump", data]);
    assert_eq!(dumped.lines().filter(|line| line.contains("container_cpu_usage_seconds_total")).count(), samples);
}

#[test]
fn a_wrong_question_ends_with_2_and_an_empty_answer_or_none_with_1() {
    let agent = Agent::start(["--interval", "200ms"]);
    let server = format!("http://{}", agent.address);
    let nobody = format!("http://127.0.0.1:{}", support::process::free_port());
    let cases: [(&str, &[&str], i32, &str); 6] = [
        (&nobody, &["cpu_usage_usec{pod=web}"], 2, "  cpu_usage_usec{pod=web}\n                     ^\n"),
        (&server, &["cpu_usage_used"], 2, "'cpu_usage_usec'"),
        (&server, &["cpu_usage_usec", "--fn", "median"], 2, "quantile"),
        (&server, &["cpu_usage_usec{id=\"/nobody/is/here\"}"], 1, "nothing fits id=\"/nobody/is/here\""),
        (&nobody, &["cpu_usage_usec"], 1, "`ringside agent`"),
        (&server, &["cpu_usage_usec", "--start", "-1m", "--end", "-1h"], 2, "swap"),
    ];
    for (server, arguments, code, hint) in cases {
        let output = query(server, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(code), b"".as_slice()),
            "{arguments:?}: {said}"
        );
        assert!(said.starts_with("error: ") && said.contains(hint), "{arguments:?}: {said}");
    }
}

#[test]
fn help_shows_examples_and_labels() {
    let output = Command::new(BINARY).args(["query", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("promtool") && help.contains("namespace"), "{help}");
}
