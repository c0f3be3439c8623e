//! Push of metrics to long-term stores: what is new in the ring goes out by remote write or OTLP.
//!
//! In: a [`Source`], which reads the ring under the names of `/metrics`. Out: requests. The ring is the queue: nothing is
//! kept here but how far each target has come, so that an outage costs nothing as long as the ring reaches. It never makes
//! the tick wait, follows no redirect, and believes no answer beyond its status. Next: the target's own storage.
//!
//! | step | file |
//! |---|---|
//! | what is sent, as plain data | `batch.rs` |
//! | how far a target has come, and what is next | `cursor.rs` |
//! | as bytes | `proto.rs`, `remote_write.rs`, `otlp.rs` |
//! | over the network | `http.rs`, `grpc.rs`, `target.rs` |
//! | what the answer means | `answer.rs` |
//! | when | `pace.rs` |
//! | all of it, again and again | `task.rs` |

mod answer;
mod batch;
mod cursor;
#[cfg(test)]
mod format_tests;
mod grpc;
mod http;
mod otlp;
mod pace;
mod proto;
mod remote_write;
mod target;
mod task;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub use batch::{Extent, Kind, Meta, NAME, STALE, Sample, Series, Source, Window};
use cursor::{Cursor, CursorOptions};
pub use http::{Address, Endpoint};
use pace::Pace;
pub use remote_write::{Body, Version};
use target::Target;
pub use target::{Format, Protocol};
use task::{Exporter, run};

use crate::sample::export_stats::ExportStats;
use crate::units::UnixNanos;

/// What is sent, where to, and how often.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Name of this node: it decides on its place in the interval.
    pub node: String,
    /// The target.
    pub endpoint: Endpoint,
    /// What it is spoken to.
    pub protocol: Protocol,
    /// Time between requests.
    pub interval: Duration,
    /// Time between samples of a series.
    pub step: Duration,
    /// Time between ticks.
    pub tick: Duration,
    /// Where the cursor is kept over restarts.
    pub cursor_file: Option<PathBuf>,
}

/// A push that runs; it ends when this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Exporting {
    task: JoinHandle<()>,
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to send what `source` reads. What comes of it is counted in `stats`.
///
/// # Errors
/// What is wrong with the target's address; that it does not answer is no error.
pub fn start<S: Source>(
    options: ExportOptions,
    source: S,
    stats: Arc<ExportStats>,
    runtime: &Handle,
) -> Result<Exporting, String> {
    let ExportOptions { node, endpoint, protocol, interval, step, tick, cursor_file } = options;
    let address = Address::parse(&endpoint.url)?;
    let planned = CursorOptions { target: endpoint.url.clone(), file: cursor_file, step, tick };
    let now_ms = i64::try_from(UnixNanos::now().millis()).unwrap_or(i64::MAX);
    let cursor = Cursor::new(planned, now_ms);
    let exporter = Exporter { source, cursor, pace: Pace::new(&node, interval), stats };
    let task = runtime.spawn(run(exporter, Target::new(protocol, endpoint, address)));
    Ok(Exporting { task })
}
