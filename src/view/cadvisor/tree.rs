//! The containers of the newest tick, found by cAdvisor's names.
//!
//! In: the newest [`NodeSample`]. Out: [`Tree`]: which cgroups there are, what belongs to each, and which one a name means.
//! Next: [`history`](super::history), [`routes`](super::routes).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::fill;
use super::model::{FsStats, Reference, Spec};
use super::request::NamedBy;
use super::{Refused, Source};
use crate::sample::catalogue::{CgroupColumn, Table};
use crate::sample::row::RowRef;
use crate::sample::{NodeSample, Runtime, Subject, SubjectId};
use crate::view::prometheus::shares::Formula;

/// One cgroup.
#[derive(Debug, Clone, Copy)]
pub(super) struct Container<'a> {
    pub subject: &'a Arc<Subject>,
    pub row: RowRef<'a>,
}

/// All cgroups of one tick, by path.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub source: &'a Source<'a>,
    pub sample: &'a NodeSample,
    by_path: BTreeMap<&'a str, Container<'a>>,
    owned: HashMap<(Table, Option<SubjectId>), Vec<&'a Arc<Subject>>>,
    formula: Formula,
}

/// Tables of what cgroups own; interfaces without an owner are the host's.
const OWNED: [Table; 3] = [Table::Device, Table::Interface, Table::Hugetlb];

impl<'a> Tree<'a> {
    pub fn new(source: &'a Source<'a>, sample: &'a NodeSample) -> Self {
        let mut by_path = BTreeMap::new();
        let mut weight = None;
        for (subject, row) in sample.iter(Table::Cgroup) {
            if matches!(&*subject.name, "/kubepods" | "/kubepods.slice") {
                weight = row.value(CgroupColumn::CpuWeight);
            }
            by_path.insert(&*subject.name, Container { subject, row });
        }
        let mut owned: HashMap<_, Vec<_>> = HashMap::new();
        for table in OWNED {
            for subject in sample.roster.subjects(table) {
                owned.entry((table, subject.owner)).or_default().push(subject);
            }
        }
        let formula = Formula::of_node(weight, sample.machine.cpu_cores);
        Self { source, sample, by_path, owned, formula }
    }

    /// The container of this path.
    pub fn by_path(&self, path: &str) -> Result<Container<'a>, Refused> {
        let found = self.by_path.get(path).copied();
        found.ok_or_else(|| Refused::NotFound(format!("unknown container {path:?}")))
    }

    /// A container and all below it.
    pub fn below(&self, path: &str) -> Result<Vec<Container<'a>>, Refused> {
        self.by_path(path)?;
        let is_below = |other: &str| {
            let rest = other.strip_prefix(path.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        Ok(self.by_path.iter().filter(|(other, _)| is_below(other)).map(|(_, container)| *container).collect())
    }

    /// The cgroups right below.
    pub fn children(&self, path: &str) -> Vec<Reference> {
        let prefix = path.trim_end_matches('/');
        let is_child = |other: &str| {
            let rest = other.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        };
        let children = self.by_path.iter().filter(|(other, _)| is_child(other));
        children.map(|(name, _)| Reference { name: (*name).to_owned(), ..Reference::default() }).collect()
    }

    /// All containers of a runtime.
    pub fn of_runtime(&self, runtime: Runtime) -> Vec<Container<'a>> {
        let is_of = |container: &&Container<'a>| {
            container.subject.workload.as_deref().and_then(fill::runtime_of) == Some(runtime)
        };
        self.by_path.values().filter(is_of).copied().collect()
    }

    /// A runtime's container by its name, its ID, or the beginning of its ID.
    pub fn by_alias(&self, runtime: Runtime, alias: &str) -> Result<Container<'a>, Refused> {
        let namespace = runtime.as_str();
        let all = self.of_runtime(runtime);
        let named =
            |container: &&Container<'a>| fill::reference(container.subject).aliases.iter().any(|known| known == alias);
        if let Some(found) = all.iter().find(named) {
            return Ok(*found);
        }
        let begins = |container: &&Container<'a>| fill::reference(container.subject).id.starts_with(alias);
        let mut beginning = all.iter().filter(begins);
        match (beginning.next(), beginning.next()) {
            (Some(found), None) => Ok(*found),
            (Some(_), Some(_)) => Err(Refused::NotFound(format!(
                "unable to find container in {namespace:?} namespace. Container {alias:?} is not unique"
            ))),
            (None, _) => {
                Err(Refused::NotFound(format!("unable to find container {alias:?} in {namespace:?} namespace")))
            }
        }
    }

    /// The containers that version 2 names.
    pub fn named(&self, by: NamedBy, name: &str, recursive: bool) -> Result<Vec<Container<'a>>, Refused> {
        let runtime = match by {
            NamedBy::Path if recursive => return self.below(name),
            NamedBy::Path => return Ok(vec![self.by_path(name)?]),
            NamedBy::Docker => Runtime::Docker,
            NamedBy::Podman => Runtime::Podman,
        };
        match (name, recursive) {
            ("/", true) => Ok(self.of_runtime(runtime)),
            (name, false) => Ok(vec![self.by_alias(runtime, name.trim_start_matches('/'))?]),
            (name, true) => Err(Refused::Bad(format!(
                "invalid request for {} container {name:?} with subcontainers",
                runtime.as_str()
            ))),
        }
    }

    /// What belongs to a container. The host's interfaces are the root's.
    pub fn owned(&self, table: Table, container: &Container<'_>) -> impl Iterator<Item = &'a Arc<Subject>> {
        // As cAdvisor does: these are inside the machine.
        const INSIDE: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];
        let of_host = table == Table::Interface && fill::is_root(container.subject);
        let owner = (!of_host).then_some(container.subject.id);
        let owned = self.owned.get(&(table, owner)).into_iter().flatten().copied();
        let inside =
            move |name: &str| table == Table::Interface && INSIDE.iter().any(|prefix| name.starts_with(prefix));
        owned.filter(move |subject| !inside(&subject.name))
    }

    /// What a container is and may use.
    pub fn spec(&self, container: &Container<'_>) -> Spec {
        let Container { subject, row } = container;
        let has = |table| self.owned(table, container).next().is_some();
        Spec {
            has_network: has(Table::Interface),
            has_hugetlb: has(Table::Hugetlb),
            has_diskio: has(Table::Device),
            has_filesystem: fill::is_root(subject) || self.sample.details.storage.contains_key(&subject.id),
            ..fill::spec(subject, row, &self.sample.machine, self.formula)
        }
    }

    /// Its filesystems now: of the root those that are mounted.
    pub fn filesystems(&self, container: &Container<'_>) -> Vec<FsStats> {
        if !fill::is_root(container.subject) {
            let usage = self.sample.details.storage.get(&container.subject.id);
            return usage.and_then(fill::container_filesystem).into_iter().collect();
        }
        let mounted = self.sample.iter(Table::Filesystem);
        mounted.map(|(subject, row)| fill::filesystem(subject, &row, self.disk_of(subject).as_ref())).collect()
    }

    /// The disk or partition that a filesystem is on.
    pub fn disk_of(&self, filesystem: &Subject) -> Option<RowRef<'a>> {
        let (device, _) = filesystem.filesystem.as_ref()?;
        let name = device.strip_prefix("/dev/")?;
        self.sample.iter(Table::Disk).find(|(disk, _)| &*disk.name == name).map(|(_, row)| row)
    }
}
