//! Selectors as PromQL writes them: `container_memory_rss{namespace="shop",pod=~"web-.*"}`.
//!
//! In: text. Out: the [`Matcher`]s that it stands for, the metric's name among them. A fault names its position and what
//! was expected there. Pure, and it never panics on any text. Next: `remote`.

use super::matcher::{Comparison, Matcher, MatcherError};

/// The label that holds a metric's name.
pub const NAME: &str = "__name__";
/// Longest selector in bytes.
pub const MAX_SELECTOR_BYTES: usize = 16 * 1024;
/// Most matchers of one selector.
pub const MAX_MATCHERS: usize = 32;

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Longer than [`MAX_SELECTOR_BYTES`].
    #[error("a selector of {0} bytes is too long; at most {MAX_SELECTOR_BYTES} are taken")]
    TooLong(usize),
    /// More than [`MAX_MATCHERS`].
    #[error("a selector may have at most {MAX_MATCHERS} matchers")]
    TooManyMatchers,
    /// Something else stands there than should.
    #[error("at byte {at}: {expected}, found {found}; a selector looks like name{{label=\"value\",other=~\"a|b\"}}")]
    Unexpected {
        /// Position in the text, in bytes from 0.
        at: usize,
        /// What should stand there.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A matcher's value cannot be used.
    #[error("at byte {at}: {source}")]
    Matcher {
        /// Position of the matcher's value.
        at: usize,
        /// What is wrong with it.
        source: MatcherError,
    },
    /// It would select everything there is.
    #[error(
        "this selects every series there is; name a metric, or give at least one matcher that an absent label does not fit"
    )]
    Everything,
}

/// Reads a selector.
///
/// # Errors
/// [`SelectorError`], with the position of the fault.
pub fn parse(text: &str) -> Result<Vec<Matcher>, SelectorError> {
    if text.len() > MAX_SELECTOR_BYTES {
        return Err(SelectorError::TooLong(text.len()));
    }
    let mut parser = Parser { text, at: 0 };
    let mut matchers = Vec::new();
    parser.skip_blanks();
    if let Some(name) = parser.word(|character| character == ':') {
        matchers.push(parser.matcher(0, NAME.to_owned(), Comparison::Equal, name.to_owned())?);
        parser.skip_blanks();
    }
    if parser.eat("{") {
        parser.matchers(&mut matchers)?;
    } else if matchers.is_empty() {
        return Err(parser.unexpected("expected a metric's name or {"));
    }
    parser.skip_blanks();
    if parser.at < text.len() {
        return Err(parser.unexpected("expected the end of the selector"));
    }
    if matchers.iter().all(|matcher| matcher.fits("")) {
        return Err(SelectorError::Everything);
    }
    Ok(matchers)
}

struct Parser<'a> {
    text: &'a str,
    /// Always at a character boundary.
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn eat(&mut self, token: &str) -> bool {
        let eaten = self.rest().starts_with(token);
        if eaten {
            self.at += token.len();
        }
        eaten
    }

    fn next(&mut self) -> Option<char> {
        let character = self.rest().chars().next()?;
        self.at += character.len_utf8();
        Some(character)
    }

    /// A name of letters, digits, `_` and what else is allowed; it does not begin with a digit.
    fn word(&mut self, also: impl Fn(char) -> bool) -> Option<&'a str> {
        let rest = self.rest();
        let end = rest
            .find(|character: char| !(character.is_ascii_alphanumeric() || character == '_' || also(character)))
            .unwrap_or(rest.len());
        let word = rest.get(..end)?;
        if word.is_empty() || word.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        self.at += end;
        Some(word)
    }

    fn unexpected(&self, expected: &'static str) -> SelectorError {
        let found = self.rest().chars().next().map_or_else(|| "the end".to_owned(), |found| format!("{found:?}"));
        SelectorError::Unexpected { at: self.at, expected, found }
    }

    fn matcher(
        &self,
        at: usize,
        label: String,
        comparison: Comparison,
        value: String,
    ) -> Result<Matcher, SelectorError> {
        Matcher::new(label, comparison, value).map_err(|source| SelectorError::Matcher { at, source })
    }

    /// Everything up to the closing brace.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), SelectorError> {
        loop {
            self.skip_blanks();
            if self.eat("}") {
                return Ok(());
            }
            if matchers.len() >= MAX_MATCHERS {
                return Err(SelectorError::TooManyMatchers);
            }
            let label = self.word(|_| false).ok_or_else(|| self.unexpected("expected a label's name or }"))?;
            self.skip_blanks();
            let comparison = match () {
                () if self.eat("=~") => Comparison::Matches,
                () if self.eat("!~") => Comparison::MatchesNot,
                () if self.eat("!=") => Comparison::NotEqual,
                () if self.eat("=") => Comparison::Equal,
                () => return Err(self.unexpected("expected =, !=, =~ or !~")),
            };
            self.skip_blanks();
            let at = self.at;
            let value = self.string()?;
            matchers.push(self.matcher(at, label.to_owned(), comparison, value)?);
            self.skip_blanks();
            if !self.eat(",") && !self.rest().starts_with('}') {
                return Err(self.unexpected("expected , or }"));
            }
        }
    }

    /// A string in double quotes, single quotes or, without escapes, backticks.
    fn string(&mut self) -> Result<String, SelectorError> {
        let quote = match self.rest().chars().next() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return Err(self.unexpected("expected a value in quotes")),
        };
        self.next();
        let mut value = String::new();
        loop {
            match self.rest().chars().next() {
                None => return Err(self.unexpected("expected the closing quote")),
                Some('\n') if quote != '`' => return Err(self.unexpected("expected the closing quote on this line")),
                Some('\\') if quote != '`' => value.push(self.escape()?),
                Some(character) => {
                    self.next();
                    if character == quote {
                        return Ok(value);
                    }
                    value.push(character);
                }
            }
        }
    }

    /// An escape of a Go string, which is what PromQL takes. `\x` and octal ones are taken for ASCII only: a label's value
    /// is UTF-8, and a lone byte above it is none.
    fn escape(&mut self) -> Result<char, SelectorError> {
        self.next();
        let at = self.at;
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('t') => return Ok('\t'),
            Some('r') => return Ok('\r'),
            Some('a') => return Ok('\u{7}'),
            Some('b') => return Ok('\u{8}'),
            Some('f') => return Ok('\u{c}'),
            Some('v') => return Ok('\u{b}'),
            Some(same @ ('\\' | '"' | '\'')) => return Ok(same),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some(octal @ '0'..='7') => {
                let rest = self.rest().get(..2).filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
                let rest = rest.and_then(|rest| u32::from_str_radix(rest, 8).ok());
                let code = rest.map(|rest| octal.to_digit(8).unwrap_or(0) * 64 + rest).filter(|code| *code < 0x80);
                let character = code.and_then(char::from_u32);
                self.at += if character.is_some() { 2 } else { 0 };
                return character.ok_or_else(|| self.bad_escape(at));
            }
            _ => return Err(self.bad_escape(at)),
        };
        let text = self.rest().get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        let code = code.filter(|code| digits > 2 || *code < 0x80);
        let character = code.and_then(char::from_u32).ok_or_else(|| self.bad_escape(at))?;
        self.at += digits;
        Ok(character)
    }

    fn bad_escape(&self, at: usize) -> SelectorError {
        let found = self.text.get(at..).and_then(|rest| rest.chars().next());
        let found = found.map_or_else(|| "the end".to_owned(), |found| format!("{found:?}"));
        SelectorError::Unexpected { at, expected: "expected an escape such as \\n, \\\\, \\\" or \\u00e9", found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The labels, and whether each fits `web`.
    fn shape(text: &str) -> Result<Vec<(String, bool)>, String> {
        let matchers = parse(text).map_err(|error| error.to_string())?;
        Ok(matchers.iter().map(|matcher| (matcher.label().to_owned(), matcher.fits("web"))).collect())
    }

    fn fault(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_name_and_all_four_comparisons_are_read() {
        let read = shape(r#" up { a = "web", b!="web", c=~"w.b" , d!~'w.b', } "#).unwrap();
        let expected = [(NAME, false), ("a", true), ("b", false), ("c", true), ("d", false)];
        assert_eq!(read, expected.map(|(label, fits)| (label.to_owned(), fits)));
        assert_eq!(shape(r#"{__name__=~"w.*"}"#).unwrap(), [(NAME.to_owned(), true)]);
        assert_eq!(shape("a:b").unwrap().len(), 1);
        assert_eq!(shape("web{}").unwrap(), [(NAME.to_owned(), true)]);
    }

    #[test]
    fn escapes_are_those_of_promql() {
        let value = |text: &str, value: &str| parse(&format!("{{a={text}}}")).unwrap()[0].fits(value);
        assert!(value(r#""a\"\\\n\u00e9\x41\101""#, "a\"\\\né\u{41}A"));
        assert!(value(r"`a\n`", r"a\n"));
        assert!(value(r#"'it\'s "x"'"#, r#"it's "x""#));
        assert!(value("\"ü\"", "ü"));
    }

    #[test]
    fn a_fault_names_its_position_and_what_was_expected() {
        assert!(fault("").starts_with("at byte 0: expected a metric's name or {, found the end;"), "{}", fault(""));
        assert!(fault("up{a}").starts_with("at byte 4: expected =, !=, =~ or !~, found '}'"));
        assert!(fault("up{a=b}").starts_with("at byte 5: expected a value in quotes, found 'b'"));
        assert!(fault("up{a=\"b").starts_with("at byte 7: expected the closing quote, found the end"));
        assert!(fault("up{a=\"b\" c=\"d\"}").starts_with("at byte 9: expected , or }, found 'c'"));
        assert!(fault("up{a=\"b\"").starts_with("at byte 8: expected , or }, found the end"));
        assert!(fault("up{a=\"b\"} x").starts_with("at byte 10: expected the end of the selector, found 'x'"));
        assert!(fault("9up").starts_with("at byte 0: expected a metric's name"));
        assert!(fault(r#"up{a="\q"}"#).starts_with("at byte 7: expected an escape"));
        assert!(fault(r#"up{a="\xff"}"#).starts_with("at byte 7: expected an escape"));
        assert!(fault(r#"up{a=~"("}"#).starts_with("at byte 6: the regular expression for a"));
    }

    #[test]
    fn what_would_select_everything_is_refused() {
        for text in ["{}", r#"{a=""}"#, r#"{a=~".*"}"#, r#"{a!="x"}"#] {
            assert_eq!(parse(text).unwrap_err(), SelectorError::Everything, "{text}");
        }
        assert!(parse(r#"{a!=""}"#).is_ok());
    }

    #[test]
    fn sizes_are_bounded() {
        let many = (0..=MAX_MATCHERS).map(|n| format!("l{n}=\"x\"")).collect::<Vec<_>>().join(",");
        assert_eq!(parse(&format!("{{{many}}}")).unwrap_err(), SelectorError::TooManyMatchers);
        let long = "a".repeat(MAX_SELECTOR_BYTES + 1);
        assert_eq!(parse(&long).unwrap_err(), SelectorError::TooLong(MAX_SELECTOR_BYTES + 1));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn text_that_looks_like_a_selector_does_not_either(text in "[a{}=!~,\"'`\\\\xu0-9 \nü]{0,40}") {
            if let Err(SelectorError::Unexpected { at, .. } | SelectorError::Matcher { at, .. }) = parse(&text) {
                prop_assert!(at <= text.len() && text.is_char_boundary(at), "byte {} of {:?}", at, text);
            }
        }

        #[test]
        fn any_value_can_be_written_and_is_read_back(value in any::<String>()) {
            let mut quoted = String::new();
            for character in value.chars() {
                match character {
                    '"' | '\\' => quoted.extend(['\\', character]),
                    '\n' => quoted.push_str("\\n"),
                    other => quoted.push(other),
                }
            }
            let matchers = parse(&format!("up{{a=\"{quoted}\"}}")).unwrap();
            prop_assert!(matchers[1].fits(&value));
        }
    }
}
