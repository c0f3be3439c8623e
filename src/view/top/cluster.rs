//! `ringside top --by`: the cluster, by workload, namespace, node, pod or any label of pods, with its recent past.
//!
//! In: the history API, asked through the Kubernetes API server with the kubeconfig. Out: a table with the newest value and
//! the least, mean and most of the time before it, or the API's JSON. It needs no terminal. Next: nobody.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::view::api::percent_encode;

use super::format::{self, or_absent};
use super::once::aligned;
use super::{Output, TopArgs, TopError, runtime};

const HISTORY: &str = "/apis/history.ringside.dev/v1alpha1";
const CPU: &str = "cpu_usage_cores";
const MEMORY: &str = "memory_working_set_bytes";
/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Arguments that only matter for the cluster.
#[derive(Debug, Clone, clap::Args)]
pub struct ClusterArgs {
    /// Show the cluster, asked through the API server: by workload, namespace, node, pod, container, cluster or label=KEY
    #[arg(long, value_parser = grouping, value_name = "WHAT")]
    pub by: Option<String>,
    /// Over which time to show the least, mean and most; with --by
    #[arg(long, default_value = "15m", requires = "by", value_name = "DURATION")]
    pub last: String,
    /// Kubeconfig file; without it KUBECONFIG, ~/.kube/config or the pod's own service account; with --by
    #[arg(long, requires = "by", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig; with --by
    #[arg(long, requires = "by", value_name = "NAME")]
    pub context: Option<String>,
    /// Show only pods whose labels fit; with --by
    #[arg(short = 'l', long, requires = "by", value_name = "LABELS")]
    pub selector: Option<String>,
}

fn grouping(text: &str) -> Result<String, String> {
    let plain = ["workload", "namespace", "node", "pod", "container", "cluster"].contains(&text);
    let label = text.strip_prefix("label=").is_some_and(|key| !key.is_empty());
    if plain || label {
        Ok(text.to_owned())
    } else {
        Err("write workload, namespace, node, pod, container, cluster or label=KEY".to_owned())
    }
}

/// What the history API answers, as far as it is shown.
#[derive(Debug, Deserialize)]
struct List {
    start: String,
    end: String,
    items: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    metadata: Metadata,
    group: BTreeMap<String, String>,
    points: Vec<(f64, f64)>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

/// The course of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Course {
    newest: f64,
    least: f64,
    mean: f64,
    most: f64,
}

impl Course {
    fn of(points: &[(f64, f64)]) -> Option<Self> {
        let (_, newest) = *points.last()?;
        let values = || points.iter().map(|(_, value)| *value);
        let least = values().fold(f64::INFINITY, f64::min);
        let most = values().fold(f64::NEG_INFINITY, f64::max);
        let mean = values().sum::<f64>() / values().count() as f64;
        Some(Self { newest, least, mean, most })
    }
}

/// Asks once and prints.
pub(super) fn run(args: &TopArgs, by: &str, out: &mut dyn Write) -> Result<(), TopError> {
    let target = |metric: &str| target(args, by, metric);
    let (cpu, memory) = runtime()?.block_on(async {
        let client = client(&args.cluster).await?;
        tokio::try_join!(ask(&client, target(CPU)), ask(&client, target(MEMORY)))
    })?;
    let text = if args.output == Some(Output::Json) {
        format!("[{},\n{}]\n", format::clean_json(cpu.trim_end()), format::clean_json(memory.trim_end()))
    } else {
        table(by, &read(&target(CPU), &cpu)?, &read(&target(MEMORY), &memory)?)
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(TopError::Output)
}

/// What is asked of the history API.
fn target(args: &TopArgs, by: &str, metric: &str) -> String {
    let (resource, namespaced) = match by {
        "workload" => ("workloads", true),
        "container" => ("containers", true),
        "node" => ("nodes", false),
        "namespace" => ("namespaces", false),
        "cluster" => ("clusters", false),
        _ => ("pods", true),
    };
    let mut path = HISTORY.to_owned();
    if let Some(namespace) = args.namespace.as_deref().filter(|_| namespaced) {
        path += &format!("/namespaces/{}", percent_encode(namespace));
    }
    path += &format!("/{resource}?metric={metric}&last={}", percent_encode(&args.cluster.last));
    if let Some(namespace) = args.namespace.as_deref().filter(|_| !namespaced) {
        path += &format!("&fieldSelector={}", percent_encode(&format!("metadata.namespace={namespace}")));
    }
    for (name, value) in [("end", &args.at), ("labelSelector", &args.cluster.selector)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", percent_encode(value));
        }
    }
    if by.starts_with("label=") {
        path += &format!("&by={}", percent_encode(by));
    }
    path
}

async fn client(args: &ClusterArgs) -> Result<kube::Client, TopError> {
    let unusable = |why: String| TopError::Cluster(format!("the Kubernetes configuration cannot be used: {why}"));
    let options =
        kube::config::KubeConfigOptions { context: args.context.clone(), ..kube::config::KubeConfigOptions::default() };
    let config = match &args.kubeconfig {
        Some(file) => {
            let read = kube::config::Kubeconfig::read_from(file).map_err(|error| unusable(error.to_string()))?;
            kube::Config::from_custom_kubeconfig(read, &options).await.map_err(|error| unusable(error.to_string()))?
        }
        None if args.context.is_some() => {
            kube::Config::from_kubeconfig(&options).await.map_err(|error| unusable(error.to_string()))?
        }
        None => kube::Config::infer().await.map_err(|error| unusable(error.to_string()))?,
    };
    kube::Client::try_from(config).map_err(|error| unusable(error.to_string()))
}

async fn ask(client: &kube::Client, target: String) -> Result<String, TopError> {
    let refused = |detail: String| TopError::Cluster(format!("GET {target}: {}", format::clean(&detail)));
    let request = hyper::Request::get(&target).body(Vec::new()).map_err(|error| refused(error.to_string()))?;
    let asked = tokio::time::timeout(DEADLINE, client.request_text(request)).await;
    let answered = asked.map_err(|_| refused(format!("no answer in {} s", DEADLINE.as_secs())))?;
    answered.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 && status.details.is_none() => refused(format!(
            "{}; is the aggregator installed? `kubectl get apiservice v1alpha1.history.ringside.dev` tells",
            status.message
        )),
        kube::Error::Api(status) => refused(status.message.clone()),
        other => refused(format!("the API server cannot be asked: {other}")),
    })
}

fn read(target: &str, text: &str) -> Result<List, TopError> {
    serde_json::from_str(text).map_err(|source| TopError::Unreadable { url: target.to_owned(), source })
}

/// The table, most CPU first.
fn table(by: &str, cpu: &List, memory: &List) -> String {
    let mut rows: BTreeMap<(&str, &str), [Option<Course>; 2]> = BTreeMap::new();
    for (place, list) in [cpu, memory].into_iter().enumerate() {
        for series in &list.items {
            let key = (series.metadata.namespace.as_str(), shown_name(by, series));
            if let Some(course) = rows.entry(key).or_default().get_mut(place) {
                *course = Course::of(&series.points);
            }
        }
    }
    let namespaced = rows.keys().any(|(namespace, _)| !namespace.is_empty());
    let name = by.strip_prefix("label=").unwrap_or(by).to_uppercase();
    let mut heading = if namespaced { vec!["NAMESPACE".to_owned()] } else { Vec::new() };
    heading.push(name);
    heading.extend(["CPU", "MIN", "AVG", "MAX", "MEMORY", "MIN", "AVG", "MAX"].map(str::to_owned));
    let mut lines = vec![heading];
    let mut sorted: Vec<_> = rows.into_iter().collect();
    let newest =
        |courses: &[Option<Course>; 2]| courses.first().copied().flatten().map_or(-1.0, |course| course.newest);
    sorted.sort_by(|(_, a), (_, b)| newest(b).total_cmp(&newest(a)));
    for ((namespace, name), courses) in sorted {
        let mut line = if namespaced { vec![format::clean(namespace).into_owned()] } else { Vec::new() };
        line.push(if name.is_empty() { "<none>".to_owned() } else { format::clean(name).into_owned() });
        for (course, show) in courses.into_iter().zip([format::millicores as fn(f64) -> String, format::bytes]) {
            for value in [|course: Course| course.newest, |course: Course| course.least, |course: Course| course.mean] {
                line.push(or_absent(course.map(value), show));
            }
            line.push(or_absent(course.map(|course| course.most), show));
        }
        lines.push(line);
    }
    let note = format!("{} to {}\n", format::clean(&cpu.start), format::clean(&cpu.end));
    if lines.len() == 1 { format!("{note}nothing was measured in this time\n") } else { note + &aligned(&lines) }
}

/// A label's value stands for itself, even if it is empty.
fn shown_name<'a>(by: &str, series: &'a Series) -> &'a str {
    let value = by.strip_prefix("label=").and_then(|key| series.group.get(key));
    value.map_or(series.metadata.name.as_str(), String::as_str)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: TopArgs,
    }

    fn asked(words: &[&str]) -> String {
        let args = Line::try_parse_from([&["top"], words].concat()).unwrap().args;
        let by = args.cluster.by.clone().unwrap();
        target(&args, &by, CPU)
    }

    #[test]
    fn what_is_asked_of_the_api_is_what_was_written() {
        let start = "/apis/history.ringside.dev/v1alpha1";
        assert_eq!(asked(&["--by", "workload"]), format!("{start}/workloads?metric=cpu_usage_cores&last=15m"));
        assert_eq!(
            asked(&["--by", "label=track", "-n", "shop", "--at", "5m", "--last", "1h", "-l", "app=web"]),
            format!(
                "{start}/namespaces/shop/pods?metric=cpu_usage_cores&last=1h&end=-5m&labelSelector=app%3Dweb&by=label%3Dtrack"
            )
        );
        assert_eq!(
            asked(&["--by", "namespace", "-n", "shop"]),
            format!("{start}/namespaces?metric=cpu_usage_cores&last=15m&fieldSelector=metadata.namespace%3Dshop")
        );
        assert!(Line::try_parse_from(["top", "--by", "colour"]).is_err());
        assert!(Line::try_parse_from(["top", "--last", "1h"]).is_err(), "without --by nobody would look at it");
    }

    #[test]
    fn kubectl_means_the_cluster_by_workload_unless_something_else_is_said() {
        let as_plugin = |words: &[&str]| {
            let words = words.iter().map(std::ffi::OsString::from).collect();
            crate::view::top::for_kubectl(words)
        };
        assert_eq!(as_plugin(&["k", "top", "-l", "a=b"]), ["k", "top", "--by", "workload", "-l", "a=b"]);
        assert_eq!(as_plugin(&["k", "top", "-n", "x", "--by=pod"]), ["k", "top", "-n", "x", "--by=pod"]);
        assert_eq!(as_plugin(&["k", "top", "--by", "node"]), ["k", "top", "--by", "node"]);
        assert_eq!(as_plugin(&["k", "query"]), ["k", "query"]);
        let taken = Line::try_parse_from(as_plugin(&["k", "top", "-l", "a=b"]).into_iter().skip(1)).unwrap();
        assert_eq!(taken.args.cluster.by.as_deref(), Some("workload"));
    }

    #[test]
    fn a_canary_stands_beside_its_stable_version() {
        let list = |points: [&str; 2]| -> List {
            let item = |track: &str, points: &str| {
                format!(
                    "{{\"metadata\":{{\"name\":\"{track}\"}},\"group\":{{\"track\":\"{track}\"}},\"points\":{points}}}"
                )
            };
            let items = [item("stable", points[0]), item("canary", points[1]), item("", "[]")].join(",");
            let text = format!(
                "{{\"kind\":\"TimeSeriesList\",\"start\":\"2026-03-01T11:45:00Z\",\"end\":\"2026-03-01T12:00:00Z\",\"items\":[{items}]}}"
            );
            serde_json::from_str(&text).unwrap()
        };
        let cpu = list(["[[1,0.25],[2,0.75],[3,0.5]]", "[[1,1],[2,2],[3,1.5]]"]);
        let memory = list(["[[1,1048576]]", "[[1,2097152],[2,3145728]]"]);
        insta::assert_snapshot!("cluster_by_label", table("label=track", &cpu, &memory));
    }
}
