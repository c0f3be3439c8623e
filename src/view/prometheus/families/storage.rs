//! cAdvisor's set `disk`: what containers, pods and the node keep on filesystems.
//!
//! In: the node's filesystems from the tick, everybody else's usage from
//! [`Details::storage`](crate::sample::details::Details). Out: families. As cAdvisor has it, a container's usage is its
//! writable layer and its logs, its limit the size of what the layer is on, and its inodes are those it has; how many are
//! free is the filesystem's to say, and cAdvisor's constant 0 would be a lie. A container whose layer has not been counted
//! yet has no usage.

use super::super::family::{DetailReader, Emit, Family, Series, Value, detail, gauge, root_filesystem};
use super::super::labels::push_label;
use super::super::layout::{Rows, Scope};
use super::super::number::Number;
use super::super::set::Set;
use super::computed;
use crate::sample::SubjectId;
use crate::sample::catalogue::FilesystemColumn as F;
use crate::sample::details::Details;
use crate::sample::storage::{Backing, StorageUsage, TreeUsage, VolumeUsage};

const fn container(reader: DetailReader) -> Series {
    detail(reader).only(Scope::CONTAINERS)
}

/// Filesystem usage.
pub const FAMILIES: &[Family] = &[
    gauge(
        "container_fs_limit_bytes",
        "Size of a filesystem; of a container the one that its writable layer is on.",
        &[root_filesystem(F::Size), container(limit_bytes)],
    )
    .of(Set::Disk),
    gauge(
        "container_fs_usage_bytes",
        "Bytes in use on a filesystem; of a container its writable layer and its logs.",
        &[Series::new(Rows::RootFilesystems, Value::Computed(computed::filesystem_usage)), container(usage_bytes)],
    )
    .of(Set::Disk),
    gauge(
        "container_fs_inodes_total",
        "Inodes of a filesystem; of a container those in its writable layer and its logs.",
        &[Series::new(Rows::RootFilesystems, Value::Computed(computed::inodes)), container(inodes)],
    )
    .of(Set::Disk),
    gauge(
        "container_fs_inodes_free",
        "Free inodes of a filesystem.",
        &[Series::new(Rows::RootFilesystems, Value::Computed(computed::inodes_free))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_container_fs_writable_layer_bytes",
        "Bytes in a container's writable layer.",
        &[container(|details, id, sink| layer(details, id, sink, |usage| usage.used_bytes))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_container_fs_writable_layer_inodes",
        "Inodes in a container's writable layer.",
        &[container(|details, id, sink| layer(details, id, sink, |usage| usage.inodes))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_container_fs_logs_bytes",
        "Bytes in a container's logs, rotated ones included.",
        &[container(|details, id, sink| logs(details, id, sink, |usage| usage.used_bytes))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_container_fs_logs_inodes",
        "Inodes of a container's logs, rotated ones included.",
        &[container(|details, id, sink| logs(details, id, sink, |usage| usage.inodes))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_container_fs_counted_timestamp_seconds",
        "When a container's files were counted, and by whom (cri, quota, walk).",
        &[container(counted_at)],
    )
    .of(Set::Disk),
    gauge(
        "ringside_container_fs_partial",
        "1 for a count that is too low: the tree is too big, too deep, or not readable everywhere.",
        &[container(partial)],
    )
    .of(Set::Disk),
    gauge(
        "ringside_pod_volume_used_bytes",
        "Bytes in a pod's volume.",
        &[detail(|details, id, sink| volumes(details, id, sink, |volume| Some(volume.usage.used_bytes)))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_pod_volume_inodes_used",
        "Inodes in a pod's volume.",
        &[detail(|details, id, sink| volumes(details, id, sink, |volume| Some(volume.usage.inodes)))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_pod_volume_capacity_bytes",
        "Size of the filesystem that a pod's volume is on.",
        &[detail(|details, id, sink| volumes(details, id, sink, |volume| some(volume.backing.capacity_bytes)))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_pod_volume_available_bytes",
        "What is free on the filesystem that a pod's volume is on.",
        &[detail(|details, id, sink| {
            volumes(details, id, sink, |volume| {
                some(volume.backing.capacity_bytes).map(|_| volume.backing.available_bytes)
            });
        })],
    )
    .of(Set::Disk),
    gauge(
        "ringside_pod_volume_counted_timestamp_seconds",
        "When a pod's volume was counted, and by whom (statvfs, quota, walk).",
        &[detail(|details, id, sink| {
            each_volume(details, id, |labels, volume| {
                let mut labels = labels.to_owned();
                push_label(&mut labels, 0, "source", volume.usage.source.as_str());
                sink(&labels, timestamp(&volume.usage));
            });
        })],
    )
    .of(Set::Disk),
    gauge(
        "ringside_pod_ephemeral_storage_used_bytes",
        "Bytes of a pod's ephemeral storage: writable layers, logs, and emptyDirs that are not in memory.",
        &[detail(|details, id, sink| ephemeral(details, id, sink, |usage| Number::integer(usage.used_bytes)))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_pod_ephemeral_storage_inodes_used",
        "Inodes of a pod's ephemeral storage.",
        &[detail(|details, id, sink| ephemeral(details, id, sink, |usage| Number::integer(usage.inodes)))],
    )
    .of(Set::Disk),
    gauge(
        "ringside_pod_ephemeral_storage_counted_timestamp_seconds",
        "When the oldest part of a pod's ephemeral storage was counted.",
        &[detail(|details, id, sink| ephemeral(details, id, sink, timestamp))],
    )
    .of(Set::Disk),
];

fn of(details: &Details, id: SubjectId) -> Option<&StorageUsage> {
    details.storage.get(&id)
}

fn some(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

/// The device as the node's own filesystems are named: a tmpfs or overlay has no path.
fn device_label(backing: Option<&Backing>) -> String {
    let mut labels = String::new();
    push_label(&mut labels, 0, "device", backing.map_or("", |backing| &backing.device));
    labels
}

fn limit_bytes(details: &Details, id: SubjectId, sink: &mut Emit<'_>) {
    let backing = of(details, id).and_then(|usage| usage.writable_layer_backing.as_deref());
    if let Some((backing, size)) = backing.and_then(|backing| Some((backing, some(backing.capacity_bytes)?))) {
        sink(&device_label(Some(backing)), Number::integer(size));
    }
}

fn usage_bytes(details: &Details, id: SubjectId, sink: &mut Emit<'_>) {
    sum(details, id, sink, |usage| usage.used_bytes);
}

fn inodes(details: &Details, id: SubjectId, sink: &mut Emit<'_>) {
    sum(details, id, sink, |usage| usage.inodes);
}

/// Writable layer and logs together, under the layer's device.
fn sum(details: &Details, id: SubjectId, sink: &mut Emit<'_>, number: fn(&TreeUsage) -> u64) {
    let Some(usage) = of(details, id) else { return };
    let Some(layer) = &usage.writable_layer else { return };
    let sum = number(layer).saturating_add(usage.logs.as_ref().map_or(0, number));
    sink(&device_label(usage.writable_layer_backing.as_deref()), Number::integer(sum));
}

fn layer(details: &Details, id: SubjectId, sink: &mut Emit<'_>, number: fn(&TreeUsage) -> u64) {
    let Some(usage) = of(details, id) else { return };
    if let Some(layer) = &usage.writable_layer {
        sink(&device_label(usage.writable_layer_backing.as_deref()), Number::integer(number(layer)));
    }
}

fn logs(details: &Details, id: SubjectId, sink: &mut Emit<'_>, number: fn(&TreeUsage) -> u64) {
    let Some(usage) = of(details, id) else { return };
    if let Some(logs) = &usage.logs {
        sink(&device_label(usage.logs_backing.as_deref()), Number::integer(number(logs)));
    }
}

/// A container's parts with their labels.
fn each_part(details: &Details, id: SubjectId, mut part: impl FnMut(&str, &TreeUsage)) {
    let Some(usage) = of(details, id) else { return };
    for (name, tree) in [("writable_layer", &usage.writable_layer), ("logs", &usage.logs)] {
        let Some(tree) = tree else { continue };
        let mut labels = String::new();
        push_label(&mut labels, 0, "part", name);
        push_label(&mut labels, 0, "source", tree.source.as_str());
        part(&labels, tree);
    }
}

fn counted_at(details: &Details, id: SubjectId, sink: &mut Emit<'_>) {
    each_part(details, id, |labels, tree| sink(labels, timestamp(tree)));
}

fn partial(details: &Details, id: SubjectId, sink: &mut Emit<'_>) {
    each_part(details, id, |labels, tree| {
        if tree.is_partial {
            sink(labels, Number::integer(1));
        }
    });
}

fn timestamp(usage: &TreeUsage) -> Number {
    Number::Decimal { units: usage.counted_at.millis(), places: 3 }
}

/// The volumes that people fill. Tokens, secrets and their kin are a few kilobytes in every pod.
fn each_volume(details: &Details, id: SubjectId, mut each: impl FnMut(&str, &VolumeUsage)) {
    const SMALL: [&str; 4] =
        ["kubernetes.io~projected", "kubernetes.io~secret", "kubernetes.io~downward-api", "kubernetes.io~configmap"];
    let Some(usage) = of(details, id) else { return };
    for volume in usage.volumes.iter().filter(|volume| !SMALL.contains(&&*volume.plugin)) {
        let mut labels = String::new();
        push_label(&mut labels, 0, "volume", &volume.name);
        push_label(&mut labels, 0, "plugin", &volume.plugin);
        each(&labels, volume);
    }
}

fn volumes(details: &Details, id: SubjectId, sink: &mut Emit<'_>, number: fn(&VolumeUsage) -> Option<u64>) {
    each_volume(details, id, |labels, volume| {
        if let Some(number) = number(volume) {
            sink(labels, Number::integer(number));
        }
    });
}

fn ephemeral(details: &Details, id: SubjectId, sink: &mut Emit<'_>, number: fn(&TreeUsage) -> Number) {
    if let Some(usage) = of(details, id).and_then(|usage| usage.ephemeral_storage.as_ref()) {
        sink("", number(usage));
    }
}
