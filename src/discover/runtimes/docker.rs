//! Docker Engine and Podman, by Docker's HTTP API.
//!
//! In: a unix socket. Out: descriptions and ends of containers, by list, inspect and the event stream. Every request is
//! a connection of its own that may carry at most [`MAX_ANSWER_BYTES`]; the event stream too, after which it is opened
//! anew and everything is compared. The API version is negotiated, so that old engines are asked what they know.
//! It never asks for `stats` (the engine takes a second or two for it). Next: [`super::book`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, EventMessage, HealthStatusEnum};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use futures_util::{Stream, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::book::kubernetes_words;
use super::{DEADLINE, Failure, MAX_ANSWER_BYTES, Source, environment, time};
use crate::discover::{ExitRecord, Metadata, Runtime};
use crate::units::UnixNanos;

/// Inspections under way at once.
const PARALLEL: usize = 4;
/// What the event stream is asked for.
const ACTIONS: [&str; 8] = ["create", "start", "die", "died", "oom", "destroy", "rename", "health_status"];

/// Serves one socket until it fails or discovery stops.
pub(super) async fn serve(source: &mut Source) -> Failure {
    match serve_until_failure(source).await {
        Ok(()) => Failure::Failed("the event stream ended".to_owned()),
        Err(failure) => failure,
    }
}

async fn serve_until_failure(source: &mut Source) -> Result<(), Failure> {
    drop(UnixStream::connect(&source.socket.path).await.map_err(|error| Failure::connect(&error))?);
    let since = UnixNanos::now().0 / 1_000_000_000;
    let docker = connect(&source.socket.path)?;
    let docker = in_time(docker.negotiate_version()).await?;
    let version = in_time(docker.version()).await?;
    let is_podman = version.components.iter().flatten().any(|part| part.name.contains("Podman"));
    let runtime = if is_podman { Runtime::Podman } else { Runtime::Docker };
    source.with_status(|status| runtime.as_str().clone_into(&mut status.name));

    // The stream begins a second before the list is asked for, so that nothing falls between them. It may be silent for
    // hours, hence its own connection with its own patience.
    let patient = docker.clone().with_timeout(Duration::from_secs(7 * 24 * 3600));
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), ACTIONS.map(str::to_owned).to_vec()),
    ]);
    let since = Some(since.saturating_sub(1).to_string());
    let mut events = Box::pin(patient.events(Some(EventsOptions { since, until: None, filters: Some(filters) })));
    let mut session = Session { docker, runtime, running: HashMap::new(), oom: HashSet::new() };
    session.reconcile(source).await?;
    source.succeeded(true);

    let mut reconcile = tokio::time::interval_at(tokio::time::Instant::now() + source.reconcile, source.reconcile);
    reconcile.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = next(&mut events) => match event {
                Some(Ok(event)) => session.handle(source, &event).await?,
                Some(Err(error)) => return Err(Failure::failed(error)),
                None => return Ok(()),
            },
            _ = reconcile.tick() => {
                session.reconcile(source).await?;
                source.succeeded(true);
            }
        }
    }
}

async fn next<T>(events: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    events.next().await
}

/// One connection's knowledge.
struct Session {
    docker: Docker,
    runtime: Runtime,
    /// Running containers with the names they had in the last list.
    running: HashMap<String, Vec<String>>,
    /// Containers that had an `oom` event in this run.
    oom: HashSet<String>,
}

impl Session {
    /// Compares with the engine's list: inspects what is new or renamed, and what is gone from it.
    async fn reconcile(&mut self, source: &Source) -> Result<(), Failure> {
        let list = in_time(self.docker.list_containers(None::<ListContainersOptions>)).await?;
        let mut listed = HashMap::new();
        for container in list {
            if let Some(id) = container.id {
                listed.insert(id, container.names.unwrap_or_default());
            }
        }
        let ids: HashSet<String> = listed.keys().cloned().collect();
        let news: Vec<String> = listed
            .iter()
            .filter(|(id, names)| self.running.get(*id) != Some(*names) || source.with_book(|book| book.has_exited(id)))
            .map(|(id, _)| id.clone())
            .collect();
        self.inspect_all(source, news).await?;
        let missing = source.with_book(|book| book.missing(source.index, &ids));
        for id in missing {
            if source.with_book(|book| book.has_exited(&id)) {
                continue;
            }
            match self.inspect(&id).await {
                Ok(Some(inspected)) => self.apply(source, &id, inspected).await?,
                Ok(None) => source.with_book(|book| book.forget(&id)),
                Err(_) => {}
            }
        }
        self.running = listed;
        self.oom.retain(|id| ids.contains(id));
        Ok(())
    }

    async fn inspect_all(&mut self, source: &Source, ids: Vec<String>) -> Result<(), Failure> {
        let docker = self.docker.clone();
        let mut inspected = futures_util::stream::iter(ids)
            .map(|id| {
                let docker = docker.clone();
                async move {
                    let answer = inspect(&docker, &id).await;
                    (id, answer)
                }
            })
            .buffer_unordered(PARALLEL);
        while let Some((id, answer)) = inspected.next().await {
            // One container that cannot be inspected is one container without a name.
            if let Ok(Some(answer)) = answer {
                self.apply(source, &id, answer).await?;
            }
        }
        Ok(())
    }

    async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Failure> {
        inspect(&self.docker, id).await
    }

    async fn handle(&mut self, source: &Source, event: &EventMessage) -> Result<(), Failure> {
        let Some(id) = event.actor.as_ref().and_then(|actor| actor.id.clone()) else { return Ok(()) };
        let action = event.action.as_deref().unwrap_or_default();
        match action.split(':').next().unwrap_or_default() {
            "oom" => {
                self.oom.insert(id);
            }
            "destroy" => {
                self.running.remove(&id);
                self.oom.remove(&id);
                source.with_book(|book| book.forget(&id));
            }
            "die" | "died" => {
                let inspected = self.inspect(&id).await.ok().flatten();
                let state = inspected.as_ref().and_then(|inspected| inspected.state.as_ref());
                let attribute = |key: &str| {
                    let attributes = event.actor.as_ref()?.attributes.as_ref()?;
                    attributes.get(key)?.parse::<i32>().ok()
                };
                let code = attribute("exitCode").or_else(|| attribute("containerExitCode"));
                let code = code.or_else(|| i32::try_from(state?.exit_code?).ok()).unwrap_or(-1);
                let was_oom = self.oom.remove(&id) || state.and_then(|state| state.oom_killed).unwrap_or(false);
                let finished_at = event.time_nano.and_then(time::from_nanos);
                source.exit(&id, exit_record(code, was_oom, finished_at)).await?;
            }
            "start" => {
                self.oom.remove(&id);
                source.with_book(|book| book.revive(&id));
                self.inspect_all(source, vec![id]).await?;
            }
            _ => self.inspect_all(source, vec![id]).await?,
        }
        Ok(())
    }

    /// Describes a container, and its end if it has ended.
    async fn apply(&mut self, source: &Source, id: &str, inspected: ContainerInspectResponse) -> Result<(), Failure> {
        let state = inspected.state.clone().unwrap_or_default();
        let partner = inspected
            .host_config
            .as_ref()
            .and_then(|host| host.network_mode.as_deref())
            .and_then(|mode| mode.strip_prefix("container:"))
            .and_then(|partner| source.with_book(|book| book.get(partner).map(|metadata| metadata.host_network)));
        let (upper_dir, log_path) = files(&inspected);
        let mut metadata = describe(inspected, self.runtime, &source.environment);
        metadata.host_network |= partner.unwrap_or(false);
        source.describe(id, metadata).await?;
        source.with_book(|book| {
            book.with_files(id, |files| (files.upper_dir, files.log_path) = (upper_dir, log_path));
        });
        let has_run = state.started_at.as_deref().and_then(time::parse_rfc3339).is_some();
        if has_run && state.running == Some(false) && state.restarting != Some(true) {
            let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
            let was_oom = self.oom.remove(id) || state.oom_killed.unwrap_or(false);
            let finished_at = state.finished_at.as_deref().and_then(time::parse_rfc3339);
            source.exit(id, exit_record(code, was_oom, finished_at)).await?;
        }
        Ok(())
    }
}

fn exit_record(code: i32, was_oom: bool, finished_at: Option<crate::units::UnixNanos>) -> ExitRecord {
    let reason = match (was_oom, code) {
        (true, _) => "OOMKilled",
        (false, 0) => "Completed",
        _ => "Error",
    };
    ExitRecord { code, reason: reason.to_owned(), finished_at }
}

/// One inspection; `None` when the container is gone.
async fn inspect(docker: &Docker, id: &str) -> Result<Option<ContainerInspectResponse>, Failure> {
    let answer = tokio::time::timeout(DEADLINE, docker.inspect_container(id, None)).await;
    match answer {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })) => Ok(None),
        Ok(Err(error)) => Err(Failure::failed(error)),
        Err(_) => Err(Failure::failed("no answer in time")),
    }
}

/// The writable layer and the log, as paths of the host. The layer is absent with a snapshotter of containerd, which tells
/// none; the log with a driver that writes no file.
fn files(inspected: &ContainerInspectResponse) -> (Option<PathBuf>, Option<PathBuf>) {
    let absolute = |path: &str| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let driver = inspected.graph_driver.as_ref();
    let upper_dir = driver.and_then(|driver| absolute(driver.data.get("UpperDir")?));
    (upper_dir, inspected.log_path.as_deref().and_then(absolute))
}

/// Docker's words as ours.
fn describe(inspected: ContainerInspectResponse, runtime: Runtime, environment: &[String]) -> Metadata {
    let state = inspected.state.unwrap_or_default();
    let config = inspected.config.unwrap_or_default();
    let labels: BTreeMap<String, String> = config.labels.unwrap_or_default().into_iter().collect();
    let name = inspected.name.unwrap_or_default();
    let health = state.health.and_then(|health| health.status);
    let mut metadata = Metadata {
        name: name.strip_prefix('/').map_or(name.clone(), str::to_owned),
        image: config.image.unwrap_or_default(),
        environment: environment::chosen(environment, config.env.iter().flatten().map(String::as_str)),
        runtime: Some(runtime),
        created_at: inspected.created.as_deref().and_then(time::parse_rfc3339),
        started_at: state.started_at.as_deref().and_then(time::parse_rfc3339),
        restart_count: inspected.restart_count.and_then(|count| u32::try_from(count).ok()),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
        host_network: inspected.host_config.is_some_and(|host| host.network_mode.as_deref() == Some("host")),
        healthy: match health {
            Some(HealthStatusEnum::HEALTHY) => Some(true),
            Some(HealthStatusEnum::STARTING | HealthStatusEnum::UNHEALTHY) => Some(false),
            _ => None,
        },
        sandbox: labels.get("io.kubernetes.docker.type").is_some_and(|kind| kind == "podsandbox")
            || labels.get("io.kubernetes.container.name").is_some_and(|name| name == "POD"),
        ..Metadata::default()
    };
    kubernetes_words(&mut metadata, &labels);
    if metadata.sandbox {
        metadata.container = None;
    }
    let restarts = labels.get("annotation.io.kubernetes.container.restartCount");
    if let Some(count) = restarts.and_then(|count| count.parse().ok()) {
        metadata.restart_count = Some(count);
    }
    metadata.labels = labels;
    metadata
}

async fn in_time<T>(call: impl Future<Output = Result<T, bollard::errors::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::failed(error)),
        Err(_) => Err(Failure::failed("no answer in time")),
    }
}

/// A client whose every request is one connection with a byte budget.
fn connect(path: &Path) -> Result<Docker, Failure> {
    let path = path.to_path_buf();
    let transport = move |request: BollardRequest| {
        let path = path.clone();
        async move {
            let stream = UnixStream::connect(&path).await.map_err(bollard_error)?;
            let io = TokioIo::new(Capped { stream, left: MAX_ANSWER_BYTES });
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            let (mut head, body) = request.into_parts();
            let path_and_query = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
            head.uri = path_and_query.parse().map_err(|error| bollard_error(io::Error::other(error)))?;
            head.headers.insert(hyper::header::HOST, hyper::header::HeaderValue::from_static("localhost"));
            Ok(sender.send_request(BollardRequest::from_parts(head, body)).await?)
        }
    };
    Docker::connect_with_custom_transport(transport, Some("http://localhost"), DEADLINE.as_secs(), API_DEFAULT_VERSION)
        .map_err(Failure::failed)
}

fn bollard_error(error: io::Error) -> bollard::errors::Error {
    bollard::errors::Error::IOError { err: error }
}

/// A stream that fails when more was read from it than one answer may have.
struct Capped {
    stream: UnixStream,
    left: usize,
}

impl AsyncRead for Capped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other(format!("an answer of more than {MAX_ANSWER_BYTES} bytes"))));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        self.left = self.left.saturating_sub(read);
        polled
    }
}

impl AsyncWrite for Capped {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
