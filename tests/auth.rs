//! Who is let in, over real TLS sockets: everything that must be refused is, without one byte of what was asked for.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod fake_api_server;
mod tls_client;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use fake_api_server::FakeApiServer;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use ringside::auth::certificates::{ServingCert, Stamp, each_change};
use ringside::auth::chain::Authority;
use ringside::auth::https::{self, Body, Handler, Peer};
use ringside::auth::listen::Bounds;
use ringside::auth::requestheader::ApiServerTrust;
use ringside::auth::{Attributes, Authenticator, Authorizer, Identity, status};
use serde_json::json;
use tls_client::{Answer, Pair, TestCa, get};
use tokio::runtime::Runtime;

const METRICS: &str = "container_cpu_usage_seconds_total 1\n";
const AUDIENCE: &str = "ringside-aggregator";
const RIGHT: &str = "get nodes/metrics";

/// Answers with metrics whoever is let in, and remembers who that was.
struct Metrics {
    authenticator: Authenticator,
    authorizer: Authorizer,
    seen: Mutex<Vec<Identity>>,
}

impl Metrics {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        if request.uri().path() == "/body" {
            return match https::read_body(request, 1 << 20, Duration::from_secs(30)).await {
                Ok(body) => status::whole(StatusCode::OK, "text/plain", body.len().to_string()),
                Err(error) => error.response(),
            };
        }
        let identity = match self.authenticator.authenticate(&peer, request.headers()).await {
            Ok(identity) => identity,
            Err(denied) => return denied.response(),
        };
        let attributes = Attributes::Resource {
            verb: "get".into(),
            group: String::new(),
            version: "v1".into(),
            resource: "nodes".into(),
            subresource: "metrics".into(),
            namespace: String::new(),
            name: "n1".into(),
        };
        self.seen.lock().unwrap().push(identity.clone());
        match self.authorizer.authorize(&identity, &attributes).await {
            Ok(()) => status::whole(StatusCode::OK, "text/plain", METRICS),
            Err(denied) => denied.response(),
        }
    }
}

impl Handler for Metrics {
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(async move { self.answer(request, peer).await })
    }
}

/// A server that asks a stand-in for the API server, with authorities for clients and for the front proxy.
struct Lab {
    runtime: Runtime,
    api: FakeApiServer,
    address: SocketAddr,
    certificate: ServingCert,
    metrics: Arc<Metrics>,
    proxies: TestCa,
    clients: TestCa,
}

fn lab() -> Lab {
    lab_with(Bounds::default())
}

fn lab_with(bounds: Bounds) -> Lab {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (proxies, clients) = (TestCa::new("proxies"), TestCa::new("clients"));
    let entered = runtime.enter();
    let api = runtime.block_on(FakeApiServer::start());
    let trust = json!({ "metadata": { "name": "extension-apiserver-authentication" }, "data": {
        "client-ca-file": clients.pem,
        "requestheader-client-ca-file": proxies.pem,
        "requestheader-allowed-names": "[\"front-proxy-client\"]",
        "requestheader-username-headers": "[\"X-Remote-User\"]",
        "requestheader-group-headers": "[\"X-Remote-Group\"]",
        "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
    }});
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    api.state().objects.insert(path.to_owned(), trust);
    let authenticator = Authenticator::new()
        .with_front_proxy(runtime.block_on(ApiServerTrust::follow(api.client())))
        .with_token_reviews(api.client(), &[AUDIENCE.to_owned()]);
    let authorizer = Authorizer::by_api_server(api.client());
    let metrics = Arc::new(Metrics { authenticator, authorizer, seen: Mutex::default() });
    let certificate = ServingCert::self_signed(&["localhost".to_owned()]).unwrap();
    let listener = https::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let handler: Arc<dyn Handler> = Arc::clone(&metrics) as _;
    let served = https::serve(listener, certificate.clone(), bounds, handler, std::future::pending());
    tokio::spawn(async move { served.await.unwrap() });
    drop(entered);
    Lab { runtime, api, address, certificate, metrics, proxies, clients }
}

impl Lab {
    fn get(&self, identity: Option<&Pair>, headers: &[(&str, &str)]) -> Answer {
        get(self.address, "/metrics", identity, headers)
    }

    fn with_token(&self, token: &str) -> Answer {
        self.get(None, &[("Authorization", &format!("Bearer {token}"))])
    }

    fn reviews(&self) -> usize {
        self.api.state().token_reviews.len()
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&body["kind"], &body["apiVersion"]), (&json!("Status"), &json!("v1")), "{body}");
    assert_eq!((&body["status"], &body["code"]), (&json!("Failure"), &json!(status)), "{body}");
    assert_eq!(body["reason"], json!(reason), "{body}");
    assert!(!answer.body.contains("container_"), "{answer:?}");
    assert_eq!(answer.head.contains("www-authenticate: bearer"), status == 401, "{}", answer.head);
}

#[track_caller]
fn let_in(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (200, METRICS), "{answer:?}");
}

#[test]
fn nobody_is_let_in_without_a_credential_or_with_a_damaged_one() {
    let lab = lab();
    refused(&lab.get(None, &[]), 401, "Unauthorized");
    for authorization in ["Bearer", "Bearer ", "Basic YTpi", "abc", "Bearer a b", "bearer\u{e9}x y"] {
        refused(&lab.get(None, &[("Authorization", authorization)]), 401, "Unauthorized");
    }
    refused(&lab.get(None, &[("Authorization", "Bearer a"), ("Authorization", "Bearer b")]), 401, "Unauthorized");
    assert_eq!(lab.reviews(), 0, "nothing of this is a token to ask about");
    refused(&lab.with_token("garbage"), 401, "Unauthorized");
    refused(&lab.with_token("a.b.c"), 401, "Unauthorized");
    assert_eq!(lab.reviews(), 2);
    assert_eq!(lab.metrics.seen.lock().unwrap().len(), 0);
}

#[test]
fn a_token_is_good_for_its_audience_and_its_users_rights_only() {
    let lab = lab();
    lab.api.know("good", "scraper", &[AUDIENCE]);
    lab.api.know("poor", "stranger", &[AUDIENCE]);
    lab.api.know("elsewhere", "scraper", &["https://kubernetes.default.svc"]);
    lab.api.know("nowhere", "scraper", &[]);
    lab.api.allow(&format!("scraper {RIGHT}"));
    let_in(&lab.with_token("good"));
    refused(&lab.with_token("elsewhere"), 401, "Unauthorized");
    refused(&lab.with_token("nowhere"), 401, "Unauthorized");
    let answer = lab.with_token("poor");
    refused(&answer, 403, "Forbidden");
    let said = "nodes \\\"n1\\\" is forbidden: User \\\"stranger\\\" cannot get resource \\\"nodes/metrics\\\" \
                in API group \\\"\\\" at the cluster scope";
    assert!(answer.body.contains(said), "{}", answer.body);
    let state = lab.api.state();
    assert_eq!(state.token_reviews[0]["audiences"], json!([AUDIENCE]));
    let asked = &state.access_reviews[0];
    assert_eq!(asked["user"], "scraper");
    assert_eq!(asked["extra"]["authentication.kubernetes.io/node-name"], json!(["n1"]));
    let want = json!({ "verb": "get", "version": "v1", "resource": "nodes", "subresource": "metrics", "name": "n1" });
    assert_eq!(asked["resourceAttributes"], want);
}

#[test]
fn an_answer_is_remembered_but_never_longer_than_the_token_lives() {
    let lab = lab();
    let claims = |lives: u64| {
        let ends = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + lives;
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json!({ "exp": ends }).to_string());
        format!("e30.{text}.c2ln")
    };
    let (short, long) = (claims(2), claims(3600));
    for token in [&short, &long] {
        lab.api.know(token, "scraper", &[AUDIENCE]);
    }
    lab.api.allow(&format!("scraper {RIGHT}"));
    for _ in 0..3 {
        let_in(&lab.with_token(&short));
        let_in(&lab.with_token(&long));
    }
    assert_eq!((lab.reviews(), lab.api.state().access_reviews.len()), (2, 1));
    // Both are revoked. The one is believed for its minute, the other not a moment beyond its end.
    lab.api.state().tokens.clear();
    std::thread::sleep(Duration::from_millis(2100));
    let_in(&lab.with_token(&long));
    refused(&lab.with_token(&short), 401, "Unauthorized");
    refused(&lab.with_token(&short), 401, "Unauthorized");
    assert_eq!(lab.reviews(), 3, "the refusal is remembered, too");
}

#[test]
fn a_certificate_is_an_identity_if_the_clusters_authority_signed_it() {
    let lab = lab();
    lab.api.allow(&format!("admin {RIGHT}"));
    let_in(&lab.get(Some(&lab.clients.client("admin", Some("system:masters"))), &[]));
    let seen = lab.metrics.seen.lock().unwrap().clone();
    assert_eq!(seen[0].user, "admin");
    assert_eq!(seen[0].groups, ["system:masters", "system:authenticated"]);
    let strange = TestCa::new("clients");
    for (what, pair) in [
        ("another authority of the same name", strange.client("admin", None)),
        ("its own signature", tls_client::self_signed_client("admin")),
        ("an expired certificate", lab.clients.client_until("admin", None, 2001)),
        ("the front proxy's authority, without headers", lab.proxies.client("front-proxy-client", None)),
    ] {
        let answer = lab.get(Some(&pair), &[]);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        refused(&answer, 401, "Unauthorized");
    }
    refused(&lab.get(Some(&lab.clients.client("nobody", None)), &[]), 403, "Forbidden");
    // A certificate that is no identity does no harm to a token beside it.
    lab.api.know("good", "admin", &[AUDIENCE]);
    let_in(&lab.get(Some(&tls_client::self_signed_client("x")), &[("Authorization", "Bearer good")]));
}

#[test]
fn forged_front_proxy_headers_are_ignored_and_those_of_the_front_proxy_believed() {
    let lab = lab();
    lab.api.allow(&format!("root {RIGHT}"));
    let forged = [("X-Remote-User", "root"), ("X-Remote-Group", "system:masters")];
    refused(&lab.get(None, &forged), 401, "Unauthorized");
    for (what, pair) in [
        ("wrong name", lab.proxies.client("front-proxy-clients", None)),
        ("wrong authority", TestCa::new("proxies").client("front-proxy-client", None)),
        ("own signature", tls_client::self_signed_client("front-proxy-client")),
        ("expired", lab.proxies.client_until("front-proxy-client", None, 2001)),
    ] {
        let answer = lab.get(Some(&pair), &forged);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        refused(&answer, 401, "Unauthorized");
    }
    // A user of the cluster stays who they are, whatever they write, even under the front proxy's name.
    for name in ["mallory", "front-proxy-client"] {
        refused(&lab.get(Some(&lab.clients.client(name, None)), &forged), 403, "Forbidden");
        assert_eq!(lab.metrics.seen.lock().unwrap().last().unwrap().user, name);
    }
    let headers = [
        ("X-Remote-User", "root"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", "b"),
        ("X-Remote-Extra-Authentication.kubernetes.io%2fnode-Name", "n7"),
        ("X-Remote-Extra-Scopes", "one"),
        ("X-Remote-Extra-Scopes", "two"),
    ];
    let proxy = lab.proxies.client("front-proxy-client", None);
    let_in(&lab.get(Some(&proxy), &headers));
    let seen = lab.metrics.seen.lock().unwrap().last().unwrap().clone();
    assert_eq!((seen.user.as_str(), seen.groups), ("root", vec!["a".to_owned(), "b".to_owned()]));
    let extra = BTreeMap::from([
        ("authentication.kubernetes.io/node-name".to_owned(), vec!["n7".to_owned()]),
        ("scopes".to_owned(), vec!["one".to_owned(), "two".to_owned()]),
    ]);
    assert_eq!(seen.extra, extra);
}

#[test]
fn what_is_not_tls_or_too_old_gets_no_metrics() {
    let lab = lab();
    let mut plain = TcpStream::connect(lab.address).unwrap();
    plain.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let answer = tls_client::read_answer(&mut plain).unwrap();
    let want = (400, "Client sent an HTTP request to an HTTPS server.\n");
    assert_eq!((answer.status, answer.body.as_str()), want);

    // A hello of TLS 1.1: record, handshake, version 3.2, random, no session, three suites, no compression.
    let mut hello = vec![0x03, 0x02];
    hello.extend([7; 32]);
    hello.extend([0, 0, 6, 0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f, 1, 0]);
    let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
    message.extend(hello);
    let mut record = vec![22, 3, 1, 0, u8::try_from(message.len()).unwrap()];
    record.extend(message);
    let mut old = TcpStream::connect(lab.address).unwrap();
    old.write_all(&record).unwrap();
    let mut said = Vec::new();
    old.read_to_end(&mut said).unwrap();
    // An alert (21), fatal (2): handshake failure (40).
    assert_eq!((said.first(), &said[5..]), (Some(&21), [2, 40].as_slice()));

    let mut noise = TcpStream::connect(lab.address).unwrap();
    noise.write_all(&[22, 3, 3, 0x40, 0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
    noise.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = Vec::new();
    let _ = noise.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("container_"));
}

#[test]
fn half_open_handshakes_are_closed_and_keep_nobody_out() {
    let lab = lab_with(Bounds { handshake: Duration::from_millis(300), ..Bounds::default() });
    lab.api.know("good", "scraper", &[AUDIENCE]);
    lab.api.allow(&format!("scraper {RIGHT}"));
    let mut silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(lab.address).unwrap()).collect();
    for (index, stream) in silent.iter_mut().enumerate() {
        // Every other one begins a record and stops.
        if index % 2 == 0 {
            stream.write_all(&[22, 3, 1]).unwrap();
        }
    }
    let_in(&lab.with_token("good"));
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let closed = match stream.read(&mut [0; 16]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(closed, "a connection without a handshake is still open");
    }
}

#[test]
fn one_address_cannot_take_all_connections() {
    let lab = lab_with(Bounds { per_address: 3, ..Bounds::default() });
    let held: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = tls_client::connect(lab.address, tls_client::config(None));
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        })
        .collect();
    assert!(tls_client::try_get(lab.address, "/metrics", tls_client::config(None), &[]).is_err());
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(20);
    while tls_client::try_get(lab.address, "/metrics", tls_client::config(None), &[]).is_err() {
        assert!(Instant::now() < deadline, "the places are not given back");
    }
}

#[test]
fn a_thousand_random_tokens_cost_the_api_server_twenty_reviews_a_second() {
    let lab = lab();
    lab.api.know("good", "scraper", &[AUDIENCE]);
    lab.api.allow(&format!("scraper {RIGHT}"));
    let_in(&lab.with_token("good"));
    let _entered = lab.runtime.enter();
    let reviews = ringside::auth::tokens::TokenReviews::new(lab.api.client(), &[AUDIENCE.to_owned()]);
    let before = lab.reviews();
    let begun = Instant::now();
    let denied = lab.runtime.block_on(async {
        let asked = (0..1000).map(|index| {
            let reviews = reviews.clone();
            tokio::spawn(async move { reviews.identity(&format!("random-{index}")).await })
        });
        let mut denied = [0, 0];
        for asked in asked.collect::<Vec<_>>() {
            match asked.await.unwrap().unwrap_err() {
                ringside::auth::Denied::Unauthenticated(_) => denied[0] += 1,
                ringside::auth::Denied::Unavailable(_) => denied[1] += 1,
                other @ ringside::auth::Denied::Forbidden(_) => panic!("{other:?}"),
            }
        }
        denied
    });
    let most = 20.0 * (1.0 + begun.elapsed().as_secs_f64());
    let asked = lab.reviews() - before;
    assert!(asked >= 20 && f64::from(u32::try_from(asked).unwrap()) <= most, "{asked} reviews, at most {most}");
    assert_eq!((denied[0], denied[1]), (asked, 1000 - asked));
    // Who is known already does not notice.
    let_in(&lab.with_token("good"));
}

#[test]
fn one_question_is_asked_for_many_who_bring_the_same_token_at_once() {
    let lab = lab();
    lab.api.know("good", "scraper", &[AUDIENCE]);
    let _entered = lab.runtime.enter();
    let reviews = ringside::auth::tokens::TokenReviews::new(lab.api.client(), &[AUDIENCE.to_owned()]);
    let users = lab.runtime.block_on(async {
        let asked: Vec<_> = (0..50)
            .map(|_| {
                let reviews = reviews.clone();
                tokio::spawn(async move { reviews.identity("good").await.unwrap().user })
            })
            .collect();
        let mut users = Vec::new();
        for asked in asked {
            users.push(asked.await.unwrap());
        }
        users
    });
    assert_eq!(users, vec!["scraper"; 50]);
    assert_eq!(lab.reviews(), 1);
}

#[test]
fn without_the_api_server_nobody_new_is_let_in() {
    let lab = lab();
    lab.api.know("good", "scraper", &[AUDIENCE]);
    lab.api.allow(&format!("scraper {RIGHT}"));
    let_in(&lab.with_token("good"));
    lab.api.state().broken = true;
    let_in(&lab.with_token("good"));
    let answer = lab.with_token("other");
    refused(&answer, 503, "ServiceUnavailable");
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
}

#[test]
fn a_body_is_taken_whole_or_refused_for_what_is_wrong_with_it() {
    let lab = lab();
    let send = |head: &str, body: &[u8]| {
        let mut stream = tls_client::connect(lab.address, tls_client::config(None));
        let head = format!("POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // The server may close before it has taken everything.
        let _ = stream.write_all(body);
        tls_client::read_answer(&mut stream).unwrap()
    };
    let answer = send("Content-Length: 100000", &[7; 100_000]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "100000"));
    let answer = send("Content-Length: 1048577", b"");
    refused(&answer, 413, "RequestEntityTooLarge");
    assert!(answer.body.contains("more than 1048576 bytes; send less at once"), "{}", answer.body);
    let mut chunks = Vec::new();
    for _ in 0..17 {
        chunks.extend_from_slice(b"10000\r\n");
        chunks.extend_from_slice(&[7; 0x10000]);
        chunks.extend_from_slice(b"\r\n");
    }
    refused(&send("Transfer-Encoding: chunked", &chunks), 413, "RequestEntityTooLarge");
    refused(&send("Transfer-Encoding: chunked", b"zz\r\n"), 400, "BadRequest");
    // Ten of a thousand bytes, and then nothing more: given up on after two seconds, not after thirty.
    let begun = Instant::now();
    refused(&send("Content-Length: 1000", &[7; 10]), 408, "Timeout");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn bodies_that_trickle_are_given_up_and_keep_nobody_waiting() {
    let lab = lab();
    lab.api.know("good", "scraper", &[AUDIENCE]);
    lab.api.allow(&format!("scraper {RIGHT}"));
    let mut trickling: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = tls_client::connect(lab.address, tls_client::config(None));
            stream
                .write_all(b"POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n")
                .unwrap();
            stream
        })
        .collect();
    for stream in &mut trickling {
        stream.write_all(b"1").unwrap();
    }
    let_in(&lab.with_token("good"));
    for mut stream in trickling {
        refused(&tls_client::read_answer(&mut stream).unwrap(), 408, "Timeout");
    }
}

#[test]
fn a_certificate_is_replaced_while_it_is_served() {
    let lab = lab();
    let shown = || {
        let mut stream = tls_client::connect(lab.address, tls_client::config(None));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let _ = tls_client::read_answer(&mut stream);
        stream.conn.peer_certificates().unwrap()[0].clone()
    };
    let before = lab.certificate.leaf().unwrap();
    assert_eq!(shown(), before);
    let other = tls_client::self_signed_client("other");
    lab.certificate.replace("test", other.certificate.as_bytes(), other.key.as_bytes()).unwrap();
    let after = shown();
    assert_ne!(after, before);
    assert_eq!(after, lab.certificate.leaf().unwrap());
    // A key of another pair is refused, and the old pair is shown on.
    let strange = tls_client::self_signed_client("other");
    let error = lab.certificate.replace("test", other.certificate.as_bytes(), strange.key.as_bytes()).unwrap_err();
    assert!(error.to_string().starts_with("test: "), "{error}");
    assert_eq!(shown(), after);
}

#[tokio::test]
async fn files_that_change_are_noticed_also_by_a_symbolic_link_that_is_turned() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, link) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("link"));
    std::fs::write(&a, "1").unwrap();
    std::fs::write(&b, "1").unwrap();
    std::os::unix::fs::symlink(&a, &link).unwrap();
    let paths = vec![link.clone()];
    let (told, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let tell = move || told.send(()).unwrap();
    let watching = tokio::spawn(each_change(paths.clone(), Stamp::of(&paths), Duration::from_millis(5), tell));
    let turned = folder.path().join("turned");
    std::os::unix::fs::symlink(&b, &turned).unwrap();
    std::fs::rename(&turned, &link).unwrap();
    changes.recv().await.unwrap();
    std::fs::write(&b, "22").unwrap();
    changes.recv().await.unwrap();
    std::fs::remove_file(&b).unwrap();
    changes.recv().await.unwrap();
    watching.abort();
}

#[test]
fn outside_of_kubernetes_who_is_known_may_read_and_nothing_else() {
    let clients = TestCa::new("own");
    let authenticator =
        Authenticator::new().with_client_authority(Authority::from_pem(clients.pem.as_bytes()).unwrap());
    assert!(authenticator.knows_anybody() && !Authenticator::new().knows_anybody());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let identity = Identity { user: "prometheus".to_owned(), ..Identity::default() };
    let path = |verb: &str| Attributes::Path { verb: verb.to_owned(), path: "/metrics".to_owned() };
    let may = |verb| runtime.block_on(Authorizer::known_may_read().authorize(&identity, &path(verb)));
    assert_eq!(may("get"), Ok(()));
    let said = "forbidden: User \"prometheus\" cannot create path \"/metrics\"";
    assert_eq!(may("create").unwrap_err().to_string(), said);
}
