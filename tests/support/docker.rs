//! A real Docker daemon of the test's own.
//!
//! In: nothing. Out: a guard around `dockerd` with its own data, sockets, containerd and bridge; it never touches a
//! Docker daemon of the machine. Its containers are children of `/docker` in every cgroup hierarchy, as everywhere.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use super::network::Bridge;
use super::process::{
    Running, Spawn, end_containerd_script, lab_folder, path_with_sbin, remove_folder_script, require_root, run, try_run,
};

/// The image that [`Dockerd::import_busybox`] makes.
pub const BUSYBOX: &str = "busybox:lab";

pub struct Dockerd {
    pub process: Running,
    pub bridge: Bridge,
    folder: PathBuf,
}

impl Dockerd {
    pub fn start() -> Self {
        require_root("dockerd");
        let folder = lab_folder("docker");
        let bridge = Bridge::create();
        let at = |name: &str| folder.join(name).display().to_string();
        let socket = format!("unix://{}", at("docker.sock"));
        // Containers go first, while the daemon can still undo their mounts, networks and cgroups.
        let remove_containers = format!("docker -H {socket} ps -aq | xargs -r docker -H {socket} rm -fv");
        let process = Spawn::new("dockerd", "dockerd")
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--config-file", &at("daemon.json"), "--host", &socket])
            .args(["--bridge", &bridge.name, "--iptables=false", "--ip6tables=false"])
            .args(["--ip-forward=false", "--ip-masq=false", "--userland-proxy=false"])
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--shutdown-timeout", "3"])
            .env("PATH", path_with_sbin())
            .before_end(remove_containers)
            .after_end(end_containerd_script(&folder) + &bridge.remove_script() + &remove_folder_script(&folder));
        fs::write(folder.join("daemon.json"), "{}").unwrap();
        let dockerd = Self { process: process.start(&folder), bridge, folder };
        dockerd.process.wait_until("an answer to docker version", Duration::from_secs(60), || {
            let output = dockerd.try_cli(&["version", "--format", "{{.Server.Version}}"]);
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        });
        dockerd
    }

    /// The path of the API's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// `--data-root`: overlay2 layers, logs.
    pub fn data_root(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// `--exec-root`: containerd's socket is `containerd/containerd.sock` in it.
    pub fn exec_root(&self) -> PathBuf {
        self.folder.join("exec")
    }

    /// Makes the image `busybox:lab` from the machine's static busybox.
    pub fn import_busybox(&self) {
        let tar = self.folder.join("busybox.tar");
        let rootfs = self.folder.join("rootfs");
        busybox_rootfs(&rootfs);
        run("tar", &["-C", rootfs.to_str().unwrap(), "-cf", tar.to_str().unwrap(), "."]);
        self.cli(&["import", tar.to_str().unwrap(), BUSYBOX]);
    }

    /// `docker run -d --name <name> <args…>` (the image is among the arguments); gives the 64 hex digits.
    pub fn run(&self, name: &str, args: &[&str]) -> String {
        let id = self.cli(&[&["run", "-d", "--name", name][..], args].concat()).trim().to_owned();
        assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "not a container id: {id:?}");
        id
    }

    /// One line of `docker stats`, with Docker's own words as keys (`CPUPerc`, `MemUsage`, `NetIO`, `PIDs` …).
    pub fn stats(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.cli(&["stats", "--no-stream", "--format", "{{json .}}", name])).unwrap()
    }

    pub fn inspect(&self, name: &str) -> serde_json::Value {
        let mut all: Vec<serde_json::Value> = serde_json::from_str(&self.cli(&["inspect", name])).unwrap();
        all.pop().unwrap_or_else(|| panic!("docker inspect {name} gave nothing"))
    }

    /// The process id of the container's first process, on the host.
    pub fn pid(&self, name: &str) -> u32 {
        u32::try_from(self.inspect(name)["State"]["Pid"].as_u64().unwrap()).unwrap()
    }

    pub fn rm(&self, name: &str) {
        self.cli(&["rm", "-f", "-v", name]);
    }

    /// `docker <args>`; a failure fails the test with all it printed.
    pub fn cli(&self, args: &[&str]) -> String {
        let output = self.try_cli(args);
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            self.process.fail(&format!("docker {} failed: {}", args.join(" "), String::from_utf8_lossy(&said)));
        }
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_cli(&self, args: &[&str]) -> Output {
        let socket = format!("unix://{}", self.socket().display());
        try_run("docker", &[&["-H", &socket][..], args].concat())
    }
}

/// A root file system of busybox-static: `/bin/busybox`, a link for each of its commands, and empty folders.
/// Its `wget` crashes, since a static glibc finds no resolver here; `nc` with an address works.
pub fn busybox_rootfs(folder: &Path) {
    for name in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    fs::write(folder.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        .unwrap();
    fs::write(folder.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
    fs::copy("/bin/busybox", folder.join("bin/busybox"))
        .expect("no /bin/busybox; tests/lab/setup.sh installs busybox-static");
    for command in run("/bin/busybox", &["--list"]).lines().filter(|command| *command != "busybox") {
        symlink("busybox", folder.join("bin").join(command)).unwrap();
    }
}
