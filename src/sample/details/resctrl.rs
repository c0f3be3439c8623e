//! The set `resctrl`: cache occupancy and memory bandwidth of monitoring groups that exist.
//!
//! In: `/sys/fs/resctrl`. Out: [`CacheUse`] per cache. Source: `Documentation/arch/x86/resctrl.rst`. No group is ever made:
//! a group is a container's when it has the container's ID as its name, which is what runtimes give it, or when all its
//! tasks are the container's. The machine's is the default group. Next: [`Sets`](super::Sets).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::target::{Files, Target};
use crate::kernel::cgroup::{parse_value, pids};
use crate::kernel::file::read_path_once;
use crate::kernel::{ReadBuffer, Records};
use crate::sample::CgroupKind;

/// The kernel has a few hundred monitoring numbers at most.
const MOST_GROUPS: usize = 1_024;
const MOST_CACHES: usize = 256;

/// Use of one cache (and of the memory behind it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheUse {
    /// The number in `mon_L3_NN`: the cache's, which on most machines is its NUMA node's.
    pub node: u32,
    /// Bytes in the last-level cache; gauge.
    pub llc_occupancy_bytes: Option<u64>,
    /// Bytes to and from memory; counter.
    pub memory_bytes: Option<u64>,
    /// The same of the node's own memory; counter.
    pub memory_local_bytes: Option<u64>,
}

#[derive(Debug)]
struct Group {
    folder: PathBuf,
    tasks: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct ResctrlReader {
    root: PathBuf,
    groups: Vec<Group>,
    by_name: BTreeMap<String, usize>,
    by_task: BTreeMap<u32, usize>,
}

impl ResctrlReader {
    pub fn new(root: PathBuf) -> Self {
        Self { root, groups: Vec::new(), by_name: BTreeMap::new(), by_task: BTreeMap::new() }
    }

    /// Looks which groups there are.
    pub fn begin_cycle(&mut self, files: &mut Files) {
        self.groups.clear();
        self.by_name.clear();
        self.by_task.clear();
        let mut folders = folders(&self.root.join("mon_groups"));
        for control in folders_of_control(&self.root) {
            folders.extend(self::folders(&control.join("mon_groups")));
            folders.push(control);
        }
        if folders.len() > MOST_GROUPS {
            files.leave_out("resctrl", "too_many_groups");
        }
        for folder in folders.into_iter().take(MOST_GROUPS) {
            let tasks = read_path_once(&folder.join("tasks"), Records::Many, &mut files.buffer);
            let tasks: Vec<u32> = tasks.map(|bytes| pids(bytes).collect()).unwrap_or_default();
            let number = self.groups.len();
            if let Some(name) = folder.file_name().and_then(|name| name.to_str()) {
                self.by_name.entry(name.to_owned()).or_insert(number);
            }
            for task in &tasks {
                self.by_task.entry(*task).or_insert(number);
            }
            self.groups.push(Group { folder, tasks });
        }
    }

    /// What the group of a cgroup says; empty when it has none of its own.
    pub fn read(&self, target: &Target<'_>, threads: &[u32], buffer: &mut ReadBuffer) -> Vec<CacheUse> {
        let folder = match target.kind {
            CgroupKind::Root => &self.root,
            _ => match self.group(target, threads) {
                Some(group) => &group.folder,
                None => return Vec::new(),
            },
        };
        caches(&folder.join("mon_data"), buffer)
    }

    fn group(&self, target: &Target<'_>, threads: &[u32]) -> Option<&Group> {
        let workload = target.subject.workload.as_ref()?;
        let named = workload.identity.container_id.as_deref().and_then(|id| self.by_name.get(id));
        if let Some(named) = named {
            return self.groups.get(*named);
        }
        let group = self.groups.get(*self.by_task.get(threads.first()?)?)?;
        let own: std::collections::BTreeSet<_> = threads.iter().collect();
        group.tasks.iter().all(|task| own.contains(task)).then_some(group)
    }
}

/// The folders below `folder`; none when it is not there.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Control groups: what has tasks, beside the folders that every group has.
fn folders_of_control(root: &Path) -> Vec<PathBuf> {
    let own = ["info", "mon_groups", "mon_data"];
    let control = |folder: &PathBuf| folder.file_name().is_some_and(|name| !own.iter().any(|own| name == *own));
    folders(root).into_iter().filter(control).collect()
}

fn caches(mon_data: &Path, buffer: &mut ReadBuffer) -> Vec<CacheUse> {
    let mut caches = Vec::new();
    for folder in folders(mon_data) {
        let name = folder.file_name().and_then(|name| name.to_str());
        let Some(node) = name.and_then(|name| name.strip_prefix("mon_L3_")?.parse().ok()) else { continue };
        // `Unavailable` and `Error` are no numbers.
        let mut value = |name| parse_value(read_path_once(&folder.join(name), Records::One, buffer).ok()?).ok();
        let cache = CacheUse {
            node,
            llc_occupancy_bytes: value("llc_occupancy"),
            memory_bytes: value("mbm_total_bytes"),
            memory_local_bytes: value("mbm_local_bytes"),
        };
        if caches.len() < MOST_CACHES && !caches.iter().any(|known: &CacheUse| known.node == node) {
            caches.push(cache);
        }
    }
    caches.sort_by_key(|cache| cache.node);
    caches
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file names of `Documentation/arch/x86/resctrl.rst`; no machine with the hardware was at hand.
    fn group(folder: &Path, tasks: &str, values: [&str; 3]) {
        let data = folder.join("mon_data/mon_L3_01");
        fs::create_dir_all(&data).unwrap();
        fs::create_dir_all(folder.join("mon_data/mon_sub_L3_00")).unwrap();
        fs::write(folder.join("tasks"), tasks).unwrap();
        for (name, value) in ["llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"].into_iter().zip(values) {
            fs::write(data.join(name), value).unwrap();
        }
    }

    #[test]
    fn a_group_belongs_to_whom_all_its_tasks_belong_to() {
        let tree = tempfile::tempdir().unwrap();
        group(tree.path(), "1\n", ["1\n", "2\n", "3\n"]);
        group(&tree.path().join("mon_groups/own"), "10\n11\n", ["100\n", "200\n", "Unavailable\n"]);
        group(&tree.path().join("closid"), "12\n99\n", ["7\n", "8\n", "9\n"]);
        group(&tree.path().join("closid/mon_groups/nested"), "20\n", ["70\n", "Error\n", "90\n"]);
        fs::create_dir_all(tree.path().join("info/L3_MON")).unwrap();
        let mut reader = ResctrlReader::new(tree.path().to_owned());
        let proc = crate::kernel::KernelDir::open_root(Path::new("/proc")).unwrap();
        let mut files = Files::new(proc, Vec::new());
        reader.begin_cycle(&mut files);
        let subject = |path: &str, kind| {
            let identity = crate::sample::CgroupIdentity {
                path: path.into(),
                kind,
                container_id: None,
                pod_uid: None,
                qos: None,
                runtime: None,
                outer_container: None,
            };
            let workload =
                crate::sample::Workload { identity, inode: 1, metadata: None, created_at: crate::units::UnixNanos(0) };
            crate::sample::Subject {
                id: crate::sample::SubjectId(1),
                table: crate::sample::catalogue::Table::Cgroup,
                owner: None,
                name: path.into(),
                workload: Some(std::sync::Arc::new(workload)),
                device: None,
                filesystem: None,
            }
        };
        let container = subject("/c", CgroupKind::Container);
        let target = Target::of(&container, None);
        let read = |threads: &[u32]| {
            let mut buffer = ReadBuffer::default();
            reader.read(&target, threads, &mut buffer)
        };
        let own =
            CacheUse { node: 1, llc_occupancy_bytes: Some(100), memory_bytes: Some(200), memory_local_bytes: None };
        assert_eq!(read(&[10, 11, 13]), [own]);
        assert_eq!(read(&[12, 13]), [], "task 99 is somebody else's");
        assert_eq!(read(&[20]).first().map(|cache| cache.memory_local_bytes), Some(Some(90)));
        assert_eq!(read(&[5]), []);
        let root = subject("/", CgroupKind::Root);
        let all = reader.read(&Target::of(&root, None), &[], &mut ReadBuffer::default());
        assert_eq!(all.first().map(|cache| cache.llc_occupancy_bytes), Some(Some(1)));
    }
}
