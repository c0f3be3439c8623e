//! TLS as both sides speak it here: one provider of cryptography, TLS 1.2 and 1.3, HTTP/1.1.
//!
//! In: a certificate to serve, or authorities to trust. Out: configurations for rustls. Whether a client's certificate
//! means anything is not decided in the handshake: a stranger's certificate is no identity, and no error for others.
//! Next: `https.rs`, and clients such as the push.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::certificates::ServingCert;

/// The cryptography that is used everywhere: never a process-wide default that another library may set.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server's side, with the certificate of the moment. Clients are asked for a certificate and need not have one.
///
/// # Errors
/// When the provider does not speak TLS 1.2 and 1.3.
pub fn server_config(certificate: ServingCert) -> Result<ServerConfig, Error> {
    let provider = provider();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(AnyCertificate(provider)))
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A client's side: it trusts the authorities of `roots` (PEM) only, and shows `identity` (certificates and key, PEM).
///
/// # Errors
/// When the texts do not hold what they should.
pub fn client_config(roots: &[u8], identity: Option<(&[u8], &[u8])>) -> Result<ClientConfig, Error> {
    let general = |what: &str| Error::General(what.to_owned());
    let mut store = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(roots).filter_map(Result::ok);
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(general("no certificate of an authority to trust; give a PEM text with a CERTIFICATE block"));
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).filter_map(Result::ok).collect();
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| general("no private key in the PEM text"))?;
            builder.with_client_auth_cert(chain, key)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Lets every certificate pass whose key the client proves to hold. No authority is named to the client: which ones are
/// trusted changes while connections are open.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
