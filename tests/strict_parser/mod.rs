//! A strict reader of both text formats, written from their specifications and sharing nothing with the encoder.

use std::collections::{BTreeMap, BTreeSet};

/// A series: name and labels.
pub type Key = (String, BTreeMap<String, String>);

/// What an exposition says.
#[derive(Debug, Default, PartialEq)]
pub struct Parsed {
    /// Values as they were written.
    pub series: BTreeMap<Key, String>,
    /// Type by family name.
    pub types: BTreeMap<String, String>,
}

fn name_ok(name: &str, colon: bool) -> bool {
    let mut bytes = name.bytes();
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colon && b == b':');
    bytes.next().is_some_and(first) && bytes.all(|b| first(b) || b.is_ascii_digit())
}

/// Splits `{a="b",...}` off; gives the labels and the rest of the line.
fn labels(text: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut found = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else { return Ok((found, text)) };
    loop {
        let (name, after) = rest.split_once("=\"").ok_or_else(|| format!("no label in {rest:?}"))?;
        if !name_ok(name, false) || name.starts_with("__") {
            return Err(format!("label name {name:?}"));
        }
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().ok_or("label value is not closed")? {
                (at, '"') => break at,
                (_, '\\') => match chars.next().ok_or("escape at the end")?.1 {
                    '\\' => value.push('\\'),
                    '"' => value.push('"'),
                    'n' => value.push('\n'),
                    other => return Err(format!("escape {other:?}")),
                },
                (_, other) => value.push(other),
            }
        };
        if found.insert(name.to_owned(), value).is_some() {
            return Err(format!("label {name} twice"));
        }
        rest = after.get(end + 1..).unwrap_or("");
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((found, after));
        }
        rest = rest.strip_prefix(',').ok_or_else(|| format!("after a label: {rest:?}"))?;
    }
}

fn suffixes(kind: &str, open_metrics: bool) -> &'static [&'static str] {
    match (kind, open_metrics) {
        ("counter", true) => &["_total", "_created"],
        ("info", true) => &["_info"],
        ("histogram", true) => &["_bucket", "_count", "_sum", "_created"],
        ("histogram", false) => &["_bucket", "_count", "_sum"],
        _ => &[""],
    }
}

/// `{label="value"} value timestamp`, of at most 128 characters of labels.
fn exemplar_ok(text: &str) -> Result<(), String> {
    let (found, rest) = labels(text)?;
    let characters: usize = found.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    let mut numbers = rest.strip_prefix(' ').ok_or("no value of an exemplar")?.split(' ').map(str::parse::<f64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(_)), Some(Ok(_)), None) if characters <= 128 => Ok(()),
        _ => Err(format!("exemplar {text:?}")),
    }
}

/// Reads an exposition, or says what is wrong with it.
pub fn parse(text: &str, open_metrics: bool) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let body = if open_metrics { text.strip_suffix("# EOF\n").ok_or("no end mark")? } else { text };
    if !body.ends_with('\n') {
        return Err("the last line is not ended".into());
    }
    let mut current: Option<(String, String)> = None;
    let mut helped = BTreeSet::new();
    for line in body.strip_suffix('\n').unwrap_or("").split('\n') {
        let fail = |why: &str| Err(format!("{why}: {line:?}"));
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (word, name, rest) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
            if !name_ok(name, true) {
                return fail("family name");
            }
            match word {
                Some("HELP") if helped.insert(name.to_owned()) => {}
                Some("TYPE") => {
                    let known: &[&str] = if open_metrics {
                        &["counter", "gauge", "histogram", "info", "unknown"]
                    } else {
                        &["counter", "gauge", "histogram", "untyped"]
                    };
                    if !known.contains(&rest) || parsed.types.insert(name.to_owned(), rest.to_owned()).is_some() {
                        return fail("type");
                    }
                    current = Some((name.to_owned(), rest.to_owned()));
                }
                Some("UNIT") if open_metrics && name.ends_with(&format!("_{rest}")) => {
                    if current.as_ref().is_none_or(|(family, kind)| family != name || kind == "info") {
                        return fail("unit");
                    }
                }
                _ => return fail("comment"),
            }
            continue;
        }
        let split = line.find(['{', ' ']).ok_or_else(|| format!("no value: {line:?}"))?;
        let (name, rest) = line.split_at(split);
        if !name_ok(name, true) {
            return fail("sample name");
        }
        let (labels, value) = labels(rest)?;
        let value = value.strip_prefix(' ').ok_or_else(|| format!("no space: {line:?}"))?;
        let value = match value.split_once(" # ") {
            Some((value, exemplar)) if open_metrics && name.ends_with("_bucket") => {
                exemplar_ok(exemplar)?;
                value
            }
            _ => value,
        };
        if value.contains(' ') || (value.parse::<f64>().is_err() && !["NaN", "+Inf", "-Inf"].contains(&value)) {
            return fail("value");
        }
        let Some((family, kind)) = &current else { return fail("sample before any type") };
        if !suffixes(kind, open_metrics).iter().any(|suffix| name == format!("{family}{suffix}")) {
            return fail("sample outside of its family");
        }
        if kind == "counter" && value.parse::<f64>().is_ok_and(|value| value < 0.0 || value.is_nan()) {
            return fail("counter below 0");
        }
        if kind == "info" && value != "1" {
            return fail("info that is not 1");
        }
        if parsed.series.insert((name.to_owned(), labels), value.to_owned()).is_some() {
            return fail("series twice");
        }
    }
    clashes(&parsed)?;
    Ok(parsed)
}

/// No family may be named like what another one's samples could be named.
fn clashes(parsed: &Parsed) -> Result<(), String> {
    for (family, kind) in &parsed.types {
        let reserved: &[&str] = match kind.as_str() {
            "counter" => &["_total", "_created"],
            "histogram" => &["_bucket", "_count", "_sum", "_created"],
            "info" => &["_info"],
            _ => &[],
        };
        for suffix in reserved {
            if !family.ends_with(suffix) && parsed.types.contains_key(&format!("{family}{suffix}")) {
                return Err(format!("{family}{suffix} clashes with {family}"));
            }
        }
    }
    Ok(())
}

#[test]
fn the_parser_itself_refuses_what_is_wrong() {
    for (bad, why) in [
        ("# TYPE a gauge\na 1", "unended"),
        ("# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n", "label twice"),
        ("# TYPE a gauge\na 1\na 2\n", "series twice"),
        ("# TYPE a gauge\nb 1\n", "other family"),
        ("# TYPE a gauge\na{b=\"\\t\"} 1\n", "escape"),
        ("# TYPE a gauge\n# TYPE b gauge\nb 1\na 1\n", "not grouped"),
    ] {
        assert!(parse(bad, false).is_err(), "{why}");
    }
    assert!(parse("# TYPE a counter\na 1\n# EOF\n", true).is_err(), "a counter without _total");
    assert!(parse("# TYPE a counter\na_total 1\n", true).is_err(), "no end");
    assert!(
        parse("# TYPE a counter\na_total 1\n# TYPE a_total gauge\na_total{b=\"1\"} 1\n# EOF\n", true).is_err(),
        "clash"
    );
}
