//! The agent's push: what is new in the ring goes to the aggregator, whatever the network does.
//!
//! In: the ring. Out: bodies of the push protocol, and events for OOM kills. The ring is the queue: nothing is kept here but
//! how far the receiver has come. It takes no lock of the ring for longer than any reader does, and never makes the tick
//! wait. Next: `uplink::receive` on the aggregator.
//!
//! | step | file |
//! |---|---|
//! | a sample as it is pushed | `snapshot.rs` |
//! | samples of the past | `past.rs` |
//! | what is to be told next | `cursor.rs` |
//! | when | `pace.rs` |
//! | to whom, and what the answer means | `target.rs`, `answer.rs` |
//! | all of it, again and again | `task.rs` |
//! | OOM kills, and events that tell of them | `oom.rs`, `events.rs` |

mod answer;
mod cursor;
mod events;
mod oom;
#[cfg(test)]
mod oom_tests;
mod pace;
mod past;
mod snapshot;
#[cfg(test)]
mod snapshot_tests;
mod target;
#[cfg(test)]
mod target_tests;
mod task;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::sample::push_stats::PushStats;
use crate::store::Store;
use cursor::Cursor;
use pace::Pace;
use target::{ApiServer, Direct};
pub use target::{DirectOptions, PushError};
use task::{Pusher, run};

/// Which way a push takes.
pub enum Route {
    /// Through the API server, as whoever the client is.
    ApiServer(kube::Client),
    /// Straight to the aggregator.
    Direct(DirectOptions),
}

/// What is pushed, and where to.
pub struct PushOptions {
    /// `metadata.name` of this node.
    pub node: String,
    /// Time between pushes; between samples when a gap is filled.
    pub interval: Duration,
    /// The way.
    pub route: Route,
    /// Who writes events for OOM kills; `None` for no events.
    pub events: Option<kube::Client>,
}

/// A push that runs; it ends when this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Pushing {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Pushing {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Starts to push what is in `store`. What comes of it is counted in `stats`.
///
/// # Errors
/// [`PushError`] when there is nowhere to push to; that the receiver does not answer is no error.
pub fn start(
    options: PushOptions,
    store: Store,
    stats: Arc<PushStats>,
    runtime: &Handle,
) -> Result<Pushing, PushError> {
    let PushOptions { node, interval, route, events } = options;
    let pace = Pace::new(&node, interval);
    // Never 0: that would be no run.
    let cursor = Cursor::new(store.clone(), &node, rand::random::<u64>() | 1, interval);
    let told = (store, node.clone(), Arc::clone(&stats));
    let pusher = |route| Pusher::new(cursor, pace, stats, route);
    let task = match route {
        Route::ApiServer(client) => runtime.spawn(run(pusher("api-server"), ApiServer::new(client, &node)?)),
        Route::Direct(direct) => runtime.spawn(run(pusher("direct"), Direct::new(direct, &node)?)),
    };
    let (store, node, stats) = told;
    let events = events.map(|client| runtime.spawn(events::run(store, client, node, stats)));
    Ok(Pushing { tasks: std::iter::once(task).chain(events).collect() })
}
