//! A small TLS server that stands behind an APIService and writes down what the API server sends to it.
//!
//! In: the cluster, and a function from request to answer. Out: the requests, in the order in which they came. It takes only
//! connections with a client certificate of the front proxy's authority, as an extension API server must.
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::super::process::run;
use super::Cluster;

/// One request as the API server sent it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With the query.
    pub path: String,
    /// The names in lower case, as HTTP has them; several of one name in their order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// A status code and a JSON body.
pub type Answer = (u16, serde_json::Value);

pub struct StandIn {
    seen: Arc<Mutex<Vec<Seen>>>,
    // Dropping it ends the server.
    _runtime: tokio::runtime::Runtime,
}

impl StandIn {
    /// Starts the server, and a Service `default/<name>` in front of it. [`Cluster::add_api_service`] puts it into the API.
    pub fn start(cluster: &Cluster, name: &str, answer: fn(&Seen) -> Answer) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind((cluster.host_address(), 0))).unwrap();
        cluster.service_on_host("default", name, listener.local_addr().unwrap().port());
        let acceptor = TlsAcceptor::from(Arc::new(tls(cluster, name)));
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let all = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, all) = (acceptor.clone(), Arc::clone(&all));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| take(request, &all, answer));
                    let _closed = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { seen, _runtime: runtime }
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for a request that `accept` takes.
    pub fn wait_for(&self, cluster: &Cluster, what: &str, accept: impl Fn(&Seen) -> bool) -> Seen {
        cluster.wait_until(what, Duration::from_secs(60), || {
            let seen = self.seen();
            let paths: Vec<String> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
            seen.into_iter().find(&accept).ok_or_else(|| format!("{paths:#?}"))
        })
    }
}

async fn take(
    request: Request<Incoming>,
    all: &Mutex<Vec<Seen>>,
    answer: fn(&Seen) -> Answer,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = Seen {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
    };
    let (status, body) = answer(&seen);
    all.lock().unwrap().push(seen);
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::from(body.to_string())).unwrap())
}

fn tls(cluster: &Cluster, name: &str) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authorities = RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_file(cluster.front_proxy_ca()).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider)).build().unwrap();
    let identity = cluster.server_certificate(&[&format!("{name}.default.svc")]);
    let chain = vec![CertificateDer::from_pem_file(identity.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(identity.key).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}

impl Cluster {
    /// An APIService for `<group>/<version>` that leads to the Service `default/<service>`, whose certificate is of the
    /// cluster's authority; waits until the API server says that it is available.
    pub fn add_api_service(&self, group: &str, version: &str, service: &str) {
        let name = format!("{version}.{group}");
        let ca_bundle = run("base64", &["-w0", self.cluster_ca().to_str().unwrap()]);
        let object = serde_json::json!({
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": { "name": name },
            "spec": {
                "group": group,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": ca_bundle,
                "service": { "namespace": "default", "name": service, "port": 443 },
            },
        });
        self.apply(&object.to_string());
        self.wait_api_service_available(group, version);
    }

    /// Waits until the APIService has the condition Available, and is answered for: for up to a second after the condition
    /// is there, the API server still says 404.
    pub fn wait_api_service_available(&self, group: &str, version: &str) {
        let name = format!("{version}.{group}");
        self.wait_until(&format!("APIService {name} to be available"), Duration::from_secs(60), || {
            let condition =
                r#"jsonpath={.status.conditions[?(@.type=="Available")].status} {.status.conditions[*].message}"#;
            let said = self.kubectl(&["get", "apiservice", &name, "-o", condition]);
            if !said.starts_with("True ") {
                return Err(said);
            }
            self.get_raw(&format!("/apis/{group}/{version}")).map(drop)
        });
    }
}
