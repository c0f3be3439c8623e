//! The agent's secure port as a user starts it: the real binary, TLS, tokens of a stand-in for the API server.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod fake_api_server;
mod support;
mod tls_client;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use fake_api_server::FakeApiServer;
use serde_json::json;
use support::agent::{Agent, BINARY};
use support::process::free_port;
use tls_client::{Answer, TestCa, get};

const FLAGS: [&str; 8] =
    ["--docker-socket", "none", "--podman-socket", "none", "--cri-socket", "none", "--node-name", "n1"];

/// Every kind of path that the plain port answers.
const PATHS: [&str; 10] = [
    "/",
    "/metrics",
    "/metrics?labels=slim",
    "/api/v1/node",
    "/api/v1/containers",
    "/api/v1/pods",
    "/api/v1/export?match[]=container_memory_rss",
    "/openapi.json",
    "/stats/summary",
    "/no/such/path",
];

fn start(flags: &[&str]) -> (Agent, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let secure = address.to_string();
    let agent = Agent::start(FLAGS.iter().chain(&["--secure-listen", &secure]).chain(flags));
    (agent, address)
}

#[track_caller]
fn refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&body["kind"], &body["code"]), (&json!("Status"), &json!(status)));
    for word in ["container_", "node_", "ringside", "cgroup", "<html"] {
        assert!(!answer.body.contains(word), "{answer:?}");
    }
}

#[test]
fn every_path_is_behind_a_token_that_may_read_nodes_metrics() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let api = runtime.block_on(FakeApiServer::start());
    api.know("scraper", "prometheus", &["https://kubernetes.default.svc"]);
    api.know("stranger", "stranger", &["https://kubernetes.default.svc"]);
    api.allow("prometheus get nodes/metrics");
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, api.kubeconfig()).unwrap();
    // The stand-in takes no pushes, and one that it gets ends it.
    let (agent, address) = start(&["--kubeconfig", kubeconfig.to_str().unwrap(), "--push", "none"]);
    for path in PATHS {
        refused(&get(address, path, None, &[]), 401);
        refused(&get(address, path, None, &[("Authorization", "Bearer guess")]), 401);
        refused(&get(address, path, None, &[("Authorization", "Bearer stranger")]), 403);
        refused(&get(address, path, None, &[("X-Remote-User", "prometheus")]), 401);
    }
    let bearer = [("Authorization", "Bearer scraper")];
    let answer = get(address, "/metrics", None, &bearer);
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("\nnode_") || answer.body.contains("\ncontainer_"), "{}", answer.body);
    assert_eq!(get(address, "/api/v1/node", None, &bearer).status, 200);
    assert_eq!(get(address, "/metrics/resource", None, &bearer).status, 200);
    // nodes/stats is another right.
    refused(&get(address, "/stats/summary", None, &bearer), 403);
    assert_eq!(get(address, "/no/such/path", None, &bearer).status, 404);
    // A kubelet's probe has no token.
    for path in ["/livez", "/readyz"] {
        let answer = get(address, path, None, &[]);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    }
    let asked = api.state().access_reviews[0].clone();
    let want = json!({ "verb": "get", "version": "v1", "resource": "nodes", "subresource": "metrics", "name": "n1" });
    assert_eq!(asked["resourceAttributes"], want);
    // The agent counts what it refused.
    let counted = agent.scrape_later_tick();
    let refusals = |code| counted.value("ringside_agent_http_responses_total", &[("code", code)]);
    assert_eq!((refusals("401"), refusals("403")), (30.0, 11.0));
}

#[test]
fn outside_of_kubernetes_tokens_and_certificates_of_files_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let clients = TestCa::new("clients");
    fs::write(path("clients.crt"), &clients.pem).unwrap();
    fs::write(path("tokens.csv"), "s3cret,prometheus,1,\"scrapers\"\n").unwrap();
    let own = tls_client::self_signed_client("n1");
    fs::write(path("tls.crt"), &own.certificate).unwrap();
    fs::write(path("tls.key"), &own.key).unwrap();
    let (_agent, address) = start(&[
        "--client-ca-file",
        &path("clients.crt"),
        "--static-token-file",
        &path("tokens.csv"),
        "--tls-cert-file",
        &path("tls.crt"),
        "--tls-private-key-file",
        &path("tls.key"),
    ]);
    refused(&get(address, "/metrics", None, &[]), 401);
    refused(&get(address, "/metrics", None, &[("Authorization", "Bearer s3cre")]), 401);
    refused(&get(address, "/metrics", Some(&TestCa::new("clients").client("prometheus", None)), &[]), 401);
    assert_eq!(get(address, "/metrics", None, &[("Authorization", "Bearer s3cret")]).status, 200);
    assert_eq!(get(address, "/metrics", Some(&clients.client("prometheus", None)), &[]).status, 200);
}

#[test]
fn a_secure_port_that_could_let_nobody_in_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    for (flags, want) in [
        (vec![], "give --kubeconfig, --client-ca-file or --static-token-file"),
        (vec!["--client-ca-file", missing.as_str()], "--client-ca-file: cannot read "),
        (vec!["--static-token-file", missing.as_str()], "--static-token-file: cannot read "),
        (vec!["--kubeconfig", missing.as_str()], "(--kubeconfig): "),
    ] {
        let listen = format!("127.0.0.1:{}", free_port());
        let started = Command::new(BINARY)
            .args(["agent", "--listen", &listen, "--secure-listen", "127.0.0.1:0"])
            .args(FLAGS)
            .args(&flags)
            .output()
            .unwrap();
        let said = String::from_utf8(started.stderr).unwrap();
        assert_eq!(started.status.code(), Some(1), "{said}");
        assert!(said.lines().last().is_some_and(|line| line.starts_with("error: ") && line.contains(want)), "{said}");
    }
}
