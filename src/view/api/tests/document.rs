//! The OpenAPI document against what is served.

use serde_json::json;

use super::*;

fn document() -> Value {
    get("/openapi.json")
}

#[test]
fn every_path_that_is_served_is_documented_and_the_other_way_round() {
    let document = document();
    assert_eq!(document["openapi"].as_str().map(|version| version.starts_with("3.1")), Some(true));
    let documented: BTreeSet<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    let served = [
        "/api/v1/containers",
        "/api/v1/containers/{id}",
        "/api/v1/containers/{id}/history",
        "/api/v1/diff",
        "/api/v1/ring",
        "/api/v1/history",
        "/api/v1/metrics",
        "/api/v1/node",
        "/api/v1/node/history",
        "/api/v1/pods",
    ];
    // Answered by `view/remote`, which the HTTP server asks itself.
    let elsewhere = ["/api/v1/export", "/api/v1/read"];
    assert_eq!(documented, served.into_iter().chain(elsewhere).map(str::to_owned).collect());
    for path in elsewhere {
        assert!(answer_at(&store(), path, None, NOW).is_none(), "{path} is not this folder's to answer");
    }
    for path in served {
        let answer = get_answer(&store(), &path.replace("{id}", "web"));
        let body = String::from_utf8(answer.body).unwrap();
        assert!(!body.contains("unknown-path"), "{path} is documented and not served: {body}");
    }
}

/// Checks a value against a schema: every property is documented, every required one is there, and types agree.
fn conforms(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{at}: {reference} leads nowhere"));
        return conforms(document, target, value, at);
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            if value.is_null() {
                assert!(choices.iter().any(|choice| choice["type"] == "null"), "{at}: null is not allowed");
            } else if choices.len() == 2 && choices[1]["type"] == "null" {
                conforms(document, &choices[0], value, at);
            }
            return;
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = types.contains(&is) || (is == "integer" && types.contains(&"number"));
    assert!(fits, "{at}: {is} is none of {types:?}");
    if let Some(items) = value.as_array() {
        for item in items {
            conforms(document, &schema["items"], item, &format!("{at}[]"));
        }
    }
    let Some(properties) = value.as_object() else { return };
    for (name, value) in properties {
        let known = schema["properties"].get(name).or(schema.get("additionalProperties"));
        let known = known.unwrap_or_else(|| panic!("{at}.{name} is not documented"));
        conforms(document, known, value, &format!("{at}.{name}"));
    }
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(properties.contains_key(required), "{at}.{required} is missing");
    }
}

#[test]
fn every_answer_conforms_to_its_documented_schema() {
    let document = document();
    let targets = [
        ("/api/v1/node", "/api/v1/node"),
        ("/api/v1/containers", "/api/v1/containers?all"),
        ("/api/v1/containers/{id}", "/api/v1/containers/web"),
        ("/api/v1/pods", "/api/v1/pods"),
        ("/api/v1/metrics", "/api/v1/metrics"),
        ("/api/v1/node", "/api/v1/node?at=oldest"),
        ("/api/v1/containers", "/api/v1/containers?all&at=oldest"),
        ("/api/v1/containers/{id}", "/api/v1/containers/web?at=oldest"),
        ("/api/v1/pods", "/api/v1/pods?at=oldest"),
        ("/api/v1/diff", "/api/v1/diff?from=oldest&all"),
        ("/api/v1/ring", "/api/v1/ring"),
    ];
    for (path, target) in targets {
        let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(!schema.is_null(), "{path} documents no answer");
        conforms(&document, schema, &get(target), path);
    }
    let schema = &document["components"]["schemas"]["Problem"];
    let served = [
        ("/api/v1/containers/{id}/history", "/api/v1/containers/web/history?metric=cpu_usage_usec&fn=rate"),
        ("/api/v1/containers/{id}/history", "/api/v1/containers/web/history?metric=memory_max_bytes&step=1s"),
        ("/api/v1/history", "/api/v1/history?select=memory_max_bytes"),
        ("/api/v1/history", "/api/v1/history?select=cpu_usage_usec&fn=quantile&q=0.5&step=1s&by=kind&agg=avg&top=2"),
        ("/api/v1/node/history", "/api/v1/node/history?metric=cpu.user_ticks&cpu=cpu1&step=10s&fn=avg"),
    ];
    for (path, target) in served {
        let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        conforms(&document, schema, &get(target), path);
    }
    let history = json!({
        "id": "web", "metric": "cpu_usage_usec", "of": null, "unit": "microseconds", "kind": "counter", "fn": "last",
        "q": null, "step_seconds": null, "start": "2026-03-01T12:00:00.000Z", "end": "2026-03-01T12:00:00.000Z",
        "tiers": [{"resolution": "10s", "start": "2026-03-01T12:00:00.000Z", "end": "2026-03-01T12:00:00.000Z"}],
        "points": [[1.5, 7], [2.5, null], [3.5, 0.5], [4.5, "unlimited"]],
    });
    let read: History = serde_json::from_value(history.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), history);
    let schema_of_history = &document["components"]["schemas"]["History"];
    conforms(&document, schema_of_history, &history, "history");
    let problem = get_answer(&store(), "/api/v1/containers/nobody");
    conforms(&document, schema, &serde_json::from_slice(&problem.body).unwrap(), "problem");
}

#[test]
fn every_property_and_parameter_is_described() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            let described = schema["description"].is_string() || schema["oneOf"][0]["description"].is_string();
            assert!(described, "{name}.{property} has no description: {schema}");
        }
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for parameter in operations["get"]["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{path} {parameter}");
        }
    }
}
