//! The agent beside a real Docker Engine: what it says against the kernel's own files and against `docker stats`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use support::agent::Agent;
use support::docker::{BUSYBOX, Dockerd};
use support::exposition::Scrape;
use support::process::wait_until;

const SOON: Duration = Duration::from_secs(20);

fn agent_beside(docker: &Dockerd) -> Agent {
    let socket = docker.socket().display().to_string();
    Agent::start(["--docker-socket", &socket, "--podman-socket", "none", "--cri-socket", "none"])
}

/// A file of a container's cgroup: v2's on a v2 machine, else v1's.
fn kernel_file(id: &str, v2: &str, v1: &str) -> String {
    let root = Path::new("/sys/fs/cgroup");
    let path: PathBuf = if root.join("cgroup.controllers").exists() {
        let unit = root.join(format!("system.slice/docker-{id}.scope"));
        let plain = root.join("docker").join(id);
        if plain.exists() { plain.join(v2) } else { unit.join(v2) }
    } else {
        let (controller, file) = v1.split_once('/').unwrap();
        root.join(controller).join("docker").join(id).join(file)
    };
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

/// A value of `key value` lines.
fn keyed(text: &str, key: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    number(line.unwrap_or_else(|| panic!("no {key} in {text}")))
}

/// Scrapes until `accept` takes it; a scrape may come before the tick that shows what is waited for.
fn scrape_until(agent: &Agent, what: &str, accept: impl Fn(&Scrape) -> bool) -> Scrape {
    wait_until(what, SOON, || {
        let scrape = agent.scrape("/metrics");
        if accept(&scrape) { Ok(scrape) } else { Err("not yet".to_owned()) }
    })
}

#[test]
fn a_container_under_a_quota_shows_its_use_its_throttling_and_its_limits() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    let command = [BUSYBOX, "sh", "-c", "while :; do :; done"];
    let id =
        docker.run("burner", &[&["--cpus", "0.25", "--memory", "64m", "--label", "tier=web"][..], &command].concat());
    let name = [("name", "burner")];
    scrape_until(&agent, "throttled periods", |scrape| {
        scrape.find("container_cpu_cfs_throttled_periods_total", &name).iter().any(|sample| sample.value > 10.0)
    });

    // CPU over some seconds: the agent's counter against the kernel's, and both against the quota.
    let usage_seconds = |id: &str| {
        let nanoseconds = |text: String| number(&text) / 1e9;
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            keyed(&kernel_file(id, "cpu.stat", "cpuacct/cpu.stat"), "usage_usec") / 1e6
        } else {
            nanoseconds(kernel_file(id, "cpu.stat", "cpuacct/cpuacct.usage"))
        }
    };
    // Read before and after, the kernel's own counter brackets the agent's, however busy the machine is.
    let bracketed = || {
        let lower = usage_seconds(&id);
        let scrape = scrape_after_next_tick(&agent);
        let upper = usage_seconds(&id);
        let seen = scrape.value("container_cpu_usage_seconds_total", &[("name", "burner"), ("cpu", "total")]);
        assert!((lower..=upper).contains(&seen), "{lower} <= {seen} <= {upper}");
        (scrape, seen)
    };
    let began = std::time::Instant::now();
    let (_, first) = bracketed();
    std::thread::sleep(Duration::from_secs(5));
    let (second, last) = bracketed();
    let most = 0.25 * began.elapsed().as_secs_f64() + 0.1;
    assert!(last > first && last - first <= most, "0.25 CPU allows {most} s, it used {} s", last - first);

    assert_eq!(second.value("container_spec_cpu_quota", &name), 25_000.0);
    assert_eq!(second.value("container_spec_cpu_period", &name), 100_000.0);
    assert_eq!(second.value("container_spec_memory_limit_bytes", &name), 64.0 * 1024.0 * 1024.0);
    let periods = second.value("container_cpu_cfs_periods_total", &name);
    let throttled = second.value("container_cpu_cfs_throttled_periods_total", &name);
    assert!(throttled > 10.0 && throttled <= periods, "{throttled} of {periods} periods");

    let labelled = second.find("container_cpu_usage_seconds_total", &name);
    let labels = &labelled[0].labels;
    assert_eq!(labels["id"], format!("/docker/{id}"));
    assert_eq!(labels["image"], BUSYBOX);
    assert_eq!(labels["container_label_tier"], "web");

    // docker stats asks the kernel as well; it rounds to hundredths of a percent over its own second.
    let percent = docker.stats("burner")["CPUPerc"].as_str().unwrap().trim_end_matches('%').parse::<f64>().unwrap();
    assert!(percent > 0.0 && percent <= 35.0, "docker stats says {percent} %");
}

/// A scrape of a tick that began after this call.
fn scrape_after_next_tick(agent: &Agent) -> Scrape {
    let tick = |agent: &Agent| agent.get("/api/v1/node", &[]).json()["ticks"]["tick"].as_u64().expect("a tick number");
    let now = tick(agent);
    wait_until(
        "the next tick but one",
        SOON,
        || if tick(agent) > now + 1 { Ok(()) } else { Err("not yet".to_owned()) },
    );
    agent.scrape("/metrics")
}

#[test]
fn memory_agrees_with_the_kernels_own_files() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    // A file in the page cache and memory that stays: then the container stands still and every number can be compared.
    let script = "dd if=/dev/zero of=/tmp/file bs=1M count=8 2>/dev/null; x=$(head -c 4000000 /dev/zero | tr '\\0' x); sleep 1000; :";
    let id = docker.run("holder", &["--memory", "128m", BUSYBOX, "sh", "-c", script]);
    let name = [("name", "holder")];
    scrape_until(&agent, "four megabytes of anonymous memory", |scrape| {
        scrape.find("container_memory_rss", &name).iter().any(|sample| sample.value > 4e6)
    });
    // The fifth tick after it stood still reads everything once more.
    std::thread::sleep(Duration::from_secs(7));
    let scrape = agent.scrape("/metrics");
    let usage = number(&kernel_file(&id, "memory.current", "memory/memory.usage_in_bytes"));
    let stat = kernel_file(&id, "memory.stat", "memory/memory.stat");
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let key = |v2_key, v1_key| keyed(&stat, if v2 { v2_key } else { v1_key });
    assert_eq!(scrape.value("container_memory_usage_bytes", &name), usage);
    assert_eq!(scrape.value("container_memory_cache", &name), key("file", "total_cache"));
    assert_eq!(scrape.value("container_memory_rss", &name), key("anon", "total_rss"));
    assert_eq!(scrape.value("container_memory_mapped_file", &name), key("file_mapped", "total_mapped_file"));
    let inactive_file = key("inactive_file", "total_inactive_file");
    assert_eq!(scrape.value("container_memory_working_set_bytes", &name), usage - inactive_file);
    let failures = [("name", "holder"), ("failure_type", "pgfault"), ("scope", "container")];
    assert_eq!(scrape.value("container_memory_failures_total", &failures), key("pgfault", "total_pgfault"));
}

#[test]
fn an_oom_kill_is_counted_and_outlives_the_restart_of_its_container() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    let script = "sleep 1; tail /dev/zero";
    docker.run("glutton", &["--memory", "16m", "--memory-swap", "16m", BUSYBOX, "sh", "-c", script]);
    let key = [("container", "glutton")];
    let kills =
        |scrape: &Scrape| scrape.find("ringside_container_oom_kills_total", &key).first().map_or(0.0, |s| s.value);
    scrape_until(&agent, "one OOM kill", |scrape| kills(scrape) >= 1.0);
    let exit = [("container", "glutton"), ("code", "137"), ("reason", "OOMKilled")];
    scrape_until(&agent, "its exit", |scrape| scrape.has("ringside_container_exits_total", &exit));

    docker.cli(&["start", "glutton"]);
    let second = scrape_until(&agent, "two OOM kills", |scrape| kills(scrape) >= 2.0);
    assert_eq!(kills(&second), 2.0, "each kill is counted once");
    wait_until("the restart", SOON, || {
        let scrape = agent.scrape("/metrics");
        let restarts = scrape.value("ringside_container_restarts_total", &key);
        if restarts == 1.0 { Ok(()) } else { Err(format!("{restarts} restarts")) }
    });
}

/// The whole disk that a folder lies on.
fn disk_of(folder: &Path) -> String {
    let source = support::process::run("df", &["--output=source", folder.to_str().unwrap()]);
    let partition = source.lines().last().unwrap().trim();
    let parent = support::process::run("lsblk", &["-no", "PKNAME", partition]);
    match parent.trim() {
        "" => partition.to_owned(),
        disk => format!("/dev/{disk}"),
    }
}

#[test]
fn disk_writes_are_counted_per_device_as_the_kernel_counts_them() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    let script = "dd if=/dev/zero of=/tmp/file bs=1M count=16 conv=fsync 2>/dev/null; sleep 1000";
    // cgroup v1 counts a container's throttled layer only where it has a limit: a high one, on the disk that holds it.
    let disk = disk_of(&docker.data_root());
    let id = docker.run("writer", &["--device-write-bps", &format!("{disk}:1gb"), BUSYBOX, "sh", "-c", script]);
    let scrape = scrape_until(&agent, "sixteen megabytes written", |scrape| {
        let written = scrape.find("container_fs_writes_bytes_total", &[("name", "writer")]);
        written.iter().map(|sample| sample.value).sum::<f64>() >= 16.0 * 1024.0 * 1024.0
    });
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let text = kernel_file(&id, "io.stat", "blkio/blkio.throttle.io_service_bytes_recursive");
    for sample in scrape.find("container_fs_writes_bytes_total", &[("name", "writer")]) {
        let device = &sample.labels["device"];
        let number =
            std::fs::read_to_string(format!("/sys/class/block/{}/dev", device.trim_start_matches("/dev/"))).unwrap();
        let expected = text.lines().find_map(|line| {
            let rest = line.strip_prefix(number.trim())?.trim_start();
            if v2 {
                rest.split(' ').find_map(|pair| pair.strip_prefix("wbytes="))?.parse::<f64>().ok()
            } else {
                rest.strip_prefix("Write ")?.parse::<f64>().ok()
            }
        });
        assert_eq!(Some(sample.value), expected, "{device} in {text}");
    }
}

#[test]
fn traffic_between_two_containers_is_counted_once_on_each_side() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    let server = "mkdir /www; head -c 5000000 /dev/zero > /www/page; exec httpd -f -p 80 -h /www";
    docker.run("sender", &[BUSYBOX, "sh", "-c", server]);
    let address = docker.inspect("sender")["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
    let client = format!("sleep 1; printf 'GET /page HTTP/1.0\\r\\n\\r\\n' | nc {address} 80 > /dev/null; sleep 1000");
    docker.run("receiver", &[BUSYBOX, "sh", "-c", &client]);
    // A third container in the receiver's namespace, and one in the host's, must not be counted again.
    docker.run("neighbour", &["--network", "container:receiver", BUSYBOX, "sleep", "1000"]);
    docker.run("hosted", &["--network", "host", BUSYBOX, "sleep", "1000"]);

    let received = |scrape: &Scrape, name: &str| {
        let labels = [("name", name), ("interface", "eth0")];
        let found = scrape.find("container_network_receive_bytes_total", &labels);
        found.iter().map(|sample| sample.value).sum::<f64>()
    };
    scrape_until(&agent, "five megabytes received", |scrape| {
        received(scrape, "receiver") + received(scrape, "neighbour") >= 5e6
    });
    // A stray packet may come at any time (ARP, router solicitation): the kernel's own counter, read before and after,
    // brackets the agent's.
    let pid = docker.pid("receiver");
    let kernel = || {
        let net_dev = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
        let line = net_dev.lines().find_map(|line| line.trim_start().strip_prefix("eth0:")).unwrap();
        number(line.split_whitespace().next().unwrap())
    };
    let before = kernel();
    let scrape = scrape_after_next_tick(&agent);
    let after = kernel();
    let seen = received(&scrape, "receiver") + received(&scrape, "neighbour");
    assert!((before..=after).contains(&seen), "{before} <= {seen} <= {after}");
    let series = scrape.find("container_network_receive_bytes_total", &[("interface", "eth0")]);
    let sharing = series
        .iter()
        .filter(|s| matches!(s.labels.get("name").map(String::as_str), Some("receiver" | "neighbour")))
        .count();
    assert_eq!(sharing, 1, "one namespace, one series");
    assert!(scrape.find("container_network_receive_bytes_total", &[("name", "hosted")]).is_empty());
    let sent = scrape.value("container_network_transmit_bytes_total", &[("name", "sender"), ("interface", "eth0")]);
    assert!(sent >= 5e6, "{sent}");
}

#[test]
fn a_container_that_lives_for_two_seconds_is_accounted_to_its_last_microsecond() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    // It notes its own CPU use as its last act; what it burns after that is only the writing of one line.
    let folder = agent.folder().display().to_string();
    let usage = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "grep usage_usec /sys/fs/cgroup/cpu.stat | cut -d ' ' -f 2"
    } else {
        "echo $(( $(cat /sys/fs/cgroup/cpuacct/cpuacct.usage) / 1000 ))"
    };
    let script =
        format!("end=$(( $(date +%s) + 2 )); while [ $(date +%s) -lt $end ]; do :; done; {usage} > /out/usage");
    docker.cli(&["run", "--name", "mayfly", "-v", &format!("{folder}:/out"), BUSYBOX, "sh", "-c", &script]);
    let last_words = number(&std::fs::read_to_string(agent.folder().join("usage")).unwrap()) / 1e6;
    let scrape = scrape_until(&agent, "the ended container's CPU time", |scrape| {
        let found = scrape.find("ringside_container_lifetime_cpu_usage_seconds_total", &[("container", "mayfly")]);
        found.first().is_some_and(|sample| sample.value >= last_words)
            && scrape.has("ringside_container_exits_total", &[("container", "mayfly"), ("code", "0")])
    });
    let lifetime = scrape.value("ringside_container_lifetime_cpu_usage_seconds_total", &[("container", "mayfly")]);
    assert!(lifetime - last_words < 0.1, "it said {last_words} s, the agent says {lifetime} s");
    // Its last row is in one more sample; after that, gone is gone.
    scrape_until(&agent, "its disappearance", |scrape| {
        scrape.find("container_cpu_usage_seconds_total", &[("name", "mayfly")]).is_empty()
    });
}

#[test]
fn a_label_that_holds_a_metric_line_adds_no_series() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    let evil = "note=a\nringside_evil{pod=\"victim\"} 1\n\"\\\u{1b}[2J";
    docker.run("evil", &["--label", evil, BUSYBOX, "sleep", "1000"]);
    let scrape = scrape_until(&agent, "the container's name", |scrape| {
        scrape.has("container_memory_usage_bytes", &[("name", "evil")])
    });
    assert!(!scrape.names().contains("ringside_evil"));
    let sample = scrape.find("container_memory_usage_bytes", &[("name", "evil")])[0];
    assert_eq!(sample.labels["container_label_note"], evil.strip_prefix("note=").unwrap());
}

#[test]
fn an_engine_that_stops_answering_hides_no_container_and_delays_no_tick() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let agent = agent_beside(&docker);
    let id = docker.run("steady", &[BUSYBOX, "sh", "-c", "while :; do :; done"]);
    scrape_until(&agent, "the container's name", |scrape| {
        scrape.has("container_cpu_usage_seconds_total", &[("name", "steady")])
    });
    docker.process.signal(rustix::process::Signal::STOP);
    let cgroup = format!("/docker/{id}");
    let before = agent.scrape("/metrics");
    std::thread::sleep(Duration::from_secs(6));
    let after = agent.scrape("/metrics");
    docker.process.signal(rustix::process::Signal::CONT);
    let usage =
        |scrape: &Scrape| scrape.value("container_cpu_usage_seconds_total", &[("id", &cgroup), ("name", "steady")]);
    assert!(usage(&after) > usage(&before), "its counters go on");
    let missed = after.value("ringside_agent_missed_ticks_total", &[]);
    assert_eq!(missed, before.value("ringside_agent_missed_ticks_total", &[]), "and no tick is missed");
}
