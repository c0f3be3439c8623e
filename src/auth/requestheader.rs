//! What the API server says of the clients whose requests it passes on: front-proxy authentication.
//!
//! In: the ConfigMap `kube-system/extension-apiserver-authentication`, a client certificate, headers. Out: the user whom
//! the API server has authenticated. `X-Remote-*` are believed only beside a certificate of the front proxy's own
//! authority with an allowed name; anybody can write headers. Next: `authenticator.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::HeaderMap;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use percent_encoding::percent_decode_str;

use super::chain::{Authority, ClientCertificate};
use super::{Identity, Task};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// How often the ConfigMap is read: authorities change with years between, and overlap.
const EVERY: Duration = Duration::from_secs(60);

/// How soon a read that failed is tried again while nothing has ever been read.
const SOON: Duration = Duration::from_secs(5);

/// An API server that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the ConfigMap says nothing usable.
#[derive(Debug, thiserror::Error)]
#[error("ConfigMap kube-system/extension-apiserver-authentication: {key}: {why}")]
pub struct TrustError {
    key: &'static str,
    why: String,
}

/// What a ConfigMap says: whom the API server itself believes.
#[derive(Debug)]
pub struct Trust {
    proxy: Option<FrontProxy>,
    clients: Option<Authority>,
}

#[derive(Debug)]
struct FrontProxy {
    authority: Authority,
    /// Empty: every name.
    allowed_names: Vec<String>,
    user: Vec<String>,
    uid: Vec<String>,
    groups: Vec<String>,
    extra_prefixes: Vec<String>,
}

impl Trust {
    /// Reads the data of the ConfigMap.
    ///
    /// # Errors
    /// [`TrustError`] when an authority or a list cannot be read; a missing one is simply not trusted.
    pub fn from_data(data: &BTreeMap<String, String>) -> Result<Self, TrustError> {
        let authority = |key: &'static str| {
            let Some(pem) = data.get(key).filter(|pem| !pem.trim().is_empty()) else { return Ok(None) };
            Authority::from_pem(pem.as_bytes()).map(Some).map_err(|error| TrustError { key, why: error.to_string() })
        };
        let list = |key: &'static str, default: &str| {
            let Some(text) = data.get(key).filter(|text| !text.trim().is_empty()) else {
                return Ok(if default.is_empty() { Vec::new() } else { vec![default.to_owned()] });
            };
            serde_json::from_str::<Vec<String>>(text).map_err(|error| TrustError { key, why: error.to_string() })
        };
        let proxy = match authority("requestheader-client-ca-file")? {
            None => None,
            Some(authority) => Some(FrontProxy {
                authority,
                allowed_names: list("requestheader-allowed-names", "")?,
                user: list("requestheader-username-headers", "X-Remote-User")?,
                uid: list("requestheader-uid-headers", "X-Remote-Uid")?,
                groups: list("requestheader-group-headers", "X-Remote-Group")?,
                extra_prefixes: list("requestheader-extra-headers-prefix", "X-Remote-Extra-")?
                    .into_iter()
                    .map(|prefix| prefix.to_ascii_lowercase())
                    .filter(|prefix| !prefix.is_empty())
                    .collect(),
            }),
        };
        Ok(Self { proxy, clients: authority("client-ca-file")? })
    }

    /// Whom the front proxy says that the request is from; `None` when it is not from the front proxy.
    #[must_use]
    pub fn passed_on(&self, certificate: &ClientCertificate, headers: &HeaderMap) -> Option<Identity> {
        let proxy = self.proxy.as_ref()?;
        let subject = proxy.authority.verify(certificate).ok()?;
        let allowed = proxy.allowed_names.is_empty() || proxy.allowed_names.contains(&subject.common_name);
        if !allowed {
            return None;
        }
        proxy.identity(headers)
    }

    /// The authority that signs the cluster's own clients.
    #[must_use]
    pub fn clients(&self) -> Option<&Authority> {
        self.clients.as_ref()
    }
}

impl FrontProxy {
    fn identity(&self, headers: &HeaderMap) -> Option<Identity> {
        let first = |names: &[String]| names.iter().find_map(|name| values(headers, name).next());
        let user = first(&self.user)?;
        let groups = self.groups.iter().flat_map(|name| values(headers, name)).collect();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            let rest = self.extra_prefixes.iter().find_map(|prefix| name.as_str().strip_prefix(prefix.as_str()));
            let Some(key) = rest.filter(|key| !key.is_empty()) else { continue };
            let Ok(value) = std::str::from_utf8(value.as_bytes()) else { continue };
            let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
            extra.entry(key).or_default().push(value.to_owned());
        }
        Some(Identity { user, uid: first(&self.uid), groups, extra })
    }
}

/// The values of a header that say something. What is not UTF-8 is nobody's name.
fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).filter(|v| !v.is_empty()).map(str::to_owned)
}

/// The ConfigMap, read again every minute. Cloning shares it.
#[derive(Debug, Clone)]
pub struct ApiServerTrust {
    current: Arc<ArcSwapOption<Trust>>,
    _kept: Arc<Task>,
}

impl ApiServerTrust {
    /// Reads the ConfigMap, and again every minute; when that fails, what was read before holds. It must be called within
    /// a runtime.
    pub async fn follow(client: Client) -> Self {
        let current = Arc::new(ArcSwapOption::empty());
        read(&client, &current).await;
        let shown = Arc::clone(&current);
        let keep = async move {
            loop {
                let never_read = shown.load().is_none();
                tokio::time::sleep(if never_read { SOON } else { EVERY }).await;
                read(&client, &shown).await;
            }
        };
        Self { current, _kept: Arc::new(Task::start(keep)) }
    }

    /// What it says; `None` while it could not be read.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Trust>> {
        self.current.load_full()
    }
}

async fn read(client: &Client, shown: &ArcSwapOption<Trust>) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let failed = |why: &dyn std::fmt::Display| {
        tracing::warn!(
            "cannot read ConfigMap {NAMESPACE}/{NAME}: {why}; the API server's requests are refused until it was read \
             once: bind Role extension-apiserver-authentication-reader"
        );
    };
    match tokio::time::timeout(PATIENCE, maps.get(NAME)).await {
        Err(_) => failed(&"no answer in time"),
        Ok(Err(error)) => failed(&error),
        Ok(Ok(map)) => match Trust::from_data(&map.data.unwrap_or_default()) {
            Ok(trust) => shown.store(Some(Arc::new(trust))),
            Err(error) => tracing::warn!("{error}; what was read before holds"),
        },
    }
}
