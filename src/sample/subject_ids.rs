//! Numbers for subjects, the same again after a restart of the agent.
//!
//! In: what tells a subject from others. Out: its id, never used for another one. Subjects that an earlier run of the agent
//! on the same boot knew get their ids back, so that their history goes on. Next: `members/`.

use std::collections::HashMap;
use std::sync::Arc;

use super::catalogue::Table;
use super::{Subject, SubjectId};

/// What tells a subject from all others of one boot. A cgroup's name may be used again, its inode not while it lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    table: Table,
    owner: Option<SubjectId>,
    name: Arc<str>,
    inode: u64,
}

impl Key {
    fn of(subject: &Subject) -> Self {
        let own = subject.workload.as_ref().filter(|_| subject.table == Table::Cgroup);
        let inode = own.map_or(0, |workload| workload.inode);
        Self { table: subject.table, owner: subject.owner, name: Arc::clone(&subject.name), inode }
    }
}

/// Gives out ids.
#[derive(Debug, Clone, Default)]
pub struct SubjectIds {
    greatest: u64,
    known: HashMap<Key, SubjectId>,
}

impl SubjectIds {
    /// Ids that go on after `greatest`, save for the subjects of an earlier run of the agent on this boot.
    #[must_use]
    pub fn after(greatest: u64, known: impl IntoIterator<Item = Arc<Subject>>) -> Self {
        let known = known.into_iter().map(|subject| (Key::of(&subject), subject.id)).collect();
        Self { greatest, known }
    }

    /// The id of a subject that is new to this run.
    pub(crate) fn next(&mut self, table: Table, owner: Option<SubjectId>, name: &Arc<str>, inode: u64) -> SubjectId {
        let key = Key { table, owner, name: Arc::clone(name), inode };
        self.known.remove(&key).unwrap_or_else(|| {
            self.greatest += 1;
            SubjectId(self.greatest)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(id: u64, owner: Option<u64>, name: &str) -> Arc<Subject> {
        let (id, owner) = (SubjectId(id), owner.map(SubjectId));
        let table = if owner.is_some() { Table::Device } else { Table::Node };
        Arc::new(Subject { id, table, owner, name: name.into(), workload: None, device: None, filesystem: None })
    }

    #[test]
    fn who_was_known_keeps_his_id_once_and_others_get_new_ones() {
        let mut ids = SubjectIds::after(9, [subject(3, None, "node"), subject(7, Some(4), "sda")]);
        let mut next = |table, owner: Option<u64>, name: &str| ids.next(table, owner.map(SubjectId), &name.into(), 0).0;
        assert_eq!(next(Table::Node, None, "node"), 3);
        assert_eq!(next(Table::Device, Some(5), "sda"), 10, "another owner's");
        assert_eq!(next(Table::Device, Some(4), "sda"), 7);
        assert_eq!(next(Table::Device, Some(4), "sda"), 11, "an id is given back once");
        assert_eq!(next(Table::Node, None, "node"), 12);
    }
}
