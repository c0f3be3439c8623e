//! Answers that are asked for once, and remembered for a while.
//!
//! In: a key, and how to ask. Out: the answer: remembered, or of the one question that is under way for this key. Only so
//! many questions are asked at once, and a second; more are refused, so that a flood of strangers is no flood for the API
//! server. Keys are keyed hashes: no token lies in memory here. Next: `tokens.rs`, `access.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::hmac;
use tokio::sync::{Semaphore, watch};

/// A keyed hash of what is asked about.
pub type Key = [u8; 32];

/// Makes keys that mean something only in this process.
#[derive(Debug, Clone)]
pub struct Hasher(hmac::Key);

impl Default for Hasher {
    fn default() -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()))
    }
}

impl Hasher {
    /// The key of some bytes.
    #[must_use]
    pub fn key(&self, bytes: &[u8]) -> Key {
        let mut key = Key::default();
        for (to, from) in key.iter_mut().zip(hmac::sign(&self.0, bytes).as_ref()) {
            *to = *from;
        }
        key
    }
}

/// Bounds on questions and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightLimits {
    /// Most answers in memory.
    pub entries: usize,
    /// Most questions under way.
    pub at_once: usize,
    /// Most questions a second about keys of which nothing good is known.
    pub strangers_per_second: u32,
    /// Most questions a second about keys whose last answer was good.
    pub known_per_second: u32,
}

/// What came of a question.
#[derive(Debug, Clone)]
pub struct Answered<V> {
    /// The answer.
    pub value: V,
    /// How long it may be given again.
    pub keep: Duration,
    /// Whether asking again about the same key is no stranger's question; `None` when nothing new is known: while nobody
    /// answers, those who were known do not become strangers.
    pub good: Option<bool>,
}

/// No question was asked, or it was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooBusy;

/// Tokens of a bucket that fills by a fixed rate, a second's worth at most.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), tokens: per_second.into(), filled: Instant::now() }
    }

    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_second).min(self.per_second);
        self.filled = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[derive(Debug)]
enum Entry<V> {
    Known { value: V, until: Instant, good: bool },
    Asked(watch::Receiver<Option<V>>),
}

#[derive(Debug)]
struct State<V> {
    entries: HashMap<Key, Entry<V>>,
    strangers: Bucket,
    known: Bucket,
}

/// Questions under way, and answers. Cloning shares them.
#[derive(Debug)]
pub struct Flights<V> {
    state: Arc<Mutex<State<V>>>,
    at_once: Arc<Semaphore>,
    entries: usize,
}

impl<V> Clone for Flights<V> {
    fn clone(&self) -> Self {
        let Self { state, at_once, entries } = self;
        Self { state: Arc::clone(state), at_once: Arc::clone(at_once), entries: *entries }
    }
}

impl<V: Clone + Send + Sync + 'static> Flights<V> {
    /// None yet.
    #[must_use]
    pub fn new(limits: FlightLimits) -> Self {
        let state = State {
            entries: HashMap::new(),
            strangers: Bucket::new(limits.strangers_per_second),
            known: Bucket::new(limits.known_per_second),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            at_once: Arc::new(Semaphore::new(limits.at_once)),
            entries: limits.entries,
        }
    }

    /// The answer for `key`: a remembered one, that of a question under way, or that of `ask`.
    ///
    /// # Errors
    /// [`TooBusy`] when a question would be one too many.
    pub async fn get<F>(&self, key: Key, ask: impl FnOnce() -> F) -> Result<V, TooBusy>
    where
        F: Future<Output = Answered<V>> + Send + 'static,
    {
        let mut answer = match self.known_or_asked(key, ask)? {
            Entry::Known { value, .. } => return Ok(value),
            Entry::Asked(answer) => answer,
        };
        let value = answer.wait_for(Option::is_some).await.ok().and_then(|value| value.clone());
        value.ok_or_else(|| {
            // The question ended without an answer: the next one may ask again.
            self.lock().entries.remove(&key);
            TooBusy
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_or_asked<F>(&self, key: Key, ask: impl FnOnce() -> F) -> Result<Entry<V>, TooBusy>
    where
        F: Future<Output = Answered<V>> + Send + 'static,
    {
        let now = Instant::now();
        let mut state = self.lock();
        let known = match state.entries.get(&key) {
            Some(Entry::Known { value, until, good }) if *until > now => {
                return Ok(Entry::Known { value: value.clone(), until: *until, good: *good });
            }
            Some(Entry::Asked(answer)) => return Ok(Entry::Asked(answer.clone())),
            Some(Entry::Known { good, .. }) => *good,
            None => false,
        };
        let permit = Arc::clone(&self.at_once).try_acquire_owned().map_err(|_| TooBusy)?;
        let bucket = if known { &mut state.known } else { &mut state.strangers };
        if !bucket.take(now) {
            return Err(TooBusy);
        }
        if !known {
            make_room(&mut state.entries, self.entries, now);
        }
        let (told, answer) = watch::channel(None);
        state.entries.insert(key, Entry::Asked(answer.clone()));
        drop(state);
        let (asked, flights) = (ask(), self.clone());
        // On its own: whoever asked first may go away without taking the answer from the others.
        tokio::spawn(async move {
            let Answered { value, keep, good } = asked.await;
            drop(permit);
            let entry =
                Entry::Known { value: value.clone(), until: Instant::now() + keep, good: good.unwrap_or(known) };
            flights.lock().entries.insert(key, entry);
            told.send_replace(Some(value));
        });
        Ok(Entry::Asked(answer))
    }

    /// Answers in memory, old ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// True without any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes room for one more: first those that no longer hold, then the eighth that ends first, so that the work is spread
/// over many questions.
fn make_room<V>(entries: &mut HashMap<Key, Entry<V>>, most: usize, now: Instant) {
    if entries.len() < most {
        return;
    }
    entries.retain(|_, entry| !matches!(entry, Entry::Known { until, .. } if *until <= now));
    if entries.len() < most {
        return;
    }
    let ends = |entry: &Entry<V>| match entry {
        Entry::Known { until, .. } => Some(*until),
        Entry::Asked(_) => None,
    };
    let mut ending: Vec<Instant> = entries.values().filter_map(ends).collect();
    ending.sort_unstable();
    if let Some(last) = ending.get(ending.len() / 8).copied() {
        entries.retain(|_, entry| ends(entry).is_none_or(|until| until > last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(entries: usize) -> FlightLimits {
        FlightLimits { entries, at_once: 2, strangers_per_second: 1000, known_per_second: 1000 }
    }

    fn answered(value: u32, keep: Duration) -> Answered<u32> {
        Answered { value, keep, good: Some(true) }
    }

    #[tokio::test]
    async fn memory_is_bounded_and_what_ends_first_goes_first() {
        let (flights, hasher) = (Flights::new(limits(64)), Hasher::default());
        let long = hasher.key(b"long");
        flights.get(long, || async { answered(7, Duration::from_secs(1000)) }).await.unwrap();
        for index in 0..500_u32 {
            let key = hasher.key(&index.to_ne_bytes());
            flights.get(key, || async move { answered(index, Duration::from_secs(100)) }).await.unwrap();
            assert!(flights.len() <= 64, "{} after {index}", flights.len());
        }
        let again = flights.get(long, || async { answered(8, Duration::from_secs(1)) }).await;
        assert_eq!(again, Ok(7));
    }

    #[tokio::test]
    async fn more_questions_at_once_than_may_be_are_refused_and_lost_ones_asked_again() {
        let (flights, hasher) = (Flights::new(limits(8)), Hasher::default());
        let waiting: Vec<_> = (0..2_u8)
            .map(|index| {
                let (flights, key) = (flights.clone(), hasher.key(&[index]));
                tokio::spawn(async move { flights.get(key, std::future::pending::<Answered<u32>>).await })
            })
            .collect();
        while flights.len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(flights.get(hasher.key(b"x"), || async { answered(1, Duration::ZERO) }).await, Err(TooBusy));
        for waiting in waiting {
            waiting.abort();
        }
        let lost = Flights::new(limits(8));
        let key = hasher.key(b"lost");
        let failing = || async { std::panic::resume_unwind(Box::new("lost")) };
        assert_eq!(lost.get(key, failing).await, Err(TooBusy));
        assert_eq!(lost.get(key, || async { answered(3, Duration::ZERO) }).await, Ok(3));
    }

    #[tokio::test]
    async fn who_was_known_is_no_stranger_after_an_outage() {
        let one = FlightLimits { entries: 8, at_once: 2, strangers_per_second: 0, known_per_second: 1000 };
        let (flights, hasher) = (Flights::new(one), Hasher::default());
        let (known, stranger) = (hasher.key(b"known"), hasher.key(b"stranger"));
        let good = |value| async move { answered(value, Duration::ZERO) };
        let past = Entry::Known { value: 1, until: Instant::now(), good: true };
        flights.lock().entries.insert(known, past);
        assert_eq!(flights.get(stranger, || good(2)).await, Err(TooBusy));
        let silent = || async { Answered { value: 0, keep: Duration::ZERO, good: None } };
        for _ in 0..5 {
            assert_eq!(flights.get(known, silent).await, Ok(0));
        }
        assert_eq!(flights.get(known, || good(3)).await, Ok(3));
    }

    #[test]
    fn keys_mean_something_in_one_process_only() {
        let (a, b) = (Hasher::default(), Hasher::default());
        assert_eq!(a.key(b"token"), a.clone().key(b"token"));
        assert_ne!(a.key(b"token"), b.key(b"token"));
        assert_ne!(a.key(b"token"), a.key(b"tokem"));
    }
}
