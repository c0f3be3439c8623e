//! Whose cgroup it is, in other agents' words: the kubelet's six labels, and what cAdvisor shows by itself.
//!
//! In: a subject and its kind. Out: label text. Nothing is decided here but which labels; who is shown is
//! [`layout`](super::layout)'s business, which is next.

use super::Shape;
use super::labels::{push_container_labels, push_label};
use super::layout::push_id;
use crate::sample::{CgroupKind, Metadata, Runtime, Subject, Workload};

/// Whether the kubelet's page has a cgroup: the root, what belongs to pods, and the services that run them.
pub(super) fn kubelet_shows(subject: &Subject, kind: CgroupKind) -> bool {
    const SERVICES: [&str; 5] =
        ["/kubelet.service", "/containerd.service", "/crio.service", "/docker.service", "/cri-docker.service"];
    match kind {
        CgroupKind::Root | CgroupKind::Qos | CgroupKind::Pod | CgroupKind::Sandbox | CgroupKind::Container => true,
        _ => SERVICES.iter().any(|service| subject.name.ends_with(service)),
    }
}

/// The kubelet's six, of which an empty one is none to Prometheus: a sandbox has no container, a pod's cgroup neither that
/// nor a name.
pub(super) fn push_kubelet_identity(text: &mut String, start: usize, subject: &Subject, kind: CgroupKind) {
    push_id(text, start, subject);
    let Some(metadata) = subject.workload.as_ref().and_then(|workload| workload.metadata.as_deref()) else { return };
    if kind != CgroupKind::Pod {
        push_label(text, start, "name", &metadata.name);
        push_label(text, start, "image", &metadata.image);
    }
    push_label(text, start, "pod", metadata.pod.as_deref().unwrap_or(""));
    push_label(text, start, "namespace", metadata.namespace.as_deref().unwrap_or(""));
    if kind == CgroupKind::Container {
        push_label(text, start, "container", metadata.container.as_deref().unwrap_or(""));
    }
}

/// What cAdvisor shows by itself: it knows containers and no pods.
pub(super) fn push_cadvisor_identity(
    text: &mut String,
    start: usize,
    subject: &Subject,
    kind: CgroupKind,
    shape: &Shape,
) {
    push_id(text, start, subject);
    let Some(workload) = subject.workload.as_ref().filter(|_| kind != CgroupKind::Pod) else { return };
    let Some(metadata) = workload.metadata.as_deref() else { return };
    let runtime = metadata.runtime.or(workload.identity.runtime);
    match runtime {
        Some(Runtime::CriO) => push_label(text, start, "name", &crio_name(workload, metadata)),
        _ => push_label(text, start, "name", &metadata.name),
    }
    push_label(text, start, "image", &metadata.image);
    let restarts = metadata.restart_count.filter(|count| *count > 0);
    if restarts.is_some() && matches!(runtime, Some(Runtime::CriO | Runtime::Docker)) {
        let mut metadata = metadata.clone();
        metadata.labels.insert("restartcount".to_owned(), restarts.unwrap_or_default().to_string());
        push_container_labels(text, start, &metadata, shape);
    } else {
        push_container_labels(text, start, metadata, shape);
    }
}

/// CRI-O's own name of a container, under which cAdvisor shows it.
fn crio_name(workload: &Workload, metadata: &Metadata) -> String {
    let (Some(pod), Some(namespace)) = (&metadata.pod, &metadata.namespace) else { return metadata.name.clone() };
    let container = metadata.container.as_deref().unwrap_or("POD");
    let uid = metadata.pod_uid.as_deref().or(workload.identity.pod_uid.as_deref()).unwrap_or("");
    format!("k8s_{container}_{pod}_{namespace}_{uid}_{}", metadata.restart_count.unwrap_or(0))
}
