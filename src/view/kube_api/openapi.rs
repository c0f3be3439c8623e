//! The APIs described for programs: OpenAPI 2 and 3, as the API server gathers them for `kubectl explain`.
//!
//! In: nothing but the tables below. Out: JSON documents. Every schema of an object says its group, version and kind, by
//! which `kubectl` finds it. Definitions are all our own: a second, different `ObjectMeta` would be renamed by the API
//! server. Next: nobody.

use serde_json::{Map, Value, json};

use super::accept::json as json_form;
use super::answer::ApiAnswer;
use super::discovery::{self, CUSTOM, GROUPS, Group, HISTORY, INGEST, METRICS};
use super::series::SeriesMetric;
use super::status::Status;

/// What can be done with one path.
struct Operation {
    path: String,
    id: &'static str,
    /// `get`, `list` or `post`.
    action: &'static str,
    kind: &'static str,
    description: &'static str,
    /// Name of the answer's schema.
    answer: &'static str,
    /// Query parameters.
    query: &'static [(&'static str, &'static str)],
}

const SELECTORS: &[(&str, &str)] = &[
    ("labelSelector", "Only objects whose labels fit; the whole grammar of Kubernetes."),
    ("fieldSelector", "Only objects whose metadata.name or metadata.namespace fits."),
    ("watch", "Changes as they come, one WatchEvent a line."),
    ("resourceVersion", "Where a watch goes on from."),
    ("timeoutSeconds", "When a watch ends."),
    ("limit", "Accepted and not applied: a list is always whole."),
];
const CUSTOM_QUERY: &[(&str, &str)] = &[
    ("labelSelector", "Only objects whose labels fit."),
    ("metricLabelSelector", "Accepted when empty: these metrics have no labels of their own."),
];
const HISTORY_QUERY: &[(&str, &str)] = &[
    ("metric", "Name of the metric; cpu_usage_cores without it. /apis/custom.metrics.k8s.io/v1beta2 lists them."),
    ("last", "How far back, such as 15m."),
    ("start", "From when: RFC 3339, unix seconds, or -10m."),
    ("end", "Until when; now without it."),
    ("step", "Distance of the points, such as 15s."),
    ("at", "Until so long ago: 5m is the same as end=-5m."),
    ("by", "What a series is of: cluster, node, namespace, workload, pod, container, or label=KEY."),
    ("labelSelector", "Only pods whose labels fit."),
    ("fieldSelector", "Only metadata.name or metadata.namespace."),
];

/// The resources of the history with their kinds and lists.
const SERIES_KINDS: [(&str, &str, &str); 6] = [
    ("clusters", "ClusterTimeSeries", "ClusterTimeSeriesList"),
    ("nodes", "NodeTimeSeries", "NodeTimeSeriesList"),
    ("namespaces", "NamespaceTimeSeries", "NamespaceTimeSeriesList"),
    ("workloads", "WorkloadTimeSeries", "WorkloadTimeSeriesList"),
    ("pods", "PodTimeSeries", "PodTimeSeriesList"),
    ("containers", "ContainerTimeSeries", "ContainerTimeSeriesList"),
];

fn operations(group: Group) -> Vec<Operation> {
    let mut all = Vec::new();
    let mut add = |path: &str, id, action, kind, description, answer, query| {
        let path = format!("/apis/{}/{}{path}", group.name, group.version);
        all.push(Operation { path, id, action, kind, description, answer, query });
    };
    if group == METRICS {
        add("/nodes", "list", "list", "NodeMetrics", "What nodes use", "NodeMetricsList", SELECTORS);
        add("/nodes/{name}", "read", "get", "NodeMetrics", "What a node uses", "NodeMetrics", &[]);
        let pods = "What the pods of all namespaces use";
        add("/pods", "listForAllNamespaces", "list", "PodMetrics", pods, "PodMetricsList", SELECTORS);
        let pods = "What the pods of a namespace use";
        add("/namespaces/{namespace}/pods", "list", "list", "PodMetrics", pods, "PodMetricsList", SELECTORS);
        let path = "/namespaces/{namespace}/pods/{name}";
        add(path, "read", "get", "PodMetrics", "What a pod uses", "PodMetrics", &[]);
    } else if group == CUSTOM {
        let path = "/namespaces/{namespace}/pods/{name}/{metric}";
        let about = "A metric of a pod, or of all that fit with the name *";
        add(path, "readOfPod", "get", "MetricValueList", about, "MetricValueList", CUSTOM_QUERY);
        let path = "/namespaces/{namespace}/metrics/{metric}";
        let about = "The sum of a metric over a namespace's pods";
        add(path, "readOfNamespace", "get", "MetricValueList", about, "MetricValueList", CUSTOM_QUERY);
        let path = "/nodes/{name}/{metric}";
        let about = "A metric of a node, or of all that fit with the name *";
        add(path, "readOfNode", "get", "MetricValueList", about, "MetricValueList", CUSTOM_QUERY);
    } else if group == HISTORY {
        let list = "Time series of one metric, one for each object or group";
        let get = "The time series of one metric of one object";
        for (resource, kind, kind_list) in SERIES_KINDS {
            let namespaced = discovery::is_namespaced(resource);
            let below = if namespaced { "/namespaces/{namespace}" } else { "" };
            add(&format!("{below}/{resource}"), "list", "list", kind, list, kind_list, HISTORY_QUERY);
            add(&format!("{below}/{resource}/{{name}}"), "read", "get", kind, get, kind, HISTORY_QUERY);
            if namespaced {
                add(&format!("/{resource}"), "listForAllNamespaces", "list", kind, list, kind_list, HISTORY_QUERY);
            }
        }
    } else {
        let about = "Takes what a node's agent measured; see docs/push-protocol.md";
        add("/nodes/{name}/samples", "create", "post", "Push", about, "PushAnswer", &[]);
    }
    all
}

/// The schemas of a group: name, whether it is an object of the API, and the schema.
fn schemas(group: Group, at: &str) -> Vec<(&'static str, bool, Value)> {
    let meta = json!({
        "type": "object",
        "description": "Name, namespace, labels and resourceVersion, as in Kubernetes' ObjectMeta.",
        "properties": {
            "name": { "type": "string" }, "namespace": { "type": "string" },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "creationTimestamp": { "type": "string", "format": "date-time" },
            "resourceVersion": { "type": "string" },
        },
    });
    let list_meta = json!({
        "type": "object",
        "description": "As in Kubernetes' ListMeta.",
        "properties": { "resourceVersion": { "type": "string" } },
    });
    let text = |description: &str| json!({ "type": "string", "description": description });
    let reference = |name: &str| json!({ "$ref": format!("{at}{}", definition(group, name)) });
    let kind = || text("A word for the kind of object that this is.");
    let api_version = || text("Group and version of this object's schema.");
    let object = |description: &str, fields: Value| {
        let mut properties = Map::new();
        properties.insert("apiVersion".to_owned(), api_version());
        properties.insert("kind".to_owned(), kind());
        if let Value::Object(fields) = fields {
            properties.extend(fields);
        }
        json!({ "type": "object", "description": description, "properties": properties })
    };
    let list_of = |name: &str, description: &str| {
        let items = json!({ "type": "array", "description": "The objects.", "items": reference(name) });
        object(description, json!({ "metadata": list_meta, "items": items }))
    };
    let usage = json!({
        "type": "object", "description": "Quantities by resource: cpu, memory, and more with extra resources.",
        "additionalProperties": { "type": "string" },
    });
    let moment = || json!({ "type": "string", "format": "date-time", "description": "When it was read." });
    let window = || text("The time before `timestamp` over which it was measured, such as 15.012s.");
    if group == METRICS {
        let container = json!({
            "type": "object", "description": "What a container uses.",
            "properties": { "name": text("Name in the pod's specification."), "usage": usage },
        });
        let containers = json!({
            "type": "array", "description": "One for each container that runs.", "items": reference("ContainerMetrics"),
        });
        vec![
            ("ContainerMetrics", false, container),
            (
                "NodeMetrics",
                true,
                object(
                    "NodeMetrics tells what a node uses.",
                    json!({ "metadata": meta, "timestamp": moment(), "window": window(), "usage": usage }),
                ),
            ),
            ("NodeMetricsList", true, list_of("NodeMetrics", "NodeMetricsList is a list of NodeMetrics.")),
            (
                "PodMetrics",
                true,
                object(
                    "PodMetrics tells what the containers of a pod use.",
                    json!({ "metadata": meta, "timestamp": moment(), "window": window(), "containers": containers }),
                ),
            ),
            ("PodMetricsList", true, list_of("PodMetrics", "PodMetricsList is a list of PodMetrics.")),
        ]
    } else if group == CUSTOM {
        let described = json!({
            "type": "object", "description": "Whose value it is.",
            "properties": {
                "kind": kind(), "apiVersion": api_version(), "namespace": text("Its namespace."),
                "name": text("Its name."),
            },
        });
        let metric = json!({
            "type": "object", "properties": {
                "name": text("Name of the metric."),
                "selector": { "type": "object", "description": "Always empty." },
            },
        });
        let value = object(
            "MetricValue is the value of one metric of one object.",
            json!({
                "describedObject": described, "metric": metric, "timestamp": moment(),
                "windowSeconds": { "type": "integer", "format": "int64", "description": "Over which it was measured." },
                "value": text("The value as a quantity."),
            }),
        );
        vec![
            ("MetricValue", true, value),
            ("MetricValueList", true, list_of("MetricValue", "MetricValueList is a list of values.")),
        ]
    } else if group == HISTORY {
        let names: Vec<&str> = SeriesMetric::all().iter().map(|one| one.name.as_str()).collect();
        let points = json!({
            "type": "array",
            "description": "Points, oldest first: a pair of unix seconds and the value. Where nothing was measured is no point.",
            "items": { "type": "array", "items": { "type": "number" } },
        });
        let common = json!({
            "metric": { "type": "string", "enum": names, "description": "Name of the metric." },
            "unit": text("Unit of the values, such as cores or bytes."),
            "by": text("What a series is of."),
            "start": text("From when, RFC 3339."), "end": text("Until when, RFC 3339."),
            "step": text("Distance of the points."),
        });
        let with_common = |fields: Value| {
            let mut all = common.as_object().cloned().unwrap_or_default();
            if let Value::Object(fields) = fields {
                all.extend(fields);
            }
            Value::Object(all)
        };
        let group_labels = json!({
            "type": "object", "additionalProperties": { "type": "string" },
            "description": "What tells this series from the others: node, namespace, workload, kind, pod, container or a label.",
        });
        let mut all = Vec::new();
        for (resource, kind, kind_list) in SERIES_KINDS {
            let fields = json!({ "metadata": meta, "group": group_labels, "points": points });
            let about = format!("{kind} is the course of one metric of one of {resource}, or of a group.");
            all.push((kind, true, object(&about, with_common(fields))));
            let items = json!({ "type": "array", "description": "The courses.", "items": reference(kind) });
            let fields = json!({ "metadata": list_meta, "items": items });
            all.push((kind_list, true, object(&format!("{kind_list} is a list of {kind}."), with_common(fields))));
        }
        all
    } else {
        let answer = json!({
            "type": "object", "description": "What was taken.",
            "properties": {
                "accepted": { "type": "integer", "format": "int64" }, "sequence": { "type": "integer", "format": "int64" },
            },
        });
        vec![("PushAnswer", false, answer)]
    }
}

/// The name of a schema, in reverse order of the group's name, as Kubernetes names them.
fn definition(group: Group, name: &str) -> String {
    let package = if group == METRICS {
        "io.k8s.metrics.pkg.apis.metrics"
    } else if group == CUSTOM {
        "io.k8s.metrics.pkg.apis.custom_metrics"
    } else if group == HISTORY {
        "dev.ringside.history"
    } else {
        "dev.ringside.ingest"
    };
    format!("{package}.{}.{name}", group.version)
}

fn definitions(group: Group, at: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, is_object, mut schema) in schemas(group, at) {
        if is_object && let Some(fields) = schema.as_object_mut() {
            let kind = json!({ "group": group.name, "version": group.version, "kind": name });
            fields.insert("x-kubernetes-group-version-kind".to_owned(), json!([kind]));
        }
        all.insert(definition(group, name), schema);
    }
    all
}

fn paths(group: Group, third: bool) -> Map<String, Value> {
    let at = if third { "#/components/schemas/" } else { "#/definitions/" };
    let parameter = |name: &str, place: &str, description: &str| {
        let required = place == "path";
        if third {
            let schema = json!({ "type": "string" });
            json!({ "name": name, "in": place, "required": required, "description": description, "schema": schema })
        } else {
            json!({ "name": name, "in": place, "required": required, "description": description, "type": "string" })
        }
    };
    let mut all = Map::new();
    for operation in operations(group) {
        let in_path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = in_path.map(|name| parameter(name, "path", name)).collect();
        parameters.extend(operation.query.iter().map(|(name, about)| parameter(name, "query", about)));
        let schema = json!({ "$ref": format!("{at}{}", definition(group, operation.answer)) });
        let answer = if third {
            json!({ "description": "OK", "content": { "application/json": { "schema": schema } } })
        } else {
            json!({ "description": "OK", "schema": schema })
        };
        let mut described = json!({
            "description": operation.description,
            "operationId": format!("{}{}{}", operation.id, operation.kind, operation_suffix(group)),
            "tags": [format!("{}_{}", group.name.replace('.', "_"), group.version)],
            "parameters": parameters,
            "responses": { "200": answer },
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind":
                { "group": group.name, "version": group.version, "kind": operation.kind },
        });
        if !third && let Some(fields) = described.as_object_mut() {
            fields.insert("produces".to_owned(), json!(["application/json"]));
            fields.insert("schemes".to_owned(), json!(["https"]));
        }
        let method = if operation.action == "post" { "post" } else { "get" };
        all.insert(operation.path, json!({ method: described }));
    }
    all
}

fn operation_suffix(group: Group) -> &'static str {
    if group == METRICS {
        "MetricsV1beta1"
    } else if group == CUSTOM {
        "CustomMetricsV1beta2"
    } else if group == INGEST {
        "IngestV1alpha1"
    } else {
        "HistoryV1alpha1"
    }
}

fn info() -> Value {
    json!({ "title": "ringside", "version": env!("CARGO_PKG_VERSION") })
}

/// The document of all groups, version 2.
fn second() -> Value {
    let mut all_paths = Map::new();
    let mut all_definitions = Map::new();
    for group in GROUPS {
        all_paths.append(&mut paths(group, false));
        all_definitions.append(&mut definitions(group, "#/definitions/"));
    }
    json!({ "swagger": "2.0", "info": info(), "paths": all_paths, "definitions": all_definitions })
}

/// The document of one group, version 3.
fn third(group: Group) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths(group, true),
        "components": { "schemas": definitions(group, "#/components/schemas/") },
    })
}

/// `/openapi/…`, below which `rest` is.
pub(super) fn answer(rest: &[&str], accept: Option<&str>) -> Option<ApiAnswer> {
    let document = match rest {
        ["v2"] => second(),
        ["v3"] => {
            let paths: Map<String, Value> = GROUPS
                .into_iter()
                .map(|group| {
                    let path = format!("apis/{}", group.group_version());
                    // The documents change with the program only, which is what a cache has to know.
                    let url = format!("/openapi/v3/{path}?hash={}", env!("CARGO_PKG_VERSION"));
                    (path, json!({ "serverRelativeURL": url }))
                })
                .collect();
            json!({ "paths": paths })
        }
        ["v3", "apis", name, version] => third(Group::of(name).filter(|group| group.version == *version)?),
        _ => return None,
    };
    // The API server asks for protobuf first and takes JSON; who takes nothing else is told so.
    if json_form(accept).is_none() {
        return Some(Status::not_acceptable("application/json").into_answer());
    }
    Some(ApiAnswer::json(200, document.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::answer::ApiBody;
    use super::*;

    fn read(path: &[&str]) -> Value {
        let answer = answer(path, None).unwrap();
        let ApiBody::Bytes(bytes) = answer.body else { panic!("not at once") };
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Every `$ref` below a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(target) if key == "$ref" => found.push(target.clone()),
                        other => references(other, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_of_every_document_leads_somewhere() {
        let mut documents = vec![read(&["v2"])];
        for group in GROUPS {
            documents.push(read(&["v3", "apis", group.name, group.version]));
        }
        for document in documents {
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(!found.is_empty());
            for target in found {
                let pointer = target.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{target}");
            }
        }
    }

    #[test]
    fn objects_tell_their_group_version_and_kind_and_operations_have_one_name_each() {
        let document = read(&["v2"]);
        let pod = &document["definitions"]["io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics"];
        let kind = json!([{ "group": "metrics.k8s.io", "version": "v1beta1", "kind": "PodMetrics" }]);
        assert_eq!(pod["x-kubernetes-group-version-kind"], kind);
        let mut ids: Vec<&str> = Vec::new();
        for path in document["paths"].as_object().unwrap().values() {
            for operation in path.as_object().unwrap().values() {
                ids.push(operation["operationId"].as_str().unwrap());
            }
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), count), (24, 24));
    }

    #[test]
    fn the_third_version_names_a_document_for_each_group_and_protobuf_alone_is_refused() {
        let index = read(&["v3"]);
        for group in GROUPS {
            let path = format!("apis/{}", group.group_version());
            let url = index["paths"][&path]["serverRelativeURL"].as_str().unwrap();
            assert!(url.starts_with(&format!("/openapi/v3/{path}?hash=")));
        }
        let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert_eq!(answer(&["v2"], Some(protobuf)).unwrap().status, 406);
        assert_eq!(answer(&["v2"], Some(&format!("{protobuf}, */*"))).unwrap().status, 200);
        assert!(answer(&["v3", "apis", "apps", "v1"], None).is_none());
    }
}
