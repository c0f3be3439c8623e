//! Runtimes' timestamps. In: RFC 3339 text. Out: [`UnixNanos`].

use crate::units::UnixNanos;

/// Nanoseconds of a CRI timestamp; 0 and less mean "not yet".
pub(super) fn from_nanos(nanos: i64) -> Option<UnixNanos> {
    u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(UnixNanos)
}

/// Reads `2024-05-06T07:08:09.123456789Z` or with `+02:00`. Times before 1970, which Docker uses for "never"
/// (`0001-01-01T00:00:00Z`), are `None`.
pub(super) fn parse_rfc3339(text: &str) -> Option<UnixNanos> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-');
    let year: i64 = parts.next()?.parse().ok()?;
    let month: i64 = parts.next()?.parse().ok()?;
    let day: i64 = parts.next()?.parse().ok()?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.splitn(3, ':');
    let hour: i64 = parts.next()?.parse().ok()?;
    let minute: i64 = parts.next()?.parse().ok()?;
    let second: i64 = parts.next()?.parse().ok()?;
    let in_range = (1970..=2500).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range {
        return None;
    }
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60)
        }
    };
    // Days since 1970 in the proleptic Gregorian calendar; the year begins in March, so that the leap day is its last.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second - offset).ok()?;
    let mut nanos = 0;
    let mut unit = 100_000_000_u64;
    for digit in fraction.chars().take(9) {
        nanos += u64::from(digit.to_digit(10)?) * unit;
        unit /= 10;
    }
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos).map(UnixNanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_and_podmans_times_are_read() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2024-02-29T23:59:59.5Z", 1_709_251_199, 500_000_000),
            ("2026-11-23T00:33:55.123456789Z", 1_795_394_035, 123_456_789),
            ("2024-05-06T09:08:09.000000001+02:00", 1_714_979_289, 1),
            ("2000-03-01T00:00:00-01:30", 951_874_200, 0),
        ] {
            assert_eq!(parse_rfc3339(text), Some(UnixNanos(seconds * 1_000_000_000 + nanos)), "{text}");
        }
    }

    #[test]
    fn never_and_nonsense_are_no_time() {
        for text in
            ["0001-01-01T00:00:00Z", "", "2024-05-06", "2024-13-06T00:00:00Z", "2024-05-06T00:00:00", "T-Z", "é"]
        {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-0-9TZ:.+é]{0,40}") {
            let _ = parse_rfc3339(&text);
        }
    }
}
