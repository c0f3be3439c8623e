//! `--history-backend`: the history and custom-metrics APIs over another engine, first a small fake, then a real one.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringside::store::cluster::{ClusterOptions, ClusterStore, NodeRecord, PodRecord, WorkloadRef};
use ringside::units::UnixNanos;
use ringside::view::kube_api::backend::Backend;
use ringside::view::kube_api::{ApiRequest, KubeApi, Options};
use serde_json::{Value, json};
use support::victoria_metrics::VictoriaMetrics;

/// The engine keeps recent data only, so the tests' time is the real one; it stands still.
static NOW_SECONDS: LazyLock<u64> =
    LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 15 * 15);

fn now() -> UnixNanos {
    UnixNanos(*NOW_SECONDS * 1_000_000_000)
}

const PODS: [(&str, &str, &str); 3] =
    [("kube-system", "dns-1", ""), ("shop", "web-1", "stable"), ("shop", "web-2", "canary")];

/// The store knows the pods and has measured nothing.
fn api(engine: SocketAddr) -> KubeApi {
    let store = ClusterStore::new(ClusterOptions {
        history: Duration::from_secs(900),
        budget_bytes: 1 << 20,
        stale_after: Duration::from_secs(120),
    });
    store.put_node(&NodeRecord { name: Arc::from("n1"), uid: Arc::from("u"), labels: Arc::from([]) });
    for (namespace, name, track) in PODS {
        store.put_pod(&PodRecord {
            namespace: Arc::from(namespace),
            name: Arc::from(name),
            uid: Arc::from(name),
            node: Arc::from("n1"),
            labels: Arc::from([(Arc::from("track"), Arc::from(track))]),
            workload: WorkloadRef { kind: Arc::from("Deployment"), name: Arc::from(name.split('-').next().unwrap()) },
            finished: false,
        });
    }
    let backend = Backend::new(&format!("http://{engine}/"), store.clone(), now).unwrap();
    let readiness = Arc::new(Vec::new);
    KubeApi::new(Options { store, extra_resources: false, history: Arc::new(backend), readiness, now })
}

async fn ask(api: &KubeApi, target: &str) -> (u16, Value) {
    let answer = api.answer(ApiRequest::get(target)).await;
    let status = answer.status;
    (status, serde_json::from_slice(&answer.bytes().await).unwrap())
}

/// An engine that answers one request with this, and tells what it was asked.
fn fake(status: &'static str, body: Vec<u8>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, was_asked) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 8_192];
        let length = stream.read(&mut head).unwrap();
        let line = String::from_utf8_lossy(&head[..length]).lines().next().unwrap().to_owned();
        asked.send(line).unwrap();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        // The asker may have seen enough.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    });
    (address, was_asked)
}

const HISTORY: &str = "/apis/history.ringside.dev/v1alpha1";
const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta2";

#[tokio::test]
async fn what_the_engine_says_by_pod_is_grouped_by_what_the_api_server_says_of_the_pods() {
    let series = |pod: &str, values: Value| json!({ "metric": { "namespace": "shop", "pod": pod }, "values": values });
    let answer = json!({ "status": "success", "data": { "resultType": "matrix", "result": [
        series("web-1", json!([[1000, "1.5"], [1015, "2"]])),
        series("web-2", json!([[1015, "0.5"], [1030, "NaN"]])),
        series("forgotten", json!([[1000, "7"]])),
    ] } });
    let (engine, asked) = fake("200 OK", answer.to_string().into_bytes());
    let (status, list) =
        ask(&api(engine), &format!("{HISTORY}/namespaces/shop/workloads?start=1000&end=1030&step=15s")).await;
    assert_eq!(status, 200, "{list}");
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["items"][0]["metadata"], json!({ "name": "deployment:web", "namespace": "shop" }));
    assert_eq!(list["items"][0]["points"], json!([[1000, 1.5], [1015, 2.5]]));
    let line = asked.recv().unwrap();
    assert!(line.starts_with("GET /api/v1/query_range?query=sum%20by%20%28namespace%2C%20pod%29"), "{line}");
    assert!(line.ends_with("&start=1000&end=1030&step=15 HTTP/1.1"), "{line}");
}

#[tokio::test]
async fn what_goes_wrong_with_the_engine_is_told_as_a_status() {
    let error = json!({ "status": "error", "errorType": "execution", "error": "query timed out" }).to_string();
    let large = vec![b' '; (16 << 20) + 1];
    for (status, body, code, words) in [
        ("422 Unprocessable Entity", error.into_bytes(), 503, "query timed out"),
        ("502 Bad Gateway", b"<html>".to_vec(), 503, "is its URL right?"),
        ("200 OK", large, 400, "larger than 16 MiB"),
    ] {
        let (engine, _asked) = fake(status, body);
        let (found, answer) = ask(&api(engine), &format!("{HISTORY}/pods")).await;
        assert_eq!((found, answer["kind"].as_str()), (code, Some("Status")), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(words), "{answer}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (found, answer) = ask(&api(nobody), &format!("{HISTORY}/pods")).await;
    assert_eq!((found, answer["reason"].as_str()), (503, Some("ServiceUnavailable")), "{answer}");
    let (found, answer) = ask(&api(nobody), &format!("{HISTORY}/pods?metric=restarts")).await;
    assert_eq!(found, 404, "{answer}");
}

#[test]
fn a_url_that_is_none_is_refused_with_how_it_is_written() {
    let store = || {
        let (history, stale_after) = (Duration::from_secs(1), Duration::from_secs(1));
        ClusterStore::new(ClusterOptions { history, budget_bytes: 0, stale_after })
    };
    for url in ["", "mimir:9009", "https://mimir:9009", "http://", "http://mimir/?x=y"] {
        assert!(Backend::new(url, store(), now).is_err(), "{url}");
    }
    assert!(Backend::new("http://mimir:9009/prometheus", store(), now).is_ok());
}

/// Twenty minutes of three pods: a quarter, a half and three quarters of a CPU, and as many tens of MiB.
fn samples() -> String {
    let mut text = String::new();
    for step in 0..=80_u64 {
        let millis = (*NOW_SECONDS - 1_200 + step * 15) * 1_000;
        let mut node_seconds = 0.0;
        for (place, (namespace, pod, _)) in (1_u32..).zip(PODS) {
            let seconds = 3.75 * f64::from(place) * step as f64;
            node_seconds += seconds;
            let id = format!("id=\"/kubepods/{pod}/c\",node=\"n1\",namespace=\"{namespace}\",pod=\"{pod}\"");
            let bytes = place * 10 << 20;
            writeln!(text, "container_cpu_usage_seconds_total{{{id},container=\"c\"}} {seconds} {millis}").unwrap();
            writeln!(text, "container_memory_working_set_bytes{{{id},container=\"c\"}} {bytes} {millis}").unwrap();
            // The pod's own cgroup, which must not be counted again.
            writeln!(text, "container_cpu_usage_seconds_total{{{id},container=\"\"}} {seconds} {millis}").unwrap();
        }
        let root = "id=\"/\",node=\"n1\",namespace=\"\",pod=\"\",container=\"\"";
        writeln!(text, "container_cpu_usage_seconds_total{{{root}}} {} {millis}", 2.0 * node_seconds).unwrap();
    }
    text
}

#[tokio::test]
async fn a_real_engine_gives_the_same_answers_as_the_store() {
    let engine = VictoriaMetrics::start();
    engine.import(&samples());
    let api = api(engine.address);
    let last = async |path: &str| {
        let separator = if path.contains('?') { '&' } else { '?' };
        let (status, list) = ask(&api, &format!("{HISTORY}/{path}{separator}last=5m&step=15s")).await;
        assert_eq!(status, 200, "{list}");
        let is_one = list["points"].is_array();
        let series = if is_one { vec![list] } else { list["items"].as_array().unwrap().clone() };
        let shown = |one: &Value| {
            let points = one["points"].as_array().unwrap();
            assert_eq!(points.len(), 21, "{one}");
            let value = points.last().unwrap()[1].as_f64().unwrap();
            format!("{} {:.3}", one["metadata"]["name"].as_str().unwrap(), value)
        };
        series.iter().map(shown).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(last("pods").await, "dns-1 0.250, web-1 0.500, web-2 0.750");
    assert_eq!(last("namespaces").await, "kube-system 0.250, shop 1.250");
    assert_eq!(last("namespaces/shop/workloads/deployment:web").await, "deployment:web 1.250");
    assert_eq!(last("namespaces/shop/pods?by=label%3Dtrack").await, "canary 0.750, stable 0.500");
    assert_eq!(last("namespaces/shop/pods?labelSelector=track%3Dcanary").await, "web-2 0.750");
    assert_eq!(last("namespaces/shop/containers/web-2:c").await, "web-2:c 0.750");
    assert_eq!(last("nodes/n1").await, "n1 3.000");
    assert_eq!(last("clusters/cluster").await, "cluster 3.000");
    assert_eq!(last("namespaces/shop/pods/web-1?metric=memory_working_set_bytes").await, "web-1 20971520.000");
    let (status, values) = ask(&api, &format!("{CUSTOM}/namespaces/shop/pods/*/cpu_usage_cores")).await;
    assert_eq!(status, 200, "{values}");
    let values: Vec<_> = values["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["describedObject"]["name"].as_str().unwrap(), item["value"].as_str().unwrap()))
        .collect();
    assert_eq!(values, [("web-1", "500m"), ("web-2", "750m")]);
}
