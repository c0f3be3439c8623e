//! The agent beside cgroups that somebody made to harm it: names, depths, numbers, and limits of its own.
//!
//! Whoever may make cgroups chooses their names, and the kernel refuses only the line feed. So the tests make real
//! ones, below parents of their own.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use support::agent::{Agent, BINARY};
use support::cgroups::Cgroups;
use support::exposition::Scrape;
use support::process::{try_run, wait_until};

const SOON: Duration = Duration::from_secs(30);
/// No runtime is asked: the cgroups of these tests have none.
const ALONE: [&str; 6] = ["--docker-socket", "none", "--podman-socket", "none", "--cri-socket", "none"];

/// Every agent sees every cgroup of the machine. The test that counts its agent's descriptors is alone; the others share.
static MACHINE: RwLock<()> = RwLock::new(());

fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

fn with(more: &[&str]) -> Vec<String> {
    ALONE.iter().chain(more).map(|flag| (*flag).to_owned()).collect()
}

/// The ids that have this family, below this parent.
fn ids<'a>(scrape: &'a Scrape, family: &'a str, parent: &str) -> Vec<&'a str> {
    let below = format!("/{parent}/");
    let ids = scrape.all(family).map(|sample| sample.labels["id"].as_str());
    ids.filter(|id| id.starts_with(&below)).collect()
}

fn scrape_until(agent: &Agent, what: &str, accept: impl Fn(&Scrape) -> Result<(), String>) -> Scrape {
    wait_until(what, SOON, || {
        let scrape = agent.scrape("/metrics");
        accept(&scrape).map(|()| scrape)
    })
}

/// Every line is one JSON object without control bytes, and there are few.
fn assert_quiet(agent: &Agent, most_lines: usize) {
    let log = agent.process.log();
    assert!(log.lines().count() <= most_lines, "{} lines: {log}", log.lines().count());
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line.is_object()), "{line}");
        assert!(!line.bytes().any(|byte| byte < 0x20), "{line:?}");
    }
}

/// 64 hexadecimal digits that are nobody else's.
fn container_id(number: usize) -> String {
    format!("{number:08x}{:0>56x}", std::process::id())
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// As the agent shows bytes: control characters, quotes and what is not UTF-8 in hexadecimal. A backslash stays, since
/// systemd's own names are full of them.
const NAMES: [(&[u8], &str); 10] = [
    (b"quote\"s", "quote\\x22s"),
    (b"back\\slash", "back\\slash"),
    (b"esc\x1b[2J\x1b]0;owned\x07", "esc\\x1b[2J\\x1b]0;owned\\x07"),
    (b"tab\there\rreturn", "tab\\x09here\\x0dreturn"),
    (b"%s%n%1000000d", "%s%n%1000000d"),
    (b"not-utf8-\xff\xfe\xc3", "not-utf8-\\xff\\xfe\\xc3"),
    (b"c1-\xc2\x9b2J", "c1-\\xc2\\x9b2J"),
    (b"} 1\\nfake_metric{id=\"x\"", "} 1\\nfake_metric{id=\\x22x\\x22"),
    (b"literal-\\xff", "literal-\\x5cxff"),
    (b"-rf", "-rf"),
];

#[test]
fn names_that_somebody_chose_are_shown_and_break_nothing() {
    let _machine = shared();
    let mut cgroups = Cgroups::make("");
    for (name, _) in NAMES {
        cgroups.child(OsStr::from_bytes(name));
    }
    let long = "n".repeat(300);
    cgroups.child(&long);
    cgroups.child("m".repeat(600));
    // One of them is a container, so that the terminal shows it too.
    let container = format!("\u{1b}[31m\"/{}", container_id(1));
    cgroups.child(&container);
    cgroups.run_in(&container, Command::new("sleep").arg("1000"));
    let agent = Agent::start(with(&[]));
    let parent = cgroups.name.clone();
    let mut wanted: Vec<String> = NAMES.iter().map(|(_, shown)| format!("/{parent}/{shown}")).collect();
    wanted.push(format!("/{parent}/{long}"));
    wanted.push(format!("/{parent}/\\x1b[31m\\x22/{}", container_id(1)));
    let scrape = scrape_until(&agent, "all names", |scrape| {
        let seen = ids(scrape, "container_memory_usage_bytes", &parent);
        let missing: Vec<&String> = wanted.iter().filter(|id| !seen.contains(&id.as_str())).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} not in {seen:?}")) }
    });
    let seen = ids(&scrape, "container_memory_usage_bytes", &parent);
    assert!(!seen.iter().any(|id| id.contains("mmmm")), "names above 512 bytes are left out");
    assert!(scrape.value("ringside_agent_cgroups_shed", &[]) >= 1.0, "and counted");
    assert!(!scrape.names().contains("fake_metric"));
    let open = agent.get("/metrics", &[("Accept", "application/openmetrics-text; version=1.0.0")]);
    assert!(Scrape::parse(open.text()).eof);
    assert!(agent.get("/api/v1/containers", &[]).json().is_object());

    let url = format!("http://{}", agent.address);
    for what in ["containers", "pods", "node"] {
        let shown = try_run(BINARY, &["top", what, "--once", "--server", &url]);
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    assert_quiet(&agent, 1);
}

#[test]
fn a_pod_that_is_forged_below_a_container_is_not_believed() {
    let _machine = shared();
    let cgroups = Cgroups::make(".slice");
    let prefix = cgroups.name.strip_suffix(".slice").unwrap();
    let (real, forged) = ("11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa");
    let pod = format!("{prefix}-kubepods.slice/{prefix}-kubepods-pod{}.slice", real.replace('-', "_"));
    let container = format!("{pod}/cri-containerd-{}.scope", container_id(1));
    cgroups.child(&container);
    let slice = format!("kubepods-burstable-pod{}.slice", forged.replace('-', "_"));
    for fake in [
        format!("kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{}.scope", container_id(2)),
        format!("kubepods/burstable/pod{forged}/{}", container_id(3)),
        format!("docker/{}", container_id(4)),
        format!("docker-{}.scope", container_id(5)),
    ] {
        cgroups.child(format!("{container}/{fake}"));
    }
    let agent = Agent::start(with(&[]));
    let scrape = scrape_until(&agent, "the real pod", |scrape| {
        let found = scrape.has("container_info", &[("kind", "container"), ("container_id", &container_id(1))]);
        if found { Ok(()) } else { Err("not yet".to_owned()) }
    });
    assert!(scrape.has("container_info", &[("kind", "pod"), ("pod_uid", real)]));
    assert!(!scrape.has("container_info", &[("pod_uid", forged)]), "a pod below a container");
    for number in 2..=5 {
        let id = container_id(number);
        assert!(!scrape.has("container_info", &[("container_id", &id)]), "a container below a container: {number}");
    }
    for page in ["/api/v1/pods", "/api/v1/containers"] {
        let page = agent.get(page, &[]);
        assert!(!page.text().contains(&format!("\"{forged}\"")), "{}", page.text());
    }
    assert_quiet(&agent, 1);
}

#[test]
fn a_chain_of_two_thousand_is_cut_at_a_depth_and_counted() {
    let _machine = shared();
    let cgroups = Cgroups::make("");
    cgroups.chain(2000, &"d".repeat(200));
    let agent = Agent::start(with(&[]));
    let parent = cgroups.name.clone();
    let scrape = scrape_until(&agent, "the upper end of the chain", |scrape| {
        let shed = scrape.value("ringside_agent_cgroups_shed", &[]);
        if shed >= 1.0 { Ok(()) } else { Err(format!("{shed} left out")) }
    });
    // Its ids are longer than a label may be, so they are cut and told apart by the cgroup's number.
    let levels = ids(&scrape, "container_cpu_usage_seconds_total", &parent).len();
    assert!((10..=15).contains(&levels), "{levels} levels below the parent, which is the first of sixteen");
    assert!(scrape.all("container_cpu_usage_seconds_total").all(|sample| sample.labels["id"].len() <= 1024));
    // A new one in the deepest place that is watched does not disturb it either.
    cgroups.child("beside");
    scrape_until(&agent, "a cgroup made afterwards", |scrape| {
        let seen = ids(scrape, "container_cpu_usage_seconds_total", &parent);
        if seen.iter().any(|id| id.ends_with("/beside")) { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    assert_quiet(&agent, 1);
}

#[test]
fn thousands_of_cgroups_that_come_and_go_leave_nothing_behind() {
    let _machine = alone();
    const MANY: usize = 3000;
    let cgroups = Cgroups::make("");
    cgroups.child(container_id(0));
    let agent = Agent::start(with(&["--kept-files", "300"]));
    let parent = cgroups.name.clone();
    let stays = format!("/{parent}/{}", container_id(0));
    let before = scrape_until(&agent, "the container that stays", |scrape| {
        let found = scrape.has("container_memory_usage_bytes", &[("id", &stays)]);
        if found { Ok(()) } else { Err("not yet".to_owned()) }
    });
    let (known, open) = (before.value("ringside_agent_cgroups", &[]), descriptors(agent.pid()));
    let (over, seen) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut most = (0.0f64, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // On a busy machine a tick may fall between two rounds many times: until some were seen it goes on.
            let (begin, least, longest) = (Instant::now(), Duration::from_secs(6), Duration::from_secs(60));
            while begin.elapsed() < least || !seen.load(Ordering::Relaxed) && begin.elapsed() < longest {
                for number in 1..=MANY {
                    cgroups.child_in(&["unified", "memory"], &format!("c{number}"));
                }
                for number in 1..=MANY {
                    cgroups.remove(&format!("c{number}"));
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            let scrape = agent.scrape("/metrics");
            assert!(scrape.has("container_memory_usage_bytes", &[("id", &stays)]), "it was there all the time");
            let kept = scrape.value("ringside_agent_kept_files", &[]);
            assert!(kept <= 300.0, "{kept} files are kept");
            most = (most.0.max(scrape.value("ringside_agent_cgroups", &[])), most.1.max(descriptors(agent.pid())));
            seen.store(most.0 > known + 100.0, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    assert!(most.0 > known + 100.0, "the agent saw them: at most {} cgroups at once", most.0);
    assert!(most.1 <= open + 340, "{} descriptors, {open} before", most.1);
    let after = scrape_until(&agent, "the end of all that went", |scrape| {
        let left = ids(scrape, "container_memory_usage_bytes", &parent);
        if left == [stays.as_str()] { Ok(()) } else { Err(format!("{} are left", left.len())) }
    });
    let errors: Vec<_> = after.find("ringside_agent_read_errors_total", &[]);
    assert!(
        errors.iter().all(|sample| sample.labels["class"] != "other"),
        "a cgroup that goes is no error: {errors:?}"
    );
    wait_until("as few descriptors as before", SOON, || {
        let now = descriptors(agent.pid());
        if now <= open + 20 { Ok(()) } else { Err(format!("{now} descriptors, {open} before")) }
    });
    assert_quiet(&agent, 1);
}

#[test]
fn with_few_descriptors_every_container_is_shown_and_the_server_answers() {
    let _machine = shared();
    const CONTAINERS: usize = 150;
    let mut cgroups = Cgroups::make("");
    for number in 0..CONTAINERS {
        // Not in the unified tree: there is no cgroup.events, and the agent would like to watch every process.
        cgroups.child_in(&["memory", "cpuacct"], &container_id(number));
        cgroups.run_in(&container_id(number), Command::new("sleep").arg("1000"));
    }
    let agent = Agent::start_through(&["prlimit", "--nofile=128", BINARY], with(&[]));
    agent.wait_ready();
    let parent = cgroups.name.clone();
    for family in ["container_memory_usage_bytes", "container_processes"] {
        scrape_until(&agent, "every container", |scrape| {
            let shown = ids(scrape, family, &parent).len();
            if shown == CONTAINERS { Ok(()) } else { Err(format!("{shown} have {family}")) }
        });
    }
    // Sixteen more scrapers at once: the listener has descriptors left.
    let connections: Vec<_> = (0..16).map(|_| std::net::TcpStream::connect(agent.address).unwrap()).collect();
    assert_eq!(agent.get("/metrics", &[]).status, 200);
    drop(connections);
    let scrape = agent.scrape("/metrics");
    assert_eq!(scrape.value("ringside_agent_kept_files", &[]), 0.0);
    assert!(scrape.find("ringside_agent_read_errors_total", &[("class", "exhausted")]).is_empty(), "nothing ran out");
    assert_quiet(&agent, 2);
}

#[test]
fn over_the_cap_containers_come_before_units_and_what_is_left_out_is_counted() {
    let _machine = shared();
    let cgroups = Cgroups::make("");
    for number in 0..100 {
        cgroups.child(format!("unit{number}.service"));
    }
    for number in 0..20 {
        cgroups.child(container_id(number));
    }
    let agent = Agent::start(with(&["--max-cgroups", "50"]));
    let parent = cgroups.name.clone();
    let scrape = scrape_until(&agent, "every container", |scrape| {
        let shown = ids(scrape, "container_memory_usage_bytes", &parent);
        let containers = shown.iter().filter(|id| !id.ends_with(".service")).count();
        if containers == 20 { Ok(()) } else { Err(format!("{containers} containers")) }
    });
    assert!(scrape.value("ringside_agent_cgroups", &[]) <= 50.0);
    let shed = scrape.value("ringside_agent_cgroups_shed", &[]);
    let units =
        ids(&scrape, "container_memory_usage_bytes", &parent).iter().filter(|id| id.ends_with(".service")).count();
    assert!(shed >= (100 - units) as f64, "{shed} were left out, {units} units are shown");
    assert_quiet(&agent, 1);
}
