//! The little that is kept of an object of the API server while it is parsed: a full Pod is some 10 KB, this is 500 bytes.
//!
//! In: JSON of a list or of a watch. Out: [`PodObject`] with what a record needs, [`OwnedObject`] of any kind with its
//! metadata only. Everything else is skipped by the parser and never allocated. Next: [`super::book`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, NamespaceResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};

/// What a mirror pod carries: the UID by which the kubelet, and so its cgroups, know the static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod: metadata, where it runs, and whether it is over.
#[derive(Debug, Clone, Deserialize)]
pub struct PodObject {
    /// Without `managedFields` and annotations.
    #[serde(default, deserialize_with = "kept")]
    pub metadata: ObjectMeta,
    /// Of `spec`.
    #[serde(default)]
    pub spec: PodSpec,
    /// Of `status`.
    #[serde(default)]
    pub status: PodStatus,
}

/// Of a pod's `spec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// The node that it is placed on.
    #[serde(default)]
    pub node_name: Option<String>,
}

/// Of a pod's `status`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    #[serde(default)]
    pub phase: Option<String>,
}

impl PodObject {
    /// `status.phase` is one that a pod does not leave again.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// The UID by which a static pod's cgroups call it, on the node that the mirror says it is of.
    #[must_use]
    pub fn static_uid(&self) -> Option<&str> {
        let of_this_node = |owner: &OwnerReference| {
            owner.kind == "Node" && owner.api_version == "v1" && Some(&owner.name) == self.spec.node_name.as_ref()
        };
        let owners = self.metadata.owner_references.as_deref().unwrap_or_default();
        let uid = self.metadata.annotations.as_ref()?.get(MIRROR)?;
        // A hash of the kubelet has no dashes: nobody can take the UID of another pod by writing it here.
        let is_hash = !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_hash && owners.iter().any(of_this_node)).then_some(uid)
    }
}

impl kube::Resource for PodObject {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// An object of which the API server is asked for nothing but its metadata: a node, a `ReplicaSet`, a `Job`.
#[derive(Debug, Clone, Deserialize)]
pub struct OwnedObject {
    /// Without `managedFields` and annotations.
    #[serde(default, deserialize_with = "kept")]
    pub metadata: ObjectMeta,
}

impl kube::Resource for OwnedObject {
    type DynamicType = ApiResource;
    type Scope = NamespaceResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        of.kind.as_str().into()
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        of.group.as_str().into()
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        of.version.as_str().into()
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        of.plural.as_str().into()
    }

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What is kept of `metadata`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Kept {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<KeptAnnotations>,
    owner_references: Option<Vec<KeptOwner>>,
}

#[derive(Deserialize)]
struct KeptAnnotations {
    #[serde(rename = "kubernetes.io/config.mirror", default)]
    mirror: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptOwner {
    #[serde(default)]
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    #[serde(default)]
    controller: Option<bool>,
}

fn kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let kept = Kept::deserialize(deserializer)?;
    let owner = |owner: KeptOwner| OwnerReference {
        api_version: owner.api_version,
        kind: owner.kind,
        name: owner.name,
        uid: owner.uid,
        controller: owner.controller,
        block_owner_deletion: None,
    };
    let mirror = kept.annotations.and_then(|annotations| annotations.mirror);
    Ok(ObjectMeta {
        namespace: kept.namespace,
        name: kept.name,
        uid: kept.uid,
        resource_version: kept.resource_version,
        labels: kept.labels,
        annotations: mirror.map(|uid| BTreeMap::from([(MIRROR.to_owned(), uid)])),
        owner_references: kept.owner_references.map(|owners| owners.into_iter().map(owner).collect()),
        ..ObjectMeta::default()
    })
}

/// The object that controls this one.
#[must_use]
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.as_deref()?.iter().find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(uid: &str, owner: &str, node: &str) -> PodObject {
        serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "etcd-a", "uid": "8b9b4f3c-0000-0000-0000-000000000001",
                "annotations": {"kubernetes.io/config.mirror": uid, "other": "dropped"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": owner, "uid": "n", "controller": true}],
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:metadata": {}}}],
            },
            "spec": {"nodeName": node, "containers": [{"name": "etcd"}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_mirror_pod_is_known_by_the_uid_of_its_cgroups() {
        let pod = mirror("0a1b2c3d", "a", "a");
        assert_eq!(pod.static_uid(), Some("0a1b2c3d"));
        assert_eq!(pod.metadata.annotations.as_ref().unwrap().len(), 1);
        assert_eq!(pod.metadata.managed_fields, None);
        assert!(!pod.is_finished());
    }

    #[test]
    fn nobody_takes_the_uid_of_another_pod_by_an_annotation() {
        assert_eq!(mirror("8b9b4f3c-0000-0000-0000-000000000002", "a", "a").static_uid(), None, "a pod's UID");
        assert_eq!(mirror("0a1b2c3d", "b", "a").static_uid(), None, "owned by another node");
        assert_eq!(mirror("", "a", "a").static_uid(), None);
    }

    #[test]
    fn a_pod_without_spec_and_status_is_parsed() {
        let pod: PodObject = serde_json::from_str(r#"{"metadata":{"name":"x","labels":null}}"#).unwrap();
        assert_eq!((pod.metadata.name.as_deref(), pod.spec.node_name, pod.metadata.labels), (Some("x"), None, None));
    }
}
