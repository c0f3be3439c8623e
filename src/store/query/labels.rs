//! Labels: what people call a subject.
//!
//! In: a [`Subject`] and the cgroup that owns it. Out: [`Labels`] under the names that cAdvisor's users know. A label that
//! is not known is left out, never empty. The kernel's and the runtime's words are passed on as they are. Next:
//! [`answer`](super::answer), and the views that show names.

use std::collections::BTreeMap;

use crate::sample::catalogue::Table;
use crate::sample::{CgroupKind, QosClass, Subject, Workload};

/// A subject's labels by name.
///
/// | label | what it is |
/// |---|---|
/// | `id` | path of the cgroup |
/// | `kind` | `container`, `sandbox`, `pod`, `qos`, `service`, `slice`, `scope`, `root`, `other`; `node` for the node's own |
/// | `name` | the name people use: inside its pod, else the runtime's, else the last part of the path |
/// | `namespace`, `pod`, `pod_uid`, `container` | Kubernetes |
/// | `container_id`, `outer_container`, `image`, `runtime`, `qos` | of containers |
/// | `device`, `interface`, `pagesize`, `cpu`, `mountpoint`, `fstype` | the part, where a table has several rows per owner |
/// | `label_…` | the runtime's own labels, each character that no label name may have replaced by `_` |
pub type Labels = BTreeMap<String, String>;

/// The labels of a subject. `owner` is the cgroup it is part of: it tells who that is where the subject itself does not.
#[must_use]
pub fn labels_of(subject: &Subject, owner: Option<&Subject>) -> Labels {
    let mut labels = Labels::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            labels.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    };
    let name: &str = &subject.name;
    match subject.table {
        Table::Cgroup => put("id", Some(name)),
        Table::Device | Table::Disk => put("device", Some(name)),
        Table::Hugetlb => put("pagesize", Some(name)),
        Table::Interface => put("interface", Some(name)),
        Table::Cpu => put("cpu", Some(name)),
        Table::Filesystem => put("mountpoint", Some(name)),
        Table::Node | Table::Agent => {}
    }
    if let Some((device, kind)) = &subject.filesystem {
        put("device", Some(device));
        put("fstype", Some(kind));
    }
    if subject.owner.is_none() && subject.table != Table::Cgroup {
        put("kind", Some("node"));
        return labels;
    }
    let workload = subject.workload.as_deref().or_else(|| owner?.workload.as_deref());
    if let Some(workload) = workload {
        put_workload(workload, &mut put);
    }
    labels
}

fn put_workload(workload: &Workload, put: &mut impl FnMut(&str, Option<&str>)) {
    let identity = &workload.identity;
    let told = workload.metadata.as_deref();
    put("id", Some(&identity.path));
    put("kind", Some(kind_word(workload.kind())));
    put("name", Some(name_of(workload)));
    put("namespace", told.and_then(|told| told.namespace.as_deref()));
    put("pod", told.and_then(|told| told.pod.as_deref()));
    put("container", told.and_then(|told| told.container.as_deref()));
    // What runs inside another container belongs to no pod of this node, whatever it calls itself.
    if identity.outer_container.is_none() {
        put("pod_uid", identity.pod_uid.as_deref().or_else(|| told?.pod_uid.as_deref()));
    }
    put("container_id", identity.container_id.as_deref());
    put("outer_container", identity.outer_container.as_deref());
    put("image", told.map(|told| told.image.as_str()));
    put("qos", identity.qos.map(qos_word));
    let runtime = told.and_then(|told| told.runtime).or(identity.runtime);
    put("runtime", runtime.map(|runtime| runtime.as_str()));
    for (key, value) in told.into_iter().flat_map(|told| &told.labels) {
        let allowed = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
        let key: String = key.chars().map(allowed).collect();
        put(&format!("label_{key}"), Some(value));
    }
}

/// The name people use: a container's in its pod, else the runtime's, else the last part of the cgroup path.
#[must_use]
pub fn name_of(workload: &Workload) -> &str {
    let told = workload.metadata.as_deref();
    let in_pod = told.and_then(|told| told.container.as_deref());
    let by_runtime = || told.map(|told| told.name.as_str()).filter(|name| !name.is_empty());
    let last_part = || workload.identity.path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/");
    match workload.kind() {
        CgroupKind::Container => in_pod.or_else(by_runtime).unwrap_or_else(last_part),
        _ => last_part(),
    }
}

/// Kubernetes' word for a quality-of-service class.
#[must_use]
pub const fn qos_word(qos: QosClass) -> &'static str {
    match qos {
        QosClass::Guaranteed => "Guaranteed",
        QosClass::Burstable => "Burstable",
        QosClass::BestEffort => "BestEffort",
    }
}

/// The word for a kind of cgroup.
#[must_use]
pub const fn kind_word(kind: CgroupKind) -> &'static str {
    match kind {
        CgroupKind::Root => "root",
        CgroupKind::Container => "container",
        CgroupKind::Sandbox => "sandbox",
        CgroupKind::Pod => "pod",
        CgroupKind::Qos => "qos",
        CgroupKind::Service => "service",
        CgroupKind::Slice => "slice",
        CgroupKind::Scope => "scope",
        CgroupKind::Other => "other",
    }
}

/// The word that stands before a metric of this table: `device.io_r_bytes`.
#[must_use]
pub const fn table_word(table: Table) -> &'static str {
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

/// The column that a name means: with a table's word before it that table's, else a cgroup's, else the node's own.
#[must_use]
pub fn column_of(name: &str) -> Option<(Table, usize)> {
    let in_table = |table: Table, column: &str| Some((table, table.column(column)?));
    match name.split_once('.') {
        Some((word, column)) => in_table(Table::ALL.into_iter().find(|table| table_word(*table) == word)?, column),
        None => in_table(Table::Cgroup, name).or_else(|| in_table(Table::Node, name)),
    }
}

/// The shortest name of a column that [`column_of`] understands.
#[must_use]
pub fn column_name(table: Table, column: usize) -> Option<String> {
    let name = table.metrics().get(column)?.name;
    let plain = matches!(table, Table::Cgroup | Table::Node) && column_of(name) == Some((table, column));
    Some(if plain { name.to_owned() } else { format!("{}.{name}", table_word(table)) })
}

/// Every name that [`column_of`] understands, the shortest of each.
#[must_use]
pub fn column_names() -> Vec<String> {
    let of_table = |table: Table| (0..table.metrics().len()).filter_map(move |column| column_name(table, column));
    Table::ALL.into_iter().flat_map(of_table).collect()
}
