//! What a request for cAdvisor's API asks for.
//!
//! In: path, query and body as they were sent. Out: [`Call`], [`Options`], [`Window`]; or what is wrong, in cAdvisor's words
//! where it has some. Nothing here panics on any bytes.

use serde::Deserialize;

use super::Refused;
use crate::units::UnixNanos;
use crate::view::api::{Query, parse_duration, parse_instant, percent_decode};

/// The versions, in the order in which they are listed.
pub(super) const VERSIONS: [&str; 6] = ["v1.0", "v1.1", "v1.2", "v1.3", "v2.0", "v2.1"];

/// Most ticks of one container: what cAdvisor keeps by default is two minutes.
pub(super) const MOST_STATS: usize = 3_600;

/// `-1` asks for all that cAdvisor keeps: two minutes.
const ALL_STATS: usize = 120;

/// What `/api/VERSION/KIND/REST` names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub version: &'static str,
    /// `containers`, `machine`, …; empty when the kinds are to be listed.
    pub kind: String,
    /// An absolute path: `/` when none was given.
    pub name: String,
}

/// Whether a path is one of cAdvisor's.
pub(super) fn is_ours(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/api") else { return false };
    let first = rest.strip_prefix('/').unwrap_or(rest).split('/').next().unwrap_or_default();
    // The agent's own API is `/api/v1`: cAdvisor's versions have a dot.
    matches!(rest, "" | "/") || (rest.starts_with('/') && first.starts_with('v') && first.contains('.'))
}

impl Call {
    /// Reads a path; `None` when it names no version.
    pub fn parse(path: &str) -> Result<Option<Self>, Refused> {
        let rest = path.strip_prefix("/api").unwrap_or(path).trim_start_matches('/');
        if rest.is_empty() {
            return Ok(None);
        }
        let (version, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let Some(known) = VERSIONS.iter().find(|known| **known == version) else {
            return Err(Refused::NotFound(format!("unsupported API version {version:?}")));
        };
        let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let mut name = String::new();
        for part in rest.split('/').filter(|part| !part.is_empty()) {
            name.push('/');
            name.push_str(&percent_decode(part));
        }
        if name.is_empty() {
            name.push('/');
        }
        Ok(Some(Self { version: known, kind: kind.to_owned(), name }))
    }
}

/// Which ticks are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Most ticks, the newest.
    pub count: usize,
    /// From here on.
    pub start: Option<UnixNanos>,
    /// Until here.
    pub end: Option<UnixNanos>,
}

/// `ContainerInfoRequest`.
#[derive(Deserialize)]
struct Body {
    num_stats: Option<i64>,
    start: Option<String>,
    end: Option<String>,
}

fn count(number: i64, what: &str) -> Result<usize, Refused> {
    match number {
        -1 => Ok(ALL_STATS),
        _ => usize::try_from(number).map(|count| count.min(MOST_STATS)).map_err(|_| {
            Refused::Bad(format!("invalid '{what}' option: only -1 and larger values allowed, not {number}"))
        }),
    }
}

/// The body of a request of version 1; without one the last 60 ticks.
pub(super) fn window(body: &[u8]) -> Result<Window, Refused> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Window { count: 60, start: None, end: None });
    }
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| Refused::Bad(format!("unable to decode the json value: {error}")))?;
    let instant = |name: &str, text: Option<String>| match text {
        // Go's zero time is what a client sends that asks for no bound.
        Some(text) if !text.starts_with("0001-") && !text.is_empty() => {
            let instant = parse_instant(&text, UnixNanos(0)).map(Some);
            instant.ok_or_else(|| {
                Refused::Bad(format!("unable to decode the json value: {name} {text:?} is no RFC 3339 time"))
            })
        }
        _ => Ok(None),
    };
    Ok(Window {
        count: count(body.num_stats.unwrap_or(60), "num_stats")?,
        start: instant("start", body.start)?,
        end: instant("end", body.end)?,
    })
}

/// How a container is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// By its cgroup's path.
    Path,
    /// By ID or name of Docker.
    Docker,
    /// By ID or name of Podman.
    Podman,
}

/// The query of a request of version 2.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub by: NamedBy,
    pub count: usize,
    pub recursive: bool,
}

impl Options {
    pub fn parse(query: &Query) -> Result<Self, Refused> {
        let by = match query.get("type") {
            None | Some("name") => NamedBy::Path,
            Some("docker") => NamedBy::Docker,
            Some("podman") => NamedBy::Podman,
            Some(other) => return Err(Refused::Bad(format!("unknown 'type' {other:?}: use name, docker or podman"))),
        };
        let number = match query.get("count") {
            None => 64,
            Some(text) => {
                text.parse().map_err(|_| Refused::Bad(format!("failed to parse 'count' option: {text:?}")))?
            }
        };
        // What is shown is never older than a tick, so that there is nothing to read anew.
        if let Some(age) = query.get("max_age").filter(|age| *age != "0")
            && parse_duration(age).is_none()
        {
            return Err(Refused::Bad(format!("failed to parse 'max_age' option: {age:?} is no duration like 30s")));
        }
        Ok(Self { by, count: count(number, "count")?, recursive: query.get("recursive") == Some("true") })
    }

    pub const fn window(&self) -> Window {
        Window { count: self.count, start: None, end: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cadvisors_versions_have_a_dot_and_the_agents_own_has_none() {
        for path in ["/api", "/api/", "/api/v1.3", "/api/v1.3/containers/x", "/api/v2.1/stats", "/api/v9.9/x"] {
            assert!(is_ours(path), "{path}");
        }
        for path in ["/api/v1/node", "/api/v1/containers/a.b", "/apis", "/api/x.y", "/v1.3", "/", "/apiv1.3/x"] {
            assert!(!is_ours(path), "{path}");
        }
    }

    #[test]
    fn a_path_names_version_kind_and_an_absolute_container() {
        let call = |path| {
            let Call { version, kind, name } = Call::parse(path).unwrap().unwrap();
            (version, kind, name)
        };
        assert_eq!(call("/api/v1.3/containers"), ("v1.3", "containers".into(), "/".into()));
        assert_eq!(call("/api/v1.3/containers//a/b%5Cx2d/"), ("v1.3", "containers".into(), "/a/b\\x2d".into()));
        assert_eq!(call("/api/v2.0/"), ("v2.0", String::new(), "/".into()));
        assert_eq!(Call::parse("/api/").unwrap(), None);
        let refused = Call::parse("/api/v3.0/containers").unwrap_err();
        assert_eq!(refused, Refused::NotFound("unsupported API version \"v3.0\"".into()));
    }

    #[test]
    fn a_body_without_bounds_asks_for_the_last_sixty() {
        let all = |count| Window { count, start: None, end: None };
        assert_eq!(window(b""), Ok(all(60)));
        assert_eq!(window(b"{}"), Ok(all(60)));
        assert_eq!(window(b"{\"num_stats\":-1,\"start\":\"0001-01-01T00:00:00Z\",\"end\":\"\"}"), Ok(all(120)));
        assert_eq!(window(b"{\"num_stats\":9999999}"), Ok(all(MOST_STATS)));
        let bounded =
            window(b"{\"num_stats\":3,\"start\":\"1970-01-01T00:00:07Z\",\"end\":\"1970-01-01T01:00:08+01:00\"}");
        let at = |seconds: u64| Some(UnixNanos(seconds * 1_000_000_000));
        assert_eq!(bounded, Ok(Window { count: 3, start: at(7), end: at(8) }));
    }

    #[test]
    fn a_bad_number_is_refused_with_what_is_wrong() {
        let said = |refused: Refused| match refused {
            Refused::Bad(text) => text,
            other => format!("{other:?}"),
        };
        assert!(said(window(b"{\"num_stats\":-2}").unwrap_err()).contains("not -2"));
        assert!(said(window(b"{\"num_stats\":\"x\"}").unwrap_err()).contains("decode the json"));
        assert!(said(window(b"{\"start\":\"yesterday\"}").unwrap_err()).contains("yesterday"));
        assert!(said(window(b"[").unwrap_err()).contains("decode the json"));
        let options = |query| Options::parse(&Query::parse(Some(query)));
        assert!(said(options("count=x").unwrap_err()).contains("'count'"));
        assert!(said(options("count=-5").unwrap_err()).contains("not -5"));
        assert!(said(options("type=rkt").unwrap_err()).contains("unknown 'type'"));
        assert!(said(options("max_age=soon").unwrap_err()).contains("'max_age'"));
        let options = options("type=docker&count=2&recursive=true&max_age=1m30s").unwrap();
        assert_eq!(options, Options { by: NamedBy::Docker, count: 2, recursive: true });
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(path in ".{0,64}", body: Vec<u8>, query in ".{0,64}") {
            let _ = (is_ours(&path), Call::parse(&format!("/api/v1.0/{path}")), window(&body));
            let _ = Options::parse(&Query::parse(Some(&query)));
        }
    }
}
