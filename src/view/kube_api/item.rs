//! One node or pod as `metrics.k8s.io` shows it, whatever it is then written as.
//!
//! In: the store's readings. Out: an [`Item`], or nothing while there is no rate. A container without a rate is left out,
//! and not its pod. A pod's time and window are those of its container that was read first: no container's window is then
//! said to be younger than it is. Next: [`super::json`], [`super::protobuf`].

use std::sync::Arc;
use std::time::Duration;

use crate::store::cluster::{Metric, NodeUsage, PodUsage, Readings};
use crate::units::UnixNanos;

/// What one container or node uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage<'a> {
    /// Empty for a node.
    pub(super) container: &'a str,
    pub(super) cpu_nanocores: u64,
    pub(super) memory_bytes: u64,
    /// With extra resources only, as all below.
    pub(super) ephemeral_storage_bytes: Option<u64>,
    pub(super) swap_bytes: Option<u64>,
    /// Names and bytes per second, ascending by name.
    pub(super) flows: [Option<(&'static str, u64)>; 4],
}

/// The resources beyond CPU and memory that are flows, ascending by name.
const FLOWS: [(&str, Metric); 4] = [
    ("ringside.dev/io-read", Metric::IoReadBytes),
    ("ringside.dev/io-write", Metric::IoWriteBytes),
    ("ringside.dev/network-receive", Metric::NetworkReceiveBytes),
    ("ringside.dev/network-transmit", Metric::NetworkTransmitBytes),
];

/// What is written as one object.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    /// Empty for a node.
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) labels: &'a [(Arc<str>, Arc<str>)],
    pub(super) timestamp: UnixNanos,
    pub(super) window: Duration,
    /// One for a node, one per container of a pod.
    pub(super) usages: Vec<Usage<'a>>,
}

impl<'a> Item<'a> {
    /// A node; `None` while it has no rate of CPU time or no memory.
    pub(super) fn of_node(node: &'a NodeUsage, extra: bool) -> Option<Self> {
        Some(Self {
            namespace: "",
            name: &node.node.name,
            labels: &node.node.labels,
            timestamp: node.readings.timestamp,
            window: node.readings.window,
            usages: vec![usage("", &node.readings, extra)?],
        })
    }

    /// A pod; `None` while none of its containers has a rate.
    pub(super) fn of_pod(pod: &'a PodUsage, extra: bool) -> Option<Self> {
        let mut usages = Vec::with_capacity(pod.containers.len());
        let mut earliest: Option<&Readings> = None;
        for (name, readings) in &pod.containers {
            let Some(usage) = usage(name, readings, extra) else { continue };
            usages.push(usage);
            if earliest.is_none_or(|earliest| readings.timestamp < earliest.timestamp) {
                earliest = Some(readings);
            }
        }
        let earliest = earliest?;
        Some(Self {
            namespace: &pod.pod.namespace,
            name: &pod.pod.name,
            labels: &pod.pod.labels,
            timestamp: earliest.timestamp,
            window: earliest.window,
            usages,
        })
    }
}

fn usage<'a>(container: &'a str, readings: &Readings, extra: bool) -> Option<Usage<'a>> {
    let cpu_nanocores = readings.cpu_nanocores()?;
    let memory_bytes = readings.get(Metric::MemoryWorkingSetBytes)?;
    let mut usage = Usage {
        container,
        cpu_nanocores,
        memory_bytes,
        ephemeral_storage_bytes: None,
        swap_bytes: None,
        flows: [None; 4],
    };
    if extra {
        usage.ephemeral_storage_bytes = readings.get(Metric::EphemeralStorageBytes);
        usage.swap_bytes = readings.get(Metric::MemorySwapBytes);
        for (place, (name, metric)) in usage.flows.iter_mut().zip(FLOWS) {
            *place = readings.per_second(metric).map(|per_second| (name, whole(per_second)));
        }
    }
    Some(usage)
}

/// A rate without its fraction.
fn whole(per_second: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and a rate is not negative"
    )]
    let whole = per_second.round() as u64;
    whole
}
