//! The crash loop: the real agent, killed without warning at 200 random moments and started again on its folder.
//!
//! In: agents side by side on real, busy cgroups. Out: everything that the API ever told is compared with what is still
//! told after all kills, by a running agent and by `ringside query` on the folder of a stopped one. Nothing may be wrong,
//! nothing that was shown a tick before a kill may be missing, and a cgroup that is gone is still answered for.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::agent::BINARY;
use support::cgroups::Cgroups;
use support::http;
use support::process::{free_port, wait_until};

const AGENTS: usize = 4;
const KILLS: usize = 50;
const INTERVAL: Duration = Duration::from_millis(100);

/// A busy machine is slow to start an agent, and slow to answer.
const SOON: Duration = Duration::from_secs(60);

/// Once in so many lives a cgroup comes and goes.
const CHURN: usize = 10;

const COLUMNS: [&str; 3] = ["cpu_usage_usec", "memory_current_bytes", "pids_current"];

/// A point: cgroup and column, unix microseconds.
type Key = (String, &'static str, u64);

/// One life of an agent, ended by SIGKILL also when the test fails.
struct Life {
    process: Child,
    address: SocketAddr,
}

impl Life {
    fn begin(folder: &Path) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        // The agent must not outlive a test that is itself killed.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", BINARY, "agent", "--listen", &address.to_string()])
            .args(["--interval", "100ms", "--ring-bytes", "8MiB", "--data-dir"])
            .arg(folder.join("data"))
            .args(["--docker-socket", "none", "--podman-socket", "none", "--cri-socket", "none"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, address }
    }

    /// All points of the test's cgroups. `None` while nothing answers.
    fn points(&self, parent: &str) -> Option<BTreeMap<Key, Value>> {
        let mut points = BTreeMap::new();
        for column in COLUMNS {
            let select = format!("{column}%7Bid%3D~%22%2F{parent}%2F.*%22%7D");
            let response = http::get(self.address, &format!("/api/v1/history?select={select}&start=-1h"), &[]).ok()?;
            if response.status != 200 {
                return None;
            }
            take(&mut points, column, &response.json());
        }
        Some(points)
    }

    fn points_soon(&mut self, parent: &str) -> BTreeMap<Key, Value> {
        wait_until("the agent's history", SOON, || {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the agent ended by itself: {status}");
            }
            self.points(parent).filter(|points| !points.is_empty()).ok_or_else(|| "no answer".to_owned())
        })
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Adds the points of an answer, each of which must come after the one before it.
fn take(points: &mut BTreeMap<Key, Value>, column: &'static str, answer: &Value) {
    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    for series in answer["series"].as_array().unwrap() {
        let id = series["labels"]["id"].as_str().unwrap();
        for point in series["points"].as_array().unwrap() {
            let at = point[0].as_f64().unwrap();
            let before = last.insert(id.to_owned(), at);
            assert!(before.is_none_or(|before| before < at), "{column} of {id} at {at} comes after {before:?}");
            let micros = Duration::from_secs_f64(at).as_micros();
            points.insert((id.to_owned(), column, u64::try_from(micros).unwrap()), point[1].clone());
        }
    }
}

/// What one agent's folder must still hold.
#[derive(Default)]
struct Notes {
    /// Shown at least one tick before a kill.
    certain: BTreeMap<Key, Value>,
    /// Shown in a life's last moment, by life.
    late: Vec<BTreeMap<Key, Value>>,
    missing_late: usize,
}

impl Notes {
    fn check(&mut self, points: &BTreeMap<Key, Value>, when: &str) {
        let missing: Vec<&Key> = self.certain.keys().filter(|key| !points.contains_key(*key)).collect();
        assert!(missing.is_empty(), "{when}: {} of {} are missing: {missing:?}", missing.len(), self.certain.len());
        for (key, value) in self.certain.iter().chain(self.late.iter().flatten()) {
            if let Some(found) = points.get(key) {
                assert_eq!(found, value, "{when}: {key:?}");
            }
        }
        self.missing_late = 0;
        for late in &self.late {
            let lost: BTreeSet<u64> = late.keys().filter(|key| !points.contains_key(*key)).map(|key| key.2).collect();
            assert!(lost.len() <= 1, "{when}: more than the tick in flight was lost: {lost:?}");
            self.missing_late += lost.len();
        }
    }
}

/// Numbers that differ from run to run.
struct Dice(u64);

impl Dice {
    fn between(&mut self, from: Duration, to: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        from + (to - from).mul_f64((self.0 >> 40) as f64 / f64::from(1 << 24))
    }
}

/// A cgroup that lives, works and goes away while the agent looks on. Its name must be unique.
fn come_and_go(life: &mut Life, cgroups: &Cgroups, name: &str) -> BTreeMap<Key, Value> {
    cgroups.child(name);
    let mut work = Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
    for folder in cgroups.folders(name) {
        if Path::new(&folder).is_dir() {
            fs::write(format!("{folder}/cgroup.procs"), work.id().to_string()).unwrap();
        }
    }
    let id = format!("/{}/{name}", cgroups.name);
    let shown = |points: &BTreeMap<Key, Value>| {
        points.iter().filter(|((of, column, _), value)| of == &id && *column == COLUMNS[0] && !value.is_null()).count()
    };
    wait_until("the new cgroup's history", SOON, || {
        let points = life.points_soon(&cgroups.name);
        if shown(&points) >= 3 { Ok(()) } else { Err(format!("{} points", shown(&points))) }
    });
    work.kill().unwrap();
    work.wait().unwrap();
    wait_until("the cgroup to be removed", SOON, || {
        cgroups.remove(name);
        if cgroups.v2().join(name).exists() { Err("still there".to_owned()) } else { Ok(()) }
    });
    life.points_soon(&cgroups.name)
}

/// Begins and kills one agent again and again, and then asks for everything that it ever told.
fn loop_of(number: usize, folder: &Path, cgroups: &Cgroups) -> String {
    let mut dice = Dice(RandomState::new().build_hasher().finish() | 1);
    let mut notes = Notes::default();
    let mut gone = Vec::new();
    let (mut polls, mut answered) = (0, 0);
    for round in 0..KILLS {
        let mut life = Life::begin(folder);
        let mut told: Vec<(Instant, BTreeMap<Key, Value>)> = Vec::new();
        if round % CHURN == CHURN / 2 {
            let name = format!("gone-{number}-{round}");
            let points = come_and_go(&mut life, cgroups, &name);
            notes.check(&points, &format!("agent {number}, life {round}"));
            told.push((Instant::now(), points));
            gone.push(name);
        }
        let end = Instant::now() + dice.between(Duration::from_millis(100), Duration::from_millis(1600));
        while Instant::now() < end {
            polls += 1;
            if let Some(points) = life.points(&cgroups.name) {
                if told.is_empty() && !points.is_empty() {
                    answered += 1;
                    notes.check(&points, &format!("agent {number}, life {round}"));
                }
                told.push((Instant::now(), points));
            }
            sleep(Duration::from_millis(30).min(end.saturating_duration_since(Instant::now())));
        }
        let killed = Instant::now();
        life.kill();
        let mut late = BTreeMap::new();
        for (at, points) in told {
            if at + INTERVAL <= killed {
                notes.certain.extend(points);
            } else {
                late.extend(points);
            }
        }
        late.retain(|key, _| !notes.certain.contains_key(key));
        notes.late.push(late);
    }

    // Nobody runs: the folder alone answers.
    let mut kept = BTreeMap::new();
    for column in COLUMNS {
        let selector = format!("{column}{{id=~\"/{}/.*\"}}", cgroups.name);
        let output = Command::new(BINARY)
            .args(["query", &selector, "--last", "1h", "--format", "json", "--data-dir"])
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        take(&mut kept, column, &serde_json::from_slice(&output.stdout).unwrap());
    }
    notes.check(&kept, &format!("agent {number}, its folder"));
    for name in &gone {
        let id = format!("/{}/{name}", cgroups.name);
        let values =
            kept.iter().filter(|((of, column, _), value)| of == &id && *column == COLUMNS[0] && value.is_u64());
        assert!(values.count() >= 3, "{id} is gone and not answered for");
    }

    // And an agent on it tells the same.
    let mut life = Life::begin(folder);
    let points = life.points_soon(&cgroups.name);
    notes.check(&points, &format!("agent {number}, its last life"));
    for (key, value) in &kept {
        assert_eq!(points.get(key), Some(value), "{key:?} is told by the folder and not by the agent");
    }
    let busy = format!("{}%7Bid%3D%22%2F{}%2Fbusy%22%7D", COLUMNS[0], cgroups.name);
    let answer = http::get(life.address, &format!("/api/v1/history?select={busy}&start=-1h"), &[]).unwrap().json();
    let numbers = answer["series"].as_array().unwrap().len();
    drop(life);
    assert_eq!(numbers, 1, "a cgroup that lives on is one subject through all lives");

    let log = fs::read_to_string(folder.join("log")).unwrap();
    for fault in ["in memory only", "is kept as", "panicked"] {
        assert!(!log.contains(fault), "{fault}: {log}");
    }
    let ends = fs::read_dir(folder.join("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(ends, ["ring"], "nothing is set aside or left behind");
    assert!(
        notes.certain.len() > KILLS * COLUMNS.len(),
        "too little was told to prove anything: {}",
        notes.certain.len()
    );
    format!(
        "agent {number}: {KILLS} kills, {answered} lives answered before their kill, {polls} polls; {} points told a tick \
         before a kill all kept; {} later ticks lost; {} starts found torn pieces",
        notes.certain.len(),
        notes.missing_late,
        log.matches("damaged").count()
    )
}

#[test]
fn two_hundred_kills_lose_at_most_the_tick_in_flight_each_and_nothing_is_ever_wrong() {
    let mut cgroups = Cgroups::make("");
    for name in ["busy", "quiet"] {
        cgroups.child(name);
    }
    cgroups.run_in("busy", Command::new("sh").args(["-c", "while :; do :; done"]));
    cgroups.run_in("quiet", Command::new("sleep").arg("1000"));
    let cgroups = &cgroups;
    let folders: Vec<tempfile::TempDir> = (0..AGENTS).map(|_| tempfile::tempdir().unwrap()).collect();
    std::thread::scope(|scope| {
        let loops: Vec<_> = (0..AGENTS)
            .zip(&folders)
            .map(|(number, folder)| scope.spawn(move || loop_of(number, folder.path(), cgroups)))
            .collect();
        for one in loops {
            println!("{}", one.join().unwrap());
        }
    });
}
