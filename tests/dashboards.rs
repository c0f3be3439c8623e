//! Dashboards and rules against a real Prometheus that scrapes the agent on real containers.
//!
//! Every query of every panel, every variable's and every rule's must find series: a name that nobody exports, or labels that
//! do not match, show as an empty panel that nobody misses until it is needed.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::agent::Agent;
use support::containerd::{ContainerSpec, Containerd, Pod, PodSpec};
use support::process::{run, try_run, wait_until};
use support::prometheus::{Job, Prometheus};

/// What may be there or not.
const AS_IT_HAPPENS: &str = "ringside_agent_read_errors_total";

/// What cannot be had in this lab, by the beginning of a metric's name, and why.
const NOT_HERE: [(&str, &str); 3] = [
    ("ringside_workload_", "owners of pods are told by an API server"),
    ("ringside_aggregator_", "there is no aggregator"),
    ("ringside_agent_push", "without an aggregator nothing is pushed"),
];

fn repository(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn dashboards() -> Vec<(String, Value)> {
    let mut found: Vec<(String, Value)> = fs::read_dir(repository("dashboards"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found.len(), 8, "dashboards of node, pods, namespaces, pressure, OOM, canary, agent and cluster");
    found
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect()
}

fn variables(dashboard: &Value) -> &Vec<Value> {
    dashboard["templating"]["list"].as_array().unwrap()
}

/// A panel's expression as Grafana sends it with everything selected.
fn replaced(expression: &str) -> String {
    let mut expression = expression.to_owned();
    for (variable, value) in [
        ("$__rate_interval", "1m"),
        ("$cluster", ".*"),
        ("$instance", ".*"),
        ("$namespace", ".*"),
        ("$pod", ".*"),
        ("$label", "container_label_track"),
        ("$baseline", "stable"),
        ("$canary", "canary"),
    ] {
        expression = expression.replace(variable, value);
    }
    assert!(!expression.contains('$'), "a variable that the test does not know: {expression}");
    expression
}

/// The names of metrics in an expression.
fn metrics(expression: &str) -> BTreeSet<&str> {
    let name = regex::Regex::new(r"\b(?:ringside|container|node|machine|process)_[a-z0-9_]+|\bup\b").unwrap();
    // Label names look like metrics' names where they are compared or listed; those begin otherwise, but for this one.
    name.find_iter(expression)
        .map(|found| found.as_str())
        .filter(|name| !name.starts_with("container_label_"))
        .collect()
}

fn not_here(expression: &str) -> Option<&'static str> {
    let is_not = |prefix: &str| metrics(expression).iter().any(|name| name.starts_with(prefix));
    let chance = is_not(AS_IT_HAPPENS).then_some("no file needs to fail");
    NOT_HERE.iter().find(|(prefix, _)| is_not(prefix)).map(|(_, why)| *why).or(chance)
}

#[test]
fn the_dashboards_are_what_their_source_makes() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(repository("dashboards/generate.sh")).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(made.len(), dashboards().len());
    for name in made {
        let read = |folder: &Path| fs::read_to_string(folder.join(&name)).unwrap_or_default();
        let same = read(folder.path()) == read(&repository("dashboards"));
        assert!(same, "{}: run dashboards/generate.sh and commit what it writes", name.display());
    }
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_of_the_chosen_source() {
    let mut titles = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert_eq!(format!("{}.json", dashboard["uid"].as_str().unwrap()), file);
        assert!(titles.insert(dashboard["title"].as_str().unwrap().to_owned()), "{file}: a title is given twice");
        let names: Vec<&str> = variables(&dashboard).iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert!(names.starts_with(&["datasource", "cluster"]), "{file}: {names:?}");
        let ids: BTreeSet<u64> =
            dashboard["panels"].as_array().unwrap().iter().map(|p| p["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), dashboard["panels"].as_array().unwrap().len(), "{file}: ids of panels");
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().unwrap();
            let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
            assert!(text(&panel["description"]), "{file}: {title} has no description");
            assert!(text(&panel["fieldConfig"]["defaults"]["unit"]), "{file}: {title} has no unit");
            let steps = &panel["fieldConfig"]["defaults"]["thresholds"]["steps"];
            assert!(steps.as_array().is_some_and(|steps| !steps.is_empty()), "{file}: {title} has no thresholds");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{file}: {title}");
            for target in panel["targets"].as_array().unwrap() {
                let used = replaced(target["expr"].as_str().unwrap());
                assert!(!metrics(&used).is_empty(), "{file}: {title} asks for nothing: {used}");
            }
        }
    }
}

#[test]
fn the_rules_are_accepted_and_fire_as_their_cases_say() {
    let rules = repository("deploy/rules");
    let at = |name: &str| rules.join(name).display().to_string();
    run("promtool", &["check", "rules", &at("recording.yaml"), &at("alerts.yaml")]);
    let output = try_run("promtool", &["test", "rules", &at("tests.yaml")]);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let tests = fs::read_to_string(rules.join("tests.yaml")).unwrap();
    for alert in rules_of("alerts.yaml").iter().filter_map(|rule| rule["alert"].as_str().map(str::to_owned)) {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no case in tests.yaml");
    }
}

/// The rules of a file, with `alert` or `record`, and `expr`.
fn rules_of(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(repository("deploy/rules").join(file)).unwrap();
    let document: Value = serde_saphyr::from_str(&text).unwrap();
    let groups = document["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn shell(name: &str, script: &str, track: &str) -> ContainerSpec {
    let mut spec = ContainerSpec::new(name, &["/bin/sh", "-c", script]);
    spec.labels.push(("track".to_owned(), track.to_owned()));
    spec
}

/// A pod whose containers are busy, throttled, growing, writing, talking, killed and started again.
fn busy_pod(containerd: &Containerd) -> Pod {
    let uid = format!("5e1f0c2a-77aa-4d0e-0001-{:012x}", std::process::id());
    let pod = containerd.run_pod(PodSpec::new("web-0", "shop", &uid));
    let busy = "while :; do i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; sleep 0.1; done";
    for (name, track) in [("web", "stable"), ("web-canary", "canary")] {
        let mut web = shell(name, busy, track);
        (web.resources.cpu_period, web.resources.cpu_quota) = (100_000, 20_000);
        web.resources.cpu_shares = 204;
        containerd.run_container(&pod, &web);
    }
    // A file that grows is memory too; what is written through reaches the disk.
    let writer = "while :; do dd if=/dev/zero of=/tmp/file bs=256k count=4 conv=fsync 2>/dev/null; cat /tmp/file >/dev/null; sleep 0.5; done";
    containerd.run_container(&pod, &shell("writer", writer, "stable"));
    // Half a megabyte more each second, to a limit that is minutes away.
    let growing = "x=; while :; do x=\"$x$(head -c 500000 /dev/zero | tr '\\0' x)\"; sleep 1; done";
    let mut growing = shell("growing", growing, "stable");
    growing.resources.memory_limit_in_bytes = 256 << 20;
    containerd.run_container(&pod, &growing);
    pod
}

fn run_greedy(containerd: &Containerd, pod: &Pod, attempt: u32) {
    let script = "sleep 5; x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done";
    let mut greedy = ContainerSpec { attempt, ..shell("greedy", script, "stable") };
    greedy.resources.memory_limit_in_bytes = 16 << 20;
    let id = containerd.create_container(pod, &greedy);
    containerd.start_container(&id);
    containerd.process.wait_until("the container's end", Duration::from_secs(60), || {
        match containerd.container_status(&id) {
            status if status.exit_code == 137 => Ok(()),
            status => Err(format!("{status:?}")),
        }
    });
    // It stays, as the kubelet leaves the last ended ones: the runtime is asked how it ended.
}

/// Everything that is asked, in the words of the file that asks it.
fn questions() -> Vec<(String, String)> {
    let mut asked = Vec::new();
    for (file, dashboard) in dashboards() {
        for variable in variables(&dashboard).iter().filter(|one| one["type"] == "query") {
            let query = variable["query"].as_str().unwrap();
            let series = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", ")).unwrap().0;
            asked.push((format!("{file}: variable {}", variable["name"]), replaced(series)));
        }
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                let expression = replaced(target["expr"].as_str().unwrap());
                asked.push((format!("{file}: {}", panel["title"]), expression));
            }
        }
    }
    for rule in rules_of("recording.yaml") {
        let name = rule["record"].as_str().unwrap().to_owned();
        asked.push((format!("recording.yaml: {name}"), rule["expr"].as_str().unwrap().to_owned()));
        asked.push((format!("recording.yaml: {name}"), name));
    }
    for rule in rules_of("alerts.yaml") {
        // Most alerts are silent here; the numbers that they compare must be there.
        for metric in metrics(rule["expr"].as_str().unwrap()) {
            asked.push((format!("alerts.yaml: {}", rule["alert"]), metric.to_owned()));
        }
    }
    asked
}

#[test]
fn every_panel_and_rule_finds_series_on_real_containers() {
    let containerd = Containerd::start();
    let socket = containerd.socket().display().to_string();
    let data = tempfile::tempdir().unwrap();
    let data_dir = data.path().display().to_string();
    let sockets = ["--cri-socket", &socket, "--docker-socket", "none", "--podman-socket", "none"];
    let agent = Agent::start([&sockets[..], &["--data-dir", &data_dir]].concat());
    let at = |name: &str| repository("deploy/rules").join(name).display().to_string();
    let rule_files = format!("rule_files: ['{}', '{}']\n", at("recording.yaml"), at("alerts.yaml"));
    let target = [agent.address.to_string()];
    let jobs = [Job { name: "ringside-agent", path: "/metrics", targets: &target }];
    let prometheus = Prometheus::start_every("1s", &jobs, &rule_files, &["--enable-feature=native-histograms"]);

    let pod = busy_pod(&containerd);
    run_greedy(&containerd, &pod, 0);
    run_greedy(&containerd, &pod, 1);
    prometheus.query_until("ringside_container_restarts_total{container=\"greedy\"} > 0", |found| !found.is_empty());
    prometheus.query_until("ALERTS{alertname=\"ContainerOomKilled\",alertstate=\"firing\"}", |found| !found.is_empty());

    let asked = questions();
    assert!(asked.len() > 150, "{} questions", asked.len());
    let empty = || -> Vec<&(String, String)> {
        let expected = asked.iter().filter(|(_, expression)| not_here(expression).is_none());
        expected.filter(|(_, expression)| prometheus.query(expression).is_empty()).collect()
    };
    wait_until("series for every question", Duration::from_secs(90), || {
        let empty = empty();
        if empty.is_empty() { Ok(()) } else { Err(format!("no series for {empty:#?}")) }
    });
    for (prefix, why) in NOT_HERE {
        let found = prometheus.query(&format!("count({{__name__=~\"{prefix}.*\"}})"));
        assert!(found.is_empty(), "{prefix} is here now, although {why}: take it off the list");
    }
    let rules = prometheus.api("/api/v1/rules");
    for group in rules["data"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }
}
