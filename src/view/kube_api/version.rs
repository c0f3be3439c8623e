//! Resource versions: when an answer was made, and of which set of objects.
//!
//! In: a clock and the keys of the objects that were shown. Out: a number that only grows, and from which any replica can
//! tell whether a watch may go on from it. Nothing is remembered for that: a version whose set of objects is still the
//! same misses no deletion, and all others are answered with 410, upon which clients list again.
//! Next: [`super::list`], [`super::watch`].

use crate::units::UnixNanos;

/// How many bits tell the set of objects.
const SET_BITS: u32 = 20;
const SET_MASK: u64 = (1 << SET_BITS) - 1;

/// A resource version: milliseconds since 1970, and below them a checksum of the set of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

impl Version {
    pub(super) fn new(at: UnixNanos, set: ObjectSet) -> Self {
        Self(at.millis() << SET_BITS | set.checksum())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// Whether it was given out for this set of objects.
    pub(super) fn is_of(self, set: ObjectSet) -> bool {
        self.0 & SET_MASK == set.checksum()
    }
}

/// A checksum of a set of objects, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ObjectSet(u64);

impl ObjectSet {
    /// Adds an object, or takes it away again.
    pub(super) fn toggle(&mut self, namespace: &str, name: &str) {
        // Only replicas of one version compare checksums, so the choice of function is free; FNV-1a with a final mix
        // needs no table and is the same in every process.
        let bytes = namespace.bytes().chain([b'/']).chain(name.bytes());
        let mut hash = bytes
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        self.0 ^= hash;
    }

    fn checksum(self) -> u64 {
        (self.0 ^ self.0 >> SET_BITS ^ self.0 >> (2 * SET_BITS)) & SET_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> ObjectSet {
        let mut set = ObjectSet::default();
        for name in names {
            set.toggle("shop", name);
        }
        set
    }

    #[test]
    fn a_later_version_is_greater_whatever_the_objects_are() {
        let earlier = Version::new(UnixNanos(1_772_366_400_000_000_000), set(&["a", "b"]));
        let later = Version::new(UnixNanos(1_772_366_400_001_000_000), set(&[]));
        assert!(later > earlier);
        assert_eq!(Version::parse(&earlier.number().to_string()), Some(earlier));
        assert!(later.number() < 1 << 62, "a signed 64-bit integer holds it");
    }

    #[test]
    fn a_version_fits_its_set_in_any_order_and_no_other() {
        let version = Version::new(UnixNanos(0), set(&["a", "b", "c"]));
        assert!(version.is_of(set(&["c", "a", "b"])));
        assert!(!version.is_of(set(&["a", "b"])));
        assert!(!version.is_of(set(&["a", "b", "d"])));
        let mut without = set(&["a", "b", "c", "x"]);
        without.toggle("shop", "x");
        assert!(version.is_of(without));
    }
}
