//! The aggregator's own authority, against a stand-in for the API server: one for all replicas, told to whom it concerns,
//! renewed in time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod fake_api_server;
mod tls_client;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_api_server::FakeApiServer;
use ringside::auth::certificates::{CertificateError, ClusterCa, ClusterCaOptions, ServingCert};
use ringside::auth::chain::ClientCertificate;
use ringside::auth::https::Peer;
use ringside::auth::tls;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, ServerConnection};
use serde_json::{Value, json};
use tls_client::TestCa;
use x509_parser::prelude::{FromDer, X509Certificate};

const SECRET: &str = "/api/v1/namespaces/ringside/secrets/ringside-aggregator-ca";
const CONFIG_MAP: &str = "/api/v1/namespaces/ringside/configmaps/ringside-aggregator-ca";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn options() -> ClusterCaOptions {
    ClusterCaOptions {
        namespace: "ringside".to_owned(),
        service: "ringside-aggregator".to_owned(),
        secret: "ringside-aggregator-ca".to_owned(),
        config_map: "ringside-aggregator-ca".to_owned(),
        api_services: vec!["v1beta1.metrics.k8s.io".to_owned(), "v1alpha1.history.ringside.dev".to_owned()],
        names: vec!["ringside-aggregator-peers.ringside.svc".to_owned(), "10.0.0.7".to_owned()],
    }
}

fn api_service_path(name: &str) -> String {
    format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}")
}

fn install_api_service(api: &FakeApiServer, name: &str, service: &str) {
    let (version, group) = name.split_once('.').unwrap();
    let spec = json!({
        "service": { "namespace": "ringside", "name": service }, "insecureSkipTLSVerify": true,
        "group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
    });
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": { "name": name }, "spec": spec,
    });
    api.state().objects.insert(api_service_path(name), object);
}

async fn open(api: &FakeApiServer) -> ClusterCa {
    ClusterCa::open(api.client(), options()).await.unwrap()
}

fn object(api: &FakeApiServer, path: &str) -> Value {
    api.state().objects.get(path).cloned().unwrap_or_default()
}

/// The handshake of one who asks and one who serves, in memory; gives what the server sees of the client.
fn shake(
    client: Arc<rustls::ClientConfig>,
    server: ServingCert,
    name: &'static str,
) -> Result<Option<Peer>, rustls::Error> {
    let mut client = ClientConnection::new(client, name.try_into().unwrap())?;
    let mut server = ServerConnection::new(Arc::new(tls::server_config(server)?))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut flight = Vec::new();
        client.write_tls(&mut flight).unwrap();
        let mut read = flight.as_slice();
        while !read.is_empty() {
            server.read_tls(&mut read).unwrap();
        }
        server.process_new_packets()?;
        let mut flight = Vec::new();
        server.write_tls(&mut flight).unwrap();
        let mut read = flight.as_slice();
        while !read.is_empty() {
            client.read_tls(&mut read).unwrap();
        }
        client.process_new_packets()?;
    }
    let certificate = server.peer_certificates().and_then(ClientCertificate::new);
    let address = SocketAddr::from(([10, 0, 0, 8], 1));
    Ok(Some(Peer { address, certificate: certificate.map(Arc::new) }))
}

fn leaf(certificate: &ServingCert) -> CertificateDer<'static> {
    certificate.leaf().unwrap()
}

#[tokio::test]
async fn replicas_that_start_at_once_end_with_one_authority() {
    let api = FakeApiServer::start().await;
    let (a, b, c) = tokio::join!(open(&api), open(&api), open(&api));
    assert_eq!(a.bundle(), b.bundle());
    assert_eq!(b.bundle(), c.bundle());
    assert_eq!(a.bundle().matches("BEGIN CERTIFICATE").count(), 1);
    assert_ne!(leaf(&a.serving()), leaf(&b.serving()), "each replica has a key of its own");
    let held = object(&api, SECRET);
    let text = String::from_utf8(STANDARD.decode(held["data"]["ca.crt"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(text, a.bundle());
    assert_eq!(object(&api, CONFIG_MAP)["data"]["ca.crt"], json!(a.bundle()));
}

#[tokio::test]
async fn every_replica_is_reached_by_all_its_names_and_knows_the_others() {
    let api = FakeApiServer::start().await;
    let (a, b) = (open(&api).await, open(&api).await);
    let asks = Arc::new(a.peer_client_config().unwrap());
    for name in [
        "ringside-aggregator",
        "ringside-aggregator.ringside",
        "ringside-aggregator.ringside.svc",
        "ringside-aggregator.ringside.svc.cluster.local",
        "ringside-aggregator-peers.ringside.svc",
        "10.0.0.7",
    ] {
        let peer = shake(Arc::clone(&asks), b.serving(), name).unwrap().unwrap();
        assert!(b.is_peer(&peer), "{name}");
    }
    assert!(shake(Arc::clone(&asks), b.serving(), "10.0.0.8").is_err());
    assert!(
        shake(asks, ServingCert::self_signed(&["ringside-aggregator".into()]).unwrap(), "ringside-aggregator").is_err()
    );
    // The same name from another authority, no certificate at all, and a self-signed one are strangers.
    for stranger in [
        Some(TestCa::new("ringside-aggregator-ca").client("ringside-aggregator-peer", None)),
        Some(tls_client::self_signed_client("ringside-aggregator-peer")),
        None,
    ] {
        let peer = shake(tls_client::config(stranger.as_ref()), b.serving(), "localhost").unwrap().unwrap();
        assert!(!b.is_peer(&peer));
    }
}

#[tokio::test]
async fn our_api_services_are_told_once_and_those_of_others_never() {
    let api = FakeApiServer::start().await;
    install_api_service(&api, "v1alpha1.history.ringside.dev", "ringside-aggregator");
    install_api_service(&api, "v1beta1.metrics.k8s.io", "metrics-server");
    let theirs = object(&api, &api_service_path("v1beta1.metrics.k8s.io"));
    let ca = open(&api).await;
    let ours = object(&api, &api_service_path("v1alpha1.history.ringside.dev"));
    assert_eq!(ours["spec"]["caBundle"], json!(STANDARD.encode(ca.bundle())));
    assert_eq!(ours["spec"].get("insecureSkipTLSVerify"), None);
    assert_eq!(object(&api, &api_service_path("v1beta1.metrics.k8s.io")), theirs);
    let writes = api.state().writes.len();
    ca.refresh(SystemTime::now()).await.unwrap();
    assert_eq!(api.state().writes.len(), writes, "what is as it should be is not written");
    // Taken over later, changed by somebody, deleted: the next look mends it.
    install_api_service(&api, "v1beta1.metrics.k8s.io", "ringside-aggregator");
    api.state().objects.get_mut(CONFIG_MAP).unwrap()["data"]["ca.crt"] = json!("other");
    api.state().objects.remove(SECRET);
    ca.refresh(SystemTime::now()).await.unwrap();
    let ours = object(&api, &api_service_path("v1beta1.metrics.k8s.io"));
    assert_eq!(ours["spec"]["caBundle"], json!(STANDARD.encode(ca.bundle())));
    assert_eq!(object(&api, CONFIG_MAP)["data"]["ca.crt"], json!(ca.bundle()));
    assert_eq!(open(&api).await.bundle(), ca.bundle(), "the Secret came back as it was");
}

#[tokio::test]
async fn leaves_live_thirty_days_and_are_renewed_after_twenty() {
    let api = FakeApiServer::start().await;
    let ca = open(&api).await;
    let serving = ca.serving();
    let first = leaf(&serving);
    let (_, parsed) = X509Certificate::from_der(&first).unwrap();
    let left = parsed.validity().not_after.timestamp() - i64::try_from(unix(SystemTime::now())).unwrap();
    assert!((30 * 86_400 - 60..=30 * 86_400).contains(&left), "{left} s");
    let renewals = ca.changed();
    ca.refresh(SystemTime::now() + DAY * 19).await.unwrap();
    assert_eq!((leaf(&serving), *renewals.borrow()), (first.clone(), 0));
    ca.refresh(SystemTime::now() + DAY * 21).await.unwrap();
    assert_ne!(leaf(&serving), first);
    assert_eq!(*renewals.borrow(), 1);
}

fn unix(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn an_authority_is_replaced_while_the_one_before_is_still_believed() {
    let api = FakeApiServer::start().await;
    install_api_service(&api, "v1beta1.metrics.k8s.io", "ringside-aggregator");
    let (a, b) = (open(&api).await, open(&api).await);
    let old = a.bundle();
    let later = SystemTime::now() + DAY * 3650 * 4 / 5 + DAY;
    a.refresh(later).await.unwrap();
    let bundle = a.bundle();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(bundle.ends_with(&old) && bundle != old, "{bundle}");
    let told = &object(&api, &api_service_path("v1beta1.metrics.k8s.io"))["spec"]["caBundle"];
    assert_eq!(*told, json!(STANDARD.encode(&bundle)));
    // The other replica has not looked yet: its certificate is of the old authority, and is believed. The clock of this
    // test's handshakes is today's, at which the new leaf is not valid yet; the old one is.
    let asks = Arc::new(a.peer_client_config().unwrap());
    shake(Arc::clone(&asks), b.serving(), "ringside-aggregator").unwrap();
    b.refresh(later).await.unwrap();
    assert_eq!(b.bundle(), bundle);
    let signed = leaf(&b.serving());
    let (_, signed) = X509Certificate::from_der(&signed).unwrap();
    assert!(signed.validity().not_before.timestamp() > i64::try_from(unix(later)).unwrap() - 7200);
    // Both looked once more: nothing is left to do.
    let writes = api.state().writes.len();
    a.refresh(later).await.unwrap();
    b.refresh(later).await.unwrap();
    assert_eq!(api.state().writes.len(), writes);
}

#[tokio::test]
async fn a_secret_that_holds_something_else_is_named_and_left_alone() {
    let api = FakeApiServer::start().await;
    let strange = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "ringside-aggregator-ca", "resourceVersion": "7" },
        "data": { "tls.crt": STANDARD.encode("nothing"), "tls.key": STANDARD.encode("nothing") },
    });
    api.state().objects.insert(SECRET.to_owned(), strange.clone());
    let error = ClusterCa::open(api.client(), options()).await.unwrap_err();
    assert!(matches!(error, CertificateError::Unusable { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.starts_with("Secret ringside/ringside-aggregator-ca (delete it to have a new one made): "), "{said}");
    assert_eq!(object(&api, SECRET), strange);
    // Without an API server the error says what was tried.
    api.state().broken = true;
    let said = ClusterCa::open(api.client(), options()).await.unwrap_err().to_string();
    assert!(said.starts_with("cannot read Secret ringside/ringside-aggregator-ca: "), "{said}");
}
