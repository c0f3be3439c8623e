//! `/metrics/resource`: what metrics-server asks a kubelet for.
//!
//! In: [`Seen`]. Out: text format 0.0.4 with the kubelet's families, labels in the kubelet's order, and the millisecond
//! at which each value was read, from which metrics-server computes its rates. One sample is one line; a name that somebody
//! chose cannot leave its quotes.

use super::node;
use super::pods::{Cgroup, PodSeen, Seen};
use crate::sample::catalogue::CgroupColumn as C;
use crate::sample::derived::working_set_bytes;
use crate::sample::row::Cell;
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::prometheus::labels::{MAX_VALUE_BYTES, clip, push_escaped};
use crate::view::prometheus::number::Number;

/// The media type of the answer.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// From here on a limit of cgroup v1 means "none".
const UNLIMITED_FROM: u64 = 1 << 62;

/// A value and when it was read.
type Read = Option<(Number, Option<MonotonicNanos>)>;

/// A family of the node, of containers or of pods.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    of: Of,
}

enum Of {
    Node(fn(&Seen<'_>) -> Read),
    Containers(fn(&Cgroup<'_>) -> Read),
    Pods(fn(&Cgroup<'_>) -> Read),
}

/// The kubelet's families, in the order of their names, as the kubelet shows them.
const FAMILIES: &[Family] = &[
    Family {
        name: "container_cpu_usage_seconds_total",
        help: "CPU time used by the container.",
        kind: "counter",
        of: Of::Containers(cpu),
    },
    Family {
        name: "container_memory_working_set_bytes",
        help: "Working set of the container.",
        kind: "gauge",
        of: Of::Containers(working_set),
    },
    Family {
        name: "container_start_time_seconds",
        help: "When the container was started.",
        kind: "gauge",
        of: Of::Containers(start_time),
    },
    Family {
        name: "container_swap_limit_bytes",
        help: "Limit of the container's swap; absent without one.",
        kind: "gauge",
        of: Of::Containers(swap_limit),
    },
    Family {
        name: "container_swap_usage_bytes",
        help: "Swap used by the container.",
        kind: "gauge",
        of: Of::Containers(swap),
    },
    Family {
        name: "node_cpu_usage_seconds_total",
        help: "CPU time used by the node.",
        kind: "counter",
        of: Of::Node(node_cpu),
    },
    Family {
        name: "node_memory_working_set_bytes",
        help: "Working set of the node.",
        kind: "gauge",
        of: Of::Node(node_working_set),
    },
    Family { name: "node_swap_usage_bytes", help: "Swap used by the node.", kind: "gauge", of: Of::Node(node_swap) },
    Family {
        name: "pod_cpu_usage_seconds_total",
        help: "CPU time used by the pod.",
        kind: "counter",
        of: Of::Pods(cpu),
    },
    Family {
        name: "pod_memory_working_set_bytes",
        help: "Working set of the pod.",
        kind: "gauge",
        of: Of::Pods(working_set),
    },
    Family { name: "pod_swap_usage_bytes", help: "Swap used by the pod.", kind: "gauge", of: Of::Pods(swap) },
    Family {
        name: "resource_scrape_error",
        help: "1 if the node's usage could not be read, else 0.",
        kind: "gauge",
        of: Of::Node(scrape_error),
    },
];

/// CPU time of a cgroup.
fn cpu(cgroup: &Cgroup<'_>) -> Read {
    let row = cgroup.reading.row;
    Some((Number::Decimal { units: row.value(C::CpuUsageUsec)?, places: 6 }, Some(row.read_at)))
}

fn working_set(cgroup: &Cgroup<'_>) -> Read {
    let row = cgroup.reading.row;
    Some((Number::integer(working_set_bytes(&row, false)?), Some(row.read_at)))
}

/// The kubelet gives it no timestamp.
fn start_time(cgroup: &Cgroup<'_>) -> Read {
    let UnixNanos(nanos) = cgroup.started_at();
    (nanos > 0).then_some((Number::Decimal { units: nanos, places: 9 }, None))
}

fn swap(cgroup: &Cgroup<'_>) -> Read {
    let row = cgroup.reading.row;
    Some((Number::integer(row.value(C::MemorySwapCurrentBytes)?), Some(row.read_at)))
}

fn swap_limit(cgroup: &Cgroup<'_>) -> Read {
    let row = cgroup.reading.row;
    let limit = row.cell(C::MemorySwapMaxBytes);
    match limit {
        Cell::Value(bytes) if bytes < UNLIMITED_FROM => Some((Number::integer(bytes), Some(row.read_at))),
        _ => None,
    }
}

fn node_cpu(seen: &Seen<'_>) -> Read {
    node::cpu(seen).map(|cpu| (Number::Decimal { units: cpu.usage_usec, places: 6 }, Some(cpu.read_at)))
}

fn node_working_set(seen: &Seen<'_>) -> Read {
    node::working_set(seen).map(|(bytes, read_at)| (Number::integer(bytes), Some(read_at)))
}

fn node_swap(seen: &Seen<'_>) -> Read {
    node::swap(seen).map(|(bytes, read_at)| (Number::integer(bytes), Some(read_at)))
}

fn scrape_error(seen: &Seen<'_>) -> Read {
    let fails = node_cpu(seen).is_none() || node_working_set(seen).is_none();
    Some((Number::integer(u64::from(fails)), None))
}

/// The whole page.
pub(super) fn page(seen: &Seen<'_>) -> Vec<u8> {
    let pods: Vec<String> = seen.pods.iter().map(pod_labels).collect();
    let mut out = Vec::with_capacity(4096);
    for family in FAMILIES {
        let start = out.len();
        let Family { name, help, kind, of } = family;
        out.extend_from_slice(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n").as_bytes());
        let header = out.len();
        match of {
            Of::Node(read) => sample(&mut out, seen, name, "", read(seen)),
            Of::Containers(read) => {
                for (pod, labels) in seen.pods.iter().zip(&pods) {
                    for (container, cgroup) in &pod.containers {
                        let mut block = String::new();
                        label(&mut block, "container", container);
                        block.push(',');
                        block.push_str(labels);
                        sample(&mut out, seen, name, &block, read(cgroup));
                    }
                }
            }
            Of::Pods(read) => {
                for (pod, labels) in seen.pods.iter().zip(&pods) {
                    sample(&mut out, seen, name, labels, pod.own.as_ref().and_then(read));
                }
            }
        }
        if out.len() == header {
            out.truncate(start);
        }
    }
    out
}

fn pod_labels(pod: &PodSeen<'_>) -> String {
    let mut block = String::new();
    label(&mut block, "namespace", pod.namespace);
    block.push(',');
    label(&mut block, "pod", pod.name);
    block
}

fn label(block: &mut String, name: &str, value: &str) {
    block.push_str(name);
    block.push_str("=\"");
    push_escaped(block, clip(value, MAX_VALUE_BYTES));
    block.push('"');
}

fn sample(out: &mut Vec<u8>, seen: &Seen<'_>, name: &str, labels: &str, read: Read) {
    let Some((number, read_at)) = read else { return };
    out.extend_from_slice(name.as_bytes());
    if !labels.is_empty() {
        out.push(b'{');
        out.extend_from_slice(labels.as_bytes());
        out.push(b'}');
    }
    out.push(b' ');
    number.push_to(out);
    if let Some(read_at) = read_at {
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(seen.wall_of(read_at).millis()).as_bytes());
    }
    out.push(b'\n');
}
