//! The members' network namespaces: which there are, who they are shown under, and their reading.
//!
//! In: the members' processes. Out: interfaces with their rows. A namespace that several containers share is read and
//! shown once; one that is the node's own is shown for the node only. Next: `roster.rs` names the interfaces.

use super::super::SubjectId;
use super::super::cgroup::SourceTable;
use super::super::clock;
use super::super::network::{Namespace, NamespaceId, NetContext, Process, Read, own_pid, runs_in};
use super::{Member, Members};
use crate::discover::CgroupKind;

/// A container without a known namespace is asked for one this often.
const NAMESPACE_EVERY_TICKS: u64 = 10;

impl Members {
    /// Reads the network of every pod and container that has its own, and the node's.
    pub fn read_networks(&mut self, tick: u64, context: &mut NetContext<'_>) {
        // Allocates only when a process has gone.
        let mut lost = Vec::new();
        for namespace in &mut self.namespaces {
            match namespace.read(clock::monotonic(), context) {
                Read::Done { changed } => self.changed |= changed,
                Read::Failed => {}
                Read::Lost => lost.push(namespace.id),
            }
        }
        if lost.is_empty() {
            return;
        }
        self.keep_namespaces(context, |namespace, _| !lost.contains(&namespace.id));
        let in_lost = |member: &&mut Member| member.namespace.is_some_and(|id| lost.contains(&id));
        for member in self.slots.iter_mut().flatten().filter(in_lost) {
            // Another process of the same namespace is looked for at this tick.
            member.namespace = None;
            member.born_tick = tick;
        }
    }

    /// Finds the namespace of containers that have none yet, and of the node.
    pub fn find_namespaces(&mut self, tick: u64, table: &SourceTable, context: &mut NetContext<'_>) {
        if self.host_namespace.is_none() && (tick == 1 || tick.is_multiple_of(NAMESPACE_EVERY_TICKS)) {
            // Process 1 of the host's /proc; where it hides others, the agent itself.
            let candidates = [Some(1), own_pid(context)];
            let found = candidates.into_iter().flatten().find_map(|pid| {
                let process = Process::open(pid, context)?;
                Some((process.namespace(context)?, process))
            });
            if let Some((id, process)) = found {
                self.host_namespace = Some(id);
                self.add_namespace(id, None, process, context);
            }
        }
        for slot in 0..self.slots.len() {
            let Some(Some(member)) = self.slots.get(slot) else { continue };
            let kind = member.workload().map(|workload| workload.identity.kind);
            let age = tick.saturating_sub(member.born_tick);
            // A new container has no process for a moment; an old one may get another namespace's first process.
            let due = age < 3 || (tick + slot as u64).is_multiple_of(NAMESPACE_EVERY_TICKS);
            if member.namespace.is_some() || member.ended || kind != Some(CgroupKind::Container) || !due {
                continue;
            }
            let Some(pid) = first_pid(member, table, context) else { continue };
            let Some(process) = Process::open(pid, context) else { continue };
            let Some(id) = process.namespace(context) else { continue };
            // Had the process ended before it was opened, another one with its number would have answered.
            if first_pid(member, table, context) != Some(pid) {
                continue;
            }
            let owner = self.owner_of_network(slot);
            if let Some(Some(member)) = self.slots.get_mut(slot) {
                member.namespace = Some(id);
            }
            if !self.namespaces.iter().any(|namespace| namespace.id == id) {
                self.add_namespace(id, owner, process, context);
            }
        }
        if tick.is_multiple_of(NAMESPACE_EVERY_TICKS) {
            self.keep_namespaces(context, |namespace, slots| {
                namespace.owner.is_none()
                    || slots.iter().flatten().any(|member| member.namespace == Some(namespace.id) && !member.ended)
            });
        }
    }

    /// Forgets the namespaces that `keep` does not want, and closes what they hold.
    fn keep_namespaces(&mut self, context: &mut NetContext<'_>, keep: impl Fn(&Namespace, &[Option<Member>]) -> bool) {
        let (slots, before) = (&self.slots, self.namespaces.len());
        self.namespaces.retain_mut(|namespace| {
            let wanted = keep(namespace, slots);
            if !wanted {
                namespace.close(context.budget);
            }
            wanted
        });
        self.changed |= self.namespaces.len() != before;
    }

    fn add_namespace(
        &mut self,
        id: NamespaceId,
        owner: Option<SubjectId>,
        process: Process,
        context: &mut NetContext<'_>,
    ) {
        let mut namespace = Namespace::new(id, owner, process, context);
        namespace.read(clock::monotonic(), context);
        self.namespaces.push(namespace);
        self.changed = true;
    }

    /// A pod's network is shown under the pod's cgroup, a plain container's under its own.
    fn owner_of_network(&self, slot: usize) -> Option<SubjectId> {
        let member = self.slots.get(slot)?.as_ref()?;
        let uid = member.workload().and_then(|workload| workload.identity.pod_uid.as_ref());
        let pod = uid.and_then(|uid| self.slots.get(*self.by_pod.get(uid)?)?.as_ref());
        Some(pod.unwrap_or(member).subject.id)
    }
}

/// A process of the member's cgroup: the first that the cgroup lists, else (all its processes are in cgroups below) the
/// one that the runtime named. That one may be of another PID namespace or used again, so its own word is asked too.
fn first_pid(member: &Member, table: &SourceTable, context: &mut NetContext<'_>) -> Option<u32> {
    let listed = table.first_pid(&member.path, context.path, context.buffer);
    listed.or_else(|| {
        let told = member.workload()?.metadata.as_ref()?.pid?;
        runs_in(told, member.container_id()?, context).then_some(told)
    })
}
