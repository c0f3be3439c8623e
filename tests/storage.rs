//! What containers and pods keep on disk, beside a real Docker Engine and a real containerd.
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
use std::process::Command;
use std::time::Duration;

use support::agent::Agent;
use support::containerd::{ContainerSpec, Containerd, PodSpec};
use support::docker::{BUSYBOX, Dockerd};
use support::exposition::Scrape;
use support::process::wait_until;

/// The counting pauses where others want the CPU or the disk, as other tests do.
const SOON: Duration = Duration::from_secs(180);
const MIB: f64 = 1_048_576.0;

fn agent(arguments: &[&str]) -> Agent {
    let sockets: Vec<&str> = ["--docker-socket", "--podman-socket", "--cri-socket"]
        .into_iter()
        .filter(|flag| !arguments.contains(flag))
        .flat_map(|flag| [flag, "none"])
        .collect();
    Agent::start([&["--storage", "on", "--storage-interval", "1s"][..], &sockets, arguments].concat())
}

fn scrape_until(agent: &Agent, what: &str, accept: impl Fn(&Scrape) -> bool) -> Scrape {
    wait_until(what, SOON, || {
        let scrape = agent.scrape("/metrics");
        if accept(&scrape) {
            return Ok(scrape);
        }
        let is_ours = |name: &&str| name.contains("container_fs_") || name.contains("ringside_pod_");
        let names: Vec<&str> = scrape.names().into_iter().filter(is_ours).collect();
        let samples: Vec<_> = names.iter().flat_map(|name| scrape.all(name)).collect();
        Err(format!("{samples:?}"))
    })
}

fn is_about(value: f64, wanted: f64, more: f64) -> bool {
    (wanted..=wanted + more).contains(&value)
}

fn only(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let found = scrape.find(name, labels);
    assert!(found.len() <= 1, "{name} is there once: {found:?}");
    found.first().map(|sample| sample.value)
}

fn du(path: &Path) -> f64 {
    let output = Command::new("du").args(["-s", "-x", "--block-size=1"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_docker_container_that_writes_and_logs_shows_both() {
    let docker = Dockerd::start();
    docker.import_busybox();
    let socket = docker.socket().display().to_string();
    let agent = agent(&["--docker-socket", &socket]);
    let log = "i=0; while [ $i -lt 2000 ]; do echo a line of a log that has some length $i; i=$((i+1)); done";
    let write = "dd if=/dev/zero of=/data bs=1048576 count=10 2>/dev/null; sync";
    docker.run("writer", &[BUSYBOX, "sh", "-c", &format!("{log}; {write}; sleep 100000")]);
    let name = [("name", "writer")];
    let scrape = scrape_until(&agent, "10 MiB and the log", |scrape| {
        let layer = only(scrape, "ringside_container_fs_writable_layer_bytes", &name);
        let logs = only(scrape, "ringside_container_fs_logs_bytes", &name);
        layer.is_some_and(|bytes| is_about(bytes, 10.0 * MIB, MIB / 4.0)) && logs.is_some_and(|bytes| bytes > 100_000.0)
    });
    let value = |name: &str| only(&scrape, name, &[("name", "writer")]).unwrap_or_else(|| panic!("no {name}"));
    let sum = value("ringside_container_fs_writable_layer_bytes") + value("ringside_container_fs_logs_bytes");
    assert_eq!(value("container_fs_usage_bytes"), sum, "writable layer and logs, as cAdvisor has it");
    let inodes = value("ringside_container_fs_writable_layer_inodes") + value("ringside_container_fs_logs_inodes");
    assert_eq!(value("container_fs_inodes_total"), inodes);
    assert!(value("container_fs_limit_bytes") > sum);
    assert!(!scrape.has("container_fs_inodes_free", &name), "a layer has no free inodes of its own");

    let log = PathBuf::from(docker.inspect("writer")["LogPath"].as_str().unwrap());
    assert_eq!(value("ringside_container_fs_logs_bytes"), du(&log));
    for (part, source) in [("writable_layer", "walk"), ("logs", "walk")] {
        let labels = [("name", "writer"), ("part", part), ("source", source)];
        let at = only(&scrape, "ringside_container_fs_counted_timestamp_seconds", &labels);
        assert!(at.is_some_and(|at| at > 1_700_000_000.0), "{part}: {at:?}");
    }

    docker.cli(&["exec", "writer", "rm", "/data"]);
    scrape_until(&agent, "an empty layer", |scrape| {
        only(scrape, "ringside_container_fs_writable_layer_bytes", &name).is_some_and(|bytes| bytes < MIB)
    });
    docker.rm("writer");
    scrape_until(&agent, "nothing of a container that is gone", |scrape| {
        !scrape.has("ringside_container_fs_writable_layer_bytes", &name)
    });
}

/// A folder like the kubelet's, with what is mounted in it.
struct KubeletDir {
    root: tempfile::TempDir,
    mounts: Vec<PathBuf>,
}

impl KubeletDir {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), mounts: Vec::new() }
    }

    fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        let path = self.root.path().join(format!("pods/{uid}/volumes/kubernetes.io~{plugin}/{name}"));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn tmpfs(&mut self, path: &Path) {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(path).status();
        assert!(status.unwrap().success());
        self.mounts.push(path.to_owned());
    }
}

impl Drop for KubeletDir {
    fn drop(&mut self) {
        for path in &self.mounts {
            let _ = Command::new("umount").arg("-l").arg(path).status();
        }
    }
}

fn shell(name: &str, script: &str) -> ContainerSpec {
    ContainerSpec::new(name, &["/bin/sh", "-c", script])
}

#[test]
fn a_pod_of_containerd_shows_layers_logs_volumes_and_their_sum() {
    let containerd = Containerd::start();
    let mut kubelet = KubeletDir::new();
    let uid = format!("7b0e5e1a-55ab-4d0e-0001-{:012x}", std::process::id());
    fs::write(kubelet.volume(&uid, "empty-dir", "scratch").join("file"), vec![1; 3 << 20]).unwrap();
    let memory = kubelet.volume(&uid, "empty-dir", "memory");
    kubelet.tmpfs(&memory);
    fs::write(memory.join("file"), vec![1; 1 << 20]).unwrap();
    let claim = kubelet.volume(&uid, "csi", "pv-1").join("mount");
    fs::create_dir(&claim).unwrap();
    kubelet.tmpfs(&claim);
    fs::write(claim.join("file"), vec![1; 2 << 20]).unwrap();

    let socket = containerd.socket().display().to_string();
    let kubelet_dir = kubelet.root.path().display().to_string();
    let told = agent(&["--cri-socket", &socket, "--kubelet-dir", &kubelet_dir]);
    // Without a socket the container's own mount table tells where its layer is.
    let untold = agent(&["--kubelet-dir", &kubelet_dir]);
    let pod = containerd.run_pod(PodSpec::new("web-0", "shop", &uid));
    let script = "i=0; while [ $i -lt 500 ]; do echo a line of a log $i; i=$((i+1)); done
        dd if=/dev/zero of=/data bs=1048576 count=10 2>/dev/null; sync; sleep 100000";
    let web = containerd.run_container(&pod, &shell("web", script));
    let (cgroup, pod_cgroup) = (pod.container_cgroup(&web), pod.spec.cgroup_parent.clone());
    let (id, pod_id) = ([("id", cgroup.as_str())], [("id", pod_cgroup.as_str())]);

    let scrape = scrape_until(&told, "10 MiB by the runtime's count, and the sum", |scrape| {
        let layer = only(scrape, "ringside_container_fs_writable_layer_bytes", &id);
        let by_cri = [("id", cgroup.as_str()), ("part", "writable_layer"), ("source", "cri")];
        layer.is_some_and(|bytes| is_about(bytes, 10.0 * MIB, MIB / 4.0))
            && scrape.has("ringside_container_fs_counted_timestamp_seconds", &by_cri)
            && only(scrape, "ringside_container_fs_logs_bytes", &id).is_some_and(|bytes| bytes > 8000.0)
            && scrape.has("ringside_pod_ephemeral_storage_used_bytes", &pod_id)
    });
    let value = |name: &str, labels: &[(&str, &str)]| {
        only(&scrape, name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}"))
    };
    let layer = value("ringside_container_fs_writable_layer_bytes", &id);
    let logs = value("ringside_container_fs_logs_bytes", &id);
    assert_eq!(value("container_fs_usage_bytes", &id), layer + logs);
    assert!(value("container_fs_limit_bytes", &id) > layer);
    let volume = |name: &str| value("ringside_pod_volume_used_bytes", &[pod_id[0], ("volume", name)]);
    assert!(is_about(volume("scratch"), 3.0 * MIB, MIB / 4.0), "{}", volume("scratch"));
    assert_eq!(volume("memory"), MIB);
    assert_eq!(volume("pv-1"), 2.0 * MIB);
    let capacity = value("ringside_pod_volume_capacity_bytes", &[pod_id[0], ("plugin", "kubernetes.io~csi")]);
    assert_eq!(capacity, 8.0 * MIB);
    let sum = value("ringside_pod_ephemeral_storage_used_bytes", &pod_id);
    assert_eq!(sum, layer + logs + volume("scratch"), "not what is in memory, and no claim");

    let scrape = scrape_until(&untold, "10 MiB by a walk", |scrape| {
        let layer = only(scrape, "ringside_container_fs_writable_layer_bytes", &id);
        layer.is_some_and(|bytes| is_about(bytes, 10.0 * MIB, MIB / 4.0))
    });
    let by_walk = [("id", cgroup.as_str()), ("part", "writable_layer"), ("source", "walk")];
    assert!(scrape.has("ringside_container_fs_counted_timestamp_seconds", &by_walk));
    let walked = only(&scrape, "ringside_container_fs_writable_layer_bytes", &id).unwrap();
    assert!((walked - layer).abs() <= 64.0 * 1024.0, "the runtime says {layer}, the walk {walked}");
}

#[test]
fn storage_that_is_switched_off_shows_the_node_only() {
    let agent = Agent::start(["--storage", "off", "--docker-socket", "none", "--cri-socket", "none"]);
    let scrape = agent.scrape_later_tick();
    let found = scrape.find("container_fs_usage_bytes", &[]);
    assert!(found.iter().all(|sample| sample.labels["id"] == "/"), "{found:?}");
    let threads = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    let names: Vec<String> =
        threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).unwrap()).collect();
    assert!(names.iter().all(|name| name.trim() != "ringside-walk"), "{names:?}");
    assert!(names.iter().any(|name| name.trim() == "ringside-tick"), "{names:?}");
}
