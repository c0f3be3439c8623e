//! Samples of the past for the push: which instants are due, and what the ring has of them.
//!
//! In: the ring, a range of the wall clock, a step. Out: instants, and for some of them samples in the shape of live ones,
//! with the subjects and columns that are pushed. Each subject's history is decoded once for all instants of a call; the
//! ring's locks are held for one subject at a time, as by any reader. Next: [`super::snapshot`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::snapshot::columns;
use crate::sample::catalogue::{NodeColumn, Table};
use crate::sample::derived::pod_uid;
use crate::sample::row::Column;
use crate::sample::{CgroupKind, NodeSample, Roster, Subject, SubjectId};
use crate::store::{Remembered, Store};
use crate::units::UnixNanos;

/// Rows that are held at once, about 1 KB each.
const MOST_ROWS: usize = 4096;

/// The instants of ticks that are due: the newest of all, one step before it, and so on, each at the newest tick that is not
/// later, back to `after`: that one was pushed before. Oldest first. In a part of history that is kept more coarsely than
/// `step`, what there is.
#[must_use]
pub fn instants(store: &Store, after: UnixNanos, newest: UnixNanos, step: Duration) -> Vec<UnixNanos> {
    let step = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX).max(1);
    // Ticks jitter: one that is a little late for its step is the step's nevertheless.
    let tolerance = step / 32;
    let mut due = vec![newest];
    let mut wanted = newest.0.saturating_sub(step).saturating_add(tolerance);
    for wall in walls(store, after, newest).into_iter().rev().filter(|wall| *wall > after && *wall < newest) {
        // What lies so close behind the one that was pushed tells nothing new.
        if after.0 > 0 && wall.0 - after.0 <= step / 2 {
            break;
        }
        if wall.0 <= wanted {
            due.push(wall);
            let steps = (wanted - wall.0) / step + 1;
            wanted = wanted.saturating_sub(steps.saturating_mul(step));
        }
    }
    due.reverse();
    due
}

/// The wall clocks of all ticks and buckets in a range, ascending, each once. The node's own row is in every tick.
fn walls(store: &Store, after: UnixNanos, newest: UnixNanos) -> Vec<UnixNanos> {
    let known = store.remembered();
    let nodes = known.iter().filter(|known| known.subject.table == Table::Node && known.last_wall > after);
    let column = NodeColumn::UptimeMsec.index();
    let points = nodes.filter_map(|known| store.history(known.subject.id, column, after, newest).ok()).flatten();
    let mut walls: Vec<UnixNanos> = points.map(|point| point.wall).collect();
    walls.sort_unstable();
    walls.dedup();
    walls
}

/// The samples of the first of these instants (ascending), as many as fit into memory at once, at least one. An instant
/// whose tick the ring has let go of meanwhile gives a sample without rows.
#[must_use]
pub fn samples(store: &Store, instants: &[UnixNanos]) -> Vec<NodeSample> {
    let (Some(first), Some(last)) = (instants.first(), instants.last()) else { return Vec::new() };
    let subjects = pushed_subjects(store, *first);
    let most = (MOST_ROWS / subjects.len().max(1)).max(1);
    let instants = instants.get(..most.min(instants.len())).unwrap_or_default();
    let last = instants.last().unwrap_or(last);
    let machine = store.latest().map(|latest| Arc::clone(&latest.machine)).unwrap_or_default();
    let empty = |wall: &UnixNanos| {
        let mut sample = NodeSample::new();
        sample.wall = *wall;
        sample.machine = Arc::clone(&machine);
        (Roster::default(), sample)
    };
    let mut samples: Vec<(Roster, NodeSample)> = instants.iter().map(empty).collect();
    for subject in &subjects {
        let table = subject.table;
        let visited = store.rows(subject.id, Some(&columns(table)), *first, *last, |observed| {
            let Ok(place) = instants.binary_search(&observed.wall) else { return };
            let Some((roster, sample)) = samples.get_mut(place) else { return };
            let (Some(subjects), Some(rows)) = (roster.subjects_mut(table), sample.rows_mut(table)) else { return };
            // A clock that was set back can show one instant twice; the first counts.
            if subjects.last().is_none_or(|last| last.id != subject.id) {
                subjects.push(Arc::clone(subject));
                rows.push(observed.row);
            }
        });
        // Its history has aged out since it was looked up: it is in none of the samples.
        let _aged_out = visited.is_err();
    }
    let finish = |(roster, mut sample): (Roster, NodeSample)| {
        sample.roster = Arc::new(roster);
        sample
    };
    samples.into_iter().map(finish).collect()
}

/// Who is pushed, of those that were there at an instant or came later. Ascending by id.
fn pushed_subjects(store: &Store, since: UnixNanos) -> Vec<Arc<Subject>> {
    let mut known: Vec<Remembered> = store.remembered();
    known.retain(|known| known.alive || known.last_wall >= since);
    let cgroups: HashSet<SubjectId> =
        known.iter().filter(|known| is_pushed(&known.subject)).map(|known| known.subject.id).collect();
    known.retain(|known| match known.subject.table {
        Table::Cgroup => cgroups.contains(&known.subject.id),
        Table::Device => known.subject.owner.is_some_and(|owner| cgroups.contains(&owner)),
        Table::Interface => known.subject.owner.is_none_or(|owner| cgroups.contains(&owner)),
        Table::Node | Table::Disk | Table::Filesystem => true,
        Table::Hugetlb | Table::Cpu | Table::Agent => false,
    });
    known.into_iter().map(|known| known.subject).collect()
}

/// The root, and what belongs to a pod.
fn is_pushed(subject: &Subject) -> bool {
    subject.table == Table::Cgroup
        && (&*subject.name == "/"
            || subject.workload.as_deref().is_some_and(|workload| {
                matches!(workload.kind(), CgroupKind::Pod | CgroupKind::Sandbox | CgroupKind::Container)
                    && pod_uid(workload).is_some()
            }))
}
