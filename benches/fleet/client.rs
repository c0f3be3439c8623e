//! The front proxy of an API server: one kept connection over TLS, with the certificate that makes its headers believed.
//!
//! In: the aggregator's address. Out: pushes and questions on behalf of anybody.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// The front proxy's CA and certificate.
pub struct Pki {
    pub ca_pem: String,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pki {
    pub fn new() -> Self {
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca.distinguished_name.push(rcgen::DnType::CommonName, "front-proxy-ca");
        ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::DigitalSignature];
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let mut leaf = rcgen::CertificateParams::new(Vec::new()).unwrap();
        leaf.distinguished_name.push(rcgen::DnType::CommonName, "front-proxy");
        leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = leaf.signed_by(&key, &issuer).unwrap();
        Self { ca_pem: ca_certificate.pem(), certificate: certificate.der().to_vec(), key: key.serialize_der() }
    }
}

pub struct FrontProxy {
    address: SocketAddr,
    config: Arc<rustls::ClientConfig>,
    sender: SendRequest<Full<Bytes>>,
}

impl FrontProxy {
    pub async fn connect(address: SocketAddr, pki: &Pki) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer))
            .with_client_auth_cert(
                vec![CertificateDer::from(pki.certificate.clone())],
                PrivateKeyDer::try_from(pki.key.clone()).unwrap(),
            )
            .unwrap();
        let config = Arc::new(config);
        let sender = Self::dial(address, &config).await;
        Self { address, config, sender }
    }

    async fn dial(address: SocketAddr, config: &Arc<rustls::ClientConfig>) -> SendRequest<Full<Bytes>> {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("ringside-aggregator.ringside.svc").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, stream).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        // A connection that stood still for long is closed by the aggregator.
        if self.sender.ready().await.is_err() {
            self.sender = Self::dial(self.address, &self.config).await;
            self.sender.ready().await.unwrap();
        }
        self.sender.send_request(request).await.unwrap()
    }

    /// One push of a node, with its answer.
    pub async fn push(&mut self, node: &str, body: Vec<u8>) -> (u16, String) {
        let request = Request::post(format!("/apis/ingest.ringside.dev/v1alpha1/nodes/{node}/samples"))
            .header("host", "ringside-aggregator")
            .header("content-type", "application/x-protobuf")
            .header("x-remote-user", "system:serviceaccount:ringside:ringside-agent")
            .header("x-remote-group", "system:serviceaccounts")
            .header("x-remote-extra-authentication.kubernetes.io%2fnode-name", node)
            .body(Full::from(body))
            .unwrap();
        let response = self.send(request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    fn question(path: &str) -> Request<Full<Bytes>> {
        Request::get(path)
            .header("host", "ringside-aggregator")
            .header("x-remote-user", "reader")
            .header("x-remote-group", "system:authenticated")
            .body(Full::default())
            .unwrap()
    }

    /// Reads an answer and throws it away as it comes: status and bytes.
    pub async fn get(&mut self, path: &str) -> (u16, usize) {
        let response = self.send(Self::question(path)).await;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().data_ref().map_or(0, Bytes::len);
        }
        (status, bytes)
    }

    pub async fn get_text(&mut self, path: &str) -> (u16, String) {
        let response = self.send(Self::question(path)).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

/// Takes any certificate: who the aggregator is, is not what is measured.
#[derive(Debug)]
struct AnyServer;

impl rustls::client::danger::ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
