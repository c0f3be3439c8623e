//! Who is in the cluster, as the API server tells: watches of nodes, pods, `ReplicaSets` and `Jobs` into the store.
//!
//! In: lists and watches of a kube-apiserver (1.20 and newer). Out: records in the [`ClusterStore`], and whether nodes
//! and pods have been listed. Of an object only what a record needs is parsed. It writes nothing to the API server.
//! Next: [`super::receive`], which believes pushes by these records.
//!
//! | step | file |
//! |---|---|
//! | what is parsed of an object | [`objects`] |
//! | object → record, workload by owner | [`book`] |

pub mod book;
pub mod objects;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{Stream, StreamExt};
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use book::{Book, OwnerKind, uid_of};
use objects::{OwnedObject, PodObject};

use crate::store::cluster::{ClusterStore, WorkloadRef};

/// Objects per page of a list. A pod is some 10 KB as JSON: a page is 5 MB while it is parsed.
const PAGE: u32 = 500;

/// What has been listed so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Listed {
    /// Nodes.
    pub nodes: bool,
    /// Pods.
    pub pods: bool,
    /// `ReplicaSets`; without them a pod's workload is its `ReplicaSet`.
    pub replica_sets: bool,
    /// `Jobs`; without them a pod's workload is its `Job`.
    pub jobs: bool,
}

impl Listed {
    /// Everything that a push is judged by is known.
    #[must_use]
    pub const fn is_synced(self) -> bool {
        self.nodes && self.pods
    }
}

/// What others may know of the directory. Clones share it.
#[derive(Debug, Clone)]
pub struct DirectoryState {
    listed: Arc<watch::Sender<Listed>>,
    events: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
}

impl Default for DirectoryState {
    fn default() -> Self {
        Self {
            listed: Arc::new(watch::Sender::new(Listed::default())),
            events: Arc::default(),
            failures: Arc::default(),
        }
    }
}

impl DirectoryState {
    /// What has been listed so far.
    #[must_use]
    pub fn listed(&self) -> Listed {
        *self.listed.borrow()
    }

    /// Waits until nodes and pods have been listed.
    pub async fn synced(&self) {
        // The sender lives in this very object.
        let _ = self.listed.subscribe().wait_for(|listed| listed.is_synced()).await;
    }

    /// Objects that were listed, and events of watches.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Lists and watches that failed, and were tried again.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// The directory: what was seen becomes records.
pub struct Directory {
    store: ClusterStore,
    book: Book,
    state: DirectoryState,
    /// Names of the nodes that there are.
    nodes: HashSet<Arc<str>>,
    /// What the list that is under way has had so far: names of nodes, UIDs of the others.
    listing_nodes: HashSet<Arc<str>>,
    listing_pods: HashSet<Arc<str>>,
    listing_replica_sets: HashSet<Arc<str>>,
    listing_jobs: HashSet<Arc<str>>,
}

impl Directory {
    /// A directory that has seen nothing.
    #[must_use]
    pub fn new(store: ClusterStore, state: DirectoryState) -> Self {
        Self {
            store,
            book: Book::default(),
            state,
            nodes: HashSet::new(),
            listing_nodes: HashSet::new(),
            listing_pods: HashSet::new(),
            listing_replica_sets: HashSet::new(),
            listing_jobs: HashSet::new(),
        }
    }

    /// Watches for as long as it is polled. Failures are logged, counted, and tried again after a growing, random time.
    pub async fn follow(mut self, client: Client) {
        let metadata_of = |group, version, kind, plural| {
            let resource = resource(group, version, kind, plural);
            watched(watcher(Api::<OwnedObject>::all_with(client.clone(), &resource), settings()))
        };
        let mut nodes = pin!(metadata_of("", "v1", "Node", "nodes"));
        let mut replica_sets = pin!(metadata_of("apps", "v1", "ReplicaSet", "replicasets"));
        let mut jobs = pin!(metadata_of("batch", "v1", "Job", "jobs"));
        let mut pods = pin!(watched(watcher(Api::<PodObject>::all(client.clone()), settings())));
        loop {
            tokio::select! {
                Some(event) = nodes.next() => self.take("nodes", event, Self::node),
                Some(event) = replica_sets.next() => {
                    self.take("replicasets.apps", event, |directory, event| directory.owner(OwnerKind::ReplicaSet, event));
                }
                Some(event) = jobs.next() => {
                    self.take("jobs.batch", event, |directory, event| directory.owner(OwnerKind::Job, event));
                }
                Some(event) = pods.next() => self.take("pods", event, Self::pod),
                else => return,
            }
        }
    }

    fn take<K>(&mut self, what: &str, event: watcher::Result<Event<K>>, use_it: impl FnOnce(&mut Self, Event<K>)) {
        match event {
            Ok(event) => {
                self.state.events.fetch_add(1, Ordering::Relaxed);
                use_it(self, event);
            }
            Err(error) => {
                self.state.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "cannot watch {what}; tried again soon. Are list and watch on {what} allowed?");
            }
        }
    }

    /// What the watch of nodes says.
    pub fn node(&mut self, event: Event<OwnedObject>) {
        match event {
            Event::Init => self.listing_nodes = HashSet::new(),
            Event::Apply(node) => {
                self.put_node(&node);
            }
            Event::InitApply(node) => {
                if let Some(name) = self.put_node(&node) {
                    self.listing_nodes.insert(name);
                }
            }
            Event::Delete(node) => {
                if let Some(name) = node.metadata.name.as_deref() {
                    self.nodes.remove(name);
                    self.store.remove_node(name);
                }
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listing_nodes);
                for gone in self.nodes.difference(&listed) {
                    self.store.remove_node(gone);
                }
                self.nodes = listed;
                self.listed(|listed| listed.nodes = true);
            }
        }
    }

    fn put_node(&mut self, node: &OwnedObject) -> Option<Arc<str>> {
        let record = book::node(node)?;
        self.store.put_node(&record);
        self.nodes.insert(Arc::clone(&record.name));
        Some(record.name)
    }

    /// What the watch of pods says.
    pub fn pod(&mut self, event: Event<PodObject>) {
        match event {
            Event::Init => self.listing_pods = HashSet::new(),
            Event::Apply(pod) => {
                self.put_pod(&pod);
            }
            Event::InitApply(pod) => {
                if let Some(uid) = self.put_pod(&pod) {
                    self.listing_pods.insert(uid);
                }
            }
            Event::Delete(pod) => {
                self.book.pod_gone(&pod);
                if let Some(uid) = uid_of(&pod).filter(|uid| self.is_of(uid, &pod)) {
                    self.store.remove_pod(uid);
                }
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listing_pods);
                self.store.retain(&self.nodes, &listed);
                self.book.keep_waiting(&listed);
                self.listed(|listed| listed.pods = true);
            }
        }
    }

    /// A list is complete. Others are told after the store.
    fn listed(&self, complete: impl FnOnce(&mut Listed)) {
        let mut listed = self.state.listed();
        complete(&mut listed);
        if listed.is_synced() && !self.state.listed().is_synced() {
            self.store.set_synced();
        }
        self.state.listed.send_replace(listed);
    }

    /// What the watch of `ReplicaSets` or `Jobs` says.
    pub fn owner(&mut self, kind: OwnerKind, event: Event<OwnedObject>) {
        match event {
            Event::Init => self.listing(kind).clear(),
            Event::Apply(owner) => self.put_owner(kind, &owner),
            Event::InitApply(owner) => {
                if let Some(uid) = owner.metadata.uid.as_deref() {
                    self.listing(kind).insert(uid.into());
                }
                self.put_owner(kind, &owner);
            }
            Event::Delete(owner) => {
                if let Some(uid) = owner.metadata.uid.as_deref() {
                    self.book.owner_gone(uid);
                }
            }
            Event::InitDone => {
                let listed = std::mem::take(self.listing(kind));
                self.book.keep_owners(kind, &listed);
                self.listed(|listed| match kind {
                    OwnerKind::ReplicaSet => listed.replica_sets = true,
                    OwnerKind::Job => listed.jobs = true,
                });
            }
        }
    }

    fn listing(&mut self, kind: OwnerKind) -> &mut HashSet<Arc<str>> {
        match kind {
            OwnerKind::ReplicaSet => &mut self.listing_replica_sets,
            OwnerKind::Job => &mut self.listing_jobs,
        }
    }

    /// The UID that the pod was put by.
    fn put_pod(&mut self, pod: &PodObject) -> Option<Arc<str>> {
        let uid = uid_of(pod)?;
        let known = self.store.pod_of_uid(uid);
        if let (Some(known), Some(_)) = (&known, pod.static_uid())
            && !self.is_of(uid, pod)
        {
            // Who can create pods can write any annotation: the first that says so keeps a static pod's UID.
            tracing::warn!(
                namespace = pod.metadata.namespace,
                pod = pod.metadata.name,
                uid,
                "a second pod claims the UID of static pod {}/{}; it is left out",
                known.namespace,
                known.name,
            );
            return None;
        }
        let mut seen = self.book.pod(pod)?;
        if let (true, Some(known)) = (seen.waits, known) {
            // Its owner has been deleted before it, or not been listed again yet: what was found out stays true.
            seen.record.workload = known.workload.clone();
        }
        let uid = Arc::clone(&seen.record.uid);
        self.store.put_pod(&seen.record);
        Some(uid)
    }

    /// The record of this UID, if there is one, is this pod's.
    fn is_of(&self, uid: &str, pod: &PodObject) -> bool {
        self.store.pod_of_uid(uid).is_none_or(|known| {
            Some(&*known.namespace) == pod.metadata.namespace.as_deref()
                && Some(&*known.name) == pod.metadata.name.as_deref()
        })
    }

    fn put_owner(&mut self, kind: OwnerKind, owner: &OwnedObject) {
        let Some(resolved) = self.book.owner(kind, owner) else { return };
        for uid in &resolved.pods {
            self.name_workload(uid, &resolved.workload);
        }
    }

    fn name_workload(&self, uid: &str, workload: &WorkloadRef) {
        let Some(pod) = self.store.pod_of_uid(uid) else { return };
        if pod.workload != *workload {
            let mut record = (*pod).clone();
            record.workload = workload.clone();
            self.store.put_pod(&record);
        }
    }
}

fn settings() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// Waits between failures as Kubernetes' own clients do: 0.8 s to 30 s, with jitter.
fn watched<K>(events: impl Stream<Item = watcher::Result<Event<K>>>) -> impl Stream<Item = watcher::Result<Event<K>>> {
    events.default_backoff()
}
