//! Lifecycle events of real containers: as a list, as a stream that goes on where it was cut, and as log lines.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use support::agent::Agent;
use support::docker::{BUSYBOX, Dockerd};

const SOON: Duration = Duration::from_secs(60);

fn agent_beside(docker: &Dockerd) -> Agent {
    let socket = docker.socket().display().to_string();
    Agent::start(["--docker-socket", &socket, "--podman-socket", "none", "--cri-socket", "none"])
}

fn list(agent: &Agent, query: &str) -> Vec<Value> {
    let answer = agent.get(&format!("/events?follow=false&{query}"), &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["events"].as_array().unwrap().clone()
}

/// The first event of a kind and a container.
fn event(agent: &Agent, kind: &str, container: &str) -> Value {
    agent.process.wait_until(&format!("{kind} of {container}"), SOON, || {
        let found = list(agent, &format!("kind={kind}&container={container}"));
        found.first().cloned().ok_or_else(|| format!("events: {:?}", list(agent, "")))
    })
}

/// The lines of JSON that the agent has written about events.
fn event_lines(agent: &Agent) -> Vec<Value> {
    let log = agent.process.log();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    lines.filter(|line| line["event.dataset"] == "ringside.events").collect()
}

#[test]
fn a_container_is_told_of_from_its_creation_to_its_exit_code() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    let id = docker.run("short", &[BUSYBOX, "sh", "-c", "sleep 3; exit 7"]);

    let exited = event(&agent, "exited", "short");
    assert_eq!((&exited["figures"]["exit_code"], &exited["reason"]), (&7.into(), &"Error".into()), "{exited}");
    assert_eq!((&exited["who"]["container_id"], &exited["severity"]), (&id.as_str().into(), &"warning".into()));
    assert_eq!((&exited["who"]["image"], &exited["who"]["runtime"]), (&BUSYBOX.into(), &"docker".into()));
    assert_eq!(exited["who"]["cgroup"], format!("/docker/{id}"));
    let (created, started) = (event(&agent, "created", "short"), event(&agent, "started", "short"));
    let ids = [&created, &started, &exited].map(|event| event["id"].as_u64().unwrap());
    assert!(ids.is_sorted(), "{ids:?}");
    let by_id = list(&agent, &format!("container={}", &id[..12]));
    assert_eq!(by_id.len(), 3, "{by_id:?}");

    // Each is a line of its own as well, with the same number.
    let lines = event_lines(&agent);
    let line = lines.iter().find(|line| line["event.sequence"] == exited["id"]).expect("a line of the exit");
    for (name, value) in [
        ("event.action", "exited"),
        ("event.outcome", "failure"),
        ("container.id", id.as_str()),
        ("container.name", "short"),
        ("container.image.name", BUSYBOX),
        ("container.runtime", "docker"),
        ("log.level", "warn"),
    ] {
        assert_eq!(line[name], value, "{name} of {line}");
    }
    assert_eq!(line["process.exit_code"], 7);
}

#[test]
fn a_kill_has_the_last_seconds_of_memory_attached() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    // It holds a few megabytes for some seconds and then wants more than its limit.
    let script = "x=$(head -c 3000000 /dev/zero | tr '\\0' x); sleep 4; while :; do x=$x$x; done";
    docker.run("greedy", &["--memory", "32m", "--memory-swap", "32m", BUSYBOX, "sh", "-c", script]);

    let kill = event(&agent, "oom_killed", "greedy");
    assert_eq!((&kill["severity"], &kill["reason"]), (&"error".into(), &"OOMKilled".into()), "{kill}");
    assert_eq!(kill["figures"]["memory_limit_bytes"], 32 << 20, "{kill}");
    let seconds = kill["last_seconds"].as_array().expect("the last seconds");
    assert!(seconds.len() >= 3, "{kill}");
    assert!(seconds.iter().any(|one| one["anon_bytes"].as_u64().is_some_and(|bytes| bytes > 3_000_000)), "{kill}");
    let before: Vec<f64> = seconds.iter().map(|one| one["seconds_before"].as_f64().unwrap()).collect();
    assert!(before.is_sorted_by(|a, b| a > b) && before[0] <= 10.5, "{before:?}");

    let exited = event(&agent, "exited", "greedy");
    assert_eq!((&exited["figures"]["exit_code"], &exited["reason"]), (&137.into(), &"OOMKilled".into()), "{exited}");
    assert_eq!(list(&agent, "kind=oom_killed&container=greedy").len(), 1, "one kill is one event");
}

#[test]
fn a_quota_that_is_too_small_begins_and_ends() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    docker.run("burner", &["--cpus", "0.2", BUSYBOX, "sh", "-c", "while :; do :; done"]);
    let began = event(&agent, "throttling_began", "burner");
    let ratio = began["figures"]["ratio"].as_f64().unwrap();
    assert!(ratio > 0.25 && ratio <= 1.0, "{began}");
    assert_eq!(began["figures"]["cpu_limit_cores"], 0.2);
    docker.cli(&["update", "--cpus", "2", "burner"]);
    let ended = event(&agent, "throttling_ended", "burner");
    assert!(ended["figures"]["highest_ratio"].as_f64().unwrap() >= ratio, "{ended}");
}

/// A client of `text/event-stream`.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(agent: &Agent, query: &str, last_event_id: Option<u64>) -> Self {
        let mut stream = TcpStream::connect(agent.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let last = last_event_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        write!(stream, "GET /events?{query} HTTP/1.1\r\nHost: agent\r\n{last}\r\n").unwrap();
        let mut stream = Self(BufReader::new(stream));
        assert!(stream.line().starts_with("HTTP/1.1 200"));
        let head: Vec<String> = std::iter::from_fn(|| Some(stream.line()).filter(|line| !line.is_empty())).collect();
        assert!(head.iter().any(|line| line == "content-type: text/event-stream; charset=utf-8"), "{head:?}");
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next event: its id, its name and its data. The lengths of chunks stand between, on lines of their own.
    fn next(&mut self) -> (u64, String, Value) {
        let (mut id, mut name) = (0, String::new());
        loop {
            let line = self.line();
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().unwrap();
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            } else if let Some(text) = line.strip_prefix("data: ") {
                return (id, name, serde_json::from_str(text).unwrap());
            }
        }
    }
}

#[test]
fn a_stream_gives_events_as_they_happen_and_goes_on_after_the_last_one() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let mut agent = agent_beside(&docker);
    let mut stream = Stream::open(&agent, "container=first,second", None);
    docker.run("first", &[BUSYBOX, "sleep", "1000"]);
    let (created, name, data) = stream.next();
    assert_eq!((name.as_str(), &data["who"]["container"]), ("created", &"first".into()));
    assert_eq!(data["id"], created);
    drop(stream);
    docker.run("second", &[BUSYBOX, "sleep", "1000"]);
    event(&agent, "started", "second");
    let mut stream = Stream::open(&agent, "container=first,second", Some(created));
    let told: Vec<(String, String)> = (0..3)
        .map(|_| {
            let (_, name, data) = stream.next();
            (name, data["who"]["container"].as_str().unwrap().to_owned())
        })
        .collect();
    let pair = |name: &str, container: &str| (name.to_owned(), container.to_owned());
    assert_eq!(told, [pair("started", "first"), pair("created", "second"), pair("started", "second")]);

    // An id of long ago is a gap, and a stream does not keep an agent from ending.
    let mut old = Stream::open(&agent, "kind=created&container=second", Some(5));
    let (_, name, data) = old.next();
    assert_eq!(name, "gap", "{data}");
    let (_, name, _) = old.next();
    assert_eq!(name, "created");
    agent.process.signal(rustix::process::Signal::TERM);
    let (_, name, data) = old.next();
    assert_eq!((name.as_str(), &data["reason"]), ("end", &"The agent stops.".into()));
    assert_eq!(agent.process.wait(Duration::from_secs(4)), 0);
    let _ = agent.process.stop();
}

#[test]
fn clients_that_follow_are_bounded_and_lists_are_not() {
    let agent = Agent::start(["--docker-socket", "none", "--podman-socket", "none", "--cri-socket", "none"]);
    let streams: Vec<Stream> = (0..32).map(|_| Stream::open(&agent, "", None)).collect();
    let refused = agent.get("/events", &[]);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("follow=false"), "{}", refused.text());
    assert_eq!(list(&agent, "").len(), 0);
    drop(streams);
    agent.process.wait_until("a free place", SOON, || {
        let mut stream = TcpStream::connect(agent.address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(SOON)).map_err(|error| error.to_string())?;
        write!(stream, "GET /events HTTP/1.1\r\nHost: agent\r\n\r\n").map_err(|error| error.to_string())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map_err(|error| error.to_string())?;
        if line.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(line) }
    });
}
