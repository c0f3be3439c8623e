//! Which cgroup a request means.
//!
//! In: the decoded `{id}` of a path. Out: one cgroup's subject, alive or remembered, or a [`Problem`] that names the
//! nearest one. Tried in this order: container ID, cgroup path, name (`namespace/pod/container`, container, runtime's
//! name), beginning of a container ID. The living go before those that are gone, and of those the last one counts.

use std::collections::HashSet;
use std::sync::Arc;

use crate::sample::catalogue::Table;
use crate::sample::{CgroupKind, NodeSample, Subject, Workload};
use crate::store::Remembered;
use crate::store::query::labels::name_of;

use super::container::id_of;
use super::problem::{Problem, nearest};
use super::scene::metadata;

/// Shorter beginnings of a container ID are refused.
const LEAST_PREFIX: usize = 6;

/// The ways in which a text can mean a cgroup, the strictest first.
const WAYS: [fn(&Workload, &str) -> bool; 4] = [is_container_id, is_path, is_name, is_id_prefix];

fn is_container_id(workload: &Workload, text: &str) -> bool {
    workload.identity.container_id.as_deref() == Some(text)
}

fn is_path(workload: &Workload, text: &str) -> bool {
    let path: &str = &workload.identity.path;
    path == text || path.strip_prefix('/').is_some_and(|path| path == text && !text.is_empty())
}

fn is_name(workload: &Workload, text: &str) -> bool {
    // A pause container and a pod's cgroup carry the pod's metadata, but not a container's name.
    if workload.kind() != CgroupKind::Container {
        return false;
    }
    name_of(workload) == text || full_name(workload) == text || metadata(workload).is_some_and(|told| told.name == text)
}

fn is_id_prefix(workload: &Workload, text: &str) -> bool {
    let id = workload.identity.container_id.as_deref();
    text.len() >= LEAST_PREFIX && id.is_some_and(|id| id.starts_with(text))
}

/// `namespace/pod/container`, as far as it is known.
fn full_name(workload: &Workload) -> String {
    let told = metadata(workload);
    let namespace = told.and_then(|told| told.namespace.as_deref());
    let pod = told.and_then(|told| told.pod.as_deref());
    let name = name_of(workload);
    namespace.into_iter().chain(pod).chain([name]).collect::<Vec<_>>().join("/")
}

/// Finds the cgroup that `text` means.
pub(super) fn find(text: &str, newest: &NodeSample, remembered: &[Remembered]) -> Result<Arc<Subject>, Problem> {
    let living = newest.roster.subjects(Table::Cgroup);
    let living_ids: HashSet<_> = living.iter().map(|subject| subject.id).collect();
    let mut gone: Vec<_> = remembered
        .iter()
        .filter(|known| known.subject.table == Table::Cgroup && !living_ids.contains(&known.subject.id))
        .collect();
    gone.sort_by_key(|known| std::cmp::Reverse((known.last_wall, known.subject.id)));
    for way in WAYS {
        let fits = |subject: &&Arc<Subject>| subject.workload.as_deref().is_some_and(|workload| way(workload, text));
        let matching: Vec<_> = living.iter().filter(fits).collect();
        match matching.as_slice() {
            [] => {}
            [only] => return Ok(Arc::clone(only)),
            several => return Err(ambiguous(text, several)),
        }
        if let Some(last) = gone.iter().map(|known| &known.subject).find(fits) {
            return Ok(Arc::clone(last));
        }
    }
    let known = living.iter().chain(gone.iter().map(|known| &known.subject));
    Err(unknown(text, known.filter_map(|subject| subject.workload.as_deref())))
}

fn ambiguous(text: &str, several: &[&Arc<Subject>]) -> Problem {
    let names = several.iter().filter_map(|subject| {
        let workload = subject.workload.as_deref()?;
        Some(format!("{} ({})", full_name(workload), id_of(subject, workload)))
    });
    let names: Vec<_> = names.take(5).collect();
    Problem::ambiguous(format!(
        "'{text}' fits {} containers: {}; use namespace/pod/container with its slashes as %2F, or the ID in brackets",
        several.len(),
        names.join(", ")
    ))
}

fn unknown<'a>(text: &str, known: impl Iterator<Item = &'a Workload>) -> Problem {
    let mut names = Vec::new();
    for workload in known {
        names.push(workload.identity.path.to_string());
        if workload.kind() == CgroupKind::Container {
            names.push(name_of(workload).to_owned());
            names.push(full_name(workload));
            names.extend(workload.identity.container_id.as_deref().map(str::to_owned));
        }
    }
    let near = nearest(text, names.iter().map(String::as_str));
    let hint = near.map_or_else(String::new, |near| format!("; the nearest is '{near}'"));
    Problem::unknown_container(format!(
        "no container has the ID, cgroup path or name '{text}'{hint}. GET /api/v1/containers?all=true lists all, \
         with gone=true also those that have ended"
    ))
}
