//! What every runtime said so far, within a budget.
//!
//! In: [`Metadata`] and [`ExitRecord`]s of all sockets. Out: an event when, and only when, something is new.
//! Two sockets may know one container (Docker and cri-dockerd): the one of the better rank is believed.
//! Limits: containers in all; per container 64 labels, values of 256 bytes; text bytes in all, beyond which labels are
//! left out (names and Kubernetes' own words stay). This is plain data: no socket, no clock. Next: `sample/`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::{ContainerFiles, Discovery, ExitRecord, Metadata, Owner};

/// Most labels of one container.
const MAX_LABELS: usize = 64;
/// Longest label value; longer ones are cut.
const MAX_VALUE_BYTES: usize = 256;
/// Longest label name (Kubernetes allows 253 + 1 + 63); a longer one is left out, cutting it could make two alike.
const MAX_KEY_BYTES: usize = 320;
/// Longest name of anything else.
const MAX_NAME_BYTES: usize = 512;
/// Text of all containers together.
const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

struct Entry {
    source: usize,
    rank: u8,
    metadata: Arc<Metadata>,
    text_bytes: usize,
    has_exited: bool,
    files: ContainerFiles,
}

/// All containers that runtimes described.
pub(in super::super) struct Book {
    entries: HashMap<Arc<str>, Entry>,
    /// Who owns a pod, by its UID: only the API server knows, and runtimes describe the pod's containers.
    owners: HashMap<String, Arc<Owner>>,
    /// Most containers of all sockets together.
    pub max_containers: usize,
    text_bytes: usize,
    /// Descriptions that were refused because there are too many containers (counter).
    pub refused: u64,
    /// Descriptions that lost their labels because there is too much text (counter).
    pub labels_dropped: u64,
}

impl Book {
    pub(in super::super) fn new(max_containers: usize) -> Self {
        Self {
            entries: HashMap::new(),
            owners: HashMap::new(),
            max_containers,
            text_bytes: 0,
            refused: 0,
            labels_dropped: 0,
        }
    }

    /// How many containers one socket described.
    pub(super) fn count(&self, source: usize) -> usize {
        self.entries.values().filter(|entry| entry.source == source).count()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Metadata>> {
        self.entries.get(id).map(|entry| &entry.metadata)
    }

    /// The sandbox of a pod.
    pub(super) fn sandbox_of(&self, pod_uid: &str) -> Option<&Arc<Metadata>> {
        let is_it = |metadata: &Metadata| metadata.sandbox && metadata.pod_uid.as_deref() == Some(pod_uid);
        self.entries.values().map(|entry| &entry.metadata).find(|metadata| is_it(metadata))
    }

    /// Takes a description; gives the event if it says anything new.
    pub(super) fn describe(&mut self, id: &str, source: usize, rank: u8, mut metadata: Metadata) -> Option<Discovery> {
        if id.is_empty() || id.len() > MAX_NAME_BYTES {
            return None;
        }
        cap(&mut metadata);
        if metadata.owner.is_none() {
            metadata.owner = metadata.pod_uid.as_ref().and_then(|uid| self.owners.get(uid)).cloned();
        }
        let mut bytes = text_bytes(&metadata);
        let old_bytes = self.entries.get(id).map_or(0, |entry| entry.text_bytes);
        if self.text_bytes.saturating_sub(old_bytes).saturating_add(bytes) > MAX_TEXT_BYTES {
            metadata.labels.clear();
            metadata.environment.clear();
            bytes = text_bytes(&metadata);
            self.labels_dropped = self.labels_dropped.saturating_add(1);
        }
        if let Some(entry) = self.entries.get_mut(id) {
            if rank > entry.rank || *entry.metadata == metadata {
                return None;
            }
            if entry.metadata.started_at != metadata.started_at {
                entry.has_exited = false;
            }
            (entry.source, entry.rank, entry.text_bytes) = (source, rank, bytes);
            entry.metadata = Arc::new(metadata);
        } else {
            if self.entries.len() >= self.max_containers {
                self.refused = self.refused.saturating_add(1);
                return None;
            }
            let metadata = Arc::new(metadata);
            let files = ContainerFiles::default();
            let entry = Entry { source, rank, metadata, text_bytes: bytes, has_exited: false, files };
            self.entries.insert(Arc::from(id), entry);
        }
        self.text_bytes = self.text_bytes.saturating_sub(old_bytes).saturating_add(bytes);
        let (key, entry) = self.entries.get_key_value(id)?;
        Some(Discovery::Described { container_id: Arc::clone(key), metadata: Arc::clone(&entry.metadata) })
    }

    /// Takes the end of a container; gives the event once per run.
    pub(super) fn exit(&mut self, id: &str, mut exit: ExitRecord) -> Option<Discovery> {
        let (key, _) = self.entries.get_key_value(id)?;
        let container_id = Arc::clone(key);
        let entry = self.entries.get_mut(id)?;
        if std::mem::replace(&mut entry.has_exited, true) {
            return None;
        }
        clip(&mut exit.reason, MAX_VALUE_BYTES);
        Some(Discovery::Exited { container_id, exit })
    }

    /// Changes what is known about a container's files; does nothing for one that is not in the book.
    pub(super) fn with_files(&mut self, id: &str, change: impl FnOnce(&mut ContainerFiles)) {
        if let Some(entry) = self.entries.get_mut(id) {
            change(&mut entry.files);
        }
    }

    /// What is known about all containers' files.
    pub(in super::super) fn files(&self) -> HashMap<Arc<str>, ContainerFiles> {
        let known = self.entries.iter().filter(|(_, entry)| entry.files != ContainerFiles::default());
        known.map(|(id, entry)| (Arc::clone(id), entry.files.clone())).collect()
    }

    /// Containers of one socket that run, without sandboxes.
    pub(super) fn running(&self, source: usize) -> Vec<Arc<str>> {
        let is_it = |entry: &Entry| entry.source == source && !entry.has_exited && !entry.metadata.sandbox;
        self.entries.iter().filter(|(_, entry)| is_it(entry)).map(|(id, _)| Arc::clone(id)).collect()
    }

    /// True when the end of this run was told.
    pub(super) fn has_exited(&self, id: &str) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.has_exited)
    }

    /// The container runs again.
    pub(super) fn revive(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.has_exited = false;
        }
    }

    /// Takes who owns a pod; gives an event for each of its parts that did not know.
    pub(super) fn owned(&mut self, pod_uid: &str, owner: &Arc<Owner>) -> Vec<Discovery> {
        if self.owners.len() >= self.max_containers && !self.owners.contains_key(pod_uid) {
            return Vec::new();
        }
        self.owners.insert(pod_uid.to_owned(), Arc::clone(owner));
        let of_pod = |entry: &&mut Entry| entry.metadata.pod_uid.as_deref() == Some(pod_uid);
        let mut news = Vec::new();
        for (id, entry) in &mut self.entries {
            if let Some(entry) = Some(entry).filter(of_pod).filter(|entry| entry.metadata.owner.as_ref() != Some(owner))
            {
                Arc::make_mut(&mut entry.metadata).owner = Some(Arc::clone(owner));
                let (container_id, metadata) = (Arc::clone(id), Arc::clone(&entry.metadata));
                news.push(Discovery::Described { container_id, metadata });
            }
        }
        news
    }

    /// The runtime has removed the container.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(uid) = id.strip_prefix("pod/") {
            self.owners.remove(uid);
        }
        if let Some(entry) = self.entries.remove(id) {
            self.text_bytes = self.text_bytes.saturating_sub(entry.text_bytes);
        }
    }

    /// The containers of a socket that are not in its newest list.
    pub(super) fn missing(&self, source: usize, listed: &HashSet<String>) -> Vec<Arc<str>> {
        let missing = |id: &Arc<str>, entry: &Entry| entry.source == source && !listed.contains(&**id);
        self.entries.iter().filter(|(id, entry)| missing(id, entry)).map(|(id, _)| Arc::clone(id)).collect()
    }
}

fn cap(metadata: &mut Metadata) {
    clip(&mut metadata.name, MAX_NAME_BYTES);
    clip(&mut metadata.image, MAX_NAME_BYTES);
    let words = [&mut metadata.namespace, &mut metadata.pod, &mut metadata.pod_uid, &mut metadata.container];
    for word in words.into_iter().flatten() {
        clip(word, MAX_NAME_BYTES);
    }
    metadata.labels.retain(|key, _| !key.is_empty() && key.len() <= MAX_KEY_BYTES);
    while metadata.labels.len() > MAX_LABELS {
        metadata.labels.pop_last();
    }
    for value in metadata.labels.values_mut() {
        clip(value, MAX_VALUE_BYTES);
    }
}

/// Cuts a text to at most `max` bytes, between two characters.
pub(super) fn clip(text: &mut String, max: usize) {
    if text.len() > max {
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.shrink_to_fit();
    }
}

fn text_bytes(metadata: &Metadata) -> usize {
    let labels: usize = metadata.labels.iter().map(|(key, value)| key.len() + value.len() + 96).sum();
    let variables: usize = metadata.environment.iter().map(|(name, value)| name.len() + value.len() + 96).sum();
    let words = [&metadata.namespace, &metadata.pod, &metadata.pod_uid, &metadata.container];
    let words: usize = words.into_iter().flatten().map(String::len).sum();
    labels + variables + words + metadata.name.len() + metadata.image.len() + 400
}

/// Kubernetes' own words among the labels that kubelet gives to containers and sandboxes.
pub(super) fn kubernetes_words(metadata: &mut Metadata, labels: &BTreeMap<String, String>) {
    let word = |key: &str| labels.get(key).filter(|value| !value.is_empty()).cloned();
    metadata.namespace = word("io.kubernetes.pod.namespace");
    metadata.pod = word("io.kubernetes.pod.name");
    metadata.pod_uid = word("io.kubernetes.pod.uid");
    metadata.container = word("io.kubernetes.container.name").filter(|name| name != "POD");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Metadata {
        Metadata { name: name.to_owned(), ..Metadata::default() }
    }

    fn exit(code: i32) -> ExitRecord {
        ExitRecord { code, reason: "Error".to_owned(), finished_at: None }
    }

    #[test]
    fn only_changes_are_told() {
        let mut book = Book::new(10);
        assert!(book.describe("a", 0, 0, named("x")).is_some());
        assert!(book.describe("a", 0, 0, named("x")).is_none());
        assert!(book.describe("a", 0, 0, named("y")).is_some());
        assert!(book.describe("a", 1, 1, named("z")).is_none(), "a worse rank is not believed");
        assert_eq!(book.get("a").unwrap().name, "y");
    }

    #[test]
    fn an_owner_that_only_the_api_server_knows_reaches_what_runtimes_describe_before_and_after() {
        let of_pod = |name: &str| Metadata { pod_uid: Some("u-1".to_owned()), ..named(name) };
        let owner = Arc::new(Owner { kind: "Job".to_owned(), name: "backup".to_owned() });
        let mut book = Book::new(10);
        book.describe("before", 0, 0, of_pod("before"));
        book.describe("other", 0, 0, named("other"));
        let news = book.owned("u-1", &owner);
        let told: Vec<_> = news.iter().map(|news| format!("{news:?}").contains("backup")).collect();
        assert_eq!(told, [true], "one part of the pod was there: {news:?}");
        assert!(book.owned("u-1", &owner).is_empty(), "nothing new");
        let Some(Discovery::Described { metadata, .. }) = book.describe("after", 0, 0, of_pod("after")) else {
            panic!()
        };
        assert_eq!(metadata.owner.as_ref(), Some(&owner));
        assert!(book.describe("before", 0, 0, of_pod("before")).is_none(), "the runtime says the same again");
        assert_eq!(book.get("other").unwrap().owner, None);
        book.forget("pod/u-1");
        book.describe("late", 0, 0, of_pod("late"));
        assert_eq!(book.get("late").unwrap().owner, None, "the pod is gone");
    }

    #[test]
    fn an_end_is_told_once_per_run() {
        let mut book = Book::new(10);
        assert!(book.exit("a", exit(1)).is_none(), "nobody knows it");
        book.describe("a", 0, 0, named("x"));
        assert!(book.exit("a", exit(1)).is_some());
        assert!(book.exit("a", exit(1)).is_none());
        book.revive("a");
        assert!(book.exit("a", exit(2)).is_some());
    }

    #[test]
    fn labels_are_capped_in_number_and_size() {
        let mut metadata = named("x");
        for number in 0..200 {
            metadata.labels.insert(format!("k{number:03}"), "é".repeat(300));
        }
        metadata.labels.insert("k".repeat(400), String::new());
        let mut book = Book::new(10);
        let Some(Discovery::Described { metadata, .. }) = book.describe("a", 0, 0, metadata) else { panic!() };
        assert_eq!(metadata.labels.len(), MAX_LABELS);
        assert!(metadata.labels.values().all(|value| value.len() == 256 && value.chars().all(|c| c == 'é')));
    }

    #[test]
    fn too_many_containers_and_too_much_text_are_refused_and_counted() {
        let mut book = Book::new(3);
        for id in ["a", "b", "c", "d"] {
            book.describe(id, 0, 0, named(id));
        }
        assert_eq!((book.entries.len(), book.refused), (3, 1));
        let mut book = Book::new(10_000);
        for number in 0..2_000 {
            let mut metadata = named("x");
            for label in 0..64 {
                metadata.labels.insert(format!("k{label}"), "v".repeat(256));
            }
            book.describe(&format!("{number}"), 0, 0, metadata);
        }
        assert!(book.text_bytes <= MAX_TEXT_BYTES + 2_000 * 500, "{}", book.text_bytes);
        assert!(book.labels_dropped > 0);
        for number in 0..2_000 {
            book.forget(&format!("{number}"));
        }
        assert_eq!(book.text_bytes, 0);
    }
}
