//! One sample's changes as bytes, and back: the part of the push protocol that is not plain protobuf fields.
//!
//! In: two rows of cells per entity; or the bytes of one `Changes` message. Out: its bytes; or (entity, mask, differences),
//! one after the other, without an allocation. A cell is a value plus one, or 0 for absent, so that absence needs no field
//! of its own and a difference never overflows: it wraps. It knows nobody's name and applies nothing.
//! Next: [`super::push`], `super::chain`.

use super::metric::Metric;
use super::protobuf::{Field, Fields, Malformed, put_varint, skip_varints, varint, zigzag};

/// One entity's cells, by metric.
pub type Cells = [u64; Metric::ALL.len()];

/// The cell of a value. The largest number cannot be told from absence and is taken for it.
#[must_use]
pub const fn cell(value: Option<u64>) -> u64 {
    match value {
        Some(value) => value.wrapping_add(1),
        None => 0,
    }
}

/// The value of a cell.
#[must_use]
pub const fn value(cell: u64) -> Option<u64> {
    cell.checked_sub(1)
}

/// Writes one sample's `Changes`.
#[derive(Debug, Clone, Default)]
pub struct ChangesWriter {
    gaps: Vec<u8>,
    masks: Vec<u8>,
    deltas: Vec<u8>,
    next: u32,
}

impl ChangesWriter {
    /// Adds what changed of one entity; entities come ascending by index. Nothing is written when nothing changed.
    pub fn entity(&mut self, index: u32, before: &Cells, after: &Cells) {
        let mut mask = 0u64;
        for (number, (before, after)) in before.iter().zip(after).enumerate() {
            if before != after {
                mask |= 1 << number;
                put_varint(&mut self.deltas, zigzag(after.wrapping_sub(*before).cast_signed()));
            }
        }
        if mask != 0 {
            put_varint(&mut self.gaps, u64::from(index.saturating_sub(self.next)));
            put_varint(&mut self.masks, mask);
            self.next = index.saturating_add(1);
        }
    }

    /// The message, and an empty writer again.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.gaps.len() + self.masks.len() + self.deltas.len() + 18);
        for (key, part) in [(0x0a, &mut self.gaps), (0x12, &mut self.masks), (0x1a, &mut self.deltas)] {
            if !part.is_empty() {
                message.push(key);
                put_varint(&mut message, part.len() as u64);
                message.append(part);
            }
        }
        self.next = 0;
        message
    }
}

/// The three lists of a `Changes` message, not yet held against one another.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes<'a> {
    gaps: &'a [u8],
    masks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> Changes<'a> {
    /// Finds the lists.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut changes = Self::default();
        for field in Fields(message) {
            let (number, field) = field?;
            let list = match number {
                1 => &mut changes.gaps,
                2 => &mut changes.masks,
                3 => &mut changes.deltas,
                _ => continue,
            };
            let Field::Bytes(bytes) = field else {
                return Err(Malformed("a list of Changes is not packed"));
            };
            if !list.is_empty() {
                return Err(Malformed("a list of Changes is there twice"));
            }
            if bytes.last().is_some_and(|byte| *byte >= 0x80) {
                return Err(Malformed("a list of Changes ends within a number"));
            }
            *list = bytes;
        }
        Ok(changes)
    }

    /// Holds the lists against one another: each entity is `live`, has a mask, and each bit of a mask has a difference.
    ///
    /// # Errors
    /// What does not agree.
    pub fn check(self, mut live: impl FnMut(u32) -> bool) -> Result<(), Malformed> {
        let (mut gaps, mut masks, mut next, mut bits) = (self.gaps, self.masks, 0u64, 0usize);
        while !gaps.is_empty() {
            let index = next.checked_add(varint(&mut gaps)).and_then(|index| u32::try_from(index).ok());
            let Some(index) = index.filter(|index| live(*index)) else {
                return Err(Malformed("Changes of an entity that was not born, or is gone"));
            };
            if masks.is_empty() {
                return Err(Malformed("Changes has fewer masks than entities"));
            }
            bits += varint(&mut masks).count_ones() as usize;
            next = u64::from(index) + 1;
        }
        if !masks.is_empty() {
            return Err(Malformed("Changes has more masks than entities"));
        }
        // Every number ends with the one byte that has no high bit.
        if self.deltas.iter().filter(|byte| **byte < 0x80).count() != bits {
            return Err(Malformed("Changes does not have one difference for each bit of its masks"));
        }
        Ok(())
    }

    /// Begins to read; only what passed [`Changes::check`] is sure to have a difference for each bit.
    #[must_use]
    pub fn walk(self) -> Walk<'a> {
        Walk { gaps: self.gaps, masks: self.masks, deltas: Deltas(self.deltas), total: self.deltas.len(), next: 0 }
    }

    /// The differences from `offset` on, for one entity.
    #[must_use]
    pub fn deltas_from(self, offset: usize) -> Deltas<'a> {
        Deltas(self.deltas.get(offset..).unwrap_or_default())
    }

    /// Differences alone, as [`Changes::delta_bytes`] gave them.
    #[must_use]
    pub const fn of_deltas(deltas: &'a [u8]) -> Self {
        Self { gaps: &[], masks: &[], deltas }
    }

    /// The list of differences as it is.
    #[must_use]
    pub fn delta_bytes(self) -> &'a [u8] {
        self.deltas
    }
}

/// Goes through the entities of a [`Changes`].
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    gaps: &'a [u8],
    masks: &'a [u8],
    deltas: Deltas<'a>,
    total: usize,
    next: u32,
}

impl Walk<'_> {
    /// The next entity's index, and a bit for each metric that changed. All differences of the one before it have to be
    /// taken by then.
    #[inline]
    pub fn entity(&mut self) -> Option<(u32, u64)> {
        if self.gaps.is_empty() || self.masks.is_empty() {
            return None;
        }
        let gap = u32::try_from(varint(&mut self.gaps)).ok()?;
        let index = self.next.checked_add(gap)?;
        self.next = index.saturating_add(1);
        Some((index, varint(&mut self.masks)))
    }

    /// The next difference of the entity.
    #[inline]
    pub fn delta(&mut self) -> i64 {
        self.deltas.take()
    }

    /// Where the next difference stands in the list of all.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.total - self.deltas.0.len()
    }

    /// Passes over so many differences.
    pub fn skip(&mut self, count: u32) {
        self.deltas.skip(count);
    }
}

/// Differences, one after the other; zeros behind the end.
#[derive(Debug, Clone, Copy)]
pub struct Deltas<'a>(&'a [u8]);

impl Deltas<'_> {
    /// The next difference.
    #[inline]
    pub fn take(&mut self) -> i64 {
        super::protobuf::unzigzag(varint(&mut self.0))
    }

    /// Passes over so many differences.
    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.0 = skip_varints(self.0, count);
    }
}

/// The numbers of the bits of a mask, ascending.
#[inline]
pub fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let number = mask.trailing_zeros() as usize;
        (mask != 0).then(|| {
            mask &= mask - 1;
            number
        })
    })
}
