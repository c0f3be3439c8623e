//! An API server for the fleet: only what an aggregator asks one for, of any number of nodes and pods.
//!
//! In: the size of the fleet and the front proxy's CA. Out: HTTP on loopback that lists nodes, pods and ReplicaSets page by
//! page, holds watches open, lets everybody do everything, and keeps the few objects that an aggregator writes. It stands in
//! for a real one because no real one holds 150,000 pods on a small machine beside what is measured.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::fleet::Fleet;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What it answers from.
pub struct ApiServer {
    pub fleet: Fleet,
    pub front_proxy_ca: String,
    written: Mutex<HashMap<String, Value>>,
}

impl ApiServer {
    pub fn new(fleet: Fleet, front_proxy_ca: String) -> Arc<Self> {
        Arc::new(Self { fleet, front_proxy_ca, written: Mutex::default() })
    }

    /// Serves on a free port of loopback until the runtime ends.
    pub async fn serve(self: Arc<Self>) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let server = Arc::clone(&self);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let server = Arc::clone(&server);
                        async move { Ok::<_, Infallible>(server.answer(request).await) }
                    });
                    let _closed = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        address
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let query: HashMap<String, String> = parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if query.get("watch").is_some_and(|watch| watch != "false" && watch != "0") {
            // Nothing ever changes.
            return Response::new(NeverEnds.boxed_unsync());
        }
        let sent = body.collect().await.map(|all| all.to_bytes()).unwrap_or_default();
        let sent: Value = serde_json::from_slice(&sent).unwrap_or(Value::Null);
        match (&parts.method, path.as_str()) {
            (&Method::GET, "/api/v1/nodes") => {
                ok(self.page(&query, self.fleet.nodes, "NodeList", |at| self.fleet.node(at)))
            }
            (&Method::GET, "/api/v1/pods") => {
                ok(self.page(&query, self.fleet.nodes * self.fleet.pods, "PodList", |at| self.fleet.pod(at)))
            }
            (&Method::GET, "/apis/apps/v1/replicasets") => {
                let workloads = self.fleet.workloads();
                ok(self.page(&query, workloads, "ReplicaSetList", |at| self.fleet.replica_set(at)))
            }
            (&Method::GET, "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication") => {
                ok(json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": "1"},
                    "data": {
                        "client-ca-file": self.front_proxy_ca,
                        "requestheader-client-ca-file": self.front_proxy_ca,
                        "requestheader-allowed-names": "[\"front-proxy\"]",
                        "requestheader-username-headers": "[\"X-Remote-User\"]",
                        "requestheader-group-headers": "[\"X-Remote-Group\"]",
                        "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
                    },
                }))
            }
            (&Method::POST, path) if path.ends_with("/subjectaccessreviews") => {
                ok(with_status(sent, json!({"allowed": true})))
            }
            (&Method::POST, path) if path.ends_with("/tokenreviews") => {
                ok(with_status(sent, json!({"authenticated": false})))
            }
            (&Method::GET, path) if path.starts_with("/api/v1/namespaces/") || path.contains("/apiservices/") => {
                match self.written.lock().unwrap().get(path) {
                    Some(object) => ok(object.clone()),
                    None => not_found(path),
                }
            }
            (&Method::GET, _) => {
                ok(json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": []}))
            }
            (&Method::POST, path) => {
                let name = sent["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                self.written.lock().unwrap().insert(format!("{path}/{name}"), sent.clone());
                ok(sent)
            }
            (_, path) => {
                self.written.lock().unwrap().insert(path.to_owned(), sent.clone());
                ok(sent)
            }
        }
    }

    fn page(&self, query: &HashMap<String, String>, all: usize, kind: &str, item: impl Fn(usize) -> Value) -> Value {
        let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
        let from = number("continue").unwrap_or(0).min(all);
        let to = number("limit").filter(|limit| *limit > 0).map_or(all, |limit| (from + limit).min(all));
        let next = if to < all { to.to_string() } else { String::new() };
        json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "1", "continue": next},
            "items": (from..to).map(item).collect::<Vec<_>>(),
        })
    }
}

fn with_status(mut sent: Value, status: Value) -> Value {
    sent["status"] = status;
    sent
}

fn ok(value: Value) -> Response<Body> {
    let mut response = Response::new(Full::from(value.to_string()).boxed_unsync());
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

fn not_found(path: &str) -> Response<Body> {
    let mut response = ok(json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": path,
    }));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The body of a watch on a cluster in which nothing changes.
struct NeverEnds;

impl hyper::body::Body for NeverEnds {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Pending
    }
}
