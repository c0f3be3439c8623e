//! The ring's memory: one arena of the budget's size, filled block by block; the oldest blocks make room for new ones.
//!
//! In: encoded blocks. Out: copies of blocks. The arena is allocated once and never grows, so the budget is exact.
//! A reader holds the lock only while it copies one block out; it decodes its copy. Next: `mod.rs`.

use std::collections::VecDeque;

use crate::units::UnixNanos;

/// What is known about a sealed block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BlockInfo {
    /// First tick in it.
    pub first_tick: u64,
    /// Last tick in it.
    pub last_tick: u64,
    /// Number of ticks in it.
    pub ticks: u64,
    /// Cells in it.
    pub cells: u64,
    /// Earliest wall clock in it.
    pub earliest: UnixNanos,
    /// Latest wall clock in it.
    pub latest: UnixNanos,
}

#[derive(Debug, Clone, Copy)]
struct Extent {
    start: usize,
    length: usize,
    info: BlockInfo,
}

/// Sealed blocks in a circular arena.
#[derive(Debug)]
pub(super) struct Arena {
    bytes: Box<[u8]>,
    /// Oldest first. Extents never wrap around the end of the arena.
    extents: VecDeque<Extent>,
    /// Where the next block goes.
    head: usize,
}

impl Arena {
    /// An arena of `size` bytes. Memory is touched only as blocks arrive.
    pub fn new(size: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), extents: VecDeque::with_capacity(4096), head: 0 }
    }

    /// Copies a block in, and gives back what had to go for it. A block larger than the arena is refused (`false`).
    pub fn push(&mut self, block: &[u8], info: BlockInfo, mut evicted: impl FnMut(BlockInfo)) -> bool {
        if block.is_empty() || block.len() > self.bytes.len() {
            return false;
        }
        if self.head + block.len() > self.bytes.len() {
            // The rest of the arena is too short: what still lives there goes, and writing begins at the front again.
            while self.extents.front().is_some_and(|oldest| oldest.start >= self.head) {
                evicted_front(&mut self.extents, &mut evicted);
            }
            self.head = 0;
        }
        let end = self.head + block.len();
        while self.extents.front().is_some_and(|oldest| oldest.start < end && oldest.start + oldest.length > self.head)
            || self.extents.len() == self.extents.capacity()
        {
            evicted_front(&mut self.extents, &mut evicted);
        }
        if let Some(target) = self.bytes.get_mut(self.head..end) {
            target.copy_from_slice(block);
            self.extents.push_back(Extent { start: self.head, length: block.len(), info });
            self.head = end;
        }
        true
    }

    /// Sealed blocks, oldest first.
    pub fn blocks(&self) -> impl DoubleEndedIterator<Item = BlockInfo> {
        self.extents.iter().map(|extent| extent.info)
    }

    /// Appends the bytes of the block that begins with `first_tick` to `out`; `false` when it has gone.
    pub fn copy(&self, first_tick: u64, out: &mut Vec<u8>) -> bool {
        let found = self.extents.binary_search_by_key(&first_tick, |extent| extent.info.first_tick).ok();
        let bytes = found
            .and_then(|index| self.extents.get(index))
            .and_then(|extent| self.bytes.get(extent.start..extent.start + extent.length));
        bytes.inspect(|bytes| out.extend_from_slice(bytes)).is_some()
    }

    /// Bytes in sealed blocks.
    pub fn used(&self) -> usize {
        self.extents.iter().map(|extent| extent.length).sum()
    }
}

fn evicted_front(extents: &mut VecDeque<Extent>, evicted: &mut impl FnMut(BlockInfo)) {
    if let Some(oldest) = extents.pop_front() {
        evicted(oldest.info);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(tick: u64) -> BlockInfo {
        BlockInfo { first_tick: tick, last_tick: tick, ticks: 1, ..BlockInfo::default() }
    }

    #[test]
    fn the_oldest_blocks_make_room_and_what_stays_is_unharmed() {
        let mut arena = Arena::new(100);
        let mut gone = Vec::new();
        for tick in 1..=50u64 {
            let length = 10 + usize::try_from(tick % 7).unwrap() * 5;
            let block = vec![u8::try_from(tick).unwrap(); length];
            assert!(arena.push(&block, info(tick), |old| gone.push(old.first_tick)));
            assert!(arena.used() <= 100);
            for kept in arena.blocks() {
                let mut bytes = Vec::new();
                assert!(arena.copy(kept.first_tick, &mut bytes));
                let length = 10 + usize::try_from(kept.first_tick % 7).unwrap() * 5;
                assert_eq!(bytes, vec![u8::try_from(kept.first_tick).unwrap(); length]);
            }
        }
        assert!(gone.is_sorted());
        assert_eq!(gone.len() + arena.blocks().count(), 50);
        assert!(arena.blocks().next_back().is_some_and(|newest| newest.first_tick == 50));
    }

    #[test]
    fn a_block_larger_than_the_arena_is_refused_and_evicts_nothing() {
        let mut arena = Arena::new(10);
        assert!(arena.push(&[1; 10], info(1), |_| {}));
        assert!(!arena.push(&[2; 11], info(2), |_| panic!("nothing should go")));
        assert_eq!(arena.used(), 10);
    }
}
