//! The writer: what happens to a sample on the tick's own thread.
//!
//! In: a sample. Out: a frame at the end of the head, and the sample itself as the newest. It waits for no reader, no
//! file and no sealing; what does not fit while a head is being sealed is shed and counted. Next: `seal.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::head::{Encoder, Frame};
use super::{HEAD_TICKS, Heads, STANDALONE_TICKS, Shared};
use crate::sample::NodeSample;
use crate::units::UnixNanos;

/// The only writer. Not `Clone`: whoever holds it is the tick.
#[derive(Debug)]
pub struct StoreWriter {
    shared: Arc<Shared>,
    encoder: Encoder,
    frame: Frame,
    generation: Option<u64>,
    serial: u64,
    /// Number and wall clock of the tick before.
    before: (u64, UnixNanos),
    /// Whether another thread seals.
    background: bool,
}

impl StoreWriter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let frame = Frame::with_capacity(shared.shares.head_frames, shared.shares.head_rows);
        let encoder = Encoder::new();
        Self { shared, encoder, frame, generation: None, serial: 0, before: (0, UnixNanos(0)), background: false }
    }

    /// A writer whose heads are sealed by another thread, and whose first tick comes after `serial`.
    pub(super) fn in_background(shared: Arc<Shared>, serial: u64) -> Self {
        Self { serial, background: true, ..Self::new(shared) }
    }

    /// Appends one tick and publishes it.
    pub fn append(&mut self, sample: Arc<NodeSample>) {
        self.serial += 1;
        if self.generation != Some(sample.roster.generation) {
            self.generation = Some(sample.roster.generation);
            // Before the tick is the newest: who has left must never be taken for one who was seen at it.
            self.shared.ledger_mut().follow_roster(&sample, self.before, self.shared.budget_bytes);
        }
        self.keep(&sample);
        let shared = &self.shared;
        if self.frame.shed_rows > 0 {
            shared.ledger_mut().shed_rows += self.frame.shed_rows;
        }
        self.before = (self.serial, sample.wall);
        let tick = sample.tick;
        // The older one first: a reader that sees the pair half-way finds the same sample twice, never a gap.
        shared.previous.store(shared.latest.load_full());
        shared.latest.store(Some(sample));
        shared.ticks.send_replace(tick);
    }

    fn keep(&mut self, sample: &NodeSample) {
        let shared = Arc::clone(&self.shared);
        let mut heads = shared.heads();
        let early = shared.turn_early.swap(false, Ordering::Relaxed) && !heads.current.frames.is_empty();
        if heads.current.frames.len() >= HEAD_TICKS || early {
            heads = self.turn(&shared, heads);
        }
        let due = heads.current.frames.iter().rev().take_while(|info| !info.standalone).count() + 1 >= STANDALONE_TICKS;
        let empty = heads.current.frames.is_empty();
        let (bytes, rows) = heads.current.room();
        drop(heads);
        if due || empty {
            self.encoder.restart();
        }
        // Nobody else appends, so the room that was found is still there when the frame is ready.
        self.encoder.encode(sample, self.serial, bytes, rows, &mut self.frame);
        let mut heads = shared.heads();
        if self.frame.shed_rows > 0 && !empty {
            // It does not fit behind the others: it begins a head of its own, if there is one.
            heads = self.turn(&shared, heads);
            if heads.current.frames.is_empty() {
                let (bytes, rows) = heads.current.room();
                drop(heads);
                self.encoder.restart();
                self.encoder.encode(sample, self.serial, bytes, rows, &mut self.frame);
                heads = shared.heads();
            }
        }
        if self.frame.bytes.len() <= heads.current.room().0 {
            if let Some(current) = heads.current_mut() {
                current.push(&self.frame, self.serial, sample);
            }
            shared.ticked.notify_all();
        } else {
            // Not even the frame without rows fits; what follows cannot build on it, and takes its number.
            self.encoder.restart();
            self.serial -= 1;
        }
    }

    /// Hands the current head over to be sealed. Without an empty one to go on with, the current one stays.
    fn turn<'a>(
        &self,
        shared: &'a Shared,
        mut heads: std::sync::MutexGuard<'a, Heads>,
    ) -> std::sync::MutexGuard<'a, Heads> {
        if heads.sealing.is_some() {
            return heads;
        }
        let spare = heads.spare.take().unwrap_or_else(|| Arc::new(shared.shares.head()));
        let epoch = heads.current.epoch + 1;
        let full = std::mem::replace(&mut heads.current, spare);
        if let Some(current) = heads.current_mut() {
            current.epoch = epoch;
        }
        heads.sealing = Some(full);
        shared.full.notify_all();
        if self.background {
            return heads;
        }
        drop(heads);
        shared.seal();
        shared.heads()
    }
}
