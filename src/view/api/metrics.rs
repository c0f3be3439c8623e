//! `GET /api/v1/metrics`: the catalogue, so that a program can ask for the history of every metric there is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::catalogue::Table;

use super::history::prefix;

/// Every metric that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetricList {
    /// In the order of the catalogue.
    pub metrics: Vec<MetricInfo>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetricInfo {
    /// What to write after `metric=`.
    pub metric: String,
    /// `cgroup`, `device`, `hugetlb`, `interface`, `node`, `cpu`, `disk`, `filesystem` or `agent`.
    pub table: String,
    /// The parameter that names the row, where the table has several for a container or node.
    pub parameter: Option<String>,
    /// Unit of the values.
    pub unit: String,
    /// `counter`, `gauge` or `limit`.
    pub kind: String,
    /// Kernel file and key on cgroup v2, or below `/proc`; null when there is none.
    pub source: Option<String>,
    /// Kernel file and key on cgroup v1.
    pub source_v1: Option<String>,
}

fn word(table: Table) -> &'static str {
    match table {
        Table::Cgroup => "cgroup",
        Table::Device => "device",
        Table::Hugetlb => "hugetlb",
        Table::Interface => "interface",
        Table::Node => "node",
        Table::Cpu => "cpu",
        Table::Disk => "disk",
        Table::Filesystem => "filesystem",
        Table::Agent => "agent",
    }
}

/// The whole catalogue.
pub(super) fn list() -> MetricList {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let of_table = |table: Table| {
        table.metrics().iter().map(move |metric| {
            let prefix = prefix(table);
            MetricInfo {
                metric: if prefix.is_empty() { metric.name.to_owned() } else { format!("{prefix}.{}", metric.name) },
                table: word(table).to_owned(),
                parameter: text(prefix),
                unit: metric.unit.as_str().to_owned(),
                kind: metric.kind.as_str().to_owned(),
                source: text(metric.source),
                source_v1: text(metric.source_v1),
            }
        })
    };
    MetricList { metrics: Table::ALL.into_iter().flat_map(of_table).collect() }
}
