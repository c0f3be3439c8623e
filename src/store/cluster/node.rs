//! One node: the chain of samples that grows, and what is left of earlier ones.
//!
//! In: pushes, and news of the API server about its pods. Out: what a push did, or why it was refused. A push is applied
//! as a whole or not at all. What is older than the beginning of a stand-alone push stays. Next: [`super::cluster_store`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::batch::Scratches;
use super::chain::{Chain, Resolve};
use super::entity::{Refusal, Standing, Who};
use super::protobuf::Malformed;
use super::push::{Push, Sample};
use super::record::NodeRecord;
use crate::units::UnixNanos;

/// A sample's time may be ahead of ours by this: clocks of nodes differ, but not by more.
pub const MOST_AHEAD: Duration = Duration::from_secs(120);

/// Chains that ended; two agents that push for one node at once would make ever more of them.
const MOST_FROZEN: usize = 8;

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Samples that were stored.
    pub accepted: u64,
    /// Samples that were here already, or that are older than another run's.
    pub duplicates: u64,
    /// Pods and containers of the newest sample that are not believed, by [`Refusal`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Sequence of the newest sample that is held; 0 when it is of another run.
    pub sequence: u64,
}

/// Why a push was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushRefused {
    /// 409: what it goes on from is not here.
    #[error("the sample that the push goes on from is not held here: send a stand-alone push (base 0) of the samples from {} ns since 1970 on", since.0)]
    NeedAlone {
        /// Samples from here on are wanted.
        since: UnixNanos,
    },
    /// 400: it does not agree with itself or with what it goes on from.
    #[error("the push cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// 400: the node's clock is wrong.
    #[error("the newest sample is {} s in the future: set the node's clock", ahead.as_secs())]
    Future {
        /// By how much.
        ahead: Duration,
    },
    /// 403: the API server knows no node of this name.
    #[error("the API server knows no such node")]
    UnknownNode,
}

/// An ended chain, of which only what is before `until` counts.
#[derive(Debug)]
pub(super) struct Frozen {
    pub chain: Chain,
    pub until: UnixNanos,
}

/// What is held of one node.
#[derive(Debug, Default)]
pub(super) struct NodeState {
    /// `None` while the API server does not know it.
    pub record: Option<Arc<NodeRecord>>,
    /// Its record was removed: only its history is shown.
    pub removed: bool,
    pub run: u64,
    /// When the newest push was sent, by its sender's clock.
    pub sent: UnixNanos,
    pub chain: Chain,
    /// Oldest first.
    pub frozen: VecDeque<Frozen>,
    pub refused: [u64; Refusal::ALL.len()],
    /// What [`NodeState::history_bytes`] was when it was added to all nodes' sum.
    pub counted_bytes: usize,
    /// The store does not have it any more: whoever waited for it looks it up again.
    pub forgotten: bool,
}

/// A node's place in the store.
#[derive(Debug)]
pub(super) struct NodeCell {
    pub name: Arc<str>,
    state: Mutex<NodeState>,
}

impl NodeCell {
    pub fn new(name: Arc<str>) -> Self {
        Self { name, state: Mutex::default() }
    }

    // A panic of another thread leaves the state readable, so a poisoned lock is used as it is.
    pub fn state(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeState {
    /// Takes a push, or nothing of it.
    pub fn push(
        &mut self,
        push: &Push<'_>,
        now: UnixNanos,
        history: Duration,
        scratches: &Scratches,
        resolve: &impl Resolve,
    ) -> Result<Pushed, PushRefused> {
        let ahead = Duration::from_nanos(push.newest().0.saturating_sub(now.0));
        if ahead > MOST_AHEAD {
            return Err(PushRefused::Future { ahead });
        }
        let held = self.chain.sequence != 0;
        let same_run = held && self.run == push.run;
        let all = push.samples.len();
        let fresh = if push.base == 0 {
            let is_older = match same_run {
                true => push.sequence() <= self.chain.sequence,
                // Of two runs the one that was sent last counts; one that is not heard of any more does not.
                false => push.sent() <= self.sent && now.0 <= self.chain.wall.0.saturating_add(nanos(MOST_AHEAD)),
            };
            if held && is_older {
                return Ok(self.pushed(0, all, same_run));
            }
            Chain::check_alone(push)?;
            self.begin_anew(push);
            push.samples.as_slice()
        } else {
            let oldest = UnixNanos(now.0.saturating_sub(nanos(history)));
            let since = if held { self.chain.wall.max(oldest) } else { oldest };
            if !same_run {
                return Err(PushRefused::NeedAlone { since });
            }
            let fresh = self.fresh(push).ok_or(PushRefused::NeedAlone { since })?;
            let Some(first) = fresh.first() else { return Ok(self.pushed(0, all, true)) };
            if first.wall <= self.chain.wall {
                // The node's clock was set back.
                return Err(PushRefused::NeedAlone { since: first.wall.max(oldest) });
            }
            self.chain.check(fresh)?;
            fresh
        };
        self.sent = push.sent();
        let mut others = false;
        scratches.with(|scratch| {
            self.chain.past.swap_buffer(&mut scratch.sample);
            for sample in fresh {
                others |= sample.born().next().is_some() || sample.gone().next().is_some();
                self.chain.apply(sample, resolve);
                self.chain.past.pack_if_full(scratch);
            }
            self.chain.past.swap_buffer(&mut scratch.sample);
        });
        if others {
            self.refused = self.chain.refused();
        }
        Ok(self.pushed(fresh.len(), all - fresh.len(), true))
    }

    fn pushed(&self, accepted: usize, duplicates: usize, same_run: bool) -> Pushed {
        Pushed {
            accepted: accepted as u64,
            duplicates: duplicates as u64,
            refused: self.refused,
            sequence: if same_run { self.chain.sequence } else { 0 },
        }
    }

    /// The samples behind the newest one; `None` when they do not follow it.
    fn fresh<'p, 'a>(&self, push: &'p Push<'a>) -> Option<&'p [Sample<'a>]> {
        let known = push.samples.partition_point(|sample| sample.sequence <= self.chain.sequence);
        let before = match known.checked_sub(1) {
            None => push.base,
            Some(last) => push.samples.get(last)?.sequence,
        };
        let fresh = push.samples.get(known..)?;
        (fresh.is_empty() || before == self.chain.sequence).then_some(fresh)
    }

    /// Ends the chain where a stand-alone push begins.
    fn begin_anew(&mut self, push: &Push<'_>) {
        let from = push.samples.first().map_or(UnixNanos(0), |sample| sample.wall);
        let ended = std::mem::take(&mut self.chain);
        self.run = push.run;
        if ended.sequence != 0 {
            self.frozen.push_back(Frozen { chain: ended, until: from });
        }
        for frozen in &mut self.frozen {
            frozen.until = frozen.until.min(from);
        }
        self.frozen.retain(|frozen| frozen.chain.past.oldest().is_some_and(|oldest| oldest < frozen.until));
        while self.frozen.len() > MOST_FROZEN {
            self.frozen.pop_front();
        }
    }

    /// Forgets what is older than `oldest`; all of it when nothing newer came.
    pub fn forget_before(&mut self, oldest: UnixNanos) {
        if self.chain.wall < oldest {
            self.chain = Chain::default();
            self.refused = Default::default();
        }
        self.chain.past.forget_before(oldest);
        for frozen in &mut self.frozen {
            frozen.chain.past.forget_before(oldest);
        }
        self.frozen.retain(|frozen| frozen.until >= oldest && frozen.chain.wall >= oldest);
    }

    /// Forgets the oldest samples that can be forgotten; `false` when there are none.
    pub fn forget_oldest(&mut self) -> bool {
        match self.frozen.front_mut() {
            Some(frozen) => {
                if !frozen.chain.past.forget_batch() {
                    self.frozen.pop_front();
                }
                true
            }
            None => self.chain.past.forget_batch(),
        }
    }

    /// Bytes that the history has: of ended chains all, of the one that grows what is not the newest values.
    pub fn history_bytes(&self) -> usize {
        let frozen = self.frozen.iter().map(|frozen| frozen.chain.past.heap_bytes() + frozen.chain.newest_bytes());
        self.chain.past.heap_bytes() + frozen.sum::<usize>()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.chain.sequence == 0 && self.frozen.is_empty()
    }

    /// When the oldest sample that can be asked for was read.
    pub fn oldest(&self) -> Option<UnixNanos> {
        let frozen = self.frozen.iter().filter_map(|frozen| frozen.chain.past.oldest()).min();
        frozen.or(self.chain.past.oldest())
    }

    /// Samples that can be asked for.
    pub fn samples(&self) -> u64 {
        let frozen = self.frozen.iter().map(|frozen| frozen.chain.past.samples());
        (self.chain.past.samples() + frozen.sum::<usize>()) as u64
    }

    /// Judges the pod of this UID again, if it is here.
    pub fn judge_again(&mut self, uid: &str, judge: impl Fn(&Standing) -> Standing) {
        if let Some(slot) = self.chain.slots.pod_of_uid(uid)
            && let Some(slot) = self.chain.slots.get_mut(slot)
            && let Who::Pod(standing) = &mut slot.who
        {
            *standing = judge(standing);
            self.refused = self.chain.refused();
        }
    }

    /// Whether the newest sample is recent enough to be shown.
    pub fn is_fresh(&self, now: UnixNanos, stale_after: Duration) -> bool {
        self.chain.sequence != 0 && now.0.saturating_sub(self.chain.wall.0) <= nanos(stale_after)
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
