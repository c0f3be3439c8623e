//! Byte helpers of all parsers: decimals, hundredths, complete lines, fields and the table of keys.
//!
//! In: bytes as the kernel printed them. Out: integers, slices of the input. The two rules that every parser takes
//! from here: a number is all of its digits or `None` (no sign, no wrap, no rounding), and a line counts only when its
//! newline is there, because a file that was cut inside `123456` must not be read as `123`.
//! Never allocates, never panics. Next: the parsers in `cgroup/`, `cgroup_v1/` and `proc/`.

use crate::units::ErrorClass;

/// The bytes as a whole are not in the format of their kernel file; the caller shows the value as absent and counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in the format of this kernel file")]
pub struct Malformed;

impl From<Malformed> for ErrorClass {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The decimal number that `bytes` is, from first to last byte. `None` when empty, signed, above `u64` or not a number.
#[must_use]
#[inline]
pub fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    // 19 digits cannot overflow, so that only longer (rare) numbers pay for the check.
    let unchecked = bytes.len() <= 19;
    let mut value = 0u64;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = if unchecked {
            value.wrapping_mul(10).wrapping_add(u64::from(digit))
        } else {
            value.checked_mul(10)?.checked_add(u64::from(digit))?
        };
    }
    Some(value)
}

/// [`decimal`] for numbers that fit 32 bits: pids, device numbers, CPUs.
#[must_use]
#[inline]
pub fn decimal_u32(bytes: &[u8]) -> Option<u32> {
    u32::try_from(decimal(bytes)?).ok()
}

/// The number that `bytes` is in hexadecimal digits, without `0x`. `None` when empty, above `u64` or not a number.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        value.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

/// The kernel's `%lu.%02lu` in hundredths: `1.23` is 123. `None` unless there are exactly two digits after the point.
#[must_use]
#[inline]
pub fn hundredths(bytes: &[u8]) -> Option<u64> {
    let (head, fraction) = bytes.split_last_chunk::<2>()?;
    let whole = decimal(head.strip_suffix(b".")?)?;
    whole.checked_mul(100)?.checked_add(decimal(fraction)?)
}

/// Cuts `bytes` at the first newline: the line without its `\n` or `\r\n`, and what follows. `None` when there is no
/// newline, which is the end of the file or a torn line.
#[must_use]
#[inline]
pub fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    let (_, rest) = rest.split_first()?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

/// Iterator over the complete lines of a file; see [`complete_lines`].
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
}

/// The lines of `bytes` that end in a newline, without it.
#[must_use]
pub const fn complete_lines(bytes: &[u8]) -> Lines<'_> {
    Lines { rest: bytes }
}

impl Lines<'_> {
    /// After the last line: whether bytes without a newline are left, so that the file is torn.
    #[must_use]
    pub const fn is_torn(&self) -> bool {
        !self.rest.is_empty()
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (line, rest) = split_line(self.rest)?;
        self.rest = rest;
        Some(line)
    }
}

/// The only line of a file that has exactly one.
///
/// # Errors
/// [`Malformed`] when the file is empty, torn, or has more than one line.
#[inline]
pub fn only_line(bytes: &[u8]) -> Result<&[u8], Malformed> {
    match split_line(bytes) {
        Some((line, [])) => Ok(line),
        _ => Err(Malformed),
    }
}

/// Iterator over the fields of a line; see [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The parts of `line` between runs of spaces and tabs.
#[must_use]
pub const fn fields(line: &[u8]) -> Fields<'_> {
    Fields { rest: line }
}

impl<'a> Fields<'a> {
    /// The next field as a number; `None` when there is none or it is not one.
    #[must_use]
    #[inline]
    pub fn decimal(&mut self) -> Option<u64> {
        decimal(self.next()?)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = trim_blanks_start(self.rest);
        let end = rest.iter().position(|byte| is_blank(*byte)).unwrap_or(rest.len());
        let (field, rest) = rest.split_at_checked(end)?;
        self.rest = rest;
        (!field.is_empty()).then_some(field)
    }
}

/// Space or tab.
#[inline]
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `bytes` without spaces and tabs at its start.
#[inline]
fn trim_blanks_start(mut bytes: &[u8]) -> &[u8] {
    while let Some((first, rest)) = bytes.split_first()
        && is_blank(*first)
    {
        bytes = rest;
    }
    bytes
}

/// `bytes` without spaces and tabs at both ends.
#[inline]
fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_blanks_start(bytes);
    while let Some((last, rest)) = bytes.split_last()
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Cuts `bytes` at the first `separator`, which belongs to neither half.
#[must_use]
#[inline]
pub fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    let (head, tail) = bytes.split_at_checked(at)?;
    Some((head, tail.split_first()?.1))
}

/// Cuts `bytes` at the last `separator`, which belongs to neither half.
#[must_use]
#[inline]
pub fn rsplit_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().rposition(|byte| *byte == separator)?;
    let (head, tail) = bytes.split_at_checked(at)?;
    Some((head, tail.split_first()?.1))
}

/// One line of a parser's table: a key of the kernel and the field it fills.
pub struct Key<T> {
    /// The kernel's key, byte for byte.
    pub name: &'static [u8],
    /// Where the value goes.
    pub slot: fn(&mut T) -> &mut Option<u64>,
}

/// Reads a file of `key value` lines into `into`, by `table`. See [`parse_keyed_by`].
#[inline]
pub fn parse_keyed<T>(bytes: &[u8], table: &[Key<T>], into: &mut T) {
    parse_keyed_by(bytes, table, into, |_, value| decimal(value));
}

/// Reads a file of `key value` lines into `into`, by `table`, with `number` turning a key's text into its integer.
///
/// Order is a hint, never a condition: the kernel prints the keys in nearly the same order each time, so the table's
/// next line is tried first and the table is searched only when that misses. Unknown keys are skipped; a key that
/// repeats keeps its first value; a torn last line is left out.
#[inline]
pub fn parse_keyed_by<T>(bytes: &[u8], table: &[Key<T>], into: &mut T, number: impl Fn(&Key<T>, &[u8]) -> Option<u64>) {
    let mut rest = bytes;
    let mut ahead = table;
    loop {
        if let Some((key, behind)) = ahead.split_first()
            && let Some(tail) = rest.strip_prefix(key.name)
            && tail.first().is_some_and(|byte| is_blank(*byte))
        {
            let Some((value, after)) = split_line(tail) else { return };
            put(key, value, into, &number);
            (rest, ahead) = (after, behind);
            continue;
        }
        let Some((line, after)) = split_line(rest) else { return };
        rest = after;
        let Some(end) = line.iter().position(|byte| is_blank(*byte)) else { continue };
        let Some((name, value)) = line.split_at_checked(end) else { continue };
        if let Some(index) = table.iter().position(|key| key.name == name)
            && let Some((key, behind)) = table.get(index..).and_then(<[_]>::split_first)
        {
            put(key, value, into, &number);
            ahead = behind;
        }
    }
}

/// Fills `key`'s field unless an earlier line did.
#[inline]
fn put<T>(key: &Key<T>, value: &[u8], into: &mut T, number: impl Fn(&Key<T>, &[u8]) -> Option<u64>) {
    let slot = (key.slot)(into);
    if slot.is_none() {
        *slot = number(key, trim_blanks(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_all_of_its_digits_or_nothing() {
        for (text, value) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("00000000000000000000000001", Some(1)),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("100000000000000000000000000", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1 ", None),
            ("1k", None),
            ("1.0", None),
            ("0x10", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), value, "{text:?}");
        }
        assert_eq!(decimal(b"\xff\xfe"), None);
        assert_eq!(decimal_u32(b"4294967295"), Some(u32::MAX));
        assert_eq!(decimal_u32(b"4294967296"), None);
    }

    #[test]
    fn a_hexadecimal_number_has_no_prefix_and_fits() {
        assert_eq!(hexadecimal(b"0038f0fF"), Some(0x0038_f0ff));
        assert_eq!(hexadecimal(b"ffffffffffffffff"), Some(u64::MAX));
        for bad in [&b""[..], b"0x1", b"10000000000000000", b"-1", b"g"] {
            assert_eq!(hexadecimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn hundredths_need_exactly_two_digits_after_the_point() {
        for (text, value) in [
            ("0.00", Some(0)),
            ("1.23", Some(123)),
            ("100.00", Some(10_000)),
            ("184467440737095516.15", Some(u64::MAX)),
            ("184467440737095516.16", None),
            ("1.2", None),
            ("1.234", None),
            ("1", None),
            (".23", None),
            ("1.", None),
            ("-1.00", None),
            ("1,23", None),
        ] {
            assert_eq!(hundredths(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn a_line_without_its_newline_is_not_a_line() {
        let mut lines = complete_lines(b"a 1\r\n\nb 2\nc 3");
        assert_eq!(lines.by_ref().collect::<Vec<_>>(), [&b"a 1"[..], b"", b"b 2"]);
        assert!(lines.is_torn());
        let mut whole = complete_lines(b"a\n");
        assert_eq!(whole.by_ref().count(), 1);
        assert!(!whole.is_torn());
        assert_eq!(only_line(b"max\n"), Ok(&b"max"[..]));
        assert_eq!(only_line(b"max"), Err(Malformed));
        assert_eq!(only_line(b"1\n2\n"), Err(Malformed));
        assert_eq!(only_line(b""), Err(Malformed));
    }

    #[test]
    fn fields_lie_between_runs_of_blanks() {
        assert_eq!(fields(b"  a \t b  ").collect::<Vec<_>>(), [&b"a"[..], b"b"]);
        assert_eq!(fields(b" \t ").next(), None);
    }

    #[derive(Default, Debug, PartialEq)]
    struct Three {
        a: Option<u64>,
        ab: Option<u64>,
        c: Option<u64>,
    }

    const TABLE: &[Key<Three>] = &[
        Key { name: b"a", slot: |three| &mut three.a },
        Key { name: b"ab", slot: |three| &mut three.ab },
        Key { name: b"c", slot: |three| &mut three.c },
    ];

    fn three(bytes: &[u8]) -> Three {
        let mut into = Three::default();
        parse_keyed(bytes, TABLE, &mut into);
        into
    }

    #[test]
    fn keys_are_found_in_any_order_and_strangers_are_skipped() {
        let all = Three { a: Some(1), ab: Some(2), c: Some(3) };
        for text in
            ["a 1\nab 2\nc 3\n", "c 3\nab 2\na 1\n", "x 9\na 1\n\nabc 7\nz\nc 3\nab 2\nx 9\n", "ab  2 \nc\t3\na 1\n"]
        {
            assert_eq!(three(text.as_bytes()), all, "{text:?}");
        }
    }

    #[test]
    fn a_repeated_key_keeps_its_first_value() {
        assert_eq!(three(b"a 1\na 2\n").a, Some(1));
        assert_eq!(three(b"c 1\nab 4\nc 2\n"), Three { a: None, ab: Some(4), c: Some(1) });
    }

    #[test]
    fn a_bad_value_loses_its_key_and_no_other() {
        for bad in ["-1", "18446744073709551616", "1x", "", "1 2", "\u{fffd}", "1.5"] {
            let text = format!("a 1\nab {bad}\nc 3\n");
            assert_eq!(three(text.as_bytes()), Three { a: Some(1), ab: None, c: Some(3) }, "{bad:?}");
        }
    }
}
