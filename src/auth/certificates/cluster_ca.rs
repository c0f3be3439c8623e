//! The aggregator's own authority: one key pair in a Secret, shared by all replicas.
//!
//! In: a client of the API server. Out: a serving certificate for this replica and a client certificate by which replicas
//! know one another, both renewed in time, and the authority told to the cluster. Replicas that start at once end with
//! one authority: the first to create the Secret wins. Next: `publish.rs`, the servers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::{Mutex, watch};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::issue::{CertificateAuthority, Issued, Leaf, Purpose};
use super::{CertificateError, ServingCert, publish};
use crate::auth::chain::Authority;
use crate::auth::https::Peer;
use crate::auth::tls;

/// Common name in the certificates by which replicas know one another.
pub const PEER_NAME: &str = "ringside-aggregator-peer";

/// Keys in the Secret.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// The authority and those before it that are still valid.
const BUNDLE: &str = "ca.crt";

/// How often the Secret, the leaves' age and what the cluster was told are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// Tries to end with the same Secret as everybody else before giving up until the next look.
const TRIES: usize = 5;

/// Where the authority is kept, and for whom it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterCaOptions {
    /// Namespace of the Service, the Secret and the ConfigMap.
    pub namespace: String,
    /// The Service that clients and the API server reach the replicas by.
    pub service: String,
    /// The Secret with the key pair.
    pub secret: String,
    /// The ConfigMap with the bundle.
    pub config_map: String,
    /// APIServices that lead to the Service.
    pub api_services: Vec<String>,
    /// Further names and addresses of this replica: the peers' Service, its own IP.
    pub names: Vec<String>,
}

impl ClusterCaOptions {
    /// All names that a replica's certificate carries.
    fn all_names(&self) -> Vec<String> {
        let Self { service, namespace, names, .. } = self;
        let mut all = vec![
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        for name in names {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        all
    }
}

/// What the Secret holds.
#[derive(Debug, Clone)]
struct Held {
    authority: CertificateAuthority,
    bundle: String,
    resource_version: Option<String>,
}

/// What is used at the moment.
#[derive(Debug, Clone)]
struct Current {
    /// The certificate of the authority that signed the leaves.
    signed_by: String,
    bundle: String,
    trusted: Authority,
    serving: Issued,
    peer: Issued,
}

/// The authority and what it signed for this replica. Cloning shares it.
#[derive(Debug, Clone)]
pub struct ClusterCa(Arc<Inner>);

struct Inner {
    client: Client,
    options: ClusterCaOptions,
    serving: ServingCert,
    current: ArcSwap<Current>,
    /// Counts renewals.
    renewals: watch::Sender<u64>,
    /// One look at a time; holds the authority last seen, in case the Secret is deleted.
    seen: Mutex<Held>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterCa").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ClusterCa {
    /// Takes the authority from the Secret, or makes the Secret, signs this replica's certificates, and tells the cluster.
    ///
    /// # Errors
    /// [`CertificateError`] when the Secret can neither be read nor made, or holds something else. That the cluster could
    /// not be told is logged, and tried again by [`keep`](Self::keep).
    pub async fn open(client: Client, options: ClusterCaOptions) -> Result<Self, CertificateError> {
        let now = SystemTime::now();
        let held = settle(&client, &options, None, now).await?;
        let current = sign(&options, &held, now)?;
        let place = "own certificate";
        let serving =
            ServingCert::from_pem(place, current.serving.chain_pem.as_bytes(), current.serving.key_pem.as_bytes())?;
        if let Err(error) = publish::publish(&client, &options, &held.bundle).await {
            tracing::warn!("{error}; it is tried again every minute");
        }
        let (current, renewals) = (ArcSwap::from_pointee(current), watch::Sender::new(0));
        Ok(Self(Arc::new(Inner { client, options, serving, current, renewals, seen: Mutex::new(held) })))
    }

    /// The certificate to serve; renewals reach it by themselves.
    #[must_use]
    pub fn serving(&self) -> ServingCert {
        self.0.serving.clone()
    }

    /// The authorities by which the replicas' certificates can be checked, PEM.
    #[must_use]
    pub fn bundle(&self) -> String {
        self.0.current.load().bundle.clone()
    }

    /// True when the other end of a connection is a replica.
    #[must_use]
    pub fn is_peer(&self, peer: &Peer) -> bool {
        let Some(certificate) = peer.certificate.as_deref() else { return false };
        self.0.current.load().trusted.verify(certificate).is_ok_and(|subject| subject.common_name == PEER_NAME)
    }

    /// How this replica connects to another one, now. After [`changed`](Self::changed) another one is to be used.
    ///
    /// # Errors
    /// When rustls does not take what was made here.
    pub fn peer_client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let current = self.0.current.load();
        let identity = (current.peer.chain_pem.as_bytes(), current.peer.key_pem.as_bytes());
        tls::client_config(current.bundle.as_bytes(), Some(identity))
    }

    /// Counts up when the certificates were renewed or the bundle is another.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.renewals.subscribe()
    }

    /// Looks after everything, every minute, until it is dropped.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.refresh(SystemTime::now()).await {
                tracing::warn!("{error}; it is tried again every minute");
            }
        }
    }

    /// One look: reads the Secret, replaces an authority that ends soon, tells the cluster what it does not know, renews
    /// certificates that are past two thirds of their life.
    ///
    /// # Errors
    /// [`CertificateError`]; what was valid before stays in use.
    pub async fn refresh(&self, now: SystemTime) -> Result<(), CertificateError> {
        let Inner { client, options, serving, current, renewals, seen } = &*self.0;
        let mut seen = seen.lock().await;
        let held = settle(client, options, Some(&seen), now).await?;
        *seen = held.clone();
        let told = publish::publish(client, options, &held.bundle).await;
        let before = current.load_full();
        let same_authority = before.signed_by == held.authority.certificate_pem;
        let fresh = same_authority && !before.serving.is_due(now) && before.bundle == held.bundle;
        // Nobody would believe a certificate of an authority that could not be told to the cluster.
        if fresh || (told.is_err() && !same_authority && before.serving.not_after > now) {
            return told;
        }
        let signed = sign(options, &held, now)?;
        serving.replace("own certificate", signed.serving.chain_pem.as_bytes(), signed.serving.key_pem.as_bytes())?;
        current.store(Arc::new(signed));
        renewals.send_modify(|renewals| *renewals += 1);
        tracing::info!("the certificates of this replica are renewed");
        told
    }
}

fn sign(options: &ClusterCaOptions, held: &Held, now: SystemTime) -> Result<Current, CertificateError> {
    let Held { authority, bundle, .. } = held;
    let server = Leaf { common_name: options.service.clone(), names: options.all_names(), purpose: Purpose::Server };
    let client = Leaf { common_name: PEER_NAME.to_owned(), names: Vec::new(), purpose: Purpose::Client };
    let trusted = Authority::from_pem(bundle.as_bytes())
        .map_err(|error| CertificateError::Unusable { place: place(options), why: error.to_string() })?;
    Ok(Current {
        signed_by: authority.certificate_pem.clone(),
        bundle: bundle.clone(),
        trusted,
        serving: authority.issue(&server, now)?,
        peer: authority.issue(&client, now)?,
    })
}

fn place(options: &ClusterCaOptions) -> String {
    format!("Secret {}/{}", options.namespace, options.secret)
}

/// The authority that all replicas agree on; made, or replaced, if need be.
async fn settle(
    client: &Client,
    options: &ClusterCaOptions,
    seen: Option<&Held>,
    now: SystemTime,
) -> Result<Held, CertificateError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &options.namespace);
    let failed = |what: &str, source| CertificateError::Api {
        what: format!("{what} {}", place(options)),
        source: Box::new(source),
    };
    let generate = || CertificateAuthority::generate(&format!("{}-ca", options.service), now);
    let mut lost = None;
    for _ in 0..TRIES {
        let found = secrets.get_opt(&options.secret).await.map_err(|error| failed("read", error))?;
        let (held, written) = match found {
            Some(secret) => {
                let held = parse(options, &secret)?;
                if !held.authority.is_due(now) {
                    return Ok(held);
                }
                let authority = generate()?;
                let bundle = bundle(&authority.certificate_pem, &held.bundle, now);
                let next = Held { authority, bundle, resource_version: held.resource_version };
                let written =
                    secrets.replace(&options.secret, &PostParams::default(), &secret_of(options, &next)).await;
                (next, written)
            }
            None => {
                // A Secret that was deleted comes back as it was: what it signed is in use.
                let held = match seen {
                    Some(seen) => Held { resource_version: None, ..seen.clone() },
                    None => {
                        let authority = generate()?;
                        let bundle = authority.certificate_pem.clone();
                        Held { authority, bundle, resource_version: None }
                    }
                };
                let written = secrets.create(&PostParams::default(), &secret_of(options, &held)).await;
                (held, written)
            }
        };
        match written {
            Ok(made) => return Ok(Held { resource_version: made.metadata.resource_version, ..held }),
            // Another replica was first: theirs is taken.
            Err(Error::Api(status)) if status.is_already_exists() || status.is_conflict() => {
                lost = Some(Error::Api(status));
            }
            Err(error) => return Err(failed("write", error)),
        }
    }
    Err(failed("agree with the other replicas on", lost.unwrap_or(Error::LinesCodecMaxLineLengthExceeded)))
}

fn secret_of(options: &ClusterCaOptions, held: &Held) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let metadata = ObjectMeta {
        name: Some(options.secret.clone()),
        resource_version: held.resource_version.clone(),
        ..ObjectMeta::default()
    };
    let data = BTreeMap::from([
        (CERTIFICATE.to_owned(), bytes(&held.authority.certificate_pem)),
        (KEY.to_owned(), bytes(&held.authority.key_pem)),
        (BUNDLE.to_owned(), bytes(&held.bundle)),
    ]);
    Secret { metadata, data: Some(data), ..Secret::default() }
}

fn parse(options: &ClusterCaOptions, secret: &Secret) -> Result<Held, CertificateError> {
    let place = format!("{} (delete it to have a new one made)", place(options));
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default()
    };
    let certificate = text(CERTIFICATE);
    let authority = CertificateAuthority::from_pem(&place, &certificate, &text(KEY))?;
    let bundle = Some(text(BUNDLE)).filter(|bundle| bundle.contains(certificate.trim())).unwrap_or(certificate);
    Ok(Held { authority, bundle, resource_version: secret.metadata.resource_version.clone() })
}

/// The new authority's certificate, and those of the old bundle that are still valid.
fn bundle(new: &str, old: &str, now: SystemTime) -> String {
    let mut bundle = new.to_owned();
    for block in old.split_inclusive("-----END CERTIFICATE-----") {
        let valid = CertificateDer::from_pem_slice(block.as_bytes()).is_ok_and(|der| {
            X509Certificate::from_der(&der).is_ok_and(|(_, certificate)| {
                let end = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
                SystemTime::UNIX_EPOCH + Duration::from_secs(end) > now
            })
        });
        if valid {
            bundle.push_str(block.trim_start());
            bundle.push('\n');
        }
    }
    bundle
}
