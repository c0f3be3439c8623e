//! One body per tick, shared by all scrapers.
//!
//! In: the store, and what a scraper asks for. Out: a body that was made at most once for this tick, format, set of
//! labels and compression; scrapers of the same tick wait for the one that is being made. It runs beside the sampler and
//! never makes it wait. Bodies that slow readers still hold are bounded in bytes. Next: [`http`](crate::view::http).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::agent::{self, AgentView, Counts, ProcessUsage};
use super::blocks::Blocks;
use super::encoder::Options;
use super::escaping::{Escaping, Naming};
use super::layout::Layout;
use super::maxima::{Scraper, Tracker};
use super::plan::Plan;
use super::set::Sets;
use super::sink::Sink;
use super::{Compression, Format, Labels, Pick, Shape, encoder};
use crate::sample::NodeSample;
use crate::sample::push_stats::PushStats;
use crate::store::Store;

/// Most bytes of bodies that may be alive at once: the shared ones and those that slow readers still hold.
pub const MAX_LIVE_BYTES: usize = 64 << 20;
/// A sample that is older than this is no longer shown, unless ten intervals are longer.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// What a scraper asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Ask {
    /// Text format.
    pub format: Format,
    /// Set of labels.
    pub labels: Labels,
    /// Compression of the body.
    pub compression: Compression,
    /// What of the page.
    pub pick: Pick,
    /// How a runtime's label keys become names: what [`Exposition::naming`] says.
    pub naming: Naming,
    /// Distributions as classic histograms: in text formats they are shown for this only.
    pub classic: bool,
    /// OpenMetrics' `_created` lines.
    pub created: bool,
}

/// Most different questions whose bodies are kept for a tick. Who asks something else is answered anew each time.
const MAX_ASKS: usize = 32;

/// How many sets of labels there are.
const SHAPES: usize = Labels::Cadvisor as usize + 1;

/// Why there is nothing to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpositionError {
    /// No tick has been published yet. Ask again after the interval.
    #[error("no tick has been read yet")]
    NothingYet,
    /// The sampler has stopped. What it read last would look like the present; restart the agent.
    #[error("the newest tick was read {seconds} s ago: the sampler hangs")]
    Stale {
        /// Its age.
        seconds: u64,
    },
    /// Slow readers hold too many bodies. Ask again in a second.
    #[error("too many expositions are still being sent to slow readers")]
    Busy,
    /// The body could not be made.
    #[error("the exposition could not be made: {0}")]
    Failed(String),
}

/// A body that can be sent.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The tick that it shows.
    pub tick: u64,
    /// The body, compressed as asked.
    pub body: Bytes,
}

#[derive(Debug, Default)]
struct Bodies {
    sample: Option<Arc<NodeSample>>,
    cells: HashMap<Ask, Arc<OnceCell<Bytes>>>,
    likely_bytes: HashMap<Ask, usize>,
}

/// Labels that were rendered for a roster.
#[derive(Debug, Clone)]
struct Rendered {
    layout: Arc<Layout>,
    /// Made when somebody first asks for what needs them.
    blocks: Option<Arc<Blocks>>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    shape: Shape,
    sets: Sets,
    /// Of pages without a filter, by set of labels.
    plans: [OnceLock<Arc<Plan>>; SHAPES],
    counts: Arc<Counts>,
    tracker: Mutex<Tracker>,
    layouts: Mutex<[Option<Rendered>; SHAPES * Naming::COUNT]>,
    utf8_names: AtomicBool,
    bodies: Mutex<Bodies>,
    process: Mutex<ProcessUsage>,
    seen: Mutex<Option<(u64, Instant)>>,
    live_bytes: Arc<AtomicUsize>,
    max_live_bytes: usize,
    push: OnceLock<Arc<PushStats>>,
}

/// The expositions of one store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exposition {
    inner: Arc<Inner>,
}

/// A panic while a lock was held leaves data that is at worst one tick old: go on with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exposition {
    /// Expositions of `store` with the default sets; `shape` is what a scraper gets that does not ask for labels.
    #[must_use]
    pub fn new(store: Store, shape: impl Into<Shape>) -> Self {
        Self::with(store, shape.into(), Sets::default(), MAX_LIVE_BYTES)
    }

    /// The same with some sets.
    #[must_use]
    pub fn with_sets(store: Store, shape: impl Into<Shape>, sets: Sets) -> Self {
        Self::with(store, shape.into(), sets, MAX_LIVE_BYTES)
    }

    /// The same with another bound on bodies that are alive.
    #[must_use]
    pub fn with_max_live_bytes(store: Store, shape: impl Into<Shape>, max_live_bytes: usize) -> Self {
        Self::with(store, shape.into(), Sets::default(), max_live_bytes)
    }

    fn with(store: Store, shape: Shape, sets: Sets, max_live_bytes: usize) -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
        let inner = Inner {
            store,
            shape,
            sets,
            plans: Default::default(),
            counts: Arc::default(),
            tracker: Mutex::default(),
            layouts: Mutex::default(),
            utf8_names: AtomicBool::new(false),
            bodies: Mutex::default(),
            process: Mutex::new(ProcessUsage::read(started_at)),
            seen: Mutex::default(),
            live_bytes: Arc::default(),
            max_live_bytes,
            push: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The set of labels for a scraper that does not ask for one.
    #[must_use]
    pub fn labels(&self) -> Labels {
        self.inner.shape.labels
    }

    /// From now on a runtime's label keys are names as they are, for clients that understand that.
    pub fn use_utf8_names(&self) {
        self.inner.utf8_names.store(true, Ordering::Relaxed);
    }

    /// How a runtime's label keys are told to a client that gets this format and asked for this escaping. Text 0.0.4 has
    /// no quotes around names.
    #[must_use]
    pub fn naming(&self, format: Format, escaping: Option<Escaping>) -> Naming {
        if !self.inner.utf8_names.load(Ordering::Relaxed) {
            return Naming::Sanitised;
        }
        match (format, escaping.unwrap_or_default()) {
            (Format::Text, Escaping::AllowUtf8) => Naming::Utf8(Escaping::Underscores),
            (_, escaping) => Naming::Utf8(escaping),
        }
    }

    /// Shows what becomes of pushes as well. Without this call, or when it is called again, nothing changes.
    pub fn tell_of_push(&self, stats: Arc<PushStats>) {
        let _told_before = self.inner.push.set(stats);
    }

    /// What this view counts about itself.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.inner.counts
    }

    /// Follows the ticks until `shutdown`: keeps the maxima, refreshes what is known about this process, and lets go of
    /// the bodies of ticks that have passed. Without it only ticks that are scraped are seen.
    pub async fn follow(self, shutdown: impl Future<Output = ()>) {
        let mut ticks = self.inner.store.ticks();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                changed = ticks.changed() => if changed.is_err() { return },
            }
            let inner = Arc::clone(&self.inner);
            if tokio::task::spawn_blocking(move || inner.on_tick()).await.is_err() {
                return;
            }
        }
    }

    /// Whether a tick is there to be shown, and it is not too old.
    ///
    /// # Errors
    /// [`ExpositionError::NothingYet`], [`ExpositionError::Stale`].
    pub fn ready(&self) -> Result<Arc<NodeSample>, ExpositionError> {
        let sample = self.inner.store.latest().ok_or(ExpositionError::NothingYet)?;
        self.inner.fresh(&sample)?;
        Ok(sample)
    }

    /// The newest tick's body. A `scraper` that is named gets a window of maxima of its own, which begins anew.
    ///
    /// # Errors
    /// See [`ExpositionError`]; all of them pass.
    pub async fn show(&self, ask: &Ask, scraper: Option<&Scraper>) -> Result<Shown, ExpositionError> {
        let (sample, cell, likely_bytes) = self.inner.cell(ask)?;
        self.inner.fresh(&sample)?;
        let tick = sample.tick;
        let make = || async {
            if self.inner.live_bytes.load(Ordering::Relaxed) > self.inner.max_live_bytes {
                return Err(ExpositionError::Busy);
            }
            let (inner, ask) = (Arc::clone(&self.inner), ask.clone());
            let made = tokio::task::spawn_blocking(move || inner.make(&ask, &sample, likely_bytes));
            made.await.unwrap_or_else(|error| Err(ExpositionError::Failed(error.to_string())))
        };
        let body = cell.get_or_try_init(make).await?.clone();
        if let Some(scraper) = scraper {
            // A page without maxima does not end the window of a scraper that takes another page as well.
            if self.inner.plan(ask).looks_back() {
                lock(&self.inner.tracker).scraped(scraper, tick, Instant::now());
            }
            self.inner.counts.scrape(ask.format, ask.compression);
        }
        Ok(Shown { tick, body })
    }
}

impl Inner {
    /// The newest sample and where its body is kept. Both are taken under one lock, so that no body of one tick can be
    /// put into the cell of another.
    #[expect(clippy::type_complexity, reason = "three things that belong to one instant")]
    fn cell(&self, ask: &Ask) -> Result<(Arc<NodeSample>, Arc<OnceCell<Bytes>>, usize), ExpositionError> {
        let mut bodies = lock(&self.bodies);
        let newest = self.store.latest().ok_or(ExpositionError::NothingYet)?;
        if bodies.sample.as_ref().is_none_or(|sample| sample.tick != newest.tick) {
            bodies.renew(Some(Arc::clone(&newest)));
        }
        let likely_bytes = bodies.likely_bytes.get(ask).copied().unwrap_or(0);
        let cell = match bodies.cells.get(ask) {
            Some(cell) => Arc::clone(cell),
            None => {
                let cell = Arc::<OnceCell<Bytes>>::default();
                if bodies.cells.len() < MAX_ASKS {
                    bodies.cells.insert(ask.clone(), Arc::clone(&cell));
                }
                cell
            }
        };
        Ok((newest, cell, likely_bytes))
    }

    /// Refuses a sample that has been the newest one for too long.
    fn fresh(&self, sample: &NodeSample) -> Result<(), ExpositionError> {
        let now = Instant::now();
        let mut seen = lock(&self.seen);
        match *seen {
            Some((tick, since)) if tick == sample.tick => {
                match stale_for(now.saturating_duration_since(since), sample.self_stats.interval_nanos) {
                    Some(age) => Err(ExpositionError::Stale { seconds: age.as_secs() }),
                    None => Ok(()),
                }
            }
            _ => {
                *seen = Some((sample.tick, now));
                Ok(())
            }
        }
    }

    fn on_tick(&self) {
        let Some((newest, before)) = self.store.latest_pair() else { return };
        {
            let mut tracker = lock(&self.tracker);
            if let Some(before) = &before {
                tracker.observe(before);
            }
            tracker.observe(&newest);
        }
        let _ = self.fresh(&newest);
        {
            let mut process = lock(&self.process);
            *process = ProcessUsage::read(process.started_at);
        }
        let mut bodies = lock(&self.bodies);
        if bodies.sample.as_ref().is_some_and(|sample| sample.tick < newest.tick) {
            bodies.renew(None);
        }
    }

    fn plan(&self, ask: &Ask) -> Arc<Plan> {
        let plan = || Arc::new(Plan::new(ask.labels, self.sets, &ask.pick));
        match self.plans.get(ask.labels as usize).filter(|_| ask.pick == Pick::default()) {
            Some(kept) => Arc::clone(kept.get_or_init(plan)),
            None => plan(),
        }
    }

    fn rendered(&self, sample: &NodeSample, ask: &Ask) -> Rendered {
        let shape = Shape { labels: ask.labels, naming: ask.naming, ..self.shape.clone() };
        let place = ask.labels as usize * Naming::COUNT + ask.naming.index();
        let fits = |kept: &Rendered| kept.layout.fits(&sample.roster, &sample.machine, &shape);
        let kept = lock(&self.layouts).get(place).cloned().flatten().filter(fits);
        let needs_blocks = ask.format == Format::Protobuf || (ask.created && ask.format == Format::OpenMetrics);
        if let Some(kept) = kept.clone().filter(|kept| kept.blocks.is_some() || !needs_blocks) {
            return kept;
        }
        let layout = kept.map_or_else(
            || Arc::new(Layout::new(Arc::clone(&sample.roster), Arc::clone(&sample.machine), shape.clone())),
            |kept| kept.layout,
        );
        let blocks = needs_blocks.then(|| Arc::new(Blocks::new(&layout)));
        let rendered = Rendered { layout, blocks };
        if let Some(slot) = lock(&self.layouts).get_mut(place) {
            *slot = Some(rendered.clone());
        }
        rendered
    }

    fn make(&self, ask: &Ask, sample: &Arc<NodeSample>, likely_bytes: usize) -> Result<Bytes, ExpositionError> {
        let failed = |error: &dyn std::fmt::Display| ExpositionError::Failed(error.to_string());
        let begun = Instant::now();
        let (maxima, scrapers, untracked_scrapes, rollups_left_out) = {
            let mut tracker = lock(&self.tracker);
            tracker.observe(sample);
            (tracker.maxima(begun), tracker.active(begun), tracker.untracked(), tracker.rollups_left_out())
        };
        let Rendered { layout, blocks } = self.rendered(sample, ask);
        let mut sink = Sink::new(ask.compression, Vec::with_capacity(likely_bytes)).map_err(|error| failed(&error))?;
        let plan = self.plan(ask);
        let Ask { format, classic, created, .. } = *ask;
        let options =
            Options { format, classic, created, plan: Some(&plan), pick: Some(&ask.pick), blocks: blocks.as_deref() };
        encoder::encode_with(sample, &layout, &maxima, &options, &mut sink);
        // What they share with the tracker can be changed in place again.
        drop(maxima);
        let view = AgentView {
            sample: Arc::clone(sample),
            store: self.store.stats(),
            counts: Arc::clone(&self.counts),
            process: *lock(&self.process),
            scrapers,
            untracked_scrapes,
            rollups_left_out,
            push: self.push.get().cloned(),
        };
        if plan.agent {
            let own = agent::encode(view, ask.format, &ask.pick).map_err(|error| failed(&error))?;
            sink.buffer().extend_from_slice(&own);
        }
        if ask.format == Format::OpenMetrics {
            sink.buffer().extend_from_slice(b"# EOF\n");
        }
        let (body, text_bytes) = sink.finish().map_err(|error| failed(&error))?;
        let count = |counter: &std::sync::atomic::AtomicU64, value| counter.fetch_add(value, Ordering::Relaxed);
        count(&self.counts.encodings, 1);
        count(&self.counts.encoding_nanos, u64::try_from(begun.elapsed().as_nanos()).unwrap_or(0));
        self.counts.text_bytes.store(u64::try_from(text_bytes).unwrap_or(0), Ordering::Relaxed);
        lock(&self.bodies).keep_length(ask, body.len());
        Ok(LiveBody::share(body, &self.live_bytes))
    }
}

/// The age, if it is too great to be shown as the present.
fn stale_for(age: Duration, interval_nanos: u64) -> Option<Duration> {
    let intervals = Duration::from_nanos(interval_nanos.saturating_mul(10));
    (age > STALE_AFTER.max(intervals)).then_some(age)
}

impl Bodies {
    /// How long the next body for the same question will be, about.
    fn keep_length(&mut self, ask: &Ask, bytes: usize) {
        if self.likely_bytes.len() >= MAX_ASKS && !self.likely_bytes.contains_key(ask) {
            self.likely_bytes.clear();
        }
        self.likely_bytes.insert(ask.clone(), bytes + bytes / 16);
    }

    fn renew(&mut self, sample: Option<Arc<NodeSample>>) {
        self.sample = sample;
        self.cells.clear();
    }
}

/// A body that counts as alive until its last reader has let go of it.
struct LiveBody {
    bytes: Vec<u8>,
    live: Arc<AtomicUsize>,
}

impl LiveBody {
    fn share(bytes: Vec<u8>, live: &Arc<AtomicUsize>) -> Bytes {
        live.fetch_add(bytes.capacity(), Ordering::Relaxed);
        Bytes::from_owner(Self { bytes, live: Arc::clone(live) })
    }
}

impl AsRef<[u8]> for LiveBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for LiveBody {
    fn drop(&mut self) {
        self.live.fetch_sub(self.bytes.capacity(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ring;

    #[test]
    fn a_sample_is_stale_after_half_a_minute_or_ten_intervals() {
        let second = 1_000_000_000;
        assert_eq!(stale_for(Duration::from_secs(29), second), None);
        assert_eq!(stale_for(Duration::from_secs(31), second), Some(Duration::from_secs(31)));
        assert_eq!(stale_for(Duration::from_secs(31), 10 * second), None);
        assert_eq!(stale_for(Duration::from_secs(101), 10 * second), Some(Duration::from_secs(101)));
    }

    #[test]
    fn a_sampler_that_hangs_is_not_shown_as_the_present() {
        let (mut writer, store) = ring(1 << 20).unwrap();
        let exposition = Exposition::new(store, Labels::Slim);
        assert_eq!(exposition.ready().unwrap_err(), ExpositionError::NothingYet);
        let mut sample = NodeSample::new();
        sample.tick = 1;
        writer.append(Arc::new(sample.clone()));
        exposition.ready().unwrap();
        let long_ago = Instant::now().checked_sub(Duration::from_secs(40)).unwrap();
        *lock(&exposition.inner.seen) = Some((1, long_ago));
        assert_eq!(exposition.ready().unwrap_err(), ExpositionError::Stale { seconds: 40 });
        sample.tick = 2;
        writer.append(Arc::new(sample));
        exposition.ready().unwrap();
    }
}
