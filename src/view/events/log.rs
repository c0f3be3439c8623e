//! The newest events, and whoever waits for more.
//!
//! In: drafts from the detector. Out: numbered events, to any number of readers; each reader has a place of its own and takes
//! what is there when it can, so that a slow one holds up nobody. Bounded in events and in bytes: the oldest go, and a
//! reader whose place is gone is told how many it missed. Next: [`stream`](super::stream).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use super::event::{Draft, Event};
use crate::units::UnixNanos;

/// Most bytes of events that are kept, as JSON.
const MOST_BYTES: usize = 8 << 20;

/// Most clients that follow at once.
pub const MOST_CLIENTS: usize = 32;

/// What is kept where nothing else was asked for.
pub const DEFAULT_KEPT: usize = 10_000;

/// An event and its JSON, which is made once.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The event.
    pub event: Arc<Event>,
    /// The same as JSON without a line break.
    pub json: Arc<str>,
}

#[derive(Debug)]
struct Ring {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// The id that the next event gets, unless the clock says a greater one.
    next_id: u64,
    /// The first id that this log has ever given.
    first_id: u64,
}

#[derive(Debug)]
struct Inner {
    most: usize,
    most_bytes: usize,
    ring: Mutex<Ring>,
    /// The newest id; `u64::MAX` when no more will come.
    newest: watch::Sender<u64>,
    clients: Arc<Semaphore>,
}

/// The log of events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventLog {
    inner: Arc<Inner>,
}

/// Events after a place in the log.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Those that are there, the oldest first.
    pub events: Vec<Kept>,
    /// Where to go on.
    pub last_id: u64,
    /// Events after the place were dropped, or come from before the agent started.
    pub gap: bool,
    /// There are more than were asked for.
    pub more: bool,
}

impl Default for EventLog {
    fn default() -> Self {
        Self::new(DEFAULT_KEPT)
    }
}

impl EventLog {
    /// A log of at most `most` events. Ids begin at the wall clock's microseconds, so that they go on growing over a restart.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self::bounded(most, MOST_BYTES, UnixNanos::now())
    }

    /// The same with another bound on bytes, and another clock.
    #[must_use]
    pub fn bounded(most: usize, most_bytes: usize, now: UnixNanos) -> Self {
        let first_id = (now.0 / 1_000).max(1);
        let ring = Mutex::new(Ring { kept: VecDeque::new(), bytes: 0, next_id: first_id, first_id });
        let (newest, clients) = (watch::Sender::new(first_id - 1), Arc::new(Semaphore::new(MOST_CLIENTS)));
        Self { inner: Arc::new(Inner { most: most.max(1), most_bytes, ring, newest, clients }) }
    }

    /// A panic of another thread leaves the ring readable.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.inner.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers an event, keeps it and tells those who wait.
    pub fn push(&self, what: Draft) -> Arc<Event> {
        let mut ring = self.ring();
        let id = ring.next_id;
        let event = Arc::new(Event { id, what });
        let json: Arc<str> = serde_json::to_string(&*event).unwrap_or_default().into();
        ring.next_id = id + 1;
        ring.bytes += json.len();
        ring.kept.push_back(Kept { event: Arc::clone(&event), json });
        while ring.kept.len() > self.inner.most || (ring.bytes > self.inner.most_bytes && ring.kept.len() > 1) {
            let Some(oldest) = ring.kept.pop_front() else { break };
            ring.bytes -= oldest.json.len();
        }
        drop(ring);
        self.inner.newest.send_if_modified(|newest| {
            let open = *newest != u64::MAX;
            if open {
                *newest = id;
            }
            open
        });
        event
    }

    /// Every event that is kept, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Event>> {
        self.ring().kept.iter().map(|kept| Arc::clone(&kept.event)).collect()
    }

    /// The id of the newest event, or the one before the first.
    #[must_use]
    pub fn newest_id(&self) -> u64 {
        self.ring().next_id - 1
    }

    /// What came after `id` and is wanted, until it is more than `most` events or `most_bytes`. 0 is before everything.
    #[must_use]
    pub fn after(&self, id: u64, most: usize, most_bytes: usize, wanted: impl Fn(&Event) -> bool) -> Batch {
        let ring = self.ring();
        let newest = ring.next_id - 1;
        let oldest = ring.kept.front().map_or(ring.next_id, |kept| kept.event.id);
        // An id from before this run, or from a clock that has gone back, says nothing of what came between.
        let known = id == 0 || (id.saturating_add(1) >= oldest.max(ring.first_id) && id <= newest);
        let start = if id > newest { 0 } else { id };
        let from = ring.kept.partition_point(|kept| kept.event.id <= start);
        let mut batch = Batch { events: Vec::new(), last_id: newest, gap: !known, more: false };
        let mut bytes = 0;
        for kept in ring.kept.range(from..) {
            if batch.events.len() >= most || bytes >= most_bytes {
                batch.more = true;
                break;
            }
            batch.last_id = kept.event.id;
            if wanted(&kept.event) {
                bytes += kept.json.len();
                batch.events.push(kept.clone());
            }
        }
        if !batch.more {
            batch.last_id = newest;
        }
        batch
    }

    /// The newest `most` events that are wanted, the oldest of them first.
    #[must_use]
    pub fn newest(&self, most: usize, most_bytes: usize, wanted: impl Fn(&Event) -> bool) -> Batch {
        let ring = self.ring();
        let mut batch = Batch { last_id: ring.next_id - 1, ..Batch::default() };
        let mut bytes = 0;
        for kept in ring.kept.iter().rev().filter(|kept| wanted(&kept.event)) {
            if batch.events.len() >= most || bytes >= most_bytes {
                batch.more = true;
                break;
            }
            bytes += kept.json.len();
            batch.events.push(kept.clone());
        }
        batch.events.reverse();
        batch
    }

    /// Tells the newest id at each event, and `u64::MAX` when no more will come.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.newest.subscribe()
    }

    /// No more will come: ends every stream.
    pub fn close(&self) {
        self.inner.newest.send_replace(u64::MAX);
    }

    /// The places of those who follow.
    #[must_use]
    pub fn clients(&self) -> &Arc<Semaphore> {
        &self.inner.clients
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Kind, Severity};
    use super::*;

    fn log(most: usize, most_bytes: usize) -> EventLog {
        EventLog::bounded(most, most_bytes, UnixNanos(1_000_000))
    }

    fn push(log: &EventLog, message: &str) -> u64 {
        log.push(Draft::new(UnixNanos(0), Kind::Created, Severity::Info, None, message.to_owned())).id
    }

    fn ids(batch: &Batch) -> Vec<u64> {
        batch.events.iter().map(|kept| kept.event.id).collect()
    }

    #[test]
    fn ids_begin_at_the_clock_and_grow_by_one() {
        let log = log(10, 1 << 20);
        assert_eq!((push(&log, "a"), push(&log, "b")), (1_000, 1_001));
        assert_eq!(log.newest_id(), 1_001);
    }

    #[test]
    fn a_reader_goes_on_where_it_was_and_a_place_that_is_gone_is_told() {
        let log = log(3, 1 << 20);
        for _ in 0..3 {
            push(&log, "x");
        }
        let batch = log.after(1_000, 10, 1 << 20, |_| true);
        assert_eq!((ids(&batch), batch.gap, batch.last_id), (vec![1_001, 1_002], false, 1_002));
        push(&log, "x");
        push(&log, "x");
        let batch = log.after(1_000, 10, 1 << 20, |_| true);
        assert_eq!((ids(&batch), batch.gap), (vec![1_002, 1_003, 1_004], true));
        assert!(!log.after(1_001, 10, 1 << 20, |_| true).gap, "1002 is the next and is kept");
        assert!(!log.after(0, 10, 1 << 20, |_| true).gap, "0 asks for what there is");
    }

    #[test]
    fn ids_of_an_earlier_run_and_of_a_clock_that_went_back_are_a_gap() {
        let log = log(3, 1 << 20);
        assert!(log.after(500, 10, 1 << 20, |_| true).gap);
        push(&log, "x");
        let batch = log.after(2_000, 10, 1 << 20, |_| true);
        assert_eq!((ids(&batch), batch.gap), (vec![1_000], true));
    }

    #[test]
    fn bytes_are_bounded_and_the_newest_stays_however_long_it_is() {
        let log = log(1_000, 2_000);
        for _ in 0..100 {
            push(&log, &"m".repeat(200));
        }
        let kept = log.all().len();
        assert!((3..10).contains(&kept), "{kept} events in 2000 bytes");
        push(&log, &"m".repeat(5_000));
        assert_eq!(log.all().len(), 1);
    }

    #[test]
    fn a_batch_ends_at_its_bounds_and_says_where_to_go_on() {
        let log = log(10, 1 << 20);
        for _ in 0..5 {
            push(&log, "x");
        }
        let batch = log.after(0, 2, 1 << 20, |event| event.id != 1_000);
        assert_eq!((ids(&batch), batch.last_id, batch.more), (vec![1_001, 1_002], 1_002, true));
        let batch = log.after(batch.last_id, 10, 1 << 20, |event| event.id != 1_004);
        assert_eq!((ids(&batch), batch.last_id, batch.more), (vec![1_003], 1_004, false));
        let batch = log.newest(2, 1 << 20, |_| true);
        assert_eq!((ids(&batch), batch.more), (vec![1_003, 1_004], true));
    }

    #[test]
    fn whoever_waits_is_told_of_the_newest_and_of_the_end() {
        let log = log(10, 1 << 20);
        let mut told = log.subscribe();
        let id = push(&log, "x");
        assert_eq!(*told.borrow_and_update(), id);
        log.close();
        assert_eq!(*told.borrow_and_update(), u64::MAX);
        push(&log, "late");
        assert_eq!(*told.borrow_and_update(), u64::MAX, "closed stays closed");
    }
}
