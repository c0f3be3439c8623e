//! Whole pushes over real sockets: every answer that a target, or something in between, may give.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::batch::{Extent, Kind, Series, Source, Window};
use super::cursor::{Cursor, CursorOptions};
use super::format_tests::{decode, series};
use super::http::{Address, Endpoint};
use super::pace::Pace;
use super::remote_write::Version;
use super::target::{Protocol, Target};
use super::task::{Exporter, run};
use crate::sample::export_stats::{ExportResult, ExportStats};
use crate::units::UnixNanos;

const WRITTEN: &str = "x-prometheus-remote-write-samples-written";
const PATIENCE: Duration = Duration::from_millis(500);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// One series that has a sample for every 100 ms.
struct Ticks;

impl Source for Ticks {
    fn extent(&self) -> Option<Extent> {
        let newest_ms = now_ms();
        Some(Extent { oldest_ms: newest_ms - 3_600_000, newest_ms })
    }

    fn read(&mut self, window: Window) -> Vec<Series> {
        let mut one = series("a_total", Kind::Counter, "web-0", &[]);
        let ticks = window.after_ms.div_euclid(100) + 1..=window.until_ms.div_euclid(100);
        one.samples = ticks.map(|tick| super::Sample { timestamp_ms: tick * 100, value: 1.0 }).collect();
        if one.samples.is_empty() { Vec::new() } else { vec![one] }
    }
}

fn now_ms() -> i64 {
    i64::try_from(UnixNanos::now().millis()).unwrap()
}

/// How the target answers.
#[derive(Debug, Clone)]
enum Reply {
    /// As a receiver of this version does that is well.
    Takes(Version),
    /// With a status and headers.
    Says(u16, Vec<(&'static str, String)>),
    /// Not at all.
    Hangs,
}

#[derive(Debug, Clone)]
struct Seen {
    headers: HeaderMap,
    body: Bytes,
    path: String,
}

/// A loopback target: its scripted replies come first, then the last one for ever.
#[derive(Debug, Default)]
struct Receiver {
    script: Mutex<VecDeque<Reply>>,
    seen: Mutex<Vec<Seen>>,
    taken: Mutex<Vec<(i64, u64)>>,
}

impl Receiver {
    fn new(script: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), ..Self::default() })
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let reply = {
            let mut script = lock(&self.script);
            if script.len() > 1 { script.pop_front().unwrap() } else { script.front().unwrap().clone() }
        };
        lock(&self.seen).push(Seen { headers: head.headers.clone(), body: body.clone(), path: head.uri.to_string() });
        let mut response = Response::builder();
        match reply {
            Reply::Hangs => std::future::pending::<()>().await,
            Reply::Says(code, headers) => {
                response = response.status(code);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
            }
            Reply::Takes(version) => {
                let sent_v2 = head.headers["content-type"] == Version::V2.content_type();
                response = response.status(204);
                // A receiver of 1.0 finds nothing in a message of 2.0.
                if version == Version::V2 || !sent_v2 {
                    let received = decode(&body, if sent_v2 { Version::V2 } else { Version::V1 });
                    let samples: Vec<_> = received.into_iter().flat_map(|series| series.samples).collect();
                    if sent_v2 {
                        response = response.header(WRITTEN, samples.len());
                    }
                    lock(&self.taken).extend(samples);
                }
            }
        }
        Ok(response.body(Full::default()).unwrap())
    }

    async fn serve(self: &Arc<Self>, tls: Option<TlsAcceptor>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (receiver, tls) = (Arc::clone(&receiver), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| Arc::clone(&receiver).answer(request));
                    let http = http1::Builder::new();
                    match tls {
                        None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(http.serve_connection(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        });
        address
    }

    fn taken(&self) -> Vec<i64> {
        lock(&self.taken).iter().map(|(at, _)| *at).collect()
    }

    fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }
}

/// A push that runs.
struct Push {
    stats: Arc<ExportStats>,
    task: JoinHandle<()>,
}

impl Push {
    fn start(endpoint: Endpoint, protocol: Protocol, file: Option<&Path>, began_ms: i64) -> Self {
        let address = Address::parse(&endpoint.url).unwrap();
        let stats = Arc::new(ExportStats::new("ringside_remote_write", address.place()));
        let options = CursorOptions {
            target: endpoint.url.clone(),
            file: file.map(Path::to_path_buf),
            step: Duration::from_millis(100),
            tick: Duration::from_millis(100),
        };
        let exporter = Exporter {
            source: Ticks,
            cursor: Cursor::new(options, began_ms),
            pace: Pace::new("node", Duration::from_millis(200)),
            stats: Arc::clone(&stats),
        };
        let target = Target::new(protocol, endpoint, address).with_timeout(PATIENCE);
        Self { stats, task: tokio::spawn(run(exporter, target)) }
    }

    fn count(&self, result: ExportResult) -> u64 {
        self.stats.results().find(|(known, _)| *known == result).unwrap().1
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn to(address: SocketAddr) -> Endpoint {
    Endpoint { url: format!("http://{address}/api/v1/write"), ..Endpoint::default() }
}

async fn until(what: &str, mut check: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if check() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("this did not come: {what}");
}

/// Every 100 ms from the first to the last, each once, in order.
fn assert_gapless(taken: &[i64]) {
    assert!(taken.windows(2).all(|pair| pair[1] == pair[0] + 100), "{taken:?}");
}

async fn started(script: impl IntoIterator<Item = Reply>, version: Option<Version>) -> (Arc<Receiver>, Push, i64) {
    let receiver = Receiver::new(script);
    let address = receiver.serve(None).await;
    // So much has piled up already.
    let began = now_ms() - 8_000;
    (receiver, Push::start(to(address), Protocol::RemoteWrite(version), None, began), began)
}

const V1: Reply = Reply::Takes(Version::V1);
const V2: Reply = Reply::Takes(Version::V2);

fn says(code: u16) -> Reply {
    Reply::Says(code, Vec::new())
}

#[tokio::test]
async fn a_receiver_of_version_2_gets_it_and_says_how_much_it_wrote() {
    let (receiver, push, began) = started([V2], None).await;
    until("samples", || receiver.taken().len() > 50).await;
    let taken = receiver.taken();
    assert_gapless(&taken);
    assert_eq!(taken[0], began.div_euclid(100) * 100 + 100);
    let seen = &receiver.seen()[0];
    assert_eq!(seen.headers["content-type"], "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    assert_eq!(seen.headers["content-encoding"], "snappy");
    assert_eq!(seen.headers["x-prometheus-remote-write-version"], "2.0.0");
    assert!(seen.headers["user-agent"].to_str().unwrap().starts_with("ringside/"));
    assert_eq!(seen.path, "/api/v1/write");
    until("the count", || push.stats.samples()[0].1 >= 50).await;
    assert_eq!(push.stats.lost_msec(), 0);
}

#[tokio::test]
async fn a_receiver_of_version_1_gets_version_1_and_misses_nothing() {
    // One that refuses by 415, by 400, and one that does not look and says that all is well.
    for first in [says(415), says(400), says(204)] {
        let (receiver, push, began) = started([first.clone(), V1], None).await;
        until("samples", || receiver.taken().len() > 50).await;
        let taken = receiver.taken();
        assert_gapless(&taken);
        assert_eq!(taken[0], began.div_euclid(100) * 100 + 100, "{first:?}");
        assert_eq!(receiver.seen()[1].headers["content-type"], "application/x-protobuf");
        assert_eq!(receiver.seen()[1].headers["x-prometheus-remote-write-version"], "0.1.0");
        assert_eq!(push.count(ExportResult::Unsupported), 1);
        assert_eq!(push.stats.samples()[2], ("dropped", 0));
    }
}

#[tokio::test]
async fn a_400_to_both_versions_was_about_the_samples_and_2_is_spoken_afterwards() {
    let (receiver, push, _) = started([says(400), says(400), V2], None).await;
    until("samples", || !receiver.taken().is_empty()).await;
    let versions: Vec<_> =
        receiver.seen().iter().map(|seen| seen.headers["x-prometheus-remote-write-version"].clone()).collect();
    assert_eq!(versions[..3], ["2.0.0", "0.1.0", "2.0.0"]);
    assert_eq!(push.count(ExportResult::Refused), 1);
}

#[tokio::test]
async fn what_fails_for_now_is_sent_again_until_it_is_taken() {
    let garbage = Reply::Says(599, vec![("x", "y".to_owned())]);
    let failures = [says(500), says(503), Reply::Hangs, garbage, says(307)];
    let (receiver, push, began) = started(failures.into_iter().chain([V1]), Some(Version::V1)).await;
    until("samples", || receiver.taken().len() > 50).await;
    let taken = receiver.taken();
    assert_gapless(&taken);
    assert_eq!(taken[0], began.div_euclid(100) * 100 + 100);
    assert_eq!(push.count(ExportResult::ServerError), 3);
    assert_eq!(push.count(ExportResult::Timeout), 1);
    assert_eq!(push.count(ExportResult::Redirected), 1);
    assert_eq!(receiver.seen()[0].body, receiver.seen()[5].body, "the same bytes");
    assert!(push.stats.samples()[1].1 > 0, "{:?}", push.stats.samples());
}

#[tokio::test]
async fn what_is_refused_for_good_is_dropped_once_and_counted() {
    for code in [400, 401, 404, 413, 422] {
        let (receiver, push, began) = started([says(code), V1], Some(Version::V1)).await;
        until("samples", || receiver.taken().len() > 3).await;
        let dropped = push.stats.samples()[2].1;
        assert!(dropped > 0, "{code}");
        assert_eq!(push.count(ExportResult::Refused), 1, "{code}");
        let taken = receiver.taken();
        assert_gapless(&taken);
        let first = began.div_euclid(100) * 100 + 100;
        assert_eq!(taken[0], first + i64::try_from(dropped).unwrap() * 100, "what follows is sent: {code}");
    }
}

#[tokio::test]
async fn a_target_that_asks_for_time_is_left_alone() {
    let busy = Reply::Says(429, vec![("retry-after", "2".to_owned())]);
    let began = tokio::time::Instant::now();
    let (receiver, push, _) = started([busy, V1], Some(Version::V1)).await;
    until("samples", || !receiver.taken().is_empty()).await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(push.count(ExportResult::Busy), 1);
}

#[tokio::test]
async fn a_part_that_was_not_written_is_counted_as_dropped() {
    let partial = Reply::Says(204, vec![(WRITTEN, "1".to_owned())]);
    let (_receiver, push, _) = started([partial], Some(Version::V2)).await;
    until("a partial answer", || push.count(ExportResult::Partial) > 0).await;
    let [(_, sent), _, (_, dropped)] = push.stats.samples();
    assert_eq!(sent, push.count(ExportResult::Partial));
    assert!(dropped > 10, "{dropped}");
}

#[tokio::test]
async fn nobody_there_and_nonsense_instead_of_http_are_waited_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let push = Push::start(to(address), Protocol::RemoteWrite(None), None, now_ms() - 8_000);
    until("a refused connection", || push.count(ExportResult::Unreachable) > 0).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(stream.read(&mut [0; 100]).await);
            drop(stream.write_all(b"\x00\xffSSH-2.0-garbage\r\n\r\n").await);
        }
    });
    let push = Push::start(to(address), Protocol::RemoteWrite(None), None, now_ms() - 8_000);
    until("nonsense", || push.count(ExportResult::Unreachable) > 0).await;
    assert_eq!(push.stats.samples()[2], ("dropped", 0));
}

#[tokio::test]
async fn a_new_run_goes_on_where_the_target_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("remote-write.cursor");
    let receiver = Receiver::new([V2]);
    let address = receiver.serve(None).await;
    let began = now_ms() - 8_000;
    let first = Push::start(to(address), Protocol::RemoteWrite(None), Some(&file), began);
    until("samples", || receiver.taken().len() > 30).await;
    first.task.abort();
    drop(first);
    let before = receiver.taken().len();
    let _second = Push::start(to(address), Protocol::RemoteWrite(None), Some(&file), now_ms());
    until("more samples", || receiver.taken().len() > before + 10).await;
    // What was on its way when the first run ended may come twice.
    let samples: BTreeMap<i64, ()> = receiver.taken().into_iter().map(|at| (at, ())).collect();
    assert_gapless(&samples.into_keys().collect::<Vec<_>>());
}

/// A certificate for the loopback address and a server that shows it.
fn tls(dir: &Path) -> TlsAcceptor {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("ca.crt"), issued.cert.pem()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(crate::auth::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn over_tls_with_a_token_or_a_password_as_the_files_are_now() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let acceptor = tls(dir.path());
    let receiver = Receiver::new([V2]);
    let address = receiver.serve(Some(acceptor)).await;
    let endpoint = Endpoint {
        url: format!("https://{address}/w?tenant=1"),
        ca_file: Some(dir.path().join("ca.crt")),
        token_file: Some(file("token", "first\n")),
        headers_file: Some(file("headers", "# who\nX-Scope-OrgID: a\n\n")),
        ..Endpoint::default()
    };
    let push = Push::start(endpoint.clone(), Protocol::RemoteWrite(None), None, now_ms() - 8_000);
    until("samples", || !receiver.taken().is_empty()).await;
    let seen = &receiver.seen()[0];
    assert_eq!(seen.headers["authorization"], "Bearer first");
    assert_eq!(seen.headers["x-scope-orgid"], "a");
    assert_eq!(seen.path, "/w?tenant=1");
    file("token", "second");
    let is_second = |seen: &Seen| seen.headers["authorization"] == "Bearer second";
    until("the new token", || receiver.seen().last().is_some_and(is_second)).await;
    drop(push);

    let basic = Endpoint { token_file: None, basic_auth_file: Some(file("basic", "user:pass\n")), ..endpoint.clone() };
    let push = Push::start(basic, Protocol::RemoteWrite(None), None, now_ms() - 8_000);
    let is_basic = |seen: &Seen| seen.headers["authorization"] == "Basic dXNlcjpwYXNz";
    until("the password", || receiver.seen().last().is_some_and(is_basic)).await;
    drop(push);

    // A certificate that nobody vouches for, and a token that is not there, send nothing and lose nothing.
    let requests = receiver.seen().len();
    let other = tempfile::tempdir().unwrap();
    let _another_ca = tls(other.path());
    let stranger = Endpoint { ca_file: Some(other.path().join("ca.crt")), ..endpoint.clone() };
    let push = Push::start(stranger, Protocol::RemoteWrite(None), None, now_ms() - 8_000);
    until("an unknown certificate", || push.count(ExportResult::Unreachable) > 0).await;
    let tokenless = Endpoint { token_file: Some(dir.path().join("absent")), ..endpoint };
    let push = Push::start(tokenless, Protocol::RemoteWrite(None), None, now_ms() - 8_000);
    until("a missing token", || push.count(ExportResult::Credentials) > 0).await;
    assert_eq!(push.stats.samples()[2], ("dropped", 0));
    assert_eq!(receiver.seen().len(), requests);
}

#[tokio::test]
async fn otlp_over_http_is_taken_and_a_partial_success_is_counted() {
    let receiver = Receiver::new([says(503), says(200)]);
    let address = receiver.serve(None).await;
    let endpoint = Endpoint { url: format!("http://{address}/v1/metrics"), ..Endpoint::default() };
    let push = Push::start(endpoint, Protocol::OtlpHttp(Vec::new()), None, now_ms() - 8_000);
    until("points", || push.stats.samples()[0].1 > 50).await;
    let seen = &receiver.seen()[0];
    assert_eq!(seen.headers["content-encoding"], "gzip");
    assert_eq!(seen.headers["content-type"], "application/x-protobuf");
    assert_eq!(push.count(ExportResult::ServerError), 1);
    assert_eq!(seen.body, receiver.seen()[1].body);
}

/// A collector's gRPC end: refuses the first call for now, then takes everything and rejects a point of each.
async fn collector(calls: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: Request<Incoming>| {
        let calls = Arc::clone(&calls);
        async move {
            let (head, body) = request.into_parts();
            assert_eq!(head.uri.path(), "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
            let body = body.collect().await.unwrap().to_bytes();
            let is_first = lock(&calls).is_empty();
            lock(&calls).push((head.headers, body));
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", if is_first { "14" } else { "0" }.parse().unwrap());
            // Uncompressed, four bytes of message: partial_success { rejected_data_points: 1 }
            let message = Bytes::from_static(&[0, 0, 0, 0, 4, 0x0a, 0x02, 0x08, 0x01]);
            let frames = [Frame::data(if is_first { Bytes::new() } else { message }), Frame::trailers(trailers)];
            let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
            Ok::<_, Infallible>(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
        }
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(answer.clone())));
        }
    });
    address
}

#[tokio::test]
async fn otlp_over_grpc_is_sent_again_while_the_collector_is_unavailable() {
    let calls = Arc::default();
    let address = collector(Arc::clone(&calls)).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "secret").unwrap();
    let endpoint = Endpoint {
        url: format!("http://{address}"),
        token_file: Some(dir.path().join("token")),
        ..Endpoint::default()
    };
    let push = Push::start(endpoint, Protocol::OtlpGrpc(Vec::new()), None, now_ms() - 8_000);
    until("points", || push.stats.samples()[0].1 > 40).await;
    assert!(push.count(ExportResult::Partial) >= 1);
    assert_eq!(push.stats.samples()[2].1, push.count(ExportResult::Partial), "one point of each is rejected");
    assert_eq!(push.count(ExportResult::ServerError), 1, "{:?}", push.stats);
    let calls = lock(&calls);
    assert_eq!(calls[0].1, calls[1].1, "the same message");
    assert_eq!(calls[0].0["authorization"], "Bearer secret");
    let message = ExportMetricsServiceRequest::decode(&calls[0].1[5..]).unwrap();
    assert_eq!(message.resource_metrics.len(), 1);
}

#[test]
fn an_address_is_a_url_without_secrets() {
    let address = Address::parse("https://[::1]:9090/a?b=c").unwrap();
    assert_eq!((address.host.as_str(), address.place().as_str()), ("::1", "[::1]:9090"));
    assert_eq!((address.is_tls, address.path.as_str()), (true, "/a?b=c"));
    let address = Address::parse("http://prometheus").unwrap();
    assert_eq!((address.port, address.path.as_str()), (80, "/"));
    assert!(Address::parse("http://user:secret@host/").unwrap_err().contains("put them into a file"));
    for wrong in ["", "host:9090", "ftp://host", "http://", "/api"] {
        assert!(Address::parse(wrong).is_err(), "{wrong}");
    }
}
