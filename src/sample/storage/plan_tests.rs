//! Who has which trees, from rosters and folders that are made for it.

use std::fs;

use super::*;
use crate::discover::{CgroupIdentity, Metadata};
use crate::sample::testing::Builder;
use crate::units::MonotonicNanos;

const UID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
const ID: &str = "c0ffee";

fn workload(kind: CgroupKind, metadata: Option<Metadata>) -> Workload {
    let name = if kind == CgroupKind::Pod { "pod" } else { "container" };
    Workload {
        identity: CgroupIdentity {
            path: format!("/kubepods/{name}").as_str().into(),
            kind,
            runtime: None,
            container_id: (kind == CgroupKind::Container).then(|| ID.into()),
            pod_uid: Some(UID.into()),
            qos: None,
            outer_container: None,
        },
        inode: 1,
        metadata: metadata.map(Arc::new),
        created_at: UnixNanos(1),
    }
}

fn web() -> Metadata {
    Metadata {
        namespace: Some("shop".to_owned()),
        pod: Some("web-0".to_owned()),
        pod_uid: Some(UID.to_owned()),
        container: Some("web".to_owned()),
        ..Metadata::default()
    }
}

/// A host of folders, with one pod and its container.
struct Made {
    root: tempfile::TempDir,
    procfs: tempfile::TempDir,
    sample: NodeSample,
    pod: SubjectId,
    container: SubjectId,
}

impl Made {
    fn new(metadata: Option<Metadata>) -> Self {
        let mut builder = Builder::of(NodeSample::new(), MonotonicNanos(1));
        let pod = builder.cgroup(workload(CgroupKind::Pod, None), |_| ());
        let container = builder.cgroup(workload(CgroupKind::Container, metadata), |_| ());
        let [root, procfs] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        Self { root, procfs, sample: builder.finish(), pod, container }
    }

    fn planner(&self) -> Planner {
        let host = Host::new(self.root.path().to_owned(), self.procfs.path().to_owned());
        let hierarchies = Hierarchies { v2: Some(self.procfs.path().join("cgroup")), ..Hierarchies::default() };
        Planner::new(host, PathBuf::from("/var/lib/kubelet"), hierarchies, Duration::from_secs(300))
    }

    fn mountinfo(&self, process: &str, text: &str) {
        fs::create_dir_all(self.procfs.path().join(process)).unwrap();
        fs::write(self.procfs.path().join(process).join("mountinfo"), text).unwrap();
    }

    fn plan(&self, planner: &mut Planner, files: ContainerFiles, now: Instant) -> Plan {
        let mounts = planner.host.mounts();
        let files = HashMap::from([(Arc::from(ID), files)]);
        let wall = UnixNanos(1_000_000_000_000);
        planner.plan(&Known { sample: &self.sample, files: &files, mounts: &mounts, now, wall })
    }
}

fn layer(plan: &Plan, made: &Made) -> Option<PathBuf> {
    plan.trees.get(&(made.container, Part::Layer)).map(|tree| tree.path.clone())
}

#[test]
fn what_a_runtime_counted_is_not_counted_again_until_it_is_stale() {
    let made = Made::new(Some(web()));
    let mut planner = made.planner();
    let counted = |seconds: u64| ContainerFiles {
        upper_dir: Some(PathBuf::from("/var/lib/x/diff")),
        is_counted: true,
        writable_layer: Some(LayerUsage { counted_at: UnixNanos(seconds * 1_000_000_000), ..LayerUsage::default() }),
        ..ContainerFiles::default()
    };
    let now = Instant::now() + WAIT_FOR_COUNT * 2;
    let plan = made.plan(&mut planner, counted(900), now);
    assert_eq!((plan.told.len(), layer(&plan, &made)), (1, None));
    // First seen at `now`: a runtime that counts is given time before the walk begins.
    let plan = made.plan(&mut planner, counted(100), now);
    assert_eq!((plan.told.len(), layer(&plan, &made)), (0, None));
    let plan = made.plan(&mut planner, counted(100), now + WAIT_FOR_COUNT);
    assert_eq!((plan.told.len(), layer(&plan, &made)), (0, Some(PathBuf::from("/var/lib/x/diff"))));
    assert_eq!(plan.pods, BTreeMap::from([(made.pod, vec![made.container])]));
}

#[test]
fn without_a_runtimes_word_the_containers_own_root_mount_tells_its_layer() {
    let made = Made::new(None);
    let mut planner = made.planner();
    fs::create_dir_all(made.procfs.path().join("cgroup/kubepods/container")).unwrap();
    fs::write(made.procfs.path().join("cgroup/kubepods/container/cgroup.procs"), "77\n").unwrap();
    made.mountinfo(
        "77",
        "1 2 0:9 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/var/lib/snapshots/7/fs,workdir=/w\n",
    );
    let now = Instant::now();
    let plan = |planner: &mut Planner, now| {
        let mounts = planner.host.mounts();
        let files = HashMap::new();
        planner.plan(&Known { sample: &made.sample, files: &files, mounts: &mounts, now, wall: UnixNanos(1) })
    };
    assert_eq!(layer(&plan(&mut planner, now), &made), None, "a runtime may still speak");
    let found = layer(&plan(&mut planner, now + WAIT_FOR_WORD), &made);
    assert_eq!(found, Some(PathBuf::from("/var/lib/snapshots/7/fs")));
}

#[test]
fn a_layer_that_a_container_could_have_made_up_is_not_believed() {
    let told = |upper: &str| upper_dir(format!("1 2 0:9 / / rw - overlay o rw,upperdir={upper}\n").as_bytes());
    assert_eq!(told("/var/lib/docker/overlay2/abc/diff"), Some(PathBuf::from("/var/lib/docker/overlay2/abc/diff")));
    for made_up in ["/", "/fs", "/a/fs", "/home/me/data", "relative/x/y/fs", "/var/lib/x/../../../fs"] {
        assert_eq!(told(made_up), None, "{made_up}");
    }
    assert_eq!(upper_dir(b"1 2 0:9 / / rw - ext4 /dev/x rw,upperdir=/var/lib/x/fs\n"), None);
}

#[test]
fn a_log_is_its_containers_folder_or_its_siblings_by_name() {
    let workload = workload(CgroupKind::Container, Some(web()));
    let tree = |log: Option<&str>| log_tree(log.map(Path::new), &workload).unwrap();
    let folder = format!("/var/log/pods/shop_web-0_{UID}/web");
    let own = PlannedTree { path: PathBuf::from(&folder), which: Which::Everything };
    assert_eq!(tree(Some(&format!("{folder}/0.log"))), own);
    assert_eq!(tree(None), own, "the names are enough");
    let among_others = tree(Some("/var/log/test/web/web_0.log"));
    assert_eq!(among_others.which, Which::Named(b"web_0.log".to_vec()));
    assert_eq!(among_others.path, Path::new("/var/log/test/web"));
}

#[test]
fn names_that_lead_elsewhere_are_no_folders() {
    let named = |namespace: &str, container: &str| {
        let (namespace, container) = (Some(namespace.to_owned()), Some(container.to_owned()));
        let metadata = Metadata { namespace, container, ..web() };
        log_tree(None, &workload(CgroupKind::Container, Some(metadata)))
    };
    assert!(named("shop", "web").is_some());
    for (namespace, container) in [("../../etc", "web"), ("shop", ".."), ("shop", "a/b"), ("shop", "")] {
        assert_eq!(named(namespace, container), None, "{namespace} {container}");
    }
    assert!(is_one_name(UID) && !is_one_name("..") && !is_one_name("a/") && !is_one_name("/a"));
}

#[test]
fn a_pods_volumes_are_walked_or_asked_as_mounts_and_never_guessed() {
    let made = Made::new(Some(web()));
    let pods = made.root.path().join(format!("data/kubelet/pods/{UID}/volumes"));
    for volume in [
        "kubernetes.io~empty-dir/scratch",
        "kubernetes.io~empty-dir/memory",
        "kubernetes.io~csi/pv-1/mount",
        "kubernetes.io~csi/pv-2/mount",
        "kubernetes.io~nfs/share",
    ] {
        fs::create_dir_all(pods.join(volume)).unwrap();
    }
    // The kubelet's folder is a link on many nodes.
    fs::create_dir_all(made.root.path().join("var/lib")).unwrap();
    std::os::unix::fs::symlink("/data/kubelet", made.root.path().join("var/lib/kubelet")).unwrap();
    let line = |point: &Path, kind: &str| format!("9 1 0:7 / {} rw - {kind} dev rw\n", point.display());
    let seen = line(&pods.join("kubernetes.io~empty-dir/memory"), "tmpfs")
        + &line(&pods.join("kubernetes.io~csi/pv-1/mount"), "ext4");
    made.mountinfo("self", &seen);
    let unseen = PathBuf::from(format!("/data/kubelet/pods/{UID}/volumes/kubernetes.io~nfs/share"));
    made.mountinfo("1", &line(&unseen, "nfs4"));
    let plan = made.plan(&mut made.planner(), ContainerFiles::default(), Instant::now());
    let names = |keys: Vec<&TreeKey>| {
        let name = |key: &TreeKey| match &key.1 {
            Part::Volume { name, .. } if key.0 == made.pod => Some(name.to_string()),
            _ => None,
        };
        keys.into_iter().filter_map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(plan.trees.keys().collect()), ["scratch"]);
    assert_eq!(names(plan.mounts.keys().collect()), ["pv-1", "memory"]);
}
