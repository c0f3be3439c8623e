//! What the API server says: nodes and pods, by name and by UID.
//!
//! In: records, from the watches. Out: the same, each text kept once however many objects have it: a cluster's pods share
//! their labels. It holds nothing that was measured. Next: [`super::node`], [`super`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::entity::Refusal;
use super::push::Born;
use super::record::{LabelMap, NodeRecord, PodRecord, WorkloadRef};

/// Texts and label sets, each once.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>>,
    labels: HashSet<LabelMap>,
    swept: usize,
}

impl Interner {
    pub fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        self.sweep();
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text
    }

    fn labels(&mut self, labels: &LabelMap) -> LabelMap {
        if let Some(known) = self.labels.get(labels) {
            return known.clone();
        }
        let own: LabelMap = labels.iter().map(|(key, value)| (self.text(key), self.text(value))).collect();
        self.labels.insert(own.clone());
        own
    }

    /// Forgets what nobody has any more, whenever there is twice as much as after the last time.
    fn sweep(&mut self) {
        if self.texts.len() < 1024 || self.texts.len() < 2 * self.swept {
            return;
        }
        self.labels.retain(|labels| Arc::strong_count(labels) > 1);
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.swept = self.texts.len();
    }
}

/// A pod, and where it stands among its node's entities.
#[derive(Debug)]
pub(super) struct KnownPod {
    pub record: Arc<PodRecord>,
    /// Where it stood when it was last looked up: it is seldom elsewhere.
    pub slot: AtomicU16,
}

/// Nodes and pods as the API server knows them.
#[derive(Debug, Default)]
pub(super) struct Directory {
    nodes: HashMap<Arc<str>, Arc<NodeRecord>>,
    by_uid: HashMap<Arc<str>, Arc<KnownPod>>,
    by_name: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<KnownPod>>>,
    /// Every node and pod that there is was put here at least once.
    pub synced: bool,
    pub interner: Interner,
}

impl Directory {
    pub fn put_node(&mut self, record: &NodeRecord) -> Arc<NodeRecord> {
        let record = Arc::new(NodeRecord {
            name: self.interner.text(&record.name),
            uid: record.uid.clone(),
            labels: self.interner.labels(&record.labels),
        });
        self.nodes.insert(record.name.clone(), record.clone());
        record
    }

    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    pub fn node(&self, name: &str) -> Option<&Arc<NodeRecord>> {
        self.nodes.get(name)
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub fn pod_count(&self) -> usize {
        self.by_uid.len()
    }

    /// Puts a pod; another one of its name is not found by name any more. Gives back what was known of this UID.
    pub fn put_pod(&mut self, pod: &PodRecord) -> Option<Arc<PodRecord>> {
        let own = Arc::new(PodRecord {
            namespace: self.interner.text(&pod.namespace),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            node: self.interner.text(&pod.node),
            labels: self.interner.labels(&pod.labels),
            workload: WorkloadRef {
                kind: self.interner.text(&pod.workload.kind),
                name: self.interner.text(&pod.workload.name),
            },
            finished: pod.finished,
        });
        let before = self.by_uid.get(&own.uid).cloned();
        let slot = before.as_ref().map_or(0, |before| before.slot.load(Ordering::Relaxed));
        let known = Arc::new(KnownPod { record: own.clone(), slot: AtomicU16::new(slot) });
        self.by_uid.insert(own.uid.clone(), known.clone());
        let before = before.map(|before| before.record.clone());
        if let Some(before) = &before
            && (&before.namespace, &before.name) != (&own.namespace, &own.name)
        {
            self.forget_name(before);
        }
        self.by_name.entry(own.namespace.clone()).or_default().insert(own.name.clone(), known);
        before
    }

    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodRecord>> {
        let pod = self.by_uid.remove(uid)?.record.clone();
        self.forget_name(&pod);
        Some(pod)
    }

    /// Another pod may have the name by now.
    fn forget_name(&mut self, pod: &PodRecord) {
        if let Some(pods) = self.by_name.get_mut(&pod.namespace) {
            if pods.get(&pod.name).is_some_and(|named| named.record.uid == pod.uid) {
                pods.remove(&pod.name);
            }
            if pods.is_empty() {
                self.by_name.remove(&pod.namespace);
            }
        }
    }

    pub fn pod_of_uid(&self, uid: &str) -> Option<&Arc<PodRecord>> {
        self.by_uid.get(uid).map(|known| &known.record)
    }

    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Arc<KnownPod>> {
        self.by_name.get(namespace)?.get(name)
    }

    /// Names of nodes that are not among `kept`.
    pub fn nodes_without(&self, kept: &HashSet<Arc<str>>) -> Vec<Arc<str>> {
        self.nodes.keys().filter(|name| !kept.contains(*name)).cloned().collect()
    }

    /// UIDs of pods that are not among `kept`.
    pub fn pods_without(&self, kept: &HashSet<Arc<str>>) -> Vec<Arc<str>> {
        self.by_uid.keys().filter(|uid| !kept.contains(*uid)).cloned().collect()
    }

    /// At most `most` pods behind `after`, ascending by (namespace, name).
    pub fn pods_after(
        &self,
        namespace: Option<&str>,
        after: Option<(&Arc<str>, &Arc<str>)>,
        most: usize,
    ) -> Vec<Arc<KnownPod>> {
        let mut found = Vec::with_capacity(most.min(self.by_uid.len()));
        let first: Bound<&str> = match (after, namespace) {
            (Some((namespace, _)), _) => Bound::Included(namespace),
            (None, Some(namespace)) => Bound::Included(namespace),
            (None, None) => Bound::Unbounded,
        };
        for (of, pods) in self.by_name.range::<str, _>((first, Bound::Unbounded)) {
            if namespace.is_some_and(|namespace| namespace != &**of) {
                break;
            }
            let behind = after.filter(|(namespace, _)| *namespace == of);
            let from = behind.map_or(Bound::Unbounded, |(_, name)| Bound::Excluded(&**name));
            for pod in pods.range::<str, _>((from, Bound::Unbounded)).map(|(_, pod)| pod) {
                if found.len() == most {
                    return found;
                }
                found.push(pod.clone());
            }
        }
        found
    }

    /// Whether a pod that `node` speaks of is the API server's pod.
    pub fn judge(&self, node: &str, namespace: &str, name: &str, uid: &str) -> Result<Arc<PodRecord>, Refusal> {
        match self.pod_of_uid(uid) {
            Some(pod) if *pod.namespace != *namespace || *pod.name != *name => Err(Refusal::WrongName),
            Some(pod) if *pod.node != *node => Err(Refusal::OtherNode),
            Some(pod) => Ok(pod.clone()),
            None if self.pod(namespace, name).is_some() => Err(Refusal::WrongUid),
            None => Err(Refusal::UnknownPod),
        }
    }

    pub fn judge_born(&self, node: &str, born: &Born<'_>) -> Result<Arc<PodRecord>, Refusal> {
        self.judge(node, born.namespace, born.name, born.uid)
    }
}
