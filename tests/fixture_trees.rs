//! The agent on the captured trees: every number against the captured file it comes from, and the whole page against
//! a snapshot.
//!
//! The files are read here by a few lines of their own, so that the agent and the test can only agree by both being right.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::path::Path;

use support::agent::Agent;
use support::exposition::Scrape;
use support::process::wait_until;
use support::tree::{TREES, Tree, read};

/// The number after `key ` in a flat keyed file.
fn keyed(file: &Path, key: &str) -> f64 {
    let text = read(file);
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    number(line.unwrap_or_else(|| panic!("no {key} in {}", file.display())))
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or_else(|_| panic!("not a number: {text:?}"))
}

/// A file of one number; what v2 calls `max`, and v1 writes as nearly 2^63, is 0 in cAdvisor's metrics.
fn limit(file: &Path) -> f64 {
    let text = read(file);
    if text.trim() == "max" || text.trim() == "9223372036854771712" { 0.0 } else { number(&text) }
}

/// `total=` of the `some` or `full` line.
fn pressure_total(file: &Path, line: &str) -> f64 {
    let text = read(file);
    let line = text.lines().find(|found| found.starts_with(line)).unwrap();
    number(line.split_once("total=").unwrap().1)
}

/// Past the third tick: rates and what is read seldom are there.
fn settled(agent: &Agent) -> Scrape {
    wait_until("three ticks", std::time::Duration::from_secs(20), || {
        let scrape = agent.scrape("/metrics");
        let ticks = scrape.value("ringside_agent_ticks_total", &[]);
        if ticks >= 3.0 { Ok(scrape) } else { Err(format!("{ticks} ticks")) }
    })
}

fn each_container(mut check: impl FnMut(&Tree, &Scrape, &str, [(&str, &str); 1])) {
    for name in TREES {
        let tree = Tree::copy(name);
        let agent = tree.agent();
        let scrape = settled(&agent);
        for cgroup in &tree.containers {
            let id = format!("/{cgroup}");
            check(&tree, &scrape, cgroup, [("id", &id)]);
        }
        let errors = scrape.find("ringside_agent_read_errors_total", &[]);
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

/// Equal but for the last bits of a division.
fn assert_close(tree: &Tree, scrape: &Scrape, family: &str, labels: &[(&str, &str)], expected: f64) {
    let seen = scrape.value(family, labels);
    let tolerance = 1e-12 * expected.abs().max(1.0);
    assert!((seen - expected).abs() <= tolerance, "{} {family}{labels:?}: {seen}, the file says {expected}", tree.name);
}

#[test]
fn cpu_use_and_throttling_are_the_files() {
    each_container(|tree, scrape, cgroup, id| {
        let stat = tree.file(cgroup, "cpu.stat", "cpu/cpu.stat");
        let (usage, user, system) = if tree.name == "v1" {
            let ticks = tree.file(cgroup, "", "cpuacct/cpuacct.stat");
            // The agent keeps whole microseconds.
            let usage_usec = (number(&read(&tree.file(cgroup, "", "cpuacct/cpuacct.usage"))) / 1e3).floor();
            (usage_usec / 1e6, keyed(&ticks, "user") / 100.0, keyed(&ticks, "system") / 100.0)
        } else {
            let usage = tree.file(cgroup, "cpu.stat", "unified/cpu.stat");
            (keyed(&usage, "usage_usec") / 1e6, keyed(&usage, "user_usec") / 1e6, keyed(&usage, "system_usec") / 1e6)
        };
        let total = [id[0], ("cpu", "total")];
        assert!(usage > 0.0);
        assert_close(tree, scrape, "container_cpu_usage_seconds_total", &total, usage);
        assert_close(tree, scrape, "container_cpu_user_seconds_total", &id, user);
        assert_close(tree, scrape, "container_cpu_system_seconds_total", &id, system);

        let quota = read(&tree.file(cgroup, "cpu.max", "cpu/cpu.cfs_quota_us"));
        let quota = quota.split_whitespace().next().unwrap();
        let families = ["container_cpu_cfs_periods_total", "container_cpu_cfs_throttled_periods_total"];
        if quota == "max" || quota == "-1" {
            // Without a quota nothing can be throttled: cAdvisor shows no series either.
            assert!(families.iter().all(|family| !scrape.has(family, &id)), "{}: {cgroup}", tree.name);
            assert!(!scrape.has("container_spec_cpu_quota", &id));
            return;
        }
        assert!(keyed(&stat, "nr_throttled") > 0.0);
        assert_close(tree, scrape, families[0], &id, keyed(&stat, "nr_periods"));
        assert_close(tree, scrape, families[1], &id, keyed(&stat, "nr_throttled"));
        let throttled_usec = if tree.name == "v2" {
            keyed(&stat, "throttled_usec")
        } else {
            (keyed(&stat, "throttled_time") / 1e3).floor()
        };
        assert_close(tree, scrape, "container_cpu_cfs_throttled_seconds_total", &id, throttled_usec / 1e6);
        assert_close(tree, scrape, "container_spec_cpu_quota", &id, number(quota));
    });
}

#[test]
fn memory_its_limits_and_its_oom_kills_are_the_files() {
    each_container(|tree, scrape, cgroup, id| {
        let v2 = tree.name == "v2";
        let usage = number(&read(&tree.file(cgroup, "memory.current", "memory/memory.usage_in_bytes")));
        let stat = tree.file(cgroup, "memory.stat", "memory/memory.stat");
        let key = |v2_key: &str, v1_key: &str| keyed(&stat, if v2 { v2_key } else { v1_key });
        assert_close(tree, scrape, "container_memory_usage_bytes", &id, usage);
        let working_set = (usage - key("inactive_file", "total_inactive_file")).max(0.0);
        assert_close(tree, scrape, "container_memory_working_set_bytes", &id, working_set);
        assert_close(tree, scrape, "container_memory_cache", &id, key("file", "total_cache"));
        assert_close(tree, scrape, "container_memory_rss", &id, key("anon", "total_rss"));
        assert_close(tree, scrape, "container_memory_mapped_file", &id, key("file_mapped", "total_mapped_file"));
        for kind in ["pgfault", "pgmajfault"] {
            let labels = [id[0], ("failure_type", kind), ("scope", "container")];
            assert_close(tree, scrape, "container_memory_failures_total", &labels, key(kind, &format!("total_{kind}")));
        }
        let memory_limit = limit(&tree.file(cgroup, "memory.max", "memory/memory.limit_in_bytes"));
        assert_close(tree, scrape, "container_spec_memory_limit_bytes", &id, memory_limit);
        let kills = keyed(&tree.file(cgroup, "memory.events", "memory/memory.oom_control"), "oom_kill");
        assert_close(tree, scrape, "container_oom_events_total", &id, kills);
        if !v2 {
            let failures = number(&read(&tree.file(cgroup, "", "memory/memory.failcnt")));
            assert_close(tree, scrape, "container_memory_failcnt", &id, failures);
        }
    });
}

#[test]
fn disk_use_is_the_files_device_by_device_with_its_name() {
    let mut devices_seen = 0;
    each_container(|tree, scrape, cgroup, id| {
        let mut expect = |family: &str, number: &str, value: f64| {
            let device = format!("/dev/{}", tree.devices[number]);
            assert_close(tree, scrape, family, &[id[0], ("device", &device)], value);
            devices_seen += 1;
        };
        if tree.name == "v2" {
            for line in read(&tree.file(cgroup, "io.stat", "")).lines() {
                let (number_of_device, pairs) = line.split_once(' ').unwrap();
                for pair in pairs.split_whitespace() {
                    let (key, value) = pair.split_once('=').unwrap();
                    let family = match key {
                        "rbytes" => "container_fs_reads_bytes_total",
                        "wbytes" => "container_fs_writes_bytes_total",
                        "rios" => "container_fs_reads_total",
                        "wios" => "container_fs_writes_total",
                        _ => continue,
                    };
                    expect(family, number_of_device, number(value));
                }
            }
            return;
        }
        for (file, read_family, write_family) in [
            ("io_service_bytes", "container_fs_reads_bytes_total", "container_fs_writes_bytes_total"),
            ("io_serviced", "container_fs_reads_total", "container_fs_writes_total"),
        ] {
            let file = tree.file(cgroup, "", &format!("blkio/blkio.throttle.{file}_recursive"));
            for line in read(&file).lines().filter(|line| !line.starts_with("Total")) {
                let fields: Vec<&str> = line.split(' ').collect();
                match fields[1] {
                    "Read" => expect(read_family, fields[0], number(fields[2])),
                    "Write" => expect(write_family, fields[0], number(fields[2])),
                    _ => {}
                }
            }
        }
    });
    assert!(devices_seen >= 12, "every tree has a container that uses a disk: {devices_seen} values");
}

#[test]
fn processes_threads_and_pressure_are_the_files() {
    each_container(|tree, scrape, cgroup, id| {
        let threads = number(&read(&tree.file(cgroup, "pids.current", "pids/pids.current")));
        assert_close(tree, scrape, "container_threads", &id, threads);
        assert_close(
            tree,
            scrape,
            "container_threads_max",
            &id,
            limit(&tree.file(cgroup, "pids.max", "pids/pids.max")),
        );
        let processes = read(&tree.file(cgroup, "cgroup.procs", "memory/cgroup.procs")).lines().count();
        assert_close(tree, scrape, "container_processes", &id, processes as f64);
        for resource in ["cpu", "memory", "io"] {
            let waiting = format!("container_pressure_{resource}_waiting_seconds_total");
            let stalled = format!("container_pressure_{resource}_stalled_seconds_total");
            if tree.name == "v1" {
                assert!(!scrape.has(&waiting, &id) && !scrape.has(&stalled, &id), "v1 has no pressure of cgroups");
                continue;
            }
            let file = format!("{resource}.pressure");
            let file = tree.file(cgroup, &file, &format!("unified/{file}"));
            assert_close(tree, scrape, &waiting, &id, pressure_total(&file, "some") / 1e6);
            assert_close(tree, scrape, &stalled, &id, pressure_total(&file, "full") / 1e6);
        }
    });
}

#[test]
fn the_node_is_its_files() {
    for name in TREES {
        let tree = Tree::copy(name);
        let agent = tree.agent();
        let scrape = settled(&agent);
        let proc = |file: &str| read(&tree.path().join("proc").join(file));
        for line in proc("stat").lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let modes = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
            for (mode, ticks) in modes.iter().zip(&fields[1..]) {
                let labels = [("cpu", &fields[0][3..]), ("mode", *mode)];
                assert_close(&tree, &scrape, "node_cpu_seconds_total", &labels, number(ticks) / 100.0);
            }
        }
        let meminfo = proc("meminfo");
        let kilobytes = |key: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
            number(line.trim().strip_suffix(" kB").unwrap()) * 1024.0
        };
        assert_close(&tree, &scrape, "node_memory_MemTotal_bytes", &[], kilobytes("MemTotal"));
        assert_close(&tree, &scrape, "node_memory_MemAvailable_bytes", &[], kilobytes("MemAvailable"));
        assert_close(&tree, &scrape, "node_memory_Dirty_bytes", &[], kilobytes("Dirty"));
        assert_close(&tree, &scrape, "machine_memory_bytes", &[], kilobytes("MemTotal"));
        assert_close(&tree, &scrape, "machine_cpu_cores", &[], 2.0);
        let vmstat = tree.path().join("proc/vmstat");
        assert_close(&tree, &scrape, "node_vmstat_oom_kill", &[], keyed(&vmstat, "oom_kill"));
        let load = proc("loadavg");
        assert_close(&tree, &scrape, "node_load1", &[], number(load.split(' ').next().unwrap()));
        let disk = proc("diskstats");
        let disk: Vec<&str> = disk
            .lines()
            .find(|line| line.split_whitespace().nth(2) == Some("vda"))
            .unwrap()
            .split_whitespace()
            .collect();
        let vda = [("device", "vda")];
        assert_close(&tree, &scrape, "node_disk_reads_completed_total", &vda, number(disk[3]));
        assert_close(&tree, &scrape, "node_disk_read_bytes_total", &vda, number(disk[5]) * 512.0);
        assert_close(&tree, &scrape, "node_disk_written_bytes_total", &vda, number(disk[9]) * 512.0);
        let pressure = tree.path().join("proc/pressure/io");
        assert_close(
            &tree,
            &scrape,
            "node_pressure_io_waiting_seconds_total",
            &[],
            pressure_total(&pressure, "some") / 1e6,
        );
        let net = proc("1/net/dev");
        let eth0 = net.lines().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
        let received = number(eth0.split_whitespace().next().unwrap());
        let labels = [("device", "eth0")];
        assert_close(&tree, &scrape, "node_network_receive_bytes_total", &labels, received);
    }
}

/// A page without what differs from run to run: the agent's own cost, clocks, and the folders' times.
fn lasting(page: &str) -> String {
    const VOLATILE: [&str; 16] = [
        // Read off the tick, and of processes that no fixture has.
        "container_file_descriptors",
        "container_sockets",
        "container_ulimits_soft",
        "ringside_detail_",
        "node_time_seconds",
        "node_timex_",
        "node_uname_info",
        "node_scrape_collector_duration_seconds",
        "ringside_node_collector_runs_total",
        "ringside_agent_",
        "ringside_ring_",
        "ringside_build_info",
        "process_",
        "container_last_seen",
        "container_start_time_seconds",
        "container_creation_time_seconds",
    ];
    let lasts = |line: &&str| {
        let name = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
        !VOLATILE.iter().any(|volatile| name.starts_with(volatile))
    };
    let mut text = page.lines().filter(lasts).collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

fn whole_page(name: &'static str) {
    let tree = Tree::copy(name);
    let agent = tree.agent();
    settled(&agent);
    let page = agent.get("/metrics", &[]);
    insta::assert_snapshot!(name, lasting(page.text()));
}

#[test]
fn the_page_of_the_v2_tree_is_the_snapshot() {
    whole_page("v2");
}

#[test]
fn the_page_of_the_v1_tree_is_the_snapshot() {
    whole_page("v1");
}

#[test]
fn the_page_of_the_hybrid_tree_is_the_snapshot() {
    whole_page("hybrid");
}
