//! The way to the API server.
//!
//! In: a kubeconfig file, or the service account that a pod is given. Out: a client, or that there is no API server here.
//! It asks nothing yet. Next: everything that does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How long an API server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no client although there should be one.
#[derive(Debug, thiserror::Error)]
pub enum ApiServerError {
    /// The file given by `--kubeconfig` is not usable.
    #[error("{} (--kubeconfig): {why}; give a kubeconfig file with a current context", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The pod has a service account, and still the API server is not known.
    #[error("cannot use this pod's service account: {0}; give --kubeconfig, or mend the pod's service account")]
    InCluster(String),
}

/// A client by the given file; without one, by the service account of the pod that this runs in; `None` outside of a
/// cluster. It must be called within a runtime.
///
/// # Errors
/// [`ApiServerError`], which says what to mend.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Option<Client>, ApiServerError> {
    let Some(path) = kubeconfig else {
        if !Path::new(SERVICE_ACCOUNT).exists() {
            return Ok(None);
        }
        let wrong = |why: &dyn std::fmt::Display| ApiServerError::InCluster(why.to_string());
        let config = Config::incluster().map_err(|error| wrong(&error))?;
        return Client::try_from(patient(config)).map(Some).map_err(|error| wrong(&error));
    };
    let wrong =
        |why: &dyn std::fmt::Display| ApiServerError::Kubeconfig { path: path.to_owned(), why: why.to_string() };
    let file = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| wrong(&error))?;
    Client::try_from(patient(config)).map(Some).map_err(|error| wrong(&error))
}

/// When to try again is for each asker alone to say.
fn patient(mut config: Config) -> Config {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config
}
