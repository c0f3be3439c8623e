//! Tells the cluster which authority signs the aggregator's certificates.
//!
//! In: the bundle of authorities, PEM. Out: the same in `caBundle` of the APIServices and in a ConfigMap for agents that
//! push directly; only what differs is written. An APIService that leads to somebody else's Service is left alone.
//! Never `insecureSkipTLSVerify`. Next: nobody; the API server reads it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, ServiceReference};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Error};

use super::CertificateError;
use super::cluster_ca::ClusterCaOptions;

/// Key of the ConfigMap that holds the bundle.
const KEY: &str = "ca.crt";

/// What the name of the Service for pushes has beyond that of the one for reads.
const INGEST: &str = "-ingest";

/// Writes the bundle wherever it is missing or another.
///
/// # Errors
/// The first that went wrong; the rest was tried all the same.
pub async fn publish(client: &Client, options: &ClusterCaOptions, bundle: &str) -> Result<(), CertificateError> {
    let mut result = config_map(client, options, bundle).await;
    for name in &options.api_services {
        let told = api_service(client, options, name, bundle).await;
        result = result.and(told);
    }
    result
}

fn api_error(what: String) -> impl Fn(Error) -> CertificateError {
    move |source| CertificateError::Api { what: what.clone(), source: Box::new(source) }
}

/// True for our Service, and for the one that also leads to replicas that are not ready yet: pushes come by that.
fn leads_to_us(service: &ServiceReference, options: &ClusterCaOptions) -> bool {
    let name = service.name.as_deref().unwrap_or_default();
    let is_named = name == options.service || name.strip_suffix(INGEST) == Some(&options.service);
    is_named && service.namespace.as_deref() == Some(&options.namespace)
}

async fn api_service(
    client: &Client,
    options: &ClusterCaOptions,
    name: &str,
    bundle: &str,
) -> Result<(), CertificateError> {
    let services: Api<APIService> = Api::all(client.clone());
    let failed = api_error(format!("write caBundle of APIService {name}"));
    // Not installed: this part of the API is not wanted here.
    let Some(found) = services.get_opt(name).await.map_err(&failed)? else { return Ok(()) };
    let Some(spec) = found.spec else { return Ok(()) };
    if !spec.service.as_ref().is_some_and(|service| leads_to_us(service, options)) {
        return Ok(());
    }
    let bytes = ByteString(bundle.as_bytes().to_vec());
    let insecure = spec.insecure_skip_tls_verify == Some(true);
    if spec.ca_bundle.as_ref() == Some(&bytes) && !insecure {
        return Ok(());
    }
    let mut patch = serde_json::json!({ "spec": { "caBundle": bytes } });
    if insecure && let Some(spec) = patch.get_mut("spec").and_then(serde_json::Value::as_object_mut) {
        // Null takes the field away: the API server refuses a bundle beside it.
        spec.insert("insecureSkipTLSVerify".to_owned(), serde_json::Value::Null);
    }
    services.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(&failed)?;
    tracing::info!(api_service = name, "the API server is told which authority signs our certificates");
    Ok(())
}

async fn config_map(client: &Client, options: &ClusterCaOptions, bundle: &str) -> Result<(), CertificateError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &options.namespace);
    let name = options.config_map.as_str();
    let failed = api_error(format!("write ConfigMap {}/{name}", options.namespace));
    let data = BTreeMap::from([(KEY.to_owned(), bundle.to_owned())]);
    match maps.get_opt(name).await.map_err(&failed)? {
        Some(found) if found.data.as_ref().and_then(|data| data.get(KEY)).is_some_and(|held| held == bundle) => Ok(()),
        Some(_) => {
            let patch = Patch::Merge(serde_json::json!({ "data": data }));
            maps.patch(name, &PatchParams::default(), &patch).await.map(drop).map_err(failed)
        }
        None => {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let made = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
            match maps.create(&PostParams::default(), &made).await {
                Ok(_) => Ok(()),
                // Another replica was first, with the same bundle: the next look settles it.
                Err(Error::Api(status)) if status.is_already_exists() => Ok(()),
                Err(error) => Err(failed(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_for_reads_and_for_pushes_are_ours_and_no_others() {
        let options = ClusterCaOptions {
            namespace: "ringside".into(),
            service: "ringside-aggregator".into(),
            secret: String::new(),
            config_map: String::new(),
            api_services: Vec::new(),
            names: Vec::new(),
        };
        let ours = |name: &str, namespace: &str| {
            let service = ServiceReference { name: Some(name.into()), namespace: Some(namespace.into()), port: None };
            leads_to_us(&service, &options)
        };
        assert!(ours("ringside-aggregator", "ringside"));
        assert!(ours("ringside-aggregator-ingest", "ringside"));
        assert!(!ours("ringside-aggregator-ingest", "elsewhere"));
        assert!(!ours("ringside-aggregator-peers", "ringside"));
        assert!(!ours("metrics-server", "ringside"));
        assert!(!leads_to_us(&ServiceReference::default(), &options));
    }
}
