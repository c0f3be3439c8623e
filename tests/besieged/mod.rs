//! An aggregator that a test attacks: the real binary on loopback, behind a stand-in for the API server that knows a few
//! nodes and pods.
//!
//! In: requests as the front proxy sends them, or straight with anything else. Out: answers as they came, and what must
//! not change: the victim's values, the process, its memory, the form of its log. Dropping it ends the process.
#![allow(dead_code, reason = "each test crate uses its own part")]

pub mod bystander;
pub mod client;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ringside::store::cluster::{Entity, EntityKey, Metric, Snapshot};
use ringside::units::UnixNanos;
use ringside::uplink::wire::Encoder;
use serde_json::{Value, json};

use super::fake_api_server::FakeApiServer;
use super::tls_client::{self, Pair, TestCa};
use client::{Answer, Client};

pub const AGENT: &str = "system:serviceaccount:ringside:ringside-agent";
pub const READER: &str = "reader";
pub const NODE_NAME: &str = "x-remote-extra-authentication.kubernetes.io%2fnode-name";
pub const NODE_UID: &str = "x-remote-extra-authentication.kubernetes.io%2fnode-uid";
pub const POD_NAME: &str = "x-remote-extra-authentication.kubernetes.io%2fpod-name";
pub const POD_UID: &str = "x-remote-extra-authentication.kubernetes.io%2fpod-uid";
pub const VICTIM: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/victim";
pub const NODES: &str = "/api/v1/nodes";
pub const PODS: &str = "/api/v1/pods";

/// Attackers: node-0 to node-15. The victim's node is `home`.
pub const ATTACKERS: usize = 16;

const SECOND: u64 = 1_000_000_000;
const MEMORY: u64 = 300 << 20;
/// What a whole run of attacks may cost.
const MOST_GROWTH_KIB: u64 = 32 << 10;
const SOON: Duration = Duration::from_secs(60);

pub struct Besieged {
    pub api: FakeApiServer,
    pub address: SocketAddr,
    pub ca: TestCa,
    pub proxy: Pair,
    process: Child,
    log: PathBuf,
    rss_before_kib: u64,
    victim: Value,
    pub home: Home,
    _folder: tempfile::TempDir,
}

/// The victim's node: always one whole core, always the same memory.
#[derive(Clone)]
pub struct Home {
    encoder: Encoder,
    usec: u64,
}

impl Home {
    /// The next samples, the last one of now.
    pub fn push(&mut self, samples: u64, alone: bool) -> Bytes {
        let snapshots: Vec<Snapshot> = (0..samples)
            .map(|at| {
                self.usec += 1_000_000;
                snapshot(now() - (samples - 1 - at) * SECOND, &[("shop", "victim", "uid-victim")], self.usec, MEMORY)
            })
            .collect();
        self.encoder.push(&snapshots, alone).into()
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

pub fn samples_of(node: &str) -> String {
    format!("/apis/ingest.ringside.dev/v1alpha1/nodes/{node}/samples")
}

pub fn node(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1" } })
}

pub fn pod(namespace: &str, name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1", "labels": { "app": name } },
        "spec": { "nodeName": node, "containers": [{ "name": "c" }] },
        "status": { "phase": "Running" },
    })
}

/// A node, and pods of one container each.
pub fn snapshot(wall: u64, pods: &[(&str, &str, &str)], usec: u64, memory: u64) -> Snapshot {
    let mut values = [None; Metric::ALL.len()];
    values[Metric::CpuUsageUsec as usize] = Some(usec);
    values[Metric::MemoryWorkingSetBytes as usize] = Some(memory);
    let started_at = UnixNanos(1);
    let mut entities = vec![Entity { key: EntityKey::Node, started_at, values }];
    for (namespace, name, uid) in pods {
        let uid: Arc<str> = (*uid).into();
        let key = EntityKey::Pod { uid: uid.clone(), namespace: (*namespace).into(), name: (*name).into() };
        entities.push(Entity { key, started_at, values });
        let key = EntityKey::Container { pod_uid: uid, name: "c".into(), id: format!("id-{name}").into() };
        entities.push(Entity { key, started_at, values });
    }
    Snapshot { wall: UnixNanos(wall), entities }
}

fn list(kind: &str, items: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": kind, "metadata": { "resourceVersion": "1" }, "items": items })
}

fn furnish(api: &FakeApiServer, ca: &TestCa) {
    let names: Vec<String> = (0..ATTACKERS).map(|at| format!("node-{at}")).chain(["home".to_owned()]).collect();
    let mut pods = vec![pod("shop", "victim", "home"), pod("shop", "own", "node-0")];
    pods.extend(names.iter().map(|node| pod("ringside", &format!("agent-{node}"), node)));
    let nodes: Vec<Value> = names.iter().map(|name| node(name)).collect();
    let trust = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": "1" },
        "data": {
            "requestheader-client-ca-file": ca.pem,
            "requestheader-allowed-names": "[\"front-proxy\"]",
            "requestheader-username-headers": "[\"X-Remote-User\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
        },
    });
    let objects = [
        (NODES, list("NodeList", &nodes)),
        (PODS, list("PodList", &pods)),
        ("/apis/apps/v1/replicasets", list("ReplicaSetList", &[])),
        ("/apis/batch/v1/jobs", list("JobList", &[])),
        ("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", trust),
    ];
    api.state().objects.extend(objects.map(|(path, object)| (path.to_owned(), object)));
    api.allow(&format!("{AGENT} create nodes/samples"));
    api.allow(&format!("{READER} everything"));
}

impl Besieged {
    /// An aggregator that knows its nodes and pods, and holds two samples of the victim.
    pub async fn start() -> Self {
        let api = FakeApiServer::start().await;
        let ca = TestCa::new("front-proxy-ca");
        furnish(&api, &ca);
        let proxy = ca.client("front-proxy", None);
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, api.kubeconfig()).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = folder.path().join("log");
        let process = Command::new(env!("CARGO_BIN_EXE_ringside"))
            .args(["aggregator", "--stale-after", "30m", "--secure-listen", &address.to_string(), "--kubeconfig"])
            .arg(&kubeconfig)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut besieged = Self {
            api,
            address,
            ca,
            proxy,
            process,
            log,
            rss_before_kib: 0,
            victim: Value::Null,
            home: Home { encoder: Encoder::new("home", 4711), usec: 5_000_000 },
            _folder: folder,
        };
        let began = Instant::now();
        while besieged.api.watchers(PODS) == 0 || tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(began.elapsed() < SOON, "the aggregator does not serve: {}", besieged.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let body = besieged.home.push(2, true);
        let pushed = besieged.push("home", body).await;
        assert_eq!((pushed.status, &pushed.json()["accepted"]), (200, &json!(2)), "{}", pushed.text);
        for _ in 0..20 {
            assert_eq!(besieged.get("/apis/metrics.k8s.io/v1beta1/pods").await.status, 200);
            assert_eq!(besieged.get("/metrics").await.status, 200);
        }
        besieged.victim = besieged.victim_now().await;
        assert_eq!(besieged.victim["containers"][0]["usage"]["memory"], json!("300Mi"), "{}", besieged.victim);
        besieged.rss_before_kib = besieged.memory_kib("VmRSS:");
        besieged
    }

    pub async fn front(&self) -> Client {
        Client::connect(self.address, tls_client::config(Some(&self.proxy)), None).await
    }

    /// As the agent of `node`, by way of the API server.
    pub async fn push(&self, node: &str, body: Bytes) -> Answer {
        let headers = [("x-remote-user", AGENT), (NODE_NAME, node)];
        self.front().await.send("POST", &samples_of(node), &headers, body).await.unwrap()
    }

    /// As somebody with rights, by way of the API server.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers: Vec<_> = headers.iter().copied().chain([("x-remote-user", READER)]).collect();
        self.front().await.send(method, path, &headers, Bytes::new()).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// A counter of `/metrics`, by its name with labels; 0 while it is not there.
    pub async fn counted(&self, series: &str) -> u64 {
        let text = self.get("/metrics").await.text;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    pub async fn refused(&self, reason: &str) -> u64 {
        self.counted(&format!("ringside_aggregator_refused_total{{reason=\"{reason}\"}}")).await
    }

    /// What the victim's readers see, without what tells the time of the answer.
    async fn victim_now(&self) -> Value {
        let mut seen = self.get(VICTIM).await.json();
        let metadata = seen["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| key != "resourceVersion" && key != "creationTimestamp");
        seen
    }

    /// The victim's readers see what they saw at first: values, time and window.
    pub async fn victim_is_unchanged(&self, after: &str) {
        assert_eq!(self.victim_now().await, self.victim, "after {after}");
    }

    /// The victim's memory, also while its node pushes on.
    pub async fn victim_memory(&self) -> Value {
        self.get(VICTIM).await.json()["containers"][0]["usage"]["memory"].clone()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn memory_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let value = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        value.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Resident memory beyond that of the beginning.
    pub fn growth_kib(&self) -> u64 {
        self.memory_kib("VmRSS:").saturating_sub(self.rss_before_kib)
    }

    /// The most that it ever was beyond that of the beginning.
    pub fn peak_growth_kib(&self) -> u64 {
        self.memory_kib("VmHWM:").saturating_sub(self.rss_before_kib)
    }

    /// Afterwards: the process lives, holds little more memory than before, and has written nothing but JSON.
    pub fn stood_firm(&mut self) {
        assert_eq!(self.process.try_wait().unwrap(), None, "the aggregator ended: {}", self.log());
        let growth = self.peak_growth_kib();
        println!("RSS {} KiB, then up to {growth} KiB more, now {} KiB more", self.rss_before_kib, self.growth_kib());
        assert!(growth < MOST_GROWTH_KIB, "RSS grew by {growth} KiB from {} KiB", self.rss_before_kib);
        let log = self.log();
        assert!(!log.is_empty());
        for line in log.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "not JSON: {line}");
        }
        assert!(!log.contains("panicked"), "{log}");
    }
}

impl Drop for Besieged {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _status = self.process.wait();
    }
}
