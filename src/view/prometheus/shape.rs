//! Which labels a series carries: whose set, and which of a runtime's labels are let through.
//!
//! In: what the configuration says. Out: a [`Shape`], decided once and the same for `/metrics` and for history, so that a
//! series has one set of labels everywhere. Nothing is rendered here. Next: [`layout`](super::layout).

use std::sync::Arc;

use super::Labels;
use super::escaping::Naming;

/// How series are labelled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// Whose set of labels.
    pub labels: Labels,
    /// Which of a runtime's labels are in it.
    pub keys: Arc<LabelKeys>,
    /// How their keys become names.
    pub naming: Naming,
}

impl From<Labels> for Shape {
    fn from(labels: Labels) -> Self {
        Self { labels, ..Self::default() }
    }
}

/// Which of a runtime's label keys are shown as `container_label_*`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LabelKeys {
    /// All.
    #[default]
    All,
    /// None.
    Off,
    /// Those that fit one of these: a key, or a key with `*` for any text.
    Only(Vec<String>),
}

impl LabelKeys {
    /// Whether a key, as the runtime has it, is shown.
    #[must_use]
    pub fn allow(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Off => false,
            Self::Only(patterns) => patterns.iter().any(|pattern| fits(pattern, key)),
        }
    }
}

/// Whether `text` is `pattern` with some text for each `*`. Each piece is taken where it stands first, which loses nothing
/// because only the last one is bound to the end.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_a_key_without_one_for_itself() {
        for (pattern, text, fit) in [
            ("app", "app", true),
            ("app", "apps", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("io.kubernetes.*", "io.kubernetes.pod.name", true),
            ("io.kubernetes.*", "app.kubernetes.io/name", false),
            ("*/name", "app.kubernetes.io/name", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("**x", "x", true),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn a_list_lets_through_what_fits_one_of_it() {
        let keys = LabelKeys::Only(vec!["team".into(), "app.*".into()]);
        assert!(keys.allow("team") && keys.allow("app.name") && !keys.allow("teams"));
        assert!(LabelKeys::All.allow("x") && !LabelKeys::Off.allow("x"));
    }
}
