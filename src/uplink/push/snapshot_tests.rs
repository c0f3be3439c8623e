//! What is pushed of a sample, and that the past gives the same as the present did.

use std::sync::Arc;
use std::time::Duration;

use super::past::{instants, samples};
use super::snapshot::{NodeCpuSource, columns, snapshot};
use super::testing::*;
use crate::sample::catalogue::{NodeColumn as N, Table};
use crate::sample::details::Details;
use crate::sample::row::{Column, Row};
use crate::sample::storage::{StorageUsage, TreeUsage};
use crate::sample::{CgroupKind, Metadata, NodeSample};
use crate::store::cluster::{Entity, EntityKey, Metric, Snapshot};
use crate::store::{Store, ring};
use crate::units::UnixNanos;

const ROOT: NodeCpuSource = NodeCpuSource::RootCgroup;

fn find<'a>(snapshot: &'a Snapshot, wanted: &str) -> &'a Entity {
    let name = |entity: &&Entity| match &entity.key {
        EntityKey::Node => wanted == "node",
        EntityKey::Pod { name, .. } | EntityKey::Container { name, .. } => &**name == wanted,
    };
    snapshot.entities.iter().find(name).unwrap_or_else(|| panic!("{wanted} is not in {snapshot:?}"))
}

fn value(snapshot: &Snapshot, entity: &str, metric: Metric) -> Option<u64> {
    find(snapshot, entity).values[metric as usize]
}

fn store_of(samples: impl IntoIterator<Item = NodeSample>) -> Store {
    let (mut writer, store) = ring(8 << 20).unwrap();
    for sample in samples {
        writer.append(Arc::new(sample));
    }
    store
}

#[test]
fn the_node_its_pods_and_their_containers_are_pushed_and_nobody_else() {
    let made = snapshot(&sample(5), ROOT);
    assert_eq!(made.wall, wall(5));
    let keys: Vec<&EntityKey> = made.entities.iter().map(|entity| &entity.key).collect();
    let container =
        |name: &str, id: &str| EntityKey::Container { pod_uid: POD_UID.into(), name: name.into(), id: id.into() };
    let pod = EntityKey::Pod { uid: POD_UID.into(), namespace: "shop".into(), name: "web-0".into() };
    assert_eq!(keys, [&EntityKey::Node, &pod, &container("web", WEB_ID), &container("log", LOG_ID)]);
}

#[test]
fn a_containers_values_are_its_own_cgroups() {
    let made = snapshot(&sample(5), ROOT);
    let of = |metric| value(&made, "web", metric);
    assert_eq!(of(Metric::CpuUsageUsec), Some(12_500_000));
    assert_eq!(of(Metric::MemoryCurrentBytes), Some(204 * MIB));
    assert_eq!(of(Metric::MemoryWorkingSetBytes), Some(200 * MIB));
    assert_eq!(of(Metric::MemoryMaxBytes), Some(256 * MIB));
    assert_eq!(of(Metric::CpuLimitMillicores), Some(1_500));
    assert_eq!(of(Metric::IoWriteBytes), Some(2 * 8_192 * 15), "both devices");
    assert_eq!(of(Metric::Restarts), Some(2), "the tally knows of more than the runtime");
    assert_eq!(of(Metric::MemoryEventsOomKill), Some(0), "zero is not absent");
    assert_eq!(of(Metric::CpuPressureSomeUsec), None, "absent is not zero");
    assert_eq!(value(&made, "log", Metric::MemoryMaxBytes), None, "no limit");
    assert_eq!(value(&made, "log", Metric::IoReadBytes), None);
    assert_eq!(find(&made, "web").started_at, UnixNanos(WALL - 3_600 * SECOND), "its directory is older");
}

#[test]
fn a_pods_network_is_its_own_and_counted_once() {
    let made = snapshot(&sample(5), ROOT);
    assert_eq!(value(&made, "web-0", Metric::NetworkReceiveBytes), Some(150_000 * 15), "without lo");
    assert_eq!(value(&made, "web-0", Metric::CpuPressureSomeUsec), Some(250_000));
    assert_eq!(value(&made, "web", Metric::NetworkReceiveBytes), None);
}

#[test]
fn a_pods_ephemeral_storage_is_pushed_once_it_has_been_counted() {
    let mut sample = sample(5);
    assert_eq!(value(&snapshot(&sample, ROOT), "web-0", Metric::EphemeralStorageBytes), None);
    let is_pod = |workload: &crate::sample::Workload| workload.kind() == CgroupKind::Pod;
    let pod = sample.iter(Table::Cgroup).find(|(subject, _)| subject.workload.as_deref().is_some_and(is_pod));
    let id = pod.unwrap().0.id;
    let sum = TreeUsage { used_bytes: 3 * MIB, ..TreeUsage::default() };
    let usage = StorageUsage { ephemeral_storage: Some(sum), ..StorageUsage::default() };
    let mut details = Details::clone(&sample.details);
    details.storage = Arc::new([(id, usage)].into());
    sample.details = Arc::new(details);
    let made = snapshot(&sample, ROOT);
    assert_eq!(value(&made, "web-0", Metric::EphemeralStorageBytes), Some(3 * MIB));
    assert_eq!(value(&made, "web", Metric::EphemeralStorageBytes), None, "it is the pod's");
}

#[test]
fn a_pod_on_the_hosts_network_has_no_network_of_its_own() {
    let host = |tick| {
        let mut b = builder(tick);
        let metadata = |container| Metadata { host_network: true, ..pod_metadata(container) };
        let own = b.cgroup(
            workload("/kubepods.slice/kubepods-pod1.slice", CgroupKind::Pod, None, Some(metadata(None))),
            |_| (),
        );
        b.row(Table::Interface, Some(own), "eth0", None, |row| {
            row.put(crate::sample::catalogue::InterfaceColumn::RxBytes, Some(7))
        });
        b.finish()
    };
    assert_eq!(value(&snapshot(&host(1), ROOT), "web-0", Metric::NetworkReceiveBytes), None);
}

#[test]
fn a_pod_whose_name_nobody_has_told_yet_waits() {
    let mut b = builder(1);
    b.cgroup(workload("/kubepods.slice/kubepods-pod1.slice", CgroupKind::Pod, None, None), usage(1, 1, MIB));
    assert_eq!(snapshot(&b.finish(), ROOT).entities.len(), 1, "only the node");
}

#[test]
fn the_node_is_measured_as_the_kubelet_does_and_its_capacity_is_told() {
    let made = snapshot(&sample(5), ROOT);
    let of = |metric| value(&made, "node", metric);
    assert_eq!(of(Metric::CpuUsageUsec), Some(1_010_000_000), "the root cgroup's");
    assert_eq!(of(Metric::MemoryWorkingSetBytes), Some(1_300 * MIB), "anon + file - inactive file");
    assert_eq!(of(Metric::MemoryFileBytes), Some(600 * MIB), "cached and buffers");
    assert_eq!(of(Metric::MemorySwapBytes), Some(128 * MIB));
    assert_eq!(of(Metric::CpuCapacityMillicores), Some(4_000));
    assert_eq!(of(Metric::MemoryCapacityBytes), Some(8_192 * MIB));
    assert_eq!(of(Metric::NetworkReceiveBytes), Some(150_000 * 15), "eth0 only");
    assert_eq!(of(Metric::IoReadBytes), Some(8 * 512 * 15), "sda only: no partition, nothing made of it");
    assert_eq!(of(Metric::EphemeralStorageCapacityBytes), Some(40 << 30), "/var holds /var/lib/kubelet");
    assert_eq!(of(Metric::EphemeralStorageBytes), Some(20 << 30));
    assert_eq!(of(Metric::MemoryMaxBytes), None);
}

#[test]
fn without_a_root_cgroup_that_counts_cpu_time_proc_stat_does_and_the_choice_stays() {
    let mut b = builder(0);
    b.row(Table::Node, None, "node", None, |row| {
        for (column, ticks) in
            [(N::CpuUserTicks, 150), (N::CpuSystemTicks, 50), (N::CpuIdleTicks, 9_000), (N::CpuStealTicks, 7)]
        {
            row.put(column, Some(ticks));
        }
    });
    let without = b.finish();
    assert_eq!(NodeCpuSource::of(&without), NodeCpuSource::ProcStat);
    assert_eq!(value(&snapshot(&without, NodeCpuSource::ProcStat), "node", Metric::CpuUsageUsec), Some(2_000_000));
    assert_eq!(NodeCpuSource::of(&sample(1)), ROOT);
    assert_eq!(
        value(&snapshot(&without, ROOT), "node", Metric::CpuUsageUsec),
        None,
        "absent rather than another count"
    );
}

/// Every cell of every row is something else.
fn full_sample(only_pushed_columns: bool) -> NodeSample {
    let template = sample(3);
    let mut made = NodeSample::new();
    made.wall = template.wall;
    made.roster = Arc::clone(&template.roster);
    made.machine = Arc::clone(&template.machine);
    #[derive(Clone, Copy)]
    struct At(usize);
    impl Column for At {
        fn index(self) -> usize {
            self.0
        }
    }
    for table in Table::ALL {
        for (number, _) in template.roster.subjects(table).iter().enumerate() {
            let mut row = Row::new(table.metrics().len());
            for column in 0..table.metrics().len() {
                // Wholes are larger than their parts, and nothing overflows.
                let value = 1_000_003 * (200 - column as u64) + 17 * number as u64;
                if !only_pushed_columns || columns(table).contains(&column) {
                    row.put(At(column), Some(value));
                }
            }
            made.rows_mut(table).unwrap().push(row.as_ref());
        }
    }
    made
}

#[test]
fn the_columns_that_are_read_of_the_past_are_all_that_a_snapshot_is_made_of() {
    let whole = snapshot(&full_sample(false), ROOT);
    assert_eq!(whole, snapshot(&full_sample(true), ROOT));
    let by_ticks = NodeCpuSource::ProcStat;
    assert_eq!(snapshot(&full_sample(false), by_ticks), snapshot(&full_sample(true), by_ticks));
    let present = find(&whole, "web").values.iter().flatten().count();
    assert!(present >= 28, "{present} metrics of a container");
}

#[test]
fn a_sample_of_the_past_is_pushed_as_it_was_but_for_restarts_that_only_the_tick_knew() {
    // Long enough that some lie in segments and some in the head.
    let store = store_of((0..400).map(sample));
    let walls: Vec<UnixNanos> = [3, 130, 250, 398].map(wall).into();
    let past = samples(&store, &walls);
    assert_eq!(past.iter().map(|sample| sample.wall).collect::<Vec<_>>(), walls);
    for (past, tick) in past.iter().zip([3, 130, 250, 398]) {
        let mut live = snapshot(&sample(tick), ROOT);
        let web = live
            .entities
            .iter_mut()
            .find(|entity| matches!(&entity.key, EntityKey::Container { name, .. } if &**name == "web"));
        web.unwrap().values[Metric::Restarts as usize] = Some(1);
        let mut past = snapshot(past, ROOT);
        past.entities.sort_by(|a, b| a.key.cmp(&b.key));
        live.entities.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(past, live, "tick {tick}");
    }
}

#[test]
fn due_are_the_newest_tick_and_one_per_step_before_it_back_to_what_was_pushed() {
    let store = store_of((0..200).map(sample));
    let due = |after, newest, step| {
        let due = instants(&store, after, newest, Duration::from_secs(step));
        due.iter().map(|at| (at.0 - WALL) / SECOND).collect::<Vec<_>>()
    };
    assert_eq!(due(wall(100), wall(161), 15), [116, 131, 146, 161]);
    assert_eq!(due(wall(100), wall(160), 15), [115, 130, 145, 160]);
    assert_eq!(due(wall(100), wall(157), 15), [112, 127, 142, 157], "12 s behind is more than half a step");
    assert_eq!(due(wall(100), wall(152), 15), [122, 137, 152], "7 s behind is not");
    assert_eq!(due(wall(195), wall(199), 1), [196, 197, 198, 199]);
    assert_eq!(due(wall(199), wall(199), 15), [199]);
    assert_eq!(due(UnixNanos(1), wall(40), 15), [10, 25, 40], "the ring begins there");
}

#[test]
fn a_hole_in_the_ring_is_left_out_and_a_late_tick_is_its_steps() {
    let ticks = (0..100).filter(|tick| !(20..70).contains(tick));
    let store = store_of(ticks.map(|tick| {
        let mut sample = sample(tick);
        // Ticks jitter by milliseconds.
        sample.wall = UnixNanos(sample.wall.0 + tick * 7 % 5 * 1_000_000);
        sample
    }));
    let newest = store.latest().unwrap().wall;
    let due = instants(&store, wall(0), newest, Duration::from_secs(15));
    assert_eq!(due.iter().map(|at| (at.0 - WALL) / SECOND).collect::<Vec<_>>(), [9, 19, 84, 99]);
}

#[test]
fn what_has_aged_out_of_the_ring_is_a_sample_without_rows() {
    let store = store_of((0..10).map(sample));
    let past = samples(&store, &[UnixNanos(5), wall(4)]);
    assert_eq!(past.iter().map(|sample| sample.iter(Table::Node).count()).collect::<Vec<_>>(), [0, 1]);
    assert!(samples(&store, &[]).is_empty());
}
