//! Which directory trees belong to whom.
//!
//! In: the newest sample's roster, what the runtimes say about files, mount tables, the kubelet's folder. Out: a [`Plan`]:
//! the trees to count, the counts that runtimes gave, the volumes that are mounts. Sources: `<procfs>/PID/mountinfo` (the
//! overlay's `upperdir`), `cgroup.procs`; the kubelet's layout of `pods/<uid>/volumes/<plugin>/<name>` and of
//! `/var/log/pods/<namespace>_<pod>_<uid>/<container>`. It counts nothing. Next: `watch.rs`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Dir, FileType, Mode, OFlags, openat};

use super::host::{AtPath, Host, MountFacts, Mounts};
use super::walk::Which;
use crate::discover::{CgroupKind, ContainerFiles, LayerUsage, Workload};
use crate::kernel::cgroup::parse_cgroup_procs;
use crate::kernel::proc::mountinfo::{parse_mountinfo, unescape};
use crate::kernel::proc::parse_pid_cgroup;
use crate::sample::catalogue::Table;
use crate::sample::cgroup::Hierarchies;
use crate::sample::{NodeSample, Subject, SubjectId};
use crate::units::UnixNanos;

/// How long a runtime may take to describe a container before its files are looked for without it.
const WAIT_FOR_WORD: Duration = Duration::from_secs(10);
/// How long a runtime that counts may take for its first count.
const WAIT_FOR_COUNT: Duration = Duration::from_secs(40);
/// A container whose writable layer was not found is looked at again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Most volumes of one pod.
const VOLUMES_CAP: usize = 256;
/// Where the kubelet has runtimes write logs.
const POD_LOGS: &str = "/var/log/pods";

/// What a tree is to its container or pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A container's writable layer.
    Layer,
    /// A container's logs.
    Logs,
    /// A pod's volume.
    Volume { plugin: Arc<str>, name: Arc<str> },
}

/// Whose tree, and which.
pub type TreeKey = (SubjectId, Part);

/// A tree to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTree {
    /// Path on the host.
    pub path: PathBuf,
    pub which: Which,
}

/// A volume that is a mount of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMount {
    /// Path on the host.
    pub path: PathBuf,
    pub facts: Arc<MountFacts>,
}

/// Everything that is to be counted now.
#[derive(Debug, Default)]
pub struct Plan {
    pub trees: BTreeMap<TreeKey, PlannedTree>,
    pub mounts: BTreeMap<TreeKey, PlannedMount>,
    /// Writable layers that the runtime counted.
    pub told: BTreeMap<SubjectId, LayerUsage>,
    /// The containers of each pod.
    pub pods: BTreeMap<SubjectId, Vec<SubjectId>>,
}

/// What is remembered of a container.
#[derive(Debug)]
struct Seen {
    since: Instant,
    upper_dir: Option<PathBuf>,
    looked_at: Option<Instant>,
}

/// Makes plans, and remembers what need not be looked up twice.
#[derive(Debug)]
pub struct Planner {
    pub host: Host,
    pub kubelet_dir: PathBuf,
    pub hierarchies: Hierarchies,
    /// A runtime's count that is older is not believed any more.
    pub stale_after: Duration,
    seen: HashMap<SubjectId, Seen>,
}

/// What a plan is made from.
pub struct Known<'a> {
    pub sample: &'a NodeSample,
    pub files: &'a HashMap<Arc<str>, ContainerFiles>,
    pub mounts: &'a Mounts,
    pub now: Instant,
    pub wall: UnixNanos,
}

impl Planner {
    pub fn new(host: Host, kubelet_dir: PathBuf, hierarchies: Hierarchies, stale_after: Duration) -> Self {
        Self { host, kubelet_dir, hierarchies, stale_after, seen: HashMap::new() }
    }

    /// The plan for now.
    pub fn plan(&mut self, known: &Known<'_>) -> Plan {
        let mut plan = Plan::default();
        let mut pods: HashMap<Arc<str>, SubjectId> = HashMap::new();
        let mut containers: Vec<(Arc<str>, SubjectId)> = Vec::new();
        let pods_dir = self.pods_dir();
        for subject in known.sample.roster.subjects(Table::Cgroup) {
            let Some(workload) = &subject.workload else { continue };
            let identity = &workload.identity;
            // What lies in a container has paths that are not the host's.
            if identity.outer_container.is_some() {
                continue;
            }
            match workload.kind() {
                CgroupKind::Container => {
                    self.plan_container(&mut plan, subject, workload, known);
                    containers.extend(pod_uid(workload).map(|uid| (uid, subject.id)));
                }
                CgroupKind::Pod => {
                    let Some(uid) = pod_uid(workload).filter(|uid| is_one_name(uid)) else { continue };
                    if let Some((directory, path)) = &pods_dir {
                        self.plan_volumes(&mut plan, subject.id, directory, &path.join(&*uid), known.mounts);
                    }
                    plan.pods.entry(subject.id).or_default();
                    pods.insert(uid, subject.id);
                }
                _ => {}
            }
        }
        for (uid, container) in containers {
            let Some(pod) = pods.get(&uid) else { continue };
            plan.pods.entry(*pod).or_default().push(container);
        }
        let subjects = known.sample.roster.subjects(Table::Cgroup);
        let living: std::collections::HashSet<SubjectId> = subjects.iter().map(|subject| subject.id).collect();
        self.seen.retain(|id, _| living.contains(id));
        plan
    }

    fn plan_container(&mut self, plan: &mut Plan, subject: &Subject, workload: &Workload, known: &Known<'_>) {
        let files = workload.identity.container_id.as_ref().and_then(|id| known.files.get(id));
        let fresh = Seen { since: known.now, upper_dir: None, looked_at: None };
        let since = self.seen.entry(subject.id).or_insert(fresh).since;
        let age = known.now.saturating_duration_since(since);
        let stale_nanos = u64::try_from(self.stale_after.as_nanos()).unwrap_or(u64::MAX);
        let is_fresh = |usage: &&LayerUsage| usage.counted_at.0.saturating_add(stale_nanos) >= known.wall.0;
        let told = files.and_then(|files| files.writable_layer.as_ref()).filter(is_fresh);
        let is_awaited = files.map_or(age < WAIT_FOR_WORD, |files| files.is_counted && age < WAIT_FOR_COUNT);
        if let Some(layer) = told {
            plan.told.insert(subject.id, layer.clone());
        } else if !is_awaited {
            let path = files.and_then(|files| files.upper_dir.clone()).or_else(|| self.upper_dir(subject, known.now));
            if let Some(path) = path {
                plan.trees.insert((subject.id, Part::Layer), PlannedTree { path, which: Which::Everything });
            }
        }
        let log = files.and_then(|files| files.log_path.as_deref());
        if let Some(tree) = log_tree(log, workload) {
            plan.trees.insert((subject.id, Part::Logs), tree);
        }
    }

    /// The writable layer as the container's own root mount names it.
    fn upper_dir(&mut self, subject: &Subject, now: Instant) -> Option<PathBuf> {
        let seen = self.seen.get(&subject.id)?;
        let is_due = seen.looked_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_AGAIN);
        if seen.upper_dir.is_some() || !is_due {
            return seen.upper_dir.clone();
        }
        let found = self.first_pid(subject).and_then(|pid| upper_dir(&self.host.mountinfo(&pid.to_string())));
        let seen = self.seen.get_mut(&subject.id)?;
        (seen.upper_dir, seen.looked_at) = (found, Some(now));
        seen.upper_dir.clone()
    }

    /// A process of the container: the first that its cgroup lists, else (all are in cgroups below) the one that the runtime
    /// named, if it says itself that it is the container's.
    fn first_pid(&self, subject: &Subject) -> Option<u32> {
        let roots = &self.hierarchies;
        let roots = [&roots.v2, &roots.pids, &roots.memory, &roots.cpu];
        let below = subject.name.strip_prefix('/')?;
        let listed = roots.into_iter().flatten().find_map(|root| {
            let bytes = std::fs::read(root.join(below).join("cgroup.procs")).ok()?;
            parse_cgroup_procs(&bytes).first_pid
        });
        listed.or_else(|| {
            let workload = subject.workload.as_ref()?;
            let id = workload.identity.container_id.as_ref()?.as_bytes();
            let pid = workload.metadata.as_ref()?.pid?;
            let bytes = std::fs::read(self.host.procfs().join(pid.to_string()).join("cgroup")).ok()?;
            let names = |path: &[u8]| !id.is_empty() && path.windows(id.len()).any(|part| part == id);
            parse_pid_cgroup(&bytes).any(|line| names(line.path)).then_some(pid)
        })
    }

    /// The kubelet's folder of pods, and where it really is.
    fn pods_dir(&self) -> Option<(OwnedFd, PathBuf)> {
        let directory = self.host.open(&self.kubelet_dir.join("pods")).ok()?;
        let path = self.host.real_path(directory.as_fd())?;
        Some((directory, path))
    }

    fn plan_volumes(&self, plan: &mut Plan, pod: SubjectId, pods: &OwnedFd, path: &Path, mounts: &Mounts) {
        let volumes =
            path.file_name().and_then(|uid| open_below(pods, uid)).and_then(|pod| open_below(&pod, "volumes"));
        let Some(volumes) = volumes else { return };
        let mut left = VOLUMES_CAP;
        for plugin in folders(&volumes) {
            let Some(below) = open_below(&volumes, &plugin) else { continue };
            for name in folders(&below) {
                if left == 0 {
                    return;
                }
                left = left.saturating_sub(1);
                let mut path = path.join("volumes").join(&plugin).join(&name);
                if plugin == "kubernetes.io~csi" {
                    path.push("mount");
                }
                let part = Part::Volume { plugin: plugin.as_str().into(), name: name.as_str().into() };
                match mounts.at(&self.host, &path) {
                    AtPath::Mount(facts) => {
                        plan.mounts.insert((pod, part), PlannedMount { path, facts });
                    }
                    AtPath::Plain if is_walked(&plugin) => {
                        plan.trees.insert((pod, part), PlannedTree { path, which: Which::Everything });
                    }
                    AtPath::Plain | AtPath::Unseen => {}
                }
            }
        }
    }
}

/// Plugins whose volumes are folders of the kubelet's own filesystem. Of the others a folder without a mount is what is
/// left of one, or what will become one.
fn is_walked(plugin: &str) -> bool {
    const FOLDERS: [&str; 6] = ["empty-dir", "configmap", "secret", "downward-api", "projected", "git-repo"];
    plugin.strip_prefix("kubernetes.io~").is_some_and(|kind| FOLDERS.contains(&kind))
}

fn pod_uid(workload: &Workload) -> Option<Arc<str>> {
    let told = || workload.metadata.as_ref()?.pod_uid.as_deref().map(Arc::from);
    workload.identity.pod_uid.clone().or_else(told)
}

/// The directory that holds a container's logs. The kubelet gives every container a folder of its own, in which all is
/// its; elsewhere a log lies among others.
fn log_tree(log: Option<&Path>, workload: &Workload) -> Option<PlannedTree> {
    let metadata = workload.metadata.as_deref();
    let container = metadata.and_then(|metadata| metadata.container.as_deref());
    let pod = metadata.and_then(|metadata| Some((metadata.namespace.as_deref()?, metadata.pod.as_deref()?)));
    let uid = pod_uid(workload);
    let Some(log) = log else {
        let ((namespace, pod), container) = pod.zip(container)?;
        let folder = format!("{namespace}_{pod}_{}", uid?);
        let is_safe = is_one_name(&folder) && is_one_name(container);
        let path = Path::new(POD_LOGS).join(folder).join(container);
        return is_safe.then_some(PlannedTree { path, which: Which::Everything });
    };
    let folder = log.parent()?;
    let is_own = folder.file_name().is_some_and(|name| container.is_some_and(|container| name == container))
        && folder.parent().and_then(Path::file_name).is_some_and(|name| {
            let name = name.as_bytes();
            uid.is_some_and(|uid| name.strip_suffix(uid.as_bytes()).is_some_and(|rest| rest.ends_with(b"_")))
        });
    let which = if is_own { Which::Everything } else { Which::Named(log.file_name()?.as_bytes().to_vec()) };
    Some(PlannedTree { path: folder.to_owned(), which })
}

/// The overlay's upper directory of a mount table's root, as a path of the host. The table is the container's: whoever may
/// mount in there writes it, so that only what looks like a runtime's layer is believed.
fn upper_dir(mountinfo: &[u8]) -> Option<PathBuf> {
    let root = parse_mountinfo(mountinfo).filter(|mount| mount.mount_point == b"/").last()?;
    let upper = unescape(root.super_option("upperdir").filter(|_| root.fs_type == b"overlay")?).into_owned();
    let path = PathBuf::from(OsStr::from_bytes(&upper));
    let is_plain = path.is_absolute() && path.components().all(|part| !matches!(part, Component::ParentDir));
    let is_layer = path.file_name().is_some_and(|name| name == "fs" || name == "diff");
    (is_plain && is_layer && path.components().count() > 3).then_some(path)
}

/// True for a text that is one name of a path and leads nowhere else.
fn is_one_name(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == text)
}

fn open_below(folder: &OwnedFd, name: impl AsRef<OsStr>) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name.as_ref(), flags, Mode::empty()).ok()
}

/// The folders in a folder, those with names that Kubernetes could have given.
fn folders(folder: &OwnedFd) -> Vec<String> {
    let Ok(entries) = Dir::read_from(folder) else { return Vec::new() };
    let name = |entry: rustix::fs::DirEntry| {
        let is_folder = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        let name = entry.file_name().to_str().ok().filter(|name| is_folder && !name.starts_with('.'))?;
        Some(name.to_owned())
    };
    entries.flatten().filter_map(name).take(VOLUMES_CAP).collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
