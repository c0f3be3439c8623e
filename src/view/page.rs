//! The page at `/`: what there is to read here, for a person with a browser.

use crate::sample::NodeSample;

const ENDPOINTS: &[(&str, &str)] = &[
    ("/metrics", "all metrics, for Prometheus (text or OpenMetrics)"),
    ("/metrics?labels=slim", "the same with short labels; <code>container_info</code> holds the rest"),
    ("/metrics?labels=full", "the same with every label of the runtime, as cAdvisor has them"),
    (
        "/metrics?collect[]=cpu",
        "some of them: the sets that are named, and with <code>match[]=</code> the series that fit",
    ),
    ("/metrics/cadvisor", "what a kubelet shows there: its metrics and its labels"),
    ("/api/v1/node", "the node, as JSON"),
    ("/api/v1/containers", "every container; <code>/{id}</code> one of them, <code>/{id}/history</code> its past"),
    ("/api/v1/pods", "the same by pod; <code>?at=-10m</code> shows any of these three as it was"),
    ("/api/v1/diff?from=oldest", "what changed since then, the largest change first"),
    ("/api/v1/metrics", "every metric that has a history, with its unit and kernel file"),
    (
        "/api/v1/export?match[]=container_memory_rss",
        "the past of any series of <code>/metrics</code>, as OpenMetrics with timestamps",
    ),
    ("/metrics/resource", "what metrics-server asks a kubelet for"),
    ("/stats/summary", "what a kubelet tells of node and pods"),
    ("/api/v1.3/containers/", "cAdvisor's API, for its clients: <code>/api/v1.0</code> to <code>/api/v2.1</code>"),
    ("/openapi.json", "description of <code>/api/v1</code>"),
    ("/events?follow=false", "what happened to containers lately; without <code>follow</code> as it happens"),
    ("/livez", "whether the agent works"),
    ("/readyz", "whether it has read the node"),
];

/// The page, for the newest sample.
#[must_use]
pub fn page(sample: Option<&NodeSample>) -> String {
    let mut html = String::with_capacity(2048);
    let node = sample.map_or("", |sample| sample.machine.node_name.as_str());
    html.push_str("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>ringside");
    if !node.is_empty() {
        html.push_str(" on ");
        push_escaped(&mut html, node);
    }
    html.push_str(
        "</title><style>body{font-family:sans-serif;margin:2em;max-width:50em}td{padding:.2em 1em .2em 0}</style>",
    );
    html.push_str("</head>\n<body><h1>ringside");
    if !node.is_empty() {
        html.push_str(" on ");
        push_escaped(&mut html, node);
    }
    html.push_str("</h1>\n<p>");
    html.push_str(&state(sample));
    html.push_str("</p>\n<table>\n");
    for (path, what) in ENDPOINTS {
        html.extend(["<tr><td><a href=\"", path, "\">", path, "</a></td><td>", what, "</td></tr>\n"]);
    }
    html.push_str("</table></body></html>\n");
    html
}

fn state(sample: Option<&NodeSample>) -> String {
    let Some(sample) = sample else { return "No tick has been read yet.".to_owned() };
    let stats = &sample.self_stats;
    format!(
        "Tick {}: {} cgroups in {}.{:03} ms; {} ticks missed.",
        sample.tick,
        stats.cgroups,
        stats.tick_duration_nanos / 1_000_000,
        stats.tick_duration_nanos / 1000 % 1000,
        stats.missed_ticks
    )
}

fn push_escaped(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_node_name_cannot_become_markup() {
        let mut sample = NodeSample::new();
        let machine = crate::sample::MachineFacts { node_name: "<script>'\"&".into(), ..Default::default() };
        sample.machine = Arc::new(machine);
        let html = page(Some(&sample));
        assert!(html.contains("ringside on &lt;script&gt;&#39;&quot;&amp;</h1>"), "{html}");
        assert!(!html.contains("<script>"));
    }

    #[test]
    fn without_a_tick_the_page_says_so() {
        assert!(page(None).contains("No tick has been read yet."));
    }
}
