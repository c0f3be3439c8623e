//! What a client wants: `Accept` and `Accept-Encoding` with their q-values (RFC 9110, section 12.5).
//!
//! In: header values as they were sent. Out: a format and a compression, always: an exporter that answers in its
//! default format is more use than one that answers 406.

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

/// The format to answer in. OpenMetrics is given to those who name it; `*/*` gets the older text format.
#[must_use]
pub fn format<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let (mut open_metrics, mut text, mut text_named, mut rest) = (0, 0, false, 0);
    for range in accept.flat_map(|value| value.split(',')) {
        let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
        let quality = quality(parameters);
        let version = parameter(parameters, "version");
        match kind.trim().to_ascii_lowercase().as_str() {
            "application/openmetrics-text" if version.is_none_or(|version| version == "1.0.0") => {
                open_metrics = open_metrics.max(quality);
            }
            "text/plain" if version.is_none_or(|version| version == "0.0.4") => {
                text = text.max(quality);
                text_named = true;
            }
            "text/*" | "*/*" => rest = rest.max(quality),
            _ => {}
        }
    }
    if !text_named {
        text = rest;
    }
    if open_metrics > 0 && open_metrics >= text { Format::OpenMetrics } else { Format::Text }
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
    fn prometheus_gets_openmetrics_and_curl_gets_text() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(format_of(prometheus_2), Format::OpenMetrics);
        assert_eq!(format_of(prometheus_3), Format::OpenMetrics);
        assert_eq!(format_of("*/*"), Format::Text);
        assert_eq!(format([].into_iter()), Format::Text);
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
