//! Names from the API server: the pods of this node.
//!
//! In: a watch on the pods whose `spec.nodeName` is this node. Out: the same descriptions and ends that a runtime's socket
//! gives, so that an agent without a socket, without root and without capabilities still has every name. Static pods have
//! the UID in their cgroup's path that the kubelet gave them (`kubernetes.io/config.hash`), not the API server's.
//! A runtime's own word is believed before this one. It changes nothing at the API server. Next: [`super::book`].

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};

use super::super::sink::{EventSink, Stopped};
use super::super::{Discovery, ExitRecord, Metadata, Owner, Runtime};
use super::Book;
use crate::units::UnixNanos;

/// A runtime that stands beside its containers knows more than the API server.
const RANK: u8 = 2;

/// Whose pods are asked for, and where.
#[derive(Clone)]
pub struct PodNames {
    /// The API server.
    pub client: kube::Client,
    /// `metadata.name` of this node.
    pub node: String,
}

impl std::fmt::Debug for PodNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PodNames").field("node", &self.node).finish_non_exhaustive()
    }
}

/// The task of the watch.
pub(in super::super) struct PodSource {
    pub names: PodNames,
    /// Tells this source from the sockets in the book.
    pub index: usize,
    pub sink: EventSink,
    pub book: Arc<Mutex<Book>>,
    /// Containers that ended before this are old news.
    pub started_at: UnixNanos,
}

impl PodSource {
    /// Follows the pods until discovery stops. The watch tries again by itself, with growing pauses.
    pub(in super::super) async fn run(self) {
        let pods: Api<Pod> = Api::all(self.names.client.clone());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={}", self.names.node));
        let mut events = std::pin::pin!(watcher(pods, config));
        let mut listed = HashSet::new();
        let mut failing = false;
        let mut pause = 0;
        while let Some(event) = events.next().await {
            let told = match event {
                Ok(event) => {
                    // `Init` only says that it is going to ask.
                    if !matches!(event, Event::Init) {
                        if std::mem::take(&mut failing) {
                            tracing::info!("the API server tells the names of this node's pods again");
                        }
                        pause = 0;
                    }
                    self.take(event, &mut listed).await
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(
                            %error,
                            "the API server does not tell the names of this node's pods; it is asked again. If it says \
                             403, let this agent's service account list and watch pods, or set --pod-names=none"
                        );
                    }
                    pause = (pause + 1).min(5);
                    tokio::time::sleep(super::pause(pause).max(Duration::from_millis(200 << pause))).await;
                    Ok(())
                }
            };
            if told.is_err() {
                return;
            }
        }
    }

    async fn take(&self, event: Event<Pod>, listed: &mut HashSet<String>) -> Result<(), Stopped> {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(pod) => {
                let known = self.learn(&pod).await?;
                listed.extend(known);
            }
            Event::InitDone => {
                let mut book = self.book();
                for id in book.missing(self.index, listed) {
                    book.forget(&id);
                }
            }
            Event::Apply(pod) => {
                self.learn(&pod).await?;
            }
            Event::Delete(pod) => {
                self.learn(&pod).await?;
                let described = describe(&pod);
                let mut book = self.book();
                for (id, _) in described {
                    book.forget(&id);
                }
            }
        }
        Ok(())
    }

    /// Tells what is new about a pod; gives the ids by which its parts are known.
    async fn learn(&self, pod: &Pod) -> Result<Vec<String>, Stopped> {
        let described = describe(pod);
        let mut ids = Vec::with_capacity(described.len());
        for (id, metadata) in described {
            let news = self.book().describe(&id, self.index, RANK, metadata);
            self.send(news).await?;
            ids.push(id);
        }
        if let (Some(uid), Some(owner)) = (cgroup_uid(pod), owner(pod)) {
            let all = self.book().owned(&uid, &owner);
            for news in all {
                self.send(Some(news)).await?;
            }
        }
        for (id, exit) in ends(pod) {
            let is_old = exit.finished_at.is_some_and(|at| at < self.started_at);
            let news = if is_old { None } else { self.book().exit(&id, exit) };
            self.send(news).await?;
        }
        Ok(ids)
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, news: Option<Discovery>) -> Result<(), Stopped> {
        match news {
            Some(news) => self.sink.send_async(news).await,
            None if self.sink.is_stopped() => Err(Stopped),
            None => Ok(()),
        }
    }
}

/// The UID that stands in the cgroup's path.
fn cgroup_uid(pod: &Pod) -> Option<String> {
    let annotations = pod.metadata.annotations.as_ref();
    let annotation = |key: &str| annotations.and_then(|all| all.get(key));
    let is_static = annotation("kubernetes.io/config.mirror").is_some();
    let hash = annotation("kubernetes.io/config.hash").filter(|_| is_static);
    hash.or(pod.metadata.uid.as_ref()).cloned()
}

/// The pod's controller. A Deployment's ReplicaSet is named after the Deployment and the hash that the pod carries as a
/// label; where both say so, the Deployment is who people know.
fn owner(pod: &Pod) -> Option<Arc<Owner>> {
    let mut references = pod.metadata.owner_references.iter().flatten();
    let controller = references.find(|reference| reference.controller == Some(true))?;
    let hash = pod.metadata.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
    let deployment = hash.filter(|_| controller.kind == "ReplicaSet").and_then(|hash| {
        let name = controller.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
        (!name.is_empty()).then_some(name)
    });
    let (kind, name) = match deployment {
        Some(name) => ("Deployment", name),
        None => (controller.kind.as_str(), controller.name.as_str()),
    };
    Some(Arc::new(Owner { kind: kind.to_owned(), name: name.to_owned() }))
}

/// `containerd://ID` → the runtime and ID.
fn container_id(status: &ContainerStatus) -> Option<(Option<Runtime>, &str)> {
    split_id(status.container_id.as_deref()?)
}

fn split_id(text: &str) -> Option<(Option<Runtime>, &str)> {
    let (scheme, id) = text.split_once("://")?;
    let runtime = match scheme {
        "docker" => Some(Runtime::Docker),
        "containerd" => Some(Runtime::Containerd),
        "cri-o" => Some(Runtime::CriO),
        _ => None,
    };
    (!id.is_empty()).then_some((runtime, id))
}

fn nanos(time: &Time) -> Option<UnixNanos> {
    u64::try_from(time.0.as_nanosecond()).ok().filter(|nanos| *nanos > 0).map(UnixNanos)
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| {
        let all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
        all.into_iter().flatten().flatten()
    })
}

/// A pod's containers by ID, and the pod itself. The API server does not tell the sandbox's ID, so the pod stands under a
/// word that no container can have.
fn describe(pod: &Pod) -> Vec<(String, Metadata)> {
    let (Some(namespace), Some(name), Some(uid)) = (&pod.metadata.namespace, &pod.metadata.name, cgroup_uid(pod))
    else {
        return Vec::new();
    };
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    let common = Metadata {
        namespace: Some(namespace.clone()),
        pod: Some(name.clone()),
        pod_uid: Some(uid.clone()),
        host_network,
        owner: owner(pod),
        ..Metadata::default()
    };
    let sandbox = Metadata {
        name: uid.clone(),
        sandbox: true,
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        created_at: pod.metadata.creation_timestamp.as_ref().and_then(nanos),
        started_at: pod.status.as_ref().and_then(|status| status.start_time.as_ref()).and_then(nanos),
        ..common.clone()
    };
    let containers = statuses(pod).filter_map(|status| {
        let (runtime, id) = container_id(status)?;
        let running = status.state.as_ref().and_then(|state| state.running.as_ref());
        let metadata = Metadata {
            name: id.to_owned(),
            image: status.image.clone(),
            container: Some(status.name.clone()),
            runtime,
            started_at: running.and_then(|running| running.started_at.as_ref()).and_then(nanos),
            restart_count: u32::try_from(status.restart_count).ok(),
            ..common.clone()
        };
        Some((id.to_owned(), metadata))
    });
    std::iter::once((format!("pod/{uid}"), sandbox)).chain(containers).collect()
}

/// The ends of containers that the pod's status tells: of this run and of the one before.
fn ends(pod: &Pod) -> Vec<(String, ExitRecord)> {
    let ended = |state: Option<&ContainerState>| {
        let terminated = state?.terminated.as_ref()?;
        let (_, id) = split_id(terminated.container_id.as_deref()?)?;
        let exit = ExitRecord {
            code: terminated.exit_code,
            reason: terminated.reason.clone().unwrap_or_default(),
            finished_at: terminated.finished_at.as_ref().and_then(nanos),
        };
        Some((id.to_owned(), exit))
    };
    statuses(pod)
        .flat_map(|status| [ended(status.last_state.as_ref()), ended(status.state.as_ref())])
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> Pod {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_pods_owner_is_its_controller_and_a_deployment_only_where_name_and_hash_agree() {
        let of = |kind: &str, name: &str, controller: bool, hash: Option<&str>| {
            let labels = hash.map(|hash| serde_json::json!({"pod-template-hash": hash}));
            let pod = pod(serde_json::json!({"metadata": {"labels": labels, "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "not-this", "uid": "1"},
                {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "2", "controller": controller},
            ]}}));
            owner(&pod).map(|owner| format!("{}/{}", owner.kind, owner.name))
        };
        let hash = Some("5d4f8c7b9");
        assert_eq!(of("ReplicaSet", "web-5d4f8c7b9", true, hash).as_deref(), Some("Deployment/web"));
        assert_eq!(of("ReplicaSet", "web-5d4f8c7b9", true, None).as_deref(), Some("ReplicaSet/web-5d4f8c7b9"));
        assert_eq!(of("ReplicaSet", "web-other", true, hash).as_deref(), Some("ReplicaSet/web-other"));
        assert_eq!(of("StatefulSet", "db", true, hash).as_deref(), Some("StatefulSet/db"));
        assert_eq!(of("StatefulSet", "db", false, None), None, "an owner that does not control");
    }

    fn web() -> serde_json::Value {
        serde_json::json!({
            "metadata": {"namespace": "shop", "name": "web-1", "uid": "u-1", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "hostNetwork": true, "containers": [{"name": "app"}]},
            "status": {"startTime": "2026-01-02T03:04:05Z", "containerStatuses": [{
                "name": "app", "image": "shop/web:1", "imageID": "", "ready": true, "restartCount": 3,
                "containerID": "containerd://c0ffee",
                "state": {"running": {"startedAt": "2026-01-02T03:05:00Z"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "containerID": "containerd://dead",
                    "finishedAt": "2026-01-02T03:04:59Z"}},
            }]},
        })
    }

    #[test]
    fn a_pods_status_names_its_containers_and_itself() {
        let described = describe(&pod(web()));
        let [(pod_key, sandbox), (id, container)] = &described[..] else { panic!("{described:?}") };
        assert_eq!((pod_key.as_str(), id.as_str()), ("pod/u-1", "c0ffee"));
        assert!(sandbox.sandbox && !container.sandbox);
        assert_eq!(sandbox.labels.get("app").map(String::as_str), Some("web"));
        assert_eq!(container.container.as_deref(), Some("app"));
        assert_eq!((container.namespace.as_deref(), container.pod.as_deref()), (Some("shop"), Some("web-1")));
        assert_eq!((container.restart_count, container.runtime), (Some(3), Some(Runtime::Containerd)));
        assert_eq!(container.started_at, Some(UnixNanos(1_767_323_100_000_000_000)));
        assert!(container.host_network && sandbox.host_network);
    }

    #[test]
    fn the_end_of_the_run_before_is_told() {
        let ends = ends(&pod(web()));
        assert_eq!(ends.len(), 1);
        let (id, exit) = &ends[0];
        assert_eq!((id.as_str(), exit.code, exit.reason.as_str()), ("dead", 137, "OOMKilled"));
    }

    #[test]
    fn a_static_pod_is_known_by_the_uid_in_its_cgroups_path() {
        let mut json = web();
        json["metadata"]["annotations"] =
            serde_json::json!({"kubernetes.io/config.mirror": "h4sh", "kubernetes.io/config.hash": "h4sh"});
        let described = describe(&pod(json));
        assert_eq!(described[0].1.pod_uid.as_deref(), Some("h4sh"));
    }

    #[test]
    fn a_pod_that_has_not_started_has_no_containers() {
        let mut json = web();
        json["status"] = serde_json::json!({});
        assert_eq!(describe(&pod(json)).len(), 1);
    }
}
