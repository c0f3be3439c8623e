//! `at=`: the tick that a request asks about, the newest or one of the past.
//!
//! In: the query and the [`Store`]. Out: a [`Scene`] of that tick, or a [`Problem`] that says when history begins.
//! The answers are made by the same code for every tick. And `GET /api/v1/ring`: how far back one can go.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sample::NodeSample;
use crate::store::{Moment, Store, TierStats};
use crate::units::UnixNanos;
use crate::view::rates::Pair;

use super::problem::Problem;
use super::request::Query;
use super::scene::{Now, Scene};
use super::time::{parse_duration, parse_instant, rfc3339};

/// The word for the oldest tick that can be read.
const OLDEST: &str = "oldest";

/// One tick with the one before it, taken out of the store.
#[derive(Debug)]
pub(super) struct Seen {
    newest: Arc<NodeSample>,
    before: Option<Arc<NodeSample>>,
    /// Set in the past.
    moment: Option<(Moment, UnixNanos)>,
}

impl Seen {
    /// The tick that `parameter` asks for: the newest when it is not given or not before the newest.
    pub(super) fn ask(store: &Store, query: &Query, parameter: &str, now: Now) -> Result<Self, Problem> {
        let (newest, before) = store.latest_pair().ok_or_else(Problem::no_sample)?;
        let at = match query.get(parameter) {
            None => None,
            Some(OLDEST) => store.stats().oldest,
            Some(text) => Some(parse_instant(text, now.wall).ok_or_else(|| unreadable(parameter, text))?),
        };
        let at = at.map(end_of_millisecond);
        let Some(at) = at.filter(|at| *at < newest.wall) else { return Ok(Self { newest, before, moment: None }) };
        let moment = store.moment(at).ok_or_else(|| nothing_kept(store, at))?;
        Ok(Self {
            newest: Arc::clone(&moment.newest),
            before: moment.before.as_ref().map(Arc::clone),
            moment: Some((moment, at)),
        })
    }

    pub(super) fn newest(&self) -> &NodeSample {
        &self.newest
    }

    /// Arranges the tick and reads from it.
    pub(super) fn with_scene<T>(&self, now: Now, read: impl FnOnce(&Scene<'_>) -> T) -> T {
        let pair = Pair::new(&self.newest, self.before.as_deref());
        read(&match &self.moment {
            None => Scene::new(&pair, now),
            Some((moment, at)) => Scene::past(&pair, moment, *at),
        })
    }
}

/// Instants are written to the millisecond: the one that an answer tells as its tick's must find that tick.
fn end_of_millisecond(at: UnixNanos) -> UnixNanos {
    const MILLISECOND: u64 = 1_000_000;
    UnixNanos(if at.0.is_multiple_of(MILLISECOND) { at.0.saturating_add(MILLISECOND - 1) } else { at.0 })
}

fn unreadable(parameter: &str, text: &str) -> Problem {
    let forms = "write RFC 3339 (2026-03-01T12:00:00Z), unix seconds, a time before now (-10m), 'oldest' or 'now'";
    let hint = parse_duration(text).map_or_else(String::new, |_| format!("; did you mean '-{text}'?"));
    Problem::bad_parameter(format!("{parameter}={text} is no instant{hint} For an instant {forms}"))
}

fn nothing_kept(store: &Store, at: UnixNanos) -> Problem {
    let at_text = rfc3339(at);
    match store.stats().oldest {
        Some(oldest) if oldest <= at => Problem::no_history(format!(
            "nothing was read for some time before {at_text}: the agent did not run then. History begins at {}; ask \
             for another instant",
            rfc3339(oldest)
        )),
        oldest => Problem::before_history(format!(
            "{at_text} lies before the beginning of history, which is {}; ask for that instant or a later one, or with \
             'oldest' for the first",
            oldest.map_or_else(|| "the next tick".to_owned(), rfc3339)
        )),
    }
}

/// How far back one can go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryExtent {
    /// The oldest tick that can be read, RFC 3339; null before the first.
    pub oldest: Option<String>,
    /// The newest tick, RFC 3339.
    pub newest: Option<String>,
    /// How finely which part is kept, from fine to coarse. Where they overlap, the finest is shown.
    pub tiers: Vec<TierExtent>,
}

/// A part of the history that is kept equally finely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TierExtent {
    /// `tick`, `10s` or `1m`.
    pub resolution: String,
    /// Length of a bucket in seconds; null where every tick is kept.
    pub bucket_seconds: Option<f64>,
    /// Its oldest tick or bucket, RFC 3339.
    pub oldest: String,
    /// Its newest one.
    pub newest: String,
}

/// Reads off how far back one can go.
pub(super) fn extent(store: &Store) -> HistoryExtent {
    let stats = store.stats();
    HistoryExtent {
        oldest: stats.oldest.map(rfc3339),
        newest: store.latest().map(|newest| rfc3339(newest.wall)),
        tiers: stats.tiers.iter().filter_map(TierExtent::of).collect(),
    }
}

impl TierExtent {
    /// `None` while nothing is kept so.
    fn of(stats: &TierStats) -> Option<Self> {
        Some(Self {
            resolution: stats.tier.as_str().to_owned(),
            bucket_seconds: stats.tier.bucket_nanos().map(|nanos| nanos as f64 / 1e9),
            oldest: rfc3339(stats.oldest?),
            newest: rfc3339(stats.newest?),
        })
    }
}
