//! The aggregator beside clients that lie, flood and dawdle: what each is told, and that nobody else notices.
//!
//! In: the real binary behind a stand-in for the API server, and requests as the front proxy sends them or straight. Out:
//! the answers, the victim's values as others read them, the process's memory and log. Latencies of a bystander are
//! printed, not judged.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and its figures are for people"
)]

mod besieged;
mod fake_api_server;
mod tls_client;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use besieged::bystander::Bystander;
use besieged::client::{self, Answer};
use besieged::{AGENT, Besieged, NODE_NAME, NODE_UID, NODES, POD_NAME, POD_UID, PODS, VICTIM, node, now, snapshot};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ringside::uplink::wire::Encoder;
use serde_json::json;
use tls_client::TestCa;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const OWN: (&str, &str, &str) = ("shop", "own", "uid-own");
const STOLEN: (&str, &str, &str) = ("shop", "victim", "uid-victim");
const FORGED_MEMORY: u64 = 9 << 30;

/// A push that stands alone, of a run of its own.
fn forged(of: &str, pods: &[(&str, &str, &str)]) -> Bytes {
    Encoder::new(of, now()).push(&[snapshot(now(), pods, 1, FORGED_MEMORY)], true).into()
}

/// A push with these headers of the front proxy.
async fn push_as(besieged: &Besieged, path: &str, extras: &[(&str, &str)], body: Bytes) -> Answer {
    let headers: Vec<_> = [("x-remote-user", AGENT)].into_iter().chain(extras.iter().copied()).collect();
    besieged.front().await.send("POST", &besieged::samples_of(path), &headers, body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_speaks_for_itself_only() {
    let mut besieged = Besieged::start().await;
    let a = [(NODE_NAME, "node-0")];

    // Another node's name, in the path and in the push.
    let answer = push_as(&besieged, "home", &a, forged("home", &[STOLEN])).await;
    assert!(answer.refusal(403, "Forbidden").contains("speaks for node node-0, and the path names node home"));
    let answer = push_as(&besieged, "node-0", &a, forged("home", &[STOLEN])).await;
    assert!(answer.refusal(403, "Forbidden").contains("the push names node home"));
    assert_eq!(besieged.refused("other_node").await, 2);
    besieged.victim_is_unchanged("pushes in another node's name").await;

    // A pod that runs elsewhere.
    let answer = push_as(&besieged, "node-0", &a, forged("node-0", &[OWN, STOLEN])).await;
    assert_eq!((answer.status, &answer.json()["refused"]), (200, &json!(2)), "the pod and its container");
    assert_eq!(besieged.refused("pod_of_other_node").await, 2);
    besieged.victim_is_unchanged("a push of its pod by another node").await;

    // A pod that there is not.
    let invented = ("shop", "invented", "uid-invented");
    assert_eq!(push_as(&besieged, "node-0", &a, forged("node-0", &[invented])).await.json()["refused"], json!(2));
    assert_eq!(besieged.refused("pod_unknown").await, 2);
    let path = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/invented";
    assert_eq!(
        besieged.get(path).await.refusal(404, "NotFound"),
        "podmetrics.metrics.k8s.io \"shop/invented\" not found"
    );

    // The right name with another UID, and the right UID by another name.
    let pods = [("shop", "victim", "uid-forged"), ("shop", "other", "uid-victim")];
    assert_eq!(push_as(&besieged, "node-0", &a, forged("node-0", &pods)).await.json()["refused"], json!(4));
    assert_eq!((besieged.refused("pod_wrong_uid").await, besieged.refused("pod_wrong_name").await), (2, 2));
    besieged.victim_is_unchanged("pods with the wrong UID").await;

    // A token of the victim's agent, shown from elsewhere: it speaks for the victim's node only, and for none when its
    // pod is gone.
    let stolen = [(POD_NAME, "agent-home"), (POD_UID, "uid-agent-home")];
    let answer = push_as(&besieged, "node-0", &stolen, forged("node-0", &[STOLEN])).await;
    assert!(answer.refusal(403, "Forbidden").contains("speaks for node home, and the path names node node-0"));
    assert_eq!(besieged.refused("other_node").await, 3);
    besieged.api.tell(PODS, "DELETED", &besieged::pod("ringside", "agent-home", "home"));
    let mut answer = push_as(&besieged, "home", &stolen, Bytes::from_static(b"?")).await;
    while answer.status == 400 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = push_as(&besieged, "home", &stolen, Bytes::from_static(b"?")).await;
    }
    assert!(answer.refusal(403, "Forbidden").contains("which does not exist (any more)"));
    let answer = push_as(&besieged, "home", &stolen, forged("home", &[STOLEN])).await;
    assert!(answer.refusal(403, "Forbidden").contains("pod ringside/agent-home with UID uid-agent-home"));
    assert_eq!(besieged.refused("unknown_pod_in_token").await, 2);
    besieged.victim_is_unchanged("a token of its agent").await;

    // A node that is deleted, and one made anew by its name.
    let late = [(NODE_NAME, "node-1"), (NODE_UID, "uid-node-1")];
    besieged.api.tell(NODES, "DELETED", &node("node-1"));
    while push_as(&besieged, "node-1", &late, Bytes::from_static(b"?")).await.status == 400 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = besieged.refused("unknown_node").await;
    let answer = push_as(&besieged, "node-1", &late, forged("node-1", &[])).await;
    assert!(answer.refusal(403, "Forbidden").contains("node-1, which does not exist (any more)"));
    let mut anew = node("node-1");
    anew["metadata"]["uid"] = json!("uid-anew");
    besieged.api.tell(NODES, "ADDED", &anew);
    let now_there = [(NODE_NAME, "node-1"), (NODE_UID, "uid-anew")];
    while push_as(&besieged, "node-1", &now_there, Bytes::from_static(b"?")).await.status != 400 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let between = besieged.refused("unknown_node").await;
    push_as(&besieged, "node-1", &late, forged("node-1", &[])).await.refusal(403, "Forbidden");
    assert_eq!(besieged.refused("unknown_node").await, between + 1);
    assert!(between > before);
    besieged.victim_is_unchanged("pushes of a node that is gone").await;
    besieged.stood_firm();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_by_what_he_says_of_himself() {
    let mut besieged = Besieged::start().await;
    let other_ca = TestCa::new("front-proxy-ca");
    let until_last_year = besieged.ca.client_until("front-proxy", None, 2020);
    let strangers = [
        ("no certificate", None),
        ("another authority of the same name", Some(other_ca.client("front-proxy", None))),
        ("another name", Some(besieged.ca.client("not-the-front-proxy", Some("system:masters")))),
        ("signed by itself", Some(tls_client::self_signed_client("front-proxy"))),
        ("a certificate of long ago", Some(until_last_year)),
        ("a replica's name", Some(besieged.ca.client("ringside-aggregator-peer", None))),
    ];
    let headers = [("x-remote-user", AGENT), ("x-remote-group", "system:masters"), (NODE_NAME, "home")];
    for (who, pair) in &strangers {
        let config = tls_client::config(pair.as_ref());
        for path in [
            VICTIM,
            "/apis/metrics.k8s.io/v1beta1/pods?watch=true",
            "/metrics",
            "/apis",
            "/openapi/v2",
            "/internal/snapshot",
        ] {
            // TLS may refuse such a certificate itself; then there is no answer at all.
            let Ok(stream) = client::open(besieged.address, Arc::clone(&config), None).await else { continue };
            drop(stream);
            let mut head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n");
            headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
            head.push_str("\r\n");
            let answer = client::raw(besieged.address, Arc::clone(&config), head.as_bytes(), false).await.unwrap();
            let Some(answer) = answer else { continue };
            let reason = if path.starts_with("/internal/") { (403, "Forbidden") } else { (401, "Unauthorized") };
            if path.starts_with("/internal/") {
                assert!(matches!(answer.status, 401 | 403 | 404), "{who}, {path}: {answer:?}");
            } else {
                answer.refusal(reason.0, reason.1);
            }
            for word in ["300Mi", "victim", "node-0", "ringside_aggregator"] {
                assert!(!answer.text.contains(word), "{who}, {path}: {answer:?}");
            }
        }
        let mut client = match client::open(besieged.address, Arc::clone(&config), None).await {
            Ok(_) => client::Client::connect(besieged.address, config, None).await,
            Err(_) => continue,
        };
        if let Ok(answer) =
            client.send("POST", &besieged::samples_of("home"), &headers, forged("home", &[STOLEN])).await
        {
            answer.refusal(401, "Unauthorized");
        }
        besieged.victim_is_unchanged(who).await;
    }

    let good = |audience: &str| {
        json!({ "authenticated": true, "audiences": [audience], "user": {
            "username": AGENT, "groups": ["system:authenticated"],
            "extra": { "authentication.kubernetes.io/node-name": ["node-0"] },
        } })
    };
    let tokens = [
        ("expired", json!({ "authenticated": false, "error": "service account token has expired" }), 401),
        ("revoked", json!({ "authenticated": false, "error": "pod has been deleted" }), 401),
        ("of-another-audience", good("https://kubernetes.default.svc"), 401),
        ("without-a-word", json!({}), 401),
        ("good", good("ringside-aggregator"), 200),
    ];
    for (token, status, code) in tokens {
        besieged.api.state().tokens.insert(token.to_owned(), status);
        let bearer = format!("Bearer {token}");
        // What only the front proxy may say, says nothing beside a token.
        let headers = [("authorization", &*bearer), ("x-remote-user", AGENT), (NODE_NAME, "home")];
        let mut client = client::Client::connect(besieged.address, tls_client::config(None), None).await;
        let answer =
            client.send("POST", &besieged::samples_of("node-0"), &headers, forged("node-0", &[OWN])).await.unwrap();
        assert_eq!(answer.status, code, "{token}: {answer:?}");
        if code == 401 {
            answer.refusal(401, "Unauthorized");
            assert!(!answer.text.contains(token) || token == "expired" || token == "revoked", "{answer:?}");
        }
        let answer =
            client.send("POST", &besieged::samples_of("home"), &headers, forged("home", &[STOLEN])).await.unwrap();
        assert_eq!(answer.status, if code == 200 { 403 } else { 401 }, "{token}: {answer:?}");
    }
    besieged.victim_is_unchanged("tokens that are not good").await;
    besieged.stood_firm();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_cannot_be_answered_gets_a_status_that_says_why() {
    let mut besieged = Besieged::start().await;
    let pods = "/apis/metrics.k8s.io/v1beta1/pods";
    let selectors = [
        ("labelSelector=app%20in%20(a", "\"app in (a\""),
        ("labelSelector=%3D%3D%3D", "\"===\""),
        ("labelSelector=a%00b", "cannot be read"),
        ("labelSelector=!", "\"!\""),
        ("fieldSelector=spec.nodeName%3Dx", "spec.nodeName"),
        ("fieldSelector=metadata.name", "metadata.name"),
    ];
    for (query, said) in selectors {
        let message = besieged.get(&format!("{pods}?{query}")).await.refusal(400, "BadRequest");
        assert!(message.contains(said), "{query}: {message}");
    }
    let many = vec!["a"; 5_000].join(",");
    let message = besieged.get(&format!("{pods}?labelSelector={many}")).await.refusal(400, "BadRequest");
    assert!(message.contains("at most 256"), "{message}");

    for path in [
        "/nothing",
        "/api/v1/secrets",
        "/apis/nothing.k8s.io/v1/pods",
        "/apis/metrics.k8s.io/v9/pods",
        "/apis/metrics.k8s.io/v1beta1/secrets",
        "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/victim/status",
        "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/..%2f..%2fvictim",
        "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/absent",
        "//apis/metrics.k8s.io",
        "/apis/../metrics",
    ] {
        let message = besieged.get(path).await.refusal(404, "NotFound");
        assert!(message.contains("could not find") || message.contains("not found"), "{path}: {message}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let message = besieged.ask(method, pods, &[]).await.refusal(405, "MethodNotAllowed");
        assert!(message.contains(method) && message.contains("GET"), "{message}");
    }
    let message = besieged.ask("GET", &besieged::samples_of("home"), &[]).await.refusal(405, "MethodNotAllowed");
    assert!(message.contains("POST"), "{message}");
    for accept in ["image/png", "text/html", "application/xml, text/csv;q=1"] {
        let message = besieged.ask("GET", pods, &[("accept", accept)]).await.refusal(406, "NotAcceptable");
        assert!(message.contains("application/json"), "{message}");
    }
    // Nobody is sent elsewhere.
    let answer = besieged.ask("GET", "/apis/metrics.k8s.io/v1beta1/", &[("x-forwarded-host", "evil")]).await;
    assert_eq!(answer.status, 200);
    besieged.victim_is_unchanged("questions that cannot be answered").await;
    besieged.stood_firm();
}

/// For how long each flood goes on.
const FLOOD: Duration = Duration::from_secs(2);

/// Sends `bodies` one after another, again and again, as the agent of `node`; each answer is judged.
async fn flood(besieged: &Besieged, node: &str, bodies: &[Bytes], judge: impl Fn(usize, &Answer)) {
    let (path, headers) = (besieged::samples_of(node), [("x-remote-user", AGENT), (NODE_NAME, node)]);
    let mut client = besieged.front().await;
    let began = Instant::now();
    for round in 0.. {
        for (at, body) in bodies.iter().enumerate() {
            if round > 0 && began.elapsed() > FLOOD {
                return;
            }
            let answer = client.send("POST", &path, &headers, body.clone()).await.unwrap();
            if answer.status == 429 {
                let message = answer.refusal(429, "TooManyRequests");
                assert!(message.contains("more than its share"), "{message}");
                assert!(answer.retry_after.unwrap().parse::<u32>().unwrap() >= 1);
                tokio::time::sleep(Duration::from_millis(5)).await;
            } else {
                judge(at, &answer);
            }
        }
    }
}

/// The head of a push as raw text, up to its length.
fn head(node: &str, more: &str) -> String {
    let path = besieged::samples_of(node);
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nx-remote-user: {AGENT}\r\n{NODE_NAME}: {node}\r\n{more}\r\n\r\n")
}

/// Sends raw bytes for as long as a flood lasts; each answer must be this refusal.
async fn flood_raw(besieged: &Besieged, bytes: &[u8], code: u16, reason: &str) {
    let config = tls_client::config(Some(&besieged.proxy));
    let began = Instant::now();
    while began.elapsed() < FLOOD {
        let answer = client::raw(besieged.address, Arc::clone(&config), bytes, false).await.unwrap();
        answer.expect("an answer").refusal(code, reason);
    }
}

/// Numbers that look like chance and are the same each time.
fn random_bytes(seed: u64, many: usize) -> Bytes {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..many).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_is_refused_and_others_are_served_from_little_memory() {
    let mut besieged = Besieged::start().await;
    let mut bystander = Bystander::new(&besieged);
    bystander.beside(&besieged, "none", tokio::time::sleep(FLOOD)).await;

    let declared = head("node-0", "content-length: 10737418240");
    let attack = flood_raw(&besieged, declared.as_bytes(), 413, "RequestEntityTooLarge");
    bystander.beside(&besieged, "10 GiB declared", attack).await;

    let mut endless = head("node-0", "transfer-encoding: chunked").into_bytes();
    for _ in 0..64 {
        endless.extend_from_slice(b"8000\r\n");
        endless.extend_from_slice(&[0; 0x8000]);
        endless.extend_from_slice(b"\r\n");
    }
    let attack = flood_raw(&besieged, &endless, 413, "RequestEntityTooLarge");
    bystander.beside(&besieged, "more than 1 MiB in chunks", attack).await;

    // A body that would be a thousand times as large: said to be packed, and not said.
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&vec![0; 64 << 20]).unwrap();
    let bomb = packer.finish().unwrap();
    let mut said = head("node-0", &format!("content-encoding: gzip\r\ncontent-length: {}", bomb.len())).into_bytes();
    said.extend_from_slice(&bomb);
    let attack = flood_raw(&besieged, &said, 415, "UnsupportedMediaType");
    bystander.beside(&besieged, "gzip bomb", attack).await;
    let message = besieged.push("node-0", bomb.into()).await.refusal(400, "BadRequest");
    assert!(message.contains("push"), "{message}");

    let good = forged("node-1", &[]);
    let cut: Vec<Bytes> = (0..good.len()).map(|end| good.slice(..end)).collect();
    let attack = flood(&besieged, "node-1", &cut, |at, answer| {
        // Cut between two fields it is another message: without a node, a sample, or the time of sending.
        match answer.status {
            200 => assert_eq!(at, good.len() - 9, "{answer:?}"),
            403 => drop(answer.refusal(403, "Forbidden")),
            422 => assert!(answer.refusal(422, "Invalid").contains("version")),
            _ => assert!(answer.refusal(400, "BadRequest").len() > 20),
        }
    });
    bystander.beside(&besieged, "truncated pushes", attack).await;

    let random: Vec<Bytes> = (1..200).map(|seed| random_bytes(seed, 37 * seed as usize)).collect();
    let attack = flood(&besieged, "node-2", &random, |_, answer| match answer.status {
        // The first bytes may happen to say a version.
        422 => assert!(answer.refusal(422, "Invalid").contains("version")),
        _ => assert!(answer.refusal(400, "BadRequest").contains("push"), "{answer:?}"),
    });
    bystander.beside(&besieged, "random bytes", attack).await;

    let mut unknown = good.to_vec();
    unknown[1] = 99;
    let unknown = [unknown.into()];
    let attack = flood(&besieged, "node-3", &unknown, |_, answer| {
        let message = answer.refusal(422, "Invalid");
        assert!(message.contains("99") && message.contains('1'), "{message}");
    });
    bystander.beside(&besieged, "unknown version", attack).await;

    bystander.beside(&besieged, "other times", other_times(&besieged)).await;
    bystander.beside(&besieged, "a million names", a_million(&besieged)).await;
    println!("{}", bystander.table());
    besieged.stood_firm();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_bodies_that_drip_are_given_up_and_others_are_served_from_little_memory() {
    let mut besieged = Besieged::start().await;
    let mut bystander = Bystander::new(&besieged);
    bystander.beside(&besieged, "none", tokio::time::sleep(FLOOD)).await;
    // They have pushed before: whether they may is known.
    for at in 0..besieged::ATTACKERS {
        let node = format!("node-{at}");
        assert_eq!(besieged.push(&node, forged(&node, &[])).await.status, 200);
    }
    let ended = bystander.beside(&besieged, "1,000 bodies of 1 B/s", dawdlers(&besieged, 1_000)).await;
    assert_eq!(ended, 1_000, "each is told that it is too slow, or hung up on");
    bystander.beside(&besieged, "none, afterwards", tokio::time::sleep(FLOOD)).await;
    println!("{}", bystander.table());
    // On a busy machine some do not get as far as their first byte.
    let too_slow = besieged.counted("ringside_aggregator_pushes_total{route=\"agent\",result=\"too_slow\"}").await;
    println!("given up as too slow: {too_slow}");
    assert!(too_slow > 0);
    besieged.stood_firm();
}

/// Pushes of the future and of long ago, twice, in the wrong order, and with counters that go back.
async fn other_times(besieged: &Besieged) {
    const HOUR: u64 = 3_600_000_000_000;
    const SECOND: u64 = 1_000_000_000;
    let push = async |node: &str, body: Vec<u8>| besieged.push(node, body.into()).await;
    let start = now() - 60 * SECOND;
    let sample = |at: u64, usec: u64| [snapshot(start + at * SECOND, &[OWN], usec, 1 << 20)];
    let one = |encoder: &mut Encoder, at: u64, usec: u64| encoder.push(&sample(at, usec), false);

    for wall in [now() + HOUR, u64::MAX / 2] {
        let body = Encoder::new("node-4", wall).push(&[snapshot(wall, &[], 1, 1)], true);
        let message = push("node-4", body).await.refusal(400, "BadRequest");
        assert!(message.contains("ahead") || message.contains("future"), "{message}");
    }
    for wall in [1, now() - 24 * HOUR] {
        let body = Encoder::new("node-5", wall).push(&[snapshot(wall, &[], 1, 1)], true);
        let answer = push("node-5", body).await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
        // What is too old is not served.
        besieged.get("/apis/metrics.k8s.io/v1beta1/nodes/node-5").await.refusal(404, "NotFound");
    }

    let mut encoder = Encoder::new("node-0", now());
    let (first, second) = (encoder.push(&sample(0, 1_000_000), true), one(&mut encoder, 10, 6_000_000));
    let (third, back) = (one(&mut encoder, 20, 11_000_000), one(&mut encoder, 30, 0));
    let accepted = |answer: &Answer| (answer.status, answer.json()["accepted"].as_u64().unwrap());
    assert_eq!(accepted(&push("node-0", first.clone()).await), (200, 1));
    push("node-0", third.clone()).await.refusal(409, "Conflict");
    assert_eq!(accepted(&push("node-0", second.clone()).await), (200, 1));
    for body in [&first, &second, &first] {
        assert_eq!(accepted(&push("node-0", body.clone()).await), (200, 0), "twice");
    }
    assert_eq!(accepted(&push("node-0", third).await), (200, 1));
    let own = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/own";
    let cpu = async || besieged.get(own).await.json()["containers"][0]["usage"]["cpu"].clone();
    assert_eq!(cpu().await, json!("500m"));
    assert_eq!(accepted(&push("node-0", back).await), (200, 1));
    // A counter that went back has no rate, rather than a huge one.
    besieged.get(own).await.refusal(404, "NotFound");
    assert_eq!(accepted(&push("node-0", one(&mut encoder, 40, 5_000_000)).await), (200, 1));
    assert_eq!(cpu().await, json!("500m"));
}

/// A length-delimited field of protobuf.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

/// A push of one sample with this inside, behind its sequence and time.
fn push_of(node: &str, inside: &[u8]) -> Bytes {
    let mut sample = vec![0x08, 1, 0x11];
    sample.extend_from_slice(&now().to_le_bytes());
    sample.extend_from_slice(inside);
    let mut push = vec![0x08, 1];
    push.extend(field(2, node.as_bytes()));
    push.push(0x19);
    push.extend_from_slice(&now().to_le_bytes());
    push.extend(field(5, &sample));
    push.into()
}

/// As many entities, names and numbers as a body takes, and more.
async fn a_million(besieged: &Besieged) {
    const MILLION: usize = 1_000_000;
    let born = |index: u32, name: &str| {
        let mut born = vec![0x08, index as u8 | 0x80, (index >> 7) as u8, 0x10, 1];
        born.extend(field(3, b"shop"));
        born.extend(field(4, name.as_bytes()));
        born.extend(field(5, format!("uid-{index}").as_bytes()));
        field(3, &born)
    };
    // Ten bytes each are too many already. Who writes much more than is taken may be hung up on in the middle.
    let names: Vec<u8> = (0..MILLION).flat_map(|at| field(3, &field(4, format!("n{at}").as_bytes()))).collect();
    let body = push_of("node-6", &names);
    let raw = [head("node-6", &format!("content-length: {}", body.len())).as_bytes(), &body].concat();
    let config = tls_client::config(Some(&besieged.proxy));
    if let Some(answer) = client::raw(besieged.address, config, &raw, false).await.unwrap() {
        answer.refusal(413, "RequestEntityTooLarge");
    }
    // Who writes a little more is told why.
    for bytes in [(1 << 20) + 1, 4 << 20] {
        let message = besieged.push("node-6", body.slice(..bytes)).await.refusal(413, "RequestEntityTooLarge");
        assert!(message.contains("1048576 bytes"), "{message}");
    }

    let body_room = (1 << 20) - 100;
    let bodies = [
        ("entities without anything", field(3, &[]).repeat(body_room / 2), 400),
        ("long names", (0..3_900).flat_map(|at| born(at, &format!("{at:0>240}"))).collect(), 200),
        ("too long a name", born(1, &"n".repeat(100_000)), 400),
        ("one name again and again", (0..4_000).flat_map(|at| born(at, "victim")).collect(), 200),
        // Nobody has that index, so nobody is gone.
        ("gone", field(4, &[0; MILLION]), 200),
        ("gaps", field(5, &field(1, &[0; MILLION])), 400),
        ("masks", field(5, &field(2, &[0x7f; MILLION])), 400),
        ("differences", field(5, &field(3, &[1; MILLION])), 400),
        ("declared longer than it is", [field(3, &[]), vec![0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat(), 400),
        ("samples", Vec::new(), 400),
    ];
    for (at, (what, inside, code)) in bodies.into_iter().enumerate() {
        // A body of 1 MiB takes a third of what a node may push at once: each kind has a node of its own.
        let node = format!("node-{}", 6 + at);
        let body = match what {
            "samples" => [push_of(&node, &[]).as_ref(), &field(5, &[]).repeat(MILLION / 2)].concat().into(),
            _ => push_of(&node, &inside),
        };
        let answer = besieged.push(&node, body.clone()).await;
        assert_eq!(answer.status, code, "{what}: {answer:?}");
        if code == 400 {
            assert!(answer.refusal(400, "BadRequest").len() < 1_000, "{what}");
        }
        for _ in 0..5 {
            let again = besieged.push(&node, body.clone()).await;
            assert!(again.status == code || again.status == 429, "{what}: {again:?}");
        }
    }
    let path = "/apis/metrics.k8s.io/v1beta1/pods";
    assert_eq!(besieged.get(path).await.json()["items"].as_array().unwrap().len(), 2, "the victim and node-0's own");
}

/// So many connections from four addresses, each with a body of one byte a second; how many the server ended.
async fn dawdlers(besieged: &Besieged, many: usize) -> usize {
    let config = tls_client::config(Some(&besieged.proxy));
    let (address, open, most) = (besieged.address, Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut dawdlers = tokio::task::JoinSet::new();
    for at in 0..many {
        let (config, open, most) = (Arc::clone(&config), Arc::clone(&open), Arc::clone(&most));
        dawdlers.spawn(async move {
            let from = std::net::Ipv4Addr::new(127, 0, 0, 2 + (at % 4) as u8);
            let head = head(&format!("node-{}", at % besieged::ATTACKERS), "content-length: 1000");
            let Ok(mut stream) = client::open(address, config, Some(from.into())).await else { return true };
            most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let mut ended = stream.write_all(head.as_bytes()).await.is_err();
            let mut buffer = [0; 1024];
            for _ in 0..30 {
                ended |= stream.write_all(b"x").await.is_err() || stream.flush().await.is_err();
                match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
                    Ok(Ok(many)) => {
                        let text = String::from_utf8_lossy(&buffer[..many]);
                        assert!(many == 0 || text.starts_with("HTTP/1.1 408"), "{text}");
                        ended = true;
                    }
                    Ok(Err(_)) => ended = true,
                    Err(_) => {}
                }
                if ended {
                    break;
                }
            }
            open.fetch_sub(1, Ordering::Relaxed);
            ended
        });
    }
    let ended = dawdlers.join_all().await.into_iter().filter(|ended| *ended).count();
    println!("dawdlers at once: {}", most.load(Ordering::Relaxed));
    ended
}
