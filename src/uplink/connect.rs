//! Finds the API server: by a kubeconfig, or as a pod of the cluster.
//!
//! In: the path of a kubeconfig, or the service account's files and the variables that the kubelet sets. Out: a client.
//! Outside of a cluster there is none, which is no error. It asks nothing yet. Next: `push`, `receive`.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};

/// Why there is no client although one was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file cannot be read or does not say how to reach a cluster. Mend it, or give another one.
    #[error("kubeconfig {path}: {reason}; try it with `kubectl --kubeconfig {path} version`")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It runs in a pod, but without a service account's token.
    #[error(
        "this pod has no usable service account ({0}); let the pod mount its service account's token, or give --kubeconfig"
    )]
    InCluster(String),
    /// The client cannot be made of what was found.
    #[error(
        "the API server's address or certificates cannot be used: {0}; look at the kubeconfig or the service account"
    )]
    Client(String),
    /// It was asked for by name, and nothing says where it is.
    #[error("there is no API server to be found: this is no pod of a cluster; give --kubeconfig FILE")]
    Nowhere,
}

/// A client for the API server; `None` outside of a cluster. It must be called inside a tokio runtime.
///
/// # Errors
/// [`ConnectError`] when there should be a cluster and its settings are of no use.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Option<kube::Client>, ConnectError> {
    let config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty()) => {
            kube::Config::incluster().map_err(|error| ConnectError::InCluster(error.to_string()))?
        }
        None => return Ok(None),
    };
    kube::Client::try_from(config).map(Some).map_err(|error| ConnectError::Client(error.to_string()))
}

async fn from_file(path: &Path) -> Result<kube::Config, ConnectError> {
    let wrong = |reason: String| ConnectError::Kubeconfig { path: path.to_owned(), reason };
    let read = Kubeconfig::read_from(path).map_err(|error| wrong(error.to_string()))?;
    let options = KubeConfigOptions::default();
    kube::Config::from_custom_kubeconfig(read, &options).await.map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_is_missing_or_says_nothing_is_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for text in [None, Some("garbage: ["), Some("apiVersion: v1\nkind: Config\n")] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let said = connect(Some(&path)).await.err().unwrap().to_string();
            assert!(said.contains(path.to_str().unwrap()) && said.contains("kubectl"), "{said}");
        }
    }

    #[tokio::test]
    async fn a_kubeconfig_with_a_token_makes_a_client() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(
            &path,
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n\
             clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: t}}]\n",
        )
        .unwrap();
        assert!(connect(Some(&path)).await.unwrap().is_some());
    }
}
