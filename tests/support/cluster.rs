//! A real Kubernetes control plane of the test's own and, if asked for, a real node with real pods.
//!
//! In: the programs that `tests/lab/control_plane.sh` puts into the cache, and etcd and kubectl. Out: a guard around etcd,
//! kube-apiserver, kube-controller-manager, kube-scheduler, and a kubelet on the lab's containerd; with its own
//! authorities, addresses and folder. Everything ends with the guard, and also with the test process: a guard in a static
//! is never dropped, and need not be.
//!
//! How the pieces find each other:
//! - Each cluster has a bridge `rsN` with 10.89.N.1/24 (`network.rs`). Pods are on it. The service network is
//!   10.97.N.0/24, and its first address, that of the Service `kubernetes`, is an address of the bridge on which the API
//!   server itself listens at port 443. So `https://10.97.N.1` is the API server for the test, for processes on the host,
//!   and for pods with in-cluster configuration.
//! - With a node come kube-proxy and a cluster DNS: pods and the host reach Services by address, pods also by name. The
//!   API server needs neither: it reaches an APIService by its Endpoints (`--enable-aggregator-routing`).
//!   A program on the host can stand behind an APIService: it listens on [`Cluster::host_address`], and the Service, without
//!   a selector, gets Endpoints with that address ([`Cluster::service_on_host`]).
//! - Everything of the control plane but the API server listens on 127.89.N.1.
mod images;
mod kubelet;
mod pki;
mod services;
pub mod stand_in;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::containerd::Containerd;
use super::network::Bridge;
use super::process::{Running, Spawn, lab_folder, remove_folder_script, require_root, run, try_run};
use pki::{Pki, write_kubeconfig};

pub use kubelet::NODE;
pub use pki::{FRONT_PROXY_CLIENT, Identity};

/// How much of a cluster is started. Each part needs the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parts {
    /// etcd and kube-apiserver: ready in about 5 s. Service accounts get no secrets, but TokenRequest works.
    ApiServer,
    /// Also kube-controller-manager and kube-scheduler: Deployments, ReplicaSets, Endpoints, the HPA.
    Controllers,
    /// Also a containerd, a kubelet and kube-proxy: one node, [`NODE`], on which pods run and reach Services by their names.
    Node,
}

/// How many times a second is waited for, at the most, before the test fails.
const READY: Duration = Duration::from_secs(180);

pub struct Cluster {
    // In the order in which they end.
    services: Vec<Running>,
    kubelet: Option<Running>,
    containerd: Option<Containerd>,
    scheduler: Option<Running>,
    controller_manager: Option<Running>,
    api_server: Mutex<Option<Running>>,
    etcd: Running,
    _the_only_kubelet: Option<kubelet::TheOnlyKubelet>,
    pki: Pki,
    folder: PathBuf,
    programs: PathBuf,
    network: Network,
    /// How many files and API servers there were, so that each has its own name.
    count: Mutex<u32>,
}

/// The addresses of one cluster; `N` is the bridge's number.
struct Network {
    /// 10.89.N.1
    host: String,
    /// 10.97.N.1
    api: String,
    /// 10.97.N.0/24
    services: String,
    /// 127.89.N.1
    loopback: String,
}

impl Network {
    fn of(bridge: &Bridge) -> Self {
        let number = bridge.gateway.split('.').nth(2).unwrap();
        let api = format!("10.97.{number}.1");
        run("ip", &["addr", "add", &format!("{api}/32"), "dev", &bridge.name]);
        Self {
            host: bridge.gateway.clone(),
            api,
            services: format!("10.97.{number}.0/24"),
            loopback: format!("127.89.{number}.1"),
        }
    }
}

impl Cluster {
    /// Starts the parts and waits until each says that it is ready; with a node: until that is Ready.
    pub fn start(parts: Parts) -> Self {
        require_root("a cluster");
        let programs = programs();
        let the_only_kubelet = (parts >= Parts::Node).then(kubelet::TheOnlyKubelet::wait);
        let containerd = (parts >= Parts::Node).then(Containerd::start);
        let folder = lab_folder("k8s");
        // etcd ends last, and takes away what is all parts'.
        let mut clean_up = String::new();
        let network = if let Some(containerd) = &containerd {
            clean_up += &kubelet::remove_cgroups_script();
            Network::of(&containerd.bridge)
        } else {
            let bridge = Bridge::create();
            clean_up += &bridge.remove_script();
            Network::of(&bridge)
        };
        clean_up += &remove_folder_script(&folder);

        let pki_folder = folder.join("pki");
        fs::create_dir(&pki_folder).unwrap();
        let pki = Pki::create(&pki_folder);
        let etcd = start_etcd(&folder, &network, clean_up);
        let mut cluster = Self {
            services: Vec::new(),
            kubelet: None,
            containerd,
            scheduler: None,
            controller_manager: None,
            api_server: Mutex::new(None),
            etcd,
            _the_only_kubelet: the_only_kubelet,
            pki,
            folder,
            programs,
            network,
            count: Mutex::new(0),
        };
        cluster.write_certificates();
        cluster.start_api_server();
        if parts >= Parts::Controllers {
            cluster.start_controllers();
        }
        if parts >= Parts::Node {
            cluster.start_node();
        }
        // Waited for together: each takes about 10 s to find its place.
        cluster.wait_for_parts();
        cluster
    }

    /// `https://10.97.N.1`: for processes on the host and in pods.
    pub fn server(&self) -> String {
        format!("https://{}", self.network.api)
    }

    /// An address of the host, not loopback, that the API server and pods can reach: 10.89.N.1.
    pub fn host_address(&self) -> &str {
        &self.network.host
    }

    /// A kubeconfig of an administrator (group `system:masters`). It names files: it is of use on this host only.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// A kubeconfig for a bearer token.
    pub fn kubeconfig_with_token(&self, token: &str) -> PathBuf {
        let file = self.folder.join(format!("token-{}.kubeconfig", self.next()));
        write_kubeconfig(&file, &self.server(), &self.pki.cluster_ca(), &serde_json::json!({ "token": token }));
        file
    }

    /// The authority of the API server's certificate, and of client certificates.
    pub fn cluster_ca(&self) -> PathBuf {
        self.pki.cluster_ca()
    }

    /// The authority that the API server's own requests to an aggregated API come from.
    pub fn front_proxy_ca(&self) -> PathBuf {
        self.pki.front_proxy_ca()
    }

    /// A client certificate of the front proxy's authority; only the name [`FRONT_PROXY_CLIENT`] is an allowed one.
    pub fn front_proxy_client(&self, common_name: &str) -> Identity {
        self.pki.front_proxy_client(&format!("front-proxy-{}", self.next()), common_name)
    }

    /// A client certificate of the cluster's authority.
    pub fn client_certificate(&self, user: &str, group: Option<&str>) -> Identity {
        self.pki.client(&format!("client-{}", self.next()), user, group)
    }

    /// A serving certificate of the cluster's authority, for a stand-in behind an APIService.
    pub fn server_certificate(&self, names: &[&str]) -> Identity {
        self.pki.server(&format!("server-{}", self.next()), names)
    }

    /// A folder that lives as long as the cluster.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `kubectl <args>` as the administrator; a failure fails the test with all it printed and the API server's log.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = self.try_kubectl(args);
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            self.fail(&format!("kubectl {} failed: {}", args.join(" "), String::from_utf8_lossy(&said)));
        }
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_kubectl(&self, args: &[&str]) -> Output {
        self.try_kubectl_with(&self.kubeconfig(), args)
    }

    /// `kubectl <args>` as whom the kubeconfig says.
    pub fn try_kubectl_with(&self, kubeconfig: &Path, args: &[&str]) -> Output {
        // What a kubectl knows of the API groups it keeps for 10 minutes: each kubeconfig has a cache of its own.
        let cache = self.folder.join("kubectl-cache").join(kubeconfig.file_name().unwrap());
        let common = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--cache-dir", cache.to_str().unwrap()];
        try_run("kubectl", &[&common[..], args].concat())
    }

    /// `kubectl get <args> -o json`.
    pub fn get_json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.kubectl(&[&["get", "-o", "json"][..], args].concat())).unwrap()
    }

    /// `kubectl get --raw <path>`: the body, or what kubectl said of the failure.
    pub fn get_raw(&self, path: &str) -> Result<String, String> {
        let output = self.try_kubectl(&["get", "--raw", path]);
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// `kubectl apply` of YAML or JSON.
    pub fn apply(&self, manifest: &str) -> String {
        let file = self.write("manifest", manifest);
        self.kubectl(&["apply", "-f", file.to_str().unwrap()])
    }

    /// `kubectl create --raw`: POST of a body to a path.
    pub fn try_post(&self, path: &str, body: &serde_json::Value) -> Output {
        let file = self.write("body", &body.to_string());
        self.try_kubectl(&["create", "--raw", path, "-f", file.to_str().unwrap()])
    }

    /// A token of a service account by TokenRequest. With a pod it carries the pod's name and UID, as the token that a
    /// kubelet projects into that pod; the pod need not run. Without audiences it is one for the API server.
    pub fn token_for(&self, namespace: &str, account: &str, bound_pod: Option<&str>, audiences: &[&str]) -> String {
        let mut spec = serde_json::json!({ "expirationSeconds": 3600, "audiences": audiences });
        if let Some(pod) = bound_pod {
            spec["boundObjectRef"] = serde_json::json!({ "kind": "Pod", "apiVersion": "v1", "name": pod });
        }
        let request =
            serde_json::json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
        let output =
            self.try_post(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"), &request);
        if !output.status.success() {
            self.fail(&format!("TokenRequest: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    /// A Node that is only an object: pods can be bound to it by `spec.nodeName`, and nothing runs them.
    pub fn add_node_object(&self, name: &str) {
        self.apply(
            &serde_json::json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } }).to_string(),
        );
    }

    /// A Service without a selector, and Endpoints that lead to a port of [`Cluster::host_address`]. The Service's port
    /// is 443.
    pub fn service_on_host(&self, namespace: &str, name: &str, port: u16) {
        let metadata = serde_json::json!({ "name": name, "namespace": namespace });
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "Service", "metadata": metadata,
              "spec": { "ports": [{ "port": 443, "targetPort": port, "protocol": "TCP" }] } },
            { "apiVersion": "v1", "kind": "Endpoints", "metadata": metadata,
              "subsets": [{ "addresses": [{ "ip": self.host_address() }], "ports": [{ "port": port }] }] },
        ]});
        self.apply(&list.to_string());
    }

    /// The node's containerd, which knows the images that pods may name ([`Containerd::import_image`]).
    pub fn containerd(&self) -> &Containerd {
        self.containerd.as_ref().expect("a cluster without a node; start it with Parts::Node")
    }

    /// An outage of the API server: it is killed, and all else goes on.
    pub fn stop_api_server(&self) {
        drop(self.lock_api_server().take());
    }

    /// The end of the outage: the same address, certificates and data.
    pub fn start_api_server(&self) {
        let process = self.spawn_api_server();
        process.wait_until("\"ok\" from the API server's /readyz", READY, || match self.get_raw("/readyz") {
            Ok(answer) if answer == "ok" => Ok(()),
            Ok(answer) | Err(answer) => Err(answer),
        });
        *self.lock_api_server() = Some(process);
    }

    /// The process id of the API server, to measure what it costs.
    pub fn api_server_pid(&self) -> u32 {
        self.lock_api_server().as_ref().expect("the API server was stopped").pid()
    }

    /// Waits for something in the cluster; at the deadline the test fails, with the logs.
    pub fn wait_until<T>(&self, what: &str, deadline: Duration, mut check: impl FnMut() -> Result<T, String>) -> T {
        let end = std::time::Instant::now() + deadline;
        loop {
            let reason = match check() {
                Ok(value) => return value,
                Err(reason) => reason,
            };
            if std::time::Instant::now() >= end {
                self.fail(&format!("not within {deadline:?}: {what}; last seen: {reason}"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until `count` pods that the selector takes are Running and Ready; gives them as JSON objects.
    pub fn wait_pods_ready(&self, namespace: &str, selector: &str, count: usize) -> Vec<serde_json::Value> {
        let what = format!("{count} ready pods with {selector} in {namespace}");
        self.wait_until(&what, READY, || {
            let output = self.try_kubectl(&["get", "-o", "json", "pods", "-n", namespace, "-l", selector]);
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned());
            }
            let mut list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let pods = std::mem::take(list["items"].as_array_mut().unwrap());
            if pods.len() == count && pods.iter().all(is_ready) {
                Ok(pods)
            } else {
                let told = self.try_kubectl(&["describe", "pods", "-n", namespace, "-l", selector]);
                Err(String::from_utf8_lossy(&told.stdout).into_owned() + &self.pod_logs(namespace, selector))
            }
        })
    }

    /// The ends of the logs of the pods that the selector takes; of one that ended, those of the container before.
    pub fn pod_logs(&self, namespace: &str, selector: &str) -> String {
        let mut logs = String::new();
        for previous in ["--previous=true", "--previous=false"] {
            let output =
                self.try_kubectl(&["logs", "-n", namespace, "-l", selector, "--tail=30", "--prefix", previous]);
            logs += &String::from_utf8_lossy(&output.stdout);
        }
        logs
    }

    /// The ends of all logs, short enough to be read whole. `why` is said before each: of a long output often only a
    /// part is kept.
    pub fn logs(&self, why: &str) -> String {
        let api_server = self.lock_api_server();
        let parts = [
            Some(&self.etcd),
            api_server.as_ref(),
            self.controller_manager.as_ref(),
            self.scheduler.as_ref(),
            self.containerd.as_ref().map(|containerd| &containerd.process),
            self.kubelet.as_ref(),
        ];
        let why: String = why.chars().take(600).collect();
        let end_of = |process: &Running| {
            let tail = process.log_tail(10);
            let lines: Vec<String> = tail.lines().map(|line| line.chars().take(240).collect()).collect();
            format!("--- {why}\n--- end of the log of {}\n{}\n", process.name(), lines.join("\n"))
        };
        parts.into_iter().flatten().chain(&self.services).map(end_of).collect()
    }

    pub fn fail(&self, why: &str) -> ! {
        panic!("{why}\n{}", self.logs(why))
    }

    fn next(&self) -> u32 {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        *count
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.join(format!("{name}-{}", self.next()));
        fs::write(&file, content).unwrap();
        file
    }

    fn lock_api_server(&self) -> MutexGuard<'_, Option<Running>> {
        self.api_server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_certificates(&self) {
        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "localhost",
            &self.network.api,
            &self.network.host,
        ];
        self.pki.server("api-server", &names);
        self.pki.client("api-server-to-kubelet", "lab-api-server", Some("system:masters"));
        self.pki.front_proxy_client("front-proxy-client", FRONT_PROXY_CLIENT);
        for (file, user, group) in [
            ("admin", "lab-admin", Some("system:masters")),
            ("controller-manager", "system:kube-controller-manager", None),
            ("scheduler", "system:kube-scheduler", None),
            ("proxy", "system:kube-proxy", None),
        ] {
            let identity = self.pki.client(file, user, group);
            let user = serde_json::json!({ "client-certificate": identity.certificate, "client-key": identity.key });
            let kubeconfig = self.folder.join(format!("{file}.kubeconfig"));
            write_kubeconfig(&kubeconfig, &self.server(), &self.pki.cluster_ca(), &user);
        }
    }

    fn spawn_api_server(&self) -> Running {
        let pki = |name: &str| self.folder.join("pki").join(name).display().to_string();
        let etcd = format!("http://{}:2379", self.network.loopback);
        Spawn::new(&format!("kube-apiserver-{}", self.next()), self.programs.join("kube-apiserver"))
            .args(["--etcd-servers", &etcd, "--secure-port", "443"])
            .args(["--bind-address", &self.network.api, "--advertise-address", &self.network.api])
            .args(["--service-cluster-ip-range", &self.network.services])
            .args(["--tls-cert-file", &pki("api-server.crt"), "--tls-private-key-file", &pki("api-server.key")])
            .args(["--client-ca-file", &pki("ca.crt"), "--cert-dir", &pki("")])
            .args(["--service-account-key-file", &pki("sa.pub"), "--service-account-signing-key-file", &pki("sa.key")])
            .args(["--service-account-issuer", "https://kubernetes.default.svc.cluster.local"])
            .args(["--requestheader-client-ca-file", &pki("front-proxy-ca.crt")])
            .args(["--requestheader-allowed-names", FRONT_PROXY_CLIENT])
            .args(["--requestheader-username-headers", "X-Remote-User"])
            .args(["--requestheader-group-headers", "X-Remote-Group"])
            .args(["--requestheader-extra-headers-prefix", "X-Remote-Extra-"])
            .args(["--proxy-client-cert-file", &pki("front-proxy-client.crt")])
            .args(["--proxy-client-key-file", &pki("front-proxy-client.key")])
            .args(["--kubelet-client-certificate", &pki("api-server-to-kubelet.crt")])
            .args(["--kubelet-client-key", &pki("api-server-to-kubelet.key")])
            .args([
                "--kubelet-certificate-authority",
                &pki("ca.crt"),
                "--kubelet-preferred-address-types",
                "InternalIP",
            ])
            .args(["--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction"])
            .args(["--enable-aggregator-routing=true", "--allow-privileged=true", "--v", "1"])
            // Told to end, it waits a minute for its own watches. All that counts is in etcd.
            .before_end("kill -KILL $child\n")
            .start(&self.folder)
    }

    fn start_controllers(&mut self) {
        let pki = |name: &str| self.folder.join("pki").join(name).display().to_string();
        let kubeconfigs = |name: &str| {
            let file = self.folder.join(format!("{name}.kubeconfig")).display().to_string();
            ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"]
                .into_iter()
                .flat_map(move |flag| [flag.to_owned(), file.clone()])
        };
        let controller_manager = Spawn::new("kube-controller-manager", self.programs.join("kube-controller-manager"))
            .args(kubeconfigs("controller-manager"))
            .args(["--bind-address", &self.network.loopback, "--port", "0", "--cert-dir", &pki("")])
            .args(["--leader-elect=false", "--use-service-account-credentials=true"])
            .args(["--service-account-private-key-file", &pki("sa.key"), "--root-ca-file", &pki("ca.crt")])
            .args(["--cluster-signing-cert-file", &pki("ca.crt"), "--cluster-signing-key-file", &pki("ca.key")])
            // The autoscaler's usual waits are minutes; its rules are the same with these.
            .args(["--horizontal-pod-autoscaler-sync-period", "3s"])
            .args(["--horizontal-pod-autoscaler-downscale-stabilization", "10s"])
            .args(["--horizontal-pod-autoscaler-cpu-initialization-period", "10s"])
            .args(["--horizontal-pod-autoscaler-initial-readiness-delay", "1s"])
            .start(&self.folder);
        let scheduler = Spawn::new("kube-scheduler", self.programs.join("kube-scheduler"))
            .args(kubeconfigs("scheduler"))
            .args(["--bind-address", &self.network.loopback, "--port", "0", "--cert-dir", &pki("")])
            .args(["--leader-elect=false"])
            .start(&self.folder);
        self.controller_manager = Some(controller_manager);
        self.scheduler = Some(scheduler);
    }

    fn start_node(&mut self) {
        let folder = self.folder.join("node");
        fs::create_dir(&folder).unwrap();
        let server = self.server();
        let node = kubelet::Node {
            program: &self.programs.join("kubelet"),
            folder: &folder,
            pki: &self.pki,
            server: &server,
            address: &self.network.host,
            loopback: &self.network.loopback,
        };
        self.kubelet = Some(kubelet::start(&node, self.containerd()));
        let kubeconfig = self.folder.join("proxy.kubeconfig");
        let (host, loopback) = (&self.network.host, &self.network.loopback);
        let program = self.programs.join("kube-proxy");
        self.services.push(services::start_kube_proxy(&program, &kubeconfig, host, loopback, &self.folder));
        self.services.extend(services::start_dns(&self.kubeconfig(), host, &self.folder));
    }

    fn wait_for_parts(&self) {
        if let Some(controller_manager) = &self.controller_manager {
            controller_manager.wait_until("the service account that the controller makes", READY, || {
                let output =
                    self.try_kubectl(&["get", "serviceaccount", "default", "-o", "jsonpath={.secrets[0].name}"]);
                let name = String::from_utf8_lossy(&output.stdout).into_owned();
                if output.status.success() && !name.is_empty() {
                    Ok(())
                } else {
                    Err(String::from_utf8_lossy(&output.stderr).into_owned())
                }
            });
        }
        if let Some(kubelet) = &self.kubelet {
            let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].message}"#;
            kubelet.wait_until("a node that is Ready", READY, || {
                let output = self.try_kubectl(&["get", "node", NODE, "-o", ready]);
                let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                if said.starts_with("True ") { Ok(()) } else { Err(said) }
            });
        }
    }
}

fn start_etcd(folder: &Path, network: &Network, clean_up: String) -> Running {
    let clients = format!("http://{}:2379", network.loopback);
    let peers = format!("http://{}:2380", network.loopback);
    Spawn::new("etcd", "etcd")
        .args(["--name", "lab", "--data-dir", folder.join("etcd").to_str().unwrap()])
        .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("lab={peers}"), "--logger", "zap"])
        .after_end(clean_up)
        .start(folder)
}

fn is_ready(pod: &serde_json::Value) -> bool {
    let condition = |condition: &serde_json::Value| condition["type"] == "Ready" && condition["status"] == "True";
    pod["status"]["phase"] == "Running"
        && pod["metadata"]["deletionTimestamp"].is_null()
        && pod["status"]["conditions"].as_array().is_some_and(|conditions| conditions.iter().any(condition))
}

/// Where `tests/lab/control_plane.sh` puts the four programs.
fn programs() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = var("RINGSIDE_CACHE")
        .or_else(|| Some(var("XDG_CACHE_HOME")?.join("ringside")))
        .or_else(|| Some(var("HOME")?.join(".cache/ringside")))
        .expect("HOME, XDG_CACHE_HOME or RINGSIDE_CACHE must say where the cache is");
    let folder = cache.join("control-plane");
    assert!(
        folder.join("VERSION").exists(),
        "no control plane in {}; run tests/lab/control_plane.sh, which builds it in about six minutes",
        folder.display()
    );
    folder
}
