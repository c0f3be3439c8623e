//! Client certificates: whom a certificate authority vouches for.
//!
//! In: authorities as PEM, and the certificates that a client proved to hold the key of. Out: the subject of the first,
//! if the chain leads to one of the authorities now. Names in it are not judged here. Next: `requestheader.rs`,
//! `authenticator.rs`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::{CertificateError, Stamp, each_change, read_file};
use super::{LOOK, Task, tls};

/// How long a verified chain is believed without another look: the time by which an expiry is noticed late.
const VERIFIED: Duration = Duration::from_secs(60);

/// Chains remembered for one connection, one for each authority that was asked.
const REMEMBERED: usize = 4;

/// Authorities of which the last read is worth remembering, told apart.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Whom a certificate names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// `CN`: the user.
    pub common_name: String,
    /// Each `O`: the groups.
    pub organizations: Vec<String>,
}

/// Why no authority can be made, or why one does not vouch for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The text holds no certificate that can be used.
    #[error("no certificate of an authority in it ({0}); give a PEM text with a CERTIFICATE block")]
    NoAuthority(String),
    /// Another authority signed it, it has expired, or it is not for clients.
    #[error("the client certificate is not accepted: {0}")]
    NotAccepted(String),
    /// It cannot be read.
    #[error("the client certificate cannot be read")]
    Unreadable,
}

#[derive(Debug)]
struct Verified {
    authority: u64,
    at: Instant,
    subject: Result<Subject, ChainError>,
}

/// The certificates of one connection's client, its own first. That it holds the key was proven in the handshake.
#[derive(Debug)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    verified: Mutex<Vec<Verified>>,
}

impl ClientCertificate {
    /// What the handshake brought; `None` without a certificate.
    #[must_use]
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let chain: Vec<_> = chain.iter().cloned().map(CertificateDer::into_owned).collect();
        (!chain.is_empty()).then(|| Self { chain, verified: Mutex::default() })
    }

    /// Its subject, without asking who signed it: for logs only.
    #[must_use]
    pub fn claimed(&self) -> Option<Subject> {
        self.chain.first().and_then(subject)
    }
}

/// Certificate authorities that are trusted alike.
#[derive(Debug, Clone)]
pub struct Authority {
    id: u64,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authority {
    /// The authorities in a PEM text. Certificates that cannot be used are passed over as long as one can.
    ///
    /// # Errors
    /// [`ChainError::NoAuthority`] when there is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ChainError> {
        let none = |why: &dyn std::fmt::Display| ChainError::NoAuthority(why.to_string());
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect();
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(none(&format_args!("{ignored} blocks that are no certificate of version 3")));
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
            .build()
            .map_err(|error| none(&error))?;
        Ok(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), verifier })
    }

    /// Whom these authorities vouch for by this certificate, now.
    ///
    /// # Errors
    /// [`ChainError`] when they do not.
    pub fn verify(&self, client: &ClientCertificate) -> Result<Subject, ChainError> {
        let mut verified = client.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        verified.retain(|known| now.duration_since(known.at) < VERIFIED);
        if let Some(known) = verified.iter().find(|known| known.authority == self.id) {
            return known.subject.clone();
        }
        let subject = self.look(client);
        if verified.len() >= REMEMBERED {
            verified.remove(0);
        }
        verified.push(Verified { authority: self.id, at: now, subject: subject.clone() });
        subject
    }

    fn look(&self, client: &ClientCertificate) -> Result<Subject, ChainError> {
        let Some((own, others)) = client.chain.split_first() else { return Err(ChainError::Unreadable) };
        self.verifier
            .verify_client_cert(own, others, UnixTime::now())
            .map_err(|error| ChainError::NotAccepted(error.to_string()))?;
        subject(own).ok_or(ChainError::Unreadable)
    }
}

fn subject(certificate: &CertificateDer<'_>) -> Option<Subject> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject();
    let common_name = name.iter_common_name().next().and_then(|cn| cn.as_str().ok()).unwrap_or_default().to_owned();
    let organizations = name.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    Some(Subject { common_name, organizations })
}

/// Authorities from a file that is read again when it changes. Cloning shares them.
#[derive(Debug, Clone)]
pub struct AuthorityFile {
    current: Arc<ArcSwap<Authority>>,
    _kept: Arc<Task>,
}

impl AuthorityFile {
    /// Reads the file now, and again when it changes; one that became unusable is logged, and the authorities from before
    /// are believed on. It must be called within a runtime.
    ///
    /// # Errors
    /// [`CertificateError`] when it cannot be used now.
    pub fn open(path: PathBuf) -> Result<Self, CertificateError> {
        let paths = vec![path.clone()];
        let before = Stamp::of(&paths);
        let current = Arc::new(ArcSwap::from_pointee(read(&path)?));
        let shown = Arc::clone(&current);
        let changed = move || match read(&path) {
            Ok(authority) => {
                tracing::info!("{}: changed, and believed from now on", path.display());
                shown.store(Arc::new(authority));
            }
            Err(error) => tracing::warn!("{error}; the authorities from before are believed on"),
        };
        let kept = Arc::new(Task::start(each_change(paths, before, LOOK, changed)));
        Ok(Self { current, _kept: kept })
    }

    /// The authorities of the moment.
    #[must_use]
    pub fn current(&self) -> Authority {
        Authority::clone(&self.current.load())
    }
}

fn read(path: &Path) -> Result<Authority, CertificateError> {
    Authority::from_pem(&read_file(path)?)
        .map_err(|error| CertificateError::Unusable { place: path.display().to_string(), why: error.to_string() })
}
