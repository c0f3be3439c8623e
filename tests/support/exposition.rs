//! An independent, strict parser of the Prometheus text format and of OpenMetrics.
//!
//! In: the text of a scrape. Out: its samples in order. It shares no code with the agent's writer, so the two can
//! only agree by both following the format; what the format does not allow fails the test with the line.
use std::collections::{BTreeMap, BTreeSet};

pub type Labels = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
    /// As written: milliseconds in the text format, seconds in OpenMetrics.
    pub timestamp: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Scrape {
    pub samples: Vec<Sample>,
    /// Family name → `counter`, `gauge` …
    pub types: BTreeMap<String, String>,
    pub helps: BTreeMap<String, String>,
    pub units: BTreeMap<String, String>,
    /// Whether `# EOF` closed the text.
    pub eof: bool,
}

impl Scrape {
    pub fn parse(text: &str) -> Self {
        Self::try_parse(text).unwrap_or_else(|error| panic!("not the Prometheus text format: {error}"))
    }

    pub fn try_parse(text: &str) -> Result<Self, String> {
        let mut scrape = Self::default();
        let mut seen = BTreeSet::new();
        if !text.is_empty() && !text.ends_with('\n') {
            return Err("the last line has no line feed".to_owned());
        }
        for (index, line) in text.split_terminator('\n').enumerate() {
            let context = |error: String| format!("line {}: {error}: {line:?}", index + 1);
            if scrape.eof {
                return Err(context("a line after # EOF".to_owned()));
            }
            if line == "# EOF" {
                scrape.eof = true;
            } else if let Some(comment) = line.strip_prefix('#') {
                scrape.comment(comment).map_err(context)?;
            } else if !line.is_empty() {
                let sample = sample(line).map_err(context)?;
                if !seen.insert((sample.name.clone(), sample.labels.clone(), sample.timestamp.clone())) {
                    return Err(context("the same series a second time".to_owned()));
                }
                scrape.samples.push(sample);
            }
        }
        Ok(scrape)
    }

    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let mut words = comment.strip_prefix(' ').unwrap_or(comment).splitn(3, ' ');
        let (keyword, name, rest) =
            (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
        let table = match keyword {
            "TYPE" => &mut self.types,
            "HELP" => &mut self.helps,
            "UNIT" => &mut self.units,
            _ => return Ok(()),
        };
        if !is_name(name, true) {
            return Err(format!("not a metric name: {name:?}"));
        }
        if keyword == "TYPE" {
            const KNOWN: [&str; 9] = [
                "counter",
                "gauge",
                "histogram",
                "summary",
                "untyped",
                "unknown",
                "info",
                "stateset",
                "gaugehistogram",
            ];
            if !KNOWN.contains(&rest) {
                return Err(format!("not a type: {rest:?}"));
            }
        }
        match table.insert(name.to_owned(), rest.to_owned()) {
            Some(_) => Err(format!("{keyword} of {name} a second time")),
            None => Ok(()),
        }
    }

    /// Every sample of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The samples of this name whose labels have all these values; there may be other labels.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|have| have == value))
        };
        self.samples.iter().filter(fits).collect()
    }

    /// The value of the one sample that [`find`](Self::find) gives; none or several fail the test and are shown.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.find(name, labels);
        match found.as_slice() {
            [one] => one.value,
            [] => panic!("no sample {name}{labels:?}; {}", self.near(name)),
            several => panic!("{} samples {name}{labels:?}, one was expected: {several:#?}", several.len()),
        }
    }

    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        !self.find(name, labels).is_empty()
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|sample| sample.name.as_str()).collect()
    }

    fn near(&self, name: &str) -> String {
        let of_name: Vec<_> = self.all(name).take(20).map(|sample| &sample.labels).collect();
        if of_name.is_empty() {
            format!("the scrape has {} samples of these names: {:?}", self.samples.len(), self.names())
        } else {
            format!("the name is there with these labels: {of_name:#?}")
        }
    }
}

/// The samples as plain tuples.
pub fn parse(text: &str) -> Vec<(String, Labels, f64)> {
    Scrape::parse(text).samples.into_iter().map(|sample| (sample.name, sample.labels, sample.value)).collect()
}

fn sample(line: &str) -> Result<Sample, String> {
    let name_end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(name_end);
    if !is_name(name, true) {
        return Err(format!("not a metric name: {name:?}"));
    }
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = label_set(inside, &mut labels)?;
    }
    let rest = rest.strip_prefix(' ').ok_or("no space before the value")?;
    // An OpenMetrics exemplar follows " # "; its own form is not looked at.
    let rest = rest.split(" # ").next().unwrap_or(rest);
    let mut words = rest.split(' ');
    let value = number(words.next().unwrap_or(""))?;
    let timestamp = words.next().map(str::to_owned);
    if let Some(timestamp) = &timestamp {
        timestamp.parse::<f64>().map_err(|_| format!("not a timestamp: {timestamp:?}"))?;
    }
    match words.next() {
        Some(extra) => Err(format!("something after the timestamp: {extra:?}")),
        None => Ok(Sample { name: name.to_owned(), labels, value, timestamp }),
    }
}

/// Reads `a="x",b="y"}` and gives what follows the brace.
fn label_set<'a>(mut rest: &'a str, labels: &mut Labels) -> Result<&'a str, String> {
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let (name, after) = rest.split_once("=\"").ok_or("a label without =\"")?;
        if !is_name(name, false) {
            return Err(format!("not a label name: {name:?}"));
        }
        let (value, after) = label_value(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("label {name} a second time"));
        }
        rest = match after.strip_prefix(',') {
            Some(next) => next,
            None if after.starts_with('}') => after,
            None => return Err(format!("neither a comma nor a brace after label {name}")),
        };
    }
}

fn label_value(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, '\\')) => value.push('\\'),
                Some((_, '"')) => value.push('"'),
                Some((_, 'n')) => value.push('\n'),
                other => return Err(format!("not an escape: \\{:?}", other.map(|(_, c)| c))),
            },
            c => value.push(c),
        }
    }
    Err("a label value without its closing quote".to_owned())
}

fn number(word: &str) -> Result<f64, String> {
    match word {
        "+Inf" => return Ok(f64::INFINITY),
        "-Inf" => return Ok(f64::NEG_INFINITY),
        "NaN" => return Ok(f64::NAN),
        _ => {}
    }
    // Rust also reads "inf" and "infinity", which the format does not know.
    if !word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        || word.contains(['i', 'I', 'n', 'N'])
    {
        return Err(format!("not a value: {word:?}"));
    }
    word.parse().map_err(|_| format!("not a value: {word:?}"))
}

fn is_name(name: &str, of_metric: bool) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (of_metric && c == ':');
    !name.is_empty() && name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
}
