//! Makes key pairs and certificates: authorities, and leaves that they sign.
//!
//! In: names and a moment. Out: PEM texts. Keys are ECDSA P-256; nothing is written anywhere. Next: `cluster_ca.rs`.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a leaf is valid.
pub const LEAF_LIFE: Duration = DAY.saturating_mul(30);

/// How long an authority is valid.
pub const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3650);

/// Certificates are valid from so long before they are made: other machines' clocks may be behind.
const CLOCKS_APART: Duration = Duration::from_secs(60 * 60);

/// What a leaf may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve.
    Server,
    /// To ask.
    Client,
}

/// Whom a leaf names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Common name.
    pub common_name: String,
    /// DNS names and IP addresses.
    pub names: Vec<String>,
    /// What for.
    pub purpose: Purpose,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub chain_pem: String,
    /// Its private key.
    pub key_pem: String,
    /// When it was made.
    pub made: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
}

impl fmt::Debug for Issued {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Issued {
    /// True from two thirds of its life on.
    #[must_use]
    pub fn is_due(&self, now: SystemTime) -> bool {
        let life = self.not_after.duration_since(self.made).unwrap_or_default();
        now >= self.made + life * 2 / 3
    }
}

/// An authority's certificate and key.
#[derive(Clone)]
pub struct CertificateAuthority {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
    /// From when on it is valid.
    pub not_before: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
}

impl fmt::Debug for CertificateAuthority {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// A new one.
    ///
    /// # Errors
    /// [`CertificateError::Make`], which a plain name does not cause.
    pub fn generate(common_name: &str, now: SystemTime) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let (not_before, not_after) = (now - CLOCKS_APART, now + AUTHORITY_LIFE);
        let mut params = params(common_name, &[], not_before, not_after)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { certificate_pem, key_pem: key.serialize_pem(), not_before, not_after })
    }

    /// One that was made before; `place` is named in errors.
    ///
    /// # Errors
    /// [`CertificateError::Unusable`] when the texts are not a pair.
    pub fn from_pem(place: &str, certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let unusable = |why: &str| CertificateError::Unusable { place: place.to_owned(), why: why.to_owned() };
        let key = KeyPair::from_pem(key_pem).map_err(|_| unusable("there is no private key"))?;
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| unusable("there is no certificate"))?;
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|_| unusable("the certificate cannot be read"))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(unusable("the certificate and the key are not a pair"));
        }
        if !certificate.is_ca() {
            return Err(unusable("the certificate is not one of an authority"));
        }
        let validity = certificate.validity();
        Ok(Self {
            certificate_pem: certificate_pem.to_owned(),
            key_pem: key_pem.to_owned(),
            not_before: at(validity.not_before.timestamp()),
            not_after: at(validity.not_after.timestamp()),
        })
    }

    /// Signs a new leaf with a new key.
    ///
    /// # Errors
    /// [`CertificateError::Make`] when a name cannot stand in a certificate.
    pub fn issue(&self, leaf: &Leaf, now: SystemTime) -> Result<Issued, CertificateError> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, KeyPair::from_pem(&self.key_pem)?)?;
        let key = KeyPair::generate()?;
        let not_after = (now + LEAF_LIFE).min(self.not_after);
        let mut params = params(&leaf.common_name, &leaf.names, now - CLOCKS_APART, not_after)?;
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match leaf.purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let chain_pem = params.signed_by(&key, &issuer)?.pem();
        Ok(Issued { chain_pem, key_pem: key.serialize_pem(), made: now, not_after })
    }

    /// True when little of its life is left: twice a leaf's life more than a fifth, so that the next one is known
    /// everywhere long before this one ends.
    #[must_use]
    pub fn is_due(&self, now: SystemTime) -> bool {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        now >= self.not_before + life * 4 / 5
    }
}

/// A certificate that its own key has signed.
pub fn self_signed(names: &[String]) -> Result<Issued, CertificateError> {
    let now = SystemTime::now();
    let key = KeyPair::generate()?;
    // Nobody can check it against anything; a renewal would only break who has pinned it.
    let not_after = now + AUTHORITY_LIFE;
    let common_name = names.first().map_or("ringside", String::as_str);
    let mut params = params(common_name, names, now - CLOCKS_APART, not_after)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let chain_pem = params.self_signed(&key)?.pem();
    Ok(Issued { chain_pem, key_pem: key.serialize_pem(), made: now, not_after })
}

fn params(
    common_name: &str,
    names: &[String],
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    params.distinguished_name = subject;
    params.not_before = OffsetDateTime::from(not_before);
    params.not_after = OffsetDateTime::from(not_after);
    Ok(params)
}

fn at(unix_seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0))
}
