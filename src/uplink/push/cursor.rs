//! How far the receiver has come, and what it is to be told next.
//!
//! In: the ring, and how the last body ended. Out: the next body: what is new since the newest sample that the receiver
//! holds, oldest first, one sample per step. The ring is the queue; kept here is one body at most. It sends nothing and
//! may take a while: it does not belong on a thread that others wait for. Next: [`super::task`].

use std::time::Duration;

use bytes::Bytes;

use super::answer::Failure;
use super::past::{instants, samples};
use super::snapshot::{NodeCpuSource, snapshot};
use crate::sample::NodeSample;
use crate::sample::catalogue::Table;
use crate::sample::push_stats::PushResult;
use crate::store::Store;
use crate::store::cluster::Snapshot;
use crate::units::UnixNanos;
use crate::uplink::wire::{Encoder, MOST_SAMPLES, Push};

/// Most bytes of a body, as long as no single sample has more: the receiver takes 1 MiB.
const MOST_BYTES: usize = 512 * 1024;

/// How much history goes with the first push of a run, and with one that is asked to stand alone without a time: what the
/// receiver keeps unless it is told otherwise. An agent's earlier run has pushed most of it, but nobody knows how much.
const HISTORY: Duration = Duration::from_secs(15 * 60);

/// A body on its way.
#[derive(Debug, Clone)]
struct UnderWay {
    bytes: Bytes,
    /// What the receiver knows once it has it.
    encoder: Encoder,
    newest: UnixNanos,
    samples: u64,
    backlog: u64,
    alone: bool,
    /// It may have been taken in already. Other samples with its numbers would be taken for duplicates.
    must_be_repeated: bool,
}

/// What the receiver has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Samples.
    pub samples: u64,
    /// Bytes of the body.
    pub bytes: u64,
    /// Wall clock of the newest sample.
    pub newest: UnixNanos,
    /// Samples that are still to be told.
    pub backlog: u64,
}

/// The place in the ring up to which one receiver has been told.
#[derive(Debug)]
pub struct Cursor {
    store: Store,
    step: Duration,
    /// As the receiver knows it.
    encoder: Encoder,
    /// The newest sample that the receiver holds.
    told: UnixNanos,
    /// The next body stands alone and begins after this instant.
    alone: Option<UnixNanos>,
    node_cpu: Option<NodeCpuSource>,
    most_bytes: usize,
    under_way: Option<UnderWay>,
}

impl Cursor {
    /// A cursor at the beginning: the receiver is told of the last 15 minutes, as far as the ring has them. `run` is a
    /// number that no other run of an agent has.
    #[must_use]
    pub fn new(store: Store, node: &str, run: u64, step: Duration) -> Self {
        Self {
            store,
            step,
            encoder: Encoder::new(node, run),
            told: UnixNanos(0),
            alone: None,
            node_cpu: None,
            most_bytes: MOST_BYTES,
            under_way: None,
        }
    }

    /// The same with smaller bodies.
    #[cfg(test)]
    pub const fn with_most_bytes(mut self, most_bytes: usize) -> Self {
        self.most_bytes = most_bytes;
        self
    }

    /// The next body, with how many samples wait behind it. `None` while there is nothing new.
    pub fn next(&mut self, now: UnixNanos) -> Option<(Bytes, u64)> {
        if let Some(again) = self.under_way.as_ref().filter(|body| body.must_be_repeated) {
            return Some((again.bytes.clone(), again.backlog));
        }
        let latest = self.store.latest()?;
        if latest.wall == self.told && self.alone.is_none() {
            return None;
        }
        let node_cpu = *self.node_cpu.get_or_insert_with(|| NodeCpuSource::of(&latest));
        let begins = self.encoder.sequence() == 0;
        let alone = self.alone.is_some() || begins;
        let history = UnixNanos(latest.wall.0.saturating_sub(nanos(HISTORY)));
        let after = self.alone.unwrap_or(if begins { history } else { self.told });
        let is_next = !alone && latest.wall.0.saturating_sub(after.0) < nanos(self.step) / 2 * 3;
        let due = if is_next { vec![latest.wall] } else { instants(&self.store, after, latest.wall, self.step) };
        let taken = self.gather(&latest, &due, alone, node_cpu);
        let newest = taken.last()?.wall;
        let mut encoder = self.encoder.clone();
        encoder.set_sent(now);
        let bytes = Bytes::from(encoder.push(&taken, alone));
        let backlog = due.iter().filter(|wall| **wall > newest).count() as u64;
        let samples = taken.len() as u64;
        let body = UnderWay { bytes: bytes.clone(), encoder, newest, samples, backlog, alone, must_be_repeated: false };
        self.under_way = Some(body);
        Some((bytes, backlog))
    }

    /// As many of the samples that are due as fit into one body, at least one. The last one that is due is the live one.
    fn gather(&self, latest: &NodeSample, due: &[UnixNanos], alone: bool, cpu: NodeCpuSource) -> Vec<Snapshot> {
        let mut taken = Vec::new();
        let mut probe = self.encoder.clone();
        let (mut bytes, mut rest) = (0, due);
        while let Some((_, past)) = rest.split_last() {
            let room = MOST_SAMPLES.saturating_sub(taken.len());
            let (pass, looked) = match past.get(..past.len().min(room)) {
                None | Some([]) => (vec![snapshot(latest, cpu)], 1),
                Some(past) => {
                    let found = samples(&self.store, past);
                    let whole = found.iter().filter(|sample| sample.iter(Table::Node).next().is_some());
                    (whole.map(|sample| snapshot(sample, cpu)).collect(), found.len())
                }
            };
            rest = rest.get(looked.max(1)..).unwrap_or_default();
            let bodies = probe.pushes(&pass, alone && taken.is_empty(), self.most_bytes);
            // Everything of this pass was let go of by the ring meanwhile.
            let Some(first) = bodies.first() else { continue };
            if !taken.is_empty() && bytes + first.len() > self.most_bytes || room == 0 {
                break;
            }
            bytes += first.len();
            let fits = if bodies.len() == 1 { pass.len() } else { samples_of(first) };
            taken.extend(pass.into_iter().take(fits));
            if bodies.len() > 1 {
                break;
            }
        }
        taken
    }

    /// The receiver holds the body that [`Cursor::next`] gave last.
    pub fn accepted(&mut self) -> Option<Taken> {
        let body = self.under_way.take()?;
        self.encoder = body.encoder;
        self.told = body.newest;
        self.alone = None;
        let bytes = body.bytes.len() as u64;
        Some(Taken { samples: body.samples, bytes, newest: body.newest, backlog: body.backlog })
    }

    /// The receiver wants a body that stands alone, of what came after `since`. False when the last one stood alone: then
    /// it is no use to try the same at once.
    pub fn stand_alone(&mut self, since: Option<UnixNanos>) -> bool {
        let newest = self.store.latest().map_or(UnixNanos(0), |latest| latest.wall);
        let history = UnixNanos(newest.0.saturating_sub(nanos(HISTORY)));
        self.alone = Some(since.unwrap_or(history));
        !self.under_way.take().is_some_and(|body| body.alone)
    }

    /// The body did not arrive, or nobody says so.
    pub fn failed(&mut self, failure: &Failure) {
        match &mut self.under_way {
            // Once it may have arrived, a later refusal does not take that back.
            Some(body) if !failure.surely_not_taken || body.must_be_repeated => {
                body.must_be_repeated = failure.result != PushResult::Refused;
            }
            _ => self.under_way = None,
        }
        if failure.result == PushResult::Refused {
            // The same bytes would be refused again: the newest sample alone makes the smallest body.
            self.under_way = None;
            let newest = self.store.latest().map_or(UnixNanos(0), |latest| latest.wall);
            self.alone = Some(UnixNanos(newest.0.saturating_sub(1)));
        }
    }
}

/// How many samples a body has that was encoded here.
fn samples_of(body: &[u8]) -> usize {
    Push::decode(body).map_or(1, |push| push.samples.len())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
