//! `os-release`: what the operating system calls itself.
//!
//! In: the file's text. Out: its keys and values. Source: os-release(5). Assignments of a shell, of which quotes and
//! backslashes are understood, and nothing else. Never reads. Next: `machine.rs` and the details of the node.

use std::collections::BTreeMap;

/// Keys and values.
pub type OsRelease = BTreeMap<String, String>;

/// The file's assignments; of two to one key the last.
#[must_use]
pub fn parse_os_release(text: &str) -> OsRelease {
    let is_key = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(key, _)| is_key(key))
        .map(|(key, value)| (key.to_owned(), unquoted(value.trim())))
        .collect()
}

/// The value without its quotes and the shell's backslashes.
fn unquoted(value: &str) -> String {
    let quoted = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = quoted('\'') {
        return inner.to_owned();
    }
    let mut name = String::new();
    let mut escaping = false;
    for c in quoted('"').unwrap_or(value).chars() {
        if c == '\\' && !escaping {
            escaping = true;
        } else {
            name.push(c);
            escaping = false;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_and_backslashes_are_the_shells() {
        let text =
            "ID=debian\n# NAME=no\nNAME=\"A \\\"B\\\" \\\\\"\nVARIANT='it\\s'\n BAD KEY=1\nID=last\nVERSION_ID=\n=x\n";
        let release = parse_os_release(text);
        let pairs: Vec<_> = release.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("ID", "last"), ("NAME", "A \"B\" \\"), ("VARIANT", "it\\s"), ("VERSION_ID", "")]);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[A-Z=\"'\\\\ \n#é]{0,60}") {
            let _ = parse_os_release(&text);
        }
    }
}
