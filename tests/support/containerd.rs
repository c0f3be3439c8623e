//! A real containerd with the CRI plugin, as a Kubernetes node has it, and pods made over CRI.
//!
//! In: nothing. Out: a guard around `containerd` with its own folders, socket, images, CNI network and bridge.
//! The images come from the machine's static busybox; no registry is asked.
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Mutex;
use std::time::Duration;

use super::cri::{self, Cri, empty};
use super::docker::busybox_rootfs;
use super::network::Bridge;
use super::process::{
    Running, Spawn, end_containerd_script, lab_folder, path_with_sbin, remove_folder_script, require_root, run, try_run,
};

/// A shell image; its default command sleeps.
pub const BUSYBOX: &str = "lab.test/busybox:lab";
const PAUSE: &str = "lab.test/pause:lab";

pub struct Containerd {
    pub process: Running,
    /// What runs in the place of `process` after [`Containerd::restart`]; ended by its clean-up.
    restarted: Option<Running>,
    pub bridge: Bridge,
    pub cri: Cri,
    folder: PathBuf,
    /// The pods that run: sandbox id and cgroup parent.
    pods: Mutex<Vec<(String, String)>>,
}

/// What a pod is made from; `PodSpec::new` gives a burstable one.
#[derive(Clone, Debug)]
pub struct PodSpec {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub host_network: bool,
    /// More labels than the kubelet's own three.
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
    pub cgroup_parent: String,
}

impl PodSpec {
    pub fn new(name: &str, namespace: &str, uid: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            uid: uid.to_owned(),
            host_network: false,
            labels: Vec::new(),
            annotations: Vec::new(),
            cgroup_parent: format!("/kubepods/burstable/pod{uid}"),
        }
    }

    fn kubelet_labels(&self) -> HashMap<String, String> {
        [
            ("io.kubernetes.pod.name", &self.name),
            ("io.kubernetes.pod.namespace", &self.namespace),
            ("io.kubernetes.pod.uid", &self.uid),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
    }
}

/// What a container is made from.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    pub name: String,
    pub command: Vec<String>,
    /// The restart count, as the kubelet counts it.
    pub attempt: u32,
    pub labels: Vec<(String, String)>,
    pub resources: cri::LinuxContainerResources,
}

impl ContainerSpec {
    pub fn new(name: &str, command: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            attempt: 0,
            labels: Vec::new(),
            resources: cri::LinuxContainerResources::default(),
        }
    }
}

/// A pod sandbox that runs.
#[derive(Clone, Debug)]
pub struct Pod {
    pub id: String,
    pub spec: PodSpec,
    config: cri::PodSandboxConfig,
}

impl Pod {
    /// The cgroup of the sandbox's pause container, relative to a hierarchy's root.
    pub fn cgroup(&self) -> String {
        self.container_cgroup(&self.id)
    }

    pub fn container_cgroup(&self, container_id: &str) -> String {
        format!("{}/{container_id}", self.spec.cgroup_parent)
    }
}

impl Containerd {
    pub fn start() -> Self {
        require_root("containerd");
        let folder = lab_folder("ctrd");
        let bridge = Bridge::create();
        let config_file = write_config(&folder, &bridge);
        let socket = folder.join("c.sock");
        let ctr = format!("ctr -a {} -n k8s.io", socket.display());
        let end_tasks = format!(
            "{ctr} tasks ls -q | while read -r t; do {ctr} tasks kill -a -s KILL $t; {ctr} tasks rm -f $t; done\n"
        );
        let process = Spawn::new("containerd", "containerd")
            .args(["--config", config_file.to_str().unwrap()])
            .env("PATH", path_with_sbin())
            .before_end(end_tasks)
            .after_end(end_containerd_script(&folder) + &bridge.remove_script() + &remove_folder_script(&folder))
            .start(&folder);
        let cri = wait_ready(&process, &socket);
        let containerd = Self { process, restarted: None, bridge, cri, folder, pods: Mutex::default() };
        containerd.import_images();
        containerd
    }

    /// Kills containerd and starts it again with the same folders; its pods live on, as they do on a node.
    pub fn restart(&mut self) {
        let old = self.restarted.as_ref().unwrap_or(&self.process);
        old.signal(rustix::process::Signal::KILL);
        old.wait(Duration::from_secs(30));
        let config_file = self.folder.join("config.toml");
        let process = Spawn::new("containerd-again", "containerd")
            .args(["--config", config_file.to_str().unwrap()])
            .env("PATH", path_with_sbin())
            .start(&self.folder);
        self.cri = wait_ready(&process, &self.socket());
        self.restarted = Some(process);
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("c.sock")
    }

    /// `ctr -n k8s.io <args>`; a failure fails the test with all it printed.
    pub fn ctr(&self, args: &[&str]) -> String {
        let output = self.try_ctr(args);
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            self.process.fail(&format!("ctr {} failed: {}", args.join(" "), String::from_utf8_lossy(&said)));
        }
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_ctr(&self, args: &[&str]) -> Output {
        let socket = self.socket();
        try_run("ctr", &[&["-a", socket.to_str().unwrap(), "-n", "k8s.io"][..], args].concat())
    }

    pub fn run_pod(&self, spec: PodSpec) -> Pod {
        let network = if spec.host_network { cri::NamespaceMode::Node } else { cri::NamespaceMode::Pod };
        let mut labels = spec.kubelet_labels();
        labels.extend(spec.labels.iter().cloned());
        let config = cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: spec.name.clone(),
                uid: spec.uid.clone(),
                namespace: spec.namespace.clone(),
                attempt: 0,
            }),
            hostname: if spec.host_network { String::new() } else { spec.name.clone() },
            log_directory: self.folder.join("pod-logs").join(&spec.uid).display().to_string(),
            labels,
            annotations: spec.annotations.iter().cloned().collect(),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: spec.cgroup_parent.clone(),
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(cri::NamespaceOption { network: network.into(), ..Default::default() }),
                }),
            }),
        };
        let answer: cri::RunPodSandboxResponse =
            self.call("RunPodSandbox", cri::RunPodSandboxRequest { config: Some(config.clone()) });
        self.pods.lock().unwrap().push((answer.pod_sandbox_id.clone(), spec.cgroup_parent.clone()));
        Pod { id: answer.pod_sandbox_id, spec, config }
    }

    /// `CreateContainer` and `StartContainer`; gives the container's id.
    pub fn run_container(&self, pod: &Pod, spec: &ContainerSpec) -> String {
        let id = self.create_container(pod, spec);
        self.start_container(&id);
        id
    }

    pub fn create_container(&self, pod: &Pod, spec: &ContainerSpec) -> String {
        let mut labels = pod.spec.kubelet_labels();
        labels.insert("io.kubernetes.container.name".to_owned(), spec.name.clone());
        labels.extend(spec.labels.iter().cloned());
        let network = if pod.spec.host_network { cri::NamespaceMode::Node } else { cri::NamespaceMode::Pod };
        let namespaces = cri::NamespaceOption {
            network: network.into(),
            pid: cri::NamespaceMode::Container.into(),
            ..Default::default()
        };
        let config = cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata { name: spec.name.clone(), attempt: spec.attempt }),
            image: Some(cri::ImageSpec { image: BUSYBOX.to_owned() }),
            command: spec.command.clone(),
            labels,
            annotations: HashMap::from([("io.kubernetes.container.restartCount".to_owned(), spec.attempt.to_string())]),
            log_path: format!("{}_{}.log", spec.name, spec.attempt),
            linux: Some(cri::LinuxContainerConfig {
                resources: Some(spec.resources.clone()),
                security_context: Some(cri::LinuxContainerSecurityContext { namespace_options: Some(namespaces) }),
            }),
            ..Default::default()
        };
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let answer: cri::CreateContainerResponse = self.call("CreateContainer", request);
        answer.container_id
    }

    pub fn start_container(&self, id: &str) {
        let _: empty::StartContainerResponse =
            self.call("StartContainer", cri::ContainerRequest { container_id: id.to_owned() });
    }

    pub fn stop_container(&self, id: &str) {
        let _: empty::StopContainerResponse =
            self.call("StopContainer", cri::StopContainerRequest { container_id: id.to_owned(), timeout: 0 });
    }

    pub fn remove_container(&self, id: &str) {
        let _: empty::RemoveContainerResponse =
            self.call("RemoveContainer", cri::ContainerRequest { container_id: id.to_owned() });
    }

    pub fn container_status(&self, id: &str) -> cri::ContainerStatus {
        let answer: cri::ContainerStatusResponse =
            self.call("ContainerStatus", cri::ContainerRequest { container_id: id.to_owned() });
        answer.status.unwrap()
    }

    /// The pod's address on the lab's bridge; empty for a pod in the host's network.
    pub fn pod_ip(&self, pod: &Pod) -> String {
        let answer: cri::PodSandboxStatusResponse =
            self.call("PodSandboxStatus", cri::PodSandboxRequest { pod_sandbox_id: pod.id.clone() });
        answer.status.unwrap_or_default().network.unwrap_or_default().ip
    }

    pub fn stop_pod(&self, pod: &Pod) {
        let _: empty::StopPodSandboxResponse =
            self.call("StopPodSandbox", cri::PodSandboxRequest { pod_sandbox_id: pod.id.clone() });
    }

    /// Also removes the pod's containers, and its cgroup as the kubelet does.
    pub fn remove_pod(&self, pod: &Pod) {
        let _: empty::RemovePodSandboxResponse =
            self.call("RemovePodSandbox", cri::PodSandboxRequest { pod_sandbox_id: pod.id.clone() });
        self.pods.lock().unwrap().retain(|(id, _)| *id != pod.id);
        remove_cgroup(&pod.spec.cgroup_parent);
    }

    fn call<Request, Answer>(&self, method: &str, request: Request) -> Answer
    where
        Request: prost::Message + Default + Send + Sync + 'static,
        Answer: prost::Message + Default + Send + Sync + 'static,
    {
        self.cri.call(method, request).unwrap_or_else(|status| self.process.fail(&format!("CRI {method}: {status}")))
    }

    fn import_images(&self) {
        let rootfs = self.folder.join("busybox");
        busybox_rootfs(&rootfs);
        for image in [PAUSE, BUSYBOX] {
            self.import_image(image, &rootfs, &["/bin/sleep", "2147483647"]);
        }
    }

    /// Makes an image of the files below `rootfs`, and waits until CRI knows it.
    pub fn import_image(&self, image: &str, rootfs: &Path, entrypoint: &[&str]) {
        let tar = self.image_archive(image, rootfs, entrypoint);
        self.ctr(&["images", "import", tar.to_str().unwrap()]);
        // CRI takes note of an imported image by an event, a moment later, and then labels it.
        self.process.wait_until("the image known to CRI", Duration::from_secs(30), || {
            let list = self.ctr(&["images", "ls"]);
            let known = list
                .lines()
                .any(|line| line.split(' ').next() == Some(image) && line.contains("io.cri-containerd.image=managed"));
            if known { Ok(()) } else { Err(list) }
        });
    }

    /// An archive as `docker save` writes it: manifest.json, the image's configuration, one layer.
    fn image_archive(&self, image: &str, rootfs: &Path, entrypoint: &[&str]) -> PathBuf {
        let work = self.folder.join(format!("image-{}", image.replace(['/', ':'], "-")));
        let files = work.join("files");
        fs::create_dir_all(&files).unwrap();
        let layer = files.join("layer.tar");
        run("tar", &["--owner=0", "--group=0", "-C", rootfs.to_str().unwrap(), "-cf", layer.to_str().unwrap(), "."]);
        let diff_id = run("sha256sum", &[layer.to_str().unwrap()]);
        let diff_id = diff_id.split(' ').next().unwrap();
        let config = serde_json::json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Entrypoint": entrypoint, "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
        });
        fs::write(files.join("config.json"), config.to_string()).unwrap();
        let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"] }]);
        fs::write(files.join("manifest.json"), manifest.to_string()).unwrap();
        let archive = work.join("image.tar");
        run(
            "tar",
            &[
                "-C",
                files.to_str().unwrap(),
                "-cf",
                archive.to_str().unwrap(),
                "manifest.json",
                "config.json",
                "layer.tar",
            ],
        );
        archive
    }
}

fn wait_ready(process: &Running, socket: &Path) -> Cri {
    process.wait_until("a runtime and a network that CRI calls ready", Duration::from_secs(60), || {
        let cri = Cri::connect(socket)?;
        let status: cri::StatusResponse =
            cri.call("Status", empty::StatusRequest {}).map_err(|status| status.to_string())?;
        let conditions = status.status.unwrap_or_default().conditions;
        if conditions.len() >= 2 && conditions.iter().all(|condition| condition.status) {
            Ok(cri)
        } else {
            Err(format!("{conditions:?}"))
        }
    })
}

impl Drop for Containerd {
    /// Pods first, over CRI, so that the network plugins give back addresses and links. Faults are not looked at
    /// here: what stays is ended by the watcher.
    fn drop(&mut self) {
        let pods = self.pods.lock().map(|mut pods| std::mem::take(&mut *pods)).unwrap_or_default();
        for (id, cgroup_parent) in pods {
            let request = cri::PodSandboxRequest { pod_sandbox_id: id };
            let _best_effort = self.cri.call::<_, empty::StopPodSandboxResponse>("StopPodSandbox", request.clone());
            let _best_effort = self.cri.call::<_, empty::RemovePodSandboxResponse>("RemovePodSandbox", request);
            remove_cgroup(&cgroup_parent);
        }
    }
}

/// A pod's own cgroup is made by the runtime and removed by nobody but the kubelet, whose part this is.
fn remove_cgroup(path: &str) {
    let roots = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
    for root in roots.chain([PathBuf::from("/sys/fs/cgroup")]) {
        let _absent_or_in_use = fs::remove_dir(root.join(path.trim_start_matches('/')));
    }
}

fn write_config(folder: &Path, bridge: &Bridge) -> PathBuf {
    let at = |name: &str| folder.join(name).display().to_string();
    let cni = folder.join("cni");
    fs::create_dir_all(&cni).unwrap();
    let network = serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "ringside-lab",
        "plugins": [{
            "type": "bridge",
            "bridge": bridge.name,
            "isGateway": false,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": at("cni-data"),
                "ranges": [[{ "subnet": bridge.subnet, "gateway": bridge.gateway }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    });
    fs::write(cni.join("10-lab.conflist"), network.to_string()).unwrap();
    let config = format!(
        r#"version = 2
root = "{root}"
state = "{state}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE the pause container's negative oom_score_adj is refused.
  restrict_oom_score_adj = true
  # Network namespaces are mounts; below this folder they are undone with all others.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{conf}"
"#,
        root = at("root"),
        state = at("state"),
        socket = at("c.sock"),
        opt = at("opt"),
        conf = at("cni"),
    );
    let file = folder.join("config.toml");
    fs::write(&file, config).unwrap();
    file
}
