//! Pushes over real sockets: every answer that an aggregator, an API server or something in between may give.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::answer::{Failure, Outcome};
use super::target::{ApiServer, Direct, DirectOptions, PushError, Target};
use crate::sample::push_stats::PushResult;
use crate::units::UnixNanos;

const PATIENCE: Duration = Duration::from_millis(400);

/// What the server answers: code, headers, body.
#[derive(Clone, Copy)]
struct Answer(u16, &'static [(&'static str, &'static str)], &'static str);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    path: String,
    authorization: Option<String>,
    body: Bytes,
}

type Log = Arc<Mutex<Vec<Seen>>>;

async fn answer(request: Request<Incoming>, answer: Answer, log: Log) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let authorization = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    log.lock().unwrap().push(Seen { path: format!("{} {}", head.method, head.uri.path()), authorization, body });
    let Answer(code, headers, text) = answer;
    let mut response = Response::builder().status(code);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Ok(response.body(Full::from(text)).unwrap())
}

/// A server that answers so, over TLS if there is an acceptor.
async fn server(reply: Answer, tls: Option<TlsAcceptor>) -> (SocketAddr, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let seen = Arc::clone(&log);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (log, tls) = (Arc::clone(&seen), tls.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, reply, Arc::clone(&log)));
                match tls {
                    None => drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            });
        }
    });
    (address, log)
}

/// A server that reads a little, sends these bytes, and then hangs or closes.
async fn rude(reply: &'static [u8], hangs: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut some = [0; 1024];
                let _read = stream.read(&mut some).await;
                let _written = stream.write_all(reply).await;
                if hangs {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    address
}

fn api_server(address: SocketAddr) -> ApiServer {
    let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
    config.default_retry = false;
    ApiServer::new(kube::Client::try_from(config).unwrap(), "node-1").unwrap().with_timeout(PATIENCE)
}

async fn outcome(address: SocketAddr) -> Outcome {
    api_server(address).post(Bytes::from_static(b"a push")).await
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_body_is_posted_to_the_nodes_samples_of_the_api_group_and_an_answer_of_200_takes_it() {
    let (address, log) = server(Answer(200, &[], r#"{"accepted":1,"sequence":4}"#), None).await;
    assert_eq!(outcome(address).await, Outcome::Accepted);
    let path = "POST /apis/ingest.ringside.dev/v1alpha1/nodes/node-1/samples".to_owned();
    let body = Bytes::from_static(b"a push");
    assert_eq!(*log.lock().unwrap(), [Seen { path, authorization: None, body }]);
}

#[tokio::test]
async fn every_answer_of_the_aggregator_is_understood_and_nothing_is_sent_twice() {
    const SINCE: &str = r#"{"details":{"causes":[{"field":"since_unix_nanos","message":"17"}]}}"#;
    let (address, _) = server(Answer(409, &[], SINCE), None).await;
    assert_eq!(outcome(address).await, Outcome::StandAlone(Some(UnixNanos(17))));
    for (code, result) in [
        (401, PushResult::Unauthorized),
        (403, PushResult::Forbidden),
        (400, PushResult::Refused),
        (413, PushResult::Refused),
        (422, PushResult::Refused),
        (404, PushResult::ServerError),
        (500, PushResult::ServerError),
        (503, PushResult::ServerError),
        (504, PushResult::ServerError),
    ] {
        let (address, log) = server(Answer(code, &[], r#"{"message":"because"}"#), None).await;
        let failure = failure(outcome(address).await);
        assert_eq!((failure.result, failure.told), (result, format!("{code} because")));
        assert_eq!(log.lock().unwrap().len(), 1, "{code}: the pace says when to try again, not the client");
    }
    let (address, log) = server(Answer(429, &[("retry-after", "30")], ""), None).await;
    let failure = failure(outcome(address).await);
    assert_eq!((failure.result, failure.retry_after), (PushResult::Busy, Some(Duration::from_secs(30))));
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_hangs_is_left_after_the_timeout_and_the_push_may_have_been_taken() {
    for reply in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"] {
        let failure = failure(outcome(rude(reply, true).await).await);
        assert_eq!((failure.result, failure.surely_not_taken), (PushResult::Timeout, false));
        assert_eq!(failure.told, "no answer in 0.4 s");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_answer_and_the_push_may_have_been_taken() {
    for reply in [&b""[..], b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{", b"SSH-2.0-no\r\n"] {
        let failure = failure(outcome(rude(reply, false).await).await);
        assert_eq!((failure.result, failure.surely_not_taken), (PushResult::Unreachable, false), "{}", failure.told);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 1024];
        let _read = stream.read(&mut some).await;
        let _written = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let failure = failure(outcome(address).await);
    assert_eq!(failure.result, PushResult::Unreachable);
    assert!(failure.told.contains("length limit exceeded"), "{}", failure.told);
}

#[tokio::test]
async fn nobody_there_means_surely_not_taken() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = failure(outcome(address).await);
    assert_eq!((failure.result, failure.surely_not_taken), (PushResult::Unreachable, true));
    assert!(failure.told.contains("refused"), "{}", failure.told);
}

#[tokio::test]
async fn a_name_that_would_change_the_path_is_no_nodes_name() {
    let client = || kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    for name in ["", "a/b", "..%2f", "Node", "a b", "a?x", &"x".repeat(254)] {
        assert!(matches!(ApiServer::new(client(), name), Err(PushError::NodeName(_))), "{name}");
    }
    assert!(ApiServer::new(client(), "ip-10-0-0-1.eu.internal").is_ok());
}

/// A certificate authority of the test's own, and a server's certificate by it for `localhost`.
fn authority() -> (String, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    (made.cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

struct Files {
    _folder: tempfile::TempDir,
    token: PathBuf,
    ca: PathBuf,
}

fn files(token: &str, ca: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let (token_file, ca_file) = (folder.path().join("token"), folder.path().join("ca.crt"));
    std::fs::write(&token_file, token).unwrap();
    std::fs::write(&ca_file, ca).unwrap();
    Files { _folder: folder, token: token_file, ca: ca_file }
}

fn direct(address: SocketAddr, files: &Files) -> Direct {
    let url = format!("https://localhost:{}", address.port());
    let options = DirectOptions { url, token_file: files.token.clone(), ca_file: files.ca.clone() };
    Direct::new(options, "node-1").unwrap().with_timeout(PATIENCE)
}

#[tokio::test]
async fn the_direct_route_shows_the_token_as_it_is_now_and_keeps_its_connection() {
    let (ca, tls) = authority();
    let (address, log) = server(Answer(200, &[], "{}"), Some(tls)).await;
    let files = files("first\n", &ca);
    let mut target = direct(address, &files);
    let push = || Bytes::from_static(b"a push");
    assert_eq!(target.post(push()).await, Outcome::Accepted);
    std::fs::write(&files.token, "second").unwrap();
    // The connection is kept: without the certificates no new one could be made.
    std::fs::remove_file(&files.ca).unwrap();
    assert_eq!(target.post(push()).await, Outcome::Accepted);
    let shown: Vec<_> = log.lock().unwrap().iter().map(|seen| seen.authorization.clone().unwrap()).collect();
    assert_eq!(shown, ["Bearer first", "Bearer second"]);
    assert_eq!(log.lock().unwrap()[0].path, "POST /apis/ingest.ringside.dev/v1alpha1/nodes/node-1/samples");
}

#[tokio::test]
async fn a_server_that_another_authority_vouches_for_is_shown_no_token() {
    let (_, tls) = authority();
    let (other, _) = authority();
    let (address, log) = server(Answer(200, &[], "{}"), Some(tls)).await;
    let failure = failure(direct(address, &files("secret", &other)).post(Bytes::new()).await);
    assert_eq!((failure.result, failure.surely_not_taken), (PushResult::Unreachable, true), "{}", failure.told);
    assert!(log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_missing_token_or_certificate_is_said_with_the_flag_that_names_it() {
    let (ca, tls) = authority();
    let (address, _) = server(Answer(200, &[], "{}"), Some(tls)).await;
    let told = |files: Files| async move { failure(direct(address, &files).post(Bytes::new()).await).told };
    assert!(told(files(" \n", &ca)).await.ends_with("it is empty; see --push-token-file"));
    assert!(told(files("secret", "no certificate")).await.ends_with("there are none in it; see --push-ca-file"));
    let gone = files("secret", &ca);
    std::fs::remove_file(&gone.ca).unwrap();
    assert!(told(gone).await.ends_with("see --push-ca-file"));
}

#[test]
fn an_address_that_is_not_https_with_a_host_is_refused_at_the_start() {
    for url in ["http://a:1", "https://", "a:443", "https://a:443/path", "ftp://a", ""] {
        let options = DirectOptions { url: url.into(), token_file: PathBuf::new(), ca_file: PathBuf::new() };
        assert!(matches!(Direct::new(options, "node-1"), Err(PushError::Url(_))), "{url}");
    }
}
