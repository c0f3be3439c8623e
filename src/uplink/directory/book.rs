//! From objects to records, and the workload at the top of a pod's owners.
//!
//! In: [`PodObject`], [`OwnedObject`]. Out: [`PodRecord`], [`NodeRecord`], and which pods have to be told another
//! workload because their owner was seen later than they. It asks nobody; the store keeps equal strings once. Next: [`super`].

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;

use super::objects::{OwnedObject, PodObject, controller};
use crate::store::cluster::{LabelMap, NodeRecord, PodRecord, WorkloadRef};

/// A pod's record, and whether its workload may still turn out to be another.
#[derive(Debug, Clone)]
pub struct PodSeen {
    /// What to put into the store.
    pub record: PodRecord,
    /// Its owner has not been seen yet: the workload is the owner itself for now.
    pub waits: bool,
}

/// Pods whose owner was seen after them, and what their workload is.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    /// UIDs of the pods.
    pub pods: Vec<Arc<str>>,
    /// Their workload.
    pub workload: WorkloadRef,
}

/// Kinds of owners that have an owner themselves as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerKind {
    /// `ReplicaSet` of `apps`; its owner is a `Deployment`.
    ReplicaSet,
    /// `Job` of `batch`; its owner is a `CronJob`, or none.
    Job,
}

/// Owners by UID, and who waits for which.
#[derive(Debug, Default)]
pub struct Book {
    /// What owns this `ReplicaSet` or `Job`; `None`: nothing does.
    owners: HashMap<Arc<str>, (OwnerKind, Option<WorkloadRef>)>,
    /// By UID of an owner that was not seen yet: UIDs of its pods.
    waiting: HashMap<Arc<str>, HashSet<Arc<str>>>,
}

impl Book {
    /// The record of a pod; `None` for an object without name, namespace or UID.
    pub fn pod(&mut self, pod: &PodObject) -> Option<PodSeen> {
        let name = pod.metadata.name.as_deref()?;
        let uid: Arc<str> = uid_of(pod)?.into();
        let (workload, waits) = self.workload(pod, name, &uid);
        let record = PodRecord {
            namespace: pod.metadata.namespace.as_deref()?.into(),
            name: name.into(),
            uid,
            node: pod.spec.node_name.as_deref().unwrap_or_default().into(),
            labels: labels(&pod.metadata),
            workload,
            finished: pod.is_finished(),
        };
        Some(PodSeen { record, waits })
    }

    fn workload(&mut self, pod: &PodObject, name: &str, uid: &Arc<str>) -> (WorkloadRef, bool) {
        let Some(owner) = controller(&pod.metadata).filter(|owner| owner.kind != "Node") else {
            return (WorkloadRef { kind: "Pod".into(), name: name.into() }, false);
        };
        let itself = reference(owner);
        if !is_owned(&owner.kind) {
            return (itself, false);
        }
        match self.owners.get(owner.uid.as_str()) {
            Some((_, Some(above))) => (above.clone(), false),
            Some((_, None)) => (itself, false),
            None => {
                self.waiting.entry(owner.uid.as_str().into()).or_default().insert(Arc::clone(uid));
                (itself, true)
            }
        }
    }

    /// A pod is gone: it waits for nobody.
    pub fn pod_gone(&mut self, pod: &PodObject) {
        let (Some(owner), Some(uid)) = (controller(&pod.metadata), uid_of(pod)) else { return };
        if let Entry::Occupied(mut waiting) = self.waiting.entry(owner.uid.as_str().into()) {
            waiting.get_mut().remove(uid);
            if waiting.get().is_empty() {
                waiting.remove();
            }
        }
    }

    /// A `ReplicaSet` or a `Job` was seen.
    pub fn owner(&mut self, kind: OwnerKind, object: &OwnedObject) -> Option<Resolved> {
        let uid: Arc<str> = object.metadata.uid.as_deref()?.into();
        let above = controller(&object.metadata).map(reference);
        self.owners.insert(Arc::clone(&uid), (kind, above.clone()));
        let pods = self.waiting.remove(&uid)?;
        above.map(|workload| Resolved { pods: pods.into_iter().collect(), workload })
    }

    /// A `ReplicaSet` or a `Job` is gone.
    pub fn owner_gone(&mut self, uid: &str) {
        self.owners.remove(uid);
    }

    /// After the owners of a kind were listed anew: those that are not among them are gone.
    pub fn keep_owners(&mut self, kind: OwnerKind, listed: &HashSet<Arc<str>>) {
        self.owners.retain(|uid, (of, _)| *of != kind || listed.contains(uid));
    }

    /// After the pods were listed anew: who is not among them waits for nobody.
    pub fn keep_waiting(&mut self, pods: &HashSet<Arc<str>>) {
        self.waiting.retain(|_, waiting| {
            waiting.retain(|uid| pods.contains(uid));
            !waiting.is_empty()
        });
    }
}

/// The record of a node; `None` for an object without a name.
#[must_use]
pub fn node(node: &OwnedObject) -> Option<NodeRecord> {
    Some(NodeRecord {
        name: node.metadata.name.as_deref()?.into(),
        uid: node.metadata.uid.as_deref().unwrap_or_default().into(),
        labels: labels(&node.metadata),
    })
}

/// Ascending by key, as the map is.
fn labels(metadata: &ObjectMeta) -> LabelMap {
    metadata.labels.iter().flatten().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}

fn reference(owner: &OwnerReference) -> WorkloadRef {
    WorkloadRef { kind: owner.kind.as_str().into(), name: owner.name.as_str().into() }
}

/// Kinds that have an owner themselves as a rule.
#[must_use]
pub fn is_owned(kind: &str) -> bool {
    matches!(kind, "ReplicaSet" | "Job")
}

/// The UID by which a pod's cgroups, and so the agents, call it.
#[must_use]
pub fn uid_of(pod: &PodObject) -> Option<&str> {
    pod.static_uid().or(pod.metadata.uid.as_deref())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owned(kind: &str, name: &str, uid: &str) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}])
    }

    fn pod(name: &str, owners: &Value) -> PodObject {
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"),
                         "labels": {"track": "canary", "app": "web"}, "ownerReferences": owners},
            "spec": {"nodeName": "a"},
            "status": {"phase": "Running"},
        }))
        .unwrap()
    }

    fn object(name: &str, owners: &Value) -> OwnedObject {
        serde_json::from_value(
            json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "ownerReferences": owners}}),
        )
        .unwrap()
    }

    fn workload(kind: &str, name: &str) -> WorkloadRef {
        WorkloadRef { kind: kind.into(), name: name.into() }
    }

    #[test]
    fn a_pod_belongs_to_the_deployment_above_its_replica_set() {
        let mut book = Book::default();
        assert_eq!(book.owner(OwnerKind::ReplicaSet, &object("web-1", &owned("Deployment", "web", "d"))), None);
        let seen = book.pod(&pod("web-1-x", &owned("ReplicaSet", "web-1", "uid-web-1"))).unwrap();
        assert!(!seen.waits);
        assert_eq!(seen.record.workload, workload("Deployment", "web"));
        assert_eq!((&*seen.record.namespace, &*seen.record.node), ("shop", "a"));
        let labels: Vec<_> = seen.record.labels.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(labels, [("app", "web"), ("track", "canary")]);
    }

    #[test]
    fn a_pod_that_came_before_its_replica_set_is_named_when_that_comes() {
        let mut book = Book::default();
        let seen = book.pod(&pod("web-1-x", &owned("ReplicaSet", "web-1", "uid-web-1"))).unwrap();
        assert!(seen.waits);
        assert_eq!(seen.record.workload, workload("ReplicaSet", "web-1"));
        let resolved = book.owner(OwnerKind::ReplicaSet, &object("web-1", &owned("Deployment", "web", "d"))).unwrap();
        assert_eq!(resolved, Resolved { pods: vec!["uid-web-1-x".into()], workload: workload("Deployment", "web") });
        assert!(book.waiting.is_empty());
    }

    #[test]
    fn a_pod_that_goes_while_it_waits_is_forgotten() {
        let mut book = Book::default();
        let gone = pod("web-1-x", &owned("ReplicaSet", "web-1", "uid-web-1"));
        book.pod(&gone).unwrap();
        book.pod(&gone).unwrap();
        assert_eq!(book.waiting.values().map(HashSet::len).sum::<usize>(), 1);
        book.pod_gone(&gone);
        assert!(book.waiting.is_empty());
        book.pod(&gone).unwrap();
        book.keep_waiting(&HashSet::new());
        assert!(book.waiting.is_empty());
    }

    #[test]
    fn each_kind_of_owner_is_the_workload_that_people_know() {
        let mut book = Book::default();
        book.owner(OwnerKind::Job, &object("nightly-1", &owned("CronJob", "nightly", "c")));
        book.owner(OwnerKind::Job, &object("once", &Value::Null));
        book.owner(OwnerKind::ReplicaSet, &object("web-1", &owned("Rollout", "web", "r")));
        let mut of = |owners: &Value| book.pod(&pod("p", owners)).unwrap().record.workload;
        assert_eq!(of(&owned("Job", "nightly-1", "uid-nightly-1")), workload("CronJob", "nightly"));
        assert_eq!(of(&owned("Job", "once", "uid-once")), workload("Job", "once"));
        assert_eq!(of(&owned("ReplicaSet", "web-1", "uid-web-1")), workload("Rollout", "web"));
        assert_eq!(of(&owned("StatefulSet", "db", "s")), workload("StatefulSet", "db"));
        assert_eq!(of(&owned("DaemonSet", "agent", "s")), workload("DaemonSet", "agent"));
        assert_eq!(of(&Value::Null), workload("Pod", "p"));
        assert_eq!(of(&owned("Node", "a", "n")), workload("Pod", "p"), "a static pod");
    }
}
