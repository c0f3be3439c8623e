//! `custom.metrics.k8s.io`: any metric of pods, namespaces and nodes, as autoscalers ask for it.
//!
//! In: an address such as `namespaces/NS/pods/*/METRIC`. Out: a `MetricValueList`. A namespace's value is the sum over its
//! pods. These metrics have no labels of their own, so a selector of labels of the metric fits nothing. Next: nobody.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Api;
use super::accept::Form;
use super::answer::ApiAnswer;
use super::discovery::CUSTOM;
use super::path::Resource;
use super::selector::LabelSelector;
use super::series::SeriesMetric;
use super::source::{Newest, NewestQuestion, Object};
use super::status::Status;
use super::text::{quantity, time};
use crate::view::api::Query;

/// All objects that fit.
const EVERY: &str = "*";

pub(super) async fn answer(api: &Arc<Api>, found: &Resource, query: &Query, form: Form) -> Result<ApiAnswer, Status> {
    let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default()).map_err(Status::bad_request)?;
    let of_metric =
        LabelSelector::parse(query.get("metricLabelSelector").unwrap_or_default()).map_err(Status::bad_request)?;
    let namespace = Some(found.namespace.clone()).filter(|namespace| !namespace.is_empty());
    // Clients may write the resource with its group: `pods.` and `nodes.v1.` are the same.
    let resource = found.resource.split('.').next().unwrap_or_default();
    let (metric, of, name) = match (resource, &namespace) {
        ("pods", Some(_)) => (found.subresource.as_str(), Object::Pod, found.name.as_str()),
        ("nodes", None) => (found.subresource.as_str(), Object::Node, found.name.as_str()),
        ("metrics", Some(_)) if found.subresource.is_empty() => (found.name.as_str(), Object::Pod, EVERY),
        _ => {
            return Err(Status::unknown(format!(
                "there are no custom metrics of {:?} here; there are namespaces/NS/pods/POD/METRIC (POD may be *), \
                 namespaces/NS/metrics/METRIC and nodes/NODE/METRIC",
                found.resource
            )));
        }
    };
    if metric.is_empty() {
        return Err(Status::unknown(
            "a metric is missing at the end of the path; GET /apis/custom.metrics.k8s.io/v1beta2 \
                                    lists them all",
        ));
    }
    let metric = SeriesMetric::named(metric)?;
    let one = Some(name.to_owned()).filter(|name| name != EVERY);
    let is_sum = resource == "metrics";
    let question = NewestQuestion { metric, of, namespace: namespace.clone(), name: one.clone(), labels };
    let mut values = if of_metric.fits(&[]) { api.history.newest(question).await? } else { Vec::new() };
    if is_sum {
        values = sum(values, namespace.as_deref().unwrap_or_default());
    }
    if values.is_empty()
        && let Some(name) = one.or_else(|| namespace.filter(|_| is_sum))
    {
        let message = format!("there is no value of {} for {name:?} now", metric.name);
        return Err(Status::unknown(message).about(CUSTOM.name, &found.resource, &name));
    }
    let kind = match (is_sum, of) {
        (true, _) => "Namespace",
        (false, Object::Pod) => "Pod",
        (false, Object::Node) => "Node",
    };
    let items: Vec<Value> = values.iter().map(|value| item(kind, metric, value)).collect();
    let list = json!({
        "kind": "MetricValueList", "apiVersion": CUSTOM.group_version(), "metadata": {}, "items": items,
    });
    api.whole.answer(form.content_type(), (list.to_string() + "\n").into())
}

/// One value for a namespace; its time is that of the earliest.
fn sum(values: Vec<Newest>, namespace: &str) -> Vec<Newest> {
    let at = values.iter().map(|value| value.at).min();
    let Some(at) = at else { return Vec::new() };
    let window = values.iter().map(|value| value.window).max().unwrap_or_default();
    let value = values.iter().map(|value| value.value).sum();
    vec![Newest { namespace: Arc::from(""), name: Arc::from(namespace), at, window, value }]
}

fn item(kind: &str, metric: &SeriesMetric, value: &Newest) -> Value {
    let mut described = json!({ "kind": kind, "apiVersion": "v1", "name": &*value.name });
    if let Some(fields) = described.as_object_mut().filter(|_| !value.namespace.is_empty()) {
        fields.insert("namespace".to_owned(), Value::from(&*value.namespace));
    }
    let mut item = json!({
        "describedObject": described,
        "metric": { "name": metric.name, "selector": null },
        "timestamp": time(value.at),
        "value": quantity(value.value),
    });
    if let Some(fields) = item.as_object_mut().filter(|_| value.window > Duration::ZERO) {
        fields.insert("windowSeconds".to_owned(), Value::from(rounded_seconds(value.window)));
    }
    item
}

fn rounded_seconds(window: Duration) -> u64 {
    window.as_secs() + u64::from(window.subsec_millis() >= 500)
}
