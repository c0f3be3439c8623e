//! The thread over folders that are made for it: what it publishes.

use std::fs;

use super::super::plan::Part;
use super::*;
use crate::discover::{CgroupIdentity, CgroupKind, Metadata, Workload};
use crate::sample::testing::Builder;
use crate::units::MonotonicNanos;

const ID: &str = "c0ffee";

fn sample() -> (Arc<NodeSample>, SubjectId) {
    let mut builder = Builder::of(NodeSample::new(), MonotonicNanos(1));
    let workload = Workload {
        identity: CgroupIdentity {
            path: "/docker/c0ffee".into(),
            kind: CgroupKind::Container,
            runtime: None,
            container_id: Some(ID.into()),
            pod_uid: None,
            qos: None,
            outer_container: None,
        },
        inode: 1,
        metadata: Some(Arc::new(Metadata::default())),
        created_at: UnixNanos(1),
    };
    let id = builder.cgroup(workload, |_| ());
    (Arc::new(builder.finish()), id)
}

fn options(rootfs: &Path, interval: Duration) -> StorageOptions {
    StorageOptions {
        // No pressure to look at: the thread pauses no longer than it must.
        procfs: PathBuf::from("/nonexistent"),
        rootfs: rootfs.to_owned(),
        kubelet_dir: PathBuf::from("/var/lib/kubelet"),
        hierarchies: Hierarchies::default(),
        interval,
        bounds: Bounds::default(),
    }
}

fn files() -> HashMap<Arc<str>, ContainerFiles> {
    let files = ContainerFiles {
        upper_dir: Some(PathBuf::from("/layers/1/diff")),
        log_path: Some(PathBuf::from("/logs/c0ffee-json.log")),
        ..ContainerFiles::default()
    };
    HashMap::from([(Arc::from(ID), files)])
}

#[test]
fn a_containers_layer_and_logs_are_published_and_counted_again() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("layers/1/diff")).unwrap();
    fs::create_dir_all(root.path().join("logs")).unwrap();
    fs::write(root.path().join("logs/c0ffee-json.log"), vec![1; 5000]).unwrap();
    let (sample, id) = sample();
    let details = Arc::new(DetailsCell::default());
    let options = options(root.path(), Duration::from_secs(1));
    let watch = StorageWatch::start(options, move || Some(Arc::clone(&sample)), files, Arc::clone(&details)).unwrap();
    let until = |what: &str, accept: &dyn Fn(&crate::sample::storage::StorageUsage) -> bool| {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(usage) = details.get().storage.get(&id).filter(|usage| accept(usage)) {
                return usage.clone();
            }
            assert!(Instant::now() < end, "{what}: {:?}", details.get());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let first = until("both parts", &|usage| usage.writable_layer.is_some() && usage.logs.is_some());
    let logs = first.logs.unwrap();
    assert!((5000..20_000).contains(&logs.used_bytes) && logs.inodes == 1, "{logs:?}");
    assert_eq!(logs.source, UsageSource::Walk);
    assert!(first.writable_layer_backing.unwrap().capacity_bytes > 0);
    fs::write(root.path().join("layers/1/diff/file"), vec![1; 10 << 20]).unwrap();
    let least = first.writable_layer.unwrap().used_bytes + (10 << 20);
    let later = until("the file", &|usage| usage.writable_layer.is_some_and(|layer| layer.used_bytes >= least));
    assert!(later.writable_layer.unwrap().counted_at > first.writable_layer.unwrap().counted_at);
    fs::remove_dir_all(root.path().join("layers")).unwrap();
    until("a layer that is gone has no count", &|usage| usage.writable_layer.is_none() && usage.logs.is_some());
    drop(watch);
}

fn counter(root: &Path) -> (Counter, SubjectId) {
    let mut counter = Counter::new(options(root, Duration::from_secs(60)), Asker::start().unwrap());
    let (sample, id) = sample();
    counter.look(&sample, &files());
    (counter, id)
}

#[test]
fn what_was_counted_is_not_counted_again_before_its_time() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("layers/1/diff")).unwrap();
    fs::create_dir_all(root.path().join("logs")).unwrap();
    let (mut counter, id) = counter(root.path());
    let pace = Pace::new(PathBuf::from("/nonexistent"));
    let finish = |counter: &mut Counter| {
        for _ in 0..1000 {
            counter.work(&pace);
        }
    };
    finish(&mut counter);
    let counted_at = |counter: &mut Counter| counter.publish()[&id].writable_layer.unwrap().counted_at;
    let first = counted_at(&mut counter);
    finish(&mut counter);
    assert_eq!(counted_at(&mut counter), first);
    // Dear to count: the next time is as far away as its cost says.
    let key = (id, Part::Layer);
    let root = counter.planner.host.open(Path::new("/layers/1/diff")).unwrap();
    let walk = Walk::new(root, Which::Everything, Bounds::default()).unwrap();
    counter.active = Some(Active { key: key.clone(), walk, backing: None, busy: Duration::from_secs(30) });
    finish(&mut counter);
    let wait = counter.trees[&key].due.saturating_duration_since(Instant::now());
    assert!(wait > Duration::from_secs(590), "{wait:?}");
}

#[test]
fn who_is_gone_is_walked_no_further() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("layers/1/diff")).unwrap();
    let (mut counter, id) = counter(root.path());
    counter.begin((id, Part::Layer), Instant::now());
    assert!(counter.active.is_some());
    counter.look(&NodeSample::new(), &HashMap::new());
    assert!(counter.active.is_none() && counter.trees.is_empty());
    assert!(counter.publish().is_empty());
}
