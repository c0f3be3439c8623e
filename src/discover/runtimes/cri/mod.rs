//! containerd, CRI-O and cri-dockerd, by the Kubernetes container runtime interface, version 1.
//!
//! In: a unix socket with gRPC. Out: descriptions of sandboxes and containers, and ends. Where the runtime streams
//! events (`GetContainerEvents`, containerd 1.7 and CRI-O when enabled) one event refreshes one container; elsewhere the
//! lists are read every two seconds, and at once when the watcher saw a birth or an end.
//! It calls nothing that changes a container. Numbers are asked for by `stats.rs` only, on a connection of its own. Next: [`super::book`].

mod convert;
pub(super) mod messages;
mod stats;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::UnixStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

use super::{DEADLINE, Failure, MAX_ANSWER_BYTES, Source, environment, time};
use crate::discover::Runtime;
pub(in super::super) use stats::StatsSource;

use messages::{
    Container, ContainerEventResponse, ContainerStatusRequest, ContainerStatusResponse, Everything, List, PodSandbox,
    PodSandboxStatusRequest, PodSandboxStatusResponse, VersionRequest, VersionResponse, text,
};

/// Pause between lists where there are no events.
const POLL: Duration = Duration::from_secs(2);
/// How long a birth or an end waits for its siblings before the lists are read.
const SETTLE: Duration = Duration::from_millis(100);
const EXITED: i32 = 2;

/// Serves one socket until it fails or discovery stops.
pub(super) async fn serve(source: &mut Source) -> Failure {
    match serve_until_failure(source).await {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

async fn serve_until_failure(source: &mut Source) -> Result<std::convert::Infallible, Failure> {
    drop(UnixStream::connect(&source.socket.path).await.map_err(|error| Failure::connect(&error))?);
    let mut client = Client::connect(&source.socket.path).await?;
    let version: VersionResponse =
        client.call("Version", VersionRequest { version: b"v1".to_vec() }).await.map_err(refused)?;
    let name = text(&version.runtime_name);
    let mut session = Session { client, runtime: convert::runtime_of(&name), states: HashMap::new() };
    source.with_status(|status| status.name = session.runtime.map_or(name, |runtime| runtime.as_str().to_owned()));
    let mut events = session.client.events().await?;
    source.nudge.mark_unchanged();
    session.reconcile(source).await?;
    source.succeeded(events.is_some());
    let mut pause = if events.is_some() { source.reconcile } else { POLL };
    let mut tick = interval_at(Instant::now() + pause, pause);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut nudge = source.nudge.clone();
        tokio::select! {
            event = next_event(&mut events) => match event {
                Ok(event) => session.refresh(source, &event).await?,
                Err(_) => {
                    // The stream ended or was never there after all: go on asking.
                    events = None;
                    source.with_status(|status| status.has_events = false);
                    pause = POLL;
                    tick = interval_at(Instant::now() + pause, pause);
                    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                }
            },
            changed = nudge.changed() => {
                if changed.is_err() {
                    return Err(Failure::Stopped);
                }
                tokio::time::sleep(SETTLE).await;
                source.nudge.mark_unchanged();
                session.reconcile(source).await?;
                source.succeeded(events.is_some());
            }
            _ = tick.tick() => {
                session.reconcile(source).await?;
                source.succeeded(events.is_some());
            }
        }
    }
}

/// The next event; never, where there is no stream.
async fn next_event(events: &mut Option<Streaming<ContainerEventResponse>>) -> Result<ContainerEventResponse, Status> {
    match events {
        Some(stream) => stream.message().await?.ok_or_else(|| Status::unavailable("the event stream ended")),
        None => std::future::pending().await,
    }
}

fn refused(status: Status) -> Failure {
    Failure::failed(format_args!("{}: {}", status.code(), status.message()))
}

/// One connection's knowledge.
struct Session {
    client: Client,
    runtime: Option<Runtime>,
    /// Last known state per container; sandboxes have `-1 - state`.
    states: HashMap<String, i32>,
}

impl Session {
    /// Compares with the runtime's lists and asks for the status of what is new or changed.
    async fn reconcile(&mut self, source: &Source) -> Result<(), Failure> {
        let sandboxes: List = self.client.call("ListPodSandbox", Everything {}).await.map_err(refused)?;
        let containers: List = self.client.call("ListContainers", Everything {}).await.map_err(refused)?;
        // No more than the book would take.
        let most = source.with_book(|book| book.max_containers);
        let mut listed = HashSet::new();
        for item in sandboxes.items.iter().take(most) {
            let Ok(sandbox) = PodSandbox::decode(item.clone()) else { continue };
            let id = text(&sandbox.id);
            let state = -1 - sandbox.state;
            listed.insert(id.clone());
            if self.states.get(&id) != Some(&state) && (sandbox.state == 0 || self.states.contains_key(&id)) {
                self.refresh_sandbox(source, &id).await?;
            }
            self.states.insert(id, state);
        }
        for item in containers.items.iter().take(most) {
            let Ok(container) = Container::decode(item.clone()) else { continue };
            let id = text(&container.id);
            listed.insert(id.clone());
            if self.states.get(&id) != Some(&container.state) {
                self.refresh_container(source, &id, &text(&container.pod_sandbox_id)).await?;
                self.states.insert(id, container.state);
            }
        }
        self.states.retain(|id, _| listed.contains(id));
        for id in source.with_book(|book| book.missing(source.index, &listed)) {
            source.with_book(|book| book.forget(&id));
        }
        Ok(())
    }

    /// Acts on one event.
    async fn refresh(&mut self, source: &Source, event: &ContainerEventResponse) -> Result<(), Failure> {
        /// `CONTAINER_DELETED_EVENT`.
        const DELETED: i32 = 3;
        let id = text(&event.container_id);
        if event.container_event_type == DELETED {
            self.states.remove(&id);
            source.with_book(|book| book.forget(&id));
            return Ok(());
        }
        // Events of sandboxes look like those of containers: what the book does not know is asked for as both.
        if source.with_book(|book| book.get(&id).is_some_and(|metadata| metadata.sandbox)) {
            return self.refresh_sandbox(source, &id).await;
        }
        if !self.refresh_container(source, &id, "").await? {
            self.refresh_sandbox(source, &id).await?;
        }
        Ok(())
    }

    /// Asks for one container. False when there is none with this ID.
    async fn refresh_container(&mut self, source: &Source, id: &str, sandbox: &str) -> Result<bool, Failure> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        let answer: ContainerStatusResponse = match self.client.call("ContainerStatus", request).await {
            Ok(answer) => answer,
            Err(status) if is_transport(&status) => return Err(refused(status)),
            // One container that cannot be asked about is one container without a name.
            Err(_) => return Ok(false),
        };
        let Some(status) = answer.status else { return Ok(false) };
        let is_over = status.state == EXITED;
        // Ended before this agent began: old news, unless we knew it alive.
        let finished_at = time::from_nanos(status.finished_at);
        let is_known = source.with_book(|book| book.get(id).is_some());
        if is_over && !is_known && finished_at.is_none_or(|at| at < source.started_at) {
            return Ok(true);
        }
        let pod = source.with_book(|book| book.get(sandbox).cloned());
        let pod = match pod {
            Some(pod) => Some(pod),
            None => source.with_book(|book| {
                let labels = messages::label_map(&status.labels);
                labels.get("io.kubernetes.pod.uid").and_then(|uid| book.sandbox_of(uid).cloned())
            }),
        };
        let mut metadata = convert::container(&status, &answer.info, pod.as_deref(), self.runtime);
        metadata.environment = environment::chosen_of_json(&source.environment, convert::info_json(&answer.info));
        source.describe(id, metadata).await?;
        let log_path = convert::path(&status.log_path);
        source.with_book(|book| book.with_files(id, |files| files.log_path = log_path));
        if is_over {
            source.exit(id, convert::exit(&status)).await?;
        }
        self.states.insert(id.to_owned(), status.state);
        Ok(true)
    }

    /// Asks for one sandbox.
    async fn refresh_sandbox(&mut self, source: &Source, id: &str) -> Result<(), Failure> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        let answer: PodSandboxStatusResponse = match self.client.call("PodSandboxStatus", request).await {
            Ok(answer) => answer,
            Err(status) if is_transport(&status) => return Err(refused(status)),
            Err(_) => return Ok(()),
        };
        if let Some(status) = answer.status {
            source.describe(id, convert::sandbox(&status, &answer.info, self.runtime)).await?;
        }
        Ok(())
    }
}

/// True when the connection is at fault and not the thing that was asked for.
fn is_transport(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

/// The gRPC client: one channel, one deadline, one greatest size.
struct Client {
    grpc: Grpc<Channel>,
}

impl Client {
    async fn connect(path: &Path) -> Result<Self, Failure> {
        let path = path.to_path_buf();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost")
            .connect_timeout(DEADLINE)
            .http2_max_header_list_size(16 * 1024)
            .buffer_size(16);
        let channel = timeout(DEADLINE, endpoint.connect_with_connector(connector)).await;
        let channel = channel.map_err(|_| Failure::failed("no answer in time"))?.map_err(Failure::failed)?;
        Ok(Self { grpc: Grpc::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES) })
    }

    async fn call<Q, A>(&mut self, method: &str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let answer = timeout(DEADLINE, async {
            self.grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let codec: ProstCodec<Q, A> = ProstCodec::default();
            self.grpc.unary(tonic::Request::new(request), path(method)?, codec).await
        });
        let answer = answer.await.map_err(|_| Status::deadline_exceeded("no answer in time"))??;
        Ok(answer.into_inner())
    }

    /// Opens the event stream; `None` where the runtime has none.
    async fn events(&mut self) -> Result<Option<Streaming<ContainerEventResponse>>, Failure> {
        let answer = timeout(DEADLINE, async {
            self.grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let codec: ProstCodec<Everything, ContainerEventResponse> = ProstCodec::default();
            self.grpc.server_streaming(tonic::Request::new(Everything {}), path("GetContainerEvents")?, codec).await
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(Some(answer.into_inner())),
            // A server that sends no headers before the first event looks the same as one that hangs; the calls that
            // follow tell them apart.
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }
}

fn path(method: &str) -> Result<PathAndQuery, Status> {
    format!("/runtime.v1.RuntimeService/{method}").parse().map_err(|_| Status::internal("not a method"))
}
