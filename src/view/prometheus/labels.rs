//! Label text: names that the format allows, values that cannot leave their quotes.
//!
//! In: whatever a cgroup path or a runtime's label holds, hostile or not. Out: `name="value"` pairs separated by commas.
//! A metric's name is never made from input. Next: [`layout`](super::layout).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::escaping::{Naming, push_name};

/// Longest label value in bytes, before escaping. Longer ones are cut at a character boundary.
pub const MAX_VALUE_BYTES: usize = 256;
/// Longest `id` in bytes: nested hierarchies have paths longer than [`MAX_VALUE_BYTES`], and what tells one cgroup
/// from another stands at their end.
pub const MAX_ID_BYTES: usize = 1024;
/// Longest sanitised label name in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Most labels that one series may carry.
pub const MAX_LABELS: usize = 64;
/// Most runtime labels that one series carries: what [`MAX_LABELS`] leaves beside the longest identity and a family's own.
pub const MAX_RUNTIME_LABELS: usize = MAX_LABELS - 14;

/// Prefix of a runtime's labels.
pub const RUNTIME_PREFIX: &str = "container_label_";

/// `text` cut to at most `most` bytes, at a character boundary.
#[must_use]
pub fn clip(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// Appends `value` with backslash, double quote and line feed escaped.
pub fn push_escaped(out: &mut String, value: &str) {
    if !value.bytes().any(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        out.push_str(value);
        return;
    }
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// Appends `name="value"`, after a comma unless `out` ends where the block began. An empty value means an absent label
/// to Prometheus, so it is left out.
pub fn push_label(out: &mut String, block_start: usize, name: &str, value: &str) {
    push_label_clipped(out, block_start, name, value, MAX_VALUE_BYTES);
}

/// As [`push_label`] with another cap.
pub fn push_label_clipped(out: &mut String, block_start: usize, name: &str, value: &str, most: usize) {
    if value.is_empty() {
        return;
    }
    if out.len() > block_start {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    push_escaped(out, clip(value, most));
    out.push('"');
}

/// The pairs of a rendered block of unquoted names, unescaped again. A block that was not rendered here ends at its first
/// fault.
pub fn pairs(block: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let (name, value) = rest.strip_prefix(',').unwrap_or(rest).split_once("=\"")?;
        let end = closing_quote(value)?;
        rest = value.get(end + 1..)?;
        Some((name, unescaped(value.get(..end)?)))
    })
}

/// The same where names may stand in quotes.
pub fn quoted_pairs(block: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let pair = rest.strip_prefix(',').unwrap_or(rest);
        let (name, value) = match pair.strip_prefix('"') {
            Some(quoted) => {
                let (name, after) = quoted.split_at_checked(closing_quote(quoted)?)?;
                (unescaped(name), after.strip_prefix("\"=\"")?)
            }
            None => pair.split_once("=\"").map(|(name, value)| (Cow::Borrowed(name), value))?,
        };
        let end = closing_quote(value)?;
        rest = value.get(end + 1..)?;
        Some((name, unescaped(value.get(..end)?)))
    })
}

/// Where the first double quote is that is not escaped.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => break,
            },
            other => other,
        });
    }
    Cow::Owned(out)
}

/// A runtime's label key as cAdvisor shows it: every character outside `[a-zA-Z0-9_]` becomes `_`, behind a prefix.
#[must_use]
pub fn sanitise(key: &str) -> String {
    let mut name = String::with_capacity(RUNTIME_PREFIX.len() + key.len());
    name.push_str(RUNTIME_PREFIX);
    name.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }));
    name.truncate(MAX_NAME_BYTES);
    name
}

/// Appends a runtime's labels. Two keys that become one name keep both values: the later one, in the keys' order,
/// gets the suffix `_conflict2`, `_conflict3`, …
pub fn push_runtime_labels(out: &mut String, block_start: usize, labels: &BTreeMap<String, String>, naming: Naming) {
    let mut used: HashSet<String> = HashSet::with_capacity(labels.len().min(MAX_RUNTIME_LABELS));
    for (key, value) in labels.iter().filter(|(_, value)| !value.is_empty()).take(MAX_RUNTIME_LABELS) {
        let mut name = match naming {
            Naming::Sanitised => sanitise(key),
            Naming::Utf8(escaping) => escaping.name(&format!("{RUNTIME_PREFIX}{key}")),
        };
        if used.contains(&name) {
            let base = name;
            let mut number = 2u32;
            loop {
                name = format!("{base}_conflict{number}");
                if !used.contains(&name) {
                    break;
                }
                number += 1;
            }
        }
        let mut shown = String::with_capacity(name.len() + 2);
        push_name(&mut shown, &name);
        push_label(out, block_start, &shown, value);
        used.insert(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(labels: &[(&str, &str)]) -> String {
        let mut out = String::new();
        push_runtime_labels(
            &mut out,
            0,
            &labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            Naming::Sanitised,
        );
        out
    }

    #[test]
    fn quotes_backslashes_and_line_feeds_cannot_end_a_value() {
        let mut out = String::new();
        push_label(&mut out, 0, "a", "x\"\\\ny 1");
        assert_eq!(out, r#"a="x\"\\\ny 1""#);
    }

    #[test]
    fn a_long_value_is_cut_at_a_character_boundary() {
        let long = format!("a{}", "é".repeat(200));
        let mut out = String::new();
        push_label(&mut out, 0, "a", &long);
        assert_eq!(out.len(), "a=\"\"".len() + 255);
        assert!(out.ends_with("é\""));
    }

    #[test]
    fn keys_that_sanitise_to_one_name_keep_both_values_under_two_names() {
        let out = block(&[("a-b", "1"), ("a.b", "2"), ("a/b", "3"), ("a_b_conflict2", "4")]);
        assert_eq!(
            out,
            "container_label_a_b=\"1\",container_label_a_b_conflict2=\"2\",\
             container_label_a_b_conflict3=\"3\",container_label_a_b_conflict2_conflict2=\"4\""
        );
    }

    #[test]
    fn labels_beyond_the_cap_are_left_out() {
        let labels: BTreeMap<String, String> = (0..200).map(|n| (format!("k{n:03}"), "v".into())).collect();
        let mut out = String::new();
        push_runtime_labels(&mut out, 0, &labels, Naming::Sanitised);
        assert_eq!(out.split(',').count(), MAX_RUNTIME_LABELS);
    }

    #[test]
    fn a_key_of_any_characters_becomes_a_valid_name() {
        assert_eq!(sanitise("io.kubernetes.pod/näme"), "container_label_io_kubernetes_pod_n_me");
        assert_eq!(sanitise(""), "container_label_");
        assert_eq!(sanitise(&"x".repeat(500)).len(), MAX_NAME_BYTES);
    }

    #[test]
    fn an_empty_value_is_no_label() {
        assert_eq!(block(&[("a", ""), ("b", "1")]), "container_label_b=\"1\"");
    }

    #[test]
    fn a_name_of_any_characters_is_read_back_from_its_quotes() {
        let labels: BTreeMap<String, String> =
            [("a=\"b\\", "1"), ("io.kubernetes/ü", "2"), ("plain", "3")].map(|(k, v)| (k.into(), v.into())).into();
        let mut block = String::new();
        push_runtime_labels(&mut block, 0, &labels, Naming::Utf8(super::super::escaping::Escaping::AllowUtf8));
        assert_eq!(
            block,
            "\"container_label_a=\\\"b\\\\\"=\"1\",\"container_label_io.kubernetes/ü\"=\"2\",container_label_plain=\"3\""
        );
        let read: Vec<_> = quoted_pairs(&block).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let written = labels.into_iter().map(|(key, value)| (format!("{RUNTIME_PREFIX}{key}"), value));
        assert_eq!(read, written.collect::<Vec<_>>());
    }

    proptest::proptest! {
        #[test]
        fn a_block_gives_back_the_values_that_it_was_rendered_from(
            values in proptest::collection::vec("[a-c\\\\\"\n,=ü]{1,8}", 0..6)
        ) {
            let mut block = String::new();
            for value in &values {
                push_label(&mut block, 0, "name", value);
            }
            let read: Vec<_> = pairs(&block).map(|(name, value)| (name, value.into_owned())).collect();
            let written: Vec<_> = values.into_iter().map(|value| ("name", value)).collect();
            proptest::prop_assert_eq!(read, written);
        }
    }
}
