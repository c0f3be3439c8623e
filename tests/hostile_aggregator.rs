//! The aggregator beside clients that lie, flood and dawdle: what each is told, and that nobody else notices.
//!
//! In: the real binary behind a stand-in for the API server, and requests as the front proxy sends them or straight. Out:
//! the answers, the victim's values as others read them, the process's memory and log. Latencies of a bystander are
//! printed, not judged.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a panic is how a test fails"
)]

mod besieged;
mod fake_api_server;
mod tls_client;

use std::sync::Arc;

use besieged::client::{self, Answer};
use besieged::{AGENT, Besieged, NODE_NAME, NODE_UID, NODES, POD_NAME, POD_UID, PODS, VICTIM, node, now, snapshot};
use bytes::Bytes;
use ringside::uplink::wire::Encoder;
use serde_json::json;
use tls_client::TestCa;

const SECOND: u64 = 1_000_000_000;
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
    assert_eq!(besieged.get(path).await.refusal(404, "NotFound"), "pods.metrics.k8s.io \"invented\" not found");

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
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
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
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let before = besieged.refused("unknown_node").await;
    let answer = push_as(&besieged, "node-1", &late, forged("node-1", &[])).await;
    assert!(answer.refusal(403, "Forbidden").contains("node-1, which does not exist (any more)"));
    let mut anew = node("node-1");
    anew["metadata"]["uid"] = json!("uid-anew");
    besieged.api.tell(NODES, "ADDED", &anew);
    let now_there = [(NODE_NAME, "node-1"), (NODE_UID, "uid-anew")];
    while push_as(&besieged, "node-1", &now_there, Bytes::from_static(b"?")).await.status != 400 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
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
        for path in [VICTIM, "/apis/metrics.k8s.io/v1beta1/pods?watch=true", "/metrics", "/apis", "/openapi/v2", "/internal/snapshot"] {
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
        if let Ok(answer) = client.send("POST", &besieged::samples_of("home"), &headers, forged("home", &[STOLEN])).await {
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
        let answer = client.send("POST", &besieged::samples_of("node-0"), &headers, forged("node-0", &[OWN])).await.unwrap();
        assert_eq!(answer.status, code, "{token}: {answer:?}");
        if code == 401 {
            answer.refusal(401, "Unauthorized");
            assert!(!answer.text.contains(token) || token == "expired" || token == "revoked", "{answer:?}");
        }
        let answer = client.send("POST", &besieged::samples_of("home"), &headers, forged("home", &[STOLEN])).await.unwrap();
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
