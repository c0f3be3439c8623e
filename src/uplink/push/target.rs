//! Where pushes go: through the API server, or straight to the aggregator.
//!
//! In: a body. Out: an [`Outcome`], in ten seconds at most. Connections are kept; a token or a certificate that changes on
//! disk is used from then on. Nothing is tried twice here. Next: [`super::answer`], [`super::task`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::answer::{Failure, MOST_ANSWER_BYTES, Outcome, interpret};
use crate::sample::push_stats::PushResult;

/// How long a push may take, connecting included.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What a body is.
const PROTOBUF: &str = "application/x-protobuf";

/// Why there is nowhere to push to. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// A name that cannot stand in a path.
    #[error("{0:?} is no node's name; set NODE_NAME to the node's metadata.name, as the manifest does")]
    NodeName(String),
    /// The direct route's address is none.
    #[error("--push-url {0:?} is not of the form https://HOST:PORT")]
    Url(String),
}

/// Takes bodies.
pub trait Target: Send {
    /// Sends one.
    fn post(&mut self, body: Bytes) -> impl Future<Output = Outcome> + Send;
}

/// Where a node's samples are posted to, below either address.
fn path(node: &str) -> Result<String, PushError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    if node.is_empty() || node.len() > 253 || !node.bytes().all(plain) {
        return Err(PushError::NodeName(node.to_owned()));
    }
    Ok(format!("/apis/ingest.ringside.dev/v1alpha1/nodes/{node}/samples"))
}

/// Pushes through the API server, which knows the agent by its service account and passes the body on.
pub struct ApiServer {
    client: kube::Client,
    path: String,
    timeout: Duration,
}

impl ApiServer {
    /// The route for a node. The client must not try again by itself: when to do so is for the pace alone to say.
    ///
    /// # Errors
    /// [`PushError::NodeName`].
    pub fn new(client: kube::Client, node: &str) -> Result<Self, PushError> {
        Ok(Self { client, path: path(node)?, timeout: TIMEOUT })
    }

    /// The same with another patience.
    #[cfg(test)]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn send(&self, body: Bytes) -> Result<Outcome, Failure> {
        let request = Request::post(&self.path).header(CONTENT_TYPE, PROTOBUF).body(kube::client::Body::from(body));
        let request = request.map_err(|error| unreachable(&error, true))?;
        let answer = self.client.send(request).await.map_err(|error| {
            let surely_not_taken = !was_under_way(&error);
            unreachable(&error, surely_not_taken)
        })?;
        read(answer).await
    }
}

impl Target for ApiServer {
    async fn post(&mut self, body: Bytes) -> Outcome {
        within(self.timeout, self.send(body)).await
    }
}

/// Whether a request had, or may have, left when it failed.
fn was_under_way(error: &kube::Error) -> bool {
    match error {
        kube::Error::HyperError(_) => true,
        kube::Error::Service(error) => {
            let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
            while let Some(inner) = cause {
                if let Some(client) = inner.downcast_ref::<hyper_util::client::legacy::Error>() {
                    return !client.is_connect();
                }
                cause = inner.source();
            }
            true
        }
        // No credentials, no request.
        _ => false,
    }
}

/// The direct route: HTTPS to the aggregator's Service, with a token made for it.
#[derive(Debug, Clone)]
pub struct DirectOptions {
    /// `https://HOST:PORT`.
    pub url: String,
    /// The projected token with the aggregator's audience.
    pub token_file: PathBuf,
    /// The certificate authority of the aggregator.
    pub ca_file: PathBuf,
}

/// Pushes straight to the aggregator.
pub struct Direct {
    options: DirectOptions,
    path: String,
    host: String,
    port: u16,
    connection: Option<SendRequest<Full<Bytes>>>,
    timeout: Duration,
}

impl Direct {
    /// The route for a node.
    ///
    /// # Errors
    /// [`PushError::Url`], [`PushError::NodeName`].
    pub fn new(options: DirectOptions, node: &str) -> Result<Self, PushError> {
        let wrong = || PushError::Url(options.url.clone());
        let uri: Uri = options.url.parse().map_err(|_| wrong())?;
        let is_bare = uri.scheme_str() == Some("https") && uri.path() == "/" && uri.query().is_none();
        let host = uri.host().filter(|host| !host.is_empty() && is_bare).ok_or_else(wrong)?.to_owned();
        let port = uri.port_u16().unwrap_or(443);
        Ok(Self { path: path(node)?, host, port, connection: None, timeout: TIMEOUT, options })
    }

    /// The same with another patience.
    #[cfg(test)]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn send(&mut self, body: Bytes) -> Result<Outcome, Failure> {
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let (mut connection, is_new) = match kept {
            Some(kept) => (kept, false),
            None => (self.open().await?, true),
        };
        if connection.ready().await.is_err() {
            if is_new {
                return Err(Failure::silent(PushResult::Unreachable, "the connection was closed at once".into(), true));
            }
            // An idle connection that the other side has closed is no failure.
            connection = self.open().await?;
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(CONTENT_TYPE, PROTOBUF)
            .header(AUTHORIZATION, self.token()?)
            .body(Full::new(body))
            .map_err(|error| unreachable(&error, true))?;
        let answer =
            connection.send_request(request).await.map_err(|error| unreachable(&error, error.is_canceled()))?;
        let outcome = read(answer).await?;
        self.connection = Some(connection);
        Ok(outcome)
    }

    /// The token as it is now: the kubelet writes a new one before the old one ends.
    fn token(&self) -> Result<String, Failure> {
        let file = &self.options.token_file;
        let unreadable = |error: String| {
            let told = format!("cannot read the token {}: {error}; see --push-token-file", file.display());
            Failure::silent(PushResult::Unauthorized, told, true)
        };
        let token = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
        match token.trim() {
            "" => Err(unreadable("it is empty".into())),
            token => Ok(format!("Bearer {token}")),
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            let told = format!("{}:{}: {error}", self.host, self.port);
            Failure::silent(PushResult::Unreachable, told, true)
        };
        let tls = tls(&self.options.ca_file).map_err(|error| failed(&error))?;
        let name =
            ServerName::try_from(self.host.trim_matches(['[', ']']).to_owned()).map_err(|error| failed(&error))?;
        let stream = TcpStream::connect((self.host.trim_matches(['[', ']']), self.port)).await;
        let stream = stream.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| failed(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // It ends when the sender is dropped or the other side closes.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Trusts the certificates of a file, and no others.
fn tls(ca_file: &Path) -> Result<Arc<ClientConfig>, String> {
    let unusable = |error: &dyn std::fmt::Display| {
        format!("cannot use the certificates of {}: {error}; see --push-ca-file", ca_file.display())
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|error| unusable(&error))? {
        roots.add(certificate.map_err(|error| unusable(&error))?).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"there are none in it"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(Arc::new(builder.map_err(|error| unusable(&error))?.with_root_certificates(roots).with_no_client_auth()))
}

impl Target for Direct {
    async fn post(&mut self, body: Bytes) -> Outcome {
        within(self.timeout, self.send(body)).await
    }
}

async fn within(timeout: Duration, sending: impl Future<Output = Result<Outcome, Failure>>) -> Outcome {
    match tokio::time::timeout(timeout, sending).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(failure)) => Outcome::Failed(failure),
        Err(_) => {
            let told = format!("no answer in {} s", timeout.as_secs_f32());
            Outcome::Failed(Failure::silent(PushResult::Timeout, told, false))
        }
    }
}

fn unreachable(error: &(dyn std::error::Error + 'static), surely_not_taken: bool) -> Failure {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = inner.source();
    }
    Failure::silent(PushResult::Unreachable, told, surely_not_taken)
}

/// Reads an answer. A success whose body breaks off is none: nobody knows what was meant.
async fn read<B>(answer: Response<B>) -> Result<Outcome, Failure>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MOST_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| unreachable(error.as_ref(), false))?.to_bytes();
    Ok(interpret(head.status, &head.headers, &body))
}
