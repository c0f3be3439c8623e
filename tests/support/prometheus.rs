//! A real Prometheus that scrapes what a test tells it to, once a second.
//!
//! In: jobs and their targets. Out: answers to PromQL, and promtool's opinion of a page of metrics.
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::http;
use super::process::{Running, Spawn, free_port, lab_folder, remove_folder_script, wait_until};

pub struct Prometheus {
    pub process: Running,
    pub address: SocketAddr,
    folder: PathBuf,
}

/// A scrape job: its name, the path of the metrics, and `host:port` targets.
pub struct Job<'a> {
    pub name: &'a str,
    pub path: &'a str,
    pub targets: &'a [String],
}

impl Prometheus {
    pub fn start(jobs: &[Job<'_>]) -> Self {
        Self::start_with(jobs, "")
    }

    /// `more` is YAML that is put at the end of the configuration (`rule_files:`, `remote_read:` …).
    pub fn start_with(jobs: &[Job<'_>], more: &str) -> Self {
        Self::start_every("1s", jobs, more, &[])
    }

    /// The same with another scrape interval and more flags.
    pub fn start_every(interval: &str, jobs: &[Job<'_>], more: &str, flags: &[&str]) -> Self {
        let folder = lab_folder("prom");
        let mut config =
            format!("global:\n  scrape_interval: {interval}\n  evaluation_interval: 1s\nscrape_configs:\n");
        for job in jobs {
            let (name, path) = (job.name, job.path);
            let targets = serde_json::to_string(job.targets).unwrap();
            config.push_str(&format!(
                "  - job_name: {name}\n    metrics_path: {path}\n    static_configs:\n      - targets: {targets}\n"
            ));
        }
        if jobs.is_empty() {
            config = config.replace("scrape_configs:\n", "");
        }
        config.push_str(more);
        let config_file = folder.join("prometheus.yml");
        fs::write(&config_file, config).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = Spawn::new("prometheus", "prometheus")
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--web.enable-remote-write-receiver")
            .args(flags)
            .after_end(remove_folder_script(&folder))
            .start(&folder);
        let prometheus = Self { process, address, folder };
        prometheus.process.wait_until("200 from /-/ready", Duration::from_secs(60), || {
            match http::get(address, "/-/ready", &[])? {
                response if response.status == 200 => Ok(()),
                response => Err(format!("status {}", response.status)),
            }
        });
        prometheus
    }

    /// An instant query that must give a vector (or a scalar, which has no labels).
    pub fn query(&self, promql: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        let answer = self.api(&format!("/api/v1/query?query={}", percent_encode(promql)));
        let result = &answer["data"]["result"];
        if answer["data"]["resultType"] == "scalar" {
            return vec![(BTreeMap::new(), sample_value(&result[1]))];
        }
        let series = result.as_array().unwrap_or_else(|| panic!("{promql}: not a vector: {answer}"));
        series
            .iter()
            .map(|one| (serde_json::from_value(one["metric"].clone()).unwrap(), sample_value(&one["value"][1])))
            .collect()
    }

    /// Asks again until `accept` takes the answer: Prometheus scrapes when it wants to.
    pub fn query_until(
        &self,
        promql: &str,
        accept: impl Fn(&[(BTreeMap<String, String>, f64)]) -> bool,
    ) -> Vec<(BTreeMap<String, String>, f64)> {
        wait_until(&format!("an answer to {promql}"), Duration::from_secs(60), || {
            let answer = self.query(promql);
            if accept(&answer) {
                Ok(answer)
            } else {
                Err(format!("{answer:?}; targets: {}", self.api("/api/v1/targets")["data"]["activeTargets"]))
            }
        })
    }

    /// GET of a path of the HTTP API; an answer other than `"status": "success"` fails the test.
    pub fn api(&self, path: &str) -> serde_json::Value {
        let response = http::get(self.address, path, &[]).unwrap_or_else(|error| self.process.fail(&error));
        let answer = response.json();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer
    }
}

fn sample_value(value: &serde_json::Value) -> f64 {
    let text = value.as_str().unwrap_or_else(|| panic!("not a sample value: {value}"));
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

pub fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What `promtool check metrics` says of a page; `Err` when it exits with an error, which it also does for lint.
pub fn promtool_check_metrics(text: &str) -> Result<String, String> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cannot run promtool; tests/lab/setup.sh installs it");
    // The pipe closes here, before the answer is awaited; promtool reads all of it first.
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// What `promtool` says about names that are not ours to choose: cAdvisor's, which the dashboards and alerts of the
/// world ask for. Anything beyond this list is a fault of the agent's.
const ACCEPTED_LINT: [&str; 3] = [
    // Gauges that say how many there are, and do not count events.
    "container_fs_inodes_total non-counter metrics should not have \"_total\" suffix",
    // Counters named after the kernel files of cgroup v1 (`memory.failcnt`, `hugetlb.<size>.failcnt`).
    "container_hugetlb_failcnt counter metrics should have \"_total\" suffix",
    "container_memory_failcnt counter metrics should have \"_total\" suffix",
];

/// Fails the test if promtool finds an error in a page, or a lint that is not on the list of the accepted ones.
pub fn assert_promtool_accepts(page: &str) {
    let said = match promtool_check_metrics(page) {
        Ok(said) | Err(said) => said,
    };
    let unexpected: Vec<_> = said.lines().filter(|line| !ACCEPTED_LINT.contains(line)).collect();
    assert!(unexpected.is_empty(), "promtool finds: {unexpected:#?}");
}
