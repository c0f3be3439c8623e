//! Numbers as text: kernel integers to base units by placing the decimal point, never through a float.
//!
//! In: an integer and the number of decimal places that its unit has. Out: digits. 1 234 567 µs is `1.234567` exactly,
//! also above 2^53 where a float would begin to lie. Next: [`encoder`](super::encoder).

use crate::sample::catalogue::Unit;

/// One sample's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// `units / 10^places`.
    Decimal {
        /// The integer.
        units: u64,
        /// Decimal places.
        places: u8,
    },
    /// A computed ratio or rate.
    Float(f64),
}

impl Number {
    /// A plain integer.
    #[must_use]
    pub const fn integer(value: u64) -> Self {
        Self::Decimal { units: value, places: 0 }
    }

    /// The nearest float: what a reader of the digits gets.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "rounding to the nearest float is what is asked for")]
    pub fn to_f64(self) -> f64 {
        /// Below it an integer and a power of ten are exact floats, so that their quotient is rounded once.
        const EXACT: u64 = 1 << 53;
        match self {
            Self::Decimal { units, places: 0 } => units as f64,
            Self::Decimal { units, places } if units <= EXACT && places <= 19 => {
                units as f64 / 10u64.pow(u32::from(places)) as f64
            }
            Self::Decimal { .. } => {
                let mut digits = Vec::with_capacity(32);
                self.push_to(&mut digits);
                std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(f64::NAN)
            }
            Self::Float(value) => value,
        }
    }

    /// Appends the digits.
    pub fn push_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Decimal { units, places: 0 } => {
                out.extend_from_slice(itoa::Buffer::new().format(units).as_bytes());
            }
            Self::Decimal { units, places } => push_decimal(out, units, places),
            Self::Float(value) if value.is_nan() => out.extend_from_slice(b"NaN"),
            Self::Float(value) if value.is_infinite() => {
                out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
            }
            Self::Float(value) => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
        }
    }
}

fn push_decimal(out: &mut Vec<u8>, units: u64, places: u8) {
    let Some(scale) = 10u64.checked_pow(u32::from(places)) else {
        return Number::Float(f64::NAN).push_to(out);
    };
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(units / scale).as_bytes());
    let fraction = units % scale;
    if fraction == 0 {
        return;
    }
    let fraction = digits.format(fraction).as_bytes();
    out.push(b'.');
    out.resize(out.len() + usize::from(places).saturating_sub(fraction.len()), b'0');
    out.extend_from_slice(fraction);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// Decimal places between a column's unit and the base unit that is shown: seconds, bytes, ratios.
#[must_use]
pub const fn places(unit: Unit) -> u8 {
    match unit {
        Unit::Nanos => 9,
        Unit::Usec => 6,
        Unit::Msec => 3,
        Unit::Ticks | Unit::Hundredths => 2,
        Unit::PercentHundredths => 4,
        Unit::Bytes | Unit::Pages | Unit::Sectors | Unit::Count | Unit::Flag | Unit::UnixSeconds => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: Number) -> String {
        let mut out = Vec::new();
        number.push_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn microseconds_become_seconds_by_placing_the_point() {
        let usec = |units| text(Number::Decimal { units, places: places(Unit::Usec) });
        assert_eq!(usec(1_234_567), "1.234567");
        assert_eq!(usec(0), "0");
        assert_eq!(usec(2_000_000), "2");
        assert_eq!(usec(1_500_000), "1.5");
        assert_eq!(usec(1), "0.000001");
        assert_eq!(usec(10_000_100_000), "10000.1");
        assert_eq!(usec(u64::MAX), "18446744073709.551615");
    }

    #[test]
    fn a_percentage_with_two_decimals_becomes_a_ratio() {
        assert_eq!(text(Number::Decimal { units: 10_000, places: places(Unit::PercentHundredths) }), "1");
        assert_eq!(text(Number::Decimal { units: 123, places: places(Unit::PercentHundredths) }), "0.0123");
    }

    #[test]
    fn integers_beyond_what_a_float_holds_stay_exact() {
        assert_eq!(text(Number::integer((1 << 53) + 1)), "9007199254740993");
        assert_eq!(text(Number::integer(u64::MAX)), "18446744073709551615");
    }

    #[test]
    fn special_floats_have_the_words_of_the_format() {
        assert_eq!(text(Number::Float(f64::NAN)), "NaN");
        assert_eq!(text(Number::Float(f64::INFINITY)), "+Inf");
        assert_eq!(text(Number::Float(f64::NEG_INFINITY)), "-Inf");
        assert_eq!(text(Number::Float(0.25)), "0.25");
    }

    proptest! {
        #[test]
        fn the_float_is_what_a_reader_of_the_digits_gets(units: u64, shift in 0u32..64, places in 0u8..10) {
            let number = Number::Decimal { units: units >> shift, places };
            prop_assert_eq!(number.to_f64().to_bits(), text(number).parse::<f64>().unwrap().to_bits());
        }

        #[test]
        fn the_digits_mean_the_integer_again(units: u64, places in 0u8..10) {
            let shown = text(Number::Decimal { units, places });
            let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
            let fraction = format!("{fraction:0<width$}", width = usize::from(places));
            prop_assert_eq!(format!("{whole}{fraction}").parse::<u128>().unwrap(), u128::from(units));
        }
    }
}
