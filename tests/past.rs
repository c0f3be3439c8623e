//! The past of real cgroups, asked of a live agent: over the API and through `ringside top`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::agent::{Agent, BINARY};
use support::cgroups::Cgroups;
use support::process::wait_until;

/// Names that look like containers, so that `top` lists them without `--all`.
const BUSY: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";
const SHORT: &str = "5050505050505050505050505050505050505050505050505050505050505050";

const SOON: Duration = Duration::from_secs(60);

const SPIN: [&str; 2] = ["-c", "while :; do :; done"];

const FLAGS: [&str; 8] =
    ["--interval", "500ms", "--docker-socket", "none", "--podman-socket", "none", "--cri-socket", "none"];

struct Node {
    agent: Agent,
    cgroups: Cgroups,
}

impl Node {
    fn json(&self, target: &str) -> Value {
        let response = self.agent.get(target, &[]);
        assert_eq!(response.status, 200, "{target}: {}", String::from_utf8_lossy(&response.body));
        response.json()
    }

    /// The test's own containers by the name of their cgroup, as the list shows them.
    fn containers(&self, query: &str) -> (String, Vec<(String, Value)>) {
        let list = self.json(&format!("/api/v1/containers?all&{query}"));
        let below = format!("/{}/", self.cgroups.name);
        let of_test = list["containers"].as_array().unwrap().iter().filter_map(|container| {
            let name = container["cgroup"].as_str()?.strip_prefix(&below)?.to_owned();
            Some((name, container.clone()))
        });
        (list["read_at"].as_str().unwrap().to_owned(), of_test.collect())
    }

    /// Waits for a list in which `accept` holds, and tells its instant.
    fn instant_when(&self, what: &str, accept: impl Fn(&[(String, Value)]) -> bool) -> String {
        wait_until(what, SOON, || {
            let (read_at, containers) = self.containers("");
            if accept(&containers) { Ok(read_at) } else { Err(format!("{containers:?}")) }
        })
    }

    fn top(&self, arguments: &[&str]) -> String {
        let server = format!("http://{}", self.agent.address);
        let output =
            Command::new(BINARY).args(["top", "--once", "--all", "--server", &server]).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn cores(containers: &[(String, Value)], name: &str) -> Option<f64> {
    containers.iter().find(|(known, _)| known == name)?.1["cpu"]["usage_cores"].as_f64()
}

#[test]
fn what_was_busy_is_shown_busy_then_and_idle_now_and_what_is_gone_is_shown_then_only() {
    let mut cgroups = Cgroups::make("");
    for name in [BUSY, SHORT] {
        cgroups.child(name);
        cgroups.run_in(name, Command::new("sh").args(SPIN));
    }
    let mut node = Node { agent: Agent::start(FLAGS), cgroups };
    let busy_at = node.instant_when("both to be busy", |containers| {
        [BUSY, SHORT].iter().all(|name| cores(containers, name).is_some_and(|cores| cores > 0.1))
    });
    node.cgroups.end_processes();
    node.cgroups.run_in(BUSY, Command::new("sleep").arg("1000"));
    wait_until("the cgroup to be removed", SOON, || {
        node.cgroups.remove(SHORT);
        match node.cgroups.v2().join(SHORT).exists() {
            true => Err("still there".to_owned()),
            false => Ok(()),
        }
    });
    node.instant_when("one to be gone and the other idle", |containers| {
        containers.len() == 1 && cores(containers, BUSY).is_some_and(|cores| cores < 0.02)
    });

    // The instant that an answer tells finds its tick again, with the numbers of then.
    let (read_at, then) = node.containers(&format!("at={busy_at}"));
    assert_eq!(read_at, busy_at);
    for name in [BUSY, SHORT] {
        assert!(cores(&then, name).is_some_and(|cores| cores > 0.1), "{then:?}");
    }
    let (_, now) = node.containers("");
    assert_eq!(now.len(), 1);
    assert!(cores(&now, BUSY).is_some_and(|cores| cores < 0.02), "{now:?}");

    // One container by its path, also when it is gone; and its age is the one of then.
    let id = format!("%2F{}%2F{SHORT}", node.cgroups.name);
    let one = node.json(&format!("/api/v1/containers/{id}?at={busy_at}"));
    assert_eq!((one["alive"].as_bool(), one["restarts"].is_null()), (Some(true), true), "{one}");
    assert!(one["age_seconds"].as_f64().is_some_and(|age| age < 1.0), "{one}");
    let gone = node.json(&format!("/api/v1/containers/{id}"));
    assert_eq!((gone["alive"].as_bool(), gone["cpu"]["usage_cores"].is_null()), (Some(false), true), "{gone}");

    // The diff knows both changes.
    let diff = node.json(&format!("/api/v1/diff?all&from={busy_at}"));
    let line = |name: &str| {
        let lines = diff["containers"].as_array().unwrap();
        lines.iter().find(|line| line["cgroup"].as_str().is_some_and(|path| path.ends_with(name))).unwrap().clone()
    };
    assert_eq!(line(BUSY)["fate"], "stayed");
    assert!(line(BUSY)["usage"]["cpu_cores"]["change"].as_f64().is_some_and(|change| change < -0.1), "{diff}");
    assert_eq!(line(SHORT)["fate"], "went");
    assert!(line(SHORT)["usage"]["cpu_cores"]["to"].is_null());

    // The terminal's tables say the same.
    let then = node.top(&["--at", &busy_at]);
    assert!(then.starts_with(&format!("# {busy_at}, tick resolution\n")), "{then}");
    assert!(then.contains(SHORT), "{then}");
    let now = node.top(&[]);
    assert!(now.contains(BUSY) && !now.contains(SHORT), "{now}");
    let changes = node.top(&["--diff", &busy_at, "--filter", SHORT]);
    assert!(changes.lines().any(|line| line.contains(SHORT) && line.contains("went")), "{changes}");

    // The machine stays known, what the ring does not keep does not become 0.
    let then = node.json(&format!("/api/v1/node?at={busy_at}"));
    assert!(then["cpu"]["usage_cores"].as_f64().is_some() && then["ticks"].is_null(), "{then}");
}

#[test]
fn before_the_beginning_of_history_the_answer_says_when_it_begins() {
    let agent = Agent::start(FLAGS);
    let extent = agent.get("/api/v1/ring", &[]).json();
    let oldest = extent["oldest"].as_str().unwrap();
    let response = agent.get("/api/v1/node?at=-2h", &[]);
    assert_eq!(response.status, 404);
    assert!(response.json()["detail"].as_str().unwrap().contains(oldest), "{}", response.text());
    assert_eq!(agent.get(&format!("/api/v1/node?at={oldest}"), &[]).json()["read_at"], oldest);
    let server = format!("http://{}", agent.address);
    let output = Command::new(BINARY).args(["top", "--at", "2h", "--server", &server]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(oldest));
}
