//! What a CRI runtime counted of writable layers, for storage; asked one container at a time.
//!
//! In: a unix socket with gRPC. Out: [`LayerUsage`](crate::discover::LayerUsage) in the book. `ContainerStats` of one
//! container costs the runtime what its share of `ListContainerStats` would, comes without a burst, and a container that
//! cannot be asked costs only itself. It has a connection of its own, so that a runtime that is slow to count delays no
//! name. Next: [`super::super::book`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::messages::{ContainerStatsRequest, ContainerStatsResponse};
use super::{Client, convert, is_transport, refused};
use crate::discover::runtimes::{Book, Failure, pause};
use crate::discover::sink::EventSink;

/// Pause between looks at who is due.
const ROUND: Duration = Duration::from_secs(1);
/// Most containers that are asked for in one round.
const MOST_PER_ROUND: usize = 16;
/// A new container is asked for this soon, and again while the runtime has not counted it.
const YOUNG: Duration = Duration::from_secs(5);

/// The task of one socket.
pub(in crate::discover) struct StatsSource {
    /// The socket's number, by which the book knows its containers.
    pub index: usize,
    /// The socket.
    pub path: PathBuf,
    /// Tells when discovery stops.
    pub sink: EventSink,
    /// Where the counts go.
    pub book: Arc<Mutex<Book>>,
    /// Pause between two counts of one container.
    pub every: Duration,
}

impl StatsSource {
    /// Asks until discovery stops.
    pub async fn run(self) {
        let mut failures = 0_u32;
        let mut due = HashMap::new();
        while !self.sink.is_stopped() {
            let began = Instant::now();
            // Whether the socket answers is told by its other task.
            let Err(_) = self.serve(&mut due).await;
            if began.elapsed() > Duration::from_secs(10) {
                failures = 0;
            }
            failures = failures.saturating_add(1);
            sleep(ROUND.saturating_add(pause(failures))).await;
        }
    }

    async fn serve(&self, due: &mut HashMap<Arc<str>, Instant>) -> Result<Infallible, Failure> {
        let mut client = Client::connect(&self.path).await?;
        loop {
            let running = self.with_book(|book| book.running(self.index));
            due.retain(|id, _| running.contains(id));
            let now = Instant::now();
            let mut asked = 0;
            for id in running {
                let at = *due.entry(Arc::clone(&id)).or_insert(now);
                if at > now || asked >= MOST_PER_ROUND {
                    continue;
                }
                asked += 1;
                // Should the connection break over this one, the others come first.
                due.insert(Arc::clone(&id), now + self.every);
                if !self.ask(&mut client, &id).await? {
                    due.insert(id, Instant::now() + YOUNG.min(self.every));
                }
            }
            sleep(ROUND).await;
        }
    }

    /// Asks for one container; `false` when the runtime has not counted it yet, or does not know it.
    async fn ask(&self, client: &mut Client, id: &Arc<str>) -> Result<bool, Failure> {
        let request = ContainerStatsRequest { container_id: id.to_string() };
        let answer: ContainerStatsResponse = match client.call("ContainerStats", request).await {
            Ok(answer) => answer,
            Err(status) if is_transport(&status) => return Err(refused(status)),
            Err(_) => return Ok(false),
        };
        let layer = answer.stats.and_then(|stats| stats.writable_layer);
        let usage = layer.as_ref().and_then(convert::layer_usage);
        let is_counted = usage.is_some();
        self.with_book(|book| {
            book.with_files(id, |files| {
                files.is_counted = true;
                files.writable_layer = usage.or(files.writable_layer.take());
            });
        });
        Ok(is_counted)
    }

    fn with_book<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        change(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
