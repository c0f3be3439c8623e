//! The agent inside real machines of each cgroup layout: every number against the guest's own files.
//!
//! A counter is compared by bracketing: the kernel's value before, the agent's as soon as it is not older than that,
//! the kernel's value after. Times in the guest are those of an emulator, so nothing here asserts how long a thing took.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::exposition::Scrape;
use support::guest::{CgroupLayout, Guest, GuestOptions};
use support::kernel::{keyed, number, pair};
use support::process::wait_until;
use support::prometheus::assert_promtool_accepts;

const PATIENCE: Duration = Duration::from_secs(60);
const POD: &str = "/kubepods/burstable/pod0f5c3c1e-8f1d-4c6b-9d7e-000000000001";

/// Uses its CPU quota up, and writes to the disk and reads from it in between.
const BUSY: [&str; 3] = [
    "sh",
    "-c",
    "while :; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; \
     dd if=/dev/zero of=/scratch/busy bs=64k count=4 conv=fsync 2>/dev/null; \
     echo 3 >/proc/sys/vm/drop_caches 2>/dev/null; cat /scratch/busy >/dev/null; done",
];
const CALM: [&str; 2] = ["sleep", "100000"];
/// Fills memory until the limit is met; `tail` keeps all it read while it sees no line feed. Its shell stays.
const GREEDY: [&str; 3] = ["sh", "-c", "tail /dev/zero; exec sleep 100000"];

fn id(digit: char) -> String {
    String::from(digit).repeat(64)
}

fn cgroup(digit: char) -> String {
    format!("{POD}/{}", id(digit))
}

/// A counter of the agent against the kernel's: `before <= agent <= after`, and it moves.
fn assert_counts(guest: &Guest, name: &str, labels: &[(&str, &str)], kernel: impl Fn() -> f64) {
    let first = kernel();
    let before = wait_until(&format!("{name} to move in the kernel's file"), PATIENCE, || match kernel() {
        now if now > first => Ok(now),
        now => Err(format!("{now}")),
    });
    let found = |scrape: &Scrape| scrape.find(name, labels).iter().map(|sample| sample.value).collect::<Vec<_>>();
    let scrape = guest.agent_scrape_until(&format!("{name}{labels:?} of {before} or more"), |scrape| {
        found(scrape).iter().any(|value| at_least(*value, before))
    });
    let after = kernel();
    let agent = scrape.value(name, labels);
    assert!(at_least(agent, before) && at_least(after, agent), "{name}{labels:?}: {before} <= {agent} <= {after}");
}

/// `a >= b` for numbers that went through seconds: a nanosecond is forgiven.
fn at_least(a: f64, b: f64) -> bool {
    a + 1e-9 >= b
}

/// A value that stands still is the kernel's to the last byte, as soon as the agent has read it again.
fn assert_is(guest: &Guest, name: &str, labels: &[(&str, &str)], kernel: impl Fn() -> f64) {
    wait_until(&format!("{name}{labels:?} as the kernel has it"), PATIENCE, || {
        let expected = kernel();
        let found: Vec<_> = guest.agent_scrape("/metrics").find(name, labels).iter().map(|s| s.value).collect();
        if found == [expected] { Ok(()) } else { Err(format!("the kernel says {expected}, the agent {found:?}")) }
    });
}

fn doctor_layout(guest: &Guest) -> String {
    let doctor = guest.exec("/lab/ringside doctor");
    let text = String::from_utf8(doctor.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("cgroup-layout"));
    line.unwrap_or_else(|| panic!("no layout in {text}")).1.trim().to_owned()
}

fn tick(scrape: &Scrape) -> f64 {
    scrape.value("ringside_agent_ticks_total", &[])
}

/// The points of a history, without the steps at which nothing was read.
fn history(guest: &Guest, id: &str, query: &str) -> Vec<f64> {
    let answer = guest.agent_get(&format!("/api/v1/containers/{id}/history?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    answer["points"].as_array().unwrap().iter().filter_map(|point| point[1].as_f64()).collect()
}

/// Every cgroup with this container ID, the living one first.
fn with_id(guest: &Guest, id: &str) -> Vec<Value> {
    let list = guest.agent_get("/api/v1/containers?gone=true").json();
    let all = list["containers"].as_array().unwrap();
    let mut found: Vec<_> = all.iter().filter(|container| container["container_id"] == id).cloned().collect();
    found.sort_by_key(|container| container["alive"] != true);
    found
}

#[test]
fn on_a_v2_machine_the_numbers_of_a_busy_container_are_the_kernels() {
    let guest = Guest::start(CgroupLayout::V2);
    assert!(doctor_layout(&guest).starts_with("v2"), "{}", doctor_layout(&guest));
    guest.start_agent(&[]);
    let limits = json!({ "linux": { "resources": {
        "cpu": { "quota": 20000, "period": 100_000, "shares": 512 },
        "memory": { "limit": 64 << 20 },
        "pids": { "limit": 50 },
    } } });
    guest.run_container("busy", &cgroup('a'), &BUSY, limits);
    let path = cgroup('a');
    let file = |name: &str| guest.read(&format!("/sys/fs/cgroup{path}/{name}"));
    let of = |more: &[(&'static str, &'static str)]| {
        let mut labels = vec![("id", path.as_str())];
        labels.extend(more);
        labels
    };
    guest.agent_scrape_until("the container", |scrape| scrape.has("container_cpu_usage_seconds_total", &of(&[])));

    let cpu = |key: &'static str| move |text: String| keyed(&text, key) / 1e6;
    let usage = cpu("usage_usec");
    assert_counts(&guest, "container_cpu_usage_seconds_total", &of(&[("cpu", "total")]), || usage(file("cpu.stat")));
    let system = cpu("system_usec");
    assert_counts(&guest, "container_cpu_system_seconds_total", &of(&[]), || system(file("cpu.stat")));
    let throttled = cpu("throttled_usec");
    assert_counts(&guest, "container_cpu_cfs_throttled_seconds_total", &of(&[]), || throttled(file("cpu.stat")));
    for (name, key) in [
        ("container_cpu_cfs_periods_total", "nr_periods"),
        ("container_cpu_cfs_throttled_periods_total", "nr_throttled"),
    ] {
        assert_counts(&guest, name, &of(&[]), || keyed(&file("cpu.stat"), key));
    }
    let faults = of(&[("failure_type", "pgfault"), ("scope", "container")]);
    assert_counts(&guest, "container_memory_failures_total", &faults, || keyed(&file("memory.stat"), "pgfault"));

    let disk = guest.read("/sys/class/block/vda/dev").trim().to_owned();
    let device = of(&[("device", "/dev/vda")]);
    for (name, key) in [("container_fs_writes_bytes_total", "wbytes"), ("container_fs_writes_total", "wios")] {
        assert_counts(&guest, name, &device, || pair(&file("io.stat"), &disk, key));
    }

    let stall = |text: &str, line: &str| pair(text, line, "total") / 1e6;
    for (name, pressure, line) in [
        ("container_pressure_cpu_waiting_seconds_total", "cpu.pressure", "some"),
        ("container_pressure_cpu_stalled_seconds_total", "cpu.pressure", "full"),
        ("container_pressure_io_waiting_seconds_total", "io.pressure", "some"),
    ] {
        assert_counts(&guest, name, &of(&[]), || stall(&file(pressure), line));
    }

    // Limits as they were set; the peak, which only grows.
    assert_is(&guest, "container_spec_cpu_quota", &of(&[]), || 20_000.0);
    assert_is(&guest, "container_spec_cpu_period", &of(&[]), || 100_000.0);
    assert_is(&guest, "container_spec_memory_limit_bytes", &of(&[]), || number(&file("memory.max")));
    assert_is(&guest, "container_threads_max", &of(&[]), || 50.0);
    assert_is(&guest, "ringside_container_cpu_weight", &of(&[]), || number(&file("cpu.weight")));
    assert_is(&guest, "container_memory_max_usage_bytes", &of(&[]), || number(&file("memory.peak")));
    assert_promtool_accepts(guest.agent_get("/metrics").text());
}

#[test]
fn on_a_v2_machine_a_container_that_stands_still_has_the_kernels_numbers_to_the_byte() {
    let guest = Guest::start(CgroupLayout::V2);
    guest.start_agent(&[]);
    // A file in the page cache, and a text that awk keeps while its child sleeps.
    let script = "dd if=/dev/zero of=/scratch/calm bs=64k count=16 2>/dev/null; \
                  exec awk 'BEGIN { x = sprintf(\"%2500000s\", \"\"); system(\"exec sleep 100000\"); print x }'";
    guest.run_container("calm", &cgroup('b'), &["sh", "-c", script], json!({}));
    let path = cgroup('b');
    let file = |name: &str| guest.read(&format!("/sys/fs/cgroup{path}/{name}"));
    let key = [("id", path.as_str())];
    wait_until("two megabytes of anonymous memory", PATIENCE, || match keyed(&file("memory.stat"), "anon") {
        anon if anon > 2e6 => Ok(()),
        anon => Err(format!("{anon}")),
    });
    let stat = |key: &'static str| move |text: String| keyed(&text, key);
    let (anon, cache, inactive) = (stat("anon"), stat("file"), stat("inactive_file"));
    assert_is(&guest, "container_memory_usage_bytes", &key, || number(&file("memory.current")));
    assert_is(&guest, "container_memory_rss", &key, || anon(file("memory.stat")));
    assert_is(&guest, "container_memory_cache", &key, || cache(file("memory.stat")));
    assert_is(&guest, "container_memory_working_set_bytes", &key, || {
        number(&file("memory.current")) - inactive(file("memory.stat"))
    });
    assert_is(&guest, "container_memory_max_usage_bytes", &key, || number(&file("memory.peak")));
    assert_is(&guest, "container_threads", &key, || number(&file("pids.current")));
    assert_is(&guest, "container_processes", &key, || file("cgroup.procs").lines().count() as f64);
    // Nothing is set, and that is told as cAdvisor tells it: 0, or no series at all.
    let scrape = guest.agent_scrape("/metrics");
    assert_eq!(scrape.value("container_spec_memory_limit_bytes", &key), 0.0);
    assert!(scrape.find("container_spec_cpu_quota", &key).is_empty());
    // Its parents are there as well, and hold at least what it holds.
    let own = scrape.value("container_memory_usage_bytes", &key);
    for parent in [POD, "/kubepods/burstable", "/kubepods"] {
        let usage = scrape.value("container_memory_usage_bytes", &[("id", parent)]);
        assert!(usage >= own, "{parent}: {usage} < {own}");
    }
    // Without a runtime it is still known for a container of its pod, by its path.
    let shown = with_id(&guest, &id('b'));
    assert_eq!(shown.len(), 1);
    assert_eq!((&shown[0]["kind"], &shown[0]["qos"]), (&"container".into(), &"Burstable".into()));
    assert_eq!(shown[0]["pod_uid"], POD.rsplit_once("/pod").unwrap().1);
}

#[test]
fn on_a_v2_machine_oom_kills_are_those_of_memory_events() {
    let guest = Guest::start(CgroupLayout::V2);
    guest.start_agent(&[]);
    guest.run_container("calm", &cgroup('c'), &CALM, json!({}));
    let limit = json!({ "linux": { "resources": { "memory": { "limit": 16 << 20 } } } });
    guest.run_container("greedy", &cgroup('d'), &GREEDY, limit);
    let events = |key: &'static str| keyed(&guest.read(&format!("/sys/fs/cgroup{}/memory.events", cgroup('d'))), key);
    wait_until("an OOM kill", PATIENCE, || if events("oom_kill") == 1.0 { Ok(()) } else { Err("none".to_owned()) });
    let (greedy, calm) = (cgroup('d'), cgroup('c'));
    for event in ["oom_kill", "oom", "max"] {
        let key = [("id", greedy.as_str()), ("event", event)];
        assert_is(&guest, "ringside_container_memory_events_total", &key, || events(event));
    }
    assert_is(&guest, "container_oom_events_total", &[("id", &greedy)], || 1.0);
    assert_is(&guest, "container_oom_events_total", &[("id", &calm)], || 0.0);
    // memory.events is of everything below, so the pod has met it too; a sum over the tree counts it once all the same.
    assert_is(&guest, "ringside_container_memory_events_total", &[("id", POD), ("event", "oom_kill")], || 1.0);
    assert_is(&guest, "container_oom_events_total", &[("id", POD)], || 0.0);
}

#[test]
fn on_a_v2_machine_cgroups_are_seen_from_birth_to_their_last_microsecond() {
    let guest = Guest::start(CgroupLayout::V2);
    guest.start_agent(&[]);

    // Birth: in the second tick after it was made at the latest.
    for name in ["one", "two", "three"] {
        guest.sh(&format!("mkdir /sys/fs/cgroup/{name}"));
        let made = tick(&guest.agent_scrape("/metrics"));
        let path = format!("/{name}");
        let shown = guest.agent_scrape_until("the new cgroup", |scrape| {
            scrape.has("container_memory_usage_bytes", &[("id", &path)]) || tick(scrape) > made + 2.0
        });
        let seen = shown.has("container_memory_usage_bytes", &[("id", &path)]);
        assert!(seen, "made in or before tick {made}, not shown in tick {}", tick(&shown));
    }

    // Death: its last act is to note what it used. Its runtime sees it end and starts another program that removes the
    // cgroup, which is how containerd, CRI-O and Podman do it.
    let brief = cgroup('e');
    let script = format!(
        "end=$(( $(date +%s) + 3 )); while [ $(date +%s) -lt $end ]; do :; done; \
         grep usage_usec /sys/fs/cgroup{brief}/cpu.stat >/scratch/last-words"
    );
    let mounts = json!({ "mounts": [
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
        { "destination": "/scratch", "type": "bind", "source": "/scratch", "options": ["rbind", "rw"] },
        { "destination": "/sys/fs/cgroup", "type": "bind", "source": "/sys/fs/cgroup", "options": ["rbind", "ro"] },
    ] });
    guest.run_container("brief", &brief, &["sh", "-c", &script], mounts);
    guest.sh(&format!(
        "until grep -q 'populated 0' /sys/fs/cgroup{brief}/cgroup.events; do :; done; crun delete --force brief"
    ));
    assert!(guest.exec(&format!("test -e /sys/fs/cgroup{brief}")).status != 0, "its cgroup is gone");
    let last_words = keyed(&guest.read("/scratch/last-words"), "usage_usec");
    let gone = wait_until("its end in the API", PATIENCE, || match with_id(&guest, &id('e')).as_slice() {
        [only] if only["alive"] == false => Ok(only.clone()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(gone["cgroup"], brief.as_str());
    let last = *history(&guest, &id('e'), "metric=cpu_usage_usec").last().expect("a history of the one that is gone");
    assert!(last >= last_words, "it said {last_words}, the agent remembers {last}");
    guest.agent_scrape_until("the end of its series", |scrape| {
        scrape.find("container_cpu_usage_seconds_total", &[("id", &brief)]).is_empty()
    });

    // A name that is used again is another cgroup: its counters begin anew, in a series of its own.
    guest.run_container(
        "again",
        &brief,
        &["sh", "-c", "i=0; while [ $i -lt 500 ]; do i=$((i+1)); done; exec sleep 100000"],
        json!({}),
    );
    let usage = || keyed(&guest.read(&format!("/sys/fs/cgroup{brief}/cpu.stat")), "usage_usec");
    assert_is(&guest, "container_cpu_usage_seconds_total", &[("id", &brief), ("cpu", "total")], || usage() / 1e6);
    let both = with_id(&guest, &id('e'));
    assert_eq!(both.iter().map(|one| one["alive"] == true).collect::<Vec<_>>(), [true, false], "{both:?}");
    let points = history(&guest, &id('e'), "metric=cpu_usage_usec");
    assert!(points.iter().all(|point| *point <= usage()), "none of the old one's points is among {points:?}");
    assert!(usage() < last, "the new one has used less than the old one, or this test shows nothing");
    let rates = history(&guest, &id('e'), "metric=cpu_usage_usec&fn=rate");
    assert!(rates.iter().all(|rate| (0.0..4e6).contains(rate)), "{rates:?}");
}

#[test]
fn on_a_v1_machine_the_numbers_are_those_of_each_controllers_files() {
    let guest = Guest::start(CgroupLayout::V1);
    assert!(doctor_layout(&guest).starts_with("v1"), "{}", doctor_layout(&guest));
    v1_numbers(&guest);
    let scrape = guest.agent_scrape("/metrics");
    assert!(scrape.find("container_pressure_cpu_waiting_seconds_total", &[]).is_empty(), "v1 has no pressure files");
}

#[test]
fn on_a_hybrid_machine_pressure_comes_from_the_unified_tree_and_the_rest_from_v1() {
    let guest = Guest::start(CgroupLayout::Hybrid);
    assert!(doctor_layout(&guest).starts_with("hybrid"), "{}", doctor_layout(&guest));
    v1_numbers(&guest);
    let path = cgroup('a');
    let pressure = || pair(&guest.read(&format!("/sys/fs/cgroup/unified{path}/cpu.pressure")), "some", "total") / 1e6;
    assert_counts(&guest, "container_pressure_cpu_waiting_seconds_total", &[("id", &path)], pressure);
}

/// What holds on every machine with v1 controllers.
fn v1_numbers(guest: &Guest) {
    guest.start_agent(&[]);
    let disk = guest.read("/sys/class/block/vda/dev").trim().to_owned();
    let (major, minor) = disk.split_once(':').unwrap();
    // A v1 kernel counts the io of a device only where a limit is set for it; this one is never met.
    let whole = |text: &str| text.parse::<u64>().unwrap();
    let limit = json!([{ "major": whole(major), "minor": whole(minor), "rate": 1_u64 << 40 }]);
    let limits = json!({ "linux": { "resources": {
        "cpu": { "quota": 20000, "period": 100_000, "shares": 512 },
        "pids": { "limit": 50 },
        "blockIO": { "throttleWriteBpsDevice": limit },
    } } });
    guest.run_container("busy", &cgroup('a'), &BUSY, limits);
    guest.run_container("calm", &cgroup('b'), &CALM, json!({}));
    let (busy, calm, greedy) = (cgroup('a'), cgroup('b'), cgroup('c'));
    let file = |path: &str, name: &str| {
        let (controller, file) = name.split_once('/').unwrap();
        guest.read(&format!("/sys/fs/cgroup/{controller}{path}/{file}"))
    };
    guest.agent_scrape_until("both containers", |scrape| {
        [&busy, &calm].iter().all(|path| scrape.has("container_memory_usage_bytes", &[("id", path.as_str())]))
    });
    let key = [("id", busy.as_str())];
    // The agent keeps microseconds; the file has nanoseconds.
    let usage = || (number(&file(&busy, "cpuacct/cpuacct.usage")) / 1e3).floor() / 1e6;
    assert_counts(guest, "container_cpu_usage_seconds_total", &key, usage);
    let stat = |key: &'static str| keyed(&file(&busy, "cpu/cpu.stat"), key);
    assert_counts(guest, "container_cpu_cfs_periods_total", &key, || stat("nr_periods"));
    assert_counts(guest, "container_cpu_cfs_throttled_periods_total", &key, || stat("nr_throttled"));
    let throttled = || (stat("throttled_time") / 1e3).floor() / 1e6;
    assert_counts(guest, "container_cpu_cfs_throttled_seconds_total", &key, throttled);
    assert_is(guest, "container_spec_cpu_quota", &key, || 20_000.0);
    assert_is(guest, "container_spec_cpu_shares", &key, || 512.0);
    assert_is(guest, "container_threads_max", &key, || 50.0);
    let device = [("id", busy.as_str()), ("device", "/dev/vda")];
    assert_counts(guest, "container_fs_writes_bytes_total", &device, || {
        let text = file(&busy, "blkio/blkio.throttle.io_service_bytes");
        text.lines().find_map(|line| line.strip_prefix(&format!("{disk} Write "))).map_or(0.0, number)
    });

    let key = [("id", calm.as_str())];
    let memory = |key: &'static str| keyed(&file(&calm, "memory/memory.stat"), key);
    assert_is(guest, "container_memory_usage_bytes", &key, || number(&file(&calm, "memory/memory.usage_in_bytes")));
    assert_is(guest, "container_memory_rss", &key, || memory("total_rss"));
    assert_is(guest, "container_memory_cache", &key, || memory("total_cache"));
    let peak = || number(&file(&calm, "memory/memory.max_usage_in_bytes"));
    assert_is(guest, "container_memory_max_usage_bytes", &key, peak);
    assert_is(guest, "container_spec_memory_limit_bytes", &key, || 0.0);

    let limit = json!({ "linux": { "resources": { "memory": { "limit": 16 << 20 } } } });
    guest.run_container("greedy", &greedy, &GREEDY, limit);
    let kills = || keyed(&file(&greedy, "memory/memory.oom_control"), "oom_kill");
    wait_until("an OOM kill", PATIENCE, || if kills() == 1.0 { Ok(()) } else { Err("none".to_owned()) });
    assert_is(guest, "container_oom_events_total", &[("id", &greedy)], kills);
    assert_is(guest, "container_oom_events_total", &[("id", &calm)], || 0.0);
    let failures = || number(&file(&greedy, "memory/memory.failcnt"));
    assert_is(guest, "container_memory_failcnt", &[("id", &greedy)], failures);
    assert_is(guest, "container_spec_memory_limit_bytes", &[("id", &greedy)], || f64::from(16 << 20));
    assert_promtool_accepts(guest.agent_get("/metrics").text());
}

#[test]
fn on_ext4_a_volume_with_a_project_of_its_own_has_the_usage_that_the_quota_counts() {
    // Without pressure to look at, the thread pauses no longer than it must.
    let options = GuestOptions { kernel_args: "psi=0".to_owned(), ..GuestOptions::new(CgroupLayout::V2) };
    let guest = Guest::start_with(&options);
    let volumes =
        format!("/scratch/kubelet/pods/{}/volumes/kubernetes.io~empty-dir", POD.rsplit_once("/pod").unwrap().1);
    // `alone` has a project to itself; `one` and `other` share theirs, so that its usage is nobody's.
    guest.sh(&format!(
        "set -e\nfor v in alone one other; do mkdir -p {volumes}/$v/deep; done\n\
         /bin/chattr -p 77 +P {volumes}/alone\n/bin/chattr -p 78 +P {volumes}/one {volumes}/other\n\
         for v in alone one other; do mkdir {volumes}/$v/made\n\
         dd if=/dev/zero of={volumes}/$v/made/file bs=65536 count=80 2>/dev/null; done\nsync"
    ));
    guest.run_container("calm", &cgroup('a'), &CALM, json!({}));
    guest.start_agent(&["--storage", "on", "--storage-interval", "1s", "--kubelet-dir", "/scratch/kubelet"]);
    let (id, written) = (("id", POD), 80.0 * 65_536.0);
    let counted = |scrape: &Scrape, volume: &str, source: &str| {
        let labels = [id, ("volume", volume), ("source", source)];
        scrape.has("ringside_pod_volume_counted_timestamp_seconds", &labels)
    };
    let scrape = guest.agent_scrape_until("the volumes, by quota and by a walk", |scrape| {
        counted(scrape, "alone", "quota") && counted(scrape, "one", "walk") && counted(scrape, "other", "walk")
    });
    let value = |volume: &str| scrape.value("ringside_pod_volume_used_bytes", &[id, ("volume", volume)]);
    // What was there before the project was set is another project's: the folder `deep` is not counted.
    assert!((written..written + 32_768.0).contains(&value("alone")), "{}", value("alone"));
    let walked = guest.sh(&format!("du -s -k {volumes}/one"));
    let walked: f64 = number(walked.split_whitespace().next().unwrap());
    assert_eq!(value("one"), walked * 1024.0, "what du says");
    assert_eq!(scrape.value("ringside_pod_volume_inodes_used", &[id, ("volume", "alone")]), 3.0);
    assert_eq!(scrape.value("ringside_pod_volume_inodes_used", &[id, ("volume", "one")]), 4.0);

    // The quota counts at once, without another walk.
    guest.sh(&format!("dd if=/dev/zero of={volumes}/alone/made/more bs=65536 count=16 2>/dev/null; sync"));
    guest.agent_scrape_until("the second file in the project's usage", |scrape| {
        let used = scrape.value("ringside_pod_volume_used_bytes", &[id, ("volume", "alone")]);
        used >= written + 16.0 * 65_536.0
    });
}

#[test]
fn a_wall_clock_that_is_set_loses_and_doubles_no_tick_also_over_a_kill() {
    let guest = Guest::start(CgroupLayout::V2);
    let start = || guest.start_agent(&["--data-dir", "/run/ring", "--ring-bytes", "4MiB"]);
    let kept = || guest.agent_get("/api/v1/node").json()["store"]["ticks"].as_u64().unwrap();
    let wait_ticks =
        |ticks| {
            let then = kept() + ticks;
            wait_until("more ticks", PATIENCE, || {
                if kept() >= then { Ok(()) } else { Err(format!("{} of {then}", kept())) }
            });
        };
    // Every tick once: as many points as ticks, of which some may come between the questions.
    let points = || {
        let before = kept();
        let query = "metric=meminfo_mem_available_bytes&start=1&end=4000000000";
        let answer = guest.agent_get(&format!("/api/v1/node/history?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let points = answer.json()["points"].as_array().unwrap().clone();
        let count = points.len() as u64;
        assert!((before..=kept()).contains(&count), "{before} <= {count} <= {}", kept());
        points
    };
    start();
    for seconds in [3_600, -3_600, -10 * 31_557_600_i64] {
        wait_ticks(3);
        guest.sh(&format!("date -s @$(($(date +%s) + {seconds}))"));
    }
    wait_ticks(3);
    let told = points();
    guest.sh("sleep 2; kill -KILL $(cat /run/agent.pid); while kill -0 $(cat /run/agent.pid) 2>/dev/null; do sleep 0.1; done");
    start();
    wait_ticks(3);
    let again = points();
    assert_eq!(again[..told.len()], told[..], "what was told is told again, at the same place");
    guest.sh("date -s @$(($(date +%s) + 315576000))");
    wait_ticks(3);
    assert_eq!(points()[..told.len()], told[..]);
}
