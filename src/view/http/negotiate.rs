//! What a client wants: `Accept` and `Accept-Encoding` with their q-values (RFC 9110, section 12.5).
//!
//! In: header values as they were sent. Out: a format and a compression, always: an exporter that answers in its
//! default format is more use than one that answers 406.

use crate::view::prometheus::escaping::Escaping;
use crate::view::prometheus::{Compression, Format};

/// A q-value in thousandths; what is malformed counts as 0.
fn quality(parameters: &str) -> u16 {
    for parameter in parameters.split(';') {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if !name.trim().eq_ignore_ascii_case("q") {
            continue;
        }
        let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
        let thousandths = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
        return match (whole, format!("{fraction:0<3}").parse::<u16>()) {
            ("0", Ok(thousandth)) if thousandths => thousandth,
            ("1", Ok(0)) if thousandths => 1000,
            _ => 0,
        };
    }
    1000
}

fn parameter<'a>(parameters: &'a str, wanted: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

/// What a client is answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// The format.
    pub format: Format,
    /// The scheme of escaping that the client asked for with it, if any.
    pub escaping: Option<Escaping>,
}

/// The format that a media range names.
fn named(kind: &str, parameters: &str) -> Option<Format> {
    let version = parameter(parameters, "version");
    match (kind, version) {
        ("application/openmetrics-text", None | Some("1.0.0")) => Some(Format::OpenMetrics),
        ("text/plain", None | Some("0.0.4")) => Some(Format::Text),
        ("text/plain", Some("1.0.0")) => Some(Format::Text1),
        ("application/vnd.google.protobuf", _) => {
            let is = |name, wanted| parameter(parameters, name) == Some(wanted);
            let ours = is("proto", "io.prometheus.client.MetricFamily") && is("encoding", "delimited");
            ours.then_some(Format::Protobuf)
        }
        _ => None,
    }
}

/// The format and escaping to answer in: of those that are named the one with the highest q-value, of equal ones the
/// richer one. `*/*` gets text 0.0.4.
#[must_use]
pub fn accepted<'a>(accept: impl Iterator<Item = &'a str>) -> Accepted {
    let (mut best, mut rest, mut text_named) = ((0, Accepted::default()), 0, false);
    for range in accept.flat_map(|value| value.split(',')) {
        let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
        let (kind, quality) = (kind.trim().to_ascii_lowercase(), quality(parameters));
        if matches!(kind.as_str(), "text/*" | "*/*") {
            rest = rest.max(quality);
        }
        let Some(format) = named(&kind, parameters) else { continue };
        text_named |= format == Format::Text;
        let richer = |than: Format| format as usize > than as usize;
        if quality > best.0 || (quality == best.0 && richer(best.1.format)) {
            best = (quality, Accepted { format, escaping: parameter(parameters, "escaping").and_then(Escaping::of) });
        }
    }
    let text_by_range = if text_named { 0 } else { rest };
    if best.0 == 0 || text_by_range > best.0 { Accepted::default() } else { best.1 }
}

/// The format alone.
#[must_use]
pub fn format<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    accepted(accept).format
}

/// The compression to answer with: the one with the highest q-value, of equal ones zstd before gzip.
#[must_use]
pub fn compression<'a>(accept_encoding: impl Iterator<Item = &'a str>) -> Compression {
    let (mut zstd, mut gzip, mut identity, mut rest) = (None, None, None, None);
    for coding in accept_encoding.flat_map(|value| value.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = Some(quality(parameters));
        match name.trim().to_ascii_lowercase().as_str() {
            "zstd" => zstd = zstd.max(quality),
            "gzip" | "x-gzip" => gzip = gzip.max(quality),
            "identity" => identity = identity.max(quality),
            "*" => rest = rest.max(quality),
            _ => {}
        }
    }
    let (zstd, gzip) = (zstd.or(rest).unwrap_or(0), gzip.or(rest).unwrap_or(0));
    let identity = identity.unwrap_or(0);
    match zstd.max(gzip) {
        0 => Compression::Identity,
        best if identity > best => Compression::Identity,
        best if zstd == best => Compression::Zstd,
        _ => Compression::Gzip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(accept: &str) -> Format {
        format([accept].into_iter())
    }

    fn compression_of(accept: &str) -> Compression {
        compression([accept].into_iter())
    }

    #[test]
    fn curl_gets_text() {
        assert_eq!(format_of("*/*"), Format::Text);
        assert_eq!(format([].into_iter()), Format::Text);
        assert_eq!(format_of("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), Format::Text);
    }

    fn accepted_of(accept: &str) -> (Format, Option<Escaping>) {
        let accepted = accepted([accept].into_iter());
        (accepted.format, accepted.escaping)
    }

    #[test]
    fn each_prometheus_gets_the_richest_format_that_it_asks_for() {
        let utf8 = Some(Escaping::AllowUtf8);
        for (what, accept, wanted) in [
            (
                "2.42",
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                (Format::OpenMetrics, None),
            ),
            (
                "2.42 with native histograms",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                 application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                (Format::Protobuf, None),
            ),
            (
                "2.5x",
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                (Format::OpenMetrics, None),
            ),
            (
                "2.5x with native histograms",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,\
                 application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                (Format::Protobuf, None),
            ),
            (
                "3.x",
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                (Format::OpenMetrics, utf8),
            ),
            (
                "3.x with native histograms",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
                 escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                (Format::Protobuf, utf8),
            ),
            (
                "3.x with only the text formats",
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4",
                (Format::Text1, utf8),
            ),
        ] {
            assert_eq!(accepted_of(accept), wanted, "{what}");
        }
    }

    #[test]
    fn an_escaping_is_that_of_the_format_and_an_unknown_one_is_none() {
        assert_eq!(accepted_of("text/plain;version=1.0.0;escaping=dots"), (Format::Text1, Some(Escaping::Dots)));
        assert_eq!(accepted_of("text/plain;version=1.0.0;escaping=rot13"), (Format::Text1, None));
        let two = "text/plain;version=1.0.0;escaping=dots;q=0.2,application/openmetrics-text;escaping=values;q=0.4";
        assert_eq!(accepted_of(two), (Format::OpenMetrics, Some(Escaping::Values)));
    }

    #[test]
    fn protobuf_in_another_encoding_or_of_another_message_is_not_ours() {
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily";
        for other in ["", ";encoding=text", ";encoding=compact-text"] {
            assert_eq!(format_of(&format!("{protobuf}{other},*/*;q=0.1")), Format::Text, "{other}");
        }
        assert_eq!(format_of("application/vnd.google.protobuf;proto=other;encoding=delimited"), Format::Text);
        assert_eq!(format_of(&format!("{protobuf};encoding=delimited;q=0,text/plain;q=0.1")), Format::Text);
    }

    #[test]
    fn q_values_decide_and_zero_refuses() {
        assert_eq!(format_of("application/openmetrics-text;q=0.1,text/plain;q=0.2"), Format::Text);
        assert_eq!(format_of("application/openmetrics-text;q=0,*/*;q=0.1"), Format::Text);
        assert_eq!(format_of("Application/OpenMetrics-Text; version=\"1.0.0\"; Q=0.5, */*;q=0.1"), Format::OpenMetrics);
        assert_eq!(format_of("application/openmetrics-text;version=0.0.1"), Format::Text);
        assert_eq!(format_of("application/openmetrics-text;q=nonsense"), Format::Text);
    }

    #[test]
    fn encodings_are_chosen_by_q_value_then_by_ratio() {
        assert_eq!(compression_of("gzip"), Compression::Gzip);
        assert_eq!(compression_of("gzip, zstd"), Compression::Zstd);
        assert_eq!(compression_of("gzip;q=1.0, zstd;q=0.5"), Compression::Gzip);
        assert_eq!(compression_of("gzip;q=0, zstd;q=0"), Compression::Identity);
        assert_eq!(compression_of("*"), Compression::Zstd);
        assert_eq!(compression_of("zstd;q=0, *"), Compression::Gzip);
        assert_eq!(compression_of("identity, gzip;q=0.5"), Compression::Identity);
        assert_eq!(compression_of("br, deflate"), Compression::Identity);
        assert_eq!(compression([].into_iter()), Compression::Identity);
    }
}
