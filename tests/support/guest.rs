//! A real machine with the cgroup layout a test asks for, in qemu without hardware help.
//!
//! In: a layout, words for the kernel's command line. Out: a guard that runs scripts in the guest, starts containers
//! with `crun`, starts the agent and asks it. The kernel is Debian's 6.1 from the cache that `tests/lab/setup.sh`
//! fills; the file system is an initramfs of busybox, crun, iproute2's `ip` and the agent's binary, made anew for each
//! start.
//!
//! Times inside are 10 to 20 times those of the host: for behaviour, never for speed. A guest that does not
//! boot fails the test with the end of its serial line.
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::agent::BINARY;
use super::docker::busybox_rootfs;
use super::exposition::Scrape;
use super::http::{self, Response};
use super::process::{Running, Spawn, free_port, lab_folder, remove_folder_script, run, wait_until};

/// In the order in which they can be loaded.
const MODULES: [&str; 17] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
    "overlay",
    "veth",
    "llc",
    "stp",
    "bridge",
    "loop",
    "quota_tree",
    "quota_v2",
];

/// Where the agent listens in the guest; the host's port is [`Guest::agent_address`].
pub const AGENT_LISTEN: &str = "0.0.0.0:8000";

/// A boot takes 5 s, on busy cores 20 s.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);
/// The longest silence while a script runs.
const EXEC_DEADLINE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupLayout {
    /// One cgroup2 tree with all controllers.
    V2,
    /// A hierarchy for each v1 controller (cpu and cpuacct together), no cgroup2.
    V1,
    /// As V1, and a cgroup2 tree without controllers at /sys/fs/cgroup/unified.
    Hybrid,
}

#[derive(Clone, Debug)]
pub struct GuestOptions {
    pub layout: CgroupLayout,
    /// More words for the kernel's command line.
    pub kernel_args: String,
    pub memory_mib: u32,
    pub cpus: u32,
    /// Files that are on the guest's disk from the beginning, at `/scratch`.
    pub on_disk: Vec<PathBuf>,
}

impl GuestOptions {
    pub fn new(layout: CgroupLayout) -> Self {
        Self { layout, kernel_args: "psi=1".to_owned(), memory_mib: 1024, cpus: 2, on_disk: Vec::new() }
    }
}

pub struct Guest {
    pub process: Running,
    pub agent_address: SocketAddr,
    exec_address: SocketAddr,
    /// One guest at a time: two of them on a small machine are slower than one after the other.
    _turn: File,
}

/// How a script in the guest ended.
#[derive(Debug, Clone)]
pub struct Exec {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Guest {
    pub fn start(layout: CgroupLayout) -> Self {
        Self::start_with(&GuestOptions::new(layout))
    }

    pub fn start_with(options: &GuestOptions) -> Self {
        let kernel = guest_kernel();
        let turn = wait_for_turn();
        let folder = lab_folder("guest");
        let initramfs = build_initramfs(&folder, &kernel);
        let scratch = folder.join("scratch.img");
        File::create(&scratch).unwrap().set_len(64 << 20).unwrap();
        let on_disk = folder.join("on-disk");
        fs::create_dir(&on_disk).unwrap();
        for file in &options.on_disk {
            fs::copy(file, on_disk.join(file.file_name().unwrap())).unwrap_or_else(|error| {
                panic!("{}: {error}; tests/lab/setup.sh installs what is needed", file.display())
            });
        }
        // Usage is counted for each project; nothing is limited.
        let quota = ["-O", "quota,project", "-E", "quotatype=prjquota"];
        let from = ["-F", "-d", on_disk.to_str().unwrap(), scratch.to_str().unwrap()];
        run("mke2fs", &[&["-q", "-t", "ext4"][..], &quota, &from].concat());
        let layout = match options.layout {
            CgroupLayout::V2 => "v2",
            CgroupLayout::V1 => "v1",
            CgroupLayout::Hybrid => "hybrid",
        };
        let append = format!(
            "console=ttyS0 quiet panic=-1 mitigations=off tsc=unstable lab.cgroup={layout} {}",
            options.kernel_args
        );
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (agent_address, exec_address) = (address(), address());
        let network = format!("user,id=n,hostfwd=tcp:{agent_address}-:8000,hostfwd=tcp:{exec_address}-:8001");
        let process = Spawn::new("guest", "qemu-system-x86_64")
            .args(["-M", "pc", "-cpu", "max", "-accel", "tcg,thread=multi", "-nodefaults", "-no-user-config"])
            .args(["-nographic", "-serial", "stdio", "-no-reboot"])
            .args(["-smp", &options.cpus.to_string(), "-m", &options.memory_mib.to_string()])
            .args([
                "-kernel",
                kernel.image.to_str().unwrap(),
                "-initrd",
                initramfs.to_str().unwrap(),
                "-append",
                &append,
            ])
            .args(["-netdev", &network, "-device", "virtio-net-pci,netdev=n,romfile="])
            .args([
                "-drive",
                &format!("file={},format=raw,if=none,id=d", scratch.display()),
                "-device",
                "virtio-blk-pci,drive=d",
            ])
            .after_end(remove_folder_script(&folder))
            .start(&folder);
        let guest = Self { process, agent_address, exec_address, _turn: turn };
        // Not before: qemu takes a connection at once and keeps it open while nobody in the guest answers.
        guest.process.wait_until("\"lab: ready\" on the serial line", BOOT_DEADLINE, || {
            if guest.process.log().contains("lab: ready") { Ok(()) } else { Err("not yet".to_owned()) }
        });
        guest
            .process
            .wait_until("a guest that runs scripts", BOOT_DEADLINE, || guest.try_exec("true", Duration::from_secs(10)));
        guest
    }

    /// Runs a shell script in the guest as root, whatever its status is.
    pub fn exec(&self, script: &str) -> Exec {
        self.try_exec(script, EXEC_DEADLINE)
            .unwrap_or_else(|error| self.process.fail(&format!("{error}, while running:\n{script}")))
    }

    /// Runs a script that must succeed, and gives what it printed.
    pub fn sh(&self, script: &str) -> String {
        let Exec { status, stdout, stderr } = self.exec(script);
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        assert_eq!(status, 0, "in the guest:\n{script}\nprinted:\n{stdout}{stderr}");
        stdout
    }

    fn try_exec(&self, script: &str, deadline: Duration) -> Result<Exec, String> {
        let response = http::request(self.exec_address, "POST", "/cgi-bin/exec", &[], script.as_bytes(), deadline)?;
        if response.status != 200 {
            return Err(format!("status {} of the guest's server", response.status));
        }
        let line_end =
            response.body.iter().position(|&byte| byte == b'\n').ok_or("an answer without its first line")?;
        let (line, rest) = response.body.split_at(line_end);
        let line = String::from_utf8_lossy(line);
        let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let &[status, stdout_bytes, stderr_bytes] = numbers.as_slice() else {
            return Err(format!("not a first line: {line:?}"));
        };
        let rest = &rest[1..];
        if rest.len() != stdout_bytes + stderr_bytes {
            return Err(format!("{} bytes came, {stdout_bytes} + {stderr_bytes} were said", rest.len()));
        }
        let (stdout, stderr) = rest.split_at(stdout_bytes);
        let status = i32::try_from(status).unwrap();
        Ok(Exec { status, stdout: stdout.to_vec(), stderr: String::from_utf8_lossy(stderr).into_owned() })
    }

    /// The text of a file in the guest.
    pub fn read(&self, path: &str) -> String {
        self.sh(&format!("cat '{path}'"))
    }

    /// Starts a detached container: `cgroup` is its path below each hierarchy's root, `command` its process,
    /// `overrides` is merged into its OCI configuration (`{"linux": {"resources": {"memory": {"limit": …}}}}`).
    /// Its root file system is busybox; `/scratch` is the guest's disk; its own network has only `lo`.
    pub fn run_container(&self, name: &str, cgroup: &str, command: &[&str], overrides: Value) {
        let mut config = json!({
            "ociVersion": "1.0.0",
            "process": {
                "terminal": false,
                "user": { "uid": 0, "gid": 0 },
                "args": command,
                "env": ["PATH=/bin", "HOME=/"],
                "cwd": "/",
            },
            "root": { "path": "/lab/rootfs", "readonly": false },
            "hostname": name,
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"] },
                { "destination": "/scratch", "type": "bind", "source": "/scratch", "options": ["rbind", "rw"] },
            ],
            "linux": {
                "cgroupsPath": cgroup,
                "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "network" }],
                "resources": {},
            },
        });
        merge(&mut config, overrides);
        self.sh(&format!(
            "mkdir -p '/lab/bundles/{name}'\n\
             cat >'/lab/bundles/{name}/config.json' <<'END_OF_CONFIG'\n{config:#}\nEND_OF_CONFIG\n\
             crun --cgroup-manager=cgroupfs run --no-pivot -d --bundle '/lab/bundles/{name}' '{name}' >'/lab/log/{name}.log' 2>&1 \
             || {{ cat '/lab/log/{name}.log'; exit 1; }}"
        ));
    }

    /// The process id of the container's first process, in the guest.
    pub fn container_pid(&self, name: &str) -> u32 {
        let state: Value = serde_json::from_str(&self.sh(&format!("crun state '{name}'"))).unwrap();
        u32::try_from(state["pid"].as_u64().unwrap()).unwrap()
    }

    pub fn delete_container(&self, name: &str) {
        self.sh(&format!("crun --cgroup-manager=cgroupfs delete --force '{name}'"));
    }

    /// Starts `ringside agent` in the guest, reachable from here, and waits until it is ready.
    pub fn start_agent(&self, extra: &[&str]) {
        let quoted: Vec<String> = extra.iter().map(|arg| format!("'{}'", arg.replace('\'', r"'\''"))).collect();
        self.sh(&format!(
            "/lab/ringside agent --insecure-listen {AGENT_LISTEN} {} >/lab/log/agent.log 2>&1 &\necho $! >/run/agent.pid",
            quoted.join(" ")
        ));
        wait_until("200 from /readyz in the guest", Duration::from_secs(120), || {
            match http::get(self.agent_address, "/readyz", &[]) {
                Ok(response) if response.status == 200 => Ok(()),
                other => {
                    // A process that has ended cannot become ready; its log says why.
                    self.sh("kill -0 $(cat /run/agent.pid) || { cat /lab/log/agent.log; exit 1; }");
                    Err(format!("{other:?}; its log: {}", self.sh("tail -n 20 /lab/log/agent.log")))
                }
            }
        });
    }

    pub fn stop_agent(&self) {
        self.sh("kill $(cat /run/agent.pid); while kill -0 $(cat /run/agent.pid) 2>/dev/null; do sleep 0.1; done");
    }

    pub fn agent_get(&self, path: &str) -> Response {
        http::get(self.agent_address, path, &[]).unwrap_or_else(|error| {
            self.process.fail(&format!("{error}; its log: {}", self.sh("tail -n 40 /lab/log/agent.log")))
        })
    }

    /// Scrapes until `accept` takes it: a scrape may come before the tick that shows what is waited for.
    pub fn agent_scrape_until(&self, what: &str, accept: impl Fn(&Scrape) -> bool) -> Scrape {
        self.process.wait_until(what, Duration::from_secs(120), || {
            let scrape = self.agent_scrape("/metrics");
            if accept(&scrape) { Ok(scrape) } else { Err("not yet".to_owned()) }
        })
    }

    pub fn agent_scrape(&self, path: &str) -> Scrape {
        let response = self.agent_get(path);
        assert_eq!(response.status, 200, "{path}: {}", String::from_utf8_lossy(&response.body));
        Scrape::parse(response.text())
    }
}

/// Objects are merged key by key; anything else is replaced.
fn merge(base: &mut Value, overrides: Value) {
    match (base, overrides) {
        (Value::Object(base), Value::Object(overrides)) => {
            for (key, value) in overrides {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, overrides) => *base = overrides,
    }
}

fn wait_for_turn() -> File {
    let turn = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest.lock")).unwrap();
    turn.lock().unwrap();
    turn
}

struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

/// The cache is where `tests/lab/setup.sh` puts it.
fn guest_kernel() -> Kernel {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = var("RINGSIDE_CACHE")
        .or_else(|| Some(var("XDG_CACHE_HOME")?.join("ringside")))
        .or_else(|| Some(var("HOME")?.join(".cache/ringside")))
        .expect("HOME, XDG_CACHE_HOME or RINGSIDE_CACHE must say where the cache is");
    let folder = cache.join("guest-kernel");
    let release = fs::read_to_string(folder.join("VERSION"))
        .unwrap_or_else(|error| panic!("no guest kernel in {}: {error}; run tests/lab/setup.sh", folder.display()));
    let release = release.trim();
    Kernel {
        image: folder.join("boot").join(format!("vmlinuz-{release}")),
        modules: folder.join("lib/modules").join(release).join("kernel"),
    }
}

fn build_initramfs(folder: &Path, kernel: &Kernel) -> PathBuf {
    let stage = folder.join("initramfs");
    busybox_rootfs(&stage);
    busybox_rootfs(&stage.join("lab/rootfs"));
    fs::create_dir_all(stage.join("lab/rootfs/scratch")).unwrap();
    fs::create_dir_all(stage.join("lab/modules")).unwrap();
    fs::create_dir_all(stage.join("lab/www/cgi-bin")).unwrap();

    put(include_bytes!("../lab/init.sh"), &stage.join("init"));
    put(include_bytes!("../lab/exec.cgi"), &stage.join("lab/www/cgi-bin/exec"));

    let listing = run("find", &[kernel.modules.to_str().unwrap(), "-name", "*.ko"]);
    for (place, module) in MODULES.iter().enumerate() {
        let file_name = format!("/{module}.ko");
        let source = listing
            .lines()
            .find(|path| path.ends_with(&file_name))
            .unwrap_or_else(|| panic!("the guest kernel has no module {module}"));
        fs::copy(source, stage.join(format!("lab/modules/{place:02}-{module}.ko"))).unwrap();
    }

    // Debug information would be most of the guest's memory.
    let agent = stage.join("lab/ringside");
    run("strip", &["--strip-debug", "-o", agent.to_str().unwrap(), BINARY]);
    copy_libraries(BINARY, &stage);
    // busybox has an `ip` too, which cannot make veth pairs or reach into a network namespace. Its shell prefers
    // its own commands over files in PATH: a script that wants this one says /bin/ip.
    for program in ["crun", "ip", "chattr"] {
        let path = run("sh", &["-c", "command -v \"$0\"", program]);
        let target = stage.join("bin").join(program);
        if target.is_symlink() {
            fs::remove_file(&target).unwrap();
        }
        fs::copy(path.trim(), &target).unwrap();
        copy_libraries(path.trim(), &stage);
    }

    let archive = folder.join("initramfs.cpio");
    run(
        "sh",
        &[
            "-c",
            "cd \"$0\" && find . | cpio --quiet -o -H newc -R 0:0 >\"$1\"",
            stage.to_str().unwrap(),
            archive.to_str().unwrap(),
        ],
    );
    archive
}

/// Copies each library that `ldd` names, and the loader, to the same path below `stage`.
pub fn copy_libraries(program: &str, stage: &Path) {
    for line in run("ldd", &[program]).lines() {
        assert!(!line.contains("not found"), "{program}: {line}");
        let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) else {
            continue;
        };
        let target = stage.join(path.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, &target).unwrap();
    }
}

fn put(script: &[u8], target: &Path) {
    fs::write(target, script).unwrap();
    fs::set_permissions(target, fs::Permissions::from_mode(0o755)).unwrap();
}
