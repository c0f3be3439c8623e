//! Time series as JSON and as the table that `kubectl get` prints.
//!
//! In: what was asked, and series. Out: bytes. `containers` are named `POD:CONTAINER` and `workloads` `KIND:NAME`: neither a
//! pod's nor a controller's name can hold a colon. Next: nobody.

use std::sync::Arc;

use serde_json::{Value, json};

use super::discovery::HISTORY;
use super::history::Asked;
use super::text::{go_duration, quantity, string, time};
use crate::store::cluster::{GroupBy, HistorySeries};
use crate::units::UnixNanos;

fn label<'a>(group: &'a [(Arc<str>, Arc<str>)], key: &str) -> Option<&'a str> {
    group.iter().find(|(name, _)| &**name == key).map(|(_, value)| &**value)
}

/// What an object is called in its resource.
pub(super) fn object_name(resource: &str, group: &[(Arc<str>, Arc<str>)]) -> Option<String> {
    let own = |key| label(group, key).map(str::to_owned);
    match resource {
        "clusters" => Some("cluster".to_owned()),
        "nodes" => own("node"),
        "namespaces" => own("namespace"),
        "pods" => own("pod"),
        "workloads" => Some(format!("{}:{}", label(group, "workload_kind")?.to_lowercase(), label(group, "workload")?)),
        "containers" => Some(format!("{}:{}", label(group, "pod")?, label(group, "container")?)),
        _ => None,
    }
}

/// What a group is called: its object's name, or the values that tell it from the others.
fn group_name(by: &GroupBy, group: &[(Arc<str>, Arc<str>)]) -> String {
    let resource = match by {
        GroupBy::Cluster => "clusters",
        GroupBy::Node => "nodes",
        GroupBy::Namespace => "namespaces",
        GroupBy::Workload => "workloads",
        GroupBy::Pod => "pods",
        GroupBy::Container => "containers",
        GroupBy::Label(key) => return label(group, key).unwrap_or_default().to_owned(),
    };
    object_name(resource, group).unwrap_or_default()
}

/// The object, or the list of them.
pub(super) fn json(asked: &Asked, kind: &str, series: &[HistorySeries]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(one) = series.first().filter(|_| asked.is_get && series.len() == 1) {
        write_series(&mut out, asked, one, Some(kind));
    } else {
        out.extend_from_slice(b"{\"kind\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"List\",\"apiVersion\":\"");
        out.extend_from_slice(HISTORY.group_version().as_bytes());
        out.extend_from_slice(b"\",\"metadata\":{},");
        write_common(&mut out, asked);
        out.extend_from_slice(b",\"items\":[");
        for (place, one) in series.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write_series(&mut out, asked, one, None);
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b'\n');
    out
}

/// As `kubectl get` prints it.
pub(super) fn table(asked: &Asked, version: &str, series: &[HistorySeries]) -> Vec<u8> {
    let column = |name: &str, description: &str| {
        let format = if name == "Name" { "name" } else { "" };
        json!({ "name": name, "type": "string", "format": format, "description": description, "priority": 0 })
    };
    let columns = [
        column("Name", "Whose course it is."),
        column("Metric", "Which metric, in its unit."),
        column("Now", "The newest value."),
        column("Min", "The least value."),
        column("Avg", "The mean of the values."),
        column("Max", "The greatest value."),
    ];
    let row = |one: &HistorySeries| {
        let values = || one.points.iter().map(|(_, value)| *value);
        let shown = |value: Option<f64>| value.filter(|value| value.is_finite()).map_or("-".to_owned(), quantity);
        let count = u32::try_from(one.points.len()).unwrap_or(u32::MAX);
        let mean = (count > 0).then(|| values().sum::<f64>() / f64::from(count));
        let mut metadata = json!({ "name": group_name(&asked.question.by, &one.group) });
        if let Some(fields) = metadata.as_object_mut()
            && let Some(namespace) = namespace_of(asked, one)
        {
            fields.insert("namespace".to_owned(), namespace.into());
        }
        let name = metadata.get("name").cloned();
        json!({
            "cells": [
                name, asked.question.metric.name, shown(values().next_back()), shown(values().reduce(f64::min)),
                shown(mean), shown(values().reduce(f64::max)),
            ],
            "object": {
                "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
            },
        })
    };
    let rows: Vec<Value> = series.iter().map(row).collect();
    let table = json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": {},
        "columnDefinitions": columns, "rows": rows,
    });
    (table.to_string() + "\n").into_bytes()
}

/// The namespace of an object that has one.
fn namespace_of<'a>(asked: &Asked, series: &'a HistorySeries) -> Option<&'a str> {
    let is_namespaced = matches!(asked.question.by, GroupBy::Workload | GroupBy::Pod | GroupBy::Container);
    label(&series.group, "namespace").filter(|_| is_namespaced)
}

fn write_common(out: &mut Vec<u8>, asked: &Asked) {
    let question = &asked.question;
    let mut field = |name: &str, value: &str| {
        out.extend_from_slice(format!("\"{name}\":").as_bytes());
        string(out, value);
        out.push(b',');
    };
    field("metric", &question.metric.name);
    field("unit", question.metric.unit);
    field("by", &asked.by);
    field("start", &time(question.from));
    field("end", &time(question.to));
    out.extend_from_slice(b"\"step\":\"");
    go_duration(out, question.step);
    out.push(b'"');
}

/// `kind` is given for an object by itself.
fn write_series(out: &mut Vec<u8>, asked: &Asked, series: &HistorySeries, kind: Option<&str>) {
    out.push(b'{');
    if let Some(kind) = kind {
        out.extend_from_slice(b"\"kind\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"apiVersion\":\"");
        out.extend_from_slice(HISTORY.group_version().as_bytes());
        out.extend_from_slice(b"\",");
    }
    out.extend_from_slice(b"\"metadata\":{\"name\":");
    string(out, &group_name(&asked.question.by, &series.group));
    if let Some(namespace) = namespace_of(asked, series) {
        out.extend_from_slice(b",\"namespace\":");
        string(out, namespace);
    }
    out.extend_from_slice(b"},");
    if kind.is_some() {
        write_common(out, asked);
        out.push(b',');
    }
    out.extend_from_slice(b"\"group\":{");
    for (place, (key, value)) in series.group.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        string(out, key);
        out.push(b':');
        string(out, value);
    }
    out.extend_from_slice(b"},\"points\":[");
    let mut first = true;
    for (at, value) in series.points.iter().filter(|(_, value)| value.is_finite()) {
        out.extend_from_slice(if std::mem::take(&mut first) { b"[" } else { b",[" });
        out.extend_from_slice(unix_seconds(*at).as_bytes());
        out.push(b',');
        // JSON has no sign for what is not finite, and there is none left.
        out.extend_from_slice(zmij::Buffer::new().format_finite(*value).as_bytes());
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
}

/// Seconds since 1970, with milliseconds where there are any.
fn unix_seconds(at: UnixNanos) -> String {
    let (seconds, millis) = (at.millis() / 1_000, at.millis() % 1_000);
    if millis == 0 { seconds.to_string() } else { format!("{seconds}.{millis:03}") }
}
