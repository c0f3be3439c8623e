//! The roster and the sample: who stands in which row.
//!
//! In: members, namespaces, the node's rows. Out: a [`Roster`] when somebody came or went, and a filled sample at every
//! tick, its rows in the roster's order. Subjects keep their ids when only their description changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::catalogue::Table;
use super::super::cgroup::{CgroupRows, Part};
use super::super::node::NodeRows;
use super::super::row::Row;
use super::super::{NodeSample, Roster, Subject};
use super::{Members, SubjectIds, subject};
use crate::kernel::file::KernelDir;
use crate::kernel::sys_dev_block::{DeviceNumber, read_device_name};

impl Members {
    /// Carries OOM kills into the tallies, names new parts and, if somebody came or went, makes a new roster.
    pub fn settle(&mut self, node: &mut NodeRows, tick: u64) {
        for member in self.slots.iter_mut().flatten() {
            let rows = &member.reader.rows;
            self.changed |= rows.devices.iter().chain(&rows.hugetlb).any(|part| part.subject.is_none());
            let oom_kills = member.instance().oom_kills;
            if oom_kills != member.tallied_oom_kills
                && let (Some(key), Some(id)) = (&member.tally, member.container_id())
            {
                self.tallies.oom_kills(key, id, oom_kills);
                member.tallied_oom_kills = oom_kills;
            }
        }
        self.changed |= node.changed || tick == 1;
        if std::mem::take(&mut self.changed) {
            self.make_roster(node);
        }
    }

    fn make_roster(&mut self, node: &mut NodeRows) {
        let mut roster = Roster::default();
        roster.generation = self.roster.generation + 1;
        let mut add = |table, subject: &Arc<Subject>| {
            if let Some(subjects) = roster.subjects_mut(table) {
                subjects.push(Arc::clone(subject));
            }
        };
        add(Table::Node, &self.node_subject);
        add(Table::Agent, &self.agent_subject);
        for member in self.slots.iter_mut().flatten() {
            add(Table::Cgroup, &member.subject);
            let (owner, rows) = (&member.subject, &mut member.reader.rows);
            for part in &mut rows.devices {
                let key = part.key;
                let name = || device_name(key, self.device_links.as_ref(), &mut self.device_names);
                add(Table::Device, name_part(part, Table::Device, owner, name, &mut self.ids));
            }
            for part in &mut rows.hugetlb {
                let size = usize::try_from(part.key.0).ok().and_then(|index| self.page_sizes.get(index));
                let name = || size.map_or_else(|| Arc::from(""), |size| Arc::from(size.as_ref()));
                add(Table::Hugetlb, name_part(part, Table::Hugetlb, owner, name, &mut self.ids));
            }
        }
        for namespace in &mut self.namespaces {
            let owner = namespace.owner.and_then(|id| self.slots.iter().flatten().find(|m| m.subject.id == id));
            let workload = owner.and_then(|owner| owner.subject.workload.as_ref());
            for interface in &mut namespace.interfaces {
                let described_as = |known: &Arc<Subject>| match (&known.workload, workload) {
                    (Some(then), Some(now)) => Arc::ptr_eq(then, now),
                    (then, now) => then.is_none() && now.is_none(),
                };
                if !interface.subject.as_ref().is_some_and(described_as) {
                    let (table, owner, workload) = (Table::Interface, namespace.owner, workload.cloned());
                    let name = interface.name();
                    let known = interface.subject.as_ref().map(|known| known.id);
                    let id = known.unwrap_or_else(|| self.ids.next(table, owner, &name, 0));
                    let made = Subject { id, table, owner, name, workload, device: None, filesystem: None };
                    interface.subject = Some(Arc::new(made));
                }
                interface.subject.iter().for_each(|subject| add(Table::Interface, subject));
            }
        }
        for (table, parts) in [(Table::Cpu, &mut node.cpus), (Table::Disk, &mut node.disks)] {
            for part in parts {
                let made = part.subject.take().unwrap_or_else(|| {
                    let name = crate::units::printable(&part.name);
                    let device = (table == Table::Disk).then_some(part.key);
                    Arc::new(Subject { device, ..subject(&mut self.ids, table, name.into()) })
                });
                add(table, part.subject.insert(made));
            }
        }
        for filesystem in &self.filesystem_subjects {
            add(Table::Filesystem, filesystem);
        }
        self.roster = Arc::new(roster);
    }

    /// Writes all rows into the sample, in the roster's order, and lets go of those that have ended.
    pub fn fill(&mut self, sample: &mut NodeSample, node: &NodeRows, agent: &Row) {
        sample.roster = Arc::clone(&self.roster);
        sample.tallies = Arc::clone(self.tallies.publish());
        sample.final_rows.clear();
        for table in Table::ALL {
            if let Some(rows) = sample.rows_mut(table) {
                rows.clear();
            }
        }
        let mut push = |table, row: &Row| {
            if let Some(rows) = sample.rows_mut(table) {
                rows.push(row.as_ref());
            }
        };
        push(Table::Node, &node.row);
        push(Table::Agent, agent);
        let mut ended = 0;
        for member in self.slots.iter().flatten() {
            let CgroupRows { row, devices, hugetlb, .. } = &member.reader.rows;
            push(Table::Cgroup, row);
            devices.iter().for_each(|part| push(Table::Device, &part.row));
            hugetlb.iter().for_each(|part| push(Table::Hugetlb, &part.row));
            ended += usize::from(member.ended);
        }
        for interface in self.namespaces.iter().flat_map(|namespace| &namespace.interfaces) {
            push(Table::Interface, &interface.row);
        }
        node.cpus.iter().for_each(|part| push(Table::Cpu, &part.row));
        node.disks.iter().for_each(|part| push(Table::Disk, &part.row));
        self.filesystems.iter().for_each(|mounted| push(Table::Filesystem, &mounted.row));
        if ended > 0 {
            let positions = self.slots.iter().flatten().enumerate().filter(|(_, member)| member.ended);
            sample.final_rows.extend(positions.map(|(position, _)| position));
            self.let_go();
        }
    }
}

/// Gives a part its subject; it keeps its id when only its owner's description changed.
fn name_part<'a>(
    part: &'a mut Part,
    table: Table,
    owner: &Arc<Subject>,
    name: impl FnOnce() -> Arc<str>,
    ids: &mut SubjectIds,
) -> &'a Arc<Subject> {
    let Part { key, id, subject, .. } = part;
    subject.get_or_insert_with(|| {
        let name = name();
        let id = *id.get_or_insert_with(|| ids.next(table, Some(owner.id), &name, 0));
        Arc::new(Subject {
            id,
            table,
            owner: Some(owner.id),
            name,
            workload: owner.workload.clone(),
            device: (table == Table::Device).then_some(*key),
            filesystem: None,
        })
    })
}

fn device_name(key: (u32, u32), links: Option<&KernelDir>, names: &mut BTreeMap<(u32, u32), Arc<str>>) -> Arc<str> {
    let name = names.entry(key).or_insert_with(|| {
        let device = DeviceNumber { major: key.0, minor: key.1 };
        let name = links.and_then(|links| read_device_name(links, device).ok());
        name.unwrap_or_else(|| device.to_string()).into()
    });
    Arc::clone(name)
}
