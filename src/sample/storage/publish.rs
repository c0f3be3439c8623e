//! The counts of trees as the usage of containers and pods.
//!
//! In: a [`Plan`], the counted trees, the sizes of mounts and of the runtimes' filesystems. Out: one [`StorageUsage`] for
//! each container and pod. Pure. Next: [`Details::storage`](crate::sample::details::Details).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::{Part, Plan, TreeKey};
use super::{Backing, StorageUsage, TreeUsage, UsageSource, VolumeUsage};
use crate::discover::LayerUsage;
use crate::sample::SubjectId;

/// A count, and what it is on.
pub type Counted = (TreeUsage, Option<Arc<Backing>>);

/// Puts everything that is known together.
pub fn usages(
    plan: &Plan,
    counted: &dyn Fn(&TreeKey) -> Option<Counted>,
    backing_of: &dyn Fn(SubjectId) -> Option<Arc<Backing>>,
) -> BTreeMap<SubjectId, StorageUsage> {
    let mut usages: BTreeMap<SubjectId, StorageUsage> = BTreeMap::new();
    for (id, layer) in &plan.told {
        let usage = usages.entry(*id).or_default();
        usage.writable_layer = Some(told(layer));
        usage.writable_layer_backing = backing_of(*id);
    }
    for key in plan.trees.keys().chain(plan.mounts.keys()) {
        let Some((tree, backing)) = counted(key) else { continue };
        let usage = usages.entry(key.0).or_default();
        match &key.1 {
            Part::Layer => (usage.writable_layer, usage.writable_layer_backing) = (Some(tree), backing),
            Part::Logs => (usage.logs, usage.logs_backing) = (Some(tree), backing),
            Part::Volume { plugin, name } => usage.volumes.push(VolumeUsage {
                name: Arc::clone(name),
                plugin: Arc::clone(plugin),
                usage: tree,
                backing: backing.unwrap_or_default(),
                is_mount: plan.mounts.contains_key(key),
            }),
        }
    }
    for (pod, containers) in &plan.pods {
        if let Some(sum) = ephemeral(plan, *pod, containers, &usages) {
            usages.entry(*pod).or_default().ephemeral_storage = Some(sum);
        }
    }
    usages
}

fn told(layer: &LayerUsage) -> TreeUsage {
    TreeUsage {
        used_bytes: layer.used_bytes,
        inodes: layer.inodes.unwrap_or(0),
        counted_at: layer.counted_at,
        source: UsageSource::Cri,
        is_partial: false,
    }
}

/// The sum over a pod; `None` while a part of it has not been counted.
fn ephemeral(
    plan: &Plan,
    pod: SubjectId,
    containers: &[SubjectId],
    usages: &BTreeMap<SubjectId, StorageUsage>,
) -> Option<TreeUsage> {
    let mut parts = Vec::new();
    for id in containers {
        let usage = usages.get(id)?;
        parts.push(usage.writable_layer?);
        match usage.logs {
            Some(logs) => parts.push(logs),
            None if plan.trees.contains_key(&(*id, Part::Logs)) => return None,
            None => {}
        }
    }
    let volumes = usages.get(&pod).map_or(&[][..], |usage| usage.volumes.as_slice());
    let is_volume = |key: &&TreeKey| key.0 == pod && !plan.mounts.contains_key(key);
    let planned = plan.trees.keys().filter(is_volume).count();
    if volumes.iter().filter(|volume| !volume.is_mount).count() < planned {
        return None;
    }
    parts.extend(volumes.iter().filter(|volume| volume.is_ephemeral()).map(|volume| volume.usage));
    parts.into_iter().reduce(|sum, part| TreeUsage {
        used_bytes: sum.used_bytes.saturating_add(part.used_bytes),
        inodes: sum.inodes.saturating_add(part.inodes),
        counted_at: sum.counted_at.min(part.counted_at),
        source: if sum.source == part.source { sum.source } else { UsageSource::Walk },
        is_partial: sum.is_partial || part.is_partial,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::plan::{PlannedMount, PlannedTree};
    use super::super::walk::Which;
    use super::*;
    use crate::sample::storage::host::MountFacts;
    use crate::units::UnixNanos;

    fn volume(plugin: &str, name: &str) -> Part {
        Part::Volume { plugin: format!("kubernetes.io~{plugin}").as_str().into(), name: name.into() }
    }

    /// A pod with one container: layer by the runtime, logs, an emptyDir, one in memory, a claim, a secret.
    fn plan() -> (Plan, BTreeMap<TreeKey, Counted>) {
        let (pod, container) = (SubjectId(1), SubjectId(2));
        let mut plan = Plan::default();
        let mut counted = BTreeMap::new();
        let layer = LayerUsage { used_bytes: 1000, inodes: Some(3), mountpoint: None, counted_at: UnixNanos(50) };
        plan.told.insert(container, layer);
        plan.pods.insert(pod, vec![container]);
        let tree = PlannedTree { path: PathBuf::from("/x"), which: Which::Everything };
        for (key, used_bytes) in [
            ((container, Part::Logs), 200),
            ((pod, volume("empty-dir", "scratch")), 30),
            ((pod, volume("secret", "keys")), 7000),
        ] {
            plan.trees.insert(key.clone(), tree.clone());
            let usage = TreeUsage { used_bytes, inodes: 1, counted_at: UnixNanos(40), ..TreeUsage::default() };
            counted.insert(key, (usage, None));
        }
        let facts = Arc::new(MountFacts { source: "tmpfs".into(), kind: "tmpfs".into() });
        for (key, used_bytes) in
            [((pod, volume("empty-dir", "memory")), 90_000), ((pod, volume("csi", "pv-1")), 80_000)]
        {
            plan.mounts.insert(key.clone(), PlannedMount { path: PathBuf::from("/x"), facts: Arc::clone(&facts) });
            counted.insert(key, (TreeUsage { used_bytes, ..TreeUsage::default() }, None));
        }
        (plan, counted)
    }

    #[test]
    fn a_pods_ephemeral_storage_is_its_layers_logs_and_empty_dirs_on_disk() {
        let (plan, counted) = plan();
        let usages = usages(&plan, &|key| counted.get(key).cloned(), &|_| None);
        let pod = &usages[&SubjectId(1)];
        let sum = pod.ephemeral_storage.unwrap();
        assert_eq!((sum.used_bytes, sum.inodes, sum.counted_at), (1230, 5, UnixNanos(40)));
        assert_eq!(pod.volumes.len(), 4);
        let layer = usages[&SubjectId(2)].writable_layer.unwrap();
        assert_eq!((layer.used_bytes, layer.source), (1000, UsageSource::Cri));
    }

    #[test]
    fn a_sum_of_which_a_part_is_not_counted_yet_is_not_told() {
        let (plan, counted) = plan();
        for missing in [(SubjectId(2), Part::Logs), (SubjectId(1), volume("empty-dir", "scratch"))] {
            let known = |key: &TreeKey| counted.get(key).filter(|_| *key != missing).cloned();
            let usages = usages(&plan, &known, &|_| None);
            assert_eq!(usages[&SubjectId(1)].ephemeral_storage, None, "{missing:?}");
        }
        let (mut plan, _) = (plan, ());
        plan.told.clear();
        let usages = usages(&plan, &|key| counted.get(key).cloned(), &|_| None);
        assert_eq!(usages[&SubjectId(1)].ephemeral_storage, None, "the layer");
    }
}
