//! A stand-in for the API server: reviews of tokens and rights, and a few kinds of objects, over plain HTTP on loopback.
//!
//! In: what a test puts into its tables. Out: answers as a real one gives them, and counts of what was asked. It checks no
//! credentials: who may write which object is the real API server's matter.
#![allow(dead_code, reason = "each test crate uses its own part")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Everything it knows.
#[derive(Debug, Default)]
pub struct State {
    /// Status of each token's review; a token that is not here is not authenticated.
    pub tokens: BTreeMap<String, Value>,
    /// Who may do what: `user verb resource/subresource`, or `user everything`.
    pub rights: Vec<String>,
    /// Objects by path.
    pub objects: BTreeMap<String, Value>,
    /// Token reviews, access reviews, and writes of objects (`METHOD path`), as they came.
    pub token_reviews: Vec<Value>,
    pub access_reviews: Vec<Value>,
    pub writes: Vec<String>,
    /// Answers nothing but 500.
    pub broken: bool,
    versions: u64,
    watches: Vec<(String, mpsc::UnboundedSender<Bytes>)>,
}

#[derive(Debug, Clone)]
pub struct FakeApiServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl FakeApiServer {
    /// Starts on the runtime that this is called within.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&server.state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&state);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serve);
            }
        });
        server
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn client(&self) -> kube::Client {
        kube::Client::try_from(kube::Config::new(self.url().parse().unwrap())).unwrap()
    }

    /// A kubeconfig file's text that leads here.
    pub fn kubeconfig(&self) -> String {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{ "name": "fake", "cluster": { "server": self.url() } }],
            "users": [{ "name": "fake", "user": {} }],
            "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake" } }],
        });
        config.to_string()
    }

    /// A token that is `user`'s, for `audiences`.
    pub fn know(&self, token: &str, user: &str, audiences: &[&str]) {
        let user = json!({
            "username": user, "groups": ["system:authenticated"],
            "extra": { "authentication.kubernetes.io/node-name": ["n1"] },
        });
        let status = json!({ "authenticated": true, "audiences": audiences, "user": user });
        self.state().tokens.insert(token.to_owned(), status);
    }

    /// Tells everybody who watches `path` of an event: `ADDED`, `MODIFIED` or `DELETED`.
    pub fn tell(&self, path: &str, event: &str, object: &Value) {
        let line = Bytes::from(format!("{}\n", json!({ "type": event, "object": object })));
        self.state().watches.retain(|(watched, watch)| watched != path || watch.send(line.clone()).is_ok());
    }

    /// How many watch `path`.
    pub fn watchers(&self, path: &str) -> usize {
        self.state().watches.iter().filter(|(watched, watch)| watched == path && !watch.is_closed()).count()
    }

    pub fn allow(&self, right: &str) {
        self.state().rights.push(right.to_owned());
    }
}

type Answer = Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible>;

/// The body of a watch: what is told while it is open.
struct Watch(mpsc::UnboundedReceiver<Bytes>);

impl Body for Watch {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = Response::builder().header("content-type", "application/json");
    if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
        let (tell, told) = mpsc::unbounded_channel();
        state.lock().unwrap().watches.push((path, tell));
        return Ok(response.body(Watch(told).boxed_unsync()).unwrap());
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (code, answer) = state.lock().unwrap().answer(&method, &path, body);
    Ok(response.status(code).body(Full::from(answer.to_string()).boxed_unsync()).unwrap())
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    (code, status)
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, mut body: Value) -> (u16, Value) {
        if self.broken {
            return failure(500, "InternalError", "out of order");
        }
        match path {
            "/apis/authentication.k8s.io/v1/tokenreviews" => {
                let token = body["spec"]["token"].as_str().unwrap().to_owned();
                self.token_reviews.push(body["spec"].clone());
                let unknown = || json!({ "authenticated": false, "error": "token is unknown" });
                body["status"] = self.tokens.get(&token).cloned().unwrap_or_else(unknown);
                (201, body)
            }
            "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
                let spec = body["spec"].clone();
                self.access_reviews.push(spec.clone());
                let of = |key: &str| spec["resourceAttributes"][key].as_str().unwrap_or_default().to_owned();
                let user = spec["user"].as_str().unwrap();
                let asked = format!("{user} {} {}/{}", of("verb"), of("resource"), of("subresource"));
                body["status"] = json!({ "allowed": self.rights.contains(&asked) || self.rights.contains(&format!("{user} everything")) });
                (201, body)
            }
            _ => self.object(method, path, body),
        }
    }

    fn object(&mut self, method: &Method, path: &str, mut body: Value) -> (u16, Value) {
        let not_found = || failure(404, "NotFound", &format!("{path} not found"));
        if *method == Method::GET {
            return self.objects.get(path).map_or_else(not_found, |object| (200, object.clone()));
        }
        self.writes.push(format!("{method} {path}"));
        self.versions += 1;
        let version = json!(self.versions.to_string());
        match *method {
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return failure(409, "AlreadyExists", &format!("{path} already exists"));
                }
                body["metadata"]["resourceVersion"] = version;
                self.objects.insert(path, body.clone());
                (201, body)
            }
            Method::PUT => {
                let Some(held) = self.objects.get_mut(path) else { return not_found() };
                let theirs = &body["metadata"]["resourceVersion"];
                if !theirs.is_null() && *theirs != held["metadata"]["resourceVersion"] {
                    return failure(409, "Conflict", "the object has been modified");
                }
                body["metadata"]["resourceVersion"] = version;
                *held = body.clone();
                (200, body)
            }
            Method::PATCH => {
                let Some(held) = self.objects.get_mut(path) else { return not_found() };
                merge(held, &body);
                held["metadata"]["resourceVersion"] = version;
                (200, held.clone())
            }
            _ => failure(405, "MethodNotAllowed", "not here"),
        }
    }
}

/// RFC 7396.
fn merge(held: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *held = patch.clone();
        return;
    };
    if !held.is_object() {
        *held = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            held.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut held[key.as_str()], value);
        }
    }
}
