//! Instants and durations as people write them.
//!
//! In: query text, or nanoseconds since 1970. Out: nanoseconds since 1970, or RFC 3339 in UTC. An instant is RFC 3339
//! (`2026-03-01T12:00:00Z`, any offset), unix seconds (`1772366400.5`), `now`, or relative to now (`-15m`).
//! A duration is a number with a unit (`500ms`, `1s`, `15m`, `2h`, `1d`), or several (`1h30m`). The calendar is the
//! proleptic Gregorian one by Howard Hinnant's `days_from_civil`. No clock is read here.

use crate::units::UnixNanos;

const NANOS: i128 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// An instant as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(instant: UnixNanos) -> String {
    let seconds = instant.0 / 1_000_000_000;
    let millis = instant.millis() % 1_000;
    let days = i64::try_from(seconds / 86_400).unwrap_or(0);
    let of_day = seconds % 86_400;
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// An instant as unix seconds, to the millisecond.
#[must_use]
pub fn unix_seconds(instant: UnixNanos) -> f64 {
    instant.millis() as f64 / 1e3
}

/// Reads an instant; `None` when it is none of the forms of the module's documentation or lies before 1970.
#[must_use]
pub fn parse_instant(text: &str, now: UnixNanos) -> Option<UnixNanos> {
    let text = text.trim();
    if text == "now" {
        return Some(now);
    }
    if let Some(ago) = text.strip_prefix('-') {
        return Some(UnixNanos(now.0.saturating_sub(parse_duration(ago)?)));
    }
    if let Some(nanos) = decimal_nanos(text) {
        return Some(UnixNanos(u64::try_from(nanos).ok()?));
    }
    parse_rfc3339(text)
}

/// Reads a duration in nanoseconds; `None` when a unit is missing or unknown, or the sum does not fit.
#[must_use]
pub fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at_checked(letters)?;
        let unit_nanos: i128 = match unit.trim() {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS,
            "m" => 60 * NANOS,
            "h" => 3_600 * NANOS,
            "d" => 86_400 * NANOS,
            "w" => 7 * 86_400 * NANOS,
            _ => return None,
        };
        // `decimal_nanos` counts in billionths, whatever the unit.
        let billionths = decimal_nanos(number)?;
        total = total.checked_add(billionths.checked_mul(unit_nanos)? / NANOS)?;
        rest = next;
    }
    u64::try_from(total).ok()
}

/// A plain decimal number in billionths: `1.5` is 1_500_000_000.
fn decimal_nanos(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 18 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let mut fraction_nanos: i128 = 0;
    for place in fraction.bytes().chain(std::iter::repeat(b'0')).take(9) {
        fraction_nanos = fraction_nanos * 10 + i128::from(place - b'0');
    }
    Some(whole * NANOS + fraction_nanos)
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`.
fn parse_rfc3339(text: &str) -> Option<UnixNanos> {
    let bytes = text.as_bytes();
    let number = |start: usize, len: usize| -> Option<i64> {
        let digits = bytes.get(start..start + len)?;
        digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
    };
    let separator = |at: usize, allowed: &[u8]| bytes.get(at).filter(|byte| allowed.contains(byte));
    separator(4, b"-")?;
    separator(7, b"-")?;
    // A blank stands where a `+` was not percent-encoded, and where people write one instead of the `T`.
    separator(10, b"Tt ")?;
    separator(13, b":")?;
    separator(16, b":")?;
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let in_month = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !in_month || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut zone_at = 19;
    let mut fraction_nanos = 0;
    if bytes.get(19) == Some(&b'.') {
        let digits = bytes.get(20..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        zone_at = 20 + digits;
        fraction_nanos = decimal_nanos(&format!("0.{}", text.get(20..zone_at).filter(|digits| !digits.is_empty())?))?;
    }
    let offset_seconds = match bytes.get(zone_at..)? {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-' | b' '), _, _, b':', _, _] => {
            let (hours, minutes) = (number(zone_at + 1, 2)?, number(zone_at + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3_600 + minutes * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second;
    let nanos = i128::from(seconds - offset_seconds) * NANOS + fraction_nanos;
    Some(UnixNanos(u64::try_from(nanos).ok()?))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years begin in March here, so that the leap day is the last day of a year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixNanos = UnixNanos(1_772_366_400_000_000_000);

    #[test]
    fn known_instants_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(UnixNanos(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(NOW), "2026-03-01T12:00:00.000Z");
        assert_eq!(rfc3339(UnixNanos(951_782_400_123_000_000)), "2000-02-29T00:00:00.123Z");
        assert_eq!(rfc3339(UnixNanos(4_107_542_399_999_999_999)), "2100-02-28T23:59:59.999Z");
    }

    #[test]
    fn every_form_of_an_instant_is_read() {
        let hour = 3_600_000_000_000;
        assert_eq!(parse_instant("now", NOW), Some(NOW));
        assert_eq!(parse_instant("-15m", NOW), Some(UnixNanos(NOW.0 - hour / 4)));
        assert_eq!(parse_instant("1772366400", NOW), Some(NOW));
        assert_eq!(parse_instant("1772366400.25", NOW), Some(UnixNanos(NOW.0 + 250_000_000)));
        assert_eq!(parse_instant("2026-03-01T12:00:00Z", NOW), Some(NOW));
        assert_eq!(parse_instant("2026-03-01T13:00:00+01:00", NOW), Some(NOW));
        assert_eq!(parse_instant("2026-03-01T13:00:00 01:00", NOW), Some(NOW));
        assert_eq!(parse_instant("2026-03-01T10:30:00.5-01:30", NOW), Some(UnixNanos(NOW.0 + 500_000_000)));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in ["", "-", "-15", "yesterday", "2026-02-29T00:00:00Z", "2026-03-01", "1e9", "2026-03-01T12:00:00"] {
            assert_eq!(parse_instant(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn durations_add_up_their_parts() {
        assert_eq!(parse_duration("1s"), Some(1_000_000_000));
        assert_eq!(parse_duration("1.5s"), Some(1_500_000_000));
        assert_eq!(parse_duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(parse_duration("250ms"), Some(250_000_000));
        for text in ["", "1", "s", "1x", "1s2", "-1s", "999999999999999999w"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(millis in 0..253_402_300_799_999_u64 % 18_446_744_073_709) {
            let instant = UnixNanos(millis * 1_000_000);
            prop_assert_eq!(parse_instant(&rfc3339(instant), NOW), Some(instant));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in any::<String>()) {
            let _ = (parse_instant(&text, NOW), parse_duration(&text));
        }

        #[test]
        fn no_almost_right_text_makes_the_parsers_panic(text in "[0-9:TZ.+µsmhd -]{0,40}") {
            let _ = (parse_instant(&text, NOW), parse_duration(&text));
        }
    }
}
