//! The wiring of what the agent does in a cluster: configuration → names from the API server, pushes to the aggregator.
//!
//! In: an [`AgentConfig`] and the way to the API server, where there is one. Out: options for discovery and a push that
//! runs. It decides only what `auto` means: yes, where there is an API server.

use std::sync::Arc;

use kube::Client;
use tokio::runtime::Handle;

use super::AgentError;
use crate::config::{AgentConfig, PodNamesChoice, PushRoute};
use crate::discover::PodNames;
use crate::sample::push_stats::PushStats;
use crate::store::Store;
use crate::uplink::push::{self, DirectOptions, PushOptions, Pushing, Route};

/// What to do where the API server is asked for by name and there is none.
fn no_api_server(flag: &str) -> AgentError {
    AgentError::Cluster(format!(
        "{flag} needs an API server, and this is no pod of a cluster; give --kubeconfig, or leave the flag out"
    ))
}

/// Whose pods are asked for.
///
/// # Errors
/// [`AgentError::Cluster`] when they must be asked for and there is no API server.
pub fn pod_names(
    config: &AgentConfig,
    api_server: Option<&Client>,
    node: &str,
) -> Result<Option<PodNames>, AgentError> {
    let names = |client: &Client| PodNames { client: client.clone(), node: node.to_owned() };
    match (config.pod_names, api_server) {
        (PodNamesChoice::Off, _) | (PodNamesChoice::Auto, None) => Ok(None),
        (_, Some(client)) => Ok(Some(names(client))),
        (PodNamesChoice::ApiServer, None) => Err(no_api_server("--pod-names=api-server")),
    }
}

/// Starts to push, if that is wanted.
///
/// # Errors
/// [`AgentError`], which says what to give or to mend.
pub fn start_push(
    config: &AgentConfig,
    api_server: Option<&Client>,
    node: &str,
    store: Store,
    stats: Arc<PushStats>,
    runtime: &Handle,
) -> Result<Option<Pushing>, AgentError> {
    let route = match (config.push, api_server) {
        (PushRoute::Off, _) | (PushRoute::Auto, None) => return Ok(None),
        (PushRoute::Auto | PushRoute::ApiServer, Some(client)) => Route::ApiServer(client.clone()),
        (PushRoute::ApiServer, None) => return Err(no_api_server("--push=api-server")),
        (PushRoute::Direct, _) => Route::Direct(DirectOptions {
            url: config.push_url.clone(),
            ca_file: config.push_ca_file.clone(),
            token_file: config.push_token_file.clone(),
        }),
    };
    let events = api_server.cloned();
    let options = PushOptions { node: node.to_owned(), interval: config.push_interval, route, events };
    let pushing = push::start(options, store, stats, runtime)?;
    tracing::info!(
        node, interval_s = config.push_interval.as_secs(), route = ?config.push,
        "pushes to the aggregator every {} s", config.push_interval.as_secs(),
    );
    Ok(Some(pushing))
}
