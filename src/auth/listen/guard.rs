//! One connection's deadlines, around its socket.
//!
//! In: a socket that hyper reads and writes. Out: the same with an error where a client takes too long. hyper's own head
//! timeout cannot tell a slow head from an idle connection, so both are kept here: a connection is *busy* from the
//! moment its request reaches a route until its response is flushed, else it waits for a head.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Bounds;

/// Set by the route, cleared when the response has gone out.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<State>);

#[derive(Debug, Default)]
struct State {
    busy: AtomicBool,
    streaming: AtomicBool,
}

impl Busy {
    /// A request has arrived.
    pub fn begin(&self) {
        self.0.busy.store(true, Ordering::Relaxed);
    }

    /// Its response will come in several pieces: until the guard is dropped, a flush is not its end.
    #[must_use]
    pub fn stream(&self) -> Streaming {
        self.0.streaming.store(true, Ordering::Relaxed);
        Streaming(self.clone())
    }

    fn is_set(&self) -> bool {
        self.0.busy.load(Ordering::Relaxed)
    }

    /// Everything so far has gone out. Gives whether that was the end of the response.
    fn flushed(&self) -> bool {
        let ended = !self.0.streaming.load(Ordering::Relaxed);
        if ended {
            self.0.busy.store(false, Ordering::Relaxed);
        }
        ended
    }
}

/// A response that goes out in several pieces, for as long as it does.
#[derive(Debug)]
pub struct Streaming(Busy);

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.0.streaming.store(false, Ordering::Relaxed);
    }
}

/// A socket with deadlines.
#[derive(Debug)]
pub struct Guard<S> {
    stream: TokioIo<S>,
    busy: Busy,
    limits: Bounds,
    /// Fires when the head, or the next request, is overdue.
    reading: Pin<Box<Sleep>>,
    head_begun: bool,
    /// Fires when a response that the client does not take is overdue.
    writing: Option<Pin<Box<Sleep>>>,
    wrote: bool,
}

impl<S> Guard<S> {
    /// Guards a new connection, whose first head is due.
    #[must_use]
    pub fn new(stream: S, busy: Busy, limits: Bounds) -> Self {
        let reading = Box::pin(sleep_until(deadline(limits.head)));
        Self { stream: TokioIo::new(stream), busy, limits, reading, head_begun: true, writing: None, wrote: false }
    }

    /// Lets a write go on, or ends it when the client has not taken the response in time.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Pending => {
                let limit = self.limits.write;
                let timer = self.writing.get_or_insert_with(|| Box::pin(sleep_until(deadline(limit))));
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Err(late("the client does not take the response")))
            }
            Poll::Ready(result) => {
                self.wrote = true;
                Poll::Ready(result)
            }
        }
    }
}

fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> Read for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if !this.busy.is_set() && !this.head_begun {
                    this.head_begun = true;
                    this.reading.as_mut().reset(deadline(this.limits.head));
                }
                Poll::Ready(result)
            }
            Poll::Pending if this.busy.is_set() => Poll::Pending,
            Poll::Pending => {
                ready!(this.reading.as_mut().poll(cx));
                Poll::Ready(Err(late("the client does not send a request")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Write for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when everything it has was written: that is the response's end, unless it is streamed.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        if std::mem::take(&mut this.wrote) {
            this.writing = None;
            if !this.busy.flushed() {
                return Poll::Ready(Ok(()));
            }
            this.head_begun = false;
            this.reading.as_mut().reset(deadline(this.limits.idle));
            // Nobody may read again before it fires: let it wake this connection.
            let _ = this.reading.as_mut().poll(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
