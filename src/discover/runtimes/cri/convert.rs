//! CRI's words as ours. In: messages. Out: [`Metadata`] and [`ExitRecord`]. Pure functions. Next: [`super::super::book`].

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::messages::{ContainerStatus, FilesystemUsage, Label, PodSandboxStatus, label_map, text};
use crate::discover::runtimes::book::kubernetes_words;
use crate::discover::runtimes::time;
use crate::discover::{ExitRecord, LayerUsage, Metadata, Runtime};

/// Longest path that is taken over (`PATH_MAX`).
const MAX_PATH_BYTES: usize = 4096;
/// `NamespaceMode.NODE`.
const NODE: i32 = 2;

/// The part of the runtimes' verbose `info` that both containerd and CRI-O give.
#[derive(serde::Deserialize, Default)]
struct Info {
    pid: Option<u32>,
    image: Option<String>,
}

/// The JSON of the verbose answer; empty where there is none.
pub(super) fn info_json(entries: &[Label]) -> &[u8] {
    entries.iter().find(|entry| entry.key == b"info").map_or(&[], |entry| entry.value.as_slice())
}

fn info(entries: &[Label]) -> Info {
    serde_json::from_slice(info_json(entries)).unwrap_or_default()
}

/// The runtime's name in `VersionResponse`, and what it is called in labels.
pub(super) fn runtime_of(name: &str) -> Option<Runtime> {
    match name {
        "containerd" => Some(Runtime::Containerd),
        "cri-o" => Some(Runtime::CriO),
        "docker" => Some(Runtime::Docker),
        _ => None,
    }
}

/// A pod's sandbox.
pub(super) fn sandbox(status: &PodSandboxStatus, entries: &[Label], runtime: Option<Runtime>) -> Metadata {
    let info = info(entries);
    let labels = label_map(&status.labels);
    let network = status
        .linux
        .as_ref()
        .and_then(|linux| linux.namespaces.as_ref())
        .and_then(|namespaces| namespaces.options.as_ref())
        .map(|options| options.network);
    let mut metadata = Metadata {
        name: text(&status.id),
        image: info.image.unwrap_or_default(),
        sandbox: true,
        runtime,
        created_at: time::from_nanos(status.created_at),
        started_at: time::from_nanos(status.created_at),
        pid: info.pid.filter(|pid| *pid > 0),
        host_network: network == Some(NODE),
        ..Metadata::default()
    };
    kubernetes_words(&mut metadata, &labels);
    if let Some(pod) = &status.metadata {
        let word = |bytes: &[u8]| Some(text(bytes)).filter(|word| !word.is_empty());
        metadata.pod = word(&pod.name).or(metadata.pod);
        metadata.namespace = word(&pod.namespace).or(metadata.namespace);
        metadata.pod_uid = word(&pod.uid).or(metadata.pod_uid);
        metadata.restart_count = Some(pod.attempt);
    }
    metadata.container = None;
    metadata.labels = labels;
    metadata
}

/// A container; `pod` is its sandbox, if that is known.
pub(super) fn container(
    status: &ContainerStatus,
    entries: &[Label],
    pod: Option<&Metadata>,
    runtime: Option<Runtime>,
) -> Metadata {
    let labels = label_map(&status.labels);
    let image = status.image.as_ref().map(|image| {
        if image.user_specified_image.is_empty() { text(&image.image) } else { text(&image.user_specified_image) }
    });
    let mut metadata = Metadata {
        name: text(&status.id),
        image: image.unwrap_or_default(),
        runtime,
        created_at: time::from_nanos(status.created_at),
        started_at: time::from_nanos(status.started_at),
        restart_count: status.metadata.as_ref().map(|metadata| metadata.attempt),
        pid: info(entries).pid.filter(|pid| *pid > 0),
        host_network: pod.is_some_and(|pod| pod.host_network),
        ..Metadata::default()
    };
    kubernetes_words(&mut metadata, &labels);
    if let Some(pod) = pod {
        metadata.namespace = metadata.namespace.or_else(|| pod.namespace.clone());
        metadata.pod = metadata.pod.or_else(|| pod.pod.clone());
        metadata.pod_uid = metadata.pod_uid.or_else(|| pod.pod_uid.clone());
    }
    let name = status.metadata.as_ref().map(|metadata| text(&metadata.name)).filter(|name| !name.is_empty());
    metadata.container = name.or(metadata.container);
    metadata.labels = labels;
    metadata
}

/// A path of the host; `None` for what is not one.
pub(super) fn path(bytes: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(bytes));
    (path.is_absolute() && bytes.len() <= MAX_PATH_BYTES && !bytes.contains(&0)).then(|| path.to_owned())
}

/// What the runtime counted of a writable layer; `None` when it has not counted yet.
pub(super) fn layer_usage(usage: &FilesystemUsage) -> Option<LayerUsage> {
    Some(LayerUsage {
        used_bytes: usage.used_bytes.as_ref()?.value,
        inodes: usage.inodes_used.as_ref().map(|inodes| inodes.value),
        mountpoint: usage.fs_id.as_ref().and_then(|id| path(&id.mountpoint)),
        counted_at: time::from_nanos(usage.timestamp)?,
    })
}

/// How a container ended.
pub(super) fn exit(status: &ContainerStatus) -> ExitRecord {
    let reason = match (text(&status.reason), status.exit_code) {
        (reason, _) if !reason.is_empty() => reason,
        (_, 0) => "Completed".to_owned(),
        _ => "Error".to_owned(),
    };
    ExitRecord { code: status.exit_code, reason, finished_at: time::from_nanos(status.finished_at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_is_read_from_the_verbose_answer_and_nonsense_is_no_pid() {
        let entry = |value: &[u8]| vec![Label { key: b"info".to_vec(), value: value.to_vec() }];
        assert_eq!(info(&entry(br#"{"sandboxID":"x","pid":4711,"runtimeSpec":{"a":[1]}}"#)).pid, Some(4711));
        assert_eq!(info(&entry(b"{\"pid\":-1}")).pid, None);
        assert_eq!(info(&entry(b"garbage")).pid, None);
        assert_eq!(info(&[]).pid, None);
    }

    #[test]
    fn a_label_that_is_not_text_costs_only_itself() {
        let label = |key: &[u8], value: &[u8]| Label { key: key.to_vec(), value: value.to_vec() };
        let labels = vec![label(b"io.kubernetes.pod.name", b"web-0"), label(b"bad", b"\xff\xfe")];
        let status = ContainerStatus { id: b"c1".to_vec(), labels, ..ContainerStatus::default() };
        let metadata = container(&status, &[], None, Some(Runtime::Containerd));
        assert_eq!(metadata.pod.as_deref(), Some("web-0"));
        assert_eq!(metadata.labels.get("bad").unwrap(), "\u{fffd}\u{fffd}");
    }
}
