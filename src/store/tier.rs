//! Tiers: how finely history is kept, from every tick down to one bucket per minute.
//!
//! The newest history has every tick. When its share of the budget is full, its oldest part becomes buckets of ten
//! seconds, and theirs buckets of a minute. A bucket tells the last, least, largest and mean value and the exact increase.

use crate::units::UnixNanos;

/// How finely a piece of history is kept. Ordered from fine to coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Every tick.
    Tick,
    /// Buckets of ten seconds of the wall clock.
    TenSeconds,
    /// Buckets of a minute of the wall clock.
    Minute,
}

impl Tier {
    /// All tiers, from fine to coarse.
    pub const ALL: [Self; 3] = [Self::Tick, Self::TenSeconds, Self::Minute];

    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::TenSeconds => "10s",
            Self::Minute => "1m",
        }
    }

    /// Length of a bucket; `None` for every tick.
    #[must_use]
    pub const fn bucket_nanos(self) -> Option<u64> {
        match self {
            Self::Tick => None,
            Self::TenSeconds => Some(10_000_000_000),
            Self::Minute => Some(60_000_000_000),
        }
    }
}

/// Which part of an answer came from which tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierUse {
    /// The tier.
    pub tier: Tier,
    /// Wall clock of the first tick or bucket that it gave.
    pub start: UnixNanos,
    /// Wall clock of the last one.
    pub end: UnixNanos,
}

impl TierUse {
    /// Notes that `tier` gave something at `wall`. Uses are in the order in which the tiers were asked.
    pub fn note(uses: &mut Vec<Self>, tier: Tier, wall: UnixNanos) {
        match uses.iter_mut().find(|used| used.tier == tier) {
            Some(used) => {
                used.start = used.start.min(wall);
                used.end = used.end.max(wall);
            }
            None => uses.push(Self { tier, start: wall, end: wall }),
        }
    }
}
