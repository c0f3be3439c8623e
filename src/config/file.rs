//! Configuration files: YAML (JSON is YAML) by serde-saphyr, TOML by toml, chosen by the name's ending.
//!
//! Out: for each known key the values as written with their line, so that flags, environment and file share one parser.
//! Helm turns integers into floats on their way through a template; a float without a fraction is taken as an integer.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::nearest;
use super::{ConfigError, Given, Origin, SETTINGS};

/// What a file may give a key.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    /// `key:` with nothing behind it: as if the key were not there.
    Nothing,
    One(String),
    List(Vec<String>),
    /// Something with no text form here; its name.
    Other(&'static str),
}

/// One key of the file, before it is known to be one of ours.
struct Entry {
    key: String,
    line: Option<u64>,
    written: Written,
}

pub(super) fn read(path: &Path) -> Result<BTreeMap<&'static str, Vec<Given>>, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
    parse(path, &text)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<BTreeMap<&'static str, Vec<Given>>, ConfigError> {
    let entries = match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("yaml" | "yml" | "json") => from_yaml(path, text)?,
        Some("toml") => from_toml(path, text)?,
        _ => return Err(ConfigError::UnknownFormat { path: path.to_path_buf() }),
    };
    let mut values = BTreeMap::new();
    for Entry { key, line, written } in entries {
        let Some(known) = known_key(&key) else {
            return Err(ConfigError::UnknownKey { path: path.to_path_buf(), line, advice: advice(&key), key });
        };
        let origin = Origin::File { path: path.to_path_buf(), line, key: key.clone() };
        let texts = match written {
            Written::Nothing => continue,
            Written::One(text) => vec![text],
            Written::List(texts) if super::settings::repeatable(known) => texts,
            Written::List(_) => return Err(misfit(origin, "a list")),
            Written::Other(what) => return Err(misfit(origin, what)),
        };
        let given = texts.into_iter().map(|text| Given { text, origin: origin.clone() }).collect();
        if values.insert(known, given).is_some() {
            return Err(ConfigError::Duplicate { path: path.to_path_buf(), line, key });
        }
    }
    Ok(values)
}

fn misfit(origin: Origin, what: &str) -> ConfigError {
    let reason = "does not fit this key; write text or a number, in quotes if in doubt".to_owned();
    ConfigError::Value { origin: Box::new(origin), value: what.to_owned(), reason }
}

/// Keys a file may hold: all settings but the one that names the file.
fn file_keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.key).filter(|key| *key != "config")
}

fn known_key(written: &str) -> Option<&'static str> {
    let dashed = written.replace('_', "-");
    file_keys().find(|key| *key == dashed)
}

fn advice(key: &str) -> String {
    match nearest(&key.replace('_', "-").to_ascii_lowercase(), file_keys()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("remove it, or use one of {}", file_keys().collect::<Vec<_>>().join(", ")),
    }
}

fn from_yaml(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let document: Document = serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_path_buf(),
        line: error.location().map(|location| location.line()),
        message: error.without_snippet().to_string(),
    })?;
    Ok(document.0)
}

struct Document(Vec<Entry>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys and values at the top level, such as `interval: 1s`")
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            let written = map.next_value::<Written>()?;
            entries.push(Entry { key: key.value, line: (line > 0).then_some(line), written });
        }
        Ok(Document(entries))
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number or a list of texts")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::Nothing)
    }

    fn visit_str<E>(self, value: &str) -> Result<Written, E> {
        Ok(Written::One(value.to_owned()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Written, E> {
        Ok(Written::One(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Written, E> {
        Ok(Written::One(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Written, E> {
        Ok(Written::One(number_text(value)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Written, E> {
        Ok(Written::Other("true or false"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Written, A::Error> {
        let mut texts = Vec::new();
        while let Some(item) = seq.next_element::<Written>()? {
            match item {
                Written::One(text) => texts.push(text),
                _ => return Ok(Written::Other("a list of other things than texts")),
            }
        }
        Ok(Written::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        while map.next_entry::<String, Written>()?.is_some() {}
        Ok(Written::Other("a group of keys"))
    }
}

fn number_text(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { value.to_string() }
}

fn from_toml(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let line_at = |offset: usize| {
        let newlines = text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        u64::try_from(newlines).ok().map(|count| count + 1)
    };
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_path_buf(),
        line: error.span().and_then(|span| line_at(span.start)),
        message: error.message().to_owned(),
    })?;
    let entries = table.get_ref().iter().map(|(key, value)| Entry {
        key: key.get_ref().to_string(),
        line: line_at(key.span().start),
        written: toml_value(value.get_ref()),
    });
    Ok(entries.collect())
}

fn toml_value(value: &DeValue<'_>) -> Written {
    match value {
        DeValue::String(text) => Written::One(text.to_string()),
        DeValue::Integer(number) => Written::One(number.to_string()),
        DeValue::Float(number) => {
            Written::One(number.to_string().parse().map_or_else(|_| number.to_string(), number_text))
        }
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items
                .iter()
                .map(|item| match toml_value(item.get_ref()) {
                    Written::One(text) => Some(text),
                    _ => None,
                })
                .collect();
            texts.map_or(Written::Other("a list of other things than texts"), Written::List)
        }
        DeValue::Boolean(_) => Written::Other("true or false"),
        DeValue::Datetime(_) => Written::Other("a date"),
        DeValue::Table(_) => Written::Other("a group of keys"),
    }
}
