//! What is counted about pushes: who pushes writes, who shows reads, nobody waits.
//!
//! In: `uplink::push` counts each body and each event. Out: [`PushStats`], plain atomics, so that the exposition can show
//! them without knowing how a push is made. It keeps no history and no names. Next: `view::prometheus`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::units::UnixNanos;

/// How one push ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PushResult {
    /// The receiver holds it now.
    Accepted,
    /// The receiver does not hold what the push went on from, and asks for one that stands alone.
    StandAlone,
    /// 401: the token is not known there.
    Unauthorized,
    /// 403: the account may not push for this node.
    Forbidden,
    /// 429: later.
    Busy,
    /// Any other answer of 400 to 499: the same bytes would be refused again.
    Refused,
    /// An answer of 500 or more.
    ServerError,
    /// No answer in time.
    Timeout,
    /// No connection, or it broke.
    Unreachable,
}

impl PushResult {
    /// Every result, in the order of the exposition.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::StandAlone,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Busy,
        Self::Refused,
        Self::ServerError,
        Self::Timeout,
        Self::Unreachable,
    ];

    /// The word used as a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::StandAlone => "stand_alone",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
        }
    }
}

/// How telling the API server of one OOM kill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventResult {
    /// The event is there, by this agent or by an earlier run of it.
    Written,
    /// It could not be written; it is tried again unless the API server refused it for good.
    Failed,
    /// Too many were waiting; the oldest went.
    Shed,
}

impl EventResult {
    /// Every result, in the order of the exposition.
    pub const ALL: [Self; 3] = [Self::Written, Self::Failed, Self::Shed];

    /// The word used as a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Failed => "failed",
            Self::Shed => "shed",
        }
    }
}

/// Counts since the agent started.
#[derive(Debug, Default)]
pub struct PushStats {
    results: [AtomicU64; PushResult::ALL.len()],
    events: [AtomicU64; EventResult::ALL.len()],
    samples: AtomicU64,
    bytes: AtomicU64,
    last_success: AtomicU64,
    acknowledged: AtomicU64,
    backlog: AtomicU64,
}

impl PushStats {
    /// Counts a body that was sent, or tried.
    pub fn pushed(&self, result: PushResult) {
        if let Some(count) = self.results.get(result as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes what the receiver has taken: how many samples in how many bytes, the newest one's wall clock, and when.
    pub fn accepted(&self, samples: u64, bytes: u64, newest: UnixNanos, now: UnixNanos) {
        self.samples.fetch_add(samples, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.acknowledged.store(newest.0, Ordering::Relaxed);
        self.last_success.store(now.0, Ordering::Relaxed);
    }

    /// Counts an event.
    pub fn event(&self, result: EventResult) {
        if let Some(count) = self.events.get(result as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sets how many samples wait in the ring to be pushed.
    pub fn set_backlog(&self, samples: u64) {
        self.backlog.store(samples, Ordering::Relaxed);
    }

    /// Bodies by result.
    pub fn results(&self) -> impl Iterator<Item = (PushResult, u64)> + '_ {
        PushResult::ALL.into_iter().zip(&self.results).map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }

    /// Events by result.
    pub fn events(&self) -> impl Iterator<Item = (EventResult, u64)> + '_ {
        EventResult::ALL.into_iter().zip(&self.events).map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }

    /// Samples that were taken.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// Bytes of the bodies that were taken.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When a push was taken last; `None` before the first.
    #[must_use]
    pub fn last_success(&self) -> Option<UnixNanos> {
        Some(UnixNanos(self.last_success.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// Wall clock of the newest sample that the receiver holds; `None` before the first.
    #[must_use]
    pub fn acknowledged(&self) -> Option<UnixNanos> {
        Some(UnixNanos(self.acknowledged.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// Samples that wait to be pushed.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }
}
