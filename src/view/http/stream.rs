//! Answers that are made while they are sent.
//!
//! In: work that hands on one piece after the other, on a thread where it may wait. Out: a [`Body`] whose pieces leave as
//! the client takes them: at most a few are in memory. Work that fails after the first piece breaks the connection off,
//! so that no client takes a part for the whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Frame;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::events::EventBody;
use crate::auth::listen::Streaming;
use crate::view::remote::{Pipe, RemoteError};

/// What a response carries: all of it, piece by piece, or events as they come.
pub type Body = Either<Either<Full<Bytes>, Streamed>, EventBody>;

/// Pieces that may wait for the client.
const PIECES: usize = 2;

/// A body that is being made.
#[derive(Debug)]
pub struct Streamed {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Bytes>,
    work: Option<JoinHandle<Result<(), RemoteError>>>,
    _streaming: Streaming,
}

/// Starts `work` beside the connections, and waits for its first piece. No pieces at all are an empty body.
///
/// # Errors
/// What the work fails with before its first piece.
pub async fn start(
    work: impl FnOnce(&mut Pipe<'_>) -> Result<(), RemoteError> + Send + 'static,
    deadline: Instant,
    late: RemoteError,
    streaming: Streaming,
) -> Result<Body, RemoteError> {
    let (pieces, mut rest) = mpsc::channel(PIECES);
    let work = tokio::task::spawn_blocking(move || {
        let handle = Handle::current();
        work(&mut |piece| {
            // The clock goes on while the client does not read: an answer cannot hold its place for ever.
            match handle.block_on(tokio::time::timeout_at(deadline.into(), pieces.send(piece))) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(RemoteError::Gone),
                Err(_) => Err(late.clone()),
            }
        })
    });
    match rest.recv().await {
        Some(first) => {
            let body = Streamed { first: Some(first), rest, work: Some(work), _streaming: streaming };
            Ok(Either::Left(Either::Right(body)))
        }
        None => {
            work.await.unwrap_or_else(|error| Err(failed(&error))).map(|()| Either::Left(Either::Left(Full::default())))
        }
    }
}

fn failed(error: &tokio::task::JoinError) -> RemoteError {
    RemoteError::Failed(error.to_string())
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = RemoteError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RemoteError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(piece) = ready!(self.rest.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        // The work has let go of its end: it is over, or will be in an instant.
        let Some(work) = self.work.as_mut() else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(work).poll(cx)).unwrap_or_else(|error| Err(failed(&error)));
        self.work = None;
        Poll::Ready(ended.err().map(|error| {
            tracing::warn!("an answer was broken off: {error}");
            Err(error)
        }))
    }
}
