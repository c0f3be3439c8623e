//! `GET /api/v1/export`: series as OpenMetrics text with timestamps, for `promtool tsdb create-blocks-from openmetrics`.
//!
//! In: selectors and a range of time. Out: text, family after family, each series' samples in ascending time, an end mark.
//! It is made series by series, so that an export of any length takes the memory of one series.

use std::time::Instant;

use bytes::Bytes;

use super::limits::{Limits, RemoteError};
use super::messages::{Label, Sample};
use super::samples::{RangeMs, walls};
use super::select::{NAME, Selected, select};
use super::{Pipe, Remote};
use crate::store::query::matcher::Matcher;
use crate::store::query::selector::Selector;
use crate::units::UnixNanos;
use crate::view::api::{Now, Query, parse_instant};
use crate::view::prometheus::Format;
use crate::view::prometheus::encoder::push_header;
use crate::view::prometheus::labels::push_escaped;
use crate::view::prometheus::number::Number;

/// Text that is gathered before it is handed on.
const PIECE_BYTES: usize = 64 * 1024;
/// What is exported when no start is given: as the history API.
const DEFAULT_NANOS: u64 = 15 * 60 * 1_000_000_000;

/// A request that was understood.
#[derive(Debug)]
pub struct Export {
    selectors: Vec<Vec<Matcher>>,
    range: RangeMs,
}

impl Export {
    /// Media type of the answer.
    pub const CONTENT_TYPE: &str = Format::OpenMetrics.content_type();

    /// Reads a request's query.
    ///
    /// # Errors
    /// [`RemoteError`] when a parameter is missing, malformed or unknown, or breaks a limit.
    pub fn parse(query: Option<&str>, now: Now, limits: &Limits) -> Result<Self, RemoteError> {
        let query = Query::parse(query);
        let known = ["match[]", "start", "end", "format"];
        query.only(&known).map_err(|problem| RemoteError::BadParameter(problem.detail))?;
        if let Some(format) = query.get("format").filter(|format| *format != "openmetrics") {
            let why = format!("format={format} is not known; the only one is format=openmetrics");
            return Err(RemoteError::BadParameter(why));
        }
        let instant = |name: &str| match query.get(name) {
            None => Ok(None),
            Some(text) => parse_instant(text, now.wall).map(Some).ok_or_else(|| {
                let why = format!("{name}={text} is no instant; write RFC 3339, unix seconds, now or -15m");
                RemoteError::BadParameter(why)
            }),
        };
        let end = instant("end")?.unwrap_or(now.wall);
        let start = instant("start")?.unwrap_or(UnixNanos(end.0.saturating_sub(DEFAULT_NANOS)));
        if start > end {
            return Err(RemoteError::BadParameter("start is after end; exchange them".to_owned()));
        }
        let mut selectors = Vec::new();
        for text in query.all("match[]") {
            if selectors.len() >= limits.queries {
                return Err(RemoteError::TooMany { what: "too many match[]", most: limits.queries });
            }
            selectors.push(matchers(text).map_err(|why| RemoteError::BadParameter(format!("match[]={text}: {why}")))?);
        }
        if selectors.is_empty() {
            let why = "match[] is missing; say which series: match[]=container_memory_rss{namespace=\"shop\"}";
            return Err(RemoteError::BadParameter(why.to_owned()));
        }
        if selectors.iter().flatten().filter(|matcher| matcher.is_regex()).count() > limits.regexes {
            return Err(RemoteError::TooMany { what: "too many regular expressions", most: limits.regexes });
        }
        let milliseconds = |wall: UnixNanos| i64::try_from(wall.0 / 1_000_000).unwrap_or(i64::MAX);
        Ok(Self { selectors, range: milliseconds(start)..=milliseconds(end) })
    }

    /// Writes the answer.
    ///
    /// # Errors
    /// [`RemoteError`] when it breaks a limit or the client has gone.
    pub fn write(self, remote: &Remote, deadline: Instant, pipe: &mut Pipe<'_>) -> Result<(), RemoteError> {
        let Remote { store, shape, limits } = remote;
        let since = walls(&self.range).map_or(UnixNanos(u64::MAX), |(since, _)| since);
        let mut selection = select(store, shape, &self.selectors, since, limits)?;
        // The series of a family stand together, because their names are the same: that is enough for the format.
        let mut series = std::mem::take(&mut selection.series);
        series.sort_by(|one, other| one.family.name.cmp(other.family.name));
        let mut out = Vec::with_capacity(PIECE_BYTES + 4096);
        let mut samples_left = limits.samples;
        let mut family = "";
        for one in series {
            if Instant::now() > deadline {
                return Err(RemoteError::Late(limits.time));
            }
            let samples = selection.samples(store, &one, &self.range);
            let left = samples_left.checked_sub(samples.len());
            samples_left = left.ok_or(RemoteError::TooMuch { most: limits.samples, what: "samples", hint: "" })?;
            if samples.is_empty() {
                continue;
            }
            if family != one.family.name {
                family = one.family.name;
                push_header(&mut out, one.family, Format::OpenMetrics);
            }
            let head = head(&one);
            for sample in samples {
                push_line(&mut out, &head, sample);
                if out.len() >= PIECE_BYTES {
                    pipe(Bytes::copy_from_slice(&out))?;
                    out.clear();
                }
            }
        }
        out.extend_from_slice(b"# EOF\n");
        pipe(out.into())
    }
}

/// Everything that a selector says, its name among it.
fn matchers(text: &str) -> Result<Vec<Matcher>, String> {
    let Selector { name, mut matchers } = Selector::parse(text).map_err(|error| error.to_string())?;
    matchers.extend(name.map(|name| Matcher::equal(NAME, &name)));
    if matchers.iter().all(|matcher| matcher.fits("")) {
        let why = "this selects every series there is; name a metric, or give at least one matcher that an absent label \
                   does not fit";
        return Err(why.to_owned());
    }
    Ok(matchers)
}

/// Name and labels as they stand before each value.
fn head(series: &Selected) -> String {
    let mut head = series.family.name.to_owned();
    let mut before = '{';
    for Label { name, value } in series.labels.iter().filter(|label| label.name != NAME) {
        head.push(before);
        head.extend([name, "=\""]);
        push_escaped(&mut head, value);
        head.push('"');
        before = ',';
    }
    if before == ',' {
        head.push('}');
    }
    head
}

fn push_line(out: &mut Vec<u8>, head: &str, sample: Sample) {
    out.extend_from_slice(head.as_bytes());
    out.push(b' ');
    Number::Float(sample.value).push_to(out);
    out.push(b' ');
    let milliseconds = sample.timestamp.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(milliseconds / 1000).as_bytes());
    out.push(b'.');
    let fraction = milliseconds % 1000 + 1000;
    out.extend(itoa::Buffer::new().format(fraction).bytes().skip(1));
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_select_everything_is_refused() {
        for text in ["{}", r#"{a=""}"#, r#"{a=~".*"}"#, r#"{a!="x"}"#] {
            assert!(matchers(text).unwrap_err().starts_with("this selects every series"), "{text}");
        }
        assert!(matchers(r#"{a!=""}"#).is_ok());
        assert!(matchers("up{}").unwrap().iter().all(|matcher| matcher.label() == NAME && matcher.fits("up")));
    }
}
