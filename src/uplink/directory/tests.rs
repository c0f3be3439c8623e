//! The directory against a loopback server that lists and watches as a kube-apiserver does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::store::cluster::PodRecord;

const PODS: &str = "/api/v1/pods";
const NODES: &str = "/api/v1/nodes";
const REPLICA_SETS: &str = "/apis/apps/v1/replicasets";
const JOBS: &str = "/apis/batch/v1/jobs";

/// What the API server holds, and who watches.
#[derive(Default)]
struct Cluster {
    objects: BTreeMap<(&'static str, String), Value>,
    watchers: Vec<(&'static str, UnboundedSender<Bytes>)>,
    forbidden: Vec<&'static str>,
    asked: Vec<String>,
    version: u64,
}

type Shared = Arc<Mutex<Cluster>>;

fn path_of(path: &str) -> &'static str {
    [PODS, NODES, REPLICA_SETS, JOBS].into_iter().find(|known| *known == path).unwrap()
}

impl Cluster {
    fn put(&mut self, path: &'static str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let kind = if self.objects.insert((path, name), object.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(path, kind, &object);
    }

    fn remove(&mut self, path: &'static str, name: &str) {
        self.version += 1;
        let mut object = self.objects.remove(&(path, name.to_owned())).unwrap();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.tell(path, "DELETED", &object);
    }

    fn tell(&mut self, path: &str, kind: &str, object: &Value) {
        let line = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
        self.watchers.retain(|(of, watcher)| *of != path || watcher.send(line.clone()).is_ok());
    }

    /// The watchers' version is too old: they have to list again. Nothing that was removed before is told to them.
    fn expire(&mut self, path: &'static str) {
        let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410,
                          "message": "too old resource version", "metadata": {}});
        self.tell(path, "ERROR", &gone);
        self.watchers.retain(|(of, _)| *of != path);
    }
}

fn answer(cluster: &Shared, request: &Request<Incoming>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let mut cluster = cluster.lock().unwrap();
    let path = path_of(request.uri().path());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let accept = request.headers().get("accept").map_or("", |accept| accept.to_str().unwrap());
    cluster.asked.push(format!("{path}?{query} {accept}"));
    let json = |status: StatusCode, value: &Value| {
        let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
        Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
    };
    if cluster.forbidden.contains(&path) {
        return json(
            StatusCode::FORBIDDEN,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
                    "code": 403, "message": "cannot list"}),
        );
    }
    let asked = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if asked("watch") == Some("true") {
        let (sender, receiver) = unbounded_channel();
        cluster.watchers.push((path, sender));
        let lines = futures_util::stream::unfold(receiver, |mut receiver: UnboundedReceiver<Bytes>| async {
            receiver.recv().await.map(|line| (Ok::<_, Infallible>(Frame::data(line)), receiver))
        });
        return Response::new(StreamBody::new(lines.boxed()).boxed_unsync());
    }
    // Two objects per page, however many are asked for: the API server may give fewer, too.
    let from: usize = asked("continue").map_or(0, |token| token.parse().unwrap());
    let all: Vec<&Value> =
        cluster.objects.iter().filter(|((of, _), _)| *of == path).map(|(_, object)| object).collect();
    let mut metadata = json!({"resourceVersion": cluster.version.max(1).to_string()});
    if all.len() > from + 2 {
        metadata["continue"] = json!((from + 2).to_string());
    }
    let page: Vec<&Value> = all.into_iter().skip(from).take(2).collect();
    json(StatusCode::OK, &json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page}))
}

/// Starts the server; it ends with the test's runtime.
async fn serve(cluster: Shared) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let cluster = Arc::clone(&cluster);
            let service = service_fn(move |request| {
                let response = answer(&cluster, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Client::try_from(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap()
}

fn pod(name: &str, node: &str, replica_set: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"), "labels": {"app": "web"},
                     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica_set,
                                          "uid": format!("uid-{replica_set}"), "controller": true}]},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running"},
    })
}

fn replica_set(name: &str) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
           "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"),
                        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d",
                                             "controller": true}]}})
}

fn node(name: &str) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
           "metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"zone": "z1"}}})
}

struct Running {
    cluster: Shared,
    store: ClusterStore,
    state: DirectoryState,
}

async fn running(prepare: impl FnOnce(&mut Cluster)) -> Running {
    let cluster = Shared::default();
    prepare(&mut cluster.lock().unwrap());
    let client = serve(Arc::clone(&cluster)).await;
    let store = crate::uplink::receive::empty_store();
    let state = DirectoryState::default();
    tokio::spawn(Directory::new(store.clone(), state.clone()).follow(client));
    Running { cluster, store, state }
}

impl Running {
    /// Waits for what is bound to happen.
    async fn until(&self, mut happened: impl FnMut(&Self) -> bool) {
        for _ in 0..1_000 {
            if happened(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not happen; asked: {:#?}", self.cluster.lock().unwrap().asked);
    }

    fn pod(&self, name: &str) -> Option<Arc<PodRecord>> {
        self.store.pod_of_uid(&format!("uid-{name}"))
    }

    fn workload(&self, name: &str) -> Option<String> {
        self.pod(name).map(|pod| format!("{}/{}", pod.workload.kind, pod.workload.name))
    }
}

#[tokio::test]
async fn what_the_api_server_lists_page_by_page_and_what_changes_later_is_in_the_store() {
    let running = running(|cluster| {
        for name in ["p1", "p2", "p3", "p4", "p5"] {
            cluster.put(PODS, pod(name, "a", "web-1"));
        }
        cluster.put(NODES, node("a"));
        cluster.put(REPLICA_SETS, replica_set("web-1"));
    })
    .await;
    running.state.synced().await;
    running.until(|running| running.workload("p5").as_deref() == Some("Deployment/web")).await;
    assert_eq!(running.workload("p1").as_deref(), Some("Deployment/web"));
    assert_eq!(&*running.store.node_record("a").unwrap().uid, "uid-a");
    let watched = |running: &Running| running.cluster.lock().unwrap().watchers.len() == 4;
    running.until(watched).await;
    {
        let mut cluster = running.cluster.lock().unwrap();
        let mut moved = pod("p2", "b", "web-1");
        moved["status"]["phase"] = json!("Succeeded");
        cluster.put(PODS, moved);
        cluster.put(PODS, pod("p6", "a", "web-1"));
        cluster.remove(PODS, "p1");
        cluster.remove(NODES, "a");
    }
    running.until(|running| running.pod("p1").is_none() && running.store.node_record("a").is_none()).await;
    let p2 = running.pod("p2").unwrap();
    assert_eq!((&*p2.node, p2.finished), ("b", true));
    assert_eq!(&*running.pod("p6").unwrap().labels[0].0, "app");
    let asked = running.cluster.lock().unwrap().asked.clone();
    let metadata_only = |asked: &&String| asked.contains("as=PartialObjectMetadata");
    assert_eq!(asked.iter().filter(metadata_only).filter(|asked| asked.starts_with(PODS)).count(), 0);
    assert!(asked.iter().filter(|asked| !asked.starts_with(PODS)).all(|asked| metadata_only(&asked)), "{asked:#?}");
    assert!(
        asked
            .iter()
            .filter(|asked| asked.contains("watch=true"))
            .all(|asked| asked.contains("allowWatchBookmarks=true"))
    );
}

#[tokio::test]
async fn a_pods_workload_is_right_also_when_its_replica_set_comes_later() {
    let running = running(|cluster| cluster.put(PODS, pod("p1", "a", "web-1"))).await;
    running.until(|running| running.cluster.lock().unwrap().watchers.len() == 4).await;
    running.until(|running| running.workload("p1").as_deref() == Some("ReplicaSet/web-1")).await;
    running.cluster.lock().unwrap().put(REPLICA_SETS, replica_set("web-1"));
    running.until(|running| running.workload("p1").as_deref() == Some("Deployment/web")).await;
    // When the ReplicaSet goes first, what was found out stays true.
    running.cluster.lock().unwrap().remove(REPLICA_SETS, "web-1");
    let mut over = pod("p1", "a", "web-1");
    over["status"]["phase"] = json!("Failed");
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.cluster.lock().unwrap().put(PODS, over);
    running.until(|running| running.pod("p1").is_some_and(|pod| pod.finished)).await;
    assert_eq!(running.workload("p1").as_deref(), Some("Deployment/web"));
}

#[tokio::test]
async fn what_was_removed_while_nobody_watched_is_gone_after_the_next_list() {
    let running = running(|cluster| {
        cluster.put(PODS, pod("p1", "a", "web-1"));
        cluster.put(PODS, pod("p2", "a", "web-1"));
        cluster.put(NODES, node("a"));
        cluster.put(NODES, node("b"));
    })
    .await;
    running.until(|running| running.cluster.lock().unwrap().watchers.len() == 4).await;
    {
        let mut cluster = running.cluster.lock().unwrap();
        cluster.objects.remove(&(PODS, "p1".to_owned()));
        cluster.objects.remove(&(NODES, "b".to_owned()));
        cluster.expire(PODS);
        cluster.expire(NODES);
    }
    running.until(|running| running.pod("p1").is_none() && running.store.node_record("b").is_none()).await;
    assert!(running.pod("p2").is_some());
    assert!(running.store.node_record("a").is_some());
    assert!(running.state.failures() >= 2);
}

#[tokio::test]
async fn without_leave_to_list_replica_sets_pushes_are_judged_nevertheless() {
    let running = running(|cluster| {
        cluster.forbidden = vec![REPLICA_SETS, JOBS];
        cluster.put(PODS, pod("p1", "a", "web-1"));
    })
    .await;
    running.state.synced().await;
    assert_eq!(running.workload("p1").as_deref(), Some("ReplicaSet/web-1"));
    running.until(|running| running.state.failures() >= 2).await;
    assert_eq!(running.state.listed(), Listed { nodes: true, pods: true, replica_sets: false, jobs: false });
}

#[tokio::test]
async fn a_pod_that_claims_a_static_pods_uid_takes_nothing_from_it() {
    let static_pod = |namespace: &str, name: &str, uid: &str| {
        json!({"metadata": {"namespace": namespace, "name": name, "uid": uid,
                            "annotations": {"kubernetes.io/config.mirror": "0a1b"},
                            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "n",
                                                 "controller": true}]},
               "spec": {"nodeName": "a"}, "status": {"phase": "Running"}})
    };
    let running = running(|cluster| cluster.put(PODS, static_pod("kube-system", "etcd-a", "uid-1"))).await;
    running.until(|running| running.cluster.lock().unwrap().watchers.len() == 4).await;
    let named = |running: &Running| running.store.pod_of_uid("0a1b").map(|pod| pod.name.as_ref().to_owned());
    running.until(|running| named(running).is_some()).await;
    {
        let mut cluster = running.cluster.lock().unwrap();
        cluster.put(PODS, static_pod("shop", "forged", "uid-2"));
        cluster.remove(PODS, "forged");
        cluster.put(PODS, pod("after", "a", "web-1"));
    }
    running.until(|running| running.pod("after").is_some()).await;
    assert_eq!(named(&running).as_deref(), Some("etcd-a"));
}
