//! The metric catalogue: one line per metric, in tables by what the metric belongs to.
//!
//! In: nothing. Out: for each table an enum of columns (the position in a row) and, in the same order, a [`Metric`]
//! with name, unit, kind and the kernel files it comes from on cgroup v2 and v1. Readers fill rows by the enum,
//! the ring stores them by position, and the views show them by name. A new metric is one line here, one `put` in its
//! reader and, if Prometheus shall see it, one line in `view/`.

mod agent;
mod cgroup;
mod network;
mod node;

pub use agent::{AGENT_METRICS, AgentColumn, TICK_BUCKET_COLUMNS};
pub use cgroup::{CGROUP_METRICS, CgroupColumn, DEVICE_METRICS, DeviceColumn, HUGETLB_METRICS, HugetlbColumn};
pub use network::{INTERFACE_METRICS, InterfaceColumn};
pub use node::{
    CPU_METRICS, CpuColumn, DISK_METRICS, DiskColumn, FILESYSTEM_METRICS, FilesystemColumn, NODE_METRICS, NodeColumn,
};

/// Unit of a column's integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Microseconds.
    Usec,
    /// Nanoseconds.
    Nanos,
    /// Milliseconds.
    Msec,
    /// Clock ticks of 1/100 s (`USER_HZ`).
    Ticks,
    /// Seconds since 1970.
    UnixSeconds,
    /// Bytes.
    Bytes,
    /// Kernel pages.
    Pages,
    /// Sectors of 512 bytes.
    Sectors,
    /// Hundredths of a percent (`avg10=1.23` is 123).
    PercentHundredths,
    /// Hundredths (`0.52` is 52).
    Hundredths,
    /// A plain count.
    Count,
    /// 0 or 1.
    Flag,
}

impl Unit {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usec => "microseconds",
            Self::Nanos => "nanoseconds",
            Self::Msec => "milliseconds",
            Self::Ticks => "ticks",
            Self::UnixSeconds => "unix_seconds",
            Self::Bytes => "bytes",
            Self::Pages => "pages",
            Self::Sectors => "sectors",
            Self::PercentHundredths => "percent_hundredths",
            Self::Hundredths => "hundredths",
            Self::Count => "count",
            Self::Flag => "flag",
        }
    }
}

/// How a column behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only grows; a fall is a reset.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A configured bound, which may be unlimited.
    Limit,
}

impl Kind {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Limit => "limit",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name in the history API; the kernel's words, with the unit.
    pub name: &'static str,
    /// Unit of the integers.
    pub unit: Unit,
    /// Counter, gauge or limit.
    pub kind: Kind,
    /// Kernel file and key: cgroup v2 for cgroup tables, `/proc` for node tables. Empty when there is none.
    pub source: &'static str,
    /// The cgroup v1 file and key; empty when there is none or it is not a cgroup's.
    pub source_v1: &'static str,
}

/// What a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// One row per cgroup.
    Cgroup,
    /// One row per cgroup and block device.
    Device,
    /// One row per cgroup and huge page size.
    Hugetlb,
    /// One row per network namespace and interface; the node's own included.
    Interface,
    /// One row: the node.
    Node,
    /// One row per CPU of the node.
    Cpu,
    /// One row per block device of the node.
    Disk,
    /// One row per mounted filesystem.
    Filesystem,
    /// One row: the agent itself.
    Agent,
}

impl Table {
    /// Every table, in the order in which a sample holds them.
    pub const ALL: [Self; 9] = [
        Self::Cgroup,
        Self::Device,
        Self::Hugetlb,
        Self::Interface,
        Self::Node,
        Self::Cpu,
        Self::Disk,
        Self::Filesystem,
        Self::Agent,
    ];

    /// The table's metrics, in column order.
    #[must_use]
    pub const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Cgroup => CGROUP_METRICS,
            Self::Device => DEVICE_METRICS,
            Self::Hugetlb => HUGETLB_METRICS,
            Self::Interface => INTERFACE_METRICS,
            Self::Node => NODE_METRICS,
            Self::Cpu => CPU_METRICS,
            Self::Disk => DISK_METRICS,
            Self::Filesystem => FILESYSTEM_METRICS,
            Self::Agent => AGENT_METRICS,
        }
    }

    /// The column of `name` in this table.
    #[must_use]
    pub fn column(self, name: &str) -> Option<usize> {
        self.metrics().iter().position(|metric| metric.name == name)
    }
}

/// Declares a table: the enum of columns and the metrics, from one list, so that they cannot drift apart.
macro_rules! table {
    (
        $(#[$doc:meta])* $enum:ident, $metrics:ident;
        $( $column:ident = $name:literal, $unit:ident, $kind:ident, $source:literal, $source_v1:literal; )+
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $enum {
            $(
                #[doc = concat!("`", $name, "`: ", $source)]
                $column,
            )+
        }

        impl $crate::sample::row::Column for $enum {
            #[inline]
            fn index(self) -> usize {
                self as usize
            }
        }

        #[doc = concat!("The metrics of [`", stringify!($enum), "`], in column order.")]
        pub const $metrics: &[$crate::sample::catalogue::Metric] = &[
            $(
                $crate::sample::catalogue::Metric {
                    name: $name,
                    unit: $crate::sample::catalogue::Unit::$unit,
                    kind: $crate::sample::catalogue::Kind::$kind,
                    source: $source,
                    source_v1: $source_v1,
                },
            )+
        ];
    };
}
use table;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::row::MAX_COLUMNS;

    #[test]
    fn every_table_fits_the_presence_bits_and_names_are_unique() {
        for table in Table::ALL {
            let metrics = table.metrics();
            assert!(metrics.len() <= MAX_COLUMNS, "{table:?} has {} columns", metrics.len());
            for (index, metric) in metrics.iter().enumerate() {
                assert_eq!(table.column(metric.name), Some(index), "{table:?} {} twice", metric.name);
            }
        }
    }

    #[test]
    fn every_metric_has_a_source_and_its_unit_in_its_name() {
        for table in Table::ALL {
            for metric in table.metrics() {
                assert!(!metric.source.is_empty() || !metric.source_v1.is_empty(), "{}", metric.name);
                let suffix = match metric.unit {
                    Unit::Usec => "_usec",
                    Unit::Nanos => "_nanos",
                    Unit::Msec => "_msec",
                    Unit::Ticks => "_ticks",
                    Unit::Bytes => "_bytes",
                    Unit::Pages => "_pages",
                    Unit::Sectors => "_sectors",
                    Unit::PercentHundredths => "_percent_hundredths",
                    Unit::Hundredths => "_hundredths",
                    Unit::UnixSeconds => "_unix_seconds",
                    Unit::Count | Unit::Flag => "",
                };
                assert!(metric.name.ends_with(suffix), "{} should end in {suffix}", metric.name);
            }
        }
    }
}
