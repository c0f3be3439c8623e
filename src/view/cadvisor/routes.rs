//! Which path of cAdvisor's API is answered by what.
//!
//! In: a [`Request`]. Out: JSON, or [`Refused`]. Answers about several containers are written one container at a time, so
//! that no more than the text of the answer is held.

use serde::Serialize;

use super::fill;
use super::history::Reader;
use super::model::ContainerInfo;
use super::request::{Call, NamedBy, Options, VERSIONS, Window, window};
use super::tree::{Container, Tree};
use super::{Refused, Request, Source, derived, events, machine, v2};
use crate::sample::Runtime;
use crate::view::api::Query;

/// Most containers of one summary: each reads a day of history.
const MOST_SUMMARIES: usize = 64;

/// What each version of the API answers, as it lists them.
fn kinds(version: &str) -> &'static [&'static str] {
    const V2_1: [&str; 11] = [
        "appmetrics",
        "attributes",
        "events",
        "machine",
        "machinestats",
        "ps",
        "spec",
        "stats",
        "storage",
        "summary",
        "version",
    ];
    const V2_0: [&str; 10] =
        ["appmetrics", "attributes", "events", "machine", "ps", "spec", "stats", "storage", "summary", "version"];
    match version {
        "v1.0" => &["containers", "machine"],
        "v1.1" => &["containers", "machine", "subcontainers"],
        "v1.2" => &["containers", "docker", "machine", "subcontainers"],
        "v1.3" => &["containers", "docker", "events", "machine", "subcontainers"],
        "v2.0" => &V2_0,
        _ => &V2_1,
    }
}

/// Answers a request.
pub(super) fn answer(source: &Source<'_>, request: &Request<'_>) -> Result<Vec<u8>, Refused> {
    let Some(call) = Call::parse(request.path)? else {
        return Err(Refused::Bad(format!("Supported API versions: {}", VERSIONS.join(","))));
    };
    let kinds = kinds(call.version);
    if call.kind.is_empty() {
        return Err(Refused::Bad(format!("Supported request types: {:?}", kinds.join(","))));
    }
    // Version 1 has no `version` in cAdvisor, where somebody who asks for it gets an error.
    if !kinds.contains(&call.kind.as_str()) && call.kind != "version" {
        return Err(Refused::NotFound(format!("unknown request type {:?}", call.kind)));
    }
    let query = Query::parse(request.query);
    match call.kind.as_str() {
        "version" => return json(&machine::VERSION),
        "events" => return events::events(source.events, &call.name, &query),
        _ => {}
    }
    let newest = source.store.latest().ok_or(Refused::Early)?;
    let tree = Tree::new(source, &newest);
    if call.version.starts_with("v1.") { first(&tree, &call, request) } else { second(&tree, &call, &query) }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Refused> {
    serde_json::to_vec(value).map_err(|error| Refused::Failed(format!("failed to write the answer: {error}")))
}

/// Version 1.
fn first(tree: &Tree<'_>, call: &Call, request: &Request<'_>) -> Result<Vec<u8>, Refused> {
    if call.kind == "machine" {
        return json(&machine::machine_info(tree));
    }
    let window = window(request.body)?;
    let name = call.name.as_str();
    let failed = |what: &str, refused: Refused| match refused {
        Refused::NotFound(text) => Refused::NotFound(format!("failed to get {what} with error: {text}")),
        other => other,
    };
    match call.kind.as_str() {
        "containers" => {
            let container = tree.by_path(name).map_err(|refused| failed(&format!("container {name:?}"), refused))?;
            json(&info(tree, &Reader::new(tree, window, 1), &container)?)
        }
        "subcontainers" => {
            let what = format!("subcontainers for container {name:?}");
            let containers = tree.below(name).map_err(|refused| failed(&what, refused))?;
            let reader = Reader::new(tree, window, containers.len());
            list(&containers, |container| info(tree, &reader, container))
        }
        _ => {
            let containers = match name.trim_start_matches('/') {
                "" => tree.of_runtime(Runtime::Docker),
                alias if alias.contains('/') => {
                    return Err(Refused::NotFound(format!("unknown request for Docker container {alias:?}")));
                }
                alias => vec![
                    tree.by_alias(Runtime::Docker, alias)
                        .map_err(|refused| failed(&format!("Docker container {alias:?}"), refused))?,
                ],
            };
            let reader = Reader::new(tree, window, containers.len());
            map(&containers, |container| info(tree, &reader, container))
        }
    }
}

fn info(tree: &Tree<'_>, reader: &Reader<'_>, container: &Container<'_>) -> Result<ContainerInfo, Refused> {
    Ok(ContainerInfo {
        reference: fill::reference(container.subject),
        subcontainers: tree.children(&container.subject.name),
        spec: tree.spec(container),
        stats: reader.stats(container)?,
    })
}

/// Version 2.
fn second(tree: &Tree<'_>, call: &Call, query: &Query) -> Result<Vec<u8>, Refused> {
    let options = Options::parse(query)?;
    let name = call.name.as_str();
    let named = || tree.named(options.by, name, options.recursive);
    match call.kind.as_str() {
        "attributes" => json(&machine::attributes(tree)),
        "machine" => json(&machine::machine_info(tree)),
        "machinestats" => {
            let root = tree.by_path("/")?;
            json(&v2::machine(Reader::new(tree, options.window(), 1).stats(&root)?))
        }
        "stats" => stats(tree, call, &named()?, options.window()),
        "spec" => map(&named()?, |container| Ok(spec(tree, container))),
        "summary" => {
            let containers = named()?;
            if containers.len() > MOST_SUMMARIES {
                let text = format!("{} containers are more than {MOST_SUMMARIES}: ask for fewer", containers.len());
                return Err(Refused::TooMuch(text));
            }
            map(&containers, |container| Ok(derived::summary(tree, container)))
        }
        "storage" => storage(tree, query),
        "appmetrics" => {
            named()?;
            // No container's own metrics are collected here.
            json(&serde_json::json!({ name: {} }))
        }
        _ => {
            let path = match (options.by, name) {
                (NamedBy::Path, name) => tree.by_path(name)?,
                (by, name) => tree.named(by, name, false)?.first().copied().ok_or(Refused::Early)?,
            };
            let list = tree.source.processes.list(&path.subject.name);
            let list = list.map_err(|error| Refused::Failed(format!("process listing failed: {error}")))?;
            json(&machine::processes(tree, list))
        }
    }
}

fn spec(tree: &Tree<'_>, container: &Container<'_>) -> v2::SpecV2 {
    v2::SpecV2::new(fill::reference(container.subject), tree.spec(container))
}

fn stats(tree: &Tree<'_>, call: &Call, containers: &[Container<'_>], window: Window) -> Result<Vec<u8>, Refused> {
    let reader = Reader::new(tree, window, containers.len());
    if call.version == "v2.0" {
        return map(containers, |container| Ok(v2::deprecated(&tree.spec(container), reader.stats(container)?)));
    }
    // The root is shown as the machine, by `machinestats`.
    let containers: Vec<_> = containers.iter().filter(|container| !fill::is_root(container.subject)).copied().collect();
    map(&containers, |container| {
        Ok(v2::ContainerInfo { spec: spec(tree, container), stats: v2::stats(reader.stats(container)?) })
    })
}

fn storage(tree: &Tree<'_>, query: &Query) -> Result<Vec<u8>, Refused> {
    let all = machine::storage(tree);
    if query.get("uuid").is_some() {
        return Err(Refused::NotImplemented("filesystems are not known by UUID here: leave out uuid".to_owned()));
    }
    match query.get("label") {
        None => json(&all),
        Some(label) => {
            json(&all.into_iter().filter(|fs| fs.labels.iter().any(|known| known == label)).collect::<Vec<_>>())
        }
    }
}

/// A JSON object with one member for each container, by path.
fn map<T: Serialize>(
    containers: &[Container<'_>],
    mut of: impl FnMut(&Container<'_>) -> Result<T, Refused>,
) -> Result<Vec<u8>, Refused> {
    let mut body = b"{".to_vec();
    for (place, container) in containers.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend(json(&container.subject.name.as_ref())?);
        body.push(b':');
        body.extend(json(&of(container)?)?);
    }
    body.push(b'}');
    Ok(body)
}

/// A JSON list of containers.
fn list<T: Serialize>(
    containers: &[Container<'_>],
    mut of: impl FnMut(&Container<'_>) -> Result<T, Refused>,
) -> Result<Vec<u8>, Refused> {
    let mut body = b"[".to_vec();
    for (place, container) in containers.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend(json(&of(container)?)?);
    }
    body.push(b']');
    Ok(body)
}
