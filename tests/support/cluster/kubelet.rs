//! A real kubelet on a real containerd: the node of the lab's cluster.
//!
//! In: the cluster's files and the containerd guard. Out: the kubelet's process, which takes away its mounts, folders,
//! log folders and kernel settings when it ends; [`remove_cgroups_script`] takes away the cgroups when all is over.
//!
//! The pods' cgroups are `/kubelet/kubepods/…`, as in a cluster of containers, not `/kubepods/…`: a kubelet removes all
//! pod cgroups below its root that are not its own, and those of other tests are in `/kubepods`. The kubelet and its
//! containerd do not move or limit anything outside of `/kubelet`.
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::super::containerd::Containerd;
use super::super::process::{Running, Spawn, path_with_sbin, remove_folder_script, wait_until};
use super::pki::{Pki, write_kubeconfig};

/// The node's name.
pub const NODE: &str = "lab-node";
/// Below which cgroup the kubelet works, in every hierarchy.
pub const CGROUP_ROOT: &str = "/kubelet";

/// One kubelet at a time on a machine: it has files in fixed places (`/var/log/pods`, `/var/lib/kubelet`).
pub struct TheOnlyKubelet {
    _lock: OwnedFd,
}

impl TheOnlyKubelet {
    pub fn wait() -> Self {
        let file = "/tmp/ringside-lab-kubelet.lock";
        let lock = rustix::fs::open(file, OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))
            .unwrap_or_else(|error| panic!("cannot open {file}: {error}"));
        wait_until(
            "the end of another test's kubelet (lock /tmp/ringside-lab-kubelet.lock)",
            Duration::from_secs(900),
            || rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| error.to_string()),
        );
        // The lock is free as soon as its holder is dead; that test's watchers may still be at work.
        wait_until("the removal of the cgroups of an earlier kubelet", Duration::from_secs(60), || {
            let left: Vec<PathBuf> = hierarchies().into_iter().filter(|at| at.join("kubelet").exists()).collect();
            if left.is_empty() {
                return Ok(());
            }
            let _may_be_in_use = super::super::process::try_run("sh", &["-c", REMOVE_CGROUPS_ONCE]);
            Err(format!("still in {left:?}; processes in them keep them: end these by hand"))
        });
        Self { _lock: lock }
    }
}

/// The places where the runtime and the kubelet look for `/kubelet`: each v1 hierarchy, or the one of v2.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect()
}

const REMOVE_CGROUPS_ONCE: &str = r#"
for h in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -d "$h/kubelet" ] && [ ! -L "$h" ] && find "$h/kubelet" -depth -type d -exec rmdir {} \; 2>/dev/null
done
true
"#;

/// Removes `/kubelet` from every hierarchy, once its processes have ended; gives up after 30 s.
pub fn remove_cgroups_script() -> String {
    format!(
        r#"
        tries=0
        while [ "$tries" -lt 60 ]; do
            [ -n "$(ls -d /sys/fs/cgroup/kubelet /sys/fs/cgroup/*/kubelet 2>/dev/null)" ] || break
            {REMOVE_CGROUPS_ONCE}
            sleep 0.5
            tries=$((tries + 1))
        done
        "#
    )
}

/// A kubelet with default settings writes these; the machine gets its own values back.
const KERNEL_SETTINGS: [&str; 5] = [
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// The script that writes back what is set now, below `/proc/sys`.
pub fn restore_kernel_settings_script(settings: &[&str]) -> String {
    let mut script = String::new();
    for name in settings {
        if let Ok(value) = fs::read_to_string(format!("/proc/sys/{name}")) {
            script += &format!("echo {} >/proc/sys/{name}\n", value.trim());
        }
    }
    script
}

/// What the kubelet leaves in places that no flag moves: log folders of its pods, and the device plugins' socket.
fn remove_fixed_places_script(root: &Path) -> String {
    let root = root.display();
    format!(
        r#"
        for pod in '{root}'/pods/*; do
            [ -d "$pod" ] && rm -rf /var/log/pods/*_"${{pod##*/}}"
        done
        rmdir /var/log/pods 2>/dev/null
        find /var/log/containers -maxdepth 1 -xtype l -delete 2>/dev/null
        rmdir /var/log/containers 2>/dev/null
        rm -f /var/lib/kubelet/device-plugins/kubelet.sock /var/lib/kubelet/device-plugins/kubelet_internal_checkpoint
        rm -f /var/lib/kubelet/device-plugins/DEPRECATION
        rmdir /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null
        "#
    )
}

/// Where the kubelet is started, and with whom it speaks.
pub struct Node<'a> {
    pub program: &'a Path,
    pub folder: &'a Path,
    pub pki: &'a Pki,
    pub server: &'a str,
    /// The node's address: the bridge's, on which its pods are.
    pub address: &'a str,
    /// A loopback address of this cluster's own.
    pub loopback: &'a str,
}

pub fn start(node: &Node<'_>, containerd: &Containerd) -> Running {
    let folder = node.folder;
    let root = folder.join("root");
    fs::create_dir_all(&root).unwrap();
    for hierarchy in hierarchies() {
        // cpuset of v1 takes no process before it has CPUs and memory nodes; a child has none of its own.
        let cgroup = hierarchy.join("kubelet");
        fs::create_dir_all(&cgroup).unwrap_or_else(|error| panic!("cannot make {}: {error}", cgroup.display()));
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(parents) = fs::read_to_string(hierarchy.join(file)) {
                fs::write(cgroup.join(file), parents.trim()).unwrap();
            }
        }
    }

    let identity = node.pki.client("kubelet", &format!("system:node:{NODE}"), Some("system:nodes"));
    let serving = node.pki.server("kubelet-serving", &[NODE, node.address]);
    let kubeconfig = folder.join("kubeconfig");
    let user = serde_json::json!({ "client-certificate": identity.certificate, "client-key": identity.key });
    write_kubeconfig(&kubeconfig, node.server, &node.pki.cluster_ca(), &user);
    let config_file = folder.join("config.json");
    fs::write(&config_file, configuration(node, &serving.certificate, &serving.key).to_string()).unwrap();

    let runtime = format!("unix://{}", containerd.socket().display());
    let at = |name: &str| folder.join(name).display().to_string();
    Spawn::new("kubelet", node.program)
        .args(["--config", config_file.to_str().unwrap(), "--kubeconfig", kubeconfig.to_str().unwrap()])
        .args(["--hostname-override", NODE, "--node-ip", node.address])
        .args(["--root-dir", root.to_str().unwrap(), "--cert-dir", &at("certs")])
        .args(["--volume-plugin-dir", &at("volume-plugins"), "--v", "2"])
        .args(["--container-runtime", "remote", "--container-runtime-endpoint", &runtime])
        .env("PATH", path_with_sbin())
        .after_end(
            restore_kernel_settings_script(&KERNEL_SETTINGS)
                + &remove_fixed_places_script(&root)
                + &remove_folder_script(folder),
        )
        .start(folder.parent().unwrap())
}

fn configuration(node: &Node<'_>, certificate: &Path, key: &Path) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "healthzBindAddress": node.loopback,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": node.pki.cluster_ca() },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": certificate,
        "tlsPrivateKeyFile": key,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": CGROUP_ROOT,
        "cgroupsPerQOS": true,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        // A machine of the tests is often nearly full; its images came from here and cannot be fetched again.
        "evictionHard": { "memory.available": "50Mi" },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "5s",
        "clusterDNS": [node.address],
        "clusterDomain": "cluster.local",
    })
}
