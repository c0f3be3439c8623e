//! Selectors: which series a question is about, in the notation of Prometheus.
//!
//! In: text such as `cpu_usage_usec{namespace="shop",pod=~"web-.*"}`. Out: a [`Selector`], or a [`SelectorError`] that
//! points at the byte. Pure; it knows no metric and no label, never panics on any text, and takes no regular expression
//! whose automaton would be large. Next: [`select`](super::select).

use regex::{Regex, RegexBuilder};

/// The longest selector that is read.
pub const MOST_BYTES: usize = 4096;

/// The most matchers in one selector.
pub const MOST_MATCHERS: usize = 32;

/// The most bytes that one compiled regular expression may take.
const REGEX_BYTES: usize = 256 << 10;

/// A metric's name, if there is one, and what the labels must be.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// What stands before the braces.
    pub name: Option<String>,
    /// All must hold.
    pub matchers: Vec<Matcher>,
}

/// One condition on one label. A label that a subject does not have is empty, as in Prometheus.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// What is compared with, as it was written (unescaped).
    pub value: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Equal,
    NotEqual,
    Regex(Regex),
    NotRegex(Regex),
}

impl Matcher {
    /// `label="value"`.
    #[must_use]
    pub fn equal(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), value: value.to_owned(), test: Test::Equal }
    }

    /// Whether a label of this value fits.
    #[must_use]
    pub fn fits(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal => self.value == value,
            Test::NotEqual => self.value != value,
            Test::Regex(regex) => regex.is_match(value),
            Test::NotRegex(regex) => !regex.is_match(value),
        }
    }

    /// The operator as it is written.
    #[must_use]
    pub const fn operator(&self) -> &'static str {
        match self.test {
            Test::Equal => "=",
            Test::NotEqual => "!=",
            Test::Regex(_) => "=~",
            Test::NotRegex(_) => "!~",
        }
    }
}

/// A selector cannot be read. Correct it at the byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the selector is wrong at byte {at}: {why}")]
pub struct SelectorError {
    /// Where, in bytes from the beginning; at most the selector's length.
    pub at: usize,
    /// What is wrong and what to write instead.
    pub why: String,
}

impl Selector {
    /// Reads a selector: `name`, `{…}` or both.
    ///
    /// # Errors
    /// [`SelectorError`] at the first byte that does not fit.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut reader = Reader { text, at: 0 };
        if text.len() > MOST_BYTES {
            return Err(SelectorError { at: MOST_BYTES, why: format!("it is longer than {MOST_BYTES} bytes") });
        }
        reader.blanks();
        let name = reader.word(is_in_name);
        let name = (!name.is_empty()).then(|| name.to_owned());
        reader.blanks();
        let mut matchers = Vec::new();
        if reader.take('{') {
            loop {
                reader.blanks();
                if reader.take('}') {
                    break;
                }
                if matchers.len() == MOST_MATCHERS {
                    return Err(reader.wrong(&format!("there are more than {MOST_MATCHERS} matchers")));
                }
                matchers.push(reader.matcher()?);
                reader.blanks();
                if !reader.take(',') && !reader.rest().starts_with('}') {
                    return Err(reader.wrong("a comma or the closing } belongs here"));
                }
            }
            reader.blanks();
        } else if name.is_none() {
            return Err(reader.wrong("write a metric's name, such as cpu_usage_usec, or {label=\"value\"}"));
        }
        if reader.rest().is_empty() {
            Ok(Self { name, matchers })
        } else {
            Err(reader.wrong("the selector ends before this; write name{label=\"value\",other=~\"regex\"}"))
        }
    }
}

/// Names of metrics; the dot stands after a table's prefix.
fn is_in_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | ':' | '.')
}

fn is_in_label(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, why: &str) -> SelectorError {
        SelectorError { at: self.at, why: why.to_owned() }
    }

    fn blanks(&mut self) {
        self.word(|character| character.is_ascii_whitespace());
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn word(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn matcher(&mut self) -> Result<Matcher, SelectorError> {
        let begin = self.at;
        let label = self.word(is_in_label);
        if label.is_empty() {
            return Err(self.wrong("a label's name belongs here, such as namespace, or the closing }"));
        }
        if label.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(SelectorError { at: begin, why: "a label's name does not begin with a digit".to_owned() });
        }
        self.blanks();
        let operators = ["=~", "!~", "!=", "="];
        let operator = operators.into_iter().find(|operator| self.rest().starts_with(operator));
        let operator = operator.ok_or_else(|| self.wrong("one of = != =~ !~ belongs here"))?;
        self.at += operator.len();
        self.blanks();
        let value_at = self.at;
        let value = self.quoted()?;
        let regex = || {
            // Anchored on both sides, as in Prometheus: `web` does not fit `web-2`.
            let built = RegexBuilder::new(&format!("^(?:{value})$")).size_limit(REGEX_BYTES).build();
            built.map_err(|error| SelectorError { at: value_at, why: regex_fault(&error) })
        };
        let test = match operator {
            "=" => Test::Equal,
            "!=" => Test::NotEqual,
            "=~" => Test::Regex(regex()?),
            _ => Test::NotRegex(regex()?),
        };
        Ok(Matcher { label: label.to_owned(), value, test })
    }

    /// A text in double or single quotes, with `\\`, `\"`, `\'`, `\n`, `\t` in it.
    fn quoted(&mut self) -> Result<String, SelectorError> {
        let begin = self.at;
        let quote = if self.take('"') {
            '"'
        } else if self.take('\'') {
            '\''
        } else {
            return Err(self.wrong("a value belongs here, in quotes: \"value\""));
        };
        let mut value = String::new();
        loop {
            let Some(character) = self.rest().chars().next() else {
                return Err(SelectorError { at: begin, why: format!("this quote is never closed; add a {quote}") });
            };
            let here = self.at;
            self.at += character.len_utf8();
            match character {
                closing if closing == quote => return Ok(value),
                '\\' => {
                    let escaped = self.rest().chars().next();
                    self.at += escaped.map_or(0, char::len_utf8);
                    value.push(match escaped {
                        Some(plain @ ('\\' | '"' | '\'')) => plain,
                        Some('n') => '\n',
                        Some('t') => '\t',
                        _ => {
                            let why = "after a backslash comes \\, a quote, n or t; in a regular expression write \\\\. \
                                       for a dot";
                            return Err(SelectorError { at: here, why: why.to_owned() });
                        }
                    });
                }
                plain => value.push(plain),
            }
        }
    }
}

fn regex_fault(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "this regular expression is too large; use fewer or smaller repetitions".into()
        }
        // The library draws the expression over several lines and says on the last one what is wrong.
        other => {
            let told = other.to_string();
            let last = told.lines().last().unwrap_or_default().trim();
            format!("this is no regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> (Option<String>, Vec<(String, &'static str, String)>) {
        let selector = Selector::parse(text).unwrap();
        let matchers = selector.matchers.iter();
        (selector.name, matchers.map(|one| (one.label.clone(), one.operator(), one.value.clone())).collect())
    }

    fn matcher(label: &str, operator: &'static str, value: &str) -> (String, &'static str, String) {
        (label.to_owned(), operator, value.to_owned())
    }

    #[test]
    fn a_selector_is_a_name_or_matchers_or_both() {
        assert_eq!(parsed("cpu_usage_usec"), (Some("cpu_usage_usec".into()), vec![]));
        assert_eq!(parsed(" device.io_r_bytes { } "), (Some("device.io_r_bytes".into()), vec![]));
        assert_eq!(parsed("{pod=\"web\"}"), (None, vec![matcher("pod", "=", "web")]));
        let all = [matcher("a", "=", "v"), matcher("b", "=~", "r.*"), matcher("c", "!=", "y"), matcher("d", "!~", "z")];
        assert_eq!(parsed(r#"m{a="v", b =~ "r.*" ,c!='y',d!~"z",}"#), (Some("m".into()), all.to_vec()));
    }

    #[test]
    fn escapes_stand_for_what_they_escape() {
        let (_, matchers) = parsed(r#"{a="q\"b\\s\nl"}"#);
        assert_eq!(matchers, [matcher("a", "=", "q\"b\\s\nl")]);
    }

    #[test]
    fn a_regular_expression_must_fit_the_whole_value() {
        let selector = Selector::parse(r#"{a=~"web|db-[0-9]",b!~"x"}"#).unwrap();
        let [a, b] = selector.matchers.as_slice() else { panic!("two matchers") };
        assert_eq!(["web", "db-1", "web-2", "adb-1", ""].map(|value| a.fits(value)), [true, true, false, false, false]);
        assert_eq!(["x", "xx", ""].map(|value| b.fits(value)), [false, true, true]);
    }

    #[test]
    fn an_error_points_at_the_byte_and_says_what_belongs_there() {
        for (text, at, word) in [
            ("", 0, "metric's name"),
            ("cpu{namespace=shop}", 14, "in quotes"),
            ("cpu{namespace\"shop\"}", 13, "= != =~ !~"),
            ("cpu{ns=\"a\" pod=\"b\"}", 11, "comma"),
            ("cpu{ns=\"a\"", 10, "comma or the closing"),
            ("cpu{ns=\"a", 7, "never closed"),
            ("cpu{=\"a\"}", 4, "label's name"),
            ("cpu{1a=\"a\"}", 4, "digit"),
            ("cpu{a=\"\\q\"}", 7, "backslash"),
            ("cpu{a=~\"(\"}", 7, "regular expression"),
            ("cpu{a=~\"(a{1000}){1000}\"}", 7, "too large"),
            ("cpu{} x", 6, "ends before"),
            ("cpu-usage", 3, "ends before"),
        ] {
            let error = Selector::parse(text).unwrap_err();
            assert!(error.at == at && error.why.contains(word), "{text}: {error}");
        }
        let long = format!("{{a=\"{}\"}}", "x".repeat(MOST_BYTES));
        assert!(Selector::parse(&long).unwrap_err().why.contains("longer"));
        let many = format!("{{{}}}", "a=\"\",".repeat(MOST_MATCHERS + 1));
        assert!(Selector::parse(&many).unwrap_err().why.contains("more than"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_an_error_lies_inside_the_text(text in ".{0,80}|[a-z{}=~!\"'\\\\, ()*]{0,40}") {
            if let Err(error) = Selector::parse(&text) {
                prop_assert!(text.is_char_boundary(error.at), "{}", error);
            }
        }

        #[test]
        fn every_value_can_be_written(value in "\\PC{0,20}|[\\\\\"'\n]{0,6}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let selector = Selector::parse(&format!("m{{a=\"{escaped}\"}}")).unwrap();
            prop_assert!(selector.matchers[0].fits(&value));
            prop_assert_eq!(&selector.matchers[0].value, &value);
        }
    }
}
