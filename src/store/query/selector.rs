//! Selectors: which series a question is about, in the notation of Prometheus.
//!
//! In: text such as `cpu_usage_usec{namespace="shop",pod=~"web-.*"}`. Out: a [`Selector`], or a [`SelectorError`] that
//! points at the byte. Pure; it knows no metric and no label, never panics on any text, and is bounded in everything that
//! it makes. Next: [`answer`](super::answer), and `view/remote` for series under Prometheus' names.

use super::matcher::{Comparison, Matcher};

/// The longest selector that is read: as long as a list of some hundred names, as dashboards write it.
pub const MOST_BYTES: usize = 16 << 10;

/// The most matchers in one selector.
pub const MOST_MATCHERS: usize = 32;

/// The most regular expressions among them; each takes memory when it is compiled.
pub const MOST_REGEXES: usize = 16;

/// A metric's name, if there is one, and what the labels must be.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// What stands before the braces.
    pub name: Option<String>,
    /// All must hold.
    pub matchers: Vec<Matcher>,
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
        let begin = reader.at;
        let name = reader.word(is_in_name);
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(SelectorError { at: begin, why: "a metric's name does not begin with a digit".to_owned() });
        }
        let name = (!name.is_empty()).then(|| name.to_owned());
        reader.blanks();
        let mut matchers: Vec<Matcher> = Vec::new();
        if reader.take('{') {
            loop {
                reader.blanks();
                if reader.take('}') {
                    break;
                }
                if matchers.len() == MOST_MATCHERS {
                    return Err(reader.wrong(&format!("there are more than {MOST_MATCHERS} matchers")));
                }
                let at = reader.at;
                matchers.push(reader.matcher()?);
                if matchers.iter().filter(|matcher| matcher.is_regex()).count() > MOST_REGEXES {
                    let why = format!("there are more than {MOST_REGEXES} regular expressions");
                    return Err(SelectorError { at, why });
                }
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
        let operators = [
            ("=~", Comparison::Matches),
            ("!~", Comparison::MatchesNot),
            ("!=", Comparison::NotEqual),
            ("=", Comparison::Equal),
        ];
        let operator = operators.into_iter().find(|(operator, _)| self.rest().starts_with(operator));
        let (operator, comparison) = operator.ok_or_else(|| self.wrong("one of = != =~ !~ belongs here"))?;
        self.at += operator.len();
        self.blanks();
        let value_at = self.at;
        let value = self.quoted()?;
        Matcher::new(label.to_owned(), comparison, value)
            .map_err(|error| SelectorError { at: value_at, why: error.to_string() })
    }

    /// A text in double or single quotes or, without escapes, in backticks.
    fn quoted(&mut self) -> Result<String, SelectorError> {
        let begin = self.at;
        let quote = ['"', '\'', '`'].into_iter().find(|quote| self.take(*quote));
        let quote = quote.ok_or_else(|| self.wrong("a value belongs here, in quotes: \"value\""))?;
        let mut value = String::new();
        loop {
            let Some(character) = self.rest().chars().next() else {
                return Err(SelectorError { at: begin, why: format!("this quote is never closed; add a {quote}") });
            };
            let here = self.at;
            self.at += character.len_utf8();
            match character {
                closing if closing == quote => return Ok(value),
                '\n' if quote != '`' => {
                    return Err(SelectorError { at: here, why: format!("the line ends before the closing {quote}") });
                }
                '\\' if quote != '`' => value.push(self.escaped().ok_or_else(|| {
                    let why = "after a backslash comes \\, a quote, n, t or \\u00e9; in a regular expression write \\\\. for \
                               a dot";
                    SelectorError { at: here, why: why.to_owned() }
                })?),
                plain => value.push(plain),
            }
        }
    }

    /// What follows a backslash: an escape of a Go string, which is what PromQL takes. `\x` and octal ones are taken for
    /// ASCII only: a label's value is UTF-8, and a lone byte above it is none.
    fn escaped(&mut self) -> Option<char> {
        let first = self.rest().chars().next()?;
        self.at += first.len_utf8();
        let (digits, radix, most) = match first {
            'n' => return Some('\n'),
            't' => return Some('\t'),
            'r' => return Some('\r'),
            'a' => return Some('\u{7}'),
            'b' => return Some('\u{8}'),
            'f' => return Some('\u{c}'),
            'v' => return Some('\u{b}'),
            '\\' | '"' | '\'' => return Some(first),
            'x' => (2, 16, 0x7f),
            'u' => (4, 16, u32::MAX),
            'U' => (8, 16, u32::MAX),
            '0'..='7' => {
                self.at -= 1;
                (3, 8, 0x7f)
            }
            _ => return None,
        };
        let text = self.rest().get(..digits).filter(|text| text.chars().all(|digit| digit.is_digit(radix)))?;
        let character = u32::from_str_radix(text, radix).ok().filter(|code| *code <= most).and_then(char::from_u32)?;
        self.at += digits;
        Some(character)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> (Option<String>, Vec<(String, &'static str, String)>) {
        let selector = Selector::parse(text).unwrap();
        let matchers = selector.matchers.iter();
        (selector.name, matchers.map(|one| (one.label().to_owned(), one.operator(), one.value().to_owned())).collect())
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
        let value = |text: &str| parsed(&format!("{{a={text}}}")).1.remove(0).2;
        assert_eq!(value(r#""a\"\\\n\u00e9\x41\101""#), "a\"\\\n\u{e9}AA");
        assert_eq!(value(r"`a\n`"), r"a\n");
        assert_eq!(value(r#"'it\'s "x"'"#), r#"it's "x""#);
        assert_eq!(value("\"\u{fc}\""), "\u{fc}");
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
            ("cpu{a=\"\\xff\"}", 7, "backslash"),
            ("cpu{a=\"\\ud800\"}", 7, "backslash"),
            ("cpu{a=\"b\n\"}", 8, "the line ends"),
            ("9cpu", 0, "digit"),
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
        let regexes = format!("{{{}}}", "a=~\"b\",".repeat(MOST_REGEXES + 1));
        assert!(Selector::parse(&regexes).unwrap_err().why.contains("regular expressions"));
        let name = "deployment-1234-7d9f8b6c5d-x2x15|".repeat(200);
        assert!(Selector::parse(&format!("{{pod=~\"{name}\"}}")).is_ok());
    }

    #[test]
    fn a_selector_of_prometheus_is_taken_as_it_is() {
        let all = [matcher("__name__", "=~", "w.*"), matcher("a", "=", "")];
        assert_eq!(parsed("{__name__=~\"w.*\",a=\"\"}"), (None, all.to_vec()));
        assert_eq!(parsed("a:b"), (Some("a:b".into()), vec![]));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_an_error_lies_inside_the_text(text in ".{0,80}|[a-z{}=~!\"'`\\\\, ()*xuU0-9\n\u{fc}]{0,40}") {
            if let Err(error) = Selector::parse(&text) {
                prop_assert!(text.is_char_boundary(error.at), "{}", error);
            }
        }

        #[test]
        fn every_value_can_be_written(value in "\\PC{0,20}|[\\\\\"'\n]{0,6}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let selector = Selector::parse(&format!("m{{a=\"{escaped}\"}}")).unwrap();
            prop_assert!(selector.matchers[0].fits(&value));
            prop_assert_eq!(selector.matchers[0].value(), &value);
        }
    }
}
