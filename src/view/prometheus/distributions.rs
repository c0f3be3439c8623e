//! What happened inside the scrape interval: one histogram per rate and cgroup, with one observation per tick.
//!
//! In: the rates that [`maxima`](super::maxima) has just computed of a tick. Out: buckets that only grow, so that
//! `increase()` over any scrape interval is the distribution of the ticks in it. Buckets are those of Prometheus' native
//! histograms, schema 3 (eight per doubling: a quantile is off by at most 9 %). Those in use stand in one array
//! from the lowest to the highest, between a bound below which everything counts as zero and one above which everything
//! counts as the bound, so a cgroup never takes more than [`MAX_BYTES`]. Next: [`encoder`](super::encoder).

use super::maxima::{Peak, Values};
use crate::units::UnixNanos;

/// Buckets per doubling, as a power of two.
pub const SCHEMA: i32 = 3;
const PER_DOUBLING: i32 = 1 << SCHEMA;

/// Upper bounds of the eight buckets between 0.5 and 1: 2^(-7/8) … 2^0.
const FRACTIONS: [f64; 8] = [
    0.545_253_866_332_628_8,
    0.594_603_557_501_360_5,
    0.648_419_777_325_504_8,
    std::f64::consts::FRAC_1_SQRT_2,
    0.771_105_412_703_970_4,
    0.840_896_415_253_714_5,
    0.917_004_043_204_671_2,
    1.0,
];

/// What is observed, and the buckets for it.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// What is observed.
    pub peak: Peak,
    /// 2 to this is the widest value that counts as zero.
    least: i32,
    /// Values above 2 to this count as it.
    most: i32,
    /// The buckets for who cannot read native ones: `le`, and 2 to what it is. The last one, `+Inf`, is not listed.
    pub classic: &'static [(&'static str, i32)],
}

impl Shape {
    /// The widest value that counts as zero.
    #[must_use]
    pub fn zero_threshold(&self) -> f64 {
        f64::from(self.least).exp2()
    }
}

/// Number of [`SHAPES`].
pub const SHAPE_COUNT: usize = 7;

const BYTES_PER_SECOND: &[(&str, i32)] =
    &[("65536.0", 16), ("1.048576e+06", 20), ("1.6777216e+07", 24), ("1.34217728e+08", 27), ("1.073741824e+09", 30)];

const fn bytes_per_second(peak: Peak) -> Shape {
    Shape { peak, least: 12, most: 37, classic: BYTES_PER_SECOND }
}

/// Everything that a distribution is kept of.
pub const SHAPES: [Shape; SHAPE_COUNT] = [
    Shape {
        peak: Peak::CpuUsageCores,
        least: -10,
        most: 10,
        classic: &[("0.0625", -4), ("0.25", -2), ("0.5", -1), ("1.0", 0), ("2.0", 1), ("4.0", 2), ("16.0", 4)],
    },
    Shape {
        peak: Peak::CpuThrottledRatio,
        least: -10,
        most: 0,
        classic: &[("0.03125", -5), ("0.125", -3), ("0.25", -2), ("0.5", -1), ("1.0", 0)],
    },
    Shape {
        peak: Peak::WorkingSetBytes,
        least: 20,
        most: 45,
        classic: &[
            ("1.6777216e+07", 24),
            ("6.7108864e+07", 26),
            ("2.68435456e+08", 28),
            ("1.073741824e+09", 30),
            ("4.294967296e+09", 32),
            ("1.7179869184e+10", 34),
        ],
    },
    bytes_per_second(Peak::ReadBytesPerSecond),
    bytes_per_second(Peak::WriteBytesPerSecond),
    bytes_per_second(Peak::ReceiveBytesPerSecond),
    bytes_per_second(Peak::TransmitBytesPerSecond),
];

const fn most_buckets() -> usize {
    let (mut sum, mut rest) = (0, SHAPES.as_slice());
    while let [shape, after @ ..] = rest {
        sum += ((shape.most - shape.least) * PER_DOUBLING).unsigned_abs() as usize;
        rest = after;
    }
    sum
}

/// Most bytes that one cgroup's distributions take: every bucket of every shape in use.
pub const MAX_BYTES: usize = most_buckets() * size_of::<u32>() + size_of::<Distributions>();

/// One histogram.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Observations that count as zero.
    pub zeros: u32,
    /// The native index of the first of `buckets`.
    pub first: i32,
    /// Observations per bucket, from the lowest that was ever used to the highest.
    pub buckets: Vec<u32>,
}

impl Distribution {
    fn observe(&mut self, shape: &Shape, value: f64) {
        self.count += 1;
        self.sum += value;
        let Some(index) = index_of(shape, value) else {
            self.zeros = self.zeros.saturating_add(1);
            return;
        };
        if self.buckets.is_empty() {
            self.first = index;
        }
        if let Ok(missing @ 1..) = usize::try_from(self.first - index) {
            self.buckets.reserve_exact(missing);
            self.buckets.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = index;
        }
        let Ok(place) = usize::try_from(index - self.first) else { return };
        if place >= self.buckets.len() {
            // Exactly: doubling would take more than what is promised.
            self.buckets.reserve_exact(place + 1 - self.buckets.len());
            self.buckets.resize(place + 1, 0);
        }
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// Observations up to 2 to `exponent`, which is the upper bound of a bucket.
    #[must_use]
    pub fn up_to(&self, exponent: i32) -> u64 {
        let below = usize::try_from(exponent * PER_DOUBLING + 1 - self.first).unwrap_or(0);
        u64::from(self.zeros) + self.buckets.iter().take(below).map(|count| u64::from(*count)).sum::<u64>()
    }

    /// Runs of buckets that are not empty, with the native index of each run's first. Up to two empty ones inside of a
    /// run are cheaper told than left out.
    pub fn runs(&self) -> impl Iterator<Item = (i32, &[u32])> {
        let mut place = 0;
        std::iter::from_fn(move || {
            place += self.buckets.get(place..)?.iter().position(|count| *count > 0)?;
            let rest = self.buckets.get(place..)?;
            let (mut length, mut empty) = (0, 0);
            for (index, count) in rest.iter().enumerate() {
                empty = if *count == 0 { empty + 1 } else { 0 };
                if empty > 2 {
                    break;
                }
                if *count > 0 {
                    length = index + 1;
                }
            }
            let begin = self.first + i32::try_from(place).ok()?;
            place += length;
            Some((begin, rest.get(..length)?))
        })
    }
}

/// The native index of the bucket that a value lies in; `None` when it counts as zero.
fn index_of(shape: &Shape, value: f64) -> Option<i32> {
    if value <= shape.zero_threshold() {
        return None;
    }
    let value = value.min(f64::from(shape.most).exp2());
    // A float that is not subnormal is 1.x times 2 to its exponent; half of it, and one more, is in [0.5, 1).
    let bits = value.to_bits();
    let exponent = i32::try_from((bits >> 52) & 0x7ff).ok()? - 1022;
    let fraction = f64::from_bits(bits & !(0x7ff << 52) | (1022 << 52));
    let step = FRACTIONS.iter().position(|bound| fraction <= *bound)?;
    // 0.5 itself is the upper bound of the bucket below.
    let step = if fraction == 0.5 { 0 } else { i32::try_from(step).ok()? + 1 };
    Some((exponent - 1) * PER_DOUBLING + step)
}

/// All distributions of one cgroup.
#[derive(Debug, Clone, PartialEq)]
pub struct Distributions {
    since: UnixNanos,
    of: [Distribution; SHAPE_COUNT],
}

impl Distributions {
    /// Nothing observed yet; `since` is when observing begins.
    #[must_use]
    pub fn new(since: UnixNanos) -> Self {
        Self { since, of: Default::default() }
    }

    /// Takes in a tick's rates. What was not there is no observation.
    pub fn observe(&mut self, values: &Values) {
        for (distribution, shape) in self.of.iter_mut().zip(&SHAPES) {
            if let Some(value) = values.get(shape.peak) {
                distribution.observe(shape, value);
            }
        }
    }

    /// When observing began.
    #[must_use]
    pub const fn since(&self) -> UnixNanos {
        self.since
    }

    /// One of them, if anything was observed.
    #[must_use]
    pub fn get(&self, peak: Peak) -> Option<(&'static Shape, &Distribution)> {
        let index = SHAPES.iter().position(|shape| shape.peak == peak)?;
        let distribution = self.of.get(index).filter(|distribution| distribution.count > 0)?;
        Some((SHAPES.get(index)?, distribution))
    }

    /// The bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.of.iter().map(|one| one.buckets.capacity() * size_of::<u32>()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CPU: &Shape = &SHAPES[0];

    fn of(values: &[f64]) -> Distribution {
        let mut distribution = Distribution::default();
        for value in values {
            distribution.observe(CPU, *value);
        }
        distribution
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        for (value, index) in [
            (1.0, Some(0)),
            (1.01, Some(1)),
            (2.0, Some(8)),
            (2.01, Some(9)),
            (0.5, Some(-8)),
            (0.51, Some(-7)),
            (0.75, Some(-3)),
            (0.0009, None),
            (0.0, None),
            (1e9, Some(80)),
        ] {
            assert_eq!(index_of(CPU, value), index, "{value}");
        }
    }

    #[test]
    fn observations_are_counted_where_they_lie_and_up_to_each_bound() {
        let distribution = of(&[0.0, 0.5, 0.51, 2.0, 3.0]);
        assert_eq!((distribution.count, distribution.zeros, distribution.sum), (5, 1, 6.01));
        let up_to = [-4, -1, 0, 1, 2].map(|exponent| distribution.up_to(exponent));
        assert_eq!(up_to, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn runs_leave_out_long_gaps_and_keep_short_ones() {
        let distribution = of(&[0.25, 0.26, 1.0, 0.26, 1.25]);
        let runs: Vec<_> = distribution.runs().map(|(first, counts)| (first, counts.to_vec())).collect();
        assert_eq!(runs, [(-16, vec![1, 2]), (0, vec![1, 0, 0, 1])]);
    }

    #[test]
    fn no_values_make_a_cgroup_take_more_than_what_is_promised() {
        let mut all = Distributions::new(UnixNanos(1));
        for exponent in -40..60 {
            for step in 0..16 {
                let value = (f64::from(exponent) + f64::from(step) / 16.0).exp2();
                for (distribution, shape) in all.of.iter_mut().zip(&SHAPES) {
                    distribution.observe(shape, value);
                }
            }
        }
        assert!(all.bytes() <= MAX_BYTES, "{} of {MAX_BYTES}", all.bytes());
        assert!(all.bytes() > MAX_BYTES / 2, "{} of {MAX_BYTES}: all buckets are in use", all.bytes());
        assert_eq!(MAX_BYTES / 100, 53, "the documentation says 5.4 KB");
    }

    proptest! {
        #[test]
        fn each_value_lies_between_the_bounds_of_its_bucket(value in 0.001f64..1024.0) {
            let index = index_of(CPU, value).unwrap();
            let bound = |index: i32| (f64::from(index) / 8.0).exp2();
            prop_assert!(value <= bound(index) * (1.0 + 1e-12) && value >= bound(index - 1) * (1.0 - 1e-12));
        }

        #[test]
        fn runs_tell_every_observation(values in proptest::collection::vec(0.0f64..100.0, 1..200)) {
            let distribution = of(&values);
            let told: u64 = distribution.runs().flat_map(|(_, counts)| counts).map(|count| u64::from(*count)).sum();
            prop_assert_eq!(told + u64::from(distribution.zeros), distribution.count);
            prop_assert_eq!(distribution.up_to(10), distribution.count);
        }
    }
}
