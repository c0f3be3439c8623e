//! Numbers and names as the terminal shows them; every unit is written here and nowhere else.
//!
//! In: base units and text from the API. Out: short text. What is not known is `-`. Names come from containers, so
//! whoever may name a container could write to the terminal of whoever looks: control characters are made visible.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Shown for what is not known.
pub(in crate::view) const ABSENT: &str = "-";

const KIB: f64 = 1024.0;

/// Shows what is there, or `-`.
pub(in crate::view) fn or_absent<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| ABSENT.to_owned(), show)
}

/// Bytes in at most five characters, IEC: `0`, `512`, `34Ki`, `1.2Gi`.
pub(in crate::view) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut scaled = bytes.max(0.0);
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    // 999.5 would be shown as 1000.
    while scaled >= 999.5 {
        let Some(next) = units.next() else { break };
        scaled /= KIB;
        unit = next;
    }
    if unit.is_empty() || scaled >= 9.95 { format!("{scaled:.0}{unit}") } else { format!("{scaled:.1}{unit}") }
}

/// A whole number of bytes, as [`bytes`].
pub(in crate::view) fn whole_bytes(value: u64) -> String {
    bytes(value as f64)
}

/// Memory as `kubectl top` writes it: whole mebibytes, `34Mi`.
pub(in crate::view) fn mebibytes(value: u64) -> String {
    format!("{}Mi", value >> 20)
}

/// CPU as `kubectl top` writes it: whole millicores, rounded up, `12m`.
pub(in crate::view) fn millicores(cores: f64) -> String {
    // A rate is a quotient of floats: 0.5 may come as 0.500000001, which is not 501 millicores.
    format!("{:.0}m", (cores * 1e3 - 1e-3).ceil().max(0.0).abs())
}

/// CPU in cores in at most four characters: `0.50`, `12.3`, `128`.
pub(in crate::view) fn cores(cores: f64) -> String {
    match cores {
        cores if cores < 9.995 => format!("{cores:.2}"),
        cores if cores < 99.95 => format!("{cores:.1}"),
        cores => format!("{cores:.0}"),
    }
}

/// A ratio as whole percent: `40%`.
pub(in crate::view) fn percent(ratio: f64) -> String {
    format!("{:.0}%", ratio * 100.0)
}

/// A percentage of a pressure file: `0.3`, `12`.
pub(in crate::view) fn pressure(percent: f64) -> String {
    if percent < 9.95 { format!("{percent:.1}") } else { format!("{percent:.0}") }
}

/// A duration with its two largest units: `12d3h`, `5m10s`, `15m`, `12.3ms`.
pub(in crate::view) fn duration(seconds: f64) -> String {
    let two = |large: f64, large_unit: &str, small: f64, small_unit: &str| {
        let (wholes, rest) = ((seconds / large).floor(), (seconds % large / small).floor());
        if rest > 0.0 { format!("{wholes}{large_unit}{rest}{small_unit}") } else { format!("{wholes}{large_unit}") }
    };
    match seconds {
        s if s < 0.001 => format!("{:.0}µs", s * 1e6),
        s if s < 1.0 => format!("{:.1}ms", s * 1e3),
        s if s < 60.0 => format!("{s:.0}s"),
        s if s < 3_600.0 => two(60.0, "m", 1.0, "s"),
        s if s < 86_400.0 => two(3_600.0, "h", 60.0, "m"),
        _ => two(86_400.0, "d", 3_600.0, "h"),
    }
}

/// A bar of `width` cells, `ratio` of them filled.
pub(in crate::view) fn bar(ratio: f64, width: usize) -> String {
    let limit = ratio.clamp(0.0, 1.0) * width as f64;
    (0..width).map(|cell| if cell as f64 + 0.5 <= limit { '█' } else { '░' }).collect()
}

/// The last `width` values as a line of blocks, scaled to the largest; a blank where nothing is known.
pub(in crate::view) fn sparkline(values: &[Option<f64>], width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let last = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    let highest = last.iter().flatten().fold(0.0_f64, |a, b| a.max(*b)).max(1e-9);
    let level = |value: f64| {
        let scaled = value / highest * LEVELS.len() as f64;
        LEVELS.iter().enumerate().find(|(index, _)| scaled <= (*index + 1) as f64).map_or('█', |(_, level)| *level)
    };
    let line: String = last.iter().map(|value| value.map_or(' ', level)).collect();
    format!("{line:>width$}")
}

/// Text in at most `width` characters, its middle left out: both the namespace and the container's name stay.
pub(in crate::view) fn elided(text: &str, width: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= width {
        return Cow::Borrowed(text);
    }
    let kept = width.saturating_sub(1);
    let head = kept / 2;
    let start = text.chars().take(head);
    let end = text.chars().skip(length - (kept - head));
    Cow::Owned(start.chain(['…']).chain(end).take(width).collect())
}

/// Makes control characters and characters that reorder or hide text visible.
pub(in crate::view) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            character if !is_unsafe(character) => cleaned.push(character),
            character if character.is_ascii() => _ = write!(cleaned, "\\x{:02x}", u32::from(character)),
            character => _ = write!(cleaned, "\\u{{{:x}}}", u32::from(character)),
        }
    }
    Cow::Owned(cleaned)
}

/// Control characters (C0, DEL, C1), line separators, and characters that change the direction of text or are invisible.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// JSON from the agent, safe to print: what JSON itself leaves as it is, is escaped as JSON escapes it.
///
/// Only inside strings can such characters stand; outside of them only line breaks, which stay.
pub(in crate::view) fn clean_json(json: &str) -> Cow<'_, str> {
    let unsafe_here = |character: char| is_unsafe(character) && !matches!(character, '\n' | '\r' | '\t');
    if !json.contains(unsafe_here) {
        return Cow::Borrowed(json);
    }
    let mut cleaned = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        if unsafe_here(character) {
            _ = write!(cleaned, "\\u{:04x}", u32::from(character));
        } else {
            cleaned.push(character);
        }
    }
    Cow::Owned(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_take_five_characters_at_most() {
        for (value, text) in [
            (0.0, "0"),
            (512.0, "512"),
            (1_000.0, "1.0Ki"),
            (35_651_584.0, "34Mi"),
            (1_288_490_189.0, "1.2Gi"),
            (1_072_693_248.0, "1.0Gi"),
            (1.8e19, "16Ei"),
        ] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn kubectls_units_are_whole_millicores_and_mebibytes() {
        assert_eq!(
            [millicores(0.0), millicores(0.0111), millicores(0.5), millicores(1.25)],
            ["0m", "12m", "500m", "1250m"]
        );
        assert_eq!(mebibytes(35_651_584), "34Mi");
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        for (seconds, text) in [
            (0.0123, "12.3ms"),
            (42.0, "42s"),
            (310.9, "5m10s"),
            (900.0, "15m"),
            (7_265.0, "2h1m"),
            (1_047_600.0, "12d3h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn a_bar_and_a_sparkline_fill_their_width() {
        assert_eq!(bar(0.5, 4), "██░░");
        assert_eq!(bar(7.0, 4), "████");
        let values = [Some(0.0), None, Some(0.5), Some(1.0)];
        assert_eq!(sparkline(&values, 6), "  ▁ ▄█");
        assert_eq!(sparkline(&values, 2), "▄█");
    }

    #[test]
    fn a_long_name_keeps_its_beginning_and_end() {
        assert_eq!(elided("kube-system/coredns-76f75df574-abcde/coredns", 21), "kube-syste…de/coredns");
        assert_eq!(elided("db", 2), "db");
        assert_eq!(elided("web", 1), "…");
        assert_eq!(elided("web", 0), "");
    }

    #[test]
    fn escape_sequences_in_a_name_are_shown_and_not_obeyed() {
        assert_eq!(clean("web"), "web");
        assert_eq!(clean("\u{1b}[31mred\u{9b}2J\u{7f}"), "\\x1b[31mred\\u{9b}2J\\x7f");
        assert_eq!(clean("a\u{202e}b\n"), "a\\u{202e}b\\x0a");
        assert_eq!(clean_json("{\"a\":\"\u{9b}2J\"}\n"), "{\"a\":\"\\u009b2J\"}\n");
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_holds_a_control_character(text in any::<String>()) {
            prop_assert!(!clean(&text).contains(char::is_control));
        }

        #[test]
        fn cleaned_json_means_the_same(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&clean_json(&json)).unwrap(), text);
        }
    }
}
