//! The metrics as people and autoscalers ask for them: one name and one base unit for each pushed metric.
//!
//! In: the table of pushed metrics. Out: [`SeriesMetric`]. A counter of time is a ratio (seconds per second; of CPU time:
//! cores), every other counter a rate per second, a gauge itself. The kernel's own name is understood as well.
//! Next: [`super::custom`], [`super::history`], [`super::backend`].

use std::sync::LazyLock;

use crate::store::cluster::{Metric, MetricKind, MetricUnit};
use crate::view::api::nearest;

use super::status::Status;

/// A metric in base units.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesMetric {
    /// Its name here, such as `cpu_usage_cores` or `network_receive_bytes_per_second`.
    pub name: String,
    /// What it is computed from.
    pub metric: Metric,
    /// Unit of its values.
    pub unit: &'static str,
    /// What the store's value is multiplied with.
    pub factor: f64,
    /// One sentence for people.
    pub help: String,
}

static ALL: LazyLock<Vec<SeriesMetric>> =
    LazyLock::new(|| Metric::ALL.iter().map(|metric| SeriesMetric::of(*metric)).collect());

impl SeriesMetric {
    /// Every metric, in the order of their numbers.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The metric of a name, or of the kernel's name for it.
    ///
    /// # Errors
    /// 404 that names the nearest.
    pub fn named(name: &str) -> Result<&'static Self, Status> {
        let kernel_name = name.strip_suffix("_per_second").unwrap_or(name);
        let found = ALL.iter().find(|one| one.name == name || one.metric.info().name == kernel_name);
        found.ok_or_else(|| {
            let hint = nearest(name, ALL.iter().map(|one| one.name.as_str()));
            let hint = hint.map_or_else(
                || "GET /apis/custom.metrics.k8s.io/v1beta2 lists them all".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            Status::unknown(format!("there is no metric {name:?}; {hint}"))
        })
    }

    fn of(metric: Metric) -> Self {
        let info = metric.info();
        let (name, unit, factor) = match (info.kind, info.unit) {
            (MetricKind::Counter, MetricUnit::Usec) if metric == Metric::CpuUsageUsec => {
                ("cpu_usage_cores".to_owned(), "cores", 1e-6)
            }
            (MetricKind::Counter, MetricUnit::Usec) => {
                (format!("{}_ratio", info.name.trim_end_matches("_usec")), "seconds per second", 1e-6)
            }
            (MetricKind::Counter, MetricUnit::Bytes) => (format!("{}_per_second", info.name), "bytes per second", 1.0),
            (MetricKind::Counter, _) => (format!("{}_per_second", info.name), "per second", 1.0),
            (MetricKind::Gauge, MetricUnit::Bytes) => (info.name.to_owned(), "bytes", 1.0),
            (MetricKind::Gauge, MetricUnit::Millicores) => (info.name.to_owned(), "millicores", 1.0),
            (MetricKind::Gauge, MetricUnit::Usec) => (info.name.to_owned(), "microseconds", 1.0),
            (MetricKind::Gauge, MetricUnit::Count) => (info.name.to_owned(), "count", 1.0),
        };
        let help = match info.kind {
            MetricKind::Counter => format!("{} As a rate.", info.help),
            MetricKind::Gauge => info.help.to_owned(),
        };
        Self { name, metric, unit, factor, help }
    }

    /// Whether a pod has it itself, and not as the sum of its containers.
    pub(super) fn is_of_pods(&self) -> bool {
        use Metric::{
            CpuPressureFullUsec, CpuPressureSomeUsec, EphemeralStorageBytes, IoPressureFullUsec, IoPressureSomeUsec,
            MemoryPressureFullUsec, MemoryPressureSomeUsec, NetworkReceiveBytes, NetworkReceiveDropped,
            NetworkReceivePackets, NetworkTransmitBytes, NetworkTransmitDropped, NetworkTransmitPackets,
        };
        matches!(
            self.metric,
            CpuPressureSomeUsec
                | CpuPressureFullUsec
                | MemoryPressureSomeUsec
                | MemoryPressureFullUsec
                | IoPressureSomeUsec
                | IoPressureFullUsec
                | NetworkReceiveBytes
                | NetworkTransmitBytes
                | NetworkReceivePackets
                | NetworkTransmitPackets
                | NetworkReceiveDropped
                | NetworkTransmitDropped
                | EphemeralStorageBytes
        )
    }

    /// Whether only nodes have it.
    pub(super) fn is_of_nodes_only(&self) -> bool {
        use Metric::{CpuCapacityMillicores, EphemeralStorageCapacityBytes, MemoryCapacityBytes, SwapCapacityBytes};
        matches!(
            self.metric,
            CpuCapacityMillicores | MemoryCapacityBytes | SwapCapacityBytes | EphemeralStorageCapacityBytes
        )
    }

    /// Whether it is a limit: a sum over containers of which one has none, is none.
    pub(super) fn is_limit(&self) -> bool {
        matches!(self.metric, Metric::MemoryMaxBytes | Metric::CpuLimitMillicores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_one_name_that_tells_its_unit() {
        let names: std::collections::BTreeSet<_> = SeriesMetric::all().iter().map(|one| &one.name).collect();
        assert_eq!(names.len(), Metric::ALL.len());
        for (name, metric, unit) in [
            ("cpu_usage_cores", Metric::CpuUsageUsec, "cores"),
            ("cpu_throttled_ratio", Metric::CpuThrottledUsec, "seconds per second"),
            ("cpu_pressure_some_ratio", Metric::CpuPressureSomeUsec, "seconds per second"),
            ("network_receive_bytes_per_second", Metric::NetworkReceiveBytes, "bytes per second"),
            ("memory_major_faults_per_second", Metric::MemoryMajorFaults, "per second"),
            ("memory_working_set_bytes", Metric::MemoryWorkingSetBytes, "bytes"),
            ("pids", Metric::Pids, "count"),
        ] {
            let found = SeriesMetric::named(name).unwrap();
            assert_eq!((found.metric, found.unit, found.name.as_str()), (metric, unit, name));
        }
    }

    #[test]
    fn the_kernels_name_is_understood_and_an_unknown_one_is_told_the_nearest() {
        assert_eq!(SeriesMetric::named("cpu_usage_usec").unwrap().name, "cpu_usage_cores");
        assert_eq!(SeriesMetric::named("io_reads").unwrap().name, "io_reads_per_second");
        let status = SeriesMetric::named("cpu_usage_core").unwrap_err();
        assert_eq!(status.code, 404);
        assert!(status.message.contains("did you mean \"cpu_usage_cores\"?"), "{}", status.message);
        assert!(SeriesMetric::named("zzzz").unwrap_err().message.contains("lists them all"));
    }
}
