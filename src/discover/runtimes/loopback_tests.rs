//! Facts about runtimes' tasks. In: fake runtimes on unix sockets. Out: events and states.

use std::convert::Infallible;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};

use super::cri::messages::{
    Container, ContainerMetadata, ContainerStatus, ContainerStatusRequest, ContainerStatusResponse, Label,
    LinuxPodSandboxStatus, List, Namespace, NamespaceOption, PodSandbox, PodSandboxMetadata, PodSandboxStatus,
    PodSandboxStatusResponse, VersionResponse,
};
use super::*;

type Body = BoxBody<Bytes, Infallible>;
/// Answers a method's name and the request's bytes; `None` is "unimplemented".
type Answer = Arc<dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// One socket's task and what came from it.
struct Lab {
    _directory: tempfile::TempDir,
    path: PathBuf,
    runtime: tokio::runtime::Runtime,
    sink: EventSink,
    status: Arc<Mutex<RuntimeStatus>>,
    nudge: tokio::sync::watch::Sender<u64>,
    events: Receiver<Discovery>,
    fake: Option<tokio::task::JoinHandle<()>>,
}

impl Lab {
    fn new(kind: SocketKind, max_described: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runtime.sock");
        let (sender, events) = sync_channel(200_000);
        let socket = RuntimeSocket { path: path.clone(), kind };
        let status = Arc::new(Mutex::new(Source::first_status(&socket)));
        let (nudge, nudged) = tokio::sync::watch::channel(0);
        let sink = EventSink::new(sender);
        let source = Source {
            index: 0,
            socket,
            sink: sink.clone(),
            book: Arc::new(Mutex::new(Book::new(max_described))),
            status: Arc::clone(&status),
            nudge: nudged,
            reconcile: Duration::from_secs(30),
            started_at: UnixNanos(1_000_000_000),
            environment: Arc::from(["APP_".to_owned()]),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.spawn(source.run());
        Self { _directory: directory, path, runtime, sink, status, nudge, events, fake: None }
    }

    /// Replaces the fake runtime: the old one's socket goes, as when a runtime restarts.
    fn serve<F>(&mut self, each: impl Fn(UnixStream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.stop_fake();
        let _guard = self.runtime.enter();
        let listener = UnixListener::bind(&self.path).unwrap();
        self.fake = Some(self.runtime.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(each(stream));
            }
        }));
    }

    fn stop_fake(&mut self) {
        if let Some(fake) = self.fake.take() {
            fake.abort();
            std::fs::remove_file(&self.path).unwrap();
        }
    }

    fn state_when(&self, is_it: impl Fn(&RuntimeStatus) -> bool) -> RuntimeStatus {
        let started = Instant::now();
        loop {
            let status = self.status.lock().unwrap().clone();
            if is_it(&status) {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "state stays {status:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn failing(&self) -> String {
        // Between the fake's bind and its listen the socket refuses, and the task may come just then.
        let refused = |reason: &str| reason.contains("refused");
        match self.state_when(|status| matches!(&status.state, RuntimeState::Failing(why) if !refused(why))).state {
            RuntimeState::Failing(reason) => reason,
            _ => unreachable!(),
        }
    }

    fn described(&self) -> (String, Arc<Metadata>) {
        match self.events.recv_timeout(Duration::from_secs(20)).unwrap() {
            Discovery::Described { container_id, metadata } => (container_id.to_string(), metadata),
            other => panic!("{other:?}"),
        }
    }

    fn exited(&self) -> (String, ExitRecord) {
        match self.events.recv_timeout(Duration::from_secs(20)).unwrap() {
            Discovery::Exited { container_id, exit } => (container_id.to_string(), exit),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.sink.stop();
    }
}

#[test]
fn no_socket_is_absent_and_no_failure() {
    let lab = Lab::new(SocketKind::Cri, 10);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(lab.status.lock().unwrap().state, RuntimeState::Absent);
}

#[test]
fn a_runtime_that_accepts_and_never_answers_is_failing() {
    for kind in [SocketKind::Cri, SocketKind::Docker] {
        let mut lab = Lab::new(kind, 10);
        lab.serve(|stream| async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(stream);
        });
        let reason = lab.failing();
        assert!(reason.contains("no answer in time") || reason.contains("Timeout"), "{kind:?}: {reason}");
    }
}

#[test]
fn garbage_is_failing_and_the_runtime_is_asked_again_later() {
    for kind in [SocketKind::Cri, SocketKind::Docker] {
        let mut lab = Lab::new(kind, 10);
        let (count, mut counted) = tokio::sync::watch::channel(0);
        let count = Arc::new(count);
        lab.serve(move |mut stream| {
            let count = Arc::clone(&count);
            async move {
                count.send_modify(|count| *count += 1);
                let _ = stream.write_all(&[0xa5; 70_000]).await;
            }
        });
        lab.failing();
        let tries = lab.runtime.block_on(counted.wait_for(|count| *count >= 4)).map(|count| *count);
        assert!(tries.is_ok(), "{kind:?}");
    }
}

// --- a fake CRI runtime ---

fn grpc(message: &[u8], status: &'static str) -> Response<Body> {
    let mut frame = BytesMut::new();
    if status == "0" {
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap());
        frame.extend_from_slice(message);
    }
    let mut trailers = hyper::HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    Response::builder().header("content-type", "application/grpc").body(body.boxed()).unwrap()
}

/// Serves gRPC.
async fn serve_cri(stream: UnixStream, answer: Answer) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(match answer(&method, &body[5..]) {
                Some(message) => grpc(&message, "0"),
                None => grpc(b"", "12"),
            })
        }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn version() -> Vec<u8> {
    VersionResponse { runtime_name: b"containerd".to_vec() }.encode_to_vec()
}

fn list(items: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    List { items: items.map(Bytes::from).collect() }.encode_to_vec()
}

fn container_status(request: &[u8], change: impl FnOnce(&mut ContainerStatus)) -> Vec<u8> {
    let id = ContainerStatusRequest::decode(request).unwrap().container_id;
    let mut status = ContainerStatus { id: id.into_bytes(), state: 1, started_at: 5, ..ContainerStatus::default() };
    change(&mut status);
    let info = br#"{"pid":77,"runtimeSpec":{"process":{"env":["APP_MODE=blue","SECRET=x"]}}}"#;
    let info = vec![Label { key: b"info".to_vec(), value: info.to_vec() }];
    ContainerStatusResponse { status: Some(status), info }.encode_to_vec()
}

#[test]
fn a_pod_and_its_container_are_described_and_the_end_is_told_once() {
    let mut lab = Lab::new(SocketKind::Cri, 10);
    let state = Arc::new(std::sync::atomic::AtomicI32::new(1));
    let now_state = Arc::clone(&state);
    let answer: Answer = Arc::new(move |method, request| {
        let state = now_state.load(std::sync::atomic::Ordering::SeqCst);
        let pod = PodSandboxMetadata {
            name: b"web-0".to_vec(),
            uid: b"u1".to_vec(),
            namespace: b"shop".to_vec(),
            attempt: 0,
        };
        match method {
            "Version" => Some(version()),
            "ListPodSandbox" => {
                let sandbox = PodSandbox { id: b"s1".to_vec(), metadata: Some(pod), state: 0, created_at: 1 };
                Some(list(std::iter::once(sandbox.encode_to_vec())))
            }
            "ListContainers" => {
                let container = Container { id: b"c1".to_vec(), pod_sandbox_id: b"s1".to_vec(), state, created_at: 1 };
                Some(list(std::iter::once(container.encode_to_vec())))
            }
            "PodSandboxStatus" => {
                let options = Some(NamespaceOption { network: 2 });
                let linux = Some(LinuxPodSandboxStatus { namespaces: Some(Namespace { options }) });
                let status = PodSandboxStatus { id: b"s1".to_vec(), metadata: Some(pod), linux, ..Default::default() };
                Some(PodSandboxStatusResponse { status: Some(status), info: Vec::new() }.encode_to_vec())
            }
            "ContainerStatus" => Some(container_status(request, |status| {
                status.metadata = Some(ContainerMetadata { name: b"app".to_vec(), attempt: 3 });
                status.labels = vec![Label { key: b"bad".to_vec(), value: b"\xff".to_vec() }];
                status.state = state;
                if state == 2 {
                    (status.exit_code, status.reason, status.finished_at) = (137, b"OOMKilled".to_vec(), 9_000_000_000);
                }
            })),
            _ => None,
        }
    });
    lab.serve(move |stream| serve_cri(stream, Arc::clone(&answer)));
    let (id, sandbox) = lab.described();
    assert_eq!((id.as_str(), sandbox.sandbox, sandbox.host_network), ("s1", true, true));
    let (id, container) = lab.described();
    assert_eq!((id.as_str(), container.name.as_str(), container.sandbox), ("c1", "c1", false));
    assert_eq!(container.pod.as_deref(), Some("web-0"));
    assert_eq!(container.namespace.as_deref(), Some("shop"));
    assert_eq!(container.pod_uid.as_deref(), Some("u1"));
    assert_eq!(container.container.as_deref(), Some("app"));
    assert_eq!((container.restart_count, container.pid, container.host_network), (Some(3), Some(77), true));
    assert_eq!(container.labels.get("bad").unwrap(), "\u{fffd}");
    assert_eq!(container.environment, [("APP_MODE".to_owned(), "blue".to_owned())].into());
    assert_eq!(lab.state_when(|status| status.state == RuntimeState::Connected).name, "containerd");

    state.store(2, std::sync::atomic::Ordering::SeqCst);
    lab.nudge.send_modify(|births| *births += 1);
    let (id, exit) = lab.exited();
    assert_eq!((id.as_str(), exit.code, exit.reason.as_str()), ("c1", 137, "OOMKilled"));
    assert_eq!(exit.finished_at, Some(UnixNanos(9_000_000_000)));
    assert!(lab.events.recv_timeout(Duration::from_millis(2_500)).is_err(), "told once, also after the next list");
}

fn many(count: usize) -> Vec<u8> {
    list((0..count).map(|number| {
        Container { id: format!("{number:064}").into_bytes(), state: 1, ..Container::default() }.encode_to_vec()
    }))
}

#[test]
fn a_list_of_100000_containers_is_read_as_far_as_the_budget_goes() {
    let mut lab = Lab::new(SocketKind::Cri, 500);
    let containers = many(100_000);
    let answer: Answer = Arc::new(move |method, request| match method {
        "Version" => Some(version()),
        "ListPodSandbox" => Some(Vec::new()),
        "ListContainers" => Some(containers.clone()),
        "ContainerStatus" => Some(container_status(request, |_| ())),
        _ => None,
    });
    lab.serve(move |stream| serve_cri(stream, Arc::clone(&answer)));
    let status = lab.state_when(|status| status.state == RuntimeState::Connected && !status.has_events);
    assert_eq!(status.containers, 500);
    assert_eq!(lab.events.try_iter().count(), 500);
}

#[test]
fn an_answer_beyond_the_greatest_size_is_failing() {
    let mut lab = Lab::new(SocketKind::Cri, 10);
    let answer: Answer = Arc::new(|method, _| match method {
        "Version" => Some(version()),
        "ListPodSandbox" => Some(vec![0; MAX_ANSWER_BYTES + 1]),
        _ => None,
    });
    lab.serve(move |stream| serve_cri(stream, Arc::clone(&answer)));
    let reason = lab.failing();
    assert!(reason.contains("message length too large"), "{reason}");
}

// --- a fake Docker Engine ---

/// Serves the four endpoints; `/events` sends `events` and stays open.
async fn serve_docker(stream: UnixStream, ids: &'static [&'static str], events: &'static str, padding: usize) {
    let service = service_fn(move |request: Request<Incoming>| async move {
        let path = request.uri().path().to_owned();
        let full = |text: String| Full::new(Bytes::from(text)).boxed();
        let json = if path.ends_with("/version") {
            r#"{"ApiVersion":"1.41","Version":"20.10.24","Components":[{"Name":"Engine","Version":"20.10.24"}]}"#
                .to_owned()
        } else if path.ends_with("/containers/json") {
            let item = |id: &&str| format!(r#"{{"Id":"{id}","Names":["/web"],"State":"running"}}"#);
            format!("[{}]{}", ids.iter().map(item).collect::<Vec<_>>().join(","), " ".repeat(padding))
        } else if path.ends_with("/events") {
            let first =
                futures_util::stream::iter([Ok(hyper::body::Frame::data(Bytes::from_static(events.as_bytes())))]);
            let rest = futures_util::stream::pending::<Result<_, Infallible>>();
            let body = http_body_util::StreamBody::new(futures_util::StreamExt::chain(first, rest));
            return Ok(Response::new(BoxBody::new(body)));
        } else {
            let id = path.trim_end_matches("/json").rsplit('/').next().unwrap().to_owned();
            format!(
                r#"{{"Id":"{id}","Name":"/web","Created":"2024-05-06T07:08:09.1Z","RestartCount":2,
                "State":{{"Running":true,"Pid":4711,"ExitCode":0,"OOMKilled":false,"StartedAt":"2024-05-06T07:08:10Z",
                "Health":{{"Status":"healthy"}}}},"HostConfig":{{"NetworkMode":"host"}},
                "Config":{{"Image":"nginx:1","Env":["APP_MODE=blue","SECRET=x"],"Labels":{{"io.kubernetes.pod.name":"p","io.kubernetes.pod.namespace":"n",
                "io.kubernetes.pod.uid":"u","io.kubernetes.container.name":"c"}}}}}}"#
            )
        };
        Ok::<_, Infallible>(Response::builder().header("content-type", "application/json").body(full(json)).unwrap())
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

#[test]
fn dockers_words_are_read_and_an_oom_kill_is_told() {
    let mut lab = Lab::new(SocketKind::Docker, 10);
    let events = concat!(
        r#"{"Type":"container","Action":"oom","Actor":{"ID":"d1","Attributes":{}},"timeNano":1}"#,
        "\n",
        r#"{"Type":"container","Action":"die","Actor":{"ID":"d1","Attributes":{"exitCode":"137"}},"timeNano":7000000000}"#,
        "\n",
        r#"{"Type":"container","Action":"die","Actor":{"ID":"d1","Attributes":{"exitCode":"137"}},"timeNano":7000000000}"#,
        "\n",
    );
    lab.serve(move |stream| serve_docker(stream, &["d1"], events, 0));
    let (id, metadata) = lab.described();
    assert_eq!((id.as_str(), metadata.name.as_str(), metadata.image.as_str()), ("d1", "web", "nginx:1"));
    assert_eq!((metadata.pid, metadata.restart_count, metadata.host_network), (Some(4711), Some(2), true));
    assert_eq!((metadata.healthy, metadata.runtime), (Some(true), Some(crate::discover::Runtime::Docker)));
    assert_eq!((metadata.pod.as_deref(), metadata.container.as_deref()), (Some("p"), Some("c")));
    let environment: Vec<_> =
        metadata.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(environment, [("APP_MODE", "blue")], "of the environment only what was asked for is kept");
    assert_eq!(metadata.created_at, Some(UnixNanos(1_714_979_289_100_000_000)));
    let (_, exit) = lab.exited();
    assert_eq!((exit.code, exit.reason.as_str()), (137, "OOMKilled"));
    assert_eq!(exit.finished_at, Some(UnixNanos(7_000_000_000)));
    assert!(lab.events.recv_timeout(Duration::from_millis(300)).is_err());
    assert!(lab.status.lock().unwrap().has_events);
}

#[test]
fn a_runtime_that_restarts_is_found_again() {
    let mut lab = Lab::new(SocketKind::Docker, 10);
    lab.serve(|stream| serve_docker(stream, &["d1"], "\n", 0));
    assert_eq!(lab.described().0, "d1");
    lab.state_when(|status| status.state == RuntimeState::Connected);
    lab.stop_fake();
    lab.state_when(|status| status.state != RuntimeState::Connected);
    let started = Instant::now();
    lab.serve(|stream| serve_docker(stream, &["d1", "d2"], "\n", 0));
    assert_eq!(lab.described().0, "d2", "what is known already is not told again");
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(Path::new(&lab.path).exists());
}

#[test]
fn a_docker_answer_beyond_the_greatest_size_is_failing() {
    let mut lab = Lab::new(SocketKind::Docker, 10);
    lab.serve(|stream| serve_docker(stream, &["d1"], "\n", 2 * MAX_ANSWER_BYTES));
    let reason = lab.failing();
    assert!(!reason.is_empty());
    assert!(lab.events.try_recv().is_err());
}
