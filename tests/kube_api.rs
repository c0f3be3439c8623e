//! The aggregator's APIs over a store that was filled by pushes, as the API server would ask them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringside::store::cluster::push::Push;
use ringside::store::cluster::{
    ClusterOptions, ClusterStore, Entity, EntityKey, Metric, NodeRecord, PodRecord, Snapshot, WorkloadRef,
};
use ringside::units::UnixNanos;
use ringside::uplink::wire::Encoder;
use ringside::view::kube_api::source::StoreSource;
use ringside::view::kube_api::{ApiAnswer, ApiBody, ApiRequest, HistorySource, KubeApi, Options};
use serde_json::Value;

/// 2026-03-01T12:00:00Z.
const NOON: u64 = 1_772_366_400;

fn now() -> UnixNanos {
    at(0)
}

/// So many seconds after noon.
fn at(seconds: i64) -> UnixNanos {
    UnixNanos(NOON.checked_add_signed(seconds).unwrap() * 1_000_000_000)
}

fn labels(pairs: &[(&str, &str)]) -> Arc<[(Arc<str>, Arc<str>)]> {
    pairs.iter().map(|(key, value)| (Arc::from(*key), Arc::from(*value))).collect()
}

/// A pod as the tests speak of it: namespace, name, its labels and its containers.
struct PodOf {
    namespace: &'static str,
    name: &'static str,
    labels: &'static [(&'static str, &'static str)],
    containers: &'static [&'static str],
}

const PODS: [PodOf; 3] = [
    PodOf { namespace: "kube-system", name: "dns-1", labels: &[("k8s-app", "dns")], containers: &["dns"] },
    PodOf {
        namespace: "shop",
        name: "web-1",
        labels: &[("app", "web"), ("track", "stable")],
        containers: &["proxy", "web"],
    },
    PodOf { namespace: "shop", name: "web-2", labels: &[("app", "web"), ("track", "canary")], containers: &["web"] },
];

fn uid(pod: &PodOf) -> Arc<str> {
    Arc::from(format!("uid-of-{}", pod.name))
}

fn record(pod: &PodOf) -> PodRecord {
    let (workload, _) = pod.name.rsplit_once('-').unwrap();
    PodRecord {
        namespace: Arc::from(pod.namespace),
        name: Arc::from(pod.name),
        uid: uid(pod),
        node: Arc::from("n1"),
        labels: labels(pod.labels),
        workload: WorkloadRef { kind: Arc::from("Deployment"), name: Arc::from(workload) },
        finished: false,
    }
}

fn entity(key: EntityKey, values: &[(Metric, u64)]) -> Entity {
    let mut all = [None; Metric::ALL.len()];
    for (metric, value) in values {
        all[*metric as usize] = Some(*value);
    }
    Entity { key, started_at: at(-3_600), values: all }
}

/// The cluster `seconds` after noon: every container uses a quarter of a CPU, its place in the list more in memory.
fn snapshot(seconds: i64, pods: &[PodOf]) -> Snapshot {
    let cpu_usec = u64::try_from(seconds + 3_600).unwrap() * 250_000;
    let node = [
        (Metric::CpuUsageUsec, 4 * cpu_usec + 123),
        (Metric::MemoryWorkingSetBytes, 3 << 30),
        (Metric::MemorySwapBytes, 4_096),
        (Metric::NetworkReceiveBytes, cpu_usec),
        (Metric::CpuCapacityMillicores, 4_000),
    ];
    let mut entities = vec![Entity { started_at: UnixNanos(0), ..entity(EntityKey::Node, &node) }];
    for pod in pods {
        let (namespace, name) = (Arc::from(pod.namespace), Arc::from(pod.name));
        let own = [(Metric::NetworkReceiveBytes, 4 * cpu_usec), (Metric::IoPressureSomeUsec, cpu_usec / 10)];
        entities.push(entity(EntityKey::Pod { uid: uid(pod), namespace, name }, &own));
        for (place, container) in pod.containers.iter().enumerate() {
            let id = Arc::from(format!("{}-{container}", pod.name));
            let key = EntityKey::Container { pod_uid: uid(pod), name: Arc::from(*container), id };
            let memory = (64 + place as u64) << 20 | 4_096;
            entities.push(entity(key, &[(Metric::CpuUsageUsec, cpu_usec), (Metric::MemoryWorkingSetBytes, memory)]));
        }
    }
    Snapshot { wall: at(seconds), entities }
}

/// A store, and the agent that fills it.
struct Cluster {
    store: ClusterStore,
    encoder: Encoder,
}

impl Cluster {
    fn empty() -> Self {
        let store = ClusterStore::new(ClusterOptions {
            history: Duration::from_secs(900),
            budget_bytes: 64 << 20,
            stale_after: Duration::from_secs(120),
        });
        Self { store, encoder: Encoder::new("n1", 7) }
    }

    /// Five samples, the last one two seconds before noon.
    fn filled() -> Self {
        let mut cluster = Self::empty();
        let labels = labels(&[("kubernetes.io/hostname", "n1")]);
        cluster.store.put_node(&NodeRecord { name: Arc::from("n1"), uid: Arc::from("u"), labels });
        PODS.iter().for_each(|pod| cluster.store.put_pod(&record(pod)));
        for seconds in [-62, -47, -32, -17, -2] {
            cluster.push(seconds, &PODS);
        }
        cluster
    }

    fn push(&mut self, seconds: i64, pods: &[PodOf]) {
        let body = self.encoder.push(&[snapshot(seconds, pods)], false);
        self.store.push("n1", &Push::decode(&body).unwrap(), at(seconds + 1)).unwrap();
    }

    fn api(&self) -> KubeApi {
        self.api_with(Arc::new(StoreSource::new(self.store.clone(), now)), false)
    }

    fn api_with(&self, history: Arc<dyn HistorySource>, extra_resources: bool) -> KubeApi {
        KubeApi::new(Options {
            store: self.store.clone(),
            extra_resources,
            history,
            readiness: Arc::new(|| vec![("store", Ok(())), ("data", Err("no push yet".to_owned()))]),
            now,
        })
    }
}

async fn ask(api: &KubeApi, target: &str, accept: &str) -> (u16, String, Bytes) {
    let answer = api.answer(ApiRequest::get(target).accepting(accept)).await;
    let (status, content_type) = (answer.status, answer.content_type.to_string());
    (status, content_type, answer.bytes().await)
}

async fn text(api: &KubeApi, target: &str, accept: &str) -> String {
    let (status, _, body) = ask(api, target, accept).await;
    assert_eq!(status, 200, "{target}: {body:?}");
    String::from_utf8(body.to_vec()).unwrap()
}

async fn json(api: &KubeApi, target: &str) -> Value {
    serde_json::from_str(&text(api, target, "application/json").await).unwrap()
}

/// Code, reason and message of a request that must fail.
async fn refused(api: &KubeApi, target: &str) -> (u16, String, String) {
    let (status, _, body) = ask(api, target, "application/json").await;
    let read: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((read["kind"].as_str(), read["code"].as_u64()), (Some("Status"), Some(u64::from(status))), "{read}");
    (status, read["reason"].as_str().unwrap().to_owned(), read["message"].as_str().unwrap().to_owned())
}

const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
const ALL_PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";
const SHOP: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods";
const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta2";
const HISTORY: &str = "/apis/history.ringside.dev/v1alpha1";

#[tokio::test]
async fn nodes_and_pods_are_listed_as_metrics_server_lists_them() {
    let api = Cluster::filled().api();
    insta::assert_snapshot!("nodes_json", text(&api, NODES, "*/*").await);
    insta::assert_snapshot!("pods_json", text(&api, ALL_PODS, "application/json").await);
    insta::assert_snapshot!("pod_json", text(&api, &format!("{SHOP}/web-1"), "application/json").await);
}

#[tokio::test]
async fn a_table_has_the_columns_of_metrics_server() {
    let api = Cluster::filled().api();
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    insta::assert_snapshot!("pods_table", text(&api, SHOP, table).await);
    insta::assert_snapshot!("node_table", text(&api, &format!("{NODES}/n1?includeObject=None"), table).await);
    let partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    insta::assert_snapshot!("pods_partial", text(&api, SHOP, partial).await);
}

#[tokio::test]
async fn protobuf_is_what_generated_proto_says() {
    let api = Cluster::filled().api();
    let (status, content_type, body) = ask(&api, NODES, "application/vnd.kubernetes.protobuf, */*").await;
    assert_eq!((status, content_type.as_str()), (200, "application/vnd.kubernetes.protobuf"));
    assert_eq!(&body[..4], b"k8s\0");
    let readable: String = body.escape_ascii().to_string();
    insta::assert_snapshot!("nodes_protobuf", readable);
}

#[tokio::test]
async fn extra_resources_are_shown_when_they_are_wanted() {
    let cluster = Cluster::filled();
    let api = cluster.api_with(Arc::new(StoreSource::new(cluster.store.clone(), now)), true);
    let usage = json(&api, &format!("{NODES}/n1")).await["usage"].clone();
    insta::assert_snapshot!("node_extra_resources", usage);
}

async fn names(api: &KubeApi, target: &str) -> Vec<String> {
    let list = json(api, target).await;
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn selectors_choose_and_limit_does_not_cut() {
    let api = Cluster::filled().api();
    assert_eq!(names(&api, &format!("{ALL_PODS}?labelSelector=app%3Dweb")).await, ["web-1", "web-2"]);
    assert_eq!(names(&api, &format!("{ALL_PODS}?labelSelector=track+in+(canary)")).await, ["web-2"]);
    assert_eq!(names(&api, &format!("{ALL_PODS}?labelSelector=!app")).await, ["dns-1"]);
    assert_eq!(names(&api, &format!("{ALL_PODS}?fieldSelector=metadata.namespace%3Dkube-system")).await, ["dns-1"]);
    assert_eq!(names(&api, &format!("{SHOP}?fieldSelector=metadata.name!%3Dweb-1")).await, ["web-2"]);
    assert_eq!(names(&api, &format!("{ALL_PODS}?limit=1")).await.len(), 3);
    assert_eq!(names(&api, &format!("{NODES}?labelSelector=kubernetes.io/hostname%3Dn2")).await, [""; 0]);
    let (code, reason, message) = refused(&api, &format!("{ALL_PODS}?labelSelector=app+like+web")).await;
    assert_eq!((code, reason.as_str()), (400, "BadRequest"));
    assert!(message.contains("\"like\" is no operator"), "{message}");
    assert_eq!(refused(&api, &format!("{ALL_PODS}?fieldSelector=spec.x%3Dy")).await.0, 400);
}

#[tokio::test]
async fn a_container_without_a_rate_is_left_out_and_its_pod_is_not() {
    let mut cluster = Cluster::filled();
    let api = cluster.api();
    let mut snapshot = snapshot(-1, &PODS);
    // The proxy of web-1 is new, and nobody knows since when.
    for entity in &mut snapshot.entities {
        if let EntityKey::Container { name, id, .. } = &mut entity.key
            && &**name == "proxy"
        {
            *id = Arc::from("another");
            entity.started_at = UnixNanos(0);
        }
    }
    let body = cluster.encoder.push(&[snapshot], false);
    cluster.store.push("n1", &Push::decode(&body).unwrap(), now()).unwrap();
    let pod = json(&api, &format!("{SHOP}/web-1")).await;
    let containers: Vec<_> = pod["containers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(containers, ["web"]);
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_words_of_metrics_server() {
    let api = Cluster::filled().api();
    let (code, reason, message) = refused(&api, &format!("{SHOP}/web-9")).await;
    assert_eq!((code, reason.as_str()), (404, "NotFound"));
    assert_eq!(message, "podmetrics.metrics.k8s.io \"shop/web-9\" not found");
    assert_eq!(refused(&api, &format!("{NODES}/n9")).await.2, "nodemetrics.metrics.k8s.io \"n9\" not found");
    assert_eq!(refused(&api, "/apis/metrics.k8s.io/v1beta1/namespaces/shop/nodes").await.0, 404);
    assert_eq!(refused(&api, "/apis/metrics.k8s.io/v1beta1/widgets").await.0, 404);
    assert_eq!(refused(&api, "/apis/metrics.k8s.io/v1beta1/namespaces/a%2Fb/pods").await.0, 404);
    assert_eq!(ask(&api, NODES, "text/html").await.0, 406);
    let delete = ApiRequest { method: "DELETE".to_owned(), ..ApiRequest::get(NODES) };
    assert_eq!(api.answer(delete).await.status, 405);
}

#[tokio::test]
async fn without_any_data_discovery_answers_and_lists_are_empty() {
    let cluster = Cluster::empty();
    let api = cluster.api();
    assert_eq!(json(&api, "/apis").await["groups"].as_array().unwrap().len(), 4);
    assert_eq!(json(&api, "/apis/history.ringside.dev/v1alpha1").await["kind"], "APIResourceList");
    assert_eq!(json(&api, "/openapi/v2").await["swagger"], "2.0");
    assert_eq!(names(&api, ALL_PODS).await, [""; 0]);
    assert_eq!(json(&api, &format!("{HISTORY}/clusters")).await["items"].as_array().unwrap().len(), 0);
    assert_eq!(text(&api, "/livez", "*/*").await, "ok");
    assert!(json(&api, "/version").await["gitVersion"].as_str().unwrap().starts_with('v'));
    let (status, _, body) = ask(&api, "/readyz?verbose", "*/*").await;
    assert_eq!((status, &body[..]), (503, &b"[+]store ok\n[-]data failed: no push yet\nreadyz check failed\n"[..]));
}

/// The lines of a watch as they come.
struct Lines {
    answer: ApiAnswer,
    rest: String,
}

impl Lines {
    async fn begin(api: &KubeApi, target: &str) -> Self {
        let answer = api.answer(ApiRequest::get(target)).await;
        assert_eq!(answer.status, 200);
        Self { answer, rest: String::new() }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.rest.split_once('\n') {
                let event = serde_json::from_str(line).unwrap();
                self.rest = rest.to_owned();
                return Some(event);
            }
            let ApiBody::Chunks(chunks) = &mut self.answer.body else { panic!("a watch is a stream") };
            let chunk = tokio::time::timeout(Duration::from_secs(60), chunks.recv()).await.unwrap()?;
            self.rest += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// Type, name and resource version of the next event.
    async fn event(&mut self) -> (String, String, String) {
        let event = self.next().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &event["object"]["metadata"];
        (text(&event["type"]), text(&metadata["name"]), text(&metadata["resourceVersion"]))
    }
}

#[tokio::test]
async fn a_watch_tells_what_is_new_changed_and_gone() {
    let mut cluster = Cluster::filled();
    let mut watch = Lines::begin(&cluster.api(), &format!("{SHOP}?watch=true")).await;
    for name in ["web-1", "web-2"] {
        let (kind, of, _) = watch.event().await;
        assert_eq!((kind.as_str(), of.as_str()), ("ADDED", name));
    }
    cluster.push(-1, &PODS[..2]);
    cluster.store.remove_pod("uid-of-web-2");
    let mut events = Vec::new();
    for _ in 0..2 {
        let (kind, of, _) = watch.event().await;
        events.push(format!("{kind} {of}"));
    }
    assert_eq!(events, ["MODIFIED web-1", "DELETED web-2"]);
}

#[tokio::test]
async fn a_watch_goes_on_from_a_list_and_ends_with_410_when_objects_came_or_went_since() {
    let cluster = Cluster::filled();
    let api = cluster.api();
    let list = json(&api, SHOP).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let target = format!("{SHOP}?watch=1&resourceVersion={version}");
    let mut watch = Lines::begin(&api, &target).await;
    let (kind, name, event_version) = watch.event().await;
    assert_eq!((kind.as_str(), name.as_str()), ("MODIFIED", "web-1"));
    assert!(event_version.parse::<u64>().unwrap() >= version.parse::<u64>().unwrap());
    cluster.store.remove_pod("uid-of-web-2");
    let mut late = Lines::begin(&api, &target).await;
    let event = late.next().await.unwrap();
    assert_eq!((event["type"].as_str(), event["object"]["code"].as_u64()), (Some("ERROR"), Some(410)));
    assert_eq!(event["object"]["reason"], "Expired");
    assert!(late.next().await.is_none(), "the watch is over");
    assert_eq!(refused(&api, &format!("{SHOP}?watch=1&resourceVersion=x")).await.0, 400);
}

#[tokio::test]
async fn a_watch_ends_after_its_timeout_and_marks_the_end_of_what_was_there() {
    let api = Cluster::filled().api();
    let target = format!(
        "{NODES}?watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut watch = Lines::begin(&api, &target).await;
    assert_eq!(watch.event().await.0, "ADDED");
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn autoscalers_get_every_metric_of_pods_namespaces_and_nodes() {
    let api = Cluster::filled().api();
    let target = format!("{CUSTOM}/namespaces/shop/pods/*/cpu_usage_cores?labelSelector=app%3Dweb");
    insta::assert_snapshot!("custom_pods", text(&api, &target, "application/json").await);
    let value = async |path: &str| json(&api, &format!("{CUSTOM}/{path}")).await["items"][0]["value"].clone();
    assert_eq!(value("namespaces/shop/metrics/cpu_usage_cores").await, "750m");
    assert_eq!(value("namespaces/shop/pods/web-1/network_receive_bytes_per_second").await, "1M");
    assert_eq!(value("namespaces/shop/pods/web-1/io_pressure_some_ratio").await, "25m");
    assert_eq!(value("nodes/n1/cpu_capacity_millicores").await, "4k");
    assert_eq!(
        value("namespaces/shop/pods/web-2/memory_working_set_bytes").await,
        (64 * 1024 * 1024 + 4096).to_string()
    );
    let nothing = json(&api, &format!("{CUSTOM}/namespaces/shop/pods/*/pids")).await;
    assert_eq!(nothing["items"], serde_json::json!([]));
    let (code, _, message) = refused(&api, &format!("{CUSTOM}/namespaces/shop/pods/*/cpu_usage_core")).await;
    assert_eq!((code, message.contains("cpu_usage_cores")), (404, true), "{message}");
    assert_eq!(refused(&api, &format!("{CUSTOM}/namespaces/shop/pods/web-9/cpu_usage_cores")).await.0, 404);
    assert_eq!(refused(&api, &format!("{CUSTOM}/namespaces/shop/services/a/cpu_usage_cores")).await.0, 404);
}

#[tokio::test]
async fn a_canary_and_its_stable_version_are_laid_side_by_side() {
    let api = Cluster::filled().api();
    let target =
        format!("{HISTORY}/namespaces/shop/pods?labelSelector=app%3Dweb&by=label%3Dtrack&end=-2s&last=45s&step=15s");
    insta::assert_snapshot!("history_by_label", text(&api, &target, "application/json").await);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    insta::assert_snapshot!("history_table", text(&api, &format!("{HISTORY}/workloads"), table).await);
}

#[tokio::test]
async fn histories_are_got_by_the_names_of_their_resources() {
    let api = Cluster::filled().api();
    let last = async |path: &str| {
        let series = json(&api, &format!("{HISTORY}/{path}?end=-2s&last=30s&step=15s")).await;
        let last = series["points"].as_array().unwrap().last().unwrap()[1].as_f64().unwrap();
        (series["kind"].as_str().unwrap().to_owned(), (last * 1e3).round() / 1e3)
    };
    let is = |of: &str, cores: f64| (format!("{of}TimeSeries"), cores);
    assert_eq!(last("namespaces/shop/pods/web-1").await, is("Pod", 0.5));
    assert_eq!(last("namespaces/shop/containers/web-1:proxy").await, is("Container", 0.25));
    assert_eq!(last("namespaces/shop/workloads/deployment:web").await, is("Workload", 0.75));
    assert_eq!(last("namespaces/shop").await, is("Namespace", 0.75));
    assert_eq!(last("nodes/n1").await, is("Node", 1.0));
    assert_eq!(last("clusters/cluster").await, is("Cluster", 1.0));
    assert_eq!(
        names(&api, &format!("{HISTORY}/containers")).await,
        ["dns-1:dns", "web-1:proxy", "web-1:web", "web-2:web"]
    );
    assert_eq!(refused(&api, &format!("{HISTORY}/namespaces/shop/pods/web-9")).await.0, 404);
    assert_eq!(refused(&api, &format!("{HISTORY}/clusters/other")).await.0, 404);
    assert_eq!(refused(&api, &format!("{HISTORY}/jobs")).await.0, 404);
}

#[tokio::test]
async fn questions_about_the_past_that_cannot_be_answered_say_how_to_ask() {
    let api = Cluster::filled().api();
    for (query, code, words) in [
        ("metric=cpu_usage_core", 404, "did you mean \"cpu_usage_cores\"?"),
        ("by=colour", 400, "label=KEY"),
        ("last=15", 400, "such as 15m"),
        ("start=yesterday", 400, "RFC 3339"),
        ("step=1", 400, "such as 15s"),
        ("last=1d&step=1s", 400, "use step=8s or more"),
        ("start=-5m&last=5m", 400, "give one of them"),
        ("start=-5m&end=-10m", 400, "start must be before end"),
        ("labelSelector=a+b", 400, "cannot be read"),
        ("metric=cpu_capacity_millicores", 400, "only nodes have"),
    ] {
        let (found, _, message) = refused(&api, &format!("{HISTORY}/pods?{query}")).await;
        assert_eq!(found, code, "{query}: {message}");
        assert!(message.contains(words), "{query}: {message}");
    }
}

/// A node of its own for each hundred pods.
fn crowd(nodes: usize) -> ClusterStore {
    let store = Cluster::empty().store;
    for number in 0..nodes {
        let node: Arc<str> = Arc::from(format!("node-{number:03}"));
        store.put_node(&NodeRecord { name: node.clone(), uid: node.clone(), labels: labels(&[]) });
        let mut encoder = Encoder::new(&*node, 1);
        for seconds in [-17, -2] {
            let mut entities = Vec::new();
            for pod in 0..100 {
                let uid: Arc<str> = Arc::from(format!("uid-{number}-{pod}"));
                let name: Arc<str> = Arc::from(format!("web-{number:03}-{pod:03}"));
                let of = PodOf { namespace: "shop", name: "web-1", labels: &[("app", "web")], containers: &[] };
                store.put_pod(&PodRecord { name: name.clone(), uid: uid.clone(), node: node.clone(), ..record(&of) });
                let namespace = Arc::from("shop");
                entities.push(entity(EntityKey::Pod { uid: uid.clone(), namespace, name }, &[]));
                let key =
                    EntityKey::Container { pod_uid: uid, name: Arc::from("web"), id: Arc::from(format!("c{pod}")) };
                let cpu = u64::try_from(seconds + 100).unwrap() * 1_000;
                entities.push(entity(key, &[(Metric::CpuUsageUsec, cpu), (Metric::MemoryWorkingSetBytes, 1 << 20)]));
            }
            let body = encoder.push(&[Snapshot { wall: at(seconds), entities }], false);
            store.push(&node, &Push::decode(&body).unwrap(), now()).unwrap();
        }
    }
    store
}

#[tokio::test]
async fn readers_that_do_not_read_hold_up_nobody_and_get_all_of_it_when_they_do() {
    let store = crowd(20);
    let cluster = Cluster { store, encoder: Encoder::new("none", 1) };
    let api = cluster.api();
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(api.answer(ApiRequest::get(ALL_PODS)).await);
    }
    let protobuf = ApiRequest::get(ALL_PODS).accepting("application/vnd.kubernetes.protobuf");
    for _ in 0..10 {
        waiting.push(api.answer(protobuf.clone()).await);
    }
    assert_eq!(names(&api, &format!("{SHOP}?fieldSelector=metadata.name%3Dweb-019-099")).await, ["web-019-099"]);
    let whole = waiting.remove(0).bytes().await;
    let list: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2_000);
    let whole = waiting.pop().unwrap().bytes().await;
    assert!(whole.starts_with(b"k8s\0") && whole.len() > 64 << 10, "{}", whole.len());
}
