//! Which objects are meant: `labelSelector` and `fieldSelector`, in the whole grammar of Kubernetes.
//!
//! In: a selector's text. Out: a predicate over labels, or over namespace and name; or a sentence that says what is wrong.
//! `=`, `==`, `!=`, `in`, `notin`, `key`, `!key`, `>`, `<`; commas mean *and*. As in Kubernetes, `!=` and `notin` hold for
//! objects without the key. Next: [`super::metrics`], [`super::custom`], [`super::history`].

use std::sync::Arc;

/// The most requirements of one selector.
const MOST: usize = 256;

/// A parsed `labelSelector`; the empty one fits everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operation: Operation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operation {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Reads a selector.
    ///
    /// # Errors
    /// A sentence that says what cannot be read and how a selector is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (requirement, after) = requirement(rest).map_err(|why| {
                format!("the label selector {text:?} cannot be read: {why}; write it as app=web,tier in (a, b),!canary")
            })?;
            if requirements.len() >= MOST {
                return Err(format!("a label selector has at most {MOST} requirements"));
            }
            requirements.push(requirement);
            rest = after;
        }
        Ok(Self { requirements })
    }

    /// Whether it fits everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether it fits these labels, which are ascending by key.
    #[must_use]
    pub fn fits(&self, labels: &[(Arc<str>, Arc<str>)]) -> bool {
        self.requirements.iter().all(|requirement| {
            let place = labels.binary_search_by(|(key, _)| key.as_ref().cmp(&requirement.key));
            let value = place.ok().and_then(|place| labels.get(place)).map(|(_, value)| value.as_ref());
            requirement.operation.holds(value)
        })
    }
}

impl Operation {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Self::Above(bound) => number().is_some_and(|number| number > *bound),
            Self::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// Reads one requirement; the rest begins behind its comma.
fn requirement(text: &str) -> Result<(Requirement, &str), String> {
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('!').filter(|rest| !rest.starts_with('=')) {
        let (key, rest) = word(rest.trim_start());
        return Ok((Requirement { key: key_of(key)?, operation: Operation::Absent }, end(rest)?));
    }
    let (key, rest) = word(text);
    let key = key_of(key)?;
    let rest = rest.trim_start();
    for sign in ["==", "=", "!=", ">", "<"] {
        let Some(rest) = rest.strip_prefix(sign) else { continue };
        let (value, rest) = word(rest.trim_start());
        let value = value_of(value)?;
        let number = || value.parse::<i64>().map_err(|_| format!("{value:?} behind {sign} is no whole number"));
        let operation = match sign {
            ">" => Operation::Above(number()?),
            "<" => Operation::Below(number()?),
            "!=" => Operation::NotIn(vec![value]),
            _ => Operation::In(vec![value]),
        };
        return Ok((Requirement { key, operation }, end(rest)?));
    }
    let (operator, after) = word(rest);
    let wanted = match operator {
        "" => return Ok((Requirement { key, operation: Operation::Exists }, end(rest)?)),
        "in" | "notin" => operator,
        other => return Err(format!("{other:?} is no operator")),
    };
    let list = after.trim_start().strip_prefix('(').ok_or_else(|| format!("'(' is missing behind {wanted:?}"))?;
    let (list, rest) = list.split_once(')').ok_or_else(|| "')' is missing".to_owned())?;
    let values = list.split(',').map(|value| value_of(value.trim())).collect::<Result<Vec<_>, _>>()?;
    let operation = if wanted == "in" { Operation::In(values) } else { Operation::NotIn(values) };
    Ok((Requirement { key, operation }, end(rest)?))
}

/// The characters up to a blank or a sign of the grammar.
fn word(text: &str) -> (&str, &str) {
    let sign = |c: char| c.is_whitespace() || matches!(c, '=' | '!' | '(' | ')' | ',' | '<' | '>');
    text.split_at_checked(text.find(sign).unwrap_or(text.len())).unwrap_or((text, ""))
}

/// What stands behind a requirement: nothing, or a comma and more.
fn end(text: &str) -> Result<&str, String> {
    let text = text.trim_start();
    match text.strip_prefix(',') {
        Some(rest) if rest.trim().is_empty() => Err("nothing stands behind the last comma".to_owned()),
        Some(rest) => Ok(rest),
        None if text.is_empty() => Ok(text),
        None => Err(format!("a comma is missing before {text:?}")),
    }
}

fn key_of(text: &str) -> Result<String, String> {
    let (prefix, name) = text.rsplit_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let prefix_fits = prefix.is_none_or(|prefix| {
        !prefix.is_empty()
            && prefix.len() <= 253
            && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    });
    if name.is_empty() {
        return Err("a key is missing".to_owned());
    }
    if !prefix_fits || !is_label_word(name) {
        return Err(format!("{text:?} is no label key"));
    }
    Ok(text.to_owned())
}

fn value_of(text: &str) -> Result<String, String> {
    if text.is_empty() || is_label_word(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no label value"))
    }
}

/// At most 63 characters: letters, digits and `-_.`, a letter or digit at both ends.
fn is_label_word(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// A parsed `fieldSelector` over `metadata.name` and `metadata.namespace`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    requirements: Vec<(Field, bool, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
}

impl FieldSelector {
    /// Reads a selector.
    ///
    /// # Errors
    /// A sentence that says what cannot be read, or which fields there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, equal, value) = match (part.split_once("!="), part.split_once("==")) {
                (Some((field, value)), _) => (field, false, value),
                (None, Some((field, value))) => (field, true, value),
                (None, None) => {
                    let (field, value) = part
                        .split_once('=')
                        .ok_or_else(|| format!("the field selector {part:?} has no '='; write metadata.name=NAME"))?;
                    (field, true, value)
                }
            };
            let field = match field.trim() {
                "metadata.name" => Field::Name,
                "metadata.namespace" => Field::Namespace,
                other => {
                    return Err(format!(
                        "field label not supported: {other}; there are metadata.name and metadata.namespace"
                    ));
                }
            };
            if requirements.len() >= MOST {
                return Err(format!("a field selector has at most {MOST} requirements"));
            }
            requirements.push((field, equal, value.trim().to_owned()));
        }
        Ok(Self { requirements })
    }

    /// Whether it fits an object; the namespace of a node is empty.
    #[must_use]
    pub fn fits(&self, namespace: &str, name: &str) -> bool {
        self.requirements.iter().all(|(field, equal, value)| {
            let is = match field {
                Field::Name => name,
                Field::Namespace => namespace,
            };
            (is == value) == *equal
        })
    }

    /// The one name that can fit, if the selector says one.
    #[must_use]
    pub fn only_name(&self) -> Option<&str> {
        self.only(Field::Name)
    }

    /// The one namespace that can fit, if the selector says one.
    #[must_use]
    pub fn only_namespace(&self) -> Option<&str> {
        self.only(Field::Namespace)
    }

    fn only(&self, wanted: Field) -> Option<&str> {
        let mut fitting = self.requirements.iter().filter(|(field, equal, _)| *field == wanted && *equal);
        fitting.next().map(|(_, _, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Vec<(Arc<str>, Arc<str>)> {
        pairs.iter().map(|(key, value)| (Arc::from(*key), Arc::from(*value))).collect()
    }

    fn fits(selector: &str, pairs: &[(&str, &str)]) -> bool {
        LabelSelector::parse(selector).unwrap().fits(&labels(pairs))
    }

    #[test]
    fn every_operator_means_what_it_means_in_kubernetes() {
        let web = [("app", "web"), ("gen", "12"), ("tier", "front")];
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            (" app = web ", true),
            ("app=db", false),
            ("app!=db", true),
            ("app!=web", false),
            ("missing!=x", true),
            ("app in (db, web)", true),
            ("app in (db)", false),
            ("app notin (db,cache)", true),
            ("app notin (web)", false),
            ("missing notin (x)", true),
            ("missing in (x)", false),
            ("app", true),
            ("missing", false),
            ("!missing", true),
            ("! app", false),
            ("gen>11", true),
            ("gen > 12", false),
            ("gen<13,app", true),
            ("tier<5", false),
            ("app=web,tier in (front,back),!missing", true),
            ("app=web,tier=back", false),
            ("in=x", false),
        ] {
            assert_eq!(fits(selector, &web), expected, "{selector}");
        }
        assert!(fits("empty=", &[("empty", "")]));
        assert!(fits("empty in (,x)", &[("empty", "")]));
        assert!(fits("app.kubernetes.io/name=web", &[("app.kubernetes.io/name", "web")]));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_a_way_to_write_it() {
        for (selector, why) in [
            ("app=web,", "nothing stands behind the last comma"),
            ("=web", "a key is missing"),
            ("app in web", "'(' is missing"),
            ("app in (web", "')' is missing"),
            ("app like web", "\"like\" is no operator"),
            ("app=web db", "a comma is missing before \"db\""),
            ("app>x", "is no whole number"),
            ("-app=x", "is no label key"),
            ("A.b/c/d=x", "is no label key"),
            ("app=a/b", "is no label value"),
            ("app=\u{fc}", "is no label value"),
            ("!=x", "a key is missing"),
        ] {
            let error = LabelSelector::parse(selector).unwrap_err();
            assert!(error.contains(why) && error.contains("write it as"), "{selector}: {error}");
        }
    }

    #[test]
    fn a_field_selector_knows_name_and_namespace_and_says_so() {
        let selector = FieldSelector::parse("metadata.name=web, metadata.namespace!=kube-system").unwrap();
        assert!(selector.fits("shop", "web"));
        assert!(!selector.fits("shop", "db"));
        assert!(!selector.fits("kube-system", "web"));
        assert_eq!((selector.only_name(), selector.only_namespace()), (Some("web"), None));
        assert!(FieldSelector::parse("status.phase=Running").unwrap_err().contains("there are metadata.name"));
        assert!(FieldSelector::parse("metadata.name").unwrap_err().contains("has no '='"));
        assert!(FieldSelector::parse("").unwrap().fits("", "n1"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,64}", signs in "[a-z=!(),<> ]{0,32}") {
            for text in [text, signs] {
                let _ = LabelSelector::parse(&text);
                let _ = FieldSelector::parse(&text);
            }
        }
    }
}
