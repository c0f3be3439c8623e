//! What there is: the groups, versions and resources, as `kubectl api-resources` and the API server ask for them.
//!
//! In: nothing but the tables below. Out: JSON. It answers without any data: a group whose discovery fails keeps
//! namespaces from being deleted. Next: [`super::openapi`].

use serde_json::{Value, json};

use super::accept::{Range, ranges};
use super::answer::ApiAnswer;
use super::series::SeriesMetric;
use super::status::Status;

/// One API group in its one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

pub(super) const METRICS: Group = Group { name: "metrics.k8s.io", version: "v1beta1" };
pub(super) const CUSTOM: Group = Group { name: "custom.metrics.k8s.io", version: "v1beta2" };
pub(super) const HISTORY: Group = Group { name: "history.ringside.dev", version: "v1alpha1" };
pub(super) const INGEST: Group = Group { name: "ingest.ringside.dev", version: "v1alpha1" };

/// Every group that is served.
pub(super) const GROUPS: [Group; 4] = [METRICS, CUSTOM, HISTORY, INGEST];

/// The resources of the history, their kinds, and whether they are namespaced. Each has a kind of its own: from a kind,
/// `kubectl` goes back to the resource.
const SERIES: [(&str, &str, bool); 6] = [
    ("clusters", "ClusterTimeSeries", false),
    ("nodes", "NodeTimeSeries", false),
    ("namespaces", "NamespaceTimeSeries", false),
    ("workloads", "WorkloadTimeSeries", true),
    ("pods", "PodTimeSeries", true),
    ("containers", "ContainerTimeSeries", true),
];

/// The kind of a resource of the history.
pub(super) fn series_kind(resource: &str) -> Option<&'static str> {
    SERIES.iter().find(|(name, ..)| *name == resource).map(|(_, kind, _)| *kind)
}

/// Whether a resource of the history is namespaced.
pub(super) fn is_namespaced(resource: &str) -> bool {
    SERIES.iter().any(|(name, _, namespaced)| *name == resource && *namespaced)
}

/// One resource, or a subresource written `resource/subresource`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ApiResource {
    name: String,
    namespaced: bool,
    kind: &'static str,
    verbs: &'static [&'static str],
}

impl Group {
    pub(super) fn of(name: &str) -> Option<Self> {
        GROUPS.into_iter().find(|group| group.name == name)
    }

    pub(super) fn group_version(self) -> String {
        format!("{}/{}", self.name, self.version)
    }

    fn resources(self) -> Vec<ApiResource> {
        let resource =
            |name: &str, namespaced, kind, verbs| ApiResource { name: name.to_owned(), namespaced, kind, verbs };
        if self == METRICS {
            let verbs = &["get", "list", "watch"];
            vec![resource("nodes", false, "NodeMetrics", verbs), resource("pods", true, "PodMetrics", verbs)]
        } else if self == CUSTOM {
            let of = |metric: &SeriesMetric| {
                let value = |parent: &str, namespaced| {
                    resource(&format!("{parent}/{}", metric.name), namespaced, "MetricValueList", &["get"])
                };
                let nodes = value("nodes", false);
                if metric.is_of_nodes_only() {
                    vec![nodes]
                } else {
                    vec![value("pods", true), value("namespaces", false), nodes]
                }
            };
            SeriesMetric::all().iter().flat_map(of).collect()
        } else if self == HISTORY {
            let verbs = &["get", "list"];
            let of = |(name, kind, namespaced): &(&str, &'static str, bool)| resource(name, *namespaced, kind, verbs);
            SERIES.iter().map(of).collect()
        } else {
            vec![resource("nodes/samples", false, "Push", &["create"])]
        }
    }

    fn api_group(self) -> Value {
        let version = json!({ "groupVersion": self.group_version(), "version": self.version });
        json!({ "name": self.name, "versions": [version], "preferredVersion": version })
    }

    /// As `apidiscovery.k8s.io` has it: subresources stand below their resource.
    fn aggregated(self) -> Value {
        let mut resources: Vec<(String, Value)> = Vec::new();
        for one in self.resources() {
            let (parent, subresource) =
                one.name.split_once('/').map_or((one.name.as_str(), None), |(parent, sub)| (parent, Some(sub)));
            let scope = if one.namespaced { "Namespaced" } else { "Cluster" };
            let kind = json!({ "group": "", "version": "", "kind": one.kind });
            let Some(subresource) = subresource else {
                let value = json!({
                    "resource": parent, "responseKind": kind, "scope": scope, "singularResource": "", "verbs": one.verbs,
                });
                resources.push((parent.to_owned(), value));
                continue;
            };
            let child = json!({ "subresource": subresource, "responseKind": kind, "verbs": one.verbs });
            let place = resources.iter().position(|(name, _)| name == parent).unwrap_or_else(|| {
                // Clients before 0.26.4 fail on a parent without a kind, so it has an empty one.
                let nothing = json!({ "group": "", "version": "", "kind": "" });
                let value = json!({
                    "resource": parent, "responseKind": nothing, "scope": scope, "singularResource": "", "verbs": [],
                    "subresources": [],
                });
                resources.push((parent.to_owned(), value));
                resources.len() - 1
            });
            let parent = resources.get_mut(place).and_then(|(_, value)| value.get_mut("subresources"));
            if let Some(Value::Array(children)) = parent {
                children.push(child);
            }
        }
        let resources: Vec<Value> = resources.into_iter().map(|(_, value)| value).collect();
        json!({
            "metadata": { "name": self.name, "creationTimestamp": null },
            "versions": [{ "version": self.version, "freshness": "Current", "resources": resources }],
        })
    }
}

/// `/apis`: all groups, in the form that is asked for.
pub(super) fn groups(accept: Option<&str>) -> ApiAnswer {
    for range in ranges(accept) {
        if let Some(version) = aggregated_version(&range) {
            let items: Vec<Value> = GROUPS.into_iter().map(Group::aggregated).collect();
            let list = json!({
                "kind": "APIGroupDiscoveryList",
                "apiVersion": format!("apidiscovery.k8s.io/{version}"),
                "metadata": {},
                "items": items,
            });
            let mut answer = ApiAnswer::json(200, list.to_string());
            answer.content_type =
                format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList").into();
            return answer;
        }
        if is_plain_json(&range) {
            let groups: Vec<Value> = GROUPS.into_iter().map(Group::api_group).collect();
            let list = json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups });
            return ApiAnswer::json(200, list.to_string());
        }
    }
    Status::not_acceptable("application/json").into_answer()
}

/// `/apis/GROUP`.
pub(super) fn group(name: &str, accept: Option<&str>) -> ApiAnswer {
    let Some(group) = Group::of(name) else {
        return Status::no_such_path(&format!("/apis/{name}")).into_answer();
    };
    let mut value = group.api_group();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("kind".to_owned(), "APIGroup".into());
        fields.insert("apiVersion".to_owned(), "v1".into());
    }
    plain(accept, &value)
}

/// `/apis/GROUP/VERSION`.
pub(super) fn version(name: &str, version: &str, accept: Option<&str>) -> ApiAnswer {
    let Some(group) = Group::of(name).filter(|group| group.version == version) else {
        return Status::no_such_path(&format!("/apis/{name}/{version}")).into_answer();
    };
    let resources: Vec<Value> = group
        .resources()
        .into_iter()
        .map(|one| {
            json!({
                "name": one.name, "singularName": "", "namespaced": one.namespaced, "kind": one.kind, "verbs": one.verbs,
            })
        })
        .collect();
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group.group_version(), "resources": resources,
    });
    plain(accept, &list)
}

fn plain(accept: Option<&str>, value: &Value) -> ApiAnswer {
    if ranges(accept).iter().any(is_plain_json) {
        ApiAnswer::json(200, value.to_string())
    } else {
        Status::not_acceptable("application/json").into_answer()
    }
}

fn is_plain_json(range: &Range<'_>) -> bool {
    matches!(range.media, "application/json" | "application/*" | "*/*") && range.parameter("as").is_none()
}

fn aggregated_version(range: &Range<'_>) -> Option<&'static str> {
    let fits = range.media == "application/json"
        && range.parameter("g") == Some("apidiscovery.k8s.io")
        && range.parameter("as") == Some("APIGroupDiscoveryList");
    match range.parameter("v") {
        Some("v2") if fits => Some("v2"),
        Some("v2beta1") if fits => Some("v2beta1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: ApiAnswer) -> Value {
        let super::super::answer::ApiBody::Bytes(bytes) = answer.body else { panic!("not at once") };
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_versions_resources_are_listed_with_their_verbs() {
        let list = read(version("metrics.k8s.io", "v1beta1", None));
        insta::assert_snapshot!(list, @r#"{"apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","kind":"APIResourceList","resources":[{"kind":"NodeMetrics","name":"nodes","namespaced":false,"singularName":"","verbs":["get","list","watch"]},{"kind":"PodMetrics","name":"pods","namespaced":true,"singularName":"","verbs":["get","list","watch"]}]}"#);
        assert_eq!(version("metrics.k8s.io", "v1", None).status, 404);
        assert_eq!(group("apps", None).status, 404);
        assert_eq!(group("metrics.k8s.io", Some("application/vnd.kubernetes.protobuf")).status, 406);
    }

    #[test]
    fn every_custom_metric_is_a_subresource_of_what_has_it() {
        let list = read(version("custom.metrics.k8s.io", "v1beta2", None));
        let names: Vec<&str> =
            list["resources"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        for name in ["pods/cpu_usage_cores", "namespaces/memory_working_set_bytes", "nodes/cpu_capacity_millicores"] {
            assert!(names.contains(&name), "{name}");
        }
        assert!(!names.contains(&"pods/cpu_capacity_millicores"));
    }

    #[test]
    fn discovery_comes_in_the_form_that_is_asked_for() {
        let kube_apiserver = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                              application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        let answer = groups(Some(kube_apiserver));
        assert_eq!(answer.content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        let list = read(answer);
        assert_eq!(list["items"][0]["versions"][0]["resources"][1]["resource"], "pods");
        let ingest = &list["items"][3]["versions"][0]["resources"][0];
        assert_eq!(ingest["subresources"][0]["subresource"], "samples");
        assert_eq!(read(groups(Some("application/json")))["kind"], "APIGroupList");
        assert_eq!(groups(Some("text/html")).status, 406);
    }
}
