//! What the agent as a process must survive: being stopped, having no rights, failing system calls, wrong roots; and
//! what must survive the agent: a network namespace must not be held by who reads its counters.
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
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use support::agent::{Agent, BINARY};
use support::cgroups::Cgroups;
use support::exposition::Scrape;
use support::process::{run, try_run, wait_until};
use support::tree::Tree;

const SOON: Duration = Duration::from_secs(30);
/// Without runtimes, and without log lines about containers: what is logged is the agent's own trouble.
const ALONE: [&str; 8] =
    ["--docker-socket", "none", "--podman-socket", "none", "--cri-socket", "none", "--log-events", "off"];

/// 64 hexadecimal digits that are nobody else's.
fn container_id(number: usize) -> String {
    format!("{number:08x}{:0>56x}", std::process::id())
}

fn scrape_until(agent: &Agent, what: &str, accept: impl Fn(&Scrape) -> Result<(), String>) -> Scrape {
    wait_until(what, SOON, || {
        let scrape = agent.scrape("/metrics");
        accept(&scrape).map(|()| scrape)
    })
}

/// Ticks that were begun and ticks that were missed.
fn ticks(scrape: &Scrape) -> (f64, f64) {
    (scrape.value("ringside_agent_ticks_total", &[]), scrape.value("ringside_agent_missed_ticks_total", &[]))
}

/// The instant at which the newest tick was due, on the wall clock.
fn due(scrape: &Scrape) -> f64 {
    scrape.value("ringside_agent_tick_timestamp_seconds", &[]) - scrape.value("ringside_agent_tick_delay_seconds", &[])
}

#[test]
fn being_stopped_for_five_seconds_is_one_gap_and_the_ticks_come_back_on_the_grid() {
    let agent = Agent::start(ALONE);
    let before = scrape_until(&agent, "two ticks", |scrape| {
        if ticks(scrape).0 >= 2.0 { Ok(()) } else { Err(format!("{:?}", ticks(scrape))) }
    });
    agent.process.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(5));
    agent.process.signal(Signal::CONT);
    let after = scrape_until(&agent, "ticks after the pause", |scrape| {
        let passed = ticks(scrape).0 - ticks(&before).0;
        if passed >= 4.0 && ticks(scrape).1 > ticks(&before).1 { Ok(()) } else { Err(format!("{passed} ticks")) }
    });
    let ((ticks_before, missed_before), (ticks_after, missed_after)) = (ticks(&before), ticks(&after));
    let missed = missed_after - missed_before;
    assert!(missed >= 3.0, "{missed} were missed in five seconds");
    // Each instant of the grid was either a tick or missed: nothing was caught up in a burst, nothing doubled.
    let instants = due(&after) - due(&before);
    let counted = (ticks_after - ticks_before) + missed;
    assert!((instants - counted).abs() < 0.05, "{instants} s passed on the grid, {counted} instants are counted");
    let log = agent.process.log();
    assert_eq!(log.lines().count(), 1, "{log}");
}

/// The binary where a user without rights can reach it.
fn reachable_binary() -> (tempfile::TempDir, String) {
    let folder = tempfile::Builder::new().prefix("rs-bin-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = folder.path().join("ringside");
    if fs::hard_link(BINARY, &binary).is_err() {
        fs::copy(BINARY, &binary).unwrap();
    }
    let path = binary.display().to_string();
    (folder, path)
}

/// Families that only root sees. None: what an unprivileged agent cannot read is no default.
const ONLY_AS_ROOT: [&str; 0] = [];

#[test]
fn without_root_and_without_capabilities_the_same_families_are_shown() {
    let (_folder, binary) = reachable_binary();
    let mut cgroups = Cgroups::make("");
    cgroups.child(container_id(0));
    cgroups.run_in(
        &container_id(0),
        Command::new("unshare").args(["-n", "sh", "-c", "ip link add eth0 type veth peer name other; exec sleep 1000"]),
    );
    let as_root = Agent::start(ALONE);
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--no-new-privs",
        &binary,
    ];
    let as_nobody = Agent::start_through(&nobody, ALONE);
    as_nobody.wait_ready();
    let status = fs::read_to_string(format!("/proc/{}/status", as_nobody.pid())).unwrap();
    assert!(status.contains("Uid:\t65534\t65534") && status.contains("CapEff:\t0000000000000000"), "{status}");
    let id = format!("/{}/{}", cgroups.name, container_id(0));
    let eth0 = [("id", id.as_str()), ("interface", "eth0")];
    for agent in [&as_root, &as_nobody] {
        scrape_until(agent, "the container's network", |scrape| {
            if scrape.has("container_network_receive_bytes_total", &eth0) { Ok(()) } else { Err("not yet".to_owned()) }
        });
    }
    // The newest ticks of both, several times: a family that comes and goes is waited for.
    let families = |agent: &Agent| -> BTreeSet<String> {
        let scrape = agent.scrape("/metrics");
        let names = scrape.names().into_iter().filter(|name| !name.starts_with("ringside_agent_"));
        names.map(str::to_owned).filter(|name| !ONLY_AS_ROOT.contains(&name.as_str())).collect()
    };
    wait_until("the same families", SOON, || {
        let (root, nobody) = (families(&as_root), families(&as_nobody));
        if root == nobody {
            assert!(root.len() > 100, "{} families", root.len());
            return Ok(());
        }
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        Err(format!("only as root: {:?}; only as nobody: {:?}", only(&root, &nobody), only(&nobody, &root)))
    });
    let denied = as_nobody.scrape("/metrics");
    let denied = denied.find("ringside_agent_read_errors_total", &[("class", "denied")]);
    assert!(denied.is_empty(), "nothing that is read by default is forbidden: {denied:?}");
}

#[test]
fn a_network_namespace_ends_with_its_processes_though_it_is_being_read() {
    const MANY: usize = 20;
    let mut cgroups = Cgroups::make("");
    let mut pids = Vec::new();
    for number in 0..MANY {
        cgroups.child(container_id(number));
        pids.push(cgroups.run_in(&container_id(number), Command::new("unshare").args(["-n", "sleep", "1000"])));
    }
    let link = |number: usize| format!("rsv{}n{number}", std::process::id() % 100_000);
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    for (number, pid) in pids.iter().enumerate() {
        wait_until("the namespace", SOON, || match fs::read_link(format!("/proc/{pid}/ns/net")) {
            Ok(namespace) if namespace != own => Ok(()),
            other => Err(format!("{other:?}")),
        });
        let pid = pid.to_string();
        run("ip", &["link", "add", &link(number), "type", "veth", "peer", "name", "eth0", "netns", &pid]);
    }
    let agent = Agent::start(ALONE);
    let parent = format!("/{}/", cgroups.name);
    let count = |scrape: &Scrape| {
        let eth0 = scrape.find("container_network_receive_bytes_total", &[("interface", "eth0")]);
        eth0.iter().filter(|sample| sample.labels["id"].starts_with(&parent)).count()
    };
    scrape_until(&agent, "every namespace", |scrape| {
        if count(scrape) == MANY { Ok(()) } else { Err(format!("{} of {MANY}", count(scrape))) }
    });
    cgroups.end_processes();
    // The cgroups are still there: the agent goes on reading them, and holds nothing of the namespaces.
    wait_until("the end of every veth", SOON, || {
        let left: Vec<usize> =
            (0..MANY).filter(|number| fs::exists(format!("/sys/class/net/{}", link(*number))).unwrap()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} are left")) }
    });
    let end = scrape_until(&agent, "the end of their series", |scrape| {
        if count(scrape) == 0 { Ok(()) } else { Err(format!("{} are shown", count(scrape))) }
    });
    assert!(end.find("ringside_agent_read_errors_total", &[("file", "net/dev")]).is_empty(), "an end is no error");
}

#[test]
fn a_process_number_that_is_used_again_brings_no_other_namespaces_counters() {
    use_a_number_again(&[]);
}

#[test]
fn nor_does_it_where_no_descriptor_may_be_kept() {
    use_a_number_again(&["--kept-files", "0"]);
}

fn use_a_number_again(flags: &[&str]) {
    // In a PID namespace of its own, the next process number can be chosen. A container's process ends, and one of
    // another namespace, in no container, gets its number; then the cgroup must show no interface of that one.
    let mut cgroups = Cgroups::make("");
    cgroups.child(container_id(0));
    let script = r#"
"$BINARY" agent --listen "$LISTEN" $FLAGS &
        echo 4999 >/proc/sys/kernel/ns_last_pid
        unshare -n sh -c 'ip link add mine type veth peer name mine2; exec sleep 1000' &
        first=$!
        for root in $ROOTS; do echo "$first" >"$root/cgroup.procs"; done
        read -r _ <"$FIFO"
        kill -KILL "$first"; wait "$first" 2>/dev/null
        second=0
        # The agent may start a thread at this moment and take the number.
        while [ "$second" != "$first" ]; do
            [ "$second" = 0 ] || kill -KILL "$second"
            echo $((first - 1)) >/proc/sys/kernel/ns_last_pid
            unshare -n sh -c 'ip link add other type veth peer name other2; exec sleep 1000' &
            second=$!
        done
        echo "$first $second" >"$FIFO.numbers"
        wait
    "#;
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    run("mkfifo", &[fifo.to_str().unwrap()]);
    let port = support::process::free_port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut outside = Command::new("unshare");
    outside.args(["-pfm", "--mount-proc", "--kill-child", "sh", "-c", script]);
    outside
        .env("BINARY", BINARY)
        .env("LISTEN", address.to_string())
        .env("FLAGS", [&ALONE[..], flags].concat().join(" "));
    outside
        .env("PATH", support::process::path_with_sbin())
        .env("FIFO", &fifo)
        .env("ROOTS", cgroups.folders(&container_id(0)).join(" "));
    let _pid = cgroups.run_in("", &mut outside);
    let interfaces = || -> Result<Vec<String>, String> {
        let page = support::http::get(address, "/metrics", &[])?;
        if page.status != 200 {
            return Err(page.text().to_owned());
        }
        let scrape = Scrape::parse(page.text());
        let id = format!("/{}/{}", cgroups.name, container_id(0));
        let labels = [("id", id.as_str())];
        let shown = scrape.find("container_network_receive_bytes_total", &labels);
        Ok(shown.iter().map(|sample| sample.labels["interface"].clone()).collect())
    };
    wait_until("the container's own interface", SOON, || {
        let shown = interfaces()?;
        if shown == ["mine2", "mine"] { Ok(()) } else { Err(format!("{shown:?}")) }
    });
    fs::write(&fifo, "now\n").unwrap();
    let numbers = wait_until("the second process", SOON, || {
        fs::read_to_string(folder.path().join("fifo.numbers")).map_err(|error| error.to_string())
    });
    let (first, second) = numbers.trim().split_once(' ').unwrap();
    assert_eq!(first, second, "the number is used again");
    wait_until("the end of the container's interface", SOON, || {
        let shown = interfaces()?;
        assert!(!shown.iter().any(|name| name.starts_with("other")), "another namespace's counters: {shown:?}");
        if shown.is_empty() { Ok(()) } else { Err(format!("{shown:?}")) }
    });
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(interfaces().unwrap(), Vec::<String>::new(), "the cgroup has no process");
    }
}

/// Runs an agent that must refuse to start.
fn refused(flags: &[&str]) -> String {
    let Output { status, stderr, stdout } = try_run(BINARY, &[&["agent"][..], flags].concat());
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{flags:?}: {said}");
    assert!(stdout.is_empty());
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn what_keeps_the_agent_from_starting_is_said_with_the_flag_that_cures_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&["--listen", &address]);
    assert!(said.contains("in use") && said.contains("--listen") && said.contains(&address), "{said}");

    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let said = refused(&["--listen", "127.0.0.1:0", "--cgroupfs", empty, "--procfs", empty]);
    assert!(said.contains("no cgroup") && said.contains("--cgroupfs") && said.contains(empty), "{said}");

    let tree = Tree::copy("v2");
    let cgroupfs = tree.cgroupfs().display().to_string();
    let said = refused(&["--listen", "127.0.0.1:0", "--cgroupfs", &cgroupfs, "--procfs", "/nonexistent"]);
    assert!(said.contains("--procfs") && said.contains("/nonexistent"), "{said}");
}

#[test]
fn roots_that_cannot_be_opened_are_named() {
    let (_folder, binary) = reachable_binary();
    let tree = Tree::copy("v2");
    let mut open = fs::metadata(tree.path()).unwrap().permissions();
    open.set_mode(0o755);
    fs::set_permissions(tree.path(), open).unwrap();
    let proc = tree.path().join("proc");
    fs::set_permissions(&proc, fs::Permissions::from_mode(0o000)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", &binary, "agent"])
        .args(["--listen", "127.0.0.1:0", "--cgroupfs", tree.cgroupfs().to_str().unwrap()])
        .args(["--procfs", proc.join("below").to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--procfs") && said.contains("denied"), "{said}");
}

#[test]
fn a_wrong_cgroupfs_is_not_replaced_without_a_word() {
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let agent = Agent::start([&["--cgroupfs", empty][..], &ALONE].concat());
    let log = agent.process.log();
    let warning =
        log.lines().find(|line| line.contains(r#""log.level":"warn""#)).unwrap_or_else(|| panic!("no warning: {log}"));
    assert!(warning.contains(empty) && warning.contains("mount table"), "{warning}");
}

/// An agent whose system calls fail by a rule of strace's. `-D` leaves the agent the process that was started.
struct Injected {
    agent: Agent,
    folder: tempfile::TempDir,
}

impl Injected {
    fn start(calls: &str, fault: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("strace").display().to_string();
        let (traced, rule) = (format!("trace={calls}"), format!("inject={calls}:{fault}"));
        let strace = ["strace", "-D", "-f", "-qq", "-o", &log, "-e", &traced, "-e", &rule, BINARY];
        let agent = Agent::start_through(&strace, ALONE);
        agent.wait_ready();
        Self { agent, folder }
    }

    /// How many system calls were made to fail.
    fn faults(&self) -> usize {
        let log = fs::read(self.folder.path().join("strace")).unwrap();
        String::from_utf8_lossy(&log).matches("(INJECTED)").count()
    }
}

fn goes_on_and_counts(calls: &str, fault: &str, class: &str) {
    let mut cgroups = Cgroups::make("");
    for number in 0..10 {
        cgroups.child(container_id(number));
    }
    cgroups.run_in(&container_id(0), Command::new("sleep").arg("1000"));
    let injected = Injected::start(calls, fault);
    let agent = &injected.agent;
    let parent = format!("/{}/", cgroups.name);
    let count = |scrape: &Scrape, family: &str| -> usize {
        let ids: BTreeSet<_> = scrape.all(family).map(|sample| sample.labels["id"].clone()).collect();
        ids.iter().filter(|id| id.starts_with(&parent)).count()
    };
    let errors = |scrape: &Scrape| -> f64 {
        scrape.find("ringside_agent_read_errors_total", &[("class", class)]).iter().map(|sample| sample.value).sum()
    };
    let first = scrape_until(agent, "all containers and the first errors", |scrape| {
        let seen = count(scrape, "container_last_seen");
        if seen == 10 && errors(scrape) > 0.0 { Ok(()) } else { Err(format!("{seen}, {} errors", errors(scrape))) }
    });
    let later = scrape_until(agent, "ten more ticks", |scrape| {
        let passed = ticks(scrape).0 - ticks(&first).0;
        if passed >= 10.0 { Ok(()) } else { Err(format!("{passed} ticks")) }
    });
    assert_eq!(count(&later, "container_last_seen"), 10, "no container is lost");
    assert!(injected.faults() > 10, "{} faults", injected.faults());
    let log = agent.process.log();
    assert!(!log.contains("panicked") && log.lines().count() <= 5, "{log}");
}

#[test]
fn the_agent_goes_on_when_opening_fails_now_and_then() {
    goes_on_and_counts("openat,openat2", "error=EMFILE:when=400+7", "exhausted");
}

#[test]
fn the_agent_goes_on_when_reading_fails_now_and_then() {
    goes_on_and_counts("pread64", "error=EIO:when=20+11", "other");
}

#[test]
fn a_cgroup_that_vanishes_while_it_is_read_is_no_error() {
    let mut cgroups = Cgroups::make("");
    cgroups.child(container_id(0));
    cgroups.run_in(&container_id(0), Command::new("sleep").arg("1000"));
    let injected = Injected::start("pread64", "error=ENODEV:when=50+13");
    let agent = &injected.agent;
    let scrape = scrape_until(agent, "ten ticks", |scrape| {
        if ticks(scrape).0 >= 10.0 { Ok(()) } else { Err(format!("{:?}", ticks(scrape))) }
    });
    assert!(injected.faults() > 10, "{} faults", injected.faults());
    assert!(scrape.find("ringside_agent_read_errors_total", &[("class", "gone")]).is_empty());
    let log = agent.process.log();
    assert!(!log.contains("panicked") && log.lines().count() <= 5, "{log}");
}
