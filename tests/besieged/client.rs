//! A client over TLS for attacks and for their bystanders: one connection, kept, from any address of loopback.
//!
//! In: a TLS configuration, requests whole or as raw bytes. Out: answers as they came, or how the connection ended.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A failure in Kubernetes' words; its message.
    #[track_caller]
    pub fn refusal(&self, code: u16, reason: &str) -> String {
        assert_eq!(self.status, code, "{self:?}");
        let json = self.json();
        assert_eq!((json["kind"].as_str(), json["apiVersion"].as_str()), (Some("Status"), Some("v1")), "{self:?}");
        assert_eq!((json["status"].as_str(), json["code"].as_u64()), (Some("Failure"), Some(code.into())), "{self:?}");
        assert_eq!(json["reason"].as_str(), Some(reason), "{self:?}");
        let message = json["message"].as_str().unwrap().to_owned();
        assert!(!message.is_empty(), "{self:?}");
        message
    }
}

pub async fn open(
    address: SocketAddr,
    config: Arc<rustls::ClientConfig>,
    from: Option<IpAddr>,
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    if let Some(from) = from {
        socket.bind((from, 0).into())?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config).connect("localhost".try_into().unwrap(), stream).await
}

/// Sends raw bytes, ends the sending direction if told to, and reads until the other end closes.
pub async fn raw(
    address: SocketAddr,
    config: Arc<rustls::ClientConfig>,
    bytes: &[u8],
    and_ends: bool,
) -> io::Result<Option<Answer>> {
    let stream = open(address, config, None).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    // Whoever is refused early is not read to the end: what was answered until then counts.
    let send = async {
        let _refused = write.write_all(bytes).await;
        let _refused = if and_ends { write.shutdown().await } else { write.flush().await };
        std::future::pending::<()>().await;
    };
    let mut all = Vec::new();
    let receive = async {
        let mut buffer = [0; 4096];
        while let Ok(many) = read.read(&mut buffer).await {
            all.extend_from_slice(&buffer[..many]);
            if many == 0 || answer_of(&all).is_some() {
                break;
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => {}
        () = tokio::time::sleep(PATIENCE) => return Err(io::ErrorKind::TimedOut.into()),
    }
    Ok(answer_of(&all))
}

/// A whole answer with a length.
fn answer_of(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let header =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
    let length: usize = header("content-length:")?.parse().ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    (body.len() >= length).then(|| Answer { status, retry_after: header("retry-after:"), text: body.to_owned() })
}

pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub async fn connect(address: SocketAddr, config: Arc<rustls::ClientConfig>, from: Option<IpAddr>) -> Self {
        let stream = open(address, config, from).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> hyper::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("host", "ringside-aggregator");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::from(body)).unwrap()).await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, retry_after, text: String::from_utf8_lossy(&bytes).into_owned() })
    }
}
