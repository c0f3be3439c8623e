//! What is counted about the push of metrics to a long-term store: who sends writes, who shows reads, nobody waits.
//!
//! In: `uplink::export` counts each request. Out: [`ExportStats`], plain atomics, one for each target, so that the
//! exposition can show them without knowing how a request is made. It keeps no history. Next: `view::prometheus`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::units::UnixNanos;

/// How one request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExportResult {
    /// The target holds all of it.
    Accepted,
    /// The target has taken a part and refused the rest for good.
    Partial,
    /// The target refused it for good; it is not sent again.
    Refused,
    /// The target does not speak this version; it is sent again in another.
    Unsupported,
    /// The target asks to be left alone for a while.
    Busy,
    /// An answer of 500 or more, or one that is none.
    ServerError,
    /// An answer that leads elsewhere; it is not followed.
    Redirected,
    /// No answer in time.
    Timeout,
    /// No connection, or it broke.
    Unreachable,
    /// A file with a secret or a certificate cannot be used.
    Credentials,
}

impl ExportResult {
    /// Every result, in the order of the exposition.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Partial,
        Self::Refused,
        Self::Unsupported,
        Self::Busy,
        Self::ServerError,
        Self::Redirected,
        Self::Timeout,
        Self::Unreachable,
        Self::Credentials,
    ];

    /// The word used as a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::ServerError => "server_error",
            Self::Redirected => "redirected",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Credentials => "credentials",
        }
    }
}

/// Counts of one target since the agent started.
#[derive(Debug, Default)]
pub struct ExportStats {
    /// Beginning of the names of its metrics: `ringside_remote_write` or `ringside_otlp`.
    pub prefix: &'static str,
    /// Host and port of the target.
    pub target: String,
    results: [AtomicU64; ExportResult::ALL.len()],
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicU64,
    lost_msec: AtomicU64,
    cursor: AtomicU64,
    last_success: AtomicU64,
    last_status: AtomicU64,
}

impl ExportStats {
    /// Counts for a target, all 0.
    #[must_use]
    pub fn new(prefix: &'static str, target: String) -> Self {
        Self { prefix, target, ..Self::default() }
    }

    /// Counts a request that was sent or tried, and the status of its answer, 0 where there was none.
    pub fn requested(&self, result: ExportResult, status: u16) {
        if let Some(count) = self.results.get(result as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.last_status.store(u64::from(status), Ordering::Relaxed);
    }

    /// Notes samples that the target has taken, in how many bytes, and when.
    pub fn sent(&self, samples: u64, bytes: u64, now: UnixNanos) {
        self.sent.fetch_add(samples, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.last_success.store(now.0, Ordering::Relaxed);
    }

    /// Counts samples of a request that failed and is tried again.
    pub fn failed(&self, samples: u64) {
        self.failed.fetch_add(samples, Ordering::Relaxed);
    }

    /// Counts samples that the target refused for good.
    pub fn dropped(&self, samples: u64) {
        self.dropped.fetch_add(samples, Ordering::Relaxed);
    }

    /// Counts time whose samples the ring had to let go before they were sent.
    pub fn lost(&self, msec: u64) {
        self.lost_msec.fetch_add(msec, Ordering::Relaxed);
    }

    /// Sets up to which instant the target has everything.
    pub fn set_cursor(&self, wall: UnixNanos) {
        self.cursor.store(wall.0, Ordering::Relaxed);
    }

    /// Requests by result.
    pub fn results(&self) -> impl Iterator<Item = (ExportResult, u64)> + '_ {
        ExportResult::ALL.into_iter().zip(&self.results).map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }

    /// Samples by what became of them: sent, failed, dropped.
    #[must_use]
    pub fn samples(&self) -> [(&'static str, u64); 3] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("sent", read(&self.sent)), ("failed", read(&self.failed)), ("dropped", read(&self.dropped))]
    }

    /// Bytes of the requests that were taken.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Time whose samples were lost, in milliseconds.
    #[must_use]
    pub fn lost_msec(&self) -> u64 {
        self.lost_msec.load(Ordering::Relaxed)
    }

    /// Up to when the target has everything; `None` before it is known.
    #[must_use]
    pub fn cursor(&self) -> Option<UnixNanos> {
        Some(UnixNanos(self.cursor.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// When a request was taken last; `None` before the first.
    #[must_use]
    pub fn last_success(&self) -> Option<UnixNanos> {
        Some(UnixNanos(self.last_success.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// Status of the newest answer; 0 where there was none.
    #[must_use]
    pub fn last_status(&self) -> u64 {
        self.last_status.load(Ordering::Relaxed)
    }
}
