//! Environment variables of containers, as far as somebody asked for them by name.
//!
//! In: how names may begin, and `NAME=value` as a runtime tells it. Out: those that fit. They often hold secrets, so none is
//! kept that was not asked for, and without a prefix none is looked at. Bounded in number and length. Next:
//! [`Metadata`](crate::discover::Metadata).

use std::collections::BTreeMap;

use super::book::clip;

/// The most variables of one container.
const MAX_VARIABLES: usize = 16;
/// The longest name that is kept, and what of a value is.
const MAX_NAME_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 256;

/// The variables whose names begin with one of `prefixes`.
pub(super) fn chosen<'a>(
    prefixes: &[String],
    variables: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    if prefixes.is_empty() {
        return kept;
    }
    for (name, value) in variables.into_iter().filter_map(|variable| variable.split_once('=')) {
        let wanted = prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())) && name.len() <= MAX_NAME_BYTES;
        if wanted && !name.is_empty() && (kept.len() < MAX_VARIABLES || kept.contains_key(name)) {
            let mut value = value.to_owned();
            clip(&mut value, MAX_VALUE_BYTES);
            kept.insert(name.to_owned(), value);
        }
    }
    kept
}

/// The environment in the runtime specification, which both containerd and CRI-O give when asked for more.
#[derive(serde::Deserialize, Default)]
struct Specified {
    #[serde(default, rename = "runtimeSpec")]
    runtime_spec: Spec,
}

#[derive(serde::Deserialize, Default)]
struct Spec {
    #[serde(default)]
    process: Process,
}

#[derive(serde::Deserialize, Default)]
struct Process {
    #[serde(default)]
    env: Vec<String>,
}

/// The same of a runtime's JSON; nothing where there is none.
pub(super) fn chosen_of_json(prefixes: &[String], json: &[u8]) -> BTreeMap<String, String> {
    if prefixes.is_empty() {
        return BTreeMap::new();
    }
    let specified: Specified = serde_json::from_slice(json).unwrap_or_default();
    chosen(prefixes, specified.runtime_spec.process.env.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn only_variables_that_were_asked_for_are_kept() {
        let all = ["APP_A=1", "APP_B=x=y", "SECRET=s", "APPLE", "=z", "APP_E="];
        let kept = chosen(&prefixes(&["APP_"]), all);
        let kept: Vec<_> = kept.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(kept, [("APP_A", "1"), ("APP_B", "x=y"), ("APP_E", "")]);
        assert!(chosen(&[], all).is_empty());
    }

    #[test]
    fn their_number_and_length_are_bounded() {
        let many: Vec<String> = (0..100).map(|n| format!("A{n}={}", "é".repeat(1000))).collect();
        let kept = chosen(&prefixes(&["A"]), many.iter().map(String::as_str));
        assert_eq!(kept.len(), MAX_VARIABLES);
        assert!(kept.values().all(|value| value.len() == 256));
        assert!(chosen(&prefixes(&["A"]), [format!("A{}=1", "x".repeat(200)).as_str()]).is_empty());
    }

    #[test]
    fn the_environment_of_a_runtime_specification_is_found() {
        let json = br#"{"pid":1,"runtimeSpec":{"process":{"args":["a"],"env":["V=1","W=2"]}}}"#;
        assert_eq!(chosen_of_json(&prefixes(&["V"]), json), BTreeMap::from([("V".to_owned(), "1".to_owned())]));
        for other in [&b"garbage"[..], b"{}", b"{\"runtimeSpec\":{}}", b"{\"runtimeSpec\":{\"process\":{\"env\":1}}}"] {
            assert!(chosen_of_json(&prefixes(&["V"]), other).is_empty());
        }
    }
}
