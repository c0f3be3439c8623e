//! What a path means: the resource behind it, and the words in which RBAC speaks of it.
//!
//! In: a method and a request's path and query. Out: a [`Target`] to answer, and the [`Attributes`] to authorize. Both
//! come from the same reading of the path, as `RequestInfo` of the API server reads it, so that what is authorized is
//! what is answered. A segment that hides a slash, `.` or `..` is no part of any resource. Next: [`super`].

use crate::auth::Attributes;
use crate::view::api::{Query, percent_decode};

use super::selector::FieldSelector;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/apis/GROUP/VERSION`.
    Version(String, String),
    /// Something below a version.
    Resource(Resource),
    /// Any other path, its segments decoded.
    Other(Vec<String>),
    /// A path that is not to be read.
    Unclean,
}

/// A resource's address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    /// Empty for none, or for all.
    pub(super) namespace: String,
    pub(super) resource: String,
    /// Empty for a list.
    pub(super) name: String,
    /// Empty for none.
    pub(super) subresource: String,
}

impl Target {
    /// Reads a path.
    pub(super) fn of(path: &str) -> Self {
        let trimmed = path.strip_prefix('/').unwrap_or(path);
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        let segments: Vec<String> = trimmed.split('/').map(|segment| percent_decode(segment).into_owned()).collect();
        let unclean = |segment: &String| segment.contains('/') || matches!(segment.as_str(), "" | "." | "..");
        if !trimmed.is_empty() && segments.iter().any(unclean) {
            return Self::Unclean;
        }
        let mut parts = segments.iter().cloned();
        match (parts.next().as_deref(), parts.next(), parts.next()) {
            (Some("apis"), None, _) => Self::Groups,
            (Some("apis"), Some(group), None) => Self::Group(group),
            (Some("apis"), Some(group), Some(version)) => {
                let rest: Vec<String> = parts.collect();
                Resource::of(group.clone(), version.clone(), &rest)
                    .map_or(Self::Version(group, version), Self::Resource)
            }
            _ => Self::Other(segments),
        }
    }
}

impl Resource {
    fn of(group: String, version: String, segments: &[String]) -> Option<Self> {
        let mut found = Self { group, version, ..Self::default() };
        let mut rest = segments;
        if let [first, namespace, after @ ..] = rest
            && first == "namespaces"
        {
            found.namespace.clone_from(namespace);
            // `namespaces/NS` alone is the namespace itself.
            if !after.is_empty() {
                rest = after;
            }
        }
        let (resource, after) = rest.split_first()?;
        found.resource.clone_from(resource);
        if let Some((name, after)) = after.split_first() {
            found.name.clone_from(name);
            found.subresource = after.join("/");
        }
        Some(found)
    }
}

/// Whether a query asks for a watch.
pub(super) fn asks_for_watch(query: &Query) -> bool {
    matches!(query.get("watch"), Some("true" | "1"))
}

/// What a request asks for, in the words of RBAC.
#[must_use]
pub fn attributes(method: &str, path: &str, query: Option<&str>) -> Attributes {
    let Target::Resource(found) = Target::of(path) else {
        return Attributes::Path { verb: method.to_ascii_lowercase(), path: path.to_owned() };
    };
    let mut name = found.name;
    let verb = match method {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if name.is_empty() => "deletecollection",
        "DELETE" => "delete",
        "GET" | "HEAD" if name.is_empty() => {
            let query = Query::parse(query);
            let fields = query.get("fieldSelector").and_then(|text| FieldSelector::parse(text).ok());
            // A role may be restricted to names: a list of one name is asked for as that name.
            if let Some(only) = fields.as_ref().and_then(FieldSelector::only_name) {
                only.clone_into(&mut name);
            }
            if asks_for_watch(&query) { "watch" } else { "list" }
        }
        "GET" | "HEAD" => "get",
        // No role grants it.
        other => other,
    };
    Attributes::Resource {
        verb: verb.to_owned(),
        group: found.group,
        version: found.version,
        resource: found.resource,
        subresource: found.subresource,
        namespace: found.namespace,
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(method: &str, target: &str) -> String {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        match attributes(method, path, query) {
            Attributes::Resource { verb, group, version, resource, subresource, namespace, name } => {
                format!("{verb} {group}/{version} {resource}/{subresource} ns={namespace} name={name}")
            }
            Attributes::Path { verb, path } => format!("{verb} {path}"),
        }
    }

    #[test]
    fn requests_are_told_in_the_words_that_the_api_server_uses() {
        let metrics = "/apis/metrics.k8s.io/v1beta1";
        for (method, target, expected) in [
            ("GET", format!("{metrics}/nodes"), "list metrics.k8s.io/v1beta1 nodes/ ns= name="),
            ("GET", format!("{metrics}/nodes/n1"), "get metrics.k8s.io/v1beta1 nodes/ ns= name=n1"),
            ("GET", format!("{metrics}/pods?watch=true"), "watch metrics.k8s.io/v1beta1 pods/ ns= name="),
            ("GET", format!("{metrics}/pods?watch=1"), "watch metrics.k8s.io/v1beta1 pods/ ns= name="),
            ("HEAD", format!("{metrics}/namespaces/a/pods"), "list metrics.k8s.io/v1beta1 pods/ ns=a name="),
            ("GET", format!("{metrics}/namespaces/a/pods/p"), "get metrics.k8s.io/v1beta1 pods/ ns=a name=p"),
            (
                "GET",
                format!("{metrics}/pods?fieldSelector=metadata.name%3Dweb"),
                "list metrics.k8s.io/v1beta1 pods/ ns= name=web",
            ),
            ("DELETE", format!("{metrics}/pods"), "deletecollection metrics.k8s.io/v1beta1 pods/ ns= name="),
            (
                "GET",
                "/apis/custom.metrics.k8s.io/v1beta2/namespaces/a/pods/*/cpu".to_owned(),
                "get custom.metrics.k8s.io/v1beta2 pods/cpu ns=a name=*",
            ),
            (
                "GET",
                "/apis/history.ringside.dev/v1alpha1/namespaces/a".to_owned(),
                "get history.ringside.dev/v1alpha1 namespaces/ ns=a name=a",
            ),
            (
                "POST",
                "/apis/ingest.ringside.dev/v1alpha1/nodes/n1/samples".to_owned(),
                "create ingest.ringside.dev/v1alpha1 nodes/samples ns= name=n1",
            ),
            ("GET", "/apis/metrics.k8s.io/v1beta1/".to_owned(), "get /apis/metrics.k8s.io/v1beta1/"),
            ("GET", "/readyz".to_owned(), "get /readyz"),
        ] {
            assert_eq!(words(method, &target), expected, "{target}");
        }
    }

    #[test]
    fn a_path_that_hides_its_segments_is_no_resource() {
        for path in [
            "/apis/metrics.k8s.io/v1beta1/namespaces/a%2Fb/pods",
            "/apis/metrics.k8s.io/v1beta1/namespaces/../pods",
            "/apis/metrics.k8s.io/v1beta1/namespaces/%2e%2e/pods",
            "/apis/metrics.k8s.io//v1beta1/pods",
        ] {
            assert_eq!(Target::of(path), Target::Unclean, "{path}");
            assert_eq!(words("GET", path), format!("get {path}"));
        }
        assert_eq!(Target::of("/"), Target::Other(vec![String::new()]));
        assert_eq!(Target::of("/apis/"), Target::Groups);
    }
}
