//! The certificates that are served here: given ones, read again when they change, or our own.
//!
//! In: files, a key pair in the cluster, or nothing. Out: a [`ServingCert`], which a TLS server asks at every handshake,
//! so that a renewal needs no restart. It judges no client. Next: `tls.rs`.
//!
//! | step | file |
//! |---|---|
//! | make authorities and leaves | `issue.rs` |
//! | files that change | `files.rs` |
//! | one authority for all replicas, in a Secret | `cluster_ca.rs` |
//! | who is told of the authority: APIServices, a ConfigMap | `publish.rs` |

mod cluster_ca;
mod files;
mod issue;
mod publish;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub use cluster_ca::{ClusterCa, ClusterCaOptions, PEER_NAME};
pub use files::{Stamp, each_change, read_file};
pub use issue::{CertificateAuthority, Issued, LEAF_LIFE, Leaf, Purpose};

use super::Task;
use super::tls;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The texts are not what they should be: certificates and a key of the same pair.
    #[error("{place}: {why}")]
    Unusable {
        /// Where they came from.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// One could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The API server refused, or could not be asked.
    #[error("cannot {what}: {source}")]
    Api {
        /// What was tried.
        what: String,
        /// What the API server, or the way to it, said.
        source: Box<kube::Error>,
    },
}

/// The certificate that a server shows, replaceable while it serves.
#[derive(Debug, Clone)]
pub struct ServingCert {
    current: Arc<ArcSwap<CertifiedKey>>,
    /// Keeps a background reload going for as long as anybody serves this certificate.
    _kept: Option<Arc<Task>>,
}

impl ServingCert {
    /// Serves a chain (leaf first) and its key, both PEM; `place` is named in errors.
    ///
    /// # Errors
    /// [`CertificateError::Unusable`] when they are not a pair.
    pub fn from_pem(place: &str, chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let certified = certified(place, chain, key)?;
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(certified)), _kept: None })
    }

    /// Serves files, and reads them again when they change. A change to something unusable is logged and not served.
    /// It must be called within a runtime.
    ///
    /// # Errors
    /// [`CertificateError`] when they cannot be served now.
    pub fn from_files(chain: PathBuf, key: PathBuf) -> Result<Self, CertificateError> {
        files::reloading(chain, key)
    }

    /// Serves a new certificate that nobody has signed, for the names and addresses given; it lives in memory only.
    ///
    /// # Errors
    /// [`CertificateError::Make`] when a name cannot stand in a certificate.
    pub fn self_signed(names: &[String]) -> Result<Self, CertificateError> {
        let Issued { chain_pem, key_pem, .. } = issue::self_signed(names)?;
        Self::from_pem("self-signed certificate", chain_pem.as_bytes(), key_pem.as_bytes())
    }

    /// Shows another certificate from the next handshake on.
    ///
    /// # Errors
    /// [`CertificateError::Unusable`] when they are not a pair; the old one stays.
    pub fn replace(&self, place: &str, chain: &[u8], key: &[u8]) -> Result<(), CertificateError> {
        self.current.store(Arc::new(certified(place, chain, key)?));
        Ok(())
    }

    /// The leaf that is shown now, in DER.
    #[must_use]
    pub fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.current.load().cert.first().cloned()
    }

    fn kept_by(mut self, task: Task) -> Self {
        self._kept = Some(Arc::new(task));
        self
    }
}

impl ResolvesServerCert for ServingCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certified(place: &str, chain: &[u8], key: &[u8]) -> Result<CertifiedKey, CertificateError> {
    let unusable = |why: String| CertificateError::Unusable { place: place.to_owned(), why };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| unusable(format!("the certificate is damaged: {error}")))?;
    if chain.is_empty() {
        return Err(unusable("there is no certificate; give a PEM text, leaf first".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| unusable(format!("there is no key ({error}); give an unencrypted private key as PEM")))?;
    CertifiedKey::from_der(chain, key, &tls::provider()).map_err(|error| {
        unusable(format!("not a pair that can be served: {error}; give a certificate and its own key"))
    })
}
