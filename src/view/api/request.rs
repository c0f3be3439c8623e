//! What a request asks for: the path and query as text, percent-decoded.
//!
//! In: the raw path and query of a request line. Out: decoded segments and parameters. A path is split before it is
//! decoded, so that a cgroup path's `%2F` stays inside its segment. Bytes that are not UTF-8 become U+FFFD: they then
//! match nothing, which is the right answer. Nothing here panics on any bytes.

use std::borrow::Cow;

use super::problem::Problem;

/// Decodes `%XX`. A `%` without two hexadecimal digits stands for itself.
#[must_use]
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        match (first, rest) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    bytes = after;
                }
                _ => decoded.push(first),
            },
            _ => decoded.push(first),
        }
    }
    Cow::Owned(
        String::from_utf8(decoded).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Encodes everything but the unreserved characters of RFC 3986, so that the result is one path segment.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

/// Decoded query parameters, in the order in which they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Decodes `a=b&c=d`; `+` stands for a blank, as in HTML forms.
    #[must_use]
    pub fn parse(raw: Option<&str>) -> Self {
        let form = |text: &str| percent_decode(&text.replace('+', " ")).into_owned();
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self { pairs: pairs.map(|(name, value)| (form(name), form(value))).collect() }
    }

    /// The first value of a parameter; an empty one counts as not given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(key, value)| key == name && !value.is_empty())?;
        Some(value)
    }

    /// Every value of a parameter that may be given several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a flag is set: `?all`, `?all=true` or `?all=1`.
    ///
    /// # Errors
    /// A [`Problem`] when the value is no truth value.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()) {
            None | Some("false" | "0" | "no") => Ok(false),
            Some("" | "true" | "1" | "yes") => Ok(true),
            Some(other) => Err(Problem::bad_parameter(format!("{name}={other} is no truth value; write {name}=true"))),
        }
    }

    /// Refuses parameters that the endpoint does not have, naming the nearest it has: a misspelt filter that is
    /// ignored would show everything as if it had matched.
    ///
    /// # Errors
    /// A [`Problem`] for the first unknown parameter.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.pairs.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) if known.is_empty() => {
                Err(Problem::bad_parameter(format!("there is no parameter '{key}' here: this endpoint has none")))
            }
            Some((key, _)) => {
                let hint = super::problem::nearest(key, known.iter().copied())
                    .map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
                let known = known.join(", ");
                Err(Problem::bad_parameter(format!("there is no parameter '{key}'{hint} Known are: {known}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percent_escapes_are_decoded_once_and_broken_ones_stand_for_themselves() {
        assert_eq!(percent_decode("%2Fsystem.slice%2fa.service"), "/system.slice/a.service");
        assert_eq!(percent_decode("%252F"), "%2F");
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
        assert_eq!(percent_decode("%C3%A9"), "é");
        assert_eq!(percent_decode("%ff"), "\u{fffd}");
    }

    #[test]
    fn an_encoded_cgroup_path_is_one_segment() {
        assert_eq!(percent_encode("/a b/ü"), "%2Fa%20b%2F%C3%BC");
    }

    #[test]
    fn a_query_is_split_before_it_is_decoded() {
        let query = Query::parse(Some("name=a%26b%3Dc&all&empty=&space=a+b%2B"));
        assert_eq!(query.get("name"), Some("a&b=c"));
        assert_eq!(query.get("space"), Some("a b+"));
        assert_eq!(query.get("empty"), None);
        assert_eq!(query.flag("all"), Ok(true));
        assert_eq!(query.flag("absent"), Ok(false));
        assert!(query.flag("name").is_err());
    }

    #[test]
    fn an_unknown_parameter_names_the_nearest_known_one() {
        let problem = Query::parse(Some("namspace=a")).only(&["namespace", "pod"]).unwrap_err();
        assert!(problem.detail.contains("did you mean 'namespace'?"), "{}", problem.detail);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in any::<String>()) {
            let encoded = percent_encode(&text);
            prop_assert!(encoded.is_ascii() && !encoded.contains('/'));
            prop_assert_eq!(percent_decode(&encoded), text);
        }

        #[test]
        fn no_query_makes_the_parser_panic(text in "[%a-f0-9=&+ü\\PC]{0,60}") {
            let _ = Query::parse(Some(&text)).only(&["a"]);
        }
    }
}
