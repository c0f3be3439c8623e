//! Answers that are complete before their first byte is sent.
//!
//! In: a body. Out: the same, sent in chunks. Few are made at once, and what waits for its readers is bounded in bytes: who
//! reads slowly has room of his own, and nobody else's. Next: [`super::list`], [`super::history`], [`super::custom`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::channel;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{ApiAnswer, ApiBody};
use super::list::{CHUNK_BYTES, CHUNKS, PATIENCE};
use super::status::Status;

/// How many are made at once; each has a thread.
const MAKING: usize = 4;
/// How much waits for its readers: seven lists of 150,000 pods.
const WAITING_KIB: usize = 256 << 10;
/// How long somebody waits for his turn.
pub(super) const TURN: Duration = Duration::from_secs(10);

/// What whole answers share.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    making: Arc<Semaphore>,
    waiting_kib: Arc<Semaphore>,
}

impl Whole {
    pub(super) fn new() -> Self {
        Self { making: Arc::new(Semaphore::new(MAKING)), waiting_kib: Arc::new(Semaphore::new(WAITING_KIB)) }
    }

    /// The right to make one, until it is dropped.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Status> {
        match tokio::time::timeout(TURN, self.making.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Status::too_many_requests("too many answers are being made; try again", 5)),
        }
    }

    /// An answer with this body.
    pub(super) fn answer(&self, content_type: &'static str, mut body: Bytes) -> Result<ApiAnswer, Status> {
        if body.len() <= CHUNK_BYTES {
            return Ok(ApiAnswer::of(200, content_type, ApiBody::Bytes(body)));
        }
        let kib = u32::try_from(body.len() / 1024).unwrap_or(u32::MAX);
        let room = self.waiting_kib.clone().try_acquire_many_owned(kib).map_err(|_| {
            Status::too_many_requests("too much waits for slow readers; try again, or ask for less", 10)
        })?;
        let (sender, receiver) = channel(CHUNKS);
        tokio::spawn(async move {
            while !body.is_empty() {
                let chunk = body.split_to(body.len().min(CHUNK_BYTES));
                if sender.send_timeout(chunk, PATIENCE).await.is_err() {
                    break;
                }
            }
            drop(room);
        });
        Ok(ApiAnswer::of(200, content_type, ApiBody::Chunks(receiver)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_for_readers_is_bounded_and_has_room_again_when_they_are_gone() {
        let whole = Whole::new();
        let large = || Bytes::from(vec![b'x'; (WAITING_KIB / 2 + 1) << 10]);
        let first = whole.answer("text/plain", large()).unwrap();
        assert_eq!(whole.answer("text/plain", large()).unwrap_err().code, 429);
        assert_eq!(whole.answer("text/plain", Bytes::from("small")).unwrap().bytes().await, "small");
        assert_eq!(first.bytes().await.len(), large().len());
        // The room is given back behind the last chunk.
        while whole.waiting_kib.available_permits() < WAITING_KIB {
            tokio::task::yield_now().await;
        }
        assert!(whole.answer("text/plain", large()).is_ok());
    }
}
