//! Label names that are not `[a-zA-Z_][a-zA-Z0-9_]*`, and the schemes by which a client wants them told.
//!
//! In: a runtime's label key, and the `escaping` parameter of an `Accept` header. Out: a name as it stands before `=` in
//! a label block. Our own names need none of this, and neither do runtime labels unless `--label-names=utf8` is on.
//! Escaping is Prometheus' (`escaping=` in its content negotiation), so that its `__name__` round trip holds. It knows
//! nothing of values. Next: [`labels`](super::labels).

use std::fmt::Write as _;

use super::labels::{MAX_NAME_BYTES, clip, push_escaped};

/// What becomes of names that only UTF-8 allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Escaping {
    /// They are shown as they are, in quotes.
    AllowUtf8,
    /// Every other character becomes `_`. What a client gets that asks for no scheme.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, and every other character too.
    Dots,
    /// `U__`, then every other character as `_` and its code point in hexadecimal and `_`.
    Values,
}

impl Escaping {
    /// The scheme that a word of `escaping=` names.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "allow-utf-8" => Some(Self::AllowUtf8),
            "underscores" => Some(Self::Underscores),
            "dots" => Some(Self::Dots),
            "values" => Some(Self::Values),
            _ => None,
        }
    }

    /// A label's name under this scheme, without quotes.
    #[must_use]
    pub fn name(self, name: &str) -> String {
        let name = clip(name, MAX_NAME_BYTES);
        match self {
            Self::AllowUtf8 => name.to_owned(),
            Self::Underscores => map(name, |out, character, first| {
                out.push(if is_legacy_character(character, first) { character } else { '_' });
            }),
            Self::Dots => map(name, |out, character, first| match character {
                '_' => out.push_str("__"),
                '.' => out.push_str("_dot_"),
                other if is_legacy_character(other, first) => out.push(other),
                _ => out.push_str("__"),
            }),
            Self::Values if is_legacy(name) => name.to_owned(),
            Self::Values => {
                let mut escaped = String::with_capacity(3 + name.len() * 2);
                escaped.push_str("U__");
                escaped.push_str(&map(name, |out, character, first| match character {
                    '_' => out.push_str("__"),
                    other if is_legacy_character(other, first) => out.push(other),
                    other => {
                        // Writing to a string does not fail.
                        let _written = write!(out, "_{:x}_", u32::from(other));
                    }
                }));
                escaped
            }
        }
    }
}

/// How a runtime's label keys become names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Naming {
    /// As cAdvisor does: whatever the format does not allow becomes `_`.
    #[default]
    Sanitised,
    /// As they are, for who understands that; escaped for the rest.
    Utf8(Escaping),
}

impl Naming {
    /// All of them; a naming's place in this list is [`Naming::index`].
    pub const COUNT: usize = 5;

    /// A number below [`Naming::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Sanitised => 0,
            Self::Utf8(Escaping::AllowUtf8) => 1,
            Self::Utf8(Escaping::Underscores) => 2,
            Self::Utf8(Escaping::Dots) => 3,
            Self::Utf8(Escaping::Values) => 4,
        }
    }
}

/// `name` as it stands before `=`: in quotes unless every client reads it without.
pub fn push_name(out: &mut String, name: &str) {
    if is_legacy(name) {
        out.push_str(name);
    } else {
        out.push('"');
        push_escaped(out, name);
        out.push('"');
    }
}

/// Whether every client reads a label of this name without quotes.
#[must_use]
pub fn is_legacy(name: &str) -> bool {
    !name.is_empty() && name.chars().enumerate().all(|(index, character)| is_legacy_character(character, index == 0))
}

fn is_legacy_character(character: char, first: bool) -> bool {
    character == '_' || character.is_ascii_alphabetic() || (!first && character.is_ascii_digit())
}

fn map(name: &str, mut push: impl FnMut(&mut String, char, bool)) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for (index, character) in name.chars().enumerate() {
        push(&mut out, character, index == 0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_tells_a_dotted_name_as_prometheus_defines_it() {
        let name = "mysystem.prod.west.cpu.load_total";
        assert_eq!(Escaping::AllowUtf8.name(name), name);
        assert_eq!(Escaping::Underscores.name(name), "mysystem_prod_west_cpu_load_total");
        assert_eq!(Escaping::Dots.name(name), "mysystem_dot_prod_dot_west_dot_cpu_dot_load__total");
        assert_eq!(Escaping::Values.name(name), "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load__total");
        let name = "http.status:sum/ü";
        assert_eq!(Escaping::Dots.name(name), "http_dot_status__sum____");
        assert_eq!(Escaping::Values.name("label with 😱"), "U__label_20_with_20__1f631_");
        assert_eq!(Escaping::Values.name("plain_name"), "plain_name");
    }

    #[test]
    fn only_names_outside_of_the_old_alphabet_are_quoted() {
        let shown = |name| {
            let mut out = String::new();
            push_name(&mut out, name);
            out
        };
        assert_eq!(shown("container_label_app"), "container_label_app");
        assert_eq!(shown("container_label_app.name"), "\"container_label_app.name\"");
        assert_eq!(shown("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
        assert_eq!(shown("1a"), "\"1a\"");
    }

    #[test]
    fn the_words_of_the_header_name_the_schemes_and_nothing_else_does() {
        for (word, scheme) in [
            ("allow-utf-8", Escaping::AllowUtf8),
            ("underscores", Escaping::Underscores),
            ("dots", Escaping::Dots),
            ("values", Escaping::Values),
        ] {
            assert_eq!(Escaping::of(word), Some(scheme));
        }
        assert_eq!(Escaping::of("Allow-UTF-8"), None);
    }
}
