//! The HTTPS server: HTTP/1.1 over TLS, every limit by hand.
//!
//! In: connections. Out: requests for a [`Handler`], each with the [`Peer`] it came from. It knows no path and lets
//! nobody in by itself: `authenticate` and `authorize` are the handler's first two lines. Next: the agent's secure port,
//! the aggregator.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::{Request, Response};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::ServingCert;
use super::chain::ClientCertificate;
use super::listen::{self, Bounds, Busy, Streaming};
use super::tls;

/// First byte of every TLS connection: a record of the handshake.
const HANDSHAKE_RECORD: u8 = 22;

/// A body must come at least so fast, on average after the first [`SLOW_START`].
const LEAST_BYTES_PER_SECOND: u32 = 4096;
const SLOW_START: Duration = Duration::from_secs(2);

/// A body of up to so many times the most that is taken is read to its end and thrown away, for so long.
const DISCARDED: u64 = 4;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// A budget of bodies is handed out in steps of so many bytes.
const BUDGET_STEP: usize = 4096;

/// What a response carries.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Where a request came from.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address of the other end.
    pub address: SocketAddr,
    /// What it showed in the handshake. Nobody has asked yet who signed it.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
}

/// Listens on `address`, for [`serve`].
///
/// # Errors
/// When the address is in use, or not of this machine.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until `shutdown`, then lets open requests finish for a few seconds.
///
/// # Errors
/// When the runtime cannot use the socket, or TLS cannot be set up.
pub async fn serve(
    listener: std::net::TcpListener,
    certificate: ServingCert,
    bounds: Bounds,
    handler: Arc<dyn Handler>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let answer = move |request, peer, _| Arc::clone(&handler).handle(request, peer);
    serve_with(listener, certificate, bounds, shutdown, answer).await
}

/// As [`serve`], for any kind of body, and with the connection's [`Busy`] for answers that tell themselves when they end.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with<A, F, B>(
    listener: std::net::TcpListener,
    certificate: ServingCert,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
    answer: A,
) -> io::Result<()>
where
    A: Fn(Request<Incoming>, Peer, Busy) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let config = tls::server_config(certificate).map_err(io::Error::other)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::from_std(listener)?;
    // Without TLS there is nothing that could be said; the client sees the connection end.
    let refuse = |_: &TcpStream| {};
    listen::accept(listener, bounds, shutdown, refuse, move |stream, address, stopped| {
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        async move {
            let Ok(Ok(Some(stream))) = timeout(bounds.handshake, handshake(stream, &acceptor)).await else { return };
            let shown = stream.get_ref().1.peer_certificates().and_then(ClientCertificate::new);
            let peer = Peer { address, certificate: shown.map(Arc::new) };
            let answer = move |request, busy: Busy| {
                let answered = answer(request, peer.clone(), busy.clone());
                async move { answered.await.map(|body| Sent::new(body, &busy)) }
            };
            listen::converse(stream, bounds, stopped, answer).await;
        }
    })
    .await;
    Ok(())
}

/// The handshake; `None` for a client that does not speak TLS, which is told so.
async fn handshake(stream: TcpStream, acceptor: &TlsAcceptor) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE_RECORD] {
        // Closing a socket with something unread in it would reset the connection and take the answer along.
        let _ = stream.try_read(&mut [0; 4096]);
        let _ = stream.try_write(
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 48\r\nConnection: close\r\n\r\n\
              Client sent an HTTP request to an HTTPS server.\n",
        );
        return Ok(None);
    }
    acceptor.accept(stream).await.map(Some)
}

/// A body on its way. One of several pieces tells the connection's guard when it has ended.
struct Sent<B> {
    body: B,
    _streaming: Option<Streaming>,
}

impl<B: hyper::body::Body> Sent<B> {
    fn new(body: B, busy: &Busy) -> Self {
        let streaming = body.size_hint().exact().is_none().then(|| busy.stream());
        Self { body, _streaming: streaming }
    }
}

impl<B: hyper::body::Body + Unpin> hyper::body::Body for Sent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// 413: declared or actual.
    #[error("the body has more than {most} bytes; send less at once")]
    TooLarge {
        /// The most that is taken.
        most: usize,
    },
    /// 408: not complete in time, or slower than the least rate.
    #[error("the body did not come in time; send it at once")]
    TooSlow,
    /// 400: broken off.
    #[error("the body ended early: {0}")]
    Broken(String),
    /// 503: the bodies that are being read fill the memory that they may have.
    #[error("too many bodies are being read; try again in a second")]
    Busy,
}

/// Memory that all bodies may fill together while they come. Cloning shares it.
#[derive(Debug, Clone)]
pub struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    /// So many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / BUDGET_STEP).min(Semaphore::MAX_PERMITS))))
    }

    /// Takes what `bytes` more need, in steps, to be given back with `held`.
    fn take(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), BodyError> {
        let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let lacks = bytes.div_ceil(BUDGET_STEP).saturating_sub(has);
        let Ok(lacks) = u32::try_from(lacks) else { return Err(BodyError::Busy) };
        let more = Arc::clone(&self.0).try_acquire_many_owned(lacks).map_err(|_| BodyError::Busy)?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

/// Reads a request's body of at most `most` bytes within `time`. A client that sends less than 4 KiB a second is given up
/// after two seconds, so that a thousand of them hold nothing for long. Memory grows with what has come, not with what
/// was declared.
///
/// # Errors
/// [`BodyError`], one for each way in which it can go wrong.
pub async fn read_body<B>(request: Request<B>, most: usize, time: Duration) -> Result<Bytes, BodyError>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    read(request, most, time, None).await.map(|(body, _)| body)
}

/// As [`read_body`], out of a budget that all bodies share; the memory is given back when the permit is dropped.
///
/// # Errors
/// As [`read_body`], and [`BodyError::Busy`] when the budget is spent.
pub async fn read_body_within<B>(
    request: Request<B>,
    most: usize,
    time: Duration,
    budget: &BodyBudget,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), BodyError>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    read(request, most, time, Some(budget)).await
}

async fn read<B>(
    request: Request<B>,
    most: usize,
    time: Duration,
    budget: Option<&BodyBudget>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), BodyError>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut body = request.into_body();
    let fits = |bytes: u64| usize::try_from(bytes).is_ok_and(|bytes| bytes <= most);
    if !fits(body.size_hint().lower()) {
        if body.size_hint().lower() <= (most as u64).saturating_mul(DISCARDED) {
            discard(&mut body, most).await;
        }
        return Err(BodyError::TooLarge { most });
    }
    let begun = Instant::now();
    let (mut read, mut held) = (BytesMut::new(), None);
    loop {
        let come = u32::try_from(read.len()).unwrap_or(u32::MAX);
        let earned = SLOW_START + Duration::from_secs(1) * come / LEAST_BYTES_PER_SECOND;
        match timeout_at(begun + earned.min(time), body.frame()).await {
            Err(_) => return Err(BodyError::TooSlow),
            Ok(None) => return Ok((read.freeze(), held)),
            Ok(Some(Err(error))) => return Err(BodyError::Broken(error.to_string())),
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                let length = read.len().saturating_add(data.len());
                if length > most {
                    drop((read, held));
                    discard(&mut body, most).await;
                    return Err(BodyError::TooLarge { most });
                }
                if let Some(budget) = budget {
                    budget.take(&mut held, length)?;
                }
                read.extend_from_slice(&data);
            }
        }
    }
}

/// Throws away the rest of a body that is a little too large, and no more: a client that writes all before it reads would
/// be reset in the middle, and never hear why.
async fn discard<B>(body: &mut B, most: usize)
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let mut left = (most as u64).saturating_mul(DISCARDED);
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let come = frame.data_ref().map_or(0, Bytes::len) as u64;
            let Some(less) = left.checked_sub(come) else { return };
            left = less;
        }
    };
    // Whether it came to an end or not, the answer is the same.
    let _ended = timeout(DISCARD_TIME, rest).await;
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn request(bytes: usize) -> Request<Full<Bytes>> {
        Request::new(Full::new(Bytes::from(vec![7; bytes])))
    }

    #[tokio::test]
    async fn bodies_share_a_budget_and_give_it_back() {
        let (budget, time) = (BodyBudget::new(10 * BUDGET_STEP), Duration::from_secs(60));
        let read = |bytes| read_body_within(request(bytes), 1 << 20, time, &budget);
        let (six, permit) = read(5 * BUDGET_STEP + 1).await.unwrap();
        assert_eq!(six.len(), 5 * BUDGET_STEP + 1);
        assert_eq!(read(5 * BUDGET_STEP).await.unwrap_err(), BodyError::Busy);
        let (four, _held) = read(4 * BUDGET_STEP).await.unwrap();
        assert_eq!(four.len(), 4 * BUDGET_STEP);
        assert_eq!(read(1).await.unwrap_err(), BodyError::Busy);
        drop(permit);
        assert_eq!(read(6 * BUDGET_STEP).await.unwrap().0.len(), 6 * BUDGET_STEP);
    }

    #[tokio::test]
    async fn a_body_a_little_too_large_is_heard_to_its_end_and_a_much_larger_one_is_not() {
        for (bytes, frames_left) in [(14, 0), (5_000, 998)] {
            let come = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let count = Arc::clone(&come);
            let frames = (0..bytes / 5).map(move |_| {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"12345")))
            });
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
            let read = read_body(Request::new(body), 4, Duration::from_secs(60)).await;
            assert_eq!(read.unwrap_err(), BodyError::TooLarge { most: 4 });
            let left = bytes / 5 - come.load(std::sync::atomic::Ordering::Relaxed);
            assert!(left.abs_diff(frames_left) <= 4 && (frames_left == 0) == (left == 0), "{left} of {bytes}");
        }
    }
}
