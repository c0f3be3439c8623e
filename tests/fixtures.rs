//! The captured trees under `tests/fixtures/`: that they hold what other tests rely on, and how they were made.
//!
//! Each tree comes from a real machine with loaded containers: one that is throttled, one that lost a process to
//! the OOM killer, one that reads and writes a disk. The ignored tests capture them anew, as root, into the
//! working copy: `cargo test --test fixtures -- --ignored`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use support::docker::{BUSYBOX, Dockerd};
use support::guest::{CgroupLayout, Guest};
use support::process::{lab_folder, run, wait_until};

/// 64 hexadecimal digits, as runtimes name containers; always the same, so that a new capture changes values only.
const THROTTLED: &str = "4ac1d1a4e4b6c7d3f0b2958e61a7c3d95b8e0f42d6c1a39784e5f2b1c0d9e8a7";
const OOM_KILLED: &str = "9e07d5f3b18a2c6474d0e9b5a3f1c8d2607b4e9fa5c3d18296e0b7f4a1d5c382";
const DISK: &str = "c35f8a017be2d94660f1a8e3c7b52d9f0e4a6b81d3c9f7520a1e8b64d7f3c950";
const BURSTABLE_POD: &str = "/kubepods/burstable/pod0c1c5d7a-6f0e-4b7e-9a55-3d1f7e2b8c01";
const BEST_EFFORT_POD: &str = "/kubepods/besteffort/pod5e2a9b34-17c8-4d60-8f3b-a90c6d4e7f12";

const BUSY: &str = "while :; do :; done";
/// `tail` keeps what it reads while it sees no line feed, until the limit is met.
const EAT_MEMORY: &str = "tail /dev/zero; exec sleep 100000";
/// 8 MiB out and in, past the page cache so that both reach the disk.
const USE_DISK: &str = "while :; do \
    dd if=/dev/zero of=/scratch/file bs=65536 count=128 oflag=direct; \
    dd if=/scratch/file of=/dev/null bs=65536 iflag=direct; \
    sleep 1; done 2>/dev/null";

fn tree(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The number after `key ` in a flat keyed file.
fn value(file: &Path, key: &str) -> u64 {
    let text = read(file);
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {key} in {}: {text}", file.display())).trim().parse().unwrap()
}

/// All files of a tree with their paths below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// The container with this id, wherever below the hierarchy it is; only the Docker ids change from capture to capture.
fn docker_containers(hierarchy: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(hierarchy.join("docker")).unwrap();
    let mut containers: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    containers.sort();
    assert_eq!(containers.len(), 3, "{containers:?}");
    containers
}

#[test]
fn the_v2_tree_has_a_throttled_an_oom_killed_and_a_disk_using_container() {
    let cgroupfs = tree("v2").join("cgroupfs");
    let at = |pod: &str, id: &str| cgroupfs.join(pod.trim_start_matches('/')).join(id);
    assert!(value(&at(BURSTABLE_POD, THROTTLED).join("cpu.stat"), "nr_throttled") > 0);
    assert!(value(&at(BURSTABLE_POD, THROTTLED).join("cpu.stat"), "throttled_usec") > 0);
    assert_eq!(read(&at(BURSTABLE_POD, THROTTLED).join("cpu.max")), "20000 100000\n");
    assert_eq!(value(&at(BEST_EFFORT_POD, OOM_KILLED).join("memory.events"), "oom_kill"), 1);
    assert_eq!(read(&at(BEST_EFFORT_POD, OOM_KILLED).join("memory.max")), "16777216\n");
    let io = read(&at(BURSTABLE_POD, DISK).join("io.stat"));
    assert!(io.contains("rbytes=") && !io.contains("rbytes=0 ") && !io.contains("wbytes=0 "), "{io}");
    assert!(read(&at(BURSTABLE_POD, DISK).join("cpu.pressure")).starts_with("some avg10="));
    assert!(read(&cgroupfs.join("cgroup.controllers")).contains("memory"));
}

#[test]
fn the_v1_tree_has_a_throttled_an_oom_killed_and_a_disk_using_container() {
    let cgroupfs = tree("v1").join("cgroupfs");
    let at =
        |controller: &str, pod: &str, id: &str| cgroupfs.join(controller).join(pod.trim_start_matches('/')).join(id);
    assert!(value(&at("cpu,cpuacct", BURSTABLE_POD, THROTTLED).join("cpu.stat"), "nr_throttled") > 0);
    assert_eq!(value(&at("memory", BEST_EFFORT_POD, OOM_KILLED).join("memory.oom_control"), "oom_kill"), 1);
    assert!(read(&at("memory", BEST_EFFORT_POD, OOM_KILLED).join("memory.failcnt")).trim() != "0");
    let io = at("blkio", BURSTABLE_POD, DISK).join("blkio.throttle.io_service_bytes");
    assert!(value(&io, "Total") > 0);
    assert_eq!(fs::read_link(cgroupfs.join("cpu")).unwrap(), Path::new("cpu,cpuacct"));
    assert!(!cgroupfs.join("unified").exists());
}

#[test]
fn the_hybrid_tree_has_docker_containers_in_the_v1_controllers_and_in_the_unified_tree() {
    let cgroupfs = tree("hybrid").join("cgroupfs");
    let all = |controller: &str| docker_containers(&cgroupfs.join(controller));
    assert!(all("cpu").iter().any(|id| value(&id.join("cpu.stat"), "nr_throttled") > 0));
    assert!(all("memory").iter().any(|id| value(&id.join("memory.oom_control"), "oom_kill") == 1));
    assert!(all("blkio").iter().any(|id| value(&id.join("blkio.throttle.io_service_bytes"), "Total") > 0));
    assert!(all("unified").iter().all(|id| value(&id.join("cpu.stat"), "usage_usec") > 0));
    let controllers = read(&cgroupfs.join("unified/cgroup.controllers"));
    assert!(
        ["cpu", "memory", "io", "pids"].iter().all(|name| !controllers.split_whitespace().any(|have| have == *name)),
        "{controllers}"
    );
}

#[test]
fn every_tree_is_small_and_has_the_machine_and_the_processes_of_its_containers() {
    for name in ["v2", "v1", "hybrid"] {
        let tree = tree(name);
        let files = files(&tree);
        let bytes: u64 = files.iter().map(|file| fs::symlink_metadata(file).unwrap().len()).sum();
        assert!(bytes < 300 << 10, "{name} has {bytes} bytes");
        for file in [
            "stat",
            "meminfo",
            "vmstat",
            "loadavg",
            "diskstats",
            "net/dev",
            "pressure/cpu",
            "pressure/memory",
            "pressure/io",
            "uptime",
            "cpuinfo",
            "version",
            "sys/kernel/random/boot_id",
            "swaps",
        ] {
            assert!(!read(&tree.join("proc").join(file)).is_empty(), "{name}: proc/{file}");
        }
        assert_eq!(read(&tree.join("sys/devices/system/cpu/online")), "0-1\n", "{name}");
        assert!(read(&tree.join("sys/dev/block")).lines().any(|line| line.ends_with(" vda")), "{name}");
        assert!(read(&tree.join("KERNEL")).starts_with("6."), "{name}");

        let processes: Vec<_> =
            files.iter().filter(|file| file.ends_with("cgroup") && file.starts_with(tree.join("proc"))).collect();
        assert!(processes.len() >= 3, "{name}: {processes:?}");
        for cgroup in processes {
            let process = cgroup.parent().unwrap();
            assert!(read(&process.join("net/dev")).contains("lo:"), "{}", process.display());
            let pid = process.file_name().unwrap().to_str().unwrap();
            assert!(read(&process.join("stat")).starts_with(&format!("{pid} (")));
            assert_eq!(value_after_tab(&process.join("status"), "Pid:"), pid);
        }
    }
}

fn value_after_tab(file: &Path, key: &str) -> String {
    let text = read(file);
    text.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned()
}

/// Puts a freshly captured folder in the place of the tree in the working copy.
fn replace_tree(name: &str, captured: &Path) {
    let tree = tree(name);
    if tree.exists() {
        fs::remove_dir_all(&tree).unwrap();
    }
    run("cp", &["-a", captured.to_str().unwrap(), tree.to_str().unwrap()]);
}

/// `oom_kills` and `throttled` are files in which the load of the containers shows, with a pattern for each.
fn capture_guest(layout: CgroupLayout, name: &str, oom_kills: &str, throttled: &str) {
    let guest = Guest::start(layout);
    let in_pod = |pod: &str, id: &str| format!("{pod}/{id}");
    let limits = json!({ "linux": { "resources": {
        "cpu": { "quota": 20000, "period": 100000, "shares": 204 },
        "memory": { "limit": 64 << 20 },
        "pids": { "limit": 64 },
    } } });
    guest.run_container(THROTTLED, &in_pod(BURSTABLE_POD, THROTTLED), &["sh", "-c", BUSY], limits);
    let limit = json!({ "linux": { "resources": { "memory": { "limit": 16 << 20 } } } });
    guest.run_container(OOM_KILLED, &in_pod(BEST_EFFORT_POD, OOM_KILLED), &["sh", "-c", EAT_MEMORY], limit);
    // blkio.throttle.* count only where a limit is set: here 1 GiB/s, which is none in effect, on /dev/vda.
    let rate = json!([{ "major": 254, "minor": 0, "rate": 1 << 30 }]);
    let disk_limit = json!({ "linux": { "resources": { "blockIO": {
        "throttleReadBpsDevice": rate, "throttleWriteBpsDevice": rate,
    } } } });
    guest.run_container(DISK, &in_pod(BURSTABLE_POD, DISK), &["sh", "-c", USE_DISK], disk_limit);
    // A pod's interface, with traffic: a veth pair into the namespace of one container.
    let pid = guest.container_pid(DISK);
    guest.sh(&format!(
        "set -e\n\
         /bin/ip link add veth0 type veth peer name eth0 netns {pid}\n\
         /bin/ip addr add 10.1.0.1/24 dev veth0; /bin/ip link set veth0 up\n\
         nsenter -t {pid} -n /bin/ip addr add 10.1.0.2/24 dev eth0\n\
         nsenter -t {pid} -n /bin/ip link set eth0 up\n\
         timeout 30 ping -c 3 10.1.0.2"
    ));
    for (file, pattern) in [(oom_kills, "^oom_kill 1$"), (throttled, "^nr_throttled [1-9][0-9]")] {
        wait_until(file, Duration::from_secs(120), || {
            let shown = guest.exec(&format!("grep '{pattern}' /sys/fs/cgroup/{file}"));
            if shown.status == 0 { Ok(()) } else { Err(guest.read(&format!("/sys/fs/cgroup/{file}"))) }
        });
    }
    wait_until("writes and reads of the disk", Duration::from_secs(120), || {
        let done = guest.exec("awk '$3 == \"vda\" && $6 > 32768 && $10 > 32768' /proc/diskstats");
        if done.stdout.is_empty() { Err(guest.read("/proc/diskstats")) } else { Ok(()) }
    });

    let script = include_str!("fixtures/capture.sh");
    let cgroups = [in_pod(BURSTABLE_POD, THROTTLED), in_pod(BURSTABLE_POD, DISK), in_pod(BEST_EFFORT_POD, OOM_KILLED)];
    guest.sh(&format!(
        "cat >/tmp/capture.sh <<'END_OF_SCRIPT'\n{script}\nEND_OF_SCRIPT\nsh /tmp/capture.sh /tmp/{name} {} >&2",
        cgroups.join(" ")
    ));
    let tar = guest.exec(&format!("tar -C /tmp -c {name}"));
    assert_eq!(tar.status, 0, "{}", tar.stderr);
    let folder = lab_folder("capture");
    let archive = folder.join("tree.tar");
    fs::write(&archive, tar.stdout).unwrap();
    run("tar", &["--no-same-owner", "-C", folder.to_str().unwrap(), "-xf", archive.to_str().unwrap()]);
    replace_tree(name, &folder.join(name));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
#[ignore = "rewrites tests/fixtures/v2; to be run when a fixture should change"]
fn capture_v2() {
    let oom_kills = format!("{BEST_EFFORT_POD}/{OOM_KILLED}/memory.events");
    let throttled = format!("{BURSTABLE_POD}/{THROTTLED}/cpu.stat");
    capture_guest(CgroupLayout::V2, "v2", &oom_kills, &throttled);
}

#[test]
#[ignore = "rewrites tests/fixtures/v1; to be run when a fixture should change"]
fn capture_v1() {
    let oom_kills = format!("memory{BEST_EFFORT_POD}/{OOM_KILLED}/memory.oom_control");
    let throttled = format!("cpu,cpuacct{BURSTABLE_POD}/{THROTTLED}/cpu.stat");
    capture_guest(CgroupLayout::V1, "v1", &oom_kills, &throttled);
}

/// On a machine with hybrid cgroups: this one, with a Docker daemon of its own.
#[test]
#[ignore = "rewrites tests/fixtures/hybrid; to be run as root on a machine with hybrid cgroups when a fixture should change"]
fn capture_hybrid() {
    assert!(Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists(), "this machine has no hybrid cgroups");
    let docker = Dockerd::start();
    docker.import_busybox();
    let scratch = format!("{}:/scratch", docker.data_root().display());
    let limits = ["--cpus", "0.2", "--memory", "64m", "--pids-limit", "64"];
    let throttled = docker.run("throttled", &[&limits[..], &[BUSYBOX, "sh", "-c", BUSY]].concat());
    let oom_killed = docker.run("oom-killed", &["--memory", "16m", BUSYBOX, "sh", "-c", EAT_MEMORY]);
    // blkio.throttle.* count only where a limit is set: here 1 GB/s, which is none in effect.
    let device = run("findmnt", &["-n", "-v", "-o", "SOURCE", "-T", docker.data_root().to_str().unwrap()]);
    let limit = format!("{}:1gb", device.trim());
    let disk = docker.run("disk", &["-v", &scratch, "--device-write-bps", &limit, BUSYBOX, "sh", "-c", USE_DISK]);
    let at = |controller: &str, id: &str, file: &str| {
        read(&Path::new("/sys/fs/cgroup").join(controller).join("docker").join(id).join(file))
    };
    wait_until("an OOM kill", Duration::from_secs(60), || {
        let control = at("memory", &oom_killed, "memory.oom_control");
        if control.contains("oom_kill 1\n") { Ok(()) } else { Err(control) }
    });
    wait_until("throttling", Duration::from_secs(60), || {
        let stat = at("cpu", &throttled, "cpu.stat");
        if stat.contains("nr_throttled 0\n") { Err(stat) } else { Ok(()) }
    });
    wait_until("writes and reads of the disk", Duration::from_secs(60), || {
        let bytes = at("blkio", &disk, "blkio.throttle.io_service_bytes");
        let both =
            ["Read", "Write"].iter().all(|kind| bytes.lines().any(|line| line.contains(kind) && !line.ends_with(" 0")));
        if both { Ok(()) } else { Err(bytes) }
    });

    let folder = lab_folder("capture");
    let captured = folder.join("hybrid");
    let script = tree("capture.sh");
    let cgroups = [throttled, oom_killed, disk].map(|id| format!("/docker/{id}"));
    run(script.to_str().unwrap(), &[captured.to_str().unwrap(), &cgroups[0], &cgroups[1], &cgroups[2]]);
    replace_tree("hybrid", &captured);
    fs::remove_dir_all(&folder).unwrap();
}
