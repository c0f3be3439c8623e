//! A connection to a target: HTTP/1.1 over TCP or TLS, with the credentials of the moment.
//!
//! In: bodies and headers. Out: answers, each within a bounded time. One connection is kept; files with secrets and
//! certificates are read again for each request or connection, so that what changes on disk is used. Redirects are not
//! followed, nothing is tried twice here, and no answer is believed beyond its first bytes. Next: `target.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::answer::{Answer, Failure, MOST_ANSWER_BYTES};
use crate::auth::tls::provider;
use crate::sample::export_stats::ExportResult;

/// How long it may take to connect, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a request may take from its first byte to the last one of its answer.
const WHOLE: Duration = Duration::from_secs(30);

/// A connection that is older is opened anew, so that a certificate or an address that changed is noticed.
const OLDEST: Duration = Duration::from_secs(600);

/// Longest file with a secret or certificates.
const MOST_FILE_BYTES: u64 = 1 << 20;

/// What this agent calls itself.
const AGENT: &str = concat!("ringside/", env!("CARGO_PKG_VERSION"));

/// Where a target is, and who the agent is to it. Files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// `http://` or `https://`, host, perhaps a port and a path.
    pub url: String,
    /// Bearer token.
    pub token_file: Option<PathBuf>,
    /// `user:password`.
    pub basic_auth_file: Option<PathBuf>,
    /// More headers, `Name: value` per line.
    pub headers_file: Option<PathBuf>,
    /// Authorities that are trusted; the system's when there is none.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key that are shown.
    pub client_files: Option<(PathBuf, PathBuf)>,
}

/// A stream to a target.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The parts of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether TLS is spoken.
    pub is_tls: bool,
    /// Without brackets.
    pub host: String,
    /// Given or the scheme's.
    pub port: u16,
    /// As it was written.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = || format!("{url:?} is not of the form http://HOST:PORT/PATH or https://HOST:PORT/PATH");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err("a user and password in the URL would be logged and shown; put them into a file".to_owned());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { is_tls, host, port, authority: authority.to_string(), path })
    }

    /// Host and port, to name the target by.
    #[must_use]
    pub fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A kept connection.
pub struct Http {
    endpoint: Endpoint,
    address: Address,
    connection: Option<(SendRequest<Full<Bytes>>, Instant)>,
    whole: Duration,
}

impl Http {
    /// No connection yet.
    #[must_use]
    pub const fn new(endpoint: Endpoint, address: Address) -> Self {
        Self { endpoint, address, connection: None, whole: WHOLE }
    }

    /// The same with another patience.
    #[cfg(test)]
    pub fn with_timeout(mut self, whole: Duration) -> Self {
        self.whole = whole;
        self
    }

    /// Posts a body.
    ///
    /// # Errors
    /// [`Failure`] when there is no whole answer in time.
    pub async fn post(&mut self, body: Bytes, headers: &[(HeaderName, &'static str)]) -> Result<Answer, Failure> {
        let whole = self.whole;
        timeout(whole, self.send(body, headers)).await.unwrap_or_else(|_| {
            let told = format!("no answer in {} s", whole.as_secs_f32());
            Err(Failure::silent(ExportResult::Timeout, told))
        })
    }

    async fn send(&mut self, body: Bytes, headers: &[(HeaderName, &'static str)]) -> Result<Answer, Failure> {
        let mut request = Request::post(self.address.path.as_str())
            .header(HOST, self.address.authority.as_str())
            .header(USER_AGENT, AGENT)
            .body(Full::new(body))
            .map_err(|error| unreachable(&error))?;
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
        }
        request.headers_mut().extend(credentials(&self.endpoint)?);
        let kept = self.connection.take().filter(|(kept, opened)| !kept.is_closed() && opened.elapsed() < OLDEST);
        let (mut connection, opened) = match kept {
            Some(kept) => kept,
            None => self.open().await?,
        };
        // An idle connection that the other side has closed is no failure.
        let (mut connection, opened) = match connection.ready().await {
            Ok(()) => (connection, opened),
            Err(_) => self.open().await?,
        };
        let answer = connection.send_request(request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MOST_ANSWER_BYTES).collect().await;
        let body = match body {
            Ok(body) => body.to_bytes().to_vec(),
            // The status stands, whatever its text would have been; a success that breaks off is none.
            Err(_) if !head.status.is_success() => Vec::new(),
            Err(error) => return Err(unreachable(error.as_ref())),
        };
        self.connection = Some((connection, opened));
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    async fn open(&self) -> Result<(SendRequest<Full<Bytes>>, Instant), Failure> {
        let stream = connect(&self.endpoint, &self.address, b"http/1.1").await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        // It ends when the sender is dropped or the other side closes.
        tokio::spawn(connection);
        Ok((sender, Instant::now()))
    }
}

/// Opens a stream to a target, with TLS if its address says so.
///
/// # Errors
/// [`Failure`], in [`CONNECT`] at most.
pub async fn connect(endpoint: &Endpoint, address: &Address, alpn: &[u8]) -> Result<Box<dyn Stream>, Failure> {
    timeout(CONNECT, open(endpoint, address, alpn)).await.unwrap_or_else(|_| {
        let told = format!("{}: no connection in {} s", address.place(), CONNECT.as_secs());
        Err(Failure::silent(ExportResult::Timeout, told))
    })
}

async fn open(endpoint: &Endpoint, address: &Address, alpn: &[u8]) -> Result<Box<dyn Stream>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::silent(ExportResult::Unreachable, format!("{}: {error}", address.place()))
    };
    let tls = if address.is_tls { Some(tls(endpoint, alpn)?) } else { None };
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(address.host.clone()).map_err(|error| failed(&error))?;
    let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| failed(&error))?;
    Ok(Box::new(stream))
}

fn tls(endpoint: &Endpoint, alpn: &[u8]) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    match &endpoint.ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| unusable(path, &error))?;
            }
            if roots.is_empty() {
                return Err(unusable(path, &"there is no certificate in it"));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let told = "this machine has no certificates of authorities to trust; give the target's in a CA file";
                return Err(Failure::silent(ExportResult::Credentials, told.to_owned()));
            }
        }
    }
    let general = |error: rustls::Error| Failure::silent(ExportResult::Credentials, error.to_string());
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(general)?
        .with_root_certificates(roots);
    let mut config = match &endpoint.client_files {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let text = read_file(key)?;
            let private = PrivateKeyDer::from_pem_slice(&text).map_err(|error| unusable(key, &error))?;
            builder.with_client_auth_cert(certificates(chain)?, private).map_err(|error| unusable(chain, &error))?
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let text = read_file(path)?;
    CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| unusable(path, &error))
}

/// The headers that tell who the agent is, as the files are now.
///
/// # Errors
/// [`Failure`] when a file cannot be used.
pub fn credentials(endpoint: &Endpoint) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    if let Some(path) = &endpoint.headers_file {
        for line in read_text(path)?.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let wrong = || unusable(path, &"a line is not of the form `Name: value`");
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
            headers.append(name, secret(value.trim()).ok_or_else(wrong)?);
        }
    }
    let authorization = match (&endpoint.token_file, &endpoint.basic_auth_file) {
        (Some(path), _) => Some((path, format!("Bearer {}", nonempty(path)?))),
        (None, Some(path)) => {
            let text = nonempty(path)?;
            if !text.contains(':') {
                return Err(unusable(path, &"it is not of the form user:password"));
            }
            Some((path, format!("Basic {}", BASE64_STANDARD.encode(text))))
        }
        (None, None) => None,
    };
    if let Some((path, value)) = authorization {
        headers.insert(AUTHORIZATION, secret(&value).ok_or_else(|| unusable(path, &"it has control characters"))?);
    }
    Ok(headers)
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn nonempty(path: &Path) -> Result<String, Failure> {
    match read_text(path)?.trim() {
        "" => Err(unusable(path, &"it is empty")),
        text => Ok(text.to_owned()),
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_file(path)?).map_err(|_| unusable(path, &"it is not UTF-8"))
}

/// These files are small and lie in memory or on the node's own disk.
fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| unusable(path, &error))?;
    file.take(MOST_FILE_BYTES).read_to_end(&mut bytes).map_err(|error| unusable(path, &error))?;
    Ok(bytes)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::silent(ExportResult::Credentials, format!("cannot use {}: {error}", path.display()))
}

/// A failure with all its causes.
pub fn unreachable(error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = inner.source();
    }
    Failure::silent(ExportResult::Unreachable, told)
}
