//! What one replica still has to be told: a queue with a bound, of which the oldest goes first.
//!
//! In: pushes. Out: batches. A replica that does not answer costs so many bytes and no more; what it missed it asks for
//! when it is back. Next: [`super::link`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::units::UnixNanos;

/// One push that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The node that it is of.
    pub node: Arc<str>,
    /// When this replica received it.
    pub received: UnixNanos,
    /// The body, shared among the queues of all peers.
    pub body: Bytes,
}

/// The queue of one peer.
#[derive(Debug)]
pub struct Queue {
    held: Mutex<Held>,
    arrived: Notify,
    budget_bytes: usize,
}

#[derive(Debug, Default)]
struct Held {
    pushes: VecDeque<Waiting>,
    bytes: usize,
}

/// What an entry costs beside its body.
const ENTRY_BYTES: usize = 128;

fn cost(push: &Waiting) -> usize {
    push.body.len() + ENTRY_BYTES
}

impl Queue {
    /// An empty queue that may hold so many bytes.
    #[must_use]
    pub fn new(budget_bytes: usize) -> Self {
        Self { held: Mutex::default(), arrived: Notify::new(), budget_bytes }
    }

    /// Adds a push; says how many old ones had to go for it.
    pub fn put(&self, push: Waiting) -> u64 {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes += cost(&push);
        held.pushes.push_back(push);
        let mut dropped = 0;
        while held.bytes > self.budget_bytes {
            let Some(oldest) = held.pushes.pop_front() else { break };
            held.bytes -= cost(&oldest);
            dropped += 1;
        }
        drop(held);
        self.arrived.notify_one();
        dropped
    }

    /// Waits until there is something.
    pub async fn filled(&self) {
        while self.is_empty() {
            self.arrived.notified().await;
        }
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).pushes.is_empty()
    }

    /// The oldest pushes, up to about so many bytes; one at least if there is any.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Vec<Waiting> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut batch, mut taken) = (Vec::new(), 0);
        while let Some(next) = held.pushes.front() {
            if !batch.is_empty() && taken + cost(next) > bytes {
                break;
            }
            let Some(next) = held.pushes.pop_front() else { break };
            held.bytes -= cost(&next);
            taken += cost(&next);
            batch.push(next);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(node: &str, bytes: usize) -> Waiting {
        Waiting { node: node.into(), received: UnixNanos(1), body: vec![0; bytes].into() }
    }

    fn nodes(batch: &[Waiting]) -> Vec<&str> {
        batch.iter().map(|push| &*push.node).collect()
    }

    #[test]
    fn the_oldest_goes_first_when_a_peer_does_not_take_its_pushes() {
        let queue = Queue::new(1_000);
        assert_eq!(queue.put(push("a", 300)), 0);
        assert_eq!(queue.put(push("b", 300)), 0);
        assert_eq!(queue.put(push("c", 300)), 1);
        assert_eq!(nodes(&queue.take(usize::MAX)), ["b", "c"]);
        assert!(queue.is_empty());
        assert_eq!(queue.put(push("too large", 2_000)), 1);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_batch_is_bounded_and_never_empty_while_something_waits() {
        let queue = Queue::new(10_000);
        for node in ["a", "b", "c"] {
            queue.put(push(node, 500));
        }
        assert_eq!(nodes(&queue.take(1_300)), ["a", "b"]);
        assert_eq!(nodes(&queue.take(1)), ["c"]);
    }
}
