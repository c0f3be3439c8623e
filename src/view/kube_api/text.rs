//! Values as Kubernetes writes them: quantities, times, durations and JSON strings, appended to a buffer.
//!
//! In: integers and text. Out: bytes, without an allocation of its own. Quantities are canonical as Go's
//! `resource.Quantity` writes them: no fraction, the largest suffix that keeps the value. Next: [`super::json`].

use std::time::Duration;

use crate::units::UnixNanos;
use crate::view::api::rfc3339;

/// Appends a JSON string with its quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escaped(out, text.as_bytes());
    }
    out.push(b'"');
}

/// Whether nothing has to be escaped; eight bytes at a time, for names and labels are most of a list.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    let special = words.iter().fold(0, |special, word| {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        special | below(word, 0x20) | quote | backslash
    });
    special == 0 && rest.iter().all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\')
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            control if *control < 0x20 => {
                let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend(b"\\u00");
                out.extend([digit(control >> 4), digit(control & 15)]);
            }
            plain => out.push(*plain),
        }
    }
}

/// Appends a decimal integer.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends thousand-millionths as a canonical decimal quantity: `123456n`, `1500u`, `250m`, `2`, `3k`.
pub(super) fn nano_quantity(out: &mut Vec<u8>, nanos: u64) {
    const SUFFIXES: [&str; 8] = ["n", "u", "m", "", "k", "M", "G", "T"];
    if nanos == 0 {
        out.push(b'0');
        return;
    }
    let mut value = nanos;
    let mut suffixes = SUFFIXES.iter();
    let mut suffix = suffixes.next().copied().unwrap_or_default();
    while value.is_multiple_of(1_000) {
        let Some(next) = suffixes.next() else { break };
        value /= 1_000;
        suffix = next;
    }
    number(out, value);
    out.extend_from_slice(suffix.as_bytes());
}

/// Appends bytes as a canonical binary quantity: `1234Ki`, `3Mi`, `1023`.
pub(super) fn byte_quantity(out: &mut Vec<u8>, bytes: u64) {
    const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    // Below 1024 Kubernetes writes it as a decimal quantity, which 1000 alone shows.
    if bytes == 1_000 {
        out.extend_from_slice(b"1k");
        return;
    }
    let mut value = bytes;
    let mut suffixes = SUFFIXES.iter();
    let mut suffix = suffixes.next().copied().unwrap_or_default();
    while value >= 1_024 && value.is_multiple_of(1_024) {
        let Some(next) = suffixes.next() else { break };
        value /= 1_024;
        suffix = next;
    }
    number(out, value);
    out.extend_from_slice(suffix.as_bytes());
}

/// A number that may have a fraction, as a canonical decimal quantity; what is finer than a billionth is rounded.
pub(super) fn quantity(value: f64) -> String {
    let nanos = (value * 1e9).round();
    let mut out = Vec::new();
    if nanos.is_finite() && (0.0..1.8e19).contains(&nanos) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range, as was just tested")]
        nano_quantity(&mut out, nanos as u64);
    } else {
        // Beyond 18 billion nobody misses the fraction.
        let whole = value.clamp(0.0, 9e18).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was clamped")]
        number(&mut out, whole as u64);
    }
    String::from_utf8(out).unwrap_or_default()
}

/// A duration as Go writes it: `15.012s`, `1m30s`, `1h0m0s`, `500ms`, `0s`.
pub(super) fn go_duration(out: &mut Vec<u8>, duration: Duration) {
    // In 64 bits: dividing 128 is several times as dear, and 584 years are enough.
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        out.extend_from_slice(b"0s");
        return;
    }
    for (unit_nanos, unit) in [(1_000, "ns"), (1_000_000, "\u{b5}s"), (1_000_000_000, "ms")] {
        if nanos < unit_nanos {
            fraction(out, nanos, unit_nanos / 1_000);
            out.extend_from_slice(unit.as_bytes());
            return;
        }
    }
    let seconds = nanos / 1_000_000_000;
    if seconds >= 3_600 {
        number(out, seconds / 3_600);
        out.push(b'h');
    }
    if seconds >= 60 {
        number(out, seconds / 60 % 60);
        out.push(b'm');
    }
    fraction(out, nanos % 60_000_000_000, 1_000_000_000);
    out.push(b's');
}

/// `value / unit` as a decimal without trailing zeros; `unit` is a power of ten.
fn fraction(out: &mut Vec<u8>, value: u64, unit: u64) {
    number(out, value / unit);
    let mut rest = value % unit;
    if rest == 0 {
        return;
    }
    out.push(b'.');
    let mut place = unit / 10;
    while rest > 0 && place > 0 {
        out.push(b'0' + u8::try_from(rest / place).unwrap_or(0));
        rest %= place;
        place /= 10;
    }
}

/// A time as `metav1.Time` is written: whole seconds, `2026-03-01T12:00:00Z`.
pub(super) fn time(at: UnixNanos) -> String {
    let mut text = rfc3339(at);
    if let Some(point) = text.find('.') {
        text.replace_range(point.., "Z");
    }
    text
}

/// How many times are remembered: nodes push every few seconds, and lists go through all of them.
const REMEMBERED: u64 = 64;

/// Writes times, and remembers the last ones: all pods of a node were read at the same instant.
#[derive(Debug)]
pub(super) struct Times(Vec<(u64, String)>);

impl Default for Times {
    fn default() -> Self {
        // No time is this late, so nothing is found before it was written.
        Self((0..REMEMBERED).map(|_| (u64::MAX, String::new())).collect())
    }
}

impl Times {
    pub(super) fn write(&mut self, out: &mut Vec<u8>, at: UnixNanos) {
        let seconds = at.0 / 1_000_000_000;
        let place = usize::try_from(seconds % REMEMBERED).unwrap_or_default();
        let Some((of, text)) = self.0.get_mut(place) else { return };
        if *of != seconds {
            *of = seconds;
            *text = time(at);
        }
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quantities_are_canonical_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0"),
            (1, "1n"),
            (123_456, "123456n"),
            (5_462_353, "5462353n"),
            (1_500_000, "1500u"),
            (250_000_000, "250m"),
            (2_000_000_000, "2"),
            (3_000_000_000_000, "3k"),
        ] {
            assert_eq!(written(|out| nano_quantity(out, nanos)), text);
        }
        for (bytes, text) in [
            (0, "0"),
            (1_000, "1k"),
            (1_023, "1023"),
            (1_024, "1Ki"),
            (1_234 << 10, "1234Ki"),
            (1_234_567, "1234567"),
            (3 << 20, "3Mi"),
            (1 << 60, "1Ei"),
        ] {
            assert_eq!(written(|out| byte_quantity(out, bytes)), text);
        }
    }

    #[test]
    fn numbers_with_a_fraction_become_quantities_of_the_largest_suffix() {
        for (value, text) in
            [(0.0, "0"), (0.25, "250m"), (12.0, "12"), (1_500.0, "1500"), (0.000_5, "500u"), (1e12, "1000000000000")]
        {
            assert_eq!(quantity(value), text, "{value}");
        }
        assert_eq!(quantity(f64::NAN), "0");
        assert_eq!(quantity(-1.0), "0");
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (500_000_000, "500ms"),
            (15_012_000_000, "15.012s"),
            (15_000_000_000, "15s"),
            (60_000_000_000, "1m0s"),
            (90_000_000_001, "1m30.000000001s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_500_000_000, "25h1m1.5s"),
        ] {
            assert_eq!(written(|out| go_duration(out, Duration::from_nanos(nanos))), text);
        }
    }

    #[test]
    fn a_time_has_whole_seconds_and_the_next_one_is_not_the_last() {
        let mut times = Times::default();
        assert_eq!(written(|out| times.write(out, UnixNanos(1_772_366_400_999_000_000))), "2026-03-01T12:00:00Z");
        assert_eq!(written(|out| times.write(out, UnixNanos(1_772_366_401_000_000_000))), "2026-03-01T12:00:01Z");
        // The same place of what is remembered.
        assert_eq!(written(|out| times.write(out, UnixNanos(1_772_366_464_000_000_000))), "2026-03-01T12:01:04Z");
        assert_eq!(written(|out| times.write(out, UnixNanos(1_772_366_400_000_000_000))), "2026-03-01T12:00:00Z");
    }

    proptest! {
        #[test]
        fn any_text_is_a_json_string_that_reads_back(text in any::<String>()) {
            let json = written(|out| string(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
