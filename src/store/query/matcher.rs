//! Label matchers: which series are meant.
//!
//! In: a label's name, one of `=`, `!=`, `=~`, `!~`, and a value, from a selector's text or a remote read's message. Out:
//! [`Matcher`], ready to be asked. An absent label has the empty value, as in PromQL. Regular expressions are anchored
//! at both ends; their text and what they compile to are bounded, and they match in linear time. They are those of the
//! `regex` crate, which are RE2's but that `\d`, `\w`, `\s` and `\b` know all of Unicode. Next: [`selector`](super::selector),
//! [`answer`](super::answer) and, for series under Prometheus' names, `view/remote`.

use regex::{Regex, RegexBuilder};

/// Longest regular expression in bytes.
pub const MAX_PATTERN_BYTES: usize = 8 * 1024;
/// Most memory that one compiled regular expression may take.
const MAX_COMPILED_BYTES: usize = 512 * 1024;
/// Most memory for the states that it makes while matching.
const MAX_STATES_BYTES: usize = 256 * 1024;
/// Deepest nesting of groups.
const MAX_NESTING: u32 = 64;

/// How a label's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
}

/// Why a matcher cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// The expression is longer than [`MAX_PATTERN_BYTES`]; ask in several requests.
    #[error("the regular expression for {label} has {bytes} bytes; at most {MAX_PATTERN_BYTES} are taken")]
    TooLong {
        /// The label that it is about.
        label: String,
        /// Its length.
        bytes: usize,
    },
    /// The expression compiles to more than is allowed; write it with fewer or smaller repetitions.
    #[error("the regular expression for {label} is too large when compiled; use fewer or smaller repetitions")]
    TooLarge {
        /// The label that it is about.
        label: String,
    },
    /// It is none, or uses what linear-time matching cannot do (look-around, back-references).
    #[error("the regular expression for {label} cannot be understood: {reason}")]
    Malformed {
        /// The label that it is about.
        label: String,
        /// The parser's words.
        reason: String,
    },
}

#[derive(Debug, Clone)]
enum Test {
    Equal,
    NotEqual,
    Matches(Regex),
    MatchesNot(Regex),
}

/// One condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    label: String,
    value: String,
    test: Test,
}

impl Matcher {
    /// Prepares a condition.
    ///
    /// # Errors
    /// [`MatcherError`] when the value is a regular expression that cannot be used.
    pub fn new(label: String, comparison: Comparison, value: String) -> Result<Self, MatcherError> {
        let test = match comparison {
            Comparison::Equal => Test::Equal,
            Comparison::NotEqual => Test::NotEqual,
            Comparison::Matches => Test::Matches(compile(&label, &value)?),
            Comparison::MatchesNot => Test::MatchesNot(compile(&label, &value)?),
        };
        Ok(Self { label, value, test })
    }

    /// `label="value"`, which can always be used.
    #[must_use]
    pub fn equal(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), value: value.to_owned(), test: Test::Equal }
    }

    /// The label that it looks at; `__name__` is the metric's name.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What is compared with, as it was meant: without quotes and escapes.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The comparison as it is written.
    #[must_use]
    pub const fn operator(&self) -> &'static str {
        match self.test {
            Test::Equal => "=",
            Test::NotEqual => "!=",
            Test::Matches(_) => "=~",
            Test::MatchesNot(_) => "!~",
        }
    }

    /// Whether it is a regular expression.
    #[must_use]
    pub const fn is_regex(&self) -> bool {
        matches!(self.test, Test::Matches(_) | Test::MatchesNot(_))
    }

    /// Whether a value fits; the empty one is that of an absent label.
    #[must_use]
    pub fn fits(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal => self.value == value,
            Test::NotEqual => self.value != value,
            Test::Matches(regex) => regex.is_match(value),
            Test::MatchesNot(regex) => !regex.is_match(value),
        }
    }
}

fn compile(label: &str, pattern: &str) -> Result<Regex, MatcherError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(MatcherError::TooLong { label: label.to_owned(), bytes: pattern.len() });
    }
    let anchored = format!("^(?s:{pattern})$");
    let built = RegexBuilder::new(&anchored)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_STATES_BYTES)
        .nest_limit(MAX_NESTING)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => MatcherError::TooLarge { label: label.to_owned() },
        // The parser draws the expression over several lines; its last line is what it says.
        other => {
            let text = other.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            MatcherError::Malformed { label: label.to_owned(), reason }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(comparison: Comparison, value: &str) -> Result<Matcher, MatcherError> {
        Matcher::new("pod".into(), comparison, value.into())
    }

    #[test]
    fn a_regular_expression_matches_the_whole_value() {
        let web = matcher(Comparison::Matches, "web|db-.*").unwrap();
        assert!(web.fits("web") && web.fits("db-1"));
        assert!(!web.fits("web-1") && !web.fits("my-db-1") && !web.fits(""));
        let not = matcher(Comparison::MatchesNot, "web|db-.*").unwrap();
        assert!(!not.fits("web") && not.fits("web-1"));
    }

    #[test]
    fn an_absent_label_is_the_empty_value() {
        assert!(matcher(Comparison::Equal, "").unwrap().fits(""));
        assert!(!matcher(Comparison::NotEqual, "").unwrap().fits(""));
        assert!(matcher(Comparison::Matches, ".*").unwrap().fits(""));
        assert!(!matcher(Comparison::Matches, ".+").unwrap().fits(""));
    }

    #[test]
    fn an_expression_that_grows_when_compiled_is_refused_before_it_has_grown() {
        let grown = matcher(Comparison::Matches, "((((x{1000}){1000}){1000}){1000})").unwrap_err();
        assert_eq!(grown, MatcherError::TooLarge { label: "pod".into() });
        let long = matcher(Comparison::Matches, &"a".repeat(MAX_PATTERN_BYTES + 1)).unwrap_err();
        assert_eq!(long, MatcherError::TooLong { label: "pod".into(), bytes: MAX_PATTERN_BYTES + 1 });
    }

    #[test]
    fn a_list_of_names_as_dashboards_send_it_is_taken() {
        let names: Vec<_> = (0..200).map(|n| format!("deployment-{n:04}-7d9f8b6c5d-x2x{n:03}")).collect();
        let pattern = names.join("|");
        assert!(pattern.len() < MAX_PATTERN_BYTES);
        assert!(matcher(Comparison::Matches, &pattern).unwrap().fits(&names[150]));
    }

    #[test]
    fn a_malformed_expression_says_what_is_wrong_with_it() {
        let error = matcher(Comparison::Matches, "a(b").unwrap_err().to_string();
        assert!(error.starts_with("the regular expression for pod cannot be understood: unclosed group"), "{error}");
        let back = matcher(Comparison::Matches, r"(a)\1").unwrap_err().to_string();
        assert!(back.contains("backreferences are not supported"), "{back}");
    }
}
