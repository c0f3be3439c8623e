//! Replicas that tell one another over real TLS on loopback.

use std::net::TcpListener;
use std::pin::Pin;
use std::time::SystemTime;

use hyper::body::Incoming;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::*;
use crate::auth::certificates::{CertificateAuthority, Leaf, PEER_NAME, Purpose, ServingCert};
use crate::auth::chain::Authority;
use crate::auth::https::{self, Handler, Peer};
use crate::auth::{listen::Bounds, tls};
use crate::store::cluster::{Entity, EntityKey, Metric, NodeRecord, PodRecord, Snapshot, WorkloadRef};
use crate::uplink::directory::Directory;
use crate::uplink::receive::empty_store;
use crate::uplink::wire::Encoder;

const NAME: &str = "ringside-aggregator-peers.ringside.svc";

fn authority() -> CertificateAuthority {
    CertificateAuthority::generate("ringside", SystemTime::now()).unwrap()
}

fn client_config(
    trusted: &CertificateAuthority,
    signed_by: &CertificateAuthority,
    name: &str,
) -> Arc<rustls::ClientConfig> {
    let leaf = Leaf { common_name: name.to_owned(), names: Vec::new(), purpose: Purpose::Client };
    let issued = signed_by.issue(&leaf, SystemTime::now()).unwrap();
    let identity = (issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
    Arc::new(tls::client_config(trusted.certificate_pem.as_bytes(), Some(identity)).unwrap())
}

struct Replica {
    store: ClusterStore,
    metrics: Metrics,
    intake: Intake,
    peers: Arc<Peers>,
}

struct Answers {
    peers: Arc<Peers>,
    authority: Authority,
}

impl Handler for Answers {
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<https::Body>> + Send>> {
        Box::pin(async move {
            let subject = peer.certificate.as_deref().and_then(|shown| self.authority.verify(shown).ok());
            self.peers.answer(request, subject.is_some_and(|subject| subject.common_name == PEER_NAME)).await
        })
    }
}

/// A replica that serves on `listener` and looks for others at `others`.
fn replica(ca: &CertificateAuthority, listener: TcpListener, others: Option<SocketAddr>) -> Replica {
    replica_with(ca, listener, others, client_config(ca, ca, PEER_NAME))
}

fn replica_with(
    ca: &CertificateAuthority,
    listener: TcpListener,
    others: Option<SocketAddr>,
    tls: Arc<rustls::ClientConfig>,
) -> Replica {
    let (store, metrics, state) = (empty_store(), Metrics::default(), DirectoryState::default());
    let mut directory = Directory::new(store.clone(), state.clone());
    directory.node(Event::InitDone);
    directory.pod(Event::InitDone);
    store.put_node(&NodeRecord { name: "a".into(), uid: "n".into(), labels: Arc::new([]) });
    store.put_pod(&PodRecord {
        namespace: "shop".into(),
        name: "web".into(),
        uid: "uid-web".into(),
        node: "a".into(),
        labels: Arc::new([]),
        workload: WorkloadRef { kind: "Pod".into(), name: "web".into() },
        finished: false,
    });
    let intake = Intake::new(store.clone(), metrics.clone());
    let route = Route { name: NAME.try_into().unwrap(), tls: watch::Sender::new(tls).subscribe() };
    let options = PeersOptions {
        host_port: others.map(|address| address.to_string()),
        own: Vec::new(),
        route: Some(route),
        queue_bytes: 1 << 20,
    };
    let peers = Peers::new(store.clone(), intake.clone(), metrics.clone(), state, options);
    let leaf = Leaf { common_name: NAME.to_owned(), names: vec![NAME.to_owned()], purpose: Purpose::Server };
    let issued = ca.issue(&leaf, SystemTime::now()).unwrap();
    let serving = ServingCert::from_pem("test", issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    let authority = Authority::from_pem(ca.certificate_pem.as_bytes()).unwrap();
    let handler = Arc::new(Answers { peers: Arc::clone(&peers), authority });
    tokio::spawn(https::serve(listener, serving, Bounds::default(), handler, std::future::pending()));
    let running = Arc::clone(&peers);
    tokio::spawn(async move { running.run().await });
    Replica { store, metrics, intake, peers }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = https::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn snapshot(before: u64, value: u64) -> Snapshot {
    let mut values = [None; Metric::ALL.len()];
    values[Metric::CpuUsageUsec as usize] = Some(value);
    let uid: Arc<str> = "uid-web".into();
    let keys = [
        EntityKey::Node,
        EntityKey::Pod { uid: uid.clone(), namespace: "shop".into(), name: "web".into() },
        EntityKey::Container { pod_uid: uid, name: "c".into(), id: "id".into() },
    ];
    let started_at = UnixNanos(1);
    let entities = keys.into_iter().map(|key| Entity { key, started_at, values }).collect();
    Snapshot { wall: UnixNanos(UnixNanos::now().0 - before * 1_000_000_000), entities }
}

impl Replica {
    /// As the receiver does with what an agent pushed.
    fn push(&self, body: &[u8]) {
        let now = UnixNanos::now();
        self.intake.take("a", body, "agent", now).unwrap();
        self.peers.forward(&"a".into(), &Bytes::copy_from_slice(body), now);
    }

    fn cpu(&self) -> Option<u64> {
        let usage = self.store.pod("shop", "web", UnixNanos::now())?;
        usage.containers[0].1.get(Metric::CpuUsageUsec)
    }
}

/// Waits for what is bound to happen.
async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if happened() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen: {what}");
}

#[tokio::test]
async fn what_one_replica_accepts_the_other_holds_too_and_neither_sends_it_back() {
    let ca = authority();
    let ((listener_1, address_1), (listener_2, address_2)) = (listener(), listener());
    let first = replica(&ca, listener_1, Some(address_2));
    let second = replica(&ca, listener_2, Some(address_1));
    until("they know one another", || first.peers.count() == 1 && second.peers.count() == 1).await;
    let mut encoder = Encoder::new("a", 5);
    first.push(&encoder.push(&[snapshot(30, 100)], true));
    until("the first push arrives", || second.cpu() == Some(100)).await;
    // The agent's next push reaches the other replica, which goes on from what it was told.
    second.push(&encoder.push(&[snapshot(15, 250)], false));
    until("the second push arrives", || first.cpu() == Some(250)).await;
    let sent = |replica: &Replica| replica.metrics.peer_pushes_so_far("sent");
    until("both are thanked", || sent(&first) == 1 && sent(&second) == 1).await;
    assert_eq!(first.metrics.pushes_so_far("peer", "accepted"), 1);
    assert_eq!(second.metrics.pushes_so_far("peer", "accepted"), 1);
}

#[tokio::test]
async fn a_new_replica_fills_itself_and_goes_on_with_the_agents_next_push() {
    let ca = authority();
    let ((listener_1, address_1), (listener_2, address_2)) = (listener(), listener());
    let first = replica(&ca, listener_1, Some(address_2));
    let mut encoder = Encoder::new("a", 5);
    first.push(&encoder.push(&[snapshot(45, 100), snapshot(30, 200)], true));
    let second = replica(&ca, listener_2, Some(address_1));
    until("it is filled", || second.peers.filled() == Fill::Filled).await;
    assert_eq!(second.cpu(), Some(200));
    let window = |replica: &Replica| {
        let usage = replica.store.pod("shop", "web", UnixNanos::now()).unwrap();
        (usage.readings.timestamp, usage.containers[0].1.window)
    };
    assert_eq!(window(&second), window(&first));
    until("they know one another", || first.peers.count() == 1).await;
    first.push(&encoder.push(&[snapshot(15, 300)], false));
    until("it follows", || second.cpu() == Some(300)).await;
    assert_eq!(second.metrics.pushes_so_far("peer", "need_alone"), 0);
}

#[tokio::test]
async fn a_replica_that_is_told_nothing_waits_for_agents() {
    let ca = authority();
    let ((listener_1, address_1), (listener_2, _)) = (listener(), listener());
    let _empty = replica(&ca, listener_1, None);
    let second = replica(&ca, listener_2, Some(address_1));
    until("it has asked", || second.peers.filled() != Fill::Pending).await;
    assert_eq!(second.peers.filled(), Fill::Alone);
}

#[tokio::test]
async fn a_replica_that_missed_something_is_told_everything_again() {
    let ca = authority();
    let ((listener_1, address_1), (listener_2, address_2)) = (listener(), listener());
    let first = replica(&ca, listener_1, Some(address_2));
    // It looks for others where nobody is.
    let second = replica(&ca, listener_2, None);
    assert_eq!(address_1.ip(), address_2.ip());
    until("the other is known", || first.peers.count() == 1).await;
    let mut encoder = Encoder::new("a", 5);
    let missed = encoder.push(&[snapshot(30, 100)], true);
    first.intake.take("a", &missed, "agent", UnixNanos::now()).unwrap();
    first.push(&encoder.push(&[snapshot(15, 200)], false));
    until("the other asks, and is told", || second.cpu() == Some(200)).await;
    assert_eq!(second.metrics.pushes_so_far("peer", "need_alone"), 1);
    assert_eq!(first.metrics.peer_pushes_so_far("exported"), 1);
}

#[tokio::test]
async fn only_replicas_are_answered() {
    let ca = authority();
    let (listener_1, address_1) = listener();
    let first = replica(&ca, listener_1, None);
    let mut encoder = Encoder::new("a", 5);
    first.push(&encoder.push(&[snapshot(30, 100)], true));
    let own = client_config(&ca, &authority(), PEER_NAME);
    let others_name = client_config(&ca, &ca, "system:admin");
    let nobody = Arc::new(tls::client_config(ca.certificate_pem.as_bytes(), None).unwrap());
    for (config, who) in [(own, "another authority"), (others_name, "another name"), (nobody, "no certificate")] {
        let (listener_2, _) = listener();
        let second = replica_with(&ca, listener_2, Some(address_1), config);
        until("it is known", || second.peers.count() == 1).await;
        second.push(&Encoder::new("a", 6).push(&[snapshot(5, 900)], true));
        let down = || second.peers.links.load().first().is_some_and(|link| link.state() == LinkState::Down);
        until(who, down).await;
        assert_eq!(second.metrics.peer_pushes_so_far("sent"), 0, "{who}");
        assert_eq!(first.cpu(), Some(100), "{who}");
    }
}

#[tokio::test]
async fn a_replica_that_finds_itself_is_alone() {
    let ca = authority();
    let (listener_1, address_1) = listener();
    let only = replica(&ca, listener_1, Some(address_1));
    until("it has looked", || only.peers.filled() == Fill::Alone).await;
    only.push(&Encoder::new("a", 6).push(&[snapshot(5, 900)], true));
    until("it knows itself", || only.peers.count() == 0).await;
    assert_eq!(only.metrics.pushes_so_far("peer", "duplicate"), 0);
}

#[tokio::test]
async fn a_replica_that_does_not_answer_costs_a_bounded_queue() {
    let ca = authority();
    let ((listener_1, _), (silent, address_2)) = (listener(), listener());
    let first = replica(&ca, listener_1, Some(address_2));
    until("the other is known", || first.peers.count() == 1).await;
    let body = Bytes::from(vec![0; 64 << 10]);
    for _ in 0..40 {
        first.peers.forward(&"a".into(), &body, UnixNanos(1));
    }
    // 1 MiB has room for 15 of 64 KiB and what an entry costs.
    assert_eq!(first.metrics.peer_pushes_so_far("dropped"), 25);
    drop(silent);
}
