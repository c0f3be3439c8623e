//! Pushes against a real store: what is believed, and the six ways in which one node might speak for another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::store::cluster::{Entity, EntityKey, Metric, NodeRecord, PodRecord, Snapshot, WorkloadRef};
use crate::uplink::directory::{Directory, Listed};
use crate::uplink::wire::Encoder;

const NOW: UnixNanos = UnixNanos(1_790_000_000_000_000_000);
const AGENT: &str = "system:serviceaccount:ringside:ringside-agent";

fn at(seconds: u64) -> UnixNanos {
    UnixNanos(NOW.0 + seconds * 1_000_000_000)
}

fn node(name: &str) -> NodeRecord {
    NodeRecord { name: name.into(), uid: format!("uid-of-{name}").into(), labels: Arc::new([]) }
}

fn pod(namespace: &str, name: &str, uid: &str, node: &str) -> PodRecord {
    PodRecord {
        namespace: namespace.into(),
        name: name.into(),
        uid: uid.into(),
        node: node.into(),
        labels: Arc::new([]),
        workload: WorkloadRef { kind: "Pod".into(), name: name.into() },
        finished: false,
    }
}

/// Who pushes: the account, and what its token is bound to.
fn identity(extra: &[(&str, &str)]) -> Identity {
    let key = |key: &&str| format!("authentication.kubernetes.io/{key}");
    let extra: BTreeMap<_, _> = extra.iter().map(|(name, value)| (key(name), vec![(*value).to_owned()])).collect();
    Identity { user: AGENT.to_owned(), extra, ..Identity::default() }
}

/// A node with pods of one container each, all with so much CPU time and memory.
fn snapshot(seconds: u64, pods: &[(&str, &str, &str)], value: u64) -> Snapshot {
    let mut values = [None; Metric::ALL.len()];
    values[Metric::CpuUsageUsec as usize] = Some(value);
    values[Metric::MemoryWorkingSetBytes as usize] = Some(value);
    let mut entities = vec![Entity { key: EntityKey::Node, started_at: UnixNanos(0), values }];
    for (namespace, name, uid) in pods {
        let uid: Arc<str> = (*uid).into();
        let key = EntityKey::Pod { uid: uid.clone(), namespace: (*namespace).into(), name: (*name).into() };
        entities.push(Entity { key, started_at: UnixNanos(NOW.0 - 1), values });
        let key = EntityKey::Container { pod_uid: uid, name: "c".into(), id: format!("id-{name}").into() };
        entities.push(Entity { key, started_at: UnixNanos(NOW.0 - 1), values });
    }
    Snapshot { wall: at(seconds), entities }
}

struct Cluster {
    store: ClusterStore,
    metrics: Metrics,
    receiver: Receiver,
    forwarded: Arc<Mutex<Vec<String>>>,
}

/// Nodes a and b; on b the victim, on a the pod `own`, and an agent's pod on each.
fn cluster() -> Cluster {
    let (store, metrics, state) = (empty_store(), Metrics::default(), DirectoryState::default());
    let mut directory = Directory::new(store.clone(), state.clone());
    directory.node(kube::runtime::watcher::Event::InitDone);
    directory.pod(kube::runtime::watcher::Event::InitDone);
    assert_eq!(state.listed(), Listed { nodes: true, pods: true, ..Listed::default() });
    for name in ["a", "b"] {
        store.put_node(&node(name));
        store.put_pod(&pod("ringside", &format!("agent-{name}"), &format!("uid-agent-{name}"), name));
    }
    store.put_pod(&pod("shop", "own", "uid-own", "a"));
    store.put_pod(&pod("shop", "victim", "uid-victim", "b"));
    let forwarded = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&forwarded);
    let accepted: Accepted = Box::new(move |node, _, _| told.lock().unwrap().push(node.as_ref().to_owned()));
    let intake = Intake::new(store.clone(), metrics.clone());
    let receiver = Receiver::new(intake, state, vec![AGENT.to_owned()], accepted);
    Cluster { store, metrics, receiver, forwarded }
}

impl Cluster {
    fn push(&self, identity: &Identity, path: &str, body: Vec<u8>, seconds: u64) -> (u16, Value) {
        let answer = self.receiver.receive(identity, path, &Bytes::from(body), at(seconds));
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        if answer.status != 200 {
            assert_eq!((json["kind"].as_str(), json["code"].as_u64()), (Some("Status"), Some(answer.status.into())));
            assert_eq!(json["details"]["retryAfterSeconds"].as_u64(), answer.retry_after.map(Into::into));
        }
        (answer.status, json)
    }

    /// What the victim's readers see.
    fn victim(&self) -> Option<(u64, UnixNanos)> {
        let usage = self.store.pod("shop", "victim", at(20))?;
        let (_, container) = &usage.containers[0];
        Some((container.get(Metric::MemoryWorkingSetBytes)?, container.timestamp))
    }

    /// The victim as its own node measures it.
    fn push_victim(&self) {
        let body = Encoder::new("b", 2).push(&[snapshot(0, &[("shop", "victim", "uid-victim")], 1_000)], true);
        let (status, json) = self.push(&identity(&[("node-name", "b")]), "b", body, 0);
        assert_eq!((status, json["accepted"].as_u64(), json["refused"].as_u64()), (200, Some(1), Some(0)));
        assert_eq!(self.victim(), Some((1_000, at(0))));
    }

    /// After a forged push: the reason was counted so often, and nobody sees anything of it.
    fn nothing_came_of_it(&self, reason: &'static str, times: u64) {
        assert_eq!(self.metrics.refused_so_far(reason), times, "{reason}");
        assert_eq!(self.victim(), Some((1_000, at(0))), "{reason}");
        assert_eq!(self.store.node("b", at(20)).unwrap().readings.timestamp, at(0), "{reason}");
    }
}

#[test]
fn spoof_a_another_nodes_name_is_refused() {
    let cluster = cluster();
    cluster.push_victim();
    let body = |of: &str| Encoder::new(of, 9).push(&[snapshot(15, &[("shop", "victim", "uid-victim")], 9_999)], true);
    let (status, json) = cluster.push(&identity(&[("node-name", "a")]), "b", body("b"), 15);
    assert_eq!((status, json["reason"].as_str()), (403, Some("Forbidden")));
    assert_eq!(
        json["message"].as_str(),
        Some("the token speaks for node a, and the path names node b; a node pushes for itself only")
    );
    cluster.nothing_came_of_it("other_node", 1);
    // The path is the own node's, the body is not.
    let (status, json) = cluster.push(&identity(&[("node-name", "a")]), "a", body("b"), 15);
    assert_eq!((status, json["reason"].as_str()), (403, Some("Forbidden")));
    cluster.nothing_came_of_it("other_node", 2);
    assert_eq!(cluster.metrics.pushes_so_far("agent", "other_node"), 2);
    assert_eq!(*cluster.forwarded.lock().unwrap(), ["b"], "only the victim's own push is told to other replicas");
}

#[test]
fn spoof_b_a_pod_of_another_node_is_left_out() {
    let cluster = cluster();
    cluster.push_victim();
    let pods = [("shop", "own", "uid-own"), ("shop", "victim", "uid-victim")];
    let body = Encoder::new("a", 1).push(&[snapshot(15, &pods, 9_999)], true);
    let (status, json) = cluster.push(&identity(&[("node-name", "a")]), "a", body, 15);
    assert_eq!((status, json["refused"].as_u64()), (200, Some(2)), "the pod and its container");
    cluster.nothing_came_of_it("pod_of_other_node", 2);
    let own = cluster.store.pod("shop", "own", at(20)).unwrap();
    assert_eq!(own.containers[0].1.get(Metric::MemoryWorkingSetBytes), Some(9_999), "the rest of the push is believed");
}

#[test]
fn spoof_c_a_pod_that_the_api_server_does_not_know_is_left_out() {
    let cluster = cluster();
    cluster.push_victim();
    let body = Encoder::new("a", 1).push(&[snapshot(15, &[("shop", "invented", "uid-invented")], 9_999)], true);
    let (status, _) = cluster.push(&identity(&[("node-name", "a")]), "a", body, 15);
    assert_eq!(status, 200);
    cluster.nothing_came_of_it("pod_unknown", 2);
    assert!(cluster.store.pod("shop", "invented", at(20)).is_none());
}

#[test]
fn spoof_d_the_right_name_with_another_uid_is_left_out_and_so_is_the_right_uid_with_another_name() {
    let cluster = cluster();
    cluster.push_victim();
    let pods = [("shop", "victim", "uid-forged"), ("shop", "other", "uid-victim")];
    let body = Encoder::new("a", 1).push(&[snapshot(15, &pods, 9_999)], true);
    let (status, json) = cluster.push(&identity(&[("node-name", "a")]), "a", body, 15);
    assert_eq!((status, json["refused"].as_u64()), (200, Some(4)));
    cluster.nothing_came_of_it("pod_wrong_uid", 2);
    cluster.nothing_came_of_it("pod_wrong_name", 2);
}

#[test]
fn spoof_e_a_token_of_another_nodes_pod_speaks_for_that_node_only() {
    let cluster = cluster();
    cluster.push_victim();
    // Before Kubernetes 1.29 the token names the pod, and the API server's record of it the node.
    let stolen = identity(&[("pod-name", "agent-b"), ("pod-uid", "uid-agent-b")]);
    let body = Encoder::new("a", 9).push(&[snapshot(15, &[], 9_999)], true);
    let (status, _) = cluster.push(&stolen, "a", body, 15);
    assert_eq!(status, 403);
    cluster.nothing_came_of_it("other_node", 1);
    // When its pod is gone, it speaks for nobody, even while the token itself is still believed.
    cluster.store.remove_pod("uid-agent-b");
    let body = Encoder::new("b", 9).push(&[snapshot(15, &[("shop", "victim", "uid-victim")], 9_999)], true);
    let (status, json) = cluster.push(&stolen, "b", body, 15);
    assert_eq!(status, 403);
    assert!(json["message"].as_str().unwrap().contains("pod ringside/agent-b with UID uid-agent-b"), "{json}");
    cluster.nothing_came_of_it("unknown_pod_in_token", 1);
}

#[test]
fn spoof_f_a_deleted_node_and_one_made_anew_by_its_name_are_refused() {
    let cluster = cluster();
    cluster.push_victim();
    cluster.store.remove_node("a");
    let body = || Encoder::new("a", 1).push(&[snapshot(15, &[("shop", "own", "uid-own")], 9_999)], true);
    let (status, json) = cluster.push(&identity(&[("node-name", "a")]), "a", body(), 15);
    assert_eq!((status, json["reason"].as_str()), (403, Some("Forbidden")));
    cluster.nothing_came_of_it("unknown_node", 1);
    cluster.store.put_node(&node("a"));
    let before = identity(&[("node-name", "a"), ("node-uid", "uid-of-the-a-before")]);
    assert_eq!(cluster.push(&before, "a", body(), 15).0, 403);
    cluster.nothing_came_of_it("unknown_node", 2);
    let now = identity(&[("node-name", "a"), ("node-uid", "uid-of-a")]);
    assert_eq!(cluster.push(&now, "a", body(), 15).0, 200);
}

#[test]
fn an_identity_without_a_node_speaks_for_none() {
    let cluster = cluster();
    let body = || Encoder::new("a", 1).push(&[snapshot(0, &[], 1)], true);
    let no_pod = identity(&[]);
    assert_eq!(cluster.push(&no_pod, "a", body(), 0).1["reason"].as_str(), Some("Forbidden"));
    let other_name = identity(&[("pod-name", "agent-b"), ("pod-uid", "uid-agent-a")]);
    assert_eq!(cluster.push(&other_name, "a", body(), 0).0, 403);
    let mut two = identity(&[("node-name", "a")]);
    two.extra.values_mut().for_each(|values| values.push("b".to_owned()));
    assert_eq!(cluster.push(&two, "a", body(), 0).0, 403);
    let mut person = identity(&[("node-name", "a")]);
    person.user = "alice".to_owned();
    assert_eq!(cluster.push(&person, "a", body(), 0).0, 403);
    let mut account = identity(&[("node-name", "a")]);
    account.user = "system:serviceaccount:shop:web".to_owned();
    let (status, json) = cluster.push(&account, "a", body(), 0);
    assert_eq!(status, 403);
    assert!(json["message"].as_str().unwrap().contains("--agent-account"), "{json}");
    let reasons =
        ["no_node_in_token", "unknown_pod_in_token", "account"].map(|reason| cluster.metrics.refused_so_far(reason));
    assert_eq!(reasons, [3, 1, 1]);
    assert!(cluster.store.node("a", at(0)).is_none());
}

#[test]
fn an_agent_that_goes_on_from_what_is_not_held_is_told_from_when_on_to_stand_alone() {
    let cluster = cluster();
    let agent = identity(&[("pod-name", "agent-a"), ("pod-uid", "uid-agent-a")]);
    let mut encoder = Encoder::new("a", 1);
    let first = encoder.push(&[snapshot(0, &[("shop", "own", "uid-own")], 1)], true);
    let second = encoder.push(&[snapshot(15, &[("shop", "own", "uid-own")], 2)], false);
    let third = encoder.push(&[snapshot(30, &[("shop", "own", "uid-own")], 3)], false);
    let (status, json) = cluster.push(&agent, "a", second.clone(), 15);
    assert_eq!((status, json["reason"].as_str()), (409, Some("Conflict")));
    let cause = &json["details"]["causes"][0];
    assert_eq!((cause["reason"].as_str(), cause["field"].as_str()), (Some("StandAlone"), Some("since_unix_nanos")));
    let quarter_of_an_hour_ago = at(15).0 - 900_000_000_000;
    assert_eq!(cause["message"].as_str(), Some(&*quarter_of_an_hour_ago.to_string()));
    assert_eq!(cluster.push(&agent, "a", first.clone(), 15).1["sequence"].as_u64(), Some(1));
    assert_eq!(cluster.push(&agent, "a", second.clone(), 15).1["accepted"].as_u64(), Some(1));
    let (status, json) = cluster.push(&agent, "a", second, 16);
    assert_eq!((status, json["accepted"].as_u64(), json["duplicates"].as_u64()), (200, Some(0), Some(1)));
    assert_eq!(cluster.push(&agent, "a", third, 30).1["accepted"].as_u64(), Some(1));
    assert_eq!(cluster.forwarded.lock().unwrap().len(), 3, "what was held already is told to nobody");
    assert_eq!(cluster.metrics.pushes_so_far("agent", "need_alone"), 1);
    assert_eq!(cluster.metrics.pushes_so_far("agent", "duplicate"), 1);
}

#[test]
fn each_kind_of_bad_body_has_its_own_status() {
    let cluster = cluster();
    let agent = identity(&[("node-name", "a")]);
    let good = Encoder::new("a", 1).push(&[snapshot(0, &[], 1)], true);
    let mut other_version = good.clone();
    other_version[1] = 7;
    let outcome = |body: Vec<u8>| {
        let (status, json) = cluster.push(&agent, "a", body, 0);
        (status, json["reason"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(outcome(other_version), (422, "Invalid".to_owned()));
    assert_eq!(outcome(good[..good.len() - 3].to_vec()), (400, "BadRequest".to_owned()));
    assert_eq!(outcome(vec![0; MOST_BODY_BYTES + 1]), (413, "RequestEntityTooLarge".to_owned()));
    let future = Encoder::new("a", 1).push(&[snapshot(3600, &[], 1)], true);
    assert_eq!(outcome(future), (400, "BadRequest".to_owned()));
    let results = ["version", "malformed", "too_large", "future"];
    assert_eq!(results.map(|result| cluster.metrics.pushes_so_far("agent", result)), [1, 1, 1, 1]);
    assert!(cluster.store.node("a", at(0)).is_none());
    assert_eq!(outcome(good).0, 200);
}

#[test]
fn a_node_that_floods_gets_429_and_the_others_are_heard() {
    let cluster = cluster();
    let body = |of: &str| Encoder::new(of, 1).push(&[snapshot(0, &[], 1)], true);
    let (flooding, other) = (identity(&[("node-name", "a")]), identity(&[("node-name", "b")]));
    let statuses: Vec<u16> = (0..200).map(|_| cluster.push(&flooding, "a", body("a"), 0).0).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 20);
    let answer = cluster.receiver.receive(&flooding, "a", &Bytes::from(body("a")), at(0));
    assert_eq!((answer.status, answer.retry_after), (429, Some(1)));
    assert_eq!(cluster.push(&other, "b", body("b"), 0).0, 200);
}

#[test]
fn before_nodes_and_pods_are_listed_nobody_is_judged() {
    let (store, metrics) = (empty_store(), Metrics::default());
    let intake = Intake::new(store, metrics);
    let receiver = Receiver::new(intake, DirectoryState::default(), Vec::new(), Box::new(|_, _, _| {}));
    let answer = receiver.receive(&identity(&[("node-name", "a")]), "a", &Bytes::new(), NOW);
    assert_eq!((answer.status, answer.retry_after), (503, Some(5)));
}
