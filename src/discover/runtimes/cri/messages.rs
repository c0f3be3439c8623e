//! The messages of `runtime.v1.RuntimeService` that are asked for, with the field numbers of cri-api's `api.proto`.
//!
//! In: protobuf. Out: structs. Fields that nobody reads (annotations, mounts, resources) are not declared: prost skips
//! them without keeping a byte. Text is `bytes`, because runtimes do not promise UTF-8 and one bad label must not cost
//! the whole answer. List items stay undecoded [`Bytes`]: a list of 100,000 containers costs its own size and no more,
//! and the reader stops where it wants. Next: [`super::convert`].

use std::collections::BTreeMap;

use bytes::Bytes;

/// One entry of a `map<string, string>`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Label {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `VersionRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct VersionRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub version: Vec<u8>,
}

/// `VersionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct VersionResponse {
    #[prost(bytes = "vec", tag = "2")]
    pub runtime_name: Vec<u8>,
}

/// `ListPodSandboxRequest` and `ListContainersRequest` without a filter, and `GetEventsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Everything {}

/// `ListPodSandboxResponse` and `ListContainersResponse`: one list of messages in field 1.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct List {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub items: Vec<Bytes>,
}

/// `PodSandboxMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct PodSandboxMetadata {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub uid: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub namespace: Vec<u8>,
    #[prost(uint32, tag = "4")]
    pub attempt: u32,
}

/// `PodSandbox`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct PodSandbox {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
    /// 0 ready, 1 not ready.
    #[prost(int32, tag = "3")]
    pub state: i32,
    #[prost(int64, tag = "4")]
    pub created_at: i64,
}

/// `PodSandboxStatusRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct PodSandboxStatusRequest {
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

/// `PodSandboxStatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<PodSandboxStatus>,
    #[prost(message, repeated, tag = "2")]
    pub info: Vec<Label>,
}

/// `PodSandboxStatus`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct PodSandboxStatus {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")]
    pub state: i32,
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    #[prost(message, optional, tag = "6")]
    pub linux: Option<LinuxPodSandboxStatus>,
    #[prost(message, repeated, tag = "7")]
    pub labels: Vec<Label>,
}

/// `LinuxPodSandboxStatus`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct LinuxPodSandboxStatus {
    #[prost(message, optional, tag = "1")]
    pub namespaces: Option<Namespace>,
}

/// `Namespace`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Namespace {
    #[prost(message, optional, tag = "2")]
    pub options: Option<NamespaceOption>,
}

/// `NamespaceOption`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct NamespaceOption {
    /// `NamespaceMode`: 0 pod, 1 container, 2 node, 3 target.
    #[prost(int32, tag = "1")]
    pub network: i32,
}

/// `ContainerMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ContainerMetadata {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

/// `ImageSpec`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ImageSpec {
    #[prost(bytes = "vec", tag = "1")]
    pub image: Vec<u8>,
    #[prost(bytes = "vec", tag = "18")]
    pub user_specified_image: Vec<u8>,
}

/// `Container`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Container {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub pod_sandbox_id: Vec<u8>,
    /// `ContainerState`: 0 created, 1 running, 2 exited, 3 unknown.
    #[prost(int32, tag = "6")]
    pub state: i32,
    #[prost(int64, tag = "7")]
    pub created_at: i64,
}

/// `ContainerStatusRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ContainerStatusRequest {
    #[prost(string, tag = "1")]
    pub container_id: String,
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

/// `ContainerStatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<ContainerStatus>,
    #[prost(message, repeated, tag = "2")]
    pub info: Vec<Label>,
}

/// `ContainerStatus`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ContainerStatus {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "3")]
    pub state: i32,
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    #[prost(int64, tag = "5")]
    pub started_at: i64,
    #[prost(int64, tag = "6")]
    pub finished_at: i64,
    #[prost(int32, tag = "7")]
    pub exit_code: i32,
    #[prost(message, optional, tag = "8")]
    pub image: Option<ImageSpec>,
    #[prost(bytes = "vec", tag = "10")]
    pub reason: Vec<u8>,
    #[prost(message, repeated, tag = "12")]
    pub labels: Vec<Label>,
    #[prost(bytes = "vec", tag = "15")]
    pub log_path: Vec<u8>,
}

/// `ContainerStatsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ContainerStatsRequest {
    #[prost(string, tag = "1")]
    pub container_id: String,
}

/// `ContainerStatsResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ContainerStatsResponse {
    #[prost(message, optional, tag = "1")]
    pub stats: Option<ContainerStats>,
}

/// `ContainerStats`, without what the kernel tells better.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ContainerStats {
    #[prost(message, optional, tag = "4")]
    pub writable_layer: Option<FilesystemUsage>,
}

/// `FilesystemUsage`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct FilesystemUsage {
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    #[prost(message, optional, tag = "2")]
    pub fs_id: Option<FilesystemIdentifier>,
    #[prost(message, optional, tag = "3")]
    pub used_bytes: Option<UInt64Value>,
    #[prost(message, optional, tag = "4")]
    pub inodes_used: Option<UInt64Value>,
}

/// `FilesystemIdentifier`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct FilesystemIdentifier {
    #[prost(bytes = "vec", tag = "1")]
    pub mountpoint: Vec<u8>,
}

/// `UInt64Value`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct UInt64Value {
    #[prost(uint64, tag = "1")]
    pub value: u64,
}

/// `ContainerEventResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ContainerEventResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub container_id: Vec<u8>,
    /// `ContainerEventType`: 0 created, 1 started, 2 stopped, 3 deleted.
    #[prost(int32, tag = "2")]
    pub container_event_type: i32,
}

/// Bytes as text; what is not UTF-8 becomes U+FFFD.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A label list as a map.
pub(super) fn label_map(labels: &[Label]) -> BTreeMap<String, String> {
    labels.iter().map(|label| (text(&label.key), text(&label.value))).collect()
}
