//! The way out: the channel to the sampler, with a stop that always works.
//!
//! In: [`Discovery`] events of the watcher's thread and of the runtimes' tasks. Out: the sampler's bounded channel. When
//! it is full the sender waits (events are never dropped: a lost death would be a leak), but a stop ends the waiting,
//! so that a sampler that has gone cannot hold anything up. Next: `sample/`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use super::Discovery;

const PAUSE: Duration = Duration::from_millis(2);

/// Discovery is over: the receiver has gone, or a stop was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// A cheap handle to the channel.
#[derive(Clone)]
pub(super) struct EventSink {
    sender: SyncSender<Discovery>,
    stop: Arc<AtomicBool>,
}

impl EventSink {
    pub(super) fn new(sender: SyncSender<Discovery>) -> Self {
        Self { sender, stop: Arc::new(AtomicBool::new(false)) }
    }

    /// Ends all waiting, now and later.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Sends from a thread of its own.
    pub(super) fn send(&self, mut event: Discovery) -> Result<(), Stopped> {
        while let Some(again) = self.offer(event)? {
            std::thread::sleep(PAUSE);
            event = again;
        }
        Ok(())
    }

    /// Sends from a task.
    pub(super) async fn send_async(&self, mut event: Discovery) -> Result<(), Stopped> {
        while let Some(again) = self.offer(event)? {
            tokio::time::sleep(PAUSE).await;
            event = again;
        }
        Ok(())
    }

    fn offer(&self, event: Discovery) -> Result<Option<Discovery>, Stopped> {
        if self.is_stopped() {
            return Err(Stopped);
        }
        match self.sender.try_send(event) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(event)) => Ok(Some(event)),
            Err(TrySendError::Disconnected(_)) => Err(Stopped),
        }
    }
}
