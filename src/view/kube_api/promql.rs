//! Questions in PromQL, over the names that agents export.
//!
//! In: a question. Out: a query, or nothing for what no family tells. Values of labels come from requests: they are quoted,
//! and can be nothing but values. Agents' series must have a label `node`, which remote write and scrapes add.
//! Next: [`super::backend`].

use std::fmt::Write as _;
use std::time::Duration;

use super::series::SeriesMetric;
use super::source::{NewestQuestion, Object, SeriesQuestion};
use crate::store::cluster::{Metric, MetricKind};

/// The label that names a series' node.
pub(super) const NODE: &str = "node";

/// The shortest time over which a rate is taken: four samples at the usual interval of scrapes.
const LEAST_WINDOW: Duration = Duration::from_secs(60);

/// What the engine groups by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Cluster,
    Node,
    Namespace,
    Pod,
    Container,
}

impl By {
    fn labels(self) -> &'static str {
        match self {
            Self::Cluster => "",
            Self::Node => NODE,
            Self::Namespace => "namespace",
            Self::Pod => "namespace, pod",
            Self::Container => "namespace, pod, container",
        }
    }
}

/// The family of a metric, in the metric's base unit, and further conditions on its labels.
fn family(metric: Metric) -> Option<(&'static str, &'static str)> {
    Some(match metric {
        Metric::CpuUsageUsec => ("container_cpu_usage_seconds_total", ""),
        Metric::MemoryWorkingSetBytes => ("container_memory_working_set_bytes", ""),
        Metric::MemoryCurrentBytes => ("container_memory_usage_bytes", ""),
        Metric::MemoryAnonBytes => ("container_memory_rss", ""),
        Metric::MemoryFileBytes => ("container_memory_cache", ""),
        Metric::MemoryKernelBytes => ("container_memory_kernel_usage", ""),
        Metric::MemorySwapBytes => ("container_memory_swap", ""),
        Metric::MemoryMajorFaults => {
            ("container_memory_failures_total", "failure_type=\"pgmajfault\",scope=\"container\"")
        }
        Metric::CpuThrottledUsec => ("container_cpu_cfs_throttled_seconds_total", ""),
        Metric::CpuPeriods => ("container_cpu_cfs_periods_total", ""),
        Metric::CpuThrottledPeriods => ("container_cpu_cfs_throttled_periods_total", ""),
        Metric::IoReadBytes => ("container_fs_reads_bytes_total", ""),
        Metric::IoWriteBytes => ("container_fs_writes_bytes_total", ""),
        Metric::IoReads => ("container_fs_reads_total", ""),
        Metric::IoWrites => ("container_fs_writes_total", ""),
        Metric::NetworkReceiveBytes => ("container_network_receive_bytes_total", ""),
        Metric::NetworkTransmitBytes => ("container_network_transmit_bytes_total", ""),
        Metric::NetworkReceivePackets => ("container_network_receive_packets_total", ""),
        Metric::NetworkTransmitPackets => ("container_network_transmit_packets_total", ""),
        Metric::NetworkReceiveDropped => ("container_network_receive_packets_dropped_total", ""),
        Metric::NetworkTransmitDropped => ("container_network_transmit_packets_dropped_total", ""),
        Metric::CpuPressureSomeUsec => ("container_pressure_cpu_waiting_seconds_total", ""),
        Metric::CpuPressureFullUsec => ("container_pressure_cpu_stalled_seconds_total", ""),
        Metric::MemoryPressureSomeUsec => ("container_pressure_memory_waiting_seconds_total", ""),
        Metric::MemoryPressureFullUsec => ("container_pressure_memory_stalled_seconds_total", ""),
        Metric::IoPressureSomeUsec => ("container_pressure_io_waiting_seconds_total", ""),
        Metric::IoPressureFullUsec => ("container_pressure_io_stalled_seconds_total", ""),
        Metric::MemoryEventsHigh => ("container_memory_events_high_total", ""),
        Metric::MemoryEventsMax => ("container_memory_events_max_total", ""),
        Metric::MemoryEventsOomKill => ("container_oom_events_total", ""),
        Metric::Pids => ("container_threads", ""),
        _ => return None,
    })
}

/// Over which time a metric's newest value is measured.
pub(super) fn window_of(metric: &SeriesMetric) -> Duration {
    if is_counter(metric) { LEAST_WINDOW } else { Duration::ZERO }
}

fn is_counter(metric: &SeriesMetric) -> bool {
    metric.metric.info().kind == MetricKind::Counter
}

/// The query of a time series.
pub(super) fn range(question: &SeriesQuestion, by: By) -> Option<String> {
    let mut conditions = Conditions::of(question.metric, by, question.namespace.is_none() && question.pod.is_none())?;
    conditions.equal("namespace", question.namespace.as_deref());
    conditions.equal(NODE, question.node.as_deref());
    conditions.equal("pod", question.pod.as_deref());
    Some(conditions.query(question.metric, by, question.step.max(LEAST_WINDOW)))
}

/// The query of newest values.
pub(super) fn instant(question: &NewestQuestion) -> Option<String> {
    let by = match question.of {
        Object::Pod => By::Pod,
        Object::Node => By::Node,
    };
    let mut conditions = Conditions::of(question.metric, by, true)?;
    conditions.equal("namespace", question.namespace.as_deref());
    let name = if question.of == Object::Pod { "pod" } else { NODE };
    conditions.equal(name, question.name.as_deref());
    Some(conditions.query(question.metric, by, LEAST_WINDOW))
}

/// A family and what its labels must be.
struct Conditions {
    family: &'static str,
    text: String,
}

impl Conditions {
    /// `whole` means that nodes may answer for themselves, with their root cgroup.
    fn of(metric: &SeriesMetric, by: By, whole: bool) -> Option<Self> {
        let (family, more) = family(metric.metric)?;
        let mut text = more.to_owned();
        let level = match by {
            By::Cluster | By::Node if whole => "id=\"/\"",
            // A pod's network and pressure are its own, everything else is its containers'.
            _ if metric.is_of_pods() && by != By::Container => "pod!=\"\",container=\"\"",
            _ => "container!=\"\",container!=\"POD\"",
        };
        // The network of a pod is exported with the container that holds it.
        let level = if family.starts_with("container_network") && level != "id=\"/\"" { "pod!=\"\"" } else { level };
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(level);
        Some(Self { family, text })
    }

    fn equal(&mut self, label: &str, value: Option<&str>) {
        if let Some(value) = value {
            let _ = write!(self.text, ",{label}=");
            quote(&mut self.text, value);
        }
    }

    fn query(self, metric: &SeriesMetric, by: By, window: Duration) -> String {
        let Self { family, text } = self;
        let selector = format!("{family}{{{text}}}");
        let value = if is_counter(metric) { format!("rate({selector}[{}s])", window.as_secs()) } else { selector };
        format!("sum by ({}) ({value})", by.labels())
    }
}

/// A string of PromQL.
fn quote(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::selector::LabelSelector;
    use super::*;
    use crate::store::cluster::GroupBy;
    use crate::units::UnixNanos;

    fn question(metric: &str) -> SeriesQuestion {
        SeriesQuestion {
            metric: SeriesMetric::named(metric).unwrap(),
            by: GroupBy::Pod,
            namespace: None,
            node: None,
            pod: None,
            labels: LabelSelector::default(),
            from: UnixNanos(0),
            to: UnixNanos(900_000_000_000),
            step: Duration::from_secs(15),
        }
    }

    #[test]
    fn queries_sum_up_what_the_group_consists_of() {
        let cpu = question("cpu_usage_cores");
        assert_eq!(
            range(&cpu, By::Pod).unwrap(),
            "sum by (namespace, pod) (rate(container_cpu_usage_seconds_total{container!=\"\",container!=\"POD\"}[60s]))"
        );
        assert_eq!(
            range(&cpu, By::Cluster).unwrap(),
            "sum by () (rate(container_cpu_usage_seconds_total{id=\"/\"}[60s]))"
        );
        let memory = SeriesQuestion { namespace: Some("shop".to_owned()), ..question("memory_working_set_bytes") };
        assert_eq!(
            range(&memory, By::Namespace).unwrap(),
            "sum by (namespace) (container_memory_working_set_bytes{container!=\"\",container!=\"POD\",namespace=\"shop\"})"
        );
        let pressure = question("io_pressure_full_ratio");
        assert_eq!(
            range(&pressure, By::Pod).unwrap(),
            "sum by (namespace, pod) (rate(container_pressure_io_stalled_seconds_total{pod!=\"\",container=\"\"}[60s]))"
        );
        assert_eq!(range(&question("restarts_per_second"), By::Pod), None);
    }

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        let hostile = SeriesQuestion { pod: Some("a\"} or up{x=\"\\".to_owned()), ..question("pids") };
        assert_eq!(
            range(&hostile, By::Pod).unwrap(),
            "sum by (namespace, pod) (container_threads{container!=\"\",container!=\"POD\",pod=\"a\\\"} or up{x=\\\"\\\\\"})"
        );
    }
}
